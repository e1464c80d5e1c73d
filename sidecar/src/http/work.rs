//! Work over HTTP: an application polls, and answers.

use std::sync::Arc;

use durably_proto::durably::core::v1::{
    CallError, WorkerRequest, activity_cancel::Reason, worker_event::Event, worker_request::Request,
};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Ask, Reply, error::ApiError};
use crate::{
    Shared,
    assignment::{Activations, Wants},
    json,
    queue::Queue,
};

fn queue<'a>(shared: &'a Shared, ask: &Ask) -> Result<&'a Arc<Queue>, ApiError> {
    let name = ask.path("queue");
    shared.queues.get(name).ok_or_else(|| {
        ApiError::not_found(format!(
            "task queue `{name}` is not in the configuration: add [[worker]] with this task_queue"
        ))
    })
}

pub(super) fn poll(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let queue = queue(&shared, &ask)?;
        let options = queue.options();
        let wants = Wants {
            workflows: if options.workflows && ask.flag("workflows")? {
                Activations::All
            } else {
                Activations::None
            },
            activities: u32::from(options.activities && ask.flag("activities")?),
        };
        let wait = ask.wait()?;
        let mut visit = queue.enter(ask.path("application"))?;
        let Ok(event) = tokio::time::timeout(wait, visit.next(wants)).await else {
            return Ok(Reply::Nothing);
        };
        if let Some(Event::ShutDown(end)) = &event.event
            && let Some(error) = &end.fatal
        {
            return Err(error.clone().into());
        }
        match json::write("durably.core.v1.WorkerEvent", &event) {
            Ok(value) => Ok(Reply::Json(value)),
            Err(error) => {
                visit.put_back(event);
                Err(ApiError::invalid(format!("the event cannot be written as JSON: {error}")))
            }
        }
    }
    .boxed()
}

pub(super) fn complete_activity(
    shared: Arc<Shared>,
    ask: Ask,
) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let completion = ask.message("durably.core.v1.ActivityCompletion")?;
        let (waiting, answered) = oneshot::channel();
        answer(&shared, &ask, Request::Activity(completion), Some(waiting))?;
        match answered.await {
            Ok(None) => Ok(Reply::Nothing),
            Ok(Some(error)) => Err(error.into()),
            Err(_) => {
                let message =
                    "the sidecar ended before the server had the answer; the activity may be tried again";
                Err(ApiError::unavailable(message))
            }
        }
    }
    .boxed()
}

pub(super) fn complete_workflow(
    shared: Arc<Shared>,
    ask: Ask,
) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let completion = ask.message("durably.core.v1.WorkflowCompletion")?;
        answer(&shared, &ask, Request::Workflow(completion), None)?;
        Ok(Reply::Nothing)
    }
    .boxed()
}

pub(super) fn heartbeat(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let heartbeat = ask.message("durably.core.v1.ActivityHeartbeat")?;
        let cancel = answer(&shared, &ask, Request::Heartbeat(heartbeat), None)?;
        Ok(Reply::Json(match cancel {
            Some(reason) => json!({ "cancel": reason.as_str_name() }),
            None => Value::Object(serde_json::Map::new()),
        }))
    }
    .boxed()
}

pub(super) fn replay(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        let history = ask.message("durably.core.v1.ReplayHistory")?;
        let queue = queue(&shared, &ask)?;
        // Kept until the end: an application that waits for a result is there.
        let visit = queue.enter(ask.path("application"))?;
        let (waiting, replayed) = oneshot::channel();
        queue.replay(visit.application(), history, Some(waiting))?;
        let Ok(result) = replayed.await else {
            return Err(ApiError::unavailable("the sidecar ended before the history was replayed"));
        };
        json::write("durably.core.v1.ReplayResult", &result)
            .map(Reply::Json)
            .map_err(|error| ApiError::invalid(format!("the result cannot be written as JSON: {error}")))
    }
    .boxed()
}

pub(super) fn leave(shared: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    async move {
        queue(&shared, &ask)?.remove_application(ask.path("application"));
        Ok(Reply::Nothing)
    }
    .boxed()
}

fn answer(
    shared: &Shared,
    ask: &Ask,
    request: Request,
    waiting: Option<oneshot::Sender<Option<CallError>>>,
) -> Result<Option<Reason>, ApiError> {
    let queue = queue(shared, ask)?;
    // It is there for the moment of this request, which is what keeps it from counting as gone.
    let visit = queue.enter(ask.path("application"))?;
    let taken = queue.answer(visit.application(), WorkerRequest { request: Some(request) }, waiting)?;
    Ok(taken.cancel)
}
