//! The deterministic half of a worker: history in, activations out; completions in, commands out.
//!
//! Nothing in here has a clock, a socket, a lock, a random number or a log: a [`Run`] is one cached workflow run, and
//! everything it does is decided by what it is fed. The driver (`crate::worker`) owns pollers, timers and the server.
//!
//! # How to drive a run
//! 1. [`WorkflowTask::decode`] turns a poll response into a typed task; [`Run::start`] (or [`Run::handle_task`] for a
//!    run in the cache) takes it.
//! 2. Every `handle_*` returns the [`Step`]s to carry out, in order. An empty list means: nothing to do now.
//!    - [`Step::Activate`]: hand it to the SDK; its completion comes back through [`Run::handle_completion`]. At most one
//!      activation is outstanding.
//!    - [`Step::NeedHistory`]: fetch that page, then [`Run::handle_history_page`].
//!    - [`Step::RespondCompleted`], [`Step::FailTask`], [`Step::AnswerQuery`]: send it to the server. The steps behind it
//!      need not wait for the server's answer, except that a refused [`Step::RespondCompleted`] is told to the run by
//!      [`Run::handle_evict`] with `CACHE_MISS`: the server then has another idea of the run than the cache.
//!    - [`Step::Replayed`]: the result of a [`Run::replay`].
//!    - [`Step::Evicted`]: drop the run. Always the last step, after the SDK has acknowledged the eviction.
//! 3. One task at a time: [`Run::is_busy`] says whether the run still works on one. A task that arrives meanwhile waits in the
//!    driver (the server sends at most one, and one legacy query beside it).
//! 4. [`Run::weight`] is what the run costs the cache, in bytes.

mod flags;
mod history;
mod initialize;
mod jobs;
mod machines;
mod messages;
mod mismatch;
mod policy;
mod problem;
mod replay;
mod run;
mod seed;
mod state;
mod step;
mod task;
mod timeline;

pub use messages::{Message, OutgoingMessage, UpdateRequest};
pub use policy::{NondeterminismPolicy, RunOptions};
pub use run::Run;
pub use step::{QueryReply, Step, TaskCompleted, TaskFailed};
pub use task::{HistoryPage, InvalidTask, Query, WorkflowTask};
