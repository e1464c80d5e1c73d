//! Starting runs: carries out what [`crate::engine::admit`] decides.

use durably_proto::temporal::api::enums::v1::WorkflowExecutionStatus;

use super::{Shard, runs::ReadError};
use crate::{
    ServiceError,
    engine::{Admission, Input, Terms, admit, admit_with_update, new_run, termination_for_start},
    error::ErrorKind,
    shard::{
        runs::{Target, fresh_id},
        start::{StartCall, Started},
    },
};

impl Shard {
    pub(in crate::shard) fn start(
        &mut self,
        namespace_id: &str,
        call: StartCall,
    ) -> Result<Started, ServiceError> {
        self.start_for(namespace_id, call, None)
    }

    /// [`Shard::start`] for the sake of the update with this id, if there is one.
    pub(super) fn start_for(
        &mut self,
        namespace_id: &str,
        call: StartCall,
        update_id: Option<&str>,
    ) -> Result<Started, ServiceError> {
        self.check_alive()?;
        let target = Target::named(namespace_id, &call.request.workflow_id, "");
        if let Some(seq) = self.in_the_way(&target)?
            && let Some(existing) = self.existing(seq, &call, update_id)?
        {
            return Ok(existing);
        }
        let StartCall { request, signal, in_process } = call;
        let new = new_run(namespace_id, fresh_id(), request, signal, in_process);
        let run_id = new.key.run_id.to_string();
        let (_, eager) = self.start_run(new);
        Ok(Started {
            first_execution_run_id: run_id.clone(),
            run_id,
            is_new: true,
            status: WorkflowExecutionStatus::Running,
            eager,
        })
    }

    /// The newest run of a workflow id that somebody wants to start.
    pub(super) fn in_the_way(&mut self, target: &Target) -> Result<Option<i64>, ReadError> {
        match self.seek(target) {
            // A run that was terminated though it could not be read is in nobody's way.
            Err(ReadError::SetAside(run)) if run.closed => Ok(None),
            found => found,
        }
    }

    /// Whether the run continues one that this very start began, which is repeated then: the workflow may have gone on in
    /// another run before its update came.
    fn follows_start(&mut self, seq: i64, start_request_id: &str) -> Result<bool, ServiceError> {
        let run = self.run(seq)?;
        let (key, first_run_id) = (run.key(), &run.start_attributes().first_execution_run_id);
        if start_request_id.is_empty() || *key.run_id == **first_run_id {
            return Ok(false);
        }
        let first = Target::named(&key.namespace_id, &key.workflow_id, first_run_id);
        match self.seek(&first) {
            Ok(Some(first)) => Ok(self.run(first)?.start_request_id() == start_request_id),
            // Retention has deleted it, or it cannot be read.
            Ok(None) | Err(ReadError::SetAside(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What the newest run of the workflow id means for the start: the answer, an error, or nothing in its way.
    fn existing(
        &mut self,
        seq: i64,
        call: &StartCall,
        update_id: Option<&str>,
    ) -> Result<Option<Started>, ServiceError> {
        let request_id = &call.request.request_id;
        let repeats = update_id.is_some() && self.follows_start(seq, request_id)?;
        let run = self.run(seq)?;
        let answer = |is_new| Started {
            run_id: run.key().run_id.to_string(),
            first_execution_run_id: run.start_attributes().first_execution_run_id.clone(),
            is_new,
            status: run.status(),
            eager: None,
        };
        let terms = Terms::of(&call.request, call.signal.is_some());
        let start_request_id = if repeats { request_id } else { run.start_request_id() };
        let newest = Some((run.status(), start_request_id));
        let admission = match update_id {
            Some(update_id) => admit_with_update(newest, terms, run.update_stage(update_id).as_ref()),
            None => admit(newest, terms),
        };
        match admission {
            Admission::Start => Ok(None),
            Admission::Repeated => Ok(Some(answer(true))),
            Admission::UseExisting => Ok(Some(answer(false))),
            Admission::Signal => {
                let existing = answer(false);
                self.accomplish(seq, Input::Signal(call.signal.clone().unwrap_or_default()))?;
                Ok(Some(existing))
            }
            Admission::TerminateAndStart => {
                self.accomplish(seq, termination_for_start())?;
                Ok(None)
            }
            Admission::Refuse(message) => {
                let kind = ErrorKind::WorkflowExecutionAlreadyStarted {
                    start_request_id: run.start_request_id().to_owned(),
                    run_id: run.key().run_id.to_string(),
                };
                Err(ServiceError::new(kind, message)
                    .with("workflow_id", &*run.key().workflow_id)
                    .with("run_id", &*run.key().run_id))
            }
        }
    }
}
