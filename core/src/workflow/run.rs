//! One cached workflow run.

use durably_proto::durably::core::v1::{ReplayHistory, WorkflowCompletion, evict};

use super::step::Step;
use super::task::{HistoryPage, WorkflowTask};

/// A workflow run in the worker's cache. See the module's head for how it is driven.
#[derive(Debug)]
pub struct Run {
    run_id: String,
    workflow_id: String,
    namespace: String,
}

impl Run {
    /// A run that is not in the cache, with its first task. If the task holds only the end of the history, the first
    /// step asks for the history from its start.
    pub fn start(namespace: &str, task: WorkflowTask) -> (Run, Vec<Step>) {
        let mut run = Run {
            run_id: task.run_id.clone(),
            workflow_id: task.workflow_id.clone(),
            namespace: namespace.to_owned(),
        };
        let steps = run.handle_task(task);
        (run, steps)
    }

    /// A replay of a history as a file or a server has it. Ends with [`Step::Replayed`] and the eviction.
    pub fn replay(namespace: &str, replay: ReplayHistory) -> (Run, Vec<Step>) {
        let run =
            Run { run_id: String::new(), workflow_id: replay.workflow_id, namespace: namespace.to_owned() };
        (run, Vec::new())
    }

    /// The next task of this run. If it doesn't continue where the run stands, the run is evicted and started anew
    /// from the first event, by itself.
    pub fn handle_task(&mut self, _task: WorkflowTask) -> Vec<Step> {
        Vec::new()
    }

    /// The page that [`Step::NeedHistory`] asked for.
    pub fn handle_history_page(&mut self, _page: HistoryPage) -> Vec<Step> {
        Vec::new()
    }

    /// The page could not be fetched: the task is dropped (the server will time it out) and the run evicted.
    pub fn handle_history_unavailable(&mut self, _message: &str) -> Vec<Step> {
        Vec::new()
    }

    /// The SDK's answer to the outstanding activation.
    pub fn handle_completion(&mut self, _completion: WorkflowCompletion) -> Vec<Step> {
        Vec::new()
    }

    /// Let go of the run, as soon as what the SDK is doing with it is answered. What the server was owed is dropped.
    pub fn handle_evict(&mut self, _reason: evict::Reason, _message: &str) -> Vec<Step> {
        Vec::new()
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The workflow's id.
    pub fn workflow_id(&self) -> &str {
        &self.workflow_id
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether an activation is with the SDK.
    pub fn is_activated(&self) -> bool {
        false
    }

    /// Whether the run works on a task, or is being evicted: no new task may be given to it.
    pub fn is_busy(&self) -> bool {
        false
    }

    /// What the run costs the cache, in bytes: state and payloads held here, and what the SDK reported.
    pub fn weight(&self) -> usize {
        0
    }
}
