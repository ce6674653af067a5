//! Every reason for which the stack drops what it was given, as one enum.
//!
//! A variant is the counter, the trace line and the assertion of a test; nothing is dropped without naming one
//! ([`Net::discard`](super::Net::discard)). Transports add their own variants to the same list, so that one table tells
//! the whole story.

macro_rules! discards {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a frame, packet, datagram or segment was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Discard {
            $($(#[$doc])* $name,)*
        }

        impl Discard {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name of the variant, for counters and traces.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

discards! {
    // The link.
    /// The frame came in by a link that the stack does not have.
    UnknownLink,
    /// Too short for an Ethernet header, or otherwise not a frame.
    LinkMalformed,
    /// An Ethernet type that nobody here speaks.
    LinkProtocolUnknown,
    /// Addressed to another station's hardware address.
    LinkNotForUs,
    /// The link's transmit queue was full.
    LinkQueueFull,

    // ARP and neighbor discovery.
    /// Not a well-formed ARP packet for Ethernet and IPv4 (RFC 826).
    ArpMalformed,
    /// An ARP request for an address that is not ours, or a reply to nothing we asked.
    ArpNotForUs,
    /// An ARP sender that is a broadcast, multicast or one of our own hardware addresses.
    ArpMartian,
    /// Somebody else uses one of our addresses (RFC 5227 §2.4).
    AddressConflict,
    /// A neighbor discovery message that fails the checks of RFC 4861 §§6.1, 7.1, 8.1.
    NdpInvalid,
    /// A neighbor discovery message about an address that is not ours, or an answer to nothing we asked.
    NdpNotForUs,
    /// A neighbor discovery message that this host has no use for (routers' messages, redirects).
    NdpIgnored,
    /// The queue of packets that wait for a neighbor's address was full; the oldest goes (RFC 4861 §7.2.2).
    NeighborQueueFull,
    /// The neighbor did not answer; what waited for it is lost (RFC 4861 §7.2.2).
    NeighborUnreachable,
    /// The neighbor's entry was evicted from a full cache together with what waited for it.
    NeighborEvicted,

    // IP.
    /// Not an IP packet: version, lengths or header too short (RFC 1122 §3.2.1.1).
    IpMalformed,
    /// The IPv4 header checksum is wrong (RFC 1122 §3.2.1.2).
    IpChecksum,
    /// A source address that no packet may carry here (RFC 1122 §3.2.1.3, RFC 4291 §2.7).
    IpMartianSource,
    /// A destination address that no packet may carry here.
    IpMartianDestination,
    /// Addressed to another host, and this one does not forward (RFC 1122 §3.3.4.2).
    IpNotForUs,
    /// A unicast packet that came in a link-layer broadcast (RFC 1122 §3.3.6).
    IpLinkBroadcast,
    /// A group that no member here has joined.
    IpGroupNotJoined,
    /// Malformed IPv4 options (RFC 791 §3.1).
    IpOptionsMalformed,
    /// A source route, which this host does not follow (RFC 7126 §4.3).
    IpSourceRoute,
    /// Malformed IPv6 extension headers (RFC 8200 §4).
    IpExtensionMalformed,
    /// An IPv6 option or header that asks to be discarded when not understood (RFC 8200 §4.2).
    IpExtensionUnknown,
    /// A header chain longer than a frame's head holds (RFC 7112 permits the drop).
    IpHeaderChainTooLong,
    /// A routing header with segments left, which a host does not follow (RFC 8200 §4.4, RFC 5095).
    IpRoutingHeader,
    /// No protocol here has that number.
    IpProtocolUnknown,

    // Fragments.
    /// A fragment of impossible length or offset.
    FragmentMalformed,
    /// A fragment that overlaps another: its datagram is dropped whole (RFC 5722, RFC 8200 §4.5).
    FragmentOverlap,
    /// A fragment of a datagram that was dropped for overlap before.
    FragmentOfDropped,
    /// A copy of a fragment that is here already.
    FragmentDuplicate,
    /// Some fragments of the datagram were ECN-capable and others not (RFC 3168 §5.3).
    FragmentEcnMixed,
    /// More fragments for one datagram than we keep.
    FragmentsTooMany,
    /// An incomplete datagram gave way to newer ones: the memory for reassembly is bounded.
    ReassemblyEvicted,
    /// An incomplete datagram ran out of time (RFC 1122 §3.3.2, RFC 8200 §4.5).
    ReassemblyTimeout,

    // ICMP.
    /// Not a well-formed ICMP message.
    IcmpMalformed,
    /// The ICMP checksum is wrong.
    IcmpChecksum,
    /// A type that this host neither answers nor delivers.
    IcmpTypeUnknown,
    /// An echo request to a group or broadcast address, unanswered (RFC 1122 §3.2.2.6 permits).
    IcmpEchoBroadcast,
    /// An error about a packet that we did not send.
    IcmpErrorNotOurs,
    /// An error whose quotation is too short to find its owner.
    IcmpErrorTruncated,
    /// An error which was due but exceeds the rate limit (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)).
    IcmpRateLimited,
    /// An error that the rules forbid: about an error, a fragment, a group or broadcast (RFC 1122 §3.2.2).
    IcmpErrorForbidden,
    /// A redirect, which hosts with one way out have no use for and attackers have.
    IcmpRedirectIgnored,
    /// An echo reply or error that no ping socket waits for.
    IcmpNoOwner,

    // Groups.
    /// Not a well-formed IGMP message, or its checksum is wrong.
    IgmpMalformed,
    /// A listener discovery message that fails the checks of RFC 3810 §5.
    MldInvalid,

    // UDP and UDP-Lite.
    /// A UDP header with an impossible length or a port of zero.
    UdpMalformed,
    /// A UDP-Lite datagram whose checksum covers less than the header or more than there is, or without checksum (RFC 3828 §3.1).
    UdpLiteCoverage,
    /// A UDP-Lite datagram whose checksum covers less than its receiver asked for (RFC 3828 §3.3, `UDPLITE_RECV_CSCOV`).
    UdpLiteCoverageTooSmall,
    /// The UDP checksum is wrong (RFC 768), or absent where IPv6 demands it (RFC 8200 §8.1).
    UdpChecksum,
    /// No socket for that port; answered with Port Unreachable where the rules allow.
    UdpNoSocket,
    /// The socket's receive queue was full.
    UdpReceiveQueueFull,
    /// The queue of intercepted datagrams was full.
    UdpInterceptQueueFull,
    /// The stack's memory was nearly used up, and the socket had more than its share.
    UdpMemory,

    // Raw and ping sockets.
    /// A raw or ping socket's receive queue was full.
    RawReceiveQueueFull,
    /// The queue of intercepted echo requests was full.
    EchoInterceptQueueFull,
    /// The stack's memory was nearly used up, and the socket had more than its share.
    RawMemory,

    // Sending.
    /// No route to the destination.
    NoRoute,
    /// Larger than the path's MTU and not to be fragmented.
    PacketTooBig,
    /// More than the transmitting frame can carry.
    OutputOverflow,

    // TCP.
    /// Not a well-formed TCP segment.
    TcpMalformed,
    /// A segment for a group or broadcast address (RFC 9293 §3.9.2.3).
    TcpNotUnicast,
    /// The TCP checksum is wrong.
    TcpChecksum,
    /// It is not signed, and a key says that it should be (RFC 2385 §2.0).
    TcpSignatureMissing,
    /// It is signed, and no key was agreed on.
    TcpSignatureUnexpected,
    /// Its signature is not that of the key.
    TcpSignatureWrong,
    /// It has come from farther away than the program allows (RFC 5082 §3).
    TcpTooFar,
    /// A segment for no connection and no listener; answered with a reset (RFC 9293 §3.10.7.1).
    TcpNoSocket,
    /// The connection has ended; only its record is left.
    TcpClosed,
    /// A RST, obeyed.
    TcpReset,
    /// A segment without ACK where one is required (RFC 9293 §3.10.7.4, fifth).
    TcpNoAck,
    /// Neither SYN nor RST where a handshake is under way.
    TcpNoSyn,
    /// It acknowledges what was never sent.
    TcpAckOfUnsent,
    /// Outside of the receive window (RFC 9293 §3.10.7.4, first).
    TcpOutOfWindow,
    /// Its timestamp is older than one already seen (PAWS, RFC 7323 §5.3).
    TcpStaleTimestamp,
    /// A blind guess or a lost peer, answered by a challenge ACK (RFC 5961).
    TcpChallenged,
    /// The same, beyond the rate limit of challenge ACKs (RFC 5961 §7).
    TcpChallengeLimited,
    /// A SYN again.
    TcpDuplicateSyn,
    /// Its octets were all here already.
    TcpDuplicate,
    /// One hole more than the receive queue keeps.
    TcpTooManyHoles,
    /// Data after the sender's own FIN.
    TcpTextAfterFin,
    /// Data for a connection that its program has closed; answered by a reset (RFC 2525 §2.17).
    TcpNobodyReads,
    /// The acknowledgment that ends LAST-ACK or CLOSING; nothing more to process.
    TcpLastAck,
    /// For a connection in TIME-WAIT.
    TcpTimeWait,
    /// A RST for a connection in TIME-WAIT, ignored (RFC 1337).
    TcpTimeWaitReset,
    /// The accept queue is full.
    TcpAcceptQueueFull,
    /// Too many intercepted connections wait for the gateway.
    TcpSynQueueFull,
    /// A SYN whose Fast Open cookie is not ours: its data are, the SYN is not (RFC 7413 §4.2).
    TcpFastOpenCookie,
    /// The data of a SYN for a listener with too many connections whose handshake has not ended (RFC 7413 §5.1).
    TcpFastOpenQueueFull,
    /// A SYN that was answered by a cookie and forgotten (RFC 4987 §3.6).
    TcpSynCookie,
    /// The handshake's ACK without data, while the listener waits for data.
    TcpDeferred,
    /// A half-open connection whose SYN-ACK was never answered.
    TcpHandshakeTimedOut,
    /// An ICMP error about our SYN-ACK ended a half-open connection.
    TcpHandshakeUnreachable,
    /// A segment that no route would carry.
    TcpNoRoute,
    /// An ICMP error that quotes nothing in flight (RFC 5927).
    TcpIcmpForged,
    /// An ICMP error that says that segments are too large while such arrive: remembered, not believed (RFC 5927 §7.2).
    TcpIcmpDoubted,
    /// Data beyond the connection's share of the stack's memory, which is nearly used up.
    TcpMemory,
    /// Octets that waited behind a hole, dropped to make room (RFC 2018 §8).
    TcpOutOfOrderPruned,
    /// A connection request while the stack's memory is used up.
    TcpMemorySyn,
    /// An orphan that was reset because there were too many, or no memory was left.
    TcpOrphanReset,
}

/// One counter for each [`Discard`].
#[derive(Clone, Debug)]
pub struct DiscardCounts([u64; Discard::ALL.len()]);

impl DiscardCounts {
    pub(crate) const fn new() -> Self {
        Self([0; Discard::ALL.len()])
    }

    pub(crate) fn count(&mut self, reason: Discard) {
        self.0[reason as usize] += 1;
    }

    /// How often that reason struck.
    pub fn get(&self, reason: Discard) -> u64 {
        self.0[reason as usize]
    }

    /// Every reason which struck at least once, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL
            .iter()
            .map(|&reason| (reason, self.get(reason)))
            .filter(|&(_, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own_and_a_name() {
        let mut counts = DiscardCounts::new();
        for (index, &reason) in Discard::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(!reason.name().is_empty());
            counts.count(reason);
        }
        assert_eq!(counts.iter().count(), Discard::ALL.len());
        assert!(counts.iter().all(|(_, count)| count == 1));
    }
}
