//! Golden transcripts: whole stories, as text.

use durably_proto::temporal::api::enums::v1::SuggestContinueAsNewReason::{self, TooManyHistoryEvents};

use super::script::{Script, play};

macro_rules! transcript {
    ($name:ident, $script:literal) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(play($script));
        }
    };
}

transcript!(
    one_activity,
    "start
     poll
     complete sticky; activity a close=10s
     take a
     beat a half
     done a
     poll sticky
     complete finish"
);

transcript!(
    results_that_arrive_during_a_task_come_after_everything_else,
    "start
     poll
     complete activity a close=1m; activity b close=1m; timer t 10s
     take a
     take b
     signal one
     poll
     done a
     signal two
     wait 10s
     done b
     complete marker m
     poll
     complete finish"
);

transcript!(
    a_close_that_missed_an_event_is_decided_again,
    "start
     poll
     signal late
     complete finish
     poll
     complete finish"
);

transcript!(
    more_events_than_fit_behind_a_running_task_end_it,
    "start
     poll
     signals 101
     poll
     complete finish"
);

transcript!(
    buffered_events_survive_a_crash_and_leave_nothing_behind,
    "start
     poll
     complete timer t 5s; timer u 5s
     signal one
     poll
     signal two
     wait 5s
     crash
     signal three
     complete cancel-timer t
     crash
     poll
     complete finish"
);

transcript!(
    heartbeats_without_details_are_not_missed_after_a_crash,
    "start
     poll
     complete activity a close=1m beat=10s
     take a
     wait 8s
     beat a
     wait 8s
     crash
     wait 8s
     beat a
     wait 11s
     wait 1s"
);

transcript!(
    a_failing_task_leaves_one_event_and_its_retries_none,
    "start
     poll
     fail-task
     poll
     fail-task
     wait 1s
     poll
     wait 10s
     wait 2s
     poll
     complete timer t 1h"
);

transcript!(
    an_event_makes_a_retry_a_first_attempt_again,
    "start
     poll
     fail-task
     signal a
     poll
     complete finish"
);

transcript!(
    a_sticky_worker_that_is_gone,
    "start
     poll
     complete sticky; timer t 1h
     signal a
     wait 5s
     poll
     complete finish"
);

transcript!(
    a_task_kept_alive_by_heartbeats,
    "start
     poll
     complete heartbeat
     complete heartbeat
     signal a
     complete finish
     poll
     complete finish"
);

transcript!(
    activity_retries_until_the_schedule_to_close_timeout,
    "start
     poll
     complete activity a close=10s all=15s
     take a
     broken a
     wait 1s
     take a
     wait 10s
     wait 2s
     wait 2s"
);

transcript!(
    activity_heartbeats_carry_details_to_the_next_attempt,
    "start
     poll
     complete activity a close=1m beat=5s attempts=2
     take a
     beat a step-1
     wait 4s
     beat a step-2
     wait 5s
     wait 1s
     take a
     wait 5s"
);

transcript!(
    canceling_activities,
    "start
     poll
     complete activity waits close=1m; activity runs close=1m
     take runs
     signal now
     poll
     complete cancel-activity 5; cancel-activity 6
     beat runs
     canceled runs
     poll
     complete accept-cancel"
);

transcript!(
    canceling_activities_that_begin_with_the_same_task,
    "start
     poll
     complete activity a close=1m; cancel-activity 5; timer t 1s
     poll
     complete cancel-activity 13
     poll
     complete activity b close=1m; cancel-activity 15; finish"
);

transcript!(
    timers_fire_cancel_and_meet_in_the_buffer,
    "start
     poll
     complete timer a 10s; timer b 20s; timer c 30s
     wait 10s
     poll
     wait 10s
     complete cancel-timer b; cancel-timer c; timer c 5s
     wait 5s
     poll
     complete cancel-timer nowhere
     poll
     complete timer d 1s; timer d 2s"
);

transcript!(
    continue_as_new,
    "start run=1h all=2h
     poll
     complete memo; continue
     successor
     poll
     complete finish"
);

transcript!(
    a_workflow_that_fails_and_is_retried,
    "start attempts=2
     poll
     complete give-up
     successor
     signal waits
     wait 1s
     poll
     complete give-up"
);

transcript!(
    a_run_out_of_time,
    "start run=30s attempts=2
     poll
     signal buffered
     wait 30s
     successor
     wait 1s
     terminate
     terminate"
);

transcript!(
    start_delay_is_cut_short_by_a_signal,
    "start delay=1h
     wait 10s
     signal go
     poll"
);

transcript!(
    signal_with_start_and_repeated_requests,
    "start signal=hello
     signal a r1
     signal a r1
     poll
     cancel c1
     cancel c1
     complete
     poll"
);

transcript!(
    eager_start_and_eager_activity,
    "start eager
     complete activity a close=1m eager
     done a
     poll
     complete finish"
);

transcript!(
    queries_wait_for_the_first_task_then_ride_or_go_directly,
    "start
     query 1
     poll
     complete sticky; timer t 1h
     query 2
     signal s
     query 3
     poll sticky
     query 4
     complete answers
     signal s
     query 5
     poll
     fail-task
     poll
     complete answers; finish
     query 6"
);

transcript!(
    what_a_crash_leaves,
    "start
     poll
     crash
     complete activity a close=10s; activity b close=10s
     take a
     take b inside
     crash
     done a
     poll inside
     signal s
     crash
     poll
     complete finish"
);

transcript!(
    signals_that_a_run_has_not_seen_go_to_the_next_one,
    "start
     poll
     signal a r1
     signal b r2
     complete continue
     successor
     signal a r1
     signal c r3
     poll
     signal d r4
     cancel
     complete continue
     poll
     complete finish"
);

#[test]
fn every_start_of_a_task_says_whether_to_continue_as_new() {
    let mut script = Script::default();
    let tasks: [(&str, &[&str], &[SuggestContinueAsNewReason]); 4] = [
        ("the first", &["start", "poll"], &[]),
        ("one that is written", &["complete", "signals 4100", "poll"], &[TooManyHistoryEvents]),
        ("its second attempt", &["fail-task", "poll"], &[TooManyHistoryEvents]),
        ("one for an update", &["complete", "update a", "poll"], &[TooManyHistoryEvents]),
    ];
    for (which, lines, reasons) in tasks {
        for line in lines {
            script.line(line);
        }
        let said = script.last_start();
        let said_reasons: Vec<_> = said.suggest_continue_as_new_reasons().collect();
        assert_eq!(
            (said_reasons.as_slice(), said.suggest_continue_as_new),
            (reasons, !reasons.is_empty()),
            "{which}"
        );
        assert!(said.history_size_bytes > 0, "{which}");
    }
}

/// Whoever asks while the third attempt waits or runs is refused, as by Temporal's server; who has waited gets it.
#[test]
fn queries_of_a_run_whose_task_keeps_failing() {
    let failing = "start\npoll\ncomplete timer t 1h\nsignal s\npoll\nquery 1\nfail-task\npoll\nfail-task";
    let log = play(&format!("{failing}\nquery 2"));
    assert!(log.ends_with("> query 2\n  error WorkflowNotReady\n"), "{log}");
    let log = play(&format!("{failing}\nwait 1m\npoll\ncomplete answers"));
    assert!(log.ends_with("answer 1: ok\n"), "{log}");
    let log = play(&format!("{failing}\nwait 1m\npoll\nfail-task"));
    assert!(log.contains("  answer 1: error\n"), "{log}");
}
