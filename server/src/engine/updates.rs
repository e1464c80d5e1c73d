//! Updates: what somebody asks of a run that answers. The workflow's code gets one with a workflow task, accepts or rejects
//! it there, and completes it then or later.
//!
//! One that nobody has accepted yet is kept in memory only: whoever asked asks again after a crash, under the same id, and
//! a worker's acceptance brings along what was asked. From there on it is part of the run's state, for as long as the run is
//! kept, so that asking again always finds the same answer. Rejected ones leave nothing behind.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use durably_proto::{
    depth,
    temporal::api::{
        failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
        history::v1::{
            HistoryEvent, WorkflowExecutionUpdateAcceptedEventAttributes,
            WorkflowExecutionUpdateCompletedEventAttributes, history_event::Attributes,
        },
        protocol::v1::{Message, message::SequencingId},
        update::v1::{Acceptance, Outcome, Rejection, Request, Response, outcome},
    },
};
use prost::{Message as _, Name};

use super::{
    Context, Execution, Output, Time,
    pending::{Item, Stage},
    weight,
};
use crate::{ServiceError, error::ErrorKind, store::RowKind};

/// So many updates of a run may be without an answer, with so many bytes, and so many may there be in all. The real
/// server has the same bounds.
const MAX_IN_FLIGHT: usize = 10;
const MAX_IN_FLIGHT_BYTES: usize = 20 * 1024 * 1024;
const MAX_TOTAL: usize = 2_000;
/// So many bytes of them go with one workflow task: its worker's answer brings them back, and clients take 4 MiB.
const MAX_SENT_BYTES: usize = 3 * 1024 * 1024;
/// From so many on, workers are told to continue as new.
const SUGGEST_TOTAL: usize = MAX_TOTAL / 10 * 9;

/// An update that was accepted, as it is stored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[expect(clippy::struct_field_names, reason = "these are the API's names")]
pub struct AcceptedUpdate {
    #[prost(string, tag = "1")]
    pub update_id: String,
    #[prost(int64, tag = "2")]
    pub accepted_event_id: i64,
    /// 0 until it has its outcome.
    #[prost(int64, tag = "3")]
    pub completed_event_id: i64,
}

impl AcceptedUpdate {
    fn is_completed(&self) -> bool {
        self.completed_event_id > 0
    }
}

impl Item for AcceptedUpdate {
    const KIND: RowKind = RowKind::Update;

    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn name(&self) -> &str {
        &self.update_id
    }

    fn due(&self) -> Option<Time> {
        None
    }

    fn stage(&self) -> Stage {
        if self.is_completed() { Stage::Sleeping } else { Stage::Started }
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + 128 + 2 * self.update_id.len()
    }
}

/// How far an update has come.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateStage {
    Admitted,
    Accepted,
    /// Rejected ones too.
    Completed(UpdateOutcome),
}

#[derive(Clone, Debug, PartialEq)]
pub enum UpdateOutcome {
    Known(Box<Outcome>),
    /// It is in this event, which is not in memory.
    In(i64),
}

impl UpdateOutcome {
    fn failed(failure: Failure) -> Self {
        Self::known(Outcome { value: Some(outcome::Value::Failure(failure)) })
    }

    fn known(outcome: Outcome) -> Self {
        Self::Known(Box::new(outcome))
    }
}

/// Updates that the workflow has not accepted yet, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Requested {
    updates: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    /// A worker has it with the running workflow task.
    sent: bool,
    bytes: usize,
    weight: usize,
}

impl Asked {
    fn new(request: Request) -> Self {
        Self { bytes: request.encoded_len(), weight: weight::of(Some(&request)), request, sent: false }
    }
}

impl Requested {
    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// Some have not been with a worker yet.
    pub(super) fn has_unsent(&self) -> bool {
        self.updates.iter().any(|asked| !asked.sent)
    }

    fn bytes(&self) -> usize {
        self.updates.iter().map(|asked| asked.bytes).sum()
    }

    pub(super) fn weight(&self) -> usize {
        self.updates.iter().map(|asked| asked.weight).sum()
    }

    fn contains(&self, update_id: &str) -> bool {
        self.updates.iter().any(|asked| id_of(&asked.request) == update_id)
    }

    fn take(&mut self, update_id: &str) -> Option<Request> {
        let place = self.updates.iter().position(|asked| id_of(&asked.request) == update_id)?;
        Some(self.updates.remove(place).request)
    }

    /// The workflow task that they went with is gone: they go with its next attempt.
    fn detach(&mut self) {
        for asked in &mut self.updates {
            asked.sent = false;
        }
    }
}

fn id_of(request: &Request) -> &str {
    request.meta.as_ref().map_or("", |meta| &meta.update_id)
}

/// What a worker says about an update.
#[derive(Debug)]
pub(super) struct Reply {
    pub update_id: String,
    pub body: ReplyBody,
}

#[derive(Debug)]
pub(super) enum ReplyBody {
    Accept(Box<Acceptance>),
    Reject(Box<Rejection>),
    Respond(Box<Response>),
}

impl Reply {
    /// Reads the protocol message; or what is wrong with it.
    pub(super) fn read(message: Message) -> Result<Self, String> {
        let Message { id, protocol_instance_id, body, .. } = message;
        let body = body.ok_or_else(|| format!("message {id} has no body"))?;
        let kind = body.type_url.rsplit('/').next().unwrap_or_default().to_owned();
        let value = Bytes::from(body.value);
        let unreadable = |error| format!("message {id}, a {kind}, can't be read: {error}");
        let body = if kind == Acceptance::full_name() {
            ReplyBody::Accept(Box::new(depth::decode(value).map_err(unreadable)?))
        } else if kind == Rejection::full_name() {
            ReplyBody::Reject(Box::new(depth::decode(value).map_err(unreadable)?))
        } else if kind == Response::full_name() {
            ReplyBody::Respond(Box::new(depth::decode(value).map_err(unreadable)?))
        } else {
            return Err(format!("message {id} is a {kind}: this server takes what is said of updates"));
        };
        if protocol_instance_id.is_empty() {
            return Err(format!("message {id} names no update: protocol_instance_id is not set"));
        }
        Ok(Self { update_id: protocol_instance_id, body })
    }

    pub(super) fn is_rejection(&self) -> bool {
        matches!(self.body, ReplyBody::Reject(_))
    }

    /// How many events it becomes.
    pub(super) fn events(&self) -> i64 {
        i64::from(!self.is_rejection())
    }
}

/// Where an update will be when the replies so far are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planned {
    Accepted,
    Over,
}

/// What the replies of one completed workflow task that were checked so far will have changed.
#[derive(Debug, Default)]
pub(super) struct UpdatePlan<'a>(BTreeMap<&'a str, Planned>);

impl Execution {
    /// Somebody asks for an update, maybe not for the first time.
    pub(super) fn update(&mut self, request: Request, cx: &mut Context<'_>) -> Result<Output, ServiceError> {
        if let Some(stage) = self.update_stage(id_of(&request)) {
            return Ok(Output::Update(stage));
        }
        self.can_update(&request)?;
        self.requested.updates.push(Asked::new(request));
        self.schedule_speculative_task(cx);
        Ok(Output::Update(UpdateStage::Admitted))
    }

    fn can_update(&self, request: &Request) -> Result<(), ServiceError> {
        self.require_open()?;
        if self.task_keeps_failing() {
            return Err(failing());
        }
        let in_flight = self.updates_in_flight();
        if in_flight >= MAX_IN_FLIGHT {
            let message = format!(
                "limit on number of concurrent in-flight updates has been reached ({MAX_IN_FLIGHT}): wait for one to end"
            );
            return Err(ServiceError::new(ErrorKind::ConcurrentLimit, message));
        }
        if self.requested.bytes() + request.encoded_len() > MAX_IN_FLIGHT_BYTES {
            let message = format!(
                "limit on total payload size of in-flight updates has been reached ({MAX_IN_FLIGHT_BYTES})"
            );
            return Err(ServiceError::new(ErrorKind::ConcurrentLimit, message));
        }
        if self.updates_in_all() >= MAX_TOTAL {
            return Err(ServiceError::failed_precondition(format!(
                "limit on number of total updates has been reached ({MAX_TOTAL}): let the workflow continue as new"
            )));
        }
        Ok(())
    }

    fn updates_in_flight(&self) -> usize {
        self.requested.updates.len() + self.pending.updates.count(Stage::Started)
    }

    fn updates_in_all(&self) -> usize {
        self.requested.updates.len() + self.pending.updates.len()
    }

    pub(super) fn suggests_fewer_updates(&self) -> bool {
        self.updates_in_all() >= SUGGEST_TOTAL
    }

    /// Some updates are not accepted yet.
    pub fn has_requested_updates(&self) -> bool {
        !self.requested.is_empty()
    }

    /// Some updates are in memory only, and no worker has them.
    pub fn has_unsent_updates(&self) -> bool {
        self.requested.has_unsent()
    }

    pub(super) fn forget_updates(&mut self, but: &BTreeSet<String>, cx: &mut Context<'_>) -> Output {
        self.requested.updates.retain(|asked| asked.sent || but.contains(id_of(&asked.request)));
        if !self.requested.has_unsent() {
            self.withdraw_speculative_task(cx);
        }
        Output::Done
    }

    /// How far the update of that id has come; `None` if nobody has asked for it, or it was rejected.
    pub fn update_stage(&self, update_id: &str) -> Option<UpdateStage> {
        let Some(accepted) =
            self.pending.updates.id_of(update_id).and_then(|id| self.pending.updates.get(id))
        else {
            return self.requested.contains(update_id).then_some(UpdateStage::Admitted);
        };
        Some(if accepted.is_completed() {
            let (events, _) = self.events(accepted.completed_event_id, accepted.completed_event_id + 1);
            let known = events.into_iter().find_map(outcome_in);
            UpdateStage::Completed(
                known.map_or(UpdateOutcome::In(accepted.completed_event_id), UpdateOutcome::known),
            )
        } else if self.is_open() {
            UpdateStage::Accepted
        } else {
            UpdateStage::Completed(UpdateOutcome::failed(closed_before_completion()))
        })
    }

    /// The messages that go with the workflow task that starts now.
    pub(super) fn send_updates(&mut self, started_event_id: i64) -> Vec<Message> {
        // In a task that follows one which the worker only prolonged, it has those of that one.
        let mut room = MAX_SENT_BYTES;
        let fits = |asked: &&mut Asked| {
            let is_first = room == MAX_SENT_BYTES;
            let left = room.checked_sub(asked.bytes);
            room = left.unwrap_or_default();
            is_first || left.is_some()
        };
        let unsent = self.requested.updates.iter_mut().filter(|asked| !asked.sent).take_while(fits);
        let message = |asked: &mut Asked| {
            asked.sent = true;
            let id = id_of(&asked.request).to_owned();
            Message {
                id: format!("{id}/request"),
                protocol_instance_id: id,
                // The event before the task's start.
                sequencing_id: Some(SequencingId::EventId(started_event_id - 1)),
                body: Some(prost_types::Any {
                    type_url: format!("type.googleapis.com/{}", Request::full_name()),
                    value: asked.request.encode_to_vec(),
                }),
            }
        };
        unsent.map(message).collect()
    }

    /// No worker has any of them.
    pub(super) fn detach_requested(&mut self) {
        self.requested.detach();
    }

    /// The running workflow task has come to nothing. What it carried goes with its next attempt, unless that `is_hopeless`.
    pub(super) fn detach_updates(&mut self, is_hopeless: bool, cx: &mut Context<'_>) {
        self.requested.detach();
        if is_hopeless {
            for Asked { request, .. } in std::mem::take(&mut self.requested.updates) {
                cx.effects.updates.push((id_of(&request).to_owned(), Err(failing())));
            }
        }
    }

    /// Whether the run can take the reply after those in `plan`; else what is wrong.
    pub(super) fn check_reply<'a>(&self, reply: &'a Reply, plan: &mut UpdatePlan<'a>) -> Result<(), String> {
        let id = reply.update_id.as_str();
        let stored = self.pending.updates.id_of(id).and_then(|row| self.pending.updates.get(row));
        let now = plan.0.get(id).copied().or_else(|| {
            stored.map(|update| if update.is_completed() { Planned::Over } else { Planned::Accepted })
        });
        let carried = match &reply.body {
            ReplyBody::Accept(message) => message.accepted_request.as_ref(),
            ReplyBody::Reject(_) | ReplyBody::Respond(_) => None,
        };
        let is_known = self.requested.contains(id) || carried.is_some_and(|request| id_of(request) == id);
        let next = match (&reply.body, now) {
            (ReplyBody::Accept(_), None) if is_known => Planned::Accepted,
            // Of one that nobody waits for any more, there is nothing to reject.
            (ReplyBody::Reject(_), None) => Planned::Over,
            (ReplyBody::Respond(message), Some(Planned::Accepted)) => {
                if message.meta.as_ref().is_none_or(|meta| meta.update_id != id) {
                    return Err(format!("the response to update {id} has another id in its meta"));
                }
                if message.outcome.as_ref().is_none_or(|outcome| outcome.value.is_none()) {
                    return Err(format!("the response to update {id} has no outcome"));
                }
                Planned::Over
            }
            (ReplyBody::Accept(_), None) => {
                return Err(format!(
                    "update {id} wasn't found on the server, and the message doesn't bring it along"
                ));
            }
            (ReplyBody::Respond(_), None) => {
                return Err(format!("update {id} can't be completed: it was not accepted"));
            }
            (ReplyBody::Accept(_) | ReplyBody::Reject(_), Some(_)) => {
                return Err(format!("update {id} was accepted or rejected before"));
            }
            (ReplyBody::Respond(_), Some(Planned::Over)) => {
                return Err(format!("update {id} has its outcome already"));
            }
        };
        if next == Planned::Accepted && self.updates_in_all() > MAX_TOTAL {
            return Err(format!("limit on number of total updates has been reached ({MAX_TOTAL})"));
        }
        plan.0.insert(id, next);
        Ok(())
    }

    /// Takes over what a worker says, which [`Execution::check_reply`] has passed.
    pub(super) fn apply_reply(&mut self, reply: Reply, cx: &mut Context<'_>) {
        let Reply { update_id, body } = reply;
        match body {
            ReplyBody::Accept(message) => self.accept_update(update_id, *message, cx),
            ReplyBody::Reject(message) => {
                self.requested.take(&update_id);
                let failure = message.failure.unwrap_or_default();
                let stage = UpdateStage::Completed(UpdateOutcome::failed(failure));
                cx.effects.updates.push((update_id, Ok(stage)));
            }
            ReplyBody::Respond(message) => self.complete_update(update_id, *message, cx),
        }
    }

    fn accept_update(&mut self, update_id: String, message: Acceptance, cx: &mut Context<'_>) {
        // What was asked here counts; after a crash, what the worker says that it was.
        let accepted_request = self.requested.take(&update_id).or(message.accepted_request);
        let attributes = WorkflowExecutionUpdateAcceptedEventAttributes {
            protocol_instance_id: update_id.clone(),
            accepted_request_message_id: message.accepted_request_message_id,
            accepted_request_sequencing_event_id: message.accepted_request_sequencing_event_id,
            accepted_request,
        };
        let accepted_event_id =
            self.push(Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(attributes), cx);
        let update =
            AcceptedUpdate { update_id: update_id.clone(), accepted_event_id, completed_event_id: 0 };
        self.pending.updates.insert(accepted_event_id, update);
        cx.effects.updates.push((update_id, Ok(UpdateStage::Accepted)));
    }

    fn complete_update(&mut self, update_id: String, message: Response, cx: &mut Context<'_>) {
        let Some(accepted_event_id) = self.pending.updates.id_of(&update_id) else { return };
        let attributes = WorkflowExecutionUpdateCompletedEventAttributes {
            meta: message.meta,
            accepted_event_id,
            outcome: message.outcome.clone(),
        };
        let event_id = self.push(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(attributes), cx);
        self.pending.updates.update(accepted_event_id, |update| update.completed_event_id = event_id);
        let outcome = UpdateOutcome::known(message.outcome.unwrap_or_default());
        cx.effects.updates.push((update_id, Ok(UpdateStage::Completed(outcome))));
    }

    /// The worker has completed the task, and said nothing of updates that it got with it.
    pub(super) fn reject_ignored_updates(&mut self, cx: &mut Context<'_>) {
        let (ignored, left) =
            std::mem::take(&mut self.requested.updates).into_iter().partition(|asked| asked.sent);
        self.requested.updates = left;
        let ignored: Vec<Asked> = ignored;
        for Asked { request, .. } in ignored {
            let stage = UpdateStage::Completed(UpdateOutcome::failed(ignored_by_worker()));
            cx.effects.updates.push((id_of(&request).to_owned(), Ok(stage)));
        }
    }

    /// The run has ended. `goes_on`: another run of the workflow follows it, which can be asked instead.
    pub(super) fn updates_after_close(&mut self, goes_on: bool, cx: &mut Context<'_>) {
        for Asked { request, .. } in std::mem::take(&mut self.requested.updates) {
            let error = if goes_on { closing() } else { self.already_completed() };
            cx.effects.updates.push((id_of(&request).to_owned(), Err(error)));
        }
        for update in self.pending.updates.values().filter(|update| !update.is_completed()) {
            let stage = UpdateStage::Completed(UpdateOutcome::failed(closed_before_completion()));
            cx.effects.updates.push((update.update_id.clone(), Ok(stage)));
        }
    }
}

/// The outcome that the event tells of.
pub fn outcome_in(event: HistoryEvent) -> Option<Outcome> {
    match event.attributes {
        Some(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(completed)) => completed.outcome,
        _ => None,
    }
}

fn failing() -> ServiceError {
    ServiceError::new(
        ErrorKind::WorkflowNotReady,
        "Unable to perform workflow execution update due to Workflow Task in failed state.",
    )
}

fn closing() -> ServiceError {
    ServiceError::new(
        ErrorKind::WorkflowClosing,
        "workflow operation can not be applied because workflow is closing",
    )
}

fn closed_before_completion() -> Failure {
    by_server(
        "AcceptedUpdateCompletedWorkflow",
        "Workflow Update failed because the Workflow completed before the Update completed.",
    )
}

fn ignored_by_worker() -> Failure {
    by_server(
        "UnprocessedUpdate",
        "Workflow Update is rejected because it wasn't processed by worker. Probably, Workflow Update is not supported by the \
         worker.",
    )
}

fn by_server(kind: &str, message: &str) -> Failure {
    let info = ApplicationFailureInfo { r#type: kind.to_owned(), non_retryable: true, ..Default::default() };
    Failure {
        message: message.to_owned(),
        source: "Server".to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}
