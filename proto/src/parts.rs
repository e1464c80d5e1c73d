//! The parts of a command, or of what is said of an update, that their author makes as large as they like, in words that the
//! author knows: what the core and the server hold against the limit on payloads. Every kind of command is here by its name: a
//! new one does not compile.

use prost::{Message, Name};

use crate::{
    depth,
    temporal::api::{
        command::v1::command::Attributes,
        protocol::v1::Message as ProtocolMessage,
        update::v1::{Rejection, Response, outcome},
    },
};

/// Something of a command, and its encoded size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub what: What,
    pub bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Of the workflow that issues the command: its noun, and the verb that goes with it.
    OfWorkflow(&'static str, &'static str),
    /// Of something else, with its verb.
    Of(String),
}

impl Part {
    fn of_workflow(noun: &'static str, verb: &'static str, part: Option<&impl Message>) -> Self {
        Self { what: What::OfWorkflow(noun, verb), bytes: size(part) }
    }

    fn of(what: String, part: Option<&impl Message>) -> Self {
        Self { what: What::Of(what), bytes: size(part) }
    }
}

fn size(part: Option<&impl Message>) -> usize {
    part.map_or(0, Message::encoded_len)
}

/// The parts of a command; none of those that have a fixed size.
pub fn parts(attributes: &Attributes) -> Vec<Part> {
    use Attributes as A;
    match attributes {
        A::ScheduleActivityTaskCommandAttributes(a) => {
            let name = a.activity_type.as_ref().map_or("", |of| &of.name);
            vec![
                Part::of(format!("the arguments of activity `{name}` take"), a.input.as_ref()),
                Part::of(format!("the headers of activity `{name}` take"), a.header.as_ref()),
            ]
        }
        A::CompleteWorkflowExecutionCommandAttributes(a) => {
            vec![Part::of_workflow("result", "takes", a.result.as_ref())]
        }
        A::FailWorkflowExecutionCommandAttributes(a) => {
            vec![Part::of_workflow("failure", "takes", a.failure.as_ref())]
        }
        A::CancelWorkflowExecutionCommandAttributes(a) => {
            vec![Part::of_workflow("cancellation details", "take", a.details.as_ref())]
        }
        A::ContinueAsNewWorkflowExecutionCommandAttributes(a) => {
            let next = match a.workflow_type.as_ref().map_or("", |of| &of.name) {
                "" => "the next run".to_owned(),
                name => format!("the next run, `{name}`,"),
            };
            vec![
                Part::of(format!("the arguments of {next} take"), a.input.as_ref()),
                Part::of(format!("the memo of {next} takes"), a.memo.as_ref()),
                Part::of(format!("the headers of {next} take"), a.header.as_ref()),
                Part::of(format!("the search attributes of {next} take"), a.search_attributes.as_ref()),
            ]
        }
        A::StartChildWorkflowExecutionCommandAttributes(a) => {
            let child = a.workflow_type.as_ref().map_or("", |of| &of.name);
            vec![
                Part::of(format!("the arguments of child workflow `{child}` take"), a.input.as_ref()),
                Part::of(format!("the memo of child workflow `{child}` takes"), a.memo.as_ref()),
                Part::of(format!("the headers of child workflow `{child}` take"), a.header.as_ref()),
                Part::of(
                    format!("the search attributes of child workflow `{child}` take"),
                    a.search_attributes.as_ref(),
                ),
            ]
        }
        A::SignalExternalWorkflowExecutionCommandAttributes(a) => {
            let name = &a.signal_name;
            vec![
                Part::of(format!("the argument of signal `{name}` takes"), a.input.as_ref()),
                Part::of(format!("the headers of signal `{name}` take"), a.header.as_ref()),
            ]
        }
        A::RecordMarkerCommandAttributes(a) => {
            vec![Part::of(format!("the details of marker `{}` take", a.marker_name), Some(a))]
        }
        A::UpsertWorkflowSearchAttributesCommandAttributes(a) => {
            vec![Part::of_workflow("search attributes", "take", a.search_attributes.as_ref())]
        }
        A::ModifyWorkflowPropertiesCommandAttributes(a) => {
            vec![Part::of_workflow("memo", "takes", a.upserted_memo.as_ref())]
        }
        A::ScheduleNexusOperationCommandAttributes(a) => {
            vec![Part::of(format!("the input of Nexus operation `{}` takes", a.operation), a.input.as_ref())]
        }
        A::RequestCancelActivityTaskCommandAttributes(_)
        | A::StartTimerCommandAttributes(_)
        | A::CancelTimerCommandAttributes(_)
        | A::RequestCancelExternalWorkflowExecutionCommandAttributes(_)
        | A::ProtocolMessageCommandAttributes(_)
        | A::RequestCancelNexusOperationCommandAttributes(_) => Vec::new(),
    }
}

/// What a worker says of an update. Its size is that of all that goes with it, which servers hold against the limit. `None`
/// for what repeats the request, and for what is no message about an update.
pub fn of_message(message: &ProtocolMessage) -> Option<Part> {
    let body = message.body.as_ref()?;
    let update = &message.protocol_instance_id;
    let what = if says::<Rejection>(message) {
        format!("the failure by which update `{update}` is rejected takes")
    } else if says::<Response>(message) {
        let response: Response = depth::decode(body.value.clone().into()).ok()?;
        match response.outcome?.value? {
            outcome::Value::Success(_) => format!("the result of update `{update}` takes"),
            outcome::Value::Failure(_) => format!("the failure of update `{update}` takes"),
        }
    } else {
        return None;
    };
    Some(Part { what: What::Of(what), bytes: body.encoded_len() })
}

/// Whether this is what the message says.
pub fn says<M: Name>(message: &ProtocolMessage) -> bool {
    let url = message.body.as_ref().map_or("", |body| body.type_url.as_str());
    url.rsplit('/').next() == Some(M::full_name().as_str())
}
