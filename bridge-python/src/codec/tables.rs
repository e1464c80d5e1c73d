//! The tables: for each message its fields in order of number, with Python names and wire types, made on first use.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality as ProtoCardinality, DescriptorPool, FieldDescriptor, Kind as ProtoKind, MessageDescriptor,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};

/// What a field holds.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    /// Full name of the enum; on the wire it is an int32.
    Enum(String),
    /// Number of the message.
    Message(u32),
}

impl Kind {
    /// The wire type of a single value.
    pub(crate) fn wire_type(&self) -> u32 {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
            Kind::String | Kind::Bytes | Kind::Message(_) => 2,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
            _ => 0,
        }
    }

    /// The name that Python sees.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Double | Kind::Float => "float",
            Kind::Bool => "bool",
            Kind::String => "str",
            Kind::Bytes => "bytes",
            Kind::Enum(_) => "enum",
            Kind::Message(_) => "message",
            _ => "int",
        }
    }
}

pub(crate) enum Cardinality {
    /// The default value is not sent.
    Single,
    /// Whether it is set is known: messages, members of a oneof, `optional`.
    Presence,
    Repeated {
        packed: bool,
    },
    /// `kind` of the field is that of the value.
    Map {
        key: Kind,
    },
}

pub(crate) struct Field {
    pub(crate) number: u32,
    /// Interned, so that looking it up is comparing pointers.
    pub(crate) name: Py<PyString>,
    pub(crate) kind: Kind,
    pub(crate) cardinality: Cardinality,
    /// Number of the oneof in its message; synthetic ones (of `optional`) don't count.
    pub(crate) oneof: Option<u32>,
}

pub(crate) struct Table {
    pub(crate) fields: Vec<Field>,
}

impl Table {
    /// The position of the field with this number; `hint` is where the last one was found, since fields mostly come in
    /// order.
    pub(crate) fn find(&self, number: u32, hint: usize) -> Option<usize> {
        for at in [hint, hint + 1] {
            if self.fields.get(at).is_some_and(|field| field.number == number) {
                return Some(at);
            }
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

struct Entry {
    descriptor: MessageDescriptor,
    table: PyOnceLock<Table>,
    class: PyOnceLock<Class>,
}

/// A message's Python class, and how to make an instance without running `__init__`, which is for people.
pub(crate) struct Class {
    class: Py<PyType>,
    new: ffi::newfunc,
}

impl Class {
    fn of(class: &Bound<'_, PyType>) -> PyResult<Self> {
        // SAFETY: `class` is a live heap type, for which the stable ABI hands out the slot as a pointer to a `newfunc`
        // (null if there is none). It is `object`'s, since message classes define no `__new__`.
        let new = unsafe {
            let slot = ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_tp_new);
            if slot.is_null() {
                return Err(PyRuntimeError::new_err("a message class can't be instantiated"));
            }
            std::mem::transmute::<*mut std::ffi::c_void, ffi::newfunc>(slot)
        };
        Ok(Self { class: class.clone().unbind(), new })
    }

    pub(crate) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyType> {
        self.class.bind(py)
    }

    pub(crate) fn instance<'py>(&self, empty: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let class = self.bind(empty.py()).as_type_ptr();
        // SAFETY: `new` belongs to `class`, which is alive; it takes an empty tuple and no keywords, and returns a new
        // reference, or null with an exception set.
        unsafe {
            Bound::from_owned_ptr_or_err(empty.py(), (self.new)(class, empty.as_ptr(), std::ptr::null_mut()))
        }
    }
}

/// All messages of durably-proto.
pub(crate) struct Codec {
    pool: DescriptorPool,
    entries: Vec<Entry>,
    by_name: HashMap<String, u32>,
    factory: PyOnceLock<Py<PyAny>>,
}

impl Codec {
    pub(crate) fn new() -> Self {
        let pool = DescriptorPool::decode(durably_proto::DESCRIPTORS)
            .expect("durably-proto's build script wrote a valid descriptor set");
        let entries: Vec<Entry> = pool
            .all_messages()
            .map(|descriptor| Entry { descriptor, table: PyOnceLock::new(), class: PyOnceLock::new() })
            .collect();
        let by_name = (0..).zip(&entries).map(|(i, e)| (e.descriptor.full_name().to_owned(), i)).collect();
        Self { pool, entries, by_name, factory: PyOnceLock::new() }
    }

    pub(crate) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    pub(crate) fn index_of(&self, full_name: &str) -> Option<u32> {
        self.by_name.get(full_name).copied()
    }

    pub(crate) fn descriptor(&self, index: u32) -> PyResult<&MessageDescriptor> {
        let entry = self.entries.get(index as usize);
        entry
            .map(|e| &e.descriptor)
            .ok_or_else(|| PyValueError::new_err(format!("no message has number {index}")))
    }

    /// Full name for messages to people; the number must come from this codec.
    pub(crate) fn name(&self, index: u32) -> &str {
        self.entries.get(index as usize).map_or("(unknown message)", |e| e.descriptor.full_name())
    }

    pub(crate) fn table(&self, py: Python<'_>, index: u32) -> PyResult<&Table> {
        let descriptor = self.descriptor(index)?;
        self.entries[index as usize].table.get_or_try_init(py, || self.make_table(py, descriptor))
    }

    pub(crate) fn set_factory(&self, py: Python<'_>, factory: Py<PyAny>) {
        // A second import of the Python package in one process keeps the first factory: classes must be unique.
        let _ = self.factory.set(py, factory);
    }

    pub(crate) fn class(&self, py: Python<'_>, index: u32) -> PyResult<&Class> {
        self.descriptor(index)?;
        self.entries[index as usize].class.get_or_try_init(py, || {
            let factory = self.factory.get(py);
            let factory = factory
                .ok_or_else(|| PyRuntimeError::new_err("import durably.api before using the codec"))?;
            Class::of(factory.call1(py, (index,))?.bind(py).cast::<PyType>()?)
        })
    }

    fn make_table(&self, py: Python<'_>, descriptor: &MessageDescriptor) -> PyResult<Table> {
        let mut fields =
            descriptor.fields().map(|f| self.make_field(py, &f)).collect::<PyResult<Vec<_>>>()?;
        fields.sort_by_key(|field| field.number);
        Ok(Table { fields })
    }

    fn make_field(&self, py: Python<'_>, field: &FieldDescriptor) -> PyResult<Field> {
        let mut kind = field.kind();
        let cardinality = if field.is_map() {
            let ProtoKind::Message(entry) = &kind else {
                return Err(PyRuntimeError::new_err(format!("{}: a map without entries", field.full_name())));
            };
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            kind = value;
            Cardinality::Map { key: self.kind(key)? }
        } else if field.cardinality() == ProtoCardinality::Repeated {
            Cardinality::Repeated { packed: field.is_packed() }
        } else if field.supports_presence() {
            Cardinality::Presence
        } else {
            Cardinality::Single
        };
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let position = oneof.and_then(|o| field.parent_message().oneofs().position(|other| other == o));
        Ok(Field {
            number: field.number(),
            name: PyString::intern(py, field.name()).unbind(),
            kind: self.kind(kind)?,
            cardinality,
            oneof: position.map(|p| p as u32),
        })
    }

    fn kind(&self, kind: ProtoKind) -> PyResult<Kind> {
        Ok(match kind {
            ProtoKind::Double => Kind::Double,
            ProtoKind::Float => Kind::Float,
            ProtoKind::Int32 => Kind::Int32,
            ProtoKind::Int64 => Kind::Int64,
            ProtoKind::Uint32 => Kind::Uint32,
            ProtoKind::Uint64 => Kind::Uint64,
            ProtoKind::Sint32 => Kind::Sint32,
            ProtoKind::Sint64 => Kind::Sint64,
            ProtoKind::Fixed32 => Kind::Fixed32,
            ProtoKind::Fixed64 => Kind::Fixed64,
            ProtoKind::Sfixed32 => Kind::Sfixed32,
            ProtoKind::Sfixed64 => Kind::Sfixed64,
            ProtoKind::Bool => Kind::Bool,
            ProtoKind::String => Kind::String,
            ProtoKind::Bytes => Kind::Bytes,
            ProtoKind::Enum(of) => Kind::Enum(of.full_name().to_owned()),
            ProtoKind::Message(of) => {
                Kind::Message(self.index_of(of.full_name()).ok_or_else(|| {
                    PyRuntimeError::new_err(format!("{} is not in the pool", of.full_name()))
                })?)
            }
        })
    }
}
