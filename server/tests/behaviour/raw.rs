//! Bytes that no client of ours would send, for every RPC of the API: each is answered with a code, at once, and what
//! was there before is there afterwards.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use durably_proto::temporal::api::{enums::v1::HistoryEventFilterType, workflowservice::v1::*};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};

use crate::{support::*, wire::world::Raw};

const PATIENCE: Duration = Duration::from_secs(20);

async fn answer(channel: &Channel, path: &str, message: Bytes) -> Result<Bytes, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    client.unary(request, path.parse().unwrap(), Raw).await.map(tonic::Response::into_inner)
}

async fn code(channel: &Channel, path: &str, message: Bytes) -> Code {
    answer(channel, path, message).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// The paths of all RPCs of the API.
fn paths() -> Vec<String> {
    let set = FileDescriptorSet::decode(durably_proto::DESCRIPTORS).unwrap();
    let mut paths = Vec::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("temporal.api.")) {
        for service in &file.service {
            let path = |name| format!("/{}.{}/{name}", file.package(), service.name());
            paths.extend(service.method.iter().map(|method| path(method.name())));
        }
    }
    paths
}

/// `levels` fields of this number within each other.
fn nested(number: u32, levels: usize) -> Bytes {
    let mut backwards: Vec<u8> = Vec::new();
    for _ in 0..levels {
        let mut head = Vec::new();
        prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut head);
        prost::encoding::encode_varint(backwards.len() as u64, &mut head);
        head.reverse();
        backwards.extend(head);
    }
    backwards.reverse();
    backwards.into()
}

fn shapes() -> Vec<(&'static str, Bytes)> {
    vec![
        ("empty", Bytes::new()),
        ("cut off", Bytes::from_static(&[0x0A, 0x7F])),
        // A text that is not UTF-8, in field 1, which is most often the namespace.
        ("no text", Bytes::from_static(&[0x0A, 0x02, 0xFF, 0xFE])),
        // Groups within groups, without an end.
        ("groups", Bytes::from(vec![0x1B; 5_000])),
        ("nested in field 4", nested(4, 5_000)),
        ("nested in an unknown field", nested(9_000, 5_000)),
        // Every number of a field once, as the largest varint.
        (
            "numbers",
            (1..60u32)
                .flat_map(|field| {
                    let mut encoded = Vec::new();
                    prost::encoding::uint64::encode(field, &u64::MAX, &mut encoded);
                    encoded
                })
                .collect::<Vec<u8>>()
                .into(),
        ),
    ]
}

#[tokio::test]
async fn every_rpc_answers_every_shape_of_bytes() {
    let harness = Harness::start().await;
    let mut request = start("order-1");
    // The task shall outlast all that is sent meanwhile.
    request.workflow_task_timeout = millis(120_000);
    let run_id = harness.begin_as(request).await;
    let task = harness.workflow_task().await;
    let channel =
        Channel::from_shared(format!("http://{}", harness.address)).unwrap().connect().await.unwrap();
    let (mut table, mut count) = (String::new(), 0);
    for path in paths() {
        let mut codes = Vec::new();
        for (shape, message) in shapes() {
            let code = code(&channel, &path, message).await;
            count += 1;
            codes.push(format!("{shape} {code:?}"));
        }
        let all_unimplemented = codes.iter().all(|code| code.ends_with("Unimplemented"));
        if !all_unimplemented {
            let method = path.rsplit('/').next().unwrap();
            writeln!(table, "{method}: {}", codes.join(", ")).unwrap();
        }
    }
    assert!(count > 700, "{count} requests");
    insta::assert_snapshot!(table);

    harness.complete(&task, vec![complete_workflow("done")]).await;
    harness.closing_event("order-1", &run_id).await;
}

/// What was said over a socket and in this process, in a form that can be compared.
fn said(answer: Result<Bytes, Status>) -> String {
    match answer {
        Ok(encoded) => format!("{encoded:?}"),
        Err(status) => format!("{:?} {:?} {:?}", status.code(), status.message(), status.details()),
    }
}

#[tokio::test]
async fn this_process_hears_what_a_socket_does() {
    let harness = Harness::start().await;
    harness.begin("order-1").await;
    let channel =
        Channel::from_shared(format!("http://{}", harness.address)).unwrap().connect().await.unwrap();
    let service = harness.server.service();
    let here = async |path: &str, message: &Bytes| {
        let answer = service.answer(path, message, PATIENCE)?.await;
        Some(answer.map(|answer| answer.encode()))
    };
    let described = |workflow_id| {
        let request = DescribeWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            execution: Some(execution(workflow_id, "")),
        };
        Bytes::from(request.encode_to_vec())
    };
    let mut huge = start("huge");
    huge.input = Some(text(&"x".repeat(17 * 1024 * 1024)));
    let huge = Bytes::from(huge.encode_to_vec());
    let mut offered = 0;
    for path in paths() {
        let own = match path.rsplit('/').next().unwrap() {
            "DescribeWorkflowExecution" => vec![described("order-1"), described("order-2")],
            "StartWorkflowExecution" => vec![huge.clone()],
            // What time it is differs from call to call.
            "GetCurrentTime" => continue,
            _ => Vec::new(),
        };
        for message in shapes().into_iter().map(|(_, message)| message).chain(own) {
            let over_socket = answer(&channel, &path, message.clone()).await;
            let Some(here) = here(&path, &message).await else {
                assert_eq!(over_socket.unwrap_err().code(), Code::Unimplemented, "{path}");
                continue;
            };
            offered += 1;
            assert_eq!(said(here), said(over_socket), "{path}");
        }
    }
    assert!(offered > 300, "{offered} calls were answered here");
    assert!(
        here("/grpc.health.v1.Health/Check", &Bytes::new()).await.is_none(),
        "it is a service of its own"
    );
}

/// A call of this process ends with its time, with its caller, and with the server.
#[tokio::test]
async fn a_call_of_this_process_ends() {
    let harness = Harness::start().await;
    let service = harness.server.service();
    let path = |name: &str| format!("/temporal.api.workflowservice.v1.WorkflowService/{name}");
    let run_id = harness.begin("order-1").await;
    let close = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution("order-1", &run_id)),
        wait_new_event: true,
        history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
        ..Default::default()
    };
    let close = Bytes::from(close.encode_to_vec());
    let history = path("GetWorkflowExecutionHistory");
    let late = service.answer(&history, &close, Duration::from_millis(50)).unwrap().await;
    assert_eq!(late.err().unwrap().code(), Code::DeadlineExceeded);

    let poll = PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.into(),
        task_queue: Some(queue("elsewhere")),
        ..Default::default()
    };
    let poll = Bytes::from(poll.encode_to_vec());
    let polled = path("PollWorkflowTaskQueue");
    let begun = service.answer(&polled, &poll, PATIENCE).unwrap();
    // Its caller goes: the task finds nobody, and waits for who comes next.
    assert!(futures::poll!(begun).is_pending());
    let mut other = start("order-2");
    other.task_queue = Some(queue("elsewhere"));
    harness.begin_as(other).await;
    let task = service.answer(&polled, &poll, PATIENCE).unwrap().await.ok().unwrap();
    let task: PollWorkflowTaskQueueResponse = task.take().ok().unwrap();
    assert!(!task.task_token.is_empty());

    harness.server.shutdown().await;
    let stopped = service.answer(&history, &close, PATIENCE).unwrap().await;
    assert_eq!(stopped.err().unwrap().code(), Code::Unavailable);
}
