//! `ContinueAsNew`: ends the run like [`super::close`]'s commands, and says what the next run inherits.

use durably_proto::durably::core::v1::ContinueAsNew;
use durably_proto::temporal::api::command::v1::ContinueAsNewWorkflowExecutionCommandAttributes;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::common::v1::{Header, Payloads, WorkflowType};
use durably_proto::temporal::api::taskqueue::v1::TaskQueue;

use super::close::{self, End};
use super::{Inherited, Issued};

/// What is empty or absent is taken from this run; time-outs are filled in by the server.
pub(super) fn continue_as_new(command: ContinueAsNew, inherited: &Inherited) -> Issued {
    let or = |given: String, own: &String| if given.is_empty() { own.clone() } else { given };
    let arguments = command.arguments;
    let header = (!command.headers.is_empty()).then_some(Header { fields: command.headers });
    let attributes = ContinueAsNewWorkflowExecutionCommandAttributes {
        workflow_type: Some(WorkflowType { name: or(command.workflow_type, &inherited.workflow_type) }),
        task_queue: Some(TaskQueue {
            name: or(command.task_queue, &inherited.task_queue),
            ..TaskQueue::default()
        }),
        input: (!arguments.is_empty()).then_some(Payloads { payloads: arguments }),
        workflow_run_timeout: command.run_timeout,
        workflow_task_timeout: command.task_timeout,
        retry_policy: command.retry_policy.or_else(|| inherited.retry_policy.clone()),
        header,
        memo: command.memo.or_else(|| inherited.memo.clone()),
        search_attributes: command.search_attributes.or_else(|| inherited.search_attributes.clone()),
        ..ContinueAsNewWorkflowExecutionCommandAttributes::default()
    };
    close::begin(
        End::ContinuedAsNew,
        CommandAttributes::ContinueAsNewWorkflowExecutionCommandAttributes(attributes),
    )
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::common::v1::{Memo, RetryPolicy};

    use super::*;

    fn attributes(issued: Issued) -> ContinueAsNewWorkflowExecutionCommandAttributes {
        match issued {
            Issued::Begin { mut commands, .. } => match commands.remove(0) {
                CommandAttributes::ContinueAsNewWorkflowExecutionCommandAttributes(attributes) => attributes,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_next_run_inherits_what_is_not_given() {
        let inherited = Inherited {
            workflow_type: "Order".into(),
            task_queue: "orders".into(),
            memo: Some(Memo::default()),
            retry_policy: Some(RetryPolicy { maximum_attempts: 3, ..RetryPolicy::default() }),
            ..Inherited::default()
        };
        let next = attributes(continue_as_new(ContinueAsNew::default(), &inherited));
        assert_eq!(next.workflow_type.unwrap().name, "Order");
        assert_eq!(next.task_queue.unwrap().name, "orders");
        assert_eq!(next.retry_policy.unwrap().maximum_attempts, 3);
        assert!(next.memo.is_some() && next.header.is_none() && next.input.is_none());

        let other = ContinueAsNew { workflow_type: "Other".into(), ..ContinueAsNew::default() };
        assert_eq!(attributes(continue_as_new(other, &inherited)).workflow_type.unwrap().name, "Other");
    }
}
