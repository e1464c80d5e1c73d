//! The HTTP/JSON face: one table of routes, from which both the router and the OpenAPI document are made.

mod async_completion;
mod client;
mod error;
mod openapi;
mod routes;
mod updates;
mod work;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Query, RawPathParams, Request, State},
    response::Response,
    routing::{MethodFilter, on},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{StatusCode, header};
use serde_json::{Map, Value};

use self::{error::ApiError, routes::ROUTES};
use crate::{Shared, config::duration, json};

/// What a handler is asked.
struct Ask {
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    body: Bytes,
}

/// What it answers: JSON, a text (the .proto files), or nothing.
enum Reply {
    Json(Value),
    Text(&'static str),
    Nothing,
}

type Handler = fn(Arc<Shared>, Ask) -> BoxFuture<'static, Result<Reply, ApiError>>;

struct Route {
    method: MethodFilter,
    /// In the notation of OpenAPI and of the router: `/v1/workflows/{id}`.
    path: &'static str,
    summary: &'static str,
    /// Parameters after the `?`, each with what it means.
    query: &'static [(&'static str, &'static str)],
    body: BodyKind,
    answer: BodyKind,
    handler: Handler,
}

/// What a body holds.
enum BodyKind {
    Nothing,
    /// A message of the contract or of Temporal's API, by its full name.
    Message(&'static str),
    /// An object of the sidecar's own: its members, each with what it means.
    Object(&'static [(&'static str, &'static str)]),
    Text,
}

/// The routes, for connections that must show the token if there is one.
pub(crate) fn router(shared: &Arc<Shared>, token: Option<&str>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let (handler, token) = (route.handler, token.map(str::to_owned));
        let answer = move |State(shared): State<Arc<Shared>>, request: Request| async move {
            match authorize(&request, token.as_deref()) {
                Ok(()) => match run(shared, handler, request).await {
                    Ok(reply) => respond(reply),
                    Err(error) => error.into_response(),
                },
                Err(error) => error.into_response(),
            }
        };
        router = router.route(route.path, on(route.method, answer));
    }
    router
        .fallback(|| async {
            ApiError::not_found("there is no such resource; GET /v1/openapi.json lists all").into_response()
        })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "this resource has no such method; GET /v1/openapi.json lists all",
            )
            .into_response()
        })
        .with_state(Arc::clone(shared))
}

/// Compares in constant time, so that the token can't be guessed byte by byte.
pub(crate) fn is_authorized(header: Option<&[u8]>, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let Some(given) = header.and_then(|header| header.strip_prefix(b"Bearer ")) else { return false };
    given.len() == token.len() && given.iter().zip(token.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

fn authorize(request: &Request, token: Option<&str>) -> Result<(), ApiError> {
    let header = request.headers().get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    if is_authorized(header, token) {
        return Ok(());
    }
    let message = match header {
        None => "send `Authorization: Bearer TOKEN` with the token of the sidecar's token_file",
        Some(_) => "this is not the token of the sidecar's token_file",
    };
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message))
}

async fn run(shared: Arc<Shared>, handler: Handler, request: Request) -> Result<Reply, ApiError> {
    let (mut parts, body) = request.into_parts();
    let path = {
        use axum::extract::FromRequestParts as _;
        let params = RawPathParams::from_request_parts(&mut parts, &()).await;
        let params = params.map_err(|e| ApiError::invalid(e.to_string()))?;
        params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let Query(query) = Query::try_from_uri(&parts.uri).map_err(|e| ApiError::invalid(e.to_string()))?;
    let limit = shared.body_bytes;
    let body = to_bytes(body, limit).await.map_err(|_| {
        let message = format!(
            "the body has more than {limit} bytes, or it was cut off; [limits] body_bytes raises the limit"
        );
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RESOURCE_EXHAUSTED", message)
    })?;
    handler(shared, Ask { path, query, body }).await
}

fn respond(reply: Reply) -> Response {
    let (status, kind, body) = match reply {
        Reply::Json(value) => (StatusCode::OK, "application/json", Body::from(value.to_string())),
        Reply::Text(text) => (StatusCode::OK, "text/plain; charset=utf-8", Body::from(text)),
        Reply::Nothing => (StatusCode::NO_CONTENT, "", Body::empty()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if !kind.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    }
    response
}

impl Ask {
    fn path(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// The body's members; none if there is no body.
    fn object(&self) -> Result<Map<String, Value>, ApiError> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(ApiError::invalid("the body must be a JSON object")),
            // The error names line and column.
            Err(error) => Err(ApiError::invalid(format!("the body is not JSON: {error}"))),
        }
    }

    /// The body as a message.
    fn message<M: prost::Message + prost::Name + Default>(&self, full_name: &str) -> Result<M, ApiError> {
        json::read(full_name, self.object()?.into()).map_err(|e| ApiError::invalid(e.to_string()))
    }

    /// The time-out `wait`: at most a minute, so that proxies and clients don't give up before.
    fn wait(&self) -> Result<Duration, ApiError> {
        const LONGEST: Duration = Duration::from_mins(1);
        match self.query("wait") {
            "" => Ok(Duration::from_secs(30)),
            text => duration(text)
                .map(|wait| wait.min(LONGEST))
                .ok_or_else(|| ApiError::invalid(format!("wait `{text}` is not a time such as 30s"))),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.query(name) {
            "" | "true" => Ok(true),
            "false" => Ok(false),
            other => Err(ApiError::invalid(format!("{name} is `true` or `false`, not `{other}`"))),
        }
    }
}
