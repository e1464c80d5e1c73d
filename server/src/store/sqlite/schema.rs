//! The schema, its migrations, and what can be wrong with a file.
//!
//! The version is SQLite's `user_version`. Each migration and the new version are one transaction, so a crash leaves
//! either the old schema or the new. Migrations are only ever added. A file appears under its name only when it has a
//! schema ([`super::file`]), so one without is never taken for a new one.

use std::path::Path;

use rusqlite::{Batch, Connection, ErrorCode, TransactionBehavior, fallible_iterator::FallibleIterator as _};

use crate::{error::OpenError, store::StoreError};

/// `application_id` of our files ("dura"): another program's database is refused, not written into.
const APPLICATION_ID: i32 = 0x6475_7261;

/// How far the log grows, in pages of 4 KiB, before it is copied into the file. A page that many commits change is copied
/// once: with SQLite's 1,000 pages that was a quarter of what is written.
const LOG_PAGES: i32 = 4_000;

/// Element `n` takes a file from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE leases (shard INTEGER PRIMARY KEY, token INTEGER NOT NULL) STRICT;
    CREATE TABLE namespaces (id TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE runs (
        seq INTEGER PRIMARY KEY,
        namespace_id TEXT NOT NULL,
        workflow_id TEXT NOT NULL,
        run_id TEXT NOT NULL,
        workflow_type TEXT NOT NULL,
        task_queue TEXT NOT NULL,
        start_time INTEGER NOT NULL,
        execution_time INTEGER NOT NULL,
        status INTEGER NOT NULL,
        close_time INTEGER,
        history_length INTEGER NOT NULL,
        history_bytes INTEGER NOT NULL,
        transitions INTEGER NOT NULL,
        next_due INTEGER,
        runnable INTEGER NOT NULL,
        memo BLOB,
        search_attributes BLOB,
        state BLOB NOT NULL
    ) STRICT;
    CREATE INDEX runs_by_workflow_id ON runs (workflow_id, namespace_id);
    CREATE INDEX open_runs ON runs (seq) WHERE status = 1;
    CREATE TABLE history (id INTEGER PRIMARY KEY, events BLOB NOT NULL) STRICT;
",
    "
    CREATE TABLE run_rows (
        seq INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (seq, kind, id)
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE runs ADD COLUMN shard INTEGER NOT NULL DEFAULT 0;
    DROP INDEX open_runs;
    CREATE INDEX open_runs ON runs (shard, seq) WHERE status = 1;
",
];

/// They follow those above.
const CHECKED: &[&str] = &[
    // Checksums; what retention looks for; who has the file open.
    "
    ALTER TABLE runs ADD COLUMN fixed_crc INTEGER;
    ALTER TABLE runs ADD COLUMN progress_crc INTEGER;
    ALTER TABLE runs ADD COLUMN attributes_crc INTEGER;
    ALTER TABLE runs ADD COLUMN state_crc INTEGER;
    ALTER TABLE run_rows ADD COLUMN crc INTEGER;
    ALTER TABLE history ADD COLUMN crc INTEGER;
    ALTER TABLE namespaces ADD COLUMN crc INTEGER;
    CREATE INDEX closed_runs ON runs (shard, namespace_id, close_time) WHERE close_time IS NOT NULL;
    CREATE TABLE opened (token INTEGER NOT NULL) STRICT;
",
    // Who holds a lease, and until when; which state rows a run has; namespaces written twice.
    "
    ALTER TABLE leases ADD COLUMN holder TEXT NOT NULL DEFAULT '';
    ALTER TABLE leases ADD COLUMN address TEXT NOT NULL DEFAULT '';
    ALTER TABLE leases ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE leases ADD COLUMN crc INTEGER;
    ALTER TABLE runs ADD COLUMN rows_crc INTEGER;
    CREATE TABLE namespace_copies (id TEXT PRIMARY KEY, data BLOB NOT NULL, crc INTEGER) STRICT, WITHOUT ROWID;
",
    // Nothing here changes, but runs are written in format 3: a release that doesn't know it must refuse the file, and not
    // each of its runs.
    "",
    // Whose child a run is; closed runs that have still something to say are found with those that are open.
    "
    ALTER TABLE runs ADD COLUMN parent_namespace_id TEXT;
    ALTER TABLE runs ADD COLUMN parent_workflow_id TEXT;
    ALTER TABLE runs ADD COLUMN parent_run_id TEXT;
    ALTER TABLE runs ADD COLUMN root_workflow_id TEXT;
    ALTER TABLE runs ADD COLUMN root_run_id TEXT;
    DROP INDEX open_runs;
    CREATE INDEX open_runs ON runs (shard, seq) WHERE status = 1 OR runnable = 1;
",
    // Nothing here changes, but runs have updates among their rows: a release that doesn't know them must refuse the file.
    "",
];

/// The version of a file that this release writes.
pub(super) const VERSION: u32 = (MIGRATIONS.len() + CHECKED.len()) as u32;

fn migrations() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().chain(CHECKED).copied()
}

/// Readies a fresh connection: checks that the file is ours, sets durability, migrates. `new`: the file was made by
/// this call and is empty.
pub(super) fn prepare(connection: &mut Connection, path: &Path, new: bool) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| fault(path, &error);
    let version = if new { 0 } else { recognise(connection, path)? };
    connection
        .execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA foreign_keys = off;")
        .map_err(fault)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES).map_err(fault)?;
    if !new {
        check(connection, path)?;
    }
    migrate(connection, version, &mut || {}).map_err(fault)
}

/// The version of a file of ours; an error for any other file.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let fault = |error: rusqlite::Error| fault(path, &error);
    let version: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fault)?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fault)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
    if version == 0 && tables == 0 {
        return Err(OpenError::Empty { path: path.to_owned(), detail: "it is a database without tables" });
    }
    if application != APPLICATION_ID {
        return Err(OpenError::Corrupt {
            path: path.to_owned(),
            detail: "it is an SQLite database of another program".to_owned(),
        });
    }
    if version > VERSION {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found: version, supported: VERSION });
    }
    Ok(version)
}

/// Brings the schema up to date; `step` is called after each statement.
pub(super) fn migrate(
    connection: &mut Connection,
    version: u32,
    step: &mut dyn FnMut(),
) -> rusqlite::Result<()> {
    for (index, migration) in migrations().enumerate().skip(version as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut statements = Batch::new(&transaction, migration);
        while let Some(mut statement) = statements.next()? {
            statement.execute([])?;
            step();
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        step();
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        step();
        transaction.commit()?;
        step();
    }
    Ok(())
}

/// Reads what no state is without, so that a file that was cut off or overwritten is found now. A full integrity check
/// would read the whole file; and a run that is damaged concerns that run alone, so of runs and histories one end is
/// enough.
fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let read = |sql: String| {
        let found =
            connection.prepare(&sql).and_then(|mut statement| statement.query([])?.next().map(|_| ()));
        found.map_err(|error| fault(path, &error))
    };
    read("SELECT * FROM leases ORDER BY 1 DESC LIMIT 1".to_owned())?;
    for (table, key) in [("runs", "seq"), ("history", "id"), ("run_rows", "seq")] {
        let end =
            |order: &str| format!("SELECT {key} FROM {table} NOT INDEXED ORDER BY {key} {order} LIMIT 1");
        let there = connection.table_exists(None, table).map_err(|error| fault(path, &error))?;
        if there {
            read(end("DESC")).or_else(|_| read(end("ASC")))?;
        }
    }
    Ok(())
}

/// What damage means to the person who starts the server.
pub(super) fn damage(path: &Path, error: &StoreError) -> OpenError {
    let path = path.to_owned();
    match error {
        StoreError::DamagedFile(detail) => OpenError::Corrupt { path, detail: detail.clone() },
        error => OpenError::Store { path, detail: error.to_string() },
    }
}

/// What an SQLite error at opening means to the person who starts the server.
pub(super) fn fault(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Corrupt { path, detail },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path, detail },
        Some(ErrorCode::PermissionDenied) => OpenError::PermissionDenied { path },
        Some(ErrorCode::ReadOnly | ErrorCode::DiskFull) => OpenError::NotWritable { path, detail },
        Some(ErrorCode::CannotOpen) => match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(directory) if !directory.exists() => {
                let directory = directory.to_owned();
                OpenError::DirectoryMissing { path, directory }
            }
            _ => OpenError::PermissionDenied { path },
        },
        _ => OpenError::Store { path, detail },
    }
}
