//! History events: their type from their attributes, and batches of them in encoded form.

use bytes::{Buf as _, Bytes, BytesMut};
use durably_proto::temporal::api::{
    enums::v1::EventType,
    history::v1::{HistoryEvent, history_event::Attributes},
};
use prost::encoding::{DecodeContext, decode_key, message, skip_field};
use std::collections::VecDeque;

/// One line per kind of event, in pairs of attributes and type: a kind that is missing does not compile. `results` come
/// behind all others when the buffer is written, since they come after what led to them, such as the activity's own
/// start; each kind names the fields that say what led to it. Nexus operations will have results of their own there.
macro_rules! event_types {
    (
        $(results of $start:ident by $scheduled:ident and $started:ident {
            $($result:ident $result_attributes:ident,)*
        })*
        others { $($name:ident $attributes:ident,)* }
    ) => {
        /// The event type that goes with the attributes.
        pub(super) fn event_type(attributes: &Attributes) -> EventType {
            match attributes {
                $($(Attributes::$result_attributes(_) => EventType::$result,)*)*
                $(Attributes::$attributes(_) => EventType::$name,)*
            }
        }

        /// Whether a buffered event belongs behind all others when the buffer is written.
        pub(super) fn comes_last(attributes: &Attributes) -> bool {
            match attributes {
                $($(Attributes::$result_attributes(_) => true,)*)*
                $(Attributes::$attributes(_) => false,)*
            }
        }

        /// Of a start that results refer to: the id of the event that asked for it.
        pub(super) fn started_for(attributes: &Attributes) -> Option<i64> {
            match attributes {
                $(Attributes::$start(a) => Some(a.$scheduled),)*
                _ => None,
            }
        }

        /// Of a result: the id of the event that asked for it, and that of the start.
        pub(super) fn result_ids(attributes: &mut Attributes) -> Option<(&i64, &mut i64)> {
            match attributes {
                $($(Attributes::$result_attributes(a) => Some((&a.$scheduled, &mut a.$started)),)*)*
                $(Attributes::$attributes(_) => None,)*
            }
        }
    };
}

event_types! {
    results of ActivityTaskStartedEventAttributes by scheduled_event_id and started_event_id {
        ActivityTaskCanceled ActivityTaskCanceledEventAttributes,
        ActivityTaskCompleted ActivityTaskCompletedEventAttributes,
        ActivityTaskFailed ActivityTaskFailedEventAttributes,
        ActivityTaskTimedOut ActivityTaskTimedOutEventAttributes,
    }
    results of ChildWorkflowExecutionStartedEventAttributes by initiated_event_id and started_event_id {
        ChildWorkflowExecutionCanceled ChildWorkflowExecutionCanceledEventAttributes,
        ChildWorkflowExecutionCompleted ChildWorkflowExecutionCompletedEventAttributes,
        ChildWorkflowExecutionFailed ChildWorkflowExecutionFailedEventAttributes,
        ChildWorkflowExecutionTerminated ChildWorkflowExecutionTerminatedEventAttributes,
        ChildWorkflowExecutionTimedOut ChildWorkflowExecutionTimedOutEventAttributes,
    }
    others {
        ActivityPropertiesModifiedExternally ActivityPropertiesModifiedExternallyEventAttributes,
        ActivityTaskCancelRequested ActivityTaskCancelRequestedEventAttributes,
        ActivityTaskScheduled ActivityTaskScheduledEventAttributes,
        ActivityTaskStarted ActivityTaskStartedEventAttributes,
        ChildWorkflowExecutionStarted ChildWorkflowExecutionStartedEventAttributes,
        ExternalWorkflowExecutionCancelRequested ExternalWorkflowExecutionCancelRequestedEventAttributes,
        ExternalWorkflowExecutionSignaled ExternalWorkflowExecutionSignaledEventAttributes,
        MarkerRecorded MarkerRecordedEventAttributes,
        NexusOperationCancelRequestCompleted NexusOperationCancelRequestCompletedEventAttributes,
        NexusOperationCancelRequestFailed NexusOperationCancelRequestFailedEventAttributes,
        NexusOperationCancelRequested NexusOperationCancelRequestedEventAttributes,
        NexusOperationCanceled NexusOperationCanceledEventAttributes,
        NexusOperationCompleted NexusOperationCompletedEventAttributes,
        NexusOperationFailed NexusOperationFailedEventAttributes,
        NexusOperationScheduled NexusOperationScheduledEventAttributes,
        NexusOperationStarted NexusOperationStartedEventAttributes,
        NexusOperationTimedOut NexusOperationTimedOutEventAttributes,
        RequestCancelExternalWorkflowExecutionFailed RequestCancelExternalWorkflowExecutionFailedEventAttributes,
        RequestCancelExternalWorkflowExecutionInitiated RequestCancelExternalWorkflowExecutionInitiatedEventAttributes,
        SignalExternalWorkflowExecutionFailed SignalExternalWorkflowExecutionFailedEventAttributes,
        SignalExternalWorkflowExecutionInitiated SignalExternalWorkflowExecutionInitiatedEventAttributes,
        StartChildWorkflowExecutionFailed StartChildWorkflowExecutionFailedEventAttributes,
        StartChildWorkflowExecutionInitiated StartChildWorkflowExecutionInitiatedEventAttributes,
        TimerCanceled TimerCanceledEventAttributes,
        TimerFired TimerFiredEventAttributes,
        TimerStarted TimerStartedEventAttributes,
        UpsertWorkflowSearchAttributes UpsertWorkflowSearchAttributesEventAttributes,
        WorkflowExecutionCancelRequested WorkflowExecutionCancelRequestedEventAttributes,
        WorkflowExecutionCanceled WorkflowExecutionCanceledEventAttributes,
        WorkflowExecutionCompleted WorkflowExecutionCompletedEventAttributes,
        WorkflowExecutionContinuedAsNew WorkflowExecutionContinuedAsNewEventAttributes,
        WorkflowExecutionFailed WorkflowExecutionFailedEventAttributes,
        WorkflowExecutionOptionsUpdated WorkflowExecutionOptionsUpdatedEventAttributes,
        WorkflowExecutionPaused WorkflowExecutionPausedEventAttributes,
        WorkflowExecutionSignaled WorkflowExecutionSignaledEventAttributes,
        WorkflowExecutionStarted WorkflowExecutionStartedEventAttributes,
        WorkflowExecutionTerminated WorkflowExecutionTerminatedEventAttributes,
        WorkflowExecutionTimeSkippingTransitioned WorkflowExecutionTimeSkippingTransitionedEventAttributes,
        WorkflowExecutionTimedOut WorkflowExecutionTimedOutEventAttributes,
        WorkflowExecutionUnpaused WorkflowExecutionUnpausedEventAttributes,
        WorkflowExecutionUpdateAccepted WorkflowExecutionUpdateAcceptedEventAttributes,
        WorkflowExecutionUpdateAdmitted WorkflowExecutionUpdateAdmittedEventAttributes,
        WorkflowExecutionUpdateCompleted WorkflowExecutionUpdateCompletedEventAttributes,
        WorkflowExecutionUpdateRejected WorkflowExecutionUpdateRejectedEventAttributes,
        WorkflowPropertiesModified WorkflowPropertiesModifiedEventAttributes,
        WorkflowPropertiesModifiedExternally WorkflowPropertiesModifiedExternallyEventAttributes,
        WorkflowTaskCompleted WorkflowTaskCompletedEventAttributes,
        WorkflowTaskFailed WorkflowTaskFailedEventAttributes,
        WorkflowTaskScheduled WorkflowTaskScheduledEventAttributes,
        WorkflowTaskStarted WorkflowTaskStartedEventAttributes,
        WorkflowTaskTimedOut WorkflowTaskTimedOutEventAttributes,
    }
}

/// The field of a `History` that its events are in.
const EVENTS: u32 = 1;

/// Appends one event to an encoded `History`.
pub(super) fn encode_into(event: &HistoryEvent, batch: &mut BytesMut) {
    message::encode(EVENTS, event, batch);
}

/// A run of consecutive events as one encoded `History`; how they are stored and kept in memory.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub first_event_id: i64,
    pub bytes: Bytes,
}

/// The end of a history, kept in memory so that a poller of the sticky queue costs no read.
#[derive(Debug, Default)]
pub(super) struct Tail {
    batches: VecDeque<Batch>,
    bytes: usize,
}

/// Batches beyond this many bytes are dropped from memory, oldest first.
const TAIL_LIMIT: usize = 64 * 1024;

impl Tail {
    pub(super) fn push(&mut self, batch: Batch) {
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
        while self.bytes > TAIL_LIMIT && self.batches.len() > 1 {
            let dropped = self.batches.pop_front().expect("more than one batch");
            self.bytes -= dropped.bytes.len();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// First event in memory; `None` when there is none.
    pub(super) fn first_event_id(&self) -> Option<i64> {
        self.batches.front().map(|batch| batch.first_event_id)
    }

    pub(super) fn collect(
        &self,
        from: i64,
        end: i64,
        into: &mut Vec<HistoryEvent>,
    ) -> Result<(), prost::DecodeError> {
        for (index, batch) in self.batches.iter().enumerate() {
            let next = self.batches.get(index + 1).map_or(i64::MAX, |next| next.first_event_id);
            if next > from && batch.first_event_id < end {
                collect(batch.bytes.clone(), from, end, into)?;
            }
        }
        Ok(())
    }
}

/// Decodes the events with `from <= id < end` of an encoded batch.
pub(super) fn collect(
    mut batch: Bytes,
    from: i64,
    end: i64,
    into: &mut Vec<HistoryEvent>,
) -> Result<(), prost::DecodeError> {
    // As `History::decode` does it, but for the list in between: events are large to move.
    while batch.has_remaining() {
        let (field, wire_type) = decode_key(&mut batch)?;
        if field != EVENTS {
            skip_field(wire_type, field, &mut batch, DecodeContext::default())?;
            continue;
        }
        message::merge_repeated(wire_type, into, &mut batch, DecodeContext::default())?;
        into.pop_if(|event| event.event_id < from || event.event_id >= end);
    }
    Ok(())
}
