//! Messages between runs: taken in, answered and settled.

use super::{
    Shard,
    runs::{ReadError, unexpected},
};
use crate::{
    ServiceError,
    engine::{
        Admission, Body, Input, Message, Outcome, Output, RunKey, SECOND, Sender, StartChildBody, admit,
        is_to_itself, new_child, termination_for_start, terms_of_child,
    },
    shard::{
        letters::Letter,
        runs::{Target, fresh_id},
        timers::Due,
    },
};

/// How long to wait before messages of a run that could not be taken in are sent again.
const RESEND_PAUSE: i64 = SECOND;

impl Shard {
    pub(super) fn receive(&mut self, letter: Letter) {
        match letter {
            Letter::Message(message) => self.receive_message(*message),
            Letter::Answer { to, receiver, outcome } => self.receive_answer(to, receiver, outcome),
            Letter::Settled { from, receiver } => {
                // One that is not in memory answers again when it is read. It is not read for this: while its changes can't be
                // stored, word and answer would go to and fro without a pause.
                if let Some(seq) = self.runs.find(&target_of(&receiver)) {
                    let _ = self.apply(seq, Input::Settled(from));
                }
            }
        }
    }

    fn receive_message(&mut self, message: Message) {
        let (from, to) = (message.from.clone(), message.to.workflow_id.clone());
        match self.take_in(message) {
            Ok((receiver, outcome)) => {
                self.untaken.remove(&from);
                self.answer(from, receiver, Some(outcome));
            }
            Err(error) => {
                if self.untaken.add(&from) {
                    let Sender { key, event_id } = &from;
                    tracing::warn!(
                        from = &*key.workflow_id, run_id = &*key.run_id, event_id, to = &*to, %error,
                        "a message between workflows could not be taken in; it comes again until it can"
                    );
                }
                self.answer(from, None, None);
            }
        }
    }

    /// What becomes of a message, and who keeps a receipt of it. On an error, another try may succeed.
    fn take_in(&mut self, message: Message) -> Result<(Option<RunKey>, Outcome), ServiceError> {
        let from = &message.from;
        let store = &*self.shared.store;
        let Some(namespace_id) = self.namespace_ids.find(&message.to, &from.key, store)? else {
            return Ok((None, Outcome::NamespaceNotFound));
        };
        let message = match message.body {
            Body::StartChild(start) => return Ok((None, self.start_child(&namespace_id, *start, from)?)),
            body => Message { body, ..message },
        };
        if is_to_itself(&message.from.key, &namespace_id, &message.to.workflow_id) {
            return Ok((None, Outcome::NotFound));
        }
        let target = Target::named(&namespace_id, &message.to.workflow_id, &message.to.run_id);
        let seq = match self.seek(&target) {
            Ok(Some(seq)) => seq,
            Ok(None) | Err(ReadError::SetAside(_)) => return Ok((None, Outcome::NotFound)),
            Err(ReadError::Store(error)) => return Err(error.into()),
        };
        // Whoever keeps a receipt is told when it has done its work.
        let receiver = message.body.leaves_receipt().then(|| self.run(seq).map(|run| run.key().clone()));
        let receiver = receiver.transpose()?;
        match self.apply(seq, Input::Receive(Box::new(message)))? {
            Output::Received(outcome) => Ok((receiver, outcome)),
            output => Err(unexpected(&output)),
        }
    }

    /// Starts a child, if its workflow id is free. On an error, another try may succeed.
    fn start_child(
        &mut self,
        namespace_id: &str,
        start: StartChildBody,
        parent: &Sender,
    ) -> Result<Outcome, ServiceError> {
        self.check_alive()?;
        let workflow_id = &start.initiated.workflow_id;
        if is_to_itself(&parent.key, namespace_id, workflow_id) {
            return Ok(Outcome::AlreadyExists);
        }
        let target = Target::named(namespace_id, workflow_id, "");
        let found = match self.in_the_way(&target) {
            Err(ReadError::SetAside(_)) => return Ok(Outcome::AlreadyExists),
            found => found?,
        };
        if let Some(seq) = found {
            let run = self.run(seq)?;
            if run.is_started_by(&parent.key, parent.event_id) {
                let run_id = run.start_attributes().first_execution_run_id.clone();
                return Ok(Outcome::Started { run_id });
            }
            match admit(Some((run.status(), run.start_request_id())), terms_of_child(&start)) {
                Admission::Start => {}
                Admission::TerminateAndStart => {
                    self.accomplish(seq, termination_for_start())?;
                }
                Admission::Signal | Admission::UseExisting | Admission::Repeated | Admission::Refuse(_) => {
                    return Ok(Outcome::AlreadyExists);
                }
            }
        }
        let parent_namespace = self.namespace_ids.name(&parent.key.namespace_id, &*self.shared.store)?;
        let run_id = fresh_id();
        let new = new_child(namespace_id, run_id.clone(), fresh_id(), start, parent, parent_namespace);
        self.start_run(new);
        Ok(Outcome::Started { run_id })
    }

    /// Answers a message when the batch is durable.
    fn answer(&mut self, to: Sender, receiver: Option<RunKey>, outcome: Option<Outcome>) {
        let courier = self.shared.courier.clone();
        self.batch.when_durable(move |durable| {
            let outcome = outcome.filter(|_| durable);
            courier.send(Letter::Answer { to, receiver, outcome });
        });
    }

    fn receive_answer(&mut self, to: Sender, receiver: Option<RunKey>, outcome: Option<Outcome>) {
        let is_stored = match self.seek(&target_of(&to.key)) {
            Ok(Some(seq)) => {
                let Some(outcome) = outcome else { return self.say_again_later(seq) };
                // Stale when it was settled before; the word that ends the receipt goes out again all the same.
                match self.apply(seq, Input::Settle { event_id: to.event_id, outcome }) {
                    Ok(_) => !self.runs.is_touched(seq),
                    Err(_) => return,
                }
            }
            // It was deleted, and says nothing again.
            Ok(None) => true,
            // It says all of it again when it is read.
            Err(_) => return,
        };
        let Some(receiver) = receiver else { return };
        let courier = self.shared.courier.clone();
        if is_stored {
            // Whatever becomes of this batch: nobody would answer again.
            return courier.send(Letter::Settled { from: to, receiver });
        }
        self.batch.when_durable(move |durable| {
            if durable {
                courier.send(Letter::Settled { from: to, receiver });
            }
        });
    }

    fn say_again_later(&mut self, seq: i64) {
        let again = self.now().after(RESEND_PAUSE);
        if self.runs.say_again(seq, again) {
            self.timers.insert(again, Due::SayAgain(seq));
        }
    }

    /// The time has come to say again what the run has no answer to.
    pub(super) fn say_again(&mut self, seq: i64) {
        if self.runs.take_saying_again(seq).is_some()
            && let Some(slot) = self.runs.get(seq)
        {
            self.batch.messages.extend(slot.run.pending_messages());
        }
    }

    /// Says again what a run has to say that was loaded, and answers again what it has taken in.
    pub(super) fn speak_again(&mut self, seq: i64) {
        let Some(slot) = self.runs.get(seq) else { return };
        self.batch.messages.extend(slot.run.pending_messages());
        // That these were taken in is stored already: whatever becomes of this batch, it is true.
        for to in slot.run.taken_in() {
            let receiver = Some(slot.run.key().clone());
            self.shared.courier.send(Letter::Answer { to, receiver, outcome: Some(Outcome::Delivered) });
        }
    }

    /// A run has begun that inherits receipts: the word that ends them is for the run before it, and may have come there
    /// already.
    pub(super) fn answer_for_predecessor(&mut self, seq: i64) {
        let Some(slot) = self.runs.get(seq) else { return };
        let receiver = slot.run.key().clone();
        for to in slot.run.taken_in() {
            self.answer(to, Some(receiver.clone()), Some(Outcome::Delivered));
        }
    }

    /// Lets out what runs said in a batch that is durable.
    pub(super) fn send_messages(&mut self) {
        for message in std::mem::take(&mut self.batch.messages) {
            self.shared.courier.send(Letter::Message(Box::new(message)));
        }
    }
}

fn target_of(key: &RunKey) -> Target {
    Target {
        namespace_id: key.namespace_id.clone(),
        workflow_id: key.workflow_id.clone(),
        run_id: Some(key.run_id.clone()),
    }
}
