//! Slots bound how many tasks a worker has to deal with at one time.
//!
//! A slot is held from before the poll until the server has taken the answer (decision 042), so that "all are free" is
//! the same as "all is answered".

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observer::{Observer, Seen, TaskKind};

/// The slots for one kind of task.
pub(crate) struct Slots {
    kind: TaskKind,
    permits: Arc<Semaphore>,
    count: u32,
    observer: Arc<Observer>,
}

/// One of them. It is free again when this is dropped.
pub(crate) struct Slot {
    kind: TaskKind,
    is_used: bool,
    observer: Arc<Observer>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(crate) fn new(kind: TaskKind, count: usize, observer: Arc<Observer>) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS as u32);
        Self { kind, permits: Arc::new(Semaphore::new(count as usize)), count, observer }
    }

    /// Waits for a free slot and takes it.
    pub(crate) async fn reserve(&self) -> Slot {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        self.slot(permit.expect("the semaphore is never closed"))
    }

    /// Takes a slot if one is free.
    pub(crate) fn try_reserve(&self) -> Option<Slot> {
        Arc::clone(&self.permits).try_acquire_owned().ok().map(|permit| self.slot(permit))
    }

    fn slot(&self, permit: OwnedSemaphorePermit) -> Slot {
        let observer = Arc::clone(&self.observer);
        Slot { kind: self.kind, is_used: false, observer, _permit: permit }
    }

    /// Returns when all are free at one time: whatever is under way is answered. Call it after the pollers have ended.
    pub(crate) async fn drain(&self) {
        // The semaphore is never closed.
        let _ = self.permits.acquire_many(self.count).await;
    }
}

impl Slot {
    /// A task has come.
    pub(crate) fn mark_used(&mut self) {
        if !std::mem::replace(&mut self.is_used, true) {
            self.observer.see(&Seen::SlotUsed(self.kind));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_used {
            self.observer.see(&Seen::SlotFree(self.kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn slots_are_bounded_and_drained_when_all_are_free() {
        let observer = Arc::<Observer>::default();
        let slots = Slots::new(TaskKind::Activity, 2, Arc::clone(&observer));
        let polling = slots.try_reserve().unwrap();
        let mut busy = slots.reserve().now_or_never().unwrap();
        assert!(slots.try_reserve().is_none() && slots.reserve().now_or_never().is_none());
        busy.mark_used();
        busy.mark_used();
        drop(polling);
        assert!(slots.drain().now_or_never().is_none(), "one is under way");
        drop(busy);
        assert!(slots.drain().now_or_never().is_some());
        assert_eq!(observer.take(), ["SlotUsed(Activity)", "SlotFree(Activity)"], "the empty poll used none");
    }
}
