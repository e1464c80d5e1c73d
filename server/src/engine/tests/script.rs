//! Plays a text script against one run and writes down everything that comes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use durably_proto::temporal::api::{
    common::v1::*,
    enums::v1::*,
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    history::v1::{
        HistoryEvent, WorkflowExecutionStartedEventAttributes, WorkflowTaskStartedEventAttributes,
        history_event::Attributes,
    },
    protocol::v1::message::SequencingId,
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::{
        RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskFailedRequest,
        respond_workflow_task_completed_request::Capabilities,
    },
};
use prost::Message as _;

use super::{
    brief::brief,
    commands::{command, protocol_message},
    updates::{reply, stage_of, update_request},
};
use crate::{
    engine::{
        Body, Context, Dispatch, Effects, Execution, Input, LoadError, Message, NewRun, Outcome, Output,
        Poller, RunKey, SECOND, Signal, Time, duration, event, new_child, state::TaskToken,
    },
    store::{RowKind, StateRow},
};

/// One run, the tasks that were handed out, and what happened so far.
#[derive(Default)]
pub(super) struct Script {
    run: Option<Execution>,
    successor: Option<Box<NewRun>>,
    now: i64,
    epoch: i64,
    task_id: i64,
    runs: u32,
    /// Encoded history batches and state as a store would hold them.
    stored: Vec<bytes::Bytes>,
    state: Vec<u8>,
    rows: BTreeMap<(RowKind, i64), bytes::Bytes>,
    /// Rows and bytes of state in the last commit.
    pub last_written: (usize, usize),
    workflow_token: Option<TaskToken>,
    queries: Vec<String>,
    /// What the run said, and the last answer that it gave to another.
    pub messages: Vec<Message>,
    pub outcome: Option<Outcome>,
    activity_tokens: BTreeMap<String, TaskToken>,
    pub log: String,
}

fn poller(in_process: bool) -> Poller {
    Poller { identity: "worker".into(), request_id: "poll".into(), in_process }
}

/// The log of a whole script.
pub(super) fn play(script: &str) -> String {
    let mut player = Script::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        player.line(line);
    }
    player.log
}

impl Script {
    /// Plays one line: a verb and its words.
    pub(super) fn line(&mut self, line: &str) {
        let _ = writeln!(self.log, "> {line}");
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "start" => self.start(rest),
            "successor" => {
                let new = self.successor.take().expect("a successor");
                self.stored.clear();
                self.rows.clear();
                self.begin(*new);
            }
            "wait" => {
                self.now += span(rest);
                while self.run.as_ref().unwrap().next_due().is_some_and(|due| due.0 <= self.now) {
                    self.input(Input::TimersDue);
                }
            }
            "crash" => self.crash(),
            "signals" => {
                for number in 0..rest.parse().expect("a number") {
                    self.input(Input::Signal(Signal { name: format!("s{number}"), ..Default::default() }));
                }
            }
            _ => {
                if let Some(input) = self.parse(verb, rest) {
                    self.input(input);
                } else {
                    let _ = writeln!(self.log, "  (no task)");
                }
            }
        }
    }

    fn parse(&mut self, verb: &str, rest: &str) -> Option<Input> {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        Some(match verb {
            "poll" => {
                let (scheduled_event_id, attempt) = self.scheduled_task()?;
                Input::StartWorkflowTask {
                    scheduled_event_id,
                    attempt,
                    sticky: word(0) == "sticky",
                    poller: poller(word(0) == "inside"),
                }
            }
            "complete" => Input::CompleteWorkflowTask {
                token: self.workflow_token.clone()?,
                request: Box::new(self.completion(rest)),
            },
            "fail-task" => Input::FailWorkflowTask {
                token: self.workflow_token.clone()?,
                request: Box::new(RespondWorkflowTaskFailedRequest {
                    cause: WorkflowTaskFailedCause::NonDeterministicError as i32,
                    ..Default::default()
                }),
            },
            "lose-task" => {
                let token = self.workflow_token.clone()?;
                Input::WorkflowTaskUndelivered {
                    scheduled_event_id: token.scheduled_event_id,
                    attempt: token.attempt,
                }
            }
            "signal" => Input::Signal(Signal {
                name: word(0).into(),
                request_id: word(1).into(),
                ..Default::default()
            }),
            "cancel" => Input::RequestCancel {
                reason: "why".into(),
                identity: "client".into(),
                request_id: word(0).into(),
                links: vec![],
            },
            "terminate" => Input::Terminate {
                reason: "why".into(),
                details: None,
                identity: "client".into(),
                links: vec![],
            },
            "query" => Input::Query {
                id: word(0).parse().unwrap(),
                query: WorkflowQuery { query_type: "q".into(), ..Default::default() },
            },
            "update" => Input::Update(Box::new(update_request(word(0)))),
            // The words are the updates that somebody waits for.
            "forget" => Input::ForgetUpdates { but: words.iter().map(|id| (*id).to_owned()).collect() },
            "reset-sticky" => Input::ResetSticky,
            _ => return self.parse_activity(verb, &words),
        })
    }

    /// The verbs about activities; the first word names the activity.
    fn parse_activity(&mut self, verb: &str, words: &[&str]) -> Option<Input> {
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        Some(match verb {
            "take" => {
                let (scheduled_event_id, attempt) = self.waiting_activity(word(0))?;
                Input::StartActivity { scheduled_event_id, attempt, poller: poller(word(1) == "inside") }
            }
            "done" => Input::CompleteActivity {
                token: self.activity_token(word(0))?,
                result: payloads("out"),
                identity: "worker".into(),
            },
            "broken" => Input::FailActivity {
                token: self.activity_token(word(0))?,
                failure: Box::new(application(word(1))),
                heartbeat_details: None,
                identity: "worker".into(),
            },
            "canceled" => Input::CancelActivity {
                token: self.activity_token(word(0))?,
                details: None,
                identity: "worker".into(),
            },
            "beat" => {
                Input::HeartbeatActivity { token: self.activity_token(word(0))?, details: payloads(word(1)) }
            }
            "lose-activity" => {
                let token = self.activity_token(word(0))?;
                Input::ActivityUndelivered {
                    scheduled_event_id: token.scheduled_event_id,
                    attempt: token.attempt,
                }
            }
            other => panic!("unknown verb {other}"),
        })
    }

    fn start(&mut self, options: &str) {
        let mut started = WorkflowExecutionStartedEventAttributes {
            workflow_type: Some(WorkflowType { name: "order".into() }),
            task_queue: Some(TaskQueue { name: "tq".into(), ..Default::default() }),
            workflow_task_timeout: Some(duration(10 * SECOND)),
            attempt: 1,
            workflow_id: "w".into(),
            first_execution_run_id: "run-0".into(),
            ..Default::default()
        };
        let (mut signal, mut eager) = (None, None);
        for option in options.split_whitespace() {
            match option.split_once('=').unwrap_or((option, "")) {
                ("run", value) => started.workflow_run_timeout = Some(duration(span(value))),
                ("all", value) => started.workflow_execution_timeout = Some(duration(span(value))),
                ("delay", value) => started.first_workflow_task_backoff = Some(duration(span(value))),
                ("attempts", value) => {
                    let policy =
                        RetryPolicy { maximum_attempts: value.parse().unwrap(), ..Default::default() };
                    started.retry_policy = Some(crate::engine::retry_policy_with_defaults(policy));
                }
                ("signal", value) => signal = Some(Signal { name: value.into(), ..Default::default() }),
                ("eager", _) => eager = Some(Poller { identity: "worker".into(), ..Default::default() }),
                other => panic!("unknown option {other:?}"),
            }
        }
        let key = RunKey { namespace_id: "ns".into(), workflow_id: "w".into(), run_id: "run-0".into() };
        self.begin(NewRun {
            key,
            started,
            user_metadata: None,
            links: vec![],
            request_id: "req".into(),
            signal,
            signals: Vec::new(),
            signal_request_ids: Vec::new(),
            eager,
            receipts: Vec::new(),
        });
    }

    /// A run that was asked for by another one.
    pub(super) fn begin_child(&mut self, message: &Message) -> Outcome {
        let Body::StartChild(start) = message.body.clone() else { panic!("not a start") };
        let (parent, namespace) = (&message.from, String::from("default"));
        let new = new_child("ns", "child-run".into(), "req".into(), *start, parent, namespace);
        self.begin(new);
        Outcome::Started { run_id: "child-run".into() }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.run.is_some()
    }

    fn begin(&mut self, new: NewRun) {
        let mut effects = Effects::default();
        let mut runs = self.runs;
        let mut id = || {
            runs += 1;
            format!("run-{runs}")
        };
        let mut cx = Context {
            now: Time(self.now),
            epoch: self.epoch,
            task_id: &mut self.task_id,
            new_run_id: &mut id,
            effects: &mut effects,
        };
        let (run, grant) = Execution::start(new, &mut cx);
        self.run = Some(run);
        if let Some(grant) = grant {
            self.granted(&grant.response);
        }
        self.runs = runs;
        self.after(effects, 1);
    }

    pub(super) fn input(&mut self, input: Input) {
        let mut effects = Effects::default();
        let mut runs = self.runs;
        let mut id = || {
            runs += 1;
            format!("run-{runs}")
        };
        let run = self.run.as_mut().expect("a started run");
        let next = run.next_event_id();
        let mut cx = Context {
            now: Time(self.now),
            epoch: self.epoch,
            task_id: &mut self.task_id,
            new_run_id: &mut id,
            effects: &mut effects,
        };
        let output = run.handle(input, &mut cx);
        self.runs = runs;
        match output {
            Ok(Output::Done | Output::QueryAccepted) => {}
            Ok(Output::Stale) => self.log.push_str("  stale\n"),
            Ok(Output::Update(stage)) => {
                let _ = writeln!(self.log, "  update: {}", stage_of(&stage));
            }
            Ok(Output::Received(outcome)) => {
                let _ = writeln!(self.log, "  received: {outcome:?}");
                self.outcome = Some(outcome);
            }
            Ok(Output::WorkflowTask(grant)) => self.granted(&grant.response),
            Ok(Output::Activity(task)) => {
                let token = TaskToken::decode(task.task_token.as_ref()).unwrap();
                let details =
                    task.heartbeat_details.map_or(String::new(), |d| format!(" details={}", text(&d)));
                let _ = writeln!(
                    self.log,
                    "  <- activity {} attempt {}{details}",
                    task.activity_id, task.attempt
                );
                self.activity_tokens.insert(task.activity_id, token);
            }
            Ok(Output::Heartbeat { cancel_requested }) => {
                let _ = writeln!(self.log, "  cancel_requested={cancel_requested}");
            }
            Ok(Output::WorkflowTaskCompleted(completed)) => {
                if let Some(event_id) = completed.reset_to {
                    let _ = writeln!(self.log, "  nothing is left of it: back to {event_id}");
                }
                if let Some(refused) = &completed.refused {
                    let _ = writeln!(self.log, "  refused: {refused}");
                }
                for task in completed.eager_activities {
                    let _ = writeln!(self.log, "  <- eager activity {}", task.activity_id);
                    self.activity_tokens
                        .insert(task.activity_id, TaskToken::decode(task.task_token.as_ref()).unwrap());
                }
                if let Some(grant) = completed.new_task {
                    self.granted(&grant.response);
                }
            }
            Err(error) => {
                let _ = writeln!(self.log, "  error {:?}", error.kind());
            }
        }
        self.after(effects, next);
    }

    /// What the event of the last task's start says, be it written or not.
    pub(super) fn last_start(&self) -> WorkflowTaskStartedEventAttributes {
        let run = self.run.as_ref().expect("a started run");
        let events = run.events(1, i64::MAX).0.into_iter();
        let starts = events.chain(run.unwritten_events(run.next_event_id() + 2));
        let said = starts.filter_map(|event| match event.attributes {
            Some(Attributes::WorkflowTaskStartedEventAttributes(said)) => Some(said),
            _ => None,
        });
        said.last().expect("a task that has started")
    }

    fn granted(
        &mut self,
        task: &durably_proto::temporal::api::workflowservice::v1::PollWorkflowTaskQueueResponse,
    ) {
        let events: Vec<i64> =
            task.history.iter().flat_map(|history| &history.events).map(|event| event.event_id).collect();
        let _ = writeln!(
            self.log,
            "  <- workflow task attempt {} started {} previous {} events {:?}{}",
            task.attempt,
            task.started_event_id,
            task.previous_started_event_id,
            events,
            if task.queries.is_empty() {
                String::new()
            } else {
                format!(" queries {:?}", task.queries.keys().collect::<Vec<_>>())
            },
        );
        for message in &task.messages {
            let Some(SequencingId::EventId(after)) = message.sequencing_id else { panic!("no event id") };
            let _ = writeln!(self.log, "  <- {} after event {after}", message.id);
        }
        self.queries = task.queries.keys().cloned().collect();
        self.workflow_token = Some(TaskToken::decode(task.task_token.as_ref()).unwrap());
    }

    fn after(&mut self, effects: Effects, from: i64) {
        let run = self.run.as_mut().expect("a started run");
        for event in run.events(from, i64::MAX).0 {
            let _ = writeln!(self.log, "  {}", brief(&event));
        }
        for dispatch in effects.dispatch {
            let _ = match dispatch {
                Dispatch::WorkflowTask { queue, sticky, attempt, .. } => {
                    writeln!(self.log, "  -> workflow task to {} attempt {attempt}", sticky.unwrap_or(queue))
                }
                Dispatch::Activity { queue, scheduled_event_id, attempt } => {
                    writeln!(self.log, "  -> activity {scheduled_event_id} to {queue} attempt {attempt}")
                }
            };
        }
        for message in effects.messages {
            let _ =
                writeln!(self.log, "  -> message {} to {}", message.from.event_id, message.to.workflow_id);
            self.messages.push(message);
        }
        for (id, came) in effects.updates {
            let came = came.map_or_else(|error| format!("{:?}", error.kind()), |stage| stage_of(&stage));
            let _ = writeln!(self.log, "  -> update {id}: {came}");
        }
        for query in effects.direct_queries {
            let _ = writeln!(self.log, "  -> query {} to {}", query.id, query.sticky.unwrap_or(query.queue));
        }
        for (id, answer) in effects.answers {
            let _ = writeln!(self.log, "  answer {id}: {}", if answer.is_ok() { "ok" } else { "error" });
        }
        if let Some(new) = effects.successor {
            let backoff = new.started.first_workflow_task_backoff.as_ref().map_or(0, |span| span.seconds);
            let _ = writeln!(
                self.log,
                "  => {} attempt {} backoff {backoff}s {:?}",
                new.key.run_id,
                new.started.attempt,
                new.started.initiator(),
            );
            self.successor = Some(new);
        }
        if effects.durable {
            let commit = run.take_commit();
            self.stored.extend(commit.events.map(|(_, batch)| batch));
            self.state = commit.state;
            let bytes = commit.rows.iter().filter_map(|row| row.data.as_ref().map(bytes::Bytes::len));
            self.last_written = (commit.rows.len(), self.state.len() + bytes.sum::<usize>());
            for row in commit.rows {
                match row.data {
                    Some(data) => self.rows.insert((row.kind, row.id), data),
                    None => self.rows.remove(&(row.kind, row.id)),
                };
            }
        }
    }

    /// Reads the run back from what was stored, as a new incarnation of the server does.
    fn crash(&mut self) {
        let key = self.run.take().expect("a started run").key().clone();
        let mut events = Vec::new();
        for batch in &self.stored {
            event::collect(batch.clone(), 0, i64::MAX, &mut events).unwrap();
        }
        let fetch = |ids: &BTreeSet<i64>| -> Result<Vec<HistoryEvent>, LoadError> {
            Ok(events.into_iter().filter(|event| ids.contains(&event.event_id)).collect())
        };
        let rows = self.rows.iter();
        let rows: Vec<_> = rows
            .map(|((kind, id), data)| StateRow { kind: *kind, id: *id, data: Some(data.clone()) })
            .collect();
        self.run = Some(Execution::load(key, &self.state, &rows, fetch).unwrap());
        self.epoch += 1;
        self.input(Input::Resume);
        let run = self.run.as_ref().unwrap();
        let (dispatch, messages) = (run.pending_dispatch(Time(self.now)), run.pending_messages());
        let from = run.next_event_id();
        self.after(Effects { dispatch, messages, ..Default::default() }, from);
    }

    fn scheduled_task(&self) -> Option<(i64, i32)> {
        use crate::engine::state::WorkflowTask;
        match self.run.as_ref()?.state.workflow_task.as_ref()? {
            WorkflowTask::AwaitingPoller(task) => Some((task.scheduled_event_id, task.attempt)),
            WorkflowTask::AwaitingCompletion(running) => {
                Some((running.scheduled.scheduled_event_id, running.scheduled.attempt))
            }
        }
    }

    fn waiting_activity(&self, id: &str) -> Option<(i64, i32)> {
        let activities = &self.run.as_ref()?.pending.activities;
        activities
            .values()
            .find(|a| a.spec.activity_id == id)
            .map(|a| (a.state.scheduled_event_id, a.state.attempt))
    }

    fn activity_token(&self, id: &str) -> Option<TaskToken> {
        self.activity_tokens.get(id).cloned()
    }

    /// What state the two machines are in, for the tables.
    pub(super) fn machines(&self) -> String {
        use crate::engine::state::{ActivityPhase, WorkflowTask};
        let Some(run) = &self.run else { return "none".into() };
        let task = match &run.state.workflow_task {
            None => "no task".to_owned(),
            Some(WorkflowTask::AwaitingPoller(task)) => {
                format!("task awaits poller, attempt {}", task.attempt)
            }
            Some(WorkflowTask::AwaitingCompletion(task)) => {
                format!("task awaits completion, attempt {}", task.scheduled.attempt)
            }
        };
        let activities = run.pending.activities.values().map(|activity| {
            let phase = match &activity.state.phase {
                Some(ActivityPhase::AwaitingPoller(_)) => "awaits poller",
                Some(ActivityPhase::AwaitingResult(_)) => "awaits result",
                Some(ActivityPhase::AwaitingRetry(_)) => "awaits retry",
                None => "has no phase",
            };
            format!("; {} {phase}, attempt {}", activity.spec.activity_id, activity.state.attempt)
        });
        format!("{:?}; {task}{}", run.status(), activities.collect::<String>())
    }

    fn completion(&self, rest: &str) -> RespondWorkflowTaskCompletedRequest {
        let mut request =
            RespondWorkflowTaskCompletedRequest { identity: "worker".into(), ..Default::default() };
        for part in rest.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let words: Vec<&str> = part.split_whitespace().collect();
            let word = |index: usize| words.get(index).copied().unwrap_or_default();
            match word(0) {
                "sticky" => {
                    request.sticky_attributes = Some(StickyExecutionAttributes {
                        worker_task_queue: Some(TaskQueue { name: "sticky".into(), ..Default::default() }),
                        schedule_to_start_timeout: Some(duration(5 * SECOND)),
                    });
                }
                "heartbeat" => {
                    request.force_create_new_workflow_task = true;
                    request.return_new_workflow_task = true;
                }
                "return-new" => request.return_new_workflow_task = true,
                "can-forget" => {
                    request.capabilities =
                        Some(Capabilities { discard_speculative_workflow_task_with_events: true });
                }
                "accept" | "bare-accept" | "answer" | "reject" => {
                    let message = reply(word(0), word(1));
                    // Official workers name rejections in no command.
                    if word(0) != "reject" {
                        request.commands.push(protocol_message(&message.id));
                    }
                    request.messages.push(message);
                }
                "answers" => {
                    let answer = WorkflowQueryResult {
                        result_type: QueryResultType::Answered as i32,
                        ..Default::default()
                    };
                    request.query_results =
                        self.queries.iter().map(|id| (id.clone(), answer.clone())).collect();
                }
                _ => request.commands.push(command(&words)),
            }
        }
        request
    }
}

pub(super) fn application(kind: &str) -> Failure {
    let info =
        ApplicationFailureInfo { r#type: kind.into(), non_retryable: kind == "fatal", ..Default::default() };
    Failure {
        message: "broken".into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}

fn payloads(text: &str) -> Option<Payloads> {
    let payload = Payload { data: text.as_bytes().to_vec().into(), ..Default::default() };
    (!text.is_empty()).then(|| Payloads { payloads: vec![payload] })
}

fn text(payloads: &Payloads) -> String {
    payloads.payloads.iter().map(|payload| String::from_utf8_lossy(&payload.data).into_owned()).collect()
}

/// Nanoseconds of `5s`, `3m` or `2h`.
pub(super) fn span(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<i64>().unwrap()
        * SECOND
        * match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => panic!("unit of {text}"),
        }
}
