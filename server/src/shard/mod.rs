//! Drives the engine: one writer per shard, group commit, timers, and [`Executions`], what the frontend calls.
//!
//! A shard is a thread that owns its runs. Work reaches it through its `inbox`; each round it applies everything that
//! waits, stores all changes with one commit, and then lets answers and tasks out. Reads that need the disk alone
//! (lists, old history) do not pass through the shard.

mod backlog;
mod clock;
mod courier;
mod driver;
mod executions;
mod history;
mod inbox;
mod polls;
mod queries;
mod runs;
mod set_aside;
mod start;
mod tasks;
#[cfg(test)]
mod tests;
mod visibility;
mod watch;
mod workers;

pub use executions::{ClockKind, Executions, ExecutionsOptions, PollContext};
pub use workers::ActivityTask;
