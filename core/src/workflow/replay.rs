//! The cursor that pairs the code's commands with the history's events.
//!
//! Commands that an activation issues are *unsent* until its workflow task ends; then they are *unrecorded* until the
//! history shows them, in the same order, right behind the task's completion. Whatever doesn't pair up is a
//! [`Mismatch`].

use std::collections::{BTreeMap, HashMap, VecDeque};

use durably_proto::durably::core::v1::workflow_job::Job;
use durably_proto::durably::core::v1::{HistoryDialect, WorkflowCommand};
use durably_proto::temporal::api::command::v1::Command;
use durably_proto::temporal::api::command::v1::command::Attributes as CommandAttributes;
use durably_proto::temporal::api::sdk::v1::UserMetadata;

use super::machines::{
    self, BadCommand, Effects, Inherited, Issued, Machine, MachineEvent, Naming, Sequence, update,
};
use super::messages::{OutgoingMessage, UpdateRequest};
use super::mismatch::{Change, Mismatch};

/// Why the cursor can't go on.
#[derive(Clone, Debug)]
pub(crate) enum CursorError {
    Mismatch(Box<Mismatch>),
    BadCommand(BadCommand),
}

/// Identifies a machine. Never reused.
type Key = u64;

#[derive(Clone, Debug)]
struct Tracked {
    machine: Machine,
    seq: Option<(Sequence, u32)>,
    /// Empty for what is no update.
    update_id: String,
    /// The event that recorded the machine's first command; 0 before.
    origin: i64,
}

/// A command that the server hasn't got.
#[derive(Clone, Debug)]
struct Unsent {
    key: Key,
    attributes: Box<CommandAttributes>,
    user_metadata: Option<UserMetadata>,
    location: String,
}

/// A command that the server has got and the history hasn't shown.
#[derive(Clone, Debug)]
struct Unrecorded {
    key: Key,
    location: String,
}

/// The machines of one run, and where its commands are on their way into the history.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    dialect: HistoryDialect,
    /// The start of the task under way.
    started_id: i64,
    tracked: HashMap<Key, Tracked>,
    next_key: Key,
    by_seq: HashMap<(Sequence, u32), Key>,
    by_origin: HashMap<i64, Key>,
    by_update: HashMap<String, Key>,
    /// Updates that the code has been told of, and has not answered.
    unanswered: Vec<Key>,
    /// What goes to the server with the commands of the task under way.
    outbox: Vec<OutgoingMessage>,
    /// The highest number that the SDK gave out, per kind.
    last_seq: BTreeMap<Sequence, u32>,
    unsent: Vec<Unsent>,
    /// What machines have begun that isn't among the commands yet, and whose wish it is.
    begun: Vec<(Key, Machine, CommandAttributes)>,
    unrecorded: VecDeque<Unrecorded>,
    /// How many machines await local work.
    local_work: usize,
}

impl Cursor {
    pub(crate) fn new(dialect: HistoryDialect) -> Cursor {
        Cursor {
            dialect,
            started_id: 0,
            tracked: HashMap::new(),
            next_key: 0,
            by_seq: HashMap::new(),
            by_origin: HashMap::new(),
            by_update: HashMap::new(),
            unanswered: Vec::new(),
            outbox: Vec::new(),
            last_seq: BTreeMap::new(),
            unsent: Vec::new(),
            begun: Vec::new(),
            unrecorded: VecDeque::new(),
            local_work: 0,
        }
    }

    /// Before the first command of the code is named.
    pub(crate) fn set_dialect(&mut self, dialect: HistoryDialect) {
        self.dialect = dialect;
    }

    /// The code is going to work on the task that started with this event.
    pub(crate) fn handle_task_start(&mut self, event_id: i64) {
        self.started_id = event_id;
        self.send_begun(None, "");
    }

    /// How what the next command starts (activity, timer, child) or sends (signal, cancellation) is named. The task's completion is the event behind its start, and the
    /// events of its commands follow in their order.
    fn naming(&self) -> Naming {
        match self.dialect {
            HistoryDialect::BySequence => Naming::Sequence,
            HistoryDialect::ByEventId => Naming::EventId(self.started_id + 2 + self.unsent.len() as i64),
        }
    }

    /// Takes a command of the code. Jobs that it causes at once go to `jobs`.
    pub(crate) fn handle_command(
        &mut self,
        command: WorkflowCommand,
        inherited: &Inherited,
        jobs: &mut impl FnMut(Job),
    ) -> Result<(), CursorError> {
        let WorkflowCommand { command, user_metadata, location } = command;
        let Some(command) = command else {
            return Err(bad("a command of the completion is empty; this version may not know its kind"));
        };
        let issued = machines::issue(command, inherited, self.naming()).map_err(CursorError::BadCommand)?;
        self.take(issued, user_metadata, &location, jobs)
    }

    /// Takes what a command comes to.
    pub(crate) fn take(
        &mut self,
        issued: Issued,
        user_metadata: Option<UserMetadata>,
        location: &str,
        jobs: &mut impl FnMut(Job),
    ) -> Result<(), CursorError> {
        match issued {
            Issued::Begin { seq, machine, commands } => {
                let key = self.begin(seq, machine)?;
                self.push_unsent(key, commands, user_metadata, location);
            }
            Issued::Tell { seq, event } => {
                if let Some(key) = self.find(seq)? {
                    let shown = user_metadata.clone();
                    self.deliver(key, event, user_metadata, location, false, jobs)
                        .map_err(CursorError::Mismatch)?;
                    self.send_begun(shown.as_ref(), location);
                }
            }
            Issued::Respond { update_id, event } => {
                self.respond(&update_id, event, user_metadata, location, jobs)?;
            }
            Issued::Answer { query_id } => {
                return Err(bad(&format!(
                    "query {query_id:?} was answered in an activation that didn't ask it"
                )));
            }
        }
        Ok(())
    }

    /// An update is asked for. `accepted_at`: the event that records that it was accepted; 0 if the code decides. `None` if
    /// the code knows of it already.
    pub(crate) fn begin_update(&mut self, asked: UpdateRequest, accepted_at: i64) -> Option<Job> {
        let by_event_id = self.dialect == HistoryDialect::ByEventId;
        let (update_id, machine, job) = update::begin(asked, accepted_at, by_event_id);
        if self.by_update.contains_key(&update_id) {
            return None;
        }
        let key = self.track(None, machine);
        if let Some(tracked) = self.tracked.get_mut(&key) {
            tracked.update_id.clone_from(&update_id);
        }
        self.by_update.insert(update_id, key);
        self.unanswered.push(key);
        Some(job)
    }

    /// The code's answer to an update.
    fn respond(
        &mut self,
        update_id: &str,
        event: update::Event,
        user_metadata: Option<UserMetadata>,
        location: &str,
        jobs: &mut impl FnMut(Job),
    ) -> Result<(), CursorError> {
        let found = self.by_update.get(update_id).copied();
        let Some((key, Machine::Update(machine))) =
            found.and_then(|key| Some((key, &self.tracked.get(&key)?.machine)))
        else {
            return Err(bad(&format!(
                "an answer is for the update `{update_id}`, which is over or was never asked for"
            )));
        };
        machine.check(&event).map_err(CursorError::BadCommand)?;
        self.deliver(key, MachineEvent::Update(event), user_metadata, location, false, jobs).map_err(
            |mut mismatch| {
                location.clone_into(&mut mismatch.location);
                CursorError::Mismatch(mismatch)
            },
        )
    }

    /// The code has done all that it does for now: it must have accepted or rejected each update that it was told of.
    pub(crate) fn check_updates_answered(&mut self) -> Result<(), CursorError> {
        for key in std::mem::take(&mut self.unanswered) {
            if let Some(Machine::Update(machine)) = self.tracked.get(&key).map(|tracked| &tracked.machine)
                && let Some((id, name)) = machine.unanswered()
            {
                return Err(bad(&format!(
                    "update `{id}` ({name}) was neither accepted nor rejected in the completion of the activation that brought it"
                )));
            }
        }
        Ok(())
    }

    fn begin(&mut self, seq: Option<(Sequence, u32)>, machine: Machine) -> Result<Key, CursorError> {
        let key = self.next_key;
        if let Some((kind, number)) = seq {
            let last = self.last_seq.entry(kind).or_default();
            if number <= *last {
                let message = format!(
                    "{kind:?} {number} comes after {kind:?} {last}: the SDK must number commands upwards, from 1"
                );
                return Err(bad(&message));
            }
            *last = number;
            self.by_seq.insert((kind, number), key);
        }
        Ok(self.track(seq, machine))
    }

    fn track(&mut self, seq: Option<(Sequence, u32)>, machine: Machine) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        self.local_work += usize::from(machine.awaits_local_work());
        self.tracked.insert(key, Tracked { machine, seq, update_id: String::new(), origin: 0 });
        key
    }

    /// Takes what machines have begun among the commands, for those that still are.
    fn send_begun(&mut self, user_metadata: Option<&UserMetadata>, location: &str) {
        for (of, machine, command) in std::mem::take(&mut self.begun) {
            if self.tracked.contains_key(&of) {
                let key = self.track(None, machine);
                self.push_unsent(key, vec![command], user_metadata.cloned(), location);
            }
        }
    }

    /// What tools show of a command belongs to the first of those that go together.
    fn push_unsent(
        &mut self,
        key: Key,
        commands: Vec<CommandAttributes>,
        mut user_metadata: Option<UserMetadata>,
        location: &str,
    ) {
        self.unsent.extend(commands.into_iter().map(|attributes| Unsent {
            key,
            attributes: Box::new(attributes),
            user_metadata: user_metadata.take(),
            location: location.to_owned(),
        }));
    }

    /// Nothing more is expected of the machine.
    fn forget(&mut self, key: Key) {
        let Some(tracked) = self.tracked.remove(&key) else { return };
        self.local_work -= usize::from(tracked.machine.awaits_local_work());
        if let Some(seq) = tracked.seq {
            self.by_seq.remove(&seq);
        }
        if !tracked.update_id.is_empty() {
            self.by_update.remove(&tracked.update_id);
        }
        self.by_origin.remove(&tracked.origin);
    }

    /// The machine of a number; `None` if it is over, which the code can't know yet.
    fn find(&mut self, seq: (Sequence, u32)) -> Result<Option<Key>, CursorError> {
        if let Some(key) = self.by_seq.get(&seq) {
            return Ok(Some(*key));
        }
        let (kind, number) = seq;
        if number == 0 || self.last_seq.get(&kind).is_none_or(|last| number > *last) {
            let message = format!("{kind:?} {number} is to be cancelled, and was never begun");
            return Err(bad(&message));
        }
        Ok(None)
    }

    /// Hands an event to a machine and carries out what it wants.
    fn deliver(
        &mut self,
        key: Key,
        event: MachineEvent,
        user_metadata: Option<UserMetadata>,
        location: &str,
        compare_ids: bool,
        jobs: &mut impl FnMut(Job),
    ) -> Result<(), Box<Mismatch>> {
        let Some(tracked) = self.tracked.get_mut(&key) else { return Ok(()) };
        let mut effects = Effects { compare_ids, ..Effects::default() };
        let machine = std::mem::replace(&mut tracked.machine, Machine::FINISHED);
        self.local_work -= usize::from(machine.awaits_local_work());
        tracked.machine = machine.handle(event, &mut effects)?;
        self.local_work += usize::from(tracked.machine.awaits_local_work());
        if tracked.machine.is_finished() {
            self.forget(key);
        }
        effects.jobs.into_iter().for_each(jobs);
        self.outbox.append(&mut effects.messages);
        self.begun.extend(effects.begun.into_iter().map(|(machine, command)| (key, machine, command)));
        self.push_unsent(key, effects.commands, user_metadata, location);
        Ok(())
    }

    /// Whether machines await what this process does for them.
    pub(crate) fn awaits_local_work(&self) -> bool {
        self.local_work > 0
    }

    /// What this process did for the machine of this number.
    pub(crate) fn handle_local_work(
        &mut self,
        seq: (Sequence, u32),
        event: MachineEvent,
        jobs: &mut impl FnMut(Job),
    ) -> Result<(), Box<Mismatch>> {
        match self.by_seq.get(&seq).copied() {
            Some(key) => self.deliver(key, event, None, "", true, jobs),
            // It was cancelled meanwhile.
            None => Ok(()),
        }
    }

    /// The workflow task ends: what is unsent is sent, or was sent long ago if this is a replay. Commands whose machine
    /// has ended meanwhile were withdrawn before anybody saw them.
    pub(crate) fn handle_task_end(&mut self, is_replaying: bool) -> Vec<Command> {
        if is_replaying {
            self.outbox.clear();
        }
        let mut commands = Vec::new();
        for mut unsent in std::mem::take(&mut self.unsent) {
            let Some(tracked) = self.tracked.get(&unsent.key) else { continue };
            if !is_replaying {
                tracked.machine.finish(&mut unsent.attributes);
                commands.push(Command {
                    command_type: machines::command_type(&unsent.attributes) as i32,
                    user_metadata: unsent.user_metadata,
                    attributes: Some(*unsent.attributes),
                    ..Command::default()
                });
            }
            self.unrecorded.push_back(Unrecorded { key: unsent.key, location: unsent.location });
        }
        commands
    }

    /// What goes out with the commands of the task that has ended.
    pub(crate) fn take_messages(&mut self) -> Vec<OutgoingMessage> {
        std::mem::take(&mut self.outbox)
    }

    /// The history shows the next command.
    pub(crate) fn handle_recorded(
        &mut self,
        event_id: i64,
        event: MachineEvent,
        compare_ids: bool,
        jobs: &mut impl FnMut(Job),
    ) -> Result<(), Box<Mismatch>> {
        let place = self.place_of(&event);
        if event.is_optional() && !place.is_some_and(|place| self.takes(place, &event)) {
            return Ok(());
        }
        self.pass_over(place.unwrap_or(self.unrecorded.len()));
        let Some(Unrecorded { key, location }) = self.unrecorded.pop_front() else {
            return Err(Box::new(Mismatch {
                expected: event.to_string(),
                event_id,
                change: Change::Missing,
                ..Mismatch::default()
            }));
        };
        self.deliver(key, event, None, "", compare_ids, jobs).map_err(|mut mismatch| {
            mismatch.event_id = event_id;
            mismatch.location = location;
            mismatch
        })?;
        if let Some(tracked) = self.tracked.get_mut(&key)
            && tracked.origin == 0
        {
            tracked.origin = event_id;
            self.by_origin.insert(event_id, key);
        }
        Ok(())
    }

    /// Where the command is that this event can only belong to: behind nothing but optional ones that don't take it.
    fn place_of(&self, event: &MachineEvent) -> Option<usize> {
        (0..self.unrecorded.len()).find(|place| !self.is_optional(*place) || self.takes(*place, event))
    }

    fn is_optional(&self, place: usize) -> bool {
        self.machine_at(place).is_some_and(Machine::is_optional)
    }

    fn takes(&self, place: usize, event: &MachineEvent) -> bool {
        self.machine_at(place).is_some_and(|machine| machine.takes(event))
    }

    fn machine_at(&self, place: usize) -> Option<&Machine> {
        let unrecorded = self.unrecorded.get(place)?;
        self.tracked.get(&unrecorded.key).map(|tracked| &tracked.machine)
    }

    /// The history lacks the next commands, up to `place`, which are optional: their machines never began.
    fn pass_over(&mut self, place: usize) {
        let passed: Vec<Key> = self.unrecorded.iter().take(place).map(|unrecorded| unrecorded.key).collect();
        for key in passed {
            self.forget(key);
            self.unrecorded.retain(|unrecorded| unrecorded.key != key);
        }
    }

    /// The history shows what became of the command recorded in event `origin`.
    pub(crate) fn handle_response(
        &mut self,
        event_id: i64,
        origin: i64,
        event: MachineEvent,
        jobs: &mut impl FnMut(Job),
    ) -> Result<(), Box<Mismatch>> {
        let Some(key) = self.by_origin.get(&origin).copied() else {
            return Err(Box::new(Mismatch {
                expected: format!("{event}, for what event {origin} began"),
                event_id,
                change: Change::Missing,
                ..Mismatch::default()
            }));
        };
        self.deliver(key, event, None, "", false, jobs).map_err(|mut mismatch| {
            mismatch.event_id = event_id;
            mismatch
        })
    }

    /// The history shows something other than a command, at `event_id`: all commands must have been shown.
    pub(crate) fn handle_commands_end(&mut self, event_id: i64) -> Result<(), Box<Mismatch>> {
        let required = (0..self.unrecorded.len()).find(|place| !self.is_optional(*place));
        self.pass_over(required.unwrap_or(self.unrecorded.len()));
        let Some(Unrecorded { key, location }) = self.unrecorded.front() else { return Ok(()) };
        let found = self.tracked.get(key).map(|tracked| tracked.machine.to_string()).unwrap_or_default();
        Err(Box::new(Mismatch {
            found,
            event_id,
            location: location.clone(),
            change: Change::Extra,
            ..Mismatch::default()
        }))
    }

    /// Roughly what the machines hold, in bytes.
    pub(crate) fn weight(&self) -> usize {
        const PER_MACHINE: usize = 512;
        let unsent: usize = self.unsent.len() * size_of::<CommandAttributes>();
        self.tracked.len() * PER_MACHINE + unsent
    }
}

fn bad(message: &str) -> CursorError {
    CursorError::BadCommand(BadCommand(message.to_owned()))
}
