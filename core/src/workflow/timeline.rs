//! The history that a run has received and not yet worked through, cut where workflow tasks end.
//!
//! The cuts decide what one activation brings, so they must be Temporal's: an activation brings everything up to the
//! start of a workflow task that was completed (or is the one to work on now). A task that failed or timed out left
//! nothing behind, so its events merge into the next one's. In the dialect of most SDKs so do those of a task that was
//! completed without commands and immediately followed by another one, which is how a worker buys time for a local
//! activity; but for the last one before an update, which is what the other task was for.

use std::collections::VecDeque;

use durably_proto::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;

use super::history::{Event, Kind, Malformed};
use super::machines::MachineEvent;

/// Events in order, without gaps.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    events: VecDeque<Event>,
    /// The id that the next event to be added must have.
    next_id: i64,
    /// No page follows.
    is_complete: bool,
}

/// What is to be known for cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutting {
    /// Tasks that only bought time merge.
    pub(crate) merges: bool,
    /// Updates came with the open task.
    pub(crate) has_updates: bool,
}

/// The next thing to work through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// `length` events that end with a workflow task's start. `completed` is the place of its completion behind them;
    /// `None` if it is open.
    Task { length: usize, completed: Option<usize> },
    /// All that is left, and no task start at its end.
    Tail { length: usize },
    /// Can't be told without the next page.
    NeedsPage,
    /// Nothing is left.
    End,
}

impl Timeline {
    pub(crate) fn new() -> Timeline {
        Timeline { events: VecDeque::new(), next_id: 1, is_complete: false }
    }

    /// Adds events; those already known are skipped.
    pub(crate) fn push(&mut self, event: Event) -> Result<(), Malformed> {
        if event.id < self.next_id {
            return Ok(());
        }
        if event.id > self.next_id {
            return Err(Malformed {
                event_id: event.id,
                event_type: "of any type".to_owned(),
                message: format!("the event before it is missing; expected event {}", self.next_id),
            });
        }
        self.next_id += 1;
        self.events.push_back(event);
        Ok(())
    }

    pub(crate) fn set_complete(&mut self, is_complete: bool) {
        self.is_complete = is_complete;
    }

    /// The id of the last event received; 0 before the first.
    pub(crate) fn last_id(&self) -> i64 {
        self.next_id - 1
    }

    /// The last events, all of which were worked through, are none any more.
    pub(crate) fn unsee(&mut self, count: i64) {
        self.next_id -= count;
    }

    /// What the next task that was completed has recorded of its worker.
    pub(crate) fn next_metadata(&self) -> Option<&WorkflowTaskCompletedMetadata> {
        self.events.iter().find_map(|event| match &event.kind {
            Kind::TaskCompleted(metadata) => metadata.as_deref(),
            _ => None,
        })
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Event> {
        self.events.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Where the next activation ends.
    pub(crate) fn next_cut(&self, cutting: Cutting) -> Cut {
        // Tasks that only bought time: their starts and completions.
        let mut idle: Vec<(usize, usize)> = Vec::new();
        let cut = |(started, completed): (usize, usize)| Cut::Task {
            length: started + 1,
            completed: Some(completed),
        };
        let mut index = 0;
        while let Some(event) = self.events.get(index) {
            if matches!(event.kind, Kind::TaskStarted(_)) {
                match self.outcome(index) {
                    Outcome::Open => {
                        let last = idle.pop().filter(|_| cutting.has_updates);
                        return last.map_or(Cut::Task { length: index + 1, completed: None }, cut);
                    }
                    Outcome::Idle(completed) if cutting.merges => idle.push((index, completed)),
                    Outcome::Completed(completed) | Outcome::Idle(completed) => {
                        let last = self.update_behind(completed).and_then(|asked_at| {
                            idle.iter().rev().find(|(started, _)| self.id_at(*started) < asked_at).copied()
                        });
                        return cut(last.unwrap_or((index, completed)));
                    }
                    Outcome::Void => {}
                    Outcome::NeedsPage => return Cut::NeedsPage,
                }
            }
            index += 1;
        }
        match (self.is_complete, self.events.len()) {
            (false, _) => Cut::NeedsPage,
            (true, 0) => Cut::End,
            (true, length) => Cut::Tail { length },
        }
    }

    /// The events of the commands that the task completed at `completed` came to, with their ids.
    pub(crate) fn recorded_behind(&self, completed: usize) -> impl Iterator<Item = (i64, &MachineEvent)> {
        self.events.range(completed + 1..).map_while(|event| match &event.kind {
            Kind::Command(command) => Some((event.id, command)),
            _ => None,
        })
    }

    /// If the task completed at `completed` came first of all to an update: after which event that was asked for.
    fn update_behind(&self, completed: usize) -> Option<i64> {
        let (_, first) = self.recorded_behind(completed).next()?;
        Some(first.accepted_update()?.asked_at())
    }

    fn id_at(&self, index: usize) -> i64 {
        self.events.get(index).map_or(0, |event| event.id)
    }

    /// Whether what a page brings could still be of that task's commands.
    fn may_record_more(&self, completed: usize) -> bool {
        !self.is_complete && completed + 1 + self.recorded_behind(completed).count() == self.events.len()
    }

    /// What became of the task that started at `index`.
    fn outcome(&self, index: usize) -> Outcome {
        for (offset, event) in self.events.range(index + 1..).enumerate() {
            match event.kind {
                Kind::TaskFailed { .. } | Kind::TaskTimedOut | Kind::Closed => return Outcome::Void,
                Kind::TaskCompleted(_) => {
                    let completed = index + 1 + offset;
                    return match self.events.get(completed + 1).map(|next| &next.kind) {
                        Some(Kind::TaskScheduled) => Outcome::Idle(completed),
                        // Markers tell the code what it will find: they must be there before it runs.
                        Some(_) if self.may_record_more(completed) => Outcome::NeedsPage,
                        Some(_) => Outcome::Completed(completed),
                        None if self.is_complete => Outcome::Completed(completed),
                        None => Outcome::NeedsPage,
                    };
                }
                _ => {}
            }
        }
        if self.is_complete { Outcome::Open } else { Outcome::NeedsPage }
    }
}

enum Outcome {
    Open,
    Completed(usize),
    /// It was completed without commands, and the next one followed at once.
    Idle(usize),
    /// It left nothing behind.
    Void,
    NeedsPage,
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::super::history::TaskStarted;
    use super::super::machines::{timer, update};
    use super::*;

    /// One letter per event: S scheduled, T started, C completed, F failed, O timed out, c command, u an update that was asked for
    /// when the task was scheduled, x anything else, # closed.
    fn timeline(script: &str, is_complete: bool) -> Timeline {
        let mut timeline = Timeline::new();
        for (index, letter) in script.char_indices() {
            let kind = match letter {
                'S' => Kind::TaskScheduled,
                'T' => Kind::TaskStarted(TaskStarted {
                    time: Timestamp::default(),
                    history_size_bytes: 0,
                    continue_as_new_suggested: false,
                }),
                'C' => Kind::TaskCompleted(None),
                'F' => Kind::TaskFailed { reset_run_id: None },
                'O' => Kind::TaskTimedOut,
                '#' => Kind::Closed,
                'c' => {
                    Kind::Command(MachineEvent::Timer(timer::Event::Started { timer_id: index.to_string() }))
                }
                'u' => {
                    let asked_at = script[..index].rfind('S').unwrap() as i64 + 1;
                    Kind::Command(MachineEvent::Update(update::Event::accepted_at(asked_at)))
                }
                _ => Kind::Ignored,
            };
            timeline.push(Event { id: index as i64 + 1, kind }).unwrap();
        }
        timeline.set_complete(is_complete);
        timeline
    }

    /// The lengths of the pieces, and how the cutting ends.
    fn cuts(script: &str, is_complete: bool) -> String {
        cuts_by(script, is_complete, Cutting { merges: true, has_updates: false })
    }

    fn cuts_by(script: &str, is_complete: bool, cutting: Cutting) -> String {
        let mut timeline = timeline(script, is_complete);
        let mut out = Vec::new();
        loop {
            let cut = timeline.next_cut(cutting);
            let (length, text) = match cut {
                Cut::Task { length, completed } => {
                    (length, format!("{length}{}", if completed.is_some() { "" } else { "?" }))
                }
                Cut::Tail { length } => (length, format!("tail {length}")),
                Cut::NeedsPage => return format!("{} more", out.join(" ")).trim().to_owned(),
                Cut::End => return out.join(" "),
            };
            out.push(text);
            for _ in 0..length {
                timeline.pop();
            }
        }
    }

    #[test]
    fn pieces_end_where_a_task_that_counts_started() {
        assert_eq!(cuts("xST", true), "3?", "the task at hand");
        assert_eq!(cuts("xSTCxxSTC#", true), "3 5 tail 2");
        assert_eq!(cuts("xSTFSTCx", true), "6 tail 2", "a failed task merges");
        assert_eq!(cuts("xSTOxST", true), "7?", "a timed-out task merges");
        assert_eq!(cuts("xSTCSTCx", true), "6 tail 2", "so does one that only bought time");
        assert_eq!(cuts("xSTCST", true), "6?");
        assert_eq!(cuts("xSTC", true), "3 tail 1");
        assert_eq!(cuts("xSTCxxST#", true), "3 tail 6", "a task that the end cut short is none");
        assert_eq!(cuts("", true), "");
    }

    #[test]
    fn a_task_that_only_bought_time_does_not_merge_into_that_of_an_update() {
        assert_eq!(cuts("xSTCSTCux", true), "3 3 tail 3");
        assert_eq!(cuts("xSTCSTCSTCux", true), "6 3 tail 3", "but with those before it");
        assert_eq!(cuts("xSTFSTCux", true), "6 tail 3", "a failed one does: the update was for the next");
        assert_eq!(cuts("xSTCSTCcux", true), "6 tail 4", "what came before the update was there before it");
        assert_eq!(cuts("xSTCSTC", false), "more", "whether one follows can't be told");
        assert_eq!(cuts("xSTCST", true), "6?");
        let with_updates = Cutting { merges: true, has_updates: true };
        assert_eq!(
            cuts_by("xSTCST", true, with_updates),
            "3 3?",
            "those of the open task have left no event yet"
        );
        assert_eq!(cuts_by("xST", true, with_updates), "3?");
    }

    #[test]
    fn no_completed_task_merges_in_the_dialect_of_go() {
        let by_event_id = Cutting { merges: false, has_updates: false };
        assert_eq!(cuts_by("xSTCSTCSTFSTCux", true, by_event_id), "3 3 6 tail 3");
        assert_eq!(cuts_by("xSTCST", true, by_event_id), "3 3?");
    }

    #[test]
    fn a_piece_is_not_cut_before_it_can_be_told() {
        assert_eq!(cuts("xST", false), "more");
        assert_eq!(cuts("xSTC", false), "more", "a task that only bought time would merge");
        assert_eq!(cuts("xSTCx", false), "3 more");
        assert_eq!(cuts("xSTCxxSTCxSTFx", false), "3 5 more");
        assert_eq!(cuts("xSTCcc", false), "more", "another command may follow");
        assert_eq!(cuts("xSTCccx", false), "3 more");
    }

    #[test]
    fn gaps_are_errors_and_repetitions_are_skipped() {
        let mut timeline = timeline("xST", true);
        timeline.push(Event { id: 2, kind: Kind::Ignored }).unwrap();
        assert_eq!(timeline.len(), 3);
        let error = timeline.push(Event { id: 5, kind: Kind::Ignored }).unwrap_err();
        assert!(error.message.contains("expected event 4"));
    }
}
