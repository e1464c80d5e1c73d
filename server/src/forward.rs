//! Calls for runs that another server of the same state has: forwarded whole, as they came.
//!
//! A call is tried here first, which tells where its run is: only the shard's driver knows, and no RPC need be taken
//! apart for it. What was sent is kept while the call is under way, by reference, and sent on if the answer is
//! [`ErrorKind::Elsewhere`](crate::error::ErrorKind). Nothing was done here then. A call that was forwarded is not forwarded
//! again: of two servers that each take the other for the owner, one answers UNAVAILABLE.

use std::{
    collections::HashMap,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, Request, Response, Uri, request::Parts};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tonic::{Status, body::Body, transport::Channel};
use tower::Service as _;

use crate::{frontend::parse_timeout, shard::Executions};

/// Marks a call that another server has sent on.
const FORWARDED: &str = "durably-forwarded";
const TIMEOUT: &str = "grpc-timeout";
/// How long another server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where a call turned out to belong. In the extensions of a request that may be forwarded; a handler writes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forwarding(Arc<Mutex<Option<String>>>);

impl Forwarding {
    pub(crate) fn set(&self, address: &str) {
        *self.0.lock() = Some(address.to_owned());
    }

    pub(crate) fn address(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

/// Sends calls on to other servers of the same state. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Forwarder {
    executions: Executions,
    channels: Arc<Mutex<HashMap<String, Channel>>>,
}

/// A call as it came.
pub(crate) struct Call {
    parts: Parts,
    arrived: Instant,
    sent: Arc<Mutex<Vec<Bytes>>>,
}

impl Call {
    /// Keeps the call. `None` when it was forwarded already. The request that comes back records its body.
    pub(crate) fn keep<B>(request: Request<B>) -> (Option<(Self, Forwarding)>, Request<Recorded<B>>) {
        let (mut parts, body) = request.into_parts();
        if parts.headers.contains_key(FORWARDED) {
            return (None, Request::from_parts(parts, Recorded::plain(body)));
        }
        let (forwarding, sent) = (Forwarding::default(), Arc::default());
        let mut kept = Request::new(()).into_parts().0;
        kept.method = parts.method.clone();
        kept.uri = parts.uri.clone();
        kept.version = parts.version;
        kept.headers = parts.headers.clone();
        let call = Self { parts: kept, arrived: Instant::now(), sent: Arc::clone(&sent) };
        parts.extensions.insert(forwarding.clone());
        (Some((call, forwarding)), Request::from_parts(parts, Recorded { body, sent: Some(sent) }))
    }

    /// The same call for another server: with what is left of its time, and marked.
    fn again(self) -> Result<Request<Body>, Status> {
        let Self { mut parts, arrived, sent } = self;
        let frames = std::mem::take(&mut *sent.lock());
        if let Some(given) = parts.headers.get(TIMEOUT).and_then(|value| parse_timeout(value.as_bytes())) {
            let left = given.checked_sub(arrived.elapsed()).ok_or_else(|| {
                Status::deadline_exceeded("the call's time ran out before it was forwarded")
            })?;
            parts.headers.insert(TIMEOUT, timeout(left));
        }
        parts.headers.insert(FORWARDED, HeaderValue::from_static("1"));
        // The path alone: the channel adds where it leads.
        parts.uri = Uri::builder()
            .path_and_query(parts.uri.path().to_owned())
            .build()
            .map_err(|error| Status::internal(format!("the call's path cannot be sent on: {error}")))?;
        let frames = futures::stream::iter(frames).map(|data| Ok::<_, Status>(Frame::data(data)));
        Ok(Request::from_parts(parts, Body::new(Sent(frames))))
    }
}

/// gRPC's header `grpc-timeout`: at most eight digits.
fn timeout(left: Duration) -> HeaderValue {
    let (millis, seconds) = (left.as_millis(), left.as_secs());
    let text =
        if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", seconds.min(99_999_999)) };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

impl Forwarder {
    pub(crate) fn new(executions: Executions) -> Self {
        Self { executions, channels: Arc::default() }
    }

    /// `answer`, or that of the server where the call belongs.
    pub(crate) async fn follow(
        &self,
        answer: Response<Body>,
        call: Call,
        forwarding: &Forwarding,
    ) -> Response<Body> {
        let Some(address) = forwarding.address() else { return answer };
        let followed = self.send(&address, call).await.unwrap_or_else(Status::into_http);
        if is_unavailable(&followed) {
            self.executions.doubt(&address);
        }
        followed
    }

    /// Sends the call to the server with this address and gives its answer as it comes. An error says that the server was
    /// not reached.
    async fn send(&self, address: &str, call: Call) -> Result<Response<Body>, Status> {
        let request = call.again()?;
        let mut channel = self.channel(address)?;
        let unreachable = |error: tonic::transport::Error| {
            Status::unavailable(format!("the server that has the run does not answer ({error}); call again"))
        };
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(unreachable)?;
        channel.call(request).await.map_err(unreachable)
    }

    /// Connections are made when they are first used, and again after they have broken.
    fn channel(&self, address: &str) -> Result<Channel, Status> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = match address.strip_prefix("unix:") {
            Some(socket) => connect_unix(Path::new(socket)),
            None => tonic::transport::Endpoint::from_shared(address.to_owned())
                .map_err(|error| Status::internal(format!("{address} is no address of a server: {error}")))?
                .connect_timeout(CONNECT)
                .connect_lazy(),
        };
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

/// A channel to a server's Unix socket, connected when it is first used.
fn connect_unix(socket: &Path) -> Channel {
    unix_endpoint().connect_with_connector_lazy(unix_connector(socket))
}

/// The authority is a name for the HTTP/2 layer only; nothing resolves it.
pub(crate) fn unix_endpoint() -> tonic::transport::Endpoint {
    tonic::transport::Endpoint::from_static("http://localhost")
}

/// Connects to a socket, whatever the address says.
pub(crate) fn unix_connector(
    socket: &Path,
) -> impl tower::Service<
    Uri,
    Response = hyper_util::rt::TokioIo<tokio::net::UnixStream>,
    Error = std::io::Error,
    Future = impl Future<Output = std::io::Result<hyper_util::rt::TokioIo<tokio::net::UnixStream>>> + Send,
> + Send
+ 'static {
    let socket = socket.to_owned();
    tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    })
}

/// A request's body that keeps what was read of it.
pub(crate) struct Recorded<B> {
    body: B,
    sent: Option<Arc<Mutex<Vec<Bytes>>>>,
}

impl<B> Recorded<B> {
    /// For a call that goes nowhere else.
    pub(crate) fn plain(body: B) -> Self {
        Self { body, sent: None }
    }
}

impl<B> http_body::Body for Recorded<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(sent)) = (&polled, &self.sent)
            && let Some(data) = frame.data_ref()
        {
            sent.lock().push(data.clone());
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

/// A body of frames that are there.
struct Sent<S>(S);

impl<S> http_body::Body for Sent<S>
where
    S: futures::Stream<Item = Result<Frame<Bytes>, Status>> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_next_unpin(cx)
    }
}

/// Whether the answer says that the server could not serve the call. Such an answer has nothing but its headers.
fn is_unavailable(answer: &Response<Body>) -> bool {
    Status::from_header_map(answer.headers()).is_some_and(|status| status.code() == tonic::Code::Unavailable)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn a_call_is_sent_on_as_it_came_with_what_is_left_of_its_time() {
        let request =
            Request::post("http://b:7233/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo")
                .header(TIMEOUT, "70S")
                .header("authorization", "Bearer x")
                .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
                .unwrap();
        let (kept, request) = Call::keep(request);
        let (call, forwarding) = kept.unwrap();
        assert_eq!(forwarding.address(), None);
        request.extensions().get::<Forwarding>().unwrap().set("http://a:7233");
        assert_eq!(forwarding.address().as_deref(), Some("http://a:7233"));
        // As the handler does before it finds out that the run is elsewhere.
        request.into_body().collect().await.unwrap();
        let again = call.again().unwrap();
        assert_eq!(again.uri().path(), "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo");
        assert_eq!(again.headers()["authorization"], "Bearer x");
        let left = parse_timeout(again.headers()[TIMEOUT].as_bytes()).unwrap();
        assert!(left <= Duration::from_secs(70) && left > Duration::from_mins(1), "{left:?}");
        let (parts, body) = again.into_parts();
        assert_eq!(body.collect().await.unwrap().to_bytes(), &b"\0\0\0\0\0"[..]);
        let (kept, _) = Call::keep(Request::from_parts(parts, Full::new(Bytes::new())));
        assert!(kept.is_none(), "it is not sent on a second time");
    }

    #[test]
    fn what_is_left_of_a_calls_time_fits_into_its_header() {
        for (left, text) in [(0, "0m"), (70, "70000m"), (99_999, "99999000m"), (200_000, "200000S")] {
            assert_eq!(timeout(Duration::from_secs(left)), text);
        }
    }
}
