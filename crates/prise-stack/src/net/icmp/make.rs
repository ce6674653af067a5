//! ICMP messages of our own: errors, under the rules of RFC 1122 §3.2.2 and RFC 4443 §2.4, and echo replies.

use super::{IcmpError, QuotedFlow};
use crate::link::LinkId;
use crate::net::{Delivered, Discard, FlowLabel, IpOut, Net, RouteInfo};
use core::net::{IpAddr, Ipv6Addr};
use prise_wire::ipv6::extension;
use prise_wire::{
    Body, Echo, Emit, ExtensionProblem, Frame, Head, Icmpv4Header, Icmpv6Header, Instant, Ipv4Header, Ipv4Options,
    Ipv6Header, Payload, checksum, icmpv4, icmpv6, ipv4, ipv6, protocol,
};

/// Type of service of errors: internetwork control (RFC 1812 §4.3.2.5).
const ERROR_TOS: u8 = 0xc0;

const HOP_LIMIT: u8 = 64;

impl Net {
    /// Answers a packet with an error, unless the rules or the rate limit forbid it.
    pub(crate) fn answer_with_error(&mut self, now: Instant, packet: &Delivered<'_>, error: IcmpError) {
        let even_to_groups = matches!(
            error,
            IcmpError::PacketTooBig { .. } | IcmpError::OptionUnrecognized { .. }
        );
        let exempt = packet.src.is_ipv6() && even_to_groups;
        if (!packet.unicast && !exempt) || !is_one_host(packet.src) || is_icmp_error(packet) {
            return self.discard(Discard::IcmpErrorForbidden);
        }
        let src = packet.unicast.then_some(packet.dst);
        let Ok(route) = self.route_back(packet.src, src, packet.link) else {
            return self.discard(Discard::NoRoute);
        };
        // What stays on this host costs nobody's bandwidth, and programs rely on it (Linux exempts loopback too).
        if !route.loopback && !self.icmp_limit.allows(now, packet.src) {
            return self.discard(Discard::IcmpRateLimited);
        }
        let Some((kind, code, rest)) = error.fields(packet.src.is_ipv4()) else {
            return self.discard(Discard::IcmpErrorForbidden);
        };
        let rest = match error {
            IcmpError::ProtocolUnreachable if packet.src.is_ipv6() => unknown_header_at(packet),
            _ => rest,
        };
        self.send_error(now, &route, packet.src, (kind, code, rest), quote(packet));
    }

    /// Tells the sender of a flow of an error in the name of `offender`; by default that is the flow's destination if it is
    /// what refuses, else this host as a router.
    pub(crate) fn send_icmp_error_for(
        &mut self,
        now: Instant,
        link: LinkId,
        offender: Option<IpAddr>,
        flow: &QuotedFlow,
        error: IcmpError,
    ) {
        let (to, dialled) = (flow.src.ip(), flow.dst.ip());
        if !is_one_host(to) || to.is_ipv4() != dialled.is_ipv4() {
            return self.discard(Discard::IcmpErrorForbidden);
        }
        let by_destination = matches!(error, IcmpError::PortUnreachable | IcmpError::ProtocolUnreachable);
        let router = || self.addresses.primary(link, to.is_ipv4()).filter(|_| !by_destination);
        let src = offender.or_else(router).unwrap_or(dialled);
        let Ok(route) = self.route_back(to, Some(src), link) else {
            return self.discard(Discard::NoRoute);
        };
        if !route.loopback && !self.icmp_limit.allows_any(now) {
            return self.discard(Discard::IcmpRateLimited);
        }
        match error.fields(to.is_ipv4()) {
            Some(fields) => self.send_error(now, &route, to, fields, quote_flow(flow)),
            None => self.discard(Discard::IcmpErrorForbidden),
        }
    }

    /// Answers an echo request (RFC 1122 §3.2.2.6, RFC 4443 §4.2): the same identifier, sequence number and data.
    pub(super) fn send_echo_reply(&mut self, now: Instant, packet: &mut Delivered<'_>, echo: Echo) {
        let src = packet.unicast.then_some(packet.dst);
        let Ok(route) = self.route_back(packet.src, src, packet.link) else {
            return self.discard(Discard::NoRoute);
        };
        let (to, tos) = (packet.src, packet.tos);
        let data = packet.frame.take_payload(packet.transport_at + icmpv4::HEADER_LEN);
        self.send_message(now, &route, to, tos, Message::EchoReply(echo), data);
    }

    /// Sends an echo reply in the name of `src`: what the gateway has learnt by asking the host.
    pub(crate) fn send_echo_reply_from(
        &mut self,
        now: Instant,
        link: LinkId,
        src: IpAddr,
        dst: IpAddr,
        echo: Echo,
        data: Body,
    ) {
        match self.route_back(dst, Some(src), link) {
            Ok(route) => self.send_message(now, &route, dst, 0, Message::EchoReply(echo), data),
            Err(_) => self.discard(Discard::NoRoute),
        }
    }

    /// The way back to whoever sent a packet: by the link it came by where addresses alone do not tell.
    fn route_back(&self, dst: IpAddr, src: Option<IpAddr>, link: LinkId) -> Result<RouteInfo, crate::net::RouteError> {
        let narrow = matches!(dst, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let device = (narrow || self.link_is_transparent(link)).then_some(link);
        self.route(dst, src, device)
    }

    fn send_error(&mut self, now: Instant, route: &RouteInfo, to: IpAddr, fields: (u8, u8, u32), mut quote: Body) {
        let limit = if to.is_ipv4() {
            icmpv4::ERROR_PACKET_MAX - ipv4::HEADER_LEN - icmpv4::HEADER_LEN
        } else {
            icmpv6::ERROR_PACKET_MAX - ipv6::HEADER_LEN - icmpv6::HEADER_LEN
        };
        quote.truncate(limit);
        self.icmp_counters[usize::from(to.is_ipv6())].errors_sent += 1;
        self.send_message(now, route, to, ERROR_TOS, Message::Error(fields), quote);
    }

    fn send_message(&mut self, now: Instant, route: &RouteInfo, to: IpAddr, tos: u8, message: Message, body: Body) {
        let src = route.source;
        let payload_sum = checksum::sum_pieces(body.slices());
        let mut head = Head::new();
        let (protocol, out) = match (src, to) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                message.v4().emit_with(payload_sum, head.grow_front(icmpv4::HEADER_LEN));
                (protocol::ICMPV4, head)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let len = icmpv6::HEADER_LEN + body.len();
                let pseudo = checksum::pseudo_header_v6(src, dst, protocol::ICMPV6, len);
                message
                    .v6()
                    .emit_with(pseudo, payload_sum, head.grow_front(icmpv6::HEADER_LEN));
                (protocol::ICMPV6, head)
            }
            _ => return self.discard(Discard::NoRoute),
        };
        let header = IpOut {
            src,
            dst: to,
            protocol,
            hop_limit: HOP_LIMIT,
            tos,
            flow_label: FlowLabel::OfFlow,
            dont_fragment: false,
            options: &Ipv4Options::NONE,
        };
        self.icmp_counters[usize::from(to.is_ipv6())].sent += 1;
        self.send(now, &header, route, Frame::new(out, body));
    }
}

/// The packet from its IP header on.
fn quote(packet: &Delivered<'_>) -> Body {
    packet.frame.payload_from(packet.network_at)
}

/// Where an IPv6 packet names the header that nobody knows (RFC 4443 §3.4).
fn unknown_header_at(packet: &Delivered<'_>) -> u32 {
    match extension::walk(packet.frame.head().get(packet.network_at..).unwrap_or(&[])) {
        Ok(chain) => chain.next_header_at as u32,
        Err(ExtensionProblem::HopByHopNotFirst { pointer }) => pointer,
        Err(_) => 0,
    }
}

#[derive(Clone, Copy)]
enum Message {
    Error((u8, u8, u32)),
    EchoReply(Echo),
}

impl Message {
    const fn v4(self) -> Icmpv4Header {
        match self {
            Self::Error((kind, code, rest)) => Icmpv4Header::Other { kind, code, rest },
            Self::EchoReply(echo) => Icmpv4Header::EchoReply(echo),
        }
    }

    const fn v6(self) -> Icmpv6Header {
        match self {
            Self::Error((kind, code, rest)) => Icmpv6Header::Other { kind, code, rest },
            Self::EchoReply(echo) => Icmpv6Header::EchoReply(echo),
        }
    }
}

/// Whether the address names a single host, so that an error may go there (RFC 1122 §3.2.2, RFC 4443 §2.4 (e.6)).
fn is_one_host(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && v4.octets()[0] != 0 && v4.octets()[0] < 240,
        IpAddr::V6(v6) => !v6.is_multicast() && v6 != Ipv6Addr::UNSPECIFIED,
    }
}

/// Whether the packet is an ICMP error itself, or a redirect (RFC 4443 §2.4 (e.1), (e.2)).
fn is_icmp_error(packet: &Delivered<'_>) -> bool {
    let Some(header) = packet.frame.head().get(packet.transport_at..) else {
        return true;
    };
    match packet.protocol {
        protocol::ICMPV4 => Icmpv4Header::parse(header).map_or(true, Icmpv4Header::is_error),
        protocol::ICMPV6 => {
            let redirect = icmpv6::ndp::kind::REDIRECT;
            Icmpv6Header::parse(header).map_or(true, |header| header.is_error() || header.kind_and_code().0 == redirect)
        }
        _ => false,
    }
}

/// The front of a packet of that flow, as far as an error needs it: eight octets of transport (RFC 792) and what the caller
/// has of its payload.
fn quote_flow(flow: &QuotedFlow) -> Body {
    let (src_port, dst_port) = (flow.src.port().to_be_bytes(), flow.dst.port().to_be_bytes());
    let len = 8 + flow.payload.len();
    let mut head = Head::new();
    let transport = head.grow_front(8);
    match flow.protocol {
        protocol::ICMPV4 | protocol::ICMPV6 => {
            transport[0] = if flow.protocol == protocol::ICMPV4 { 8 } else { 128 };
            transport[4..6].copy_from_slice(&src_port);
            transport[6..8].copy_from_slice(&dst_port);
        }
        protocol => {
            let rest = if protocol == protocol::TCP {
                flow.seq.0
            } else {
                (len as u32) << 16
            };
            transport[..2].copy_from_slice(&src_port);
            transport[2..4].copy_from_slice(&dst_port);
            transport[4..8].copy_from_slice(&rest.to_be_bytes());
        }
    }
    match (flow.src.ip(), flow.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header = Ipv4Header::new(src, dst, flow.protocol, len);
            header.dont_fragment = true;
            header.emit(head.grow_front(ipv4::HEADER_LEN));
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            Ipv6Header::new(src, dst, flow.protocol, len).emit(head.grow_front(ipv6::HEADER_LEN));
        }
        _ => {}
    }
    let mut quote: Body = Payload::copy_from(&head).into();
    quote.append(flow.payload.clone().into());
    quote
}
