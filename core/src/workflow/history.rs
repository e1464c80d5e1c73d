//! History events, decoded once.
//!
//! [`Event::decode`] is the edge: behind it nothing meets an absent field or an unknown number. What concerns one
//! command kind is decoded by that kind's own file (see [`super::machines`]); what concerns the run is decoded here.

use durably_proto::temporal::api::enums::v1::{EventType, WorkflowTaskFailedCause};
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::history::v1::{
    HistoryEvent, WorkflowExecutionSignaledEventAttributes, WorkflowExecutionStartedEventAttributes,
    WorkflowTaskFailedEventAttributes,
};
use durably_proto::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;
use durably_proto::temporal::api::update::v1::Request;
use prost_types::Timestamp;

use super::machines::{self, MachineEvent};

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) kind: Kind,
}

/// What happened, sorted by who deals with it.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Always the first event.
    Started {
        time: Timestamp,
        attributes: Box<WorkflowExecutionStartedEventAttributes>,
    },
    TaskScheduled,
    TaskStarted(TaskStarted),
    /// With the flags that the task's worker recorded.
    TaskCompleted(Option<Box<WorkflowTaskCompletedMetadata>>),
    /// With the run's new id if this marks a reset.
    TaskFailed {
        reset_run_id: Option<String>,
    },
    TaskTimedOut,
    Signaled(Box<WorkflowExecutionSignaledEventAttributes>),
    CancelRequested {
        cause: String,
    },
    /// Somebody's update was taken over by a reset: it is asked for here, and no message comes for it.
    UpdateAdmitted(Box<Request>),
    /// A command of the workflow's code was recorded.
    Command(MachineEvent),
    /// Something happened to what the command recorded in event `origin` began.
    Response {
        origin: i64,
        event: MachineEvent,
    },
    /// The run was ended from outside: terminated, or timed out.
    Closed,
    /// Nothing that a worker needs to know.
    Ignored,
}

/// What a workflow task's start tells the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskStarted {
    pub(crate) time: Timestamp,
    pub(crate) history_size_bytes: i64,
    pub(crate) continue_as_new_suggested: bool,
}

/// An event that can't be what the server meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event_id} ({event_type}) of the history can't be used: {message}")]
pub(crate) struct Malformed {
    pub(crate) event_id: i64,
    pub(crate) event_type: String,
    pub(crate) message: String,
}

impl Event {
    pub(crate) fn decode(event: HistoryEvent) -> Result<Event, Malformed> {
        let id = event.event_id;
        let event_type = event.event_type;
        let may_ignore = event.worker_may_ignore;
        match decode_kind(event) {
            Ok(kind) => Ok(Event { id, kind }),
            // What this version doesn't know, the server may declare harmless.
            Err(_) if may_ignore => Ok(Event { id, kind: Kind::Ignored }),
            Err(message) => Err(Malformed {
                event_id: id,
                event_type: type_name(event_type),
                message: message.to_owned(),
            }),
        }
    }

    /// Whether nothing can follow in this run.
    pub(crate) fn closes_run(&self) -> bool {
        match &self.kind {
            Kind::Closed => true,
            Kind::Command(event) => event.closes_run(),
            Kind::Started { .. }
            | Kind::TaskScheduled
            | Kind::TaskStarted(_)
            | Kind::TaskCompleted(_)
            | Kind::TaskFailed { .. }
            | Kind::TaskTimedOut
            | Kind::Signaled(_)
            | Kind::CancelRequested { .. }
            | Kind::UpdateAdmitted(_)
            | Kind::Response { .. }
            | Kind::Ignored => false,
        }
    }
}

/// The event type's name, or its number if this version has no name for it.
fn type_name(event_type: i32) -> String {
    EventType::try_from(event_type)
        .map_or_else(|_| format!("type {event_type}"), |known| known.as_str_name().replace("EVENT_TYPE_", ""))
}

/// What decoding a kind's attributes says when they are not acceptable.
pub(crate) type Decoded = Result<Kind, &'static str>;

fn decode_kind(event: HistoryEvent) -> Decoded {
    if event.event_id < 1 {
        return Err("event ids start at 1");
    }
    let time = event.event_time;
    let Some(attributes) = event.attributes else {
        return Err("it has no attributes that this version knows; a newer version may be needed");
    };
    match attributes {
        Attributes::WorkflowExecutionStartedEventAttributes(attributes) => {
            if attributes.workflow_type.as_ref().is_none_or(|workflow_type| workflow_type.name.is_empty()) {
                return Err("it names no workflow type");
            }
            let time = time.ok_or("it has no time")?;
            Ok(Kind::Started { time, attributes: Box::new(attributes) })
        }
        Attributes::WorkflowTaskScheduledEventAttributes(_) => Ok(Kind::TaskScheduled),
        Attributes::WorkflowTaskStartedEventAttributes(attributes) => Ok(Kind::TaskStarted(TaskStarted {
            time: time.ok_or("it has no time")?,
            history_size_bytes: attributes.history_size_bytes,
            continue_as_new_suggested: attributes.suggest_continue_as_new,
        })),
        Attributes::WorkflowTaskCompletedEventAttributes(attributes) => {
            Ok(Kind::TaskCompleted(attributes.sdk_metadata.map(Box::new)))
        }
        Attributes::WorkflowTaskFailedEventAttributes(attributes) => decode_task_failed(attributes),
        Attributes::WorkflowTaskTimedOutEventAttributes(_) => Ok(Kind::TaskTimedOut),
        Attributes::WorkflowExecutionSignaledEventAttributes(attributes) => {
            Ok(Kind::Signaled(Box::new(attributes)))
        }
        Attributes::WorkflowExecutionCancelRequestedEventAttributes(attributes) => {
            Ok(Kind::CancelRequested { cause: attributes.cause })
        }
        Attributes::WorkflowExecutionTerminatedEventAttributes(_)
        | Attributes::WorkflowExecutionTimedOutEventAttributes(_) => Ok(Kind::Closed),
        Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(_)
        | Attributes::WorkflowPropertiesModifiedExternallyEventAttributes(_)
        | Attributes::ActivityPropertiesModifiedExternallyEventAttributes(_)
        | Attributes::WorkflowExecutionPausedEventAttributes(_)
        | Attributes::WorkflowExecutionUnpausedEventAttributes(_)
        | Attributes::WorkflowExecutionTimeSkippingTransitionedEventAttributes(_) => Ok(Kind::Ignored),
        attributes => machines::decode(event.event_id, attributes),
    }
}

fn decode_task_failed(attributes: WorkflowTaskFailedEventAttributes) -> Decoded {
    if attributes.cause != WorkflowTaskFailedCause::ResetWorkflow as i32 {
        return Ok(Kind::TaskFailed { reset_run_id: None });
    }
    if attributes.new_run_id.is_empty() {
        return Err("it marks a reset and names no new run");
    }
    Ok(Kind::TaskFailed { reset_run_id: Some(attributes.new_run_id) })
}

/// What a worker lacks that can't decode an event.
pub(super) fn lacking(attributes: &Attributes) -> &'static str {
    use Attributes as A;
    match attributes {
        A::MarkerRecordedEventAttributes(_) => {
            "patches and local activities need a newer version of this worker"
        }
        A::UpsertWorkflowSearchAttributesEventAttributes(_)
        | A::WorkflowPropertiesModifiedEventAttributes(_) => {
            "search attributes and memos set by a workflow need a newer version of this worker"
        }
        A::WorkflowExecutionUpdateRejectedEventAttributes(_) => {
            "an update that is rejected leaves no event; a newer version of this worker may know why this one did"
        }
        A::NexusOperationScheduledEventAttributes(_)
        | A::NexusOperationStartedEventAttributes(_)
        | A::NexusOperationCompletedEventAttributes(_)
        | A::NexusOperationFailedEventAttributes(_)
        | A::NexusOperationCanceledEventAttributes(_)
        | A::NexusOperationTimedOutEventAttributes(_)
        | A::NexusOperationCancelRequestedEventAttributes(_)
        | A::NexusOperationCancelRequestCompletedEventAttributes(_)
        | A::NexusOperationCancelRequestFailedEventAttributes(_) => {
            "Nexus operations need a newer version of this worker"
        }
        _ => "what it is about needs a newer version of this worker",
    }
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::history::v1::{
        ActivityTaskScheduledEventAttributes, NexusOperationScheduledEventAttributes,
        UpsertWorkflowSearchAttributesEventAttributes, WorkflowTaskStartedEventAttributes,
    };

    use super::*;

    fn event(id: i64, attributes: Option<Attributes>) -> HistoryEvent {
        HistoryEvent { event_id: id, attributes, ..Default::default() }
    }

    #[test]
    fn unknown_events_are_errors_unless_ignorable() {
        let mut unknown = event(7, None);
        unknown.event_type = 999;
        let error = Event::decode(unknown.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "event 7 (type 999) of the history can't be used: it has no attributes that this version knows; a newer \
             version may be needed"
        );
        unknown.worker_may_ignore = true;
        assert!(matches!(Event::decode(unknown).unwrap().kind, Kind::Ignored));
    }

    #[test]
    fn what_is_still_to_come_is_named() {
        let upserted = Attributes::UpsertWorkflowSearchAttributesEventAttributes(
            UpsertWorkflowSearchAttributesEventAttributes::default(),
        );
        let nexus = Attributes::NexusOperationScheduledEventAttributes(
            NexusOperationScheduledEventAttributes::default(),
        );
        for (attributes, name) in [(upserted, "search attributes"), (nexus, "Nexus operations")] {
            let error = Event::decode(event(5, Some(attributes))).unwrap_err();
            assert!(error.message.starts_with(name), "{error}");
        }
    }

    #[test]
    fn absent_fields_are_errors() {
        let started =
            Attributes::WorkflowTaskStartedEventAttributes(WorkflowTaskStartedEventAttributes::default());
        assert_eq!(Event::decode(event(3, Some(started))).unwrap_err().message, "it has no time");
        let scheduled =
            Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes::default());
        assert_eq!(
            Event::decode(event(5, Some(scheduled))).unwrap_err().message,
            "it names no activity type"
        );
    }
}
