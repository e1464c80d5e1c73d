//! Workers.

use std::sync::Arc;

use durably_core::port;

use crate::client::{CLIENTS, Client};
use crate::handles::Handles;
use crate::port::Inner;
use crate::status::{Error, Status, bytes_of, guard, out, refuse};

/// A worker of one task queue. Free it with `durably_worker_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Worker {
    pub id: u64,
}

static WORKERS: Handles<Working> = Handles::new();

/// A worker, with its port. Fields are dropped in order: the worker while its runtime lives.
struct Working {
    worker: port::Worker,
    port: Arc<Inner>,
}

/// Starts a worker by a `durably.core.v1.WorkerOptions`; its `WorkerEvent`s are delivered to `to` until one is
/// `shut_down`. `error` may be NULL.
///
/// # Safety
/// `options` has `length` readable bytes; `worker` and `error` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_worker_start(
    client: Client,
    to: u64,
    options: *const u8,
    length: usize,
    worker: *mut Worker,
    error: *mut Error,
) -> Status {
    guard(|| {
        let worker = out(worker)?;
        let connected = CLIENTS.get(client.id)?;
        // SAFETY: the caller's promise.
        let options = unsafe { bytes_of(options, length)? };
        let port = Arc::clone(&connected.port);
        // SAFETY: the caller's promise.
        let started = port.port.start_worker(&connected.client, to, options);
        let started = started.map_err(|why| unsafe { refuse(error, &why) })?;
        // SAFETY: checked for NULL, and writable by the caller's promise.
        unsafe { worker.write(Worker { id: WORKERS.insert(Working { worker: started, port }) }) };
        Ok(())
    })
}

/// Passes a `durably.core.v1.WorkerRequest` on; never waits. `error` may be NULL.
///
/// # Safety
/// `request` has `length` readable bytes; `error` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_worker_request(
    worker: Worker,
    request: *const u8,
    length: usize,
    error: *mut Error,
) -> Status {
    guard(|| {
        let working = WORKERS.get(worker.id)?;
        // SAFETY: the caller's promise.
        let request = unsafe { bytes_of(request, length)? };
        // SAFETY: the caller's promise.
        working.port.port.request(&working.worker, request).map_err(|why| unsafe { refuse(error, &why) })
    })
}

/// Frees a worker. Before its `shut_down` event it ends without waiting for answers: tasks that are under way are left
/// to the server's time-outs.
#[unsafe(no_mangle)]
pub extern "C" fn durably_worker_free(worker: Worker) -> Status {
    guard(|| WORKERS.remove(worker.id).map(drop))
}
