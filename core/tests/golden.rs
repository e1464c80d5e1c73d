//! Golden transcripts: `tests/golden/*.txt` hold a script (a history, and workflow code as rules) and below a line of
//! dashes everything that comes out of a run that is driven through it.
//!
//! Every script is driven four ways: live (each task from the cache), anew at each task, in full, and in pages. All must
//! give the same commands; the transcript shows the live way, and where the code isn't what wrote the history, the replay.
//! `UPDATE_GOLDEN=1 cargo test -p durably-core --test golden` writes the transcripts; read the difference before you commit.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fmt::Write as _;
use std::path::PathBuf;

use durably_core::workflow::{HistoryPage, Message, Query, Run, Step, WorkflowTask};
use durably_proto::durably::core::v1::WorkflowActivation;
use durably_proto::temporal::api::enums::v1::EventType;
use durably_proto::temporal::api::history::v1::HistoryEvent;
use support::drive::{self, LiveTask, live_tasks, pages, query_task, response, settle, task_with};
use support::events::push_line;
use support::script::{Script, parse};
use support::text;

const RULE: &str = "------------------------------------------------------------------------";

#[test]
fn transcripts_are_as_recorded() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let whole = std::fs::read_to_string(&file).unwrap();
        let (source, recorded) = whole.split_once(RULE).unwrap_or((&whole, ""));
        let script = parse(source);
        let transcript = transcribe(&script, &name);
        if update {
            std::fs::write(&file, format!("{source}{RULE}\n{transcript}")).unwrap();
        } else if recorded.trim() != transcript.trim() {
            wrong.push(format!("{name}: recorded\n{recorded}\nnow\n\n{transcript}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn transcribe(script: &Script, name: &str) -> String {
    let mut sdk = |activation: &WorkflowActivation| script.code.answer(activation);
    if script.only_replay {
        return lines(&drive::replay_as(&script.options, &script.history, &mut sdk));
    }
    let mut out = String::new();
    let tasks = live_tasks(&script.history);
    let mut run: Option<Run> = None;
    let mut previous = 0;
    for (index, task) in tasks.iter().enumerate() {
        let queries: Vec<Query> = script
            .queries
            .iter()
            .filter(|(number, _)| *number == index + 1)
            .map(|(_, query)| Query { id: format!("q-{query}"), name: query.clone(), ..Query::default() })
            .collect();
        let _ = writeln!(out, "task {}", task.started_event_id);
        let with_updates = |from| {
            let mut whole = task_with(&script.history, task, from, queries.clone());
            whole.messages.extend(updates(script, index + 1, false, task.started_event_id - 1));
            whole
        };
        let steps = if let Some(run) = &mut run {
            run.handle_task(with_updates(previous))
        } else {
            let (started, steps) = Run::start(&script.options, with_updates(0));
            run = Some(started);
            steps
        };
        let cached = run.as_mut().unwrap();
        let live = settle(cached, steps, &mut sdk, &mut pages(&script.history, 1000));
        out.push_str(&lines(&live));
        previous = task.started_event_id;

        let anew = with_updates(0);
        let (mut fresh, steps) = Run::start(&script.options, anew.clone());
        let replayed = settle(&mut fresh, steps, &mut sdk, &mut |_| HistoryPage::default());
        assert_eq!(response(&live), response(&replayed), "{name}: task {} anew", task.started_event_id);
        paged(script, &anew, &live, name);
        out.push_str(&dropped(script, index + 1, task, run.as_mut().unwrap()));
    }
    for (_, query) in script.queries.iter().filter(|(task, _)| *task == 0) {
        let cached = run.as_mut().expect("a query needs a task before it");
        let _ = writeln!(out, "query {query}");
        let steps = cached.handle_task(query_task(Vec::new(), previous, query));
        let live = settle(cached, steps, &mut sdk, &mut pages(&script.history, 1000));
        out.push_str(&lines(&live));
        let (mut fresh, steps) =
            Run::start(&script.options, query_task(script.history.clone(), previous, query));
        let anew = settle(&mut fresh, steps, &mut sdk, &mut |_| HistoryPage::default());
        let _ = writeln!(out, "query {query} anew");
        out.push_str(&lines(&anew));
    }
    let full = drive::replay_as(&script.options, &script.history, &mut sdk);
    let _ = writeln!(out, "replay in full");
    out.push_str(&lines(&full.into_iter().filter(|step| !is_activation(step)).collect::<Vec<_>>()));
    out
}

/// The updates that the script has for this task, or for behind it.
fn updates(script: &Script, task: usize, is_after: bool, event_id: i64) -> Vec<Message> {
    let asked = script.updates.iter().filter(|asked| asked.task == task && asked.is_after == is_after);
    let words = asked.map(|asked| asked.words.iter().map(String::as_str).collect::<Vec<_>>());
    words.map(|words| drive::update(words[0], words[1], words.get(2), event_id)).collect()
}

/// A task behind `task` that brings nothing but updates, and that the server drops because none is accepted.
fn dropped(script: &Script, number: usize, task: &LiveTask, run: &mut Run) -> String {
    let started = task.started_event_id as usize;
    let recorded = script.history[started..].iter().take_while(|event| is_recorded(event)).count();
    let mut history = script.history[..started + recorded].to_vec();
    push_line(&mut history, "task-scheduled");
    push_line(&mut history, "task-started");
    let speculative =
        LiveTask { started_event_id: history.len() as i64, previous_started_event_id: task.started_event_id };
    let messages = updates(script, number, true, speculative.started_event_id - 1);
    if messages.is_empty() {
        return String::new();
    }
    let mut sdk = |activation: &WorkflowActivation| script.code.answer(activation);
    let mut work = |mut task: WorkflowTask, run: Option<&mut Run>| {
        task.messages.clone_from(&messages);
        let pages = &mut pages(&history, 1000);
        if let Some(run) = run {
            let steps = run.handle_task(task);
            settle(run, steps, &mut sdk, pages)
        } else {
            let (mut run, steps) = Run::start(&script.options, task);
            settle(&mut run, steps, &mut sdk, pages)
        }
    };
    let live = work(task_with(&history, &speculative, task.started_event_id, Vec::new()), Some(run));
    let anew = work(task_with(&history, &speculative, 0, Vec::new()), None);
    assert_eq!(response(&live), response(&anew), "task {} anew", speculative.started_event_id);
    format!("task {}, which the server drops\n{}", speculative.started_event_id, lines(&live))
}

/// Whether the event is a task's completion or of its commands.
fn is_recorded(event: &HistoryEvent) -> bool {
    matches!(
        event.event_type(),
        EventType::WorkflowTaskCompleted
            | EventType::TimerStarted
            | EventType::ActivityTaskScheduled
            | EventType::WorkflowExecutionUpdateAccepted
            | EventType::WorkflowExecutionUpdateCompleted
    )
}

/// The same task with its history in pages of several sizes, and with nothing but its end.
fn paged(script: &Script, anew: &WorkflowTask, live: &[Step], name: &str) {
    let upto = &script.history[..anew.started_event_id as usize];
    for size in [1, 2, 3, 5] {
        let mut sdk = |activation: &WorkflowActivation| script.code.answer(activation);
        let mut fetch = pages(upto, size);
        let first = fetch(&bytes::Bytes::new());
        let mut task = anew.clone();
        task.history = first.events;
        task.next_page_token = first.next_page_token;
        let (mut run, steps) = Run::start(&script.options, task);
        let steps = settle(&mut run, steps, &mut sdk, &mut fetch);
        assert_eq!(
            response(live),
            response(&steps),
            "{name}: task {} in pages of {size}",
            anew.started_event_id
        );

        let mut task = anew.clone();
        task.history = upto[upto.len() - 1..].to_vec();
        let (mut run, steps) = Run::start(&script.options, task);
        let mut persisted = pages(&upto[..upto.len() - 1], size);
        let steps = settle(&mut run, steps, &mut sdk, &mut persisted);
        assert_eq!(response(live), response(&steps), "{name}: task {} from its end", anew.started_event_id);
    }
}

fn is_activation(step: &Step) -> bool {
    matches!(step, Step::Activate(_))
}

fn lines(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut all, step| {
        let _ = writeln!(all, "  {}", text::step(step).replace('\n', "\n  "));
        all
    })
}
