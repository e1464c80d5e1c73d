//! Every state and event of an update, and what is said of it on the wire.

use durably_proto::durably::core::v1::UpdateAccepted;
use durably_proto::temporal::api::common::v1::{Header, Payload};
use durably_proto::temporal::api::update::v1::Input;
use prost::Message as _;

use super::*;
use crate::workflow::machines::table;

fn request(id: &str, name: &str) -> UpdateRequest {
    let args = Payloads { payloads: vec![Payload { data: b"new".to_vec().into(), ..Payload::default() }] };
    let input = Input { name: name.into(), args: Some(args), header: Some(Header::default()) };
    UpdateRequest {
        id: format!("{id}/request"),
        protocol_instance_id: id.into(),
        event_id: 6,
        request: Request {
            meta: Some(Meta { update_id: id.into(), identity: "someone".into() }),
            input: Some(input),
            ..Request::default()
        },
    }
}

fn asked(accepted_at: i64, by_event_id: bool) -> UpdateMachine {
    match begin(request("u1", "rename"), accepted_at, by_event_id).1 {
        Machine::Update(machine) => machine,
        other => panic!("{other:?}"),
    }
}

fn update() -> Update {
    match asked(0, false) {
        UpdateMachine::AwaitingAnswer(asked) => asked.update,
        other => panic!("{other:?}"),
    }
}

fn succeeded() -> Event {
    Event::Complete(Box::new(Outcome { value: Some(outcome::Value::Success(Payloads::default())) }))
}

fn accepted(id: &str) -> Event {
    Event::Accepted(Box::new(Accepted { instance_id: id.into(), ..Accepted::default() }))
}

fn states() -> Vec<UpdateMachine> {
    vec![
        asked(0, false),
        asked(9, false),
        UpdateMachine::AwaitingAccepted(update()),
        UpdateMachine::AwaitingAcceptedAndCompleted(update()),
        UpdateMachine::AwaitingOutcome(update()),
        UpdateMachine::AwaitingCompleted(update()),
        UpdateMachine::Finished,
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Accept,
        Event::Reject(Box::default()),
        succeeded(),
        accepted("u1"),
        accepted("u2"),
        Event::Completed { update_id: "u1".into() },
        Event::Completed { update_id: "u2".into() },
    ]
}

#[test]
fn every_state_and_event() {
    insta::assert_snapshot!(table::render(&states(), &events(), UpdateMachine::handle));
}

#[test]
fn what_the_code_says_out_of_turn_is_refused() {
    let mut lines = Vec::new();
    for state in states() {
        for event in &events()[..3] {
            let said = state.check(event).map_or_else(|bad| bad.0, |()| "may be said".into());
            lines.push(format!("{state:?}, {event}: {said}"));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
    let empty = UpdateAnswer { id: "u1".into(), answer: None };
    assert_eq!(answer(empty).unwrap_err().0, "the answer to update `u1` is empty");
    let accepted =
        UpdateAnswer { id: "u1".into(), answer: Some(update_answer::Answer::Accepted(UpdateAccepted {})) };
    assert!(
        matches!(answer(accepted), Ok(Issued::Respond { update_id, event: Event::Accept }) if update_id == "u1")
    );
}

/// What is said when the code answers so, one thing behind the other.
fn said(by_event_id: bool, answers: Vec<Event>) -> Effects {
    let mut effects = Effects::default();
    let mut machine = asked(0, by_event_id);
    for answer in answers {
        machine = machine.handle(answer, &mut effects).unwrap();
    }
    effects
}

#[test]
fn answers_are_messages_with_the_ids_of_each_dialect() {
    for (by_event_id, prefix) in [(false, "u1/request"), (true, "u1")] {
        let effects = said(by_event_id, vec![Event::Accept, succeeded()]);
        let ids: Vec<&str> = effects.messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, [format!("{prefix}/accept"), format!("{prefix}/complete")]);
        let commands: Vec<&str> = effects
            .commands
            .iter()
            .map(|command| match command {
                CommandAttributes::ProtocolMessageCommandAttributes(command) => command.message_id.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(commands, ids, "each has its place among the commands");
        assert!(effects.messages.iter().all(|message| message.protocol_instance_id == "u1"));
    }
    let effects =
        said(false, vec![Event::Reject(Box::new(Failure { message: "no".into(), ..Failure::default() }))]);
    let [message] = &effects.messages[..] else { panic!("{effects:?}") };
    assert_eq!((message.id.as_str(), effects.commands.len()), ("u1/request/reject", 0));
    let body = message.body.as_ref().unwrap();
    assert_eq!(body.type_url, "type.googleapis.com/temporal.api.update.v1.Rejection");
    let rejection = Rejection::decode(&body.value[..]).unwrap();
    assert_eq!(rejection.rejected_request_message_id, "u1/request");
    assert_eq!(rejection.rejected_request_sequencing_event_id, 6);
    assert_eq!(rejection.rejected_request, Some(request("u1", "rename").request));
    assert_eq!(rejection.failure.unwrap().message, "no");
}

#[test]
fn the_acceptance_brings_the_request_along() {
    let effects = said(false, vec![Event::Accept, succeeded()]);
    let body = |index: usize| effects.messages[index].body.clone().unwrap();
    let acceptance = Acceptance::decode(&body(0).value[..]).unwrap();
    assert_eq!(acceptance.accepted_request_message_id, "u1/request");
    assert_eq!(acceptance.accepted_request_sequencing_event_id, 6);
    assert_eq!(acceptance.accepted_request, Some(request("u1", "rename").request));
    let response = Response::decode(&body(1).value[..]).unwrap();
    assert_eq!(response.meta, request("u1", "rename").request.meta);
    assert!(matches!(response.outcome.unwrap().value, Some(outcome::Value::Success(_))));
}

#[test]
fn a_request_without_an_id_goes_by_that_of_its_message() {
    let mut old = request("u1", "rename");
    old.request.meta = None;
    let (id, _, job) = begin(old, 0, false);
    assert_eq!(id, "u1");
    assert!(matches!(job, Job::Update(job) if job.id == "u1" && job.run_validator));
}
