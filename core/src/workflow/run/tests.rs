//! The joints that no kind of command uses yet, with the probe in its place: local work, commands that belong together,
//! markers that one side may lack, and messages beside the history.

use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use durably_proto::temporal::api::history::v1::*;
use durably_proto::temporal::api::protocol::v1::message::SequencingId;
use durably_proto::temporal::api::update::v1;
use durably_proto::temporal::api::workflowservice::v1::PollWorkflowTaskQueueResponse;
use prost_types::{Any, Timestamp};

use super::*;
use crate::workflow::OutgoingMessage;
use crate::workflow::machines::{Issued, probe};

const BEGUN: &str = "started scheduled task";

/// One event per word; a marker is any word that says probe.
fn history(words: &str) -> Vec<HistoryEvent> {
    let kinds = words.split_whitespace().map(|word| match word {
        "started" => {
            Attributes::WorkflowExecutionStartedEventAttributes(WorkflowExecutionStartedEventAttributes {
                workflow_type: Some(WorkflowType { name: "Probe".to_owned() }),
                ..Default::default()
            })
        }
        "scheduled" => Attributes::WorkflowTaskScheduledEventAttributes(Default::default()),
        "task" => Attributes::WorkflowTaskStartedEventAttributes(Default::default()),
        "done" => Attributes::WorkflowTaskCompletedEventAttributes(Default::default()),
        "upserted" => Attributes::UpsertWorkflowSearchAttributesEventAttributes(
            UpsertWorkflowSearchAttributesEventAttributes {
                workflow_task_completed_event_id: probe::UPSERTED,
                ..Default::default()
            },
        ),
        "signaled" => Attributes::WorkflowExecutionSignaledEventAttributes(Default::default()),
        marker => Attributes::MarkerRecordedEventAttributes(MarkerRecordedEventAttributes {
            marker_name: marker.to_owned(),
            ..Default::default()
        }),
    });
    let event = |(index, attributes)| HistoryEvent {
        event_id: index as i64 + 1,
        event_time: Some(Timestamp::default()),
        attributes: Some(attributes),
        ..Default::default()
    };
    kinds.enumerate().map(event).collect()
}

fn polled(messages: Vec<OutgoingMessage>) -> PollWorkflowTaskQueueResponse {
    PollWorkflowTaskQueueResponse {
        task_token: Bytes::from_static(b"task"),
        workflow_execution: Some(WorkflowExecution { run_id: "run".to_owned(), ..Default::default() }),
        history: Some(History { events: history(BEGUN) }),
        messages,
        ..Default::default()
    }
}

/// A run whose first activation is with the SDK.
fn activated() -> Run {
    let task = WorkflowTask::decode(polled(Vec::new())).unwrap().unwrap();
    let (run, steps) = Run::start(&RunOptions::default(), task);
    assert!(matches!(steps[..], [Step::Activate(_)]), "{steps:?}");
    run
}

/// The SDK has nothing to say.
fn complete(run: &mut Run) -> Vec<Step> {
    let run_id = run.run_id().to_owned();
    let status = Some(Status::Success(ActivationSuccess::default()));
    run.handle_completion(WorkflowCompletion { run_id, status })
}

fn local_work_is_done(run: &mut Run) -> Vec<Step> {
    let event = MachineEvent::Probe(probe::Event::LocalWorkDone);
    run.handle_local_work((Sequence::Timer, 1), event)
}

fn jobs(steps: &[Step]) -> Vec<&Job> {
    let [Step::Activate(activation)] = steps else { panic!("{steps:?}") };
    activation.jobs.iter().filter_map(|job| job.job.as_ref()).collect()
}

/// The names of the commands that a completed task sends: markers by theirs.
fn sent(steps: &[Step]) -> Vec<&str> {
    let [Step::RespondCompleted(done), ..] = steps else { panic!("{steps:?}") };
    let name = |command: &'_ Command| match command.attributes.as_ref() {
        Some(CommandAttributes::RecordMarkerCommandAttributes(_)) => "marker",
        Some(CommandAttributes::UpsertWorkflowSearchAttributesCommandAttributes(_)) => "upsert",
        other => panic!("{other:?}"),
    };
    let commands = &done.commands;
    assert!(commands.iter().all(|command| command.command_type != 0), "each has its number");
    commands.iter().map(name).collect()
}

#[test]
fn a_task_is_not_over_before_its_local_work() {
    let mut run = activated();
    run.state.issue(probe::local_work(1));
    assert_eq!(complete(&mut run), []);
    assert!(run.is_busy() && !run.is_activated());
    let steps = local_work_is_done(&mut run);
    assert!(matches!(jobs(&steps)[..], [Job::FireTimer(fired)] if fired.seq == 1), "{steps:?}");
    assert_eq!(sent(&complete(&mut run)), ["marker"]);
    assert!(!run.is_busy());
    assert_eq!(local_work_is_done(&mut run), [], "it is no longer of interest");
}

#[test]
fn local_work_that_ends_while_the_code_runs_comes_with_the_next_activation() {
    let mut run = activated();
    run.state.issue(probe::local_work(1));
    assert_eq!(local_work_is_done(&mut run), []);
    assert_eq!(jobs(&complete(&mut run)).len(), 1);
    assert_eq!(sent(&complete(&mut run)), ["marker"]);
}

#[test]
fn a_run_that_waits_for_local_work_is_evicted_when_the_task_is_over_or_lost() {
    let mut run = activated();
    run.state.issue(probe::local_work(1));
    assert_eq!(complete(&mut run), []);
    assert_eq!(run.handle_evict(evict::Reason::Shutdown, ""), [], "what is under way is finished first");
    local_work_is_done(&mut run);
    let steps = complete(&mut run);
    assert!(matches!(steps[..], [Step::RespondCompleted(_), Step::Activate(_)]), "{steps:?}");

    let mut run = activated();
    run.state.issue(probe::local_work(1));
    complete(&mut run);
    let steps = run.handle_evict(evict::Reason::CacheMiss, "");
    assert!(matches!(jobs(&steps)[..], [Job::Evict(_)]), "{steps:?}");
    assert_eq!(local_work_is_done(&mut run), []);
    assert!(matches!(complete(&mut run)[..], [Step::Evicted { .. }]));
}

/// Replays what the first task came to, with code that issues `issued` in it. Returns the jobs that the code had before
/// it did so, and what is wrong.
fn replay(recorded: &str, issued: Vec<Issued>) -> (usize, Option<String>) {
    // The signal keeps a task without commands from looking like one that only bought time.
    let events = history(&format!("{BEGUN} done {recorded} signaled scheduled task"));
    let replay = ReplayHistory { history: Some(History { events }), ..Default::default() };
    let (mut run, mut steps) = Run::replay(&RunOptions::default(), replay);
    let known = jobs(&steps).len();
    for one in issued {
        run.state.issue(one);
    }
    loop {
        steps = complete(&mut run);
        match &steps[..] {
            [Step::Replayed(result), ..] => {
                return (known, result.error.as_ref().map(|error| error.message.clone()));
            }
            [] => panic!("it is stuck"),
            _ => {}
        }
    }
}

fn agrees(recorded: &str, issued: Vec<Issued>) -> bool {
    replay(recorded, issued).1.is_none()
}

#[test]
fn commands_that_belong_together_are_paired_in_their_order() {
    let mut run = activated();
    run.state.issue(probe::marker_and_upsert("probe", false));
    assert_eq!(sent(&complete(&mut run)), ["marker", "upsert"]);

    let both = || vec![probe::marker_and_upsert("probe", false)];
    assert!(agrees("probe upserted", both()));
    assert!(agrees("probe upserted probe upserted", [both(), both()].into_iter().flatten().collect()));
    for wrong in ["", "probe", "upserted", "upserted probe", "probe probe", "probe-other upserted"] {
        assert!(!agrees(wrong, both()), "{wrong}");
    }
}

#[test]
fn either_side_may_lack_an_optional_marker() {
    let optional = |name| probe::marker_and_upsert(name, true);
    assert!(agrees("", vec![optional("probe")]), "the history lacks it, with all that belongs to it");
    assert!(agrees("probe upserted", vec![optional("probe")]));
    assert!(agrees("probe-b upserted", vec![optional("probe-a"), optional("probe-b")]));
    assert!(agrees("probe upserted", vec![optional("probe-a"), probe::marker_and_upsert("probe", false)]));
    assert!(agrees("probe-optional", Vec::new()), "the code lacks it");
    assert!(agrees("probe-optional probe upserted", vec![probe::marker_and_upsert("probe", false)]));
    assert!(!agrees("probe", Vec::new()), "a marker that must be issued");
    assert!(!agrees("probe-b upserted", vec![optional("probe-a")]));
}

#[test]
fn markers_are_known_before_the_code_issues_them() {
    assert_eq!(replay("", Vec::new()).0, 1, "it begins");
    assert_eq!(replay("probe-optional", Vec::new()).0, 2, "it begins, and one marker is ahead");
}

fn message(kind: &str, body: &impl prost::Message) -> OutgoingMessage {
    OutgoingMessage {
        id: "update-1/request".to_owned(),
        protocol_instance_id: "update-1".to_owned(),
        sequencing_id: Some(SequencingId::EventId(2)),
        body: Some(Any { type_url: format!("type.googleapis.com/{kind}"), value: body.encode_to_vec() }),
    }
}

#[test]
fn a_message_that_is_not_understood_fails_the_task_and_says_why() {
    for (kind, value, why) in [
        ("temporal.api.update.v1.Acceptance", Vec::new(), "newer version"),
        ("temporal.api.update.v1.Request", vec![0xff], "can't be read"),
    ] {
        let mut unknown = message(kind, &v1::Request::default());
        unknown.body = Some(Any { type_url: format!("type.googleapis.com/{kind}"), value });
        let task = WorkflowTask::decode(polled(vec![unknown])).unwrap().unwrap();
        let (_, steps) = Run::start(&RunOptions::default(), task);
        let [Step::FailTask(failed), Step::Evicted { .. }] = &steps[..] else { panic!("{steps:?}") };
        assert!(failed.failure.message.contains(kind), "{}", failed.failure.message);
        assert!(failed.failure.message.contains(why), "{}", failed.failure.message);
    }
}
