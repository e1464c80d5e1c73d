//! A server in this process, called without a socket; or, if another process has the state file already, that
//! process's server over the Unix socket beside the file.
//!
//! Clients of one file share one server within the process. It shuts down when the last of them is closed or dropped.
//! When the other process ends, the clients here take the file over.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use durably_proto::durably::core::v1::{CallError, ConnectOptions};
use durably_server::{Handle, Joined, OpenError, Server, ServerOptions, Service, State, open_or_join};
use parking_lot::Mutex;
use tonic::{Code, body::Body};
use tower::{BoxError, Service as _};

use super::{Answer, Answered, Carried, Carrier, Carry, Transport};
use crate::client::error::call_error;

/// Servers of state files that this process has open. The lock is held while a file is opened, so that two clients that
/// come at once find one server, and a client that comes during a shutdown waits for its end.
static OPEN: LazyLock<tokio::sync::Mutex<Registry>> = LazyLock::new(Default::default);

/// One client's share in a server.
pub(crate) struct Embedded {
    transport: Transport,
    seat: Arc<Seat>,
}

/// Where the server of one client is.
struct Seat {
    path: PathBuf,
    options: ServerOptions,
    place: Mutex<Place>,
}

struct Place {
    /// `None` if another process has the state, or after `close`.
    shared: Option<Arc<Shared>>,
    /// The way to the other process, or here once this process has taken the state over.
    transport: Transport,
    /// Counts the changes of `transport`.
    generation: u64,
    is_closed: bool,
}

/// The server itself; gone when its last client is.
struct Shared {
    server: Server,
    runtime: tokio::runtime::Handle,
    is_shut_down: AtomicBool,
}

/// The way to a server in this process.
struct Here(Service);

impl Carry for Here {
    fn carry(&self, request: http::Request<Body>) -> Carried {
        Carrier(self.0.clone()).carry(request)
    }

    fn answer(&self, path: &str, request: &Bytes, timeout: Duration) -> Option<Answered> {
        let answer = self.0.answer(path, request, timeout)?;
        Some(Box::pin(async move { answer.await.map(Answer::Message) }))
    }
}

type Registry = HashMap<PathBuf, Weak<Shared>>;

impl Embedded {
    /// Opens the state in memory (empty `path`) or in a file.
    pub(crate) async fn open(path: &str, options: &ConnectOptions) -> Result<Self, CallError> {
        let listen = options.embedded.as_ref().map_or("", |embedded| embedded.listen.as_str());
        if path.is_empty() {
            let options = server_options(State::Memory, options);
            let server = Server::open(options.clone()).await.map_err(|error| open_error(&error))?;
            let shared = Shared::new(server);
            shared.listen(listen).await?;
            return Ok(Self::here(PathBuf::new(), options, shared));
        }
        // The directory exists even if the file doesn't yet; the server reports what is wrong with either.
        let path = canonical(Path::new(path));
        let options = server_options(State::File(path.clone()), options);
        let mut open = OPEN.lock().await;
        match find(&mut open, &path, &options).await.map_err(|error| open_error(&error))? {
            Found::Open(shared) => Ok(Self::here(path, options, shared)),
            Found::Opened(shared) => {
                shared.listen(listen).await?;
                Ok(Self::here(path, options, shared))
            }
            Found::Elsewhere(joined) => Ok(Self::elsewhere(path, options, joined)),
        }
    }

    fn here(path: PathBuf, options: ServerOptions, shared: Arc<Shared>) -> Self {
        let transport = Transport(Arc::new(Here(shared.server.service())));
        let place =
            Place { shared: Some(shared), transport: transport.clone(), generation: 0, is_closed: false };
        Self { transport, seat: Arc::new(Seat { path, options, place: Mutex::new(place) }) }
    }

    fn elsewhere(path: PathBuf, options: ServerOptions, joined: Joined) -> Self {
        let transport = Transport::new(joined);
        let place = Place { shared: None, transport, generation: 0, is_closed: false };
        let seat = Arc::new(Seat { path, options, place: Mutex::new(place) });
        Self { transport: Transport(Arc::new(Follower(Arc::clone(&seat)))), seat }
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Copies the state file to `to`, whoever has it open.
    pub(crate) async fn back_up(&self, to: PathBuf) -> Result<(), CallError> {
        let from = self.seat.path.clone();
        if from.as_os_str().is_empty() {
            let message =
                "the state is in memory, and no file holds it; connect to `embedded:PATH` to keep it";
            return Err(call_error(Code::FailedPrecondition, message));
        }
        let copied = tokio::task::spawn_blocking(move || durably_server::back_up(&from, &to)).await;
        let copied =
            copied.map_err(|error| call_error(Code::Internal, format!("the backup failed: {error}")))?;
        copied.map_err(|error| open_error(&error))
    }

    /// Gives up this client's share; the last one shuts the server down and waits until its state is released.
    pub(crate) async fn close(&self) {
        let shared = {
            let mut place = self.seat.place.lock();
            place.is_closed = true;
            place.shared.take()
        };
        let Some(shared) = shared else { return };
        // Nobody may find the server between here and its end.
        let _opening = OPEN.lock().await;
        if let Some(last) = Arc::into_inner(shared) {
            last.is_shut_down.store(true, Ordering::Relaxed);
            last.server.shutdown().await;
        }
    }
}

/// The way of a client whose state another process had when it came.
struct Follower(Arc<Seat>);

impl Carry for Follower {
    fn carry(&self, request: http::Request<Body>) -> Carried {
        Box::pin(Arc::clone(&self.0).carry(request))
    }

    fn answer(&self, path: &str, request: &Bytes, timeout: Duration) -> Option<Answered> {
        // Answered here once this process has taken the state over.
        let transport = self.0.place.lock().transport.clone();
        transport.answer(path, request, timeout)
    }
}

impl Seat {
    /// Carries a request to the process that has the state. If that process is gone, the state is taken over or joined
    /// anew, and the call fails as unavailable: whoever sent it knows whether to send it again.
    async fn carry(self: Arc<Self>, request: http::Request<Body>) -> Result<http::Response<Body>, BoxError> {
        let (mut transport, generation) = {
            let place = self.place.lock();
            (place.transport.clone(), place.generation)
        };
        let result = transport.call(request).await;
        if result.is_err() {
            self.follow(generation).await;
        }
        result
    }

    /// Finds the state's owner again, unless somebody else has since `generation`.
    async fn follow(&self, generation: u64) {
        let mut open = OPEN.lock().await;
        {
            let place = self.place.lock();
            if place.generation != generation || place.is_closed {
                return;
            }
        }
        let (shared, transport) = match find(&mut open, &self.path, &self.options).await {
            Ok(Found::Open(shared) | Found::Opened(shared)) => {
                let transport = Transport(Arc::new(Here(shared.server.service())));
                (Some(shared), transport)
            }
            Ok(Found::Elsewhere(joined)) => (None, Transport::new(joined)),
            Err(error) => {
                tracing::warn!(%error, "the process that had the state file is gone, and this one can't open it");
                return;
            }
        };
        let mut place = self.place.lock();
        if !place.is_closed {
            *place = Place { shared, transport, generation: generation + 1, is_closed: false };
        }
    }
}

enum Found {
    /// This process had it open already.
    Open(Arc<Shared>),
    Opened(Arc<Shared>),
    Elsewhere(Joined),
}

async fn find(open: &mut Registry, path: &Path, options: &ServerOptions) -> Result<Found, OpenError> {
    open.retain(|_, shared| shared.strong_count() > 0);
    if let Some(shared) = open.get(path).and_then(Weak::upgrade) {
        return Ok(Found::Open(shared));
    }
    Ok(match open_or_join(options.clone()).await? {
        Handle::Joined(joined) => Found::Elsewhere(joined),
        Handle::Owner(server) => {
            let shared = Shared::new(server);
            open.insert(path.to_owned(), Arc::downgrade(&shared));
            Found::Opened(shared)
        }
    })
}

impl Shared {
    fn new(server: Server) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current();
        Arc::new(Self { server, runtime, is_shut_down: AtomicBool::new(false) })
    }

    /// Serves other processes too, unless `listen` is empty.
    async fn listen(&self, listen: &str) -> Result<(), CallError> {
        if listen.is_empty() {
            return Ok(());
        }
        let address: SocketAddr = listen.parse().map_err(|_| {
            call_error(Code::InvalidArgument, format!("`{listen}` is no IP:PORT to listen on"))
        })?;
        let listener = Server::bind(address).await.map_err(|error| open_error(&error))?;
        let server = self.server.clone();
        tokio::spawn(async move { server.serve(listener).await });
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !self.is_shut_down.load(Ordering::Relaxed) {
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
        server.fail_fast = embedded.fail_fast;
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
        OpenError::Corrupt { .. } | OpenError::Empty { .. } | OpenError::LogMissing { .. } => Code::DataLoss,
        OpenError::Locked { .. } => Code::Unavailable,
        _ => Code::FailedPrecondition,
    };
    call_error(code, error.to_string())
}
