//! A run's events: which ones a reader wants, and how stored batches of them are decoded.

use std::collections::BTreeSet;

#[cfg(test)]
use bytes::Bytes;
use durably_proto::temporal::api::history::v1::{History, HistoryEvent};
use prost::Message;

use crate::{
    ServiceError,
    engine::LoadError,
    error::ErrorKind,
    store::{Store, StoreError},
};

/// Which events a reader wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Selection {
    /// At most `count` from the event `from` on.
    Forward { from: i64, count: i64 },
    /// At most `count` that end before the event `before`.
    Backward { before: i64, count: i64 },
    /// From the event `from` on those of a workflow task whose history ends before `end`, be they written yet or not.
    Task { from: i64, end: i64 },
    /// The event that closed the run, once there is one.
    Close,
}

impl Selection {
    /// First event and the one after the last.
    pub(super) fn within(self, next_event_id: i64, open: bool) -> (i64, i64) {
        match self {
            Self::Forward { from, count } => (from, next_event_id.min(from.saturating_add(count))),
            Self::Backward { before, count } => {
                let end = next_event_id.min(before);
                ((end - count).max(1), end)
            }
            Self::Task { from, end } => (from, next_event_id.min(end)),
            Self::Close if open => (next_event_id, next_event_id),
            Self::Close => (next_event_id - 1, next_event_id),
        }
    }
}

/// A run as a reader of its history sees it.
#[derive(Debug)]
pub(super) struct View {
    pub seq: i64,
    pub run_id: String,
    pub next_event_id: i64,
    pub open: bool,
    pub events: Vec<HistoryEvent>,
    /// Events before those at hand that are only in the store: the first, and the one after the last.
    pub missing: Option<(i64, i64)>,
}

/// Reading a run failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl From<DecodeError> for ServiceError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Store(error) => error.into(),
            DecodeError::Load(error) => Self::new(ErrorKind::DataLoss, error.to_string()),
        }
    }
}

/// The events with these ids, each batch read once.
pub(super) fn fetch(
    store: &dyn Store,
    seq: i64,
    ids: &BTreeSet<i64>,
) -> Result<Vec<HistoryEvent>, DecodeError> {
    let mut found = Vec::with_capacity(ids.len());
    let mut read_to = 0;
    for id in ids.iter().copied() {
        if id < read_to {
            continue;
        }
        for (_, batch) in store.events(seq, id, id + 1)? {
            let events = History::decode(batch).map_err(LoadError::from)?.events;
            read_to = events.last().map_or(read_to, |event| event.event_id + 1);
            found.extend(events.into_iter().filter(|event| ids.contains(&event.event_id)));
        }
    }
    Ok(found)
}

/// The events with `from <= id < end` out of stored batches.
#[cfg(test)]
pub(super) fn decode(
    batches: Vec<(i64, Bytes)>,
    from: i64,
    end: i64,
) -> Result<Vec<HistoryEvent>, LoadError> {
    let mut events = Vec::new();
    for (_, batch) in batches {
        let history = History::decode(batch)?;
        events.extend(
            history.events.into_iter().filter(|event| event.event_id >= from && event.event_id < end),
        );
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, open, expected) in [
            (Selection::Forward { from: 1, count: 256 }, true, (1, 11)),
            (Selection::Forward { from: 4, count: 2 }, true, (4, 6)),
            (Selection::Forward { from: 20, count: i64::MAX }, true, (20, 11)),
            (Selection::Backward { before: i64::MAX, count: 4 }, false, (7, 11)),
            (Selection::Backward { before: 3, count: 4 }, false, (1, 3)),
            (Selection::Close, true, (11, 11)),
            (Selection::Close, false, (10, 11)),
        ] {
            assert_eq!(range.within(11, open), expected, "{range:?}");
        }
    }
}
