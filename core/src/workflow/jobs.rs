//! The jobs of the next activation, in the order that the contract promises.

use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{HistoryDialect, WorkflowJob};

/// Jobs collected since the last activation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs(Vec<Job>);

impl Jobs {
    pub(crate) fn push(&mut self, job: impl Into<Job>) {
        self.0.push(job.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all: as they came, which is history order; in the dialect of most SDKs ordered by rank before that.
    pub(crate) fn take(&mut self, dialect: HistoryDialect) -> Vec<WorkflowJob> {
        if dialect == HistoryDialect::BySequence {
            self.0.sort_by_key(rank);
        }
        self.0.drain(..).map(|job| WorkflowJob { job: Some(job) }).collect()
    }
}

/// Temporal's ranks: handlers of signals run before the code that waits goes on, whatever else the task brought.
fn rank(job: &Job) -> u8 {
    match job {
        Job::Initialize(_) => 0,
        // 1: patches, which decide how everything behind them runs.
        Job::UpdateRandomSeed(_) => 2,
        Job::Signal(_) | Job::Update(_) => 3,
        // Cancellation, and what has become of commands.
        Job::Cancel(_)
        | Job::FireTimer(_)
        | Job::ResolveActivity(_)
        | Job::ResolveChildWorkflowStart(_)
        | Job::ResolveChildWorkflow(_)
        | Job::ResolveSignalExternalWorkflow(_)
        | Job::ResolveRequestCancelExternalWorkflow(_) => 4,
        // 5: local activities, which while executing always resolve after what is resolved at once.
        Job::Query(_) => 6,
        Job::Evict(_) => 7,
    }
}
