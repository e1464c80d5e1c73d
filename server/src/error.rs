//! What can go wrong: [`ServiceError`] is the answer to one RPC, [`OpenError`] to opening a server.
//!
//! A `ServiceError` becomes a gRPC status whose `grpc-status-details-bin` trailer carries the message of
//! `temporal.api.errordetails.v1` that the official SDKs look for. Both say in their message what to do about it.

use std::{any::Any, fmt, io, net::SocketAddr, path::PathBuf};

use durably_proto::{
    google::rpc,
    temporal::api::{
        enums::v1::{ResourceExhaustedCause, ResourceExhaustedScope},
        errordetails::v1 as details,
        failure::v1::{Failure, failure::FailureInfo},
    },
};
use prost::Message;
use tonic::{Code, Status};

use crate::store::StoreError;

/// Why a call was refused or failed. Cheap to move (one pointer).
#[derive(Clone, PartialEq)]
pub struct ServiceError(Box<Inner>);

#[derive(Clone, PartialEq)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
}

/// What happened, in the terms a client can act on. Each kind has one gRPC code and at most one detail message.
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorKind {
    /// The request can never succeed as it is.
    InvalidArgument,
    /// The workflow, run, activity or task does not exist, or has ended.
    NotFound,
    /// The namespace is not registered.
    NamespaceNotFound {
        namespace: String,
    },
    NamespaceAlreadyExists,
    /// The workflow id is taken by a run that the id policies protect.
    WorkflowExecutionAlreadyStarted {
        start_request_id: String,
        run_id: String,
    },
    /// The query handler answered with a failure.
    QueryFailed {
        failure: Option<Box<Failure>>,
    },
    /// The workflow cannot take the call yet, for example a query before its first workflow task.
    WorkflowNotReady,
    /// The run ends, and another one of the workflow follows: the call is for that one.
    WorkflowClosing,
    /// The server doesn't do this for anybody.
    PermissionDenied,
    /// As many of the kind are under way as there may be.
    ConcurrentLimit,
    /// One of the operations of a call failed; what became of each, in their order.
    MultiOperation {
        operations: Vec<Operation>,
    },
    /// The call does not fit the present state, and repeating it will not help by itself.
    FailedPrecondition,
    /// The call's own time ran out before there was an answer.
    DeadlineExceeded,
    /// The server is stopping, or its state file cannot be written just now.
    Unavailable,
    /// Another server of the same state can answer; the call is forwarded to it, or else may be repeated.
    Elsewhere {
        address: String,
    },
    /// Part of the API that this server does not offer.
    Unimplemented,
    /// A bug of this server.
    Internal,
    /// A bug of this server, by which the call panicked. What it said is for whoever runs the server.
    Panicked {
        said: String,
    },
    /// Stored state cannot be read.
    DataLoss,
}

/// What became of an operation that was to be done together with others.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    Done,
    /// Another one failed.
    Aborted,
    Failed(ServiceError),
}

impl ErrorKind {
    /// The gRPC code clients see.
    pub fn code(&self) -> Code {
        match self {
            Self::InvalidArgument | Self::QueryFailed { .. } => Code::InvalidArgument,
            Self::NotFound | Self::NamespaceNotFound { .. } => Code::NotFound,
            Self::NamespaceAlreadyExists | Self::WorkflowExecutionAlreadyStarted { .. } => {
                Code::AlreadyExists
            }
            Self::WorkflowNotReady | Self::FailedPrecondition => Code::FailedPrecondition,
            Self::WorkflowClosing | Self::ConcurrentLimit => Code::ResourceExhausted,
            Self::MultiOperation { operations } => operations
                .iter()
                .find_map(Operation::failure)
                .map_or(Code::Aborted, |error| error.kind().code()),
            Self::PermissionDenied => Code::PermissionDenied,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Unavailable | Self::Elsewhere { .. } => Code::Unavailable,
            Self::Unimplemented => Code::Unimplemented,
            Self::Internal | Self::Panicked { .. } => Code::Internal,
            Self::DataLoss => Code::DataLoss,
        }
    }

    fn detail(&self) -> Option<prost_types::Any> {
        Some(match self {
            Self::NotFound => pack("NotFoundFailure", &details::NotFoundFailure::default()),
            Self::NamespaceNotFound { namespace } => pack(
                "NamespaceNotFoundFailure",
                &details::NamespaceNotFoundFailure { namespace: namespace.clone() },
            ),
            Self::NamespaceAlreadyExists => {
                pack("NamespaceAlreadyExistsFailure", &details::NamespaceAlreadyExistsFailure {})
            }
            Self::WorkflowExecutionAlreadyStarted { start_request_id, run_id } => pack(
                "WorkflowExecutionAlreadyStartedFailure",
                &details::WorkflowExecutionAlreadyStartedFailure {
                    start_request_id: start_request_id.clone(),
                    run_id: run_id.clone(),
                    ..Default::default()
                },
            ),
            Self::QueryFailed { failure } => pack(
                "QueryFailedFailure",
                &details::QueryFailedFailure { failure: failure.as_deref().map(fitting) },
            ),
            Self::WorkflowNotReady => pack("WorkflowNotReadyFailure", &details::WorkflowNotReadyFailure {}),
            Self::WorkflowClosing => exhausted(ResourceExhaustedCause::BusyWorkflow),
            Self::ConcurrentLimit => exhausted(ResourceExhaustedCause::ConcurrentLimit),
            Self::MultiOperation { operations } => {
                let statuses = operations.iter().map(Operation::status).collect();
                pack("MultiOperationExecutionFailure", &details::MultiOperationExecutionFailure { statuses })
            }
            Self::PermissionDenied => {
                pack("PermissionDeniedFailure", &details::PermissionDeniedFailure::default())
            }
            Self::InvalidArgument
            | Self::FailedPrecondition
            | Self::DeadlineExceeded
            | Self::Unavailable
            | Self::Elsewhere { .. }
            | Self::Unimplemented
            | Self::Internal
            | Self::Panicked { .. }
            | Self::DataLoss => return None,
        })
    }
}

impl ServiceError {
    /// `message` says what is wrong and what to do about it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), context: Vec::new() }))
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub fn failed_precondition(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::FailedPrecondition, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unimplemented, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds a name and value for whoever reads the message, such as the workflow id.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((name, value.into()));
        self
    }

    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Longest status message sent, as the header that it becomes; a longer one is cut. Clients bound header lists, some at
/// 16 KB, and what breaks that bound looks to them like a broken connection, which they retry.
const MAX_MESSAGE_BYTES: usize = 4_000;
/// The same for the failure of a query, which goes into a header too.
const MAX_FAILURE_BYTES: usize = 2_000;

/// `message` without what makes its header too long: all but letters, digits and the commonest signs take three bytes.
fn fit(message: &mut String) {
    let mut room = MAX_MESSAGE_BYTES;
    let fits = |c: char| {
        let bytes =
            if c.is_ascii_alphanumeric() || "-_.~'!()*:;,/=".contains(c) { 1 } else { 3 * c.len_utf8() };
        room = room.checked_sub(bytes)?;
        Some(c.len_utf8())
    };
    let kept = message.chars().map_while(fits).sum();
    message.truncate(kept);
}

/// The failure without what makes it too large: first stack traces go, then details, causes, and the message's end.
fn fitting(failure: &Failure) -> Failure {
    let mut failure = failure.clone();
    let cuts: [fn(&mut Failure); 4] = [
        |failure| {
            failure.stack_trace.truncate(failure.stack_trace.floor_char_boundary(MAX_FAILURE_BYTES / 4));
        },
        |failure| {
            if let Some(FailureInfo::ApplicationFailureInfo(info)) = &mut failure.failure_info {
                info.details = None;
            }
        },
        |failure| failure.cause = None,
        |failure| {
            failure.encoded_attributes = None;
            failure.message.truncate(failure.message.floor_char_boundary(MAX_FAILURE_BYTES / 2));
            failure.stack_trace.clear();
        },
    ];
    for cut in cuts {
        if failure.encoded_len() <= MAX_FAILURE_BYTES {
            break;
        }
        cut(&mut failure);
    }
    failure
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (name, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { " (" } else { ", " })?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Damaged { .. } | StoreError::DamagedFile(_) => ErrorKind::DataLoss,
            StoreError::TooSlow => ErrorKind::DeadlineExceeded,
            StoreError::Fenced { .. }
            | StoreError::Held { .. }
            | StoreError::Gone(_)
            | StoreError::Closed
            | StoreError::Failed(_) => ErrorKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for ServiceError {}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let code = error.0.kind.code();
        let mut message = error.to_string();
        fit(&mut message);
        let Some(detail) = error.0.kind.detail() else { return Status::new(code, message) };
        let status = rpc::Status { code: code as i32, message: message.clone(), details: vec![detail] };
        Status::with_details(code, message, status.encode_to_vec().into())
    }
}

impl Operation {
    fn failure(&self) -> Option<&ServiceError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Done | Self::Aborted => None,
        }
    }

    fn status(&self) -> details::multi_operation_execution_failure::OperationStatus {
        use details::multi_operation_execution_failure::OperationStatus;
        match self {
            Self::Done => OperationStatus::default(),
            Self::Aborted => OperationStatus {
                code: Code::Aborted as i32,
                message: "Operation was aborted.".to_owned(),
                details: vec![prost_types::Any {
                    type_url: "type.googleapis.com/temporal.api.failure.v1.MultiOperationExecutionAborted"
                        .to_owned(),
                    value: Vec::new(),
                }],
            },
            Self::Failed(error) => OperationStatus {
                code: error.kind().code() as i32,
                message: error.to_string(),
                details: error.kind().detail().into_iter().collect(),
            },
        }
    }
}

fn exhausted(cause: ResourceExhaustedCause) -> prost_types::Any {
    pack(
        "ResourceExhaustedFailure",
        &details::ResourceExhaustedFailure {
            cause: cause as i32,
            scope: ResourceExhaustedScope::Namespace as i32,
        },
    )
}

fn pack(name: &str, message: &impl Message) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/temporal.api.errordetails.v1.{name}"),
        value: message.encode_to_vec(),
    }
}

/// Why a server could not be opened or could not listen. Nothing on disk was changed unless the text says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error(
        "{}: not a durably state file, or damaged ({detail}). Nothing was changed. Restore it from a copy, \
         or move it away to begin with an empty one",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error(
        "{}: there is nothing in this file ({detail}): it was cut off, or copied without its log ({}-wal). Nothing was \
         changed. Restore both from a copy; if there is nothing to keep, remove the file, and a new one is made",
        path.display(), path.display()
    )]
    Empty { path: PathBuf, detail: &'static str },
    #[error(
        "{}: the log {} is missing, in which the last changes are. Either the file was copied without it while a server \
         had it open, or after one had crashed: copy it with `durably server backup`, or the log too. Or another program, such as the sqlite3 shell, has put \
         the log into the file already, or the log is lost for good: make an empty one (touch '{}') to open the file as \
         it is. Nothing was changed",
        path.display(), log.display(), log.display()
    )]
    LogMissing { path: PathBuf, log: PathBuf },
    #[error("{}: there is no such file", path.display())]
    Missing { path: PathBuf },
    /// SQLite takes a log as ended at the first byte that is not what was written, and forgets all that is behind it.
    #[error(
        "{}: the log {} is damaged at byte {offset}, and {changes} or more changes that were acknowledged are behind it. \
         Nothing was changed. Restore the file and its log from a copy. Or go on with what can be read: rename the log \
         (mv '{}' '{}.damaged') and start again; it is kept, and a run that the damage has hit is named",
        path.display(), log.display(), log.display(), log.display()
    )]
    LogDamaged { path: PathBuf, log: PathBuf, offset: u64, changes: u64 },
    #[error(
        "{}: the file has {links} names (hard links). Opened by two of them, it would lose what one of both wrote. \
         Remove the other names, or use a copy, or a symbolic link",
        path.display()
    )]
    Linked { path: PathBuf, links: u64 },
    #[error(
        "{}: written by a newer durably (schema {found}, this one knows {supported}). Nothing was changed. \
         Upgrade durably, or use another state file",
        path.display()
    )]
    NewerSchema { path: PathBuf, found: u32, supported: u32 },
    #[error(
        "{}: in use by another process ({detail}). Stop that process, connect to the state as `embedded:{}` if it is \
         that of an embedded server, or use another state file",
        path.display(),
        path.display()
    )]
    Locked { path: PathBuf, detail: String },
    #[error("{}: the directory does not exist. Create it first: mkdir -p {}", path.display(), directory.display())]
    DirectoryMissing { path: PathBuf, directory: PathBuf },
    #[error("{}: permission denied. Make the file and its directory readable and writable for this user", path.display())]
    PermissionDenied { path: PathBuf },
    #[error("{}: cannot be written, {detail}. Free space or make the file system writable, then start again", path.display())]
    NotWritable { path: PathBuf, detail: String },
    #[error(
        "{address} is in use. Stop what listens there, or choose another port with --port (0 takes any free one)"
    )]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address}: {source}. Choose another address with --ip and --port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("option {option}: {problem}")]
    InvalidOption { option: &'static str, problem: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The store answered with an error that fits none of the above.
    #[error("{}: the state file cannot be used: {detail}", path.display())]
    Store { path: PathBuf, detail: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind with its code and the detail message on the wire; SDKs build their exceptions from these.
    #[test]
    fn kinds_on_the_wire() {
        let started =
            ErrorKind::WorkflowExecutionAlreadyStarted { start_request_id: "q".into(), run_id: "r".into() };
        for (kind, code, detail) in [
            (ErrorKind::InvalidArgument, Code::InvalidArgument, ""),
            (ErrorKind::NotFound, Code::NotFound, "NotFoundFailure"),
            (
                ErrorKind::NamespaceNotFound { namespace: "n".into() },
                Code::NotFound,
                "NamespaceNotFoundFailure",
            ),
            (ErrorKind::NamespaceAlreadyExists, Code::AlreadyExists, "NamespaceAlreadyExistsFailure"),
            (started, Code::AlreadyExists, "WorkflowExecutionAlreadyStartedFailure"),
            (ErrorKind::QueryFailed { failure: None }, Code::InvalidArgument, "QueryFailedFailure"),
            (ErrorKind::WorkflowNotReady, Code::FailedPrecondition, "WorkflowNotReadyFailure"),
            (ErrorKind::FailedPrecondition, Code::FailedPrecondition, ""),
            (ErrorKind::PermissionDenied, Code::PermissionDenied, "PermissionDeniedFailure"),
            (ErrorKind::WorkflowClosing, Code::ResourceExhausted, "ResourceExhaustedFailure"),
            (ErrorKind::ConcurrentLimit, Code::ResourceExhausted, "ResourceExhaustedFailure"),
            (
                ErrorKind::MultiOperation {
                    operations: vec![
                        Operation::Failed(ServiceError::not_found("the first")),
                        Operation::Aborted,
                    ],
                },
                Code::NotFound,
                "MultiOperationExecutionFailure",
            ),
            (ErrorKind::DeadlineExceeded, Code::DeadlineExceeded, ""),
            (ErrorKind::Unavailable, Code::Unavailable, ""),
            (ErrorKind::Elsewhere { address: "http://b".into() }, Code::Unavailable, ""),
            (ErrorKind::Unimplemented, Code::Unimplemented, ""),
            (ErrorKind::Internal, Code::Internal, ""),
            (ErrorKind::Panicked { said: "s".into() }, Code::Internal, ""),
            (ErrorKind::DataLoss, Code::DataLoss, ""),
        ] {
            let name = format!("{kind:?}");
            let status = Status::from(ServiceError::new(kind, "what to do"));
            assert_eq!((status.code(), status.message()), (code, "what to do"), "{name}");
            let wire = rpc::Status::decode(status.details()).expect("details are a google.rpc.Status");
            let expected = if detail.is_empty() {
                Vec::new()
            } else {
                assert_eq!((wire.code, wire.message.as_str()), (code as i32, "what to do"), "{name}");
                vec![format!("type.googleapis.com/temporal.api.errordetails.v1.{detail}")]
            };
            let packed: Vec<_> = wire.details.into_iter().map(|any| any.type_url).collect();
            assert_eq!(packed, expected, "{name}");
        }
    }

    #[test]
    fn messages_carry_context_and_stay_bounded() {
        let error = ServiceError::not_found("no such run").with("workflow_id", "order-1").with("run_id", "r");
        assert_eq!(error.to_string(), "no such run (workflow_id=order-1, run_id=r)");
        let long = |text: &str| Status::from(ServiceError::internal(text.repeat(5_000)));
        assert_eq!(long("x").message().len(), MAX_MESSAGE_BYTES);
        for text in ["ü", "\u{1}", "%", " "] {
            let status = long(text);
            let header = status.into_http::<()>().headers()["grpc-message"].len();
            assert!(
                (MAX_MESSAGE_BYTES - 6..=MAX_MESSAGE_BYTES).contains(&header),
                "{header} bytes for {text:?}"
            );
        }
    }

    #[test]
    fn the_failure_of_a_query_fits_into_a_header() {
        let mut failure =
            Failure { message: "why".into(), stack_trace: "at f\n".repeat(50_000), ..Default::default() };
        for _ in 0..60 {
            failure = Failure { cause: Some(Box::new(failure.clone())), ..failure };
            failure.cause.as_mut().unwrap().stack_trace.truncate(100);
        }
        let kind = ErrorKind::QueryFailed { failure: Some(Box::new(failure)) };
        let status = Status::from(ServiceError::new(kind, "x".repeat(9_000)));
        let headers = status.into_http::<()>();
        let bytes: usize = headers.headers().values().map(http::HeaderValue::len).sum();
        assert!(bytes < 14_000, "{bytes} bytes of headers");
    }
}
