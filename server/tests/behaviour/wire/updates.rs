//! Updates: requests for them, what workers answer, and starts that go with them.

use durably_proto::temporal::api::{
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    update::v1::UpdateRef,
    workflowservice::v1::{
        execute_multi_operation_request::{Operation, operation},
        *,
    },
};
use tonic::Status;

use super::{Row, long, rows, with};
use crate::{support::*, wire::world::World};

const UNKNOWN_RUN: &str = "11111111-2222-4333-8444-555555555555";

async fn ask(w: &World, change: impl FnOnce(&mut UpdateWorkflowExecutionRequest)) -> Result<(), Status> {
    w.client().update_workflow_execution(with(update(&w.id, "u"), change)).await.map(drop)
}

/// The request to a workflow that is there and has no worker: its answer comes from the checks, or never.
async fn checked(w: World, change: impl FnOnce(&mut UpdateWorkflowExecutionRequest)) -> Result<(), Status> {
    w.begin().await;
    ask(&w, change).await
}

async fn poll(w: &World, change: impl FnOnce(&mut PollWorkflowExecutionUpdateRequest)) -> Result<(), Status> {
    w.client().poll_workflow_execution_update(with(poll_update(&w.id, "u"), change)).await.map(drop)
}

/// An update with the first task, which is answered with these messages.
async fn replied(
    w: World,
    messages: impl FnOnce(
        &PollWorkflowTaskQueueResponse,
    ) -> Vec<durably_proto::temporal::api::protocol::v1::Message>,
) -> Result<(), Status> {
    w.begin().await;
    let other = w.clone();
    let asked = tokio::spawn(async move { ask(&other, |_| ()).await });
    let any = with(poll_update(&w.id, "u"), |r| r.wait_policy = None);
    while w.client().poll_workflow_execution_update(any.clone()).await.is_err() {}
    let task = w.task().await;
    let answer =
        w.client().respond_workflow_task_completed(completed_with(NAMESPACE, &task, messages(&task))).await;
    w.terminate().await.unwrap();
    let _ = asked.await;
    answer.map(drop)
}

async fn both(
    w: &World,
    change: impl FnOnce(&mut StartWorkflowExecutionRequest, &mut UpdateWorkflowExecutionRequest),
) -> Result<(), Status> {
    let (mut start, mut update) = (w.start(|_| ()), update(&w.id, "u"));
    change(&mut start, &mut update);
    let operations = vec![
        Operation { operation: Some(operation::Operation::StartWorkflow(start)) },
        Operation { operation: Some(operation::Operation::UpdateWorkflow(update)) },
    ];
    multi(w, operations).await
}

async fn multi(w: &World, operations: Vec<Operation>) -> Result<(), Status> {
    let request =
        ExecuteMultiOperationRequest { namespace: NAMESPACE.into(), operations, ..Default::default() };
    w.client().execute_multi_operation(request).await.map(drop)
}

#[rustfmt::skip]
pub const ROWS: &[Row] = rows![
    "update: no execution", InvalidArgument: |w| checked(w, |r| r.workflow_execution = None);
    "update: workflow id unknown", NotFound: |w| async move { ask(&w, |_| ()).await };
    "update: run id no UUID", InvalidArgument: |w| checked(w, |r| r.workflow_execution = Some(execution("w", "no-uuid")));
    "update: run id unknown", NotFound:
        |w| async move { let id = w.id.clone(); checked(w, move |r| r.workflow_execution = Some(execution(&id, UNKNOWN_RUN))).await };
    "update: first run id of another chain", NotFound: |w| checked(w, |r| r.first_execution_run_id = UNKNOWN_RUN.into());
    "update: no request", InvalidArgument: |w| checked(w, |r| r.request = None);
    "update: no meta", InvalidArgument: |w| checked(w, |r| r.request.as_mut().unwrap().meta = None);
    "update: id too long", InvalidArgument: |w| checked(w, |r| r.request.as_mut().unwrap().meta.as_mut().unwrap().update_id = long());
    "update: no input", InvalidArgument: |w| checked(w, |r| r.request.as_mut().unwrap().input = None);
    "update: no name", InvalidArgument: |w| checked(w, |r| r.request.as_mut().unwrap().input.as_mut().unwrap().name = String::new());
    "update: waits for ADMITTED", PermissionDenied: |w| checked(w, |r| r.wait_policy = wait_for(Stage::Admitted));
    "update: of a workflow that has ended", NotFound:
        |w| async move { w.begin().await; w.terminate().await.unwrap(); ask(&w, |_| ()).await };
    "poll update: no reference", InvalidArgument: |w| async move { w.begin().await; poll(&w, |r| r.update_ref = None).await };
    "poll update: no execution", InvalidArgument:
        |w| async move { w.begin().await; poll(&w, |r| r.update_ref = Some(UpdateRef { update_id: "u".into(), ..Default::default() })).await };
    "poll update: no id", NotFound:
        |w| async move { w.begin().await; poll(&w, |r| r.update_ref.as_mut().unwrap().update_id = String::new()).await };
    "poll update: id unknown", NotFound: |w| async move { w.begin().await; poll(&w, |_| ()).await };
    "poll update: workflow unknown", NotFound: |w| async move { poll(&w, |_| ()).await };
    "poll update: id unknown, of a workflow that has ended", NotFound:
        |w| async move { w.begin().await; w.terminate().await.unwrap(); poll(&w, |_| ()).await };
    "update reply: accepted and completed", Ok: |w| replied(w, |task| vec![accepted(task, 0), responded(task, 0, "ok")]);
    "update reply: accepted twice", InvalidArgument: |w| replied(w, |task| vec![accepted(task, 0), accepted(task, 0)]);
    "update reply: completed before accepted", InvalidArgument: |w| replied(w, |task| vec![responded(task, 0, "ok")]);
    "update reply: completed twice", InvalidArgument:
        |w| replied(w, |task| vec![accepted(task, 0), responded(task, 0, "ok"), with(responded(task, 0, "ok"), |m| m.id = "again".into())]);
    "update reply: of an update that is unknown", InvalidArgument: |w| replied(w, |_| vec![response("unknown", "ok")]);
    "update reply: no body", InvalidArgument: |w| replied(w, |task| vec![with(accepted(task, 0), |m| m.body = None)]);
    "update reply: not a message of updates", InvalidArgument:
        |w| replied(w, |task| vec![with(accepted(task, 0), |m| m.body.as_mut().unwrap().type_url = "type.googleapis.com/temporal.api.update.v1.Meta".into())]);
    "update reply: command without its message", InvalidArgument:
        |w| async move {
            w.begin().await;
            let task = w.task().await;
            let mut completed = completed_with(NAMESPACE, &task, vec![response("u", "ok")]);
            completed.messages.clear();
            w.client().respond_workflow_task_completed(completed).await
        };
    "update with start: no operation", InvalidArgument: |w| async move { multi(&w, Vec::new()).await };
    "update with start: two starts", InvalidArgument:
        |w| async move {
            let start = || Operation { operation: Some(operation::Operation::StartWorkflow(w.start(|_| ()))) };
            multi(&w, vec![start(), start()]).await
        };
    "update with start: other workflow ids", InvalidArgument:
        |w| async move { both(&w, |_, update| update.workflow_execution = Some(execution("another", ""))).await };
    "update with start: a run id", InvalidArgument:
        |w| async move { both(&w, |start, update| update.workflow_execution = Some(execution(&start.workflow_id, UNKNOWN_RUN))).await };
    "update with start: a first run id", InvalidArgument:
        |w| async move { both(&w, |_, update| update.first_execution_run_id = UNKNOWN_RUN.into()).await };
    "update with start: cron", InvalidArgument: |w| async move { both(&w, |start, _| start.cron_schedule = "* * * * *".into()).await };
    "update with start: eager", InvalidArgument: |w| async move { both(&w, |start, _| start.request_eager_execution = true).await };
    "update with start: start delay", InvalidArgument: |w| async move { both(&w, |start, _| start.workflow_start_delay = millis(1_000)).await };
    "update with start: no workflow type", InvalidArgument: |w| async move { both(&w, |start, _| start.workflow_type = None).await };
    "update with start: no update name", InvalidArgument:
        |w| async move { both(&w, |_, update| update.request.as_mut().unwrap().input.as_mut().unwrap().name = String::new()).await };
    "update with start: the workflow is there", AlreadyExists: |w| async move { w.begin().await; both(&w, |_, _| ()).await };
];
