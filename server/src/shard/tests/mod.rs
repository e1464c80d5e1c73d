//! Tests of shards over a store: the whole way of a workflow, crashes, time skipping.
#![expect(clippy::unnecessary_wraps, reason = "message fields are optional")]

mod eager;
mod fail_fast;
mod failed_commit;
mod histories;
mod leases;
mod letters;
mod log;
mod messages;
mod reading;
mod set_aside;
mod simulation;
mod updates;
mod waiting_pollers;

use std::{sync::Arc, time::Duration};

use durably_proto::temporal::api::{
    command::v1::{
        Command, CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
        StartChildWorkflowExecutionCommandAttributes, StartTimerCommandAttributes, command::Attributes as C,
    },
    common::v1::{ActivityType, Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::{CommandType, EventType, HistoryEventFilterType, QueryResultType, TaskQueueKind},
    history::v1::HistoryEvent,
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::*,
};

use prost::Message as _;

use super::{ActivityTask, ClockKind, Executions, PollContext, driver::Shard, work::Work};
use crate::{
    Namespace, ServiceError,
    engine::{
        SECOND, duration,
        state::{FewRow, RunState},
    },
    store::{MemoryStore, SqliteStore, StateRow, Store, StoredRun},
};

fn namespace() -> Namespace {
    Namespace {
        id: "ns".into(),
        name: "default".into(),
        retention: Duration::from_hours(1),
        description: String::new(),
        owner_email: String::new(),
        data: Default::default(),
        token_key: Default::default(),
    }
}

/// What is stored of what a run waits for, in its header or beside it.
fn pending_rows(stored: &StoredRun) -> Vec<StateRow> {
    let header = RunState::decode(stored.state.as_slice()).unwrap_or_default();
    stored.rows.iter().cloned().chain(header.few.into_iter().filter_map(FewRow::row)).collect()
}

/// The suite runs with one shard and, told so by this variable, with several.
fn shards() -> u32 {
    std::env::var("DURABLY_TEST_SHARDS").map_or(1, |count| count.parse().unwrap())
}

fn open(store: Arc<dyn Store>, clock: ClockKind) -> Executions {
    Executions::over(store, clock, &tokio::runtime::Handle::current(), shards()).unwrap()
}

fn memory() -> Executions {
    open(Arc::new(MemoryStore::default()), ClockKind::System)
}

/// Runs `look` on the shard's thread; its result comes when the round is stored.
async fn inspect<T: Send + 'static>(
    on: &Executions,
    shard: u32,
    look: impl FnOnce(&mut Shard) -> T + Send + 'static,
) -> Result<T, ServiceError> {
    on.call(shard, |reply| {
        Work::Inspect(Box::new(move |shard| {
            let seen = look(shard);
            shard.batch.reply(reply, Ok(seen));
        }))
    })
    .await
}

fn queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue { name: name.into(), ..Default::default() })
}

fn payloads(text: &str) -> Option<Payloads> {
    let payload = Payload { data: text.as_bytes().to_vec().into(), ..Default::default() };
    Some(Payloads { payloads: vec![payload] })
}

fn start_request(id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        workflow_id: id.into(),
        workflow_type: Some(WorkflowType { name: "order".into() }),
        task_queue: queue("tq"),
        request_id: format!("start-{id}"),
        identity: "client".into(),
        ..Default::default()
    }
}

fn schedule_activity(id: &str) -> Command {
    Command {
        command_type: CommandType::ScheduleActivityTask as i32,
        attributes: Some(C::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
            activity_id: id.into(),
            activity_type: Some(ActivityType { name: "charge".into() }),
            start_to_close_timeout: Some(duration(10 * SECOND)),
            input: payloads("in"),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn start_timer(id: &str, span: i64) -> Command {
    Command {
        command_type: CommandType::StartTimer as i32,
        attributes: Some(C::StartTimerCommandAttributes(StartTimerCommandAttributes {
            timer_id: id.into(),
            start_to_fire_timeout: Some(duration(span)),
        })),
        ..Default::default()
    }
}

fn start_child(id: &str) -> Command {
    Command {
        command_type: CommandType::StartChildWorkflowExecution as i32,
        attributes: Some(C::StartChildWorkflowExecutionCommandAttributes(
            StartChildWorkflowExecutionCommandAttributes {
                workflow_id: id.into(),
                workflow_type: Some(WorkflowType { name: "order".into() }),
                task_queue: queue("tq"),
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}

fn complete() -> Command {
    Command {
        command_type: CommandType::CompleteWorkflowExecution as i32,
        attributes: Some(C::CompleteWorkflowExecutionCommandAttributes(
            CompleteWorkflowExecutionCommandAttributes { result: payloads("done") },
        )),
        ..Default::default()
    }
}

async fn poll(on: &Executions, name: &str) -> PollWorkflowTaskQueueResponse {
    let request = PollWorkflowTaskQueueRequest {
        task_queue: queue(name),
        identity: "worker".into(),
        ..Default::default()
    };
    on.poll_workflow_task(&namespace(), request, PollContext::default()).await.unwrap()
}

async fn poll_activity(on: &Executions) -> PollActivityTaskQueueResponse {
    let request = PollActivityTaskQueueRequest {
        task_queue: queue("tq"),
        identity: "worker".into(),
        ..Default::default()
    };
    on.poll_activity_task(&namespace(), request, PollContext::default()).await.unwrap()
}

/// A worker answers the query of a task that has only that.
async fn answer_fine(on: &Executions, task: &PollWorkflowTaskQueueResponse) {
    let answer = RespondQueryTaskCompletedRequest {
        task_token: task.task_token.clone(),
        completed_type: QueryResultType::Answered as i32,
        query_result: payloads("fine"),
        ..Default::default()
    };
    on.respond_query_task_completed(&namespace(), answer).await.unwrap();
}

async fn respond(
    on: &Executions,
    task: &PollWorkflowTaskQueueResponse,
    commands: Vec<Command>,
) -> Result<RespondWorkflowTaskCompletedResponse, ServiceError> {
    let request = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token.clone(),
        commands,
        identity: "worker".into(),
        ..Default::default()
    };
    on.respond_workflow_task_completed(&namespace(), request).await
}

async fn complete_activity(
    on: &Executions,
    task: &PollActivityTaskQueueResponse,
) -> Result<(), ServiceError> {
    let activity = ActivityTask::by_token(&namespace(), &task.task_token)?;
    on.complete_activity(activity, payloads("out"), "worker".into()).await
}

async fn history(on: &Executions, id: &str) -> Vec<HistoryEvent> {
    let request = GetWorkflowExecutionHistoryRequest {
        execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
        ..Default::default()
    };
    on.history(&namespace(), request).await.unwrap().history.unwrap().events
}

fn kinds(events: &[HistoryEvent]) -> Vec<EventType> {
    events.iter().map(HistoryEvent::event_type).collect()
}

async fn signal(on: &Executions, id: &str, name: &str) -> Result<(), ServiceError> {
    let request = SignalWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
        signal_name: name.into(),
        request_id: format!("{id}-{name}"),
        ..Default::default()
    };
    on.signal(&namespace(), request).await.map(|_| ())
}

#[tokio::test]
async fn a_workflow_with_one_activity_runs_to_its_end() {
    let on = memory();
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    assert_eq!(kinds(&task.history.as_ref().unwrap().events).len(), 3);
    respond(&on, &task, vec![schedule_activity("1")]).await.unwrap();
    let activity = poll_activity(&on).await;
    assert_eq!((activity.activity_id.as_str(), activity.attempt), ("1", 1));
    complete_activity(&on, &activity).await.unwrap();
    assert!(complete_activity(&on, &activity).await.is_err(), "a completed activity cannot complete again");
    let task = poll(&on, "tq").await;
    respond(&on, &task, vec![complete()]).await.unwrap();
    assert_eq!(
        kinds(&history(&on, "w").await),
        [
            EventType::WorkflowExecutionStarted,
            EventType::WorkflowTaskScheduled,
            EventType::WorkflowTaskStarted,
            EventType::WorkflowTaskCompleted,
            EventType::ActivityTaskScheduled,
            EventType::ActivityTaskStarted,
            EventType::ActivityTaskCompleted,
            EventType::WorkflowTaskScheduled,
            EventType::WorkflowTaskStarted,
            EventType::WorkflowTaskCompleted,
            EventType::WorkflowExecutionCompleted,
        ]
    );
    on.shutdown().await;
}

#[tokio::test]
async fn a_waiting_reader_of_the_result_is_woken_by_the_close() {
    let on = memory();
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let reader = on.clone();
    let waiting = tokio::spawn(async move {
        let request = GetWorkflowExecutionHistoryRequest {
            execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
            wait_new_event: true,
            history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
            ..Default::default()
        };
        reader.history(&namespace(), request).await.unwrap()
    });
    let task = poll(&on, "tq").await;
    respond(&on, &task, vec![complete()]).await.unwrap();
    let closed = waiting.await.unwrap();
    assert_eq!(kinds(&closed.history.unwrap().events), [EventType::WorkflowExecutionCompleted]);
    assert!(closed.next_page_token.is_empty());
}

#[tokio::test]
async fn a_poll_that_is_dropped_does_not_swallow_its_task() {
    let on = memory();
    for _ in 0..20 {
        let abandoned = tokio::spawn({
            let on = on.clone();
            async move { poll(&on, "tq").await }
        });
        tokio::task::yield_now().await;
        abandoned.abort();
    }
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    assert_eq!(task.workflow_execution.unwrap().workflow_id, "w");
}

#[tokio::test]
async fn a_query_finds_the_worker_directly_and_on_its_task() {
    let on = memory();
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let ask = |on: Executions| {
        tokio::spawn(async move {
            let request = QueryWorkflowRequest {
                execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
                query: Some(WorkflowQuery { query_type: "status".into(), ..Default::default() }),
                ..Default::default()
            };
            on.query(&namespace(), request).await
        })
    };
    // Before the first workflow task completes the query waits, then it goes out on its own.
    let early = ask(on.clone());
    let task = poll(&on, "tq").await;
    assert!(task.queries.is_empty());
    respond(&on, &task, vec![start_timer("t", 3600 * SECOND)]).await.unwrap();
    let direct = poll(&on, "tq").await;
    assert_eq!(direct.query.as_ref().unwrap().query_type, "status");
    answer_fine(&on, &direct).await;
    assert_eq!(early.await.unwrap().unwrap().query_result, payloads("fine"));

    // With a workflow task pending the query rides on it.
    signal(&on, "w", "go").await.unwrap();
    let riding = ask(on.clone());
    let shard = on.shard_index("w");
    while inspect(&on, shard, |shard| shard.runs.iter().all(|(_, slot)| slot.run.can_unload())).await.unwrap()
    {
        tokio::task::yield_now().await;
    }
    let task = poll(&on, "tq").await;
    let (id, query) = task.queries.iter().next().expect("the query is on the task");
    assert_eq!(query.query_type, "status");
    let result = WorkflowQueryResult {
        result_type: QueryResultType::Answered as i32,
        answer: payloads("better"),
        ..Default::default()
    };
    let request = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token.clone(),
        query_results: [(id.clone(), result)].into(),
        ..Default::default()
    };
    on.respond_workflow_task_completed(&namespace(), request).await.unwrap();
    assert_eq!(riding.await.unwrap().unwrap().query_result, payloads("better"));
}

fn sticky(name: &str) -> StickyExecutionAttributes {
    StickyExecutionAttributes {
        worker_task_queue: Some(TaskQueue {
            name: name.into(),
            kind: TaskQueueKind::Sticky as i32,
            normal_name: "tq".into(),
        }),
        schedule_to_start_timeout: Some(duration(10 * SECOND)),
    }
}

#[tokio::test]
async fn a_sticky_worker_gets_only_what_is_new() {
    let on = memory();
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let sticky_poll = tokio::spawn({
        let on = on.clone();
        async move { poll(&on, "sticky-1").await }
    });
    let sticky = sticky("sticky-1");
    let request = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token.clone(),
        commands: vec![start_timer("t", 3600 * SECOND)],
        sticky_attributes: Some(sticky),
        ..Default::default()
    };
    tokio::task::yield_now().await;
    on.respond_workflow_task_completed(&namespace(), request).await.unwrap();
    signal(&on, "w", "go").await.unwrap();
    let task = sticky_poll.await.unwrap();
    let first = task.history.unwrap().events[0].event_id;
    assert_eq!((task.previous_started_event_id, first), (3, 4));
}

#[tokio::test]
async fn with_a_virtual_clock_an_hour_passes_at_once() {
    let on = open(Arc::new(MemoryStore::default()), ClockKind::Virtual);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let before = on.current_time();
    respond(&on, &task, vec![start_timer("t", 3600 * SECOND)]).await.unwrap();
    on.unlock_time_skipping().await.unwrap();
    let task = poll(&on, "tq").await;
    assert!(kinds(&task.history.as_ref().unwrap().events).contains(&EventType::TimerFired));
    assert!(on.current_time() - before >= 3600 * SECOND);
    on.lock_time_skipping().unwrap();
    respond(&on, &task, vec![complete()]).await.unwrap();
    on.unlock_time_skipping_with_sleep(86_400 * SECOND).await.unwrap();
    assert!(on.current_time() - before >= 90_000 * SECOND);
}

#[tokio::test]
async fn a_task_under_way_holds_a_virtual_clock_until_it_sleeps_itself() {
    let on = open(Arc::new(MemoryStore::default()), ClockKind::Virtual);
    on.unlock_time_skipping().await.unwrap();
    assert!(on.unlock_time_skipping().await.is_err(), "it is not locked any more");
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let before = on.current_time();
    on.unlock_time_skipping_with_sleep(86_400 * SECOND).await.unwrap();
    assert!(on.current_time() - before >= 86_400 * SECOND);
    assert!(
        respond(&on, &task, vec![complete()]).await.is_err(),
        "the workflow task has timed out meanwhile"
    );
}

#[tokio::test]
async fn a_task_for_a_sticky_queue_goes_to_the_normal_one_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let on = open(Arc::new(SqliteStore::open(&path).unwrap()), ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    let request = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token.clone(),
        commands: vec![start_timer("t", 3600 * SECOND)],
        sticky_attributes: Some(sticky("gone")),
        ..Default::default()
    };
    on.respond_workflow_task_completed(&namespace(), request).await.unwrap();
    signal(&on, "w", "go").await.unwrap();

    let again = open(Arc::new(SqliteStore::open(&path).unwrap()), ClockKind::System);
    let task = poll(&again, "tq").await;
    let seen = kinds(&task.history.unwrap().events);
    assert!(seen.contains(&EventType::WorkflowExecutionSignaled), "{seen:?}");
    again.shutdown().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let on = open(Arc::new(SqliteStore::open(&path).unwrap()), ClockKind::System);
    on.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    on.start_workflow(&namespace(), start_request("late"), false).await.unwrap();
    let task = poll(&on, "tq").await;
    respond(&on, &task, vec![schedule_activity("1")]).await.unwrap();
    let late = poll(&on, "tq").await;
    let activity = poll_activity(&on).await;
    signal(&on, "w", "go").await.unwrap();

    // The old process never says goodbye: its connection stays, its lease does not.
    let again = open(Arc::new(SqliteStore::open(&path).unwrap()), ClockKind::System);
    let fenced = signal(&on, "w", "too-late").await.unwrap_err();
    assert_eq!(fenced.kind().code(), tonic::Code::Unavailable, "{fenced}");
    // Tokens from before the crash are good: of a started activity, and of a workflow task whose start was not stored.
    complete_activity(&again, &activity).await.unwrap();
    respond(&again, &late, vec![complete()]).await.unwrap();
    let task = poll(&again, "tq").await;
    respond(&again, &task, vec![complete()]).await.unwrap();
    let events = history(&again, "w").await;
    let seen = kinds(&events);
    assert_eq!(seen.last(), Some(&EventType::WorkflowExecutionCompleted), "{seen:?}");
    assert_eq!(seen.iter().filter(|kind| **kind == EventType::ActivityTaskCompleted).count(), 1);
    assert_eq!(seen.iter().filter(|kind| **kind == EventType::WorkflowExecutionSignaled).count(), 1);
    assert!(events.windows(2).all(|pair| pair[0].task_id < pair[1].task_id), "task ids grow");
    again.shutdown().await;
}

#[tokio::test]
async fn closed_runs_leave_memory_and_are_found_in_the_store() {
    let on = memory();
    for number in 0..1_100 {
        on.start_workflow(&namespace(), start_request(&format!("w{number}")), false).await.unwrap();
        let task = poll(&on, "tq").await;
        respond(&on, &task, vec![complete()]).await.unwrap();
    }
    on.start_workflow(&namespace(), start_request("open"), false).await.unwrap();
    let (in_memory, queued) =
        inspect(&on, 0, |shard| (shard.runs.len(), shard.runs.closed_len())).await.unwrap();
    assert!(in_memory <= 1_010, "{in_memory} runs are in memory");
    assert!(queued <= 1_010, "{queued} closed runs are remembered");
    let last = kinds(&history(&on, "w0").await).pop();
    assert_eq!(last, Some(EventType::WorkflowExecutionCompleted));
    // Its id can be used again, as before.
    on.start_workflow(
        &namespace(),
        StartWorkflowExecutionRequest { request_id: "2".into(), ..start_request("w0") },
        false,
    )
    .await
    .unwrap();
    assert_eq!(poll(&on, "tq").await.workflow_execution.unwrap().workflow_id, "open");
}
