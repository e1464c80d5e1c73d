//! What a run says to its driver when things don't go straight: cache misses, evictions, pages, queries, bad answers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bytes::Bytes;
use durably_core::workflow::{HistoryPage, Query, Run, RunOptions, Step, WorkflowTask};
use durably_proto::durably::core::v1::*;
use durably_proto::temporal::api::history::v1::HistoryEvent;
use durably_proto::temporal::api::workflowservice::v1::PollWorkflowTaskQueueResponse;
use support::drive::{live_tasks, pages, query_task, settle, task_with};
use support::script::{Script, parse};
use support::text;

const ORDER: &str = "
history
  started Order
  task
  activity-scheduled 1 charge
  activity-started @5
  activity-completed @5 receipt
  task
  timer-started 1
  timer-fired 1 @11
  task-scheduled
  task-started
code
  initialize -> schedule 1 charge
  activity 1 completed -> timer 1
  timer 1 -> complete
";

fn order() -> Script {
    parse(ORDER)
}

/// Task `index` with the events behind `from`.
fn task(script: &Script, index: usize, from: i64) -> WorkflowTask {
    task_with(&script.history, &live_tasks(&script.history)[index], from, Vec::new())
}

fn show(steps: &[Step]) -> String {
    steps.iter().map(text::step).collect::<Vec<_>>().join("\n")
}

fn run_on(script: &Script, run: &mut Run, steps: Vec<Step>) -> String {
    let mut sdk = |activation: &WorkflowActivation| script.code.answer(activation);
    show(&settle(run, steps, &mut sdk, &mut pages(&script.history, 100)))
}

/// A run that is cached after its first task.
fn cached(script: &Script) -> Run {
    let (mut run, steps) = Run::start(&RunOptions::default(), task(script, 0, 0));
    run_on(script, &mut run, steps);
    assert!(!run.is_busy());
    run
}

#[test]
fn a_gap_makes_the_run_start_over() {
    let script = order();
    let mut run = cached(&script);
    // Task 3 comes to the cache that has only seen task 1.
    let steps = run.handle_task(task(&script, 2, 9));
    insta::assert_snapshot!(run_on(&script, &mut run, steps));
}

#[test]
fn a_task_that_was_lost_makes_the_run_start_over() {
    let script = order();
    let mut run = cached(&script);
    // The server never saw task 1's answer: it sends the task again, with the history from its start.
    let steps = run.handle_task(task(&script, 0, 0));
    insta::assert_snapshot!(run_on(&script, &mut run, steps));
}

#[test]
fn a_full_history_for_a_cached_run_goes_on_where_it_stands() {
    let script = order();
    let mut run = cached(&script);
    let steps = run.handle_task(task(&script, 1, 0));
    assert_eq!(
        run_on(&script, &mut run, steps),
        "> 9s, 9 events: activity 1 completed receipt\n= completed: StartTimer 1"
    );
}

#[test]
fn a_task_for_a_busy_run_makes_it_start_over() {
    let script = order();
    let (mut run, first) = Run::start(&RunOptions::default(), task(&script, 0, 0));
    assert!(run.is_busy() && run.is_activated());
    assert_eq!(run.handle_task(task(&script, 1, 0)), Vec::new(), "the SDK answers first");
    let Step::Activate(activation) = &first[0] else { panic!("{first:?}") };
    let steps = run.handle_completion(script.code.answer(activation));
    insta::assert_snapshot!(run_on(&script, &mut run, steps));
}

#[test]
fn an_eviction_waits_for_the_task_unless_the_server_has_dropped_it() {
    let script = order();
    for reason in [evict::Reason::Requested, evict::Reason::CacheMiss] {
        let (mut run, first) = Run::start(&RunOptions::default(), task(&script, 0, 0));
        assert_eq!(run.handle_evict(reason, ""), Vec::new());
        let Step::Activate(activation) = &first[0] else { panic!("{first:?}") };
        let steps = run.handle_completion(script.code.answer(activation));
        let answered = steps.iter().any(|step| matches!(step, Step::RespondCompleted(_)));
        assert_eq!(answered, reason == evict::Reason::Requested);
        let end = run_on(&script, &mut run, steps);
        assert!(end.ends_with(&format!("= evicted, {}", reason.as_str_name())), "{end}");
        assert_eq!(run.handle_task(task(&script, 1, 0)), Vec::new(), "a run that is gone stays so");
    }
}

#[test]
fn a_run_that_the_sdk_never_saw_is_evicted_without_it() {
    let script = order();
    let (mut run, steps) = Run::start(&RunOptions::default(), task(&script, 1, 3));
    assert_eq!(show(&steps), "= fetch history \"\"");
    let steps = run.handle_history_unavailable("not found");
    assert_eq!(show(&steps), "= evicted, CACHE_MISS");
}

#[test]
fn a_query_whose_history_is_gone_is_answered_so() {
    let (mut run, _) = Run::start(&RunOptions::default(), query_task(Vec::new(), 3, "status"));
    let steps = run.handle_history_unavailable("not found");
    insta::assert_snapshot!(show(&steps));
}

#[test]
fn a_query_before_the_first_task_is_told_so() {
    let script = order();
    let (run, steps) =
        Run::start(&RunOptions::default(), query_task(script.history[..2].to_vec(), 0, "status"));
    insta::assert_snapshot!(show(&steps));
    assert!(run.is_busy(), "gone");
}

#[test]
fn an_empty_last_page_ends_the_history() {
    let script = order();
    let mut first = task(&script, 1, 0);
    first.next_page_token = Bytes::from_static(b"more");
    let (mut run, steps) = Run::start(&RunOptions::default(), first);
    let mut sdk = |activation: &WorkflowActivation| script.code.answer(activation);
    let steps = settle(&mut run, steps, &mut sdk, &mut |_| HistoryPage::default());
    assert_eq!(
        show(&steps),
        "> 3s, 3 events (replaying): initialize Order seed 27e9ab0fdb496fa4\n= fetch history \"more\"\n> 9s, 9 events: \
         activity 1 completed receipt\n= completed: StartTimer 1"
    );
}

#[test]
fn a_history_that_ends_before_the_task_fails_it() {
    let script = order();
    let mut short = task(&script, 1, 0);
    short.history.truncate(7);
    let (mut run, steps) = Run::start(&RunOptions::default(), short);
    insta::assert_snapshot!(run_on(&script, &mut run, steps));
}

#[test]
fn answers_that_break_the_contract_fail_the_task() {
    let script = order();
    let answers: [fn(&mut WorkflowCompletion); 3] = [
        |answer| answer.run_id = "another".to_owned(),
        |answer| answer.status = None,
        |answer| {
            answer.status = Some(workflow_completion::Status::Success(ActivationSuccess {
                commands: vec![WorkflowCommand::default()],
                ..ActivationSuccess::default()
            }));
        },
    ];
    let mut all = Vec::new();
    for break_contract in answers {
        let (mut run, first) = Run::start(&RunOptions::default(), task(&script, 0, 0));
        let Step::Activate(activation) = &first[0] else { panic!("{first:?}") };
        let mut answer = script.code.answer(activation);
        break_contract(&mut answer);
        let steps = run.handle_completion(answer);
        all.push(run_on(&script, &mut run, steps));
    }
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn queries_must_be_answered_and_nothing_else() {
    let script = order();
    let query = Query { id: "q".into(), name: "status".into(), ..Query::default() };
    for commands in [vec![], vec!["command"]] {
        let with_query = WorkflowTask { queries: vec![query.clone()], ..task(&script, 0, 0) };
        let (mut run, steps) = Run::start(&RunOptions::default(), with_query);
        let Step::Activate(activation) = &steps[0] else { panic!("{steps:?}") };
        let steps = run.handle_completion(script.code.answer(activation));
        assert!(matches!(&steps[..], [Step::Activate(_)]), "{steps:?}");
        let commands = commands.iter().map(|_| WorkflowCommand::default()).collect();
        let success = ActivationSuccess { commands, ..ActivationSuccess::default() };
        let steps = run.handle_completion(WorkflowCompletion {
            run_id: "run".into(),
            status: Some(workflow_completion::Status::Success(success)),
        });
        assert!(matches!(&steps[0], Step::FailTask(_)), "{steps:?}");
    }
}

#[test]
fn a_run_weighs_what_the_sdk_says_or_else_what_the_history_does() {
    let script = order();
    let run = cached(&script);
    let guessed = run.weight();
    let (mut run, first) = Run::start(&RunOptions::default(), task(&script, 0, 0));
    let Step::Activate(activation) = &first[0] else { panic!("{first:?}") };
    let mut answer = script.code.answer(activation);
    let Some(workflow_completion::Status::Success(success)) = &mut answer.status else { panic!() };
    success.cache_bytes = 1_000_000;
    run.handle_completion(answer);
    assert!(run.weight() >= 1_000_000);
    assert!((1000..100_000).contains(&guessed), "{guessed}");
}

#[test]
fn poll_responses_are_decoded_at_the_edge() {
    let mut response = PollWorkflowTaskQueueResponse::default();
    assert_eq!(WorkflowTask::decode(response.clone()), Ok(None));
    response.task_token = Bytes::from_static(b"token");
    let error = WorkflowTask::decode(response.clone()).unwrap_err();
    assert_eq!(error.task_token, "token");
    assert!(error.to_string().contains("no workflow execution"), "{error}");
    response.workflow_execution = Some(Default::default());
    assert!(WorkflowTask::decode(response.clone()).unwrap_err().to_string().contains("no run id"));
    response.workflow_execution.as_mut().unwrap().run_id = "run".to_owned();
    assert!(WorkflowTask::decode(response.clone()).unwrap_err().to_string().contains("history"));
    response.history = Some(durably_proto::temporal::api::history::v1::History {
        events: vec![HistoryEvent { event_id: 1, ..HistoryEvent::default() }],
    });
    assert_eq!(WorkflowTask::decode(response).unwrap().unwrap().attempt, 1);
}
