//! How fast the core alone replays: `cargo run --release -p durably-core --example replay_speed [EVENTS] [ROUNDS]`.
//!
//! The history is a loop of one activity and one timer, as a server would have it; the workflow's code is a match that
//! costs next to nothing. Decoding from bytes is measured apart, since a worker does it too.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that reports figures")]

use std::time::{Duration, Instant};

use durably_core::workflow::{Run, RunOptions, Step};
use durably_proto::durably::core::v1::workflow_command::Command;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::*;
use durably_proto::temporal::api::common::v1::{ActivityType, Payload, Payloads, WorkflowType};
use durably_proto::temporal::api::history::v1::history_event::Attributes;
use durably_proto::temporal::api::history::v1::*;
use prost::Message;
use prost_types::Timestamp;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().unwrap());
    let events = args.next().unwrap_or(10_000);
    let rounds = args.next().unwrap_or(100);
    let history = history(events);
    let bytes = history.encode_to_vec();

    let (mut decoding, mut replaying) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let start = Instant::now();
        let history = History::decode(bytes::Bytes::from(bytes.clone())).unwrap();
        decoding += start.elapsed();
        let start = Instant::now();
        replay(history);
        replaying += start.elapsed();
    }
    let count = (history.events.len() * rounds) as f64;
    println!("{} events of {} bytes, {rounds} rounds", history.events.len(), bytes.len());
    println!("decoding  {:>12.0} events/s", count / decoding.as_secs_f64());
    println!("replaying {:>12.0} events/s", count / replaying.as_secs_f64());
    println!("together  {:>12.0} events/s", count / (decoding + replaying).as_secs_f64());
}

fn replay(history: History) {
    let (mut run, mut steps) = Run::replay(
        &RunOptions::default(),
        ReplayHistory { workflow_id: "speed".into(), history: Some(history) },
    );
    let mut seq = 0;
    loop {
        let Some(step) = steps.into_iter().find(|step| !matches!(step, Step::Replayed(_))) else { panic!() };
        match step {
            Step::Activate(activation) => steps = run.handle_completion(code(&activation, &mut seq)),
            Step::Evicted { reason, message } => {
                assert_eq!(reason, evict::Reason::Completed, "{message}");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn code(activation: &WorkflowActivation, seq: &mut u32) -> WorkflowCompletion {
    let mut commands = Vec::new();
    for job in activation.jobs.iter().filter_map(|job| job.job.as_ref()) {
        let command = match job {
            Job::Initialize(_) | Job::FireTimer(_) => {
                *seq += 1;
                Command::ScheduleActivity(ScheduleActivity {
                    seq: *seq,
                    activity_type: "charge".into(),
                    arguments: vec![payload()],
                    start_to_close_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
                    ..ScheduleActivity::default()
                })
            }
            Job::ResolveActivity(_) => {
                Command::StartTimer(StartTimer { seq: *seq, start_to_fire_timeout: None })
            }
            _ => continue,
        };
        commands.push(WorkflowCommand { command: Some(command), ..WorkflowCommand::default() });
    }
    let success = ActivationSuccess { commands, ..ActivationSuccess::default() };
    WorkflowCompletion {
        run_id: activation.run_id.clone(),
        status: Some(workflow_completion::Status::Success(success)),
    }
}

fn payload() -> Payload {
    Payload { data: vec![b'x'; 100].into(), ..Payload::default() }
}

fn history(length: usize) -> History {
    let mut events: Vec<HistoryEvent> = Vec::new();
    let mut push = |attributes: Attributes| {
        let event_id = events.len() as i64 + 1;
        let event_time = Some(Timestamp { seconds: event_id, nanos: 0 });
        events.push(HistoryEvent {
            event_id,
            event_time,
            attributes: Some(attributes),
            ..HistoryEvent::default()
        });
        event_id
    };
    push(Attributes::WorkflowExecutionStartedEventAttributes(WorkflowExecutionStartedEventAttributes {
        workflow_type: Some(WorkflowType { name: "Speed".into() }),
        original_execution_run_id: "run".into(),
        ..WorkflowExecutionStartedEventAttributes::default()
    }));
    let mut seq = 0;
    let mut last = 1;
    while last < length as i64 {
        seq += 1;
        push_task(&mut push);
        let scheduled_event_id =
            push(Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes {
                activity_id: seq.to_string(),
                activity_type: Some(ActivityType { name: "charge".into() }),
                input: Some(Payloads { payloads: vec![payload()] }),
                ..ActivityTaskScheduledEventAttributes::default()
            }));
        push(Attributes::ActivityTaskStartedEventAttributes(ActivityTaskStartedEventAttributes {
            scheduled_event_id,
            ..ActivityTaskStartedEventAttributes::default()
        }));
        push(Attributes::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes {
            scheduled_event_id,
            result: Some(Payloads { payloads: vec![payload()] }),
            ..ActivityTaskCompletedEventAttributes::default()
        }));
        push_task(&mut push);
        let timer_id = seq.to_string();
        let started_event_id = push(Attributes::TimerStartedEventAttributes(TimerStartedEventAttributes {
            timer_id: timer_id.clone(),
            ..TimerStartedEventAttributes::default()
        }));
        last = push(Attributes::TimerFiredEventAttributes(TimerFiredEventAttributes {
            timer_id,
            started_event_id,
        }));
    }
    History { events }
}

fn push_task(push: &mut impl FnMut(Attributes) -> i64) {
    push(Attributes::WorkflowTaskScheduledEventAttributes(WorkflowTaskScheduledEventAttributes::default()));
    push(Attributes::WorkflowTaskStartedEventAttributes(WorkflowTaskStartedEventAttributes::default()));
    push(Attributes::WorkflowTaskCompletedEventAttributes(WorkflowTaskCompletedEventAttributes::default()));
}
