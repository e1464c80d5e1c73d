//! A worker that goes away: its polls end, and no task is lost to them.

use std::time::Duration;

use durably_proto::temporal::api::{enums::v1::TaskQueueType, workflowservice::v1::*};

use crate::support::*;

/// An empty answer that comes so late is a poll's ordinary end.
const LONG: Duration = Duration::from_secs(50);
/// How long an answer may take that is not the ordinary end.
const PATIENCE: Duration = Duration::from_secs(20);

fn poll_of(worker: &str) -> PollWorkflowTaskQueueRequest {
    PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue(QUEUE)),
        identity: "tester".into(),
        worker_instance_key: worker.into(),
        ..Default::default()
    }
}

fn end_of(worker: &str) -> ShutdownWorkerRequest {
    ShutdownWorkerRequest {
        namespace: NAMESPACE.into(),
        worker_instance_key: worker.into(),
        task_queue: QUEUE.into(),
        task_queue_types: vec![TaskQueueType::Workflow as i32],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_worker_that_shuts_down_has_its_polls_answered() {
    let harness = Harness::start().await;
    let request = DescribeNamespaceRequest { namespace: NAMESPACE.into(), ..Default::default() };
    let described = harness.client().describe_namespace(request).await.unwrap().into_inner();
    assert!(described.namespace_info.unwrap().capabilities.unwrap().worker_poll_complete_on_shutdown);

    let mut client = harness.client();
    let open = tokio::spawn(async move { client.poll_workflow_task_queue(within(LONG, poll_of("a"))).await });
    // It is there once the queue knows it.
    loop {
        let request = DescribeTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: Some(queue(QUEUE)),
            task_queue_type: TaskQueueType::Workflow as i32,
            ..Default::default()
        };
        if !harness.client().describe_task_queue(request).await.unwrap().into_inner().pollers.is_empty() {
            break;
        }
    }
    harness.client().shutdown_worker(end_of("a")).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, open).await.expect("the poll goes on").unwrap();
    assert_eq!(answer.unwrap().into_inner(), PollWorkflowTaskQueueResponse::default());

    // One that was still on its way is answered too, and swallows nothing.
    let mut client = harness.client();
    let late = client.poll_workflow_task_queue(within(LONG, poll_of("a")));
    let answer = tokio::time::timeout(PATIENCE, late).await.expect("the poll goes on").unwrap();
    assert_eq!(answer.into_inner(), PollWorkflowTaskQueueResponse::default());
    harness.begin("order-1").await;
    let task = harness.client().poll_workflow_task_queue(within(LONG, poll_of("b"))).await.unwrap();
    assert_eq!(task.into_inner().workflow_execution.unwrap().workflow_id, "order-1");
}
