//! The core as a Node.js addon: [`durably_core::port`] for JavaScript, and no policy.
//!
//! Bytes go in; everything that the core has to say is taken in one buffer per [`Port::drain`], after one call of the
//! `wake` function on the event loop. Clients and workers are numbers in the port's tables, so that nothing depends on
//! when the garbage collector runs.

// Constructors and methods get their arguments from JavaScript by value.
#![allow(clippy::needless_pass_by_value)]

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use durably_core::port::{self, Content, Delivery, Running};
use napi::bindgen_prelude::{Buffer, Uint8Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Result, Status};
use napi_derive::napi;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::runtime::Runtime;

/// Calls JavaScript without arguments, and doesn't keep the process alive.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What a delivery in a drained buffer brings, as its header says.
#[derive(Clone, Copy)]
enum Kind {
    /// An encoded message: the response of the call, a `WorkflowResult` or a `WorkerEvent`.
    Message = 0,
    /// The number of a new client, 4 bytes in little-endian order.
    Client = 1,
    /// Nothing: the client is disconnected.
    Nothing = 2,
    /// An encoded `durably.core.v1.CallError`.
    Error = 3,
}

/// Before each delivery: `to` as a double, kind and length as u32, all in little-endian order.
const HEADER: usize = 16;

/// A queue between the core and this event loop. Numbers named `to` are the caller's; deliveries carry them.
#[napi]
pub struct Port {
    port: port::Port,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    next: u32,
    clients: HashMap<u32, port::Client>,
    workers: HashMap<u32, port::Worker>,
    running: HashMap<i64, Running>,
}

impl Tables {
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn client(&self, id: u32) -> Result<&port::Client> {
        self.clients.get(&id).ok_or_else(|| Error::from_reason("the connection is closed"))
    }
}

#[napi]
impl Port {
    /// `wake` is called on the event loop when there is something to drain after there was nothing.
    #[napi(constructor)]
    pub fn new(wake: Wake) -> Result<Self> {
        let handle = runtime()?.handle().clone();
        let port = port::Port::new(handle, move || {
            wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(Self { port, tables: Mutex::default() })
    }

    /// All that has gathered, oldest first: headers, each followed by its content.
    #[napi]
    pub fn drain(&self) -> Buffer {
        let deliveries = self.port.drain();
        let mut tables = self.tables.lock();
        let mut buffer = Vec::with_capacity(deliveries.iter().map(|d| HEADER + estimate(d)).sum());
        for Delivery { to, content } in deliveries {
            tables.running.remove(&(to as i64));
            let (kind, content) = match content {
                Content::Message(bytes) => (Kind::Message, bytes),
                Content::Client(client) => {
                    let id = tables.number();
                    tables.clients.insert(id, client);
                    (Kind::Client, Bytes::copy_from_slice(&id.to_le_bytes()))
                }
                Content::Nothing => (Kind::Nothing, Bytes::new()),
                Content::Error(error) => (Kind::Error, error.encode_to_vec().into()),
            };
            buffer.extend_from_slice(&(to as f64).to_le_bytes());
            buffer.extend_from_slice(&(kind as u32).to_le_bytes());
            buffer.extend_from_slice(&(content.len() as u32).to_le_bytes());
            buffer.extend_from_slice(&content);
        }
        buffer.into()
    }

    /// Connects by a `ConnectOptions`; delivers a client.
    #[napi]
    pub fn connect(&self, to: i64, options: Uint8Array) {
        self.begin(to, self.port.connect(to as u64, copied(&options)));
    }

    /// Carries out a `Call`; delivers the method's response message.
    #[napi]
    pub fn call(&self, client: u32, to: i64, call: Uint8Array) -> Result<()> {
        let running = self.port.call(self.tables.lock().client(client)?, to as u64, copied(&call));
        self.begin(to, running);
        Ok(())
    }

    /// Waits for a workflow's end by an `AwaitWorkflow`; delivers a `WorkflowResult`.
    #[napi]
    pub fn await_workflow(&self, client: u32, to: i64, request: Uint8Array) -> Result<()> {
        let running =
            self.port.await_workflow(self.tables.lock().client(client)?, to as u64, copied(&request));
        self.begin(to, running);
        Ok(())
    }

    /// Ends the connection for all its users; delivers nothing when an embedded server has everything on disk.
    #[napi]
    pub fn disconnect(&self, client: u32, to: i64) -> Result<()> {
        let mut tables = self.tables.lock();
        let running = self.port.disconnect(tables.client(client)?, to as u64);
        tables.clients.remove(&client);
        drop(tables);
        self.begin(to, running);
        Ok(())
    }

    /// The namespace and the identity that calls of this client carry by default.
    #[napi]
    pub fn names(&self, client: u32) -> Result<Vec<String>> {
        let tables = self.tables.lock();
        let client = tables.client(client)?;
        Ok(vec![client.namespace().to_owned(), client.identity().to_owned()])
    }

    /// Gives an operation up; nothing is delivered any more, unless it was already.
    #[napi]
    pub fn abort(&self, to: i64) {
        if let Some(running) = self.tables.lock().running.remove(&to) {
            running.abort();
        }
    }

    /// Starts a worker by a `WorkerOptions`; its `WorkerEvent`s are delivered to `to`. Throws what is wrong with them.
    #[napi]
    pub fn start_worker(&self, client: u32, to: i64, options: Uint8Array) -> Result<u32> {
        let mut tables = self.tables.lock();
        // Workers belong to the runtime's threads, not to this one.
        let _inside = runtime()?.enter();
        let started = self.port.start_worker(tables.client(client)?, to as u64, copied(&options));
        let worker = started.map_err(|error| Error::new(Status::InvalidArg, error.message))?;
        let id = tables.number();
        tables.workers.insert(id, worker);
        Ok(id)
    }

    /// Passes a `WorkerRequest` on; never waits.
    #[napi]
    pub fn request(&self, worker: u32, request: Uint8Array) -> Result<()> {
        let tables = self.tables.lock();
        let worker =
            tables.workers.get(&worker).ok_or_else(|| Error::from_reason("the worker has shut down"))?;
        self.port
            .request(worker, copied(&request))
            .map_err(|error| Error::new(Status::InvalidArg, error.message))
    }

    /// Forgets a worker, after its `ShutDown` event or to end it without waiting for answers.
    #[napi]
    pub fn free_worker(&self, worker: u32) {
        let freed = self.tables.lock().workers.remove(&worker);
        drop(freed);
    }

    fn begin(&self, to: i64, running: Running) {
        self.tables.lock().running.insert(to, running);
    }
}

/// The encoded `FileDescriptorSet` of all messages that cross.
#[napi]
pub fn descriptors() -> Buffer {
    durably_proto::DESCRIPTORS.to_vec().into()
}

/// Writes the core's log to standard error, filtered as `RUST_LOG` would say it. Only the first call counts.
#[napi]
pub fn install_logs(filter: String) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&filter)
        .map_err(|error| Error::from_reason(format!("`{filter}` is not a log filter: {error}")))?;
    let colors = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colors);
    let _ = lines.with_writer(std::io::stderr).try_init();
    Ok(())
}

/// One runtime for all threads of the process that load the addon.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("durably")
        .enable_all()
        .build()
        .map_err(|error| Error::from_reason(format!("cannot start threads: {error}")))?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// JavaScript may change or move its bytes as soon as the call has returned.
fn copied(bytes: &Uint8Array) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn estimate(delivery: &Delivery) -> usize {
    match &delivery.content {
        Content::Message(bytes) => bytes.len(),
        Content::Client(_) | Content::Nothing => 4,
        Content::Error(error) => error.message.len() + error.status.len() + 16,
    }
}
