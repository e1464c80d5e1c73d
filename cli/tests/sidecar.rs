//! `durably sidecar` as a process: applications that work, die and share, over HTTP and gRPC.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "sidecar/http.rs"]
mod http;
#[path = "sidecar/process.rs"]
mod process;

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use durably_proto::{
    durably::{
        core::v1::{
            ActivationSuccess, ActivityCompletion, ActivitySuccess, Call, ReplayHistory, WorkerRequest,
            WorkflowCompletion, activity_completion::Status, call_result::Result as Answer,
            worker_event::Event, worker_request::Request, workflow_completion,
        },
        sidecar::v1::{Join, WorkRequest, sidecar_client::SidecarClient, work_request::Request as Asked},
    },
    temporal::api::{
        common::v1::WorkflowExecution,
        workflowservice::v1::{GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse},
    },
};
use prost::Message as _;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

use process::{IMPATIENT, Process, QUEUE, READY, TOKEN, command, configure, work};

#[tokio::test]
async fn an_order_runs_over_plain_http() {
    let sidecar = Process::start(QUEUE);
    let run = sidecar.begin("order-1", "flow", "1s").await;
    let task = sidecar.poll("hand").await;
    let token = task["activityStart"]["taskToken"].clone();
    assert_eq!(task["activityStart"]["input"], json!([{"id": 7}]));
    let beat = sidecar
        .post(&work("hand", "activity-heartbeats"), json!({"taskToken": token, "details": ["half"]}))
        .await;
    assert_eq!((beat.status, beat.body), (200, json!({})));
    let result = json!({"taskToken": token, "completed": {"result": {"receipt": "r-7", "note": null}}});
    let theft = sidecar.post(&work("thief", "activity-completions"), result.clone()).await;
    assert_eq!((theft.status, theft.code()), (409, "FAILED_PRECONDITION"));
    assert_eq!(sidecar.post(&work("hand", "activity-completions"), result.clone()).await.status, 204);
    let again = sidecar.post(&work("hand", "activity-completions"), result).await;
    assert_eq!((again.status, again.code()), (404, "NOT_FOUND"));

    let event = sidecar.poll("flow").await;
    let resolved = &event["workflow"]["jobs"][0]["resolveActivity"]["result"]["completed"]["result"];
    assert_eq!(resolved, &json!({"receipt": "r-7", "note": null}));
    sidecar.complete("flow", &run, json!([{"startTimer": {"seq": 1, "startToFireTimeout": "3600s"}}])).await;

    assert_eq!(
        sidecar.post("/v1/workflows/order-1/signals/approve", json!({"arguments": ["Ann"]})).await.status,
        204
    );
    let event = sidecar.poll("flow").await;
    assert_eq!(event["workflow"]["jobs"][0]["signal"]["arguments"], json!(["Ann"]));
    sidecar.complete("flow", &run, json!([])).await;

    let query = tokio::spawn({
        let target = sidecar.unix();
        async move { target.ask("POST", "/v1/workflows/order-1/queries/status", "").await }
    });
    let event = sidecar.poll("flow").await;
    let id = event["workflow"]["jobs"][0]["query"]["id"].clone();
    sidecar.complete("flow", &run, json!([{"queryAnswer": {"id": id, "succeeded": "approved"}}])).await;
    assert_eq!(query.await.unwrap().body, json!({"result": "approved"}));

    assert_eq!(sidecar.post("/v1/workflows/order-1/cancel", json!({"reason": "enough"})).await.status, 204);
    let event = sidecar.poll("flow").await;
    assert_eq!(event["workflow"]["jobs"][0]["cancel"]["reason"], "enough");
    sidecar.complete("flow", &run, json!([{"cancelWorkflow": {"details": ["half done"]}}])).await;
    let result = sidecar.result("order-1").await;
    assert_eq!((&result["status"], &result["details"]), (&json!("CANCELED"), &json!(["half done"])));

    let list = sidecar.get("/v1/workflows?query=WorkflowId%20%3D%20%27order-1%27").await.body;
    assert_eq!(list["executions"].as_array().unwrap().len(), 1);
    let history = sidecar.get("/v1/workflows/order-1/history").await.body;
    assert_eq!(history["events"][0]["eventType"], "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED");
    assert!(sidecar.get("/v1/openapi.json").await.body["paths"]["/v1/workflows"]["post"].is_object());
}

#[tokio::test]
async fn an_activity_may_end_elsewhere() {
    const COMPLETIONS: &str = "/v1/activity-completions";
    let sidecar = Process::start(QUEUE);
    sidecar.begin("order-1", "flow", "1s").await;
    let task = sidecar.poll("hand").await;
    let token = task["activityStart"]["taskToken"].clone();
    let leaves = json!({"taskToken": token, "willCompleteAsync": {}});
    assert_eq!(sidecar.post(&work("hand", "activity-completions"), leaves).await.status, 204);
    let beat = json!({"workflowId": "order-1", "activityId": "1", "details": ["half"]});
    let beat = sidecar.post("/v1/activity-heartbeats", beat).await;
    assert_eq!((beat.status, beat.body), (200, json!({})));
    let described = sidecar.get("/v1/workflows/order-1").await.body;
    assert_eq!(described["pendingActivities"][0]["heartbeatDetails"], json!(["half"]));

    for (wrong, words) in [
        (json!({"completed": {}}), "by its taskToken, or by"),
        (json!({"workflowId": "order-1", "completed": {}}), "workflowId and activityId"),
        (json!({"taskToken": token, "workflowId": "order-1", "completed": {}}), "by its taskToken, or by"),
        (json!({"taskToken": token}), "say how it ended"),
        (json!({"taskToken": token, "completed": {"resul": 1}}), "resul"),
    ] {
        let reply = sidecar.post(COMPLETIONS, wrong.clone()).await;
        assert_eq!((reply.status, reply.code()), (400, "INVALID_ARGUMENT"), "{wrong}");
        assert!(reply.body["error"]["message"].as_str().unwrap().contains(words), "{wrong}: {}", reply.body);
    }
    let completed = json!({"taskToken": token, "completed": {"result": {"receipt": "r-7"}}});
    assert_eq!(sidecar.post(COMPLETIONS, completed.clone()).await.status, 204);
    assert_eq!(sidecar.post(COMPLETIONS, completed).await.code(), "NOT_FOUND");
    let event = sidecar.poll("flow").await;
    let resolved = &event["workflow"]["jobs"][0]["resolveActivity"]["result"]["completed"]["result"];
    assert_eq!(resolved, &json!({"receipt": "r-7"}));
}

#[tokio::test]
async fn a_client_signals_with_start_counts_and_calls_what_it_likes() {
    let sidecar = Process::start(QUEUE);
    let greet = |name: &str| json!({"workflowId": "a", "workflowType": "Greets", "taskQueue": "q", "signalName": "greet", "signalArguments": [name]});
    let first = sidecar.post("/v1/signal-with-start", greet("Ann")).await.body;
    let second = sidecar.post("/v1/signal-with-start", greet("Bob")).await.body;
    assert!(first["runId"].is_string());
    assert_eq!(
        (&first["workflowId"], &first),
        (&json!("a"), &second),
        "the second one signals the first one's run"
    );
    let event = sidecar.poll("flow").await;
    let greeted: Vec<_> =
        event["workflow"]["jobs"].as_array().unwrap().iter().map(|job| &job["signal"]["arguments"]).collect();
    assert_eq!(greeted[1..], [&json!(["Ann"]), &json!(["Bob"])], "{event}");

    let start = json!({"workflowId": "a", "workflowType": "Greets", "taskQueue": "q"});
    let twice = sidecar.post("/v1/workflows", start).await;
    assert_eq!((twice.status, twice.code()), (409, "ALREADY_EXISTS"));
    let detail = &twice.body["error"]["details"][0];
    assert_eq!(detail["runId"], first["runId"]);
    assert_eq!(
        detail["@type"],
        "type.googleapis.com/temporal.api.errordetails.v1.WorkflowExecutionAlreadyStartedFailure"
    );

    let filter = "/v1/workflow-count?query=WorkflowType%20%3D%20%27Greets%27";
    assert_eq!(sidecar.get(filter).await.body["count"], "1");
    let call = json!({"execution": {"workflowId": "a"}, "maximumPageSize": 1});
    let page = sidecar.post("/v1/calls/GetWorkflowExecutionHistoryReverse", call).await.body;
    assert_eq!(page["history"]["events"].as_array().map(Vec::len), Some(1), "{page}");
    let unknown = sidecar.post("/v1/calls/NoSuchCall", json!({})).await;
    assert_eq!((unknown.status, unknown.code()), (404, "NOT_FOUND"));

    let end = json!({"reason": "enough", "details": ["first", 2]});
    assert_eq!(sidecar.post("/v1/workflows/a/terminate", end).await.status, 204);
    let result = sidecar.result("a").await;
    assert_eq!((&result["reason"], &result["details"]), (&json!("enough"), &json!(["first", 2])));
}

#[tokio::test]
async fn a_run_whose_application_has_gone_is_replayed_to_the_next() {
    let sidecar = Process::start(IMPATIENT);
    sidecar.begin("order-1", "first", "0.001s").await;
    let task = sidecar.poll("hand").await;
    let token = task["activityStart"]["taskToken"].clone();
    // `first` is never heard of again. `hand` is quiet too, but how long an activity may take, its time-outs say.
    let completed = json!({"taskToken": token, "completed": {"result": 1}});
    assert_eq!(sidecar.post(&work("hand", "activity-completions"), completed).await.status, 204);
    sidecar.finish_after_replay("second", "order-1", "by the second").await;
}

#[tokio::test]
async fn who_leaves_gives_back_what_he_has_at_once() {
    let sidecar = Process::start(QUEUE);
    let run = sidecar.begin("order-1", "first", "0.001s").await;
    let task = sidecar.poll("first").await;
    assert_eq!(task["activityStart"]["attempt"], 1);
    let left = sidecar.unix().ask("DELETE", "/v1/task-queues/q/applications/first", "").await;
    assert_eq!(left.status, 204);
    let late = json!({"runId": run, "success": {"commands": [{"completeWorkflow": {}}]}});
    assert_eq!(sidecar.post(&work("first", "workflow-completions"), late).await.code(), "NOT_FOUND");
    let task = sidecar.post(&work("hand", "poll?wait=20s&workflows=false"), json!({})).await.body;
    assert_eq!(task["activityStart"]["attempt"], 2, "{task}");
    let completed = json!({"taskToken": task["activityStart"]["taskToken"], "completed": {}});
    assert_eq!(sidecar.post(&work("hand", "activity-completions"), completed).await.status, 204);
    sidecar.finish_after_replay("second", "order-1", "by the second").await;
}

/// With a queue beside it where histories are replayed.
const TRIAL: &str =
    "[[worker]]\ntask_queue = \"q\"\n[[worker]]\ntask_queue = \"trial\"\nreplay_only = true\n";

#[tokio::test]
async fn new_code_is_tried_on_old_histories() {
    let sidecar = Process::start(TRIAL);
    sidecar.begin("order-1", "flow", "1s").await;
    let events = sidecar.get("/v1/workflows/order-1/history").await.body["events"].take();
    let history = json!({"workflowId": "order-1", "history": {"events": events}});
    let live = sidecar.post(&work("flow", "replays"), history.clone()).await;
    assert_eq!((live.status, live.code()), (400, "INVALID_ARGUMENT"));
    let schedule =
        json!([{"scheduleActivity": {"seq": 1, "activityType": "charge", "startToCloseTimeout": "60s"}}]);
    let sleep = json!([{"startTimer": {"seq": 1, "startToFireTimeout": "60s"}}]);
    for (commands, expected) in [(schedule, None), (sleep, Some("ActivityTaskScheduled(charge, id \"1\")"))] {
        let trial = |rest: &str| format!("/v1/task-queues/trial/applications/new-code/{rest}");
        let (target, path, body) = (sidecar.unix(), trial("replays"), history.to_string());
        let replay = tokio::spawn(async move { target.ask("POST", &path, &body).await });
        loop {
            let event = sidecar.post(&trial("poll?wait=20s"), json!({})).await.body;
            if event["workflow"]["jobs"][0].get("evict").is_some() {
                break;
            }
            let completion = json!({"runId": event["workflow"]["runId"], "success": {"commands": commands}});
            assert_eq!(sidecar.post(&trial("workflow-completions"), completion).await.status, 204, "{event}");
        }
        let result = replay.await.unwrap().body;
        assert_eq!(result["workflowId"], "order-1");
        let found = result["error"]["nondeterminism"]["expected"].as_str();
        assert_eq!(found, expected, "{result}");
    }
}

#[tokio::test]
async fn a_killed_sidecar_goes_on_where_it_was() {
    let sidecar = Process::start(QUEUE);
    sidecar.begin("order-1", "flow", "0.001s").await;
    let task = sidecar.poll("hand").await;
    let completed = json!({"taskToken": task["activityStart"]["taskToken"], "completed": {"result": 1}});
    assert_eq!(sidecar.post(&work("hand", "activity-completions"), completed).await.status, 204);
    // Before the run hears of it.
    let sidecar = sidecar.kill_and_restart();
    sidecar.finish_after_replay("flow-2", "order-1", "after all").await;
    let history = sidecar.get("/v1/workflows/order-1/history").await.body;
    let count = |name: &str| {
        history["events"].as_array().unwrap().iter().filter(|event| event["eventType"] == name).count()
    };
    assert_eq!(count("EVENT_TYPE_ACTIVITY_TASK_COMPLETED"), 1, "what was acknowledged is not done again");
}

#[tokio::test]
async fn applications_share_the_load_by_asking() {
    let sidecar = Process::start(QUEUE);
    for n in 0..4 {
        let start = json!({"workflowId": format!("order-{n}"), "workflowType": "Order", "taskQueue": "q"});
        assert_eq!(sidecar.post("/v1/workflows", start).await.status, 200);
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        a.push(sidecar.poll("a").await["workflow"]["runId"].as_str().unwrap().to_owned());
        b.push(sidecar.poll("b").await["workflow"]["runId"].as_str().unwrap().to_owned());
    }
    a.extend(b);
    a.sort();
    a.dedup();
    assert_eq!(a.len(), 4, "each run went to one of them");
}

#[tokio::test]
async fn a_stream_works_and_its_end_gives_everything_back() {
    let sidecar = Process::start(QUEUE);
    sidecar.begin("order-1", "flow", "0.001s").await;
    let mut client = sidecar.stream_client().await;
    let join = |activities| WorkRequest {
        request: Some(Asked::Join(Join { task_queue: "q".into(), activities, ..Default::default() })),
    };
    let (requests, stream) = mpsc::unbounded_channel();
    requests.send(join(1)).unwrap();
    let mut events = client.work(UnboundedReceiverStream::new(stream)).await.unwrap().into_inner();
    let first = events.message().await.unwrap().unwrap();
    let Some(Event::ActivityStart(first)) = first.event else { panic!("{first:?}") };
    // The application dies with the activity.
    drop((requests, events));
    let (requests, stream) = mpsc::unbounded_channel();
    requests.send(join(5)).unwrap();
    let mut events = client.work(UnboundedReceiverStream::new(stream)).await.unwrap().into_inner();
    let second = events.message().await.unwrap().unwrap();
    let Some(Event::ActivityStart(second)) = second.event else { panic!("{second:?}") };
    assert_eq!((first.attempt, second.attempt), (1, 2));
    let completion = ActivityCompletion {
        task_token: second.task_token.clone(),
        status: Some(Status::Completed(ActivitySuccess::default())),
    };
    let answer = WorkerRequest { request: Some(Request::Activity(completion)) };
    requests.send(WorkRequest { request: Some(Asked::Worker(answer)) }).unwrap();
    let token = match events.message().await.unwrap().unwrap().event {
        Some(Event::ActivityAnswered(answered)) if answered.error.is_none() => answered.task_token,
        other => panic!("{other:?}"),
    };
    assert_eq!(token, second.task_token, "the server has the answer");
    let event = sidecar.poll("flow").await;
    assert!(event["workflow"]["jobs"][0]["resolveActivity"].is_object(), "{event}");

    let call = Call { method: "GetSystemInfo".into(), ..Default::default() };
    let result = client.call(call).await.unwrap().into_inner().result;
    assert!(matches!(result, Some(Answer::Response(_))));
}

#[tokio::test]
async fn a_stream_replays_histories() {
    let sidecar = Process::start(TRIAL);
    sidecar.begin("order-1", "flow", "1s").await;
    let mut client = sidecar.stream_client().await;
    let call = GetWorkflowExecutionHistoryRequest {
        execution: Some(WorkflowExecution { workflow_id: "order-1".into(), ..Default::default() }),
        ..Default::default()
    };
    let method = "GetWorkflowExecutionHistory".to_owned();
    let call = Call { method, request: call.encode_to_vec().into(), ..Default::default() };
    let Some(Answer::Response(page)) = client.call(call).await.unwrap().into_inner().result else {
        panic!("no history")
    };
    let page = GetWorkflowExecutionHistoryResponse::decode(page).unwrap();

    let (requests, stream) = mpsc::unbounded_channel();
    let join = Join { task_queue: "trial".into(), workflows: true, ..Default::default() };
    requests.send(WorkRequest { request: Some(Asked::Join(join)) }).unwrap();
    let tell = |request| {
        let request = Asked::Worker(WorkerRequest { request: Some(request) });
        requests.send(WorkRequest { request: Some(request) }).unwrap();
    };
    tell(Request::Replay(ReplayHistory { workflow_id: "order-1".into(), history: page.history }));
    let mut events = client.work(UnboundedReceiverStream::new(stream)).await.unwrap().into_inner();
    let result = loop {
        match events.message().await.unwrap().unwrap().event {
            // It forgets what it has done before.
            Some(Event::Workflow(activation)) => {
                let status = Some(workflow_completion::Status::Success(ActivationSuccess::default()));
                tell(Request::Workflow(WorkflowCompletion { run_id: activation.run_id, status }));
            }
            Some(Event::Replay(result)) => break result,
            other => panic!("{other:?}"),
        }
    };
    let difference = result.error.and_then(|error| error.nondeterminism).unwrap();
    assert_eq!((result.workflow_id.as_str(), difference.found.as_str()), ("order-1", ""));
}

#[tokio::test]
async fn strangers_are_kept_out() {
    let sidecar = Process::start(QUEUE);
    let mode = std::fs::metadata(sidecar.folder.path().join("s.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (target, status) in [(sidecar.tcp(""), 401), (sidecar.tcp("wrong"), 401), (sidecar.tcp(TOKEN), 200)] {
        let reply = target.ask("GET", "/v1/health", "").await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", sidecar.tcp)).unwrap();
    let mut client = SidecarClient::new(channel.connect().await.unwrap());
    let refused = client.call(Call::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn mistakes_are_answered_with_what_to_do() {
    let sidecar = Process::start(IMPATIENT);
    let unix = sidecar.unix();
    let large = json!({"arguments": ["x".repeat(200_000)]}).to_string();
    for (method, path, body, status, expected) in [
        ("POST", "/v1/workflows", "{\"workflowId\": ", 400, "line 1 column 15"),
        ("POST", "/v1/workflows", "[]", 400, "JSON object"),
        ("POST", "/v1/workflows", "{\"workflowIdd\": \"a\"}", 400, "workflowIdd"),
        ("POST", "/v1/workflows", "{\"workflowId\": \"a\", \"arguments\": 1}", 400, "[value]"),
        ("POST", "/v1/workflows", "{\"workflowId\": \"a\", \"workflowRunTimeout\": \"1m\"}", 400, "`1m`"),
        ("POST", "/v1/workflows", "{\"workflowId\": \"a\"}", 400, "workflow_type"),
        ("POST", "/v1/workflows", large.as_str(), 413, "100000 bytes"),
        ("POST", "/v1/workflows/nobody/signals/x", "", 404, "nobody"),
        ("GET", "/v1/workflows/nobody/result?wait=soon", "", 400, "`soon`"),
        ("POST", "/v1/task-queues/unknown/applications/a/poll", "", 404, "[[worker]]"),
        (
            "POST",
            "/v1/task-queues/q/applications/a/activity-completions",
            "{\"taskToken\": \"!\"}",
            400,
            "base64",
        ),
        ("GET", "/v2", "", 404, "openapi.json"),
        ("PUT", "/v1/workflows", "", 405, "openapi.json"),
    ] {
        let reply = unix.ask(method, path, body).await;
        let message = reply.body["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(reply.status, status, "{method} {path}: {message}");
        assert!(message.contains(expected), "{method} {path}: {message}");
    }
}

#[tokio::test]
async fn sigterm_tells_applications_and_leaves_nothing_behind() {
    let mut sidecar = Process::start(QUEUE);
    let mut client = sidecar.stream_client().await;
    let (requests, stream) = mpsc::unbounded_channel();
    let join = Join { task_queue: "q".into(), workflows: true, ..Default::default() };
    requests.send(WorkRequest { request: Some(Asked::Join(join)) }).unwrap();
    let mut events = client.work(UnboundedReceiverStream::new(stream)).await.unwrap().into_inner();
    let start = json!({"workflowId": "o", "workflowType": "Order", "taskQueue": "q"});
    assert_eq!(sidecar.post("/v1/workflows", start).await.status, 200);
    let first = events.message().await.unwrap().unwrap();
    let Some(Event::Workflow(first)) = first.event else { panic!("{first:?}") };
    let completion = WorkflowCompletion {
        run_id: first.run_id,
        status: Some(workflow_completion::Status::Success(ActivationSuccess::default())),
    };
    let answer = WorkerRequest { request: Some(Request::Workflow(completion)) };
    requests.send(WorkRequest { request: Some(Asked::Worker(answer)) }).unwrap();
    let pid = sidecar.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let evicted = events.message().await.unwrap().unwrap();
    assert!(
        matches!(&evicted.event, Some(Event::Workflow(activation)) if activation.jobs.len() == 1),
        "{evicted:?}"
    );
    let last = events.message().await.unwrap().unwrap();
    assert!(matches!(&last.event, Some(Event::ShutDown(end)) if end.fatal.is_none()), "{last:?}");
    drop((requests, events, client));
    let status = tokio::task::spawn_blocking(move || {
        let status = sidecar.child.wait().unwrap();
        (status, sidecar)
    });
    let (status, sidecar) = tokio::time::timeout(Duration::from_secs(20), status).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    assert!(!sidecar.folder.path().join("s.sock").exists());
}

#[test]
fn it_stops_with_the_process_that_holds_its_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), QUEUE);
    let mut command = command(folder.path());
    let mut child = command.arg("--stop-with-stdin").stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with(READY) && child.try_wait().unwrap().is_none(), "{line}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(!folder.path().join("s.sock").exists());
}

#[test]
fn a_bad_start_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |text: &str, expected: &str| {
        configure(folder.path(), text);
        let output = command(folder.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(expected), "{errors}");
    };
    fails("[[worker]]\ntask_queue = \"q\"\nthreads = 3\n", "threads");
    std::fs::write(folder.path().join("s.sock"), "a file").unwrap();
    fails(QUEUE, "[listen] unix");
    std::fs::remove_file(folder.path().join("s.sock")).unwrap();
    std::fs::write(folder.path().join("state.db"), "no database").unwrap();
    fails(QUEUE, "not a durably state file");
}
