//! The `durably` binary. Each command group is a module; this file only picks one and turns errors into exit codes.

mod logging;
mod server;
mod sidecar;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A fifth of the server's time went into glibc's allocator (decision 074).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Durable execution: a server, and tools around it.
#[derive(Parser)]
#[command(name = "durably", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server.
    #[command(subcommand, arg_required_else_help = true)]
    Server(server::Command),
    /// Run workers for applications without an SDK, over HTTP/JSON and gRPC on a socket.
    Sidecar(sidecar::Command),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Server(command) => command.run(),
        Command::Sidecar(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The threads that all I/O runs on.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    // The shard has a thread of its own: with one less here, they don't push each other off the cores.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores - 1).max(1))
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}. Raise the limit on processes (ulimit -u)"))
}
