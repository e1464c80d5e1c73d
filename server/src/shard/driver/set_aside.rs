//! Setting runs aside, and what can be done with those that are.

use durably_proto::temporal::api::{
    enums::v1::WorkflowExecutionStatus, workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use super::Shard;
use crate::{
    ServiceError,
    shard::{info::info, set_aside::SetAside, waiters::Ending},
    store::{CloseRow, RunKey},
};

impl Shard {
    pub(super) fn set_aside(&mut self, seq: i64, key: RunKey, reason: String, closed: bool) -> SetAside {
        tracing::error!(
            workflow_id = &*key.workflow_id,
            run_id = &*key.run_id,
            reason,
            "a run is set aside; every other run goes on"
        );
        let set_aside = SetAside { seq, key, reason, closed };
        self.waiters.end(seq, Ending::SetAside(&set_aside));
        self.set_aside.insert(seq, set_aside.clone());
        set_aside
    }

    pub(super) fn describe_set_aside(
        &self,
        seq: i64,
    ) -> Result<DescribeWorkflowExecutionResponse, ServiceError> {
        let set_aside = self.set_aside.get(&seq).ok_or_else(not_set_aside)?;
        let stored = self.shared.store.run(seq).ok().flatten();
        Ok(set_aside.describe(stored.map_or_else(Default::default, |stored| info(stored.row))))
    }

    /// Closes the run in listings; its history stays as it is.
    pub(in crate::shard) fn terminate_set_aside(&mut self, seq: i64) -> Result<(), ServiceError> {
        let close_time = self.now().0;
        let set_aside = self.set_aside.get_mut(&seq).ok_or_else(not_set_aside)?;
        if set_aside.closed {
            return Err(ServiceError::not_found("workflow execution already completed"));
        }
        set_aside.closed = true;
        let status = WorkflowExecutionStatus::Terminated as i32;
        self.batch.changes.closes.push(CloseRow { seq, status, close_time });
        Ok(())
    }
}

fn not_set_aside() -> ServiceError {
    ServiceError::internal("the run is not set aside")
}
