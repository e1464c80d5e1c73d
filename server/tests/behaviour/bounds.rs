//! What a request may cost: little on the wire and much in memory.

use std::time::Duration;

use bytes::Bytes;
use durably_proto::temporal::api::workflowservice::v1::*;
use prost::Message as _;
use tonic::{Code, Request, Status, client::Grpc, codec::CompressionEncoding, transport::Channel};

use crate::{support::*, wire::world::Raw};

const SERVICE: &str = "/temporal.api.workflowservice.v1.WorkflowService";

async fn send(channel: &Channel, rpc: &str, message: Vec<u8>) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(Bytes::from(message));
    request.set_timeout(Duration::from_secs(20));
    client.unary(request, format!("{SERVICE}/{rpc}").parse().unwrap(), Raw).await.map(drop)
}

/// A field of so many bytes' worth of empty messages in `number`.
fn flood(number: u8, bytes: usize) -> Vec<u8> {
    [number << 3 | 2, 0].repeat(bytes / 2)
}

#[tokio::test]
async fn a_flood_of_empty_elements_is_refused_with_the_bound() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let task = harness.workflow_task().await;
    let channel =
        Channel::from_shared(format!("http://{}", harness.address)).unwrap().connect().await.unwrap();
    let completion = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.into(),
        task_token: task.task_token.clone(),
        ..Default::default()
    };
    let mut commands = completion.encode_to_vec();
    commands.extend(flood(2, 1024 * 1024));
    let mut input = start("order-2").encode_to_vec();
    // Payloads of four bytes each, whose metadata is a map with an entry.
    prost::encoding::bytes::encode(5, &Bytes::from([0x0A, 2, 0x0A, 0].repeat(256 * 1024)), &mut input);
    for (rpc, message) in [("RespondWorkflowTaskCompleted", commands), ("StartWorkflowExecution", input)] {
        let refused = send(&channel, rpc, message).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{rpc}: {refused}");
        // SDKs know by these words that it is of no use to send it again.
        assert!(refused.message().starts_with("grpc: received message larger than max:"), "{refused}");
        assert!(refused.message().contains("32 for each byte and 32 MiB"), "{refused}");
    }
    // Neither did any harm: the task is there still, and takes many commands that are some.
    let commands = (0..10_000).map(|number| start_timer(&number.to_string(), millis(3_600_000))).collect();
    harness.complete(&task, commands).await;
    harness.server.shutdown().await;
}

#[tokio::test]
async fn a_compressed_request_that_is_too_large_is_refused_like_any_other() {
    let harness = Harness::start().await;
    let mut request = start("huge");
    request.input = Some(text(&"x".repeat(17 * 1024 * 1024)));
    for mut client in [harness.client(), harness.client().send_compressed(CompressionEncoding::Gzip)] {
        let refused = client.start_workflow_execution(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().starts_with("grpc: received message larger than max:"), "{refused}");
        assert!(refused.message().ends_with("Store large data elsewhere and pass a reference"), "{refused}");
    }
    harness.server.shutdown().await;
}
