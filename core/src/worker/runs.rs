//! The workflow side of one worker: a driver around the cached [`Run`]s.
//!
//! Whoever brings something for a run (a poller its task, the SDK its completion) takes the run's lock, feeds the
//! machine, hands activations to the SDK, and lets go; then it does the I/O that the machine asked for and comes back
//! with the result. So a workflow task costs one spawned task, and no lock is held across an await.
//!
//! A slot is held from before the poll until the server has taken the answer.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use durably_proto::{
    durably::core::v1::{ReplayHistory, WorkflowCompletion, evict::Reason, worker_event::Event},
    temporal::api::workflowservice::v1::PollWorkflowTaskQueueResponse,
};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    cache::Cache,
    context::Context,
    respond::Responder,
    slots::{Slot, Slots},
    steps,
};
use crate::{
    activity::Activities,
    observer::{Seen, TaskKind},
    workflow::{HistoryPage, QueryReply, Run, RunOptions, Step, TaskCompleted, TaskFailed, WorkflowTask},
};

pub(super) struct Runs {
    context: Arc<Context>,
    run_options: RunOptions,
    pub(super) slots: Slots,
    responder: Responder,
    cache: Mutex<Cache<Arc<Cached>>>,
    /// A run left the cache.
    left: Notify,
    /// Histories to replay, one at a time, so that results come in their order.
    replays: Mutex<Replays>,
}

#[derive(Default)]
struct Replays {
    waiting: VecDeque<ReplayHistory>,
    is_running: bool,
}

/// A run in the cache.
pub(super) struct Cached {
    name: RunName,
    inner: Mutex<Inner>,
}

/// How a run is called, for what is said of it.
pub(super) struct RunName {
    /// Not known of replays, which say nothing.
    pub(super) workflow_type: String,
    pub(super) workflow_id: String,
    pub(super) run_id: String,
}

#[derive(Default)]
struct Inner {
    /// `None` before its start and after its eviction, both within one hold of the lock or a removal from the cache.
    run: Option<Run>,
    /// Of the task that the run works on.
    slot: Option<Slot>,
    /// The activation that is with the SDK.
    step: Option<steps::Step>,
    /// Tasks that came while the run was busy: the server sends one, and a query beside it.
    waiting: VecDeque<Polled>,
    /// Counts tasks, to tell whether an answer's refusal is about the newest one.
    generation: u64,
    /// The server doesn't know yet which SDK runs this.
    is_new: bool,
    is_replay: bool,
    /// It is no longer in the cache; what comes for it starts anew.
    is_gone: bool,
}

/// A task with its slot.
struct Polled {
    task: WorkflowTask,
    slot: Slot,
}

enum Input {
    Task(Polled),
    Page(HistoryPage),
    NoHistory(String),
    Completion(WorkflowCompletion),
    Evict(Reason),
    /// The server refused the answer to the task of this generation.
    Refused(u64, String),
}

/// What is left to do after a machine was fed, without its lock.
struct Job {
    cached: Arc<Cached>,
    slot: Option<Slot>,
    work: Work,
}

enum Work {
    Fetch { next_page_token: Bytes },
    Complete { task: TaskCompleted, is_new: bool, generation: u64 },
    Fail(TaskFailed),
    Answer(QueryReply),
    Leave,
}

type Jobs = VecDeque<Job>;

impl Runs {
    pub(super) fn new(
        context: Arc<Context>,
        activities: Option<Arc<Activities>>,
        sticky_queue: &str,
    ) -> Arc<Self> {
        let settings = &context.settings;
        Arc::new(Self {
            slots: Slots::new(
                TaskKind::Workflow,
                settings.workflow_slots,
                Arc::clone(context.client.observer()),
            ),
            responder: Responder::new(Arc::clone(&context), activities, sticky_queue),
            cache: Mutex::new(Cache::new(settings.max_cached_workflows, settings.max_cached_bytes)),
            left: Notify::new(),
            replays: Mutex::default(),
            run_options: settings.run_options(context.client.namespace()),
            context,
        })
    }

    /// Takes a poll's answer; an empty one frees the slot. Doesn't wait for I/O.
    pub(super) fn handle_polled(self: &Arc<Self>, response: PollWorkflowTaskQueueResponse, slot: Slot) {
        let jobs = self.accept(response, slot);
        if !jobs.is_empty() {
            let runs = Arc::clone(self);
            self.context.client.runtime().spawn(async move { runs.work_off(jobs).await });
        }
    }

    /// The SDK's answer to an activation.
    pub(super) fn handle_completion(self: &Arc<Self>, completion: WorkflowCompletion) {
        let Some(cached) = self.cache.lock().get(&completion.run_id).cloned() else {
            tracing::error!(
                run_id = completion.run_id,
                "a workflow completion was ignored: the run is not cached. Each activation is answered once"
            );
            return;
        };
        self.spawn_feed(cached, Input::Completion(completion));
    }

    /// Drops a run from the cache, if it is there.
    pub(super) fn handle_evict(self: &Arc<Self>, run_id: &str, reason: Reason) {
        let found = self.cache.lock().get(run_id).cloned();
        if let Some(cached) = found {
            self.spawn_feed(cached, Input::Evict(reason));
        }
    }

    /// Queues a history for replay.
    pub(super) fn handle_replay(self: &Arc<Self>, history: ReplayHistory) {
        let mut replays = self.replays.lock();
        replays.waiting.push_back(history);
        if !std::mem::replace(&mut replays.is_running, true) {
            drop(replays);
            let runs = Arc::clone(self);
            self.context.client.runtime().spawn(async move {
                let jobs = runs.next_replay();
                runs.work_off(jobs).await;
            });
        }
    }

    /// Waits until every task is answered, evicts every run, and returns when the SDK has let go of them. Call it
    /// after the pollers have ended.
    pub(super) async fn drain(self: &Arc<Self>) {
        // Replays count as work; each leaves the cache when it is done.
        self.until(|runs| !runs.replays.lock().is_running).await;
        self.slots.drain().await;
        let handles = self.cache.lock().handles();
        for cached in handles {
            self.spawn_feed(cached, Input::Evict(Reason::Shutdown));
        }
        self.until(|runs| runs.cache.lock().len() == 0).await;
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let left = self.left.notified();
            if condition(self) {
                return;
            }
            left.await;
        }
    }

    fn spawn_feed(self: &Arc<Self>, cached: Arc<Cached>, input: Input) {
        let runs = Arc::clone(self);
        self.context.client.runtime().spawn(async move {
            let jobs = runs.feed(&cached, input);
            runs.work_off(jobs).await;
        });
    }

    fn accept(&self, response: PollWorkflowTaskQueueResponse, mut slot: Slot) -> Jobs {
        match WorkflowTask::decode(response) {
            Ok(Some(task)) => {
                slot.mark_used();
                self.admit(Polled { task, slot })
            }
            Ok(None) => Jobs::new(),
            Err(invalid) => {
                // Without an answer it times out on the server, and is tried again.
                tracing::error!("{invalid}");
                Jobs::new()
            }
        }
    }

    /// Gives a task to its run, which is put into the cache if it isn't there.
    fn admit(&self, polled: Polled) -> Jobs {
        let mut cache = self.cache.lock();
        if let Some(cached) = cache.get(&polled.task.run_id).cloned() {
            drop(cache);
            return self.feed(&cached, Input::Task(polled));
        }
        let Polled { task, slot } = polled;
        let is_new = task.previous_started_event_id == 0;
        let inner = Inner { slot: Some(slot), generation: 1, is_new, ..Default::default() };
        let name = RunName {
            workflow_type: task.workflow_type.clone(),
            workflow_id: task.workflow_id.clone(),
            run_id: task.run_id.clone(),
        };
        let cached = Arc::new(Cached { name, inner: Mutex::new(inner) });
        // Taken before anyone else can find the run, and while nobody can hold it.
        let mut inner = cached.inner.lock();
        cache.insert(task.run_id.clone(), Arc::clone(&cached));
        drop(cache);
        self.context.client.observer().see(&Seen::RunCached);
        let (run, steps) = Run::start(&self.run_options, task);
        inner.run = Some(run);
        let jobs = self.carry_out(&cached, &mut inner, steps);
        drop(inner);
        self.settle(&cached, jobs)
    }

    /// Starts the next replay, if there is one.
    fn next_replay(&self) -> Jobs {
        let history = {
            let mut replays = self.replays.lock();
            let next = replays.waiting.pop_front();
            replays.is_running = next.is_some();
            next
        };
        let Some(history) = history else {
            self.left.notify_waiters();
            return Jobs::new();
        };
        let (run, steps) = Run::replay(&self.run_options, history);
        let run_id = run.run_id().to_owned();
        let workflow_id = run.workflow_id().to_owned();
        let name = RunName { workflow_type: String::new(), workflow_id, run_id: run_id.clone() };
        let inner = Inner { run: Some(run), is_replay: true, ..Default::default() };
        let cached = Arc::new(Cached { name, inner: Mutex::new(inner) });
        self.cache.lock().insert(run_id, Arc::clone(&cached));
        self.context.client.observer().see(&Seen::RunCached);
        let jobs = self.carry_out(&cached, &mut cached.inner.lock(), steps);
        self.settle(&cached, jobs)
    }

    /// Feeds a run and hands what comes of it to the SDK. Returns what needs I/O.
    fn feed(&self, cached: &Arc<Cached>, input: Input) -> Jobs {
        let mut inner = cached.inner.lock();
        let steps = match input {
            Input::Task(polled) if inner.is_gone => {
                drop(inner);
                return self.admit(polled);
            }
            Input::Task(polled) => match &mut inner.run {
                Some(run) if !run.is_busy() => {
                    // So it is again if the server has dropped its first task.
                    let is_first = polled.task.previous_started_event_id == 0 && polled.task.query.is_none();
                    let steps = run.handle_task(polled.task);
                    inner.is_new |= is_first;
                    inner.slot = Some(polled.slot);
                    inner.generation += 1;
                    steps
                }
                _ => {
                    inner.waiting.push_back(polled);
                    return Jobs::new();
                }
            },
            input => {
                let Inner { run: Some(run), step, generation, .. } = &mut *inner else { return Jobs::new() };
                match input {
                    Input::Page(page) => run.handle_history_page(page),
                    Input::NoHistory(message) => run.handle_history_unavailable(&message),
                    Input::Completion(completion) => {
                        *step = None;
                        run.handle_completion(completion)
                    }
                    Input::Evict(reason) => run.handle_evict(reason, ""),
                    // A newer task tells the run by itself that the server saw things differently.
                    Input::Refused(refused, message) if refused == *generation && !run.is_busy() => {
                        run.handle_evict(Reason::CacheMiss, &message)
                    }
                    Input::Refused(..) | Input::Task(_) => Vec::new(),
                }
            }
        };
        let jobs = self.carry_out(cached, &mut inner, steps);
        drop(inner);
        self.settle(cached, jobs)
    }

    /// Emits activations in order, collects the I/O, and feeds what waits as soon as the run is free.
    fn carry_out(&self, cached: &Arc<Cached>, inner: &mut Inner, mut steps: Vec<Step>) -> Jobs {
        let mut jobs = Jobs::new();
        loop {
            for step in steps {
                if let Some(work) = self.carry_out_step(inner, step) {
                    // A page is fetched for the task that the run still works on.
                    let slot = if matches!(work, Work::Fetch { .. }) { None } else { inner.slot.take() };
                    jobs.push_back(Job { cached: Arc::clone(cached), slot, work });
                }
            }
            let Some(run) = inner.run.as_mut().filter(|run| !run.is_busy()) else { break };
            inner.slot = None;
            let Some(next) = inner.waiting.pop_front() else { break };
            inner.slot = Some(next.slot);
            inner.generation += 1;
            steps = run.handle_task(next.task);
        }
        jobs
    }

    fn carry_out_step(&self, inner: &mut Inner, step: Step) -> Option<Work> {
        match step {
            Step::Activate(activation) => {
                inner.step = Some(self.context.client.steps().begin(Instant::now()));
                self.context.emit(Event::Workflow(activation));
                None
            }
            Step::Replayed(result) => {
                self.context.emit(Event::Replay(result));
                None
            }
            Step::NeedHistory { next_page_token } => Some(Work::Fetch { next_page_token }),
            Step::RespondCompleted(task) => {
                let is_new = std::mem::replace(&mut inner.is_new, false);
                Some(Work::Complete { task, is_new, generation: inner.generation })
            }
            Step::FailTask(task) => Some(Work::Fail(task)),
            Step::AnswerQuery(reply) => Some(Work::Answer(reply)),
            Step::Evicted { reason, .. } => {
                self.context.client.observer().see(&Seen::RunEvicted(reason));
                inner.run = None;
                Some(Work::Leave)
            }
        }
    }

    /// Notes what a run weighs now, and begins to evict others if that is too much.
    fn settle(&self, cached: &Arc<Cached>, mut jobs: Jobs) -> Jobs {
        let (weight, is_idle) = {
            let inner = cached.inner.lock();
            let Some(run) = &inner.run else { return jobs };
            (run.weight() as u64, !run.is_busy() && !inner.is_replay)
        };
        self.cache.lock().touch(&cached.name.run_id, weight, is_idle);
        loop {
            let victim = self.cache.lock().pop_excess();
            let Some(victim) = victim else { return jobs };
            match self.evict_idle(&victim) {
                Some(more) => jobs.extend(more),
                None => self.cache.lock().keep(&victim.name.run_id),
            }
        }
    }

    /// `None` if the run got work since it was chosen.
    fn evict_idle(&self, cached: &Arc<Cached>) -> Option<Jobs> {
        let mut inner = cached.inner.lock();
        let run = inner.run.as_mut().filter(|run| !run.is_busy())?;
        let steps = run.handle_evict(Reason::CacheFull, "");
        Some(self.carry_out(cached, &mut inner, steps))
    }

    /// Does the I/O that runs asked for, and what follows from its results, until there is none left.
    async fn work_off(&self, mut jobs: Jobs) {
        while let Some(Job { cached, slot, work }) = jobs.pop_front() {
            let name = &cached.name;
            let more = match work {
                Work::Fetch { next_page_token } => {
                    let page = self.responder.fetch(name, next_page_token).await;
                    self.feed(&cached, page.map_or_else(Input::NoHistory, Input::Page))
                }
                Work::Complete { task, is_new, generation } => {
                    match self.responder.complete(name, task, is_new, slot.is_some()).await {
                        Ok(next) => match (next, slot) {
                            (Some(next), Some(slot)) => self.accept(next, slot),
                            _ => Jobs::new(),
                        },
                        Err(message) => self.feed(&cached, Input::Refused(generation, message)),
                    }
                }
                Work::Fail(task) => {
                    self.responder.fail(name, task).await;
                    Jobs::new()
                }
                Work::Answer(reply) => {
                    self.responder.answer(name, reply).await;
                    Jobs::new()
                }
                Work::Leave => self.leave(&cached),
            };
            jobs.extend(more);
        }
    }

    /// Takes an evicted run out of the cache; tasks that waited for it start it anew.
    fn leave(&self, cached: &Cached) -> Jobs {
        self.cache.lock().remove(&cached.name.run_id);
        let (waiting, is_replay) = {
            let mut inner = cached.inner.lock();
            inner.is_gone = true;
            (std::mem::take(&mut inner.waiting), inner.is_replay)
        };
        self.left.notify_waiters();
        let mut jobs: Jobs = waiting.into_iter().flat_map(|polled| self.admit(polled)).collect();
        if is_replay {
            jobs.extend(self.next_replay());
        }
        jobs
    }
}
