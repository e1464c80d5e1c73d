//! Where time comes from: the system, or a virtual clock that can be moved ahead.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use crate::engine::{SECOND, Time};

/// How long a virtual clock waits to be locked by a caller who has been given what he waited for. One that does not lock
/// it, having somebody else to do so, or no notion of such clocks, costs no more than this.
const ANSWER_GRACE: i64 = SECOND;

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
    /// By the system's clock; until then a virtual one does not skip.
    held_until: AtomicI64,
}

impl Clock {
    pub(super) fn new(kind: ClockKind) -> Self {
        Self {
            kind,
            skipped: AtomicI64::new(0),
            #[cfg(test)]
            frozen: None,
            locks: Mutex::new(1),
            held_until: AtomicI64::new(0),
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
        self.is_virtual() && self.held() == 0 && *self.locks.lock() + tasks_under_way as i64 <= 0
    }

    /// Somebody who waited is answered. He locks the clock when he hears it, in a call of its own: until that comes, time
    /// must not skip, or a test would find itself beyond the moment that it waited for.
    pub(super) fn await_lock(&self) {
        self.hold(ANSWER_GRACE);
    }

    /// Skips nothing for so many nanoseconds of the system's clock, unless it is locked meanwhile.
    pub(super) fn hold(&self, nanos: i64) {
        if self.is_virtual() {
            self.held_until.fetch_max(Self::real().after(nanos).0, Ordering::AcqRel);
        }
    }

    /// For how many nanoseconds of the system's clock it will go on not to skip.
    pub(super) fn held(&self) -> i64 {
        match self.held_until.load(Ordering::Acquire) {
            0 => 0,
            until => (until - Self::real().0).max(0),
        }
    }

    /// Moves a virtual clock to `time`, never back.
    pub(super) fn skip_to(&self, time: Time) {
        let ahead = time.since(self.now());
        if ahead > 0 {
            self.skipped.fetch_add(ahead, Ordering::AcqRel);
        }
    }

    pub(super) fn lock(&self) {
        // In this order: another thread must not find it neither locked nor held.
        *self.locks.lock() += 1;
        self.held_until.store(0, Ordering::Release);
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
