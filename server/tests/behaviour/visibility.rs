//! Listing and counting runs, and namespaces.

use durably_proto::temporal::api::{
    common::v1::{Payload, SearchAttributes},
    enums::v1::WorkflowExecutionStatus,
    workflowservice::v1::*,
};
use tonic::Code;

use crate::support::*;

async fn ids(harness: &Harness, query: &str) -> Vec<String> {
    let request = ListWorkflowExecutionsRequest {
        namespace: NAMESPACE.into(),
        query: query.into(),
        ..Default::default()
    };
    let answer = harness.client().list_workflow_executions(request).await.unwrap().into_inner();
    let mut ids: Vec<_> =
        answer.executions.into_iter().map(|info| info.execution.unwrap().workflow_id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn filters_select_runs() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![complete_workflow("done")]).await;
    harness.begin("order-2").await;
    harness.advance(vec![fail_workflow("broken")]).await;
    let mut refund = start("refund-1");
    refund.workflow_type.as_mut().unwrap().name = "Refund".into();
    let run_id = harness.begin_as(refund).await;
    for (query, expected) in [
        ("", vec!["order-1", "order-2", "refund-1"]),
        ("WorkflowType = 'Order'", vec!["order-1", "order-2"]),
        ("WorkflowType != 'Order'", vec!["refund-1"]),
        ("ExecutionStatus = 'Running'", vec!["refund-1"]),
        ("ExecutionStatus IN ('Completed', 'Failed') AND WorkflowId > 'order-1'", vec!["order-2"]),
        ("CloseTime IS NULL", vec!["refund-1"]),
        ("CloseTime IS NOT NULL", vec!["order-1", "order-2"]),
        ("StartTime > '2020-01-01T00:00:00Z'", vec!["order-1", "order-2", "refund-1"]),
        ("StartTime < '2020-01-01T00:00:00Z' OR WorkflowId = 'order-2'", vec!["order-2"]),
        ("WorkflowId STARTS_WITH 'order-'", vec!["order-1", "order-2"]),
        ("TaskQueue = 'queue' AND (WorkflowId = 'a' OR WorkflowId = 'refund-1')", vec!["refund-1"]),
        ("WorkflowId = 'x'' OR 1=1 --'", vec![]),
    ] {
        assert_eq!(ids(&harness, query).await, expected, "{query}");
        let request = CountWorkflowExecutionsRequest { namespace: NAMESPACE.into(), query: query.into() };
        let count = harness.client().count_workflow_executions(request).await.unwrap().into_inner().count;
        assert_eq!(count, expected.len() as i64, "count of {query}");
    }
    assert_eq!(ids(&harness, &format!("RunId = '{run_id}'")).await, ["refund-1"]);
}

#[tokio::test]
async fn counts_are_grouped_by_status() {
    let harness = Harness::start().await;
    for id in ["order-1", "order-2"] {
        harness.begin(id).await;
        harness.advance(vec![complete_workflow("done")]).await;
    }
    harness.begin("order-3").await;
    let request = CountWorkflowExecutionsRequest {
        namespace: NAMESPACE.into(),
        query: "WorkflowType = 'Order' GROUP BY ExecutionStatus".into(),
    };
    let counted = harness.client().count_workflow_executions(request).await.unwrap().into_inner();
    assert_eq!(counted.count, 3);
    let groups: Vec<_> = counted
        .groups
        .iter()
        .map(|group| (String::from_utf8(group.group_values[0].data.to_vec()).unwrap(), group.count))
        .collect();
    assert_eq!(groups, [("\"Completed\"".to_owned(), 2), ("\"Running\"".to_owned(), 1)]);
}

#[tokio::test]
async fn a_filter_that_costs_too_much_is_refused_for_good() {
    let harness = Harness::start().await;
    let query = (0..900).map(|n| format!("WorkflowId STARTS_WITH 'zz{n}'")).collect::<Vec<_>>().join(" OR ");
    let list = ListWorkflowExecutionsRequest {
        namespace: NAMESPACE.into(),
        query: query.clone(),
        ..Default::default()
    };
    let refused = harness.client().list_workflow_executions(list).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let count = CountWorkflowExecutionsRequest { namespace: NAMESPACE.into(), query };
    let refused = harness.client().count_workflow_executions(count).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}

#[tokio::test]
async fn search_attributes_that_sdks_set_are_filtered_by() {
    let harness = Harness::start().await;
    let mut request = start("order-1");
    let versions = Payload { data: r#"["change-1", "other-2"]"#.into(), ..text("").payloads.remove(0) };
    request.search_attributes =
        Some(SearchAttributes { indexed_fields: [("TemporalChangeVersion".to_owned(), versions)].into() });
    harness.begin_as(request).await;
    harness.begin("order-2").await;
    assert_eq!(ids(&harness, "TemporalChangeVersion = 'change-1'").await, ["order-1"]);
    assert_eq!(ids(&harness, "TemporalChangeVersion IS NULL").await, ["order-2"]);
}

#[tokio::test]
async fn pages_list_every_run_once_newest_first() {
    let harness = Harness::start().await;
    for n in 0..7 {
        harness.begin(&format!("order-{n}")).await;
    }
    let mut request =
        ListWorkflowExecutionsRequest { namespace: NAMESPACE.into(), page_size: 3, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = harness.client().list_workflow_executions(request.clone()).await.unwrap().into_inner();
        assert!(page.executions.len() <= 3);
        seen.extend(page.executions.into_iter().map(|info| info.execution.unwrap().workflow_id));
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            break;
        }
    }
    let expected: Vec<_> = (0..7).rev().map(|n| format!("order-{n}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn open_and_closed_runs_are_listed_apart() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![complete_workflow("done")]).await;
    harness.begin("order-2").await;
    let open = ListOpenWorkflowExecutionsRequest { namespace: NAMESPACE.into(), ..Default::default() };
    let open = harness.client().list_open_workflow_executions(open).await.unwrap().into_inner().executions;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].execution.as_ref().unwrap().workflow_id, "order-2");
    let closed = ListClosedWorkflowExecutionsRequest { namespace: NAMESPACE.into(), ..Default::default() };
    let closed =
        harness.client().list_closed_workflow_executions(closed).await.unwrap().into_inner().executions;
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].status(), WorkflowExecutionStatus::Completed);
}

#[tokio::test]
async fn namespaces_are_registered_described_updated_and_kept() {
    let mut harness = Harness::start().await;
    let register = RegisterNamespaceRequest {
        namespace: "orders".into(),
        description: "the shop".into(),
        workflow_execution_retention_period: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        ..Default::default()
    };
    harness.client().register_namespace(register.clone()).await.unwrap();
    let refused = harness.client().register_namespace(register).await.unwrap_err();
    assert_eq!(code_and_detail(&refused), (Code::AlreadyExists, "NamespaceAlreadyExistsFailure".into()));
    let update = UpdateNamespaceRequest {
        namespace: "orders".into(),
        update_info: Some(durably_proto::temporal::api::namespace::v1::UpdateNamespaceInfo {
            owner_email: "shop@example.org".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    harness.client().update_namespace(update).await.unwrap();
    harness = harness.restart().await;
    let describe = DescribeNamespaceRequest { namespace: "orders".into(), ..Default::default() };
    let described = harness.client().describe_namespace(describe).await.unwrap().into_inner();
    let info = described.namespace_info.unwrap();
    assert_eq!((info.description.as_str(), info.owner_email.as_str()), ("the shop", "shop@example.org"));
    assert_eq!(described.config.unwrap().workflow_execution_retention_ttl.unwrap().seconds, 86_400);
    let by_id = DescribeNamespaceRequest { id: info.id, ..Default::default() };
    let described = harness.client().describe_namespace(by_id).await.unwrap().into_inner();
    assert_eq!(described.namespace_info.unwrap().name, "orders");
    let mut request = ListNamespacesRequest { page_size: 1, ..Default::default() };
    let mut listed = Vec::new();
    loop {
        let page = harness.client().list_namespaces(request.clone()).await.unwrap().into_inner();
        listed.extend(page.namespaces.into_iter().map(|found| found.namespace_info.unwrap().name));
        request.next_page_token = page.next_page_token;
        if request.next_page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ["default", "orders"]);
}
