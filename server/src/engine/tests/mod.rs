//! Tests of the machines: exhaustive tables (state × input) and golden transcripts. Their snapshots are the diagrams.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test -p durably-server engine::`, then read the diff.

mod brief;
mod commands;
mod family;
mod rows;
mod script;
mod stored;
mod tables;
mod transcripts;
mod two_runs;
mod updates;
