//! Python objects to wire bytes.
//!
//! Only what an object has set is looked at: its `__dict__` against the table. A length prefix is written as one byte
//! and widened after its content is known, which costs a move for content of 128 bytes and more and saves a pass.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::tables::{Cardinality, Codec, Field, Kind, Table};

/// An object that contains itself would otherwise never end.
const MAX_DEPTH: u32 = 100;

/// Why a value can't be encoded; the caller adds message and field.
enum Fault {
    /// The expected type.
    Type(&'static str),
    Message(u32),
    Range,
    Duplicate,
    Python(PyErr),
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Fault::Python(error)
    }
}

pub(super) fn message(codec: &Codec, index: u32, object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut encoder = Encoder { py: object.py(), codec, out: Vec::with_capacity(256) };
    encoder.fields(object, index, MAX_DEPTH)?;
    Ok(encoder.out)
}

struct Encoder<'py, 'a> {
    py: Python<'py>,
    codec: &'a Codec,
    out: Vec<u8>,
}

impl<'py> Encoder<'py, '_> {
    fn fields(&mut self, object: &Bound<'py, PyAny>, index: u32, depth: u32) -> PyResult<()> {
        if depth == 0 {
            let name = self.codec.name(index);
            return Err(PyValueError::new_err(format!("{name}: nested deeper than {MAX_DEPTH} messages")));
        }
        let table = self.codec.table(self.py, index)?;
        let mut oneofs = 0u64;
        for (name, value) in attributes(object)?.iter() {
            let Some(field) = self.field(table, &name) else {
                return Err(self.unknown(index, table, &name));
            };
            if value.is_none() {
                continue;
            }
            self.field_value(field, &value, &mut oneofs, depth)
                .map_err(|fault| self.error(index, field, &value, fault))?;
        }
        Ok(())
    }

    /// Attribute names are interned, so the first pass all but always finds it.
    fn field<'t>(&self, table: &'t Table, name: &Bound<'py, PyAny>) -> Option<&'t Field> {
        let by_pointer = table.fields.iter().find(|field| field.name.as_ptr() == name.as_ptr());
        by_pointer.or_else(|| {
            let name = name.cast::<PyString>().ok()?;
            let name = name.to_str().ok()?;
            table.fields.iter().find(|field| *field.name.bind(self.py) == *name)
        })
    }

    fn field_value(
        &mut self,
        field: &Field,
        value: &Bound<'py, PyAny>,
        oneofs: &mut u64,
        depth: u32,
    ) -> Result<(), Fault> {
        match &field.cardinality {
            Cardinality::Single => self.single(field, value, depth, false),
            Cardinality::Presence => {
                if let Some(oneof) = field.oneof {
                    let bit = 1u64 << (oneof & 63);
                    if *oneofs & bit != 0 {
                        return Err(Fault::Duplicate);
                    }
                    *oneofs |= bit;
                }
                self.single(field, value, depth, true)
            }
            Cardinality::Repeated { packed } => self.repeated(field, value, *packed, depth),
            Cardinality::Map { key } => self.map(field, key, value, depth),
        }
    }

    fn single(
        &mut self,
        field: &Field,
        value: &Bound<'py, PyAny>,
        depth: u32,
        keep_default: bool,
    ) -> Result<(), Fault> {
        let start = self.out.len();
        self.tag(field.number, field.kind.wire_type());
        let content = self.out.len();
        self.value(&field.kind, value, depth)?;
        // A default is a varint 0, a length 0 or all-zero fixed bytes.
        if !keep_default
            && self.out[content..].iter().all(|byte| *byte == 0)
            && is_default(&field.kind, &self.out[content..])
        {
            self.out.truncate(start);
        }
        Ok(())
    }

    fn repeated(
        &mut self,
        field: &Field,
        value: &Bound<'py, PyAny>,
        packed: bool,
        depth: u32,
    ) -> Result<(), Fault> {
        let items: Vec<Bound<'py, PyAny>> = if let Ok(list) = value.cast::<PyList>() {
            list.iter().collect()
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            tuple.iter().collect()
        } else {
            return Err(Fault::Type("a list"));
        };
        if items.is_empty() {
            return Ok(());
        }
        if packed {
            self.tag(field.number, 2);
            return self
                .delimited(|this| items.iter().try_for_each(|item| this.value(&field.kind, item, depth)));
        }
        for item in &items {
            self.tag(field.number, field.kind.wire_type());
            self.value(&field.kind, item, depth)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        field: &Field,
        key_kind: &Kind,
        value: &Bound<'py, PyAny>,
        depth: u32,
    ) -> Result<(), Fault> {
        let map = value.cast::<PyDict>().map_err(|_| Fault::Type("a dict"))?;
        for (key, value) in map.iter() {
            self.tag(field.number, 2);
            self.delimited(|this| {
                this.tag(1, key_kind.wire_type());
                this.value(key_kind, &key, depth)?;
                this.tag(2, field.kind.wire_type());
                this.value(&field.kind, &value, depth)
            })?;
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind, value: &Bound<'py, PyAny>, depth: u32) -> Result<(), Fault> {
        match kind {
            Kind::Double => self.out.extend(float(value)?.to_le_bytes()),
            Kind::Float => self.out.extend((float(value)? as f32).to_le_bytes()),
            Kind::Int32 | Kind::Enum(_) => self.varint(i64::from(int::<i32>(value)?) as u64),
            Kind::Int64 => self.varint(int::<i64>(value)? as u64),
            Kind::Uint32 => self.varint(u64::from(int::<u32>(value)?)),
            Kind::Uint64 => self.varint(int::<u64>(value)?),
            Kind::Sint32 => self.varint(zigzag(i64::from(int::<i32>(value)?))),
            Kind::Sint64 => self.varint(zigzag(int::<i64>(value)?)),
            Kind::Fixed32 => self.out.extend(int::<u32>(value)?.to_le_bytes()),
            Kind::Fixed64 => self.out.extend(int::<u64>(value)?.to_le_bytes()),
            Kind::Sfixed32 => self.out.extend(int::<i32>(value)?.to_le_bytes()),
            Kind::Sfixed64 => self.out.extend(int::<i64>(value)?.to_le_bytes()),
            Kind::Bool => {
                let value = value.cast::<PyBool>().map_err(|_| Fault::Type("a bool"))?;
                self.out.push(u8::from(value.is_true()));
            }
            Kind::String => {
                let text = value.cast::<PyString>().map_err(|_| Fault::Type("a str"))?;
                self.chunk(text.to_str()?.as_bytes());
            }
            Kind::Bytes => {
                if let Ok(bytes) = value.cast::<PyBytes>() {
                    self.chunk(bytes.as_bytes());
                } else if let Ok(bytes) = value.cast::<PyByteArray>() {
                    self.chunk(&bytes.to_vec());
                } else {
                    return Err(Fault::Type("bytes"));
                }
            }
            Kind::Message(of) => {
                if value.get_type().as_ptr() != self.codec.class(self.py, *of)?.bind(self.py).as_ptr() {
                    return Err(Fault::Message(*of));
                }
                self.delimited(|this| Ok(this.fields(value, *of, depth - 1)?))?;
            }
        }
        Ok(())
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        self.varint(u64::from(number << 3 | wire_type));
    }

    fn chunk(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Writes what `content` writes, with its length before it.
    fn delimited(&mut self, content: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        let at = self.out.len();
        self.out.push(0);
        content(self)?;
        let length = self.out.len() - at - 1;
        if length < 0x80 {
            self.out[at] = length as u8;
            return Ok(());
        }
        let end = self.out.len();
        self.varint(length as u64);
        let extra = self.out.len() - end - 1;
        let mut prefix = [0; 10];
        prefix[..=extra].copy_from_slice(&self.out[end..]);
        self.out.truncate(end + extra);
        self.out.copy_within(at + 1..end, at + 1 + extra);
        self.out[at..=at + extra].copy_from_slice(&prefix[..=extra]);
        Ok(())
    }

    fn error(&self, index: u32, field: &Field, value: &Bound<'py, PyAny>, fault: Fault) -> PyErr {
        let place = format!("{}.{}", self.codec.name(index), field.name.bind(self.py));
        let found = value.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        // For containers the culprit is an element, which the type of the field's value would only hide.
        let got = if matches!(field.cardinality, Cardinality::Repeated { .. } | Cardinality::Map { .. })
            && (value.is_instance_of::<PyList>()
                || value.is_instance_of::<PyDict>()
                || value.is_instance_of::<PyTuple>())
        {
            "an element is of another type".to_owned()
        } else {
            format!("got {found}")
        };
        match fault {
            Fault::Python(error) => error,
            Fault::Type(expected) => PyTypeError::new_err(format!("{place}: expected {expected}, {got}")),
            Fault::Message(of) => {
                PyTypeError::new_err(format!("{place}: expected a message {}, {got}", self.codec.name(of)))
            }
            Fault::Range => {
                PyOverflowError::new_err(format!("{place}: the number is out of range for the field"))
            }
            Fault::Duplicate => PyValueError::new_err(format!(
                "{place}: another field of the same oneof is set too; set one and leave the others None"
            )),
        }
    }

    fn unknown(&self, index: u32, table: &Table, name: &Bound<'py, PyAny>) -> PyErr {
        let valid: Vec<String> = table.fields.iter().map(|f| f.name.bind(self.py).to_string()).collect();
        PyTypeError::new_err(format!(
            "{} has no field {name}; it has: {}",
            self.codec.name(index),
            valid.join(", ")
        ))
    }
}

/// The instance's `__dict__`.
fn attributes<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    // SAFETY: the object is alive; the function returns a new reference, or null with an exception set.
    let dict = unsafe {
        Bound::from_owned_ptr_or_err(
            object.py(),
            ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()),
        )?
    };
    dict.cast_into::<PyDict>().map_err(PyErr::from)
}

/// Ints only, bools among them, as protobuf's own runtime has it; never through `__index__`, which would run code.
fn int<'py, T: for<'a> FromPyObject<'a, 'py>>(value: &Bound<'py, PyAny>) -> Result<T, Fault> {
    let value = value.cast::<PyInt>().map_err(|_| Fault::Type("an int"))?;
    value.as_any().extract::<T>().map_err(|_| Fault::Range)
}

fn float(value: &Bound<'_, PyAny>) -> Result<f64, Fault> {
    if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() {
        return Ok(value.extract::<f64>()?);
    }
    Err(Fault::Type("a float"))
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Whether encoded content, known to be all zeros, stands for the default. -0.0 has a bit set and so is kept.
fn is_default(kind: &Kind, content: &[u8]) -> bool {
    match kind.wire_type() {
        0 | 2 => content.len() == 1,
        _ => true,
    }
}
