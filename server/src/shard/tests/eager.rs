//! Workflow tasks that leave with the answer to a start.

use durably_proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;

use super::*;
use crate::{
    frontend::{Frontend, Service},
    options::ServerOptions,
};

/// The caller of a server in its own process is gone with it: nobody waits for the time-out of what it had taken.
#[tokio::test]
async fn a_task_that_left_with_a_start_in_this_process_is_lost_with_it() {
    let store = Arc::new(MemoryStore::default());
    let on = open(store.clone(), ClockKind::System);
    let frontend = Frontend::open(on, ServerOptions::default()).await.unwrap();
    let mut client = WorkflowServiceClient::new(Service::new(&frontend).await);
    let request = StartWorkflowExecutionRequest {
        namespace: "default".into(),
        request_eager_execution: true,
        // Longer than a poll lasts.
        workflow_task_timeout: Some(duration(120 * SECOND)),
        ..start_request("w")
    };
    let started = client.start_workflow_execution(request).await.unwrap().into_inner();
    assert!(started.eager_workflow_task.is_some());

    let again = open(store, ClockKind::System);
    let frontend = Frontend::open(again.clone(), ServerOptions::default()).await.unwrap();
    let mut client = WorkflowServiceClient::new(Service::new(&frontend).await);
    let request = PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: queue("tq"),
        ..Default::default()
    };
    let task = client.poll_workflow_task_queue(request).await.unwrap().into_inner();
    assert_eq!(task.workflow_execution.map(|run| run.run_id), Some(started.run_id));
}
