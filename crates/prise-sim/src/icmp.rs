//! ICMP errors: what routers send, and what liars make up.

use prise_wire::icmpv4::Icmpv4Header;
use prise_wire::icmpv6::Icmpv6Header;
use prise_wire::{Emit, Frame, Ipv4Header, Ipv6Header, Medium, Payload, checksum, protocol};
use std::net::IpAddr;

/// What an error says, in the words of both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Code 4 of type 3, or Packet Too Big.
    TooBig {
        mtu: u32,
    },
    /// Type 3, or type 1, with this code; the one that means "too big" in version 4 is not to be given here.
    Unreachable {
        code: u8,
    },
    TimeExceeded,
    ParameterProblem,
    /// Version 4 only; RFC 6633 has it ignored.
    SourceQuench,
}

/// Octets of the packet that are quoted: enough for every header.
const QUOTED: usize = 80;

const HEADER_LEN: usize = 8;

/// An error about `packet` (an IP packet), from the router with this address, to the packet's source.
pub(crate) fn about(packet: &[u8], report: Report, router: IpAddr) -> Option<Frame> {
    let quoted = &packet[..packet.len().min(QUOTED)];
    let mut octets = Vec::new();
    match router {
        IpAddr::V4(router) => {
            let to = Ipv4Header::parse(packet).ok()?.source;
            let header = match report {
                Report::TooBig { mtu } => Icmpv4Header::DestinationUnreachable {
                    code: 4,
                    next_hop_mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
                },
                Report::Unreachable { code } => Icmpv4Header::DestinationUnreachable { code, next_hop_mtu: 0 },
                Report::TimeExceeded => Icmpv4Header::TimeExceeded { code: 0 },
                Report::ParameterProblem => Icmpv4Header::ParameterProblem { code: 0, pointer: 9 },
                Report::SourceQuench => Icmpv4Header::Other {
                    kind: 4,
                    code: 0,
                    rest: 0,
                },
            };
            let ip = Ipv4Header::new(router, to, protocol::ICMPV4, HEADER_LEN + quoted.len());
            octets.resize(ip.emit_len() + HEADER_LEN, 0);
            let (front, icmp) = octets.split_at_mut(ip.emit_len());
            ip.emit(front);
            header.emit_with(checksum::sum(quoted), icmp);
        }
        IpAddr::V6(router) => {
            let to = Ipv6Header::parse(packet).ok()?.source;
            let header = match report {
                Report::TooBig { mtu } => Icmpv6Header::PacketTooBig { mtu },
                Report::Unreachable { code } => Icmpv6Header::DestinationUnreachable { code },
                Report::TimeExceeded => Icmpv6Header::TimeExceeded { code: 0 },
                Report::ParameterProblem | Report::SourceQuench => {
                    Icmpv6Header::ParameterProblem { code: 1, pointer: 6 }
                }
            };
            let len = HEADER_LEN + quoted.len();
            let ip = Ipv6Header::new(router, to, protocol::ICMPV6, len);
            octets.resize(ip.emit_len() + HEADER_LEN, 0);
            let (front, icmp) = octets.split_at_mut(ip.emit_len());
            ip.emit(front);
            let pseudo = checksum::pseudo_header_v6(router, to, protocol::ICMPV6, len);
            header.emit_with(pseudo, checksum::sum(quoted), icmp);
        }
    }
    octets.extend_from_slice(quoted);
    Some(Frame::from_contiguous(Medium::Ip, Payload::from(octets)))
}
