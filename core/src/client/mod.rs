//! A connection to a server: calls with retries and deadlines, and waiting for workflows.

use durably_proto::durably::core::v1::{
    AwaitWorkflow, Call, CallError, CallResult, ConnectOptions, WorkflowResult, call_result,
};

/// A connection to one server and namespace. Cheap to clone; the last clone that goes closes the connection, and
/// with it an embedded server that this process owns.
#[derive(Clone)]
pub struct Client {
    runtime: tokio::runtime::Handle,
}

impl Client {
    /// Connects to `options.target`; must run inside a tokio runtime, which the client's workers use too. Unless
    /// `options.lazy`, the server has answered when this returns.
    pub async fn connect(options: ConnectOptions) -> Result<Self, CallError> {
        let _ = options;
        Ok(Self { runtime: tokio::runtime::Handle::current() })
    }

    /// Carries out one unary call of Temporal's API. Failures are values, never panics.
    pub async fn call(&self, call: Call) -> CallResult {
        let _ = call;
        CallResult { result: Some(call_result::Result::Error(unavailable())) }
    }

    /// Waits until a workflow closes, for as long as it takes or until the request's time-out.
    pub async fn await_workflow(&self, request: AwaitWorkflow) -> Result<WorkflowResult, CallError> {
        let _ = request;
        Err(unavailable())
    }

    /// The namespace of this client's calls and workers.
    pub fn namespace(&self) -> &str {
        "default"
    }

    /// The identity that histories show.
    pub fn identity(&self) -> &str {
        ""
    }

    /// The runtime that this client was made in, on which its workers run.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Ends the connection for all clones. An embedded server that this process owns is shut down, with everything
    /// on disk, when this returns. Calls after it fail.
    pub async fn close(&self) {}
}

fn unavailable() -> CallError {
    CallError { code: 14, message: "the client is not connected yet".into(), status: bytes::Bytes::new() }
}
