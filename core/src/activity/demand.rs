//! How many activities an SDK has asked for that takes them one by one (`activities_on_demand`).
//!
//! A poll is opened only while more activities are wanted than polls are open, so that a task never arrives where
//! nobody is waiting for it.

use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Demand {
    counts: Mutex<Counts>,
    risen: Notify,
}

#[derive(Default)]
struct Counts {
    /// Asked for and not come yet. Below zero while more have come than were asked for.
    wanted: i64,
    polling: i64,
}

impl Counts {
    fn allows_poll(&self) -> bool {
        self.polling < self.wanted
    }
}

impl Demand {
    pub(super) fn add(&self, count: i64) {
        let mut counts = self.counts.lock();
        counts.wanted = counts.wanted.saturating_add(count);
        if counts.allows_poll() {
            self.risen.notify_one();
        }
    }

    /// Waits until one more poll is called for, and counts it.
    pub(super) async fn begin_poll(&self) {
        loop {
            {
                let mut counts = self.counts.lock();
                if counts.allows_poll() {
                    counts.polling += 1;
                    if counts.allows_poll() {
                        self.risen.notify_one();
                    }
                    return;
                }
            }
            self.risen.notified().await;
        }
    }

    pub(super) fn end_poll(&self, brought_task: bool) {
        let mut counts = self.counts.lock();
        counts.polling -= 1;
        counts.wanted -= i64::from(brought_task);
        if counts.allows_poll() {
            self.risen.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::Demand;

    #[test]
    fn polls_are_open_for_what_is_wanted_and_has_not_come() {
        let demand = Demand::default();
        let begins = || demand.begin_poll().now_or_never().is_some();
        assert!(!begins(), "nobody wants anything");
        demand.add(2);
        assert!(begins() && begins());
        assert!(!begins(), "two are wanted and two polls are open");
        demand.end_poll(true);
        assert!(!begins(), "one is wanted and one poll is open");
        demand.end_poll(false);
        assert!(begins(), "the poll came back empty");
        demand.add(-1);
        demand.end_poll(true);
        demand.add(1);
        assert!(!begins(), "the poll that was open brought one that nobody wanted any more; it counts now");
    }
}
