//! Wire bytes to Python objects.
//!
//! An object holds only the fields that were on the wire; the class answers for the rest with defaults. Unknown fields
//! are skipped, as everywhere in protobuf. Depth and lengths are bounded, so that no input can exhaust the stack or
//! allocate more than a small multiple of its size.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList, PyString, PyTuple};

use super::tables::{Cardinality, Codec, Field, Kind, Table};

/// Nesting beyond this is malformed (protobuf's usual limit).
const MAX_DEPTH: u32 = 100;

/// Why bytes could not be read; the caller adds message and field.
enum Fault {
    Malformed(&'static str),
    Python(PyErr),
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Fault::Python(error)
    }
}

impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Fault::Malformed(what)
    }
}

pub(super) fn message<'py>(
    py: Python<'py>,
    codec: &Codec,
    index: u32,
    bytes: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let decoder = Decoder { py, codec, empty: PyTuple::empty(py) };
    let object = decoder.instance(index)?;
    decoder.fill(&object, index, bytes, MAX_DEPTH)?;
    Ok(object)
}

struct Decoder<'py, 'a> {
    py: Python<'py>,
    codec: &'a Codec,
    empty: Bound<'py, PyTuple>,
}

impl<'py> Decoder<'py, '_> {
    fn instance(&self, index: u32) -> PyResult<Bound<'py, PyAny>> {
        self.codec.class(self.py, index)?.instance(&self.empty)
    }

    /// Sets on `object` the fields found in `bytes`.
    fn fill(&self, object: &Bound<'py, PyAny>, index: u32, bytes: &[u8], depth: u32) -> PyResult<()> {
        if depth == 0 {
            let name = self.codec.name(index);
            return Err(PyValueError::new_err(format!("{name}: nested deeper than {MAX_DEPTH} messages")));
        }
        let table = self.codec.table(self.py, index)?;
        let mut input = Input { bytes, at: 0 };
        let mut hint = 0;
        let mut seen = 0u128;
        // The list or dict that the last field went to: elements of one field follow each other.
        let mut open: Option<(usize, Bound<'py, PyAny>)> = None;
        while !input.is_empty() {
            let at = input.at;
            let tag = input.tag().map_err(|fault| self.error(index, None, at, fault.into()))?;
            let Some(position) = table.find(tag.field, hint) else {
                input
                    .skip(tag.wire_type, depth)
                    .map_err(|fault| self.error(index, None, at, fault.into()))?;
                continue;
            };
            hint = position;
            let field = &table.fields[position];
            let set = match &field.cardinality {
                Cardinality::Single | Cardinality::Presence => {
                    let bit = 1u128 << (position & 127);
                    let again = seen & bit != 0;
                    let cleared = if again { Ok(()) } else { self.clear_oneof(object, table, field, seen) };
                    seen |= bit;
                    cleared.and_then(|()| self.single(object, field, tag.wire_type, &mut input, depth, again))
                }
                _ => self
                    .container(object, field, position, &mut open)
                    .and_then(|container| self.element(&container, field, tag.wire_type, &mut input, depth)),
            };
            set.map_err(|fault| self.error(index, Some(field), at, fault))?;
        }
        Ok(())
    }

    fn single(
        &self,
        object: &Bound<'py, PyAny>,
        field: &Field,
        wire_type: u32,
        input: &mut Input<'_>,
        depth: u32,
        again: bool,
    ) -> Result<(), Fault> {
        let name = field.name.bind(self.py);
        if let (Kind::Message(of), 2) = (&field.kind, wire_type) {
            let bytes = input.chunk()?;
            // A message that comes in two parts is merged.
            let target = if again { object.getattr(name)? } else { self.instance(*of)? };
            self.fill(&target, *of, bytes, depth - 1)?;
            return Ok(object.setattr(name, target)?);
        }
        Ok(object.setattr(name, self.value(&field.kind, wire_type, input, depth)?)?)
    }

    /// Of a oneof the last member on the wire counts.
    fn clear_oneof(
        &self,
        object: &Bound<'py, PyAny>,
        table: &Table,
        field: &Field,
        seen: u128,
    ) -> Result<(), Fault> {
        if field.oneof.is_none() || seen == 0 {
            return Ok(());
        }
        for (position, other) in table.fields.iter().enumerate() {
            if other.oneof == field.oneof && seen & 1u128 << (position & 127) != 0 {
                object.setattr(other.name.bind(self.py), self.py.None())?;
            }
        }
        Ok(())
    }

    fn container(
        &self,
        object: &Bound<'py, PyAny>,
        field: &Field,
        position: usize,
        open: &mut Option<(usize, Bound<'py, PyAny>)>,
    ) -> Result<Bound<'py, PyAny>, Fault> {
        if let Some((at, container)) = open
            && *at == position
        {
            return Ok(container.clone());
        }
        // Reading the attribute makes the list or dict if there is none.
        let container = object.getattr(field.name.bind(self.py))?;
        *open = Some((position, container.clone()));
        Ok(container)
    }

    fn element(
        &self,
        container: &Bound<'py, PyAny>,
        field: &Field,
        wire_type: u32,
        input: &mut Input<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        if let Cardinality::Map { key } = &field.cardinality {
            if wire_type != 2 {
                return Err("a map entry must be length-delimited".into());
            }
            let (key, value) = self.map_entry(key, &field.kind, input.chunk()?, depth)?;
            let map = container.cast::<PyDict>().map_err(PyErr::from)?;
            return Ok(map.set_item(key, value)?);
        }
        let list = container.cast::<PyList>().map_err(PyErr::from)?;
        if wire_type == 2 && field.kind.wire_type() != 2 {
            let mut packed = Input { bytes: input.chunk()?, at: 0 };
            while !packed.is_empty() {
                list.append(self.value(&field.kind, field.kind.wire_type(), &mut packed, depth)?)?;
            }
            return Ok(());
        }
        Ok(list.append(self.value(&field.kind, wire_type, input, depth)?)?)
    }

    fn map_entry(
        &self,
        key_kind: &Kind,
        value_kind: &Kind,
        bytes: &[u8],
        depth: u32,
    ) -> Result<(Bound<'py, PyAny>, Bound<'py, PyAny>), Fault> {
        let mut input = Input { bytes, at: 0 };
        let (mut key, mut value) = (None, None);
        while !input.is_empty() {
            let tag = input.tag()?;
            match tag.field {
                1 => key = Some(self.value(key_kind, tag.wire_type, &mut input, depth)?),
                2 => value = Some(self.value(value_kind, tag.wire_type, &mut input, depth)?),
                _ => input.skip(tag.wire_type, depth)?,
            }
        }
        Ok((
            key.map_or_else(|| self.default(key_kind), Ok)?,
            value.map_or_else(|| self.default(value_kind), Ok)?,
        ))
    }

    fn default(&self, kind: &Kind) -> Result<Bound<'py, PyAny>, Fault> {
        Ok(match kind {
            Kind::Double | Kind::Float => PyFloat::new(self.py, 0.0).into_any(),
            Kind::Bool => PyBool::new(self.py, false).to_owned().into_any(),
            Kind::String => PyString::new(self.py, "").into_any(),
            Kind::Bytes => PyBytes::new(self.py, &[]).into_any(),
            Kind::Message(of) => self.instance(*of)?,
            _ => 0.into_bound_py_any(self.py)?,
        })
    }

    fn value(
        &self,
        kind: &Kind,
        wire_type: u32,
        input: &mut Input<'_>,
        depth: u32,
    ) -> Result<Bound<'py, PyAny>, Fault> {
        if wire_type != kind.wire_type() {
            return Err("the wire type is not the field's".into());
        }
        let py = self.py;
        Ok(match kind {
            Kind::Double => PyFloat::new(py, f64::from_le_bytes(input.fixed()?)).into_any(),
            Kind::Float => PyFloat::new(py, f64::from(f32::from_le_bytes(input.fixed()?))).into_any(),
            Kind::Int32 | Kind::Enum(_) => (input.varint()? as i32).into_bound_py_any(py)?,
            Kind::Int64 => (input.varint()? as i64).into_bound_py_any(py)?,
            Kind::Uint32 => (input.varint()? as u32).into_bound_py_any(py)?,
            Kind::Uint64 => input.varint()?.into_bound_py_any(py)?,
            Kind::Sint32 | Kind::Sint64 => {
                let raw = input.varint()?;
                ((raw >> 1) as i64 ^ -((raw & 1) as i64)).into_bound_py_any(py)?
            }
            Kind::Fixed32 => u32::from_le_bytes(input.fixed()?).into_bound_py_any(py)?,
            Kind::Fixed64 => u64::from_le_bytes(input.fixed()?).into_bound_py_any(py)?,
            Kind::Sfixed32 => i32::from_le_bytes(input.fixed()?).into_bound_py_any(py)?,
            Kind::Sfixed64 => i64::from_le_bytes(input.fixed()?).into_bound_py_any(py)?,
            Kind::Bool => PyBool::new(py, input.varint()? != 0).to_owned().into_any(),
            Kind::String => {
                let text = std::str::from_utf8(input.chunk()?).map_err(|_| "a string is not UTF-8")?;
                PyString::new(py, text).into_any()
            }
            Kind::Bytes => PyBytes::new(py, input.chunk()?).into_any(),
            Kind::Message(of) => {
                let bytes = input.chunk()?;
                let object = self.instance(*of)?;
                self.fill(&object, *of, bytes, depth - 1)?;
                object
            }
        })
    }

    fn error(&self, index: u32, field: Option<&Field>, at: usize, fault: Fault) -> PyErr {
        match fault {
            Fault::Python(error) => error,
            Fault::Malformed(what) => {
                let message = self.codec.name(index);
                let field = field.map(|f| format!(".{}", f.name.bind(self.py))).unwrap_or_default();
                PyValueError::new_err(format!("{message}{field}: {what} (byte {at} of the message)"))
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Tag {
    field: u32,
    wire_type: u32,
}

/// A cursor over the bytes of one message.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

const TRUNCATED: &str = "the bytes end in the middle of a value";

impl<'a> Input<'a> {
    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(TRUNCATED)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return Err("a number has more than 64 bits");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits")
    }

    fn tag(&mut self) -> Result<Tag, &'static str> {
        let raw = u32::try_from(self.varint()?).map_err(|_| "a field number is out of range")?;
        if raw >> 3 == 0 {
            return Err("field number 0 does not exist");
        }
        Ok(Tag { field: raw >> 3, wire_type: raw & 7 })
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let chunk = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).ok_or(TRUNCATED)?;
        self.at += N;
        Ok(*chunk)
    }

    fn chunk(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| TRUNCATED)?;
        let end = self.at.checked_add(length).ok_or(TRUNCATED)?;
        let chunk = self.bytes.get(self.at..end).ok_or(TRUNCATED)?;
        self.at = end;
        Ok(chunk)
    }

    /// Passes over a field that we don't know.
    fn skip(&mut self, wire_type: u32, depth: u32) -> Result<(), &'static str> {
        match wire_type {
            0 => self.varint().map(drop),
            1 => self.fixed::<8>().map(drop),
            2 => self.chunk().map(drop),
            5 => self.fixed::<4>().map(drop),
            3 if depth == 0 => Err("groups are nested too deeply"),
            3 => loop {
                let tag = self.tag()?;
                if tag.wire_type == 4 {
                    return Ok(());
                }
                self.skip(tag.wire_type, depth - 1)?;
            },
            _ => Err("the wire type does not exist"),
        }
    }
}
