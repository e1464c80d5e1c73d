//! Runs for whose tasks there seems to be no worker, and since when. In real time, whatever clock the shard has: it is
//! people and processes that are waited for.

use std::{collections::BTreeMap, time::Duration};

use crate::engine::{SECOND, Time};

/// A worker that starts with the call that waits for it has begun to poll long before this.
const PATIENCE: i64 = SECOND;
/// Looking costs something for each run that is waited for; a busy shard looks this often at most.
const PAUSE: i64 = SECOND / 100;

#[derive(Debug, Default)]
pub(super) struct Suspects {
    since: BTreeMap<i64, Time>,
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

    /// These runs have nobody, and all others have somebody.
    pub(super) fn keep(&mut self, runs: impl IntoIterator<Item = i64>, now: Time) {
        let before = std::mem::take(&mut self.since);
        self.since = runs.into_iter().map(|seq| (seq, before.get(&seq).copied().unwrap_or(now))).collect();
        let given_up = self.since.values().map(|since| since.after(PATIENCE));
        self.next = given_up.filter(|at| *at > now).min();
    }

    /// Whether nobody has come for the run for as long as it is reasonable to wait.
    pub(super) fn is_given_up(&self, seq: i64, now: Time) -> bool {
        self.since.get(&seq).is_some_and(|since| now.since(*since) >= PATIENCE)
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
        let mut suspects = Suspects::default();
        let at = |millis: i64| Time(10 * SECOND + millis * 1_000_000);
        assert!(suspects.is_time(at(0)));
        suspects.keep([1, 2], at(0));
        assert_eq!(suspects.patience(at(400)), Some(Duration::from_millis(600)));
        assert!(!suspects.is_given_up(1, at(999)) && suspects.is_given_up(1, at(1_000)));
        // Somebody came for the second, and went again.
        suspects.keep([1], at(500));
        suspects.keep([1, 2], at(900));
        assert!(suspects.is_given_up(1, at(1_000)) && !suspects.is_given_up(2, at(1_000)));
        suspects.keep([1, 2], at(1_000));
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
