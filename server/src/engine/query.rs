//! Queries: they ride on the workflow task that is pending, or go to a worker directly when none is. They live in
//! memory only; whoever asked asks again after a crash.

use std::collections::BTreeMap;

use durably_proto::temporal::api::query::v1::{WorkflowQuery, WorkflowQueryResult};

use super::{Context, DirectQuery, Execution, Output};
use crate::{ServiceError, error::ErrorKind};

/// Queries that wait for a workflow task or are with one, by the asker's id.
#[derive(Debug, Default)]
pub(super) struct Queries {
    waiting: BTreeMap<u64, WorkflowQuery>,
    attached: BTreeMap<u64, WorkflowQuery>,
}

impl Queries {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.attached.is_empty()
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.waiting.remove(&id);
        self.attached.remove(&id);
    }

    /// The workflow task they rode on is gone; they wait for its next attempt, unless that `is_hopeless`.
    pub(super) fn detach(&mut self, is_hopeless: bool, cx: &mut Context<'_>) {
        self.waiting.append(&mut self.attached);
        if is_hopeless {
            for (id, _) in std::mem::take(&mut self.waiting) {
                cx.effects.answers.push((id, Err(failing())));
            }
        }
    }
}

fn failing() -> ServiceError {
    ServiceError::new(
        ErrorKind::WorkflowNotReady,
        "Unable to query workflow due to Workflow Task in failed state.",
    )
}

impl Execution {
    pub(super) fn query(
        &mut self,
        id: u64,
        query: WorkflowQuery,
        cx: &mut Context<'_>,
    ) -> Result<Output, ServiceError> {
        let never_ran = self.state.previous_started_event_id == 0;
        if !self.is_open() {
            if never_ran {
                return Err(ServiceError::new(
                    ErrorKind::WorkflowNotReady,
                    "the workflow closed before its first workflow task completed: it has nothing to answer a query from",
                ));
            }
            self.query_directly(id, cx);
        } else if self.task_keeps_failing() {
            return Err(failing());
        } else if never_ran || self.state.workflow_task.is_some() {
            self.queries.waiting.insert(id, query);
        } else {
            self.query_directly(id, cx);
        }
        Ok(Output::QueryAccepted)
    }

    fn query_directly(&self, id: u64, cx: &mut Context<'_>) {
        cx.effects.direct_queries.push(DirectQuery {
            id,
            queue: self.task_queue().to_owned(),
            sticky: self.state.sticky.as_ref().map(|sticky| sticky.queue.clone()),
        });
    }

    /// Gives waiting queries to the workflow task that starts now. The first task of a run answers none: the
    /// workflow has not run yet.
    pub(super) fn attach_queries(&mut self) -> BTreeMap<String, WorkflowQuery> {
        if self.state.previous_started_event_id == 0 {
            return BTreeMap::new();
        }
        let queries = &mut self.queries;
        let waiting = std::mem::take(&mut queries.waiting);
        let wire = waiting.iter().map(|(id, query)| (id.to_string(), query.clone())).collect();
        queries.attached.extend(waiting);
        wire
    }

    /// Passes on the answers that came with a completed workflow task. What was not answered, or came since, waits
    /// for the next task or goes out directly when there is none.
    pub(super) fn queries_after_completion(
        &mut self,
        results: BTreeMap<String, WorkflowQueryResult>,
        cx: &mut Context<'_>,
    ) {
        for (id, result) in results {
            if let Ok(id) = id.parse::<u64>()
                && self.queries.attached.remove(&id).is_some()
            {
                cx.effects.answers.push((id, Ok(result)));
            }
        }
        self.release_queries(cx);
    }

    /// What rode on a task that is gone waits for the next one. Without one it goes out directly: once the run has closed, it is
    /// answered from the worker's memory, or not at all.
    pub(super) fn release_queries(&mut self, cx: &mut Context<'_>) {
        let queries = &mut self.queries;
        queries.waiting.append(&mut queries.attached);
        if self.state.workflow_task.is_none() {
            for (id, _) in std::mem::take(&mut self.queries.waiting) {
                self.query_directly(id, cx);
            }
        }
    }
}
