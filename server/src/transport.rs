//! Serving [`Service`] on sockets: TCP for everybody, a Unix socket for processes that share the state file.

use std::{io, net::SocketAddr, time::Duration};

use futures::{Stream, StreamExt};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};
use tonic::transport::server::Server;

use crate::{error::OpenError, frontend::Service, listener, peer::Guarded};

/// Enough for a whole page of history in flight; fixed, because adaptive windows ping and measure all the time.
const WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Long polls hold a stream each: a connection that carries many workers needs thousands.
const MAX_STREAMS: u32 = 100_000;
/// Notices a peer that vanished without closing, so that its polls don't take tasks. Only while it is connected.
const KEEP_ALIVE: Duration = Duration::from_mins(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Listens on `address`; port 0 takes any free port.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, OpenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => OpenError::AddressInUse { address },
        _ => OpenError::Listen { address, source },
    })
}

/// Serves until `stopping` turns true, then until the connections have drained; holds the receiver for so long.
pub(crate) async fn serve_tcp(listener: TcpListener, service: Service, stopping: watch::Receiver<bool>) {
    serve(listener::accept_tcp(listener), service, stopping).await;
}

pub(crate) async fn serve_unix(listener: UnixListener, service: Service, stopping: watch::Receiver<bool>) {
    serve(listener::accept_unix(listener), service, stopping).await;
}

async fn serve<IO>(
    incoming: impl Stream<Item = io::Result<IO>>,
    service: Service,
    stopping: watch::Receiver<bool>,
) where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let incoming = incoming.map(|accepted| accepted.map(Guarded::new));
    let mut signal = stopping.clone();
    let stop = async move {
        // An error means that the server was dropped.
        let _ = signal.wait_for(|stopping| *stopping).await;
    };
    let served = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_adaptive_window(Some(false))
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .serve_with_incoming_shutdown(service, incoming, stop)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "stopped listening");
    }
    drop(stopping);
}
