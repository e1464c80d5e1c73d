//! Calls of clients about workflows that exist, have ended, or never were; lists, filters and pages; namespaces; and
//! bytes that are no message.

use bytes::Bytes;
use durably_proto::temporal::api::{query::v1::WorkflowQuery, workflowservice::v1::*};
use tonic::{Response, Status};

use super::{Row, long, rows, seconds, with, world::soon};
use crate::{support::*, wire::world::World};

const UNKNOWN_RUN: &str = "11111111-2222-4333-8444-555555555555";
const SERVICE: &str = "/temporal.api.workflowservice.v1.WorkflowService";

fn signal(id: &str, run: &str, name: &str) -> SignalWorkflowExecutionRequest {
    SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution(id, run)),
        signal_name: name.into(),
        ..Default::default()
    }
}

fn query(id: &str, run: &str, name: &str) -> QueryWorkflowRequest {
    QueryWorkflowRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(id, run)),
        query: Some(WorkflowQuery { query_type: name.into(), ..Default::default() }),
        ..Default::default()
    }
}

fn cancel(id: &str, run: &str) -> RequestCancelWorkflowExecutionRequest {
    RequestCancelWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution(id, run)),
        ..Default::default()
    }
}

fn terminate(id: &str, run: &str) -> TerminateWorkflowExecutionRequest {
    TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution(id, run)),
        ..Default::default()
    }
}

fn describe(id: &str, run: &str) -> DescribeWorkflowExecutionRequest {
    DescribeWorkflowExecutionRequest { namespace: NAMESPACE.into(), execution: Some(execution(id, run)) }
}

fn history(id: &str, run: &str) -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(id, run)),
        ..Default::default()
    }
}

fn backwards(id: &str) -> GetWorkflowExecutionHistoryReverseRequest {
    GetWorkflowExecutionHistoryReverseRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(id, "")),
        ..Default::default()
    }
}

/// A page token of the history of the world's run.
async fn page_token(world: &World) -> Bytes {
    world.begin().await;
    let request = with(history(&world.id, ""), |r| r.maximum_page_size = 1);
    let token =
        world.client().get_workflow_execution_history(request).await.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    token
}

fn list(query: impl Into<String>) -> ListWorkflowExecutionsRequest {
    ListWorkflowExecutionsRequest { namespace: NAMESPACE.into(), query: query.into(), ..Default::default() }
}

async fn count(world: World, query: &str) -> Result<Response<CountWorkflowExecutionsResponse>, Status> {
    let request = CountWorkflowExecutionsRequest { namespace: NAMESPACE.into(), query: query.into() };
    world.client().count_workflow_executions(request).await
}

async fn closed(world: &World) -> String {
    let run = world.begin().await;
    let task = world.task().await;
    world.complete(&task.task_token, vec![complete_workflow("done")]).await.unwrap();
    run
}

fn register(name: &str, retention: i64) -> RegisterNamespaceRequest {
    RegisterNamespaceRequest {
        namespace: name.into(),
        workflow_execution_retention_period: seconds(retention),
        ..Default::default()
    }
}

pub const ROWS: &[Row] = rows! {
    "signal: no execution", InvalidArgument:
        |w| w.client().signal_workflow_execution(with(signal("", "", "s"), |r| r.workflow_execution = None));
    "signal: workflow id empty", InvalidArgument: |w| w.client().signal_workflow_execution(signal("", "", "s"));
    "signal: workflow id unknown", NotFound: |w| w.client().signal_workflow_execution(signal("unknown", "", "s"));
    "signal: workflow id too long", NotFound: |w| w.client().signal_workflow_execution(signal(&long(), "", "s"));
    "signal: workflow id with a NUL", NotFound: |w| w.client().signal_workflow_execution(signal("\0", "", "s"));
    "signal: run id no UUID", InvalidArgument:
        |w| async move { w.begin().await; w.client().signal_workflow_execution(signal(&w.id, "no-uuid", "s")).await };
    "signal: run id in capitals", Ok:
        |w| async move { let run = w.begin().await; w.client().signal_workflow_execution(signal(&w.id, &run.to_uppercase(), "s")).await };
    "signal: run id in braces", Ok:
        |w| async move { let run = w.begin().await; w.client().signal_workflow_execution(signal(&w.id, &format!("{{{run}}}"), "s")).await };
    "signal: run id without hyphens", Ok:
        |w| async move { let run = w.begin().await; w.client().signal_workflow_execution(signal(&w.id, &run.replace('-', ""), "s")).await };
    "signal: run id unknown", NotFound:
        |w| async move { w.begin().await; w.client().signal_workflow_execution(signal(&w.id, UNKNOWN_RUN, "s")).await };
    "signal: no name", InvalidArgument:
        |w| async move { w.begin().await; w.client().signal_workflow_execution(signal(&w.id, "", "")).await };
    "signal: name too long", InvalidArgument:
        |w| async move { w.begin().await; w.client().signal_workflow_execution(signal(&w.id, "", &long())).await };
    "signal: name with a NUL", Ok:
        |w| async move { w.begin().await; w.client().signal_workflow_execution(signal(&w.id, "", "\0")).await };
    "signal: request id too long", InvalidArgument:
        |w| async move { w.begin().await; w.client().signal_workflow_execution(with(signal(&w.id, "", "s"), |r| r.request_id = long())).await };
    "signal: input of 2 MiB", InvalidArgument:
        |w| async move { w.begin().await; w.client().signal_workflow_execution(with(signal(&w.id, "", "s"), |r| r.input = Some(oversized()))).await };
    "signal: a closed run", NotFound:
        |w| async move { let run = closed(&w).await; w.client().signal_workflow_execution(signal(&w.id, &run, "s")).await };
    "cancel: unknown", NotFound: |w| w.client().request_cancel_workflow_execution(cancel("unknown", ""));
    "cancel: a closed run by its run id", Ok:
        |w| async move { let run = closed(&w).await; w.client().request_cancel_workflow_execution(cancel(&w.id, &run)).await };
    "cancel: a closed run by its workflow id", Ok:
        |w| async move { closed(&w).await; w.client().request_cancel_workflow_execution(cancel(&w.id, "")).await };
    "cancel: twice", Ok:
        |w| async move {
            w.begin().await;
            w.client().request_cancel_workflow_execution(cancel(&w.id, "")).await.unwrap();
            w.client().request_cancel_workflow_execution(cancel(&w.id, "")).await
        };
    "cancel: first execution run id no UUID", NotFound:
        |w| async move { w.begin().await; w.client().request_cancel_workflow_execution(with(cancel(&w.id, ""), |r| r.first_execution_run_id = "x".into())).await };
    "cancel: another chain", NotFound:
        |w| async move { w.begin().await; w.client().request_cancel_workflow_execution(with(cancel(&w.id, ""), |r| r.first_execution_run_id = UNKNOWN_RUN.into())).await };
    "terminate: unknown", NotFound: |w| w.client().terminate_workflow_execution(terminate("unknown", ""));
    "terminate: a closed run", NotFound:
        |w| async move { let run = closed(&w).await; w.client().terminate_workflow_execution(terminate(&w.id, &run)).await };
    "terminate: another chain", NotFound:
        |w| async move { w.begin().await; w.client().terminate_workflow_execution(with(terminate(&w.id, ""), |r| r.first_execution_run_id = UNKNOWN_RUN.into())).await };
    "query: unknown", NotFound: |w| w.client().query_workflow(query("unknown", "", "q"));
    "query: none", InvalidArgument:
        |w| async move { w.begin().await; w.client().query_workflow(with(query(&w.id, "", "q"), |r| r.query = None)).await };
    "query: no type", InvalidArgument:
        |w| async move { w.begin().await; w.client().query_workflow(soon(query(&w.id, "", ""))).await };
    "query: type too long", Cancelled:
        |w| async move { w.begin().await; w.client().query_workflow(soon(query(&w.id, "", &long()))).await };
    "query: reject condition 99", Cancelled:
        |w| async move { w.begin().await; w.client().query_workflow(soon(with(query(&w.id, "", "q"), |r| r.query_reject_condition = 99))).await };
    "describe: unknown", NotFound: |w| w.client().describe_workflow_execution(describe("unknown", ""));
    "describe: run id no UUID", InvalidArgument:
        |w| async move { w.begin().await; w.client().describe_workflow_execution(describe(&w.id, "no-uuid")).await };
    "describe: no execution", InvalidArgument:
        |w| w.client().describe_workflow_execution(with(describe("", ""), |r| r.execution = None));
    "history: unknown", NotFound: |w| w.client().get_workflow_execution_history(history("unknown", ""));
    "history: page size -1", Ok:
        |w| async move { w.begin().await; w.client().get_workflow_execution_history(with(history(&w.id, ""), |r| r.maximum_page_size = -1)).await };
    "history: page size of 2^31-1", Ok:
        |w| async move { w.begin().await; w.client().get_workflow_execution_history(with(history(&w.id, ""), |r| r.maximum_page_size = i32::MAX)).await };
    "history: token that is none", InvalidArgument:
        |w| async move { w.begin().await; w.client().get_workflow_execution_history(with(history(&w.id, ""), |r| r.next_page_token = "garbage".into())).await };
    "history: token of another run", InvalidArgument:
        |w| async move {
            let token = page_token(&w).await;
            let other = w.another();
            let run = other.begin().await;
            w.client().get_workflow_execution_history(with(history(&other.id, &run), |r| r.next_page_token = token)).await
        };
    "history: token cut off", InvalidArgument:
        |w| async move {
            let token = page_token(&w).await;
            w.client().get_workflow_execution_history(with(history(&w.id, ""), |r| r.next_page_token = token.slice(..token.len() / 2))).await
        };
    "history: filter type 99", Ok:
        |w| async move { w.begin().await; w.client().get_workflow_execution_history(with(history(&w.id, ""), |r| r.history_event_filter_type = 99)).await };
    "history: backwards, unknown", NotFound: |w| w.client().get_workflow_execution_history_reverse(backwards("unknown"));
    "history: backwards, token that is none", InvalidArgument:
        |w| async move { w.begin().await; w.client().get_workflow_execution_history_reverse(with(backwards(&w.id), |r| r.next_page_token = "garbage".into())).await };
    "history: backwards, page size -1", Ok:
        |w| async move { w.begin().await; w.client().get_workflow_execution_history_reverse(with(backwards(&w.id), |r| r.maximum_page_size = -1)).await };

    "list: namespace unknown", NotFound: |w| w.client().list_workflow_executions(with(list(""), |r| r.namespace = "nowhere".into()));
    "list: page size -1", Ok: |w| w.client().list_workflow_executions(with(list(""), |r| r.page_size = -1));
    "list: page size of 2^31-1", Ok: |w| w.client().list_workflow_executions(with(list(""), |r| r.page_size = i32::MAX));
    "list: token that is none", Unknown: |w| w.client().list_workflow_executions(with(list(""), |r| r.next_page_token = "garbage".into()));
    "list: no query", InvalidArgument: |w| w.client().list_workflow_executions(list("when it rains"));
    "list: unknown attribute", InvalidArgument: |w| w.client().list_workflow_executions(list("NobodyKnows = 'x'"));
    "list: attribute compared with the wrong type", InvalidArgument: |w| w.client().list_workflow_executions(list("HistoryLength = 'x'"));
    "list: no time", InvalidArgument: |w| w.client().list_workflow_executions(list("StartTime > 'yesterday'"));
    "list: status that there is not", InvalidArgument: |w| w.client().list_workflow_executions(list("ExecutionStatus = 'Happy'"));
    "list: string without an end", InvalidArgument: |w| w.client().list_workflow_executions(list("WorkflowId = 'x"));
    "list: parenthesis without an end", InvalidArgument: |w| w.client().list_workflow_executions(list("(WorkflowId = 'x'"));
    "list: second statement", InvalidArgument: |w| w.client().list_workflow_executions(list("WorkflowId = 'x'; drop table runs"));
    "list: NUL in a string", Unavailable: |w| w.client().list_workflow_executions(list("WorkflowId = 'a\0b'"));
    "list: 200 terms", Ok: |w| w.client().list_workflow_executions(list(vec!["WorkflowId = 'x'"; 200].join(" OR ")));
    "list: 5000 terms", InvalidArgument: |w| w.client().list_workflow_executions(list(vec!["WorkflowId = 'x'"; 5_000].join(" OR ")));
    "list: 50 parentheses", Ok: |w| w.client().list_workflow_executions(list(format!("{}WorkflowId = 'x'{}", "(".repeat(50), ")".repeat(50))));
    "list: 10000 parentheses", InvalidArgument: |w| w.client().list_workflow_executions(list(format!("{}WorkflowId = 'x'{}", "(".repeat(10_000), ")".repeat(10_000))));
    "list: 10000 times NOT", InvalidArgument: |w| w.client().list_workflow_executions(list(format!("{}WorkflowId = 'x'", "NOT ".repeat(10_000))));
    "list: a value of 100 kB", Ok: |w| w.client().list_workflow_executions(list(format!("WorkflowId = '{}'", "x".repeat(100_000))));
    "list: ORDER BY", InvalidArgument: |w| w.client().list_workflow_executions(list("ORDER BY StartTime DESC"));
    "list: GROUP BY", Ok: |w| w.client().list_workflow_executions(list("GROUP BY ExecutionStatus"));
    "list: LIMIT", InvalidArgument: |w| w.client().list_workflow_executions(list("WorkflowId = 'x' LIMIT 1"));
    "list: number without an end", InvalidArgument: |w| w.client().list_workflow_executions(list("HistoryLength > 1e999"));
    "list: open ones, token that is none", Unknown:
        |w| w.client().list_open_workflow_executions(ListOpenWorkflowExecutionsRequest {
            namespace: NAMESPACE.into(), next_page_token: "garbage".into(), ..Default::default()
        });
    "list: closed ones, without a time", Ok:
        |w| w.client().list_closed_workflow_executions(ListClosedWorkflowExecutionsRequest {
            namespace: NAMESPACE.into(), ..Default::default()
        });
    "count: no query", InvalidArgument: |w| count(w, "when it rains");
    "count: by an attribute that cannot group", InvalidArgument: |w| count(w, "GROUP BY WorkflowId");
    "count: by two attributes", InvalidArgument: |w| count(w, "GROUP BY ExecutionStatus, WorkflowType");

    "namespace: no name", InvalidArgument: |w| w.client().register_namespace(register("", 86_400));
    "namespace: name too long", InvalidArgument: |w| w.client().register_namespace(register(&long(), 86_400));
    "namespace: retention of a minute", InvalidArgument: |w| w.client().register_namespace(register("short", 60));
    "namespace: retention negative", InvalidArgument: |w| w.client().register_namespace(register("negative", -60));
    "namespace: retention of nothing", InvalidArgument:
        |w| w.client().register_namespace(with(register("none", 0), |r| r.workflow_execution_retention_period = None));
    "namespace: registered twice", AlreadyExists: |w| w.client().register_namespace(register(NAMESPACE, 86_400));
    "namespace: describe an unknown one", NotFound:
        |w| w.client().describe_namespace(DescribeNamespaceRequest { namespace: "nowhere".into(), ..Default::default() });
    "namespace: describe none", InvalidArgument: |w| w.client().describe_namespace(DescribeNamespaceRequest::default());
    "namespace: update an unknown one", NotFound:
        |w| w.client().update_namespace(UpdateNamespaceRequest { namespace: "nowhere".into(), ..Default::default() });
    "namespace: list with a token that is none", Ok:
        |w| w.client().list_namespaces(ListNamespacesRequest { next_page_token: Bytes::from_static(&[0xff]), ..Default::default() });

    "bytes: cut off", Internal: |w| raw(w, "StartWorkflowExecution", Bytes::from_static(&[0x0a, 0x7f]));
    "bytes: no UTF-8", Internal: |w| raw(w, "StartWorkflowExecution", Bytes::from_static(&[0x0a, 2, 0xff, 0xfe]));
    "bytes: 5000 groups without an end", Internal: |w| raw(w, "StartWorkflowExecution", Bytes::from(vec![0x1b; 5_000]));
    "bytes: a field of another type", InvalidArgument: |w| raw(w, "StartWorkflowExecution", Bytes::from_static(&[0x08, 1]));
    "bytes: no RPC", Unimplemented: |w| raw(w, "DanceWorkflow", Bytes::new());
    "bytes: no service", Unimplemented:
        |w| async move { w.raw("/no.Service/Dance", Bytes::new()).await };
};

async fn raw(world: World, rpc: &str, message: Bytes) -> Result<Bytes, Status> {
    world.raw(&format!("{SERVICE}/{rpc}"), message).await
}
