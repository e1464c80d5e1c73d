//! Lists and counts of runs. They pass the shards by, and the store answers them on its reading side.

use std::time::{Duration, Instant};

use durably_proto::temporal::api::{
    common::v1::Payload, enums::v1::WorkflowExecutionStatus, workflowservice::v1::*,
};
use prost::Message;
use tokio::sync::Semaphore;

use super::Executions;
use crate::{
    Namespace,
    error::ServiceError,
    page_token,
    shard::info::info,
    store::{Cursor, Field, Filter, Listing, StoreError, Value, Visibility},
};

/// Runs in a page of a list when the request names no number.
const PAGE: usize = 1_000;
/// What a list or count may take, the wait for its turn included.
const TIME: Duration = Duration::from_secs(10);
/// How many lists and counts are under way at a time. Each takes a thread of those that read histories too.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Where the next page goes on.
#[derive(Clone, PartialEq, prost::Message)]
struct PageToken {
    #[prost(int64, tag = "1")]
    seq: i64,
}

impl Executions {
    pub async fn list(
        &self,
        namespace: &Namespace,
        request: ListWorkflowExecutionsRequest,
        filter: Filter,
        deadline: Option<Instant>,
    ) -> Result<ListWorkflowExecutionsResponse, ServiceError> {
        let list = format!("runs of {} with {filter:?}", namespace.id);
        let after = page_token::open(&list, &request.next_page_token)?;
        let after = after.map(|place| PageToken::decode(place).map_err(|_| page_token::unknown()));
        let after = after.transpose()?.map(|token| Cursor { seq: token.seq, value: None });
        let limit =
            usize::try_from(request.page_size).ok().filter(|size| *size > 0).unwrap_or(PAGE).min(PAGE);
        let id = namespace.id.clone();
        let page = self
            .look(deadline, move |visibility, until| {
                let listing =
                    Listing { namespace_id: &id, filter: &filter, order: None, after: after.as_ref() };
                visibility.list(&listing, limit, until)
            })
            .await?;
        let token =
            page.next.map(|cursor| page_token::seal(&list, PageToken { seq: cursor.seq }.encode_to_vec()));
        Ok(ListWorkflowExecutionsResponse {
            executions: page.rows.into_iter().map(info).collect(),
            next_page_token: token.unwrap_or_default(),
        })
    }

    /// Counts runs; `group_by` status also those of each status.
    pub async fn count(
        &self,
        namespace: &Namespace,
        filter: Filter,
        by_status: bool,
        deadline: Option<Instant>,
    ) -> Result<CountWorkflowExecutionsResponse, ServiceError> {
        let id = namespace.id.clone();
        if !by_status {
            let count =
                self.look(deadline, move |visibility, until| visibility.count(&id, &filter, until)).await?;
            return Ok(CountWorkflowExecutionsResponse { count, ..Default::default() });
        }
        let field = Field::EXECUTION_STATUS;
        let groups = self
            .look(deadline, move |visibility, until| visibility.count_by(&id, &filter, &field, until))
            .await?;
        let count = groups.iter().map(|(_, count)| count).sum();
        let groups =
            groups.into_iter().map(|(status, count)| count_workflow_executions_response::AggregationGroup {
                group_values: vec![keyword(&status_name(status.as_ref()))],
                count,
            });
        Ok(CountWorkflowExecutionsResponse { count, groups: groups.collect() })
    }

    /// Runs a list or count where blocking is allowed, when it is its turn.
    async fn look<T: Send + 'static>(
        &self,
        deadline: Option<Instant>,
        look: impl FnOnce(&dyn Visibility, Instant) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let limit = Instant::now() + TIME;
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        let turn = tokio::time::timeout_at(until.into(), TURNS.acquire()).await;
        let Ok(Ok(turn)) = turn else { return Err(StoreError::TooSlow.into()) };
        self.read(move |store| {
            // It lasts as long as the thread is taken, whether the caller waits for so long or not.
            let _turn = turn;
            look(store.visibility(), until)
        })
        .await
    }
}

/// Names as the query language has them.
fn status_name(status: Option<&Value>) -> String {
    let Some(Value::Int(number)) = status else { return String::new() };
    let status =
        i32::try_from(*number).ok().and_then(|number| WorkflowExecutionStatus::try_from(number).ok());
    let name = status.unwrap_or_default().as_str_name().trim_start_matches("WORKFLOW_EXECUTION_STATUS_");
    name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect()
}

fn keyword(text: &str) -> Payload {
    let metadata =
        [("encoding".to_owned(), "json/plain".into()), ("type".to_owned(), "Keyword".into())].into();
    Payload { metadata, data: format!("\"{text}\"").into(), ..Default::default() }
}
