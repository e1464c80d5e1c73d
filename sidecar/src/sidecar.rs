//! [`Sidecar`]: opens the sockets and the connection, serves, and ends in order.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use durably_core::{CallError, Client};
use durably_server::{
    listener,
    peer::{Bounds, Guarded},
};
use futures::{Stream, StreamExt as _, future::join_all};
use tokio::{
    io::{AsyncRead, AsyncWrite},
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
                serve(listener::accept_tcp(listener), routes, closed).await;
            });
        }
        if let Some(listener) = unix {
            // The socket's permissions are the guard.
            let routes = sidecar.routes(None);
            let closed = sidecar.closed();
            sidecar.serving.spawn(async move {
                serve(listener::accept_unix(listener), routes, closed).await;
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
        if tokio::time::timeout(Duration::from_secs(3), drained).await.is_err() {
            self.serving.shutdown().await;
        }
        remove(self.unix.as_deref());
        self.shared.client.close().await;
    }
}

/// Notices a peer that vanished without closing, so that its work goes to others.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// Answers the calls of connections, which are bounded as those of the server are, until they are closed.
async fn serve<IO>(
    incoming: impl Stream<Item = io::Result<IO>>,
    routes: Routes,
    closed: impl Future<Output = ()> + Send + 'static,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let incoming = incoming.map(|accepted| accepted.map(Guarded::new));
    // HTTP/1.1 for everyone, HTTP/2 for gRPC.
    let served = Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .layer(Bounds { is_stream: grpc::is_stream })
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, closed)
        .await;
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

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, Bytes, BytesMut};
    use durably_proto::durably::core::v1::ConnectOptions;
    use futures::stream;
    use http_body_util::StreamBody;
    use tokio::{io::AsyncReadExt as _, net::TcpStream};
    use tonic::{body::Body, client::GrpcService as _, transport::Channel};

    use super::*;

    const TOKEN: &str = "secret";

    /// A sidecar on a state of its own, and where it listens.
    async fn start(folder: &Path) -> (Sidecar, SocketAddr) {
        let config = Config {
            connect: ConnectOptions {
                target: format!("embedded:{}", folder.join("state.db").display()),
                ..Default::default()
            },
            workers: Vec::new(),
            unix: None,
            tcp: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            token: Some(TOKEN.to_owned()),
            body_bytes: 4 << 20,
            application_timeout: Duration::from_secs(10),
        };
        let sidecar = Sidecar::start(config).await.unwrap();
        let address = sidecar.tcp.unwrap();
        (sidecar, address)
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (sidecar, address) = start(folder.path()).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(50), silent.read(&mut [0; 16])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
        sidecar.shut_down().await;
    }

    /// The first part of a message that is said to be of this many bytes, and then nothing.
    fn unfinished(bytes: usize) -> ::http::Request<Body> {
        let mut part = BytesMut::zeroed(bytes);
        (&mut part[1..5]).put_u32(bytes as u32);
        let frames = stream::iter([Ok::<_, tonic::Status>(http_body::Frame::data(Bytes::from(part)))]);
        ::http::Request::post("http://sidecar/durably.sidecar.v1.Sidecar/Call")
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::new(StreamBody::new(frames.chain(stream::pending()))))
            .unwrap()
    }

    #[tokio::test]
    async fn a_connection_holds_so_much_of_unfinished_requests() {
        let folder = tempfile::tempdir().unwrap();
        let (sidecar, address) = start(folder.path()).await;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let mut calls = JoinSet::new();
        // Each is within what one request may have; together they are more than a connection may.
        for _ in 0..20 {
            let mut channel = channel.clone();
            calls.spawn(async move {
                std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
                channel.call(unfinished((4 << 20) - 5)).await
            });
        }
        let first = calls.join_next().await.unwrap().unwrap().unwrap();
        let status = tonic::Status::from_header_map(first.headers()).unwrap();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
        calls.shutdown().await;
        sidecar.shut_down().await;
    }
}
