//! Reading histories: pages, both directions, long polls.

use std::time::Duration;

use durably_proto::temporal::api::{
    enums::v1::HistoryEventFilterType, history::v1::history_event::Attributes as Event,
    workflowservice::v1::*,
};

use crate::support::*;

fn read(workflow_id: &str) -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(workflow_id, "")),
        ..Default::default()
    }
}

#[tokio::test]
async fn pages_join_to_the_whole_history_in_both_directions() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    for n in 0..5 {
        harness.signal("order-1", "item", &n.to_string()).await;
    }
    harness.advance(vec![complete_workflow("done")]).await;
    let whole: Vec<i64> = harness.events("order-1").await.iter().map(|event| event.event_id).collect();
    assert_eq!(whole, (1..=10).collect::<Vec<_>>());

    let (mut request, mut forwards) = (read("order-1"), Vec::new());
    request.maximum_page_size = 3;
    loop {
        let page =
            harness.client().get_workflow_execution_history(request.clone()).await.unwrap().into_inner();
        let events = page.history.unwrap().events;
        assert!(events.len() <= 3, "{} events on a page", events.len());
        forwards.extend(events.iter().map(|event| event.event_id));
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            break;
        }
    }
    assert_eq!(forwards, whole);

    let mut request = GetWorkflowExecutionHistoryReverseRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("order-1", "")),
        maximum_page_size: 4,
        ..Default::default()
    };
    let mut backwards = Vec::new();
    loop {
        let page = harness
            .client()
            .get_workflow_execution_history_reverse(request.clone())
            .await
            .unwrap()
            .into_inner();
        backwards.extend(page.history.unwrap().events.iter().map(|event| event.event_id));
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            break;
        }
    }
    backwards.reverse();
    assert_eq!(backwards, whole);
}

#[tokio::test]
async fn a_long_poll_waits_for_the_next_event() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let mut request = read("order-1");
    request.wait_new_event = true;
    let first = harness.client().get_workflow_execution_history(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        names(&first.history.unwrap().events),
        ["WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED"]
    );
    assert!(!first.next_page_token.is_empty(), "an open run has more to come");
    request.next_page_token = first.next_page_token;
    let waiting = tokio::spawn({
        let mut client = harness.client();
        let request = within(Duration::from_secs(20), request.clone());
        async move { client.get_workflow_execution_history(request).await }
    });
    harness.signal("order-1", "item", "a").await;
    let next = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!(names(&next.history.unwrap().events), ["WORKFLOW_EXECUTION_SIGNALED"]);
}

#[tokio::test]
async fn the_close_event_filter_waits_for_the_end_and_returns_only_it() {
    let harness = Harness::start().await;
    let run_id = harness.begin("order-1").await;
    let waiting = tokio::spawn({
        let mut client = harness.client();
        let mut request = read("order-1");
        request.wait_new_event = true;
        request.history_event_filter_type = HistoryEventFilterType::CloseEvent as i32;
        async move { client.get_workflow_execution_history(within(Duration::from_secs(20), request)).await }
    });
    harness.signal("order-1", "item", "a").await;
    harness.advance(vec![complete_workflow("done")]).await;
    let answer = waiting.await.unwrap().unwrap().into_inner();
    let events = answer.history.unwrap().events;
    assert_eq!(names(&events), ["WORKFLOW_EXECUTION_COMPLETED"]);
    assert!(answer.next_page_token.is_empty());
    // Asked again after the end, the answer is the same at once.
    let last = harness.closing_event("order-1", &run_id).await;
    assert!(matches!(last, Event::WorkflowExecutionCompletedEventAttributes(_)));
}

#[tokio::test]
async fn a_history_longer_than_a_page_is_cut_at_256_events() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    for n in 0..300 {
        harness.signal("order-1", "item", &n.to_string()).await;
    }
    let mut request = read("order-1");
    request.maximum_page_size = 10_000;
    let page = harness.client().get_workflow_execution_history(request).await.unwrap().into_inner();
    assert_eq!(page.history.unwrap().events.len(), 256);
    assert!(!page.next_page_token.is_empty());
    assert_eq!(harness.ids_of_task("order-1").await, (1..=303).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_large_history_of_large_payloads_passes_in_pages() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let megabyte = "x".repeat(1024 * 1024);
    for _ in 0..6 {
        harness.signal("order-1", "item", &megabyte).await;
    }
    // This client refuses messages above 4 MiB.
    assert_eq!(harness.ids_of_task("order-1").await, (1..=9).collect::<Vec<_>>());
    let page = harness.client().get_workflow_execution_history(read("order-1")).await.unwrap().into_inner();
    assert!(!page.next_page_token.is_empty(), "readers get pages too");
}
