//! Updates: `UpdateReceived`, `UpdateAnswer`.
//!
//! Unlike other kinds, an update begins outside: a message asks for it, or, when it is replayed, the event that records
//! that it was accepted. What the code answers becomes messages, and commands that say where among the others they belong.

use std::fmt;

use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{UpdateAnswer, UpdateReceived, update_answer};
use durably_proto::temporal::api::command::v1::ProtocolMessageCommandAttributes;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::common::v1::Payloads;
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::update::v1::{
    Acceptance, Meta, Outcome, Rejection, Request, Response, outcome,
};

use super::{BadCommand, Effects, Issued, Machine, MachineEvent};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::messages::{OutgoingMessage, UpdateRequest, outgoing};
use crate::workflow::mismatch::{Change, Mismatch};

/// What stays the same through an update's life.
#[derive(Clone, PartialEq)]
pub(crate) struct Update {
    name: String,
    /// Names the update to whoever asked; empty in requests of old servers, which have the instance id only.
    meta: Meta,
    instance_id: String,
    /// What its answers' ids begin with.
    answers: String,
}

/// An update that the code has not answered.
#[derive(Clone, PartialEq)]
pub(crate) struct Asked {
    update: Update,
    message_id: String,
    event_id: i64,
    request: Request,
    /// The event that records that it was accepted, if this is a replay; 0 if the code decides.
    accepted_at: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum UpdateMachine {
    /// The code accepts or rejects it.
    AwaitingAnswer(Box<Asked>),
    AwaitingAccepted(Update),
    /// The code's second answer was as quick as the first.
    AwaitingAcceptedAndCompleted(Update),
    /// The code comes to an outcome.
    AwaitingOutcome(Update),
    AwaitingCompleted(Update),
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The code's answers.
    Accept,
    Reject(Box<Failure>),
    Complete(Box<Outcome>),
    /// The history's events.
    Accepted(Box<Accepted>),
    Completed {
        update_id: String,
    },
}

/// What the history has of an update that was accepted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) instance_id: String,
    message_id: String,
    event_id: i64,
    /// `None` if an event before it has the request.
    request: Option<Request>,
}

impl Accepted {
    /// After which event it was asked for.
    pub(crate) fn asked_at(&self) -> i64 {
        self.event_id
    }

    /// The message that had asked for it. `admitted`: what an event before this one has of it.
    pub(crate) fn to_request(&self, admitted: Option<Request>) -> UpdateRequest {
        UpdateRequest {
            id: self.message_id.clone(),
            protocol_instance_id: self.instance_id.clone(),
            event_id: self.event_id,
            request: admitted.or_else(|| self.request.clone()).unwrap_or_default(),
        }
    }
}

/// The id by which the code answers, the machine, and the job. `accepted_at`: the event that records that it was
/// accepted; 0 if the code decides. `by_event_id`: as Go's official SDK has it.
pub(crate) fn begin(asked: UpdateRequest, accepted_at: i64, by_event_id: bool) -> (String, Machine, Job) {
    let UpdateRequest { id: message_id, protocol_instance_id: instance_id, event_id, request } = asked;
    let input = request.input.clone().unwrap_or_default();
    let meta = request.meta.clone().unwrap_or_default();
    let id = if meta.update_id.is_empty() { instance_id.clone() } else { meta.update_id.clone() };
    let job = UpdateReceived {
        id: id.clone(),
        name: input.name.clone(),
        arguments: input.args.unwrap_or_default().payloads,
        headers: input.header.unwrap_or_default().fields,
        identity: meta.identity.clone(),
        run_validator: accepted_at == 0,
    };
    let answers = if by_event_id { instance_id.clone() } else { message_id.clone() };
    let update = Update { name: input.name, meta, instance_id, answers };
    let asked = Asked { update, message_id, event_id, request, accepted_at };
    (id, Machine::Update(UpdateMachine::AwaitingAnswer(Box::new(asked))), Job::Update(job))
}

/// What the code answers to an update.
pub(super) fn answer(command: UpdateAnswer) -> Result<Issued, BadCommand> {
    use update_answer::Answer;
    let UpdateAnswer { id: update_id, answer } = command;
    let outcome = |value| Event::Complete(Box::new(Outcome { value: Some(value) }));
    let event = match answer {
        Some(Answer::Accepted(_)) => Event::Accept,
        Some(Answer::Rejected(failure)) => Event::Reject(Box::new(failure)),
        Some(Answer::Succeeded(payload)) => {
            outcome(outcome::Value::Success(Payloads { payloads: vec![payload] }))
        }
        Some(Answer::Failed(failure)) => outcome(outcome::Value::Failure(failure)),
        None => return Err(BadCommand(format!("the answer to update `{update_id}` is empty"))),
    };
    Ok(Issued::Respond { update_id, event })
}

pub(super) fn decode(_event_id: i64, attributes: Attributes) -> Decoded {
    match attributes {
        Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
            let accepted = Accepted {
                instance_id: a.protocol_instance_id,
                message_id: a.accepted_request_message_id,
                event_id: a.accepted_request_sequencing_event_id,
                request: a.accepted_request,
            };
            Ok(Kind::Command(MachineEvent::Update(Event::Accepted(Box::new(accepted)))))
        }
        Attributes::WorkflowExecutionUpdateCompletedEventAttributes(a) => {
            let update_id = a.meta.unwrap_or_default().update_id;
            Ok(Kind::Command(MachineEvent::Update(Event::Completed { update_id })))
        }
        Attributes::WorkflowExecutionUpdateAdmittedEventAttributes(a) => {
            Ok(Kind::UpdateAdmitted(Box::new(a.request.ok_or("it has no request")?)))
        }
        _ => Err("it is not about an update"),
    }
}

impl UpdateMachine {
    pub(super) fn handle(self, event: Event, effects: &mut Effects) -> Result<Self, Box<Mismatch>> {
        use UpdateMachine::{
            AwaitingAccepted, AwaitingAcceptedAndCompleted, AwaitingAnswer, AwaitingCompleted,
            AwaitingOutcome, Finished,
        };
        match (self, event) {
            (AwaitingAnswer(asked), Event::Accept) => Ok(AwaitingAccepted(asked.accept(effects))),
            (AwaitingAnswer(asked), Event::Reject(failure)) => {
                asked.reject(*failure, effects)?;
                Ok(Finished)
            }
            (AwaitingAccepted(update), Event::Complete(outcome)) => {
                update.complete(*outcome, effects);
                Ok(AwaitingAcceptedAndCompleted(update))
            }
            (AwaitingOutcome(update), Event::Complete(outcome)) => {
                update.complete(*outcome, effects);
                Ok(AwaitingCompleted(update))
            }
            (AwaitingAccepted(update), Event::Accepted(accepted)) => {
                let is_same = update.instance_id == accepted.instance_id;
                let machine = AwaitingAccepted(update.clone());
                compare(is_same, &Event::Accepted(accepted), &machine, effects)?;
                Ok(AwaitingOutcome(update))
            }
            (AwaitingAcceptedAndCompleted(update), Event::Accepted(accepted)) => {
                let is_same = update.instance_id == accepted.instance_id;
                let machine = AwaitingAcceptedAndCompleted(update.clone());
                compare(is_same, &Event::Accepted(accepted), &machine, effects)?;
                Ok(AwaitingCompleted(update))
            }
            (AwaitingCompleted(update), Event::Completed { update_id }) => {
                let is_same = update.id() == update_id;
                compare(is_same, &Event::Completed { update_id }, &AwaitingCompleted(update), effects)?;
                Ok(Finished)
            }
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }

    /// Whether the code may say this now: what it says out of turn breaks the contract.
    pub(crate) fn check(&self, event: &Event) -> Result<(), BadCommand> {
        use UpdateMachine::{
            AwaitingAccepted, AwaitingAcceptedAndCompleted, AwaitingAnswer, AwaitingCompleted,
            AwaitingOutcome, Finished,
        };
        let (update, what) = match (self, event) {
            (AwaitingAnswer(asked), Event::Complete(_)) => {
                (&asked.update, "has an outcome, and was not accepted before it")
            }
            (AwaitingAccepted(update) | AwaitingOutcome(update), Event::Accept | Event::Reject(_)) => {
                (update, "was accepted before; what is left is its outcome")
            }
            (
                AwaitingAcceptedAndCompleted(update) | AwaitingCompleted(update),
                Event::Accept | Event::Reject(_) | Event::Complete(_),
            ) => (update, "has an outcome already"),
            (AwaitingAnswer(_), _) | (AwaitingAccepted(_) | AwaitingOutcome(_), Event::Complete(_)) => {
                return Ok(());
            }
            (_, Event::Accepted(_) | Event::Completed { .. }) | (Finished, _) => return Ok(()),
        };
        Err(BadCommand(format!("update `{}` ({}) {what}", update.id(), update.name)))
    }

    /// Its id and name, if the code has not said whether it accepts it.
    pub(crate) fn unanswered(&self) -> Option<(&str, &str)> {
        match self {
            UpdateMachine::AwaitingAnswer(asked) => Some((asked.update.id(), &asked.update.name)),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Event {
    /// An update that was asked for after this event.
    pub(crate) fn accepted_at(event_id: i64) -> Event {
        Event::Accepted(Box::new(Accepted { event_id, ..Accepted::default() }))
    }
}

/// Two updates of a task may have changed places.
fn compare(
    is_same: bool,
    expected: &Event,
    found: &UpdateMachine,
    effects: &Effects,
) -> Result<(), Box<Mismatch>> {
    if effects.compare_ids && !is_same {
        return Err(Mismatch::new(Change::Id, expected, found));
    }
    Ok(())
}

impl Asked {
    fn accept(self, effects: &mut Effects) -> Update {
        let acceptance = Acceptance {
            accepted_request_message_id: self.message_id,
            accepted_request_sequencing_event_id: self.event_id,
            accepted_request: Some(self.request),
        };
        self.update.say("accept", &acceptance, effects);
        self.update
    }

    /// Nothing of it is recorded, so no command goes with it.
    fn reject(self, failure: Failure, effects: &mut Effects) -> Result<(), Box<Mismatch>> {
        if self.accepted_at != 0 {
            return Err(Box::new(Mismatch {
                expected: format!("WorkflowExecutionUpdateAccepted({})", self.update),
                found: format!("update rejected ({}): {}", self.update, failure.message),
                event_id: self.accepted_at,
                ..Mismatch::default()
            }));
        }
        let rejection = Rejection {
            rejected_request_message_id: self.message_id,
            rejected_request_sequencing_event_id: self.event_id,
            rejected_request: Some(self.request),
            failure: Some(failure),
        };
        effects.messages.push(outgoing(
            &self.update.answer_id("reject"),
            &self.update.instance_id,
            &rejection,
        ));
        Ok(())
    }
}

impl Update {
    fn id(&self) -> &str {
        if self.meta.update_id.is_empty() { &self.instance_id } else { &self.meta.update_id }
    }

    fn answer_id(&self, what: &str) -> String {
        format!("{}/{what}", self.answers)
    }

    fn complete(&self, outcome: Outcome, effects: &mut Effects) {
        let response = Response { meta: Some(self.meta.clone()), outcome: Some(outcome) };
        self.say("complete", &response, effects);
    }

    /// A message, and the command that stands for it.
    fn say(&self, what: &str, body: &impl prost::Name, effects: &mut Effects) {
        let message_id = self.answer_id(what);
        let message: OutgoingMessage = outgoing(&message_id, &self.instance_id, body);
        effects.messages.push(message);
        let command = ProtocolMessageCommandAttributes { message_id };
        effects.commands.push(CommandAttributes::ProtocolMessageCommandAttributes(command));
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, id \"{}\"", self.name, self.id())
    }
}

impl fmt::Display for UpdateMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpdateMachine::AwaitingAnswer(asked) => {
                write!(f, "an update without an answer ({})", asked.update)
            }
            UpdateMachine::AwaitingAccepted(update) | UpdateMachine::AwaitingAcceptedAndCompleted(update) => {
                write!(f, "WorkflowExecutionUpdateAccepted({update})")
            }
            UpdateMachine::AwaitingOutcome(update) => write!(f, "an update under way ({update})"),
            UpdateMachine::AwaitingCompleted(update) => {
                write!(f, "WorkflowExecutionUpdateCompleted({update})")
            }
            UpdateMachine::Finished => write!(f, "an update that is over"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Accept => write!(f, "accepted by code"),
            Event::Reject(_) => write!(f, "rejected by code"),
            Event::Complete(_) => write!(f, "outcome by code"),
            Event::Accepted(accepted) => {
                let input = accepted.request.as_ref().and_then(|request| request.input.as_ref());
                let name = input.map_or("", |input| &input.name);
                let comma = if name.is_empty() { "" } else { ", " };
                write!(f, "WorkflowExecutionUpdateAccepted({name}{comma}id \"{}\")", accepted.instance_id)
            }
            Event::Completed { update_id } => {
                write!(f, "WorkflowExecutionUpdateCompleted(id \"{update_id}\")")
            }
        }
    }
}

/// Short, for tables and transcripts.
impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = if self.accepted_at == 0 { "" } else { ", accepted in the history" };
        write!(f, "{}{accepted}", self.update)
    }
}

#[cfg(test)]
mod tests;
