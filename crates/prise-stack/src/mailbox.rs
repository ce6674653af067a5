//! What waits for a socket that receives whole messages: a bounded queue, errors, and at most one event.

use crate::event::{Event, Events, Ready};
use crate::link::LinkId;
use crate::memory::{Charge, Memory};
use crate::net::IcmpReport;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What each queued message is charged beside its octets: about what it costs, so that a flood of empty ones is bounded
/// too (Linux charges its `sk_buff` likewise).
pub(crate) const MESSAGE_OVERHEAD: usize = 256;

/// Errors kept for a socket; later ones push out earlier ones.
const ERRORS_MAX: usize = 16;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The socket has its fill.
    Queue,
    /// The stack has: see [`Memory`].
    Memory,
}

/// Messages in order of arrival, bounded by the octets charged for them.
#[derive(Debug)]
pub(crate) struct BoundedQueue<T> {
    items: VecDeque<(T, usize)>,
    charge: Charge,
    charged: usize,
    /// Octets that the socket holds beside the queue and that count against the same limit: those of its error queue.
    beside: usize,
    pub(crate) limit: usize,
    /// Messages that found the queue full.
    pub(crate) overflowed: u64,
}

impl<T> BoundedQueue<T> {
    pub(crate) fn new(limit: usize, memory: &Memory) -> Self {
        Self {
            items: VecDeque::new(),
            charge: Charge::of(memory),
            charged: 0,
            beside: 0,
            limit,
            overflowed: 0,
        }
    }

    /// Queues a message that holds so many octets of memory; counted if there is no room. A socket that holds nothing takes
    /// any one message, as on Linux.
    pub(crate) fn push(&mut self, item: T, octets: usize) -> Result<(), Full> {
        let charge = octets + MESSAGE_OVERHEAD;
        let held = self.charged();
        if held > 0 && held + charge > self.limit {
            self.overflowed += 1;
            return Err(Full::Queue);
        }
        if !self.charge.may_grow(u32::try_from(charge).unwrap_or(u32::MAX)) {
            self.overflowed += 1;
            return Err(Full::Memory);
        }
        self.charged += charge;
        self.settle();
        self.items.push_back((item, charge));
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let (item, charge) = self.items.pop_front()?;
        self.charged -= charge;
        self.settle();
        Some(item)
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.items.front().map(|(item, _)| item)
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.items.front_mut().map(|(item, _)| item)
    }

    /// The socket holds so many octets beside the queue now, unless they are more than before and there is no room for them:
    /// other than a message, not even the first is taken that does not fit (`sock_queue_err_skb`).
    #[must_use]
    pub(crate) fn hold_beside(&mut self, octets: usize) -> bool {
        let more = u32::try_from(octets.saturating_sub(self.beside)).unwrap_or(u32::MAX);
        if more > 0 && (self.charged + octets >= self.limit || !self.charge.may_grow(more)) {
            return false;
        }
        self.beside = octets;
        self.settle();
        true
    }

    /// Octets charged for what waits and for what is held beside it (`sk_rmem_alloc`).
    pub(crate) fn charged(&self) -> usize {
        self.charged + self.beside
    }

    fn settle(&mut self) {
        self.charge.set(self.charged());
    }
}

/// The receiving side of a UDP, ping or raw socket.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    pub(crate) queue: BoundedQueue<T>,
    errors: VecDeque<IcmpReport>,
    /// What the event that waits among the events will say; empty if none waits.
    pending: Ready,
    /// The socket waits for room on a link.
    pub(crate) blocked: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(limit: usize, memory: &Memory) -> Self {
        Self {
            queue: BoundedQueue::new(limit, memory),
            errors: VecDeque::new(),
            pending: Ready::NONE,
            blocked: false,
        }
    }

    pub(crate) fn push_error(&mut self, report: IcmpReport) {
        if self.errors.len() == ERRORS_MAX {
            self.errors.pop_front();
        }
        self.errors.push_back(report);
    }

    pub(crate) fn pop_error(&mut self) -> Option<IcmpReport> {
        self.errors.pop_front()
    }

    /// What is possible now: levels, where events tell of edges.
    pub(crate) fn ready(&self) -> Ready {
        let mut ready = Ready::NONE;
        if self.queue.front().is_some() {
            ready |= Ready::READABLE;
        }
        if !self.errors.is_empty() {
            ready |= Ready::ERROR;
        }
        if !self.blocked {
            ready |= Ready::WRITABLE;
        }
        ready
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

/// Who waits for room on which link.
#[derive(Debug)]
pub(crate) struct Blocked<Id>(Vec<Vec<Id>>);

impl<Id> Default for Blocked<Id> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<Id> Blocked<Id> {
    /// Enters a socket that [does not wait yet](Mailbox::blocked).
    pub(crate) fn enter(&mut self, link: LinkId, id: Id) {
        if self.0.len() <= link.position() {
            self.0.resize_with(link.position() + 1, Vec::new);
        }
        self.0[link.position()].push(id);
    }

    /// Whether anybody waits for that link.
    pub(crate) fn any(&self, link: LinkId) -> bool {
        self.0.get(link.position()).is_some_and(|waiting| !waiting.is_empty())
    }

    /// Takes all who wait for that link.
    pub(crate) fn take(&mut self, link: LinkId) -> Vec<Id> {
        self.0.get_mut(link.position()).map(core::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_by_what_its_messages_cost() {
        let memory = Memory::new(crate::MemoryBudget::default());
        let mut queue = BoundedQueue::new(1000, &memory);
        assert_eq!(queue.push('a', 600), Ok(()));
        assert_eq!(memory.usage().used, 856);
        assert_eq!(queue.push('b', 0), Err(Full::Queue), "856 + 256 is more than 1000");
        assert_eq!(queue.overflowed, 1);
        assert_eq!(queue.pop(), Some('a'));
        assert_eq!((queue.charged(), memory.usage().used), (0, 0));
        assert_eq!(queue.push('c', 5000), Ok(()), "an empty queue takes any message");
        assert_eq!(queue.pop(), Some('c'));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn what_is_held_beside_the_queue_and_what_waits_in_it_take_each_others_room() {
        let memory = Memory::new(crate::MemoryBudget::default());
        let mut queue = BoundedQueue::new(1000, &memory);
        assert!(!queue.hold_beside(1000));
        assert!(queue.hold_beside(700));
        assert_eq!((queue.charged(), memory.usage().used), (700, 700));
        assert_eq!(queue.push('a', 100), Err(Full::Queue));
        assert!(queue.hold_beside(600));
        assert_eq!(queue.push('a', 100), Ok(()));
        assert!(!queue.hold_beside(700));
        queue.limit = 10;
        assert!(queue.hold_beside(500), "less is never refused");
        drop(queue);
        assert_eq!(memory.usage().used, 0);
    }
}
