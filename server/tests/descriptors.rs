//! What becomes of a listener when the process has no descriptor left. Alone in its binary: the limit is the process's.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::{net::TcpStream, process::Command, time::Duration};

use durably_proto::temporal::api::workflowservice::v1::{
    GetSystemInfoRequest, workflow_service_client::WorkflowServiceClient,
};
use durably_server::{Server, ServerOptions};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_listener_goes_on_when_descriptors_are_back() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let listener = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener).await }
    });
    let limit = open_descriptors() + 20;
    let pid = std::process::id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:")]).status().unwrap();
    assert!(set.success(), "prlimit failed");

    // Each of these takes one here, and one more there once it is accepted.
    let mut connections = Vec::new();
    let refused = loop {
        match TcpStream::connect(address) {
            Ok(connection) => connections.push(connection),
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.raw_os_error(), Some(24), "not for a lack of descriptors: {refused}");
    // The server has met the limit too: it cannot have accepted those that queue up.
    assert!(connections.len() > 10);
    drop(connections);
    let connected = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            // Until the server has let go of its ends, there may be none left for this one.
            if let Ok(client) = WorkflowServiceClient::connect(format!("http://{address}")).await {
                return client;
            }
            tokio::task::yield_now().await;
        }
    });
    let mut client = connected.await.expect("nobody accepts any more");
    client.get_system_info(GetSystemInfoRequest {}).await.unwrap();
    server.shutdown().await;
}
