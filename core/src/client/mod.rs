//! A connection to a server: calls with retries, deadlines and metadata, and waiting for workflows.
//!
//! Futures that leave this crate are boxed, so that what is behind them is compiled here and not once more in each
//! bridge (decision 073).

mod await_workflow;
mod connect;
pub(crate) mod error;
pub(crate) mod methods;
pub(crate) mod retry;
mod skipping;
mod updates;
mod wire;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use durably_proto::{
    durably::core::v1::{
        AwaitWorkflow, BackUpRequest, Call, CallError, CallResult, ConnectOptions, SleepRequest,
        WorkflowResult, call_result,
    },
    temporal::api::workflowservice::v1::get_system_info_response::Capabilities,
};
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use parking_lot::RwLock;
use prost::Message as _;
use tonic::{Code, metadata::MetadataMap};

use crate::{
    client::{
        error::{call_error, from_status, is_connection_error},
        retry::{Backoff, RetryPolicy},
    },
    convert::duration,
    observer::{Observer, Seen},
    transport::{Answer, Transport},
    worker::steps::Steps,
};

pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const LONG_POLL_TIMEOUT: Duration = Duration::from_secs(70);

/// A connection to one server and namespace. Cheap to clone; the last clone that goes closes the connection, and
/// with it an embedded server that this process owns.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    scope: Arc<Scope>,
}

/// What differs between clients that share a connection.
struct Scope {
    namespace: String,
    /// What every call carries, `temporal-namespace` included.
    metadata: MetadataMap,
}

pub(crate) struct Inner {
    /// `None` once closed.
    transport: RwLock<Option<Transport>>,
    /// Set to true when the client is closed, for calls that are under way.
    closed: tokio::sync::watch::Sender<bool>,
    target: String,
    identity: String,
    client_name: String,
    client_version: String,
    retry: RetryPolicy,
    runtime: tokio::runtime::Handle,
    capabilities: tokio::sync::OnceCell<Capabilities>,
    /// Of all workers of this connection.
    steps: Arc<Steps>,
    observer: Arc<Observer>,
    skipping: skipping::Skipping,
    #[cfg(feature = "embedded")]
    embedded: Option<crate::transport::embedded::Embedded>,
}

/// How one call is carried out.
pub(crate) struct Plan<'a> {
    pub(crate) path: &'a PathAndQuery,
    pub(crate) metadata: &'a MetadataMap,
    /// Of the whole call, retries included. `None`: each attempt has `attempt_timeout`, and the policy says how many.
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempt_timeout: Duration,
    /// `None`: one attempt.
    pub(crate) retry: Option<&'a RetryPolicy>,
}

/// What the user waits for, seen from the client: see [`Client::begin`]. Workers end by themselves, with what they still
/// have to say.
struct Begun {
    closed: tokio::sync::watch::Receiver<bool>,
    was_closed: bool,
}

impl Begun {
    async fn unless_closed<T>(
        mut self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        if self.was_closed {
            // It says by itself that it can't begin.
            return work.await;
        }
        tokio::select! {
            // The end of an embedded server wakes both; the reason is that the client was closed.
            biased;
            _ = self.closed.wait_for(|closed| *closed) => {
                Err(call_error(Code::Cancelled, "the client was closed while the call was under way"))
            }
            result = work => result,
        }
    }
}

impl Client {
    /// Connects to `options.target`; must run inside a tokio runtime, which the client's workers use too. Unless
    /// `options.lazy`, the server has answered when this returns.
    pub fn connect(options: ConnectOptions) -> BoxFuture<'static, Result<Self, CallError>> {
        Box::pin(connect::connect(options))
    }

    /// A client over a transport of the caller's own making: a server behind another kind of pipe, or a script.
    pub fn over(
        transport: Transport,
        options: ConnectOptions,
    ) -> BoxFuture<'static, Result<Self, CallError>> {
        Box::pin(connect::over(transport, options))
    }

    /// Carries out one unary call of Temporal's API. Failures are values, never panics. It has begun when this returns,
    /// so that the end of the client finds it.
    pub fn call(&self, call: Call) -> BoxFuture<'static, CallResult> {
        let (client, begun) = (self.clone(), self.begin());
        Box::pin(async move {
            let result = match begun.unless_closed(client.try_call(call)).await {
                Ok(response) => call_result::Result::Response(response),
                Err(error) => call_result::Result::Error(error),
            };
            CallResult { result: Some(result) }
        })
    }

    async fn try_call(&self, call: Call) -> Result<Bytes, CallError> {
        if call.service == methods::EMBEDDED_SERVICE {
            match call.method.as_str() {
                "BackUp" => return self.back_up(call.request).await,
                "Sleep" => return self.sleep(call).await,
                _ => {}
            }
        }
        let method = methods::find(&call.service, &call.method).ok_or_else(|| {
            let service =
                if call.service.is_empty() { methods::WORKFLOW_SERVICE } else { call.service.as_str() };
            let message = format!("Temporal's API has no method `{}` in service `{service}`", call.method);
            call_error(Code::Unimplemented, message)
        })?;
        let (inner, scope) = (&*self.inner, &*self.scope);
        let filled = method
            .fill(call.request.clone(), &scope.namespace, &inner.identity, || {
                uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
            })
            .map_err(|error| malformed(&call.method, &error))?;
        let mut metadata = Cow::Borrowed(&scope.metadata);
        if let Some(Ok(namespace)) = filled.namespace.map(|n| n.parse()) {
            metadata.to_mut().insert("temporal-namespace", namespace);
        }
        connect::add_metadata(&mut metadata, &call.metadata)?;
        let given = duration(call.timeout.as_ref());
        if call.retry
            && let Some(awaiting) = updates::Awaiting::of(&call.method, &filled.request)?
        {
            let skips = awaiting.awaits_outcome() && inner.skipping.is_wanted(call.clock());
            let waiting = Box::pin(updates::wait(self, &metadata, awaiting, given));
            return if skips { skipping::while_skipping(self, waiting).await } else { waiting.await };
        }
        let default_timeout = if filled.is_long_poll { LONG_POLL_TIMEOUT } else { CALL_TIMEOUT };
        let timeout = given.unwrap_or(default_timeout);
        let plan = Plan {
            path: &method.path,
            metadata: &metadata,
            timeout: Some(timeout),
            attempt_timeout: timeout,
            retry: call.retry.then_some(&inner.retry),
        };
        Ok(self.carry_out(plan, filled.request).await?.encode())
    }

    /// Sleeps by the server's clock, for a `SleepRequest`.
    async fn sleep(&self, call: Call) -> Result<Bytes, CallError> {
        let request = SleepRequest::decode(call.request).map_err(|error| malformed("Sleep", &error))?;
        let timeout = duration(call.timeout.as_ref()).unwrap_or(skipping::SLEEP_TIMEOUT);
        skipping::sleep(self, request, timeout).await?;
        // A `SleepResponse`, which says nothing.
        Ok(Bytes::new())
    }

    /// Copies the state file, for a `BackUpRequest`.
    async fn back_up(&self, request: Bytes) -> Result<Bytes, CallError> {
        let BackUpRequest { path } =
            BackUpRequest::decode(request).map_err(|error| malformed("BackUp", &error))?;
        if path.is_empty() {
            return Err(call_error(Code::InvalidArgument, "a backup needs the path of the copy"));
        }
        #[cfg(feature = "embedded")]
        if let Some(embedded) = &self.inner.embedded {
            embedded.back_up(path.into()).await?;
            // A `BackUpResponse`, which says nothing.
            return Ok(Bytes::new());
        }
        let message = format!(
            "the state is not in this process but with {}; where its file is, say: \
             durably server backup --db-filename FILE COPY",
            self.inner.target
        );
        Err(call_error(Code::FailedPrecondition, message))
    }

    /// Waits until a workflow closes, for as long as it takes or until the request's time-out (DEADLINE_EXCEEDED). The
    /// wait has begun when this returns, so that the end of the client finds it.
    pub fn await_workflow(
        &self,
        request: AwaitWorkflow,
    ) -> BoxFuture<'static, Result<WorkflowResult, CallError>> {
        let (client, begun) = (self.clone(), self.begin());
        Box::pin(async move {
            let awaited = Box::pin(await_workflow::await_workflow(&client, request));
            begun.unless_closed(awaited).await
        })
    }

    /// The beginning of something that ends when the client is closed, even if that happens before it is first polled.
    fn begin(&self) -> Begun {
        let closed = self.inner.closed.subscribe();
        let was_closed = *closed.borrow();
        Begun { closed, was_closed }
    }

    /// The same connection, for another namespace; an empty one leaves it as it is.
    pub fn in_namespace(&self, namespace: &str) -> Result<Self, CallError> {
        if namespace.is_empty() || namespace == self.namespace() {
            return Ok(self.clone());
        }
        let scope = connect::scope_in(namespace, &self.scope)?;
        Ok(Self { inner: Arc::clone(&self.inner), scope: Arc::new(scope) })
    }

    /// The namespace of this client's calls and workers.
    pub fn namespace(&self) -> &str {
        &self.scope.namespace
    }

    /// The identity that histories show.
    pub fn identity(&self) -> &str {
        &self.inner.identity
    }

    /// Name and version of the SDK, as its `ConnectOptions` gave them.
    pub(crate) fn sdk(&self) -> (&str, &str) {
        (&self.inner.client_name, &self.inner.client_version)
    }

    /// The runtime that this client was made in, on which its workers run.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.inner.runtime
    }

    pub(crate) fn steps(&self) -> &Arc<Steps> {
        &self.inner.steps
    }

    pub(crate) fn observer(&self) -> &Arc<Observer> {
        &self.inner.observer
    }

    pub(crate) fn retry_policy(&self) -> &RetryPolicy {
        &self.inner.retry
    }

    /// What the server can do, asked once per connection.
    pub(crate) async fn capabilities(&self) -> Result<&Capabilities, CallError> {
        self.inner.capabilities.get_or_try_init(|| connect::ask_capabilities(self)).await
    }

    /// Ends the connection for all clones, and the calls that are under way. An embedded server that this process owns is shut down, with everything
    /// on disk, when this returns. Calls after it fail.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.closed.send_replace(true);
        self.inner.transport.write().take();
        Box::pin(async move {
            #[cfg(feature = "embedded")]
            if let Some(embedded) = &self.inner.embedded {
                embedded.close().await;
            }
        })
    }

    /// One call of a typed request, retried as `retry` says; `timeout` bounds each attempt.
    pub(crate) async fn rpc<Request, Response>(
        &self,
        path: &'static str,
        request: &Request,
        timeout: Duration,
        retry: Option<&RetryPolicy>,
    ) -> Result<Response, CallError>
    where
        Request: prost::Message,
        Response: prost::Message + prost::Name + Default + 'static,
    {
        let path = PathAndQuery::from_static(path);
        let plan = Plan {
            path: &path,
            metadata: &self.scope.metadata,
            timeout: None,
            attempt_timeout: timeout,
            retry,
        };
        let answer = self.carry_out(plan, request.encode_to_vec().into()).await?;
        read(path.as_str(), answer)
    }

    async fn carry_out(&self, plan: Plan<'_>, request: Bytes) -> Result<Answer, CallError> {
        let started = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let Some(transport) = self.inner.transport.read().clone() else {
                return Err(call_error(Code::FailedPrecondition, "the client is closed: connect again"));
            };
            let remaining = plan.timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            let timeout = remaining.map_or(plan.attempt_timeout, |r| r.min(plan.attempt_timeout));
            let begun = Instant::now();
            let result = wire::unary(transport, plan.path, plan.metadata, &request, timeout).await;
            let code = match &result {
                Ok(_) => Code::Ok,
                Err(status) if is_connection_error(status) => Code::Unavailable,
                Err(status) => status.code(),
            };
            self.inner.observer.see(&Seen::Call { path: plan.path.as_str(), code, took: begun.elapsed() });
            let status = match result {
                Ok(response) => return Ok(response),
                Err(status) => status,
            };
            let wait = plan
                .retry
                .and_then(|policy| {
                    backoff.next(policy, (code, status.message()), started.elapsed(), rand::random())
                })
                // A wait that ends after the deadline only delays the answer.
                .filter(|wait| plan.timeout.is_none_or(|timeout| started.elapsed() + *wait < timeout));
            match wait {
                Some(wait) => {
                    tracing::debug!(path = plan.path.as_str(), ?code, ?wait, "call failed, will be retried");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(from_status(&status, &self.inner.target)),
            }
        }
    }
}

fn malformed(method: &str, error: &prost::DecodeError) -> CallError {
    let message = format!("the request of `{method}` is not a valid message: {error}");
    call_error(Code::InvalidArgument, message)
}

fn read<Response: prost::Message + prost::Name + Default + 'static>(
    path: &str,
    answer: Answer,
) -> Result<Response, CallError> {
    answer.read().map_err(|error| {
        call_error(Code::Internal, format!("the server's answer to {path} is malformed: {error}"))
    })
}
