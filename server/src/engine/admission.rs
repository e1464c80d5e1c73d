//! Whether a run may begin: what the newest run of its workflow id means for a request to start another, by the
//! policies for ids that are in use or were, and which defaults the new run gets. Also when a closed run may go.
//!
//! The rules are those of Temporal's server (`WorkflowIdReusePolicy`, `WorkflowIdConflictPolicy`).

use durably_proto::temporal::api::{
    enums::v1::{WorkflowExecutionStatus as Status, WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    history::v1::WorkflowExecutionStartedEventAttributes,
    workflowservice::v1::StartWorkflowExecutionRequest,
};

use super::{
    Input, NewRun, Poller, RunKey, Sender, Signal, Time,
    children::StartChildBody,
    external::{SERVER, execution},
    retry,
    time::{Nanos, SECOND, duration, positive},
    updates::UpdateStage,
};

/// Time-out of a workflow task when the run names none, and the longest that it may name.
pub(super) const DEFAULT_TASK_TIMEOUT: Nanos = 10 * SECOND;
const MAX_TASK_TIMEOUT: Nanos = 120 * SECOND;

/// What a start asks for, as far as it decides about the start.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub request_id: &'a str,
    pub reuse: WorkflowIdReusePolicy,
    pub conflict: WorkflowIdConflictPolicy,
    /// Signal-with-start.
    pub signals: bool,
}

impl<'a> Terms<'a> {
    pub fn of(request: &'a StartWorkflowExecutionRequest, signals: bool) -> Self {
        Self {
            request_id: &request.request_id,
            reuse: request.workflow_id_reuse_policy(),
            conflict: request.workflow_id_conflict_policy(),
            signals,
        }
    }
}

/// What is to be done with a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing is in its way.
    Start,
    /// The open run ends first.
    TerminateAndStart,
    /// The open run gets the signal, and is the answer.
    Signal,
    /// The run that is there is the answer.
    UseExisting,
    /// It is the same request again: the run that it started is the answer.
    Repeated,
    /// `WorkflowExecutionAlreadyStarted`, with this text.
    Refuse(&'static str),
}

/// Decides about a start, given the status and the start request's id of the newest run of its workflow id.
pub fn admit(newest: Option<(Status, &str)>, terms: Terms<'_>) -> Admission {
    let Some((status, start_request_id)) = newest else { return Admission::Start };
    if !terms.request_id.is_empty() && start_request_id == terms.request_id {
        return Admission::Repeated;
    }
    if status == Status::Running {
        return if terms.reuse == WorkflowIdReusePolicy::TerminateIfRunning
            || terms.conflict == WorkflowIdConflictPolicy::TerminateExisting
        {
            Admission::TerminateAndStart
        } else if terms.signals {
            Admission::Signal
        } else if terms.conflict == WorkflowIdConflictPolicy::UseExisting {
            Admission::UseExisting
        } else {
            Admission::Refuse("Workflow execution is already running.")
        };
    }
    match terms.reuse {
        WorkflowIdReusePolicy::AllowDuplicateFailedOnly if !ended_badly(status) => {
            Admission::Refuse("Workflow execution already finished successfully.")
        }
        WorkflowIdReusePolicy::RejectDuplicate => Admission::Refuse("Workflow execution already finished."),
        WorkflowIdReusePolicy::AllowDuplicateFailedOnly
        | WorkflowIdReusePolicy::Unspecified
        | WorkflowIdReusePolicy::AllowDuplicate
        | WorkflowIdReusePolicy::TerminateIfRunning => Admission::Start,
    }
}

/// [`admit`] for a start that comes with an update, given also how far the newest run has brought that: a run that has it
/// already is the answer, whatever the policies say of starts.
pub fn admit_with_update(
    newest: Option<(Status, &str)>,
    terms: Terms<'_>,
    update: Option<&UpdateStage>,
) -> Admission {
    let is_open = newest.is_some_and(|(status, _)| status == Status::Running);
    let has_it = match update {
        Some(UpdateStage::Completed(_)) => true,
        Some(UpdateStage::Admitted | UpdateStage::Accepted) => is_open,
        None => false,
    };
    match admit(newest, terms) {
        Admission::Repeated => Admission::Repeated,
        _ if has_it => Admission::UseExisting,
        admission => admission,
    }
}

/// How an open run ends that a start is to replace.
pub fn termination_for_start() -> Input {
    Input::Terminate {
        reason: "TerminateIfRunning WorkflowIdReusePolicy".into(),
        details: None,
        identity: SERVER.into(),
        links: Vec::new(),
    }
}

/// Whether signal-with-start can go by this conflict policy; else what to do instead.
pub fn can_signal_with_start(conflict: i32) -> Result<(), &'static str> {
    if conflict == WorkflowIdConflictPolicy::Fail as i32 {
        return Err(
            "workflow_id_conflict_policy FAIL makes no sense with signal-with-start, which signals a running \
             workflow; send USE_EXISTING, or call StartWorkflowExecution",
        );
    }
    Ok(())
}

/// The policies for a workflow id that is taken, as numbers that may be any, with their defaults spelled out; or what is
/// wrong with them. `signals`: the start is a signal-with-start, which uses an open run unless it is told otherwise.
pub fn id_policies(
    reuse: i32,
    conflict: i32,
    signals: bool,
) -> Result<(WorkflowIdReusePolicy, WorkflowIdConflictPolicy), String> {
    let Ok(wanted_reuse) = WorkflowIdReusePolicy::try_from(reuse) else {
        return Err(format!("workflow_id_reuse_policy {reuse} is unknown; send one of the API's values"));
    };
    let Ok(wanted_conflict) = WorkflowIdConflictPolicy::try_from(conflict) else {
        return Err(format!(
            "workflow_id_conflict_policy {conflict} is unknown; send one of the API's values"
        ));
    };
    let conflict_or_default = match wanted_conflict {
        WorkflowIdConflictPolicy::Unspecified if signals => WorkflowIdConflictPolicy::UseExisting,
        WorkflowIdConflictPolicy::Unspecified => WorkflowIdConflictPolicy::Fail,
        wanted => wanted,
    };
    match wanted_reuse {
        #[allow(deprecated)]
        WorkflowIdReusePolicy::TerminateIfRunning => {
            if wanted_conflict != WorkflowIdConflictPolicy::Unspecified {
                return Err("workflow_id_reuse_policy TERMINATE_IF_RUNNING cannot go with a \
                            workflow_id_conflict_policy; send ALLOW_DUPLICATE with TERMINATE_EXISTING instead"
                    .to_owned());
            }
            Ok((WorkflowIdReusePolicy::AllowDuplicate, WorkflowIdConflictPolicy::TerminateExisting))
        }
        WorkflowIdReusePolicy::RejectDuplicate
            if wanted_conflict == WorkflowIdConflictPolicy::TerminateExisting =>
        {
            Err("workflow_id_reuse_policy REJECT_DUPLICATE contradicts workflow_id_conflict_policy \
                 TERMINATE_EXISTING; drop one of them"
                .to_owned())
        }
        WorkflowIdReusePolicy::Unspecified => {
            Ok((WorkflowIdReusePolicy::AllowDuplicate, conflict_or_default))
        }
        other => Ok((other, conflict_or_default)),
    }
}

fn ended_badly(status: Status) -> bool {
    match status {
        Status::Failed | Status::Canceled | Status::Terminated | Status::TimedOut => true,
        Status::Unspecified
        | Status::Running
        | Status::Completed
        | Status::ContinuedAsNew
        | Status::Paused => false,
    }
}

/// A run's time-out in a chain of runs with this one.
pub(super) fn run_timeout(asked: Option<Nanos>, execution_timeout: Option<Nanos>) -> Option<Nanos> {
    match (asked, execution_timeout) {
        (Some(run), Some(all)) => Some(run.min(all)),
        (run, all) => run.or(all),
    }
}

/// A workflow task's time-out in a run with this one.
pub(super) fn task_timeout(asked: Option<Nanos>, run_timeout: Option<Nanos>) -> Nanos {
    let asked = asked.unwrap_or(DEFAULT_TASK_TIMEOUT);
    asked.min(MAX_TASK_TIMEOUT).min(run_timeout.unwrap_or(Nanos::MAX))
}

/// What its parent asks about a child's start, as far as it decides about the start.
pub fn terms_of_child(start: &StartChildBody) -> Terms<'static> {
    Terms {
        request_id: "",
        reuse: start.initiated.workflow_id_reuse_policy(),
        conflict: WorkflowIdConflictPolicy::Fail,
        signals: false,
    }
}

/// The run that another one asks for as its child. `parent_namespace` is the name of the parent's namespace.
pub fn new_child(
    namespace_id: &str,
    run_id: String,
    request_id: String,
    start: StartChildBody,
    parent: &Sender,
    parent_namespace: String,
) -> NewRun {
    let StartChildBody { initiated, user_metadata, root } = start;
    let request = StartWorkflowExecutionRequest {
        workflow_id: initiated.workflow_id,
        workflow_type: initiated.workflow_type,
        task_queue: initiated.task_queue,
        input: initiated.input,
        workflow_execution_timeout: initiated.workflow_execution_timeout,
        workflow_run_timeout: initiated.workflow_run_timeout,
        workflow_task_timeout: initiated.workflow_task_timeout,
        request_id,
        retry_policy: initiated.retry_policy,
        cron_schedule: initiated.cron_schedule,
        memo: initiated.memo,
        search_attributes: initiated.search_attributes,
        header: initiated.header,
        priority: initiated.priority,
        user_metadata,
        ..Default::default()
    };
    let mut new = new_run(namespace_id, run_id, request, None, false);
    new.started = WorkflowExecutionStartedEventAttributes {
        parent_workflow_namespace: parent_namespace,
        parent_workflow_namespace_id: parent.key.namespace_id.to_string(),
        parent_workflow_execution: Some(execution(&parent.key)),
        parent_initiated_event_id: parent.event_id,
        root_workflow_execution: root,
        ..new.started
    };
    new
}

/// The run that a request asks for, with the server's defaults. `in_process`: the caller lives in the server's process.
pub fn new_run(
    namespace_id: &str,
    run_id: String,
    request: StartWorkflowExecutionRequest,
    signal: Option<Signal>,
    in_process: bool,
) -> NewRun {
    let execution_timeout = positive(request.workflow_execution_timeout.as_ref());
    let run_timeout = run_timeout(positive(request.workflow_run_timeout.as_ref()), execution_timeout);
    let task_timeout = task_timeout(positive(request.workflow_task_timeout.as_ref()), run_timeout);
    let started = WorkflowExecutionStartedEventAttributes {
        workflow_type: request.workflow_type,
        task_queue: request.task_queue,
        input: request.input,
        workflow_execution_timeout: execution_timeout.map(duration),
        workflow_run_timeout: run_timeout.map(duration),
        workflow_task_timeout: Some(duration(task_timeout)),
        continued_failure: request.continued_failure,
        last_completion_result: request.last_completion_result,
        original_execution_run_id: run_id.clone(),
        identity: request.identity.clone(),
        first_execution_run_id: run_id.clone(),
        retry_policy: request.retry_policy.map(retry::with_defaults),
        attempt: 1,
        cron_schedule: request.cron_schedule,
        first_workflow_task_backoff: Some(duration(
            positive(request.workflow_start_delay.as_ref()).unwrap_or(0),
        )),
        memo: request.memo,
        search_attributes: request.search_attributes,
        header: request.header,
        workflow_id: request.workflow_id.clone(),
        priority: request.priority,
        ..Default::default()
    };
    let eager = request.request_eager_execution.then(|| Poller {
        identity: request.identity,
        request_id: request.request_id.clone(),
        in_process,
    });
    NewRun {
        key: RunKey {
            namespace_id: namespace_id.into(),
            workflow_id: request.workflow_id.into(),
            run_id: run_id.into(),
        },
        started,
        user_metadata: request.user_metadata,
        links: request.links,
        request_id: request.request_id,
        signal,
        signals: Vec::new(),
        signal_request_ids: Vec::new(),
        eager,
        receipts: Vec::new(),
    }
}

/// Closed runs that closed before this time have outlived the retention; `None` when all stay.
pub fn retention_end(now: Time, retention: Nanos) -> Option<Time> {
    (retention > 0).then(|| Time(now.0.saturating_sub(retention)))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::engine::UpdateOutcome;

    fn name(admission: Admission) -> &'static str {
        match admission {
            Admission::Start => "start",
            Admission::TerminateAndStart => "terminate, start",
            Admission::Signal => "signal",
            Admission::UseExisting => "use existing",
            Admission::Repeated => "repeated",
            Admission::Refuse(text) => text,
        }
    }

    /// Every state of the newest run with every pair of policies, with and without a signal.
    #[test]
    fn table() {
        let numbers = |valid: fn(i32) -> bool| (0..10).filter(move |n| valid(*n));
        let mut table = String::new();
        for status in numbers(|n| Status::try_from(n).is_ok()).map(|n| Status::try_from(n).unwrap()) {
            for reuse in numbers(|n| WorkflowIdReusePolicy::try_from(n).is_ok()) {
                for conflict in numbers(|n| WorkflowIdConflictPolicy::try_from(n).is_ok()) {
                    let terms = |signals| Terms {
                        request_id: "this",
                        reuse: WorkflowIdReusePolicy::try_from(reuse).unwrap(),
                        conflict: WorkflowIdConflictPolicy::try_from(conflict).unwrap(),
                        signals,
                    };
                    let plain = name(admit(Some((status, "another")), terms(false)));
                    let signal = name(admit(Some((status, "another")), terms(true)));
                    let Terms { reuse, conflict, .. } = terms(false);
                    let _ = writeln!(
                        table,
                        "{status:?} | {reuse:?} | {conflict:?} | {plain} | with a signal: {signal}"
                    );
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    /// Every pair of policies that a caller can send, for a start and for a signal-with-start.
    #[test]
    fn policies() {
        let mut table = String::new();
        for reuse in -1..6 {
            for conflict in -1..5 {
                let of = |signals| match id_policies(reuse, conflict, signals) {
                    Ok((reuse, conflict)) => format!("{reuse:?}, {conflict:?}"),
                    Err(problem) => problem,
                };
                let (plain, signals) = (of(false), of(true));
                let _ = writeln!(table, "{reuse} {conflict} | {plain} | with a signal: {signals}");
            }
        }
        insta::assert_snapshot!(table);
        let refusing: Vec<i32> =
            (-1..5).filter(|conflict| can_signal_with_start(*conflict).is_err()).collect();
        assert_eq!(refusing, [WorkflowIdConflictPolicy::Fail as i32]);
    }

    /// Each state of the newest run and of the update in it, with the policies that tell apart what may come of a start.
    #[test]
    fn a_run_that_has_the_update_is_the_answer() {
        use Admission::{Refuse, Repeated, Start, TerminateAndStart, UseExisting};
        use UpdateStage::{Accepted, Admitted, Completed};
        use WorkflowIdConflictPolicy as Conflict;
        use WorkflowIdReusePolicy as Reuse;
        let (running, finished) =
            ("Workflow execution is already running.", "Workflow execution already finished.");
        let completed = || Completed(UpdateOutcome::In(9));
        let (open, closed) = (Some((Status::Running, "another")), Some((Status::Completed, "another")));
        for (newest, update, [plain, uses, replaces, rejects]) in [
            (None, None, [Start; 4]),
            (open, None, [Refuse(running), UseExisting, TerminateAndStart, Refuse(running)]),
            (open, Some(Admitted), [UseExisting; 4]),
            (open, Some(Accepted), [UseExisting; 4]),
            (open, Some(completed()), [UseExisting; 4]),
            (closed, None, [Start, Start, Start, Refuse(finished)]),
            (closed, Some(Admitted), [Start, Start, Start, Refuse(finished)]),
            (closed, Some(Accepted), [Start, Start, Start, Refuse(finished)]),
            (closed, Some(completed()), [UseExisting; 4]),
        ] {
            for (reuse, conflict, meant) in [
                (Reuse::AllowDuplicate, Conflict::Fail, plain),
                (Reuse::AllowDuplicate, Conflict::UseExisting, uses),
                (Reuse::AllowDuplicate, Conflict::TerminateExisting, replaces),
                (Reuse::RejectDuplicate, Conflict::Fail, rejects),
            ] {
                let terms = Terms { request_id: "this", reuse, conflict, signals: false };
                let case = format!("{newest:?} {update:?} {reuse:?} {conflict:?}");
                assert_eq!(admit_with_update(newest, terms, update.as_ref()), meant, "{case}");
                let same = newest.map(|(status, _)| (status, "this"));
                let meant = if same.is_some() { Repeated } else { meant };
                assert_eq!(admit_with_update(same, terms, update.as_ref()), meant, "repeated: {case}");
            }
        }
    }

    #[test]
    fn time_outs_are_within_each_other_and_have_defaults() {
        let seconds = |seconds: Option<i64>| seconds.map(|seconds| duration(seconds * SECOND));
        for (asked, meant) in [
            ((None, None, None), (0, 0, 10)),
            ((Some(60), None, None), (60, 60, 10)),
            ((Some(60), Some(90), None), (60, 60, 10)),
            ((Some(60), Some(30), Some(20)), (60, 30, 20)),
            ((Some(60), Some(30), Some(40)), (60, 30, 30)),
            ((Some(5), None, None), (5, 5, 5)),
            ((None, Some(90), Some(500)), (0, 90, 90)),
            ((None, None, Some(500)), (0, 0, 120)),
            ((Some(0), Some(0), Some(0)), (0, 0, 10)),
        ] {
            let request = StartWorkflowExecutionRequest {
                workflow_execution_timeout: seconds(asked.0),
                workflow_run_timeout: seconds(asked.1),
                workflow_task_timeout: seconds(asked.2),
                ..Default::default()
            };
            let started = new_run("ns", "r".into(), request, None, false).started;
            let of = |span: Option<prost_types::Duration>| span.map_or(0, |span| span.seconds);
            let found = (
                of(started.workflow_execution_timeout),
                of(started.workflow_run_timeout),
                of(started.workflow_task_timeout),
            );
            assert_eq!(found, meant, "{asked:?}");
        }
    }

    #[test]
    fn a_repeated_request_gets_the_run_that_it_started_whatever_became_of_it() {
        let terms = Terms {
            request_id: "this",
            reuse: WorkflowIdReusePolicy::RejectDuplicate,
            conflict: WorkflowIdConflictPolicy::Fail,
            signals: false,
        };
        for status in [Status::Running, Status::Completed, Status::Terminated] {
            assert_eq!(admit(Some((status, "this")), terms), Admission::Repeated);
        }
        assert_eq!(admit(None, terms), Admission::Start);
        // A request without an id is never a repetition.
        let nameless = Terms { request_id: "", ..terms };
        assert_ne!(admit(Some((Status::Running, "")), nameless), Admission::Repeated);
    }

    #[test]
    fn without_a_retention_closed_runs_stay() {
        assert_eq!(retention_end(Time(100), 0), None);
        assert_eq!(retention_end(Time(100), 30), Some(Time(70)));
    }
}
