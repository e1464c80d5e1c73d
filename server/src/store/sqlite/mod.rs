//! State in one SQLite file (WAL, every commit synced). One connection writes and one reads for those who write; others
//! read histories, and others again make lists, so that nobody waits for a list.

mod checks;
mod file;
mod filter;
mod leases;
mod log;
mod mend;
mod namespaces;
mod readers;
mod rows;
mod schema;
mod search;
#[cfg(test)]
mod tests;
mod visibility;

use std::{
    ops::{ControlFlow, Range},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use bytes::Bytes;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use prost::Message;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, config::DbConfig, params,
};

use super::{
    CloseRow, Commit, DamagedNamespace, EventOrder, Holder, Lease, NewRow, OpenRun, RunCommit, RunKey,
    RunWrite, StateRow, Store, StoreError, StoredRun, Terms, Visibility, lease,
};
use crate::error::OpenError;
use checks::Progress;
use file::InUse;
pub use file::back_up;
use readers::Readers;
use visibility::SqliteVisibility;

/// Keeps state in a SQLite file.
pub struct SqliteStore {
    /// The two connections of those who write; `None` once the store is closed.
    writer: Mutex<Option<Connection>>,
    reader: Mutex<Option<Connection>>,
    histories: Readers,
    visibility: SqliteVisibility,
    in_use: InUse,
    /// How often damage was looked for, and whether the indexes were made anew.
    mends: AtomicU32,
    made_indexes: AtomicBool,
}

/// How many readers of histories have a connection at a time.
const HISTORY_READERS: usize = 8;

/// How often damage is mended before a file is given up. Each time reads its tables.
const MOST_MENDS: u32 = 8;

/// What was made anew.
enum Mended {
    Nothing,
    Indexes,
    /// Runs may have lost something.
    Tables,
}

/// Bits of a history row's id that hold the id of its first event; the rest is the run's `seq`. One integer as the
/// key keeps the batches of a run together without a second index.
const EVENT_ID_BITS: u32 = 24;
const EVENT_ID_MASK: i64 = (1 << EVENT_ID_BITS) - 1;

fn batch_id(seq: i64, event_id: i64) -> i64 {
    (seq << EVENT_ID_BITS) | event_id.clamp(0, EVENT_ID_MASK)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if checks::is_damage(&error) {
            return Self::DamagedFile(error.to_string());
        }
        if matches!(error, rusqlite::Error::StatementChangedRows(_)) {
            return Self::DamagedFile("a run is not where it should be".to_owned());
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl SqliteStore {
    /// Opens or makes the file and brings its schema up to date. The caller has made sure that no other process
    /// writes to it. On an error nothing was changed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let fault = |error: rusqlite::Error| schema::fault(path, &error);
        file::ready(path)?;
        log::ready(path)?;
        let had_log = file::has_log(path);
        let mut writer = readers::connect(path).map_err(fault)?;
        schema::prepare(&mut writer, path, false)?;
        let reader = readers::connect_reader(path).map_err(fault)?;
        mend::ends(&mut writer, &reader)
            .and_then(|()| namespaces::mirror(&mut writer, &reader))
            .map_err(|error| schema::damage(path, &error))?;
        let in_use = InUse::mark(&writer, path, had_log)?;
        file::protect(path)?;
        Ok(Self {
            writer: Mutex::new(Some(writer)),
            reader: Mutex::new(Some(reader)),
            histories: Readers::new(path, HISTORY_READERS),
            visibility: SqliteVisibility::new(path),
            in_use,
            mends: AtomicU32::new(0),
            made_indexes: AtomicBool::new(false),
        })
    }

    fn writer(&self) -> Result<MappedMutexGuard<'_, Connection>, StoreError> {
        MutexGuard::try_map(self.writer.lock(), Option::as_mut).map_err(|_| StoreError::Closed)
    }

    fn reader(&self) -> Result<MappedMutexGuard<'_, Connection>, StoreError> {
        MutexGuard::try_map(self.reader.lock(), Option::as_mut).map_err(|_| StoreError::Closed)
    }

    /// Makes anew what is broken: tables, or else the indexes, which are derived from them. False when that does not help.
    fn mend(&self, what: &str) -> Result<bool, StoreError> {
        Ok(!matches!(self.mend_with(&mut *self.writer()?, what, &[])?, Mended::Nothing))
    }

    fn mend_with(
        &self,
        writer: &mut Connection,
        what: &str,
        concerned: &[i64],
    ) -> Result<Mended, StoreError> {
        if self.mends.fetch_add(1, Ordering::Relaxed) >= MOST_MENDS {
            return Ok(Mended::Nothing);
        }
        if mend::tables(writer, &*self.reader()?, concerned)? {
            return Ok(Mended::Tables);
        }
        if self.made_indexes.swap(true, Ordering::Relaxed) {
            return Ok(Mended::Nothing);
        }
        mend::indexes(writer, what).map(|()| Mended::Indexes)
    }

    /// Writes in spite of damage: around what was mended, or naming the run that it cannot write.
    fn write_around(
        &self,
        writer: &mut Connection,
        commit: &Commit,
        mut what: String,
    ) -> Result<(), StoreError> {
        let of = |write: &RunWrite| write.new.is_none().then_some(write.seq);
        let written: Vec<i64> = commit.runs.iter().filter_map(of).collect();
        let mut concerned = written.clone();
        concerned.extend(commit.closes.iter().map(|close| close.seq));
        concerned.extend(&commit.deletes);
        loop {
            match self.mend_with(writer, &what, &concerned)? {
                Mended::Nothing => break,
                Mended::Indexes => {}
                Mended::Tables => {
                    let reader = self.reader()?;
                    written.iter().try_for_each(|seq| check_whole(&reader, *seq))?;
                }
            }
            match write_all(writer, commit) {
                Err(StoreError::DamagedFile(still)) => what = still,
                written => return written,
            }
        }
        // Something that can't be mended: whoever can't be written even alone is set aside, and the others go on without it.
        for write in commit.runs.iter().filter(|write| write.new.is_none()) {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Err(error) = write_run(&transaction, commit.shard, write) {
                return Err(StoreError::Damaged { seq: write.seq, what: error.to_string() });
            }
        }
        Err(StoreError::DamagedFile(what))
    }
}

/// Whether all of a run can be read.
fn check_whole(reader: &Connection, seq: i64) -> Result<(), StoreError> {
    if rows::stored(reader, seq)?.is_none() {
        return Err(StoreError::Damaged { seq, what: "it is lost".to_owned() });
    }
    let mut each = |_, _| ControlFlow::Continue(());
    rows::batches(reader, seq, &(0..EVENT_ID_MASK), EventOrder::OldestFirst, &mut each)
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

fn encoded<M: Message>(message: Option<&M>) -> Option<Vec<u8>> {
    message.map(Message::encode_to_vec)
}

fn write_run(transaction: &Transaction<'_>, shard: u32, write: &RunWrite) -> rusqlite::Result<()> {
    let RunWrite { seq, new, change } = write;
    let mut keys = 0;
    for row in &change.rows {
        keys += write_state_row(transaction, *seq, row)?;
    }
    match new {
        Some(new) => insert_run(transaction, shard, *seq, new, change, keys)?,
        None => update_run(transaction, *seq, change, keys)?,
    }
    if let Some((first, events)) = &change.events {
        let id = batch_id(*seq, *first);
        transaction
            .prepare_cached("INSERT INTO history (id, events, crc) VALUES (?1, ?2, ?3)")?
            .execute(params![id, events.as_ref(), checks::of_blob(id, events)])?;
    }
    Ok(())
}

/// Writes a row, and tells what that adds to the sum over the keys of its run's rows.
fn write_state_row(transaction: &Transaction<'_>, seq: i64, row: &StateRow) -> rusqlite::Result<i64> {
    let kind = row.kind as u8;
    let key = checks::of_row_key(seq, kind, row.id);
    let Some(data) = &row.data else {
        let deleted = transaction
            .prepare_cached("DELETE FROM run_rows WHERE seq = ?1 AND kind = ?2 AND id = ?3")?
            .execute(params![seq, kind, row.id])?;
        return Ok(if deleted == 1 { -key } else { 0 });
    };
    let check = checks::of_state_row(seq, kind, row.id, data);
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO run_rows (seq, kind, id, data, crc) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![seq, kind, row.id, data.as_ref(), check])?;
    if inserted == 1 {
        return Ok(key);
    }
    transaction
        .prepare_cached("UPDATE run_rows SET data = ?4, crc = ?5 WHERE seq = ?1 AND kind = ?2 AND id = ?3")?
        .execute(params![seq, kind, row.id, data.as_ref(), check])?;
    Ok(0)
}

fn insert_run(
    transaction: &Transaction<'_>,
    shard: u32,
    seq: i64,
    new: &NewRow,
    change: &RunCommit,
    row_keys: i64,
) -> rusqlite::Result<()> {
    // All of it by name: what a statement forgets doesn't compile.
    let NewRow { key, workflow_type, task_queue, start_time, execution_time } = new;
    let RunCommit {
        state,
        rows: _, // `write_run` writes these two.
        events: _,
        status,
        close_time,
        history_length,
        history_bytes,
        transitions,
        next_due,
        runnable,
        attributes,
    } = change;
    let (memo, search_attributes) = attributes
        .as_ref()
        .map_or((None, None), |(memo, attributes)| (encoded(memo.as_ref()), encoded(attributes.as_ref())));
    transaction
        .prepare_cached(
            "INSERT INTO runs (seq, namespace_id, workflow_id, run_id, workflow_type, task_queue, start_time, \
             execution_time, status, close_time, history_length, history_bytes, transitions, memo, \
             search_attributes, next_due, runnable, state, shard, fixed_crc, progress_crc, attributes_crc, \
             state_crc, rows_crc) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
             ?21, ?22, ?23, ?24)",
        )?
        .execute(params![
            seq,
            key.namespace_id,
            key.workflow_id,
            key.run_id,
            workflow_type,
            task_queue,
            start_time,
            execution_time,
            status,
            close_time,
            history_length,
            history_bytes,
            transitions,
            memo,
            search_attributes,
            next_due,
            runnable,
            state,
            shard,
            checks::of_new(seq, new),
            Progress::from(change).check(seq),
            checks::of_attributes(seq, memo.as_deref(), search_attributes.as_deref()),
            checks::of_blob(seq, state),
            row_keys & checks::ROW_KEYS,
        ])?;
    Ok(())
}

fn update_run(
    transaction: &Transaction<'_>,
    seq: i64,
    change: &RunCommit,
    row_keys: i64,
) -> rusqlite::Result<()> {
    let RunCommit {
        state,
        rows: _, // `write_run` writes these two.
        events: _,
        status,
        close_time,
        history_length,
        history_bytes,
        transitions,
        next_due,
        runnable,
        attributes,
    } = change;
    let changed = transaction
        .prepare_cached(
            "UPDATE runs SET status = ?2, close_time = ?3, history_length = ?4, history_bytes = ?5, \
             transitions = ?6, next_due = ?7, runnable = ?8, state = ?9, progress_crc = ?10, state_crc = ?11, \
             rows_crc = (rows_crc + ?12) & ?13 WHERE seq = ?1",
        )?
        .execute(params![
            seq,
            status,
            close_time,
            history_length,
            history_bytes,
            transitions,
            next_due,
            runnable,
            state,
            Progress::from(change).check(seq),
            checks::of_blob(seq, state),
            row_keys,
            checks::ROW_KEYS,
        ])?;
    if changed != 1 {
        return Err(rusqlite::Error::StatementChangedRows(changed));
    }
    if let Some((memo, search_attributes)) = attributes {
        let (memo, attributes) = (encoded(memo.as_ref()), encoded(search_attributes.as_ref()));
        let check = checks::of_attributes(seq, memo.as_deref(), attributes.as_deref());
        transaction
            .prepare_cached(
                "UPDATE runs SET memo = ?2, search_attributes = ?3, attributes_crc = ?4 WHERE seq = ?1",
            )?
            .execute(params![seq, memo, attributes, check])?;
    }
    Ok(())
}

/// Closes a run by its row alone. What else its checksum is over stays as it is, right, wrong or unreadable.
fn close_row(transaction: &Transaction<'_>, close: &CloseRow) -> rusqlite::Result<()> {
    let read = transaction
        .prepare_cached(
            "UPDATE runs SET status = ?2, close_time = ?3, next_due = NULL, runnable = 0 WHERE seq = ?1 \
             RETURNING history_length, history_bytes, transitions",
        )?
        .query_row(params![close.seq, close.status, close.close_time], |row| {
            Ok(Progress {
                status: close.status,
                close_time: Some(close.close_time),
                history_length: row.get(0).unwrap_or_default(),
                history_bytes: row.get(1).unwrap_or_default(),
                transitions: row.get(2).unwrap_or_default(),
                next_due: None,
                runnable: false,
            })
        })
        .optional()?;
    if let Some(progress) = read {
        transaction
            .prepare_cached("UPDATE runs SET progress_crc = ?2 WHERE seq = ?1")?
            .execute([close.seq, progress.check(close.seq)])?;
    }
    Ok(())
}

/// A run that has rows already that it writes now has been read back as it was before: it is damaged.
fn in_write(write: &RunWrite, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) if write.new.is_none() => StoreError::Damaged {
            seq: write.seq,
            what: format!("its next events are there already ({error})"),
        },
        _ => error.into(),
    }
}

fn write_all(writer: &mut Connection, commit: &Commit) -> Result<(), StoreError> {
    let Commit { shard, lease, runs, closes, deletes, namespaces } = commit;
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction
        .prepare_cached("SELECT token FROM leases WHERE shard = ?1")?
        .query_row([shard], |row| row.get(0))
        .optional()?
        .unwrap_or_default();
    if found != *lease {
        return Err(StoreError::Fenced { held: *lease, found });
    }
    for write in runs {
        write_run(&transaction, *shard, write).map_err(|error| in_write(write, error))?;
    }
    for close in closes {
        close_row(&transaction, close)?;
    }
    for seq in deletes {
        // Said twice: a search by key believes that rows are in order, and the last condition looks at the row itself.
        transaction
            .prepare_cached("DELETE FROM history WHERE id >= ?1 AND id < ?2 AND (id >> ?3) = ?4")?
            .execute([batch_id(*seq, 0), batch_id(*seq + 1, 0), EVENT_ID_BITS.into(), *seq])?;
        transaction.prepare_cached("DELETE FROM run_rows WHERE seq = ?1 AND +seq = ?1")?.execute([seq])?;
        transaction.prepare_cached("DELETE FROM runs WHERE seq = ?1")?.execute([seq])?;
    }
    for (id, data) in namespaces {
        namespaces::write(&transaction, id, data)?;
    }
    transaction.commit()?;
    Ok(())
}

impl Store for SqliteStore {
    fn take_lease(&self, shard: u32, holder: &Holder, terms: Terms) -> Result<Lease, StoreError> {
        leases::change(&mut *self.writer()?, shard, |found| lease::taken(shard, found, holder, terms))
    }

    fn renew_lease(&self, shard: u32, token: i64, expires: i64) -> Result<(), StoreError> {
        leases::change(&mut *self.writer()?, shard, |found| lease::prolonged(found, token, expires))
            .map(|_| ())
    }

    fn lease(&self, shard: u32) -> Result<Option<Lease>, StoreError> {
        leases::read(&*self.reader()?, shard)
    }

    fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        // Before, or what was cut off would be filled with nothing and look whole; and behind, since what was promised holds
        // only while the file is the one that will be opened again.
        self.in_place()?;
        match write_all(&mut writer, commit) {
            Err(StoreError::DamagedFile(what)) => self.write_around(&mut writer, commit, what)?,
            written => written?,
        }
        self.in_use.check_written()
    }

    fn shards(&self, of_new: u32) -> Result<u32, StoreError> {
        leases::shards(&mut *self.writer()?, of_new)
    }

    fn last_seq(&self) -> Result<i64, StoreError> {
        search::last_seq(&*self.reader()?)
    }

    fn open_runs(
        &self,
        shard: u32,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut last = i64::MIN;
        let read = search::open_runs(&*self.reader()?, shard, &mut last, each);
        let Err(StoreError::DamagedFile(what)) = read else { return read };
        if let Err(error) = self.mend(&what) {
            tracing::error!(%error, "the damage is not mended; what can be read goes on");
        }
        search::open_runs_around_damage(&*self.reader()?, shard, last, each)
    }

    fn run(&self, seq: i64) -> Result<Option<StoredRun>, StoreError> {
        let Some(run) = rows::stored(&*self.reader()?, seq)? else { return Ok(None) };
        let is_indexed = search::is_indexed(&*self.reader()?, &run.row)?;
        if !is_indexed {
            self.mend("an index lacks a run")?;
        }
        Ok(Some(run))
    }

    fn unverified(&self, seq: i64) -> (RunKey, bool) {
        match self.reader() {
            Ok(reader) => rows::unverified(&reader, seq),
            Err(_) => (RunKey { namespace_id: "".into(), workflow_id: "".into(), run_id: "".into() }, false),
        }
    }

    fn find(
        &self,
        namespace_id: &str,
        workflow_id: &str,
        run_id: Option<&str>,
    ) -> Result<Option<i64>, StoreError> {
        let find = || search::find(&*self.reader()?, namespace_id, workflow_id, run_id);
        let found = find();
        if let Err(StoreError::DamagedFile(what)) = &found
            && self.mend(what)?
        {
            return find();
        }
        found
    }

    fn batches(
        &self,
        seq: i64,
        events: Range<i64>,
        order: EventOrder,
        each: &mut dyn FnMut(i64, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.histories.read(None, |reader| {
            let mut closed = Ok(());
            rows::batches(reader, seq, &events, order, &mut |first, batch| {
                closed = self.histories.check_open();
                if closed.is_err() { ControlFlow::Break(()) } else { each(first, batch) }
            })?;
            closed
        })
    }

    fn closed_before(
        &self,
        shard: u32,
        namespace_id: &str,
        time: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        search::closed_before(&*self.reader()?, shard, namespace_id, time, limit)
    }

    fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.histories.read(None, |reader| Ok(namespaces::read(reader)?.good.into_iter().collect()))
    }

    fn damaged_namespaces(&self) -> Result<Vec<DamagedNamespace>, StoreError> {
        self.histories.read(None, |reader| Ok(namespaces::read(reader)?.damaged))
    }

    fn in_place(&self) -> Result<(), StoreError> {
        self.in_use.check()
    }

    fn visibility(&self) -> &dyn Visibility {
        &self.visibility
    }

    /// Leaves one file: the log is in it, and the mark is gone.
    fn close(&self) {
        self.visibility.readers.close();
        self.histories.close();
        self.reader.lock().take();
        let Some(writer) = self.writer.lock().take() else { return };
        let unmarked = self.in_use.unmark(&writer);
        if unmarked.is_err() {
            // A file that says that it is open is refused without its log, and SQLite takes an empty log away.
            let _ = writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        let closed = writer.close().map_err(|(_, error)| error);
        if let Err(error) = unmarked.and(closed) {
            tracing::warn!(%error, "the state file was not closed in order; its log stays beside it");
        }
    }
}
