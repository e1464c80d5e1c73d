//! What a test workflow sees of its run.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::{Future, poll_fn},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use durably_proto::{
    durably::core::v1::{activity_resolution, query_answer, workflow_command::Command, workflow_job::Job, *},
    temporal::api::failure::v1::Failure,
};

use super::{cancellation, payload, text};

/// How a workflow ends.
#[allow(clippy::large_enum_variant, reason = "a few in a test")]
pub enum Outcome {
    Completed(String),
    Failed(Failure),
    Cancelled,
    ContinueAsNew(String),
}

#[derive(Clone)]
pub struct Context(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    input: String,
    next_seq: u32,
    commands: Vec<WorkflowCommand>,
    fired: Vec<u32>,
    resolved: BTreeMap<u32, Result<String, Failure>>,
    signals: BTreeMap<String, VecDeque<String>>,
    updates: VecDeque<UpdateReceived>,
    cancelled: bool,
    status: String,
}

impl Context {
    pub(super) fn new(init: &InitializeWorkflow) -> Self {
        let input = text(init.arguments.first());
        Self(Rc::new(RefCell::new(State { input, ..Default::default() })))
    }

    pub fn input(&self) -> String {
        self.0.borrow().input.clone()
    }

    /// What the query "status" answers.
    pub fn set_status(&self, status: &str) {
        status.clone_into(&mut self.0.borrow_mut().status);
    }

    pub fn activity(&self, name: &str, input: &str) -> impl Future<Output = Result<String, Failure>> + use<> {
        self.activity_with(ScheduleActivity {
            activity_type: name.to_owned(),
            arguments: vec![payload(input)],
            start_to_close_timeout: Some(seconds(20)),
            ..Default::default()
        })
    }

    pub fn activity_with(
        &self,
        activity: ScheduleActivity,
    ) -> impl Future<Output = Result<String, Failure>> + use<> {
        let seq = self.next_seq();
        self.command(Command::ScheduleActivity(ScheduleActivity { seq, ..activity }));
        self.until(move |state| state.resolved.remove(&seq))
    }

    /// Of the last activity that was started.
    pub fn request_cancel_activity(&self) {
        let seq = self.0.borrow().next_seq;
        self.command(Command::RequestCancelActivity(RequestCancelActivity { seq }));
    }

    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        let seq = self.next_seq();
        let timeout = prost_types::Duration::try_from(duration).expect("tests wait for short times");
        self.command(Command::StartTimer(StartTimer { seq, start_to_fire_timeout: Some(timeout) }));
        self.until(move |state| state.fired.contains(&seq).then_some(()))
    }

    /// The next signal of that name.
    pub fn signal(&self, name: &'static str) -> impl Future<Output = String> + use<> {
        self.until(move |state| state.signals.get_mut(name).and_then(VecDeque::pop_front))
    }

    /// The next update that was accepted: all are but for those whose argument is `no`.
    pub fn update(&self) -> impl Future<Output = UpdateReceived> + use<> {
        self.until(|state| state.updates.pop_front())
    }

    pub fn succeed(&self, update: &UpdateReceived, result: &str) {
        self.answer(&update.id, update_answer::Answer::Succeeded(payload(result)));
    }

    fn answer(&self, id: &str, answer: update_answer::Answer) {
        self.command(Command::UpdateAnswer(UpdateAnswer { id: id.to_owned(), answer: Some(answer) }));
    }

    pub fn cancelled(&self) -> impl Future<Output = ()> + use<> {
        self.until(|state| state.cancelled.then_some(()))
    }

    fn until<T, F>(&self, mut ready: F) -> impl Future<Output = T> + use<T, F>
    where
        F: FnMut(&mut State) -> Option<T>,
    {
        let state = Rc::clone(&self.0);
        poll_fn(move |_| ready(&mut state.borrow_mut()).map_or(Poll::Pending, Poll::Ready))
    }

    fn next_seq(&self) -> u32 {
        let mut state = self.0.borrow_mut();
        state.next_seq += 1;
        state.next_seq
    }

    fn command(&self, command: Command) {
        let command = WorkflowCommand { command: Some(command), ..Default::default() };
        self.0.borrow_mut().commands.push(command);
    }

    pub(super) fn apply(&self, job: Job) {
        let mut state = self.0.borrow_mut();
        match job {
            Job::FireTimer(timer) => state.fired.push(timer.seq),
            Job::ResolveActivity(resolved) => {
                let result = match resolved.result.and_then(|r| r.status).expect("a resolution has a status")
                {
                    activity_resolution::Status::Completed(success) => Ok(text(success.result.as_ref())),
                    activity_resolution::Status::Failed(failure) => Err(failure),
                    activity_resolution::Status::Cancelled(_) => Err(cancellation()),
                };
                state.resolved.insert(resolved.seq, result);
            }
            Job::Signal(signal) => {
                let value = text(signal.arguments.first());
                state.signals.entry(signal.name).or_default().push_back(value);
            }
            Job::Cancel(_) => state.cancelled = true,
            Job::Query(query) => {
                let answer = if query.name == "status" {
                    query_answer::Answer::Succeeded(payload(&state.status))
                } else {
                    query_answer::Answer::Failed(super::failure("no such query"))
                };
                let answer = QueryAnswer { id: query.id, answer: Some(answer) };
                drop(state);
                self.command(Command::QueryAnswer(answer));
            }
            Job::Update(update) if text(update.arguments.first()) == "no" => {
                drop(state);
                self.answer(&update.id, update_answer::Answer::Rejected(super::failure("it says no")));
            }
            Job::Update(update) => {
                let id = update.id.clone();
                state.updates.push_back(update);
                drop(state);
                self.answer(&id, update_answer::Answer::Accepted(UpdateAccepted {}));
            }
            Job::UpdateRandomSeed(_) => {}
            job @ (Job::Initialize(_) | Job::Evict(_)) => unreachable!("the host's: {job:?}"),
            job @ (Job::ResolveChildWorkflowStart(_)
            | Job::ResolveChildWorkflow(_)
            | Job::ResolveSignalExternalWorkflow(_)
            | Job::ResolveRequestCancelExternalWorkflow(_)) => {
                unreachable!("no workflow here asks for such: {job:?}")
            }
        }
    }

    pub(super) fn finish(&self, outcome: Outcome) {
        self.command(match outcome {
            Outcome::Completed(result) => {
                Command::CompleteWorkflow(CompleteWorkflow { result: Some(payload(&result)) })
            }
            Outcome::Failed(failure) => Command::FailWorkflow(FailWorkflow { failure: Some(failure) }),
            Outcome::Cancelled => Command::CancelWorkflow(CancelWorkflow { details: None }),
            Outcome::ContinueAsNew(input) => Command::ContinueAsNew(ContinueAsNew {
                arguments: vec![payload(&input)],
                ..Default::default()
            }),
        });
    }

    pub(super) fn take_commands(&self) -> Vec<WorkflowCommand> {
        std::mem::take(&mut self.0.borrow_mut().commands)
    }
}

pub fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}
