//! One queue: tasks that wait for pollers, or pollers that wait for tasks.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Matching, PollerIdentity, QueueKey, rate::Rate};

/// How many pollers a queue remembers for its listing.
const REMEMBERED_POLLERS: usize = 100;
/// A poller that has not asked for this long is left out of listings.
pub(super) const POLLER_MEMORY: i64 = 5 * 60 * 1_000_000_000;

/// A task without a poller.
struct Waiting<T> {
    task: T,
    since: Instant,
}

impl<T> Waiting<T> {
    fn new(task: T) -> Self {
        Self { task, since: Instant::now() }
    }
}

/// At most one of `tasks` and `pollers` holds anything, unless the rate limit keeps them apart.
pub(super) struct Queue<T> {
    tasks: VecDeque<Waiting<T>>,
    pollers: VecDeque<ReservedPoller<T>>,
    seen: Vec<PollerInfo>,
    limit: Option<RateLimit>,
    added: Rate,
    handed_over: Rate,
    last_poll: i64,
    /// When each worker that has not ended its polls began one last, by the worker's key.
    workers: BTreeMap<String, i64>,
    is_sticky: bool,
    /// With so many tasks it is time to look for those that have become stale.
    look_at: usize,
}

/// A queue with fewer tasks is not worth looking through.
const SMALL_QUEUE: usize = 1_000;

/// Somebody who polled.
#[derive(Clone, Debug, PartialEq)]
pub struct PollerInfo {
    pub identity: String,
    /// Nanoseconds since the Unix epoch.
    pub last_access: i64,
}

/// What a listing shows of a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueInfo {
    pub pollers: Vec<PollerInfo>,
    pub backlog: usize,
    /// For how long the first of them has waited in this process.
    pub backlog_age: Duration,
    /// The limit.
    pub tasks_per_second: Option<f64>,
    /// Averages over the last half minute, with tasks that a poller took at once.
    pub added_per_second: f32,
    pub handed_over_per_second: f32,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            tasks: VecDeque::new(),
            pollers: VecDeque::new(),
            seen: Vec::new(),
            limit: None,
            added: Rate::default(),
            handed_over: Rate::default(),
            last_poll: i64::MIN,
            workers: BTreeMap::new(),
            is_sticky: false,
            look_at: SMALL_QUEUE,
        }
    }
}

/// A token bucket of one second's worth. Real time on purpose: it protects what the workers call.
struct RateLimit {
    per_second: f64,
    tokens: f64,
    refilled: Instant,
}

impl RateLimit {
    fn new(per_second: f64) -> Self {
        Self { per_second, tokens: per_second.max(1.0), refilled: Instant::now() }
    }

    /// Takes a token, or says when there will be one (`None`: never).
    fn take(&mut self) -> Result<(), Option<Duration>> {
        let now = Instant::now();
        let earned = now.duration_since(self.refilled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + earned).min(self.per_second.max(1.0));
        self.refilled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        if self.per_second <= 0.0 {
            return Err(None);
        }
        Err(Duration::try_from_secs_f64((1.0 - self.tokens) / self.per_second).ok())
    }
}

impl<T> Queue<T> {
    pub(super) fn offer(&mut self, task: T) -> Option<Duration> {
        let waiting = Waiting::new(task);
        self.added.count(waiting.since);
        self.tasks.push_back(waiting);
        self.hand_over()
    }

    pub(super) fn offer_first(&mut self, task: T) -> Option<Duration> {
        self.tasks.push_front(Waiting::new(task));
        self.hand_over()
    }

    pub(super) fn offer_now(&mut self, mut task: T) -> Result<(), T> {
        while let Some(poller) = self.pollers.pop_front() {
            match poller.give(task) {
                Ok(()) => return Ok(()),
                Err(returned) => task = returned,
            }
        }
        Err(task)
    }

    /// Registers a poller. The duration, here as elsewhere, says when to try again if the rate limit is in the way.
    pub(super) fn poll(
        &mut self,
        poller: PollerIdentity,
        now: i64,
    ) -> (oneshot::Receiver<T>, Option<Duration>) {
        self.remember(poller.clone(), now);
        let (sender, receiver) = oneshot::channel();
        self.pollers.push_back(ReservedPoller { poller, sender });
        (receiver, self.hand_over())
    }

    pub(super) fn end_polls(&mut self, worker: &str) {
        self.pollers.retain(|waiting| waiting.poller.worker != worker);
        self.workers.remove(worker);
    }

    pub(super) fn reserve(&mut self) -> Option<ReservedPoller<T>> {
        while self.pollers.front().is_some_and(ReservedPoller::is_closed) {
            self.pollers.pop_front();
        }
        if self.pollers.is_empty() || !self.tasks.is_empty() {
            return None;
        }
        if let Some(limit) = &mut self.limit
            && limit.take().is_err()
        {
            return None;
        }
        let now = Instant::now();
        self.added.count(now);
        self.handed_over.count(now);
        self.pollers.pop_front()
    }

    /// Matches what can be matched.
    pub(super) fn hand_over(&mut self) -> Option<Duration> {
        while !self.tasks.is_empty() {
            while self.pollers.front().is_some_and(ReservedPoller::is_closed) {
                self.pollers.pop_front();
            }
            if self.pollers.is_empty() {
                return None;
            }
            if let Some(limit) = &mut self.limit
                && let Err(retry) = limit.take()
            {
                return retry;
            }
            let (Some(Waiting { task, since }), Some(poller)) =
                (self.tasks.pop_front(), self.pollers.pop_front())
            else {
                return None;
            };
            match poller.give(task) {
                Ok(()) => self.handed_over.count(Instant::now()),
                Err(task) => self.tasks.push_front(Waiting { task, since }),
            }
        }
        None
    }

    pub(super) fn drop_closed_pollers(&mut self) {
        self.pollers.retain(|poller| !poller.is_closed());
    }

    pub(super) fn set_rate(&mut self, per_second: Option<f64>) -> Option<Duration> {
        let per_second = per_second.filter(|rate| rate.is_finite() && *rate >= 0.0);
        if self.limit.as_ref().map(|limit| limit.per_second) == per_second {
            return None;
        }
        self.limit = per_second.map(RateLimit::new);
        self.hand_over()
    }

    pub(super) fn has_poller(&self, now: i64, within: i64) -> bool {
        self.pollers.iter().any(|poller| !poller.is_closed()) || now.saturating_sub(self.last_poll) <= within
    }

    pub(super) fn is_served(&self, now: i64) -> bool {
        let is_recent = |last: &i64| now.saturating_sub(*last) <= POLLER_MEMORY;
        self.pollers.iter().any(|poller| !poller.is_closed()) || self.workers.values().any(is_recent)
    }

    pub(super) fn is_sticky(&self) -> bool {
        self.is_sticky
    }

    pub(super) fn describe(&self, now: i64) -> QueueInfo {
        let recent = |poller: &&PollerInfo| now.saturating_sub(poller.last_access) <= POLLER_MEMORY;
        QueueInfo {
            pollers: self.seen.iter().filter(recent).cloned().collect(),
            backlog: self.tasks.len(),
            backlog_age: self.tasks.front().map_or(Duration::ZERO, |first| first.since.elapsed()),
            added_per_second: self.added.per_second(Instant::now()),
            handed_over_per_second: self.handed_over.per_second(Instant::now()),
            tasks_per_second: self.limit.as_ref().map(|limit| limit.per_second),
        }
    }

    pub(super) fn into_tasks(self) -> Vec<T> {
        self.tasks.into_iter().map(|waiting| waiting.task).collect()
    }

    #[cfg(test)]
    pub(super) fn backlog(&self) -> usize {
        self.tasks.len()
    }

    /// When it was polled last, if there is neither a task nor a poller now.
    pub(super) fn idle_since(&self) -> Option<i64> {
        let is_idle = self.tasks.is_empty() && self.pollers.iter().all(ReservedPoller::is_closed);
        is_idle.then_some(self.last_poll)
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &T> {
        self.tasks.iter().map(|waiting| &waiting.task)
    }

    /// Whether the queue has doubled since it was looked through; says so once.
    pub(super) fn is_overgrown(&mut self) -> bool {
        let is_overgrown = self.tasks.len() >= self.look_at;
        if is_overgrown {
            self.look_at = self.tasks.len() * 2;
        }
        is_overgrown
    }

    pub(super) fn retain(&mut self, mut stands: impl FnMut(&T) -> bool) {
        self.tasks.retain(|waiting| stands(&waiting.task));
        self.tasks.shrink_to(SMALL_QUEUE);
        self.look_at = (self.tasks.len() * 2).max(SMALL_QUEUE);
    }

    fn remember(&mut self, poller: PollerIdentity, now: i64) {
        self.last_poll = now;
        self.is_sticky |= poller.sticky;
        if self.workers.len() >= REMEMBERED_POLLERS && !self.workers.contains_key(&poller.worker) {
            self.workers.retain(|_, last| now.saturating_sub(*last) <= POLLER_MEMORY);
        }
        self.workers.insert(poller.worker, now);
        let identity = poller.identity;
        if let Some(known) = self.seen.iter_mut().find(|known| known.identity == identity) {
            known.last_access = now;
            return;
        }
        if self.seen.len() >= REMEMBERED_POLLERS {
            let oldest = self.seen.iter().enumerate().min_by_key(|(_, poller)| poller.last_access);
            if let Some(index) = oldest.map(|(index, _)| index) {
                self.seen.swap_remove(index);
            }
        }
        self.seen.push(PollerInfo { identity, last_access: now });
    }
}

/// A poller that waits, and will get the next task.
pub struct ReservedPoller<T> {
    pub poller: PollerIdentity,
    sender: oneshot::Sender<T>,
}

impl<T> ReservedPoller<T> {
    /// Ends the poll with the task, or gives it back when the poller is gone.
    pub fn give(self, task: T) -> Result<(), T> {
        self.sender.send(task)
    }

    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// The waiting end of a poll.
pub struct TaskReceiver<T: Send + 'static> {
    receiver: oneshot::Receiver<T>,
    matching: Matching<T>,
    key: QueueKey,
    received: bool,
}

impl<T: Send + 'static> TaskReceiver<T> {
    pub(super) fn new(receiver: oneshot::Receiver<T>, matching: Matching<T>, key: QueueKey) -> Self {
        Self { receiver, matching, key, received: false }
    }

    /// The task; `None` when the queue was removed or the worker has ended its polls. Cancel-safe: stop awaiting and the task is not lost.
    pub async fn recv(&mut self) -> Option<T> {
        let task = (&mut self.receiver).await.ok();
        self.received = true;
        task
    }
}

impl<T: Send + 'static> Drop for TaskReceiver<T> {
    fn drop(&mut self) {
        if self.received {
            return;
        }
        self.receiver.close();
        match self.receiver.try_recv() {
            Ok(task) => self.matching.offer_first(&self.key, task),
            Err(_) => self.matching.drop_closed_pollers(&self.key),
        }
    }
}
