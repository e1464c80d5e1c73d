//! What a start is asked with, and what comes of it.

use durably_proto::temporal::api::{
    enums::v1::WorkflowExecutionStatus,
    workflowservice::v1::{SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest},
};

use crate::engine::{Signal, WorkflowTaskGrant};

/// What came of a start.
#[derive(Debug)]
pub(super) struct Started {
    pub run_id: String,
    pub first_execution_run_id: String,
    pub is_new: bool,
    pub status: WorkflowExecutionStatus,
    pub eager: Option<WorkflowTaskGrant>,
}

/// A start as both RPCs express it.
pub(super) struct StartCall {
    pub request: StartWorkflowExecutionRequest,
    pub signal: Option<Signal>,
    /// The caller lives in this process: after a crash, a task that it got with the answer is known to be lost.
    pub in_process: bool,
}

impl StartCall {
    /// Signal-with-start as a start that carries a signal.
    pub(super) fn from_signal_with_start(request: SignalWithStartWorkflowExecutionRequest) -> Self {
        let signal = Signal {
            name: request.signal_name,
            input: request.signal_input,
            identity: request.identity.clone(),
            header: request.header.clone(),
            request_id: request.request_id.clone(),
            links: request.links.clone(),
        };
        let request = StartWorkflowExecutionRequest {
            namespace: request.namespace,
            workflow_id: request.workflow_id,
            workflow_type: request.workflow_type,
            task_queue: request.task_queue,
            input: request.input,
            workflow_execution_timeout: request.workflow_execution_timeout,
            workflow_run_timeout: request.workflow_run_timeout,
            workflow_task_timeout: request.workflow_task_timeout,
            identity: request.identity,
            request_id: request.request_id,
            workflow_id_reuse_policy: request.workflow_id_reuse_policy,
            workflow_id_conflict_policy: request.workflow_id_conflict_policy,
            retry_policy: request.retry_policy,
            cron_schedule: request.cron_schedule,
            memo: request.memo,
            search_attributes: request.search_attributes,
            header: request.header,
            workflow_start_delay: request.workflow_start_delay,
            user_metadata: request.user_metadata,
            links: request.links,
            versioning_override: request.versioning_override,
            priority: request.priority,
            time_skipping_config: request.time_skipping_config,
            ..Default::default()
        };
        Self { request, signal: Some(signal), in_process: false }
    }
}
