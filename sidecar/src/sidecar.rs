//! [`Sidecar`]: opens the sockets and the connection, serves, and ends in order.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use durably_core::{CallError, Client};
use durably_server::listener;
use futures::future::join_all;
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
};
use tonic::{service::Routes, transport::Server};

use crate::{Config, Shared, grpc, http, queue::Queue};

/// Why a sidecar could not start, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}. {advice}")]
    Listen { address: String, advice: &'static str, source: io::Error },
    #[error("cannot connect to {target}: {}", .error.message)]
    Connect { target: String, error: CallError },
}

/// A running sidecar.
pub struct Sidecar {
    shared: Arc<Shared>,
    /// True once connections shall end.
    closing: watch::Sender<bool>,
    serving: JoinSet<()>,
    tcp: Option<SocketAddr>,
    unix: Option<PathBuf>,
}

impl Sidecar {
    /// Listens, connects, and serves. The sockets come first: if one is taken, nothing else is touched.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let tcp = match config.tcp {
            Some(address) => Some(bind_tcp(address).await?),
            None => None,
        };
        let unix = match &config.unix {
            Some(path) => Some(bind_unix(path).await?),
            None => None,
        };
        let target = config.connect.target.clone();
        let connected = Client::connect(config.connect).await;
        let client = match connected {
            Ok(client) => client,
            Err(error) => {
                remove(config.unix.as_deref());
                return Err(StartError::Connect { target, error });
            }
        };
        let queue = |options: durably_proto::durably::core::v1::WorkerOptions| {
            let name = options.task_queue.clone();
            (name, Queue::new(client.clone(), options, config.application_timeout))
        };
        let queues = config.workers.into_iter().map(queue).collect();
        let shared = Arc::new(Shared { client: client.clone(), queues, body_bytes: config.body_bytes });
        let mut sidecar = Self {
            shared,
            closing: watch::Sender::new(false),
            serving: JoinSet::new(),
            tcp: tcp.as_ref().and_then(|listener| listener.local_addr().ok()),
            unix: config.unix,
        };
        if let Some(listener) = tcp {
            let routes = sidecar.routes(config.token.as_deref());
            let closed = sidecar.closed();
            sidecar.serving.spawn(async move {
                let incoming = listener::accept_tcp(listener);
                let served = server().add_routes(routes).serve_with_incoming_shutdown(incoming, closed).await;
                report(served);
            });
        }
        if let Some(listener) = unix {
            // The socket's permissions are the guard.
            let routes = sidecar.routes(None);
            let closed = sidecar.closed();
            sidecar.serving.spawn(async move {
                let incoming = listener::accept_unix(listener);
                let served = server().add_routes(routes).serve_with_incoming_shutdown(incoming, closed).await;
                report(served);
            });
        }
        Ok(sidecar)
    }

    fn routes(&self, token: Option<&str>) -> Routes {
        Routes::from(grpc::add(http::router(&self.shared, token), &self.shared, token))
    }

    fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.closing.subscribe();
        async move {
            // An error means that the sidecar is gone.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Where it listens, for a person.
    pub fn addresses(&self) -> String {
        let tcp = self.tcp.map(|address| address.to_string());
        let unix = self.unix.as_ref().map(|path| format!("unix:{}", path.display()));
        tcp.into_iter().chain(unix).collect::<Vec<_>>().join(", ")
    }

    /// Tells applications, lets what they have end within the workers' graceful time-outs, and closes everything. With an
    /// embedded server, its state is on disk and released when this returns.
    pub async fn shut_down(mut self) {
        join_all(self.shared.queues.values().map(|queue| queue.shut_down())).await;
        self.closing.send_replace(true);
        let drained = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(std::time::Duration::from_secs(3), drained).await.is_err() {
            self.serving.shutdown().await;
        }
        remove(self.unix.as_deref());
        self.shared.client.close().await;
    }
}

fn server() -> Server {
    // HTTP/1.1 for everyone, HTTP/2 for gRPC.
    Server::builder().accept_http1(true)
}

fn report(served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        tracing::error!(%error, "a socket of the sidecar failed");
    }
}

fn remove(socket: Option<&Path>) {
    if let Some(path) = socket {
        // What is gone already needs no removal.
        let _ = std::fs::remove_file(path);
    }
}

async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        address: address.to_string(),
        advice: "Stop what listens there, or choose another port in [listen] tcp (0 takes any free one)",
        source,
    })
}

/// Binds the socket for this user only. A socket that a dead sidecar left behind is replaced.
async fn bind_unix(path: &Path) -> Result<UnixListener, StartError> {
    let failed = |source| StartError::Listen {
        address: path.display().to_string(),
        advice: "Another sidecar may be running; stop it, or choose another path in [listen] unix",
        source,
    };
    if let Ok(found) = std::fs::symlink_metadata(path) {
        use std::os::unix::fs::FileTypeExt as _;
        if !found.file_type().is_socket() || UnixStream::connect(path).await.is_ok() {
            return Err(failed(io::ErrorKind::AddrInUse.into()));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    // Bound in a folder that only this user can enter, and moved when its own mode is right: at no moment can anybody
    // else connect.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let private = folder.join(format!(".durably-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&private).map_err(failed)?;
    let bound = (|| {
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700))?;
        let socket = private.join("s");
        let listener = UnixListener::bind(&socket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&socket, path)?;
        Ok(listener)
    })();
    let _ = std::fs::remove_dir_all(&private);
    bound.map_err(failed)
}
