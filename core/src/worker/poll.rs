//! What workflow and activity pollers have in common: a slot first, then a long poll, again and again until shutdown.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;

use super::context::Context;
use crate::client::retry::RetryPolicy;

/// How long a server that ends polls at shutdown by itself may take to do so.
pub(super) const POLL_END_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Poller<'a> {
    context: &'a Context,
    path: &'static str,
    timeout: Duration,
    retry: RetryPolicy,
    /// The server answers open polls when it hears of the shutdown. Otherwise they are dropped, and a task that is on
    /// its way in that moment is lost until it times out.
    graceful: bool,
}

pub(crate) enum Outcome<T> {
    Task(T),
    Empty,
    Stop,
}

impl<'a> Poller<'a> {
    pub(crate) fn new(context: &'a Context, path: &'static str, timeout: Duration, graceful: bool) -> Self {
        Self { retry: context.client.retry_policy().for_long_polls(), context, path, timeout, graceful }
    }

    /// A free slot, or `None` at shutdown.
    pub(crate) async fn slot(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if self.context.is_stopping() {
            return None;
        }
        if let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
            return Some(permit);
        }
        self.until_stopped(Arc::clone(slots).acquire_owned()).await?.ok()
    }

    /// The result of `future`, or `None` if shutdown begins before it.
    pub(crate) async fn until_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.context.stopped() => None,
            output = future => Some(output),
        }
    }

    /// One long poll. Errors that pass are retried inside, for ever; one that doesn't pass stops the worker.
    pub(crate) async fn poll<Request, Response>(&self, request: &Request) -> Outcome<Response>
    where
        Request: prost::Message,
        Response: prost::Message + Default,
    {
        let poll =
            self.context.client.rpc::<_, Response>(self.path, request, self.timeout, Some(&self.retry));
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
            Ok(response) => Outcome::Task(response),
            Err(error) if error.code == Code::DeadlineExceeded as i32 => Outcome::Empty,
            Err(_) if self.context.is_stopping() => Outcome::Stop,
            Err(error) => {
                self.context.fail(error);
                Outcome::Stop
            }
        }
    }
}
