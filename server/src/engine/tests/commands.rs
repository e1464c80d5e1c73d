//! Commands of a worker, from words.

use durably_proto::temporal::api::{
    command::v1::{command::Attributes as C, *},
    common::v1::*,
    enums::v1::*,
};

use super::script::{application, span};
use crate::engine::duration;

/// The command that these words stand for.
pub(super) fn command(words: &[&str]) -> Command {
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let option = |name: &str| {
        words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let time = |name: &str| option(name).map(|value| duration(span(&value)));
    let attributes = match word(0) {
        "activity" => C::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
            activity_id: word(1).into(),
            activity_type: Some(ActivityType { name: "charge".into() }),
            start_to_close_timeout: time("close"),
            schedule_to_close_timeout: time("all"),
            schedule_to_start_timeout: time("start"),
            heartbeat_timeout: time("beat"),
            retry_policy: option("attempts")
                .map(|n| RetryPolicy { maximum_attempts: n.parse().unwrap(), ..Default::default() }),
            request_eager_execution: words.contains(&"eager"),
            ..Default::default()
        }),
        "cancel-activity" => {
            C::RequestCancelActivityTaskCommandAttributes(RequestCancelActivityTaskCommandAttributes {
                scheduled_event_id: word(1).parse().unwrap(),
            })
        }
        "timer" => C::StartTimerCommandAttributes(StartTimerCommandAttributes {
            timer_id: word(1).into(),
            start_to_fire_timeout: Some(duration(span(word(2)))),
        }),
        "signal-other" => C::SignalExternalWorkflowExecutionCommandAttributes(
            SignalExternalWorkflowExecutionCommandAttributes {
                execution: Some(WorkflowExecution { workflow_id: word(1).into(), run_id: String::new() }),
                signal_name: word(2).into(),
                ..Default::default()
            },
        ),
        "cancel-timer" => {
            C::CancelTimerCommandAttributes(CancelTimerCommandAttributes { timer_id: word(1).into() })
        }
        "finish" => C::CompleteWorkflowExecutionCommandAttributes(Default::default()),
        "give-up" => C::FailWorkflowExecutionCommandAttributes(FailWorkflowExecutionCommandAttributes {
            failure: Some(application(word(1))),
        }),
        "accept-cancel" => C::CancelWorkflowExecutionCommandAttributes(Default::default()),
        "continue" => C::ContinueAsNewWorkflowExecutionCommandAttributes(Default::default()),
        "marker" => C::RecordMarkerCommandAttributes(RecordMarkerCommandAttributes {
            marker_name: word(1).into(),
            ..Default::default()
        }),
        "memo" => C::ModifyWorkflowPropertiesCommandAttributes(ModifyWorkflowPropertiesCommandAttributes {
            upserted_memo: Some(Memo { fields: [("k".to_owned(), Payload::default())].into() }),
        }),
        "cancel-other" => C::RequestCancelExternalWorkflowExecutionCommandAttributes(
            RequestCancelExternalWorkflowExecutionCommandAttributes {
                workflow_id: word(1).into(),
                reason: word(2).into(),
                ..Default::default()
            },
        ),
        "child" => C::StartChildWorkflowExecutionCommandAttributes(child(
            word(1),
            option("policy").as_deref(),
            time("run"),
        )),
        other => panic!("unknown command {other}"),
    };
    let command_type = crate::engine::commands::kind(&attributes) as i32;
    Command { command_type, attributes: Some(attributes), ..Default::default() }
}

/// The command that stands for a message.
pub(super) fn protocol_message(message_id: &str) -> Command {
    let attributes = C::ProtocolMessageCommandAttributes(ProtocolMessageCommandAttributes {
        message_id: message_id.into(),
    });
    let command_type = CommandType::ProtocolMessage as i32;
    Command { command_type, attributes: Some(attributes), ..Default::default() }
}

fn child(
    id: &str,
    policy: Option<&str>,
    workflow_run_timeout: Option<prost_types::Duration>,
) -> StartChildWorkflowExecutionCommandAttributes {
    let policy = match policy {
        None => ParentClosePolicy::Unspecified,
        Some("abandon") => ParentClosePolicy::Abandon,
        Some("cancel") => ParentClosePolicy::RequestCancel,
        Some("terminate") => ParentClosePolicy::Terminate,
        Some(other) => panic!("unknown policy {other}"),
    };
    StartChildWorkflowExecutionCommandAttributes {
        workflow_id: id.into(),
        workflow_type: Some(WorkflowType { name: "child".into() }),
        parent_close_policy: policy as i32,
        workflow_run_timeout,
        ..Default::default()
    }
}
