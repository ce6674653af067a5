//! IPv6 input (RFC 8200): the fixed header, extension headers, fragments.

use super::icmp::IcmpError;
use super::input::Arrival;
use super::ipv4::accept_unicast;
use super::reassembly::{Fragment, FragmentKey, Reassembled};
use super::{Delivered, Discard, Net};
use crate::link::Link;
use core::net::Ipv6Addr;
use prise_wire::icmpv6::ndp::solicited_node;
use prise_wire::ipv6::{
    self,
    extension::{self, Chain, Report},
};
use prise_wire::{Checksum, ExtensionProblem, FragmentHeader, Frame, HEAD_MAX, Head, Instant, Ipv6Header};

/// Where the payload length stands in the fixed header: what a parameter problem about it points at.
const PAYLOAD_LENGTH_AT: u32 = 4;

impl Net {
    pub(super) fn input_ipv6<'f>(
        &mut self,
        now: Instant,
        arrival: Arrival,
        frame: &'f mut Frame,
    ) -> Result<Option<Delivered<'f>>, Discard> {
        self.ip_counters[1].received += 1;
        let at = arrival.at;
        if !frame.pull(at + ipv6::HEADER_LEN) {
            return Err(Discard::IpMalformed);
        }
        let header = Ipv6Header::parse(&frame.head()[at..]).map_err(|_| Discard::IpMalformed)?;
        let end = at + ipv6::HEADER_LEN + usize::from(header.payload_len);
        if end > frame.total_len() {
            return Err(Discard::IpMalformed);
        }
        frame.truncate(end);
        let unicast = self.accept_ipv6(arrival, &header)?;
        let mut delivered = Delivered {
            link: self.link_reached(arrival.link, header.destination.into()),
            src: header.source.into(),
            dst: header.destination.into(),
            protocol: header.next_header,
            tos: header.traffic_class,
            flow_label: header.flow_label,
            hop_limit: header.hop_limit,
            unicast: unicast && arrival.link_unicast,
            checksum_ok: frame.offload.checksum.is_trusted(),
            fragmented: arrival.reassembled,
            frame,
            network_at: at,
            transport_at: at + ipv6::HEADER_LEN,
        };
        if extension::is_extension(header.next_header) {
            let chain = match walk(&mut delivered) {
                Ok(chain) => chain,
                Err(problem) => return Err(self.answer_problem(now, &delivered, problem)),
            };
            delivered.protocol = chain.upper;
            delivered.transport_at = at + chain.upper_at;
            delivered.fragmented |= chain.fragment.is_some();
            if let Some((fragment_at, fragment)) = chain.fragment {
                return self.input_fragment_v6(now, arrival, delivered, &chain, fragment_at, fragment);
            }
        }
        self.ip_counters[1].delivered += 1;
        Ok(Some(delivered))
    }

    /// Whether the packet is for us, and if so whether for us alone.
    fn accept_ipv6(&self, arrival: Arrival, header: &Ipv6Header) -> Result<bool, Discard> {
        let link = self.link(arrival.link).ok_or(Discard::UnknownLink)?;
        let (src, dst) = (header.source, header.destination);
        if !arrival.looped && self.is_martian_source_v6(link, src, dst) {
            return Err(Discard::IpMartianSource);
        }
        if dst.is_unspecified() || dst.to_ipv4_mapped().is_some() {
            return Err(Discard::IpMartianDestination);
        }
        if self.is_local(dst.into()) {
            if dst.is_loopback() && !link.is_loopback() {
                return Err(Discard::IpMartianDestination);
            }
            // A link-local address is this link's only (RFC 4007 §9).
            if dst.is_unicast_link_local() && !link.is_loopback() && !self.addresses.link_has(link.id(), dst.into()) {
                return Err(Discard::IpNotForUs);
            }
            return accept_unicast(arrival);
        }
        if dst.is_multicast() {
            // Interface-local groups do not leave the host (RFC 4291 §2.7).
            if dst.octets()[1] & 0x0f <= 1 && !link.is_loopback() && !arrival.looped {
                return Err(Discard::IpMartianDestination);
            }
            // Whoever answers for every address listens to every solicited-node group.
            let solicited = link.is_transparent() && dst == solicited_node(dst);
            let joined = solicited || self.groups.admits(link.id(), dst.into(), src.into());
            return if joined {
                Ok(false)
            } else {
                Err(Discard::IpGroupNotJoined)
            };
        }
        if dst.is_loopback() {
            return Err(Discard::IpMartianDestination);
        }
        // Link-local addresses are somebody's on the link itself, never behind us.
        if link.is_transparent() && !dst.is_unicast_link_local() {
            accept_unicast(arrival)
        } else {
            Err(Discard::IpNotForUs)
        }
    }

    /// RFC 4291 §2.5.3, §2.7; a packet from our own address did not come from us.
    fn is_martian_source_v6(&self, link: &Link, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        if src.is_multicast() || src.to_ipv4_mapped().is_some() {
            return true;
        }
        if link.is_loopback() {
            return false;
        }
        // Unspecified is who asks for a duplicate of its address, always a group (RFC 4861 §7.1.1).
        src.is_loopback() || (src.is_unspecified() && !dst.is_multicast()) || self.is_local(src.into())
    }

    /// What RFC 8200 asks to be answered is; all of it is discarded.
    fn answer_problem(&mut self, now: Instant, packet: &Delivered<'_>, problem: ExtensionProblem) -> Discard {
        let (error, reason) = match problem {
            ExtensionProblem::Truncated => {
                let pulled = packet.frame.head().len() - packet.network_at;
                let more = packet.frame.total_len() - packet.network_at > pulled;
                return if more {
                    Discard::IpHeaderChainTooLong
                } else {
                    Discard::IpExtensionMalformed
                };
            }
            ExtensionProblem::TooMany => return Discard::IpHeaderChainTooLong,
            ExtensionProblem::NestedFragment => return Discard::FragmentMalformed,
            ExtensionProblem::HopByHopNotFirst { .. } => {
                (IcmpError::ProtocolUnreachable, Discard::IpExtensionMalformed)
            }
            ExtensionProblem::RoutingType { pointer } => {
                (IcmpError::ParameterProblem { pointer }, Discard::IpRoutingHeader)
            }
            ExtensionProblem::UnknownOption { pointer, report } => {
                let told = match report {
                    Report::Never => false,
                    Report::IfUnicast => packet.unicast,
                    Report::Always => true,
                };
                if !told {
                    return Discard::IpExtensionUnknown;
                }
                (IcmpError::OptionUnrecognized { pointer }, Discard::IpExtensionUnknown)
            }
        };
        self.answer_with_error(now, packet, error);
        reason
    }

    fn input_fragment_v6<'f>(
        &mut self,
        now: Instant,
        arrival: Arrival,
        packet: Delivered<'f>,
        chain: &Chain,
        fragment_at: usize,
        header: FragmentHeader,
    ) -> Result<Option<Delivered<'f>>, Discard> {
        self.ip_counters[1].fragments_received += 1;
        if arrival.reassembled {
            return Err(Discard::FragmentMalformed);
        }
        let data_at = arrival.at + fragment_at + extension::FRAGMENT_HEADER_LEN;
        let len = packet.frame.total_len() - data_at;
        if header.is_atomic() {
            // The whole packet is here: not to be mixed up with fragments of the same identification (RFC 6946 §4).
            self.ip_counters[1].delivered += 1;
            return Ok(Some(packet));
        }
        if header.more_fragments && !len.is_multiple_of(8) {
            self.answer_with_error(
                now,
                &packet,
                IcmpError::ParameterProblem {
                    pointer: PAYLOAD_LENGTH_AT,
                },
            );
            return Err(Discard::FragmentMalformed);
        }
        let before = fragment_at - ipv6::HEADER_LEN;
        if before + usize::from(header.offset) + len > usize::from(u16::MAX) {
            let pointer = fragment_at as u32 + 2;
            self.answer_with_error(now, &packet, IcmpError::ParameterProblem { pointer });
            return Err(Discard::FragmentMalformed);
        }
        // The first fragment holds all headers up to the upper layer's (RFC 7112 §5); `walk` has seen to the extension
        // headers, so that a chain which ends in one is cut short.
        if len == 0 || header.offset == 0 && extension::is_extension(chain.upper) {
            return Err(Discard::FragmentMalformed);
        }
        let key = FragmentKey::new(packet.src, packet.dst, header.identification, 0);
        let mut headers = Head::copy_from(&packet.frame.head()[arrival.at..arrival.at + fragment_at]);
        name_next(&mut headers, fragment_at, header.next_header);
        let fragment = Fragment {
            link: packet.link,
            unicast: packet.unicast,
            headers,
            offset: header.offset.into(),
            more: header.more_fragments,
            ecn: packet.tos & 3,
            trusted: packet.checksum_ok,
            data: packet.frame.take_payload(data_at),
        };
        let Some(whole) = self.reassemble(now, key, fragment)? else {
            return Ok(None);
        };
        *packet.frame = rebuild(whole).ok_or(Discard::FragmentMalformed)?;
        self.input_ipv6(
            now,
            Arrival {
                at: 0,
                reassembled: true,
                ..arrival
            },
            packet.frame,
        )
    }
}

/// Walks to the upper layer, with as much of the packet in the frame's head as fits.
fn walk(packet: &mut Delivered<'_>) -> Result<Chain, ExtensionProblem> {
    let wanted = packet.frame.total_len().min(HEAD_MAX);
    // Cannot fail: no more is wanted than there is, nor than a head holds.
    let _pulled = packet.frame.pull(wanted);
    extension::walk(&packet.frame.head()[packet.network_at..])
}

/// Writes into the unfragmentable headers what comes after them now that the fragment header is gone.
fn name_next(headers: &mut Head, fragment_at: usize, next_header: u8) {
    // The chain has been walked: each header's length leads to the next until the fragment header's place.
    let mut field_at = 6;
    let mut at = ipv6::HEADER_LEN;
    while at < fragment_at {
        field_at = at;
        at += (usize::from(headers[at + 1]) + 1) * 8;
    }
    headers[field_at] = next_header;
}

/// The packet that the fragments were made of.
fn rebuild(whole: Reassembled) -> Option<Frame> {
    let Reassembled {
        mut headers,
        data,
        ecn,
        trusted,
    } = whole;
    let mut header = Ipv6Header::parse(&headers).ok()?;
    header.payload_len = u16::try_from(headers.len() - ipv6::HEADER_LEN + data.len()).ok()?;
    header.traffic_class = header.traffic_class & !3 | ecn;
    prise_wire::Emit::emit(&header, &mut headers);
    let mut frame = Frame::new(headers, data.into());
    if trusted {
        frame.offload.checksum = Checksum::Verified;
    }
    Some(frame)
}
