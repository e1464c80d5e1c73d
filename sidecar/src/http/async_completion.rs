//! Activities that end elsewhere: completed by whoever has the task token, or knows the ids, with a call of Temporal's API.
//!
//! The bodies are those of a worker's answers, so that it makes no difference to an application who says how an activity ended.

use std::sync::Arc;

use durably_proto::durably::core::v1::{ActivityCompletion, ActivityHeartbeat};
use futures::{FutureExt as _, future::BoxFuture};
use prost::{Message, Name};
use serde_json::{Map, Value, json};

use super::{Ask, Reply, client::call, error::ApiError};
use crate::{Shared, json};

const IDS: [&str; 3] = ["workflowId", "runId", "activityId"];
const TOKEN: (&str, &str) = ("taskToken", "As the activity's start had it. Or its ids:");

pub(super) const COMPLETION: &[(&str, &str)] = &[
    TOKEN,
    ("workflowId", "Of its workflow."),
    ("runId", "A certain run; default: the current one."),
    ("activityId", "As the command that scheduled it had it."),
    ("completed", "An object with the `result`."),
    ("failed", "A temporal.api.failure.v1.Failure."),
    ("cancelled", "A Failure with canceledFailureInfo. Right only after a heartbeat said so."),
];
pub(super) const HEARTBEAT: &[(&str, &str)] = &[
    TOKEN,
    ("workflowId", "Of its workflow."),
    ("runId", "A certain run; default: the current one."),
    ("activityId", "As the command that scheduled it had it."),
    ("details", "List of plain values, for the next attempt."),
];

/// A body whose activity is named by token or ids: what names it, and the rest.
struct Said {
    /// `ById`, or nothing: how the call's name ends.
    suffix: &'static str,
    request: Map<String, Value>,
    rest: Map<String, Value>,
}

/// Takes the body apart; what is left of it must be a message `full_name`.
fn said<M: Message + Name + Default>(ask: &Ask, full_name: &str) -> Result<Said, ApiError> {
    let mut rest = ask.object()?;
    let mut ids: Map<String, Value> =
        IDS.into_iter().filter_map(|name| Some((name.to_owned(), rest.remove(name)?))).collect();
    json::read::<M>(full_name, rest.clone().into()).map_err(|e| ApiError::invalid(e.to_string()))?;
    let token = rest.remove("taskToken");
    match (token, ids.contains_key("workflowId") && ids.contains_key("activityId")) {
        (Some(token), false) if ids.is_empty() => {
            ids.insert("taskToken".into(), token);
            Ok(Said { suffix: "", request: ids, rest })
        }
        (None, true) => Ok(Said { suffix: "ById", request: ids, rest }),
        _ => Err(ApiError::invalid("name the activity by its taskToken, or by workflowId and activityId")),
    }
}

pub(super) fn complete(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let Said { suffix, mut request, mut rest } =
            said::<ActivityCompletion>(&ask, "durably.core.v1.ActivityCompletion")?;
        let method = if let Some(mut completed) = rest.remove("completed") {
            if let Some(result) = completed.as_object_mut().and_then(|members| members.remove("result")) {
                request.insert("result".into(), json!([result]));
            }
            "RespondActivityTaskCompleted"
        } else if let Some(failure) = rest.remove("failed") {
            request.insert("failure".into(), failure);
            "RespondActivityTaskFailed"
        } else if let Some(failure) = rest.remove("cancelled") {
            if let details @ Value::Array(_) = &failure["canceledFailureInfo"]["details"] {
                request.insert("details".into(), details.clone());
            }
            "RespondActivityTaskCanceled"
        } else {
            return Err(ApiError::invalid("say how it ended: `completed`, `failed` or `cancelled`"));
        };
        call(&shared, &format!("{method}{suffix}"), request.into()).await?;
        Ok(Reply::Nothing)
    }
    .boxed()
}

pub(super) fn heartbeat(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let Said { suffix, mut request, rest } =
            said::<ActivityHeartbeat>(&ask, "durably.core.v1.ActivityHeartbeat")?;
        request.extend(rest);
        let answer = call(&shared, &format!("RecordActivityTaskHeartbeat{suffix}"), request.into()).await?;
        let reasons =
            [("cancelRequested", "CANCELLED"), ("activityPaused", "PAUSED"), ("activityReset", "RESET")];
        let cancel = reasons.into_iter().find(|(field, _)| answer[field] == Value::Bool(true));
        Ok(Reply::Json(cancel.map_or_else(|| json!({}), |(_, reason)| json!({ "cancel": reason }))))
    }
    .boxed()
}
