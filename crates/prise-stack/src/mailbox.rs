//! What waits for a socket that receives whole messages: a bounded queue, errors, and at most one event.

use crate::event::{Event, Events, Ready};
use crate::net::IcmpReport;
use alloc::collections::VecDeque;

/// What each queued message is charged beside its octets: about what it costs, so that a flood of empty ones is bounded
/// too (Linux charges its `sk_buff` likewise).
pub(crate) const MESSAGE_OVERHEAD: usize = 256;

/// Errors kept for a socket; later ones push out earlier ones.
const ERRORS_MAX: usize = 16;

/// Messages in order of arrival, bounded by the octets charged for them.
#[derive(Debug)]
pub(crate) struct BoundedQueue<T> {
    items: VecDeque<(T, usize)>,
    charged: usize,
    pub(crate) limit: usize,
    /// Messages that found the queue full.
    pub(crate) overflowed: u64,
}

impl<T> BoundedQueue<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            items: VecDeque::new(),
            charged: 0,
            limit,
            overflowed: 0,
        }
    }

    /// Queues a message of so many octets; false, and counted, if the queue is full. An empty queue takes any one message,
    /// as on Linux.
    pub(crate) fn push(&mut self, item: T, octets: usize) -> bool {
        let charge = octets + MESSAGE_OVERHEAD;
        if self.charged > 0 && self.charged + charge > self.limit {
            self.overflowed += 1;
            return false;
        }
        self.charged += charge;
        self.items.push_back((item, charge));
        true
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let (item, charge) = self.items.pop_front()?;
        self.charged -= charge;
        Some(item)
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.items.front().map(|(item, _)| item)
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.items.front_mut().map(|(item, _)| item)
    }

    /// Octets charged for what waits.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }
}

/// The receiving side of a UDP, ping or raw socket.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    pub(crate) queue: BoundedQueue<T>,
    errors: VecDeque<IcmpReport>,
    /// What the event that waits among the events will say; empty if none waits.
    pending: Ready,
}

impl<T> Mailbox<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            queue: BoundedQueue::new(limit),
            errors: VecDeque::new(),
            pending: Ready::NONE,
        }
    }

    pub(crate) fn push_error(&mut self, report: IcmpReport) {
        if self.errors.len() == ERRORS_MAX {
            self.errors.pop_front();
        }
        self.errors.push_back(report);
    }

    pub(crate) fn has_error(&self) -> bool {
        !self.errors.is_empty()
    }

    pub(crate) fn pop_error(&mut self) -> Option<IcmpReport> {
        self.errors.pop_front()
    }

    /// Something became ready: one event of a socket waits at most, later facts are merged into it.
    pub(crate) fn signal(&mut self, events: &mut Events, ready: Ready, event: impl FnOnce(Ready) -> Event) {
        if self.pending.is_empty() {
            events.push(event(ready));
        }
        self.pending |= ready;
    }

    /// All that has become ready since the event was queued; the event is being handed out.
    pub(crate) fn take_pending(&mut self) -> Ready {
        core::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_by_what_its_messages_cost() {
        let mut queue = BoundedQueue::new(1000);
        assert!(queue.push('a', 600));
        assert!(!queue.push('b', 0), "856 + 256 is more than 1000");
        assert_eq!(queue.overflowed, 1);
        assert_eq!(queue.pop(), Some('a'));
        assert_eq!(queue.charged(), 0);
        assert!(queue.push('c', 5000), "an empty queue takes any message");
        assert_eq!(queue.pop(), Some('c'));
        assert_eq!(queue.pop(), None);
    }
}
