//! One machine per command kind, and the closed list of kinds.
//!
//! This file names every kind; beside it only `jobs.rs`, which ranks their jobs, and `worker/large.rs`, which names what is too
//! large, have some of them. To add one: its messages in `workflow.proto`, its file here (machine, decoding of its events,
//! making of its command, tests), its lines in the lists below, and the SDK's call.
//! Still to come, and refused by name until then (`lacking` in `history.rs`): patch (`MarkerRecorded` "core_patch"), local activity
//! ("core_local_activity"), search attributes, workflow properties, nexus.
//!
//! A machine stands for one thing that the workflow's code asked for. It is an enum whose variants are named for what
//! they await; `handle(self, event, &mut Effects)` moves it on or says why history and code can't both be right. A machine
//! that is `Finished` is forgotten.

pub(crate) mod activity;
pub(crate) mod cancel_external;
pub(crate) mod child_workflow;
pub(crate) mod close;
pub(crate) mod continue_as_new;
#[cfg(test)]
pub(crate) mod probe;
pub(crate) mod signal_external;
#[cfg(test)]
pub(crate) mod table;
pub(crate) mod timer;
pub(crate) mod update;

use std::fmt;

use durably_proto::durably::core::v1::WorkflowCommand;
use durably_proto::durably::core::v1::workflow_command::Command as CodeCommand;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::common::v1::{Memo, RetryPolicy, SearchAttributes};
use durably_proto::temporal::api::enums::v1::CommandType;
use durably_proto::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;
use durably_proto::temporal::api::history::v1::history_event::Attributes;

use super::history::{Decoded, lacking};
use super::initialize::{self, Identity};
use super::messages::OutgoingMessage;
use super::mismatch::{Change, Mismatch};

/// A command of the workflow's code that breaks the contract. Fails the task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadCommand(pub(crate) String);

/// What happens to a machine: an event of the history, or the code's wish to cancel.
#[derive(Clone, Debug)]
pub(crate) enum MachineEvent {
    Activity(activity::Event),
    CancelExternal(cancel_external::Event),
    Child(child_workflow::Event),
    SignalExternal(signal_external::Event),
    Timer(timer::Event),
    Update(update::Event),
    Close(close::Event),
    #[cfg(test)]
    Probe(probe::Event),
}

#[derive(Clone, Debug)]
pub(crate) enum Machine {
    Activity(activity::ActivityMachine),
    CancelExternal(cancel_external::CancelExternalMachine),
    Child(child_workflow::ChildMachine),
    SignalExternal(signal_external::SignalExternalMachine),
    Timer(timer::TimerMachine),
    Update(update::UpdateMachine),
    Close(close::CloseMachine),
    #[cfg(test)]
    Probe(probe::ProbeMachine),
}

/// What a machine sees of the run, and what it wants done. Jobs first, then the commands.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Whether ids and types must agree with the history (core flag 1).
    pub(crate) compare_ids: bool,
    /// For the next activation.
    pub(crate) jobs: Vec<Job>,
    /// To be sent behind everything issued so far, and to be recorded as events of this machine, in their order.
    pub(crate) commands: Vec<CommandAttributes>,
    /// What goes to the server beside the commands; nothing does in a replay.
    pub(crate) messages: Vec<OutgoingMessage>,
    /// To be sent behind those, and to be recorded as events of these machines. An event of the history wants it only for
    /// as long as its machine isn't finished before the code gets to work.
    pub(crate) begun: Vec<(Machine, CommandAttributes)>,
}

/// The numbers that the SDK gives out per kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sequence {
    Timer,
    Activity,
    ChildWorkflow,
    SignalExternal,
    CancelExternal,
}

/// How what a command begins gets the id that the code doesn't choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `seq` in decimal.
    Sequence,
    /// The id that the event of its command is going to have. Replaying, it takes the id of the history.
    EventId(i64),
}

/// What a command of the code comes to.
#[derive(Debug)]
pub(crate) enum Issued {
    /// Something new, known by `seq` if the code can refer to it later.
    /// Its commands are recorded as events of this machine, in their order.
    Begin { seq: Option<(Sequence, u32)>, machine: Machine, commands: Vec<CommandAttributes> },
    /// Something that exists has to hear of it.
    Tell { seq: (Sequence, u32), event: MachineEvent },
    /// The answer to an update.
    Respond { update_id: String, event: update::Event },
    /// The answer to a query: not for machines.
    Answer { query_id: String },
}

/// What commands take over from the run's start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) namespace: String,
    /// The run's; after a reset, that of the reset. Ids are made of it, so it must be the same on replay.
    pub(crate) run_id: String,
    pub(crate) workflow_type: String,
    pub(crate) task_queue: String,
    pub(crate) memo: Option<Memo>,
    pub(crate) search_attributes: Option<SearchAttributes>,
    pub(crate) retry_policy: Option<RetryPolicy>,
}

impl Inherited {
    pub(crate) fn from_started(
        started: &WorkflowExecutionStartedEventAttributes,
        identity: &Identity,
    ) -> Inherited {
        let workflow_type = started.workflow_type.as_ref();
        Inherited {
            namespace: identity.namespace.clone(),
            run_id: initialize::original_run_id(started, identity).to_owned(),
            workflow_type: workflow_type.map(|workflow_type| workflow_type.name.clone()).unwrap_or_default(),
            task_queue: started.task_queue.as_ref().map(|queue| queue.name.clone()).unwrap_or_default(),
            memo: started.memo.clone(),
            search_attributes: started.search_attributes.clone(),
            retry_policy: started.retry_policy.clone(),
        }
    }

    /// The namespace that a command gives; the run's if it gives none.
    pub(crate) fn or_namespace(&self, given: String) -> String {
        if given.is_empty() { self.namespace.clone() } else { given }
    }
}

/// Decodes an event that belongs to a command kind.
pub(crate) fn decode(event_id: i64, attributes: Attributes) -> Decoded {
    #[cfg(test)]
    if let Some(decoded) = probe::decode(&attributes) {
        return decoded;
    }
    match decoder(&attributes) {
        Some(decode) => decode(event_id, attributes),
        None => Err(lacking(&attributes)),
    }
}

/// What decodes an event of this type, if anything does. `history` has decoded those of the run itself before.
fn decoder(attributes: &Attributes) -> Option<fn(i64, Attributes) -> Decoded> {
    use Attributes as A;
    match attributes {
        A::ActivityTaskScheduledEventAttributes(_)
        | A::ActivityTaskStartedEventAttributes(_)
        | A::ActivityTaskCompletedEventAttributes(_)
        | A::ActivityTaskFailedEventAttributes(_)
        | A::ActivityTaskTimedOutEventAttributes(_)
        | A::ActivityTaskCancelRequestedEventAttributes(_)
        | A::ActivityTaskCanceledEventAttributes(_) => Some(activity::decode),
        A::StartChildWorkflowExecutionInitiatedEventAttributes(_)
        | A::StartChildWorkflowExecutionFailedEventAttributes(_)
        | A::ChildWorkflowExecutionStartedEventAttributes(_)
        | A::ChildWorkflowExecutionCompletedEventAttributes(_)
        | A::ChildWorkflowExecutionFailedEventAttributes(_)
        | A::ChildWorkflowExecutionCanceledEventAttributes(_)
        | A::ChildWorkflowExecutionTimedOutEventAttributes(_)
        | A::ChildWorkflowExecutionTerminatedEventAttributes(_) => Some(child_workflow::decode),
        A::SignalExternalWorkflowExecutionInitiatedEventAttributes(_)
        | A::SignalExternalWorkflowExecutionFailedEventAttributes(_)
        | A::ExternalWorkflowExecutionSignaledEventAttributes(_) => Some(signal_external::decode),
        A::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(_)
        | A::RequestCancelExternalWorkflowExecutionFailedEventAttributes(_)
        | A::ExternalWorkflowExecutionCancelRequestedEventAttributes(_) => Some(cancel_external::decode),
        A::TimerStartedEventAttributes(_)
        | A::TimerFiredEventAttributes(_)
        | A::TimerCanceledEventAttributes(_) => Some(|_, attributes| timer::decode(attributes)),
        A::WorkflowExecutionCompletedEventAttributes(_)
        | A::WorkflowExecutionFailedEventAttributes(_)
        | A::WorkflowExecutionCanceledEventAttributes(_)
        | A::WorkflowExecutionContinuedAsNewEventAttributes(_) => {
            Some(|_, attributes| close::decode(attributes))
        }
        A::WorkflowExecutionUpdateAcceptedEventAttributes(_)
        | A::WorkflowExecutionUpdateCompletedEventAttributes(_)
        | A::WorkflowExecutionUpdateAdmittedEventAttributes(_) => Some(update::decode),
        A::MarkerRecordedEventAttributes(_)
        | A::UpsertWorkflowSearchAttributesEventAttributes(_)
        | A::WorkflowPropertiesModifiedEventAttributes(_)
        | A::WorkflowExecutionUpdateRejectedEventAttributes(_)
        | A::NexusOperationScheduledEventAttributes(_)
        | A::NexusOperationStartedEventAttributes(_)
        | A::NexusOperationCompletedEventAttributes(_)
        | A::NexusOperationFailedEventAttributes(_)
        | A::NexusOperationCanceledEventAttributes(_)
        | A::NexusOperationTimedOutEventAttributes(_)
        | A::NexusOperationCancelRequestedEventAttributes(_)
        | A::NexusOperationCancelRequestCompletedEventAttributes(_)
        | A::NexusOperationCancelRequestFailedEventAttributes(_)
        | A::WorkflowExecutionStartedEventAttributes(_)
        | A::WorkflowTaskScheduledEventAttributes(_)
        | A::WorkflowTaskStartedEventAttributes(_)
        | A::WorkflowTaskCompletedEventAttributes(_)
        | A::WorkflowTaskFailedEventAttributes(_)
        | A::WorkflowTaskTimedOutEventAttributes(_)
        | A::WorkflowExecutionSignaledEventAttributes(_)
        | A::WorkflowExecutionCancelRequestedEventAttributes(_)
        | A::WorkflowExecutionTerminatedEventAttributes(_)
        | A::WorkflowExecutionTimedOutEventAttributes(_)
        | A::WorkflowExecutionOptionsUpdatedEventAttributes(_)
        | A::WorkflowPropertiesModifiedExternallyEventAttributes(_)
        | A::ActivityPropertiesModifiedExternallyEventAttributes(_)
        | A::WorkflowExecutionPausedEventAttributes(_)
        | A::WorkflowExecutionUnpausedEventAttributes(_)
        | A::WorkflowExecutionTimeSkippingTransitionedEventAttributes(_) => None,
    }
}

/// Makes a machine, or an event for one, of a command. `inherited` is what it takes over from the run.
pub(crate) fn issue(
    command: CodeCommand,
    inherited: &Inherited,
    naming: Naming,
) -> Result<Issued, BadCommand> {
    match command {
        CodeCommand::StartTimer(command) => timer::start(command, naming),
        CodeCommand::CancelTimer(command) => {
            let event = MachineEvent::Timer(timer::Event::Cancel);
            Ok(Issued::Tell { seq: (Sequence::Timer, command.seq), event })
        }
        CodeCommand::ScheduleActivity(command) => activity::schedule(command, inherited, naming),
        CodeCommand::RequestCancelActivity(command) => {
            let event = MachineEvent::Activity(activity::Event::Cancel);
            Ok(Issued::Tell { seq: (Sequence::Activity, command.seq), event })
        }
        CodeCommand::CompleteWorkflow(command) => Ok(close::complete(command)),
        CodeCommand::FailWorkflow(command) => close::fail(command),
        CodeCommand::CancelWorkflow(command) => Ok(close::cancel(command)),
        CodeCommand::ContinueAsNew(command) => Ok(continue_as_new::continue_as_new(command, inherited)),
        CodeCommand::QueryAnswer(answer) => Ok(Issued::Answer { query_id: answer.id }),
        CodeCommand::UpdateAnswer(answer) => update::answer(answer),
        CodeCommand::StartChildWorkflow(command) => child_workflow::start(command, inherited, naming),
        CodeCommand::CancelChildWorkflow(command) => {
            let event = MachineEvent::Child(child_workflow::Event::Cancel { reason: command.reason });
            Ok(Issued::Tell { seq: (Sequence::ChildWorkflow, command.seq), event })
        }
        CodeCommand::SignalExternalWorkflow(command) => signal_external::signal(command, inherited, naming),
        CodeCommand::CancelSignalExternalWorkflow(command) => {
            let event = MachineEvent::SignalExternal(signal_external::Event::Cancel);
            Ok(Issued::Tell { seq: (Sequence::SignalExternal, command.seq), event })
        }
        CodeCommand::RequestCancelExternalWorkflow(command) => {
            cancel_external::request(command, inherited, naming)
        }
    }
}

/// Whether the run ends with this command.
pub(crate) fn is_terminal(command: &WorkflowCommand) -> bool {
    match command.command {
        Some(
            CodeCommand::CompleteWorkflow(_)
            | CodeCommand::FailWorkflow(_)
            | CodeCommand::CancelWorkflow(_)
            | CodeCommand::ContinueAsNew(_),
        ) => true,
        Some(
            CodeCommand::StartTimer(_)
            | CodeCommand::CancelTimer(_)
            | CodeCommand::ScheduleActivity(_)
            | CodeCommand::RequestCancelActivity(_)
            | CodeCommand::StartChildWorkflow(_)
            | CodeCommand::CancelChildWorkflow(_)
            | CodeCommand::SignalExternalWorkflow(_)
            | CodeCommand::CancelSignalExternalWorkflow(_)
            | CodeCommand::RequestCancelExternalWorkflow(_)
            | CodeCommand::QueryAnswer(_)
            | CodeCommand::UpdateAnswer(_),
        )
        | None => false,
    }
}

/// Whether it is an answer to an update.
pub(crate) fn answers_update(command: &WorkflowCommand) -> bool {
    matches!(command.command, Some(CodeCommand::UpdateAnswer(_)))
}

/// The API's number for a command.
pub(crate) fn command_type(attributes: &CommandAttributes) -> CommandType {
    use CommandAttributes as A;
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
        A::ProtocolMessageCommandAttributes(_) => CommandType::ProtocolMessage,
        A::StartChildWorkflowExecutionCommandAttributes(_) => CommandType::StartChildWorkflowExecution,
        A::SignalExternalWorkflowExecutionCommandAttributes(_) => {
            CommandType::SignalExternalWorkflowExecution
        }
        A::RequestCancelExternalWorkflowExecutionCommandAttributes(_) => {
            CommandType::RequestCancelExternalWorkflowExecution
        }
        A::ScheduleNexusOperationCommandAttributes(_) => CommandType::ScheduleNexusOperation,
        A::RequestCancelNexusOperationCommandAttributes(_) => CommandType::RequestCancelNexusOperation,
    }
}

impl Machine {
    /// Any machine that awaits nothing.
    pub(crate) const FINISHED: Machine = Machine::Close(close::CloseMachine::Finished);

    pub(crate) fn handle(self, event: MachineEvent, effects: &mut Effects) -> Result<Machine, Box<Mismatch>> {
        match (self, event) {
            (Machine::Activity(machine), MachineEvent::Activity(event)) => {
                machine.handle(event, effects).map(Machine::Activity)
            }
            (Machine::CancelExternal(machine), MachineEvent::CancelExternal(event)) => {
                machine.handle(event, effects).map(Machine::CancelExternal)
            }
            (Machine::Child(machine), MachineEvent::Child(event)) => {
                machine.handle(event, effects).map(Machine::Child)
            }
            (Machine::SignalExternal(machine), MachineEvent::SignalExternal(event)) => {
                machine.handle(event, effects).map(Machine::SignalExternal)
            }
            (Machine::Timer(machine), MachineEvent::Timer(event)) => {
                machine.handle(event, effects).map(Machine::Timer)
            }
            (Machine::Update(machine), MachineEvent::Update(event)) => {
                machine.handle(event, effects).map(Machine::Update)
            }
            (Machine::Close(machine), MachineEvent::Close(event)) => {
                machine.handle(event, effects).map(Machine::Close)
            }
            #[cfg(test)]
            (Machine::Probe(machine), MachineEvent::Probe(event)) => {
                machine.handle(event, effects).map(Machine::Probe)
            }
            // Each kind by its name: a new one whose events are not handled above doesn't compile.
            (
                machine @ (Machine::Activity(_)
                | Machine::CancelExternal(_)
                | Machine::Child(_)
                | Machine::SignalExternal(_)
                | Machine::Timer(_)
                | Machine::Update(_)
                | Machine::Close(_)),
                event,
            ) => Err(Mismatch::new(Change::Kind, &event, &machine)),
            #[cfg(test)]
            (machine @ Machine::Probe(_), event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }

    /// A command of the machine's is about to be sent.
    pub(crate) fn finish(&self, command: &mut CommandAttributes) {
        match self {
            Machine::Activity(machine) => machine.finish(command),
            Machine::CancelExternal(_)
            | Machine::Child(_)
            | Machine::SignalExternal(_)
            | Machine::Timer(_)
            | Machine::Update(_)
            | Machine::Close(_) => {}
            #[cfg(test)]
            Machine::Probe(_) => {}
        }
    }

    /// Whether it awaits nothing.
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Machine::Activity(machine) => matches!(machine, activity::ActivityMachine::Finished),
            Machine::CancelExternal(machine) => {
                matches!(machine, cancel_external::CancelExternalMachine::Finished)
            }
            Machine::Child(machine) => matches!(machine, child_workflow::ChildMachine::Finished),
            Machine::SignalExternal(machine) => {
                matches!(machine, signal_external::SignalExternalMachine::Finished)
            }
            Machine::Timer(machine) => matches!(machine, timer::TimerMachine::Finished),
            Machine::Update(machine) => matches!(machine, update::UpdateMachine::Finished),
            Machine::Close(machine) => matches!(machine, close::CloseMachine::Finished),
            #[cfg(test)]
            Machine::Probe(machine) => matches!(machine, probe::ProbeMachine::Finished),
        }
    }

    /// Whether it awaits something that this process does. The workflow task is not over before that.
    pub(crate) fn awaits_local_work(&self) -> bool {
        match self {
            Machine::Activity(_)
            | Machine::CancelExternal(_)
            | Machine::Child(_)
            | Machine::SignalExternal(_)
            | Machine::Timer(_)
            | Machine::Update(_)
            | Machine::Close(_) => false,
            #[cfg(test)]
            Machine::Probe(machine) => machine.awaits_local_work(),
        }
    }

    /// Whether the history may lack its commands: then it counts as never begun.
    pub(crate) fn is_optional(&self) -> bool {
        match self {
            Machine::Activity(_)
            | Machine::CancelExternal(_)
            | Machine::Child(_)
            | Machine::SignalExternal(_)
            | Machine::Timer(_)
            | Machine::Update(_)
            | Machine::Close(_) => false,
            #[cfg(test)]
            Machine::Probe(machine) => machine.is_optional(),
        }
    }

    /// Whether this event can be the next of the machine's commands, as the history has it.
    pub(crate) fn takes(&self, event: &MachineEvent) -> bool {
        let mut effects = Effects { compare_ids: true, ..Effects::default() };
        self.clone().handle(event.clone(), &mut effects).is_ok()
    }
}

impl MachineEvent {
    /// Whether nothing can follow in this run.
    pub(crate) fn closes_run(&self) -> bool {
        match self {
            MachineEvent::Close(_) => true,
            MachineEvent::Activity(_)
            | MachineEvent::CancelExternal(_)
            | MachineEvent::Child(_)
            | MachineEvent::SignalExternal(_)
            | MachineEvent::Timer(_)
            | MachineEvent::Update(_) => false,
            #[cfg(test)]
            MachineEvent::Probe(_) => false,
        }
    }

    /// Whether the code need not issue what this event records.
    pub(crate) fn is_optional(&self) -> bool {
        match self {
            MachineEvent::Activity(_)
            | MachineEvent::CancelExternal(_)
            | MachineEvent::Child(_)
            | MachineEvent::SignalExternal(_)
            | MachineEvent::Timer(_)
            | MachineEvent::Update(_)
            | MachineEvent::Close(_) => false,
            #[cfg(test)]
            MachineEvent::Probe(event) => event.is_optional(),
        }
    }

    /// The update that this event records as accepted: the code has to be asked for it before that.
    pub(crate) fn accepted_update(&self) -> Option<&update::Accepted> {
        match self {
            MachineEvent::Update(update::Event::Accepted(accepted)) => Some(accepted),
            _ => None,
        }
    }

    /// What the code must know before it issues the command that this event records.
    pub(crate) fn look_ahead(&self) -> Option<Job> {
        match self {
            MachineEvent::Activity(_)
            | MachineEvent::CancelExternal(_)
            | MachineEvent::Child(_)
            | MachineEvent::SignalExternal(_)
            | MachineEvent::Timer(_)
            | MachineEvent::Update(_)
            | MachineEvent::Close(_) => None,
            #[cfg(test)]
            MachineEvent::Probe(event) => event.look_ahead(),
        }
    }
}

/// What the machine awaits, in the form of the event that would record it.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Machine::Activity(machine) => machine.fmt(f),
            Machine::CancelExternal(machine) => machine.fmt(f),
            Machine::Child(machine) => machine.fmt(f),
            Machine::SignalExternal(machine) => machine.fmt(f),
            Machine::Timer(machine) => machine.fmt(f),
            Machine::Update(machine) => machine.fmt(f),
            Machine::Close(machine) => machine.fmt(f),
            #[cfg(test)]
            Machine::Probe(machine) => machine.fmt(f),
        }
    }
}

impl fmt::Display for MachineEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MachineEvent::Activity(event) => event.fmt(f),
            MachineEvent::CancelExternal(event) => event.fmt(f),
            MachineEvent::Child(event) => event.fmt(f),
            MachineEvent::SignalExternal(event) => event.fmt(f),
            MachineEvent::Timer(event) => event.fmt(f),
            MachineEvent::Update(event) => event.fmt(f),
            MachineEvent::Close(event) => event.fmt(f),
            #[cfg(test)]
            MachineEvent::Probe(event) => event.fmt(f),
        }
    }
}
