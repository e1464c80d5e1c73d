//! Jobs, commands and steps as text, in the words that scripts use.

use std::fmt::Write as _;

use durably_core::workflow::{OutgoingMessage, Step};
use durably_proto::durably::core::v1::activity_resolution::Status;
use durably_proto::durably::core::v1::child_workflow_resolution::Status as ChildStatus;
use durably_proto::durably::core::v1::resolve_child_workflow_start::Status as StartStatus;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{WorkflowActivation, evict};
use durably_proto::temporal::api::command::v1::Command;
use durably_proto::temporal::api::command::v1::command::Attributes;
use durably_proto::temporal::api::common::v1::Payload;
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::update::v1::outcome::Value;
use durably_proto::temporal::api::update::v1::{Acceptance, Rejection, Response};
use prost::Message as _;

fn data(payload: Option<&Payload>) -> String {
    payload.map(|payload| format!(" {}", String::from_utf8_lossy(&payload.data))).unwrap_or_default()
}

/// A failure and its causes.
fn chain(failure: &Failure) -> String {
    match &failure.cause {
        Some(cause) => format!("{}: {}", failure.message, chain(cause)),
        None => failure.message.clone(),
    }
}

pub(crate) fn job(job: &Job) -> String {
    match job {
        Job::Initialize(job) => format!("initialize {} seed {:016x}", job.workflow_type, job.randomness_seed),
        Job::FireTimer(job) => format!("timer {}", job.seq),
        Job::ResolveActivity(job) => match job.result.as_ref().and_then(|result| result.status.as_ref()) {
            Some(Status::Completed(success)) => {
                format!("activity {} completed{}", job.seq, data(success.result.as_ref()))
            }
            Some(Status::Failed(failure)) => format!("activity {} failed ({})", job.seq, chain(failure)),
            Some(Status::Cancelled(failure)) => {
                format!("activity {} cancelled ({})", job.seq, chain(failure))
            }
            None => format!("activity {} nothing", job.seq),
        },
        Job::Signal(job) => format!("signal {}{}", job.name, data(job.arguments.first())),
        Job::Update(job) => {
            let again = if job.run_validator { "" } else { " (accepted before)" };
            format!("update {} {}{}{again}", job.name, job.id, data(job.arguments.first()))
        }
        Job::Query(job) => format!("query {} {}", if job.id.is_empty() { "-" } else { &job.id }, job.name),
        Job::Cancel(job) => format!("cancel {}", job.reason).trim().to_owned(),
        Job::UpdateRandomSeed(job) => format!("seed {:016x}", job.randomness_seed),
        Job::Evict(job) => {
            format!("evict {} {}", job.reason().as_str_name(), first_line(&job.message)).trim().to_owned()
        }
        other => {
            let (words, more) = about_others(other);
            words + &more
        }
    }
}

/// What became of children, and of what was sent to other runs: as rules name it, and more about it.
pub(crate) fn about_others(job: &Job) -> (String, String) {
    let because = |failure: &Failure| format!(" ({})", chain(failure));
    match job {
        Job::ResolveChildWorkflowStart(job) => {
            let (how, more) = match job.status.as_ref().expect("a start has an outcome") {
                StartStatus::Started(started) => {
                    ("started", format!(" {} run {}", started.workflow_id, started.run_id))
                }
                StartStatus::Failed(failed) => ("start-failed", format!(" {:?}", failed.cause())),
                StartStatus::Cancelled(failure) => ("start-cancelled", because(failure)),
            };
            (format!("child {} {how}", job.seq), more)
        }
        Job::ResolveChildWorkflow(job) => {
            let status = job.result.as_ref().and_then(|result| result.status.as_ref());
            let (how, more) = match status.expect("an end has an outcome") {
                ChildStatus::Completed(success) => ("completed", data(success.result.as_ref())),
                ChildStatus::Failed(failure) => ("failed", because(failure)),
                ChildStatus::Cancelled(failure) => ("cancelled", because(failure)),
            };
            (format!("child {} {how}", job.seq), more)
        }
        Job::ResolveSignalExternalWorkflow(job) => (
            format!("sent {} {}", job.seq, if job.failure.is_none() { "delivered" } else { "failed" }),
            job.failure.as_ref().map(because).unwrap_or_default(),
        ),
        Job::ResolveRequestCancelExternalWorkflow(job) => (
            format!("asked {} {}", job.seq, if job.failure.is_none() { "delivered" } else { "failed" }),
            job.failure.as_ref().map(because).unwrap_or_default(),
        ),
        other => panic!("not about other runs: {other:?}"),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

pub(crate) fn activation(activation: &WorkflowActivation) -> String {
    let jobs: Vec<String> = activation.jobs.iter().filter_map(|each| each.job.as_ref()).map(job).collect();
    let time = activation.timestamp.map_or(0, |time| time.seconds);
    let mut notes = Vec::new();
    if activation.is_replaying {
        notes.push("replaying".to_owned());
    }
    if activation.continue_as_new_suggested {
        notes.push("continue-as-new suggested".to_owned());
    }
    if !activation.available_flags.is_empty() {
        notes.push(format!("flags {:?}", activation.available_flags));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    format!("> {}s, {} events{notes}: {}", time, activation.history_length, jobs.join("; "))
}

#[expect(deprecated, reason = "Go's official SDK finds by `control` what it has sent")]
pub(crate) fn command(command: &Command) -> String {
    match command.attributes.as_ref().expect("commands have attributes") {
        Attributes::ScheduleActivityTaskCommandAttributes(a) => format!(
            "ScheduleActivityTask {} {} on {}",
            a.activity_id,
            a.activity_type.as_ref().map_or("?", |activity_type| &activity_type.name),
            a.task_queue.as_ref().map_or("?", |queue| &queue.name)
        ),
        Attributes::RequestCancelActivityTaskCommandAttributes(a) => {
            format!("RequestCancelActivityTask @{}", a.scheduled_event_id)
        }
        Attributes::StartTimerCommandAttributes(a) => format!("StartTimer {}", a.timer_id),
        Attributes::CancelTimerCommandAttributes(a) => format!("CancelTimer {}", a.timer_id),
        Attributes::CompleteWorkflowExecutionCommandAttributes(_) => "CompleteWorkflowExecution".to_owned(),
        Attributes::FailWorkflowExecutionCommandAttributes(a) => {
            format!("FailWorkflowExecution: {}", a.failure.as_ref().map(chain).unwrap_or_default())
        }
        Attributes::CancelWorkflowExecutionCommandAttributes(_) => "CancelWorkflowExecution".to_owned(),
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(a) => format!(
            "ContinueAsNewWorkflowExecution {}",
            a.workflow_type.as_ref().map_or("?", |workflow_type| &workflow_type.name)
        ),
        Attributes::StartChildWorkflowExecutionCommandAttributes(a) => format!(
            "StartChildWorkflowExecution {} {} on {}",
            a.workflow_id,
            a.workflow_type.as_ref().map_or("?", |workflow_type| &workflow_type.name),
            a.task_queue.as_ref().map_or("?", |queue| &queue.name)
        ),
        Attributes::SignalExternalWorkflowExecutionCommandAttributes(a) => format!(
            "SignalExternalWorkflowExecution {} to {}{}{}",
            a.signal_name,
            a.execution.as_ref().map_or("?", |execution| &execution.workflow_id),
            only_child(a.child_workflow_only),
            controlled(&a.control)
        ),
        Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(a) => format!(
            "RequestCancelExternalWorkflowExecution {}{}{}{}",
            a.workflow_id,
            only_child(a.child_workflow_only),
            controlled(&a.control),
            if a.reason.is_empty() { String::new() } else { format!(": {}", a.reason) }
        ),
        Attributes::ProtocolMessageCommandAttributes(a) => format!("ProtocolMessage {}", a.message_id),
        other => format!("{other:?}"),
    }
}

/// An answer to an update.
pub(crate) fn message(message: &OutgoingMessage) -> String {
    let body = message.body.as_ref().expect("messages have a body");
    let value = &body.value[..];
    let what = match body.type_url.rsplit('.').next() {
        Some("Acceptance") => {
            let accepted = Acceptance::decode(value).expect("it is an acceptance");
            assert!(accepted.accepted_request.is_some(), "the server may have forgotten the request");
            format!(
                "accepts {} @{}",
                accepted.accepted_request_message_id, accepted.accepted_request_sequencing_event_id
            )
        }
        Some("Rejection") => {
            let rejected = Rejection::decode(value).expect("it is a rejection");
            assert!(rejected.rejected_request.is_some(), "the server may have forgotten the request");
            let failure = rejected.failure.as_ref().map(chain).unwrap_or_default();
            format!(
                "rejects {} @{}: {failure}",
                rejected.rejected_request_message_id, rejected.rejected_request_sequencing_event_id
            )
        }
        Some("Response") => {
            match Response::decode(value).expect("it is a response").outcome.and_then(|outcome| outcome.value)
            {
                Some(Value::Success(result)) => format!("succeeds{}", data(result.payloads.first())),
                Some(Value::Failure(failure)) => format!("fails: {}", chain(&failure)),
                None => "comes to nothing".to_owned(),
            }
        }
        other => format!("{other:?}"),
    };
    format!("{} {what}", message.id)
}

fn only_child(is_only_child: bool) -> &'static str {
    if is_only_child { ", a child" } else { "" }
}

fn controlled(control: &str) -> String {
    if control.is_empty() { String::new() } else { format!(", control {control}") }
}

pub(crate) fn commands(commands: &[Command]) -> String {
    if commands.is_empty() {
        return "nothing".to_owned();
    }
    commands.iter().map(command).collect::<Vec<_>>().join("; ")
}

pub(crate) fn step(step: &Step) -> String {
    match step {
        Step::Activate(each) => activation(each),
        Step::NeedHistory { next_page_token } => {
            format!("= fetch history {:?}", String::from_utf8_lossy(next_page_token))
        }
        Step::RespondCompleted(task) => {
            let mut text = format!("= completed: {}", commands(&task.commands));
            if let Some(metadata) = &task.sdk_metadata {
                let _ = write!(
                    text,
                    " (core flags {:?}, SDK flags {:?})",
                    metadata.core_used_flags, metadata.lang_used_flags
                );
            }
            for (id, result) in &task.query_results {
                let answer = result.answer.as_ref().and_then(|answer| answer.payloads.first());
                let _ = write!(text, "\n  query {id}:{}{}", data(answer), result.error_message);
            }
            for each in &task.messages {
                let _ = write!(text, "\n  message {}", message(each));
            }
            if task.run_ended {
                text.push_str("\n  the run has ended");
            }
            text
        }
        Step::FailTask(task) => format!(
            "= task failed, {}, attempt {}:\n{}",
            task.cause.as_str_name(),
            task.attempt,
            indent(&task.failure.message)
        ),
        Step::AnswerQuery(reply) => match &reply.result {
            Ok(payloads) => format!("= query answered:{}", data(payloads.payloads.first())),
            Err(failure) => format!("= query failed: {}", failure.message),
        },
        Step::Replayed(result) => match &result.error {
            None => "= replayed".to_owned(),
            Some(error) => format!("= replay failed:\n{}", indent(&error.message)),
        },
        Step::Evicted { reason, .. } => format!("= evicted, {}", evict::Reason::as_str_name(reason)),
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}
