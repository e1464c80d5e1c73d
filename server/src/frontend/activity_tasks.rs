//! What a worker does with activity tasks: poll, heartbeat, complete, fail, cancel; by task token or by id.
//!
//! A result, failure or heartbeat that is too large does not bounce: the worker would drop it and the activity hang
//! until its time-out. It fails the activity with a server failure that says so, as Temporal does.

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
use crate::error::ServiceError;

const RESULT_TOO_LARGE: &str = "COMPLETE_RESULT_EXCEEDS_LIMIT";
const FAILURE_TOO_LARGE: &str = "FAILURE_EXCEEDS_LIMIT";
const HEARTBEAT_TOO_LARGE: &str = "HEARTBEAT_EXCEEDS_LIMIT";
const DETAILS_TOO_LARGE: &str = "CANCEL_DETAILS_EXCEEDS_LIMIT";

pub(super) fn server_failure(message: &str, non_retryable: bool) -> Failure {
    Failure {
        message: message.to_owned(),
        source: "Server".to_owned(),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable })),
        ..Default::default()
    }
}

fn too_large(message: Option<&impl Message>) -> bool {
    message.is_some_and(|message| message.encoded_len() > validate::MAX_BLOB)
}

fn shrink(failure: &mut Option<Failure>, heartbeat: &mut Option<Payloads>) {
    if too_large(failure.as_ref()) {
        *failure = Some(server_failure(FAILURE_TOO_LARGE, true));
    }
    if too_large(heartbeat.as_ref()) {
        *failure = Some(server_failure(HEARTBEAT_TOO_LARGE, true));
        *heartbeat = None;
    }
}

fn activity(workflow_id: &str, run_id: &str, activity_id: &str) -> Result<(), ServiceError> {
    if workflow_id.is_empty() {
        return Err(ServiceError::not_found(
            "there are no activities outside workflows on this server; send the workflow_id",
        ));
    }
    validate::id("workflow_id", workflow_id)?;
    validate::run_id("run_id", run_id)?;
    validate::id("activity_id", activity_id)
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
        caller: Caller,
        mut request: RecordActivityTaskHeartbeatRequest,
    ) -> Result<RecordActivityTaskHeartbeatResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        let token = tokens::open(&namespace, TokenKind::Activity, &request.task_token)?;
        validate::optional_id("identity", &request.identity)?;
        if too_large(request.details.as_ref()) {
            let failed = RespondActivityTaskFailedRequest {
                task_token: request.task_token,
                failure: Some(server_failure(HEARTBEAT_TOO_LARGE, true)),
                identity: request.identity,
                namespace: request.namespace,
                ..Default::default()
            };
            self.respond_activity_task_failed(caller, failed).await?;
            return Ok(RecordActivityTaskHeartbeatResponse { cancel_requested: true, ..Default::default() });
        }
        request.task_token = token;
        self.executions().record_activity_heartbeat(&namespace, request).await
    }

    pub(super) async fn record_activity_task_heartbeat_by_id(
        &self,
        caller: Caller,
        request: RecordActivityTaskHeartbeatByIdRequest,
    ) -> Result<RecordActivityTaskHeartbeatByIdResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        activity(&request.workflow_id, &request.run_id, &request.activity_id)?;
        validate::optional_id("identity", &request.identity)?;
        if too_large(request.details.as_ref()) {
            let failed = RespondActivityTaskFailedByIdRequest {
                namespace: request.namespace,
                workflow_id: request.workflow_id,
                run_id: request.run_id,
                activity_id: request.activity_id,
                failure: Some(server_failure(HEARTBEAT_TOO_LARGE, true)),
                identity: request.identity,
                ..Default::default()
            };
            self.respond_activity_task_failed_by_id(caller, failed).await?;
            return Ok(RecordActivityTaskHeartbeatByIdResponse {
                cancel_requested: true,
                ..Default::default()
            });
        }
        self.executions().record_activity_heartbeat_by_id(&namespace, request).await
    }

    pub(super) async fn respond_activity_task_completed(
        &self,
        caller: Caller,
        mut request: RespondActivityTaskCompletedRequest,
    ) -> Result<RespondActivityTaskCompletedResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        let token = tokens::open(&namespace, TokenKind::Activity, &request.task_token)?;
        validate::optional_id("identity", &request.identity)?;
        if too_large(request.result.as_ref()) {
            let failed = RespondActivityTaskFailedRequest {
                task_token: request.task_token,
                failure: Some(server_failure(RESULT_TOO_LARGE, true)),
                identity: request.identity,
                namespace: request.namespace,
                ..Default::default()
            };
            self.respond_activity_task_failed(caller, failed).await?;
            return Ok(RespondActivityTaskCompletedResponse {});
        }
        request.task_token = token;
        self.executions().respond_activity_completed(&namespace, request).await
    }

    pub(super) async fn respond_activity_task_completed_by_id(
        &self,
        caller: Caller,
        request: RespondActivityTaskCompletedByIdRequest,
    ) -> Result<RespondActivityTaskCompletedByIdResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        activity(&request.workflow_id, &request.run_id, &request.activity_id)?;
        validate::optional_id("identity", &request.identity)?;
        if too_large(request.result.as_ref()) {
            let failed = RespondActivityTaskFailedByIdRequest {
                namespace: request.namespace,
                workflow_id: request.workflow_id,
                run_id: request.run_id,
                activity_id: request.activity_id,
                failure: Some(server_failure(RESULT_TOO_LARGE, true)),
                identity: request.identity,
                ..Default::default()
            };
            self.respond_activity_task_failed_by_id(caller, failed).await?;
            return Ok(RespondActivityTaskCompletedByIdResponse {});
        }
        self.executions().respond_activity_completed_by_id(&namespace, request).await
    }

    pub(super) async fn respond_activity_task_failed(
        &self,
        _: Caller,
        mut request: RespondActivityTaskFailedRequest,
    ) -> Result<RespondActivityTaskFailedResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        let token = tokens::open(&namespace, TokenKind::Activity, &request.task_token)?;
        validate::optional_id("identity", &request.identity)?;
        shrink(&mut request.failure, &mut request.last_heartbeat_details);
        request.task_token = token;
        self.executions().respond_activity_failed(&namespace, request).await
    }

    pub(super) async fn respond_activity_task_failed_by_id(
        &self,
        _: Caller,
        mut request: RespondActivityTaskFailedByIdRequest,
    ) -> Result<RespondActivityTaskFailedByIdResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        activity(&request.workflow_id, &request.run_id, &request.activity_id)?;
        validate::optional_id("identity", &request.identity)?;
        shrink(&mut request.failure, &mut request.last_heartbeat_details);
        self.executions().respond_activity_failed_by_id(&namespace, request).await
    }

    pub(super) async fn respond_activity_task_canceled(
        &self,
        caller: Caller,
        mut request: RespondActivityTaskCanceledRequest,
    ) -> Result<RespondActivityTaskCanceledResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        let token = tokens::open(&namespace, TokenKind::Activity, &request.task_token)?;
        validate::optional_id("identity", &request.identity)?;
        if too_large(request.details.as_ref()) {
            let failed = RespondActivityTaskFailedRequest {
                task_token: request.task_token,
                failure: Some(server_failure(DETAILS_TOO_LARGE, true)),
                identity: request.identity,
                namespace: request.namespace,
                ..Default::default()
            };
            self.respond_activity_task_failed(caller, failed).await?;
            return Ok(RespondActivityTaskCanceledResponse {});
        }
        request.task_token = token;
        self.executions().respond_activity_canceled(&namespace, request).await
    }

    pub(super) async fn respond_activity_task_canceled_by_id(
        &self,
        caller: Caller,
        request: RespondActivityTaskCanceledByIdRequest,
    ) -> Result<RespondActivityTaskCanceledByIdResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        activity(&request.workflow_id, &request.run_id, &request.activity_id)?;
        validate::optional_id("identity", &request.identity)?;
        if too_large(request.details.as_ref()) {
            let failed = RespondActivityTaskFailedByIdRequest {
                namespace: request.namespace,
                workflow_id: request.workflow_id,
                run_id: request.run_id,
                activity_id: request.activity_id,
                failure: Some(server_failure(DETAILS_TOO_LARGE, true)),
                identity: request.identity,
                ..Default::default()
            };
            self.respond_activity_task_failed_by_id(caller, failed).await?;
            return Ok(RespondActivityTaskCanceledByIdResponse {});
        }
        self.executions().respond_activity_canceled_by_id(&namespace, request).await
    }
}
