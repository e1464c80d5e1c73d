//! A whole worker over a server: what workflows and activities can do, whatever the cache holds.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![allow(clippy::unnecessary_wraps, reason = "fields of messages are options")]

mod sdk;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use durably_proto::{
    durably::core::v1::{
        WorkerOptions, activity_cancel, evict, worker_request::Request, workflow_result::Outcome as Result, *,
    },
    temporal::api::{common::v1::RetryPolicy, workflowservice::v1::*},
};
use sdk::*;
use tokio::sync::{Notify, watch};

fn worker(task_queue: &str) -> WorkerOptions {
    WorkerOptions { task_queue: task_queue.into(), workflows: true, activities: true, ..Default::default() }
}

fn retry(maximum_attempts: i32) -> Option<RetryPolicy> {
    let initial_interval = prost_types::Duration::try_from(Duration::from_millis(1)).ok();
    Some(RetryPolicy { initial_interval, backoff_coefficient: 1.0, maximum_attempts, ..Default::default() })
}

/// Everything the machines can do, in one workflow: the caches below must not change what comes out.
fn everything() -> Registry {
    Registry::default()
        .workflow("everything", |context| async move {
            context.set_status("working");
            let first = context.activity("echo", &context.input());
            let second = context.activity("echo", "b");
            let (first, second) = (first.await.unwrap(), second.await.unwrap());
            context.sleep(Duration::from_millis(10)).await;
            context.set_status("waiting");
            let approval = context.signal("approve").await;
            let third = context.activity("echo", &approval).await.unwrap();
            context.set_status("done");
            Outcome::Completed(format!("{first}{second}{third}"))
        })
        .activity("echo", |attempt| async move { Ok(attempt.input()) })
}

async fn run_everything(options: impl FnOnce(&mut WorkerOptions)) -> Vec<evict::Reason> {
    let client = connect().await;
    let id = unique("everything");
    let mut settings = worker(&id);
    options(&mut settings);
    let sdk = Sdk::start(&client, settings, everything());
    start(&client, "everything", &id, "a").await;
    // A query is answered at any time, and by whatever state the cache has left.
    while query(&client, &id, "status").await.unwrap() != "waiting" {}
    signal(&client, &id, "approve", "c").await;
    assert_eq!(result(&client, &id).await, "abc");
    assert_eq!(query(&client, &id, "status").await.unwrap(), "done");
    let (code, message) = query(&client, &id, "nonsense").await.unwrap_err();
    assert_eq!((code, message.contains("no such query")), (3, true), "{message}");
    let evictions = Arc::clone(&sdk.evictions);
    assert_eq!(sdk.shut_down().await.fatal, None);
    client.close().await;
    let evictions = evictions.lock().unwrap();
    evictions.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_run_goes_on_from_where_it_stands() {
    let evictions = run_everything(|_| {}).await;
    assert!(!evictions.contains(&evict::Reason::CacheFull), "{evictions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_every_task_replays() {
    let evictions = run_everything(|options| options.no_workflow_cache = true).await;
    assert!(
        evictions.iter().filter(|reason| **reason == evict::Reason::CacheFull).count() > 3,
        "{evictions:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_without_room_evicts_and_replays() {
    let evictions = run_everything(|options| options.max_cached_bytes = 1).await;
    assert!(evictions.contains(&evict::Reason::CacheFull), "{evictions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slot_is_enough() {
    run_everything(|options| {
        options.max_concurrent_workflow_tasks = 1;
        options.max_concurrent_activities = 1;
        options.disable_eager_activities = true;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_share_a_cache_of_one() {
    let client = connect().await;
    let queue = unique("shared");
    let options = WorkerOptions { max_cached_workflows: 1, ..worker(&queue) };
    let sdk = Sdk::start(&client, options, everything());
    let ids: Vec<_> = (0..5).map(|n| format!("{queue}-{n}")).collect();
    for id in &ids {
        start_with(&client, "everything", id, "a", |request| {
            request.task_queue.as_mut().unwrap().name.clone_from(&queue);
        })
        .await;
    }
    for id in &ids {
        signal(&client, id, "approve", "c").await;
    }
    for id in &ids {
        assert_eq!(result(&client, id).await, "abc");
    }
    assert!(sdk.evictions.lock().unwrap().contains(&evict::Reason::CacheFull));
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_run_is_replayed() {
    let client = connect().await;
    let id = unique("evicted");
    let sdk = Sdk::start(&client, worker(&id), everything());
    let run_id = start(&client, "everything", &id, "a").await;
    while query(&client, &id, "status").await.unwrap() != "waiting" {}
    sdk.request(Request::Evict(EvictRun { run_id }));
    while !sdk.evictions.lock().unwrap().contains(&evict::Reason::Requested) {
        tokio::task::yield_now().await;
    }
    signal(&client, &id, "approve", "c").await;
    assert_eq!(result(&client, &id).await, "abc");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_many_pages_is_fetched() {
    const SIGNALS: usize = 600;
    let client = connect().await;
    let id = unique("pages");
    let registry = || {
        Registry::default().workflow("main", |context| async move {
            let mut sum = 0;
            for _ in 0..SIGNALS {
                sum += context.signal("add").await.parse::<usize>().unwrap();
                context.set_status(&sum.to_string());
            }
            Outcome::Completed(sum.to_string())
        })
    };
    let options = WorkerOptions { activities: false, ..worker(&id) };
    let sdk = Sdk::start(&client, options.clone(), registry());
    let run_id = start(&client, "main", &id, "").await;
    for n in 0..SIGNALS - 1 {
        signal(&client, &id, "add", &n.to_string()).await;
    }
    let sum = (0..SIGNALS - 1).sum::<usize>().to_string();
    while query(&client, &id, "status").await.unwrap() != sum {}
    // In the sticky queue the next task comes with the last events only, and nothing is there to add them to.
    sdk.request(Request::Evict(EvictRun { run_id }));
    signal(&client, &id, "add", "1").await;
    assert_eq!(result(&client, &id).await.parse::<usize>().unwrap(), sum.parse::<usize>().unwrap() + 1);
    sdk.shut_down().await;
    // Another worker knows nothing of it.
    let sdk = Sdk::start(&client, options, registry());
    assert_ne!(query(&client, &id, "status").await.unwrap(), sum);
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_activity_resumes_from_its_last_heartbeat() {
    let client = connect().await;
    let id = unique("heartbeat");
    let registry = Registry::default()
        .workflow("main", |context| async move {
            let activity = ScheduleActivity {
                activity_type: "count".into(),
                start_to_close_timeout: Some(seconds(20)),
                heartbeat_timeout: Some(seconds(10)),
                retry_policy: retry(3),
                ..Default::default()
            };
            Outcome::Completed(context.activity_with(activity).await.unwrap())
        })
        .activity("count", |attempt: Attempt| async move {
            // Only the first of these is sent at once: the others are throttled, and the last must not get lost.
            for step in ["x", "y", &format!("{}{}", attempt.resumed(), attempt.start.attempt)] {
                attempt.heartbeat(step);
            }
            if attempt.start.attempt < 3 { Err(failure("again")) } else { Ok(attempt.resumed()) }
        });
    let sdk = Sdk::start(&client, worker(&id), registry);
    start(&client, "main", &id, "").await;
    assert_eq!(result(&client, &id).await, "12");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_outlives_a_long_step_of_a_workflow() {
    let client = connect().await;
    let id = unique("busy");
    // In many languages workflows and activities share a thread. This is that thread.
    let thread = Arc::new(tokio::sync::Mutex::new(()));
    let computed = Arc::new(watch::Sender::new(false));
    let (step_thread, step_computed) = (Arc::clone(&thread), Arc::clone(&computed));
    let registry = Registry::default()
        .workflow("main", move |context| {
            let (thread, computed) = (Arc::clone(&step_thread), Arc::clone(&step_computed));
            async move {
                let activity = context.activity_with(ScheduleActivity {
                    activity_type: "beat".into(),
                    start_to_close_timeout: Some(seconds(60)),
                    heartbeat_timeout: Some(seconds(1)),
                    retry_policy: retry(3),
                    ..Default::default()
                });
                context.signal("compute").await;
                let busy = thread.blocking_lock();
                // tidy-allow: sleep: it stands for a long computation
                std::thread::sleep(Duration::from_millis(2600));
                drop(busy);
                computed.send_replace(true);
                Outcome::Completed(activity.await.unwrap())
            }
        })
        .activity("beat", move |attempt: Attempt| {
            let (thread, mut computed) = (Arc::clone(&thread), computed.subscribe());
            async move {
                let beating = attempt.clone();
                let mut interval = tokio::time::interval(Duration::from_millis(100));
                let beat = async {
                    loop {
                        interval.tick().await;
                        let _turn = thread.lock().await;
                        beating.heartbeat("alive");
                    }
                };
                tokio::select! {
                    never = beat => never,
                    _ = computed.wait_for(|computed| *computed) => {}
                }
                Ok(format!("attempt {}", attempt.start.attempt))
            }
        });
    let sdk = Sdk::start(&client, worker(&id), registry);
    start(&client, "main", &id, "").await;
    signal(&client, &id, "compute", "").await;
    assert_eq!(result(&client, &id).await, "attempt 1");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_too_large_to_send_fails_the_activity() {
    let client = connect().await;
    let id = unique("large");
    let registry = Registry::default()
        .workflow("main", |context| async move {
            let failure = context.activity("large", "").await.unwrap_err();
            Outcome::Completed(failure.cause.unwrap().message)
        })
        .activity("large", |_| async { Ok("x".repeat(5 << 20)) });
    let sdk = Sdk::start(&client, worker(&id), registry);
    start(&client, "main", &id, "").await;
    let message = result(&client, &id).await;
    // The second is what servers say that receive it and find it too large themselves.
    assert!(message.contains("too large") || message.contains("exceeds size limit"), "{message}");
    sdk.shut_down().await;
    client.close().await;
}

/// How each of four activities started together came to the worker: with a task's response, or polled.
async fn eager_starts(options: impl FnOnce(&mut WorkerOptions), elsewhere: bool) -> Vec<bool> {
    let client = connect().await;
    let id = unique("eager");
    let mut settings = worker(&id);
    options(&mut settings);
    let registry = Registry::default()
        .workflow("main", move |context| async move {
            let activity = || {
                context.activity_with(ScheduleActivity {
                    activity_type: "how".into(),
                    do_not_eagerly_execute: elsewhere,
                    start_to_close_timeout: Some(seconds(20)),
                    ..Default::default()
                })
            };
            let activities = [activity(), activity(), activity(), activity()];
            let mut starts = String::new();
            for activity in activities {
                starts += &activity.await.unwrap();
            }
            Outcome::Completed(starts)
        })
        .activity(
            "how",
            |attempt| async move { Ok(if attempt.start.is_eager { "e" } else { "p" }.to_owned()) },
        );
    let sdk = Sdk::start(&client, settings, registry);
    start(&client, "main", &id, "").await;
    let starts = result(&client, &id).await;
    sdk.shut_down().await;
    client.close().await;
    starts.chars().map(|how| how == 'e').collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_start_eagerly_within_the_limit() {
    let eager = |starts: Vec<bool>| starts.into_iter().filter(|eager| *eager).count();
    assert_eq!(eager(eager_starts(|_| {}, false).await), 3);
    assert_eq!(eager(eager_starts(|options| options.max_eager_activities = 1, false).await), 1);
    assert_eq!(eager(eager_starts(|options| options.disable_eager_activities = true, false).await), 0);
    assert_eq!(eager(eager_starts(|_| {}, true).await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_always_fails_fails_the_workflow() {
    let client = connect().await;
    let id = unique("fails");
    let attempts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&attempts);
    let registry = Registry::default()
        .workflow("main", |context| async move {
            let activity = ScheduleActivity {
                activity_type: "fail".into(),
                start_to_close_timeout: Some(seconds(20)),
                retry_policy: retry(2),
                ..Default::default()
            };
            Outcome::Failed(context.activity_with(activity).await.unwrap_err())
        })
        .activity("fail", move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Err(failure("no luck")) }
        });
    let sdk = Sdk::start(&client, worker(&id), registry);
    start(&client, "main", &id, "").await;
    let Result::Failed(failed) = outcome(&client, &id).await else { panic!("it fails") };
    assert_eq!(failed.cause.unwrap().message, "no luck");
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_workflow_cancels_its_activity() {
    let client = connect().await;
    let id = unique("cancel");
    let started = Arc::new(Notify::new());
    let notify = Arc::clone(&started);
    let registry = Registry::default()
        .workflow("main", |context| async move {
            let activity = ScheduleActivity {
                activity_type: "wait".into(),
                start_to_close_timeout: Some(seconds(60)),
                heartbeat_timeout: Some(seconds(1)),
                cancellation_type: ActivityCancellationType::WaitCancellationCompleted as i32,
                ..Default::default()
            };
            let activity = context.activity_with(activity);
            context.cancelled().await;
            context.request_cancel_activity();
            activity.await.unwrap_err();
            Outcome::Cancelled
        })
        .activity("wait", move |mut attempt: Attempt| {
            let started = Arc::clone(&notify);
            async move {
                started.notify_one();
                let beating = attempt.clone();
                let beat = async move {
                    let mut interval = tokio::time::interval(Duration::from_millis(100));
                    loop {
                        interval.tick().await;
                        beating.heartbeat("alive");
                    }
                };
                tokio::select! {
                    () = beat => unreachable!("it beats for ever"),
                    reason = attempt.cancelled() => assert_eq!(reason, activity_cancel::Reason::Cancelled),
                }
                Err(cancellation())
            }
        });
    let sdk = Sdk::start(&client, worker(&id), registry);
    start(&client, "main", &id, "").await;
    started.notified().await;
    cancel(&client, &id).await;
    assert!(matches!(outcome(&client, &id).await, Result::Cancelled(_)));
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_as_new_is_followed() {
    let client = connect().await;
    let id = unique("continue");
    let registry = Registry::default().workflow("main", |context| async move {
        match context.input().parse::<u32>().unwrap() {
            0 => Outcome::Completed("landed".to_owned()),
            left => Outcome::ContinueAsNew((left - 1).to_string()),
        }
    });
    let sdk = Sdk::start(&client, WorkerOptions { activities: false, ..worker(&id) }, registry);
    let first = start(&client, "main", &id, "2").await;
    let request = AwaitWorkflow { workflow_id: id.clone(), run_id: first, ..Default::default() };
    let alone = client.await_workflow(request.clone()).await.unwrap();
    assert!(matches!(alone.outcome, Some(Result::ContinuedAsNewRunId(_))), "{alone:?}");
    let followed =
        client.await_workflow(AwaitWorkflow { follow_runs: true, ..request.clone() }).await.unwrap();
    assert!(matches!(followed.outcome, Some(Result::Completed(_))), "{followed:?}");
    assert_ne!(followed.run_id, request.run_id);
    assert_eq!(result(&client, &id).await, "landed");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflows_retries_are_followed() {
    let client = connect().await;
    let id = unique("retried");
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let registry = Registry::default().workflow("main", move |_| {
        let run = counter.fetch_add(1, Ordering::Relaxed);
        async move { if run < 2 { Outcome::Failed(failure("again")) } else { Outcome::Completed("3".into()) } }
    });
    let sdk = Sdk::start(&client, WorkerOptions { activities: false, ..worker(&id) }, registry);
    start_with(&client, "main", &id, "", |request| request.retry_policy = retry(5)).await;
    assert_eq!(result(&client, &id).await, "3");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awaiting_ends_with_its_deadline() {
    let client = connect().await;
    let id = unique("deadline");
    start(&client, "main", &id, "").await;
    let timeout = prost_types::Duration::try_from(Duration::from_millis(50)).ok();
    let request = AwaitWorkflow { workflow_id: id, timeout, ..Default::default() };
    assert_eq!(client.await_workflow(request).await.unwrap_err().code, 4);
    let request = AwaitWorkflow { workflow_id: "nobody".into(), ..Default::default() };
    assert_eq!(client.await_workflow(request).await.unwrap_err().code, 5);
    client.close().await;
}

/// An activity that ends when it is told to, or when it is cancelled.
fn waiting(release: watch::Receiver<bool>, started: Arc<Notify>) -> Registry {
    Registry::default()
        .workflow("main", |context| async move {
            let activity = ScheduleActivity {
                activity_type: "wait".into(),
                start_to_close_timeout: Some(seconds(60)),
                retry_policy: retry(2),
                ..Default::default()
            };
            Outcome::Completed(context.activity_with(activity).await.unwrap())
        })
        .activity("wait", move |mut attempt: Attempt| {
            let (mut release, started) = (release.clone(), Arc::clone(&started));
            async move {
                if attempt.start.attempt > 1 {
                    return Ok("second attempt".to_owned());
                }
                started.notify_one();
                tokio::select! {
                    _ = release.wait_for(|released| *released) => Ok("first attempt".to_owned()),
                    reason = attempt.cancelled() => {
                        assert_eq!(reason, activity_cancel::Reason::WorkerShutdown);
                        Err(cancellation())
                    }
                }
            }
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_shutdown_lets_activities_end() {
    let client = connect().await;
    let id = unique("graceful");
    let (release, released) = watch::channel(false);
    let started = Arc::new(Notify::new());
    let options = WorkerOptions { graceful_shutdown_timeout: Some(seconds(60)), ..worker(&id) };
    let sdk = Sdk::start(&client, options, waiting(released.clone(), Arc::clone(&started)));
    start(&client, "main", &id, "").await;
    started.notified().await;
    sdk.request(Request::Shutdown(InitiateShutdown {}));
    release.send_replace(true);
    assert_eq!(sdk.shut_down().await.fatal, None);
    let sdk = Sdk::start(&client, worker(&id), waiting(released, started));
    assert_eq!(result(&client, &id).await, "first attempt");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ungraceful_shutdown_cancels_activities_which_are_retried() {
    let client = connect().await;
    let id = unique("ungraceful");
    let (_release, released) = watch::channel(false);
    let started = Arc::new(Notify::new());
    let sdk = Sdk::start(&client, worker(&id), waiting(released.clone(), Arc::clone(&started)));
    start(&client, "main", &id, "").await;
    started.notified().await;
    assert_eq!(sdk.shut_down().await.fatal, None);
    let sdk = Sdk::start(&client, worker(&id), waiting(released, started));
    assert_eq!(result(&client, &id).await, "second attempt");
    sdk.shut_down().await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_namespace_ends_the_worker() {
    use durably_core::Client;
    let options = ConnectOptions { namespace: "nowhere".into(), ..options() };
    let client = Client::connect(options).await.unwrap();
    let mut sdk = Sdk::start(&client, worker("q"), Registry::default());
    let fatal = sdk.ended().await.fatal.unwrap();
    assert_eq!(fatal.code, 5);
    assert!(fatal.message.contains("`nowhere`") && fatal.message.contains("register"), "{}", fatal.message);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_replayed_without_a_server_asking() {
    let client = connect().await;
    let id = unique("replayed");
    let sdk = Sdk::start(&client, worker(&id), everything());
    start(&client, "everything", &id, "a").await;
    signal(&client, &id, "approve", "c").await;
    assert_eq!(result(&client, &id).await, "abc");
    sdk.shut_down().await;
    let request = GetWorkflowExecutionHistoryRequest { execution: execution(&id), ..Default::default() };
    let history: GetWorkflowExecutionHistoryResponse =
        call(&client, "GetWorkflowExecutionHistory", &request).await.unwrap();

    let options = WorkerOptions { replay_only: true, ..Default::default() };
    let same = Registry::default().workflow("everything", |context| async move {
        let (first, second) = (context.activity("echo", "a"), context.activity("echo", "b"));
        let (_, _) = (first.await, second.await);
        context.sleep(Duration::from_secs(1)).await;
        let approval = context.signal("approve").await;
        let _ = context.activity("echo", &approval).await;
        Outcome::Completed("abc".to_owned())
    });
    let mut sdk = Sdk::start(&client, options.clone(), same);
    let replay = ReplayHistory { workflow_id: id.clone(), history: history.history };
    for _ in 0..2 {
        sdk.request(Request::Replay(replay.clone()));
    }
    for _ in 0..2 {
        let replayed = sdk.replayed().await;
        assert_eq!((&replayed.workflow_id, replayed.error), (&id, None));
    }
    assert_eq!(sdk.shut_down().await.fatal, None);

    let other = Registry::default().workflow("everything", |context| async move {
        context.sleep(Duration::from_secs(1)).await;
        Outcome::Completed("abc".to_owned())
    });
    let mut sdk = Sdk::start(&client, options, other);
    sdk.request(Request::Replay(replay));
    let error = sdk.replayed().await.error.expect("the code and the history disagree");
    assert!(error.nondeterminism.is_some(), "{error:?}");
    sdk.shut_down().await;
    client.close().await;
}
