//! What queues hand to pollers, and how a task that was started for a poller reaches it or goes back.

use std::sync::Arc;

use super::{
    inbox::Inbox,
    reply::{Answer, Reply, stopping},
    tasks::{Grant, GrantSender, TaskRef},
    work::Work,
};
use crate::ServiceError;

/// What queues and pollers are handed.
pub(super) enum Offer {
    /// To be started by whoever takes it.
    Task(TaskRef),
    /// Started for a poller that was waiting; its grant follows when the start is durable.
    Started(Delivery),
}

impl Offer {
    /// The task, if it only waits. One that was started for a poller stands until that poller is known to be gone.
    pub(super) fn waiting(&self) -> Option<&TaskRef> {
        match self {
            Self::Task(task) => Some(task),
            Self::Started(_) => None,
        }
    }
}

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

impl Delivery {
    /// Nobody waits for it any more: the task, if it was started.
    pub(super) fn undelivered(mut self) -> Option<TaskRef> {
        let mut grant = self.grant.take()?;
        grant.close();
        matches!(grant.try_recv(), Ok(Ok(Some(_)))).then(|| self.task.clone())
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
