//! Copies of state files: of one in use, of one that a crash left, and of what is none.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use durably_proto::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, workflow_service_client::WorkflowServiceClient,
};
use durably_server::{OpenError, Server, ServerOptions, State, back_up};
use tokio::sync::mpsc;

use crate::support::*;

async fn open(path: &Path) -> Server {
    Server::open(ServerOptions { state: State::File(path.to_owned()), ..Default::default() }).await.unwrap()
}

/// Copies without holding up who calls.
async fn copied(from: &Path, to: &Path) -> Result<(), OpenError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    tokio::task::spawn_blocking(move || back_up(&from, &to)).await.unwrap()
}

async fn has(server: &Server, workflow_id: &str) -> bool {
    let mut client = WorkflowServiceClient::new(server.service());
    let request = DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(workflow_id, "")),
    };
    client.describe_workflow_execution(request).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_file_in_use_has_all_that_was_acknowledged_before() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("state.db"), directory.path().join("copy.db"));
    let server = open(&path).await;
    let mut client = WorkflowServiceClient::new(server.service());
    // Somebody starts workflows all the while.
    let (acknowledged, mut seen) = mpsc::unbounded_channel();
    let starting = tokio::spawn(async move {
        for number in 0.. {
            client.start_workflow_execution(start(&format!("order-{number}"))).await.unwrap();
            if acknowledged.send(number).is_err() {
                break;
            }
        }
    });
    let mut before = 0;
    while before < 20 {
        before = seen.recv().await.unwrap();
    }
    copied(&path, &copy).await.unwrap();
    // It goes on, with the file that it has.
    let mut after = 0;
    while after < before + 20 {
        after = seen.recv().await.unwrap();
    }
    drop(seen);
    starting.await.unwrap();

    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(
        names.iter().filter(|name| name.to_string_lossy().starts_with("copy")).count(),
        1,
        "one file: {names:?}"
    );
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = open(&copy).await;
    for number in 0..=before {
        assert!(has(&restored, &format!("order-{number}")).await, "order-{number} of {before}");
    }
    assert!(has(&server, &format!("order-{after}")).await);
    // Both can be used at once: they are two states from here on.
    let mut client = WorkflowServiceClient::new(restored.service());
    client.start_workflow_execution(start("only-in-the-copy")).await.unwrap();
    assert!(!has(&server, "only-in-the-copy").await);
    restored.shutdown().await;
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_crash_left_is_copied_with_its_log_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let server = open(&path).await;
    let mut client = WorkflowServiceClient::new(server.service());
    client.start_workflow_execution(start("order-1")).await.unwrap();
    // The file and its log as a crash would leave them now.
    let crashed = directory.path().join("crashed.db");
    fs::copy(&path, &crashed).unwrap();
    fs::copy(directory.path().join("state.db-wal"), directory.path().join("crashed.db-wal")).unwrap();
    server.shutdown().await;

    let (first, second) = (directory.path().join("first.db"), directory.path().join("second.db"));
    copied(&crashed, &first).await.unwrap();
    copied(&crashed, &second).await.unwrap();
    for path in [&first, &second, &crashed] {
        let restored = open(path).await;
        assert!(has(&restored, "order-1").await, "{}", path.display());
        restored.shutdown().await;
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let server = open(&at("state.db")).await;
    fs::write(at("there.db"), "somebody's").unwrap();
    let error = copied(&at("state.db"), &at("there.db")).await.unwrap_err();
    assert!(error.to_string().contains("there.db is there already"), "{error}");
    assert_eq!(fs::read(at("there.db")).unwrap(), b"somebody's");

    let error = copied(&at("none.db"), &at("copy.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
    let error = copied(&at("there.db"), &at("copy.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    let error = copied(&at("state.db"), &at("no/folder/copy.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::DirectoryMissing { .. }), "{error:?}");
    // Copied by other means, without its log.
    fs::copy(at("state.db"), at("half.db")).unwrap();
    let error = copied(&at("half.db"), &at("copy.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::LogMissing { .. }), "{error:?}");
    assert!(error.to_string().contains("durably server backup"), "{error}");

    let left = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("copy.db")));
    server.shutdown().await;
}
