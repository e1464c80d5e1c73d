//! Every combination of an activity's four time-outs, with and without retries, with workers that never come, never
//! answer, or fail: which time-out ends it, with which retry state, and what is recorded. One snapshot holds for both
//! servers; it is taken in real time, and so in `cargo xtask conformance` only. The engine's own table of all
//! combinations (`schedule_activity.rs`) needs no time.

use std::{fmt::Write as _, time::Duration};

use durably_proto::temporal::api::{
    common::v1::RetryPolicy,
    enums::v1::RetryState,
    failure::v1::{Failure, failure::FailureInfo},
    history::v1::history_event::Attributes as E,
    workflowservice::v1::*,
};
use futures::StreamExt as _;

use super::{peer::Peer, world::World};
use crate::support::*;

/// The spans are so far from each other that a busy machine does not change what happens first.
const SCHEDULE_TO_CLOSE: i64 = 6_600;
const SCHEDULE_TO_START: i64 = 1_000;
const START_TO_CLOSE: i64 = 2_000;
const HEARTBEAT: i64 = 1_000;
const PAUSE: i64 = 1_500;
/// Longer than any of them lasts that ends.
const PATIENCE: Duration = Duration::from_secs(14);

/// How many run at once: few enough that none comes late.
const TOGETHER: usize = 36;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Worker {
    Absent,
    Silent,
    Failing,
}

#[derive(Clone, Copy)]
struct Case {
    schedule_to_close: bool,
    schedule_to_start: bool,
    start_to_close: bool,
    heartbeat: bool,
    /// 0 is any number.
    attempts: i32,
    worker: Worker,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for worker in [Worker::Absent, Worker::Silent, Worker::Failing] {
            for attempts in [1, 2, 0] {
                for bits in 0..16u8 {
                    let has = |bit: u8| bits & bit != 0;
                    all.push(Self {
                        schedule_to_close: has(8),
                        schedule_to_start: has(4),
                        start_to_close: has(2),
                        heartbeat: has(1),
                        attempts,
                        worker,
                    });
                }
            }
        }
        all
    }

    fn name(self) -> String {
        let spans = [
            (self.schedule_to_close, "schedule-to-close"),
            (self.schedule_to_start, "schedule-to-start"),
            (self.start_to_close, "start-to-close"),
            (self.heartbeat, "heartbeat"),
        ];
        let set: Vec<&str> = spans.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        let set = if set.is_empty() { "none".to_owned() } else { set.join(" ") };
        let attempts = if self.attempts == 0 { "any".to_owned() } else { self.attempts.to_string() };
        format!("{:?} worker, attempts {attempts}, {set}", self.worker)
    }

    async fn outcome(self, world: World) -> String {
        world.begin().await;
        let span = |set: bool, length: i64| if set { millis(length) } else { None };
        let command = schedule_activity("a", |a| {
            a.task_queue = Some(queue(&world.queue));
            a.schedule_to_close_timeout = span(self.schedule_to_close, SCHEDULE_TO_CLOSE);
            a.schedule_to_start_timeout = span(self.schedule_to_start, SCHEDULE_TO_START);
            a.start_to_close_timeout = span(self.start_to_close, START_TO_CLOSE);
            a.heartbeat_timeout = span(self.heartbeat, HEARTBEAT);
            a.retry_policy = Some(RetryPolicy {
                initial_interval: millis(PAUSE),
                backoff_coefficient: 1.0,
                maximum_attempts: self.attempts,
                ..Default::default()
            });
        });
        let task = world.task().await;
        if let Err(refused) = world.complete(&task.task_token, vec![command]).await {
            return format!("refused as {:?}", refused.code());
        }
        tokio::select! {
            ended = ended(&world) => ended,
            retried = self.work(&world) => retried,
        }
    }

    /// Plays the worker. Returns when there is no end in sight.
    async fn work(self, world: &World) -> String {
        if self.worker == Worker::Absent {
            return std::future::pending().await;
        }
        loop {
            let task = world.activity_task().await;
            if task.attempt == 3 && !self.schedule_to_close {
                let request = DescribeWorkflowExecutionRequest {
                    namespace: NAMESPACE.into(),
                    execution: Some(execution(&world.id, "")),
                };
                let described =
                    world.client().describe_workflow_execution(request).await.unwrap().into_inner();
                let last = described.pending_activities[0].last_failure.as_ref().map(kind);
                return format!("goes on, last failure {}", last.unwrap_or_default());
            }
            if self.worker == Worker::Failing {
                let request = RespondActivityTaskFailedRequest {
                    namespace: NAMESPACE.into(),
                    task_token: task.task_token,
                    failure: Some(application_failure("no", false)),
                    ..Default::default()
                };
                // One that comes too late has been timed out, which is what the outcome then says.
                if let Err(refused) = world.client().respond_activity_task_failed(request).await {
                    assert_eq!(refused.code(), tonic::Code::NotFound, "{refused}");
                }
            }
        }
    }
}

/// The kind of a failure, and of those that caused it.
fn kind(failure: &Failure) -> String {
    let own = match &failure.failure_info {
        Some(FailureInfo::TimeoutFailureInfo(info)) => format!("{:?}", info.timeout_type()),
        Some(FailureInfo::ApplicationFailureInfo(_)) => "Application".to_owned(),
        other => format!("{other:?}"),
    };
    failure.cause.as_ref().map_or_else(|| own.clone(), |cause| format!("{own} caused by {}", kind(cause)))
}

/// What the workflow hears of it.
async fn ended(world: &World) -> String {
    let Some(task) = world.try_task(PATIENCE).await else { return "waits".to_owned() };
    let (mut outcome, mut attempt, mut recorded) = (String::new(), 0, String::new());
    let state = |value: i32| format!("{:?}", RetryState::try_from(value).unwrap());
    for event in history(&task) {
        match event.attributes.as_ref().unwrap() {
            E::ActivityTaskScheduledEventAttributes(scheduled) => {
                let spans = [
                    scheduled.schedule_to_close_timeout,
                    scheduled.schedule_to_start_timeout,
                    scheduled.start_to_close_timeout,
                    scheduled.heartbeat_timeout,
                ];
                let span = |span: Option<prost_types::Duration>| {
                    span.map_or(0, |span| span.seconds * 1_000 + i64::from(span.nanos) / 1_000_000)
                        .to_string()
                };
                recorded = spans.map(span).join(" ");
            }
            E::ActivityTaskStartedEventAttributes(started) => attempt = started.attempt,
            E::ActivityTaskTimedOutEventAttributes(timed_out) => {
                let failure = kind(timed_out.failure.as_ref().unwrap());
                outcome = format!("timed out, {failure}, {}", state(timed_out.retry_state));
            }
            E::ActivityTaskFailedEventAttributes(failed) => {
                let failure = kind(failed.failure.as_ref().unwrap());
                outcome = format!("failed, {failure}, {}", state(failed.retry_state));
            }
            _ => {}
        }
    }
    // How many there are by then depends on the machine.
    let attempt = if attempt > 3 { "beyond 3".to_owned() } else { attempt.to_string() };
    format!("{outcome}, attempt {attempt}, recorded {recorded}")
}

async fn table(peer: &Peer) -> String {
    let outcomes = futures::stream::iter(Case::all())
        .map(|case| async move { (case.name(), case.outcome(peer.world(&case.name()).await).await) })
        .buffered(TOGETHER);
    let mut table = String::new();
    for (name, outcome) in outcomes.collect::<Vec<_>>().await {
        writeln!(table, "{name}: {outcome}").unwrap();
    }
    table
}

#[tokio::test]
#[ignore = "takes its time: cargo xtask conformance --wire"]
async fn our_activities_time_out_as_those_of_the_real_server() {
    let peer = Peer::ours().await;
    insta::assert_snapshot!("activity_time_outs", table(&peer).await);
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask conformance --wire"]
async fn activities_of_the_real_server_time_out_so() {
    let peer = Peer::temporal().await;
    insta::assert_snapshot!("activity_time_outs", table(&peer).await);
}
