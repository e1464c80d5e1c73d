//! A worker: its events arrive in a mailbox under the worker's id, activations of workflows in another one if the SDK
//! runs them elsewhere; its answers go out by `request`.

use std::sync::Arc;

use durably_proto::durably::core::v1::worker_event::Event;
use durably_proto::durably::core::v1::{WorkerEvent, WorkerRequest};
use prost::Message as _;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::client::{Client, contract, to_core};
use crate::mailbox::{Content, Mailbox};

#[pyclass(frozen, module = "durably._bridge")]
pub(crate) struct Worker {
    /// Also keeps the runtime alive.
    client: Client,
    core: durably_core::Worker,
}

#[pymethods]
impl Worker {
    /// Starts polling by a `WorkerOptions` message; `WorkerEvent`s arrive in the mailbox under `id`, but those with an
    /// activation in `workflows`, if it is given. Raises RuntimeError with `(code, message)` if the options are wrong.
    #[new]
    #[pyo3(signature = (client, mailbox, id, options, workflows=None))]
    fn new(
        client: &Client,
        mailbox: &Mailbox,
        id: u64,
        options: &Bound<'_, PyAny>,
        workflows: Option<&Mailbox>,
    ) -> PyResult<Self> {
        let options = to_core(options, "durably.core.v1.WorkerOptions")?;
        let index = contract("durably.core.v1.WorkerEvent")?;
        let others = mailbox.sink();
        let workflows = workflows.map_or_else(|| others.clone(), Mailbox::sink);
        let events = move |event: WorkerEvent| {
            let sink = if matches!(event.event, Some(Event::Workflow(_))) { &workflows } else { &others };
            sink.push(id, Content::Message { index, bytes: event.encode_to_vec().into() });
        };
        let core = durably_core::Worker::start(client.core()?, options, Arc::new(events))
            .map_err(|e| PyRuntimeError::new_err((e.code, e.message)))?;
        Ok(Self { client: client.clone(), core })
    }

    /// Passes a `WorkerRequest` message to the core; never blocks.
    fn request(&self, py: Python<'_>, request: &Bound<'_, PyAny>) -> PyResult<()> {
        self.client.core()?;
        let request: WorkerRequest = to_core(request, "durably.core.v1.WorkerRequest")?;
        py.detach(|| self.core.request(request));
        Ok(())
    }
}
