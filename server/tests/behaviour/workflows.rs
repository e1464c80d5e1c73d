//! The life of a workflow: tasks, timers, signals, queries, cancellation, and the ways it ends.

use std::time::Duration;

use durably_proto::temporal::api::{
    enums::v1::*,
    history::v1::history_event::Attributes as Event,
    protocol::v1::Message,
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    testservice::v1::*,
    workflowservice::v1::*,
};
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn a_workflow_runs_from_start_to_result() {
    let harness = Harness::start().await;
    let run_id = harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    assert_eq!(task.workflow_execution, Some(execution("order-1", &run_id)));
    assert_eq!(task.workflow_type.as_ref().unwrap().name, "Order");
    assert_eq!(task.attempt, 1);
    assert_eq!(
        names(history(&task)),
        ["WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED"]
    );
    let Some(Event::WorkflowExecutionStartedEventAttributes(started)) = &history(&task)[0].attributes else {
        panic!("the history begins with {:?}", history(&task)[0])
    };
    assert_eq!(started.input, Some(text("input")));
    assert_eq!(started.original_execution_run_id, run_id);
    assert_eq!(started.first_execution_run_id, run_id);
    assert_eq!(started.workflow_task_timeout, millis(10_000));
    harness.complete(&task, vec![complete_workflow("done")]).await;
    let Event::WorkflowExecutionCompletedEventAttributes(completed) =
        harness.closing_event("order-1", &run_id).await
    else {
        panic!("not completed")
    };
    assert_eq!(completed.result, Some(text("done")));
    let info = harness.info("order-1").await;
    assert_eq!(info.status(), WorkflowExecutionStatus::Completed);
    assert!(info.close_time.is_some());
    assert_eq!(info.history_length, 5);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
    let mut harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.signal("order-1", "approve", "yes").await;
    harness = harness.restart().await;
    let task = harness.workflow_task().await;
    assert!(names(history(&task)).contains(&"WORKFLOW_EXECUTION_SIGNALED".to_owned()), "{task:?}");
    harness.complete(&task, vec![start_timer("soon", millis(50))]).await;
    harness = harness.restart().await;
    let task = harness.workflow_task().await;
    assert!(names(history(&task)).contains(&"TIMER_FIRED".to_owned()), "{task:?}");
    harness.complete(&task, vec![complete_workflow("done")]).await;
    harness = harness.restart().await;
    assert_eq!(harness.info("order-1").await.status(), WorkflowExecutionStatus::Completed);
}

#[tokio::test]
async fn timers_fire_and_can_be_canceled() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![start_timer("short", millis(30)), start_timer("long", millis(3_600_000))]).await;
    let task = harness.advance(vec![cancel_timer("long"), complete_workflow("done")]).await;
    let fired = history(&task).iter().find_map(|event| match &event.attributes {
        Some(Event::TimerFiredEventAttributes(fired)) => Some(fired.timer_id.clone()),
        _ => None,
    });
    assert_eq!(fired.as_deref(), Some("short"));
    let all = names(&harness.events("order-1").await);
    assert!(all.contains(&"TIMER_CANCELED".to_owned()), "{all:?}");
}

#[tokio::test]
async fn the_virtual_clock_skips_to_the_next_timer() {
    let harness = Harness::with(|options| options.time_skipping = true).await;
    let mut clock = harness.clock().await;
    let before = clock.get_current_time(()).await.unwrap().into_inner().time.unwrap();
    clock.unlock_time_skipping(UnlockTimeSkippingRequest {}).await.unwrap();
    harness.begin("order-1").await;
    harness.advance(vec![start_timer("tomorrow", millis(24 * 3_600_000))]).await;
    harness.advance(vec![complete_workflow("done")]).await;
    let after = clock.get_current_time(()).await.unwrap().into_inner().time.unwrap();
    assert!(after.seconds - before.seconds >= 24 * 3_600, "{before} to {after}");
}

#[tokio::test]
async fn sleeping_moves_the_virtual_clock() {
    let harness = Harness::with(|options| options.time_skipping = true).await;
    let mut clock = harness.clock().await;
    let before = clock.get_current_time(()).await.unwrap().into_inner().time.unwrap();
    clock.unlock_time_skipping_with_sleep(SleepRequest { duration: millis(3_600_000) }).await.unwrap();
    let after = clock.get_current_time(()).await.unwrap().into_inner().time.unwrap();
    assert!((3_600..3_700).contains(&(after.seconds - before.seconds)), "{before} to {after}");
}

#[tokio::test]
async fn signals_reach_the_workflow_in_order() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.signal("order-1", "item", "a").await;
    harness.signal("order-1", "item", "b").await;
    let task = harness.advance(vec![complete_workflow("done")]).await;
    let inputs: Vec<_> = history(&task)
        .iter()
        .filter_map(|event| match &event.attributes {
            Some(Event::WorkflowExecutionSignaledEventAttributes(signal)) => Some(signal.input.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(inputs, [Some(text("a")), Some(text("b"))]);
}

#[tokio::test]
async fn a_repeated_signal_with_one_request_id_counts_once() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let request = SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("order-1", "")),
        signal_name: "item".into(),
        request_id: "same".into(),
        ..Default::default()
    };
    harness.client().signal_workflow_execution(request.clone()).await.unwrap();
    harness.client().signal_workflow_execution(request).await.unwrap();
    let signals = names(&harness.events("order-1").await)
        .into_iter()
        .filter(|name| name == "WORKFLOW_EXECUTION_SIGNALED")
        .count();
    assert_eq!(signals, 1);
}

#[tokio::test]
async fn a_signal_during_a_task_makes_a_closing_command_fail() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    harness.signal("order-1", "late", "x").await;
    let refused = harness.try_complete(&task, vec![complete_workflow("too early")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let task = harness.advance(vec![complete_workflow("with the signal")]).await;
    let seen = names(history(&task));
    assert!(seen.contains(&"WORKFLOW_EXECUTION_SIGNALED".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn signal_with_start_starts_once_and_signals_twice() {
    let harness = Harness::start().await;
    let request = SignalWithStartWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_id: "order-1".into(),
        workflow_type: start("").workflow_type,
        task_queue: Some(queue(QUEUE)),
        signal_name: "item".into(),
        signal_input: Some(text("a")),
        ..Default::default()
    };
    let first =
        harness.client().signal_with_start_workflow_execution(request.clone()).await.unwrap().into_inner();
    let second = harness.client().signal_with_start_workflow_execution(request).await.unwrap().into_inner();
    assert_eq!(first.run_id, second.run_id);
    assert!(first.started && !second.started, "{first:?} {second:?}");
    let seen = names(&harness.events("order-1").await);
    assert_eq!(seen.iter().filter(|name| *name == "WORKFLOW_EXECUTION_SIGNALED").count(), 2, "{seen:?}");
}

#[tokio::test]
async fn a_query_is_answered_by_the_worker() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![start_timer("long", millis(3_600_000))]).await;
    let asked = tokio::spawn({
        let mut client = harness.client();
        async move { client.query_workflow(within(Duration::from_secs(20), query("order-1", "status"))).await }
    });
    let task = harness.workflow_task().await;
    // Alone on its task, or together with others on a workflow task.
    if let Some(query) = &task.query {
        assert_eq!(query.query_type, "status");
        let request = RespondQueryTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token.clone(),
            completed_type: QueryResultType::Answered as i32,
            query_result: Some(text("waiting")),
            ..Default::default()
        };
        harness.client().respond_query_task_completed(request).await.unwrap();
    } else {
        let (id, query) = task.queries.iter().next().expect("the task carries the query");
        assert_eq!(query.query_type, "status");
        let result = WorkflowQueryResult {
            result_type: QueryResultType::Answered as i32,
            answer: Some(text("waiting")),
            ..Default::default()
        };
        let request = RespondWorkflowTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token.clone(),
            query_results: [(id.clone(), result)].into(),
            ..Default::default()
        };
        harness.client().respond_workflow_task_completed(request).await.unwrap();
    }
    let answer = asked.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.query_result, Some(text("waiting")));
}

#[tokio::test]
async fn a_failed_query_says_why() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![complete_workflow("done")]).await;
    let asked = tokio::spawn({
        let mut client = harness.client();
        async move { client.query_workflow(within(Duration::from_secs(20), query("order-1", "unknown"))).await }
    });
    let task = harness.workflow_task().await;
    assert!(task.query.is_some(), "a closed run is queried on a task of its own: {task:?}");
    let request = RespondQueryTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token.clone(),
        completed_type: QueryResultType::Failed as i32,
        error_message: "no handler named unknown".into(),
        ..Default::default()
    };
    harness.client().respond_query_task_completed(request).await.unwrap();
    let refused = asked.await.unwrap().unwrap_err();
    assert_eq!(code_and_detail(&refused), (Code::InvalidArgument, "QueryFailedFailure".into()), "{refused}");
    assert!(refused.message().contains("no handler named unknown"), "{refused}");
}

#[tokio::test]
async fn a_query_on_a_closed_workflow_can_be_rejected() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![fail_workflow("broken")]).await;
    let mut request = query("order-1", "status");
    request.query_reject_condition = QueryRejectCondition::NotOpen as i32;
    let answer = harness.client().query_workflow(request).await.unwrap().into_inner();
    assert_eq!(answer.query_rejected.unwrap().status(), WorkflowExecutionStatus::Failed);
}

fn query(workflow_id: &str, name: &str) -> QueryWorkflowRequest {
    QueryWorkflowRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(workflow_id, "")),
        query: Some(WorkflowQuery { query_type: name.into(), ..Default::default() }),
        ..Default::default()
    }
}

#[tokio::test]
async fn cancellation_is_asked_for_and_answered() {
    let harness = Harness::start().await;
    let run_id = harness.begin("order-1").await;
    harness.advance(vec![start_timer("long", millis(3_600_000))]).await;
    let request = RequestCancelWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("order-1", "")),
        reason: "changed my mind".into(),
        ..Default::default()
    };
    harness.client().request_cancel_workflow_execution(request.clone()).await.unwrap();
    let task = harness.advance(vec![cancel_workflow()]).await;
    assert!(names(history(&task)).contains(&"WORKFLOW_EXECUTION_CANCEL_REQUESTED".to_owned()));
    let last = harness.closing_event("order-1", &run_id).await;
    assert!(matches!(last, Event::WorkflowExecutionCanceledEventAttributes(_)), "{last:?}");
    // Cancelling what is closed is no error.
    harness.client().request_cancel_workflow_execution(request).await.unwrap();
}

#[tokio::test]
async fn termination_needs_no_worker() {
    let harness = Harness::start().await;
    let run_id = harness.begin("order-1").await;
    let request = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("order-1", "")),
        ..Default::default()
    };
    harness.client().terminate_workflow_execution(request.clone()).await.unwrap();
    let Event::WorkflowExecutionTerminatedEventAttributes(terminated) =
        harness.closing_event("order-1", &run_id).await
    else {
        panic!("not terminated")
    };
    assert_eq!(terminated.reason, "terminated by user via frontend", "none was given");
    let refused = harness.client().terminate_workflow_execution(request).await.unwrap_err();
    assert_eq!(code_and_detail(&refused), (Code::NotFound, "NotFoundFailure".into()), "{refused}");
}

#[tokio::test]
async fn continue_as_new_makes_a_new_run_of_the_same_id() {
    let harness = Harness::start().await;
    let first = harness.begin("order-1").await;
    harness.advance(vec![continue_as_new("again")]).await;
    let Event::WorkflowExecutionContinuedAsNewEventAttributes(continued) =
        harness.closing_event("order-1", &first).await
    else {
        panic!("not continued")
    };
    let task = harness.workflow_task().await;
    assert_eq!(task.workflow_execution.as_ref().unwrap().run_id, continued.new_execution_run_id);
    let Some(Event::WorkflowExecutionStartedEventAttributes(started)) = &history(&task)[0].attributes else {
        panic!("the history begins with {:?}", history(&task)[0])
    };
    assert_eq!(started.continued_execution_run_id, first);
    assert_eq!(started.first_execution_run_id, first);
    assert_eq!(started.input, Some(text("again")));
    harness.complete(&task, vec![complete_workflow("done")]).await;
}

#[tokio::test]
async fn run_and_execution_time_outs_close_the_run() {
    let harness = Harness::start().await;
    let mut request = start("order-1");
    request.workflow_run_timeout = millis(50);
    let run_id = harness.begin_as(request).await;
    let last = harness.closing_event("order-1", &run_id).await;
    assert!(matches!(last, Event::WorkflowExecutionTimedOutEventAttributes(_)), "{last:?}");
    let mut request = start("order-2");
    request.workflow_execution_timeout = millis(50);
    let run_id = harness.begin_as(request).await;
    harness.closing_event("order-2", &run_id).await;
    assert_eq!(harness.info("order-2").await.status(), WorkflowExecutionStatus::TimedOut);
}

#[tokio::test]
async fn a_failed_workflow_is_retried_by_its_policy() {
    let harness = Harness::start().await;
    let mut request = start("order-1");
    request.retry_policy = Some(durably_proto::temporal::api::common::v1::RetryPolicy {
        initial_interval: millis(10),
        maximum_attempts: 2,
        ..Default::default()
    });
    let first = harness.begin_as(request).await;
    harness.advance(vec![fail_workflow("first")]).await;
    let Event::WorkflowExecutionFailedEventAttributes(failed) =
        harness.closing_event("order-1", &first).await
    else {
        panic!("not failed")
    };
    let task = harness.workflow_task().await;
    assert_eq!(task.workflow_execution.as_ref().unwrap().run_id, failed.new_execution_run_id);
    harness.complete(&task, vec![fail_workflow("second")]).await;
    let second = harness.closing_event("order-1", &failed.new_execution_run_id).await;
    let Event::WorkflowExecutionFailedEventAttributes(failed) = second else { panic!("{second:?}") };
    assert_eq!(failed.retry_state(), RetryState::MaximumAttemptsReached);
}

#[tokio::test]
async fn a_failed_workflow_task_comes_again_with_a_higher_attempt() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    let request = RespondWorkflowTaskFailedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token.clone(),
        cause: WorkflowTaskFailedCause::NonDeterministicError as i32,
        failure: Some(application_failure("diverged", false)),
        ..Default::default()
    };
    harness.client().respond_workflow_task_failed(request.clone()).await.unwrap();
    let again = harness.workflow_task().await;
    assert_eq!(again.attempt, 2);
    assert!(names(history(&again)).contains(&"WORKFLOW_TASK_FAILED".to_owned()));
    // The first attempt's token is spent.
    let refused = harness.client().respond_workflow_task_failed(request).await.unwrap_err();
    assert_eq!(code_and_detail(&refused), (Code::NotFound, "NotFoundFailure".into()), "{refused}");
    harness.complete(&again, vec![complete_workflow("done")]).await;
}

#[tokio::test]
async fn a_workflow_task_that_times_out_comes_again() {
    let harness = Harness::start().await;
    let mut request = start("order-1");
    request.workflow_task_timeout = millis(1_000);
    harness.begin_as(request).await;
    let lost = harness.workflow_task().await;
    let again = harness.workflow_task().await;
    assert_eq!(again.attempt, 2);
    let refused = harness.try_complete(&lost, vec![complete_workflow("late")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    harness.complete(&again, vec![complete_workflow("done")]).await;
}

#[tokio::test]
async fn a_command_that_is_too_large_fails_the_task_and_says_so() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    let large = complete_workflow(&"x".repeat(2 * 1024 * 1024));
    let refused = harness.try_complete(&task, vec![large]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("2097152"), "{refused}");
    let task = harness.advance(vec![complete_workflow("smaller")]).await;
    assert_eq!(failed_task(&task), Some(WorkflowTaskFailedCause::PayloadsTooLarge));
}

#[tokio::test]
async fn a_completion_with_a_message_that_says_nothing_fails_the_task_and_says_so() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    let refused = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token.clone(),
        commands: vec![complete_workflow("lost")],
        messages: vec![Message { id: "m".into(), ..Default::default() }],
        ..Default::default()
    };
    let refused = harness.client().respond_workflow_task_completed(refused).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("message m has no body"), "{refused}");
    let task = harness.advance(vec![complete_workflow("done")]).await;
    assert_eq!(failed_task(&task), Some(WorkflowTaskFailedCause::BadUpdateWorkflowExecutionMessage));
}

/// Why a workflow task of the history failed.
fn failed_task(task: &PollWorkflowTaskQueueResponse) -> Option<WorkflowTaskFailedCause> {
    history(task).iter().find_map(|event| match &event.attributes {
        Some(Event::WorkflowTaskFailedEventAttributes(failed)) => Some(failed.cause()),
        _ => None,
    })
}

#[tokio::test]
async fn a_poll_ends_empty_before_its_deadline() {
    let harness = Harness::start().await;
    let task = harness.poll_workflow(Duration::from_millis(2_500)).await.unwrap();
    assert!(task.task_token.is_empty());
}

#[tokio::test]
async fn a_poll_that_was_dropped_takes_no_task() {
    let harness = Harness::start().await;
    {
        let poll = harness.poll_workflow(Duration::from_secs(20));
        // Long enough to reach the server: another call on the same connection comes back after it.
        tokio::select! {
            _ = poll => panic!("there is no task yet"),
            () = harness.clone_and_ask() => {}
        }
    }
    harness.begin("order-1").await;
    harness.advance(vec![complete_workflow("done")]).await;
}

impl Harness {
    async fn clone_and_ask(&self) {
        self.client().get_system_info(GetSystemInfoRequest {}).await.unwrap();
    }
}

/// Signals go on while each task of the workflow continues as new.
#[tokio::test]
async fn no_signal_is_lost_to_a_run_that_continues_as_new() {
    const SIGNALS: usize = 200;
    let harness = Harness::start().await;
    harness.begin("busy").await;
    let client = harness.client();
    let sender = tokio::spawn(async move {
        for number in 0..SIGNALS {
            let request = SignalWorkflowExecutionRequest {
                namespace: NAMESPACE.into(),
                workflow_execution: Some(execution("busy", "")),
                signal_name: number.to_string(),
                request_id: number.to_string(),
                ..Default::default()
            };
            // Said twice, as a client does that has not heard the answer.
            for _ in 0..2 {
                client.clone().signal_workflow_execution(request.clone()).await.unwrap();
            }
        }
    });
    let (mut heard, mut runs) = (Vec::new(), 0);
    while heard.len() < SIGNALS {
        let task = harness.workflow_task().await;
        assert_eq!(task.attempt, 1, "no task has failed");
        runs += 1;
        heard.extend(history(&task).iter().filter_map(|event| match &event.attributes {
            Some(Event::WorkflowExecutionSignaledEventAttributes(signal)) => Some(signal.signal_name.clone()),
            _ => None,
        }));
        // What comes from here on is carried over.
        harness.complete(&task, vec![continue_as_new("again")]).await;
    }
    sender.await.unwrap();
    assert_eq!(heard, (0..SIGNALS).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(runs > 1);
}
