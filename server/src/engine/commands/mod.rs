//! What a worker may ask for when it completes a workflow task. One file per kind; each says in `check` what is wrong
//! with a command and does it in `apply`. All commands of a task are checked before the first is applied, so a
//! refused task leaves no trace but its failure.
//!
//! A new kind is its file, its two lines below, and what [`super::state`] must remember of it.

mod cancel_timer;
mod cancel_workflow;
mod complete_workflow;
mod continue_as_new;
mod fail_workflow;
mod modify_properties;
mod record_marker;
mod request_cancel_activity;
mod schedule_activity;
mod signal_external;
mod start_timer;
mod upsert_search_attributes;

use std::{collections::HashSet, fmt};

use durably_proto::temporal::api::{
    command::v1::{Command, command::Attributes as A},
    common::v1::SearchAttributes,
    enums::v1::{CommandType, WorkflowTaskFailedCause as Cause},
    history::v1::{HistoryEvent, history_event},
    sdk::v1::{EventGroupMarker, UserMetadata},
    taskqueue::v1::TaskQueue,
};

use super::{Context, Execution};
use crate::{RESERVED_QUEUES, store::Field};

/// Why a completed workflow task is recorded as failed instead.
#[derive(Debug, PartialEq)]
pub(super) struct Refused {
    pub cause: Cause,
    pub message: String,
}

impl Refused {
    fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }
}

/// The form that workers know: the cause's name, then what is wrong.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.cause)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// What the commands checked so far will have changed when the next one is applied.
#[derive(Default)]
struct Plan<'a> {
    timers_started: HashSet<&'a str>,
    timers_canceled: HashSet<&'a str>,
    activities_scheduled: HashSet<&'a str>,
    /// Ids of the events that will record activities, by which later commands may cancel them.
    activity_events: HashSet<i64>,
    activities_canceled: HashSet<i64>,
    /// Messages to other runs.
    messages: usize,
    /// The event of the command at hand.
    event_id: i64,
}

/// What applying the commands of a task leaves to do.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Something happened that the workflow must hear of at once.
    pub needs_task: bool,
    /// Scheduled event ids of activities whose worker takes them along.
    pub eager_activities: Vec<i64>,
    completed_event_id: i64,
    /// Scheduled event ids of activities that nobody had begun when they were canceled.
    canceled: Vec<i64>,
}

/// What rides on a command beside its attributes, and goes onto its event.
struct Extra {
    user_metadata: Option<UserMetadata>,
    markers: Vec<EventGroupMarker>,
}

/// `first_event_id` is the event that the first command will be recorded as.
pub(super) fn check(run: &Execution, commands: &[Command], first_event_id: i64) -> Result<(), Refused> {
    let mut plan = Plan::default();
    for (event_id, command) in (first_event_id..).zip(commands) {
        plan.event_id = event_id;
        let attributes = attributes_of(command)?;
        if closes(attributes) && !run.buffer.is_empty() {
            // The workflow did not see everything yet: it must decide again.
            return Err(Refused::new(Cause::UnhandledCommand, ""));
        }
        check_one(run, attributes, &mut plan)?;
        let is_last = event_id + 1 == first_event_id + commands.len() as i64;
        if closes(attributes) && !is_last {
            return Err(Refused::new(
                bad_attributes(kind(attributes)),
                format!("invalid command sequence: {:?} must be the last command.", kind(attributes)),
            ));
        }
    }
    Ok(())
}

/// The attributes of a command, which must be those of its type: whoever reads the one must not do another thing than
/// whoever reads the other.
fn attributes_of(command: &Command) -> Result<&A, Refused> {
    let Ok(named) = CommandType::try_from(command.command_type) else {
        let message = format!("Unknown command type: {}", command.command_type);
        return Err(Refused::new(Cause::Unspecified, message));
    };
    match &command.attributes {
        Some(attributes) if kind(attributes) == named => Ok(attributes),
        Some(attributes) => Err(Refused::new(
            bad_attributes(named),
            format!("a command of type {named:?} has the attributes of {:?}.", kind(attributes)),
        )),
        None => {
            Err(Refused::new(bad_attributes(named), format!("attributes are not set on command {named:?}.")))
        }
    }
}

/// The type that goes with the attributes.
pub(crate) fn kind(attributes: &A) -> CommandType {
    match attributes {
        A::ScheduleActivityTaskCommandAttributes(_) => CommandType::ScheduleActivityTask,
        A::RequestCancelActivityTaskCommandAttributes(_) => CommandType::RequestCancelActivityTask,
        A::StartTimerCommandAttributes(_) => CommandType::StartTimer,
        A::CancelTimerCommandAttributes(_) => CommandType::CancelTimer,
        A::CompleteWorkflowExecutionCommandAttributes(_) => CommandType::CompleteWorkflowExecution,
        A::FailWorkflowExecutionCommandAttributes(_) => CommandType::FailWorkflowExecution,
        A::CancelWorkflowExecutionCommandAttributes(_) => CommandType::CancelWorkflowExecution,
        A::ContinueAsNewWorkflowExecutionCommandAttributes(_) => CommandType::ContinueAsNewWorkflowExecution,
        A::RecordMarkerCommandAttributes(_) => CommandType::RecordMarker,
        A::UpsertWorkflowSearchAttributesCommandAttributes(_) => CommandType::UpsertWorkflowSearchAttributes,
        A::ModifyWorkflowPropertiesCommandAttributes(_) => CommandType::ModifyWorkflowProperties,
        A::StartChildWorkflowExecutionCommandAttributes(_) => CommandType::StartChildWorkflowExecution,
        A::SignalExternalWorkflowExecutionCommandAttributes(_) => {
            CommandType::SignalExternalWorkflowExecution
        }
        A::RequestCancelExternalWorkflowExecutionCommandAttributes(_) => {
            CommandType::RequestCancelExternalWorkflowExecution
        }
        A::ProtocolMessageCommandAttributes(_) => CommandType::ProtocolMessage,
        A::ScheduleNexusOperationCommandAttributes(_) => CommandType::ScheduleNexusOperation,
        A::RequestCancelNexusOperationCommandAttributes(_) => CommandType::RequestCancelNexusOperation,
    }
}

/// The cause with which a task fails whose command of this type is malformed.
fn bad_attributes(kind: CommandType) -> Cause {
    match kind {
        CommandType::Unspecified => Cause::Unspecified,
        CommandType::ScheduleActivityTask => Cause::BadScheduleActivityAttributes,
        CommandType::RequestCancelActivityTask => Cause::BadRequestCancelActivityAttributes,
        CommandType::StartTimer => Cause::BadStartTimerAttributes,
        CommandType::CancelTimer => Cause::BadCancelTimerAttributes,
        CommandType::CompleteWorkflowExecution => Cause::BadCompleteWorkflowExecutionAttributes,
        CommandType::FailWorkflowExecution => Cause::BadFailWorkflowExecutionAttributes,
        CommandType::CancelWorkflowExecution => Cause::BadCancelWorkflowExecutionAttributes,
        CommandType::ContinueAsNewWorkflowExecution => Cause::BadContinueAsNewAttributes,
        CommandType::RecordMarker => Cause::BadRecordMarkerAttributes,
        CommandType::UpsertWorkflowSearchAttributes => Cause::BadSearchAttributes,
        CommandType::ModifyWorkflowProperties => Cause::BadModifyWorkflowPropertiesAttributes,
        CommandType::StartChildWorkflowExecution => Cause::BadStartChildExecutionAttributes,
        CommandType::SignalExternalWorkflowExecution => Cause::BadSignalWorkflowExecutionAttributes,
        CommandType::RequestCancelExternalWorkflowExecution => {
            Cause::BadRequestCancelExternalWorkflowExecutionAttributes
        }
        CommandType::ProtocolMessage => Cause::BadUpdateWorkflowExecutionMessage,
        CommandType::ScheduleNexusOperation => Cause::BadScheduleNexusOperationAttributes,
        CommandType::RequestCancelNexusOperation => Cause::BadRequestCancelNexusOperationAttributes,
    }
}

fn check_one<'a>(run: &Execution, attributes: &'a A, plan: &mut Plan<'a>) -> Result<(), Refused> {
    match attributes {
        A::ScheduleActivityTaskCommandAttributes(a) => schedule_activity::check(a, run, plan),
        A::RequestCancelActivityTaskCommandAttributes(a) => request_cancel_activity::check(*a, run, plan),
        A::StartTimerCommandAttributes(a) => start_timer::check(a, run, plan),
        A::CancelTimerCommandAttributes(a) => cancel_timer::check(a, run, plan),
        A::CompleteWorkflowExecutionCommandAttributes(_) | A::CancelWorkflowExecutionCommandAttributes(_) => {
            Ok(())
        }
        A::FailWorkflowExecutionCommandAttributes(a) => fail_workflow::check(a),
        A::ContinueAsNewWorkflowExecutionCommandAttributes(a) => continue_as_new::check(a),
        A::RecordMarkerCommandAttributes(a) => record_marker::check(a),
        A::UpsertWorkflowSearchAttributesCommandAttributes(a) => upsert_search_attributes::check(a),
        A::ModifyWorkflowPropertiesCommandAttributes(a) => modify_properties::check(a),
        // Commands that this server does not carry out yet: the worker's task fails with the cause of bad attributes.
        A::StartChildWorkflowExecutionCommandAttributes(_) => {
            Err(unsupported(Cause::BadStartChildExecutionAttributes, "child workflows"))
        }
        A::SignalExternalWorkflowExecutionCommandAttributes(a) => signal_external::check(a, run, plan),
        A::RequestCancelExternalWorkflowExecutionCommandAttributes(_) => Err(unsupported(
            Cause::BadRequestCancelExternalWorkflowExecutionAttributes,
            "cancellation of other workflows",
        )),
        A::ProtocolMessageCommandAttributes(_) => {
            Err(unsupported(Cause::BadUpdateWorkflowExecutionMessage, "updates"))
        }
        A::ScheduleNexusOperationCommandAttributes(_) => {
            Err(unsupported(Cause::BadScheduleNexusOperationAttributes, "Nexus operations"))
        }
        A::RequestCancelNexusOperationCommandAttributes(_) => {
            Err(unsupported(Cause::BadRequestCancelNexusOperationAttributes, "Nexus operations"))
        }
    }
}

fn unsupported(cause: Cause, what: &str) -> Refused {
    Refused::new(cause, format!("{what} are not supported by this server yet"))
}

fn closes(attributes: &A) -> bool {
    match attributes {
        A::CompleteWorkflowExecutionCommandAttributes(_)
        | A::FailWorkflowExecutionCommandAttributes(_)
        | A::CancelWorkflowExecutionCommandAttributes(_)
        | A::ContinueAsNewWorkflowExecutionCommandAttributes(_) => true,
        A::ScheduleActivityTaskCommandAttributes(_)
        | A::RequestCancelActivityTaskCommandAttributes(_)
        | A::StartTimerCommandAttributes(_)
        | A::CancelTimerCommandAttributes(_)
        | A::RecordMarkerCommandAttributes(_)
        | A::UpsertWorkflowSearchAttributesCommandAttributes(_)
        | A::ModifyWorkflowPropertiesCommandAttributes(_)
        | A::StartChildWorkflowExecutionCommandAttributes(_)
        | A::SignalExternalWorkflowExecutionCommandAttributes(_)
        | A::RequestCancelExternalWorkflowExecutionCommandAttributes(_)
        | A::ProtocolMessageCommandAttributes(_)
        | A::ScheduleNexusOperationCommandAttributes(_)
        | A::RequestCancelNexusOperationCommandAttributes(_) => false,
    }
}

/// Carries out commands that [`check`] has passed.
pub(super) fn apply(
    run: &mut Execution,
    commands: Vec<Command>,
    completed_event_id: i64,
    cx: &mut Context<'_>,
) -> Applied {
    let mut applied = Applied { completed_event_id, ..Applied::default() };
    for command in commands {
        if !run.is_open() {
            break;
        }
        let extra = Extra { user_metadata: command.user_metadata, markers: command.event_group_markers };
        let Some(attributes) = command.attributes else { continue };
        match attributes {
            A::ScheduleActivityTaskCommandAttributes(a) => {
                schedule_activity::apply(a, extra, run, &mut applied, cx);
            }
            A::RequestCancelActivityTaskCommandAttributes(a) => {
                request_cancel_activity::apply(a, extra, run, &mut applied, cx);
            }
            A::StartTimerCommandAttributes(a) => start_timer::apply(a, extra, run, &applied, cx),
            A::CancelTimerCommandAttributes(a) => cancel_timer::apply(a, extra, run, &applied, cx),
            A::CompleteWorkflowExecutionCommandAttributes(a) => {
                complete_workflow::apply(a, extra, run, &applied, cx);
            }
            A::FailWorkflowExecutionCommandAttributes(a) => fail_workflow::apply(a, extra, run, &applied, cx),
            A::CancelWorkflowExecutionCommandAttributes(a) => {
                cancel_workflow::apply(a, extra, run, &applied, cx);
            }
            A::ContinueAsNewWorkflowExecutionCommandAttributes(a) => {
                continue_as_new::apply(a, extra, run, &applied, cx);
            }
            A::RecordMarkerCommandAttributes(a) => record_marker::apply(a, extra, run, &applied, cx),
            A::UpsertWorkflowSearchAttributesCommandAttributes(a) => {
                upsert_search_attributes::apply(a, extra, run, &applied, cx);
            }
            A::ModifyWorkflowPropertiesCommandAttributes(a) => {
                modify_properties::apply(a, extra, run, &applied, cx);
            }
            A::SignalExternalWorkflowExecutionCommandAttributes(a) => {
                signal_external::apply(a, extra, run, &applied, cx);
            }
            // Refused by `check`.
            A::StartChildWorkflowExecutionCommandAttributes(_)
            | A::RequestCancelExternalWorkflowExecutionCommandAttributes(_)
            | A::ProtocolMessageCommandAttributes(_)
            | A::ScheduleNexusOperationCommandAttributes(_)
            | A::RequestCancelNexusOperationCommandAttributes(_) => {}
        }
    }
    // Results come behind all commands; a run that has ended hears of none.
    for id in std::mem::take(&mut applied.canceled) {
        if run.is_open() {
            applied.needs_task = true;
            run.activity_canceled_unstarted(id, "history-service", cx);
        }
    }
    run.enforce_history_limits(cx);
    applied
}

/// Writes a command's event and returns its id.
fn push(
    run: &mut Execution,
    attributes: history_event::Attributes,
    extra: Extra,
    cx: &mut Context<'_>,
) -> i64 {
    let event = HistoryEvent {
        attributes: Some(attributes),
        user_metadata: extra.user_metadata,
        event_group_markers: extra.markers,
        ..Default::default()
    };
    run.push_event(event, cx)
}

/// Longest id and name, in bytes.
const MAX_ID: usize = 1_000;

fn check_id(cause: Cause, what: &str, value: &str) -> Result<(), Refused> {
    if value.is_empty() {
        return Err(Refused::new(cause, format!("{what} is not set on command.")));
    }
    check_length(cause, what, value)
}

/// Of a name that may be absent.
fn check_length(cause: Cause, what: &str, value: &str) -> Result<(), Refused> {
    if value.len() > MAX_ID {
        return Err(Refused::new(cause, format!("{what} exceeds length limit of {MAX_ID} bytes.")));
    }
    Ok(())
}

/// Without a queue, the run's own is meant.
fn check_queue(cause: Cause, queue: Option<&TaskQueue>) -> Result<(), Refused> {
    let name = queue.map_or("", |queue| &queue.name);
    check_length(cause, "TaskQueue", name)?;
    if name.starts_with(RESERVED_QUEUES) {
        return Err(Refused::new(
            cause,
            format!("TaskQueue {name} begins with the reserved {RESERVED_QUEUES}."),
        ));
    }
    Ok(())
}

/// Search attributes that a workflow sets: not those that say what the server knows of it.
fn check_attributes(attributes: Option<&SearchAttributes>) -> Result<(), Refused> {
    let names = attributes.iter().flat_map(|given| given.indexed_fields.keys());
    match names.map(String::as_str).find(|name| name.is_empty() || Field::is_reserved(name)) {
        Some(name) => Err(Refused::new(
            Cause::BadSearchAttributes,
            format!("{name:?} cannot be set as a search attribute: choose another name."),
        )),
        None => Ok(()),
    }
}
