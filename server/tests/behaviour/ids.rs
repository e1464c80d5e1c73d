//! What happens when a workflow id is taken.

use durably_proto::temporal::api::{
    enums::v1::{
        WorkflowExecutionStatus, WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse,
    },
    errordetails::v1::WorkflowExecutionAlreadyStartedFailure,
    workflowservice::v1::StartWorkflowExecutionRequest,
};
use prost::Message as _;
use tonic::Code;

use crate::support::*;

fn with(reuse: Reuse, conflict: Conflict) -> StartWorkflowExecutionRequest {
    let mut request = start("order-1");
    request.workflow_id_reuse_policy = reuse as i32;
    request.workflow_id_conflict_policy = conflict as i32;
    request
}

#[tokio::test]
async fn a_running_id_is_refused_reused_or_replaced() {
    let harness = Harness::start().await;
    let first = harness.begin("order-1").await;
    let refused = harness.client().start_workflow_execution(start("order-1")).await.unwrap_err();
    assert_eq!(
        code_and_detail(&refused),
        (Code::AlreadyExists, "WorkflowExecutionAlreadyStartedFailure".into()),
        "{refused}"
    );
    let details = durably_proto::google::rpc::Status::decode(refused.details()).unwrap().details;
    let detail = WorkflowExecutionAlreadyStartedFailure::decode(details[0].value.as_slice()).unwrap();
    assert_eq!(detail.run_id, first);

    let existing = with(Reuse::AllowDuplicate, Conflict::UseExisting);
    let answer = harness.client().start_workflow_execution(existing).await.unwrap().into_inner();
    assert_eq!((answer.run_id.as_str(), answer.started), (first.as_str(), false));

    let replace = with(Reuse::AllowDuplicate, Conflict::TerminateExisting);
    let second = harness.begin_as(replace).await;
    assert_ne!(first, second);
    let old = harness.closing_event("order-1", &first).await;
    assert!(format!("{old:?}").contains("Terminated"), "{old:?}");
    assert_eq!(harness.info("order-1").await.status(), WorkflowExecutionStatus::Running);
}

#[tokio::test]
async fn a_closed_id_is_reused_as_the_policy_says() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![complete_workflow("done")]).await;
    for reuse in [Reuse::RejectDuplicate, Reuse::AllowDuplicateFailedOnly] {
        let refused =
            harness.client().start_workflow_execution(with(reuse, Conflict::Unspecified)).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{reuse:?}: {refused}");
    }
    harness.begin_as(with(Reuse::AllowDuplicate, Conflict::Unspecified)).await;
    harness.advance(vec![fail_workflow("broken")]).await;
    harness.begin_as(with(Reuse::AllowDuplicateFailedOnly, Conflict::Unspecified)).await;
}

#[tokio::test]
async fn a_repeated_start_with_one_request_id_gets_the_same_run() {
    let harness = Harness::start().await;
    let mut request = start("order-1");
    request.request_id = "same".into();
    let first = harness.begin_as(request.clone()).await;
    assert_eq!(harness.begin_as(request).await, first);
}

#[tokio::test]
async fn namespaces_keep_ids_and_queues_apart() {
    let harness = Harness::with(|options| options.namespaces.push("other".into())).await;
    harness.begin("order-1").await;
    let mut request = start("order-1");
    request.namespace = "other".into();
    harness.begin_as(request).await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    assert_eq!(task.workflow_execution.unwrap().workflow_id, "order-1");
    assert_eq!(harness.info("order-1").await.status(), WorkflowExecutionStatus::Completed);
    let none = harness.poll_workflow(std::time::Duration::from_millis(2_200)).await.unwrap();
    assert!(none.task_token.is_empty(), "a task of another namespace came: {none:?}");
}
