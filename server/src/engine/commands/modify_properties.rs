//! `MODIFY_WORKFLOW_PROPERTIES`: sets, and with a null payload removes, memo fields of the run.

use durably_proto::temporal::api::{
    command::v1::ModifyWorkflowPropertiesCommandAttributes as Command,
    common::v1::Payload,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{WorkflowPropertiesModifiedEventAttributes, history_event::Attributes},
};

use super::{Applied, Context, Execution, Extra, Refused, push};

pub(super) fn check(a: &Command) -> Result<(), Refused> {
    if a.upserted_memo.as_ref().is_none_or(|memo| memo.fields.is_empty()) {
        return Err(Refused::new(
            Cause::BadModifyWorkflowPropertiesAttributes,
            "UpsertedMemo is not set on command.",
        ));
    }
    Ok(())
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let mut memo = run.memo().cloned().unwrap_or_default();
    for (name, payload) in a.upserted_memo.iter().flat_map(|given| &given.fields) {
        if removes(payload) {
            memo.fields.remove(name);
        } else {
            memo.fields.insert(name.clone(), payload.clone());
        }
    }
    run.state.memo = Some(memo);
    run.mark_attributes_changed();
    let attributes = WorkflowPropertiesModifiedEventAttributes {
        workflow_task_completed_event_id: applied.completed_event_id,
        upserted_memo: a.upserted_memo,
    };
    push(run, Attributes::WorkflowPropertiesModifiedEventAttributes(attributes), extra, cx);
}

/// A payload without data, or the JSON value null or an empty list, unsets its field.
pub(super) fn removes(payload: &Payload) -> bool {
    payload.data.is_empty() || matches!(payload.data.as_ref(), b"null" | b"[]")
}
