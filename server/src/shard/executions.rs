//! What the frontend calls: one async method per RPC, over all shards.

use std::{sync::Arc, time::Instant};

use durably_proto::temporal::api::workflowservice::v1::*;

use crate::{
    Namespace,
    error::{OpenError, ServiceError},
    options::State,
    store::Filter,
};

/// Where time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClockKind {
    #[default]
    System,
    /// Skips to the next timer while unlocked and no task is under way. Starts locked.
    Virtual,
}

/// Options of [`Executions::open`].
#[derive(Clone, Debug, Default)]
pub struct ExecutionsOptions {
    pub state: State,
    pub clock: ClockKind,
}

/// What a poll knows about its caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct PollContext {
    /// When the caller gives up; the poll answers empty a little earlier. Never more than 60 s.
    pub deadline: Option<Instant>,
    /// The poller lives in this process: after a crash its tasks are known to be lost and are not waited for.
    pub in_process: bool,
}

/// All runs of one store. Cheap to clone.
#[derive(Clone)]
pub struct Executions {
    inner: Arc<()>,
}

impl Executions {
    /// Opens the store (migrating its schema), takes the lease, and resumes what is due. Needs a tokio runtime.
    pub async fn open(options: ExecutionsOptions) -> Result<Self, OpenError> {
        let _ = options;
        Ok(Self { inner: Arc::new(()) })
    }

    /// Answers waiting polls empty, commits what is under way and releases the store.
    pub async fn shutdown(&self) {
        let _ = &self.inner;
    }

    /// Stored namespaces: id and what [`Namespace::encode`] made.
    pub async fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, ServiceError> {
        Err(ServiceError::unimplemented("not yet"))
    }

    /// Inserts or replaces a namespace; durable on return.
    pub async fn put_namespace(&self, id: &str, encoded: Vec<u8>) -> Result<(), ServiceError> {
        let _ = (id, encoded);
        Err(ServiceError::unimplemented("not yet"))
    }

    // temporal.api.testservice: only with ClockKind::Virtual, else FAILED_PRECONDITION. Times are nanoseconds since
    // the Unix epoch, durations nanoseconds.

    pub fn lock_time_skipping(&self) -> Result<(), ServiceError> {
        Err(ServiceError::unimplemented("not yet"))
    }

    pub fn unlock_time_skipping(&self) -> Result<(), ServiceError> {
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn sleep(&self, nanos: i64) -> Result<(), ServiceError> {
        let _ = nanos;
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn sleep_until(&self, time: i64) -> Result<(), ServiceError> {
        let _ = time;
        Err(ServiceError::unimplemented("not yet"))
    }

    /// Unlocks, sleeps, locks again.
    pub async fn unlock_time_skipping_with_sleep(&self, nanos: i64) -> Result<(), ServiceError> {
        let _ = nanos;
        Err(ServiceError::unimplemented("not yet"))
    }

    pub fn current_time(&self) -> i64 {
        0
    }

    pub async fn start_workflow(
        &self,
        namespace: &Namespace,
        request: StartWorkflowExecutionRequest,
    ) -> Result<StartWorkflowExecutionResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn signal_with_start(
        &self,
        namespace: &Namespace,
        request: SignalWithStartWorkflowExecutionRequest,
    ) -> Result<SignalWithStartWorkflowExecutionResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn signal(
        &self,
        namespace: &Namespace,
        request: SignalWorkflowExecutionRequest,
    ) -> Result<SignalWorkflowExecutionResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn request_cancel(
        &self,
        namespace: &Namespace,
        request: RequestCancelWorkflowExecutionRequest,
    ) -> Result<RequestCancelWorkflowExecutionResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn terminate(
        &self,
        namespace: &Namespace,
        request: TerminateWorkflowExecutionRequest,
    ) -> Result<TerminateWorkflowExecutionResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn query(
        &self,
        namespace: &Namespace,
        request: QueryWorkflowRequest,
    ) -> Result<QueryWorkflowResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn describe(
        &self,
        namespace: &Namespace,
        request: DescribeWorkflowExecutionRequest,
    ) -> Result<DescribeWorkflowExecutionResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn history(
        &self,
        namespace: &Namespace,
        request: GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn history_reverse(
        &self,
        namespace: &Namespace,
        request: GetWorkflowExecutionHistoryReverseRequest,
    ) -> Result<GetWorkflowExecutionHistoryReverseResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn list(
        &self,
        namespace: &Namespace,
        request: ListWorkflowExecutionsRequest,
        filter: &Filter,
    ) -> Result<ListWorkflowExecutionsResponse, ServiceError> {
        let _ = (namespace, request, filter);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn count(
        &self,
        namespace: &Namespace,
        request: CountWorkflowExecutionsRequest,
        filter: &Filter,
    ) -> Result<CountWorkflowExecutionsResponse, ServiceError> {
        let _ = (namespace, request, filter);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn poll_workflow_task(
        &self,
        namespace: &Namespace,
        request: PollWorkflowTaskQueueRequest,
        context: PollContext,
    ) -> Result<PollWorkflowTaskQueueResponse, ServiceError> {
        let _ = (namespace, request, context);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_workflow_task_completed(
        &self,
        namespace: &Namespace,
        request: RespondWorkflowTaskCompletedRequest,
    ) -> Result<RespondWorkflowTaskCompletedResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_workflow_task_failed(
        &self,
        namespace: &Namespace,
        request: RespondWorkflowTaskFailedRequest,
    ) -> Result<RespondWorkflowTaskFailedResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_query_task_completed(
        &self,
        namespace: &Namespace,
        request: RespondQueryTaskCompletedRequest,
    ) -> Result<RespondQueryTaskCompletedResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn reset_sticky(
        &self,
        namespace: &Namespace,
        request: ResetStickyTaskQueueRequest,
    ) -> Result<ResetStickyTaskQueueResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn poll_activity_task(
        &self,
        namespace: &Namespace,
        request: PollActivityTaskQueueRequest,
        context: PollContext,
    ) -> Result<PollActivityTaskQueueResponse, ServiceError> {
        let _ = (namespace, request, context);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn record_activity_heartbeat(
        &self,
        namespace: &Namespace,
        request: RecordActivityTaskHeartbeatRequest,
    ) -> Result<RecordActivityTaskHeartbeatResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn record_activity_heartbeat_by_id(
        &self,
        namespace: &Namespace,
        request: RecordActivityTaskHeartbeatByIdRequest,
    ) -> Result<RecordActivityTaskHeartbeatByIdResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_activity_completed(
        &self,
        namespace: &Namespace,
        request: RespondActivityTaskCompletedRequest,
    ) -> Result<RespondActivityTaskCompletedResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_activity_completed_by_id(
        &self,
        namespace: &Namespace,
        request: RespondActivityTaskCompletedByIdRequest,
    ) -> Result<RespondActivityTaskCompletedByIdResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_activity_failed(
        &self,
        namespace: &Namespace,
        request: RespondActivityTaskFailedRequest,
    ) -> Result<RespondActivityTaskFailedResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_activity_failed_by_id(
        &self,
        namespace: &Namespace,
        request: RespondActivityTaskFailedByIdRequest,
    ) -> Result<RespondActivityTaskFailedByIdResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_activity_canceled(
        &self,
        namespace: &Namespace,
        request: RespondActivityTaskCanceledRequest,
    ) -> Result<RespondActivityTaskCanceledResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn respond_activity_canceled_by_id(
        &self,
        namespace: &Namespace,
        request: RespondActivityTaskCanceledByIdRequest,
    ) -> Result<RespondActivityTaskCanceledByIdResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn shutdown_worker(
        &self,
        namespace: &Namespace,
        request: ShutdownWorkerRequest,
    ) -> Result<ShutdownWorkerResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }

    pub async fn describe_task_queue(
        &self,
        namespace: &Namespace,
        request: DescribeTaskQueueRequest,
    ) -> Result<DescribeTaskQueueResponse, ServiceError> {
        let _ = (namespace, request);
        Err(ServiceError::unimplemented("not yet"))
    }
}
