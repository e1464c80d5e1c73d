//! Workers and client calls for processes without an SDK: `durably.core.v1` over a Unix socket or loopback TCP, as
//! HTTP/JSON and as gRPC. docs/sidecar.md is its manual.
//!
//! [`assignment`] decides who gets which task; it has no clock, socket or thread. [`queue`] drives one assignment and the core's
//! worker behind it; [`http`] and [`grpc`] are two faces of the same, served by [`sidecar`].

mod assignment;
mod config;
mod grpc;
mod http;
mod json;
mod nearest;
mod queue;
mod sidecar;

use std::{collections::BTreeMap, sync::Arc};

pub use config::{Config, ConfigError};
pub use sidecar::{Sidecar, StartError};

/// What both faces work with.
struct Shared {
    client: durably_core::Client,
    queues: BTreeMap<String, Arc<queue::Queue>>,
    body_bytes: usize,
}
