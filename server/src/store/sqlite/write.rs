//! What a commit writes, statement by statement.

use prost::Message;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{
    super::{CloseRow, Commit, NewRow, RunCommit, RunWrite, StateRow, StoreError},
    EVENT_ID_BITS, batch_id,
    checks::{self, Progress},
    namespaces,
};

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
    let NewRow { key, workflow_type, task_queue, start_time, execution_time, ancestors } = new;
    let ancestors = ancestors.as_deref();
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
             state_crc, rows_crc, parent_namespace_id, parent_workflow_id, parent_run_id, root_workflow_id, \
             root_run_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
             ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)",
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
            ancestors.map(|of| &of.parent_namespace_id),
            ancestors.map(|of| &of.parent_workflow_id),
            ancestors.map(|of| &of.parent_run_id),
            ancestors.map(|of| &of.root_workflow_id),
            ancestors.map(|of| &of.root_run_id),
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

/// The first run that can't be written even alone, as damage of it. Nothing is written.
pub(super) fn unwritable(writer: &mut Connection, commit: &Commit) -> Result<Option<StoreError>, StoreError> {
    for write in commit.runs.iter().filter(|write| write.new.is_none()) {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Err(error) = write_run(&transaction, commit.shard, write) {
            return Ok(Some(StoreError::Damaged { seq: write.seq, what: error.to_string() }));
        }
    }
    Ok(None)
}

pub(super) fn write_all(writer: &mut Connection, commit: &Commit) -> Result<(), StoreError> {
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
