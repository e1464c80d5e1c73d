//! Bounds how much memory reading a message may take.
//!
//! A message that is absent but for its name is two bytes on the wire and up to two thousand in memory: a request of one
//! megabyte could take seven hundred. What a message will take can be told from its bytes, because the descriptors say
//! which Rust types the fields become: this walks over them before prost does, and refuses what grows beyond the bound.
//! It holds for what servers read, the requests of every service. Who reads an answer has chosen whom to ask.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::LazyLock,
};

use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, MessageOptions,
    field_descriptor_proto::{Label, Type},
};

use crate::walk::{self, next_field};

/// What any request may take in memory, however small it is: twenty thousand short commands of one workflow task fit.
const BASE: usize = 32 * 1024 * 1024;
/// What it may take beyond that, as a multiple of its bytes. The most that real data takes are payloads without data, 29
/// times theirs.
const FACTOR: usize = 32;
/// Nothing that is this short takes more than [`BASE`]: it need not be looked at.
const SHORT: usize = 32 * 1024;
/// prost reads no deeper.
const DEPTH: usize = 100;

/// What an allocation costs beyond its contents.
const ALLOCATION: usize = 32;
const STRING: usize = size_of::<String>();
const BYTES: usize = size_of::<bytes::Bytes>();
const POINTER: usize = size_of::<usize>();
/// A `Vec` or a map that holds nothing.
const COLLECTION: usize = 3 * POINTER;
/// Entries that a map's first node has room for.
const NODE: usize = 11;

/// A message that would take too much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub encoded: usize,
    pub bound: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { encoded, bound } = self;
        write!(
            f,
            "its {encoded} bytes have so many elements that they would take more than {bound} bytes of memory, which are \
             {FACTOR} for each byte and {} MiB; send fewer elements at a time",
            BASE / 1024 / 1024
        )
    }
}

impl std::error::Error for TooLarge {}

/// Whether the message `full_name` may be read: an error if it is a request of any service and too large.
pub fn check_request(full_name: &str, encoded: &[u8]) -> Result<(), TooLarge> {
    if encoded.len() <= SHORT || !TYPES.requests.contains(full_name) {
        return Ok(());
    }
    check(full_name, encoded)
}

/// Whether the message `full_name`, which a stranger sent in one way or another, may be read.
pub fn check(full_name: &str, encoded: &[u8]) -> Result<(), TooLarge> {
    if encoded.len() <= SHORT {
        return Ok(());
    }
    let Some(kind) = TYPES.by_name.get(full_name) else { return Ok(()) };
    let bound = BASE.saturating_add(encoded.len().saturating_mul(FACTOR));
    match TYPES.measure(*kind, encoded, bound) {
        taken if taken > bound => Err(TooLarge { encoded: encoded.len(), bound }),
        _ => Ok(()),
    }
}

/// Whether `full_name` is the request of a service.
pub(crate) fn is_request(full_name: &str) -> bool {
    TYPES.requests.contains(full_name)
}

/// About how much memory the message `full_name` takes once it is decoded, beyond its bytes. 0 for an unknown one.
pub fn of_decoded(full_name: &str, encoded: &[u8]) -> usize {
    TYPES.by_name.get(full_name).map_or(0, |kind| TYPES.measure(*kind, encoded, usize::MAX))
}

struct Types {
    by_name: HashMap<String, usize>,
    /// What servers are sent.
    requests: HashSet<String>,
    kinds: Vec<Kind>,
}

#[derive(Default)]
struct Kind {
    /// What it takes where it stands.
    size: usize,
    /// Fields that take more than that, by number.
    fields: Vec<(u32, Growth)>,
}

/// What reading a field takes beyond the place that its message has for it.
#[derive(Clone, Copy, Debug)]
enum Growth {
    /// The message is in its place, or else in `extra` bytes of its own; and what is in it.
    Message { kind: usize, extra: usize },
    /// One more entry; the message's map of this number may have been empty.
    Entry { kind: usize, map: u32, first: usize, more: usize },
    /// So many bytes, and the text's.
    Text(usize),
    /// So many bytes.
    Element(usize),
    /// Elements of so many bytes each, packed into bytes, of which each has at least `least`.
    Packed { each: usize, least: usize },
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    // The bytes are compiled in, and the tests read them.
    let set = FileDescriptorSet::decode(crate::DESCRIPTORS).expect("the descriptors are well-formed");
    Types::read(&set)
});

impl Types {
    fn read(set: &FileDescriptorSet) -> Self {
        let messages = walk::messages(set);
        let by_name: HashMap<String, usize> =
            messages.iter().enumerate().map(|(number, (name, _))| (name.clone(), number)).collect();
        let methods = set.file.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
        let requests = methods.map(|method| method.input_type().trim_start_matches('.').to_owned()).collect();
        let mut sizes = Sizes {
            by_name: &by_name,
            messages: &messages,
            found: vec![Size::Unknown; messages.len()],
            is_plain: messages.iter().map(|(_, message)| message.field.iter().all(is_number)).collect(),
            is_boxed: HashSet::new(),
        };
        for kind in 0..messages.len() {
            sizes.of(kind);
        }
        let kinds = (0..messages.len()).map(|kind| sizes.kind(kind)).collect();
        Self { by_name, requests, kinds }
    }

    /// What the message takes; ends once that is more than `bound`.
    fn measure(&self, kind: usize, encoded: &[u8], bound: usize) -> usize {
        let mut taken = self.kinds[kind].size;
        // Each message that is open, with the rest of its fields and the maps in it that have entries.
        let mut open = vec![(kind, encoded, 0_u64)];
        while let Some((kind, rest, maps)) = open.last_mut() {
            let Some(field) = next_field(rest).filter(|_| taken <= bound) else {
                open.pop();
                continue;
            };
            let fields = &self.kinds[*kind].fields;
            let Ok(found) = fields.binary_search_by_key(&field.number, |(number, _)| *number) else {
                continue;
            };
            let (more, inner) = match fields[found].1 {
                Growth::Message { kind, extra } => (extra, Some(kind)),
                Growth::Entry { kind, map, first, more } => {
                    let is_first = *maps & (1 << map) == 0;
                    *maps |= 1 << map;
                    (if is_first { first } else { more }, Some(kind))
                }
                Growth::Text(extra) if field.value.is_empty() => (extra, None),
                Growth::Text(extra) => (extra + ALLOCATION + field.value.len(), None),
                Growth::Element(extra) => (extra, None),
                Growth::Packed { each, .. } if !field.is_delimited => (each, None),
                Growth::Packed { each, least } => (field.value.len() / least * each, None),
            };
            taken = taken.saturating_add(more);
            if let Some(inner) = inner.filter(|_| field.is_delimited && open.len() < DEPTH) {
                open.push((inner, field.value, 0));
            }
        }
        taken
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Unknown,
    /// It is being found: what comes upon it again is within it.
    Underway,
    Known(usize),
}

/// Finds how large the Rust types are that prost makes of messages.
struct Sizes<'a> {
    by_name: &'a HashMap<String, usize>,
    messages: &'a [(String, &'a DescriptorProto)],
    found: Vec<Size>,
    /// Types of numbers alone: there is no value of them that could stand for none.
    is_plain: Vec<bool>,
    /// Fields whose message contains theirs: it is behind a pointer.
    is_boxed: HashSet<(usize, i32)>,
}

impl Sizes<'_> {
    fn of(&mut self, kind: usize) -> usize {
        if let Size::Known(size) = self.found[kind] {
            return size;
        }
        self.found[kind] = Size::Underway;
        let message = self.messages[kind].1;
        let (mut size, mut choices) = (0, vec![0; message.oneof_decl.len()]);
        for field in &message.field {
            let takes = self.in_place(kind, field);
            match field.oneof_index.filter(|_| !field.proto3_optional()) {
                Some(choice) => {
                    let largest = &mut choices[choice as usize];
                    *largest = takes.max(*largest);
                }
                None => size += takes,
            }
        }
        let tagged = choices.into_iter().filter(|largest| *largest > 0);
        size = (size + tagged.map(|largest| largest + POINTER).sum::<usize>()).next_multiple_of(POINTER);
        self.found[kind] = Size::Known(size);
        size
    }

    /// What a field takes within its message.
    fn in_place(&mut self, kind: usize, field: &FieldDescriptorProto) -> usize {
        if field.label() == Label::Repeated {
            return COLLECTION;
        }
        let takes = self.of_value(kind, field);
        if field.proto3_optional() && is_scalar(field) { takes * 2 } else { takes }
    }

    fn of_value(&mut self, kind: usize, field: &FieldDescriptorProto) -> usize {
        match field.r#type() {
            Type::Message => {
                let Some(inner) = self.inner(field) else { return POINTER };
                if self.found[inner] == Size::Underway && field.label() != Label::Repeated {
                    self.is_boxed.insert((kind, field.number()));
                    return POINTER;
                }
                self.of(inner) + if self.is_plain[inner] { POINTER } else { 0 }
            }
            Type::String => STRING,
            Type::Bytes => BYTES,
            Type::Double | Type::Int64 | Type::Uint64 | Type::Fixed64 | Type::Sfixed64 | Type::Sint64 => 8,
            Type::Bool => 1,
            _ => 4,
        }
    }

    fn inner(&self, field: &FieldDescriptorProto) -> Option<usize> {
        self.by_name.get(field.type_name().trim_start_matches('.')).copied()
    }

    fn kind(&mut self, kind: usize) -> Kind {
        let message = self.messages[kind].1;
        let mut maps = 0;
        let mut fields: Vec<(u32, Growth)> = Vec::new();
        for field in &message.field {
            if let Some(growth) = self.growth(kind, field, &mut maps) {
                fields.push((field.number() as u32, growth));
            }
        }
        fields.sort_unstable_by_key(|(number, _)| *number);
        Kind { size: self.of(kind), fields }
    }

    fn growth(&mut self, kind: usize, field: &FieldDescriptorProto, maps: &mut u32) -> Option<Growth> {
        let is_list = field.label() == Label::Repeated;
        match field.r#type() {
            Type::Message => {
                let inner = self.inner(field)?;
                let is_map = self.messages[inner].1.options.as_ref().is_some_and(MessageOptions::map_entry);
                let size = self.of(inner);
                if is_map {
                    // No message has more maps than this has bits.
                    let map = *maps % u64::BITS;
                    *maps += 1;
                    return Some(Growth::Entry {
                        kind: inner,
                        map,
                        first: size * NODE + ALLOCATION,
                        more: in_list(size),
                    });
                }
                let extra = if is_list {
                    in_list(size)
                } else if self.is_boxed.contains(&(kind, field.number())) {
                    size + ALLOCATION
                } else {
                    0
                };
                Some(Growth::Message { kind: inner, extra })
            }
            Type::String => Some(Growth::Text(if is_list { in_list(STRING) } else { 0 })),
            Type::Bytes => is_list.then_some(Growth::Element(in_list(BYTES))),
            other => {
                let each = in_list(self.of_value(kind, field));
                let least = match other {
                    Type::Double | Type::Fixed64 | Type::Sfixed64 => 8,
                    Type::Float | Type::Fixed32 | Type::Sfixed32 => 4,
                    _ => 1,
                };
                is_list.then_some(Growth::Packed { each, least })
            }
        }
    }
}

fn is_scalar(field: &FieldDescriptorProto) -> bool {
    !matches!(field.r#type(), Type::Message | Type::String | Type::Bytes)
}

fn is_number(field: &FieldDescriptorProto) -> bool {
    is_scalar(field) && field.r#type() != Type::Bool && field.label() != Label::Repeated
}

/// What an element of a list takes: lists grow ahead of what is in them.
fn in_list(size: usize) -> usize {
    size + size / 2
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Name;

    use super::*;
    use crate::temporal::api::{
        command::v1::{Command, StartTimerCommandAttributes, command::Attributes},
        common::v1::{Header, Memo, Payload, Payloads},
        failure::v1::Failure,
        history::v1::HistoryEvent,
        workflowservice::v1::{
            GetWorkflowExecutionHistoryResponse, RespondWorkflowTaskCompletedRequest,
            StartWorkflowExecutionRequest,
        },
    };

    fn size_of_type<M: Name>() -> (usize, usize) {
        (TYPES.kinds[TYPES.by_name[&M::full_name()]].size, size_of::<M>())
    }

    #[test]
    fn types_are_about_as_large_as_the_compiler_makes_them() {
        for (name, (told, is)) in [
            ("Payload", size_of_type::<Payload>()),
            ("Payloads", size_of_type::<Payloads>()),
            ("Header", size_of_type::<Header>()),
            ("Memo", size_of_type::<Memo>()),
            ("Failure", size_of_type::<Failure>()),
            ("Command", size_of_type::<Command>()),
            ("HistoryEvent", size_of_type::<HistoryEvent>()),
            ("RespondWorkflowTaskCompleted", size_of_type::<RespondWorkflowTaskCompletedRequest>()),
            ("StartWorkflowExecution", size_of_type::<StartWorkflowExecutionRequest>()),
        ] {
            assert!(told >= is / 10 * 9 && told <= is / 4 * 5 + 16, "{name}: told {told}, is {is}");
        }
    }

    fn check_message<M: Message + Name>(message: &M) -> Result<(), TooLarge> {
        check_request(&M::full_name(), &message.encode_to_vec())
    }

    fn payload(encoding: &'static str, data: impl Into<Bytes>) -> Payload {
        Payload {
            metadata: [("encoding".to_owned(), Bytes::from_static(encoding.as_bytes()))].into(),
            data: data.into(),
            ..Default::default()
        }
    }

    /// `bytes` bytes of the field with this number and nothing in it.
    fn empty_fields(number: u8, bytes: usize) -> Vec<u8> {
        [number << 3 | 2, 0].repeat(bytes / 2)
    }

    #[test]
    fn a_flood_of_empty_elements_is_refused() {
        const MIB: usize = 1024 * 1024;
        let completed = RespondWorkflowTaskCompletedRequest::full_name();
        let bound = BASE + FACTOR * MIB;
        let refused = check_request(&completed, &empty_fields(2, MIB));
        assert_eq!(refused, Err(TooLarge { encoded: MIB, bound }));
        // Two levels down: the metadata of payloads.
        let name = StartWorkflowExecutionRequest::full_name();
        let mut start = Vec::new();
        prost::encoding::bytes::encode(5, &Bytes::from([0x0A, 2, 0x0A, 0].repeat(MIB / 4)), &mut start);
        assert!(check_request(&name, &start).is_err());
        // What others than servers read is theirs to judge, and so are words that nobody can read.
        let answer = GetWorkflowExecutionHistoryResponse::full_name();
        assert_eq!(check_request(&answer, &empty_fields(2, MIB)), Ok(()));
        assert_eq!(check_request(&name, &[0xFF].repeat(MIB)), Ok(()));
        assert_eq!(check_request("nothing.Known", &empty_fields(1, MIB)), Ok(()));
    }

    #[test]
    fn what_programs_send_is_let_through() {
        let many = |payload: Payload, count: usize| StartWorkflowExecutionRequest {
            input: Some(Payloads { payloads: vec![payload; count] }),
            ..Default::default()
        };
        // The smallest payloads there are, and large ones.
        assert_eq!(check_message(&many(payload("binary/null", ""), 100_000)), Ok(()));
        assert_eq!(check_message(&many(payload("json/plain", "1"), 100_000)), Ok(()));
        assert_eq!(check_message(&many(payload("json/plain", "x".repeat(1_000_000)), 16)), Ok(()));
        let timer = |index: usize| Command {
            command_type: 2,
            attributes: Some(Attributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
                timer_id: index.to_string(),
                start_to_fire_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            })),
            ..Default::default()
        };
        let commands = (0..20_000).map(timer).collect();
        assert_eq!(
            check_message(&RespondWorkflowTaskCompletedRequest { commands, ..Default::default() }),
            Ok(())
        );
    }

    #[test]
    fn deep_nesting_costs_no_stack_and_no_time() {
        let mut chain: Vec<u8> = Vec::new();
        for _ in 0..200_000 {
            let mut head = vec![0x22];
            prost::encoding::encode_varint(chain.len() as u64, &mut head);
            head.reverse();
            chain.extend(head);
        }
        chain.reverse();
        let whole = of_decoded(&Failure::full_name(), &chain);
        assert!(whole > 90 * size_of::<Failure>() && whole < 200 * size_of::<Failure>(), "{whole}");
    }

    #[test]
    fn an_estimate_is_near_what_a_message_takes() {
        let payloads = Payloads { payloads: vec![payload("json/plain", "1"); 1_000] };
        let each = of_decoded(&Payloads::full_name(), &payloads.encode_to_vec()) / 1_000;
        // The payload, a map's node with room for eleven entries, and the key.
        assert!((700..900).contains(&each), "{each}");
    }
}
