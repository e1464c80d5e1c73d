//! Updates in scripts, and stories about them.

use durably_proto::temporal::api::{
    protocol::v1::Message,
    update::v1::{Acceptance, Input, Meta, Outcome, Rejection, Request, Response, outcome},
};
use prost::Name;

use super::script::{application, play};
use crate::engine::{UpdateOutcome, UpdateStage};

pub(super) fn update_request(id: &str) -> Request {
    Request {
        meta: Some(Meta { update_id: id.into(), identity: "client".into() }),
        input: Some(Input { name: "change".into(), ..Default::default() }),
        ..Default::default()
    }
}

/// What a worker says of an update.
pub(super) fn reply(word: &str, id: &str) -> Message {
    let carried = (word != "bare-accept").then(|| update_request(id));
    let asked = format!("{id}/request");
    match word {
        "accept" | "bare-accept" => message(
            id,
            "accept",
            &Acceptance {
                accepted_request_message_id: asked,
                accepted_request_sequencing_event_id: 3,
                accepted_request: carried,
            },
        ),
        "reject" => message(
            id,
            "reject",
            &Rejection {
                rejected_request_message_id: asked,
                rejected_request: carried,
                failure: Some(application("no")),
                ..Default::default()
            },
        ),
        "answer" => {
            let value = Some(outcome::Value::Success(Default::default()));
            let meta = Some(Meta { update_id: id.into(), ..Default::default() });
            message(id, "answer", &Response { meta, outcome: Some(Outcome { value }) })
        }
        other => panic!("unknown reply {other}"),
    }
}

fn message<M: prost::Message + Name>(id: &str, word: &str, body: &M) -> Message {
    Message {
        id: format!("{id}/{word}"),
        protocol_instance_id: id.into(),
        body: Some(prost_types::Any { type_url: M::type_url(), value: body.encode_to_vec() }),
        ..Default::default()
    }
}

/// A stage in words.
pub(super) fn stage_of(stage: &UpdateStage) -> String {
    match stage {
        UpdateStage::Admitted => "admitted".into(),
        UpdateStage::Accepted => "accepted".into(),
        UpdateStage::Completed(UpdateOutcome::In(event_id)) => format!("completed in event {event_id}"),
        UpdateStage::Completed(UpdateOutcome::Known(outcome)) => match &outcome.value {
            Some(outcome::Value::Failure(failure)) => format!("failed: {}", failure.message),
            Some(outcome::Value::Success(_)) => "completed".into(),
            None => "completed without an outcome".into(),
        },
    }
}

macro_rules! transcript {
    ($name:ident, $script:literal) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(play($script));
        }
    };
}

transcript!(
    an_update_is_accepted_and_completed_later,
    "start
     poll
     complete sticky; timer t 1h
     update u
     update u
     poll sticky
     complete sticky; accept u; activity a close=1m
     update u
     take a
     done a
     poll sticky
     complete sticky; answer u
     update u
     crash
     update u
     update v
     poll
     complete accept v; answer v; finish
     update v
     update w"
);

transcript!(
    updates_of_the_first_task_and_of_one_that_is_there_already,
    "start
     update a
     poll
     complete sticky; accept a; answer a
     signal s
     update b
     poll sticky
     update c
     complete sticky; accept b; answer b
     poll sticky
     complete sticky; reject c"
);

transcript!(
    rejected_ones_leave_nothing,
    "start
     poll
     complete sticky
     update a
     poll sticky
     complete sticky; reject a
     update b
     poll sticky
     update c
     complete sticky; reject b; return-new
     complete sticky; reject c
     signal s
     poll sticky
     complete finish"
);

transcript!(
    a_worker_that_saw_events_must_be_able_to_forget_them,
    "start
     poll
     complete sticky; activity a close=1h
     update a
     poll sticky
     complete sticky; reject a
     update b
     poll sticky
     complete sticky; reject b; can-forget"
);

transcript!(
    what_happens_meanwhile_makes_the_task_a_real_one,
    "start
     poll
     complete sticky; timer t 10s
     update a
     wait 10s
     poll sticky
     complete sticky; reject a
     update b
     poll sticky
     signal s
     complete sticky; reject b
     poll sticky
     complete sticky; timer u 1h
     update c
     poll sticky
     complete sticky; reject c; timer v 1h"
);

transcript!(
    a_task_for_updates_fails_and_is_tried_again,
    "start
     poll
     complete sticky
     update a
     poll sticky
     fail-task
     poll
     fail-task
     wait 1s
     poll
     fail-task
     update b
     wait 2s
     poll
     complete
     update c
     poll
     wait 10s
     poll
     complete accept c; answer c"
);

transcript!(
    a_sticky_worker_that_does_not_come,
    "start
     poll
     complete sticky
     update a
     wait 5s
     poll
     complete accept a; answer a"
);

transcript!(
    a_crash_forgets_what_nobody_has_accepted,
    "start
     poll
     complete sticky
     update a
     crash
     update a
     poll
     signal s
     crash
     complete accept a
     poll
     complete bare-accept a
     poll
     complete answer a
     update b
     poll
     signal t
     crash
     complete bare-accept b"
);

transcript!(
    what_nobody_waits_for_is_forgotten_when_memory_is_short,
    "start
     update a
     forget
     poll
     complete sticky
     update b
     update c
     forget c
     poll sticky
     update d
     forget
     complete sticky; accept c; answer c
     update e
     query 1
     forget
     poll sticky
     update e
     signal s
     forget
     poll sticky
     complete sticky"
);

transcript!(
    what_the_worker_ignores_is_rejected,
    "start
     poll
     complete
     update a
     update b
     poll
     complete accept b"
);

transcript!(
    a_run_that_ends_thinks_again_once,
    "start
     poll
     complete sticky; timer t 1s
     wait 1s
     poll sticky
     update a
     complete sticky; finish
     poll
     update b
     complete accept a; finish
     update a"
);

transcript!(
    a_run_that_ends_under_updates,
    "start attempts=2
     poll
     complete timer t 1h
     update a
     update b
     poll
     complete accept a; reject b
     update c
     terminate
     update a"
);

transcript!(
    those_who_ask_a_run_that_goes_on_elsewhere_are_told_so,
    "start
     poll
     complete
     update a
     poll
     update b
     complete accept a; continue
     poll
     update c
     complete accept b; continue"
);

transcript!(
    replies_that_fit_nothing,
    "start
     poll
     complete bare-accept nobody
     poll
     complete answer nobody
     poll
     complete
     update a
     poll
     complete accept a; accept a
     wait 1s
     poll
     complete accept a; answer a; answer a
     wait 2s
     poll
     complete accept a"
);

transcript!(
    as_many_as_may_be_under_way,
    "start
     update 1
     update 2
     update 3
     update 4
     update 5
     update 6
     update 7
     update 8
     update 9
     update 10
     update 11
     poll
     complete accept 1; answer 1; accept 2
     update 11"
);
