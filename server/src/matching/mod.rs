//! Hands tasks to pollers: a task goes straight to a waiting poller, and waits in its queue when there is none.
//!
//! The queues hold names of tasks, not tasks: what is offered was derived from the state of a run and is checked
//! against it when a poller takes it, so an offer that has become stale costs nothing but the check. Queues live in
//! memory only; after a restart the driver offers again what the runs' states say is pending. Nothing here waits or
//! ticks: a poll is a future that ends when a task arrives or its caller drops it.

mod queue;
mod rate;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use queue::Queue;
pub use queue::{QueueInfo, ReservedPoller, TaskReceiver};

/// Names a queue of a namespace. Sticky queues are queues like any other, under the name a worker made up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueKey {
    pub namespace_id: Arc<str>,
    pub name: Arc<str>,
    pub kind: QueueKind,
}

/// Tasks of one name but of different kinds wait apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueKind {
    Workflow,
    Activity,
    /// Workers with Nexus handlers poll these; nothing is ever offered to them yet.
    Nexus,
}

/// Who polls, for listings of pollers.
#[derive(Clone, Debug, Default)]
pub struct PollerIdentity {
    pub identity: String,
    /// The worker's own key, by which it ends all its polls; empty if it has none.
    pub worker: String,
    /// Tells one poll from another.
    pub poll: u64,
    /// The poller lives in the server's process.
    pub in_process: bool,
    /// The queue is a worker's own.
    pub sticky: bool,
}

/// How many workers that have ended are remembered, for polls of theirs that are still on their way.
const REMEMBERED_WORKERS: usize = 256;

/// How many queues without tasks and pollers are remembered, for what a listing says of them; the others are forgotten,
/// longest unused first. Workers make up a name for each of their sticky queues, so names are without end.
const REMEMBERED_QUEUES: usize = 4_096;
/// A queue is forgotten when it was not polled for this long: listings leave its pollers out by then.
const QUEUE_MEMORY: i64 = queue::POLLER_MEMORY;

/// The queues by name, and at how many of them to look for idle ones again: the cost of looking is spread over the
/// polls that made them.
struct Queues<T> {
    by_key: HashMap<QueueKey, Queue<T>>,
    look_at: usize,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), look_at: REMEMBERED_QUEUES }
    }
}

/// All task queues of a server. `T` is what is handed over. Cheap to clone.
pub struct Matching<T> {
    queues: Arc<Mutex<Queues<T>>>,
    /// Oldest first. Locked after `queues`.
    ended: Arc<Mutex<VecDeque<String>>>,
}

impl<T> Clone for Matching<T> {
    fn clone(&self) -> Self {
        Self { queues: Arc::clone(&self.queues), ended: Arc::clone(&self.ended) }
    }
}

impl<T> Default for Matching<T> {
    fn default() -> Self {
        Self { queues: Arc::default(), ended: Arc::default() }
    }
}

impl<T: Send + 'static> Matching<T> {
    /// Gives a task to the poller that waits longest, or queues it. True says that many wait by now, and that the
    /// caller does well to [`Matching::retain`] those that still stand.
    pub fn offer(&self, key: &QueueKey, task: T) -> bool {
        let (retry, is_overgrown) = self.with(key, |queue| (queue.offer(task), queue.is_overgrown()));
        self.try_later(key, retry);
        is_overgrown
    }

    /// Like [`Matching::offer`], ahead of everything that waits: for a task whose poller turned out to be gone.
    pub fn offer_first(&self, key: &QueueKey, task: T) {
        let retry = self.with(key, |queue| queue.offer_first(task));
        self.try_later(key, retry);
    }

    /// Gives a task to a poller that waits now, or back to the caller when none does: for tasks that are worth nothing
    /// later, such as queries to a sticky queue.
    pub fn offer_now(&self, key: &QueueKey, task: T) -> Result<(), T> {
        self.with(key, |queue| queue.offer_now(task))
    }

    /// Takes the poller that waits longest out of the queue, for a task that is not quite ready: `None` when nobody
    /// waits, other tasks are ahead, or the rate limit is reached. Dropping it ends the poll without a task.
    pub fn reserve(&self, key: &QueueKey) -> Option<ReservedPoller<T>> {
        self.queues.lock().by_key.get_mut(key)?.reserve()
    }

    /// Begins a poll at `now` (nanoseconds since the Unix epoch): await the receiver's [`TaskReceiver::recv`]. Dropping
    /// it ends the poll, and a task that was handed over but not yet received goes back to the head of the queue.
    pub fn poll(&self, key: &QueueKey, poller: PollerIdentity, now: i64) -> TaskReceiver<T> {
        let (receiver, retry) = self.with(key, |queue| {
            let has_ended = !poller.worker.is_empty() && self.ended.lock().contains(&poller.worker);
            // Nobody holds the sending end.
            if has_ended { (oneshot::channel().1, None) } else { queue.poll(poller, now) }
        });
        self.try_later(key, retry);
        self.look_for_idle(now);
        TaskReceiver::new(receiver, self.clone(), key.clone())
    }

    /// Limits how many tasks per second the queue hands out; `None` lifts the limit.
    pub fn set_rate(&self, key: &QueueKey, tasks_per_second: Option<f64>) {
        let retry = self.with(key, |queue| queue.set_rate(tasks_per_second));
        self.try_later(key, retry);
    }

    /// Whether anybody polls now or did within `within` nanoseconds.
    pub fn has_poller(&self, key: &QueueKey, now: i64, within: i64) -> bool {
        let queues = self.queues.lock();
        queues.by_key.get(key).is_some_and(|queue| queue.has_poller(now, within))
    }

    /// Whether the queue has a worker: one that polls, or one that has polled and has not said that it takes no more. A
    /// worker whose slots are all in use does not poll.
    pub fn is_served(&self, key: &QueueKey, now: i64) -> bool {
        let queues = self.queues.lock();
        queues.by_key.get(key).is_some_and(|queue| queue.is_served(now))
    }

    /// The names of the queues of that kind that have a worker, sticky ones left out.
    #[expect(clippy::iter_over_hash_type, reason = "what is found is sorted")]
    pub fn served(&self, namespace_id: &str, kind: QueueKind, now: i64) -> Vec<Arc<str>> {
        let queues = self.queues.lock();
        let mut names = Vec::new();
        for (key, queue) in &queues.by_key {
            if key.kind == kind
                && *key.namespace_id == *namespace_id
                && !queue.is_sticky()
                && queue.is_served(now)
            {
                names.push(key.name.clone());
            }
        }
        names.sort_unstable();
        names
    }

    pub fn describe(&self, key: &QueueKey, now: i64) -> QueueInfo {
        let queues = self.queues.lock();
        queues.by_key.get(key).map(|queue| queue.describe(now)).unwrap_or_default()
    }

    /// Removes a queue whose worker is gone and returns what waited in it; polls of it end without a task.
    pub fn remove(&self, key: &QueueKey) -> Vec<T> {
        self.queues.lock().by_key.remove(key).map(Queue::into_tasks).unwrap_or_default()
    }

    #[expect(clippy::iter_over_hash_type, reason = "what is done to a queue depends on no other")]
    /// Ends the polls of a worker that takes no more tasks, and those that arrive late: they get no task.
    pub fn end_polls(&self, worker: &str) {
        if worker.is_empty() {
            return;
        }
        let mut queues = self.queues.lock();
        let mut ended = self.ended.lock();
        if ended.len() == REMEMBERED_WORKERS {
            ended.pop_front();
        }
        ended.push_back(worker.to_owned());
        drop(ended);
        for queue in queues.by_key.values_mut() {
            queue.end_polls(worker);
        }
    }

    /// How many tasks wait with no poller to take them, over all queues.
    #[cfg(test)]
    pub fn backlog(&self) -> usize {
        self.queues.lock().by_key.values().map(Queue::backlog).sum()
    }

    /// What `pick` takes of the tasks that wait in a queue.
    pub fn waiting<R>(&self, key: &QueueKey, pick: impl FnMut(&T) -> Option<R>) -> Vec<R> {
        let queues = self.queues.lock();
        queues.by_key.get(key).map_or_else(Vec::new, |queue| queue.tasks().filter_map(pick).collect())
    }

    /// Drops the waiting tasks of a queue that `stands` is false for.
    pub fn retain(&self, key: &QueueKey, stands: impl FnMut(&T) -> bool) {
        if let Some(queue) = self.queues.lock().by_key.get_mut(key) {
            queue.retain(stands);
        }
    }

    /// Forgets queues that are empty and that nobody has polled for a while, or that are too many.
    #[expect(clippy::iter_over_hash_type, reason = "what is found is sorted")]
    pub fn forget_idle(&self, now: i64) {
        let mut queues = self.queues.lock();
        let before = now.saturating_sub(QUEUE_MEMORY);
        queues.by_key.retain(|_, queue| queue.idle_since().is_none_or(|since| since >= before));
        let mut idle = Vec::new();
        for (key, queue) in &queues.by_key {
            idle.extend(queue.idle_since().map(|since| (since, key.clone())));
        }
        idle.sort_unstable_by_key(|(since, _)| *since);
        let surplus = idle.len().saturating_sub(REMEMBERED_QUEUES);
        for (_, key) in &idle[..surplus] {
            queues.by_key.remove(key);
        }
        queues.by_key.shrink_to(REMEMBERED_QUEUES);
        queues.look_at = queues.by_key.len() + REMEMBERED_QUEUES;
    }

    fn look_for_idle(&self, now: i64) {
        let is_time = {
            let queues = self.queues.lock();
            queues.by_key.len() >= queues.look_at
        };
        if is_time {
            self.forget_idle(now);
        }
    }

    /// How many queues are in memory.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.queues.lock().by_key.len()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn drop_closed_pollers(&self, key: &QueueKey) {
        if let Some(queue) = self.queues.lock().by_key.get_mut(key) {
            queue.drop_closed_pollers();
        }
    }

    /// Matches again once the rate limit allows it.
    fn try_later(&self, key: &QueueKey, retry: Option<std::time::Duration>) {
        let Some(delay) = retry else { return };
        let (this, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let retry = this.with(&key, Queue::hand_over);
            this.try_later(&key, retry);
        });
    }

    fn with<R>(&self, key: &QueueKey, act: impl FnOnce(&mut Queue<T>) -> R) -> R {
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.by_key.get_mut(key) {
            return act(queue);
        }
        act(queues.by_key.entry(key.clone()).or_default())
    }
}
