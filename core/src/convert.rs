//! Durations and times between the wire's types and the standard library's.

use std::time::Duration;

/// `value`, or `default` if it is absent, negative or malformed.
pub(crate) fn duration_or(value: Option<&prost_types::Duration>, default: Duration) -> Duration {
    duration(value).unwrap_or(default)
}

/// `value` if it is present, valid and more than zero: on Temporal's wire a zero time-out means none.
pub(crate) fn duration(value: Option<&prost_types::Duration>) -> Option<Duration> {
    value.and_then(|d| Duration::try_from(*d).ok()).filter(|d| !d.is_zero())
}

/// What the contract says in place of the wire's zero: nothing.
pub(crate) fn unless_zero(value: Option<prost_types::Duration>) -> Option<prost_types::Duration> {
    value.filter(|d| d.seconds != 0 || d.nanos != 0)
}

/// The wire's form; what it can't hold (292 billion years) becomes its maximum.
pub(crate) fn to_wire(value: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(value)
        .unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 999_999_999 })
}
