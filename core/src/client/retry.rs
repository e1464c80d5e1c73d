//! When a failed call is tried again: by status code, with exponential backoff and jitter. No clock and no randomness
//! in here; both are arguments.

use std::time::Duration;

use durably_proto::durably::core::v1::RetryOptions;
use tonic::Code;

use crate::{client::error::is_too_large, convert::duration_or};

/// A busy server asked for less: RESOURCE_EXHAUSTED starts this many times slower, with twice the ceiling.
const THROTTLED_FACTOR: u32 = 10;

/// `RetryOptions` with its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetryPolicy {
    pub(crate) initial_interval: Duration,
    /// An interval varies by this share of itself, up and down.
    pub(crate) randomization_factor: f64,
    pub(crate) multiplier: f64,
    pub(crate) max_interval: Duration,
    /// `None`: no end.
    pub(crate) max_elapsed: Option<Duration>,
    /// `None`: no end.
    pub(crate) max_retries: Option<u32>,
    /// A deadline that passed is then the normal end, and CANCELLED is what some servers say when they stop.
    is_long_poll: bool,
    /// A server that is away is the caller's affair.
    ends_when_away: bool,
}

impl RetryPolicy {
    pub(crate) fn new(options: Option<&RetryOptions>) -> Self {
        let given = options.copied().unwrap_or_default();
        Self {
            initial_interval: duration_or(given.initial_interval.as_ref(), Duration::from_millis(100)),
            randomization_factor: if given.randomization_factor > 0.0 {
                given.randomization_factor.min(1.0)
            } else {
                0.2
            },
            multiplier: if given.multiplier >= 1.0 { given.multiplier } else { 1.7 },
            max_interval: duration_or(given.max_interval.as_ref(), Duration::from_secs(5)),
            max_elapsed: Some(duration_or(given.max_elapsed_time.as_ref(), Duration::from_secs(10))),
            max_retries: Some(if given.max_retries == 0 { 10 } else { given.max_retries }),
            is_long_poll: false,
            ends_when_away: false,
        }
    }

    /// For what goes on for as long as the process lives.
    pub(crate) fn for_long_polls(&self) -> Self {
        Self { max_elapsed: None, max_retries: None, is_long_poll: true, ..self.clone() }
    }

    /// For a long poll that is given up as other calls are, however long it had waited before it failed.
    pub(crate) fn for_long_calls(&self) -> Self {
        Self { max_retries: self.max_retries, ..self.for_long_polls() }
    }

    /// The same, except that a server which is away ends it.
    pub(crate) fn while_reached(self) -> Self {
        Self { ends_when_away: true, ..self }
    }
}

/// True if a call that failed so may succeed when it is sent again unchanged.
pub(crate) fn is_retryable(code: Code, message: &str) -> bool {
    is_retryable_code(code) && !is_too_large(code, message)
}

fn is_retryable_code(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unknown
            | Code::Aborted
            | Code::OutOfRange
            | Code::DataLoss
            // The server's own deadline; the caller's is checked by the driver of the call.
            | Code::DeadlineExceeded
    )
}

/// The retries of one call.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    retries: u32,
}

impl Backoff {
    /// How long to wait before the next attempt, or `None` to give up. `elapsed` counts from the first attempt,
    /// `random` is uniform in 0..1.
    pub(crate) fn next(
        &mut self,
        policy: &RetryPolicy,
        (code, message): (Code, &str),
        elapsed: Duration,
        random: f64,
    ) -> Option<Duration> {
        let is_retryable = match code {
            Code::DeadlineExceeded => !policy.is_long_poll,
            Code::Cancelled => policy.is_long_poll,
            Code::Unavailable if policy.ends_when_away => false,
            code => is_retryable(code, message),
        };
        if !is_retryable
            || policy.max_retries.is_some_and(|max| self.retries >= max)
            || policy.max_elapsed.is_some_and(|max| elapsed >= max)
        {
            return None;
        }
        let (initial, ceiling) = if code == Code::ResourceExhausted {
            (policy.initial_interval * THROTTLED_FACTOR, policy.max_interval * 2)
        } else {
            (policy.initial_interval, policy.max_interval)
        };
        // The power overflows to infinity after some hundred retries, which `min` then caps.
        let grown = initial.as_secs_f64() * policy.multiplier.powf(f64::from(self.retries));
        let base = grown.min(ceiling.as_secs_f64());
        self.retries = self.retries.saturating_add(1);
        Some(Duration::from_secs_f64(base * (1.0 + policy.randomization_factor * (2.0 * random - 1.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(policy: &RetryPolicy, code: Code, count: usize) -> Vec<Option<u128>> {
        let mut backoff = Backoff::default();
        (0..count)
            .map(|_| backoff.next(policy, (code, ""), Duration::ZERO, 0.5).map(|d| d.as_millis()))
            .collect()
    }

    #[test]
    fn intervals_grow_to_the_ceiling() {
        let policy = RetryPolicy::new(None);
        let expected = [100, 170, 289, 491, 835, 1419, 2413, 4103, 5000, 5000].map(Some);
        assert_eq!(waits(&policy, Code::Unavailable, 10), expected);
        assert_eq!(waits(&policy, Code::Unavailable, 11)[10], None, "ten retries are the default");
        assert_eq!(waits(&policy.for_long_polls(), Code::Unavailable, 2000)[1999], Some(5000));
    }

    #[test]
    fn a_throttled_call_waits_longer() {
        let policy = RetryPolicy::new(None);
        assert_eq!(waits(&policy, Code::ResourceExhausted, 3), [Some(1000), Some(1700), Some(2890)]);
        assert_eq!(waits(&policy, Code::ResourceExhausted, 9)[8], Some(10_000));
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let policy = RetryPolicy::new(None);
        let wait = |random| Backoff::default().next(&policy, (Code::Internal, ""), Duration::ZERO, random);
        assert_eq!(wait(0.0), Some(Duration::from_millis(80)));
        assert!(wait(0.999).unwrap() < Duration::from_millis(120));
    }

    #[test]
    fn a_long_poll_ends_by_its_deadline_only() {
        let policy = RetryPolicy::new(None).for_long_polls();
        assert_eq!(waits(&policy, Code::DeadlineExceeded, 1), [None]);
        assert_eq!(waits(&policy, Code::Cancelled, 1), [Some(100)]);
        assert_eq!(waits(&policy, Code::PermissionDenied, 1), [None]);
    }

    #[test]
    fn time_runs_out() {
        let policy = RetryPolicy::new(None);
        let next = |elapsed| Backoff::default().next(&policy, (Code::Unavailable, ""), elapsed, 0.5);
        assert!(next(Duration::from_millis(9999)).is_some());
        assert!(next(Duration::from_secs(10)).is_none());
    }

    #[test]
    fn every_code_is_decided() {
        let codes = (0..17).map(Code::from).map(|code| format!("{code:?} {}", is_retryable(code, "")));
        insta::assert_snapshot!(codes.collect::<Vec<_>>().join("\n"), @r"
        Ok false
        Cancelled false
        Unknown true
        InvalidArgument false
        DeadlineExceeded true
        NotFound false
        AlreadyExists false
        PermissionDenied false
        ResourceExhausted true
        FailedPrecondition false
        Aborted true
        OutOfRange true
        Unimplemented false
        Internal true
        Unavailable true
        DataLoss true
        Unauthenticated false
        ");
    }
}
