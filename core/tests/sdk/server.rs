//! The server that the tests run over, and the calls that they make.
//!
//! It is the embedded server; with `DURABLY_TEST_SERVER=PATH`, the program at PATH, which prints `host:port` on its
//! first line and serves until its standard input closes (tests/peers/temporal-server does, and is a real Temporal
//! server).

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use durably_core::Client;
use durably_proto::{
    durably::core::v1::{AwaitWorkflow, Call, ConnectOptions, call_result, workflow_result::Outcome},
    temporal::api::{
        common::v1::{Payloads, WorkflowExecution, WorkflowType},
        query::v1::WorkflowQuery,
        taskqueue::v1::TaskQueue,
        workflowservice::v1::*,
    },
};
use prost::Message;

use super::{payload, text};

static SERVER: LazyLock<Option<(Child, String)>> = LazyLock::new(|| {
    let path = std::env::var("DURABLY_TEST_SERVER").ok()?;
    let mut child = Command::new(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("DURABLY_TEST_SERVER starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("it prints its address");
    Some((child, line.trim().to_owned()))
});

/// Where a test connects to.
pub fn target() -> String {
    SERVER.as_ref().map_or_else(|| "embedded:".to_owned(), |(_, target)| target.clone())
}

pub fn options() -> ConnectOptions {
    ConnectOptions {
        target: target(),
        client_name: "durably-tests".to_owned(),
        client_version: "1.0.0".to_owned(),
        ..Default::default()
    }
}

pub async fn connect() -> Client {
    Client::connect(options()).await.expect("the server is there")
}

/// A name that no other test uses, on a server that tests may share.
pub fn unique(name: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    format!("{name}-{}", nanos.as_nanos())
}

pub async fn call<Response: Message + Default>(
    client: &Client,
    method: &str,
    request: &impl Message,
) -> Result<Response, (i32, String)> {
    let call = Call {
        method: method.to_owned(),
        request: request.encode_to_vec().into(),
        retry: true,
        ..Default::default()
    };
    match client.call(call).await.result.expect("a result has content") {
        call_result::Result::Response(bytes) => {
            Ok(Response::decode(bytes).expect("the answer is well-formed"))
        }
        call_result::Result::Error(error) => Err((error.code, error.message)),
    }
}

/// Starts a workflow on the task queue of its own id.
pub async fn start(client: &Client, kind: &str, id: &str, input: &str) -> String {
    start_with(client, kind, id, input, |_| {}).await
}

pub async fn start_with(
    client: &Client,
    kind: &str,
    id: &str,
    input: &str,
    change: impl FnOnce(&mut StartWorkflowExecutionRequest),
) -> String {
    let mut request = StartWorkflowExecutionRequest {
        workflow_id: id.to_owned(),
        workflow_type: Some(WorkflowType { name: kind.to_owned() }),
        task_queue: Some(TaskQueue { name: id.to_owned(), ..Default::default() }),
        input: Some(Payloads { payloads: vec![payload(input)] }),
        ..Default::default()
    };
    change(&mut request);
    let response: StartWorkflowExecutionResponse =
        call(client, "StartWorkflowExecution", &request).await.expect("it starts");
    response.run_id
}

pub fn execution(id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: id.to_owned(), run_id: String::new() })
}

pub async fn signal(client: &Client, id: &str, name: &str, value: &str) {
    let request = SignalWorkflowExecutionRequest {
        workflow_execution: execution(id),
        signal_name: name.to_owned(),
        input: Some(Payloads { payloads: vec![payload(value)] }),
        ..Default::default()
    };
    call::<SignalWorkflowExecutionResponse>(client, "SignalWorkflowExecution", &request)
        .await
        .expect("the signal is taken");
}

pub async fn cancel(client: &Client, id: &str) {
    let request =
        RequestCancelWorkflowExecutionRequest { workflow_execution: execution(id), ..Default::default() };
    call::<RequestCancelWorkflowExecutionResponse>(client, "RequestCancelWorkflowExecution", &request)
        .await
        .expect("the cancellation is taken");
}

pub async fn query(client: &Client, id: &str, name: &str) -> Result<String, (i32, String)> {
    let request = QueryWorkflowRequest {
        execution: execution(id),
        query: Some(WorkflowQuery { query_type: name.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let response: QueryWorkflowResponse = call(client, "QueryWorkflow", &request).await?;
    Ok(text(response.query_result.as_ref().and_then(|r| r.payloads.first())))
}

/// The result of a workflow, followed to its last run.
pub async fn outcome(client: &Client, id: &str) -> Outcome {
    let request = AwaitWorkflow { workflow_id: id.to_owned(), follow_runs: true, ..Default::default() };
    let result = client.await_workflow(request).await.expect("the workflow closes");
    assert!(!result.run_id.is_empty());
    result.outcome.expect("a result has content")
}

/// The result of a workflow that completes.
pub async fn result(client: &Client, id: &str) -> String {
    match outcome(client, id).await {
        Outcome::Completed(payloads) => text(payloads.payloads.first()),
        other => panic!("{id} did not complete: {other:?}"),
    }
}
