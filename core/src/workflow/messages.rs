//! Protocol messages: what travels with workflow tasks beside history and commands, both ways.
//!
//! A message belongs to an instance of a protocol, such as one update of a run. Its body is any message of that
//! protocol's package; it is decoded here, once.

use durably_proto::depth;
use durably_proto::temporal::api::failure::v1::failure::FailureInfo;
use durably_proto::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};
use durably_proto::temporal::api::protocol::v1::message::SequencingId;
use durably_proto::temporal::api::update::v1::{Rejection, Request};
use prost::{Message as _, Name as _};

/// What goes to the server with a completed task.
pub use durably_proto::temporal::api::protocol::v1::Message as OutgoingMessage;

/// A message as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Somebody asks for an update of the run.
    Update(Box<UpdateRequest>),
    /// What this version can't deal with: the kind of its body.
    Unknown(String),
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
        match depth::decode::<Request>(body.value.into()) {
            Ok(request) if kind == Request::full_name() => Message::Update(Box::new(UpdateRequest {
                id: message.id,
                protocol_instance_id: message.protocol_instance_id,
                event_id: match message.sequencing_id {
                    Some(SequencingId::EventId(event_id)) => event_id,
                    _ => 0,
                },
                request,
            })),
            _ => Message::Unknown(kind.to_owned()),
        }
    }
}

impl UpdateRequest {
    /// The answer of a worker that has no updates: whoever asked hears of it, and the run goes on.
    pub(super) fn reject(self) -> OutgoingMessage {
        let name = self.request.input.as_ref().map(|input| input.name.as_str()).unwrap_or_default();
        let info = ApplicationFailureInfo { r#type: "UpdateNotSupported".to_owned(), ..Default::default() };
        let failure = Failure {
            message: format!(
                "the update `{name}` was rejected: this version of the worker has no updates. Send a signal and ask for \
                 what came of it with a query, or use a newer version"
            ),
            source: "durably-core".to_owned(),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
            ..Default::default()
        };
        let rejection = Rejection {
            rejected_request_message_id: self.id.clone(),
            rejected_request_sequencing_event_id: self.event_id,
            rejected_request: Some(self.request),
            failure: Some(failure),
        };
        OutgoingMessage {
            id: format!("{}/reject", self.id),
            protocol_instance_id: self.protocol_instance_id,
            body: Some(prost_types::Any {
                type_url: format!("type.googleapis.com/{}", Rejection::full_name()),
                value: rejection.encode_to_vec(),
            }),
            sequencing_id: None,
        }
    }
}
