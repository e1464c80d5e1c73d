//! What a worker does with activity tasks: poll, heartbeat, complete, fail, cancel; by task token or by id.
//!
//! A result, failure or heartbeat that is too large does not bounce: the worker would drop it and the activity hang
//! until its time-out. It fails the activity with a server failure that says so, as Temporal does.

use bytes::Bytes;
use durably_proto::temporal::api::{
    common::v1::Payloads,
    failure::v1::{Failure, ServerFailureInfo, failure::FailureInfo},
    workflowservice::v1::*,
};
use prost::Message;

use super::{
    Caller, Frontend,
    tokens::{self, TokenKind},
    validate,
};
use crate::{error::ServiceError, shard::ActivityTask};

const RESULT_TOO_LARGE: &str = "Complete result exceeds size limit.";
pub(super) const FAILURE_TOO_LARGE: &str = "Failure exceeds size limit.";
const HEARTBEAT_TOO_LARGE: &str = "Heartbeat details exceed size limit.";
const DETAILS_TOO_LARGE: &str = "Cancel details exceed size limit.";

pub(super) fn server_failure(message: &str, non_retryable: bool) -> Failure {
    Failure {
        message: message.to_owned(),
        source: "Server".to_owned(),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable })),
        ..Default::default()
    }
}

/// Why the message is refused as too large, as a failure; `None` if it isn't.
/// `what` says it in the words of Temporal's server.
pub(super) fn too_large(what: &str, message: Option<&impl Message>, non_retryable: bool) -> Option<Failure> {
    let size = message.map_or(0, Message::encoded_len);
    let allowed = validate::MAX_BLOB;
    (size > allowed).then(|| {
        let advice = "store large data elsewhere and pass a reference";
        let told = format!("{what} It takes {size} bytes; at most {allowed} are allowed: {advice}.");
        server_failure(&told, non_retryable)
    })
}

/// How a call names its activity: by the token that came with the task, or by ids.
#[derive(Clone, Copy)]
enum Named<'a> {
    Token(&'a Bytes),
    Ids { workflow_id: &'a str, run_id: &'a str, activity_id: &'a str },
}

fn ids<'a>(workflow_id: &'a str, run_id: &'a str, activity_id: &'a str) -> Named<'a> {
    Named::Ids { workflow_id, run_id, activity_id }
}

/// What workers do with a task, however they name it.
impl Frontend {
    fn activity(&self, namespace: &str, named: Named<'_>) -> Result<ActivityTask, ServiceError> {
        let namespace = self.namespace(namespace)?;
        match named {
            Named::Token(sealed) => {
                ActivityTask::by_token(&namespace, &tokens::open(&namespace, TokenKind::Activity, sealed)?)
            }
            Named::Ids { workflow_id, run_id, activity_id } => {
                if workflow_id.is_empty() {
                    return Err(ServiceError::not_found(
                        "there are no activities outside workflows on this server; send the workflow_id",
                    ));
                }
                validate::id("workflow_id", workflow_id)?;
                validate::run_id("run_id", run_id)?;
                validate::id("activity_id", activity_id)?;
                Ok(ActivityTask::by_id(&namespace, workflow_id, run_id, activity_id.to_owned()))
            }
        }
    }

    /// Says whether the worker shall give up, because a cancellation was requested or the details were too large.
    async fn heartbeat_activity(
        &self,
        activity: ActivityTask,
        details: Option<Payloads>,
        identity: String,
    ) -> Result<bool, ServiceError> {
        validate::optional_id("identity", &identity)?;
        if let Some(failure) = too_large(HEARTBEAT_TOO_LARGE, details.as_ref(), true) {
            self.fail_for(failure, activity, identity).await?;
            return Ok(true);
        }
        self.executions().heartbeat_activity(activity, details).await
    }

    async fn complete_activity(
        &self,
        activity: ActivityTask,
        result: Option<Payloads>,
        identity: String,
    ) -> Result<(), ServiceError> {
        validate::optional_id("identity", &identity)?;
        if let Some(failure) = too_large(RESULT_TOO_LARGE, result.as_ref(), true) {
            return self.fail_for(failure, activity, identity).await;
        }
        self.executions().complete_activity(activity, result, identity).await
    }

    async fn fail_activity(
        &self,
        activity: ActivityTask,
        mut failure: Option<Failure>,
        mut heartbeat: Option<Payloads>,
        identity: String,
    ) -> Result<(), ServiceError> {
        validate::optional_id("identity", &identity)?;
        failure = too_large(FAILURE_TOO_LARGE, failure.as_ref(), true).or(failure);
        if let Some(refused) = too_large(HEARTBEAT_TOO_LARGE, heartbeat.as_ref(), true) {
            failure = Some(refused);
            heartbeat = None;
        }
        self.executions().fail_activity(activity, failure, heartbeat, identity).await
    }

    async fn cancel_activity(
        &self,
        activity: ActivityTask,
        details: Option<Payloads>,
        identity: String,
    ) -> Result<(), ServiceError> {
        validate::optional_id("identity", &identity)?;
        if let Some(failure) = too_large(DETAILS_TOO_LARGE, details.as_ref(), true) {
            return self.fail_for(failure, activity, identity).await;
        }
        self.executions().cancel_activity(activity, details, identity).await
    }

    async fn fail_for(
        &self,
        failure: Failure,
        activity: ActivityTask,
        identity: String,
    ) -> Result<(), ServiceError> {
        self.executions().fail_activity(activity, Some(failure), None, identity).await
    }
}

impl Frontend {
    pub(super) async fn poll_activity_task_queue(
        &self,
        caller: Caller,
        request: PollActivityTaskQueueRequest,
    ) -> Result<PollActivityTaskQueueResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::task_queue(request.task_queue.as_ref())?;
        validate::optional_id("identity", &request.identity)?;
        validate::optional_id("worker_instance_key", &request.worker_instance_key)?;
        let context = caller.poll_context()?;
        let mut answer = self.executions().poll_activity_task(&namespace, request, context).await?;
        tokens::seal(&namespace, TokenKind::Activity, &mut answer.task_token);
        Ok(answer)
    }

    pub(super) async fn record_activity_task_heartbeat(
        &self,
        _: Caller,
        r: RecordActivityTaskHeartbeatRequest,
    ) -> Result<RecordActivityTaskHeartbeatResponse, ServiceError> {
        let activity = self.activity(&r.namespace, Named::Token(&r.task_token))?;
        let cancel_requested = self.heartbeat_activity(activity, r.details, r.identity).await?;
        Ok(RecordActivityTaskHeartbeatResponse { cancel_requested, ..Default::default() })
    }

    pub(super) async fn record_activity_task_heartbeat_by_id(
        &self,
        _: Caller,
        r: RecordActivityTaskHeartbeatByIdRequest,
    ) -> Result<RecordActivityTaskHeartbeatByIdResponse, ServiceError> {
        let activity = self.activity(&r.namespace, ids(&r.workflow_id, &r.run_id, &r.activity_id))?;
        let cancel_requested = self.heartbeat_activity(activity, r.details, r.identity).await?;
        Ok(RecordActivityTaskHeartbeatByIdResponse { cancel_requested, ..Default::default() })
    }

    pub(super) async fn respond_activity_task_completed(
        &self,
        _: Caller,
        r: RespondActivityTaskCompletedRequest,
    ) -> Result<RespondActivityTaskCompletedResponse, ServiceError> {
        let activity = self.activity(&r.namespace, Named::Token(&r.task_token))?;
        self.complete_activity(activity, r.result, r.identity).await?;
        Ok(RespondActivityTaskCompletedResponse {})
    }

    pub(super) async fn respond_activity_task_completed_by_id(
        &self,
        _: Caller,
        r: RespondActivityTaskCompletedByIdRequest,
    ) -> Result<RespondActivityTaskCompletedByIdResponse, ServiceError> {
        let activity = self.activity(&r.namespace, ids(&r.workflow_id, &r.run_id, &r.activity_id))?;
        self.complete_activity(activity, r.result, r.identity).await?;
        Ok(RespondActivityTaskCompletedByIdResponse {})
    }

    pub(super) async fn respond_activity_task_failed(
        &self,
        _: Caller,
        r: RespondActivityTaskFailedRequest,
    ) -> Result<RespondActivityTaskFailedResponse, ServiceError> {
        let activity = self.activity(&r.namespace, Named::Token(&r.task_token))?;
        self.fail_activity(activity, r.failure, r.last_heartbeat_details, r.identity).await?;
        Ok(RespondActivityTaskFailedResponse::default())
    }

    pub(super) async fn respond_activity_task_failed_by_id(
        &self,
        _: Caller,
        r: RespondActivityTaskFailedByIdRequest,
    ) -> Result<RespondActivityTaskFailedByIdResponse, ServiceError> {
        let activity = self.activity(&r.namespace, ids(&r.workflow_id, &r.run_id, &r.activity_id))?;
        self.fail_activity(activity, r.failure, r.last_heartbeat_details, r.identity).await?;
        Ok(RespondActivityTaskFailedByIdResponse::default())
    }

    pub(super) async fn respond_activity_task_canceled(
        &self,
        _: Caller,
        r: RespondActivityTaskCanceledRequest,
    ) -> Result<RespondActivityTaskCanceledResponse, ServiceError> {
        let activity = self.activity(&r.namespace, Named::Token(&r.task_token))?;
        self.cancel_activity(activity, r.details, r.identity).await?;
        Ok(RespondActivityTaskCanceledResponse {})
    }

    pub(super) async fn respond_activity_task_canceled_by_id(
        &self,
        _: Caller,
        r: RespondActivityTaskCanceledByIdRequest,
    ) -> Result<RespondActivityTaskCanceledByIdResponse, ServiceError> {
        let activity = self.activity(&r.namespace, ids(&r.workflow_id, &r.run_id, &r.activity_id))?;
        self.cancel_activity(activity, r.details, r.identity).await?;
        Ok(RespondActivityTaskCanceledByIdResponse {})
    }
}
