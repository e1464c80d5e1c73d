//! Damage that would be in everybody's way is mended: tables are made anew of what can be read of them, and indexes, which
//! are derived, of their table. The old ones stay in the file under another name, for whoever wants to look for more in them.
//!
//! A run of which something is lost is damaged from then on, and named. What is broken is read by a connection of its own:
//! a transaction that meets a broken page cannot be committed any more.

use std::collections::BTreeSet;

use rusqlite::{
    Connection, ErrorCode, Row, Statement, Transaction, TransactionBehavior,
    ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID},
    params, params_from_iter,
    types::Value,
};

use super::{super::StoreError, EVENT_ID_BITS, batch_id, checks, search};

/// A table of runs.
struct Table {
    name: &'static str,
    /// The columns by which it is ordered. The first is the run, or begins with it.
    key: &'static [&'static str],
    /// Reads enough of a row to know that it has its form.
    form: &'static str,
    /// Bits of the first column behind the run's number.
    bits: u32,
}

const RUNS: Table = Table { name: "runs", key: &["seq"], form: "length(state), rows_crc", bits: 0 };
const HISTORY: Table = Table { name: "history", key: &["id"], form: "length(events)", bits: EVENT_ID_BITS };
const STATE_ROWS: Table =
    Table { name: "run_rows", key: &["seq", "kind", "id"], form: "length(data)", bits: 0 };
/// In the order in which they are made anew: that of rows marks runs.
const TABLES: [&Table; 3] = [&RUNS, &HISTORY, &STATE_ROWS];
/// A checksum that fits nothing.
const UNFIT: i64 = -1;

impl Table {
    fn first(&self) -> &'static str {
        self.key.first().copied().unwrap_or_default()
    }

    /// The keys that rows of the run have, from the one to before the other.
    fn bounds(&self, seq: i64) -> [i64; 2] {
        [seq << self.bits, (seq + 1) << self.bits]
    }

    /// Whether what is added next would meet a broken page.
    fn end_is_broken(&self, reader: &Connection) -> Result<bool, StoreError> {
        let (name, key) = (self.name, self.first());
        let sql = format!("SELECT {key} FROM {name} NOT INDEXED ORDER BY {key} DESC LIMIT 1");
        is_broken(reader.prepare(&sql).and_then(|mut last| last.query([])?.next().map(|_| ())))
    }

    /// Whether a page cannot be read, or rows are where no search finds them. Reads all but what is long in rows.
    fn is_broken(&self, reader: &Connection) -> Result<bool, StoreError> {
        let (name, form) = (self.name, self.form);
        let key = self.key.join(", ");
        let same: Vec<_> = self.key.iter().map(|column| format!("found.{column} = every.{column}")).collect();
        let sql = format!(
            "SELECT {key}, EXISTS (SELECT 1 FROM {name} AS found NOT INDEXED WHERE {}), {form} \
             FROM {name} AS every NOT INDEXED",
            same.join(" AND ")
        );
        let in_order = |rows: &mut rusqlite::Rows<'_>| -> rusqlite::Result<bool> {
            let mut last = Vec::new();
            while let Some(row) = rows.next()? {
                let key =
                    (0..self.key.len()).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<i64>>>()?;
                if key <= last || !row.get::<_, bool>(self.key.len())? {
                    return Ok(false);
                }
                last = key;
            }
            Ok(true)
        };
        match reader.prepare(&sql).and_then(|mut every| in_order(&mut every.query([])?)) {
            Ok(in_order) => Ok(!in_order),
            Err(error) => is_broken(Err(error)),
        }
    }

    /// Whether something of the run cannot be read, however long it is.
    fn is_broken_for(&self, reader: &Connection, seq: i64) -> Result<bool, StoreError> {
        let mut rows = reader.prepare_cached(&self.of_run())?;
        let mut read = || {
            let mut rows = rows.query(self.bounds(seq))?;
            while rows.next()?.is_some() {}
            Ok(())
        };
        is_broken(read())
    }

    fn of_run(&self) -> String {
        let (name, key) = (self.name, self.first());
        format!("SELECT * FROM {name} NOT INDEXED WHERE {key} >= ?1 AND {key} < ?2")
    }

    /// The run that a row belongs to.
    fn run_of(&self, row: &Row<'_>) -> Option<i64> {
        row.get::<_, i64>(0).ok().map(|key| key >> self.bits)
    }
}

/// Whether it failed by damage.
fn is_broken(read: rusqlite::Result<()>) -> Result<bool, StoreError> {
    match read {
        Ok(()) => Ok(false),
        Err(error) => match checks::in_row(0, error) {
            StoreError::Damaged { .. } => Ok(true),
            error => Err(error),
        },
    }
}

/// Makes tables anew if the end of one is broken. Costs a look at three pages when none is.
pub(super) fn ends(writer: &mut Connection, reader: &Connection) -> Result<(), StoreError> {
    for table in TABLES {
        if table.end_is_broken(reader)? {
            return tables(writer, reader, &[]).map(|_| ());
        }
    }
    Ok(())
}

/// Makes the tables anew that are broken anywhere, or where these runs have something. Whether there was one. Reads the tables.
pub(super) fn tables(
    writer: &mut Connection,
    reader: &Connection,
    concerned: &[i64],
) -> Result<bool, StoreError> {
    let mut broken = Vec::new();
    for table in TABLES {
        let mut is_broken = table.is_broken(reader)?;
        for seq in concerned {
            is_broken = is_broken || table.is_broken_for(reader, *seq)?;
        }
        if is_broken {
            broken.push(table.name);
        }
    }
    if broken.is_empty() {
        return Ok(false);
    }
    tracing::error!(
        ?broken,
        "these tables are broken; they are made anew of what can be read. Better restore the file from a copy"
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
    Ok(true)
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

/// Writes rows into the table that was made anew.
struct Copier<'a> {
    table: &'static Table,
    reader: &'a Connection,
    insert: Statement<'a>,
    columns: usize,
}

impl<'a> Copier<'a> {
    fn new(
        transaction: &'a Transaction<'_>,
        reader: &'a Connection,
        table: &'static Table,
    ) -> Result<Self, StoreError> {
        let columns = reader.prepare_cached(&table.of_run())?.column_count();
        let places = vec!["?"; columns].join(", ");
        let insert = transaction.prepare(&format!("INSERT INTO {} VALUES ({places})", table.name))?;
        Ok(Self { table, reader, insert, columns })
    }

    /// Copies a row, if it isn't there. False when there are values in it that no such row has.
    fn insert(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let values: Vec<Value> = (0..self.columns).map(|column| row.get(column)).collect::<Result<_, _>>()?;
        match self.insert.execute(params_from_iter(values)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let code = error.sqlite_error().map_or(0, |error| error.extended_code);
                Ok([SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID].contains(&code))
            }
            inserted => inserted.map(|_| true),
        }
    }

    /// The rows of a run that a search finds. Whether all of them could be read.
    fn run(&mut self, seq: i64) -> Result<bool, StoreError> {
        let reader = self.reader;
        let mut statement = reader.prepare_cached(&self.table.of_run())?;
        let mut rows = statement.query(self.table.bounds(seq))?;
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    if self.table.run_of(row) == Some(seq) {
                        match self.insert(row) {
                            Ok(true) => {}
                            Ok(false) => return Ok(false),
                            Err(error) => return is_broken(Err(error)).map(|_| false),
                        }
                    }
                }
                Ok(None) => return Ok(true),
                Err(error) => return is_broken(Err(error)).map(|_| false),
            }
        }
    }

    /// Rows of these runs that no search finds, since they are where others should be.
    fn misplaced(&mut self, wanted: impl Fn(i64) -> bool) -> Result<(), StoreError> {
        for order in ["ASC", "DESC"] {
            let (name, key, reader) = (self.table.name, self.table.first(), self.reader);
            let mut statement =
                reader.prepare(&format!("SELECT * FROM {name} NOT INDEXED ORDER BY {key} {order}"))?;
            let mut rows = statement.query([])?;
            loop {
                match rows.next() {
                    Ok(Some(row)) => {
                        if self.table.run_of(row).is_some_and(&wanted)
                            && let Err(error) = self.insert(row)
                        {
                            is_broken(Err(error))?;
                        }
                    }
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        is_broken(Err(error))?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Rows that can be read are copied. Of the others an index may know the names: they become damaged runs, which are
/// found, named and terminated by their workflow ids.
fn runs(transaction: &Transaction<'_>, reader: &Connection, all: &BTreeSet<i64>) -> Result<(), StoreError> {
    let indexes = take_indexes(transaction, "runs")?;
    replace(transaction, "runs")?;
    let mut copier = Copier::new(transaction, reader, &RUNS)?;
    for seq in all {
        copier.run(*seq)?;
    }
    copier.misplaced(|_| true)?;
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
            Ok(Some(row)) => {
                if let (Ok(seq), Ok(namespace_id), Ok(workflow_id)) = (row.get(0), row.get(1), row.get(2)) {
                    known.push((seq, namespace_id, workflow_id));
                }
            }
            Ok(None) => return Ok(known),
            Err(error) if checks::is_damage(&error) => return Ok(known),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The numbers of all runs that can be read, and of those that only an index knows.
fn all_runs(reader: &Connection) -> Result<BTreeSet<i64>, StoreError> {
    let mut all: BTreeSet<i64> = named_runs(reader)?.into_iter().map(|(seq, ..)| seq).collect();
    let mut every = reader.prepare("SELECT seq FROM runs NOT INDEXED")?;
    let mut rows = every.query([])?;
    loop {
        match rows.next() {
            Ok(Some(row)) => all.extend(row.get::<_, i64>(0).ok()),
            Ok(None) => return Ok(all),
            Err(error) if checks::is_damage(&error) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // The rest from behind, around what is broken.
    let mut before = i64::MAX;
    while let Some(seq) = search::below(reader, before)? {
        all.insert(seq);
        before = seq;
    }
    Ok(all)
}

/// Batches are copied run by run. Of one that lost some, a batch that fits nothing takes the place of all.
fn history(
    transaction: &Transaction<'_>,
    reader: &Connection,
    all: &BTreeSet<i64>,
) -> Result<(), StoreError> {
    replace(transaction, "history")?;
    let mut copier = Copier::new(transaction, reader, &HISTORY)?;
    let mut lost = BTreeSet::new();
    for seq in all {
        if !copier.run(*seq)? {
            lost.insert(*seq);
        }
    }
    copier.misplaced(|seq| all.contains(&seq) && !lost.contains(&seq))?;
    let mut is_there =
        transaction.prepare("SELECT EXISTS (SELECT 1 FROM history WHERE id >= ?1 AND id < ?2)")?;
    let mut rest = transaction.prepare("DELETE FROM history WHERE id >= ?1 AND id < ?2")?;
    let mut mark = transaction.prepare("INSERT INTO history (id, events, crc) VALUES (?1, x'', ?2)")?;
    for seq in all {
        if lost.contains(seq) || !is_there.query_row(HISTORY.bounds(*seq), |row| row.get(0))? {
            tracing::error!(run = seq, "the history of this run is lost");
            rest.execute(HISTORY.bounds(*seq))?;
            mark.execute([batch_id(*seq, 0), UNFIT])?;
        }
    }
    Ok(())
}

fn state_rows(
    transaction: &Transaction<'_>,
    reader: &Connection,
    all: &BTreeSet<i64>,
) -> Result<(), StoreError> {
    replace(transaction, "run_rows")?;
    let mut copier = Copier::new(transaction, reader, &STATE_ROWS)?;
    let mut lost = transaction.prepare("UPDATE runs SET rows_crc = ?2 WHERE seq = ?1")?;
    for seq in all {
        if !copier.run(*seq)? {
            tracing::error!(run = seq, "what is pending of this run is lost");
            lost.execute([*seq, UNFIT])?;
        }
    }
    copier.misplaced(|seq| all.contains(&seq))
}
