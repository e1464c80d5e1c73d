//! Starting, signalling, querying, ending and reading one workflow.

use std::time::{Duration, Instant};

use durably_proto::temporal::api::{
    enums::v1::{HistoryEventFilterType, QueryRejectCondition},
    workflow::v1::OnConflictOptions,
    workflowservice::v1::*,
};

use super::{Caller, Frontend, validate};
use crate::{
    Namespace,
    engine::can_signal_with_start,
    error::{ErrorKind, ServiceError},
};

/// Largest page of history events.
const MAX_HISTORY_PAGE: i32 = 256;

/// A query whose caller set no deadline, or a later one, ends after this.
const LONGEST_QUERY: Duration = Duration::from_secs(30);
/// How long a query waits for a worker of a queue that nobody polls.
const PATIENCE_WITHOUT_WORKER: Duration = Duration::from_secs(10);
/// What is left of a deadline when its caller is told that there is no worker.
const TO_SAY_SO: Duration = Duration::from_secs(1);

/// Refuses what a request asks for and this server does not do yet: ignoring it would change what the workflow means.
pub(super) fn not_offered(asked: bool, what: &str) -> Result<(), ServiceError> {
    if asked {
        return Err(ServiceError::unimplemented(format!(
            "{what} is not offered by this server; leave it out"
        )));
    }
    Ok(())
}

/// The checks and defaults that a start and a signal-with-start have in common: their messages differ in type only.
macro_rules! check_start {
    ($request:expr, signals: $signals:expr) => {{
        let request: &mut _ = &mut *$request;
        validate::id("workflow_id", &request.workflow_id)?;
        validate::workflow_type(request.workflow_type.as_ref())?;
        validate::task_queue(request.task_queue.as_ref())?;
        validate::optional_id("identity", &request.identity)?;
        validate::request_id(&mut request.request_id)?;
        validate::duration("workflow_execution_timeout", request.workflow_execution_timeout.as_mut())?;
        validate::duration("workflow_run_timeout", request.workflow_run_timeout.as_mut())?;
        validate::duration("workflow_task_timeout", request.workflow_task_timeout.as_mut())?;
        validate::duration("workflow_start_delay", request.workflow_start_delay.as_mut())?;
        validate::retry_policy(request.retry_policy.as_ref())?;
        validate::id_policies(
            &mut request.workflow_id_reuse_policy,
            &mut request.workflow_id_conflict_policy,
            $signals,
        )?;
        validate::payloads("input", request.input.as_ref())?;
        validate::memo(request.memo.as_ref())?;
        validate::header(request.header.as_ref())?;
        validate::search_attributes(request.search_attributes.as_ref())?;
        validate::user_metadata(request.user_metadata.as_ref())?;
        validate::links(&request.links)?;
        validate::priority(request.priority.as_ref())?;
        not_offered(!request.cron_schedule.is_empty(), "cron_schedule")?;
        not_offered(request.versioning_override.is_some(), "versioning_override")?;
        not_offered(request.time_skipping_config.is_some(), "time_skipping_config")?;
    }};
}

/// The reason of a termination for which the caller gives none: the words of Temporal's server.
const TERMINATED: &str = "terminated by user via frontend";

/// What is asked of a start, whichever call it comes with.
pub(super) fn check_start(request: &mut StartWorkflowExecutionRequest) -> Result<(), ServiceError> {
    check_start!(request, signals: false);
    validate::payloads("last_completion_result", request.last_completion_result.as_ref())?;
    not_offered(!request.completion_callbacks.is_empty(), "completion_callbacks")?;
    // An empty message asks for nothing.
    let attaches = request.on_conflict_options.unwrap_or_default() != OnConflictOptions::default();
    not_offered(attaches, "on_conflict_options")
}

impl Frontend {
    pub(super) async fn start_workflow_execution(
        &self,
        caller: Caller,
        mut request: StartWorkflowExecutionRequest,
    ) -> Result<StartWorkflowExecutionResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        check_start(&mut request)?;
        let mut answer = self.executions().start_workflow(&namespace, request, caller.in_process).await?;
        if let Some(task) = &mut answer.eager_workflow_task {
            super::workflow_tasks::seal_task(&namespace, task);
        }
        Ok(answer)
    }

    pub(super) async fn signal_with_start_workflow_execution(
        &self,
        _: Caller,
        mut request: SignalWithStartWorkflowExecutionRequest,
    ) -> Result<SignalWithStartWorkflowExecutionResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        can_signal_with_start(request.workflow_id_conflict_policy).map_err(ServiceError::invalid_argument)?;
        check_start!(&mut request, signals: true);
        validate::id("signal_name", &request.signal_name)?;
        validate::payloads("signal_input", request.signal_input.as_ref())?;
        self.executions().signal_with_start(&namespace, request).await
    }

    pub(super) async fn signal_workflow_execution(
        &self,
        _: Caller,
        mut request: SignalWorkflowExecutionRequest,
    ) -> Result<SignalWorkflowExecutionResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.workflow_execution.as_ref())?;
        validate::id("signal_name", &request.signal_name)?;
        validate::optional_id("identity", &request.identity)?;
        validate::request_id(&mut request.request_id)?;
        validate::payloads("input", request.input.as_ref())?;
        validate::header(request.header.as_ref())?;
        validate::links(&request.links)?;
        self.executions().signal(&namespace, request).await
    }

    pub(super) async fn request_cancel_workflow_execution(
        &self,
        _: Caller,
        mut request: RequestCancelWorkflowExecutionRequest,
    ) -> Result<RequestCancelWorkflowExecutionResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.workflow_execution.as_ref())?;
        validate::run_id("first_execution_run_id", &request.first_execution_run_id)?;
        validate::optional_id("identity", &request.identity)?;
        validate::request_id(&mut request.request_id)?;
        validate::links(&request.links)?;
        self.executions().request_cancel(&namespace, request).await
    }

    pub(super) async fn terminate_workflow_execution(
        &self,
        _: Caller,
        mut request: TerminateWorkflowExecutionRequest,
    ) -> Result<TerminateWorkflowExecutionResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.workflow_execution.as_ref())?;
        validate::run_id("first_execution_run_id", &request.first_execution_run_id)?;
        validate::optional_id("identity", &request.identity)?;
        validate::payloads("details", request.details.as_ref())?;
        validate::links(&request.links)?;
        if request.reason.is_empty() {
            TERMINATED.clone_into(&mut request.reason);
        }
        self.executions().terminate(&namespace, request).await
    }

    pub(super) async fn query_workflow(
        &self,
        caller: Caller,
        request: QueryWorkflowRequest,
    ) -> Result<QueryWorkflowResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.execution.as_ref())?;
        let Some(query) = &request.query else {
            return Err(ServiceError::invalid_argument("query is not set; send at least its query_type"));
        };
        validate::id("query.query_type", &query.query_type)?;
        validate::payloads("query.query_args", query.query_args.as_ref())?;
        validate::header(query.header.as_ref())?;
        if QueryRejectCondition::try_from(request.query_reject_condition).is_err() {
            return Err(ServiceError::invalid_argument(format!(
                "query_reject_condition {} is unknown; send NONE, NOT_OPEN or NOT_COMPLETED_CLEANLY",
                request.query_reject_condition
            )));
        }
        self.bounded_query(&namespace, caller, request).await
    }

    /// A query ends with its caller's deadline, and at the latest after [`LONGEST_QUERY`]. While there is still time to
    /// say so, it ends with what is most often the reason: that no worker is there to answer.
    async fn bounded_query(
        &self,
        namespace: &Namespace,
        caller: Caller,
        request: QueryWorkflowRequest,
    ) -> Result<QueryWorkflowResponse, ServiceError> {
        let begun = Instant::now();
        let longest = begun + LONGEST_QUERY;
        let end = caller.deadline.map_or(longest, |deadline| deadline.min(longest));
        let left = end.saturating_duration_since(begun);
        // A caller with hardly any time hears of its deadline.
        let look = match left.checked_sub(TO_SAY_SO) {
            Some(left) if !left.is_zero() => begun + left.min(PATIENCE_WITHOUT_WORKER),
            _ => end,
        };
        let execution = request.execution.clone();
        let workflow_id = execution.as_ref().map_or_else(String::new, |of| of.workflow_id.clone());
        let query_type = request.query.as_ref().map_or_else(String::new, |query| query.query_type.clone());
        let mut asked = Box::pin(self.executions().query(namespace, request));
        if let Ok(answer) = tokio::time::timeout_at(look.into(), &mut asked).await {
            return answer;
        }
        let error = if look == end || self.executions().has_worker(namespace, execution.as_ref()).await? {
            match tokio::time::timeout_at(end.into(), &mut asked).await {
                Ok(answer) => return answer,
                Err(_) => ServiceError::new(
                    ErrorKind::DeadlineExceeded,
                    format!(
                        "no worker answered the query '{query_type}' in time; see whether its workers are busy"
                    ),
                ),
            }
        } else {
            // The words that programs look for.
            ServiceError::failed_precondition("no poller seen for task queue recently, worker may be down")
        };
        drop(asked);
        self.executions().forget_vanished_queries(&workflow_id);
        Err(error)
    }

    pub(super) async fn describe_workflow_execution(
        &self,
        _: Caller,
        request: DescribeWorkflowExecutionRequest,
    ) -> Result<DescribeWorkflowExecutionResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.execution.as_ref())?;
        self.executions().describe(&namespace, request).await
    }

    pub(super) async fn get_workflow_execution_history(
        &self,
        _: Caller,
        mut request: GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.execution.as_ref())?;
        validate::page_size(&mut request.maximum_page_size, MAX_HISTORY_PAGE);
        if HistoryEventFilterType::try_from(request.history_event_filter_type).is_err() {
            return Err(ServiceError::invalid_argument(format!(
                "history_event_filter_type {} is unknown; send ALL_EVENT or CLOSE_EVENT",
                request.history_event_filter_type
            )));
        }
        self.executions().history(&namespace, request).await
    }

    pub(super) async fn get_workflow_execution_history_reverse(
        &self,
        _: Caller,
        mut request: GetWorkflowExecutionHistoryReverseRequest,
    ) -> Result<GetWorkflowExecutionHistoryReverseResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::execution(request.execution.as_ref())?;
        validate::page_size(&mut request.maximum_page_size, MAX_HISTORY_PAGE);
        self.executions().history_reverse(&namespace, request).await
    }
}
