//! Two runs that speak to each other, message by message.

use super::script::Script;
use crate::engine::{Input, Sender};

/// Two runs and the way between them, which can lose, repeat and delay what it carries.
struct Pair {
    alice: Script,
    bob: Script,
    log: String,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { alice: Script::default(), bob: Script::default(), log: String::new() };
        for name in ["alice", "bob"] {
            pair.play(name, "start\npoll\ncomplete");
        }
        pair
    }

    fn play(&mut self, name: &str, lines: &str) {
        let script = if name == "alice" { &mut self.alice } else { &mut self.bob };
        for line in lines.lines().map(str::trim) {
            script.line(line);
        }
        self.tell(name);
    }

    fn tell(&mut self, name: &str) {
        let script = if name == "alice" { &mut self.alice } else { &mut self.bob };
        let said = std::mem::take(&mut script.log);
        self.log.extend(said.lines().map(|line| format!("{name}: {line}\n")));
    }

    /// Bob hears what Alice said last; the message may come again.
    fn hear(&mut self) {
        let message = self.alice.messages.last().expect("Alice has said something").clone();
        self.log.push_str("-- a message arrives\n");
        self.bob.input(Input::Receive(Box::new(message)));
        self.tell("bob");
    }

    /// Alice learns what became of it.
    fn learn(&mut self) {
        let event_id = self.alice.messages.last().expect("Alice has said something").from.event_id;
        let outcome = self.bob.outcome.clone().expect("Bob has answered");
        self.log.push_str("-- the answer arrives\n");
        self.alice.input(Input::Settle { event_id, outcome });
        self.tell("alice");
    }

    fn settle(&mut self) {
        let from = self.alice.messages.last().expect("Alice has said something").from.clone();
        self.log.push_str("-- Bob may forget\n");
        self.bob.input(Input::Settled(Sender { ..from }));
        self.tell("bob");
    }
}

#[test]
fn a_signal_arrives_and_its_sender_learns_of_it() {
    let mut pair = Pair::new();
    pair.play("alice", "signal go\npoll\ncomplete signal-other bob hello");
    pair.hear();
    pair.learn();
    pair.settle();
    pair.play("bob", "poll\ncomplete finish");
    pair.play("alice", "poll\ncomplete finish");
    insta::assert_snapshot!(pair.log);
}

#[test]
fn a_message_has_its_effect_once_whoever_crashes() {
    let mut pair = Pair::new();
    pair.play("alice", "signal go\npoll\ncomplete signal-other bob hello");
    // The message was lost; the state says it again.
    pair.play("alice", "crash");
    pair.hear();
    // The answer was lost.
    pair.play("bob", "crash");
    pair.play("alice", "crash");
    pair.hear();
    pair.learn();
    pair.learn();
    pair.play("alice", "crash");
    pair.settle();
    pair.play("bob", "crash");
    insta::assert_snapshot!(pair.log);
}

#[test]
fn a_repetition_is_known_to_the_next_run_of_the_chain_and_a_closed_run_refuses() {
    let mut pair = Pair::new();
    pair.play("alice", "signal go\npoll\ncomplete signal-other bob hello");
    pair.hear();
    pair.play("bob", "poll\ncomplete continue\nsuccessor");
    pair.hear();
    pair.learn();
    pair.play("alice", "poll\ncomplete signal-other bob goodbye");
    pair.play("bob", "poll\ncomplete finish");
    pair.hear();
    pair.learn();
    insta::assert_snapshot!(pair.log);
}
