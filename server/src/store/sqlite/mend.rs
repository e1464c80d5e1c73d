//! Broken pages that are in the way of what is written next, and so would harm every run: tables whose end is broken
//! are made anew of what can be read of them, and indexes, which are derived, of their table. The old ones stay in the file
//! under another name, for whoever wants to look for more in them.
//!
//! A run of which something is lost is damaged from then on, and named. What is broken is read by a connection of its own:
//! a transaction that meets a broken page cannot be committed any more.

use rusqlite::{Connection, Transaction, TransactionBehavior, params, params_from_iter, types::Value};

use super::{super::StoreError, batch_id, checks, visibility};

const TABLES: [(&str, &str); 3] = [("runs", "seq"), ("history", "id"), ("run_rows", "seq")];
/// A checksum that fits nothing.
const UNFIT: i64 = -1;

/// Whether what is added next would meet a broken page.
fn end_is_broken(connection: &Connection, table: &str, key: &str) -> Result<bool, StoreError> {
    let sql = format!("SELECT {key} FROM {table} NOT INDEXED ORDER BY {key} DESC LIMIT 1");
    let read = connection.prepare(&sql).and_then(|mut last| last.query([])?.next().map(|_| ()));
    match read {
        Err(error) if checks::is_damage(&error) => Ok(true),
        read => Ok(read.map(|()| false)?),
    }
}

/// Makes the tables anew whose ends are broken. Costs a look at three pages when none is.
pub(super) fn tables(writer: &mut Connection, reader: &Connection) -> Result<(), StoreError> {
    let mut broken = Vec::new();
    for (table, key) in TABLES {
        if end_is_broken(reader, table, key)? {
            broken.push(table);
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    tracing::error!(
        ?broken,
        "the end of these tables is broken; they are made anew of what can be read. Better restore the file from a copy"
    );
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let all = all_runs(reader)?;
    for table in broken {
        match table {
            "runs" => runs(&transaction, reader, &all)?,
            "history" => history(&transaction, reader, &all)?,
            _ => state_rows(&transaction, reader, &all)?,
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Makes the indexes anew, from their table.
pub(super) fn indexes(writer: &mut Connection, what: &str) -> Result<(), StoreError> {
    tracing::error!(what, "an index of the state file is damaged; the indexes are made anew");
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let made = take_indexes(&transaction, "runs")?;
    transaction.execute_batch(&made)?;
    transaction.commit()?;
    Ok(())
}

/// Removes the table's indexes from the schema and tells how to make them. Dropping them would read their pages.
fn take_indexes(transaction: &Transaction<'_>, table: &str) -> Result<String, StoreError> {
    let sql: String = transaction.query_row(
        "SELECT coalesce(group_concat(sql, ';'), '') FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 \
         AND sql IS NOT NULL",
        [table],
        |row| row.get(0),
    )?;
    transaction.execute_batch("PRAGMA writable_schema = on")?;
    let removed = transaction.execute(
        "DELETE FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL",
        [table],
    );
    // Also forgets what is known of the schema.
    transaction.execute_batch("PRAGMA writable_schema = reset")?;
    removed?;
    Ok(sql)
}

/// Gives the table another name and makes an empty one.
pub(super) fn replace(transaction: &Transaction<'_>, table: &str) -> Result<(), StoreError> {
    let sql: String = transaction.query_row(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1",
        [table],
        |row| row.get(0),
    )?;
    let old = format!("damaged_{table}_{}", rand::random::<u32>());
    transaction.execute_batch(&format!("ALTER TABLE {table} RENAME TO {old}; {sql}"))?;
    Ok(())
}

/// Copies the rows between two keys, if all of them can be read. Whether they could.
fn copy(
    transaction: &Transaction<'_>,
    reader: &Connection,
    table: &str,
    key: &str,
    bounds: [i64; 2],
) -> Result<bool, StoreError> {
    let mut found = reader
        .prepare_cached(&format!("SELECT * FROM {table} NOT INDEXED WHERE {key} >= ?1 AND {key} < ?2"))?;
    let columns = found.column_count();
    let rows = found.query_map(bounds, |row| (0..columns).map(|column| row.get(column)).collect());
    let rows: rusqlite::Result<Vec<Vec<Value>>> = rows.and_then(Iterator::collect);
    let rows = match rows {
        Err(error) if checks::is_damage(&error) => return Ok(false),
        rows => rows?,
    };
    let places = vec!["?"; columns].join(", ");
    let mut insert = transaction.prepare_cached(&format!("INSERT INTO {table} VALUES ({places})"))?;
    for row in rows {
        insert.execute(params_from_iter(row))?;
    }
    Ok(true)
}

/// Rows that can be read are copied. Of the others an index may know the names: they become damaged runs, which are
/// found, named and terminated by their workflow ids.
fn runs(transaction: &Transaction<'_>, reader: &Connection, all: &[i64]) -> Result<(), StoreError> {
    let indexes = take_indexes(transaction, "runs")?;
    replace(transaction, "runs")?;
    for seq in all {
        copy(transaction, reader, "runs", "seq", [*seq, *seq + 1])?;
    }
    let mut name = transaction.prepare(
        "INSERT OR IGNORE INTO runs (seq, namespace_id, workflow_id, run_id, workflow_type, task_queue, start_time, \
         execution_time, status, history_length, history_bytes, transitions, runnable, state, fixed_crc, \
         progress_crc, state_crc) VALUES (?1, ?2, ?3, '', '', '', 0, 0, 1, 0, 0, 0, 1, x'', ?4, ?4, ?4)",
    )?;
    for (seq, namespace_id, workflow_id) in named_runs(reader)? {
        if name.execute(params![seq, namespace_id, workflow_id, UNFIT])? == 1 {
            tracing::error!(run = seq, workflow_id, "this run is lost but for its name");
        }
    }
    drop(name);
    transaction.execute_batch(&indexes)?;
    Ok(())
}

/// What the index of workflow ids knows, as far as it can be read.
fn named_runs(reader: &Connection) -> Result<Vec<(i64, String, String)>, StoreError> {
    let mut index = reader.prepare(
        "SELECT seq, namespace_id, workflow_id FROM runs INDEXED BY runs_by_workflow_id WHERE workflow_id >= ''",
    )?;
    let mut rows = index.query([])?;
    let mut known = Vec::new();
    loop {
        match rows.next() {
            Ok(Some(row)) => known.push((row.get(0)?, row.get(1)?, row.get(2)?)),
            Ok(None) => return Ok(known),
            Err(error) if checks::is_damage(&error) => return Ok(known),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The numbers of all runs that can be read, and of those that only an index knows.
fn all_runs(reader: &Connection) -> Result<Vec<i64>, StoreError> {
    let (mut all, mut before) = (Vec::new(), i64::MAX);
    while let Some(seq) = visibility::below(reader, before)? {
        all.push(seq);
        before = seq;
    }
    all.extend(named_runs(reader)?.into_iter().map(|(seq, ..)| seq));
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Batches are copied run by run. Of one that lost some, a batch that fits nothing takes the place of all.
fn history(transaction: &Transaction<'_>, reader: &Connection, all: &[i64]) -> Result<(), StoreError> {
    replace(transaction, "history")?;
    let mut lost = transaction.prepare("INSERT INTO history (id, events, crc) VALUES (?1, x'', ?2)")?;
    for seq in all {
        let bounds = [batch_id(*seq, 0), batch_id(*seq + 1, 0)];
        if !copy(transaction, reader, "history", "id", bounds)? {
            tracing::error!(run = seq, "the history of this run is lost");
            lost.execute([bounds[0], UNFIT])?;
        }
    }
    Ok(())
}

fn state_rows(transaction: &Transaction<'_>, reader: &Connection, all: &[i64]) -> Result<(), StoreError> {
    replace(transaction, "run_rows")?;
    let mut lost = transaction.prepare("UPDATE runs SET rows_crc = ?2 WHERE seq = ?1")?;
    for seq in all {
        if !copy(transaction, reader, "run_rows", "seq", [*seq, *seq + 1])? {
            tracing::error!(run = seq, "what is pending of this run is lost");
            lost.execute([*seq, UNFIT])?;
        }
    }
    Ok(())
}
