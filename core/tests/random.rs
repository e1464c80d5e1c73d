//! Seeded simulation: random programs against a server that plays along must give the same commands live, after
//! eviction, anew, in pages and on replay; and nothing that a server or an SDK might send makes a run panic.
//!
//! A failing seed is named in the message; `SEED=n cargo test -p durably-core --test random` runs it alone.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fmt::Write as _;

use durably_core::workflow::{HistoryPage, Query, Run, Step, TaskCompleted, WorkflowTask};
use durably_proto::durably::core::v1::workflow_command::Command as CodeCommand;
use durably_proto::durably::core::v1::*;
use durably_proto::temporal::api::history::v1::{History, HistoryEvent};
use support::drive::{self, LiveTask, Sdk, options, pages, query_task, response, settle, task_with};
use support::random::{Program, Random, Server};
use support::text;

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

fn completed(steps: &[Step]) -> Option<&TaskCompleted> {
    steps.iter().find_map(|step| match step {
        Step::RespondCompleted(done) => Some(done),
        _ => None,
    })
}

const DIALECTS: [HistoryDialect; 2] = [HistoryDialect::BySequence, HistoryDialect::ByEventId];

/// Plays a run to its end (or 200 tasks) and returns its history and what happened, as text.
fn play(dialect: HistoryDialect, seed: u64) -> (Vec<HistoryEvent>, String) {
    let mut server = Server::new(seed);
    let mut driver = Random(seed ^ 0xd1ce);
    let mut program = Program::new(seed);
    let mut cached: Option<Run> = None;
    let mut previous = 0;
    let mut out = String::new();
    for _ in 0..200 {
        server.start_task();
        let started = server.history.len() as i64;
        let task = LiveTask { started_event_id: started, previous_started_event_id: previous };
        let with_updates = |from| {
            let task = task_with(&server.history, &task, from, Vec::new());
            WorkflowTask { messages: server.messages(), ..task }
        };
        let full = with_updates(0);
        let messages = full.messages.clone();
        let steps = if let Some(run) = &mut cached {
            run.handle_task(with_updates(previous))
        } else {
            program = Program::new(seed);
            let (run, steps) = Run::start(&options(dialect), full.clone());
            cached = Some(run);
            steps
        };
        let run = cached.as_mut().unwrap();
        let live = settle(run, steps, &mut program, &mut pages(&server.history, 7));
        let Some(done) = completed(&live) else {
            panic!("{dialect:?}, seed {seed}, task {started}: not completed: {}", lines(&live));
        };
        let _ = writeln!(out, "{started}: {}", text::commands(&done.commands));

        let (mut fresh, steps) = Run::start(&options(dialect), full);
        let anew = settle(&mut fresh, steps, &mut Program::new(seed), &mut |_| HistoryPage::default());
        assert_eq!(response(&live), response(&anew), "{dialect:?}, seed {seed}, task {started}, anew");

        if server.drop_task(&done.commands) {
            server.let_things_happen();
            continue;
        }
        server.complete_task(&done.commands, &done.messages);
        previous = started;
        if server.is_closed {
            break;
        }
        server.let_things_happen();
        match driver.below(10) {
            0 => {
                let steps = run.handle_evict(evict::Reason::CacheFull, "");
                settle(run, steps, &mut program, &mut |_| HistoryPage::default());
                cached = None;
            }
            1 => {
                let steps = run.handle_task(query_task(Vec::new(), previous, "status"));
                let steps = settle(run, steps, &mut program, &mut |_| HistoryPage::default());
                assert!(is_answered(&steps), "{dialect:?}, seed {seed}");
            }
            2 => {
                let lost =
                    WorkflowTask { messages, ..task_with(&server.history, &task, started - 1, Vec::new()) };
                program = Program::new(seed);
                let steps = start_over(run, lost, &mut program, &server.history[..started as usize]);
                let again = response(&steps);
                assert_eq!(response(&live), again, "{dialect:?}, seed {seed}, task {started}, started over");
            }
            _ => {}
        }
    }
    (server.history, out)
}

fn is_answered(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::AnswerQuery(_)))
}

/// The cache has lost track: the run starts over by itself.
fn start_over(
    run: &mut Run,
    lost: WorkflowTask,
    program: &mut Program,
    history: &[HistoryEvent],
) -> Vec<Step> {
    let steps = run.handle_task(lost);
    settle(run, steps, program, &mut pages(history, 5))
}

fn lines(steps: &[Step]) -> String {
    steps.iter().map(text::step).collect::<Vec<_>>().join("\n")
}

#[test]
fn random_programs_replay() {
    for (dialect, seed) in seeds(300).into_iter().flat_map(|seed| DIALECTS.map(|dialect| (dialect, seed))) {
        let (history, out) = play(dialect, seed);
        if seed % 10 == 0 {
            assert_eq!(play(dialect, seed).1, out, "{dialect:?}, seed {seed}: twice the same");
        }
        let full = drive::replay_as(&options(dialect), &history, &mut Program::new(seed));
        let replayed = full.iter().find_map(|step| match step {
            Step::Replayed(result) => Some(result.error.clone()),
            _ => None,
        });
        assert_eq!(replayed, Some(None), "{dialect:?}, seed {seed}: {}", lines(&full));
    }
}

#[test]
fn another_program_is_found_out() {
    // Another seed is other code: it must be told apart from the history, or happen to do the same; it never panics.
    for dialect in DIALECTS {
        let mut found = 0;
        for seed in 0..100 {
            let (history, _) = play(dialect, seed);
            let steps = drive::replay_as(&options(dialect), &history, &mut Program::new(seed + 1));
            let mismatch = steps.iter().any(|step| match step {
                Step::Replayed(result) => {
                    result.error.as_ref().is_some_and(|error| error.nondeterminism.is_some())
                }
                _ => false,
            });
            found += i32::from(mismatch);
        }
        assert!(found >= 95, "{dialect:?}: {found} of 100");
    }
}

/// Damages a history as no server would.
fn damage(history: &mut Vec<HistoryEvent>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        if history.is_empty() {
            return;
        }
        let (index, other) = (random.below(history.len()), random.below(history.len()));
        match random.below(8) {
            0 => drop(history.remove(index)),
            1 => history.swap(index, other),
            2 => history[index].attributes = None,
            3 => history[index].attributes = history[other].attributes.clone(),
            4 => history[index].event_id = random.next() as i64,
            5 => history.truncate(index),
            6 => history[index].event_time = None,
            _ => {
                let event = history[other].clone();
                history.insert(index, event);
            }
        }
    }
    if random.chance(50) {
        for (index, event) in history.iter_mut().enumerate() {
            event.event_id = index as i64 + 1;
        }
    }
}

/// An SDK that now and then answers nonsense.
struct Nonsense(Program, Random);

impl Sdk for Nonsense {
    fn answer(&mut self, activation: &WorkflowActivation) -> WorkflowCompletion {
        let mut completion = self.0.answer(activation);
        if self.1.chance(80) {
            return completion;
        }
        let seq = self.1.below(6) as u32;
        let command = match self.1.below(12) {
            0 => Some(CodeCommand::CancelTimer(CancelTimer { seq })),
            1 => Some(CodeCommand::RequestCancelActivity(RequestCancelActivity { seq })),
            2 => Some(CodeCommand::StartTimer(StartTimer { seq, start_to_fire_timeout: None })),
            3 => Some(CodeCommand::ScheduleActivity(ScheduleActivity { seq, ..ScheduleActivity::default() })),
            4 => Some(CodeCommand::FailWorkflow(FailWorkflow::default())),
            5 => Some(CodeCommand::QueryAnswer(QueryAnswer::default())),
            6 => Some(CodeCommand::CancelChildWorkflow(CancelChildWorkflow {
                seq,
                ..CancelChildWorkflow::default()
            })),
            7 => Some(CodeCommand::StartChildWorkflow(StartChildWorkflow {
                seq,
                workflow_type: "Child".to_owned(),
                ..StartChildWorkflow::default()
            })),
            8 => Some(CodeCommand::SignalExternalWorkflow(SignalExternalWorkflow {
                seq,
                ..SignalExternalWorkflow::default()
            })),
            10 => {
                let answer = match self.1.below(4) {
                    0 => None,
                    1 => Some(update_answer::Answer::Accepted(UpdateAccepted {})),
                    2 => Some(update_answer::Answer::Rejected(Default::default())),
                    _ => Some(update_answer::Answer::Failed(Default::default())),
                };
                Some(CodeCommand::UpdateAnswer(UpdateAnswer { id: format!("u{seq}"), answer }))
            }
            9 => Some(CodeCommand::CancelSignalExternalWorkflow(CancelSignalExternalWorkflow { seq })),
            _ => None,
        };
        match &mut completion.status {
            Some(workflow_completion::Status::Success(success)) if self.1.chance(80) => {
                success.commands.push(WorkflowCommand { command, ..WorkflowCommand::default() });
            }
            status => *status = None,
        }
        if self.1.chance(5) {
            "another".clone_into(&mut completion.run_id);
        }
        completion
    }
}

#[test]
fn nothing_makes_a_run_panic() {
    let histories = DIALECTS.map(|dialect| (0..50).map(|seed| play(dialect, seed).0).collect::<Vec<_>>());
    for seed in seeds(2000) {
        let mut random = Random(seed);
        // Each dialect with each kind of input below.
        let which = seed as usize / 2 % 2;
        let dialect = DIALECTS[which];
        let mut history = histories[which][seed as usize % 50].clone();
        if random.chance(80) {
            damage(&mut history, &mut random);
        }
        let mut sdk = Nonsense(Program::new(seed % 50), Random(seed));
        let mut budget = 500;
        let pages = history.clone();
        let mut fetch = |token: &bytes::Bytes| {
            budget -= 1;
            let mut page = pages_of(&pages, 1 + random.below(20), token);
            if budget < 0 || random.chance(2) {
                page.next_page_token = bytes::Bytes::new();
            }
            page
        };
        if seed % 2 == 0 {
            let (mut run, steps) = Run::replay(
                &options(dialect),
                ReplayHistory { history: Some(History { events: history }), ..ReplayHistory::default() },
            );
            settle(&mut run, steps, &mut sdk, &mut fetch);
            continue;
        }
        let mut inputs = Random(!seed);
        let first = random_task(&history, &mut inputs);
        let (mut run, mut steps) = Run::start(&options(dialect), first);
        for _ in 0..30 {
            let mut more = poke(&mut run, &history, &mut sdk, &steps, &mut inputs, &mut fetch);
            steps.clear();
            steps.append(&mut more);
        }
    }
}

fn pages_of(history: &[HistoryEvent], size: usize, token: &bytes::Bytes) -> HistoryPage {
    pages(history, size)(token)
}

fn random_task(history: &[HistoryEvent], inputs: &mut Random) -> WorkflowTask {
    let from = inputs.below(history.len() + 1);
    let from = if inputs.chance(60) { 0 } else { from };
    let to = from + inputs.below(history.len() - from + 1);
    let mut task = query_task(history[from..to].to_vec(), inputs.below(20) as i64, "status");
    if inputs.chance(70) {
        task.query = None;
    }
    if inputs.chance(30) {
        task.queries.push(Query { id: "q".into(), name: "status".into(), ..Query::default() });
    }
    for _ in 0..inputs.below(3) {
        task.messages.push(drive::update("change", &format!("u{}", inputs.below(6)), None, to as i64 - 1));
    }
    if inputs.chance(30) {
        task.next_page_token = to.to_string().into();
    }
    task
}

/// Does something that a driver might, in no sensible order.
fn poke(
    run: &mut Run,
    history: &[HistoryEvent],
    sdk: &mut Nonsense,
    steps: &[Step],
    inputs: &mut Random,
    fetch: &mut impl FnMut(&bytes::Bytes) -> HistoryPage,
) -> Vec<Step> {
    let _ = (run.weight(), run.is_busy(), run.is_activated());
    match inputs.below(10) {
        0 => run.handle_task(random_task(history, inputs)),
        1 => run.handle_evict(evict::Reason::try_from(inputs.below(8) as i32).unwrap(), "go"),
        2 => run.handle_history_unavailable("the server is gone"),
        3 => run.handle_history_page(fetch(&bytes::Bytes::new())),
        4 => run.handle_completion(WorkflowCompletion::default()),
        _ => settle(run, steps.to_vec(), sdk, fetch),
    }
}
