//! Calls from this process. What a socket needs around a message (headers, frames, a stream of bodies) costs more than
//! most handlers do, so these come without it: an encoded request in, the answer's message out. They go through the same
//! table and the same handlers, with the same bounds and errors.

use std::{
    any::Any,
    time::{Duration, Instant},
};

use bytes::Bytes;
use durably_proto::codec;
use futures::future::BoxFuture;
use prost::{Message, Name};
use tonic::Status;

use super::{
    Caller, Frontend, Service,
    service::{MAX_REQUEST, explain},
};
use crate::error::ServiceError;

/// The message that answers a call, as the handler made it.
pub struct AnswerMessage(Box<dyn Encode>);

trait Encode: Any + Send {
    fn encode(&self) -> Bytes;
}

impl<M: Message + 'static> Encode for M {
    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

impl AnswerMessage {
    /// The message itself; the answer as it was if it is of another type.
    pub fn take<M: Message + 'static>(self) -> Result<M, Self> {
        let encode: &dyn Encode = &*self.0;
        if !(encode as &dyn Any).is::<M>() {
            return Err(self);
        }
        let message: Box<dyn Any> = self.0;
        Ok(*message.downcast().expect("its type was looked at"))
    }

    /// The message as it would be sent.
    pub fn encode(&self) -> Bytes {
        self.0.encode()
    }
}

pub(super) type Answering = BoxFuture<'static, Result<AnswerMessage, Status>>;

/// How one RPC of the table answers: given when the caller gives up, and the encoded request.
pub(super) type Handler = fn(Frontend, Option<Instant>, Bytes) -> Answering;

/// Reads the request and has it answered by `handler`.
pub(super) async fn answer<Request, Response, Handled>(
    frontend: Frontend,
    deadline: Option<Instant>,
    encoded: Bytes,
    rpc: &'static str,
    handler: impl FnOnce(Frontend, Caller, Request) -> Handled + Send,
) -> Result<AnswerMessage, Status>
where
    Request: Message + Name + Default,
    Response: Message + 'static,
    Handled: Future<Output = Result<Response, ServiceError>> + Send,
{
    let request = read(encoded).map_err(|status| explain(&status).unwrap_or(status))?;
    let caller = frontend.accept(Caller { deadline, in_process: true })?;
    let answer = caller.bounded(handler(frontend, caller, request)).await;
    answer.map(|response| AnswerMessage(Box::new(response))).map_err(|error| super::refused(rpc, error))
}

/// The statuses are those of tonic's server.
fn read<Request: Message + Name + Default>(encoded: Bytes) -> Result<Request, Status> {
    if encoded.len() > MAX_REQUEST {
        return Err(Status::out_of_range(format!(
            "Error, decoded message length too large: found {} bytes, the limit is: {MAX_REQUEST} bytes",
            encoded.len()
        )));
    }
    codec::read(encoded)
}

impl Service {
    /// Answers a call from this process, `timeout` at most. Errors are the statuses that a socket would carry.
    ///
    /// `None` for what only the tower service answers: health, which is a protocol of its own, what is not offered, and
    /// any call while other servers have runs of this state. Dropping the future gives the call up.
    pub fn answer(
        &self,
        path: &str,
        request: &Bytes,
        timeout: Duration,
    ) -> Option<BoxFuture<'static, Result<AnswerMessage, Status>>> {
        let handler = self.handler(path)?;
        Some(handler(self.frontend(), Instant::now().checked_add(timeout), request.clone()))
    }
}
