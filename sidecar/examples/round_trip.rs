//! How long an activity's round trip through the sidecar takes, over its Unix socket: `round_trip SOCKET QUEUE COUNT`.
//!
//! One application runs a workflow of COUNT activities, one after the other; another, on a connection of its own, does
//! them. Prints one JSON line: the median and the 99th percentile, in milliseconds, of
//! - `answer`: from sending an activity's completion to the 204 that says that the server has it;
//! - `cycle`: from one activity in hand to the next one in hand, the workflow's turn in between.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints figures and panics when it can't go on"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

/// A connection that is kept.
struct Connection(BufReader<UnixStream>);

impl Connection {
    async fn open(socket: &str) -> Self {
        Self(BufReader::new(UnixStream::connect(socket).await.unwrap()))
    }

    async fn post(&mut self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nhost: s\r\ncontent-length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all((head + &body).as_bytes()).await.unwrap();
        let (mut status, mut length) = (String::new(), 0);
        self.0.read_line(&mut status).await.unwrap();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).await.unwrap();
        assert!(status.starts_with("HTTP/1.1 2"), "{path}: {status} {}", String::from_utf8_lossy(&answer));
        if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).unwrap() }
    }
}

/// Schedules one activity after the other.
async fn run_workflow(mut connection: Connection, queue: String, count: u32) {
    let path = |rest: &str| format!("/v1/task-queues/{queue}/applications/flow/{rest}");
    let start = json!({"workflowId": format!("bench-{}", std::process::id()), "workflowType": "Bench", "taskQueue": queue});
    connection.post("/v1/workflows", &start).await;
    for seq in 1..=count + 1 {
        let event = connection.post(&path("poll?activities=false"), &json!({})).await;
        let command = if seq <= count {
            json!({"scheduleActivity": {
                "seq": seq, "activityType": "echo", "arguments": ["x"], "startToCloseTimeout": "10s",
            }})
        } else {
            json!({"completeWorkflow": {}})
        };
        let answer = json!({"runId": event["workflow"]["runId"], "success": {"commands": [command]}});
        connection.post(&path("workflow-completions"), &answer).await;
    }
}

fn figures(mut times: Vec<Duration>) -> Value {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    json!({"p50_ms": at(0.5), "p99_ms": at(0.99)})
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, queue, count] = &arguments[..] else { panic!("usage: round_trip SOCKET QUEUE COUNT") };
    let count: u32 = count.parse().unwrap();
    let path = |rest: &str| format!("/v1/task-queues/{queue}/applications/hand/{rest}");
    let flow = Connection::open(socket).await;
    let workflow = tokio::spawn(run_workflow(flow, queue.clone(), count));
    let mut connection = Connection::open(socket).await;
    let (mut answers, mut cycles) = (Vec::new(), Vec::new());
    let mut in_hand: Option<Instant> = None;
    for _ in 0..count {
        let event = connection.post(&path("poll?workflows=false"), &json!({})).await;
        let now = Instant::now();
        cycles.extend(in_hand.replace(now).map(|before| now - before));
        let start = &event["activityStart"];
        let answer = json!({"taskToken": start["taskToken"], "completed": {"result": start["input"][0]}});
        connection.post(&path("activity-completions"), &answer).await;
        answers.push(now.elapsed());
    }
    workflow.await.unwrap();
    println!("{}", json!({"activities": count, "answer": figures(answers), "cycle": figures(cycles)}));
}
