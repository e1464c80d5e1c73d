//! The way back to a caller.

use std::fmt;

use tokio::sync::oneshot;

use crate::ServiceError;

/// Where a caller waits for its answer. Dropped without one, the caller learns that its call was lost.
pub(super) struct Reply<T>(oneshot::Sender<Result<T, ServiceError>>);

/// The caller's end of a [`Reply`].
pub(super) type Answer<T> = oneshot::Receiver<Result<T, ServiceError>>;

impl<T> Reply<T> {
    pub(super) fn new() -> (Self, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// False when the caller is gone. Then, most often, nobody needs the answer.
    pub(super) fn send(self, result: Result<T, ServiceError>) -> bool {
        self.0.send(result).is_ok()
    }

    /// The caller is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_closed() { "Reply(nobody)" } else { "Reply" })
    }
}

/// What callers hear of a shard that works no more.
pub(super) fn stopping() -> ServiceError {
    ServiceError::unavailable("the server is stopping")
}
