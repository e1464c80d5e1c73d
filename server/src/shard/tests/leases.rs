//! Two processes over one store: a shard moves from one to the other and back, nothing that was refused is in a history,
//! and each serves the other's runs by forwarding.

use std::sync::mpsc;

use durably_proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tokio::sync::oneshot;
use tonic::{Code, Request, transport::Channel};

use super::{simulation::Flaky, *};
use crate::{
    Server, ServerOptions,
    engine::Time,
    error::ErrorKind,
    shard::{clock::Clock, lease::Tenure},
    store::{Holder, Lease},
};

const TERM: i64 = 30 * SECOND;

fn holder(id: &str, address: &str) -> Holder {
    Holder { id: id.into(), address: address.into() }
}

/// Opens the store as the process `id`, whose address is `http://ID`.
fn join(store: &Arc<MemoryStore>, clock: &Arc<Clock>, id: &str) -> (Executions, Arc<Flaky>) {
    let flaky = Arc::new(Flaky { store: store.clone(), ..Flaky::default() });
    let tenure = Tenure::Shared { holder: holder(id, &format!("http://{id}")), term: TERM };
    let runtime = tokio::runtime::Handle::current();
    (Executions::holding(flaky.clone(), clock.clone(), &runtime, 1, tenure, false).unwrap(), flaky)
}

fn signals(events: &[HistoryEvent]) -> Vec<String> {
    use durably_proto::temporal::api::history::v1::history_event::Attributes;
    let name = |event: &HistoryEvent| match &event.attributes {
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(signaled)) => {
            Some(signaled.signal_name.clone())
        }
        _ => None,
    };
    events.iter().filter_map(name).collect()
}

/// Whose the run is, as the refusal of a signal says.
async fn sent_to(on: &Executions, id: &str) -> String {
    match signal(on, id, "nobody hears this").await.unwrap_err().kind() {
        ErrorKind::Elsewhere { address } => address.clone(),
        other => panic!("{other:?}"),
    }
}

fn pass(clock: &Clock, span: i64) {
    clock.skip_to(clock.now().after(span));
}

#[tokio::test]
async fn a_shard_moves_to_another_process_and_back() {
    let (store, clock) = (Arc::default(), Arc::new(Clock::by_hand(Time(1_000 * SECOND))));
    let (a, stalled) = join(&store, &clock, "a");
    let (b, _) = join(&store, &clock, "b");
    a.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    let task = poll(&a, "tq").await;
    respond(&a, &task, vec![schedule_activity("1")]).await.unwrap();
    assert_eq!(sent_to(&b, "w").await, "http://a");

    // A stops in the middle of a commit, for longer than its lease lasts.
    let ((reached, is_there), (open, gate)) = (oneshot::channel(), mpsc::channel());
    *stalled.gate.lock() = Some((reached, gate));
    let late = tokio::spawn({
        let a = a.clone();
        async move { signal(&a, "w", "late").await }
    });
    is_there.await.unwrap();
    pass(&clock, TERM - 1);
    assert_eq!(sent_to(&b, "w").await, "http://a");
    pass(&clock, 1);
    signal(&b, "w", "taken over").await.unwrap();

    // What A was about to store is refused, and whoever waits for it is sent to B.
    open.send(()).unwrap();
    let refused = late.await.unwrap().unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Elsewhere { address: "http://b".into() });
    assert_eq!(refused.kind().code(), Code::Unavailable);
    assert_eq!(sent_to(&a, "w").await, "http://b");
    assert_eq!(*a.failed().borrow(), None, "to have lost a lease is no failure");

    // The run goes on in B, with the activity that A had scheduled.
    let activity = poll_activity(&b).await;
    complete_activity(&b, &activity).await.unwrap();
    let task = poll(&b, "tq").await;
    assert_eq!(signals(&task.history.as_ref().unwrap().events), ["taken over"]);
    respond(&b, &task, vec![start_timer("t", 3_600 * SECOND)]).await.unwrap();
    b.start_workflow(&namespace(), start_request("new in b"), false).await.unwrap();

    // B gives the shard up in order. A need not wait for the lease's end, but to be told that B is gone.
    b.shutdown().await;
    assert_eq!(sent_to(&a, "w").await, "http://b");
    a.doubt("http://b");
    signal(&a, "w", "back").await.unwrap();
    a.start_workflow(&namespace(), start_request("new in a"), false).await.unwrap();
    assert_eq!(signals(&history(&a, "w").await), ["taken over", "back"]);
    for _ in 0..3 {
        let task = poll(&a, "tq").await;
        respond(&a, &task, vec![complete()]).await.unwrap();
    }
    let last = kinds(&history(&a, "w").await).pop();
    assert_eq!(last, Some(EventType::WorkflowExecutionCompleted));
    a.shutdown().await;
    assert_eq!(store.lease(0).unwrap().unwrap().expires, Lease::RELEASED);
}

#[tokio::test]
async fn a_lease_is_renewed_before_it_ends() {
    let (store, clock) = (Arc::default(), Arc::new(Clock::by_hand(Time(1_000 * SECOND))));
    let (a, _) = join(&store, &clock, "a");
    let (b, _) = join(&store, &clock, "b");
    a.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    for _ in 0..5 {
        pass(&clock, TERM / 2);
        signal(&a, "w", "again").await.unwrap();
        let lease = store.lease(0).unwrap().unwrap();
        assert_eq!((lease.token, lease.expires), (1, clock.now().0 + TERM));
        assert_eq!(sent_to(&b, "w").await, "http://a");
    }
}

#[tokio::test]
async fn a_process_that_has_the_store_alone_renews_nothing() {
    let store: Arc<MemoryStore> = Arc::default();
    let runtime = tokio::runtime::Handle::current();
    let clock = Arc::new(Clock::by_hand(Time(1_000 * SECOND)));
    let alone =
        || Executions::holding(store.clone(), clock.clone(), &runtime, 1, Tenure::sole(), false).unwrap();
    let first = alone();
    first.start_workflow(&namespace(), start_request("w"), false).await.unwrap();
    pass(&clock, 1_000 * TERM);
    signal(&first, "w", "later").await.unwrap();
    assert_eq!(store.lease(0).unwrap().unwrap().expires, Lease::FOR_GOOD);
    // Whoever opens it next knows that the first one is gone, and waits for nothing.
    let second = alone();
    signal(&second, "w", "next").await.unwrap();
    let refused = signal(&first, "w", "late").await.unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Unavailable);
    assert_eq!(signals(&history(&second, "w").await), ["later", "next"]);
}

/// A server on a port of its own.
struct Member {
    server: Server,
    client: WorkflowServiceClient<Channel>,
}

async fn member(store: &Arc<MemoryStore>, id: &str) -> Member {
    let listener = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let executions =
        Executions::join(store.clone(), holder(id, &address), Duration::from_mins(10), 4).await.unwrap();
    let server = Server::over(executions, ServerOptions::default(), None).await.unwrap();
    tokio::spawn(server.serve(listener));
    let client = WorkflowServiceClient::connect(address).await.unwrap();
    Member { server, client }
}

fn to_default(id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest { namespace: "default".into(), ..start_request(id) }
}

fn describe_request(id: &str) -> DescribeWorkflowExecutionRequest {
    DescribeWorkflowExecutionRequest {
        namespace: "default".into(),
        execution: Some(WorkflowExecution { workflow_id: id.into(), run_id: String::new() }),
    }
}

#[tokio::test]
async fn two_servers_over_one_store_answer_for_each_others_runs() {
    let store: Arc<MemoryStore> = Arc::default();
    let mut a = member(&store, "a").await;
    let mut b = member(&store, "b").await;
    // B has no shard, and starts, waits and completes as if it had.
    let started = b.client.start_workflow_execution(to_default("w")).await.unwrap().into_inner();
    assert!(started.started);
    let waiting = tokio::spawn({
        let mut client = b.client.clone();
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: "default".into(),
            execution: Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }),
            wait_new_event: true,
            history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
            ..Default::default()
        };
        async move { client.get_workflow_execution_history(request).await.unwrap().into_inner() }
    });
    let request = PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: queue("tq"),
        ..Default::default()
    };
    let task = a.client.poll_workflow_task_queue(request).await.unwrap().into_inner();
    let request = RespondWorkflowTaskCompletedRequest {
        namespace: "default".into(),
        task_token: task.task_token,
        commands: vec![complete()],
        ..Default::default()
    };
    b.client.respond_workflow_task_completed(request).await.unwrap();
    let closed = waiting.await.unwrap().history.unwrap().events;
    assert_eq!(kinds(&closed), [EventType::WorkflowExecutionCompleted]);
    // Errors come back as they are, with their details.
    let refused = b.client.describe_workflow_execution(describe_request("none")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(!refused.details().is_empty());
    // What was forwarded once is not forwarded again.
    let mut forwarded = Request::new(describe_request("w"));
    forwarded.metadata_mut().insert("durably-forwarded", "1".parse().unwrap());
    let refused = b.client.describe_workflow_execution(forwarded).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    // A ends, and what it had is B's as soon as somebody asks for it again.
    a.server.shutdown().await;
    while let Err(refused) = b.client.start_workflow_execution(to_default("after")).await {
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    }
    // Shards move one by one.
    while let Err(refused) = b.client.describe_workflow_execution(describe_request("w")).await {
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    }
    b.server.shutdown().await;
}
