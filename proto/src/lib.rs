//! Message types and gRPC stubs: Temporal's public API ([`temporal`]) and the contract between the core and a
//! language ([`durably::core::v1`]).
//!
//! Nothing here has behaviour, but for the bounds that hold for what is read: how deep it nests ([`depth`]), how much
//! memory a request takes ([`room`]), and how large the parts of a command are ([`parts`]). `bytes` fields are reference-counted ([`bytes::Bytes`]) so that a payload is not copied
//! on its way through, and maps are ordered so that encoding is deterministic.
//!
//! [`bytes::Bytes`]: https://docs.rs/bytes

#[allow(clippy::all, clippy::pedantic, unreachable_pub, dead_code, missing_docs, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/all.rs"));
}
pub mod codec;
pub mod depth;
pub mod parts;
pub mod room;
mod walk;

pub use generated::{durably, google, temporal};

/// The encoded `FileDescriptorSet` of everything in this crate.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Our own .proto files as they are written, by the path under which others import them.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
