//! What a run asks its driver to do.

use std::collections::BTreeMap;

use bytes::Bytes;
use durably_proto::durably::core::v1::{ReplayResult, WorkflowActivation, evict};
use durably_proto::temporal::api::command::v1::Command;
use durably_proto::temporal::api::common::v1::Payloads;
use durably_proto::temporal::api::enums::v1::WorkflowTaskFailedCause;
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::query::v1::WorkflowQueryResult;
use durably_proto::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;

use super::messages::OutgoingMessage;

/// One thing to do. A list of steps is carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Hand this to the SDK and feed its completion back.
    Activate(WorkflowActivation),
    /// Fetch a page of the run's history (`GetWorkflowExecutionHistory`, no long poll) and feed it back.
    NeedHistory {
        /// Empty: the first page.
        next_page_token: Bytes,
    },
    /// `RespondWorkflowTaskCompleted`.
    RespondCompleted(TaskCompleted),
    /// `RespondWorkflowTaskFailed`.
    FailTask(TaskFailed),
    /// `RespondQueryTaskCompleted`: the answer to a query that came in a task of its own.
    AnswerQuery(QueryReply),
    /// A replay is over. The eviction follows.
    Replayed(ReplayResult),
    /// The SDK has let go of the run: drop it.
    Evicted {
        /// Why.
        reason: evict::Reason,
        /// For people; empty if the reason says it all.
        message: String,
    },
}

/// What `RespondWorkflowTaskCompleted` says about the run; the driver adds identity, sticky queue and versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskCompleted {
    /// Identifies the task.
    pub task_token: Bytes,
    /// In the order in which the workflow's code issued them. Activities that may start eagerly have
    /// `request_eager_execution` set; the driver clears it where it has no slot or another task queue is meant.
    pub commands: Vec<Command>,
    /// What goes to the server beside the commands.
    pub messages: Vec<OutgoingMessage>,
    /// Answers to the task's `queries`, by query id.
    pub query_results: BTreeMap<String, WorkflowQueryResult>,
    /// Flags used for the first time in this task; `None` if there are none. The driver adds the SDK's name and version.
    pub sdk_metadata: Option<WorkflowTaskCompletedMetadata>,
    /// The run has ended with these commands; an eviction follows.
    pub run_ended: bool,
    /// For a driver that must fail the task instead: as in [`TaskFailed`].
    pub attempt: i32,
    /// For what a driver says of the task.
    pub workflow_type: String,
}

/// What `RespondWorkflowTaskFailed` says. An eviction follows.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFailed {
    /// Identifies the task.
    pub task_token: Bytes,
    /// Why, as the server counts it.
    pub cause: WorkflowTaskFailedCause,
    /// Why, for people: an application failure, or what the SDK reported.
    pub failure: Failure,
    /// The attempt that failed, starting at 1. Report the first to the server and let later ones time out: a task that
    /// fails again and again would otherwise be retried without a pause.
    pub attempt: i32,
}

/// What `RespondQueryTaskCompleted` says.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryReply {
    /// Identifies the query task.
    pub task_token: Bytes,
    /// The answer, or why there is none.
    pub result: Result<Payloads, Failure>,
    /// Set if the run could not be brought to the point where it could answer.
    pub cause: WorkflowTaskFailedCause,
}
