//! Reading a run's events: forwards, backwards, and as a long poll for what comes next.

use std::{
    ops::{ControlFlow, Range},
    time::Duration,
};

use bytes::Bytes;
use durably_proto::temporal::api::{
    enums::v1::HistoryEventFilterType,
    history::v1::{History, HistoryEvent},
    workflowservice::v1::*,
};
use prost::Message;

use super::{Executions, Wanted};
use crate::{
    Namespace, ServiceError,
    engine::LoadError,
    error::ErrorKind,
    shard::{
        events::{Selection, View},
        runs::Target,
        work::Work,
    },
    store::{EventOrder, Store},
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
        let range = if close_only { Selection::Close } else { Selection::Forward { from, count: page } };
        let mut view = self.view(&target, range).await?;
        if request.wait_new_event && view.open && (close_only || from >= view.next_event_id) {
            target.run_id = Some(view.run_id.as_str().into());
            self.wait(view.seq, from, close_only, &target).await?;
            view = self.view(&target, range).await?;
        }
        let run_id = view.run_id.clone();
        let (next, open) = (view.next_event_id, view.open);
        let events = self.page(view.seq, view.missing, view.events, EventOrder::OldestFirst).await?;
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
        let view = self.view(&target, Selection::Backward { before, count: page }).await?;
        let run_id = view.run_id.clone();
        let events = self.page(view.seq, view.missing, view.events, EventOrder::NewestFirst).await?;
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
        let view = self.view(target, Selection::Task { from, end }).await?;
        let (events, next_page_token) =
            self.page_of_task(view.seq, view.missing, view.events, &view.run_id).await?;
        Ok(GetWorkflowExecutionHistoryResponse {
            history: Some(History { events }),
            next_page_token,
            ..Default::default()
        })
    }

    async fn view(&self, target: &Target, range: Selection) -> Result<View, ServiceError> {
        self.ask(target.clone(), |target, reply| Work::View { target, range, reply }).await
    }

    /// As much of a workflow task's history as fits into one answer, given the events at hand and which ones before those
    /// are only in the store; and the token, empty if that is all of it, which leads to the rest.
    pub(super) async fn page_of_task(
        &self,
        seq: i64,
        missing: Option<(i64, i64)>,
        events: Vec<HistoryEvent>,
        run_id: &str,
    ) -> Result<(Vec<HistoryEvent>, Bytes), ServiceError> {
        let last = events.last().map(|event| event.event_id + 1);
        let end = last.or(missing.map(|(_, end)| end)).unwrap_or_default();
        let page = self.page(seq, missing, events, EventOrder::OldestFirst).await?;
        let token = match page.last().map_or(0, |event| event.event_id + 1) {
            next if next < end => {
                PageToken { run_id: run_id.to_owned(), event_id: next, end }.encode_to_vec().into()
            }
            _ => Bytes::new(),
        };
        Ok((page, token))
    }

    /// A page of the events at hand and those before them that are only in the store, of which no more is read than the
    /// page has room for.
    async fn page(
        &self,
        seq: i64,
        missing: Option<(i64, i64)>,
        mut events: Vec<HistoryEvent>,
        order: EventOrder,
    ) -> Result<Vec<HistoryEvent>, ServiceError> {
        let mut page = Page::default();
        if order == EventOrder::NewestFirst {
            events.reverse();
            if page.extend(std::mem::take(&mut events)).is_break() {
                return Ok(page.events);
            }
        }
        if let Some((from, end)) = missing {
            let (read, ended) = self
                .read_while_wanted(move |store, wanted| {
                    let ended = page.read(store, seq, from..end, order, wanted)?;
                    Ok((page, ended))
                })
                .await?;
            if ended.is_break() {
                return Ok(read.events);
            }
            page = read;
        }
        let _ = page.extend(events);
        Ok(page.events)
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

/// A page in the making.
#[derive(Default)]
struct Page {
    events: Vec<HistoryEvent>,
    bytes: usize,
}

impl Page {
    /// Adds an event. Breaks where the page would grow too large; the first event always stays.
    fn add(&mut self, event: HistoryEvent) -> ControlFlow<()> {
        let is_first = self.events.is_empty();
        self.count(&event, is_first)?;
        self.events.push(event);
        ControlFlow::Continue(())
    }

    fn extend(&mut self, mut events: Vec<HistoryEvent>) -> ControlFlow<()> {
        let is_empty = self.events.is_empty();
        let beyond =
            (0..).zip(&events).position(|(n, event)| self.count(event, is_empty && n == 0).is_break());
        events.truncate(beyond.unwrap_or(events.len()));
        if is_empty {
            // Most pages are this and nothing else, and events are large to move.
            self.events = events;
        } else {
            self.events.append(&mut events);
        }
        if beyond.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn count(&mut self, event: &HistoryEvent, is_first: bool) -> ControlFlow<()> {
        self.bytes += event.encoded_len();
        if self.bytes > PAGE_BYTES && !is_first {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Adds stored events. Breaks where the page is full, or nobody waits for it any more.
    fn read(
        &mut self,
        store: &dyn Store,
        seq: i64,
        events: Range<i64>,
        order: EventOrder,
        wanted: &Wanted,
    ) -> Result<ControlFlow<()>, ServiceError> {
        // All ids of the range are there, one after the other.
        let (mut next, step) = match order {
            EventOrder::OldestFirst => (events.start, 1),
            EventOrder::NewestFirst => (events.end - 1, -1),
        };
        let (mut ended, mut malformed) = (ControlFlow::Continue(()), None);
        store.batches(seq, events.clone(), order, &mut |_, batch| {
            if wanted.is_over() {
                ended = ControlFlow::Break(());
                return ended;
            }
            let mut batch = match History::decode(batch) {
                Ok(history) => history.events,
                Err(error) => {
                    malformed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            if order == EventOrder::NewestFirst {
                batch.reverse();
            }
            for event in batch.into_iter().filter(|event| events.contains(&event.event_id)) {
                if event.event_id != next {
                    return ControlFlow::Break(());
                }
                next += step;
                ended = self.add(event);
                if ended.is_break() {
                    return ended;
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = malformed {
            return Err(ServiceError::new(ErrorKind::DataLoss, LoadError::from(error).to_string()));
        }
        if ended.is_continue() && events.contains(&next) {
            let message = "events of this run are missing in the store; restore the state from a copy";
            return Err(ServiceError::new(ErrorKind::DataLoss, message).with("event", next.to_string()));
        }
        Ok(ended)
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
    let token = PageToken::decode(bytes).ok().filter(|token| token.event_id > 0 && token.end >= 0);
    token.map(Some).ok_or_else(|| {
        ServiceError::invalid_argument(
            "Invalid NextPageToken. next_page_token is not one that this server gave out",
        )
    })
}
