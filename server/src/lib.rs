//! The server: Temporal's `WorkflowService` and `OperatorService` on one state, used over sockets or in-process.
//!
//! [`Server::open`] opens a state (memory, or a SQLite file that this process then owns), [`Server::service`] answers
//! calls without a socket, [`Server::serve`] answers them on one. [`open_or_join`] reaches a state file whoever owns
//! it. From the outside in: `transport` (sockets), `frontend` (RPCs: checks, defaults, errors), `shard` (drivers,
//! group commit, timers), `engine` (one run as a pure machine), `matching` (tasks to pollers), `store`.

pub mod engine;
pub mod error;
pub mod frontend;
pub mod listener;
pub mod matching;
pub mod namespace;
pub mod options;
mod owner;
pub mod peer;
mod server;
pub mod shard;
pub mod store;
mod transport;

/// What names of task queues begin with that no user may choose.
const RESERVED_QUEUES: &str = "/_sys/";

pub use error::{OpenError, ServiceError};
pub use frontend::Service;
pub use namespace::Namespace;
pub use options::{ServerOptions, State};
pub use server::{Handle, Joined, Server, open_or_join};
