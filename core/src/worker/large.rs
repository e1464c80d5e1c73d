//! Payloads that are too large for the server, in words that the workflow's author knows.

use durably_proto::temporal::api::command::v1::{Command, command::Attributes};
use prost::Message;

/// Says of the first command that has too much what it is, what it takes and what is allowed; `None` if all are small enough.
pub(super) fn told(commands: &[Command], workflow_type: &str, limit: usize) -> Option<String> {
    // What has one payload that is too large is too large itself.
    let suspects = commands.iter().filter(|command| command.encoded_len() > limit);
    let (what, size) =
        suspects.map(|command| largest(command, workflow_type)).find(|(_, size)| *size > limit)?;
    Some(format!(
        "{what} {size} bytes; at most {limit} are allowed: store large data elsewhere and pass a reference"
    ))
}

/// The part of a command that its author makes large, with the verb, and its size in bytes.
fn largest(command: &Command, workflow_type: &str) -> (String, usize) {
    use Attributes as A;

    fn size(message: Option<&impl Message>) -> usize {
        message.map_or(0, Message::encoded_len)
    }
    match &command.attributes {
        Some(A::ScheduleActivityTaskCommandAttributes(a)) => {
            let name = a.activity_type.as_ref().map_or("", |of| &of.name);
            (
                format!("workflow `{workflow_type}`: the arguments of activity `{name}` take"),
                size(a.input.as_ref()),
            )
        }
        Some(A::CompleteWorkflowExecutionCommandAttributes(a)) => {
            (format!("the result of workflow `{workflow_type}` takes"), size(a.result.as_ref()))
        }
        Some(A::FailWorkflowExecutionCommandAttributes(a)) => {
            (format!("the failure of workflow `{workflow_type}` takes"), size(a.failure.as_ref()))
        }
        Some(A::CancelWorkflowExecutionCommandAttributes(a)) => {
            let what = format!("what workflow `{workflow_type}` says of its cancellation takes");
            (what, size(a.details.as_ref()))
        }
        Some(A::ContinueAsNewWorkflowExecutionCommandAttributes(a)) => {
            let next = a.workflow_type.as_ref().map_or("", |of| &of.name);
            let what = format!("workflow `{workflow_type}`: the arguments of the next run, `{next}`, take");
            (what, size(a.input.as_ref()))
        }
        Some(A::StartChildWorkflowExecutionCommandAttributes(a)) => {
            let child = a.workflow_type.as_ref().map_or("", |of| &of.name);
            (
                format!("workflow `{workflow_type}`: the arguments of child workflow `{child}` take"),
                size(a.input.as_ref()),
            )
        }
        Some(A::SignalExternalWorkflowExecutionCommandAttributes(a)) => (
            format!("workflow `{workflow_type}`: the argument of signal `{}` takes", a.signal_name),
            size(a.input.as_ref()),
        ),
        _ => (String::new(), 0),
    }
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::{
        command::v1::{CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes},
        common::v1::{ActivityType, Payload, Payloads},
    };

    use super::*;

    fn payloads(length: usize) -> Payloads {
        let payload = Payload { data: vec![b'x'; length].into(), ..Default::default() };
        Payloads { payloads: vec![payload] }
    }

    #[test]
    fn the_one_that_is_too_large_is_named_with_its_size() {
        let activity = |name: &str, length| ScheduleActivityTaskCommandAttributes {
            activity_type: Some(ActivityType { name: name.into() }),
            // Of no consequence for the arguments.
            activity_id: "i".repeat(100),
            input: Some(payloads(length)),
            ..Default::default()
        };
        let command = |attributes| Command { attributes: Some(attributes), ..Default::default() };
        let small = command(Attributes::ScheduleActivityTaskCommandAttributes(activity("small", 10)));
        let near = command(Attributes::ScheduleActivityTaskCommandAttributes(activity("near", 90)));
        let large = command(Attributes::ScheduleActivityTaskCommandAttributes(activity("large", 200)));
        assert_eq!(told(&[small.clone(), near.clone()], "Order", 100), None);
        insta::assert_snapshot!(
            told(&[small, near, large], "Order", 100).unwrap_or_default(),
            @"workflow `Order`: the arguments of activity `large` take 206 bytes; at most 100 are allowed: store large data elsewhere and pass a reference"
        );
        let result = CompleteWorkflowExecutionCommandAttributes { result: Some(payloads(200)) };
        insta::assert_snapshot!(
            told(&[command(Attributes::CompleteWorkflowExecutionCommandAttributes(result))], "Order", 100).unwrap_or_default(),
            @"the result of workflow `Order` takes 206 bytes; at most 100 are allowed: store large data elsewhere and pass a reference"
        );
    }
}
