//! The smallest SDK that can run a workflow: what a language does on its side of `durably.core.v1`, in Rust, for tests.
//!
//! A workflow is an async function over a [`Context`], polled by hand on one thread; an activity is an async function
//! on the test's runtime. Payloads are plain strings.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a module that each test file uses a part of")]

mod context;
mod server;

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Poll, Waker},
};

pub use context::{Context, Outcome, seconds};
use durably_core::{Client, Worker};
use durably_proto::{
    durably::core::v1::{
        activity_completion, worker_event::Event, worker_request::Request, workflow_completion,
        workflow_job::Job, *,
    },
    temporal::api::{common::v1::Payload, failure::v1::Failure},
};
pub use server::*;
use tokio::sync::{mpsc as channel, watch};

type Program = Pin<Box<dyn Future<Output = Outcome>>>;
type Workflow = Box<dyn Fn(Context) -> Program + Send>;
type Activity =
    Arc<dyn Fn(Attempt) -> Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>> + Send + Sync>;

/// What a worker runs.
#[derive(Default)]
pub struct Registry {
    workflows: HashMap<&'static str, Workflow>,
    activities: HashMap<&'static str, Activity>,
}

impl Registry {
    pub fn workflow<F, Fut>(mut self, name: &'static str, workflow: F) -> Self
    where
        F: Fn(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + 'static,
    {
        self.workflows.insert(name, Box::new(move |context| Box::pin(workflow(context))));
        self
    }

    pub fn activity<F, Fut>(mut self, name: &'static str, activity: F) -> Self
    where
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, Failure>> + Send + 'static,
    {
        self.activities.insert(name, Arc::new(move |attempt| Box::pin(activity(attempt))));
        self
    }
}

/// One attempt of an activity.
#[derive(Clone)]
pub struct Attempt {
    pub start: ActivityStart,
    worker: Arc<Worker>,
    cancelled: watch::Receiver<Option<activity_cancel::Reason>>,
}

impl Attempt {
    pub fn input(&self) -> String {
        text(self.start.input.first())
    }

    pub fn heartbeat(&self, details: &str) {
        let heartbeat =
            ActivityHeartbeat { task_token: self.start.task_token.clone(), details: vec![payload(details)] };
        self.worker.request(WorkerRequest { request: Some(Request::Heartbeat(heartbeat)) });
    }

    /// Details of the last heartbeat of an earlier attempt.
    pub fn resumed(&self) -> String {
        text(self.start.heartbeat_details.first())
    }

    pub async fn cancelled(&mut self) -> activity_cancel::Reason {
        let reason = self.cancelled.wait_for(Option::is_some).await.expect("the SDK outlives its attempts");
        reason.expect("it was waited for")
    }
}

/// A worker with its SDK.
pub struct Sdk {
    pub worker: Arc<Worker>,
    shut_down: channel::UnboundedReceiver<ShutDown>,
    pub evictions: Arc<Mutex<Vec<evict::Reason>>>,
    replayed: channel::UnboundedReceiver<ReplayResult>,
    connectivity: channel::UnboundedReceiver<Connectivity>,
}

impl Sdk {
    pub fn start(client: &Client, options: WorkerOptions, registry: Registry) -> Self {
        let (events, inbox) = mpsc::channel();
        let sink = Arc::new(move |event: WorkerEvent| {
            // After the shutdown nobody listens.
            let _ = events.send(event);
        });
        let worker = Arc::new(Worker::start(client, options, sink).expect("the options are valid"));
        let (shut_down_sender, shut_down) = channel::unbounded_channel();
        let (replays, replayed) = channel::unbounded_channel();
        let (changes, connectivity) = channel::unbounded_channel();
        let evictions = Arc::new(Mutex::default());
        let host = Host {
            worker: Arc::clone(&worker),
            registry,
            attempts: HashMap::new(),
            runtime: client.runtime().clone(),
            evictions: Arc::clone(&evictions),
            replays,
            connectivity: changes,
        };
        std::thread::spawn(move || {
            if let Some(end) = host.run(&inbox) {
                let _ = shut_down_sender.send(end);
            }
        });
        Self { worker, shut_down, evictions, replayed, connectivity }
    }

    pub fn request(&self, request: Request) {
        self.worker.request(WorkerRequest { request: Some(request) });
    }

    pub async fn shut_down(mut self) -> ShutDown {
        self.request(Request::Shutdown(InitiateShutdown {}));
        self.ended().await
    }

    pub async fn ended(&mut self) -> ShutDown {
        self.shut_down.recv().await.expect("the worker sends ShutDown last")
    }

    pub async fn connectivity(&mut self) -> Connectivity {
        self.connectivity.recv().await.expect("the worker goes on")
    }

    pub async fn replayed(&mut self) -> ReplayResult {
        self.replayed.recv().await.expect("the worker runs")
    }
}

struct Run {
    context: Context,
    program: Option<Program>,
}

struct Host {
    worker: Arc<Worker>,
    registry: Registry,
    attempts: HashMap<bytes::Bytes, watch::Sender<Option<activity_cancel::Reason>>>,
    runtime: tokio::runtime::Handle,
    evictions: Arc<Mutex<Vec<evict::Reason>>>,
    replays: channel::UnboundedSender<ReplayResult>,
    connectivity: channel::UnboundedSender<Connectivity>,
}

impl Host {
    fn run(mut self, inbox: &mpsc::Receiver<WorkerEvent>) -> Option<ShutDown> {
        // Made here: what it holds never leaves this thread.
        let mut runs = HashMap::new();
        while let Ok(event) = inbox.recv() {
            match event.event.expect("an event has content") {
                Event::Workflow(activation) => self.activate(&mut runs, activation),
                Event::ActivityStart(start) => self.start(start),
                Event::ActivityCancel(cancel) => {
                    if let Some(attempt) = self.attempts.get(&cancel.task_token) {
                        attempt.send_replace(Some(cancel.reason()));
                    }
                }
                // Only workers that ask for activities one by one hear of their answers.
                Event::ActivityAnswered(_) => {}
                Event::Connectivity(changed) => drop(self.connectivity.send(changed)),
                Event::Replay(result) => drop(self.replays.send(result)),
                Event::ShutDown(end) => {
                    assert!(runs.is_empty(), "every run is evicted before the end");
                    return Some(end);
                }
            }
        }
        None
    }

    fn activate(&self, runs: &mut HashMap<String, Run>, activation: WorkflowActivation) {
        let run_id = activation.run_id.clone();
        let mut success = ActivationSuccess::default();
        for job in activation.jobs {
            match job.job.expect("a job has content") {
                Job::Initialize(init) => {
                    let context = Context::new(&init);
                    let workflow = &self.registry.workflows[init.workflow_type.as_str()];
                    let program = workflow(context.clone());
                    let former = runs.insert(run_id.clone(), Run { context, program: Some(program) });
                    assert!(former.is_none(), "a run is initialized once");
                }
                Job::Evict(evict) => {
                    self.evictions.lock().expect("no test panics with it").push(evict.reason());
                    runs.remove(&run_id).expect("only cached runs are evicted");
                }
                job => runs[&run_id].context.apply(job),
            }
        }
        if let Some(run) = runs.get_mut(&run_id) {
            if let Some(program) = &mut run.program {
                let mut waker = std::task::Context::from_waker(Waker::noop());
                if let Poll::Ready(outcome) = program.as_mut().poll(&mut waker) {
                    run.program = None;
                    run.context.finish(outcome);
                }
            }
            success.commands = run.context.take_commands();
        }
        let status = Some(workflow_completion::Status::Success(success));
        let completion = WorkflowCompletion { run_id, status };
        self.worker.request(WorkerRequest { request: Some(Request::Workflow(completion)) });
    }

    fn start(&mut self, start: ActivityStart) {
        let (sender, cancelled) = watch::channel(None);
        let task_token = start.task_token.clone();
        self.attempts.insert(task_token.clone(), sender);
        let activity = Arc::clone(&self.registry.activities[start.activity_type.as_str()]);
        let worker = Arc::clone(&self.worker);
        self.runtime.spawn(async move {
            let ended = activity(Attempt { start, worker: Arc::clone(&worker), cancelled }).await;
            let status = match ended {
                Ok(result) => {
                    let result = Some(payload(&result));
                    activity_completion::Status::Completed(ActivitySuccess { result })
                }
                Err(failure) if is_cancellation(&failure) => activity_completion::Status::Cancelled(failure),
                Err(failure) => activity_completion::Status::Failed(failure),
            };
            let completion = ActivityCompletion { task_token, status: Some(status) };
            worker.request(WorkerRequest { request: Some(Request::Activity(completion)) });
        });
    }
}

pub fn payload(text: &str) -> Payload {
    let metadata = [("encoding".to_owned(), bytes::Bytes::from_static(b"binary/plain"))].into();
    Payload { metadata, data: text.to_owned().into(), ..Default::default() }
}

pub fn text(payload: Option<&Payload>) -> String {
    payload.map(|p| String::from_utf8(p.data.to_vec()).expect("tests send text")).unwrap_or_default()
}

pub fn failure(message: &str) -> Failure {
    use durably_proto::temporal::api::failure::v1::{ApplicationFailureInfo, failure::FailureInfo};
    let info = FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo::default());
    Failure { message: message.to_owned(), failure_info: Some(info), ..Default::default() }
}

pub fn cancellation() -> Failure {
    use durably_proto::temporal::api::failure::v1::{CanceledFailureInfo, failure::FailureInfo};
    let info = FailureInfo::CanceledFailureInfo(CanceledFailureInfo::default());
    Failure { message: "cancelled".to_owned(), failure_info: Some(info), ..Default::default() }
}

fn is_cancellation(failure: &Failure) -> bool {
    use durably_proto::temporal::api::failure::v1::failure::FailureInfo;
    matches!(failure.failure_info, Some(FailureInfo::CanceledFailureInfo(_)))
}
