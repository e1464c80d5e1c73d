//! What a person asks who wonders why nothing goes on: who polls the queue, and what waits in it.
#![expect(deprecated, reason = "the official CLI still asks in the enhanced mode, and for the status")]

use durably_proto::temporal::api::{
    enums::v1::{DescribeTaskQueueMode, TaskQueueType},
    workflowservice::v1::*,
};

use crate::support::*;

/// Tasks of runs that have ended wait nowhere, and nobody counts them.
#[tokio::test]
async fn the_backlog_counts_what_still_waits() {
    let harness = Harness::start().await;
    let describe = || DescribeTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue(QUEUE)),
        report_stats: true,
        ..Default::default()
    };
    for number in 0..20 {
        let id = format!("order-{number}");
        harness.begin(&id).await;
        if number % 2 == 0 {
            let terminate = TerminateWorkflowExecutionRequest {
                namespace: NAMESPACE.into(),
                workflow_execution: Some(execution(&id, "")),
                ..Default::default()
            };
            harness.client().terminate_workflow_execution(terminate).await.unwrap();
        }
    }
    let described = harness.client().describe_task_queue(describe()).await.unwrap().into_inner();
    assert_eq!(described.stats.unwrap().approximate_backlog_count, 10);
    for _ in 0..10 {
        harness.advance(vec![complete_workflow("done")]).await;
    }
    let described = harness.client().describe_task_queue(describe()).await.unwrap().into_inner();
    assert_eq!(described.stats.unwrap().approximate_backlog_count, 0);
}

fn request() -> DescribeTaskQueueRequest {
    DescribeTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue(QUEUE)),
        report_stats: true,
        ..Default::default()
    }
}

async fn described(harness: &Harness, request: DescribeTaskQueueRequest) -> DescribeTaskQueueResponse {
    harness.client().describe_task_queue(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_queue_says_how_long_its_first_task_has_waited_and_how_fast_it_goes() {
    let harness = Harness::start().await;
    for number in 0..3 {
        harness.begin(&format!("order-{number}")).await;
    }
    let stats = described(&harness, request()).await.stats.unwrap();
    assert_eq!(stats.approximate_backlog_count, 3);
    let age = stats.approximate_backlog_age.unwrap();
    assert!(age.seconds > 0 || age.nanos > 0);
    assert!(stats.tasks_add_rate > 0.0 && stats.tasks_dispatch_rate == 0.0, "{stats:?}");
    for _ in 0..3 {
        harness.advance(vec![complete_workflow("done")]).await;
    }
    let after = described(&harness, request()).await.stats.unwrap();
    assert_eq!(
        (after.approximate_backlog_count, after.approximate_backlog_age),
        (0, Some(Default::default()))
    );
    assert!(after.tasks_dispatch_rate > 0.0, "{after:?}");
}

/// The official CLI asks so, for all types at once.
#[tokio::test]
async fn the_enhanced_mode_answers_for_all_types_of_a_queue() {
    let harness = Harness::start().await;
    let task = {
        harness.begin("order-1").await;
        harness.workflow_task().await
    };
    harness.begin("order-2").await;
    let enhanced = DescribeTaskQueueRequest {
        api_mode: DescribeTaskQueueMode::Enhanced as i32,
        report_pollers: true,
        ..request()
    };
    let response = described(&harness, enhanced.clone()).await;
    let types = &response.versions_info[""].types_info;
    assert_eq!(types.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let workflow = &types[&(TaskQueueType::Workflow as i32)];
    assert_eq!(workflow.stats.as_ref().unwrap().approximate_backlog_count, 1);
    assert_eq!(workflow.pollers.len(), 1);
    assert!(workflow.pollers[0].last_access_time.is_some());
    let activity = &types[&(TaskQueueType::Activity as i32)];
    assert_eq!((activity.pollers.len(), activity.stats.as_ref().unwrap().approximate_backlog_count), (0, 0));

    let only = DescribeTaskQueueRequest {
        task_queue_types: vec![TaskQueueType::Activity as i32],
        report_pollers: false,
        report_stats: false,
        ..enhanced
    };
    let response = described(&harness, only).await;
    let types = &response.versions_info[""].types_info;
    assert_eq!(types.len(), 1);
    assert_eq!(types[&2].stats, None);
    harness.complete(&task, vec![complete_workflow("done")]).await;
}

/// The CLI in its legacy mode reads the block of task ids without looking whether there is one.
#[tokio::test]
async fn the_status_is_whole_when_it_is_asked_for() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let response =
        described(&harness, DescribeTaskQueueRequest { include_task_queue_status: true, ..request() }).await;
    let status = response.task_queue_status.unwrap();
    assert_eq!(status.backlog_count_hint, 1);
    assert!(status.task_id_block.is_some() && status.rate_per_second > 0.0);
    assert_eq!(described(&harness, request()).await.task_queue_status, None);
}
