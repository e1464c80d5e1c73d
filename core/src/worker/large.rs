//! Payloads that are too large for the server, in words that the workflow's author knows.

use durably_proto::{
    depth,
    parts::{What, of_message, parts, says},
    temporal::api::{
        command::v1::Command,
        update::v1::{Acceptance, Rejection},
    },
};
use prost::{Message, Name};

use crate::workflow::OutgoingMessage;

/// Says of the first command, or answer to an update, that has too much what it is, what it takes and what is allowed; `None`
/// if all are small enough.
pub(super) fn told(
    commands: &[Command],
    messages: &[OutgoingMessage],
    workflow_type: &str,
    limit: usize,
) -> Option<String> {
    // What has one payload that is too large is too large itself.
    let suspects = commands.iter().filter(|command| command.encoded_len() > limit);
    let parts = suspects.filter_map(|command| command.attributes.as_ref()).flat_map(parts);
    let said = messages.iter().filter(|message| is_large(message, limit)).filter_map(of_message);
    let part = parts.chain(said).find(|part| part.bytes > limit)?;
    let what = match part.what {
        What::OfWorkflow(noun, verb) => format!("the {noun} of workflow `{workflow_type}` {verb}"),
        What::Of(what) => format!("workflow `{workflow_type}`: {what}"),
    };
    let bytes = part.bytes;
    Some(format!(
        "{what} {bytes} bytes; at most {limit} are allowed: store large data elsewhere and pass a reference"
    ))
}

/// What was asked is within the limit, and may not be any more with what is said of it. Servers know it, and need it back
/// only if they have forgotten it, in which case they are asked again.
pub(super) fn drop_large_requests(messages: &mut [OutgoingMessage], limit: usize) {
    for message in messages.iter_mut().filter(|message| is_large(message, limit)) {
        if says::<Acceptance>(message) {
            change::<Acceptance>(message, |acceptance| acceptance.accepted_request = None);
        } else if says::<Rejection>(message) {
            change::<Rejection>(message, |rejection| rejection.rejected_request = None);
        }
    }
}

fn is_large(message: &OutgoingMessage, limit: usize) -> bool {
    message.body.as_ref().is_some_and(|body| body.encoded_len() > limit)
}

fn change<M: Message + Name + Default>(message: &mut OutgoingMessage, change: impl FnOnce(&mut M)) {
    if let Some(body) = &mut message.body
        && let Ok(mut said) = depth::decode::<M>(body.value.clone().into())
    {
        change(&mut said);
        body.value = said.encode_to_vec();
    }
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::{
        command::v1::{
            CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
            command::Attributes,
        },
        common::v1::{ActivityType, Payload, Payloads},
        failure::v1::Failure,
        update::v1::{Input, Outcome, Request, Response, outcome},
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
        assert_eq!(told(&[small.clone(), near.clone()], &[], "Order", 100), None);
        insta::assert_snapshot!(
            told(&[small, near, large], &[], "Order", 100).unwrap_or_default(),
            @"workflow `Order`: the arguments of activity `large` take 206 bytes; at most 100 are allowed: store large data elsewhere and pass a reference"
        );
        let result = CompleteWorkflowExecutionCommandAttributes { result: Some(payloads(200)) };
        insta::assert_snapshot!(
            told(&[command(Attributes::CompleteWorkflowExecutionCommandAttributes(result))], &[], "Order", 100).unwrap_or_default(),
            @"the result of workflow `Order` takes 206 bytes; at most 100 are allowed: store large data elsewhere and pass a reference"
        );
    }

    fn said<M: Message + Name>(body: &M) -> OutgoingMessage {
        OutgoingMessage {
            id: "m".into(),
            protocol_instance_id: "u-1".into(),
            body: Some(prost_types::Any { type_url: M::type_url(), value: body.encode_to_vec() }),
            ..Default::default()
        }
    }

    fn failure() -> Failure {
        Failure { message: "x".repeat(400), ..Default::default() }
    }

    #[test]
    fn so_is_the_answer_to_an_update() {
        let response = |value| said(&Response { outcome: Some(Outcome { value }), ..Default::default() });
        let told = |message| told(&[], &[message], "Order", 300);
        assert_eq!(told(response(Some(outcome::Value::Success(payloads(10))))), None);
        let answers = [
            response(Some(outcome::Value::Success(payloads(400)))),
            response(Some(outcome::Value::Failure(failure()))),
            said(&Rejection { failure: Some(failure()), ..Default::default() }),
        ];
        let told: Vec<_> = answers.into_iter().filter_map(told).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        workflow `Order`: the result of update `u-1` takes 449 bytes; at most 300 are allowed: store large data elsewhere and pass a reference
        workflow `Order`: the failure of update `u-1` takes 446 bytes; at most 300 are allowed: store large data elsewhere and pass a reference
        workflow `Order`: the failure by which update `u-1` is rejected takes 444 bytes; at most 300 are allowed: store large data elsewhere and pass a reference
        ");
    }

    #[test]
    fn a_request_goes_back_if_there_is_room_for_it() {
        let request = |length| {
            let input = Input { name: "change".into(), args: Some(payloads(length)), ..Default::default() };
            Some(Request { input: Some(input), ..Default::default() })
        };
        let accepted = |accepted_request| {
            let id = "i".repeat(30);
            said(&Acceptance { accepted_request_message_id: id, accepted_request, ..Default::default() })
        };
        let rejected = |rejected_request| said(&Rejection { rejected_request, ..Default::default() });
        let mut messages = vec![
            accepted(request(10)),
            accepted(request(300)),
            rejected(request(10)),
            rejected(request(300)),
        ];
        drop_large_requests(&mut messages, 300);
        let left = vec![accepted(request(10)), accepted(None), rejected(request(10)), rejected(None)];
        assert_eq!(messages, left);
        assert_eq!(told(&[], &messages, "Order", 300), None);
    }
}
