//! The server: Temporal's `WorkflowService` and `OperatorService` on one state, used over sockets or in-process.
//!
//! [`Server::open`] opens a state (memory, or a SQLite file that this process then owns), [`Server::service`] answers
//! calls without a socket, [`Server::serve`] answers them on one. [`open_or_join`] reaches a state file whoever owns
//! it, and [`back_up`] copies one. From the outside in: `transport` (sockets), `frontend` (RPCs: checks, defaults, errors), `shard` (drivers,
//! group commit, timers), `engine` (one run as a pure machine), `matching` (tasks to pollers), `store`.

#![expect(
    unreachable_pub,
    reason = "`pub` in a module that is private here means: for the rest of this crate"
)]

mod engine;
mod error;
mod forward;
mod frontend;
pub mod listener;
mod matching;
mod namespace;
mod options;
mod owner;
mod page_token;
pub mod peer;
mod server;
mod shard;
mod store;
mod transport;

/// What names of task queues begin with that no user may choose.
const RESERVED_QUEUES: &str = "/_sys/";

pub use error::OpenError;
pub use frontend::{AnswerMessage, Service};
pub use options::{ServerOptions, State};
pub use server::{Handle, Joined, Server, open_or_join};
pub use store::back_up;

use error::ServiceError;
use namespace::Namespace;
