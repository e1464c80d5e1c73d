//! Where runs, their histories and the namespaces live. One narrow trait, one transaction type: a [`Commit`] carries
//! the changes of many runs and is applied in full or not at all. Nothing here knows what a workflow is.
//!
//! A run is a row found by its `seq`, a number that the shard's driver gives out in start order: rows that change
//! together lie together, the newest run of a workflow id is the one with the highest `seq`, and a listing needs no
//! index of its own. New history events are one more row. A run's present state is a small header that replaces the one
//! before, and rows of which only the changed ones are written: what a transition costs does not depend on how much
//! is pending.

mod fields;
mod filter;
mod lease;
mod memory;
mod row;
mod sqlite;
#[cfg(test)]
mod tests;
mod visibility;

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use bytes::Bytes;
use durably_proto::temporal::api::common::v1::{Memo, SearchAttributes};

pub use fields::{Field, Kind, Value, parse_time};
pub use filter::{Filter, Op};
pub use lease::{Holder, Lease, Terms};
pub use memory::MemoryStore;
pub use row::{Ancestors, RunRow, StoredRun};
pub use sqlite::{SqliteStore, back_up};
pub use visibility::{Cursor, Group, Listing, Visibility};

/// Names a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::struct_field_names, reason = "these are the API's names")]
pub struct RunKey {
    pub namespace_id: Arc<str>,
    pub workflow_id: Arc<str>,
    pub run_id: Arc<str>,
}

/// Why a store operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("another process took over this state file (lease {held}, now {found}); this one stops writing")]
    Fenced { held: i64, found: i64 },
    /// Another process holds the shard, for as long as it renews the lease.
    #[error("shard {shard} is held by {}; it can be taken when that one is gone", lease.holder.id)]
    Held { shard: u32, lease: Box<Lease> },
    /// One run cannot be read; all others can.
    #[error(
        "run number {seq} is damaged in the store: {what}. Restore the state from a copy, or terminate this run"
    )]
    Damaged { seq: i64, what: String },
    /// Something of the store is broken that belongs to no single run.
    #[error("the state file is damaged: {0}. Restore it from a copy")]
    DamagedFile(String),
    /// The file that is written is no longer the one under its name.
    #[error(
        "{0}. Nothing is stored any more; put the file back, or restore a copy, and start the server again"
    )]
    Gone(String),
    #[error(
        "the listing took too long; ask for less: fewer terms, a narrower time, or equality instead of a prefix"
    )]
    TooSlow,
    #[error("the store is closed")]
    Closed,
    #[error("the store failed: {0}")]
    Failed(String),
}

/// One line per kind, so that the list of all cannot miss one.
macro_rules! row_kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal,)*) => {
        /// What a row of a run's state is about. The numbers are stored: they are never changed or used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum RowKind {
            $($(#[$doc])* $kind = $number,)*
        }

        impl RowKind {
            pub fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

row_kinds! {
    Activity = 1,
    Timer = 2,
    /// An event that waits for the end of the running workflow task.
    Buffered = 3,
    /// A message to another run that has not been settled.
    Outbox = 4,
    /// A message of another run that was taken in, until its sender has settled it.
    Receipt = 5,
    /// A child workflow.
    Child = 6,
    /// An update that was accepted, also when it has its outcome.
    Update = 7,
}

/// A row of a run's state: the part that grows with what is pending. `id` is unique within run and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRow {
    pub kind: RowKind,
    pub id: i64,
    /// `None` deletes the row.
    pub data: Option<Bytes>,
}

/// What one commit stores of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunCommit {
    /// The part of the state that does not grow.
    pub state: Vec<u8>,
    /// Rows of the state that changed.
    pub rows: Vec<StateRow>,
    /// New events: id of the first, and an encoded `History`.
    pub events: Option<(i64, Bytes)>,
    /// Number of `WorkflowExecutionStatus`; 1 is running.
    pub status: i32,
    pub close_time: Option<i64>,
    pub history_length: i64,
    pub history_bytes: i64,
    pub transitions: i64,
    /// When a timer of the run is due, in nanoseconds since the Unix epoch.
    pub next_due: Option<i64>,
    /// The run has a task that a poller could take, or a message that has not arrived: it must be in memory.
    pub runnable: bool,
    /// Memo and search attributes when they changed (or the run is new).
    pub attributes: Option<(Option<Memo>, Option<SearchAttributes>)>,
}

/// What never changes of a run; written with its first commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    pub key: RunKey,
    pub workflow_type: String,
    pub task_queue: String,
    /// Nanoseconds since the Unix epoch; `execution_time` is later than `start_time` by a first backoff.
    pub start_time: i64,
    pub execution_time: i64,
    /// Of a child.
    pub ancestors: Option<Box<Ancestors>>,
}

/// The changes of one run.
#[derive(Clone, Debug)]
pub struct RunWrite {
    pub seq: i64,
    /// Present in the run's first commit.
    pub new: Option<NewRow>,
    pub change: RunCommit,
}

/// Closes a run without touching its state and history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseRow {
    pub seq: i64,
    /// Number of `WorkflowExecutionStatus`.
    pub status: i32,
    /// Nanoseconds since the Unix epoch.
    pub close_time: i64,
}

/// One transaction: all of it becomes durable, or none.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub shard: u32,
    /// The token of the shard's [`Lease`]; a commit under an older one is refused.
    pub lease: i64,
    pub runs: Vec<RunWrite>,
    /// Runs whose state cannot be used, to be closed.
    pub closes: Vec<CloseRow>,
    /// Runs to forget, history included.
    pub deletes: Vec<i64>,
    /// Namespaces to insert or replace: id and encoded form.
    pub namespaces: Vec<(String, Vec<u8>)>,
}

/// What a driver must know of a run before it loads it that is open, or has closed and still has something to say to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRun {
    pub seq: i64,
    pub next_due: Option<i64>,
    pub runnable: bool,
}

/// A namespace that cannot be believed: what is there of it, for telling a person which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedNamespace {
    pub id: String,
    pub data: Vec<u8>,
}

/// From which end a history is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    OldestFirst,
    NewestFirst,
}

/// A place for state. Calls block; writes are made by one thread, reads by any. A commit is durable when it returns.
///
/// What is damaged is never believed and harms nobody else: reading it is [`StoreError::Damaged`].
pub trait Store: Send + Sync {
    /// Makes `holder` the shard's writer, under a new token; [`StoreError::Held`] when the terms forbid it.
    fn take_lease(&self, shard: u32, holder: &Holder, terms: Terms) -> Result<Lease, StoreError>;

    /// Moves the lease's end; [`StoreError::Fenced`] when somebody else has taken it.
    fn renew_lease(&self, shard: u32, token: i64, expires: i64) -> Result<(), StoreError>;

    /// Lets anybody take the lease from now on. Nothing happens to one that somebody else has taken.
    fn release_lease(&self, shard: u32, token: i64) -> Result<(), StoreError> {
        match self.renew_lease(shard, token, Lease::RELEASED) {
            Err(StoreError::Fenced { .. }) => Ok(()),
            done => done,
        }
    }

    /// The shard's lease as it stands.
    fn lease(&self, shard: u32) -> Result<Option<Lease>, StoreError>;

    /// [`StoreError::Damaged`] names a run that can't be written; without it the others can.
    fn commit(&self, commit: &Commit) -> Result<(), StoreError>;

    /// Whether one commit for many changes is worth waiting for them: it is where each waits for a disk (decision 088).
    fn commits_are_worth_sharing(&self) -> bool;

    /// How many shards the state has. A new state gets `of_new` (at least 1), with one transaction: a crash leaves it
    /// new or complete.
    fn shards(&self, of_new: u32) -> Result<u32, StoreError>;

    /// The highest `seq` in use, over all shards; 0 when there is none.
    fn last_seq(&self) -> Result<i64, StoreError>;

    /// Calls `each` for every run of the shard that is open or runnable, oldest first, until it breaks. A run of which this cannot be read is
    /// given as runnable, so that whoever loads it then meets the damage by its name.
    fn open_runs(
        &self,
        shard: u32,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    fn run(&self, seq: i64) -> Result<Option<StoredRun>, StoreError>;

    /// The names of a damaged run and whether it is closed, as far as they can be read and whether right or wrong: for
    /// telling a person which run it is.
    fn unverified(&self, seq: i64) -> (RunKey, bool);

    /// The `seq` of a run by its names; of the newest run of the workflow id when `run_id` is `None`.
    fn find(
        &self,
        namespace_id: &str,
        workflow_id: &str,
        run_id: Option<&str>,
    ) -> Result<Option<i64>, StoreError>;

    /// Calls `each` for the encoded `History` batches that hold the events with `from <= id < end`, with the id of each
    /// one's first event, until it breaks; what comes after that is not read. The first and last batch may hold more than
    /// was asked for. A history may have 50 MB: whoever reads one says when it is enough.
    fn batches(
        &self,
        seq: i64,
        events: Range<i64>,
        order: EventOrder,
        each: &mut dyn FnMut(i64, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// [`Store::batches`] for few events: all of it, oldest first.
    fn events(&self, seq: i64, from: i64, end: i64) -> Result<Vec<(i64, Bytes)>, StoreError> {
        let mut all = Vec::new();
        self.batches(seq, from..end, EventOrder::OldestFirst, &mut |first, batch| {
            all.push((first, batch));
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// Runs of the shard and namespace that closed before `time`, at most `limit`, oldest end first: what retention
    /// deletes.
    fn closed_before(
        &self,
        shard: u32,
        namespace_id: &str,
        time: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError>;

    /// Those that can be read.
    fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Namespaces that are there and not what was written.
    fn damaged_namespaces(&self) -> Result<Vec<DamagedNamespace>, StoreError>;

    /// Whether what is written now will be found again: [`StoreError::Gone`] while the state is no longer where it was opened,
    /// or once something of it was cut off. Each commit asks by itself.
    fn in_place(&self) -> Result<(), StoreError>;

    /// Lists and counts, which share nothing with the above that could delay it.
    fn visibility(&self) -> &dyn Visibility;

    /// Leaves the state in order for whoever comes next; every call after it fails.
    fn close(&self);
}
