//! Tasks on their way between runs and pollers, and which of those that wait in queues still stand. Offers are names of
//! tasks, and a run that ends, or that goes on without a task, leaves its offers where they are: they are dropped when a
//! poller takes them, when somebody asks how many wait, or when a queue has grown so much that looking through it is
//! cheap beside what made it grow.

use std::collections::{BTreeMap, BTreeSet};

use super::{Shard, runs::unexpected};
use crate::{
    engine::{Dispatch, Input, Output, Poller, SECOND},
    matching::{QueueKey, QueueKind},
    shard::{
        clock::Clock,
        delivery::{Delivery, Offer},
        runs::fresh_id,
        tasks::{Grant, GrantSender, TaskKind, TaskRef, first_queue, queue_key},
    },
};

/// A sticky queue that nobody polled for this long has lost its worker.
const STICKY_MEMORY: i64 = 10 * SECOND;

impl Shard {
    /// Starts tasks of this batch whose pollers wait already, so that the start is part of the same commit.
    pub(in crate::shard) fn start_waiting(&mut self) {
        let mut later = Vec::new();
        while !self.batch.offers.is_empty() {
            for (seq, dispatch) in std::mem::take(&mut self.batch.offers) {
                if !self.start_for_waiting_poller(seq, &dispatch) {
                    later.push((seq, dispatch));
                }
            }
        }
        self.batch.offers = later;
    }

    fn start_for_waiting_poller(&mut self, seq: i64, dispatch: &Dispatch) -> bool {
        let Some(slot) = self.runs.get(seq) else { return true };
        let (queue, kind, task) = first_queue(dispatch);
        let key = queue_key(&slot.run.key().namespace_id, queue, kind);
        let Some(reserved) = self.shared.matching.reserve(&key) else { return false };
        let task = TaskRef { shard: self.index, seq, kind: task };
        let (delivery, reply) = Delivery::new(task.clone(), reserved.poller.poll, self.inbox.clone());
        let poller = Poller {
            identity: reserved.poller.identity.clone(),
            request_id: fresh_id(),
            in_process: reserved.poller.in_process,
        };
        self.take_task(&task, poller, reply);
        // The poller hears of it when its grant is there: told now, it would wake up twice. If it is gone by then, the
        // task is taken back with this batch: a shard that closes takes no other work.
        self.batch.hand_over(move || match reserved.give(Offer::Started(delivery)) {
            Err(Offer::Started(delivery)) => delivery.undelivered(),
            Ok(()) | Err(Offer::Task(_)) => None,
        });
        true
    }

    /// Lets tasks out to the queues. A workflow task whose sticky worker is gone goes to the normal queue.
    pub(super) fn offer_tasks(&mut self) {
        while !self.batch.offers.is_empty() {
            for (seq, dispatch) in std::mem::take(&mut self.batch.offers) {
                self.offer_task(seq, &dispatch);
            }
        }
    }

    fn offer_task(&mut self, seq: i64, dispatch: &Dispatch) {
        let Some(slot) = self.runs.get(seq) else { return };
        let (queue, kind, task) = first_queue(dispatch);
        let key = queue_key(&slot.run.key().namespace_id, queue, kind);
        let sticky = matches!(task, TaskKind::Workflow { sticky: true, .. });
        if sticky && !self.shared.matching.has_poller(&key, Clock::real().0, STICKY_MEMORY) {
            // Makes the run offer it again, to the normal queue.
            let _ = self.apply(seq, Input::ResetSticky);
            return;
        }
        if self.shared.matching.offer(&key, Offer::Task(TaskRef { shard: self.index, seq, kind: task })) {
            self.look_through(&key);
        }
    }

    /// A poller takes a task; `None` when it does not stand any more.
    pub(in crate::shard) fn take_task(&mut self, task: &TaskRef, poller: Poller, reply: GrantSender) {
        let is_query = matches!(task.kind, TaskKind::Query { .. });
        if !is_query && !self.runs.contains(task.seq) && self.check_alive().is_ok() {
            // It is offered again when its run is read back.
            return self.batch.reply(reply, Ok(None));
        }
        let output = match task.kind {
            TaskKind::Workflow { scheduled_event_id, attempt, sticky } => {
                self.apply(task.seq, Input::StartWorkflowTask { scheduled_event_id, attempt, sticky, poller })
            }
            TaskKind::Activity { scheduled_event_id, attempt } => {
                self.apply(task.seq, Input::StartActivity { scheduled_event_id, attempt, poller })
            }
            TaskKind::Query { id, sticky } => Ok(match self.take_query(task.seq, id, sticky) {
                Some(grant) => Output::WorkflowTask(Box::new(grant)),
                None => Output::Stale,
            }),
        };
        match output {
            Ok(Output::WorkflowTask(grant)) => {
                self.batch.reply_task(reply, Grant::Workflow(grant), task.clone());
            }
            Ok(Output::Activity(grant)) => self.batch.reply_task(reply, Grant::Activity(grant), task.clone()),
            Ok(Output::Stale) => self.batch.reply(reply, Ok(None)),
            Ok(output) => self.batch.reply(reply, Err(unexpected(&output))),
            Err(error) => self.batch.reply(reply, Err(error)),
        }
    }

    /// The poller was gone before it got the task.
    pub(super) fn take_back(&mut self, task: &TaskRef) {
        let input = match task.kind {
            TaskKind::Workflow { scheduled_event_id, attempt, .. } => {
                Input::WorkflowTaskUndelivered { scheduled_event_id, attempt }
            }
            TaskKind::Activity { scheduled_event_id, attempt } => {
                Input::ActivityUndelivered { scheduled_event_id, attempt }
            }
            TaskKind::Query { id, .. } => return self.offer_query_again(task, id),
        };
        // A task that ended meanwhile needs nobody.
        let _ = self.apply(task.seq, input);
    }

    /// The task waited for a sticky worker that is gone.
    pub(super) fn leave_sticky_queue(&mut self, task: &TaskRef) {
        match task.kind {
            TaskKind::Query { id, .. } => self.offer_query_again(task, id),
            _ => {
                let _ = self.apply(task.seq, Input::ResetSticky);
            }
        }
    }

    fn offer_query_again(&mut self, task: &TaskRef, id: u64) {
        let Some(slot) = self.runs.get(task.seq) else { return };
        let key = queue_key(&slot.run.key().namespace_id, slot.run.task_queue(), QueueKind::Workflow);
        let kind = TaskKind::Query { id, sticky: false };
        self.shared.matching.offer(&key, Offer::Task(TaskRef { kind, ..task.clone() }));
    }

    /// Drops this shard's tasks from the queue that no longer stand.
    pub(super) fn look_through(&self, key: &QueueKey) {
        let ours = |offer: &Offer| offer.waiting().filter(|task| task.shard == self.index).cloned();
        let stale = self.stale(self.shared.matching.waiting(key, ours));
        self.shared.matching.retain(key, |offer| !offer.waiting().is_some_and(|task| stale.contains(task)));
    }

    /// Those of the tasks that no poller would get any more.
    pub(super) fn stale(&self, tasks: Vec<TaskRef>) -> BTreeSet<TaskRef> {
        let now = self.now();
        let mut pending: BTreeMap<i64, BTreeSet<TaskKind>> = BTreeMap::new();
        let kinds = |dispatch: &Dispatch| first_queue(dispatch).2;
        let mut stale = BTreeSet::new();
        for task in tasks {
            let stands = match task.kind {
                TaskKind::Query { id, .. } => self.waiters.live_question(id).is_some(),
                _ => pending
                    .entry(task.seq)
                    .or_insert_with(|| {
                        let slot = self.runs.get(task.seq);
                        slot.map_or_else(BTreeSet::new, |slot| {
                            slot.run.pending_dispatch(now).iter().map(kinds).collect()
                        })
                    })
                    .contains(&task.kind),
            };
            if !stands {
                stale.insert(task);
            }
        }
        stale
    }
}
