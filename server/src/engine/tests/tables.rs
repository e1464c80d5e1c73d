//! Each state of a machine against each input: what comes out and where it leads.

use std::fmt::Write as _;

use super::script::Script;

/// Brings a run into each state, gives it each input, and writes down the step.
fn table(states: &[(&str, &[&str])], inputs: &[&str]) -> String {
    let mut table = String::new();
    for (name, path) in states {
        let _ = writeln!(table, "=== {name}");
        for input in inputs {
            let mut script = Script::default();
            for line in *path {
                script.line(line);
            }
            script.log.clear();
            script.line(input);
            let _ = writeln!(table, "{}  = {}", script.log, script.machines());
        }
    }
    table
}

#[test]
fn workflow_task() {
    let states: &[(&str, &[&str])] = &[
        ("first task awaits its poller", &["start"]),
        ("first task awaits its completion", &["start", "poll"]),
        ("no task", &["start", "poll", "complete sticky; timer t 1h"]),
        ("sticky task awaits its poller", &["start", "poll", "complete sticky; timer t 1h", "signal a"]),
        ("task awaits its completion, with an event in the buffer", &["start", "poll", "signal a"]),
        ("second attempt awaits its poller", &["start", "poll", "fail-task"]),
        ("second attempt awaits its completion", &["start", "poll", "fail-task", "poll"]),
        ("third attempt waits out its delay", &["start", "poll", "fail-task", "poll", "fail-task"]),
        ("undelivered", &["start", "poll", "lose-task"]),
        ("before the first task", &["start delay=1m"]),
        ("closed", &["start", "poll", "complete finish"]),
    ];
    let inputs = &[
        "poll",
        "complete",
        "complete finish",
        "complete heartbeat",
        "complete child",
        "fail-task",
        "lose-task",
        "wait 5s",
        "wait 1m",
        "signal b",
        "cancel",
        "terminate",
        "query 1",
        "reset-sticky",
        "crash",
    ];
    insta::assert_snapshot!(table(states, inputs));
}

#[test]
fn activity() {
    let scheduled = "complete activity a close=10s all=1m start=30s beat=5s attempts=3";
    let states: &[(&str, &[&str])] = &[
        ("awaits its poller", &["start", "poll", scheduled]),
        ("awaits its result", &["start", "poll", scheduled, "take a"]),
        ("awaits its result inside the server's process", &["start", "poll", scheduled, "take a inside"]),
        ("awaits its retry", &["start", "poll", scheduled, "take a", "broken a"]),
        (
            "last attempt awaits its result",
            &[
                "start", "poll", scheduled, "take a", "broken a", "wait 1s", "take a", "broken a", "wait 2s",
                "take a",
            ],
        ),
        (
            "awaits its result, cancellation requested",
            &["start", "poll", scheduled, "take a", "signal s", "poll", "complete cancel-activity 5"],
        ),
        (
            "awaits its result while a workflow task runs",
            &["start", "poll", scheduled, "take a", "signal s", "poll"],
        ),
        ("ended", &["start", "poll", scheduled, "take a", "done a"]),
        ("workflow closed", &["start", "poll", scheduled, "take a", "terminate"]),
    ];
    let inputs = &[
        "take a",
        "done a",
        "broken a",
        "broken a fatal",
        "canceled a",
        "beat a",
        "beat a half",
        "lose-activity a",
        "wait 1s",
        "wait 5s",
        "wait 10s",
        "wait 1m",
        "complete cancel-activity 5",
        "crash",
    ];
    insta::assert_snapshot!(table(states, inputs));
}
