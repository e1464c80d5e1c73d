//! Holding shards: on what terms a process takes their leases and keeps them.
//!
//! The only process that can have its store takes the leases for good, and renews nothing (decision 086). Among several,
//! which no store offers yet, a lease has an end and is renewed well before it.

use super::route::{Route, refusal};
use crate::{
    ServiceError,
    engine::Time,
    store::{Holder, Lease, Store, StoreError, Terms},
};

/// On what terms a process holds the shards of its store.
#[derive(Clone, Debug)]
pub(super) enum Tenure {
    /// Nobody else can have the store.
    Sole { holder: Holder },
    /// Several processes share it; a lease lasts for `term` nanoseconds from its last renewal.
    Shared { holder: Holder, term: i64 },
}

impl Tenure {
    /// The holder is named for whoever looks into the store.
    pub(super) fn sole() -> Self {
        let id = format!("process {}", std::process::id());
        Self::Sole { holder: Holder { id, address: String::new() } }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }

    fn take(&self, store: &dyn Store, shard: u32, now: Time) -> Result<Lease, StoreError> {
        match self {
            Self::Sole { holder } => store.take_lease(shard, holder, Terms::Sole),
            Self::Shared { holder, term } => {
                store.take_lease(shard, holder, Terms::Until { now: now.0, expires: now.after(*term).0 })
            }
        }
    }
}

/// The lease of a shard that is open.
#[derive(Debug)]
pub(super) struct Held {
    tenure: Tenure,
    shard: u32,
    token: i64,
    expires: i64,
}

impl Held {
    pub(super) fn take(tenure: Tenure, store: &dyn Store, shard: u32, now: Time) -> Result<Self, StoreError> {
        let Lease { token, expires, .. } = tenure.take(store, shard, now)?;
        Ok(Self { tenure, shard, token, expires })
    }

    pub(super) fn token(&self) -> i64 {
        self.token
    }

    pub(super) fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// When to renew: with two thirds of the term to spare for a store that is slow. Never for one who shares with nobody.
    pub(super) fn renewal(&self) -> Option<Time> {
        match self.tenure {
            Tenure::Sole { .. } => None,
            Tenure::Shared { term, .. } => Some(Time(self.expires - term / 3 * 2)),
        }
    }

    /// Renews the lease if it is time. An error says that the shard may not be served: somebody else has it, or may
    /// have it by now.
    pub(super) fn keep(&mut self, store: &dyn Store, now: Time) -> Result<(), StoreError> {
        let Tenure::Shared { term, .. } = self.tenure else { return Ok(()) };
        if self.renewal().is_none_or(|renewal| now < renewal) {
            return Ok(());
        }
        let expires = now.after(term).0;
        match store.renew_lease(self.shard, self.token, expires) {
            Ok(()) => {
                self.expires = expires;
                Ok(())
            }
            Err(error @ StoreError::Fenced { .. }) => Err(error),
            Err(error) if now.0 < self.expires => {
                tracing::warn!(shard = self.shard, %error, "the lease could not be renewed; trying again");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Lets others have the shard at once. One who shares with nobody leaves the lease to the next, who takes it anyway.
    pub(super) fn release(&self, store: &dyn Store) {
        if self.tenure.is_shared()
            && let Err(error) = store.release_lease(self.shard, self.token)
        {
            tracing::warn!(shard = self.shard, %error, "the lease was not released; it will end by itself");
        }
    }
}

/// Notes who has the shard now that this process has lost it, for its callers to be sent there.
pub(super) fn lost(shard: u32, store: &dyn Store, route: &dyn Route) -> ServiceError {
    route.is_at(shard, store.lease(shard).ok().flatten().unwrap_or_default());
    refusal(route, shard)
}
