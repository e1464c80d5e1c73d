//! One table of requests that are wrong in some way, sent to our server and to the real one: each row has the code that
//! the real one answers, and ours answers the same but for the rows of [`differences`], each with its reason.
//!
//! Nothing that a row does may harm another run: a witness has a workflow task and an activity open meanwhile, which
//! are completed at the end, after a restart. The real server takes part in `cargo xtask conformance`, and alone with
//! `cargo xtask conformance --wire`.

mod calls;
mod commands;
mod differences;
mod nesting;
mod peer;
mod polls;
mod restart;
mod starts;
mod timeouts;
mod tokens;
mod updates;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, future::BoxFuture};
use tonic::{Code, Status};

use crate::support::complete_workflow;
use peer::Peer;
use world::{PATIENCE, World};

/// A request, or a story with one at its end, and the code of the real server's answer.
pub struct Row {
    pub name: &'static str,
    pub code: Code,
    pub run: fn(World) -> BoxFuture<'static, Result<(), Status>>,
}

/// Rows of the form `"name", Code: |world| future;`, where the future's error is the answer that counts.
macro_rules! rows {
    ($($name:literal, $code:ident: |$world:ident| $run:expr;)*) => {
        &[$(crate::wire::Row {
            name: $name,
            code: tonic::Code::$code,
            run: |$world| Box::pin(async move { $run.await.map(drop) }),
        }),*]
    };
}
use rows;

fn table() -> impl Iterator<Item = &'static Row> {
    [starts::ROWS, calls::ROWS, polls::ROWS, tokens::ROWS, commands::ROWS, nesting::ROWS, updates::ROWS]
        .into_iter()
        .flatten()
}

/// A change to a message, as an expression.
pub fn with<T>(mut message: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut message);
    message
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub fn long() -> String {
    "x".repeat(1_001)
}

async fn answer(row: &'static Row, world: World) -> Result<Code, String> {
    loop {
        // In a task of its own: a panic is a finding about this row.
        match tokio::time::timeout(PATIENCE * 3, tokio::spawn((row.run)(world.clone()))).await {
            Ok(Ok(Ok(()))) => return Ok(Code::Ok),
            // The real server answers so many lists in a second.
            Ok(Ok(Err(status))) if status.message().contains("rate limit exceeded") => {
                // tidy-allow: sleep: how often the real server may be asked is a matter of time
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            Ok(Ok(Err(status))) => return Ok(status.code()),
            Ok(Err(panic)) => return Err(format!("{panic:?}")),
            Err(_) => return Err("no answer".to_owned()),
        }
    }
}

/// A run that has nothing to do with what is sent.
struct Witness {
    task: bytes::Bytes,
    activity: bytes::Bytes,
}

impl Witness {
    const ROW: &str = "witness";

    async fn begin(peer: &Peer) -> Self {
        let world = peer.world(Self::ROW).await;
        let activity = world.activity().await.task_token;
        world.signal().await.unwrap();
        Self { task: world.task().await.task_token, activity }
    }

    async fn complete(self, peer: &Peer) {
        let world = peer.world(Self::ROW).await;
        world.complete_activity(&self.activity).await.unwrap();
        // The real server forgets who has a workflow task when it restarts, unless it times out.
        if peer.is_ours() {
            world.complete(&self.task, vec![]).await.unwrap();
            world.complete(&world.task().await.task_token, vec![complete_workflow("done")]).await.unwrap();
        }
    }
}

/// How many rows are under way at once.
const TOGETHER: usize = 6;

/// Sends every row, or those whose name contains `DURABLY_WIRE_ROWS`; returns what differs from what `expected` says of it.
async fn send_all(peer: &Peer, expected: impl Fn(&Row) -> Code) -> Vec<String> {
    let only = std::env::var("DURABLY_WIRE_ROWS").unwrap_or_default();
    let answers = futures::stream::iter(table().filter(|row| row.name.contains(&only)))
        .map(|row| async move { (row, answer(row, peer.world(row.name).await).await) })
        .buffered(TOGETHER);
    let differs = answers.filter_map(|(row, answered)| {
        let (name, wanted) = (row.name, expected(row));
        let differs = answered != Ok(wanted);
        std::future::ready(differs.then(|| format!("{name}: {answered:?}, not {wanted:?}")))
    });
    differs.collect().await
}

async fn holds(mut peer: Peer, expected: impl Fn(&Row) -> Code) {
    let witness = Witness::begin(&peer).await;
    let mut wrong = send_all(&peer, &expected).await;
    let prepared = restart::Prepared::new(&peer).await;
    peer = peer.restart().await;
    wrong.extend(prepared.send(&peer, &expected).await);
    witness.complete(&peer).await;
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn we_answer_as_the_real_server_but_for_the_differences() {
    let differences = differences::by_name();
    holds(Peer::ours().await, |row| differences.get(row.name).map_or(row.code, |differs| differs.ours)).await;
}

#[tokio::test]
#[ignore = "needs the real server: cargo xtask conformance --wire"]
async fn the_real_server_answers_as_the_table_says() {
    holds(Peer::temporal().await, |row| row.code).await;
}

#[test]
fn the_table_and_its_differences_are_in_order() {
    let rows: Vec<&Row> = table().chain(restart::ROWS).collect();
    assert!(rows.len() >= 100, "{} rows", rows.len());
    let by_name: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.name, *row)).collect();
    assert_eq!(by_name.len(), rows.len(), "two rows have one name");
    let ids: BTreeSet<String> =
        by_name.keys().map(|name| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")).collect();
    assert_eq!(ids.len(), rows.len(), "two rows would share a workflow");
    for (name, differs) in differences::by_name() {
        let row = by_name.get(name).unwrap_or_else(|| panic!("no row {name:?}, but a difference"));
        assert_ne!(row.code, differs.ours, "{name:?} no longer differs; take it off the list");
        assert!(differs.reason.len() > 20, "{name:?} has no reason");
    }
}
