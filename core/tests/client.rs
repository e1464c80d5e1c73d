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

enum Answer {
    Is(Vec<u8>),
    Fails(Code),
    Never,
}

struct Request {
    path: String,
    headers: http::HeaderMap,
    body: bytes::Bytes,
}

impl Request {
    fn message<M: prost::Message + Default>(&self) -> M {
        M::decode(&self.body[..]).expect("it is what the call is for")
    }
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Default::default() }
    }

    async fn answer(self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = body.slice(5..);
        let path = head.uri.path().to_owned();
        self.requests.lock().unwrap().push(Request { path, headers: head.headers, body });
        let answer = self.answers.lock().unwrap().pop_front().expect("the script goes on");
        match answer {
            Answer::Fails(code) => Ok(Status::new(code, "scripted").into_http()),
            Answer::Never => std::future::pending().await,
            Answer::Is(message) => {
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
    let script = Script::new([
        Answer::Fails(Code::Unavailable),
        Answer::Fails(Code::Internal),
        Answer::Is(started().encode_to_vec()),
    ]);
    let client = script.client(ConnectOptions::default()).await;
    assert_eq!(call(&client, start(true)).await, Ok(started()));
    let requests = script.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(!requests[0].message::<StartWorkflowExecutionRequest>().request_id.is_empty());
    assert_eq!(requests[0].body, requests[2].body, "the request id is the same, so the server starts once");
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
    let script = Script::new([Answer::Is(started().encode_to_vec())]);
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
    let message: StartWorkflowExecutionRequest = request.message();
    assert_eq!((message.namespace.as_str(), message.identity.as_str()), ("orders", "me"));
}

mod updates {
    use durably_proto::temporal::api::{
        common::v1::{Payloads, WorkflowExecution},
        enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
        update::v1::{Input, Meta, Outcome, Request, UpdateRef, WaitPolicy, outcome},
        workflowservice::v1::{
            ExecuteMultiOperationRequest, ExecuteMultiOperationResponse, PollWorkflowExecutionUpdateRequest,
            PollWorkflowExecutionUpdateResponse, UpdateWorkflowExecutionRequest,
            UpdateWorkflowExecutionResponse, execute_multi_operation_request as ask,
            execute_multi_operation_response as answer,
        },
    };

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the fields are optional")]
    fn policy(stage: Stage) -> Option<WaitPolicy> {
        Some(WaitPolicy { lifecycle_stage: stage as i32 })
    }

    fn update_of(stage: Stage) -> UpdateWorkflowExecutionRequest {
        UpdateWorkflowExecutionRequest {
            workflow_execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
            wait_policy: policy(stage),
            request: Some(Request {
                meta: Some(Meta::default()),
                input: Some(Input { name: "rename".into(), ..Default::default() }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn a_call(method: &str, request: &impl prost::Message) -> Call {
        Call {
            method: method.into(),
            request: request.encode_to_vec().into(),
            retry: true,
            ..Default::default()
        }
    }

    fn update(stage: Stage) -> Call {
        a_call("UpdateWorkflowExecution", &update_of(stage))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the fields are optional")]
    fn outcome() -> Option<Outcome> {
        Some(Outcome { value: Some(outcome::Value::Success(Payloads::default())) })
    }

    fn updated(stage: Stage) -> UpdateWorkflowExecutionResponse {
        let execution = WorkflowExecution { workflow_id: "w".into(), run_id: "r".into() };
        UpdateWorkflowExecutionResponse {
            update_ref: Some(UpdateRef { workflow_execution: Some(execution), update_id: "u1".into() }),
            outcome: outcome().filter(|_| stage == Stage::Completed),
            stage: stage as i32,
            ..Default::default()
        }
    }

    fn polled(stage: Stage) -> Answer {
        let outcome = outcome().filter(|_| stage == Stage::Completed);
        let response =
            PollWorkflowExecutionUpdateResponse { outcome, stage: stage as i32, ..Default::default() };
        Answer::Is(response.encode_to_vec())
    }

    fn is(response: &impl prost::Message) -> Answer {
        Answer::Is(response.encode_to_vec())
    }

    /// What a call comes to, and which methods it asked for.
    async fn answered<R: prost::Message + Default>(
        script: &Script,
        call: Call,
    ) -> (Result<R, CallError>, String) {
        let client = script.client(ConnectOptions::default()).await;
        let result = match client.call(call).await.result.unwrap() {
            call_result::Result::Response(bytes) => Ok(R::decode(bytes).unwrap()),
            call_result::Result::Error(error) => Err(error),
        };
        let requests = script.requests.lock().unwrap();
        let methods = requests.iter().map(|request| request.path.rsplit('/').next().unwrap());
        (result, methods.collect::<Vec<_>>().join(" "))
    }

    #[tokio::test]
    async fn an_update_is_asked_for_until_it_is_accepted_and_then_for_its_outcome() {
        let script = Script::new([
            is(&updated(Stage::Admitted)),
            Answer::Fails(Code::DeadlineExceeded),
            Answer::Fails(Code::Unavailable),
            is(&updated(Stage::Accepted)),
            polled(Stage::Accepted),
            Answer::Fails(Code::Unavailable),
            polled(Stage::Completed),
        ]);
        let (response, asked) = answered(&script, update(Stage::Completed)).await;
        assert_eq!(response, Ok(updated(Stage::Completed)));
        let (once, poll) = ("UpdateWorkflowExecution", "PollWorkflowExecutionUpdate");
        assert_eq!(asked, [once, once, once, once, poll, poll, poll].join(" "));
        let requests = script.requests.lock().unwrap();
        assert_eq!(
            requests[0].body, requests[3].body,
            "the update's id is the same, so it is asked for once"
        );
        let first: UpdateWorkflowExecutionRequest = requests[0].message();
        assert!(!first.request.unwrap().meta.unwrap().update_id.is_empty());
        let poll: PollWorkflowExecutionUpdateRequest = requests[4].message();
        assert_eq!(
            (poll.update_ref, poll.namespace.as_str()),
            (updated(Stage::Accepted).update_ref, "default")
        );
        assert_eq!(poll.wait_policy, policy(Stage::Completed));
    }

    #[tokio::test]
    async fn who_does_not_say_how_far_waits_for_its_outcome() {
        let script = Script::new([is(&updated(Stage::Accepted)), polled(Stage::Completed)]);
        let (response, asked) = answered(&script, update(Stage::Unspecified)).await;
        assert_eq!(response, Ok(updated(Stage::Completed)), "so do servers take it");
        assert_eq!(asked, "UpdateWorkflowExecution PollWorkflowExecutionUpdate");
    }

    #[tokio::test]
    async fn who_waits_for_its_acceptance_does_not_poll() {
        let script = Script::new([is(&updated(Stage::Admitted)), is(&updated(Stage::Accepted))]);
        let (response, asked) = answered(&script, update(Stage::Accepted)).await;
        assert_eq!(response, Ok(updated(Stage::Accepted)));
        assert_eq!(asked, "UpdateWorkflowExecution UpdateWorkflowExecution");
        let script = Script::new([is(&updated(Stage::Completed))]);
        let (response, _) = answered(&script, update(Stage::Accepted)).await;
        assert_eq!(response, Ok(updated(Stage::Completed)), "a rejected one is as far as it comes");
    }

    #[tokio::test]
    async fn without_retry_an_update_is_asked_for_once() {
        let script = Script::new([is(&updated(Stage::Admitted))]);
        let call = Call { retry: false, ..update(Stage::Completed) };
        let (response, asked) = answered(&script, call).await;
        assert_eq!((response, asked.as_str()), (Ok(updated(Stage::Admitted)), "UpdateWorkflowExecution"));
    }

    #[tokio::test]
    async fn a_poll_waits_if_it_says_so() {
        let poll = |wait_policy| {
            let request = PollWorkflowExecutionUpdateRequest { wait_policy, ..Default::default() };
            a_call("PollWorkflowExecutionUpdate", &request)
        };
        for (wait_policy, calls) in [(None, 1), (policy(Stage::Accepted), 2), (policy(Stage::Completed), 3)] {
            let script = Script::new([Stage::Admitted, Stage::Accepted, Stage::Completed].map(polled));
            let (response, asked) =
                answered::<PollWorkflowExecutionUpdateResponse>(&script, poll(wait_policy)).await;
            assert_eq!(asked.split(' ').count(), calls, "{wait_policy:?}");
            assert_eq!(response.unwrap().stage, calls as i32);
        }
    }

    #[tokio::test]
    async fn what_the_server_refuses_is_not_asked_again_and_a_deadline_ends_the_wait() {
        let script = Script::new([is(&updated(Stage::Admitted)), Answer::Fails(Code::NotFound)]);
        let (response, _) =
            answered::<UpdateWorkflowExecutionResponse>(&script, update(Stage::Accepted)).await;
        assert_eq!(response.unwrap_err().code, Code::NotFound as i32);
        let script = Script::new([is(&updated(Stage::Accepted)), Answer::Never]);
        let timeout = Duration::from_millis(50).try_into().ok();
        let call = Call { timeout, ..update(Stage::Completed) };
        let (response, _) = answered::<UpdateWorkflowExecutionResponse>(&script, call).await;
        let error = response.unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded as i32);
        assert_eq!(error.message, "the update did not come to the stage COMPLETED within 50ms");
    }

    fn said(stage: Stage, started: bool) -> ExecuteMultiOperationResponse {
        let start = StartWorkflowExecutionResponse { started, ..super::started() };
        let parts = [
            answer::response::Response::StartWorkflow(start),
            answer::response::Response::UpdateWorkflow(updated(stage)),
        ];
        let responses = parts.map(|part| answer::Response { response: Some(part) }).to_vec();
        ExecuteMultiOperationResponse { responses }
    }

    #[tokio::test]
    async fn a_start_with_an_update_is_one_start_however_often_it_is_asked_for() {
        let start = StartWorkflowExecutionRequest { workflow_id: "w".into(), ..Default::default() };
        let parts = [
            ask::operation::Operation::StartWorkflow(start),
            ask::operation::Operation::UpdateWorkflow(update_of(Stage::Completed)),
        ];
        let operations = parts.map(|part| ask::Operation { operation: Some(part) }).to_vec();
        let request = ExecuteMultiOperationRequest { operations, ..Default::default() };
        let script = Script::new([
            is(&said(Stage::Admitted, true)),
            Answer::Fails(Code::Unavailable),
            is(&said(Stage::Accepted, false)),
            polled(Stage::Completed),
        ]);
        let (response, asked) = answered(&script, a_call("ExecuteMultiOperation", &request)).await;
        assert_eq!(
            response,
            Ok(said(Stage::Completed, true)),
            "the first answer says whether it was started"
        );
        let once = "ExecuteMultiOperation";
        assert_eq!(asked, [once, once, once, "PollWorkflowExecutionUpdate"].join(" "));
        let requests = script.requests.lock().unwrap();
        assert_eq!(requests[0].body, requests[2].body);
        let sent: ExecuteMultiOperationRequest = requests[0].message();
        let Some(ask::operation::Operation::StartWorkflow(start)) = &sent.operations[0].operation else {
            panic!()
        };
        assert!(!start.request_id.is_empty());
        assert_eq!((start.namespace.as_str(), sent.namespace.as_str()), ("default", "default"));
    }
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
