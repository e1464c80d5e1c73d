//! Which runs are cached, and which one goes when there is no room: least recently used first, bounded in bytes and
//! in number. Only idle runs can go, so that busy ones may exceed the bounds for as long as they are busy.

use std::collections::{BTreeMap, HashMap};

/// Runs by id. `T` is the handle to a run.
pub(super) struct Cache<T> {
    max_runs: usize,
    max_bytes: u64,
    runs: HashMap<String, Entry<T>>,
    /// Idle runs by the time of their last use.
    idle: BTreeMap<u64, String>,
    /// Of the runs that are not on their way out.
    kept_runs: usize,
    kept_bytes: u64,
    clock: u64,
}

struct Entry<T> {
    handle: T,
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Busy,
    /// Since this tick.
    Idle(u64),
    Leaving,
}

impl<T: Clone> Cache<T> {
    pub(super) fn new(max_runs: usize, max_bytes: u64) -> Self {
        Self {
            max_runs,
            max_bytes,
            runs: HashMap::new(),
            idle: BTreeMap::new(),
            kept_runs: 0,
            kept_bytes: 0,
            clock: 0,
        }
    }

    pub(super) fn get(&self, run_id: &str) -> Option<&T> {
        self.runs.get(run_id).map(|entry| &entry.handle)
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Every run, in the order of their ids.
    pub(super) fn handles(&self) -> Vec<T> {
        let mut runs: Vec<_> = self.runs.iter().collect();
        runs.sort_unstable_by_key(|(id, _)| *id);
        runs.into_iter().map(|(_, entry)| entry.handle.clone()).collect()
    }

    /// Adds a run, which is busy at first.
    pub(super) fn insert(&mut self, run_id: String, handle: T) {
        self.kept_runs += 1;
        let former = self.runs.insert(run_id, Entry { handle, bytes: 0, state: State::Busy });
        debug_assert!(former.is_none(), "a run is cached once");
    }

    pub(super) fn remove(&mut self, run_id: &str) -> Option<T> {
        let entry = self.runs.remove(run_id)?;
        match entry.state {
            State::Leaving => return Some(entry.handle),
            State::Idle(tick) => drop(self.idle.remove(&tick)),
            State::Busy => {}
        }
        self.kept_runs -= 1;
        self.kept_bytes -= entry.bytes;
        Some(entry.handle)
    }

    /// Notes that a run was used: what it weighs now, and whether it waits for its next task.
    pub(super) fn touch(&mut self, run_id: &str, bytes: u64, is_idle: bool) {
        self.clock += 1;
        let Some(entry) = self.runs.get_mut(run_id) else { return };
        if entry.state == State::Leaving {
            return;
        }
        self.kept_bytes = self.kept_bytes - entry.bytes + bytes;
        entry.bytes = bytes;
        let was_idle_since = match entry.state {
            State::Idle(tick) => Some(tick),
            _ => None,
        };
        entry.state = if is_idle { State::Idle(self.clock) } else { State::Busy };
        let id = was_idle_since.and_then(|tick| self.idle.remove(&tick));
        if is_idle {
            self.idle.insert(self.clock, id.unwrap_or_else(|| run_id.to_owned()));
        }
    }

    /// The run that must go now, if the bounds are exceeded. It counts as gone, though it stays until `remove`.
    pub(super) fn pop_excess(&mut self) -> Option<T> {
        if self.kept_runs <= self.max_runs && self.kept_bytes <= self.max_bytes {
            return None;
        }
        let (_, id) = self.idle.pop_first()?;
        let entry = self.runs.get_mut(&id)?;
        entry.state = State::Leaving;
        self.kept_runs -= 1;
        self.kept_bytes -= entry.bytes;
        Some(entry.handle.clone())
    }

    /// Takes back `pop_excess`: the run got work before it could be evicted.
    pub(super) fn keep(&mut self, run_id: &str) {
        let Some(entry) = self.runs.get_mut(run_id) else { return };
        if entry.state == State::Leaving {
            entry.state = State::Busy;
            self.kept_runs += 1;
            self.kept_bytes += entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(max_runs: usize, max_bytes: u64) -> Cache<char> {
        let mut cache = Cache::new(max_runs, max_bytes);
        for (id, handle) in [("a", 'a'), ("b", 'b'), ("c", 'c')] {
            cache.insert(id.to_owned(), handle);
        }
        cache
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = cache(2, u64::MAX);
        assert_eq!(cache.pop_excess(), None, "busy runs stay");
        for id in ["a", "b", "c", "a"] {
            cache.touch(id, 1, true);
        }
        assert_eq!(cache.pop_excess(), Some('b'));
        assert_eq!(cache.pop_excess(), None);
        assert_eq!(cache.len(), 3, "it is there until it is removed");
        assert_eq!(cache.remove("b"), Some('b'));
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn bytes_count_too() {
        let mut cache = cache(10, 100);
        for id in ["a", "b", "c"] {
            cache.touch(id, 40, true);
        }
        assert_eq!(cache.pop_excess(), Some('a'));
        assert_eq!(cache.pop_excess(), None);
        cache.touch("c", 70, true);
        assert_eq!(cache.pop_excess(), Some('b'));
        cache.touch("c", 101, true);
        assert_eq!(cache.pop_excess(), Some('c'), "a run that alone is too big goes as well");
    }

    #[test]
    fn a_run_that_got_work_is_kept() {
        let mut cache = cache(0, 0);
        cache.touch("a", 5, true);
        assert_eq!(cache.pop_excess(), Some('a'));
        cache.keep("a");
        assert_eq!(cache.pop_excess(), None, "it is busy");
        cache.touch("a", 5, true);
        assert_eq!(cache.pop_excess(), Some('a'));
        cache.remove("a");
        assert_eq!((cache.kept_runs, cache.kept_bytes), (2, 0));
    }
}
