//! How gRPC reaches a server: one boxed tower service, whether a socket is involved or not.
//!
//! [`Transport`] hides where the server is from everything above it. [`remote`] dials a host; [`embedded`] hands the
//! request to a server in this process. Tests script one from a closure.

#[cfg(feature = "embedded")]
pub(crate) mod embedded;
pub(crate) mod remote;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::body::Body;
use tower::{BoxError, Service, ServiceExt as _};

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, BoxError>> + Send>>;

/// Carries one gRPC request at a time to a server. Clones share what lies below.
#[derive(Clone)]
pub struct Transport(Arc<dyn Carry>);

trait Carry: Send + Sync {
    fn carry(&self, request: http::Request<Body>) -> Answer;
}

struct Carrier<S>(S);

impl<S> Carry for Carrier<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn carry(&self, request: http::Request<Body>) -> Answer {
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
}

impl Service<http::Request<Body>> for Transport {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Answer;

    // Readiness is awaited per request inside `carry`, so that one busy clone doesn't hold back another.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        self.0.carry(request)
    }
}
