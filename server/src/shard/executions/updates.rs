//! Updates, as callers ask for them and wait for what comes of them.

use std::time::Duration;

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    update::v1::{Outcome, Request, UpdateRef},
    workflowservice::v1::{
        ExecuteMultiOperationResponse, PollWorkflowExecutionUpdateRequest,
        PollWorkflowExecutionUpdateResponse, StartWorkflowExecutionRequest, StartWorkflowExecutionResponse,
        UpdateWorkflowExecutionRequest, UpdateWorkflowExecutionResponse,
        execute_multi_operation_response::{Response, response},
    },
};
use tokio::time::{Instant, timeout_at};

use super::Executions;
use crate::{
    Namespace, ServiceError,
    engine::{UpdateOutcome, UpdateStage, outcome_in},
    error::{ErrorKind, Operation},
    shard::{
        events::fetch,
        reply::Reply,
        runs::Target,
        start::{StartCall, Started},
        waiters::{Heard, UpdateStatus, WaitStage},
        work::Work,
    },
};

/// So long a caller waits; then it hears how far the update has come, and may ask again.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How far an update has come, in the words of the API.
struct Came {
    run: WorkflowExecution,
    stage: Stage,
    outcome: Option<Outcome>,
}

impl Executions {
    pub(crate) async fn update(
        &self,
        namespace: &Namespace,
        request: UpdateWorkflowExecutionRequest,
    ) -> Result<UpdateWorkflowExecutionResponse, ServiceError> {
        let until = Instant::now() + LONGEST_WAIT;
        let target = Target::new(&namespace.id, request.workflow_execution.as_ref());
        let stage = wait_stage(request.wait_policy.unwrap_or_default().lifecycle_stage());
        let asked = Box::new(request.request.unwrap_or_default());
        let update_id = id_of(&asked);
        let first_run_id = request.first_execution_run_id;
        loop {
            let (request, first_run_id) = (asked.clone(), first_run_id.clone());
            let work = |target, reply| Work::Update { target, first_run_id, request, stage, reply };
            match timeout_at(until, self.ask(target.clone(), work)).await {
                // By then the run that was asked may be over; the next one is asked as this one was.
                Ok(Ok(Heard::Changed)) => {}
                Ok(Err(error))
                    if target.run_id.is_none() && matches!(error.kind(), ErrorKind::WorkflowClosing) => {}
                Ok(Ok(Heard::Update(status))) => {
                    return Ok(updated(update_id, self.came(status).await?));
                }
                Ok(Ok(Heard::Answered(_))) => return Err(not_an_update()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(updated(update_id.clone(), self.so_far(target, update_id).await?)),
            }
        }
    }

    pub(crate) async fn poll_update(
        &self,
        namespace: &Namespace,
        request: PollWorkflowExecutionUpdateRequest,
    ) -> Result<PollWorkflowExecutionUpdateResponse, ServiceError> {
        let until = Instant::now() + LONGEST_WAIT;
        let UpdateRef { workflow_execution, update_id } = request.update_ref.unwrap_or_default();
        let target = Target::new(&namespace.id, workflow_execution.as_ref());
        let wanted = request.wait_policy.unwrap_or_default().lifecycle_stage();
        let stage = if wanted == Stage::Unspecified { WaitStage::Any } else { wait_stage(wanted) };
        let came = loop {
            let id = update_id.clone();
            let work = |target, reply| Work::AwaitUpdate { target, update_id: id, stage, reply };
            match timeout_at(until, self.ask(target.clone(), work)).await {
                Ok(Ok(Heard::Changed)) => {}
                Ok(Ok(Heard::Update(status))) => break self.came(status).await?,
                Ok(Ok(Heard::Answered(_))) => return Err(not_an_update()),
                Ok(Err(error)) => return Err(error),
                Err(_) => break self.so_far(target, update_id.clone()).await?,
            }
        };
        let Came { run, stage, outcome } = came;
        Ok(PollWorkflowExecutionUpdateResponse {
            outcome,
            stage: stage as i32,
            update_ref: Some(UpdateRef { workflow_execution: Some(run), update_id }),
        })
    }

    /// Starts a workflow, unless it is there, and updates it.
    pub(crate) async fn update_with_start(
        &self,
        namespace: &Namespace,
        start: StartWorkflowExecutionRequest,
        update: UpdateWorkflowExecutionRequest,
    ) -> Result<ExecuteMultiOperationResponse, ServiceError> {
        let until = Instant::now() + LONGEST_WAIT;
        let stage = wait_stage(update.wait_policy.unwrap_or_default().lifecycle_stage());
        let asked = Box::new(update.request.unwrap_or_default());
        let update_id = id_of(&asked);
        let shard = self.shard_index(&start.workflow_id);
        // What is said of the start, once this call has made it: the update may be of a run that follows.
        let mut own = None;
        loop {
            let (namespace_id, request) = (namespace.id.as_str().into(), asked.clone());
            let call = StartCall { request: start.clone(), signal: None, in_process: false };
            let (reply, answer) = Reply::new();
            let work = |started| {
                let call = Box::new(call);
                Work::StartWithUpdate { namespace_id, call, request, stage, started, reply }
            };
            let started = self.call(shard, work).await.map_err(start_failed)?;
            let run =
                WorkflowExecution { workflow_id: start.workflow_id.clone(), run_id: started.run_id.clone() };
            let started = start_response(started);
            if started.started {
                own.get_or_insert_with(|| started.clone());
            }
            let is_own = own.is_some();
            let start_failed =
                |error| update_failed(if is_own { Operation::Done } else { Operation::Aborted }, error);
            let came = match timeout_at(until, answer).await {
                Ok(Ok(Ok(Heard::Changed))) => continue,
                // As with an update alone, the run that follows is asked.
                Ok(Ok(Err(error))) if matches!(error.kind(), ErrorKind::WorkflowClosing) => continue,
                // The workflow ended meanwhile, as one that this call has not started; the call can start another.
                Ok(Ok(Err(error))) if !is_own && has_ended(&error) && Instant::now() < until => continue,
                Ok(Ok(Ok(Heard::Update(status)))) => self.came(status).await.map_err(start_failed)?,
                Ok(Ok(Ok(Heard::Answered(_)))) => return Err(not_an_update()),
                Ok(Ok(Err(error))) => return Err(start_failed(error)),
                Ok(Err(_)) => return Err(start_failed(self.no_answer(shard))),
                Err(_) => {
                    let target = Target::new(&namespace.id, Some(&run));
                    self.so_far(target, update_id.clone()).await.map_err(start_failed)?
                }
            };
            let responses = vec![
                response::Response::StartWorkflow(own.unwrap_or(started)),
                response::Response::UpdateWorkflow(updated(update_id, came)),
            ];
            let responses = responses.into_iter().map(|response| Response { response: Some(response) });
            return Ok(ExecuteMultiOperationResponse { responses: responses.collect() });
        }
    }

    /// How far the update has come when the wait is over. If nothing is known of it, it is where it was: not accepted.
    async fn so_far(&self, target: Target, update_id: String) -> Result<Came, ServiceError> {
        let run = WorkflowExecution {
            workflow_id: target.workflow_id.to_string(),
            run_id: target.run_id.as_deref().unwrap_or_default().to_owned(),
        };
        let stage = WaitStage::Any;
        match self.ask(target, |target, reply| Work::AwaitUpdate { target, update_id, stage, reply }).await {
            Ok(Heard::Update(status)) => self.came(status).await,
            Ok(_) => Ok(Came { run, stage: Stage::Admitted, outcome: None }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {
                Ok(Came { run, stage: Stage::Admitted, outcome: None })
            }
            Err(error) => Err(error),
        }
    }

    /// The update's stage, with the outcome read from the history where it isn't in memory.
    async fn came(&self, status: UpdateStatus) -> Result<Came, ServiceError> {
        let UpdateStatus { seq, run, stage } = status;
        let run =
            WorkflowExecution { workflow_id: run.workflow_id.to_string(), run_id: run.run_id.to_string() };
        let (stage, outcome) = match stage {
            UpdateStage::Admitted => (Stage::Admitted, None),
            UpdateStage::Accepted => (Stage::Accepted, None),
            UpdateStage::Completed(UpdateOutcome::Known(outcome)) => (Stage::Completed, Some(*outcome)),
            UpdateStage::Completed(UpdateOutcome::In(event_id)) => {
                let events = self
                    .read_while_wanted(move |store, _| {
                        let events = fetch(store, seq, &[event_id].into())?;
                        if events.is_empty() && store.run(seq)?.is_none() {
                            // Retention has deleted the run meanwhile.
                            return Err(ServiceError::not_found("workflow not found for this ID"));
                        }
                        Ok(events)
                    })
                    .await?;
                let outcome = events.into_iter().find_map(outcome_in).ok_or_else(|| {
                    ServiceError::new(
                        ErrorKind::DataLoss,
                        format!("the outcome of the update is missing: event {event_id} is not what it was"),
                    )
                })?;
                (Stage::Completed, Some(outcome))
            }
        };
        Ok(Came { run, stage, outcome })
    }
}

fn wait_stage(stage: Stage) -> WaitStage {
    match stage {
        Stage::Admitted => WaitStage::Any,
        Stage::Accepted => WaitStage::Accepted,
        Stage::Unspecified | Stage::Completed => WaitStage::Completed,
    }
}

fn id_of(request: &Request) -> String {
    request.meta.as_ref().map_or_else(String::new, |meta| meta.update_id.clone())
}

fn start_response(started: Started) -> StartWorkflowExecutionResponse {
    StartWorkflowExecutionResponse {
        run_id: started.run_id,
        first_execution_run_id: started.first_execution_run_id,
        started: started.is_new,
        status: started.status as i32,
        ..Default::default()
    }
}

fn updated(update_id: String, came: Came) -> UpdateWorkflowExecutionResponse {
    let Came { run, stage, outcome } = came;
    UpdateWorkflowExecutionResponse {
        update_ref: Some(UpdateRef { workflow_execution: Some(run), update_id }),
        outcome,
        stage: stage as i32,
        ..Default::default()
    }
}

fn has_ended(error: &ServiceError) -> bool {
    matches!(error.kind(), ErrorKind::NotFound)
}

fn start_failed(error: ServiceError) -> ServiceError {
    let message = format!("MultiOperation could not be executed: Start failed: {error}");
    let operations = vec![Operation::Failed(error), Operation::Aborted];
    ServiceError::new(ErrorKind::MultiOperation { operations }, message)
}

fn update_failed(start: Operation, error: ServiceError) -> ServiceError {
    let message = format!("MultiOperation could not be executed: Update failed: {error}");
    let operations = vec![start, Operation::Failed(error)];
    ServiceError::new(ErrorKind::MultiOperation { operations }, message)
}

fn not_an_update() -> ServiceError {
    ServiceError::internal("an update was answered as something else")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::RunKey, shard::ExecutionsOptions};

    #[tokio::test]
    async fn the_outcome_of_an_update_goes_with_its_run() {
        let on = Executions::open(ExecutionsOptions::default()).await.unwrap();
        // As the shard has said it before retention deleted the run.
        let run = RunKey { namespace_id: "ns".into(), workflow_id: "w".into(), run_id: "r".into() };
        let stage = UpdateStage::Completed(UpdateOutcome::In(5));
        let error = on.came(UpdateStatus { seq: 7, run, stage }).await.err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::NotFound), "{error:?}");
        on.shutdown().await;
    }
}
