//! A shard's thread, whether this process has the shard or another one: it works on the shard while it can, and waits for
//! it when the lease is another's. A shard that has lost its lease leaves memory.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    driver::{Ended, Shard, Shared},
    inbox::Inbox,
    work::Work,
};
use crate::{engine::Time, store::StoreError};

/// How long a thread without its shard waits at most, before it looks at the clock again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How soon it tries again when the store fails.
const RETRY: i64 = 1_000_000_000;

/// Opens the shard and reads what is due, if its lease can be had.
pub(super) fn open(index: u32, inbox: &Arc<Inbox>, common: &Shared) -> Result<Option<Shard>, StoreError> {
    match Shard::open(index, inbox.clone(), common.clone()) {
        Ok(mut shard) => {
            shard.resume()?;
            common.route.is_here(index);
            Ok(Some(shard))
        }
        Err(StoreError::Held { lease, .. }) => {
            common.route.is_at(index, *lease);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Works on the shard while this process has it, and waits for it while another one does; until the inbox is closed.
pub(super) fn serve(
    index: u32,
    inbox: &Arc<Inbox>,
    common: &Shared,
    opened: Option<Shard>,
    failed: &watch::Sender<Option<String>>,
) {
    let mut opened = opened;
    loop {
        if let Some(shard) = opened.take()
            && shard.work_on(failed) == Ended::Closed
        {
            return;
        }
        match wait(index, inbox, common) {
            Some(shard) => opened = Some(shard),
            None => return,
        }
    }
}

/// Waits until the lease can be had. Work that arrives meanwhile is what makes it look: it is dropped if the lease is
/// still another's, and its callers are sent there.
fn wait(index: u32, inbox: &Arc<Inbox>, common: &Shared) -> Option<Shard> {
    tracing::warn!(shard = index, "another process has the shard; it is opened here again when it is free");
    let mut retry = Time(i64::MIN);
    loop {
        let now = common.clock.now();
        let look = common.route.look_again(index).unwrap_or(now).max(retry);
        let left = Duration::from_nanos(look.since(now).max(0) as u64);
        let Some(has_work) = inbox.wait(left.min(LONGEST_WAIT)) else {
            inbox.empty();
            return None;
        };
        if !has_work && common.clock.now() < look {
            continue;
        }
        match open(index, inbox, common) {
            Ok(Some(shard)) => return Some(shard),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(shard = index, %error, "the shard could not be opened; trying again");
                retry = common.clock.now().after(RETRY);
            }
        }
        // Callers find out that nobody answers.
        for work in inbox.empty() {
            if let Work::Receive(letter) = work {
                common.courier.give_back(letter);
            }
        }
    }
}
