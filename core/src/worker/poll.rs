//! Polling, whatever is polled for: a slot first, then leave to poll, then a long poll, again and again until shutdown.

use std::{future::Future, sync::Arc, time::Duration};

use durably_proto::temporal::api::workflowservice::v1::{GetSystemInfoRequest, GetSystemInfoResponse};
use tokio::task::JoinSet;
use tonic::Code;

use super::{
    context::Context,
    slots::{Slot, Slots},
};
use crate::CallError;
use crate::client::retry::{Backoff, RetryPolicy};
use crate::client::{CALL_TIMEOUT, LONG_POLL_TIMEOUT, methods};

/// How long a server that ends polls at shutdown by itself may take to do so.
pub(super) const POLL_END_TIMEOUT: Duration = Duration::from_secs(5);

/// Something to poll.
pub(crate) trait Source: Send + Sync + 'static {
    /// The RPC.
    const PATH: &'static str;
    type Request: prost::Message + Send + Sync;
    type Response: prost::Message + prost::Name + Default + 'static;

    fn request(&self) -> Self::Request;

    fn slots(&self) -> &Slots;

    /// Returns when one more poll is called for.
    fn leave_to_poll(&self) -> impl Future<Output = ()> + Send;

    /// Such a poll is over: what it brought, which may be empty, for the slot that was reserved for it. `None` if there
    /// was no answer.
    fn handle(self: &Arc<Self>, response: Option<Self::Response>, slot: Slot);
}

/// The polls of one worker.
pub(crate) struct PollerPool {
    context: Arc<Context>,
    /// The server answers open polls when it hears of the shutdown. Otherwise they are dropped, and a task that is on
    /// its way in that moment is lost until it times out.
    graceful: bool,
    pollers: JoinSet<()>,
}

struct Poller {
    context: Arc<Context>,
    /// Goes on for ever.
    retry: RetryPolicy,
    /// Goes on while the server is there.
    reached: RetryPolicy,
    graceful: bool,
}

enum Outcome<T> {
    Answer(T),
    Empty,
    /// There was none: the server can't be reached, or is not ready.
    Away(CallError),
    Stop,
}

impl PollerPool {
    pub(crate) fn new(context: Arc<Context>, graceful: bool) -> Self {
        Self { context, graceful, pollers: JoinSet::new() }
    }

    /// Keeps up to `count` polls of a source open, until shutdown.
    pub(crate) fn poll<S: Source>(&mut self, source: &Arc<S>, count: usize) {
        for _ in 0..count {
            let poller = Poller {
                retry: self.context.client.retry_policy().for_long_polls(),
                reached: self.context.client.retry_policy().for_long_polls().while_reached(),
                context: Arc::clone(&self.context),
                graceful: self.graceful,
            };
            let source = Arc::clone(source);
            self.pollers.spawn(async move { poller.run(&source).await });
        }
    }

    /// Returns when no poll is open any more.
    pub(crate) async fn ended(mut self) {
        while self.pollers.join_next().await.is_some() {}
    }
}

impl Poller {
    async fn run<S: Source>(&self, source: &Arc<S>) {
        let request = source.request();
        while let Some(slot) = self.slot(source.slots()).await {
            if self.until_stopped(source.leave_to_poll()).await.is_none() {
                return;
            }
            match self.poll(S::PATH, &request).await {
                Outcome::Answer(response) => source.handle(Some(response), slot),
                Outcome::Empty => source.handle(None, slot),
                Outcome::Away(_) | Outcome::Stop => return source.handle(None, slot),
            }
        }
    }

    /// A free slot, or `None` at shutdown.
    async fn slot(&self, slots: &Slots) -> Option<Slot> {
        if self.context.is_stopping() {
            return None;
        }
        match slots.try_reserve() {
            Some(slot) => Some(slot),
            None => self.until_stopped(slots.reserve()).await,
        }
    }

    /// The result of `future`, or `None` if shutdown begins before it.
    async fn until_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.context.stopped() => None,
            output = future => Some(output),
        }
    }

    /// What a long poll brings. Errors that pass are retried inside, for ever; one that doesn't pass stops the worker.
    async fn poll<Request, Response>(&self, path: &'static str, request: &Request) -> Outcome<Response>
    where
        Request: prost::Message,
        Response: prost::Message + prost::Name + Default + 'static,
    {
        let mut backoff = Backoff::default();
        loop {
            let outcome = self.poll_once(path, request).await;
            let Outcome::Away(error) = outcome else { return outcome };
            if self.until_stopped(self.until_back(error, &mut backoff)).await.is_none() {
                return Outcome::Stop;
            }
        }
    }

    /// Returns when it makes sense to poll again, and tells the SDK if the server was away. A poll that is open says for a
    /// minute nothing of whether it is there, so a short call is made instead.
    async fn until_back(&self, error: CallError, backoff: &mut Backoff) {
        let client = &self.context.client;
        let probe = async |retry| {
            client
                .rpc::<_, GetSystemInfoResponse>(
                    methods::GET_SYSTEM_INFO,
                    &GetSystemInfoRequest {},
                    CALL_TIMEOUT,
                    retry,
                )
                .await
        };
        let is_away = |probed: &Result<GetSystemInfoResponse, CallError>| {
            probed.as_ref().is_err_and(|error| error.code == Code::Unavailable as i32)
        };
        if is_away(&probe(None).await) {
            self.context.tell_connectivity(Some(error));
            while is_away(&probe(Some(&self.retry)).await) {}
            self.context.tell_connectivity(None);
            return;
        }
        // It is there, and refuses the poll all the same: for a while, it says.
        let said = (Code::Unavailable, error.message.as_str());
        if let Some(wait) = backoff.next(&self.retry, said, Duration::ZERO, rand::random()) {
            tokio::time::sleep(wait).await;
        }
    }

    async fn poll_once<Request, Response>(&self, path: &'static str, request: &Request) -> Outcome<Response>
    where
        Request: prost::Message,
        Response: prost::Message + prost::Name + Default + 'static,
    {
        let poll =
            self.context.client.rpc::<_, Response>(path, request, LONG_POLL_TIMEOUT, Some(&self.reached));
        let mut poll = std::pin::pin!(poll);
        let answer = tokio::select! {
            biased;
            answer = &mut poll => answer,
            () = self.context.stopped() => {
                if !self.graceful {
                    return Outcome::Stop;
                }
                match tokio::time::timeout(POLL_END_TIMEOUT, poll).await {
                    Ok(answer) => answer,
                    Err(_) => return Outcome::Stop,
                }
            }
        };
        match answer {
            Ok(response) => Outcome::Answer(response),
            Err(error) if error.code == Code::DeadlineExceeded as i32 => Outcome::Empty,
            Err(_) if self.context.is_stopping() => Outcome::Stop,
            Err(error) if error.code == Code::Unavailable as i32 => Outcome::Away(error),
            Err(error) => {
                self.context.fail(error);
                Outcome::Stop
            }
        }
    }
}
