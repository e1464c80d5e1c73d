//! What the frontend calls: one async method per RPC, over all shards. Here are opening and closing, the way to a
//! shard, and calls about workflows; the files below have the rest by subject.

mod history;
mod polls;
mod queries;
mod task_queues;
mod time;
mod updates;
mod visibility;
mod workers;

pub use workers::ActivityTask;

use std::{
    sync::{Arc, Weak, atomic::AtomicU64},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use durably_proto::temporal::api::workflowservice::v1::*;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    clock::{Clock, ClockKind},
    courier::LocalCourier,
    delivery::Offer,
    driver::Shared,
    hosting,
    inbox::Inbox,
    lease::Tenure,
    placement::{MAX_SHARDS, shard_of},
    reply::{Reply, stopping},
    route::{self, Doors, Place, Route},
    runs::Target,
    start::{StartCall, Started},
    work::Work,
};
use crate::{
    Namespace,
    engine::{Input, Signal},
    error::{OpenError, ServiceError},
    matching::Matching,
    options::State,
    store::{DamagedNamespace, Holder, MemoryStore, SqliteStore, Store, StoreError},
};

/// Options of [`Executions::open`].
#[derive(Clone, Debug, Default)]
pub struct ExecutionsOptions {
    pub state: State,
    pub clock: ClockKind,
    /// Shards of a new store, 1 to 256; runs are spread over them by their workflow id. 0 means 1.
    pub shards: u32,
    /// Callers hear why what they wait for can't go on.
    pub fail_fast: bool,
}

/// What a poll knows about its caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct PollContext {
    /// When the caller gives up; the poll answers empty a little earlier. Never more than 60 s.
    pub deadline: Option<Instant>,
    /// The poller lives in this process: after a crash its tasks are known to be lost and are not waited for.
    pub in_process: bool,
}

/// Tells a read whether its caller waits for it still.
struct Wanted(Weak<()>);

impl Wanted {
    fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// All runs of one store. Cheap to clone.
#[derive(Clone)]
pub struct Executions {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<Clock>,
    matching: Matching<Offer>,
    /// Numbers polls.
    polls: AtomicU64,
    closing: tokio::sync::watch::Sender<bool>,
    /// Why a shard has given up.
    failed: tokio::sync::watch::Sender<Option<String>>,
    displaced: Arc<Notify>,
    shards: Vec<Arc<Inbox>>,
    pub route: Arc<dyn Route>,
    is_shared: bool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Executions {
    /// Opens the store (migrating its schema), takes the lease, and resumes what is due. Needs a tokio runtime.
    pub async fn open(options: ExecutionsOptions) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::current();
        let open = move || Self::open_blocking(&options, &runtime);
        tokio::task::spawn_blocking(open).await.map_err(|error| OpenError::Store {
            path: "(state)".into(),
            detail: format!("opening it panicked: {error}"),
        })?
    }

    fn open_blocking(
        options: &ExecutionsOptions,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, OpenError> {
        let (path, store): (_, Arc<dyn Store>) = match &options.state {
            State::Memory => ("memory".into(), Arc::new(MemoryStore::default())),
            State::File(path) => (path.clone(), Arc::new(SqliteStore::open(path)?)),
        };
        let clock = Arc::new(Clock::new(options.clock));
        Self::holding(store, clock, runtime, options.shards, Tenure::sole(), options.fail_fast)
            .map_err(|error| OpenError::Store { path, detail: error.to_string() })
    }

    /// [`Executions::open`] over a store that other processes have at the same time: takes the shards that are free, and
    /// leaves the others to whoever holds them. A lease lasts for `term` from its last renewal.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "no store that several processes can share is offered yet")
    )]
    pub async fn join(
        store: Arc<dyn Store>,
        holder: Holder,
        term: Duration,
        shards: u32,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Handle::current();
        let term = i64::try_from(term.as_nanos()).unwrap_or(i64::MAX);
        let tenure = Tenure::Shared { holder, term };
        let clock = Arc::new(Clock::new(ClockKind::System));
        let open = move || Self::holding(store, clock, &runtime, shards, tenure, false);
        let opened = tokio::task::spawn_blocking(open).await;
        opened.unwrap_or_else(|error| Err(StoreError::Failed(format!("opening it panicked: {error}"))))
    }

    /// [`Executions::open`] over a given store.
    #[cfg(test)]
    pub(super) fn over(
        store: Arc<dyn Store>,
        clock: ClockKind,
        runtime: &tokio::runtime::Handle,
        shards: u32,
    ) -> Result<Self, StoreError> {
        Self::holding(store, Arc::new(Clock::new(clock)), runtime, shards, Tenure::sole(), false)
    }

    /// [`Executions::open`] over a store that other processes may have too.
    pub(super) fn holding(
        store: Arc<dyn Store>,
        clock: Arc<Clock>,
        runtime: &tokio::runtime::Handle,
        shards: u32,
        tenure: Tenure,
        fail_fast: bool,
    ) -> Result<Self, StoreError> {
        // A virtual clock must see all that is under way before it skips.
        let of_new = if clock.is_virtual() { 1 } else { shards.clamp(1, MAX_SHARDS as u32) };
        let count = store.shards(of_new)?;
        let matching = Matching::default();
        let (closing, _) = tokio::sync::watch::channel(false);
        let (failed, _) = tokio::sync::watch::channel(None);
        let _in_runtime = runtime.enter();
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        let inboxes: Vec<Arc<Inbox>> = (0..count).map(|_| Arc::default()).collect();
        let route: Arc<dyn Route> = Arc::new(Doors::new(clock.clone(), &inboxes));
        let courier = Arc::new(LocalCourier { shards: count, route: route.clone() });
        let is_shared = tenure.is_shared();
        let mut common =
            Shared::new(store.clone(), clock.clone(), matching.clone(), courier, route.clone(), tenure);
        let displaced = common.displaced.clone();
        common.fail_fast = fail_fast;
        for (index, inbox) in (0..).zip(inboxes) {
            let opened = hosting::open(index, &inbox, &common)?;
            let (runtime, failed, common) = (runtime.clone(), failed.clone(), common.clone());
            shards.push(inbox.clone());
            let thread = std::thread::Builder::new()
                .name(format!("durably-shard-{index}"))
                .spawn(move || {
                    let _in_runtime = runtime.enter();
                    hosting::serve(index, &inbox, &common, opened, &failed);
                })
                .map_err(|error| StoreError::Failed(format!("no thread for the shard: {error}")))?;
            threads.push(thread);
        }
        let inner = Inner {
            store,
            clock,
            matching,
            polls: AtomicU64::new(1),
            closing,
            failed,
            displaced,
            shards,
            route,
            is_shared,
            threads: Mutex::new(threads),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Answers waiting polls empty, commits what is under way and releases the store.
    pub async fn shutdown(&self) {
        self.inner.closing.send_replace(true);
        for shard in &self.inner.shards {
            shard.close();
        }
        let threads = std::mem::take(&mut *self.inner.threads.lock());
        let joined =
            tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
        if !joined.await.unwrap_or(false) {
            tracing::error!("a shard ended with a panic; its last changes may not be stored");
        }
        // Reads end with it too: whoever has the state next finds one file, and nobody else in it.
        let store = self.inner.store.clone();
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }

    /// Whether the server does what it is there for; else why not.
    pub async fn check(&self) -> Result<(), String> {
        if let Some(problem) = &*self.inner.failed.borrow() {
            return Err(format!("the server has failed: {problem}; restart it"));
        }
        self.read(|store| store.in_place()).await.map_err(|error| error.to_string())
    }

    /// Turns to the reason when a shard has given up: its runs are not served until the server is restarted.
    pub fn failed(&self) -> tokio::sync::watch::Receiver<Option<String>> {
        self.inner.failed.subscribe()
    }

    /// Notifies when a commit finds that the state file is no longer where it was opened.
    pub fn displaced(&self) -> Arc<Notify> {
        self.inner.displaced.clone()
    }

    pub(super) fn shard_index(&self, workflow_id: &str) -> u32 {
        shard_of(workflow_id, self.inner.shards.len() as u32)
    }

    /// Asks something of a shard and waits for its answer, which comes when its changes are durable.
    pub(super) async fn call<T>(
        &self,
        shard: u32,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<T, ServiceError> {
        let Place::Local(inbox) = self.inner.route.place(shard) else {
            return Err(route::refusal(&*self.inner.route, shard));
        };
        let (reply, answer) = Reply::new();
        inbox.send(work(reply));
        answer.await.unwrap_or_else(|_| Err(self.no_answer(shard)))
    }

    /// [`Executions::call`] about a run, of the shard that has it.
    async fn ask<T>(
        &self,
        target: Target,
        work: impl FnOnce(Target, Reply<T>) -> Work,
    ) -> Result<T, ServiceError> {
        let shard = self.shard_index(&target.workflow_id);
        self.call(shard, |reply| work(target, reply)).await
    }

    /// Whether other processes may have shards of this store.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.is_shared
    }

    /// The process with this address did not answer, or not for its shards.
    pub(crate) fn doubt(&self, address: &str) {
        self.inner.route.doubt(address);
    }

    /// Why the shard dropped a call.
    fn no_answer(&self, shard: u32) -> ServiceError {
        if *self.inner.closing.borrow() {
            return stopping();
        }
        match &*self.inner.failed.borrow() {
            Some(problem) => {
                ServiceError::unavailable(format!("the server has failed: {problem}; restart it"))
            }
            None if self.inner.is_shared => route::refusal(&*self.inner.route, shard),
            None => ServiceError::unavailable("the call was lost to an internal error; its run is set aside"),
        }
    }

    fn send(&self, shard: u32, work: Work) {
        if let Some(inbox) = self.inner.shards.get(shard as usize) {
            inbox.send(work);
        }
    }

    fn inbox(&self, shard: u32) -> Arc<Inbox> {
        self.inner.shards[shard as usize].clone()
    }

    /// Runs a read of the store where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        self.read_while_wanted(move |store, _| read(store).map_err(ServiceError::from)).await
    }

    /// [`Executions::read`] for one that takes long: it is told whether anybody waits for it still. One whose turn comes
    /// after its caller has gone is left out.
    async fn read_while_wanted<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store, &Wanted) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let store = self.inner.store.clone();
        let caller = Arc::new(());
        let wanted = Wanted(Arc::downgrade(&caller));
        let done = tokio::task::spawn_blocking(move || {
            if wanted.is_over() { Err(StoreError::Closed.into()) } else { read(&*store, &wanted) }
        })
        .await;
        drop(caller);
        done.unwrap_or_else(|error| {
            Err(ServiceError::internal(format!("reading the store panicked: {error}")))
        })
    }

    /// Finds the run and gives it an input.
    async fn input(&self, target: Target, input: Input) -> Result<crate::engine::Output, ServiceError> {
        let (_, output) = self.ask(target, |target, reply| Work::Input { target, input, reply }).await?;
        Ok(output)
    }

    /// Stored namespaces: id and what [`Namespace::encode`] made.
    pub async fn namespaces(&self) -> Result<Vec<(String, Vec<u8>)>, ServiceError> {
        self.read(|store| store.namespaces()).await
    }

    /// Stored namespaces that are not what was written.
    pub async fn damaged_namespaces(&self) -> Result<Vec<DamagedNamespace>, ServiceError> {
        self.read(|store| store.damaged_namespaces()).await
    }

    /// Inserts or replaces a namespace; durable on return.
    pub async fn put_namespace(&self, id: &str, encoded: Vec<u8>) -> Result<(), ServiceError> {
        let id = id.to_owned();
        self.call(0, |reply| Work::PutNamespace { id, encoded, reply }).await
    }

    pub async fn start_workflow(
        &self,
        namespace: &Namespace,
        request: StartWorkflowExecutionRequest,
        in_process: bool,
    ) -> Result<StartWorkflowExecutionResponse, ServiceError> {
        let started = self.start(namespace, StartCall { request, signal: None, in_process }).await?;
        Ok(StartWorkflowExecutionResponse {
            run_id: started.run_id,
            first_execution_run_id: started.first_execution_run_id,
            started: started.is_new,
            status: started.status as i32,
            // A new run's history is all in memory: nothing is missing from the grant.
            eager_workflow_task: started.eager.map(|grant| grant.response),
            link: None,
        })
    }

    pub async fn signal_with_start(
        &self,
        namespace: &Namespace,
        request: SignalWithStartWorkflowExecutionRequest,
    ) -> Result<SignalWithStartWorkflowExecutionResponse, ServiceError> {
        let started = self.start(namespace, StartCall::from_signal_with_start(request)).await?;
        Ok(SignalWithStartWorkflowExecutionResponse {
            run_id: started.run_id,
            first_execution_run_id: started.first_execution_run_id,
            started: started.is_new,
            signal_link: None,
        })
    }

    async fn start(&self, namespace: &Namespace, call: StartCall) -> Result<Started, ServiceError> {
        let shard = self.shard_index(&call.request.workflow_id);
        let (namespace_id, call) = (namespace.id.as_str().into(), Box::new(call));
        self.call(shard, |reply| Work::Start { namespace_id, call, reply }).await
    }

    pub async fn signal(
        &self,
        namespace: &Namespace,
        request: SignalWorkflowExecutionRequest,
    ) -> Result<SignalWorkflowExecutionResponse, ServiceError> {
        let target = Target::new(&namespace.id, request.workflow_execution.as_ref());
        let signal = Signal {
            name: request.signal_name,
            input: request.input,
            identity: request.identity,
            header: request.header,
            request_id: request.request_id,
            links: request.links,
        };
        self.input(target, Input::Signal(signal)).await?;
        Ok(SignalWorkflowExecutionResponse::default())
    }

    pub async fn request_cancel(
        &self,
        namespace: &Namespace,
        request: RequestCancelWorkflowExecutionRequest,
    ) -> Result<RequestCancelWorkflowExecutionResponse, ServiceError> {
        let target = Target::new(&namespace.id, request.workflow_execution.as_ref());
        let first_run_id = request.first_execution_run_id;
        let input = Input::RequestCancel {
            reason: request.reason,
            identity: request.identity,
            request_id: request.request_id,
            links: request.links,
        };
        self.ask(target, |target, reply| Work::RequestCancel { target, first_run_id, input, reply }).await?;
        Ok(RequestCancelWorkflowExecutionResponse::default())
    }

    pub async fn terminate(
        &self,
        namespace: &Namespace,
        request: TerminateWorkflowExecutionRequest,
    ) -> Result<TerminateWorkflowExecutionResponse, ServiceError> {
        let target = Target::new(&namespace.id, request.workflow_execution.as_ref());
        let first_run_id = request.first_execution_run_id;
        let input = Input::Terminate {
            reason: request.reason,
            details: request.details,
            identity: request.identity,
            links: request.links,
        };
        self.ask(target, |target, reply| Work::Terminate { target, first_run_id, input, reply }).await?;
        Ok(TerminateWorkflowExecutionResponse::default())
    }

    pub async fn describe(
        &self,
        namespace: &Namespace,
        request: DescribeWorkflowExecutionRequest,
    ) -> Result<DescribeWorkflowExecutionResponse, ServiceError> {
        let target = Target::new(&namespace.id, request.execution.as_ref());
        self.ask(target, |target, reply| Work::Describe { target, reply }).await
    }
}
