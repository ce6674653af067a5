//! The Internet Control Message Protocol for IPv4 (RFC 792, RFC 1191, RFC 1122 §3.2.2).

use crate::octets::{array, ipv4_at, u8_at, u16_at, u32_at};
use crate::{Emit, checksum};
use core::net::Ipv4Addr;

/// Octets before the payload or the quoted packet.
pub const HEADER_LEN: usize = 8;

/// Where the checksum field stands in the header.
pub const CHECKSUM_OFFSET: u16 = 2;

/// The whole of an error's IP packet is no longer than this (RFC 1812 §4.3.2.3).
pub const ERROR_PACKET_MAX: usize = 576;

/// Codes of destination unreachable, type 3 (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
pub mod unreachable_code {
    /// No route to the network.
    pub const NETWORK: u8 = 0;
    /// The host does not answer its neighbor.
    pub const HOST: u8 = 1;
    /// The host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens at the port.
    pub const PORT: u8 = 3;
    /// Too large, and may not be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// The source route failed.
    pub const SOURCE_ROUTE: u8 = 5;
    /// The network is unknown.
    pub const NETWORK_UNKNOWN: u8 = 6;
    /// The host is unknown.
    pub const HOST_UNKNOWN: u8 = 7;
    /// The network is administratively prohibited.
    pub const NETWORK_PROHIBITED: u8 = 9;
    /// The host is administratively prohibited.
    pub const HOST_PROHIBITED: u8 = 10;
    /// The network does not offer the type of service.
    pub const NETWORK_TOS: u8 = 11;
    /// The host does not offer the type of service.
    pub const HOST_TOS: u8 = 12;
    /// Communication is administratively prohibited.
    pub const PROHIBITED: u8 = 13;
}

/// Why octets are not an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedIcmpv4 {
    /// Fewer octets than the type needs.
    Truncated,
}

/// The header of an ICMP message: its type, code and what the four octets after the checksum mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icmpv4Header {
    /// Type 0. The payload is the request's.
    EchoReply(Echo),
    /// Type 3. The payload is the packet that could not be delivered.
    DestinationUnreachable {
        /// See [`unreachable_code`].
        code: u8,
        /// With [`FRAGMENTATION_NEEDED`](unreachable_code::FRAGMENTATION_NEEDED), the MTU of the next hop (RFC 1191
        /// §4); zero if the router does not say.
        next_hop_mtu: u16,
    },
    /// Type 5. The payload is the packet that should have gone elsewhere.
    Redirect {
        /// Redirect for the network (0) or the host (1), and the same with the type of service (2, 3).
        code: u8,
        /// Where to send such packets.
        gateway: Ipv4Addr,
    },
    /// Type 8.
    EchoRequest(Echo),
    /// Type 11. The payload is the packet that was dropped.
    TimeExceeded {
        /// In transit (0) or in reassembly (1).
        code: u8,
    },
    /// Type 12. The payload is the packet that was dropped.
    ParameterProblem {
        /// The pointer says where (0), an option is missing (1), or the length is bad (2).
        code: u8,
        /// The octet that is wrong.
        pointer: u8,
    },
    /// Any other type: timestamps, router discovery, and what is obsolete.
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The four octets after the checksum.
        rest: u32,
    },
}

/// What tells echo messages apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Echo {
    /// One for each program that pings.
    pub identifier: u16,
    /// One for each ping.
    pub sequence: u16,
}

impl Echo {
    const fn from_bits(bits: u32) -> Self {
        Self {
            identifier: (bits >> 16) as u16,
            sequence: bits as u16,
        }
    }

    const fn to_bits(self) -> u32 {
        (self.identifier as u32) << 16 | self.sequence as u32
    }
}

impl Icmpv4Header {
    /// Reads the header at the front of `octets`, which need not hold the payload. Unknown types are
    /// [`Other`](Self::Other), not errors.
    pub fn parse(octets: &[u8]) -> Result<Self, MalformedIcmpv4> {
        let [kind, code] = array(octets, 0).ok_or(MalformedIcmpv4::Truncated)?;
        if octets.len() < HEADER_LEN {
            return Err(MalformedIcmpv4::Truncated);
        }
        let rest = u32_at(octets, 4);
        Ok(match kind {
            0 if code == 0 => Self::EchoReply(Echo::from_bits(rest)),
            3 => Self::DestinationUnreachable {
                code,
                next_hop_mtu: rest as u16,
            },
            5 => Self::Redirect {
                code,
                gateway: Ipv4Addr::from_bits(rest),
            },
            8 if code == 0 => Self::EchoRequest(Echo::from_bits(rest)),
            11 => Self::TimeExceeded { code },
            12 => Self::ParameterProblem {
                code,
                pointer: (rest >> 24) as u8,
            },
            _ => Self::Other { kind, code, rest },
        })
    }

    /// Type, code and the four octets after the checksum.
    fn fields(self) -> (u8, u8, u32) {
        match self {
            Self::EchoReply(echo) => (0, 0, echo.to_bits()),
            Self::DestinationUnreachable { code, next_hop_mtu } => (3, code, u32::from(next_hop_mtu)),
            Self::Redirect { code, gateway } => (5, code, gateway.to_bits()),
            Self::EchoRequest(echo) => (8, 0, echo.to_bits()),
            Self::TimeExceeded { code } => (11, code, 0),
            Self::ParameterProblem { code, pointer } => (12, code, u32::from(pointer) << 24),
            Self::Other { kind, code, rest } => (kind, code, rest),
        }
    }

    /// Type and code as numbers, for programs that ask for them.
    pub fn kind_and_code(self) -> (u8, u8) {
        let (kind, code, _) = self.fields();
        (kind, code)
    }

    /// Whether this reports an error: such messages never cause one themselves (RFC 1122 §3.2.2). Source quench (4,
    /// obsolete) is one too.
    pub fn is_error(self) -> bool {
        matches!(self.fields().0, 3 | 4 | 5 | 11 | 12)
    }

    /// The checksum of the message that this header and a payload with the sum `payload_sum` make.
    pub fn checksum(self, payload_sum: u16) -> u16 {
        let (kind, code, rest) = self.fields();
        let header = u64::from(kind) << 8 | u64::from(code);
        checksum::finish(checksum::combine(checksum::fold(header + u64::from(rest)), payload_sum))
    }

    /// Writes the header with its checksum.
    ///
    /// # Panics
    /// If `out` is shorter than [`HEADER_LEN`].
    pub fn emit_with(self, payload_sum: u16, out: &mut [u8]) {
        self.emit(out);
        out[2..4].copy_from_slice(&self.checksum(payload_sum).to_be_bytes());
    }
}

impl Emit for Icmpv4Header {
    fn emit_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header with the checksum field zero: see [`emit_with`](Icmpv4Header::emit_with).
    fn emit(&self, out: &mut [u8]) {
        let (kind, code, rest) = self.fields();
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..8].copy_from_slice(&rest.to_be_bytes());
    }
}

/// The front of the packet that an ICMP error is about: its IP header and at least 8 octets behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotedIpv4 {
    /// Who sent the packet: normally ourselves.
    pub source: Ipv4Addr,
    /// Whom it was for.
    pub destination: Ipv4Addr,
    /// What it carried.
    pub protocol: u8,
    /// Hops that it had left.
    pub hop_limit: u8,
    /// How long it was in all.
    pub total_len: u16,
    /// Where in the quote the upper layer begins.
    pub transport_at: usize,
    /// Whether what is there is the middle of a fragmented packet and not a header.
    pub is_later_fragment: bool,
}

impl QuotedIpv4 {
    /// Reads the quote that follows an error's header. The quoted header is complete, what it announces is not.
    pub fn parse(quote: &[u8]) -> Option<Self> {
        let transport_at = usize::from(u8_at(quote, 0) & 0x0f) * 4;
        let valid = u8_at(quote, 0) >> 4 == 4 && transport_at >= crate::ipv4::HEADER_LEN && quote.len() >= transport_at;
        valid.then(|| Self {
            source: ipv4_at(quote, 12),
            destination: ipv4_at(quote, 16),
            protocol: u8_at(quote, 9),
            hop_limit: u8_at(quote, 8),
            total_len: u16_at(quote, 2),
            transport_at,
            is_later_fragment: u16_at(quote, 6) & 0x1fff != 0,
        })
    }
}

/// The ports of the TCP or UDP header whose first eight octets (or more) are quoted, source first.
pub fn quoted_ports(transport: &[u8]) -> Option<(u16, u16)> {
    (transport.len() >= 4).then(|| (u16_at(transport, 0), u16_at(transport, 2)))
}
