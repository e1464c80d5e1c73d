//! Starting runs: request deduplication, the policies for reusing a workflow id, signal-with-start.

#![allow(deprecated)] // old policies are still honoured

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::{WorkflowExecutionStatus, WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    history::v1::WorkflowExecutionStartedEventAttributes,
    workflowservice::v1::{SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest},
};

use super::{
    driver::Shard,
    runs::{Target, fresh_id},
};
use crate::{
    Namespace, ServiceError,
    engine::{
        Input, NewRun, Poller, RunKey, Signal, WorkflowTaskGrant, duration, positive,
        retry_policy_with_defaults,
    },
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
    pub(super) fn start(&mut self, namespace: &Namespace, call: StartCall) -> Result<Started, ServiceError> {
        self.check_alive()?;
        let target = Target::named(&namespace.id, &call.request.workflow_id, "");
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
        let new = new_run(namespace, call);
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
        let request = &call.request;
        let run = self.run(seq)?;
        let answer = |is_new| Started {
            run_id: run.key().run_id.to_string(),
            first_execution_run_id: run.start_attributes().first_execution_run_id.clone(),
            is_new,
            status: run.status(),
            eager: None,
        };
        let already_started = |message: &str| {
            let kind = ErrorKind::WorkflowExecutionAlreadyStarted {
                start_request_id: run.start_request_id().to_owned(),
                run_id: run.key().run_id.to_string(),
            };
            Err(ServiceError::new(kind, message)
                .with("workflow_id", &*run.key().workflow_id)
                .with("run_id", &*run.key().run_id))
        };
        if !request.request_id.is_empty() && run.start_request_id() == request.request_id {
            return Ok(Some(answer(true)));
        }
        let reuse = request.workflow_id_reuse_policy();
        if run.is_open() {
            if reuse == WorkflowIdReusePolicy::TerminateIfRunning
                || request.workflow_id_conflict_policy() == WorkflowIdConflictPolicy::TerminateExisting
            {
                let input = Input::Terminate {
                    reason: "TerminateIfRunning WorkflowIdReusePolicy".into(),
                    details: None,
                    identity: "history-service".into(),
                    links: Vec::new(),
                };
                self.apply(seq, input)?;
                return Ok(None);
            }
            if let Some(signal) = &call.signal {
                let existing = answer(false);
                self.apply(seq, Input::Signal(signal.clone()))?;
                return Ok(Some(existing));
            }
            if request.workflow_id_conflict_policy() == WorkflowIdConflictPolicy::UseExisting {
                return Ok(Some(answer(false)));
            }
            return already_started("Workflow execution is already running.");
        }
        let failed = matches!(
            run.status(),
            WorkflowExecutionStatus::Failed
                | WorkflowExecutionStatus::Canceled
                | WorkflowExecutionStatus::Terminated
                | WorkflowExecutionStatus::TimedOut
        );
        match reuse {
            WorkflowIdReusePolicy::AllowDuplicateFailedOnly if !failed => {
                already_started("Workflow execution already finished successfully.")
            }
            WorkflowIdReusePolicy::RejectDuplicate => already_started("Workflow execution already finished."),
            _ => Ok(None),
        }
    }
}

/// The run that a request asks for, with the server's defaults.
fn new_run(namespace: &Namespace, call: StartCall) -> NewRun {
    let StartCall { request, signal, in_process } = call;
    let run_id = fresh_id();
    let execution_timeout = positive(request.workflow_execution_timeout.as_ref());
    let run_timeout = match (positive(request.workflow_run_timeout.as_ref()), execution_timeout) {
        (Some(run), Some(all)) => Some(run.min(all)),
        (run, all) => run.or(all),
    };
    let task_timeout = positive(request.workflow_task_timeout.as_ref()).unwrap_or(DEFAULT_TASK_TIMEOUT);
    let task_timeout = task_timeout.min(MAX_TASK_TIMEOUT).min(run_timeout.unwrap_or(i64::MAX));
    let explicit = |span: Option<i64>| Some(duration(span.unwrap_or(0)));
    let started = WorkflowExecutionStartedEventAttributes {
        workflow_type: request.workflow_type,
        task_queue: request.task_queue,
        input: request.input,
        workflow_execution_timeout: explicit(execution_timeout),
        workflow_run_timeout: explicit(run_timeout),
        workflow_task_timeout: Some(duration(task_timeout)),
        continued_failure: request.continued_failure,
        last_completion_result: request.last_completion_result,
        original_execution_run_id: run_id.clone(),
        identity: request.identity.clone(),
        first_execution_run_id: run_id.clone(),
        retry_policy: request.retry_policy.map(retry_policy_with_defaults),
        attempt: 1,
        cron_schedule: request.cron_schedule,
        first_workflow_task_backoff: explicit(positive(request.workflow_start_delay.as_ref())),
        memo: request.memo,
        search_attributes: request.search_attributes,
        header: request.header,
        workflow_id: request.workflow_id.clone(),
        root_workflow_execution: Some(WorkflowExecution {
            workflow_id: request.workflow_id.clone(),
            run_id: run_id.clone(),
        }),
        priority: request.priority,
        ..Default::default()
    };
    let eager = request.request_eager_execution.then(|| Poller {
        identity: request.identity,
        request_id: request.request_id.clone(),
        in_process,
        ..Default::default()
    });
    NewRun {
        key: RunKey {
            namespace_id: namespace.id.as_str().into(),
            workflow_id: request.workflow_id.into(),
            run_id: run_id.into(),
        },
        started,
        user_metadata: request.user_metadata,
        links: request.links,
        request_id: request.request_id,
        signal,
        eager,
        receipts: Vec::new(),
    }
}

const DEFAULT_TASK_TIMEOUT: i64 = 10 * crate::engine::SECOND;
const MAX_TASK_TIMEOUT: i64 = 120 * crate::engine::SECOND;
