//! The way into a shard: work from any thread, taken in one go by the shard's own.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex};

use super::work::Work;

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    woken: bool,
    closed: bool,
}

impl Inbox {
    /// False when the shard takes no more work; the work is dropped.
    pub(super) fn send(&self, work: Work) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        state.work.push_back(work);
        if state.work.len() == 1 {
            self.arrived.notify_one();
        }
        true
    }

    /// Makes the shard look at its timers again.
    pub(super) fn wake(&self) {
        self.state.lock().woken = true;
        self.arrived.notify_one();
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for work, at most `limit`. `None` once the inbox is closed and empty.
    pub(super) fn take(&self, limit: Option<Duration>) -> Option<VecDeque<Work>> {
        let mut state = self.state.lock();
        if state.work.is_empty() && !state.woken && !state.closed {
            match limit {
                Some(limit) => {
                    self.arrived.wait_for(&mut state, limit);
                }
                None => self.arrived.wait(&mut state),
            }
        }
        state.woken = false;
        if state.closed && state.work.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut state.work))
    }

    /// Waits as [`Inbox::take`] does, and takes nothing. Whether there is work; `None` once the inbox is closed.
    pub(super) fn wait(&self, limit: Duration) -> Option<bool> {
        let mut state = self.state.lock();
        if state.work.is_empty() && !state.woken && !state.closed {
            self.arrived.wait_for(&mut state, limit);
        }
        state.woken = false;
        (!state.closed).then_some(!state.work.is_empty())
    }

    /// What waits, for one who cannot do it.
    pub(super) fn empty(&self) -> VecDeque<Work> {
        std::mem::take(&mut self.state.lock().work)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().work.is_empty()
    }
}
