//! Tasks on their way between runs and pollers.

use std::sync::Arc;

use durably_proto::temporal::api::workflowservice::v1::PollActivityTaskQueueResponse;
use tokio::sync::oneshot;

use super::{clock::Clock, driver::Shard};
use crate::{
    ServiceError,
    engine::{Dispatch, Input, Output, Poller, SECOND, Time, WorkflowTaskGrant},
    matching::{QueueKey, QueueKind},
};

/// A sticky queue that nobody polled for this long has lost its worker.
const STICKY_MEMORY: i64 = 10 * SECOND;
/// With a virtual clock: a queue that was polled this recently counts as having a worker.
const WORKER_MEMORY: i64 = 30 * SECOND;

/// Names a task; what queues hold. Whether it still stands is checked when a poller takes it.
#[derive(Clone, Debug)]
pub(super) struct TaskRef {
    pub shard: u32,
    pub seq: i64,
    pub kind: TaskKind,
}

#[derive(Clone, Debug)]
pub(super) enum TaskKind {
    Workflow { scheduled_event_id: i64, attempt: i32, sticky: bool },
    Activity { scheduled_event_id: i64, attempt: i32 },
    Query { id: u64, sticky: bool },
}

/// A started task that did not reach its poller.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub seq: i64,
    pub input: Input,
}

impl TaskRef {
    /// What to tell the run when the poller is gone; a query's asker just waits for the next worker.
    pub(super) fn undelivered(&self) -> Undelivered {
        let input = match self.kind {
            TaskKind::Workflow { scheduled_event_id, attempt, .. } => {
                Input::WorkflowTaskUndelivered { scheduled_event_id, attempt }
            }
            TaskKind::Activity { scheduled_event_id, attempt } => {
                Input::ActivityUndelivered { scheduled_event_id, attempt }
            }
            TaskKind::Query { id, .. } => Input::DropQuery { id },
        };
        Undelivered { seq: self.seq, input }
    }
}

pub(super) fn queue_key(namespace_id: &Arc<str>, name: &str, kind: QueueKind) -> QueueKey {
    QueueKey { namespace_id: namespace_id.clone(), name: name.into(), kind }
}

impl Shard {
    /// Lets tasks out to the queues. A workflow task whose sticky worker is gone goes to the normal queue.
    pub(super) fn offer_tasks(&mut self) {
        while !self.offers.is_empty() {
            for (seq, dispatch) in std::mem::take(&mut self.offers) {
                self.offer_task(seq, dispatch);
            }
        }
    }

    fn offer_task(&mut self, seq: i64, dispatch: Dispatch) {
        let Some(slot) = self.runs.get(&seq) else { return };
        let namespace_id = slot.run.key().namespace_id.clone();
        let task = |kind| TaskRef { shard: self.index, seq, kind };
        match dispatch {
            Dispatch::WorkflowTask { queue, sticky: None, scheduled_event_id, attempt } => {
                let task = task(TaskKind::Workflow { scheduled_event_id, attempt, sticky: false });
                self.matching.offer(&queue_key(&namespace_id, &queue, QueueKind::Workflow), task);
            }
            Dispatch::WorkflowTask { sticky: Some(sticky), scheduled_event_id, attempt, .. } => {
                let key = queue_key(&namespace_id, &sticky, QueueKind::Workflow);
                if self.matching.has_poller(&key, Clock::real().0, STICKY_MEMORY) {
                    self.matching
                        .offer(&key, task(TaskKind::Workflow { scheduled_event_id, attempt, sticky: true }));
                } else {
                    // Makes the run offer it again, to the normal queue.
                    let _ = self.apply(seq, Input::ResetSticky);
                }
            }
            Dispatch::Activity { queue, scheduled_event_id, attempt } => {
                let task = task(TaskKind::Activity { scheduled_event_id, attempt });
                self.matching.offer(&queue_key(&namespace_id, &queue, QueueKind::Activity), task);
            }
        }
    }

    /// A poller takes a workflow or query task; `None` when it does not stand any more.
    pub(super) fn take_workflow_task(
        &mut self,
        task: &TaskRef,
        poller: Poller,
        reply: oneshot::Sender<Result<Option<WorkflowTaskGrant>, ServiceError>>,
    ) {
        let (scheduled_event_id, attempt, sticky) = match task.kind {
            TaskKind::Workflow { scheduled_event_id, attempt, sticky } => {
                (scheduled_event_id, attempt, sticky)
            }
            TaskKind::Query { id, sticky } => {
                let grant = self.take_query(task.seq, id, sticky);
                return self.reply(reply, Ok(grant));
            }
            TaskKind::Activity { .. } => return self.reply(reply, Ok(None)),
        };
        match self.apply(task.seq, Input::StartWorkflowTask { scheduled_event_id, attempt, sticky, poller }) {
            Ok(Output::WorkflowTask(grant)) => self.reply_task(reply, Some(*grant), task.undelivered()),
            Ok(_) => self.reply(reply, Ok(None)),
            Err(error) => self.reply(reply, Err(error)),
        }
    }

    pub(super) fn take_activity_task(
        &mut self,
        task: &TaskRef,
        poller: Poller,
        reply: oneshot::Sender<Result<Option<PollActivityTaskQueueResponse>, ServiceError>>,
    ) {
        let TaskKind::Activity { scheduled_event_id, attempt } = task.kind else {
            return self.reply(reply, Ok(None));
        };
        match self.apply(task.seq, Input::StartActivity { scheduled_event_id, attempt, poller }) {
            Ok(Output::Activity(grant)) => self.reply_task(reply, Some(*grant), task.undelivered()),
            Ok(_) => self.reply(reply, Ok(None)),
            Err(error) => self.reply(reply, Err(error)),
        }
    }

    /// The task waited for a worker that is gone.
    pub(super) fn leave_sticky_queue(&mut self, task: &TaskRef) {
        match task.kind {
            TaskKind::Query { id, .. } => {
                let Some(slot) = self.runs.get(&task.seq) else { return };
                let queue = slot.run.task_queue();
                let key = queue_key(&slot.run.key().namespace_id, queue, QueueKind::Workflow);
                let kind = TaskKind::Query { id, sticky: false };
                self.matching.offer(&key, TaskRef { kind, ..task.clone() });
            }
            _ => {
                let _ = self.apply(task.seq, Input::ResetSticky);
            }
        }
    }

    /// A sleeper of a virtual clock.
    pub(super) fn sleep(&mut self, until: Time, reply: oneshot::Sender<Result<(), ServiceError>>) {
        self.use_counter += 1;
        self.sleepers.insert((until, self.use_counter), reply);
    }

    /// Whether a worker has a task or is about to get one, so that a virtual clock must wait. A workflow task always
    /// counts; an activity only if somebody serves its queue.
    pub(super) fn tasks_under_way(&self) -> bool {
        let (now, real) = (self.now(), Clock::real().0);
        self.runs.values().any(|slot| {
            let namespace_id = &slot.run.key().namespace_id;
            slot.outstanding > 0
                || slot.run.pending_dispatch(now).into_iter().any(|dispatch| match dispatch {
                    Dispatch::WorkflowTask { .. } => true,
                    Dispatch::Activity { queue, .. } => {
                        let key = queue_key(namespace_id, &queue, QueueKind::Activity);
                        self.matching.has_poller(&key, real, WORKER_MEMORY)
                    }
                })
        })
    }
}
