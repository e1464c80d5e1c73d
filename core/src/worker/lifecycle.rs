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
use tonic::Code;

use super::{
    context::Context,
    poll::{self, PollerPool},
    runs::Runs,
    slots::{Slot, Slots},
};
use crate::{
    CallError,
    activity::Activities,
    client::{CALL_TIMEOUT, methods},
};

/// Lives as long as the worker; ends with the `ShutDown` event.
pub(super) async fn run(
    context: Arc<Context>,
    runs: Arc<Runs>,
    activities: Arc<Activities>,
    sticky_queue: String,
) {
    let watch = context.settings.activities.then(|| tokio::spawn(Arc::clone(&activities).watch_deadlines()));
    if context.settings.replay_only {
        context.stopped().await;
    } else {
        let described = tokio::select! {
            described = ends_polls_at_shutdown(&context) => Some(described),
            () = context.stopped() => None,
        };
        match described {
            Some(Ok(graceful)) => {
                let pollers = start_pollers(&context, &runs, &activities, &sticky_queue, graceful);
                context.stopped().await;
                tell_server(&context, sticky_queue).await;
                pollers.ended().await;
            }
            Some(Err(error)) => context.fail(error),
            None => {}
        }
    }
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

/// Whether the namespace exists, and whether its server answers open polls when a worker shuts down. Notes its limits.
async fn ends_polls_at_shutdown(context: &Context) -> Result<bool, CallError> {
    let client = &context.client;
    let request = DescribeNamespaceRequest { namespace: client.namespace().to_owned(), ..Default::default() };
    let answer: Result<DescribeNamespaceResponse, CallError> =
        client.rpc(methods::DESCRIBE_NAMESPACE, &request, CALL_TIMEOUT, Some(client.retry_policy())).await;
    match answer {
        Ok(response) => {
            let info = response.namespace_info.unwrap_or_default();
            let limit = info.limits.and_then(|limits| usize::try_from(limits.blob_size_limit_error).ok());
            if let Some(limit) = limit.filter(|limit| *limit > 0) {
                context.limit_payloads(limit);
            }
            Ok(info.capabilities.is_some_and(|c| c.worker_poll_complete_on_shutdown))
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

/// Polls what the worker is for, until shutdown.
fn start_pollers(
    context: &Arc<Context>,
    runs: &Arc<Runs>,
    activities: &Arc<Activities>,
    sticky_queue: &str,
    graceful: bool,
) -> PollerPool {
    let settings = &context.settings;
    let mut pollers = PollerPool::new(Arc::clone(context), graceful);
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
            let tasks = WorkflowTasks { context: Arc::clone(context), runs: Arc::clone(runs), queue };
            pollers.poll(&Arc::new(tasks), count);
        }
    }
    if settings.activities {
        pollers.poll(activities, settings.activity_polls);
    }
    pollers
}

/// The workflow tasks of one queue.
struct WorkflowTasks {
    context: Arc<Context>,
    runs: Arc<Runs>,
    queue: TaskQueue,
}

impl poll::Source for WorkflowTasks {
    const PATH: &'static str = methods::POLL_WORKFLOW_TASK_QUEUE;
    type Request = PollWorkflowTaskQueueRequest;
    type Response = PollWorkflowTaskQueueResponse;

    fn request(&self) -> PollWorkflowTaskQueueRequest {
        PollWorkflowTaskQueueRequest {
            namespace: self.context.client.namespace().to_owned(),
            task_queue: Some(self.queue.clone()),
            identity: self.context.settings.identity.clone(),
            worker_instance_key: self.context.instance_key.clone(),
            ..Default::default()
        }
    }

    fn slots(&self) -> &Slots {
        &self.runs.slots
    }

    async fn leave_to_poll(&self) {}

    fn handle(self: &Arc<Self>, response: Option<PollWorkflowTaskQueueResponse>, slot: Slot) {
        if let Some(response) = response {
            self.runs.handle_polled(response, slot);
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
        context.client.rpc(methods::SHUTDOWN_WORKER, &request, poll::POLL_END_TIMEOUT, None).await;
    if let Err(error) = answer {
        tracing::debug!(
            error = error.message,
            "the server did not take the notice of this worker's shutdown"
        );
    }
}
