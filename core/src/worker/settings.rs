//! `WorkerOptions` with the defaults filled in and the contradictions refused.

use std::{sync::Arc, time::Duration};

use durably_proto::durably::core::v1::{CallError, HistoryDialect, WorkerOptions};
use tonic::Code;

use crate::{
    client::error::call_error,
    convert::duration_or,
    workflow::{NondeterminismPolicy, RunOptions},
};

/// Everything a worker was started with, made explicit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) task_queue: String,
    pub(crate) identity: String,
    pub(crate) build_id: String,
    pub(crate) history_dialect: HistoryDialect,
    pub(crate) nondeterminism: Arc<NondeterminismPolicy>,
    pub(crate) workflows: bool,
    pub(crate) activities: bool,
    pub(crate) activities_on_demand: bool,
    /// Both 0 if no run is kept.
    pub(crate) max_cached_bytes: u64,
    pub(crate) max_cached_workflows: usize,
    pub(crate) sticky_timeout: Duration,
    pub(crate) workflow_slots: usize,
    pub(crate) activity_slots: usize,
    pub(crate) normal_polls: usize,
    /// 0 if tasks of cached runs don't come through a queue of their own.
    pub(crate) sticky_polls: usize,
    pub(crate) activity_polls: usize,
    pub(crate) max_activities_per_second: Option<f64>,
    pub(crate) max_task_queue_activities_per_second: Option<f64>,
    /// 0 if off.
    pub(crate) max_eager_activities: usize,
    pub(crate) max_heartbeat_throttle: Duration,
    pub(crate) default_heartbeat_throttle: Duration,
    pub(crate) graceful_shutdown_timeout: Duration,
    pub(crate) replay_only: bool,
}

impl Settings {
    /// `identity` is the client's. Takes all options by name: one that nothing obeys doesn't compile.
    pub(crate) fn new(options: WorkerOptions, identity: &str) -> Result<Self, CallError> {
        check(&options)?;
        let WorkerOptions {
            task_queue,
            namespace: _, // The client is of this namespace.
            identity: own,
            build_id,
            history_dialect,
            workflows,
            activities,
            nondeterminism_as_workflow_fail,
            nondeterminism_as_workflow_fail_for_types,
            nondeterminism_as_task_fail_for_types,
            nondeterminism_failure_message,
            max_cached_bytes,
            max_cached_workflows,
            no_workflow_cache: uncached,
            sticky_queue_schedule_to_start_timeout,
            max_concurrent_workflow_tasks,
            max_concurrent_activities,
            max_concurrent_local_activities: _, // There are none yet.
            max_concurrent_workflow_task_polls,
            max_concurrent_activity_task_polls,
            nonsticky_to_sticky_poll_ratio: ratio,
            max_activities_per_second,
            max_task_queue_activities_per_second,
            max_eager_activities,
            disable_eager_activities,
            activities_on_demand,
            max_heartbeat_throttle_interval,
            default_heartbeat_throttle_interval,
            graceful_shutdown_timeout,
            replay_only,
        } = options;
        let workflow_slots = or_default(max_concurrent_workflow_tasks, 100);
        let activity_slots = or_default(max_concurrent_activities, 100);
        let polls = or_default(max_concurrent_workflow_task_polls, 5).min(workflow_slots);
        let (normal_polls, sticky_polls) = shares(polls, ratio, !uncached && workflow_slots > 1);
        let eager = activities && !disable_eager_activities && !activities_on_demand;
        Ok(Self {
            task_queue,
            identity: if own.is_empty() { identity.to_owned() } else { own },
            build_id,
            history_dialect: dialect(history_dialect)?,
            nondeterminism: Arc::new(NondeterminismPolicy {
                fails_all: nondeterminism_as_workflow_fail,
                fails_types: nondeterminism_as_workflow_fail_for_types.into_iter().collect(),
                spares_types: nondeterminism_as_task_fail_for_types.into_iter().collect(),
                message: nondeterminism_failure_message,
            }),
            workflows,
            activities,
            activities_on_demand,
            max_cached_bytes: if uncached { 0 } else { cache_size(max_cached_bytes) },
            max_cached_workflows: if uncached { 0 } else { or_default(max_cached_workflows, 10_000) },
            sticky_timeout: seconds_or(sticky_queue_schedule_to_start_timeout, 10),
            workflow_slots,
            activity_slots,
            normal_polls,
            sticky_polls,
            activity_polls: or_default(max_concurrent_activity_task_polls, 5).min(activity_slots),
            max_activities_per_second: limit(max_activities_per_second),
            max_task_queue_activities_per_second: limit(max_task_queue_activities_per_second),
            max_eager_activities: if eager { or_default(max_eager_activities, 3) } else { 0 },
            max_heartbeat_throttle: seconds_or(max_heartbeat_throttle_interval, 60),
            default_heartbeat_throttle: seconds_or(default_heartbeat_throttle_interval, 30),
            graceful_shutdown_timeout: seconds_or(graceful_shutdown_timeout, 0),
            replay_only,
        })
    }

    /// What holds for all runs, in this namespace.
    pub(crate) fn run_options(&self, namespace: &str) -> RunOptions {
        RunOptions {
            namespace: namespace.to_owned(),
            dialect: self.history_dialect,
            nondeterminism: Arc::clone(&self.nondeterminism),
        }
    }

    /// How often heartbeats of an activity with this heartbeat time-out reach the server at most.
    pub(crate) fn heartbeat_throttle(&self, heartbeat_timeout: Option<Duration>) -> Duration {
        heartbeat_timeout
            .map_or(self.default_heartbeat_throttle, |timeout| timeout.mul_f64(0.8))
            .min(self.max_heartbeat_throttle)
    }
}

/// Refuses what contradicts itself.
fn check(options: &WorkerOptions) -> Result<(), CallError> {
    if options.task_queue.is_empty() && !options.replay_only {
        return Err(invalid("task_queue is empty: name the queue that this worker polls"));
    }
    if !options.workflows && !options.activities && !options.replay_only {
        return Err(invalid("the worker has neither workflows nor activities: register at least one"));
    }
    let rates = [options.max_activities_per_second, options.max_task_queue_activities_per_second];
    if rates.iter().any(|rate| !rate.is_finite() || *rate < 0.0) {
        return Err(invalid("activities per second must be a positive number, or 0 for no limit"));
    }
    Ok(())
}

fn dialect(number: i32) -> Result<HistoryDialect, CallError> {
    HistoryDialect::try_from(number).map_err(|_| invalid("history_dialect is none that this version knows"))
}

/// How many of the polls go to the queue that all workers share, and how many to the worker's own, if it has one. With a
/// single slot, a poll of one queue would keep the other from being polled at all.
fn shares(polls: usize, ratio: f32, has_own_queue: bool) -> (usize, usize) {
    let ratio = if ratio > 0.0 { ratio.min(1.0) } else { 0.2 };
    let normal = ((polls as f32 * ratio).round() as usize).clamp(1, polls);
    (normal, if has_own_queue { (polls - normal).max(1) } else { 0 })
}

fn cache_size(bytes: u64) -> u64 {
    if bytes == 0 { 256 << 20 } else { bytes }
}

fn limit(rate: f64) -> Option<f64> {
    Some(rate).filter(|rate| *rate > 0.0)
}

fn seconds_or(given: Option<prost_types::Duration>, default: u64) -> Duration {
    duration_or(given.as_ref(), Duration::from_secs(default))
}

fn or_default(value: u32, default: usize) -> usize {
    if value == 0 { default } else { value as usize }
}

fn invalid(message: &str) -> CallError {
    call_error(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> WorkerOptions {
        WorkerOptions { task_queue: "q".into(), workflows: true, activities: true, ..Default::default() }
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = Settings::new(options(), "me").unwrap();
        assert_eq!(settings.identity, "me");
        assert_eq!((settings.normal_polls, settings.sticky_polls, settings.activity_polls), (1, 4, 5));
        assert_eq!((settings.workflow_slots, settings.activity_slots), (100, 100));
        assert_eq!((settings.max_cached_workflows, settings.max_cached_bytes), (10_000, 256 << 20));
        assert_eq!(settings.max_eager_activities, 3);
    }

    #[test]
    fn no_cache_means_no_sticky_queue() {
        let settings = Settings::new(WorkerOptions { no_workflow_cache: true, ..options() }, "").unwrap();
        assert_eq!(
            (settings.sticky_polls, settings.max_cached_workflows, settings.max_cached_bytes),
            (0, 0, 0)
        );
        let one_slot = WorkerOptions { max_concurrent_workflow_tasks: 1, ..options() };
        let settings = Settings::new(one_slot, "").unwrap();
        assert_eq!((settings.normal_polls, settings.sticky_polls), (1, 0));
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |options| Settings::new(options, "").unwrap_err().message;
        assert!(refused(WorkerOptions { task_queue: String::new(), ..options() }).contains("task_queue"));
        assert!(refused(WorkerOptions { task_queue: "q".into(), ..Default::default() }).contains("register"));
        let rate = WorkerOptions { max_activities_per_second: -1.0, ..options() };
        assert!(refused(rate).contains("per second"));
    }

    #[test]
    fn heartbeats_are_throttled_by_their_time_out() {
        let settings = Settings::new(options(), "").unwrap();
        let seconds = |timeout: Option<u64>| settings.heartbeat_throttle(timeout.map(Duration::from_secs));
        assert_eq!(seconds(None), Duration::from_secs(30));
        assert_eq!(seconds(Some(10)), Duration::from_secs(8));
        assert_eq!(seconds(Some(1000)), Duration::from_mins(1));
    }
}
