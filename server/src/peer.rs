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
use futures::{future::BoxFuture, task::AtomicWaker};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::Sleep,
};
use tonic::{Status, body::Body, transport::server::Connected};
use tower::BoxError;

/// How long a new connection may take to say what it speaks.
const GREETING: Duration = Duration::from_secs(10);
/// What it says if it speaks HTTP/2. No request of HTTP/1.1 is shorter.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a request may take to arrive, and an answer to be read; and a connection of HTTP/1.1, which has one call at
/// a time, to begin with the next.
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
pub struct Peer {
    requests: AtomicUsize,
    answers: AtomicUsize,
    /// Calls that have begun and whose answers are not sent yet.
    calls: AtomicUsize,
    /// HTTP/1.1: whether it is silent matters between calls.
    takes_turns: AtomicBool,
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
    fn check(&self) -> Result<(), Status> {
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

/// A call of a peer, from its first byte until its answer is sent. Nothing for a caller in this process.
pub(crate) struct InCall(Option<Arc<Peer>>);

impl InCall {
    /// The request, bounded while it arrives; or the refusal of a peer that holds too much already.
    pub(crate) fn begin<B>(request: Request<B>) -> Result<(Request<Arriving<B>>, Self), Status> {
        let call = Self::of(&request)?;
        let peer = call.0.clone();
        Ok((request.map(|body| Arriving::new(body, peer)), call))
    }

    fn of<B>(request: &Request<B>) -> Result<Self, Status> {
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        if let Some(peer) = &peer {
            peer.check()?;
            peer.calls.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Self(peer))
    }

    /// The answer, bounded while it leaves.
    pub(crate) fn end(self, answer: Response<Body>) -> Response<Body> {
        match self.0.clone() {
            Some(peer) => answer.map(|body| Body::new(Leaving::new(body, peer, self))),
            None => answer,
        }
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        if let Some(peer) = &self.0 {
            peer.calls.fetch_sub(1, Ordering::Relaxed);
            if peer.takes_turns.load(Ordering::Relaxed) {
                // Who reads the connection now waits for the next call.
                peer.reader.wake();
            }
        }
    }
}

/// Bounds what the peers of a service hold, on connections that are [`Guarded`]; for other listeners than our own.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Paths of calls that are streams: they last as long as they like, and their messages have bounds of their own.
    pub is_stream: fn(&str) -> bool,
}

impl<S> tower::Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, bounds: *self }
    }
}

/// A service within [`Bounds`].
#[derive(Clone, Debug)]
pub struct Bounded<S> {
    inner: S,
    bounds: Bounds,
}

impl<S> tower::Service<Request<Body>> for Bounded<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_stream = (self.bounds.is_stream)(request.uri().path());
        let begun = if is_stream {
            InCall::of(&request).map(|call| (request, call))
        } else {
            InCall::begin(request).map(|(request, call)| (request.map(Body::new), call))
        };
        let (request, call) = match begun {
            Ok(begun) => begun,
            Err(refused) => return Box::pin(async move { Ok(refused.into_http()) }),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(if is_stream {
                answer.map(|body| Body::new(Lasting { body, _call: call }))
            } else {
                call.end(answer)
            })
        })
    }
}

/// The body of a stream, during which the connection is in a call.
struct Lasting {
    body: Body,
    _call: InCall,
}

impl http_body::Body for Lasting {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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

impl<B> http_body::Body for Arriving<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
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
struct Leaving {
    body: Body,
    held: Held,
    _call: InCall,
    /// Dropped with the body, which ends the watch over it.
    watch: Option<oneshot::Sender<()>>,
}

impl Leaving {
    fn new(body: Body, peer: Arc<Peer>, call: InCall) -> Self {
        let held = Held { peer, count: |peer| &peer.answers, total: &ANSWERS, bytes: 0 };
        Self { body, held, _call: call, watch: None }
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

impl http_body::Body for Leaving {
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
pub struct Guarded<IO> {
    io: IO,
    peer: Arc<Peer>,
    says: Says,
    /// How long an HTTP/1.1 connection may wait for the next call.
    idle: Duration,
}

/// What a connection has said so far, and until when it must go on.
enum Says {
    /// So many bytes, all of them as in the preface.
    Little(usize, Pin<Box<Sleep>>),
    Http2,
    /// Set while nothing comes and no call is under way.
    Http1(Option<Pin<Box<Sleep>>>),
}

impl<IO> Guarded<IO> {
    pub fn new(io: IO) -> Self {
        Self::within(io, GREETING, PATIENCE)
    }

    fn within(io: IO, greeting: Duration, idle: Duration) -> Self {
        let says = Says::Little(0, Box::pin(tokio::time::sleep(greeting)));
        Self { io, peer: Arc::default(), says, idle }
    }
}

impl Says {
    /// Bytes have come.
    fn more(&mut self, bytes: &[u8], peer: &Peer) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Little(known, _) => {
                let rest = &PREFACE[*known..];
                let common = rest.len().min(bytes.len());
                if rest[..common] != bytes[..common] {
                    peer.takes_turns.store(true, Ordering::Relaxed);
                    *self = Self::Http1(None);
                } else if common == rest.len() {
                    *self = Self::Http2;
                } else {
                    *known += common;
                }
            }
            Self::Http2 => {}
            Self::Http1(idle) => *idle = None,
        }
    }

    /// Nothing comes. Whether that has lasted too long.
    fn is_over(&mut self, peer: &Peer, longest: Duration, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Little(_, deadline) => deadline.as_mut().poll(cx).is_ready(),
            Self::Http2 => false,
            Self::Http1(idle) if peer.calls.load(Ordering::Relaxed) > 0 => {
                *idle = None;
                false
            }
            Self::Http1(idle) => {
                let idle = idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)));
                idle.as_mut().poll(cx).is_ready()
            }
        }
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
        this.says.more(&buffer.filled()[before..], &this.peer);
        if polled.is_pending() && this.says.is_over(&this.peer, this.idle, cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn body(
        frames: usize,
    ) -> impl http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Unpin + Send + 'static {
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
        loop {
            let mut request = Request::new(());
            request.extensions_mut().insert(Arc::clone(&peer));
            let Ok((_, call)) = InCall::begin(request) else { break };
            let mut answer =
                call.end(Response::new(Body::new(body(3).map_err(|never| match never {})))).into_body();
            while answer.frame().await.transpose().unwrap().is_some() {}
            answers.push(answer);
        }
        assert_eq!(answers.len(), PER_CONNECTION / (3 * 1024 * 1024) + 1);
        answers.clear();
        assert!(peer.check().is_ok());
    }

    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_hours(1);

    /// Whether a connection on which this is said, and nothing more, ends by its first deadline or by its second one.
    async fn end_of(said: &[u8], greeting: Duration, idle: Duration) -> bool {
        let (mut other, io) = tokio::io::duplex(64);
        other.write_all(said).await.unwrap();
        let mut guarded = Guarded::within(io, greeting, idle);
        let mut heard = vec![0; 64];
        let reading = async { while guarded.read(&mut heard).await.is_ok() {} };
        tokio::time::timeout(SOON * 6, reading).await.is_ok()
    }

    #[tokio::test]
    async fn who_says_too_little_loses_the_connection() {
        let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice();
        // What is said; whether the first deadline ends it, and whether the second does.
        for (said, first, second) in [
            (b"".as_slice(), true, false),
            (b"PRI * HT", true, false),
            (PREFACE, false, false),
            (b"GET /v1/wor", false, true),
            (get, false, true),
        ] {
            let what = String::from_utf8_lossy(said);
            assert_eq!(end_of(said, SOON, LATE).await, first, "{what}: to say what it speaks");
            assert_eq!(end_of(said, LATE, SOON).await, second, "{what}: to go on");
        }
    }

    /// A connection of HTTP/1.1 waits for its answer as long as that takes, and may then say something again.
    #[tokio::test]
    async fn a_call_under_way_keeps_the_connection() {
        let (mut other, io) = tokio::io::duplex(64);
        other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut guarded = Guarded::within(io, LATE, SOON);
        let peer = guarded.connect_info();
        let mut request = Request::new(());
        request.extensions_mut().insert(Arc::clone(&peer));
        let Ok((_, call)) = InCall::begin(request) else { panic!("refused") };
        let mut heard = vec![0; 64];
        let mut reading = Box::pin(async move { while guarded.read(&mut heard).await.is_ok() {} });
        assert!(tokio::time::timeout(SOON * 4, &mut reading).await.is_err(), "it ended during the call");
        drop(call);
        tokio::time::timeout(LATE, reading).await.unwrap();
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
