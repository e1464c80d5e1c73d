//! What reaches a run from outside: signals and requests to cancel.

use durably_proto::temporal::api::{
    common::v1::Link,
    history::v1::{
        WorkflowExecutionCancelRequestedEventAttributes, WorkflowExecutionSignaledEventAttributes,
        history_event::Attributes,
    },
};

use super::{Context, Execution, Output, Signal};
use crate::ServiceError;

/// How many request ids of signals are remembered, to recognise a repeated call.
const REMEMBERED_REQUESTS: usize = 64;
const MAX_SIGNALS: i64 = 10_000;

impl Execution {
    pub(super) fn signal(&mut self, signal: Signal, cx: &mut Context<'_>) -> Result<Output, ServiceError> {
        self.require_open()?;
        if !signal.request_id.is_empty() && self.state.signal_request_ids.contains(&signal.request_id) {
            return Ok(Output::Done);
        }
        if self.signals_exhausted() {
            return Err(ServiceError::invalid_argument(
                "exceeded workflow execution limit for signal events: let the workflow continue as new",
            ));
        }
        self.record_signal(signal, cx);
        self.after_signal(cx);
        Ok(Output::Done)
    }

    pub(super) fn signals_exhausted(&self) -> bool {
        self.state.signal_count >= MAX_SIGNALS
    }

    /// The workflow hears of the signal that was recorded.
    pub(super) fn after_signal(&mut self, cx: &mut Context<'_>) {
        if self.state.first_task_due.is_some() && self.start_delay_can_be_cut() {
            self.state.first_task_due = None;
        }
        self.schedule_task(cx);
        self.changed(cx);
    }

    pub(super) fn record_signal(&mut self, signal: Signal, cx: &mut Context<'_>) {
        if !signal.request_id.is_empty() {
            let remembered = &mut self.state.signal_request_ids;
            if remembered.len() >= REMEMBERED_REQUESTS {
                remembered.remove(0);
            }
            remembered.push(signal.request_id.clone());
        }
        self.state.signal_count += 1;
        let attributes = WorkflowExecutionSignaledEventAttributes {
            signal_name: signal.name,
            input: signal.input,
            identity: signal.identity,
            header: signal.header,
            request_id: signal.request_id,
            ..Default::default()
        };
        self.record(Attributes::WorkflowExecutionSignaledEventAttributes(attributes), signal.links, cx);
    }

    pub(super) fn request_cancel(
        &mut self,
        reason: String,
        identity: String,
        request_id: String,
        links: Vec<Link>,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        self.require_open()?;
        if self.state.cancel_requested {
            // Asking twice is as good as asking once, whoever asks.
            return Ok(Output::Done);
        }
        self.state.cancel_requested = true;
        self.state.cancel_request_id = request_id;
        let attributes =
            WorkflowExecutionCancelRequestedEventAttributes { cause: reason, identity, ..Default::default() };
        self.record(Attributes::WorkflowExecutionCancelRequestedEventAttributes(attributes), links, cx);
        self.schedule_task(cx);
        self.changed(cx);
        Ok(Output::Done)
    }

    pub(super) fn require_open(&self) -> Result<(), ServiceError> {
        if self.is_open() {
            return Ok(());
        }
        Err(self.already_completed())
    }

    pub(super) fn already_completed(&self) -> ServiceError {
        ServiceError::not_found("workflow execution already completed")
            .with("workflow_id", &*self.key.workflow_id)
            .with("run_id", &*self.key.run_id)
    }
}
