//! Every command a person needs: `cargo xtask demo | test | bench | conformance | package | tidy`.
//!
//! Each command needs toolchains only (Rust, and Python or Go where it says so); what else it uses it
//! installs through their package managers, into `target/`.
#![expect(clippy::print_stdout, reason = "a command-line tool reports on standard output")]

mod bench;
mod conformance;
mod demo;
mod fetch;
mod go;
mod java;
mod kill;
mod package;
mod python;
mod servers;
mod shell;
mod sidecar;
mod square;
mod suites;
mod tally;
mod tidy;
mod toolchains;
mod typescript_programs;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::shell::{Failure, Shell};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What a person can ask for.
#[derive(Subcommand)]
enum Command {
    /// Runs the order program on an embedded server, kills it midway, and resumes it
    Demo(demo::DemoArgs),
    /// Runs every test suite and ends with the line "N passed, N failed"
    Test(suites::TestArgs),
    /// Measures the release server against a real Temporal server, in one run
    Bench(bench::BenchArgs),
    /// Runs official SDKs against durably, and durably against a real Temporal server
    Conformance(conformance::ConformanceArgs),
    /// Makes what a user installs: a wheel, npm tarballs or a Go module
    Package(package::PackageArgs),
    /// Writes the files of a language that are made from the contract
    Generate {
        /// The language
        #[arg(value_parser = ["go"])]
        language: String,
    },
    /// Checks what compilers don't: module headers, lengths, dead files, banned calls, snippets
    Tidy {
        /// Rewrite the ratchet with the lower figures reached; never raises or adds one
        #[arg(long)]
        update: bool,
    },
}

fn main() -> ExitCode {
    let shell = match Shell::at_workspace_root() {
        Ok(shell) => shell,
        Err(failure) => return report(&failure),
    };
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(&shell, &args),
        Command::Test(args) => suites::run(&shell, &args),
        Command::Bench(args) => bench::run(&shell, &args),
        Command::Conformance(args) => conformance::run(&shell, &args),
        Command::Package(args) => package::run(&shell, &args),
        Command::Generate { language: _ } => go::generate(&shell),
        Command::Tidy { update } => run_tidy(shell.root(), update),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn run_tidy(root: &std::path::Path, update: bool) -> Result<(), Failure> {
    let findings = tidy::check(root, update)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing to complain about");
        return Ok(());
    }
    Err(Failure::new(format!("tidy: {} finding(s)", findings.len())))
}

fn report(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::FAILURE
}

/// `path` relative to `root` with forward slashes, for messages and for the lists in the tree.
fn relative(root: &std::path::Path, path: &std::path::Path) -> String {
    let path: PathBuf = path.strip_prefix(root).unwrap_or(path).into();
    path.to_string_lossy().replace('\\', "/")
}
