//! Child workflows: `StartChildWorkflow`, `CancelChildWorkflow`.
//!
//! The request that a cancelled child is sent has a machine of its own ([`super::cancel_external`]): it may be answered after
//! the child has ended, and what comes of it is the child's end, or none.

use std::fmt;

use durably_proto::durably::core::v1::child_workflow_resolution::Status;
use durably_proto::durably::core::v1::resolve_child_workflow_start::Status as StartStatus;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{
    ChildWorkflowCancellationType, ChildWorkflowResolution, ChildWorkflowStartFailed, ChildWorkflowStarted,
    ChildWorkflowSuccess, ResolveChildWorkflow, ResolveChildWorkflowStart, StartChildWorkflow,
};
use durably_proto::temporal::api::command::v1::StartChildWorkflowExecutionCommandAttributes;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::common::v1::{Header, Payload, Payloads, WorkflowExecution, WorkflowType};
use durably_proto::temporal::api::enums::v1::{
    RetryState, StartChildWorkflowExecutionFailedCause, TimeoutType,
};
use durably_proto::temporal::api::failure::v1::failure::FailureInfo;
use durably_proto::temporal::api::failure::v1::{
    CanceledFailureInfo, ChildWorkflowExecutionFailureInfo, Failure, TerminatedFailureInfo,
    TimeoutFailureInfo,
};
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::taskqueue::v1::TaskQueue;

use super::cancel_external::request_child;
use super::{BadCommand, Effects, Inherited, Issued, Machine, MachineEvent, Naming, Sequence};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

/// What is known of a child. The last three come with its events, and are zero or empty before.
#[derive(Clone)]
pub(crate) struct Child {
    seq: u32,
    namespace: String,
    id: String,
    /// The code didn't choose the id: the history's is right.
    takes_id: bool,
    /// As Go's official SDK has it: what is issued is sent, and cancelled when it has started.
    by_event_id: bool,
    type_name: String,
    cancellation: ChildWorkflowCancellationType,
    initiated_event_id: i64,
    started_event_id: i64,
    run_id: String,
}

#[derive(Clone, Debug)]
pub(crate) enum ChildMachine {
    AwaitingInitiated(Box<Child>),
    /// The code cancelled it, by this reason. It is asked when it has started.
    AwaitingInitiatedCancelled(Box<Child>, String),
    AwaitingStarted(Box<Child>),
    /// As above.
    AwaitingStartedCancelled(Box<Child>, String),
    AwaitingEnd(Box<Child>),
    /// It was asked, and is not asked again.
    AwaitingEndCancelled(Box<Child>),
    /// The code was told that it is cancelled: what becomes of it is nobody's business.
    Abandoned(Box<Child>),
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The code cancels it.
    Cancel {
        reason: String,
    },
    Initiated {
        event_id: i64,
        workflow_id: String,
        workflow_type: String,
    },
    StartFailed {
        cause: StartChildWorkflowExecutionFailedCause,
    },
    Started {
        event_id: i64,
        run_id: String,
    },
    /// `run_id` is of the run that has ended, which may not be the first one.
    Ended {
        run_id: String,
        end: End,
    },
}

/// How a child ends.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Completed { result: Option<Box<Payload>> },
    Failed { failure: Option<Box<Failure>>, retry_state: i32 },
    Canceled { details: Option<Payloads> },
    TimedOut { retry_state: i32 },
    Terminated,
}

/// Starts a child.
pub(super) fn start(
    command: StartChildWorkflow,
    inherited: &Inherited,
    naming: Naming,
) -> Result<Issued, BadCommand> {
    let seq = command.seq;
    let cancellation = command.cancellation_type();
    if command.workflow_type.is_empty() {
        return Err(BadCommand(format!(
            "child workflow {seq} has no type; give the workflow's registered name"
        )));
    }
    let (by_event_id, takes_id, id) = match naming {
        Naming::Sequence if command.workflow_id.is_empty() => {
            let type_name = command.workflow_type;
            return Err(BadCommand(format!("child workflow {seq} ({type_name}) has no workflow id")));
        }
        Naming::EventId(event_id) if command.workflow_id.is_empty() => {
            (true, true, format!("{}_{event_id}", inherited.run_id))
        }
        Naming::EventId(_) => (true, false, command.workflow_id),
        Naming::Sequence => (false, false, command.workflow_id),
    };
    let task_queue =
        if command.task_queue.is_empty() { inherited.task_queue.clone() } else { command.task_queue };
    let child = Child {
        seq,
        namespace: inherited.or_namespace(command.namespace),
        id,
        takes_id,
        by_event_id,
        type_name: command.workflow_type,
        cancellation,
        initiated_event_id: 0,
        started_event_id: 0,
        run_id: String::new(),
    };
    #[expect(deprecated, reason = "namespaces are still named this way")]
    let attributes = StartChildWorkflowExecutionCommandAttributes {
        namespace: child.namespace.clone(),
        workflow_id: child.id.clone(),
        workflow_type: Some(WorkflowType { name: child.type_name.clone() }),
        task_queue: Some(TaskQueue { name: task_queue, ..TaskQueue::default() }),
        input: (!command.arguments.is_empty()).then_some(Payloads { payloads: command.arguments }),
        workflow_execution_timeout: command.execution_timeout,
        workflow_run_timeout: command.run_timeout,
        workflow_task_timeout: command.task_timeout,
        parent_close_policy: command.parent_close_policy,
        workflow_id_reuse_policy: command.workflow_id_reuse_policy,
        retry_policy: command.retry_policy,
        cron_schedule: command.cron_schedule,
        header: (!command.headers.is_empty()).then_some(Header { fields: command.headers }),
        memo: command.memo,
        search_attributes: command.search_attributes,
        priority: command.priority,
        ..StartChildWorkflowExecutionCommandAttributes::default()
    };
    Ok(Issued::Begin {
        seq: Some((Sequence::ChildWorkflow, seq)),
        machine: Machine::Child(ChildMachine::AwaitingInitiated(Box::new(child))),
        commands: vec![CommandAttributes::StartChildWorkflowExecutionCommandAttributes(attributes)],
    })
}

pub(super) fn decode(event_id: i64, attributes: Attributes) -> Decoded {
    let response = |origin: i64, event: Event| {
        if origin < 1 {
            return Err("it doesn't say which event began the child workflow");
        }
        Ok(Kind::Response { origin, event: MachineEvent::Child(event) })
    };
    let ended = |origin: i64, execution: Option<WorkflowExecution>, end: End| {
        let run_id = execution.unwrap_or_default().run_id;
        response(origin, Event::Ended { run_id, end })
    };
    match attributes {
        Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a) => {
            let workflow_type = a.workflow_type.filter(|workflow_type| !workflow_type.name.is_empty());
            let workflow_type = workflow_type.ok_or("it names no workflow type")?.name;
            let event = Event::Initiated { event_id, workflow_id: a.workflow_id, workflow_type };
            Ok(Kind::Command(MachineEvent::Child(event)))
        }
        Attributes::StartChildWorkflowExecutionFailedEventAttributes(a) => {
            response(a.initiated_event_id, Event::StartFailed { cause: a.cause() })
        }
        Attributes::ChildWorkflowExecutionStartedEventAttributes(a) => {
            let run_id = a.workflow_execution.unwrap_or_default().run_id;
            response(a.initiated_event_id, Event::Started { event_id, run_id })
        }
        Attributes::ChildWorkflowExecutionCompletedEventAttributes(a) => {
            let result = a.result.and_then(|result| result.payloads.into_iter().next()).map(Box::new);
            ended(a.initiated_event_id, a.workflow_execution, End::Completed { result })
        }
        Attributes::ChildWorkflowExecutionFailedEventAttributes(a) => {
            let end = End::Failed { failure: a.failure.map(Box::new), retry_state: a.retry_state };
            ended(a.initiated_event_id, a.workflow_execution, end)
        }
        Attributes::ChildWorkflowExecutionCanceledEventAttributes(a) => {
            ended(a.initiated_event_id, a.workflow_execution, End::Canceled { details: a.details })
        }
        Attributes::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            ended(a.initiated_event_id, a.workflow_execution, End::TimedOut { retry_state: a.retry_state })
        }
        Attributes::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            ended(a.initiated_event_id, a.workflow_execution, End::Terminated)
        }
        _ => Err("it is not about a child workflow"),
    }
}

impl ChildMachine {
    pub(super) fn handle(self, event: Event, effects: &mut Effects) -> Result<ChildMachine, Box<Mismatch>> {
        use ChildMachine::{
            Abandoned, AwaitingEnd, AwaitingEndCancelled, AwaitingInitiated, AwaitingInitiatedCancelled,
            AwaitingStarted, AwaitingStartedCancelled, Finished,
        };
        match (self, event) {
            (AwaitingInitiated(mut child), Event::Initiated { event_id, workflow_id, workflow_type }) => {
                child.record(event_id, workflow_id, &workflow_type, effects.compare_ids)?;
                Ok(AwaitingStarted(child))
            }
            (
                AwaitingInitiatedCancelled(mut child, reason),
                Event::Initiated { event_id, workflow_id, workflow_type },
            ) => {
                child.record(event_id, workflow_id, &workflow_type, effects.compare_ids)?;
                Ok(AwaitingStartedCancelled(child, reason))
            }
            (AwaitingInitiated(child), Event::Cancel { reason }) if child.by_event_id => {
                Ok(AwaitingInitiatedCancelled(child, reason))
            }
            // Not sent yet: nobody else needs to know.
            (AwaitingInitiated(child), Event::Cancel { reason }) => {
                child.cancel_unsent(&reason, effects);
                Ok(Finished)
            }

            (AwaitingStarted(mut child), Event::Started { event_id, run_id }) => {
                child.start(event_id, run_id, effects);
                Ok(AwaitingEnd(child))
            }
            (AwaitingStartedCancelled(mut child, reason), Event::Started { event_id, run_id }) => {
                child.start(event_id, run_id, effects);
                Ok(child.cancel_started(reason, effects))
            }
            (AwaitingStarted(child) | AwaitingStartedCancelled(child, _), Event::StartFailed { cause }) => {
                child.start_failed(cause, effects);
                Ok(Finished)
            }
            (AwaitingStarted(child), Event::Cancel { reason }) if child.by_event_id => {
                Ok(AwaitingStartedCancelled(child, reason))
            }
            (AwaitingStarted(child), Event::Cancel { reason }) => {
                if child.ask(reason, effects) {
                    return Ok(AwaitingStarted(child));
                }
                child.resolve_start_cancelled("Child Workflow execution cancelled".to_owned(), effects);
                Ok(Abandoned(child))
            }

            (AwaitingEnd(child), Event::Cancel { reason }) => Ok(child.cancel_started(reason, effects)),
            (AwaitingEnd(child) | AwaitingEndCancelled(child), Event::Ended { run_id, end }) => {
                child.resolve(run_id, end, effects);
                Ok(Finished)
            }
            (Abandoned(child), Event::Started { .. }) => Ok(Abandoned(child)),
            (Abandoned(_), Event::StartFailed { .. } | Event::Ended { .. }) => Ok(Finished),
            (machine, Event::Cancel { .. }) => Ok(machine),
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }
}

impl Child {
    /// Compares with what the history has, and takes its id.
    fn record(
        &mut self,
        event_id: i64,
        id: String,
        type_name: &str,
        compare_ids: bool,
    ) -> Result<(), Box<Mismatch>> {
        let same_id = self.takes_id || self.id == id;
        if compare_ids && !(same_id && self.type_name == type_name) {
            let change = if self.type_name == type_name { Change::Id } else { Change::WorkflowType };
            let workflow_type = type_name.to_owned();
            let expected = Event::Initiated { event_id, workflow_id: id, workflow_type };
            let found = format_args!("StartChildWorkflowExecutionInitiated({self})");
            return Err(Mismatch::new(change, &expected, &found));
        }
        if self.takes_id {
            self.id = id;
        }
        self.initiated_event_id = event_id;
        Ok(())
    }

    fn start(&mut self, event_id: i64, run_id: String, effects: &mut Effects) {
        self.started_event_id = event_id;
        self.run_id.clone_from(&run_id);
        let started = ChildWorkflowStarted { run_id, workflow_id: self.id.clone() };
        self.push_start(StartStatus::Started(started), effects);
    }

    fn start_failed(&self, cause: StartChildWorkflowExecutionFailedCause, effects: &mut Effects) {
        let failed = ChildWorkflowStartFailed {
            workflow_id: self.id.clone(),
            workflow_type: self.type_name.clone(),
            cause: cause as i32,
            namespace: self.namespace.clone(),
            initiated_event_id: self.initiated_event_id,
        };
        self.push_start(StartStatus::Failed(failed), effects);
    }

    fn cancel_unsent(&self, reason: &str, effects: &mut Effects) {
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let message = format!("Child Workflow Execution cancelled before scheduled{because}");
        self.resolve_start_cancelled(message, effects);
    }

    /// Asks the child to cancel itself, if its cancellation type has it so. Returns whether the code goes on waiting.
    fn ask(&self, reason: String, effects: &mut Effects) -> bool {
        use ChildWorkflowCancellationType::{
            Abandon, TryCancel, WaitCancellationCompleted, WaitCancellationRequested,
        };
        if self.cancellation != Abandon {
            let (namespace, id) = (self.namespace.clone(), self.id.clone());
            effects.begun.push(request_child(namespace, id, reason, self.by_event_id));
        }
        match self.cancellation {
            Abandon | TryCancel => false,
            WaitCancellationCompleted | WaitCancellationRequested => true,
        }
    }

    fn cancel_started(self: Box<Self>, reason: String, effects: &mut Effects) -> ChildMachine {
        if !self.ask(reason, effects) {
            self.push(Status::Cancelled(self.cancelled(String::new(), None)), effects);
            return ChildMachine::Abandoned(self);
        }
        if self.by_event_id {
            return ChildMachine::AwaitingEndCancelled(self);
        }
        ChildMachine::AwaitingEnd(self)
    }

    fn resolve(&self, run_id: String, end: End, effects: &mut Effects) {
        let status = match end {
            End::Completed { result } => {
                Status::Completed(ChildWorkflowSuccess { result: result.map(|payload| *payload) })
            }
            End::Failed { failure, retry_state } => Status::Failed(self.failure(
                "Child Workflow execution failed".to_owned(),
                run_id,
                failure.map(|failure| *failure),
                retry_state,
            )),
            End::Canceled { details } => Status::Cancelled(self.cancelled(run_id, details)),
            End::TimedOut { retry_state } => {
                let info = FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo {
                    timeout_type: TimeoutType::StartToClose as i32,
                    last_heartbeat_details: None,
                });
                let message = "Child Workflow execution timed out".to_owned();
                // Users see these words, and they are what histories of each official SDK were made with.
                let words = if self.by_event_id { "Child workflow timeout" } else { "Timed out" };
                Status::Failed(self.failure(message, run_id, Some(cause(words, info)), retry_state))
            }
            End::Terminated => {
                let info = FailureInfo::TerminatedFailureInfo(TerminatedFailureInfo::default());
                let message = "Child Workflow execution terminated".to_owned();
                let retry_state = RetryState::NonRetryableFailure as i32;
                Status::Failed(self.failure(message, run_id, Some(cause("Terminated", info)), retry_state))
            }
        };
        self.push(status, effects);
    }

    fn resolve_start_cancelled(&self, message: String, effects: &mut Effects) {
        let failure = Failure { message, ..self.cancelled(String::new(), None) };
        self.push_start(StartStatus::Cancelled(failure), effects);
    }

    fn push_start(&self, status: StartStatus, effects: &mut Effects) {
        let job = ResolveChildWorkflowStart { seq: self.seq, status: Some(status) };
        effects.jobs.push(Job::ResolveChildWorkflowStart(job));
    }

    fn push(&self, status: Status, effects: &mut Effects) {
        let result = Some(ChildWorkflowResolution { status: Some(status) });
        effects.jobs.push(Job::ResolveChildWorkflow(ResolveChildWorkflow { seq: self.seq, result }));
    }

    fn cancelled(&self, run_id: String, details: Option<Payloads>) -> Failure {
        let info = CanceledFailureInfo { details, ..CanceledFailureInfo::default() };
        let cause = cause("", FailureInfo::CanceledFailureInfo(info));
        let message = "Child Workflow execution cancelled".to_owned();
        self.failure(message, run_id, Some(cause), RetryState::NonRetryableFailure as i32)
    }

    /// `run_id` is of the run that ended. Go's official SDK tells that one, the others the first one, by which they know the child.
    fn failure(&self, message: String, run_id: String, cause: Option<Failure>, retry_state: i32) -> Failure {
        let run_id = if self.by_event_id && !run_id.is_empty() { run_id } else { self.run_id.clone() };
        let info = ChildWorkflowExecutionFailureInfo {
            namespace: self.namespace.clone(),
            workflow_execution: Some(WorkflowExecution { workflow_id: self.id.clone(), run_id }),
            workflow_type: Some(WorkflowType { name: self.type_name.clone() }),
            initiated_event_id: self.initiated_event_id,
            started_event_id: self.started_event_id,
            retry_state,
        };
        Failure {
            message,
            cause: cause.map(Box::new),
            failure_info: Some(FailureInfo::ChildWorkflowExecutionFailureInfo(info)),
            ..Failure::default()
        }
    }
}

fn cause(message: &str, info: FailureInfo) -> Failure {
    Failure { message: message.to_owned(), failure_info: Some(info), ..Failure::default() }
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, id \"{}\"", self.type_name, self.id)
    }
}

impl fmt::Display for ChildMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildMachine::AwaitingInitiated(child) | ChildMachine::AwaitingInitiatedCancelled(child, _) => {
                write!(f, "StartChildWorkflowExecutionInitiated({child})")
            }
            ChildMachine::AwaitingStarted(child) | ChildMachine::AwaitingStartedCancelled(child, _) => {
                write!(f, "ChildWorkflowExecutionStarted({child})")
            }
            ChildMachine::AwaitingEnd(child)
            | ChildMachine::AwaitingEndCancelled(child)
            | ChildMachine::Abandoned(child) => write!(f, "the end of child workflow ({child})"),
            ChildMachine::Finished => write!(f, "a child workflow that is over"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Cancel { .. } => write!(f, "cancel by code"),
            Event::Initiated { workflow_id, workflow_type, .. } => {
                write!(f, "StartChildWorkflowExecutionInitiated({workflow_type}, id \"{workflow_id}\")")
            }
            Event::StartFailed { cause } => write!(f, "StartChildWorkflowExecutionFailed({cause:?})"),
            Event::Started { .. } => write!(f, "ChildWorkflowExecutionStarted"),
            Event::Ended { end, .. } => write!(f, "ChildWorkflowExecution{}", end.name()),
        }
    }
}

impl End {
    fn name(&self) -> &'static str {
        match self {
            End::Completed { .. } => "Completed",
            End::Failed { .. } => "Failed",
            End::Canceled { .. } => "Canceled",
            End::TimedOut { .. } => "TimedOut",
            End::Terminated => "Terminated",
        }
    }
}

/// Short, for tables and transcripts.
impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_event_id = if self.by_event_id { ", by event id" } else { "" };
        let cancellation = self.cancellation.as_str_name().replace("CHILD_WORKFLOW_CANCELLATION_TYPE_", "");
        write!(f, "{self}{by_event_id}, {cancellation}")?;
        write!(f, ", events {}/{}", self.initiated_event_id, self.started_event_id)
    }
}

#[cfg(test)]
mod tests;
