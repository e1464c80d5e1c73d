//! Pollers that wait while their task is made.

use futures::FutureExt as _;

use super::{failed_commit::begin, simulation::World};
use crate::{
    matching::{PollerIdentity, QueueKind, TaskReceiver},
    shard::{delivery::Offer, tasks::queue_key},
};

fn poll(world: &World) -> TaskReceiver<Offer> {
    let key = queue_key(&"ns".into(), "tq", QueueKind::Workflow);
    world.matching.poll(&key, PollerIdentity::default(), 0)
}

/// Woken before the commit it would find nothing and wait again: two wake-ups for each task.
#[test]
fn a_poller_hears_of_its_task_when_that_is_granted() {
    let mut world = World::new(0);
    let mut waiting = poll(&world);
    begin(&mut world, "a");
    world.shard.start_waiting();
    assert!(waiting.recv().now_or_never().is_none(), "nothing is stored yet");
    world.settle();
    let Some(Some(Offer::Started(delivery))) = waiting.recv().now_or_never() else {
        panic!("the task was not started for whoever waited");
    };
    let grant = delivery.receive().now_or_never().expect("the grant comes with the delivery");
    assert!(grant.unwrap().is_some());
}

#[test]
fn a_task_whose_poller_leaves_before_the_commit_is_there_for_the_next() {
    let mut world = World::new(0);
    let waiting = poll(&world);
    begin(&mut world, "a");
    world.shard.start_waiting();
    drop(waiting);
    world.settle();
    assert!(matches!(poll(&world).recv().now_or_never(), Some(Some(Offer::Task(_)))));
}

#[test]
fn a_task_whose_poller_leaves_a_shard_that_closes_is_not_lost() {
    let mut world = World::new(0);
    let waiting = poll(&world);
    begin(&mut world, "a");
    world.shard.start_waiting();
    world.inbox.close();
    drop(waiting);
    world.settle();
    assert!(matches!(poll(&world).recv().now_or_never(), Some(Some(Offer::Task(_)))));
}
