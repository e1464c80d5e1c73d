//! What waits in a queue and still stands. Offers are names of tasks, and a run that ends, or that goes on without a
//! task, leaves its offers where they are: they are dropped when a poller takes them, when somebody asks how many
//! wait, or when a queue has grown so much that looking through it is cheap beside what made it grow.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    driver::Shard,
    executions::Executions,
    tasks::{Offer, TaskKind, TaskRef, first_queue},
    work::Work,
};
use crate::{engine::Dispatch, error::ServiceError, matching::QueueKey};

/// Tells offers apart.
pub(super) type TaskName = (u32, i64, TaskKind);

fn name(task: &TaskRef) -> TaskName {
    (task.shard, task.seq, task.kind.clone())
}

fn waiting(offer: &Offer) -> Option<TaskRef> {
    match offer {
        Offer::Task(task) => Some(task.clone()),
        // Started for a poller: it stands until that poller is known to be gone.
        Offer::Started(_) => None,
    }
}

fn is_in(names: &BTreeSet<TaskName>, offer: &Offer) -> bool {
    matches!(offer, Offer::Task(task) if names.contains(&name(task)))
}

impl Executions {
    /// How many tasks wait in the queue. Those that no longer stand are dropped from it first.
    pub(super) async fn backlog(&self, key: &QueueKey) -> Result<usize, ServiceError> {
        let matching = &self.inner.matching;
        let mut of_shards: BTreeMap<u32, Vec<TaskRef>> = BTreeMap::new();
        for task in matching.waiting(key, waiting) {
            of_shards.entry(task.shard).or_default().push(task);
        }
        for (shard, tasks) in of_shards {
            let stale = self.call(shard, |reply| Work::FindStale { tasks, reply }).await?;
            matching.retain(key, |offer| !is_in(&stale, offer));
        }
        Ok(matching.describe(key, 0).backlog)
    }
}

impl Shard {
    /// Drops this shard's tasks from the queue that no longer stand.
    pub(super) fn look_through(&self, key: &QueueKey) {
        let ours = |offer: &Offer| waiting(offer).filter(|task| task.shard == self.index);
        let stale = self.stale(self.matching.waiting(key, ours));
        self.matching.retain(key, |offer| !is_in(&stale, offer));
    }

    /// Those of the tasks that no poller would get any more.
    pub(super) fn stale(&self, tasks: Vec<TaskRef>) -> BTreeSet<TaskName> {
        let now = self.now();
        let mut pending: BTreeMap<i64, BTreeSet<TaskKind>> = BTreeMap::new();
        let kinds = |dispatch: &Dispatch| first_queue(dispatch).2;
        let mut stale = BTreeSet::new();
        for task in tasks {
            let stands = match task.kind {
                TaskKind::Query { id, .. } => self.askers.is_waiting(id),
                _ => pending
                    .entry(task.seq)
                    .or_insert_with(|| {
                        let slot = self.runs.get(&task.seq);
                        slot.map_or_else(BTreeSet::new, |slot| {
                            slot.run.pending_dispatch(now).iter().map(kinds).collect()
                        })
                    })
                    .contains(&task.kind),
            };
            if !stands {
                stale.insert(name(&task));
            }
        }
        stale
    }
}
