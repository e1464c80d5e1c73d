//! Reading long histories: no more than a page holds, and nothing for callers that have gone.

use std::sync::{atomic::Ordering, mpsc};

use super::{simulation::Flaky, *};

/// Larger than what stays in memory of a history.
const LARGE: usize = 1024 * 1024;

/// A run with so many large signals in its history.
async fn long_history(signals: usize) -> (Arc<Flaky>, Executions) {
    let store = Arc::new(Flaky::default());
    let on = open(store.clone(), ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    for number in 0..signals {
        let request = SignalWorkflowExecutionRequest {
            workflow_execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
            signal_name: "large".into(),
            input: payloads(&"x".repeat(LARGE)),
            request_id: number.to_string(),
            ..Default::default()
        };
        on.signal(&namespace(), request).await.unwrap();
    }
    (store, on)
}

fn ids(history: Option<durably_proto::temporal::api::history::v1::History>) -> Vec<i64> {
    history.unwrap().events.iter().map(|event| event.event_id).collect()
}

#[tokio::test]
async fn a_page_reads_no_more_of_a_history_than_it_holds() {
    let (store, on) = long_history(12).await;
    let execution = Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() });

    let mut request =
        GetWorkflowExecutionHistoryRequest { execution: execution.clone(), ..Default::default() };
    let mut forwards = Vec::new();
    loop {
        let before = store.batches_read.load(Ordering::Relaxed);
        let page = on.history(&namespace(), request.clone()).await.unwrap();
        let read = store.batches_read.load(Ordering::Relaxed) - before;
        assert!(read <= 4, "{read} batches were read for one page");
        forwards.extend(ids(page.history));
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            break;
        }
    }
    assert_eq!(forwards, (1..=14).collect::<Vec<_>>());

    let mut request = GetWorkflowExecutionHistoryReverseRequest { execution, ..Default::default() };
    let mut backwards = Vec::new();
    loop {
        let before = store.batches_read.load(Ordering::Relaxed);
        let page = on.history_reverse(&namespace(), request.clone()).await.unwrap();
        let read = store.batches_read.load(Ordering::Relaxed) - before;
        assert!(read <= 4, "{read} batches were read for one page");
        backwards.extend(ids(page.history));
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            break;
        }
    }
    assert_eq!(backwards, (1..=14).rev().collect::<Vec<_>>());

    // A worker's task comes in the same pages.
    let before = store.batches_read.load(Ordering::Relaxed);
    let task = poll(&on, "tq").await;
    assert!(!task.next_page_token.is_empty());
    assert!(store.batches_read.load(Ordering::Relaxed) - before <= 4);
    on.shutdown().await;
}

#[tokio::test]
async fn reading_ends_when_its_caller_has_gone() {
    let (store, on) = long_history(4).await;
    let (reached, is_reached) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel();
    *store.read_gate.lock() = Some((reached, released));
    let before = (Arc::strong_count(&store), store.batches_read.load(Ordering::Relaxed));
    let caller = tokio::spawn({
        let on = on.clone();
        async move { history(&on, "w").await }
    });
    is_reached.await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();
    // Until then, the thread that reads has the store.
    while Arc::strong_count(&store) > before.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.batches_read.load(Ordering::Relaxed), before.1 + 1);
    on.shutdown().await;
}
