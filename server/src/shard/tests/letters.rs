//! Messages between runs whose way is not smooth: letters are handled one by one, commits fail in between, and one side
//! or the other is read back.

use std::{collections::VecDeque, sync::atomic::Ordering};

use durably_proto::temporal::api::{
    command::v1::{
        Command, ContinueAsNewWorkflowExecutionCommandAttributes,
        SignalExternalWorkflowExecutionCommandAttributes, command::Attributes as C,
    },
    common::v1::WorkflowExecution,
    enums::v1::EventType,
    workflowservice::v1::RespondWorkflowTaskCompletedRequest,
};
use prost::Message as _;

use super::{
    failed_commit::begin,
    log::logged,
    pending_rows,
    simulation::{World, command},
    start_child,
};
use crate::{
    engine::{Dispatch, Input, Output, Poller, SECOND, Signal, state::TaskToken},
    shard::{events::decode, letters::Letter, reply::Reply, runs::Target, work::Work},
    store::{Commit, Holder, RowKind, Store, Terms},
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

    /// A run that has nothing to do, and its number.
    fn idle(&mut self, id: &str) -> i64 {
        let seq = begin(&mut self.world, id);
        self.decide(seq, Vec::new());
        seq
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

    /// The next letter arrives, in a batch that is still to be stored.
    fn arrive(&mut self) {
        let work = self.next().expect("a letter is on its way");
        self.world.shard.handle(work);
    }

    /// The next letter arrives.
    fn deliver(&mut self) {
        self.arrive();
        self.world.shard.finish_batch();
    }

    /// Carries all letters, until none is on its way.
    fn deliver_all(&mut self) {
        while let Some(work) = self.next() {
            self.world.shard.handle(work);
            self.world.shard.finish_batch();
        }
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

    fn receipts(&self, seq: i64) -> usize {
        let stored = self.world.store.run(seq).unwrap().unwrap();
        pending_rows(&stored).iter().filter(|row| row.kind == RowKind::Receipt).count()
    }

    fn signals(&self, seq: i64) -> usize {
        let events = decode(self.world.store.events(seq, 1, i64::MAX).unwrap(), 1, i64::MAX).unwrap();
        events.iter().filter(|event| event.event_type() == EventType::WorkflowExecutionSignaled).count()
    }
}

fn tell(id: &str) -> Command {
    command(C::SignalExternalWorkflowExecutionCommandAttributes(
        SignalExternalWorkflowExecutionCommandAttributes {
            execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
            signal_name: "hello".into(),
            ..Default::default()
        },
    ))
}

/// Alice has told Bob something, who has taken it in: his answer is on its way. The numbers of both.
fn told() -> (Post, i64, i64) {
    let mut post = Post::new();
    let (alice, bob) = (begin(&mut post.world, "alice"), post.idle("bob"));
    post.decide(alice, vec![tell("bob")]);
    post.deliver();
    assert_eq!((post.signals(bob), post.receipts(bob)), (1, 1));
    (post, alice, bob)
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

/// The sender is read back by the answer itself: it says the message again in the batch that settles it.
#[test]
fn nothing_is_said_behind_the_word_that_it_is_settled() {
    let (mut post, alice, bob) = told();
    post.signal(alice);
    post.fail_batch();
    post.deliver_all();
    assert_eq!((post.signals(bob), post.receipts(bob)), (1, 0));
}

#[test]
fn a_receipt_ends_though_the_word_was_lost_with_a_commit_of_its_keeper() {
    let (mut post, _, bob) = told();
    post.deliver();
    post.arrive();
    post.fail_batch();
    assert_eq!(post.receipts(bob), 1);
    post.pass(SECOND);
    post.deliver_all();
    assert_eq!((post.signals(bob), post.receipts(bob)), (1, 0));
}

#[test]
fn a_receipt_ends_though_the_word_was_lost_with_the_process() {
    let (mut post, _, bob) = told();
    post.deliver();
    post.world.crash();
    post.deliver_all();
    assert_eq!((post.signals(bob), post.receipts(bob)), (1, 0));
}

#[test]
fn a_receipt_ends_in_the_run_that_has_inherited_it() {
    let (mut post, _, bob) = told();
    let again = ContinueAsNewWorkflowExecutionCommandAttributes::default();
    post.decide(bob, vec![command(C::ContinueAsNewWorkflowExecutionCommandAttributes(again))]);
    let next = post.newest("bob");
    assert_ne!(next, bob);
    assert_eq!(post.receipts(next), 1, "a repetition finds the next run");
    post.deliver_all();
    assert_eq!((post.receipts(bob), post.receipts(next), post.signals(next)), (0, 0, 0));
}

#[test]
fn receipts_that_cannot_be_removed_are_asked_about_once_a_second() {
    let mut post = Post::new();
    let (alice, bob) = (begin(&mut post.world, "alice"), post.idle("bob"));
    post.decide(alice, vec![tell("bob"), tell("bob")]);
    // Both messages, and both answers.
    for _ in 0..4 {
        post.deliver();
    }
    assert_eq!((post.signals(bob), post.receipts(bob)), (2, 2));
    for _ in 0..3 {
        let mut letters = 0;
        while letters < 20
            && let Some(work) = post.next()
        {
            letters += 1;
            post.world.shard.handle(work);
            post.fail_batch();
        }
        assert!(letters <= 4, "the answers, and the words: {letters}");
        post.pass(SECOND);
    }
    post.deliver_all();
    assert_eq!(post.receipts(bob), 0);
}

#[test]
fn a_receipt_ends_though_a_commit_of_others_fails() {
    let (mut post, _, bob) = told();
    post.deliver();
    // The word is lost, and Bob is read back.
    post.next();
    post.signal(bob);
    post.fail_batch();
    post.pass(SECOND);
    post.arrive();
    begin(&mut post.world, "other");
    post.fail_batch();
    post.deliver_all();
    assert_eq!(post.receipts(bob), 0);
}

#[test]
fn a_receipt_ends_when_its_sender_is_deleted() {
    let (mut post, alice, bob) = told();
    post.deliver();
    let store = &post.world.store;
    let lease = store.take_lease(0, &Holder::default(), Terms::Sole).unwrap().token;
    store.store.commit(&Commit { lease, deletes: vec![alice], ..Commit::default() }).unwrap();
    post.world.crash();
    post.deliver_all();
    assert_eq!(post.receipts(bob), 0);
}

#[test]
fn the_log_names_a_message_that_cannot_be_taken_in_once_and_why() {
    let mut post = Post::new();
    let alice = begin(&mut post.world, "alice");
    post.decide(alice, vec![tell("bob"), start_child("kid")]);
    let log = logged(|| {
        post.world.store.unreadable.store(true, Ordering::Relaxed);
        for _ in 0..5 {
            assert_eq!(post.round(true), 2);
            post.pass(SECOND);
        }
    });
    let lines: Vec<_> = log.iter().filter(|line| line.contains("could not be taken in")).collect();
    assert_eq!(lines.len(), 2, "{log:#?}");
    for (line, id) in lines.iter().zip(["bob", "kid"]) {
        assert!(line.contains("unreadable, as arranged") && line.contains(id), "{line}");
    }
}

/// A damaged index may name a run that isn't there.
#[test]
fn what_is_asked_of_a_run_that_is_not_there_is_not_acknowledged() {
    let mut post = Post::new();
    let seq = post.idle("w");
    *post.world.store.lost.lock() = Some(seq);
    post.world.crash();
    let target = Target::named("ns", "w", "");
    let (reply, mut answer) = Reply::new();
    let input = Input::Signal(Signal::default());
    post.world.shard.handle(Work::Input { target, input, reply });
    post.world.shard.finish_batch();
    let error = answer.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind().code(), tonic::Code::NotFound, "{error}");
    let error = post.world.shard.apply(seq, Input::Signal(Signal::default())).unwrap_err();
    assert_eq!(error.kind().code(), tonic::Code::Unavailable, "{error}");
}
