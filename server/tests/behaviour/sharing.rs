//! State files and sockets: who owns what, what the others get, and what is said when it does not work.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use durably_proto::temporal::api::{
    query::v1::WorkflowQuery,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use durably_server::{Handle, OpenError, Server, ServerOptions, State, open_or_join};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::*;

fn on_file(path: impl Into<PathBuf>) -> ServerOptions {
    ServerOptions { state: State::File(path.into()), ..Default::default() }
}

async fn refused(options: ServerOptions) -> OpenError {
    match Server::open(options).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_second_opener_joins_the_owner_and_loses_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let Handle::Owner(owner) = open_or_join(on_file(&path)).await.unwrap() else {
        panic!("nobody has it yet")
    };
    let Handle::Joined(joined) = open_or_join(on_file(&path)).await.unwrap() else { panic!("two owners") };
    let mut joined = WorkflowServiceClient::new(joined);
    let run_id = joined.start_workflow_execution(start("order-1")).await.unwrap().into_inner().run_id;
    let mut inside = WorkflowServiceClient::new(owner.service());
    let described = DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("order-1", "")),
    };
    let seen = inside.describe_workflow_execution(described.clone()).await.unwrap().into_inner();
    assert_eq!(seen.workflow_execution_info.unwrap().execution.unwrap().run_id, run_id);

    let locked = refused(on_file(&path)).await;
    assert!(matches!(locked, OpenError::Locked { .. }), "{locked}");
    assert!(locked.to_string().contains(&std::process::id().to_string()), "{locked}");

    owner.shutdown().await;
    let gone = joined.describe_workflow_execution(described.clone()).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable, "{gone}");
    let gone = inside.describe_workflow_execution(described.clone()).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable, "{gone}");

    let Handle::Owner(next) = open_or_join(on_file(&path)).await.unwrap() else {
        panic!("the owner is gone")
    };
    let mut inside = WorkflowServiceClient::new(next.service());
    inside.describe_workflow_execution(described).await.unwrap();
    next.shutdown().await;
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".sock")), "{left:?}");
}

#[tokio::test]
async fn a_dropped_server_leaves_its_file_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let server = Server::open(on_file(&path)).await.unwrap();
    let mut inside = WorkflowServiceClient::new(server.service());
    inside.start_workflow_execution(start("order-1")).await.unwrap();
    drop((server, inside));
    let Handle::Owner(next) = open_or_join(on_file(&path)).await.unwrap() else { panic!("nobody has it") };
    let mut inside = WorkflowServiceClient::new(next.service());
    let described = DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("order-1", "")),
    };
    inside.describe_workflow_execution(described).await.unwrap();
}

/// Otherwise it would hold its descriptor for good.
#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let harness = Harness::start().await;
    let mut silent = tokio::net::TcpStream::connect(harness.address).await.unwrap();
    let mut halting = tokio::net::TcpStream::connect(harness.address).await.unwrap();
    halting.write_all(b"PRI * HTTP").await.unwrap();
    for peer in [&mut silent, &mut halting] {
        let mut rest = Vec::new();
        // What the server says before it closes the connection is its own affair.
        let closed = tokio::time::timeout(Duration::from_secs(40), peer.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is still open");
    }
}

#[tokio::test]
async fn a_call_in_this_process_ends_at_its_deadline() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let mut inside = WorkflowServiceClient::new(server.service());
    inside.start_workflow_execution(start("order-1")).await.unwrap();
    let query = QueryWorkflowRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("order-1", "")),
        query: Some(WorkflowQuery { query_type: "status".into(), ..Default::default() }),
        ..Default::default()
    };
    // Nobody answers: there is no worker.
    let refused = inside.query_workflow(within(Duration::from_millis(50), query)).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
    let poll = PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue("quiet")),
        ..Default::default()
    };
    let answer = inside.poll_workflow_task_queue(within(Duration::from_millis(2_100), poll)).await.unwrap();
    assert!(answer.into_inner().task_token.is_empty());
}

#[tokio::test]
async fn shutting_down_answers_polls_at_once_and_empty() {
    let harness = Harness::start().await;
    let poll = tokio::spawn({
        let mut client = harness.client();
        let request = PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: Some(queue(QUEUE)),
            ..Default::default()
        };
        async move { client.poll_workflow_task_queue(within(Duration::from_mins(1), request)).await }
    });
    // The poll is there when the queue knows its poller.
    loop {
        let request = DescribeTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: Some(queue(QUEUE)),
            ..Default::default()
        };
        let described = harness.client().describe_task_queue(request).await.unwrap().into_inner();
        if !described.pollers.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    harness.server.shutdown().await;
    let answer = poll.await.unwrap().unwrap().into_inner();
    assert!(answer.task_token.is_empty());
}

#[tokio::test]
async fn what_is_no_state_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let notes = directory.path().join("notes.txt");
    fs::write(&notes, "a shopping list that is long enough to look like something").unwrap();
    let before = fs::read(&notes).unwrap();
    let corrupt = refused(on_file(&notes)).await;
    assert!(matches!(corrupt, OpenError::Corrupt { .. }), "{corrupt}");
    assert!(corrupt.to_string().contains("notes.txt"), "{corrupt}");
    assert!(corrupt.to_string().contains("Nothing was changed"), "{corrupt}");
    assert_eq!(fs::read(&notes).unwrap(), before);

    let missing = refused(on_file(directory.path().join("no/such/state.db"))).await;
    assert!(matches!(missing, OpenError::DirectoryMissing { .. }), "{missing}");
    let folder = refused(on_file(directory.path())).await;
    assert!(matches!(folder, OpenError::InvalidOption { .. }), "{folder}");
}

#[tokio::test]
async fn an_end_in_order_leaves_one_file_that_others_cannot_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let server = Server::open(on_file(&path)).await.unwrap();
    let mut inside = WorkflowServiceClient::new(server.service());
    inside.start_workflow_execution(start("order-1")).await.unwrap();
    let files = || {
        let entries = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> = entries
            .map(|entry| {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                (entry.file_name().into_string().unwrap(), mode)
            })
            .collect();
        files.sort();
        files
    };
    let names = ["state.db", "state.db-shm", "state.db-wal", "state.db.lock", "state.db.sock"];
    assert_eq!(files(), names.map(|name| (name.to_owned(), 0o600)));
    server.shutdown().await;
    assert_eq!(files(), [("state.db".to_owned(), 0o600)]);
}

#[tokio::test]
async fn a_file_that_lost_something_or_has_two_names_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    let error = refused(on_file(&empty)).await;
    assert!(matches!(error, OpenError::Empty { .. }), "{error:?}");
    assert_eq!(fs::read(&empty).unwrap(), b"");

    let path = directory.path().join("state.db");
    let server = Server::open(on_file(&path)).await.unwrap();
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let error = refused(on_file(&copy)).await;
    assert!(matches!(error, OpenError::LogMissing { .. }), "{error:?}");
    let other = directory.path().join("other.db");
    fs::hard_link(&path, &other).unwrap();
    let error = refused(on_file(&other)).await;
    assert!(matches!(error, OpenError::Linked { .. }), "{error:?}");
    // Whoever has it goes on meanwhile.
    let mut inside = WorkflowServiceClient::new(server.service());
    inside.start_workflow_execution(start("order-1")).await.unwrap();
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_whose_file_was_deleted_acknowledges_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let server = Server::open(on_file(&path)).await.unwrap();
    let mut inside = WorkflowServiceClient::new(server.service());
    inside.start_workflow_execution(start("order-1")).await.unwrap();
    fs::remove_file(&path).unwrap();
    let error = inside.start_workflow_execution(start("order-2")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("deleted"), "{error}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_damaged_or_newer_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let damaged = directory.path().join("damaged.db");
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.extend([0xA5; 8_192]);
    fs::write(&damaged, &bytes).unwrap();
    let corrupt = refused(on_file(&damaged)).await;
    assert!(matches!(corrupt, OpenError::Corrupt { .. }), "{corrupt:?}");
    assert_eq!(fs::read(&damaged).unwrap(), bytes);

    let newer = directory.path().join("newer.db");
    let server = Server::open(on_file(&newer)).await.unwrap();
    server.shutdown().await;
    drop(server);
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 9_999).unwrap();
    let error = refused(on_file(&newer)).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 9_999, .. }), "{error:?}");

    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE music (title)").unwrap();
    let error = refused(on_file(&foreign)).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let error = Server::bind(address).await.unwrap_err();
    assert!(matches!(error, OpenError::AddressInUse { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.to_string().contains("--port"), "{error}");
}

#[tokio::test]
async fn health_and_capabilities_are_told() {
    let harness = Harness::start().await;
    let channel = Endpoint::new(format!("http://{}", harness.address)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    for service in ["", "temporal.api.workflowservice.v1.WorkflowService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let info = harness.client().get_system_info(GetSystemInfoRequest {}).await.unwrap().into_inner();
    let capabilities = info.capabilities.unwrap();
    assert!(capabilities.signal_and_query_header && !capabilities.supports_schedules);
    let cluster = harness.client().get_cluster_info(GetClusterInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(cluster.persistence_store, "sqlite");
}

#[tokio::test]
async fn a_server_without_its_file_is_not_serving_and_says_why() {
    let harness = Harness::start().await;
    let channel = Endpoint::new(format!("http://{}", harness.address)).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut heard = async move || watched.message().await.unwrap().unwrap().status();
    assert_eq!(heard().await, ServingStatus::Serving);
    let check = async |service: &str| {
        let answer = health.clone().check(HealthCheckRequest { service: service.into() }).await.unwrap();
        let reason =
            answer.metadata().get("durably-not-serving").map(|text| text.to_str().unwrap().to_owned());
        (answer.into_inner().status(), reason)
    };
    let (state, away) = (harness.directory.path(), harness.directory.path().with_extension("away"));
    // The whole folder.
    std::fs::rename(state, &away).unwrap();
    for service in ["", "temporal.api.workflowservice.v1.WorkflowService"] {
        let (status, reason) = check(service).await;
        assert_eq!(status, ServingStatus::NotServing, "{service}");
        let reason = reason.unwrap();
        assert!(reason.contains("state.db was deleted, moved or replaced while in use"), "{reason}");
    }
    assert_eq!(heard().await, ServingStatus::NotServing);
    // It is back where it was.
    std::fs::rename(&away, state).unwrap();
    assert_eq!(check("").await, (ServingStatus::Serving, None));
    assert_eq!(heard().await, ServingStatus::Serving);
    // The file is deleted, and nobody asks: a commit meets it, and those who watch hear of it.
    std::fs::remove_file(state.join("state.db")).unwrap();
    let refused = harness.client().start_workflow_execution(start("order-1")).await.unwrap_err();
    assert!(refused.message().contains("was deleted"), "{refused}");
    assert_eq!(heard().await, ServingStatus::NotServing);
    harness.server.shutdown().await;
}
