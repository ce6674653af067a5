//! Ping sockets (ICMP datagram sockets, `icmp(7)`) and raw sockets (`raw(7)`).
//!
//! A ping socket owns an identifier and gets the replies to it; a raw socket gets a copy of every packet of its protocol
//! that IP delivers.

mod arrival;
mod output;
mod verbs;

#[cfg(test)]
mod tests;

pub use output::{PingSend, RawSend};
pub use verbs::{EchoIntercepted, IdentifierInUse, PingConfig, RawConfig};

use crate::event::{Event, Events, Ready};
use crate::hash::HashKey;
use crate::link::LinkId;
use crate::mailbox::{Blocked, BoundedQueue, Mailbox};
use crate::memory::Memory;
use crate::slab::{Slab, identifier};
use alloc::vec::Vec;
use core::net::IpAddr;
use hashbrown::HashMap;
use prise_wire::{Body, Instant, IpVersion};

/// Octets of intercepted echo requests that wait for the gateway.
const INTERCEPTED_OCTETS: usize = 1 << 20;

identifier! {
    /// A ping socket of one stack. Never means another one, even after it is gone.
    PingId
}
identifier! {
    /// A raw socket of one stack. Never means another one, even after it is gone.
    RawId
}

/// A message that a ping or raw socket has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// Ping sockets: the ICMP message. Raw sockets: the packet with its header in IPv4, its payload in IPv6.
    pub payload: Body,
    /// Who sent it.
    pub src: IpAddr,
    /// To whom it was sent.
    pub dst: IpAddr,
    /// The link it came by.
    pub link: LinkId,
    /// Time to live or hop limit, as it arrived.
    pub hop_limit: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The flow label of IPv6.
    pub flow_label: u32,
    /// When it arrived.
    pub received: Instant,
}

/// What ping and raw sockets have in common.
#[derive(Debug)]
struct Common {
    token: u32,
    version: IpVersion,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    device: Option<LinkId>,
    mailbox: Mailbox<RawMessage>,
}

impl Common {
    fn accepts(&self, src: IpAddr, dst: IpAddr, link: LinkId) -> bool {
        self.accepts_at(dst, link) && self.remote.is_none_or(|remote| remote == src)
    }

    /// The same for a socket of ping: it hears all answers to its identifier, connected or not (`ping_lookup`).
    fn accepts_at(&self, dst: IpAddr, link: LinkId) -> bool {
        self.local.is_none_or(|local| local == dst) && self.device.is_none_or(|device| device == link)
    }
}

#[derive(Debug)]
struct Ping {
    identifier: u16,
    common: Common,
}

#[derive(Debug)]
struct RawSocket {
    protocol: u8,
    common: Common,
}

/// Whoever waits for room on a link.
#[derive(Clone, Copy, Debug)]
enum Waiter {
    Ping(PingId),
    Raw(RawId),
}

/// Every ping and raw socket of a stack.
#[derive(Debug)]
pub(crate) struct Raw {
    pings: Slab<Ping>,
    by_identifier: HashMap<(bool, u16), PingId, HashKey>,
    raws: Slab<RawSocket>,
    by_protocol: HashMap<(bool, u8), Vec<RawId>, HashKey>,
    /// Sockets that wait for room on a link.
    blocked: Blocked<Waiter>,
    intercepted: BoundedQueue<EchoIntercepted>,
    intercepts: bool,
    /// An event about intercepted requests is among the events.
    signalled: bool,
    memory: Memory,
}

impl Raw {
    pub(crate) fn new(hash: HashKey, memory: &Memory) -> Self {
        Self {
            pings: Slab::new(),
            by_identifier: HashMap::with_hasher(hash),
            raws: Slab::new(),
            by_protocol: HashMap::with_hasher(hash),
            blocked: Blocked::default(),
            intercepted: BoundedQueue::new(INTERCEPTED_OCTETS, memory),
            intercepts: false,
            signalled: false,
            memory: memory.clone(),
        }
    }

    /// Fills in what an event says, now that it is handed out; none if its socket is gone.
    pub(crate) fn complete(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Ping { token, id, .. } => {
                let ready = self.pings.find_mut(id.key())?.common.mailbox.take_pending();
                Some(Event::Ping { token, id, ready })
            }
            Event::Raw { token, id, .. } => {
                let ready = self.raws.find_mut(id.key())?.common.mailbox.take_pending();
                Some(Event::Raw { token, id, ready })
            }
            Event::EchoIntercepted => {
                self.signalled = false;
                Some(event)
            }
            other => Some(other),
        }
    }

    /// Whether anybody waits for room on the link.
    pub(crate) fn waits_for(&self, link: LinkId) -> bool {
        self.blocked.any(link)
    }

    /// A link has room again: whoever waited may send.
    pub(crate) fn link_has_room(&mut self, events: &mut Events, link: LinkId) {
        for waiter in self.blocked.take(link) {
            let common = match waiter {
                Waiter::Ping(id) => self.pings.find_mut(id.key()).map(|socket| &mut socket.common),
                Waiter::Raw(id) => self.raws.find_mut(id.key()).map(|socket| &mut socket.common),
            };
            let Some(common) = common else { continue };
            let token = common.token;
            common.mailbox.blocked = false;
            common.mailbox.signal(events, Ready::WRITABLE, |ready| match waiter {
                Waiter::Ping(id) => Event::Ping { token, id, ready },
                Waiter::Raw(id) => Event::Raw { token, id, ready },
            });
        }
    }

    fn signal_interception(&mut self, events: &mut Events) {
        if !self.signalled {
            self.signalled = true;
            events.push(Event::EchoIntercepted);
        }
    }
}
