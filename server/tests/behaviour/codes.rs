//! Codes of calls that are wrong at their time or in their place: tasks answered twice or too late, commands that do not
//! fit, pages of another run. They are those of Temporal's server.

use durably_proto::temporal::api::{
    command::v1::Command,
    enums::v1::{CommandType, EventType, TaskQueueType},
    history::v1::history_event::Attributes as Event,
    workflowservice::v1::*,
};
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn tasks_are_answered_once_and_in_time() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    harness.complete(&task, vec![schedule_activity("a", |_| ())]).await;
    assert_eq!(harness.try_complete(&task, vec![]).await.unwrap_err().code(), Code::NotFound);
    let activity = harness.activity_task().await;
    harness.complete_activity(&activity, "done").await;
    let again = RespondActivityTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: activity.task_token.clone(),
        ..Default::default()
    };
    assert_eq!(
        harness.client().respond_activity_task_completed(again).await.unwrap_err().code(),
        Code::NotFound
    );
    let last = harness.workflow_task().await;
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("order-1", "")),
        ..Default::default()
    };
    harness.client().terminate_workflow_execution(terminate).await.unwrap();
    let late = harness.try_complete(&last, vec![complete_workflow("late")]).await.unwrap_err();
    assert_eq!(late.code(), Code::NotFound, "{late}");
    let beat = RecordActivityTaskHeartbeatRequest {
        namespace: NAMESPACE.into(),
        task_token: activity.task_token,
        ..Default::default()
    };
    assert_eq!(
        harness.client().record_activity_task_heartbeat(beat).await.unwrap_err().code(),
        Code::NotFound
    );
}

fn changed(mut command: Command, change: impl FnOnce(&mut Command)) -> Command {
    change(&mut command);
    command
}

/// Each is refused as a whole: the task fails, nothing of it is carried out, and the worker gets it again.
#[tokio::test]
async fn commands_that_do_not_fit_are_refused_and_leave_no_trace() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let timer = || start_timer("t", millis(1_000));
    let rows: Vec<(Vec<Command>, &str)> = vec![
        (vec![complete_workflow("one"), complete_workflow("two")], "must be the last command"),
        (vec![fail_workflow("no"), timer()], "must be the last command"),
        (vec![continue_as_new("on"), complete_workflow("two")], "must be the last command"),
        (vec![cancel_workflow(), cancel_workflow()], "must be the last command"),
        (
            vec![changed(timer(), |c| c.command_type = CommandType::CancelTimer as i32)],
            "has the attributes of",
        ),
        (vec![changed(timer(), |c| c.command_type = 0)], "has the attributes of"),
        (vec![changed(timer(), |c| c.command_type = 9_999)], "Unknown command type: 9999"),
        (vec![changed(timer(), |c| c.attributes = None)], "not set"),
        (vec![start_timer("t", millis(-1))], "StartToFireTimeout"),
        (vec![timer(), timer()], "already running"),
        (vec![start_timer("", millis(1_000))], "TimerId"),
        (vec![start_timer(&"x".repeat(1_001), millis(1_000))], "TimerId"),
        (vec![cancel_timer("unknown")], "no running timer"),
        (vec![request_cancel_activity(99)], "no pending activity"),
        (vec![request_cancel_activity(-1)], "ScheduledEventId"),
        (vec![schedule_activity("", |_| ())], "ActivityId"),
        (vec![schedule_activity("a", |a| a.activity_type = None)], "ActivityType"),
        (vec![schedule_activity("a", |a| a.start_to_close_timeout = None)], "StartToClose"),
        (vec![schedule_activity("a", |a| a.heartbeat_timeout = millis(-1))], "HeartbeatTimeout"),
        (vec![schedule_activity("a", |_| ()), schedule_activity("a", |_| ())], "already pending"),
    ];
    for (commands, words) in rows {
        // After a few failed attempts the next one is delayed: a signal makes it a first one again.
        harness.signal("order-1", "again", "").await;
        let task = harness.workflow_task().await;
        let refused = harness.try_complete(&task, commands).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{words}: {refused}");
        assert!(refused.message().contains(words), "{refused} lacks {words:?}");
    }
    harness.signal("order-1", "again", "").await;
    harness.advance(vec![complete_workflow("done")]).await;
    let names = names(&harness.events("order-1").await);
    assert!(!names.iter().any(|name| name.starts_with("TIMER") || name.starts_with("ACTIVITY")), "{names:?}");
}

#[tokio::test]
async fn a_timer_without_time_fires_at_once() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![start_timer("zero", millis(0)), start_timer("none", None)]).await;
    let mut fired = 0;
    while fired < 2 {
        let task = harness.workflow_task().await;
        fired = history(&task).iter().filter(|event| event.event_type() == EventType::TimerFired).count();
        harness.complete(&task, vec![]).await;
    }
}

#[tokio::test]
async fn calls_about_what_has_ended_or_is_elsewhere() {
    let harness = Harness::start().await;
    let first = harness.begin("order-1").await;
    harness.advance(vec![complete_workflow("done")]).await;
    let second = harness.begin("order-2").await;
    let cancel = RequestCancelWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("order-1", &first)),
        ..Default::default()
    };
    harness.client().request_cancel_workflow_execution(cancel).await.unwrap();
    let page = |run_id: &str, token: bytes::Bytes| GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(if run_id == first { "order-1" } else { "order-2" }, run_id)),
        maximum_page_size: 1,
        next_page_token: token,
        ..Default::default()
    };
    let answer = harness.client().get_workflow_execution_history(page(&first, bytes::Bytes::new())).await;
    let token = answer.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    let refused = harness.client().get_workflow_execution_history(page(&second, token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let beat = RecordActivityTaskHeartbeatByIdRequest {
        namespace: NAMESPACE.into(),
        activity_id: "a".into(),
        ..Default::default()
    };
    let refused = harness.client().record_activity_task_heartbeat_by_id(beat).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    let mut request = start("a\0b");
    request.task_queue = Some(queue("a queue\0 with a NUL"));
    harness.begin_as(request).await;
    assert_eq!(harness.info("a\0b").await.execution.unwrap().workflow_id, "a\0b");
}

/// An activity with schedule-to-close alone that no worker takes.
#[tokio::test]
async fn an_activity_that_nobody_takes_times_out_before_its_start() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let alone = schedule_activity("a", |a| {
        a.task_queue = Some(queue("nobody"));
        a.start_to_close_timeout = None;
        a.schedule_to_close_timeout = millis(200);
    });
    harness.advance(vec![alone]).await;
    let task = harness.workflow_task().await;
    let timed_out = history(&task).iter().find_map(|event| match &event.attributes {
        Some(Event::ActivityTaskTimedOutEventAttributes(timed_out)) => Some(format!("{timed_out:?}")),
        _ => None,
    });
    assert!(timed_out.as_ref().is_some_and(|text| text.contains("ScheduleToStart")), "{timed_out:?}");
}

/// An official worker with Nexus handlers repeats a refused poll for ever, and its shutdown waits for that.
#[tokio::test]
async fn a_poll_for_nexus_tasks_waits_and_comes_back_empty() {
    let harness = Harness::start().await;
    let poll = |worker: &str| PollNexusTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue(QUEUE)),
        worker_instance_key: worker.into(),
        ..Default::default()
    };
    let within_time = within(std::time::Duration::from_millis(2_100), poll("a"));
    let answer = harness.client().poll_nexus_task_queue(within_time).await.unwrap().into_inner();
    assert_eq!(answer, PollNexusTaskQueueResponse::default());
    let mut client = harness.client();
    let open = tokio::spawn({
        let request = within(std::time::Duration::from_secs(50), poll("b"));
        async move { client.poll_nexus_task_queue(request).await }
    });
    let end = ShutdownWorkerRequest {
        namespace: NAMESPACE.into(),
        worker_instance_key: "b".into(),
        task_queue: QUEUE.into(),
        task_queue_types: vec![TaskQueueType::Nexus as i32],
        ..Default::default()
    };
    harness.client().shutdown_worker(end).await.unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), open).await.unwrap().unwrap();
    assert_eq!(ended.unwrap().into_inner(), PollNexusTaskQueueResponse::default());
}
