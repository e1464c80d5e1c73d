//! A run as listings and descriptions show it, from its row in the store.

use durably_proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    workflow::v1::WorkflowExecutionInfo,
};

use crate::{
    engine::{Time, duration},
    store::RunRow,
};

pub(super) fn info(row: RunRow) -> WorkflowExecutionInfo {
    let execution = WorkflowExecution {
        workflow_id: row.key.workflow_id.to_string(),
        run_id: row.key.run_id.to_string(),
    };
    let named = |workflow_id, run_id| WorkflowExecution { workflow_id, run_id };
    let (parent_namespace_id, parent_execution, root) = match row.ancestors.map(|ancestors| *ancestors) {
        None => (String::new(), None, execution.clone()),
        Some(of) => (
            of.parent_namespace_id,
            Some(named(of.parent_workflow_id, of.parent_run_id)),
            named(of.root_workflow_id, of.root_run_id),
        ),
    };
    WorkflowExecutionInfo {
        parent_namespace_id,
        parent_execution,
        root_execution: Some(root),
        execution: Some(execution),
        r#type: Some(WorkflowType { name: row.workflow_type }),
        start_time: Some(Time(row.start_time).proto()),
        close_time: row.close_time.map(|time| Time(time).proto()),
        status: row.status,
        history_length: row.history_length,
        execution_time: Some(Time(row.execution_time).proto()),
        memo: row.memo,
        search_attributes: row.search_attributes,
        task_queue: row.task_queue,
        state_transition_count: row.transitions,
        history_size_bytes: row.history_bytes,
        execution_duration: row.close_time.map(|close| duration(close - row.execution_time)),
        ..Default::default()
    }
}
