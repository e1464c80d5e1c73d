//! State in one SQLite file (WAL, every commit synced). One connection writes and one reads for those who write; others
//! read histories, and others again make lists, so that nobody waits for a list.

mod checks;
mod file;
mod filter;
mod leases;
mod log;
mod mend;
mod namespaces;
mod readers;
mod rows;
mod schema;
mod search;
#[cfg(test)]
mod tests;
mod visibility;
mod write;

use std::{
    ops::{ControlFlow, Range},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use bytes::Bytes;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use rusqlite::{Connection, config::DbConfig};

use super::{
    Commit, DamagedNamespace, EventOrder, Holder, Lease, OpenRun, RunKey, RunWrite, Store, StoreError,
    StoredRun, Terms, Visibility, lease,
};
use crate::error::OpenError;
use file::InUse;
pub use file::back_up;
use readers::Readers;
use visibility::SqliteVisibility;
use write::{unwritable, write_all};

/// Keeps state in a SQLite file.
pub struct SqliteStore {
    /// The two connections of those who write; `None` once the store is closed.
    writer: Mutex<Option<Connection>>,
    reader: Mutex<Option<Connection>>,
    histories: Readers,
    visibility: SqliteVisibility,
    in_use: InUse,
    /// How often damage was looked for, and whether the indexes were made anew.
    mends: AtomicU32,
    made_indexes: AtomicBool,
}

/// How many readers of histories have a connection at a time.
const HISTORY_READERS: usize = 8;

/// How often damage is mended before a file is given up. Each time reads its tables.
const MOST_MENDS: u32 = 8;

/// What was made anew.
enum Mended {
    Nothing,
    Indexes,
    /// Runs may have lost something.
    Tables,
}

/// Bits of a history row's id that hold the id of its first event; the rest is the run's `seq`. One integer as the
/// key keeps the batches of a run together without a second index.
const EVENT_ID_BITS: u32 = 24;
const EVENT_ID_MASK: i64 = (1 << EVENT_ID_BITS) - 1;

fn batch_id(seq: i64, event_id: i64) -> i64 {
    (seq << EVENT_ID_BITS) | event_id.clamp(0, EVENT_ID_MASK)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if checks::is_damage(&error) {
            return Self::DamagedFile(error.to_string());
        }
        if matches!(error, rusqlite::Error::StatementChangedRows(_)) {
            return Self::DamagedFile("a run is not where it should be".to_owned());
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl SqliteStore {
    /// Opens or makes the file and brings its schema up to date. The caller has made sure that no other process
    /// writes to it. On an error nothing was changed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let fault = |error: rusqlite::Error| schema::fault(path, &error);
        file::ready(path)?;
        log::ready(path)?;
        let had_log = file::has_log(path);
        let mut writer = readers::connect(path).map_err(fault)?;
        schema::prepare(&mut writer, path, false)?;
        let reader = readers::connect_reader(path).map_err(fault)?;
        mend::ends(&mut writer, &reader)
            .and_then(|()| namespaces::mirror(&mut writer, &reader))
            .map_err(|error| schema::damage(path, &error))?;
        let in_use = InUse::mark(&writer, path, had_log)?;
        file::protect(path)?;
        Ok(Self {
            writer: Mutex::new(Some(writer)),
            reader: Mutex::new(Some(reader)),
            histories: Readers::new(path, HISTORY_READERS),
            visibility: SqliteVisibility::new(path),
            in_use,
            mends: AtomicU32::new(0),
            made_indexes: AtomicBool::new(false),
        })
    }

    fn writer(&self) -> Result<MappedMutexGuard<'_, Connection>, StoreError> {
        MutexGuard::try_map(self.writer.lock(), Option::as_mut).map_err(|_| StoreError::Closed)
    }

    fn reader(&self) -> Result<MappedMutexGuard<'_, Connection>, StoreError> {
        MutexGuard::try_map(self.reader.lock(), Option::as_mut).map_err(|_| StoreError::Closed)
    }

    /// Makes anew what is broken: tables, or else the indexes, which are derived from them. False when that does not help.
    fn mend(&self, what: &str) -> Result<bool, StoreError> {
        Ok(!matches!(self.mend_with(&mut *self.writer()?, what, &[])?, Mended::Nothing))
    }

    fn mend_with(
        &self,
        writer: &mut Connection,
        what: &str,
        concerned: &[i64],
    ) -> Result<Mended, StoreError> {
        if self.mends.fetch_add(1, Ordering::Relaxed) >= MOST_MENDS {
            return Ok(Mended::Nothing);
        }
        if mend::tables(writer, &*self.reader()?, concerned)? {
            return Ok(Mended::Tables);
        }
        if self.made_indexes.swap(true, Ordering::Relaxed) {
            return Ok(Mended::Nothing);
        }
        mend::indexes(writer, what).map(|()| Mended::Indexes)
    }

    /// Writes in spite of damage: around what was mended, or naming the run that it cannot write.
    fn write_around(
        &self,
        writer: &mut Connection,
        commit: &Commit,
        mut what: String,
    ) -> Result<(), StoreError> {
        let of = |write: &RunWrite| write.new.is_none().then_some(write.seq);
        let written: Vec<i64> = commit.runs.iter().filter_map(of).collect();
        let mut concerned = written.clone();
        concerned.extend(commit.closes.iter().map(|close| close.seq));
        concerned.extend(&commit.deletes);
        loop {
            match self.mend_with(writer, &what, &concerned)? {
                Mended::Nothing => break,
                Mended::Indexes => {}
                Mended::Tables => {
                    let reader = self.reader()?;
                    written.iter().try_for_each(|seq| check_whole(&reader, *seq))?;
                }
            }
            match write_all(writer, commit) {
                Err(StoreError::DamagedFile(still)) => what = still,
                written => return written,
            }
        }
        // Something that can't be mended: whoever can't be written even alone is set aside, and the others go on without it.
        Err(unwritable(writer, commit)?.unwrap_or(StoreError::DamagedFile(what)))
    }
}

/// Whether all of a run can be read.
fn check_whole(reader: &Connection, seq: i64) -> Result<(), StoreError> {
    if rows::stored(reader, seq)?.is_none() {
        return Err(StoreError::Damaged { seq, what: "it is lost".to_owned() });
    }
    let mut each = |_, _| ControlFlow::Continue(());
    rows::batches(reader, seq, &(0..EVENT_ID_MASK), EventOrder::OldestFirst, &mut each)
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for SqliteStore {
    fn take_lease(&self, shard: u32, holder: &Holder, terms: Terms) -> Result<Lease, StoreError> {
        leases::change(&mut *self.writer()?, shard, |found| lease::taken(shard, found, holder, terms))
    }

    fn renew_lease(&self, shard: u32, token: i64, expires: i64) -> Result<(), StoreError> {
        leases::change(&mut *self.writer()?, shard, |found| lease::prolonged(found, token, expires))
            .map(|_| ())
    }

    fn lease(&self, shard: u32) -> Result<Option<Lease>, StoreError> {
        leases::read(&*self.reader()?, shard)
    }

    fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        // Before, or what was cut off would be filled with nothing and look whole; and behind, since what was promised holds
        // only while the file is the one that will be opened again.
        self.in_place()?;
        match write_all(&mut writer, commit) {
            Err(StoreError::DamagedFile(what)) => self.write_around(&mut writer, commit, what)?,
            written => written?,
        }
        self.in_use.check_written()
    }

    fn commits_are_worth_sharing(&self) -> bool {
        true
    }

    fn shards(&self, of_new: u32) -> Result<u32, StoreError> {
        leases::shards(&mut *self.writer()?, of_new)
    }

    fn last_seq(&self) -> Result<i64, StoreError> {
        search::last_seq(&*self.reader()?)
    }

    fn open_runs(
        &self,
        shard: u32,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut last = i64::MIN;
        let read = search::open_runs(&*self.reader()?, shard, &mut last, each);
        let Err(StoreError::DamagedFile(what)) = read else { return read };
        if let Err(error) = self.mend(&what) {
            tracing::error!(%error, "the damage is not mended; what can be read goes on");
        }
        search::open_runs_around_damage(&*self.reader()?, shard, last, each)
    }

    fn run(&self, seq: i64) -> Result<Option<StoredRun>, StoreError> {
        let Some(run) = rows::stored(&*self.reader()?, seq)? else { return Ok(None) };
        let is_indexed = search::is_indexed(&*self.reader()?, &run.row)?;
        if !is_indexed {
            self.mend("an index lacks a run")?;
        }
        Ok(Some(run))
    }

    fn unverified(&self, seq: i64) -> (RunKey, bool) {
        match self.reader() {
            Ok(reader) => rows::unverified(&reader, seq),
            Err(_) => (RunKey { namespace_id: "".into(), workflow_id: "".into(), run_id: "".into() }, false),
        }
    }

    fn find(
        &self,
        namespace_id: &str,
        workflow_id: &str,
        run_id: Option<&str>,
    ) -> Result<Option<i64>, StoreError> {
        let find = || search::find(&*self.reader()?, namespace_id, workflow_id, run_id);
        let found = find();
        if let Err(StoreError::DamagedFile(what)) = &found
            && self.mend(what)?
        {
            return find();
        }
        found
    }

    fn batches(
        &self,
        seq: i64,
        events: Range<i64>,
        order: EventOrder,
        each: &mut dyn FnMut(i64, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.histories.read(None, |reader| {
            let mut closed = Ok(());
            rows::batches(reader, seq, &events, order, &mut |first, batch| {
                closed = self.histories.check_open();
                if closed.is_err() { ControlFlow::Break(()) } else { each(first, batch) }
            })?;
            closed
        })
    }

    fn closed_before(
        &self,
        shard: u32,
        namespace_id: &str,
        time: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        search::closed_before(&*self.reader()?, shard, namespace_id, time, limit)
    }

    fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.histories.read(None, |reader| Ok(namespaces::read(reader)?.good.into_iter().collect()))
    }

    fn damaged_namespaces(&self) -> Result<Vec<DamagedNamespace>, StoreError> {
        self.histories.read(None, |reader| Ok(namespaces::read(reader)?.damaged))
    }

    fn in_place(&self) -> Result<(), StoreError> {
        self.in_use.check()
    }

    fn visibility(&self) -> &dyn Visibility {
        &self.visibility
    }

    /// Leaves one file: the log is in it, and the mark is gone.
    fn close(&self) {
        self.visibility.readers.close();
        self.histories.close();
        self.reader.lock().take();
        let Some(writer) = self.writer.lock().take() else { return };
        let unmarked = self.in_use.unmark(&writer);
        if unmarked.is_err() {
            // A file that says that it is open is refused without its log, and SQLite takes an empty log away.
            let _ = writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        let closed = writer.close().map_err(|(_, error)| error);
        if let Err(error) = unmarked.and(closed) {
            tracing::warn!(%error, "the state file was not closed in order; its log stays beside it");
        }
    }
}
