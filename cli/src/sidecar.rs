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
    /// Least severe log lines to print, on stderr.
    #[arg(long, value_enum, default_value_t = Level::Warn)]
    log_level: Level,
}

impl Command {
    /// Runs the command to its end. The error is for a person and says what to do.
    pub(crate) fn run(self) -> Result<(), String> {
        logging::start(self.log_level);
        let config = Config::read(&self.config).map_err(|error| error.to_string())?;
        crate::runtime()?.block_on(run(config))
    }
}

async fn run(config: Config) -> Result<(), String> {
    let mut stop = StopSignals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let sidecar = Sidecar::start(config).await.map_err(|error| error.to_string())?;
    // A closed stdout is no reason to stop.
    let _ = writeln!(std::io::stdout(), "durably sidecar is listening on {}", sidecar.addresses());
    stop.next().await;
    tracing::info!("stopping");
    tokio::select! {
        () = sidecar.shut_down() => Ok(()),
        () = stop.next() => Err("stopped at once by a second signal; tasks under way will time out and be retried".into()),
    }
}
