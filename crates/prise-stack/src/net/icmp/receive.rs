//! ICMP messages that arrive: echo requests are answered, errors are read as far as finding their owner needs.

use super::{IcmpError, IcmpReport, Quoted};
use crate::link::LinkId;
use crate::net::{Delivered, Discard, Net, copy_from};
use core::net::{IpAddr, SocketAddr};
use prise_wire::{
    Echo, Frame, Icmpv4Header, Icmpv6Header, Instant, QuotedIpv4, QuotedIpv6, SeqNum, icmpv4, icmpv6, protocol, tcp,
    udp,
};

/// How much of a quotation is looked at: an IPv6 header, several extension headers, and the front of a transport's.
const QUOTE_MAX: usize = 192;

/// What is left to do with an ICMP message.
#[derive(Debug)]
pub(crate) enum IcmpArrival<'f> {
    /// Nothing.
    Done,
    /// A reply for a ping socket; the packet is the whole message.
    EchoReply(Delivered<'f>, Echo),
    /// A request for an address that is not ours, come by a transparent link: the gateway asks the host.
    EchoIntercepted(Delivered<'f>, Echo),
    /// An error about a packet of ours.
    Error(LinkId, QuotedError),
    /// IGMP's sister: a message of multicast listener discovery.
    ListenerDiscovery(Delivered<'f>),
}

/// An ICMP error, ready for its owner.
#[derive(Debug)]
pub(crate) struct QuotedError {
    /// The quoted packet's protocol.
    pub(crate) protocol: u8,
    /// The quoted packet's endpoints; ports are zero for protocols without.
    pub(crate) quoted: Quoted,
    /// What the owner is told.
    pub(crate) report: IcmpReport,
}

impl Net {
    pub(crate) fn input_icmpv4<'f>(
        &mut self,
        now: Instant,
        mut packet: Delivered<'f>,
    ) -> Result<IcmpArrival<'f>, Discard> {
        self.icmp_counters[0].received += 1;
        if !packet.frame.pull(packet.transport_at + icmpv4::HEADER_LEN) {
            return Err(Discard::IcmpMalformed);
        }
        if !packet.frame.is_checksum_valid(packet.transport_at, 0) {
            return Err(Discard::IcmpChecksum);
        }
        let octets = &packet.frame.head()[packet.transport_at..];
        let header = Icmpv4Header::parse(octets).map_err(|_| Discard::IcmpMalformed)?;
        match header {
            Icmpv4Header::EchoRequest(_) if !packet.unicast => Err(Discard::IcmpEchoBroadcast),
            Icmpv4Header::EchoRequest(echo) => Ok(self.echo_requested(now, packet, echo)),
            Icmpv4Header::EchoReply(echo) => Ok(IcmpArrival::EchoReply(packet, echo)),
            Icmpv4Header::Redirect { .. } => Err(Discard::IcmpRedirectIgnored),
            _ if header.is_error() => {
                let (kind, code) = header.kind_and_code();
                let rest = u32::from_be_bytes([octets[4], octets[5], octets[6], octets[7]]);
                let error = IcmpError::from_v4(kind, code, rest).ok_or(Discard::IcmpTypeUnknown)?;
                self.error_received(&mut packet, error)
            }
            _ => Err(Discard::IcmpTypeUnknown),
        }
    }

    pub(crate) fn input_icmpv6<'f>(
        &mut self,
        now: Instant,
        mut packet: Delivered<'f>,
    ) -> Result<IcmpArrival<'f>, Discard> {
        self.icmp_counters[1].received += 1;
        if !packet.frame.pull(packet.transport_at + icmpv6::HEADER_LEN) {
            return Err(Discard::IcmpMalformed);
        }
        let len = packet.frame.total_len() - packet.transport_at;
        let pseudo = prise_wire::checksum::pseudo_header(packet.src, packet.dst, protocol::ICMPV6, len);
        if !packet.frame.is_checksum_valid(packet.transport_at, pseudo) {
            return Err(Discard::IcmpChecksum);
        }
        let octets = &packet.frame.head()[packet.transport_at..];
        let header = Icmpv6Header::parse(octets).map_err(|_| Discard::IcmpMalformed)?;
        let (kind, code) = header.kind_and_code();
        match header {
            Icmpv6Header::EchoRequest(echo) => Ok(self.echo_requested(now, packet, echo)),
            Icmpv6Header::EchoReply(echo) => Ok(IcmpArrival::EchoReply(packet, echo)),
            _ if header.is_error() => {
                let rest = u32::from_be_bytes([octets[4], octets[5], octets[6], octets[7]]);
                let error = IcmpError::from_v6(kind, code, rest).ok_or(Discard::IcmpTypeUnknown)?;
                self.error_received(&mut packet, error)
            }
            _ => match kind {
                icmpv6::ndp::kind::ROUTER_SOLICITATION..=icmpv6::ndp::kind::REDIRECT => {
                    self.input_ndp(now, &packet).map(|()| IcmpArrival::Done)
                }
                icmpv6::mld::kind::QUERY
                | icmpv6::mld::kind::REPORT_V1
                | icmpv6::mld::kind::DONE_V1
                | icmpv6::mld::kind::REPORT_V2 => Ok(IcmpArrival::ListenerDiscovery(packet)),
                _ => Err(Discard::IcmpTypeUnknown),
            },
        }
    }

    fn echo_requested<'f>(&mut self, now: Instant, mut packet: Delivered<'f>, echo: Echo) -> IcmpArrival<'f> {
        if packet.unicast && !self.is_local(packet.dst) {
            return IcmpArrival::EchoIntercepted(packet, echo);
        }
        self.send_echo_reply(now, &mut packet, echo);
        IcmpArrival::Done
    }

    /// Reads the quotation and checks that the quoted packet can be ours.
    fn error_received<'f>(&mut self, packet: &mut Delivered<'_>, error: IcmpError) -> Result<IcmpArrival<'f>, Discard> {
        self.icmp_counters[usize::from(packet.src.is_ipv6())].errors_received += 1;
        let quotation = read_quotation(packet.frame, packet.transport_at + icmpv4::HEADER_LEN)
            .filter(|quotation| quotation.quoted.local.is_ipv4() == packet.src.is_ipv4())
            .ok_or(Discard::IcmpErrorTruncated)?;
        // A transparent link's connections speak from addresses that are not ours.
        if !self.is_local(quotation.quoted.local.ip()) && !self.link_is_transparent(packet.link) {
            return Err(Discard::IcmpErrorNotOurs);
        }
        Ok(IcmpArrival::Error(
            packet.link,
            quotation.report(packet.src, error, packet.frame),
        ))
    }

    /// What the sender of a packet of ours that could not leave is told, as if a router had said it.
    pub(crate) fn error_about(mut packet: Frame, error: IcmpError) -> Option<QuotedError> {
        let quotation = read_quotation(&packet, 0)?;
        Some(quotation.report(quotation.quoted.local.ip(), error, &mut packet))
    }
}

/// What a quoted packet says of itself.
struct Quotation {
    protocol: u8,
    quoted: Quoted,
    /// Where the transport's payload begins in the frame that holds the quotation.
    payload_at: usize,
}

impl Quotation {
    fn report(&self, offender: IpAddr, error: IcmpError, frame: &mut Frame) -> QuotedError {
        let &Self {
            protocol,
            quoted,
            payload_at,
        } = self;
        let payload = frame.take_payload(payload_at);
        QuotedError {
            protocol,
            quoted,
            report: IcmpReport {
                error,
                offender,
                destination: quoted.remote,
                payload,
            },
        }
    }
}

/// Reads the packet that is quoted at `at`; none if not enough of it is there to find who sent it.
fn read_quotation(frame: &Frame, at: usize) -> Option<Quotation> {
    let mut octets = [0; QUOTE_MAX];
    let len = copy_from(frame, at, &mut octets);
    let octets = &octets[..len];
    let (src, dst, protocol, hop_limit, transport_at): (IpAddr, IpAddr, u8, u8, usize) = if octets.first()? >> 4 == 4 {
        let quoted = QuotedIpv4::parse(octets).filter(|quoted| !quoted.is_later_fragment)?;
        (
            quoted.source.into(),
            quoted.destination.into(),
            quoted.protocol,
            quoted.hop_limit,
            quoted.transport_at,
        )
    } else {
        let quoted = QuotedIpv6::parse(octets).filter(|quoted| !quoted.is_later_fragment)?;
        (
            quoted.source.into(),
            quoted.destination.into(),
            quoted.protocol,
            quoted.hop_limit,
            quoted.transport_at,
        )
    };
    let transport = octets.get(transport_at..)?;
    let ((own_port, peer_port), header_len) = match protocol {
        protocol::TCP => (icmpv4::quoted_ports(transport)?, tcp::HEADER_LEN),
        protocol::UDP | protocol::UDP_LITE => (icmpv4::quoted_ports(transport)?, udp::HEADER_LEN),
        protocol::ICMPV4 | protocol::ICMPV6 => ((echo_identifier(transport).unwrap_or(0), 0), 0),
        _ => ((0, 0), 0),
    };
    let seq = transport
        .get(4..8)
        .and_then(|seq| seq.try_into().ok())
        .map_or(0, u32::from_be_bytes);
    Some(Quotation {
        protocol,
        quoted: Quoted {
            local: SocketAddr::new(src, own_port),
            remote: SocketAddr::new(dst, peer_port),
            seq: SeqNum(seq),
            hop_limit,
        },
        payload_at: at + transport_at + header_len,
    })
}

/// The identifier of a quoted echo request: it stands for the port of our side.
fn echo_identifier(transport: &[u8]) -> Option<u16> {
    let &[kind, _, _, _, high, low, ..] = transport else {
        return None;
    };
    matches!(kind, 8 | 128).then(|| u16::from_be_bytes([high, low]))
}
