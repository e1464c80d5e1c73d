//! The way back from the store: a run from its header, its rows and the events that say what was asked for.

use std::collections::BTreeSet;

use durably_proto::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};
use prost::Message;

use super::{
    Execution,
    activity::Activity,
    children::Child,
    outbox::{Receipt, Unsettled},
    pending::Kinds,
    state::{ActivityState, FORMAT, FewRow, RunState, TimerState},
    updates::AcceptedUpdate,
    weight,
};
use crate::store::{RowKind, RunKey, StateRow};

/// The stored state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("state of the run cannot be decoded: {0}")]
    State(#[from] prost::DecodeError),
    #[error("state of the run has format {0}, written by a newer durably")]
    Newer(u32),
    #[error("the run waits for something of a kind that this durably doesn't know")]
    Kind,
    #[error("event {0} of the run is missing or is of the wrong type")]
    Event(i64),
}

/// What the rows say, before the history has been asked.
#[derive(Default)]
struct Rows {
    activities: Vec<ActivityState>,
    timers: Vec<TimerState>,
    buffered: Vec<(i64, HistoryEvent)>,
    outbox: Vec<(i64, Unsettled)>,
    receipts: Vec<(i64, Receipt)>,
    children: Vec<(i64, Child)>,
    updates: Vec<(i64, AcceptedUpdate)>,
}

impl Rows {
    fn decode<'a>(rows: impl IntoIterator<Item = &'a StateRow>) -> Result<Self, LoadError> {
        let mut decoded = Self::default();
        for row in rows {
            let Some(data) = row.data.clone() else { continue };
            match row.kind {
                RowKind::Activity => decoded.activities.push(ActivityState::decode(data)?),
                RowKind::Timer => decoded.timers.push(TimerState::decode(data)?),
                RowKind::Buffered => decoded.buffered.push((row.id, HistoryEvent::decode(data)?)),
                RowKind::Outbox => decoded.outbox.push((row.id, Unsettled::decode(data)?)),
                RowKind::Receipt => decoded.receipts.push((row.id, Receipt::decode(data)?)),
                RowKind::Child => decoded.children.push((row.id, Child::decode(data)?)),
                RowKind::Update => decoded.updates.push((row.id, AcceptedUpdate::decode(data)?)),
            }
        }
        Ok(decoded)
    }
}

impl Rows {
    /// Puts back what needs nothing of the history.
    fn restore(self, pending: &mut Kinds) {
        let Self { activities: _, timers, buffered, outbox, receipts, children, updates } = self;
        for timer in timers {
            pending.timers.restore(timer.started_event_id, timer);
        }
        for (row, event) in buffered {
            pending.buffer.restore(row, event);
        }
        for (id, unsettled) in outbox {
            pending.outbox.restore(id, unsettled);
        }
        for (id, receipt) in receipts {
            pending.receipts.restore(id, receipt);
        }
        for (id, child) in children {
            pending.children.restore(id, child);
        }
        for (id, update) in updates {
            pending.updates.restore(id, update);
        }
    }
}

impl Execution {
    /// Reads back what commits have stored. `fetch` finds the run's events by their ids, which are given in ascending
    /// order; what it does not find it leaves out.
    pub fn load<E: From<LoadError>>(
        key: RunKey,
        state: &[u8],
        rows: &[StateRow],
        fetch: impl FnOnce(&BTreeSet<i64>) -> Result<Vec<HistoryEvent>, E>,
    ) -> Result<Self, E> {
        let mut header = RunState::decode(state).map_err(LoadError::from)?;
        if header.format > FORMAT {
            return Err(LoadError::Newer(header.format).into());
        }
        header.format = FORMAT;
        let few: Option<Vec<StateRow>> =
            std::mem::take(&mut header.few).into_iter().map(FewRow::row).collect();
        let few = few.ok_or(LoadError::Kind)?;
        let has_rows = !rows.is_empty();
        let mut rows = Rows::decode(rows.iter().chain(&few))?;
        // Format 1 kept everything in the header. With the next commit it moves to rows.
        let old_activities = std::mem::take(&mut header.activities);
        let old_timers = std::mem::take(&mut header.timers);
        let old_buffered = std::mem::take(&mut header.buffered);

        let activities = old_activities.iter().chain(&rows.activities);
        let needed: BTreeSet<i64> =
            std::iter::once(1).chain(activities.map(|activity| activity.scheduled_event_id)).collect();
        let mut events = fetch(&needed)?.into_iter().map(|event| (event.event_id, event)).collect();
        let first = take(&mut events, 1)?;
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(start)) = first.attributes else {
            return Err(LoadError::Event(1).into());
        };
        let activities = std::mem::take(&mut rows.activities);
        let (start, _) = weight::owned(start);
        let mut run = Self::new(key, start, first.user_metadata, header);
        for (stored, is_row) in old_activities
            .into_iter()
            .map(|old| (old, false))
            .chain(activities.into_iter().map(|row| (row, true)))
        {
            let id = stored.scheduled_event_id;
            let activity = Activity::load(stored, take(&mut events, id)?).ok_or(LoadError::Event(id))?;
            if is_row {
                run.pending.activities.restore(id, activity);
            } else {
                run.pending.activities.insert(id, activity);
            }
        }
        rows.restore(&mut run.pending);
        for timer in old_timers {
            run.pending.timers.insert(timer.started_event_id, timer);
        }
        for event in old_buffered {
            run.pending.buffer.push(HistoryEvent::decode(event).map_err(LoadError::from)?);
        }
        run.pending.has_rows = has_rows;
        run.mark_stored();
        Ok(run)
    }
}

fn take(
    events: &mut std::collections::BTreeMap<i64, HistoryEvent>,
    id: i64,
) -> Result<HistoryEvent, LoadError> {
    events.remove(&id).ok_or(LoadError::Event(id))
}
