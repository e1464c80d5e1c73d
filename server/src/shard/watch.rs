//! Callers that wait for a run to get new events or to close.

use std::collections::{HashMap, HashSet};

use super::{reply::Reply, runs::Slot};

/// Waits for an event beyond `from`, or for the run's end.
struct Watcher {
    from: i64,
    close_only: bool,
    wake: Reply<()>,
}

/// All watchers of a shard, by run.
#[derive(Default)]
pub(super) struct Watchers {
    waiting: HashMap<i64, Vec<Watcher>>,
    changed: HashSet<i64>,
}

impl Watchers {
    /// Wakes `wake` once the run has an event with id `from` or is closed; with `close_only` only when it is closed.
    pub(super) fn add(&mut self, seq: i64, from: i64, close_only: bool, wake: Reply<()>) {
        let waiting = self.waiting.entry(seq).or_default();
        // Long polls end and come back; those that ended are let go here.
        waiting.retain(|watcher| !watcher.wake.is_closed());
        waiting.push(Watcher { from, close_only, wake });
    }

    /// The run was stored with new events.
    pub(super) fn mark(&mut self, seq: i64) {
        if self.waiting.contains_key(&seq) {
            self.changed.insert(seq);
        }
    }

    /// Wakes whoever has something to see.
    pub(super) fn notify(&mut self, runs: &HashMap<i64, Slot>) {
        let mut changed: Vec<i64> = self.changed.drain().collect();
        changed.sort_unstable();
        for seq in changed {
            let Some(waiting) = self.waiting.remove(&seq) else { continue };
            let (open, next) = runs
                .get(&seq)
                .map_or((false, i64::MAX), |slot| (slot.run.is_open(), slot.run.next_event_id()));
            let mut rest = Vec::new();
            for watcher in waiting {
                if !open || (!watcher.close_only && watcher.from < next) {
                    watcher.wake.send(Ok(()));
                } else if !watcher.wake.is_closed() {
                    rest.push(watcher);
                }
            }
            if !rest.is_empty() {
                self.waiting.insert(seq, rest);
            }
        }
    }

    /// The shard ends: everybody asks again elsewhere.
    pub(super) fn end(&mut self) {
        self.waiting.clear();
    }
}
