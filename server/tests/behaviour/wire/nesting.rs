//! Messages that nest deeply, and wide ones: every message of the API in which a failure can be, which is the one that
//! can hold itself.

use bytes::Bytes;
use durably_proto::temporal::api::{
    command::v1::{
        Command, ContinueAsNewWorkflowExecutionCommandAttributes as ContinueAsNew,
        FailWorkflowExecutionCommandAttributes as Fail, RecordMarkerCommandAttributes as Marker,
        command::Attributes as A,
    },
    common::v1::{Header, Memo, Payload, Payloads},
    enums::v1::CommandType as Kind,
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    query::v1::WorkflowQueryResult,
    workflowservice::v1::*,
};
use prost::Message;
use tonic::Status;

use super::{Row, rows, with};
use crate::{support::*, wire::world::World};

const SERVICE: &str = "/temporal.api.workflowservice.v1.WorkflowService";

/// The bytes of a failure with so many causes within each other, made from the inside out.
fn chain(depth: usize) -> Bytes {
    let mut backwards: Vec<u8> = Vec::new();
    for _ in 1..depth {
        let mut head = vec![0x22];
        prost::encoding::encode_varint(backwards.len() as u64, &mut head);
        head.reverse();
        backwards.extend(head);
    }
    backwards.reverse();
    // The outermost is one of an application, without which the real server takes none from an activity.
    backwards.extend([0x2a, 0]);
    backwards.into()
}

/// Sends the message with the failure in the field of this number, which no message of ours could hold.
async fn send(
    world: &World,
    rpc: &str,
    message: impl Message,
    field: u32,
    failure: Bytes,
) -> Result<(), Status> {
    let mut encoded = message.encode_to_vec();
    prost::encoding::bytes::encode(field, &failure, &mut encoded);
    world.raw(&format!("{SERVICE}/{rpc}"), encoded.into()).await.map(drop)
}

async fn fail_activity(world: World, failure: Bytes) -> Result<(), Status> {
    let request = RespondActivityTaskFailedRequest {
        namespace: NAMESPACE.into(),
        task_token: world.activity().await.task_token,
        ..Default::default()
    };
    let answer = send(&world, "RespondActivityTaskFailed", request, 2, failure).await;
    if answer.is_ok() {
        readable(&world).await;
    }
    answer
}

async fn fail_activity_by_id(world: World, failure: Bytes) -> Result<(), Status> {
    world.activity().await;
    let request = RespondActivityTaskFailedByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: world.id.clone(),
        activity_id: "a".into(),
        ..Default::default()
    };
    let answer = send(&world, "RespondActivityTaskFailedById", request, 5, failure).await;
    if answer.is_ok() {
        readable(&world).await;
    }
    answer
}

/// What was stored can be read again, and the run goes on.
async fn readable(world: &World) {
    let task = world.task().await;
    world.complete(&task.task_token, vec![complete_workflow("done")]).await.unwrap();
    assert!(!world.events().await.is_empty());
}

async fn fail_task(world: World, failure: Bytes) -> Result<(), Status> {
    world.begin().await;
    let request = RespondWorkflowTaskFailedRequest {
        namespace: NAMESPACE.into(),
        task_token: world.task().await.task_token,
        cause: 1,
        ..Default::default()
    };
    send(&world, "RespondWorkflowTaskFailed", request, 3, failure).await
}

async fn start_with(world: World, failure: Bytes) -> Result<(), Status> {
    send(&world, "StartWorkflowExecution", world.start(|_| ()), 18, failure).await
}

async fn answer_query(world: World, failure: Bytes) -> Result<(), Status> {
    let token = world.query_task().await.task_token;
    let request = with(World::query_answer(&token), |r| r.completed_type = 2);
    send(&world, "RespondQueryTaskCompleted", request, 7, failure).await
}

/// A command with the failure in the field of its attributes.
async fn command(
    world: World,
    command_type: Kind,
    attributes: A,
    field: u32,
    failure: Bytes,
) -> Result<(), Status> {
    world.begin().await;
    let task = world.task().await;
    let command =
        Command { command_type: command_type as i32, attributes: Some(attributes), ..Default::default() };
    // A field that comes twice is merged, on every level.
    let mut inner = Vec::new();
    prost::encoding::bytes::encode(field, &failure, &mut inner);
    let mut encoded = command.encode_to_vec();
    let tag = match command_type {
        Kind::FailWorkflowExecution => 5,
        Kind::RecordMarker => 10,
        _ => 11,
    };
    prost::encoding::bytes::encode(tag, &inner, &mut encoded);
    let request = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token,
        ..Default::default()
    };
    send(&world, "RespondWorkflowTaskCompleted", request, 2, encoded.into()).await
}

async fn fail(world: World, depth: usize) -> Result<(), Status> {
    let attributes = A::FailWorkflowExecutionCommandAttributes(Fail::default());
    command(world, Kind::FailWorkflowExecution, attributes, 1, chain(depth)).await
}

async fn mark(world: World, depth: usize) -> Result<(), Status> {
    let attributes =
        A::RecordMarkerCommandAttributes(Marker { marker_name: "m".into(), ..Default::default() });
    command(world, Kind::RecordMarker, attributes, 4, chain(depth)).await
}

async fn go_on(world: World, depth: usize) -> Result<(), Status> {
    let attributes = A::ContinueAsNewWorkflowExecutionCommandAttributes(ContinueAsNew::default());
    command(world, Kind::ContinueAsNewWorkflowExecution, attributes, 9, chain(depth)).await
}

/// The answer to a query that came with a task, with a failure.
async fn query_result(world: World, depth: usize) -> Result<(), Status> {
    world.begin().await;
    let task = world.task().await;
    let result = WorkflowQueryResult { result_type: 2, error_message: "no".into(), ..Default::default() };
    let mut encoded = result.encode_to_vec();
    prost::encoding::bytes::encode(4, &chain(depth), &mut encoded);
    let mut entry = Vec::new();
    prost::encoding::string::encode(1, &"q".to_owned(), &mut entry);
    prost::encoding::bytes::encode(2, &encoded, &mut entry);
    let request = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token,
        ..Default::default()
    };
    send(&world, "RespondWorkflowTaskCompleted", request, 8, entry.into()).await
}

/// A failure whose details are wide.
fn wide() -> Bytes {
    let payloads = vec![Payload::default(); 20_000];
    let info = ApplicationFailureInfo { details: Some(Payloads { payloads }), ..Default::default() };
    let failure =
        Failure { failure_info: Some(FailureInfo::ApplicationFailureInfo(info)), ..Default::default() };
    failure.encode_to_vec().into()
}

fn many(count: usize) -> std::collections::BTreeMap<String, Payload> {
    (0..count).map(|number| (number.to_string(), Payload::default())).collect()
}

pub const ROWS: &[Row] = rows! {
    "deep: activity fails with 100 causes", Ok: |w| fail_activity(w, chain(100));
    "deep: activity fails with 1000 causes", Ok: |w| fail_activity(w, chain(1_000));
    "deep: activity fails with 9000 causes", Ok: |w| fail_activity(w, chain(9_000));
    "deep: activity fails with 20000 causes", Internal: |w| fail_activity(w, chain(20_000));
    "deep: activity fails by id with 100 causes", Ok: |w| fail_activity_by_id(w, chain(100));
    "deep: activity fails by id with 20000 causes", Internal: |w| fail_activity_by_id(w, chain(20_000));
    "deep: task fails with 100 causes", Ok: |w| fail_task(w, chain(100));
    "deep: task fails with 20000 causes", Internal: |w| fail_task(w, chain(20_000));
    "deep: start with 100 causes", Ok: |w| start_with(w, chain(100));
    "deep: start with 20000 causes", Internal: |w| start_with(w, chain(20_000));
    "deep: query answered with 100 causes", Ok: |w| answer_query(w, chain(100));
    "deep: query answered with 20000 causes", Internal: |w| answer_query(w, chain(20_000));
    "deep: workflow fails with 100 causes", Ok: |w| fail(w, 100);
    "deep: workflow fails with 20000 causes", Internal: |w| fail(w, 20_000);
    "deep: marker with 100 causes", Ok: |w| mark(w, 100);
    "deep: marker with 20000 causes", Internal: |w| mark(w, 20_000);
    "deep: continue with 100 causes", Ok: |w| go_on(w, 100);
    "deep: continue with 20000 causes", Internal: |w| go_on(w, 20_000);
    "deep: query result with 100 causes", Ok: |w| query_result(w, 100);
    "deep: query result with 20000 causes", Internal: |w| query_result(w, 20_000);
    "deep: an unknown field 5000 deep", Ok: |w| async move {
        let mut backwards: Vec<u8> = Vec::new();
        for _ in 0..5_000 {
            let mut head = Vec::new();
            prost::encoding::encode_key(9_000, prost::encoding::WireType::LengthDelimited, &mut head);
            prost::encoding::encode_varint(backwards.len() as u64, &mut head);
            head.reverse();
            backwards.extend(head);
        }
        backwards.reverse();
        send(&w, "StartWorkflowExecution", w.start(|_| ()), 9_000, backwards.into()).await
    };
    "wide: activity fails with 20000 details", Ok: |w| fail_activity(w, wide());
    "wide: start with 20000 payloads", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.input = Some(Payloads { payloads: vec![Payload::default(); 20_000] })));
    "wide: start with 20000 headers", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.header = Some(Header { fields: many(20_000) })));
    "wide: start with 20000 memos", Ok:
        |w| w.client().start_workflow_execution(w.start(|r| r.memo = Some(Memo { fields: many(20_000) })));
    "wide: task with 3000 timers", Ok: |w| async move {
        w.begin().await;
        let task = w.task().await;
        let timers = (0..3_000).map(|number| start_timer(&number.to_string(), millis(3_600_000))).collect();
        w.complete(&task.task_token, timers).await
    };
};
