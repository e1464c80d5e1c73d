//! Payloads that are too large for the server, in words that the workflow's author knows.

use durably_proto::{
    parts::{What, parts},
    temporal::api::command::v1::Command,
};
use prost::Message;

/// Says of the first command that has too much what it is, what it takes and what is allowed; `None` if all are small enough.
pub(super) fn told(commands: &[Command], workflow_type: &str, limit: usize) -> Option<String> {
    // What has one payload that is too large is too large itself.
    let suspects = commands.iter().filter(|command| command.encoded_len() > limit);
    let parts = suspects.filter_map(|command| command.attributes.as_ref()).flat_map(parts);
    let part = parts.into_iter().find(|part| part.bytes > limit)?;
    let what = match part.what {
        What::OfWorkflow(noun, verb) => format!("the {noun} of workflow `{workflow_type}` {verb}"),
        What::Of(what) => format!("workflow `{workflow_type}`: {what}"),
    };
    let bytes = part.bytes;
    Some(format!(
        "{what} {bytes} bytes; at most {limit} are allowed: store large data elsewhere and pass a reference"
    ))
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::{
        command::v1::{
            CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
            command::Attributes,
        },
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
