//! Chains of causes of any depth: they enter cut, with a note, and whatever holds them can be read ever after.

use bytes::Bytes;
use durably_proto::{
    depth,
    temporal::api::{
        command::v1::{
            Command, ContinueAsNewWorkflowExecutionCommandAttributes as ContinueAsNew,
            FailWorkflowExecutionCommandAttributes as Fail, RecordMarkerCommandAttributes as Marker,
            command::Attributes as A,
        },
        common::v1::RetryPolicy,
        enums::v1::{CommandType, QueryResultType, WorkflowTaskFailedCause},
        failure::v1::Failure,
        history::v1::history_event::Attributes as E,
        query::v1::{WorkflowQuery, WorkflowQueryResult},
        workflowservice::v1::*,
    },
};
use prost::Message as _;
use tonic::Code;

use crate::support::*;

/// A failure of `depth` failures within each other; the innermost says "root".
fn chain(depth: usize) -> Failure {
    let mut failure = application_failure("root", false);
    for _ in 1..depth {
        failure = Failure { cause: Some(Box::new(failure)), ..application_failure("outer", false) };
    }
    failure
}

fn length(failure: &Failure) -> usize {
    std::iter::successors(Some(failure), |failure| failure.cause.as_deref()).count()
}

fn innermost(failure: &Failure) -> &Failure {
    std::iter::successors(Some(failure), |failure| failure.cause.as_deref()).last().unwrap()
}

/// It is whole if it fits, and else as much of it as fits, with the note.
fn assert_cut(failure: &Failure, depth: usize) {
    assert_eq!(length(failure), depth.min(depth::MAX_NESTED), "of {depth}");
    let message = &innermost(failure).message;
    if depth <= depth::MAX_NESTED {
        assert_eq!(message, "root");
    } else {
        let count = depth - depth::MAX_NESTED + 1;
        assert!(
            message.starts_with(&format!("{count} more causes")) && message.ends_with("said: root"),
            "{message}"
        );
    }
}

const DEPTHS: [usize; 12] = [1, 63, 64, 65, 90, 95, 96, 97, 98, 99, 100, 400];

#[tokio::test]
async fn failures_of_activities_of_any_depth_stay_readable() {
    let mut harness = Harness::start().await;
    for depth in DEPTHS {
        let id = format!("order-{depth}");
        harness.begin(&id).await;
        let once = RetryPolicy { maximum_attempts: 1, ..Default::default() };
        harness.advance(vec![schedule_activity("a", |a| a.retry_policy = Some(once))]).await;
        let activity = harness.activity_task().await;
        harness.fail_activity(&activity, chain(depth)).await;
        let task = harness.workflow_task().await;
        let failed = history(&task).iter().find_map(|event| match &event.attributes {
            Some(E::ActivityTaskFailedEventAttributes(failed)) => failed.failure.clone(),
            _ => None,
        });
        assert_cut(&failed.unwrap(), depth);
        // What a worker makes of it is one deeper, and so on.
        harness.complete(&task, vec![fail_with(chain(depth + 1))]).await;
        let E::WorkflowExecutionFailedEventAttributes(failed) = harness.closing_event(&id, "").await else {
            panic!("it did not fail");
        };
        assert_cut(&failed.failure.unwrap(), depth + 1);
    }
    harness = harness.restart().await;
    for depth in DEPTHS {
        assert!(harness.events(&format!("order-{depth}")).await.len() > 10);
    }
}

/// While it is retried, the last failure is part of the run's state, of describe, and later of an event.
#[tokio::test]
async fn a_retried_activity_keeps_a_readable_failure() {
    let mut harness = Harness::start().await;
    for depth in [95, 100, 400] {
        let id = format!("order-{depth}");
        harness.begin(&id).await;
        harness.advance(vec![schedule_activity("a", |_| ())]).await;
        let activity = harness.activity_task().await;
        harness.fail_activity(&activity, chain(depth)).await;
    }
    harness = harness.restart().await;
    for depth in [95, 100, 400] {
        let described = harness.describe(&format!("order-{depth}")).await;
        assert_cut(described.pending_activities[0].last_failure.as_ref().unwrap(), depth);
    }
}

fn fail_with(failure: Failure) -> Command {
    let attributes = A::FailWorkflowExecutionCommandAttributes(Fail { failure: Some(failure) });
    Command {
        command_type: CommandType::FailWorkflowExecution as i32,
        attributes: Some(attributes),
        ..Default::default()
    }
}

fn marker(failure: Failure) -> Command {
    let attributes = A::RecordMarkerCommandAttributes(Marker {
        marker_name: "m".into(),
        failure: Some(failure),
        ..Default::default()
    });
    Command {
        command_type: CommandType::RecordMarker as i32,
        attributes: Some(attributes),
        ..Default::default()
    }
}

/// Every other way in that a failure has.
#[tokio::test]
async fn no_entrance_is_left_out() {
    let harness = Harness::start().await;
    for depth in [95, 100, 400] {
        let id = format!("order-{depth}");
        let mut request = start(&id);
        request.continued_failure = Some(chain(depth));
        harness.begin_as(request).await;
        let task = harness.workflow_task().await;
        let failed = RespondWorkflowTaskFailedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token,
            cause: WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure as i32,
            failure: Some(chain(depth)),
            ..Default::default()
        };
        harness.client().respond_workflow_task_failed(failed).await.unwrap();
        let once = RetryPolicy { maximum_attempts: 1, ..Default::default() };
        let activity = schedule_activity("a", |a| a.retry_policy = Some(once));
        harness.advance(vec![marker(chain(depth)), activity]).await;
        harness.activity_task().await;
        let by_id = RespondActivityTaskFailedByIdRequest {
            namespace: NAMESPACE.into(),
            workflow_id: id.clone(),
            activity_id: "a".into(),
            failure: Some(chain(depth)),
            ..Default::default()
        };
        harness.client().respond_activity_task_failed_by_id(by_id).await.unwrap();
        let again = A::ContinueAsNewWorkflowExecutionCommandAttributes(ContinueAsNew {
            failure: Some(chain(depth)),
            ..Default::default()
        });
        harness
            .advance(vec![Command {
                command_type: CommandType::ContinueAsNewWorkflowExecution as i32,
                attributes: Some(again),
                ..Default::default()
            }])
            .await;
        let task = harness.workflow_task().await;
        let Some(E::WorkflowExecutionStartedEventAttributes(started)) = &history(&task)[0].attributes else {
            panic!("no start");
        };
        assert_cut(started.continued_failure.as_ref().unwrap(), depth);
        harness.complete(&task, vec![complete_workflow("done")]).await;
    }
}

#[tokio::test]
async fn a_failed_query_answers_with_what_fits() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    harness.advance(vec![start_timer("t", millis(600_000))]).await;
    let ask = || {
        let mut client = harness.client();
        tokio::spawn(async move {
            let request = QueryWorkflowRequest {
                namespace: NAMESPACE.into(),
                execution: Some(execution("order-1", "")),
                query: Some(WorkflowQuery { query_type: "q".into(), ..Default::default() }),
                ..Default::default()
            };
            client.query_workflow(request).await.unwrap_err()
        })
    };
    let asked = ask();
    let task = harness.workflow_task().await;
    let answer = RespondQueryTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token,
        completed_type: QueryResultType::Failed as i32,
        error_message: "broken".into(),
        failure: Some(chain(100)),
        ..Default::default()
    };
    harness.client().respond_query_task_completed(answer).await.unwrap();
    assert_eq!(asked.await.unwrap().code(), Code::InvalidArgument);

    // The other way: with a workflow task.
    harness.signal("order-1", "go", "on").await;
    let asked = ask();
    let task = loop {
        // The query waits for the task that the signal made, or comes after it.
        let task = harness.workflow_task().await;
        if !task.queries.is_empty() || task.query.is_some() {
            break task;
        }
        harness.complete(&task, vec![]).await;
    };
    if let Some(id) = task.queries.keys().next() {
        let result = WorkflowQueryResult {
            result_type: QueryResultType::Failed as i32,
            error_message: "broken".into(),
            failure: Some(chain(100)),
            ..Default::default()
        };
        let completed = RespondWorkflowTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token.clone(),
            query_results: [(id.clone(), result)].into(),
            ..Default::default()
        };
        harness.client().respond_workflow_task_completed(completed).await.unwrap();
    } else {
        let answer = RespondQueryTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token,
            completed_type: QueryResultType::Failed as i32,
            failure: Some(chain(100)),
            ..Default::default()
        };
        harness.client().respond_query_task_completed(answer).await.unwrap();
    }
    assert_eq!(asked.await.unwrap().code(), Code::InvalidArgument);
}

/// What a hostile caller could send: deeper than any stack, wide, and broken at any byte.
#[test]
fn bytes_of_any_shape_are_bounded() {
    let name = "temporal.api.workflowservice.v1.RespondActivityTaskFailedRequest";
    let request = |failure: &[u8]| {
        let mut encoded = Vec::new();
        prost::encoding::bytes::encode(2, &failure.to_vec(), &mut encoded);
        encoded
    };
    // From the inside out, each with the length of what it holds: written backwards.
    let mut backwards: Vec<u8> = Vec::new();
    for _ in 0..200_000 {
        let mut head = vec![0x22];
        prost::encoding::encode_varint(backwards.len() as u64, &mut head);
        head.reverse();
        backwards.extend(head);
    }
    backwards.reverse();
    let cut = depth::bound(name, &request(&backwards)).unwrap();
    let read = RespondActivityTaskFailedRequest::decode(cut.as_slice()).unwrap();
    assert_eq!(length(&read.failure.unwrap()), depth::MAX_NESTED);

    let whole = request(&chain(90).encode_to_vec());
    for end in 0..whole.len() {
        let _ = depth::decode::<RespondActivityTaskFailedRequest>(Bytes::copy_from_slice(&whole[..end]));
    }
    // Two causes in one failure are merged when they are read: both count.
    let twice = [chain(90).encode_to_vec(), chain(90).encode_to_vec()].concat();
    let read = depth::decode::<RespondActivityTaskFailedRequest>(request(&twice).into()).unwrap();
    assert!(length(&read.failure.unwrap()) <= depth::MAX_NESTED);
    assert_eq!(depth::bound(name, &request(&chain(64).encode_to_vec())), None);
    assert_eq!(depth::bound("temporal.api.workflowservice.v1.GetSystemInfoRequest", &backwards), None);
}
