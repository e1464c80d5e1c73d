//! Runs that are set aside: their stored state cannot be used, or handling them panicked. Nothing of theirs is
//! touched, everything else goes on, and a person may look at them and terminate them.

use durably_proto::temporal::api::{
    common::v1::{Payload, WorkflowExecution},
    sdk::v1::UserMetadata,
    workflow::v1::{WorkflowExecutionConfig, WorkflowExecutionInfo},
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use crate::{ServiceError, error::ErrorKind, store::RunKey};

/// Why a run is set aside.
#[derive(Clone, Debug)]
pub(super) struct SetAside {
    pub seq: i64,
    pub key: RunKey,
    pub reason: String,
    /// Somebody has terminated it: its workflow id is free again.
    pub closed: bool,
}

impl SetAside {
    pub(super) fn error(&self) -> ServiceError {
        let message = format!(
            "this run is set aside: {}. Nothing of it was changed; terminate it to free its workflow id",
            self.reason
        );
        ServiceError::new(ErrorKind::DataLoss, message)
            .with("workflow_id", &*self.key.workflow_id)
            .with("run_id", &*self.key.run_id)
    }

    /// What is known without the run's state: `info` as listings have it.
    pub(super) fn describe(&self, info: WorkflowExecutionInfo) -> DescribeWorkflowExecutionResponse {
        // A JSON string: readers show summaries as text.
        let text = self.error().message().replace(['"', '\\', '\n'], "'");
        let summary = Payload {
            metadata: [("encoding".to_owned(), bytes::Bytes::from_static(b"json/plain"))].into(),
            data: format!("\"{text}\"").into_bytes().into(),
            ..Default::default()
        };
        let execution = WorkflowExecution {
            workflow_id: self.key.workflow_id.to_string(),
            run_id: self.key.run_id.to_string(),
        };
        DescribeWorkflowExecutionResponse {
            execution_config: Some(WorkflowExecutionConfig {
                user_metadata: Some(UserMetadata { summary: Some(summary), details: None }),
                ..Default::default()
            }),
            workflow_execution_info: Some(WorkflowExecutionInfo { execution: Some(execution), ..info }),
            ..Default::default()
        }
    }
}
