//! The file itself: made whole or not at all, read by nobody else, and known again.
//!
//! What a crash leaves in the log (`PATH-wal`) belongs to the file. So that a file without its log is never taken for
//! the whole state, it says in itself, from its opening to its closing, that somebody has it open: a file that says so
//! and has no log beside it has lost it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use rusqlite::{Connection, backup::Backup, config::DbConfig};

use super::{super::StoreError, log, readers::connect, schema};
use crate::{
    error::OpenError,
    owner::{io_error, is_owned, resolve},
};

/// Which file it is, whatever its name.
type Identity = (u64, u64);

/// What SQLite and we keep beside the file.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Readies the file for SQLite: makes it if there is none, and refuses one that could not be kept safe.
pub(super) fn ready(path: &Path) -> Result<(), OpenError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(path),
        Err(error) => return Err(io_error(path, error)),
    };
    if found.len() == 0 {
        return Err(OpenError::Empty { path: path.to_owned(), detail: "it has 0 bytes" });
    }
    if found.nlink() > 1 {
        return Err(OpenError::Linked { path: path.to_owned(), links: found.nlink() });
    }
    for suffix in ["-wal", "-shm"] {
        let part = beside(path, suffix);
        if fs::symlink_metadata(&part).is_ok_and(|found| !found.is_file()) {
            return Err(OpenError::InvalidOption {
                option: "state file",
                problem: format!("{} is not a plain file; remove it", part.display()),
            });
        }
    }
    Ok(())
}

/// Takes from others what earlier releases gave them: state holds what users' workflows are about.
pub(super) fn protect(path: &Path) -> Result<(), OpenError> {
    for part in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        if !fs::metadata(&part).is_ok_and(|found| found.mode() & 0o077 != 0) {
            continue;
        }
        match fs::set_permissions(&part, Permissions::from_mode(0o600)) {
            // The file is another user's, who then decides.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            done => done.map_err(|error| io_error(&part, error))?,
        }
    }
    Ok(())
}

/// Makes the file under another name and gives it its own when the schema is in it.
fn make(path: &Path) -> Result<(), OpenError> {
    whole(path, |connection| schema::prepare(connection, path, true))
}

/// Makes a file that is seen under its name once it has all that `fill` puts into it, or never.
fn whole(path: &Path, fill: impl FnOnce(&mut Connection) -> Result<(), OpenError>) -> Result<(), OpenError> {
    let unfinished = beside(path, ".new");
    for leftover in [&unfinished, &beside(&unfinished, "-wal"), &beside(&unfinished, "-shm")] {
        match fs::remove_file(leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(leftover, error)),
            _ => {}
        }
    }
    // SQLite gives its log the permissions of the file.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(|error| match (
        error.kind(),
        path.parent(),
    ) {
        (io::ErrorKind::NotFound, Some(directory)) => {
            OpenError::DirectoryMissing { path: path.to_owned(), directory: directory.to_owned() }
        }
        _ => io_error(path, error),
    })?;
    let fault = |error: rusqlite::Error| schema::fault(path, &error);
    let mut connection = connect(&unfinished).map_err(fault)?;
    // Nobody knows the file yet: it is synced once, when it is whole.
    connection.pragma_update(None, "synchronous", "OFF").map_err(fault)?;
    let filled = fill(&mut connection).and_then(|()| checkpoint(&connection).map_err(fault));
    let closed = connection.close().map_err(|(_, error)| fault(error));
    filled.and(closed).inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })?;
    File::open(&unfinished).and_then(|whole| whole.sync_all()).map_err(|error| io_error(path, error))?;
    fs::rename(&unfinished, path).map_err(|error| io_error(path, error))?;
    sync_directory(path)
}

/// Makes a new name durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| io_error(path, error))
}

/// Copies a state file that may be in use, in this process or another one. The copy is one file, has all that was
/// acknowledged before the call, and opens as a state that was closed in order. What is damaged is copied as it is.
///
/// Blocks for as long as the copying takes; whoever has the file goes on meanwhile. Errors if there is a file at `to`.
pub fn back_up(from: &Path, to: &Path) -> Result<(), OpenError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(OpenError::InvalidOption {
            option: "path of the copy",
            problem: format!("{} is there already; remove it, or give another name", to.display()),
        });
    }
    let found = fs::metadata(from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::Missing { path: from.to_owned() },
        _ => io_error(from, error),
    })?;
    if !found.is_file() {
        return Err(OpenError::InvalidOption {
            option: "state file",
            problem: format!("{} is not a file", from.display()),
        });
    }
    // A log has its name from the file, and not from a link to it.
    let from = &resolve(from)?;
    let fault = |error: rusqlite::Error| schema::fault(from, &error);
    let had_log = has_log(from);
    // Of a log that nobody writes, SQLite reads what is before a damage. Whoever has the file reads all of it.
    if had_log && !is_owned(from) {
        log::check(from)?;
    }
    let source = connect(from).map_err(fault)?;
    // If nobody has the file, this is its last connection; it leaves the log as a crash did.
    source.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fault)?;
    schema::recognise(&source, from)?;
    check_log(&source, from, had_log)?;
    whole(to, |copy| {
        Backup::new(&source, copy).and_then(|backup| backup.step(-1)).map_err(fault)?;
        let unmark = |copy: &Connection| {
            // Files of the first releases have no marks.
            if copy.table_exists(None, "opened")? { copy.execute_batch("DELETE FROM opened") } else { Ok(()) }
        };
        unmark(copy).map_err(|error| schema::fault(to, &error))
    })
}

/// Puts the log into the file.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// A file that is in use: its mark, and where it was when it was opened.
pub(super) struct InUse {
    file: Part,
    log: Part,
    token: i64,
}

/// Refuses a file that was open when it was copied, or when its server crashed, and has lost its log.
fn check_log(connection: &Connection, path: &Path, had_log: bool) -> Result<(), OpenError> {
    if had_log {
        return Ok(());
    }
    let is_marked = || {
        Ok::<_, rusqlite::Error>(
            connection.table_exists(None, "opened")?
                && connection.query_row("SELECT count(*) FROM opened", [], |row| row.get::<_, i64>(0))? > 0,
        )
    };
    if is_marked().map_err(|error| schema::fault(path, &error))? {
        return Err(OpenError::LogMissing { path: path.to_owned(), log: beside(path, "-wal") });
    }
    Ok(())
}

/// The file or its log, as it was when it was last looked at.
struct Part {
    path: PathBuf,
    identity: Option<Identity>,
    size: AtomicU64,
    /// Something of it was lost, whatever its size is now.
    cut_off: AtomicBool,
}

impl Part {
    fn new(path: PathBuf) -> Self {
        let found = fs::metadata(&path).ok();
        let (identity, size) = (found.as_ref().map(identity), found.map_or(0, |found| found.len()));
        Self { path, identity, size: AtomicU64::new(size), cut_off: AtomicBool::new(false) }
    }

    /// Whether it is where it was, and at least as long. `may_be` tells whether it may be as long as it is though it was longer.
    fn check(&self, may_be: impl FnOnce(u64) -> bool) -> Result<(), StoreError> {
        let found = fs::metadata(&self.path).ok();
        if found.as_ref().map(identity) != self.identity {
            return Err(self.gone("deleted, moved or replaced"));
        }
        let size = found.map_or(0, |found| found.len());
        if size < self.size.swap(size, Ordering::Relaxed) && !may_be(size) {
            self.cut_off.store(true, Ordering::Relaxed);
        }
        if self.cut_off.load(Ordering::Relaxed) { Err(self.gone("cut off")) } else { Ok(()) }
    }

    fn gone(&self, what: &str) -> StoreError {
        StoreError::Gone(format!("{} was {what} while in use", self.path.display()))
    }
}

/// Whether the log is there. To be asked before SQLite makes one.
pub(super) fn has_log(path: &Path) -> bool {
    beside(path, "-wal").exists()
}

impl InUse {
    /// Marks the file as open. `had_log`: what [`has_log`] said before the file was opened.
    pub(super) fn mark(connection: &Connection, path: &Path, had_log: bool) -> Result<Self, OpenError> {
        let fault = |error: rusqlite::Error| schema::fault(path, &error);
        check_log(connection, path, had_log)?;
        let token = rand::random::<u32>().into();
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; DELETE FROM opened; INSERT INTO opened VALUES ({token}); COMMIT"
            ))
            .map_err(fault)?;
        // Into the file itself: a mark that only the log has would be lost with it.
        checkpoint(connection).map_err(fault)?;
        Ok(Self { file: Part::new(path.to_owned()), log: Part::new(beside(path, "-wal")), token })
    }

    /// Takes the mark away, unless somebody else has opened the file since.
    pub(super) fn unmark(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.check().is_ok()
            && connection.execute("DELETE FROM opened WHERE token = ?1", [self.token])? == 1
        {
            checkpoint(connection)?;
        }
        Ok(())
    }

    /// Whether the file and its log still are where they were, and whole. What is written to a file that was deleted is lost
    /// with the process; of one that was moved, the log is; and what was cut off is lost already. Neither is opened for
    /// that but the log: to close a file frees the locks that SQLite has on it.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.file.check(|_| false)?;
        // Another program may have put the log into the file. [`InUse::check_written`] knows whether it was that.
        self.log.check(|size| size == 0)
    }

    /// The same behind a commit, for which an empty log got a beginning, if it was SQLite that had emptied it.
    pub(super) fn check_written(&self) -> Result<(), StoreError> {
        let was_empty = self.log.size.load(Ordering::Relaxed) == 0;
        self.check()?;
        let mut start = [0; 4];
        if was_empty
            && self.log.size.load(Ordering::Relaxed) > 0
            && (File::open(&self.log.path).and_then(|mut log| log.read_exact(&mut start)).is_err()
                || start == [0; 4])
        {
            self.log.cut_off.store(true, Ordering::Relaxed);
            return Err(self.log.gone("cut off"));
        }
        Ok(())
    }
}

fn identity(found: &fs::Metadata) -> Identity {
    (found.dev(), found.ino())
}
