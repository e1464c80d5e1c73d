//! A seeded simulation: random calls, workers and time against one shard, with crashes, failing commits, pollers that
//! vanish, lost leases and damaged runs. What was acknowledged must be in the histories, once, and what was refused in
//! none; whoever asks for an update hears what its history says; and the same seed must tell the same story.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use durably_proto::temporal::api::{
    command::v1::{command::Attributes as C, *},
    common::v1::{ActivityType, WorkflowExecution, WorkflowType},
    failure::v1::Failure,
    history::v1::history_event::Attributes as A,
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::*,
};
use futures::FutureExt as _;
use prost::Message;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    Namespace, ServiceError,
    engine::{Input, Poller, SECOND, Signal, Time, command_type, duration, state::TaskToken},
    matching::{Matching, PollerIdentity, QueueKind, TaskReceiver},
    shard::{
        clock::Clock,
        courier::LocalCourier,
        delivery::{Delivery, Offer},
        driver::{Shard, Shared},
        events::decode,
        inbox::Inbox,
        lease::Tenure,
        reply::Reply,
        route::{Doors, Route},
        runs::Target,
        start::StartCall,
        tasks::{Grant, queue_key},
    },
    store::{Filter, Listing, Store},
};

mod check;
mod families;
mod faults;
mod flaky;
mod updates;

pub(super) use flaky::Flaky;

use updates::{Held, Updates};

const WORKFLOWS: usize = 5;

/// What a worker makes of a workflow task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Random,
    /// It answers the updates that wait, and lets the run go on.
    Answer,
    /// It answers them, and ends the run.
    Finish,
}

pub(super) struct World {
    random: SmallRng,
    pub(super) namespace: Namespace,
    pub(super) store: Arc<Flaky>,
    pub(super) clock: Arc<Clock>,
    pub(super) matching: Matching<Offer>,
    pub inbox: Arc<Inbox>,
    pub(super) shard: Shard,
    parked: Vec<(QueueKind, TaskReceiver<Offer>)>,
    polls: u64,
    workflow_tasks: Vec<Held>,
    activities: Vec<TaskToken>,
    signals: u32,
    messages: u32,
    acknowledged_signals: Vec<String>,
    /// By a shard that had lost its lease.
    refused_signals: Vec<String>,
    /// Run id and scheduled event id.
    acknowledged_results: Vec<(String, i64)>,
    updates: Updates,
    log: String,
}

fn open(store: &Arc<Flaky>, clock: &Arc<Clock>) -> (Shard, Matching<Offer>, Arc<Inbox>) {
    let (matching, inbox) = (Matching::default(), Arc::new(Inbox::default()));
    let store: Arc<dyn Store> = store.clone();
    let route: Arc<dyn Route> = Arc::new(Doors::new(clock.clone(), std::slice::from_ref(&inbox)));
    let courier = Arc::new(LocalCourier { shards: 1, route: route.clone() });
    let common = Shared::new(store, clock.clone(), matching.clone(), courier, route, Tenure::sole());
    let mut shard = Shard::open(0, inbox.clone(), common).unwrap();
    shard.resume().unwrap();
    (shard, matching, inbox)
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let store = Arc::new(Flaky::default());
        let clock = Arc::new(Clock::frozen(Time(1_000 * SECOND)));
        let (shard, matching, inbox) = open(&store, &clock);
        let namespace = Namespace {
            id: "ns".into(),
            name: "default".into(),
            retention: Duration::ZERO,
            description: String::new(),
            owner_email: String::new(),
            data: BTreeMap::new(),
            token_key: Default::default(),
        };
        Self {
            random: SmallRng::seed_from_u64(seed),
            namespace,
            store,
            clock,
            matching,
            inbox,
            shard,
            parked: Vec::new(),
            polls: 0,
            workflow_tasks: Vec::new(),
            activities: Vec::new(),
            signals: 0,
            messages: 0,
            acknowledged_signals: Vec::new(),
            refused_signals: Vec::new(),
            acknowledged_results: Vec::new(),
            updates: Updates::default(),
            log: String::new(),
        }
    }

    /// Does one thing in a batch of its own; `None` when nobody was there to hear the answer.
    fn call<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Shard) -> Result<T, ServiceError>,
    ) -> Option<Result<T, ServiceError>> {
        let (reply, mut answer) = Reply::new();
        let result = work(&mut self.shard);
        self.shard.batch.reply(reply, result);
        self.settle();
        if self.random.random_ratio(1, 40) {
            self.crash();
            return None;
        }
        Some(answer.try_recv().expect("every call is answered with its batch"))
    }

    pub(super) fn settle(&mut self) {
        // No two batches are at one moment: workflow tasks that differ in nothing else differ in when they started.
        self.clock.skip_to(self.clock.now().after(1));
        loop {
            self.shard.finish_batch();
            let work = self.inbox.take(Some(Duration::ZERO)).unwrap_or_default();
            if work.is_empty() {
                break;
            }
            for work in work {
                // Time does not stand still within a batch either.
                self.clock.skip_to(self.clock.now().after(1));
                self.shard.handle(work);
            }
        }
    }

    pub(super) fn crash(&mut self) {
        self.log.push_str("crash\n");
        self.parked.clear();
        let (shard, matching, inbox) = open(&self.store, &self.clock);
        (self.shard, self.matching, self.inbox) = (shard, matching, inbox);
        self.settle();
    }

    fn note<T>(&mut self, what: &str, answer: Option<&Result<T, ServiceError>>) {
        let outcome = match answer {
            None => "unheard".to_owned(),
            Some(Ok(_)) => "ok".to_owned(),
            Some(Err(error)) => format!("{:?}", error.kind().code()),
        };
        let _ = writeln!(self.log, "{what}: {outcome}");
    }

    fn workflow(&mut self) -> String {
        format!("w{}", self.random.random_range(0..WORKFLOWS))
    }

    fn step(&mut self) {
        if self.random.random_ratio(1, 30) {
            self.store.fails.store(true, Ordering::Relaxed);
        }
        match self.random.random_range(0..114) {
            0..10 => self.start(),
            10..22 => self.signal(),
            22..24 => self.cancel(),
            24..40 => self.poll(),
            40..62 => self.complete_workflow_task(Manner::Random),
            62..80 => self.end_activity(),
            80..90 => self.park(),
            90..96 => {
                let span = self.random.random_range(0..15 * SECOND);
                self.pass(span);
            }
            96 => self.lose_lease(),
            97 => self.poison(),
            98 => self.terminate_poisoned(),
            99 => self.crash(),
            100..112 => self.ask(),
            _ => self.run_short_of_memory(),
        }
        self.collect_parked();
        self.collect_answers(false);
    }

    fn start(&mut self) {
        let id = self.workflow();
        let request = StartWorkflowExecutionRequest {
            workflow_id: id.clone(),
            workflow_type: Some(WorkflowType { name: "order".into() }),
            task_queue: Some(TaskQueue { name: "tq".into(), ..Default::default() }),
            request_id: self.random.random::<u64>().to_string(),
            ..Default::default()
        };
        let namespace = self.namespace.id.clone();
        let call = StartCall { request, signal: None, in_process: false };
        let answer = self.call(move |shard| shard.start(&namespace, call));
        self.note(&format!("start {id}"), answer.as_ref());
    }

    fn signal(&mut self) {
        let id = self.workflow();
        self.signals += 1;
        let name = format!("s{}", self.signals);
        let signal = Signal { name: name.clone(), request_id: name.clone(), ..Default::default() };
        let answer = self.input(&Target::named("ns", &id, ""), Input::Signal(signal));
        self.note(&format!("signal {name} to {id}"), answer.as_ref());
        if let Some(Ok(())) = answer {
            self.acknowledged_signals.push(name);
        }
    }

    fn cancel(&mut self) {
        let id = self.workflow();
        let input = Input::RequestCancel {
            reason: String::new(),
            identity: String::new(),
            request_id: String::new(),
            links: Vec::new(),
        };
        let answer = self.input(&Target::named("ns", &id, ""), input);
        self.note(&format!("cancel {id}"), answer.as_ref());
    }

    fn input(&mut self, target: &Target, input: Input) -> Option<Result<(), ServiceError>> {
        let target = target.clone();
        self.call(move |shard| {
            let seq = shard.find(&target)?;
            shard.apply(seq, input).map(|_| ())
        })
    }

    fn receiver(&mut self, kind: QueueKind) -> TaskReceiver<Offer> {
        self.polls += 1;
        let name = if kind == QueueKind::Workflow && self.polls.is_multiple_of(3) { "sticky" } else { "tq" };
        let key = queue_key(&Arc::from("ns"), name, kind);
        let poller = PollerIdentity { poll: self.polls, ..Default::default() };
        self.matching.poll(&key, poller, Clock::real().0)
    }

    fn kind(&mut self) -> QueueKind {
        if self.random.random() { QueueKind::Workflow } else { QueueKind::Activity }
    }

    /// A poll that takes what is there.
    fn poll(&mut self) {
        let kind = self.kind();
        let mut receiver = self.receiver(kind);
        let offer = receiver.recv().now_or_never().flatten();
        drop(receiver);
        let _ = writeln!(self.log, "poll {kind:?}: {}", offer.is_some());
        self.take(offer);
    }

    /// A poll that waits for something to come.
    fn park(&mut self) {
        let kind = self.kind();
        let receiver = self.receiver(kind);
        self.parked.push((kind, receiver));
    }

    fn collect_parked(&mut self) {
        let mut index = 0;
        while index < self.parked.len() {
            if self.random.random_ratio(1, 4) {
                // The poller vanishes, perhaps with a task on its way to it.
                let (kind, receiver) = self.parked.remove(index);
                drop(receiver);
                let _ = writeln!(self.log, "vanished {kind:?}");
                self.settle();
                continue;
            }
            match self.parked[index].1.recv().now_or_never().flatten() {
                Some(offer) => {
                    self.parked.remove(index);
                    self.take(Some(offer));
                }
                None => index += 1,
            }
        }
    }

    fn take(&mut self, offer: Option<Offer>) {
        let delivery = match offer {
            None => return,
            Some(Offer::Started(delivery)) => delivery,
            Some(Offer::Task(task)) => {
                let (delivery, reply) = Delivery::new(task.clone(), 0, self.inbox.clone());
                self.shard.take_task(&task, Poller::default(), reply);
                delivery
            }
        };
        if self.random.random_ratio(1, 10) {
            drop(delivery);
            self.log.push_str("left without the task\n");
            self.settle();
            return;
        }
        self.settle();
        let grant = delivery.receive().now_or_never().expect("the batch is over");
        self.note("take", Some(&grant));
        match grant {
            Ok(Some(Grant::Workflow(grant))) => self.hold(grant.response),
            Ok(Some(Grant::Activity(task))) => {
                self.activities.push(TaskToken::decode(task.task_token).unwrap());
            }
            _ => {}
        }
    }

    fn complete_workflow_task(&mut self, manner: Manner) {
        if self.workflow_tasks.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.workflow_tasks.len());
        let mut held = self.workflow_tasks.swap_remove(index);
        let mut request = RespondWorkflowTaskCompletedRequest::default();
        match manner {
            Manner::Random => self.decide(&mut request),
            Manner::Answer => {}
            Manner::Finish => request.commands.push(finishing()),
        }
        self.reply_to_updates(&mut held, manner != Manner::Random, &mut request);
        let token = held.token;
        let target = Target::named("ns", &token.workflow_id, &token.run_id);
        let fails = manner == Manner::Random && self.random.random_ratio(1, 30);
        let input = if fails {
            Input::FailWorkflowTask { token, request: Box::default() }
        } else {
            Input::CompleteWorkflowTask { token, request: Box::new(request) }
        };
        let answer = self.input(&target, input);
        self.note(if fails { "workflow task fails" } else { "workflow task" }, answer.as_ref());
    }

    fn decide(&mut self, request: &mut RespondWorkflowTaskCompletedRequest) {
        if self.random.random() {
            request.sticky_attributes = Some(StickyExecutionAttributes {
                worker_task_queue: Some(TaskQueue { name: "sticky".into(), ..Default::default() }),
                schedule_to_start_timeout: Some(duration(5 * SECOND)),
            });
        }
        for _ in 0..self.random.random_range(0..3) {
            let id = self.random.random_range(0..20).to_string();
            let attributes = match self.random.random_range(0..12) {
                0..6 => C::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
                    activity_id: id,
                    activity_type: Some(ActivityType { name: "charge".into() }),
                    start_to_close_timeout: Some(duration(20 * SECOND)),
                    ..Default::default()
                }),
                6..8 => C::StartTimerCommandAttributes(StartTimerCommandAttributes {
                    timer_id: id,
                    start_to_fire_timeout: Some(duration(10 * SECOND)),
                }),
                8 if self.random.random() => {
                    self.messages += 1;
                    C::SignalExternalWorkflowExecutionCommandAttributes(
                        SignalExternalWorkflowExecutionCommandAttributes {
                            execution: Some(WorkflowExecution {
                                workflow_id: format!("w{}", self.random.random_range(0..WORKFLOWS)),
                                run_id: String::new(),
                            }),
                            signal_name: format!("m{}", self.messages),
                            ..Default::default()
                        },
                    )
                }
                8 => C::CancelTimerCommandAttributes(CancelTimerCommandAttributes { timer_id: id }),
                9 if self.random.random() => C::RequestCancelExternalWorkflowExecutionCommandAttributes(
                    RequestCancelExternalWorkflowExecutionCommandAttributes {
                        workflow_id: self.workflow(),
                        ..Default::default()
                    },
                ),
                10..12 => C::StartChildWorkflowExecutionCommandAttributes(self.child()),
                _ => C::ContinueAsNewWorkflowExecutionCommandAttributes(Default::default()),
            };
            request.commands.push(command(attributes));
        }
        if self.random.random_ratio(1, 12) {
            request.commands.push(finishing());
        }
    }

    /// Of an id that may be in use, with any policy.
    fn child(&mut self) -> StartChildWorkflowExecutionCommandAttributes {
        StartChildWorkflowExecutionCommandAttributes {
            workflow_id: self.workflow(),
            workflow_type: Some(WorkflowType { name: "order".into() }),
            parent_close_policy: self.random.random_range(0..4),
            ..Default::default()
        }
    }

    fn end_activity(&mut self) {
        if self.activities.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.activities.len());
        let token = self.activities.swap_remove(index);
        let target = Target::named("ns", &token.workflow_id, &token.run_id);
        let named = (token.run_id.clone(), token.scheduled_event_id);
        if self.random.random_ratio(1, 4) {
            let input = Input::FailActivity {
                token,
                failure: Box::new(Failure::default()),
                heartbeat_details: None,
                identity: String::new(),
            };
            let answer = self.input(&target, input);
            self.note("activity failed", answer.as_ref());
            return;
        }
        let input = Input::CompleteActivity { token, result: None, identity: String::new() };
        let answer = self.input(&target, input);
        self.note("activity completed", answer.as_ref());
        if let Some(Ok(())) = answer {
            self.acknowledged_results.push(named);
        }
    }

    fn pass(&mut self, span: i64) {
        let _ = writeln!(self.log, "{span} ns pass");
        self.clock.skip_to(self.clock.now().after(span));
        self.shard.fire_timers();
        self.settle();
    }

    /// Lets every run come to its end, with workers that behave.
    fn finish(&mut self) {
        self.parked.clear();
        self.answer_all();
        for round in 0..3_000 {
            // A run may have nothing to do but wait to be told.
            if round % 100 == 0 {
                for index in 0..WORKFLOWS {
                    let signal = Signal { name: format!("end{round}-{index}"), ..Default::default() };
                    self.input(&Target::named("ns", &format!("w{index}"), ""), Input::Signal(signal));
                }
            }
            self.terminate_poisoned();
            let mut running = 0;
            self.store
                .open_runs(0, &mut |_| {
                    running += 1;
                    ControlFlow::Continue(())
                })
                .unwrap();
            if running == 0 {
                self.hear_all();
                return;
            }
            self.poll();
            self.complete_workflow_task(Manner::Finish);
            self.end_activity();
            self.pass(SECOND);
        }
        let now = self.clock.now();
        let stuck = self.shard.runs.iter().filter(|(_, slot)| slot.run.is_open());
        let stuck: Vec<_> = stuck
            .map(|(seq, slot)| {
                (seq, slot.run.next_due(), slot.run.pending_dispatch(now), slot.run.describe())
            })
            .collect();
        panic!("some run never ended at {now:?}: {stuck:#?}; {:?}", self.shard.timers);
    }
}

fn finishing() -> Command {
    command(C::CompleteWorkflowExecutionCommandAttributes(Default::default()))
}

pub(super) fn command(attributes: C) -> Command {
    let command_type = command_type(&attributes) as i32;
    Command { command_type, attributes: Some(attributes), ..Default::default() }
}

/// Few seeds come to no signal, no result or no update that was acknowledged.
const ALL: &str = "signals, results and updates were acknowledged\n";

fn play(seed: u64, steps: usize) -> String {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.finish();
    world.check();
    if !world.acknowledged_signals.is_empty()
        && !world.acknowledged_results.is_empty()
        && world.updates.has_success()
    {
        world.log.push_str(ALL);
    }
    world.log
}

#[test]
fn nothing_acknowledged_is_lost_and_each_seed_repeats() {
    let mut stories = String::new();
    // A seed that ever failed is added to the end. `DURABLY_SEEDS` of them are told in a long run.
    let seeds = std::env::var("DURABLY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let first = std::panic::catch_unwind(|| play(seed, 400)).unwrap_or_else(|cause| {
            eprintln!("seed {seed} failed");
            std::panic::resume_unwind(cause)
        });
        let again = play(seed, 400);
        if first != again {
            let differs = first.lines().zip(again.lines()).position(|(a, b)| a != b);
            panic!("seed {seed} tells two stories, from line {differs:?} on");
        }
        stories.push_str(&first);
    }
    assert!(stories.matches(ALL).count() > seeds as usize * 9 / 10, "what is checked must happen");
    for event in [
        "crash",
        "lease lost",
        "poisoned",
        "update forgotten",
        "terminated by hand: ok",
        "ChildWorkflowExecutionCompleted",
        ": accepted",
        ": completed",
        ": no",
        ": UnprocessedUpdate",
        ": AcceptedUpdateCompletedWorkflow",
    ] {
        assert!(stories.contains(event), "no seed ever comes to: {event}");
    }
}
