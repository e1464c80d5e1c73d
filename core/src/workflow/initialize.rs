//! The first job of a run, from the first event of its history; and the jobs of signals and cancellation.

use durably_proto::durably::core::v1::{InitializeWorkflow, SignalReceived};
use durably_proto::temporal::api::history::v1::{
    WorkflowExecutionSignaledEventAttributes, WorkflowExecutionStartedEventAttributes,
};
use prost_types::Timestamp;

use super::seed::randomness_seed;
use crate::convert::unless_zero;

/// What the history doesn't say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) namespace: String,
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
}

pub(crate) fn initialize(
    started: WorkflowExecutionStartedEventAttributes,
    time: Timestamp,
    identity: &Identity,
) -> InitializeWorkflow {
    InitializeWorkflow {
        randomness_seed: randomness_seed(original_run_id(&started, identity)),
        continued_initiator: started.initiator,
        workflow_type: started.workflow_type.unwrap_or_default().name,
        workflow_id: identity.workflow_id.clone(),
        arguments: started.input.unwrap_or_default().payloads,
        headers: started.header.unwrap_or_default().fields,
        identity: started.identity,
        task_queue: started.task_queue.unwrap_or_default().name,
        namespace: identity.namespace.clone(),
        first_execution_run_id: started.first_execution_run_id,
        continued_from_execution_run_id: started.continued_execution_run_id,
        parent: started.parent_workflow_execution,
        parent_namespace: started.parent_workflow_namespace,
        root: started.root_workflow_execution,
        attempt: started.attempt.max(1),
        execution_timeout: unless_zero(started.workflow_execution_timeout),
        run_timeout: unless_zero(started.workflow_run_timeout),
        task_timeout: unless_zero(started.workflow_task_timeout),
        retry_policy: started.retry_policy,
        cron_schedule: started.cron_schedule,
        memo: started.memo,
        search_attributes: started.search_attributes,
        start_time: Some(time),
        last_completion_result: started.last_completion_result,
        last_failure: started.continued_failure,
        priority: started.priority,
    }
}

/// The id that the run had before it was reset. Histories of old servers lack it; it is the run's own unless there was a reset.
pub(crate) fn original_run_id<'a>(
    started: &'a WorkflowExecutionStartedEventAttributes,
    identity: &'a Identity,
) -> &'a str {
    if started.original_execution_run_id.is_empty() {
        &identity.run_id
    } else {
        &started.original_execution_run_id
    }
}

pub(crate) fn signal(signaled: WorkflowExecutionSignaledEventAttributes) -> SignalReceived {
    SignalReceived {
        name: signaled.signal_name,
        arguments: signaled.input.unwrap_or_default().payloads,
        identity: signaled.identity,
        headers: signaled.header.unwrap_or_default().fields,
    }
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::common::v1::WorkflowExecution;

    use super::*;

    #[test]
    fn a_child_is_told_of_its_parent_and_of_the_topmost_workflow() {
        let execution = |workflow_id: &str| {
            Some(WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: "run".to_owned() })
        };
        let started = WorkflowExecutionStartedEventAttributes {
            parent_workflow_execution: execution("order-1"),
            parent_workflow_namespace: "shop".to_owned(),
            root_workflow_execution: execution("day-1"),
            ..WorkflowExecutionStartedEventAttributes::default()
        };
        let job = initialize(started, Timestamp::default(), &Identity::default());
        assert_eq!(job.parent, execution("order-1"));
        assert_eq!(job.parent_namespace, "shop");
        assert_eq!(job.root, execution("day-1"));
        let alone = initialize(Default::default(), Timestamp::default(), &Identity::default());
        assert_eq!((alone.parent, alone.root), (None, None));
    }
}
