//! The core as the C library `libdurably`: the door for languages that speak C.
//!
//! The whole interface is [`durably.h`](../include/durably.h), made from this crate. It is
//! [`durably_core::port`] with these rules added, so that misuse is a status and never undefined where that can be seen:
//!
//! - Handles are numbers that are looked up ([`handles`]), never addresses: a handle that was freed, never existed, or
//!   is of another kind is `DURABLY_STATUS_BAD_HANDLE`.
//! - Memory never changes hands. Bytes passed in are copied before the call returns; what comes out is written into the
//!   caller's memory. There is nothing to free but handles.
//! - No panic crosses: each function runs inside [`status::guard`].

mod client;
mod handles;
mod logs;
mod port;
mod status;
mod worker;

pub use client::*;
pub use logs::*;
pub use port::*;
pub use status::*;
pub use worker::*;
