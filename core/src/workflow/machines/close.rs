//! The end of a run by its own code: `CompleteWorkflow`, `FailWorkflow`, `CancelWorkflow`; and what
//! [`super::continue_as_new`] shares with them.

use std::fmt;

use durably_proto::durably::core::v1::{CancelWorkflow, CompleteWorkflow, FailWorkflow};
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::command::v1::{
    CancelWorkflowExecutionCommandAttributes, CompleteWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
};
use durably_proto::temporal::api::common::v1::Payloads;
use durably_proto::temporal::api::enums::v1::ContinueAsNewInitiator;
use durably_proto::temporal::api::history::v1::history_event::Attributes;

use super::{BadCommand, Effects, Issued, Machine, MachineEvent};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Failed,
    Canceled,
    ContinuedAsNew,
}

/// The end of the run.
#[derive(Clone, Debug)]
pub(crate) enum CloseMachine {
    AwaitingClosed(End),
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Closed(End),
    /// Old servers recorded a completion or failure that a cron schedule or retry policy follows in this way.
    ContinuedByServer,
}

pub(super) fn complete(command: CompleteWorkflow) -> Issued {
    let result = command.result.map(|payload| Payloads { payloads: vec![payload] });
    let attributes = CompleteWorkflowExecutionCommandAttributes { result };
    begin(End::Completed, CommandAttributes::CompleteWorkflowExecutionCommandAttributes(attributes))
}

pub(super) fn fail(command: FailWorkflow) -> Result<Issued, BadCommand> {
    if command.failure.is_none() {
        return Err(BadCommand("a command fails the workflow without saying why".to_owned()));
    }
    let attributes = FailWorkflowExecutionCommandAttributes { failure: command.failure };
    Ok(begin(End::Failed, CommandAttributes::FailWorkflowExecutionCommandAttributes(attributes)))
}

pub(super) fn cancel(command: CancelWorkflow) -> Issued {
    let attributes = CancelWorkflowExecutionCommandAttributes { details: command.details };
    begin(End::Canceled, CommandAttributes::CancelWorkflowExecutionCommandAttributes(attributes))
}

pub(super) fn begin(end: End, command: CommandAttributes) -> Issued {
    let machine = Machine::Close(CloseMachine::AwaitingClosed(end));
    Issued::Begin { seq: None, machine, commands: vec![command] }
}

pub(super) fn decode(attributes: Attributes) -> Decoded {
    let event = match attributes {
        Attributes::WorkflowExecutionCompletedEventAttributes(_) => Event::Closed(End::Completed),
        Attributes::WorkflowExecutionFailedEventAttributes(_) => Event::Closed(End::Failed),
        Attributes::WorkflowExecutionCanceledEventAttributes(_) => Event::Closed(End::Canceled),
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(attributes) => {
            match attributes.initiator() {
                ContinueAsNewInitiator::Retry | ContinueAsNewInitiator::CronSchedule => {
                    Event::ContinuedByServer
                }
                _ => Event::Closed(End::ContinuedAsNew),
            }
        }
        _ => return Err("it doesn't end the run"),
    };
    Ok(Kind::Command(MachineEvent::Close(event)))
}

impl CloseMachine {
    pub(super) fn handle(self, event: Event, _effects: &mut Effects) -> Result<CloseMachine, Box<Mismatch>> {
        match (self, event) {
            (CloseMachine::AwaitingClosed(end), Event::Closed(recorded)) if end == recorded => {
                Ok(CloseMachine::Finished)
            }
            (CloseMachine::AwaitingClosed(End::Completed | End::Failed), Event::ContinuedByServer) => {
                Ok(CloseMachine::Finished)
            }
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkflowExecution{self:?}")
    }
}

impl fmt::Display for CloseMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseMachine::AwaitingClosed(end) => end.fmt(f),
            CloseMachine::Finished => write!(f, "a run that has ended"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Closed(end) => end.fmt(f),
            Event::ContinuedByServer => write!(f, "WorkflowExecutionContinuedAsNew(by cron or retry)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::machines::table;

    #[test]
    fn every_state_and_event() {
        let ends = [End::Completed, End::Failed, End::Canceled, End::ContinuedAsNew];
        let mut states: Vec<_> = ends.into_iter().map(CloseMachine::AwaitingClosed).collect();
        states.push(CloseMachine::Finished);
        let mut events: Vec<_> = ends.into_iter().map(Event::Closed).collect();
        events.push(Event::ContinuedByServer);
        insta::assert_snapshot!(table::render(&states, &events, CloseMachine::handle));
    }

    #[test]
    fn a_failure_needs_a_failure() {
        assert!(fail(FailWorkflow { failure: None }).is_err());
    }
}
