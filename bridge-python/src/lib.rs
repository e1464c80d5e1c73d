//! The core as the Python extension module `durably._bridge`.
//!
//! It holds what Python can't do for itself, and no policy: the codec that turns protobuf bytes into Python objects
//! and back ([`codec`]), and the handles through which the core is reached (runtime, mailbox, client, worker).

use pyo3::prelude::*;

mod codec;

#[pymodule]
fn _bridge(module: &Bound<'_, PyModule>) -> PyResult<()> {
    codec::register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
