//! Messages between runs whose way is not smooth: letters are handled one by one, commits fail in between, and one side
//! or the other is read back.

use std::{collections::VecDeque, sync::atomic::Ordering};

use durably_proto::temporal::api::{
    command::v1::{Command, command::Attributes as C},
    common::v1::enums::v1::workflowservice::v1::RespondWorkflowTaskCompletedRequest,
};
use prost::Message as _;

use super::{failed_commit::begin, simulation::World, start_child};
use crate::{
    engine::{Dispatch, Input, Output, Poller, SECOND, Signal, state::TaskToken},
    shard::{letters::Letter, runs::Target, work::Work},
    store::Store,
};

/// A world in which letters are carried one by one.
struct Post {
    world: World,
    waiting: VecDeque<Work>,
}

impl Post {
    fn new() -> Self {
        Self { world: World::new(0), waiting: VecDeque::new() }
    }

    /// Takes the run's workflow task and answers it. What it says then is on its way.
    fn decide(&mut self, seq: i64, commands: Vec<Command>) {
        let shard = &mut self.world.shard;
        let task = shard.runs.get(seq).unwrap().run.pending_dispatch(self.world.clock.now()).pop();
        let Some(Dispatch::WorkflowTask { scheduled_event_id, attempt, .. }) = task else {
            panic!("no workflow task: {task:?}")
        };
        let poller = Poller::default();
        let take = Input::StartWorkflowTask { scheduled_event_id, attempt, sticky: false, poller };
        let Output::WorkflowTask(grant) = shard.apply(seq, take).unwrap() else { panic!("no task") };
        let token = TaskToken::decode(grant.response.task_token).unwrap();
        let request = Box::new(RespondWorkflowTaskCompletedRequest { commands, ..Default::default() });
        shard.apply(seq, Input::CompleteWorkflowTask { token, request }).unwrap();
        shard.finish_batch();
    }

    fn signal(&mut self, seq: i64) {
        let signal = Signal { name: "go".into(), ..Default::default() };
        self.world.shard.apply(seq, Input::Signal(signal)).unwrap();
    }

    /// The batch at hand cannot be stored.
    fn fail_batch(&mut self) {
        self.world.store.fails.store(true, Ordering::Relaxed);
        self.world.shard.finish_batch();
        self.world.store.fails.store(false, Ordering::Relaxed);
    }

    /// What is on its way next.
    fn next(&mut self) -> Option<Work> {
        self.waiting.extend(self.world.inbox.empty());
        self.waiting.pop_front()
    }

    /// Handles all that is on its way, each letter at a time of its own. What comes of it is stored, or not. Answers how
    /// many messages there were.
    fn round(&mut self, stored: bool) -> usize {
        let mut messages = 0;
        while let Some(work) = self.next() {
            messages += usize::from(matches!(&work, Work::Receive(Letter::Message(_))));
            self.world.clock.skip_to(self.world.clock.now().after(1));
            self.world.shard.handle(work);
            if stored {
                self.world.shard.finish_batch();
            } else if self.waiting.is_empty() && self.world.inbox.is_empty() {
                self.fail_batch();
            }
        }
        messages
    }

    fn pass(&mut self, span: i64) {
        self.world.clock.skip_to(self.world.clock.now().after(span));
        self.world.shard.fire_timers();
        self.world.shard.finish_batch();
    }

    fn newest(&mut self, id: &str) -> i64 {
        self.world.shard.find(&Target::named("ns", id, "")).unwrap()
    }
}

#[test]
fn what_cannot_be_taken_in_is_said_again_once_a_second() {
    let mut post = Post::new();
    let parent = begin(&mut post.world, "parent");
    post.decide(parent, vec![start_child("one"), start_child("two")]);
    let mut rounds = Vec::new();
    for _ in 0..5 {
        rounds.push(post.round(false));
        post.pass(SECOND);
    }
    assert_eq!(rounds, [2; 5]);
    // When the disk has room again, both start.
    post.round(true);
    assert!(post.newest("one") > 0 && post.newest("two") > 0);
    post.pass(SECOND);
    assert_eq!(post.round(true), 0, "nothing is said any more");
}
