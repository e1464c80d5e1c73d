//! A server at a network address: scheme rules, TLS and keep-alive of one HTTP/2 connection.

use std::time::Duration;

use durably_proto::durably::core::v1::{CallError, ConnectOptions, TlsOptions};
use tonic::{
    Code,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use super::Transport;
use crate::client::error::{call_error, cause_chain};
use crate::convert::duration_or;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Dials the target of `options`, now or (lazy) with the first request.
pub(crate) async fn connect(options: &ConnectOptions) -> Result<Transport, CallError> {
    let endpoint = endpoint(options)?;
    let channel = if options.lazy {
        endpoint.connect_lazy()
    } else {
        endpoint.connect().await.map_err(|error| {
            call_error(Code::Unavailable, unreachable_message(&options.target, &cause_chain(&error)))
        })?
    };
    Ok(Transport::new(channel))
}

/// What a person reads when the server can't be reached.
pub(crate) fn unreachable_message(target: &str, cause: &str) -> String {
    format!(
        "can't reach the server at {target}: {cause}. Check that a server runs there (`durably server start-dev` \
         starts one on localhost:7233), that host and port are right, and that TLS is on at both ends or at neither"
    )
}

fn endpoint(options: &ConnectOptions) -> Result<Endpoint, CallError> {
    let address = Address::parse(&options.target)?;
    let wants_tls = address.https || !options.api_key.is_empty();
    let tls = match &options.tls {
        Some(tls) if tls.disabled => None,
        Some(tls) => Some(tls.clone()),
        None => wants_tls.then(TlsOptions::default),
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", address.authority))
        .map_err(|error| bad_target(&options.target, &cause_chain(&error)))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true);
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls_config(&tls)?).map_err(|error| {
            invalid(format!("the TLS options can't be used: {}. Check the PEM files", cause_chain(&error)))
        })?;
    }
    let keep_alive = options.keep_alive.unwrap_or_default();
    if !keep_alive.disabled {
        endpoint = endpoint
            .http2_keep_alive_interval(duration_or(keep_alive.interval.as_ref(), KEEP_ALIVE_INTERVAL))
            .keep_alive_timeout(duration_or(keep_alive.timeout.as_ref(), KEEP_ALIVE_TIMEOUT))
            .keep_alive_while_idle(true);
    }
    Ok(endpoint)
}

fn tls_config(tls: &TlsOptions) -> Result<ClientTlsConfig, CallError> {
    let mut config = ClientTlsConfig::new();
    config = if tls.server_root_ca_cert.is_empty() {
        config.with_native_roots()
    } else {
        config.ca_certificate(Certificate::from_pem(&tls.server_root_ca_cert))
    };
    if !tls.domain.is_empty() {
        config = config.domain_name(&tls.domain);
    }
    match (tls.client_cert.is_empty(), tls.client_private_key.is_empty()) {
        (true, true) => Ok(config),
        (false, false) => Ok(config.identity(Identity::from_pem(&tls.client_cert, &tls.client_private_key))),
        _ => Err(invalid("client_cert and client_private_key are given together or not at all".into())),
    }
}

/// A target taken apart.
#[derive(Debug, PartialEq)]
struct Address {
    authority: String,
    https: bool,
}

impl Address {
    fn parse(target: &str) -> Result<Self, CallError> {
        let (https, authority) = if let Some(rest) = target.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = target.strip_prefix("http://") {
            (false, rest)
        } else if target.contains("://") {
            return Err(bad_target(target, "its scheme is neither http nor https"));
        } else {
            (false, target)
        };
        let authority = authority.trim_end_matches('/');
        let uri: http::uri::Authority =
            authority.parse().map_err(|_| bad_target(target, "it is not HOST:PORT"))?;
        if uri.host().is_empty() {
            return Err(bad_target(target, "it has no host"));
        }
        // A port that doesn't parse is reported by `port_u16` as absent, like one that isn't there.
        if uri.port_u16().is_none() {
            return Err(bad_target(target, "it has no valid port; Temporal's usual one is 7233"));
        }
        Ok(Self { authority: authority.to_owned(), https })
    }
}

fn bad_target(target: &str, why: &str) -> CallError {
    invalid(format!(
        "`{target}` is not a target: {why}. Write HOST:PORT, https://HOST:PORT, or embedded:PATH for a server in \
         this process"
    ))
}

fn invalid(message: String) -> CallError {
    call_error(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let parsed = |target| Address::parse(target).map(|a| (a.authority, a.https)).map_err(|e| e.code);
        let ok = |authority: &str, https| Ok((authority.to_owned(), https));
        assert_eq!(parsed("localhost:7233"), ok("localhost:7233", false));
        assert_eq!(parsed("http://10.0.0.1:80/"), ok("10.0.0.1:80", false));
        assert_eq!(parsed("https://ns.acct.example:7233"), ok("ns.acct.example:7233", true));
        assert_eq!(parsed("[::1]:7233"), ok("[::1]:7233", false));
        let refused = Err(Code::InvalidArgument as i32);
        for target in ["", "localhost", "ftp://localhost:1", "a b:1", "localhost:99999", ":7233"] {
            assert_eq!(parsed(target), refused, "{target}");
        }
    }

    #[test]
    fn half_an_identity_is_refused() {
        let tls = TlsOptions { client_cert: "x".into(), ..Default::default() };
        assert_eq!(tls_config(&tls).unwrap_err().code, Code::InvalidArgument as i32);
    }

    #[tokio::test]
    async fn an_unreachable_server_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        drop(listener);
        let options = ConnectOptions { target: target.clone(), ..Default::default() };
        let error = connect(&options).await.err().unwrap();
        assert_eq!(error.code, Code::Unavailable as i32);
        assert!(error.message.contains(&target) && error.message.contains("Check"), "{}", error.message);
    }
}
