//! Embedded servers: one per state file, shared, taken over, released.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![allow(clippy::unnecessary_wraps, reason = "fields of messages are options")]

mod sdk;

use std::path::Path;

use durably_core::Client;
use durably_proto::{
    durably::core::v1::{
        AwaitWorkflow, BackUpRequest, Call, ConnectOptions, EmbeddedOptions, WorkerOptions, call_result,
        workflow_result,
    },
    temporal::api::{enums::v1::RetryState, taskqueue::v1::TaskQueue, workflowservice::v1::*},
};
use durably_server::{Server, ServerOptions, State};
use prost::Message as _;
use sdk::*;

fn file(path: &Path) -> ConnectOptions {
    ConnectOptions { target: format!("embedded:{}", path.display()), ..Default::default() }
}

async fn open(path: &Path) -> Client {
    Client::connect(file(path)).await.expect("the file can be opened")
}

async fn describe(client: &Client, id: &str) -> Result<(), i32> {
    let request = DescribeWorkflowExecutionRequest { execution: execution(id), ..Default::default() };
    let described: Result<DescribeWorkflowExecutionResponse, _> =
        call(client, "DescribeWorkflowExecution", &request).await;
    described.map(drop).map_err(|(code, _)| code)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_file_share_its_server_and_release_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let (first, second) = tokio::join!(open(&path), open(&path));
    start(&first, "w", "one", "").await;
    first.close().await;
    describe(&second, "one").await.expect("the server lives as long as its last client");
    second.close().await;
    assert!(describe(&second, "one").await.is_err());
    let options = ServerOptions { state: State::File(path.clone()), ..Default::default() };
    let other = Server::open(options).await.expect("the file is released");
    other.shutdown().await;
    let again = open(&path).await;
    describe(&again, "one").await.expect("the file remembers");
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_client_releases_its_file_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    drop(open(&path).await);
    let options = ServerOptions { state: State::File(path), ..Default::default() };
    loop {
        match Server::open(options.clone()).await {
            Ok(server) => break server.shutdown().await,
            Err(durably_server::OpenError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_joined_and_taken_over_when_its_owner_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let options = ServerOptions { state: State::File(path.clone()), ..Default::default() };
    // Stands for another process: the registry of this one's clients doesn't know it.
    let owner = Server::open(options).await.unwrap();
    let client = open(&path).await;
    start(&client, "w", "one", "").await;
    owner.shutdown().await;
    drop(owner);
    describe(&client, "one").await.expect("the client has taken the file over");
    start(&client, "w", "two", "").await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_and_ports_are_options() {
    let embedded = EmbeddedOptions { namespaces: vec!["orders".into()], ..Default::default() };
    let options = ConnectOptions {
        target: "embedded:".into(),
        namespace: "orders".into(),
        embedded: Some(embedded),
        ..Default::default()
    };
    let client = Client::connect(options.clone()).await.unwrap();
    start(&client, "w", "one", "").await;
    client.close().await;

    let listen = |listen: &str| {
        let embedded = Some(EmbeddedOptions { listen: listen.into(), ..Default::default() });
        ConnectOptions { embedded, ..options.clone() }
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Client::connect(listen(&address)).await.err().expect("the port is taken");
    assert!(error.message.contains(&address), "{}", error.message);
    drop(taken);
    let owner = Client::connect(listen(&address)).await.unwrap();
    let remote = ConnectOptions { target: address, ..Default::default() };
    let remote = Client::connect(remote).await.expect("it listens");
    start(&remote, "w", "one", "").await;
    assert_eq!(describe(&remote, "one").await, Ok(()));
    let request = AwaitWorkflow { workflow_id: "one".into(), ..Default::default() };
    let (awaited, ()) = tokio::join!(remote.await_workflow(request), async {
        tokio::task::yield_now().await;
        remote.close().await;
    });
    assert_eq!(awaited.expect_err("it is closed while it waits").code, 1);
    owner.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_several_namespaces() {
    let embedded = Some(EmbeddedOptions { namespaces: vec!["orders".into()], ..Default::default() });
    let options = ConnectOptions { target: "embedded:".into(), embedded, ..Default::default() };
    let client = Client::connect(options).await.unwrap();
    let registry =
        Registry::default().workflow("fails", |_| async { Outcome::Failed(failure("out of stock")) });
    let namespace = || "orders".to_owned();
    let options = WorkerOptions {
        task_queue: "w".into(),
        namespace: namespace(),
        workflows: true,
        ..Default::default()
    };
    let sdk = Sdk::start(&client, options, registry);
    start_with(&client, "fails", "w", "", |request| request.namespace = namespace()).await;
    let request = AwaitWorkflow { namespace: namespace(), workflow_id: "w".into(), ..Default::default() };
    let result = client.await_workflow(request).await.unwrap();
    assert_eq!(result.retry_state(), RetryState::RetryPolicyNotSet);
    assert!(matches!(result.outcome, Some(workflow_result::Outcome::Failed(_))), "{result:?}");
    let elsewhere = AwaitWorkflow { workflow_id: "w".into(), ..Default::default() };
    let error =
        client.await_workflow(elsewhere).await.expect_err("the default namespace has no such workflow");
    assert_eq!(error.code, 5, "{error:?}");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing").join("state.db");
    let error = Client::connect(file(&missing)).await.err().expect("there is no directory");
    assert!(error.message.contains("missing"), "{}", error.message);
    let garbage = directory.path().join("garbage.db");
    std::fs::write(&garbage, b"this is no database, and it is long enough to be looked at".repeat(100))
        .unwrap();
    let error = Client::connect(file(&garbage)).await.err().expect("it is no database");
    assert!(error.message.contains("garbage.db"), "{}", error.message);
}

/// Asks for a copy; the answer is the status code and the message of a refusal.
async fn back_up(client: &Client, to: &Path) -> Result<(), (i32, String)> {
    let request = BackUpRequest { path: to.display().to_string() };
    let call = Call {
        service: "durably.core.v1.Embedded".into(),
        method: "BackUp".into(),
        request: request.encode_to_vec().into(),
        ..Default::default()
    };
    match client.call(call).await.result {
        Some(call_result::Result::Error(error)) => Err((error.code, error.message)),
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_copies_the_state_that_its_process_has_or_says_who_can() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let client = open(&at("state.db")).await;
    start(&client, "w", "one", "").await;
    back_up(&client, &at("copy.db")).await.unwrap();
    let (code, message) = back_up(&client, &at("copy.db")).await.unwrap_err();
    assert!(code == 3 && message.contains("copy.db is there already"), "{code} {message}");
    let copy = open(&at("copy.db")).await;
    describe(&copy, "one").await.expect("the copy has what was acknowledged");

    let options = ServerOptions { state: State::File(at("other.db")), ..Default::default() };
    let other = Server::open(options).await.unwrap();
    let joined = open(&at("other.db")).await;
    back_up(&joined, &at("joined.db")).await.expect("whoever has the file open");
    let memory = Client::connect(ConnectOptions { target: "embedded:".into(), ..Default::default() });
    let (code, message) = back_up(&memory.await.unwrap(), &at("none.db")).await.unwrap_err();
    assert!(code == 9 && message.contains("in memory"), "{code} {message}");
    let far = ConnectOptions { target: "127.0.0.1:1".into(), lazy: true, ..Default::default() };
    let far = Client::connect(far).await.unwrap();
    let (code, message) = back_up(&far, &at("none.db")).await.unwrap_err();
    assert!(code == 9 && message.contains("durably server backup"), "{code} {message}");
    assert!(!at("none.db").exists());
    for client in [client, copy, joined] {
        client.close().await;
    }
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_when_its_server_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::File(directory.path().join("state.db"));
    let options = ServerOptions { state, ..Default::default() };
    let serve = |listener| {
        let options = options.clone();
        async move {
            let server = Server::open(options).await.unwrap();
            let serving = server.clone();
            tokio::spawn(async move { serving.serve(listener).await });
            server
        }
    };
    let listener = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener).await;
    let target = address.to_string();
    let client = Client::connect(ConnectOptions { target, ..Default::default() }).await.unwrap();
    let registry = || {
        Registry::default()
            .workflow("main", |context| async move {
                context.set_status("waiting");
                context.signal("go").await;
                Outcome::Completed(context.activity("echo", "there").await.unwrap())
            })
            .activity("echo", |attempt| async move { Ok(attempt.input()) })
    };
    let options =
        || WorkerOptions { workflows: true, activities: true, task_queue: "w".into(), ..Default::default() };
    let sdk = Sdk::start(&client, options(), registry());
    start(&client, "main", "w", "").await;
    while query(&client, "w", "status").await.unwrap() != "waiting" {}
    let awaiting = tokio::spawn({
        let client = client.clone();
        async move { result(&client, "w").await }
    });
    server.shutdown().await;
    drop(server);
    let listener = Server::bind(address).await.unwrap();
    let server = serve(listener).await;
    signal(&client, "w", "go", "").await;
    assert_eq!(awaiting.await.unwrap(), "there");
    assert_eq!(sdk.shut_down().await.fatal, None);
    client.close().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_once_that_its_server_is_away_and_once_that_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    let serve = async || {
        let embedded = Some(EmbeddedOptions { listen: address.clone(), ..Default::default() });
        let options = ConnectOptions { embedded, ..file(&directory.path().join("state.db")) };
        Client::connect(options).await.expect("the server starts")
    };
    let server = serve().await;
    let remote = ConnectOptions { target: address.clone(), ..Default::default() };
    let client = Client::connect(remote).await.expect("it listens");
    let options =
        WorkerOptions { task_queue: "w".into(), workflows: true, activities: true, ..Default::default() };
    let echo =
        Registry::default().workflow("echo", |context| async move { Outcome::Completed(context.input()) });
    let mut sdk = Sdk::start(&client, options, echo);
    start(&client, "w", "echo", "").await;

    server.close().await;
    assert!(sdk.connectivity().await.lost.is_some());
    let server = serve().await;
    assert_eq!(sdk.connectivity().await.lost, None);

    let ended = sdk.shut_down().await;
    assert_eq!(ended.fatal, None);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_large_is_told_with_its_size_and_the_run_waits_for_other_code() {
    let embedded = Some(EmbeddedOptions { fail_fast: true, ..Default::default() });
    let options = ConnectOptions { target: "embedded:".into(), embedded, ..Default::default() };
    let client = Client::connect(options).await.unwrap();
    let registry = Registry::default()
        .workflow("large", |_| async { Outcome::Completed("x".repeat(3 << 20)) })
        .workflow("calls", |context| async move {
            Outcome::Completed(context.activity("echo", &"x".repeat(3 << 20)).await.unwrap())
        });
    let sdk = Sdk::start(
        &client,
        WorkerOptions { task_queue: "q".into(), workflows: true, ..Default::default() },
        registry,
    );
    for (kind, what) in [
        ("large", "the result of workflow `large` takes"),
        ("calls", "the arguments of activity `echo` take"),
    ] {
        start_with(&client, kind, kind, "", |request| {
            request.task_queue = Some(TaskQueue { name: "q".into(), ..Default::default() });
        })
        .await;
        let request = AwaitWorkflow { workflow_id: kind.into(), ..Default::default() };
        let told = client.await_workflow(request).await.unwrap_err().message;
        assert!(told.contains(what), "{told}");
        assert!(told.contains("bytes; at most 2097152 are allowed"), "{told}");
        describe(&client, kind).await.expect("it is still there");
    }
    sdk.shut_down().await;
    client.close().await;
}
