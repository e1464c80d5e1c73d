//! Where things gather for a host language that takes all of them in one go.
//!
//! Only the step from empty to non-empty wakes the host, so that a crowd of deliveries costs one wake-up.

use parking_lot::Mutex;

/// A queue that any thread fills, and one host empties.
pub struct Mailbox<T> {
    queue: Mutex<Queue<T>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct Queue<T> {
    items: Vec<T>,
    is_closed: bool,
}

impl<T> Mailbox<T> {
    /// `wake` is called, on any thread, when there is something to drain after there was nothing. It must not block, and
    /// may drain.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let queue = Mutex::new(Queue { items: Vec::new(), is_closed: false });
        Self { queue, wake: Box::new(wake) }
    }

    /// Hands an item over; never blocks, callable from any thread. After `close` it is dropped.
    pub fn push(&self, item: T) {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            return;
        }
        queue.items.push(item);
        let was_empty = queue.items.len() == 1;
        drop(queue);
        if was_empty {
            (self.wake)();
        }
    }

    /// Takes all that has gathered, oldest first; never waits.
    pub fn drain(&self) -> Vec<T> {
        std::mem::take(&mut self.queue.lock().items)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().items.len()
    }

    /// Drops what has gathered, and everything that comes later.
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        let dropped = std::mem::take(&mut queue.items);
        drop(queue);
        // What an item does when it is dropped may come back here.
        drop(dropped);
    }
}
