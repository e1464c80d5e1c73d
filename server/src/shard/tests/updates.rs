//! Updates on their way through a shard: what becomes of those whose callers go.

use durably_proto::temporal::api::{
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    protocol::v1::Message as ProtocolMessage,
    update::v1::{Acceptance, Input, Meta, Request, WaitPolicy},
};
use futures::{FutureExt as _, future::BoxFuture};
use prost::Name as _;

use super::*;

pub(super) fn update(id: &str) -> UpdateWorkflowExecutionRequest {
    let input = Input { name: "change".into(), args: payloads(&"x".repeat(10_000)), ..Default::default() };
    UpdateWorkflowExecutionRequest {
        workflow_execution: Some(execution(id)),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Accepted as i32 }),
        request: Some(Request {
            meta: Some(Meta { update_id: "u".into(), ..Default::default() }),
            input: Some(input),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn execution(id: &str) -> WorkflowExecution {
    WorkflowExecution { workflow_id: id.into(), run_id: String::new() }
}

type Asked = BoxFuture<'static, Result<UpdateWorkflowExecutionResponse, ServiceError>>;

/// Asks for an update of the workflow. The shard has it before whatever it is asked next; the caller goes when this is dropped.
pub(super) fn ask(on: &Executions, id: &str) -> Asked {
    let (on, request) = (on.clone(), update(id));
    let mut asked: Asked = Box::pin(async move { on.update(&namespace(), request).await });
    assert!(asked.as_mut().now_or_never().is_none());
    asked
}

/// A workflow whose first task is over, and which waits for nothing but a timer.
async fn begun(on: &Executions, id: &str) {
    on.start_workflow(&namespace(), start_request(id), false).await.unwrap();
    let task = poll(on, "tq").await;
    respond(on, &task, vec![start_timer("t", 3_600 * SECOND)]).await.unwrap();
}

/// How many runs are in memory when there is room for none.
async fn in_memory(on: &Executions) -> usize {
    let mut count = 0;
    for shard in 0..shards() {
        inspect(on, shard, |shard| shard.runs.set_cache_bytes(0)).await.unwrap();
        // Runs leave at the end of a round.
        count += inspect(on, shard, |shard| shard.runs.len()).await.unwrap();
    }
    count
}

pub(super) async fn accept(on: &Executions, task: &PollWorkflowTaskQueueResponse) {
    let acceptance = Acceptance { accepted_request_message_id: "u/request".into(), ..Default::default() };
    let message = ProtocolMessage {
        id: "u/accept".into(),
        protocol_instance_id: "u".into(),
        body: Some(prost_types::Any { type_url: Acceptance::type_url(), value: acceptance.encode_to_vec() }),
        ..Default::default()
    };
    let request = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token.clone(),
        messages: vec![message],
        ..Default::default()
    };
    on.respond_workflow_task_completed(&namespace(), request).await.unwrap();
}

#[tokio::test]
async fn updates_whose_callers_have_gone_keep_no_run_in_memory() {
    let on = memory();
    let forgotten: Vec<String> = (0..20).map(|number| format!("w{number}")).collect();
    for id in forgotten.iter().map(String::as_str).chain(["waited for"]) {
        begun(&on, id).await;
    }
    for id in &forgotten {
        drop(ask(&on, id));
    }
    let asked = ask(&on, "waited for");
    assert_eq!(in_memory(&on).await, 1, "the run whose update is waited for");
    // A worker gets that one; those that were forgotten have left no task.
    let task = poll(&on, "tq").await;
    assert_eq!(asked_of(&task), "waited for");
    accept(&on, &task).await;
    assert_eq!(asked.await.unwrap().stage(), Stage::Accepted);
    // Whoever asks again is heard, and nothing of the first time is in the history.
    let again = ask(&on, "w3");
    let task = poll(&on, "tq").await;
    assert_eq!((asked_of(&task), task.started_event_id), ("w3", 7));
    accept(&on, &task).await;
    assert_eq!(again.await.unwrap().stage(), Stage::Accepted);
}

/// Of which workflow the task brings an update.
fn asked_of(task: &PollWorkflowTaskQueueResponse) -> &str {
    assert_eq!(task.messages.len(), 1);
    &task.workflow_execution.as_ref().unwrap().workflow_id
}

#[tokio::test]
async fn updates_whose_callers_have_gone_wait_for_a_worker_while_there_is_room() {
    let on = memory();
    begun(&on, "w").await;
    drop(ask(&on, "w"));
    let task = poll(&on, "tq").await;
    assert_eq!(task.messages.len(), 1);
}

#[tokio::test]
async fn a_query_that_waited_for_the_task_of_a_forgotten_update_finds_its_worker() {
    let on = memory();
    begun(&on, "w").await;
    drop(ask(&on, "w"));
    let request = QueryWorkflowRequest {
        execution: Some(execution("w")),
        query: Some(WorkflowQuery { query_type: "status".into(), ..Default::default() }),
        ..Default::default()
    };
    let namespace = namespace();
    let mut query = Box::pin(on.query(&namespace, request));
    assert!(query.as_mut().now_or_never().is_none());
    in_memory(&on).await;
    let task = poll(&on, "tq").await;
    assert_eq!(task.query.as_ref().unwrap().query_type, "status");
    answer_fine(&on, &task).await;
    assert_eq!(query.await.unwrap().query_result, payloads("fine"));
}
