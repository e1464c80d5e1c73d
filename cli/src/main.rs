//! The `durably` binary. Each command group is a module; this file only picks one and turns errors into exit codes.

mod server;

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
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Server(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
