//! What all parts of one worker share: its client, its settings, its sink, and how far its shutdown has come.

use std::{sync::OnceLock, time::Duration};

use durably_proto::durably::core::v1::{CallError, Connectivity, ShutDown, WorkerEvent, worker_event};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::Code;

use super::{EventSink, settings::Settings};
use crate::{
    Client,
    client::{CALL_TIMEOUT, retry::is_retryable},
};

/// How long an answer that the server must get is offered again and again while the server can't be reached.
const PATIENCE: Duration = Duration::from_mins(10);

/// How far the shutdown has come.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    Running,
    /// Nothing new is taken; what runs may end.
    Stopping,
    /// Nobody answers any more.
    Abandoned,
}

pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    /// Tells the server which polls belong together.
    pub(crate) instance_key: String,
    sink: EventSink,
    phase: watch::Sender<Phase>,
    fatal: Mutex<Option<CallError>>,
    /// Whether the SDK was told that the server is away.
    is_away: Mutex<bool>,
    /// What one payload may take in bytes, if the server has said it.
    payload_limit: OnceLock<usize>,
}

impl Context {
    pub(crate) fn new(client: Client, settings: Settings, sink: EventSink) -> Self {
        Self {
            client,
            settings,
            instance_key: uuid::Uuid::new_v4().to_string(),
            sink,
            phase: watch::Sender::new(Phase::Running),
            fatal: Mutex::new(None),
            is_away: Mutex::new(false),
            payload_limit: OnceLock::new(),
        }
    }

    pub(super) fn limit_payloads(&self, bytes: usize) {
        let _ = self.payload_limit.set(bytes);
    }

    /// What the arguments, or the result, of one thing may take in bytes; `None` if the server hasn't said it.
    pub(super) fn payload_limit(&self) -> Option<usize> {
        self.payload_limit.get().copied()
    }

    pub(crate) fn emit(&self, event: worker_event::Event) {
        (self.sink)(WorkerEvent { event: Some(event) });
    }

    /// Begins the shutdown; later calls change nothing.
    pub(crate) fn stop(&self) {
        self.reach(Phase::Stopping);
    }

    /// Ends the worker without waiting for answers: there is nobody left to give them.
    pub(crate) fn abandon(&self) {
        self.reach(Phase::Abandoned);
    }

    fn reach(&self, reached: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_later = *phase < reached;
            if is_later {
                *phase = reached;
            }
            is_later
        });
    }

    /// Begins the shutdown because the worker can't go on. The first reason is the one that counts.
    pub(crate) fn fail(&self, error: CallError) {
        self.fatal.lock().get_or_insert(error);
        self.stop();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.phase.borrow() >= Phase::Stopping
    }

    /// Returns once the shutdown has begun.
    pub(crate) async fn stopped(&self) {
        // The sender lives in `self`, so the only way out is the value.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= Phase::Stopping).await;
    }

    pub(crate) async fn abandoned(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Abandoned).await;
    }

    /// Tells the SDK that the server is away, or is back, unless it knows.
    pub(crate) fn tell_connectivity(&self, lost: Option<CallError>) {
        let mut is_away = self.is_away.lock();
        if *is_away != lost.is_some() {
            *is_away = lost.is_some();
            self.emit(worker_event::Event::Connectivity(Connectivity { lost }));
        }
    }

    pub(crate) fn emit_shut_down(&self) {
        let fatal = self.fatal.lock().take();
        self.emit(worker_event::Event::ShutDown(ShutDown { fatal }));
    }

    /// Sends an answer that would be costly to lose: work that is done would be done again. Goes on past the usual
    /// retries while the server is away, except during shutdown.
    pub(crate) async fn deliver<Request, Response>(
        &self,
        path: &'static str,
        request: &Request,
    ) -> Result<Response, CallError>
    where
        Request: prost::Message,
        Response: prost::Message + prost::Name + Default + 'static,
    {
        let started = tokio::time::Instant::now();
        loop {
            let policy = self.client.retry_policy();
            let result = self.client.rpc(path, request, CALL_TIMEOUT, Some(policy)).await;
            let Err(error) = result else { return result };
            let code = Code::from(error.code);
            if !is_retryable(code, &error.message) || self.is_stopping() || started.elapsed() > PATIENCE {
                return Err(error);
            }
            tracing::warn!(path, error = error.message, "the server can't take an answer, trying on");
        }
    }
}
