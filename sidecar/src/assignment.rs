//! Who gets which task of one queue: a machine without clock, socket or thread.
//!
//! What the core hands out waits here until an application takes it. A run belongs to the application that took its first
//! activation, until it is evicted; an activity belongs to whoever took it. An application that has gone gives its
//! runs back (they are evicted and replay to the next one).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use durably_proto::{
    durably::core::v1::{
        ActivationFailure, ActivationSuccess, ActivityCompletion, ActivityStart, EvictRun, ShutDown,
        WorkerEvent, WorkerRequest, WorkflowActivation, WorkflowCompletion, activity_cancel::Reason,
        activity_completion, worker_event::Event, worker_request::Request, workflow_completion,
        workflow_job::Job,
    },
    temporal::api::failure::v1::{
        ApplicationFailureInfo, CanceledFailureInfo, Failure, failure::FailureInfo,
    },
};

/// What an application asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) workflows: Activations,
    /// How many activities it could do.
    pub(crate) activities: u32,
}

/// Which activations an application asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activations {
    /// It asks for them with another request. One that came with this one might overtake, or be overtaken: a run that is
    /// initialized anew would meet its own eviction.
    None,
    /// Those of runs that it has.
    Own,
    All,
}

/// Why an answer was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody has it any more, or ever had.
    Unknown(String),
    /// Somebody else has it.
    NotYours(String),
    Malformed(String),
}

/// What became of an answer.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) request: Option<WorkerRequest>,
    /// Of a heartbeat: why the activity should stop.
    pub(crate) cancel: Option<Reason>,
}

#[derive(Default)]
struct Application {
    /// For it alone: activations of its runs, cancellations, the end.
    ready: VecDeque<WorkerEvent>,
    /// Requests or streams that are open.
    open: usize,
    /// When the last one closed.
    quiet_since: Option<Instant>,
}

struct Run {
    application: String,
    /// An activation waits for its answer.
    is_active: bool,
    /// When the application took it.
    taken_at: Option<Instant>,
}

struct Activity {
    application: String,
    cancel: Option<Reason>,
}

pub(crate) struct Assignment {
    /// How long an application may be quiet before it counts as gone.
    patience: Duration,
    applications: BTreeMap<String, Application>,
    /// First activations of runs that nobody has yet.
    new_runs: VecDeque<WorkflowActivation>,
    new_activities: VecDeque<ActivityStart>,
    runs: HashMap<String, Run>,
    activities: HashMap<Bytes, Activity>,
    ended: Option<ShutDown>,
}

impl Assignment {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            applications: BTreeMap::new(),
            new_runs: VecDeque::new(),
            new_activities: VecDeque::new(),
            runs: HashMap::new(),
            activities: HashMap::new(),
            ended: None,
        }
    }

    pub(crate) fn is_deserted(&self) -> bool {
        self.applications.is_empty()
    }

    /// The worker's end, once it has come.
    pub(crate) fn ended(&self) -> Option<&ShutDown> {
        self.ended.as_ref()
    }

    /// Something from the core. Gives back what the sidecar answers by itself.
    pub(crate) fn handle_event(&mut self, event: WorkerEvent) -> Vec<WorkerRequest> {
        match event.event {
            Some(Event::Workflow(activation)) => self.handle_activation(activation),
            Some(Event::ActivityStart(start)) => {
                self.new_activities.push_back(start);
                Vec::new()
            }
            Some(Event::ActivityCancel(cancel)) => {
                self.handle_cancel(cancel.task_token.clone(), cancel.reason())
            }
            Some(Event::ShutDown(end)) => {
                self.ended = Some(end);
                Vec::new()
            }
            Some(Event::Replay(_) | Event::ActivityAnswered(_) | Event::Connectivity(_)) | None => Vec::new(),
        }
    }

    fn handle_activation(&mut self, activation: WorkflowActivation) -> Vec<WorkerRequest> {
        let has =
            |wanted: fn(&Job) -> bool| activation.jobs.iter().any(|job| job.job.as_ref().is_some_and(wanted));
        let run_id = activation.run_id.clone();
        if has(|job| matches!(job, Job::Evict(_))) {
            if let Some(run) = self.runs.remove(&run_id) {
                self.tell(&run.application, Event::Workflow(activation));
            }
            return vec![answer_activation(
                &run_id,
                workflow_completion::Status::Success(ActivationSuccess::default()),
            )];
        }
        match self.runs.get_mut(&run_id) {
            Some(run) => {
                run.is_active = true;
                let application = run.application.clone();
                self.tell(&application, Event::Workflow(activation));
            }
            None if has(|job| matches!(job, Job::Initialize(_))) => self.new_runs.push_back(activation),
            // It was on its way while its application went.
            None => return vec![give_up_activation(&run_id)],
        }
        Vec::new()
    }

    fn handle_cancel(&mut self, token: Bytes, reason: Reason) -> Vec<WorkerRequest> {
        if let Some(waiting) = self.new_activities.iter().position(|start| start.task_token == token) {
            self.new_activities.remove(waiting);
            let status = match reason {
                Reason::WorkerShutdown => failed("the sidecar stopped before an application took the task"),
                _ => cancelled(),
            };
            return vec![answer_activity(token, status)];
        }
        let Some(activity) = self.activities.get_mut(&token) else { return Vec::new() };
        activity.cancel = Some(reason);
        let application = activity.application.clone();
        let is_there = self.applications.contains_key(&application);
        let event = durably_proto::durably::core::v1::ActivityCancel {
            task_token: token.clone(),
            reason: reason as i32,
        };
        self.tell(&application, Event::ActivityCancel(event));
        match reason {
            // The server has given the attempt up: nobody's answer counts, and the slot shall be free.
            Reason::NotFound | Reason::TimedOut => {
                self.activities.remove(&token);
                vec![answer_activity(token, cancelled())]
            }
            Reason::WorkerShutdown if !is_there => {
                self.activities.remove(&token);
                vec![answer_activity(token, failed("the application that had the task has gone"))]
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, application: &str, event: Event) {
        if let Some(application) = self.applications.get_mut(application) {
            application.ready.push_back(WorkerEvent { event: Some(event) });
        }
    }

    /// A request or stream of the application begins.
    pub(crate) fn enter(&mut self, application: &str) {
        let application = self.applications.entry(application.to_owned()).or_default();
        application.open += 1;
        application.quiet_since = None;
    }

    /// A request or stream of the application is over.
    pub(crate) fn leave(&mut self, application: &str, now: Instant) {
        if let Some(application) = self.applications.get_mut(application) {
            application.open = application.open.saturating_sub(1);
            if application.open == 0 {
                application.quiet_since = Some(now);
            }
        }
    }

    /// The next thing for the application to do.
    pub(crate) fn take(&mut self, name: &str, wants: Wants, now: Instant) -> Option<WorkerEvent> {
        let application = self.applications.get_mut(name)?;
        let is_wanted = |event: &WorkerEvent| {
            wants.workflows != Activations::None || !matches!(event.event, Some(Event::Workflow(_)))
        };
        let wanted = application.ready.iter().position(is_wanted);
        if let Some(event) = wanted.and_then(|position| application.ready.remove(position)) {
            if let Some(Event::Workflow(activation)) = &event.event
                && let Some(run) = self.runs.get_mut(&activation.run_id)
            {
                run.taken_at = Some(now);
            }
            return Some(event);
        }
        if wants.workflows == Activations::All
            && let Some(activation) = self.new_runs.pop_front()
        {
            let run = Run { application: name.to_owned(), is_active: true, taken_at: Some(now) };
            self.runs.insert(activation.run_id.clone(), run);
            return Some(WorkerEvent { event: Some(Event::Workflow(activation)) });
        }
        if wants.activities > 0
            && let Some(start) = self.new_activities.pop_front()
        {
            let activity = Activity { application: name.to_owned(), cancel: None };
            self.activities.insert(start.task_token.clone(), activity);
            return Some(WorkerEvent { event: Some(Event::ActivityStart(start)) });
        }
        None
    }

    /// An event that was taken, but could not be delivered: it is as if it had not been taken.
    pub(crate) fn put_back(&mut self, name: &str, event: WorkerEvent) {
        match event.event {
            Some(Event::ActivityStart(start)) => {
                self.activities.remove(&start.task_token);
                self.new_activities.push_front(start);
            }
            event => {
                if let Some(application) = self.applications.get_mut(name) {
                    application.ready.push_front(WorkerEvent { event });
                }
            }
        }
    }

    /// An application's answer.
    pub(crate) fn answer(&mut self, name: &str, request: WorkerRequest) -> Result<Taken, Refusal> {
        let mut taken = Taken::default();
        match &request.request {
            Some(Request::Workflow(completion)) => {
                let run_id = &completion.run_id;
                match self.runs.get_mut(run_id) {
                    Some(run) if run.application != name => {
                        return Err(Refusal::NotYours(format!(
                            "run {run_id} is with another application: drop it"
                        )));
                    }
                    Some(run) if run.is_active => {
                        run.is_active = false;
                        run.taken_at = None;
                    }
                    Some(_) => {
                        return Err(Refusal::Unknown(format!(
                            "no activation of run {run_id} waits for an answer"
                        )));
                    }
                    // The contract has evictions answered, which happened here already.
                    None if is_empty_success(completion) => return Ok(taken),
                    None => {
                        return Err(Refusal::Unknown(format!(
                            "run {run_id} was evicted: drop it; it will be replayed"
                        )));
                    }
                }
            }
            Some(Request::Activity(completion)) => {
                self.own_activity(name, &completion.task_token)?;
                self.activities.remove(&completion.task_token);
            }
            Some(Request::Heartbeat(heartbeat)) => {
                taken.cancel = self.own_activity(name, &heartbeat.task_token)?.cancel;
            }
            Some(Request::Replay(_)) => {}
            _ => {
                return Err(Refusal::Malformed(
                    "applications send workflow and activity completions, heartbeats and replays, nothing else"
                        .into(),
                ));
            }
        }
        taken.request = Some(request);
        Ok(taken)
    }

    fn own_activity(&self, name: &str, token: &Bytes) -> Result<&Activity, Refusal> {
        match self.activities.get(token) {
            Some(activity) if activity.application == name => Ok(activity),
            Some(_) => Err(Refusal::NotYours("the activity is with another application: drop it".into())),
            None => Err(Refusal::Unknown(
                "no such activity is under way: it has been answered, or it timed out and is retried; drop it".into(),
            )),
        }
    }

    /// When an application will have been quiet for too long.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let quiet = self.applications.values().filter_map(|application| application.quiet_since);
        let slow = self.runs.values().filter_map(|run| run.taken_at);
        quiet.map(|at| at + self.patience).chain(slow.map(|at| at + 2 * self.patience)).min()
    }

    /// Takes the runs of applications that have been quiet for too long. Their activities stay with them: how long one
    /// may take, its own time-outs say.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<WorkerRequest> {
        let is_over = |application: &Application| {
            application.quiet_since.is_some_and(|since| now.duration_since(since) >= self.patience)
        };
        let gone: Vec<String> = self
            .applications
            .iter()
            .filter(|(_, application)| is_over(application))
            .map(|(name, _)| name.clone())
            .collect();
        let mut requests: Vec<_> = gone.iter().flat_map(|name| self.give_runs_back(name)).collect();
        // An activation whose answer does not come: lost on its way, or the application hangs.
        let mut stuck: Vec<String> = self
            .runs
            .iter()
            .filter(|(_, run)| run.taken_at.is_some_and(|at| now.duration_since(at) >= 2 * self.patience))
            .map(|(id, _)| id.clone())
            .collect();
        stuck.sort();
        for run_id in stuck {
            self.runs.remove(&run_id);
            requests.push(give_up_activation(&run_id));
        }
        if !gone.is_empty() && self.is_deserted() {
            requests.extend(self.give_up_new());
        }
        requests
    }

    /// The application has said that it goes, or its stream has ended: its activities fail now, to be retried.
    pub(crate) fn remove_application(&mut self, name: &str) -> Vec<WorkerRequest> {
        let mut requests = self.give_runs_back(name);
        let mut tokens: Vec<Bytes> = self
            .activities
            .iter()
            .filter(|(_, activity)| activity.application == name)
            .map(|(token, _)| token.clone())
            .collect();
        tokens.sort();
        for token in tokens {
            self.activities.remove(&token);
            requests.push(answer_activity(token, failed("the application that had the task has gone")));
        }
        if self.is_deserted() {
            requests.extend(self.give_up_new());
        }
        requests
    }

    /// Everybody counts as gone: the sidecar ends.
    pub(crate) fn remove_all_applications(&mut self) -> Vec<WorkerRequest> {
        let names: Vec<String> = self.applications.keys().cloned().collect();
        let mut requests: Vec<_> = names.iter().flat_map(|name| self.remove_application(name)).collect();
        // Activities of applications that went before.
        let mut left: Vec<Bytes> = self.activities.drain().map(|(token, _)| token).collect();
        left.sort();
        let gone = |token| answer_activity(token, failed("the application that had the task has gone"));
        requests.extend(left.into_iter().map(gone));
        requests
    }

    fn give_runs_back(&mut self, name: &str) -> Vec<WorkerRequest> {
        let undelivered =
            self.applications.remove(name).map(|application| application.ready).unwrap_or_default();
        let mut ids: Vec<String> =
            self.runs.iter().filter(|(_, run)| run.application == name).map(|(id, _)| id.clone()).collect();
        ids.sort();
        let mut requests = Vec::new();
        for run_id in ids {
            let Some(run) = self.runs.remove(&run_id) else { continue };
            requests.push(if run.is_active {
                give_up_activation(&run_id)
            } else {
                WorkerRequest { request: Some(Request::Evict(EvictRun { run_id })) }
            });
        }
        // Activities that were offered to it alone don't exist; the rest was about runs and attempts that are gone.
        drop(undelivered);
        requests
    }

    /// Nobody is there: what waits goes back to the server.
    fn give_up_new(&mut self) -> Vec<WorkerRequest> {
        let runs = self.new_runs.drain(..).map(|activation| give_up_activation(&activation.run_id));
        let activities = self.new_activities.drain(..).map(|start| {
            answer_activity(start.task_token, failed("no application is there to take the task"))
        });
        runs.chain(activities).collect()
    }
}

fn is_empty_success(completion: &WorkflowCompletion) -> bool {
    match &completion.status {
        Some(workflow_completion::Status::Success(success)) => success.commands.is_empty(),
        _ => false,
    }
}

fn answer_activation(run_id: &str, status: workflow_completion::Status) -> WorkerRequest {
    let completion = WorkflowCompletion { run_id: run_id.to_owned(), status: Some(status) };
    WorkerRequest { request: Some(Request::Workflow(completion)) }
}

/// Fails the workflow task: the server makes another, and the run is replayed.
fn give_up_activation(run_id: &str) -> WorkerRequest {
    let failure = Failure {
        message: "the application that had the run has gone; the run is replayed by the next one".into(),
        source: "durably-sidecar".into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: "ApplicationGone".into(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let failure = ActivationFailure { failure: Some(failure), nondeterminism: false };
    answer_activation(run_id, workflow_completion::Status::Failure(failure))
}

fn answer_activity(task_token: Bytes, status: activity_completion::Status) -> WorkerRequest {
    let completion = ActivityCompletion { task_token, status: Some(status) };
    WorkerRequest { request: Some(Request::Activity(completion)) }
}

fn failed(message: &str) -> activity_completion::Status {
    activity_completion::Status::Failed(Failure {
        message: message.to_owned(),
        source: "durably-sidecar".into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: "ApplicationGone".into(),
            ..Default::default()
        })),
        ..Default::default()
    })
}

fn cancelled() -> activity_completion::Status {
    activity_completion::Status::Cancelled(Failure {
        message: "cancelled".into(),
        source: "durably-sidecar".into(),
        failure_info: Some(FailureInfo::CanceledFailureInfo(CanceledFailureInfo::default())),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests;
