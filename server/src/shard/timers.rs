//! What is due when: one book, in order, for everything that a shard does by itself once a time has come.

use std::collections::{BTreeSet, HashMap};

use super::reply::Reply;
use crate::engine::Time;

/// What is to be done. Of what is due at one time, it is done in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The sleeper of this number wakes.
    Wake(u64),
    /// The open run of this number, which is not in memory, is read.
    Read(i64),
    /// The run says again what it said to others and has no answer to.
    SayAgain(i64),
    /// The run, which is in memory, handles its timers.
    Fire(i64),
}

/// A caller who waits for a virtual clock.
#[derive(Debug)]
pub(super) struct Sleeper {
    pub reply: Reply<()>,
    /// Whether time skipping is locked again when the sleep ends.
    pub locks: bool,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Time, Due)>,
    sleepers: HashMap<u64, Sleeper>,
    last_sleeper: u64,
}

impl Timers {
    pub(super) fn insert(&mut self, time: Time, due: Due) {
        self.due.insert((time, due));
    }

    pub(super) fn remove(&mut self, time: Time, due: Due) {
        self.due.remove(&(time, due));
    }

    pub(super) fn sleep(&mut self, until: Time, sleeper: Sleeper) {
        self.last_sleeper += 1;
        self.sleepers.insert(self.last_sleeper, sleeper);
        self.insert(until, Due::Wake(self.last_sleeper));
    }

    /// Who has this number; once.
    pub(super) fn wake(&mut self, number: u64) -> Option<Sleeper> {
        self.sleepers.remove(&number)
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Takes out what is due by `now` and has been for longest.
    pub(super) fn pop(&mut self, now: Time) -> Option<Due> {
        self.due.first().filter(|(time, _)| *time <= now)?;
        self.due.pop_first().map(|(_, due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_out_in_order_and_once() {
        let mut timers = Timers::default();
        timers.insert(Time(30), Due::Fire(3));
        timers.insert(Time(10), Due::Fire(1));
        timers.insert(Time(10), Due::Read(2));
        timers.insert(Time(20), Due::SayAgain(1));
        timers.insert(Time(15), Due::Fire(4));
        timers.remove(Time(15), Due::Fire(4));
        let sleeper = Sleeper { reply: Reply::new().0, locks: true };
        timers.sleep(Time(10), sleeper);
        assert_eq!(timers.next(), Some(Time(10)));
        let due: Vec<Due> = std::iter::from_fn(|| timers.pop(Time(20))).collect();
        assert_eq!(due, [Due::Wake(1), Due::Read(2), Due::Fire(1), Due::SayAgain(1)]);
        assert!(timers.wake(1).is_some_and(|sleeper| sleeper.locks));
        assert!(timers.wake(1).is_none());
        assert_eq!(timers.next(), Some(Time(30)));
    }
}
