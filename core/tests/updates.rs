//! Updates of a whole worker over a server: what their callers hear, and what the history keeps.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![allow(clippy::unnecessary_wraps, reason = "fields of messages are options")]

mod sdk;

use durably_core::Client;
use durably_proto::{
    durably::core::v1::*,
    temporal::api::{
        common::v1::{Payloads, WorkflowType},
        enums::v1::{EventType, UpdateWorkflowExecutionLifecycleStage as Stage},
        taskqueue::v1::TaskQueue,
        update::v1::{Input, Meta, Outcome as UpdateOutcome, Request, UpdateRef, WaitPolicy, outcome::Value},
        workflowservice::v1::{
            execute_multi_operation_request as ask, execute_multi_operation_response as answer, *,
        },
    },
};
use sdk::*;

/// Adds up what updates say, each after an activity, until one says how it ends.
fn account() -> Registry {
    Registry::default()
        .workflow("account", |context| async move {
            let mut total = context.input();
            loop {
                let update = context.update().await;
                let argument = text(update.arguments.first());
                if update.name == "close" {
                    context.succeed(&update, "closed");
                    return Outcome::Completed(total);
                }
                total += &context.activity("echo", &argument).await.unwrap();
                context.succeed(&update, &total);
            }
        })
        .activity("echo", |attempt| async move { Ok(attempt.input()) })
}

fn update_of(
    id: &str,
    update_id: &str,
    name: &str,
    argument: &str,
    stage: Stage,
) -> UpdateWorkflowExecutionRequest {
    let args = Some(Payloads { payloads: vec![payload(argument)] });
    UpdateWorkflowExecutionRequest {
        workflow_execution: execution(id),
        wait_policy: Some(WaitPolicy { lifecycle_stage: stage as i32 }),
        request: Some(Request {
            meta: Some(Meta { update_id: update_id.to_owned(), identity: "test".to_owned() }),
            input: Some(Input { name: name.to_owned(), args, ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The result of an update, or the message of its failure.
fn said(outcome: Option<UpdateOutcome>) -> Result<String, String> {
    match outcome.and_then(|outcome| outcome.value).expect("it has an outcome") {
        Value::Success(result) => Ok(text(result.payloads.first())),
        Value::Failure(failure) => Err(failure.message),
    }
}

async fn update(
    client: &Client,
    id: &str,
    update_id: &str,
    name: &str,
    argument: &str,
) -> Result<String, String> {
    let request = update_of(id, update_id, name, argument, Stage::Completed);
    let response: UpdateWorkflowExecutionResponse =
        call(client, "UpdateWorkflowExecution", &request).await.expect("it is answered");
    said(response.outcome)
}

async fn history(client: &Client, id: &str) -> Vec<EventType> {
    let request = GetWorkflowExecutionHistoryRequest { execution: execution(id), ..Default::default() };
    let response: GetWorkflowExecutionHistoryResponse =
        call(client, "GetWorkflowExecutionHistory", &request).await.expect("it has one");
    response
        .history
        .unwrap()
        .events
        .iter()
        .map(durably_proto::temporal::api::history::v1::HistoryEvent::event_type)
        .collect()
}

async fn updates(no_workflow_cache: bool) {
    let client = connect().await;
    let id = unique("account");
    let options = WorkerOptions {
        task_queue: id.clone(),
        workflows: true,
        activities: true,
        no_workflow_cache,
        ..Default::default()
    };
    let sdk = Sdk::start(&client, options, account());
    start(&client, "account", &id, "a").await;
    assert_eq!(update(&client, &id, "u1", "add", "b").await, Ok("ab".to_owned()));
    let before = history(&client, &id).await;
    assert_eq!(update(&client, &id, "u2", "add", "no").await, Err("it says no".to_owned()));
    assert_eq!(history(&client, &id).await, before, "a rejected one leaves no trace");
    assert_eq!(update(&client, &id, "u2", "add", "c").await, Ok("abc".to_owned()), "its id is free again");
    assert_eq!(
        update(&client, &id, "u1", "add", "other").await,
        Ok("ab".to_owned()),
        "one that is known is not asked for again"
    );

    let request = update_of(&id, "u3", "add", "d", Stage::Accepted);
    let accepted: UpdateWorkflowExecutionResponse =
        call(&client, "UpdateWorkflowExecution", &request).await.unwrap();
    assert!(accepted.stage() >= Stage::Accepted);
    let update_ref = UpdateRef { workflow_execution: execution(&id), update_id: "u3".to_owned() };
    let poll = PollWorkflowExecutionUpdateRequest {
        update_ref: Some(update_ref),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed as i32 }),
        ..Default::default()
    };
    let polled: PollWorkflowExecutionUpdateResponse =
        call(&client, "PollWorkflowExecutionUpdate", &poll).await.unwrap();
    assert_eq!(said(polled.outcome), Ok("abcd".to_owned()));

    let several = (0..5).map(|n| {
        let (client, id) = (client.clone(), id.clone());
        tokio::spawn(async move { update(&client, &id, &format!("many-{n}"), "add", ".").await })
    });
    for one in several.collect::<Vec<_>>() {
        assert!(one.await.unwrap().unwrap().starts_with("abcd."));
    }
    assert_eq!(update(&client, &id, "last", "close", "").await, Ok("closed".to_owned()));
    assert_eq!(result(&client, &id).await, "abcd.....");
    let events = history(&client, &id).await;
    let accepted = events.iter().filter(|event| **event == EventType::WorkflowExecutionUpdateAccepted);
    assert_eq!(accepted.count(), 9);
    assert!(!events.contains(&EventType::WorkflowTaskFailed), "{events:?}");
    assert_eq!(sdk.shut_down().await.fatal, None);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_a_cached_run_are_answered() {
    updates(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_a_run_that_replays_each_task_are_answered() {
    updates(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_an_update_starts_once() {
    let client = connect().await;
    let id = unique("account");
    let options =
        WorkerOptions { task_queue: id.clone(), workflows: true, activities: true, ..Default::default() };
    let sdk = Sdk::start(&client, options, account());
    let start = StartWorkflowExecutionRequest {
        workflow_id: id.clone(),
        workflow_type: Some(WorkflowType { name: "account".to_owned() }),
        task_queue: Some(TaskQueue { name: id.clone(), ..Default::default() }),
        input: Some(Payloads { payloads: vec![payload("a")] }),
        ..Default::default()
    };
    let parts = [
        ask::operation::Operation::StartWorkflow(start),
        ask::operation::Operation::UpdateWorkflow(update_of(&id, "u1", "add", "b", Stage::Completed)),
    ];
    let operations = parts.map(|part| ask::Operation { operation: Some(part) }).to_vec();
    let request = ExecuteMultiOperationRequest { operations, ..Default::default() };
    let response: ExecuteMultiOperationResponse =
        call(&client, "ExecuteMultiOperation", &request).await.expect("it is answered");
    let mut responses = response.responses.into_iter().filter_map(|part| part.response);
    let Some(answer::response::Response::StartWorkflow(started)) = responses.next() else {
        panic!("no start")
    };
    assert!(!started.run_id.is_empty());
    let Some(answer::response::Response::UpdateWorkflow(updated)) = responses.next() else {
        panic!("no update")
    };
    assert_eq!(said(updated.outcome), Ok("ab".to_owned()));
    assert_eq!(update(&client, &id, "last", "close", "").await, Ok("closed".to_owned()));
    assert_eq!(result(&client, &id).await, "ab");
    assert_eq!(sdk.shut_down().await.fatal, None);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_says_too_much_is_told_with_its_size() {
    let embedded = Some(EmbeddedOptions { fail_fast: true, ..Default::default() });
    let options = ConnectOptions { target: "embedded:".to_owned(), embedded, ..Default::default() };
    let client = Client::connect(options).await.unwrap();
    let registry = Registry::default().workflow("megaphone", |context| async move {
        loop {
            let update = context.update().await;
            match update.name.as_str() {
                "close" => return Outcome::Completed(String::new()),
                "count" => context.succeed(&update, &text(update.arguments.first()).len().to_string()),
                _ => context.succeed(&update, &"x".repeat(3 << 20)),
            }
        }
    });
    let options = WorkerOptions { task_queue: "w".to_owned(), workflows: true, ..Default::default() };
    let sdk = Sdk::start(&client, options, registry);
    start(&client, "megaphone", "w", "").await;
    // What is asked may be as large as the limit, though what is said of it would not be within it.
    let large = "x".repeat((2 << 20) - 60);
    assert_eq!(update(&client, "w", "u1", "count", &large).await, Ok(large.len().to_string()));
    let request = update_of("w", "u2", "shout", "", Stage::Completed);
    let told: Result<UpdateWorkflowExecutionResponse, _> =
        call(&client, "UpdateWorkflowExecution", &request).await;
    let (_, told) = told.unwrap_err();
    assert!(told.contains("workflow `megaphone`: the result of update `u2` takes 3145"), "{told}");
    assert!(told.contains("bytes; at most 2097152 are allowed"), "{told}");
    sdk.shut_down().await;
    client.close().await;
}
