//! `UPSERT_WORKFLOW_SEARCH_ATTRIBUTES`: sets, and with an empty payload removes, search attributes of the run.

use durably_proto::temporal::api::{
    command::v1::UpsertWorkflowSearchAttributesCommandAttributes as Command,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{UpsertWorkflowSearchAttributesEventAttributes, history_event::Attributes},
};

use super::{Applied, Context, Execution, Extra, Refused, check_attributes, push};

pub(super) fn check(a: &Command) -> Result<(), Refused> {
    if a.search_attributes.as_ref().is_none_or(|given| given.indexed_fields.is_empty()) {
        return Err(Refused::new(Cause::BadSearchAttributes, "IndexedFields is not set on command."));
    }
    check_attributes(a.search_attributes.as_ref())
}

pub(super) fn apply(a: Command, extra: Extra, run: &mut Execution, applied: &Applied, cx: &mut Context<'_>) {
    let mut fields = run.search_attributes().cloned().unwrap_or_default();
    for (name, payload) in a.search_attributes.iter().flat_map(|given| &given.indexed_fields) {
        if super::modify_properties::removes(payload) {
            fields.indexed_fields.remove(name);
        } else {
            fields.indexed_fields.insert(name.clone(), payload.clone());
        }
    }
    run.state.search_attributes = Some(fields);
    run.mark_attributes_changed();
    let attributes = UpsertWorkflowSearchAttributesEventAttributes {
        workflow_task_completed_event_id: applied.completed_event_id,
        search_attributes: a.search_attributes,
    };
    push(run, Attributes::UpsertWorkflowSearchAttributesEventAttributes(attributes), extra, cx);
}
