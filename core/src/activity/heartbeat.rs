//! Heartbeats: the first goes out at once, the next ones when the throttle allows, always the newest details.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use durably_proto::{
    durably::core::v1::{CallError, activity_cancel::Reason},
    temporal::api::{
        common::v1::{Payload, Payloads},
        workflowservice::v1::{RecordActivityTaskHeartbeatRequest, RecordActivityTaskHeartbeatResponse},
    },
};
use tokio::sync::Notify;
use tonic::Code;

use super::Activities;
use crate::client::CALL_TIMEOUT;

const HEARTBEAT: &str = "/temporal.api.workflowservice.v1.WorkflowService/RecordActivityTaskHeartbeat";

/// What one attempt has reported.
pub(super) struct Heartbeats {
    throttle: Duration,
    newest: Option<Vec<Payload>>,
    /// Counts heartbeats: what `newest` is, and what the server has.
    recorded: u64,
    delivered: u64,
    /// A loop is sending, or waiting to send.
    has_loop: bool,
}

impl Heartbeats {
    pub(super) fn new(throttle: Duration) -> Self {
        Self { throttle, newest: None, recorded: 0, delivered: 0, has_loop: false }
    }

    /// Keeps the newest details. True if the caller must start a loop to send them.
    pub(super) fn record(&mut self, details: Vec<Payload>) -> bool {
        self.newest = Some(details);
        self.recorded += 1;
        !std::mem::replace(&mut self.has_loop, true)
    }

    /// Details that the server doesn't have yet.
    pub(super) fn undelivered(self) -> Option<Payloads> {
        if self.recorded == self.delivered {
            return None;
        }
        self.newest.map(|payloads| Payloads { payloads })
    }
}

impl Activities {
    /// Sends what is new at the throttled pace until there is nothing new or the attempt is over.
    pub(super) async fn heartbeat_loop(self: Arc<Self>, token: Bytes, over: Arc<Notify>) {
        while let Some((number, details, throttle)) = self.next_heartbeat(&token) {
            let result = tokio::select! {
                result = self.send_heartbeat(&token, details) => result,
                () = over.notified() => return,
            };
            if let Some(reason) = self.heartbeat_sent(&token, number, result) {
                self.cancel(&token, reason);
            }
            tokio::select! {
                () = tokio::time::sleep(throttle) => {}
                () = over.notified() => return,
            }
        }
    }

    fn next_heartbeat(&self, token: &Bytes) -> Option<(u64, Vec<Payload>, Duration)> {
        let mut table = self.running.lock();
        let heartbeats = &mut table.get_mut(token)?.heartbeats;
        if heartbeats.recorded == heartbeats.delivered {
            heartbeats.has_loop = false;
            return None;
        }
        Some((heartbeats.recorded, heartbeats.newest.clone().unwrap_or_default(), heartbeats.throttle))
    }

    pub(super) async fn send_heartbeat(
        &self,
        token: &Bytes,
        details: Vec<Payload>,
    ) -> Result<RecordActivityTaskHeartbeatResponse, CallError> {
        let client = &self.context.client;
        let request = RecordActivityTaskHeartbeatRequest {
            task_token: token.clone(),
            details: Some(Payloads { payloads: details }),
            identity: self.context.settings.identity.clone(),
            namespace: client.namespace().to_owned(),
            ..Default::default()
        };
        client.rpc(HEARTBEAT, &request, CALL_TIMEOUT, Some(client.retry_policy())).await
    }

    /// Notes what the server has, and says whether the attempt must stop.
    fn heartbeat_sent(
        &self,
        token: &Bytes,
        number: u64,
        result: Result<RecordActivityTaskHeartbeatResponse, CallError>,
    ) -> Option<Reason> {
        match result {
            Ok(answer) => {
                if let Some(running) = self.running.lock().get_mut(token) {
                    running.heartbeats.delivered = number;
                }
                if answer.cancel_requested {
                    Some(Reason::Cancelled)
                } else if answer.activity_reset {
                    Some(Reason::Reset)
                } else {
                    answer.activity_paused.then_some(Reason::Paused)
                }
            }
            Err(error) if error.code == Code::NotFound as i32 => Some(Reason::NotFound),
            Err(error) => {
                tracing::warn!(
                    error = error.message,
                    "a heartbeat could not be recorded; the next one will try"
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_details_are_kept() {
        let payload = |data: &'static str| vec![Payload { data: data.into(), ..Default::default() }];
        let mut heartbeats = Heartbeats::new(Duration::from_secs(1));
        assert!(heartbeats.record(payload("1")));
        assert!(!heartbeats.record(payload("2")), "one loop at a time");
        heartbeats.delivered = 1;
        assert_eq!(heartbeats.undelivered().unwrap().payloads, payload("2"));
    }

    #[test]
    fn delivered_details_are_not_sent_again() {
        let mut heartbeats = Heartbeats::new(Duration::from_secs(1));
        heartbeats.record(Vec::new());
        heartbeats.delivered = 1;
        assert_eq!(heartbeats.undelivered(), None);
        assert_eq!(Heartbeats::new(Duration::ZERO).undelivered(), None);
    }
}
