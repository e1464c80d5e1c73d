//! Callers that wait for something of a run: for its next event, its end, the answer to a query, or what comes of an update. One book, one kind
//! of reply, and one place that says what becomes of them when the run or the shard ends.
//!
//! A new kind of waiting is a variant of [`Awaited`]; the compiler then names what must be said of it. A run that merely
//! leaves memory keeps its waiters: it comes back when something happens to it, or when a worker takes a query.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use durably_proto::temporal::api::{query::v1::WorkflowQuery, workflowservice::v1::QueryWorkflowResponse};

use super::{
    reply::{Reply, stopping},
    set_aside::SetAside,
};
use crate::{
    ServiceError,
    engine::{RunKey, UpdateStage},
};

/// What somebody who waits is told.
#[derive(Debug)]
pub(super) enum Heard {
    /// The run has more to show, or waiting makes no sense any more: look again.
    Changed,
    Answered(QueryWorkflowResponse),
    /// How far an update has come.
    Update(UpdateStatus),
}

/// An update of a run, and how far it has come.
#[derive(Clone, Debug)]
pub(super) struct UpdateStatus {
    pub seq: i64,
    pub run: RunKey,
    pub stage: UpdateStage,
}

/// How far an update must have come for whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitStage {
    /// Wherever it is.
    Any,
    Accepted,
    Completed,
}

impl WaitStage {
    pub(super) fn is_reached(self, stage: &UpdateStage) -> bool {
        match self {
            Self::Any => true,
            Self::Accepted => !matches!(stage, UpdateStage::Admitted),
            Self::Completed => matches!(stage, UpdateStage::Completed(_)),
        }
    }
}

/// What is waited for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// An event with this id, or the run's end.
    Event(i64),
    Close,
    Answer(Box<Question>),
    Update {
        id: String,
        stage: WaitStage,
    },
}

impl Awaited {
    /// The question, if an answer is awaited. Of a question the run must hear that nobody waits for it any more; any
    /// other waiter who has left leaves nothing behind.
    fn question(&self) -> Option<&Question> {
        match self {
            Self::Answer(question) => Some(question),
            Self::Event(_) | Self::Close | Self::Update { .. } => None,
        }
    }
}

/// A query without an answer.
#[derive(Debug)]
pub(super) struct Question {
    pub id: u64,
    /// Whom it was put to; the run itself may not be in memory.
    pub run: RunKey,
    pub query: WorkflowQuery,
}

/// Why a run's waiters are told something that they did not wait for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending<'a> {
    /// The run has closed. A worker can still answer what it was asked.
    Closed,
    /// What the run did last could not be stored: it is read back as it was, without what was asked of it meanwhile.
    TakenBack,
    Deleted,
    SetAside(&'a SetAside),
    /// It will not come to what these wait for; the error says why.
    Hopeless(&'a ServiceError, Waits),
    /// The shard works no more.
    Stopped,
}

impl Ending<'_> {
    /// What is said to whom; `None`: they go on waiting.
    fn word_for(self, awaited: &Awaited) -> Option<Result<Heard, ServiceError>> {
        match (self, awaited) {
            (Self::Closed, Awaited::Answer(_)) | (Self::Hopeless(..), Awaited::Event(_)) => None,
            (Self::Closed | Self::TakenBack | Self::Stopped, Awaited::Event(_) | Awaited::Close)
            | (Self::Closed | Self::TakenBack, Awaited::Update { .. }) => Some(Ok(Heard::Changed)),
            (Self::TakenBack, Awaited::Answer(_)) => {
                Some(Err(ServiceError::unavailable("the run is being read back; ask again")))
            }
            (Self::Stopped, Awaited::Answer(_) | Awaited::Update { .. }) => Some(Err(stopping())),
            (
                Self::Deleted,
                Awaited::Event(_) | Awaited::Close | Awaited::Answer(_) | Awaited::Update { .. },
            ) => Some(Err(ServiceError::not_found("workflow not found for this ID"))),
            (Self::Hopeless(error, of), Awaited::Close) => of.close.then(|| Err(error.clone())),
            (Self::Hopeless(error, of), Awaited::Answer(_)) => of.answer.then(|| Err(error.clone())),
            (Self::Hopeless(error, of), Awaited::Update { .. }) => of.update.then(|| Err(error.clone())),
            (
                Self::SetAside(set_aside),
                Awaited::Event(_) | Awaited::Close | Awaited::Answer(_) | Awaited::Update { .. },
            ) => Some(Err(set_aside.error())),
        }
    }
}

/// What is waited for of one run by anybody who can be told that it won't come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub close: bool,
    pub answer: bool,
    pub update: bool,
}

impl Waits {
    pub(super) const EVERYTHING: Self = Self { close: true, answer: true, update: true };
}

#[derive(Debug)]
struct Waiter {
    awaited: Awaited,
    reply: Reply<Heard>,
}

/// All who wait on runs of a shard.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_run: BTreeMap<i64, Vec<Waiter>>,
    /// The run of each question, by the question's id.
    asked: HashMap<u64, i64>,
    /// Runs with waiters that were stored with changes.
    changed: BTreeSet<i64>,
}

impl Waiters {
    /// Waits for an event with id `from`, or for the run's end; with `close_only` only for its end.
    pub(super) fn watch(&mut self, seq: i64, from: i64, close_only: bool, reply: Reply<Heard>) {
        let waiting = self.by_run.entry(seq).or_default();
        // Long polls end and come back; those that ended are let go here.
        waiting.retain(|waiter| waiter.awaited.question().is_some() || !waiter.reply.is_closed());
        let awaited = if close_only { Awaited::Close } else { Awaited::Event(from) };
        waiting.push(Waiter { awaited, reply });
    }

    /// Waits for the answer to a query; the id by which it is answered. It is random, so that no answer that is late by a
    /// restart finds somebody else who asks.
    pub(super) fn ask(&mut self, seq: i64, run: RunKey, query: WorkflowQuery, reply: Reply<Heard>) -> u64 {
        let id = loop {
            // Zero is what a token without a query has.
            let id = rand::random();
            if id != 0 && !self.asked.contains_key(&id) {
                break id;
            }
        };
        self.asked.insert(id, seq);
        let awaited = Awaited::Answer(Box::new(Question { id, run, query }));
        self.by_run.entry(seq).or_default().push(Waiter { awaited, reply });
        id
    }

    /// Waits for what comes of an update.
    pub(super) fn await_update(&mut self, seq: i64, id: String, stage: WaitStage, reply: Reply<Heard>) {
        let waiting = self.by_run.entry(seq).or_default();
        waiting.retain(|waiter| waiter.awaited.question().is_some() || !waiter.reply.is_closed());
        waiting.push(Waiter { awaited: Awaited::Update { id, stage }, reply });
    }

    /// The updates of the run that somebody waits for.
    pub(super) fn awaited_updates(&self, seq: i64) -> BTreeSet<String> {
        let waiting = self.by_run.get(&seq).into_iter().flatten();
        let update = |waiter: &Waiter| match &waiter.awaited {
            Awaited::Update { id, .. } if !waiter.reply.is_closed() => Some(id.clone()),
            _ => None,
        };
        waiting.filter_map(update).collect()
    }

    /// Takes out those who have waited for this of the update.
    pub(super) fn take_update(
        &mut self,
        seq: i64,
        update_id: &str,
        came: Option<&UpdateStage>,
    ) -> Vec<Reply<Heard>> {
        let Some(waiting) = self.by_run.remove(&seq) else { return Vec::new() };
        let (told, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|waiter| match &waiter.awaited {
            Awaited::Update { id, stage } => {
                id == update_id && came.is_none_or(|came| stage.is_reached(came))
            }
            Awaited::Event(_) | Awaited::Close | Awaited::Answer(_) => false,
        });
        if !rest.is_empty() {
            self.by_run.insert(seq, rest);
        }
        told.into_iter().map(|waiter| waiter.reply).collect()
    }

    /// A question, and whether whoever asked still waits.
    fn find(&self, id: u64) -> Option<(&Question, bool)> {
        let waiting = self.by_run.get(self.asked.get(&id)?)?;
        waiting.iter().find_map(|waiter| {
            let question = waiter.awaited.question().filter(|question| question.id == id)?;
            Some((question, !waiter.reply.is_closed()))
        })
    }

    /// The question of that id, whoever has asked it.
    pub(super) fn question(&self, id: u64) -> Option<&Question> {
        self.find(id).map(|(question, _)| question)
    }

    /// The question, if anybody still waits for its answer.
    pub(super) fn live_question(&self, id: u64) -> Option<&Question> {
        self.find(id).filter(|(_, waits)| *waits).map(|(question, _)| question)
    }

    /// Takes out whoever asked, to be answered.
    pub(super) fn take(&mut self, id: u64) -> Option<Reply<Heard>> {
        let seq = self.asked.remove(&id)?;
        let waiting = self.by_run.get_mut(&seq)?;
        let place = waiting
            .iter()
            .position(|waiter| waiter.awaited.question().is_some_and(|question| question.id == id))?;
        let reply = waiting.remove(place).reply;
        if waiting.is_empty() {
            self.by_run.remove(&seq);
        }
        Some(reply)
    }

    /// Lets go of questions whose askers have given up: each with its run.
    pub(super) fn take_vanished(&mut self) -> Vec<(u64, i64)> {
        let mut gone: Vec<(u64, i64)> = self
            .asked
            .iter()
            .filter(|(id, _)| self.live_question(**id).is_none())
            .map(|(id, seq)| (*id, *seq))
            .collect();
        gone.sort_unstable();
        for (id, _) in &gone {
            self.take(*id);
        }
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_run.is_empty()
    }

    /// The runs whose end or answer somebody waits for.
    pub(super) fn waiting(&self) -> BTreeMap<i64, Waits> {
        let mut all = BTreeMap::new();
        for (seq, waiters) in &self.by_run {
            let mut waits = Waits::default();
            for waiter in waiters.iter().filter(|waiter| !waiter.reply.is_closed()) {
                match &waiter.awaited {
                    Awaited::Event(_) => {}
                    Awaited::Close => waits.close = true,
                    Awaited::Answer(_) => waits.answer = true,
                    Awaited::Update { .. } => waits.update = true,
                }
            }
            if waits != Waits::default() {
                all.insert(*seq, waits);
            }
        }
        all
    }

    /// The run was stored with changes.
    pub(super) fn mark(&mut self, seq: i64) {
        if self.by_run.contains_key(&seq) {
            self.changed.insert(seq);
        }
    }

    /// Wakes whoever has something to see. `look` says whether a run is open and which id its next event gets; of a run
    /// that is not in memory it says nothing.
    pub(super) fn notify(&mut self, look: impl Fn(i64) -> Option<(bool, i64)>) {
        for seq in std::mem::take(&mut self.changed) {
            let Some((true, next_event_id)) = look(seq) else {
                self.end(seq, Ending::Closed);
                continue;
            };
            self.tell(seq, |awaited| match awaited {
                Awaited::Event(from) => (*from < next_event_id).then_some(Ok(Heard::Changed)),
                Awaited::Close | Awaited::Answer(_) | Awaited::Update { .. } => None,
            });
        }
    }

    /// The run, or what was going on in it, ends.
    pub(super) fn end(&mut self, seq: i64, ending: Ending<'_>) {
        self.tell(seq, |awaited| ending.word_for(awaited));
    }

    /// The same for all runs.
    pub(super) fn end_all(&mut self, ending: Ending<'_>) {
        let runs: Vec<i64> = self.by_run.keys().copied().collect();
        for seq in runs {
            self.end(seq, ending);
        }
    }

    fn tell(&mut self, seq: i64, word: impl Fn(&Awaited) -> Option<Result<Heard, ServiceError>>) {
        let Some(waiting) = self.by_run.remove(&seq) else { return };
        let mut rest = Vec::new();
        for waiter in waiting {
            match word(&waiter.awaited) {
                Some(word) => {
                    if let Some(question) = waiter.awaited.question() {
                        self.asked.remove(&question.id);
                    }
                    waiter.reply.send(word);
                }
                None if waiter.reply.is_closed() && waiter.awaited.question().is_none() => {}
                None => rest.push(waiter),
            }
        }
        if !rest.is_empty() {
            self.by_run.insert(seq, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::reply::Answer;

    fn key() -> RunKey {
        RunKey { namespace_id: "ns".into(), workflow_id: "w".into(), run_id: "r".into() }
    }

    /// One run with one waiter of each kind.
    fn one_of_each() -> (Waiters, Vec<(&'static str, Answer<Heard>)>) {
        let mut waiters = Waiters::default();
        let mut answers = Vec::new();
        for (name, close_only) in [("event", false), ("close", true)] {
            let (reply, answer) = Reply::new();
            waiters.watch(7, 5, close_only, reply);
            answers.push((name, answer));
        }
        let (reply, answer) = Reply::new();
        waiters.ask(7, key(), WorkflowQuery::default(), reply);
        answers.push(("answer", answer));
        let (reply, answer) = Reply::new();
        waiters.await_update(7, "u".into(), WaitStage::Completed, reply);
        answers.push(("update", answer));
        (waiters, answers)
    }

    fn heard(answers: &mut [(&'static str, Answer<Heard>)]) -> Vec<String> {
        let word = |answer: &mut Answer<Heard>| match answer.try_recv() {
            Ok(Ok(Heard::Changed)) => "looks again".to_owned(),
            Ok(Ok(Heard::Answered(_) | Heard::Update(_))) => "is answered".to_owned(),
            Ok(Err(error)) => format!("{:?}", error.kind().code()),
            Err(_) => "waits".to_owned(),
        };
        answers.iter_mut().map(|(name, answer)| format!("{name} {}", word(answer))).collect()
    }

    #[test]
    fn what_becomes_of_each_kind_at_each_end() {
        let set_aside = SetAside { seq: 7, key: key(), reason: "damaged".into(), closed: false };
        for (ending, expected) in [
            (
                Ending::Closed,
                ["event looks again", "close looks again", "answer waits", "update looks again"],
            ),
            (
                Ending::TakenBack,
                ["event looks again", "close looks again", "answer Unavailable", "update looks again"],
            ),
            (Ending::Deleted, ["event NotFound", "close NotFound", "answer NotFound", "update NotFound"]),
            (
                Ending::SetAside(&set_aside),
                ["event DataLoss", "close DataLoss", "answer DataLoss", "update DataLoss"],
            ),
            (
                Ending::Stopped,
                ["event looks again", "close looks again", "answer Unavailable", "update Unavailable"],
            ),
            (
                Ending::Hopeless(&ServiceError::failed_precondition("no worker"), Waits::EVERYTHING),
                [
                    "event waits",
                    "close FailedPrecondition",
                    "answer FailedPrecondition",
                    "update FailedPrecondition",
                ],
            ),
            (
                Ending::Hopeless(
                    &ServiceError::failed_precondition("no such activity"),
                    Waits { close: true, ..Waits::default() },
                ),
                ["event waits", "close FailedPrecondition", "answer waits", "update waits"],
            ),
        ] {
            let (mut waiters, mut answers) = one_of_each();
            waiters.end(8, ending);
            waiters.end_all(ending);
            assert_eq!(heard(&mut answers), expected, "{ending:?}");
            let asked = usize::from(expected.contains(&"answer waits"));
            let runs = usize::from(expected.iter().any(|word| word.ends_with("waits")));
            assert_eq!((waiters.asked.len(), waiters.by_run.len()), (asked, runs), "{ending:?}");
        }
    }

    #[test]
    fn readers_are_woken_by_what_they_have_not_seen() {
        let (mut waiters, mut answers) = one_of_each();
        waiters.notify(|_| Some((true, 6)));
        let all_wait = ["event waits", "close waits", "answer waits", "update waits"];
        assert_eq!(heard(&mut answers), all_wait, "nothing was stored");
        waiters.mark(7);
        waiters.notify(|_| Some((true, 5)));
        assert_eq!(heard(&mut answers), all_wait);
        waiters.mark(7);
        waiters.notify(|_| Some((true, 6)));
        answers.remove(0);
        waiters.mark(7);
        waiters.notify(|_| Some((false, 9)));
        assert_eq!(heard(&mut answers), ["close looks again", "answer waits", "update looks again"]);
    }

    #[test]
    fn a_question_is_answered_once_and_forgotten_when_nobody_waits() {
        let mut waiters = Waiters::default();
        let (reply, _answer) = Reply::new();
        let id = waiters.ask(7, key(), WorkflowQuery::default(), reply);
        assert_eq!(waiters.question(id).map(|question| &question.run), Some(&key()));
        assert!(waiters.live_question(id).is_some());
        assert!(waiters.take(id).is_some());
        assert!(waiters.take(id).is_none() && waiters.question(id).is_none());

        let (reply, _) = Reply::new();
        let id = waiters.ask(7, key(), WorkflowQuery::default(), reply);
        assert!(waiters.live_question(id).is_none() && waiters.question(id).is_some());
        assert_eq!(waiters.take_vanished(), [(id, 7)]);
        assert!(waiters.by_run.is_empty() && waiters.asked.is_empty());
    }
}
