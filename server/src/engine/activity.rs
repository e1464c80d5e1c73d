//! An activity of a run: waiting for a poller, with a worker, or backing off before the next attempt. History learns
//! of a start only when the activity ends; attempts in between live in the state alone.

use std::sync::Arc;

use bytes::Bytes;
use durably_proto::temporal::api::{
    common::v1::Payloads,
    enums::v1::{RetryState, TimeoutType},
    failure::v1::{Failure, TimeoutFailureInfo, failure::FailureInfo},
    history::v1::{
        ActivityTaskCanceledEventAttributes, ActivityTaskCompletedEventAttributes,
        ActivityTaskFailedEventAttributes, ActivityTaskScheduledEventAttributes,
        ActivityTaskStartedEventAttributes, ActivityTaskTimedOutEventAttributes, HistoryEvent,
        history_event::Attributes,
    },
};
use prost::Message;

use super::{
    Context, Dispatch, Execution, Output, Poller,
    pending::{Item, Stage},
    retry::{self, Retry},
    state::{ActivityPhase, ActivityState, AwaitingPoller, AwaitingResult, AwaitingRetry, TaskToken},
    time::{Time, positive},
    weight,
};
use crate::{ServiceError, store::RowKind};

/// A pending activity: what the workflow asked for, and how far it is.
pub(super) struct Activity {
    pub spec: Arc<ActivityTaskScheduledEventAttributes>,
    pub state: ActivityState,
    /// What `spec` takes.
    spec_weight: usize,
}

impl Item for Activity {
    const KIND: RowKind = RowKind::Activity;

    fn encode(&self) -> Bytes {
        self.state.encode_to_vec().into()
    }

    fn name(&self) -> &str {
        &self.spec.activity_id
    }

    fn due(&self) -> Option<Time> {
        Some(self.next_due()?.0)
    }

    fn stage(&self) -> Stage {
        match self.state.phase {
            Some(ActivityPhase::AwaitingPoller(_)) => Stage::Offered,
            Some(ActivityPhase::AwaitingResult(_)) => Stage::Started,
            Some(ActivityPhase::AwaitingRetry(_)) | None => Stage::Sleeping,
        }
    }

    fn weight(&self) -> usize {
        // Details and the last failure are what can be large in the state.
        let details = weight::of(self.state.heartbeat_details.as_ref());
        let failure = weight::of(self.state.last_failure.as_ref());
        size_of::<Self>() + 256 + self.spec_weight + details + failure
    }
}

impl Activity {
    pub(super) fn scheduled(id: i64, spec: ActivityTaskScheduledEventAttributes, now: Time) -> Self {
        Self {
            spec_weight: weight::of(Some(&spec)),
            spec: Arc::new(spec),
            state: ActivityState {
                scheduled_event_id: id,
                phase: Some(ActivityPhase::AwaitingPoller(AwaitingPoller {})),
                attempt: 1,
                scheduled_time: now.0,
                attempt_scheduled_time: now.0,
                ..Default::default()
            },
        }
    }

    pub(super) fn load(state: ActivityState, event: HistoryEvent) -> Option<Self> {
        match event.attributes {
            Some(Attributes::ActivityTaskScheduledEventAttributes(spec)) => {
                let (spec, spec_weight) = weight::owned(spec);
                Some(Self { spec_weight, spec: Arc::new(spec), state })
            }
            _ => None,
        }
    }

    pub(super) fn is_started(&self) -> bool {
        matches!(self.state.phase, Some(ActivityPhase::AwaitingResult(_)))
    }

    pub(super) fn cancel_requested(&self) -> bool {
        self.state.cancel_requested_event_id != 0
    }

    pub(super) fn dispatch(&self) -> Option<Dispatch> {
        matches!(self.state.phase, Some(ActivityPhase::AwaitingPoller(_))).then(|| Dispatch::Activity {
            queue: self.spec.task_queue.as_ref().map_or_else(String::new, |queue| queue.name.clone()),
            scheduled_event_id: self.state.scheduled_event_id,
            attempt: self.state.attempt,
        })
    }

    /// End of all attempts.
    pub(super) fn expiration(&self) -> Option<Time> {
        positive(self.spec.schedule_to_close_timeout.as_ref())
            .map(|timeout| Time(self.state.scheduled_time).after(timeout))
    }

    /// The next time-out or retry.
    pub(super) fn next_due(&self) -> Option<(Time, ActivityDue)> {
        let mut due: Vec<(Time, ActivityDue)> = Vec::with_capacity(3);
        let timeout = |kind| ActivityDue::Timeout(kind);
        due.extend(self.expiration().map(|time| (time, timeout(TimeoutType::ScheduleToClose))));
        match self.state.phase.as_ref()? {
            ActivityPhase::AwaitingRetry(pause) => due.push((Time(pause.due), ActivityDue::Retry)),
            ActivityPhase::AwaitingPoller(_) => {
                due.extend(positive(self.spec.schedule_to_start_timeout.as_ref()).map(|span| {
                    let from = Time(self.state.attempt_scheduled_time);
                    (from.after(span), timeout(TimeoutType::ScheduleToStart))
                }));
            }
            ActivityPhase::AwaitingResult(running) => {
                let started = Time(running.started_time);
                due.extend(
                    positive(self.spec.start_to_close_timeout.as_ref())
                        .map(|span| (started.after(span), timeout(TimeoutType::StartToClose))),
                );
                let beat = self.state.heartbeat_time.map_or(started, |time| started.max(Time(time)));
                due.extend(
                    positive(self.spec.heartbeat_timeout.as_ref())
                        .map(|span| (beat.after(span), timeout(TimeoutType::Heartbeat))),
                );
            }
        }
        // Of time-outs that end at one moment the more particular one counts: that is the order of their numbers.
        due.into_iter().min_by_key(|(time, due)| match due {
            ActivityDue::Timeout(kind) => (*time, *kind as i32),
            ActivityDue::Retry => (*time, i32::MAX),
        })
    }
}

/// What [`Activity::next_due`] announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActivityDue {
    Retry,
    Timeout(TimeoutType),
}

impl Execution {
    pub(super) fn start_activity(
        &mut self,
        scheduled_event_id: i64,
        attempt: i32,
        poller: Poller,
        cx: &mut Context<'_>,
    ) -> Output {
        let offered = |a: &Activity| a.state.attempt == attempt && a.stage() == Stage::Offered;
        if !self.pending.activities.get(scheduled_event_id).is_some_and(offered) {
            return Output::Stale;
        }
        self.pending.activities.update(scheduled_event_id, |Activity { state, .. }| {
            state.last_identity.clone_from(&poller.identity);
            state.last_started_time = Some(cx.now.0);
            state.heartbeat_time = None;
            state.phase = Some(ActivityPhase::AwaitingResult(AwaitingResult {
                started_time: cx.now.0,
                identity: poller.identity,
                request_id: poller.request_id,
                epoch: cx.epoch,
                in_process: poller.in_process,
            }));
        });
        self.changed(cx);
        match self.pending.activities.get(scheduled_event_id) {
            Some(activity) => Output::Activity(Box::new(self.activity_grant(activity))),
            None => Output::Stale,
        }
    }

    pub(super) fn activity_undelivered(
        &mut self,
        scheduled_event_id: i64,
        attempt: i32,
        cx: &mut Context<'_>,
    ) -> Output {
        let started = |a: &Activity| a.state.attempt == attempt && a.is_started();
        if !self.pending.activities.get(scheduled_event_id).is_some_and(started) {
            return Output::Stale;
        }
        // It never left the server, so taking it back is as if it had not been started.
        self.offer_activity(scheduled_event_id, cx);
        Output::Done
    }

    /// From now on a poller can take the activity. The stored state leads here again after a crash.
    fn offer_activity(&mut self, id: i64, cx: &mut Context<'_>) {
        let dispatch = self.pending.activities.update(id, |activity| {
            activity.state.phase = Some(ActivityPhase::AwaitingPoller(AwaitingPoller {}));
            activity.dispatch()
        });
        cx.effects.dispatch.extend(dispatch.flatten());
        self.changed_in_memory();
    }

    /// The scheduled event id of the running attempt that `token` names, by event or by activity id.
    fn claim_activity(&self, token: &TaskToken) -> Result<i64, ServiceError> {
        if !self.is_open() {
            return Err(ServiceError::not_found("workflow execution already completed"));
        }
        let id = match token.activity_id.as_str() {
            "" => Some(token.scheduled_event_id),
            name => self.pending.activities.id_of(name),
        };
        id.and_then(|id| self.pending.activities.get(id))
            .filter(|activity| activity.is_started())
            .filter(|activity| token.attempt == 0 || token.attempt == activity.state.attempt)
            .map(|activity| activity.state.scheduled_event_id)
            .ok_or_else(|| match id {
                // Programs look for these words.
                None => ServiceError::not_found(format!(
                    "cannot find pending activity with ActivityID {}, check workflow execution history for more details",
                    token.activity_id
                )),
                Some(_) => ServiceError::not_found(
                    "invalid activityID or activity already timed out or invoking workflow is completed",
                ),
            })
    }

    /// Who completes an activity by its id need not have taken it: it counts as begun and completed at once.
    fn begin_for_completion(&mut self, token: &TaskToken, identity: &str, cx: &Context<'_>) {
        let Some(id) = self.pending.activities.id_of(&token.activity_id).filter(|_| self.is_open()) else {
            return;
        };
        self.pending.activities.update(id, |activity| {
            if !activity.is_started() {
                activity.state.phase = Some(ActivityPhase::AwaitingResult(AwaitingResult {
                    started_time: cx.now.0,
                    identity: identity.to_owned(),
                    ..Default::default()
                }));
            }
        });
    }

    pub(super) fn complete_activity(
        &mut self,
        token: &TaskToken,
        result: Option<Payloads>,
        identity: String,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        self.begin_for_completion(token, &identity, cx);
        let id = self.claim_activity(token)?;
        self.close_activity(id, cx, |started_event_id, _| {
            Attributes::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes {
                result,
                scheduled_event_id: id,
                started_event_id,
                identity,
                ..Default::default()
            })
        });
        Ok(Output::Done)
    }

    pub(super) fn fail_activity(
        &mut self,
        token: &TaskToken,
        failure: Box<Failure>,
        heartbeat_details: Option<Payloads>,
        identity: String,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        let id = self.claim_activity(token)?;
        if heartbeat_details.is_some() {
            self.pending
                .activities
                .update(id, |activity| activity.state.heartbeat_details = heartbeat_details);
        }
        if let Some(retry_state) = self.retry_activity(id, &failure, cx) {
            self.close_activity(id, cx, |started_event_id, _| {
                Attributes::ActivityTaskFailedEventAttributes(ActivityTaskFailedEventAttributes {
                    failure: Some(*failure),
                    scheduled_event_id: id,
                    started_event_id,
                    identity,
                    retry_state: retry_state as i32,
                    ..Default::default()
                })
            });
        }
        Ok(Output::Done)
    }

    pub(super) fn cancel_activity(
        &mut self,
        token: &TaskToken,
        details: Option<Payloads>,
        identity: String,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        let id = self.claim_activity(token)?;
        let requested =
            self.pending.activities.get(id).map_or(0, |activity| activity.state.cancel_requested_event_id);
        if requested == 0 {
            return Err(ServiceError::invalid_argument(
                "unable to mark activity as canceled without activity being request canceled first",
            ));
        }
        self.close_activity(id, cx, |started_event_id, _| {
            Attributes::ActivityTaskCanceledEventAttributes(ActivityTaskCanceledEventAttributes {
                details,
                latest_cancel_requested_event_id: requested,
                scheduled_event_id: id,
                started_event_id,
                identity,
                ..Default::default()
            })
        });
        Ok(Output::Done)
    }

    pub(super) fn heartbeat_activity(
        &mut self,
        token: &TaskToken,
        details: Option<Payloads>,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        let id = self.claim_activity(token)?;
        let has_details = details.is_some();
        let cancel_requested = self.pending.activities.update(id, |activity| {
            activity.state.heartbeat_time = Some(cx.now.0);
            if has_details {
                activity.state.heartbeat_details = details;
            }
            activity.cancel_requested()
        });
        if has_details {
            self.changed(cx);
        } else {
            self.changed_in_memory();
        }
        Ok(Output::Heartbeat { cancel_requested: cancel_requested.unwrap_or_default() })
    }

    /// Plans the next attempt, or says why there is none.
    fn retry_activity(&mut self, id: i64, failure: &Failure, cx: &mut Context<'_>) -> Option<RetryState> {
        let Some(activity) = self.pending.activities.get(id) else {
            return Some(RetryState::InternalServerError);
        };
        if activity.cancel_requested() {
            return Some(RetryState::CancelRequested);
        }
        let policy = activity.spec.retry_policy.as_ref();
        match retry::next(policy, activity.state.attempt, failure, cx.now, activity.expiration()) {
            Retry::No(reason) => Some(reason),
            Retry::After(interval) => {
                cx.effects.failed_attempt = cx.effects.failed_attempt.max(activity.state.attempt);
                let due = cx.now.after(interval);
                self.pending.activities.update(id, |Activity { state, .. }| {
                    state.attempt += 1;
                    state.last_failure = Some(failure.clone());
                    state.last_attempt_end = Some(cx.now.0);
                    state.attempt_scheduled_time = due.0;
                    state.phase = Some(ActivityPhase::AwaitingRetry(AwaitingRetry { due: due.0, interval }));
                });
                self.changed(cx);
                None
            }
        }
    }

    /// Writes the started event (if it was started) and its result, and wakes the workflow. `result` gets the id of
    /// the started event, or 0, and the activity.
    fn close_activity(
        &mut self,
        id: i64,
        cx: &mut Context<'_>,
        result: impl FnOnce(i64, &mut Activity) -> Attributes,
    ) {
        let Some(mut activity) = self.pending.activities.remove(id) else { return };
        let mut started_event_id = 0;
        if let Some(ActivityPhase::AwaitingResult(running)) = activity.state.phase.take() {
            let started =
                Attributes::ActivityTaskStartedEventAttributes(ActivityTaskStartedEventAttributes {
                    scheduled_event_id: id,
                    identity: running.identity,
                    request_id: running.request_id,
                    attempt: activity.state.attempt,
                    last_failure: activity.state.last_failure.clone(),
                    ..Default::default()
                });
            if self.task_is_running() {
                self.record(started, Vec::new(), cx);
            } else {
                let time = Some(Time(running.started_time).proto());
                let event =
                    HistoryEvent { attributes: Some(started), event_time: time, ..Default::default() };
                started_event_id = self.push_event(event, cx);
            }
        }
        self.record(result(started_event_id, &mut activity), Vec::new(), cx);
        self.schedule_task(cx);
        self.changed(cx);
    }

    /// Handles everything that is due for one activity.
    pub(super) fn activity_due(&mut self, id: i64, due: ActivityDue, cx: &mut Context<'_>) {
        match due {
            ActivityDue::Retry => self.offer_activity(id, cx),
            ActivityDue::Timeout(kind) => self.activity_timed_out(id, kind, cx),
        }
    }

    fn activity_timed_out(&mut self, id: i64, kind: TimeoutType, cx: &mut Context<'_>) {
        let details =
            self.pending.activities.get(id).and_then(|activity| activity.state.heartbeat_details.clone());
        let mut failure = timeout_failure(format!("activity {} timeout", name(kind)), kind, details.clone());
        let retry_state = match kind {
            // No attempt is left that these would leave time for.
            TimeoutType::ScheduleToStart | TimeoutType::ScheduleToClose => RetryState::Timeout,
            TimeoutType::Unspecified | TimeoutType::StartToClose | TimeoutType::Heartbeat => {
                let Some(retry_state) = self.retry_activity(id, &failure, cx) else { return };
                if retry_state == RetryState::Timeout {
                    let message = "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying";
                    failure = timeout_failure(message.to_owned(), TimeoutType::ScheduleToClose, details);
                }
                retry_state
            }
        };
        self.close_activity(id, cx, |started_event_id, activity| {
            // Of the attempt before.
            failure.cause = activity.state.last_failure.take().map(Box::new);
            Attributes::ActivityTaskTimedOutEventAttributes(ActivityTaskTimedOutEventAttributes {
                failure: Some(failure),
                scheduled_event_id: id,
                started_event_id,
                retry_state: retry_state as i32,
            })
        });
    }

    /// A cancellation that the workflow asked for. Says whether nobody has begun the activity: then it is to end at once.
    pub(super) fn activity_cancel_requested(&mut self, id: i64, event_id: i64) -> bool {
        let unstarted = self.pending.activities.update(id, |activity| {
            activity.state.cancel_requested_event_id = event_id;
            !activity.is_started()
        });
        unstarted.unwrap_or(false)
    }

    /// An activity that nobody has begun ends with its cancellation.
    pub(super) fn activity_canceled_unstarted(&mut self, id: i64, identity: &str, cx: &mut Context<'_>) {
        let Some(activity) = self.pending.activities.remove(id) else { return };
        let attributes =
            Attributes::ActivityTaskCanceledEventAttributes(ActivityTaskCanceledEventAttributes {
                latest_cancel_requested_event_id: activity.state.cancel_requested_event_id,
                scheduled_event_id: id,
                identity: identity.to_owned(),
                ..Default::default()
            });
        self.push(attributes, cx);
    }

    /// The run was read from the store. Attempts that ran inside an old process ended with it; others go on, and
    /// their heartbeats, of which those without details are not stored, are counted from now.
    pub(super) fn resume_activities(&mut self, cx: &mut Context<'_>) {
        let mut lost = Vec::new();
        let mut running = Vec::new();
        for activity in self.pending.activities.values() {
            let id = activity.state.scheduled_event_id;
            match &activity.state.phase {
                Some(ActivityPhase::AwaitingResult(with)) if with.in_process && with.epoch != cx.epoch => {
                    lost.push(id);
                }
                Some(ActivityPhase::AwaitingResult(_))
                    if positive(activity.spec.heartbeat_timeout.as_ref()).is_some() =>
                {
                    running.push(id);
                }
                _ => {}
            }
        }
        for id in running {
            self.pending.activities.update(id, |activity| activity.state.heartbeat_time = Some(cx.now.0));
            self.changed_in_memory();
        }
        for id in lost {
            self.activity_timed_out(id, TimeoutType::StartToClose, cx);
        }
    }
}

fn timeout_failure(message: String, kind: TimeoutType, details: Option<Payloads>) -> Failure {
    Failure {
        message,
        source: "Server".into(),
        failure_info: Some(FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo {
            timeout_type: kind as i32,
            last_heartbeat_details: details,
        })),
        ..Default::default()
    }
}

fn name(kind: TimeoutType) -> &'static str {
    match kind {
        TimeoutType::Unspecified => "Unspecified",
        TimeoutType::StartToClose => "StartToClose",
        TimeoutType::ScheduleToStart => "ScheduleToStart",
        TimeoutType::ScheduleToClose => "ScheduleToClose",
        TimeoutType::Heartbeat => "Heartbeat",
    }
}
