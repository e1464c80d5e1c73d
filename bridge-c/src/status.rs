//! What every function returns, and how arguments are checked.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use durably_core::CallError;

/// How a call went. The numbers never change.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done; for an operation: it is under way, and its delivery will come.
    Ok = 0,
    /// A pointer that must not be NULL is.
    NullPointer = 1,
    /// The handle was freed, or never was one of this kind.
    BadHandle = 2,
    /// The bytes are not the message that they should be, or the options are wrong; `error` says what is.
    InvalidArgument = 3,
    /// More is waiting than the buffer holds. What was written is valid; call again.
    More = 4,
    /// Not even the first delivery fits into the buffer; the length says what it needs. Nothing was taken.
    TooSmall = 5,
    /// The operating system refused: threads or descriptors have run out.
    System = 6,
    /// A bug in the library: it panicked, and the call did nothing or only a part. Please report what stderr says.
    Panic = 7,
}

/// Length of `DurablyError.message`.
pub const DURABLY_ERROR_MESSAGE: usize = 1020;

/// Why a call was refused, written by calls that take one when they return INVALID_ARGUMENT or SYSTEM.
#[repr(C)]
pub struct Error {
    /// gRPC status code.
    pub code: i32,
    /// UTF-8, ends with NUL; cut off if it is longer.
    pub message: [c_char; DURABLY_ERROR_MESSAGE],
}

/// Runs a function's body: the first thing wrong is the status, and so is a panic.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Status>) -> Status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(status)) => status,
        Err(_) => Status::Panic,
    }
}

/// Copies the caller's bytes.
///
/// # Safety
/// `data` points to `length` readable bytes, or is null.
pub(crate) unsafe fn bytes_of(data: *const u8, length: usize) -> Result<Bytes, Status> {
    match (data.is_null(), length) {
        (_, 0) => Ok(Bytes::new()),
        (true, _) => Err(Status::NullPointer),
        (false, _) if length > isize::MAX as usize => Err(Status::InvalidArgument),
        // SAFETY: not null, and readable for this length by the caller's promise.
        (false, _) => Ok(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(data, length) })),
    }
}

/// Where to write a result; checked before anything is done.
pub(crate) fn out<T>(pointer: *mut T) -> Result<*mut T, Status> {
    if pointer.is_null() { Err(Status::NullPointer) } else { Ok(pointer) }
}

/// Writes why a call was refused, if the caller wants to know.
///
/// # Safety
/// `into` is null or points to a writable `Error`.
pub(crate) unsafe fn refuse(into: *mut Error, why: &CallError) -> Status {
    if !into.is_null() {
        let text = cut(&why.message, DURABLY_ERROR_MESSAGE - 1);
        let mut message = [0; DURABLY_ERROR_MESSAGE];
        for (to, from) in message.iter_mut().zip(text.bytes()) {
            *to = from as c_char;
        }
        // SAFETY: not null, and writable by the caller's promise; no reference to what it held is made.
        unsafe { into.write(Error { code: why.code, message }) };
    }
    Status::InvalidArgument
}

/// At most `length` bytes of `text`, whole characters.
fn cut(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A status in words: a NUL-terminated string that lives as long as the process. Numbers that are no status have one
/// that says so.
#[unsafe(no_mangle)]
pub extern "C" fn durably_status_text(status: i32) -> *const c_char {
    let text: &CStr = match status {
        0 => c"ok",
        1 => c"a pointer that must not be NULL is",
        2 => c"the handle was freed, or never was one of this kind",
        3 => c"the argument is wrong; the error says what is",
        4 => c"more is waiting: drain again",
        5 => c"the buffer is too small for the next delivery",
        6 => c"the operating system refused",
        7 => c"a bug in the library: it panicked",
        _ => c"not a status of this library",
    };
    text.as_ptr()
}
