//! The moments at which running attempts are out of time, watched by one task for all of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// A deadline, and a number that tells equal ones apart.
pub(super) type Key = (Instant, u64);

#[derive(Default)]
pub(super) struct Deadlines {
    inner: Mutex<Inner>,
    /// A deadline was added before the earliest one.
    earlier: Notify,
}

#[derive(Default)]
struct Inner {
    by_time: BTreeMap<Key, Bytes>,
    next_number: u64,
}

impl Deadlines {
    pub(super) fn add(&self, at: Instant, token: Bytes) -> Key {
        let mut inner = self.inner.lock();
        let key = (at, inner.next_number);
        inner.next_number += 1;
        inner.by_time.insert(key, token);
        if inner.by_time.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.earlier.notify_one();
        }
        key
    }

    pub(super) fn remove(&self, key: Key) {
        self.inner.lock().by_time.remove(&key);
    }

    /// Waits for the earliest deadline to pass and takes it.
    pub(super) async fn next(&self) -> Bytes {
        loop {
            let first = self.inner.lock().by_time.first_key_value().map(|(key, _)| key.0);
            let Some(at) = first else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.earlier.notified() => continue,
            }
            let mut inner = self.inner.lock();
            // What was first may have been removed meanwhile.
            if let Some(entry) = inner.by_time.first_entry()
                && entry.key().0 <= Instant::now()
            {
                return entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn deadlines_pass_in_their_order() {
        let deadlines = Deadlines::default();
        // One moment for all: on a busy machine this thread may stand still between two lines.
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        deadlines.add(at(40), "last".into());
        let removed = deadlines.add(at(1), "removed".into());
        let next = async { (deadlines.next().await, deadlines.next().await) };
        let add = async {
            deadlines.add(at(20), "earlier".into());
            deadlines.remove(removed);
        };
        let ((first, second), ()) = tokio::join!(next, add);
        assert_eq!((&first[..], &second[..]), (&b"earlier"[..], &b"last"[..]));
        assert!(deadlines.inner.lock().by_time.is_empty());
    }
}
