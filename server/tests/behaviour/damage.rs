//! A damaged namespace, as clients see it: set aside and named, while everything else goes on.

use durably_proto::temporal::api::workflowservice::v1::*;
use tonic::Code;

use crate::support::*;

const OTHER: &str = "other";

/// Opens the state after `sql` was done to the file.
async fn after(harness: Harness, sql: &str) -> Harness {
    harness.server.shutdown().await;
    let directory = harness.directory;
    let raw = rusqlite::Connection::open(directory.path().join("state.db")).unwrap();
    raw.execute_batch(sql).unwrap();
    drop(raw);
    Harness::on(directory, |options| options.namespaces = vec![NAMESPACE.into(), OTHER.into()]).await
}

async fn with_both() -> Harness {
    let harness = Harness::with(|options| options.namespaces = vec![NAMESPACE.into(), OTHER.into()]).await;
    for namespace in [NAMESPACE, OTHER] {
        harness
            .begin_as(StartWorkflowExecutionRequest { namespace: namespace.into(), ..start("open") })
            .await;
    }
    harness
}

async fn list(harness: &Harness, namespace: &str) -> Result<usize, tonic::Status> {
    let request = ListWorkflowExecutionsRequest { namespace: namespace.into(), ..Default::default() };
    Ok(harness.client().list_workflow_executions(request).await?.into_inner().executions.len())
}

#[tokio::test]
async fn a_damaged_namespace_is_read_from_its_copy() {
    let sql = "UPDATE namespaces SET data = x'00' WHERE instr(data, 'other') > 0";
    let harness = after(with_both().await, sql).await;
    for namespace in [NAMESPACE, OTHER] {
        assert_eq!(list(&harness, namespace).await.unwrap(), 1, "{namespace}");
    }
    harness.server.shutdown().await;
}

#[tokio::test]
async fn a_namespace_that_is_damaged_for_good_is_named_and_the_others_go_on() {
    for data in ["x'00'", "CAST(replace(data, 'other', 'olher') AS BLOB)"] {
        let damage = |table| format!("UPDATE {table} SET data = {data} WHERE instr(data, 'other') > 0;");
        let sql = damage("namespaces") + &damage("namespace_copies");
        let harness = after(with_both().await, &sql).await;
        assert_eq!(list(&harness, NAMESPACE).await.unwrap(), 1);
        let task = harness.workflow_task().await;
        harness.complete(&task, vec![complete_workflow("done")]).await;
        let refused = list(&harness, OTHER).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        assert!(refused.message().contains("Restore the state from a copy"), "{refused}");
        let name = if data == "x'00'" { OTHER } else { "olher" };
        // Its runs would be lost to a namespace of the same name.
        let request = RegisterNamespaceRequest {
            namespace: name.into(),
            workflow_execution_retention_period: millis(24 * 3_600_000),
            ..Default::default()
        };
        let refused = harness.client().register_namespace(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        harness.server.shutdown().await;
    }
}
