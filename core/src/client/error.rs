//! Failed calls as values: a gRPC status turned into what the SDK and a person need.

use std::error::Error as _;

use durably_proto::durably::core::v1::CallError;
use tonic::{Code, Status};

use crate::transport::remote::unreachable_message;

/// How the server's error details name an unknown namespace.
const NAMESPACE_NOT_FOUND: &[u8] = b"NamespaceNotFoundFailure";

/// A `CallError` without details from the server.
pub(crate) fn call_error(code: Code, message: impl Into<String>) -> CallError {
    CallError { code: code as i32, message: message.into(), status: bytes::Bytes::new() }
}

/// The status of a call to `target`, told apart into what the server said and what the connection did.
pub(crate) fn from_status(status: &Status, target: &str) -> CallError {
    if is_connection_error(status) {
        let cause = status.source().map_or_else(|| status.message().to_owned(), cause_chain);
        return call_error(Code::Unavailable, unreachable_message(target, &cause));
    }
    CallError {
        code: status.code() as i32,
        message: message_of(status, target),
        status: bytes::Bytes::copy_from_slice(status.details()),
    }
}

/// What the server says; of a namespace that an embedded server hasn't, with what can be done in this process.
fn message_of(status: &Status, target: &str) -> String {
    let is_unknown_namespace = status.code() == Code::NotFound
        && status.details().windows(NAMESPACE_NOT_FOUND.len()).any(|part| part == NAMESPACE_NOT_FOUND);
    if !is_unknown_namespace || !target.starts_with("embedded:") {
        return status.message().to_owned();
    }
    let said = status.message().split("; ").next().unwrap_or_default();
    format!(
        "{said}. The server is embedded: it has `default`, and what the option for its namespaces lists where this \
         process connects; list it there"
    )
}

/// True if the request may not have reached the server, or its answer got lost: the status was made at this end.
pub(crate) fn is_connection_error(status: &Status) -> bool {
    status.source().is_some() && matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown)
}

/// True if the request, or its answer, is beyond what one end of the connection takes: sent again, it still is. gRPC
/// has no code for it, so it is known by the words of the libraries that servers are built with.
pub(crate) fn is_too_large(code: Code, message: &str) -> bool {
    match code {
        Code::ResourceExhausted => message.contains("message larger than max"),
        Code::OutOfRange => message.contains("message length too large"),
        _ => false,
    }
}

/// An error with everything below it, each once.
pub(crate) fn cause_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Many layers repeat the text of the one below them, and tonic's outermost only says "transport error".
        if text != "transport error" && !parts.iter().any(|p| p.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}
