//! The schema, its migrations, and what can be wrong with a file.
//!
//! The version is SQLite's `user_version`. Each migration and the new version are one transaction, so a crash leaves
//! either the old schema or the new. Migrations are only ever added.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::error::OpenError;

/// `application_id` of our files ("dura"): another program's database is refused, not written into.
const APPLICATION_ID: i32 = 0x6475_7261;

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

/// Readies a fresh connection: checks that the file is ours, sets durability, migrates.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| fault(path, &error);
    let version: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fault)?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fault)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
    let fresh = version == 0 && tables == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(OpenError::Corrupt {
            path: path.to_owned(),
            detail: "it is an SQLite database of another program".to_owned(),
        });
    }
    let supported = MIGRATIONS.len() as u32;
    if version > supported {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found: version, supported });
    }
    connection
        .execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA foreign_keys = off;")
        .map_err(fault)?;
    if !fresh {
        check(connection, path)?;
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version as usize) {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        transaction.execute_batch(migration).map_err(fault)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1).map_err(fault)?;
        transaction.commit().map_err(fault)?;
    }
    Ok(())
}

/// Reads the root of every table, so that a cut-off or overwritten file is found now and not in the middle of a run.
/// A full integrity check would read the whole file.
fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let read = || -> rusqlite::Result<()> {
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
        let names = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        for table in names {
            let sql = format!("SELECT * FROM {table} ORDER BY 1 DESC LIMIT 1");
            connection.prepare(&sql)?.query([])?.next()?;
        }
        Ok(())
    };
    read().map_err(|error| fault(path, &error))
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
