//! Runs that speak to each other, within a shard and across shards.
#![expect(deprecated, reason = "`control` is what older SDKs match answers by")]

use durably_proto::temporal::api::{
    command::v1::SignalExternalWorkflowExecutionCommandAttributes,
    history::v1::history_event::Attributes as A,
};

use super::*;
use crate::shard::placement::shard_of;

fn signal_other(id: &str) -> Command {
    let attributes = SignalExternalWorkflowExecutionCommandAttributes {
        execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
        signal_name: "hello".into(),
        input: payloads("from a friend"),
        control: "mark".into(),
        ..Default::default()
    };
    Command {
        command_type: CommandType::SignalExternalWorkflowExecution as i32,
        attributes: Some(C::SignalExternalWorkflowExecutionCommandAttributes(attributes)),
        ..Default::default()
    }
}

/// Starts the workflow on a queue of its own, so that its tasks are not taken for another's.
async fn start_on(on: &Executions, id: &str) {
    let request = StartWorkflowExecutionRequest { task_queue: queue(id), ..start_request(id) };
    on.start_workflow(&namespace(), request, false).await.unwrap();
}

async fn exchange(shards: u32, sender: &str, receiver: &str) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let on = Executions::over(store.clone(), ClockKind::System, &tokio::runtime::Handle::current(), shards)
        .unwrap();
    start_on(&on, receiver).await;
    let task = poll(&on, receiver).await;
    respond(&on, &task, Vec::new()).await.unwrap();
    start_on(&on, sender).await;
    let task = poll(&on, sender).await;
    respond(&on, &task, vec![signal_other(receiver), signal_other("nobody")]).await.unwrap();

    // The receiver is woken by the signal, the sender by both answers.
    let heard = poll(&on, receiver).await;
    respond(&on, &heard, vec![complete()]).await.unwrap();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let task = poll(&on, sender).await;
        for event in task.history.as_ref().unwrap().events.iter().skip(answers.len()) {
            match event.attributes.as_ref().unwrap() {
                A::ExternalWorkflowExecutionSignaledEventAttributes(a) => {
                    answers.push((a.workflow_execution.clone().unwrap().workflow_id, a.control.clone()));
                }
                A::SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
                    answers.push((a.workflow_execution.clone().unwrap().workflow_id, a.control.clone()));
                }
                _ => {}
            }
        }
        let enough = answers.len() >= 2;
        respond(
            &on,
            &task,
            if enough {
                vec![complete()]
            } else {
                answers.clear();
                Vec::new()
            },
        )
        .await
        .unwrap();
    }
    answers.sort();
    assert_eq!(answers, [("nobody".to_owned(), "mark".to_owned()), (receiver.to_owned(), "mark".to_owned())]);

    let signals: Vec<_> = history(&on, receiver)
        .await
        .into_iter()
        .filter_map(|event| match event.attributes {
            Some(A::WorkflowExecutionSignaledEventAttributes(a)) => Some(a),
            _ => None,
        })
        .collect();
    assert_eq!(signals.len(), 1);
    assert_eq!(signals[0].input, payloads("from a friend"));
    assert_eq!(signals[0].external_workflow_execution.as_ref().unwrap().workflow_id, sender);
    // Both sides are settled: nothing of the exchange is kept.
    on.shutdown().await;
    for id in [sender, receiver] {
        let seq = store.find("ns", id, None).unwrap().unwrap();
        assert_eq!(pending_rows(&store.run(seq).unwrap().unwrap()), []);
    }
}

#[tokio::test]
async fn a_signal_to_a_run_of_the_same_shard_arrives_once() {
    exchange(1, "sender", "receiver").await;
}

#[tokio::test]
async fn a_signal_to_a_run_of_another_shard_arrives_once() {
    let sender = "sender";
    let elsewhere =
        (0..100).map(|n| format!("receiver-{n}")).find(|id| shard_of(id, 4) != shard_of(sender, 4));
    exchange(4, sender, &elsewhere.unwrap()).await;
}

fn description_of(id: &str) -> DescribeWorkflowExecutionRequest {
    let execution = Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() });
    DescribeWorkflowExecutionRequest { execution, ..Default::default() }
}

/// A child's whole life. Afterwards neither side keeps anything of it.
async fn family(shards: u32, parent: &str, child: &str) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let on = Executions::over(store.clone(), ClockKind::System, &tokio::runtime::Handle::current(), shards)
        .unwrap();
    start_on(&on, parent).await;
    let task = poll(&on, parent).await;
    respond(&on, &task, vec![start_child(child)]).await.unwrap();
    // Its start.
    let task = poll(&on, parent).await;
    respond(&on, &task, Vec::new()).await.unwrap();

    let described = on.describe(&namespace(), description_of(child)).await.unwrap();
    let info = described.workflow_execution_info.unwrap();
    let above = info.parent_execution.unwrap();
    assert_eq!((above.workflow_id.as_str(), info.root_execution), (parent, Some(above.clone())));
    let described = on.describe(&namespace(), description_of(parent)).await.unwrap();
    let pending: Vec<_> =
        described.pending_children.iter().map(|child| (&*child.workflow_id, &*child.run_id)).collect();
    assert_eq!(pending, [(child, info.execution.unwrap().run_id.as_str())]);

    let task = poll(&on, "tq").await;
    respond(&on, &task, vec![complete()]).await.unwrap();
    // Its end.
    let task = poll(&on, parent).await;
    respond(&on, &task, vec![complete()]).await.unwrap();
    let ends = history(&on, parent).await.into_iter().filter_map(|event| match event.attributes {
        Some(A::ChildWorkflowExecutionCompletedEventAttributes(a)) => a.result,
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [payloads("done").unwrap()]);
    on.shutdown().await;
    for id in [parent, child] {
        let seq = store.find("ns", id, None).unwrap().unwrap();
        assert_eq!(pending_rows(&store.run(seq).unwrap().unwrap()), []);
    }
}

#[tokio::test]
async fn a_child_of_the_same_shard_lives_and_leaves_nothing() {
    family(1, "parent", "child").await;
}

#[tokio::test]
async fn a_child_of_another_shard_lives_and_leaves_nothing() {
    let elsewhere =
        (0..100).map(|n| format!("child-{n}")).find(|id| shard_of(id, 4) != shard_of("parent", 4));
    family(4, "parent", &elsewhere.unwrap()).await;
}

#[test]
fn the_shard_of_a_workflow_id_never_changes() {
    let shards: Vec<u32> =
        ["", "a", "order-1", "order-2", "naïve"].iter().map(|id| shard_of(id, 16)).collect();
    assert_eq!(shards, [5, 12, 13, 4, 11]);
}
