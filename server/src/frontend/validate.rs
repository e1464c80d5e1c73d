//! Checks of single fields, and the limits behind them. Each error names the field, what was sent and what is allowed.

use std::time::Duration;

use durably_proto::temporal::api::{
    common::v1::{
        Header, Link, Memo, Payloads, Priority, RetryPolicy, SearchAttributes, WorkflowExecution,
        WorkflowType,
    },
    enums::v1::{TaskQueueKind, WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    sdk::v1::UserMetadata,
    taskqueue::v1::TaskQueue,
};
use prost::Message;
use uuid::Uuid;

use crate::{RESERVED_QUEUES, error::ServiceError, store::Field};

type Checked<T = ()> = Result<T, ServiceError>;

/// Longest id, name or identity, in bytes.
pub(super) const MAX_ID_LENGTH: usize = 1_000;
/// Largest set of payloads in one field, in bytes.
pub(super) const MAX_BLOB: usize = 2 * 1024 * 1024;
pub(super) const MAX_MEMO: usize = MAX_BLOB;
/// What `TemporalTimeout:` may be followed by among the errors that are not retried.
const TIMEOUTS: [&str; 4] = ["StartToClose", "ScheduleToStart", "ScheduleToClose", "Heartbeat"];
const MAX_FAIRNESS_KEY: usize = 64;
const MAX_LINKS: usize = 10;
const MAX_LINK: usize = 4_000;
const MAX_SEARCH_ATTRIBUTES: usize = 100;
const MAX_SEARCH_ATTRIBUTES_BYTES: usize = 40 * 1024;
/// The longest time there is, as in Temporal's server.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);
const DEFAULT_TASK_TIMEOUT: Duration = Duration::from_secs(10);
/// A longer workflow task time-out only delays noticing a lost worker.
const MAX_TASK_TIMEOUT: Duration = Duration::from_mins(2);

fn invalid<T>(message: impl Into<String>) -> Checked<T> {
    Err(ServiceError::invalid_argument(message))
}

/// An id or name that may be empty.
pub(super) fn optional_id(field: &str, value: &str) -> Checked {
    if value.len() > MAX_ID_LENGTH {
        return invalid(format!("{field} has {} bytes; at most {MAX_ID_LENGTH} are allowed", value.len()));
    }
    Ok(())
}

/// An id or name that must be there.
pub(super) fn id(field: &str, value: &str) -> Checked {
    if value.is_empty() {
        return invalid(format!("{field} is not set; it is required"));
    }
    optional_id(field, value)
}

/// A request id makes a repeated call idempotent; a caller that sends none gets one of its own.
pub(super) fn request_id(value: &mut String) -> Checked {
    if value.is_empty() {
        *value = Uuid::new_v4().to_string();
    }
    optional_id("request_id", value)
}

/// The workflow id is required; the run id is empty (the current run) or a UUID.
pub(super) fn execution(execution: Option<&WorkflowExecution>) -> Checked {
    let Some(execution) = execution else {
        return invalid("the workflow execution is not set; send at least its workflow_id");
    };
    id("workflow_id", &execution.workflow_id)?;
    run_id("run_id", &execution.run_id)
}

pub(super) fn run_id(field: &str, value: &str) -> Checked {
    if !value.is_empty() && Uuid::try_parse(value).is_err() {
        // Programs look for the first two words.
        return invalid(format!(
            "Invalid RunId. {field} '{value}' is not a UUID; leave it empty to mean the current run"
        ));
    }
    Ok(())
}

pub(super) fn workflow_type(workflow_type: Option<&WorkflowType>) -> Checked {
    id("workflow_type.name", workflow_type.map_or("", |t| &t.name))
}

pub(super) fn task_queue(queue: Option<&TaskQueue>) -> Checked {
    let name = queue.map_or("", |queue| queue.name.as_str());
    id("task_queue.name", name)?;
    if name.starts_with(RESERVED_QUEUES) {
        return invalid(format!(
            "task_queue.name '{name}' begins with the reserved {RESERVED_QUEUES}; choose another name"
        ));
    }
    let kind = queue.map_or(0, |queue| queue.kind);
    if TaskQueueKind::try_from(kind).is_err() {
        return invalid(format!("task_queue.kind {kind} is unknown; send NORMAL or STICKY"));
    }
    Ok(())
}

fn size(field: &str, message: Option<&impl Message>, limit: usize) -> Checked {
    let length = message.map_or(0, Message::encoded_len);
    if length > limit {
        // Programs look for the first words.
        let kind = if field == "memo" { "Memo" } else { "Blob data" };
        return invalid(format!(
            "{kind} size exceeds limit. {field} has {length} bytes; at most {limit} are allowed. Store large data elsewhere and pass a reference"
        ));
    }
    Ok(())
}

pub(super) fn payloads(field: &str, payloads: Option<&Payloads>) -> Checked {
    size(field, payloads, MAX_BLOB)
}

pub(super) fn header(header: Option<&Header>) -> Checked {
    size("header", header, MAX_BLOB)
}

pub(super) fn memo(memo: Option<&Memo>) -> Checked {
    size("memo", memo, MAX_MEMO)
}

pub(super) fn search_attributes(attributes: Option<&SearchAttributes>) -> Checked {
    let count = attributes.map_or(0, |attributes| attributes.indexed_fields.len());
    if count > MAX_SEARCH_ATTRIBUTES {
        return invalid(format!(
            "search_attributes has {count} keys; at most {MAX_SEARCH_ATTRIBUTES} are allowed"
        ));
    }
    let names = attributes.iter().flat_map(|attributes| attributes.indexed_fields.keys());
    if let Some(name) = names.map(String::as_str).find(|name| name.is_empty() || Field::is_reserved(name)) {
        return invalid(format!(
            "search_attributes has {name:?}, which says what the server itself knows or nothing; choose another name"
        ));
    }
    size("search_attributes", attributes, MAX_SEARCH_ATTRIBUTES_BYTES)
}

pub(super) fn user_metadata(metadata: Option<&UserMetadata>) -> Checked {
    size("user_metadata.summary", metadata.and_then(|m| m.summary.as_ref()), MAX_BLOB)?;
    size("user_metadata.details", metadata.and_then(|m| m.details.as_ref()), MAX_BLOB)
}

pub(super) fn links(links: &[Link]) -> Checked {
    if links.len() > MAX_LINKS {
        return invalid(format!("{} links; at most {MAX_LINKS} are allowed", links.len()));
    }
    if links.iter().any(|link| link.variant.is_none()) {
        return invalid("a link links nothing; say what, or leave it out");
    }
    links.iter().try_for_each(|link| size("link", Some(link), MAX_LINK))
}

/// An absent duration is zero. A negative one, or one with seconds and nanoseconds of different sign, is refused; what is
/// longer than a hundred years means a hundred years.
pub(super) fn duration(field: &str, value: Option<&mut prost_types::Duration>) -> Checked<Duration> {
    let Some(value) = value else { return Ok(Duration::ZERO) };
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(value.seconds), u64::try_from(value.nanos)) else {
        // Its own display negates it, which the smallest number does not bear.
        return invalid(format!(
            "{field} is negative ({} s, {} ns); send zero or more",
            value.seconds, value.nanos
        ));
    };
    let span = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos)).min(LONGEST);
    // It is stored as what it means. No span of a hundred years is too long for this.
    *value = prost_types::Duration::try_from(span).unwrap_or_default();
    Ok(span)
}

/// Checks the three workflow time-outs and fills in what they default to: the run time-out is the execution
/// time-out, a workflow task has 10 seconds.
pub(super) fn workflow_timeouts(
    execution: &mut Option<prost_types::Duration>,
    run: &mut Option<prost_types::Duration>,
    task: &mut Option<prost_types::Duration>,
) -> Checked {
    let total = duration("workflow_execution_timeout", execution.as_mut())?;
    let single = duration("workflow_run_timeout", run.as_mut())?;
    let per_task = duration("workflow_task_timeout", task.as_mut())?;
    if !total.is_zero() && (single.is_zero() || single > total) {
        *run = *execution;
    }
    let per_task = if per_task.is_zero() { DEFAULT_TASK_TIMEOUT } else { per_task.min(MAX_TASK_TIMEOUT) };
    *task = prost_types::Duration::try_from(per_task).ok();
    Ok(())
}

/// Checks a retry policy and fills in defaults: 1 s, doubled each time, at most 100 times the first interval.
pub(super) fn retry_policy(policy: Option<&mut RetryPolicy>) -> Checked {
    let Some(policy) = policy else { return Ok(()) };
    if policy.maximum_attempts < 0 {
        return invalid(format!(
            "retry_policy.maximum_attempts is {}; send 0 (no limit) or more",
            policy.maximum_attempts
        ));
    }
    let mut initial = duration("retry_policy.initial_interval", policy.initial_interval.as_mut())?;
    if initial.is_zero() {
        initial = Duration::from_secs(1);
    }
    let coefficient = policy.backoff_coefficient;
    if coefficient == 0.0 {
        policy.backoff_coefficient = 2.0;
    } else if !coefficient.is_finite() || coefficient < 1.0 {
        return invalid(format!("retry_policy.backoff_coefficient is {coefficient}; send 1 or more"));
    }
    let mut maximum = duration("retry_policy.maximum_interval", policy.maximum_interval.as_mut())?;
    if maximum.is_zero() {
        maximum = initial.saturating_mul(100).min(LONGEST);
    }
    if maximum < initial {
        return invalid(format!(
            "retry_policy.maximum_interval ({maximum:?}) is shorter than initial_interval ({initial:?}); \
             raise the one or lower the other"
        ));
    }
    policy.initial_interval = prost_types::Duration::try_from(initial).ok();
    policy.maximum_interval = prost_types::Duration::try_from(maximum).ok();
    for name in &policy.non_retryable_error_types {
        let kind = name.strip_prefix("TemporalTimeout:");
        if kind.is_some_and(|kind| !TIMEOUTS.contains(&kind)) {
            return invalid(format!(
                "retry_policy.non_retryable_error_types has '{name}'; the time-outs are {}",
                TIMEOUTS.join(", ")
            ));
        }
    }
    Ok(())
}

pub(super) fn priority(priority: Option<&Priority>) -> Checked {
    let Some(priority) = priority else { return Ok(()) };
    if priority.priority_key < 0 {
        return invalid(format!("priority.priority_key is {}; send zero or more", priority.priority_key));
    }
    if priority.fairness_key.len() > MAX_FAIRNESS_KEY {
        return invalid(format!(
            "priority.fairness_key has {} bytes; at most {MAX_FAIRNESS_KEY} are allowed",
            priority.fairness_key.len()
        ));
    }
    Ok(())
}

/// Checks the policies for a workflow id that is taken, and spells out their defaults.
///
/// `conflict_default` is what an unset conflict policy means: FAIL for a start, USE_EXISTING for signal-with-start.
pub(super) fn id_policies(
    reuse: &mut i32,
    conflict: &mut i32,
    conflict_default: WorkflowIdConflictPolicy,
) -> Checked {
    let Ok(wanted_reuse) = WorkflowIdReusePolicy::try_from(*reuse) else {
        return invalid(format!("workflow_id_reuse_policy {reuse} is unknown; send one of the API's values"));
    };
    let Ok(wanted_conflict) = WorkflowIdConflictPolicy::try_from(*conflict) else {
        return invalid(format!(
            "workflow_id_conflict_policy {conflict} is unknown; send one of the API's values"
        ));
    };
    let unset = wanted_conflict == WorkflowIdConflictPolicy::Unspecified;
    #[allow(deprecated)]
    let terminate_if_running = wanted_reuse == WorkflowIdReusePolicy::TerminateIfRunning;
    if terminate_if_running && !unset {
        return invalid(
            "workflow_id_reuse_policy TERMINATE_IF_RUNNING cannot go with a workflow_id_conflict_policy; \
             send ALLOW_DUPLICATE with TERMINATE_EXISTING instead",
        );
    }
    if wanted_reuse == WorkflowIdReusePolicy::RejectDuplicate
        && wanted_conflict == WorkflowIdConflictPolicy::TerminateExisting
    {
        return invalid(
            "workflow_id_reuse_policy REJECT_DUPLICATE contradicts workflow_id_conflict_policy \
             TERMINATE_EXISTING; drop one of them",
        );
    }
    let (reuse_value, conflict_value) = match wanted_reuse {
        _ if terminate_if_running => {
            (WorkflowIdReusePolicy::AllowDuplicate, WorkflowIdConflictPolicy::TerminateExisting)
        }
        WorkflowIdReusePolicy::Unspecified => {
            (WorkflowIdReusePolicy::AllowDuplicate, if unset { conflict_default } else { wanted_conflict })
        }
        other => (other, if unset { conflict_default } else { wanted_conflict }),
    };
    *reuse = reuse_value as i32;
    *conflict = conflict_value as i32;
    Ok(())
}

/// Zero means the largest page, and so do negative numbers, as in Temporal's server.
pub(super) fn page_size(value: &mut i32, maximum: i32) {
    *value = if *value <= 0 { maximum } else { (*value).min(maximum) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos: 0 }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("d", None).unwrap(), Duration::ZERO);
        let nanos = |seconds, nanos| prost_types::Duration { seconds, nanos };
        for (mut value, meant) in [
            (seconds(3), Duration::from_secs(3)),
            (nanos(0, 2_000_000_000), Duration::from_secs(2)),
            (seconds(i64::MAX), LONGEST),
            (nanos(i64::MAX, i32::MAX), LONGEST),
        ] {
            assert_eq!(duration("d", Some(&mut value)).unwrap(), meant);
            assert_eq!(Duration::try_from(value).unwrap(), meant);
        }
        for mut value in [seconds(-1), seconds(i64::MIN), nanos(0, -1), nanos(5, -1), nanos(-1, i32::MIN)] {
            assert!(duration("d", Some(&mut value)).unwrap_err().message().contains("negative"), "{value:?}");
        }
    }

    #[test]
    fn a_run_lasts_no_longer_than_its_execution() {
        let (mut execution, mut run, mut task) = (Some(seconds(60)), Some(seconds(90)), None);
        workflow_timeouts(&mut execution, &mut run, &mut task).unwrap();
        assert_eq!((run, task), (Some(seconds(60)), Some(seconds(10))));
    }

    #[test]
    fn a_retry_policy_gets_its_defaults() {
        let mut policy = RetryPolicy::default();
        retry_policy(Some(&mut policy)).unwrap();
        assert_eq!(policy.initial_interval, Some(seconds(1)));
        assert_eq!(policy.maximum_interval, Some(seconds(100)));
        assert!((policy.backoff_coefficient - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn contradictory_id_policies_are_refused() {
        let reject = WorkflowIdReusePolicy::RejectDuplicate as i32;
        let terminate = WorkflowIdConflictPolicy::TerminateExisting as i32;
        for (reuse, conflict, accepted) in [
            (0, 0, Some((1, 1))),
            (4, 0, Some((1, terminate))),
            (4, terminate, None),
            (reject, terminate, None),
            (reject, 0, Some((reject, 1))),
            (99, 0, None),
            (0, 99, None),
        ] {
            let (mut actual_reuse, mut actual_conflict) = (reuse, conflict);
            let result = id_policies(&mut actual_reuse, &mut actual_conflict, WorkflowIdConflictPolicy::Fail);
            assert_eq!(result.ok().map(|()| (actual_reuse, actual_conflict)), accepted, "{reuse} {conflict}");
        }
    }
}
