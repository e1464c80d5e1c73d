//! What a store knows of a run without decoding its state.

use durably_proto::temporal::api::common::v1::{Memo, SearchAttributes};

use super::{RunKey, StateRow};

/// The visible side of a run: what listings show and filters ask for. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    pub seq: i64,
    pub key: RunKey,
    pub workflow_type: String,
    pub task_queue: String,
    pub start_time: i64,
    pub execution_time: i64,
    /// Number of `WorkflowExecutionStatus`.
    pub status: i32,
    pub close_time: Option<i64>,
    pub history_length: i64,
    pub history_bytes: i64,
    pub transitions: i64,
    pub memo: Option<Memo>,
    pub search_attributes: Option<SearchAttributes>,
    /// Of a child.
    pub ancestors: Option<Box<Ancestors>>,
}

/// Whose child a run is: its parent, and the topmost workflow above it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "these are the API's names")]
pub struct Ancestors {
    pub parent_namespace_id: String,
    pub parent_workflow_id: String,
    pub parent_run_id: String,
    pub root_workflow_id: String,
    pub root_run_id: String,
}

/// A run as it was last committed.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    pub row: RunRow,
    pub state: Vec<u8>,
    /// By kind and id.
    pub rows: Vec<StateRow>,
}
