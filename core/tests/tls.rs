//! TLS: what is verified, and that nothing is trusted by accident. The server is an old one: it knows no method at all.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use bytes::Bytes;
use durably_core::Client;
use durably_proto::{
    durably::core::v1::{CallError, ConnectOptions, RetryOptions, TlsOptions},
    temporal::api::workflowservice::v1::workflow_service_server::{WorkflowService, WorkflowServiceServer},
};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming};

const CA: &[u8] = include_bytes!("tls/ca.pem");
const SERVER: (&[u8], &[u8]) = (include_bytes!("tls/server.pem"), include_bytes!("tls/server.key.pem"));
const CLIENT: (&[u8], &[u8]) = (include_bytes!("tls/client.pem"), include_bytes!("tls/client.key.pem"));

struct OldServer;
impl WorkflowService for OldServer {}

/// Serves until the test ends; returns the port.
fn serve(asks_for_client: bool) -> u16 {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = incoming.local_addr().unwrap().port();
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(SERVER.0, SERVER.1));
    if asks_for_client {
        tls = tls.client_ca_root(Certificate::from_pem(CA));
    }
    let mut server = Server::builder().tls_config(tls).unwrap();
    tokio::spawn(server.add_service(WorkflowServiceServer::new(OldServer)).serve_with_incoming(incoming));
    port
}

async fn connect(port: u16, tls: Option<TlsOptions>) -> Result<(), CallError> {
    let target = format!("https://127.0.0.1:{port}");
    // Some refusals come after the handshake, when the connection looks usable: don't insist.
    let retry = Some(RetryOptions { max_retries: 1, ..Default::default() });
    Client::connect(ConnectOptions { target, tls, retry, ..Default::default() }).await.map(drop)
}

fn trusting() -> TlsOptions {
    TlsOptions { server_root_ca_cert: CA.into(), domain: "durably.test".into(), ..Default::default() }
}

#[tokio::test]
async fn a_server_with_the_right_name_and_root_is_trusted() {
    connect(serve(false), Some(trusting())).await.expect("it is trusted");
}

#[tokio::test]
async fn nothing_else_is_trusted() {
    let port = serve(false);
    let refused = |tls| async move { connect(port, tls).await.expect_err("it is not trusted").message };
    let message = refused(None).await;
    assert!(message.contains("certificate"), "{message}");
    let message = refused(Some(TlsOptions { domain: "other.test".into(), ..trusting() })).await;
    assert!(message.contains("certificate"), "{message}");
    let plain = refused(Some(TlsOptions { disabled: true, ..Default::default() })).await;
    assert!(plain.contains("TLS is on at both ends or at neither"), "{plain}");
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let port = serve(true);
    let known = TlsOptions {
        client_cert: Bytes::from_static(CLIENT.0),
        client_private_key: Bytes::from_static(CLIENT.1),
        ..trusting()
    };
    connect(port, Some(known)).await.expect("it is known");
    connect(port, Some(trusting())).await.expect_err("the server asks for a certificate");
}

#[tokio::test]
async fn bad_pem_is_an_error_of_the_options() {
    let tls = TlsOptions { client_cert: "x".into(), client_private_key: "y".into(), ..trusting() };
    let error = connect(1, Some(tls)).await.unwrap_err();
    assert_eq!(error.code, 3, "{}", error.message);
}
