//! Neighbor discovery (RFC 4861 §7): solicitations answered and sent, advertisements taken in.
//!
//! Duplicate address detection is off: addresses here are given by whoever runs the stack.

use super::neighbor::Evidence;
use super::{Delivered, Discard, FlowLabel, IpOut, Net};
use crate::link::{Link, LinkId};
use core::net::{IpAddr, Ipv6Addr};
use prise_wire::icmpv6::ndp::{HOP_LIMIT, NdpMessage, NeighborAdvertisement, solicited_node};
use prise_wire::{Emit, Frame, Head, Instant, Ipv4Options, MacAddr, icmpv6, protocol};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// More than the messages that a host takes in ever have; what is longer than this is for routers.
const MESSAGE_MAX: usize = 256;

impl Net {
    /// Takes in a message of neighbor discovery whose checksum holds.
    pub(super) fn input_ndp(&mut self, now: Instant, packet: &Delivered<'_>) -> Result<(), Discard> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else {
            return Err(Discard::NdpInvalid);
        };
        // It has not crossed a router (RFC 4861 §7.1.1), and is no fragment, by which it would slip through what guards the link
        // (RFC 6980 §5).
        if packet.hop_limit != HOP_LIMIT || packet.fragmented {
            return Err(Discard::NdpInvalid);
        }
        let mut octets = [0; MESSAGE_MAX];
        let len = super::copy_from(packet.frame, packet.transport_at, &mut octets);
        match NdpMessage::parse(&octets[..len]).map_err(|_| Discard::NdpInvalid)? {
            NdpMessage::NeighborSolicitation { target, source_link } => {
                self.solicited(now, packet.link, src, dst, target, source_link)
            }
            NdpMessage::NeighborAdvertisement(advertisement) => self.advertised(now, packet.link, dst, &advertisement),
            NdpMessage::RouterSolicitation { .. }
            | NdpMessage::RouterAdvertisement(_)
            | NdpMessage::Redirect { .. } => Err(Discard::NdpIgnored),
        }
    }

    /// RFC 4861 §7.1.1, §7.2.3, §7.2.4.
    fn solicited(
        &mut self,
        now: Instant,
        link: LinkId,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        target: Ipv6Addr,
        source_link: Option<MacAddr>,
    ) -> Result<(), Discard> {
        let detection = src.is_unspecified();
        if detection && (source_link.is_some() || dst != solicited_node(target)) {
            return Err(Discard::NdpInvalid);
        }
        let own = self.addresses.link_has(link, target.into());
        // On a transparent link everything is behind us, except what a peer takes for itself and known peers.
        let others = !detection
            && self.link_is_transparent(link)
            && src != target
            && !target.is_unspecified()
            && !target.is_loopback()
            && !self.neighbors.knows(link, target.into());
        if !own && !others {
            return Err(Discard::NdpNotForUs);
        }
        if let Some(mac) = source_link.filter(|mac| mac.is_unicast()) {
            let evidence = Evidence {
                mac: Some(mac),
                solicited: false,
                overrides: true,
                is_router: None,
                creates: true,
            };
            self.learn_neighbor(now, link, src.into(), evidence);
        }
        let advertisement = NeighborAdvertisement {
            router: self.link_is_transparent(link),
            solicited: !detection,
            override_known: true,
            target,
            target_link: self.link(link).and_then(Link::mac),
        };
        let to = if detection { ALL_NODES } else { src };
        self.send_ndp(
            now,
            link,
            target,
            to,
            None,
            &NdpMessage::NeighborAdvertisement(advertisement),
        );
        Ok(())
    }

    /// RFC 4861 §7.1.2, §7.2.5.
    fn advertised(
        &mut self,
        now: Instant,
        link: LinkId,
        dst: Ipv6Addr,
        advertisement: &NeighborAdvertisement,
    ) -> Result<(), Discard> {
        let &NeighborAdvertisement {
            router,
            solicited,
            override_known,
            target,
            target_link,
        } = advertisement;
        if dst.is_multicast() && solicited {
            return Err(Discard::NdpInvalid);
        }
        if self.addresses.link_has(link, target.into()) {
            return Err(Discard::AddressConflict);
        }
        let evidence = Evidence {
            mac: target_link.filter(|mac| mac.is_unicast()),
            solicited,
            overrides: override_known,
            is_router: Some(router),
            creates: false,
        };
        if self.learn_neighbor(now, link, target.into(), evidence) {
            Ok(())
        } else {
            Err(Discard::NdpNotForUs)
        }
    }

    /// Asks who has an address: its solicited-node group, or in a check only the neighbor itself (RFC 4861 §7.2.2, §7.3.3).
    pub(super) fn solicit_v6(&mut self, now: Instant, link: LinkId, target: Ipv6Addr, mac: Option<MacAddr>) {
        let source_link = self.link(link).and_then(Link::mac);
        // Without an address nobody can answer us: from the unspecified one this would be duplicate detection.
        let Some(IpAddr::V6(source)) = self.addresses.source_for_neighbor(link, target.into()) else {
            return;
        };
        let to = if mac.is_some() { target } else { solicited_node(target) };
        let message = NdpMessage::NeighborSolicitation { target, source_link };
        self.send_ndp(now, link, source, to, mac, &message);
    }

    /// Sends a message to a group, to a neighbor whose hardware address is given, or through the cache.
    fn send_ndp(
        &mut self,
        now: Instant,
        link: LinkId,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        mac: Option<MacAddr>,
        message: &NdpMessage<'_>,
    ) {
        let mut head = Head::new();
        let out = head.grow_front(message.emit_len());
        icmpv6::emit_message(message, src, dst, out);
        let mut frame = Frame::new(head, prise_wire::Body::new());
        let out = IpOut {
            src: src.into(),
            dst: dst.into(),
            protocol: protocol::ICMPV6,
            hop_limit: HOP_LIMIT,
            tos: 0,
            flow_label: FlowLabel::Given(0),
            dont_fragment: true,
            options: &Ipv4Options::NONE,
        };
        if !self.push_ip_header(&out, &mut frame) {
            return;
        }
        match mac {
            Some(mac) => {
                self.push_ethernet_header(link, mac, &mut frame);
                self.enqueue(link, frame);
            }
            None => self.send_wrapped(now, link, dst.into(), frame),
        }
    }
}
