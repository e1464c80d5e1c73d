//! A worker: pollers, slots and drivers around the workflow machines and the activity tasks.

use std::sync::Arc;

use durably_proto::durably::core::v1::{CallError, WorkerEvent, WorkerOptions, WorkerRequest};

use crate::Client;

/// Receives a worker's events, on any thread of the runtime. It must not block: it hands the event on and returns.
pub type EventSink = Arc<dyn Fn(WorkerEvent) + Send + Sync>;

/// A worker of one task queue. Dropping it begins its shutdown, as `InitiateShutdown` does.
pub struct Worker {
    _client: Client,
}

impl Worker {
    /// Starts polling and returns at once; callable from any thread. What is wrong with `options` is the error; what
    /// only the server can tell (an unknown namespace) arrives as a `ShutDown` event with `fatal`.
    pub fn start(client: &Client, options: WorkerOptions, sink: EventSink) -> Result<Self, CallError> {
        let _ = (options, sink);
        Ok(Self { _client: client.clone() })
    }

    /// Passes on the SDK's answer or wish. Never blocks; callable from any thread. What follows arrives as events.
    /// After `ShutDown` it does nothing.
    pub fn request(&self, request: WorkerRequest) {
        let _ = request;
    }
}
