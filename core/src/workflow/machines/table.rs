//! Exhaustive (state × event) tables, written as snapshots: diagram, coverage and regression test in one.

use std::fmt::{Debug, Display};

use super::*;

/// One line per pair: what the machine becomes and what it wants done, or the mismatch.
pub(crate) fn render<M: Clone + Debug, E: Clone + Display>(
    states: &[M],
    events: &[E],
    handle: impl Fn(M, E, &mut Effects) -> Result<M, Box<Mismatch>>,
) -> String {
    let mut lines = Vec::new();
    for state in states {
        lines.push(format!("{state:?}"));
        for event in events {
            let mut effects = Effects { compare_ids: true, ..Effects::default() };
            let outcome = match handle(state.clone(), event.clone(), &mut effects) {
                Ok(next) => {
                    let mut parts = vec![format!("{next:?}")];
                    parts.extend(effects.jobs.iter().map(|job| format!("job {}", brief(job))));
                    parts.extend(effects.messages.iter().map(|message| format!("message {}", message.id)));
                    let begun = effects.begun.iter().map(|(_, command)| command);
                    let commands = effects.commands.iter().chain(begun);
                    parts.extend(commands.map(|command| format!("command {command:?}")));
                    parts.join("; ")
                }
                Err(mismatch) => format!("mismatch ({:?})", mismatch.change),
            };
            lines.push(format!("    {event} -> {outcome}"));
        }
    }
    lines.join("\n")
}

fn brief(job: &Job) -> String {
    use durably_proto::durably::core::v1::activity_resolution::Status;
    use durably_proto::durably::core::v1::child_workflow_resolution::Status as ChildStatus;
    use durably_proto::durably::core::v1::resolve_child_workflow_start::Status as StartStatus;
    match job {
        Job::ResolveActivity(job) => {
            let status = job.result.as_ref().and_then(|result| result.status.as_ref());
            let status = match status {
                Some(Status::Completed(_)) => "completed",
                Some(Status::Failed(_)) => "failed",
                Some(Status::Cancelled(_)) => "cancelled",
                None => "nothing",
            };
            format!("resolve activity {} {status}", job.seq)
        }
        Job::FireTimer(job) => format!("fire timer {}", job.seq),
        Job::ResolveChildWorkflowStart(job) => {
            let status = match job.status {
                Some(StartStatus::Started(_)) => "started",
                Some(StartStatus::Failed(_)) => "failed",
                Some(StartStatus::Cancelled(_)) => "cancelled",
                None => "nothing",
            };
            format!("resolve start of child {} {status}", job.seq)
        }
        Job::ResolveChildWorkflow(job) => {
            let status = match job.result.as_ref().and_then(|result| result.status.as_ref()) {
                Some(ChildStatus::Completed(_)) => "completed",
                Some(ChildStatus::Failed(_)) => "failed",
                Some(ChildStatus::Cancelled(_)) => "cancelled",
                None => "nothing",
            };
            format!("resolve child {} {status}", job.seq)
        }
        other => format!("{other:?}"),
    }
}
