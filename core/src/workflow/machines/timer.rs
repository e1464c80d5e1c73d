//! Timers: `StartTimer`, `CancelTimer`.

use std::fmt;

use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{FireTimer, StartTimer};
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::command::v1::{CancelTimerCommandAttributes, StartTimerCommandAttributes};
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use prost_types::Duration;

use super::{BadCommand, Effects, Issued, Machine, MachineEvent, Naming, Sequence};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

/// What stays the same through a timer's life.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Timer {
    seq: u32,
    id: String,
    /// Ids are made of events' ids: the history's is right, and the timer may be cancelled before it is sent.
    by_event_id: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum TimerMachine {
    AwaitingStarted(Timer),
    /// The code cancelled it before it was sent, and the server gets both commands.
    AwaitingStartedCanceled(Timer),
    AwaitingFired(Timer),
    AwaitingCanceled(Timer),
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The code cancels it.
    Cancel,
    Started {
        timer_id: String,
    },
    Fired,
    Canceled {
        timer_id: String,
    },
}

/// Starts a timer. Zero counts as a nanosecond: the server refuses timers of no length.
pub(super) fn start(command: StartTimer, naming: Naming) -> Result<Issued, BadCommand> {
    let seq = command.seq;
    let mut timeout = command.start_to_fire_timeout.unwrap_or_default();
    if timeout.seconds < 0 || timeout.nanos < 0 {
        return Err(BadCommand(format!(
            "timer {seq} has a negative time-out; a timer can't fire in the past"
        )));
    }
    if timeout == Duration::default() {
        timeout.nanos = 1;
    }
    let timer = match naming {
        Naming::Sequence => Timer { seq, id: seq.to_string(), by_event_id: false },
        Naming::EventId(event_id) => Timer { seq, id: event_id.to_string(), by_event_id: true },
    };
    let command = CommandAttributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
        timer_id: timer.id.clone(),
        start_to_fire_timeout: Some(timeout),
    });
    Ok(Issued::Begin {
        seq: Some((Sequence::Timer, seq)),
        machine: Machine::Timer(TimerMachine::AwaitingStarted(timer)),
        commands: vec![command],
    })
}

pub(super) fn decode(attributes: Attributes) -> Decoded {
    match attributes {
        Attributes::TimerStartedEventAttributes(attributes) => {
            Ok(Kind::Command(MachineEvent::Timer(Event::Started { timer_id: attributes.timer_id })))
        }
        Attributes::TimerFiredEventAttributes(attributes) => Ok(Kind::Response {
            origin: attributes.started_event_id,
            event: MachineEvent::Timer(Event::Fired),
        }),
        Attributes::TimerCanceledEventAttributes(attributes) => {
            Ok(Kind::Command(MachineEvent::Timer(Event::Canceled { timer_id: attributes.timer_id })))
        }
        _ => Err("it is not about a timer"),
    }
}

impl TimerMachine {
    pub(super) fn handle(self, event: Event, effects: &mut Effects) -> Result<TimerMachine, Box<Mismatch>> {
        use TimerMachine::{
            AwaitingCanceled, AwaitingFired, AwaitingStarted, AwaitingStartedCanceled, Finished,
        };
        match (self, event) {
            (AwaitingStarted(timer), Event::Started { timer_id }) => {
                Ok(AwaitingFired(timer.record(timer_id, effects.compare_ids)?))
            }
            (AwaitingStartedCanceled(timer), Event::Started { timer_id }) => {
                Ok(AwaitingCanceled(timer.record(timer_id, effects.compare_ids)?))
            }
            (AwaitingFired(timer), Event::Fired) => {
                effects.jobs.push(Job::FireTimer(FireTimer { seq: timer.seq }));
                Ok(Finished)
            }
            (AwaitingFired(timer), Event::Cancel) => {
                effects.commands.push(timer.cancel());
                Ok(AwaitingCanceled(timer))
            }
            (AwaitingStarted(timer), Event::Cancel) if timer.by_event_id => {
                effects.commands.push(timer.cancel());
                Ok(AwaitingStartedCanceled(timer))
            }
            // A timer that was not sent yet is withdrawn: nobody else needs to know.
            (AwaitingStarted(_), Event::Cancel) | (AwaitingCanceled(_), Event::Canceled { .. }) => {
                Ok(Finished)
            }
            (machine @ (AwaitingStartedCanceled(_) | AwaitingCanceled(_) | Finished), Event::Cancel) => {
                Ok(machine)
            }
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }
}

impl Timer {
    /// Compares with what the history has, and takes its id.
    fn record(mut self, id: String, compare_ids: bool) -> Result<Timer, Box<Mismatch>> {
        if self.by_event_id {
            self.id = id;
        } else if compare_ids && self.id != id {
            let expected = Event::Started { timer_id: id };
            return Err(Mismatch::new(Change::Id, &expected, &TimerMachine::AwaitingStarted(self)));
        }
        Ok(self)
    }

    fn cancel(&self) -> CommandAttributes {
        let command = CancelTimerCommandAttributes { timer_id: self.id.clone() };
        CommandAttributes::CancelTimerCommandAttributes(command)
    }
}

/// Short, for tables and transcripts.
impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_event_id = if self.by_event_id { ", by event id" } else { "" };
        write!(f, "id \"{}\"{by_event_id}", self.id)
    }
}

impl fmt::Display for TimerMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimerMachine::AwaitingStarted(timer) | TimerMachine::AwaitingStartedCanceled(timer) => {
                write!(f, "TimerStarted(id \"{}\")", timer.id)
            }
            TimerMachine::AwaitingFired(timer) => write!(f, "TimerFired(id \"{}\")", timer.id),
            TimerMachine::AwaitingCanceled(timer) => write!(f, "TimerCanceled(id \"{}\")", timer.id),
            TimerMachine::Finished => write!(f, "a timer that is over"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Cancel => write!(f, "cancel by code"),
            Event::Started { timer_id } => write!(f, "TimerStarted(id \"{timer_id}\")"),
            Event::Fired => write!(f, "TimerFired"),
            Event::Canceled { timer_id } => write!(f, "TimerCanceled(id \"{timer_id}\")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::machines::table;

    #[test]
    fn every_state_and_event() {
        let timer = Timer { seq: 1, id: "1".into(), by_event_id: false };
        let by_event = Timer { by_event_id: true, ..timer.clone() };
        let states = [
            TimerMachine::AwaitingStarted(timer.clone()),
            TimerMachine::AwaitingStarted(by_event.clone()),
            TimerMachine::AwaitingStartedCanceled(by_event.clone()),
            TimerMachine::AwaitingFired(timer.clone()),
            TimerMachine::AwaitingFired(by_event),
            TimerMachine::AwaitingCanceled(timer),
            TimerMachine::Finished,
        ];
        let events = [
            Event::Cancel,
            Event::Started { timer_id: "1".into() },
            Event::Started { timer_id: "2".into() },
            Event::Fired,
            Event::Canceled { timer_id: "1".into() },
        ];
        insta::assert_snapshot!(table::render(&states, &events, TimerMachine::handle));
    }

    #[test]
    fn a_timer_of_no_length_takes_a_nanosecond_and_a_negative_one_is_refused() {
        let Issued::Begin { commands, .. } =
            start(StartTimer { seq: 1, start_to_fire_timeout: None }, Naming::Sequence).unwrap()
        else {
            panic!("not a new timer")
        };
        let [CommandAttributes::StartTimerCommandAttributes(command)] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!(command.start_to_fire_timeout, Some(Duration { seconds: 0, nanos: 1 }));
        let negative = Some(Duration { seconds: -1, nanos: 0 });
        assert!(start(StartTimer { seq: 1, start_to_fire_timeout: negative }, Naming::Sequence).is_err());
    }
}
