//! The TypeScript programs of `cargo xtask` that run with the official SDK and with ours: conformance, kill test, benchmark.
//!
//! They are written for the official packages. [`compiled`] copies them below `target/`, changes the scope of their
//! imports for our SDK, and nothing else, and compiles them there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Failure, Shell};

/// The packages that the programs are compiled against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    Official,
}

impl Sdk {
    fn folder(self) -> &'static str {
        match self {
            Sdk::Official => "official",
        }
    }

    fn scope(self) -> &'static str {
        match self {
            Sdk::Official => OFFICIAL,
        }
    }
}

/// As programs write it, in front of the package's name.
const OFFICIAL: &str = "'@temporalio/";
/// The official packages, the compiler and its settings.
const PEERS: &str = "tests/peers/typescript";
/// Where programs are, and their folder in the copy.
const SOURCES: &[(&str, &str)] =
    &[("tests/conformance", "conformance"), ("tests/kill", "kill"), ("bench/typescript", "bench")];

/// The conformance programs.
pub(crate) fn conformance(shell: &Shell, sdk: Sdk) -> Result<Command, Failure> {
    node(shell, &compiled(shell, sdk)?.join("conformance/runner.js"))
}

/// The SDK benchmark, by SDK.
pub(crate) fn benchmarks(shell: &Shell) -> Result<Vec<(&'static str, Command)>, Failure> {
    let official = node(shell, &compiled(shell, Sdk::Official)?.join("bench/sdk_bench.js"))?;
    Ok(vec![("sdk-typescript", official)])
}

fn node(shell: &Shell, script: &Path) -> Result<Command, Failure> {
    if shell::quiet(shell.command("node").arg("--version")).is_err() {
        return Err(Failure::new("there is no Node.js: install Node.js 20 or later (https://nodejs.org)"));
    }
    let mut command = shell.command("node");
    command.arg("--enable-source-maps").arg(script);
    Ok(command)
}

/// Compiles all programs for an SDK; gives the folder of the results.
fn compiled(shell: &Shell, sdk: Sdk) -> Result<PathBuf, Failure> {
    let peers = install_peers(shell)?;
    let folder = peers.join(sdk.folder());
    for made in SOURCES.iter().map(|(_, name)| *name).chain(["lib"]) {
        let _ = fs::remove_dir_all(folder.join(made));
    }
    for (source, name) in SOURCES {
        copy_sources(&shell.root().join(source), &folder.join(name), sdk)?;
    }
    fs::copy(shell.root().join(PEERS).join("tsconfig.json"), folder.join("tsconfig.json"))?;
    let compiler = peers.join("node_modules/typescript/bin/tsc");
    shell::run(node(shell, &compiler)?.arg("--project").arg(&folder))?;
    Ok(folder.join("lib"))
}

/// Installs what `tests/peers/typescript` names, unless it is there already.
fn install_peers(shell: &Shell) -> Result<PathBuf, Failure> {
    let folder = shell.target().join("peers").join("typescript");
    fs::create_dir_all(&folder)?;
    let wanted = fs::read_to_string(shell.root().join(PEERS).join("package.json"))?;
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    for file in ["package.json", ".npmrc"] {
        fs::copy(shell.root().join(PEERS).join(file), folder.join(file))?;
    }
    println!("npm installs the official TypeScript SDK and the compiler");
    shell::quiet(shell.command("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    fs::write(stamp, wanted)?;
    Ok(folder)
}

/// Copies what is TypeScript below `from`, with the imports of the SDK.
fn copy_sources(from: &Path, to: &Path, sdk: Sdk) -> Result<(), Failure> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_sources(&path, &to.join(name), sdk)?;
        } else if path.extension().is_some_and(|ext| ext == "ts") {
            fs::create_dir_all(to)?;
            let text = fs::read_to_string(&path)?;
            fs::write(to.join(name), text.replace(OFFICIAL, sdk.scope()))?;
        }
    }
    Ok(())
}
