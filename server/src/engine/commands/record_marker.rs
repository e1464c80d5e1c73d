//! `RECORD_MARKER`: something the worker wants to find again on replay.

use durably_proto::temporal::api::{
    command::v1::RecordMarkerCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{MarkerRecordedEventAttributes, history_event::Attributes},
};

use super::{Applied, Context, Execution, Extra, Refused, check_id, push};

pub(super) fn check(a: &Command) -> Result<(), Refused> {
    check_id(Cause::BadRecordMarkerAttributes, "MarkerName", &a.marker_name)
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let attributes = MarkerRecordedEventAttributes {
        marker_name: a.marker_name,
        details: a.details,
        workflow_task_completed_event_id: applied.completed_event_id,
        header: a.header,
        failure: a.failure,
    };
    push(run, Attributes::MarkerRecordedEventAttributes(attributes), extra, cx);
}
