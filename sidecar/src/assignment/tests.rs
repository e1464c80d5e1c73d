//! The assignment as a machine: what comes in, what it says by itself.

use durably_proto::durably::core::v1::{
    ActivityCancel, ActivityHeartbeat, Evict, InitializeWorkflow, WorkflowJob,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
const ALL: Wants = Wants { workflows: Activations::All, activities: 1 };

/// Of a thread that has left workflows to another one.
const NO_WORKFLOWS: Wants = Wants { workflows: Activations::None, activities: 1 };

fn event(event: Event) -> WorkerEvent {
    WorkerEvent { event: Some(event) }
}

fn activation(run: &str, job: Job) -> WorkerEvent {
    event(Event::Workflow(WorkflowActivation {
        run_id: run.into(),
        jobs: vec![WorkflowJob { job: Some(job) }],
        ..Default::default()
    }))
}

fn initialize(run: &str) -> WorkerEvent {
    activation(run, Job::Initialize(InitializeWorkflow::default()))
}

fn fire_timer(run: &str) -> WorkerEvent {
    activation(run, Job::FireTimer(durably_proto::durably::core::v1::FireTimer { seq: 1 }))
}

fn evict(run: &str) -> WorkerEvent {
    activation(run, Job::Evict(Evict::default()))
}

fn activity(token: &'static str) -> WorkerEvent {
    event(Event::ActivityStart(ActivityStart { task_token: token.into(), ..Default::default() }))
}

fn cancel(token: &'static str, reason: Reason) -> WorkerEvent {
    event(Event::ActivityCancel(ActivityCancel { task_token: token.into(), reason: reason as i32 }))
}

fn done(run: &str) -> WorkerRequest {
    answer_activation(run, workflow_completion::Status::Success(ActivationSuccess::default()))
}

fn beat(token: &'static str) -> WorkerRequest {
    let heartbeat = ActivityHeartbeat { task_token: token.into(), details: Vec::new() };
    WorkerRequest { request: Some(Request::Heartbeat(heartbeat)) }
}

/// What the sidecar says to the core by itself, in short.
fn said(requests: Vec<WorkerRequest>) -> Vec<String> {
    let text = |request: WorkerRequest| match request.request {
        Some(Request::Evict(evict)) => format!("evict {}", evict.run_id),
        Some(Request::Workflow(completion)) => match completion.status {
            Some(workflow_completion::Status::Success(_)) => format!("done {}", completion.run_id),
            _ => format!("fail {}", completion.run_id),
        },
        Some(Request::Activity(completion)) => {
            let token = String::from_utf8_lossy(&completion.task_token).into_owned();
            match completion.status {
                Some(activity_completion::Status::Failed(_)) => format!("fail {token}"),
                _ => format!("cancelled {token}"),
            }
        }
        other => format!("{other:?}"),
    };
    requests.into_iter().map(text).collect()
}

fn assignment() -> (Assignment, Instant) {
    let mut assignment = Assignment::new(PATIENCE);
    assignment.enter("a");
    (assignment, Instant::now())
}

#[test]
fn a_run_stays_with_who_took_it_until_it_is_evicted() {
    let (mut assignment, now) = assignment();
    assignment.enter("b");
    assert_eq!(said(assignment.handle_event(initialize("r"))), [""; 0]);
    assert_eq!(assignment.take("a", ALL, now), Some(initialize("r")));
    assert_eq!(assignment.take("b", ALL, now), None);
    assert!(matches!(assignment.answer("b", done("r")), Err(Refusal::NotYours(_))));
    assert!(assignment.answer("a", done("r")).unwrap().request.is_some());
    assert!(matches!(assignment.answer("a", done("r")), Err(Refusal::Unknown(_))), "answered twice");
    assignment.handle_event(fire_timer("r"));
    assert_eq!(assignment.take("b", ALL, now), None);
    assert_eq!(assignment.take("a", ALL, now), Some(fire_timer("r")));
    assert!(assignment.answer("a", done("r")).is_ok());
    assert_eq!(said(assignment.handle_event(evict("r"))), ["done r"], "evictions are answered here");
    assert_eq!(assignment.take("a", ALL, now), Some(evict("r")), "and told to whom they concern");
    assert!(assignment.answer("a", done("r")).unwrap().request.is_none(), "whose answer is let pass");
}

#[test]
fn who_is_quiet_for_too_long_loses_his_runs_but_not_his_activities() {
    let (mut assignment, now) = assignment();
    for arrived in [initialize("idle"), initialize("active"), activity("t")] {
        assignment.handle_event(arrived);
        assignment.take("a", ALL, now).unwrap();
    }
    assignment.answer("a", done("idle")).unwrap();
    assignment.leave("a", now);
    assert_eq!(assignment.next_expiry(), Some(now + PATIENCE));
    assert_eq!(said(assignment.expire(now + PATIENCE / 2)), [""; 0]);
    assert_eq!(said(assignment.expire(now + PATIENCE)), ["fail active", "evict idle"]);
    assert!(assignment.is_deserted());
    // One was on its way meanwhile; the eviction that was asked for comes.
    assert_eq!(said(assignment.handle_event(fire_timer("idle"))), ["fail idle"]);
    assert_eq!(said(assignment.handle_event(evict("idle"))), ["done idle"]);
    assignment.enter("a");
    assert!(assignment.answer("a", beat("t")).is_ok(), "it comes back with the activity");
    assert!(
        assignment.answer("a", done("active")).unwrap().request.is_none(),
        "a late answer counts for nothing"
    );
}

#[test]
fn who_parts_gives_everything_back_and_the_last_one_what_waits() {
    let (mut assignment, now) = assignment();
    assignment.handle_event(activity("taken"));
    assignment.take("a", ALL, now).unwrap();
    assignment.handle_event(activity("waiting"));
    assignment.handle_event(initialize("new"));
    assignment.enter("b");
    assert_eq!(said(assignment.remove_application("a")), ["fail taken"], "b is there for the rest");
    assert_eq!(said(assignment.remove_application("b")), ["fail new", "fail waiting"]);
}

#[test]
fn an_activation_that_is_not_answered_is_given_up() {
    let (mut assignment, now) = assignment();
    assignment.handle_event(initialize("r"));
    assignment.take("a", ALL, now).unwrap();
    assert_eq!(assignment.next_expiry(), Some(now + 2 * PATIENCE), "though the application is there");
    assert_eq!(said(assignment.expire(now + 2 * PATIENCE)), ["fail r"]);
    assert_eq!(assignment.next_expiry(), None);
}

#[test]
fn cancellations_reach_who_has_the_activity() {
    let (mut assignment, now) = assignment();
    for token in ["asked", "over", "waits", "end"] {
        assignment.handle_event(activity(token));
        if token != "waits" {
            assignment.take("a", ALL, now).unwrap();
        }
    }
    // `waits` went to the application in place of `end`, which waits now.
    assert_eq!(said(assignment.handle_event(cancel("end", Reason::Cancelled))), ["cancelled end"]);
    assert_eq!(said(assignment.handle_event(cancel("asked", Reason::Cancelled))), [""; 0]);
    assert_eq!(assignment.answer("a", beat("asked")).unwrap().cancel, Some(Reason::Cancelled));
    assert_eq!(assignment.answer("a", beat("waits")).unwrap().cancel, None);
    assert_eq!(
        said(assignment.handle_event(cancel("over", Reason::TimedOut))),
        ["cancelled over"],
        "the slot is free"
    );
    assert!(matches!(assignment.answer("a", beat("over")), Err(Refusal::Unknown(_))));
    let told: Vec<_> = std::iter::from_fn(|| assignment.take("a", ALL, now)).collect();
    assert_eq!(told, [cancel("asked", Reason::Cancelled), cancel("over", Reason::TimedOut)]);
    assignment.leave("a", now);
    assignment.expire(now + PATIENCE);
    assert_eq!(
        said(assignment.handle_event(cancel("asked", Reason::WorkerShutdown))),
        ["fail asked"],
        "nobody is there"
    );
}

#[test]
fn what_could_not_be_delivered_is_there_again() {
    let (mut assignment, now) = assignment();
    assignment.handle_event(activity("t"));
    let taken = assignment.take("a", ALL, now).unwrap();
    assignment.put_back("a", taken);
    assignment.enter("b");
    assert_eq!(assignment.take("b", Wants { workflows: Activations::All, activities: 0 }, now), None);
    assert_eq!(assignment.take("b", ALL, now), Some(activity("t")));
}

#[test]
fn activations_reach_only_who_asks_for_them() {
    let (mut assignment, now) = assignment();
    assignment.handle_event(initialize("r"));
    assert_eq!(assignment.take("a", ALL, now), Some(initialize("r")));
    assignment.answer("a", done("r")).unwrap();
    assignment.handle_event(activity("t"));
    assert_eq!(assignment.take("a", NO_WORKFLOWS, now), Some(activity("t")));
    assignment.handle_event(evict("r"));
    assignment.handle_event(initialize("r"));
    assignment.handle_event(cancel("t", Reason::Cancelled));
    // Were it to get the eviction, it might drop what another thread of the application has begun anew meanwhile.
    assert_eq!(assignment.take("a", NO_WORKFLOWS, now), Some(cancel("t", Reason::Cancelled)));
    assert_eq!(assignment.take("a", NO_WORKFLOWS, now), None);
    assert_eq!(assignment.take("a", ALL, now), Some(evict("r")));
    assert_eq!(assignment.take("a", ALL, now), Some(initialize("r")));
}
