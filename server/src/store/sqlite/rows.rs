//! Rows as they are read: verified, or an error that names their run.

use std::sync::Arc;

use bytes::Bytes;
use durably_proto::temporal::api::common::v1::{Memo, SearchAttributes};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{OpenRun, RowKind, RunKey, RunRow, StateRow, StoreError},
    checks::{self, Progress},
    visibility,
};

/// Columns of [`RunRow`] and their checksums, in the order of [`run_row`].
pub(super) const ROW: &str = "seq, namespace_id, workflow_id, run_id, workflow_type, task_queue, start_time, execution_time, \
                   status, close_time, history_length, history_bytes, transitions, memo, search_attributes, \
                   next_due, runnable, fixed_crc, progress_crc, attributes_crc";

/// A row, if it is what was written.
pub(super) fn run_row(row: &Row<'_>) -> Result<RunRow, StoreError> {
    let seq: i64 = row.get(0)?;
    let (read, progress) = read_row(row, seq).map_err(|error| checks::in_row(seq, error))?;
    let check = |index| row.get::<_, Option<i64>>(index).map_err(|error| checks::in_row(seq, error));
    checks::verify(seq, "names", check(17)?, || checks::of_row(&read))?;
    checks::verify(seq, "progress", check(18)?, || progress.check(seq))?;
    let blob = |index| row.get_ref(index).ok().and_then(|value| value.as_blob_or_null().ok().flatten());
    checks::verify(seq, "attributes", check(19)?, || checks::of_attributes(seq, blob(13), blob(14)))?;
    Ok(read)
}

fn read_row(row: &Row<'_>, seq: i64) -> rusqlite::Result<(RunRow, Progress)> {
    let name = |index| row.get_ref(index)?.as_str().map(Arc::from).map_err(rusqlite::Error::from);
    let read = RunRow {
        seq,
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
    };
    let progress = Progress {
        status: read.status,
        close_time: read.close_time,
        history_length: read.history_length,
        history_bytes: read.history_bytes,
        transitions: read.transitions,
        next_due: row.get(15)?,
        runnable: row.get(16)?,
    };
    Ok((read, progress))
}

/// Columns of an [`OpenRun`], and those that its checksum is over.
pub(super) const OPEN: &str = "seq, status, close_time, history_length, history_bytes, transitions, next_due, runnable, \
                    progress_crc";

/// What a driver must know of an open run; `None` for one that is closed.
pub(super) fn open_run(row: &Row<'_>) -> rusqlite::Result<Option<OpenRun>> {
    let seq: i64 = row.get(0)?;
    let read = || -> rusqlite::Result<(Progress, Option<i64>)> {
        let progress = Progress {
            status: row.get(1)?,
            close_time: row.get(2)?,
            history_length: row.get(3)?,
            history_bytes: row.get(4)?,
            transitions: row.get(5)?,
            next_due: row.get(6)?,
            runnable: row.get(7)?,
        };
        Ok((progress, row.get(8)?))
    };
    let Ok((progress, check)) = read() else { return Ok(Some(damaged_run(seq))) };
    if check.is_some_and(|check| check != progress.check(seq)) {
        return Ok(Some(damaged_run(seq)));
    }
    let open = OpenRun { seq, next_due: progress.next_due, runnable: progress.runnable };
    Ok((progress.status == RUNNING).then_some(open))
}

const RUNNING: i32 = 1;

/// Whoever loads it meets the damage.
pub(super) fn damaged_run(seq: i64) -> OpenRun {
    OpenRun { seq, next_due: None, runnable: true }
}

/// The numbers of open runs: from the index, or, if that is what is broken, from the table.
pub(super) fn open_seqs(reader: &Connection, shard: u32, behind: i64) -> Result<Vec<i64>, StoreError> {
    let mut index = reader.prepare(
        "SELECT seq FROM runs INDEXED BY open_runs WHERE shard = ?1 AND status = 1 AND seq > ?2 ORDER BY seq",
    )?;
    let found: rusqlite::Result<Vec<i64>> =
        index.query_map([i64::from(shard), behind], |row| row.get(0))?.collect();
    match found {
        Err(error) if checks::is_damage(&error) => {
            let mut of = reader.prepare("SELECT shard FROM runs WHERE seq = ?1")?;
            let (mut all, mut before) = (Vec::new(), i64::MAX);
            while let Some(seq) = visibility::below(reader, before)?.filter(|seq| *seq > behind) {
                // Whose it is, if that can't be read, whoever loads it finds out.
                if of.query_row([seq], |row| row.get(0)).map_or(true, |found: u32| found == shard) {
                    all.push(seq);
                }
                before = seq;
            }
            all.reverse();
            Ok(all)
        }
        found => Ok(found?),
    }
}

/// Whether the index of workflow ids leads to the run.
pub(super) fn is_indexed(reader: &Connection, run: &RunRow) -> Result<bool, StoreError> {
    let mut index = reader.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM runs INDEXED BY runs_by_workflow_id WHERE workflow_id = ?1 AND namespace_id = ?2 \
         AND seq = ?3)",
    )?;
    match index.query_row(params![run.key.workflow_id, run.key.namespace_id, run.seq], |row| row.get(0)) {
        Err(error) if checks::is_damage(&error) => Ok(false),
        found => Ok(found?),
    }
}

/// The newest run with these names. An index that leads to another one is damaged.
pub(super) fn find(
    reader: &Connection,
    namespace_id: &str,
    workflow_id: &str,
    run_id: Option<&str>,
) -> Result<Option<i64>, StoreError> {
    let mut index = reader.prepare_cached(
        "SELECT seq FROM runs WHERE namespace_id = ?1 AND workflow_id = ?2 AND (?3 IS NULL OR run_id = ?3) \
         ORDER BY seq DESC LIMIT 1",
    )?;
    let found: Option<i64> =
        index.query_row(params![namespace_id, workflow_id, run_id], |row| row.get(0)).optional()?;
    let Some(seq) = found else { return Ok(None) };
    let mut names =
        reader.prepare_cached("SELECT namespace_id, workflow_id FROM runs NOT INDEXED WHERE seq = ?1")?;
    let fits = names.query_row([seq], |row| {
        Ok(row.get_ref(0)?.as_str() == Ok(namespace_id) && row.get_ref(1)?.as_str() == Ok(workflow_id))
    });
    match fits.optional() {
        Ok(Some(false) | None) => {
            Err(StoreError::DamagedFile("the index of workflow ids leads to another run".to_owned()))
        }
        // What else is wrong with the run is found by whoever loads it.
        Ok(Some(true)) | Err(_) => Ok(Some(seq)),
    }
}

fn decoded<M: Message + Default>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<M>> {
    let Some(bytes) = row.get_ref(index)?.as_blob_or_null()? else { return Ok(None) };
    M::decode(bytes).map(Some).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Blob, Box::new(error))
    })
}

/// The rows of a run's state, by kind and id.
pub(super) fn state_rows(reader: &Connection, seq: i64) -> Result<Vec<StateRow>, StoreError> {
    let in_run = |error| checks::in_row(seq, error);
    let mut statement =
        reader.prepare_cached("SELECT kind, id, data, crc FROM run_rows WHERE seq = ?1 ORDER BY kind, id")?;
    let mut found = statement.query([seq]).map_err(in_run)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(in_run)? {
        let (number, id): (u8, i64) = (row.get(0).map_err(in_run)?, row.get(1).map_err(in_run)?);
        let kind = RowKind::from_number(number).ok_or_else(|| StoreError::Damaged {
            seq,
            what: format!("it has a state row of kind {number}, which only a newer durably writes"),
        })?;
        let data: Bytes = row.get::<_, Vec<u8>>(2).map_err(in_run)?.into();
        let check = || checks::of_state_row(seq, number, id, &data);
        checks::verify(seq, "pending work", row.get(3).map_err(in_run)?, check)?;
        rows.push(StateRow { kind, id, data: Some(data) });
    }
    Ok(rows)
}
