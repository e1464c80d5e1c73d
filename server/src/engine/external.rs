//! Signals and requests to cancel that runs send to others: how they are taken in, and what their senders learn.

use durably_proto::temporal::api::{
    common::v1::{Header, Payloads, WorkflowExecution},
    enums::v1::{
        CancelExternalWorkflowExecutionFailedCause as CancelFailed,
        SignalExternalWorkflowExecutionFailedCause as SignalFailed,
    },
    history::v1::{
        ExternalWorkflowExecutionCancelRequestedEventAttributes,
        ExternalWorkflowExecutionSignaledEventAttributes,
        RequestCancelExternalWorkflowExecutionFailedEventAttributes,
        SignalExternalWorkflowExecutionFailedEventAttributes,
        WorkflowExecutionCancelRequestedEventAttributes, WorkflowExecutionSignaledEventAttributes,
        history_event::Attributes,
    },
};

use super::{
    Context, Execution, Outcome, RunKey, Sender,
    outbox::{Address, Unsettled},
};

/// By whom what the server does for a run is said to be done.
pub(super) const SERVER: &str = "history-service";

#[derive(Clone, PartialEq, prost::Message)]
pub struct SignalBody {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub input: Option<Payloads>,
    #[prost(message, optional, tag = "3")]
    pub header: Option<Header>,
    /// The sender's own mark, repeated in its events.
    #[prost(string, tag = "4")]
    pub control: String,
    #[prost(bool, tag = "5")]
    pub child_workflow_only: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CancelBody {
    #[prost(string, tag = "1")]
    pub reason: String,
    /// The sender's own mark, repeated in its events.
    #[prost(string, tag = "2")]
    pub control: String,
    #[prost(bool, tag = "3")]
    pub child_workflow_only: bool,
}

impl Execution {
    pub(super) fn receive_signal(
        &mut self,
        signal: SignalBody,
        from: &RunKey,
        cx: &mut Context<'_>,
    ) -> Outcome {
        if self.signals_exhausted() {
            return Outcome::TooManySignals;
        }
        if signal.child_workflow_only && !self.is_child_of(from) {
            return Outcome::NotFound;
        }
        let attributes = WorkflowExecutionSignaledEventAttributes {
            signal_name: signal.name,
            input: signal.input,
            identity: SERVER.into(),
            header: signal.header,
            external_workflow_execution: Some(execution(from)),
            ..Default::default()
        };
        self.state.signal_count += 1;
        self.record(Attributes::WorkflowExecutionSignaledEventAttributes(attributes), Vec::new(), cx);
        self.after_signal(cx);
        Outcome::Delivered
    }

    pub(super) fn receive_cancel(
        &mut self,
        cancel: &CancelBody,
        from: &Sender,
        cx: &mut Context<'_>,
    ) -> Outcome {
        if cancel.child_workflow_only && !self.is_child_of(&from.key) {
            return Outcome::NotFound;
        }
        self.cancel_from(&cancel.reason, &from.key, from.event_id, cx);
        Outcome::Delivered
    }

    /// Another run asks this one to cancel. Asking twice is as good as asking once, whoever asks.
    pub(super) fn cancel_from(
        &mut self,
        reason: &str,
        from: &RunKey,
        external_initiated_event_id: i64,
        cx: &mut Context<'_>,
    ) {
        if self.state.cancel_requested {
            return;
        }
        self.state.cancel_requested = true;
        let attributes = WorkflowExecutionCancelRequestedEventAttributes {
            cause: reason.to_owned(),
            external_initiated_event_id,
            external_workflow_execution: Some(execution(from)),
            identity: SERVER.into(),
        };
        self.record(Attributes::WorkflowExecutionCancelRequestedEventAttributes(attributes), Vec::new(), cx);
        self.schedule_task(cx);
        self.changed(cx);
    }
}

/// The event that tells the workflow what became of its signal.
pub(super) fn signal_settled(signal: SignalBody, of: Unsettled, outcome: &Outcome) -> Attributes {
    let Unsettled { event_id: initiated_event_id, completed_event_id, to, body: _ } = of;
    let Address { namespace, workflow_id, run_id } = to;
    let workflow_execution = Some(WorkflowExecution { workflow_id, run_id });
    match signal_failed(outcome) {
        None => Attributes::ExternalWorkflowExecutionSignaledEventAttributes(
            ExternalWorkflowExecutionSignaledEventAttributes {
                initiated_event_id,
                namespace,
                workflow_execution,
                control: signal.control,
                ..Default::default()
            },
        ),
        Some(cause) => Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(
            SignalExternalWorkflowExecutionFailedEventAttributes {
                cause: cause as i32,
                workflow_task_completed_event_id: completed_event_id,
                namespace,
                workflow_execution,
                initiated_event_id,
                control: signal.control,
                ..Default::default()
            },
        ),
    }
}

/// The event that tells the workflow what became of its request to cancel another.
pub(super) fn cancel_settled(cancel: CancelBody, of: Unsettled, outcome: &Outcome) -> Attributes {
    let Unsettled { event_id: initiated_event_id, completed_event_id, to, body: _ } = of;
    let Address { namespace, workflow_id, run_id } = to;
    let workflow_execution = Some(WorkflowExecution { workflow_id, run_id });
    match cancel_failed(outcome) {
        None => Attributes::ExternalWorkflowExecutionCancelRequestedEventAttributes(
            ExternalWorkflowExecutionCancelRequestedEventAttributes {
                initiated_event_id,
                namespace,
                workflow_execution,
                ..Default::default()
            },
        ),
        Some(cause) => Attributes::RequestCancelExternalWorkflowExecutionFailedEventAttributes(
            RequestCancelExternalWorkflowExecutionFailedEventAttributes {
                cause: cause as i32,
                workflow_task_completed_event_id: completed_event_id,
                namespace,
                workflow_execution,
                initiated_event_id,
                control: cancel.control,
                ..Default::default()
            },
        ),
    }
}

fn signal_failed(outcome: &Outcome) -> Option<SignalFailed> {
    match outcome {
        Outcome::Delivered => None,
        Outcome::NotFound => Some(SignalFailed::ExternalWorkflowExecutionNotFound),
        Outcome::NamespaceNotFound => Some(SignalFailed::NamespaceNotFound),
        Outcome::TooManySignals => Some(SignalFailed::SignalCountLimitExceeded),
        // Nobody answers a signal so.
        Outcome::Started { .. } | Outcome::AlreadyExists => Some(SignalFailed::Unspecified),
    }
}

fn cancel_failed(outcome: &Outcome) -> Option<CancelFailed> {
    match outcome {
        Outcome::Delivered => None,
        Outcome::NotFound => Some(CancelFailed::ExternalWorkflowExecutionNotFound),
        Outcome::NamespaceNotFound => Some(CancelFailed::NamespaceNotFound),
        // Nobody answers a request to cancel so.
        Outcome::TooManySignals | Outcome::Started { .. } | Outcome::AlreadyExists => {
            Some(CancelFailed::Unspecified)
        }
    }
}

pub(super) fn execution(key: &RunKey) -> WorkflowExecution {
    WorkflowExecution { workflow_id: key.workflow_id.to_string(), run_id: key.run_id.to_string() }
}
