//! Waiting for a workflow's end: long polls for its close event, from run to run. Where time can skip, it does meanwhile.

use std::{borrow::Cow, time::Duration};

use durably_proto::{
    durably::core::v1::{AwaitWorkflow, CallError, WorkflowResult, workflow_result},
    temporal::api::{
        common::v1::WorkflowExecution,
        enums::v1::HistoryEventFilterType,
        history::v1::history_event::Attributes,
        workflowservice::v1::{
            DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse,
            GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse,
        },
    },
};
use http::uri::PathAndQuery;
use tonic::{Code, metadata::MetadataMap};

use super::{
    CALL_TIMEOUT, Client, LONG_POLL_TIMEOUT, Plan, connect::add_metadata, error::call_error, methods, read,
    skipping::while_skipping,
};
use crate::{client::retry::RetryPolicy, convert::duration};

pub(super) async fn await_workflow(
    client: &Client,
    request: AwaitWorkflow,
) -> Result<WorkflowResult, CallError> {
    let timeout = duration(request.timeout.as_ref());
    let client = client.in_namespace(&request.namespace)?;
    let skips = client.inner.skipping.is_wanted(request.clock());
    let waiting = Waiting::new(&client, &request)?.wait(request);
    let waiting = async {
        match timeout {
            None => waiting.await,
            Some(timeout) => tokio::time::timeout(timeout, waiting).await.unwrap_or_else(|_| {
                let message = format!("the workflow did not close within {timeout:?}");
                Err(call_error(Code::DeadlineExceeded, message))
            }),
        }
    };
    if skips { while_skipping(&client, waiting).await } else { waiting.await }
}

struct Waiting<'a> {
    client: &'a Client,
    metadata: Cow<'a, MetadataMap>,
    retry: RetryPolicy,
}

/// The end of one run, and the run that follows it, if any.
struct Close {
    outcome: workflow_result::Outcome,
    next_run_id: String,
    retry_state: i32,
}

impl<'a> Waiting<'a> {
    fn new(client: &'a Client, request: &AwaitWorkflow) -> Result<Self, CallError> {
        let mut metadata = Cow::Borrowed(&client.scope.metadata);
        add_metadata(&mut metadata, &request.metadata)?;
        Ok(Self { client, metadata, retry: client.retry_policy().for_long_polls() })
    }

    async fn wait(self, request: AwaitWorkflow) -> Result<WorkflowResult, CallError> {
        let mut execution = WorkflowExecution { workflow_id: request.workflow_id, run_id: request.run_id };
        if execution.run_id.is_empty() {
            // No close event says which run it ended.
            execution.run_id = self.current_run(&execution).await?;
        }
        loop {
            let close = self.close_of(&execution).await?;
            if request.follow_runs && !close.next_run_id.is_empty() {
                execution.run_id = close.next_run_id;
                continue;
            }
            return Ok(WorkflowResult {
                run_id: execution.run_id,
                outcome: Some(close.outcome),
                retry_state: close.retry_state,
            });
        }
    }

    async fn current_run(&self, execution: &WorkflowExecution) -> Result<String, CallError> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            execution: Some(execution.clone()),
        };
        let response: DescribeWorkflowExecutionResponse =
            self.call(methods::DESCRIBE_WORKFLOW_EXECUTION, &request, CALL_TIMEOUT).await?;
        let info = response.workflow_execution_info.and_then(|info| info.execution);
        Ok(info.map(|e| e.run_id).unwrap_or_default())
    }

    async fn close_of(&self, execution: &WorkflowExecution) -> Result<Close, CallError> {
        let mut request = GetWorkflowExecutionHistoryRequest {
            namespace: self.client.namespace().to_owned(),
            execution: Some(execution.clone()),
            wait_new_event: true,
            history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
            skip_archival: true,
            ..Default::default()
        };
        loop {
            let answer: Result<GetWorkflowExecutionHistoryResponse, CallError> =
                self.call(methods::GET_WORKFLOW_EXECUTION_HISTORY, &request, LONG_POLL_TIMEOUT).await;
            let response = match answer {
                Ok(response) => response,
                // A long poll that ended empty-handed.
                Err(error) if error.code == Code::DeadlineExceeded as i32 => continue,
                Err(error) => return Err(error),
            };
            let last = response.history.and_then(|mut history| history.events.pop());
            if let Some(close) = last.and_then(|event| event.attributes).and_then(close) {
                return Ok(close);
            }
            request.next_page_token = response.next_page_token;
        }
    }

    /// Retried for as long as the caller waits.
    async fn call<Request, Response>(
        &self,
        path: &'static str,
        request: &Request,
        attempt_timeout: Duration,
    ) -> Result<Response, CallError>
    where
        Request: prost::Message,
        Response: prost::Message + prost::Name + Default + 'static,
    {
        let plan = Plan {
            path: &PathAndQuery::from_static(path),
            metadata: &self.metadata,
            timeout: None,
            attempt_timeout,
            retry: Some(&self.retry),
        };
        let answer = self.client.carry_out(plan, request.encode_to_vec().into()).await?;
        read(path, answer)
    }
}

/// What a close event says; `None` for any other event.
fn close(attributes: Attributes) -> Option<Close> {
    use workflow_result::{Outcome, Terminated};

    let retry_state = match &attributes {
        Attributes::WorkflowExecutionFailedEventAttributes(a) => a.retry_state,
        _ => 0,
    };
    let (outcome, next_run_id) = match attributes {
        Attributes::WorkflowExecutionCompletedEventAttributes(a) => {
            (Outcome::Completed(a.result.unwrap_or_default()), a.new_execution_run_id)
        }
        Attributes::WorkflowExecutionFailedEventAttributes(a) => {
            (Outcome::Failed(a.failure.unwrap_or_default()), a.new_execution_run_id)
        }
        Attributes::WorkflowExecutionCanceledEventAttributes(a) => {
            (Outcome::Cancelled(a.details.unwrap_or_default()), String::new())
        }
        Attributes::WorkflowExecutionTerminatedEventAttributes(a) => {
            (Outcome::Terminated(Terminated { reason: a.reason, details: a.details }), String::new())
        }
        Attributes::WorkflowExecutionTimedOutEventAttributes(a) => {
            (Outcome::TimedOut(a.retry_state), a.new_execution_run_id)
        }
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(a) => {
            (Outcome::ContinuedAsNewRunId(a.new_execution_run_id.clone()), a.new_execution_run_id)
        }
        _ => return None,
    };
    Some(Close { outcome, next_run_id, retry_state })
}
