//! Reading a run's events: forwards, backwards, and as a long poll for what comes next.

use std::time::Duration;

use bytes::Bytes;
use durably_proto::temporal::api::{
    enums::v1::HistoryEventFilterType,
    history::v1::{History, HistoryEvent},
    workflowservice::v1::*,
};
use prost::Message;

use super::Executions;
use crate::{
    Namespace, ServiceError,
    error::ErrorKind,
    shard::{
        events::{Range, View, decode},
        runs::Target,
        work::Work,
    },
};

/// How long a wait for new events lasts before it answers empty, to be asked again.
const LONG_POLL: Duration = Duration::from_secs(20);
/// Events in a page that a client asks for.
const PAGE: i64 = 256;
/// Bytes of events in any page, a workflow task's first one included; one event may be larger. gRPC clients refuse
/// messages above a limit (4 MiB by default), and a history may have 50 MB.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// Where the next page goes on.
#[derive(Clone, PartialEq, prost::Message)]
struct PageToken {
    #[prost(string, tag = "1")]
    run_id: String,
    /// First event of the next page; going backwards, the one after its first.
    #[prost(int64, tag = "2")]
    event_id: i64,
    /// In a workflow task's token, the event after its last; pages of a task stop there. 0: no end.
    #[prost(int64, tag = "3")]
    end: i64,
}

impl Executions {
    pub async fn history(
        &self,
        namespace: &Namespace,
        request: GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, ServiceError> {
        let mut target = Target::new(&namespace.id, request.execution.as_ref());
        let token = page_token(&request.next_page_token)?;
        if let Some(token) = &token {
            token.aim(&mut target)?;
        }
        let close_only = request.history_event_filter_type() == HistoryEventFilterType::CloseEvent;
        let (from, task_end) = token.map_or((1, 0), |token| (token.event_id, token.end));
        if task_end > 0 {
            return self.history_of_task(&target, from, task_end).await;
        }
        let page = page_size(request.maximum_page_size);
        let range = if close_only { Range::Close } else { Range::Forward { from, count: page } };
        let mut view = self.view(&target, range).await?;
        if request.wait_new_event && view.open && (close_only || from >= view.next_event_id) {
            target.run_id = Some(view.run_id.as_str().into());
            self.wait(view.seq, from, close_only, &target).await?;
            view = self.view(&target, range).await?;
        }
        let run_id = view.run_id.clone();
        let (next, open) = (view.next_event_id, view.open);
        let mut events = self.complete(view).await?;
        cut(&mut events);
        let end = events.last().map_or(from, |event| event.event_id + 1);
        let more = if close_only {
            open && request.wait_new_event
        } else {
            end < next || (open && request.wait_new_event)
        };
        let next_page_token =
            if more { PageToken { run_id, event_id: end, end: 0 }.encode_to_vec() } else { Vec::new() };
        Ok(GetWorkflowExecutionHistoryResponse {
            history: Some(History { events }),
            next_page_token: next_page_token.into(),
            ..Default::default()
        })
    }

    pub async fn history_reverse(
        &self,
        namespace: &Namespace,
        request: GetWorkflowExecutionHistoryReverseRequest,
    ) -> Result<GetWorkflowExecutionHistoryReverseResponse, ServiceError> {
        let mut target = Target::new(&namespace.id, request.execution.as_ref());
        let token = page_token(&request.next_page_token)?;
        if let Some(token) = &token {
            token.aim(&mut target)?;
        }
        let page = page_size(request.maximum_page_size);
        let before = token.map_or(i64::MAX, |token| token.event_id);
        let view = self.view(&target, Range::Backward { before, count: page }).await?;
        let run_id = view.run_id.clone();
        let mut events = self.complete(view).await?;
        events.reverse();
        cut(&mut events);
        let first = events.last().map_or(1, |event| event.event_id);
        let next_page_token = if first > 1 {
            PageToken { run_id, event_id: first, end: 0 }.encode_to_vec()
        } else {
            Vec::new()
        };
        Ok(GetWorkflowExecutionHistoryReverseResponse {
            history: Some(History { events }),
            next_page_token: next_page_token.into(),
        })
    }

    /// The next page of a workflow task whose history did not fit into the answer to the poll.
    async fn history_of_task(
        &self,
        target: &Target,
        from: i64,
        end: i64,
    ) -> Result<GetWorkflowExecutionHistoryResponse, ServiceError> {
        let view = self.view(target, Range::Forward { from, count: end.saturating_sub(from) }).await?;
        let run_id = view.run_id.clone();
        let mut events = self.complete(view).await?;
        let next_page_token = cut_task(&mut events, &run_id);
        Ok(GetWorkflowExecutionHistoryResponse {
            history: Some(History { events }),
            next_page_token,
            ..Default::default()
        })
    }

    async fn view(&self, target: &Target, range: Range) -> Result<View, ServiceError> {
        self.ask(target.clone(), |target, reply| Work::View { target, range, reply }).await
    }

    async fn complete(&self, view: View) -> Result<Vec<HistoryEvent>, ServiceError> {
        self.prepend(view.seq, view.missing, view.events).await
    }

    /// Puts events that are only in the store before those at hand.
    pub(super) async fn prepend(
        &self,
        seq: i64,
        missing: Option<(i64, i64)>,
        events: Vec<HistoryEvent>,
    ) -> Result<Vec<HistoryEvent>, ServiceError> {
        let Some((from, end)) = missing else { return Ok(events) };
        let batches = self.read(move |store| store.events(seq, from, end)).await?;
        let mut all = decode(batches, from, end)
            .map_err(|error| ServiceError::new(ErrorKind::DataLoss, error.to_string()))?;
        if all.len() as i64 != end - from {
            let message = "events of this run are missing in the store; restore the state from a copy";
            return Err(ServiceError::new(ErrorKind::DataLoss, message).with("from_event", from.to_string()));
        }
        all.extend(events);
        Ok(all)
    }

    /// Waits for events from `from` on, for the run's end, or for the end of the long poll.
    async fn wait(&self, seq: i64, from: i64, close_only: bool, target: &Target) -> Result<(), ServiceError> {
        let shard = self.shard_index(&target.workflow_id);
        let waiting = self.call(shard, |reply| Work::Watch { seq, from, close_only, reply });
        let mut closing = self.inner.closing.subscribe();
        tokio::select! {
            woken = waiting => woken.map(|_| ()),
            () = tokio::time::sleep(LONG_POLL) => Ok(()),
            _ = closing.wait_for(|closing| *closing) => Ok(()),
        }
    }
}

/// Cuts a page where it grows too large; the first event always stays.
fn cut(page: &mut Vec<HistoryEvent>) {
    let mut bytes = 0;
    let fits = page.iter().position(|event| {
        bytes += event.encoded_len();
        bytes > PAGE_BYTES
    });
    if let Some(fits) = fits {
        page.truncate(fits.max(1));
    }
}

/// Cuts a page of a workflow task's history; the token, empty if nothing was cut, leads to the rest.
pub(super) fn cut_task(page: &mut Vec<HistoryEvent>, run_id: &str) -> Bytes {
    let end = page.last().map_or(0, |event| event.event_id + 1);
    cut(page);
    match page.last().map_or(0, |event| event.event_id + 1) {
        next if next < end => {
            PageToken { run_id: run_id.to_owned(), event_id: next, end }.encode_to_vec().into()
        }
        _ => Bytes::new(),
    }
}

impl PageToken {
    /// Aims a call that goes on at the run that it began with.
    fn aim(&self, target: &mut Target) -> Result<(), ServiceError> {
        if target.run_id.as_deref().is_some_and(|asked| asked != self.run_id) {
            return Err(ServiceError::invalid_argument(
                "RunId in the request does not match the NextPageToken. next_page_token is one of another run; send it with \
                 the run_id that it came with",
            ));
        }
        target.run_id = Some(self.run_id.as_str().into());
        Ok(())
    }
}

fn page_size(asked: i32) -> i64 {
    if asked <= 0 { PAGE } else { i64::from(asked).min(PAGE) }
}

fn page_token(bytes: &[u8]) -> Result<Option<PageToken>, ServiceError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    PageToken::decode(bytes).map(Some).map_err(|_| {
        ServiceError::invalid_argument(
            "Invalid NextPageToken. next_page_token is not one that this server gave out",
        )
    })
}
