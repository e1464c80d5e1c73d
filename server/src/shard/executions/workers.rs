//! Workers' answers: completed, failed and canceled tasks, heartbeats, and the end of a worker.

use std::sync::Arc;

use durably_proto::temporal::api::{common::v1::Payloads, failure::v1::Failure, workflowservice::v1::*};
use prost::Message;

use super::Executions;
use crate::{
    Namespace, ServiceError,
    engine::{Input, Output, state::TaskToken},
    matching::QueueKind,
    shard::{delivery::Offer, runs::Target, tasks::queue_key, work::Work},
};

impl Executions {
    pub async fn respond_workflow_task_completed(
        &self,
        namespace: &Namespace,
        request: RespondWorkflowTaskCompletedRequest,
    ) -> Result<RespondWorkflowTaskCompletedResponse, ServiceError> {
        let (token, target) = named_task(namespace, &request.task_token)?;
        let input = Input::CompleteWorkflowTask { token, request: Box::new(request) };
        let (seq, output) = self.ask(target, |target, reply| Work::Input { target, input, reply }).await?;
        let Output::WorkflowTaskCompleted(mut completed) = output else {
            return Err(ServiceError::not_found("workflow task not found."));
        };
        if let Some(refused) = completed.refused {
            return Err(ServiceError::invalid_argument(refused));
        }
        for task in &mut completed.eager_activities {
            task.workflow_namespace.clone_from(&namespace.name);
        }
        let workflow_task = match completed.new_task {
            Some(grant) => Some(self.fill_in(seq, grant).await?),
            None => None,
        };
        Ok(RespondWorkflowTaskCompletedResponse {
            workflow_task,
            activity_tasks: completed.eager_activities,
            reset_history_event_id: completed.reset_to.unwrap_or_default(),
        })
    }

    pub async fn respond_workflow_task_failed(
        &self,
        namespace: &Namespace,
        request: RespondWorkflowTaskFailedRequest,
    ) -> Result<RespondWorkflowTaskFailedResponse, ServiceError> {
        let (token, target) = named_task(namespace, &request.task_token)?;
        self.input(target, Input::FailWorkflowTask { token, request: Box::new(request) }).await?;
        Ok(RespondWorkflowTaskFailedResponse::default())
    }

    pub async fn respond_query_task_completed(
        &self,
        namespace: &Namespace,
        request: RespondQueryTaskCompletedRequest,
    ) -> Result<RespondQueryTaskCompletedResponse, ServiceError> {
        let (token, target) = named_task(namespace, &request.task_token)?;
        let shard = self.shard_index(&target.workflow_id);
        let request = Box::new(request);
        self.call(shard, |reply| Work::AnswerQuery { token, request, reply }).await?;
        Ok(RespondQueryTaskCompletedResponse::default())
    }

    pub async fn reset_sticky(
        &self,
        namespace: &Namespace,
        request: ResetStickyTaskQueueRequest,
    ) -> Result<ResetStickyTaskQueueResponse, ServiceError> {
        let target = Target::new(&namespace.id, request.execution.as_ref());
        self.input(target, Input::ResetSticky).await?;
        Ok(ResetStickyTaskQueueResponse::default())
    }

    /// Says whether a cancellation was requested.
    pub async fn heartbeat_activity(
        &self,
        activity: ActivityTask,
        details: Option<Payloads>,
    ) -> Result<bool, ServiceError> {
        let ActivityTask { token, target } = activity;
        match self.input(target, Input::HeartbeatActivity { token, details }).await? {
            Output::Heartbeat { cancel_requested } => Ok(cancel_requested),
            _ => Err(ServiceError::not_found("activity task not found")),
        }
    }

    pub async fn complete_activity(
        &self,
        activity: ActivityTask,
        result: Option<Payloads>,
        identity: String,
    ) -> Result<(), ServiceError> {
        let ActivityTask { token, target } = activity;
        self.input(target, Input::CompleteActivity { token, result, identity }).await.map(drop)
    }

    pub async fn fail_activity(
        &self,
        activity: ActivityTask,
        failure: Option<Failure>,
        heartbeat_details: Option<Payloads>,
        identity: String,
    ) -> Result<(), ServiceError> {
        let ActivityTask { token, target } = activity;
        let failure = Box::new(failure.unwrap_or_else(no_failure));
        self.input(target, Input::FailActivity { token, failure, heartbeat_details, identity })
            .await
            .map(drop)
    }

    pub async fn cancel_activity(
        &self,
        activity: ActivityTask,
        details: Option<Payloads>,
        identity: String,
    ) -> Result<(), ServiceError> {
        let ActivityTask { token, target } = activity;
        self.input(target, Input::CancelActivity { token, details, identity }).await.map(drop)
    }

    #[expect(clippy::unused_async, reason = "every RPC is an async method here")]
    /// The worker is going: its polls end without a task, and tasks on its sticky queue go to the normal queues at once.
    pub async fn shutdown_worker(
        &self,
        namespace: &Namespace,
        request: ShutdownWorkerRequest,
    ) -> Result<ShutdownWorkerResponse, ServiceError> {
        self.inner.matching.end_polls(&request.worker_instance_key);
        // Whoever waits for a run of the worker may wait in vain now.
        self.wake_shards();
        if !request.sticky_task_queue.is_empty() {
            let namespace_id = Arc::from(namespace.id.as_str());
            let key = queue_key(&namespace_id, &request.sticky_task_queue, QueueKind::Workflow);
            for offer in self.inner.matching.remove(&key) {
                // What was started already goes back to its run by being dropped.
                if let Offer::Task(task) = offer {
                    self.send(task.shard, Work::LeaveStickyQueue(task));
                }
            }
        }
        Ok(ShutdownWorkerResponse::default())
    }
}

fn no_failure() -> Failure {
    Failure { message: "the worker reported a failure without saying which".into(), ..Default::default() }
}

/// The task that a token names.
fn named_task(namespace: &Namespace, token: &[u8]) -> Result<(TaskToken, Target), ServiceError> {
    let token = TaskToken::decode(token)
        .ok()
        .filter(|token| !token.run_id.is_empty())
        .ok_or_else(|| ServiceError::invalid_argument("task_token is not one that this server gave out"))?;
    if token.namespace_id != namespace.id {
        return Err(ServiceError::invalid_argument("the task belongs to another namespace"));
    }
    let target = Target::named(&token.namespace_id, &token.workflow_id, &token.run_id);
    Ok((token, target))
}

/// The attempt of an activity that a worker's call is about.
pub struct ActivityTask {
    token: TaskToken,
    target: Target,
}

impl ActivityTask {
    /// The one that came with this token.
    pub fn by_token(namespace: &Namespace, token: &[u8]) -> Result<Self, ServiceError> {
        let (token, target) = named_task(namespace, token)?;
        Ok(Self { token, target })
    }

    /// The current one of the activity of this id; without a run id, of the workflow's current run.
    pub fn by_id(namespace: &Namespace, workflow_id: &str, run_id: &str, activity_id: String) -> Self {
        let token = TaskToken { activity_id, ..Default::default() };
        Self { token, target: Target::named(&namespace.id, workflow_id, run_id) }
    }
}
