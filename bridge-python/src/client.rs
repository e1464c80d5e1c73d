//! A connection to a server. Every operation returns at once; its result arrives in a mailbox under the given id.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use durably_proto::{
    depth,
    durably::core::v1::{AwaitWorkflow, Call, ConnectOptions, call_result::Result as Answer},
};
use prost::{Message, Name};
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::codec;
use crate::mailbox::{Content, Mailbox};
use crate::runtime::{Runtime, Threads};

/// Encodes `object`, which must be the message `M` of the contract, and reads it into the core's type.
pub(crate) fn to_core<M: Message + Name + Default>(
    object: &Bound<'_, PyAny>,
    full_name: &str,
) -> PyResult<M> {
    let bytes = codec::encode_as(object, contract(full_name)?)?;
    depth::decode(Bytes::from(bytes)).map_err(|e| PyValueError::new_err(format!("{full_name}: {e}")))
}

/// The number of a message that this crate knows by name.
pub(crate) fn contract(full_name: &str) -> PyResult<u32> {
    let index = codec::codec().index_of(full_name);
    index.ok_or_else(|| PyRuntimeError::new_err(format!("{full_name} is missing from the descriptors")))
}

#[pyclass(frozen, module = "durably._bridge")]
#[derive(Clone)]
pub(crate) struct Client {
    // Dropped first, while the runtime lives.
    core: Core,
    threads: Arc<Threads>,
}

/// The core's client, whose end may need the runtime around it: an embedded server shuts down with it.
#[derive(Clone)]
struct Core {
    client: Option<durably_core::Client>,
    handle: tokio::runtime::Handle,
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.handle.spawn(async move { drop(client) });
        }
    }
}

impl Client {
    pub(crate) fn core(&self) -> PyResult<&durably_core::Client> {
        self.threads.handle()?;
        self.core.client.as_ref().ok_or_else(|| PyRuntimeError::new_err("the client is closed"))
    }

    /// Runs `work` on the runtime and delivers what it returns.
    fn spawn<F>(&self, mailbox: &Mailbox, id: u64, work: F) -> PyResult<Running>
    where
        F: Future<Output = Content> + Send + 'static,
    {
        spawn(&self.threads, mailbox, id, work)
    }
}

fn spawn<F>(threads: &Threads, mailbox: &Mailbox, id: u64, work: F) -> PyResult<Running>
where
    F: Future<Output = Content> + Send + 'static,
{
    let sink = mailbox.sink();
    let task = threads.handle()?.spawn(async move { sink.push(id, work.await) });
    Ok(Running { task: task.abort_handle() })
}

/// An operation under way.
#[pyclass(frozen, module = "durably._bridge")]
pub(crate) struct Running {
    task: tokio::task::AbortHandle,
}

#[pymethods]
impl Running {
    /// Gives the operation up; nothing is delivered any more, unless it was already.
    fn abort(&self) {
        self.task.abort();
    }
}

/// Connects by a `ConnectOptions` message; delivers a `Client`.
#[pyfunction]
pub(crate) fn connect(
    runtime: &Runtime,
    mailbox: &Mailbox,
    id: u64,
    options: &Bound<'_, PyAny>,
) -> PyResult<Running> {
    let options: ConnectOptions = to_core(options, "durably.core.v1.ConnectOptions")?;
    let threads = runtime.threads.clone();
    let handle = threads.handle()?.clone();
    let work = async move {
        match durably_core::Client::connect(options).await {
            Ok(client) => Content::Client(Client { threads, core: Core { client: Some(client), handle } }),
            Err(error) => Content::Error(error),
        }
    };
    spawn(&runtime.threads, mailbox, id, work)
}

#[pymethods]
impl Client {
    /// One call of a gRPC service; delivers the response message. `request` is the request message, or bytes for a
    /// service outside the descriptors, which then delivers bytes. `timeout` is in seconds, `clock` an `AwaitWorkflow.Clock`.
    #[pyo3(signature = (mailbox, id, service, method, request, timeout=None, metadata=None, retry=true, clock=0))]
    #[expect(
        clippy::too_many_arguments,
        reason = "it is a message spelled as arguments, to save building it in Python"
    )]
    fn call(
        &self,
        mailbox: &Mailbox,
        id: u64,
        service: &str,
        method: &str,
        request: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        metadata: Option<BTreeMap<String, String>>,
        retry: bool,
        clock: i32,
    ) -> PyResult<Running> {
        let (request, response) = if let Ok(bytes) = request.cast::<PyBytes>() {
            (bytes.as_bytes().to_vec(), None)
        } else {
            let (input, output) = method_types(service, method)?;
            (codec::encode_as(request, input)?, Some(output))
        };
        let call = Call {
            service: service.to_owned(),
            method: method.to_owned(),
            request: request.into(),
            timeout: timeout.map(duration).transpose()?,
            metadata: metadata.unwrap_or_default(),
            retry,
            clock,
        };
        // It begins now: the client may be closed before a thread gets to it.
        let call = self.core()?.call(call);
        self.spawn(mailbox, id, async move {
            match (call.await.result, response) {
                (Some(Answer::Response(bytes)), Some(index)) => Content::Message { index, bytes },
                (Some(Answer::Response(bytes)), None) => Content::Raw(bytes),
                (Some(Answer::Error(error)), _) => Content::Error(error),
                (None, _) => Content::Nothing,
            }
        })
    }

    /// Waits for a workflow by an `AwaitWorkflow` message; delivers a `WorkflowResult`.
    fn await_workflow(&self, mailbox: &Mailbox, id: u64, request: &Bound<'_, PyAny>) -> PyResult<Running> {
        let request: AwaitWorkflow = to_core(request, "durably.core.v1.AwaitWorkflow")?;
        let index = contract("durably.core.v1.WorkflowResult")?;
        let awaited = self.core()?.await_workflow(request);
        self.spawn(mailbox, id, async move {
            match awaited.await {
                Ok(result) => Content::Message { index, bytes: result.encode_to_vec().into() },
                Err(error) => Content::Error(error),
            }
        })
    }

    /// Ends the connection; delivers None when an embedded server has everything on disk.
    fn close(&self, mailbox: &Mailbox, id: u64) -> PyResult<Running> {
        let core = self.core()?.clone();
        self.spawn(mailbox, id, async move {
            core.close().await;
            Content::Nothing
        })
    }

    #[getter]
    fn namespace(&self) -> PyResult<String> {
        Ok(self.core()?.namespace().to_owned())
    }

    #[getter]
    fn identity(&self) -> PyResult<String> {
        Ok(self.core()?.identity().to_owned())
    }
}

fn method_types(service: &str, method: &str) -> PyResult<(u32, u32)> {
    let codec = codec::codec();
    let found = codec.pool().get_service_by_name(service);
    let found = found.and_then(|service| service.methods().find(|m| m.name() == method));
    let found = found.ok_or_else(|| PyKeyError::new_err(format!("{service} has no method {method}")))?;
    Ok((contract(found.input().full_name())?, contract(found.output().full_name())?))
}

/// Seconds from Python to the contract's duration.
fn duration(seconds: f64) -> PyResult<prost_types::Duration> {
    let parsed = std::time::Duration::try_from_secs_f64(seconds).ok();
    let parsed = parsed.and_then(|d| prost_types::Duration::try_from(d).ok());
    parsed.ok_or_else(|| PyValueError::new_err(format!("{seconds} s is not a valid time-out")))
}
