//! What else can go wrong in the simulation: another process takes the lease, and stored runs are damaged.

use super::{super::pending_rows, *};
use crate::store::{Commit, Holder, RowKind, RunCommit, RunWrite, StateRow, Terms};

impl World {
    /// Another process takes the shard over while this one still works on it. Its next change is refused.
    pub(super) fn lose_lease(&mut self) {
        self.log.push_str("lease lost\n");
        self.parked.clear();
        let (shard, matching, inbox) = open(&self.store, &self.clock);
        let mut late = std::mem::replace(&mut self.shard, shard);
        (self.matching, self.inbox) = (matching, inbox);
        self.settle();

        let id = self.workflow();
        self.signals += 1;
        let name = format!("s{}", self.signals);
        let signal = Signal { name: name.clone(), request_id: name.clone(), ..Default::default() };
        let (reply, mut answer) = Reply::new();
        let target = Target::named("ns", &id, "");
        let result = late.find(&target).and_then(|seq| late.apply(seq, Input::Signal(signal)).map(|_| ()));
        late.batch.reply(reply, result);
        late.finish_batch();
        let answer = answer.try_recv().expect("every call is answered with its batch");
        assert!(answer.is_err(), "{name} was acknowledged under a lost lease");
        self.note(&format!("late signal {name} to {id}"), Some(&answer));
        self.refused_signals.push(name);
    }

    /// The stored state of an open run is damaged while nobody has it: its header, or one of its rows.
    pub(super) fn poison(&mut self) {
        let mut open = Vec::new();
        let pushed = self.store.open_runs(0, &mut |run| {
            open.push(run.seq);
            ControlFlow::Continue(())
        });
        pushed.unwrap();
        // Buffered events would be lost with the state: they are in no history yet.
        open.retain(|seq| {
            let stored = self.store.run(*seq).unwrap().unwrap();
            !self.shard.set_aside.contains_key(seq)
                && pending_rows(&stored).iter().all(|row| row.kind != RowKind::Buffered)
        });
        if open.is_empty() {
            return;
        }
        let seq = open[self.random.random_range(0..open.len())];
        let stored = self.store.run(seq).unwrap().unwrap();
        let garbage = vec![0xff; 9];
        let in_header: bool = self.random.random();
        let row = StateRow { kind: RowKind::Activity, id: 1_000_000, data: Some(garbage.clone().into()) };
        let change = RunCommit {
            state: if in_header { garbage } else { stored.state },
            rows: if in_header { Vec::new() } else { vec![row] },
            status: stored.row.status,
            history_length: stored.row.history_length,
            history_bytes: stored.row.history_bytes,
            transitions: stored.row.transitions,
            runnable: true,
            ..RunCommit::default()
        };
        let lease = self.store.take_lease(0, &Holder::default(), Terms::Sole).unwrap().token;
        let runs = vec![RunWrite { seq, new: None, change }];
        self.store.store.commit(&Commit { lease, runs, ..Commit::default() }).unwrap();
        let _ = writeln!(self.log, "poisoned {seq}, header: {in_header}");
        self.crash();
        assert!(self.shard.set_aside.contains_key(&seq), "run {seq} is damaged, and in use");
    }

    /// Somebody gives up, and memory has room for nothing that can be done without.
    pub(super) fn run_short_of_memory(&mut self) {
        self.lose_asker();
        let unsent =
            |world: &Self| world.shard.runs.iter().filter(|(_, slot)| slot.run.has_unsent_updates()).count();
        let before = unsent(self);
        self.shard.runs.set_cache_bytes(0);
        self.shard.evict();
        self.shard.runs.set_cache_bytes(usize::MAX);
        self.log.push_str(if unsent(self) < before { "update forgotten\n" } else { "short of memory\n" });
        self.settle();
    }

    /// Somebody looks after the runs that are set aside.
    pub(super) fn terminate_poisoned(&mut self) {
        let waiting = self.shard.set_aside.values().filter(|run| !run.closed).map(|run| run.seq);
        for seq in waiting.collect::<Vec<_>>() {
            // A crash in between may have made it new.
            let answer = self.call(|shard| shard.terminate_set_aside(seq));
            self.note("terminated by hand", answer.as_ref());
        }
    }
}
