//! Messages between runs. What a run says to another is part of its state: it leaves once the commit that holds it is
//! durable, and is derived again when the run is loaded, until the other's answer settles it. The receiver keeps a
//! receipt by which it knows a repetition; the sender's word that it has settled the message ends the receipt. A receiver
//! that is loaded with receipts, or inherits some, answers again, and a sender that has settled the message gives its word
//! again: so no receipt outlives a word that was lost.
//!
//! So each message has its effect once, whichever side stops when, as long as letters from one shard to another keep
//! their order: a repetition never arrives behind the word that settles it.

use bytes::Bytes;
use prost::Message as _;

use super::{
    Context, Execution, Output, Time,
    children::{ChildClosedBody, Ending, ParentClosedBody, StartChildBody},
    external::{CancelBody, SignalBody, cancel_settled, signal_settled},
    pending::{Item, Stage},
    weight,
};
use crate::store::{RowKind, RunKey};

/// A message that the other side has not answered; stored under its `event_id`, which is its key for both sides. No two
/// messages of a run have the same: a signal, a request to cancel or a start has the id of the event that announces it; the
/// word of a run's end to its parent that of its last event, which announces nothing else; the word of its end to a child
/// the negative of the id that the child's start has, and a run ends once. So receipts need not say the kind.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Unsettled {
    #[prost(int64, tag = "1")]
    pub event_id: i64,
    #[prost(int64, tag = "2")]
    pub completed_event_id: i64,
    #[prost(message, required, tag = "3")]
    pub to: Address,
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14")]
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
    #[prost(message, tag = "11")]
    Cancel(CancelBody),
    #[prost(message, tag = "12")]
    StartChild(Box<StartChildBody>),
    #[prost(message, tag = "13")]
    ChildClosed(Box<ChildClosedBody>),
    #[prost(message, tag = "14")]
    ParentClosed(ParentClosedBody),
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub from: Sender,
    pub to: Address,
    pub body: Body,
}

/// Names a message: who sent it, and the key that it has there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sender {
    pub key: RunKey,
    pub event_id: i64,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// The child has started with this run.
    Started {
        run_id: String,
    },
    /// The child's workflow id is taken.
    AlreadyExists,
    /// There is no such run, or it has closed.
    NotFound,
    NamespaceNotFound,
    /// The receiver takes no more signals.
    TooManySignals,
}

/// A message that was taken in; stored until its sender has settled it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Receipt {
    /// Run of the sender, and the message's key there.
    #[prost(string, tag = "1")]
    pub sender: String,
    /// Of the sender. Releases that did not answer again left this and the next one empty.
    #[prost(string, tag = "2")]
    pub namespace_id: String,
    #[prost(string, tag = "3")]
    pub workflow_id: String,
}

impl Receipt {
    pub(super) fn of(sender: &Sender) -> Self {
        Self {
            sender: sender.receipt(),
            namespace_id: sender.key.namespace_id.to_string(),
            workflow_id: sender.key.workflow_id.to_string(),
        }
    }

    /// Whom to answer, if the receipt says it.
    pub(super) fn answer_to(&self) -> Option<Sender> {
        let Self { sender, namespace_id, workflow_id } = self;
        let (run_id, event_id) = sender.rsplit_once('/').filter(|_| !workflow_id.is_empty())?;
        let key = RunKey {
            namespace_id: namespace_id.as_str().into(),
            workflow_id: workflow_id.as_str().into(),
            run_id: run_id.into(),
        };
        Some(Sender { key, event_id: event_id.parse().ok()? })
    }
}

impl Sender {
    fn receipt(&self) -> String {
        format!("{}/{}", self.key.run_id, self.event_id)
    }
}

impl Unsettled {
    pub(super) fn starts_child(&self) -> bool {
        matches!(self.body, Some(Body::StartChild(_)))
    }
}

impl Body {
    /// Whether the receiver keeps a receipt, until it hears that the sender has settled the message.
    pub fn leaves_receipt(&self) -> bool {
        match self {
            Self::Signal(_) | Self::Cancel(_) => true,
            Self::StartChild(_) | Self::ChildClosed(_) | Self::ParentClosed(_) => false,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Signal(signal) => weight::of(signal.input.as_ref()) + weight::of(signal.header.as_ref()),
            Self::StartChild(start) => weight::of(Some(&start.initiated)),
            Self::ChildClosed(closed) => match &closed.ending {
                Some(Ending::Completed(of)) => weight::of(Some(of)),
                Some(Ending::Failed(of)) => weight::of(Some(&**of)),
                Some(Ending::Canceled(of)) => weight::of(Some(of)),
                Some(Ending::TimedOut(_) | Ending::Terminated(_)) | None => 0,
            },
            Self::Cancel(_) | Self::ParentClosed(_) => 0,
        }
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
        let content = self.body.as_ref().map_or(0, Body::weight);
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
        size_of::<Self>() + 128 + 2 * self.sender.len() + self.namespace_id.len() + self.workflow_id.len()
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

    /// Something that it said has no answer yet.
    pub fn has_messages(&self) -> bool {
        self.pending.outbox.len() > 0
    }

    /// The messages that it has a receipt for. A driver answers them again when it has loaded the run, and when the run
    /// inherits them: the answer may have been lost, or the word that follows it.
    pub fn taken_in(&self) -> Vec<Sender> {
        self.pending.receipts.values().filter_map(Receipt::answer_to).collect()
    }

    fn message(&self, unsettled: &Unsettled) -> Option<Message> {
        let from = Sender { key: self.key.clone(), event_id: unsettled.event_id };
        Some(Message { from, to: unsettled.to.clone(), body: unsettled.body.clone()? })
    }

    /// A message of another run.
    pub(super) fn receive(&mut self, message: Message, cx: &mut Context<'_>) -> Output {
        let Message { from, to: _, body } = message;
        let receipt = body.leaves_receipt().then(|| Receipt::of(&from));
        if receipt.as_ref().is_some_and(|receipt| self.pending.receipts.id_of(&receipt.sender).is_some()) {
            return Output::Received(Outcome::Delivered);
        }
        if !self.is_open() {
            return Output::Received(match body {
                // Who asks to cancel wants nothing else than that it ends.
                Body::Cancel(_) => Outcome::Delivered,
                Body::Signal(_) | Body::StartChild(_) | Body::ChildClosed(_) | Body::ParentClosed(_) => {
                    Outcome::NotFound
                }
            });
        }
        let outcome = match body {
            Body::Signal(signal) => self.receive_signal(signal, &from.key, cx),
            Body::Cancel(cancel) => self.receive_cancel(&cancel, &from, cx),
            Body::ChildClosed(closed) => self.child_closed(*closed, &from.key, cx),
            Body::ParentClosed(closed) => self.parent_closed(&closed, &from, cx),
            // Nobody has this run to start a child in: whoever asks for one asks its shard.
            Body::StartChild(_) => Outcome::AlreadyExists,
        };
        if let Some(receipt) = receipt.filter(|_| outcome == Outcome::Delivered) {
            self.pending.receipts.insert(self.pending.receipts.last_id() + 1, receipt);
        }
        Output::Received(outcome)
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
        let Some(mut unsettled) = self.pending.outbox.remove(event_id) else { return Output::Stale };
        self.changed(cx);
        if !self.is_open() {
            return Output::Done;
        }
        match unsettled.body.take() {
            Some(Body::Signal(signal)) => {
                self.record(signal_settled(signal, unsettled, &outcome), Vec::new(), cx);
            }
            Some(Body::Cancel(cancel)) => {
                self.record(cancel_settled(cancel, unsettled, &outcome), Vec::new(), cx);
            }
            Some(Body::StartChild(start)) => self.child_start_settled(&start, &unsettled, outcome, cx),
            // Said by runs that have ended; or nothing was said. No workflow waits to hear of it.
            Some(Body::ChildClosed(_) | Body::ParentClosed(_)) | None => return Output::Done,
        }
        self.schedule_task(cx);
        Output::Done
    }
}
