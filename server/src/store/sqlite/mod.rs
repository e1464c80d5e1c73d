//! State in one SQLite file (WAL, every commit synced). One connection writes, another reads.

mod filter;
mod schema;

use std::{ops::ControlFlow, path::Path, sync::Arc};

use bytes::Bytes;
use durably_proto::temporal::api::common::v1::{Memo, SearchAttributes};
use parking_lot::Mutex;
use prost::Message;
use rusqlite::{
    Connection, OptionalExtension, Row, Transaction, TransactionBehavior, config::DbConfig, params,
};

use super::{
    Commit, Filter, NewRow, OpenRun, Page, RowKind, RunCommit, RunKey, RunRow, RunWrite, StateRow, Store,
    StoreError, StoredRun,
};
use crate::error::OpenError;

/// Keeps state in a SQLite file.
pub struct SqliteStore {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

/// Prepared statements kept per connection: more than this file has.
const STATEMENTS: usize = 64;

/// Bits of a history row's id that hold the id of its first event; the rest is the run's `seq`. One integer as the
/// key keeps the batches of a run together without a second index.
const EVENT_ID_BITS: u32 = 24;
const EVENT_ID_MASK: i64 = (1 << EVENT_ID_BITS) - 1;

fn batch_id(seq: i64, event_id: i64) -> i64 {
    (seq << EVENT_ID_BITS) | event_id.clamp(0, EVENT_ID_MASK)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl SqliteStore {
    /// Opens or makes the file and brings its schema up to date. The caller has made sure that no other process
    /// writes to it. On an error nothing was changed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let fault = |error: rusqlite::Error| schema::fault(path, &error);
        let mut writer = Connection::open(path).map_err(fault)?;
        writer.set_prepared_statement_cache_capacity(STATEMENTS);
        schema::prepare(&mut writer, path)?;
        let reader = Connection::open(path).map_err(fault)?;
        for connection in [&writer, &reader] {
            // Or SQLite plans a statement anew whenever a parameter that it looked at while planning is bound again.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;
        }
        reader.set_prepared_statement_cache_capacity(STATEMENTS);
        reader.execute_batch("PRAGMA query_only = on").map_err(fault)?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }
}

/// Columns of [`RunRow`], in the order of [`run_row`].
const ROW: &str = "seq, namespace_id, workflow_id, run_id, workflow_type, task_queue, start_time, execution_time, \
                   status, close_time, history_length, history_bytes, transitions, memo, search_attributes";

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let name = |index| row.get_ref(index)?.as_str().map(Arc::from).map_err(rusqlite::Error::from);
    Ok(RunRow {
        seq: row.get(0)?,
        key: RunKey { namespace_id: name(1)?, workflow_id: name(2)?, run_id: name(3)? },
        workflow_type: row.get(4)?,
        task_queue: row.get(5)?,
        start_time: row.get(6)?,
        execution_time: row.get(7)?,
        status: row.get(8)?,
        close_time: row.get(9)?,
        history_length: row.get(10)?,
        history_bytes: row.get(11)?,
        transitions: row.get(12)?,
        memo: decoded::<Memo>(row, 13)?,
        search_attributes: decoded::<SearchAttributes>(row, 14)?,
    })
}

fn decoded<M: Message + Default>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<M>> {
    let Some(bytes) = row.get_ref(index)?.as_blob_or_null()? else { return Ok(None) };
    M::decode(bytes).map(Some).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Blob, Box::new(error))
    })
}

fn encoded<M: Message>(message: Option<&M>) -> Option<Vec<u8>> {
    message.map(Message::encode_to_vec)
}

fn state_row(row: &Row<'_>) -> rusqlite::Result<StateRow> {
    let number: u8 = row.get(0)?;
    let kind = RowKind::from_number(number).ok_or_else(|| {
        let what = format!("state row of kind {number}, which a newer durably wrote");
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Integer, what.into())
    })?;
    Ok(StateRow { kind, id: row.get(1)?, data: Some(row.get::<_, Vec<u8>>(2)?.into()) })
}

fn write_run(transaction: &Transaction<'_>, shard: u32, write: &RunWrite) -> rusqlite::Result<()> {
    match &write.new {
        Some(new) => insert_run(transaction, shard, write.seq, new, &write.change)?,
        None => update_run(transaction, write.seq, &write.change)?,
    }
    for row in &write.change.rows {
        write_state_row(transaction, write.seq, row)?;
    }
    if let Some((first, events)) = &write.change.events {
        transaction
            .prepare_cached("INSERT INTO history (id, events) VALUES (?1, ?2)")?
            .execute(params![batch_id(write.seq, *first), events.as_ref()])?;
    }
    Ok(())
}

fn write_state_row(transaction: &Transaction<'_>, seq: i64, row: &StateRow) -> rusqlite::Result<()> {
    let kind = row.kind as u8;
    match &row.data {
        Some(data) => transaction
            .prepare_cached("INSERT OR REPLACE INTO run_rows (seq, kind, id, data) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![seq, kind, row.id, data.as_ref()])?,
        None => transaction
            .prepare_cached("DELETE FROM run_rows WHERE seq = ?1 AND kind = ?2 AND id = ?3")?
            .execute(params![seq, kind, row.id])?,
    };
    Ok(())
}

fn insert_run(
    transaction: &Transaction<'_>,
    shard: u32,
    seq: i64,
    new: &NewRow,
    change: &RunCommit,
) -> rusqlite::Result<()> {
    let (memo, search_attributes) = change.attributes.clone().unwrap_or_default();
    transaction
        .prepare_cached(
            "INSERT INTO runs (seq, namespace_id, workflow_id, run_id, workflow_type, task_queue, start_time, \
             execution_time, status, close_time, history_length, history_bytes, transitions, memo, \
             search_attributes, next_due, runnable, state, shard) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            seq,
            new.key.namespace_id,
            new.key.workflow_id,
            new.key.run_id,
            new.workflow_type,
            new.task_queue,
            new.start_time,
            new.execution_time,
            change.status,
            change.close_time,
            change.history_length,
            change.history_bytes,
            change.transitions,
            encoded(memo.as_ref()),
            encoded(search_attributes.as_ref()),
            change.next_due,
            change.runnable,
            change.state,
            shard,
        ])?;
    Ok(())
}

fn update_run(transaction: &Transaction<'_>, seq: i64, change: &RunCommit) -> rusqlite::Result<()> {
    let changed = transaction
        .prepare_cached(
            "UPDATE runs SET status = ?2, close_time = ?3, history_length = ?4, history_bytes = ?5, \
             transitions = ?6, next_due = ?7, runnable = ?8, state = ?9 WHERE seq = ?1",
        )?
        .execute(params![
            seq,
            change.status,
            change.close_time,
            change.history_length,
            change.history_bytes,
            change.transitions,
            change.next_due,
            change.runnable,
            change.state,
        ])?;
    if changed != 1 {
        return Err(rusqlite::Error::StatementChangedRows(changed));
    }
    if let Some((memo, search_attributes)) = &change.attributes {
        transaction
            .prepare_cached("UPDATE runs SET memo = ?2, search_attributes = ?3 WHERE seq = ?1")?
            .execute(params![seq, encoded(memo.as_ref()), encoded(search_attributes.as_ref())])?;
    }
    Ok(())
}

impl Store for SqliteStore {
    fn take_lease(&self, shard: u32) -> Result<i64, StoreError> {
        let lease = self.writer.lock().query_row(
            "INSERT INTO leases (shard, token) VALUES (?1, 1) \
             ON CONFLICT (shard) DO UPDATE SET token = token + 1 RETURNING token",
            [shard],
            |row| row.get(0),
        )?;
        Ok(lease)
    }

    fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = transaction
            .prepare_cached("SELECT token FROM leases WHERE shard = ?1")?
            .query_row([commit.shard], |row| row.get(0))
            .optional()?
            .unwrap_or_default();
        if found != commit.lease {
            return Err(StoreError::Fenced { held: commit.lease, found });
        }
        for write in &commit.runs {
            write_run(&transaction, commit.shard, write)?;
        }
        for close in &commit.closes {
            transaction
                .prepare_cached(
                    "UPDATE runs SET status = ?2, close_time = ?3, next_due = NULL, runnable = 0 WHERE seq = ?1",
                )?
                .execute(params![close.seq, close.status, close.close_time])?;
        }
        for seq in &commit.deletes {
            transaction
                .prepare_cached("DELETE FROM history WHERE id >= ?1 AND id < ?2")?
                .execute([batch_id(*seq, 0), batch_id(*seq + 1, 0)])?;
            transaction.prepare_cached("DELETE FROM run_rows WHERE seq = ?1")?.execute([seq])?;
            transaction.prepare_cached("DELETE FROM runs WHERE seq = ?1")?.execute([seq])?;
        }
        for (id, data) in &commit.namespaces {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO namespaces (id, data) VALUES (?1, ?2)")?
                .execute(params![id, data])?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn shards(&self) -> Result<u32, StoreError> {
        let reader = self.reader.lock();
        Ok(reader.query_row("SELECT count(*) FROM leases", [], |row| row.get(0))?)
    }

    fn last_seq(&self) -> Result<i64, StoreError> {
        let reader = self.reader.lock();
        Ok(reader.query_row("SELECT coalesce(max(seq), 0) FROM runs", [], |row| row.get(0))?)
    }

    fn open_runs(
        &self,
        shard: u32,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let reader = self.reader.lock();
        let mut statement = reader.prepare_cached(
            "SELECT seq, next_due, runnable FROM runs WHERE shard = ?1 AND status = 1 ORDER BY seq",
        )?;
        let mut rows = statement.query([shard])?;
        while let Some(row) = rows.next()? {
            let open = OpenRun { seq: row.get(0)?, next_due: row.get(1)?, runnable: row.get(2)? };
            if each(open).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn run(&self, seq: i64) -> Result<Option<StoredRun>, StoreError> {
        let reader = self.reader.lock();
        let mut statement =
            reader.prepare_cached(&format!("SELECT {ROW}, state FROM runs WHERE seq = ?1"))?;
        let run = statement
            .query_row([seq], |row| {
                Ok(StoredRun { row: run_row(row)?, state: row.get(15)?, rows: Vec::new() })
            })
            .optional()?;
        let Some(mut run) = run else { return Ok(None) };
        let mut statement =
            reader.prepare_cached("SELECT kind, id, data FROM run_rows WHERE seq = ?1 ORDER BY kind, id")?;
        run.rows = statement.query_map([seq], state_row)?.collect::<Result<_, _>>()?;
        Ok(Some(run))
    }

    fn find(
        &self,
        namespace_id: &str,
        workflow_id: &str,
        run_id: Option<&str>,
    ) -> Result<Option<i64>, StoreError> {
        let reader = self.reader.lock();
        let mut statement = reader.prepare_cached(
            "SELECT seq FROM runs WHERE namespace_id = ?1 AND workflow_id = ?2 AND (?3 IS NULL OR run_id = ?3) \
             ORDER BY seq DESC LIMIT 1",
        )?;
        Ok(statement.query_row(params![namespace_id, workflow_id, run_id], |row| row.get(0)).optional()?)
    }

    fn events(&self, seq: i64, from: i64, end: i64) -> Result<Vec<(i64, Bytes)>, StoreError> {
        let reader = self.reader.lock();
        // The batch that holds `from` is the last one that begins at or before it.
        let mut statement = reader.prepare_cached(
            "SELECT id, events FROM history WHERE id < ?3 AND id >= \
             coalesce((SELECT max(id) FROM history WHERE id >= ?1 AND id <= ?2), ?2) ORDER BY id",
        )?;
        let bounds = [batch_id(seq, 0), batch_id(seq, from), batch_id(seq, end)];
        let rows = statement.query_map(bounds, |row| {
            Ok((row.get::<_, i64>(0)? & EVENT_ID_MASK, Bytes::from(row.get::<_, Vec<u8>>(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn list(
        &self,
        namespace_id: &str,
        filter: &Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let (clause, mut values) = filter::clause(namespace_id, filter);
        values.push(before.unwrap_or(i64::MAX).into());
        values.push((limit as i64).saturating_add(1).into());
        let sql = format!("SELECT {ROW} FROM runs WHERE {clause} AND seq < ? ORDER BY seq DESC LIMIT ?");
        let reader = self.reader.lock();
        let mut statement = reader.prepare(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), run_row)?;
        Ok(Page::cut(rows.collect::<Result<_, _>>()?, limit))
    }

    fn count(&self, namespace_id: &str, filter: &Filter) -> Result<i64, StoreError> {
        let (clause, values) = filter::clause(namespace_id, filter);
        let reader = self.reader.lock();
        let mut statement = reader.prepare(&format!("SELECT count(*) FROM runs WHERE {clause}"))?;
        Ok(statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?)
    }

    fn closed_before(
        &self,
        shard: u32,
        namespace_id: &str,
        time: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let reader = self.reader.lock();
        let mut statement = reader.prepare_cached(
            "SELECT seq FROM runs WHERE shard = ?1 AND namespace_id = ?2 AND close_time < ?3 ORDER BY seq LIMIT ?4",
        )?;
        let rows = statement.query_map(params![shard, namespace_id, time, limit as i64], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let reader = self.reader.lock();
        let mut statement = reader.prepare_cached("SELECT id, data FROM namespaces ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
