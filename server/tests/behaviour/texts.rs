//! Words of errors that public programs look for: official SDKs and the UI, and programs that handle their errors by
//! text. Each row is a call, its code, and what the programs compare with.

use durably_proto::temporal::api::{query::v1::WorkflowQuery, workflowservice::v1::*};
use tonic::{Code, Status};

use crate::support::*;

fn describe(workflow_id: &str, run_id: &str) -> DescribeWorkflowExecutionRequest {
    DescribeWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(workflow_id, run_id)),
    }
}

fn signal(workflow_id: &str) -> SignalWorkflowExecutionRequest {
    SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution(workflow_id, "")),
        signal_name: "go".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_programs_look_for() {
    let harness = Harness::start().await;
    harness.begin("closed").await;
    harness.advance(vec![complete_workflow("done")]).await;
    let mut request = start("open");
    request.task_queue = Some(queue("nobody"));
    harness.begin_as(request).await;
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("closed", "")),
        ..Default::default()
    };
    let query = QueryWorkflowRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("open", "")),
        query: Some(WorkflowQuery { query_type: "q".into(), ..Default::default() }),
        ..Default::default()
    };
    let mut client = harness.client();
    let large =
        StartWorkflowExecutionRequest { input: Some(text(&"x".repeat(17 * 1024 * 1024))), ..start("large") };
    let rows: Vec<(Result<(), Status>, Code, &str)> = vec![
        // The UI, for an address with a run id that somebody has typed.
        (
            client.describe_workflow_execution(describe("open", "no-uuid")).await.map(drop),
            Code::InvalidArgument,
            "Invalid RunId.",
        ),
        // Programs that signal or end a workflow that may have ended by itself.
        (
            client.signal_workflow_execution(signal("closed")).await.map(drop),
            Code::NotFound,
            "workflow execution already completed",
        ),
        (
            client.terminate_workflow_execution(terminate).await.map(drop),
            Code::NotFound,
            "workflow execution already completed",
        ),
        (
            client.describe_workflow_execution(describe("unknown", "")).await.map(drop),
            Code::NotFound,
            "workflow not found",
        ),
        // Programs that tell a lack of workers from other trouble.
        (
            client.query_workflow(within(std::time::Duration::from_millis(1_200), query)).await.map(drop),
            Code::FailedPrecondition,
            "no poller seen for task queue recently, worker may be down",
        ),
        // SDKs' workers, which fail the task instead of sending it again.
        (
            client.start_workflow_execution(large).await.map(drop),
            Code::ResourceExhausted,
            "received message larger than max",
        ),
    ];
    for (result, code, words) in rows {
        let refused = result.expect_err(words);
        assert_eq!(refused.code(), code, "{words}: {refused}");
        assert!(refused.message().contains(words), "{refused} lacks {words:?}");
    }
}
