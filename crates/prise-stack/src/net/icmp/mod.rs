//! ICMP, either version (RFC 792, RFC 1122 §3.2.2; RFC 4443): what an error says, made ([`make`]) and taken in ([`receive`]).

mod make;
mod rate;
mod receive;

pub(super) use rate::RateLimit;
pub(crate) use receive::{IcmpArrival, QuotedError};

use core::net::{IpAddr, SocketAddr};
use prise_wire::{Body, Payload, SeqNum};

macro_rules! icmp_errors {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident : $type:ty),* })? = $v4:expr, $v6:expr;)*) => {
        /// An ICMP error as its receiver needs it: one list for both versions, nothing of type and code lost.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum IcmpError {
            $($(#[$doc])* $name $({
                /// See the variant.
                $($field: $type),*
            })?,)*
        }

        impl IcmpError {
            /// Type and code in ICMPv4; none if only ICMPv6 can say this.
            pub const fn type_and_code_v4(self) -> Option<(u8, u8)> {
                match self {
                    $(Self::$name $({ $($field: _),* })? => $v4,)*
                }
            }

            /// Type and code in ICMPv6; none if only ICMPv4 can say this.
            pub const fn type_and_code_v6(self) -> Option<(u8, u8)> {
                match self {
                    $(Self::$name $({ $($field: _),* })? => $v6,)*
                }
            }
        }
    };
}

icmp_errors! {
    /// No route to the destination's network.
    NetworkUnreachable = Some((3, 0)), Some((1, 0));
    /// The destination's last router cannot reach it.
    HostUnreachable = Some((3, 1)), Some((1, 3));
    /// The destination does not speak the protocol.
    ProtocolUnreachable = Some((3, 2)), Some((4, 1));
    /// Nobody listens on the destination's port.
    PortUnreachable = Some((3, 3)), Some((1, 4));
    /// The packet exceeds the next link's MTU, which is given; zero if the router did not say (RFC 1191 §3).
    PacketTooBig { mtu: u32 } = Some((3, 4)), Some((2, 0));
    /// A source route could not be followed.
    SourceRouteFailed = Some((3, 5)), None;
    /// The destination's network is unknown.
    NetworkUnknown = Some((3, 6)), None;
    /// The destination is unknown.
    HostUnknown = Some((3, 7)), None;
    /// The source is isolated.
    SourceIsolated = Some((3, 8)), None;
    /// Traffic with the destination's network is prohibited.
    NetworkProhibited = Some((3, 9)), None;
    /// Traffic with the destination is prohibited.
    HostProhibited = Some((3, 10)), None;
    /// The network cannot be reached with that type of service.
    NetworkUnreachableForTos = Some((3, 11)), None;
    /// The host cannot be reached with that type of service.
    HostUnreachableForTos = Some((3, 12)), None;
    /// A filter forbids the traffic (RFC 1812 §5.2.7.1).
    Prohibited = Some((3, 13)), Some((1, 1));
    /// The precedence is not permitted for the host.
    PrecedenceViolation = Some((3, 14)), None;
    /// The precedence is below the network's minimum.
    PrecedenceCutoff = Some((3, 15)), None;
    /// The source's scope ends before the destination.
    BeyondScope = None, Some((1, 2));
    /// The source address failed an ingress or egress policy.
    PolicyFailed = None, Some((1, 5));
    /// The route to the destination is a rejecting one.
    RejectRoute = None, Some((1, 6));
    /// The hop limit ran out on the way.
    HopLimitExceeded = Some((11, 0)), Some((3, 0));
    /// The destination did not get all fragments in time.
    ReassemblyTimeExceeded = Some((11, 1)), Some((3, 1));
    /// The header has an error at that octet.
    ParameterProblem { pointer: u32 } = Some((12, 0)), Some((4, 0));
    /// An option was required but missing (RFC 1108).
    OptionMissing = Some((12, 1)), None;
    /// The length of an option is wrong.
    BadLength { pointer: u32 } = Some((12, 2)), None;
    /// The IPv6 option at that octet is not recognized.
    OptionUnrecognized { pointer: u32 } = None, Some((4, 2));
    /// The first fragment does not hold all headers (RFC 7112 §5).
    HeaderChainIncomplete { pointer: u32 } = None, Some((4, 3));
}

impl IcmpError {
    /// What an ICMPv4 message of that type and code says; `rest` are the four octets after its checksum.
    pub const fn from_v4(kind: u8, code: u8, rest: u32) -> Option<Self> {
        Some(match (kind, code) {
            (3, 0) => Self::NetworkUnreachable,
            (3, 1) => Self::HostUnreachable,
            (3, 2) => Self::ProtocolUnreachable,
            (3, 3) => Self::PortUnreachable,
            (3, 4) => Self::PacketTooBig { mtu: rest & 0xffff },
            (3, 5) => Self::SourceRouteFailed,
            (3, 6) => Self::NetworkUnknown,
            (3, 7) => Self::HostUnknown,
            (3, 8) => Self::SourceIsolated,
            (3, 9) => Self::NetworkProhibited,
            (3, 10) => Self::HostProhibited,
            (3, 11) => Self::NetworkUnreachableForTos,
            (3, 12) => Self::HostUnreachableForTos,
            (3, 13) => Self::Prohibited,
            (3, 14) => Self::PrecedenceViolation,
            (3, 15) => Self::PrecedenceCutoff,
            (11, 0) => Self::HopLimitExceeded,
            (11, 1) => Self::ReassemblyTimeExceeded,
            (12, 0) => Self::ParameterProblem { pointer: rest >> 24 },
            (12, 1) => Self::OptionMissing,
            (12, 2) => Self::BadLength { pointer: rest >> 24 },
            _ => return None,
        })
    }

    /// What an ICMPv6 message of that type and code says; `rest` are the four octets after its checksum.
    pub const fn from_v6(kind: u8, code: u8, rest: u32) -> Option<Self> {
        Some(match (kind, code) {
            (1, 0) => Self::NetworkUnreachable,
            (1, 1) => Self::Prohibited,
            (1, 2) => Self::BeyondScope,
            (1, 3) => Self::HostUnreachable,
            (1, 4) => Self::PortUnreachable,
            (1, 5) => Self::PolicyFailed,
            (1, 6) => Self::RejectRoute,
            // The code has no meaning and is ignored (RFC 4443 §3.2).
            (2, _) => Self::PacketTooBig { mtu: rest },
            (3, 0) => Self::HopLimitExceeded,
            (3, 1) => Self::ReassemblyTimeExceeded,
            (4, 0) => Self::ParameterProblem { pointer: rest },
            (4, 1) => Self::ProtocolUnreachable,
            (4, 2) => Self::OptionUnrecognized { pointer: rest },
            (4, 3) => Self::HeaderChainIncomplete { pointer: rest },
            _ => return None,
        })
    }

    /// Type, code and the four octets after the checksum, in the version of `ipv4`; none if it cannot say this.
    const fn fields(self, ipv4: bool) -> Option<(u8, u8, u32)> {
        let kind_and_code = if ipv4 {
            self.type_and_code_v4()
        } else {
            self.type_and_code_v6()
        };
        let Some((kind, code)) = kind_and_code else { return None };
        let rest = match self {
            Self::PacketTooBig { mtu } if ipv4 && mtu > 0xffff => 0xffff,
            Self::PacketTooBig { mtu } => mtu,
            Self::ParameterProblem { pointer }
            | Self::BadLength { pointer }
            | Self::OptionUnrecognized { pointer }
            | Self::HeaderChainIncomplete { pointer } => {
                if ipv4 {
                    pointer << 24
                } else {
                    pointer
                }
            }
            // The fixed header's next-header field, unless the maker knows better.
            Self::ProtocolUnreachable if !ipv4 => 6,
            _ => 0,
        };
        Some((kind, code, rest))
    }
}

/// An ICMP error about a packet of ours, as the socket that sent it gets it (`IP_RECVERR`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpReport {
    /// What is wrong.
    pub error: IcmpError,
    /// Who says so: a router, the destination, or this host itself about a neighbor that does not answer.
    pub offender: IpAddr,
    /// Where the packet was sent to; the port is zero where the protocol has none.
    pub destination: SocketAddr,
    /// What is quoted of the packet's payload, after the transport header.
    pub payload: Body,
}

/// A flow to be told of an error, without its packet at hand to quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedFlow {
    /// The protocol number: TCP, UDP, or ICMP for an echo request.
    pub protocol: u8,
    /// Who sent the packet and gets the error. For an echo request the identifier stands for the port.
    pub src: SocketAddr,
    /// To whom it was sent. For an echo request the sequence number stands for the port.
    pub dst: SocketAddr,
    /// Its sequence number, for TCP (RFC 5927 §4.1 makes the receiver check it); of no meaning otherwise.
    pub seq: SeqNum,
    /// What is known of its payload; may be empty.
    pub payload: Payload,
}

/// The four-tuple of one of our packets that an ICMP error quotes, our side named local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoted {
    /// Our endpoint: the quoted packet's source.
    pub(crate) local: SocketAddr,
    /// The peer: the quoted packet's destination.
    pub(crate) remote: SocketAddr,
    /// The quoted sequence number, for TCP to check (RFC 5927 §4.1).
    pub(crate) seq: SeqNum,
    /// The hops that the quoted packet had left, for TCP to check (RFC 5082 §3).
    pub(crate) hop_limit: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_survives_the_way_over_the_wire() {
        for ipv4 in [true, false] {
            for kind in 0..=20 {
                for code in 0..=16 {
                    let from = if ipv4 { IcmpError::from_v4 } else { IcmpError::from_v6 };
                    let rest = if ipv4 && kind == 12 { 20 << 24 } else { 1400 };
                    let Some(error) = from(kind, code, rest) else { continue };
                    let (kind_back, code_back, rest_back) = error.fields(ipv4).unwrap();
                    assert_eq!(from(kind_back, code_back, rest_back), Some(error), "{kind} {code}");
                    assert_eq!(kind_back, kind);
                    assert!(code_back == code || (kind, ipv4) == (2, false), "{error:?}");
                }
            }
        }
    }
}
