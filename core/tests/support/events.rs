//! Histories from text: one event per line, ids and times counted up (event N happens N seconds after the epoch).

use durably_proto::temporal::api::common::v1::{
    ActivityType, Payload, Payloads, WorkflowExecution, WorkflowType,
};
use durably_proto::temporal::api::enums::v1::{
    CancelExternalWorkflowExecutionFailedCause, EventType, SignalExternalWorkflowExecutionFailedCause,
    StartChildWorkflowExecutionFailedCause, WorkflowTaskFailedCause,
};
use durably_proto::temporal::api::failure::v1::Failure;
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::history::v1::*;
use durably_proto::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;
use durably_proto::temporal::api::taskqueue::v1::TaskQueue;
use durably_proto::temporal::api::update::v1::{Input, Meta, Request};
use prost_types::Timestamp;

pub(crate) fn payload(text: &str) -> Payload {
    Payload { data: text.as_bytes().to_vec().into(), ..Payload::default() }
}

pub(crate) fn payloads(text: Option<&&str>) -> Option<Payloads> {
    text.map(|text| Payloads { payloads: vec![payload(text)] })
}

/// Appends the events of a line. `task` stands for scheduled, started and completed.
pub(crate) fn push_line(history: &mut Vec<HistoryEvent>, line: &str) {
    if let Some(rest) = line.strip_prefix("task").filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
        push_line(history, "task-scheduled");
        push_line(history, "task-started");
        push_line(history, &format!("task-completed{rest}"));
        return;
    }
    let id = history.len() as i64 + 1;
    let (event_type, mut attributes, may_ignore) = decode_line(line);
    if let Some(Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(accepted)) = &mut attributes {
        let is_schedule = |event: &&HistoryEvent| event.event_type == EventType::WorkflowTaskScheduled as i32;
        let scheduled = history.iter().rfind(is_schedule);
        accepted.accepted_request_sequencing_event_id = scheduled.map_or(0, |event| event.event_id);
    }
    history.push(HistoryEvent {
        event_id: id,
        event_time: Some(Timestamp { seconds: id, nanos: 0 }),
        event_type: event_type as i32,
        worker_may_ignore: may_ignore,
        attributes,
        ..HistoryEvent::default()
    });
}

fn decode_line(line: &str) -> (EventType, Option<Attributes>, bool) {
    let words: Vec<&str> = line.split_whitespace().collect();
    // "@5": the event that began what this one is about.
    let origin = words.iter().find_map(|word| word.strip_prefix('@')).map_or(0, |id| id.parse().unwrap());
    let args: Vec<&str> = words[1..].iter().copied().filter(|word| !word.starts_with('@')).collect();
    let (event_type, attributes) = match words[0] {
        name if name.starts_with("task-") => task_event(name, &args),
        name if name.starts_with("activity-") => activity_event(name, &args, origin),
        name if name.starts_with("timer-") => timer_event(name, &args, origin),
        name if name.starts_with("child-") => child_event(name, &args, origin),
        name if name.starts_with("external-") => external_event(name, &args, origin),
        name if name.starts_with("update-") => update_event(name, &args),
        "unknown" => return (EventType::Unspecified, None, args.contains(&"ignorable")),
        name => workflow_event(name, &args),
    };
    (event_type, Some(attributes), false)
}

fn numbers(args: &[&str], name: &str) -> Vec<u32> {
    let list = args.iter().position(|arg| *arg == name).and_then(|place| args.get(place + 1));
    list.map(|list| list.split(',').map(|number| number.parse().unwrap()).collect()).unwrap_or_default()
}

fn task_event(name: &str, args: &[&str]) -> (EventType, Attributes) {
    match name {
        "task-scheduled" => (
            EventType::WorkflowTaskScheduled,
            Attributes::WorkflowTaskScheduledEventAttributes(WorkflowTaskScheduledEventAttributes::default()),
        ),
        "task-started" => (
            EventType::WorkflowTaskStarted,
            Attributes::WorkflowTaskStartedEventAttributes(WorkflowTaskStartedEventAttributes {
                history_size_bytes: 1000,
                suggest_continue_as_new: args.contains(&"suggest-continue-as-new"),
                ..WorkflowTaskStartedEventAttributes::default()
            }),
        ),
        // "core 1,3" and "lang 2" record flags; "core 1,3" is the default, "core none" records nothing. "sdk NAME" is who did.
        "task-completed" => {
            let core = if args.contains(&"none") { Vec::new() } else { numbers(args, "core") };
            let core = if core.is_empty() && !args.contains(&"none") { vec![1, 3] } else { core };
            let metadata = WorkflowTaskCompletedMetadata {
                core_used_flags: core,
                lang_used_flags: numbers(args, "lang"),
                sdk_name: args
                    .windows(2)
                    .find(|pair| pair[0] == "sdk")
                    .map_or_else(String::new, |pair| pair[1].to_owned()),
                ..WorkflowTaskCompletedMetadata::default()
            };
            (
                EventType::WorkflowTaskCompleted,
                Attributes::WorkflowTaskCompletedEventAttributes(WorkflowTaskCompletedEventAttributes {
                    sdk_metadata: Some(metadata),
                    ..WorkflowTaskCompletedEventAttributes::default()
                }),
            )
        }
        "task-failed" => {
            let reset = args.first() == Some(&"reset");
            let cause = if reset {
                WorkflowTaskFailedCause::ResetWorkflow
            } else {
                WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure
            };
            (
                EventType::WorkflowTaskFailed,
                Attributes::WorkflowTaskFailedEventAttributes(WorkflowTaskFailedEventAttributes {
                    cause: cause as i32,
                    new_run_id: args.get(1).copied().unwrap_or_default().to_owned(),
                    ..WorkflowTaskFailedEventAttributes::default()
                }),
            )
        }
        "task-timed-out" => (
            EventType::WorkflowTaskTimedOut,
            Attributes::WorkflowTaskTimedOutEventAttributes(WorkflowTaskTimedOutEventAttributes::default()),
        ),
        other => panic!("no such event: {other}"),
    }
}

fn activity_event(name: &str, args: &[&str], scheduled_event_id: i64) -> (EventType, Attributes) {
    match name {
        "activity-scheduled" => (
            EventType::ActivityTaskScheduled,
            Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes {
                activity_id: args[0].to_owned(),
                activity_type: Some(ActivityType { name: args[1].to_owned() }),
                ..ActivityTaskScheduledEventAttributes::default()
            }),
        ),
        "activity-started" => (
            EventType::ActivityTaskStarted,
            Attributes::ActivityTaskStartedEventAttributes(ActivityTaskStartedEventAttributes {
                scheduled_event_id,
                ..ActivityTaskStartedEventAttributes::default()
            }),
        ),
        "activity-completed" => (
            EventType::ActivityTaskCompleted,
            Attributes::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes {
                scheduled_event_id,
                result: payloads(args.first()),
                ..ActivityTaskCompletedEventAttributes::default()
            }),
        ),
        "activity-failed" => (
            EventType::ActivityTaskFailed,
            Attributes::ActivityTaskFailedEventAttributes(ActivityTaskFailedEventAttributes {
                scheduled_event_id,
                failure: Some(Failure { message: args.join(" "), ..Failure::default() }),
                ..ActivityTaskFailedEventAttributes::default()
            }),
        ),
        "activity-timed-out" => (
            EventType::ActivityTaskTimedOut,
            Attributes::ActivityTaskTimedOutEventAttributes(ActivityTaskTimedOutEventAttributes {
                scheduled_event_id,
                ..ActivityTaskTimedOutEventAttributes::default()
            }),
        ),
        "activity-cancel-requested" => (
            EventType::ActivityTaskCancelRequested,
            Attributes::ActivityTaskCancelRequestedEventAttributes(
                ActivityTaskCancelRequestedEventAttributes {
                    scheduled_event_id,
                    ..ActivityTaskCancelRequestedEventAttributes::default()
                },
            ),
        ),
        "activity-canceled" => (
            EventType::ActivityTaskCanceled,
            Attributes::ActivityTaskCanceledEventAttributes(ActivityTaskCanceledEventAttributes {
                scheduled_event_id,
                ..ActivityTaskCanceledEventAttributes::default()
            }),
        ),
        other => panic!("no such event: {other}"),
    }
}

fn timer_event(name: &str, args: &[&str], started_event_id: i64) -> (EventType, Attributes) {
    let timer_id = args[0].to_owned();
    match name {
        "timer-started" => (
            EventType::TimerStarted,
            Attributes::TimerStartedEventAttributes(TimerStartedEventAttributes {
                timer_id,
                ..TimerStartedEventAttributes::default()
            }),
        ),
        "timer-fired" => (
            EventType::TimerFired,
            Attributes::TimerFiredEventAttributes(TimerFiredEventAttributes { timer_id, started_event_id }),
        ),
        "timer-canceled" => (
            EventType::TimerCanceled,
            Attributes::TimerCanceledEventAttributes(TimerCanceledEventAttributes {
                timer_id,
                started_event_id,
                ..TimerCanceledEventAttributes::default()
            }),
        ),
        other => panic!("no such event: {other}"),
    }
}

fn execution(workflow_id: &str, run_id: &str) -> WorkflowExecution {
    WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() }
}

/// A child's ends say which run has ended, if it isn't the first: `of RUN` behind the rest.
fn child_event(name: &str, args: &[&str], initiated_event_id: i64) -> (EventType, Attributes) {
    let (args, run_id) = match args {
        [args @ .., "of", run_id] => (args, *run_id),
        _ => (args, "child-run"),
    };
    let workflow_execution = Some(execution("child", run_id));
    match name {
        "child-initiated" => (
            EventType::StartChildWorkflowExecutionInitiated,
            Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(
                StartChildWorkflowExecutionInitiatedEventAttributes {
                    workflow_id: args[0].to_owned(),
                    workflow_type: Some(WorkflowType { name: args[1].to_owned() }),
                    ..Default::default()
                },
            ),
        ),
        "child-start-failed" => (
            EventType::StartChildWorkflowExecutionFailed,
            Attributes::StartChildWorkflowExecutionFailedEventAttributes(
                StartChildWorkflowExecutionFailedEventAttributes {
                    initiated_event_id,
                    cause: StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists as i32,
                    ..Default::default()
                },
            ),
        ),
        "child-started" => (
            EventType::ChildWorkflowExecutionStarted,
            Attributes::ChildWorkflowExecutionStartedEventAttributes(
                ChildWorkflowExecutionStartedEventAttributes {
                    initiated_event_id,
                    workflow_execution: Some(execution("child", args.first().unwrap_or(&"child-run"))),
                    ..Default::default()
                },
            ),
        ),
        name => child_end(name, args, initiated_event_id, workflow_execution),
    }
}

fn child_end(
    name: &str,
    args: &[&str],
    initiated_event_id: i64,
    workflow_execution: Option<WorkflowExecution>,
) -> (EventType, Attributes) {
    match name {
        "child-completed" => (
            EventType::ChildWorkflowExecutionCompleted,
            Attributes::ChildWorkflowExecutionCompletedEventAttributes(
                ChildWorkflowExecutionCompletedEventAttributes {
                    initiated_event_id,
                    workflow_execution,
                    result: payloads(args.first()),
                    ..Default::default()
                },
            ),
        ),
        "child-failed" => (
            EventType::ChildWorkflowExecutionFailed,
            Attributes::ChildWorkflowExecutionFailedEventAttributes(
                ChildWorkflowExecutionFailedEventAttributes {
                    initiated_event_id,
                    workflow_execution,
                    failure: Some(Failure { message: args.join(" "), ..Failure::default() }),
                    ..Default::default()
                },
            ),
        ),
        "child-canceled" => (
            EventType::ChildWorkflowExecutionCanceled,
            Attributes::ChildWorkflowExecutionCanceledEventAttributes(
                ChildWorkflowExecutionCanceledEventAttributes {
                    initiated_event_id,
                    workflow_execution,
                    ..Default::default()
                },
            ),
        ),
        "child-timed-out" => (
            EventType::ChildWorkflowExecutionTimedOut,
            Attributes::ChildWorkflowExecutionTimedOutEventAttributes(
                ChildWorkflowExecutionTimedOutEventAttributes {
                    initiated_event_id,
                    workflow_execution,
                    ..Default::default()
                },
            ),
        ),
        "child-terminated" => (
            EventType::ChildWorkflowExecutionTerminated,
            Attributes::ChildWorkflowExecutionTerminatedEventAttributes(
                ChildWorkflowExecutionTerminatedEventAttributes {
                    initiated_event_id,
                    workflow_execution,
                    ..Default::default()
                },
            ),
        ),
        other => panic!("no such event: {other}"),
    }
}

/// What the run told another one.
fn external_event(name: &str, args: &[&str], initiated_event_id: i64) -> (EventType, Attributes) {
    match name {
        "external-signal-initiated" => (
            EventType::SignalExternalWorkflowExecutionInitiated,
            Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(
                SignalExternalWorkflowExecutionInitiatedEventAttributes {
                    signal_name: args[0].to_owned(),
                    workflow_execution: Some(execution(args[1], "")),
                    ..Default::default()
                },
            ),
        ),
        "external-signaled" => (
            EventType::ExternalWorkflowExecutionSignaled,
            Attributes::ExternalWorkflowExecutionSignaledEventAttributes(
                ExternalWorkflowExecutionSignaledEventAttributes { initiated_event_id, ..Default::default() },
            ),
        ),
        "external-signal-failed" => (
            EventType::SignalExternalWorkflowExecutionFailed,
            Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(
                SignalExternalWorkflowExecutionFailedEventAttributes {
                    initiated_event_id,
                    cause: SignalExternalWorkflowExecutionFailedCause::ExternalWorkflowExecutionNotFound
                        as i32,
                    ..Default::default()
                },
            ),
        ),
        "external-cancel-initiated" => (
            EventType::RequestCancelExternalWorkflowExecutionInitiated,
            Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(
                RequestCancelExternalWorkflowExecutionInitiatedEventAttributes {
                    workflow_execution: Some(execution(args[0], "")),
                    ..Default::default()
                },
            ),
        ),
        "external-cancel-requested" => (
            EventType::ExternalWorkflowExecutionCancelRequested,
            Attributes::ExternalWorkflowExecutionCancelRequestedEventAttributes(
                ExternalWorkflowExecutionCancelRequestedEventAttributes {
                    initiated_event_id,
                    ..Default::default()
                },
            ),
        ),
        "external-cancel-failed" => (
            EventType::RequestCancelExternalWorkflowExecutionFailed,
            Attributes::RequestCancelExternalWorkflowExecutionFailedEventAttributes(
                RequestCancelExternalWorkflowExecutionFailedEventAttributes {
                    initiated_event_id,
                    cause: CancelExternalWorkflowExecutionFailedCause::ExternalWorkflowExecutionNotFound
                        as i32,
                    ..Default::default()
                },
            ),
        ),
        other => panic!("no such event: {other}"),
    }
}

pub(crate) fn update_request(name: &str, id: &str, argument: Option<&&str>) -> Request {
    let input = Input { name: name.to_owned(), args: payloads(argument), ..Input::default() };
    let meta = Meta { update_id: id.to_owned(), identity: "someone".to_owned() };
    Request { meta: Some(meta), input: Some(input), ..Request::default() }
}

/// `update-accepted NAME ID [ARGUMENT]` (`update-accepted - ID` if it was admitted before), `update-completed ID`, and
/// `update-admitted NAME ID [ARGUMENT]`.
fn update_event(name: &str, args: &[&str]) -> (EventType, Attributes) {
    let id = args.get(1).copied().unwrap_or_default();
    match name {
        "update-accepted" => (
            EventType::WorkflowExecutionUpdateAccepted,
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(
                WorkflowExecutionUpdateAcceptedEventAttributes {
                    protocol_instance_id: id.to_owned(),
                    accepted_request_message_id: format!("{id}/request"),
                    accepted_request: (args[0] != "-").then(|| update_request(args[0], id, args.get(2))),
                    ..Default::default()
                },
            ),
        ),
        "update-completed" => (
            EventType::WorkflowExecutionUpdateCompleted,
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(
                WorkflowExecutionUpdateCompletedEventAttributes {
                    meta: update_request("", args[0], None).meta,
                    ..Default::default()
                },
            ),
        ),
        "update-admitted" => (
            EventType::WorkflowExecutionUpdateAdmitted,
            Attributes::WorkflowExecutionUpdateAdmittedEventAttributes(
                WorkflowExecutionUpdateAdmittedEventAttributes {
                    request: Some(update_request(args[0], id, args.get(2))),
                    ..Default::default()
                },
            ),
        ),
        other => panic!("no such event: {other}"),
    }
}

fn workflow_event(name: &str, args: &[&str]) -> (EventType, Attributes) {
    match name {
        "started" => (
            EventType::WorkflowExecutionStarted,
            Attributes::WorkflowExecutionStartedEventAttributes(WorkflowExecutionStartedEventAttributes {
                workflow_type: Some(WorkflowType { name: args[0].to_owned() }),
                task_queue: Some(TaskQueue { name: "queue".to_owned(), ..TaskQueue::default() }),
                original_execution_run_id: "run".to_owned(),
                workflow_id: "order-1".to_owned(),
                ..WorkflowExecutionStartedEventAttributes::default()
            }),
        ),
        "signaled" => (
            EventType::WorkflowExecutionSignaled,
            Attributes::WorkflowExecutionSignaledEventAttributes(WorkflowExecutionSignaledEventAttributes {
                signal_name: args[0].to_owned(),
                input: payloads(args.get(1)),
                ..WorkflowExecutionSignaledEventAttributes::default()
            }),
        ),
        "cancel-requested" => (
            EventType::WorkflowExecutionCancelRequested,
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(
                WorkflowExecutionCancelRequestedEventAttributes {
                    cause: args.join(" "),
                    ..WorkflowExecutionCancelRequestedEventAttributes::default()
                },
            ),
        ),
        "completed" => (
            EventType::WorkflowExecutionCompleted,
            Attributes::WorkflowExecutionCompletedEventAttributes(
                WorkflowExecutionCompletedEventAttributes::default(),
            ),
        ),
        "failed" => (
            EventType::WorkflowExecutionFailed,
            Attributes::WorkflowExecutionFailedEventAttributes(
                WorkflowExecutionFailedEventAttributes::default(),
            ),
        ),
        "canceled" => (
            EventType::WorkflowExecutionCanceled,
            Attributes::WorkflowExecutionCanceledEventAttributes(
                WorkflowExecutionCanceledEventAttributes::default(),
            ),
        ),
        "continued-as-new" => (
            EventType::WorkflowExecutionContinuedAsNew,
            Attributes::WorkflowExecutionContinuedAsNewEventAttributes(
                WorkflowExecutionContinuedAsNewEventAttributes::default(),
            ),
        ),
        "terminated" => (
            EventType::WorkflowExecutionTerminated,
            Attributes::WorkflowExecutionTerminatedEventAttributes(
                WorkflowExecutionTerminatedEventAttributes::default(),
            ),
        ),
        "options-updated" => (
            EventType::WorkflowExecutionOptionsUpdated,
            Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(
                WorkflowExecutionOptionsUpdatedEventAttributes::default(),
            ),
        ),
        other => panic!("no such event: {other}"),
    }
}
