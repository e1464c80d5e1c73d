//! What the state keeps as one of several comes back from its stored form. A variant whose tag its field's list leaves
//! out is written, but read as nothing: it would be lost at a restart.

use prost::Message;

use crate::engine::{
    RunKey, Sender,
    children::{ChildClosedBody, Ending, ParentClosedBody, StartChildBody},
    external::{CancelBody, SignalBody},
    outbox::{Address, Body, Receipt, Unsettled},
    pending::Item as _,
    state::{
        ActivityPhase, ActivityState, AwaitingPoller, AwaitingResult, AwaitingRetry, RunState, RunningTask,
        ScheduledTask, WorkflowTask,
    },
};

/// All variants, of which `after` tells each next one: a variant that it does not know does not compile.
fn all<T>(after: impl Fn(Option<&T>) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(next) = after(all.last()) {
        all.push(next);
    }
    all
}

fn stored<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).expect("it was just written")
}

#[test]
fn each_message_between_runs() {
    let bodies = all(|last| match last {
        None => Some(Body::Signal(SignalBody::default())),
        Some(Body::Signal(_)) => Some(Body::Cancel(CancelBody::default())),
        Some(Body::Cancel(_)) => Some(Body::StartChild(Box::<StartChildBody>::default())),
        Some(Body::StartChild(_)) => Some(Body::ChildClosed(Box::<ChildClosedBody>::default())),
        Some(Body::ChildClosed(_)) => Some(Body::ParentClosed(ParentClosedBody::default())),
        Some(Body::ParentClosed(_)) => None,
    });
    for body in bodies {
        let to = Address { workflow_id: "other".into(), ..Default::default() };
        let unsettled = Unsettled { event_id: 5, completed_event_id: 4, to, body: Some(body) };
        assert_eq!(stored(&unsettled), unsettled);
    }
}

/// A receipt as releases wrote it that did not say whose workflow the sender is.
#[derive(Clone, PartialEq, Message)]
struct OldReceipt {
    #[prost(string, tag = "1")]
    sender: String,
}

#[test]
fn a_receipt_of_an_earlier_release_knows_its_message_still() {
    let old = OldReceipt { sender: "run/9".into() };
    let receipt = Receipt::decode(old.encode_to_vec().as_slice()).unwrap();
    assert_eq!(receipt.name(), "run/9");
    assert_eq!(receipt.answer_to(), None);
}

#[test]
fn a_receipt_says_whom_to_answer() {
    let key = RunKey { namespace_id: "ns".into(), workflow_id: "w/1".into(), run_id: "run".into() };
    let sender = Sender { key, event_id: 9 };
    assert_eq!(stored(&Receipt::of(&sender)).answer_to(), Some(sender));
}

#[test]
fn each_way_to_end() {
    let endings = all(|last| match last {
        None => Some(Ending::Completed(Default::default())),
        Some(Ending::Completed(_)) => Some(Ending::Failed(Default::default())),
        Some(Ending::Failed(_)) => Some(Ending::Canceled(Default::default())),
        Some(Ending::Canceled(_)) => Some(Ending::TimedOut(Default::default())),
        Some(Ending::TimedOut(_)) => Some(Ending::Terminated(Default::default())),
        Some(Ending::Terminated(_)) => None,
    });
    for ending in endings {
        let closed = ChildClosedBody { ending: Some(ending), ..Default::default() };
        assert_eq!(stored(&closed), closed);
    }
}

#[test]
fn each_state_of_a_workflow_task() {
    let tasks = all(|last| match last {
        None => Some(WorkflowTask::AwaitingPoller(ScheduledTask::default())),
        Some(WorkflowTask::AwaitingPoller(_)) => {
            Some(WorkflowTask::AwaitingCompletion(RunningTask::default()))
        }
        Some(WorkflowTask::AwaitingCompletion(_)) => None,
    });
    for task in tasks {
        let state = RunState { workflow_task: Some(task), ..Default::default() };
        assert_eq!(stored(&state), state);
    }
}

#[test]
fn each_phase_of_an_activity() {
    let phases = all(|last| match last {
        None => Some(ActivityPhase::AwaitingRetry(AwaitingRetry::default())),
        Some(ActivityPhase::AwaitingRetry(_)) => Some(ActivityPhase::AwaitingPoller(AwaitingPoller {})),
        Some(ActivityPhase::AwaitingPoller(_)) => {
            Some(ActivityPhase::AwaitingResult(AwaitingResult::default()))
        }
        Some(ActivityPhase::AwaitingResult(_)) => None,
    });
    for phase in phases {
        let state = ActivityState { phase: Some(phase), ..Default::default() };
        assert_eq!(stored(&state), state);
    }
}
