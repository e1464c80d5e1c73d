//! Activities: `ScheduleActivity`, `RequestCancelActivity`.

use std::fmt;

use durably_proto::durably::core::v1::activity_resolution::Status;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{
    ActivityCancellationType, ActivityResolution, ActivitySuccess, ResolveActivity, ScheduleActivity,
};
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::command::v1::{
    RequestCancelActivityTaskCommandAttributes, ScheduleActivityTaskCommandAttributes,
};
use durably_proto::temporal::api::common::v1::{ActivityType, Header, Payload, Payloads};
use durably_proto::temporal::api::enums::v1::RetryState;
use durably_proto::temporal::api::failure::v1::failure::FailureInfo;
use durably_proto::temporal::api::failure::v1::{ActivityFailureInfo, CanceledFailureInfo, Failure};
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::taskqueue::v1::TaskQueue;

use super::{BadCommand, Effects, Inherited, Issued, Machine, MachineEvent, Naming, Sequence};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

/// What stays the same through an activity's life.
#[derive(Clone)]
pub(crate) struct Activity {
    seq: u32,
    id: String,
    /// The code didn't choose the id: the history's is right.
    takes_id: bool,
    /// The event that will record it, if ids are made of that: it may then be cancelled before it is sent.
    event_id: Option<i64>,
    type_name: String,
    cancellation: ActivityCancellationType,
}

/// An activity that the server knows.
#[derive(Clone)]
pub(crate) struct Scheduled {
    activity: Box<Activity>,
    event_id: i64,
    started_event_id: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum ActivityMachine {
    AwaitingScheduled(Box<Activity>),
    /// The code cancelled it before it was sent, and the server gets both commands.
    AwaitingScheduledCancelled(Scheduled),
    AwaitingResult(Scheduled),
    /// The code cancelled it; unless it waits for the activity's end, it has been told that it is cancelled.
    AwaitingCancelRequested(Scheduled),
    /// The server knows that it is cancelled.
    AwaitingEnd(Scheduled),
    /// The code was told that it is cancelled, the activity wasn't: what becomes of it is nobody's business.
    Abandoned(Scheduled),
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The code cancels it.
    Cancel,
    Scheduled {
        event_id: i64,
        activity_id: String,
        activity_type: String,
    },
    Started {
        event_id: i64,
    },
    Completed {
        result: Option<Box<Payload>>,
    },
    Failed {
        failure: Option<Box<Failure>>,
        identity: String,
        retry_state: i32,
    },
    TimedOut {
        failure: Option<Box<Failure>>,
        retry_state: i32,
    },
    CancelRequested,
    Canceled {
        details: Option<Payloads>,
        identity: String,
    },
}

/// Schedules an activity.
pub(super) fn schedule(
    command: ScheduleActivity,
    inherited: &Inherited,
    naming: Naming,
) -> Result<Issued, BadCommand> {
    let seq = command.seq;
    let cancellation = command.cancellation_type();
    if command.activity_type.is_empty() {
        return Err(BadCommand(format!("activity {seq} has no type; give the activity's registered name")));
    }
    if command.schedule_to_close_timeout.is_none() && command.start_to_close_timeout.is_none() {
        return Err(BadCommand(format!(
            "activity {seq} ({}) has neither a start-to-close nor a schedule-to-close time-out; set one, or a lost \
             worker would hold it up for ever",
            command.activity_type
        )));
    }
    let event_id = match naming {
        Naming::Sequence => None,
        Naming::EventId(event_id) => Some(event_id),
    };
    let takes_id = event_id.is_some() && command.activity_id.is_empty();
    let id = match event_id {
        _ if !command.activity_id.is_empty() => command.activity_id,
        Some(event_id) => event_id.to_string(),
        None => seq.to_string(),
    };
    let task_queue =
        if command.task_queue.is_empty() { inherited.task_queue.clone() } else { command.task_queue };
    let type_name = command.activity_type.clone();
    let activity = Activity { seq, id: id.clone(), takes_id, event_id, type_name, cancellation };
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: id,
        activity_type: Some(ActivityType { name: command.activity_type }),
        task_queue: Some(TaskQueue { name: task_queue, ..TaskQueue::default() }),
        header: (!command.headers.is_empty()).then_some(Header { fields: command.headers }),
        input: (!command.arguments.is_empty()).then_some(Payloads { payloads: command.arguments }),
        schedule_to_close_timeout: command.schedule_to_close_timeout,
        schedule_to_start_timeout: command.schedule_to_start_timeout,
        start_to_close_timeout: command.start_to_close_timeout,
        heartbeat_timeout: command.heartbeat_timeout,
        retry_policy: command.retry_policy,
        request_eager_execution: !command.do_not_eagerly_execute,
        priority: command.priority,
        ..ScheduleActivityTaskCommandAttributes::default()
    };
    Ok(Issued::Begin {
        seq: Some((Sequence::Activity, seq)),
        machine: Machine::Activity(ActivityMachine::AwaitingScheduled(Box::new(activity))),
        commands: vec![CommandAttributes::ScheduleActivityTaskCommandAttributes(attributes)],
    })
}

pub(super) fn decode(event_id: i64, attributes: Attributes) -> Decoded {
    let response = |origin: i64, event: Event| {
        if origin < 1 {
            return Err("it doesn't say which event scheduled the activity");
        }
        Ok(Kind::Response { origin, event: MachineEvent::Activity(event) })
    };
    match attributes {
        Attributes::ActivityTaskScheduledEventAttributes(a) => {
            let activity_type = a.activity_type.filter(|activity_type| !activity_type.name.is_empty());
            let activity_type = activity_type.ok_or("it names no activity type")?.name;
            let event = Event::Scheduled { event_id, activity_id: a.activity_id, activity_type };
            Ok(Kind::Command(MachineEvent::Activity(event)))
        }
        Attributes::ActivityTaskStartedEventAttributes(a) => {
            response(a.scheduled_event_id, Event::Started { event_id })
        }
        Attributes::ActivityTaskCompletedEventAttributes(a) => {
            let result = a.result.and_then(|result| result.payloads.into_iter().next()).map(Box::new);
            response(a.scheduled_event_id, Event::Completed { result })
        }
        Attributes::ActivityTaskFailedEventAttributes(a) => {
            let failure = a.failure.map(Box::new);
            let event = Event::Failed { failure, identity: a.identity, retry_state: a.retry_state };
            response(a.scheduled_event_id, event)
        }
        Attributes::ActivityTaskTimedOutEventAttributes(a) => {
            let event = Event::TimedOut { failure: a.failure.map(Box::new), retry_state: a.retry_state };
            response(a.scheduled_event_id, event)
        }
        Attributes::ActivityTaskCancelRequestedEventAttributes(_) => {
            Ok(Kind::Command(MachineEvent::Activity(Event::CancelRequested)))
        }
        Attributes::ActivityTaskCanceledEventAttributes(a) => {
            response(a.scheduled_event_id, Event::Canceled { details: a.details, identity: a.identity })
        }
        _ => Err("it is not about an activity"),
    }
}

impl ActivityMachine {
    pub(super) fn handle(
        self,
        event: Event,
        effects: &mut Effects,
    ) -> Result<ActivityMachine, Box<Mismatch>> {
        use ActivityMachine::{
            Abandoned, AwaitingCancelRequested, AwaitingEnd, AwaitingResult, AwaitingScheduled,
            AwaitingScheduledCancelled, Finished,
        };
        match (self, event) {
            (AwaitingScheduled(mut activity), Event::Scheduled { event_id, activity_id, activity_type }) => {
                activity.record(activity_id, &activity_type, effects.compare_ids)?;
                Ok(AwaitingResult(Scheduled { activity, event_id, started_event_id: 0 }))
            }
            (
                AwaitingScheduledCancelled(mut scheduled),
                Event::Scheduled { event_id, activity_id, activity_type },
            ) => {
                scheduled.activity.record(activity_id, &activity_type, effects.compare_ids)?;
                scheduled.event_id = event_id;
                Ok(scheduled.cancelled())
            }
            // Not sent yet.
            (AwaitingScheduled(activity), Event::Cancel) => Ok(activity.cancel_unsent(effects)),
            (AwaitingResult(scheduled), Event::Cancel) => {
                scheduled.cancel(effects);
                Ok(scheduled.cancelled())
            }
            (AwaitingCancelRequested(scheduled), Event::CancelRequested) => Ok(AwaitingEnd(scheduled)),
            (machine, Event::Cancel) => Ok(machine),

            (AwaitingResult(scheduled), Event::Started { event_id }) => {
                Ok(AwaitingResult(scheduled.started(event_id)))
            }
            (AwaitingEnd(scheduled), Event::Started { event_id }) => {
                Ok(AwaitingEnd(scheduled.started(event_id)))
            }
            (Abandoned(scheduled), Event::Started { .. }) => Ok(Abandoned(scheduled)),

            (AwaitingResult(scheduled), event) if event.ends() => {
                scheduled.resolve(event, effects);
                Ok(Finished)
            }
            (AwaitingEnd(scheduled), event) if event.ends() => {
                if scheduled.activity.cancellation == ActivityCancellationType::WaitCancellationCompleted {
                    scheduled.resolve(event, effects);
                }
                Ok(Finished)
            }
            (Abandoned(_), event) if event.ends() => Ok(Finished),
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }

    /// Before a command is sent: an activity that is cancelled by now is none to start with the response.
    pub(super) fn finish(&self, command: &mut CommandAttributes) {
        if let (
            ActivityMachine::AwaitingScheduledCancelled(_),
            CommandAttributes::ScheduleActivityTaskCommandAttributes(command),
        ) = (self, command)
        {
            command.request_eager_execution = false;
        }
    }
}

impl Event {
    /// Whether the activity is over with it.
    fn ends(&self) -> bool {
        matches!(
            self,
            Event::Completed { .. } | Event::Failed { .. } | Event::TimedOut { .. } | Event::Canceled { .. }
        )
    }
}

impl Activity {
    /// Compares with what the history has, and takes its id.
    fn record(&mut self, id: String, activity_type: &str, compare_ids: bool) -> Result<(), Box<Mismatch>> {
        let same_id = self.takes_id || self.id == id;
        if !compare_ids || (same_id && self.type_name == activity_type) {
            if self.takes_id {
                self.id = id;
            }
            return Ok(());
        }
        let change = if self.type_name == activity_type { Change::Id } else { Change::ActivityType };
        let expected =
            Event::Scheduled { event_id: 0, activity_id: id, activity_type: activity_type.to_owned() };
        Err(Mismatch::new(change, &expected, &format_args!("ActivityTaskScheduled({self})")))
    }

    /// Cancels it before it was sent: nobody else needs to know, unless the dialect has it that they do.
    fn cancel_unsent(self: Box<Self>, effects: &mut Effects) -> ActivityMachine {
        let event_id = self.event_id.unwrap_or(0);
        let scheduled = Scheduled { activity: self, event_id, started_event_id: 0 };
        if scheduled.event_id == 0 {
            scheduled.resolve_cancelled(None, String::new(), effects);
            return ActivityMachine::Finished;
        }
        scheduled.cancel(effects);
        ActivityMachine::AwaitingScheduledCancelled(scheduled)
    }
}

impl Scheduled {
    fn started(mut self, event_id: i64) -> Scheduled {
        self.started_event_id = event_id;
        self
    }

    fn cancel(&self, effects: &mut Effects) {
        let cancellation = self.activity.cancellation;
        if cancellation != ActivityCancellationType::WaitCancellationCompleted {
            self.resolve_cancelled(None, String::new(), effects);
        }
        if cancellation != ActivityCancellationType::Abandon {
            let command = RequestCancelActivityTaskCommandAttributes { scheduled_event_id: self.event_id };
            effects.commands.push(CommandAttributes::RequestCancelActivityTaskCommandAttributes(command));
        }
    }

    /// What it awaits after [`Scheduled::cancel`], once it is in the history.
    fn cancelled(self) -> ActivityMachine {
        match self.activity.cancellation {
            ActivityCancellationType::Abandon => ActivityMachine::Abandoned(self),
            _ => ActivityMachine::AwaitingCancelRequested(self),
        }
    }

    fn resolve(self, event: Event, effects: &mut Effects) {
        let status = match event {
            Event::Completed { result } => {
                Status::Completed(ActivitySuccess { result: result.map(|payload| *payload) })
            }
            Event::Failed { failure, identity, retry_state } => {
                Status::Failed(self.failure("Activity task failed", failure, identity, retry_state))
            }
            Event::TimedOut { failure, retry_state } => {
                Status::Failed(self.failure("Activity task timed out", failure, String::new(), retry_state))
            }
            Event::Canceled { details, identity } => {
                return self.resolve_cancelled(details, identity, effects);
            }
            // Not the end of an activity: see `Event::ends`.
            Event::Cancel | Event::Scheduled { .. } | Event::Started { .. } | Event::CancelRequested => {
                return;
            }
        };
        self.push_resolution(status, effects);
    }

    fn resolve_cancelled(&self, details: Option<Payloads>, identity: String, effects: &mut Effects) {
        let cause = Failure {
            message: "Activity cancelled".to_owned(),
            failure_info: Some(FailureInfo::CanceledFailureInfo(CanceledFailureInfo {
                details,
                ..CanceledFailureInfo::default()
            })),
            ..Failure::default()
        };
        let retry_state = RetryState::CancelRequested as i32;
        let failure = self.failure("Activity cancelled", Some(Box::new(cause)), identity, retry_state);
        self.push_resolution(Status::Cancelled(failure), effects);
    }

    fn push_resolution(&self, status: Status, effects: &mut Effects) {
        let result = Some(ActivityResolution { status: Some(status) });
        effects.jobs.push(Job::ResolveActivity(ResolveActivity { seq: self.activity.seq, result }));
    }

    fn failure(
        &self,
        message: &str,
        cause: Option<Box<Failure>>,
        identity: String,
        retry_state: i32,
    ) -> Failure {
        Failure {
            message: message.to_owned(),
            cause,
            failure_info: Some(FailureInfo::ActivityFailureInfo(ActivityFailureInfo {
                scheduled_event_id: self.event_id,
                started_event_id: self.started_event_id,
                identity,
                activity_type: Some(ActivityType { name: self.activity.type_name.clone() }),
                activity_id: self.activity.id.clone(),
                retry_state,
            })),
            ..Failure::default()
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, id \"{}\"", self.type_name, self.id)
    }
}

impl fmt::Display for ActivityMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActivityMachine::AwaitingScheduled(activity)
            | ActivityMachine::AwaitingScheduledCancelled(Scheduled { activity, .. }) => {
                write!(f, "ActivityTaskScheduled({activity})")
            }
            ActivityMachine::AwaitingCancelRequested(scheduled) => {
                write!(f, "ActivityTaskCancelRequested({})", scheduled.activity)
            }
            ActivityMachine::AwaitingResult(scheduled)
            | ActivityMachine::AwaitingEnd(scheduled)
            | ActivityMachine::Abandoned(scheduled) => {
                write!(f, "the end of activity ({})", scheduled.activity)
            }
            ActivityMachine::Finished => write!(f, "an activity that is over"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Cancel => write!(f, "cancel by code"),
            Event::Scheduled { activity_id, activity_type, .. } => {
                write!(f, "ActivityTaskScheduled({activity_type}, id \"{activity_id}\")")
            }
            Event::Started { .. } => write!(f, "ActivityTaskStarted"),
            Event::Completed { .. } => write!(f, "ActivityTaskCompleted"),
            Event::Failed { .. } => write!(f, "ActivityTaskFailed"),
            Event::TimedOut { .. } => write!(f, "ActivityTaskTimedOut"),
            Event::CancelRequested => write!(f, "ActivityTaskCancelRequested"),
            Event::Canceled { .. } => write!(f, "ActivityTaskCanceled"),
        }
    }
}

/// Short, for tables and transcripts.
impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_event_id = if self.takes_id { ", by event id" } else { "" };
        write!(f, "{self}{by_event_id}, {}", self.cancellation.as_str_name())
    }
}

impl fmt::Debug for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, events {}/{}", self.activity, self.event_id, self.started_event_id)
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Duration;

    use super::*;
    use crate::workflow::machines::table;

    fn states(cancellation: ActivityCancellationType) -> Vec<ActivityMachine> {
        let type_name = "charge".to_owned();
        let id = "1".to_owned();
        let activity =
            Box::new(Activity { seq: 1, id, takes_id: false, event_id: None, type_name, cancellation });
        let by_event = Activity { takes_id: true, event_id: Some(5), ..*activity.clone() };
        let early = Scheduled { activity: Box::new(by_event.clone()), event_id: 5, started_event_id: 0 };
        let scheduled = Scheduled { activity: activity.clone(), event_id: 5, started_event_id: 6 };
        vec![
            ActivityMachine::AwaitingScheduled(activity),
            ActivityMachine::AwaitingScheduled(Box::new(by_event)),
            ActivityMachine::AwaitingScheduledCancelled(early),
            ActivityMachine::AwaitingResult(scheduled.clone()),
            ActivityMachine::AwaitingCancelRequested(scheduled.clone()),
            ActivityMachine::AwaitingEnd(scheduled.clone()),
            ActivityMachine::Abandoned(scheduled),
        ]
    }

    fn scheduled_event(id: &str, activity_type: &str) -> Event {
        Event::Scheduled { event_id: 5, activity_id: id.into(), activity_type: activity_type.into() }
    }

    #[test]
    fn every_state_and_event() {
        let mut all = Vec::new();
        for cancellation in [
            ActivityCancellationType::TryCancel,
            ActivityCancellationType::WaitCancellationCompleted,
            ActivityCancellationType::Abandon,
        ] {
            all.extend(states(cancellation));
        }
        all.push(ActivityMachine::Finished);
        let events = [
            Event::Cancel,
            scheduled_event("1", "charge"),
            scheduled_event("2", "charge"),
            scheduled_event("1", "refund"),
            Event::Started { event_id: 8 },
            Event::Completed { result: None },
            Event::Failed { failure: None, identity: String::new(), retry_state: 0 },
            Event::TimedOut { failure: None, retry_state: 0 },
            Event::CancelRequested,
            Event::Canceled { details: None, identity: String::new() },
        ];
        insta::assert_snapshot!(table::render(&all, &events, ActivityMachine::handle));
    }

    #[test]
    fn a_failure_tells_which_activity_and_attempt_failed() {
        let mut effects = Effects::default();
        let [_, _, _, awaiting, ..] = &states(ActivityCancellationType::TryCancel)[..] else {
            unreachable!()
        };
        let cause = Failure { message: "no funds".into(), ..Failure::default() };
        let event = Event::Failed { failure: Some(Box::new(cause)), identity: "w".into(), retry_state: 3 };
        awaiting.clone().handle(event, &mut effects).unwrap();
        insta::assert_debug_snapshot!(effects.jobs);
    }

    #[test]
    fn what_the_server_would_refuse_is_refused_here_with_advice() {
        let command =
            ScheduleActivity { seq: 3, activity_type: "charge".into(), ..ScheduleActivity::default() };
        let error = schedule(command.clone(), &Inherited::default(), Naming::Sequence).unwrap_err();
        assert!(error.to_string().contains("start-to-close"), "{error}");
        let command = ScheduleActivity {
            activity_type: String::new(),
            start_to_close_timeout: Some(Duration::default()),
            ..command
        };
        assert!(schedule(command, &Inherited::default(), Naming::Sequence).is_err());
    }
}
