//! A parent and its child, message by message.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Write as _,
};

use super::script::Script;
use crate::engine::{Body, Input, Message, Outcome};

/// Two runs, and what is on its way between them. What is carried can be lost and carried again.
#[derive(Default)]
struct Family {
    parent: Script,
    child: Script,
    log: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Parent,
    Child,
}

impl Family {
    /// A parent whose first task asks for a child, which was carried out as far as nothing is on its way.
    fn with(child: &str) -> Self {
        let mut family = Self::default();
        family.play(Who::Parent, &format!("start\npoll\ncomplete {child}"));
        family
    }

    fn play(&mut self, who: Who, lines: &str) -> &mut Self {
        for line in lines.lines().map(str::trim) {
            self.script(who).line(line);
        }
        self.tell(who);
        self
    }

    fn script(&mut self, who: Who) -> &mut Script {
        match who {
            Who::Parent => &mut self.parent,
            Who::Child => &mut self.child,
        }
    }

    fn tell(&mut self, who: Who) {
        let name = if who == Who::Parent { "parent" } else { "child" };
        let said = std::mem::take(&mut self.script(who).log);
        self.log.extend(said.lines().map(|line| format!("{name}: {line}\n")));
    }

    fn note(&mut self, what: &str) -> &mut Self {
        let _ = writeln!(self.log, "-- {what}");
        self
    }

    /// What one of them has said since it was asked last.
    fn said(&mut self, who: Who) -> VecDeque<Message> {
        std::mem::take(&mut self.script(who).messages).into()
    }

    /// Hands a message over and answers with what became of it.
    fn hand(&mut self, to: Who, message: &Message) -> Outcome {
        if let Body::StartChild(_) = &message.body {
            if self.child.has_begun() {
                return Outcome::Started { run_id: "child-run".into() };
            }
            let outcome = self.child.begin_child(message);
            self.tell(to);
            return outcome;
        }
        self.script(to).input(Input::Receive(Box::new(message.clone())));
        self.tell(to);
        self.script(to).outcome.clone().expect("an answer")
    }

    fn settle(&mut self, who: Who, message: &Message, outcome: Outcome) {
        self.script(who).input(Input::Settle { event_id: message.from.event_id, outcome });
        self.tell(who);
    }

    /// Carries what both have said, and the answers, until nothing is on its way.
    fn carry(&mut self) -> &mut Self {
        loop {
            let (down, up) = (self.said(Who::Parent), self.said(Who::Child));
            if down.is_empty() && up.is_empty() {
                return self;
            }
            for message in down {
                let outcome = self.hand(Who::Child, &message);
                self.settle(Who::Parent, &message, outcome);
            }
            for message in up {
                let outcome = self.hand(Who::Parent, &message);
                self.settle(Who::Child, &message, outcome);
            }
        }
    }
}

#[test]
fn a_child_starts_and_its_end_is_told_once() {
    let mut family = Family::with("child kid");
    family.carry().play(Who::Parent, "poll\ncomplete");
    family.play(Who::Child, "poll\ncomplete finish").carry();
    family.play(Who::Parent, "poll\ncomplete finish");
    insta::assert_snapshot!(family.log);
}

#[test]
fn each_end_of_a_child_has_its_event() {
    let mut log = String::new();
    for end in ["poll\ncomplete finish", "poll\ncomplete give-up x", "terminate", "wait 1m"] {
        let mut family = Family::with("child kid run=30s");
        family.carry();
        family.log.clear();
        family.play(Who::Child, end).carry();
        log.push_str(&family.log);
    }
    let mut family = Family::with("child kid");
    family.carry();
    family.log.clear();
    family.play(Who::Child, "cancel\npoll\ncomplete accept-cancel").carry();
    log.push_str(&family.log);
    insta::assert_snapshot!(log);
}

#[test]
fn a_child_that_continues_as_new_reports_once_from_its_last_run() {
    let mut family = Family::with("child kid");
    family.carry().play(Who::Child, "poll\ncomplete continue\nsuccessor\npoll\ncomplete finish").carry();
    insta::assert_snapshot!(family.log);
}

#[test]
fn a_parent_that_ends_leaves_its_child_by_its_policy() {
    let mut log = String::new();
    for policy in ["terminate", "cancel", "abandon"] {
        let mut family = Family::with(&format!("child kid policy={policy}"));
        family.carry().note(&format!("policy {policy}"));
        family.play(Who::Parent, "poll\ncomplete finish").carry();
        log.push_str(&family.log);
    }
    insta::assert_snapshot!(log);
}

#[test]
fn a_child_that_nobody_has_heard_of_is_not_started_for_a_parent_that_ends() {
    let mut log = String::new();
    for policy in ["terminate", "cancel", "abandon"] {
        let mut family = Family::with(&format!("child kid policy={policy}; finish"));
        family.carry();
        log.push_str(&family.log);
    }
    insta::assert_snapshot!(log);
}

/// Each message and each answer is lost once, by a crash of whoever waits for it.
#[test]
fn whatever_is_lost_is_said_again_and_has_its_effect_once() {
    let mut family = Family::with("child kid");
    let start = family.said(Who::Parent)[0].clone();
    family.note("the start is lost").play(Who::Parent, "crash");
    assert_eq!(family.said(Who::Parent)[0], start);
    family.note("the answer to the start is lost").hand(Who::Child, &start);
    family.play(Who::Parent, "crash");
    family.play(Who::Child, "crash\npoll\ncomplete finish");
    let closed = family.said(Who::Child)[0].clone();
    family.note("the child's end is lost").play(Who::Child, "crash");
    assert_eq!(family.said(Who::Child)[0], closed);
    family.note("the end arrives before the answer to the start, and its own answer is lost");
    family.hand(Who::Parent, &closed);
    family.play(Who::Parent, "crash").play(Who::Child, "crash");
    family.note("all of it is said and answered once more");
    family.said(Who::Parent).clear();
    let outcome = family.hand(Who::Child, &start);
    family.settle(Who::Parent, &start, outcome);
    family.carry();
    family.play(Who::Parent, "poll\ncomplete finish");
    insta::assert_snapshot!(family.log);
}

#[test]
fn what_is_not_started_is_a_failure_that_says_why() {
    let mut log = String::new();
    for outcome in [Outcome::AlreadyExists, Outcome::NamespaceNotFound] {
        let mut family = Family::with("child kid");
        let start = family.said(Who::Parent)[0].clone();
        family.settle(Who::Parent, &start, outcome);
        log.push_str(&family.log);
    }
    insta::assert_snapshot!(log);
}

#[test]
fn others_can_be_asked_to_cancel() {
    let mut family = Family::with("child kid policy=abandon");
    family
        .carry()
        .play(Who::Parent, "poll\ncomplete cancel-other kid enough; cancel-other kid again")
        .carry();
    family.play(Who::Child, "poll\ncomplete accept-cancel").carry();
    family.play(Who::Parent, "poll\ncomplete cancel-other kid late").carry();
    insta::assert_snapshot!(family.log);
}

/// The answer to the start arrives when the parent has ended: what the parent says of its end is still not settled.
#[test]
fn a_late_answer_does_not_take_back_that_the_parent_has_ended() {
    let mut family = Family::with("child kid");
    let start = family.said(Who::Parent)[0].clone();
    let outcome = family.hand(Who::Child, &start);
    family.play(Who::Parent, "terminate");
    family.settle(Who::Parent, &start, outcome);
    family.said(Who::Parent).clear();
    family.play(Who::Parent, "crash").carry();
    assert!(family.log.contains("child:   3 WorkflowExecutionTerminated"), "{}", family.log);
}

/// Whatever a run says in its last task to those above, below and beside it, each message has a key of its own.
#[test]
fn no_two_messages_of_a_run_have_one_key() {
    let mut family = Family::with("child kid");
    family.carry().play(Who::Child, "poll\ncomplete child grandkid");
    let start = family.said(Who::Child)[0].clone();
    family.settle(Who::Child, &start, Outcome::Started { run_id: "grandkid-run".into() });
    let last = "cancel-other grandkid enough; signal-other grandkid bye; finish";
    family.play(Who::Child, &format!("poll\ncomplete {last}"));
    let said = family.said(Who::Child);
    let keys: BTreeSet<i64> = said.iter().map(|message| message.from.event_id).collect();
    assert_eq!((said.len(), keys.len()), (4, 4), "{said:#?}");
    family.play(Who::Child, "crash");
    assert_eq!(family.said(Who::Child).len(), 4, "all of it is said again");
}
