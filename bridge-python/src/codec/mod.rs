//! Protobuf without a protobuf runtime in Python: tables made from the descriptors drive an encoder and a decoder that
//! read and build plain Python objects.
//!
//! The classes themselves are made in Python (`durably/api/_message.py`), on first use, from what [`describe`] says of
//! a message. docs/decisions/050 has the measurements behind this.

use std::sync::OnceLock;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyType};

mod decode;
mod encode;
mod json;
mod tables;

pub(crate) use tables::Codec;
use tables::{Cardinality, Kind};

/// The one set of tables of the process.
pub(crate) fn codec() -> &'static Codec {
    static CODEC: OnceLock<Codec> = OnceLock::new();
    CODEC.get_or_init(Codec::new)
}

/// Decodes `bytes` as the message with number `index`.
pub(crate) fn decode<'py>(py: Python<'py>, index: u32, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    decode::message(py, codec(), index, bytes)
}

/// Encodes a message object; the class says which message it is.
pub(crate) fn encode(object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let (index, object) = message_index(object)?;
    encode::message(codec(), index, &object)
}

/// Encodes an object that must be the named message.
pub(crate) fn encode_as(object: &Bound<'_, PyAny>, index: u32) -> PyResult<Vec<u8>> {
    let (found, object) = message_index(object)?;
    if found != index {
        let (wanted, found) = (codec().name(index), codec().name(found));
        return Err(PyTypeError::new_err(format!("expected {wanted}, got {found}")));
    }
    encode::message(codec(), index, &object)
}

fn message_index<'py>(object: &Bound<'py, PyAny>) -> PyResult<(u32, Bound<'py, PyAny>)> {
    let class = object.get_type();
    match class.getattr_opt("_index")? {
        Some(index) => Ok((index.extract()?, object.clone())),
        None => {
            Err(PyTypeError::new_err(format!("expected a message of durably.api, got {}", class.name()?)))
        }
    }
}

/// Registers the callable that makes the class of a message: `factory(index: int) -> type`.
#[pyfunction]
fn set_class_factory(py: Python<'_>, factory: Py<PyAny>) {
    codec().set_factory(py, factory);
}

/// The number of the message with this full name. Raises KeyError.
#[pyfunction]
fn message_number(full_name: &str) -> PyResult<u32> {
    codec()
        .index_of(full_name)
        .ok_or_else(|| PyKeyError::new_err(format!("no protobuf message named {full_name}")))
}

/// The class of a message, made on first use. Raises KeyError.
#[pyfunction]
fn message_class<'py>(py: Python<'py>, full_name: &str) -> PyResult<Bound<'py, PyType>> {
    codec().class(py, message_number(full_name)?).map(|class| class.bind(py).clone())
}

/// What Python needs to make the class of a message:
/// `{"full_name", "package", "fields": [(name, kind, cardinality, oneof or None, type name or None)],
/// "messages": [nested full names], "enums": [nested full names]}`.
#[pyfunction]
fn describe(py: Python<'_>, index: u32) -> PyResult<Bound<'_, PyDict>> {
    let descriptor = codec().descriptor(index)?;
    let fields = PyList::empty(py);
    for field in &codec().table(py, index)?.fields {
        let of = match &field.kind {
            Kind::Message(of) => Some(codec().name(*of).to_owned()),
            Kind::Enum(name) => Some(name.clone()),
            _ => None,
        };
        let oneof =
            field.oneof.map(|index| descriptor.oneofs().nth(index as usize).map(|o| o.name().to_owned()));
        let cardinality = match &field.cardinality {
            Cardinality::Single => "single",
            Cardinality::Presence => "presence",
            Cardinality::Repeated { .. } => "repeated",
            Cardinality::Map { .. } => "map",
        };
        fields.append((field.name.bind(py), field.kind.name(), cardinality, oneof.flatten(), of))?;
    }
    let messages: Vec<String> = descriptor
        .child_messages()
        .filter(|child| !child.is_map_entry())
        .map(|child| child.full_name().to_owned())
        .collect();
    let enums: Vec<String> = descriptor.child_enums().map(|child| child.full_name().to_owned()).collect();
    let described = PyDict::new(py);
    described.set_item("full_name", descriptor.full_name())?;
    described.set_item("package", descriptor.package_name())?;
    described.set_item("fields", fields)?;
    described.set_item("messages", messages)?;
    described.set_item("enums", enums)?;
    Ok(described)
}

/// The values of an enum as `[(name, number)]`. Raises KeyError.
#[pyfunction]
fn enum_values(full_name: &str) -> PyResult<Vec<(String, i32)>> {
    let found = codec().pool().get_enum_by_name(full_name);
    let found = found.ok_or_else(|| PyKeyError::new_err(format!("no protobuf enum named {full_name}")))?;
    Ok(found.values().map(|value| (value.name().to_owned(), value.number())).collect())
}

/// The names of a package: `(messages, enums)`, without what is nested in a message.
#[pyfunction]
fn package_names(package: &str) -> (Vec<String>, Vec<String>) {
    let pool = codec().pool();
    let messages = pool
        .all_messages()
        .filter(|m| m.package_name() == package && m.parent_message().is_none())
        .map(|m| m.name().to_owned());
    let enums = pool
        .all_enums()
        .filter(|e| e.package_name() == package && e.parent_message().is_none())
        .map(|e| e.name().to_owned());
    (messages.collect(), enums.collect())
}

/// The methods of a service as `{method: (request class name, response class name)}`. Raises KeyError.
#[pyfunction]
fn service_methods<'py>(py: Python<'py>, full_name: &str) -> PyResult<Bound<'py, PyDict>> {
    let found = codec().pool().get_service_by_name(full_name);
    let found = found.ok_or_else(|| PyKeyError::new_err(format!("no gRPC service named {full_name}")))?;
    let methods = PyDict::new(py);
    for method in found.methods() {
        let types = (method.input().full_name().to_owned(), method.output().full_name().to_owned());
        methods.set_item(method.name(), types)?;
    }
    Ok(methods)
}

/// Encodes a message object to protobuf's wire format. Raises TypeError or ValueError naming message and field.
#[pyfunction(name = "encode")]
fn py_encode<'py>(message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(message.py(), &encode(message)?))
}

/// Decodes wire bytes to an object of a message class. Raises ValueError naming message, field and position.
#[pyfunction(name = "decode")]
fn py_decode<'py>(class: &Bound<'py, PyType>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let index: u32 = class.getattr("_index")?.extract()?;
    decode(class.py(), index, data)
}

/// The protobuf JSON form of a message object.
#[pyfunction]
fn to_json(message: &Bound<'_, PyAny>, pretty: bool) -> PyResult<String> {
    let (index, object) = message_index(message)?;
    let bytes = encode::message(codec(), index, &object)?;
    message.py().detach(|| json::from_wire(codec(), index, &bytes, pretty))
}

/// Reads the protobuf JSON form; enum values may be spelled in full, in short, or as numbers. Raises ValueError.
#[pyfunction]
fn from_json<'py>(class: &Bound<'py, PyType>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let index: u32 = class.getattr("_index")?.extract()?;
    let bytes = class.py().detach(|| json::to_wire(codec(), index, text))?;
    decode(class.py(), index, &bytes)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_class_factory, module)?)?;
    module.add_function(wrap_pyfunction!(message_number, module)?)?;
    module.add_function(wrap_pyfunction!(message_class, module)?)?;
    module.add_function(wrap_pyfunction!(describe, module)?)?;
    module.add_function(wrap_pyfunction!(enum_values, module)?)?;
    module.add_function(wrap_pyfunction!(package_names, module)?)?;
    module.add_function(wrap_pyfunction!(service_methods, module)?)?;
    module.add_function(wrap_pyfunction!(py_encode, module)?)?;
    module.add_function(wrap_pyfunction!(py_decode, module)?)?;
    module.add_function(wrap_pyfunction!(to_json, module)?)?;
    module.add_function(wrap_pyfunction!(from_json, module)?)
}
