//! One task queue: the core's worker, the assignment of its tasks, and the applications that wait for them.
//!
//! The worker runs only while applications are there. It polls for as many activities as they ask for, so that no task
//! leaves the server before somebody can take it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use durably_core::{Client, Worker};
use durably_proto::durably::core::v1::{
    CallError, InitiateShutdown, ReplayHistory, ReplayResult, ShutDown, WantActivities, WorkerEvent,
    WorkerOptions, WorkerRequest, worker_event::Event, worker_request::Request,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::assignment::{Assignment, Refusal, Taken, Wants};

/// How long the sidecar's end waits for the server, once the applications have been given up.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A task queue of the configuration.
pub(crate) struct Queue {
    client: Client,
    options: WorkerOptions,
    patience: Duration,
    state: Mutex<State>,
    /// Something to take may be there.
    arrived: Notify,
    /// The assignment's next expiry may have changed.
    changed: Notify,
    events: mpsc::UnboundedSender<(u64, WorkerEvent)>,
    /// True once the worker has ended for good.
    over: watch::Sender<bool>,
}

struct State {
    assignment: Assignment,
    worker: Option<Running>,
    generation: u64,
    /// Activities that waiting applications want and that have not come.
    wanted: i32,
    is_stopping: bool,
    /// Activities whose answers are on their way to the server.
    answering: HashMap<Bytes, Answering>,
    /// Histories that are being replayed, in the order in which their results will come.
    replaying: VecDeque<Replaying>,
}

/// Who waits for the result of a replay.
struct Replaying {
    application: String,
    /// As of an answer.
    waiting: Option<oneshot::Sender<ReplayResult>>,
}

/// Who waits for the server to have taken an activity's answer.
struct Answering {
    application: String,
    /// A request that is open for it; otherwise the application is told by an event.
    waiting: Option<oneshot::Sender<Option<CallError>>>,
}

struct Running {
    worker: Worker,
    is_ending: bool,
}

impl State {
    fn send(&self, requests: Vec<WorkerRequest>) {
        if let Some(running) = &self.worker {
            for request in requests {
                running.worker.request(request);
            }
        }
    }

    fn end_worker(&mut self) {
        if let Some(running) = &mut self.worker
            && !running.is_ending
        {
            running.is_ending = true;
            running.worker.request(WorkerRequest { request: Some(Request::Shutdown(InitiateShutdown {})) });
        }
    }

    fn end_if_deserted(&mut self) {
        if self.assignment.is_deserted() {
            self.end_worker();
        }
    }

    fn want(&mut self, count: i32) {
        self.wanted += count;
        self.send(vec![WorkerRequest { request: Some(Request::WantActivities(WantActivities { count })) }]);
    }
}

impl Queue {
    /// Checks the options by starting the worker once an application comes; nothing is polled before.
    pub(crate) fn new(client: Client, mut options: WorkerOptions, patience: Duration) -> Arc<Self> {
        options.activities_on_demand = true;
        let (events, received) = mpsc::unbounded_channel();
        let queue = Arc::new(Self {
            client,
            options,
            patience,
            state: Mutex::new(State {
                assignment: Assignment::new(patience),
                worker: None,
                generation: 0,
                wanted: 0,
                is_stopping: false,
                answering: HashMap::new(),
                replaying: VecDeque::new(),
            }),
            arrived: Notify::new(),
            changed: Notify::new(),
            events,
            over: watch::Sender::new(false),
        });
        tokio::spawn(Arc::clone(&queue).drive(received));
        queue
    }

    pub(crate) fn options(&self) -> &WorkerOptions {
        &self.options
    }

    /// Takes what the core says and looks after applications that are quiet.
    async fn drive(self: Arc<Self>, mut received: mpsc::UnboundedReceiver<(u64, WorkerEvent)>) {
        loop {
            let expiry = self.state.lock().assignment.next_expiry();
            let expired = async {
                match expiry {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = received.recv() => match event {
                    Some((generation, event)) => self.handle_event(generation, event),
                    None => return,
                },
                () = expired => {
                    let mut state = self.state.lock();
                    let requests = state.assignment.expire(Instant::now());
                    state.send(requests);
                    state.end_if_deserted();
                }
                () = self.changed.notified() => {}
            }
        }
    }

    fn handle_event(&self, generation: u64, event: WorkerEvent) {
        let mut state = self.state.lock();
        if generation != state.generation {
            return;
        }
        if let Some(Event::ShutDown(end)) = &event.event {
            let was_asked =
                state.worker.take().is_some_and(|running| running.is_ending) && end.fatal.is_none();
            if was_asked && !state.is_stopping {
                // It ended because nobody was there. Somebody may have come since.
                if !state.assignment.is_deserted()
                    && let Err(error) = self.start(&mut state)
                {
                    let fatal = ShutDown { fatal: Some(error) };
                    state.assignment.handle_event(WorkerEvent { event: Some(Event::ShutDown(fatal)) });
                }
                self.arrived.notify_waiters();
                return;
            }
            state.answering.clear();
            state.replaying.clear();
            self.over.send_replace(true);
        }
        if let Some(Event::ActivityAnswered(answered)) = &event.event
            && let Some(answering) = state.answering.remove(&answered.task_token)
        {
            match answering.waiting {
                // Whoever asked may have gone.
                Some(waiting) => drop(waiting.send(answered.error.clone())),
                None => {
                    state.assignment.tell(&answering.application, Event::ActivityAnswered(answered.clone()));
                }
            }
        }
        if let Some(Event::Replay(result)) = &event.event
            && let Some(replaying) = state.replaying.pop_front()
        {
            match replaying.waiting {
                Some(waiting) => drop(waiting.send(result.clone())),
                None => state.assignment.tell(&replaying.application, Event::Replay(result.clone())),
            }
        }
        if let Some(Event::ActivityStart(_)) = &event.event {
            state.wanted -= 1;
        }
        let requests = state.assignment.handle_event(event);
        state.send(requests);
        drop(state);
        self.arrived.notify_waiters();
    }

    fn start(&self, state: &mut State) -> Result<(), CallError> {
        state.generation += 1;
        let (generation, events) = (state.generation, self.events.clone());
        let sink = Arc::new(move |event| drop(events.send((generation, event))));
        let worker = Worker::start(&self.client, self.options.clone(), sink)?;
        state.worker = Some(Running { worker, is_ending: false });
        let count = state.wanted;
        state.send(vec![WorkerRequest { request: Some(Request::WantActivities(WantActivities { count })) }]);
        Ok(())
    }

    /// Notes that the application is there, for as long as the visit is kept.
    pub(crate) fn enter(self: &Arc<Self>, application: &str) -> Result<Visit, CallError> {
        let mut state = self.state.lock();
        if state.worker.is_none() && !state.is_stopping && state.assignment.ended().is_none() {
            self.start(&mut state)?;
        }
        state.assignment.enter(application);
        Ok(Visit { queue: Arc::clone(self), application: application.to_owned(), wanted: 0 })
    }

    /// The application says good-bye.
    pub(crate) fn remove_application(&self, application: &str) {
        let mut state = self.state.lock();
        let requests = state.assignment.remove_application(application);
        state.send(requests);
        state.end_if_deserted();
    }

    /// Takes an answer of the application. An activity's is on its way then: `waiting` hears when the server has it, or
    /// without that, the application, as an event.
    pub(crate) fn answer(
        &self,
        application: &str,
        request: WorkerRequest,
        waiting: Option<oneshot::Sender<Option<CallError>>>,
    ) -> Result<Taken, Refusal> {
        let mut state = self.state.lock();
        let mut taken = state.assignment.answer(application, request)?;
        if let Some(WorkerRequest { request: Some(Request::Activity(completion)) }) = &taken.request {
            let answering = Answering { application: application.to_owned(), waiting };
            state.answering.insert(completion.task_token.clone(), answering);
        }
        state.send(taken.request.take().into_iter().collect());
        Ok(taken)
    }

    /// Replays a history: applications of this queue get its activations. `waiting` hears the result, or without that, the
    /// application, as an event.
    pub(crate) fn replay(
        &self,
        application: &str,
        history: ReplayHistory,
        waiting: Option<oneshot::Sender<ReplayResult>>,
    ) -> Result<(), Refusal> {
        if !self.options.replay_only {
            return Err(Refusal::Malformed(format!(
                "`{}` is a task queue that is polled: add a [[worker]] of another name with replay_only = true",
                self.options.task_queue
            )));
        }
        let request = WorkerRequest { request: Some(Request::Replay(history)) };
        let mut state = self.state.lock();
        let taken = state.assignment.answer(application, request)?;
        state.replaying.push_back(Replaying { application: application.to_owned(), waiting });
        state.send(taken.request.into_iter().collect());
        Ok(())
    }

    /// Takes no new work, lets what is under way end within the graceful time-out, then ends.
    pub(crate) async fn shut_down(&self) {
        let graceful = self.options.graceful_shutdown_timeout.as_ref().and_then(|t| (*t).try_into().ok());
        let mut over = self.over.subscribe();
        {
            let mut state = self.state.lock();
            state.is_stopping = true;
            if state.worker.is_none() {
                let end = WorkerEvent { event: Some(Event::ShutDown(ShutDown::default())) };
                state.assignment.handle_event(end);
                self.over.send_replace(true);
            }
            state.end_worker();
        }
        self.arrived.notify_waiters();
        // Long enough for an answer that is on its way, and not for an application that may think about one for minutes.
        let patience = graceful.unwrap_or(Duration::ZERO) + self.patience.min(LAST_WORDS);
        if tokio::time::timeout(patience, over.wait_for(|over| *over)).await.is_ok() {
            return;
        }
        {
            let mut state = self.state.lock();
            let requests = state.assignment.remove_all_applications();
            state.send(requests);
        }
        if tokio::time::timeout(LAST_WORDS, over.wait_for(|over| *over)).await.is_err() {
            tracing::warn!(
                queue = self.options.task_queue,
                "the worker did not end; its tasks will time out"
            );
        }
    }
}

/// An application that is there: a request or a stream of it is open.
pub(crate) struct Visit {
    queue: Arc<Queue>,
    application: String,
    /// Activities that it has asked for and that have not come.
    wanted: i32,
}

impl Visit {
    pub(crate) fn application(&self) -> &str {
        &self.application
    }

    /// The next thing to do; waits for it. At the end of the worker, always `shut_down`.
    ///
    /// Dropped while it waits, nothing is lost.
    pub(crate) async fn next(&mut self, wants: Wants) -> WorkerEvent {
        loop {
            let queue = Arc::clone(&self.queue);
            let mut arrived = std::pin::pin!(queue.arrived.notified());
            arrived.as_mut().enable();
            if let Some(event) = self.take(wants) {
                return event;
            }
            arrived.await;
        }
    }

    fn take(&mut self, wants: Wants) -> Option<WorkerEvent> {
        let mut state = self.queue.state.lock();
        let event = state.assignment.take(&self.application, wants, Instant::now());
        self.queue.changed.notify_one();
        match &event {
            // What was wanted has come; a task that had come for somebody else is made up for.
            Some(WorkerEvent { event: Some(Event::ActivityStart(_)) }) => {
                if self.wanted > 0 {
                    self.wanted -= 1;
                } else {
                    state.want(1);
                }
            }
            Some(_) => {}
            None => {
                if let Some(end) = state.assignment.ended() {
                    return Some(WorkerEvent { event: Some(Event::ShutDown(end.clone())) });
                }
                let more = wants.activities.cast_signed() - self.wanted;
                if more != 0 {
                    self.wanted += more;
                    state.want(more);
                }
            }
        }
        event
    }

    /// The event could not be delivered.
    pub(crate) fn put_back(&mut self, event: WorkerEvent) {
        let mut state = self.queue.state.lock();
        if let Some(Event::ActivityStart(_)) = &event.event {
            state.want(-1);
        }
        state.assignment.put_back(&self.application, event);
        drop(state);
        self.queue.arrived.notify_waiters();
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        if self.wanted > 0 {
            state.want(-self.wanted);
        }
        state.assignment.leave(&self.application, Instant::now());
        drop(state);
        self.queue.changed.notify_one();
    }
}
