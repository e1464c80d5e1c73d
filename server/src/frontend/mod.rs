//! The gRPC face: checks requests, resolves namespaces, fills in defaults, and hands on to [`Executions`].
//!
//! An RPC is a line of the table in `service.rs`, a handler in the file of its capability, and a method of
//! [`Executions`]. Nothing here knows how a workflow advances or how state is stored.

#![expect(
    clippy::unused_async,
    reason = "the table in service.rs awaits every handler, those that need no store too"
)]

mod activity_tasks;
mod filter;
mod health;
mod in_process;
mod namespaces;
mod service;
mod system;
mod task_queues;
mod testing;
mod tokens;
mod updates;
mod validate;
mod visibility;
mod workflow_tasks;
mod workflows;

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use tonic::{Request, Status};

use crate::{
    error::{ErrorKind, ServiceError, panic_message},
    options::ServerOptions,
    peer::Peer,
    shard::{Executions, PollContext},
};

pub use in_process::AnswerMessage;
use namespaces::Namespaces;
pub use service::Service;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Frontend {
    shared: Arc<Shared>,
}

struct Shared {
    executions: Executions,
    namespaces: Namespaces,
    options: ServerOptions,
    stopping: AtomicBool,
}

impl Frontend {
    /// Loads the namespaces and registers those of the options that are missing.
    pub(crate) async fn open(executions: Executions, options: ServerOptions) -> Result<Self, ServiceError> {
        let namespaces = Namespaces::load(&executions).await?;
        namespaces.ensure(&executions, &options).await?;
        let shared = Shared { executions, namespaces, options, stopping: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Refuses new calls from here on.
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
    }

    fn executions(&self) -> &Executions {
        &self.shared.executions
    }

    fn accept(&self, caller: Caller) -> Result<Caller, ServiceError> {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(ServiceError::unavailable("the server is stopping; call again, it may be back soon"));
        }
        Ok(caller)
    }
}

/// Bugs and storage trouble are for whoever runs the server; what a client did wrong is told to the client.
fn log(rpc: &str, error: &ServiceError) {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::DataLoss => tracing::error!(rpc, %error, "call failed"),
        ErrorKind::Panicked { said } => tracing::error!(rpc, said, "the call panicked"),
        ErrorKind::Elsewhere { .. } => tracing::debug!(rpc, %error, "the run is another server's"),
        ErrorKind::Unavailable => tracing::warn!(rpc, %error, "call failed"),
        _ => tracing::debug!(rpc, %error, "call refused"),
    }
}

/// The status for a call that failed, which is logged.
fn refused(rpc: &str, error: ServiceError) -> Status {
    log(rpc, &error);
    error.into()
}

/// What is known of a call besides its message.
#[derive(Clone, Copy, Debug)]
struct Caller {
    /// When the caller gives up, from the header `grpc-timeout`.
    deadline: Option<Instant>,
    /// The call came over no socket.
    in_process: bool,
}

/// A poll with less time than this would mostly cost tasks that arrive when nobody waits for them any more.
const SHORTEST_POLL: Duration = Duration::from_secs(2);

impl Caller {
    fn of<T>(request: &Request<T>) -> Self {
        let timeout =
            request.metadata().get("grpc-timeout").and_then(|value| parse_timeout(value.as_bytes()));
        let extensions = request.extensions();
        Self {
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            in_process: extensions.get::<Arc<Peer>>().is_none(),
        }
    }

    /// Ends a call from this process at its deadline; on a socket, the HTTP/2 layer does it. A call that panics is answered:
    /// its caller would only see a broken stream, or in this process panic as well.
    async fn bounded<T>(
        self,
        call: impl Future<Output = Result<T, ServiceError>> + Send,
    ) -> Result<T, ServiceError> {
        // Handlers share values that are whole between any two statements, and locks that no panic poisons.
        let call = AssertUnwindSafe(call).catch_unwind();
        let call = call.map(|ended| ended.unwrap_or_else(|panic| Err(panicked(&*panic))));
        match self.deadline {
            Some(deadline) if self.in_process => {
                tokio::time::timeout_at(deadline.into(), call).await.unwrap_or_else(|_| {
                    let message = "there was no answer before the call's deadline; allow it more time";
                    Err(ServiceError::new(ErrorKind::DeadlineExceeded, message))
                })
            }
            _ => call.await,
        }
    }

    fn poll_context(&self) -> Result<PollContext, ServiceError> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match left {
            Some(left) if left < SHORTEST_POLL => Err(ServiceError::failed_precondition(format!(
                "the poll's deadline is {left:?} away; give a poll at least {SHORTEST_POLL:?}, \
                 usually 70 seconds"
            ))),
            _ => Ok(PollContext { deadline: self.deadline, in_process: self.in_process }),
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> ServiceError {
    let kind = ErrorKind::Panicked { said: panic_message(panic) };
    ServiceError::new(
        kind,
        "the server has failed at this call, by a mistake of its own that its log tells of",
    )
}

/// gRPC's header `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3_600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn broken() -> Result<(), ServiceError> {
        panic!("the secret is out of range")
    }

    #[tokio::test]
    async fn a_call_that_panics_is_answered() {
        for in_process in [true, false] {
            for deadline in [None, Some(Instant::now() + Duration::from_mins(1))] {
                let error = Caller { deadline, in_process }.bounded(broken()).await.unwrap_err();
                let status = refused("broken", error);
                assert_eq!(status.code(), tonic::Code::Internal);
                assert!(!status.message().contains("secret"), "{status}");
            }
        }
    }

    #[test]
    fn timeouts() {
        for (value, expected) in [
            ("70S", Some(Duration::from_secs(70))),
            ("1500m", Some(Duration::from_millis(1500))),
            ("2H", Some(Duration::from_hours(2))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("5x", None),
            ("-5S", None),
        ] {
            assert_eq!(parse_timeout(value.as_bytes()), expected, "{value}");
        }
    }
}
