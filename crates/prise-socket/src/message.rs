//! What goes with a datagram beside its octets: control data on the way out (`sendmsg(2)`), facts on the way in (`recvmsg(2)`).

use core::net::{IpAddr, SocketAddr};

use prise_stack::LinkId;
use prise_wire::{Instant, Ipv4Options, Payload};

use crate::Errno;

/// Ancillary data of one sent datagram (`ip(7)`, `ipv6(7)`, `udp(7)`); what is absent, the socket's options decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The source address (`IP_PKTINFO`'s `ipi_spec_dst`, `IPV6_PKTINFO`'s `ipi6_addr`).
    pub source: Option<IpAddr>,
    /// The link to leave by, as interface index (`ipi_ifindex`, `ipi6_ifindex`).
    pub interface: Option<u32>,
    /// The hop limit (`IP_TTL`, `IPV6_HOPLIMIT`).
    pub hop_limit: Option<u8>,
    /// The traffic class (`IP_TOS`, `IPV6_TCLASS`).
    pub tos: Option<u8>,
    /// Traffic class and flow label (`IPV6_FLOWINFO`).
    pub flow_info: Option<u32>,
    /// Options of IPv4 (`IP_RETOPTS`), unchecked.
    pub options: Option<Ipv4Options>,
    /// `IPV6_DONTFRAG`.
    pub dont_fragment: Option<bool>,
    /// `UDP_SEGMENT`: cut the payload into datagrams of this many octets.
    pub segment: Option<u16>,
    /// `SCM_TXTIME`: when it is to leave, on the clock of `SO_TXTIME`.
    pub transmit_time: Option<u64>,
    /// `SO_MARK`.
    pub mark: Option<u32>,
    /// `SO_PRIORITY`.
    pub priority: Option<i32>,
    /// `SO_TIMESTAMPING`: which stamps of sending are wanted of this one.
    pub stamps: Option<u32>,
    /// `SCM_TS_OPT_ID`: the number that its stamps carry.
    pub stamp_number: Option<u32>,
}

/// One received datagram with all that `recvmsg(2)` could tell of it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The octets. A caller with a smaller buffer truncates and says `MSG_TRUNC`.
    pub payload: Payload,
    /// Who sent it; absent on a stream (`msg_namelen` 0).
    pub source: Option<SocketAddr>,
    /// Where it was sent to (`IP_PKTINFO`, `IP_ORIGDSTADDR`), in the socket's own family.
    pub destination: Option<SocketAddr>,
    /// The link that it came by.
    pub link: Option<LinkId>,
    /// The received hop limit.
    pub hop_limit: u8,
    /// The received type of service or traffic class.
    pub tos: u8,
    /// The flow label of IPv6.
    pub flow_label: u32,
    /// Options of IPv4 that it came with.
    pub options: Option<Ipv4Options>,
    /// When it arrived, on the driver's clock.
    pub timestamp: Option<Instant>,
    /// `UDP_GRO`: the size of the datagrams that were joined to this payload.
    pub segment: Option<u16>,
    /// The output flags of `recvmsg(2)` (`MSG_OOB`, `MSG_ERRQUEUE`).
    pub flags: crate::Flags,
}

impl Received {
    /// What `IP_RETOPTS` tells: the options to answer with.
    pub fn options_to_answer_with(options: &Ipv4Options) -> alloc::vec::Vec<u8> {
        options.echoed().to_vec()
    }

    /// Octets of a stream: nobody's address, no header.
    pub(crate) fn stream(payload: Payload) -> Self {
        Self {
            payload,
            source: None,
            destination: None,
            link: None,
            hop_limit: 0,
            tos: 0,
            flow_label: 0,
            options: None,
            timestamp: None,
            segment: None,
            flags: crate::Flags::EMPTY,
        }
    }
}

/// Where a queued error comes from (`sock_extended_err.ee_origin`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorOrigin {
    /// This host (`SO_EE_ORIGIN_LOCAL`, 1).
    Local = 1,
    /// An ICMP message (`SO_EE_ORIGIN_ICMP`, 2).
    Icmp = 2,
    /// An ICMPv6 message (`SO_EE_ORIGIN_ICMP6`, 3).
    Icmp6 = 3,
    /// No error: the time at which a datagram left (`SO_EE_ORIGIN_TIMESTAMPING`, 4).
    Timestamping = 4,
    /// No error: the octets of sends with `MSG_ZEROCOPY` may be used again (`SO_EE_ORIGIN_ZEROCOPY`, 5).
    ZeroCopy = 5,
}

impl ErrorOrigin {
    /// Whether the network said it: then it is a pending error besides.
    pub const fn is_icmp(self) -> bool {
        matches!(self, Self::Icmp | Self::Icmp6)
    }
}

/// One entry of the error queue that `IP_RECVERR` asks for (`recvmsg(2)` with `MSG_ERRQUEUE`).
#[derive(Clone, Debug)]
pub struct ErrorReport {
    /// `ee_errno`; 0 of what is no error at all.
    pub errno: Option<Errno>,
    /// `ee_origin`.
    pub origin: ErrorOrigin,
    /// `ee_type`: the ICMP type, 0 for local errors.
    pub kind: u8,
    /// `ee_code`: the ICMP code, 0 for local errors.
    pub code: u8,
    /// `ee_info`: the path MTU for `EMSGSIZE`.
    pub info: u32,
    /// `ee_data`: the number of a stamp.
    pub data: u32,
    /// `SO_EE_OFFENDER`: who sent the ICMP message.
    pub offender: Option<IpAddr>,
    /// The destination of the datagram that caused it (`msg_name`).
    pub destination: SocketAddr,
    /// The octets of that datagram, as far as they were quoted.
    pub payload: Payload,
    /// The link that the error came by.
    pub link: Option<LinkId>,
    /// When it arrived.
    pub timestamp: Option<Instant>,
}
