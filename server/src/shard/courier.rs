//! Carries letters to the shards of this process.

use std::sync::Arc;

use super::{
    inbox::Inbox,
    letters::{Courier, Letter},
    placement::shard_of,
    work::Work,
};

pub(super) struct LocalCourier {
    pub inboxes: Vec<Arc<Inbox>>,
}

impl Courier for LocalCourier {
    fn send(&self, letter: Letter) {
        let index = shard_of(letter.workflow_id(), self.inboxes.len() as u32);
        // A shard that takes no more work has its senders ask again when it is back.
        self.inboxes[index as usize].send(Work::Receive(letter));
    }
}
