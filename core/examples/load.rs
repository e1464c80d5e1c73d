//! Runs workflows of one activity each and prints what they cost this process: `load [TARGET] [COUNT] [CONCURRENCY]`.
//!
//! With an embedded target the figures include the server. The SDK side is as thin as can be: it answers inside the
//! sink, so that what is measured is the core.
#![allow(clippy::print_stdout, reason = "its purpose")]

use std::{
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use durably_core::{Client, Worker};
use durably_proto::{
    durably::core::v1::{
        activity_completion, call_result, worker_event::Event, worker_request::Request,
        workflow_command::Command, workflow_completion, workflow_job::Job, *,
    },
    temporal::api::{
        common::v1::{Payload, Payloads, WorkflowType},
        taskqueue::v1::TaskQueue,
        workflowservice::v1::StartWorkflowExecutionRequest,
    },
};
use futures::{StreamExt as _, stream};
use prost::Message as _;

const QUEUE: &str = "load";

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = arguments.first().map_or("embedded:", String::as_str).to_owned();
    let count: usize = arguments.get(1).map_or(Ok(2000), |n| n.parse())?;
    let concurrency: usize = arguments.get(2).map_or(Ok(50), |n| n.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(target, count, concurrency))
}

async fn run(target: String, count: usize, concurrency: usize) -> Result<(), Failed> {
    let options = ConnectOptions { target, client_name: "load".into(), ..Default::default() };
    let client = Client::connect(options).await.map_err(|error| error.message)?;
    let (ended, mut end) = tokio::sync::mpsc::unbounded_channel();
    let worker = start_worker(&client, ended)?;
    let queue = format!("{QUEUE}-{}", std::process::id());
    for (label, count) in [("warm-up", count / 10), ("measured", count)] {
        let (cpu, start) = (cpu_time()?, Instant::now());
        let mut latencies: Vec<Duration> = stream::iter(0..count)
            .map(|n| execute(client.clone(), format!("{queue}-{label}-{n}")))
            .buffer_unordered(concurrency)
            .collect()
            .await;
        let (elapsed, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
        latencies.sort_unstable();
        println!(
            "{label}: {count} workflows, {:.0} per second, p50 {:.2?}, p99 {:.2?}, CPU {:.3} ms per workflow",
            count as f64 / elapsed.as_secs_f64(),
            latencies[count / 2],
            latencies[count * 99 / 100],
            cpu.as_secs_f64() * 1000.0 / count as f64
        );
    }
    worker.request(WorkerRequest { request: Some(Request::Shutdown(InitiateShutdown {})) });
    end.recv().await;
    client.close().await;
    Ok(())
}

fn start_worker(
    client: &Client,
    ended: tokio::sync::mpsc::UnboundedSender<()>,
) -> Result<Arc<Worker>, Failed> {
    let slot: Arc<OnceLock<Weak<Worker>>> = Arc::default();
    let found = Arc::clone(&slot);
    let sink = Arc::new(move |event: WorkerEvent| {
        let Some(request) = answer(event, &ended) else { return };
        // Events come after the first start, which is after the slot is filled.
        if let Some(worker) = found.get().and_then(Weak::upgrade) {
            worker.request(WorkerRequest { request: Some(request) });
        }
    });
    let options =
        WorkerOptions { task_queue: QUEUE.into(), workflows: true, activities: true, ..Default::default() };
    let worker = Arc::new(Worker::start(client, options, sink).map_err(|error| error.message)?);
    slot.get_or_init(|| Arc::downgrade(&worker));
    Ok(worker)
}

fn answer(event: WorkerEvent, ended: &tokio::sync::mpsc::UnboundedSender<()>) -> Option<Request> {
    match event.event? {
        Event::Workflow(activation) => {
            let commands = activation.jobs.into_iter().filter_map(|job| command(job.job?)).collect();
            let success = ActivationSuccess { commands, ..Default::default() };
            let status = Some(workflow_completion::Status::Success(success));
            Some(Request::Workflow(WorkflowCompletion { run_id: activation.run_id, status }))
        }
        Event::ActivityStart(start) => {
            let success = ActivitySuccess { result: start.input.into_iter().next() };
            let status = Some(activity_completion::Status::Completed(success));
            Some(Request::Activity(ActivityCompletion { task_token: start.task_token, status }))
        }
        Event::ShutDown(_) => {
            let _ = ended.send(());
            None
        }
        Event::ActivityCancel(_) | Event::Replay(_) | Event::ActivityAnswered(_) | Event::Connectivity(_) => {
            None
        }
    }
}

fn command(job: Job) -> Option<WorkflowCommand> {
    let command = match job {
        Job::Initialize(init) => Command::ScheduleActivity(ScheduleActivity {
            seq: 1,
            activity_type: "echo".into(),
            arguments: init.arguments,
            start_to_close_timeout: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            ..Default::default()
        }),
        Job::ResolveActivity(_) => Command::CompleteWorkflow(CompleteWorkflow { result: None }),
        _ => return None,
    };
    Some(WorkflowCommand { command: Some(command), ..Default::default() })
}

async fn execute(client: Client, workflow_id: String) -> Duration {
    let start = Instant::now();
    let payload = Payload { data: vec![b'x'; 100].into(), ..Default::default() };
    let request = StartWorkflowExecutionRequest {
        workflow_id: workflow_id.clone(),
        workflow_type: Some(WorkflowType { name: "load".into() }),
        task_queue: Some(TaskQueue { name: QUEUE.into(), ..Default::default() }),
        input: Some(Payloads { payloads: vec![payload] }),
        ..Default::default()
    };
    let call = Call {
        method: "StartWorkflowExecution".into(),
        request: request.encode_to_vec().into(),
        retry: true,
        ..Default::default()
    };
    let run_id = match client.call(call).await.result {
        Some(call_result::Result::Response(bytes)) => {
            use durably_proto::temporal::api::workflowservice::v1::StartWorkflowExecutionResponse;
            StartWorkflowExecutionResponse::decode(bytes).map(|response| response.run_id).unwrap_or_default()
        }
        other => panic!("{workflow_id} does not start: {other:?}"),
    };
    let request = AwaitWorkflow { workflow_id, run_id, ..Default::default() };
    let result = client.await_workflow(request).await;
    assert!(
        matches!(&result, Ok(WorkflowResult { outcome: Some(workflow_result::Outcome::Completed(_)), .. })),
        "{result:?}"
    );
    start.elapsed()
}

/// User and system time of this process.
fn cpu_time() -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field, the program's name, may hold spaces; it ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
