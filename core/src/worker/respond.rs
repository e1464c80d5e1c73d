//! What the server is told about workflow tasks, and what it hands out in return.

use std::sync::Arc;

use bytes::Bytes;
use durably_proto::temporal::api::{
    command::v1::{Command, command::Attributes},
    common::v1::{WorkerVersionStamp, WorkflowExecution},
    enums::v1::{QueryResultType, TaskQueueKind, WorkflowTaskFailedCause},
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    sdk::v1::WorkflowTaskCompletedMetadata,
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::{
        GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse,
        PollWorkflowTaskQueueResponse, RespondQueryTaskCompletedRequest, RespondQueryTaskCompletedResponse,
        RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskCompletedResponse,
        RespondWorkflowTaskFailedRequest, RespondWorkflowTaskFailedResponse,
        respond_workflow_task_completed_request::Capabilities,
    },
};
use tonic::Code;

use super::{context::Context, large, runs::RunName, slots::Slot};
use crate::{
    CallError,
    activity::Activities,
    client::{CALL_TIMEOUT, error::is_too_large, methods},
    convert::to_wire,
    observer::{Seen, TaskKind},
    workflow::{HistoryPage, QueryReply, TaskCompleted, TaskFailed},
};

pub(super) struct Responder {
    context: Arc<Context>,
    /// For activities that start with a workflow task's response.
    activities: Option<Arc<Activities>>,
    /// `None` if no run is kept.
    sticky: Option<StickyExecutionAttributes>,
}

impl Responder {
    pub(super) fn new(
        context: Arc<Context>,
        activities: Option<Arc<Activities>>,
        sticky_queue: &str,
    ) -> Self {
        let settings = &context.settings;
        let sticky = (settings.sticky_polls > 0).then(|| StickyExecutionAttributes {
            worker_task_queue: Some(TaskQueue {
                name: sticky_queue.to_owned(),
                kind: TaskQueueKind::Sticky as i32,
                normal_name: settings.task_queue.clone(),
            }),
            schedule_to_start_timeout: Some(to_wire(settings.sticky_timeout)),
        });
        Self { context, activities, sticky }
    }

    /// Completes a workflow task. The answer may hold the run's next task. An error says why the server refused, after
    /// which the cached run is worth nothing.
    pub(super) async fn complete(
        &self,
        of: &RunName,
        mut task: TaskCompleted,
        is_new: bool,
        takes_next: bool,
    ) -> Result<Option<PollWorkflowTaskQueueResponse>, String> {
        if let Some(limit) = self.context.payload_limit() {
            large::drop_large_requests(&mut task.messages, limit);
            let told = large::told(&task.commands, &task.messages, &task.workflow_type, limit);
            if let Some(message) = told {
                return Err(self.refuse(of, task, message).await);
            }
        }
        let TaskCompleted {
            task_token, mut commands, messages, query_results, sdk_metadata, run_ended, ..
        } = task;
        let stopping = self.context.is_stopping();
        let eager = if stopping { Vec::new() } else { self.reserve_eager(&mut commands) };
        if stopping {
            ask_eagerly(&mut commands, |_| false);
        }
        let settings = &self.context.settings;
        #[expect(deprecated, reason = "the build id of an unversioned worker is still told this way")]
        let request = RespondWorkflowTaskCompletedRequest {
            task_token,
            commands,
            messages,
            identity: settings.identity.clone(),
            sticky_attributes: if run_ended || stopping { None } else { self.sticky.clone() },
            return_new_workflow_task: takes_next && !stopping,
            query_results,
            namespace: self.context.client.namespace().to_owned(),
            worker_version_stamp: self.version_stamp(),
            sdk_metadata: self.sdk_metadata(sdk_metadata, is_new),
            // The run goes back by itself when the next task shows that this one was dropped.
            capabilities: Some(Capabilities { discard_speculative_workflow_task_with_events: true }),
            ..Default::default()
        };
        let client = &self.context.client;
        let answer = client
            .rpc(
                methods::RESPOND_WORKFLOW_TASK_COMPLETED,
                &request,
                CALL_TIMEOUT,
                Some(client.retry_policy()),
            )
            .await;
        self.answered(answer.is_ok());
        match answer {
            Ok(RespondWorkflowTaskCompletedResponse { workflow_task, activity_tasks, .. }) => {
                if let Some(activities) = &self.activities {
                    for (activity, slot) in activity_tasks.into_iter().zip(eager) {
                        activities.start(activity, slot, true);
                    }
                }
                Ok(workflow_task)
            }
            Err(error) => {
                let refusal = refused(of, &error);
                if is_too_large(Code::from(error.code), &error.message) {
                    self.report(of, too_large(request.task_token, &error)).await;
                }
                Err(refusal)
            }
        }
    }

    /// Fails a task whose commands the server would not take. Temporal's server ends the run when it gets them; so nothing
    /// is lost until other code is deployed.
    async fn refuse(&self, of: &RunName, task: TaskCompleted, message: String) -> String {
        let RunName { workflow_type, workflow_id, run_id } = of;
        tracing::warn!(
            workflow_type,
            workflow_id,
            run_id,
            attempt = task.attempt,
            "{message}; the workflow task fails, and will be tried again"
        );
        let info = ApplicationFailureInfo { r#type: "PayloadsTooLarge".to_owned(), ..Default::default() };
        let failure = Failure {
            message: message.clone(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
            ..Default::default()
        };
        let cause = WorkflowTaskFailedCause::PayloadsTooLarge;
        let failed = TaskFailed { task_token: task.task_token, cause, failure, attempt: task.attempt };
        self.report(of, failed).await;
        message
    }

    /// Reserves slots for activities that the commands allow to start at once, and takes the wish out of the others.
    fn reserve_eager(&self, commands: &mut [Command]) -> Vec<Slot> {
        let task_queue = &self.context.settings.task_queue;
        let mut wanted = 0;
        ask_eagerly(commands, |queue| {
            let is_ours = queue == task_queue;
            wanted += usize::from(is_ours);
            is_ours
        });
        if wanted == 0 {
            return Vec::new();
        }
        let limit = self.context.settings.max_eager_activities.min(wanted);
        let slots = self.activities.as_ref().map_or_else(Vec::new, |a| a.reserve_eager(limit));
        let mut left = slots.len();
        ask_eagerly(commands, |_| {
            let granted = left > 0;
            left = left.saturating_sub(1);
            granted
        });
        slots
    }

    fn version_stamp(&self) -> Option<WorkerVersionStamp> {
        let build_id = &self.context.settings.build_id;
        (!build_id.is_empty())
            .then(|| WorkerVersionStamp { build_id: build_id.clone(), use_versioning: false })
    }

    /// The SDK's name goes into the first task of a run; later ones would only repeat it.
    fn sdk_metadata(
        &self,
        metadata: Option<WorkflowTaskCompletedMetadata>,
        is_new: bool,
    ) -> Option<WorkflowTaskCompletedMetadata> {
        if !is_new {
            return metadata;
        }
        let (name, version) = self.context.client.sdk();
        Some(WorkflowTaskCompletedMetadata {
            sdk_name: name.to_owned(),
            sdk_version: version.to_owned(),
            ..metadata.unwrap_or_default()
        })
    }

    fn answered(&self, is_taken: bool) {
        self.context.client.observer().see(&Seen::Answered { kind: TaskKind::Workflow, is_taken });
    }

    /// Logs that a task failed, and reports it.
    pub(super) async fn fail(&self, of: &RunName, task: TaskFailed) {
        let RunName { workflow_type, workflow_id, run_id } = of;
        // A target of its own: SDKs that log these failures themselves, with the user's logger, leave it out.
        tracing::warn!(
            target: "durably_core::task_failed",
            workflow_type,
            workflow_id,
            run_id,
            attempt = task.attempt,
            cause = task.cause.as_str_name(),
            "a workflow task failed: {}",
            task.failure.message
        );
        self.report(of, task).await;
    }

    /// Reports the first failure of a task. Later attempts are left to time out: reported, they would be retried
    /// without a pause.
    async fn report(&self, of: &RunName, task: TaskFailed) {
        if task.attempt > 1 {
            return;
        }
        let request = RespondWorkflowTaskFailedRequest {
            task_token: task.task_token,
            cause: task.cause as i32,
            failure: Some(task.failure),
            identity: self.context.settings.identity.clone(),
            namespace: self.context.client.namespace().to_owned(),
            ..Default::default()
        };
        let client = &self.context.client;
        let answer: Result<RespondWorkflowTaskFailedResponse, CallError> = client
            .rpc(methods::RESPOND_WORKFLOW_TASK_FAILED, &request, CALL_TIMEOUT, Some(client.retry_policy()))
            .await;
        self.answered(answer.is_ok());
        if let Err(error) = answer {
            refused(of, &error);
        }
    }

    /// Answers a query that came in a task of its own.
    pub(super) async fn answer(&self, of: &RunName, reply: QueryReply) {
        let mut request = RespondQueryTaskCompletedRequest {
            task_token: reply.task_token,
            namespace: self.context.client.namespace().to_owned(),
            cause: reply.cause as i32,
            ..Default::default()
        };
        match reply.result {
            Ok(result) => {
                request.completed_type = QueryResultType::Answered as i32;
                request.query_result = Some(result);
            }
            Err(failure) => {
                request.completed_type = QueryResultType::Failed as i32;
                request.error_message.clone_from(&failure.message);
                request.failure = Some(failure);
            }
        }
        let client = &self.context.client;
        let answer: Result<RespondQueryTaskCompletedResponse, CallError> = client
            .rpc(methods::RESPOND_QUERY_TASK_COMPLETED, &request, CALL_TIMEOUT, Some(client.retry_policy()))
            .await;
        self.answered(answer.is_ok());
        if let Err(error) = answer {
            // Usually nobody waits for it any more.
            let RunName { workflow_type, workflow_id, run_id } = of;
            tracing::debug!(
                workflow_type,
                workflow_id,
                run_id,
                error = error.message,
                "the server did not take a query's answer"
            );
        }
    }

    /// A page of a run's history, or why there is none.
    pub(super) async fn fetch(&self, of: &RunName, next_page_token: Bytes) -> Result<HistoryPage, String> {
        let RunName { workflow_type, workflow_id, run_id } = of;
        let client = &self.context.client;
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: client.namespace().to_owned(),
            execution: Some(WorkflowExecution { workflow_id: workflow_id.clone(), run_id: run_id.clone() }),
            next_page_token,
            ..Default::default()
        };
        let answer: Result<GetWorkflowExecutionHistoryResponse, CallError> = client
            .rpc(methods::GET_WORKFLOW_EXECUTION_HISTORY, &request, CALL_TIMEOUT, Some(client.retry_policy()))
            .await;
        answer.map(HistoryPage::from).map_err(|error| {
            if error.code != Code::NotFound as i32 {
                tracing::warn!(
                    workflow_type,
                    workflow_id,
                    run_id,
                    error = error.message,
                    "a history could not be fetched"
                );
            }
            error.message
        })
    }
}

/// The server would never hear of a task whose commands it can't receive, so it is told this instead.
fn too_large(task_token: Bytes, error: &CallError) -> TaskFailed {
    let message = format!(
        "the commands of this workflow task are too large for one message ({}): start fewer activities at once, or pass \
         references to large data instead of the data",
        error.message
    );
    let info = ApplicationFailureInfo { r#type: "GrpcMessageTooLarge".to_owned(), ..Default::default() };
    TaskFailed {
        task_token,
        cause: WorkflowTaskFailedCause::GrpcMessageTooLarge,
        failure: Failure {
            message,
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
            ..Default::default()
        },
        attempt: 1,
    }
}

/// Keeps the wish for an eager start only on the activities of the task queues that `keep` allows.
fn ask_eagerly(commands: &mut [Command], mut keep: impl FnMut(&str) -> bool) {
    for command in commands {
        if let Some(Attributes::ScheduleActivityTaskCommandAttributes(attributes)) = &mut command.attributes
            && attributes.request_eager_execution
        {
            let queue = attributes.task_queue.as_ref().map_or("", |q| q.name.as_str());
            attributes.request_eager_execution = keep(queue);
        }
    }
}

/// Logs a refusal by how surprising it is; gives what it says.
fn refused(of: &RunName, error: &CallError) -> String {
    let RunName { workflow_type, workflow_id, run_id } = of;
    if error.code == Code::NotFound as i32 {
        // The task timed out, or the run was closed meanwhile: it happens.
        tracing::debug!(
            workflow_type,
            workflow_id,
            run_id,
            error = error.message,
            "a workflow task was over before its answer came"
        );
    } else {
        tracing::warn!(
            workflow_type,
            workflow_id,
            run_id,
            error = error.message,
            code = error.code,
            "the server did not take a workflow task's answer; the task will be tried again"
        );
    }
    error.message.clone()
}
