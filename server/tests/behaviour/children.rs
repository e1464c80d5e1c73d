//! Child workflows, as a worker that is played by hand sees them.

use durably_proto::temporal::api::{
    enums::v1::{WorkflowExecutionStatus, WorkflowTaskFailedCause},
    history::v1::history_event::Attributes as Event,
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::*,
};

use crate::support::*;

/// As many children may be open at once.
const MAX_CHILDREN: usize = 2_000;

async fn list(harness: &Harness, query: &str) -> Vec<WorkflowExecutionInfo> {
    let mut request = ListWorkflowExecutionsRequest {
        namespace: NAMESPACE.into(),
        query: query.into(),
        page_size: 1_000,
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let answer = harness.client().list_workflow_executions(request.clone()).await.unwrap().into_inner();
        all.extend(answer.executions);
        if answer.next_page_token.is_empty() {
            return all;
        }
        request.next_page_token = answer.next_page_token;
    }
}

fn ids(mut infos: Vec<WorkflowExecutionInfo>) -> Vec<String> {
    infos.sort_by(|a, b| {
        a.execution.as_ref().unwrap().workflow_id.cmp(&b.execution.as_ref().unwrap().workflow_id)
    });
    infos.into_iter().map(|info| info.execution.unwrap().workflow_id).collect()
}

/// Children on a queue that nobody polls.
fn elsewhere(workflow_id: &str) -> durably_proto::temporal::api::command::v1::Command {
    start_child(workflow_id, |attributes| attributes.task_queue = Some(queue("elsewhere")))
}

#[tokio::test]
async fn lists_and_descriptions_show_who_belongs_to_whom() {
    let harness = Harness::start().await;
    let root = harness.begin("root").await;
    harness.advance(vec![start_child("middle", |_| ()), elsewhere("leaf-1")]).await;
    // The root hears of the starts; its child starts one of its own.
    for _ in 0..2 {
        let task = harness.workflow_task().await;
        let id = task.workflow_execution.as_ref().unwrap().workflow_id.clone();
        harness.complete(&task, if id == "middle" { vec![elsewhere("leaf-2")] } else { Vec::new() }).await;
    }
    harness.advance(Vec::new()).await;

    let leaf = harness.info("leaf-2").await;
    assert_eq!(leaf.parent_execution.unwrap().workflow_id, "middle");
    assert_eq!(leaf.root_execution, Some(execution("root", &root)));
    let own = harness.info("root").await;
    assert_eq!((own.parent_execution, own.root_execution), (None, Some(execution("root", &root))));
    let mut pending = harness.describe("root").await.pending_children;
    pending.sort_by_key(|child| child.initiated_id);
    let named: Vec<_> =
        pending.iter().map(|child| (&*child.workflow_id, &*child.workflow_type_name)).collect();
    assert_eq!(named, [("middle", "Child"), ("leaf-1", "Child")]);
    assert!(pending.iter().all(|child| !child.run_id.is_empty()));

    for (query, expected) in [
        ("ParentWorkflowId = 'root'", vec!["leaf-1", "middle"]),
        ("ParentWorkflowId IS NULL", vec!["root"]),
        ("RootWorkflowId = 'root'", vec!["leaf-1", "leaf-2", "middle", "root"]),
        ("RootWorkflowId = 'root' AND ParentWorkflowId != 'root'", vec!["leaf-2"]),
    ] {
        assert_eq!(ids(list(&harness, query).await), expected, "{query}");
    }
    let by_run = list(&harness, &format!("ParentRunId = '{root}' AND RootRunId = '{root}'")).await;
    assert_eq!(ids(by_run), ["leaf-1", "middle"]);
    for info in list(&harness, "ParentWorkflowId = 'middle'").await {
        assert_eq!(info.parent_execution.unwrap().workflow_id, "middle");
        assert_eq!(info.root_execution, Some(execution("root", &root)));
    }
}

#[tokio::test]
async fn a_run_may_have_two_thousand_children_and_takes_them_along() {
    let harness = Harness::start().await;
    harness.begin("parent").await;
    let too_many: Vec<_> = (0..=MAX_CHILDREN).map(|n| elsewhere(&format!("child-{n}"))).collect();
    let task = harness.workflow_task().await;
    let refused = harness.try_complete(&task, too_many.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert_eq!(
        refused.message(),
        "PendingChildWorkflowsLimitExceeded: the number of pending child workflows has reached the limit of 2000"
    );
    let failed = harness.events("parent").await.into_iter().find_map(|event| match event.attributes {
        Some(Event::WorkflowTaskFailedEventAttributes(failed)) => Some(failed.cause()),
        _ => None,
    });
    assert_eq!(failed, Some(WorkflowTaskFailedCause::PendingChildWorkflowsLimitExceeded));

    harness.advance(too_many.into_iter().take(MAX_CHILDREN).collect()).await;
    // Told of all starts, the parent ends, and its children end with it, though the server is restarted in between.
    loop {
        let task = harness.workflow_task().await;
        let described = harness.describe("parent").await;
        let started = described.pending_children.iter().filter(|child| !child.run_id.is_empty()).count();
        let commands = if started == MAX_CHILDREN { vec![complete_workflow("done")] } else { Vec::new() };
        let ends = !commands.is_empty();
        // A task that a hundred starts overtake has ended before it is answered, so that they can be written.
        match harness.try_complete(&task, commands).await {
            Ok(_) if ends => break,
            Ok(_) => {}
            Err(overtaken) => assert_eq!(overtaken.message(), "workflow task not found."),
        }
    }
    let harness = harness.restart().await;
    for n in 0..MAX_CHILDREN {
        harness.closing_event(&format!("child-{n}"), "").await;
    }
    let ended = list(&harness, "ParentWorkflowId = 'parent' AND ExecutionStatus = 'Terminated'").await;
    assert_eq!(ended.len(), MAX_CHILDREN);
    assert!(ended.iter().all(|info| info.status() == WorkflowExecutionStatus::Terminated));
}
