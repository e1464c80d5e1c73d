//! Tasks on their way between runs and pollers.

use std::sync::Arc;

use durably_proto::temporal::api::workflowservice::v1::PollActivityTaskQueueResponse;

use super::{
    clock::Clock,
    driver::Shard,
    executions::stopping,
    inbox::Inbox,
    reply::{Answer, Reply},
    runs::Slot,
    work::Work,
};
use crate::{
    ServiceError,
    engine::{Dispatch, Input, Output, Poller, SECOND, Time, WorkflowTaskGrant},
    matching::{QueueKey, QueueKind},
};

/// A sticky queue that nobody polled for this long has lost its worker.
const STICKY_MEMORY: i64 = 10 * SECOND;
/// With a virtual clock: a queue that was polled this recently counts as having a worker.
const WORKER_MEMORY: i64 = 30 * SECOND;

/// A caller who waits for a virtual clock.
pub(super) struct Sleeper {
    pub(super) reply: Reply<()>,
    /// Whether time skipping is locked again when the sleep ends.
    pub(super) locks: bool,
}

/// Names a task; what queues hold. Whether it still stands is checked when a poller takes it.
#[derive(Clone, Debug)]
pub(super) struct TaskRef {
    pub shard: u32,
    pub seq: i64,
    pub kind: TaskKind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TaskKind {
    Workflow { scheduled_event_id: i64, attempt: i32, sticky: bool },
    Activity { scheduled_event_id: i64, attempt: i32 },
    Query { id: u64, sticky: bool },
}

/// What queues and pollers are handed.
pub(super) enum Offer {
    /// To be started by whoever takes it.
    Task(TaskRef),
    /// Started for a poller that was waiting; its grant follows when the start is durable.
    Started(Delivery),
}

/// A started task, as its worker gets it.
#[derive(Debug)]
pub(super) enum Grant {
    Workflow(Box<WorkflowTaskGrant>),
    Activity(Box<PollActivityTaskQueueResponse>),
}

pub(super) type GrantSender = Reply<Option<Grant>>;

/// Holds on to a task between its start and its poller: dropped before [`Delivery::receive`] is through, the task
/// goes back to its run.
pub(super) struct Delivery {
    pub task: TaskRef,
    /// The poll it was started for.
    pub poll: u64,
    inbox: Arc<Inbox>,
    grant: Option<Answer<Option<Grant>>>,
}

impl Delivery {
    pub(super) fn new(task: TaskRef, poll: u64, inbox: Arc<Inbox>) -> (Self, GrantSender) {
        let (reply, answer) = Reply::new();
        (Self { task, poll, inbox, grant: Some(answer) }, reply)
    }

    /// The grant; `None` when the task does not stand any more.
    pub(super) async fn receive(mut self) -> Result<Option<Grant>, ServiceError> {
        let grant = match &mut self.grant {
            Some(grant) => grant.await.unwrap_or_else(|_| Err(stopping())),
            None => Err(stopping()),
        };
        self.grant = None;
        grant
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(mut grant) = self.grant.take() else { return };
        grant.close();
        // A grant that comes later finds the channel closed; then the shard itself takes the task back.
        if let Ok(Ok(Some(_))) = grant.try_recv() {
            self.inbox.send(Work::TakeBack(self.task.clone()));
        }
    }
}

pub(super) fn queue_key(namespace_id: &Arc<str>, name: &str, kind: QueueKind) -> QueueKey {
    QueueKey { namespace_id: namespace_id.clone(), name: name.into(), kind }
}

/// The queue that a task goes to first, and the task's name there.
pub(super) fn first_queue(dispatch: &Dispatch) -> (&str, QueueKind, TaskKind) {
    match dispatch {
        Dispatch::WorkflowTask { queue, sticky, scheduled_event_id, attempt } => {
            let kind = TaskKind::Workflow {
                scheduled_event_id: *scheduled_event_id,
                attempt: *attempt,
                sticky: sticky.is_some(),
            };
            (sticky.as_ref().unwrap_or(queue), QueueKind::Workflow, kind)
        }
        Dispatch::Activity { queue, scheduled_event_id, attempt } => {
            let kind = TaskKind::Activity { scheduled_event_id: *scheduled_event_id, attempt: *attempt };
            (queue, QueueKind::Activity, kind)
        }
    }
}

impl Shard {
    /// Starts tasks of this batch whose pollers wait already, so that the start is part of the same commit.
    pub(super) fn start_waiting(&mut self) {
        let mut later = Vec::new();
        while !self.offers.is_empty() {
            for (seq, dispatch) in std::mem::take(&mut self.offers) {
                if !self.start_for_waiting_poller(seq, &dispatch) {
                    later.push((seq, dispatch));
                }
            }
        }
        self.offers = later;
    }

    fn start_for_waiting_poller(&mut self, seq: i64, dispatch: &Dispatch) -> bool {
        loop {
            let Some(slot) = self.runs.get(&seq) else { return true };
            let (queue, kind, task) = first_queue(dispatch);
            let key = queue_key(&slot.run.key().namespace_id, queue, kind);
            let Some(reserved) = self.matching.reserve(&key) else { return false };
            let task = TaskRef { shard: self.index, seq, kind: task };
            let (delivery, reply) = Delivery::new(task.clone(), reserved.poller.poll, self.inbox.clone());
            let poller = Poller {
                identity: reserved.poller.identity.clone(),
                request_id: super::runs::fresh_id(),
                in_process: reserved.poller.in_process,
                ..Default::default()
            };
            if reserved.give(Offer::Started(delivery)).is_ok() {
                self.take_task(&task, poller, reply);
                return true;
            }
        }
    }

    /// Lets tasks out to the queues. A workflow task whose sticky worker is gone goes to the normal queue.
    pub(super) fn offer_tasks(&mut self) {
        while !self.offers.is_empty() {
            for (seq, dispatch) in std::mem::take(&mut self.offers) {
                self.offer_task(seq, &dispatch);
            }
        }
    }

    fn offer_task(&mut self, seq: i64, dispatch: &Dispatch) {
        let Some(slot) = self.runs.get(&seq) else { return };
        let (queue, kind, task) = first_queue(dispatch);
        let key = queue_key(&slot.run.key().namespace_id, queue, kind);
        let sticky = matches!(task, TaskKind::Workflow { sticky: true, .. });
        if sticky && !self.matching.has_poller(&key, Clock::real().0, STICKY_MEMORY) {
            // Makes the run offer it again, to the normal queue.
            let _ = self.apply(seq, Input::ResetSticky);
            return;
        }
        if self.matching.offer(&key, Offer::Task(TaskRef { shard: self.index, seq, kind: task })) {
            self.look_through(&key);
        }
    }

    /// A poller takes a task; `None` when it does not stand any more.
    pub(super) fn take_task(&mut self, task: &TaskRef, poller: Poller, reply: GrantSender) {
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
            Ok(Output::WorkflowTask(grant)) => self.reply_task(reply, Grant::Workflow(grant), task.clone()),
            Ok(Output::Activity(grant)) => self.reply_task(reply, Grant::Activity(grant), task.clone()),
            Ok(_) => self.reply(reply, Ok(None)),
            Err(error) => self.reply(reply, Err(error)),
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
        let Some(slot) = self.runs.get(&task.seq) else { return };
        let key = queue_key(&slot.run.key().namespace_id, slot.run.task_queue(), QueueKind::Workflow);
        let kind = TaskKind::Query { id, sticky: false };
        self.matching.offer(&key, Offer::Task(TaskRef { kind, ..task.clone() }));
    }

    /// A sleeper of a virtual clock.
    pub(super) fn sleep(&mut self, until: Time, sleeper: Sleeper) {
        self.use_counter += 1;
        self.sleepers.insert((until, self.use_counter), sleeper);
    }

    /// Tasks that a worker has or is about to get, for which a virtual clock must wait. A workflow task always counts;
    /// an activity only if somebody serves its queue.
    pub(super) fn tasks_under_way(&self) -> usize {
        let (now, real) = (self.now(), Clock::real().0);
        let of = |slot: &Slot| {
            let namespace_id = &slot.run.key().namespace_id;
            let pending = slot.run.pending_dispatch(now).into_iter().filter(|dispatch| match dispatch {
                Dispatch::WorkflowTask { .. } => true,
                Dispatch::Activity { queue, .. } => {
                    let key = queue_key(namespace_id, queue, QueueKind::Activity);
                    self.matching.has_poller(&key, real, WORKER_MEMORY)
                }
            });
            slot.outstanding + pending.count()
        };
        self.runs.values().map(of).sum()
    }
}
