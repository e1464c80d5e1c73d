//! Where a shard lives: in this process, or in another one that holds its lease.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{clock::Clock, inbox::Inbox};
use crate::{ServiceError, engine::Time, error::ErrorKind, store::Lease};

/// Where work for a shard goes.
pub(super) enum Place {
    Local(Arc<Inbox>),
    /// Another process has the shard; requests are sent to its frontend, under this address.
    Remote(String),
}

/// Knows where the shards are.
pub(super) trait Route: Send + Sync {
    fn place(&self, shard: u32) -> Place;

    /// The process with this address did not answer, or has given its shards up: what is known of it is not believed.
    fn doubt(&self, address: &str);

    /// This process holds the shard.
    fn is_here(&self, shard: u32);

    /// Another process holds the shard.
    fn is_at(&self, shard: u32, lease: Lease);

    /// When to look whether the shard can be taken; `None` when it is here.
    fn look_again(&self, shard: u32) -> Option<Time>;
}

/// By the leases, as this process last saw them. A lease that has ended is the shard's own to look at: its work goes to
/// the inbox in this process, where it is found out who may take it.
pub(super) struct Doors {
    clock: Arc<Clock>,
    doors: Vec<Door>,
}

struct Door {
    inbox: Arc<Inbox>,
    elsewhere: Mutex<Option<Lease>>,
}

impl Doors {
    pub(super) fn new(clock: Arc<Clock>, inboxes: &[Arc<Inbox>]) -> Self {
        let door = |inbox: &Arc<Inbox>| Door { inbox: inbox.clone(), elsewhere: Mutex::default() };
        Self { clock, doors: inboxes.iter().map(door).collect() }
    }
}

impl Route for Doors {
    fn place(&self, shard: u32) -> Place {
        let door = &self.doors[shard as usize];
        match &*door.elsewhere.lock() {
            Some(lease) if lease.expires > self.clock.now().0 && !lease.holder.address.is_empty() => {
                Place::Remote(lease.holder.address.clone())
            }
            _ => Place::Local(door.inbox.clone()),
        }
    }

    fn doubt(&self, address: &str) {
        for door in &self.doors {
            if let Some(lease) = &mut *door.elsewhere.lock()
                && lease.holder.address == address
            {
                lease.expires = Lease::RELEASED;
            }
        }
    }

    fn is_here(&self, shard: u32) {
        self.doors[shard as usize].elsewhere.lock().take();
    }

    fn is_at(&self, shard: u32, lease: Lease) {
        *self.doors[shard as usize].elsewhere.lock() = Some(lease);
    }

    fn look_again(&self, shard: u32) -> Option<Time> {
        self.doors[shard as usize].elsewhere.lock().as_ref().map(|lease| Time(lease.expires))
    }
}

/// The answer to a call that another process can answer. Whoever serves it forwards the call as it came.
fn elsewhere(address: &str) -> ServiceError {
    let kind = ErrorKind::Elsewhere { address: address.to_owned() };
    ServiceError::new(kind, "another server of this state has the run; call again")
}

/// The answer to a call for a shard that nobody is known to have.
fn changing_hands() -> ServiceError {
    ServiceError::unavailable("the run is moving from one server to another; call again")
}

/// What a call for the shard is answered when it cannot be served here.
pub(super) fn refusal(route: &dyn Route, shard: u32) -> ServiceError {
    match route.place(shard) {
        Place::Remote(address) => elsewhere(&address),
        Place::Local(_) => changing_hands(),
    }
}
