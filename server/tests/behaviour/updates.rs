//! Updates, as callers and a worker that is played by hand see them.

use durably_proto::temporal::api::{
    enums::v1::{UpdateWorkflowExecutionLifecycleStage as Stage, WorkflowIdConflictPolicy},
    errordetails::v1::MultiOperationExecutionFailure,
    protocol::v1::Message,
    workflowservice::v1::{
        execute_multi_operation_request::{Operation, operation},
        execute_multi_operation_response::response,
        *,
    },
};
use prost::Message as _;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::support::*;

type Asked = JoinHandle<Result<UpdateWorkflowExecutionResponse, Status>>;

fn ask(harness: &Harness, request: UpdateWorkflowExecutionRequest) -> Asked {
    let mut client = harness.client();
    tokio::spawn(async move { Ok(client.update_workflow_execution(request).await?.into_inner()) })
}

async fn answer(harness: &Harness, task: &PollWorkflowTaskQueueResponse, messages: Vec<Message>) {
    let completed = completed_with(NAMESPACE, task, messages);
    harness.client().respond_workflow_task_completed(completed).await.unwrap();
}

/// Waits until the server has the update.
async fn admitted(harness: &Harness, workflow_id: &str, update_id: &str) {
    let request =
        PollWorkflowExecutionUpdateRequest { wait_policy: None, ..poll_update(workflow_id, update_id) };
    while let Err(error) = harness.client().poll_workflow_execution_update(request.clone()).await {
        assert_eq!(error.code(), Code::NotFound, "{error}");
    }
}

/// A workflow whose first task is over.
async fn begun(harness: &Harness, workflow_id: &str) -> String {
    let run_id = harness.begin(workflow_id).await;
    harness.advance(Vec::new()).await;
    run_id
}

#[tokio::test]
async fn an_update_is_waited_for_as_far_as_its_caller_wants() {
    let harness = Harness::start().await;
    let run_id = begun(&harness, "w").await;
    let to_the_end = ask(&harness, update("w", "u"));
    let task = harness.workflow_task().await;
    let until_accepted = ask(
        &harness,
        UpdateWorkflowExecutionRequest { wait_policy: wait_for(Stage::Accepted), ..update("w", "u") },
    );
    answer(&harness, &task, vec![accepted(&task, 0)]).await;
    let came = until_accepted.await.unwrap().unwrap();
    assert_eq!((came.stage(), came.outcome), (Stage::Accepted, None));
    assert_eq!(came.update_ref.unwrap().workflow_execution, Some(execution("w", &run_id)));

    harness.signal("w", "go on", "").await;
    let task = harness.workflow_task().await;
    assert!(task.messages.is_empty(), "an accepted update goes to no worker again");
    answer(&harness, &task, vec![response("u", "changed")]).await;
    let came = to_the_end.await.unwrap().unwrap();
    assert_eq!((came.stage(), outcome_of(came.outcome)), (Stage::Completed, "changed".into()));

    // Later, by its id, before and after a restart.
    for _ in 0..2 {
        let mut client = harness.client();
        let polled = client.poll_workflow_execution_update(poll_update("w", "u")).await.unwrap().into_inner();
        assert_eq!(outcome_of(polled.outcome), "changed");
        let again = client.update_workflow_execution(update("w", "u")).await.unwrap().into_inner();
        assert_eq!(outcome_of(again.outcome), "changed");
    }
    let harness = harness.restart().await;
    let mut client = harness.client();
    let polled = client.poll_workflow_execution_update(poll_update("w", "u")).await.unwrap().into_inner();
    assert_eq!((polled.stage(), outcome_of(polled.outcome)), (Stage::Completed, "changed".into()));
    let unknown = client.poll_workflow_execution_update(poll_update("w", "other")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
}

#[tokio::test]
async fn rejected_updates_leave_the_history_as_it_was() {
    let harness = Harness::start().await;
    begun(&harness, "w").await;
    let before = harness.events("w").await;
    for _ in 0..3 {
        let asked = ask(&harness, update("w", "u"));
        let task = harness.workflow_task().await;
        answer(&harness, &task, vec![rejected(&task, 0, "not now")]).await;
        assert_eq!(outcome_of(asked.await.unwrap().unwrap().outcome), "not now");
    }
    assert_eq!(harness.events("w").await, before);
    // What was rejected is not known any more: it can be asked for again, and be accepted.
    let asked = ask(&harness, update("w", "u"));
    let task = harness.workflow_task().await;
    answer(&harness, &task, vec![accepted(&task, 0), responded(&task, 0, "now")]).await;
    assert_eq!(outcome_of(asked.await.unwrap().unwrap().outcome), "now");
}

#[tokio::test]
async fn a_run_that_ends_tells_those_who_wait_for_its_updates() {
    let harness = Harness::start().await;
    begun(&harness, "w").await;
    let accepted_one = ask(&harness, update("w", "accepted"));
    let task = harness.workflow_task().await;
    answer(&harness, &task, vec![accepted(&task, 0)]).await;
    let waiting = ask(&harness, update("w", "waiting"));
    admitted(&harness, "w", "waiting").await;
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("w", "")),
        ..Default::default()
    };
    harness.client().terminate_workflow_execution(terminate).await.unwrap();
    let failed = outcome_of(accepted_one.await.unwrap().unwrap().outcome);
    assert!(failed.contains("the Workflow completed before the Update completed"), "{failed}");
    for refused in [waiting.await.unwrap(), ask(&harness, update("w", "late")).await.unwrap()] {
        assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn an_update_finds_the_run_that_follows() {
    let harness = Harness::start().await;
    begun(&harness, "w").await;
    harness.signal("w", "go", "").await;
    let task = harness.workflow_task().await;
    let asked = ask(&harness, update("w", "u"));
    // The workflow has not seen the update, and must think again. If it then ignores it, the next run is asked.
    admitted(&harness, "w", "u").await;
    let refused = harness.try_complete(&task, vec![continue_as_new("next")]).await.unwrap_err();
    assert!(refused.message().contains("UnhandledCommand"), "{refused}");
    let task = harness.workflow_task().await;
    assert_eq!(task.messages.len(), 1);
    harness.complete(&task, vec![continue_as_new("next")]).await;
    let first = harness.workflow_task().await;
    assert_eq!(first.messages.len(), 1, "the next run is asked");
    answer(&harness, &first, vec![accepted(&first, 0), responded(&first, 0, "by the next run")]).await;
    assert_eq!(outcome_of(asked.await.unwrap().unwrap().outcome), "by the next run");
}

#[tokio::test]
async fn as_many_updates_may_be_under_way_as_the_api_says() {
    let harness = Harness::start().await;
    harness.begin("w").await;
    let mut asked = Vec::new();
    for number in 0..10 {
        asked.push(ask(&harness, update("w", &number.to_string())));
        admitted(&harness, "w", &number.to_string()).await;
    }
    let full = ask(&harness, update("w", "too many")).await.unwrap().unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "{full}");
    let task = harness.workflow_task().await;
    let replies = (0..10).flat_map(|index| [accepted(&task, index), responded(&task, index, "ok")]);
    answer(&harness, &task, replies.collect()).await;
    for asked in asked {
        assert_eq!(outcome_of(asked.await.unwrap().unwrap().outcome), "ok");
    }
}

fn start_and_update(
    workflow_id: &str,
    update_id: &str,
    policy: WorkflowIdConflictPolicy,
) -> ExecuteMultiOperationRequest {
    let start =
        StartWorkflowExecutionRequest { workflow_id_conflict_policy: policy as i32, ..start(workflow_id) };
    ExecuteMultiOperationRequest {
        namespace: NAMESPACE.into(),
        operations: vec![
            Operation { operation: Some(operation::Operation::StartWorkflow(start)) },
            Operation {
                operation: Some(operation::Operation::UpdateWorkflow(update(workflow_id, update_id))),
            },
        ],
        ..Default::default()
    }
}

fn both(
    harness: &Harness,
    request: ExecuteMultiOperationRequest,
) -> JoinHandle<Result<(StartWorkflowExecutionResponse, UpdateWorkflowExecutionResponse), Status>> {
    let mut client = harness.client();
    tokio::spawn(async move {
        let answered = client.execute_multi_operation(request).await?.into_inner();
        let mut responses = answered.responses.into_iter().filter_map(|response| response.response);
        match (responses.next(), responses.next()) {
            (
                Some(response::Response::StartWorkflow(start)),
                Some(response::Response::UpdateWorkflow(update)),
            ) => Ok((start, update)),
            other => panic!("{other:?}"),
        }
    })
}

/// The code of each operation.
fn operations(error: &Status) -> Vec<Code> {
    use durably_proto::google::rpc;
    let status = rpc::Status::decode(error.details()).unwrap();
    let failure = MultiOperationExecutionFailure::decode(status.details[0].value.as_slice()).unwrap();
    failure.statuses.iter().map(|status| Code::from_i32(status.code)).collect()
}

#[tokio::test]
async fn a_workflow_is_started_for_its_update_or_used_as_the_policy_says() {
    use WorkflowIdConflictPolicy::{Fail, TerminateExisting, UseExisting};
    let harness = Harness::start().await;
    let asked = both(&harness, start_and_update("w", "u", UseExisting));
    let task = harness.workflow_task().await;
    answer(&harness, &task, vec![accepted(&task, 0), responded(&task, 0, "first")]).await;
    let (start, updated) = asked.await.unwrap().unwrap();
    assert!(start.started);
    assert_eq!(outcome_of(updated.outcome), "first");

    // The same update again, whatever the policy; another one by the policy.
    let (again, updated) = both(&harness, start_and_update("w", "u", Fail)).await.unwrap().unwrap();
    assert_eq!((again.started, again.run_id.as_str()), (false, start.run_id.as_str()));
    assert_eq!(outcome_of(updated.outcome), "first");
    let refused = both(&harness, start_and_update("w", "v", Fail)).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    assert_eq!(operations(&refused), [Code::AlreadyExists, Code::Aborted]);
    let asked = both(&harness, start_and_update("w", "v", UseExisting));
    let task = harness.workflow_task().await;
    answer(&harness, &task, vec![accepted(&task, 0), responded(&task, 0, "second")]).await;
    let (used, updated) = asked.await.unwrap().unwrap();
    assert_eq!((used.started, used.run_id.as_str()), (false, start.run_id.as_str()));
    assert_eq!(outcome_of(updated.outcome), "second");
    let asked = both(&harness, start_and_update("w", "u", TerminateExisting));
    // It has that update already, and needs no other run for it.
    assert_eq!(outcome_of(asked.await.unwrap().unwrap().1.outcome), "first");
    let asked = both(&harness, start_and_update("w", "x", TerminateExisting));
    let task = harness.workflow_task().await;
    answer(&harness, &task, vec![rejected(&task, 0, "no")]).await;
    let (new, updated) = asked.await.unwrap().unwrap();
    assert!(new.started && new.run_id != start.run_id);
    assert_eq!(outcome_of(updated.outcome), "no");

    let mut wrong = start_and_update("w", "y", UseExisting);
    wrong.operations.reverse();
    let refused = both(&harness, wrong).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}

fn started_by(request_id: &str, mut request: ExecuteMultiOperationRequest) -> ExecuteMultiOperationRequest {
    if let Some(operation::Operation::StartWorkflow(start)) = &mut request.operations[0].operation {
        start.request_id = request_id.into();
    }
    request
}

#[tokio::test]
async fn a_repeated_start_for_an_update_joins_what_it_started() {
    use WorkflowIdConflictPolicy::{Fail, TerminateExisting};
    let harness = Harness::start().await;
    let request = started_by("once", start_and_update("w", "u", Fail));
    let asked = both(&harness, request.clone());
    admitted(&harness, "w", "u").await;
    let again = both(&harness, request);
    let task = harness.workflow_task().await;
    assert_eq!(task.messages.len(), 1);
    // The workflow ignores the update, and goes on in another run: that is asked.
    harness.complete(&task, vec![continue_as_new("next")]).await;
    let next = harness.workflow_task().await;
    answer(&harness, &next, vec![accepted(&next, 0), responded(&next, 0, "by the next run")]).await;
    let first_run = task.workflow_execution.unwrap().run_id;
    for asked in [asked, again] {
        let (start, updated) = asked.await.unwrap().unwrap();
        assert!(start.started);
        assert_eq!(start.run_id, first_run);
        assert_eq!(updated.update_ref.unwrap().workflow_execution, next.workflow_execution);
        assert_eq!(outcome_of(updated.outcome), "by the next run");
    }

    // Whoever has heard nothing of all that repeats the start, which must not end what it has started.
    let late = both(&harness, started_by("once", start_and_update("w", "v", TerminateExisting)));
    let task = harness.workflow_task().await;
    assert_eq!(task.workflow_execution, next.workflow_execution);
    answer(&harness, &task, vec![accepted(&task, 0), responded(&task, 0, "late")]).await;
    let (start, updated) = late.await.unwrap().unwrap();
    assert!(start.started);
    assert_eq!(outcome_of(updated.outcome), "late");
    harness.signal("w", "end", "").await;
    harness.advance(vec![complete_workflow("done")]).await;
    let over = both(&harness, started_by("once", start_and_update("w", "x", TerminateExisting)));
    let over = over.await.unwrap().unwrap_err();
    assert_eq!((over.code(), operations(&over)), (Code::NotFound, vec![Code::Ok, Code::NotFound]));
}

/// A history that takes more than one answer ends with the task's own events, though they are not written yet.
#[tokio::test]
async fn a_long_history_is_whole_for_a_worker_that_begins_anew() {
    let harness = Harness::start().await;
    harness.begin("w").await;
    for number in 0..3 {
        harness.signal("w", &number.to_string(), &"x".repeat(1_500_000)).await;
    }
    harness.advance(Vec::new()).await;
    // Started and scheduled, three signals, the task's last two events; then those of the task for the update.
    let asked = ask(&harness, update("w", "u"));
    assert_eq!(harness.ids_of_task("w").await, (1..=9).collect::<Vec<_>>());
    let terminate = TerminateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution("w", "")),
        ..Default::default()
    };
    harness.client().terminate_workflow_execution(terminate).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::NotFound);

    // An attempt after the first is no other.
    harness.begin("again").await;
    for number in 0..3 {
        harness.signal("again", &number.to_string(), &"x".repeat(1_500_000)).await;
    }
    let task = harness.workflow_task().await;
    let failed = RespondWorkflowTaskFailedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token,
        ..Default::default()
    };
    harness.client().respond_workflow_task_failed(failed).await.unwrap();
    assert_eq!(harness.ids_of_task("again").await, (1..=9).collect::<Vec<_>>());
}

/// The answer to a task brings back what was asked: as much goes with one task as an answer can hold.
#[tokio::test]
async fn large_updates_go_with_several_tasks() {
    let harness = Harness::start().await;
    begun(&harness, "w").await;
    let mut asked = Vec::new();
    for number in 0..4 {
        let mut request = update("w", &number.to_string());
        request.request.as_mut().unwrap().input.as_mut().unwrap().args = Some(text(&"x".repeat(1_900_000)));
        asked.push(ask(&harness, request));
        admitted(&harness, "w", &number.to_string()).await;
    }
    for _ in 0..4 {
        let task = harness.workflow_task().await;
        assert_eq!(task.messages.len(), 1);
        answer(&harness, &task, vec![accepted(&task, 0), responded(&task, 0, "ok")]).await;
    }
    for asked in asked {
        assert_eq!(outcome_of(asked.await.unwrap().unwrap().outcome), "ok");
    }
}
