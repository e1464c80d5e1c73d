//! The client alone: retries, deadlines, metadata and errors, against scripted answers.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use durably_core::{Client, transport::Transport};
use durably_proto::{
    durably::core::v1::{Call, CallError, ConnectOptions, RetryOptions, call_result},
    temporal::api::workflowservice::v1::{StartWorkflowExecutionRequest, StartWorkflowExecutionResponse},
};
use http_body_util::BodyExt as _;
use prost::Message as _;
use tonic::{Code, Status, body::Body};

/// A server that gives the scripted answers in their order and remembers what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[allow(clippy::large_enum_variant, reason = "a few in a test")]
enum Answer {
    Is(StartWorkflowExecutionResponse),
    Fails(Code),
    Never,
}

struct Request {
    path: String,
    headers: http::HeaderMap,
    message: StartWorkflowExecutionRequest,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Default::default() }
    }

    async fn answer(self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let message = StartWorkflowExecutionRequest::decode(&body[5..]).expect("it is a start");
        let path = head.uri.path().to_owned();
        self.requests.lock().unwrap().push(Request { path, headers: head.headers, message });
        let answer = self.answers.lock().unwrap().pop_front().expect("the script goes on");
        match answer {
            Answer::Fails(code) => Ok(Status::new(code, "scripted").into_http()),
            Answer::Never => std::future::pending().await,
            Answer::Is(response) => {
                let message = response.encode_to_vec();
                let mut frame = vec![0];
                frame.extend((message.len() as u32).to_be_bytes());
                frame.extend(message);
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                let body = http_body_util::Full::new(bytes::Bytes::from(frame))
                    .with_trailers(std::future::ready(Some(Ok(trailers))))
                    .map_err(|never: std::convert::Infallible| match never {});
                let response = http::Response::builder().header("content-type", "application/grpc");
                Ok(response.body(Body::new(body)).expect("it is well-formed"))
            }
        }
    }

    async fn client(&self, options: ConnectOptions) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request| script.clone().answer(request));
        let retry = RetryOptions {
            initial_interval: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
            max_retries: 3,
            ..Default::default()
        };
        let options = ConnectOptions { lazy: true, retry: Some(retry), ..options };
        Client::over(Transport::new(service), options).await.expect("it is lazy")
    }
}

fn start(retry: bool) -> Call {
    let request = StartWorkflowExecutionRequest { workflow_id: "w".into(), ..Default::default() };
    Call {
        method: "StartWorkflowExecution".into(),
        request: request.encode_to_vec().into(),
        retry,
        ..Default::default()
    }
}

async fn call(client: &Client, call: Call) -> Result<StartWorkflowExecutionResponse, CallError> {
    match client.call(call).await.result.unwrap() {
        call_result::Result::Response(bytes) => Ok(StartWorkflowExecutionResponse::decode(bytes).unwrap()),
        call_result::Result::Error(error) => Err(error),
    }
}

fn started() -> StartWorkflowExecutionResponse {
    StartWorkflowExecutionResponse { run_id: "r".into(), ..Default::default() }
}

#[tokio::test]
async fn a_call_is_retried_until_it_succeeds() {
    let script =
        Script::new([Answer::Fails(Code::Unavailable), Answer::Fails(Code::Internal), Answer::Is(started())]);
    let client = script.client(ConnectOptions::default()).await;
    assert_eq!(call(&client, start(true)).await, Ok(started()));
    let requests = script.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(!requests[0].message.request_id.is_empty());
    assert_eq!(
        requests[0].message, requests[2].message,
        "the request id is the same, so the server starts once"
    );
}

#[tokio::test]
async fn what_cannot_succeed_is_not_retried() {
    let script = Script::new([Answer::Fails(Code::InvalidArgument)]);
    let client = script.client(ConnectOptions::default()).await;
    assert_eq!(call(&client, start(true)).await.unwrap_err().code, Code::InvalidArgument as i32);
    assert_eq!(script.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn retries_end_and_are_optional() {
    let script = Script::new((0..4).map(|_| Answer::Fails(Code::Unavailable)));
    let client = script.client(ConnectOptions::default()).await;
    assert_eq!(call(&client, start(true)).await.unwrap_err().message, "scripted");
    assert_eq!(script.requests.lock().unwrap().len(), 4);

    let script = Script::new([Answer::Fails(Code::Unavailable)]);
    let client = script.client(ConnectOptions::default()).await;
    assert_eq!(call(&client, start(false)).await.unwrap_err().code, Code::Unavailable as i32);
}

#[tokio::test]
async fn the_deadline_covers_the_whole_call() {
    let script = Script::new([Answer::Fails(Code::Unavailable), Answer::Never]);
    let client = script.client(ConnectOptions::default()).await;
    let timeout = Duration::from_millis(50).try_into().ok();
    let error = call(&client, Call { timeout, ..start(true) }).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded as i32);
}

#[tokio::test]
async fn a_call_carries_the_clients_metadata_and_fields() {
    let script = Script::new([Answer::Is(started())]);
    let options = ConnectOptions {
        namespace: "orders".into(),
        identity: "me".into(),
        client_name: "durably-test".into(),
        client_version: "1.2.3".into(),
        api_key: "secret".into(),
        metadata: [("tenant".to_owned(), "a".to_owned())].into(),
        ..Default::default()
    };
    let client = script.client(options).await;
    let extra = [("trace".to_owned(), "b".to_owned())].into();
    call(&client, Call { metadata: extra, ..start(false) }).await.unwrap();
    let requests = script.requests.lock().unwrap();
    let request = &requests[0];
    assert_eq!(request.path, "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution");
    for (key, value) in [
        ("client-name", "durably-test"),
        ("client-version", "1.2.3"),
        ("temporal-namespace", "orders"),
        ("authorization", "Bearer secret"),
        ("tenant", "a"),
        ("trace", "b"),
    ] {
        assert_eq!(request.headers[key], value);
    }
    assert!(request.headers.contains_key("grpc-timeout"));
    assert_eq!(request.message.namespace, "orders");
    assert_eq!(request.message.identity, "me");
}

#[tokio::test]
async fn wrong_calls_say_what_is_wrong() {
    let client = Script::default().client(ConnectOptions::default()).await;
    let error =
        call(&client, Call { method: "StartWorkflow".into(), ..Default::default() }).await.unwrap_err();
    assert_eq!(error.code, Code::Unimplemented as i32);
    assert!(error.message.contains("StartWorkflow"));
    let malformed = Call { request: bytes::Bytes::from_static(b"\x0a\x05"), ..start(false) };
    assert_eq!(call(&client, malformed).await.unwrap_err().code, Code::InvalidArgument as i32);
    client.close().await;
    let error = call(&client, start(true)).await.unwrap_err();
    assert!(error.message.contains("closed"), "{}", error.message);
}

#[tokio::test]
async fn secrets_stay_out_of_errors() {
    let options = ConnectOptions { api_key: "se\ncret".into(), ..Default::default() };
    let service = tower::service_fn(|request| Script::default().answer(request));
    let error = Client::over(Transport::new(service), options).await.err().unwrap();
    assert!(!error.message.contains("cret"), "{}", error.message);
}
