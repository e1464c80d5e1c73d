//! The worker core: everything between a language's SDK and a server that need not be written per language.
//!
//! - [`Client`] is a connection to a server, remote or embedded in this process, with retries, deadlines and metadata.
//! - [`Worker`] polls task queues, drives workflow machines and activity tasks, and tells the SDK what to do through
//!   [`WorkerEvent`](durably_proto::durably::core::v1::WorkerEvent)s.
//! - [`port`] is the same for bridges that carry encoded messages.
//!
//! All speak `durably.core.v1` to the SDK and Temporal's public API to the server, and nothing else.

mod activity;
pub mod client;
mod convert;
pub mod mailbox;
mod observer;
pub mod port;
pub mod transport;
pub mod worker;
pub mod workflow;

pub use client::Client;
pub use durably_proto::durably::core::v1::CallError;
pub use worker::{EventSink, Worker};
