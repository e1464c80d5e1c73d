//! Drives runs as a worker would: live from the cache, anew at each task, and in full; in one piece and in pages.

use bytes::Bytes;
use durably_core::workflow::{
    HistoryPage, Message, Query, Run, RunOptions, Step, UpdateRequest, WorkflowTask,
};
use durably_proto::durably::core::v1::{
    HistoryDialect, ReplayHistory, WorkflowActivation, WorkflowCompletion,
};
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::history::v1::{History, HistoryEvent};

use super::events::update_request;
use super::text;

/// Answers activations.
pub(crate) trait Sdk {
    fn answer(&mut self, activation: &WorkflowActivation) -> WorkflowCompletion;
}

impl<F: FnMut(&WorkflowActivation) -> WorkflowCompletion> Sdk for F {
    fn answer(&mut self, activation: &WorkflowActivation) -> WorkflowCompletion {
        self(activation)
    }
}

/// Carries out steps until nothing is left to do, and returns them all. Pages come from `fetch`.
pub(crate) fn settle(
    run: &mut Run,
    steps: Vec<Step>,
    sdk: &mut impl Sdk,
    fetch: &mut impl FnMut(&Bytes) -> HistoryPage,
) -> Vec<Step> {
    let mut all = Vec::new();
    let mut todo: std::collections::VecDeque<Step> = steps.into();
    while let Some(step) = todo.pop_front() {
        match &step {
            Step::Activate(activation) => todo.extend(run.handle_completion(sdk.answer(activation))),
            Step::NeedHistory { next_page_token } => {
                todo.extend(run.handle_history_page(fetch(next_page_token)));
            }
            _ => {}
        }
        all.push(step);
    }
    all
}

/// A server that has a history and hands it out in pages of `size`.
pub(crate) fn pages(history: &[HistoryEvent], size: usize) -> impl FnMut(&Bytes) -> HistoryPage + '_ {
    move |token| page(history, size, token)
}

fn page(history: &[HistoryEvent], size: usize, token: &Bytes) -> HistoryPage {
    let from: usize = std::str::from_utf8(token).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let to = (from + size).min(history.len());
    let next_page_token = if to < history.len() { Bytes::from(to.to_string()) } else { Bytes::new() };
    HistoryPage { events: history[from..to].to_vec(), next_page_token }
}

/// A workflow task as live workers meet it.
#[derive(Clone, Debug)]
pub(crate) struct LiveTask {
    pub(crate) started_event_id: i64,
    /// Start of the task completed before it; 0 if there is none.
    pub(crate) previous_started_event_id: i64,
}

/// The tasks of a history that were completed, or are open at its end.
pub(crate) fn live_tasks(history: &[HistoryEvent]) -> Vec<LiveTask> {
    let mut tasks: Vec<LiveTask> = Vec::new();
    for (index, event) in history.iter().enumerate() {
        if !matches!(event.attributes, Some(Attributes::WorkflowTaskStartedEventAttributes(_))) {
            continue;
        }
        let next = history.get(index + 1).and_then(|event| event.attributes.as_ref());
        if matches!(next, None | Some(Attributes::WorkflowTaskCompletedEventAttributes(_))) {
            let previous = tasks.last().map_or(0, |task| task.started_event_id);
            let task = LiveTask { started_event_id: event.event_id, previous_started_event_id: previous };
            tasks.push(task);
        }
    }
    tasks
}

/// The task with the events from `from` (exclusive) to its start.
pub(crate) fn task_with(
    history: &[HistoryEvent],
    task: &LiveTask,
    from: i64,
    queries: Vec<Query>,
) -> WorkflowTask {
    let (from, to) = (from as usize, task.started_event_id as usize);
    WorkflowTask {
        task_token: Bytes::from(format!("task {}", task.started_event_id)),
        workflow_id: "order-1".to_owned(),
        run_id: "run".to_owned(),
        workflow_type: "Order".to_owned(),
        attempt: 1,
        previous_started_event_id: task.previous_started_event_id,
        started_event_id: task.started_event_id,
        history: history[from..to].to_vec(),
        queries,
        messages: accepted_behind(history, to),
        ..WorkflowTask::default()
    }
}

/// What had come with the task that started at `started`: the updates that it accepted.
fn accepted_behind(history: &[HistoryEvent], started: usize) -> Vec<Message> {
    let recorded = history.get(started + 1..).unwrap_or_default().iter().map_while(|event| {
        let attributes = event.attributes.as_ref()?;
        (!matches!(attributes, Attributes::WorkflowTaskScheduledEventAttributes(_))).then_some(attributes)
    });
    recorded
        .filter_map(|attributes| match attributes {
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(accepted) => {
                let request = accepted.accepted_request.clone()?;
                Some(Message::Update(Box::new(UpdateRequest {
                    id: accepted.accepted_request_message_id.clone(),
                    protocol_instance_id: accepted.protocol_instance_id.clone(),
                    event_id: accepted.accepted_request_sequencing_event_id,
                    request,
                })))
            }
            _ => None,
        })
        .collect()
}

/// A message that asks for an update, as the server sends it with the task that is scheduled by this event.
pub(crate) fn update(name: &str, id: &str, argument: Option<&&str>, event_id: i64) -> Message {
    Message::Update(Box::new(UpdateRequest {
        id: format!("{id}/request"),
        protocol_instance_id: id.to_owned(),
        event_id,
        request: update_request(name, id, argument),
    }))
}

/// A query task. `history` is empty for a cached run.
pub(crate) fn query_task(
    history: Vec<HistoryEvent>,
    previous_started_event_id: i64,
    name: &str,
) -> WorkflowTask {
    WorkflowTask {
        task_token: Bytes::from_static(b"query"),
        workflow_id: "order-1".to_owned(),
        run_id: "run".to_owned(),
        workflow_type: "Order".to_owned(),
        attempt: 1,
        previous_started_event_id,
        history,
        query: Some(Query { name: name.to_owned(), ..Query::default() }),
        ..WorkflowTask::default()
    }
}

/// What the completed task said, if one was.
pub(crate) fn response(steps: &[Step]) -> Option<String> {
    steps.iter().find_map(|step| match step {
        Step::RespondCompleted(task) => {
            let messages: Vec<String> = task.messages.iter().map(text::message).collect();
            Some(format!("{} + {}", text::commands(&task.commands), messages.join("; ")))
        }
        Step::FailTask(task) => Some(format!("failed: {}", task.failure.message)),
        _ => None,
    })
}

/// Replays a history in full.
pub(crate) fn replay(history: &[HistoryEvent], sdk: &mut impl Sdk) -> Vec<Step> {
    replay_as(&RunOptions::default(), history, sdk)
}

/// What runs in a history of this dialect begin with.
pub(crate) fn options(dialect: HistoryDialect) -> RunOptions {
    RunOptions { dialect, ..RunOptions::default() }
}

/// Replays a history in full, by a worker with these options.
pub(crate) fn replay_as(options: &RunOptions, history: &[HistoryEvent], sdk: &mut impl Sdk) -> Vec<Step> {
    let history = Some(History { events: history.to_vec() });
    let (mut run, steps) = Run::replay(options, ReplayHistory { workflow_id: "order-1".to_owned(), history });
    settle(&mut run, steps, sdk, &mut |_| HistoryPage::default())
}
