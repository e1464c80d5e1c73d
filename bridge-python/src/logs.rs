//! The core's log records go to Python's logging, through a bounded queue and a thread of its own: whoever logs in Rust
//! never waits for the GIL.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Once, OnceLock};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// Records waiting for Python; more are dropped.
const QUEUE: usize = 1024;
/// Failures of workflow tasks, which the SDK logs itself: once, with the user's line.
const LEFT_OUT: &str = "durably_core::task_failed";
/// The lowest level of Python's logging that is forwarded.
static LEVEL: AtomicI32 = AtomicI32::new(30);
static FAILED: OnceLock<String> = OnceLock::new();

struct Record {
    level: i32,
    text: String,
}

/// Starts forwarding, once per process; the level is that of the last call.
pub(crate) fn forward(level: i32) -> PyResult<()> {
    static ONCE: Once = Once::new();
    LEVEL.store(level, Ordering::Relaxed);
    ONCE.call_once(|| {
        let (sender, receiver) = sync_channel(QUEUE);
        let spawned = std::thread::Builder::new().name("durably-logs".into()).spawn(move || run(&receiver));
        if let Err(error) = spawned {
            let _ = FAILED.set(error.to_string());
            return;
        }
        // Another extension of this process can't have set it: the default is per shared library.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(Forward { sender }));
    });
    match FAILED.get() {
        None => Ok(()),
        Some(error) => Err(PyRuntimeError::new_err(format!("can't start the thread for logs: {error}"))),
    }
}

fn run(records: &Receiver<Record>) {
    while let Ok(record) = records.recv() {
        let logged = Python::try_attach(|py| log(py, &record));
        // None: the interpreter is going away. An error of a logging handler is not ours to report.
        if logged.is_none() {
            return;
        }
    }
}

fn log(py: Python<'_>, record: &Record) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("durably.core",))?;
    logger.call_method1("log", (record.level, "%s", &record.text))?;
    Ok(())
}

fn python_level(level: Level) -> i32 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

fn is_forwarded(target: &str) -> bool {
    target.starts_with("durably") && target != LEFT_OUT
}

struct Forward {
    sender: SyncSender<Record>,
}

impl<S: Subscriber> Layer<S> for Forward {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_forwarded(metadata.target()) { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_forwarded(metadata.target()) && python_level(*metadata.level()) >= LEVEL.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let record =
            Record { level: python_level(*event.metadata().level()), text: text.message + &text.fields };
        let _ = self.sender.try_send(record);
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
