//! Activities: results, retries, the four time-outs, heartbeats, cancellation, completion by id.

use durably_proto::temporal::api::{
    common::v1::RetryPolicy,
    enums::v1::{RetryState, TimeoutType},
    failure::v1::{Failure, failure::FailureInfo},
    history::v1::{HistoryEvent, history_event::Attributes as Event},
    workflowservice::v1::*,
};
use tonic::Code;

use crate::support::*;

fn once() -> Option<RetryPolicy> {
    Some(RetryPolicy { maximum_attempts: 1, ..Default::default() })
}

fn quickly() -> Option<RetryPolicy> {
    Some(RetryPolicy { initial_interval: millis(10), ..Default::default() })
}

fn timeout_type(failure: Option<&Failure>) -> Option<TimeoutType> {
    match &failure?.failure_info {
        Some(FailureInfo::TimeoutFailureInfo(info)) => Some(info.timeout_type()),
        _ => None,
    }
}

fn timed_out(events: &[HistoryEvent]) -> Option<(TimeoutType, RetryState)> {
    events.iter().find_map(|event| match &event.attributes {
        Some(Event::ActivityTaskTimedOutEventAttributes(timed_out)) => {
            Some((timeout_type(timed_out.failure.as_ref()).unwrap(), timed_out.retry_state()))
        }
        _ => None,
    })
}

#[tokio::test]
async fn an_activity_runs_and_its_result_reaches_the_workflow() {
    let harness = Harness::start().await;
    let run_id = harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("charge", |_| {})]).await;
    let activity = harness.activity_task().await;
    assert_eq!(activity.activity_id, "charge");
    assert_eq!(activity.activity_type.as_ref().unwrap().name, "Charge");
    assert_eq!(activity.workflow_execution, Some(execution("order-1", &run_id)));
    assert_eq!(activity.workflow_namespace, NAMESPACE);
    assert_eq!(activity.input, Some(text("amount")));
    assert_eq!(activity.attempt, 1);
    assert_eq!(activity.start_to_close_timeout, millis(30_000));
    harness.complete_activity(&activity, "paid").await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    assert_eq!(
        names(history(&task)),
        [
            "WORKFLOW_EXECUTION_STARTED",
            "WORKFLOW_TASK_SCHEDULED",
            "WORKFLOW_TASK_STARTED",
            "WORKFLOW_TASK_COMPLETED",
            "ACTIVITY_TASK_SCHEDULED",
            "ACTIVITY_TASK_STARTED",
            "ACTIVITY_TASK_COMPLETED",
            "WORKFLOW_TASK_SCHEDULED",
            "WORKFLOW_TASK_STARTED"
        ]
    );
    let Some(Event::ActivityTaskCompletedEventAttributes(completed)) = &history(&task)[6].attributes else {
        panic!("{:?}", history(&task)[6])
    };
    assert_eq!((completed.scheduled_event_id, completed.started_event_id), (5, 6));
    assert_eq!(completed.result, Some(text("paid")));
}

#[tokio::test]
async fn a_failed_attempt_is_retried_with_its_heartbeat_details() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("charge", |a| a.retry_policy = quickly())]).await;
    let first = harness.activity_task().await;
    let beat = RecordActivityTaskHeartbeatRequest {
        namespace: NAMESPACE.into(),
        task_token: first.task_token.clone(),
        details: Some(text("half way")),
        ..Default::default()
    };
    let answer = harness.client().record_activity_task_heartbeat(beat).await.unwrap().into_inner();
    assert!(!answer.cancel_requested);
    harness.fail_activity(&first, application_failure("flaky", false)).await;
    let second = harness.activity_task().await;
    assert_eq!(second.attempt, 2);
    assert_eq!(second.heartbeat_details, Some(text("half way")));
    harness.complete_activity(&second, "paid").await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let started = history(&task).iter().find_map(|event| match &event.attributes {
        Some(Event::ActivityTaskStartedEventAttributes(started)) => Some(started.clone()),
        _ => None,
    });
    let started = started.expect("the last attempt is in the history");
    assert_eq!(started.attempt, 2);
    assert_eq!(started.last_failure.unwrap().message, "flaky");
}

#[tokio::test]
async fn what_must_not_be_retried_fails_at_once() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let commands = vec![
        schedule_activity("marked", |a| a.retry_policy = quickly()),
        schedule_activity("listed", |a| {
            a.retry_policy = quickly();
            a.retry_policy.as_mut().unwrap().non_retryable_error_types = vec!["Oops".into()];
        }),
    ];
    harness.advance(commands).await;
    for _ in 0..2 {
        let activity = harness.activity_task().await;
        harness.fail_activity(&activity, application_failure("no", activity.activity_id == "marked")).await;
    }
    let mut failed = Vec::new();
    while failed.len() < 2 {
        harness.advance(vec![]).await;
        failed = harness
            .events("order-1")
            .await
            .into_iter()
            .filter_map(|event| match event.attributes {
                Some(Event::ActivityTaskFailedEventAttributes(failed)) => Some(failed.retry_state()),
                _ => None,
            })
            .collect();
    }
    assert_eq!(failed, [RetryState::NonRetryableFailure, RetryState::NonRetryableFailure]);
}

#[tokio::test]
async fn attempts_are_bounded() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("charge", |a| a.retry_policy = once())]).await;
    let activity = harness.activity_task().await;
    harness.fail_activity(&activity, application_failure("no", false)).await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let failed = history(&task).iter().find_map(|event| match &event.attributes {
        Some(Event::ActivityTaskFailedEventAttributes(failed)) => Some(failed.clone()),
        _ => None,
    });
    assert_eq!(failed.expect("the activity failed").retry_state(), RetryState::MaximumAttemptsReached);
}

#[tokio::test]
async fn schedule_to_start_times_out_without_a_worker() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("charge", |a| a.schedule_to_start_timeout = millis(50))]).await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let (kind, _) = timed_out(history(&task)).expect("the activity timed out");
    assert_eq!(kind, TimeoutType::ScheduleToStart);
}

#[tokio::test]
async fn start_to_close_times_out_and_is_retried() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let command = schedule_activity("charge", |a| {
        a.start_to_close_timeout = millis(50);
        a.retry_policy =
            Some(RetryPolicy { initial_interval: millis(10), maximum_attempts: 2, ..Default::default() });
    });
    harness.advance(vec![command]).await;
    let lost = harness.activity_task().await;
    let again = harness.activity_task().await;
    assert_eq!(again.attempt, 2);
    let late = RespondActivityTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: lost.task_token,
        ..Default::default()
    };
    let refused = harness.client().respond_activity_task_completed(late).await.unwrap_err();
    assert_eq!(code_and_detail(&refused), (Code::NotFound, "NotFoundFailure".into()), "{refused}");
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let (kind, state) = timed_out(history(&task)).expect("the activity timed out");
    assert_eq!((kind, state), (TimeoutType::StartToClose, RetryState::MaximumAttemptsReached));
}

#[tokio::test]
async fn schedule_to_close_bounds_all_attempts() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let command = schedule_activity("charge", |a| {
        a.schedule_to_close_timeout = millis(100);
        a.retry_policy = quickly();
    });
    harness.advance(vec![command]).await;
    // Never answered: the first attempt's own time-out is cut to what is left of the whole.
    harness.activity_task().await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let (kind, _) = timed_out(history(&task)).expect("the activity timed out");
    assert_eq!(kind, TimeoutType::ScheduleToClose);
}

#[tokio::test]
async fn a_missing_heartbeat_times_out() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let command = schedule_activity("charge", |a| {
        a.heartbeat_timeout = millis(50);
        a.retry_policy = once();
    });
    harness.advance(vec![command]).await;
    harness.activity_task().await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let (kind, _) = timed_out(history(&task)).expect("the activity timed out");
    assert_eq!(kind, TimeoutType::Heartbeat);
}

#[tokio::test]
async fn cancellation_reaches_the_activity_by_its_heartbeat() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("charge", |_| {})]).await;
    let activity = harness.activity_task().await;
    harness.signal("order-1", "stop", "now").await;
    harness.advance(vec![request_cancel_activity(5)]).await;
    let beat = RecordActivityTaskHeartbeatRequest {
        namespace: NAMESPACE.into(),
        task_token: activity.task_token.clone(),
        ..Default::default()
    };
    let answer = harness.client().record_activity_task_heartbeat(beat).await.unwrap().into_inner();
    assert!(answer.cancel_requested);
    let canceled = RespondActivityTaskCanceledRequest {
        namespace: NAMESPACE.into(),
        task_token: activity.task_token,
        details: Some(text("undone")),
        ..Default::default()
    };
    harness.client().respond_activity_task_canceled(canceled).await.unwrap();
    let task = harness.advance(vec![complete_workflow("done")]).await;
    assert!(
        names(history(&task)).contains(&"ACTIVITY_TASK_CANCELED".to_owned()),
        "{:?}",
        names(history(&task))
    );
}

#[tokio::test]
async fn an_activity_is_completed_by_its_ids() {
    let harness = Harness::start().await;
    let run_id = harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("charge", |_| {})]).await;
    harness.activity_task().await;
    let beat = RecordActivityTaskHeartbeatByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: "order-1".into(),
        run_id,
        activity_id: "charge".into(),
        ..Default::default()
    };
    harness.client().record_activity_task_heartbeat_by_id(beat).await.unwrap();
    let mut request = RespondActivityTaskCompletedByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: "order-1".into(),
        activity_id: "unknown".into(),
        result: Some(text("paid")),
        ..Default::default()
    };
    let refused = harness.client().respond_activity_task_completed_by_id(request.clone()).await.unwrap_err();
    assert_eq!(code_and_detail(&refused), (Code::NotFound, "NotFoundFailure".into()), "{refused}");
    request.activity_id = "charge".into();
    harness.client().respond_activity_task_completed_by_id(request).await.unwrap();
    let task = harness.advance(vec![complete_workflow("done")]).await;
    assert!(names(history(&task)).contains(&"ACTIVITY_TASK_COMPLETED".to_owned()));
}

#[tokio::test]
async fn a_result_that_is_too_large_fails_the_activity_instead_of_hanging_it() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![schedule_activity("charge", |_| {})]).await;
    let activity = harness.activity_task().await;
    let request = RespondActivityTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: activity.task_token,
        result: Some(oversized()),
        ..Default::default()
    };
    harness.client().respond_activity_task_completed(request).await.unwrap();
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let failed = history(&task).iter().find_map(|event| match &event.attributes {
        Some(Event::ActivityTaskFailedEventAttributes(failed)) => failed.failure.clone(),
        _ => None,
    });
    let message = failed.expect("the activity failed").message;
    assert!(message.starts_with("Complete result exceeds size limit. It takes "), "{message}");
    assert!(message.contains(" bytes; at most 2097152 are allowed"), "{message}");
}

#[tokio::test]
async fn activities_survive_a_restart() {
    let mut harness = Harness::start().await;
    harness.begin("order-1").await;
    harness
        .advance(vec![
            schedule_activity("one", |_| {}),
            schedule_activity("two", |a| a.retry_policy = quickly()),
        ])
        .await;
    let first = harness.activity_task().await;
    harness.complete_activity(&first, "paid").await;
    harness = harness.restart().await;
    // The completed one does not run again; the other is still to be had.
    let second = harness.activity_task().await;
    assert_ne!(second.activity_id, first.activity_id);
    harness.complete_activity(&second, "paid").await;
    let mut completed = 0;
    while completed < 2 {
        let task = harness.workflow_task().await;
        completed = names(history(&task)).iter().filter(|name| *name == "ACTIVITY_TASK_COMPLETED").count();
        let commands = if completed == 2 { vec![complete_workflow("done")] } else { vec![] };
        harness.complete(&task, commands).await;
    }
}
