//! What happens where a worker and its client meet the world, in one place: calls, slots, the cache, answers.
//!
//! Whoever wants to count or measure these does it here; the code that reports them doesn't know what for. Today they are
//! traced, under the target `durably_core::observer`.

use std::time::Duration;

use durably_proto::durably::core::v1::evict::Reason;
use tonic::Code;

/// Kinds of tasks, each with slots of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskKind {
    Workflow,
    Activity,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen<'a> {
    /// One attempt of a call has ended. Retries are attempts of their own.
    Call {
        path: &'a str,
        code: Code,
        took: Duration,
    },
    /// A task has come to a slot that was reserved for one.
    SlotUsed(TaskKind),
    /// The slot of a task is free again: the server has the answer, or never will.
    SlotFree(TaskKind),
    /// A run is in the cache from now on.
    RunCached,
    RunEvicted(Reason),
    /// The server was told what came of a task.
    Answered {
        kind: TaskKind,
        is_taken: bool,
    },
}

/// One for all workers of a connection.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    /// What a test looks at.
    #[cfg(test)]
    seen: parking_lot::Mutex<Vec<String>>,
}

impl Observer {
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "what counts will be kept here"))]
    pub(crate) fn see(&self, what: &Seen<'_>) {
        tracing::trace!(?what);
        #[cfg(test)]
        self.seen.lock().push(format!("{what:?}"));
    }

    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock())
    }
}
