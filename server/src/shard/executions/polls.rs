//! Long polls: a worker waits for a task of its queue, and gets it once the start of the task is recorded: on disk, but for
//! a workflow task that had waited for its worker, whose start the run's next commit stores (decision 010).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use durably_proto::temporal::api::{enums::v1::TaskQueueKind, workflowservice::v1::*};

use super::{Executions, PollContext};
use crate::{
    Namespace, ServiceError,
    engine::{Poller, WorkflowTaskGrant},
    matching::{PollerIdentity, QueueKey, QueueKind},
    shard::{
        clock::Clock,
        delivery::{Delivery, Offer},
        runs::fresh_id,
        tasks::{Grant, TaskRef, queue_key},
        work::Work,
    },
};

/// A poll never lasts longer.
const LONGEST_POLL: Duration = Duration::from_mins(1);
/// The empty answer leaves this long before the caller's deadline.
const MARGIN: Duration = Duration::from_secs(1);

impl Executions {
    pub async fn poll_workflow_task(
        &self,
        namespace: &Namespace,
        request: PollWorkflowTaskQueueRequest,
        context: PollContext,
    ) -> Result<PollWorkflowTaskQueueResponse, ServiceError> {
        let queue = request.task_queue.unwrap_or_default();
        let is_sticky = queue.kind() == TaskQueueKind::Sticky;
        let key = queue_key(&Arc::from(namespace.id.as_str()), &queue.name, QueueKind::Workflow);
        let mut poller = self.poller(request.identity, request.worker_instance_key, context);
        poller.sticky = is_sticky;
        match self.poll(&key, poller, context).await? {
            Some((seq, Grant::Workflow(grant))) => self.fill_in(seq, *grant).await,
            _ => Ok(PollWorkflowTaskQueueResponse::default()),
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
        if let Some(rate) = request.task_queue_metadata.and_then(|metadata| metadata.max_tasks_per_second) {
            self.inner.matching.set_rate(&key, Some(rate));
        }
        let poller = self.poller(request.identity, request.worker_instance_key, context);
        match self.poll(&key, poller, context).await? {
            Some((_, Grant::Activity(mut response))) => {
                response.workflow_namespace.clone_from(&namespace.name);
                Ok(*response)
            }
            _ => Ok(PollActivityTaskQueueResponse::default()),
        }
    }

    /// Nothing is offered to workers' Nexus handlers yet: the poll waits as any other, and comes back empty.
    pub async fn poll_nexus_task(
        &self,
        namespace: &Namespace,
        request: PollNexusTaskQueueRequest,
        context: PollContext,
    ) -> Result<PollNexusTaskQueueResponse, ServiceError> {
        let queue = request.task_queue.unwrap_or_default().name;
        let key = queue_key(&Arc::from(namespace.id.as_str()), &queue, QueueKind::Nexus);
        let poller = self.poller(request.identity, request.worker_instance_key, context);
        self.poll(&key, poller, context).await?;
        Ok(PollNexusTaskQueueResponse::default())
    }

    fn poller(&self, identity: String, worker: String, context: PollContext) -> PollerIdentity {
        let poll = self.inner.polls.fetch_add(1, Ordering::Relaxed);
        PollerIdentity { identity, worker, poll, in_process: context.in_process, sticky: false }
    }

    /// Waits for a task of the queue and for its start; `None` when the poll's time is over, its worker has ended its
    /// polls, or the server stops.
    async fn poll(
        &self,
        key: &QueueKey,
        waiting: PollerIdentity,
        context: PollContext,
    ) -> Result<Option<(i64, Grant)>, ServiceError> {
        let until = end_of_poll(context);
        let poll = waiting.poll;
        loop {
            let delivery = match self.next_offer(key, waiting.clone(), until).await {
                None => return Ok(None),
                Some(Offer::Task(task)) => self.start_task(task, &waiting),
                // Started for a poll that is over: dropping it gives the task back.
                Some(Offer::Started(delivery)) if delivery.poll != poll => continue,
                Some(Offer::Started(delivery)) => delivery,
            };
            let seq = delivery.task.seq;
            // A stale task is no reason to answer: the poll goes on.
            match delivery.receive().await {
                Ok(Some(grant)) => return Ok(Some((seq, grant))),
                Ok(None) => {}
                // The task's shard has gone to another process, and the task with it.
                Err(error) if self.is_shared() && error.kind().code() == tonic::Code::Unavailable => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn next_offer(&self, key: &QueueKey, poller: PollerIdentity, until: Instant) -> Option<Offer> {
        let mut closing = self.inner.closing.subscribe();
        if *closing.borrow() {
            return None;
        }
        let mut waiting = self.inner.matching.poll(key, poller, Clock::real().0);
        tokio::select! {
            biased;
            offer = waiting.recv() => offer,
            () = tokio::time::sleep_until(until.into()) => None,
            _ = closing.wait_for(|closing| *closing) => None,
        }
    }

    /// Starts the task at its shard.
    fn start_task(&self, task: TaskRef, waiting: &PollerIdentity) -> Delivery {
        let poller = Poller {
            identity: waiting.identity.clone(),
            request_id: fresh_id(),
            in_process: waiting.in_process,
        };
        let (delivery, reply) = Delivery::new(task.clone(), waiting.poll, self.inbox(task.shard));
        self.send(task.shard, Work::TakeTask { task, poller: Box::new(poller), reply });
        delivery
    }

    /// Completes a workflow task with events that are only in the store, as far as they fit into one answer.
    pub(super) async fn fill_in(
        &self,
        seq: i64,
        grant: WorkflowTaskGrant,
    ) -> Result<PollWorkflowTaskQueueResponse, ServiceError> {
        let WorkflowTaskGrant { mut response, missing } = grant;
        if response.history.is_none() && missing.is_none() {
            return Ok(response);
        }
        let mut history = response.history.take().unwrap_or_default();
        let run_id = response.workflow_execution.as_ref().map_or("", |execution| execution.run_id.as_str());
        (history.events, response.next_page_token) =
            self.page_of_task(seq, missing, history.events, run_id).await?;
        response.history = Some(history);
        Ok(response)
    }
}

fn end_of_poll(context: PollContext) -> Instant {
    let longest = Instant::now() + LONGEST_POLL;
    match context.deadline.and_then(|deadline| deadline.checked_sub(MARGIN)) {
        Some(deadline) => deadline.min(longest),
        None => longest,
    }
}
