//! Task tokens: none, made up, tampered with, of another kind, of another namespace, of runs that have ended, and used
//! twice.

use bytes::Bytes;
use durably_proto::temporal::api::{failure::v1::Failure, workflowservice::v1::*};
use tonic::Status;

use super::{Row, long, peer::ELSEWHERE, rows, with};
use crate::{support::*, wire::world::World};

/// The token with one byte changed, in its middle.
fn tampered(token: &Bytes) -> Bytes {
    let mut changed = token.to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x55;
    changed.into()
}

/// The token without its last byte.
fn cut(token: &Bytes) -> Bytes {
    token.slice(..token.len() - 1)
}

fn beat(token: &Bytes) -> RecordActivityTaskHeartbeatRequest {
    RecordActivityTaskHeartbeatRequest {
        namespace: NAMESPACE.into(),
        task_token: token.clone(),
        ..Default::default()
    }
}

fn failed(token: &Bytes) -> RespondActivityTaskFailedRequest {
    RespondActivityTaskFailedRequest {
        namespace: NAMESPACE.into(),
        task_token: token.clone(),
        failure: Some(application_failure("no", false)),
        ..Default::default()
    }
}

fn canceled(token: &Bytes) -> RespondActivityTaskCanceledRequest {
    RespondActivityTaskCanceledRequest {
        namespace: NAMESPACE.into(),
        task_token: token.clone(),
        ..Default::default()
    }
}

fn completed(token: &Bytes) -> RespondActivityTaskCompletedRequest {
    RespondActivityTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: token.clone(),
        ..Default::default()
    }
}

fn task_failed(token: &Bytes) -> RespondWorkflowTaskFailedRequest {
    RespondWorkflowTaskFailedRequest {
        namespace: NAMESPACE.into(),
        task_token: token.clone(),
        cause: 1,
        ..Default::default()
    }
}

async fn begun(world: &World) -> Bytes {
    world.begin().await;
    world.task().await.task_token
}

async fn terminated(world: &World) -> Bytes {
    let token = begun(world).await;
    world.terminate().await.unwrap();
    token
}

async fn done(world: &World) -> Bytes {
    let token = begun(world).await;
    world.complete(&token, vec![]).await.unwrap();
    token
}

async fn activity(world: &World) -> Bytes {
    world.activity().await.task_token
}

async fn activity_done(world: &World) -> Bytes {
    let token = activity(world).await;
    world.complete_activity(&token).await.unwrap();
    token
}

async fn activity_of_a_closed_run(world: &World) -> Bytes {
    let token = activity(world).await;
    world.terminate().await.unwrap();
    token
}

async fn answer(world: &World, token: &Bytes) -> Result<(), Status> {
    world.client().respond_query_task_completed(World::query_answer(token)).await.map(drop)
}

const GARBAGE: Bytes = Bytes::from_static(b"garbage");
const NONE: Bytes = Bytes::new();

pub const ROWS: &[Row] = rows! {
    "workflow task: no token", InvalidArgument: |w| async move { w.complete(&NONE, vec![]).await };
    "workflow task: token made up", InvalidArgument: |w| async move { w.complete(&GARBAGE, vec![]).await };
    "workflow task: token tampered with", NotFound: |w| async move { let token = begun(&w).await; w.complete(&tampered(&token), vec![]).await };
    "workflow task: token cut off", InvalidArgument: |w| async move { let token = begun(&w).await; w.complete(&cut(&token), vec![]).await };
    "workflow task: token of an activity", NotFound: |w| async move { let token = activity(&w).await; w.complete(&token, vec![]).await };
    "workflow task: token of a query", NotFound: |w| async move { let token = w.query_task().await.task_token; w.complete(&token, vec![]).await };
    "workflow task: from another namespace", InvalidArgument:
        |w| async move {
            let token = begun(&w).await;
            w.client().respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest {
                namespace: ELSEWHERE.into(), task_token: token, ..Default::default()
            }).await
        };
    "workflow task: from no namespace", Ok:
        |w| async move {
            let token = begun(&w).await;
            w.client().respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest {
                task_token: token, ..Default::default()
            }).await
        };
    "workflow task: of a closed run", NotFound: |w| async move { let token = terminated(&w).await; w.complete(&token, vec![]).await };
    "workflow task: completed twice", NotFound: |w| async move { let token = done(&w).await; w.complete(&token, vec![]).await };
    "workflow task: failed after it was completed", NotFound:
        |w| async move { let token = done(&w).await; w.client().respond_workflow_task_failed(task_failed(&token)).await };
    "workflow task: completed after it failed", NotFound:
        |w| async move {
            let token = begun(&w).await;
            w.client().respond_workflow_task_failed(task_failed(&token)).await.unwrap();
            w.complete(&token, vec![]).await
        };
    "workflow task: failed without a token", InvalidArgument: |w| w.client().respond_workflow_task_failed(task_failed(&NONE));
    "workflow task: failed with a token made up", InvalidArgument: |w| w.client().respond_workflow_task_failed(task_failed(&GARBAGE));
    "workflow task: failed for cause 9999", Ok:
        |w| async move { let token = begun(&w).await; w.client().respond_workflow_task_failed(with(task_failed(&token), |r| r.cause = 9_999)).await };
    "workflow task: failed by a long identity", InvalidArgument:
        |w| async move { let token = begun(&w).await; w.client().respond_workflow_task_failed(with(task_failed(&token), |r| r.identity = long())).await };
    "workflow task: failed with 2 MiB", Ok:
        |w| async move {
            let token = begun(&w).await;
            let failure = Failure { message: "x".repeat(2 << 20), ..Default::default() };
            w.client().respond_workflow_task_failed(with(task_failed(&token), |r| r.failure = Some(failure))).await
        };

    "activity: completed without a token", InvalidArgument: |w| async move { w.complete_activity(&NONE).await };
    "activity: token made up", InvalidArgument: |w| async move { w.complete_activity(&GARBAGE).await };
    "activity: token tampered with", NotFound: |w| async move { let token = activity(&w).await; w.complete_activity(&tampered(&token)).await };
    "activity: token cut off", InvalidArgument: |w| async move { let token = activity(&w).await; w.complete_activity(&cut(&token)).await };
    "activity: token of a workflow task", NotFound: |w| async move { let token = begun(&w).await; w.complete_activity(&token).await };
    "activity: from another namespace", InvalidArgument:
        |w| async move {
            let token = activity(&w).await;
            w.client().respond_activity_task_completed(with(completed(&token), |r| r.namespace = ELSEWHERE.into())).await
        };
    "activity: of a closed run", NotFound: |w| async move { let token = activity_of_a_closed_run(&w).await; w.complete_activity(&token).await };
    "activity: completed twice", NotFound: |w| async move { let token = activity_done(&w).await; w.complete_activity(&token).await };
    "activity: failed after it was completed", NotFound:
        |w| async move { let token = activity_done(&w).await; w.client().respond_activity_task_failed(failed(&token)).await };
    "activity: canceled after it was completed", NotFound:
        |w| async move { let token = activity_done(&w).await; w.client().respond_activity_task_canceled(canceled(&token)).await };
    "activity: beats after it was completed", NotFound:
        |w| async move { let token = activity_done(&w).await; w.client().record_activity_task_heartbeat(beat(&token)).await };
    "activity: beats in a closed run", NotFound:
        |w| async move { let token = activity_of_a_closed_run(&w).await; w.client().record_activity_task_heartbeat(beat(&token)).await };
    "activity: beats without a token", InvalidArgument: |w| w.client().record_activity_task_heartbeat(beat(&NONE));
    "activity: beats with a token made up", InvalidArgument: |w| w.client().record_activity_task_heartbeat(beat(&GARBAGE));
    "activity: beats with 2 MiB", Ok:
        |w| async move { let token = activity(&w).await; w.client().record_activity_task_heartbeat(with(beat(&token), |r| r.details = Some(oversized()))).await };
    "activity: fails without a token", InvalidArgument: |w| w.client().respond_activity_task_failed(failed(&NONE));
    "activity: fails without a failure", Ok:
        |w| async move { let token = activity(&w).await; w.client().respond_activity_task_failed(with(failed(&token), |r| r.failure = None)).await };
    "activity: fails with a failure of no kind", InvalidArgument:
        |w| async move { let token = activity(&w).await; w.client().respond_activity_task_failed(with(failed(&token), |r| r.failure = Some(Failure::default()))).await };
    "activity: fails with 2 MiB", Ok:
        |w| async move {
            let token = activity(&w).await;
            let failure = application_failure(&"x".repeat(2 << 20), false);
            w.client().respond_activity_task_failed(with(failed(&token), |r| r.failure = Some(failure))).await
        };
    "activity: canceled without a token", InvalidArgument: |w| w.client().respond_activity_task_canceled(canceled(&NONE));
    "activity: canceled though nobody asked", InvalidArgument:
        |w| async move { let token = activity(&w).await; w.client().respond_activity_task_canceled(canceled(&token)).await };
    "activity: a result of 2 MiB", Ok:
        |w| async move { let token = activity(&w).await; w.client().respond_activity_task_completed(with(completed(&token), |r| r.result = Some(oversized()))).await };
    "activity: completed by a long identity", InvalidArgument:
        |w| async move { let token = activity(&w).await; w.client().respond_activity_task_completed(with(completed(&token), |r| r.identity = long())).await };

    "query: no token", InvalidArgument: |w| async move { answer(&w, &NONE).await };
    "query: token made up", InvalidArgument: |w| async move { answer(&w, &GARBAGE).await };
    "query: token tampered with", Ok: |w| async move { let token = w.query_task().await.task_token; answer(&w, &tampered(&token)).await };
    "query: token of a workflow task", NotFound: |w| async move { let token = begun(&w).await; answer(&w, &token).await };
    "query: answered from another namespace", InvalidArgument:
        |w| async move {
            let token = w.query_task().await.task_token;
            w.client().respond_query_task_completed(with(World::query_answer(&token), |r| r.namespace = ELSEWHERE.into())).await
        };
    "query: answered twice", NotFound:
        |w| async move { let token = w.query_task().await.task_token; answer(&w, &token).await.unwrap(); answer(&w, &token).await };
    "query: answered with type 99", Ok:
        |w| async move {
            let token = w.query_task().await.task_token;
            w.client().respond_query_task_completed(with(World::query_answer(&token), |r| r.completed_type = 99)).await
        };
    "query: answered with 2 MiB", Ok:
        |w| async move {
            let token = w.query_task().await.task_token;
            w.client().respond_query_task_completed(with(World::query_answer(&token), |r| r.query_result = Some(oversized()))).await
        };
};
