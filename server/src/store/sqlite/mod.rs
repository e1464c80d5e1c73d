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
#[cfg(test)]
mod tests;
mod visibility;

use std::{
    ops::{ControlFlow, Range},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, config::DbConfig, params};

use super::{
    CloseRow, Commit, DamagedNamespace, EventOrder, Holder, Lease, NewRow, OpenRun, RunCommit, RunKey,
    RunWrite, StateRow, Store, StoreError, StoredRun, Terms, Visibility, lease,
};
use crate::error::OpenError;
use checks::Progress;
use file::InUse;
pub use file::back_up;
use readers::Readers;
use rows::{OPEN, ROW, damaged_run, open_run, open_seqs, run_row, state_rows};
use visibility::SqliteVisibility;

/// Keeps state in a SQLite file.
pub struct SqliteStore {
    /// The two connections of those who write; `None` once the store is closed.
    writer: Mutex<Option<Connection>>,
    reader: Mutex<Option<Connection>>,
    histories: Readers,
    visibility: SqliteVisibility,
    in_use: InUse,
    /// The indexes were made anew.
    mended: AtomicBool,
}

/// How many readers of histories have a connection at a time.
const HISTORY_READERS: usize = 8;

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
        mend::tables(&mut writer, &reader)
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
            mended: AtomicBool::new(false),
        })
    }

    fn writer(&self) -> Result<MappedMutexGuard<'_, Connection>, StoreError> {
        MutexGuard::try_map(self.writer.lock(), Option::as_mut).map_err(|_| StoreError::Closed)
    }

    fn reader(&self) -> Result<MappedMutexGuard<'_, Connection>, StoreError> {
        MutexGuard::try_map(self.reader.lock(), Option::as_mut).map_err(|_| StoreError::Closed)
    }

    /// Makes the indexes anew, which are derived from the table. False when that was done before, and did not help.
    fn mend_indexes(&self, what: &str) -> Result<bool, StoreError> {
        if self.mended.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        mend::indexes(&mut *self.writer()?, what).map(|()| true)
    }

    /// The open runs one by one, around those that cannot be read: the index still names them.
    fn open_runs_around_damage(
        reader: &Connection,
        shard: u32,
        behind: i64,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut row = reader.prepare(&format!("SELECT {OPEN} FROM runs WHERE seq = ?1"))?;
        for seq in open_seqs(reader, shard, behind)? {
            let read = row.query_row([seq], |row| Ok(open_run(row))).optional();
            let open = match read.map_err(|error| checks::in_row(seq, error)) {
                Ok(Some(open)) => open?,
                Ok(None) | Err(StoreError::Damaged { .. }) => Some(damaged_run(seq)),
                Err(error) => return Err(error),
            };
            if open.is_some_and(|open| each(open).is_break()) {
                break;
            }
        }
        Ok(())
    }
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

/// Closes a run by its row alone. What else its checksum is over stays as it is, right or wrong.
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
                history_length: row.get(0)?,
                history_bytes: row.get(1)?,
                transitions: row.get(2)?,
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
        write_run(&transaction, *shard, write)?;
    }
    for close in closes {
        close_row(&transaction, close)?;
    }
    for seq in deletes {
        transaction
            .prepare_cached("DELETE FROM history WHERE id >= ?1 AND id < ?2")?
            .execute([batch_id(*seq, 0), batch_id(*seq + 1, 0)])?;
        transaction.prepare_cached("DELETE FROM run_rows WHERE seq = ?1")?.execute([seq])?;
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
        self.check_in_place()?;
        match write_all(&mut writer, commit) {
            // Perhaps of an index, which is derived from what is not damaged.
            Err(StoreError::DamagedFile(what)) if !self.mended.swap(true, Ordering::Relaxed) => {
                mend::indexes(&mut writer, &what)?;
                write_all(&mut writer, commit)?;
            }
            written => written?,
        }
        self.in_use.check_written()
    }

    fn shards(&self, of_new: u32) -> Result<u32, StoreError> {
        leases::shards(&mut *self.writer()?, of_new)
    }

    fn last_seq(&self) -> Result<i64, StoreError> {
        let reader = self.reader()?;
        let read = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0));
        match read("SELECT coalesce(max(seq), 0) FROM runs NOT INDEXED") {
            // The last rows are damaged: the indexes still know their numbers, which must not be given out again.
            Err(error) if checks::is_damage(&error) => Ok(read(
                "SELECT coalesce(max(seq), 0) FROM runs INDEXED BY runs_by_workflow_id WHERE workflow_id >= ''",
            )?),
            last => Ok(last?),
        }
    }

    fn open_runs(
        &self,
        shard: u32,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(&format!(
            "SELECT {OPEN} FROM runs WHERE shard = ?1 AND status = 1 ORDER BY seq"
        ))?;
        let mut rows = statement.query([shard])?;
        let mut last = 0;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(()),
                Err(error) if checks::is_damage(&error) => {
                    return Self::open_runs_around_damage(&reader, shard, last, each);
                }
                Err(error) => return Err(error.into()),
            };
            last = row.get(0)?;
            if open_run(row)?.is_some_and(|open| each(open).is_break()) {
                return Ok(());
            }
        }
    }

    fn run(&self, seq: i64) -> Result<Option<StoredRun>, StoreError> {
        let reader = self.reader()?;
        let mut statement = reader
            .prepare_cached(&format!("SELECT {ROW}, state, state_crc, rows_crc FROM runs WHERE seq = ?1"))?;
        let read = statement.query_row([seq], |row| {
            Ok(run_row(row).and_then(|read| {
                let column = |error| checks::in_row(seq, error);
                let state: Vec<u8> = row.get(20).map_err(column)?;
                checks::verify(seq, "state", row.get(21).map_err(column)?, || checks::of_blob(seq, &state))?;
                let row_keys: Option<i64> = row.get(22).map_err(column)?;
                Ok((StoredRun { row: read, state, rows: Vec::new() }, row_keys))
            }))
        });
        let read = read.optional().map_err(|error| checks::in_row(seq, error))?;
        let Some((mut run, row_keys)) = read.transpose()? else { return Ok(None) };
        run.rows = state_rows(&reader, seq)?;
        checks::verify(seq, "list of pending work", row_keys, || checks::of_row_keys(seq, &run.rows))?;
        let is_indexed = rows::is_indexed(&reader, &run.row);
        drop(statement);
        drop(reader);
        if !is_indexed? {
            self.mend_indexes("it lacks a run")?;
        }
        Ok(Some(run))
    }

    fn unverified(&self, seq: i64) -> (RunKey, bool) {
        let read = |column: &str| -> Option<rusqlite::types::Value> {
            let sql = format!("SELECT {column} FROM runs WHERE seq = ?1");
            self.reader().ok()?.query_row(&sql, [seq], |row| row.get(0)).ok()
        };
        let name = |column| match read(column) {
            Some(rusqlite::types::Value::Text(name)) => name.into(),
            _ => Arc::from(""),
        };
        let key = RunKey {
            namespace_id: name("namespace_id"),
            workflow_id: name("workflow_id"),
            run_id: name("run_id"),
        };
        let closed = matches!(read("status"), Some(rusqlite::types::Value::Integer(status)) if status != 1);
        (key, closed)
    }

    fn find(
        &self,
        namespace_id: &str,
        workflow_id: &str,
        run_id: Option<&str>,
    ) -> Result<Option<i64>, StoreError> {
        let find = || rows::find(&*self.reader()?, namespace_id, workflow_id, run_id);
        let found = find();
        if let Err(StoreError::DamagedFile(what)) = &found
            && self.mend_indexes(what)?
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
        // The batch that holds `from` is the last one that begins at or before it.
        let sql = match order {
            EventOrder::OldestFirst => {
                "SELECT id, events, crc FROM history WHERE id < ?3 AND id >= \
                 coalesce((SELECT max(id) FROM history WHERE id >= ?1 AND id <= ?2), ?2) ORDER BY id"
            }
            EventOrder::NewestFirst => {
                "SELECT id, events, crc FROM history WHERE id < ?3 AND id >= \
                 coalesce((SELECT max(id) FROM history WHERE id >= ?1 AND id <= ?2), ?2) ORDER BY id DESC"
            }
        };
        self.histories.read(None, |reader| {
            let mut statement = reader.prepare_cached(sql)?;
            let in_run = |error| checks::in_row(seq, error);
            let bounds = [batch_id(seq, 0), batch_id(seq, events.start), batch_id(seq, events.end)];
            let mut rows = statement.query(bounds).map_err(in_run)?;
            while let Some(row) = rows.next().map_err(in_run)? {
                let id: i64 = row.get(0).map_err(in_run)?;
                let batch = Bytes::from(row.get::<_, Vec<u8>>(1).map_err(in_run)?);
                checks::verify(seq, "events", row.get(2).map_err(in_run)?, || checks::of_blob(id, &batch))?;
                self.histories.check_open()?;
                if each(id & EVENT_ID_MASK, batch).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn closed_before(
        &self,
        shard: u32,
        namespace_id: &str,
        time: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(
            "SELECT seq FROM runs INDEXED BY closed_runs WHERE shard = ?1 AND namespace_id = ?2 AND \
             close_time < ?3 ORDER BY close_time LIMIT ?4",
        )?;
        let rows = statement.query_map(params![shard, namespace_id, time, limit as i64], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
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

    fn check_in_place(&self) -> Result<(), StoreError> {
        self.in_use.check()
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
