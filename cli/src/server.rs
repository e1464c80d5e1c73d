//! `durably server start-dev`: one server on this machine, with the flags of `temporal server start-dev`.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use durably_server::{Server, ServerOptions, State};

use crate::{logging, logging::Level, signals::StopSignals};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a server on this machine, in memory or on one state file, until SIGINT or SIGTERM.
    StartDev(Box<StartDev>),
    /// Copy a state file, also while a server has it open.
    ///
    /// The copy is one file, with all that was acknowledged before; it opens as a state that was closed in order.
    Backup(Backup),
}

#[derive(Args)]
pub(crate) struct Backup {
    /// The state file.
    #[arg(short = 'f', long, value_name = "PATH")]
    db_filename: PathBuf,
    /// The copy. Nothing may be there yet.
    #[arg(value_name = "COPY")]
    copy: PathBuf,
}

#[derive(Args)]
pub(crate) struct StartDev {
    /// Address to listen on. Anything but loopback lets others on the network in: there is no authentication.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ip: IpAddr,
    /// Port for gRPC; 0 takes any free one.
    #[arg(short, long, default_value_t = 7233)]
    port: u16,
    /// State file (SQLite), created if missing. Without it, state is in memory and gone when the server stops.
    #[arg(short = 'f', long, value_name = "PATH")]
    db_filename: Option<PathBuf>,
    /// Namespace to register besides `default`; may be repeated.
    #[arg(short, long, value_name = "NAME")]
    namespace: Vec<String>,
    /// Least severe log lines to print, on stderr.
    #[arg(long, value_enum, default_value_t = Level::Warn)]
    log_level: Level,
    #[command(flatten)]
    ignored: Ignored,
}

/// Flags of `temporal server start-dev` whose subject this server does not have. Accepted, so that scripts and SDKs
/// that start a dev server keep working; each use is logged.
#[derive(Args)]
#[command(next_help_heading = "Accepted and ignored")]
struct Ignored {
    /// No web UI here, with or without it.
    #[arg(long)]
    headless: bool,
    /// Settings of Temporal's server, KEY=VALUE.
    #[arg(long, value_name = "KEY=VALUE")]
    dynamic_config_value: Vec<String>,
    /// Log lines are always text.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    #[arg(long)]
    log_config: bool,
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    ui_port: Option<u16>,
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
    #[arg(long, value_name = "ADDRESS")]
    ui_ip: Option<String>,
    #[arg(long, value_name = "PATH")]
    ui_asset_path: Option<String>,
    #[arg(long, value_name = "PATH")]
    ui_public_path: Option<String>,
    #[arg(long, value_name = "URL")]
    ui_codec_endpoint: Option<String>,
    #[arg(long)]
    ui_disable_news_fetch: bool,
    #[arg(long, value_name = "NAME=VALUE")]
    sqlite_pragma: Vec<String>,
    #[arg(long, value_name = "NAME=TYPE")]
    search_attribute: Vec<String>,
}

impl Command {
    /// Runs the command to its end. The error is for a person and says what to do.
    pub(crate) fn run(self) -> Result<(), String> {
        match self {
            Self::StartDev(options) => {
                logging::start(options.log_level);
                options.ignored.log();
                crate::runtime()?.block_on(options.run())
            }
            Self::Backup(Backup { db_filename, copy }) => {
                durably_server::back_up(&db_filename, &copy).map_err(|error| error.to_string())?;
                let _ =
                    writeln!(std::io::stdout(), "{} is copied to {}", db_filename.display(), copy.display());
                Ok(())
            }
        }
    }
}

impl StartDev {
    async fn run(self) -> Result<(), String> {
        let mut options = ServerOptions::default();
        options.namespaces.extend(self.namespace);
        if let Some(path) = self.db_filename {
            options.state = State::File(path);
        }
        let failed = |error: durably_server::OpenError| error.to_string();
        let mut stop =
            StopSignals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
        // The port first: if it is taken, the state file is not touched.
        let listener = Server::bind(SocketAddr::new(self.ip, self.port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(|error| format!("cannot read the address: {error}"))?;
        let state = match &options.state {
            State::Memory => "in memory".to_owned(),
            State::File(path) => format!("in {}", path.display()),
        };
        let server = Server::open(options).await.map_err(failed)?;
        let serving = tokio::spawn({
            let server = server.clone();
            async move { server.serve(listener).await }
        });
        // A closed stdout is no reason to stop.
        let _ = writeln!(std::io::stdout(), "durably is listening on {address}, state {state}");
        stop.next().await;
        tracing::info!("stopping");
        tokio::select! {
            () = server.shutdown() => {}
            () = stop.next() => return Err("stopped at once by a second signal; what was acknowledged is on disk".into()),
        }
        serving.abort();
        Ok(())
    }
}

impl Ignored {
    fn log(&self) {
        // What somebody would look for and not find is worth a warning; the rest changes nothing they could see.
        for (flag, used) in [
            ("--http-port", self.http_port.is_some()),
            ("--metrics-port", self.metrics_port.is_some()),
            ("--ui-port", self.ui_port.is_some() && !self.headless),
            ("--sqlite-pragma", !self.sqlite_pragma.is_empty()),
            ("--search-attribute", !self.search_attribute.is_empty()),
        ] {
            if used {
                tracing::warn!("{flag} is ignored: this server does not have what it sets");
            }
        }
        for (flag, used) in [
            ("--headless", self.headless),
            ("--log-format", self.log_format.is_some()),
            ("--log-config", self.log_config),
            ("--ui-ip", self.ui_ip.is_some()),
            ("--ui-asset-path", self.ui_asset_path.is_some()),
            ("--ui-public-path", self.ui_public_path.is_some()),
            ("--ui-codec-endpoint", self.ui_codec_endpoint.is_some()),
            ("--ui-disable-news-fetch", self.ui_disable_news_fetch),
        ] {
            if used {
                tracing::debug!("{flag} is ignored");
            }
        }
        for value in &self.dynamic_config_value {
            tracing::debug!("--dynamic-config-value {value} is ignored");
        }
    }
}
