//! Child workflows: what a parent knows of those that it has started, what they tell it of their end, and what its own
//! end means for them.
//!
//! Nothing here needs a receipt. The child itself, by its start, is the receipt of the message that started it; that it
//! is among its parent's children is the receipt of the one that tells of its end; and whoever has closed, or was asked
//! to cancel, is no more changed by its parent's end.

use bytes::Bytes;
use durably_proto::temporal::api::{
    common::v1::{Header, WorkflowExecution, WorkflowType},
    enums::v1::{ParentClosePolicy, StartChildWorkflowExecutionFailedCause as StartFailed},
    history::v1::{
        ChildWorkflowExecutionCanceledEventAttributes, ChildWorkflowExecutionCompletedEventAttributes,
        ChildWorkflowExecutionFailedEventAttributes, ChildWorkflowExecutionStartedEventAttributes,
        ChildWorkflowExecutionTerminatedEventAttributes, ChildWorkflowExecutionTimedOutEventAttributes,
        StartChildWorkflowExecutionFailedEventAttributes,
        StartChildWorkflowExecutionInitiatedEventAttributes, WorkflowExecutionCanceledEventAttributes,
        WorkflowExecutionCompletedEventAttributes, WorkflowExecutionFailedEventAttributes,
        WorkflowExecutionTerminatedEventAttributes, WorkflowExecutionTimedOutEventAttributes,
        history_event::Attributes,
    },
    sdk::v1::UserMetadata,
};
use prost::Message as _;

use super::{
    Context, Execution, Outcome, RunKey, Sender, Time,
    external::SERVER,
    outbox::{Address, Body, Unsettled},
    pending::{Item, Stage},
};
use crate::store::RowKind;

/// A child that has not ended, as its parent knows it; stored under the id of the event that asked for it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Child {
    #[prost(int64, tag = "1")]
    pub initiated_event_id: i64,
    /// 0 until the history says that it has started.
    #[prost(int64, tag = "2")]
    pub started_event_id: i64,
    /// Name of its namespace; empty for the parent's own.
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "4")]
    pub workflow_id: String,
    /// Of its first run; empty until its start was answered.
    #[prost(string, tag = "5")]
    pub run_id: String,
    #[prost(string, tag = "6")]
    pub workflow_type: String,
    /// `ParentClosePolicy`, never unspecified.
    #[prost(int32, tag = "7")]
    pub parent_close_policy: i32,
}

/// Asks for a child.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartChildBody {
    #[prost(message, required, tag = "1")]
    pub initiated: StartChildWorkflowExecutionInitiatedEventAttributes,
    #[prost(message, optional, tag = "2")]
    pub user_metadata: Option<UserMetadata>,
    /// The topmost workflow above the child.
    #[prost(message, optional, tag = "3")]
    pub root: Option<WorkflowExecution>,
}

/// Tells a parent that its child has ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChildClosedBody {
    /// The parent's event that asked for the child.
    #[prost(int64, tag = "1")]
    pub initiated_event_id: i64,
    /// Of the child's chain.
    #[prost(string, tag = "2")]
    pub first_run_id: String,
    #[prost(oneof = "Ending", tags = "10, 11, 12, 13, 14")]
    pub ending: Option<Ending>,
}

/// How a run ended that no other follows, in the words of its own last event.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Ending {
    #[prost(message, tag = "10")]
    Completed(WorkflowExecutionCompletedEventAttributes),
    #[prost(message, tag = "11")]
    Failed(Box<WorkflowExecutionFailedEventAttributes>),
    #[prost(message, tag = "12")]
    Canceled(WorkflowExecutionCanceledEventAttributes),
    #[prost(message, tag = "13")]
    TimedOut(WorkflowExecutionTimedOutEventAttributes),
    #[prost(message, tag = "14")]
    Terminated(WorkflowExecutionTerminatedEventAttributes),
}

/// Tells a child that its parent has ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ParentClosedBody {
    /// `ParentClosePolicy`.
    #[prost(int32, tag = "1")]
    pub policy: i32,
    /// The parent's event that asked for the child.
    #[prost(int64, tag = "2")]
    pub initiated_event_id: i64,
}

impl Item for Child {
    const KIND: RowKind = RowKind::Child;

    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn name(&self) -> &'static str {
        ""
    }

    fn due(&self) -> Option<Time> {
        None
    }

    fn stage(&self) -> Stage {
        Stage::Sleeping
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + 128 + self.encoded_len()
    }
}

impl Child {
    pub(super) fn execution(&self) -> WorkflowExecution {
        WorkflowExecution { workflow_id: self.workflow_id.clone(), run_id: self.run_id.clone() }
    }

    fn kind(&self) -> WorkflowType {
        WorkflowType { name: self.workflow_type.clone() }
    }
}

impl Execution {
    /// Whether the run's parent is this one.
    pub fn is_child_of(&self, parent: &RunKey) -> bool {
        let given = self.start.parent_workflow_execution.as_ref();
        self.start.parent_workflow_namespace_id == *parent.namespace_id
            && given.is_some_and(|given| {
                given.workflow_id == *parent.workflow_id && given.run_id == *parent.run_id
            })
    }

    /// Whether the run, or one before it in its chain, was started by what this event of the parent asked for.
    pub fn is_started_by(&self, parent: &RunKey, initiated_event_id: i64) -> bool {
        self.start.parent_initiated_event_id == initiated_event_id && self.is_child_of(parent)
    }

    /// What became of the start of a child that the parent asked for.
    pub(super) fn child_start_settled(
        &mut self,
        start: &StartChildBody,
        of: &Unsettled,
        outcome: Outcome,
        cx: &mut Context<'_>,
    ) {
        let initiated_event_id = of.event_id;
        let cause = match outcome {
            Outcome::Started { run_id } => {
                return self.child_started(initiated_event_id, run_id, start.initiated.header.clone(), cx);
            }
            Outcome::AlreadyExists => StartFailed::WorkflowAlreadyExists,
            Outcome::NamespaceNotFound => StartFailed::NamespaceNotFound,
            // Nobody answers a start so.
            Outcome::Delivered | Outcome::NotFound | Outcome::TooManySignals => StartFailed::Unspecified,
        };
        self.pending.children.remove(initiated_event_id);
        let attributes = StartChildWorkflowExecutionFailedEventAttributes {
            namespace: start.initiated.namespace.clone(),
            workflow_id: start.initiated.workflow_id.clone(),
            workflow_type: start.initiated.workflow_type.clone(),
            cause: cause as i32,
            control: start.initiated.control.clone(),
            initiated_event_id,
            workflow_task_completed_event_id: of.completed_event_id,
            ..Default::default()
        };
        self.record(Attributes::StartChildWorkflowExecutionFailedEventAttributes(attributes), Vec::new(), cx);
    }

    fn child_started(
        &mut self,
        initiated_event_id: i64,
        run_id: String,
        header: Option<Header>,
        cx: &mut Context<'_>,
    ) {
        let attributes = self.pending.children.update(initiated_event_id, |child| {
            child.run_id = run_id;
            ChildWorkflowExecutionStartedEventAttributes {
                namespace: child.namespace.clone(),
                initiated_event_id,
                workflow_execution: Some(child.execution()),
                workflow_type: Some(child.kind()),
                header,
                ..Default::default()
            }
        });
        let Some(attributes) = attributes else { return };
        let attributes = Attributes::ChildWorkflowExecutionStartedEventAttributes(attributes);
        if let Some(id) = self.record(attributes, Vec::new(), cx) {
            self.child_start_recorded(initiated_event_id, id);
        }
    }

    /// The history says, with this event, that the child has started.
    pub(super) fn child_start_recorded(&mut self, initiated_event_id: i64, started_event_id: i64) {
        self.pending.children.update(initiated_event_id, |child| child.started_event_id = started_event_id);
    }

    /// A child tells of its end.
    pub(super) fn child_closed(
        &mut self,
        body: ChildClosedBody,
        from: &RunKey,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let initiated_event_id = body.initiated_event_id;
        let is_meant = |child: &Child| child.workflow_id == *from.workflow_id;
        let Some(ending) = body.ending else { return Outcome::NotFound };
        if !self.pending.children.get(initiated_event_id).is_some_and(is_meant) {
            // It was heard of before.
            return Outcome::Delivered;
        }
        // The answer to its start is still on its way: the child has started, since it has ended.
        if let Some(unsettled) = self.pending.outbox.remove(initiated_event_id)
            && let Some(Body::StartChild(start)) = &unsettled.body
        {
            self.child_start_settled(start, &unsettled, Outcome::Started { run_id: body.first_run_id }, cx);
        }
        let Some(child) = self.pending.children.remove(initiated_event_id) else { return Outcome::NotFound };
        let last_run = WorkflowExecution { run_id: from.run_id.to_string(), ..child.execution() };
        self.record(child_ended(&child, last_run, ending), Vec::new(), cx);
        self.schedule_task(cx);
        self.changed(cx);
        Outcome::Delivered
    }

    /// A child's end is told to its parent, unless another run goes on for this one.
    pub(super) fn tell_parent(&mut self, ending: Ending, completed_event_id: i64, cx: &mut Context<'_>) {
        let start = &self.start;
        let Some(parent) = start.parent_workflow_execution.clone() else { return };
        if !self.state.successor_run_id.is_empty() {
            return;
        }
        let namespace = if start.parent_workflow_namespace_id == *self.key.namespace_id {
            String::new()
        } else {
            start.parent_workflow_namespace.clone()
        };
        let body = ChildClosedBody {
            initiated_event_id: start.parent_initiated_event_id,
            first_run_id: start.first_execution_run_id.clone(),
            ending: Some(ending),
        };
        let to = Address { namespace, workflow_id: parent.workflow_id, run_id: parent.run_id };
        let event_id = self.state.next_event_id - 1;
        let body = Some(Body::ChildClosed(Box::new(body)));
        self.say(Unsettled { event_id, completed_event_id, to, body }, cx);
    }

    /// The run has ended: its children go by their policies.
    pub(super) fn leave_children(&mut self, cx: &mut Context<'_>) {
        let children: Vec<Child> = self.pending.children.values().cloned().collect();
        self.pending.children.clear();
        for child in children {
            let initiated_event_id = child.initiated_event_id;
            if child.parent_close_policy == ParentClosePolicy::Abandon as i32 {
                // One whose start is on its way still starts.
                continue;
            }
            let before = cx.effects.messages.len();
            cx.effects.messages.retain(|message| message.from.event_id != initiated_event_id);
            // Who has not started the child yet need not.
            self.pending.outbox.remove(initiated_event_id);
            if cx.effects.messages.len() < before {
                // Nobody has heard of it.
                continue;
            }
            let to =
                Address { namespace: child.namespace, workflow_id: child.workflow_id, run_id: String::new() };
            let body = ParentClosedBody { policy: child.parent_close_policy, initiated_event_id };
            let body = Some(Body::ParentClosed(body));
            // No event announces it, and the id of the child's has another answer to come.
            let event_id = -initiated_event_id;
            self.say(Unsettled { event_id, completed_event_id: 0, to, body }, cx);
        }
    }

    /// The parent tells of its end.
    pub(super) fn parent_closed(
        &mut self,
        body: &ParentClosedBody,
        from: &Sender,
        cx: &mut Context<'_>,
    ) -> Outcome {
        const REASON: &str = "by parent close policy";
        if !self.is_started_by(&from.key, body.initiated_event_id) {
            return Outcome::NotFound;
        }
        match ParentClosePolicy::try_from(body.policy) {
            // No event of the parent asked for it.
            Ok(ParentClosePolicy::RequestCancel) => self.cancel_from(REASON, &from.key, 0, cx),
            Ok(ParentClosePolicy::Terminate | ParentClosePolicy::Unspecified) | Err(_) => {
                // Refused only for a run that is closed, which this one is not.
                let _ = self.terminate(REASON.into(), None, SERVER.into(), Vec::new(), cx);
            }
            Ok(ParentClosePolicy::Abandon) => {}
        }
        Outcome::Delivered
    }
}

/// The event that tells a parent how its child ended.
fn child_ended(child: &Child, last_run: WorkflowExecution, ending: Ending) -> Attributes {
    // All of them name the child in the same fields, and have fields of their own.
    macro_rules! event {
        ($event:ident { $($own:ident: $value:expr),* }) => {
            $event {
                $($own: $value,)*
                namespace: child.namespace.clone(),
                workflow_execution: Some(last_run),
                workflow_type: Some(child.kind()),
                initiated_event_id: child.initiated_event_id,
                started_event_id: child.started_event_id,
                ..Default::default()
            }
        };
    }
    use Attributes as A;
    match ending {
        Ending::Completed(of) => A::ChildWorkflowExecutionCompletedEventAttributes(event!(
            ChildWorkflowExecutionCompletedEventAttributes { result: of.result }
        )),
        Ending::Failed(of) => A::ChildWorkflowExecutionFailedEventAttributes(event!(
            ChildWorkflowExecutionFailedEventAttributes { failure: of.failure, retry_state: of.retry_state }
        )),
        Ending::Canceled(of) => A::ChildWorkflowExecutionCanceledEventAttributes(event!(
            ChildWorkflowExecutionCanceledEventAttributes { details: of.details }
        )),
        Ending::TimedOut(of) => A::ChildWorkflowExecutionTimedOutEventAttributes(event!(
            ChildWorkflowExecutionTimedOutEventAttributes { retry_state: of.retry_state }
        )),
        Ending::Terminated(_) => A::ChildWorkflowExecutionTerminatedEventAttributes(event!(
            ChildWorkflowExecutionTerminatedEventAttributes {}
        )),
    }
}
