//! Client calls with plain JSON: each is one call of Temporal's API.

use std::{sync::Arc, time::Duration};

use durably_proto::durably::core::v1::{
    AwaitWorkflow, Call, CallError, WorkflowResult, call_result::Result as Answer, workflow_result::Outcome,
};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Map, Value, json};
use tonic::Code;

use super::{Ask, Reply, error::ApiError};
use crate::{Shared, json};

const API: &str = "temporal.api.workflowservice.v1";

/// Calls `method` with the plain JSON `request`; answers with the plain JSON of its response.
pub(super) async fn call(shared: &Shared, method: &str, request: Value) -> Result<Value, CallError> {
    exchange(shared, method, request, Call { retry: true, ..Default::default() }).await
}

/// The same, until `timeout`: then DEADLINE_EXCEEDED.
pub(super) async fn call_within(
    shared: &Shared,
    method: &str,
    request: Value,
    timeout: Duration,
) -> Result<Value, CallError> {
    let options = Call { retry: true, timeout: timeout.try_into().ok(), ..Default::default() };
    exchange(shared, method, request, options).await
}

async fn exchange(shared: &Shared, method: &str, request: Value, options: Call) -> Result<Value, CallError> {
    let request = json::read_bytes(&format!("{API}.{method}Request"), request).map_err(|e| CallError {
        code: Code::InvalidArgument as i32,
        message: e.to_string(),
        ..Default::default()
    })?;
    let call = Call { method: method.to_owned(), request: request.into(), ..options };
    match shared.client.call(call).await.result {
        Some(Answer::Response(response)) => json::write_bytes(&format!("{API}.{method}Response"), &response)
            .map_err(|e| unreadable(&e.to_string())),
        Some(Answer::Error(error)) => Err(error),
        None => Err(unreadable("it is empty")),
    }
}

fn unreadable(why: &str) -> CallError {
    let message = format!("the server's answer cannot be read: {why}");
    CallError { code: Code::Internal as i32, message, ..Default::default() }
}

pub(super) fn execution(ask: &Ask) -> Value {
    json!({ "workflowId": ask.path("id"), "runId": ask.query("runId") })
}

/// Takes `arguments`, a list of plain values, out of the body.
pub(super) fn arguments(body: &mut Map<String, Value>) -> Result<Value, ApiError> {
    values(body, "arguments")
}

pub(super) fn values(body: &mut Map<String, Value>, name: &str) -> Result<Value, ApiError> {
    match body.remove(name) {
        None => Ok(Value::Array(Vec::new())),
        Some(list @ Value::Array(_)) => Ok(list),
        Some(_) => Err(ApiError::invalid(format!("{name} must be a list, also of a single one: [value]"))),
    }
}

pub(super) fn refuse_rest(body: &Map<String, Value>) -> Result<(), ApiError> {
    match body.keys().next() {
        None => Ok(()),
        Some(name) => Err(ApiError::invalid(format!(
            "`{name}` is unknown here; GET /v1/openapi.json lists what there is"
        ))),
    }
}

pub(super) fn start(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move { begin(&shared, "StartWorkflowExecution", ask.object()?).await }.boxed()
}

pub(super) fn signal_with_start(
    shared: Arc<Shared>,
    ask: Ask,
) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let mut body = ask.object()?;
        if body.contains_key("signalInput") {
            return Err(ApiError::invalid("give `signalArguments`, a list, in place of `signalInput`"));
        }
        let input = values(&mut body, "signalArguments")?;
        body.insert("signalInput".into(), input);
        begin(&shared, "SignalWithStartWorkflowExecution", body).await
    }
    .boxed()
}

async fn begin(shared: &Shared, method: &str, body: Map<String, Value>) -> Result<Reply, ApiError> {
    let request = to_start(body)?;
    let id = request["workflowId"].clone();
    let answer = call(shared, method, request).await?;
    Ok(Reply::Json(json!({ "workflowId": id, "runId": answer["runId"] })))
}

/// The request of a start, of a body that has `arguments` and plain names.
pub(super) fn to_start(mut body: Map<String, Value>) -> Result<Value, ApiError> {
    if body.contains_key("input") {
        return Err(ApiError::invalid("give `arguments`, a list of plain values, in place of `input`"));
    }
    let input = arguments(&mut body)?;
    body.insert("input".into(), input);
    for name in ["workflowType", "taskQueue"] {
        if let Some(Value::String(plain)) = body.get(name) {
            let message = json!({ "name": plain });
            body.insert(name.into(), message);
        }
    }
    Ok(body.into())
}

pub(super) fn list(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let mut request = Map::new();
        for name in ["query", "nextPageToken"] {
            request.insert(name.into(), ask.query(name).into());
        }
        if let text @ [_, ..] = ask.query("pageSize").as_bytes() {
            let text = String::from_utf8_lossy(text);
            let size: i32 =
                text.parse().map_err(|_| ApiError::invalid(format!("pageSize `{text}` is not a number")))?;
            request.insert("pageSize".into(), size.into());
        }
        Ok(Reply::Json(call(&shared, "ListWorkflowExecutions", request.into()).await?))
    }
    .boxed()
}

pub(super) fn count(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let request = json!({ "query": ask.query("query") });
        Ok(Reply::Json(call(&shared, "CountWorkflowExecutions", request).await?))
    }
    .boxed()
}

pub(super) fn describe(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let request = json!({ "execution": execution(&ask) });
        Ok(Reply::Json(call(&shared, "DescribeWorkflowExecution", request).await?))
    }
    .boxed()
}

pub(super) fn result(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let request = AwaitWorkflow {
            workflow_id: ask.path("id").to_owned(),
            run_id: ask.query("runId").to_owned(),
            follow_runs: true,
            timeout: ask.wait()?.try_into().ok(),
            ..Default::default()
        };
        match shared.client.await_workflow(request).await {
            Ok(result) => Ok(Reply::Json(outcome(&result)?)),
            Err(error) if error.code == Code::DeadlineExceeded as i32 => {
                Ok(Reply::Json(json!({ "status": "RUNNING" })))
            }
            Err(error) => Err(error.into()),
        }
    }
    .boxed()
}

fn outcome(result: &WorkflowResult) -> Result<Value, ApiError> {
    let value =
        json::write("durably.core.v1.WorkflowResult", result).map_err(|e| unreadable(&e.to_string()))?;
    let mut answer = Map::from_iter([("runId".to_owned(), value["runId"].clone())]);
    let status = match &result.outcome {
        Some(Outcome::Completed(_)) => {
            answer.insert("result".into(), value["completed"].get(0).cloned().unwrap_or_default());
            "COMPLETED"
        }
        Some(Outcome::Failed(_)) => {
            answer.insert("failure".into(), value["failed"].clone());
            "FAILED"
        }
        Some(Outcome::Cancelled(_)) => {
            answer.insert("details".into(), value["cancelled"].clone());
            "CANCELED"
        }
        Some(Outcome::Terminated(terminated)) => {
            answer.insert("reason".into(), terminated.reason.clone().into());
            answer.insert("details".into(), value["terminated"]["details"].clone());
            "TERMINATED"
        }
        Some(Outcome::TimedOut(_)) => "TIMED_OUT",
        _ => return Err(unreadable("it has an outcome that this sidecar does not know").into()),
    };
    answer.insert("status".into(), status.into());
    Ok(answer.into())
}

pub(super) fn history(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let (mut events, mut token) = (Vec::new(), Value::from(""));
        loop {
            let request = json!({ "execution": execution(&ask), "nextPageToken": token });
            let mut page = call(&shared, "GetWorkflowExecutionHistory", request).await?;
            if let Value::Array(more) = page["history"]["events"].take() {
                events.extend(more);
            }
            token = page["nextPageToken"].take();
            if token.as_str().unwrap_or_default().is_empty() {
                return Ok(Reply::Json(json!({ "events": events })));
            }
        }
    }
    .boxed()
}

pub(super) fn signal(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let mut body = ask.object()?;
        let input = arguments(&mut body)?;
        refuse_rest(&body)?;
        let request = json!({
            "workflowExecution": execution(&ask), "signalName": ask.path("name"), "input": input,
        });
        call(&shared, "SignalWorkflowExecution", request).await?;
        Ok(Reply::Nothing)
    }
    .boxed()
}

pub(super) fn query(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let mut body = ask.object()?;
        let input = arguments(&mut body)?;
        refuse_rest(&body)?;
        let query = json!({ "queryType": ask.path("name"), "queryArgs": input });
        let request = json!({ "execution": execution(&ask), "query": query });
        let answer = call(&shared, "QueryWorkflow", request).await?;
        Ok(Reply::Json(json!({ "result": answer["queryResult"].get(0).cloned().unwrap_or_default() })))
    }
    .boxed()
}

pub(super) fn cancel(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let mut body = ask.object()?;
        let reason = reason(&mut body);
        refuse_rest(&body)?;
        let request = json!({ "workflowExecution": execution(&ask), "reason": reason });
        call(&shared, "RequestCancelWorkflowExecution", request).await?;
        Ok(Reply::Nothing)
    }
    .boxed()
}

pub(super) fn terminate(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let mut body = ask.object()?;
        let (reason, details) = (reason(&mut body), values(&mut body, "details")?);
        refuse_rest(&body)?;
        let request = json!({ "workflowExecution": execution(&ask), "reason": reason, "details": details });
        call(&shared, "TerminateWorkflowExecution", request).await?;
        Ok(Reply::Nothing)
    }
    .boxed()
}

fn reason(body: &mut Map<String, Value>) -> Value {
    body.remove("reason").unwrap_or_else(|| "".into())
}

/// Any call of Temporal's API. It is not retried: only the application knows whether it may be.
pub(super) fn any(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let method = ask.path("method");
        if json::descriptor(&format!("{API}.{method}Request")).is_err() {
            return Err(ApiError::not_found(format!("there is no call `{method}` in {API}.WorkflowService")));
        }
        Ok(Reply::Json(exchange(&shared, method, ask.object()?.into(), Call::default()).await?))
    }
    .boxed()
}

pub(super) fn health(shared: Arc<Shared>, _: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        call(&shared, "GetSystemInfo", json!({})).await?;
        let queues: Vec<_> = shared.queues.keys().collect();
        Ok(Reply::Json(json!({ "namespace": shared.client.namespace(), "taskQueues": queues })))
    }
    .boxed()
}
