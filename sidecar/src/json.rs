//! Messages as people write them: proto3's JSON mapping, except that a payload is its plain value.
//!
//! A payload of JSON is that JSON; `null` is the empty payload. Any other payload, and one whose value would be taken for
//! it, is `{"$payload": {"metadata": …, "data": …}}` in proto3's mapping. A list of payloads (`Payloads`) is a JSON list.

use std::{cell::Cell, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    SerializeOptions,
};
use serde_json::{Map, Value, json};

use crate::nearest::nearest;

pub(crate) const PAYLOAD: &str = "temporal.api.common.v1.Payload";
pub(crate) const PAYLOADS: &str = "temporal.api.common.v1.Payloads";
pub(crate) const DURATION: &str = "google.protobuf.Duration";
/// How many payloads a document may have. While it is read, each is an object of objects: 1.5 KB, for the two bytes of a
/// digit and its comma.
const MAX_PAYLOADS: usize = 100_000;
/// The member that marks a payload in its raw form.
const RAW: &str = "$payload";

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(durably_proto::DESCRIPTORS).expect("the build wrote these descriptors")
});

/// What is wrong with a document, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct JsonError(String);

fn error(message: impl Into<String>) -> JsonError {
    JsonError(message.into())
}

pub(crate) fn descriptor(full_name: &str) -> Result<MessageDescriptor, JsonError> {
    POOL.get_message_by_name(full_name).ok_or_else(|| error(format!("there is no message {full_name}")))
}

/// Reads the message `full_name`, as the type `M` that it is.
pub(crate) fn read<M: Message + Name + Default>(full_name: &str, value: Value) -> Result<M, JsonError> {
    let bytes = read_bytes(full_name, value)?;
    durably_proto::room::check(full_name, &bytes).map_err(|e| error(format!("{full_name}: {e}")))?;
    durably_proto::depth::decode(bytes.into()).map_err(|e| error(format!("{full_name}: {e}")))
}

/// Reads the message `full_name` and encodes it for the wire.
pub(crate) fn read_bytes(full_name: &str, mut value: Value) -> Result<Vec<u8>, JsonError> {
    let descriptor = descriptor(full_name)?;
    if !value.is_object() {
        return Err(error(format!("the body must be a JSON object: a {}", descriptor.name())));
    }
    visit(&descriptor, &mut value, Direction::In(&Cell::new(0)))?;
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor, value, &options)
        .map_err(|e| error(e.to_string()))?;
    Ok(message.encode_to_vec())
}

/// Writes `message`, which is the message `full_name`.
pub(crate) fn write<M: Message>(full_name: &str, message: &M) -> Result<Value, JsonError> {
    write_bytes(full_name, &message.encode_to_vec())
}

/// Writes an encoded message `full_name`.
pub(crate) fn write_bytes(full_name: &str, bytes: &[u8]) -> Result<Value, JsonError> {
    let descriptor = descriptor(full_name)?;
    let message = DynamicMessage::decode(descriptor.clone(), bytes).map_err(|e| error(e.to_string()))?;
    let mut value = message
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .map_err(|e| error(e.to_string()))?;
    visit(&descriptor, &mut value, Direction::Out)?;
    Ok(value)
}

#[derive(Clone, Copy)]
enum Direction<'a> {
    /// From plain values to proto3's mapping; counts payloads.
    In(&'a Cell<usize>),
    Out,
}

/// Counts more payloads, as far as there may be.
fn count(payloads: &Cell<usize>, more: usize) -> Result<(), JsonError> {
    payloads.set(payloads.get().saturating_add(more));
    if payloads.get() > MAX_PAYLOADS {
        return Err(error(format!(
            "there are more than {MAX_PAYLOADS} payloads; send fewer at a time, or one that is a list"
        )));
    }
    Ok(())
}

/// Changes each payload below `value`, a message of type `descriptor`, into its other form.
fn visit(
    descriptor: &MessageDescriptor,
    value: &mut Value,
    direction: Direction<'_>,
) -> Result<(), JsonError> {
    match descriptor.full_name() {
        PAYLOAD => {
            *value = match direction {
                Direction::In(payloads) => {
                    count(payloads, 1)?;
                    to_payload(value.take())
                }
                Direction::Out => from_payload(value.take()),
            };
            return Ok(());
        }
        PAYLOADS => {
            *value = match direction {
                Direction::In(payloads) => match value.take() {
                    Value::Array(items) => {
                        count(payloads, items.len())?;
                        json!({ "payloads": items.into_iter().map(to_payload).collect::<Vec<_>>() })
                    }
                    _ => return Err(error("a list of payloads must be a JSON list")),
                },
                Direction::Out => match value.get_mut("payloads").map(Value::take) {
                    Some(Value::Array(items)) => items.into_iter().map(from_payload).collect(),
                    _ => Value::Array(Vec::new()),
                },
            };
            return Ok(());
        }
        _ => {}
    }
    let Value::Object(members) = value else { return Ok(()) };
    for (name, value) in members {
        let Some(field) =
            descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name))
        else {
            // Of messages that have a form of their own in JSON, the reader knows more.
            if matches!(direction, Direction::In(_)) && descriptor.package_name() != "google.protobuf" {
                return Err(unknown_field(descriptor, name));
            }
            continue;
        };
        visit_field(&field, value, direction).map_err(|e| error(format!("{name}: {e}")))?;
    }
    Ok(())
}

fn unknown_field(descriptor: &MessageDescriptor, name: &str) -> JsonError {
    let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
    let remedy = match nearest(name, fields.iter().map(FieldDescriptor::json_name)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "GET /v1/openapi.json lists what there is".to_owned(),
    };
    error(format!("`{name}` is no field of {}: {remedy}", descriptor.name()))
}

fn visit_field(
    field: &FieldDescriptor,
    value: &mut Value,
    direction: Direction<'_>,
) -> Result<(), JsonError> {
    let Kind::Message(of) = field.kind() else { return Ok(()) };
    if let (Direction::In(_), DURATION, Value::String(text)) = (direction, of.full_name(), &*value) {
        let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
        return match seconds {
            Some(_) => Ok(()),
            None => Err(error(format!("`{text}` is not a duration: write seconds, as in \"1.5s\""))),
        };
    }
    if field.is_map() {
        let (Kind::Message(of), Value::Object(entries)) = (of.map_entry_value_field().kind(), value) else {
            return Ok(());
        };
        return entries.values_mut().try_for_each(|value| visit(&of, value, direction));
    }
    match value {
        Value::Array(items) if field.is_list() => {
            items.iter_mut().try_for_each(|value| visit(&of, value, direction))
        }
        // Absent and null are the same for a message, but for a payload, null is a value.
        Value::Null if of.full_name() != PAYLOAD => Ok(()),
        single => visit(&of, single, direction),
    }
}

/// The payload of a plain value, in proto3's mapping.
fn to_payload(value: Value) -> Value {
    if let Value::Object(members) = &value
        && members.len() == 1
        && let Some(raw) = members.get(RAW)
    {
        return raw.clone();
    }
    let (encoding, data) = match value {
        Value::Null => ("binary/null", String::new()),
        value => ("json/plain", STANDARD.encode(value.to_string())),
    };
    json!({ "metadata": { "encoding": STANDARD.encode(encoding) }, "data": data })
}

/// The plain value of a payload in proto3's mapping.
fn from_payload(payload: Value) -> Value {
    plain(&payload).unwrap_or_else(|| Value::Object(Map::from_iter([(RAW.to_owned(), payload)])))
}

fn plain(payload: &Value) -> Option<Value> {
    let metadata = payload.get("metadata")?.as_object()?;
    let encoding = STANDARD.decode(metadata.get("encoding")?.as_str()?).ok()?;
    // Other metadata would be lost.
    if metadata.len() != 1 {
        return None;
    }
    match encoding.as_slice() {
        b"binary/null" => Some(Value::Null),
        b"json/plain" => {
            let data = STANDARD.decode(payload.get("data")?.as_str()?).ok()?;
            let value: Value = serde_json::from_slice(&data).ok()?;
            // Written plainly, this would be read as something else. (A null comes back as the empty payload, which
            // every language takes for the same.)
            let is_ambiguous = value.as_object().is_some_and(|o| o.contains_key(RAW));
            (!is_ambiguous).then_some(value)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use durably_proto::{
        durably::core::v1::{ScheduleActivity, WorkerOptions, WorkflowCompletion},
        temporal::api::common::v1::{Payload, Payloads},
    };
    use serde_json::json;

    use super::*;

    fn payload(encoding: &str, data: &[u8]) -> Payload {
        Payload {
            metadata: [("encoding".to_owned(), encoding.as_bytes().to_vec().into())].into(),
            data: data.to_vec().into(),
            ..Default::default()
        }
    }

    #[test]
    fn payloads_are_their_plain_values() {
        assert_eq!(
            write(PAYLOADS, &Payloads { payloads: vec![payload("json/plain", b"null")] }).unwrap(),
            json!([null])
        );
        let plain = json!([{"id": 7, "tags": ["a", null]}, null, "ü", 1.5, true]);
        let read: Payloads = read(PAYLOADS, json!({})).unwrap_or_default();
        assert!(read.payloads.is_empty());
        let command =
            json!({"seq": 1, "activityType": "charge", "arguments": plain, "startToCloseTimeout": "1.500s"});
        let message: ScheduleActivity =
            super::read("durably.core.v1.ScheduleActivity", command.clone()).unwrap();
        assert_eq!(message.arguments[0], payload("json/plain", br#"{"id":7,"tags":["a",null]}"#));
        assert_eq!(message.arguments[1], payload("binary/null", b""));
        assert_eq!(write("durably.core.v1.ScheduleActivity", &message).unwrap(), command);
    }

    #[test]
    fn what_is_not_plain_json_keeps_its_raw_form() {
        let mut labelled = payload("json/plain", b"1");
        labelled.metadata.insert("label".into(), "x".into());
        let odd = [
            payload("binary/plain", &[0, 255]),
            payload("json/plain", b"not json"),
            payload("json/plain", br#"{"$payload":1}"#),
            labelled,
            Payload::default(),
        ];
        let message = ScheduleActivity { arguments: odd.to_vec(), ..Default::default() };
        let value = write("durably.core.v1.ScheduleActivity", &message).unwrap();
        for argument in value["arguments"].as_array().unwrap() {
            assert!(argument.get(RAW).is_some(), "{argument}");
        }
        let back: ScheduleActivity = read("durably.core.v1.ScheduleActivity", value).unwrap();
        assert_eq!(back, message);
    }

    #[test]
    fn the_documented_samples_are_what_they_say() {
        for (name, lines) in [
            ("durably.core.v1.WorkerEvent", include_str!("../../tests/sidecar/events.jsonl")),
            (
                "durably.core.v1.ActivityCompletion",
                include_str!("../../tests/sidecar/activity-completions.jsonl"),
            ),
            (
                "durably.core.v1.WorkflowCompletion",
                include_str!("../../tests/sidecar/workflow-completions.jsonl"),
            ),
        ] {
            for line in lines.lines() {
                let value: Value = serde_json::from_str(line).unwrap();
                let bytes = read_bytes(name, value.clone()).unwrap();
                assert_eq!(write_bytes(name, &bytes).unwrap(), value);
            }
        }
    }

    #[test]
    fn a_flood_of_elements_is_refused() {
        const ACTIVITY: &str = "durably.core.v1.ScheduleActivity";
        let many = |count| json!({ "seq": 1, "arguments": vec![1; count] });
        let read = |count| super::read::<ScheduleActivity>(ACTIVITY, many(count));
        assert_eq!(read(10_000).unwrap().arguments.len(), 10_000);
        let refused = read(MAX_PAYLOADS + 1).unwrap_err().to_string();
        assert!(refused.starts_with("arguments: there are more than 100000 payloads"), "{refused}");
        let completion = json!({ "success": { "commands": vec![json!({}); 200_000] } });
        let refused = super::read::<WorkflowCompletion>("durably.core.v1.WorkflowCompletion", completion);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("send fewer elements at a time"), "{refused}");
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |value| read_bytes("durably.core.v1.WorkerOptions", value).unwrap_err().to_string();
        let slip = wrong(json!({"taskQueu": "q"}));
        assert_eq!(slip, "`taskQueu` is no field of WorkerOptions: did you mean `taskQueue`?");
        let other = wrong(json!({"colour": "red"}));
        assert_eq!(other, "`colour` is no field of WorkerOptions: GET /v1/openapi.json lists what there is");
        let command =
            json!({"runId": "r", "success": {"commands": [{"scheduleActivity": {"activityTyp": "charge"}}]}});
        let deep = read_bytes("durably.core.v1.WorkflowCompletion", command).unwrap_err().to_string();
        let place = "success: commands: scheduleActivity: ";
        assert_eq!(
            deep,
            format!("{place}`activityTyp` is no field of ScheduleActivity: did you mean `activityType`?")
        );
        let message = wrong(json!({"graceful_shutdown_timeout": "soon"}));
        assert!(message.starts_with("graceful_shutdown_timeout: `soon`"), "{message}");
        assert!(wrong(json!([])).contains("WorkerOptions"));
        let options: WorkerOptions =
            read("durably.core.v1.WorkerOptions", json!({"task_queue": "q", "maxCachedBytes": "5"})).unwrap();
        assert_eq!((options.task_queue.as_str(), options.max_cached_bytes), ("q", 5));
    }
}
