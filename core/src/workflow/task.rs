//! Workflow tasks and history pages as the driver receives them, decoded once.

use bytes::Bytes;
use durably_proto::temporal::api::common::v1::{Header, Payloads};
use durably_proto::temporal::api::history::v1::{History, HistoryEvent};
use durably_proto::temporal::api::query::v1::WorkflowQuery;
use durably_proto::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryResponse, PollWorkflowTaskQueueResponse,
};

use super::messages::Message;

/// A workflow task or a query task, from a poll or from the response to a completed one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowTask {
    /// Identifies the task in the response.
    pub task_token: Bytes,
    /// The workflow.
    pub workflow_id: String,
    /// The run.
    pub run_id: String,
    /// The workflow's type.
    pub workflow_type: String,
    /// Attempt of this task, starting at 1.
    pub attempt: i32,
    /// The start of the last task that was completed: what a cached run must have seen. 0 if there is none.
    pub previous_started_event_id: i64,
    /// The start of this task; 0 for a query task.
    pub started_event_id: i64,
    /// The whole history, what is new since the last task (sticky), or nothing (a query of a cached run).
    pub history: Vec<HistoryEvent>,
    /// Not empty: there is more history behind this token.
    pub next_page_token: Bytes,
    /// Set in a query task: to be answered by itself.
    pub query: Option<Query>,
    /// To be answered with the task, by query id.
    pub queries: Vec<Query>,
    /// What came beside the history.
    pub messages: Vec<Message>,
}

/// A query as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Empty for the query of a query task.
    pub id: String,
    /// The query's type.
    pub name: String,
    /// Arguments.
    pub arguments: Option<Payloads>,
    /// Headers.
    pub header: Option<Header>,
}

/// A page of history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// In order.
    pub events: Vec<HistoryEvent>,
    /// Empty: this is the last page.
    pub next_page_token: Bytes,
}

/// A poll response that no sane server sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent a workflow task that can't be worked on: {message}")]
pub struct InvalidTask {
    /// What is wrong with it.
    pub message: String,
    /// To fail it with; empty if that was missing too.
    pub task_token: Bytes,
}

impl WorkflowTask {
    /// Decodes a poll response. `Ok(None)` if the poll came back empty (no task token).
    pub fn decode(response: PollWorkflowTaskQueueResponse) -> Result<Option<WorkflowTask>, InvalidTask> {
        if response.task_token.is_empty() {
            return Ok(None);
        }
        let task_token = response.task_token;
        let invalid =
            |message: &str| InvalidTask { message: message.to_owned(), task_token: task_token.clone() };
        let execution =
            response.workflow_execution.ok_or_else(|| invalid("it names no workflow execution"))?;
        if execution.run_id.is_empty() {
            return Err(invalid("it names no run id"));
        }
        let history = response.history.unwrap_or_default().events;
        if history.is_empty() && response.query.is_none() && response.queries.is_empty() {
            return Err(invalid("it has neither history nor a query"));
        }
        let queries = response.queries.into_iter().map(|(id, query)| Query::decode(id, query)).collect();
        Ok(Some(WorkflowTask {
            workflow_id: execution.workflow_id,
            run_id: execution.run_id,
            workflow_type: response.workflow_type.unwrap_or_default().name,
            attempt: response.attempt.max(1),
            previous_started_event_id: response.previous_started_event_id,
            started_event_id: response.started_event_id,
            history,
            next_page_token: response.next_page_token,
            query: response.query.map(|query| Query::decode(String::new(), query)),
            queries,
            messages: response.messages.into_iter().map(Message::decode).collect(),
            task_token,
        }))
    }
}

impl Query {
    fn decode(id: String, query: WorkflowQuery) -> Query {
        Query { id, name: query.query_type, arguments: query.query_args, header: query.header }
    }
}

impl From<GetWorkflowExecutionHistoryResponse> for HistoryPage {
    fn from(response: GetWorkflowExecutionHistoryResponse) -> HistoryPage {
        HistoryPage {
            events: response.history.unwrap_or_default().events,
            next_page_token: response.next_page_token,
        }
    }
}

impl From<History> for HistoryPage {
    fn from(history: History) -> HistoryPage {
        HistoryPage { events: history.events, next_page_token: Bytes::new() }
    }
}
