//! Tasks and pollers meet, whichever comes first, and no task is lost to a poller that left.

use futures::FutureExt;

use super::*;

fn key(name: &str) -> QueueKey {
    QueueKey { namespace_id: "ns".into(), name: name.into(), kind: QueueKind::Workflow }
}

fn poll(matching: &Matching<u32>, name: &str) -> TaskReceiver<u32> {
    matching.poll(&key(name), PollerIdentity { identity: "me".into(), ..Default::default() }, 100)
}

#[tokio::test]
async fn tasks_wait_in_order() {
    let matching = Matching::default();
    for task in [1, 2] {
        matching.offer(&key("q"), task);
    }
    matching.offer_first(&key("q"), 0);
    assert_eq!(matching.backlog(), 3);
    for expected in [0, 1, 2] {
        assert_eq!(poll(&matching, "q").recv().await, Some(expected));
    }
    assert_eq!(matching.backlog(), 0);
}

#[tokio::test]
async fn a_task_goes_to_the_poller_that_waits_longest() {
    let matching = Matching::default();
    let (mut first, mut second) = (poll(&matching, "q"), poll(&matching, "q"));
    matching.offer(&key("q"), 1);
    matching.offer(&key("q"), 2);
    assert_eq!((first.recv().await, second.recv().await), (Some(1), Some(2)));
}

#[tokio::test]
async fn queues_are_apart() {
    let matching = Matching::default();
    let mut other = poll(&matching, "other");
    matching.offer(&key("q"), 1);
    assert_eq!(other.recv().now_or_never(), None);
    let activity = QueueKey { kind: QueueKind::Activity, ..key("q") };
    assert_eq!(matching.describe(&activity, 100).backlog, 0);
}

#[tokio::test]
async fn a_poller_that_left_swallows_nothing() {
    let matching = Matching::default();
    let (left, mut waits) = (poll(&matching, "q"), poll(&matching, "q"));
    drop(left);
    matching.offer(&key("q"), 1);
    assert_eq!(waits.recv().await, Some(1));

    // Handed over, but the poller left before it looked.
    let left = poll(&matching, "q");
    matching.offer(&key("q"), 2);
    matching.offer(&key("q"), 3);
    drop(left);
    assert_eq!(poll(&matching, "q").recv().await, Some(2));
    assert_eq!(poll(&matching, "q").recv().await, Some(3));
}

#[tokio::test]
async fn a_stopped_wait_keeps_its_task() {
    let matching = Matching::default();
    let mut receiver = poll(&matching, "q");
    assert_eq!(receiver.recv().now_or_never(), None);
    matching.offer(&key("q"), 1);
    assert_eq!(receiver.recv().await, Some(1));
}

#[tokio::test]
async fn what_is_worth_nothing_later_does_not_wait() {
    let matching = Matching::default();
    assert_eq!(matching.offer_now(&key("q"), 1), Err(1));
    let mut receiver = poll(&matching, "q");
    assert_eq!(matching.offer_now(&key("q"), 2), Ok(()));
    assert_eq!(receiver.recv().await, Some(2));
}

#[tokio::test]
async fn removing_a_queue_ends_its_polls_and_returns_its_tasks() {
    let matching = Matching::default();
    let mut receiver = poll(&matching, "q");
    assert_eq!(matching.remove(&key("q")), Vec::<u32>::new());
    assert_eq!(receiver.recv().await, None);
    matching.offer(&key("q"), 1);
    assert_eq!(matching.remove(&key("q")), [1]);
}

#[tokio::test]
async fn a_worker_ends_its_own_polls_also_those_that_come_late() {
    let matching = Matching::default();
    let of = |worker: &str| {
        matching.poll(&key("q"), PollerIdentity { worker: worker.into(), ..Default::default() }, 100)
    };
    let (mut ending, mut other, mut nameless) = (of("a"), of("b"), of(""));
    matching.end_polls("a");
    matching.end_polls("");
    assert_eq!(ending.recv().await, None);
    let mut late = of("a");
    assert_eq!(late.recv().await, None);
    matching.offer(&key("q"), 1);
    matching.offer(&key("q"), 2);
    assert_eq!((other.recv().await, nameless.recv().await), (Some(1), Some(2)));
}

#[tokio::test]
async fn the_rate_limit_holds_tasks_back() {
    let matching = Matching::default();
    matching.set_rate(&key("q"), Some(0.0));
    matching.offer(&key("q"), 1);
    let mut receiver = poll(&matching, "q");
    // The bucket holds one task even at rate zero.
    assert_eq!(receiver.recv().await, Some(1));
    matching.offer(&key("q"), 2);
    let mut receiver = poll(&matching, "q");
    assert_eq!(receiver.recv().now_or_never(), None);
    matching.set_rate(&key("q"), None);
    assert_eq!(receiver.recv().await, Some(2));
}

#[tokio::test]
async fn pollers_are_remembered() {
    let matching = Matching::<u32>::default();
    assert!(!matching.has_poller(&key("q"), 100, 10));
    let receiver = poll(&matching, "q");
    assert!(matching.has_poller(&key("q"), 1_000, 10));
    drop(receiver);
    assert!(matching.has_poller(&key("q"), 105, 10));
    assert!(!matching.has_poller(&key("q"), 1_000, 10));
    assert_eq!(matching.describe(&key("q"), 100).pollers[0].identity, "me");
    matching.forget_idle(1_000);
    assert!(!matching.is_empty());
    matching.forget_idle(i64::MAX);
    assert!(matching.is_empty());
    assert_eq!(matching.describe(&key("q"), 100), QueueInfo::default());
}

#[tokio::test]
async fn queues_that_nobody_uses_again_are_forgotten() {
    let matching = Matching::<u32>::default();
    matching.offer(&key("with a task"), 1);
    let waiting = poll(&matching, "with a poller");
    for number in 0..30_000 {
        drop(poll(&matching, &format!("sticky-{number}")));
        assert!(matching.len() <= 2 * REMEMBERED_QUEUES + 2, "{} queues", matching.len());
    }
    assert_eq!(matching.backlog(), 1);
    assert!(matching.has_poller(&key("with a poller"), i64::MAX, 1));
    drop(waiting);
}

#[tokio::test]
async fn a_queue_says_when_it_is_worth_looking_through() {
    let matching = Matching::default();
    let mut looked = 0;
    for number in 0..20_000 {
        if matching.offer(&key("dead"), number) {
            looked += 1;
            // None stands but the newest.
            matching.retain(&key("dead"), |task| *task == number);
        }
    }
    assert!(matching.backlog() <= 1_000, "{} of 20000 are still there", matching.backlog());
    assert!(looked <= 21, "looked {looked} times");
    assert_eq!(matching.waiting(&key("dead"), |task| Some(*task)).last(), Some(&19_999));
}
