//! Which steps of workflows the language is busy with, so that activities don't die of its silence (decision 043).
//!
//! Many languages run workflows and activities on one thread. While a step of a workflow takes long there, activities
//! that are well can't say so. Steps are known to all workers of a client, since these share that thread too.

use std::{collections::BTreeSet, ops::Bound, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// A step that is out for less than this keeps nobody from anything.
const MOMENT: Duration = Duration::from_millis(50);

/// No step excuses silence for longer than this, so that a language that hangs is noticed. It is what a workflow task
/// gets by default: a step that takes longer than that comes to nothing anyway.
pub(crate) const LONGEST_EXCUSE: Duration = Duration::from_secs(10);

/// The activations that are with the language and have not been answered.
#[derive(Default)]
pub(crate) struct Steps {
    outstanding: Mutex<Outstanding>,
}

#[derive(Default)]
struct Outstanding {
    /// When each began, and a number that tells equal moments apart.
    steps: BTreeSet<(Instant, u64)>,
    next_number: u64,
}

/// One of them, for as long as it is kept.
pub(crate) struct Step {
    steps: Arc<Steps>,
    key: (Instant, u64),
}

impl Steps {
    pub(crate) fn begin(self: &Arc<Self>, now: Instant) -> Step {
        let mut outstanding = self.outstanding.lock();
        let key = (now, outstanding.next_number);
        outstanding.next_number += 1;
        outstanding.steps.insert(key);
        drop(outstanding);
        Step { steps: Arc::clone(self), key }
    }

    /// Whether a step is to blame for the silence of something whose last sign of life was good until `alive_until`:
    /// the step began before that, and lasts. What was silent already when all steps began has no excuse.
    pub(crate) fn excuse(&self, alive_until: Instant, now: Instant) -> bool {
        let latest = now.checked_sub(MOMENT).map_or(alive_until, |moment_ago| moment_ago.min(alive_until));
        let earliest = now.checked_sub(LONGEST_EXCUSE);
        if earliest.is_some_and(|earliest| earliest > latest) {
            return false;
        }
        let from = earliest.map_or(Bound::Unbounded, |earliest| Bound::Included((earliest, 0)));
        self.outstanding.lock().steps.range((from, Bound::Included((latest, u64::MAX)))).next().is_some()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.steps.outstanding.lock().steps.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_excuses_what_was_alive_when_it_began() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let steps = Arc::<Steps>::default();
        assert!(!steps.excuse(at(1000), at(900)), "there is none");
        let step = steps.begin(at(500));
        assert!(!steps.excuse(at(1000), at(540)), "it has just begun");
        assert!(steps.excuse(at(1000), at(900)));
        assert!(steps.excuse(at(1000), at(3000)), "for as long as it lasts");
        assert!(steps.excuse(at(500), at(900)));
        assert!(!steps.excuse(at(499), at(900)), "it was silent before");
        drop(step);
        assert!(!steps.excuse(at(1000), at(900)), "the step is over");
    }

    #[test]
    fn steps_that_follow_each_other_excuse_no_more_than_one() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let limit = LONGEST_EXCUSE.as_millis() as u64;
        let steps = Arc::<Steps>::default();
        let kept: Vec<_> = (0..100).map(|n| steps.begin(at(n * 500))).collect();
        let excused = |until| (0..200).map(|n| at(n * 100)).filter(|now| steps.excuse(until, *now)).max();
        assert_eq!(excused(at(1000)), Some(at(1000 + limit)));
        drop(kept);
    }
}
