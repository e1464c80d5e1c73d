//! Task queues and the workers behind them.

use durably_proto::temporal::api::{enums::v1::TaskQueueType, workflowservice::v1::*};

use super::{Caller, Frontend, validate};
use crate::error::ServiceError;

impl Frontend {
    pub(super) async fn describe_task_queue(
        &self,
        _: Caller,
        mut request: DescribeTaskQueueRequest,
    ) -> Result<DescribeTaskQueueResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::task_queue(request.task_queue.as_ref())?;
        if request.task_queue_type == TaskQueueType::Unspecified as i32 {
            request.task_queue_type = TaskQueueType::Workflow as i32;
        }
        self.executions().describe_task_queue(&namespace, request).await
    }

    /// A worker that is refused here does not end its shutdown: it waits for polls that it goes on repeating.
    pub(super) async fn poll_nexus_task_queue(
        &self,
        caller: Caller,
        request: PollNexusTaskQueueRequest,
    ) -> Result<PollNexusTaskQueueResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::task_queue(request.task_queue.as_ref())?;
        validate::optional_id("identity", &request.identity)?;
        validate::optional_id("worker_instance_key", &request.worker_instance_key)?;
        let context = caller.poll_context()?;
        self.executions().poll_nexus_task(&namespace, request, context).await
    }

    /// Accepted and not kept: nothing reads worker heartbeats yet.
    pub(super) async fn record_worker_heartbeat(
        &self,
        _: Caller,
        request: RecordWorkerHeartbeatRequest,
    ) -> Result<RecordWorkerHeartbeatResponse, ServiceError> {
        self.namespace(&request.namespace)?;
        Ok(RecordWorkerHeartbeatResponse {})
    }

    pub(super) async fn shutdown_worker(
        &self,
        _: Caller,
        request: ShutdownWorkerRequest,
    ) -> Result<ShutdownWorkerResponse, ServiceError> {
        let namespace = self.namespace(&request.namespace)?;
        validate::optional_id("sticky_task_queue", &request.sticky_task_queue)?;
        validate::optional_id("identity", &request.identity)?;
        validate::optional_id("worker_instance_key", &request.worker_instance_key)?;
        self.executions().shutdown_worker(&namespace, request).await
    }
}
