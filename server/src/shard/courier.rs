//! Carries letters to the shards of this process.

use std::sync::Arc;

use super::{
    letters::{Courier, Letter},
    placement::shard_of,
    route::{Place, Route},
    work::Work,
};

/// To the shards of this process. A message for one that another process has waits with its sender, who says it again
/// until it is taken in.
pub(super) struct LocalCourier {
    pub shards: u32,
    pub route: Arc<dyn Route>,
}

impl Courier for LocalCourier {
    fn send(&self, letter: Letter) {
        // A shard that takes no more work has its senders ask again when it is back.
        match self.route.place(shard_of(letter.workflow_id(), self.shards)) {
            Place::Local(inbox) => {
                inbox.send(Work::Receive(letter));
            }
            Place::Remote(_) => self.give_back(letter),
        }
    }
}
