//! The table of RPCs, and [`Service`], which routes a gRPC call to the service it names.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use durably_proto::temporal::api::{
    operatorservice::v1::{operator_service_server::OperatorServiceServer, *},
    testservice::v1::{test_service_server::TestServiceServer, *},
    workflowservice::v1::{workflow_service_server::WorkflowServiceServer, *},
};
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{Code, body::Body, codec::CompressionEncoding};

use super::{
    Caller, Frontend,
    health::Health,
    in_process::{self, Handler},
};
use crate::{
    error::ErrorKind,
    forward::{Call, Forwarder, Forwarding, Recorded},
    peer::InCall,
};

/// Implements a generated service trait: each line names an RPC, and the inherent method of [`Frontend`] with that
/// name answers it. `$offered` lists the names, so that the rest can be refused with a message of our own, and how each
/// answers a call that comes over no socket.
macro_rules! rpcs {
    ($offered:ident, $service:path { $($rpc:ident($request:ty) -> $response:ty;)* }) => {
        const $offered: &[(&str, Handler)] = &[$((stringify!($rpc), |frontend, deadline, encoded| {
            Box::pin(in_process::answer(
                frontend,
                deadline,
                encoded,
                stringify!($rpc),
                |frontend: Frontend, caller, request: $request| async move {
                    frontend.$rpc(caller, request).await
                },
            ))
        })),*];

        #[tonic::async_trait]
        impl $service for Frontend {
            $(
                async fn $rpc(&self, request: tonic::Request<$request>)
                    -> Result<tonic::Response<$response>, tonic::Status>
                {
                    let caller = self.accept(Caller::of(&request))?;
                    let (_, extensions, message) = request.into_parts();
                    match caller.bounded(Frontend::$rpc(self, caller, message)).await {
                        Ok(response) => Ok(tonic::Response::new(response)),
                        Err(error) => {
                            if let ErrorKind::Elsewhere { address } = error.kind()
                                && let Some(forwarding) = extensions.get::<Forwarding>()
                            {
                                forwarding.set(address);
                            }
                            Err(super::refused(stringify!($rpc), error))
                        }
                    }
                }
            )*
        }
    };
}

rpcs!(WORKFLOW_RPCS, durably_proto::temporal::api::workflowservice::v1::workflow_service_server::WorkflowService {
    get_system_info(GetSystemInfoRequest) -> GetSystemInfoResponse;
    get_cluster_info(GetClusterInfoRequest) -> GetClusterInfoResponse;
    get_search_attributes(GetSearchAttributesRequest) -> GetSearchAttributesResponse;

    register_namespace(RegisterNamespaceRequest) -> RegisterNamespaceResponse;
    describe_namespace(DescribeNamespaceRequest) -> DescribeNamespaceResponse;
    list_namespaces(ListNamespacesRequest) -> ListNamespacesResponse;
    update_namespace(UpdateNamespaceRequest) -> UpdateNamespaceResponse;

    start_workflow_execution(StartWorkflowExecutionRequest) -> StartWorkflowExecutionResponse;
    signal_with_start_workflow_execution(SignalWithStartWorkflowExecutionRequest)
        -> SignalWithStartWorkflowExecutionResponse;
    signal_workflow_execution(SignalWorkflowExecutionRequest) -> SignalWorkflowExecutionResponse;
    request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest)
        -> RequestCancelWorkflowExecutionResponse;
    terminate_workflow_execution(TerminateWorkflowExecutionRequest) -> TerminateWorkflowExecutionResponse;
    query_workflow(QueryWorkflowRequest) -> QueryWorkflowResponse;
    update_workflow_execution(UpdateWorkflowExecutionRequest) -> UpdateWorkflowExecutionResponse;
    poll_workflow_execution_update(PollWorkflowExecutionUpdateRequest) -> PollWorkflowExecutionUpdateResponse;
    execute_multi_operation(ExecuteMultiOperationRequest) -> ExecuteMultiOperationResponse;
    describe_workflow_execution(DescribeWorkflowExecutionRequest) -> DescribeWorkflowExecutionResponse;
    get_workflow_execution_history(GetWorkflowExecutionHistoryRequest) -> GetWorkflowExecutionHistoryResponse;
    get_workflow_execution_history_reverse(GetWorkflowExecutionHistoryReverseRequest)
        -> GetWorkflowExecutionHistoryReverseResponse;

    list_workflow_executions(ListWorkflowExecutionsRequest) -> ListWorkflowExecutionsResponse;
    scan_workflow_executions(ScanWorkflowExecutionsRequest) -> ScanWorkflowExecutionsResponse;
    count_workflow_executions(CountWorkflowExecutionsRequest) -> CountWorkflowExecutionsResponse;
    list_open_workflow_executions(ListOpenWorkflowExecutionsRequest) -> ListOpenWorkflowExecutionsResponse;
    list_closed_workflow_executions(ListClosedWorkflowExecutionsRequest)
        -> ListClosedWorkflowExecutionsResponse;

    poll_workflow_task_queue(PollWorkflowTaskQueueRequest) -> PollWorkflowTaskQueueResponse;
    respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest)
        -> RespondWorkflowTaskCompletedResponse;
    respond_workflow_task_failed(RespondWorkflowTaskFailedRequest) -> RespondWorkflowTaskFailedResponse;
    respond_query_task_completed(RespondQueryTaskCompletedRequest) -> RespondQueryTaskCompletedResponse;
    reset_sticky_task_queue(ResetStickyTaskQueueRequest) -> ResetStickyTaskQueueResponse;

    poll_activity_task_queue(PollActivityTaskQueueRequest) -> PollActivityTaskQueueResponse;
    record_activity_task_heartbeat(RecordActivityTaskHeartbeatRequest) -> RecordActivityTaskHeartbeatResponse;
    record_activity_task_heartbeat_by_id(RecordActivityTaskHeartbeatByIdRequest)
        -> RecordActivityTaskHeartbeatByIdResponse;
    respond_activity_task_completed(RespondActivityTaskCompletedRequest)
        -> RespondActivityTaskCompletedResponse;
    respond_activity_task_completed_by_id(RespondActivityTaskCompletedByIdRequest)
        -> RespondActivityTaskCompletedByIdResponse;
    respond_activity_task_failed(RespondActivityTaskFailedRequest) -> RespondActivityTaskFailedResponse;
    respond_activity_task_failed_by_id(RespondActivityTaskFailedByIdRequest)
        -> RespondActivityTaskFailedByIdResponse;
    respond_activity_task_canceled(RespondActivityTaskCanceledRequest) -> RespondActivityTaskCanceledResponse;
    respond_activity_task_canceled_by_id(RespondActivityTaskCanceledByIdRequest)
        -> RespondActivityTaskCanceledByIdResponse;

    poll_nexus_task_queue(PollNexusTaskQueueRequest) -> PollNexusTaskQueueResponse;

    describe_task_queue(DescribeTaskQueueRequest) -> DescribeTaskQueueResponse;
    record_worker_heartbeat(RecordWorkerHeartbeatRequest) -> RecordWorkerHeartbeatResponse;
    shutdown_worker(ShutdownWorkerRequest) -> ShutdownWorkerResponse;
});

rpcs!(OPERATOR_RPCS, durably_proto::temporal::api::operatorservice::v1::operator_service_server::OperatorService {
    list_search_attributes(ListSearchAttributesRequest) -> ListSearchAttributesResponse;
});

rpcs!(TEST_RPCS, durably_proto::temporal::api::testservice::v1::test_service_server::TestService {
    lock_time_skipping(LockTimeSkippingRequest) -> LockTimeSkippingResponse;
    unlock_time_skipping(UnlockTimeSkippingRequest) -> UnlockTimeSkippingResponse;
    sleep(SleepRequest) -> SleepResponse;
    sleep_until(SleepUntilRequest) -> SleepResponse;
    unlock_time_skipping_with_sleep(SleepRequest) -> SleepResponse;
    get_current_time(()) -> GetCurrentTimeResponse;
});

/// Requests above this are refused with OUT_OF_RANGE while they are read; fields have limits of their own.
pub(super) const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// All gRPC services as one tower service, for sockets and for callers in this process. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    frontend: Frontend,
    workflow: WorkflowServiceServer<Frontend>,
    operator: OperatorServiceServer<Frontend>,
    test: TestServiceServer<Frontend>,
    health: Health,
    /// What answers a path, but for those of the health service.
    offered: Arc<HashMap<String, Handler>>,
    /// For a state that other servers have too.
    forwarder: Option<Forwarder>,
}

const WORKFLOW: &str = "/temporal.api.workflowservice.v1.WorkflowService/";
const OPERATOR: &str = "/temporal.api.operatorservice.v1.OperatorService/";
const TEST: &str = "/temporal.api.testservice.v1.TestService/";
const HEALTH: &str = "/grpc.health.v1.Health/";

impl Service {
    pub(crate) async fn new(frontend: &Frontend) -> Self {
        // Official SDKs compress what they send. Answers go out as they are: over a local socket, and with payloads
        // that are often encrypted, compressing costs more than it saves, and every client reads plain answers.
        Self {
            frontend: frontend.clone(),
            workflow: WorkflowServiceServer::new(frontend.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_REQUEST),
            operator: OperatorServiceServer::new(frontend.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_REQUEST),
            test: TestServiceServer::new(frontend.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_REQUEST),
            health: Health::new(frontend.executions(), WORKFLOW.trim_matches('/')).await,
            offered: Arc::new(
                [(WORKFLOW, WORKFLOW_RPCS), (OPERATOR, OPERATOR_RPCS), (TEST, TEST_RPCS)]
                    .into_iter()
                    .flat_map(|(service, rpcs)| {
                        rpcs.iter()
                            .map(move |(rpc, handler)| (format!("{service}{}", camel_case(rpc)), *handler))
                    })
                    .collect(),
            ),
            forwarder: frontend
                .executions()
                .is_shared()
                .then(|| Forwarder::new(frontend.executions().clone())),
        }
    }

    pub(super) fn frontend(&self) -> Frontend {
        self.frontend.clone()
    }

    /// What answers a path without more of this service than the table.
    pub(super) fn handler(&self, path: &str) -> Option<Handler> {
        if self.forwarder.is_some() {
            return None;
        }
        self.offered.get(path).copied()
    }
}

/// The name of an RPC in the API from that of its method.
fn camel_case(name: &str) -> String {
    let capitalized = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    name.split('_').map(capitalized).collect()
}

/// An answer that carries only a status.
fn refuse(message: String) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    Box::pin(async move { Ok(tonic::Status::unimplemented(message).into_http()) })
}

/// Gives requests that could not be read the status that clients of Temporal expect.
///
/// Only an answer without a message has its status in the headers, so this costs the others one look-up. SDKs know an
/// oversize task by the text "received message larger than max" and fail it instead of sending it again.
fn explain_unreadable(answer: Response<Body>) -> Response<Body> {
    if !answer.headers().contains_key(tonic::Status::GRPC_STATUS) {
        return answer;
    }
    let Some(status) = tonic::Status::from_header_map(answer.headers()) else { return answer };
    explain(&status).map_or(answer, tonic::Status::into_http)
}

/// The status for a request that could not be read, given the one that reading it ended with; `None` if that will do.
pub(super) fn explain(status: &tonic::Status) -> Option<tonic::Status> {
    match status.code() {
        // What was compressed is too large only when it is no longer compressed.
        Code::ResourceExhausted if !status.message().starts_with("Error decompressing: size limit") => None,
        Code::OutOfRange | Code::ResourceExhausted => Some(tonic::Status::resource_exhausted(format!(
            "grpc: received message larger than max: {}. Store large data elsewhere and pass a reference",
            status.message()
        ))),
        Code::Internal if status.message().starts_with("failed to decode Protobuf message") => {
            let message = format!("the request is not the message of this RPC: {}", status.message());
            Some(tonic::Status::invalid_argument(message))
        }
        _ => None,
    }
}

impl<B> tower::Service<Request<B>> for Service
where
    B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with(HEALTH) {
            return self.health.call(request);
        }
        if !self.offered.contains_key(path) {
            let known = [WORKFLOW, OPERATOR, TEST].iter().find_map(|service| path.strip_prefix(service));
            return refuse(match known {
                Some(rpc) => format!("{rpc} is not offered by this server yet; do without it"),
                None => format!("unknown service in {path}; this is a server for Temporal's API"),
            });
        }
        let is_workflow = path.starts_with(WORKFLOW);
        let is_operator = path.starts_with(OPERATOR);
        let forwarder = self.forwarder.clone();
        let (kept, request) = match forwarder {
            Some(_) => Call::keep(request),
            None => (None, request.map(Recorded::plain)),
        };
        let (request, peer_call) = match InCall::begin(request) {
            Ok(begun) => begun,
            Err(refused) => return Box::pin(async move { Ok(refused.into_http()) }),
        };
        let answer = if is_workflow {
            self.workflow.call(request)
        } else if is_operator {
            self.operator.call(request)
        } else {
            self.test.call(request)
        };
        Box::pin(async move {
            let mut answer = answer.await.map(explain_unreadable)?;
            if let (Some(forwarder), Some((call, forwarding))) = (forwarder, kept) {
                answer = forwarder.follow(answer, call, &forwarding).await;
            }
            Ok(peer_call.end(answer))
        })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// The names are made from those of the methods. That all RPCs of the API have their place, and which are refused, is for
    /// `server/tests/behaviour/rpcs.rs`.
    #[test]
    fn every_listed_rpc_is_one_of_its_service() {
        let set = prost_types::FileDescriptorSet::decode(durably_proto::DESCRIPTORS).unwrap();
        let mut paths = std::collections::HashSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        for (service, rpcs) in [(WORKFLOW, WORKFLOW_RPCS), (OPERATOR, OPERATOR_RPCS), (TEST, TEST_RPCS)] {
            for (rpc, _) in rpcs {
                let path = format!("{service}{}", camel_case(rpc));
                assert!(paths.contains(&path), "{rpc} would be {path}, which the API does not have");
            }
        }
    }
}
