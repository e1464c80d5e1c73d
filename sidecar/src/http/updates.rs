//! Updates: requests that change a run and answer. A request says how far it waits; what is asked is in its body.
//!
//! Whoever waits in vain is told how far the update is, and can go on with its id: the sidecar gives it one, if it has none, so
//! that there is always something to go on with.

use std::{sync::Arc, time::Duration};

use durably_proto::durably::core::v1::CallError;
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Map, Value, json};
use tonic::Code;

use super::{
    Ask, Reply,
    client::{arguments, call, call_within, execution, refuse_rest, to_start, values},
    error::{ApiError, of_operation},
};
use crate::Shared;

/// An update that is given less than this may not even reach the server.
const SHORTEST: Duration = Duration::from_millis(100);
const PREFIX: &str = "UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_";

const WORKFLOW: (&str, &str) = ("workflowId", "As given.");
const OF_RUN: (&str, &str) = ("runId", "Of the run that has the update.");
const ID: (&str, &str) = ("updateId", "To ask for the result, or to send the update again.");
const STAGE: (&str, &str) =
    ("stage", "ADMITTED (no worker has decided: send it again, with its id), ACCEPTED or COMPLETED.");
const RESULT: (&str, &str) = ("result", "Of COMPLETED: what its handler returned.");
const FAILURE: (&str, &str) =
    ("failure", "Or why it was rejected, or failed: a temporal.api.failure.v1.Failure.");

pub(super) const ANSWER: &[(&str, &str)] = &[WORKFLOW, OF_RUN, ID, STAGE, RESULT, FAILURE];
pub(super) const ANSWER_WITH_START: &[(&str, &str)] =
    &[WORKFLOW, OF_RUN, ("started", "Whether this call has started it."), ID, STAGE, RESULT, FAILURE];

/// How far a request waits for its update, and how long.
struct Wait {
    stage: String,
    time: Duration,
}

impl Wait {
    fn of(ask: &Ask) -> Result<Self, ApiError> {
        let stage = match ask.query("stage") {
            "" => "COMPLETED",
            stage @ ("ACCEPTED" | "COMPLETED") => stage,
            other => {
                return Err(ApiError::invalid(format!("stage is `ACCEPTED` or `COMPLETED`, not `{other}`")));
            }
        };
        Ok(Self { stage: format!("{PREFIX}{stage}"), time: ask.wait()? })
    }

    fn policy(&self) -> Value {
        json!({ "lifecycleStage": self.stage })
    }
}

/// An update of a workflow that is known by its id.
struct Update {
    id: String,
    execution: Value,
}

impl Update {
    fn reference(&self) -> Value {
        json!({ "workflowExecution": self.execution, "updateId": self.id })
    }

    /// What is asked of the workflow.
    fn request(&self, shared: &Shared, wait: &Wait, name: &str, arguments: &Value) -> Value {
        let meta = json!({ "updateId": self.id, "identity": shared.client.identity() });
        json!({
            "workflowExecution": self.execution,
            "waitPolicy": wait.policy(),
            "request": { "meta": meta, "input": { "name": name, "args": arguments } },
        })
    }

    /// How far it is, without waiting.
    async fn look(&self, shared: &Shared) -> Result<Value, CallError> {
        let request = json!({ "updateRef": self.reference() });
        call(shared, "PollWorkflowExecutionUpdate", request).await.map(|seen| self.told(&seen))
    }

    /// How far one is that was sent and not answered in time.
    async fn look_after_sending(&self, shared: &Shared) -> Result<Value, CallError> {
        match self.look(shared).await {
            // Nobody keeps an update that no worker has accepted.
            Err(error) if error.code == Code::NotFound as i32 => Ok(self.told(&Value::Null)),
            other => other,
        }
    }

    /// What a response says of it, as the sidecar's answer.
    fn told(&self, response: &Value) -> Value {
        let mut answer = Map::new();
        answer.insert("workflowId".into(), self.execution["workflowId"].clone());
        if let run @ Value::String(_) = &response["updateRef"]["workflowExecution"]["runId"] {
            answer.insert("runId".into(), run.clone());
        }
        answer.insert("updateId".into(), self.id.clone().into());
        let outcome = &response["outcome"];
        let stage = response["stage"].as_str().and_then(|stage| stage.strip_prefix(PREFIX));
        let stage = if outcome.is_null() { stage.unwrap_or("ADMITTED") } else { "COMPLETED" };
        answer.insert("stage".into(), stage.into());
        if let failure @ Value::Object(_) = &outcome["failure"] {
            answer.insert("failure".into(), failure.clone());
        } else if !outcome.is_null() {
            answer.insert("result".into(), outcome["success"].get(0).cloned().unwrap_or_default());
        }
        answer.into()
    }
}

fn is_late(error: &CallError) -> bool {
    error.code == Code::DeadlineExceeded as i32
}

/// Takes a text out of the body; empty if it isn't there.
fn text(body: &mut Map<String, Value>, name: &str) -> Result<String, ApiError> {
    match body.remove(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ApiError::invalid(format!("{name} must be a string"))),
    }
}

/// Takes the update's id out of the body, or makes one.
fn id(body: &mut Map<String, Value>) -> Result<String, ApiError> {
    let given = text(body, "updateId")?;
    Ok(if given.is_empty() { uuid::Uuid::new_v4().to_string() } else { given })
}

pub(super) fn update(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let (mut body, wait) = (ask.object()?, Wait::of(&ask)?);
        let arguments = arguments(&mut body)?;
        let update = Update { id: id(&mut body)?, execution: execution(&ask) };
        refuse_rest(&body)?;
        let request = update.request(&shared, &wait, ask.path("name"), &arguments);
        let answer =
            match call_within(&shared, "UpdateWorkflowExecution", request, wait.time.max(SHORTEST)).await {
                Ok(response) => update.told(&response),
                Err(error) if is_late(&error) => update.look_after_sending(&shared).await?,
                Err(error) => return Err(error.into()),
            };
        Ok(Reply::Json(answer))
    }
    .boxed()
}

pub(super) fn result(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let wait = Wait::of(&ask)?;
        let update = Update { id: ask.path("update").to_owned(), execution: execution(&ask) };
        let request = json!({ "updateRef": update.reference(), "waitPolicy": wait.policy() });
        let answer = match call_within(&shared, "PollWorkflowExecutionUpdate", request, wait.time).await {
            Ok(response) => update.told(&response),
            Err(error) if is_late(&error) => update.look(&shared).await?,
            Err(error) => return Err(error.into()),
        };
        Ok(Reply::Json(answer))
    }
    .boxed()
}

pub(super) fn update_with_start(
    shared: Arc<Shared>,
    ask: Ask,
) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let (mut body, wait) = (ask.object()?, Wait::of(&ask)?);
        let name = text(&mut body, "updateName")?;
        let arguments = values(&mut body, "updateArguments")?;
        let id = id(&mut body)?;
        let start = to_start(body)?;
        let update = Update { id, execution: json!({ "workflowId": start["workflowId"] }) };
        let request = json!({ "operations": [
            { "startWorkflow": start },
            { "updateWorkflow": update.request(&shared, &wait, &name, &arguments) },
        ] });
        let answer =
            match call_within(&shared, "ExecuteMultiOperation", request, wait.time.max(SHORTEST)).await {
                Ok(response) => {
                    let [started, updated] = [&response["responses"][0], &response["responses"][1]];
                    let mut answer = update.told(&updated["updateWorkflow"]);
                    answer["runId"] = started["startWorkflow"]["runId"].clone();
                    answer["started"] = (started["startWorkflow"]["started"] == true).into();
                    answer
                }
                Err(error) if is_late(&error) => update.look_after_sending(&shared).await?,
                Err(error) => return Err(of_operation(error).into()),
            };
        Ok(Reply::Json(answer))
    }
    .boxed()
}
