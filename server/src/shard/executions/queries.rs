//! Queries, as callers put them.

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    workflowservice::v1::{QueryWorkflowRequest, QueryWorkflowResponse},
};

use super::Executions;
use crate::{
    Namespace, ServiceError,
    shard::{runs::Target, waiters::Heard, work::Work},
};

impl Executions {
    pub(crate) async fn query(
        &self,
        namespace: &Namespace,
        request: QueryWorkflowRequest,
    ) -> Result<QueryWorkflowResponse, ServiceError> {
        let target = Target::new(&namespace.id, request.execution.as_ref());
        let reject = request.query_reject_condition();
        let query = Box::new(request.query.unwrap_or_default());
        match self.ask(target, |target, reply| Work::Query { target, query, reject, reply }).await? {
            Heard::Answered(answer) => Ok(answer),
            Heard::Changed | Heard::Update(_) => {
                Err(ServiceError::internal("a query came back without an answer"))
            }
        }
    }

    /// Whether the run's task queue has had a poller lately.
    pub(crate) async fn has_worker(
        &self,
        namespace: &Namespace,
        execution: Option<&WorkflowExecution>,
    ) -> Result<bool, ServiceError> {
        let target = Target::new(&namespace.id, execution);
        self.ask(target, |target, reply| Work::HasWorker { target, reply }).await
    }

    /// Lets go of the queries on a workflow whose askers have given up.
    pub(crate) fn forget_vanished_queries(&self, workflow_id: &str) {
        self.send(self.shard_index(workflow_id), Work::ForgetVanishedQueries);
    }
}
