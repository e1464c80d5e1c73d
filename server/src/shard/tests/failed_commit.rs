//! What a commit that fails leaves alone.

use std::sync::atomic::Ordering;

use durably_proto::temporal::api::{
    command::v1::{ScheduleActivityTaskCommandAttributes, command::Attributes as C},
    common::v1::{ActivityType, WorkflowType},
    enums::v1::QueryRejectCondition,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{RespondWorkflowTaskCompletedRequest, StartWorkflowExecutionRequest},
};

use super::simulation::{World, command};
use crate::{
    engine::{Input, Poller, SECOND, Signal, duration, state::TaskToken},
    matching::QueueKind,
    shard::{reply::Reply, runs::Target, start::StartCall, tasks::queue_key, waiters::Heard, work::Work},
};

pub(super) fn begin(world: &mut World, id: &str) -> i64 {
    let request = StartWorkflowExecutionRequest {
        workflow_id: id.into(),
        workflow_type: Some(WorkflowType { name: "order".into() }),
        task_queue: Some(TaskQueue { name: "tq".into(), ..Default::default() }),
        ..Default::default()
    };
    let call = StartCall { request, signal: None, in_process: false };
    world.shard.start(&world.namespace.id, call).unwrap();
    world.shard.find(&Target::named("ns", id, "")).unwrap()
}

#[test]
fn what_other_runs_offer_outlives_a_commit_that_fails() {
    let mut world = World::new(0);
    let poller = Poller::default;
    let seq = begin(&mut world, "a");
    let mut inputs =
        vec![Input::StartWorkflowTask { scheduled_event_id: 2, attempt: 1, sticky: false, poller: poller() }];
    let activity = C::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
        activity_id: "pay".into(),
        activity_type: Some(ActivityType { name: "charge".into() }),
        start_to_close_timeout: Some(duration(20 * SECOND)),
        ..Default::default()
    });
    let commands = vec![command(activity)];
    let started_time = world.clock.now().0;
    let token = TaskToken {
        scheduled_event_id: 2,
        started_event_id: 3,
        attempt: 1,
        started_time,
        epoch: world.shard.lease,
        ..Default::default()
    };
    let request = Box::new(RespondWorkflowTaskCompletedRequest { commands, ..Default::default() });
    inputs.push(Input::CompleteWorkflowTask { token, request });
    inputs.push(Input::StartActivity { scheduled_event_id: 5, attempt: 1, poller: poller() });
    inputs.push(Input::FailActivity {
        token: TaskToken { activity_id: "pay".into(), ..Default::default() },
        failure: Box::default(),
        heartbeat_details: None,
        identity: String::new(),
    });
    for input in inputs {
        world.shard.apply(seq, input).unwrap();
        world.settle();
    }
    // The first attempt's offer is still there, stale.
    let key = queue_key(&"ns".into(), "tq", QueueKind::Activity);
    let before = world.matching.describe(&key, 0).backlog;
    world.clock.skip_to(world.clock.now().after(SECOND));
    // The retry is offered, which needs no commit, in the batch that fails for another run.
    world.shard.fire_timers();
    begin(&mut world, "b");
    world.store.fails.store(true, Ordering::Relaxed);
    world.settle();
    assert_eq!(world.matching.describe(&key, 0).backlog, before + 1);
}

/// Its query went with what the run had in memory, and the run that is read back has nothing to wake a reader with.
#[test]
fn whoever_waits_on_a_run_that_is_taken_back_hears_of_it() {
    let mut world = World::new(0);
    let seq = begin(&mut world, "a");
    world.settle();
    let (reply, mut answer) = Reply::new();
    let (target, query) = (Target::named("ns", "a", ""), Box::default());
    world.shard.handle(Work::Query { target, query, reject: QueryRejectCondition::None, reply });
    let (reply, mut seen) = Reply::new();
    world.shard.handle(Work::Watch { seq, from: 100, close_only: true, reply });
    world.settle();
    assert!(answer.try_recv().is_err() && seen.try_recv().is_err(), "both wait");

    world.shard.apply(seq, Input::Signal(Signal::default())).unwrap();
    world.store.fails.store(true, Ordering::Relaxed);
    world.settle();
    assert_eq!(answer.try_recv().unwrap().unwrap_err().kind().code(), tonic::Code::Unavailable);
    assert!(matches!(seen.try_recv(), Ok(Ok(Heard::Changed))), "the reader looks again");
}
