//! Which runs fail when code and history disagree, instead of their workflow tasks.

use std::collections::BTreeSet;
use std::sync::Arc;

use durably_proto::durably::core::v1::HistoryDialect;
use durably_proto::temporal::api::command::v1::Command;
use durably_proto::temporal::api::command::v1::FailWorkflowExecutionCommandAttributes;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::enums::v1::{CommandType, WorkflowTaskFailedCause};
use durably_proto::temporal::api::failure::v1::failure::FailureInfo;
use durably_proto::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};

use super::problem::Problem;

/// What holds for all runs of a worker.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The namespace that they are in.
    pub namespace: String,
    /// What the histories of new ones are like.
    pub dialect: HistoryDialect,
    /// What becomes of those whose code disagrees with their history.
    pub nondeterminism: Arc<NondeterminismPolicy>,
}

/// Which runs fail by a disagreement of code and history. By default none does: their tasks are tried again until the
/// code is mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NondeterminismPolicy {
    /// Those of all workflow types but the spared.
    pub fails_all: bool,
    /// Those of these workflow types.
    pub fails_types: BTreeSet<String>,
    /// Excepted from all.
    pub spares_types: BTreeSet<String>,
    /// What the failure says, with the disagreement as its cause; empty: the disagreement by itself.
    pub message: String,
}

impl NondeterminismPolicy {
    /// The command that fails a run of this type by this problem; `None` if only its task fails.
    pub(crate) fn command(&self, workflow_type: &str, problem: &Problem) -> Option<Command> {
        let is_covered = problem.cause() == WorkflowTaskFailedCause::NonDeterministicError
            && (self.fails_types.contains(workflow_type)
                || self.fails_all && !self.spares_types.contains(workflow_type));
        is_covered.then(|| {
            let attributes =
                FailWorkflowExecutionCommandAttributes { failure: Some(self.failure(problem.to_failure())) };
            Command {
                command_type: CommandType::FailWorkflowExecution as i32,
                attributes: Some(CommandAttributes::FailWorkflowExecutionCommandAttributes(attributes)),
                ..Command::default()
            }
        })
    }

    fn failure(&self, disagreement: Failure) -> Failure {
        if self.message.is_empty() {
            return disagreement;
        }
        Failure {
            message: self.message.clone(),
            source: disagreement.source.clone(),
            cause: Some(Box::new(disagreement)),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo::default())),
            ..Failure::default()
        }
    }
}
