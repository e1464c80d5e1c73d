//! Activity tasks from the poll to the answer: slots, heartbeats, time-outs and cancellation.
//!
//! One lock guards the table of running attempts and is held for map operations only. A slot is held from before the
//! poll until the server has taken the answer, so that the slots bound everything here and "all slots free" means
//! "all answered".

mod answer;
mod deadlines;
mod demand;
mod heartbeat;
mod task;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use durably_proto::{
    durably::core::v1::{
        ActivityCancel, ActivityCompletion, ActivityHeartbeat, activity_cancel::Reason,
        activity_completion::Status, worker_event::Event,
    },
    temporal::api::{
        taskqueue::v1::{TaskQueue, TaskQueueMetadata},
        workflowservice::v1::{PollActivityTaskQueueRequest, PollActivityTaskQueueResponse},
    },
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    activity::{
        deadlines::Deadlines,
        demand::Demand,
        heartbeat::{Heartbeats, Recorded},
    },
    client::methods,
    convert::duration,
    observer::TaskKind,
    worker::{
        context::Context,
        poll,
        rate::RateLimit,
        slots::{Slot, Slots},
    },
};

/// The server enforces an attempt's time-outs. This end enforces them too, this much later, for when the server can't
/// tell (it was away, or the activity never heartbeats).
const LOCAL_TIMEOUT_BUFFER: Duration = Duration::from_secs(5);

/// The activity side of one worker.
pub(crate) struct Activities {
    context: Arc<Context>,
    slots: Slots,
    rate: RateLimit,
    running: Mutex<HashMap<Bytes, Running>>,
    deadlines: Deadlines,
    /// `None`: the SDK takes as many as there are slots.
    demand: Option<Demand>,
    /// The graceful time-out is over: what starts now, eagerly with the last workflow tasks, is cancelled at once.
    is_cancelling: AtomicBool,
}

/// One attempt that is with the SDK.
struct Running {
    name: task::AttemptName,
    slot: Slot,
    heartbeats: Heartbeats,
    /// The latest moment allowed by start-to-close and schedule-to-close.
    must_close_by: Option<tokio::time::Instant>,
    deadline: Option<deadlines::Key>,
    /// Why the SDK was asked to stop, if it was.
    cancelled: Option<Reason>,
    /// The SDK has been told of the attempt: a cancellation must not come before that.
    is_announced: bool,
    signals: Arc<Signals>,
}

/// What the heartbeat loop of an attempt waits for.
#[derive(Default)]
struct Signals {
    over: Notify,
    /// There is a heartbeat that may go out at once.
    heartbeat: Notify,
}

impl Activities {
    pub(crate) fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self {
            slots: Slots::new(
                TaskKind::Activity,
                context.settings.activity_slots,
                Arc::clone(context.client.observer()),
            ),
            rate: RateLimit::new(context.settings.max_activities_per_second),
            running: Mutex::default(),
            deadlines: Deadlines::default(),
            demand: context.settings.activities_on_demand.then(Demand::default),
            is_cancelling: AtomicBool::new(false),
            context,
        })
    }

    /// The SDK wants so many activities more, or fewer.
    pub(crate) fn want(&self, count: i32) {
        let Some(demand) = &self.demand else {
            tracing::error!("a worker without activities_on_demand takes no WantActivities");
            return;
        };
        demand.add(count.into());
    }

    /// Reserves up to `count` slots for activities that the server may start with a workflow task's response.
    pub(crate) fn reserve_eager(&self, count: usize) -> Vec<Slot> {
        let mut slots = Vec::new();
        while slots.len() < count {
            let Some(slot) = self.slots.try_reserve() else { break };
            if !self.rate.try_take() {
                break;
            }
            slots.push(slot);
        }
        slots
    }

    /// Hands a polled (or eagerly started) task to the SDK; an empty poll frees the slot.
    pub(crate) fn start(
        self: &Arc<Self>,
        task: PollActivityTaskQueueResponse,
        mut slot: Slot,
        is_eager: bool,
    ) {
        if task.task_token.is_empty() {
            return;
        }
        slot.mark_used();
        let now = tokio::time::Instant::now();
        let mut heartbeats = self.heartbeats(&task, now);
        // It is watched from its start: the language may be too busy to let it say anything.
        let is_watched = heartbeats.watch();
        let signals = Arc::<Signals>::default();
        let mut running = Running {
            name: task::AttemptName::of(&task),
            slot,
            heartbeats,
            must_close_by: task::latest_close(&task, now),
            deadline: None,
            cancelled: None,
            is_announced: false,
            signals: Arc::clone(&signals),
        };
        let token = task.task_token.clone();
        running.deadline = running.next_deadline().map(|at| self.deadlines.add(at, token.clone()));
        // A task token names one attempt, so nothing is replaced here.
        self.running.lock().insert(token.clone(), running);
        if is_watched {
            self.spawn_heartbeat_loop(token.clone(), signals);
        }
        self.context.emit(Event::ActivityStart(task::start_event(task, is_eager)));
        let cancelled = self.running.lock().get_mut(&token).and_then(|running| {
            running.is_announced = true;
            running.cancelled
        });
        if let Some(reason) = cancelled {
            self.emit_cancel(token, reason);
        } else if self.is_cancelling.load(Ordering::Acquire) {
            self.cancel(&token, Reason::WorkerShutdown);
        }
    }

    /// The SDK's answer to an attempt.
    pub(crate) fn complete(self: &Arc<Self>, completion: ActivityCompletion) {
        let Some(status) = completion.status else {
            tracing::error!("an activity completion without a status was ignored: the SDK must set one");
            return;
        };
        let Some(running) = self.take(&completion.task_token) else {
            tracing::error!(
                "an activity completion was ignored: no running activity has its task token. Each attempt is \
                 completed once, by the worker that started it"
            );
            return;
        };
        if running.cancelled.is_none() && running.must_have_closed(tokio::time::Instant::now()) {
            running.name.tell_late(
                "an activity has ended when its start_to_close_timeout or schedule_to_close_timeout was over",
            );
        }
        let activities = Arc::clone(self);
        self.context.client.runtime().spawn(async move {
            activities.answer(completion.task_token, status, running).await;
        });
    }

    /// Forgets an attempt; whoever holds the result frees its slot.
    fn take(&self, token: &Bytes) -> Option<Running> {
        let running = self.running.lock().remove(token)?;
        if let Some(key) = running.deadline {
            self.deadlines.remove(key);
        }
        running.signals.over.notify_one();
        Some(running)
    }

    /// A heartbeat of the SDK: kept, and sent now or when the throttle allows.
    pub(crate) fn heartbeat(self: &Arc<Self>, heartbeat: ActivityHeartbeat) {
        let mut table = self.running.lock();
        let Some(running) = table.get_mut(&heartbeat.task_token) else {
            // A thread of an activity may heartbeat a moment after its end.
            tracing::debug!("a heartbeat of an activity that is not running was ignored");
            return;
        };
        match running.heartbeats.record(heartbeat.details, tokio::time::Instant::now()) {
            Recorded::NeedsLoop => {
                let signals = Arc::clone(&running.signals);
                drop(table);
                self.spawn_heartbeat_loop(heartbeat.task_token, signals);
            }
            Recorded::IsDue => running.signals.heartbeat.notify_one(),
            Recorded::IsThrottled => {}
        }
    }

    fn heartbeats(&self, task: &PollActivityTaskQueueResponse, now: tokio::time::Instant) -> Heartbeats {
        let timeout = duration(task.heartbeat_timeout.as_ref());
        let throttle = self.context.settings.heartbeat_throttle(timeout);
        let resumed = task.heartbeat_details.clone().unwrap_or_default().payloads;
        Heartbeats::new(timeout, throttle, resumed, now)
    }

    fn spawn_heartbeat_loop(self: &Arc<Self>, token: Bytes, signals: Arc<Signals>) {
        let activities = Arc::clone(self);
        let runtime = self.context.client.runtime();
        runtime.spawn(async move { activities.heartbeat_loop(token, signals).await });
    }

    /// Asks the SDK to stop an attempt, once. The first reason is the one that the SDK hears; what the server said
    /// counts for the answer.
    fn cancel(&self, token: &Bytes, reason: Reason) {
        {
            let mut table = self.running.lock();
            let Some(running) = table.get_mut(token) else { return };
            if running.cancelled.is_some() {
                if matches!(reason, Reason::Cancelled | Reason::NotFound) {
                    running.cancelled = Some(reason);
                }
                return;
            }
            running.cancelled = Some(reason);
            if !running.is_announced {
                return;
            }
        }
        self.emit_cancel(token.clone(), reason);
    }

    fn emit_cancel(&self, task_token: Bytes, reason: Reason) {
        self.context.emit(Event::ActivityCancel(ActivityCancel { task_token, reason: reason as i32 }));
    }

    /// Cancels attempts whose time is over; runs as long as the worker.
    pub(crate) async fn watch_deadlines(self: Arc<Self>) {
        loop {
            let token = self.deadlines.next().await;
            let now = tokio::time::Instant::now();
            let is_late = {
                let mut table = self.running.lock();
                let Some(running) = table.get_mut(&token) else { continue };
                match running.next_deadline() {
                    // A heartbeat has moved it.
                    Some(at) if at > now => {
                        running.deadline = Some(self.deadlines.add(at, token.clone()));
                        false
                    }
                    _ => {
                        running.deadline = None;
                        if running.cancelled.is_none() {
                            running.name.tell_late(if running.must_have_closed(now) {
                                "an activity goes on though its start_to_close_timeout or schedule_to_close_timeout is over"
                            } else {
                                "an activity goes on though it has sent no heartbeat within its heartbeat_timeout"
                            });
                        }
                        true
                    }
                }
            };
            if is_late {
                self.cancel(&token, Reason::TimedOut);
            }
        }
    }

    /// Lets running attempts end within the graceful time-out, then cancels them, and returns when all are answered.
    /// Call it after the pollers have ended.
    pub(crate) async fn drain(&self) {
        let settings = &self.context.settings;
        let graceful = settings.graceful_shutdown_timeout;
        let ended =
            graceful > Duration::ZERO && tokio::time::timeout(graceful, self.slots.drain()).await.is_ok();
        if !ended {
            self.is_cancelling.store(true, Ordering::Release);
            let mut tokens: Vec<Bytes> = self.running.lock().keys().cloned().collect();
            tokens.sort_unstable();
            for token in tokens {
                self.cancel(&token, Reason::WorkerShutdown);
            }
            self.slots.drain().await;
        }
    }
}

impl poll::Source for Activities {
    const PATH: &'static str = methods::POLL_ACTIVITY_TASK_QUEUE;
    type Request = PollActivityTaskQueueRequest;
    type Response = PollActivityTaskQueueResponse;

    fn request(&self) -> PollActivityTaskQueueRequest {
        let settings = &self.context.settings;
        PollActivityTaskQueueRequest {
            namespace: self.context.client.namespace().to_owned(),
            task_queue: Some(TaskQueue { name: settings.task_queue.clone(), ..Default::default() }),
            identity: settings.identity.clone(),
            worker_instance_key: self.context.instance_key.clone(),
            task_queue_metadata: settings
                .max_task_queue_activities_per_second
                .map(|rate| TaskQueueMetadata { max_tasks_per_second: Some(rate) }),
            ..Default::default()
        }
    }

    fn slots(&self) -> &Slots {
        &self.slots
    }

    async fn leave_to_poll(&self) {
        self.rate.wait().await;
        if let Some(demand) = &self.demand {
            demand.begin_poll().await;
        }
    }

    fn handle(self: &Arc<Self>, response: Option<PollActivityTaskQueueResponse>, slot: Slot) {
        let task = response.filter(|task| !task.task_token.is_empty());
        if let Some(demand) = &self.demand {
            demand.end_poll(task.is_some());
        }
        if let Some(task) = task {
            self.start(task, slot, false);
        }
    }
}

impl Running {
    fn must_have_closed(&self, now: tokio::time::Instant) -> bool {
        self.must_close_by.is_some_and(|by| by <= now)
    }

    fn next_deadline(&self) -> Option<tokio::time::Instant> {
        let first = self.must_close_by.into_iter().chain(self.heartbeats.silent_at()).min();
        first.and_then(|at| at.checked_add(LOCAL_TIMEOUT_BUFFER))
    }
}

/// How an attempt ended, for the answer.
type Ended = Status;
