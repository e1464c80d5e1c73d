//! History events: their type from their attributes, and batches of them in encoded form.

use bytes::{Bytes, BytesMut};
use durably_proto::temporal::api::{
    enums::v1::EventType,
    history::v1::{History, HistoryEvent, history_event::Attributes},
};
use prost::Message;
use std::collections::VecDeque;

/// The event type that goes with the attributes.
pub(super) fn event_type(attributes: &Attributes) -> EventType {
    use Attributes as A;
    match attributes {
        A::WorkflowExecutionStartedEventAttributes(_) => EventType::WorkflowExecutionStarted,
        A::WorkflowExecutionCompletedEventAttributes(_) => EventType::WorkflowExecutionCompleted,
        A::WorkflowExecutionFailedEventAttributes(_) => EventType::WorkflowExecutionFailed,
        A::WorkflowExecutionTimedOutEventAttributes(_) => EventType::WorkflowExecutionTimedOut,
        A::WorkflowTaskScheduledEventAttributes(_) => EventType::WorkflowTaskScheduled,
        A::WorkflowTaskStartedEventAttributes(_) => EventType::WorkflowTaskStarted,
        A::WorkflowTaskCompletedEventAttributes(_) => EventType::WorkflowTaskCompleted,
        A::WorkflowTaskTimedOutEventAttributes(_) => EventType::WorkflowTaskTimedOut,
        A::WorkflowTaskFailedEventAttributes(_) => EventType::WorkflowTaskFailed,
        A::ActivityTaskScheduledEventAttributes(_) => EventType::ActivityTaskScheduled,
        A::ActivityTaskStartedEventAttributes(_) => EventType::ActivityTaskStarted,
        A::ActivityTaskCompletedEventAttributes(_) => EventType::ActivityTaskCompleted,
        A::ActivityTaskFailedEventAttributes(_) => EventType::ActivityTaskFailed,
        A::ActivityTaskTimedOutEventAttributes(_) => EventType::ActivityTaskTimedOut,
        A::ActivityTaskCancelRequestedEventAttributes(_) => EventType::ActivityTaskCancelRequested,
        A::ActivityTaskCanceledEventAttributes(_) => EventType::ActivityTaskCanceled,
        A::TimerStartedEventAttributes(_) => EventType::TimerStarted,
        A::TimerFiredEventAttributes(_) => EventType::TimerFired,
        A::TimerCanceledEventAttributes(_) => EventType::TimerCanceled,
        A::WorkflowExecutionCancelRequestedEventAttributes(_) => EventType::WorkflowExecutionCancelRequested,
        A::WorkflowExecutionCanceledEventAttributes(_) => EventType::WorkflowExecutionCanceled,
        A::MarkerRecordedEventAttributes(_) => EventType::MarkerRecorded,
        A::WorkflowExecutionSignaledEventAttributes(_) => EventType::WorkflowExecutionSignaled,
        A::WorkflowExecutionTerminatedEventAttributes(_) => EventType::WorkflowExecutionTerminated,
        A::WorkflowExecutionContinuedAsNewEventAttributes(_) => EventType::WorkflowExecutionContinuedAsNew,
        A::UpsertWorkflowSearchAttributesEventAttributes(_) => EventType::UpsertWorkflowSearchAttributes,
        A::WorkflowPropertiesModifiedEventAttributes(_) => EventType::WorkflowPropertiesModified,
        A::SignalExternalWorkflowExecutionInitiatedEventAttributes(_) => {
            EventType::SignalExternalWorkflowExecutionInitiated
        }
        A::SignalExternalWorkflowExecutionFailedEventAttributes(_) => {
            EventType::SignalExternalWorkflowExecutionFailed
        }
        A::ExternalWorkflowExecutionSignaledEventAttributes(_) => {
            EventType::ExternalWorkflowExecutionSignaled
        }
        // Kinds that no command of this server writes yet; a command that does adds its line.
        _ => EventType::Unspecified,
    }
}

/// Whether a buffered event belongs behind all others when the buffer is written: results come after what led to
/// them, such as the activity's own start.
pub(super) fn comes_last(attributes: &Attributes) -> bool {
    matches!(
        attributes,
        Attributes::ActivityTaskCompletedEventAttributes(_)
            | Attributes::ActivityTaskFailedEventAttributes(_)
            | Attributes::ActivityTaskTimedOutEventAttributes(_)
            | Attributes::ActivityTaskCanceledEventAttributes(_)
    )
}

/// Appends one event to an encoded `History`.
pub(super) fn encode_into(event: &HistoryEvent, batch: &mut BytesMut) {
    prost::encoding::message::encode(1, event, batch);
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
    batch: Bytes,
    from: i64,
    end: i64,
    into: &mut Vec<HistoryEvent>,
) -> Result<(), prost::DecodeError> {
    let history = History::decode(batch)?;
    into.extend(history.events.into_iter().filter(|event| event.event_id >= from && event.event_id < end));
    Ok(())
}
