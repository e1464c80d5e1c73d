//! The sidecar's part of `cargo xtask bench`: how long an activity takes through it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::servers::Running;
use crate::shell::{self, Failure, Shell};
use crate::suites;

const ACTIVITIES: &str = "500";

/// Runs `sidecar/examples/round_trip.rs` against a sidecar on an embedded state file in `folder`.
pub(crate) fn round_trip(shell: &Shell, folder: &Path) -> Result<Value, Failure> {
    suites::build_release(shell)?;
    let release = shell.target().join("release");
    let config = "[connect]\ntarget = \"embedded:sidecar.db\"\n[listen]\nunix = \"s.sock\"\n\
                  [[worker]]\ntask_queue = \"bench\"\n";
    fs::write(folder.join("sidecar.toml"), config)?;
    let _sidecar = Running::sidecar(&release.join("durably"), folder)?;
    let mut client = Command::new(release.join("examples").join("round_trip"));
    let printed = shell::quiet(client.args(["s.sock", "bench", ACTIVITIES]).current_dir(folder))?;
    serde_json::from_str(&printed).map_err(|error| Failure::new(format!("round_trip: {error}")))
}
