//! Words of errors that public programs look for: official SDKs, the UI, and programs that handle their errors by
//! text. Each row is a call, its code and error detail, and what the programs compare with, which is how the real
//! server says it.

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

fn terminate(workflow_id: &str) -> TerminateWorkflowExecutionRequest {
    TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution(workflow_id, "")),
        ..Default::default()
    }
}

fn check(rows: Vec<(Result<(), Status>, Code, &str, &str)>) {
    for (result, code, detail, words) in rows {
        let refused = result.expect_err(words);
        assert_eq!(code_and_detail(&refused), (code, detail.to_owned()), "{words}: {refused}");
        assert!(refused.message().contains(words), "{refused} lacks {words:?}");
    }
}

const NOT_FOUND: &str = "NotFoundFailure";

#[tokio::test]
async fn what_clients_look_for() {
    let harness = Harness::start().await;
    harness.begin("closed").await;
    harness.advance(vec![complete_workflow("done")]).await;
    let mut request = start("open");
    request.task_queue = Some(queue("nobody"));
    harness.begin_as(request).await;
    let query = QueryWorkflowRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("open", "")),
        query: Some(WorkflowQuery { query_type: "q".into(), ..Default::default() }),
        ..Default::default()
    };
    let mut client = harness.client();
    check(vec![
        // The UI, for an address with a run id that somebody has typed.
        (
            client.describe_workflow_execution(describe("open", "no-uuid")).await.map(drop),
            Code::InvalidArgument,
            "",
            "Invalid RunId.",
        ),
        // Programs that signal or end a workflow that may have ended by itself.
        (
            client.signal_workflow_execution(signal("closed")).await.map(drop),
            Code::NotFound,
            NOT_FOUND,
            "workflow execution already completed",
        ),
        (
            client.terminate_workflow_execution(terminate("closed")).await.map(drop),
            Code::NotFound,
            NOT_FOUND,
            "workflow execution already completed",
        ),
        // Programs that tell a run that was never there from other trouble.
        (
            client.describe_workflow_execution(describe("unknown", "")).await.map(drop),
            Code::NotFound,
            NOT_FOUND,
            "workflow not found for ID: unknown",
        ),
        // Programs that tell a lack of workers from other trouble.
        (
            client.query_workflow(within(std::time::Duration::from_millis(1_200), query)).await.map(drop),
            Code::FailedPrecondition,
            "",
            "no poller seen for task queue recently, worker may be down",
        ),
    ]);
}

#[tokio::test]
async fn what_programs_that_start_look_for() {
    let harness = Harness::start().await;
    harness.begin("closed").await;
    harness.advance(vec![complete_workflow("done")]).await;
    harness.begin("open").await;
    let started = |change: fn(&mut StartWorkflowExecutionRequest)| {
        let (mut client, mut request) = (harness.client(), start("open"));
        change(&mut request);
        async move { client.start_workflow_execution(request).await.map(drop) }
    };
    let already = "WorkflowExecutionAlreadyStartedFailure";
    check(vec![
        // Programs that start what may be running; SDKs go by code and detail.
        (started(|_| ()).await, Code::AlreadyExists, already, "Workflow execution is already running."),
        (
            started(|r| {
                r.workflow_id = "closed".into();
                r.workflow_id_reuse_policy = 2;
            })
            .await,
            Code::AlreadyExists,
            already,
            "Workflow execution already finished successfully.",
        ),
        (
            started(|r| {
                r.workflow_id = "closed".into();
                r.workflow_id_reuse_policy = 3;
            })
            .await,
            Code::AlreadyExists,
            already,
            "Workflow execution already finished.",
        ),
        // Programs that store large data elsewhere when it does not fit.
        (
            started(|r| r.input = Some(oversized())).await,
            Code::InvalidArgument,
            "",
            "Blob data size exceeds limit.",
        ),
        // SDKs' workers, which fail the task instead of sending it again.
        (
            started(|r| r.input = Some(text(&"x".repeat(17 << 20)))).await,
            Code::ResourceExhausted,
            "",
            "grpc: received message larger than max",
        ),
    ]);
}

/// Programs that set a namespace up before they use it.
#[tokio::test]
async fn what_is_looked_for_about_namespaces_and_pages() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let mut client = harness.client();
    let register = RegisterNamespaceRequest {
        namespace: NAMESPACE.into(),
        workflow_execution_retention_period: millis(86_400_000),
        ..Default::default()
    };
    let unknown = DescribeNamespaceRequest { namespace: "nowhere".into(), ..Default::default() };
    let mut elsewhere = start("order-1");
    elsewhere.namespace = "nowhere".into();
    let list = ListWorkflowExecutionsRequest {
        namespace: NAMESPACE.into(),
        next_page_token: "garbage".into(),
        ..Default::default()
    };
    let page = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("order-1", "")),
        next_page_token: "garbage".into(),
        ..Default::default()
    };
    check(vec![
        (
            client.register_namespace(register).await.map(drop),
            Code::AlreadyExists,
            "NamespaceAlreadyExistsFailure",
            "Namespace \"default\" already exists",
        ),
        (
            client.describe_namespace(unknown).await.map(drop),
            Code::NotFound,
            "NamespaceNotFoundFailure",
            "Namespace nowhere is not found.",
        ),
        (
            client.start_workflow_execution(elsewhere).await.map(drop),
            Code::NotFound,
            "NamespaceNotFoundFailure",
            "Namespace nowhere is not found.",
        ),
        (
            client.list_workflow_executions(list).await.map(drop),
            Code::InvalidArgument,
            "",
            "Invalid NextPageToken.",
        ),
        (
            client.get_workflow_execution_history(page).await.map(drop),
            Code::InvalidArgument,
            "",
            "Invalid NextPageToken.",
        ),
    ]);
}

/// Workers, and programs that complete activities from elsewhere and may come too late.
#[tokio::test]
async fn what_workers_look_for() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.advance(vec![schedule_activity("a", |_| ())]).await;
    let activity = harness.activity_task().await;
    let mut canceled = RespondActivityTaskCanceledRequest::default();
    (canceled.namespace, canceled.task_token) = (NAMESPACE.into(), activity.task_token.clone());
    let too_early = harness.client().respond_activity_task_canceled(canceled).await.map(drop);
    harness.complete_activity(&activity, "done").await;
    let again = RespondActivityTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: activity.task_token.clone(),
        ..Default::default()
    };
    let by_id = RespondActivityTaskCompletedByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: "order-1".into(),
        activity_id: "a".into(),
        ..Default::default()
    };
    let made_up = RespondActivityTaskCompletedRequest { task_token: "garbage".into(), ..again.clone() };
    let mut client = harness.client();
    let rows = vec![
        (
            too_early,
            Code::InvalidArgument,
            "",
            "unable to mark activity as canceled without activity being request canceled first",
        ),
        (
            client.respond_activity_task_completed(again.clone()).await.map(drop),
            Code::NotFound,
            NOT_FOUND,
            "invalid activityID or activity already timed out or invoking workflow is completed",
        ),
        (
            client.respond_activity_task_completed_by_id(by_id).await.map(drop),
            Code::NotFound,
            NOT_FOUND,
            "cannot find pending activity with ActivityID a",
        ),
        (
            client.respond_activity_task_completed(made_up).await.map(drop),
            Code::InvalidArgument,
            "",
            "rror deserializing task token",
        ),
        (
            harness.try_complete(&task, vec![]).await.map(drop),
            Code::NotFound,
            NOT_FOUND,
            "workflow task not found.",
        ),
    ];
    check(rows);
    client.terminate_workflow_execution(terminate("order-1")).await.unwrap();
    check(vec![
        (
            client.respond_activity_task_completed(again).await.map(drop),
            Code::NotFound,
            NOT_FOUND,
            "workflow execution already completed",
        ),
        (harness.try_complete(&task, vec![]).await.map(drop), Code::NotFound, NOT_FOUND, "workflow"),
    ]);
}
