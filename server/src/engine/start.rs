//! How a run begins: by a caller, or as the successor of another run.

use durably_proto::temporal::api::{
    common::v1::Link,
    enums::v1::{ContinueAsNewInitiator, WorkflowExecutionStatus},
    history::v1::{HistoryEvent, WorkflowExecutionStartedEventAttributes, history_event::Attributes},
    sdk::v1::UserMetadata,
};

use super::{
    Context, Execution, Poller, Receipt, RunKey, Signal, Time, WorkflowTaskGrant,
    state::{FORMAT, RunState},
    time::positive,
};

/// A run that does not exist yet.
#[derive(Debug)]
pub struct NewRun {
    pub key: RunKey,
    /// The started event, complete but for what [`Execution::start`] derives from the time.
    pub started: WorkflowExecutionStartedEventAttributes,
    pub user_metadata: Option<UserMetadata>,
    pub links: Vec<Link>,
    pub request_id: String,
    /// Signal-with-start.
    pub signal: Option<Signal>,
    /// Signals that came to the run before it when that had decided to end.
    pub signals: Vec<HistoryEvent>,
    /// By which repetitions of signals to the run before it are known.
    pub signal_request_ids: Vec<String>,
    /// The caller is a worker that takes the first workflow task with the answer.
    pub eager: Option<Poller>,
    /// What the run before it has taken in: a repetition may find this one.
    pub receipts: Vec<Receipt>,
}

impl Execution {
    /// Starts a run. With [`NewRun::eager`] and no back-off the first workflow task comes back started.
    pub fn start(new: NewRun, cx: &mut Context<'_>) -> (Self, Option<WorkflowTaskGrant>) {
        let NewRun {
            key,
            mut started,
            user_metadata,
            links,
            request_id,
            signal,
            signals,
            signal_request_ids,
            eager,
            receipts,
        } = new;
        let backoff = positive(started.first_workflow_task_backoff.as_ref()).unwrap_or(0);
        let execution_time = cx.now.after(backoff);
        if started.workflow_execution_expiration_time.is_none() {
            started.workflow_execution_expiration_time =
                positive(started.workflow_execution_timeout.as_ref())
                    .map(|timeout| execution_time.after(timeout).proto());
        }
        let run_end =
            positive(started.workflow_run_timeout.as_ref()).map(|timeout| execution_time.after(timeout));
        let chain_end = started.workflow_execution_expiration_time.as_ref().map(Time::from_proto);
        let eager = eager.filter(|_| backoff == 0);
        started.eager_execution_accepted = eager.is_some();
        let state = RunState {
            format: FORMAT,
            status: WorkflowExecutionStatus::Running as i32,
            next_event_id: 1,
            start_time: cx.now.0,
            execution_time: execution_time.0,
            run_expiration: run_end.into_iter().chain(chain_end).min().map(|time| time.0),
            first_task_due: (backoff > 0).then_some(execution_time.0),
            start_request_id: request_id,
            signal_request_ids,
            signal_count: signals.len() as i64,
            task_attempt: 1,
            ..Default::default()
        };
        let event = HistoryEvent {
            attributes: Some(Attributes::WorkflowExecutionStartedEventAttributes(started.clone())),
            user_metadata: user_metadata.clone(),
            links,
            ..Default::default()
        };
        let mut run = Self::new(key, started, user_metadata, state);
        run.push_event(event, cx);
        for (id, receipt) in (1..).zip(receipts) {
            run.pending.receipts.insert(id, receipt);
        }
        if let Some(signal) = signal {
            run.record_signal(signal, cx);
        }
        for signal in signals {
            // The time is this run's: a history's times do not go back.
            run.push_event(HistoryEvent { event_time: None, ..signal }, cx);
        }
        run.changed(cx);
        if run.state.first_task_due.is_some() {
            return (run, None);
        }
        if let Some(poller) = eager {
            run.schedule_task_without_offer(cx);
            let grant = run.begin_and_grant(false, poller, cx);
            return (run, Some(grant));
        }
        run.schedule_task(cx);
        (run, None)
    }

    /// A signal may cut a start delay short, but not the pause before a retry or a cron run.
    pub(super) fn start_delay_can_be_cut(&self) -> bool {
        self.start.initiator() == ContinueAsNewInitiator::Unspecified && self.start.cron_schedule.is_empty()
    }
}
