//! What runs say to each other, on its way between their shards.

use std::collections::{BTreeMap, HashSet};

use crate::{
    Namespace,
    engine::{Address, Message, Outcome, RunKey, Sender},
    store::{Store, StoreError},
};

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
    /// The workflow id of whom it is for.
    pub(super) fn workflow_id(&self) -> &str {
        match self {
            Self::Message(message) => &message.to.workflow_id,
            Self::Answer { to, .. } => &to.key.workflow_id,
            Self::Settled { receiver, .. } => &receiver.workflow_id,
        }
    }
}

/// The way between shards. Letters from one shard to another arrive in the order in which they were sent, or not at
/// all. What was lost is derived again when a run is loaded: messages from what it has no answer to, answers from its
/// receipts, and whoever has settled a message says so to each answer.
pub(super) trait Courier: Send + Sync {
    fn send(&self, letter: Letter);

    /// The letter could not be handed over. Its sender says a message again until it is taken in; an answer is given again
    /// to the message that is said again or when its receiver is loaded, and the word that ends a receipt with that answer.
    fn give_back(&self, letter: Letter) {
        if let Letter::Message(message) = letter {
            self.send(Letter::Answer { to: message.from, receiver: None, outcome: None });
        }
    }
}

/// More messages than this are not remembered to have been warned of.
const MAX_WARNED: usize = 10_000;

/// Messages that could not be taken in. Each comes again until it can; whoever reads the log wants to see it once.
#[derive(Debug, Default)]
pub(super) struct Untaken {
    warned: HashSet<Sender>,
}

impl Untaken {
    /// True if nobody was warned of the message.
    pub(super) fn add(&mut self, message: &Sender) -> bool {
        if self.warned.len() >= MAX_WARNED {
            self.warned.clear();
        }
        self.warned.insert(message.clone())
    }

    /// The message was taken in or refused: it comes no more.
    pub(super) fn remove(&mut self, message: &Sender) {
        self.warned.remove(message);
    }
}

/// Ids of namespaces by name, as they were last read.
#[derive(Debug, Default)]
pub(super) struct NamespaceIds {
    by_name: BTreeMap<String, String>,
}

impl NamespaceIds {
    /// The id of the namespace that the sender means; `None` when there is none of that name.
    pub(super) fn find(
        &mut self,
        to: &Address,
        from: &RunKey,
        store: &dyn Store,
    ) -> Result<Option<String>, StoreError> {
        if to.namespace.is_empty() {
            return Ok(Some(from.namespace_id.to_string()));
        }
        if !self.by_name.contains_key(&to.namespace) {
            self.read(store)?;
        }
        Ok(self.by_name.get(&to.namespace).cloned())
    }

    /// The name of a namespace; empty if there is none.
    pub(super) fn name(&mut self, id: &str, store: &dyn Store) -> Result<String, StoreError> {
        if !self.by_name.values().any(|known| known == id) {
            self.read(store)?;
        }
        let known = self.by_name.iter().find(|(_, known)| *known == id);
        Ok(known.map(|(name, _)| name.clone()).unwrap_or_default())
    }

    fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let stored = store.namespaces()?;
        let known = stored.iter().filter_map(|(_, encoded)| Namespace::decode(encoded).ok());
        self.by_name = known.map(|namespace| (namespace.name, namespace.id)).collect();
        Ok(())
    }
}
