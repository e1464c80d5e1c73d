//! State files of earlier releases: `server/tests/states` has one of each format. This release opens them, lists what
//! is in them, and goes on with every run.
//!
//! A release that changes the format adds its file: `cargo test -p durably-server --test behaviour -- --ignored
//! write_a_state_file` makes it. Files that are there are never made anew: no later code could write them as they are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use durably_proto::temporal::api::{
    common::v1::RetryPolicy,
    enums::v1::{
        PendingActivityState, UpdateWorkflowExecutionLifecycleStage as Stage,
        WorkflowExecutionStatus as Status,
    },
    history::v1::history_event::Attributes as Event,
    workflowservice::v1::*,
};

use crate::support::*;

/// The second namespace of each file.
const OTHER: &str = "other";
/// A third one, in files since there are child workflows.
const FAMILIES: &str = "families";
/// A fourth one, in files since there are updates.
const UPDATES: &str = "updates";
/// Ten years: what waits in a file still waits when a test opens it.
const LONG: i64 = 10 * 365 * 24 * 3_600_000;

fn states() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/states")
}

fn start_in(namespace: &str, workflow_id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest { namespace: namespace.into(), ..start(workflow_id) }
}

/// One run in each state that a file can hold.
async fn tell_the_story(harness: &Harness) {
    harness.begin("completed").await;
    harness.advance(vec![complete_workflow("done")]).await;
    harness.begin("failed").await;
    harness.advance(vec![fail_workflow("broken")]).await;
    harness.begin("continued").await;
    harness.advance(vec![continue_as_new("again")]).await;
    harness.advance(vec![complete_workflow("the second run's")]).await;

    harness.begin("waiting").await;
    harness.advance(vec![start_timer("long", millis(LONG))]).await;

    harness.begin("retried").await;
    let retried = schedule_activity("charge", |attributes| {
        attributes.start_to_close_timeout = millis(LONG);
        attributes.retry_policy =
            Some(RetryPolicy { initial_interval: millis(1), maximum_attempts: 5, ..Default::default() });
    });
    harness.advance(vec![retried]).await;
    let attempt = harness.activity_task().await;
    harness.fail_activity(&attempt, application_failure("card declined", false)).await;

    harness.begin_as(start_in(OTHER, "closed elsewhere")).await;
    harness.begin_as(start_in(OTHER, "open elsewhere")).await;
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: OTHER.into(),
        workflow_execution: Some(execution("closed elsewhere", "")),
        reason: "not needed".into(),
        ..Default::default()
    };
    harness.client().terminate_workflow_execution(terminate).await.unwrap();

    harness.begin_as(start_in(FAMILIES, "parent")).await;
    // The parent's first task, and that of its child's start.
    for commands in [vec![start_child("kid", |_| ())], Vec::new()] {
        let task = family_task(harness, "parent").await;
        harness.try_complete_in(FAMILIES, &task, commands).await.unwrap();
    }

    harness.begin_as(start_in(UPDATES, "updated")).await;
    let task = harness.poll_workflow_in(UPDATES, PATIENCE).await.unwrap();
    harness.try_complete_in(UPDATES, &task, Vec::new()).await.unwrap();
    for (update_id, replies) in [("done", 2), ("under way", 1)] {
        let mut request = update("updated", update_id);
        request.namespace = UPDATES.into();
        request.wait_policy = wait_for(Stage::Accepted);
        let asked = tokio::spawn({
            let mut client = harness.client();
            async move { client.update_workflow_execution(request).await }
        });
        let task = harness.poll_workflow_in(UPDATES, PATIENCE).await.unwrap();
        let both = [accepted(&task, 0), responded(&task, 0, "changed")];
        let completed = completed_with(UPDATES, &task, both.into_iter().take(replies).collect());
        harness.client().respond_workflow_task_completed(completed).await.unwrap();
        asked.await.unwrap().unwrap();
    }

    // Last, so that nothing is left in the queue: its workflow task is with a worker that never answers.
    harness.begin("buffered").await;
    let task = harness.workflow_task().await;
    assert_eq!(task.workflow_execution.unwrap().workflow_id, "buffered");
    harness.signal("buffered", "first", "1").await;
    harness.signal("buffered", "second", "2").await;
    harness.begin("open").await;
}

/// The next task of this run. The child's is left with a worker that is gone.
async fn family_task(harness: &Harness, workflow_id: &str) -> PollWorkflowTaskQueueResponse {
    loop {
        let task = harness.poll_workflow_in(FAMILIES, PATIENCE).await.unwrap();
        if task.workflow_execution.as_ref().is_some_and(|run| run.workflow_id == workflow_id) {
            return task;
        }
    }
}

#[tokio::test]
#[ignore = "writes the state file of the present format; run it when a release changes the format"]
async fn write_a_state_file() {
    let mut harness = Harness::with(|options| {
        options.namespaces = [NAMESPACE, OTHER, FAMILIES, UPDATES].map(str::to_owned).into();
    })
    .await;
    tell_the_story(&harness).await;
    harness.server.shutdown().await;
    let source = harness.directory.path().join("state.db");
    harness.directory.disable_cleanup(true);
    drop(harness);
    let connection = rusqlite::Connection::open(&source).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    drop(connection);
    let target = states().join(format!("v{version}.db"));
    assert!(!target.exists(), "{} is there already; it stays as its release wrote it", target.display());
    fs::create_dir_all(states()).unwrap();
    fs::copy(&source, &target).unwrap();
}

/// Opens a copy of each release's file.
async fn on_each_file(test: impl AsyncFn(&Harness, &str)) {
    let mut files: Vec<_> = fs::read_dir(states()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let directory = tempfile::tempdir().unwrap();
        fs::copy(&file, directory.path().join("state.db")).unwrap();
        let harness = Harness::on(directory, |_| {}).await;
        test(&harness, &file.display().to_string()).await;
        harness.server.shutdown().await;
    }
}

async fn listed(harness: &Harness, namespace: &str, query: &str) -> Vec<(String, Status)> {
    let request = ListWorkflowExecutionsRequest {
        namespace: namespace.into(),
        query: query.into(),
        ..Default::default()
    };
    let answer = harness.client().list_workflow_executions(request).await.unwrap().into_inner();
    let mut runs: Vec<_> = answer
        .executions
        .iter()
        .map(|info| (info.execution.as_ref().unwrap().workflow_id.clone(), info.status()))
        .collect();
    runs.sort();
    runs
}

#[tokio::test]
async fn a_file_of_each_release_opens_and_is_listed() {
    on_each_file(async |harness, file| {
        let expected = [
            ("buffered", Status::Running),
            ("completed", Status::Completed),
            ("continued", Status::Completed),
            ("continued", Status::ContinuedAsNew),
            ("failed", Status::Failed),
            ("open", Status::Running),
            ("retried", Status::Running),
            ("waiting", Status::Running),
        ];
        let expected = expected.map(|(id, status)| (id.to_owned(), status));
        assert_eq!(listed(harness, NAMESPACE, "").await, expected, "{file}");
        let open = listed(harness, NAMESPACE, "ExecutionStatus = 'Running' AND CloseTime IS NULL").await;
        assert_eq!(open.len(), 4, "{file}");
        let elsewhere = [
            ("closed elsewhere".to_owned(), Status::Terminated),
            ("open elsewhere".to_owned(), Status::Running),
        ];
        assert_eq!(listed(harness, OTHER, "").await, elsewhere, "{file}");

        let result = harness.closing_event("completed", "").await;
        let Event::WorkflowExecutionCompletedEventAttributes(completed) = result else {
            panic!("{result:?}")
        };
        assert_eq!(completed.result, Some(text("done")), "{file}");
        assert_eq!(harness.info("completed").await.history_length, 5, "{file}");
    })
    .await;
}

#[tokio::test]
async fn each_run_of_a_file_of_each_release_goes_on() {
    on_each_file(async |harness, file| {
        // The tasks of two runs are there: of the one that was never polled, and of the one whose worker is gone.
        let mut seen = Vec::new();
        for _ in 0..2 {
            let task = harness.workflow_task().await;
            seen.push((task.workflow_execution.clone().unwrap().workflow_id, names(history(&task))));
            harness.complete(&task, vec![complete_workflow("done")]).await;
        }
        seen.sort();
        assert_eq!(seen[1].0, "open", "{file}");
        let (id, events) = &seen[0];
        assert_eq!(id, "buffered", "{file}");
        let signals = events.iter().filter(|name| *name == "WORKFLOW_EXECUTION_SIGNALED").count();
        assert_eq!(signals, 2, "{file}: {events:?}");

        let pending = harness.describe("retried").await.pending_activities.remove(0);
        assert_eq!((pending.attempt, pending.state()), (2, PendingActivityState::Scheduled), "{file}");
        let attempt = harness.activity_task().await;
        assert_eq!((attempt.attempt, attempt.activity_id.as_str()), (2, "charge"), "{file}");
        harness.complete_activity(&attempt, "paid").await;
        harness.advance(vec![complete_workflow("done")]).await;

        harness.signal("waiting", "go", "on").await;
        let task = harness.advance(vec![cancel_timer("long"), complete_workflow("done")]).await;
        assert!(names(history(&task)).contains(&"TIMER_STARTED".to_owned()), "{file}");

        let terminate = TerminateWorkflowExecutionRequest {
            namespace: OTHER.into(),
            workflow_execution: Some(execution("open elsewhere", "")),
            ..Default::default()
        };
        harness.client().terminate_workflow_execution(terminate).await.unwrap();
        harness.begin("new").await;
        harness.advance(vec![complete_workflow("done")]).await;
        assert_eq!(listed(harness, NAMESPACE, "ExecutionStatus = 'Running'").await, [], "{file}");
        assert_eq!(listed(harness, NAMESPACE, "ExecutionStatus = 'Completed'").await.len(), 7, "{file}");
    })
    .await;
}

#[tokio::test]
async fn a_family_of_each_file_goes_on() {
    on_each_file(async |harness, file| {
        if ["v1.db", "v4.db", "v5.db"].iter().any(|before| file.ends_with(before)) {
            return;
        }
        let parent = execution("parent", "");
        let request =
            DescribeWorkflowExecutionRequest { namespace: FAMILIES.into(), execution: Some(parent) };
        let described = harness.client().describe_workflow_execution(request).await.unwrap().into_inner();
        assert_eq!(described.pending_children[0].workflow_id, "kid", "{file}");
        for (workflow_id, heard) in
            [("kid", "WORKFLOW_EXECUTION_STARTED"), ("parent", "CHILD_WORKFLOW_EXECUTION_COMPLETED")]
        {
            let task = family_task(harness, workflow_id).await;
            assert!(names(history(&task)).contains(&heard.to_owned()), "{file}: {heard}");
            harness.try_complete_in(FAMILIES, &task, vec![complete_workflow("done")]).await.unwrap();
        }
        assert_eq!(listed(harness, FAMILIES, "ExecutionStatus = 'Running'").await, [], "{file}");
        assert_eq!(listed(harness, FAMILIES, "ParentWorkflowId = 'parent'").await.len(), 1, "{file}");
    })
    .await;
}

#[tokio::test]
async fn updates_of_each_file_have_their_outcomes() {
    on_each_file(async |harness, file| {
        if ["v1.db", "v4.db", "v5.db", "v6.db"].iter().any(|before| file.ends_with(before)) {
            return;
        }
        let poll = |update_id: &str, stage| {
            let mut client = harness.client();
            let request = PollWorkflowExecutionUpdateRequest {
                namespace: UPDATES.into(),
                wait_policy: wait_for(stage),
                ..poll_update("updated", update_id)
            };
            async move { client.poll_workflow_execution_update(request).await.unwrap().into_inner() }
        };
        assert_eq!(outcome_of(poll("done", Stage::Completed).await.outcome), "changed", "{file}");
        let under_way = poll("under way", Stage::Accepted).await;
        assert_eq!((under_way.stage(), under_way.outcome), (Stage::Accepted, None), "{file}");
        let terminate = TerminateWorkflowExecutionRequest {
            namespace: UPDATES.into(),
            workflow_execution: Some(execution("updated", "")),
            ..Default::default()
        };
        harness.client().terminate_workflow_execution(terminate).await.unwrap();
        let ended = outcome_of(poll("under way", Stage::Completed).await.outcome);
        assert!(ended.contains("completed before the Update completed"), "{file}: {ended}");
    })
    .await;
}
