//! What the core logs, on standard error.

use std::ffi::{CStr, c_char};

use tracing_subscriber::EnvFilter;

use crate::status::{Error, Status, guard, refuse};

/// Writes what the core logs to standard error. `filter` is a NUL-terminated directive such as `durably_core=info`, or
/// NULL for `warn`. Without this call nothing is written; calls after the first change nothing. `error` may be NULL.
///
/// # Safety
/// `filter` is NULL or NUL-terminated; `error` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn durably_log_to_stderr(filter: *const c_char, error: *mut Error) -> Status {
    guard(|| {
        let filter = if filter.is_null() {
            "warn".to_owned()
        } else {
            // SAFETY: not null, and NUL-terminated by the caller's promise.
            unsafe { CStr::from_ptr(filter) }.to_string_lossy().into_owned()
        };
        let filter = EnvFilter::builder().parse(&filter).map_err(|why| {
            let why = durably_core::CallError {
                code: 3,
                message: format!("`{filter}` is not a filter: {why}"),
                ..Default::default()
            };
            // SAFETY: the caller's promise.
            unsafe { refuse(error, &why) }
        })?;
        // The first one stays: a process has one subscriber.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
        Ok(())
    })
}
