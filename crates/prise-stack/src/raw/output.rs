//! Ping and raw sockets send.

use super::{Common, PingId, Raw, RawId, Waiter};
use crate::link::LinkId;
use crate::net::{Discard, FlowLabel, IpOut, Net, RouteInfo};
use crate::send::{DatagramError, Fragmentation};
use core::net::IpAddr;
use prise_wire::{
    Body, Echo, Frame, Head, Icmpv4Header, Icmpv6Header, Instant, IpVersion, Ipv4Header, Ipv4Options, MalformedIpv4,
    checksum, icmpv4, icmpv6, ipv4, ipv6, protocol,
};

/// One ICMP message to send from a ping socket.
#[derive(Clone, Debug)]
pub struct PingSend {
    /// The receiver.
    pub dst: IpAddr,
    /// The address to speak from; none leaves it to the socket and the route.
    pub src: Option<IpAddr>,
    /// The link to leave by; none leaves it to the socket and the route.
    pub device: Option<LinkId>,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The flow label of IPv6.
    pub flow_label: FlowLabel,
    /// What to do if it is too big.
    pub fragmentation: Fragmentation,
    /// The message: an echo request. Its identifier and checksum are the socket's business.
    pub message: Body,
}

/// One packet to send from a raw socket.
#[derive(Clone, Debug)]
pub struct RawSend {
    /// The receiver.
    pub dst: IpAddr,
    /// The address to speak from; none leaves it to the socket and the route.
    pub src: Option<IpAddr>,
    /// The link to leave by; none leaves it to the socket and the route.
    pub device: Option<LinkId>,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The flow label of IPv6.
    pub flow_label: FlowLabel,
    /// What to do if it is too big.
    pub fragmentation: Fragmentation,
    /// Options of IPv4, unless the program writes the header.
    pub options: Ipv4Options,
    /// The payload begins with an IP header (`IP_HDRINCL`). Of IPv4's, length, checksum and, if zero, source and
    /// identification are filled in; IPv6's goes as it is.
    pub header_included: bool,
    /// What it carries.
    pub payload: Body,
}

/// Where and how a packet goes, resolved.
struct Way<'a> {
    route: RouteInfo,
    out: IpOut<'a>,
    net: &'a mut Net,
}

impl Raw {
    pub(super) fn ping(
        &mut self,
        now: Instant,
        net: &mut Net,
        id: PingId,
        send: PingSend,
    ) -> Result<(), DatagramError> {
        let socket = self.pings.find_mut(id.key()).ok_or(DatagramError::Closed)?;
        let PingSend {
            dst,
            src,
            device,
            hop_limit,
            tos,
            flow_label,
            fragmentation,
            mut message,
        } = send;
        let (is_ipv4, protocol) = match socket.common.version {
            IpVersion::V4 => (true, protocol::ICMPV4),
            IpVersion::V6 => (false, protocol::ICMPV6),
        };
        let route = way_out(net, &socket.common, dst, src, device)?;
        if !net.has_room(route.link) {
            if !core::mem::replace(&mut socket.common.mailbox.blocked, true) {
                self.blocked.enter(route.link, Waiter::Ping(id));
            }
            return Err(DatagramError::WouldBlock);
        }
        let header = message.split_to(icmpv4::HEADER_LEN).to_vec();
        let &[kind, 0, _, _, _, _, high, low] = header.as_slice() else {
            return Err(DatagramError::Invalid);
        };
        if kind != if is_ipv4 { 8 } else { 128 } {
            return Err(DatagramError::Invalid);
        }
        let echo = Echo {
            identifier: socket.identifier,
            sequence: u16::from_be_bytes([high, low]),
        };
        let out = IpOut {
            src: route.source,
            dst,
            protocol,
            hop_limit,
            tos,
            flow_label,
            dont_fragment: false,
            options: &Ipv4Options::NONE,
        };
        let mut way = Way { route, out, net };
        way.decide(fragmentation, icmpv4::HEADER_LEN + message.len())?;
        let sum = checksum::sum_pieces(message.slices());
        let mut head = Head::new();
        let space = head.grow_front(icmpv4::HEADER_LEN);
        if is_ipv4 {
            Icmpv4Header::EchoRequest(echo).emit_with(sum, space);
        } else {
            let len = icmpv6::HEADER_LEN + message.len();
            let pseudo = checksum::pseudo_header(route.source, dst, protocol, len);
            Icmpv6Header::EchoRequest(echo).emit_with(pseudo, sum, space);
        }
        way.net.send(now, &way.out, &way.route, Frame::new(head, message));
        Ok(())
    }

    pub(super) fn send(&mut self, now: Instant, net: &mut Net, id: RawId, send: RawSend) -> Result<(), DatagramError> {
        let socket = self.raws.find_mut(id.key()).ok_or(DatagramError::Closed)?;
        let RawSend {
            dst,
            src,
            device,
            hop_limit,
            tos,
            flow_label,
            fragmentation,
            options,
            header_included,
            payload,
        } = send;
        let protocol = socket.protocol;
        let route = way_out(net, &socket.common, dst, src, device)?;
        if !net.has_room(route.link) {
            if !core::mem::replace(&mut socket.common.mailbox.blocked, true) {
                self.blocked.enter(route.link, Waiter::Raw(id));
            }
            return Err(DatagramError::WouldBlock);
        }
        if header_included {
            return send_with_header(now, net, &route, payload);
        }
        let out = IpOut {
            src: route.source,
            dst,
            protocol,
            hop_limit,
            tos,
            flow_label,
            dont_fragment: false,
            options: &options,
        };
        let mut way = Way { route, out, net };
        way.decide(fragmentation, payload.len())?;
        let mut frame = Frame::new(Head::new(), payload);
        if protocol == protocol::ICMPV6 && dst.is_ipv6() {
            // Its checksum covers addresses that only we know (RFC 3542 §3.1).
            if !frame.pull(icmpv6::HEADER_LEN) {
                return Err(DatagramError::Invalid);
            }
            frame.head_mut()[2..4].fill(0);
            let pseudo = checksum::pseudo_header(route.source, dst, protocol, frame.total_len());
            let sum = checksum::finish(checksum::combine(pseudo, frame.sum_from(0)));
            frame.head_mut()[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        way.net.send(now, &way.out, &way.route, frame);
        Ok(())
    }
}

impl Way<'_> {
    /// Decides about DF, or refuses what cannot go.
    fn decide(&mut self, fragmentation: Fragmentation, len: usize) -> Result<(), DatagramError> {
        let (header_len, largest) = match self.out.dst {
            IpAddr::V4(_) => (self.out.header_len(), len + self.out.header_len()),
            IpAddr::V6(_) => (self.out.header_len(), len),
        };
        if largest > usize::from(u16::MAX) {
            return Err(DatagramError::TooBig { mtu: self.route.mtu });
        }
        let link_mtu = self.net.link(self.route.link).map_or(0, crate::Link::mtu);
        self.out.dont_fragment = fragmentation.dont_fragment(header_len + len, &self.route, link_mtu)?;
        Ok(())
    }
}

fn way_out(
    net: &Net,
    common: &Common,
    dst: IpAddr,
    src: Option<IpAddr>,
    device: Option<LinkId>,
) -> Result<RouteInfo, DatagramError> {
    if dst.is_ipv4() != (common.version == IpVersion::V4) {
        return Err(DatagramError::Family);
    }
    Ok(net.route(dst, src.or(common.local), device.or(common.device))?)
}

/// Sends a packet whose header the program has written (`raw(7)`).
fn send_with_header(now: Instant, net: &mut Net, route: &RouteInfo, mut packet: Body) -> Result<(), DatagramError> {
    if packet.len() > route.mtu as usize {
        return Err(DatagramError::TooBig { mtu: route.mtu });
    }
    let IpAddr::V4(source) = route.source else {
        // rawv6_send_hdrinc: nothing but its length is looked at.
        let mut frame = Frame::new(Head::new(), packet);
        if !frame.pull(ipv6::HEADER_LEN) {
            return Err(DatagramError::Invalid);
        }
        net.send_whole(now, route, frame);
        return Ok(());
    };
    let mut front = packet.slice(0, ipv4::HEADER_MAX).to_vec();
    // raw_send_hdrinc: the length is filled in whatever the program wrote there, before anything could judge it.
    let total_len = u16::try_from(packet.len()).map_err(|_| DatagramError::TooBig { mtu: route.mtu })?;
    if let Some(field) = front.get_mut(2..4) {
        field.copy_from_slice(&total_len.to_be_bytes());
    }
    let mut header = match Ipv4Header::parse(&front) {
        Err(MalformedIpv4::Version) if has_whole_header(&front) => {
            // Only who receives it looks at the version. A link without headers of its own would take it for IPv6's.
            net.discard(Discard::IpMalformed);
            return Ok(());
        }
        parsed => parsed.map_err(|_| DatagramError::Invalid)?,
    };
    if header.source.is_unspecified() {
        header.source = source;
    }
    packet.trim_front(header.header_len());
    net.send_packet(now, route, header, packet);
    Ok(())
}

/// What of a header is judged where it is sent.
fn has_whole_header(front: &[u8]) -> bool {
    let said = front.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    (ipv4::HEADER_LEN..=front.len()).contains(&said)
}

// A header with all options and a link header fit any frame's head.
const _: () = assert!(ipv4::HEADER_MAX + prise_wire::ethernet::HEADER_LEN <= prise_wire::HEAD_MAX);
