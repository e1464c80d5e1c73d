//! Builds the Go programs that tests and benchmarks run beside ours: the real Temporal server, the
//! official Go SDK's conformance programs, the load generator. Go modules bring their sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::shell::{self, Failure, Shell};
use crate::toolchains::GO;

/// A real Temporal server (`tests/peers/temporal-server`) as a binary under `target/peers`.
pub(crate) fn temporal_server(shell: &Shell) -> Result<PathBuf, Failure> {
    go_program(shell, "tests/peers/temporal-server", ".", "temporal-server")
}

/// Builds the Go package `package` of the module in folder `module` to `target/peers/<name>`.
pub(crate) fn go_program(shell: &Shell, module: &str, package: &str, name: &str) -> Result<PathBuf, Failure> {
    let binary = shell.target().join("peers").join(name);
    let sources = shell.root().join(module);
    if is_newer(&binary, newest_source(&sources)?) {
        return Ok(binary);
    }
    GO.release(shell)?;
    if name == "temporal-server" {
        println!(
            "the first build of the Temporal server compiles for several minutes; later ones take seconds"
        );
    }
    shell::run(
        shell
            .command("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg(package)
            .current_dir(&sources)
            // The tree may not be a git checkout, or one that belongs to somebody else.
            .env("GOFLAGS", "-buildvcs=false"),
    )?;
    Ok(binary)
}

fn is_newer(binary: &Path, than: SystemTime) -> bool {
    fs::metadata(binary).and_then(|meta| meta.modified()).is_ok_and(|built| built > than)
}

/// When the last Go source or module file below `dir` changed.
fn newest_source(dir: &Path) -> Result<SystemTime, Failure> {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in
            fs::read_dir(&dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?
        {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "go" || ext == "mod" || ext == "sum") {
                newest = newest.max(entry.metadata()?.modified()?);
            }
        }
    }
    Ok(newest)
}
