//! What a run's state means for what is asked of it, before it gets an input: rules of the API that need to know of the
//! run no more than its status and its names.
//!
//! They are those of Temporal's server.

use durably_proto::temporal::api::enums::v1::{QueryRejectCondition, WorkflowExecutionStatus as Status};

use super::RunKey;

/// Whether there is something to cancel. In a closed run nothing is left, which is what was asked for.
pub fn can_be_canceled(status: Status) -> bool {
    status == Status::Running
}

/// Whether the run is one that a caller means who insists on the first run of its chain, if it names one.
pub fn is_of_chain(first_run_id: &str, insisted_on: &str) -> bool {
    insisted_on.is_empty() || first_run_id == insisted_on
}

/// Whether a query is refused because of how its run stands.
pub fn rejects_query(condition: QueryRejectCondition, status: Status) -> bool {
    match condition {
        QueryRejectCondition::NotOpen => status != Status::Running,
        QueryRejectCondition::NotCompletedCleanly => !matches!(status, Status::Running | Status::Completed),
        QueryRejectCondition::Unspecified | QueryRejectCondition::None => false,
    }
}

/// Whether a message would reach the workflow that sends it, in whichever run: no workflow signals itself.
pub fn is_to_itself(sender: &RunKey, namespace_id: &str, workflow_id: &str) -> bool {
    *sender.namespace_id == *namespace_id && *sender.workflow_id == *workflow_id
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// Every status, with every condition.
    #[test]
    fn table() {
        let mut table = String::new();
        for status in (0..10).filter_map(|number| Status::try_from(number).ok()) {
            let _ = write!(table, "{status:?} | cancel: {}", can_be_canceled(status));
            for condition in (0..10).filter_map(|number| QueryRejectCondition::try_from(number).ok()) {
                let _ = write!(table, " | {condition:?} rejects: {}", rejects_query(condition, status));
            }
            table.push('\n');
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_chain_is_known_by_its_first_run() {
        for (first, insisted_on, is_meant) in
            [("first", "", true), ("first", "first", true), ("first", "other", false), ("", "other", false)]
        {
            assert_eq!(is_of_chain(first, insisted_on), is_meant, "{first} {insisted_on}");
        }
    }

    #[test]
    fn a_workflow_is_itself_in_each_of_its_runs() {
        let sender = RunKey { namespace_id: "ns".into(), workflow_id: "w".into(), run_id: "r".into() };
        assert!(is_to_itself(&sender, "ns", "w"));
        assert!(!is_to_itself(&sender, "ns", "other"));
        assert!(!is_to_itself(&sender, "another", "w"));
    }
}
