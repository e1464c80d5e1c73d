//! Updates on their way: to the run, and what comes of them to whoever asked.

use durably_proto::temporal::api::update::v1::Request;

use super::{Shard, runs::unexpected};
use crate::{
    ServiceError,
    engine::{Input, Output, UpdateStage},
    shard::{
        reply::Reply,
        runs::Target,
        start::{StartCall, Started},
        waiters::{Heard, UpdateStatus, WaitStage},
    },
};

impl Shard {
    pub(super) fn update(
        &mut self,
        target: &Target,
        first_run_id: &str,
        request: Box<Request>,
        stage: WaitStage,
        reply: Reply<Heard>,
    ) {
        let found = self.find(target).and_then(|seq| {
            self.check_first_run(seq, first_run_id)?;
            Ok(seq)
        });
        match found {
            Ok(seq) => self.update_run(seq, request, stage, reply),
            Err(error) => self.batch.reply(reply, Err(error)),
        }
    }

    fn update_run(&mut self, seq: i64, request: Box<Request>, stage: WaitStage, reply: Reply<Heard>) {
        let update_id = id_of(&request);
        match self.apply(seq, Input::Update(request)) {
            Ok(Output::Update(came)) => self.answer_or_wait(seq, update_id, came, stage, reply),
            Ok(output) => self.batch.reply(reply, Err(unexpected(&output))),
            Err(error) => self.batch.reply(reply, Err(error)),
        }
    }

    /// A start that comes to nothing where the workflow is there and may be used, and an update of whichever run there is
    /// then.
    pub(super) fn start_with_update(
        &mut self,
        namespace_id: &str,
        call: StartCall,
        request: Box<Request>,
        stage: WaitStage,
        started: Reply<Started>,
        reply: Reply<Heard>,
    ) {
        let workflow_id = call.request.workflow_id.clone();
        let start = self.start_for(namespace_id, call, Some(&id_of(&request)));
        let seq = match &start {
            Ok(start) => self.find(&Target::named(namespace_id, &workflow_id, &start.run_id)),
            Err(error) => Err(error.clone()),
        };
        self.batch.reply(started, start);
        match seq {
            Ok(seq) => self.update_run(seq, request, stage, reply),
            Err(error) => self.batch.reply(reply, Err(error)),
        }
    }

    pub(super) fn await_update(
        &mut self,
        target: &Target,
        update_id: String,
        stage: WaitStage,
        reply: Reply<Heard>,
    ) {
        let found = self.find(target).and_then(|seq| {
            let came = self.run(seq)?.update_stage(&update_id).ok_or_else(|| {
                ServiceError::not_found(format!("update \"{update_id}\" not found"))
                    .with("workflow_id", &*target.workflow_id)
            })?;
            Ok((seq, came))
        });
        match found {
            Ok((seq, came)) => self.answer_or_wait(seq, update_id, came, stage, reply),
            Err(error) => self.batch.reply(reply, Err(error)),
        }
    }

    fn answer_or_wait(
        &mut self,
        seq: i64,
        update_id: String,
        came: UpdateStage,
        stage: WaitStage,
        reply: Reply<Heard>,
    ) {
        if !stage.is_reached(&came) {
            return self.waiters.await_update(seq, update_id, stage, reply);
        }
        let status = self.run(seq).map(|run| UpdateStatus { seq, run: run.key().clone(), stage: came });
        self.batch.reply(reply, status.map(Heard::Update));
    }

    /// Updates that no worker has, and whose callers have all gone, must not keep their runs in memory. As long as there is
    /// room, they wait for a worker: a caller may come back.
    pub(super) fn forget_vanished_updates(&mut self) {
        let unsent = self.runs.iter().filter(|(_, slot)| slot.run.has_unsent_updates());
        let mut runs: Vec<i64> = unsent.map(|(seq, _)| seq).collect();
        runs.sort_unstable();
        for seq in runs {
            let but = self.waiters.awaited_updates(seq);
            let last_use = self.runs.last_use(seq);
            let _ = self.apply(seq, Input::ForgetUpdates { but });
            if let Some(last_use) = last_use {
                self.runs.set_last_use(seq, last_use);
            }
        }
        if !self.batch.is_empty() {
            self.finish_batch();
        }
    }

    /// The update has come further, or never will.
    pub(super) fn update_came(&mut self, seq: i64, update_id: &str, came: Result<UpdateStage, ServiceError>) {
        let told = self.waiters.take_update(seq, update_id, came.as_ref().ok());
        if told.is_empty() {
            return;
        }
        let status =
            came.and_then(|stage| Ok(UpdateStatus { seq, run: self.run(seq)?.key().clone(), stage }));
        for reply in told {
            self.batch.reply(reply, status.clone().map(Heard::Update));
        }
    }
}

fn id_of(request: &Request) -> String {
    request.meta.as_ref().map_or_else(String::new, |meta| meta.update_id.clone())
}
