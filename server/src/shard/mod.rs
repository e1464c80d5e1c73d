//! Drives the engine: one writer per shard, group commit, timers, and [`Executions`], what the frontend calls.

mod executions;

pub use executions::{ClockKind, Executions, ExecutionsOptions, PollContext};
