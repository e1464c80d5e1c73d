//! A server that skips time: it does while somebody waits or sleeps, and passes as anywhere otherwise.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![allow(clippy::unnecessary_wraps, reason = "fields of messages are options")]

mod sdk;

use std::{sync::Arc, time::Duration};

use durably_core::Client;
use durably_proto::{
    durably::core::v1::{
        AwaitWorkflow, Call, CallError, ConnectOptions, EmbeddedOptions, ScheduleActivity, SleepRequest,
        WorkerOptions, await_workflow::Clock, call_result,
    },
    temporal::api::{
        enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
        taskqueue::v1::TaskQueue,
        testservice::v1::GetCurrentTimeResponse,
        update::v1::{Input, Meta, Request, WaitPolicy},
        workflowservice::v1::{
            StartWorkflowExecutionRequest, UpdateWorkflowExecutionRequest, UpdateWorkflowExecutionResponse,
        },
    },
};
use prost::Message as _;
use sdk::*;
use tokio::sync::Notify;
use tonic::Code;

const DAY: Duration = Duration::from_hours(24);
/// Of real time, for what must not take any.
const SOON: Duration = Duration::from_secs(20);

/// A client of a server that skips time, and a worker whose workflow `sleeps` for as many days as its input says.
struct Place {
    client: Client,
    sdk: Sdk,
    /// The activity of `holds` is under way.
    held: Arc<Notify>,
    /// Ends it.
    release: Arc<Notify>,
}

impl Place {
    async fn open() -> Self {
        let embedded = Some(EmbeddedOptions { time_skipping: true, ..Default::default() });
        let options = ConnectOptions { target: "embedded:".into(), embedded, ..Default::default() };
        let client = Client::connect(options).await.unwrap();
        let registry = Registry::default()
            .workflow("sleeps", |context| async move {
                context.set_status("asleep");
                context.sleep(DAY * context.input().parse().unwrap()).await;
                Outcome::Completed("rested".into())
            })
            .workflow("rests when asked", |context| async move {
                let update = context.update().await;
                context.sleep(DAY).await;
                context.succeed(&update, "rested");
                Outcome::Completed("done".into())
            })
            .workflow("works", |context| async move {
                // The nap takes a day of its time, too.
                let nap = ScheduleActivity {
                    activity_type: "naps".into(),
                    start_to_close_timeout: Some(seconds(2 * 86400)),
                    ..Default::default()
                };
                Outcome::Completed(context.activity_with(nap).await.unwrap())
            })
            .workflow("holds", |context| async move {
                Outcome::Completed(context.activity("holds", "").await.unwrap())
            });
        let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (holding, released) = (Arc::clone(&held), Arc::clone(&release));
        let napping = client.clone();
        let registry = registry.activity("naps", move |_| {
            let client = napping.clone();
            async move {
                sleep(&client, DAY, true).await.unwrap();
                Ok("napped".to_owned())
            }
        });
        // It holds time still until the test lets it go.
        let registry = registry.activity("holds", move |_| {
            let (holding, released) = (Arc::clone(&holding), Arc::clone(&released));
            async move {
                holding.notify_one();
                released.notified().await;
                Ok("let go".to_owned())
            }
        });
        let options =
            WorkerOptions { task_queue: "q".into(), workflows: true, activities: true, ..Default::default() };
        let sdk = Sdk::start(&client, options, registry);
        Self { client, sdk, held, release }
    }

    async fn begin(&self, kind: &str, id: &str, days: u32) {
        let queue = |request: &mut StartWorkflowExecutionRequest| {
            request.task_queue = Some(TaskQueue { name: "q".into(), ..Default::default() });
        };
        start_with(&self.client, kind, id, &days.to_string(), queue).await;
    }

    /// Returns when the workflow's timer is known to the server.
    async fn is_asleep(&self, id: &str) {
        assert_eq!(query(&self.client, id, "status").await.unwrap(), "asleep");
    }

    /// Whole days since `before`, in the server's time.
    async fn days_since(&self, before: Duration) -> u64 {
        now(&self.client).await.saturating_sub(before).as_secs() / DAY.as_secs()
    }

    async fn close(self) {
        self.sdk.shut_down().await;
        self.client.close().await;
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("days pass in no time")
}

async fn now(client: &Client) -> Duration {
    let call = Call {
        service: "temporal.api.testservice.v1.TestService".into(),
        method: "GetCurrentTime".into(),
        ..Default::default()
    };
    match client.call(call).await.result {
        Some(call_result::Result::Response(answer)) => {
            let time = GetCurrentTimeResponse::decode(answer).unwrap().time.unwrap();
            Duration::new(time.seconds.try_into().unwrap(), time.nanos.try_into().unwrap())
        }
        other => panic!("the time is {other:?}"),
    }
}

fn sleep_call(length: Duration, in_activity: bool) -> Call {
    let request = SleepRequest { duration: Some(length.try_into().unwrap()), in_activity };
    Call {
        service: "durably.core.v1.Embedded".into(),
        method: "Sleep".into(),
        request: request.encode_to_vec().into(),
        ..Default::default()
    }
}

async fn sleep(client: &Client, length: Duration, in_activity: bool) -> Result<(), CallError> {
    call_sleep(client, sleep_call(length, in_activity)).await
}

/// Sleeps for `timeout` of real time at most.
async fn sleep_within(client: &Client, length: Duration, timeout: Duration) -> Result<(), CallError> {
    call_sleep(client, Call { timeout: Some(timeout.try_into().unwrap()), ..sleep_call(length, false) }).await
}

async fn call_sleep(client: &Client, call: Call) -> Result<(), CallError> {
    match client.call(call).await.result {
        Some(call_result::Result::Error(error)) => Err(error),
        _ => Ok(()),
    }
}

fn wait_for(id: &str) -> AwaitWorkflow {
    AwaitWorkflow { workflow_id: id.to_owned(), follow_runs: true, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_skips_while_somebody_waits_and_not_before_and_after() {
    let place = Place::open().await;
    let before = now(&place.client).await;
    place.begin("sleeps", "three", 3).await;
    assert_eq!(place.days_since(before).await, 0);
    assert_eq!(soon(result(&place.client, "three")).await, "rested");
    assert_eq!(place.days_since(before).await, 3);
    place.begin("sleeps", "thirty", 30).await;
    place.is_asleep("thirty").await;
    assert_eq!(place.days_since(before).await, 3);
    let both = async { tokio::join!(result(&place.client, "thirty"), result(&place.client, "three")) };
    soon(both).await;
    assert_eq!(place.days_since(before).await, 33);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_skips_while_the_outcome_of_an_update_is_awaited() {
    let place = Place::open().await;
    let completed = Some(WaitPolicy { lifecycle_stage: Stage::Completed as i32 });
    for (id, wait_policy) in [("completed", completed), ("not said", None)] {
        place.begin("rests when asked", id, 1).await;
        let request = UpdateWorkflowExecutionRequest {
            workflow_execution: execution(id),
            wait_policy,
            request: Some(Request {
                meta: Some(Meta::default()),
                input: Some(Input { name: "rest".into(), ..Default::default() }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let asked = call(&place.client, "UpdateWorkflowExecution", &request);
        let response: UpdateWorkflowExecutionResponse = soon(asked).await.unwrap();
        assert_eq!(response.stage(), Stage::Completed, "{id}");
        assert!(response.outcome.is_some(), "{id}");
    }
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_waiting_leaves_time_as_it_was() {
    let place = Place::open().await;
    for _ in 0..20 {
        // Dropped at once, maybe before the clock is unlocked.
        let request = AwaitWorkflow { workflow_id: "none of these".into(), ..Default::default() };
        let _ = tokio::time::timeout(Duration::ZERO, place.client.await_workflow(request)).await;
    }
    // A wait that ends by itself comes after them: time stands when it is answered.
    place.begin("sleeps", "none", 0).await;
    soon(result(&place.client, "none")).await;
    let before = now(&place.client).await;
    place.begin("sleeps", "thirty", 30).await;
    place.is_asleep("thirty").await;
    let timeout = Some(Duration::from_millis(1).try_into().unwrap());
    let real = AwaitWorkflow { timeout, clock: Clock::Real as i32, ..wait_for("thirty") };
    let late = place.client.await_workflow(real).await.unwrap_err();
    assert_eq!(late.code, Code::DeadlineExceeded as i32);
    soon(sleep(&place.client, DAY, false)).await.unwrap();
    assert_eq!(place.days_since(before).await, 1);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeps_and_waits_overlap_in_any_order() {
    let place = Place::open().await;
    let before = now(&place.client).await;
    place.begin("sleeps", "two", 2).await;
    // The wait ends first, and the sleep goes on alone.
    let (rested, slept) =
        soon(async { tokio::join!(result(&place.client, "two"), sleep(&place.client, DAY * 5, false)) })
            .await;
    assert_eq!((rested.as_str(), slept), ("rested", Ok(())));
    // Which of the two the server hears of first is not given: the sleep begins before the wait's two days, or after them.
    assert!([5, 2 + 5].contains(&place.days_since(before).await));
    // The sleeps end first, and the wait goes on alone.
    let before = now(&place.client).await;
    place.begin("sleeps", "ten", 10).await;
    let sleeps =
        async { tokio::join!(sleep(&place.client, DAY, false), sleep(&place.client, DAY * 3, false)) };
    let (slept, rested) = soon(async { tokio::join!(sleeps, result(&place.client, "ten")) }).await;
    assert_eq!((slept, rested.as_str()), ((Ok(()), Ok(())), "rested"));
    let days = place.days_since(before).await;
    assert!((10..=10 + 1 + 3).contains(&days), "{days}");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_sleeps_while_its_workflow_is_awaited() {
    let place = Place::open().await;
    let before = now(&place.client).await;
    place.begin("works", "w", 0).await;
    assert_eq!(soon(result(&place.client, "w")).await, "napped");
    assert_eq!(place.days_since(before).await, 1);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_ends_at_its_timeout_while_an_activity_holds_time() {
    let place = Place::open().await;
    let before = now(&place.client).await;
    place.begin("holds", "h", 0).await;
    place.held.notified().await;
    // The first unlocks the clock, and the second finds it unlocked.
    for _ in 0..2 {
        let late = soon(sleep_within(&place.client, DAY, Duration::from_millis(50))).await.unwrap_err();
        assert_eq!(late.code, Code::DeadlineExceeded as i32, "{late:?}");
        assert!(late.message.contains("50ms"), "{late:?}");
    }
    place.release.notify_one();
    assert_eq!(soon(result(&place.client, "h")).await, "let go");
    // The next sleep finds the clock in order.
    soon(sleep(&place.client, DAY * 3, false)).await.unwrap();
    assert!(place.days_since(before).await >= 3);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_the_real_clock_says_so() {
    let options = ConnectOptions { target: "embedded:".into(), ..Default::default() };
    let client = Client::connect(options).await.unwrap();
    let error = sleep(&client, DAY, false).await.unwrap_err();
    assert_eq!(error.code, Code::Unimplemented as i32);
    let request = AwaitWorkflow { clock: Clock::Skipping as i32, ..wait_for("w") };
    let error = client.await_workflow(request).await.unwrap_err();
    // Either is true; what comes first depends on the threads.
    assert!([Code::Unimplemented as i32, Code::NotFound as i32].contains(&error.code), "{error:?}");
    client.close().await;
}
