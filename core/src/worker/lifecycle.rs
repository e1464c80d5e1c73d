//! The life of a worker: ask about the namespace, poll, and on shutdown end in order.

use std::sync::Arc;

use durably_proto::temporal::api::{
    enums::v1::{TaskQueueKind, TaskQueueType},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{
        DescribeNamespaceRequest, DescribeNamespaceResponse, PollWorkflowTaskQueueRequest,
        PollWorkflowTaskQueueResponse, ShutdownWorkerRequest, ShutdownWorkerResponse,
    },
};
use tokio::task::JoinSet;
use tonic::Code;

use super::{context::Context, poll, runs::Runs};
use crate::{
    CallError,
    activity::Activities,
    client::{CALL_TIMEOUT, LONG_POLL_TIMEOUT},
};

const DESCRIBE_NAMESPACE: &str = "/temporal.api.workflowservice.v1.WorkflowService/DescribeNamespace";
const POLL: &str = "/temporal.api.workflowservice.v1.WorkflowService/PollWorkflowTaskQueue";
const SHUTDOWN: &str = "/temporal.api.workflowservice.v1.WorkflowService/ShutdownWorker";

/// Lives as long as the worker; ends with the `ShutDown` event.
pub(super) async fn run(
    context: Arc<Context>,
    runs: Arc<Runs>,
    activities: Arc<Activities>,
    sticky_queue: String,
) {
    let watch = context.settings.activities.then(|| tokio::spawn(Arc::clone(&activities).watch_deadlines()));
    let mut pollers = JoinSet::new();
    if context.settings.replay_only {
        context.stopped().await;
    } else {
        let described = tokio::select! {
            described = ends_polls_at_shutdown(&context) => Some(described),
            () = context.stopped() => None,
        };
        match described {
            Some(Ok(graceful)) => {
                start_pollers(&mut pollers, &context, &runs, &activities, &sticky_queue, graceful);
                context.stopped().await;
                tell_server(&context, sticky_queue).await;
            }
            Some(Err(error)) => context.fail(error),
            None => {}
        }
    }
    while pollers.join_next().await.is_some() {}
    tokio::select! {
        // Workflow tasks may still be waiting for answers while activities end; neither needs the other.
        _ = async { tokio::join!(runs.drain(), activities.drain()) } => {}
        () = context.abandoned() => {}
    }
    if let Some(watch) = watch {
        watch.abort();
    }
    context.emit_shut_down();
}

/// Whether the namespace exists, and whether its server answers open polls when a worker shuts down.
async fn ends_polls_at_shutdown(context: &Context) -> Result<bool, CallError> {
    let client = &context.client;
    let request = DescribeNamespaceRequest { namespace: client.namespace().to_owned(), ..Default::default() };
    let answer: Result<DescribeNamespaceResponse, CallError> =
        client.rpc(DESCRIBE_NAMESPACE, &request, CALL_TIMEOUT, Some(client.retry_policy())).await;
    match answer {
        Ok(response) => {
            let capabilities = response.namespace_info.and_then(|info| info.capabilities);
            Ok(capabilities.is_some_and(|c| c.worker_poll_complete_on_shutdown))
        }
        Err(error) if error.code == Code::NotFound as i32 => {
            let message = format!(
                "namespace `{}` does not exist on the server ({}): register it, or connect with another one",
                client.namespace(),
                error.message
            );
            Err(CallError { message, ..error })
        }
        Err(error) => Err(error),
    }
}

fn start_pollers(
    pollers: &mut JoinSet<()>,
    context: &Arc<Context>,
    runs: &Arc<Runs>,
    activities: &Arc<Activities>,
    sticky_queue: &str,
    graceful: bool,
) {
    let settings = &context.settings;
    let normal = TaskQueue {
        name: settings.task_queue.clone(),
        kind: TaskQueueKind::Normal as i32,
        normal_name: String::new(),
    };
    let sticky = TaskQueue {
        name: sticky_queue.to_owned(),
        kind: TaskQueueKind::Sticky as i32,
        normal_name: settings.task_queue.clone(),
    };
    if settings.workflows {
        for (queue, count) in [(normal, settings.normal_polls), (sticky, settings.sticky_polls)] {
            for _ in 0..count {
                pollers.spawn(poll_workflow_tasks(
                    Arc::clone(context),
                    Arc::clone(runs),
                    queue.clone(),
                    graceful,
                ));
            }
        }
    }
    if settings.activities {
        for _ in 0..settings.activity_polls {
            pollers.spawn(Arc::clone(activities).poll_loop(graceful));
        }
    }
}

async fn poll_workflow_tasks(context: Arc<Context>, runs: Arc<Runs>, queue: TaskQueue, graceful: bool) {
    let request = PollWorkflowTaskQueueRequest {
        namespace: context.client.namespace().to_owned(),
        task_queue: Some(queue),
        identity: context.settings.identity.clone(),
        worker_instance_key: context.instance_key.clone(),
        ..Default::default()
    };
    let poller = poll::Poller::new(&context, POLL, LONG_POLL_TIMEOUT, graceful);
    while let Some(permit) = poller.slot(&runs.slots).await {
        match poller.poll::<_, PollWorkflowTaskQueueResponse>(&request).await {
            poll::Outcome::Task(task) => runs.handle_polled(task, permit),
            poll::Outcome::Empty => {}
            poll::Outcome::Stop => break,
        }
    }
}

/// Lets the server end this worker's polls and stop using its sticky queue. Old servers don't know the method.
async fn tell_server(context: &Context, sticky_queue: String) {
    let settings = &context.settings;
    let mut types = Vec::new();
    if settings.workflows {
        types.push(TaskQueueType::Workflow as i32);
    }
    if settings.activities {
        types.push(TaskQueueType::Activity as i32);
    }
    let request = ShutdownWorkerRequest {
        namespace: context.client.namespace().to_owned(),
        sticky_task_queue: if settings.sticky_polls > 0 && settings.workflows {
            sticky_queue
        } else {
            String::new()
        },
        identity: settings.identity.clone(),
        reason: "graceful shutdown".to_owned(),
        worker_instance_key: context.instance_key.clone(),
        task_queue: settings.task_queue.clone(),
        task_queue_types: types,
        ..Default::default()
    };
    let answer: Result<ShutdownWorkerResponse, CallError> =
        context.client.rpc(SHUTDOWN, &request, poll::POLL_END_TIMEOUT, None).await;
    if let Err(error) = answer {
        tracing::debug!(
            error = error.message,
            "the server did not take the notice of this worker's shutdown"
        );
    }
}
