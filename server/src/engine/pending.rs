//! What is pending in a run, kind by kind: found by id and by name, in order of when it is due, and aware of what
//! changed since the last commit, so that a transition writes and looks at what it touches and not at all the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::{
    Time,
    activity::Activity,
    buffer::Buffer,
    children::Child,
    outbox::{Receipt, Unsettled},
    state::TimerState,
    updates::AcceptedUpdate,
};
use crate::store::{RowKind, StateRow};

/// Something a run waits for. It is stored as one row under its id, or with few others in the run's header.
pub(super) trait Item {
    const KIND: RowKind;

    /// The stored form.
    fn encode(&self) -> Bytes;

    /// By what the workflow calls it; unique among the pending items of the kind. Empty for what has no name.
    fn name(&self) -> &str;

    /// When something about it happens by itself.
    fn due(&self) -> Option<Time>;

    fn stage(&self) -> Stage;

    /// Rough size in memory, in bytes.
    fn weight(&self) -> usize;
}

/// Who has to act next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody: it waits for its time.
    Sleeping,
    /// A poller could take it.
    Offered,
    /// A worker has it.
    Started,
}

/// So many rows, and bytes of them, are kept in the run's header, which each commit writes anyway. Most runs wait for one
/// thing at a time: it costs them no row of their own (decision 080).
const FEW: usize = 2;
const FEW_BYTES: usize = 1024;

/// What a commit stores of what is pending.
#[derive(Debug, Default)]
pub(super) struct StoredRows {
    /// Everything, if it is in the header.
    pub in_header: Vec<StateRow>,
    /// What changes among the rows beside it.
    pub changed: Vec<StateRow>,
}

/// All that is pending in a run. What concerns every kind takes this apart by name: the compiler then asks it about a
/// new one.
#[derive(Default)]
pub(super) struct Kinds {
    /// By the id of their scheduled event.
    pub activities: Pending<Activity>,
    /// By the id of their started event.
    pub timers: Pending<TimerState>,
    pub buffer: Buffer,
    /// Messages that wait for their answers, by their keys.
    pub outbox: Pending<Unsettled>,
    pub receipts: Pending<Receipt>,
    /// Child workflows that have not ended, by the id of the event that asked for each.
    pub children: Pending<Child>,
    /// Updates that were accepted, by the id of the event that says so. They stay when they are completed.
    pub updates: Pending<AcceptedUpdate>,
    /// The store has it in rows, not in the header. So it stays until nothing is pending.
    pub has_rows: bool,
}

impl Kinds {
    /// What the next commit stores.
    pub(super) fn take_stored(&mut self) -> StoredRows {
        if self.has_rows {
            self.has_rows = self.len() > 0;
            return StoredRows { in_header: Vec::new(), changed: self.take_changes() };
        }
        let rows = self.rows();
        self.forget_changes();
        let bytes: usize = rows.iter().filter_map(|row| row.data.as_ref()).map(Bytes::len).sum();
        self.has_rows = rows.len() > FEW || bytes > FEW_BYTES;
        if self.has_rows {
            StoredRows { in_header: Vec::new(), changed: rows }
        } else {
            StoredRows { in_header: rows, changed: Vec::new() }
        }
    }

    fn take_changes(&mut self) -> Vec<StateRow> {
        let Self { activities, timers, buffer, outbox, receipts, children, updates, has_rows: _ } = self;
        let mut rows = Vec::new();
        activities.take_changes(&mut rows);
        timers.take_changes(&mut rows);
        buffer.take_changes(&mut rows);
        outbox.take_changes(&mut rows);
        receipts.take_changes(&mut rows);
        children.take_changes(&mut rows);
        updates.take_changes(&mut rows);
        rows
    }

    fn forget_changes(&mut self) {
        let Self { activities, timers, buffer, outbox, receipts, children, updates, has_rows: _ } = self;
        activities.changed.clear();
        timers.changed.clear();
        buffer.forget_changes();
        outbox.changed.clear();
        receipts.changed.clear();
        children.changed.clear();
        updates.changed.clear();
    }

    fn rows(&self) -> Vec<StateRow> {
        let Self { activities, timers, buffer, outbox, receipts, children, updates, has_rows: _ } = self;
        let rows = activities.rows().chain(timers.rows()).chain(buffer.rows());
        let rows = rows.chain(outbox.rows()).chain(receipts.rows());
        rows.chain(children.rows()).chain(updates.rows()).collect()
    }

    fn len(&self) -> usize {
        let Self { activities, timers, buffer, outbox, receipts, children, updates, has_rows: _ } = self;
        let own = activities.len() + timers.len() + buffer.len() + updates.len();
        own + outbox.len() + receipts.len() + children.len()
    }

    /// Rough size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        let Self { activities, timers, buffer, outbox, receipts, children, updates, has_rows: _ } = self;
        let own = activities.weight() + timers.weight() + buffer.weight() + updates.weight();
        own + outbox.weight() + receipts.weight() + children.weight()
    }

    /// How many workers have a task of these kinds.
    pub(super) fn with_workers(&self) -> usize {
        let Self {
            activities,
            timers: _,
            buffer: _,
            outbox: _,
            receipts: _,
            children: _,
            updates: _,
            has_rows: _,
        } = self;
        activities.count(Stage::Started)
    }

    /// Something is with a worker or could be, or is under way to another run.
    pub(super) fn is_runnable(&self) -> bool {
        let Self {
            activities,
            timers: _,
            buffer: _,
            outbox,
            receipts: _,
            children: _,
            updates: _,
            has_rows: _,
        } = self;
        activities.count(Stage::Started) + activities.count(Stage::Offered) > 0 || outbox.len() > 0
    }

    /// Nothing is pending that could let the run go on, but activities.
    pub(super) fn is_only_activities(&self) -> bool {
        let Self { activities: _, timers, buffer: _, outbox, receipts: _, children, updates: _, has_rows: _ } =
            self;
        timers.len() + outbox.len() + children.len() == 0
    }

    /// Nothing is pending that could let the run go on, but children.
    pub(super) fn is_only_children(&self) -> bool {
        let Self { activities, timers, buffer: _, outbox, receipts: _, children: _, updates: _, has_rows: _ } =
            self;
        activities.len() + timers.len() + outbox.len() == 0
    }

    /// When the first of it happens by itself.
    pub(super) fn next_due(&self) -> Option<Time> {
        let Self {
            activities,
            timers,
            buffer: _,
            outbox: _,
            receipts: _,
            children: _,
            updates: _,
            has_rows: _,
        } = self;
        timers.next_due().into_iter().chain(activities.next_due()).min()
    }

    /// The run has ended.
    pub(super) fn close(&mut self) {
        // What was said stays until it has arrived. A repetition is known to a run that has ended, too: receipts stay until
        // their senders have settled. Children are left as their policies say. Whoever asks what became of an update is told.
        let Self { activities, timers, buffer, outbox: _, receipts: _, children: _, updates: _, has_rows: _ } =
            self;
        timers.clear();
        buffer.take();
        activities.clear();
    }
}

const STAGES: usize = 3;

/// All pending items of one kind.
pub(super) struct Pending<T> {
    items: BTreeMap<i64, T>,
    names: HashMap<String, i64>,
    due: BTreeSet<(Time, i64)>,
    stages: [usize; STAGES],
    weight: usize,
    /// Ids whose rows the next commit writes or deletes.
    changed: BTreeSet<i64>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            names: HashMap::new(),
            due: BTreeSet::new(),
            stages: [0; STAGES],
            weight: 0,
            changed: BTreeSet::new(),
        }
    }
}

impl<T: Item> Pending<T> {
    /// Something new, whose id is free: two things of a kind under one id would be one after a restart.
    pub(super) fn insert(&mut self, id: i64, item: T) {
        debug_assert!(!self.items.contains_key(&id), "{:?} {id} is there already", T::KIND);
        self.changed.insert(id);
        self.restore(id, item);
    }

    /// [`Pending::insert`] for what the store holds already.
    pub(super) fn restore(&mut self, id: i64, item: T) {
        self.take_out(id);
        self.enter(id, &item);
        if !item.name().is_empty() {
            self.names.insert(item.name().to_owned(), id);
        }
        self.items.insert(id, item);
    }

    pub(super) fn remove(&mut self, id: i64) -> Option<T> {
        let item = self.take_out(id)?;
        self.changed.insert(id);
        Some(item)
    }

    /// Changes an item in place; `None` when it is not there.
    pub(super) fn update<R>(&mut self, id: i64, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut item = self.items.remove(&id)?;
        self.leave(id, &item);
        let result = change(&mut item);
        self.enter(id, &item);
        self.items.insert(id, item);
        self.changed.insert(id);
        Some(result)
    }

    pub(super) fn get(&self, id: i64) -> Option<&T> {
        self.items.get(&id)
    }

    pub(super) fn id_of(&self, name: &str) -> Option<i64> {
        self.names.get(name).copied()
    }

    /// The highest id; 0 when nothing is pending.
    pub(super) fn last_id(&self) -> i64 {
        self.items.last_key_value().map_or(0, |(id, _)| *id)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.items.values()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn count(&self, stage: Stage) -> usize {
        self.stages[stage as usize]
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Ids of what is due by `now`, soonest first.
    pub(super) fn due_by(&self, now: Time) -> impl Iterator<Item = (Time, i64)> {
        self.due.range(..=(now, i64::MAX)).copied()
    }

    pub(super) fn clear(&mut self) {
        self.changed.extend(std::mem::take(&mut self.items).into_keys());
        self.names.clear();
        self.due.clear();
        self.stages = [0; STAGES];
        self.weight = 0;
    }

    /// All rows of this kind.
    fn rows(&self) -> impl Iterator<Item = StateRow> {
        self.items.iter().map(|(id, item)| StateRow { kind: T::KIND, id: *id, data: Some(item.encode()) })
    }

    /// What the next commit does to the rows of this kind.
    fn take_changes(&mut self, rows: &mut Vec<StateRow>) {
        rows.extend(std::mem::take(&mut self.changed).into_iter().map(|id| StateRow {
            kind: T::KIND,
            id,
            data: self.items.get(&id).map(Item::encode),
        }));
    }

    fn take_out(&mut self, id: i64) -> Option<T> {
        let item = self.items.remove(&id)?;
        self.leave(id, &item);
        self.names.remove(item.name());
        Some(item)
    }

    fn enter(&mut self, id: i64, item: &T) {
        self.due.extend(item.due().map(|due| (due, id)));
        self.stages[item.stage() as usize] += 1;
        self.weight += item.weight();
    }

    fn leave(&mut self, id: i64, item: &T) {
        if let Some(due) = item.due() {
            self.due.remove(&(due, id));
        }
        self.stages[item.stage() as usize] -= 1;
        self.weight -= item.weight();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing {
        name: &'static str,
        due: Option<i64>,
        stage: Stage,
    }

    impl Item for Thing {
        const KIND: RowKind = RowKind::Timer;

        fn encode(&self) -> Bytes {
            Bytes::from_static(self.name.as_bytes())
        }

        fn name(&self) -> &str {
            self.name
        }

        fn due(&self) -> Option<Time> {
            self.due.map(Time)
        }

        fn stage(&self) -> Stage {
            self.stage
        }

        fn weight(&self) -> usize {
            self.name.len()
        }
    }

    fn thing(name: &'static str, due: i64) -> Thing {
        Thing { name, due: Some(due), stage: Stage::Offered }
    }

    fn rows(pending: &mut Pending<Thing>) -> Vec<(i64, Option<Bytes>)> {
        let mut rows = Vec::new();
        pending.take_changes(&mut rows);
        rows.into_iter().map(|row| (row.id, row.data)).collect()
    }

    #[test]
    fn a_commit_writes_only_what_changed() {
        let mut pending = Pending::default();
        pending.restore(1, thing("a", 30));
        pending.insert(2, thing("b", 10));
        assert_eq!(rows(&mut pending), [(2, Some(Bytes::from_static(b"b")))]);
        assert_eq!(rows(&mut pending), []);
        pending.update(1, |thing| thing.stage = Stage::Started);
        pending.remove(2);
        assert_eq!(rows(&mut pending), [(1, Some(Bytes::from_static(b"a"))), (2, None)]);
        pending.clear();
        assert_eq!(rows(&mut pending), [(1, None)]);
    }

    #[test]
    fn what_is_due_and_how_much_there_is_follow_each_change() {
        let mut pending = Pending::default();
        pending.insert(1, thing("a", 30));
        pending.insert(2, thing("bb", 10));
        assert_eq!((pending.next_due(), pending.weight()), (Some(Time(10)), 3));
        pending.update(2, |thing| (thing.due, thing.stage) = (Some(40), Stage::Started));
        assert_eq!(pending.due_by(Time(35)).collect::<Vec<_>>(), [(Time(30), 1)]);
        assert_eq!((pending.count(Stage::Offered), pending.count(Stage::Started)), (1, 1));
        assert_eq!((pending.id_of("bb"), pending.id_of("c")), (Some(2), None));
        pending.remove(2);
        assert_eq!((pending.id_of("bb"), pending.next_due()), (None, Some(Time(30))));
        assert_eq!((pending.count(Stage::Started), pending.weight(), pending.len()), (0, 1, 1));
    }
}
