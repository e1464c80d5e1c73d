//! Starts and signals with starts: ids, enum values, durations, sizes.

use durably_proto::temporal::api::{
    common::v1::{Header, Link, Memo, Priority, RetryPolicy, SearchAttributes, WorkflowType},
    enums::v1::{WorkflowIdConflictPolicy as Conflict, WorkflowIdReusePolicy as Reuse},
    sdk::v1::UserMetadata,
    workflowservice::v1::*,
};

use super::{Row, long, rows, seconds, with};
use crate::{support::*, wire::world::World};

fn retry(world: &World, policy: RetryPolicy) -> StartWorkflowExecutionRequest {
    world.start(|r| r.retry_policy = Some(policy))
}

fn signal_with_start(
    world: &World,
    change: impl FnOnce(&mut SignalWithStartWorkflowExecutionRequest),
) -> SignalWithStartWorkflowExecutionRequest {
    let request = SignalWithStartWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_id: world.id.clone(),
        workflow_type: start("").workflow_type,
        task_queue: Some(queue(&world.queue)),
        signal_name: "item".into(),
        ..Default::default()
    };
    with(request, change)
}

fn payload(value: &str) -> durably_proto::temporal::api::common::v1::Payload {
    text(value).payloads.remove(0)
}

fn attributes(name: &str, value: &str) -> Option<SearchAttributes> {
    Some(SearchAttributes { indexed_fields: [(name.to_owned(), payload(value))].into() })
}

pub const ROWS: &[Row] = rows! {
    // Ids and names: empty, too long, with a NUL.
    "start: namespace empty", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.namespace.clear()));
    "start: namespace unknown", NotFound:
        |w| w.client().start_workflow_execution(w.start(|r| r.namespace = "nowhere".into()));
    "start: namespace too long", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.namespace = long()));
    "start: namespace with a NUL", NotFound:
        |w| w.client().start_workflow_execution(w.start(|r| r.namespace = "no\0where".into()));
    "start: workflow id empty", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id.clear()));
    "start: workflow id too long", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id = long()));
    "start: workflow id of 1000 bytes", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id = "y".repeat(1_000)));
    "start: workflow id with a NUL", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id.push('\0')));
    "start: workflow id of spaces", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id = "  ".into()));
    "start: request id too long", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.request_id = long()));
    "start: request id with a NUL", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.request_id = "\0".into()));
    "start: identity too long", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.identity = long()));
    "start: identity with a NUL", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.identity = "\0".into()));
    "start: no workflow type", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_type = None));
    "start: workflow type empty", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_type = Some(WorkflowType::default())));
    "start: workflow type too long", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_type = Some(WorkflowType { name: long() })));
    "start: workflow type with a NUL", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_type = Some(WorkflowType { name: "\0".into() })));
    "start: no task queue", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.task_queue = None));
    "start: task queue empty", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.task_queue = Some(queue(""))));
    "start: task queue too long", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.task_queue = Some(queue(&long()))));
    "start: task queue with a NUL", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.task_queue = Some(queue("a\0b"))));
    "start: task queue reserved", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.task_queue = Some(queue("/_sys/x"))));
    "start: cron schedule malformed", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.cron_schedule = "when it rains".into()));
    "start: cron schedule", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.cron_schedule = "* * * * *".into()));
    // Enum values that there are not.
    "start: reuse policy 99", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id_reuse_policy = 99));
    "start: reuse policy -1", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id_reuse_policy = -1));
    "start: conflict policy 99", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_id_conflict_policy = 99));
    "start: reject duplicates and terminate", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.workflow_id_reuse_policy = Reuse::RejectDuplicate as i32;
            r.workflow_id_conflict_policy = Conflict::TerminateExisting as i32;
        }));
    "start: terminate if running, and a conflict policy", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.workflow_id_reuse_policy = 4;
            r.workflow_id_conflict_policy = Conflict::Fail as i32;
        }));
    "start: task queue kind 99", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.task_queue.as_mut().unwrap().kind = 99));
    "start: on a sticky queue", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.task_queue.as_mut().unwrap().kind = 2));
    // Durations: negative, too large, of two signs.
    "start: execution time-out negative", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_execution_timeout = seconds(-1)));
    "start: run time-out negative", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_run_timeout = seconds(-1)));
    "start: task time-out negative", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_task_timeout = seconds(-5)));
    "start: start delay negative", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_start_delay = seconds(-1)));
    "start: execution time-out overflows", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_execution_timeout = seconds(i64::MAX)));
    "start: run time-out overflows", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_run_timeout = seconds(i64::MAX)));
    "start: run time-out underflows", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_run_timeout = seconds(i64::MIN)));
    "start: run time-out of 1000 years", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_run_timeout = seconds(31_536_000_000)));
    "start: task time-out overflows", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.workflow_task_timeout = seconds(i64::MAX)));
    "start: run time-out of two signs", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.workflow_run_timeout = Some(prost_types::Duration { seconds: 5, nanos: -1 });
        }));
    "start: run time-out with 2000000000 ns", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.workflow_run_timeout = Some(prost_types::Duration { seconds: 0, nanos: 2_000_000_000 });
        }));
    "start: run longer than the execution", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.workflow_execution_timeout = seconds(60);
            r.workflow_run_timeout = seconds(90);
        }));
    // Retry policies.
    "start: retry with -1 attempts", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { maximum_attempts: -1, ..Default::default() }));
    "start: retry with coefficient 0.5", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { backoff_coefficient: 0.5, ..Default::default() }));
    "start: retry with coefficient -1", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { backoff_coefficient: -1.0, ..Default::default() }));
    "start: retry with no number as coefficient", Ok:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { backoff_coefficient: f64::NAN, ..Default::default() }));
    "start: retry with an infinite coefficient", Ok:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { backoff_coefficient: f64::INFINITY, ..Default::default() }));
    "start: retry with a negative interval", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { initial_interval: seconds(-1), ..Default::default() }));
    "start: retry with a negative longest interval", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { maximum_interval: seconds(-1), ..Default::default() }));
    "start: retry with a longest interval below the first", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy {
            initial_interval: seconds(5), maximum_interval: seconds(1), ..Default::default()
        }));
    "start: retry with an interval that overflows", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { initial_interval: seconds(i64::MAX), ..Default::default() }));
    "start: retry with a long name of an error", Ok:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { non_retryable_error_types: vec![long()], ..Default::default() }));
    "start: retry with an error without a name", Ok:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy { non_retryable_error_types: vec![String::new()], ..Default::default() }));
    "start: retry not on a time-out of no kind", InvalidArgument:
        |w| w.client().start_workflow_execution(retry(&w, RetryPolicy {
            non_retryable_error_types: vec!["TemporalTimeout:Never".into()], ..Default::default()
        }));
    // Sizes.
    "start: input of 2 MiB", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.input = Some(oversized())));
    "start: input of 5 MB", ResourceExhausted:
        |w| w.client().start_workflow_execution(w.start(|r| r.input = Some(text(&"x".repeat(5_000_000)))));
    "start: input of 17 MiB", ResourceExhausted:
        |w| w.client().start_workflow_execution(w.start(|r| r.input = Some(text(&"x".repeat(17 << 20)))));
    "start: memo of 2 MiB", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.memo = Some(Memo { fields: [("k".to_owned(), oversized().payloads.remove(0))].into() });
        }));
    "start: header of 2 MiB", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.header = Some(Header { fields: [("k".to_owned(), oversized().payloads.remove(0))].into() });
        }));
    "start: summary of 401 bytes", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.user_metadata = Some(UserMetadata { summary: Some(payload(&"x".repeat(500))), details: None });
        }));
    "start: details of 20001 bytes", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.user_metadata = Some(UserMetadata { summary: None, details: Some(payload(&"x".repeat(20_100))) });
        }));
    "start: 11 links", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.links = vec![Link::default(); 11]));
    "start: a link that links nothing", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.links = vec![Link::default()]));
    "start: priority -1", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.priority = Some(Priority { priority_key: -1, ..Default::default() });
        }));
    "start: fairness key of 65 bytes", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| {
            r.priority = Some(Priority { fairness_key: "x".repeat(65), ..Default::default() });
        }));
    "start: search attribute unknown", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.search_attributes = attributes("NobodyKnows", "x")));
    "start: search attribute of the system", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.search_attributes = attributes("WorkflowId", "x")));
    "start: search attribute of the wrong type", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.search_attributes = attributes("CustomIntField", "x")));
    "start: search attribute without a name", InvalidArgument:
        |w| w.client().start_workflow_execution(w.start(|r| r.search_attributes = attributes("", "x")));
    "start: a running id", AlreadyExists:
        |w| async move {
            w.begin().await;
            w.client().start_workflow_execution(w.start(|r| r.request_id = "another".into())).await
        };
    "start: signal with start without a signal", InvalidArgument:
        |w| w.client().signal_with_start_workflow_execution(signal_with_start(&w, |r| r.signal_name.clear()));
    "start: signal with start with a long signal", InvalidArgument:
        |w| w.client().signal_with_start_workflow_execution(signal_with_start(&w, |r| r.signal_name = long()));
    "start: signal with start with conflict policy FAIL", InvalidArgument:
        |w| w.client().signal_with_start_workflow_execution(signal_with_start(&w, |r| r.workflow_id_conflict_policy = 1));
    "start: signal with start with conflict policy 99", Ok:
        |w| w.client().signal_with_start_workflow_execution(signal_with_start(&w, |r| r.workflow_id_conflict_policy = 99));
    "start: signal with start with a negative time-out", InvalidArgument:
        |w| w.client().signal_with_start_workflow_execution(signal_with_start(&w, |r| r.workflow_run_timeout = seconds(-1)));
    "start: signal with start with an input of 2 MiB", InvalidArgument:
        |w| w.client().signal_with_start_workflow_execution(signal_with_start(&w, |r| r.input = Some(oversized())));
    "start: signal with start with a signal of 2 MiB", InvalidArgument:
        |w| w.client().signal_with_start_workflow_execution(signal_with_start(&w, |r| r.signal_input = Some(oversized())));
};
