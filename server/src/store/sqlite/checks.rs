//! Checksums of what is stored, so that data which a disk or a copy has changed is noticed and never believed.
//!
//! SQLite notices a broken page, and not a changed byte inside a value. Each part of a row that is written by itself has
//! a checksum of its own, with the row's key in it, so that a value in the wrong place is noticed too. Rows of releases
//! before checksums have none until they are written again.

use crc32fast::Hasher;
use rusqlite::{ErrorCode, types::Type};

use super::super::{Ancestors, Lease, NewRow, RunCommit, RunKey, RunRow, StateRow, StoreError};

/// A checksum over values one after another.
struct Check(Hasher);

impl Check {
    fn of(key: i64) -> Self {
        Self(Hasher::new()).int(key)
    }

    fn int(mut self, value: i64) -> Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    fn option(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.int(1).int(value),
            None => self.int(0),
        }
    }

    /// With the length, so that bytes can't move from one value to the next.
    fn bytes(self, value: &[u8]) -> Self {
        let mut with_length = self.int(value.len() as i64);
        with_length.0.update(value);
        with_length
    }

    fn sum(self) -> i64 {
        i64::from(self.0.finalize())
    }
}

fn of_fixed(
    seq: i64,
    key: &RunKey,
    workflow_type: &str,
    task_queue: &str,
    times: [i64; 2],
    ancestors: Option<&Ancestors>,
) -> i64 {
    let check = Check::of(seq)
        .bytes(key.namespace_id.as_bytes())
        .bytes(key.workflow_id.as_bytes())
        .bytes(key.run_id.as_bytes())
        .bytes(workflow_type.as_bytes())
        .bytes(task_queue.as_bytes())
        .int(times[0])
        .int(times[1]);
    // Runs without them are as they were before there were children.
    let Some(ancestors) = ancestors else { return check.sum() };
    let Ancestors { parent_namespace_id, parent_workflow_id, parent_run_id, root_workflow_id, root_run_id } =
        ancestors;
    [parent_namespace_id, parent_workflow_id, parent_run_id, root_workflow_id, root_run_id]
        .into_iter()
        .fold(check, |check, name| check.bytes(name.as_bytes()))
        .sum()
}

/// What never changes of a run.
pub(super) fn of_new(seq: i64, new: &NewRow) -> i64 {
    let NewRow { key, workflow_type, task_queue, start_time, execution_time, ancestors } = new;
    of_fixed(seq, key, workflow_type, task_queue, [*start_time, *execution_time], ancestors.as_deref())
}

/// The same of a row that was read.
pub(super) fn of_row(row: &RunRow) -> i64 {
    let times = [row.start_time, row.execution_time];
    of_fixed(row.seq, &row.key, &row.workflow_type, &row.task_queue, times, row.ancestors.as_deref())
}

/// What each commit of a run replaces, but for its state.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    pub(super) status: i32,
    pub(super) close_time: Option<i64>,
    pub(super) history_length: i64,
    pub(super) history_bytes: i64,
    pub(super) transitions: i64,
    pub(super) next_due: Option<i64>,
    pub(super) runnable: bool,
}

impl Progress {
    pub(super) fn check(self, seq: i64) -> i64 {
        let Self { status, close_time, history_length, history_bytes, transitions, next_due, runnable } =
            self;
        Check::of(seq)
            .int(status.into())
            .option(close_time)
            .int(history_length)
            .int(history_bytes)
            .int(transitions)
            .option(next_due)
            .int(runnable.into())
            .sum()
    }
}

impl From<&RunCommit> for Progress {
    fn from(change: &RunCommit) -> Self {
        let RunCommit {
            status,
            close_time,
            history_length,
            history_bytes,
            transitions,
            next_due,
            runnable,
            // These have checksums of their own.
            state: _,
            rows: _,
            events: _,
            attributes: _,
        } = *change;
        Self { status, close_time, history_length, history_bytes, transitions, next_due, runnable }
    }
}

/// Memo and search attributes, as they are encoded.
pub(super) fn of_attributes(seq: i64, memo: Option<&[u8]>, search_attributes: Option<&[u8]>) -> i64 {
    [memo, search_attributes]
        .into_iter()
        .fold(Check::of(seq), |check, part| check.int(part.is_some().into()).bytes(part.unwrap_or_default()))
        .sum()
}

/// The header of a run's state, or a batch of its history.
pub(super) fn of_blob(key: i64, blob: &[u8]) -> i64 {
    Check::of(key).bytes(blob).sum()
}

pub(super) fn of_state_row(seq: i64, kind: u8, id: i64, data: &[u8]) -> i64 {
    Check::of(seq).int(kind.into()).int(id).bytes(data).sum()
}

/// Stands for a state row's key in the sum over those of its run: which rows there are is known without reading them.
pub(super) fn of_row_key(seq: i64, kind: u8, id: i64) -> i64 {
    Check::of(seq).int(kind.into()).int(id).sum() + 1
}

/// The bits that such a sum keeps.
pub(super) const ROW_KEYS: i64 = (1 << 48) - 1;

/// The sum for a run that has these rows.
pub(super) fn of_row_keys(seq: i64, rows: &[StateRow]) -> i64 {
    rows.iter().map(|row| of_row_key(seq, row.kind as u8, row.id)).sum::<i64>() & ROW_KEYS
}

pub(super) fn of_lease(shard: u32, lease: &Lease) -> i64 {
    Check::of(shard.into())
        .int(lease.token)
        .bytes(lease.holder.id.as_bytes())
        .bytes(lease.holder.address.as_bytes())
        .int(lease.expires)
        .sum()
}

pub(super) fn of_namespace(id: &str, data: &[u8]) -> i64 {
    Check::of(0).bytes(id.as_bytes()).bytes(data).sum()
}

/// Compares what was computed with what is stored; nothing is stored by releases before checksums.
pub(super) fn verify(
    seq: i64,
    what: &str,
    stored: Option<i64>,
    compute: impl FnOnce() -> i64,
) -> Result<(), StoreError> {
    match stored {
        Some(stored) if stored != compute() => {
            Err(StoreError::Damaged { seq, what: format!("the checksum of its {what} does not fit") })
        }
        _ => Ok(()),
    }
}

/// An error in the middle of a row: the row is damaged, if it isn't trouble with the disk or the time.
pub(super) fn in_row(seq: i64, error: rusqlite::Error) -> StoreError {
    let unreadable = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(
                _,
                _,
                Type::Null | Type::Integer | Type::Real | Type::Text | Type::Blob
            )
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    );
    if unreadable || is_damage(&error) {
        StoreError::Damaged { seq, what: error.to_string() }
    } else {
        error.into()
    }
}

/// Whether SQLite found the file's structure broken.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
