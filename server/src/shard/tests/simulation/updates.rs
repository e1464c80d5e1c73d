//! Updates in the simulation: clients that ask until they have the outcome, and workers that answer now or later.
//!
//! An update's id says what workers make of it, always: `u…` they accept, `r…` they reject, `i…` they say nothing of. So
//! the history must have those of the first kind, and none of the others, whoever is told what.

use std::collections::BTreeSet;

use durably_proto::temporal::api::{
    command::v1::ProtocolMessageCommandAttributes,
    common::v1::{Payload, Payloads},
    failure::v1::failure::FailureInfo,
    history::v1::HistoryEvent,
    protocol::v1::Message as ProtocolMessage,
    update::v1::{self, Acceptance, Meta, Outcome, Rejection, Response, outcome},
};
use prost::Name;
use tokio::sync::oneshot::error::TryRecvError;
use tonic::Code;

use super::*;
use crate::{
    engine::{UpdateOutcome, UpdateStage, outcome_in},
    shard::{
        reply::Answer,
        waiters::{Heard, UpdateStatus, WaitStage},
        work::Work,
    },
};

/// A workflow task that a worker has, and what it knows of the run's updates.
pub(super) struct Held {
    pub(super) token: TaskToken,
    asked: Vec<v1::Request>,
    /// Accepted with an earlier task, and not completed.
    accepted: Vec<String>,
}

/// Somebody who has asked for an update, and will ask again until it has its outcome.
struct Asker {
    workflow: String,
    update_id: String,
    stage: WaitStage,
    /// The run that has accepted it.
    accepted_in: Option<String>,
    answer: Option<Answer<Heard>>,
}

impl Asker {
    fn target(&self) -> Target {
        Target::named("ns", &self.workflow, self.accepted_in.as_deref().unwrap_or_default())
    }
}

/// What an asker was told of an update of a run.
struct Told {
    run_id: String,
    update_id: String,
    /// `None`: accepted.
    outcome: Option<Outcome>,
}

#[derive(Default)]
pub(super) struct Updates {
    askers: Vec<Asker>,
    told: Vec<Told>,
    /// Of every update that anybody asked for: its workflow and its id.
    known: Vec<(String, String)>,
    replies: u32,
}

impl Updates {
    /// Some asker had the outcome that a worker gave.
    pub(super) fn has_success(&self) -> bool {
        self.told
            .iter()
            .any(|told| told.outcome.as_ref().is_some_and(|outcome| failure_of(outcome).is_none()))
    }
}

impl World {
    /// Somebody new asks: for a new update, or for one that others have asked for.
    pub(super) fn ask(&mut self) {
        let known = &self.updates.known;
        let (workflow, update_id) = if !known.is_empty() && self.random.random_ratio(1, 3) {
            known[self.random.random_range(0..known.len())].clone()
        } else {
            let kind = ["u", "u", "u", "u", "r", "i"][self.random.random_range(0..6)];
            let new = (self.workflow(), format!("{kind}{}", self.updates.known.len()));
            self.updates.known.push(new.clone());
            new
        };
        let stage =
            [WaitStage::Any, WaitStage::Accepted, WaitStage::Completed][self.random.random_range(0..3)];
        self.updates.askers.push(Asker { workflow, update_id, stage, accepted_in: None, answer: None });
        self.send(self.updates.askers.len() - 1);
    }

    fn send(&mut self, index: usize) {
        let (reply, answer) = Reply::new();
        let asker = &mut self.updates.askers[index];
        asker.answer = Some(answer);
        let (update_id, stage) = (asker.update_id.clone(), asker.stage);
        let target = asker.target();
        let _ = writeln!(self.log, "ask for {update_id} of {}", asker.workflow);
        let work = if asker.accepted_in.is_some() {
            Work::AwaitUpdate { target, update_id, stage: WaitStage::Completed, reply }
        } else {
            let meta = Meta { update_id, identity: "asker".into() };
            let request = Box::new(v1::Request { meta: Some(meta), ..Default::default() });
            Work::Update { target, first_run_id: String::new(), request, stage, reply }
        };
        self.shard.handle(work);
        self.settle();
        if self.random.random_ratio(1, 40) {
            self.crash();
        }
    }

    /// Whoever waits for an update is gone, for now.
    pub(super) fn lose_asker(&mut self) {
        if !self.updates.askers.is_empty() {
            let index = self.random.random_range(0..self.updates.askers.len());
            self.updates.askers[index].answer = None;
        }
    }

    /// Those who have an answer take it; those who have heard nothing may ask again.
    pub(super) fn collect_answers(&mut self, again: bool) {
        let mut index = 0;
        while index < self.updates.askers.len() {
            if self.hear(index) {
                self.updates.askers.remove(index);
                continue;
            }
            if self.updates.askers[index].answer.is_none() && (again || self.random.random_ratio(1, 5)) {
                self.send(index);
            }
            index += 1;
        }
    }

    /// Whether the asker is done.
    fn hear(&mut self, index: usize) -> bool {
        let asker = &mut self.updates.askers[index];
        let Some(answer) = &mut asker.answer else { return false };
        let heard = match answer.try_recv() {
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Closed) => None,
            Ok(heard) => Some(heard),
        };
        asker.answer = None;
        let update_id = asker.update_id.clone();
        match heard {
            None | Some(Ok(Heard::Changed)) => false,
            Some(Ok(Heard::Answered(_))) => panic!("an update was answered like a query"),
            Some(Ok(Heard::Update(status))) => self.told(index, status),
            Some(Err(error)) => {
                let code = error.kind().code();
                let _ = writeln!(self.log, "asker of {update_id} hears {code:?}");
                match code {
                    Code::NotFound => {
                        let accepted_in = &asker.accepted_in;
                        assert_eq!(*accepted_in, None, "accepted update {update_id} is lost: {error}");
                        true
                    }
                    Code::Unavailable | Code::ResourceExhausted | Code::FailedPrecondition => false,
                    // Of a run that was damaged.
                    Code::DataLoss => true,
                    _ => panic!("update {update_id}: {error}"),
                }
            }
        }
    }

    fn told(&mut self, index: usize, status: UpdateStatus) -> bool {
        let UpdateStatus { seq, run, stage } = status;
        let asker = &mut self.updates.askers[index];
        let (run_id, update_id) = (run.run_id.to_string(), asker.update_id.clone());
        let outcome = match stage {
            UpdateStage::Admitted => {
                assert_eq!(asker.stage, WaitStage::Any, "{update_id} was not accepted yet");
                asker.stage = WaitStage::Completed;
                return false;
            }
            UpdateStage::Accepted => {
                assert_ne!(asker.stage, WaitStage::Completed, "{update_id} was not completed yet");
                asker.stage = WaitStage::Completed;
                asker.accepted_in = Some(run_id.clone());
                None
            }
            UpdateStage::Completed(UpdateOutcome::Known(outcome)) => Some(*outcome),
            UpdateStage::Completed(UpdateOutcome::In(event)) => {
                let events = decode(self.store.events(seq, event, event + 1).unwrap(), event, event + 1);
                Some(events.unwrap().into_iter().find_map(outcome_in).expect("the event has the outcome"))
            }
        };
        let said = outcome.as_ref().map_or("accepted", |outcome| failure_of(outcome).unwrap_or("completed"));
        let _ = writeln!(self.log, "told of {update_id}: {said}");
        let is_over = outcome.is_some();
        self.updates.told.push(Told { run_id, update_id, outcome });
        is_over
    }

    /// A worker takes the task.
    pub(super) fn hold(&mut self, response: PollWorkflowTaskQueueResponse) {
        let token = TaskToken::decode(response.task_token).unwrap();
        let asked: Vec<_> = response
            .messages
            .into_iter()
            .map(|message| v1::Request::decode(&*message.body.unwrap().value).unwrap())
            .collect();
        let known: BTreeSet<_> = asked.iter().map(id_of).collect();
        assert_eq!(known.len(), asked.len(), "an update goes with a task once");
        let target = Target::named("ns", &token.workflow_id, &token.run_id);
        let accepted = match self.shard.runs.find(&target).and_then(|seq| self.shard.runs.get(seq)) {
            Some(slot) => {
                let own = self.updates.known.iter().filter(|(workflow, _)| *workflow == token.workflow_id);
                let own = own.map(|(_, update_id)| update_id);
                own.filter(|id| slot.run.update_stage(id) == Some(UpdateStage::Accepted)).cloned().collect()
            }
            None => Vec::new(),
        };
        assert!(accepted.iter().all(|id: &String| !known.contains(id)), "an accepted update is asked again");
        self.workflow_tasks.push(Held { token, asked, accepted });
    }

    /// What the worker says of the updates. With `all`, it leaves none for later.
    pub(super) fn reply_to_updates(
        &mut self,
        held: &mut Held,
        all: bool,
        request: &mut RespondWorkflowTaskCompletedRequest,
    ) {
        let ids: Vec<_> = held.asked.iter().map(id_of).collect();
        let _ =
            writeln!(self.log, "{:?} replies to {ids:?}, {:?}", held.token.scheduled_event_id, held.accepted);
        let mut replies = Vec::new();
        let mut to_complete = std::mem::take(&mut held.accepted);
        for asked in std::mem::take(&mut held.asked) {
            let id = id_of(&asked);
            if id.starts_with('u') {
                to_complete.push(id.clone());
                replies
                    .push(message(&id, &Acceptance { accepted_request: Some(asked), ..Default::default() }));
            } else if id.starts_with('r') {
                let failure = Some(Failure { message: "no".into(), ..Default::default() });
                let rejected_request = Some(asked);
                replies.push(message(&id, &Rejection { rejected_request, failure, ..Default::default() }));
            }
        }
        for id in to_complete {
            if all || self.random.random() {
                self.updates.replies += 1;
                let data = format!("{id}, reply {}", self.updates.replies).into();
                let payloads = vec![Payload { data, ..Default::default() }];
                let outcome = Outcome { value: Some(outcome::Value::Success(Payloads { payloads })) };
                let meta = Meta { update_id: id.clone(), ..Default::default() };
                replies.push(message(&id, &Response { meta: Some(meta), outcome: Some(outcome) }));
            }
        }
        if !all && !replies.is_empty() && self.random.random_ratio(1, 20) {
            // Nobody may say a thing twice.
            replies.push(replies[0].clone());
        }
        let named: bool = self.random.random();
        if named {
            let attributes =
                |reply: &ProtocolMessage| ProtocolMessageCommandAttributes { message_id: reply.id.clone() };
            let commands =
                replies.iter().map(|reply| command(C::ProtocolMessageCommandAttributes(attributes(reply))));
            request.commands.splice(0..0, commands);
        }
        request.messages = replies;
    }

    /// Workers that behave, until no update waits for a worker that hears of it. (Those that were accepted before wait for
    /// the next task of their runs, which need not come.)
    pub(super) fn answer_all(&mut self) {
        let mut left = Vec::new();
        for _ in 0..1_500 {
            self.collect_answers(true);
            left = self.unanswered();
            if left.is_empty() {
                return;
            }
            self.terminate_poisoned();
            self.poll();
            self.complete_workflow_task(Manner::Answer);
            self.end_activity();
            self.pass(SECOND);
        }
        let now = self.clock.now();
        for (update_id, seq) in &left {
            let run = seq.and_then(|seq| self.shard.runs.get(seq)).map(|slot| &slot.run);
            let run = run.map(|run| (run.pending_dispatch(now), run.describe()));
            eprintln!("update {update_id} is never answered: {run:#?}");
        }
        assert!(left.is_empty(), "updates are never answered");
    }

    /// Those that somebody asks for in vain so far, with the runs that they are for.
    fn unanswered(&mut self) -> Vec<(String, Option<i64>)> {
        let mut left = Vec::new();
        for asker in &self.updates.askers {
            // Who waits for an accepted update does not keep its run in memory.
            let seq = self.shard.find(&asker.target()).ok();
            let run = seq.and_then(|seq| self.shard.runs.get(seq)).map(|slot| &slot.run);
            let stage = run.and_then(|run| run.update_stage(&asker.update_id));
            if asker.answer.is_none() || stage != Some(UpdateStage::Accepted) {
                left.push((asker.update_id.clone(), seq));
            }
        }
        left
    }

    /// Now that every run has ended, so has every update.
    pub(super) fn hear_all(&mut self) {
        for _ in 0..20 {
            self.collect_answers(true);
        }
        let left: Vec<_> =
            self.updates.askers.iter().map(|asker| (&asker.workflow, &asker.update_id)).collect();
        assert!(left.is_empty(), "all runs have ended, and nobody says what came of {left:?}");
    }
}

/// What the histories say of updates.
#[derive(Default)]
pub(super) struct Histories {
    /// By run and update: the accepting event, and the outcome.
    updates: BTreeMap<(String, String), (i64, Option<Outcome>)>,
}

impl Histories {
    pub(super) fn add(&mut self, run_id: &str, event: &HistoryEvent) {
        match event.attributes.as_ref().unwrap() {
            A::WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
                let id = a.protocol_instance_id.clone();
                assert!(id.starts_with('u'), "update {id} was never accepted, and is in a history");
                assert_eq!(
                    a.accepted_request.as_ref().map(id_of),
                    Some(id.clone()),
                    "what was asked is kept"
                );
                let before = self.updates.insert((run_id.to_owned(), id), (event.event_id, None));
                assert_eq!(before, None, "an update is accepted once");
            }
            A::WorkflowExecutionUpdateCompletedEventAttributes(a) => {
                let accepted = self
                    .updates
                    .iter_mut()
                    .find(|((of, _), (accepted, _))| *of == run_id && *accepted == a.accepted_event_id);
                let (_, (_, outcome)) = accepted.expect("an update is accepted before it is completed");
                let before = std::mem::replace(outcome, a.outcome.clone());
                assert_eq!(before, None, "an update is completed once");
            }
            _ => {}
        }
    }

    pub(super) fn check(&self, updates: &Updates) {
        for Told { run_id, update_id, outcome } in &updates.told {
            let told = format!("update {update_id} of run {run_id}");
            let stored = self.updates.get(&(run_id.clone(), update_id.clone()));
            let Some(outcome) = outcome else {
                assert!(stored.is_some(), "{told} was told as accepted, and is lost");
                continue;
            };
            match failure_of(outcome) {
                Some("no") => assert!(update_id.starts_with('r'), "{told} was not rejected"),
                Some("UnprocessedUpdate") => assert!(update_id.starts_with('i'), "{told} was not ignored"),
                Some("AcceptedUpdateCompletedWorkflow") => {
                    assert!(matches!(stored, Some((_, None))), "{told} did not end with its run: {stored:?}");
                }
                Some(other) => panic!("{told} came to {other}"),
                None => {
                    let stored = stored.and_then(|(_, outcome)| outcome.as_ref());
                    assert_eq!(stored, Some(outcome), "{told} came to something else");
                }
            }
        }
    }
}

fn message<T: prost::Message + Name>(update_id: &str, body: &T) -> ProtocolMessage {
    let type_url = format!("type.googleapis.com/{}", T::full_name());
    ProtocolMessage {
        id: format!("{update_id}/{}", T::NAME),
        protocol_instance_id: update_id.to_owned(),
        body: Some(prost_types::Any { type_url, value: body.encode_to_vec() }),
        ..Default::default()
    }
}

fn id_of(request: &v1::Request) -> String {
    request.meta.as_ref().expect("who asks says for what").update_id.clone()
}

/// The type of a failure, if it has one, or else its text; `None` of a success.
fn failure_of(outcome: &Outcome) -> Option<&str> {
    match outcome.value.as_ref().expect("an outcome says something") {
        outcome::Value::Success(_) => None,
        outcome::Value::Failure(failure) => Some(match &failure.failure_info {
            Some(FailureInfo::ApplicationFailureInfo(info)) => &info.r#type,
            _ => &failure.message,
        }),
    }
}
