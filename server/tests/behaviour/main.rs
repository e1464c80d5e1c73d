//! What a client and a worker see of the server: real calls over a real socket to a server on a real SQLite file.
//!
//! The worker is played by hand, one call at a time, so that each test shows what is on the wire. Nothing sleeps:
//! tests await the call or the history event that they are about.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![allow(unreachable_pub, reason = "one binary, not a library")]
#![allow(clippy::unnecessary_wraps, reason = "fields of messages are options")]

mod activities;
mod backup;
mod bounds;
mod children;
mod codes;
mod damage;
mod depth;
mod history;
mod ids;
mod raw;
mod refusals;
mod rpcs;
mod sharing;
mod states;
mod support;
mod task_queues;
mod texts;
mod tokens;
mod updates;
mod visibility;
mod wire;
mod workers;
mod workflows;
