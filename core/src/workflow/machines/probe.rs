//! A machine for tests of what the kinds to come will need, and none of those that exist does: local work, commands that
//! belong together, and markers that the code or the history may lack.

use std::fmt;

use durably_proto::durably::core::v1::FireTimer;
use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::command::v1::{
    RecordMarkerCommandAttributes, UpsertWorkflowSearchAttributesCommandAttributes,
};
use durably_proto::temporal::api::history::v1::history_event::Attributes;

use super::{Effects, Issued, Machine, MachineEvent, Sequence};
use crate::workflow::history::{Decoded, Kind};
use crate::workflow::mismatch::{Change, Mismatch};

#[derive(Clone, Debug)]
pub(crate) enum ProbeMachine {
    /// Its result becomes a marker.
    AwaitingLocalWork(u32),
    AwaitingMarker {
        name: String,
        is_optional: bool,
    },
    /// The command behind the marker.
    AwaitingUpserted,
    Finished,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    LocalWorkDone,
    Marker { name: String, is_optional: bool },
    Upserted,
}

pub(crate) fn local_work(seq: u32) -> Issued {
    Issued::Begin {
        seq: Some((Sequence::Timer, seq)),
        machine: Machine::Probe(ProbeMachine::AwaitingLocalWork(seq)),
        commands: Vec::new(),
    }
}

/// A marker and an upsert that go together.
pub(crate) fn marker_and_upsert(name: &str, is_optional: bool) -> Issued {
    let upsert = UpsertWorkflowSearchAttributesCommandAttributes::default();
    Issued::Begin {
        seq: None,
        machine: Machine::Probe(ProbeMachine::AwaitingMarker { name: name.to_owned(), is_optional }),
        commands: vec![
            marker(name),
            CommandAttributes::UpsertWorkflowSearchAttributesCommandAttributes(upsert),
        ],
    }
}

fn marker(name: &str) -> CommandAttributes {
    let marker = RecordMarkerCommandAttributes { marker_name: name.to_owned(), ..Default::default() };
    CommandAttributes::RecordMarkerCommandAttributes(marker)
}

/// Decodes the events that tests mark as the probe's. A marker whose name says so may be lacking in the code.
pub(super) fn decode(attributes: &Attributes) -> Option<Decoded> {
    let event = match attributes {
        Attributes::MarkerRecordedEventAttributes(marker) if marker.marker_name.starts_with("probe") => {
            let name = marker.marker_name.clone();
            Event::Marker { is_optional: name.contains("optional"), name }
        }
        Attributes::UpsertWorkflowSearchAttributesEventAttributes(upserted)
            if upserted.workflow_task_completed_event_id == UPSERTED =>
        {
            Event::Upserted
        }
        _ => return None,
    };
    Some(Ok(Kind::Command(MachineEvent::Probe(event))))
}

/// Marks the event.
pub(crate) const UPSERTED: i64 = 4711;

impl ProbeMachine {
    pub(super) fn handle(self, event: Event, effects: &mut Effects) -> Result<ProbeMachine, Box<Mismatch>> {
        match (self, event) {
            (Self::AwaitingLocalWork(seq), Event::LocalWorkDone) => {
                effects.jobs.push(Job::FireTimer(FireTimer { seq }));
                effects.commands.push(marker("probe-local"));
                Ok(Self::AwaitingMarker { name: "probe-local".to_owned(), is_optional: false })
            }
            (Self::AwaitingMarker { name, .. }, Event::Marker { name: recorded, .. }) if name == recorded => {
                Ok(if name == "probe-local" { Self::Finished } else { Self::AwaitingUpserted })
            }
            (Self::AwaitingUpserted, Event::Upserted) => Ok(Self::Finished),
            (machine, event) => Err(Mismatch::new(Change::Kind, &event, &machine)),
        }
    }

    pub(super) fn awaits_local_work(&self) -> bool {
        matches!(self, Self::AwaitingLocalWork(_))
    }

    pub(super) fn is_optional(&self) -> bool {
        matches!(self, Self::AwaitingMarker { is_optional: true, .. })
    }
}

impl Event {
    pub(super) fn is_optional(&self) -> bool {
        matches!(self, Event::Marker { is_optional: true, .. })
    }

    pub(super) fn look_ahead(&self) -> Option<Job> {
        matches!(self, Event::Marker { .. }).then_some(Job::FireTimer(FireTimer { seq: 99 }))
    }
}

impl fmt::Display for ProbeMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
