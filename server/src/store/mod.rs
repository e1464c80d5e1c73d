//! Where runs, their histories and the namespaces live. One narrow trait, one transaction type: a [`Commit`] carries
//! the changes of many runs and is applied in full or not at all. Nothing here knows what a workflow is.

mod visibility;

pub use visibility::{Field, Filter, Op, Value};

/// Why a store operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("another process took over this state file (lease {held}, now {found}); this one stops writing")]
    Fenced { held: i64, found: i64 },
    #[error("the store failed: {0}")]
    Failed(String),
}
