//! Runs that are set aside: their stored state cannot be used, or handling them panicked. Nothing of theirs is
//! touched, everything else goes on, and a person may look at them and terminate them.

use durably_proto::temporal::api::{
    common::v1::{Payload, WorkflowExecution},
    enums::v1::WorkflowExecutionStatus,
    sdk::v1::UserMetadata,
    workflow::v1::WorkflowExecutionConfig,
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use super::{driver::Shard, visibility::info};
use crate::{
    ServiceError,
    error::ErrorKind,
    store::{CloseRow, RunKey},
};

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
}

impl Shard {
    pub(super) fn set_aside(&mut self, seq: i64, key: RunKey, reason: String, closed: bool) -> SetAside {
        tracing::error!(
            workflow_id = &*key.workflow_id,
            run_id = &*key.run_id,
            reason,
            "a run is set aside; every other run goes on"
        );
        let set_aside = SetAside { seq, key, reason, closed };
        self.set_aside.insert(seq, set_aside.clone());
        set_aside
    }

    /// What is known without the run's state.
    pub(super) fn describe_set_aside(
        &self,
        seq: i64,
    ) -> Result<DescribeWorkflowExecutionResponse, ServiceError> {
        let Some(set_aside) = self.set_aside.get(&seq) else {
            return Err(ServiceError::internal("the run is not set aside"));
        };
        let stored = self.store.run(seq).ok().flatten();
        let info = stored.map_or_else(Default::default, |stored| info(stored.row));
        // A JSON string: readers show summaries as text.
        let text = set_aside.error().message().replace(['"', '\\', '\n'], "'");
        let summary = format!("\"{text}\"");
        let summary = Payload {
            metadata: [("encoding".to_owned(), bytes::Bytes::from_static(b"json/plain"))].into(),
            data: summary.into_bytes().into(),
            ..Default::default()
        };
        let key = &set_aside.key;
        Ok(DescribeWorkflowExecutionResponse {
            execution_config: Some(WorkflowExecutionConfig {
                user_metadata: Some(UserMetadata { summary: Some(summary), details: None }),
                ..Default::default()
            }),
            workflow_execution_info: Some(
                durably_proto::temporal::api::workflow::v1::WorkflowExecutionInfo {
                    execution: Some(WorkflowExecution {
                        workflow_id: key.workflow_id.to_string(),
                        run_id: key.run_id.to_string(),
                    }),
                    ..info
                },
            ),
            ..Default::default()
        })
    }

    /// Closes the run in listings; its history stays as it is.
    pub(super) fn terminate_set_aside(&mut self, seq: i64) -> Result<(), ServiceError> {
        let close_time = self.now().0;
        let Some(set_aside) = self.set_aside.get_mut(&seq) else {
            return Err(ServiceError::internal("the run is not set aside"));
        };
        if set_aside.closed {
            return Err(ServiceError::not_found("workflow execution already completed"));
        }
        set_aside.closed = true;
        self.closes.push(CloseRow { seq, status: WorkflowExecutionStatus::Terminated as i32, close_time });
        Ok(())
    }
}
