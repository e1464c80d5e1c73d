//! Scripts: a history, and workflow code as rules from jobs to commands.
//!
//! ```text
//! # What it shows.
//! history
//!   started Order
//!   task
//! code
//!   initialize -> schedule 1 charge; timer 1
//!   activity 1 completed -> complete
//! ask
//!   2 status          (the second live task carries the query "status")
//!   end status        (a query task at the end)
//! updates             (that the code rejects; the others are in the history)
//!   2 rename u1 x     (comes with the second live task)
//!   after 2 rename u2 (comes with a task of its own behind that, which the server drops)
//! only replay         (the code is not what wrote the history)
//! by event id         (the history is of this dialect)
//! nondeterminism fails (the run instead of its task)
//!   all               (of all types; or: `type Order`, and: `message TEXT`)
//! ```

use std::sync::Arc;

use durably_core::workflow::RunOptions;
use durably_proto::durably::core::v1::activity_resolution::Status;
use durably_proto::durably::core::v1::signal_external_workflow::Target;
use durably_proto::durably::core::v1::update_answer::Answer;
use durably_proto::durably::core::v1::workflow_command::Command;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::*;
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::history::v1::HistoryEvent;
use prost_types::Duration;

use super::events::{payload, push_line};
use super::text;

#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) history: Vec<HistoryEvent>,
    pub(crate) code: Code,
    /// Task number (0: a query task at the end) and query type.
    pub(crate) queries: Vec<(usize, String)>,
    pub(crate) updates: Vec<Asked>,
    pub(crate) only_replay: bool,
    pub(crate) options: RunOptions,
}

/// An update that leaves no trace.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) task: usize,
    /// It comes behind the task.
    pub(crate) is_after: bool,
    /// Name, id, and argument if there is one.
    pub(crate) words: Vec<String>,
}

/// Job in words, commands in words, line of the script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code(Vec<(String, String, usize)>);

pub(crate) fn parse(text: &str) -> Script {
    let mut script = Script::default();
    let mut section = "";
    for (number, line) in text.lines().enumerate() {
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            script.only_replay |= words == "only replay";
            if words == "by event id" {
                script.options.dialect = HistoryDialect::ByEventId;
            }
            section = words;
            continue;
        }
        match section {
            "history" => push_line(&mut script.history, words),
            "code" => {
                let (job, commands) = words.split_once("->").expect("a rule is `job -> commands`");
                script.code.0.push((job.trim().to_owned(), commands.trim().to_owned(), number + 1));
            }
            "ask" => {
                let (task, query) = words.split_once(' ').expect("`task query`");
                script.queries.push((task.parse().unwrap_or(0), query.to_owned()));
            }
            "updates" => {
                let (is_after, rest) = match words.strip_prefix("after ") {
                    Some(rest) => (true, rest),
                    None => (false, words),
                };
                let mut words = rest.split_whitespace().map(str::to_owned);
                let task = words.next().and_then(|task| task.parse().ok()).expect("`task name id`");
                script.updates.push(Asked { task, is_after, words: words.collect() });
            }
            "nondeterminism fails" => fail_by_nondeterminism(&mut script.options, words),
            other => panic!("line {}: not in a section: {other}", number + 1),
        }
    }
    script
}

fn fail_by_nondeterminism(options: &mut RunOptions, words: &str) {
    let policy = Arc::make_mut(&mut options.nondeterminism);
    match words.split_once(' ') {
        Some(("type", name)) => _ = policy.fails_types.insert(name.to_owned()),
        Some(("spare", name)) => _ = policy.spares_types.insert(name.to_owned()),
        Some(("message", message)) => message.clone_into(&mut policy.message),
        _ => policy.fails_all = words == "all",
    }
}

impl Code {
    /// What the code answers to an activation.
    pub(crate) fn answer(&self, activation: &WorkflowActivation) -> WorkflowCompletion {
        let run_id = activation.run_id.clone();
        let mut success = ActivationSuccess::default();
        for job in activation.jobs.iter().filter_map(|job| job.job.as_ref()) {
            if let Job::Query(query) = job {
                success.commands.push(answer_query(query));
                continue;
            }
            let words = job_words(job);
            let rules = self.0.iter().filter(|(pattern, _, _)| *pattern == words);
            for (_, commands, line) in rules {
                for command in commands.split(';').map(str::trim).filter(|command| !command.is_empty()) {
                    if let Some(message) = command.strip_prefix("raise ") {
                        let failure = Failure { message: message.to_owned(), ..Failure::default() };
                        let nondeterminism = message.contains("nondeterminism");
                        let failure = ActivationFailure { failure: Some(failure), nondeterminism };
                        let status = Some(workflow_completion::Status::Failure(failure));
                        return WorkflowCompletion { run_id, status };
                    }
                    if let Some(flag) = command.strip_prefix("use-flag ") {
                        success.used_flags.push(flag.parse().unwrap());
                        continue;
                    }
                    let command = Some(command_of(command));
                    let location = format!("order.py:{line}");
                    success.commands.push(WorkflowCommand { command, location, user_metadata: None });
                }
            }
        }
        WorkflowCompletion { run_id, status: Some(workflow_completion::Status::Success(success)) }
    }
}

fn answer_query(query: &QueryReceived) -> WorkflowCommand {
    let answer = Some(query_answer::Answer::Succeeded(payload(&format!("{}!", query.name))));
    let command = Command::QueryAnswer(QueryAnswer { id: query.id.clone(), answer });
    WorkflowCommand { command: Some(command), ..WorkflowCommand::default() }
}

fn external(workflow_id: &str) -> ExternalWorkflow {
    ExternalWorkflow { workflow_id: workflow_id.to_owned(), ..ExternalWorkflow::default() }
}

fn failure(words: &[&str]) -> Failure {
    Failure { message: words.join(" "), ..Failure::default() }
}

fn update_answer(id: &str, answer: Answer) -> Command {
    Command::UpdateAnswer(UpdateAnswer { id: id.to_owned(), answer: Some(answer) })
}

/// A job as rules name it.
fn job_words(job: &Job) -> String {
    match job {
        Job::Initialize(_) => "initialize".to_owned(),
        Job::FireTimer(job) => format!("timer {}", job.seq),
        Job::ResolveActivity(job) => {
            let how = match job.result.as_ref().and_then(|result| result.status.as_ref()) {
                Some(Status::Completed(_)) => "completed",
                Some(Status::Failed(_)) => "failed",
                Some(Status::Cancelled(_)) => "cancelled",
                None => "nothing",
            };
            format!("activity {} {how}", job.seq)
        }
        Job::Signal(job) => format!("signal {}", job.name),
        Job::Update(job) => format!("update {} {}", job.name, job.id),
        Job::Cancel(_) => "cancel".to_owned(),
        Job::UpdateRandomSeed(_) => "seed".to_owned(),
        Job::Query(_) | Job::Evict(_) => String::new(),
        other => text::about_others(other).0,
    }
}

/// `schedule SEQ TYPE [wait|abandon]`, `cancel-activity SEQ`, `timer SEQ`, `cancel-timer SEQ`, `complete`, `fail TEXT`,
/// `cancelled`, `continue-as-new [TYPE]`, `answer`, `nothing`; `child SEQ TYPE ID|- [abandon|try|wait|requested]`,
/// `accept ID`, `reject ID TEXT`, `succeed ID [VALUE]`, `fail-update ID TEXT`; `cancel-child SEQ [REASON]`, `signal SEQ NAME ID`, `signal-child SEQ NAME ID`, `cancel-signal SEQ`, `cancel-external SEQ ID`.
fn command_of(text: &str) -> Command {
    let words: Vec<&str> = text.split_whitespace().collect();
    let seq = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let second = Some(Duration { seconds: 1, nanos: 0 });
    match words[0] {
        "schedule" => Command::ScheduleActivity(ScheduleActivity {
            seq,
            activity_type: words[2].to_owned(),
            start_to_close_timeout: second,
            cancellation_type: match words.get(3) {
                Some(&"wait") => ActivityCancellationType::WaitCancellationCompleted,
                Some(&"abandon") => ActivityCancellationType::Abandon,
                _ => ActivityCancellationType::TryCancel,
            } as i32,
            ..ScheduleActivity::default()
        }),
        "cancel-activity" => Command::RequestCancelActivity(RequestCancelActivity { seq }),
        "timer" => Command::StartTimer(StartTimer { seq, start_to_fire_timeout: second }),
        "cancel-timer" => Command::CancelTimer(CancelTimer { seq }),
        "complete" => Command::CompleteWorkflow(CompleteWorkflow { result: None }),
        "fail" => Command::FailWorkflow(FailWorkflow {
            failure: Some(Failure { message: words[1..].join(" "), ..Failure::default() }),
        }),
        "cancelled" => Command::CancelWorkflow(CancelWorkflow { details: None }),
        "continue-as-new" => Command::ContinueAsNew(ContinueAsNew {
            workflow_type: words.get(1).copied().unwrap_or_default().to_owned(),
            ..ContinueAsNew::default()
        }),
        "child" => Command::StartChildWorkflow(StartChildWorkflow {
            seq,
            workflow_type: words[2].to_owned(),
            workflow_id: words[3].trim_matches('-').to_owned(),
            cancellation_type: match words.get(4) {
                Some(&"abandon") => ChildWorkflowCancellationType::Abandon,
                Some(&"try") => ChildWorkflowCancellationType::TryCancel,
                Some(&"requested") => ChildWorkflowCancellationType::WaitCancellationRequested,
                _ => ChildWorkflowCancellationType::WaitCancellationCompleted,
            } as i32,
            ..StartChildWorkflow::default()
        }),
        "cancel-child" => {
            Command::CancelChildWorkflow(CancelChildWorkflow { seq, reason: words[2..].join(" ") })
        }
        "signal" | "signal-child" => Command::SignalExternalWorkflow(SignalExternalWorkflow {
            seq,
            signal_name: words[2].to_owned(),
            target: Some(if words[0] == "signal" {
                Target::Workflow(external(words[3]))
            } else {
                Target::ChildWorkflowId(words[3].to_owned())
            }),
            ..SignalExternalWorkflow::default()
        }),
        "cancel-signal" => Command::CancelSignalExternalWorkflow(CancelSignalExternalWorkflow { seq }),
        "cancel-external" => Command::RequestCancelExternalWorkflow(RequestCancelExternalWorkflow {
            seq,
            workflow: Some(external(words[2])),
            reason: String::new(),
        }),
        "accept" => update_answer(words[1], Answer::Accepted(UpdateAccepted {})),
        "reject" => update_answer(words[1], Answer::Rejected(failure(&words[2..]))),
        "succeed" => {
            update_answer(words[1], Answer::Succeeded(payload(words.get(2).copied().unwrap_or_default())))
        }
        "fail-update" => update_answer(words[1], Answer::Failed(failure(&words[2..]))),
        "answer" => Command::QueryAnswer(QueryAnswer::default()),
        other => panic!("no such command: {other}"),
    }
}
