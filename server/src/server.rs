//! [`Server`]: opens a state, answers calls, shuts down; and [`open_or_join`], which reaches whoever has the state.
//!
//! Its futures are boxed: the body of an `async fn` is compiled again in each crate that awaits it, and behind these
//! stands the whole server (decision 073).

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};
use tonic::{Status, body::Body, transport::Channel};

use crate::{
    error::{ErrorKind, OpenError, ServiceError},
    forward,
    frontend::{Frontend, Service},
    options::{ServerOptions, State},
    owner::{self, Claim, Ownership},
    shard::{ClockKind, Executions, ExecutionsOptions},
    transport,
};

/// How long connections may take to drain when the server stops.
const DRAIN: Duration = Duration::from_secs(3);
/// How long a new owner may take from its lock to its socket, before a joining process gives up on it.
const OWNER_START: Duration = Duration::from_secs(5);
const OWNER_RETRY: Duration = Duration::from_millis(20);

/// A server on one state. Cheap to clone; the state is released by [`Server::shutdown`], or when the process ends.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    executions: Executions,
    frontend: Frontend,
    service: Service,
    /// True once the server stops; connections hold a receiver until they have drained.
    stopping: watch::Sender<bool>,
    ownership: Mutex<Option<Ownership>>,
}

/// What [`open_or_join`] came to.
pub enum Handle {
    /// This process owns the state.
    Owner(Server),
    /// Another one does; calls go to it.
    Joined(Joined),
}

/// The way to the process that has the state, as a gRPC service. Cheap to clone.
///
/// A call that finds the process gone fails with UNAVAILABLE; so does every later one. Join again then: whoever comes
/// first becomes the owner.
#[derive(Clone)]
pub struct Joined {
    channel: Channel,
}

impl tower::Service<http::Request<Body>> for Joined {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.channel.poll_ready(cx).map_err(|error| gone(&error))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.channel.call(request);
        Box::pin(async move { answer.await.map_err(|error| gone(&error)) })
    }
}

fn gone(error: &tonic::transport::Error) -> Status {
    Status::unavailable(format!(
        "the process that has the state file does not answer ({error}); call again: it may be starting anew"
    ))
}

impl Server {
    /// Opens the state, registers missing namespaces, resumes what is due. Needs a tokio runtime.
    ///
    /// A state file is locked, and offered to other processes of this user on a Unix socket beside it. Errors say
    /// what to do; [`OpenError::Locked`] means that another process has the file.
    pub fn open(options: ServerOptions) -> BoxFuture<'static, Result<Self, OpenError>> {
        Box::pin(async move {
            match Self::open_unless_taken(options).await? {
                Ok(server) => Ok(server),
                Err((path, owner)) => Err(OpenError::Locked { path, detail: describe(&owner) }),
            }
        })
    }

    async fn open_unless_taken(
        mut options: ServerOptions,
    ) -> Result<Result<Self, (std::path::PathBuf, owner::Owner)>, OpenError> {
        let State::File(path) = &mut options.state else {
            return Ok(Ok(Self::start(options, None).await?));
        };
        *path = owner::resolve(path)?;
        match owner::claim(path)? {
            Claim::Taken(owner) => Ok(Err((path.clone(), owner))),
            Claim::Owned(ownership, listener) => {
                Ok(Ok(Self::start(options, Some((ownership, listener))).await?))
            }
        }
    }

    async fn start(
        options: ServerOptions,
        owned: Option<(Ownership, std::os::unix::net::UnixListener)>,
    ) -> Result<Self, OpenError> {
        let path = match &options.state {
            State::Memory => Path::new("memory").to_owned(),
            State::File(path) => path.clone(),
        };
        let clock = if options.time_skipping { ClockKind::Virtual } else { ClockKind::System };
        let executions = Executions::open(ExecutionsOptions {
            state: options.state.clone(),
            clock,
            shards: options.shards,
            fail_fast: options.fail_fast,
        })
        .await?;
        let (ownership, listener) = owned.unzip();
        let server =
            Self::over(executions, options, ownership).await.map_err(|error| open_error(&path, &error))?;
        if let Some(listener) = listener {
            let listener = UnixListener::from_std(listener).map_err(|error| owner::io_error(&path, error))?;
            let stopping = server.inner.stopping.subscribe();
            tokio::spawn(transport::serve_unix(listener, server.service(), stopping));
        }
        Ok(server)
    }

    /// A server for runs that are open already.
    pub(crate) async fn over(
        executions: Executions,
        options: ServerOptions,
        ownership: Option<Ownership>,
    ) -> Result<Self, ServiceError> {
        let frontend = Frontend::open(executions.clone(), options).await?;
        let service = Service::new(&frontend).await;
        let inner = Inner {
            executions,
            frontend,
            service,
            stopping: watch::Sender::new(false),
            ownership: Mutex::new(ownership),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// All gRPC services as one tower service, for callers in this process; [`Service::answer`] costs them less.
    pub fn service(&self) -> Service {
        self.inner.service.clone()
    }

    /// Listens on `address` (port 0: any free port) without serving yet.
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, OpenError> {
        transport::bind(address).await
    }

    /// Answers calls on `listener` until [`Server::shutdown`], then returns when its connections have drained.
    pub fn serve(&self, listener: TcpListener) -> BoxFuture<'static, ()> {
        Box::pin(transport::serve_tcp(listener, self.service(), self.inner.stopping.subscribe()))
    }

    /// Stops accepting, answers long polls empty, finishes what is in flight, commits and releases the state.
    ///
    /// Returns within a few seconds even if a peer does not read its answers. Calls after it are UNAVAILABLE.
    pub fn shutdown(&self) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            inner.frontend.stop();
            inner.executions.shutdown().await;
            // Connections drain after the answers are there, or they would wait for polls that nobody ends.
            inner.stopping.send_replace(true);
            if tokio::time::timeout(DRAIN, inner.stopping.closed()).await.is_err() {
                tracing::warn!(
                    "connections were still open {DRAIN:?} after the server stopped; closing them"
                );
            }
            inner.ownership.lock().take();
        })
    }
}

/// Opens the state, or connects to the process that has it already.
pub fn open_or_join(options: ServerOptions) -> BoxFuture<'static, Result<Handle, OpenError>> {
    Box::pin(find_or_open(options))
}

async fn find_or_open(options: ServerOptions) -> Result<Handle, OpenError> {
    let give_up = Instant::now() + OWNER_START;
    loop {
        let (path, owner) = match Server::open_unless_taken(options.clone()).await? {
            Ok(server) => return Ok(Handle::Owner(server)),
            Err(taken) => taken,
        };
        // The owner is between lock and socket, or between its end and the release of its lock: look again.
        match connect(&owner.socket).await {
            Ok(channel) => return Ok(Handle::Joined(Joined { channel })),
            Err(_) if Instant::now() < give_up => tokio::time::sleep(OWNER_RETRY).await,
            Err(error) => {
                let detail = format!("{}, which does not answer on its socket: {error}", describe(&owner));
                return Err(OpenError::Locked { path, detail });
            }
        }
    }
}

fn describe(owner: &owner::Owner) -> String {
    if owner.process.is_empty() { "process unknown".into() } else { format!("process {}", owner.process) }
}

/// Connects to an owner's socket.
async fn connect(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    forward::unix_endpoint().connect_with_connector(forward::unix_connector(socket)).await
}

fn open_error(path: &Path, error: &ServiceError) -> OpenError {
    match error.kind() {
        ErrorKind::DataLoss => OpenError::Corrupt { path: path.to_owned(), detail: error.to_string() },
        ErrorKind::InvalidArgument => {
            OpenError::InvalidOption { option: "namespaces", problem: error.to_string() }
        }
        _ => OpenError::Store { path: path.to_owned(), detail: error.to_string() },
    }
}
