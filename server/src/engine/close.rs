//! How a run ends: by its own command, by termination or by time, and which run follows it. Also the run's timers.

use std::sync::Arc;

use durably_proto::temporal::api::{
    common::v1::{Link, Payloads},
    enums::v1::{ContinueAsNewInitiator, RetryState, TimeoutType, WorkflowExecutionStatus as Status},
    failure::v1::{Failure, TimeoutFailureInfo, failure::FailureInfo},
    history::v1::{
        HistoryEvent, TimerFiredEventAttributes, WorkflowExecutionCanceledEventAttributes,
        WorkflowExecutionCompletedEventAttributes, WorkflowExecutionContinuedAsNewEventAttributes,
        WorkflowExecutionFailedEventAttributes, WorkflowExecutionStartedEventAttributes,
        WorkflowExecutionTerminatedEventAttributes, WorkflowExecutionTimedOutEventAttributes,
        history_event::Attributes,
    },
};

use super::{
    Context, Execution, NewRun, Output, RunKey,
    activity::{Activity, ActivityDue},
    children::Ending,
    external::SERVER,
    retry::{self, Retry},
    time::{Time, duration},
};
use crate::ServiceError;

/// A history of this size ends its run.
const MAX_EVENTS: i64 = 51_200;
const MAX_BYTES: i64 = 50 * 1024 * 1024;

/// What is due next, in the order in which simultaneous things happen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    RunTimeout,
    FirstTask,
    Timer(i64),
    Activity(i64),
    WorkflowTask,
}

impl Execution {
    /// When [`super::Input::TimersDue`] is wanted; `None` when nothing happens by itself.
    pub fn next_due(&self) -> Option<Time> {
        if !self.is_open() {
            return None;
        }
        let state = &self.state;
        let own = state.run_expiration.into_iter().chain(state.first_task_due).map(Time);
        own.chain(self.pending.next_due()).chain(self.workflow_task_due()).min()
    }

    pub(super) fn timers_due(&mut self, cx: &mut Context<'_>) -> Output {
        let mut due = self.collect_due(cx.now);
        due.sort();
        for (_, what) in due {
            if !self.is_open() {
                break;
            }
            self.fire(&what, cx);
        }
        Output::Done
    }

    fn collect_due(&self, now: Time) -> Vec<(Time, Due)> {
        let state = &self.state;
        let mut due = Vec::new();
        due.extend(state.run_expiration.map(|time| (Time(time), Due::RunTimeout)));
        due.extend(state.first_task_due.map(|time| (Time(time), Due::FirstTask)));
        due.extend(self.pending.timers.due_by(now).map(|(time, id)| (time, Due::Timer(id))));
        due.extend(self.pending.activities.due_by(now).map(|(time, id)| (time, Due::Activity(id))));
        due.extend(self.workflow_task_due().map(|time| (time, Due::WorkflowTask)));
        due.retain(|(time, _)| *time <= now);
        due
    }

    fn fire(&mut self, what: &Due, cx: &mut Context<'_>) {
        match what {
            Due::RunTimeout => self.time_out(cx),
            Due::FirstTask => {
                self.state.first_task_due = None;
                self.schedule_task(cx);
                self.changed(cx);
            }
            Due::Timer(started_event_id) => self.fire_timer(*started_event_id, cx),
            Due::Activity(id) => {
                // An earlier firing of this round may have changed it.
                let due = self.pending.activities.get(*id).and_then(Activity::next_due);
                if let Some((_, what)) = due.filter(|(time, _): &(Time, ActivityDue)| *time <= cx.now) {
                    self.activity_due(*id, what, cx);
                }
            }
            Due::WorkflowTask => self.workflow_task_timers(cx),
        }
    }

    fn fire_timer(&mut self, started_event_id: i64, cx: &mut Context<'_>) {
        let Some(timer) = self.pending.timers.remove(started_event_id) else { return };
        let attributes = TimerFiredEventAttributes { timer_id: timer.timer_id, started_event_id };
        self.record(Attributes::TimerFiredEventAttributes(attributes), Vec::new(), cx);
        self.schedule_task(cx);
        self.changed(cx);
    }

    /// Ends the run with its last event: nothing of it is pending any more but what it has to say to others.
    /// `event` is what that carries beside its attributes.
    pub(super) fn close(&mut self, last: Last, event: HistoryEvent, cx: &mut Context<'_>) {
        let (status, completed_event_id, ending) = last.meaning();
        self.push_event(HistoryEvent { attributes: Some(last.attributes()), ..event }, cx);
        let state = &mut self.state;
        state.status = status as i32;
        state.close_time = Some(cx.now.0);
        state.workflow_task = None;
        state.run_expiration = None;
        state.first_task_due = None;
        state.signal_request_ids.clear();
        self.pending.close();
        self.changed(cx);
        self.leave_children(cx);
        if let Some(ending) = ending {
            self.tell_parent(ending, completed_event_id, cx);
        }
        self.updates_after_close(cx.effects.successor.is_some(), cx);
    }

    pub(super) fn terminate(
        &mut self,
        reason: String,
        details: Option<Payloads>,
        identity: String,
        links: Vec<Link>,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        self.require_open()?;
        self.force_close_task(cx);
        let attributes = WorkflowExecutionTerminatedEventAttributes { reason, details, identity };
        self.close(Last::Terminated(attributes), HistoryEvent { links, ..Default::default() }, cx);
        self.release_queries(cx);
        Ok(Output::Done)
    }

    /// Ends a run whose history has grown beyond what the server keeps.
    pub(super) fn enforce_history_limits(&mut self, cx: &mut Context<'_>) {
        let events = self.state.next_event_id + self.pending.buffer.len() as i64;
        let bytes = self.state.history_bytes + self.pending.buffer.bytes() as i64;
        if !self.is_open() || (events <= MAX_EVENTS && bytes <= MAX_BYTES) {
            return;
        }
        let what = if events > MAX_EVENTS { "count" } else { "size" };
        let reason = format!("Workflow history {what} exceeds limit.");
        // Refused only for a run that is closed, which this one is not.
        let _ = self.terminate(reason, None, SERVER.into(), Vec::new(), cx);
    }

    fn time_out(&mut self, cx: &mut Context<'_>) {
        self.force_close_task(cx);
        let failure = Failure {
            message: "workflow timeout".into(),
            source: "Server".into(),
            failure_info: Some(FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo {
                timeout_type: TimeoutType::StartToClose as i32,
                ..Default::default()
            })),
            ..Default::default()
        };
        let chain_end = self.start.workflow_execution_expiration_time.as_ref().map(Time::from_proto);
        let (retry_state, new_execution_run_id) = if chain_end.is_some_and(|end| end <= cx.now) {
            (RetryState::Timeout, String::new())
        } else {
            self.retry_run(&failure, cx)
        };
        let attributes = WorkflowExecutionTimedOutEventAttributes {
            retry_state: retry_state as i32,
            new_execution_run_id,
        };
        self.close(Last::TimedOut(attributes), HistoryEvent::default(), cx);
        self.release_queries(cx);
    }

    /// Plans the run that repeats this one, if its retry policy says so. Cron schedules will add their next run
    /// here. Returns the successor's run id, or an empty one.
    pub(super) fn retry_run(&mut self, failure: &Failure, cx: &mut Context<'_>) -> (RetryState, String) {
        let start = Arc::clone(&self.start);
        let expiration = start.workflow_execution_expiration_time.as_ref().map(Time::from_proto);
        let interval =
            match retry::next(start.retry_policy.as_ref(), start.attempt, failure, cx.now, expiration) {
                Retry::No(reason) => return (reason, String::new()),
                Retry::After(interval) => interval,
            };
        let run_id = (cx.new_run_id)();
        let started = WorkflowExecutionStartedEventAttributes {
            initiator: ContinueAsNewInitiator::Retry as i32,
            continued_failure: Some(failure.clone()),
            attempt: start.attempt + 1,
            first_workflow_task_backoff: Some(duration(interval)),
            memo: self.memo().cloned(),
            search_attributes: self.search_attributes().cloned(),
            ..(*start).clone()
        };
        self.succeed_with(run_id.clone(), started, cx);
        (RetryState::InProgress, run_id)
    }

    /// Hands over to a next run of the same workflow; `started` keeps what the chain has in common.
    pub(super) fn succeed_with(
        &mut self,
        run_id: String,
        mut started: WorkflowExecutionStartedEventAttributes,
        cx: &mut Context<'_>,
    ) {
        started.continued_execution_run_id = self.key.run_id.to_string();
        started.original_execution_run_id.clone_from(&run_id);
        started.eager_execution_accepted = false;
        let request_id = (cx.new_run_id)();
        // Only a run that continues as new ends while signals wait; any other has put them into its history.
        let signals = self.pending.buffer.take();
        cx.effects.successor = Some(Box::new(NewRun {
            key: RunKey { run_id: run_id.as_str().into(), ..self.key.clone() },
            started,
            user_metadata: self.user_metadata.clone(),
            links: Vec::new(),
            request_id,
            signal: None,
            signals,
            signal_request_ids: self.state.signal_request_ids.clone(),
            eager: None,
            receipts: self.pending.receipts.values().cloned().collect(),
        }));
        self.state.successor_run_id = run_id;
    }
}

/// The last event of a run.
pub(super) enum Last {
    Completed(WorkflowExecutionCompletedEventAttributes),
    Failed(Box<WorkflowExecutionFailedEventAttributes>),
    Canceled(WorkflowExecutionCanceledEventAttributes),
    TimedOut(WorkflowExecutionTimedOutEventAttributes),
    ContinuedAsNew(Box<WorkflowExecutionContinuedAsNewEventAttributes>),
    Terminated(WorkflowExecutionTerminatedEventAttributes),
}

impl Last {
    /// The run's status, the workflow task that ended it if one did, and what there is to tell a parent.
    fn meaning(&self) -> (Status, i64, Option<Ending>) {
        match self {
            Self::Completed(a) => {
                (Status::Completed, a.workflow_task_completed_event_id, Some(Ending::Completed(a.clone())))
            }
            Self::Failed(a) => {
                (Status::Failed, a.workflow_task_completed_event_id, Some(Ending::Failed(a.clone())))
            }
            Self::Canceled(a) => {
                (Status::Canceled, a.workflow_task_completed_event_id, Some(Ending::Canceled(a.clone())))
            }
            Self::TimedOut(a) => (Status::TimedOut, 0, Some(Ending::TimedOut(a.clone()))),
            Self::ContinuedAsNew(a) => (Status::ContinuedAsNew, a.workflow_task_completed_event_id, None),
            Self::Terminated(a) => (Status::Terminated, 0, Some(Ending::Terminated(a.clone()))),
        }
    }

    fn attributes(self) -> Attributes {
        match self {
            Self::Completed(a) => Attributes::WorkflowExecutionCompletedEventAttributes(a),
            Self::Failed(a) => Attributes::WorkflowExecutionFailedEventAttributes(*a),
            Self::Canceled(a) => Attributes::WorkflowExecutionCanceledEventAttributes(a),
            Self::TimedOut(a) => Attributes::WorkflowExecutionTimedOutEventAttributes(a),
            Self::ContinuedAsNew(a) => Attributes::WorkflowExecutionContinuedAsNewEventAttributes(*a),
            Self::Terminated(a) => Attributes::WorkflowExecutionTerminatedEventAttributes(a),
        }
    }
}
