//! A port with threads of its own: where everything that the core has to say is taken from.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use durably_core::port::{self, Content, Delivery, Running};
use parking_lot::{Mutex, ReentrantMutex};
use prost::Message as _;

use crate::client::Client;
use crate::handles::Handles;
use crate::status::{Status, guard, out};

/// A port. Free it with `durably_port_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Port {
    pub id: u64,
}

/// Called on a thread of the library when there is something to drain after there was nothing. It must return soon, and
/// may call any function of this library.
pub type Wake = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// What a delivery brings.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An encoded message: the response of the call, a `WorkflowResult` or a `WorkerEvent`.
    Message = 0,
    /// The handle of a new client, 8 bytes: the `id` of a `DurablyClient`, which the receiver has to free.
    Client = 1,
    /// Nothing: the client is disconnected.
    Nothing = 2,
    /// An encoded `durably.core.v1.CallError`.
    Error = 3,
}

/// Precedes each delivery in a drained buffer. `length` bytes of content follow, then padding up to a multiple of 8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    /// The number that the host gave the operation or the worker.
    pub to: u64,
    /// A `DurablyKind`.
    pub kind: u32,
    pub length: u32,
}

const HEADER: usize = size_of::<Header>();

pub(crate) static PORTS: Handles<Inner> = Handles::new();

/// The port of the core with what C needs around it.
pub(crate) struct Inner {
    pub(crate) port: port::Port,
    gate: Arc<Gate>,
    /// Operations under way by their number, so that they can be aborted.
    running: Mutex<HashMap<u64, Running>>,
    /// Drained from the core but not yet by the host, whose buffer was full.
    rest: Mutex<Vec<Record>>,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

/// One delivery, ready to be written.
struct Record {
    to: u64,
    kind: Kind,
    content: bytes::Bytes,
}

impl Record {
    fn size(&self) -> usize {
        HEADER + self.content.len().next_multiple_of(8)
    }
}

/// Keeps wake-ups from outliving the port: what `close` has returned from, no wake-up follows.
struct Gate {
    open: ReentrantMutex<std::cell::Cell<bool>>,
}

impl Gate {
    fn pass(&self, wake: impl FnOnce()) {
        let open = self.open.lock();
        if open.get() {
            wake();
        }
    }

    fn close(&self) {
        self.open.lock().set(false);
    }
}

impl Inner {
    fn start(threads: u32, wake: impl Fn() + Send + Sync + 'static) -> Result<Self, Status> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(if threads == 0 { 2 } else { threads as usize })
            .thread_name("durably")
            .enable_all()
            .build()
            .map_err(|_| Status::System)?;
        let gate = Arc::new(Gate { open: ReentrantMutex::new(std::cell::Cell::new(true)) });
        let gate_of_wake = Arc::clone(&gate);
        let port = port::Port::new(runtime.handle().clone(), move || gate_of_wake.pass(&wake));
        Ok(Self {
            port,
            gate,
            running: Mutex::default(),
            rest: Mutex::default(),
            runtime: Mutex::new(Some(runtime)),
        })
    }

    /// Begins an operation that can be aborted by its number until its delivery is drained.
    pub(crate) fn begin(&self, to: u64, operation: impl FnOnce(&port::Port) -> Running) {
        // Held while it begins, so that a drain can't see its delivery before it is entered.
        let mut running = self.running.lock();
        let begun = operation(&self.port);
        running.insert(to, begun);
    }

    fn records(self: &Arc<Self>) -> Vec<Record> {
        let deliveries = self.port.drain();
        let mut running = self.running.lock();
        deliveries
            .into_iter()
            .map(|Delivery { to, content }| {
                running.remove(&to);
                let (kind, content) = match content {
                    Content::Message(bytes) => (Kind::Message, bytes),
                    Content::Client(client) => {
                        let id = Client::enter(client, Arc::clone(self));
                        (Kind::Client, bytes::Bytes::copy_from_slice(&id.to_ne_bytes()))
                    }
                    Content::Nothing => (Kind::Nothing, bytes::Bytes::new()),
                    Content::Error(error) => (Kind::Error, error.encode_to_vec().into()),
                };
                Record { to, kind, content }
            })
            .collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            // Never waits: the dropping thread may be one of the runtime's own.
            runtime.shutdown_background();
        }
    }
}

/// Makes a port with `threads` threads (0: two) that calls `wake(context)`. `wake` may be NULL for a host that drains
/// at its own pace. `context` must stay valid until `durably_port_free` has returned; after that, `wake` isn't called.
///
/// # Safety
/// `port` is NULL or writable; `wake` may be called on any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_port_new(
    threads: u32,
    wake: Wake,
    context: *mut c_void,
    port: *mut Port,
) -> Status {
    guard(|| {
        let port = out(port)?;
        let context = context as usize;
        let inner = Inner::start(threads, move || {
            if let Some(wake) = wake {
                // SAFETY: the caller promised that `wake` may be called with `context` until the port is freed.
                unsafe { wake(context as *mut c_void) };
            }
        })?;
        // SAFETY: checked for NULL, and writable by the caller's promise.
        unsafe { port.write(Port { id: PORTS.insert(inner) }) };
        Ok(())
    })
}

/// As `durably_port_new`, but wakes by writing eight bytes to `descriptor` (a pipe, a socket or an eventfd set to not
/// block). The descriptor is duplicated; the caller keeps and closes its own. Not on Windows.
///
/// # Safety
/// `port` is NULL or writable.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_port_new_fd(threads: u32, descriptor: i32, port: *mut Port) -> Status {
    use std::io::Write as _;
    use std::os::fd::BorrowedFd;

    guard(|| {
        let port = out(port)?;
        if descriptor < 0 {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: not -1; that it is open is checked by duplicating it, which fails otherwise.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let owned = borrowed.try_clone_to_owned().map_err(|_| Status::System)?;
        let file = std::fs::File::from(owned);
        // An eventfd takes eight bytes, and so does anything else. When it is full, a wake-up is waiting already.
        let inner = Inner::start(threads, move || drop((&file).write(&1_u64.to_ne_bytes())))?;
        // SAFETY: checked for NULL, and writable by the caller's promise.
        unsafe { port.write(Port { id: PORTS.insert(inner) }) };
        Ok(())
    })
}

/// Writes deliveries, oldest first, each a `DurablyHeader` and its content padded to 8 bytes, into `buffer`, and their
/// total size into `length` (0: there are none). Never waits.
///
/// Returns MORE when some had no room, and TOO_SMALL, with the size that is needed in `length`, when none had.
///
/// # Safety
/// `buffer` has `capacity` writable bytes and is aligned to 8; `length` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_port_drain(
    port: Port,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> Status {
    guard(|| {
        let (buffer, length) = (out(buffer)?, out(length)?);
        let inner = PORTS.get(port.id)?;
        let mut rest = inner.rest.lock();
        let new = inner.records();
        rest.extend(new);
        let mut used = 0;
        let mut fitting = 0;
        for record in rest.iter() {
            if u32::try_from(record.content.len()).is_err() || record.size() > capacity - used {
                break;
            }
            // SAFETY: `used + record.size()` is at most `capacity`, which is writable by the caller's promise.
            unsafe { write_record(buffer.add(used), record) };
            used += record.size();
            fitting += 1;
        }
        rest.drain(..fitting);
        let (written, status) = match rest.first() {
            None => (used, Ok(())),
            Some(_) if fitting > 0 => (used, Err(Status::More)),
            Some(record) => (record.size(), Err(Status::TooSmall)),
        };
        // SAFETY: checked for NULL, and writable by the caller's promise.
        unsafe { length.write(written) };
        status
    })
}

/// # Safety
/// `into` has `record.size()` writable bytes.
unsafe fn write_record(into: *mut u8, record: &Record) {
    let content = &record.content;
    let header = Header { to: record.to, kind: record.kind as u32, length: content.len() as u32 };
    // SAFETY: the caller's promise; the header is written unaligned, so that a misaligned buffer only costs time.
    unsafe {
        into.cast::<Header>().write_unaligned(header);
        content.as_ptr().copy_to_nonoverlapping(into.add(HEADER), content.len());
        into.add(HEADER + content.len()).write_bytes(0, record.size() - HEADER - content.len());
    }
}

/// Gives up the operation with the number `to`: nothing is delivered any more, unless it was already. A number that
/// has no operation is none to give up, and OK.
#[unsafe(no_mangle)]
pub extern "C" fn durably_port_abort(port: Port, to: u64) -> Status {
    guard(|| {
        if let Some(running) = PORTS.get(port.id)?.running.lock().remove(&to) {
            running.abort();
        }
        Ok(())
    })
}

/// Frees a port: what is queued is dropped, nothing is delivered and nobody woken any more. Its threads end when its
/// clients and workers are freed too. An embedded server writes everything to disk when its client is disconnected, so
/// await that first.
#[unsafe(no_mangle)]
pub extern "C" fn durably_port_free(port: Port) -> Status {
    guard(|| {
        let inner = PORTS.remove(port.id)?;
        inner.gate.close();
        inner.port.close();
        Ok(())
    })
}
