//! Waiting for an update: a server lets a call wait for some seconds only, so it is asked again until the update has come as
//! far as the call's wait policy says.
//!
//! Until the update is accepted, the call is what it may be lost with: it is sent again as it is, and the update's id (for a
//! start its request id) makes it the same one. From then on the server knows the update, and is polled for its outcome.

use std::time::Duration;

use bytes::Bytes;
use durably_proto::durably::core::v1::CallError;
use durably_proto::temporal::api::{
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    update::v1::WaitPolicy,
    workflowservice::v1::{
        ExecuteMultiOperationRequest, ExecuteMultiOperationResponse, PollWorkflowExecutionUpdateRequest,
        PollWorkflowExecutionUpdateResponse, UpdateWorkflowExecutionRequest, UpdateWorkflowExecutionResponse,
        execute_multi_operation_request::operation::Operation,
        execute_multi_operation_response::response::Response,
    },
};
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::{Code, metadata::MetadataMap};

use super::{
    Client, LONG_POLL_TIMEOUT, Plan, error::call_error, malformed, methods, read, retry::RetryPolicy,
};

/// A call that waits for an update.
pub(super) enum Awaiting {
    Update(Box<UpdateWorkflowExecutionRequest>),
    Poll(Box<PollWorkflowExecutionUpdateRequest>),
    Multi(Box<ExecuteMultiOperationRequest>),
}

impl Awaiting {
    /// What the call is, if it waits.
    pub(super) fn of(method: &str, request: &Bytes) -> Result<Option<Self>, CallError> {
        let wrong = |error| malformed(method, &error);
        let request = request.clone();
        let awaiting = match method {
            "UpdateWorkflowExecution" => {
                let request = UpdateWorkflowExecutionRequest::decode(request).map_err(wrong)?;
                Self::Update(Box::new(request))
            }
            "PollWorkflowExecutionUpdate" => {
                let request = PollWorkflowExecutionUpdateRequest::decode(request).map_err(wrong)?;
                Self::Poll(Box::new(request))
            }
            "ExecuteMultiOperation" => {
                let request = ExecuteMultiOperationRequest::decode(request).map_err(wrong)?;
                Self::Multi(Box::new(request))
            }
            _ => return Ok(None),
        };
        Ok(Some(awaiting).filter(|awaiting| awaiting.stage() != Stage::Unspecified))
    }

    /// How far the update has to come; unspecified if nothing is waited for.
    fn stage(&self) -> Stage {
        match self {
            Self::Update(request) => asked(request.wait_policy.as_ref()),
            Self::Poll(request) => of(request.wait_policy.as_ref()),
            Self::Multi(request) => {
                let mut updates =
                    request.operations.iter().filter_map(|operation| match &operation.operation {
                        Some(Operation::UpdateWorkflow(update)) => Some(update),
                        _ => None,
                    });
                let policy = updates.next().map(|update| update.wait_policy.as_ref());
                policy.map_or(Stage::Unspecified, asked)
            }
        }
    }

    /// Whether it is the update's outcome that is awaited.
    pub(super) fn awaits_outcome(&self) -> bool {
        self.stage() == Stage::Completed
    }
}

/// What a new update is awaited to: as servers read it, which take none for completed.
fn asked(policy: Option<&WaitPolicy>) -> Stage {
    match of(policy) {
        Stage::Unspecified => Stage::Completed,
        stage => stage.max(Stage::Accepted),
    }
}

fn of(policy: Option<&WaitPolicy>) -> Stage {
    policy.map_or(Stage::Unspecified, WaitPolicy::lifecycle_stage)
}

/// Waits for `timeout`, or as long as it takes. Returns the response's bytes.
pub(super) async fn wait(
    client: &Client,
    metadata: &MetadataMap,
    awaiting: Awaiting,
    timeout: Option<Duration>,
) -> Result<Bytes, CallError> {
    let waiting = Waiting { client, metadata };
    let stage = awaiting.stage();
    let waited = async {
        let response = match awaiting {
            Awaiting::Update(request) => waiting.update(*request, stage).await?.encode_to_vec(),
            Awaiting::Poll(request) => waiting.poll(&request, stage).await?.encode_to_vec(),
            Awaiting::Multi(request) => waiting.multi(*request, stage).await?.encode_to_vec(),
        };
        Ok(Bytes::from(response))
    };
    let Some(timeout) = timeout else { return waited.await };
    tokio::time::timeout(timeout, waited).await.unwrap_or_else(|_| {
        let stage = stage.as_str_name().rsplit('_').next().unwrap_or_default();
        let message = format!("the update did not come to the stage {stage} within {timeout:?}");
        Err(call_error(Code::DeadlineExceeded, message))
    })
}

struct Waiting<'a> {
    client: &'a Client,
    metadata: &'a MetadataMap,
}

impl Waiting<'_> {
    async fn update(
        &self,
        mut request: UpdateWorkflowExecutionRequest,
        stage: Stage,
    ) -> Result<UpdateWorkflowExecutionResponse, CallError> {
        name(&mut request);
        let retry = self.client.retry_policy().for_long_calls();
        let mut response: UpdateWorkflowExecutionResponse = loop {
            let asked: Option<UpdateWorkflowExecutionResponse> =
                self.ask(methods::UPDATE_WORKFLOW_EXECUTION, &request, &retry).await?;
            match asked {
                Some(response) if response.stage() >= Stage::Accepted => break response,
                _ => {}
            }
        };
        self.complete(&request, &mut response, stage).await?;
        Ok(response)
    }

    async fn multi(
        &self,
        mut request: ExecuteMultiOperationRequest,
        stage: Stage,
    ) -> Result<ExecuteMultiOperationResponse, CallError> {
        let mut update = UpdateWorkflowExecutionRequest::default();
        for operation in request.operations.iter_mut().filter_map(|operation| operation.operation.as_mut()) {
            match operation {
                Operation::StartWorkflow(start) => {
                    fill(&mut start.namespace, || request.namespace.clone());
                    fill(&mut start.identity, || self.client.identity().to_owned());
                    fill(&mut start.request_id, random_id);
                }
                Operation::UpdateWorkflow(asked) => {
                    fill(&mut asked.namespace, || request.namespace.clone());
                    name(asked);
                    update.clone_from(asked);
                }
            }
        }
        let retry = self.client.retry_policy().for_long_calls();
        // What the first answer says of the start holds: to the repeated call it would be one that was there before.
        let mut first: Option<ExecuteMultiOperationResponse> = None;
        loop {
            let asked: Option<ExecuteMultiOperationResponse> =
                self.ask(methods::EXECUTE_MULTI_OPERATION, &request, &retry).await?;
            let Some(mut response) = asked else { continue };
            let Some(updated) = said_of_update(&mut response).cloned() else { return Ok(response) };
            let first = first.get_or_insert(response);
            let Some(place) = said_of_update(first) else { continue };
            *place = updated;
            if place.stage() >= Stage::Accepted {
                self.complete(&update, place, stage).await?;
                return Ok(std::mem::take(first));
            }
        }
    }

    /// Polls for the outcome of an update that is accepted, if that is wanted and not there yet.
    async fn complete(
        &self,
        request: &UpdateWorkflowExecutionRequest,
        response: &mut UpdateWorkflowExecutionResponse,
        stage: Stage,
    ) -> Result<(), CallError> {
        if stage < Stage::Completed || response.outcome.is_some() {
            return Ok(());
        }
        let poll = PollWorkflowExecutionUpdateRequest {
            namespace: request.namespace.clone(),
            update_ref: response.update_ref.clone(),
            identity: self.client.identity().to_owned(),
            wait_policy: Some(WaitPolicy { lifecycle_stage: stage as i32 }),
        };
        let polled = self.poll(&poll, stage).await?;
        (response.outcome, response.stage) = (polled.outcome, polled.stage);
        Ok(())
    }

    async fn poll(
        &self,
        request: &PollWorkflowExecutionUpdateRequest,
        stage: Stage,
    ) -> Result<PollWorkflowExecutionUpdateResponse, CallError> {
        let retry = self.client.retry_policy().for_long_polls();
        loop {
            let asked: Option<PollWorkflowExecutionUpdateResponse> =
                self.ask(methods::POLL_WORKFLOW_EXECUTION_UPDATE, request, &retry).await?;
            match asked {
                Some(response) if response.stage() >= stage || response.outcome.is_some() => {
                    return Ok(response);
                }
                _ => {}
            }
        }
    }

    /// `None`: the wait ended empty-handed.
    async fn ask<Request, Response>(
        &self,
        path: &'static str,
        request: &Request,
        retry: &RetryPolicy,
    ) -> Result<Option<Response>, CallError>
    where
        Request: prost::Message,
        Response: prost::Message + prost::Name + Default + 'static,
    {
        let plan = Plan {
            path: &PathAndQuery::from_static(path),
            metadata: self.metadata,
            timeout: None,
            attempt_timeout: LONG_POLL_TIMEOUT,
            retry: Some(retry),
        };
        match self.client.carry_out(plan, request.encode_to_vec().into()).await {
            Ok(answer) => read(path, answer).map(Some),
            Err(error) if error.code == Code::DeadlineExceeded as i32 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An update without an id would be another one each time.
fn name(request: &mut UpdateWorkflowExecutionRequest) {
    if let Some(meta) = request.request.as_mut().and_then(|request| request.meta.as_mut()) {
        fill(&mut meta.update_id, random_id);
    }
}

fn fill(field: &mut String, value: impl FnOnce() -> String) {
    if field.is_empty() {
        *field = value();
    }
}

fn random_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

/// What is said of the update.
fn said_of_update(
    response: &mut ExecuteMultiOperationResponse,
) -> Option<&mut UpdateWorkflowExecutionResponse> {
    response.responses.iter_mut().find_map(|response| match &mut response.response {
        Some(Response::UpdateWorkflow(updated)) => Some(updated),
        _ => None,
    })
}
