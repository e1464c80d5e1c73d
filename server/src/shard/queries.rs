//! Queries on their way: who asked, and how they get to a worker outside any workflow task.

use std::collections::HashMap;

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::{QueryRejectCondition, QueryResultType, WorkflowExecutionStatus},
    failure::v1::Failure,
    query::v1::{QueryRejected, WorkflowQuery, WorkflowQueryResult},
    workflowservice::v1::{QueryWorkflowResponse, RespondQueryTaskCompletedRequest},
};

use super::{
    clock::Clock,
    driver::Shard,
    executions::Executions,
    reply::Reply,
    runs::Target,
    tasks::{Offer, TaskKind, TaskRef, queue_key},
    work::Work,
};
use crate::{
    Namespace, ServiceError,
    engine::{DirectQuery, Input, Output, RunKey, SECOND, WorkflowTaskGrant, state::TaskToken},
    error::ErrorKind,
    matching::QueueKind,
};

/// A queue that was polled this recently has a worker, if a busy one.
const WORKER_MEMORY: i64 = 20 * SECOND;

type Answer = Reply<QueryWorkflowResponse>;

/// Who waits for an answer.
struct Asker {
    seq: i64,
    run: RunKey,
    query: WorkflowQuery,
    answer: Answer,
}

/// All queries of a shard that have no answer yet.
#[derive(Default)]
pub(super) struct Askers {
    waiting: HashMap<u64, Asker>,
}

impl Askers {
    /// Random, so that no answer that is late by a restart finds somebody else who asks.
    fn fresh_id(&self) -> u64 {
        loop {
            // Zero is what a token without a query has.
            let id = rand::random();
            if id != 0 && !self.waiting.contains_key(&id) {
                return id;
            }
        }
    }

    /// Whether anybody still waits for the answer.
    pub(super) fn is_waiting(&self, id: u64) -> bool {
        self.waiting.get(&id).is_some_and(|asker| !asker.answer.is_closed())
    }
}

impl Executions {
    /// Whether the run's task queue has had a poller within [`WORKER_MEMORY`].
    pub async fn has_worker(
        &self,
        namespace: &Namespace,
        execution: Option<&WorkflowExecution>,
    ) -> Result<bool, ServiceError> {
        let target = Target::new(&namespace.id, execution);
        self.ask(target, |target, reply| Work::HasWorker { target, reply }).await
    }

    /// Lets go of the queries on a workflow whose askers have given up.
    pub fn forget_vanished_queries(&self, workflow_id: &str) {
        self.send(self.shard_index(workflow_id), Work::ForgetVanishedQueries);
    }
}

impl Shard {
    pub(super) fn has_worker(&mut self, target: &Target) -> Result<bool, ServiceError> {
        let seq = self.find(target)?;
        let run = self.run(seq)?;
        let key = queue_key(&run.key().namespace_id, run.task_queue(), QueueKind::Workflow);
        Ok(self.matching.has_poller(&key, Clock::real().0, WORKER_MEMORY))
    }

    pub(super) fn query(
        &mut self,
        target: &Target,
        query: WorkflowQuery,
        reject: QueryRejectCondition,
        answer: Answer,
    ) {
        let found = self.find(target).and_then(|seq| {
            let run = self.run(seq)?;
            Ok((seq, run.key().clone(), run.status()))
        });
        let (seq, run, status) = match found {
            Ok(found) => found,
            Err(error) => return self.reply(answer, Err(error)),
        };
        if rejects(reject, status) {
            let query_rejected = Some(QueryRejected { status: status as i32 });
            return self.reply(answer, Ok(QueryWorkflowResponse { query_rejected, ..Default::default() }));
        }
        self.drop_vanished_askers();
        let id = self.askers.fresh_id();
        self.askers.waiting.insert(id, Asker { seq, run, query: query.clone(), answer });
        match self.apply(seq, Input::Query { id, query }) {
            Ok(Output::Stale) => {
                self.answer_query(id, Err(ServiceError::unavailable("the run is being read back")));
            }
            Ok(_) => {}
            Err(error) => self.answer_query(id, Err(error)),
        }
    }

    /// Askers that gave up must not hold on to their queries.
    pub(super) fn drop_vanished_askers(&mut self) {
        let mut gone: Vec<(u64, i64)> = self
            .askers
            .waiting
            .iter()
            .filter(|(_, asker)| asker.answer.is_closed())
            .map(|(id, asker)| (*id, asker.seq))
            .collect();
        gone.sort_unstable();
        for (id, seq) in gone {
            self.askers.waiting.remove(&id);
            let _ = self.apply(seq, Input::DropQuery { id });
        }
    }

    pub(super) fn answer_query(&mut self, id: u64, answer: Result<WorkflowQueryResult, ServiceError>) {
        let Some(asker) = self.askers.waiting.remove(&id) else { return };
        let answer = answer.and_then(|result| {
            if result.result_type() == QueryResultType::Answered {
                let query_result = result.answer;
                Ok(QueryWorkflowResponse { query_result, ..Default::default() })
            } else {
                Err(query_failed(result.error_message, result.failure))
            }
        });
        self.reply(asker.answer, answer);
    }

    /// Sends a query to the worker that has the run in its cache if it waits for work, else to any worker.
    pub(super) fn ask_directly(&mut self, seq: i64, query: &DirectQuery) {
        let Some(namespace_id) = self.runs.get(&seq).map(|slot| slot.run.key().namespace_id.clone()) else {
            return;
        };
        let task =
            |sticky| TaskRef { shard: self.index, seq, kind: TaskKind::Query { id: query.id, sticky } };
        if let Some(sticky) = &query.sticky {
            let key = queue_key(&namespace_id, sticky, QueueKind::Workflow);
            if self.matching.offer_now(&key, Offer::Task(task(true))).is_ok() {
                return;
            }
        }
        self.matching
            .offer(&queue_key(&namespace_id, &query.queue, QueueKind::Workflow), Offer::Task(task(false)));
    }

    /// The query as a task for a worker; `None` when nobody waits for its answer any more.
    pub(super) fn take_query(&mut self, seq: i64, id: u64, sticky: bool) -> Option<WorkflowTaskGrant> {
        let asker = self.askers.waiting.get(&id).filter(|asker| !asker.answer.is_closed())?;
        let query = asker.query.clone();
        self.load(seq).ok()?;
        let mut grant = self.runs.get(&seq)?.run.query_grant(id, sticky);
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
        let asked = |asker: &Asker| {
            let run = &asker.run;
            (&*run.namespace_id, &*run.workflow_id, &*run.run_id)
                == (token.namespace_id.as_str(), token.workflow_id.as_str(), token.run_id.as_str())
        };
        if !self.askers.waiting.get(&id).is_some_and(asked) {
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

fn rejects(condition: QueryRejectCondition, status: WorkflowExecutionStatus) -> bool {
    match condition {
        QueryRejectCondition::NotOpen => status != WorkflowExecutionStatus::Running,
        QueryRejectCondition::NotCompletedCleanly => {
            !matches!(status, WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Completed)
        }
        QueryRejectCondition::Unspecified | QueryRejectCondition::None => false,
    }
}
