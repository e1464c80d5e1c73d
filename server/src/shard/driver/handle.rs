//! What a shard does for each kind of [`Work`].

use durably_proto::temporal::api::workflowservice::v1::DescribeWorkflowExecutionResponse;

use super::Shard;
use crate::{
    ServiceError,
    engine::{Input, Output, Time, can_be_canceled, is_of_chain},
    shard::{
        events::{Selection, View},
        reply::Reply,
        runs::Target,
        timers::Sleeper,
        waiters::Heard,
        work::Work,
    },
};

impl Shard {
    /// Does what is asked. What it changes is stored with the batch, and the answer leaves after that.
    pub(in crate::shard) fn handle(&mut self, work: Work) {
        tracing::trace!(shard = self.index, ?work);
        self.doing = work.name();
        match work {
            Work::Start { namespace_id, call, reply } => {
                let started = self.start(&namespace_id, *call);
                self.batch.reply(reply, started);
            }
            Work::Input { target, input, reply } => {
                let output = self.input(&target, input);
                self.batch.reply(reply, output);
            }
            Work::RequestCancel { target, first_run_id, input, reply } => {
                let requested = self.request_cancel(&target, &first_run_id, input);
                self.batch.reply(reply, requested);
            }
            Work::Terminate { target, first_run_id, input, reply } => {
                let terminated = self.terminate(&target, &first_run_id, input);
                self.batch.reply(reply, terminated);
            }
            Work::Describe { target, reply } => {
                let described = self.describe(&target);
                self.batch.reply(reply, described);
            }
            Work::View { target, range, reply } => {
                let view = self.view(&target, range);
                self.batch.reply(reply, view);
            }
            Work::Watch { seq, from, close_only, reply } => self.watch(seq, from, close_only, reply),
            Work::Query { target, query, reject, reply } => self.query(&target, *query, reject, reply),
            Work::Update { target, first_run_id, request, stage, reply } => {
                self.update(&target, &first_run_id, request, stage, reply);
            }
            Work::StartWithUpdate { namespace_id, call, request, stage, started, reply } => {
                self.start_with_update(&namespace_id, *call, request, stage, started, reply);
            }
            Work::AwaitUpdate { target, update_id, stage, reply } => {
                self.await_update(&target, update_id, stage, reply);
            }
            Work::AnswerQuery { token, request, reply } => {
                let answered = self.respond_query(&token, *request);
                self.batch.reply(reply, answered);
            }
            Work::ForgetVanishedQueries => self.drop_vanished_askers(),
            Work::HasWorker { target, reply } => {
                let has_worker = self.has_worker(&target);
                self.batch.reply(reply, has_worker);
            }
            Work::TakeTask { task, poller, reply } => self.take_task(&task, *poller, reply),
            Work::TakeBack(task) => self.take_back(&task),
            Work::LeaveStickyQueue(task) => self.leave_sticky_queue(&task),
            Work::FindStale { tasks, reply } => {
                let stale = self.stale(tasks);
                self.batch.reply(reply, Ok(stale));
            }
            Work::PutNamespace { id, encoded, reply } => {
                self.batch.changes.namespaces.push((id, encoded));
                self.batch.reply(reply, Ok(()));
            }
            Work::Sleep { until, reply } => self.timers.sleep(until, Sleeper { reply, locks: false }),
            Work::UnlockTime { sleep_until, reply } => self.unlock_time(sleep_until, reply),
            Work::Receive(letter) => self.receive(letter),
            #[cfg(test)]
            Work::Inspect(look) => look(self),
        }
    }

    /// Finds the run and gives it an input.
    fn input(&mut self, target: &Target, input: Input) -> Result<(i64, Output), ServiceError> {
        let seq = self.find(target)?;
        Ok((seq, self.apply(seq, input)?))
    }

    fn request_cancel(
        &mut self,
        target: &Target,
        first_run_id: &str,
        input: Input,
    ) -> Result<(), ServiceError> {
        let seq = self.find(target)?;
        self.check_first_run(seq, first_run_id)?;
        if !can_be_canceled(self.run(seq)?.status()) {
            return Ok(());
        }
        self.accomplish(seq, input)
    }

    fn terminate(&mut self, target: &Target, first_run_id: &str, input: Input) -> Result<(), ServiceError> {
        if let Some(seq) = self.find_set_aside(target)? {
            return self.terminate_set_aside(seq);
        }
        let seq = self.find(target)?;
        self.check_first_run(seq, first_run_id)?;
        self.accomplish(seq, input)
    }

    fn describe(&mut self, target: &Target) -> Result<DescribeWorkflowExecutionResponse, ServiceError> {
        if let Some(seq) = self.find_set_aside(target)? {
            return self.describe_set_aside(seq);
        }
        let seq = self.find(target)?;
        Ok(self.run(seq)?.describe())
    }

    pub(super) fn check_first_run(&self, seq: i64, first_run_id: &str) -> Result<(), ServiceError> {
        let run = self.run(seq)?;
        if is_of_chain(&run.start_attributes().first_execution_run_id, first_run_id) {
            return Ok(());
        }
        Err(ServiceError::not_found("workflow execution not found: its chain began with another run")
            .with("first_execution_run_id", first_run_id))
    }

    /// Answers at once, or after the sleep: it is the clock that changed, and nothing that is stored. The shard does
    /// all of unlocking, sleeping and locking again, so that time can run on neither before the sleep is known nor
    /// after it has ended.
    fn unlock_time(&mut self, sleep_until: Option<Time>, reply: Reply<()>) {
        if !self.shared.clock.unlock(self.tasks_under_way()) {
            reply.send(Err(not_locked()));
            return;
        }
        match sleep_until {
            Some(until) => self.timers.sleep(until, Sleeper { reply, locks: true }),
            None => {
                reply.send(Ok(()));
            }
        }
    }

    fn view(&mut self, target: &Target, range: Selection) -> Result<View, ServiceError> {
        let seq = self.find(target)?;
        let run = self.run(seq)?;
        let (next_event_id, open) = (run.next_event_id(), run.is_open());
        let (from, end) = range.within(next_event_id, open);
        let (mut events, missing) = run.events(from, end);
        if let Selection::Task { end, .. } = range {
            events.extend(run.unwritten_events(end));
        }
        Ok(View { seq, run_id: run.key().run_id.to_string(), next_event_id, open, events, missing })
    }

    fn watch(&mut self, seq: i64, from: i64, close_only: bool, reply: Reply<Heard>) {
        let waits =
            self.run(seq).is_ok_and(|run| run.is_open() && (close_only || run.next_event_id() <= from));
        if waits {
            self.waiters.watch(seq, from, close_only, reply);
        } else {
            self.batch.reply(reply, Ok(Heard::Changed));
        }
    }
}

fn not_locked() -> ServiceError {
    ServiceError::failed_precondition("time skipping is not locked: each unlock needs a lock before it")
}
