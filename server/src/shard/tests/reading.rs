//! What goes on beside the shard: lists that take long, health, retention, and runs that leave memory.

use std::{ops::ControlFlow, sync::mpsc, time::Instant};

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::*;
use crate::{
    frontend::{Frontend, Service},
    options::ServerOptions,
    store::{Filter, Listing},
};

#[tokio::test]
async fn a_listing_that_is_held_open_delays_no_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(&directory.path().join("state.db")).unwrap();
    let stores: [Arc<dyn Store>; 2] = [Arc::new(file), Arc::new(MemoryStore::default())];
    for store in stores {
        let on = open(store.clone(), ClockKind::System);
        on.start_workflow(&namespace(), start_request("first"), false).await.unwrap();
        let (held, is_held) = tokio::sync::oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        let listing = std::thread::spawn(move || {
            let listing = Listing { namespace_id: "ns", filter: &Filter::All, order: None, after: None };
            let mut held = Some(held);
            let mut rows = 0;
            let until = Instant::now() + Duration::from_mins(1);
            let ended = store.visibility().scan(&listing, until, &mut |_| {
                rows += 1;
                if let Some(held) = held.take() {
                    held.send(()).unwrap();
                    released.recv().unwrap();
                }
                ControlFlow::Continue(())
            });
            ended.unwrap();
            rows
        });
        is_held.await.unwrap();
        on.start_workflow(&namespace(), start_request("second"), false).await.unwrap();
        signal(&on, "first", "hello").await.unwrap();
        assert!(!history(&on, "second").await.is_empty());
        release.send(()).unwrap();
        assert_eq!(listing.join().unwrap(), 1, "it shows what was there when it began");
        on.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_whose_shard_has_failed_is_not_serving() {
    let on = memory();
    let frontend = Frontend::open(on.clone(), ServerOptions::default()).await.unwrap();
    let mut health = HealthClient::new(Service::new(&frontend).await);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    while on.failed().borrow().is_none() {
        let _ = inspect(&on, 0, |_| panic!("its books are wrong")).await;
    }
    let then = watched.message().await.unwrap().unwrap();
    assert_eq!(then.status(), ServingStatus::NotServing);
}

async fn on_each_shard(on: &Executions, change: fn(&mut Shard)) {
    for shard in 0..shards() {
        inspect(on, shard, change).await.unwrap();
    }
}

async fn terminate(on: &Executions, namespace: &Namespace, id: &str) {
    let request = TerminateWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
        ..Default::default()
    };
    on.terminate(namespace, request).await.unwrap();
}

/// Retention deletes what users have stored: exactly what closed longer ago than its namespace keeps it.
#[tokio::test]
async fn retention_deletes_what_is_due_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(&directory.path().join("state.db")).unwrap();
    let stores: [Arc<dyn Store>; 2] = [Arc::new(file), Arc::new(MemoryStore::default())];
    for store in stores {
        let on = open(store.clone(), ClockKind::System);
        let kept =
            |id: &str, retention| Namespace { id: id.into(), name: id.into(), retention, ..namespace() };
        let short = kept("short", Duration::from_nanos(1));
        let long = kept("long", Duration::from_hours(1));
        let for_ever = kept("for ever", Duration::ZERO);
        for namespace in [&short, &long, &for_ever] {
            on.put_namespace(&namespace.id, namespace.encode()).await.unwrap();
            on.start_workflow(namespace, start_request("closed"), false).await.unwrap();
            terminate(&on, namespace, "closed").await;
            on.start_workflow(namespace, start_request("open"), false).await.unwrap();
        }
        // More than are deleted at once.
        for number in 0..210 {
            let id = format!("closed-{number}");
            on.start_workflow(&short, start_request(&id), false).await.unwrap();
            terminate(&on, &short, &id).await;
        }
        let due = |shard| !store.closed_before(shard, "short", i64::MAX, 1).unwrap().is_empty();
        while (0..shards()).any(due) {
            // The answer comes when the round is stored that looks for closed runs.
            on_each_shard(&on, |shard| shard.next_cleaning = crate::engine::Time(0)).await;
        }
        for (namespace, closed) in [("short", false), ("long", true), ("for ever", true)] {
            assert_eq!(store.find(namespace, "closed", None).unwrap().is_some(), closed, "{namespace}");
            let open = store.find(namespace, "open", None).unwrap().unwrap();
            assert_eq!(store.events(open, 1, i64::MAX).unwrap().len(), 1, "{namespace}");
        }
        on.start_workflow(&short, start_request("closed"), false).await.unwrap();
        on.shutdown().await;
    }
}

#[tokio::test]
async fn open_runs_leave_memory_and_come_back_when_they_are_needed() {
    let on = memory();
    for (id, commands) in [("told", vec![]), ("timed", vec![start_timer("t", SECOND / 20)])] {
        on.start_workflow(&namespace(), start_request(id), false).await.unwrap();
        let task = poll(&on, "tq").await;
        on_each_shard(&on, |shard| shard.runs.set_cache_bytes(0)).await;
        respond(&on, &task, commands).await.unwrap();
    }
    // Runs leave at the end of a round: this call comes in a later one.
    on_each_shard(&on, |shard| assert_eq!(shard.runs.len(), 0)).await;
    let task = poll(&on, "tq").await;
    assert_eq!(task.workflow_execution.as_ref().unwrap().workflow_id, "timed");
    assert!(kinds(&task.history.as_ref().unwrap().events).contains(&EventType::TimerFired));
    respond(&on, &task, vec![complete()]).await.unwrap();
    signal(&on, "told", "go").await.unwrap();
    let task = poll(&on, "tq").await;
    assert_eq!(task.workflow_execution.as_ref().unwrap().workflow_id, "told");
    respond(&on, &task, vec![complete()]).await.unwrap();
}
