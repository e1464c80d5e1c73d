//! Runs that don't seem to go on, and since when. In real time, whatever clock the shard has: it is people and processes that
//! are waited for.

use std::{collections::BTreeMap, time::Duration};

use crate::engine::{SECOND, Time};

/// A worker that starts with the call that waits for it has begun to poll long before this.
const PATIENCE: i64 = SECOND;
/// Looking costs something for each run that is waited for; a busy shard looks this often at most.
const PAUSE: i64 = SECOND / 100;

/// Why a run may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspicion {
    /// There is no worker for its tasks.
    NoWorker,
    /// An activity or a child of it doesn't go on. Nobody knows whether its updates wait for that.
    Hindered,
}

#[derive(Debug, Default)]
pub(super) struct Suspects {
    since: BTreeMap<(i64, Suspicion), Time>,
    looked: Time,
    next: Option<Time>,
}

impl Suspects {
    /// Whether to look at who waits. If it is too soon, [`Suspects::patience`] says when.
    pub(super) fn is_time(&mut self, now: Time) -> bool {
        let soonest = self.looked.after(PAUSE);
        if now < soonest {
            self.next = Some(soonest);
            return false;
        }
        self.looked = now;
        self.next = None;
        true
    }

    /// Nothing is left to look at.
    pub(super) fn rest(&mut self) {
        self.since.clear();
        self.next = None;
    }

    /// These runs are suspected, and no others.
    pub(super) fn keep(&mut self, runs: impl IntoIterator<Item = (i64, Suspicion)>, now: Time) {
        let before = std::mem::take(&mut self.since);
        self.since = runs.into_iter().map(|of| (of, before.get(&of).copied().unwrap_or(now))).collect();
        let given_up = self.since.values().map(|since| since.after(PATIENCE));
        self.next = given_up.filter(|at| *at > now).min();
    }

    /// Whether the run has been suspected for as long as it is reasonable to wait.
    pub(super) fn is_given_up(&self, seq: i64, of: Suspicion, now: Time) -> bool {
        self.since.get(&(seq, of)).is_some_and(|since| now.since(*since) >= PATIENCE)
    }

    /// How long until there is something to look at.
    pub(super) fn patience(&self, now: Time) -> Option<Duration> {
        let left = self.next?.since(now).max(0);
        Some(Duration::from_nanos(left as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_given_up_when_nobody_came_for_a_while() {
        use Suspicion::{Hindered, NoWorker};
        let mut suspects = Suspects::default();
        let at = |millis: i64| Time(10 * SECOND + millis * 1_000_000);
        assert!(suspects.is_time(at(0)));
        suspects.keep([(1, NoWorker), (2, NoWorker)], at(0));
        assert_eq!(suspects.patience(at(400)), Some(Duration::from_millis(600)));
        let is_given_up = |suspects: &Suspects, seq, millis| suspects.is_given_up(seq, NoWorker, at(millis));
        assert!(!is_given_up(&suspects, 1, 999) && is_given_up(&suspects, 1, 1_000));
        assert!(!suspects.is_given_up(1, Hindered, at(1_000)), "that is another matter");
        // Somebody came for the second, and went again.
        suspects.keep([(1, NoWorker)], at(500));
        suspects.keep([(1, NoWorker), (2, NoWorker)], at(900));
        assert!(is_given_up(&suspects, 1, 1_000) && !is_given_up(&suspects, 2, 1_000));
        suspects.keep([(1, NoWorker), (2, NoWorker)], at(1_000));
        assert_eq!(suspects.patience(at(1_000)), Some(Duration::from_millis(900)), "the first is known");
        suspects.rest();
        assert_eq!(suspects.patience(at(1_000)), None);
    }

    #[test]
    fn a_busy_shard_looks_now_and_then() {
        let mut suspects = Suspects::default();
        assert!(suspects.is_time(Time(SECOND)) && !suspects.is_time(Time(SECOND + PAUSE / 2)));
        assert_eq!(suspects.patience(Time(SECOND + PAUSE / 2)), Some(Duration::from_millis(5)));
        assert!(suspects.is_time(Time(SECOND + PAUSE)));
    }
}
