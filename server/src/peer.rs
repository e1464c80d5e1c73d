//! What one connection may hold, and for how long, so that a peer that stalls costs neither memory nor a descriptor
//! for good: one that says nothing, sends half of a request, or does not read its answers.
//!
//! HTTP/2's keep-alive notices a peer that is gone. These are peers that are there: they answer pings, and stall.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::Sleep,
};
use tonic::{Status, transport::server::Connected};
use tower::BoxError;

/// How long a new connection may take to say that it speaks HTTP/2, and how many bytes that takes.
const GREETING: Duration = Duration::from_secs(10);
const GREETING_BYTES: usize = 24;
/// How long a request may take to arrive, and an answer to be read.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of unfinished requests, and of unread answers, that one connection may hold, each.
const PER_CONNECTION: usize = 64 * 1024 * 1024;
/// The same of all connections together.
const ALTOGETHER: usize = 512 * 1024 * 1024;
/// An answer of more bytes than this has somebody who watches whether it is read.
const LARGE: usize = 256 * 1024;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static ANSWERS: AtomicUsize = AtomicUsize::new(0);

/// One connection, as its requests know it.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    requests: AtomicUsize,
    answers: AtomicUsize,
    is_doomed: AtomicBool,
    reader: AtomicWaker,
}

impl Peer {
    /// Closes the connection.
    fn doom(&self) {
        self.is_doomed.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Why the connection gets no more answers for now.
    pub(crate) fn check(&self) -> Result<(), Status> {
        if self.answers.load(Ordering::Relaxed) > PER_CONNECTION
            || ANSWERS.load(Ordering::Relaxed) > ALTOGETHER
        {
            return Err(Status::resource_exhausted(
                "too many answers wait to be read; read them, or ask for smaller pages",
            ));
        }
        Ok(())
    }
}

/// Bytes that are counted for as long as this lives.
struct Held {
    peer: Arc<Peer>,
    count: fn(&Peer) -> &AtomicUsize,
    total: &'static AtomicUsize,
    bytes: usize,
}

impl Held {
    /// Counts more; false if that is too much.
    fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let of_peer = (self.count)(&self.peer).fetch_add(bytes, Ordering::Relaxed) + bytes;
        let of_all = self.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        of_peer <= PER_CONNECTION && of_all <= ALTOGETHER
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.count)(&self.peer).fetch_sub(self.bytes, Ordering::Relaxed);
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The body of a request, which must arrive in time and while there is room for it.
pub(crate) struct Arriving<B> {
    body: B,
    held: Option<Held>,
    /// Set once the body had to be waited for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Arriving<B> {
    /// Without a peer, for a caller in this process, there is nothing to bound.
    pub(crate) fn new(body: B, peer: Option<Arc<Peer>>) -> Self {
        let held = peer.map(|peer| Held { peer, count: |peer| &peer.requests, total: &REQUESTS, bytes: 0 });
        Self { body, held, deadline: None }
    }
}

impl<B> Body for Arriving<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let Some(held) = &mut this.held else { return polled.map_err(Into::into) };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if held.add(bytes) {
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(Status::resource_exhausted(
                    "too many requests are unfinished; send the rest of those that have begun first",
                )
                .into())))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                let deadline = this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
                std::task::ready!(deadline.as_mut().poll(cx));
                let message = format!("the request did not arrive whole within {PATIENCE:?}");
                Poll::Ready(Some(Err(Status::deadline_exceeded(message).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. It lives until the HTTP/2 layer has sent all of it, which is when the peer has made room.
pub(crate) struct Leaving {
    body: tonic::body::Body,
    held: Held,
    /// Dropped with the body, which ends the watch over it.
    watch: Option<oneshot::Sender<()>>,
}

impl Leaving {
    pub(crate) fn new(body: tonic::body::Body, peer: Arc<Peer>) -> Self {
        let held = Held { peer, count: |peer| &peer.answers, total: &ANSWERS, bytes: 0 };
        Self { body, held, watch: None }
    }

    /// A peer that does not read it in time loses its connection: nothing else gives the memory back.
    fn watch(&mut self) {
        let (sender, sent) = oneshot::channel::<()>();
        let peer = Arc::clone(&self.held.peer);
        tokio::spawn(async move {
            if tokio::time::timeout(PATIENCE, sent).await.is_err() {
                tracing::warn!("a peer did not read an answer within {PATIENCE:?}; closing its connection");
                peer.doom();
            }
        });
        self.watch = Some(sender);
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            // What exists already is sent; what is too much is refused before it is made.
            let _ = self.held.add(data.len());
            if self.held.bytes > LARGE && self.watch.is_none() {
                self.watch();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that ends if its peer says nothing, or is doomed.
pub(crate) struct Guarded<IO> {
    io: IO,
    peer: Arc<Peer>,
    greeting: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<IO> Guarded<IO> {
    pub(crate) fn new(io: IO) -> Self {
        let greeting = Some((Box::pin(tokio::time::sleep(GREETING)), GREETING_BYTES));
        Self { io, peer: Arc::default(), greeting }
    }
}

impl<IO> Connected for Guarded<IO> {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.peer.reader.register(cx.waker());
        if this.peer.is_doomed.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        if let Some((deadline, missing)) = &mut this.greeting {
            *missing = missing.saturating_sub(buffer.filled().len() - before);
            if *missing == 0 {
                this.greeting = None;
            } else if polled.is_pending() && deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn body(frames: usize) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let frame = Bytes::from(vec![0; 1024 * 1024]);
        StreamBody::new(futures::stream::iter((0..frames).map(move |_| Ok(Frame::data(frame.clone())))))
    }

    #[tokio::test]
    async fn a_connection_holds_so_much_of_unfinished_requests() {
        let peer = Arc::new(Peer::default());
        let mut first = Arriving::new(body(60), Some(Arc::clone(&peer)));
        while first.frame().await.transpose().unwrap().is_some() {}
        let mut second = Arriving::new(body(60), Some(Arc::clone(&peer)));
        let refused = loop {
            match second.frame().await.expect("it is refused before its end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        let status = refused.downcast::<Status>().expect("a status");
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        drop((first, second));
        assert_eq!(peer.requests.load(Ordering::Relaxed), 0);
        // A caller in this process is bounded by nothing of the kind.
        let mut here = Arriving::new(body(100), None);
        while here.frame().await.transpose().unwrap().is_some() {}
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_bar_further_ones() {
        let peer = Arc::new(Peer::default());
        let mut answers = Vec::new();
        while peer.check().is_ok() {
            let mut answer = Leaving::new(
                tonic::body::Body::new(body(3).map_err(|never| match never {})),
                Arc::clone(&peer),
            );
            while answer.frame().await.transpose().unwrap().is_some() {}
            answers.push(answer);
        }
        assert_eq!(answers.len(), PER_CONNECTION / (3 * 1024 * 1024) + 1);
        answers.clear();
        assert!(peer.check().is_ok());
    }

    #[tokio::test]
    async fn a_doomed_connection_ends_while_it_is_read() {
        let (_other, io) = tokio::io::duplex(64);
        let mut guarded = Guarded::new(io);
        let peer = guarded.connect_info();
        let reading = tokio::spawn(async move { guarded.read_u8().await });
        tokio::task::yield_now().await;
        peer.doom();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
