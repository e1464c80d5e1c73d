//! Tasks by name, as queues hold them, and as workers get them.

use std::sync::Arc;

use durably_proto::temporal::api::workflowservice::v1::PollActivityTaskQueueResponse;

use super::reply::Reply;
use crate::{
    engine::{Dispatch, WorkflowTaskGrant},
    matching::{QueueKey, QueueKind},
};

/// Names a task; what queues hold. Whether it still stands is checked when a poller takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskRef {
    pub shard: u32,
    pub seq: i64,
    pub kind: TaskKind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TaskKind {
    Workflow { scheduled_event_id: i64, attempt: i32, sticky: bool },
    Activity { scheduled_event_id: i64, attempt: i32 },
    Query { id: u64, sticky: bool },
}

/// A started task, as its worker gets it.
#[derive(Debug)]
pub(super) enum Grant {
    Workflow(Box<WorkflowTaskGrant>),
    Activity(Box<PollActivityTaskQueueResponse>),
}

pub(super) type GrantSender = Reply<Option<Grant>>;

pub(super) fn queue_key(namespace_id: &Arc<str>, name: &str, kind: QueueKind) -> QueueKey {
    QueueKey { namespace_id: namespace_id.clone(), name: name.into(), kind }
}

/// The queue that a task goes to first, and the task's name there.
pub(super) fn first_queue(dispatch: &Dispatch) -> (&str, QueueKind, TaskKind) {
    match dispatch {
        Dispatch::WorkflowTask { queue, sticky, scheduled_event_id, attempt } => {
            let kind = TaskKind::Workflow {
                scheduled_event_id: *scheduled_event_id,
                attempt: *attempt,
                sticky: sticky.is_some(),
            };
            (sticky.as_ref().unwrap_or(queue), QueueKind::Workflow, kind)
        }
        Dispatch::Activity { queue, scheduled_event_id, attempt } => {
            let kind = TaskKind::Activity { scheduled_event_id: *scheduled_event_id, attempt: *attempt };
            (queue, QueueKind::Activity, kind)
        }
    }
}
