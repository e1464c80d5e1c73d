//! A server in this process, called without a socket; or, if another process has the state file already, that
//! process's server over the Unix socket beside the file.
//!
//! Clients of one file share one server within the process. It shuts down when the last of them is closed or dropped.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Weak},
};

use durably_proto::durably::core::v1::{CallError, ConnectOptions};
use durably_server::{Handle, OpenError, Server, ServerOptions, State, open_or_join};
use parking_lot::Mutex;
use tonic::Code;

use super::Transport;
use crate::client::error::call_error;

/// Servers of state files that this process has open. The lock is held while a file is opened, so that two clients that
/// come at once find one server, and a client that comes during a shutdown waits for its end.
static OPEN: LazyLock<tokio::sync::Mutex<HashMap<PathBuf, Weak<Shared>>>> = LazyLock::new(Default::default);

/// One client's share in a server.
pub(crate) struct Embedded {
    transport: Transport,
    shared: Mutex<Option<Arc<Shared>>>,
}

/// The server itself; gone when its last client is.
struct Shared {
    server: Server,
    runtime: tokio::runtime::Handle,
    is_shut_down: std::sync::atomic::AtomicBool,
}

impl Embedded {
    /// Opens the state in memory (empty `path`) or in a file.
    pub(crate) async fn open(path: &str, options: &ConnectOptions) -> Result<Self, CallError> {
        if path.is_empty() {
            let server = Server::open(server_options(State::Memory, options))
                .await
                .map_err(|error| open_error(&error))?;
            return Self::owner(server, options).await;
        }
        // The directory exists even if the file doesn't yet; the server reports what is wrong with either.
        let key = canonical(Path::new(path));
        let mut open = OPEN.lock().await;
        open.retain(|_, shared| shared.strong_count() > 0);
        if let Some(shared) = open.get(&key).and_then(Weak::upgrade) {
            let transport = Transport::new(shared.server.service());
            return Ok(Self { transport, shared: Mutex::new(Some(shared)) });
        }
        match open_or_join(server_options(State::File(key.clone()), options))
            .await
            .map_err(|error| open_error(&error))?
        {
            Handle::Owner(server) => {
                let embedded = Self::owner(server, options).await?;
                if let Some(shared) = &*embedded.shared.lock() {
                    open.insert(key, Arc::downgrade(shared));
                }
                Ok(embedded)
            }
            Handle::Joined(channel) => {
                Ok(Self { transport: Transport::new(channel), shared: Mutex::new(None) })
            }
        }
    }

    async fn owner(server: Server, options: &ConnectOptions) -> Result<Self, CallError> {
        let transport = Transport::new(server.service());
        let runtime = tokio::runtime::Handle::current();
        let shared = Arc::new(Shared { server: server.clone(), runtime, is_shut_down: false.into() });
        let listen = options.embedded.as_ref().map_or("", |embedded| embedded.listen.as_str());
        if !listen.is_empty() {
            let address: SocketAddr = listen.parse().map_err(|_| {
                call_error(Code::InvalidArgument, format!("`{listen}` is no IP:PORT to listen on"))
            })?;
            let listener = Server::bind(address).await.map_err(|error| open_error(&error))?;
            tokio::spawn(async move { server.serve(listener).await });
        }
        Ok(Self { transport, shared: Mutex::new(Some(shared)) })
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Gives up this client's share; the last one shuts the server down and waits until its state is released.
    pub(crate) async fn close(&self) {
        let Some(shared) = self.shared.lock().take() else { return };
        // Nobody may find the server between here and its end.
        let _opening = OPEN.lock().await;
        if let Some(last) = Arc::into_inner(shared) {
            last.is_shut_down.store(true, std::sync::atomic::Ordering::Relaxed);
            last.server.shutdown().await;
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !self.is_shut_down.load(std::sync::atomic::Ordering::Relaxed) {
            // Dropped without `close`: the state is safe at any moment, so this only ends long polls and releases
            // the file sooner than the process's end does.
            let server = self.server.clone();
            self.runtime.spawn(async move { server.shutdown().await });
        }
    }
}

fn server_options(state: State, options: &ConnectOptions) -> ServerOptions {
    let mut server = ServerOptions { state, ..Default::default() };
    if let Some(embedded) = &options.embedded {
        server.time_skipping = embedded.time_skipping;
        server.namespaces.extend(embedded.namespaces.iter().cloned());
    }
    server
}

/// The same file under one name, also before it exists.
fn canonical(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match (directory.canonicalize(), path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}

fn open_error(error: &OpenError) -> CallError {
    let code = match error {
        OpenError::InvalidOption { .. } => Code::InvalidArgument,
        OpenError::Corrupt { .. } => Code::DataLoss,
        OpenError::Locked { .. } => Code::Unavailable,
        _ => Code::FailedPrecondition,
    };
    call_error(code, error.to_string())
}
