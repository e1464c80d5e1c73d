//! Bytes that no client of ours would send, for every RPC of the API: each is answered with a code, at once, and what
//! was there before is there afterwards.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, client::Grpc, transport::Channel};

use crate::{support::*, wire::world::Raw};

async fn code(channel: &Channel, path: &str, message: Bytes) -> Code {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(20));
    match client.unary(request, path.parse().unwrap(), Raw).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
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
    let set = FileDescriptorSet::decode(durably_proto::DESCRIPTORS).unwrap();
    let (mut table, mut count) = (String::new(), 0);
    for file in &set.file {
        for service in file.service.iter().filter(|_| file.package().starts_with("temporal.api.")) {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let mut codes = Vec::new();
                for (shape, message) in shapes() {
                    let code = code(&channel, &path, message).await;
                    count += 1;
                    codes.push(format!("{shape} {code:?}"));
                }
                let all_unimplemented = codes.iter().all(|code| code.ends_with("Unimplemented"));
                if !all_unimplemented {
                    writeln!(table, "{}: {}", method.name(), codes.join(", ")).unwrap();
                }
            }
        }
    }
    assert!(count > 700, "{count} requests");
    insta::assert_snapshot!(table);

    harness.complete(&task, vec![complete_workflow("done")]).await;
    harness.closing_event("order-1", &run_id).await;
}
