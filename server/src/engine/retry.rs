//! Retry policies: when the next attempt comes, or why none does. The same rules serve activities and workflows.

use durably_proto::temporal::api::{
    common::v1::RetryPolicy,
    enums::v1::{RetryState, TimeoutType},
    failure::v1::{Failure, failure::FailureInfo},
};

use super::time::{Nanos, SECOND, Time, duration, nanos, positive};

/// A further attempt after a pause, or the reason why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    After(Nanos),
    No(RetryState),
}

/// Fills what a policy leaves open: 1 s initial interval, factor 2, maximum 100 times the initial interval.
pub fn with_defaults(mut policy: RetryPolicy) -> RetryPolicy {
    let initial = positive(policy.initial_interval.as_ref()).unwrap_or(SECOND);
    policy.initial_interval = Some(duration(initial));
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = 2.0;
    }
    if positive(policy.maximum_interval.as_ref()).is_none() {
        policy.maximum_interval = Some(duration(initial.saturating_mul(100)));
    }
    policy
}

/// What is wrong with a policy a caller sent.
pub fn validate(policy: &RetryPolicy) -> Result<(), String> {
    let initial = policy.initial_interval.as_ref().map_or(0, nanos);
    let maximum = policy.maximum_interval.as_ref().map_or(0, nanos);
    if initial < 0 {
        return Err("InitialInterval cannot be negative on retry policy.".into());
    }
    if policy.backoff_coefficient != 0.0 && policy.backoff_coefficient < 1.0 {
        return Err("BackoffCoefficient cannot be less than 1 on retry policy.".into());
    }
    if maximum < 0 {
        return Err("MaximumInterval cannot be negative on retry policy.".into());
    }
    if maximum > 0 && maximum < initial {
        return Err("MaximumInterval cannot be less than InitialInterval on retry policy.".into());
    }
    if policy.maximum_attempts < 0 {
        return Err("MaximumAttempts cannot be negative on retry policy.".into());
    }
    Ok(())
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
    let initial = positive(policy.initial_interval.as_ref()).unwrap_or(SECOND);
    let maximum = positive(policy.maximum_interval.as_ref()).unwrap_or_else(|| initial.saturating_mul(100));
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
