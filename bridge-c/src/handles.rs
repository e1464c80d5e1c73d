//! Handles: numbers that stand for what the library keeps, so that stale ones are noticed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use parking_lot::RwLock;

use crate::status::Status;

/// What exists of one kind. Numbers are unique over all kinds and never used twice in a process.
pub(crate) struct Handles<T> {
    entries: LazyLock<RwLock<HashMap<u64, Arc<T>>>>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl<T> Handles<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: LazyLock::new(|| RwLock::new(HashMap::new())) }
    }

    pub(crate) fn insert(&self, value: T) -> u64 {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        self.entries.write().insert(id, Arc::new(value));
        id
    }

    pub(crate) fn get(&self, id: u64) -> Result<Arc<T>, Status> {
        self.entries.read().get(&id).cloned().ok_or(Status::BadHandle)
    }

    /// Forgets a handle; what it stands for goes when the calls that are under way have ended.
    pub(crate) fn remove(&self, id: u64) -> Result<Arc<T>, Status> {
        self.entries.write().remove(&id).ok_or(Status::BadHandle)
    }
}
