//! One unary gRPC call, from encoded request to encoded response.

use std::{error::Error, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::{
    Code, Request, Status, TimeoutExpired,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};

use crate::transport::{Answer, Transport};

/// As much as Temporal's own SDKs accept; the server's limits are far below.
const MAX_MESSAGE_BYTES: usize = 128 * 1024 * 1024;

/// Sends `request` once and waits for the answer, `timeout` at most.
pub(crate) async fn unary(
    transport: Transport,
    path: &PathAndQuery,
    metadata: &MetadataMap,
    request: &Bytes,
    timeout: Duration,
) -> Result<Answer, Status> {
    // A server in this process keeps to the deadline by itself, and has no use for metadata.
    if let Some(answer) = transport.answer(path.as_str(), request, timeout) {
        return answer.await;
    }
    send(transport, path.clone(), metadata.clone(), request.clone(), timeout).await.map(Answer::Encoded)
}

async fn send(
    transport: Transport,
    path: PathAndQuery,
    metadata: MetadataMap,
    request: Bytes,
    timeout: Duration,
) -> Result<Bytes, Status> {
    let mut request = Request::from_parts(metadata, Default::default(), request);
    request.set_timeout(timeout);
    let mut grpc = Grpc::new(transport).max_decoding_message_size(MAX_MESSAGE_BYTES);
    match tokio::time::timeout(timeout, grpc.unary(request, path, BytesCodec)).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if is_timeout(&status) => Err(deadline_exceeded()),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(deadline_exceeded()),
    }
}

fn deadline_exceeded() -> Status {
    Status::new(Code::DeadlineExceeded, "the server did not answer before the call's deadline")
}

/// tonic's channel reports its own time-out as CANCELLED.
fn is_timeout(status: &Status) -> bool {
    let mut next = status.source();
    while let Some(error) = next {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Messages stay encoded: the caller decodes, or hands the bytes on.
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        // Takes the buffer's own memory: nothing is copied.
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
