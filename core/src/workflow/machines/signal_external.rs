//! Signals to other workflows: `SignalExternalWorkflow`, `CancelSignalExternalWorkflow`.

use std::fmt;

use durably_proto::durably::core::v1::signal_external_workflow::Target;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{
    ExternalWorkflow, ResolveSignalExternalWorkflow, SignalExternalWorkflow,
};
use durably_proto::temporal::api::command::v1::SignalExternalWorkflowExecutionCommandAttributes;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::common::v1::{Header, Payloads, WorkflowExecution};
use durably_proto::temporal::api::enums::v1::SignalExternalWorkflowExecutionFailedCause as Cause;
use durably_proto::temporal::api::failure::v1::failure::FailureInfo;
use durably_proto::temporal::api::failure::v1::{ApplicationFailureInfo, CanceledFailureInfo, Failure};
use durably_proto::temporal::api::history::v1::history_event::Attributes;

use super::{BadCommand, Effects, Inherited, Issued, Machine, MachineEvent, Naming, Sequence};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

/// What stays the same through a signal's life.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    seq: u32,
    name: String,
    workflow_id: String,
    /// As Go's official SDK has it: it can't be taken back, and the history's name and target must be the same.
    by_event_id: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum SignalExternalMachine {
    AwaitingInitiated(Signal),
    AwaitingDelivered(Signal),
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The code takes it back.
    Cancel,
    Initiated {
        name: String,
        workflow_id: String,
    },
    Delivered,
    Failed {
        cause: Cause,
    },
}

/// Sends a signal.
pub(super) fn signal(
    command: SignalExternalWorkflow,
    inherited: &Inherited,
    naming: Naming,
) -> Result<Issued, BadCommand> {
    let seq = command.seq;
    let (target, child_workflow_only) = match command.target {
        Some(Target::Workflow(workflow)) => (workflow, false),
        Some(Target::ChildWorkflowId(workflow_id)) => {
            (ExternalWorkflow { workflow_id, ..ExternalWorkflow::default() }, true)
        }
        None => (ExternalWorkflow::default(), false),
    };
    if target.workflow_id.is_empty() {
        return Err(BadCommand(format!("signal {seq} names no workflow; give the id of the one to signal")));
    }
    if command.signal_name.is_empty() {
        return Err(BadCommand(format!("signal {seq} has no name")));
    }
    let (by_event_id, control) = match naming {
        Naming::Sequence => (false, String::new()),
        Naming::EventId(event_id) => (true, event_id.to_string()),
    };
    let signal = Signal {
        seq,
        name: command.signal_name.clone(),
        workflow_id: target.workflow_id.clone(),
        by_event_id,
    };
    #[expect(
        deprecated,
        reason = "namespaces are still named this way, and Go's official SDK finds its signals by control"
    )]
    let attributes = SignalExternalWorkflowExecutionCommandAttributes {
        namespace: inherited.or_namespace(target.namespace),
        execution: Some(WorkflowExecution { workflow_id: target.workflow_id, run_id: target.run_id }),
        signal_name: command.signal_name,
        input: (!command.arguments.is_empty()).then_some(Payloads { payloads: command.arguments }),
        header: (!command.headers.is_empty()).then_some(Header { fields: command.headers }),
        control,
        child_workflow_only,
    };
    Ok(Issued::Begin {
        seq: Some((Sequence::SignalExternal, seq)),
        machine: Machine::SignalExternal(SignalExternalMachine::AwaitingInitiated(signal)),
        commands: vec![CommandAttributes::SignalExternalWorkflowExecutionCommandAttributes(attributes)],
    })
}

pub(super) fn decode(_event_id: i64, attributes: Attributes) -> Decoded {
    let response = |origin: i64, event: Event| {
        if origin < 1 {
            return Err("it doesn't say which event sent the signal");
        }
        Ok(Kind::Response { origin, event: MachineEvent::SignalExternal(event) })
    };
    match attributes {
        Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            let workflow_id = a.workflow_execution.unwrap_or_default().workflow_id;
            let event = Event::Initiated { name: a.signal_name, workflow_id };
            Ok(Kind::Command(MachineEvent::SignalExternal(event)))
        }
        Attributes::ExternalWorkflowExecutionSignaledEventAttributes(a) => {
            response(a.initiated_event_id, Event::Delivered)
        }
        Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
            response(a.initiated_event_id, Event::Failed { cause: a.cause() })
        }
        _ => Err("it is not about a signal to another workflow"),
    }
}

impl SignalExternalMachine {
    pub(super) fn handle(self, event: Event, effects: &mut Effects) -> Result<Self, Box<Mismatch>> {
        use SignalExternalMachine::{AwaitingDelivered, AwaitingInitiated, Finished};
        match (self, event) {
            (AwaitingInitiated(signal), Event::Initiated { name, workflow_id }) => {
                let is_same = signal.name == name && signal.workflow_id == workflow_id;
                if signal.by_event_id && effects.compare_ids && !is_same {
                    let expected = Event::Initiated { name, workflow_id };
                    return Err(Mismatch::new(Change::Target, &expected, &AwaitingInitiated(signal)));
                }
                Ok(AwaitingDelivered(signal))
            }
            (AwaitingInitiated(signal), Event::Cancel) if !signal.by_event_id => {
                signal.resolve(Some(cancelled()), Cause::Unspecified, effects);
                Ok(Finished)
            }
            (machine, Event::Cancel) => Ok(machine),
            (AwaitingDelivered(signal), Event::Delivered) => {
                signal.resolve(None, Cause::Unspecified, effects);
                Ok(Finished)
            }
            (AwaitingDelivered(signal), Event::Failed { cause }) => {
                signal.resolve(Some(failure(cause)), cause, effects);
                Ok(Finished)
            }
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }
}

impl Signal {
    fn resolve(&self, failure: Option<Failure>, cause: Cause, effects: &mut Effects) {
        let job = ResolveSignalExternalWorkflow { seq: self.seq, failure, cause: cause as i32 };
        effects.jobs.push(Job::ResolveSignalExternalWorkflow(job));
    }
}

fn cancelled() -> Failure {
    Failure {
        message: "Signal was cancelled before being sent".to_owned(),
        failure_info: Some(FailureInfo::CanceledFailureInfo(CanceledFailureInfo::default())),
        ..Failure::default()
    }
}

fn failure(cause: Cause) -> Failure {
    let why = match cause {
        Cause::ExternalWorkflowExecutionNotFound => "it was not found, or is closed",
        Cause::NamespaceNotFound => "its namespace was not found",
        Cause::SignalCountLimitExceeded => "it has got as many signals as the server lets a workflow have",
        Cause::Unspecified => "the server refused it, for a cause that this version doesn't know",
    };
    application_failure(format!("Unable to signal external workflow because {why}"), format!("{cause:?}"))
}

/// A failure of what a run asked the server to tell another one. Its type is the name of the cause.
pub(super) fn application_failure(message: String, cause: String) -> Failure {
    let info = ApplicationFailureInfo { r#type: cause, ..ApplicationFailureInfo::default() };
    Failure { message, failure_info: Some(FailureInfo::ApplicationFailureInfo(info)), ..Failure::default() }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, workflow \"{}\"", self.name, self.workflow_id)
    }
}

impl fmt::Display for SignalExternalMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignalExternalMachine::AwaitingInitiated(signal) => {
                write!(f, "SignalExternalWorkflowExecutionInitiated({signal})")
            }
            SignalExternalMachine::AwaitingDelivered(signal) => {
                write!(f, "ExternalWorkflowExecutionSignaled({signal})")
            }
            SignalExternalMachine::Finished => write!(f, "a signal to another workflow that is over"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Cancel => write!(f, "cancel by code"),
            Event::Initiated { name, workflow_id } => {
                write!(f, "SignalExternalWorkflowExecutionInitiated({name}, workflow \"{workflow_id}\")")
            }
            Event::Delivered => write!(f, "ExternalWorkflowExecutionSignaled"),
            Event::Failed { cause } => write!(f, "SignalExternalWorkflowExecutionFailed({cause:?})"),
        }
    }
}

/// Short, for tables and transcripts.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_event_id = if self.by_event_id { ", by event id" } else { "" };
        write!(f, "{self}{by_event_id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::machines::table;

    fn initiated(name: &str, workflow_id: &str) -> Event {
        Event::Initiated { name: name.into(), workflow_id: workflow_id.into() }
    }

    #[test]
    fn every_state_and_event() {
        let signal = Signal { seq: 1, name: "pay".into(), workflow_id: "other".into(), by_event_id: false };
        let by_event = Signal { by_event_id: true, ..signal.clone() };
        let states = [
            SignalExternalMachine::AwaitingInitiated(signal.clone()),
            SignalExternalMachine::AwaitingInitiated(by_event),
            SignalExternalMachine::AwaitingDelivered(signal),
            SignalExternalMachine::Finished,
        ];
        let events = [
            Event::Cancel,
            initiated("pay", "other"),
            initiated("pay", "another"),
            initiated("ship", "other"),
            Event::Delivered,
            Event::Failed { cause: Cause::ExternalWorkflowExecutionNotFound },
            Event::Failed { cause: Cause::NamespaceNotFound },
            Event::Failed { cause: Cause::SignalCountLimitExceeded },
            Event::Failed { cause: Cause::Unspecified },
        ];
        insta::assert_snapshot!(table::render(&states, &events, SignalExternalMachine::handle));
    }

    fn sent(target: Option<Target>, naming: Naming) -> Result<CommandAttributes, BadCommand> {
        let inherited = Inherited { namespace: "own".into(), ..Inherited::default() };
        let command =
            SignalExternalWorkflow { seq: 1, target, signal_name: "pay".into(), ..Default::default() };
        match signal(command, &inherited, naming)? {
            Issued::Begin { mut commands, .. } => Ok(commands.remove(0)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_childs_signal_is_for_nobody_but_the_child() {
        let child = Some(Target::ChildWorkflowId("child".into()));
        insta::assert_debug_snapshot!(sent(child, Naming::EventId(7)).unwrap());
        let other = ExternalWorkflow {
            namespace: "elsewhere".into(),
            workflow_id: "other".into(),
            run_id: "run".into(),
        };
        insta::assert_debug_snapshot!(sent(Some(Target::Workflow(other)), Naming::Sequence).unwrap());
    }

    #[test]
    fn a_signal_needs_a_target_and_a_name() {
        assert!(sent(None, Naming::Sequence).unwrap_err().0.contains("names no workflow"));
        let child = Some(Target::ChildWorkflowId("child".into()));
        let nameless = SignalExternalWorkflow { seq: 1, target: child, ..Default::default() };
        assert!(signal(nameless, &Inherited::default(), Naming::Sequence).is_err());
    }
}
