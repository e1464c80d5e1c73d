//! Messages between runs. What a run says to another is part of its state: it leaves once the commit that holds it is
//! durable, and is derived again when the run is loaded, until the other's answer settles it. The receiver keeps a
//! receipt by which it knows a repetition; the sender's word that it has settled the message ends the receipt.
//!
//! So each message has its effect once, whichever side stops when, as long as letters from one shard to another keep
//! their order: a repetition never arrives behind the word that settles it.

use bytes::Bytes;
use durably_proto::temporal::api::{
    common::v1::{Header, Payloads, WorkflowExecution},
    enums::v1::SignalExternalWorkflowExecutionFailedCause as SignalFailed,
    history::v1::{
        ExternalWorkflowExecutionSignaledEventAttributes,
        SignalExternalWorkflowExecutionFailedEventAttributes, WorkflowExecutionSignaledEventAttributes,
        history_event::Attributes,
    },
};
use prost::Message as _;

use super::{
    Context, Execution, Output, Time,
    pending::{Item, Stage},
    weight,
};
use crate::store::{RowKind, RunKey};

/// A message that the other side has not answered; stored under the id of the event that announced it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Unsettled {
    #[prost(int64, tag = "1")]
    pub event_id: i64,
    #[prost(int64, tag = "2")]
    pub completed_event_id: i64,
    #[prost(message, required, tag = "3")]
    pub to: Address,
    #[prost(oneof = "Body", tags = "10")]
    pub body: Option<Body>,
}

/// Whom a run means when it speaks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Address {
    /// Name of the namespace; empty for the sender's own.
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub workflow_id: String,
    /// Empty for the newest run.
    #[prost(string, tag = "3")]
    pub run_id: String,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    #[prost(message, tag = "10")]
    Signal(SignalBody),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SignalBody {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub input: Option<Payloads>,
    #[prost(message, optional, tag = "3")]
    pub header: Option<Header>,
    /// The sender's own mark, repeated in its events.
    #[prost(string, tag = "4")]
    pub control: String,
    #[prost(bool, tag = "5")]
    pub child_workflow_only: bool,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub from: Sender,
    pub to: Address,
    pub body: Body,
}

/// Names a message: who sent it, and the event that announced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub key: RunKey,
    pub event_id: i64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// There is no such run, or it has closed.
    NotFound,
    NamespaceNotFound,
    /// The receiver takes no more signals.
    TooManySignals,
}

/// A message that was taken in; stored until its sender has settled it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Receipt {
    /// Run and event of the sender.
    #[prost(string, tag = "1")]
    pub sender: String,
}

impl Sender {
    fn receipt(&self) -> String {
        format!("{}/{}", self.key.run_id, self.event_id)
    }
}

impl Item for Unsettled {
    const KIND: RowKind = RowKind::Outbox;

    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn name(&self) -> &'static str {
        ""
    }

    fn due(&self) -> Option<Time> {
        None
    }

    fn stage(&self) -> Stage {
        Stage::Started
    }

    fn weight(&self) -> usize {
        let content = match &self.body {
            Some(Body::Signal(signal)) => {
                weight::of(signal.input.as_ref()) + weight::of(signal.header.as_ref())
            }
            None => 0,
        };
        size_of::<Self>() + 256 + self.encoded_len() + content
    }
}

impl Item for Receipt {
    const KIND: RowKind = RowKind::Receipt;

    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn name(&self) -> &str {
        &self.sender
    }

    fn due(&self) -> Option<Time> {
        None
    }

    fn stage(&self) -> Stage {
        Stage::Sleeping
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + 128 + 2 * self.sender.len()
    }
}

impl Execution {
    /// Puts a message into the state; it leaves when that is durable.
    pub(super) fn say(&mut self, unsettled: Unsettled, cx: &mut Context<'_>) {
        cx.effects.messages.extend(self.message(&unsettled));
        self.pending.outbox.insert(unsettled.event_id, unsettled);
        self.changed(cx);
    }

    /// What the other side has not answered yet; what a driver sends after it has loaded the run.
    pub fn pending_messages(&self) -> Vec<Message> {
        self.pending.outbox.values().filter_map(|unsettled| self.message(unsettled)).collect()
    }

    fn message(&self, unsettled: &Unsettled) -> Option<Message> {
        let from = Sender { key: self.key.clone(), event_id: unsettled.event_id };
        Some(Message { from, to: unsettled.to.clone(), body: unsettled.body.clone()? })
    }

    /// A message of another run.
    pub(super) fn receive(&mut self, message: Message, cx: &mut Context<'_>) -> Output {
        let receipt = Receipt { sender: message.from.receipt() };
        if self.pending.receipts.id_of(&receipt.sender).is_some() {
            return Output::Received(Outcome::Delivered);
        }
        if !self.is_open() {
            return Output::Received(Outcome::NotFound);
        }
        match message.body {
            Body::Signal(signal) => {
                if self.signals_exhausted() {
                    return Output::Received(Outcome::TooManySignals);
                }
                if signal.child_workflow_only {
                    // No run has children yet, so this one is nobody's.
                    return Output::Received(Outcome::NotFound);
                }
                self.receive_signal(signal, &message.from.key, cx);
            }
        }
        self.pending.receipts.insert(self.pending.receipts.last_id() + 1, receipt);
        Output::Received(Outcome::Delivered)
    }

    fn receive_signal(&mut self, signal: SignalBody, from: &RunKey, cx: &mut Context<'_>) {
        let attributes = WorkflowExecutionSignaledEventAttributes {
            signal_name: signal.name,
            input: signal.input,
            identity: "history-service".into(),
            header: signal.header,
            external_workflow_execution: Some(execution(from)),
            ..Default::default()
        };
        self.state.signal_count += 1;
        self.record(Attributes::WorkflowExecutionSignaledEventAttributes(attributes), Vec::new(), cx);
        self.after_signal(cx);
    }

    /// The sender has settled the message: it will not be repeated.
    pub(super) fn forget_receipt(&mut self, sender: &Sender, cx: &mut Context<'_>) -> Output {
        if let Some(id) = self.pending.receipts.id_of(&sender.receipt()) {
            self.pending.receipts.remove(id);
            self.changed(cx);
        }
        Output::Done
    }

    /// The other side's answer.
    pub(super) fn settle(&mut self, event_id: i64, outcome: Outcome, cx: &mut Context<'_>) -> Output {
        let Some(unsettled) = self.pending.outbox.remove(event_id) else { return Output::Stale };
        match unsettled.body {
            Some(Body::Signal(signal)) => {
                let attributes =
                    signal_settled(signal, unsettled.to, event_id, unsettled.completed_event_id, outcome);
                self.record(attributes, Vec::new(), cx);
            }
            // Nothing was said, so there is nothing that the workflow waits to hear.
            None => {}
        }
        self.schedule_task(cx);
        self.changed(cx);
        Output::Done
    }
}

/// The event that tells the workflow what became of its signal.
fn signal_settled(
    signal: SignalBody,
    to: Address,
    initiated_event_id: i64,
    completed_event_id: i64,
    outcome: Outcome,
) -> Attributes {
    let workflow_execution = Some(WorkflowExecution { workflow_id: to.workflow_id, run_id: to.run_id });
    match outcome {
        Outcome::Delivered => Attributes::ExternalWorkflowExecutionSignaledEventAttributes(
            ExternalWorkflowExecutionSignaledEventAttributes {
                initiated_event_id,
                namespace: to.namespace,
                workflow_execution,
                control: signal.control,
                ..Default::default()
            },
        ),
        Outcome::NotFound | Outcome::NamespaceNotFound | Outcome::TooManySignals => {
            Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(
                SignalExternalWorkflowExecutionFailedEventAttributes {
                    cause: signal_failed(outcome) as i32,
                    workflow_task_completed_event_id: completed_event_id,
                    namespace: to.namespace,
                    workflow_execution,
                    initiated_event_id,
                    control: signal.control,
                    ..Default::default()
                },
            )
        }
    }
}

fn signal_failed(outcome: Outcome) -> SignalFailed {
    match outcome {
        Outcome::Delivered => SignalFailed::Unspecified,
        Outcome::NotFound => SignalFailed::ExternalWorkflowExecutionNotFound,
        Outcome::NamespaceNotFound => SignalFailed::NamespaceNotFound,
        Outcome::TooManySignals => SignalFailed::SignalCountLimitExceeded,
    }
}

fn execution(key: &RunKey) -> WorkflowExecution {
    WorkflowExecution { workflow_id: key.workflow_id.to_string(), run_id: key.run_id.to_string() }
}
