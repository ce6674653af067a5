//! ICMP errors, either version (RFC 792, RFC 1122 §3.2.2; RFC 4443).

use core::net::SocketAddr;
use prise_wire::SeqNum;

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
    /// The IPv6 option at that octet is not recognized.
    OptionUnrecognized { pointer: u32 } = None, Some((4, 2));
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
}
