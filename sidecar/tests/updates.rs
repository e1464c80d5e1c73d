//! Updates through the sidecar: the routes that ask for them, and what an application gets and answers, all as JSON; and the same by
//! gRPC.
#![allow(clippy::unwrap_used, reason = "a test panics when it can't go on")]

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use durably_proto::{
    durably::{
        core::v1::{Call, ConnectOptions, WorkerOptions, call_result::Result as Answer},
        sidecar::v1::sidecar_client::SidecarClient,
    },
    temporal::api::{
        common::v1::WorkflowExecution,
        enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
        update::v1::{Input, Meta, Request, WaitPolicy, outcome},
        workflowservice::v1::{UpdateWorkflowExecutionRequest, UpdateWorkflowExecutionResponse},
    },
};
use durably_sidecar::{Config, Sidecar};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

const TOKEN: &str = "a secret of sixteen";
const QUEUE: &str = "accounts";

/// A sidecar with a server of its own, as its clients see it.
struct World {
    sidecar: Sidecar,
    http: Http,
    application: Option<JoinHandle<()>>,
}

impl World {
    /// With nobody who works.
    async fn without_application() -> Self {
        let config = Config {
            connect: ConnectOptions { target: "embedded:".to_owned(), ..Default::default() },
            workers: vec![WorkerOptions {
                task_queue: QUEUE.to_owned(),
                workflows: true,
                ..Default::default()
            }],
            unix: None,
            tcp: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            token: Some(TOKEN.to_owned()),
            body_bytes: 4 << 20,
            application_timeout: Duration::from_secs(10),
        };
        let sidecar = Sidecar::start(config).await.unwrap();
        let http = Http(sidecar.addresses().parse().unwrap());
        Self { sidecar, http, application: None }
    }

    async fn start() -> Self {
        let mut world = Self::without_application().await;
        world.work();
        world
    }

    fn work(&mut self) {
        self.application = Some(tokio::spawn(Application { http: self.http, held: BTreeMap::new() }.work()));
    }

    async fn account(&self, id: &str) {
        let body = json!({ "workflowId": id, "workflowType": "Account", "taskQueue": QUEUE });
        self.http.ok("POST", "/v1/workflows", &body).await;
    }

    /// Sends an update to the workflow `id`; `rest` is the path behind `updates/`.
    async fn update(&self, id: &str, rest: &str, body: Value) -> Value {
        self.http.ok("POST", &format!("/v1/workflows/{id}/updates/{rest}"), &body).await
    }

    async fn kinds(&self, id: &str) -> Vec<String> {
        let history = self.http.ok("GET", &format!("/v1/workflows/{id}/history"), &json!({})).await;
        let kinds =
            history["events"].as_array().unwrap().iter().map(|event| event["eventType"].as_str().unwrap());
        kinds
            .filter_map(|kind| kind.strip_prefix("EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_"))
            .map(str::to_owned)
            .collect()
    }

    async fn end(self) {
        if let Some(application) = self.application {
            application.abort();
        }
        self.sidecar.shut_down().await;
    }
}

/// A client of the sidecar; each request has a connection of its own.
#[derive(Clone, Copy)]
struct Http(SocketAddr);

impl Http {
    async fn send(self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut connection = TcpStream::connect(self.0).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: s\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all((head + body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() })
    }

    async fn ok(self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send(method, path, &body.to_string()).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    /// The status, the code and the message of a refusal.
    async fn refusal(self, method: &str, path: &str, body: &str) -> (u16, String, Value) {
        let (status, answer) = self.send(method, path, body).await;
        let error = &answer["error"];
        assert!(status >= 400, "{method} {path}: {status} {answer}");
        (status, error["code"].as_str().unwrap().to_owned(), error.clone())
    }
}

/// Runs the workflow `Account`, in JSON: it answers updates by their names, and those called `hold` when the signal `release` comes.
struct Application {
    http: Http,
    held: BTreeMap<String, Vec<Value>>,
}

impl Application {
    async fn work(mut self) {
        let path = format!("/v1/task-queues/{QUEUE}/applications/bank");
        loop {
            let (status, event) = self.http.send("POST", &format!("{path}/poll?activities=false"), "").await;
            if status == 204 || event["workflow"]["jobs"][0].get("evict").is_some() {
                continue;
            }
            if status != 200 || event.get("shutDown").is_some() {
                return;
            }
            let run = event["workflow"]["runId"].as_str().unwrap();
            let mut commands = Vec::new();
            for job in event["workflow"]["jobs"].as_array().unwrap() {
                if let Some(update) = job.get("update") {
                    commands.extend(self.update(run, update));
                }
                if job.get("signal").is_some() {
                    for id in self.held.remove(run).unwrap_or_default() {
                        commands.push(json!({ "updateAnswer": { "id": id, "succeeded": null } }));
                    }
                }
            }
            let completion = json!({ "runId": run, "success": { "commands": commands } });
            self.http.ok("POST", &format!("{path}/workflow-completions"), &completion).await;
        }
    }

    fn update(&mut self, run: &str, update: &Value) -> Vec<Value> {
        assert_eq!(update["runValidator"], true, "{update}");
        let id = &update["id"];
        let answers = match update["name"].as_str().unwrap() {
            "echo" => vec![
                json!({ "id": id, "accepted": {} }),
                json!({ "id": id, "succeeded": { "said": update["arguments"], "by": update["identity"] } }),
            ],
            "hold" => {
                self.held.entry(run.to_owned()).or_default().push(id.clone());
                vec![json!({ "id": id, "accepted": {} })]
            }
            "fail" => vec![
                json!({ "id": id, "accepted": {} }),
                json!({ "id": id, "failed": failure("Poor", "no money") }),
            ],
            name => vec![json!({ "id": id, "rejected": failure("Unknown", &format!("no update {name}")) })],
        };
        answers.into_iter().map(|answer| json!({ "updateAnswer": answer })).collect()
    }
}

fn failure(kind: &str, message: &str) -> Value {
    json!({ "message": message, "applicationFailureInfo": { "type": kind, "details": [{ "left": 3 }] } })
}

#[tokio::test]
async fn an_update_completes_with_its_result() {
    let world = World::start().await;
    world.account("a").await;
    let body = json!({ "arguments": [{ "n": 7 }, null], "updateId": "u-1" });
    let answer = world.update("a", "echo", body.clone()).await;
    assert_eq!(answer["result"]["said"], json!([{ "n": 7 }, null]), "{answer}");
    assert!(answer["result"]["by"].as_str().is_some_and(|identity| !identity.is_empty()), "{answer}");
    assert_eq!(
        (&answer["workflowId"], &answer["updateId"], &answer["stage"]),
        (&json!("a"), &json!("u-1"), &json!("COMPLETED"))
    );
    // The same once more, also if it is asked for by its id, or of a certain run.
    assert_eq!(world.update("a", "echo", body).await, answer);
    let run = answer["runId"].as_str().unwrap();
    for query in ["", &format!("?runId={run}&stage=ACCEPTED&wait=5s"), "?wait=0s"] {
        let path = format!("/v1/workflows/a/update-results/u-1{query}");
        assert_eq!(world.http.ok("GET", &path, &json!({})).await, answer, "{query}");
    }
    assert_eq!(world.kinds("a").await, ["ACCEPTED", "COMPLETED"]);
    // One without an id gets one.
    let made = world.update("a", "echo", json!({})).await;
    assert_eq!(made["result"]["said"], Value::Null, "{made}");
    assert!(made["updateId"].as_str().is_some_and(|id| id.len() == 36), "{made}");
    world.end().await;
}

#[tokio::test]
async fn an_accepted_update_is_asked_for_later() {
    let world = World::start().await;
    world.account("a").await;
    let accepted = world.update("a", "hold?stage=ACCEPTED", json!({ "updateId": "u" })).await;
    assert_eq!((&accepted["stage"], accepted.get("result")), (&json!("ACCEPTED"), None), "{accepted}");
    // Whoever waits for more is told how far it is when `wait` is over.
    let path = "/v1/workflows/a/update-results/u";
    assert_eq!(world.http.ok("GET", &format!("{path}?wait=0.2s"), &json!({})).await, accepted);
    assert_eq!(world.update("a", "hold?wait=0.2s", json!({ "updateId": "u" })).await, accepted);
    let http = world.http;
    let waiting = tokio::spawn(async move { http.ok("GET", path, &json!({})).await });
    world.http.ok("POST", "/v1/workflows/a/signals/release", &json!({})).await;
    let completed = waiting.await.unwrap();
    assert_eq!(
        (&completed["stage"], completed.get("result")),
        (&json!("COMPLETED"), Some(&Value::Null)),
        "{completed}"
    );
    world.end().await;
}

#[tokio::test]
async fn rejected_and_failed_updates_say_why() {
    let world = World::start().await;
    world.account("a").await;
    let rejected = world.update("a", "unheard", json!({ "updateId": "u" })).await;
    assert_eq!(
        (&rejected["stage"], &rejected["failure"]["message"]),
        (&json!("COMPLETED"), &json!("no update unheard"))
    );
    assert_eq!(
        rejected["failure"]["applicationFailureInfo"]["details"],
        json!([{ "left": 3 }]),
        "{rejected}"
    );
    assert!(rejected.get("result").is_none(), "{rejected}");
    assert!(world.kinds("a").await.is_empty(), "nothing is left of it");
    let failed = world.update("a", "fail", json!({ "updateId": "u" })).await;
    assert_eq!(failed["failure"]["applicationFailureInfo"]["type"], "Poor", "{failed}");
    assert_eq!(world.http.ok("GET", "/v1/workflows/a/update-results/u", &json!({})).await, failed);
    assert_eq!(world.kinds("a").await, ["ACCEPTED", "COMPLETED"]);
    world.end().await;
}

#[tokio::test]
async fn an_update_that_nobody_has_accepted_is_sent_again() {
    let mut world = World::without_application().await;
    world.account("a").await;
    let admitted = world.update("a", "echo?wait=0.2s", json!({ "updateId": "u" })).await;
    assert_eq!(admitted["stage"], "ADMITTED", "{admitted}");
    world.work();
    assert_eq!(world.update("a", "echo", json!({ "updateId": "u" })).await["stage"], "COMPLETED");
    assert_eq!(world.kinds("a").await, ["ACCEPTED", "COMPLETED"]);
    world.end().await;
}

#[tokio::test]
async fn update_with_start_starts_once() {
    let world = World::start().await;
    let with_start = |policy: &str, update: &str| {
        json!({
            "workflowId": "a", "workflowType": "Account", "taskQueue": QUEUE, "arguments": ["Ann"],
            "workflowIdConflictPolicy": format!("WORKFLOW_ID_CONFLICT_POLICY_{policy}"),
            "updateName": "echo", "updateArguments": [1], "updateId": update,
        })
    };
    let path = "/v1/update-with-start";
    let first = world.http.ok("POST", path, &with_start("FAIL", "u")).await;
    assert_eq!(
        (&first["started"], &first["stage"], &first["result"]["said"]),
        (&json!(true), &json!("COMPLETED"), &json!([1]))
    );
    assert_eq!((&first["workflowId"], &first["updateId"]), (&json!("a"), &json!("u")), "{first}");
    // Sent twice it is one update, with one answer.
    for policy in ["FAIL", "USE_EXISTING"] {
        let again = world.http.ok("POST", path, &with_start(policy, "u")).await;
        assert_eq!((&again["started"], &again["runId"]), (&json!(false), &first["runId"]), "{again}");
        assert_eq!(again["result"], first["result"]);
    }
    assert_eq!(world.kinds("a").await, ["ACCEPTED", "COMPLETED"]);
    let other = world.http.ok("POST", path, &with_start("USE_EXISTING", "v")).await;
    assert_eq!((&other["started"], &other["runId"]), (&json!(false), &first["runId"]), "{other}");
    // What is refused is the start, and the error is its own.
    let (status, code, error) = world.http.refusal("POST", path, &with_start("FAIL", "w").to_string()).await;
    assert_eq!((status, code.as_str()), (409, "ALREADY_EXISTS"), "{error}");
    assert_eq!(error["details"][0]["runId"], first["runId"], "{error}");
    world.end().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_with_the_reason() {
    let world = World::start().await;
    world.account("a").await;
    let (update, start) = ("/v1/workflows/a/updates/echo", "/v1/update-with-start");
    for (method, path, body, status, words) in [
        ("GET", "/v1/workflows/a/update-results/unheard", "", 404, "unheard"),
        ("GET", "/v1/workflows/nobody/update-results/u", "", 404, ""),
        (
            "GET",
            "/v1/workflows/a/update-results/u?stage=ADMITTED",
            "",
            400,
            "`ACCEPTED` or `COMPLETED`, not `ADMITTED`",
        ),
        ("GET", "/v1/workflows/a/update-results/u?wait=long", "", 400, "`long` is not a time"),
        ("POST", "/v1/workflows/nobody/updates/echo", "{}", 404, ""),
        ("POST", "/v1/workflows/a/updates/echo?stage=done", "{}", 400, "not `done`"),
        ("POST", update, "{\"arguments\": [1", 400, "the body is not JSON"),
        ("POST", update, "[]", 400, "must be a JSON object"),
        ("POST", update, r#"{"arguments": 1}"#, 400, "arguments must be a list"),
        ("POST", update, r#"{"updateId": 1}"#, 400, "updateId must be a string"),
        ("POST", update, r#"{"updateID": "u"}"#, 400, "`updateID` is unknown here"),
        ("POST", update, &json!({ "updateId": "u".repeat(1001) }).to_string(), 400, "1000"),
        ("POST", start, r#"{"workflowId": "b", "updateName": 1}"#, 400, "updateName must be a string"),
        (
            "POST",
            start,
            r#"{"workflowId": "b", "updateArguments": {}}"#,
            400,
            "updateArguments must be a list",
        ),
        ("POST", start, r#"{"workflowId": "b", "input": []}"#, 400, "in place of `input`"),
        ("POST", start, r#"{"workflowID": "b"}"#, 400, "workflowID"),
        ("POST", start, r#"{"workflowId": "b", "updateName": "echo"}"#, 400, ""),
    ] {
        let (found, _, error) = world.http.refusal(method, path, body).await;
        assert_eq!(found, status, "{method} {path} {body}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{method} {path} {body}: {error}");
    }
    world.end().await;
}

#[tokio::test]
async fn updates_by_grpc_are_calls() {
    let world = World::start().await;
    world.account("a").await;
    let request = UpdateWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: "a".into(), ..Default::default() }),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed as i32 }),
        request: Some(Request {
            meta: Some(Meta { update_id: "u".into(), ..Default::default() }),
            input: Some(Input { name: "hold".into(), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let call = Call {
        method: "UpdateWorkflowExecution".into(),
        request: request.encode_to_vec().into(),
        retry: true,
        ..Default::default()
    };
    let mut call = tonic::Request::new(call);
    call.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    let mut client = SidecarClient::connect(format!("http://{}", world.http.0)).await.unwrap();
    let waiting = tokio::spawn(async move { client.call(call).await });
    // It has been accepted when this has its answer, and waits.
    world.update("a", "hold?stage=ACCEPTED", json!({ "updateId": "u" })).await;
    world.http.ok("POST", "/v1/workflows/a/signals/release", &json!({})).await;
    let answer = waiting.await.unwrap().unwrap().into_inner();
    let Some(Answer::Response(response)) = answer.result else { panic!("{answer:?}") };
    let response = UpdateWorkflowExecutionResponse::decode(response).unwrap();
    let success = matches!(
        response.outcome.as_ref().and_then(|outcome| outcome.value.as_ref()),
        Some(outcome::Value::Success(_))
    );
    assert!(success && response.stage() == Stage::Completed, "{response:?}");
    world.end().await;
}
