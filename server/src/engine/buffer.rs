//! Events that came while a workflow task runs. They get their ids when the task ends; until then each is a row of
//! the run's state.

use bytes::Bytes;
use durably_proto::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};
use prost::Message;

use super::weight;
use crate::store::{RowKind, StateRow};

/// More than this many events, or bytes of them, end the running task so that they can be written. Temporal's server
/// has the same bounds.
const MAX_EVENTS: usize = 100;
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// The events in the order in which they came, with the number of each one's row.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    events: Vec<(i64, HistoryEvent)>,
    /// Of the events, encoded.
    bytes: usize,
    weight: usize,
    last_row: i64,
    /// Row numbers above this one are not stored yet.
    stored: i64,
    /// Rows that are stored, but of events that are gone.
    gone: Vec<i64>,
}

impl Buffer {
    pub(super) fn push(&mut self, event: HistoryEvent) {
        self.enter(&event);
        self.last_row += 1;
        self.events.push((self.last_row, event));
    }

    /// An event as the store holds it.
    pub(super) fn restore(&mut self, row: i64, event: HistoryEvent) {
        self.enter(&event);
        self.last_row = self.last_row.max(row);
        self.stored = self.last_row;
        self.events.push((row, event));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how much memory the events take.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES
    }

    pub(super) fn any(&self, test: impl Fn(&Attributes) -> bool) -> bool {
        self.events.iter().any(|(_, event)| event.attributes.as_ref().is_some_and(&test))
    }

    /// Whether the next run of the workflow can have all of it as well as this one: signals are for the workflow, whichever
    /// run of it is there.
    pub(super) fn is_for_any_run(&self) -> bool {
        !self.any(|attributes| !matches!(attributes, Attributes::WorkflowExecutionSignaledEventAttributes(_)))
    }

    /// Takes out the first event for which `pick` answers.
    pub(super) fn take_first<R>(&mut self, pick: impl Fn(&Attributes) -> Option<R>) -> Option<R> {
        let found = self.events.iter().enumerate().find_map(|(index, (_, event))| {
            event.attributes.as_ref().and_then(&pick).map(|picked| (index, picked))
        });
        let (index, picked) = found?;
        let (row, event) = self.events.remove(index);
        self.bytes -= event.encoded_len();
        self.weight -= weight::of(Some(&event));
        self.forget(row);
        Some(picked)
    }

    /// Takes out all events.
    pub(super) fn take(&mut self) -> Vec<HistoryEvent> {
        (self.bytes, self.weight) = (0, 0);
        let events = std::mem::take(&mut self.events);
        events
            .into_iter()
            .map(|(row, event)| {
                self.forget(row);
                event
            })
            .collect()
    }

    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = StateRow> {
        self.events.iter().map(|(id, event)| row(*id, Some(event)))
    }

    /// What the next commit does to the rows.
    pub(super) fn take_changes(&mut self, rows: &mut Vec<StateRow>) {
        rows.extend(std::mem::take(&mut self.gone).into_iter().map(|id| row(id, None)));
        let first_new = self.events.partition_point(|(id, _)| *id <= self.stored);
        rows.extend(self.events[first_new..].iter().map(|(id, event)| row(*id, Some(event))));
        self.stored = self.last_row;
    }

    /// The store has all of it.
    pub(super) fn forget_changes(&mut self) {
        self.gone.clear();
        self.stored = self.last_row;
    }

    fn enter(&mut self, event: &HistoryEvent) {
        self.bytes += event.encoded_len();
        self.weight += weight::of(Some(event));
    }

    fn forget(&mut self, row: i64) {
        if row <= self.stored {
            self.gone.push(row);
        }
    }
}

fn row(id: i64, event: Option<&HistoryEvent>) -> StateRow {
    let data = event.map(|event| Bytes::from(event.encode_to_vec()));
    StateRow { kind: RowKind::Buffered, id, data }
}
