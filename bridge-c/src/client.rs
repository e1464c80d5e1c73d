//! Connections and what is asked through them.

use std::sync::Arc;

use durably_core::port;

use crate::handles::Handles;
use crate::port::{Inner, PORTS, Port};
use crate::status::{Status, bytes_of, guard};

/// A connection to a server. Free it with `durably_client_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Client {
    pub id: u64,
}

pub(crate) static CLIENTS: Handles<Connected> = Handles::new();

/// A client, with the port that delivers to it. Fields are dropped in order: the client while its runtime lives.
pub(crate) struct Connected {
    pub(crate) client: port::Client,
    pub(crate) port: Arc<Inner>,
}

impl Client {
    pub(crate) fn enter(client: port::Client, port: Arc<Inner>) -> u64 {
        CLIENTS.insert(Connected { client, port })
    }
}

/// Connects by a `durably.core.v1.ConnectOptions`. Delivers a client, or an error, to `to`.
///
/// # Safety
/// `options` has `length` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_connect(port: Port, to: u64, options: *const u8, length: usize) -> Status {
    guard(|| {
        let inner = PORTS.get(port.id)?;
        // SAFETY: the caller's promise.
        let options = unsafe { bytes_of(options, length)? };
        inner.begin(to, |port| port.connect(to, options));
        Ok(())
    })
}

/// Carries out a `durably.core.v1.Call`. Delivers the method's response message, or an error, to `to`.
///
/// # Safety
/// `call` has `length` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_client_call(
    client: Client,
    to: u64,
    call: *const u8,
    length: usize,
) -> Status {
    guard(|| {
        let connected = CLIENTS.get(client.id)?;
        // SAFETY: the caller's promise.
        let call = unsafe { bytes_of(call, length)? };
        connected.port.begin(to, |port| port.call(&connected.client, to, call));
        Ok(())
    })
}

/// Waits for a workflow's end by a `durably.core.v1.AwaitWorkflow`. Delivers a `WorkflowResult`, or an error, to `to`.
///
/// # Safety
/// `request` has `length` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_client_await_workflow(
    client: Client,
    to: u64,
    request: *const u8,
    length: usize,
) -> Status {
    guard(|| {
        let connected = CLIENTS.get(client.id)?;
        // SAFETY: the caller's promise.
        let request = unsafe { bytes_of(request, length)? };
        connected.port.begin(to, |port| port.await_workflow(&connected.client, to, request));
        Ok(())
    })
}

/// Ends the connection. Delivers nothing to `to` when that is done, and an embedded server has everything on disk. The
/// handle still has to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn durably_client_disconnect(client: Client, to: u64) -> Status {
    guard(|| {
        let connected = CLIENTS.get(client.id)?;
        connected.port.begin(to, |port| port.disconnect(&connected.client, to));
        Ok(())
    })
}

/// Frees a client; workers that use it go on.
#[unsafe(no_mangle)]
pub extern "C" fn durably_client_free(client: Client) -> Status {
    guard(|| CLIENTS.remove(client.id).map(drop))
}
