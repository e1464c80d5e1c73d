//! Requests that another workflow be cancelled: `RequestCancelExternalWorkflow`, and those that a cancelled child is sent.

use std::fmt;

use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{RequestCancelExternalWorkflow, ResolveRequestCancelExternalWorkflow};
use durably_proto::temporal::api::command::v1::RequestCancelExternalWorkflowExecutionCommandAttributes;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::enums::v1::CancelExternalWorkflowExecutionFailedCause as Cause;
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::history::v1::history_event::Attributes;

use super::signal_external::application_failure;
use super::{BadCommand, Effects, Inherited, Issued, Machine, MachineEvent, Naming, Sequence};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

/// What stays the same through a request's life.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `None`: nobody waits for the answer.
    seq: Option<u32>,
    workflow_id: String,
    /// The history's target must be the same, as in histories of Go's official SDK.
    compares: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum CancelExternalMachine {
    AwaitingInitiated(Request),
    AwaitingDelivered(Request),
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Initiated { workflow_id: String },
    Delivered,
    Failed { cause: Cause },
}

/// Asks any workflow.
pub(super) fn request(
    command: RequestCancelExternalWorkflow,
    inherited: &Inherited,
    naming: Naming,
) -> Result<Issued, BadCommand> {
    let seq = command.seq;
    let target = command.workflow.filter(|target| !target.workflow_id.is_empty());
    let Some(target) = target else {
        return Err(BadCommand(format!(
            "cancellation {seq} names no workflow; give the id of the one to cancel"
        )));
    };
    let (compares, control) = match naming {
        Naming::Sequence => (false, String::new()),
        Naming::EventId(event_id) => (true, event_id.to_string()),
    };
    #[expect(
        deprecated,
        reason = "namespaces are still named this way, and Go's official SDK finds its requests by control"
    )]
    let attributes = RequestCancelExternalWorkflowExecutionCommandAttributes {
        namespace: inherited.or_namespace(target.namespace),
        workflow_id: target.workflow_id.clone(),
        run_id: target.run_id,
        control,
        reason: command.reason,
        child_workflow_only: false,
    };
    let request = Request { seq: Some(seq), workflow_id: target.workflow_id, compares };
    Ok(Issued::Begin {
        seq: Some((Sequence::CancelExternal, seq)),
        machine: Machine::CancelExternal(CancelExternalMachine::AwaitingInitiated(request)),
        commands: vec![CommandAttributes::RequestCancelExternalWorkflowExecutionCommandAttributes(
            attributes,
        )],
    })
}

/// Asks a child. It names no run: the child may have continued as new, and the server sees to it that none but a child is
/// asked. The child's own machine sees what comes of it.
pub(super) fn request_child(
    namespace: String,
    workflow_id: String,
    reason: String,
    compares: bool,
) -> (Machine, CommandAttributes) {
    let request = Request { seq: None, workflow_id: workflow_id.clone(), compares };
    #[expect(deprecated, reason = "namespaces are still named this way")]
    let attributes = RequestCancelExternalWorkflowExecutionCommandAttributes {
        namespace,
        workflow_id,
        reason,
        child_workflow_only: true,
        ..RequestCancelExternalWorkflowExecutionCommandAttributes::default()
    };
    (
        Machine::CancelExternal(CancelExternalMachine::AwaitingInitiated(request)),
        CommandAttributes::RequestCancelExternalWorkflowExecutionCommandAttributes(attributes),
    )
}

pub(super) fn decode(_event_id: i64, attributes: Attributes) -> Decoded {
    let response = |origin: i64, event: Event| {
        if origin < 1 {
            return Err("it doesn't say which event asked for the cancellation");
        }
        Ok(Kind::Response { origin, event: MachineEvent::CancelExternal(event) })
    };
    match attributes {
        Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            let workflow_id = a.workflow_execution.unwrap_or_default().workflow_id;
            Ok(Kind::Command(MachineEvent::CancelExternal(Event::Initiated { workflow_id })))
        }
        Attributes::ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => {
            response(a.initiated_event_id, Event::Delivered)
        }
        Attributes::RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => {
            response(a.initiated_event_id, Event::Failed { cause: a.cause() })
        }
        _ => Err("it is not about the cancellation of another workflow"),
    }
}

impl CancelExternalMachine {
    pub(super) fn handle(self, event: Event, effects: &mut Effects) -> Result<Self, Box<Mismatch>> {
        use CancelExternalMachine::{AwaitingDelivered, AwaitingInitiated, Finished};
        match (self, event) {
            (AwaitingInitiated(request), Event::Initiated { workflow_id }) => {
                if request.compares && effects.compare_ids && request.workflow_id != workflow_id {
                    let expected = Event::Initiated { workflow_id };
                    return Err(Mismatch::new(Change::Target, &expected, &AwaitingInitiated(request)));
                }
                Ok(AwaitingDelivered(request))
            }
            (AwaitingDelivered(request), Event::Delivered) => {
                request.resolve(None, Cause::Unspecified, effects);
                Ok(Finished)
            }
            (AwaitingDelivered(request), Event::Failed { cause }) => {
                request.resolve(Some(failure(cause)), cause, effects);
                Ok(Finished)
            }
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }
}

impl Request {
    fn resolve(&self, failure: Option<Failure>, cause: Cause, effects: &mut Effects) {
        let Some(seq) = self.seq else { return };
        let job = ResolveRequestCancelExternalWorkflow { seq, failure, cause: cause as i32 };
        effects.jobs.push(Job::ResolveRequestCancelExternalWorkflow(job));
    }
}

fn failure(cause: Cause) -> Failure {
    let why = match cause {
        Cause::ExternalWorkflowExecutionNotFound => "it was not found, or is closed",
        Cause::NamespaceNotFound => "its namespace was not found",
        Cause::Unspecified => "the server refused it, for a cause that this version doesn't know",
    };
    application_failure(format!("Unable to cancel external workflow because {why}"), format!("{cause:?}"))
}

impl fmt::Display for CancelExternalMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CancelExternalMachine::AwaitingInitiated(request) => {
                write!(
                    f,
                    "RequestCancelExternalWorkflowExecutionInitiated(workflow \"{}\")",
                    request.workflow_id
                )
            }
            CancelExternalMachine::AwaitingDelivered(request) => {
                write!(f, "ExternalWorkflowExecutionCancelRequested(workflow \"{}\")", request.workflow_id)
            }
            CancelExternalMachine::Finished => write!(f, "the cancellation of another workflow that is over"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Initiated { workflow_id } => {
                write!(f, "RequestCancelExternalWorkflowExecutionInitiated(workflow \"{workflow_id}\")")
            }
            Event::Delivered => write!(f, "ExternalWorkflowExecutionCancelRequested"),
            Event::Failed { cause } => write!(f, "RequestCancelExternalWorkflowExecutionFailed({cause:?})"),
        }
    }
}

/// Short, for tables and transcripts.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compares = if self.compares { ", compares" } else { "" };
        let silent = if self.seq.is_none() { ", of a child" } else { "" };
        write!(f, "\"{}\"{compares}{silent}", self.workflow_id)
    }
}

#[cfg(test)]
mod tests {
    use durably_proto::durably::core::v1::ExternalWorkflow;

    use super::*;
    use crate::workflow::machines::table;

    #[test]
    fn every_state_and_event() {
        let request = Request { seq: Some(1), workflow_id: "other".into(), compares: false };
        let by_event = Request { compares: true, ..request.clone() };
        let of_child = Request { seq: None, ..request.clone() };
        let states = [
            CancelExternalMachine::AwaitingInitiated(request.clone()),
            CancelExternalMachine::AwaitingInitiated(by_event),
            CancelExternalMachine::AwaitingDelivered(request),
            CancelExternalMachine::AwaitingDelivered(of_child),
            CancelExternalMachine::Finished,
        ];
        let events = [
            Event::Initiated { workflow_id: "other".into() },
            Event::Initiated { workflow_id: "another".into() },
            Event::Delivered,
            Event::Failed { cause: Cause::ExternalWorkflowExecutionNotFound },
            Event::Failed { cause: Cause::NamespaceNotFound },
            Event::Failed { cause: Cause::Unspecified },
        ];
        insta::assert_snapshot!(table::render(&states, &events, CancelExternalMachine::handle));
    }

    #[test]
    #[expect(deprecated, reason = "as above")]
    fn a_request_is_for_a_workflow_of_its_own_namespace_unless_another_is_named() {
        let inherited = Inherited { namespace: "own".into(), ..Inherited::default() };
        let sent = |namespace: &str, naming: Naming| {
            let workflow_id = "other".to_owned();
            let workflow =
                ExternalWorkflow { namespace: namespace.into(), workflow_id, run_id: "run".into() };
            let command =
                RequestCancelExternalWorkflow { seq: 1, workflow: Some(workflow), reason: "late".into() };
            match request(command, &inherited, naming) {
                Ok(Issued::Begin { mut commands, .. }) => match commands.remove(0) {
                    CommandAttributes::RequestCancelExternalWorkflowExecutionCommandAttributes(sent) => sent,
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        };
        let plain = sent("", Naming::Sequence);
        assert_eq!((&*plain.namespace, &*plain.control, &*plain.reason), ("own", "", "late"));
        assert_eq!(sent("elsewhere", Naming::Sequence).namespace, "elsewhere");
        assert_eq!(sent("", Naming::EventId(7)).control, "7", "as Go's official SDK finds it again");
        let nobody = RequestCancelExternalWorkflow { seq: 1, ..RequestCancelExternalWorkflow::default() };
        assert!(request(nobody, &inherited, Naming::Sequence).unwrap_err().0.contains("names no workflow"));
    }
}
