//! Heartbeats: the first goes out at once, the next ones when the throttle allows, always the newest details. While a
//! step of a workflow keeps the language from heartbeating, the newest goes out again (decision 043).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use durably_proto::{
    durably::core::v1::{CallError, activity_cancel::Reason},
    temporal::api::{
        common::v1::{Payload, Payloads},
        workflowservice::v1::{RecordActivityTaskHeartbeatRequest, RecordActivityTaskHeartbeatResponse},
    },
};
use tokio::time::Instant;
use tonic::Code;

use super::{Activities, Signals};
use crate::{
    client::{CALL_TIMEOUT, methods},
    worker::steps::Steps,
};

/// When this share of the heartbeat time-out has gone by since the server last heard, and again after each of these
/// shares, somebody looks whether the silence has an excuse.
const CRITICAL: f64 = 0.8;
const LOOK_AGAIN: f64 = 0.05;
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// What one attempt has reported, and what the server knows of it.
pub(super) struct Heartbeats {
    timeout: Option<Duration>,
    throttle: Duration,
    /// At first what an earlier attempt has left.
    newest: Vec<Payload>,
    /// Counts heartbeats: what `newest` is, and what the server has.
    recorded: u64,
    delivered: u64,
    /// When the activity last gave a sign of life. Its start is one.
    alive_at: Instant,
    /// When it was last vouched for, though it was silent.
    excused_at: Option<Instant>,
    /// The server counts the time-out from here, or from a moment later.
    heard_at: Instant,
    /// Nothing is sent before this.
    next_at: Instant,
    /// A loop is sending, or waiting to send.
    has_loop: bool,
}

/// What a new heartbeat calls for.
#[derive(Debug, PartialEq)]
pub(super) enum Recorded {
    NeedsLoop,
    /// The loop waits for it.
    IsDue,
    /// The loop will find it.
    IsThrottled,
}

/// What the loop does next.
#[derive(Debug, PartialEq)]
enum Next {
    Send(u64, Vec<Payload>),
    Wait(Instant),
    End,
}

impl Heartbeats {
    pub(super) fn new(
        timeout: Option<Duration>,
        throttle: Duration,
        resumed: Vec<Payload>,
        now: Instant,
    ) -> Self {
        Self {
            timeout,
            throttle,
            newest: resumed,
            recorded: 0,
            delivered: 0,
            alive_at: now,
            excused_at: None,
            heard_at: now,
            next_at: now,
            has_loop: false,
        }
    }

    /// Begins to watch an attempt whose silence would matter. True if the caller must start a loop to do so.
    pub(super) fn watch(&mut self) -> bool {
        self.has_loop = self.timeout.is_some();
        self.has_loop
    }

    /// Keeps the newest details.
    pub(super) fn record(&mut self, details: Vec<Payload>, now: Instant) -> Recorded {
        self.newest = details;
        self.recorded += 1;
        self.alive_at = now;
        if !std::mem::replace(&mut self.has_loop, true) {
            Recorded::NeedsLoop
        } else if self.next_at <= now {
            Recorded::IsDue
        } else {
            Recorded::IsThrottled
        }
    }

    /// When the attempt has been silent for too long, if it has a time-out.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        self.excused_at.unwrap_or(self.alive_at).max(self.alive_at).checked_add(self.timeout?)
    }

    /// What is new is sent as soon as the throttle allows. When the server is about to give the attempt up, a step of a
    /// workflow may be the reason why there is nothing new: then the newest heartbeat is sent once more.
    fn next(&mut self, now: Instant, steps: &Steps) -> Next {
        if self.recorded != self.delivered {
            if now < self.next_at {
                return Next::Wait(self.next_at);
            }
            self.next_at = later(now, self.throttle);
            return Next::Send(self.recorded, self.newest.clone());
        }
        let Some(timeout) = self.timeout else { return self.end() };
        let critical_at = later(self.heard_at, timeout.mul_f64(CRITICAL)).max(self.next_at);
        if now < critical_at {
            return Next::Wait(critical_at);
        }
        if now >= later(self.heard_at, timeout) {
            return self.end();
        }
        if steps.excuse(later(self.alive_at, timeout), now) {
            self.excused_at = Some(now);
            self.next_at = later(now, self.throttle);
            return Next::Send(self.recorded, self.newest.clone());
        }
        Next::Wait(later(now, timeout.mul_f64(LOOK_AGAIN)))
    }

    fn end(&mut self) -> Next {
        self.has_loop = false;
        Next::End
    }

    /// The server has what was sent at `sent_at`.
    fn delivered(&mut self, number: u64, sent_at: Instant) {
        self.delivered = number;
        self.heard_at = sent_at;
    }

    /// Details that the server doesn't have yet.
    pub(super) fn undelivered(self) -> Option<Payloads> {
        (self.recorded != self.delivered).then_some(Payloads { payloads: self.newest })
    }
}

/// A moment that the clock can't hold never comes.
fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or_else(|| at + FOR_EVER)
}

impl Activities {
    /// Sends what is new at the throttled pace, and watches an attempt that has a heartbeat time-out, until nothing can
    /// be new or the attempt is over.
    pub(super) async fn heartbeat_loop(self: Arc<Self>, token: Bytes, signals: Arc<Signals>) {
        while let Some(next) = self.next_heartbeat(&token) {
            match next {
                Next::End => return,
                Next::Wait(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = signals.heartbeat.notified() => {}
                    () = signals.over.notified() => return,
                },
                Next::Send(number, details) => {
                    let sent_at = Instant::now();
                    let result = tokio::select! {
                        result = self.send_heartbeat(&token, details) => result,
                        () = signals.over.notified() => return,
                    };
                    if let Some(reason) = self.heartbeat_sent(&token, number, sent_at, result) {
                        self.cancel(&token, reason);
                    }
                }
            }
        }
    }

    /// `None`: the attempt is over.
    fn next_heartbeat(&self, token: &Bytes) -> Option<Next> {
        let mut table = self.running.lock();
        Some(table.get_mut(token)?.heartbeats.next(Instant::now(), self.context.client.steps()))
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
        client
            .rpc(methods::RECORD_ACTIVITY_TASK_HEARTBEAT, &request, CALL_TIMEOUT, Some(client.retry_policy()))
            .await
    }

    /// Notes what the server has, and says whether the attempt must stop.
    fn heartbeat_sent(
        &self,
        token: &Bytes,
        number: u64,
        sent_at: Instant,
        result: Result<RecordActivityTaskHeartbeatResponse, CallError>,
    ) -> Option<Reason> {
        match result {
            Ok(answer) => {
                if let Some(running) = self.running.lock().get_mut(token) {
                    running.heartbeats.delivered(number, sent_at);
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

    fn payload(data: &'static str) -> Vec<Payload> {
        vec![Payload { data: data.into(), ..Default::default() }]
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// With a time-out of a second and the throttle that goes with it; an earlier attempt left "0".
    fn heartbeats(now: Instant) -> Heartbeats {
        Heartbeats::new(Some(seconds(1.0)), seconds(0.8), payload("0"), now)
    }

    #[test]
    fn only_the_newest_details_are_kept() {
        let now = Instant::now();
        let mut heartbeats = Heartbeats::new(None, seconds(1.0), Vec::new(), now);
        assert!(!heartbeats.watch(), "without a time-out nobody minds its silence");
        assert_eq!(heartbeats.record(payload("1"), now), Recorded::NeedsLoop);
        assert_eq!(heartbeats.record(payload("2"), now), Recorded::IsDue, "one loop at a time");
        heartbeats.delivered(1, now);
        assert_eq!(heartbeats.undelivered().unwrap().payloads, payload("2"));
    }

    #[test]
    fn delivered_details_are_not_sent_again() {
        let now = Instant::now();
        let mut heartbeats = Heartbeats::new(None, seconds(1.0), Vec::new(), now);
        assert_eq!(heartbeats.record(payload("1"), now), Recorded::NeedsLoop);
        assert_eq!(heartbeats.next(now, &Steps::default()), Next::Send(1, payload("1")));
        assert_eq!(heartbeats.record(payload("2"), now), Recorded::IsThrottled);
        heartbeats.delivered(1, now);
        assert_eq!(heartbeats.next(now, &Steps::default()), Next::Wait(now + seconds(1.0)));
        assert_eq!(heartbeats.next(now + seconds(1.0), &Steps::default()), Next::Send(2, payload("2")));
        heartbeats.delivered(2, now);
        assert_eq!(heartbeats.next(now + seconds(1.0), &Steps::default()), Next::End);
        assert_eq!(heartbeats.undelivered(), None);
        assert_eq!(
            super::tests::heartbeats(now).undelivered(),
            None,
            "an earlier attempt's are the server's"
        );
    }

    /// Goes on from `from` for as long as the loop would, with a server that answers at once. Says when it heard what.
    fn renewals(heartbeats: &mut Heartbeats, steps: &Steps, from: Instant) -> Vec<(f64, Vec<Payload>)> {
        let mut now = from;
        let mut sent = Vec::new();
        loop {
            match heartbeats.next(now, steps) {
                Next::Send(number, details) => {
                    heartbeats.delivered(number, now);
                    sent.push(((now - from).as_secs_f64(), details));
                }
                Next::Wait(until) => now = until,
                Next::End => return sent,
            }
        }
    }

    #[test]
    fn a_long_step_does_not_silence_an_activity() {
        let start = Instant::now();
        let mut silent = heartbeats(start);
        assert!(silent.watch());
        assert_eq!(renewals(&mut silent, &Steps::default(), start), [], "it hangs by its own fault");

        let mut heartbeats = heartbeats(start);
        assert!(heartbeats.watch());
        let steps = Arc::<Steps>::default();
        let step = steps.begin(start + seconds(0.3));
        let sent = renewals(&mut heartbeats, &steps, start);
        assert_eq!(sent[0], (0.8, payload("0")), "the earlier attempt's details must not be lost");
        let last = sent.last().unwrap().0;
        assert!((9.4..=10.4).contains(&last), "a step excuses ten seconds, not {last}");
        let pauses: Vec<_> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(pauses.iter().all(|pause| (0.79..0.99).contains(pause)), "{pauses:?}");
        assert!(heartbeats.silent_at().unwrap() >= start + seconds(last + 0.99), "no local time-out either");
        drop(step);
    }

    #[test]
    fn what_hung_before_the_step_is_noticed() {
        let start = Instant::now();
        let mut heartbeats = heartbeats(start);
        assert!(heartbeats.watch());
        let steps = Arc::<Steps>::default();
        // Somebody is always busy, with steps of a second each.
        let kept: Vec<_> = (0..30).map(|n| steps.begin(start + seconds(f64::from(n)))).collect();
        let last = renewals(&mut heartbeats, &steps, start).last().unwrap().0;
        assert!(last <= 11.0, "{last}");
        drop(kept);
    }
}
