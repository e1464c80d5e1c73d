//! A worker: pollers, slots and drivers around the workflow machines and the activity tasks.

mod cache;
pub(crate) mod context;
mod large;
mod lifecycle;
pub(crate) mod poll;
pub(crate) mod rate;
mod respond;
mod runs;
pub(crate) mod settings;
pub(crate) mod slots;
pub(crate) mod steps;

use std::sync::Arc;

use durably_proto::durably::core::v1::{
    CallError, ReplayHistory, ReplayResult, WorkerEvent, WorkerOptions, WorkerRequest, WorkflowTaskError,
    evict::Reason, worker_event::Event, worker_request::Request,
};

use self::{context::Context, runs::Runs, settings::Settings};
use crate::{Client, activity::Activities};

/// Receives a worker's events, on any thread of the runtime. It must not block: it hands the event on and returns.
pub type EventSink = Arc<dyn Fn(WorkerEvent) + Send + Sync>;

/// A worker of one task queue. Dropped before its `ShutDown` event, it ends without waiting for answers: tasks that are
/// under way are left to the server's time-outs.
pub struct Worker {
    context: Arc<Context>,
    runs: Arc<Runs>,
    activities: Arc<Activities>,
}

impl Worker {
    /// What is wrong with `options`, as [`Worker::start`] would say it.
    pub fn check(options: &WorkerOptions) -> Result<(), CallError> {
        Settings::new(options.clone(), "").map(drop)
    }

    /// Starts polling and returns at once; callable from any thread. What is wrong with `options` is the error; what
    /// only the server can tell (an unknown namespace) arrives as a `ShutDown` event with `fatal`.
    pub fn start(client: &Client, options: WorkerOptions, sink: EventSink) -> Result<Self, CallError> {
        let client = client.in_namespace(&options.namespace)?;
        let settings = Settings::new(options, client.identity())?;
        let context = Arc::new(Context::new(client, settings, sink));
        let activities = Activities::new(Arc::clone(&context));
        let sticky_queue = format!("{}:{}", context.settings.identity, context.instance_key);
        let eager = context.settings.activities.then(|| Arc::clone(&activities));
        let runs = Runs::new(Arc::clone(&context), eager, &sticky_queue);
        context.client.runtime().spawn(lifecycle::run(
            Arc::clone(&context),
            Arc::clone(&runs),
            Arc::clone(&activities),
            sticky_queue,
        ));
        Ok(Self { context, runs, activities })
    }

    /// Passes on the SDK's answer or wish. Never blocks; callable from any thread. What follows arrives as events.
    /// After `ShutDown` it does nothing.
    pub fn request(&self, request: WorkerRequest) {
        match request.request {
            Some(Request::Workflow(completion)) => self.runs.handle_completion(completion),
            Some(Request::Activity(completion)) => self.activities.complete(completion),
            Some(Request::Heartbeat(heartbeat)) => self.activities.heartbeat(heartbeat),
            Some(Request::Replay(history)) => self.replay(history),
            Some(Request::Shutdown(_)) => self.context.stop(),
            Some(Request::Evict(evict)) => self.runs.handle_evict(&evict.run_id, Reason::Requested),
            Some(Request::WantActivities(want)) => self.activities.want(want.count),
            None => tracing::error!("an empty worker request was ignored"),
        }
    }

    fn replay(&self, history: ReplayHistory) {
        if self.context.settings.replay_only {
            self.runs.handle_replay(history);
            return;
        }
        let message =
            "this worker polls a task queue: start one with replay_only to replay histories".to_owned();
        self.context.emit(Event::Replay(ReplayResult {
            workflow_id: history.workflow_id,
            error: Some(WorkflowTaskError { message, ..Default::default() }),
            ..Default::default()
        }));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.context.abandon();
    }
}
