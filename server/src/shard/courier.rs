//! Carries messages between runs, whichever shards they are on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    driver::Shard,
    executions::shard_of,
    route::{Place, Route},
    runs::{ReadError, Target},
};
use crate::{
    Namespace,
    engine::{Address, Input, Message, Outcome, Output, RunKey, Sender, Time},
    store::Store,
};

/// How long to wait before a message that could not be taken in is sent again.
const RESEND_PAUSE: i64 = 1_000_000_000;

/// What travels between shards.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    Message(Box<Message>),
    /// What became of a message; `None`: its receiver could not be reached just now.
    Answer {
        to: Sender,
        receiver: Option<RunKey>,
        outcome: Option<Outcome>,
    },
    /// The sender has recorded the answer.
    Settled {
        from: Sender,
        receiver: RunKey,
    },
}

impl Letter {
    /// The workflow id that it goes to.
    fn receiver(&self) -> &str {
        match self {
            Self::Message(message) => &message.to.workflow_id,
            Self::Answer { to, .. } => &to.key.workflow_id,
            Self::Settled { receiver, .. } => &receiver.workflow_id,
        }
    }
}

/// The way between shards. Letters from one shard to another arrive in the order in which they were sent, or not at
/// all: what was lost is derived again from the sender's state.
pub(super) trait Courier: Send + Sync {
    fn send(&self, letter: Letter);
}

/// To the shards of this process. A message for one that another process has waits with its sender, who says it again
/// until it is taken in.
pub(super) struct LocalCourier {
    pub shards: u32,
    pub route: Arc<dyn Route>,
}

impl Courier for LocalCourier {
    fn send(&self, letter: Letter) {
        // A shard that takes no more work has its senders ask again when it is back.
        match (self.route.place(shard_of(letter.receiver(), self.shards)), letter) {
            (Place::Local(inbox), letter) => {
                inbox.send(Box::new(move |shard| shard.receive(letter)));
            }
            (Place::Remote(_), Letter::Message(message)) => {
                self.send(Letter::Answer { to: message.from, receiver: None, outcome: None });
            }
            (Place::Remote(_), Letter::Answer { .. } | Letter::Settled { .. }) => {}
        }
    }
}

/// What a shard knows about letters.
#[derive(Default)]
pub(super) struct Mail {
    /// What runs said in this batch; it leaves when the batch is durable.
    pub outgoing: Vec<Message>,
    /// Runs that say again what is unsettled.
    pub again: BTreeSet<(Time, i64)>,
    /// Ids of namespaces by name, as they were last read.
    namespaces: BTreeMap<String, String>,
}

impl Mail {
    /// The id of the namespace that the sender means; `None` when there is none of that name.
    fn namespace_id(&mut self, to: &Address, from: &RunKey, store: &dyn Store) -> Option<String> {
        if to.namespace.is_empty() {
            return Some(from.namespace_id.to_string());
        }
        if !self.namespaces.contains_key(&to.namespace) {
            let stored = store.namespaces().unwrap_or_default();
            let known = stored.iter().filter_map(|(_, encoded)| Namespace::decode(encoded).ok());
            self.namespaces = known.map(|namespace| (namespace.name, namespace.id)).collect();
        }
        self.namespaces.get(&to.namespace).cloned()
    }
}

impl Shard {
    pub(super) fn receive(&mut self, letter: Letter) {
        match letter {
            Letter::Message(message) => self.receive_message(*message),
            Letter::Answer { to, receiver, outcome } => self.receive_answer(to, receiver, outcome),
            Letter::Settled { from, receiver } => {
                if let Some(seq) = self.letter_run(&receiver) {
                    let _ = self.apply(seq, Input::Settled(from));
                }
            }
        }
    }

    fn receive_message(&mut self, message: Message) {
        let from = message.from.clone();
        let store = self.store.clone();
        let Some(namespace_id) = self.mail.namespace_id(&message.to, &from.key, &*store) else {
            return self.answer(from, None, Some(Outcome::NamespaceNotFound));
        };
        let to_itself =
            *from.key.namespace_id == *namespace_id && *from.key.workflow_id == *message.to.workflow_id;
        if to_itself {
            // As in Temporal's server: a workflow does not signal itself.
            return self.answer(from, None, Some(Outcome::NotFound));
        }
        let target = Target::named(&namespace_id, &message.to.workflow_id, &message.to.run_id);
        let seq = match self.seek(&target) {
            Ok(Some(seq)) => seq,
            Ok(None) | Err(ReadError::SetAside(_)) => {
                return self.answer(from, None, Some(Outcome::NotFound));
            }
            Err(ReadError::Store(_)) => return self.answer(from, None, None),
        };
        let receiver = self.run(seq).ok().map(|run| run.key().clone());
        match self.apply(seq, Input::Receive(Box::new(message))) {
            Ok(Output::Received(outcome)) => self.answer(from, receiver, Some(outcome)),
            Ok(_) | Err(_) => self.answer(from, None, None),
        }
    }

    /// Answers a message when the batch is durable.
    fn answer(&mut self, to: Sender, receiver: Option<RunKey>, outcome: Option<Outcome>) {
        let courier = self.courier.clone();
        self.when_durable(move |durable| {
            let outcome = outcome.filter(|_| durable);
            courier.send(Letter::Answer { to, receiver, outcome });
        });
    }

    fn receive_answer(&mut self, to: Sender, receiver: Option<RunKey>, outcome: Option<Outcome>) {
        let Some(seq) = self.letter_run(&to.key) else { return };
        let Some(outcome) = outcome else {
            self.mail.again.insert((self.now().after(RESEND_PAUSE), seq));
            return;
        };
        // Stale when it was settled before; the word that ends the receipt goes out again all the same.
        let _ = self.apply(seq, Input::Settle { event_id: to.event_id, outcome });
        let Some(receiver) = receiver else { return };
        let courier = self.courier.clone();
        self.when_durable(move |durable| {
            if durable {
                courier.send(Letter::Settled { from: to, receiver });
            }
        });
    }

    fn letter_run(&mut self, key: &RunKey) -> Option<i64> {
        let target = Target::named(&key.namespace_id, &key.workflow_id, &key.run_id);
        self.seek(&target).ok().flatten()
    }

    /// Lets out what runs said in a batch that is durable.
    pub(super) fn send_messages(&mut self) {
        for message in std::mem::take(&mut self.mail.outgoing) {
            self.courier.send(Letter::Message(Box::new(message)));
        }
    }

    /// Says again what could not be taken in the first time.
    pub(super) fn resend_messages(&mut self) {
        let now = self.now();
        while let Some((_, seq)) = self.mail.again.first().copied().filter(|(time, _)| *time <= now) {
            self.mail.again.pop_first();
            if let Some(slot) = self.runs.get(&seq) {
                self.mail.outgoing.extend(slot.run.pending_messages());
            }
        }
    }
}
