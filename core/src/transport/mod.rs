//! How calls reach a server: one boxed tower service, whether a socket is involved or not.
//!
//! [`Transport`] hides where the server is from everything above it. [`remote`] dials a host; [`embedded`] hands the
//! request to a server in this process, which takes it without HTTP around it too. Tests script one from a closure.

#[cfg(feature = "embedded")]
pub(crate) mod embedded;
pub(crate) mod remote;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use durably_proto::depth;
use futures::future::BoxFuture;
use prost::DecodeError;
use tonic::{Status, body::Body};
use tower::{BoxError, Service, ServiceExt as _};

type Carried = Pin<Box<dyn Future<Output = Result<http::Response<Body>, BoxError>> + Send>>;

/// Carries one gRPC request at a time to a server. Clones share what lies below.
#[derive(Clone)]
pub struct Transport(Arc<dyn Carry>);

trait Carry: Send + Sync {
    fn carry(&self, request: http::Request<Body>) -> Carried;

    /// A call without HTTP around it, `timeout` at most; `None` if it has to be carried.
    fn answer(&self, _path: &str, _request: &Bytes, _timeout: Duration) -> Option<Answered> {
        None
    }
}

pub(crate) type Answered = BoxFuture<'static, Result<Answer, Status>>;

/// The message that answers a call.
pub(crate) enum Answer {
    Encoded(Bytes),
    /// As a server in this process made it.
    #[cfg(feature = "embedded")]
    Message(durably_server::AnswerMessage),
}

impl Answer {
    pub(crate) fn encode(self) -> Bytes {
        match self {
            Self::Encoded(encoded) => encoded,
            #[cfg(feature = "embedded")]
            Self::Message(message) => message.encode(),
        }
    }

    /// The message; an error if it is none of this type.
    pub(crate) fn read<M>(self) -> Result<M, DecodeError>
    where
        M: prost::Message + prost::Name + Default + 'static,
    {
        let encoded = match self {
            Self::Encoded(encoded) => encoded,
            #[cfg(feature = "embedded")]
            Self::Message(message) => match message.take() {
                Ok(message) => return Ok(message),
                Err(other) => other.encode(),
            },
        };
        // Another server may keep failures that nest deeper than what can be read here.
        depth::decode(encoded)
    }
}

struct Carrier<S>(S);

impl<S> Carry for Carrier<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn carry(&self, request: http::Request<Body>) -> Carried {
        let answer = self.0.clone().oneshot(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

impl Transport {
    /// Wraps any service that answers gRPC over HTTP.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        Self(Arc::new(Carrier(service)))
    }

    /// The answer of a server in this process, if it takes the call without HTTP around it.
    pub(crate) fn answer(&self, path: &str, request: &Bytes, timeout: Duration) -> Option<Answered> {
        self.0.answer(path, request, timeout)
    }
}

impl Service<http::Request<Body>> for Transport {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Carried;

    // Readiness is awaited per request inside `carry`, so that one busy clone doesn't hold back another.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Carried {
        self.0.carry(request)
    }
}
