//! Why a workflow task can't be completed, and how each side is told.

use durably_proto::durably::core::v1::{ActivationFailure, WorkflowTaskError, evict};
use durably_proto::temporal::api::enums::v1::WorkflowTaskFailedCause;
use durably_proto::temporal::api::failure::v1::failure::FailureInfo;
use durably_proto::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};

use super::history::Malformed;
use super::mismatch::Mismatch;
use super::replay::CursorError;

/// Whose fault it is, and what it is.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// The code's: it disagrees with the history.
    Mismatch(Box<Mismatch>),
    /// The server's.
    Malformed(Malformed),
    /// The SDK's: it broke the contract.
    BadCompletion(String),
    /// The SDK failed the activation.
    Code(Box<ActivationFailure>),
    /// The run isn't where it could answer.
    NotReady(String),
    /// The server's, or this version's: a message of this kind came with the task.
    UnknownMessage(String),
    /// The server's.
    MalformedMessage { kind: String, error: String },
}

impl Problem {
    /// As the server counts it.
    pub(crate) fn cause(&self) -> WorkflowTaskFailedCause {
        match self {
            Problem::Mismatch(_) => WorkflowTaskFailedCause::NonDeterministicError,
            Problem::Code(failure) if failure.nondeterminism => {
                WorkflowTaskFailedCause::NonDeterministicError
            }
            _ => WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure,
        }
    }

    pub(crate) fn evict_reason(&self) -> evict::Reason {
        match self.cause() {
            WorkflowTaskFailedCause::NonDeterministicError => evict::Reason::Nondeterminism,
            _ => evict::Reason::ActivationFailed,
        }
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Problem::Mismatch(mismatch) => mismatch.to_string(),
            Problem::Malformed(malformed) => malformed.to_string(),
            Problem::BadCompletion(message) | Problem::NotReady(message) => message.clone(),
            Problem::UnknownMessage(kind) => format!(
                "the server sent a message of the kind `{kind}` with the task, which needs a newer version of this worker"
            ),
            Problem::MalformedMessage { kind, error } => {
                format!(
                    "the server sent a message of the kind `{kind}` with the task that can't be read: {error}"
                )
            }
            Problem::Code(failure) => {
                failure.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default()
            }
        }
    }

    /// As the server keeps it.
    pub(crate) fn to_failure(&self) -> Failure {
        let failure_type = match self {
            Problem::Code(failure) => match &failure.failure {
                Some(failure) => return failure.clone(),
                None => "ActivationFailure",
            },
            Problem::Mismatch(_) => "NonDeterminism",
            Problem::Malformed(_) => "MalformedHistory",
            Problem::BadCompletion(_) => "BadCompletion",
            Problem::NotReady(_) => "NotReady",
            Problem::UnknownMessage(_) => "UnknownMessage",
            Problem::MalformedMessage { .. } => "MalformedMessage",
        };
        Failure {
            message: self.message(),
            source: "durably-core".to_owned(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                r#type: failure_type.to_owned(),
                ..ApplicationFailureInfo::default()
            })),
            ..Failure::default()
        }
    }

    /// As the SDK is told.
    pub(crate) fn to_error(&self) -> WorkflowTaskError {
        WorkflowTaskError {
            message: self.message(),
            nondeterminism: match self {
                Problem::Mismatch(mismatch) => Some(mismatch.to_contract()),
                _ => None,
            },
            failure: match self {
                Problem::Code(failure) => failure.failure.clone(),
                _ => None,
            },
        }
    }
}

impl From<Box<Mismatch>> for Problem {
    fn from(mismatch: Box<Mismatch>) -> Problem {
        Problem::Mismatch(mismatch)
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Problem {
        Problem::Malformed(malformed)
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Problem {
        match error {
            CursorError::Mismatch(mismatch) => Problem::Mismatch(mismatch),
            CursorError::BadCommand(bad) => {
                Problem::BadCompletion(format!("The workflow's code asks for what can't be done: {bad}"))
            }
        }
    }
}
