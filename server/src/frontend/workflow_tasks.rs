//! What a worker does with workflow tasks: poll, complete, fail, answer queries.

use durably_proto::parts::{What, parts, says};
use durably_proto::temporal::api::{
    command::v1::Command,
    enums::v1::{QueryResultType, WorkflowTaskFailedCause},
    protocol::v1::Message as ProtocolMessage,
    update::v1::Response as UpdateResponse,
    workflowservice::v1::*,
};
use prost::Message;

use super::{
    Caller, Frontend,
    activity_tasks::{FAILURE_TOO_LARGE, server_failure, too_large},
    tokens::{self, TokenKind},
    validate,
};
use crate::{Namespace, error::ServiceError};

impl Frontend {
    pub(super) async fn poll_workflow_task_queue(
        &self,
        caller: Caller,
        request: PollWorkflowTaskQueueRequest,
    ) -> Result<PollWorkflowTaskQueueResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::task_queue(request.task_queue.as_ref())?;
        validate::optional_id("identity", &request.identity)?;
        validate::optional_id("worker_instance_key", &request.worker_instance_key)?;
        let context = caller.poll_context()?;
        let mut answer = self.executions().poll_workflow_task(&namespace, request, context).await?;
        seal_task(&namespace, &mut answer);
        Ok(answer)
    }

    pub(super) async fn respond_workflow_task_completed(
        &self,
        _: Caller,
        mut request: RespondWorkflowTaskCompletedRequest,
    ) -> Result<RespondWorkflowTaskCompletedResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        request.task_token = tokens::open(&namespace, TokenKind::Workflow, &request.task_token)?;
        validate::optional_id("identity", &request.identity)?;
        if request.intermediate_page || request.page_number > 0 {
            return Err(ServiceError::unimplemented(
                "completing a workflow task in pages is not offered by this server; send one request",
            ));
        }
        let too_large = too_large_command(&request.commands).or_else(|| too_large_message(&request.messages));
        if let Some(message) = too_large {
            let cause = WorkflowTaskFailedCause::PayloadsTooLarge;
            return self.refuse_completion(&namespace, request, cause, message).await;
        }
        let mut answer = self.executions().respond_workflow_task_completed(&namespace, request).await?;
        if let Some(task) = &mut answer.workflow_task {
            seal_task(&namespace, task);
        }
        for task in &mut answer.activity_tasks {
            tokens::seal(&namespace, TokenKind::Activity, &mut task.task_token);
        }
        Ok(answer)
    }

    /// Fails the workflow task, so that the history says why the workflow does not go on, and tells the worker.
    async fn refuse_completion(
        &self,
        namespace: &Namespace,
        request: RespondWorkflowTaskCompletedRequest,
        cause: WorkflowTaskFailedCause,
        message: String,
    ) -> Result<RespondWorkflowTaskCompletedResponse, ServiceError> {
        let failed = RespondWorkflowTaskFailedRequest {
            task_token: request.task_token,
            cause: cause as i32,
            failure: Some(server_failure(&message, false)),
            identity: request.identity,
            namespace: request.namespace,
            ..Default::default()
        };
        self.executions().respond_workflow_task_failed(namespace, failed).await?;
        Err(ServiceError::invalid_argument(message))
    }

    pub(super) async fn respond_workflow_task_failed(
        &self,
        _: Caller,
        mut request: RespondWorkflowTaskFailedRequest,
    ) -> Result<RespondWorkflowTaskFailedResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        request.task_token = tokens::open(&namespace, TokenKind::Workflow, &request.task_token)?;
        validate::optional_id("identity", &request.identity)?;
        if WorkflowTaskFailedCause::try_from(request.cause).is_err() {
            return Err(ServiceError::invalid_argument(format!(
                "cause {} is unknown; send a WorkflowTaskFailedCause of the API",
                request.cause
            )));
        }
        // The attempt has failed either way; refusing the report would leave the task to its time-out.
        request.failure = too_large(FAILURE_TOO_LARGE, request.failure.as_ref(), false).or(request.failure);
        self.executions().respond_workflow_task_failed(&namespace, request).await
    }

    pub(super) async fn respond_query_task_completed(
        &self,
        _: Caller,
        mut request: RespondQueryTaskCompletedRequest,
    ) -> Result<RespondQueryTaskCompletedResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        request.task_token = tokens::open(&namespace, TokenKind::Query, &request.task_token)?;
        // Whoever asked is waiting: an answer that is too large becomes a failed query.
        let length = request.query_result.as_ref().map_or(0, Message::encoded_len);
        if length > validate::MAX_BLOB {
            request.completed_type = QueryResultType::Failed as i32;
            request.query_result = None;
            request.error_message = format!(
                "the query's result has {length} bytes; at most {} are allowed. Answer with less, or a reference",
                validate::MAX_BLOB
            );
        }
        self.executions().respond_query_task_completed(&namespace, request).await
    }

    pub(super) async fn reset_sticky_task_queue(
        &self,
        _: Caller,
        request: ResetStickyTaskQueueRequest,
    ) -> Result<ResetStickyTaskQueueResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.execution.as_ref())?;
        self.executions().reset_sticky(&namespace, request).await
    }
}

/// Seals the token of a workflow task, or of the query that comes in the form of one.
pub(super) fn seal_task(namespace: &Namespace, task: &mut PollWorkflowTaskQueueResponse) {
    let kind = if task.query.is_some() { TokenKind::Query } else { TokenKind::Workflow };
    tokens::seal(namespace, kind, &mut task.task_token);
}

/// Says of the first answer to an update that has too much which one it is and what it takes.
fn too_large_message(messages: &[ProtocolMessage]) -> Option<String> {
    // An acceptance brings along what was asked, which was within the limit, and names.
    let limit = |message: &&ProtocolMessage| {
        let body = message.body.as_ref().map_or(0, |body| body.value.len());
        body > 2 * validate::MAX_BLOB || (body > validate::MAX_BLOB && says::<UpdateResponse>(message))
    };
    let message = messages.iter().find(limit)?;
    Some(format!(
        "the workflow's answer to the update {} has {} bytes; at most {} are allowed. Store large data elsewhere and pass a \
         reference",
        message.protocol_instance_id,
        message.encoded_len(),
        validate::MAX_BLOB
    ))
}

/// Says of the first command that has too much what it is and what it takes.
fn too_large_command(commands: &[Command]) -> Option<String> {
    let large = |command: &&Command| command.encoded_len() > validate::MAX_BLOB;
    let parts =
        commands.iter().filter(large).filter_map(|command| command.attributes.as_ref()).flat_map(parts);
    let part = parts.into_iter().find(|part| part.bytes > validate::MAX_BLOB)?;
    let what = match part.what {
        What::OfWorkflow(noun, verb) => format!("the workflow's {noun} {verb}"),
        What::Of(what) => what,
    };
    Some(format!(
        "{what} {} bytes; at most {} are allowed. Store large data elsewhere and pass a reference",
        part.bytes,
        validate::MAX_BLOB
    ))
}
