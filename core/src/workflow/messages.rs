//! Protocol messages: what travels with workflow tasks beside history and commands, both ways.
//!
//! A message belongs to an instance of a protocol, such as one update of a run. Its body is any message of that
//! protocol's package; it is decoded here, once.

use durably_proto::depth;
use durably_proto::temporal::api::protocol::v1::message::SequencingId;
use durably_proto::temporal::api::update::v1::Request;
use prost::Name as _;

/// What goes to the server with a completed task.
pub use durably_proto::temporal::api::protocol::v1::Message as OutgoingMessage;

/// A message as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Somebody asks for an update of the run.
    Update(Box<UpdateRequest>),
    /// What this version can't deal with: the kind of its body.
    Unknown(String),
    /// What is not what its kind says, and why.
    Malformed { kind: String, error: String },
}

/// An update that somebody asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateRequest {
    /// The message's own id.
    pub id: String,
    /// The update.
    pub protocol_instance_id: String,
    /// It is about the run's state after this event.
    pub event_id: i64,
    /// Name, arguments, who asks.
    pub request: Request,
}

impl Message {
    pub(super) fn decode(message: OutgoingMessage) -> Message {
        let body = message.body.unwrap_or_default();
        let kind = body.type_url.rsplit('/').next().unwrap_or_default();
        if kind != Request::full_name() {
            return Message::Unknown(kind.to_owned());
        }
        match depth::decode::<Request>(body.value.into()) {
            Ok(request) => Message::Update(Box::new(UpdateRequest {
                id: message.id,
                protocol_instance_id: message.protocol_instance_id,
                event_id: match message.sequencing_id {
                    Some(SequencingId::EventId(event_id)) => event_id,
                    _ => 0,
                },
                request,
            })),
            Err(error) => Message::Malformed { kind: kind.to_owned(), error: error.to_string() },
        }
    }
}

/// An answer to what a protocol's instance asked.
pub(super) fn outgoing(id: &str, instance_id: &str, body: &impl prost::Name) -> OutgoingMessage {
    OutgoingMessage {
        id: id.to_owned(),
        protocol_instance_id: instance_id.to_owned(),
        body: Some(prost_types::Any { type_url: body_type(body), value: body.encode_to_vec() }),
        sequencing_id: None,
    }
}

fn body_type<M: prost::Name>(_: &M) -> String {
    format!("type.googleapis.com/{}", M::full_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(type_url: &str, value: &[u8]) -> Message {
        let body = prost_types::Any { type_url: type_url.to_owned(), value: value.to_vec() };
        Message::decode(OutgoingMessage { body: Some(body), ..Default::default() })
    }

    #[test]
    fn what_cannot_be_read_is_told_from_what_is_not_known() {
        let kind = Request::full_name();
        let url = format!("type.googleapis.com/{kind}");
        assert!(matches!(message(&url, &[]), Message::Update(_)));
        assert!(
            matches!(message(&url, &[0xff]), Message::Malformed { kind: of, error } if of == kind && !error.is_empty())
        );
        let unknown = Message::Unknown("temporal.api.other.v1.Ask".to_owned());
        assert_eq!(message("type.googleapis.com/temporal.api.other.v1.Ask", &[0xff]), unknown);
    }
}
