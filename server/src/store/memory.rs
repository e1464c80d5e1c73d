//! State that lives as long as the server: ordered maps behind one lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use parking_lot::RwLock;

use super::{
    CloseRow, Commit, DamagedNamespace, EventOrder, Field, Filter, Group, Holder, Lease, Listing, NewRow,
    OpenRun, RowKind, RunCommit, RunKey, RunRow, RunWrite, StateRow, Store, StoreError, StoredRun, Terms,
    Value, Visibility,
    filter::matches,
    lease,
    visibility::{add_to_group, sort_groups},
};

/// Keeps everything in memory.
#[derive(Default)]
pub struct MemoryStore {
    tables: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    leases: BTreeMap<u32, Lease>,
    runs: BTreeMap<i64, Run>,
    /// Namespace id and workflow id to the runs of that id, oldest first.
    ids: BTreeMap<(Arc<str>, Arc<str>), Vec<i64>>,
    namespaces: BTreeMap<String, Vec<u8>>,
}

struct Run {
    shard: u32,
    stored: StoredRun,
    next_due: Option<i64>,
    runnable: bool,
    batches: BTreeMap<i64, Bytes>,
    rows: BTreeMap<(RowKind, i64), Bytes>,
}

const RUNNING: i32 = 1;
/// Rows that a listing looks at before it lets the lock go, so that commits wait for a moment at most.
const STEP: usize = 64;

impl Tables {
    /// What would make a commit fail, found before anything is changed.
    fn check(&self, commit: &Commit) -> Result<(), StoreError> {
        let found = self.leases.get(&commit.shard).map_or(0, |lease| lease.token);
        if found != commit.lease {
            return Err(StoreError::Fenced { held: commit.lease, found });
        }
        let (mut new, mut batches) = (BTreeSet::new(), BTreeSet::new());
        for write in &commit.runs {
            let seq = write.seq;
            let known = self.runs.get(&seq);
            let there = known.is_some() || new.contains(&seq);
            if write.new.is_some() && (there || !new.insert(seq)) {
                return Err(StoreError::Failed(format!("run {seq} is there already")));
            }
            if write.new.is_none() && !there {
                return Err(StoreError::Damaged { seq, what: "it is not there to be changed".to_owned() });
            }
            if let Some((first, _)) = &write.change.events
                && (known.is_some_and(|run| run.batches.contains_key(first))
                    || !batches.insert((seq, *first)))
            {
                return Err(StoreError::Damaged {
                    seq,
                    what: format!("it has events from {first} on already"),
                });
            }
        }
        Ok(())
    }

    fn write(&mut self, shard: u32, write: &RunWrite) -> Result<(), StoreError> {
        let RunWrite { seq, new, change } = write;
        if let Some(new) = new {
            self.insert(shard, *seq, new, change.status);
        }
        // All of it by name: what a store forgets doesn't compile.
        let RunCommit {
            state,
            rows,
            events,
            status,
            close_time,
            history_length,
            history_bytes,
            transitions,
            next_due,
            runnable,
            attributes,
        } = change;
        let run = self
            .runs
            .get_mut(seq)
            .ok_or_else(|| StoreError::Failed(format!("run {seq} is not there to be changed")))?;
        run.next_due = *next_due;
        run.runnable = *runnable;
        if let Some((first, events)) = events {
            run.batches.insert(*first, events.clone());
        }
        run.stored.state.clone_from(state);
        for StateRow { kind, id, data } in rows {
            match data {
                Some(data) => run.rows.insert((*kind, *id), data.clone()),
                None => run.rows.remove(&(*kind, *id)),
            };
        }
        let row = &mut run.stored.row;
        row.status = *status;
        row.close_time = *close_time;
        row.history_length = *history_length;
        row.history_bytes = *history_bytes;
        row.transitions = *transitions;
        if let Some((memo, search_attributes)) = attributes {
            row.memo.clone_from(memo);
            row.search_attributes.clone_from(search_attributes);
        }
        Ok(())
    }

    fn insert(&mut self, shard: u32, seq: i64, new: &NewRow, status: i32) {
        let NewRow { key, workflow_type, task_queue, start_time, execution_time, ancestors } = new;
        let row = RunRow {
            seq,
            key: key.clone(),
            workflow_type: workflow_type.clone(),
            task_queue: task_queue.clone(),
            start_time: *start_time,
            execution_time: *execution_time,
            status,
            close_time: None,
            history_length: 0,
            history_bytes: 0,
            transitions: 0,
            memo: None,
            search_attributes: None,
            ancestors: ancestors.clone(),
        };
        let id = (Arc::clone(&key.namespace_id), Arc::clone(&key.workflow_id));
        self.ids.entry(id).or_default().push(seq);
        let run = Run {
            shard,
            stored: StoredRun { row, state: Vec::new(), rows: Vec::new() },
            next_due: None,
            runnable: false,
            batches: BTreeMap::new(),
            rows: BTreeMap::new(),
        };
        self.runs.insert(seq, run);
    }

    fn delete(&mut self, seq: i64) {
        let Some(run) = self.runs.remove(&seq) else { return };
        let key = run.stored.row.key;
        let id = (key.namespace_id, key.workflow_id);
        if let Some(runs) = self.ids.get_mut(&id) {
            runs.retain(|other| *other != seq);
            if runs.is_empty() {
                self.ids.remove(&id);
            }
        }
    }
}

impl MemoryStore {
    /// Calls `each` with what `pick` takes of the rows that pass, newest first. The lock is let go between steps, and
    /// whenever `each` runs.
    fn walk<T>(
        &self,
        namespace_id: &str,
        filter: &Filter,
        mut before: i64,
        until: Instant,
        pick: impl Fn(&RunRow) -> T,
        mut each: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        loop {
            let mut picked = Vec::new();
            let tables = self.tables.read();
            let mut seen = 0;
            for (seq, run) in tables.runs.range(..before).rev().take(STEP) {
                seen += 1;
                before = *seq;
                let row = &run.stored.row;
                if *row.key.namespace_id == *namespace_id && matches(filter, row) {
                    picked.push(pick(row));
                }
            }
            drop(tables);
            for item in picked {
                if each(item).is_break() {
                    return Ok(());
                }
            }
            if seen < STEP {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(StoreError::TooSlow);
            }
        }
    }
}

impl Visibility for MemoryStore {
    fn scan(
        &self,
        listing: &Listing<'_>,
        until: Instant,
        each: &mut dyn FnMut(RunRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if listing.order.is_none() {
            let before = listing.after.map_or(i64::MAX, |cursor| cursor.seq);
            return self.walk(listing.namespace_id, listing.filter, before, until, RunRow::clone, each);
        }
        let mut rows = Vec::new();
        self.walk(listing.namespace_id, listing.filter, i64::MAX, until, RunRow::clone, |row| {
            rows.push(row);
            ControlFlow::Continue(())
        })?;
        listing.give_sorted(rows, each);
        Ok(())
    }

    fn count(&self, namespace_id: &str, filter: &Filter, until: Instant) -> Result<i64, StoreError> {
        let mut count = 0;
        self.walk(
            namespace_id,
            filter,
            i64::MAX,
            until,
            |_| (),
            |()| {
                count += 1;
                ControlFlow::Continue(())
            },
        )?;
        Ok(count)
    }

    fn count_by(
        &self,
        namespace_id: &str,
        filter: &Filter,
        field: &Field,
        until: Instant,
    ) -> Result<Vec<Group>, StoreError> {
        let mut groups = Vec::new();
        self.walk(
            namespace_id,
            filter,
            i64::MAX,
            until,
            |row| field.of(row).map(Value::single),
            |value| {
                add_to_group(&mut groups, value);
                ControlFlow::Continue(())
            },
        )?;
        sort_groups(&mut groups);
        Ok(groups)
    }
}

impl Store for MemoryStore {
    fn take_lease(&self, shard: u32, holder: &Holder, terms: Terms) -> Result<Lease, StoreError> {
        let leases = &mut self.tables.write().leases;
        let taken = lease::taken(shard, leases.get(&shard).cloned(), holder, terms)?;
        leases.insert(shard, taken.clone());
        Ok(taken)
    }

    fn renew_lease(&self, shard: u32, token: i64, expires: i64) -> Result<(), StoreError> {
        let leases = &mut self.tables.write().leases;
        let renewed = lease::prolonged(leases.get(&shard).cloned(), token, expires)?;
        leases.insert(shard, renewed);
        Ok(())
    }

    fn lease(&self, shard: u32) -> Result<Option<Lease>, StoreError> {
        Ok(self.tables.read().leases.get(&shard).cloned())
    }

    fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut tables = self.tables.write();
        tables.check(commit)?;
        // The lease has been checked.
        let Commit { shard, lease: _, runs, closes, deletes, namespaces } = commit;
        for write in runs {
            tables.write(*shard, write)?;
        }
        for CloseRow { seq, status, close_time } in closes {
            if let Some(run) = tables.runs.get_mut(seq) {
                (run.next_due, run.runnable) = (None, false);
                (run.stored.row.status, run.stored.row.close_time) = (*status, Some(*close_time));
            }
        }
        for seq in deletes {
            tables.delete(*seq);
        }
        tables.namespaces.extend(namespaces.iter().cloned());
        Ok(())
    }

    fn commits_are_worth_sharing(&self) -> bool {
        false
    }

    fn shards(&self, of_new: u32) -> Result<u32, StoreError> {
        let leases = &mut self.tables.write().leases;
        if leases.is_empty() {
            leases.extend((0..of_new.max(1)).map(|shard| (shard, Lease::default())));
        }
        Ok(leases.len() as u32)
    }

    fn last_seq(&self) -> Result<i64, StoreError> {
        Ok(self.tables.read().runs.keys().next_back().copied().unwrap_or_default())
    }

    fn open_runs(
        &self,
        shard: u32,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for (seq, run) in &self.tables.read().runs {
            let open = OpenRun { seq: *seq, next_due: run.next_due, runnable: run.runnable };
            let is_wanted = run.stored.row.status == RUNNING || run.runnable;
            if run.shard == shard && is_wanted && each(open).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn run(&self, seq: i64) -> Result<Option<StoredRun>, StoreError> {
        let tables = self.tables.read();
        let Some(run) = tables.runs.get(&seq) else { return Ok(None) };
        let rows = run.rows.iter();
        let rows = rows.map(|((kind, id), data)| StateRow { kind: *kind, id: *id, data: Some(data.clone()) });
        Ok(Some(StoredRun { rows: rows.collect(), ..run.stored.clone() }))
    }

    /// Nothing is damaged in memory: who asks knows of a run that was deleted.
    fn unverified(&self, seq: i64) -> (RunKey, bool) {
        let tables = self.tables.read();
        let Some(run) = tables.runs.get(&seq) else {
            let run_id = format!("number {seq}").into();
            return (RunKey { namespace_id: "".into(), workflow_id: "".into(), run_id }, false);
        };
        (run.stored.row.key.clone(), run.stored.row.status != RUNNING)
    }

    fn find(
        &self,
        namespace_id: &str,
        workflow_id: &str,
        run_id: Option<&str>,
    ) -> Result<Option<i64>, StoreError> {
        let tables = self.tables.read();
        let Some(runs) = tables.ids.get(&(namespace_id.into(), workflow_id.into())) else { return Ok(None) };
        let named = |seq: &&i64| {
            run_id.is_none_or(|run_id| {
                tables.runs.get(*seq).is_some_and(|run| *run.stored.row.key.run_id == *run_id)
            })
        };
        Ok(runs.iter().rev().find(named).copied())
    }

    fn batches(
        &self,
        seq: i64,
        events: Range<i64>,
        order: EventOrder,
        each: &mut dyn FnMut(i64, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // By reference, and without the lock while each is looked at.
        let batches: Vec<(i64, Bytes)> = {
            let tables = self.tables.read();
            let Some(run) = tables.runs.get(&seq) else { return Ok(()) };
            let holds = run.batches.range(..=events.start).next_back();
            let first = holds.map_or(events.start, |(first, _)| *first);
            if first >= events.end {
                return Ok(());
            }
            run.batches.range(first..events.end).map(|(first, batch)| (*first, batch.clone())).collect()
        };
        let mut batches = batches.into_iter();
        let next = || match order {
            EventOrder::OldestFirst => batches.next(),
            EventOrder::NewestFirst => batches.next_back(),
        };
        for (first, batch) in std::iter::from_fn(next) {
            if each(first, batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn closed_before(
        &self,
        shard: u32,
        namespace_id: &str,
        time: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let tables = self.tables.read();
        let mut closed: Vec<(i64, i64)> = tables
            .runs
            .values()
            .filter(|run| run.shard == shard)
            .map(|run| &run.stored.row)
            .filter(|row| *row.key.namespace_id == *namespace_id)
            .filter_map(|row| Some((row.close_time.filter(|closed| *closed < time)?, row.seq)))
            .collect();
        closed.sort_unstable();
        Ok(closed.into_iter().take(limit).map(|(_, seq)| seq).collect())
    }

    fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(self.tables.read().namespaces.iter().map(|(id, data)| (id.clone(), data.clone())).collect())
    }

    fn damaged_namespaces(&self) -> Result<Vec<DamagedNamespace>, StoreError> {
        Ok(Vec::new())
    }

    fn in_place(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn visibility(&self) -> &dyn Visibility {
        self
    }

    /// There is nobody who comes next.
    fn close(&self) {}
}
