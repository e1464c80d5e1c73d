//! A worker: its events arrive in a mailbox under the worker's id, its answers go out by `request`.

use std::sync::Arc;

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
    /// Starts polling by a `WorkerOptions` message; `WorkerEvent`s arrive in the mailbox under `id`. Raises
    /// RuntimeError with `(code, message)` if the options are wrong.
    #[new]
    fn new(client: &Client, mailbox: &Mailbox, id: u64, options: &Bound<'_, PyAny>) -> PyResult<Self> {
        let options = to_core(options, "durably.core.v1.WorkerOptions")?;
        let index = contract("durably.core.v1.WorkerEvent")?;
        let sink = mailbox.sink();
        let events = move |event: WorkerEvent| {
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
