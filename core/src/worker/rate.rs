//! A limit on how often something may begin.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Spaces beginnings evenly; without a limit it does nothing.
pub(crate) struct RateLimit {
    interval: Option<Duration>,
    next: Mutex<Instant>,
}

impl RateLimit {
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        Self {
            interval: per_second.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Returns when one more may begin.
    pub(crate) async fn wait(&self) {
        if let Some(turn) = self.reserve(Instant::now()) {
            tokio::time::sleep_until(turn).await;
        }
    }

    /// True if one more may begin now, which then counts.
    pub(crate) fn try_take(&self) -> bool {
        let Some(interval) = self.interval else { return true };
        let now = Instant::now();
        let mut next = self.next.lock();
        let free = *next <= now;
        if free {
            *next = now + interval;
        }
        free
    }

    /// The moment at which one more may begin, which is then taken; `None` without a limit.
    fn reserve(&self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        let mut next = self.next.lock();
        let turn = (*next).max(now);
        *next = turn + interval;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_spaced() {
        let limit = RateLimit::new(Some(2.0));
        let now = Instant::now();
        let turns: Vec<_> = (0..3).map(|_| (limit.reserve(now).unwrap() - now).as_millis()).collect();
        assert_eq!(turns, [0, 500, 1000]);
        let later = now + Duration::from_secs(9);
        assert_eq!(limit.reserve(later), Some(later), "an idle time is not made up for");
        assert!(!limit.try_take());
        assert_eq!(RateLimit::new(None).reserve(now), None);
        assert!(RateLimit::new(None).try_take());
    }
}
