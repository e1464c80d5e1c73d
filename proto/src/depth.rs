//! Bounds how deep a message may nest, while it is read.
//!
//! prost reads at most 100 levels, and whoever writes a message at that limit has written something that nobody can
//! read again once a longer envelope is around it: a failure moves from a request into an event, a history, a poll's
//! answer, a workflow's activation. So the only messages that can nest without an end, those that contain themselves
//! (a failure and its cause), are cut on the way in, in every message of every service: the descriptors say where
//! they can be. What is cut leaves a note.

use std::{collections::HashMap, sync::LazyLock};

use bytes::Bytes;
use prost::{
    DecodeError, Message, Name,
    encoding::{encode_key, encode_varint, encoded_len_varint, key_len},
};
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

use crate::{
    temporal::api::failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    walk::{self, next_field},
};

/// How many messages of one recursive type may lie within each other. Leaves a third of prost's levels to envelopes.
pub const MAX_NESTED: usize = 64;
/// The type of the failure that stands where causes were cut.
pub const CUT_TYPE: &str = "CausesCut";
/// How much of the innermost failure's message the note repeats.
const QUOTED_BYTES: usize = 1_000;

/// Reads a message; what nests deeper than [`MAX_NESTED`] is cut, with a note in its place.
pub fn decode<M: Message + Name + Default>(encoded: Bytes) -> Result<M, DecodeError> {
    match bound(&M::full_name(), &encoded) {
        Some(cut) => M::decode(Bytes::from(cut)),
        None => M::decode(encoded),
    }
}

/// [`decode`] to a message whose bytes are its own, and not slices of `encoded`.
pub fn decode_apart<M: Message + Name + Default>(encoded: &[u8]) -> Result<M, DecodeError> {
    match bound(&M::full_name(), encoded) {
        Some(cut) => M::decode(cut.as_slice()),
        None => M::decode(encoded),
    }
}

/// The encoded message `full_name` without what nests too deep; `None` if there is nothing to cut, or it is malformed.
pub fn bound(full_name: &str, encoded: &[u8]) -> Option<Vec<u8>> {
    let kind = *TYPES.by_name.get(full_name)?;
    TYPES.is_too_deep(kind, encoded).then(|| TYPES.cut(kind, encoded, 0)).flatten()
}

/// The message types in which a recursive one can occur.
struct Types {
    by_name: HashMap<String, usize>,
    types: Vec<Kind>,
}

#[derive(Default)]
struct Kind {
    /// Fields in which a recursive message can occur, with their types.
    fields: Vec<(u32, usize)>,
    /// The field by which the type contains itself, or 0.
    recursion: u32,
    is_failure: bool,
}

static TYPES: LazyLock<Types> = LazyLock::new(Types::read);

impl Types {
    fn read() -> Self {
        // The bytes are compiled in, and the tests read them.
        let set = FileDescriptorSet::decode(crate::DESCRIPTORS).expect("the descriptors are well-formed");
        let messages = walk::messages(&set);
        let numbers: HashMap<&str, usize> =
            messages.iter().enumerate().map(|(number, (name, _))| (name.as_str(), number)).collect();
        let edges = |(_, message): &(String, &DescriptorProto)| -> Vec<(u32, usize)> {
            let messages = message.field.iter().filter(|field| field.r#type() == Type::Message);
            messages
                .filter_map(|field| {
                    let kind = numbers.get(field.type_name().trim_start_matches('.'))?;
                    Some((field.number() as u32, *kind))
                })
                .collect()
        };
        let mut types: Vec<Kind> = messages
            .iter()
            .enumerate()
            .map(|(number, message)| {
                let fields = edges(message);
                let recursion =
                    fields.iter().find(|(_, kind)| *kind == number).map_or(0, |(field, _)| *field);
                Kind { fields, recursion, is_failure: message.0 == Failure::full_name() }
            })
            .collect();
        // Whatever leads to a recursive type is kept, step by step outwards.
        let mut leads: Vec<bool> = types.iter().map(|kind| kind.recursion != 0).collect();
        loop {
            let leads_now =
                |kind: &Kind| kind.recursion != 0 || kind.fields.iter().any(|(_, child)| leads[*child]);
            let next: Vec<bool> = types.iter().map(leads_now).collect();
            if next == leads {
                break;
            }
            leads = next;
        }
        for kind in &mut types {
            kind.fields.retain(|(_, child)| leads[*child]);
        }
        let by_name =
            messages.into_iter().map(|(name, _)| name).enumerate().filter(|(number, _)| leads[*number]);
        Self { by_name: by_name.map(|(number, name)| (name, number)).collect(), types }
    }

    fn child(&self, kind: usize, field: u32) -> Option<usize> {
        self.types[kind].fields.iter().find(|(number, _)| *number == field).map(|(_, child)| *child)
    }

    /// Without recursion: what is read here may nest a million times.
    fn is_too_deep(&self, kind: usize, encoded: &[u8]) -> bool {
        let mut open = vec![(kind, encoded, 0)];
        while let Some((kind, mut rest, nested)) = open.pop() {
            while let Some(field) = next_field(&mut rest) {
                let Some(child) = self.child(kind, field.number).filter(|_| field.is_delimited) else {
                    continue;
                };
                let nested = if field.number == self.types[kind].recursion { nested + 1 } else { nested };
                if nested >= MAX_NESTED {
                    return true;
                }
                open.push((child, field.value, nested));
            }
        }
        false
    }

    /// The message with its over-deep parts replaced; recursion ends where they begin.
    fn cut(&self, kind: usize, mut encoded: &[u8], nested: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(encoded.len());
        let mut is_noted = false;
        while !encoded.is_empty() {
            let whole = encoded;
            let field = next_field(&mut encoded)?;
            let Some(child) = self.child(kind, field.number).filter(|_| field.is_delimited) else {
                out.extend_from_slice(&whole[..whole.len() - encoded.len()]);
                continue;
            };
            let is_recursion = field.number == self.types[kind].recursion;
            let value = if !is_recursion {
                self.cut(child, field.value, nested)?
            } else if nested + 1 < MAX_NESTED - 1 {
                self.cut(child, field.value, nested + 1)?
            } else if !self.types[kind].is_failure || is_noted {
                continue;
            } else if self.is_chain(child, field.value) {
                is_noted = true;
                self.note(child, field.value).encode_to_vec()
            } else {
                field.value.to_vec()
            };
            out.reserve(key_len(field.number) + encoded_len_varint(value.len() as u64) + value.len());
            encode_key(field.number, prost::encoding::WireType::LengthDelimited, &mut out);
            encode_varint(value.len() as u64, &mut out);
            out.extend_from_slice(&value);
        }
        Some(out)
    }

    /// Whether the message contains another of its type.
    fn is_chain(&self, kind: usize, encoded: &[u8]) -> bool {
        self.inner(kind, encoded).is_some()
    }

    fn inner<'a>(&self, kind: usize, mut encoded: &'a [u8]) -> Option<&'a [u8]> {
        let recursion = self.types[kind].recursion;
        let mut found = None;
        while let Some(field) = next_field(&mut encoded) {
            if field.number == recursion && field.is_delimited {
                found = Some(field.value);
            }
        }
        found
    }

    /// What stands for a chain of causes that was cut.
    fn note(&self, kind: usize, encoded: &[u8]) -> Failure {
        let (mut count, mut innermost) = (1, encoded);
        while let Some(inner) = self.inner(kind, innermost) {
            (count, innermost) = (count + 1, inner);
        }
        let message = message_of(innermost);
        Failure {
            message: format!(
                "{count} more causes were cut off here: at most {MAX_NESTED} failures are kept of a chain. \
                 The innermost said: {message}"
            ),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                r#type: CUT_TYPE.to_owned(),
                ..Default::default()
            })),
            ..Default::default()
        }
    }
}

/// The start of a failure's message, field 1.
fn message_of(mut failure: &[u8]) -> String {
    while let Some(field) = next_field(&mut failure) {
        if field.number == 1 && field.is_delimited {
            let text = String::from_utf8_lossy(field.value);
            return text[..text.floor_char_boundary(QUOTED_BYTES)].to_owned();
        }
    }
    String::new()
}
