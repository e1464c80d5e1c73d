//! Those who wait in vain are told so, in test environments; the runs go on.

use std::time::Instant;

use durably_proto::temporal::api::{
    enums::v1::{UpdateWorkflowExecutionLifecycleStage, WorkflowTaskFailedCause},
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    update::v1::{Input, Meta, Request},
};

use super::{
    updates::{accept, ask},
    *,
};
use crate::shard::{clock::Clock, lease::Tenure, placement::shard_of};

fn failing_fast(clock: ClockKind) -> Executions {
    let (store, clock) = (Arc::new(MemoryStore::default()), Arc::new(Clock::new(clock)));
    let runtime = tokio::runtime::Handle::current();
    Executions::holding(store, clock, &runtime, shards(), Tenure::sole(), true).unwrap()
}

/// What somebody is told who waits for the workflow's end.
async fn wait(on: &Executions, id: &str) -> String {
    let request = GetWorkflowExecutionHistoryRequest {
        execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
        wait_new_event: true,
        history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
        ..Default::default()
    };
    let within = Duration::from_mins(1);
    let answer = tokio::time::timeout(within, on.history(&namespace(), request)).await.expect("it is told");
    answer.map_or_else(
        |error| {
            assert_eq!(error.kind().code(), tonic::Code::FailedPrecondition, "{error}");
            error.to_string()
        },
        |_| "it has closed".to_owned(),
    )
}

fn failure(kind: &str, message: &str) -> Failure {
    let info = ApplicationFailureInfo { r#type: kind.into(), ..Default::default() };
    Failure {
        message: message.into(),
        stack_trace: "at order.py:3".into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}

async fn fail(on: &Executions, task: &PollWorkflowTaskQueueResponse) {
    let request = RespondWorkflowTaskFailedRequest {
        task_token: task.task_token.clone(),
        cause: WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure as i32,
        failure: Some(failure("TypeError", "no such thing")),
        ..Default::default()
    };
    on.respond_workflow_task_failed(&namespace(), request).await.unwrap();
}

/// A workflow task for a worker that is there until it says that it ends.
async fn poll_by(on: &Executions, name: &str, worker: &str) -> PollWorkflowTaskQueueResponse {
    let request = PollWorkflowTaskQueueRequest {
        task_queue: queue(name),
        worker_instance_key: worker.into(),
        ..Default::default()
    };
    on.poll_workflow_task(&namespace(), request, PollContext::default()).await.unwrap()
}

/// Begins a poll by a worker, which goes on until the test ends.
fn serve(on: &Executions, name: &'static str, worker: &'static str) -> tokio::task::JoinHandle<()> {
    let on = on.clone();
    tokio::spawn(async move {
        let request = PollActivityTaskQueueRequest {
            task_queue: queue(name),
            worker_instance_key: worker.into(),
            ..Default::default()
        };
        let _ = on.poll_activity_task(&namespace(), request, PollContext::default()).await;
    })
}

#[tokio::test]
async fn a_failed_task_ends_the_wait_and_not_the_run() {
    let on = failing_fast(ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let (told, ()) = tokio::join!(wait(&on, "w"), fail(&on, &task));
    assert_eq!(told, "workflow order (id w) can't go on: TypeError: no such thing\nat order.py:3");
    assert_eq!(wait(&on, "w").await, told, "whoever comes later is told as well");
    // Mended, the run goes on.
    let task = poll(&on, "tq").await;
    assert_eq!(task.attempt, 2);
    respond(&on, &task, vec![complete()]).await.unwrap();
    assert_eq!(wait(&on, "w").await, "it has closed");
}

#[tokio::test]
async fn a_query_of_a_failing_run_ends_too() {
    let on = failing_fast(ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let query = QueryWorkflowRequest {
        execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
        query: Some(WorkflowQuery { query_type: "state".into(), ..Default::default() }),
        ..Default::default()
    };
    let namespace = namespace();
    let (answer, ()) = tokio::join!(on.query(&namespace, query), fail(&on, &task));
    assert!(answer.unwrap_err().to_string().contains("can't go on: TypeError: no such thing"));
}

fn update() -> UpdateWorkflowExecutionRequest {
    UpdateWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
        request: Some(Request {
            meta: Some(Meta { update_id: "u".into(), ..Default::default() }),
            input: Some(Input { name: "change".into(), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_update_of_a_failing_run_ends_too() {
    let on = failing_fast(ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let namespace = namespace();
    let (answer, ()) = tokio::join!(on.update(&namespace, update()), fail(&on, &task));
    assert!(answer.unwrap_err().to_string().contains("can't go on: TypeError: no such thing"));
}

#[tokio::test]
async fn an_update_that_no_worker_takes_ends() {
    let on = failing_fast(ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll_by(&on, "tq", "worker").await;
    respond(&on, &task, vec![start_timer("t", 3_600 * SECOND)]).await.unwrap();
    on.shutdown_worker(
        &namespace(),
        ShutdownWorkerRequest { worker_instance_key: "worker".into(), ..Default::default() },
    )
    .await
    .unwrap();
    let told = on.update(&namespace(), update()).await.unwrap_err().to_string();
    assert!(told.contains("task queue `tq` has none that takes workflows"), "{told}");
}

/// A workflow that waits for what its first task asks for, the activity among it, which its worker doesn't know.
async fn with_unknown_activity(on: &Executions, commands: Vec<Command>) {
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll_by(on, "tq", "worker").await;
    respond(on, &task, commands).await.unwrap();
    serve(on, "tq", "worker").await.unwrap();
    fail_activity(on).await;
    let told = wait(on, "w").await;
    assert!(told.contains("which its worker does not have"), "{told}");
}

#[tokio::test]
async fn updates_and_queries_go_on_beside_an_activity_that_no_worker_has() {
    let on = failing_fast(ClockKind::System);
    with_unknown_activity(&on, vec![schedule_activity("1")]).await;
    let asked = ask(&on, "w");
    // Whoever waits for the result is told; so the shard has looked at this one too.
    wait(&on, "w").await;
    let task = poll_by(&on, "tq", "worker").await;
    accept(&on, &task).await;
    let came = asked.await.unwrap();
    assert_eq!(came.stage(), UpdateWorkflowExecutionLifecycleStage::Accepted);

    let query = QueryWorkflowRequest {
        execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
        query: Some(WorkflowQuery { query_type: "state".into(), ..Default::default() }),
        ..Default::default()
    };
    let namespace = namespace();
    let (answer, ()) = tokio::join!(on.query(&namespace, query), async {
        wait(&on, "w").await;
        let task = poll_by(&on, "tq", "worker").await;
        answer_fine(&on, &task).await;
    });
    assert_eq!(answer.unwrap().query_result, payloads("fine"));
}

/// How long it takes from a worker's acceptance of an update until its caller is told that it won't end.
async fn accepted_in_vain(commands: Vec<Command>) -> Duration {
    let on = failing_fast(ClockKind::System);
    with_unknown_activity(&on, commands).await;
    let request = UpdateWorkflowExecutionRequest { wait_policy: None, ..updates::update("w") };
    let namespace = namespace();
    let asked = on.update(&namespace, request);
    let (told, accepted) = tokio::join!(asked, async {
        let task = poll_by(&on, "tq", "worker").await;
        let accepted = Instant::now();
        accept(&on, &task).await;
        accepted
    });
    let told = told.unwrap_err().to_string();
    assert!(told.contains("activity charge, which its worker does not have"), "{told}");
    accepted.elapsed()
}

#[tokio::test]
async fn an_update_that_may_wait_for_something_else_is_given_time() {
    let timer = start_timer("t", 3_600 * SECOND);
    let patience = accepted_in_vain(vec![schedule_activity("1"), timer]).await;
    assert!(patience >= Duration::from_millis(900), "{patience:?}");
}

#[tokio::test]
async fn an_update_that_can_wait_for_nothing_else_ends() {
    accepted_in_vain(vec![schedule_activity("1")]).await;
}

#[tokio::test]
async fn a_task_that_no_worker_takes_ends_the_wait() {
    let on = failing_fast(ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let alone = "workflow order (id w) waits for a worker: task queue `tq` has none that takes workflows";
    assert_eq!(wait(&on, "w").await, format!("{alone} (no queue has one)"));
    let task = poll(&on, "tq").await;
    respond(&on, &task, vec![schedule_activity("1")]).await.unwrap();
    let waits = "workflow order (id w) waits for its activity charge";
    let expected = format!("{waits}: the worker of the task queue `tq` has no activities; give it charge");
    assert_eq!(wait(&on, "w").await, expected);
    // Somebody who has polled and is busy is a worker, until it says that it ends.
    let busy = serve(&on, "tq", "busy");
    let (told, ()) = tokio::join!(wait(&on, "w"), async {
        busy.await.unwrap();
        let ends = ShutdownWorkerRequest { worker_instance_key: "busy".into(), ..Default::default() };
        on.shutdown_worker(&namespace(), ends).await.unwrap();
        let poll = serve(&on, "other", "else");
        fail_activity(&on).await;
        drop(poll);
    });
    assert_eq!(
        told,
        format!("{waits}, which its worker does not have: charge is not registered on this worker")
    );
}

/// The attempt that `serve` has taken fails, since the worker doesn't know the activity.
async fn fail_activity(on: &Executions) {
    let activity = ActivityTask::by_id(&namespace(), "w", "", "1".into());
    let unknown = failure("NotFoundError", "charge is not registered on this worker");
    on.fail_activity(activity, Some(unknown), None, "worker".into()).await.unwrap();
}

#[tokio::test]
async fn what_may_still_happen_is_waited_for() {
    let on = failing_fast(ClockKind::Virtual);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    // A timer fires, though the activity has no worker.
    respond(&on, &task, vec![schedule_activity("1"), start_timer("t", 3600 * SECOND)]).await.unwrap();
    on.unlock_time_skipping().await.unwrap();
    let (told, ()) = tokio::join!(wait(&on, "w"), async {
        let task = poll(&on, "tq").await;
        respond(&on, &task, vec![complete()]).await.unwrap();
    });
    assert_eq!(told, "it has closed");
}

#[tokio::test]
async fn a_run_without_a_worker_does_not_hold_a_virtual_clock() {
    let on = failing_fast(ClockKind::Virtual);
    let before = on.current_time();
    on.start_workflow(&namespace(), start_request("left behind"), false).await.unwrap();
    on.unlock_time_skipping_with_sleep(3600 * SECOND).await.unwrap();
    assert!(on.current_time() - before >= 3600 * SECOND);
}

#[tokio::test]
async fn a_run_that_an_earlier_test_has_left_failing_does_not_hold_a_virtual_clock() {
    let on = failing_fast(ClockKind::Virtual);
    let kid = kid();
    parent_of(&on, &kid).await;
    let task = poll_by(&on, "tq", "worker").await;
    let (told, ()) = tokio::join!(wait(&on, "parent"), fail(&on, &task));
    assert!(told.contains("waits for a child") && told.contains("no such thing"), "{told}");
    // The worker goes on, takes the next attempt, and will say nothing of it.
    let attempt = poll_by(&on, "tq", "worker").await;
    assert_eq!(attempt.attempt, 2);
    let before = on.current_time();
    let slept = on.unlock_time_skipping_with_sleep(3600 * SECOND);
    tokio::time::timeout(Duration::from_secs(10), slept).await.expect("nobody waits for the child").unwrap();
    assert!(on.current_time() - before >= 3600 * SECOND);
}

#[tokio::test]
async fn a_time_out_of_a_run_without_a_worker_is_waited_for() {
    let on = failing_fast(ClockKind::Virtual);
    let mut request = start_request("w");
    request.workflow_run_timeout = Some(duration(3600 * SECOND));
    on.start_workflow(&namespace(), request, false).await.unwrap();
    on.unlock_time_skipping().await.unwrap();
    assert_eq!(wait(&on, "w").await, "it has closed");
}

#[tokio::test]
async fn an_activity_whose_worker_has_gone_does_not_hold_a_virtual_clock() {
    let on = failing_fast(ClockKind::Virtual);
    on.start_workflow(&namespace(), start_request("left behind"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let worker = serve(&on, "tq", "gone");
    respond(&on, &task, vec![schedule_activity("1")]).await.unwrap();
    worker.await.unwrap();
    let ends = ShutdownWorkerRequest { worker_instance_key: "gone".into(), ..Default::default() };
    on.shutdown_worker(&namespace(), ends).await.unwrap();
    let left = ActivityTask::by_id(&namespace(), "left behind", "", "1".into());
    let declined = failure("ValueError", "no card");
    on.fail_activity(left, Some(declined), None, "worker".into()).await.unwrap();
    // The next attempt waits in the queue all the time.
    let slept = on.unlock_time_skipping_with_sleep(3600 * SECOND);
    tokio::time::timeout(Duration::from_secs(10), slept).await.expect("nobody will take it").unwrap();
}

#[tokio::test]
async fn an_activity_that_fails_for_ever_is_told_after_a_hundred_attempts() {
    let on = failing_fast(ClockKind::Virtual);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    respond(&on, &task, vec![schedule_activity("1")]).await.unwrap();
    on.unlock_time_skipping().await.unwrap();
    let worker = {
        let on = on.clone();
        tokio::spawn(async move {
            loop {
                let task = poll_activity(&on).await;
                let activity = ActivityTask::by_token(&namespace(), &task.task_token).unwrap();
                let declined = failure("ValueError", "no card");
                on.fail_activity(activity, Some(declined), None, "worker".into()).await.unwrap();
            }
        })
    };
    let told = wait(&on, "w").await;
    assert!(told.contains("has failed 100 times and may do so for ever"), "{told}");
    assert!(told.ends_with("ValueError: no card\nat order.py:3"), "{told}");
    worker.abort();
}

/// A child of the same shard: test environments have one.
fn kid() -> String {
    let of = |id: &str| shard_of(id, shards());
    (0..100).map(|n| format!("kid-{n}")).find(|id| of(id) == of("parent")).expect("one of the shard")
}

/// The first task of the parent asks for this child, which has started when this returns.
async fn parent_of(on: &Executions, child: &str) {
    let request = StartWorkflowExecutionRequest { task_queue: queue("parents"), ..start_request("parent") };
    on.start_workflow(&namespace(), request, false).await.unwrap();
    let task = poll(on, "parents").await;
    respond(on, &task, vec![start_child(child)]).await.unwrap();
    let task = poll(on, "parents").await;
    respond(on, &task, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_parent_is_told_of_its_childs_mistake() {
    let on = failing_fast(ClockKind::System);
    let kid = kid();
    parent_of(&on, &kid).await;
    let task = poll(&on, "tq").await;
    fail(&on, &task).await;
    let expected = format!(
        "workflow order (id parent) waits for a child: workflow order (id {kid}) can't go on: TypeError: no such thing\nat \
         order.py:3"
    );
    assert_eq!(wait(&on, "parent").await, expected);
}

#[tokio::test]
async fn who_waits_for_a_parent_is_told_that_its_child_has_no_worker() {
    let on = failing_fast(ClockKind::System);
    let kid = kid();
    parent_of(&on, &kid).await;
    let told = wait(&on, "parent").await;
    let expected = format!(
        "workflow order (id parent) waits for a child: workflow order (id {kid}) waits for a worker: task queue `tq` has \
         none that takes workflows"
    );
    assert!(told.starts_with(&expected), "{told}");
}
