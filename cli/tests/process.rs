//! The real binary as a process: start-up, signals, crashes, flags.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use durably_proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    enums::v1::WorkflowExecutionStatus,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use durably_server::{Handle, ServerOptions, State, open_or_join};
use tonic::transport::Channel;

const READY: &str = "durably is listening on ";

/// A running `durably server start-dev`; killed when dropped.
struct Process {
    child: Child,
    address: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durably"));
    command.args(["server", "start-dev"]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(&[&["--port", "0"], arguments].concat()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(rest) = line.strip_prefix(READY) else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("instead of being ready it said {line:?} {errors}");
        };
        let address = rest.split(',').next().unwrap().trim().to_owned();
        Self { child, address }
    }

    fn on_file(path: &Path) -> Self {
        Self::start(&["--db-filename", path.to_str().unwrap()])
    }

    async fn client(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end and returns the status and what was printed on stderr.
    fn wait(mut self) -> (ExitStatus, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap(), errors)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(workflow_id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "Order".into() }),
        task_queue: Some(TaskQueue { name: "queue".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn described(workflow_id: &str) -> DescribeWorkflowExecutionRequest {
    DescribeWorkflowExecutionRequest {
        namespace: "default".into(),
        execution: Some(WorkflowExecution { workflow_id: workflow_id.into(), run_id: String::new() }),
    }
}

fn poll() -> tonic::Request<PollWorkflowTaskQueueRequest> {
    let mut request = tonic::Request::new(PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: start("").task_queue,
        ..Default::default()
    });
    request.set_timeout(Duration::from_secs(30));
    request
}

#[tokio::test]
async fn sigkill_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let process = Process::on_file(&path);
    let mut client = process.client().await;
    for n in 0..20 {
        client.start_workflow_execution(start(&format!("order-{n}"))).await.unwrap();
    }
    process.signal("-KILL");
    assert!(!process.wait().0.success());

    let process = Process::on_file(&path);
    let mut client = process.client().await;
    for n in 0..20 {
        let info = client.describe_workflow_execution(described(&format!("order-{n}"))).await.unwrap();
        let info = info.into_inner().workflow_execution_info.unwrap();
        assert_eq!(info.status(), WorkflowExecutionStatus::Running, "order-{n}");
    }
    let task = client.poll_workflow_task_queue(poll()).await.unwrap().into_inner();
    assert!(!task.task_token.is_empty(), "the tasks are still to be had");
}

#[tokio::test]
async fn sigterm_answers_polls_and_leaves_quietly() {
    for name in ["-TERM", "-INT"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let process = Process::on_file(&path);
        let mut client = process.client().await;
        let mut polling = client.clone();
        let poll = tokio::spawn(async move { polling.poll_workflow_task_queue(poll()).await });
        let queue = DescribeTaskQueueRequest {
            namespace: "default".into(),
            task_queue: start("").task_queue,
            ..Default::default()
        };
        while client.describe_task_queue(queue.clone()).await.unwrap().into_inner().pollers.is_empty() {
            tokio::task::yield_now().await;
        }
        let asked = Instant::now();
        process.signal(name);
        let answer = poll.await.unwrap().unwrap().into_inner();
        assert!(answer.task_token.is_empty());
        drop(client);
        let (status, errors) = tokio::task::spawn_blocking(|| process.wait()).await.unwrap();
        assert!(status.success(), "{name}: {status} {errors}");
        assert_eq!(errors, "", "{name}: quiet at the default level");
        assert!(asked.elapsed() < Duration::from_secs(10), "{name}: took {:?}", asked.elapsed());
        assert!(!directory.path().join("state.db.sock").exists());
    }
}

#[tokio::test]
async fn the_flags_of_temporals_dev_server_are_accepted() {
    let process = Process::start(&[
        "--ip",
        "127.0.0.1",
        "--headless",
        "--namespace",
        "orders",
        "--namespace",
        "refunds",
        "--log-level",
        "error",
        "--log-format",
        "json",
        "--dynamic-config-value",
        "frontend.enableServerVersionCheck=false",
        "--dynamic-config-value",
        "system.enableEagerWorkflowStart=true",
        "--http-port",
        "0",
        "--ui-port",
        "0",
        "--metrics-port",
        "0",
    ]);
    let mut client = process.client().await;
    let listed = client.list_namespaces(ListNamespacesRequest::default()).await.unwrap().into_inner();
    let names: Vec<_> = listed.namespaces.into_iter().map(|n| n.namespace_info.unwrap().name).collect();
    assert_eq!(names, ["default", "orders", "refunds"]);
}

#[tokio::test]
async fn who_joined_a_process_outlives_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let options = ServerOptions { state: State::File(path.clone()), ..Default::default() };
    let process = Process::on_file(&path);
    let Handle::Joined(joined) = open_or_join(options.clone()).await.unwrap() else { panic!("two owners") };
    let mut joined = WorkflowServiceClient::new(joined);
    joined.start_workflow_execution(start("order-1")).await.unwrap();
    process.signal("-KILL");
    process.wait();
    let gone = joined.describe_workflow_execution(described("order-1")).await.unwrap_err();
    assert_eq!(gone.code(), tonic::Code::Unavailable, "{gone}");
    // What the dead process left beside the file is in nobody's way.
    let Handle::Owner(server) = open_or_join(options).await.unwrap() else { panic!("the owner is dead") };
    let mut inside = WorkflowServiceClient::new(server.service());
    inside.describe_workflow_execution(described("order-1")).await.unwrap();
    server.shutdown().await;
}

fn refused(arguments: &[&str], words: &[&str]) {
    let output = command(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} was accepted");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    for word in words {
        assert!(errors.contains(word), "{arguments:?}: {errors:?} lacks {word:?}");
    }
}

fn backup(from: &Path, to: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durably"));
    let output = command.args(["server", "backup", "-f"]).arg(from).arg(to).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn a_file_in_use_is_copied_by_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("state.db"), directory.path().join("copy.db"));
    let process = Process::on_file(&path);
    process.client().await.start_workflow_execution(start("order-1")).await.unwrap();
    let (done, said) = backup(&path, &copy);
    assert!(done && said.contains("is copied to"), "{said}");
    // The copy changed nothing about whose file it is.
    process.client().await.start_workflow_execution(start("order-2")).await.unwrap();
    process.signal("-KILL");
    process.wait();
    // As a crash left it, its log still unread.
    let later = directory.path().join("later.db");
    assert!(backup(&path, &later).0);
    for (file, second) in [(&copy, false), (&later, true), (&path, true)] {
        let process = Process::on_file(file);
        let mut client = process.client().await;
        client.describe_workflow_execution(described("order-1")).await.unwrap();
        let found = client.describe_workflow_execution(described("order-2")).await;
        assert_eq!(found.is_ok(), second, "{}", file.display());
    }
    let (done, said) = backup(&path, &copy);
    assert!(!done && said.contains("is there already"), "{said}");
    let (done, said) = backup(&directory.path().join("none.db"), &directory.path().join("x.db"));
    assert!(!done && said.contains("there is no such file"), "{said}");
}

#[tokio::test]
async fn what_does_not_work_is_said_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let process = Process::on_file(&path);
    let port = process.address.rsplit(':').next().unwrap();
    refused(&["--port", port], &[port, "in use", "--port"]);
    let file = path.to_str().unwrap();
    refused(
        &["--port", "0", "--db-filename", file],
        &["in use by another process", &process.child.id().to_string()],
    );
    refused(&["--port", "0", "--db-filename", "/no/such/directory/state.db"], &["mkdir -p"]);
    refused(&["--port", "many"], &["many", "--port"]);
    let notes = directory.path().join("notes.txt");
    std::fs::write(&notes, "a shopping list, long enough to be read as a header").unwrap();
    refused(&["--port", "0", "-f", notes.to_str().unwrap()], &["notes.txt", "Nothing was changed"]);
}
