//! The clock of a server that skips time: it may skip while somebody waits for a workflow's end or sleeps by it. Otherwise
//! it is locked and passes as real time does, so that no timer comes early between two steps of a test.
//!
//! Temporal's TestService counts locks, and a server starts with one. All who wait through a connection share one unlock
//! of it. Who waits changes a number only; [`settle`] then makes the server's lock agree with it, in a task of its own: a
//! wait that is given up midway leaves nothing half done.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use durably_proto::{
    durably::core::v1::{CallError, SleepRequest, await_workflow::Clock},
    temporal::api::testservice::v1 as service,
};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};
use tonic::Code;

use super::{CALL_TIMEOUT, Client, error::call_error};
use crate::convert::duration;

const LOCK: &str = "/temporal.api.testservice.v1.TestService/LockTimeSkipping";
const UNLOCK: &str = "/temporal.api.testservice.v1.TestService/UnlockTimeSkipping";
const UNLOCK_WITH_SLEEP: &str = "/temporal.api.testservice.v1.TestService/UnlockTimeSkippingWithSleep";
const SLEEP_UNTIL: &str = "/temporal.api.testservice.v1.TestService/SleepUntil";
const GET_CURRENT_TIME: &str = "/temporal.api.testservice.v1.TestService/GetCurrentTime";

/// Of a sleep whose caller says none: real time, of which skipping takes little unless workers are slow.
pub(super) const SLEEP_TIMEOUT: Duration = Duration::from_hours(24);

/// Of the server's part of a sleep. Whoever gives up earlier leaves it to end by itself, for it is the server that locks
/// the clock again at its end.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// What a connection knows of its server's clock.
pub(super) struct Skipping {
    /// Whether those who don't say let time skip.
    by_default: bool,
    /// How many want time to skip.
    waiting: AtomicUsize,
    /// Held while the server's lock changes.
    lock: Mutex<Lock>,
    /// Whether time may skip, as `Lock` says it.
    skips: watch::Sender<bool>,
}

#[derive(Default)]
struct Lock {
    /// By `settle`.
    unlocked: bool,
    /// By a sleep, at whose end the server locks again by itself.
    unlocked_by_sleep: bool,
}

impl Skipping {
    pub(super) fn new(by_default: bool) -> Self {
        let skips = watch::Sender::new(false);
        Self { by_default, waiting: AtomicUsize::new(0), lock: Mutex::default(), skips }
    }

    /// Whether time skips while this is awaited.
    pub(super) fn is_wanted(&self, clock: Clock) -> bool {
        match clock {
            Clock::ByConnection => self.by_default,
            Clock::Skipping => true,
            Clock::Real => false,
        }
    }
}

/// Lets time skip until `wait` ends, or is dropped. It is an error if time can't.
pub(super) async fn while_skipping<T>(
    client: &Client,
    wait: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let (mut waiter, mut unlocking) = Waiter::come(client);
    let result = tokio::select! {
        Ok(Err(error)) = &mut unlocking => Err(error),
        result = wait => result,
    };
    // Time skips no more when the caller hears; if the server has gone, it has none to skip.
    if let Some(locking) = waiter.go() {
        let _ = locking.await;
    }
    result
}

/// Somebody who wants time to skip, until dropped.
struct Waiter {
    client: Option<Client>,
}

impl Waiter {
    fn come(client: &Client) -> (Self, JoinHandle<Result<(), CallError>>) {
        client.inner.skipping.waiting.fetch_add(1, Ordering::AcqRel);
        (Self { client: Some(client.clone()) }, spawn_settle(client.clone()))
    }

    fn go(&mut self) -> Option<JoinHandle<Result<(), CallError>>> {
        let client = self.client.take()?;
        client.inner.skipping.waiting.fetch_sub(1, Ordering::AcqRel);
        Some(spawn_settle(client))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.go();
    }
}

fn spawn_settle(client: Client) -> JoinHandle<Result<(), CallError>> {
    let runtime = client.runtime().clone();
    runtime.spawn(async move { settle(&client).await })
}

/// Locks or unlocks the server's clock, if whoever waits now wants it otherwise than it is.
async fn settle(client: &Client) -> Result<(), CallError> {
    let skipping = &client.inner.skipping;
    let mut lock = skipping.lock.lock().await;
    let wanted = skipping.waiting.load(Ordering::Acquire) > 0;
    // The end of a sleep settles what has come up meanwhile.
    if lock.unlocked_by_sleep || lock.unlocked == wanted {
        return Ok(());
    }
    let retry = Some(client.retry_policy());
    if wanted {
        let request = service::UnlockTimeSkippingRequest {};
        let _: service::UnlockTimeSkippingResponse =
            client.rpc(UNLOCK, &request, CALL_TIMEOUT, retry).await?;
    } else {
        let request = service::LockTimeSkippingRequest {};
        let _: service::LockTimeSkippingResponse = client.rpc(LOCK, &request, CALL_TIMEOUT, retry).await?;
    }
    lock.unlocked = wanted;
    skipping.skips.send_replace(wanted);
    Ok(())
}

/// Sleeps by the server's clock, for `timeout` of real time at most (DEADLINE_EXCEEDED). A sleep that is given up is not
/// undone: when nothing holds time any more, it skips to where the sleep would have ended.
pub(super) async fn sleep(
    client: &Client,
    request: SleepRequest,
    timeout: Duration,
) -> Result<(), CallError> {
    tokio::time::timeout(timeout, sleep_untimed(client, request)).await.unwrap_or_else(|_| {
        let message = format!(
            "the server's clock did not come to the end of the sleep within {timeout:?} of real time: a task or an \
             activity that is under way holds it"
        );
        Err(call_error(Code::DeadlineExceeded, message))
    })
}

async fn sleep_untimed(client: &Client, request: SleepRequest) -> Result<(), CallError> {
    let length = duration(request.duration.as_ref()).unwrap_or_default();
    if request.in_activity {
        // Its own task is the lock that it takes away.
        return unlock_with_sleep(client, length).await;
    }
    let until = now(client).await?.saturating_add(length);
    let mut skips = client.inner.skipping.skips.subscribe();
    while !claim(client).await {
        let request = service::SleepUntilRequest { timestamp: Some(timestamp(until)?) };
        let slept = client.rpc(SLEEP_UNTIL, &request, LONGEST, None);
        tokio::select! {
            slept = slept => {
                let service::SleepResponse {} = slept?;
                return Ok(());
            }
            // Those who let time skip have gone.
            _ = skips.wait_for(|skips| !skips) => {}
        }
    }
    let sleeping = spawn_sleep(client.clone(), until);
    sleeping.await.unwrap_or_else(|error| Err(call_error(Code::Internal, error.to_string())))
}

/// True if nobody lets time skip yet: the caller's sleep does then.
async fn claim(client: &Client) -> bool {
    let skipping = &client.inner.skipping;
    let mut lock = skipping.lock.lock().await;
    if lock.unlocked || lock.unlocked_by_sleep {
        return false;
    }
    lock.unlocked_by_sleep = true;
    skipping.skips.send_replace(true);
    true
}

/// The rest of a sleep that has claimed the lock, which it gives back whether or not somebody still listens.
fn spawn_sleep(client: Client, until: Duration) -> JoinHandle<Result<(), CallError>> {
    let runtime = client.runtime().clone();
    runtime.spawn(async move {
        let slept = match now(&client).await {
            Ok(now) => unlock_with_sleep(&client, until.saturating_sub(now)).await,
            Err(error) => Err(error),
        };
        let skipping = &client.inner.skipping;
        skipping.lock.lock().await.unlocked_by_sleep = false;
        skipping.skips.send_replace(false);
        settle(&client).await.and(slept)
    })
}

/// One call, so that time can't run on between the end of the sleep and a lock.
async fn unlock_with_sleep(client: &Client, length: Duration) -> Result<(), CallError> {
    let length = prost_types::Duration::try_from(length).map_err(|_| too_long())?;
    let request = service::SleepRequest { duration: Some(length) };
    let service::SleepResponse {} = client.rpc(UNLOCK_WITH_SLEEP, &request, LONGEST, None).await?;
    Ok(())
}

/// Since the epoch.
async fn now(client: &Client) -> Result<Duration, CallError> {
    let answer: service::GetCurrentTimeResponse =
        client.rpc(GET_CURRENT_TIME, &(), CALL_TIMEOUT, Some(client.retry_policy())).await?;
    let time = answer.time.unwrap_or_default();
    let (seconds, nanos) = (time.seconds.try_into().unwrap_or(0), time.nanos.try_into().unwrap_or(0));
    Ok(Duration::new(seconds, nanos))
}

fn timestamp(since_epoch: Duration) -> Result<prost_types::Timestamp, CallError> {
    let seconds = since_epoch.as_secs().try_into().map_err(|_| too_long())?;
    Ok(prost_types::Timestamp { seconds, nanos: since_epoch.subsec_nanos().cast_signed() })
}

fn too_long() -> CallError {
    call_error(Code::InvalidArgument, "the sleep ends later than what a timestamp can say")
}
