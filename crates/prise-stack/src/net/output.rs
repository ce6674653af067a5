//! The way out: IP and link headers around a transport segment.

use super::neighbor::{Evidence, Parked};
use super::{Discard, FlowLabel, IpOut, Net, RouteInfo};
use crate::link::{Link, LinkId};
use core::net::{IpAddr, Ipv4Addr};
use prise_wire::{
    Body, EtherType, EthernetHeader, Frame, Instant, Ipv4Header, Ipv4Options, Ipv6Header, MacAddr, Medium,
};

impl Net {
    /// Wraps IP and link headers around a transport segment for the caller to transmit at once.
    ///
    /// None if the packet waits for its neighbor's address or was dropped and counted.
    pub(crate) fn encapsulate(
        &mut self,
        now: Instant,
        out: &IpOut,
        route: &RouteInfo,
        mut frame: Frame,
    ) -> Option<Frame> {
        self.wrap(now, out, route, &mut frame).then_some(frame)
    }

    /// Puts IP and link headers before a segment; false if it is gone. Frames are large: they are not moved from layer to layer.
    fn wrap(&mut self, now: Instant, out: &IpOut, route: &RouteInfo, frame: &mut Frame) -> bool {
        self.push_ip_header(out, frame) && self.push_link_header(now, route.link, route.next_hop, frame)
    }

    /// Wraps headers around a transport segment and queues it on its link, in fragments if it is too large for the path and
    /// may be cut.
    pub(crate) fn send(&mut self, now: Instant, out: &IpOut, route: &RouteInfo, mut frame: Frame) {
        let header_len = out.header_len();
        if frame.offload.gso.is_none() && frame.total_len() + header_len > route.mtu as usize {
            // With DF set it may still be what path MTU probing wants: the link's own MTU is the limit then.
            let link_mtu = self.link(route.link).map_or(0, Link::mtu) as usize;
            if !out.dont_fragment {
                return self.send_fragments(now, out, route, frame);
            }
            if frame.total_len() + header_len > link_mtu {
                return self.discard(Discard::PacketTooBig);
            }
        }
        if self.wrap(now, out, route, &mut frame) {
            self.enqueue(route.link, frame);
        }
    }

    /// Gives members on this host their copy of what we send to a group or to everybody.
    pub(crate) fn loop_back(&mut self, link: LinkId, out: &IpOut, frame: &Frame) {
        let wanted = if out.dst.is_multicast() {
            self.groups.admits(link, out.dst, out.src)
        } else {
            self.addresses.is_broadcast(link, out.dst)
        };
        if !wanted {
            return;
        }
        let mut copy = frame.clone();
        // It does not leave this host: nothing can corrupt it.
        copy.offload.checksum = prise_wire::Checksum::Verified;
        if self.push_ip_header(out, &mut copy) {
            self.looped.push_back((link, copy));
        }
    }

    pub(super) fn push_ip_header(&mut self, out: &IpOut, frame: &mut Frame) -> bool {
        let payload_len = frame.total_len();
        match (out.src, out.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) if u16::try_from(payload_len + out.header_len()).is_ok() => {
                let mut header = Ipv4Header::new(src, dst, out.protocol, payload_len + out.options.padded_len());
                header.options = *out.options;
                header.hop_limit = out.hop_limit;
                header.tos = out.tos;
                header.dont_fragment = out.dont_fragment;
                // What is never fragmented needs no identification (RFC 6864 §4.1).
                if !out.dont_fragment {
                    header.identification = self.next_identification(out);
                }
                frame.push_header(&header);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) if u16::try_from(payload_len).is_ok() => {
                let mut header = Ipv6Header::new(src, dst, out.protocol, payload_len);
                header.hop_limit = out.hop_limit;
                header.traffic_class = out.tos;
                header.flow_label = self.flow_label(out, frame);
                frame.push_header(&header);
            }
            _ => {
                self.discard(Discard::OutputOverflow);
                return false;
            }
        }
        self.ip_counters[usize::from(out.dst.is_ipv6())].sent += 1;
        true
    }

    /// Sends a packet whose header a program has written; a zero identification is filled in.
    pub(crate) fn send_packet(&mut self, now: Instant, route: &RouteInfo, mut header: Ipv4Header, payload: Body) {
        if header.identification == 0 && !header.dont_fragment {
            let (src, dst) = (header.source.into(), header.destination.into());
            let (protocol, hop_limit, tos) = (header.protocol, header.hop_limit, header.tos);
            header.identification = self.next_identification(&IpOut {
                src,
                dst,
                protocol,
                hop_limit,
                tos,
                flow_label: FlowLabel::Given(0),
                dont_fragment: false,
                options: &Ipv4Options::NONE,
            });
        }
        self.ip_counters[0].sent += 1;
        self.send_wrapped(now, route.link, route.next_hop, Frame::with_header(&header, payload));
    }

    /// Sends an IPv6 packet as the program has written it.
    pub(crate) fn send_whole(&mut self, now: Instant, route: &RouteInfo, frame: Frame) {
        self.ip_counters[1].sent += 1;
        self.send_wrapped(now, route.link, route.next_hop, frame);
    }

    /// The next identification between two hosts: counters that start at random and are shared by keyed hash, so that
    /// nobody can count our other packets (RFC 7739 §5.3, Linux's `ip_idents`).
    pub(super) fn next_identification(&mut self, out: &IpOut) -> u16 {
        let (src, dst) = (super::address_key(out.src), super::address_key(out.dst));
        let hash = self.hash.words(&[src as u64, dst as u64, out.protocol.into()]);
        let index = hash as usize % self.identifications.len();
        let counter = &mut self.identifications[index];
        *counter = counter.wrapping_add(1);
        *counter
    }

    /// Sends a packet whose IP header is there by a link.
    pub(super) fn send_wrapped(&mut self, now: Instant, link: LinkId, next_hop: IpAddr, mut frame: Frame) {
        if self.push_link_header(now, link, next_hop, &mut frame) {
            self.enqueue(link, frame);
        }
    }

    /// Puts the link's header before a packet; false if the packet was taken to wait for the neighbor's address.
    fn push_link_header(&mut self, now: Instant, link: LinkId, next_hop: IpAddr, frame: &mut Frame) -> bool {
        match self.link(link).map(Link::medium) {
            Some(Medium::Ip) => return true,
            Some(Medium::Ethernet) => {}
            None => return false,
        }
        let mac = match next_hop {
            IpAddr::V4(group) if group.is_multicast() => MacAddr::from_ipv4_multicast(group),
            IpAddr::V6(group) if group.is_multicast() => MacAddr::from_ipv6_multicast(group),
            _ => match self.neighbors.lookup(now, link, next_hop) {
                Some(mac) => mac,
                None if self.addresses.is_broadcast(link, next_hop) => MacAddr::BROADCAST,
                None => {
                    self.park(now, link, next_hop, core::mem::take(frame));
                    return false;
                }
            },
        };
        self.push_ethernet_header(link, mac, frame);
        true
    }

    pub(super) fn push_ethernet_header(&self, link: LinkId, to: MacAddr, frame: &mut Frame) {
        // Ethernet links have an address: `add_link` has seen to it.
        let own = self.link(link).and_then(Link::mac).unwrap_or(MacAddr::UNSPECIFIED);
        let is_ipv4 = frame.head().first().is_some_and(|octet| octet >> 4 == 4);
        let ether_type = if is_ipv4 { EtherType::IPV4 } else { EtherType::IPV6 };
        frame.push_header(&EthernetHeader::new(own, to, ether_type));
    }

    fn park(&mut self, now: Instant, link: LinkId, next_hop: IpAddr, frame: Frame) {
        let Parked {
            solicit,
            dropped,
            evicted,
        } = self.neighbors.park(now, link, next_hop, frame);
        for _ in 0..dropped {
            self.discard(Discard::NeighborQueueFull);
        }
        for _ in 0..evicted {
            self.discard(Discard::NeighborEvicted);
        }
        if solicit {
            self.solicit(now, link, next_hop, None);
        }
    }

    /// Asks for a neighbor: everybody, or the neighbor itself if its address is given.
    pub(super) fn solicit(&mut self, now: Instant, link: LinkId, addr: IpAddr, mac: Option<MacAddr>) {
        match addr {
            IpAddr::V4(addr) => self.solicit_v4(link, addr, mac),
            IpAddr::V6(addr) => self.solicit_v6(now, link, addr, mac),
        }
    }

    /// Takes in what a message says of a neighbor and sends what waited for it; false if it told nothing of use.
    pub(super) fn learn_neighbor(&mut self, now: Instant, link: LinkId, addr: IpAddr, evidence: Evidence) -> bool {
        let Some((mac, waiting)) = self.neighbors.learn(now, link, addr, evidence) else {
            return false;
        };
        for mut frame in waiting {
            self.push_ethernet_header(link, mac, &mut frame);
            self.enqueue(link, frame);
        }
        true
    }

    /// Puts a finished frame into its link's queue.
    pub(super) fn enqueue(&mut self, link: LinkId, frame: Frame) {
        let Some(queue) = self.links.get_mut(link.position()) else {
            return;
        };
        match queue.enqueue(frame) {
            Ok(()) => self.ready.insert(link),
            Err(_) => self.discard(Discard::LinkQueueFull),
        }
    }

    /// Whether senders need not wait for the link's queue to drain.
    pub(crate) fn has_room(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(Link::has_room)
    }

    pub(crate) fn is_half_empty(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(Link::is_half_empty)
    }

    /// Whether the address is a broadcast: the limited one, or a directed one of any link.
    pub(crate) fn is_broadcast(&self, addr: IpAddr) -> bool {
        addr == Ipv4Addr::BROADCAST || self.addresses.broadcast_link(addr).is_some()
    }
}
