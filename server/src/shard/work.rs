//! What can be asked of a shard, as values: each can be looked at, logged and handed on before it is done.

use std::{collections::BTreeSet, fmt, sync::Arc};

use durably_proto::temporal::api::{
    enums::v1::QueryRejectCondition,
    query::v1::WorkflowQuery,
    update::v1::Request as UpdateRequest,
    workflowservice::v1::{DescribeWorkflowExecutionResponse, RespondQueryTaskCompletedRequest},
};

#[cfg(test)]
use super::driver::Shard;
use super::{
    events::{Selection, View},
    letters::Letter,
    reply::Reply,
    runs::Target,
    start::{StartCall, Started},
    tasks::{GrantSender, TaskRef},
    waiters::{Heard, WaitStage},
};
use crate::engine::{Input, Output, Poller, Time, state::TaskToken};

/// Something to do on the shard's thread, with the way back to whoever asked. `handle` does it.
pub(super) enum Work {
    Start {
        namespace_id: Arc<str>,
        call: Box<StartCall>,
        reply: Reply<Started>,
    },
    /// What happened to a run that a client or a worker names. The answer has the run's number too.
    Input {
        target: Target,
        input: Input,
        reply: Reply<(i64, Output)>,
    },
    /// [`Input::RequestCancel`], or nothing for a run that has closed.
    RequestCancel {
        target: Target,
        /// The run must be of the chain that began with this one; empty: of any.
        first_run_id: String,
        input: Input,
        reply: Reply<()>,
    },
    /// [`Input::Terminate`], for runs that are set aside too.
    Terminate {
        target: Target,
        first_run_id: String,
        input: Input,
        reply: Reply<()>,
    },
    Describe {
        target: Target,
        reply: Reply<DescribeWorkflowExecutionResponse>,
    },
    /// Events in memory, and which ones are not.
    View {
        target: Target,
        range: Selection,
        reply: Reply<View>,
    },
    /// Answered when the run has an event with id `from`, or is closed; with `close_only` when it is closed.
    Watch {
        seq: i64,
        from: i64,
        close_only: bool,
        reply: Reply<Heard>,
    },
    Query {
        target: Target,
        query: Box<WorkflowQuery>,
        reject: QueryRejectCondition,
        reply: Reply<Heard>,
    },
    /// Somebody asks for an update, and waits until it has come as far as `stage`.
    Update {
        target: Target,
        /// The run must be of the chain that began with this one; empty: of any.
        first_run_id: String,
        request: Box<UpdateRequest>,
        stage: WaitStage,
        reply: Reply<Heard>,
    },
    /// A start, unless the workflow is there, and then an update. The second reply comes only if the start has not failed.
    StartWithUpdate {
        namespace_id: Arc<str>,
        call: Box<StartCall>,
        request: Box<UpdateRequest>,
        stage: WaitStage,
        started: Reply<Started>,
        reply: Reply<Heard>,
    },
    /// Waits for an update that somebody has asked for.
    AwaitUpdate {
        target: Target,
        update_id: String,
        stage: WaitStage,
        reply: Reply<Heard>,
    },
    /// A worker's answer to a query that was a task of its own.
    AnswerQuery {
        token: TaskToken,
        request: Box<RespondQueryTaskCompletedRequest>,
        reply: Reply<()>,
    },
    /// Lets go of queries whose askers have given up.
    ForgetVanishedQueries,
    /// Whether the run's task queue has had a poller lately.
    HasWorker {
        target: Target,
        reply: Reply<bool>,
    },
    /// A poller takes a task.
    TakeTask {
        task: TaskRef,
        poller: Box<Poller>,
        reply: GrantSender,
    },
    /// The poller was gone before it got the task.
    TakeBack(TaskRef),
    /// The task waited for a sticky worker that is gone.
    LeaveStickyQueue(TaskRef),
    /// Which of the tasks no poller would get any more.
    FindStale {
        tasks: Vec<TaskRef>,
        reply: Reply<BTreeSet<TaskRef>>,
    },
    PutNamespace {
        id: String,
        encoded: Vec<u8>,
        reply: Reply<()>,
    },
    /// Sleeps by a virtual clock.
    Sleep {
        until: Time,
        reply: Reply<()>,
    },
    /// Takes a lock off a virtual clock; with `sleep_until` until then, when it is locked again and the answer comes.
    UnlockTime {
        sleep_until: Option<Time>,
        reply: Reply<()>,
    },
    /// A run of this shard or of another one says something.
    Receive(Letter),
    /// A test looks at the shard, or breaks it.
    #[cfg(test)]
    Inspect(Box<dyn FnOnce(&mut Shard) + Send>),
}

impl Work {
    /// What is asked, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Input { .. } => "input",
            Self::RequestCancel { .. } => "request cancel",
            Self::Terminate { .. } => "terminate",
            Self::Describe { .. } => "describe",
            Self::View { .. } => "view",
            Self::Watch { .. } => "watch",
            Self::Query { .. } => "query",
            Self::Update { .. } => "update",
            Self::StartWithUpdate { .. } => "start with update",
            Self::AwaitUpdate { .. } => "await update",
            Self::AnswerQuery { .. } => "answer query",
            Self::ForgetVanishedQueries => "forget vanished queries",
            Self::HasWorker { .. } => "has worker",
            Self::TakeTask { .. } => "take task",
            Self::TakeBack(_) => "take back",
            Self::LeaveStickyQueue(_) => "leave sticky queue",
            Self::FindStale { .. } => "find stale",
            Self::PutNamespace { .. } => "put namespace",
            Self::Sleep { .. } => "sleep",
            Self::UnlockTime { .. } => "unlock time",
            Self::Receive(_) => "receive",
            #[cfg(test)]
            Self::Inspect(_) => "inspect",
        }
    }

    /// Which run it is about.
    fn subject(&self) -> Subject<'_> {
        match self {
            Self::Start { call, .. } | Self::StartWithUpdate { call, .. } => {
                Subject::Workflow(&call.request.workflow_id)
            }
            Self::Input { target, .. }
            | Self::RequestCancel { target, .. }
            | Self::Terminate { target, .. }
            | Self::Describe { target, .. }
            | Self::View { target, .. }
            | Self::Query { target, .. }
            | Self::Update { target, .. }
            | Self::AwaitUpdate { target, .. }
            | Self::HasWorker { target, .. } => Subject::Workflow(&target.workflow_id),
            Self::AnswerQuery { token, .. } => Subject::Workflow(&token.workflow_id),
            Self::Receive(letter) => Subject::Workflow(letter.workflow_id()),
            Self::Watch { seq, .. } => Subject::Run(*seq),
            Self::TakeTask { task, .. } | Self::TakeBack(task) | Self::LeaveStickyQueue(task) => {
                Subject::Run(task.seq)
            }
            Self::ForgetVanishedQueries
            | Self::FindStale { .. }
            | Self::PutNamespace { .. }
            | Self::Sleep { .. }
            | Self::UnlockTime { .. } => Subject::Shard,
            #[cfg(test)]
            Self::Inspect(_) => Subject::Shard,
        }
    }
}

enum Subject<'a> {
    Workflow(&'a str),
    Run(i64),
    Shard,
}

/// What is asked, and of which run; never what users have put into it.
impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.subject() {
            Subject::Workflow(id) => write!(f, " (workflow_id={id})"),
            Subject::Run(seq) => write!(f, " (run number {seq})"),
            Subject::Shard => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Signal;

    #[test]
    fn what_is_logged_of_work_has_no_payloads() {
        let signal = Signal { name: "secret".into(), ..Default::default() };
        let target = Target::named("ns", "order-1", "");
        let work = Work::Input { target, input: Input::Signal(signal), reply: Reply::new().0 };
        assert_eq!(format!("{work:?}"), "input (workflow_id=order-1)");
        assert_eq!(format!("{:?}", Work::ForgetVanishedQueries), "forget vanished queries");
    }

    /// Work is moved several times on its way; what is large is boxed.
    #[test]
    fn work_is_small() {
        let bytes = size_of::<Work>();
        assert!(bytes <= 320, "{bytes} bytes");
    }
}
