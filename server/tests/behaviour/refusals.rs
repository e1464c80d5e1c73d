//! Bad input: each row is a call, the code and detail message it must be answered with, and words of the message.

use durably_proto::temporal::api::{
    common::v1::{Memo, RetryPolicy},
    enums::v1::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    operatorservice::v1::{CreateNexusEndpointRequest, operator_service_client::OperatorServiceClient},
    query::v1::WorkflowQuery,
    testservice::v1::LockTimeSkippingRequest,
    workflow::v1::OnConflictOptions,
    workflowservice::v1::*,
};
use tonic::Code;

use crate::support::*;

const UNKNOWN_RUN: &str = "11111111-2222-4333-8444-555555555555";
const NOT_FOUND: &str = "NotFoundFailure";

/// Checks rows of `rpc(request) => code, detail, words of the message;`.
macro_rules! refused {
    ($harness:expr, $($rpc:ident($request:expr) => $code:ident, $detail:expr, $($word:expr),+;)*) => {$({
        let request = $request;
        let asked = concat!(stringify!($rpc), " ", stringify!($request));
        let refused = $harness.client().$rpc(request).await.expect_err(asked);
        assert_eq!(code_and_detail(&refused), (Code::$code, $detail.to_owned()), "{asked}: {refused}");
        for word in [$($word),+] {
            assert!(refused.message().contains(word), "{asked}: {:?} lacks {word:?}", refused.message());
        }
    })*};
}

fn changed<T>(mut request: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut request);
    request
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn started(change: impl FnOnce(&mut StartWorkflowExecutionRequest)) -> StartWorkflowExecutionRequest {
    changed(start("order-1"), change)
}

fn retried(policy: RetryPolicy) -> StartWorkflowExecutionRequest {
    started(|r| r.retry_policy = Some(policy))
}

#[tokio::test]
async fn bad_starts() {
    let harness = Harness::start().await;
    let long = "x".repeat(1_001);
    refused! { harness,
        start_workflow_execution(started(|r| r.namespace = "nowhere".into()))
            => NotFound, "NamespaceNotFoundFailure", "'nowhere'", "not registered", "--namespace nowhere";
        start_workflow_execution(started(|r| r.namespace.clear())) => InvalidArgument, "", "namespace", "required";
        start_workflow_execution(started(|r| r.workflow_id.clear())) => InvalidArgument, "", "workflow_id", "required";
        start_workflow_execution(started(|r| r.workflow_id = long.clone()))
            => InvalidArgument, "", "workflow_id", "1001 bytes", "1000";
        start_workflow_execution(started(|r| r.identity = long.clone())) => InvalidArgument, "", "identity";
        start_workflow_execution(started(|r| r.request_id = long.clone())) => InvalidArgument, "", "request_id";
        start_workflow_execution(started(|r| r.workflow_type = None)) => InvalidArgument, "", "workflow_type.name";
        start_workflow_execution(started(|r| r.workflow_type.as_mut().unwrap().name = long.clone()))
            => InvalidArgument, "", "workflow_type.name", "1000";
        start_workflow_execution(started(|r| r.task_queue = None)) => InvalidArgument, "", "task_queue.name";
        start_workflow_execution(started(|r| r.task_queue = Some(queue("/_sys/x"))))
            => InvalidArgument, "", "task_queue.name", "reserved";
        start_workflow_execution(started(|r| r.task_queue.as_mut().unwrap().kind = 99))
            => InvalidArgument, "", "task_queue.kind 99";
        start_workflow_execution(started(|r| r.workflow_run_timeout = seconds(-1)))
            => InvalidArgument, "", "workflow_run_timeout", "negative";
        start_workflow_execution(started(|r| r.workflow_execution_timeout = seconds(i64::MIN)))
            => InvalidArgument, "", "workflow_execution_timeout", "negative";
        start_workflow_execution(started(|r| r.workflow_task_timeout = seconds(-5)))
            => InvalidArgument, "", "workflow_task_timeout", "negative";
        start_workflow_execution(started(|r| r.workflow_start_delay = seconds(-1)))
            => InvalidArgument, "", "workflow_start_delay", "negative";
        start_workflow_execution(retried(RetryPolicy { maximum_attempts: -1, ..Default::default() }))
            => InvalidArgument, "", "maximum_attempts is -1";
        start_workflow_execution(retried(RetryPolicy { backoff_coefficient: 0.5, ..Default::default() }))
            => InvalidArgument, "", "backoff_coefficient is 0.5";
        start_workflow_execution(retried(RetryPolicy { initial_interval: seconds(-1), ..Default::default() }))
            => InvalidArgument, "", "initial_interval", "negative";
        start_workflow_execution(retried(RetryPolicy {
            initial_interval: seconds(5), maximum_interval: seconds(1), ..Default::default()
        })) => InvalidArgument, "", "maximum_interval", "shorter";
        start_workflow_execution(started(|r| r.workflow_id_reuse_policy = 99))
            => InvalidArgument, "", "workflow_id_reuse_policy 99";
        start_workflow_execution(started(|r| r.workflow_id_conflict_policy = 99))
            => InvalidArgument, "", "workflow_id_conflict_policy 99";
        start_workflow_execution(started(|r| {
            r.workflow_id_reuse_policy = WorkflowIdReusePolicy::RejectDuplicate as i32;
            r.workflow_id_conflict_policy = WorkflowIdConflictPolicy::TerminateExisting as i32;
        })) => InvalidArgument, "", "REJECT_DUPLICATE", "TERMINATE_EXISTING";
        start_workflow_execution(started(|r| r.input = Some(oversized())))
            => InvalidArgument, "", "input has", "2097152";
        start_workflow_execution(started(|r| r.memo = Some(Memo {
            fields: [("k".to_owned(), oversized().payloads.remove(0))].into()
        }))) => InvalidArgument, "", "memo has";
        start_workflow_execution(started(|r| r.cron_schedule = "* * * * *".into()))
            => Unimplemented, "", "cron_schedule";
        start_workflow_execution(started(|r| {
            r.on_conflict_options = Some(OnConflictOptions { attach_request_id: true, ..Default::default() });
        })) => Unimplemented, "", "on_conflict_options";
        start_workflow_execution(started(|r| {
            r.on_conflict_options = Some(OnConflictOptions { attach_links: true, ..Default::default() });
        })) => Unimplemented, "", "on_conflict_options";
    }
    // Nothing of all that has left a workflow behind.
    let count = CountWorkflowExecutionsRequest { namespace: NAMESPACE.into(), ..Default::default() };
    assert_eq!(harness.client().count_workflow_executions(count).await.unwrap().into_inner().count, 0);
}

#[tokio::test]
async fn options_that_ask_for_nothing_are_no_reason_to_refuse_a_start() {
    let harness = Harness::start().await;
    let request = started(|r| r.on_conflict_options = Some(OnConflictOptions::default()));
    let run_id = harness.client().start_workflow_execution(request).await.unwrap().into_inner().run_id;
    assert!(!run_id.is_empty());
}

#[tokio::test]
async fn bad_calls_on_workflows() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let namespace = || NAMESPACE.to_owned();
    let target = |id: &str, run: &str| Some(execution(id, run));
    let signal = |id: &str, run: &str, name: &str| SignalWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_execution: target(id, run),
        signal_name: name.into(),
        ..Default::default()
    };
    let query = |id: &str, run: &str, name: &str| QueryWorkflowRequest {
        namespace: namespace(),
        execution: target(id, run),
        query: Some(WorkflowQuery { query_type: name.into(), ..Default::default() }),
        ..Default::default()
    };
    let signal_with_start = SignalWithStartWorkflowExecutionRequest {
        namespace: namespace(),
        workflow_id: "order-2".into(),
        workflow_type: start("").workflow_type,
        task_queue: Some(queue(QUEUE)),
        signal_name: "item".into(),
        ..Default::default()
    };
    refused! { harness,
        signal_workflow_execution(signal("", "", "s")) => InvalidArgument, "", "workflow_id", "required";
        signal_workflow_execution(signal("order-1", "", "")) => InvalidArgument, "", "signal_name";
        signal_workflow_execution(signal("order-1", "not-a-uuid", "s")) => InvalidArgument, "", "run_id", "UUID";
        signal_workflow_execution(signal("unknown", "", "s")) => NotFound, NOT_FOUND, "unknown";
        signal_workflow_execution(signal("order-1", UNKNOWN_RUN, "s")) => NotFound, NOT_FOUND, UNKNOWN_RUN;
        signal_workflow_execution(changed(signal("order-1", "", "s"), |r| r.input = Some(oversized())))
            => InvalidArgument, "", "input has";
        signal_workflow_execution(changed(signal("order-1", "", "s"), |r| r.workflow_execution = None))
            => InvalidArgument, "", "workflow execution is not set";
        signal_with_start_workflow_execution(changed(signal_with_start.clone(), |r| r.signal_name.clear()))
            => InvalidArgument, "", "signal_name";
        signal_with_start_workflow_execution(changed(signal_with_start, |r| r.workflow_id_conflict_policy = 1))
            => InvalidArgument, "", "FAIL";
        query_workflow(query("unknown", "", "q")) => NotFound, NOT_FOUND, "unknown";
        query_workflow(query("order-1", "", "")) => InvalidArgument, "", "query_type";
        query_workflow(changed(query("order-1", "", "q"), |r| r.query = None)) => InvalidArgument, "", "query is not set";
        query_workflow(changed(query("order-1", "", "q"), |r| r.query_reject_condition = 99))
            => InvalidArgument, "", "query_reject_condition 99";
        request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest {
            namespace: namespace(), workflow_execution: target("unknown", ""), ..Default::default()
        }) => NotFound, NOT_FOUND, "unknown";
        terminate_workflow_execution(TerminateWorkflowExecutionRequest {
            namespace: namespace(), workflow_execution: target("unknown", ""), ..Default::default()
        }) => NotFound, NOT_FOUND, "unknown";
        terminate_workflow_execution(TerminateWorkflowExecutionRequest {
            namespace: namespace(), workflow_execution: target("order-1", ""),
            first_execution_run_id: "x".into(), ..Default::default()
        }) => InvalidArgument, "", "first_execution_run_id", "UUID";
    }
}

#[tokio::test]
async fn bad_reads_of_workflows() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let namespace = || NAMESPACE.to_owned();
    let target = |id: &str, run: &str| Some(execution(id, run));
    let history = |id: &str| GetWorkflowExecutionHistoryRequest {
        namespace: namespace(),
        execution: target(id, ""),
        ..Default::default()
    };
    refused! { harness,
        describe_workflow_execution(DescribeWorkflowExecutionRequest {
            namespace: namespace(), execution: target("unknown", "")
        }) => NotFound, NOT_FOUND, "unknown";
        get_workflow_execution_history(history("unknown")) => NotFound, NOT_FOUND, "unknown";
        get_workflow_execution_history(changed(history("unknown"), |r| r.maximum_page_size = -1))
            => NotFound, NOT_FOUND, "unknown";
        get_workflow_execution_history(changed(history("order-1"), |r| r.next_page_token = "garbage".into()))
            => InvalidArgument, "", "next_page_token";
        get_workflow_execution_history(changed(history("order-1"), |r| r.history_event_filter_type = 99))
            => InvalidArgument, "", "history_event_filter_type 99";
        get_workflow_execution_history_reverse(GetWorkflowExecutionHistoryReverseRequest {
            namespace: namespace(), execution: target("order-1", ""), next_page_token: "garbage".into(),
            ..Default::default()
        }) => InvalidArgument, "", "next_page_token";
    }
}

#[tokio::test]
async fn bad_calls_of_workers() {
    let harness = Harness::start().await;
    let namespace = || NAMESPACE.to_owned();
    let poll = || PollWorkflowTaskQueueRequest {
        namespace: namespace(),
        task_queue: Some(queue(QUEUE)),
        ..Default::default()
    };
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    refused! { harness,
        poll_workflow_task_queue(changed(poll(), |r| r.namespace = "nowhere".into()))
            => NotFound, "NamespaceNotFoundFailure", "nowhere";
        poll_workflow_task_queue(changed(poll(), |r| r.task_queue = None)) => InvalidArgument, "", "task_queue.name";
        poll_workflow_task_queue(within(std::time::Duration::from_millis(900), poll()))
            => FailedPrecondition, "", "deadline", "70 seconds";
        poll_activity_task_queue(PollActivityTaskQueueRequest { namespace: namespace(), ..Default::default() })
            => InvalidArgument, "", "task_queue.name";
        respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest {
            namespace: namespace(), ..Default::default()
        }) => InvalidArgument, "", "task_token";
        respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest {
            namespace: namespace(), task_token: "garbage".into(), ..Default::default()
        }) => InvalidArgument, "", "task_token";
        respond_workflow_task_failed(RespondWorkflowTaskFailedRequest {
            namespace: namespace(), task_token: "garbage".into(), ..Default::default()
        }) => InvalidArgument, "", "task_token";
        respond_workflow_task_failed(RespondWorkflowTaskFailedRequest {
            namespace: namespace(), task_token: task.task_token.clone(), cause: 9_999, ..Default::default()
        }) => InvalidArgument, "", "cause 9999";
        respond_query_task_completed(RespondQueryTaskCompletedRequest {
            namespace: namespace(), ..Default::default()
        }) => InvalidArgument, "", "task_token";
        respond_activity_task_completed(RespondActivityTaskCompletedRequest {
            namespace: namespace(), task_token: "garbage".into(), ..Default::default()
        }) => InvalidArgument, "", "task_token";
        respond_activity_task_failed(RespondActivityTaskFailedRequest {
            namespace: namespace(), ..Default::default()
        }) => InvalidArgument, "", "task_token";
        record_activity_task_heartbeat(RecordActivityTaskHeartbeatRequest {
            namespace: namespace(), task_token: "garbage".into(), ..Default::default()
        }) => InvalidArgument, "", "task_token";
        respond_activity_task_completed_by_id(RespondActivityTaskCompletedByIdRequest {
            namespace: namespace(), workflow_id: "unknown".into(), activity_id: "a".into(), ..Default::default()
        }) => NotFound, NOT_FOUND, "unknown";
        respond_activity_task_completed_by_id(RespondActivityTaskCompletedByIdRequest {
            namespace: namespace(), workflow_id: "order-1".into(), ..Default::default()
        }) => InvalidArgument, "", "activity_id";
        reset_sticky_task_queue(ResetStickyTaskQueueRequest {
            namespace: namespace(), execution: Some(execution("unknown", ""))
        }) => NotFound, NOT_FOUND, "unknown";
    }
}

#[tokio::test]
async fn bad_namespaces_and_lists() {
    let harness = Harness::start().await;
    let register = |name: &str, retention: i64| RegisterNamespaceRequest {
        namespace: name.into(),
        workflow_execution_retention_period: seconds(retention),
        ..Default::default()
    };
    let list = |query: &str| ListWorkflowExecutionsRequest {
        namespace: NAMESPACE.into(),
        query: query.into(),
        ..Default::default()
    };
    refused! { harness,
        register_namespace(register("", 86_400)) => InvalidArgument, "", "namespace", "required";
        register_namespace(register("short", 60)) => InvalidArgument, "", "retention", "3600";
        register_namespace(register("negative", -60)) => InvalidArgument, "", "retention", "negative";
        register_namespace(register("default", 86_400)) => AlreadyExists, "NamespaceAlreadyExistsFailure", "\"default\"";
        register_namespace(changed(register("global", 86_400), |r| r.is_global_namespace = true))
            => InvalidArgument, "", "is_global_namespace";
        describe_namespace(DescribeNamespaceRequest { namespace: "nowhere".into(), ..Default::default() })
            => NotFound, "NamespaceNotFoundFailure", "nowhere";
        describe_namespace(DescribeNamespaceRequest { id: "no-such-id".into(), ..Default::default() })
            => NotFound, "NamespaceNotFoundFailure", "no-such-id";
        list_workflow_executions(list("CustomField = 'x'")) => InvalidArgument, "", "CustomField", "supported are";
        list_workflow_executions(list("WorkflowId = ")) => InvalidArgument, "", "quoted text";
        list_workflow_executions(changed(list(""), |r| r.next_page_token = "garbage".into()))
            => InvalidArgument, "", "next_page_token";
        count_workflow_executions(CountWorkflowExecutionsRequest {
            namespace: NAMESPACE.into(), query: "GROUP BY WorkflowType".into()
        }) => InvalidArgument, "", "the only field to group by";
        create_schedule(CreateScheduleRequest::default()) => Unimplemented, "", "is not offered";
        create_schedule(CreateScheduleRequest::default()) => Unimplemented, "", "is not offered";
    }
}

#[tokio::test]
async fn services_that_are_not_there() {
    let harness = Harness::start().await;
    let refused = harness.clock().await.lock_time_skipping(LockTimeSkippingRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
    assert!(refused.message().contains("real clock"), "{refused}");
    let mut operator = OperatorServiceClient::connect(format!("http://{}", harness.address)).await.unwrap();
    let refused = operator.create_nexus_endpoint(CreateNexusEndpointRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
}

#[tokio::test]
async fn requests_that_cannot_be_read() {
    let harness = Harness::start().await;
    let huge = started(|r| r.input = Some(text(&"x".repeat(17 * 1024 * 1024))));
    let refused = harness.client().start_workflow_execution(huge).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("received message larger than max"), "{refused}");

    // A gRPC frame whose message is no message: field 1 claims more bytes than there are.
    let request =
        http::Request::post("/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution")
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(http_body_util::Full::new(bytes::Bytes::from_static(&[
                0, 0, 0, 0, 2, 0x0A, 0x7F,
            ]))))
            .unwrap();
    let answer = tower::ServiceExt::oneshot(harness.server.service(), request).await.unwrap();
    let status = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}
