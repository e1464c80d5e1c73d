//! Every state and event of a child, and what is told of it.

use super::*;
use crate::workflow::machines::table;

fn child(cancellation: ChildWorkflowCancellationType) -> Child {
    Child {
        seq: 1,
        namespace: "shop".into(),
        id: "ship-1".into(),
        takes_id: false,
        by_event_id: false,
        type_name: "Ship".into(),
        cancellation,
        initiated_event_id: 0,
        started_event_id: 0,
        run_id: String::new(),
    }
}

fn states(cancellation: ChildWorkflowCancellationType) -> Vec<ChildMachine> {
    let unsent = Box::new(child(cancellation));
    let by_event_unsent = Box::new(Child { takes_id: true, by_event_id: true, ..*unsent.clone() });
    let initiated = Box::new(Child { initiated_event_id: 5, ..*unsent.clone() });
    let by_event = Box::new(Child { initiated_event_id: 5, ..*by_event_unsent.clone() });
    let run_id = "run-1".to_owned();
    let started = Box::new(Child { started_event_id: 6, run_id: run_id.clone(), ..*initiated.clone() });
    let by_event_started = Box::new(Child { started_event_id: 6, run_id, ..*by_event.clone() });
    vec![
        ChildMachine::AwaitingInitiated(unsent),
        ChildMachine::AwaitingInitiated(by_event_unsent.clone()),
        ChildMachine::AwaitingInitiatedCancelled(by_event_unsent, "late".into()),
        ChildMachine::AwaitingStarted(initiated),
        ChildMachine::AwaitingStarted(by_event.clone()),
        ChildMachine::AwaitingStartedCancelled(by_event, "late".into()),
        ChildMachine::AwaitingEnd(started.clone()),
        ChildMachine::AwaitingEnd(by_event_started.clone()),
        ChildMachine::AwaitingEndCancelled(by_event_started),
        ChildMachine::Abandoned(started),
    ]
}

fn initiated(id: &str, workflow_type: &str) -> Event {
    Event::Initiated { event_id: 5, workflow_id: id.into(), workflow_type: workflow_type.into() }
}

fn ends() -> Vec<Event> {
    let ends = [
        End::Completed { result: None },
        End::Failed {
            failure: Some(Box::new(Failure { message: "no van".into(), ..Failure::default() })),
            retry_state: 3,
        },
        End::Canceled { details: Some(Payloads::default()) },
        End::TimedOut { retry_state: 2 },
        End::Terminated,
    ];
    ends.into_iter().map(|end| Event::Ended { run_id: "run-2".into(), end }).collect()
}

#[test]
fn every_state_and_event() {
    let mut all = Vec::new();
    for cancellation in [
        ChildWorkflowCancellationType::Abandon,
        ChildWorkflowCancellationType::TryCancel,
        ChildWorkflowCancellationType::WaitCancellationCompleted,
        ChildWorkflowCancellationType::WaitCancellationRequested,
    ] {
        all.extend(states(cancellation));
    }
    all.push(ChildMachine::Finished);
    let mut events = vec![
        Event::Cancel { reason: "late".into() },
        initiated("ship-1", "Ship"),
        initiated("ship-2", "Ship"),
        initiated("ship-1", "Bill"),
        Event::StartFailed { cause: StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists },
        Event::Started { event_id: 6, run_id: "run-1".into() },
    ];
    events.extend(ends());
    insta::assert_snapshot!(table::render(&all, &events, ChildMachine::handle));
}

#[test]
fn a_failure_tells_which_child_and_why() {
    let mut effects = Effects::default();
    let states = states(ChildWorkflowCancellationType::Abandon);
    let [_, _, _, _, _, _, awaiting, by_event, ..] = &states[..] else { unreachable!() };
    for end in ends() {
        awaiting.clone().handle(end, &mut effects).unwrap();
    }
    by_event.clone().handle(ends().remove(1), &mut effects).unwrap();
    awaiting.clone().handle(Event::Cancel { reason: String::new() }, &mut effects).unwrap();
    insta::assert_debug_snapshot!(effects.jobs);
}

#[test]
fn a_timeout_is_told_in_the_words_of_each_official_sdk() {
    let states = states(ChildWorkflowCancellationType::Abandon);
    let [_, _, _, _, _, _, awaiting, by_event, ..] = &states[..] else { unreachable!() };
    for (state, words) in [(awaiting, "Timed out"), (by_event, "Child workflow timeout")] {
        let mut effects = Effects::default();
        state.clone().handle(ends().remove(3), &mut effects).unwrap();
        let Some(Job::ResolveChildWorkflow(job)) = effects.jobs.pop() else { panic!("no end") };
        let Some(Status::Failed(failure)) = job.result.unwrap().status else { panic!("not failed") };
        assert_eq!(failure.cause.unwrap().message, words);
    }
}

#[test]
fn a_start_says_what_became_of_it() {
    let mut effects = Effects::default();
    let [unsent, _, _, awaiting, ..] = &states(ChildWorkflowCancellationType::TryCancel)[..] else {
        unreachable!()
    };
    let cause = StartChildWorkflowExecutionFailedCause::NamespaceNotFound;
    for (state, event) in [
        (unsent, Event::Cancel { reason: "late".into() }),
        (awaiting, Event::Cancel { reason: "late".into() }),
        (awaiting, Event::StartFailed { cause }),
        (awaiting, Event::Started { event_id: 6, run_id: "run-1".into() }),
    ] {
        state.clone().handle(event, &mut effects).unwrap();
    }
    insta::assert_debug_snapshot!(effects.jobs);
}

fn inherited() -> Inherited {
    Inherited {
        namespace: "shop".into(),
        run_id: "run".into(),
        task_queue: "orders".into(),
        ..Inherited::default()
    }
}

fn sent(command: StartChildWorkflow, naming: Naming) -> StartChildWorkflowExecutionCommandAttributes {
    match start(command, &inherited(), naming) {
        Ok(Issued::Begin { mut commands, .. }) => match commands.remove(0) {
            CommandAttributes::StartChildWorkflowExecutionCommandAttributes(sent) => sent,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
#[expect(deprecated, reason = "namespaces are still named this way")]
fn a_child_runs_beside_its_parent_unless_the_command_says_otherwise() {
    let command = StartChildWorkflow {
        seq: 1,
        workflow_id: "ship-1".into(),
        workflow_type: "Ship".into(),
        ..StartChildWorkflow::default()
    };
    let plain = sent(command.clone(), Naming::Sequence);
    assert_eq!(plain.namespace, "shop");
    assert_eq!(plain.task_queue.unwrap().name, "orders");
    assert!(plain.input.is_none() && plain.header.is_none());
    let elsewhere = StartChildWorkflow {
        namespace: "depot".into(),
        task_queue: "vans".into(),
        arguments: vec![Payload::default()],
        parent_close_policy: 2,
        ..command.clone()
    };
    let other = sent(elsewhere, Naming::EventId(7));
    assert_eq!((&*other.namespace, &*other.workflow_id), ("depot", "ship-1"));
    assert_eq!((other.task_queue.unwrap().name, other.parent_close_policy), ("vans".to_owned(), 2));
    assert_eq!(other.input.unwrap().payloads.len(), 1);
}

#[test]
fn an_id_is_made_of_the_run_and_the_event_where_go_makes_it() {
    let nameless =
        StartChildWorkflow { seq: 3, workflow_type: "Ship".into(), ..StartChildWorkflow::default() };
    assert_eq!(sent(nameless.clone(), Naming::EventId(7)).workflow_id, "run_7");
    let error = start(nameless, &inherited(), Naming::Sequence).unwrap_err();
    assert!(error.to_string().contains("child workflow 3 (Ship) has no workflow id"), "{error}");
    let typeless =
        StartChildWorkflow { seq: 3, workflow_id: "ship-1".into(), ..StartChildWorkflow::default() };
    assert!(start(typeless, &inherited(), Naming::Sequence).unwrap_err().to_string().contains("no type"));
}
