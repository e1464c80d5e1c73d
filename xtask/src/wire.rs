//! Raw calls against the real Temporal server: the tests of the server's behaviour that hold for both servers.

use crate::fetch;
use crate::shell::{self, Failure, Shell};
use crate::suites;
use crate::tally::{Count, count_cargo};

/// Sends the table of wrong requests to the real server, and compares activities' time-outs on both.
pub(crate) fn tests(shell: &Shell) -> Result<Count, Failure> {
    suites::build_workspace(shell)?;
    let server = fetch::temporal_server(shell)?;
    // The whole workspace is named, so that nothing is compiled a second time with other features.
    let mut tests = shell.cargo(["test", "--workspace", "--test", "behaviour", "--", "--ignored", "wire::"]);
    // One after the other: a real server that is kept busy answers too late to show which time-out came first.
    tests.arg("--test-threads=1");
    let done = shell::stream(tests.env("INSTA_UPDATE", "no").env("DURABLY_TEMPORAL_SERVER", server))?;
    Count::of_something(count_cargo(&done.stdout).and_exit(done.success))
}
