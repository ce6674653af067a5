//! Datagrams that come by a transparent link and that no socket here takes: the gateway's to carry on.

use crate::event::{Event, Events};
use crate::link::LinkId;
use crate::mailbox::{BoundedQueue, Full};
use crate::memory::Memory;
use core::net::SocketAddr;
use prise_wire::Body;

/// Octets of intercepted datagrams that wait for the gateway, headers' overhead included.
const INTERCEPTED_OCTETS: usize = 4 << 20;

/// A datagram that a peer on a transparent link sent to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpIntercepted {
    /// The link it came by.
    pub link: LinkId,
    /// The peer that sent it.
    pub src: SocketAddr,
    /// The endpoint it is for.
    pub dst: SocketAddr,
    /// Time to live or hop limit, as it arrived.
    pub hop_limit: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// What it carries.
    pub payload: Body,
}

#[derive(Debug)]
pub(super) struct Interception {
    pub(super) enabled: bool,
    queue: BoundedQueue<UdpIntercepted>,
    /// An event is among the events.
    signalled: bool,
}

impl Interception {
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            enabled: false,
            queue: BoundedQueue::new(INTERCEPTED_OCTETS, memory),
            signalled: false,
        }
    }

    /// Queues a datagram, if there is room.
    pub(super) fn enqueue(&mut self, events: &mut Events, mut datagram: UdpIntercepted) -> Result<(), Full> {
        datagram.payload.compact();
        let octets = datagram.payload.pinned();
        let queued = self.queue.push(datagram, octets);
        if queued.is_ok() && !self.signalled {
            self.signalled = true;
            events.push(Event::UdpIntercepted);
        }
        queued
    }

    pub(super) fn dequeue(&mut self) -> Option<UdpIntercepted> {
        self.queue.pop()
    }

    /// The event is being handed out: the next arrival needs another.
    pub(super) fn take_signal(&mut self) {
        self.signalled = false;
    }
}
