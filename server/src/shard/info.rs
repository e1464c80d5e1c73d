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
    WorkflowExecutionInfo {
        root_execution: Some(execution.clone()),
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
