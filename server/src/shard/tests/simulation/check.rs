//! The histories, held against what callers were told.

use super::{super::pending_rows, families::Families, updates::Histories, *};
use crate::{
    engine::Receipt,
    store::{RowKind, RunKey, RunRow},
};

impl World {
    /// Checks every history against what was acknowledged.
    pub(super) fn check(&mut self) {
        let mut families = Families::default();
        let mut updates = Histories::default();
        let mut signals: BTreeMap<String, usize> = BTreeMap::new();
        let mut results: BTreeMap<(String, i64), usize> = BTreeMap::new();
        let mut delivered = Vec::new();
        let all = Listing { namespace_id: "ns", filter: &Filter::All, order: None, after: None };
        let until = std::time::Instant::now() + Duration::from_mins(1);
        let mut rows = self.store.visibility().list(&all, 100_000, until).unwrap().rows;
        rows.sort_by_key(|row| row.seq);
        self.check_receipts(&rows);
        for row in rows {
            let events = decode(self.store.events(row.seq, 1, i64::MAX).unwrap(), 1, i64::MAX).unwrap();
            let _ = writeln!(self.log, "run {} of {}", row.seq, row.key.workflow_id);
            families.add(row.key.run_id.to_string(), row.status, &events);
            let mut said = BTreeMap::new();
            for (index, event) in events.iter().enumerate() {
                let _ = writeln!(self.log, "  {} {:?}", event.event_id, event.event_type());
                assert_eq!(event.event_id, index as i64 + 1, "ids are consecutive");
                updates.add(&row.key.run_id, event);
                match event.attributes.as_ref().unwrap() {
                    A::WorkflowExecutionSignaledEventAttributes(a) => {
                        *signals.entry(a.signal_name.clone()).or_default() += 1;
                    }
                    A::SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => {
                        said.insert(event.event_id, a.signal_name.clone());
                    }
                    A::ExternalWorkflowExecutionSignaledEventAttributes(a) => {
                        delivered.extend(said.remove(&a.initiated_event_id));
                    }
                    A::ActivityTaskCompletedEventAttributes(a) => {
                        *results.entry((row.key.run_id.to_string(), a.scheduled_event_id)).or_default() += 1;
                    }
                    _ => {}
                }
            }
            assert!(events.windows(2).all(|pair| pair[0].task_id < pair[1].task_id), "task ids grow");
            assert_eq!(row.history_length, events.len() as i64);
        }
        families.check();
        updates.check(&self.updates);
        assert!(signals.values().all(|count| *count == 1), "no signal twice");
        assert!(results.values().all(|count| *count == 1), "no result twice");
        for name in &delivered {
            assert!(
                signals.contains_key(name),
                "signal {name} of another run is lost, but recorded as delivered"
            );
        }
        for name in &self.refused_signals {
            assert!(!signals.contains_key(name), "signal {name} was refused, and is in a history");
        }
        for name in &self.acknowledged_signals {
            assert!(signals.contains_key(name), "acknowledged signal {name} is lost");
        }
        for named in &self.acknowledged_results {
            assert!(results.contains_key(named), "acknowledged result {named:?} is lost");
        }
    }

    /// Once a run has been looked at, it keeps no receipt but for senders that are set aside.
    fn check_receipts(&mut self, rows: &[RunRow]) {
        for row in rows {
            let RunKey { workflow_id, run_id, .. } = &row.key;
            if self.receipts(row.seq).is_empty()
                || self.shard.find(&Target::named("ns", workflow_id, run_id)).is_err()
            {
                continue;
            }
            self.settle();
            for receipt in self.receipts(row.seq) {
                let mut senders = self.shard.set_aside.values();
                assert!(
                    senders.any(|run| receipt.sender.starts_with(&*run.key.run_id)),
                    "run {} of {workflow_id} keeps {receipt:?}",
                    row.seq
                );
            }
        }
    }

    fn receipts(&self, seq: i64) -> Vec<Receipt> {
        let rows = pending_rows(&self.store.run(seq).unwrap().unwrap()).into_iter();
        let receipts = rows.filter(|row| row.kind == RowKind::Receipt);
        receipts.map(|row| Receipt::decode(row.data.unwrap()).unwrap()).collect()
    }
}
