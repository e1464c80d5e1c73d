//! Protobuf's JSON mapping, for histories that people save and exchange.

use prost::Message as _;
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, SerializeOptions};
use pyo3::PyResult;
use pyo3::exceptions::PyValueError;
use serde_json::Value;

use super::tables::Codec;

pub(super) fn from_wire(codec: &Codec, index: u32, bytes: &[u8], pretty: bool) -> PyResult<String> {
    let name = codec.name(index);
    let error = |e: String| PyValueError::new_err(format!("{name}: {e}"));
    let message =
        DynamicMessage::decode(codec.descriptor(index)?.clone(), bytes).map_err(|e| error(e.to_string()))?;
    let value = message
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .map_err(|e| error(e.to_string()))?;
    let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
    text.map_err(|e| error(e.to_string()))
}

pub(super) fn to_wire(codec: &Codec, index: u32, text: &str) -> PyResult<Vec<u8>> {
    let descriptor = codec.descriptor(index)?;
    let error = |e: String| PyValueError::new_err(format!("{}: {e}", descriptor.full_name()));
    let mut value: Value = serde_json::from_str(text).map_err(|e| error(e.to_string()))?;
    full_enum_names(descriptor, &mut value);
    let message = DynamicMessage::deserialize(descriptor.clone(), value).map_err(|e| error(e.to_string()))?;
    Ok(message.encode_to_vec())
}

/// Replaces the short spelling of enum values that Temporal's tools write ("WorkflowExecutionStarted") by the full one
/// ("EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"), everywhere in `value`.
fn full_enum_names(descriptor: &MessageDescriptor, value: &mut Value) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let Some(field) =
            descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name))
        else {
            continue;
        };
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let (Kind::Message(of), Value::Object(entries)) =
                    (entry.map_entry_value_field().kind(), value)
                else {
                    continue;
                };
                entries.values_mut().for_each(|value| full_enum_names(&of, value));
            }
            Kind::Message(of) => each(value, |value| full_enum_names(&of, value)),
            Kind::Enum(of) => each(value, |value| {
                if let Some(full) = value.as_str().and_then(|short| full_name(&of, short)) {
                    *value = Value::String(full);
                }
            }),
            _ => {}
        }
    }
}

fn each(value: &mut Value, mut change: impl FnMut(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(change),
        single => change(single),
    }
}

/// The value of `of` that `short` abbreviates: the same letters after the enum's prefix, whatever case and underscores.
fn full_name(of: &EnumDescriptor, short: &str) -> Option<String> {
    if of.get_value_by_name(short).is_some() {
        return None;
    }
    let letters = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let wanted = format!("{}{}", letters(of.name()), letters(short));
    of.values().map(|value| value.name().to_owned()).find(|name| letters(name) == wanted)
}
