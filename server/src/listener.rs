//! Accepting connections for as long as the process lives: with no descriptor left, a listener waits for one to come
//! back, neither ending nor asking in a loop.

use std::{future::Future, io, time::Duration};

use futures::{Stream, stream};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// How long to wait after a connection could not be accepted. The kernel keeps those that queue up.
const PAUSE: Duration = Duration::from_millis(100);

/// All connections of a listener; dropping the stream closes it. Small writes go out at once.
pub fn accept_tcp(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    accept(listener)
}

/// The same of a Unix socket.
pub fn accept_unix(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> {
    accept(listener)
}

trait Listener {
    type Connection;

    fn next(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Listener for TcpListener {
    type Connection = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // A connection that refuses it still works.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Listener for UnixListener {
    type Connection = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

fn accept<L: Listener>(listener: L) -> impl Stream<Item = io::Result<L::Connection>> {
    stream::unfold(listener, |listener| async move {
        let mut was_refused = false;
        loop {
            match listener.next().await {
                Ok(connection) => return Some((Ok(connection), listener)),
                Err(error) => {
                    if !was_refused {
                        tracing::warn!(%error, "a connection could not be accepted; trying again until it can");
                    }
                    was_refused = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Instant,
    };

    use futures::StreamExt as _;

    use super::*;

    /// Has no descriptor left for a while.
    struct Starved<'a> {
        until: Instant,
        asked: &'a AtomicU32,
    }

    impl Listener for Starved<'_> {
        type Connection = ();

        async fn next(&self) -> io::Result<()> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            // EMFILE.
            if Instant::now() < self.until { Err(io::Error::from_raw_os_error(24)) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn a_starved_listener_waits_and_does_not_spin() {
        let asked = AtomicU32::new(0);
        let listener = Starved { until: Instant::now() + PAUSE * 3, asked: &asked };
        let mut accepted = Box::pin(accept(listener));
        assert!(matches!(accepted.next().await, Some(Ok(()))));
        assert!(asked.load(Ordering::Relaxed) <= 6, "asked {asked:?} times");
    }
}
