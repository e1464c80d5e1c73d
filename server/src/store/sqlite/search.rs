//! Which runs there are. Indexes are asked first; where one is broken, or leads to what is not there, the table is.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{OpenRun, RunRow, StoreError},
    checks,
    rows::{OPEN, damaged_run, is_closed as is_closed_row, open_run},
};

/// The highest number that a run has.
pub(super) fn last_seq(reader: &Connection) -> Result<i64, StoreError> {
    let read = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0));
    match read("SELECT coalesce(max(seq), 0) FROM runs NOT INDEXED") {
        // The last rows are damaged: the indexes still know their numbers, which must not be given out again.
        Err(error) if checks::is_damage(&error) => Ok(read(
            "SELECT coalesce(max(seq), 0) FROM runs INDEXED BY runs_by_workflow_id WHERE workflow_id >= ''",
        )?),
        last => Ok(last?),
    }
}

/// The open runs behind the run `last`, which moves on with them.
pub(super) fn open_runs(
    reader: &Connection,
    shard: u32,
    last: &mut i64,
    each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut statement = reader.prepare_cached(&format!(
        "SELECT {OPEN} FROM runs INDEXED BY open_runs WHERE shard = ?1 AND (status = 1 OR runnable = 1) AND seq > ?2 \
         ORDER BY seq"
    ))?;
    let mut rows = statement.query([shard.into(), *last])?;
    while let Some(row) = rows.next()? {
        *last = row.get(0)?;
        if open_run(row)?.is_some_and(|open| each(open).is_break()) {
            break;
        }
    }
    Ok(())
}

/// The open runs one by one, around those that cannot be read: the index still names them.
pub(super) fn open_runs_around_damage(
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

/// The numbers of open runs: from the index, or, if that is what is broken, from the table.
fn open_seqs(reader: &Connection, shard: u32, behind: i64) -> Result<Vec<i64>, StoreError> {
    let mut index = reader.prepare(
        "SELECT seq FROM runs INDEXED BY open_runs WHERE shard = ?1 AND (status = 1 OR runnable = 1) AND seq > ?2 \
         ORDER BY seq",
    )?;
    let found: rusqlite::Result<Vec<i64>> =
        index.query_map([i64::from(shard), behind], |row| row.get(0))?.collect();
    match found {
        Err(error) if checks::is_damage(&error) => {
            let mut of = reader.prepare("SELECT shard FROM runs WHERE seq = ?1")?;
            let (mut all, mut before) = (Vec::new(), i64::MAX);
            while let Some(seq) = below(reader, before)?.filter(|seq| *seq > behind) {
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

/// Runs that closed before `time`. They will be deleted: an index is not believed, and neither is a row that does not fit its
/// checksum.
pub(super) fn closed_before(
    reader: &Connection,
    shard: u32,
    namespace_id: &str,
    time: i64,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut index = reader.prepare_cached(
        "SELECT seq FROM runs INDEXED BY closed_runs WHERE shard = ?1 AND namespace_id = ?2 AND \
         close_time < ?3 ORDER BY close_time LIMIT ?4",
    )?;
    let found = index.query_map(params![shard, namespace_id, time, limit as i64], |row| row.get(0))?;
    let mut row = reader.prepare_cached(&format!(
        "SELECT {OPEN}, close_time < ?2 AND namespace_id = ?3 AND shard = ?4 FROM runs NOT INDEXED WHERE seq = ?1"
    ))?;
    let mut closed = Vec::new();
    for seq in found.collect::<rusqlite::Result<Vec<i64>>>()? {
        let is_closed = row.query_row(params![seq, time, namespace_id, shard], |row| {
            Ok(row.get::<_, Option<bool>>(9)? == Some(true) && is_closed_row(row)?)
        });
        match is_closed.optional() {
            Ok(Some(true)) => closed.push(seq),
            Ok(Some(false) | None) => {
                tracing::error!(run = seq, "retention left this run out: it is damaged, or its index is");
            }
            Err(error) => match checks::in_row(seq, error) {
                StoreError::Damaged { .. } => {}
                error => return Err(error),
            },
        }
    }
    Ok(closed)
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

/// The numbers of all runs below `before`, highest first: from an index, or, if that is broken too, from the table.
pub(super) fn seqs_below(connection: &Connection, mut before: i64) -> Result<Vec<i64>, StoreError> {
    let mut index = connection.prepare(
        "SELECT seq FROM runs INDEXED BY runs_by_workflow_id WHERE workflow_id >= '' AND seq < ?1",
    )?;
    let found: rusqlite::Result<Vec<i64>> = index.query_map([before], |row| row.get(0))?.collect();
    let mut seqs = match found {
        Err(error) if checks::is_damage(&error) => Vec::new(),
        found => found?,
    };
    if seqs.is_empty() {
        while let Some(seq) = below(connection, before)? {
            seqs.push(seq);
            before = seq;
        }
    }
    seqs.sort_unstable_by(|one, other| other.cmp(one));
    Ok(seqs)
}

/// The highest `seq` below `before` that can be found. Where a page is broken, the search goes on below it: first in
/// growing steps to where something is found again, then back as far as that holds.
pub(super) fn below(connection: &Connection, before: i64) -> Result<Option<i64>, StoreError> {
    // Said twice: the search by key believes that rows are in order, and the second condition looks at the row.
    let mut statement = connection.prepare_cached(
        "SELECT seq FROM runs NOT INDEXED WHERE seq < ?1 AND +seq < ?1 ORDER BY seq DESC LIMIT 1",
    )?;
    let mut look = |before: i64| match statement.query_row([before], |row| row.get::<_, i64>(0)).optional() {
        Err(error) if checks::is_damage(&error) => Ok(None),
        found => Ok::<_, StoreError>(Some(found?)),
    };
    if let Some(found) = look(before)? {
        return Ok(found);
    }
    let (mut broken, mut step) = (before, 1_i64);
    let mut whole = loop {
        let next = before.saturating_sub(step);
        if next <= 1 {
            if look(1)?.is_none() {
                tracing::error!(before, "the runs below this number can't be read: the store is damaged");
                return Ok(None);
            }
            break 1;
        }
        if look(next)?.is_some() {
            break next;
        }
        broken = next;
        step = step.saturating_mul(2);
    };
    while broken - whole > 1 {
        let middle = whole + (broken - whole) / 2;
        if look(middle)?.is_some() {
            whole = middle;
        } else {
            broken = middle;
        }
    }
    tracing::error!(from = whole, before, "these runs can't be read: the store is damaged");
    Ok(look(whole)?.flatten())
}
