//! SDK flags and dialects: which behaviour a history was made with.
//!
//! A change in how the core acts on the same input would break histories that exist. It goes behind a flag: a task that
//! is new relies on it and records it with its completion; a replay relies on it only where the history says so.
//! Numbers are Temporal's where Temporal has the flag, and never reused.

use std::collections::BTreeSet;

use durably_proto::durably::core::v1::HistoryDialect;
use durably_proto::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;

/// Flags of the core (`core_used_flags`). 2 (search attributes upserted with a patch) and 4 (determinism checks of Nexus
/// operations) belong to command kinds that are not here yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CoreFlag {
    /// The ids and types of commands are compared with the history, not their kinds alone.
    IdAndTypeDeterminismChecks = 1,
    /// A command that ends the run is moved behind the activation's other commands. Without it, what the code issued
    /// behind it is dropped.
    MoveTerminalCommands = 3,
}

impl CoreFlag {
    const ALL: [CoreFlag; 2] = [CoreFlag::IdAndTypeDeterminismChecks, CoreFlag::MoveTerminalCommands];
}

/// Go's official SDK uses this flag of its own (`lang_used_flags`) where answers to updates have their places among the
/// commands. Here they always have; it is recorded so that our histories replay there.
pub(crate) const GO_ORDERS_UPDATES: u32 = 3;

/// Who has made histories in which dialect: official SDKs and ours, by the names that they record in the first task.
const DIALECTS: [(&str, HistoryDialect); 7] = [
    ("temporal-go", HistoryDialect::ByEventId),
    ("durably-go", HistoryDialect::ByEventId),
    ("temporal-python", HistoryDialect::BySequence),
    ("durably-python", HistoryDialect::BySequence),
    ("temporal-typescript", HistoryDialect::BySequence),
    ("durably-typescript", HistoryDialect::BySequence),
    ("durably-sidecar", HistoryDialect::BySequence),
];

/// The dialect of a run whose task was completed so, if that says it.
pub(crate) fn recorded_dialect(metadata: &WorkflowTaskCompletedMetadata) -> Option<HistoryDialect> {
    DIALECTS.iter().find(|(name, _)| *name == metadata.sdk_name).map(|(_, dialect)| *dialect)
}

/// The flags of one run, as far as its history has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    core: BTreeSet<u32>,
    lang: BTreeSet<u32>,
    lang_unrecorded: BTreeSet<u32>,
}

impl Flags {
    /// Takes in what a completed task recorded.
    pub(crate) fn observe(&mut self, metadata: &WorkflowTaskCompletedMetadata) {
        self.core.extend(&metadata.core_used_flags);
        self.lang.extend(&metadata.lang_used_flags);
        if !self.lang_unrecorded.is_empty() {
            self.lang_unrecorded.retain(|flag| !metadata.lang_used_flags.contains(flag));
        }
    }

    /// Whether the behaviour applies to the task at hand.
    pub(crate) fn applies(&self, flag: CoreFlag, is_replaying: bool) -> bool {
        !is_replaying || self.core.contains(&(flag as u32))
    }

    /// The SDK relied on these in a new task.
    pub(crate) fn use_lang(&mut self, flags: &[u32]) {
        for flag in flags {
            if self.lang.insert(*flag) {
                self.lang_unrecorded.insert(*flag);
            }
        }
    }

    /// The SDK's flags so far.
    pub(crate) fn lang(&self) -> Vec<u32> {
        self.lang.iter().copied().collect()
    }

    /// What the completion of a new task has to record: every flag that the history lacks. The flags count as recorded
    /// from here on: a completion that the server refuses evicts the run.
    pub(crate) fn record(&mut self) -> Option<WorkflowTaskCompletedMetadata> {
        let core: Vec<u32> = CoreFlag::ALL
            .into_iter()
            .map(|flag| flag as u32)
            .filter(|flag| self.core.insert(*flag))
            .collect();
        let lang: Vec<u32> = std::mem::take(&mut self.lang_unrecorded).into_iter().collect();
        if core.is_empty() && lang.is_empty() {
            return None;
        }
        Some(WorkflowTaskCompletedMetadata {
            core_used_flags: core,
            lang_used_flags: lang,
            ..Default::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_apply_to_new_tasks_and_where_the_history_has_them() {
        let mut flags = Flags::default();
        assert!(flags.applies(CoreFlag::IdAndTypeDeterminismChecks, false));
        assert!(!flags.applies(CoreFlag::IdAndTypeDeterminismChecks, true));
        flags.observe(&WorkflowTaskCompletedMetadata {
            core_used_flags: vec![1],
            lang_used_flags: vec![2],
            ..Default::default()
        });
        assert!(flags.applies(CoreFlag::IdAndTypeDeterminismChecks, true));
        assert!(!flags.applies(CoreFlag::MoveTerminalCommands, true));
        flags.use_lang(&[2, 5]);
        let recorded = flags.record().unwrap();
        assert_eq!((recorded.core_used_flags, recorded.lang_used_flags), (vec![3], vec![5]));
        assert_eq!(flags.record(), None);
        assert_eq!(flags.lang(), vec![2, 5]);
    }
}
