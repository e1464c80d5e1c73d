//! The OpenAPI document, made from the table of routes and from the messages' descriptors; and the .proto files.

use std::{collections::BTreeMap, sync::Arc};

use axum::routing::MethodFilter;
use futures::future::BoxFuture;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{Ask, BodyKind, Reply, Route, error::ApiError, routes::ROUTES};
use crate::{Shared, json};

pub(super) fn serve(_: Arc<Shared>, _: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    Box::pin(async { Ok(Reply::Json(document())) })
}

pub(super) fn proto(_: Arc<Shared>, ask: Ask) -> BoxFuture<'static, Result<Reply, ApiError>> {
    Box::pin(async move {
        let file = ask.path("file");
        if let Some((_, text)) = durably_proto::SOURCES.iter().find(|(name, _)| *name == file) {
            return Ok(Reply::Text(text));
        }
        let names: Vec<_> = durably_proto::SOURCES.iter().map(|(name, _)| *name).collect();
        Err(ApiError::not_found(format!("`{file}` is not here; there are {}", names.join(", "))))
    })
}

pub(super) fn document() -> Value {
    let mut schemas = BTreeMap::new();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let operation = operation(route, &mut schemas);
        // A wildcard is the router's notation.
        paths.entry(route.path.replace("{*", "{")).or_default().insert(method(route).to_owned(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "durably sidecar",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Workers and client calls for processes without an SDK. Payloads are plain values: see Payload.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "token": [] }, {}],
    })
}

fn method(route: &Route) -> &'static str {
    match route.method {
        MethodFilter::GET => "get",
        MethodFilter::DELETE => "delete",
        _ => "post",
    }
}

fn operation(route: &Route, schemas: &mut BTreeMap<String, Value>) -> Value {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(|name| {
        json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let in_query = route.query.iter().map(|(name, description)| {
        json!({ "name": name, "in": "query", "description": description, "schema": { "type": "string" } })
    });
    let mut operation = json!({
        "summary": route.summary,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": { "default": content(&BodyKind::Object(&[(
            "error",
            "An object with gRPC's code, a message, and what else the server said as details.",
        )]), schemas) },
    });
    let success = match route.answer {
        BodyKind::Nothing => json!({ "204": { "description": "Done." } }),
        _ => json!({ "200": content(&route.answer, schemas) }),
    };
    if let (Some(responses), Value::Object(success)) = (operation["responses"].as_object_mut(), success) {
        responses.extend(success);
    }
    if !matches!(route.body, BodyKind::Nothing) {
        operation["requestBody"] = content(&route.body, schemas);
    }
    operation
}

fn content(body: &BodyKind, schemas: &mut BTreeMap<String, Value>) -> Value {
    let (kind, schema) = match body {
        BodyKind::Message(name) => ("application/json", reference(name, schemas)),
        BodyKind::Object(members) => {
            let members: Map<String, Value> = members
                .iter()
                .map(|(name, description)| ((*name).to_owned(), json!({ "description": description })))
                .collect();
            ("application/json", json!({ "type": "object", "properties": members }))
        }
        BodyKind::Text | BodyKind::Nothing => ("text/plain", json!({ "type": "string" })),
    };
    json!({ "description": "JSON as docs/sidecar.md describes it.", "content": { kind: { "schema": schema } } })
}

/// A reference to the schema of a message, which is added if it is new.
fn reference(full_name: &str, schemas: &mut BTreeMap<String, Value>) -> Value {
    if let Ok(descriptor) = json::descriptor(full_name) {
        add(&descriptor, schemas);
    }
    json!({ "$ref": format!("#/components/schemas/{full_name}") })
}

fn add(descriptor: &MessageDescriptor, schemas: &mut BTreeMap<String, Value>) {
    let name = descriptor.full_name();
    if schemas.contains_key(name) {
        return;
    }
    // Reserved before its fields are looked at: messages contain themselves.
    schemas.insert(name.to_owned(), Value::Null);
    let schema = match name {
        json::PAYLOAD => json!({
            "description": "A plain JSON value; anything that is not JSON is {\"$payload\": {\"metadata\": …, \"data\": …}}.",
        }),
        json::PAYLOADS => json!({ "type": "array", "items": reference(json::PAYLOAD, schemas) }),
        json::DURATION => json!({ "type": "string", "examples": ["1.5s"] }),
        "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
        _ => {
            let mut properties = Map::new();
            for field in descriptor.fields() {
                let schema = field_schema(&field, schemas);
                properties.insert(field.json_name().to_owned(), schema);
            }
            json!({ "type": "object", "properties": properties })
        }
    };
    schemas.insert(name.to_owned(), schema);
}

fn field_schema(field: &FieldDescriptor, schemas: &mut BTreeMap<String, Value>) -> Value {
    if let Kind::Message(entry) = field.kind()
        && field.is_map()
    {
        let of = kind_schema(&entry.map_entry_value_field().kind(), schemas);
        return json!({ "type": "object", "additionalProperties": of });
    }
    let one = kind_schema(&field.kind(), schemas);
    if field.is_list() { json!({ "type": "array", "items": one }) } else { one }
}

fn kind_schema(kind: &Kind, schemas: &mut BTreeMap<String, Value>) -> Value {
    match kind {
        Kind::Message(of) => reference(of.full_name(), schemas),
        Kind::Enum(of) => {
            let names: Vec<String> = of.values().map(|value| value.name().to_owned()).collect();
            json!({ "type": "string", "enum": names })
        }
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => {
            json!({ "type": "string", "format": "int64" })
        }
        _ => json!({ "type": "integer" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_every_reference_leads_somewhere() {
        let document = document();
        let operations: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(operations, ROUTES.len(), "no two routes share a method and a path");
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = &reference[..reference.find('"').unwrap()];
            assert!(schemas.get(name).is_some_and(|schema| !schema.is_null()), "{name}");
        }
    }
}
