//! One run that cannot be used, and everything else that goes on.

use std::os::unix::fs::FileExt;

use super::{simulation::Flaky, *};
use crate::store::{Commit, Holder, RunCommit, RunWrite, Terms};

/// Three runs, of which the middle one's state is damaged while the server is down.
async fn damaged() -> Executions {
    let store = Arc::new(MemoryStore::default());
    let on = open(store.clone(), ClockKind::System);
    for id in ["one", "two", "three"] {
        on.start_workflow(&namespace(), start_request(id), false).await.unwrap();
    }
    on.shutdown().await;
    let shard = on.shard_index("two");
    let lease = store.take_lease(shard, &Holder::default(), Terms::Sole).unwrap().token;
    let seq = store.find("ns", "two", None).unwrap().unwrap();
    let change = RunCommit { state: vec![0xff; 9], status: 1, runnable: true, ..Default::default() };
    let commit =
        Commit { shard, lease, runs: vec![RunWrite { seq, new: None, change }], ..Default::default() };
    store.commit(&commit).unwrap();
    open(store, ClockKind::System)
}

fn terminate_request(id: &str) -> TerminateWorkflowExecutionRequest {
    TerminateWorkflowExecutionRequest { workflow_execution: execution(id), ..Default::default() }
}

fn execution(id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() })
}

async fn summary(on: &Executions, id: &str) -> String {
    let request = DescribeWorkflowExecutionRequest { execution: execution(id), ..Default::default() };
    let described = on.describe(&namespace(), request).await.unwrap();
    let metadata = described.execution_config.unwrap().user_metadata.unwrap();
    String::from_utf8(metadata.summary.unwrap().data.to_vec()).unwrap()
}

#[tokio::test]
async fn a_run_that_cannot_be_read_stops_no_other() {
    let on = damaged().await;
    for _ in 0..2 {
        let task = poll(&on, "tq").await;
        respond(&on, &task, vec![complete()]).await.unwrap();
    }
    for id in ["one", "three"] {
        assert!(kinds(&history(&on, id).await).contains(&EventType::WorkflowExecutionCompleted));
    }
    let refused = signal(&on, "two", "hello").await.unwrap_err();
    assert_eq!(refused.kind().code(), tonic::Code::DataLoss);
    assert!(refused.message().contains("terminate it"), "{refused}");
    assert!(summary(&on, "two").await.contains("set aside"));
}

#[tokio::test]
async fn a_run_that_is_set_aside_is_terminated_by_hand_and_its_id_is_free() {
    let on = damaged().await;
    assert!(on.start_workflow(&namespace(), start_request("two"), false).await.is_err());
    on.terminate(&namespace(), terminate_request("two")).await.unwrap();
    assert_eq!(
        on.terminate(&namespace(), terminate_request("two")).await.unwrap_err().kind().code(),
        tonic::Code::NotFound
    );
    let mut request = start_request("two");
    request.request_id = "again".into();
    on.start_workflow(&namespace(), request, false).await.unwrap();
    assert_eq!(kinds(&history(&on, "two").await)[0], EventType::WorkflowExecutionStarted);
}

/// Zeros where a leaf of the table of runs was, in its middle.
fn break_runs(path: &std::path::Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = 'runs' AND pagetype = 'leaf' ORDER BY path";
    let mut leaves = connection.prepare(sql).unwrap();
    let leaves: rusqlite::Result<Vec<u32>> = leaves.query_map([], |row| row.get(0)).unwrap().collect();
    let leaves = leaves.unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let page = leaves[leaves.len() / 2];
    file.write_all_at(&[0; 4_096], u64::from(page - 1) * 4_096).unwrap();
}

#[tokio::test]
async fn runs_on_a_broken_page_are_set_aside_terminated_and_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let file = || Arc::new(SqliteStore::open(&path).unwrap());
    let on = open(file(), ClockKind::System);
    let ids: Vec<String> = (0..40).map(|number| format!("w-{number}")).collect();
    for id in &ids {
        on.start_workflow(&namespace(), start_request(id), false).await.unwrap();
    }
    on.shutdown().await;
    drop(on);
    break_runs(&path);

    let on = open(file(), ClockKind::System);
    let mut set_aside = 0;
    for id in &ids {
        match signal(&on, id, "hello").await {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind().code(), tonic::Code::DataLoss, "{id}: {error}");
                set_aside += 1;
            }
        }
    }
    assert!((1..20).contains(&set_aside), "{set_aside}");
    for id in &ids {
        on.terminate(&namespace(), terminate_request(id)).await.unwrap();
        let mut request = start_request(id);
        request.request_id = "again".into();
        on.start_workflow(&namespace(), request, false).await.unwrap();
        signal(&on, id, "hello").await.unwrap();
    }
    on.shutdown().await;
}

#[tokio::test]
async fn a_run_whose_handling_panics_is_set_aside_and_the_shard_goes_on() {
    let on = memory();
    for id in ["good", "bad"] {
        on.start_workflow(&namespace(), start_request(id), false).await.unwrap();
    }
    let lost = inspect(&on, on.shard_index("bad"), |shard| {
        let target = super::super::runs::Target::named("ns", "bad", "");
        shard.at_work = Some(shard.find(&target).unwrap());
        panic!("a defect of the engine")
    })
    .await;
    assert!(lost.unwrap_err().message().contains("set aside"));
    assert!(summary(&on, "bad").await.contains("a defect of the engine"));
    signal(&on, "good", "hello").await.unwrap();
    let task = poll(&on, "tq").await;
    assert_eq!(task.workflow_execution.as_ref().unwrap().workflow_id, "good");
    respond(&on, &task, vec![complete()]).await.unwrap();
    assert_eq!(*on.failed().borrow(), None);
}

#[tokio::test]
async fn a_run_that_a_commit_finds_damaged_is_set_aside_and_the_others_are_read_back() {
    let store = Arc::new(Flaky::default());
    let on = open(store.clone(), ClockKind::System);
    for id in ["good", "bad"] {
        on.start_workflow(&namespace(), start_request(id), false).await.unwrap();
    }
    *store.damaged.lock() = store.find("ns", "bad", None).unwrap();
    assert_eq!(signal(&on, "good", "hello").await.unwrap_err().kind().code(), tonic::Code::Unavailable);
    assert_eq!(signal(&on, "bad", "hello").await.unwrap_err().kind().code(), tonic::Code::DataLoss);
    signal(&on, "good", "hello").await.unwrap();
    on.terminate(&namespace(), terminate_request("bad")).await.unwrap();
    let task = poll(&on, "tq").await;
    assert_eq!(task.workflow_execution.as_ref().unwrap().workflow_id, "good");
    respond(&on, &task, vec![complete()]).await.unwrap();
}

#[tokio::test]
async fn a_shard_that_panics_for_no_run_gives_up_and_says_so() {
    let on = memory();
    let mut failed = on.failed();
    while failed.borrow_and_update().is_none() {
        let lost = inspect(&on, on.shard_index("any"), |_| panic!("its books are wrong")).await;
        assert_eq!(lost.unwrap_err().kind().code(), tonic::Code::Unavailable);
    }
    let refused = signal(&on, "any", "hello").await.unwrap_err();
    assert!(refused.message().contains("its books are wrong"), "{refused}");
}
