//! Writes what the TypeScript SDK knows about messages, from the contract's descriptors: `typescript OUT_DIR` makes
//! `tables.ts`, by which its codec works, and `types.ts`, by which its code is checked.
//!
//! Names follow what TypeScript users of Temporal know: fields in camelCase, `IPayload` for what may be passed in,
//! `Payload` for what comes out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, MessageOptions,
};

fn main() -> std::io::Result<()> {
    let Some(out) = std::env::args().nth(1) else {
        return Err(std::io::Error::other("usage: typescript OUT_DIR"));
    };
    let set = FileDescriptorSet::decode(durably_proto::DESCRIPTORS).map_err(std::io::Error::other)?;
    let known = Known::of(&set);
    std::fs::create_dir_all(&out)?;
    std::fs::write(Path::new(&out).join("tables.ts"), known.tables(&set))?;
    std::fs::write(Path::new(&out).join("types.ts"), known.types() + &services(&set))
}

const HEADER: &str = "// Code generated from proto/ by `cargo xtask`. DO NOT EDIT.\n";

#[derive(Default)]
struct Known<'a> {
    messages: BTreeMap<String, &'a DescriptorProto>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
}

impl<'a> Known<'a> {
    fn of(set: &'a FileDescriptorSet) -> Self {
        let mut known = Self::default();
        for file in &set.file {
            for message in &file.message_type {
                known.add(file.package(), message);
            }
            for one in &file.enum_type {
                known.enums.insert(format!("{}.{}", file.package(), one.name()), one);
            }
        }
        known
    }

    fn add(&mut self, scope: &str, message: &'a DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        for one in &message.enum_type {
            self.enums.insert(format!("{name}.{}", one.name()), one);
        }
        self.messages.insert(name, message);
    }

    fn map_entry(&self, field: &FieldDescriptorProto) -> Option<&'a DescriptorProto> {
        let entry = self.messages.get(field.type_name().trim_start_matches('.'))?;
        is_map_entry(entry).then_some(*entry)
    }

    /// A message is one string: `name number label type [key]`, fields separated by `;`. Split when it is first used.
    fn tables(&self, set: &FileDescriptorSet) -> String {
        let mut out = format!("{HEADER}\nexport const messages: Readonly<Record<string, string>> = {{\n");
        for (name, message) in &self.messages {
            if is_map_entry(message) {
                continue;
            }
            let mut fields: Vec<&FieldDescriptorProto> = message.field.iter().collect();
            fields.sort_by_key(|field| field.number());
            let fields: Vec<String> = fields.into_iter().map(|field| self.row(field)).collect();
            let _ = writeln!(out, "  '{name}': '{}',", fields.join(";"));
        }
        out.push_str("};\n\nexport const enums: Readonly<Record<string, string>> = {\n");
        for (name, one) in &self.enums {
            let values: Vec<String> =
                one.value.iter().map(|value| format!("{} {}", value.name(), value.number())).collect();
            let _ = writeln!(out, "  '{name}': '{}',", values.join(";"));
        }
        out.push_str("};\n\n/** Methods of a service: `Name Request Response`. */\n");
        out.push_str("export const services: Readonly<Record<string, string>> = {\n");
        for file in &set.file {
            for service in &file.service {
                let methods: Vec<String> = service
                    .method
                    .iter()
                    .map(|m| format!("{} {} {}", m.name(), &m.input_type()[1..], &m.output_type()[1..]))
                    .collect();
                let _ = writeln!(out, "  '{}.{}': '{}',", file.package(), service.name(), methods.join(";"));
            }
        }
        out.push_str("};\n");
        out
    }

    fn row(&self, field: &FieldDescriptorProto) -> String {
        let name = camel_case(field.name());
        let number = field.number();
        if let Some(entry) = self.map_entry(field) {
            let [key, value] = &entry.field[..] else { return String::new() };
            return format!("{name} {number} map {} {}", wire_type(value), wire_type(key));
        }
        let label = match field.label() {
            Label::Repeated if is_packable(field) => "packed",
            Label::Repeated => "list",
            _ if has_presence(field) => "maybe",
            _ => "one",
        };
        format!("{name} {number} {label} {}", wire_type(field))
    }

    /// Interfaces, codecs and enums inside namespaces, as the packages nest.
    fn types(&self) -> String {
        let mut scopes: BTreeMap<&str, Vec<(&str, &DescriptorProto)>> = BTreeMap::new();
        for (name, message) in &self.messages {
            if is_map_entry(message) {
                continue;
            }
            let (scope, short) = name.rsplit_once('.').unwrap_or(("", name));
            scopes.entry(scope).or_default().push((short, message));
        }
        let mut out = format!("{HEADER}\nimport {{ type Codec, defineNames }} from '../codec';\n\n");
        out.push_str("/** 64 bits: a number where it is exact, a bigint beyond. */\n");
        out.push_str("export type Int64 = number | bigint;\n");
        for (scope, messages) in &scopes {
            let _ = writeln!(out, "\nexport declare namespace {scope} {{");
            for (name, message) in messages {
                self.interface(&mut out, name, message, true);
                self.interface(&mut out, name, message, false);
                // What is nested in a message has no value, since a name can't be that and a namespace of values.
                if !self.messages.contains_key(*scope) {
                    let _ = writeln!(out, "  export const {name}: Codec<I{name}, {name}>;");
                }
            }
            out.push_str("}\n");
        }
        for (name, one) in &self.enums {
            let (scope, short) = name.rsplit_once('.').unwrap_or(("", name));
            if self.messages.contains_key(scope) {
                continue;
            }
            let _ = writeln!(out, "\nexport declare namespace {scope} {{\n  export const {short}: {{");
            for value in &one.value {
                let _ = writeln!(out, "    readonly {}: {};", value.name(), value.number());
            }
            out.push_str("  };\n}\n");
        }
        out.push_str("\ndeclare const exports: Record<string, unknown>;\n");
        out.push_str("// The values behind these names, made when they are first used.\n");
        out.push_str("defineNames(exports, ['durably', 'google', 'temporal']);\n");
        out
    }

    fn interface(&self, out: &mut String, name: &str, message: &DescriptorProto, input: bool) {
        let _ = writeln!(out, "  export interface {}{name} {{", if input { "I" } else { "" });
        for field in &message.field {
            let name = camel_case(field.name());
            let (of, is_many) = self.field_type(field, input);
            let line = match (input, is_many || !has_presence(field)) {
                (true, _) => format!("{name}?: {of} | null | undefined"),
                (false, true) => format!("{name}: {of}"),
                (false, false) => format!("{name}?: {of} | undefined"),
            };
            let _ = writeln!(out, "    {line};");
        }
        out.push_str("  }\n");
    }

    fn field_type(&self, field: &FieldDescriptorProto, input: bool) -> (String, bool) {
        if let Some(entry) = self.map_entry(field) {
            let value = entry.field.get(1).map_or_else(String::new, |value| script_type(value, input));
            return (format!("Record<string, {value}>"), true);
        }
        let of = script_type(field, input);
        match field.label() {
            Label::Repeated => (format!("{of}[]"), true),
            _ => (of, false),
        }
    }
}

/// An interface for each service: its raw calls.
fn services(set: &FileDescriptorSet) -> String {
    let mut out = String::new();
    for file in &set.file {
        for service in &file.service {
            let _ = writeln!(
                out,
                "\nexport declare namespace {} {{\n  export interface {} {{",
                file.package(),
                service.name()
            );
            for method in &service.method {
                let mut name = method.name().to_owned();
                name[..1].make_ascii_lowercase();
                let (request, response) = (&method.input_type()[1..], &method.output_type()[1..]);
                let (scope, short) = request.rsplit_once('.').unwrap_or(("", request));
                let _ = writeln!(out, "    {name}(request?: {scope}.I{short}): Promise<{response}>;");
            }
            out.push_str("  }\n}\n");
        }
    }
    out
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(MessageOptions::map_entry)
}

fn has_presence(field: &FieldDescriptorProto) -> bool {
    field.r#type() == Type::Message || field.oneof_index.is_some()
}

fn is_packable(field: &FieldDescriptorProto) -> bool {
    !matches!(field.r#type(), Type::String | Type::Bytes | Type::Message)
}

fn wire_type(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message => field.type_name()[1..].to_owned(),
        Type::Enum => format!("enum:{}", &field.type_name()[1..]),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn script_type(field: &FieldDescriptorProto, input: bool) -> String {
    match field.r#type() {
        Type::Message => {
            let name = &field.type_name()[1..];
            let (scope, short) = name.rsplit_once('.').unwrap_or(("", name));
            format!("{scope}.{}{short}", if input { "I" } else { "" })
        }
        Type::String => "string".to_owned(),
        Type::Bytes => "Uint8Array".to_owned(),
        Type::Bool => "boolean".to_owned(),
        Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64 => "Int64".to_owned(),
        _ => "number".to_owned(),
    }
}

/// As protobuf's JSON names are made.
fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else {
            out.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    out
}
