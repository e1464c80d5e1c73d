//! Health as gRPC has it (`grpc.health.v1.Health`): NOT_SERVING while a shard has given up, and while the state file is
//! not where it was opened, so that nothing can be stored.
//!
//! The protocol has no room for a reason; it comes in the answer's metadata, for whoever looks there, and in the log. The
//! file is looked at whenever somebody asks, and whoever watches hears of what a commit has met.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use tonic::{body::Body, codec::CompressionEncoding};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tower::Service as _;

use crate::shard::Executions;

/// The metadata that says why the server is not serving.
const REASON: &str = "durably-not-serving";

#[derive(Clone)]
pub(super) struct Health {
    answers: HealthServer<HealthService>,
    status: Status,
    executions: Executions,
}

/// What is told to those who ask and watch.
#[derive(Clone)]
struct Status {
    reporter: HealthReporter,
    /// The service that there is besides the server as a whole, which has no name.
    service: &'static str,
    is_serving: Arc<AtomicBool>,
}

impl Status {
    async fn set(&self, is_serving: bool) {
        // Those who watch hear of changes only.
        if self.is_serving.swap(is_serving, Ordering::Relaxed) == is_serving {
            return;
        }
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", self.service] {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

impl Health {
    /// Of the server as a whole, and of the service of this name.
    pub(super) async fn new(executions: &Executions, service: &'static str) -> Self {
        let reporter = HealthReporter::new();
        reporter.set_service_status(service, ServingStatus::Serving).await;
        let status = Status { reporter, service, is_serving: Arc::new(AtomicBool::new(true)) };
        let (mut failed, displaced) = (executions.failed(), executions.displaced());
        let told = status.clone();
        tokio::spawn(async move {
            loop {
                // An error means that the server was dropped.
                let has_failed = async { failed.wait_for(Option::is_some).await.is_ok() };
                let ended = tokio::select! {
                    has_failed = has_failed => Some(has_failed),
                    () = displaced.notified() => None,
                };
                if ended != Some(false) {
                    told.set(false).await;
                }
                if ended.is_some() {
                    return;
                }
            }
        });
        let service = HealthService::from_health_reporter(status.reporter.clone());
        let answers = HealthServer::new(service).accept_compressed(CompressionEncoding::Gzip);
        Self { answers, status, executions: executions.clone() }
    }

    /// Answers a call of the protocol.
    pub(super) fn call<B>(
        &self,
        request: Request<B>,
    ) -> BoxFuture<'static, Result<Response<Body>, Infallible>>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let Self { mut answers, status, executions } = self.clone();
        Box::pin(async move {
            let checked = executions.check().await;
            if status.is_serving.load(Ordering::Relaxed)
                && let Err(reason) = &checked
            {
                tracing::error!(reason, "the server is not serving");
            }
            status.set(checked.is_ok()).await;
            let mut answer = answers.call(request).await?;
            if let Err(reason) = checked {
                let text: String =
                    reason.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
                if let Ok(text) = HeaderValue::from_str(&text) {
                    answer.headers_mut().insert(REASON, text);
                }
            }
            Ok(answer)
        })
    }
}
