//! One workflow run as a deterministic machine: inputs in, effects out, time and fresh ids as arguments.
//! No I/O, no clock, no randomness, no logging.
//!
//! [`Execution`] is the machine. A driver loads or starts one, gives it [`Input`]s, stores what
//! [`Execution::take_commit`] returns, and only then carries out the [`Effects`]. Each area has its file:
//! `admission` says who may begin, `workflow_task` and `activity` are the two task machines (`completion` a workflow task's answer), `commands/` what a worker may
//! ask for, `outbox` what runs say to each other (`external` signals and cancellations, `children` the rest), `close` how a run ends and what follows it, `query` and
//! `updates` what is asked of it, `hindrance` why it makes no progress; `pending`, `buffer` and `load` are how its state grows and is kept. Semantics and event order are those of Temporal's server.

#![allow(deprecated)] // older workers still fill fields that the API has deprecated; they are kept in the history

mod activity;
mod admission;
mod buffer;
mod children;
mod close;
mod commands;
mod completion;
mod describe;
mod event;
mod execution;
mod external;
mod hindrance;
mod load;
mod outbox;
mod pending;
mod query;
mod requests;
mod retry;
mod signal;
mod start;
pub mod state;
mod task_response;
mod time;
mod updates;
mod weight;
mod workflow_task;

#[cfg(test)]
mod tests;

pub use crate::store::RunKey;
pub use admission::{
    Admission, Terms, admit, admit_with_update, can_signal_with_start, id_policies, new_child, new_run,
    retention_end, termination_for_start, terms_of_child,
};
pub use children::StartChildBody;
#[cfg(test)]
pub(crate) use commands::kind as command_type;
pub use execution::Execution;
pub use hindrance::{AwaitedTask, Hindrance, pause_after};
pub use load::LoadError;
pub use outbox::{Address, Body, Message, Outcome, Receipt, Sender};
pub use requests::{can_be_canceled, is_of_chain, is_to_itself, rejects_query};
#[cfg(test)]
pub(crate) use retry::with_defaults as retry_policy_with_defaults;
pub use retry::{Problem as RetryProblem, TIMEOUTS, check as check_retry_policy};
pub use start::NewRun;
pub use time::{SECOND, Time, duration, span};
pub use updates::{UpdateOutcome, UpdateStage, outcome_in};

use std::collections::BTreeSet;

use durably_proto::temporal::api::{
    common::v1::{Header, Link, Payloads},
    failure::v1::Failure,
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    update::v1::Request as UpdateRequest,
    workflowservice::v1::{
        PollActivityTaskQueueResponse, PollWorkflowTaskQueueResponse, RespondWorkflowTaskCompletedRequest,
        RespondWorkflowTaskFailedRequest,
    },
};
use state::TaskToken;

use crate::ServiceError;

/// What can happen to a run.
#[derive(Clone, Debug)]
pub enum Input {
    /// A poller takes the workflow task that [`Dispatch::WorkflowTask`] named.
    StartWorkflowTask {
        scheduled_event_id: i64,
        attempt: i32,
        sticky: bool,
        poller: Poller,
    },
    CompleteWorkflowTask {
        token: TaskToken,
        request: Box<RespondWorkflowTaskCompletedRequest>,
    },
    FailWorkflowTask {
        token: TaskToken,
        request: Box<RespondWorkflowTaskFailedRequest>,
    },
    /// A poller takes the activity task that [`Dispatch::Activity`] named.
    StartActivity {
        scheduled_event_id: i64,
        attempt: i32,
        poller: Poller,
    },
    CompleteActivity {
        token: TaskToken,
        result: Option<Payloads>,
        identity: String,
    },
    FailActivity {
        token: TaskToken,
        failure: Box<Failure>,
        heartbeat_details: Option<Payloads>,
        identity: String,
    },
    CancelActivity {
        token: TaskToken,
        details: Option<Payloads>,
        identity: String,
    },
    HeartbeatActivity {
        token: TaskToken,
        details: Option<Payloads>,
    },
    Signal(Signal),
    RequestCancel {
        reason: String,
        identity: String,
        request_id: String,
        links: Vec<Link>,
    },
    Terminate {
        reason: String,
        details: Option<Payloads>,
        identity: String,
        links: Vec<Link>,
    },
    /// Somebody asks for an update, under an id by which it is known in this run. Answered with [`Output::Update`]; what
    /// comes of it later is in [`Effects::updates`].
    Update(Box<UpdateRequest>),
    /// Memory is short: updates that no worker has are forgotten, as in a crash, but for those that somebody waits for.
    ForgetUpdates {
        but: BTreeSet<String>,
    },
    /// `id` names the asker in [`Effects::answers`].
    Query {
        id: u64,
        query: WorkflowQuery,
    },
    /// The asker went away.
    DropQuery {
        id: u64,
    },
    /// Time has reached [`Execution::next_due`].
    TimersDue,
    /// The poller that took the workflow task was gone before it got it.
    WorkflowTaskUndelivered {
        scheduled_event_id: i64,
        attempt: i32,
    },
    /// The same for an activity task.
    ActivityUndelivered {
        scheduled_event_id: i64,
        attempt: i32,
    },
    /// Nobody polls the sticky queue: pending and future workflow tasks go to the normal queue.
    ResetSticky,
    /// Another run says something.
    Receive(Box<Message>),
    /// What became of the message that the event announced.
    Settle {
        event_id: i64,
        outcome: Outcome,
    },
    /// The sender has settled its message: the receipt has done its work.
    Settled(Sender),
    /// The run was read from the store by a new incarnation of the server: tasks that went to pollers inside the
    /// old one are lost.
    Resume,
}

/// A signal as its sender gave it.
#[derive(Clone, Debug, Default)]
pub struct Signal {
    pub name: String,
    pub input: Option<Payloads>,
    pub identity: String,
    pub header: Option<Header>,
    pub request_id: String,
    pub links: Vec<Link>,
}

/// Who takes a task.
#[derive(Clone, Debug, Default)]
pub struct Poller {
    pub identity: String,
    pub request_id: String,
    pub in_process: bool,
}

/// The direct answer to an [`Input`].
#[derive(Debug)]
pub enum Output {
    Done,
    /// The task is not there any more: answered, timed out or taken.
    Stale,
    WorkflowTask(Box<WorkflowTaskGrant>),
    Activity(Box<PollActivityTaskQueueResponse>),
    WorkflowTaskCompleted(Box<Completed>),
    Heartbeat {
        cancel_requested: bool,
    },
    /// The answer to [`Input::Receive`].
    Received(Outcome),
    /// The query waits for a workflow task, or goes out as [`Effects::direct_queries`].
    QueryAccepted,
    /// How far the update has come.
    Update(UpdateStage),
}

/// A started workflow task for its poller.
#[derive(Debug)]
pub struct WorkflowTaskGrant {
    /// Complete but for the events in `missing`, which come before those present.
    pub response: PollWorkflowTaskQueueResponse,
    /// Event ids (first, end) that are not in memory and must be read from the store.
    pub missing: Option<(i64, i64)>,
}

/// What a worker gets for completing a workflow task.
#[derive(Debug, Default)]
pub struct Completed {
    pub new_task: Option<WorkflowTaskGrant>,
    pub eager_activities: Vec<PollActivityTaskQueueResponse>,
    /// The completion was refused and recorded as a failed workflow task; the worker gets this text.
    pub refused: Option<String>,
    /// Nothing of the task was written: the worker's state is as it was after the task with this started event.
    pub reset_to: Option<i64>,
}

/// What the driver carries out after an input, once it is durable.
#[derive(Debug, Default)]
pub struct Effects {
    /// The change must be on disk before anything below, or the input's answer, leaves the server. When false the
    /// change may be lost in a crash without anybody noticing; it is stored with the run's next commit.
    pub durable: bool,
    /// Tasks to offer to pollers.
    pub dispatch: Vec<Dispatch>,
    /// The run that follows this one; starts in the same commit.
    pub successor: Option<Box<NewRun>>,
    /// What the run says to others.
    pub messages: Vec<Message>,
    /// Queries that were answered, by the id of the asker.
    pub answers: Vec<(u64, Result<WorkflowQueryResult, ServiceError>)>,
    /// Updates that have come further, by their ids; or why they won't.
    pub updates: Vec<(String, Result<UpdateStage, ServiceError>)>,
    /// Queries that go to a worker outside any workflow task.
    pub direct_queries: Vec<DirectQuery>,
    /// An attempt, of this number, failed and will be repeated; 0: none did.
    pub failed_attempt: i32,
}

/// A task that a poller can take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispatch {
    WorkflowTask { queue: String, sticky: Option<String>, scheduled_event_id: i64, attempt: i32 },
    Activity { queue: String, scheduled_event_id: i64, attempt: i32 },
}

/// A query for a worker of the queue; the sticky queue first, where the history can be left out.
#[derive(Debug)]
pub struct DirectQuery {
    pub id: u64,
    pub queue: String,
    pub sticky: Option<String>,
}

/// What an [`Execution`] is told about the world with each input.
pub struct Context<'a> {
    pub now: Time,
    /// Counts up with each incarnation of the server.
    pub epoch: i64,
    /// Last task id given to an event of this shard.
    pub task_id: &'a mut i64,
    /// Makes a fresh run id.
    pub new_run_id: &'a mut dyn FnMut() -> String,
    pub effects: &'a mut Effects,
}
