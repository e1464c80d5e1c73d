//! `durably sidecar`: workers for processes without an SDK.

use std::{io::Write as _, path::PathBuf};

use clap::Args;
use durably_sidecar::{Config, Sidecar};

use crate::{logging, logging::Level, signals::StopSignals};

#[derive(Args)]
pub(crate) struct Command {
    /// Configuration file (TOML); docs/sidecar.md describes it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also stop when standard input ends: with the process that holds its other end, however that one ends.
    #[arg(long)]
    stop_with_stdin: bool,
    /// Least severe log lines to print, on stderr.
    #[arg(long, value_enum, default_value_t = Level::Warn)]
    log_level: Level,
}

impl Command {
    /// Runs the command to its end. The error is for a person and says what to do.
    pub(crate) fn run(self) -> Result<(), String> {
        logging::start(self.log_level);
        let config = Config::read(&self.config).map_err(|error| error.to_string())?;
        crate::runtime()?.block_on(run(config, self.stop_with_stdin))
    }
}

async fn run(config: Config, stop_with_stdin: bool) -> Result<(), String> {
    let mut stop = StopSignals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let sidecar = Sidecar::start(config).await.map_err(|error| error.to_string())?;
    // A closed stdout is no reason to stop.
    let _ = writeln!(std::io::stdout(), "durably sidecar is listening on {}", sidecar.addresses());
    tokio::select! {
        () = stop.next() => {}
        () = end_of_stdin(), if stop_with_stdin => {}
    }
    tracing::info!("stopping");
    tokio::select! {
        () = sidecar.shut_down() => Ok(()),
        () = stop.next() => Err("stopped at once by a second signal; tasks under way will time out and be retried".into()),
    }
}

/// Waits until nobody can write to standard input any more; what is written is of no interest.
async fn end_of_stdin() {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: the runtime would wait for one of its own at exit.
    std::thread::spawn(move || {
        // An error is an end, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    // Nothing is ever sent.
    let _ = end.await;
}
