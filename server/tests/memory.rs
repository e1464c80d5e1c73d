//! What open runs take when they are many and their payloads small. Alone in its binary: the memory is the process's.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use durably_proto::temporal::api::{
    common::v1::{Payload, Payloads, WorkflowType},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{StartWorkflowExecutionRequest, workflow_service_client::WorkflowServiceClient},
};
use durably_server::{Server, ServerOptions, State};

/// Resident memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// The smallest payloads there are: their memory is 25 times their bytes.
fn start(number: usize) -> StartWorkflowExecutionRequest {
    let payload = Payload {
        metadata: [("encoding".to_owned(), "json/plain".into())].into(),
        data: "1".into(),
        ..Default::default()
    };
    StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: format!("order-{number}"),
        workflow_type: Some(WorkflowType { name: "Order".into() }),
        task_queue: Some(TaskQueue { name: "orders".into(), ..Default::default() }),
        input: Some(Payloads { payloads: vec![payload; 10_000] }),
        // It waits, and may leave memory meanwhile.
        workflow_start_delay: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        ..Default::default()
    }
}

/// 120 runs would take a gigabyte. They may take 256 MiB, and the server as a whole some more.
#[tokio::test]
async fn open_runs_stay_within_their_bound_whatever_their_payloads_are() {
    const BOUND: usize = 512 * 1024 * 1024;
    let directory = tempfile::tempdir().unwrap();
    let state = State::File(directory.path().join("state.db"));
    let server = Server::open(ServerOptions { state, ..Default::default() }).await.unwrap();
    let mut client = WorkflowServiceClient::new(server.service());
    for number in 0..120 {
        client.start_workflow_execution(start(number)).await.unwrap();
        let resident = resident();
        assert!(resident < BOUND, "{} MiB after {number} runs", resident / 1024 / 1024);
    }
    server.shutdown().await;
}
