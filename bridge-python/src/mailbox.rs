//! How the core reaches an asyncio loop, or a thread that runs workflows: finished calls and worker events gather in a
//! mailbox, and whoever reads it takes all of them in one go.
//!
//! Only the step from empty to non-empty wakes the loop, by a byte on a socket that the loop watches, so that no Rust
//! thread ever waits for the GIL. Loops that can't watch sockets (Windows' proactor) are woken by a thread of the
//! mailbox that calls a Python function.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use bytes::Bytes;
use durably_core::CallError;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::client::Client;
use crate::codec;

/// What one delivery holds.
pub(crate) enum Content {
    /// A message, still encoded: it becomes an object on the loop's thread, which has the GIL anyway.
    Message {
        index: u32,
        bytes: Bytes,
    },
    /// A response whose type the codec does not know.
    Raw(Bytes),
    Client(Client),
    /// What Python posted.
    Object(Py<PyAny>),
    Nothing,
    Error(CallError),
}

/// What Rust threads hold of a mailbox.
pub(crate) struct Sink {
    mailbox: durably_core::mailbox::Mailbox<(u64, Content)>,
    wake: Arc<Wake>,
}

impl Sink {
    /// Hands over a delivery; never blocks, callable from any thread. After `close` it is dropped.
    pub(crate) fn push(&self, to: u64, content: Content) {
        self.mailbox.push((to, content));
    }
}

/// The mailbox of one event loop or thread.
#[pyclass(frozen, module = "durably._bridge")]
pub(crate) struct Mailbox {
    sink: Arc<Sink>,
}

impl Mailbox {
    pub(crate) fn sink(&self) -> Arc<Sink> {
        self.sink.clone()
    }
}

#[pymethods]
impl Mailbox {
    /// `Mailbox()` is watched through `fileno()`; `Mailbox(wake)` calls `wake()` from a thread of its own.
    #[new]
    #[pyo3(signature = (wake=None))]
    fn new(wake: Option<Py<PyAny>>) -> PyResult<Self> {
        let wake = match wake {
            Some(callback) => Wake::by_thread(callback)?,
            None => Wake::by_socket()?,
        };
        let wake = Arc::new(wake);
        let waker = Arc::clone(&wake);
        let mailbox = durably_core::mailbox::Mailbox::new(move || waker.wake());
        Ok(Self { sink: Arc::new(Sink { mailbox, wake }) })
    }

    /// The descriptor that becomes readable when there is something to drain.
    fn fileno(&self) -> PyResult<i32> {
        self.sink.wake.fileno()
    }

    /// Takes all deliveries: `[(id, value, error)]`, with `error` None or `(code, message, status)`.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.sink.wake.clear();
        let deliveries = self.sink.mailbox.drain();
        let drained = PyList::empty(py);
        for (to, content) in deliveries {
            match to_python(py, content) {
                Ok((value, None)) => drained.append((to, value, py.None()))?,
                Ok((value, Some(error))) => {
                    let status = PyBytes::new(py, &error.status);
                    drained.append((to, value, (error.code, error.message, status)))?;
                }
                Err(error) => {
                    let message = format!("the answer can't be read: {error}");
                    drained.append((to, py.None(), (INTERNAL, message, PyBytes::new(py, &[]))))?;
                }
            }
        }
        Ok(drained)
    }

    /// Hands over an object of Python's, from any thread.
    fn post(&self, id: u64, object: Py<PyAny>) {
        self.sink.push(id, Content::Object(object));
    }

    /// Drops what is queued and everything that comes later.
    fn close(&self) {
        self.sink.mailbox.close();
    }
}

/// gRPC's status code INTERNAL.
const INTERNAL: i32 = 13;

fn to_python(py: Python<'_>, content: Content) -> PyResult<(Py<PyAny>, Option<CallError>)> {
    Ok(match content {
        Content::Message { index, bytes } => (codec::decode(py, index, &bytes)?.unbind(), None),
        Content::Raw(bytes) => (PyBytes::new(py, &bytes).into_any().unbind(), None),
        Content::Client(client) => (Py::new(py, client)?.into_any(), None),
        Content::Object(object) => (object, None),
        Content::Nothing => (py.None(), None),
        Content::Error(error) => (py.None(), Some(error)),
    })
}

enum Wake {
    #[cfg(unix)]
    Socket {
        reader: std::os::unix::net::UnixStream,
        writer: std::os::unix::net::UnixStream,
    },
    Thread(Sender<()>),
}

impl Wake {
    #[cfg(unix)]
    fn by_socket() -> PyResult<Self> {
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Wake::Socket { reader, writer })
    }

    #[cfg(not(unix))]
    fn by_socket() -> PyResult<Self> {
        Err(PyOSError::new_err("this platform's mailboxes need a wake callback"))
    }

    fn by_thread(callback: Py<PyAny>) -> PyResult<Self> {
        let (sender, receiver) = channel::<()>();
        let run = move || {
            while receiver.recv().is_ok() {
                // None: the interpreter is going away. An error: the loop is closed. Nobody is left to wake.
                match Python::try_attach(|py| callback.call0(py).is_ok()) {
                    Some(true) => {}
                    _ => return,
                }
            }
        };
        let spawned = std::thread::Builder::new().name("durably-wake".into()).spawn(run);
        spawned.map_err(|e| PyRuntimeError::new_err(format!("can't start the mailbox's thread: {e}")))?;
        Ok(Wake::Thread(sender))
    }

    fn wake(&self) {
        match self {
            // A full socket buffer means that the loop has a wake-up waiting already.
            #[cfg(unix)]
            Wake::Socket { writer, .. } => drop(std::io::Write::write(&mut &*writer, &[1])),
            Wake::Thread(sender) => drop(sender.send(())),
        }
    }

    /// Takes the wake-ups back, before the queue is emptied.
    fn clear(&self) {
        #[cfg(unix)]
        if let Wake::Socket { reader, .. } = self {
            let mut bytes = [0; 64];
            while matches!(std::io::Read::read(&mut &*reader, &mut bytes), Ok(64)) {}
        }
    }

    fn fileno(&self) -> PyResult<i32> {
        match self {
            #[cfg(unix)]
            Wake::Socket { reader, .. } => Ok(std::os::fd::AsRawFd::as_raw_fd(reader)),
            Wake::Thread(_) => Err(PyOSError::new_err("this mailbox wakes its loop by a callback")),
        }
    }
}
