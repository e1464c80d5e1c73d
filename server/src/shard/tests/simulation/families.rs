//! What the histories of parents and children must say of each other.

use std::collections::BTreeMap;

use durably_proto::temporal::api::{
    enums::v1::{EventType, WorkflowExecutionStatus as Status},
    history::v1::{HistoryEvent, history_event::Attributes as A},
};

/// Names a child: the run of its parent, and the event that asked for it.
type Birth = (String, i64);

/// A run as its own history tells of it.
struct Told {
    status: i32,
    /// The run that follows it.
    successor: Option<String>,
}

#[derive(Default)]
pub(super) struct Families {
    runs: BTreeMap<String, Told>,
    /// First runs of children.
    born: BTreeMap<Birth, Vec<String>>,
    /// The child's first run, by what its parent says.
    started: BTreeMap<Birth, String>,
    /// Which run ended the child, and how, by what its parent says.
    ended: BTreeMap<Birth, (String, EventType)>,
}

impl Families {
    pub(super) fn add(&mut self, run_id: String, status: i32, events: &[HistoryEvent]) {
        let mut told = Told { status, successor: None };
        for event in events {
            let attributes = event.attributes.as_ref().expect("every event has some");
            let run = |of: &Option<durably_proto::temporal::api::common::v1::WorkflowExecution>| {
                of.clone().expect("a run").run_id
            };
            let ended = match attributes {
                A::WorkflowExecutionStartedEventAttributes(a) if a.continued_execution_run_id.is_empty() => {
                    if let Some(parent) = &a.parent_workflow_execution {
                        let birth = (parent.run_id.clone(), a.parent_initiated_event_id);
                        self.born.entry(birth).or_default().push(run_id.clone());
                    }
                    continue;
                }
                A::WorkflowExecutionContinuedAsNewEventAttributes(a) => {
                    told.successor = Some(a.new_execution_run_id.clone());
                    continue;
                }
                A::ChildWorkflowExecutionStartedEventAttributes(a) => {
                    let birth = (run_id.clone(), a.initiated_event_id);
                    let before = self.started.insert(birth, run(&a.workflow_execution));
                    assert_eq!(before, None, "a child starts once");
                    continue;
                }
                A::ChildWorkflowExecutionCompletedEventAttributes(a) => {
                    (a.initiated_event_id, run(&a.workflow_execution))
                }
                A::ChildWorkflowExecutionCanceledEventAttributes(a) => {
                    (a.initiated_event_id, run(&a.workflow_execution))
                }
                A::ChildWorkflowExecutionFailedEventAttributes(a) => {
                    (a.initiated_event_id, run(&a.workflow_execution))
                }
                A::ChildWorkflowExecutionTerminatedEventAttributes(a) => {
                    (a.initiated_event_id, run(&a.workflow_execution))
                }
                A::ChildWorkflowExecutionTimedOutEventAttributes(a) => {
                    (a.initiated_event_id, run(&a.workflow_execution))
                }
                _ => continue,
            };
            let birth = (run_id.clone(), ended.0);
            assert!(self.started.contains_key(&birth), "a child starts before it ends");
            let before = self.ended.insert(birth, (ended.1, event.event_type()));
            assert_eq!(before, None, "a child ends once");
        }
        self.runs.insert(run_id, told);
    }

    pub(super) fn check(&self) {
        for (birth, first_runs) in &self.born {
            assert_eq!(first_runs.len(), 1, "child {birth:?} was started more than once");
        }
        for (birth, run_id) in &self.started {
            assert_eq!(self.born.get(birth), Some(&vec![run_id.clone()]), "the parent knows its child");
        }
        for (birth, (run_id, how)) in &self.ended {
            let told = &self.runs[run_id];
            let said = match Status::try_from(told.status).expect("a status") {
                Status::Completed => EventType::ChildWorkflowExecutionCompleted,
                Status::Failed => EventType::ChildWorkflowExecutionFailed,
                Status::Canceled => EventType::ChildWorkflowExecutionCanceled,
                Status::Terminated => EventType::ChildWorkflowExecutionTerminated,
                Status::TimedOut => EventType::ChildWorkflowExecutionTimedOut,
                status => panic!("child {birth:?} is said to have ended, and is {status:?}"),
            };
            assert_eq!(*how, said, "child {birth:?} ended otherwise");
            assert_eq!(told.successor, None, "another run goes on for child {birth:?}");
        }
    }
}
