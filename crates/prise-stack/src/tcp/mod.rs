//! TCP (RFC 9293): the signatures that the glue stands on, until the protocol itself lands.

use crate::event::Events;
use crate::link::{LinkId, LinkSet};
use crate::net::{Delivered, Discard, IcmpError, Net, Quoted};
use prise_wire::{Frame, Instant};

/// A connection of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId(pub(crate) u64);

/// A listener of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) u64);

/// A connection that waits for the gateway's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PendingId(pub(crate) u64);

/// All of TCP's state.
#[derive(Debug, Default)]
pub(crate) struct Tcp;

#[allow(clippy::unused_self, reason = "the signatures of the protocol to come")]
impl Tcp {
    pub(crate) fn arrival(&mut self, _now: Instant, net: &mut Net, _events: &mut Events, _segment: Delivered) {
        net.discard(Discard::TcpNoSocket);
    }

    pub(crate) fn transmit(
        &mut self,
        _now: Instant,
        _link: LinkId,
        _net: &mut Net,
        _events: &mut Events,
    ) -> Option<Frame> {
        None
    }

    pub(crate) fn links_ready(&self) -> LinkSet {
        LinkSet::EMPTY
    }

    pub(crate) fn expire(&mut self, _now: Instant, _net: &mut Net, _events: &mut Events) {}

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        None
    }

    pub(crate) fn icmp_error(
        &mut self,
        _now: Instant,
        _net: &mut Net,
        _events: &mut Events,
        _quoted: Quoted,
        _error: IcmpError,
    ) {
    }
}
