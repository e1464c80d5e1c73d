//! The codec of all generated stubs: prost's, with bounds on how deep a message nests and how much memory it takes.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use prost::{Message, Name};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use crate::{depth, room};

/// The parts of a request share its memory, so that who keeps one keeps them all: a server keeps the input of an activity
/// for as long as it is pending. Beyond this size each part gets memory of its own.
const SHARED: usize = 4 * 1024;

/// Encodes `T` and decodes `U`; see [`depth`] and [`room`].
#[derive(Debug)]
pub(crate) struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

/// Decodes `U`.
#[derive(Debug)]
pub(crate) struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Message + Name + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Takes the buffer's own memory: nothing is copied.
        read(buffer.copy_to_bytes(buffer.remaining())).map(Some)
    }
}

/// Reads a message as the stubs do, for one that comes another way. Errors are those of a stub: RESOURCE_EXHAUSTED for a
/// request that takes too much memory, INTERNAL for what is not such a message.
pub fn read<U: Message + Name + Default>(encoded: Bytes) -> Result<U, Status> {
    let name = U::full_name();
    // The text is the one by which SDKs know what is too large, and don't send it again.
    room::check_request(&name, &encoded).map_err(|too_large| {
        Status::resource_exhausted(format!("grpc: received message larger than max: {too_large}"))
    })?;
    let decoded = if encoded.len() > SHARED && room::is_request(&name) {
        depth::decode_apart(&encoded)
    } else {
        depth::decode(encoded)
    };
    decoded.map_err(|error| Status::internal(error.to_string()))
}
