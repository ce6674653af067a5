//! The Internet Control Message Protocol for IPv6 (RFC 4443) and what rides on it: [neighbor discovery](ndp) and
//! [multicast listener discovery](mld).

pub mod mld;
pub mod ndp;

use crate::icmpv4::Echo;
use crate::octets::{array, ipv6_at, u8_at, u16_at, u32_at};
use crate::{Emit, checksum, ipv6};
use core::net::Ipv6Addr;

/// Octets before the payload, the quoted packet or the message's own fields.
pub const HEADER_LEN: usize = 8;

/// Where the checksum field stands in the header.
pub const CHECKSUM_OFFSET: u16 = 2;

/// The whole of an error's IP packet is no longer than this (RFC 4443 §2.4 c).
pub const ERROR_PACKET_MAX: usize = ipv6::MTU_MIN;

/// Codes of destination unreachable, type 1 (RFC 4443 §3.1).
pub mod unreachable_code {
    /// No route to the destination.
    pub const NO_ROUTE: u8 = 0;
    /// Administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// Beyond the scope of the source address.
    pub const BEYOND_SCOPE: u8 = 2;
    /// The host does not answer its neighbor.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens at the port.
    pub const PORT: u8 = 4;
    /// The source address failed a policy.
    pub const POLICY: u8 = 5;
    /// The route to the destination rejects.
    pub const REJECT_ROUTE: u8 = 6;
}

/// Codes of parameter problem, type 4 (RFC 4443 §3.4).
pub mod parameter_code {
    /// A field is wrong.
    pub const FIELD: u8 = 0;
    /// The next header is not known.
    pub const NEXT_HEADER: u8 = 1;
    /// An option is not known.
    pub const OPTION: u8 = 2;
    /// The first fragment does not hold all headers (RFC 7112 §5).
    pub const INCOMPLETE_CHAIN: u8 = 3;
}

/// Why octets are not an ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedIcmpv6 {
    /// Fewer octets than the type needs.
    Truncated,
}

/// The header of an ICMPv6 message: its type, code and what the four octets after the checksum mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icmpv6Header {
    /// Type 1. The payload is the packet that could not be delivered.
    DestinationUnreachable {
        /// See [`unreachable_code`].
        code: u8,
    },
    /// Type 2. The payload is the packet that did not fit.
    PacketTooBig {
        /// The MTU of the next hop.
        mtu: u32,
    },
    /// Type 3. The payload is the packet that was dropped.
    TimeExceeded {
        /// In transit (0) or in reassembly (1).
        code: u8,
    },
    /// Type 4. The payload is the packet that was dropped.
    ParameterProblem {
        /// See [`parameter_code`].
        code: u8,
        /// The octet that is wrong.
        pointer: u32,
    },
    /// Type 128.
    EchoRequest(Echo),
    /// Type 129. The payload is the request's.
    EchoReply(Echo),
    /// Any other type: see [`ndp::NdpMessage`] and [`mld::MldMessage`] for those that these modules read.
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The four octets after the checksum.
        rest: u32,
    },
}

impl Icmpv6Header {
    /// Reads the header at the front of `octets`, which need not hold the payload. Unknown types are
    /// [`Other`](Self::Other), not errors.
    pub fn parse(octets: &[u8]) -> Result<Self, MalformedIcmpv6> {
        let [kind, code] = array(octets, 0).ok_or(MalformedIcmpv6::Truncated)?;
        if octets.len() < HEADER_LEN {
            return Err(MalformedIcmpv6::Truncated);
        }
        let rest = u32_at(octets, 4);
        let echo = Echo {
            identifier: (rest >> 16) as u16,
            sequence: rest as u16,
        };
        Ok(match kind {
            1 => Self::DestinationUnreachable { code },
            2 => Self::PacketTooBig { mtu: rest },
            3 => Self::TimeExceeded { code },
            4 => Self::ParameterProblem { code, pointer: rest },
            128 if code == 0 => Self::EchoRequest(echo),
            129 if code == 0 => Self::EchoReply(echo),
            _ => Self::Other { kind, code, rest },
        })
    }

    /// Type, code and the four octets after the checksum.
    fn fields(self) -> (u8, u8, u32) {
        let echo_bits = |echo: Echo| u32::from(echo.identifier) << 16 | u32::from(echo.sequence);
        match self {
            Self::DestinationUnreachable { code } => (1, code, 0),
            Self::PacketTooBig { mtu } => (2, 0, mtu),
            Self::TimeExceeded { code } => (3, code, 0),
            Self::ParameterProblem { code, pointer } => (4, code, pointer),
            Self::EchoRequest(echo) => (128, 0, echo_bits(echo)),
            Self::EchoReply(echo) => (129, 0, echo_bits(echo)),
            Self::Other { kind, code, rest } => (kind, code, rest),
        }
    }

    /// Type and code as numbers, for programs that ask for them.
    pub fn kind_and_code(self) -> (u8, u8) {
        let (kind, code, _) = self.fields();
        (kind, code)
    }

    /// Whether this reports an error: such messages never cause one themselves (RFC 4443 §2.4 e).
    pub fn is_error(self) -> bool {
        self.fields().0 < 128
    }

    /// The checksum of the message that this header and a payload make; `pseudo_header` is that of the whole message.
    pub fn checksum(self, pseudo_header: u16, payload_sum: u16) -> u16 {
        let (kind, code, rest) = self.fields();
        let header = checksum::fold((u64::from(kind) << 8 | u64::from(code)) + u64::from(rest));
        checksum::finish(checksum::combine(checksum::combine(header, pseudo_header), payload_sum))
    }

    /// Writes the header with its checksum.
    ///
    /// # Panics
    /// If `out` is shorter than [`HEADER_LEN`].
    pub fn emit_with(self, pseudo_header: u16, payload_sum: u16, out: &mut [u8]) {
        self.emit(out);
        out[2..4].copy_from_slice(&self.checksum(pseudo_header, payload_sum).to_be_bytes());
    }
}

impl Emit for Icmpv6Header {
    fn emit_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header with the checksum field zero: see [`emit_with`](Icmpv6Header::emit_with).
    fn emit(&self, out: &mut [u8]) {
        let (kind, code, rest) = self.fields();
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..8].copy_from_slice(&rest.to_be_bytes());
    }
}

/// Writes `message` (of [`ndp`] or [`mld`]) to `out` with the checksum it has between these addresses, and returns its
/// length.
///
/// # Panics
/// If `out` is shorter than the message.
pub fn emit_message(message: &impl Emit, source: Ipv6Addr, destination: Ipv6Addr, out: &mut [u8]) -> usize {
    let len = message.emit_len();
    message.emit(out);
    out[2..4].fill(0);
    let pseudo_header = checksum::pseudo_header_v6(source, destination, crate::protocol::ICMPV6, len);
    let sum = checksum::combine(pseudo_header, checksum::sum(&out[..len]));
    out[2..4].copy_from_slice(&checksum::finish(sum).to_be_bytes());
    len
}

/// The front of the packet that an ICMPv6 error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotedIpv6 {
    /// Who sent the packet: normally ourselves.
    pub source: Ipv6Addr,
    /// Whom it was for.
    pub destination: Ipv6Addr,
    /// The upper layer, behind all extension headers.
    pub protocol: u8,
    /// Hops that it had left.
    pub hop_limit: u8,
    /// How long the packet was after its fixed header.
    pub payload_len: u16,
    /// Where in the quote the upper layer begins.
    pub transport_at: usize,
    /// Whether what is there is the middle of a fragmented packet and not a header.
    pub is_later_fragment: bool,
}

impl QuotedIpv6 {
    /// Reads the quote that follows an error's header, which is as much of the packet as fitted.
    pub fn parse(quote: &[u8]) -> Option<Self> {
        if quote.len() < ipv6::HEADER_LEN || u8_at(quote, 0) >> 4 != 6 {
            return None;
        }
        let chain = ipv6::extension::walk(quote).ok()?;
        Some(Self {
            source: ipv6_at(quote, 8),
            destination: ipv6_at(quote, 24),
            protocol: chain.upper,
            hop_limit: u8_at(quote, 7),
            payload_len: u16_at(quote, 4),
            transport_at: chain.upper_at,
            is_later_fragment: chain.fragment.is_some_and(|(_, fragment)| fragment.offset != 0),
        })
    }
}
