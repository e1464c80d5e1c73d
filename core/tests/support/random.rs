//! A random program and a server that plays along: the same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use durably_core::workflow::{Message, OutgoingMessage};
use durably_proto::durably::core::v1::signal_external_workflow::Target;
use durably_proto::durably::core::v1::update_answer::Answer;
use durably_proto::durably::core::v1::workflow_command::Command as CodeCommand;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::*;
use durably_proto::temporal::api::command::v1::Command;
use durably_proto::temporal::api::command::v1::command::Attributes;
use durably_proto::temporal::api::common::v1::Payload;
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::history::v1::HistoryEvent;
use prost_types::Duration;

use super::drive::{self, Sdk};
use super::events::push_line;
use super::text;

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Workflow code whose commands depend on nothing but its seed and the jobs it was given.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    random: Random,
    activities: u32,
    timers: u32,
    children: u32,
    signals: u32,
    cancellations: u32,
    open: Vec<CodeCommand>,
    /// Accepted, and without an outcome.
    updates: Vec<String>,
    jobs_left: usize,
}

impl Program {
    pub(crate) fn new(seed: u64) -> Program {
        let mut random = Random(seed);
        let jobs_left = 3 + random.below(25);
        let (activities, timers, children, signals, cancellations) = (0, 0, 0, 0, 0);
        let (open, updates) = (Vec::new(), Vec::new());
        Program { random, activities, timers, children, signals, cancellations, open, updates, jobs_left }
    }

    fn react(&mut self, job: &Job, commands: &mut Vec<CodeCommand>) {
        if let Job::Update(job) = job
            && job.name == "bad"
        {
            // It leaves no trace here, either.
            let rejected = Answer::Rejected(Failure { message: "bad".to_owned(), ..Failure::default() });
            assert!(job.run_validator, "nothing that was rejected is replayed");
            return commands.push(update_answer(&job.id, rejected));
        }
        let mut hasher = DefaultHasher::new();
        match job {
            // A replay asks in other words.
            Job::Update(job) => (&job.name, &job.id).hash(&mut hasher),
            job => text::job(job).hash(&mut hasher),
        }
        self.random.0 ^= hasher.finish();
        self.update(job, commands);
        match job {
            Job::FireTimer(job) => self.forget(|open| is_timer(open, job.seq)),
            Job::ResolveActivity(job) => self.forget(|open| is_activity(open, job.seq)),
            Job::ResolveChildWorkflowStart(job) => match &job.status {
                Some(resolve_child_workflow_start::Status::Started(_)) => {}
                _ => self.forget(|open| is_child(open, job.seq)),
            },
            Job::ResolveChildWorkflow(job) => self.forget(|open| is_child(open, job.seq)),
            Job::ResolveSignalExternalWorkflow(job) => self.forget(|open| is_signal(open, job.seq)),
            Job::ResolveRequestCancelExternalWorkflow(job) => {
                self.forget(|open| is_cancellation(open, job.seq));
            }
            _ => {}
        }
        self.jobs_left = self.jobs_left.saturating_sub(1);
        for _ in 0..=self.random.below(3) {
            commands.push(self.command());
        }
        if self.jobs_left == 0 || self.open.is_empty() {
            commands.push(self.end());
        }
    }

    /// Accepts an update, and comes to the outcome of some.
    fn update(&mut self, job: &Job, commands: &mut Vec<CodeCommand>) {
        if let Job::Update(job) = job {
            commands.push(update_answer(&job.id, Answer::Accepted(UpdateAccepted {})));
            self.updates.push(job.id.clone());
        }
        if !self.updates.is_empty() && self.random.chance(50) {
            let id = self.updates.remove(self.random.below(self.updates.len()));
            let outcome = match self.random.below(2) {
                0 => Answer::Succeeded(Payload::default()),
                _ => Answer::Failed(Failure::default()),
            };
            commands.push(update_answer(&id, outcome));
        }
    }

    fn forget(&mut self, matches: impl Fn(&CodeCommand) -> bool) {
        self.open.retain(|open| !matches(open));
    }

    fn command(&mut self) -> CodeCommand {
        let second = Some(Duration { seconds: 1, nanos: 0 });
        let cancels = self.random.chance(30) && !self.open.is_empty();
        if cancels {
            let index = self.random.below(self.open.len());
            return match &self.open[index] {
                CodeCommand::StartTimer(timer) => {
                    let seq = timer.seq;
                    self.forget(|open| is_timer(open, seq));
                    CodeCommand::CancelTimer(CancelTimer { seq })
                }
                CodeCommand::ScheduleActivity(activity) => {
                    CodeCommand::RequestCancelActivity(RequestCancelActivity { seq: activity.seq })
                }
                CodeCommand::StartChildWorkflow(child) => {
                    let reason = "by chance".to_owned();
                    CodeCommand::CancelChildWorkflow(CancelChildWorkflow { seq: child.seq, reason })
                }
                CodeCommand::SignalExternalWorkflow(signal) => {
                    let seq = signal.seq;
                    CodeCommand::CancelSignalExternalWorkflow(CancelSignalExternalWorkflow { seq })
                }
                // Nothing takes back a cancellation.
                _ => self.request_cancellation(),
            };
        }
        let command = match self.random.below(9) {
            0..3 => {
                self.timers += 1;
                CodeCommand::StartTimer(StartTimer { seq: self.timers, start_to_fire_timeout: second })
            }
            3..6 => {
                self.activities += 1;
                CodeCommand::ScheduleActivity(ScheduleActivity {
                    seq: self.activities,
                    activity_type: format!("type{}", self.random.below(3)),
                    start_to_close_timeout: second,
                    cancellation_type: self.random.below(3) as i32,
                    ..ScheduleActivity::default()
                })
            }
            6 | 7 => self.start_child(),
            _ => self.send_signal(),
        };
        self.open.push(command.clone());
        command
    }

    fn start_child(&mut self) -> CodeCommand {
        self.children += 1;
        CodeCommand::StartChildWorkflow(StartChildWorkflow {
            seq: self.children,
            workflow_id: format!("child{}", self.children),
            workflow_type: format!("type{}", self.random.below(3)),
            cancellation_type: self.random.below(4) as i32,
            ..StartChildWorkflow::default()
        })
    }

    fn send_signal(&mut self) -> CodeCommand {
        self.signals += 1;
        let target = match self.random.below(2) {
            0 => Target::ChildWorkflowId(format!("child{}", self.random.below(3))),
            _ => Target::Workflow(self.other()),
        };
        CodeCommand::SignalExternalWorkflow(SignalExternalWorkflow {
            seq: self.signals,
            target: Some(target),
            signal_name: format!("signal{}", self.random.below(3)),
            ..SignalExternalWorkflow::default()
        })
    }

    fn request_cancellation(&mut self) -> CodeCommand {
        self.cancellations += 1;
        let command = CodeCommand::RequestCancelExternalWorkflow(RequestCancelExternalWorkflow {
            seq: self.cancellations,
            workflow: Some(self.other()),
            ..RequestCancelExternalWorkflow::default()
        });
        self.open.push(command.clone());
        command
    }

    fn other(&mut self) -> ExternalWorkflow {
        let workflow_id = format!("other{}", self.random.below(3));
        ExternalWorkflow { workflow_id, ..ExternalWorkflow::default() }
    }

    fn end(&mut self) -> CodeCommand {
        match self.random.below(4) {
            0 => CodeCommand::FailWorkflow(FailWorkflow { failure: Some(Failure::default()) }),
            1 => CodeCommand::ContinueAsNew(ContinueAsNew::default()),
            2 => CodeCommand::CancelWorkflow(CancelWorkflow::default()),
            _ => CodeCommand::CompleteWorkflow(CompleteWorkflow::default()),
        }
    }
}

fn update_answer(id: &str, answer: Answer) -> CodeCommand {
    CodeCommand::UpdateAnswer(UpdateAnswer { id: id.to_owned(), answer: Some(answer) })
}

fn is_timer(command: &CodeCommand, seq: u32) -> bool {
    matches!(command, CodeCommand::StartTimer(timer) if timer.seq == seq)
}

fn is_activity(command: &CodeCommand, seq: u32) -> bool {
    matches!(command, CodeCommand::ScheduleActivity(activity) if activity.seq == seq)
}

fn is_child(command: &CodeCommand, seq: u32) -> bool {
    matches!(command, CodeCommand::StartChildWorkflow(child) if child.seq == seq)
}

fn is_signal(command: &CodeCommand, seq: u32) -> bool {
    matches!(command, CodeCommand::SignalExternalWorkflow(signal) if signal.seq == seq)
}

fn is_cancellation(command: &CodeCommand, seq: u32) -> bool {
    matches!(command, CodeCommand::RequestCancelExternalWorkflow(request) if request.seq == seq)
}

impl Sdk for Program {
    fn answer(&mut self, activation: &WorkflowActivation) -> WorkflowCompletion {
        let mut commands = Vec::new();
        for job in activation.jobs.iter().filter_map(|job| job.job.as_ref()) {
            match job {
                Job::Query(query) => {
                    let answer = Some(query_answer::Answer::Failed(Failure::default()));
                    commands.push(CodeCommand::QueryAnswer(QueryAnswer { id: query.id.clone(), answer }));
                }
                Job::Evict(_) => {}
                job => self.react(job, &mut commands),
            }
        }
        let commands = commands
            .into_iter()
            .map(|command| WorkflowCommand { command: Some(command), ..WorkflowCommand::default() })
            .collect();
        let success = ActivationSuccess { commands, ..ActivationSuccess::default() };
        WorkflowCompletion {
            run_id: activation.run_id.clone(),
            status: Some(workflow_completion::Status::Success(success)),
        }
    }
}

/// The server's side of one run.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) history: Vec<HistoryEvent>,
    pub(crate) is_closed: bool,
    random: Random,
    /// Scheduled event to whether cancellation was requested.
    activities: BTreeMap<i64, bool>,
    /// Timer id to started event.
    timers: BTreeMap<String, i64>,
    others: Others,
    /// Updates that nobody has answered: name and id.
    asked: Vec<(String, String)>,
    next_update: u32,
    /// The task is made for updates alone, and nothing else is known to the run.
    is_speculative: bool,
}

/// What the run has told other ones, by the events that began it.
#[derive(Debug, Default)]
struct Others {
    /// Whether it has started.
    children: BTreeMap<i64, bool>,
    /// Every id that a child was begun with.
    child_ids: BTreeSet<String>,
    signals: BTreeSet<i64>,
    cancellations: BTreeSet<i64>,
}

impl Others {
    /// The event that records a command; `None` if the command is about no other run.
    fn record(&mut self, id: i64, command: &Attributes) -> Option<String> {
        match command {
            Attributes::StartChildWorkflowExecutionCommandAttributes(a) => {
                let workflow_type = &a.workflow_type.as_ref().unwrap().name;
                self.children.insert(id, false);
                assert!(self.child_ids.insert(a.workflow_id.clone()), "each child is started once");
                Some(format!("child-initiated {} {workflow_type}", a.workflow_id))
            }
            Attributes::SignalExternalWorkflowExecutionCommandAttributes(a) => {
                self.signals.insert(id);
                let target = &a.execution.as_ref().unwrap().workflow_id;
                Some(format!("external-signal-initiated {} {target}", a.signal_name))
            }
            Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(a) => {
                self.cancellations.insert(id);
                let is_child = self.child_ids.contains(&a.workflow_id);
                assert_eq!(
                    a.child_workflow_only, is_child,
                    "only children that were begun are cancelled as such"
                );
                Some(format!("external-cancel-initiated {}", a.workflow_id))
            }
            _ => None,
        }
    }

    /// An event that something comes to, if there is anything.
    fn let_one_thing_happen(&mut self, random: &mut Random) -> Option<String> {
        let nth = |count: usize, random: &mut Random| random.below(count);
        match random.below(4) {
            0 => {
                let id = *self.signals.iter().nth(nth(self.signals.len(), random))?;
                self.signals.remove(&id);
                let how = if random.chance(70) { "signaled" } else { "signal-failed" };
                Some(format!("external-{how} @{id}"))
            }
            1 => {
                let id = *self.cancellations.iter().nth(nth(self.cancellations.len(), random))?;
                self.cancellations.remove(&id);
                let how = if random.chance(70) { "requested" } else { "failed" };
                Some(format!("external-cancel-{how} @{id}"))
            }
            _ => {
                let nth = nth(self.children.len(), random);
                let (id, has_started) = self.children.iter().nth(nth).map(|(id, started)| (*id, *started))?;
                if !has_started && random.chance(80) {
                    self.children.insert(id, true);
                    return Some(format!("child-started @{id}"));
                }
                self.children.remove(&id);
                let how = match (has_started, random.below(5)) {
                    (false, _) => "start-failed",
                    (true, 0) => "completed",
                    (true, 1) => "failed",
                    (true, 2) => "canceled",
                    (true, 3) => "timed-out",
                    (true, _) => "terminated",
                };
                Some(format!("child-{how} @{id}"))
            }
        }
    }
}

impl Server {
    pub(crate) fn new(seed: u64) -> Server {
        let mut server = Server {
            history: Vec::new(),
            is_closed: false,
            random: Random(!seed),
            activities: BTreeMap::new(),
            timers: BTreeMap::new(),
            others: Others::default(),
            asked: Vec::new(),
            next_update: 1,
            is_speculative: false,
        };
        server.push("started Random");
        server
    }

    fn push(&mut self, line: &str) {
        push_line(&mut self.history, line);
    }

    /// Schedules and starts a task, after failing some.
    pub(crate) fn start_task(&mut self) {
        let updates = usize::from(self.is_speculative) + self.random.below(10) / 8;
        for _ in 0..updates {
            let name = if self.random.chance(40) { "bad" } else { "change" };
            self.asked.push((name.to_owned(), format!("u{}", self.next_update)));
            self.next_update += 1;
        }
        while !self.is_speculative && self.random.chance(15) {
            self.push("task-scheduled");
            self.push("task-started");
            let end = if self.random.chance(50) { "task-failed" } else { "task-timed-out" };
            self.push(end);
            if self.random.chance(50) {
                self.push("signaled between");
            }
        }
        self.push("task-scheduled");
        self.push("task-started");
    }

    /// What comes with the task that was started last.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let scheduled = self.history.len() as i64 - 1;
        self.asked.iter().map(|(name, id)| drive::update(name, id, None, scheduled)).collect()
    }

    /// Takes the events of a task back that came to nothing. Returns whether it did.
    pub(crate) fn drop_task(&mut self, commands: &[Command]) -> bool {
        let drops = self.is_speculative && commands.is_empty() && self.random.chance(80);
        if drops {
            self.history.truncate(self.history.len() - 2);
            self.asked.clear();
        }
        drops
    }

    /// Records a completed task's commands, and what happened while the task ran.
    pub(crate) fn complete_task(&mut self, commands: &[Command], messages: &[OutgoingMessage]) {
        self.push("task-completed");
        for (name, id) in &self.asked {
            let answer = if name == "bad" { "/reject" } else { "/accept" };
            let said =
                messages.iter().filter(|said| said.protocol_instance_id == *id && said.id.ends_with(answer));
            assert_eq!(said.count(), 1, "the first answer to {name} {id}");
        }
        for command in commands {
            let id = self.history.len() as i64 + 1;
            match command.attributes.as_ref().unwrap() {
                Attributes::ScheduleActivityTaskCommandAttributes(a) => {
                    let activity_type = &a.activity_type.as_ref().unwrap().name;
                    self.push(&format!("activity-scheduled {} {activity_type}", a.activity_id));
                    self.activities.insert(id, false);
                }
                Attributes::RequestCancelActivityTaskCommandAttributes(a) => {
                    self.push(&format!("activity-cancel-requested @{}", a.scheduled_event_id));
                    let known = self.activities.insert(a.scheduled_event_id, true);
                    assert_eq!(known, Some(false), "only running activities are cancelled, and once");
                }
                Attributes::StartTimerCommandAttributes(a) => {
                    self.push(&format!("timer-started {}", a.timer_id));
                    self.timers.insert(a.timer_id.clone(), id);
                }
                Attributes::CancelTimerCommandAttributes(a) => {
                    let started = self.timers.remove(&a.timer_id).expect("only running timers are cancelled");
                    self.push(&format!("timer-canceled {} @{started}", a.timer_id));
                }
                Attributes::CompleteWorkflowExecutionCommandAttributes(_) => self.close("completed"),
                Attributes::FailWorkflowExecutionCommandAttributes(_) => self.close("failed"),
                Attributes::CancelWorkflowExecutionCommandAttributes(_) => self.close("canceled"),
                Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(_) => {
                    self.close("continued-as-new");
                }
                Attributes::ProtocolMessageCommandAttributes(a) => {
                    let said =
                        messages.iter().filter(|message| message.id == a.message_id).collect::<Vec<_>>();
                    let [said] = said[..] else { panic!("{} names no message, or two", a.message_id) };
                    let line = self.update_event(said);
                    self.push(&line);
                }
                other => {
                    let line = self.others.record(id, other);
                    self.push(&line.unwrap_or_else(|| panic!("unexpected command {other:?}")));
                }
            }
        }
        self.asked.clear();
    }

    /// The event of an answer that has a command.
    fn update_event(&self, said: &OutgoingMessage) -> String {
        let id = &said.protocol_instance_id;
        if said.id.ends_with("/complete") {
            return format!("update-completed {id}");
        }
        let asked =
            self.asked.iter().find(|(_, asked)| asked == id).expect("only what is asked for is accepted");
        format!("update-accepted {} {id}", asked.0)
    }

    fn close(&mut self, how: &str) {
        self.push(how);
        self.is_closed = true;
    }

    /// Lets time pass: at least one thing happens.
    pub(crate) fn let_things_happen(&mut self) {
        self.is_speculative = self.random.chance(15);
        if self.is_speculative {
            return;
        }
        for _ in 0..=self.random.below(3) {
            self.let_one_thing_happen();
        }
    }

    fn let_one_thing_happen(&mut self) {
        if self.random.chance(40)
            && let Some(line) = self.others.let_one_thing_happen(&mut self.random)
        {
            return self.push(&line);
        }
        let timer = self.timers.iter().next().map(|(id, started)| (id.clone(), *started));
        let nth = self.random.below(self.activities.len());
        let activity = self.activities.iter().nth(nth).map(|(id, cancelled)| (*id, *cancelled));
        match (self.random.below(10), timer, activity) {
            (0..=3, Some((id, started)), _) => {
                self.timers.remove(&id);
                self.push(&format!("timer-fired {id} @{started}"));
            }
            (4..=7, _, Some((scheduled, cancelled))) => {
                self.activities.remove(&scheduled);
                self.push(&format!("activity-started @{scheduled}"));
                let line = match self.random.below(if cancelled { 4 } else { 3 }) {
                    0 => format!("activity-completed @{scheduled} done"),
                    1 => format!("activity-failed @{scheduled} broken"),
                    2 => format!("activity-timed-out @{scheduled}"),
                    _ => format!("activity-canceled @{scheduled}"),
                };
                self.push(&line);
            }
            (8, _, _) => self.push("cancel-requested"),
            _ => self.push("signaled hello"),
        }
    }
}
