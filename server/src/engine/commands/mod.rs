//! What a worker may ask for when it completes a workflow task. One file per kind; each says in `check` what is wrong
//! with a command and does it in `apply`. All commands of a task are checked before the first is applied, so a
//! refused task leaves no trace but its failure.
//!
//! A new kind is its file, its lines below (the compiler names those that are missed), and what [`super::state`] must remember of it.

mod cancel_external;
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
mod start_child;
mod start_timer;
mod upsert_search_attributes;

use std::{collections::HashSet, fmt};

use durably_proto::temporal::api::{
    command::v1::{
        CancelTimerCommandAttributes, CancelWorkflowExecutionCommandAttributes, Command,
        CompleteWorkflowExecutionCommandAttributes, ContinueAsNewWorkflowExecutionCommandAttributes,
        FailWorkflowExecutionCommandAttributes, ModifyWorkflowPropertiesCommandAttributes,
        RecordMarkerCommandAttributes, RequestCancelActivityTaskCommandAttributes,
        RequestCancelExternalWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes,
        SignalExternalWorkflowExecutionCommandAttributes, StartChildWorkflowExecutionCommandAttributes,
        StartTimerCommandAttributes, UpsertWorkflowSearchAttributesCommandAttributes,
        command::Attributes as A,
    },
    common::v1::SearchAttributes,
    enums::v1::{CommandType, WorkflowTaskFailedCause as Cause},
    history::v1::{HistoryEvent, history_event},
    protocol::v1::Message,
    sdk::v1::{EventGroupMarker, UserMetadata},
    taskqueue::v1::TaskQueue,
};

use super::{
    Context, Execution,
    close::Last,
    external::SERVER,
    updates::{Reply, UpdatePlan},
};
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
    /// Signals and cancellations for other runs.
    messages: usize,
    children: usize,
    updates: UpdatePlan<'a>,
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

/// A command of a kind that this server carries out. Whoever reads commands here reads these, so that a kind cannot be
/// let through in one place and be unknown in the next.
enum Offered {
    ScheduleActivity(ScheduleActivityTaskCommandAttributes),
    RequestCancelActivity(RequestCancelActivityTaskCommandAttributes),
    StartTimer(StartTimerCommandAttributes),
    CancelTimer(CancelTimerCommandAttributes),
    CompleteWorkflow(CompleteWorkflowExecutionCommandAttributes),
    FailWorkflow(FailWorkflowExecutionCommandAttributes),
    CancelWorkflow(CancelWorkflowExecutionCommandAttributes),
    ContinueAsNew(ContinueAsNewWorkflowExecutionCommandAttributes),
    RecordMarker(RecordMarkerCommandAttributes),
    UpsertSearchAttributes(UpsertWorkflowSearchAttributesCommandAttributes),
    ModifyProperties(ModifyWorkflowPropertiesCommandAttributes),
    SignalExternal(SignalExternalWorkflowExecutionCommandAttributes),
    CancelExternal(RequestCancelExternalWorkflowExecutionCommandAttributes),
    StartChild(StartChildWorkflowExecutionCommandAttributes),
    /// What a protocol message says, at the place of the command that names it.
    Update(Box<Reply>),
}

/// A command that [`check`] has passed.
pub(super) struct Checked {
    kind: CommandType,
    offered: Offered,
    extra: Extra,
}

impl Checked {
    /// Of a message that no command names.
    fn unnamed(offered: Offered) -> Self {
        let extra = Extra { user_metadata: None, markers: Vec::new() };
        Self { kind: CommandType::ProtocolMessage, offered, extra }
    }

    /// Of an update: it leaves no trace.
    pub(super) fn is_rejection(&self) -> bool {
        matches!(&self.offered, Offered::Update(reply) if reply.is_rejection())
    }

    /// How many events it becomes. (What else comes of it stands behind all commands.)
    fn events(&self) -> i64 {
        match &self.offered {
            Offered::Update(reply) => reply.events(),
            Offered::ScheduleActivity(_)
            | Offered::RequestCancelActivity(_)
            | Offered::StartTimer(_)
            | Offered::CancelTimer(_)
            | Offered::CompleteWorkflow(_)
            | Offered::FailWorkflow(_)
            | Offered::CancelWorkflow(_)
            | Offered::ContinueAsNew(_)
            | Offered::RecordMarker(_)
            | Offered::UpsertSearchAttributes(_)
            | Offered::ModifyProperties(_)
            | Offered::SignalExternal(_)
            | Offered::CancelExternal(_)
            | Offered::StartChild(_) => 1,
        }
    }
}

/// `first_event_id` is the event that the first command will be recorded as.
pub(super) fn check(
    run: &Execution,
    commands: Vec<Command>,
    messages: Vec<Message>,
    first_event_id: i64,
) -> Result<Vec<Checked>, Refused> {
    let commands = read_all(commands, messages);
    let mut plan = Plan { event_id: first_event_id, ..Plan::default() };
    let mut left = commands.len();
    for command in &commands {
        left -= 1;
        // The first that cannot be read is the first that is refused.
        let Ok(checked) = command else { break };
        let Checked { kind, offered, .. } = checked;
        if closes(offered) && has_unseen(offered, run) {
            // The workflow did not see everything yet: it must decide again.
            return Err(Refused::new(Cause::UnhandledCommand, ""));
        }
        check_one(run, offered, &mut plan)?;
        plan.event_id += checked.events();
        if closes(offered) && left > 0 {
            return Err(Refused::new(
                bad_attributes(*kind),
                format!("invalid command sequence: {kind:?} must be the last command."),
            ));
        }
    }
    commands.into_iter().collect()
}

/// The commands with the messages that belong to them. Messages that no command names stand behind all commands but one
/// that ends the run.
fn read_all(commands: Vec<Command>, messages: Vec<Message>) -> Vec<Result<Checked, Refused>> {
    let mut replies: Vec<(String, Message)> =
        messages.into_iter().map(|message| (message.id.clone(), message)).collect();
    let mut all: Vec<_> = commands.into_iter().map(|command| read(command, &mut replies)).collect();
    let is_end = |last: &Result<Checked, Refused>| last.as_ref().is_ok_and(|last| closes(&last.offered));
    let end = all.pop_if(|last| is_end(last));
    all.extend(replies.into_iter().map(|(_, message)| read_message(message).map(Checked::unnamed)));
    all.extend(end);
    all
}

fn read_message(message: Message) -> Result<Offered, Refused> {
    let reply = Reply::read(message).map_err(|problem| Refused::new(BAD_MESSAGE, problem))?;
    Ok(Offered::Update(Box::new(reply)))
}

/// What the message says that a command names.
fn read_named(id: &str, messages: &mut Vec<(String, Message)>) -> Result<Offered, Refused> {
    let place = messages.iter().position(|(of, _)| of == id);
    let place = place.ok_or_else(|| {
        Refused::new(BAD_MESSAGE, format!("ProtocolMessageCommand referenced absent message {id}"))
    })?;
    read_message(messages.remove(place).1)
}

const BAD_MESSAGE: Cause = Cause::BadUpdateWorkflowExecutionMessage;

fn read(command: Command, messages: &mut Vec<(String, Message)>) -> Result<Checked, Refused> {
    let attributes = attributes_of(command.command_type, command.attributes)?;
    let kind = kind(&attributes);
    let extra = Extra { user_metadata: command.user_metadata, markers: command.event_group_markers };
    Ok(Checked { kind, offered: offered(attributes, messages)?, extra })
}

/// The attributes of a command, which must be those of its type: whoever reads the one must not do another thing than
/// whoever reads the other.
fn attributes_of(command_type: i32, attributes: Option<A>) -> Result<A, Refused> {
    let Ok(named) = CommandType::try_from(command_type) else {
        let message = format!("Unknown command type: {command_type}");
        return Err(Refused::new(Cause::Unspecified, message));
    };
    match attributes {
        Some(attributes) if kind(&attributes) == named => Ok(attributes),
        Some(attributes) => Err(Refused::new(
            bad_attributes(named),
            format!("a command of type {named:?} has the attributes of {:?}.", kind(&attributes)),
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

/// The one place that says which kinds are offered. Of the others, the worker's task fails with the cause of bad
/// attributes. `messages`: those that no command has named yet.
fn offered(attributes: A, messages: &mut Vec<(String, Message)>) -> Result<Offered, Refused> {
    match attributes {
        A::ScheduleActivityTaskCommandAttributes(a) => Ok(Offered::ScheduleActivity(a)),
        A::RequestCancelActivityTaskCommandAttributes(a) => Ok(Offered::RequestCancelActivity(a)),
        A::StartTimerCommandAttributes(a) => Ok(Offered::StartTimer(a)),
        A::CancelTimerCommandAttributes(a) => Ok(Offered::CancelTimer(a)),
        A::CompleteWorkflowExecutionCommandAttributes(a) => Ok(Offered::CompleteWorkflow(a)),
        A::FailWorkflowExecutionCommandAttributes(a) => Ok(Offered::FailWorkflow(a)),
        A::CancelWorkflowExecutionCommandAttributes(a) => Ok(Offered::CancelWorkflow(a)),
        A::ContinueAsNewWorkflowExecutionCommandAttributes(a) => Ok(Offered::ContinueAsNew(a)),
        A::RecordMarkerCommandAttributes(a) => Ok(Offered::RecordMarker(a)),
        A::UpsertWorkflowSearchAttributesCommandAttributes(a) => Ok(Offered::UpsertSearchAttributes(a)),
        A::ModifyWorkflowPropertiesCommandAttributes(a) => Ok(Offered::ModifyProperties(a)),
        A::SignalExternalWorkflowExecutionCommandAttributes(a) => Ok(Offered::SignalExternal(a)),
        A::StartChildWorkflowExecutionCommandAttributes(a) => Ok(Offered::StartChild(a)),
        A::RequestCancelExternalWorkflowExecutionCommandAttributes(a) => Ok(Offered::CancelExternal(a)),
        A::ProtocolMessageCommandAttributes(named) => read_named(&named.message_id, messages),
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

fn check_one<'a>(run: &Execution, command: &'a Offered, plan: &mut Plan<'a>) -> Result<(), Refused> {
    match command {
        Offered::ScheduleActivity(a) => schedule_activity::check(a, run, plan),
        Offered::RequestCancelActivity(a) => request_cancel_activity::check(*a, run, plan),
        Offered::StartTimer(a) => start_timer::check(a, run, plan),
        Offered::CancelTimer(a) => cancel_timer::check(a, run, plan),
        Offered::CompleteWorkflow(_) | Offered::CancelWorkflow(_) => Ok(()),
        Offered::FailWorkflow(a) => fail_workflow::check(a),
        Offered::ContinueAsNew(a) => continue_as_new::check(a),
        Offered::RecordMarker(a) => record_marker::check(a),
        Offered::UpsertSearchAttributes(a) => upsert_search_attributes::check(a),
        Offered::ModifyProperties(a) => modify_properties::check(a),
        Offered::SignalExternal(a) => signal_external::check(a, run, plan),
        Offered::CancelExternal(a) => cancel_external::check(a, run, plan),
        Offered::StartChild(a) => start_child::check(a, run, plan),
        Offered::Update(reply) => {
            run.check_reply(reply, &mut plan.updates).map_err(|problem| Refused::new(BAD_MESSAGE, problem))
        }
    }
}

fn closes(command: &Offered) -> bool {
    match command {
        Offered::CompleteWorkflow(_)
        | Offered::FailWorkflow(_)
        | Offered::CancelWorkflow(_)
        | Offered::ContinueAsNew(_) => true,
        Offered::ScheduleActivity(_)
        | Offered::RequestCancelActivity(_)
        | Offered::StartTimer(_)
        | Offered::CancelTimer(_)
        | Offered::RecordMarker(_)
        | Offered::UpsertSearchAttributes(_)
        | Offered::ModifyProperties(_)
        | Offered::SignalExternal(_)
        | Offered::CancelExternal(_)
        | Offered::StartChild(_)
        | Offered::Update(_) => false,
    }
}

/// Whether the workflow, which wants to end, has not seen what belongs to this run of it. Updates make it think again once;
/// if it still wants to, those who keep asking are not to keep it from ending.
fn has_unseen(command: &Offered, run: &Execution) -> bool {
    let events = !run.pending.buffer.is_empty() && !hands_over(command, run);
    events || (run.requested.has_unsent() && !run.close_deferred)
}

/// Whether what the workflow has not seen goes to the run that follows this one (decision 142).
fn hands_over(command: &Offered, run: &Execution) -> bool {
    matches!(command, Offered::ContinueAsNew(_)) && run.pending.buffer.is_for_any_run()
}

/// Carries out commands.
pub(super) fn apply(
    run: &mut Execution,
    commands: Vec<Checked>,
    completed_event_id: i64,
    cx: &mut Context<'_>,
) -> Applied {
    let mut applied = Applied { completed_event_id, ..Applied::default() };
    for Checked { offered, extra, .. } in commands {
        if !run.is_open() {
            break;
        }
        match offered {
            Offered::ScheduleActivity(a) => schedule_activity::apply(a, extra, run, &mut applied, cx),
            Offered::RequestCancelActivity(a) => {
                request_cancel_activity::apply(a, extra, run, &mut applied, cx);
            }
            Offered::StartTimer(a) => start_timer::apply(a, extra, run, &applied, cx),
            Offered::CancelTimer(a) => cancel_timer::apply(a, extra, run, &applied, cx),
            Offered::CompleteWorkflow(a) => complete_workflow::apply(a, extra, run, &applied, cx),
            Offered::FailWorkflow(a) => fail_workflow::apply(a, extra, run, &applied, cx),
            Offered::CancelWorkflow(a) => cancel_workflow::apply(a, extra, run, &applied, cx),
            Offered::ContinueAsNew(a) => continue_as_new::apply(a, extra, run, &applied, cx),
            Offered::RecordMarker(a) => record_marker::apply(a, extra, run, &applied, cx),
            Offered::UpsertSearchAttributes(a) => {
                upsert_search_attributes::apply(a, extra, run, &applied, cx);
            }
            Offered::ModifyProperties(a) => modify_properties::apply(a, extra, run, &applied, cx),
            Offered::SignalExternal(a) => signal_external::apply(a, extra, run, &applied, cx),
            Offered::CancelExternal(a) => cancel_external::apply(a, extra, run, &applied, cx),
            Offered::StartChild(a) => start_child::apply(a, extra, run, &applied, cx),
            Offered::Update(reply) => run.apply_reply(*reply, cx),
        }
    }
    // Results come behind all commands; a run that has ended hears of none.
    for id in std::mem::take(&mut applied.canceled) {
        if run.is_open() {
            applied.needs_task = true;
            run.activity_canceled_unstarted(id, SERVER, cx);
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
    run.push_event(event(Some(attributes), extra), cx)
}

/// Ends the run with a command's event.
fn close(run: &mut Execution, last: Last, extra: Extra, cx: &mut Context<'_>) {
    run.close(last, event(None, extra), cx);
}

fn event(attributes: Option<history_event::Attributes>, extra: Extra) -> HistoryEvent {
    HistoryEvent {
        attributes,
        user_metadata: extra.user_metadata,
        event_group_markers: extra.markers,
        ..Default::default()
    }
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

/// Of another run, which may be left open.
fn check_run_id(cause: Cause, run_id: &str) -> Result<(), Refused> {
    if !run_id.is_empty() && uuid::Uuid::parse_str(run_id).is_err() {
        return Err(Refused::new(cause, format!("Invalid RunId set on command. RunId={run_id}")));
    }
    Ok(())
}

/// As many signals and cancellations for other runs may wait for their answers.
const MAX_MESSAGES: usize = 2_000;

fn check_messages(cause: Cause, run: &Execution, plan: &mut Plan<'_>) -> Result<(), Refused> {
    plan.messages += 1;
    let outbox = &run.pending.outbox;
    if outbox.len() + plan.messages <= MAX_MESSAGES {
        return Ok(());
    }
    // Children that have not started wait there too, and have a limit of their own.
    let waiting = outbox.values().filter(|unsettled| !unsettled.starts_child()).count();
    if waiting + plan.messages > MAX_MESSAGES {
        return Err(Refused::new(
            cause,
            format!(
                "the number of pending signals and cancellations for other workflows has reached the limit of \
                 {MAX_MESSAGES}"
            ),
        ));
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
