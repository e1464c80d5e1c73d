//! Long polls: a worker waits for a task of its queue, and gets it once the start of the task is recorded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use durably_proto::temporal::api::{
    taskqueue::v1::{PollerInfo, TaskQueueStats},
    workflowservice::v1::*,
};
use tokio::sync::oneshot;

use super::{
    clock::Clock,
    driver::Shard,
    executions::{Executions, PollContext, stopping},
    tasks::{TaskRef, Undelivered, queue_key},
};
use crate::{
    Namespace, ServiceError,
    engine::{Poller, Time, WorkflowTaskGrant},
    matching::{PollerIdentity, QueueKey, QueueKind},
};

/// A poll never lasts longer.
const LONGEST_POLL: Duration = Duration::from_secs(60);
/// The empty answer leaves this long before the caller's deadline.
const MARGIN: Duration = Duration::from_secs(1);

impl Executions {
    pub async fn poll_workflow_task(
        &self,
        namespace: &Namespace,
        request: PollWorkflowTaskQueueRequest,
        context: PollContext,
    ) -> Result<PollWorkflowTaskQueueResponse, ServiceError> {
        let queue = request.task_queue.unwrap_or_default().name;
        let key = queue_key(&Arc::from(namespace.id.as_str()), &queue, QueueKind::Workflow);
        let until = end_of_poll(context);
        loop {
            let Some(task) = self.next_task(&key, &request.identity, until).await else {
                return Ok(PollWorkflowTaskQueueResponse::default());
            };
            let poller = Poller {
                identity: request.identity.clone(),
                request_id: super::runs::fresh_id(),
                in_process: context.in_process,
                ..Default::default()
            };
            let seq = task.seq;
            let taken: Option<WorkflowTaskGrant> = self
                .take(task, move |shard, task, reply| shard.take_workflow_task(task, poller, reply))
                .await?;
            // A stale task is no reason to answer: the poll goes on.
            if let Some(grant) = taken {
                return self.fill_in(seq, grant).await;
            }
        }
    }

    pub async fn poll_activity_task(
        &self,
        namespace: &Namespace,
        request: PollActivityTaskQueueRequest,
        context: PollContext,
    ) -> Result<PollActivityTaskQueueResponse, ServiceError> {
        let queue = request.task_queue.unwrap_or_default().name;
        let key = queue_key(&Arc::from(namespace.id.as_str()), &queue, QueueKind::Activity);
        let until = end_of_poll(context);
        if let Some(rate) = request.task_queue_metadata.and_then(|metadata| metadata.max_tasks_per_second) {
            self.inner.matching.set_rate(&key, Some(rate));
        }
        loop {
            let Some(task) = self.next_task(&key, &request.identity, until).await else {
                return Ok(PollActivityTaskQueueResponse::default());
            };
            let poller = Poller {
                identity: request.identity.clone(),
                request_id: super::runs::fresh_id(),
                in_process: context.in_process,
                ..Default::default()
            };
            let taken: Option<PollActivityTaskQueueResponse> = self
                .take(task, move |shard, task, reply| shard.take_activity_task(task, poller, reply))
                .await?;
            if let Some(mut response) = taken {
                response.workflow_namespace.clone_from(&namespace.name);
                return Ok(response);
            }
        }
    }

    /// Waits for a task of the queue; `None` when the poll's time is over or the server stops.
    async fn next_task(&self, key: &QueueKey, identity: &str, until: Instant) -> Option<TaskRef> {
        let mut closing = self.inner.closing.subscribe();
        if *closing.borrow() {
            return None;
        }
        let poller = PollerIdentity { identity: identity.to_owned(), ..Default::default() };
        let mut waiting = self.inner.matching.poll(key, poller, Clock::real().0);
        tokio::select! {
            biased;
            task = waiting.recv() => task,
            () = tokio::time::sleep_until(until.into()) => None,
            _ = closing.wait_for(|closing| *closing) => None,
        }
    }

    /// Starts the task at its shard. When this future is dropped before the answer is taken, the task goes back.
    async fn take<T: Send + 'static>(
        &self,
        task: TaskRef,
        start: impl FnOnce(&mut Shard, &TaskRef, oneshot::Sender<Result<Option<T>, ServiceError>>)
        + Send
        + 'static,
    ) -> Result<Option<T>, ServiceError> {
        let (reply, answer) = oneshot::channel();
        let shard = task.shard;
        let mut delivery = Delivery {
            executions: self.clone(),
            shard,
            undelivered: Some(task.undelivered()),
            answer: Some(answer),
        };
        self.send(shard, move |shard| start(shard, &task, reply));
        let answer = match &mut delivery.answer {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(stopping())),
            None => Err(stopping()),
        };
        delivery.answer = None;
        answer
    }

    /// Completes a workflow task with events that are only in the store.
    pub(super) async fn fill_in(
        &self,
        seq: i64,
        grant: WorkflowTaskGrant,
    ) -> Result<PollWorkflowTaskQueueResponse, ServiceError> {
        let WorkflowTaskGrant { mut response, missing } = grant;
        if missing.is_some() {
            let mut history = response.history.take().unwrap_or_default();
            history.events = self.prepend(seq, missing, history.events).await?;
            response.history = Some(history);
        }
        Ok(response)
    }

    pub async fn describe_task_queue(
        &self,
        namespace: &Namespace,
        request: DescribeTaskQueueRequest,
    ) -> Result<DescribeTaskQueueResponse, ServiceError> {
        use durably_proto::temporal::api::enums::v1::TaskQueueType;
        let kind = match request.task_queue_type() {
            TaskQueueType::Activity => QueueKind::Activity,
            _ => QueueKind::Workflow,
        };
        let queue = request.task_queue.unwrap_or_default().name;
        let key = queue_key(&Arc::from(namespace.id.as_str()), &queue, kind);
        let info = self.inner.matching.describe(&key, Clock::real().0);
        let pollers = info
            .pollers
            .into_iter()
            .map(|poller| PollerInfo {
                last_access_time: Some(Time(poller.last_access).proto()),
                identity: poller.identity,
                rate_per_second: info.tasks_per_second.unwrap_or(100_000.0),
                ..Default::default()
            })
            .collect();
        let stats = request
            .report_stats
            .then(|| TaskQueueStats { approximate_backlog_count: info.backlog as i64, ..Default::default() });
        Ok(DescribeTaskQueueResponse { pollers, stats, ..Default::default() })
    }
}

fn end_of_poll(context: PollContext) -> Instant {
    let longest = Instant::now() + LONGEST_POLL;
    match context.deadline.and_then(|deadline| deadline.checked_sub(MARGIN)) {
        Some(deadline) => deadline.min(longest),
        None => longest,
    }
}

/// Holds on to a task between its start and its poller.
struct Delivery<T: Send + 'static> {
    executions: Executions,
    shard: u32,
    undelivered: Option<Undelivered>,
    answer: Option<oneshot::Receiver<Result<Option<T>, ServiceError>>>,
}

impl<T: Send + 'static> Drop for Delivery<T> {
    fn drop(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        answer.close();
        // An answer that comes later finds the channel closed; then the shard itself takes the task back.
        if let (Ok(Ok(Some(_))), Some(task)) = (answer.try_recv(), self.undelivered.take()) {
            self.executions.send(self.shard, move |shard| {
                let _ = shard.apply(task.seq, task.input);
            });
        }
    }
}
