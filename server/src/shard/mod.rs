//! Drives the engine: one writer per shard, group commit, timers, and [`Executions`], what the frontend calls.
//!
//! A shard is a thread that owns its runs. How a request walks through these files:
//!
//! 1. `executions` (what the frontend calls, one method per RPC) finds the shard by the workflow id (`placement`), makes
//!    a value of the request (`work`) and puts it with its `reply` into the shard's `inbox`.
//! 2. `driver`, the shard's thread, takes everything that waits and hands each to `driver/handle`, one `match`.
//! 3. The run is found in `runs`, or read from the store, and gets the input; the engine decides. What follows is noted in
//!    the `batch` (changes to store, answers, tasks, messages to other runs), in `timers` (when the run, or anything else,
//!    is due) and in `waiters` (who hears of it: long polls, queries).
//! 4. Due timers are fired the same way. Tasks for which pollers wait are started at once, in the same batch.
//! 5. One commit stores the batch. Only then answers leave, waiters are woken, messages go out as `letters` (`courier`),
//!    and `tasks` are offered to queues; whoever polls them gets a started one as a `delivery`, or it comes back.
//!
//! Reads that need the disk alone (lists, old history) do not pass through the shard. The values (`runs`, `timers`, `batch`,
//! `waiters`, `set_aside` and what they are made of) know nothing of the shard: `driver` puts them together, and `hosting` opens it.

mod batch;
mod clock;
mod courier;
mod delivery;
mod driver;
mod events;
mod executions;
mod hosting;
mod inbox;
mod info;
mod lease;
mod letters;
mod placement;
mod reply;
mod route;
mod runs;
mod set_aside;
mod start;
mod suspects;
mod tasks;
#[cfg(test)]
mod tests;
mod timers;
mod waiters;
mod work;

pub use clock::ClockKind;
pub use executions::{ActivityTask, Executions, ExecutionsOptions, PollContext};
