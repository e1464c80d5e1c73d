//! For test environments: those who wait for a run's end, or for its answer to a query or an update, are told why
//! nothing will come of it unless somebody mends something (decision 090). The run itself is left alone.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use durably_proto::temporal::api::common::v1::WorkflowExecution;

use super::Shard;
use crate::{
    ServiceError,
    engine::{AwaitedTask, Execution, Hindrance, SECOND, Time},
    matching::QueueKind,
    shard::{
        clock::Clock,
        runs::Target,
        suspects::Suspicion,
        tasks::queue_key,
        waiters::{Ending, Waits},
    },
};

/// By a clock that follows the system's, what is due within this is worth waiting for.
const SOON: i64 = 10 * SECOND;

impl Shard {
    /// Ends the waits that are in vain.
    pub(super) fn tell_why_nothing_happens(&mut self) {
        if !self.shared.fail_fast {
            return;
        }
        let real = Clock::real();
        let is_virtual = self.shared.clock.is_virtual();
        if self.waiters.is_empty() && !is_virtual {
            self.suspects.rest();
            return;
        }
        if !self.suspects.is_time(real) {
            return;
        }
        let waiting = self.waiters.waiting();
        let mut concerned = waiting.clone();
        for seq in waiting.keys() {
            self.add_family(*seq, &mut concerned);
        }
        let lacking = concerned.iter().filter(|(seq, of)| self.lacks_worker(**seq, **of));
        let mut without_worker: BTreeSet<i64> = lacking.map(|(seq, _)| *seq).collect();
        if is_virtual {
            without_worker.extend(self.left_behind(&concerned));
        }
        let hindered = waiting.iter().filter(|(seq, of)| of.update && self.may_hinder_updates(**seq, real));
        let hindered = hindered.map(|(seq, _)| (*seq, Suspicion::Hindered));
        let without_worker = without_worker.into_iter().map(|seq| (seq, Suspicion::NoWorker));
        let suspected: Vec<_> = without_worker.chain(hindered).collect();
        self.suspects.keep(suspected, real);
        let told: Vec<_> = waiting
            .iter()
            .flat_map(|(seq, of)| self.why_not(*seq, *of, real).map(|why| (*seq, why)))
            .collect();
        for (seq, (of, message)) in told {
            let error = ServiceError::failed_precondition(message);
            self.waiters.end(seq, Ending::Hopeless(&error, of));
        }
    }

    /// Runs that hold a virtual clock by a workflow task of which nothing comes: their queue has no worker, or their code
    /// fails it and nobody waits for them, such as a child that an earlier test has left.
    fn left_behind(&self, concerned: &BTreeMap<i64, Waits>) -> Vec<i64> {
        let now = self.now();
        let is_left = |seq: i64, run: &Execution| {
            let fails = run.fails();
            (fails && !concerned.contains_key(&seq))
                || ((fails || run.awaits_workflow_worker(now))
                    && !self.is_served(run, run.task_queue(), QueueKind::Workflow))
        };
        self.runs.iter().filter(|(seq, slot)| is_left(*seq, &slot.run)).map(|(seq, _)| seq).collect()
    }

    /// How long until something is to be done by the system's clock.
    pub(super) fn real_patience(&self) -> Option<Duration> {
        let real = Clock::real();
        let skip = Some(self.skip_from.since(real)).filter(|left| *left > 0);
        let skip = skip.map(|left| Duration::from_nanos(left as u64));
        self.suspects.patience(real).into_iter().chain(skip).min()
    }

    /// A run whose workflow task no virtual clock need wait for.
    pub(super) fn leads_nowhere(&self, seq: i64) -> bool {
        self.shared.fail_fast && self.suspects.is_given_up(seq, Suspicion::NoWorker, Clock::real())
    }

    /// What those are told who wait for the run, and for what of it. Whoever is told two things hears the first.
    fn why_not(&self, seq: i64, of: Waits, real: Time) -> impl Iterator<Item = (Waits, String)> + use<> {
        let Some(slot) = self.runs.get(seq) else { return [None, None].into_iter().flatten() };
        let run = &slot.run;
        let no_worker = self.suspects.is_given_up(seq, Suspicion::NoWorker, real);
        let no_worker = no_worker.then(|| self.no_worker(run, of)).flatten();
        let no_worker = no_worker.map(|message| (Waits::EVERYTHING, message));
        // A worker answers queries all the same, and the code of an update may wait for something else.
        let update = run.awaits_only_hindered_activities()
            || self.suspects.is_given_up(seq, Suspicion::Hindered, real);
        let of = Waits { close: true, answer: false, update };
        let why = match run.hindrance() {
            Some(hindrance @ Hindrance::TaskFails { .. }) => {
                [Some((Waits::EVERYTHING, told(run, &hindrance))), None]
            }
            Some(hindrance) => [Some((of, told(run, &hindrance))), no_worker],
            None => [no_worker, self.hindered_child(run, real).map(|message| (of, message))],
        };
        why.into_iter().flatten()
    }

    /// Whether something has come to nothing that updates of the run may wait for: those that a worker has accepted.
    fn may_hinder_updates(&self, seq: i64, real: Time) -> bool {
        let Some(slot) = self.runs.get(seq) else { return false };
        let run = &slot.run;
        !run.has_requested_updates()
            && (run.hindrance().is_some() || self.hindered_child(run, real).is_some())
    }

    /// The runs that are in memory of the children of a run, and of theirs.
    fn add_family(&self, seq: i64, to: &mut BTreeMap<i64, Waits>) {
        let Some(slot) = self.runs.get(seq) else { return };
        for child in self.newest_runs(&slot.run, &slot.run.children()) {
            if let Entry::Vacant(entry) = to.entry(child) {
                entry.insert(Waits::default());
                self.add_family(child, to);
            }
        }
    }

    fn newest_runs(&self, parent: &Execution, children: &[WorkflowExecution]) -> Vec<i64> {
        let namespace_id = &parent.key().namespace_id;
        let named = children.iter().map(|child| Target::named(namespace_id, &child.workflow_id, ""));
        let found = named.filter_map(|target| self.runs.find(&target));
        // A child may be in another namespace, where there may be another workflow of the same id here.
        let is_child = |seq: &i64| self.runs.get(*seq).is_some_and(|slot| slot.run.is_child_of(parent.key()));
        found.filter(is_child).collect()
    }

    /// What is said of a run that waits for children of which one has a mistake, or none has a worker.
    fn hindered_child(&self, run: &Execution, real: Time) -> Option<String> {
        let why = |seq: &i64| {
            let child = &self.runs.get(*seq)?.run;
            let said = child.hindrance().map(|hindrance| told(child, &hindrance));
            said.or_else(|| self.hindered_child(child, real))
        };
        let children = self.newest_runs(run, &run.children());
        let why = children.iter().find_map(why).or_else(|| {
            let awaited = self.newest_runs(run, &run.awaits_children());
            let is_given_up = |seq: &i64| self.suspects.is_given_up(*seq, Suspicion::NoWorker, real);
            let all = awaited.iter().all(is_given_up);
            let first = awaited.first().filter(|_| all)?;
            self.no_worker(&self.runs.get(*first)?.run, Waits::default())
        })?;
        Some(format!("workflow {} waits for a child: {why}", name_of(run)))
    }

    fn lacks_worker(&self, seq: i64, of: Waits) -> bool {
        self.runs.get(seq).is_some_and(|slot| self.no_worker(&slot.run, of).is_some())
    }

    /// What is said of a run that needs a worker which isn't there.
    fn no_worker(&self, run: &Execution, of: Waits) -> Option<String> {
        let now = self.now();
        let mut awaited = run.awaits_workers(now);
        // A time-out is an end, too, and a test may be about it.
        if run.next_due().is_some_and(|due| self.comes(due, now)) {
            awaited.clear();
        }
        if awaited.is_empty() && of.answer {
            // Any worker of the run's queue can answer.
            awaited.push(AwaitedTask { queue: run.task_queue(), activity: None });
        }
        let first = awaited.first()?.clone();
        let is_served = |task: &AwaitedTask<'_>| self.is_served(run, task.queue, kind_of(task));
        (!awaited.iter().any(is_served)).then(|| self.sentence(run, &first))
    }

    /// Whether time will get there before anybody loses patience.
    fn comes(&self, due: Time, now: Time) -> bool {
        let clock = &self.shared.clock;
        due.since(now) <= SOON || (clock.is_virtual() && clock.may_skip(0))
    }

    fn is_served(&self, run: &Execution, queue: &str, kind: QueueKind) -> bool {
        let key = queue_key(&run.key().namespace_id, queue, kind);
        self.shared.matching.is_served(&key, Clock::real().0)
    }

    fn sentence(&self, run: &Execution, task: &AwaitedTask<'_>) -> String {
        let (kind, queue) = (kind_of(task), task.queue);
        let served = self.shared.matching.served(&run.key().namespace_id, kind, Clock::real().0);
        let others = if served.is_empty() {
            "no queue has one".to_owned()
        } else {
            format!("queues that have one: {}", served.join(", "))
        };
        let name = name_of(run);
        let kind_name = type_of(run);
        match task.activity {
            None if self.is_served(run, queue, QueueKind::Activity) => format!(
                "workflow {name} waits for a worker: the worker of the task queue `{queue}` has no workflows; give it {kind_name}"
            ),
            None => format!(
                "workflow {name} waits for a worker: task queue `{queue}` has none that takes workflows ({others})"
            ),
            Some(activity) if self.is_served(run, queue, QueueKind::Workflow) => format!(
                "workflow {name} waits for its activity {activity}: the worker of the task queue `{queue}` has no activities; \
                 give it {activity}"
            ),
            Some(activity) => format!(
                "workflow {name} waits for its activity {activity}: task queue `{queue}` has no worker that takes \
                 activities ({others})"
            ),
        }
    }
}

fn kind_of(task: &AwaitedTask<'_>) -> QueueKind {
    if task.activity.is_some() { QueueKind::Activity } else { QueueKind::Workflow }
}

fn type_of(run: &Execution) -> &str {
    run.start_attributes().workflow_type.as_ref().map_or("", |kind| kind.name.as_str())
}

fn name_of(run: &Execution) -> String {
    format!("{} (id {})", type_of(run), run.key().workflow_id)
}

fn told(run: &Execution, hindrance: &Hindrance) -> String {
    let name = name_of(run);
    match hindrance {
        Hindrance::TaskFails { said } => format!("workflow {name} can't go on: {said}"),
        Hindrance::ActivityUnknown { activity, said } => {
            format!(
                "workflow {name} waits for its activity {activity}, which its worker does not have: {said}"
            )
        }
        Hindrance::ActivityFails { activity, attempts, said } => format!(
            "workflow {name} waits for its activity {activity}, which has failed {attempts} times and may do so for ever: \
             its retry policy has no maximum of attempts, and it has no schedule-to-close time-out. {said}"
        ),
    }
}
