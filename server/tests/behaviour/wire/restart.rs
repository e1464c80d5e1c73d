//! Tokens of before a restart.

use bytes::Bytes;
use tonic::{Code, Status};

use super::{Row, peer::Peer};

/// What the workers of the rows hold when the server restarts.
pub struct Prepared(Vec<(&'static Row, Bytes)>);

const fn row(name: &'static str, code: Code) -> Row {
    // They run on both sides of the restart, and so by hand.
    Row { name, code, run: |_| Box::pin(async { Ok(()) }) }
}

const ACTIVITY: Row = row("restart: activity", Code::Ok);
const TAMPERED: Row = row("restart: activity, token tampered with", Code::NotFound);
const COMPLETED: Row = row("restart: activity that was completed before", Code::NotFound);
const QUERY: Row = row("restart: query", Code::Unavailable);

pub const ROWS: &[Row] = &[ACTIVITY, TAMPERED, COMPLETED, QUERY];

impl Prepared {
    pub async fn new(peer: &Peer) -> Self {
        let mut prepared = Vec::new();
        for row in ROWS {
            let world = peer.world(row.name).await;
            let token = if row.name == QUERY.name {
                world.query_task().await.task_token
            } else {
                world.activity().await.task_token
            };
            if row.name == COMPLETED.name {
                world.complete_activity(&token).await.unwrap();
            }
            prepared.push((row, token));
        }
        Self(prepared)
    }

    /// Returns what is answered otherwise than expected.
    pub async fn send(self, peer: &Peer, expected: impl Fn(&Row) -> Code) -> Vec<String> {
        let mut wrong = Vec::new();
        for (row, token) in self.0 {
            let world = peer.world(row.name).await;
            let answered: Result<(), Status> = if row.name == QUERY.name {
                world
                    .client()
                    .respond_query_task_completed(super::world::World::query_answer(&token))
                    .await
                    .map(drop)
            } else if row.name == TAMPERED.name {
                let mut changed = token.to_vec();
                changed[token.len() / 2] ^= 0x55;
                world.complete_activity(&changed.into()).await
            } else {
                world.complete_activity(&token).await
            };
            let code = answered.err().map_or(Code::Ok, |status| status.code());
            if code != expected(row) {
                wrong.push(format!("{}: {code:?}, not {:?}", row.name, expected(row)));
            }
        }
        wrong
    }
}
