//! Commands that are wrong, of each kind: alone, and where they stand.
#![expect(deprecated, reason = "servers go on reading what the API has deprecated")]

use durably_proto::temporal::api::{
    command::v1::{
        CancelTimerCommandAttributes, Command,
        ContinueAsNewWorkflowExecutionCommandAttributes as ContinueAsNew,
        ModifyWorkflowPropertiesCommandAttributes as Modify,
        ProtocolMessageCommandAttributes as ProtocolMessage, RecordMarkerCommandAttributes as Marker,
        RequestCancelExternalWorkflowExecutionCommandAttributes as CancelExternal,
        RequestCancelNexusOperationCommandAttributes as CancelNexus,
        ScheduleActivityTaskCommandAttributes as Activity, ScheduleNexusOperationCommandAttributes as Nexus,
        SignalExternalWorkflowExecutionCommandAttributes as SignalExternal,
        StartChildWorkflowExecutionCommandAttributes as Child,
        UpsertWorkflowSearchAttributesCommandAttributes as Upsert, command::Attributes as A,
    },
    common::v1::{ActivityType, Memo, Payload, RetryPolicy, SearchAttributes, WorkflowType},
    enums::v1::CommandType as Kind,
};

use super::{Row, long, rows, seconds, with};
use crate::{support::*, wire::world::World};

fn command(kind: Kind, attributes: A) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() }
}

fn typed(kind: i32) -> Vec<Command> {
    vec![with(start_timer("t", seconds(1)), |command| command.command_type = kind)]
}

/// A command of a type without its attributes.
fn bare(kind: Kind) -> Vec<Command> {
    vec![Command { command_type: kind as i32, ..Default::default() }]
}

fn activity(world: &World, change: impl FnOnce(&mut Activity)) -> Vec<Command> {
    vec![schedule_activity("a", |a| {
        a.task_queue = Some(queue(&world.queue));
        change(a);
    })]
}

fn retry(world: &World, policy: RetryPolicy) -> Vec<Command> {
    activity(world, |a| a.retry_policy = Some(policy))
}

fn next(change: impl FnOnce(&mut ContinueAsNew)) -> Vec<Command> {
    let attributes = ContinueAsNew {
        workflow_type: Some(WorkflowType { name: "Order".into() }),
        task_queue: Some(queue("elsewhere")),
        ..Default::default()
    };
    vec![command(
        Kind::ContinueAsNewWorkflowExecution,
        A::ContinueAsNewWorkflowExecutionCommandAttributes(with(attributes, change)),
    )]
}

fn signal(id: &str, change: impl FnOnce(&mut SignalExternal)) -> Vec<Command> {
    let attributes =
        SignalExternal { execution: Some(execution(id, "")), signal_name: "go".into(), ..Default::default() };
    vec![command(
        Kind::SignalExternalWorkflowExecution,
        A::SignalExternalWorkflowExecutionCommandAttributes(with(attributes, change)),
    )]
}

fn cancel_external(change: impl FnOnce(&mut CancelExternal)) -> Vec<Command> {
    let attributes = CancelExternal { workflow_id: "unknown".into(), ..Default::default() };
    vec![command(
        Kind::RequestCancelExternalWorkflowExecution,
        A::RequestCancelExternalWorkflowExecutionCommandAttributes(with(attributes, change)),
    )]
}

fn child(world: &World, change: impl FnOnce(&mut Child)) -> Vec<Command> {
    let attributes = Child {
        workflow_id: format!("{}-child", world.id),
        workflow_type: Some(WorkflowType { name: "Order".into() }),
        task_queue: Some(queue("elsewhere")),
        ..Default::default()
    };
    vec![command(
        Kind::StartChildWorkflowExecution,
        A::StartChildWorkflowExecutionCommandAttributes(with(attributes, change)),
    )]
}

fn marker(name: &str) -> Vec<Command> {
    let attributes = Marker { marker_name: name.into(), ..Default::default() };
    vec![command(Kind::RecordMarker, A::RecordMarkerCommandAttributes(attributes))]
}

fn upsert(attributes: Option<SearchAttributes>) -> Vec<Command> {
    let attributes = Upsert { search_attributes: attributes };
    vec![command(
        Kind::UpsertWorkflowSearchAttributes,
        A::UpsertWorkflowSearchAttributesCommandAttributes(attributes),
    )]
}

fn attribute(name: &str) -> Option<SearchAttributes> {
    Some(SearchAttributes { indexed_fields: [(name.to_owned(), text("x").payloads.remove(0))].into() })
}

fn modify(memo: Option<Memo>) -> Vec<Command> {
    let attributes = Modify { upserted_memo: memo };
    vec![command(Kind::ModifyWorkflowProperties, A::ModifyWorkflowPropertiesCommandAttributes(attributes))]
}

fn nexus() -> Vec<Command> {
    let attributes = Nexus {
        endpoint: "nowhere".into(),
        service: "s".into(),
        operation: "o".into(),
        ..Default::default()
    };
    vec![command(Kind::ScheduleNexusOperation, A::ScheduleNexusOperationCommandAttributes(attributes))]
}

fn timer(id: &str) -> Command {
    start_timer(id, seconds(3_600))
}

pub const ROWS: &[Row] = rows! {
    "commands: none", Ok: |w| async move { w.command(vec![]).await };
    "commands: type 0 with attributes", InvalidArgument: |w| async move { w.command(typed(0)).await };
    "commands: type 9999", InvalidArgument: |w| async move { w.command(typed(9_999)).await };
    "commands: type -1", InvalidArgument: |w| async move { w.command(typed(-1)).await };
    "commands: type of another's attributes", InvalidArgument: |w| async move { w.command(typed(Kind::CancelTimer as i32)).await };
    "commands: attributes without a type", InvalidArgument: |w| async move {
        let attributes = A::CancelTimerCommandAttributes(CancelTimerCommandAttributes { timer_id: "t".into() });
        w.command(vec![Command { attributes: Some(attributes), ..Default::default() }]).await
    };
    "commands: nothing after a completion", InvalidArgument:
        |w| async move { w.command(vec![complete_workflow("one"), timer("t")]).await };
    "commands: two completions", InvalidArgument:
        |w| async move { w.command(vec![complete_workflow("one"), complete_workflow("two")]).await };
    "commands: a failure, then a timer", InvalidArgument:
        |w| async move { w.command(vec![fail_workflow("no"), timer("t")]).await };
    "commands: two cancellations", InvalidArgument:
        |w| async move { w.command(vec![cancel_workflow(), cancel_workflow()]).await };

    "activity: bare", InvalidArgument: |w| async move { w.command(bare(Kind::ScheduleActivityTask)).await };
    "activity: no id", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.activity_id.clear())).await };
    "activity: id too long", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.activity_id = long())).await };
    "activity: id with a NUL", Ok: |w| async move { w.command(activity(&w, |a| a.activity_id = "\0".into())).await };
    "activity: no type", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.activity_type = None)).await };
    "activity: type too long", InvalidArgument:
        |w| async move { w.command(activity(&w, |a| a.activity_type = Some(ActivityType { name: long() }))).await };
    "activity: no task queue", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.task_queue = None)).await };
    "activity: task queue empty", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.task_queue = Some(queue("")))).await };
    "activity: task queue too long", InvalidArgument:
        |w| async move { w.command(activity(&w, |a| a.task_queue = Some(queue(&long())))).await };
    "activity: task queue reserved", InvalidArgument:
        |w| async move { w.command(activity(&w, |a| a.task_queue = Some(queue("/_sys/x")))).await };
    "activity: no time-outs", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.start_to_close_timeout = None)).await };
    "activity: schedule-to-start alone", InvalidArgument: |w| async move {
        w.command(activity(&w, |a| {
            a.start_to_close_timeout = None;
            a.schedule_to_start_timeout = seconds(5);
        })).await
    };
    "activity: schedule-to-close negative", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.schedule_to_close_timeout = seconds(-1))).await };
    "activity: schedule-to-start negative", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.schedule_to_start_timeout = seconds(-1))).await };
    "activity: start-to-close negative", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.start_to_close_timeout = seconds(-1))).await };
    "activity: heartbeat negative", InvalidArgument: |w| async move { w.command(activity(&w, |a| a.heartbeat_timeout = seconds(-1))).await };
    "activity: start-to-close overflows", Ok: |w| async move { w.command(activity(&w, |a| a.start_to_close_timeout = seconds(i64::MAX))).await };
    "activity: heartbeat of 2000000000 ns", Ok: |w| async move {
        w.command(activity(&w, |a| a.heartbeat_timeout = Some(prost_types::Duration { seconds: 0, nanos: 2_000_000_000 }))).await
    };
    "activity: -1 attempts", InvalidArgument: |w| async move { w.command(retry(&w, RetryPolicy { maximum_attempts: -1, ..Default::default() })).await };
    "activity: coefficient 0.5", InvalidArgument: |w| async move { w.command(retry(&w, RetryPolicy { backoff_coefficient: 0.5, ..Default::default() })).await };
    "activity: negative interval", InvalidArgument: |w| async move { w.command(retry(&w, RetryPolicy { initial_interval: seconds(-1), ..Default::default() })).await };
    "activity: input of 2 MiB", InvalidArgument: |w| async move {
        w.begin().await;
        // The real server ends the run with this.
        let token = w.task().await.task_token;
        w.complete(&token, activity(&w, |a| a.input = Some(oversized()))).await
    };
    "activity: two of one id", InvalidArgument: |w| async move { w.command([activity(&w, |_| ()), activity(&w, |_| ())].concat()).await };
    "activity: one that is pending", InvalidArgument: |w| async move {
        w.after(activity(&w, |_| ())).await;
        w.signal().await.unwrap();
        let token = w.task().await.task_token;
        w.complete(&token, activity(&w, |_| ())).await
    };
    "cancel activity: bare", InvalidArgument: |w| async move { w.command(bare(Kind::RequestCancelActivityTask)).await };
    "cancel activity: unknown", InvalidArgument: |w| async move { w.command(vec![request_cancel_activity(99)]).await };
    "cancel activity: 0", InvalidArgument: |w| async move { w.command(vec![request_cancel_activity(0)]).await };
    "cancel activity: -1", InvalidArgument: |w| async move { w.command(vec![request_cancel_activity(-1)]).await };

    "timer: bare", InvalidArgument: |w| async move { w.command(bare(Kind::StartTimer)).await };
    "timer: no id", InvalidArgument: |w| async move { w.command(vec![timer("")]).await };
    "timer: id too long", InvalidArgument: |w| async move { w.command(vec![timer(&long())]).await };
    "timer: id with a NUL", Ok: |w| async move { w.command(vec![timer("\0")]).await };
    "timer: negative", InvalidArgument: |w| async move { w.command(vec![start_timer("t", seconds(-1))]).await };
    "timer: of no time", Ok: |w| async move { w.command(vec![start_timer("t", seconds(0))]).await };
    "timer: without a time", Ok: |w| async move { w.command(vec![start_timer("t", None)]).await };
    "timer: overflows", Ok: |w| async move { w.command(vec![start_timer("t", seconds(i64::MAX))]).await };
    "timer: of 1000 years", Ok: |w| async move { w.command(vec![start_timer("t", seconds(31_536_000_000))]).await };
    "timer: two of one id", InvalidArgument: |w| async move { w.command(vec![timer("t"), timer("t")]).await };
    "cancel timer: bare", InvalidArgument: |w| async move { w.command(bare(Kind::CancelTimer)).await };
    "cancel timer: unknown", InvalidArgument: |w| async move { w.command(vec![cancel_timer("unknown")]).await };
    "cancel timer: no id", InvalidArgument: |w| async move { w.command(vec![cancel_timer("")]).await };
    "cancel timer: twice", InvalidArgument: |w| async move { w.command(vec![timer("t"), cancel_timer("t"), cancel_timer("t")]).await };

    "complete: bare", InvalidArgument: |w| async move { w.command(bare(Kind::CompleteWorkflowExecution)).await };
    "fail: bare", InvalidArgument: |w| async move { w.command(bare(Kind::FailWorkflowExecution)).await };
    "fail: no failure", InvalidArgument: |w| async move {
        w.command(vec![with(fail_workflow("no"), |c| {
            c.attributes = Some(A::FailWorkflowExecutionCommandAttributes(Default::default()));
        })]).await
    };
    "cancel: bare", InvalidArgument: |w| async move { w.command(bare(Kind::CancelWorkflowExecution)).await };

    "continue: bare", InvalidArgument: |w| async move { w.command(bare(Kind::ContinueAsNewWorkflowExecution)).await };
    "continue: nothing said", Ok: |w| async move { w.command(next(|c| *c = ContinueAsNew::default())).await };
    "continue: type too long", InvalidArgument:
        |w| async move { w.command(next(|c| c.workflow_type = Some(WorkflowType { name: long() }))).await };
    "continue: task queue too long", InvalidArgument: |w| async move { w.command(next(|c| c.task_queue = Some(queue(&long())))).await };
    "continue: negative run time-out", InvalidArgument: |w| async move { w.command(next(|c| c.workflow_run_timeout = seconds(-1))).await };
    "continue: negative task time-out", InvalidArgument: |w| async move { w.command(next(|c| c.workflow_task_timeout = seconds(-1))).await };
    "continue: negative backoff", InvalidArgument: |w| async move { w.command(next(|c| c.backoff_start_interval = seconds(-1))).await };
    "continue: coefficient 0.5", InvalidArgument: |w| async move {
        w.command(next(|c| c.retry_policy = Some(RetryPolicy { backoff_coefficient: 0.5, ..Default::default() }))).await
    };
    "continue: unknown search attribute", InvalidArgument: |w| async move { w.command(next(|c| c.search_attributes = attribute("NobodyKnows"))).await };
    "continue: initiator 99", Ok: |w| async move { w.command(next(|c| c.initiator = 99)).await };

    "marker: bare", InvalidArgument: |w| async move { w.command(bare(Kind::RecordMarker)).await };
    "marker: no name", InvalidArgument: |w| async move { w.command(marker("")).await };
    "marker: name too long", InvalidArgument: |w| async move { w.command(marker(&long())).await };
    "search attributes: bare", InvalidArgument: |w| async move { w.command(bare(Kind::UpsertWorkflowSearchAttributes)).await };
    "search attributes: none", InvalidArgument: |w| async move { w.command(upsert(None)).await };
    "search attributes: unknown", InvalidArgument: |w| async move { w.command(upsert(attribute("NobodyKnows"))).await };
    "search attributes: of the system", InvalidArgument: |w| async move { w.command(upsert(attribute("WorkflowId"))).await };
    "memo: bare", InvalidArgument: |w| async move { w.command(bare(Kind::ModifyWorkflowProperties)).await };
    "memo: none", InvalidArgument: |w| async move { w.command(modify(None)).await };
    "memo: empty", InvalidArgument: |w| async move { w.command(modify(Some(Memo::default()))).await };

    "signal other: bare", InvalidArgument: |w| async move { w.command(bare(Kind::SignalExternalWorkflowExecution)).await };
    "signal other: no execution", InvalidArgument: |w| async move { w.command(signal("x", |s| s.execution = None)).await };
    "signal other: no id", InvalidArgument: |w| async move { w.command(signal("", |_| ())).await };
    "signal other: id too long", InvalidArgument: |w| async move { w.command(signal(&long(), |_| ())).await };
    "signal other: run id no UUID", InvalidArgument:
        |w| async move { w.command(signal("x", |s| s.execution = Some(execution("x", "no-uuid")))).await };
    "signal other: no name", InvalidArgument: |w| async move { w.command(signal("x", |s| s.signal_name.clear())).await };
    "signal other: unknown namespace", NotFound: |w| async move { w.command(signal("x", |s| s.namespace = "nowhere".into())).await };
    "signal other: unknown workflow", Ok: |w| async move { w.command(signal("unknown", |_| ())).await };
    "signal other: itself", Ok: |w| async move { let id = w.id.clone(); w.command(signal(&id, |_| ())).await };
    "cancel other: bare", InvalidArgument: |w| async move { w.command(bare(Kind::RequestCancelExternalWorkflowExecution)).await };
    "cancel other: no id", InvalidArgument: |w| async move { w.command(cancel_external(|c| c.workflow_id.clear())).await };
    "cancel other: run id no UUID", InvalidArgument: |w| async move { w.command(cancel_external(|c| c.run_id = "no-uuid".into())).await };
    "cancel other: unknown workflow", Ok: |w| async move { w.command(cancel_external(|_| ())).await };
    "cancel other: id too long", InvalidArgument: |w| async move { w.command(cancel_external(|c| c.workflow_id = long())).await };
    "cancel other: itself", Ok: |w| async move { let id = w.id.clone(); w.command(cancel_external(|c| c.workflow_id = id)).await };
    "child: bare", Internal: |w| async move { w.command(bare(Kind::StartChildWorkflowExecution)).await };
    "child: no id", InvalidArgument: |w| async move { w.command(child(&w, |c| c.workflow_id.clear())).await };
    "child: no type", InvalidArgument: |w| async move { w.command(child(&w, |c| c.workflow_type = None)).await };
    "child: negative time-out", InvalidArgument: |w| async move { w.command(child(&w, |c| c.workflow_run_timeout = seconds(-1))).await };
    "child: id too long", InvalidArgument: |w| async move { w.command(child(&w, |c| c.workflow_id = long())).await };
    "child: type too long", InvalidArgument: |w| async move {
        w.command(child(&w, |c| c.workflow_type = Some(WorkflowType { name: long() }))).await
    };
    "child: queue too long", InvalidArgument: |w| async move { w.command(child(&w, |c| c.task_queue = Some(queue(&long())))).await };
    "child: unknown parent close policy", Ok: |w| async move { w.command(child(&w, |c| c.parent_close_policy = 99)).await };
    "child: unknown reuse policy", Ok: |w| async move { w.command(child(&w, |c| c.workflow_id_reuse_policy = 99)).await };
    "child: retry policy with a coefficient below one", InvalidArgument: |w| async move {
        w.command(child(&w, |c| c.retry_policy = Some(RetryPolicy { backoff_coefficient: 0.5, ..Default::default() }))).await
    };
    "child: unknown search attribute", InvalidArgument: |w| async move {
        w.command(child(&w, |c| c.search_attributes = Some(SearchAttributes {
            indexed_fields: [("NoSuchAttribute".to_owned(), Payload::default())].into(),
        }))).await
    };
    "child: with the id of its parent", Ok: |w| async move { let id = w.id.clone(); w.command(child(&w, |c| c.workflow_id = id)).await };
    "child: unknown namespace", NotFound: |w| async move { w.command(child(&w, |c| c.namespace = "nowhere".into())).await };
    "child: whole", Ok: |w| async move { w.command(child(&w, |_| ())).await };
    "message: bare", InvalidArgument: |w| async move { w.command(bare(Kind::ProtocolMessage)).await };
    "message: unknown", InvalidArgument: |w| async move {
        w.command(vec![command(Kind::ProtocolMessage, A::ProtocolMessageCommandAttributes(ProtocolMessage { message_id: "m".into() }))]).await
    };
    "nexus: bare", InvalidArgument: |w| async move { w.command(bare(Kind::ScheduleNexusOperation)).await };
    "nexus: unknown endpoint", InvalidArgument: |w| async move { w.command(nexus()).await };
    "cancel nexus: unknown", InvalidArgument: |w| async move {
        w.command(vec![command(
            Kind::RequestCancelNexusOperation,
            A::RequestCancelNexusOperationCommandAttributes(CancelNexus { scheduled_event_id: 99 }),
        )]).await
    };
};
