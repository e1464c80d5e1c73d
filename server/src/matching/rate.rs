//! How often something happens, as an average over the last half minute.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

const STEP: Duration = Duration::from_secs(5);
const STEPS: usize = 6;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Counts by steps of time; what is older than all of them is forgotten.
#[derive(Debug, Default)]
pub(super) struct Rate {
    counts: [u32; STEPS],
    /// The step that is counted in now.
    step: u64,
}

impl Rate {
    pub(super) fn count(&mut self, now: Instant) {
        self.move_to(step_of(now));
        let at = (self.step % STEPS as u64) as usize;
        self.counts[at] = self.counts[at].saturating_add(1);
    }

    pub(super) fn per_second(&self, now: Instant) -> f32 {
        // The oldest step that still counts, if anything was counted since.
        let oldest = (step_of(now) + 1).saturating_sub(STEPS as u64);
        let recent = oldest.max((self.step + 1).saturating_sub(STEPS as u64))..=self.step;
        let counted: u32 = recent.map(|step| self.counts[(step % STEPS as u64) as usize]).sum();
        counted as f32 / (STEP.as_secs_f32() * STEPS as f32)
    }

    fn move_to(&mut self, step: u64) {
        for passed in self.step + 1..=step.min(self.step + STEPS as u64) {
            self.counts[(passed % STEPS as u64) as usize] = 0;
        }
        self.step = self.step.max(step);
    }
}

fn step_of(now: Instant) -> u64 {
    now.saturating_duration_since(*BEGIN).as_secs() / STEP.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_half_a_minute_ago_counts_no_more() {
        let at = |seconds| *BEGIN + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        for second in 100..130 {
            rate.count(at(second));
            rate.count(at(second));
        }
        let counted = |rate: &Rate, second| (rate.per_second(at(second)) * 30.0).round() as i64;
        assert_eq!([129, 139, 154, 155, 500].map(|second| counted(&rate, second)), [60, 40, 10, 0, 0]);
        rate.count(at(500));
        assert_eq!(counted(&rate, 500), 1);
    }
}
