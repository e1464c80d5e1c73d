//! Checks of single fields, and the limits behind them. Each error names the field, what was sent and what is allowed.

use std::time::Duration;

use durably_proto::temporal::api::{
    common::v1::{
        Header, Link, Memo, Payloads, Priority, RetryPolicy, SearchAttributes, WorkflowExecution,
        WorkflowType,
    },
    enums::v1::TaskQueueKind,
    sdk::v1::UserMetadata,
    taskqueue::v1::TaskQueue,
};
use prost::Message;
use uuid::Uuid;

use crate::{
    RESERVED_QUEUES,
    engine::{self, RetryProblem},
    error::ServiceError,
    store::Field,
};

type Checked<T = ()> = Result<T, ServiceError>;

/// Longest id, name or identity, in bytes.
pub(super) const MAX_ID_LENGTH: usize = 1_000;
/// Largest set of payloads in one field, in bytes.
pub(super) const MAX_BLOB: usize = 2 * 1024 * 1024;
pub(super) const MAX_MEMO: usize = MAX_BLOB;
const MAX_FAIRNESS_KEY: usize = 64;
const MAX_LINKS: usize = 10;
const MAX_LINK: usize = 4_000;
const MAX_SEARCH_ATTRIBUTES: usize = 100;
const MAX_SEARCH_ATTRIBUTES_BYTES: usize = 40 * 1024;
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
    let span = engine::span(value).ok_or_else(|| negative(field, value))?;
    // It is stored as what it means.
    *value = engine::duration(span);
    Ok(Duration::from_nanos(span.unsigned_abs()))
}

/// Its own display negates it, which the smallest number does not bear.
fn negative(field: &str, value: &prost_types::Duration) -> ServiceError {
    ServiceError::invalid_argument(format!(
        "{field} is negative ({} s, {} ns); send zero or more",
        value.seconds, value.nanos
    ))
}

/// Checks a retry policy. Its defaults are the engine's matter.
pub(super) fn retry_policy(policy: Option<&RetryPolicy>) -> Checked {
    let Some(Err(problem)) = policy.map(engine::check_retry_policy) else { return Ok(()) };
    let text = match problem {
        RetryProblem::NegativeInitial(sent) => {
            return Err(negative("retry_policy.initial_interval", &sent));
        }
        RetryProblem::NegativeMaximum(sent) => {
            return Err(negative("retry_policy.maximum_interval", &sent));
        }
        RetryProblem::NegativeAttempts(sent) => {
            format!("retry_policy.maximum_attempts is {sent}; send 0 (no limit) or more")
        }
        RetryProblem::Coefficient(sent) => {
            format!("retry_policy.backoff_coefficient is {sent}; send 1 or more")
        }
        RetryProblem::MaximumBelowInitial { maximum, initial } => {
            let [maximum, initial] = [maximum, initial].map(|span| Duration::from_nanos(span.unsigned_abs()));
            format!(
                "retry_policy.maximum_interval ({maximum:?}) is shorter than initial_interval ({initial:?}); \
                 raise the one or lower the other"
            )
        }
        RetryProblem::UnknownTimeout(kind) => {
            let known = engine::TIMEOUTS.join(", ");
            format!(
                "retry_policy.non_retryable_error_types has 'TemporalTimeout:{kind}'; the time-outs are {known}"
            )
        }
    };
    invalid(text)
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
pub(super) fn id_policies(reuse: &mut i32, conflict: &mut i32, signals: bool) -> Checked {
    let (wanted_reuse, wanted_conflict) =
        engine::id_policies(*reuse, *conflict, signals).map_err(ServiceError::invalid_argument)?;
    (*reuse, *conflict) = (wanted_reuse as i32, wanted_conflict as i32);
    Ok(())
}

/// Zero means the largest page, and so do negative numbers, as in Temporal's server.
pub(super) fn page_size(value: &mut i32, maximum: i32) {
    *value = if *value <= 0 { maximum } else { (*value).min(maximum) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest time there is, as in Temporal's server.
    const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

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
}
