//! The deterministic state of one run: its history applied piece by piece, and the code's commands held against it.

use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{
    ActivationSuccess, CancelReceived, HistoryDialect, UpdateRandomSeed, WorkflowActivation, WorkflowCommand,
    WorkflowJob,
};
use durably_proto::temporal::api::command::v1::Command;
use durably_proto::temporal::api::history::v1::HistoryEvent;
use durably_proto::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;
use durably_proto::temporal::api::update::v1::Request;
use prost_types::Timestamp;

use super::flags::{CoreFlag, Flags, GO_ORDERS_UPDATES, recorded_dialect};
use super::history::{Event, Kind, Malformed, TaskStarted};
use super::initialize::{self, Identity};
use super::jobs::Jobs;
use super::machines::update::Accepted;
use super::machines::{self, Inherited, MachineEvent, Sequence};
use super::messages::{Message, OutgoingMessage, UpdateRequest};
use super::problem::Problem;
use super::replay::Cursor;
use super::seed::randomness_seed;
use super::timeline::{Cut, Cutting, Timeline};

/// What an open workflow task at the end of the history is to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenTask {
    /// The one to work on: its commands go to the server.
    Work,
    /// Somebody else's: stop in front of it.
    Leave,
    /// Replayed like the others, to see whether the code gets through it.
    Replay,
}

/// Where applying the history has got to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// There are jobs for the code.
    Jobs,
    NeedsPage,
    /// Machines of the open task await what this process does for them: [`RunState::handle_local_work`].
    LocalWork,
    /// The open task is done.
    TaskDone(Vec<Command>),
    /// Nothing is left to apply.
    CaughtUp,
}

/// How the run was before a task that the server may drop, with its two events: one that brought nothing but updates.
#[derive(Clone, Debug)]
struct Speculation {
    last_started_id: i64,
    /// Before the task recorded any.
    flags: Option<Flags>,
}

#[derive(Clone, Debug)]
pub(crate) struct RunState {
    identity: Identity,
    /// Empty before the first event.
    workflow_type: String,
    dialect: HistoryDialect,
    /// The history has said which dialect it is in.
    is_dialect_recorded: bool,
    timeline: Timeline,
    cursor: Cursor,
    jobs: Jobs,
    /// Updates that came with the open task.
    asked: Vec<UpdateRequest>,
    /// Updates that the task at hand accepted when it was no replay, with the events that say so.
    accepted: Vec<(i64, Accepted)>,
    speculation: Option<Speculation>,
    flags: Flags,
    inherited: Inherited,
    clock: Option<Timestamp>,
    /// The last event that was applied.
    applied_id: i64,
    /// The start of the last task that the code has seen.
    last_started_id: i64,
    task: Option<TaskStarted>,
    /// A task is under way: its commands are not complete.
    in_task: bool,
    is_replaying: bool,
    /// The code has ended the run.
    has_ended: bool,
    /// Repeated for ever.
    problem: Option<Problem>,
}

impl RunState {
    pub(crate) fn new(identity: Identity, dialect: HistoryDialect) -> RunState {
        RunState {
            identity,
            workflow_type: String::new(),
            dialect,
            is_dialect_recorded: false,
            timeline: Timeline::new(),
            cursor: Cursor::new(dialect),
            jobs: Jobs::default(),
            asked: Vec::new(),
            accepted: Vec::new(),
            speculation: None,
            flags: Flags::default(),
            inherited: Inherited::default(),
            clock: None,
            applied_id: 0,
            last_started_id: 0,
            task: None,
            in_task: false,
            is_replaying: false,
            has_ended: false,
            problem: None,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn workflow_type(&self) -> &str {
        &self.workflow_type
    }

    pub(crate) fn dialect(&self) -> HistoryDialect {
        self.dialect
    }

    /// The last event received; 0 before the first.
    pub(crate) fn received_id(&self) -> i64 {
        self.timeline.last_id()
    }

    pub(crate) fn last_started_id(&self) -> i64 {
        self.last_started_id
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Takes in events. `is_complete`: there are no more for now.
    pub(crate) fn handle_events(
        &mut self,
        events: Vec<HistoryEvent>,
        is_complete: bool,
    ) -> Result<(), Problem> {
        for event in events {
            if event.event_id <= self.timeline.last_id() {
                continue;
            }
            let pushed = Event::decode(event).and_then(|event| self.timeline.push(event));
            pushed.map_err(|malformed| self.remember(malformed.into()))?;
        }
        self.timeline.set_complete(is_complete);
        Ok(())
    }

    /// Applies the history until the code has something to do, or nothing is left.
    pub(crate) fn advance(&mut self, open_task: OpenTask) -> Result<Progress, Problem> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        self.try_advance(open_task).map_err(|problem| self.remember(problem))
    }

    fn try_advance(&mut self, open_task: OpenTask) -> Result<Progress, Problem> {
        loop {
            if self.has_ended {
                self.jobs.clear();
            }
            if !self.jobs.is_empty() {
                return Ok(Progress::Jobs);
            }
            if self.in_task {
                // A run that has ended waits for nothing, and what is replayed was done long ago.
                if self.cursor.awaits_local_work() && !self.has_ended && !self.is_replaying {
                    return Ok(Progress::LocalWork);
                }
                self.in_task = false;
                let commands = self.cursor.handle_task_end(self.is_replaying);
                if !self.is_replaying {
                    if !commands.is_empty() {
                        self.speculation = None;
                    }
                    return Ok(Progress::TaskDone(commands));
                }
            }
            let cutting = self.cutting(open_task);
            match self.timeline.next_cut(cutting) {
                Cut::NeedsPage => return Ok(Progress::NeedsPage),
                Cut::End => return Ok(Progress::CaughtUp),
                Cut::Tail { length } => {
                    if !self.apply_tail(length)? {
                        return Ok(Progress::CaughtUp);
                    }
                }
                Cut::Task { length, completed: None } => match open_task {
                    OpenTask::Leave => {
                        self.apply_tail(length)?;
                        return Ok(Progress::CaughtUp);
                    }
                    OpenTask::Work | OpenTask::Replay => {
                        self.is_replaying = open_task == OpenTask::Replay;
                        self.apply_open_task(length)?;
                    }
                },
                Cut::Task { length, completed: Some(completed) } => {
                    if let Some(Kind::TaskCompleted(Some(metadata))) =
                        self.timeline.get(completed).map(|event| &event.kind)
                    {
                        let metadata = metadata.clone();
                        self.observe(&metadata);
                    }
                    self.is_replaying = true;
                    for (event_id, event) in self.timeline.recorded_behind(completed) {
                        event.look_ahead().into_iter().for_each(|job| self.jobs.push(job));
                        let accepted = event.accepted_update().map(|accepted| (event_id, accepted.clone()));
                        self.accepted.extend(accepted);
                    }
                    self.apply_task(length)?;
                    for (event_id, accepted) in std::mem::take(&mut self.accepted) {
                        self.ask_update(accepted.to_request(None), event_id);
                    }
                }
            }
        }
    }

    /// What this process did for a machine. Its jobs come with the next activation.
    pub(crate) fn handle_local_work(
        &mut self,
        seq: (Sequence, u32),
        event: MachineEvent,
    ) -> Result<(), Problem> {
        let jobs = &mut self.jobs;
        let handled = self.cursor.handle_local_work(seq, event, &mut |job| jobs.push(job));
        handled.map_err(|mismatch| self.remember(mismatch.into()))
    }

    /// Takes what came with a task beside its history.
    pub(crate) fn handle_messages(&mut self, messages: Vec<Message>) -> Result<(), Problem> {
        self.asked.clear();
        for message in messages {
            match message {
                Message::Update(update) => self.asked.push(*update),
                Message::Unknown(kind) => return Err(self.remember(Problem::UnknownMessage(kind))),
                Message::Malformed { kind, error } => {
                    return Err(self.remember(Problem::MalformedMessage { kind, error }));
                }
            }
        }
        Ok(())
    }

    /// What goes out with the open task's commands.
    pub(crate) fn take_messages(&mut self) -> Vec<OutgoingMessage> {
        self.cursor.take_messages()
    }

    /// Goes back to where the run was before its last task, if the server can have dropped that: it does so when a task that
    /// it made for updates alone came to rejections only. `last_started_id` is the start of the last task that it has kept.
    pub(crate) fn roll_back(&mut self, last_started_id: i64) -> bool {
        let before = self.speculation.take_if(|before| before.last_started_id == last_started_id);
        let Some(before) = before else { return false };
        self.last_started_id = last_started_id;
        // The task's schedule and its start.
        self.applied_id -= 2;
        self.timeline.unsee(2);
        if let Some(flags) = before.flags {
            self.flags = flags;
        }
        true
    }

    /// What is to be known of the task at hand and the history's dialect before it is cut.
    fn cutting(&mut self, open_task: OpenTask) -> Cutting {
        if !self.is_dialect_recorded
            && let Some(dialect) = self.timeline.next_metadata().and_then(recorded_dialect)
        {
            self.set_dialect(dialect);
        }
        // Go's official SDK has never merged tasks.
        let merges = self.dialect == HistoryDialect::BySequence;
        Cutting { merges, has_updates: open_task == OpenTask::Work && !self.asked.is_empty() }
    }

    fn set_dialect(&mut self, dialect: HistoryDialect) {
        self.is_dialect_recorded = true;
        self.dialect = dialect;
        self.cursor.set_dialect(dialect);
    }

    /// What a completed task recorded. A run keeps the dialect that it began in, whoever goes on with it.
    fn observe(&mut self, metadata: &WorkflowTaskCompletedMetadata) {
        self.flags.observe(metadata);
        if !self.is_dialect_recorded
            && let Some(dialect) = recorded_dialect(metadata)
        {
            self.set_dialect(dialect);
        }
    }

    /// Applies what ends with the open task's start, and asks the code for the updates that came with it: behind everything
    /// that has happened before.
    fn apply_open_task(&mut self, length: usize) -> Result<(), Problem> {
        let last_started_id = self.last_started_id;
        self.apply_task(length)?;
        let is_for_updates = self.jobs.is_empty() && !self.is_replaying;
        self.speculation = is_for_updates.then_some(Speculation { last_started_id, flags: None });
        for update in std::mem::take(&mut self.asked) {
            self.ask_update(update, 0);
        }
        Ok(())
    }

    fn ask_update(&mut self, asked: UpdateRequest, accepted_at: i64) {
        if let Some(job) = self.cursor.begin_update(asked, accepted_at) {
            self.jobs.push(job);
        }
    }

    /// An update that a reset has taken over. In a replay the code is asked only if it accepted it.
    fn handle_admitted(&mut self, event_id: i64, request: Request) {
        let update_id = request.meta.as_ref().map(|meta| meta.update_id.clone()).unwrap_or_default();
        if !self.is_replaying {
            let id = format!("{update_id}/request");
            let asked = UpdateRequest { id, protocol_instance_id: update_id, event_id, request };
            return self.ask_update(asked, 0);
        }
        if let Some(place) = self.accepted.iter().position(|(_, accepted)| accepted.instance_id == update_id)
        {
            let (accepted_at, accepted) = self.accepted.remove(place);
            self.ask_update(accepted.to_request(Some(request)), accepted_at);
        }
    }

    /// Applies what ends with a task's start.
    fn apply_task(&mut self, length: usize) -> Result<(), Problem> {
        if let Some(Kind::TaskStarted(started)) = self.timeline.get(length - 1).map(|event| &event.kind) {
            self.task = Some(*started);
            // The clock never goes back, whatever the server's clocks do.
            if self
                .clock
                .is_none_or(|clock| (clock.seconds, clock.nanos) < (started.time.seconds, started.time.nanos))
            {
                self.clock = Some(started.time);
            }
        }
        self.apply(length)?;
        self.last_started_id = self.applied_id;
        self.cursor.handle_task_start(self.applied_id);
        self.in_task = true;
        Ok(())
    }

    /// Applies what is left behind the last task. While the run is open, that is what the last task's commands were
    /// recorded as: the rest belongs to a task that hasn't begun. Returns whether the tail ended the run.
    fn apply_tail(&mut self, length: usize) -> Result<bool, Problem> {
        let is_closed = (0..length).any(|index| self.timeline.get(index).is_some_and(Event::closes_run));
        self.is_replaying = true;
        if is_closed {
            self.apply(length)?;
            return Ok(true);
        }
        let recorded = (0..length)
            .take_while(|index| {
                let kind = self.timeline.get(*index).map(|event| &event.kind);
                matches!(kind, Some(Kind::TaskCompleted(_) | Kind::Command(_)))
            })
            .count();
        self.apply(recorded)?;
        Ok(false)
    }

    fn apply(&mut self, length: usize) -> Result<(), Problem> {
        // Go's official SDK has always compared, and has no flag for it.
        let compare_ids = self.dialect == HistoryDialect::ByEventId
            || self.flags.applies(CoreFlag::IdAndTypeDeterminismChecks, true);
        let mut commands_follow = false;
        for _ in 0..length {
            let Some(event) = self.timeline.pop() else { break };
            match &event.kind {
                Kind::TaskCompleted(_) => commands_follow = true,
                Kind::Command(_) | Kind::Ignored => {}
                _ if commands_follow => {
                    self.cursor.handle_commands_end(event.id)?;
                    commands_follow = false;
                }
                _ => {}
            }
            self.applied_id = event.id;
            self.apply_event(event, compare_ids)?;
        }
        if commands_follow {
            self.cursor.handle_commands_end(self.applied_id + 1)?;
        }
        Ok(())
    }

    fn apply_event(&mut self, event: Event, compare_ids: bool) -> Result<(), Problem> {
        let id = event.id;
        let jobs = &mut self.jobs;
        match event.kind {
            Kind::Started { time, attributes } => {
                if id != 1 {
                    return Err(malformed(id, "only the first event starts the run").into());
                }
                self.inherited = Inherited::from_started(&attributes, &self.identity);
                self.clock.get_or_insert(time);
                let job = initialize::initialize(*attributes, time, &self.identity);
                self.workflow_type.clone_from(&job.workflow_type);
                jobs.push(Job::Initialize(job));
            }
            _ if id == 1 => return Err(malformed(id, "the first event must start the run").into()),
            Kind::TaskCompleted(Some(metadata)) => self.observe(&metadata),
            Kind::TaskFailed { reset_run_id: Some(run_id) } => {
                jobs.push(Job::UpdateRandomSeed(UpdateRandomSeed {
                    randomness_seed: randomness_seed(&run_id),
                }));
                self.inherited.run_id = run_id;
            }
            Kind::Signaled(signaled) => jobs.push(Job::Signal(initialize::signal(*signaled))),
            Kind::UpdateAdmitted(request) => self.handle_admitted(id, *request),
            Kind::CancelRequested { cause } => jobs.push(Job::Cancel(CancelReceived { reason: cause })),
            Kind::Command(event) => {
                self.cursor.handle_recorded(id, event, compare_ids, &mut |job| jobs.push(job))?;
            }
            Kind::Response { origin, event } => {
                self.cursor.handle_response(id, origin, event, &mut |job| jobs.push(job))?;
            }
            Kind::TaskScheduled
            | Kind::TaskStarted(_)
            | Kind::TaskCompleted(None)
            | Kind::TaskFailed { reset_run_id: None }
            | Kind::TaskTimedOut
            | Kind::Closed
            | Kind::Ignored => {}
        }
        Ok(())
    }

    /// The code's answer to an activation with jobs other than queries.
    pub(crate) fn handle_success(&mut self, success: ActivationSuccess) -> Result<(), Problem> {
        if !self.is_replaying {
            self.flags.use_lang(&success.used_flags);
            if self.dialect == HistoryDialect::ByEventId
                && success.commands.iter().any(machines::answers_update)
            {
                self.flags.use_lang(&[GO_ORDERS_UPDATES]);
            }
        }
        let commands = self.order_commands(success.commands);
        for command in commands {
            self.has_ended |= machines::is_terminal(&command);
            let jobs = &mut self.jobs;
            let handled = self.cursor.handle_command(command, &self.inherited, &mut |job| jobs.push(job));
            handled.map_err(|error| self.remember(error.into()))?;
        }
        // Nobody waits for a run that has ended.
        if !self.has_ended {
            let answered = self.cursor.check_updates_answered();
            answered.map_err(|error| self.remember(error.into()))?;
        }
        Ok(())
    }

    /// Puts the first command that ends the run last and drops the other ones that would; in histories without the flag,
    /// drops everything behind it.
    fn order_commands(&self, mut commands: Vec<WorkflowCommand>) -> Vec<WorkflowCommand> {
        let Some(first) = commands.iter().position(machines::is_terminal) else { return commands };
        if !self.flags.applies(CoreFlag::MoveTerminalCommands, self.is_replaying) {
            commands.truncate(first + 1);
            return commands;
        }
        let last = commands.remove(first);
        commands.retain(|command| !machines::is_terminal(command));
        commands.push(last);
        commands
    }

    /// A command of a kind that the contract doesn't have.
    #[cfg(test)]
    pub(crate) fn issue(&mut self, issued: machines::Issued) {
        let jobs = &mut self.jobs;
        self.cursor.take(issued, None, "", &mut |job| jobs.push(job)).expect("tests issue what is valid");
    }

    /// The activation that carries the jobs collected so far.
    pub(crate) fn take_activation(&mut self) -> WorkflowActivation {
        let jobs = self.jobs.take(self.dialect);
        let is_replaying = self.is_replaying;
        WorkflowActivation { is_replaying, ..self.activation(jobs) }
    }

    /// An activation with other jobs. It counts as replayed: what it does leaves no trace in the history.
    pub(crate) fn activation(&self, jobs: Vec<WorkflowJob>) -> WorkflowActivation {
        let task = self.task.as_ref();
        WorkflowActivation {
            run_id: self.identity.run_id.clone(),
            timestamp: self.clock,
            is_replaying: true,
            history_length: self.applied_id,
            history_size_bytes: task.map_or(0, |task| task.history_size_bytes),
            continue_as_new_suggested: task.is_some_and(|task| task.continue_as_new_suggested),
            jobs,
            available_flags: self.flags.lang(),
        }
    }

    /// The flags that the completion of the open task has to record.
    pub(crate) fn take_metadata(&mut self) -> Option<WorkflowTaskCompletedMetadata> {
        if let Some(speculation) = &mut self.speculation {
            speculation.flags = Some(self.flags.clone());
        }
        self.flags.record()
    }

    /// Roughly what is held here, in bytes.
    pub(crate) fn weight(&self) -> usize {
        const PER_EVENT: usize = 1024;
        let inherited = &self.inherited;
        let kept = inherited.memo.as_ref().map_or(0, prost::Message::encoded_len)
            + inherited.search_attributes.as_ref().map_or(0, prost::Message::encoded_len);
        size_of::<RunState>()
            + kept
            + self.cursor.weight()
            + (self.timeline.len() + self.jobs.len()) * PER_EVENT
    }

    /// The size of the history so far: what the code's state is made of.
    pub(crate) fn history_size_bytes(&self) -> i64 {
        self.task.as_ref().map_or(0, |task| task.history_size_bytes)
    }

    fn remember(&mut self, problem: Problem) -> Problem {
        self.problem.get_or_insert(problem).clone()
    }
}

fn malformed(event_id: i64, message: &str) -> Malformed {
    Malformed { event_id, event_type: "WORKFLOW_EXECUTION_STARTED".to_owned(), message: message.to_owned() }
}
