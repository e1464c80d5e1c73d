//! The tokio runtime that clients and workers run on.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::logs;

/// Threads and process of a runtime; alive as long as a client or the Python object is.
pub(crate) struct Threads {
    runtime: Option<tokio::runtime::Runtime>,
    process: u32,
}

impl Threads {
    /// The runtime's handle. Raises RuntimeError in a process forked from the one that made it: threads don't survive
    /// a fork.
    pub(crate) fn handle(&self) -> PyResult<&tokio::runtime::Handle> {
        if self.process != std::process::id() {
            return Err(PyRuntimeError::new_err(
                "this client or worker was made before the process forked, and its threads stayed in the parent; \
                 connect a new Client in the child",
            ));
        }
        let runtime = self.runtime.as_ref().map(tokio::runtime::Runtime::handle);
        runtime.ok_or_else(|| PyRuntimeError::new_err("the runtime is shut down"))
    }

    pub(crate) fn forked(&self) -> bool {
        self.process != std::process::id()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if self.process == std::process::id() {
            // Never waits: the dropping thread may hold the GIL.
            runtime.shutdown_background();
        } else {
            // There are no threads to stop in a forked child, and waiting for them would hang it.
            std::mem::forget(runtime);
        }
    }
}

#[pyclass(frozen, module = "durably._bridge")]
pub(crate) struct Runtime {
    pub(crate) threads: Arc<Threads>,
}

#[pymethods]
impl Runtime {
    /// Starts `threads` threads named "durably". `log_level` is a level of Python's logging; what the core logs at it
    /// or above goes to the logger "durably.core".
    #[new]
    #[pyo3(signature = (threads=2, log_level=30))]
    fn new(threads: usize, log_level: i32) -> PyResult<Self> {
        logs::forward(log_level)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("durably")
            .enable_all()
            .build()
            .map_err(|e| PyRuntimeError::new_err(format!("can't start the core's threads: {e}")))?;
        Ok(Self { threads: Arc::new(Threads { runtime: Some(runtime), process: std::process::id() }) })
    }

    /// Whether the process was forked since, so that this runtime can't be used.
    #[getter]
    fn forked(&self) -> bool {
        self.threads.forked()
    }
}
