//! Runs in memory: found by their number or their names, counted by what they weigh, and dropped when memory is short.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use durably_proto::temporal::api::common::v1::WorkflowExecution;

use crate::{
    engine::{Execution, RunKey, Time},
    store::{NewRow, RunWrite},
};

/// How much memory runs may take before those unused for longest are dropped from it.
const CACHE_BYTES: usize = 256 * 1024 * 1024;
/// How many closed runs stay in memory. Who awaits their results asks soon after; later the store answers.
const CLOSED_RUNS: usize = 1_000;

/// Which run a call means: with an empty run id the newest of the workflow id.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "these are the API's names")]
pub(super) struct Target {
    pub namespace_id: Arc<str>,
    pub workflow_id: Arc<str>,
    pub run_id: Option<Arc<str>>,
}

impl Target {
    pub(super) fn new(namespace_id: &str, execution: Option<&WorkflowExecution>) -> Self {
        let (workflow_id, run_id) = execution.map_or(("", ""), |e| (&e.workflow_id, &e.run_id));
        Self::named(namespace_id, workflow_id, run_id)
    }

    pub(super) fn named(namespace_id: &str, workflow_id: &str, run_id: &str) -> Self {
        Self {
            namespace_id: namespace_id.into(),
            workflow_id: workflow_id.into(),
            run_id: (!run_id.is_empty()).then(|| as_given_out(run_id).into()),
        }
    }
}

/// A run id as the server writes it, from any way to write a UUID.
fn as_given_out(run_id: &str) -> String {
    uuid::Uuid::try_parse(run_id).map_or_else(|_| run_id.to_owned(), |id| id.to_string())
}

/// A run in memory.
pub(super) struct CachedRun {
    pub run: Execution,
    /// Tasks with workers, as of the last [`Runs::refresh`].
    pub outstanding: usize,
    /// Until the run's first commit.
    new_row: Option<NewRow>,
    /// In the list of what this batch stores.
    touched: bool,
    due: Option<Time>,
    /// When it says again what it has no answer to.
    says_again: Option<Time>,
    /// In the queue of closed runs.
    is_closed: bool,
    weight: usize,
    last_use: u64,
}

impl CachedRun {
    fn is_idle(&self) -> bool {
        self.run.can_unload() && !self.run.is_runnable()
    }
}

/// When a run's timers are due: before and after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueChange {
    pub old: Option<Time>,
    pub new: Option<Time>,
}

pub(super) struct Runs {
    /// Boxed: a run is large, and the table moves when it grows.
    cached: HashMap<i64, Box<CachedRun>>,
    by_key: HashMap<RunKey, i64>,
    /// The newest run of a workflow id.
    newest: HashMap<(Arc<str>, Arc<str>), i64>,
    /// Closed runs in the order in which they closed or were read.
    closed: VecDeque<i64>,
    bytes: usize,
    /// How many of them runs may take before those unused for longest leave memory.
    cache_bytes: usize,
    uses: u64,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            cached: HashMap::new(),
            by_key: HashMap::new(),
            newest: HashMap::new(),
            closed: VecDeque::new(),
            bytes: 0,
            cache_bytes: CACHE_BYTES,
            uses: 0,
        }
    }
}

impl Runs {
    /// Bounds the memory that runs may take.
    #[cfg(test)]
    pub(super) fn set_cache_bytes(&mut self, bytes: usize) {
        self.cache_bytes = bytes;
    }

    #[cfg(test)]
    pub(super) fn closed_len(&self) -> usize {
        self.closed.len()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.cached.len()
    }

    pub(super) fn get(&self, seq: i64) -> Option<&CachedRun> {
        self.cached.get(&seq).map(Box::as_ref)
    }

    /// The run, which is used now.
    pub(super) fn in_use(&mut self, seq: i64) -> Option<&mut CachedRun> {
        self.uses += 1;
        let slot = self.cached.get_mut(&seq)?;
        slot.last_use = self.uses;
        Some(slot)
    }

    /// When the run was used last, beside others.
    pub(super) fn last_use(&self, seq: i64) -> Option<u64> {
        Some(self.cached.get(&seq)?.last_use)
    }

    /// What has used the run since then was for no caller.
    pub(super) fn set_last_use(&mut self, seq: i64, last_use: u64) {
        if let Some(slot) = self.cached.get_mut(&seq) {
            slot.last_use = last_use;
        }
    }

    pub(super) fn contains(&self, seq: i64) -> bool {
        self.cached.contains_key(&seq)
    }

    pub(super) fn has(&self, key: &RunKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &CachedRun)> {
        self.cached.iter().map(|(seq, slot)| (*seq, &**slot))
    }

    /// The number of the run that a call means. `None` says only that it is not in memory.
    pub(super) fn find(&self, target: &Target) -> Option<i64> {
        let Target { namespace_id, workflow_id, run_id } = target;
        match run_id {
            Some(run_id) => {
                let key = RunKey {
                    namespace_id: namespace_id.clone(),
                    workflow_id: workflow_id.clone(),
                    run_id: run_id.clone(),
                };
                self.by_key.get(&key).copied()
            }
            None => self.newest.get(&(namespace_id.clone(), workflow_id.clone())).copied(),
        }
    }

    /// The run is the newest of its workflow id.
    pub(super) fn set_newest(&mut self, target: &Target, seq: i64) {
        self.newest.insert((target.namespace_id.clone(), target.workflow_id.clone()), seq);
    }

    /// Takes in a run that was read, or with `new_row` one that begins; [`Runs::refresh`] it next.
    pub(super) fn insert(&mut self, seq: i64, run: Execution, new_row: Option<NewRow>) {
        let key = run.key().clone();
        self.uses += 1;
        if new_row.is_some() {
            self.newest.insert((key.namespace_id.clone(), key.workflow_id.clone()), seq);
        }
        self.by_key.insert(key, seq);
        let slot = CachedRun {
            run,
            outstanding: 0,
            new_row,
            touched: false,
            due: None,
            says_again: None,
            is_closed: false,
            weight: 0,
            last_use: self.uses,
        };
        self.cached.insert(seq, Box::new(slot));
    }

    /// Brings what is kept about a run up to date after it changed. Answers when its timers are due if that is another
    /// time than before.
    pub(super) fn refresh(&mut self, seq: i64) -> Option<DueChange> {
        let slot = self.cached.get_mut(&seq)?;
        let weight = slot.run.weight();
        self.bytes = self.bytes + weight - slot.weight;
        slot.weight = weight;
        slot.outstanding = slot.run.outstanding();
        if !slot.is_closed && !slot.run.is_open() {
            slot.is_closed = true;
            self.closed.push_back(seq);
        }
        let new = slot.run.next_due();
        let old = std::mem::replace(&mut slot.due, new);
        (old != new).then_some(DueChange { old, new })
    }

    /// The run's timers are no longer among those to come: the next [`Runs::refresh`] says when they are due.
    pub(super) fn take_due(&mut self, seq: i64) {
        if let Some(slot) = self.cached.get_mut(&seq) {
            slot.due = None;
        }
    }

    /// The run says again then what it has no answer to by that time. False if a time is set already: however many messages
    /// come back, all of them are said again at one time.
    pub(super) fn say_again(&mut self, seq: i64, at: Time) -> bool {
        let waits = |slot: &&mut Box<CachedRun>| slot.run.has_messages() && slot.says_again.is_none();
        self.cached.get_mut(&seq).filter(waits).map(|slot| slot.says_again = Some(at)).is_some()
    }

    /// The time that [`Runs::say_again`] has set, which is none afterwards.
    pub(super) fn take_saying_again(&mut self, seq: i64) -> Option<Time> {
        self.cached.get_mut(&seq)?.says_again.take()
    }

    /// The run must be stored. True if that was not known.
    pub(super) fn touch(&mut self, seq: i64) -> bool {
        self.cached.get_mut(&seq).is_some_and(|slot| !std::mem::replace(&mut slot.touched, true))
    }

    /// The run changes with this batch.
    pub(super) fn is_touched(&self, seq: i64) -> bool {
        self.cached.get(&seq).is_some_and(|slot| slot.touched)
    }

    /// What to store of a run; afterwards it is as the store has it.
    pub(super) fn take_write(&mut self, seq: i64) -> Option<RunWrite> {
        let slot = self.cached.get_mut(&seq)?;
        slot.touched = false;
        Some(RunWrite { seq, new: slot.new_row.take(), change: slot.run.take_commit() })
    }

    /// Drops a run from memory, changes and all. Answers when its timers were due.
    pub(super) fn remove(&mut self, seq: i64) -> Option<Time> {
        let slot = self.cached.remove(&seq)?;
        self.bytes -= slot.weight;
        let key = slot.run.key();
        self.by_key.remove(key);
        let name = (key.namespace_id.clone(), key.workflow_id.clone());
        if self.newest.get(&name) == Some(&seq) {
            self.newest.remove(&name);
        }
        slot.due
    }

    /// Runs take more memory than they may.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > self.cache_bytes
    }

    /// Drops closed runs, but for those that closed last, and then those that have not been used for longest until
    /// memory is within its bound. Runs with tasks stay. Answers which left, and when their timers are due.
    pub(super) fn evict(&mut self) -> Vec<(i64, Option<Time>)> {
        let mut left = Vec::new();
        for _ in CLOSED_RUNS..self.closed.len() {
            let Some(seq) = self.closed.pop_front() else { break };
            match self.cached.get(&seq) {
                Some(slot) if slot.is_idle() => left.push((seq, self.remove(seq))),
                // A query waits for it.
                Some(_) => self.closed.push_back(seq),
                None => {}
            }
        }
        if !self.is_full() {
            return left;
        }
        let idle = self.cached.iter().filter(|(_, slot)| slot.is_idle());
        let mut candidates: Vec<(u64, i64)> = idle.map(|(seq, slot)| (slot.last_use, *seq)).collect();
        candidates.sort_unstable();
        for (_, seq) in candidates {
            // A margin, so that this does not run for every batch.
            if self.bytes <= self.cache_bytes / 10 * 9 {
                break;
            }
            left.push((seq, self.remove(seq)));
        }
        left
    }
}

/// A random UUID, from this thread's generator: the operating system's costs a call for each.
pub(super) fn fresh_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

    use super::*;
    use crate::engine::{Context, Effects, Input, new_run};

    /// A run as it is after its first commit, closed or with a workflow task.
    fn run(workflow_id: &str, run_id: &str, closed: bool) -> Execution {
        let (mut task_id, mut effects) = (0, Effects::default());
        let mut cx = Context {
            now: Time(1),
            epoch: 1,
            task_id: &mut task_id,
            new_run_id: &mut fresh_id,
            effects: &mut effects,
        };
        let request = StartWorkflowExecutionRequest { workflow_id: workflow_id.into(), ..Default::default() };
        let (mut run, _) = Execution::start(new_run("ns", run_id.into(), request, None, false), &mut cx);
        if closed {
            let end = Input::Terminate {
                reason: String::new(),
                details: None,
                identity: String::new(),
                links: Vec::new(),
            };
            run.handle(end, &mut cx).unwrap();
        }
        run.take_commit();
        run
    }

    fn insert(runs: &mut Runs, seq: i64, run: Execution) {
        runs.insert(seq, run, None);
        runs.refresh(seq);
    }

    #[test]
    fn runs_are_found_by_their_names_until_they_leave() {
        let mut runs = Runs::default();
        insert(&mut runs, 1, run("w", "old", true));
        insert(&mut runs, 2, run("w", "new", false));
        let newest = Target::named("ns", "w", "");
        assert_eq!(runs.find(&newest), None, "nobody has said which is the newest");
        runs.set_newest(&newest, 2);
        assert_eq!(runs.find(&newest), Some(2));
        assert_eq!(runs.find(&Target::named("ns", "w", "old")), Some(1));
        assert_eq!(runs.find(&Target::named("other", "w", "old")), None);
        runs.remove(1);
        assert_eq!(runs.find(&Target::named("ns", "w", "old")), None);
        assert_eq!(runs.find(&newest), Some(2));
        runs.remove(2);
        assert_eq!(runs.find(&newest), None);
        assert_eq!(runs.bytes, 0);
    }

    #[test]
    fn what_was_used_longest_ago_leaves_first_and_never_what_has_a_task() {
        let mut runs = Runs::default();
        insert(&mut runs, 1, run("with a task", "r", false));
        for seq in 2..5 {
            insert(&mut runs, seq, run(&format!("w{seq}"), "r", true));
        }
        assert!(runs.evict().is_empty(), "there is room");
        runs.in_use(2);
        runs.set_cache_bytes(runs.bytes - 1);
        assert_eq!(runs.evict(), [(3, None)]);
        runs.set_cache_bytes(0);
        assert_eq!(runs.evict(), [(4, None), (2, None)]);
        assert_eq!(runs.iter().map(|(seq, _)| seq).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_change_is_stored_once_in_a_batch() {
        let mut runs = Runs::default();
        insert(&mut runs, 1, run("w", "r", true));
        assert_eq!((runs.touch(1), runs.touch(1), runs.touch(2)), (true, false, false));
        assert!(runs.take_write(1).is_some() && runs.take_write(2).is_none());
        assert!(runs.touch(1));
    }
}
