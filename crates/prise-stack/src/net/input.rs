//! The way in through the link: which frames are for us, and for which protocol.

use super::{Delivered, Discard, Net};
use crate::link::{Link, LinkId};
use prise_wire::{EtherType, EthernetHeader, Frame, Instant, Medium, ethernet};

/// Where a packet stands while IP looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) link: LinkId,
    /// Where the IP header begins in the frame.
    pub(super) at: usize,
    /// Whether the link sent it to this station alone.
    pub(super) link_unicast: bool,
    /// It is our own, looped back to members on this host.
    pub(super) looped: bool,
    /// It has been put together from fragments.
    pub(super) reassembled: bool,
}

impl Net {
    /// Takes a frame through link and IP; what comes out is for a transport here.
    pub(crate) fn input<'f>(&mut self, now: Instant, link: LinkId, frame: &'f mut Frame) -> Option<Delivered<'f>> {
        let Some(receiver) = self.links.get_mut(link.position()) else {
            self.discard(Discard::UnknownLink);
            return None;
        };
        receiver.count_received(frame);
        let arrival = Arrival {
            link,
            at: 0,
            link_unicast: true,
            looped: false,
            reassembled: false,
        };
        let taken = match receiver.medium() {
            Medium::Ip => self.input_ip(now, arrival, frame),
            Medium::Ethernet => self.input_ethernet(now, link, frame),
        };
        self.settle_input(link, taken)
    }

    /// Takes a packet that we sent to a group of which we are members.
    pub(crate) fn input_looped<'f>(
        &mut self,
        now: Instant,
        link: LinkId,
        frame: &'f mut Frame,
    ) -> Option<Delivered<'f>> {
        let arrival = Arrival {
            link,
            at: 0,
            link_unicast: false,
            looped: true,
            reassembled: false,
        };
        let taken = self.input_ip(now, arrival, frame);
        self.settle_input(link, taken)
    }

    fn settle_input<'f>(
        &mut self,
        link: LinkId,
        taken: Result<Option<Delivered<'f>>, Discard>,
    ) -> Option<Delivered<'f>> {
        match taken {
            Ok(delivered) => delivered,
            Err(reason) => {
                self.discard(reason);
                if let Some(link) = self.links.get_mut(link.position()) {
                    link.counters.received_discards += 1;
                }
                None
            }
        }
    }

    fn input_ethernet<'f>(
        &mut self,
        now: Instant,
        link: LinkId,
        frame: &'f mut Frame,
    ) -> Result<Option<Delivered<'f>>, Discard> {
        if !frame.pull(ethernet::HEADER_LEN) {
            return Err(Discard::LinkMalformed);
        }
        let header = EthernetHeader::parse(frame.head()).ok_or(Discard::LinkMalformed)?;
        // A priority tag names no VLAN; a real one is another network (IEEE 802.1Q §6.9.1).
        if header.tag.is_some_and(|tag| tag & 0x0fff != 0) {
            return Err(Discard::LinkProtocolUnknown);
        }
        let own = self.link(link).and_then(Link::mac).ok_or(Discard::UnknownLink)?;
        let link_unicast = header.destination == own;
        if !link_unicast && !header.destination.is_multicast() {
            return Err(Discard::LinkNotForUs);
        }
        let at = header.header_len();
        let arrival = Arrival {
            link,
            at,
            link_unicast,
            looped: false,
            reassembled: false,
        };
        match header.ether_type {
            EtherType::IPV4 => self.input_ipv4(now, arrival, frame),
            EtherType::IPV6 => self.input_ipv6(now, arrival, frame),
            EtherType::ARP => self.input_arp(now, link, frame, at).map(|()| None),
            _ => Err(Discard::LinkProtocolUnknown),
        }
    }

    pub(super) fn input_ip<'f>(
        &mut self,
        now: Instant,
        arrival: Arrival,
        frame: &'f mut Frame,
    ) -> Result<Option<Delivered<'f>>, Discard> {
        if !frame.pull(arrival.at + 1) {
            return Err(Discard::IpMalformed);
        }
        match frame.head()[arrival.at] >> 4 {
            4 => self.input_ipv4(now, arrival, frame),
            6 => self.input_ipv6(now, arrival, frame),
            _ => Err(Discard::IpMalformed),
        }
    }
}
