//! Calls of workers that bring no token: polls, sticky queues, shut-downs, and activities named by their ids.

use durably_proto::temporal::api::{
    enums::v1::TaskQueueKind, taskqueue::v1::TaskQueue, workflowservice::v1::*,
};
use tonic::Status;

use super::{Row, long, rows, with, world::soon};
use crate::{support::*, wire::world::World};

fn poll(world: &World) -> PollWorkflowTaskQueueRequest {
    PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue(&world.queue)),
        ..Default::default()
    }
}

fn poll_activity(world: &World) -> PollActivityTaskQueueRequest {
    PollActivityTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue(&world.queue)),
        ..Default::default()
    }
}

fn described(world: &World) -> DescribeTaskQueueRequest {
    DescribeTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue(&world.queue)),
        task_queue_type: 1,
        ..Default::default()
    }
}

fn completed(workflow_id: &str, run_id: &str, activity_id: &str) -> RespondActivityTaskCompletedByIdRequest {
    RespondActivityTaskCompletedByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: workflow_id.into(),
        run_id: run_id.into(),
        activity_id: activity_id.into(),
        ..Default::default()
    }
}

fn failed(workflow_id: &str, activity_id: &str) -> RespondActivityTaskFailedByIdRequest {
    RespondActivityTaskFailedByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: workflow_id.into(),
        activity_id: activity_id.into(),
        ..Default::default()
    }
}

fn canceled(workflow_id: &str, activity_id: &str) -> RespondActivityTaskCanceledByIdRequest {
    RespondActivityTaskCanceledByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: workflow_id.into(),
        activity_id: activity_id.into(),
        ..Default::default()
    }
}

fn beat(workflow_id: &str, activity_id: &str) -> RecordActivityTaskHeartbeatByIdRequest {
    RecordActivityTaskHeartbeatByIdRequest {
        namespace: NAMESPACE.into(),
        workflow_id: workflow_id.into(),
        activity_id: activity_id.into(),
        ..Default::default()
    }
}

/// The workflow waits for an activity that nobody has begun.
async fn scheduled(world: &World) {
    world.after(vec![world.scheduled("a")]).await;
}

async fn complete(world: &World, request: RespondActivityTaskCompletedByIdRequest) -> Result<(), Status> {
    world.client().respond_activity_task_completed_by_id(request).await.map(drop)
}

pub const ROWS: &[Row] = rows! {
    "poll: namespace empty", InvalidArgument: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.namespace.clear())));
    "poll: namespace unknown", NotFound: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.namespace = "nowhere".into())));
    "poll: no task queue", InvalidArgument: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.task_queue = None)));
    "poll: task queue empty", InvalidArgument: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.task_queue = Some(queue("")))));
    "poll: task queue too long", InvalidArgument: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.task_queue = Some(queue(&long())))));
    "poll: task queue with a NUL", Ok: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.task_queue = Some(queue("p\0q")))));
    "poll: task queue reserved", InvalidArgument: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.task_queue = Some(queue("/_sys/x")))));
    "poll: task queue kind 99", Ok: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.task_queue.as_mut().unwrap().kind = 99)));
    "poll: sticky queue without its normal one", Ok:
        |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| {
            r.task_queue = Some(TaskQueue { kind: TaskQueueKind::Sticky as i32, ..queue(&w.queue) });
        })));
    "poll: identity too long", InvalidArgument: |w| w.client().poll_workflow_task_queue(soon(with(poll(&w), |r| r.identity = long())));
    "poll: half a second", FailedPrecondition:
        |w| w.client().poll_workflow_task_queue(within(std::time::Duration::from_millis(500), poll(&w)));
    "poll activities: no task queue", InvalidArgument:
        |w| w.client().poll_activity_task_queue(soon(with(poll_activity(&w), |r| r.task_queue = None)));
    "poll activities: namespace unknown", NotFound:
        |w| w.client().poll_activity_task_queue(soon(with(poll_activity(&w), |r| r.namespace = "nowhere".into())));
    "poll activities: task queue too long", InvalidArgument:
        |w| w.client().poll_activity_task_queue(soon(with(poll_activity(&w), |r| r.task_queue = Some(queue(&long())))));
    "poll activities: a tenth of a second", FailedPrecondition:
        |w| w.client().poll_activity_task_queue(within(std::time::Duration::from_millis(500), poll_activity(&w)));
    "poll nexus: no task queue", InvalidArgument:
        |w| w.client().poll_nexus_task_queue(soon(PollNexusTaskQueueRequest { namespace: NAMESPACE.into(), ..Default::default() }));
    "describe queue: no queue", InvalidArgument: |w| w.client().describe_task_queue(with(described(&w), |r| r.task_queue = None));
    "describe queue: too long", InvalidArgument: |w| w.client().describe_task_queue(with(described(&w), |r| r.task_queue = Some(queue(&long()))));
    "describe queue: type 99", Ok: |w| w.client().describe_task_queue(with(described(&w), |r| r.task_queue_type = 99));
    "describe queue: namespace unknown", NotFound: |w| w.client().describe_task_queue(with(described(&w), |r| r.namespace = "nowhere".into()));
    "shut down: namespace unknown", NotFound:
        |w| w.client().shutdown_worker(ShutdownWorkerRequest { namespace: "nowhere".into(), ..Default::default() });
    "shut down: nothing said", Ok:
        |w| w.client().shutdown_worker(ShutdownWorkerRequest { namespace: NAMESPACE.into(), ..Default::default() });
    "shut down: sticky queue too long", Ok:
        |w| w.client().shutdown_worker(ShutdownWorkerRequest {
            namespace: NAMESPACE.into(), sticky_task_queue: long(), ..Default::default()
        });
    "sticky: reset an unknown workflow", NotFound:
        |w| w.client().reset_sticky_task_queue(ResetStickyTaskQueueRequest {
            namespace: NAMESPACE.into(), execution: Some(execution("unknown", ""))
        });
    "sticky: reset none", InvalidArgument:
        |w| w.client().reset_sticky_task_queue(ResetStickyTaskQueueRequest { namespace: NAMESPACE.into(), execution: None });

    "by id: no workflow id", NotFound: |w| async move { complete(&w, completed("", "", "a")).await };
    "by id: no activity id", InvalidArgument: |w| async move { scheduled(&w).await; complete(&w, completed(&w.id, "", "")).await };
    "by id: workflow unknown", NotFound: |w| async move { complete(&w, completed("unknown", "", "a")).await };
    "by id: activity unknown", NotFound: |w| async move { scheduled(&w).await; complete(&w, completed(&w.id, "", "b")).await };
    "by id: run id no UUID", InvalidArgument: |w| async move { scheduled(&w).await; complete(&w, completed(&w.id, "no-uuid", "a")).await };
    "by id: activity id too long", NotFound: |w| async move { scheduled(&w).await; complete(&w, completed(&w.id, "", &long())).await };
    "by id: complete what nobody began", Ok: |w| async move { scheduled(&w).await; complete(&w, completed(&w.id, "", "a")).await };
    "by id: fail what nobody began", NotFound:
        |w| async move { scheduled(&w).await; w.client().respond_activity_task_failed_by_id(failed(&w.id, "a")).await };
    "by id: cancel what nobody began", NotFound:
        |w| async move { scheduled(&w).await; w.client().respond_activity_task_canceled_by_id(canceled(&w.id, "a")).await };
    "by id: beat what nobody began", NotFound:
        |w| async move { scheduled(&w).await; w.client().record_activity_task_heartbeat_by_id(beat(&w.id, "a")).await };
    "by id: complete twice", NotFound:
        |w| async move { w.activity().await; complete(&w, completed(&w.id, "", "a")).await.unwrap(); complete(&w, completed(&w.id, "", "a")).await };
    "by id: cancel what nobody canceled", InvalidArgument:
        |w| async move { w.activity().await; w.client().respond_activity_task_canceled_by_id(canceled(&w.id, "a")).await };
    "by id: fail without a failure", Ok:
        |w| async move { w.activity().await; w.client().respond_activity_task_failed_by_id(failed(&w.id, "a")).await };
    "by id: beat without a workflow id", NotFound: |w| w.client().record_activity_task_heartbeat_by_id(beat("", "a"));
    "by id: a closed run", NotFound:
        |w| async move { w.activity().await; w.terminate().await.unwrap(); complete(&w, completed(&w.id, "", "a")).await };
    "by id: a result of 2 MiB", Ok:
        |w| async move { w.activity().await; complete(&w, with(completed(&w.id, "", "a"), |r| r.result = Some(oversized()))).await };
};
