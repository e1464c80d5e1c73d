//! Timers: `StartTimer`, `CancelTimer`.

use std::fmt;

use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{FireTimer, StartTimer};
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::command::v1::{CancelTimerCommandAttributes, StartTimerCommandAttributes};
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use prost_types::Duration;

use super::{BadCommand, Effects, Issued, Machine, MachineEvent, Sequence};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

/// A timer. Its id is `seq` in decimal.
#[derive(Clone, Debug)]
pub(crate) enum TimerMachine {
    AwaitingStarted { seq: u32 },
    AwaitingFired { seq: u32 },
    AwaitingCanceled { seq: u32 },
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
pub(super) fn start(command: StartTimer) -> Result<Issued, BadCommand> {
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
    let command = CommandAttributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
        timer_id: seq.to_string(),
        start_to_fire_timeout: Some(timeout),
    });
    Ok(Issued::Begin {
        seq: Some((Sequence::Timer, seq)),
        machine: Machine::Timer(TimerMachine::AwaitingStarted { seq }),
        command: Box::new(command),
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
        match (self, event) {
            (TimerMachine::AwaitingStarted { seq }, Event::Started { timer_id }) => {
                if effects.compare_ids && timer_id != seq.to_string() {
                    let expected = Event::Started { timer_id };
                    return Err(Mismatch::new(Change::Id, &expected, &TimerMachine::AwaitingStarted { seq }));
                }
                Ok(TimerMachine::AwaitingFired { seq })
            }
            (TimerMachine::AwaitingFired { seq }, Event::Fired) => {
                effects.jobs.push(Job::FireTimer(FireTimer { seq }));
                Ok(TimerMachine::Finished)
            }
            (TimerMachine::AwaitingFired { seq }, Event::Cancel) => {
                let command = CancelTimerCommandAttributes { timer_id: seq.to_string() };
                effects.command = Some(CommandAttributes::CancelTimerCommandAttributes(command));
                Ok(TimerMachine::AwaitingCanceled { seq })
            }
            // A timer that was not sent yet is withdrawn: nobody else needs to know.
            (TimerMachine::AwaitingStarted { .. }, Event::Cancel)
            | (TimerMachine::AwaitingCanceled { .. }, Event::Canceled { .. }) => Ok(TimerMachine::Finished),
            (machine @ (TimerMachine::AwaitingCanceled { .. } | TimerMachine::Finished), Event::Cancel) => {
                Ok(machine)
            }
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }
}

impl fmt::Display for TimerMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimerMachine::AwaitingStarted { seq } => write!(f, "TimerStarted(id \"{seq}\")"),
            TimerMachine::AwaitingFired { seq } => write!(f, "TimerFired(id \"{seq}\")"),
            TimerMachine::AwaitingCanceled { seq } => write!(f, "TimerCanceled(id \"{seq}\")"),
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
        let states = [
            TimerMachine::AwaitingStarted { seq: 1 },
            TimerMachine::AwaitingFired { seq: 1 },
            TimerMachine::AwaitingCanceled { seq: 1 },
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
        let Issued::Begin { command, .. } =
            start(StartTimer { seq: 1, start_to_fire_timeout: None }).unwrap()
        else {
            panic!("not a new timer")
        };
        let CommandAttributes::StartTimerCommandAttributes(command) = *command else { panic!("{command:?}") };
        assert_eq!(command.start_to_fire_timeout, Some(Duration { seconds: 0, nanos: 1 }));
        let negative = Some(Duration { seconds: -1, nanos: 0 });
        assert!(start(StartTimer { seq: 1, start_to_fire_timeout: negative }).is_err());
    }
}
