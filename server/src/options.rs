//! What a server is opened with.

use std::{path::PathBuf, time::Duration};

/// Where the state lives.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum State {
    /// In memory: gone when the server stops.
    #[default]
    Memory,
    /// A SQLite file, created when missing. Its directory must exist.
    File(PathBuf),
}

/// Options of [`Server::open`](crate::Server::open). Start from `ServerOptions::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    pub state: State,
    /// Namespaces that exist from the start; registered when missing. Default: `default`.
    pub namespaces: Vec<String>,
    /// How long closed runs of newly registered namespaces stay readable. Default: 72 hours.
    pub retention: Duration,
    /// Runs on a virtual clock that skips to the next timer when no workflow or activity task is under way, and
    /// answers `temporal.api.testservice.v1.TestService`.
    pub time_skipping: bool,
    /// For tests: callers that wait for a workflow's end or for a query's answer hear why it can't go on as soon as that
    /// is known, with FAILED_PRECONDITION (decision 090). The runs go on as without it. Default: false.
    pub fail_fast: bool,
    /// How many writers share a new state, 1 to 256; an existing state keeps its number. One is best for a file.
    /// With time skipping there is always one. Default: 1.
    pub shards: u32,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            state: State::Memory,
            namespaces: vec!["default".to_owned()],
            retention: Duration::from_hours(72),
            time_skipping: false,
            fail_fast: false,
            shards: 1,
        }
    }
}
