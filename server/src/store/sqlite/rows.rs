//! Rows as they are read: verified, or an error that names their run. A search by key believes that rows are in order;
//! so that a page in the wrong place is not read as another run's, each row proves whose it is.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use bytes::Bytes;
use durably_proto::temporal::api::common::v1::{Memo, SearchAttributes};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, types::Value};

use super::{
    super::{Ancestors, EventOrder, OpenRun, RowKind, RunKey, RunRow, StateRow, StoreError, StoredRun},
    EVENT_ID_BITS, EVENT_ID_MASK, batch_id,
    checks::{self, Progress},
};

/// Columns of [`RunRow`] and their checksums, in the order of [`run_row`].
pub(super) const ROW: &str = "seq, namespace_id, workflow_id, run_id, workflow_type, task_queue, start_time, execution_time, \
                   status, close_time, history_length, history_bytes, transitions, memo, search_attributes, \
                   next_due, runnable, fixed_crc, progress_crc, attributes_crc, parent_namespace_id, \
                   parent_workflow_id, parent_run_id, root_workflow_id, root_run_id";

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
        ancestors: ancestors(row, 20)?,
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

/// From five columns, which are all null in a run that is nobody's child.
fn ancestors(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Box<Ancestors>>> {
    let Some(parent_namespace_id) = row.get(first)? else { return Ok(None) };
    Ok(Some(Box::new(Ancestors {
        parent_namespace_id,
        parent_workflow_id: row.get(first + 1)?,
        parent_run_id: row.get(first + 2)?,
        root_workflow_id: row.get(first + 3)?,
        root_run_id: row.get(first + 4)?,
    })))
}

/// Columns of an [`OpenRun`], and those that its checksum is over.
pub(super) const OPEN: &str = "seq, status, close_time, history_length, history_bytes, transitions, next_due, runnable, \
                    progress_crc";

/// What a driver must know of a run that is open or runnable; `None` for any other.
pub(super) fn open_run(row: &Row<'_>) -> rusqlite::Result<Option<OpenRun>> {
    let seq: i64 = row.get(0)?;
    let Some(progress) = verified_progress(row, seq) else { return Ok(Some(damaged_run(seq))) };
    let open = OpenRun { seq, next_due: progress.next_due, runnable: progress.runnable };
    Ok((progress.status == RUNNING || progress.runnable).then_some(open))
}

/// Whether the run has closed, and its row, read by [`OPEN`], is what was written.
pub(super) fn is_closed(row: &Row<'_>) -> rusqlite::Result<bool> {
    let progress = verified_progress(row, row.get(0)?);
    Ok(progress.is_some_and(|progress| progress.status != RUNNING))
}

/// `None` if it is not what was written.
fn verified_progress(row: &Row<'_>, seq: i64) -> Option<Progress> {
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
    let (progress, check) = read().ok()?;
    check.is_none_or(|check| check == progress.check(seq)).then_some(progress)
}

const RUNNING: i32 = 1;

/// Whoever loads it meets the damage.
pub(super) fn damaged_run(seq: i64) -> OpenRun {
    OpenRun { seq, next_due: None, runnable: true }
}

fn decoded<M: Message + Default>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<M>> {
    let Some(bytes) = row.get_ref(index)?.as_blob_or_null()? else { return Ok(None) };
    M::decode(bytes).map(Some).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Blob, Box::new(error))
    })
}

/// A run, if all of it but its history is what was written.
pub(super) fn stored(reader: &Connection, seq: i64) -> Result<Option<StoredRun>, StoreError> {
    let mut statement = reader
        .prepare_cached(&format!("SELECT {ROW}, state, state_crc, rows_crc FROM runs WHERE seq = ?1"))?;
    let read = statement.query_row([seq], |row| {
        Ok(run_row(row).and_then(|read| {
            let column = |error| checks::in_row(seq, error);
            let state: Vec<u8> = row.get(25).map_err(column)?;
            checks::verify(seq, "state", row.get(26).map_err(column)?, || checks::of_blob(seq, &state))?;
            let row_keys: Option<i64> = row.get(27).map_err(column)?;
            Ok((StoredRun { row: read, state, rows: Vec::new() }, row_keys))
        }))
    });
    let read = read.optional().map_err(|error| checks::in_row(seq, error))?;
    let Some((mut run, row_keys)) = read.transpose()? else { return Ok(None) };
    run.rows = state_rows(reader, seq)?;
    checks::verify(seq, "list of pending work", row_keys, || checks::of_row_keys(seq, &run.rows))?;
    Ok(Some(run))
}

/// The names of a run and whether it is closed, right or wrong.
pub(super) fn unverified(reader: &Connection, seq: i64) -> (RunKey, bool) {
    let read = |column: &str| -> Option<Value> {
        reader.query_row(&format!("SELECT {column} FROM runs WHERE seq = ?1"), [seq], |row| row.get(0)).ok()
    };
    let name = |column| match read(column) {
        Some(Value::Text(name)) => name.into(),
        _ => Arc::from(""),
    };
    let key = RunKey {
        namespace_id: name("namespace_id"),
        workflow_id: name("workflow_id"),
        run_id: name("run_id"),
    };
    let closed = matches!(read("status"), Some(Value::Integer(status)) if status != i64::from(RUNNING));
    (key, closed)
}

/// Calls `each` for the batches of a run's history that hold these events, until it breaks.
pub(super) fn batches(
    reader: &Connection,
    seq: i64,
    events: &Range<i64>,
    order: EventOrder,
    each: &mut dyn FnMut(i64, Bytes) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    // The batch that holds the first is the last one that begins at or before it.
    let mut statement = reader.prepare_cached(match order {
        EventOrder::OldestFirst => {
            "SELECT id, events, crc FROM history WHERE id < ?3 AND id >= \
             coalesce((SELECT max(id) FROM history WHERE id >= ?1 AND id <= ?2), ?2) ORDER BY id"
        }
        EventOrder::NewestFirst => {
            "SELECT id, events, crc FROM history WHERE id < ?3 AND id >= \
             coalesce((SELECT max(id) FROM history WHERE id >= ?1 AND id <= ?2), ?2) ORDER BY id DESC"
        }
    })?;
    let in_run = |error| checks::in_row(seq, error);
    let bounds = [batch_id(seq, 0), batch_id(seq, events.start), batch_id(seq, events.end)];
    let mut rows = statement.query(bounds).map_err(in_run)?;
    let mut last = None;
    while let Some(row) = rows.next().map_err(in_run)? {
        let id: i64 = row.get(0).map_err(in_run)?;
        let is_next = last.is_none_or(|last| match order {
            EventOrder::OldestFirst => last < id,
            EventOrder::NewestFirst => id < last,
        });
        if id >> EVENT_ID_BITS != seq || !is_next {
            return Err(misplaced(seq, "history"));
        }
        last = Some(id);
        let batch = Bytes::from(row.get::<_, Vec<u8>>(1).map_err(in_run)?);
        checks::verify(seq, "events", row.get(2).map_err(in_run)?, || checks::of_blob(id, &batch))?;
        if each(id & EVENT_ID_MASK, batch).is_break() {
            break;
        }
    }
    Ok(())
}

fn misplaced(seq: i64, what: &str) -> StoreError {
    StoreError::Damaged { seq, what: format!("rows of another run are in the place of its {what}") }
}

/// The rows of a run's state, by kind and id.
pub(super) fn state_rows(reader: &Connection, seq: i64) -> Result<Vec<StateRow>, StoreError> {
    let in_run = |error| checks::in_row(seq, error);
    let mut statement = reader
        .prepare_cached("SELECT kind, id, data, crc, seq FROM run_rows WHERE seq = ?1 ORDER BY kind, id")?;
    let mut found = statement.query([seq]).map_err(in_run)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(in_run)? {
        if row.get::<_, i64>(4).map_err(in_run)? != seq {
            return Err(misplaced(seq, "pending work"));
        }
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
