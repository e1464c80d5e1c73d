//! Starts the servers that conformance and benchmarks run against, and stops them when they are let go.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::shell::Failure;

/// A server in a process of its own; dropping it ends the process.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
}

impl Running {
    /// `durably server start-dev` on a free port, on a state file or in memory.
    pub(crate) fn durably(binary: &Path, file: Option<&Path>) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command.args(["server", "start-dev", "--headless", "--port", "0"]);
        if let Some(file) = file {
            command.arg("--db-filename").arg(file);
        }
        command.stdin(Stdio::null());
        // "durably is listening on ADDRESS, state …"
        Self::start(command, |line| {
            line.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).map(trimmed)
        })
    }

    /// The real Temporal server, on a file or in memory.
    pub(crate) fn temporal(binary: &Path, file: Option<&Path>) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        if let Some(file) = file {
            command.arg("--file").arg(file);
        }
        // It stops when this pipe closes, and so with us, however we end.
        command.stdin(Stdio::piped());
        Self::start(command, |line| Some(trimmed(line)))
    }

    /// `durably sidecar` with the configuration `sidecar.toml` in `folder`, from where it runs.
    pub(crate) fn sidecar(binary: &Path, folder: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command.args(["sidecar", "--config", "sidecar.toml"]).current_dir(folder).stdin(Stdio::null());
        // "durably sidecar is listening on ADDRESS, …"
        Self::start(command, |line| line.split(" listening on ").nth(1).map(trimmed))
    }

    fn start(mut command: Command, address_in: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(|error| {
            Failure::new(format!("cannot start {}: {error}", command.get_program().display()))
        })?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let Some(address) = address_in(&line) else {
            let status = child.kill().and_then(|()| child.wait());
            return Err(Failure::new(format!(
                "{} named no address on its first line but `{}` ({status:?})",
                command.get_program().display(),
                line.trim()
            )));
        };
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trimmed(word: &str) -> String {
    word.trim().trim_end_matches([',', '.']).to_owned()
}
