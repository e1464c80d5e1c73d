//! Walking over encoded messages without decoding them, by what the descriptors say.

use prost_types::{DescriptorProto, FileDescriptorSet};

/// All messages of the set, those within others too, by their full names.
pub(crate) fn messages(set: &FileDescriptorSet) -> Vec<(String, &DescriptorProto)> {
    let mut all = Vec::new();
    for file in &set.file {
        for message in &file.message_type {
            collect(file.package(), message, &mut all);
        }
    }
    all
}

fn collect<'a>(scope: &str, message: &'a DescriptorProto, into: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, into);
    }
    into.push((name, message));
}

/// A field as it is on the wire.
pub(crate) struct Field<'a> {
    pub number: u32,
    pub is_delimited: bool,
    /// What is between the delimiters.
    pub value: &'a [u8],
}

/// Takes the next field off; `None` at the end, and where the bytes are no fields of a message (or groups, which
/// nothing here has).
pub(crate) fn next_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let key = varint(rest)?;
    let number = u32::try_from(key >> 3).ok().filter(|number| *number != 0)?;
    let length = match key & 7 {
        0 => {
            varint(rest)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Field { number, is_delimited: key & 7 == 2, value })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
