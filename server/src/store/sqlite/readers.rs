//! Connections that read. Each belongs to one reader at a time, so that nobody waits for what another one reads.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{super::StoreError, filter};

/// Prepared statements kept per connection: more than this file has.
const STATEMENTS: usize = 64;
/// Steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS: i32 = 1_000;

/// Opens a connection to a file that is there.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Or SQLite plans a statement anew whenever a parameter that it looked at while planning is bound again.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Finds more of what is broken before it is believed.
    connection.execute_batch("PRAGMA cell_size_check = on")?;
    Ok(connection)
}

/// Opens a connection that can't write.
pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.execute_batch("PRAGMA query_only = on")?;
    filter::add_functions(&connection)?;
    Ok(connection)
}

/// A bounded number of connections, opened when they are needed and kept.
pub(super) struct Readers {
    path: PathBuf,
    state: Mutex<State>,
    freed: Condvar,
    /// Ends what is under way.
    closed: Arc<AtomicBool>,
}

struct State {
    idle: Vec<Connection>,
    /// How many more may be opened.
    left: usize,
}

impl Readers {
    pub(super) fn new(path: &Path, limit: usize) -> Self {
        let state = Mutex::new(State { idle: Vec::new(), left: limit });
        Self { path: path.to_owned(), state, freed: Condvar::new(), closed: Arc::default() }
    }

    /// Reads with a connection of its own. Both the wait for one and the reading end at `until`.
    pub(super) fn read<T>(
        &self,
        until: Option<Instant>,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut lent = Lent { connection: Some(self.take(until)?), readers: self };
        let Some(connection) = &mut lent.connection else { return Err(StoreError::Closed) };
        let closed = self.closed.clone();
        let is_over =
            move || closed.load(Ordering::Relaxed) || until.is_some_and(|until| Instant::now() >= until);
        connection.progress_handler(STEPS, Some(is_over))?;
        match read(connection) {
            Err(StoreError::TooSlow) if self.closed.load(Ordering::Relaxed) => Err(StoreError::Closed),
            read => read,
        }
    }

    /// Ends a reading between two rows: a few large ones are few steps of SQLite's machine.
    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Relaxed) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Closes the connections, and ends what is being read.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.idle.clear();
        self.freed.notify_all();
    }

    fn take(&self, until: Option<Instant>) -> Result<Connection, StoreError> {
        let mut state = self.state.lock();
        loop {
            if self.closed.load(Ordering::Relaxed) {
                return Err(StoreError::Closed);
            }
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.left > 0 {
                state.left -= 1;
                drop(state);
                return connect_reader(&self.path).map_err(|error| {
                    self.state.lock().left += 1;
                    self.freed.notify_one();
                    unopened(error)
                });
            }
            match until {
                None => self.freed.wait(&mut state),
                Some(until) => {
                    if self.freed.wait_until(&mut state, until).timed_out() {
                        return Err(StoreError::TooSlow);
                    }
                }
            }
        }
    }
}

/// Why there is no further connection. SQLite says only that there is none. The state file itself must not be opened to find
/// out: closing it again would end the locks that the connections of this process have on it.
fn unopened(error: rusqlite::Error) -> StoreError {
    let reason = std::fs::File::open("/dev/null").err().and_then(|error| error.raw_os_error());
    match reason {
        // ENFILE and EMFILE.
        Some(23 | 24) => StoreError::Failed(
            "no file descriptor is left to read the state file with; raise the limit of open files (ulimit -n), or have \
             fewer connections"
                .to_owned(),
        ),
        _ => error.into(),
    }
}

/// A connection that goes back, also when its reader panics.
struct Lent<'a> {
    connection: Option<Connection>,
    readers: &'a Readers,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let usable = connection.progress_handler(0, None::<fn() -> bool>).is_ok();
        let mut state = self.readers.state.lock();
        if usable && !self.readers.closed.load(Ordering::Relaxed) {
            state.idle.push(connection);
        } else {
            state.left += 1;
        }
        self.readers.freed.notify_one();
    }
}
