//! Updating a workflow, waiting for what comes of it, and starting the workflow for it.

use durably_proto::temporal::api::{
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    update::v1::WaitPolicy,
    workflowservice::v1::{execute_multi_operation_request::operation::Operation, *},
};
use uuid::Uuid;

use super::{Caller, Frontend, validate, workflows};
use crate::error::{ErrorKind, Operation as Outcome, ServiceError};

impl Frontend {
    pub(super) async fn update_workflow_execution(
        &self,
        _: Caller,
        mut request: UpdateWorkflowExecutionRequest,
    ) -> Result<UpdateWorkflowExecutionResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        check(&mut request)?;
        self.executions().update(&namespace, request).await
    }

    pub(super) async fn poll_workflow_execution_update(
        &self,
        _: Caller,
        request: PollWorkflowExecutionUpdateRequest,
    ) -> Result<PollWorkflowExecutionUpdateResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        let Some(update) = &request.update_ref else {
            return Err(ServiceError::invalid_argument("update_ref is not set; say which update is meant"));
        };
        validate::execution(update.workflow_execution.as_ref())?;
        // An update without an id is one that nobody has asked for.
        validate::optional_id("update_ref.update_id", &update.update_id)?;
        validate::optional_id("identity", &request.identity)?;
        stage_of(request.wait_policy)?;
        self.executions().poll_update(&namespace, request).await
    }

    /// Offered for exactly one pair: a start, and an update of the workflow that it starts.
    pub(super) async fn execute_multi_operation(
        &self,
        _: Caller,
        request: ExecuteMultiOperationRequest,
    ) -> Result<ExecuteMultiOperationResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        let operations = request.operations.into_iter().map(|operation| operation.operation);
        let operations: Vec<_> = operations.collect();
        let Ok([Some(Operation::StartWorkflow(mut start)), Some(Operation::UpdateWorkflow(mut update))]) =
            <[_; 2]>::try_from(operations)
        else {
            return Err(ServiceError::invalid_argument("Operations have to be exactly [Start, Update]."));
        };
        let checked = [
            can_be_updated(&start).and_then(|()| workflows::check_start(&mut start)),
            check(&mut update).and_then(|()| is_for_started(&update, &start)),
        ];
        if checked.iter().any(Result::is_err) {
            let outcome = |checked: Result<(), ServiceError>| {
                checked.map_or_else(Outcome::Failed, |()| Outcome::Aborted)
            };
            let operations = checked.into_iter().map(outcome).collect();
            let kind = ErrorKind::MultiOperation { operations };
            return Err(ServiceError::new(kind, "MultiOperation could not be executed."));
        }
        for named in [&start.namespace, &update.namespace] {
            if !named.is_empty() && *named != namespace.name {
                return Err(ServiceError::invalid_argument(format!(
                    "the operations are for the namespace {named}, and the call for {}; name one, or only that of the call",
                    namespace.name
                )));
            }
        }
        self.executions().update_with_start(&namespace, start, update).await
    }
}

/// What is asked of an update, whoever starts the workflow. One without an id gets one of its own.
fn check(request: &mut UpdateWorkflowExecutionRequest) -> Result<(), ServiceError> {
    validate::execution(request.workflow_execution.as_ref())?;
    validate::run_id("first_execution_run_id", &request.first_execution_run_id)?;
    let update = request.request.get_or_insert_default();
    let Some(meta) = &mut update.meta else {
        return Err(ServiceError::invalid_argument(
            "Update meta is not set: send request.meta, which may be empty",
        ));
    };
    if meta.update_id.is_empty() {
        meta.update_id = Uuid::new_v4().to_string();
    }
    validate::id("request.meta.update_id", &meta.update_id)?;
    validate::optional_id("request.meta.identity", &meta.identity)?;
    let Some(input) = &update.input else {
        return Err(ServiceError::invalid_argument("Update input is not set: send at least its name"));
    };
    validate::id("request.input.name", &input.name)?;
    validate::payloads("request.input.args", input.args.as_ref())?;
    validate::header(input.header.as_ref())?;
    validate::links(&update.links)?;
    workflows::not_offered(!update.completion_callbacks.is_empty(), "request.completion_callbacks")?;
    if stage_of(request.wait_policy)? == Stage::Admitted {
        return Err(ServiceError::new(
            ErrorKind::PermissionDenied,
            "wait_policy.lifecycle_stage ADMITTED is not allowed: an update that is not accepted is kept nowhere. Wait for \
             ACCEPTED or COMPLETED",
        ));
    }
    Ok(())
}

fn stage_of(policy: Option<WaitPolicy>) -> Result<Stage, ServiceError> {
    let number = policy.unwrap_or_default().lifecycle_stage;
    Stage::try_from(number).map_err(|_| {
        ServiceError::invalid_argument(format!(
            "wait_policy.lifecycle_stage {number} is unknown; send ACCEPTED or COMPLETED"
        ))
    })
}

/// Of a start, what does not go with an update that waits for it.
fn can_be_updated(start: &StartWorkflowExecutionRequest) -> Result<(), ServiceError> {
    let refused = if !start.cron_schedule.is_empty() {
        "CronSchedule is not allowed."
    } else if start.request_eager_execution {
        "RequestEagerExecution is not supported."
    } else if start.workflow_start_delay.is_some() {
        "WorkflowStartDelay is not supported."
    } else {
        return Ok(());
    };
    Err(ServiceError::invalid_argument(refused))
}

/// Of the update, what can't be known before the start.
fn is_for_started(
    update: &UpdateWorkflowExecutionRequest,
    start: &StartWorkflowExecutionRequest,
) -> Result<(), ServiceError> {
    let execution = update.workflow_execution.clone().unwrap_or_default();
    let refused = if !update.first_execution_run_id.is_empty() {
        "FirstExecutionRunId is not allowed."
    } else if !execution.run_id.is_empty() {
        "RunId is not allowed."
    } else if execution.workflow_id != start.workflow_id {
        "WorkflowId is not consistent with previous operation(s)."
    } else {
        return Ok(());
    };
    Err(ServiceError::invalid_argument(refused))
}
