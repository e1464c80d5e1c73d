//! Task tokens: nobody makes one up, none holds for another task, and those of before a restart go on holding.

use durably_proto::temporal::api::{
    enums::v1::QueryResultType, query::v1::WorkflowQuery, workflowservice::v1::*,
};
use prost::Message as _;
use tonic::{Code, Status};

use crate::support::*;

fn query(namespace: &str, workflow_id: &str) -> QueryWorkflowRequest {
    QueryWorkflowRequest {
        namespace: namespace.into(),
        execution: Some(execution(workflow_id, "")),
        query: Some(WorkflowQuery { query_type: "balance".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn answer(namespace: &str, token: impl Into<bytes::Bytes>, result: &str) -> RespondQueryTaskCompletedRequest {
    RespondQueryTaskCompletedRequest {
        namespace: namespace.into(),
        task_token: token.into(),
        completed_type: QueryResultType::Answered as i32,
        query_result: Some(text(result)),
        ..Default::default()
    }
}

fn ask(
    harness: &Harness,
    workflow_id: &str,
) -> tokio::task::JoinHandle<Result<QueryWorkflowResponse, Status>> {
    let (mut client, request) = (harness.client(), query(NAMESPACE, workflow_id));
    tokio::spawn(async move { client.query_workflow(request).await.map(tonic::Response::into_inner) })
}

/// A run that waits, so that a query goes to a worker by itself.
async fn waiting(harness: &Harness, workflow_id: &str) {
    harness.begin(workflow_id).await;
    harness.advance(vec![start_timer("t", millis(600_000))]).await;
}

/// What a token says, as anybody can write it down.
#[derive(Clone, PartialEq, prost::Message)]
struct Written {
    #[prost(string, tag = "1")]
    namespace_id: String,
    #[prost(string, tag = "2")]
    workflow_id: String,
    #[prost(string, tag = "3")]
    run_id: String,
    #[prost(uint64, tag = "10")]
    query: u64,
}

#[tokio::test]
async fn an_answer_with_a_token_that_somebody_made_up_counts_for_nothing() {
    let harness = Harness::with(|options| options.namespaces.push("evil".into())).await;
    waiting(&harness, "secret").await;
    let asked = ask(&harness, "secret");
    let task = harness.workflow_task().await;
    // Even one who knows all that a token says.
    let known = Written::decode(task.task_token.slice(..task.task_token.len() - 16)).unwrap();
    assert!(known.query > 1_000, "query ids can be counted: {}", known.query);
    let evil = harness
        .client()
        .describe_namespace(DescribeNamespaceRequest { namespace: "evil".into(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let evil_id = evil.namespace_info.unwrap().id;
    let mut forged: Vec<(&str, Vec<u8>)> = vec![
        ("evil", Written { namespace_id: evil_id, ..known.clone() }.encode_to_vec()),
        ("evil", task.task_token.to_vec()),
        (NAMESPACE, known.encode_to_vec()),
        (NAMESPACE, [known.encode_to_vec(), vec![0; 16]].concat()),
    ];
    for query in 1..4 {
        forged.push(("evil", Written { query, ..known.clone() }.encode_to_vec()));
    }
    for (namespace, token) in forged {
        let request = answer(namespace, token, "forged");
        let refused = harness.client().respond_query_task_completed(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    // A token of a workflow task of the same run is none for its query.
    harness.begin("other").await;
    let other = harness.workflow_task().await;
    let request = answer(NAMESPACE, other.task_token, "forged");
    let refused = harness.client().respond_query_task_completed(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");

    let request = answer(NAMESPACE, task.task_token.clone(), "the worker's");
    harness.client().respond_query_task_completed(request.clone()).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap().query_result, Some(text("the worker's")));
    let twice = harness.client().respond_query_task_completed(request).await.unwrap_err();
    assert_eq!(twice.code(), Code::NotFound, "{twice}");
}

#[tokio::test]
async fn a_late_answer_reaches_nobody_else_after_a_restart() {
    let harness = Harness::start().await;
    waiting(&harness, "A").await;
    waiting(&harness, "B").await;
    let lost = ask(&harness, "A");
    let late = harness.workflow_task().await;
    let harness = harness.restart().await;
    lost.await.unwrap().unwrap_err();
    let asked = ask(&harness, "B");
    let task = harness.workflow_task().await;
    assert_eq!(task.workflow_execution.unwrap().workflow_id, "B");
    let refused = harness
        .client()
        .respond_query_task_completed(answer(NAMESPACE, late.task_token, "of A"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    harness.client().respond_query_task_completed(answer(NAMESPACE, task.task_token, "of B")).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap().query_result, Some(text("of B")));
}

#[tokio::test]
async fn workers_go_on_with_their_tasks_after_a_restart() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("a", |_| ())]).await;
    let activity = harness.activity_task().await;
    harness.begin("order-2").await;
    let task = harness.workflow_task().await;
    let harness = harness.restart().await;
    harness.complete_activity(&activity, "done").await;
    harness.complete(&task, vec![complete_workflow("done")]).await;
    // And once only.
    assert_eq!(harness.try_complete(&task, vec![]).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_token_that_is_changed_anywhere_is_none() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    for index in 0..task.task_token.len() {
        let mut token = task.task_token.to_vec();
        token[index] ^= 0x20;
        let changed = PollWorkflowTaskQueueResponse { task_token: token.into(), ..task.clone() };
        let refused = harness.try_complete(&changed, vec![complete_workflow("forged")]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "byte {index}: {refused}");
    }
    harness.complete(&task, vec![complete_workflow("done")]).await;
}
