//! Errors as JSON: `{"error": {"code", "message", "details"}}` with gRPC's code and the HTTP status that goes with it.

use axum::{body::Body, response::Response};
use durably_core::CallError;
use durably_proto::{google::rpc::Status, temporal::api::errordetails::v1::MultiOperationExecutionFailure};
use http::{HeaderValue, StatusCode, header};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::Code;

use crate::{assignment::Refusal, json};

#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Value>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
    }

    pub(super) fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.details.is_empty() {
            error["details"] = self.details.into();
        }
        let body = json!({ "error": error });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(message) => Self::not_found(message),
            Refusal::NotYours(message) => Self::new(StatusCode::CONFLICT, "FAILED_PRECONDITION", message),
            Refusal::Malformed(message) => Self::invalid(message),
        }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let (status, code) = match Code::from_i32(error.code) {
            Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
            Code::OutOfRange => (StatusCode::BAD_REQUEST, "OUT_OF_RANGE"),
            Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
            Code::FailedPrecondition => (StatusCode::CONFLICT, "FAILED_PRECONDITION"),
            Code::Aborted => (StatusCode::CONFLICT, "ABORTED"),
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
            // The server's, not the sidecar's: the application can't help it.
            Code::Unauthenticated => (StatusCode::BAD_GATEWAY, "UNAUTHENTICATED"),
            Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
            Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED"),
            Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
            Code::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "CANCELLED"),
            Code::DataLoss => (StatusCode::INTERNAL_SERVER_ERROR, "DATA_LOSS"),
            Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
            Code::Ok | Code::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        Self { status, code, message: error.message, details: details(&error.status) }
    }
}

/// The error of that operation of ExecuteMultiOperation which failed by itself; the others were only given up because of it.
pub(super) fn of_operation(error: CallError) -> CallError {
    let statuses =
        Status::decode(&error.status[..]).unwrap_or_default().details.into_iter().find_map(|detail| {
            if !detail.type_url.ends_with(".MultiOperationExecutionFailure") {
                return None;
            }
            MultiOperationExecutionFailure::decode(&detail.value[..]).ok().map(|failure| failure.statuses)
        });
    let failed = statuses.into_iter().flatten().find(|status| {
        let is_aborted =
            status.details.iter().any(|detail| detail.type_url.ends_with(".MultiOperationExecutionAborted"));
        status.code != Code::Ok as i32 && !is_aborted
    });
    let Some(failed) = failed else { return error };
    let status = Status { code: failed.code, message: failed.message.clone(), details: failed.details };
    CallError { code: failed.code, message: failed.message, status: status.encode_to_vec().into() }
}

/// The details of an encoded `google.rpc.Status` in proto3's mapping, those whose type is known.
fn details(status: &[u8]) -> Vec<Value> {
    let Ok(status) = Status::decode(status) else { return Vec::new() };
    let known = status.details.into_iter().filter_map(|detail| {
        let name = detail.type_url.rsplit('/').next()?;
        let mut value = json::write_bytes(name, &detail.value).ok()?;
        value.as_object_mut()?.insert("@type".to_owned(), detail.type_url.into());
        Some(value)
    });
    known.collect()
}
