//! The configuration file: TOML, with the options of `durably.core.v1` under the names that the contract gives them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use durably_core::Worker;
use durably_proto::durably::core::v1::{ConnectOptions, WorkerOptions};
use serde_json::{Map, Value};

use crate::json;

const BODY_BYTES: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// What `durably sidecar` is started with.
#[derive(Debug)]
pub struct Config {
    pub connect: ConnectOptions,
    pub workers: Vec<WorkerOptions>,
    pub unix: Option<PathBuf>,
    pub tcp: Option<SocketAddr>,
    /// Required with `tcp`.
    pub token: Option<String>,
    /// Largest request. Default 4 MiB.
    pub body_bytes: usize,
    /// An application that makes no request for so long has gone. Default 10 s.
    pub application_timeout: Duration,
}

/// What is wrong with a configuration and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

fn error(message: impl Into<String>) -> ConfigError {
    ConfigError(message.into())
}

impl Config {
    /// Reads the file. Relative paths in it are relative to the working directory.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| error(format!("cannot read {}: {e}", path.display())))?;
        Self::parse(&text).map_err(|e| error(format!("{}: {e}", path.display())))
    }

    /// Parses the text of a configuration file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let Value::Object(mut file) = toml::from_str(text).map_err(|e| error(e.to_string()))? else {
            return Err(error("the file is not a table"));
        };
        let connect = section(&mut file, "connect")?;
        if !connect.contains_key("target") {
            return Err(error(
                "[connect] lacks `target`: \"host:port\" of a server, or \"embedded:PATH\" for one in this process",
            ));
        }
        let mut connect: ConnectOptions = json::read("durably.core.v1.ConnectOptions", connect.into())
            .map_err(|e| error(format!("[connect]: {e}")))?;
        if connect.client_name.is_empty() {
            "durably-sidecar".clone_into(&mut connect.client_name);
            env!("CARGO_PKG_VERSION").clone_into(&mut connect.client_version);
        }
        let mut listen = section(&mut file, "listen")?;
        let unix = text_of(&mut listen, "unix")?.map(PathBuf::from);
        let tcp = match text_of(&mut listen, "tcp")? {
            Some(address) => Some(loopback(&address)?),
            None => None,
        };
        let token_file = text_of(&mut listen, "token_file")?;
        if tcp.is_some() && token_file.is_none() {
            return Err(error(
                "[listen]: tcp needs token_file, a file with a secret of your making: anybody on this machine can connect",
            ));
        }
        let token = token_file.as_deref().map(read_token).transpose()?;
        if unix.is_none() && tcp.is_none() {
            return Err(error("[listen] names no address: give `unix`, `tcp`, or both"));
        }
        // A server on a state file listens there itself, for other processes that open the file.
        let servers =
            connect.target.strip_prefix("embedded:").map(|state| PathBuf::from(format!("{state}.sock")));
        if unix.is_some() && unix == servers {
            return Err(error(
                "[listen]: unix names the socket of the embedded server itself, STATE.sock: choose another name",
            ));
        }
        refuse_rest(&listen, "[listen]")?;
        let mut limits = section(&mut file, "limits")?;
        let body_bytes = match limits.remove("body_bytes") {
            None => BODY_BYTES,
            Some(value) => value
                .as_u64()
                .and_then(|bytes| usize::try_from(bytes).ok())
                .filter(|bytes| *bytes > 0)
                .ok_or_else(|| {
                    error(format!("[limits]: body_bytes is a positive number of bytes, not {value}"))
                })?,
        };
        let application_timeout = match text_of(&mut limits, "application_timeout")? {
            None => PATIENCE,
            Some(text) => duration(&text).filter(|patience| !patience.is_zero()).ok_or_else(|| {
                error(format!("[limits]: application_timeout `{text}` is not a time such as \"10s\""))
            })?,
        };
        refuse_rest(&limits, "[limits]")?;
        let workers = workers(&mut file)?;
        refuse_rest(&file, "the file")?;
        Ok(Self { connect, workers, unix, tcp, token, body_bytes, application_timeout })
    }
}

fn workers(file: &mut Map<String, Value>) -> Result<Vec<WorkerOptions>, ConfigError> {
    let tables = match file.remove("worker") {
        None => Vec::new(),
        Some(Value::Array(tables)) => tables,
        Some(_) => return Err(error("write workers as [[worker]], each with its task_queue")),
    };
    let mut workers: Vec<WorkerOptions> = Vec::new();
    for mut table in tables {
        for kind in ["workflows", "activities"] {
            if let Some(table) = table.as_object_mut() {
                table.entry(kind).or_insert(Value::Bool(true));
            }
        }
        let options: WorkerOptions = json::read("durably.core.v1.WorkerOptions", table)
            .map_err(|e| error(format!("[[worker]]: {e}")))?;
        Worker::check(&options)
            .map_err(|e| error(format!("[[worker]] `{}`: {}", options.task_queue, e.message)))?;
        if workers.iter().any(|other| other.task_queue == options.task_queue) {
            return Err(error(format!("[[worker]]: task queue `{}` is there twice", options.task_queue)));
        }
        workers.push(options);
    }
    Ok(workers)
}

fn section(file: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, ConfigError> {
    match file.remove(name) {
        None => Ok(Map::new()),
        Some(Value::Object(section)) => Ok(section),
        Some(_) => Err(error(format!("`{name}` must be a table: [{name}]"))),
    }
}

fn text_of(section: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ConfigError> {
    match section.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(error(format!("`{name}` must be a string, not {other}"))),
    }
}

fn refuse_rest(section: &Map<String, Value>, place: &str) -> Result<(), ConfigError> {
    match section.keys().next() {
        None => Ok(()),
        Some(unknown) => {
            Err(error(format!("{place}: `{unknown}` is unknown; docs/sidecar.md lists what there is")))
        }
    }
}

fn loopback(address: &str) -> Result<SocketAddr, ConfigError> {
    let parsed: SocketAddr = address.parse().map_err(|_| {
        error(format!("[listen]: tcp `{address}` is not IP:PORT, for example 127.0.0.1:7280"))
    })?;
    if !parsed.ip().is_loopback() {
        return Err(error(format!(
            "[listen]: tcp `{address}` is not on loopback: a sidecar serves its own machine only"
        )));
    }
    Ok(parsed)
}

fn read_token(path: &str) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| error(format!("[listen]: cannot read token_file {path}: {e}")))?;
    let token = text.trim();
    // The message must not show what is in the file.
    if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(error(format!(
            "[listen]: {path} must hold one line of at least 16 visible ASCII characters (`openssl rand -hex 32` makes one)"
        )));
    }
    Ok(token.to_owned())
}

/// A number of seconds with or without `s`: "10s", "0.5".
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s').unwrap_or(text).parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[connect]\ntarget = \"embedded:\"\n[listen]\nunix = \"x.sock\"\n";

    #[test]
    fn options_are_those_of_the_contract() {
        let text = format!(
            "{BASE}[[worker]]\ntask_queue = \"orders\"\ngraceful_shutdown_timeout = \"1.5s\"\n[[worker]]\ntask_queue = \"mail\"\nworkflows = false\n"
        );
        let config = Config::parse(&text).unwrap();
        assert_eq!((config.body_bytes, config.application_timeout), (BODY_BYTES, PATIENCE));
        let [orders, mail] = &config.workers[..] else { panic!("{config:?}") };
        assert!(orders.workflows && orders.activities && mail.activities && !mail.workflows);
        assert_eq!(
            orders.graceful_shutdown_timeout.as_ref().map(|d| (d.seconds, d.nanos)),
            Some((1, 500_000_000))
        );
    }

    #[test]
    fn the_documented_file_is_right_but_for_its_token() {
        let message =
            Config::parse(include_str!("../../tests/sidecar/sidecar.toml")).unwrap_err().to_string();
        assert!(message.contains("cannot read token_file sidecar.token"), "{message}");
    }

    #[test]
    fn mistakes_say_where_and_what_to_do() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "short\n").unwrap();
        let with_token = format!("{BASE}tcp = \"127.0.0.1:0\"\ntoken_file = {:?}\n", secret.path());
        for (text, expected) in [
            ("[connect]\ntarget = ", "TOML"),
            ("[listen]\nunix = \"x\"\n", "lacks `target`"),
            ("[connect]\ntarget = \"embedded:\"\n", "names no address"),
            ("[connect]\ntarget = \"embedded:a/b\"\n[listen]\nunix = \"a/b.sock\"\n", "choose another name"),
            ("[connect]\ntarget = \"embedded:\"\ntarge = 1\n[listen]\nunix = \"x\"\n", "targe"),
            (&format!("{BASE}tcp = \"127.0.0.1:0\"\n"), "needs token_file"),
            (&format!("{BASE}tcp = \"0.0.0.0:1\"\n"), "not on loopback"),
            (&format!("{BASE}tcp = \"localhost\"\n"), "not IP:PORT"),
            (&format!("{BASE}port = 1\n"), "`port` is unknown"),
            (&with_token, "at least 16"),
            (&format!("{BASE}[limits]\nbody_bytes = -1\n"), "positive number"),
            (&format!("{BASE}[limits]\napplication_timeout = \"soon\"\n"), "`soon`"),
            (&format!("{BASE}[[worker]]\n"), "task_queue is empty"),
            (&format!("{BASE}[[worker]]\ntask_queue = \"a\"\n[[worker]]\ntask_queue = \"a\"\n"), "twice"),
            (&format!("{BASE}[[worker]]\ntask_queue = \"a\"\nthreads = 2\n"), "threads"),
        ] {
            let message = Config::parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
            assert!(!message.contains("short"), "the secret is not shown: {message}");
        }
    }
}
