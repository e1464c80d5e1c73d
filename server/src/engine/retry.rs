//! Retry policies: when the next attempt comes, or why none does. The same rules serve activities and workflows.

use durably_proto::temporal::api::{
    common::v1::RetryPolicy,
    enums::v1::{RetryState, TimeoutType},
    failure::v1::{Failure, failure::FailureInfo},
};

use prost_types::Duration;

use super::time::{LONGEST, Nanos, SECOND, Time, duration, nanos, positive, span as span_of};

/// A further attempt after a pause, or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    After(Nanos),
    No(RetryState),
}

/// What `TemporalTimeout:` may be followed by among the errors that are not retried.
pub const TIMEOUTS: [&str; 4] = ["StartToClose", "ScheduleToStart", "ScheduleToClose", "Heartbeat"];
const TIMEOUT_PREFIX: &str = "TemporalTimeout:";

/// Fills what a policy leaves open: 1 s initial interval, factor 2, maximum 100 times the initial interval.
pub fn with_defaults(mut policy: RetryPolicy) -> RetryPolicy {
    let (initial, maximum) = intervals(&policy);
    policy.initial_interval = Some(duration(initial));
    policy.maximum_interval = Some(duration(maximum));
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = 2.0;
    }
    policy
}

/// The initial and the maximum interval.
fn intervals(policy: &RetryPolicy) -> (Nanos, Nanos) {
    let initial = positive(policy.initial_interval.as_ref()).unwrap_or(SECOND);
    let maximum = positive(policy.maximum_interval.as_ref());
    (initial, maximum.unwrap_or_else(|| initial.saturating_mul(100).min(LONGEST)))
}

/// What is wrong with a policy. The words are those of Temporal's server, which workers are told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("MaximumAttempts cannot be negative on retry policy.")]
    NegativeAttempts(i32),
    #[error("InitialInterval cannot be negative on retry policy.")]
    NegativeInitial(Duration),
    #[error("BackoffCoefficient cannot be less than 1 on retry policy.")]
    Coefficient(f64),
    #[error("MaximumInterval cannot be negative on retry policy.")]
    NegativeMaximum(Duration),
    #[error("MaximumInterval cannot be less than InitialInterval on retry policy.")]
    MaximumBelowInitial { maximum: Nanos, initial: Nanos },
    /// What stands behind the `TemporalTimeout:` of an error that is not retried.
    #[error("Invalid timeout type value: {0}.")]
    UnknownTimeout(String),
}

/// Finds what is wrong with a policy that a caller or a worker sent.
pub fn check(policy: &RetryPolicy) -> Result<(), Problem> {
    let negative = |span: &Option<Duration>| span.filter(|sent| span_of(sent).is_none());
    if policy.maximum_attempts < 0 {
        return Err(Problem::NegativeAttempts(policy.maximum_attempts));
    }
    if let Some(sent) = negative(&policy.initial_interval) {
        return Err(Problem::NegativeInitial(sent));
    }
    let coefficient = policy.backoff_coefficient;
    if coefficient != 0.0 && (!coefficient.is_finite() || coefficient < 1.0) {
        return Err(Problem::Coefficient(coefficient));
    }
    if let Some(sent) = negative(&policy.maximum_interval) {
        return Err(Problem::NegativeMaximum(sent));
    }
    let (initial, maximum) = intervals(policy);
    if maximum < initial {
        return Err(Problem::MaximumBelowInitial { maximum, initial });
    }
    let mut timeouts =
        policy.non_retryable_error_types.iter().filter_map(|name| name.strip_prefix(TIMEOUT_PREFIX));
    match timeouts.find(|kind| !TIMEOUTS.contains(kind)) {
        Some(kind) => Err(Problem::UnknownTimeout(kind.to_owned())),
        None => Ok(()),
    }
}

/// Decides what follows the failure of `attempt` (from 1). No retry begins at or after `expiration`.
pub(super) fn next(
    policy: Option<&RetryPolicy>,
    attempt: i32,
    failure: &Failure,
    now: Time,
    expiration: Option<Time>,
) -> Retry {
    let Some(policy) = policy else { return Retry::No(RetryState::RetryPolicyNotSet) };
    if !is_retryable(failure, &policy.non_retryable_error_types) {
        return Retry::No(RetryState::NonRetryableFailure);
    }
    if policy.maximum_attempts > 0 && attempt >= policy.maximum_attempts {
        return Retry::No(RetryState::MaximumAttemptsReached);
    }
    let interval = requested_delay(failure).unwrap_or_else(|| interval(policy, attempt));
    match expiration {
        Some(end) if now.after(interval) > end => Retry::No(RetryState::Timeout),
        _ => Retry::After(interval),
    }
}

fn interval(policy: &RetryPolicy, attempt: i32) -> Nanos {
    let (initial, maximum) = intervals(policy);
    let coefficient = if policy.backoff_coefficient == 0.0 { 2.0 } else { policy.backoff_coefficient };
    let grown = initial as f64 * coefficient.powi(attempt.saturating_sub(1));
    // Compared as floats: a float beyond i64 would wrap when cast.
    if grown >= maximum as f64 { maximum } else { grown as Nanos }
}

fn requested_delay(failure: &Failure) -> Option<Nanos> {
    match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => info.next_retry_delay.as_ref().map(nanos),
        _ => None,
    }
    .filter(|delay| *delay > 0)
}

fn is_retryable(failure: &Failure, non_retryable_types: &[String]) -> bool {
    let listed = |name: &str| non_retryable_types.iter().any(|listed| listed == name);
    match &failure.failure_info {
        Some(FailureInfo::TerminatedFailureInfo(_) | FailureInfo::CanceledFailureInfo(_)) => false,
        Some(FailureInfo::TimeoutFailureInfo(info)) => match info.timeout_type() {
            TimeoutType::StartToClose => !listed("TemporalTimeout:StartToClose"),
            TimeoutType::Heartbeat => !listed("TemporalTimeout:Heartbeat"),
            _ => false,
        },
        Some(FailureInfo::ServerFailureInfo(info)) => !info.non_retryable,
        Some(FailureInfo::ApplicationFailureInfo(info)) => !info.non_retryable && !listed(&info.r#type),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::failure::v1::ApplicationFailureInfo;

    use super::*;

    fn failure(info: ApplicationFailureInfo) -> Failure {
        Failure { failure_info: Some(FailureInfo::ApplicationFailureInfo(info)), ..Default::default() }
    }

    #[test]
    fn intervals_grow_to_the_maximum() {
        let policy = with_defaults(RetryPolicy::default());
        let after = |attempt| next(Some(&policy), attempt, &Failure::default(), Time(0), None);
        assert_eq!(after(1), Retry::After(SECOND));
        assert_eq!(after(4), Retry::After(8 * SECOND));
        assert_eq!(after(8), Retry::After(100 * SECOND));
        assert_eq!(after(i32::MAX), Retry::After(100 * SECOND));
    }

    #[test]
    fn a_policy_gets_its_defaults() {
        let policy = with_defaults(RetryPolicy::default());
        assert_eq!(policy.initial_interval, Some(duration(SECOND)));
        assert_eq!(policy.maximum_interval, Some(duration(100 * SECOND)));
        assert!((policy.backoff_coefficient - 2.0).abs() < f64::EPSILON);
        // It is stored as what it means.
        let odd = Some(Duration { seconds: 0, nanos: 2_000_000_000 });
        let policy = RetryPolicy { initial_interval: odd, maximum_interval: odd, ..Default::default() };
        let policy = with_defaults(policy);
        assert_eq!(policy.initial_interval, Some(duration(2 * SECOND)));
        assert_eq!(policy.maximum_interval, Some(duration(2 * SECOND)));
        let initial_interval = Some(duration(LONGEST / 2));
        let policy = with_defaults(RetryPolicy { initial_interval, ..Default::default() });
        assert_eq!(policy.maximum_interval, Some(duration(LONGEST)));
    }

    #[test]
    fn each_problem_of_a_policy() {
        let half = Some(duration(SECOND / 2));
        let negative = Duration { seconds: 5, nanos: -1 };
        let types = |name: &str| vec!["Fatal".to_owned(), name.to_owned()];
        let any = RetryPolicy::default;
        for (policy, problem) in [
            (any(), None),
            (RetryPolicy { maximum_attempts: -1, ..any() }, Some(Problem::NegativeAttempts(-1))),
            (
                RetryPolicy { initial_interval: Some(negative), ..any() },
                Some(Problem::NegativeInitial(negative)),
            ),
            (
                RetryPolicy { maximum_interval: Some(negative), ..any() },
                Some(Problem::NegativeMaximum(negative)),
            ),
            (RetryPolicy { backoff_coefficient: 0.5, ..any() }, Some(Problem::Coefficient(0.5))),
            (
                RetryPolicy { backoff_coefficient: f64::INFINITY, ..any() },
                Some(Problem::Coefficient(f64::INFINITY)),
            ),
            (
                // The initial interval is a second, unless it is given.
                RetryPolicy { maximum_interval: half, ..any() },
                Some(Problem::MaximumBelowInitial { maximum: SECOND / 2, initial: SECOND }),
            ),
            (RetryPolicy { initial_interval: half, maximum_interval: half, ..any() }, None),
            (
                RetryPolicy { non_retryable_error_types: types("TemporalTimeout:Never"), ..any() },
                Some(Problem::UnknownTimeout("Never".to_owned())),
            ),
            (RetryPolicy { non_retryable_error_types: types("TemporalTimeout:Heartbeat"), ..any() }, None),
        ] {
            assert_eq!(check(&policy).err(), problem, "{policy:?}");
        }
        assert!(check(&RetryPolicy { backoff_coefficient: f64::NAN, ..any() }).is_err());
    }

    #[test]
    fn each_reason_to_stop() {
        let policy = with_defaults(RetryPolicy {
            maximum_attempts: 3,
            non_retryable_error_types: vec!["Fatal".into()],
            ..Default::default()
        });
        let fatal = failure(ApplicationFailureInfo { r#type: "Fatal".into(), ..Default::default() });
        let flagged = failure(ApplicationFailureInfo { non_retryable: true, ..Default::default() });
        let plain = Failure::default();
        let state = |failure, attempt, end| next(Some(&policy), attempt, failure, Time(0), end);
        assert_eq!(state(&fatal, 1, None), Retry::No(RetryState::NonRetryableFailure));
        assert_eq!(state(&flagged, 1, None), Retry::No(RetryState::NonRetryableFailure));
        assert_eq!(state(&plain, 3, None), Retry::No(RetryState::MaximumAttemptsReached));
        assert_eq!(state(&plain, 1, Some(Time(SECOND - 1))), Retry::No(RetryState::Timeout));
        assert_eq!(next(None, 1, &plain, Time(0), None), Retry::No(RetryState::RetryPolicyNotSet));
    }

    #[test]
    fn a_requested_delay_wins_over_the_policy() {
        let asked = failure(ApplicationFailureInfo {
            next_retry_delay: Some(duration(7 * SECOND)),
            ..Default::default()
        });
        let policy = with_defaults(RetryPolicy::default());
        assert_eq!(next(Some(&policy), 1, &asked, Time(0), None), Retry::After(7 * SECOND));
    }
}
