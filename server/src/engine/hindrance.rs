//! What keeps a run from going on unless somebody mends its code or starts a worker. Nothing follows from it for the run;
//! a test environment tells those who wait (decision 090).

use durably_proto::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::WorkflowTaskFailedCause,
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
};

use super::{
    Execution,
    activity::Activity,
    children::Child,
    pending::{Item as _, Stage},
    state::{ActivityPhase, WorkflowTask},
    time::{MILLISECOND, Nanos, Time, positive},
};

/// So many failed attempts, and the right to fail for ever, show that an activity does.
const TRIED_ENOUGH: i32 = 100;
/// Twice as long as it may take until somebody looks who waits in vain.
const PAUSE: Nanos = 20 * MILLISECOND;
/// What is said of a failure, in bytes: its message, and where it happened.
const MESSAGE_BYTES: usize = 1_000;
const STACK_BYTES: usize = 1_200;

/// Why a run makes no progress, as far as the run itself can tell. The texts are what the worker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Its code fails its workflow task.
    TaskFails { said: String },
    /// The workers of the queue don't have an activity that it waits for.
    ActivityUnknown { activity: String, said: String },
    /// It waits for nothing but an activity that fails each time and may do so for ever.
    ActivityFails { activity: String, attempts: i32, said: String },
}

/// A task that must be taken by a worker before the run can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedTask<'a> {
    pub queue: &'a str,
    /// The activity's type; `None` for the workflow task.
    pub activity: Option<&'a str>,
}

impl Execution {
    /// What is wrong with the run's code or its workers'.
    pub fn hindrance(&self) -> Option<Hindrance> {
        if !self.is_open() {
            return None;
        }
        if let Some(said) = &self.task_failure {
            return Some(Hindrance::TaskFails { said: said.to_string() });
        }
        let activities = || self.pending.activities.values();
        if let Some((activity, failure)) = activities().find_map(unknown) {
            let activity = type_of(activity).to_owned();
            return Some(Hindrance::ActivityUnknown { activity, said: failure.message.clone() });
        }
        let all_fail = self.awaits_only_activities() && activities().all(fails_for_ever);
        let activity = activities().next().filter(|_| all_fail)?;
        Some(Hindrance::ActivityFails {
            activity: type_of(activity).to_owned(),
            attempts: activity.state.attempt - 1,
            said: text(activity.state.last_failure.as_ref()),
        })
    }

    fn awaits_only_activities(&self) -> bool {
        self.state.workflow_task.is_none() && self.pending.is_only_activities()
    }

    /// Whether it waits for nothing but activities that come to nothing; so does the code of its updates, then.
    pub fn awaits_only_hindered_activities(&self) -> bool {
        let is_hindered = |activity: &Activity| unknown(activity).is_some() || fails_for_ever(activity);
        self.awaits_only_activities() && self.pending.activities.values().all(is_hindered)
    }

    /// The tasks of which one must find a worker before anything can happen in the run; none if it may go on without.
    pub fn awaits_workers(&self, now: Time) -> Vec<AwaitedTask<'_>> {
        if !self.is_open() || self.pending.outbox.len() > 0 {
            return Vec::new();
        }
        match &self.state.workflow_task {
            Some(WorkflowTask::AwaitingPoller(task)) if task.not_before.is_none_or(|time| time <= now.0) => {
                vec![AwaitedTask { queue: self.task_queue(), activity: None }]
            }
            Some(_) => Vec::new(),
            // A child may go on, and the run with it.
            None if self.pending.children.len() > 0 => Vec::new(),
            None if self.pending.activities.values().any(|activity| activity.stage() != Stage::Offered) => {
                Vec::new()
            }
            None => self.pending.activities.values().map(awaited).collect(),
        }
    }

    /// The children that it waits for; none if something else may come first.
    pub fn awaits_children(&self) -> Vec<WorkflowExecution> {
        let is_all = self.state.workflow_task.is_none() && self.pending.is_only_children();
        if is_all { self.children() } else { Vec::new() }
    }

    /// Its open children that have started, each by its workflow id and first run.
    pub fn children(&self) -> Vec<WorkflowExecution> {
        let started = |child: &&Child| !child.run_id.is_empty();
        self.pending.children.values().filter(started).map(Child::execution).collect()
    }

    /// A workflow task of it could be taken now.
    pub fn awaits_workflow_worker(&self, now: Time) -> bool {
        self.awaits_workers(now).first().is_some_and(|task| task.activity.is_none())
    }

    /// Its last workflow task has failed by its code.
    pub fn fails(&self) -> bool {
        self.is_open() && self.task_failure.is_some()
    }
}

fn awaited(activity: &Activity) -> AwaitedTask<'_> {
    let queue = activity.spec.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
    AwaitedTask { queue, activity: Some(type_of(activity)) }
}

fn type_of(activity: &Activity) -> &str {
    activity.spec.activity_type.as_ref().map_or("", |kind| kind.name.as_str())
}

/// The activity's last failure, if it says that the worker doesn't know the activity.
fn unknown(activity: &Activity) -> Option<(&Activity, &Failure)> {
    let failure = activity.state.last_failure.as_ref()?;
    is_unknown_activity(failure, type_of(activity)).then_some((activity, failure))
}

/// SDKs have types of their own for it, which a user's errors may have too: only together with the words and with the
/// activity's name they say so.
fn is_unknown_activity(failure: &Failure, activity: &str) -> bool {
    let Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo { r#type, .. })) =
        &failure.failure_info
    else {
        return false;
    };
    let words = match r#type.as_str() {
        "NotFoundError" => "is not registered on this",
        "ActivityNotRegisteredError" => "unable to find activity",
        _ => return false,
    };
    failure.message.contains(words) && failure.message.contains(activity)
}

fn fails_for_ever(activity: &Activity) -> bool {
    let maximum = activity.spec.retry_policy.as_ref().map_or(0, |policy| policy.maximum_attempts);
    let is_endless = maximum == 0 && positive(activity.spec.schedule_to_close_timeout.as_ref()).is_none();
    is_endless
        && activity.state.attempt > TRIED_ENOUGH
        && matches!(activity.state.phase, Some(ActivityPhase::AwaitingRetry(_)))
}

/// Whether a workflow task failed by what is wrong with the workflow's code, and not by how things went.
pub(super) fn blames_code(cause: WorkflowTaskFailedCause) -> bool {
    use WorkflowTaskFailedCause as Cause;
    !matches!(
        cause,
        Cause::Unspecified
            | Cause::UnhandledCommand
            | Cause::ResetWorkflow
            | Cause::ResetStickyTaskQueue
            | Cause::ForceCloseCommand
            | Cause::FailoverCloseCommand
    )
}

/// A failure in words: what it is, and below that where.
pub(super) fn text(failure: Option<&Failure>) -> String {
    let Some(failure) = failure else { return "the worker did not say why".to_owned() };
    let kind = match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => info.r#type.as_str(),
        _ => "",
    };
    let message = cut(&failure.message, MESSAGE_BYTES);
    let mut said = if kind.is_empty() || message.starts_with(kind) {
        message.to_owned()
    } else {
        format!("{kind}: {message}")
    };
    let stack = failure.stack_trace.trim_end();
    if !stack.is_empty() {
        said.push('\n');
        said.push_str(&both_ends(stack));
    }
    said
}

/// A stack that is not too long. Some languages write the innermost frame first, others last: the middle goes.
fn both_ends(stack: &str) -> String {
    if stack.len() <= STACK_BYTES {
        return stack.to_owned();
    }
    let end = stack.ceil_char_boundary(stack.len() - STACK_BYTES / 2);
    format!("{}\n  ...\n{}", cut(stack, STACK_BYTES / 2), &stack[end..])
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// How long, in real time, a virtual clock stands after an attempt has failed. A policy without an end would be followed
/// through years in seconds, with a processor busy and a log full of it. Attempts come as fast as they can until whoever
/// waits for nothing else is told, which happens in the first pause.
pub fn pause_after(attempt: i32) -> Nanos {
    if attempt < TRIED_ENOUGH { 0 } else { PAUSE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: &str, message: &str, stack: &str) -> Failure {
        let info = ApplicationFailureInfo { r#type: kind.into(), ..Default::default() };
        Failure {
            message: message.into(),
            stack_trace: stack.into(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
            ..Default::default()
        }
    }

    #[test]
    fn what_each_sdk_says_of_an_activity_that_it_does_not_have() {
        let python =
            "Activity function pay for workflow w is not registered on this worker, available activities: a";
        let typescript =
            "Activity function pay is not registered on this Worker, available activities: [\"a\"]";
        let go = "unable to find activity type: pay. Supported types: [a]";
        let official_go = "unable to find activityType=pay. Supported types: [a]";
        for (kind, message, expected) in [
            ("NotFoundError", python, true),
            ("NotFoundError", typescript, true),
            ("ActivityNotRegisteredError", go, true),
            ("ActivityNotRegisteredError", official_go, true),
            ("NotFoundError", "the order is not registered on this day", false),
            ("NotFoundError", "no such order", false),
            ("ValueError", python, false),
        ] {
            assert_eq!(
                is_unknown_activity(&failure(kind, message, ""), "pay"),
                expected,
                "{kind}: {message}"
            );
        }
    }

    #[test]
    fn a_failure_is_told_with_its_type_once_and_with_its_place() {
        let told = text(Some(&failure("ValueError", "no such card", "  File \"a.py\", line 3\n")));
        assert_eq!(told, "ValueError: no such card\n  File \"a.py\", line 3");
        assert_eq!(text(Some(&failure("TypeError", "TypeError: x", ""))), "TypeError: x");
        assert_eq!(text(Some(&Failure { message: "x".into(), ..Default::default() })), "x");
        let long = text(Some(&failure("", &"é".repeat(5_000), &"s".repeat(5_000))));
        assert!(long.len() <= MESSAGE_BYTES + STACK_BYTES + 10, "{}", long.len());
        let deep = text(Some(&failure("", "x", &format!("outer\n{}inner", "frame\n".repeat(500)))));
        assert!(deep.starts_with("x\nouter\nframe") && deep.ends_with("frame\ninner"));
    }

    #[test]
    fn a_virtual_clock_stands_after_many_failed_attempts() {
        let millis = |attempt| pause_after(attempt) / MILLISECOND;
        assert_eq!([1, 10, 99, 100, 101, i32::MAX].map(millis), [0, 0, 0, 20, 20, 20]);
    }

    #[test]
    fn only_what_code_did_is_held_against_it() {
        use WorkflowTaskFailedCause as Cause;
        assert!(
            blames_code(Cause::WorkflowWorkerUnhandledFailure) && blames_code(Cause::NonDeterministicError)
        );
        assert!(blames_code(Cause::BadScheduleActivityAttributes));
        assert!(!blames_code(Cause::UnhandledCommand) && !blames_code(Cause::ForceCloseCommand));
    }
}
