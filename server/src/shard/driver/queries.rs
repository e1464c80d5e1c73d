//! Queries on their way: to the workflow task on which they ride or to a worker of their own, and back to whoever asked.

use durably_proto::temporal::api::{
    enums::v1::{QueryRejectCondition, QueryResultType},
    failure::v1::Failure,
    query::v1::{QueryRejected, WorkflowQuery, WorkflowQueryResult},
    workflowservice::v1::{QueryWorkflowResponse, RespondQueryTaskCompletedRequest},
};

use super::{Shard, runs::unexpected};
use crate::{
    ServiceError,
    engine::{DirectQuery, Input, Output, SECOND, WorkflowTaskGrant, rejects_query, state::TaskToken},
    error::ErrorKind,
    matching::QueueKind,
    shard::{
        clock::Clock,
        delivery::Offer,
        reply::Reply,
        runs::Target,
        tasks::{TaskKind, TaskRef, queue_key},
        waiters::{Heard, Question},
    },
};

/// A queue that was polled this recently has a worker, if a busy one.
const WORKER_MEMORY: i64 = 20 * SECOND;

impl Shard {
    pub(super) fn has_worker(&mut self, target: &Target) -> Result<bool, ServiceError> {
        let seq = self.find(target)?;
        let run = self.run(seq)?;
        let key = queue_key(&run.key().namespace_id, run.task_queue(), QueueKind::Workflow);
        Ok(self.shared.matching.has_poller(&key, Clock::real().0, WORKER_MEMORY))
    }

    pub(super) fn query(
        &mut self,
        target: &Target,
        query: WorkflowQuery,
        reject: QueryRejectCondition,
        reply: Reply<Heard>,
    ) {
        let found = self.find(target).and_then(|seq| {
            let run = self.run(seq)?;
            Ok((seq, run.key().clone(), run.status()))
        });
        let (seq, run, status) = match found {
            Ok(found) => found,
            Err(error) => return self.batch.reply(reply, Err(error)),
        };
        if rejects_query(reject, status) {
            let query_rejected = Some(QueryRejected { status: status as i32 });
            let rejected = QueryWorkflowResponse { query_rejected, ..Default::default() };
            return self.batch.reply(reply, Ok(Heard::Answered(rejected)));
        }
        self.drop_vanished_askers();
        let id = self.waiters.ask(seq, run, query.clone(), reply);
        match self.apply(seq, Input::Query { id, query }) {
            Ok(Output::QueryAccepted) => {}
            Ok(output) => self.answer_query(id, Err(unexpected(&output))),
            Err(error) => self.answer_query(id, Err(error)),
        }
    }

    /// Askers that gave up must not hold on to their queries.
    pub(super) fn drop_vanished_askers(&mut self) {
        for (id, seq) in self.waiters.take_vanished() {
            let _ = self.apply(seq, Input::DropQuery { id });
        }
    }

    pub(super) fn answer_query(&mut self, id: u64, answer: Result<WorkflowQueryResult, ServiceError>) {
        let Some(reply) = self.waiters.take(id) else { return };
        let answer = answer.and_then(|result| {
            if result.result_type() == QueryResultType::Answered {
                let query_result = result.answer;
                Ok(Heard::Answered(QueryWorkflowResponse { query_result, ..Default::default() }))
            } else {
                Err(query_failed(result.error_message, result.failure))
            }
        });
        self.batch.reply(reply, answer);
    }

    /// Sends a query to the worker that has the run in its cache if it waits for work, else to any worker.
    pub(super) fn ask_directly(&mut self, seq: i64, query: &DirectQuery) {
        let Some(slot) = self.runs.get(seq) else { return };
        let namespace_id = slot.run.key().namespace_id.clone();
        let task =
            |sticky| TaskRef { shard: self.index, seq, kind: TaskKind::Query { id: query.id, sticky } };
        if let Some(sticky) = &query.sticky {
            let key = queue_key(&namespace_id, sticky, QueueKind::Workflow);
            if self.shared.matching.offer_now(&key, Offer::Task(task(true))).is_ok() {
                return;
            }
        }
        self.shared
            .matching
            .offer(&queue_key(&namespace_id, &query.queue, QueueKind::Workflow), Offer::Task(task(false)));
    }

    /// The query as a task for a worker; `None` when nobody waits for its answer any more.
    pub(super) fn take_query(&mut self, seq: i64, id: u64, sticky: bool) -> Option<WorkflowTaskGrant> {
        let query = self.waiters.live_question(id)?.query.clone();
        self.load(seq).ok()?;
        let mut grant = self.runs.get(seq)?.run.query_grant(id, sticky);
        grant.response.started_time = Some(Clock::real().proto());
        grant.response.query = Some(query);
        Some(grant)
    }

    pub(super) fn respond_query(
        &mut self,
        token: &TaskToken,
        request: RespondQueryTaskCompletedRequest,
    ) -> Result<(), ServiceError> {
        let id = token.query;
        let asked = |question: &Question| {
            let run = &question.run;
            (&*run.namespace_id, &*run.workflow_id, &*run.run_id)
                == (token.namespace_id.as_str(), token.workflow_id.as_str(), token.run_id.as_str())
        };
        if !self.waiters.question(id).is_some_and(asked) {
            return Err(ServiceError::not_found("query task not found, or already expired"));
        }
        let result = WorkflowQueryResult {
            result_type: request.completed_type,
            answer: request.query_result,
            error_message: request.error_message,
            failure: request.failure,
        };
        self.answer_query(id, Ok(result));
        Ok(())
    }
}

fn query_failed(message: String, failure: Option<Failure>) -> ServiceError {
    ServiceError::new(ErrorKind::QueryFailed { failure: failure.map(Box::new) }, message)
}
