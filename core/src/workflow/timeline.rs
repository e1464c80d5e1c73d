//! The history that a run has received and not yet worked through, cut where workflow tasks end.
//!
//! The cuts decide what one activation brings, so they must be Temporal's: an activation brings everything up to the
//! start of a workflow task that was completed (or is the one to work on now). A task that failed or timed out left
//! nothing behind, so its events merge into the next one's; so do those of a task that was completed without commands
//! and immediately followed by another one, which is how a worker buys time for a local activity.

use std::collections::VecDeque;

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
    pub(crate) fn next_cut(&self) -> Cut {
        let mut index = 0;
        while let Some(event) = self.events.get(index) {
            if matches!(event.kind, Kind::TaskStarted(_)) {
                match self.outcome(index) {
                    Outcome::Open => return Cut::Task { length: index + 1, completed: None },
                    Outcome::Completed(completed) => {
                        return Cut::Task { length: index + 1, completed: Some(completed) };
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

    /// The events of the commands that the task completed at `completed` came to.
    pub(crate) fn recorded_behind(&self, completed: usize) -> impl Iterator<Item = &MachineEvent> {
        self.events.range(completed + 1..).map_while(|event| match &event.kind {
            Kind::Command(event) => Some(event),
            _ => None,
        })
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
                        Some(Kind::TaskScheduled) => Outcome::Void,
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
    /// It left nothing behind.
    Void,
    NeedsPage,
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::super::history::TaskStarted;
    use super::super::machines::timer;
    use super::*;

    /// One letter per event: S scheduled, T started, C completed, F failed, O timed out, c command, x anything else, # closed.
    fn timeline(script: &str, is_complete: bool) -> Timeline {
        let mut timeline = Timeline::new();
        for (index, letter) in script.chars().enumerate() {
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
                _ => Kind::Ignored,
            };
            timeline.push(Event { id: index as i64 + 1, kind }).unwrap();
        }
        timeline.set_complete(is_complete);
        timeline
    }

    /// The lengths of the pieces, and how the cutting ends.
    fn cuts(script: &str, is_complete: bool) -> String {
        let mut timeline = timeline(script, is_complete);
        let mut out = Vec::new();
        loop {
            let cut = timeline.next_cut();
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
