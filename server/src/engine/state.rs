//! What a run keeps between transitions, in the form in which it is stored: only what the run's history cannot tell.
//!
//! These are protobuf messages, so that a later version can add fields and still read what this one wrote. Tags are
//! never reused.

use bytes::Bytes;
use durably_proto::temporal::api::{
    common::v1::{Memo, Payloads, SearchAttributes},
    failure::v1::Failure,
};

use crate::store::{RowKind, StateRow};

/// Version of this encoding; a state with a higher one was written by a newer server. Who raises it raises the version of
/// the file too (`store/sqlite/schema.rs`): earlier releases then refuse the file as a whole.
pub const FORMAT: u32 = 3;

#[derive(Clone, PartialEq, prost::Message)]
pub struct RunState {
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// `WorkflowExecutionStatus`.
    #[prost(int32, tag = "2")]
    pub status: i32,
    #[prost(int64, tag = "3")]
    pub next_event_id: i64,
    #[prost(int64, tag = "4")]
    pub history_bytes: i64,
    // Times are nanoseconds since the Unix epoch.
    #[prost(int64, tag = "5")]
    pub start_time: i64,
    /// Start time plus the back-off before the first workflow task.
    #[prost(int64, tag = "6")]
    pub execution_time: i64,
    #[prost(int64, optional, tag = "7")]
    pub close_time: Option<i64>,
    #[prost(int64, optional, tag = "8")]
    pub run_expiration: Option<i64>,
    /// Set until the first workflow task is scheduled, when the run began with a back-off.
    #[prost(int64, optional, tag = "9")]
    pub first_task_due: Option<i64>,
    #[prost(string, tag = "10")]
    pub start_request_id: String,
    #[prost(bool, tag = "11")]
    pub cancel_requested: bool,
    #[prost(string, tag = "12")]
    pub cancel_request_id: String,
    #[prost(oneof = "WorkflowTask", tags = "13, 14")]
    pub workflow_task: Option<WorkflowTask>,
    /// Attempt of the pending or next workflow task, from 1.
    #[prost(int32, tag = "15")]
    pub task_attempt: i32,
    /// `next_event_id` right after the last failed or timed-out workflow task: more events since make the next task a
    /// first attempt again.
    #[prost(int64, tag = "16")]
    pub failed_task_end: i64,
    /// Started event of the last completed workflow task; 0 before the first completion.
    #[prost(int64, tag = "17")]
    pub previous_started_event_id: i64,
    #[prost(message, optional, tag = "18")]
    pub sticky: Option<Sticky>,
    // Not written since format 2; these three are only read, from states of format 1.
    #[prost(message, repeated, tag = "19")]
    pub activities: Vec<ActivityState>,
    #[prost(message, repeated, tag = "20")]
    pub timers: Vec<TimerState>,
    #[prost(bytes = "bytes", repeated, tag = "21")]
    pub buffered: Vec<bytes::Bytes>,
    /// Request ids of the latest signals, oldest first, bounded.
    #[prost(string, repeated, tag = "22")]
    pub signal_request_ids: Vec<String>,
    #[prost(int64, tag = "23")]
    pub signal_count: i64,
    /// Present once the workflow has changed them; until then the started event tells.
    #[prost(message, optional, tag = "24")]
    pub memo: Option<Memo>,
    #[prost(message, optional, tag = "25")]
    pub search_attributes: Option<SearchAttributes>,
    #[prost(int64, tag = "26")]
    pub transitions: i64,
    /// When a chain of workflow task heartbeats began.
    #[prost(int64, optional, tag = "27")]
    pub heartbeat_chain_start: Option<i64>,
    /// The run that followed this one (continue-as-new, retry).
    #[prost(string, tag = "28")]
    pub successor_run_id: String,
    /// What is pending, if it is little; else it is in rows beside this. Since format 3.
    #[prost(message, repeated, tag = "29")]
    pub few: Vec<FewRow>,
}

/// A row of the state that is kept in the header.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FewRow {
    /// The number of a `RowKind`.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(int64, tag = "2")]
    pub id: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub data: Bytes,
}

impl FewRow {
    pub fn of(row: StateRow) -> Option<Self> {
        let StateRow { kind, id, data } = row;
        Some(Self { kind: kind as u32, id, data: data? })
    }

    /// `None` for a kind that this version doesn't know.
    pub fn row(self) -> Option<StateRow> {
        let Self { kind, id, data } = self;
        Some(StateRow { kind: RowKind::from_number(u8::try_from(kind).ok()?)?, id, data: Some(data) })
    }
}

/// The one workflow task a run may have.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum WorkflowTask {
    #[prost(message, tag = "13")]
    AwaitingPoller(ScheduledTask),
    #[prost(message, tag = "14")]
    AwaitingCompletion(RunningTask),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ScheduledTask {
    #[prost(int64, tag = "1")]
    pub scheduled_event_id: i64,
    #[prost(int64, tag = "2")]
    pub scheduled_time: i64,
    #[prost(int32, tag = "3")]
    pub attempt: i32,
    /// When a task on a sticky queue falls back to the normal queue.
    #[prost(int64, optional, tag = "4")]
    pub sticky_deadline: Option<i64>,
    /// Not handed out earlier (back-off after repeated failures).
    #[prost(int64, optional, tag = "5")]
    pub not_before: Option<i64>,
    /// There for updates only: if all of them are rejected, nothing of it is written.
    #[prost(bool, tag = "6")]
    pub speculative: bool,
}

impl ScheduledTask {
    /// Its scheduled and started events are not in the history; they are written when the task completes.
    pub fn is_unwritten(&self) -> bool {
        self.attempt > 1 || self.speculative
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RunningTask {
    #[prost(message, required, tag = "1")]
    pub scheduled: ScheduledTask,
    #[prost(int64, tag = "2")]
    pub started_event_id: i64,
    #[prost(int64, tag = "3")]
    pub started_time: i64,
    #[prost(int64, tag = "4")]
    pub deadline: i64,
    #[prost(string, tag = "5")]
    pub identity: String,
    #[prost(string, tag = "6")]
    pub request_id: String,
    /// The server incarnation that handed it out, and whether the poller lived inside it.
    #[prost(int64, tag = "7")]
    pub epoch: i64,
    #[prost(bool, tag = "8")]
    pub in_process: bool,
    #[prost(int64, tag = "9")]
    pub history_bytes: i64,
    /// What releases before the next field wrote has no reasons.
    #[prost(bool, tag = "10")]
    pub suggest_continue_as_new: bool,
    /// `SuggestContinueAsNewReason`s.
    #[prost(int32, repeated, tag = "11")]
    pub suggest_reasons: Vec<i32>,
}

/// Where the worker that holds the run in its cache polls.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sticky {
    #[prost(string, tag = "1")]
    pub queue: String,
    #[prost(int64, tag = "2")]
    pub schedule_to_start: i64,
    #[prost(int64, tag = "3")]
    pub epoch: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimerState {
    #[prost(string, tag = "1")]
    pub timer_id: String,
    #[prost(int64, tag = "2")]
    pub started_event_id: i64,
    #[prost(int64, tag = "3")]
    pub due: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ActivityState {
    #[prost(int64, tag = "1")]
    pub scheduled_event_id: i64,
    #[prost(oneof = "ActivityPhase", tags = "2, 3, 4")]
    pub phase: Option<ActivityPhase>,
    #[prost(int32, tag = "5")]
    pub attempt: i32,
    /// 0 while no cancellation is requested.
    #[prost(int64, tag = "6")]
    pub cancel_requested_event_id: i64,
    #[prost(message, optional, tag = "7")]
    pub last_failure: Option<Failure>,
    #[prost(message, optional, tag = "8")]
    pub heartbeat_details: Option<Payloads>,
    #[prost(int64, optional, tag = "9")]
    pub heartbeat_time: Option<i64>,
    #[prost(string, tag = "10")]
    pub last_identity: String,
    #[prost(int64, optional, tag = "11")]
    pub last_started_time: Option<i64>,
    #[prost(int64, optional, tag = "12")]
    pub last_attempt_end: Option<i64>,
    /// When the present attempt became available.
    #[prost(int64, tag = "13")]
    pub attempt_scheduled_time: i64,
    /// When the activity was scheduled by the workflow.
    #[prost(int64, tag = "14")]
    pub scheduled_time: i64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(clippy::enum_variant_names, reason = "states are named for what they await")]
pub enum ActivityPhase {
    /// Backs off before its next attempt.
    #[prost(message, tag = "2")]
    AwaitingRetry(AwaitingRetry),
    #[prost(message, tag = "3")]
    AwaitingPoller(AwaitingPoller),
    #[prost(message, tag = "4")]
    AwaitingResult(AwaitingResult),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AwaitingRetry {
    #[prost(int64, tag = "1")]
    pub due: i64,
    #[prost(int64, tag = "2")]
    pub interval: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AwaitingPoller {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AwaitingResult {
    #[prost(int64, tag = "1")]
    pub started_time: i64,
    #[prost(string, tag = "2")]
    pub identity: String,
    #[prost(string, tag = "3")]
    pub request_id: String,
    #[prost(int64, tag = "4")]
    pub epoch: i64,
    #[prost(bool, tag = "5")]
    pub in_process: bool,
}

/// What a worker hands back to name its task.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskToken {
    #[prost(string, tag = "1")]
    pub namespace_id: String,
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    #[prost(string, tag = "3")]
    pub run_id: String,
    #[prost(int64, tag = "4")]
    pub scheduled_event_id: i64,
    /// Workflow tasks only.
    #[prost(int64, tag = "5")]
    pub started_event_id: i64,
    /// 0 in calls by activity id: whichever attempt runs.
    #[prost(int32, tag = "6")]
    pub attempt: i32,
    #[prost(int64, tag = "7")]
    pub started_time: i64,
    #[prost(int64, tag = "8")]
    pub epoch: i64,
    /// Calls by id only.
    #[prost(string, tag = "9")]
    pub activity_id: String,
    /// Query tasks only.
    #[prost(uint64, tag = "10")]
    pub query: u64,
}
