//! The core as the Python extension module `durably._bridge`.
//!
//! It holds what Python can't do for itself, and no policy: the codec that turns protobuf bytes into Python objects
//! and back ([`codec`]), and the handles through which the core is reached ([`runtime`], [`mailbox`], [`client`],
//! [`worker`]). Nothing here waits while it holds the GIL, and no Rust thread but those of [`logs`] and of a mailbox
//! without a socket ever takes it.

use pyo3::prelude::*;

mod client;
mod codec;
mod logs;
mod mailbox;
mod runtime;
mod worker;

#[pymodule]
fn _bridge(module: &Bound<'_, PyModule>) -> PyResult<()> {
    codec::register(module)?;
    module.add_class::<runtime::Runtime>()?;
    module.add_class::<mailbox::Mailbox>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<client::Running>()?;
    module.add_class::<worker::Worker>()?;
    module.add_function(wrap_pyfunction!(client::connect, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
