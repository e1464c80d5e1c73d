//! Starting runs: carries out what [`crate::engine::admit`] decides.

use durably_proto::temporal::api::{
    enums::v1::WorkflowExecutionStatus,
    workflowservice::v1::{SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest},
};

use super::{
    driver::Shard,
    runs::{Target, fresh_id},
};
use crate::{
    ServiceError,
    engine::{Admission, Input, Signal, Terms, WorkflowTaskGrant, admit, new_run},
    error::ErrorKind,
};

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

impl Shard {
    pub(super) fn start(&mut self, namespace_id: &str, call: StartCall) -> Result<Started, ServiceError> {
        self.check_alive()?;
        let target = Target::named(namespace_id, &call.request.workflow_id, "");
        let found = match self.find_set_aside(&target)? {
            // A run that was terminated though it could not be read is in nobody's way.
            Some(seq) if self.set_aside.get(&seq).is_some_and(|run| run.closed) => None,
            _ => self.find_or_none(&target)?,
        };
        if let Some(seq) = found
            && let Some(existing) = self.existing(seq, &call)?
        {
            return Ok(existing);
        }
        let StartCall { request, signal, in_process } = call;
        let new = new_run(namespace_id, fresh_id(), request, signal, in_process);
        let run_id = new.key.run_id.to_string();
        let (_, eager) = self.start_run(new);
        Ok(Started {
            first_execution_run_id: run_id.clone(),
            run_id,
            is_new: true,
            status: WorkflowExecutionStatus::Running,
            eager,
        })
    }

    /// What the newest run of the workflow id means for the start: the answer, an error, or nothing in its way.
    fn existing(&mut self, seq: i64, call: &StartCall) -> Result<Option<Started>, ServiceError> {
        let run = self.run(seq)?;
        let answer = |is_new| Started {
            run_id: run.key().run_id.to_string(),
            first_execution_run_id: run.start_attributes().first_execution_run_id.clone(),
            is_new,
            status: run.status(),
            eager: None,
        };
        let terms = Terms::of(&call.request, call.signal.is_some());
        match admit(Some((run.status(), run.start_request_id())), terms) {
            Admission::Start => Ok(None),
            Admission::Repeated => Ok(Some(answer(true))),
            Admission::UseExisting => Ok(Some(answer(false))),
            Admission::Signal => {
                let existing = answer(false);
                self.apply(seq, Input::Signal(call.signal.clone().unwrap_or_default()))?;
                Ok(Some(existing))
            }
            Admission::TerminateAndStart => {
                let input = Input::Terminate {
                    reason: "TerminateIfRunning WorkflowIdReusePolicy".into(),
                    details: None,
                    identity: "history-service".into(),
                    links: Vec::new(),
                };
                self.apply(seq, input)?;
                Ok(None)
            }
            Admission::Refuse(message) => {
                let kind = ErrorKind::WorkflowExecutionAlreadyStarted {
                    start_request_id: run.start_request_id().to_owned(),
                    run_id: run.key().run_id.to_string(),
                };
                Err(ServiceError::new(kind, message)
                    .with("workflow_id", &*run.key().workflow_id)
                    .with("run_id", &*run.key().run_id))
            }
        }
    }
}
