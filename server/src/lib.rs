//! The server: Temporal's `WorkflowService` and `OperatorService` on one state, used over sockets or in-process.

pub mod engine;
pub mod error;
pub mod frontend;
pub mod matching;
pub mod namespace;
pub mod options;
pub mod shard;
pub mod store;

pub use error::{OpenError, ServiceError};
pub use namespace::Namespace;
pub use options::{ServerOptions, State};
