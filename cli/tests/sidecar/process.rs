//! A running `durably sidecar`, and what applications say to it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use durably_proto::durably::sidecar::v1::sidecar_client::SidecarClient;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{metadata::MetadataValue, service::interceptor::InterceptedService, transport::Channel};

use crate::http::{Reply, Target};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const BEARER: &str = "Bearer 0123456789abcdef0123456789abcdef";
pub(crate) const READY: &str = "durably sidecar is listening on ";

type Guarded =
    InterceptedService<Channel, fn(tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status>>;

#[expect(clippy::unnecessary_wraps, reason = "it is what an interceptor returns")]
fn with_token(mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
    request.metadata_mut().insert("authorization", MetadataValue::from_static(BEARER));
    Ok(request)
}

/// A running `durably sidecar` on a folder; killed when dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) folder: TempDir,
    pub(crate) tcp: String,
}

pub(crate) fn configure(folder: &Path, extra: &str) {
    std::fs::write(folder.join("token"), TOKEN).unwrap();
    let text = format!(
        "[connect]\ntarget = \"embedded:state.db\"\n[listen]\nunix = \"s.sock\"\ntcp = \"127.0.0.1:0\"\ntoken_file = \"token\"\n{extra}\n"
    );
    std::fs::write(folder.join("sidecar.toml"), text).unwrap();
}

pub(crate) const QUEUE: &str = "[[worker]]\ntask_queue = \"q\"\n";
/// Applications that are quiet for a moment have gone.
pub(crate) const IMPATIENT: &str =
    "[limits]\napplication_timeout = \"0.3s\"\nbody_bytes = 100000\n[[worker]]\ntask_queue = \"q\"\n";

pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durably"));
    command.args(["sidecar", "--config", "sidecar.toml"]).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    pub(crate) fn start(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), extra);
        Self::on(folder)
    }

    pub(crate) fn on(folder: TempDir) -> Self {
        let mut child = command(folder.path()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(rest) = line.strip_prefix(READY) else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("instead of being ready it said {line:?} {errors}");
        };
        let tcp = rest.split(',').next().unwrap().trim().to_owned();
        Self { child, folder, tcp }
    }

    pub(crate) fn unix(&self) -> Target {
        Target::Unix(self.folder.path().join("s.sock"))
    }

    pub(crate) fn tcp(&self, token: &str) -> Target {
        Target::Tcp(self.tcp.clone(), token.to_owned())
    }

    /// Kills the process and starts another one on the same folder.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        drop(self);
        Self::on(folder)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.unix().ask("POST", path, &body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.unix().ask("GET", path, "").await
    }

    /// What the application is to do next; an empty answer is a failed test.
    pub(crate) async fn poll(&self, application: &str) -> Value {
        let reply = self.post(&work(application, "poll?wait=20s"), json!({})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Starts a workflow of one activity and brings it to where that activity is scheduled.
    pub(crate) async fn begin(&self, id: &str, application: &str, retry_after: &str) -> String {
        let start =
            json!({"workflowId": id, "workflowType": "Order", "taskQueue": "q", "arguments": [{"id": 7}]});
        assert_eq!(self.post("/v1/workflows", start).await.status, 200);
        let event = self.poll(application).await;
        let run = event["workflow"]["runId"].as_str().unwrap().to_owned();
        let initialize = &event["workflow"]["jobs"][0]["initialize"];
        assert_eq!(
            (initialize["workflowId"].as_str(), &initialize["arguments"]),
            (Some(id), &json!([{"id": 7}]))
        );
        let commands = json!([{"scheduleActivity": {
            "seq": 1, "activityType": "charge", "arguments": [{"id": 7}], "startToCloseTimeout": "60s",
            "retryPolicy": {"initialInterval": retry_after},
        }}]);
        self.complete(application, &run, commands).await;
        run
    }

    pub(crate) async fn complete(&self, application: &str, run: &str, commands: Value) {
        let body = json!({"runId": run, "success": {"commands": commands}});
        let reply = self.post(&work(application, "workflow-completions"), body).await;
        assert_eq!(reply.status, 204, "{}", reply.body);
    }

    pub(crate) async fn stream_client(&self) -> SidecarClient<Guarded> {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", self.tcp)).unwrap();
        SidecarClient::with_interceptor(channel.connect().await.unwrap(), with_token as fn(_) -> _)
    }

    pub(crate) async fn result(&self, id: &str) -> Value {
        self.get(&format!("/v1/workflows/{id}/result?wait=20s")).await.body
    }

    /// Waits until the run of this id is replayed from its first event to `application`, and ends it.
    pub(crate) async fn finish_after_replay(&self, application: &str, id: &str, result: &str) {
        let mut activated = 0;
        let run = loop {
            let event = self.poll(application).await;
            let Some(run) = event["workflow"]["runId"].as_str() else { panic!("{event}") };
            let jobs = event["workflow"]["jobs"].as_array().unwrap();
            if activated == 0 {
                assert_eq!(jobs[0]["initialize"]["workflowId"], id, "{event}");
                let schedule = json!([{"scheduleActivity": {
                    "seq": 1, "activityType": "charge", "arguments": [{"id": 7}], "startToCloseTimeout": "60s",
                    "retryPolicy": {"initialInterval": "0.001s"},
                }}]);
                self.complete(application, run, schedule).await;
            } else if jobs.iter().any(|job| job.get("resolveActivity").is_some()) {
                break run.to_owned();
            }
            activated += 1;
        };
        self.complete(application, &run, json!([{"completeWorkflow": {"result": result}}])).await;
        assert_eq!(self.result(id).await["result"], result);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn work(application: &str, rest: &str) -> String {
    format!("/v1/task-queues/q/applications/{application}/{rest}")
}
