//! Where time comes from: the system, or a virtual clock that can be moved ahead.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use crate::engine::Time;

/// Where time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClockKind {
    #[default]
    System,
    /// Skips to the next timer while unlocked and no task is under way. Starts locked.
    Virtual,
}

/// The time of all shards. A virtual clock runs with the system's, plus whatever was skipped.
#[derive(Debug)]
pub(super) struct Clock {
    kind: ClockKind,
    skipped: AtomicI64,
    /// Stands still at this time instead of following the system's clock; for tests that must repeat.
    #[cfg(test)]
    frozen: Option<i64>,
    /// Locks less unlocks; each task that is under way counts as one more lock. A virtual clock starts with 1.
    locks: Mutex<i64>,
}

impl Clock {
    pub(super) fn new(kind: ClockKind) -> Self {
        Self {
            kind,
            skipped: AtomicI64::new(0),
            #[cfg(test)]
            frozen: None,
            locks: Mutex::new(1),
        }
    }

    /// A virtual clock that only moves when it is told to.
    #[cfg(test)]
    pub(super) fn frozen(at: Time) -> Self {
        Self { frozen: Some(at.0), ..Self::new(ClockKind::Virtual) }
    }

    /// A system's clock that only moves when it is told to.
    #[cfg(test)]
    pub(super) fn by_hand(at: Time) -> Self {
        Self { frozen: Some(at.0), ..Self::new(ClockKind::System) }
    }

    pub(super) fn now(&self) -> Time {
        #[cfg(test)]
        if let Some(frozen) = self.frozen {
            return Time(frozen + self.skipped.load(Ordering::Acquire));
        }
        Time(Self::real().0.saturating_add(self.skipped.load(Ordering::Acquire)))
    }

    /// The system's time, whatever this clock is. It follows a system's clock that is set ahead, and goes on at its
    /// own pace when that is set back: what is due in a minute is due in a minute.
    pub(super) fn real() -> Time {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        static AHEAD: AtomicI64 = AtomicI64::new(i64::MIN);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX);
        let elapsed = i64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let ahead = wall.saturating_sub(elapsed);
        Time(elapsed.saturating_add(AHEAD.fetch_max(ahead, Ordering::AcqRel).max(ahead)))
    }

    pub(super) fn is_virtual(&self) -> bool {
        self.kind == ClockKind::Virtual
    }

    pub(super) fn may_skip(&self, tasks_under_way: usize) -> bool {
        self.is_virtual() && *self.locks.lock() + tasks_under_way as i64 <= 0
    }

    /// Moves a virtual clock to `time`, never back.
    pub(super) fn skip_to(&self, time: Time) {
        let ahead = time.since(self.now());
        if ahead > 0 {
            self.skipped.fetch_add(ahead, Ordering::AcqRel);
        }
    }

    pub(super) fn lock(&self) {
        *self.locks.lock() += 1;
    }

    /// False when it was not locked. An activity that sleeps by this clock takes its own lock away.
    pub(super) fn unlock(&self, tasks_under_way: usize) -> bool {
        let mut locks = self.locks.lock();
        if *locks + tasks_under_way as i64 <= 0 {
            return false;
        }
        *locks -= 1;
        true
    }
}
