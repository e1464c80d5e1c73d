//! A store that fails, and stops, when a test wants it to.

use std::{
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::store::{
    Commit, DamagedNamespace, EventOrder, Holder, Lease, MemoryStore, OpenRun, RunKey, Store, StoreError,
    StoredRun, Terms, Visibility,
};

/// A store whose commits can be made to fail, or to wait.
#[derive(Default)]
pub(in crate::shard::tests) struct Flaky {
    pub(in crate::shard::tests) store: Arc<MemoryStore>,
    pub(in crate::shard::tests) fails: AtomicBool,
    /// No run can be looked for.
    pub(in crate::shard::tests) unreadable: AtomicBool,
    /// The run that is found, and is not there.
    pub(in crate::shard::tests) lost: Mutex<Option<i64>>,
    /// The run that is found damaged by the next commit.
    pub(in crate::shard::tests) damaged: Mutex<Option<i64>>,
    /// The next commit says here that it has come so far, and waits until it may go on.
    pub(in crate::shard::tests) gate: Mutex<Option<(oneshot::Sender<()>, mpsc::Receiver<()>)>>,
    /// The same of the next batch of events that is read.
    pub(in crate::shard::tests) read_gate: Mutex<Option<(oneshot::Sender<()>, mpsc::Receiver<()>)>>,
    pub(in crate::shard::tests) batches_read: AtomicUsize,
}

impl Store for Flaky {
    fn take_lease(&self, shard: u32, holder: &Holder, terms: Terms) -> Result<Lease, StoreError> {
        self.store.take_lease(shard, holder, terms)
    }
    fn renew_lease(&self, shard: u32, token: i64, expires: i64) -> Result<(), StoreError> {
        self.store.renew_lease(shard, token, expires)
    }
    fn lease(&self, shard: u32) -> Result<Option<Lease>, StoreError> {
        self.store.lease(shard)
    }
    fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(StoreError::Failed("as arranged".into()));
        }
        if let Some(seq) = self.damaged.lock().take() {
            return Err(StoreError::Damaged { seq, what: "as arranged".into() });
        }
        if let Some((reached, open)) = self.gate.lock().take() {
            let _ = reached.send(());
            let _ = open.recv();
        }
        self.store.commit(commit)
    }
    fn last_seq(&self) -> Result<i64, StoreError> {
        self.store.last_seq()
    }
    fn commits_are_worth_sharing(&self) -> bool {
        self.store.commits_are_worth_sharing()
    }

    fn shards(&self, of_new: u32) -> Result<u32, StoreError> {
        self.store.shards(of_new)
    }
    fn open_runs(
        &self,
        shard: u32,
        each: &mut dyn FnMut(OpenRun) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.open_runs(shard, each)
    }
    fn run(&self, seq: i64) -> Result<Option<StoredRun>, StoreError> {
        if *self.lost.lock() == Some(seq) {
            return Ok(None);
        }
        self.store.run(seq)
    }
    fn unverified(&self, seq: i64) -> (RunKey, bool) {
        self.store.unverified(seq)
    }
    fn find(&self, namespace: &str, workflow: &str, run: Option<&str>) -> Result<Option<i64>, StoreError> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(StoreError::Failed("unreadable, as arranged".into()));
        }
        self.store.find(namespace, workflow, run)
    }
    fn batches(
        &self,
        seq: i64,
        events: Range<i64>,
        order: EventOrder,
        each: &mut dyn FnMut(i64, Bytes) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.batches(seq, events, order, &mut |first, batch| {
            self.batches_read.fetch_add(1, Ordering::Relaxed);
            if let Some((reached, open)) = self.read_gate.lock().take() {
                let _ = reached.send(());
                let _ = open.recv();
            }
            each(first, batch)
        })
    }
    fn closed_before(&self, shard: u32, ns: &str, time: i64, n: usize) -> Result<Vec<i64>, StoreError> {
        self.store.closed_before(shard, ns, time, n)
    }
    fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.namespaces()
    }
    fn damaged_namespaces(&self) -> Result<Vec<DamagedNamespace>, StoreError> {
        self.store.damaged_namespaces()
    }
    fn in_place(&self) -> Result<(), StoreError> {
        self.store.in_place()
    }
    fn visibility(&self) -> &dyn Visibility {
        &*self.store
    }
    fn close(&self) {
        self.store.close();
    }
}
