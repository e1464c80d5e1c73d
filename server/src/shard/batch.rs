//! What a shard has done and not let out: changes to store with one commit, and what leaves when that is durable.

use super::{
    reply::Reply,
    tasks::{Grant, GrantSender, TaskRef},
};
use crate::{
    ServiceError,
    engine::{Dispatch, Message},
    store::CloseRow,
};

/// An answer that leaves once the batch is durable, or the reason why it is not. A task whose poller is gone comes
/// back.
type Release = Box<dyn FnOnce(Result<(), &ServiceError>) -> Option<TaskRef> + Send>;

/// What a batch writes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Runs that changed, in the order of their first change.
    pub touched: Vec<i64>,
    pub namespaces: Vec<(String, Vec<u8>)>,
    /// Runs that retention deletes.
    pub deletes: Vec<i64>,
    /// Runs that are set aside, to be closed.
    pub closes: Vec<CloseRow>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        let Self { touched, namespaces, deletes, closes } = self;
        touched.is_empty() && namespaces.is_empty() && deletes.is_empty() && closes.is_empty()
    }
}

#[derive(Default)]
pub(super) struct Batch {
    pub changes: Changes,
    releases: Vec<Release>,
    /// Tasks for pollers, by run.
    pub offers: Vec<(i64, Dispatch)>,
    /// What runs said to others.
    pub messages: Vec<Message>,
}

impl Batch {
    /// Answers `reply` when the batch is durable.
    pub(super) fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, ServiceError>) {
        self.releases.push(Box::new(move |durable| {
            reply.send(match durable {
                Ok(()) => result,
                Err(error) => Err(error.clone()),
            });
            None
        }));
    }

    /// [`Batch::reply`] for a task that must not get lost when the poller is gone.
    pub(super) fn reply_task(&mut self, reply: GrantSender, grant: Grant, task: TaskRef) {
        self.releases.push(Box::new(move |durable| match durable {
            Ok(()) => (!reply.send(Ok(Some(grant)))).then_some(task),
            Err(error) => {
                reply.send(Err(error.clone()));
                None
            }
        }));
    }

    /// Does something once the batch is stored, or has failed.
    pub(super) fn when_durable(&mut self, act: impl FnOnce(bool) + Send + 'static) {
        self.releases.push(Box::new(move |durable| {
            act(durable.is_ok());
            None
        }));
    }

    /// Hands a task over once the batch is stored, or has failed; `act` says if it has reached nobody.
    pub(super) fn hand_over(&mut self, act: impl FnOnce() -> Option<TaskRef> + Send + 'static) {
        self.releases.push(Box::new(move |_| act()));
    }

    pub(super) fn offer(&mut self, seq: i64, tasks: Vec<Dispatch>) {
        self.offers.extend(tasks.into_iter().map(|task| (seq, task)));
    }

    /// Lets the answers out; the tasks whose pollers were gone.
    pub(super) fn release(&mut self, durable: Result<(), &ServiceError>) -> Vec<TaskRef> {
        let mut undelivered = Vec::new();
        for release in std::mem::take(&mut self.releases) {
            undelivered.extend(release(durable));
        }
        undelivered
    }

    /// Nothing is left to store or to let out.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.releases.is_empty()
            && self.offers.is_empty()
            && self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::tasks::TaskKind;

    fn task(seq: i64) -> TaskRef {
        TaskRef { shard: 0, seq, kind: TaskKind::Activity { scheduled_event_id: 5, attempt: 1 } }
    }

    #[test]
    fn answers_leave_with_what_became_of_the_commit() {
        let refused = ServiceError::unavailable("the disk is full");
        for durable in [Ok(()), Err(&refused)] {
            let mut batch = Batch::default();
            let (reply, mut answer) = Reply::new();
            batch.reply(reply, Ok(7));
            assert!(answer.try_recv().is_err(), "nothing leaves before");
            assert!(batch.release(durable).is_empty());
            let answer = answer.try_recv().unwrap().map_err(|error| error.to_string());
            assert_eq!(answer, durable.map(|()| 7).map_err(ToString::to_string));
            assert!(batch.is_empty());
        }
    }

    #[test]
    fn a_task_comes_back_when_its_poller_is_gone() {
        let mut batch = Batch::default();
        let (here, _answer) = Reply::new();
        let (gone, _) = Reply::new();
        for (seq, reply) in [(1, here), (2, gone)] {
            batch.reply_task(reply, Grant::Activity(Box::default()), task(seq));
        }
        let undelivered = batch.release(Ok(()));
        assert_eq!(undelivered.iter().map(|task| task.seq).collect::<Vec<_>>(), [2]);
    }
}
