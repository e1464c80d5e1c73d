//! One cached workflow run: tasks in, steps out.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use durably_proto::durably::core::v1::workflow_completion::Status;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{
    ActivationSuccess, Evict, QueryReceived, ReplayHistory, ReplayResult, WorkflowActivation,
    WorkflowCompletion, WorkflowJob, evict, query_answer, workflow_command,
};
use durably_proto::temporal::api::command::v1::Command;
use durably_proto::temporal::api::common::v1::Payloads;
use durably_proto::temporal::api::enums::v1::{QueryResultType, WorkflowTaskFailedCause};
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::history::v1::HistoryEvent;
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::query::v1::WorkflowQueryResult;

use super::initialize::Identity;
use super::machines::{MachineEvent, Sequence};
use super::policy::{NondeterminismPolicy, RunOptions};
use super::problem::Problem;
use super::state::{OpenTask, Progress, RunState};
use super::step::{QueryReply, Step, TaskCompleted, TaskFailed};
use super::task::{HistoryPage, Query, WorkflowTask};

/// A workflow run in the worker's cache. See the module's head for how it is driven.
#[derive(Debug)]
pub struct Run {
    state: RunState,
    nondeterminism: Arc<NondeterminismPolicy>,
    phase: Phase,
    assignment: Option<Assignment>,
    /// Set once the run has to go.
    eviction: Option<(evict::Reason, String)>,
    /// A task to start over with, once the SDK has let go.
    restart: Option<WorkflowTask>,
    /// The SDK has state of this run.
    is_known_to_sdk: bool,
    /// What the SDK says that its state weighs.
    sdk_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between two tasks, or inside a `handle_*`.
    Idle,
    AwaitingHistory,
    AwaitingCompletion(Activated),
    /// The code has done what it could, and the task isn't over: this process does something for it.
    AwaitingLocalWork,
    /// Evicted.
    Gone,
}

/// What the SDK was activated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activated {
    Jobs,
    Queries,
    Eviction,
}

/// What the run works on.
#[derive(Debug)]
struct Assignment {
    kind: AssignmentKind,
    task_token: Bytes,
    attempt: i32,
    /// To be answered at the end.
    queries: Vec<Query>,
    next_page_token: Bytes,
    /// Events that come behind those to be fetched.
    last_events: Vec<HistoryEvent>,
    /// The commands of the open task, once it is done.
    commands: Option<Vec<Command>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AssignmentKind {
    Task,
    /// A query in a task of its own.
    Query,
    Replay,
}

type Answers = BTreeMap<String, query_answer::Answer>;

impl Run {
    /// A run that is not in the cache, with its first task. If the task holds only the end of the history, the first
    /// step asks for the history from its start.
    pub fn start(options: &RunOptions, task: WorkflowTask) -> (Run, Vec<Step>) {
        let identity = Identity {
            namespace: options.namespace.clone(),
            workflow_id: task.workflow_id.clone(),
            run_id: task.run_id.clone(),
        };
        let mut run = Run::new(identity, options);
        let steps = run.begin(task);
        (run, steps)
    }

    /// A replay of a history as a file or a server has it. Ends with [`Step::Replayed`] and the eviction.
    pub fn replay(options: &RunOptions, replay: ReplayHistory) -> (Run, Vec<Step>) {
        let events = replay.history.unwrap_or_default().events;
        let started = match events.first().and_then(|event| event.attributes.as_ref()) {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => Some(started),
            _ => None,
        };
        let or = |given: &str, own: Option<&String>| match own {
            Some(own) if given.is_empty() => own.clone(),
            _ => given.to_owned(),
        };
        let run_id = or("", started.map(|started| &started.original_execution_run_id));
        let identity = Identity {
            namespace: options.namespace.clone(),
            workflow_id: or(&replay.workflow_id, started.map(|started| &started.workflow_id)),
            run_id: if run_id.is_empty() { format!("replay-of-{}", replay.workflow_id) } else { run_id },
        };
        let mut run = Run::new(identity, options);
        run.assignment = Some(Assignment {
            kind: AssignmentKind::Replay,
            task_token: Bytes::new(),
            attempt: 1,
            queries: Vec::new(),
            next_page_token: Bytes::new(),
            last_events: Vec::new(),
            commands: None,
        });
        let steps = run.extend(events, true);
        (run, steps)
    }

    fn new(identity: Identity, options: &RunOptions) -> Run {
        Run::with(RunState::new(identity, options.dialect), Arc::clone(&options.nondeterminism))
    }

    fn with(state: RunState, nondeterminism: Arc<NondeterminismPolicy>) -> Run {
        Run {
            state,
            nondeterminism,
            phase: Phase::Idle,
            assignment: None,
            eviction: None,
            restart: None,
            is_known_to_sdk: false,
            sdk_bytes: 0,
        }
    }

    /// The next task of this run. If it doesn't continue where the run stands, the run is evicted and started anew
    /// from the first event, by itself.
    pub fn handle_task(&mut self, task: WorkflowTask) -> Vec<Step> {
        if self.phase == Phase::Gone {
            return Vec::new();
        }
        if !self.is_busy() && self.continues_with(&task) {
            return self.begin(task);
        }
        let message = "the server's task doesn't continue where the cached run stands";
        self.restart = Some(task);
        self.eviction = Some((evict::Reason::CacheMiss, message.to_owned()));
        match self.phase {
            Phase::AwaitingCompletion(_) => Vec::new(),
            Phase::Idle | Phase::AwaitingHistory | Phase::AwaitingLocalWork | Phase::Gone => self.evict(),
        }
    }

    /// The page that [`Step::NeedHistory`] asked for. Ignored if no page is awaited.
    pub fn handle_history_page(&mut self, page: HistoryPage) -> Vec<Step> {
        if self.phase != Phase::AwaitingHistory {
            return Vec::new();
        }
        let Some(assignment) = &mut self.assignment else { return Vec::new() };
        let mut events = page.events;
        let is_last = page.next_page_token.is_empty();
        assignment.next_page_token = page.next_page_token;
        if is_last {
            events.append(&mut assignment.last_events);
        }
        self.extend(events, is_last)
    }

    /// The page could not be fetched: the task is dropped (the server will time it out), a query is answered with
    /// `message`, and the run evicted.
    pub fn handle_history_unavailable(&mut self, message: &str) -> Vec<Step> {
        if self.phase != Phase::AwaitingHistory {
            return Vec::new();
        }
        self.eviction.get_or_insert_with(|| (evict::Reason::CacheMiss, message.to_owned()));
        let mut steps = Vec::new();
        if let Some(Assignment { kind: AssignmentKind::Query, task_token, .. }) = self.assignment.take() {
            let problem =
                Problem::NotReady(format!("The workflow's history could not be fetched: {message}"));
            steps.push(query_failed(task_token, &problem));
        }
        steps.append(&mut self.evict());
        steps
    }

    /// The SDK's answer to the outstanding activation. Ignored if none is outstanding.
    pub fn handle_completion(&mut self, completion: WorkflowCompletion) -> Vec<Step> {
        let Phase::AwaitingCompletion(activated) = self.phase else { return Vec::new() };
        self.phase = Phase::Idle;
        if activated == Activated::Eviction {
            return self.let_go();
        }
        if let Some((evict::Reason::CacheMiss, _)) = self.eviction {
            self.assignment = None;
            return self.evict();
        }
        if completion.run_id != self.run_id() {
            let message = format!(
                "The completion of run {:?} was given to run {:?}.",
                completion.run_id,
                self.run_id()
            );
            return self.fail(&Problem::BadCompletion(message));
        }
        let success = match completion.status {
            Some(Status::Success(success)) => success,
            Some(Status::Failure(failure)) => return self.fail(&Problem::Code(Box::new(failure))),
            None => {
                let message = "The completion says neither success nor failure.".to_owned();
                return self.fail(&Problem::BadCompletion(message));
            }
        };
        self.sdk_bytes = success.cache_bytes;
        match activated {
            Activated::Jobs => match self.state.handle_success(success) {
                Ok(()) => self.advance(),
                Err(problem) => self.fail(&problem),
            },
            Activated::Queries => match self.collect_answers(success) {
                Ok(answers) => self.conclude(answers),
                Err(problem) => self.fail(&problem),
            },
            Activated::Eviction => Vec::new(),
        }
    }

    /// Let go of the run. A task under way is finished first, unless the reason is `CACHE_MISS`: then the server doesn't
    /// want to hear of it.
    pub fn handle_evict(&mut self, reason: evict::Reason, message: &str) -> Vec<Step> {
        let is_miss = reason == evict::Reason::CacheMiss;
        if self.eviction.is_none() || is_miss {
            self.eviction = Some((reason, message.to_owned()));
        }
        match self.phase {
            Phase::Idle => self.evict(),
            Phase::AwaitingHistory | Phase::AwaitingLocalWork if is_miss => self.evict(),
            Phase::AwaitingHistory
            | Phase::AwaitingLocalWork
            | Phase::AwaitingCompletion(_)
            | Phase::Gone => Vec::new(),
        }
    }

    /// What this process did for the command of this number. The code hears of it at once if the run waits, and with the
    /// next activation if it is busy.
    #[cfg_attr(not(test), expect(dead_code, reason = "local activities will be the first to use it"))]
    pub(crate) fn handle_local_work(&mut self, seq: (Sequence, u32), event: MachineEvent) -> Vec<Step> {
        if self.phase == Phase::Gone {
            return Vec::new();
        }
        let handled = self.state.handle_local_work(seq, event);
        if self.phase != Phase::AwaitingLocalWork {
            // A problem is remembered, and met when the run goes on.
            return Vec::new();
        }
        self.phase = Phase::Idle;
        match handled {
            Ok(()) => self.advance(),
            Err(problem) => self.fail(&problem),
        }
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.state.identity().run_id
    }

    /// The workflow's id.
    pub fn workflow_id(&self) -> &str {
        &self.state.identity().workflow_id
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.state.identity().namespace
    }

    /// Whether an activation is with the SDK.
    pub fn is_activated(&self) -> bool {
        matches!(self.phase, Phase::AwaitingCompletion(_))
    }

    /// Whether the run works on a task, or is being evicted: no new task may be given to it.
    pub fn is_busy(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// What the run costs the cache, in bytes: state and payloads held here, and what the SDK reported. An SDK that can't
    /// tell is taken to hold as much as the history is long.
    pub fn weight(&self) -> usize {
        let sdk_bytes = match self.sdk_bytes {
            0 => usize::try_from(self.state.history_size_bytes()).unwrap_or(0),
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        };
        size_of::<Run>().saturating_add(self.state.weight()).saturating_add(sdk_bytes)
    }

    /// Whether the task's history goes on where this run stands, or has nothing to add; or did so before a task that the
    /// server has dropped, and then the run goes back to there.
    fn continues_with(&mut self, task: &WorkflowTask) -> bool {
        let last_started = self.state.last_started_id();
        let Some(first) = task.history.first() else {
            // A query: it may be answered from any state that is not older than what it asks about.
            return task.previous_started_event_id <= last_started;
        };
        let is_next = task.previous_started_event_id == last_started
            || self.state.roll_back(task.previous_started_event_id);
        is_next && first.event_id <= self.state.received_id() + 1
    }

    /// Starts to work on a task.
    fn begin(&mut self, task: WorkflowTask) -> Vec<Step> {
        let is_new = self.state.received_id() == 0;
        let starts_at_first = task.history.first().is_some_and(|event| event.event_id == 1);
        let (kind, queries) = match task.query {
            Some(query) => (AssignmentKind::Query, vec![query]),
            None => (AssignmentKind::Task, task.queries),
        };
        let mut assignment = Assignment {
            kind,
            task_token: task.task_token,
            attempt: task.attempt,
            queries,
            next_page_token: task.next_page_token,
            last_events: Vec::new(),
            commands: None,
        };
        let handled = self.state.handle_messages(task.messages);
        if is_new && !starts_at_first && handled.is_ok() {
            assignment.last_events = task.history;
            assignment.next_page_token = Bytes::new();
            self.assignment = Some(assignment);
            self.phase = Phase::AwaitingHistory;
            return vec![Step::NeedHistory { next_page_token: Bytes::new() }];
        }
        let is_complete = assignment.next_page_token.is_empty();
        self.assignment = Some(assignment);
        if let Err(problem) = handled {
            return self.fail(&problem);
        }
        self.extend(task.history, is_complete)
    }

    fn extend(&mut self, events: Vec<HistoryEvent>, is_complete: bool) -> Vec<Step> {
        self.phase = Phase::Idle;
        match self.state.handle_events(events, is_complete) {
            Ok(()) => self.advance(),
            Err(problem) => self.fail(&problem),
        }
    }

    /// Goes on until somebody else has to do something.
    fn advance(&mut self) -> Vec<Step> {
        let Some(assignment) = &mut self.assignment else { return self.evict() };
        let open_task = match assignment.kind {
            AssignmentKind::Task => OpenTask::Work,
            AssignmentKind::Query => OpenTask::Leave,
            AssignmentKind::Replay => OpenTask::Replay,
        };
        match self.state.advance(open_task) {
            Ok(Progress::Jobs) => {
                let activation = self.state.take_activation();
                self.activate(Activated::Jobs, activation)
            }
            Ok(Progress::NeedsPage) => {
                self.phase = Phase::AwaitingHistory;
                vec![Step::NeedHistory { next_page_token: assignment.next_page_token.clone() }]
            }
            Ok(Progress::LocalWork) => {
                self.phase = Phase::AwaitingLocalWork;
                Vec::new()
            }
            Ok(Progress::TaskDone(commands)) => {
                assignment.commands = Some(commands);
                self.ask_queries()
            }
            Ok(Progress::CaughtUp) => self.ask_queries(),
            Err(problem) => self.fail(&problem),
        }
    }

    fn activate(&mut self, activated: Activated, activation: WorkflowActivation) -> Vec<Step> {
        self.is_known_to_sdk = true;
        self.phase = Phase::AwaitingCompletion(activated);
        vec![Step::Activate(activation)]
    }

    /// The state is the one that queries ask about: asks them, if there are any.
    fn ask_queries(&mut self) -> Vec<Step> {
        let Some(assignment) = &self.assignment else { return Vec::new() };
        if assignment.queries.is_empty() {
            return self.conclude(Answers::new());
        }
        if !self.is_known_to_sdk {
            return self
                .fail(&Problem::NotReady("The workflow has not begun its first task yet.".to_owned()));
        }
        let jobs = assignment.queries.iter().map(query_job).collect();
        let activation = self.state.activation(jobs);
        self.activate(Activated::Queries, activation)
    }

    fn collect_answers(&self, success: ActivationSuccess) -> Result<Answers, Problem> {
        let mut answers = Answers::new();
        for command in success.commands {
            let Some(workflow_command::Command::QueryAnswer(answer)) = command.command else {
                let message = "A query issued a command. Queries may only read the workflow's state.";
                return Err(Problem::BadCompletion(message.to_owned()));
            };
            let Some(outcome) = answer.answer else {
                return Err(Problem::BadCompletion(format!("Query {:?} has an empty answer.", answer.id)));
            };
            answers.insert(answer.id, outcome);
        }
        let queries = self.assignment.iter().flat_map(|assignment| &assignment.queries);
        for query in queries {
            if !answers.contains_key(&query.id) {
                let message = format!("Query {:?} ({}) was not answered.", query.id, query.name);
                return Err(Problem::BadCompletion(message));
            }
        }
        Ok(answers)
    }

    /// Reports what the assignment came to.
    fn conclude(&mut self, mut answers: Answers) -> Vec<Step> {
        let Some(assignment) = self.assignment.take() else { return Vec::new() };
        let mut steps = match (assignment.kind, assignment.commands) {
            (AssignmentKind::Task, Some(commands)) => {
                let run_ended = self.state.has_ended();
                if run_ended && self.eviction.is_none() {
                    self.eviction = Some((evict::Reason::Completed, String::new()));
                }
                vec![Step::RespondCompleted(TaskCompleted {
                    task_token: assignment.task_token,
                    commands,
                    messages: self.state.take_messages(),
                    query_results: answers
                        .into_iter()
                        .map(|(id, answer)| (id, query_result(answer)))
                        .collect(),
                    sdk_metadata: self.state.take_metadata(),
                    run_ended,
                    attempt: assignment.attempt,
                    workflow_type: self.state.workflow_type().to_owned(),
                })]
            }
            (AssignmentKind::Task, None) => {
                let message = "The history that came with the task ends before the task's start.".to_owned();
                self.assignment = Some(Assignment { commands: None, ..assignment });
                return self.fail(&Problem::NotReady(message));
            }
            (AssignmentKind::Query, _) => {
                let result = match answers.pop_first().map(|(_, answer)| answer) {
                    Some(query_answer::Answer::Succeeded(payload)) => {
                        Ok(Payloads { payloads: vec![payload] })
                    }
                    Some(query_answer::Answer::Failed(failure)) => Err(failure),
                    None => Err(Failure::default()),
                };
                let cause = WorkflowTaskFailedCause::Unspecified;
                vec![Step::AnswerQuery(QueryReply { task_token: assignment.task_token, result, cause })]
            }
            (AssignmentKind::Replay, _) => {
                self.eviction = Some((evict::Reason::Completed, String::new()));
                vec![self.replayed(None)]
            }
        };
        if self.eviction.is_some() {
            steps.append(&mut self.evict());
        }
        steps
    }

    /// Reports that the assignment can't be carried out, and gets rid of the run.
    fn fail(&mut self, problem: &Problem) -> Vec<Step> {
        if self.eviction.is_none() {
            self.eviction = Some((problem.evict_reason(), problem.message()));
        }
        let mut steps = match self.assignment.take() {
            Some(assignment @ Assignment { kind: AssignmentKind::Task, .. }) => {
                vec![self.fail_task(assignment, problem)]
            }
            Some(Assignment { kind: AssignmentKind::Query, task_token, .. }) => {
                vec![query_failed(task_token, problem)]
            }
            Some(Assignment { kind: AssignmentKind::Replay, .. }) => vec![self.replayed(Some(problem))],
            None => Vec::new(),
        };
        steps.append(&mut self.evict());
        steps
    }

    /// Fails the task; or the run, if the worker's options say so. That holds for later attempts too: a run that is stuck
    /// fails as soon as a worker has the options for it.
    fn fail_task(&mut self, assignment: Assignment, problem: &Problem) -> Step {
        let Assignment { task_token, attempt, queries, .. } = assignment;
        let (cause, failure) = (problem.cause(), problem.to_failure());
        let Some(command) = self.nondeterminism.command(self.state.workflow_type(), problem) else {
            return Step::FailTask(TaskFailed { task_token, cause, failure, attempt });
        };
        let unanswered =
            |query: Query| (query.id, query_result(query_answer::Answer::Failed(failure.clone())));
        Step::RespondCompleted(TaskCompleted {
            task_token,
            commands: vec![command],
            messages: Vec::new(),
            query_results: queries.into_iter().map(unanswered).collect(),
            sdk_metadata: None,
            run_ended: true,
            attempt,
            workflow_type: self.state.workflow_type().to_owned(),
        })
    }

    fn replayed(&self, problem: Option<&Problem>) -> Step {
        Step::Replayed(ReplayResult {
            workflow_id: self.workflow_id().to_owned(),
            run_id: self.run_id().to_owned(),
            error: problem.map(Problem::to_error),
        })
    }

    /// Makes the SDK let go of the run, if it has it.
    fn evict(&mut self) -> Vec<Step> {
        self.assignment = None;
        if !self.is_known_to_sdk {
            return self.let_go();
        }
        let (reason, message) = self.eviction.clone().unwrap_or_default();
        let job = Job::Evict(Evict { reason: reason as i32, message });
        let activation = self.state.activation(vec![WorkflowJob { job: Some(job) }]);
        self.activate(Activated::Eviction, activation)
    }

    /// The SDK has nothing of this run: starts over, or is gone.
    fn let_go(&mut self) -> Vec<Step> {
        let (reason, message) = self.eviction.take().unwrap_or_default();
        if let Some(task) = self.restart.take() {
            let state = RunState::new(self.state.identity().clone(), self.state.dialect());
            *self = Run::with(state, Arc::clone(&self.nondeterminism));
            return self.begin(task);
        }
        self.phase = Phase::Gone;
        vec![Step::Evicted { reason, message }]
    }
}

fn query_job(query: &Query) -> WorkflowJob {
    let job = QueryReceived {
        id: query.id.clone(),
        name: query.name.clone(),
        arguments: query.arguments.clone().unwrap_or_default().payloads,
        headers: query.header.clone().unwrap_or_default().fields,
    };
    WorkflowJob { job: Some(Job::Query(job)) }
}

fn query_result(answer: query_answer::Answer) -> WorkflowQueryResult {
    match answer {
        query_answer::Answer::Succeeded(payload) => WorkflowQueryResult {
            result_type: QueryResultType::Answered as i32,
            answer: Some(Payloads { payloads: vec![payload] }),
            ..WorkflowQueryResult::default()
        },
        query_answer::Answer::Failed(failure) => WorkflowQueryResult {
            result_type: QueryResultType::Failed as i32,
            error_message: failure.message.clone(),
            failure: Some(failure),
            ..WorkflowQueryResult::default()
        },
    }
}

fn query_failed(task_token: Bytes, problem: &Problem) -> Step {
    Step::AnswerQuery(QueryReply { task_token, result: Err(problem.to_failure()), cause: problem.cause() })
}

#[cfg(test)]
mod tests;
