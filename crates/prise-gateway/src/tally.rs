//! What the gateway could not pass on, by reason, and how much it did.

macro_rules! discards {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why something was refused, dropped or given up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    // TCP.
    /// A connection for an address that no packet may leave for (loopback, multicast, unspecified).
    ConnectMartian,
    /// A connection that the policy forbids.
    ConnectDenied,
    /// As many connections as allowed exist; the guest's SYN goes unanswered, as with a full backlog, and comes again.
    ConnectionLimit,
    /// As many connects as allowed wait for the host; the guest's SYN goes unanswered and comes again.
    PendingConnectLimit,
    /// The process or the host has no descriptor or memory left; the guest's SYN goes unanswered and comes again.
    DescriptorsExhausted,
    /// The host's connect failed for a reason that no packet can tell; the guest's SYN goes unanswered.
    ConnectUnexplained,
    /// The guest gave up before the host's connect was done.
    ConnectAbandoned,
    /// A published port's client was not let in by the guest (refused, unreachable, timed out); it got a reset.
    PublishedClientRefused,
    /// A published port's client left before the guest had answered.
    PublishedClientLeft,
    /// Octets that the host had sent were still on their way when a reset's patience ended.
    ResetOvertookData,

    // UDP.
    /// A datagram for an address that no packet may leave for.
    UdpMartian,
    /// A datagram that the policy forbids.
    UdpDenied,
    /// A datagram to a group or to everyone, which is not passed on.
    UdpGroup,
    /// The datagram's hop limit ended here; the guest was told (time exceeded).
    UdpHopLimit,
    /// No host socket for a new endpoint: descriptors are exhausted and nothing idle could be closed.
    UdpNoSocket,
    /// The endpoint that was idle longest gave its place to a new one.
    UdpEvicted,
    /// The host would not send the datagram (buffer full, too large, no route); the guest is told where ICMP can say it.
    UdpSendFailed,
    /// The link to the guest had no room for a datagram; what else the host's socket holds waits there.
    UdpLinkFull,
    /// A datagram that cannot be sent to the guest at all.
    UdpNotForGuest,
    /// Nobody serves that port of the gateway or of the name server; the guest was told (port unreachable).
    UdpPortClosed,

    // Echo.
    /// The host does not let us ping (net.ipv4.ping_group_range), so the request goes unanswered.
    EchoUnavailable,
    /// An echo request for an address that no packet may leave for, or that the policy forbids.
    EchoDenied,
    /// The host would not send the request.
    EchoSendFailed,
    /// The identifier that was idle longest gave its place to a new one.
    EchoEvicted,

    // Names.
    /// A message that is no query at all.
    DnsNotAQuery,
    /// A query that could not be read; answered with FORMERR or NOTIMP.
    DnsMalformed,
    /// A query that the policy forbids; answered with REFUSED.
    DnsDenied,
    /// As many lookups as allowed are under way; answered with SERVFAIL.
    DnsLookupLimit,
    /// As many forwarded queries as allowed are under way; answered with SERVFAIL.
    DnsForwardLimit,
    /// No name server answered a forwarded query in time; answered with SERVFAIL.
    DnsForwardTimeout,
    /// A response that matches no query under way.
    DnsResponseUnknown,
    /// A client of DNS over TCP sent nonsense, or left before its answer.
    DnsClientGone,

    // Records.
    /// The queue of records was full.
    RecordLost,
}

/// Counts since the gateway's birth.
#[derive(Debug, Clone)]
pub struct Tally {
    discards: [u64; Discard::ALL.len()],
    /// Connections that the guest made.
    pub connections_out: u64,
    /// Connections that clients of published ports made.
    pub connections_in: u64,
    /// Octets of TCP and UDP payload from the guest to the host.
    pub octets_out: u64,
    /// Octets of TCP and UDP payload from the host to the guest.
    pub octets_in: u64,
    /// UDP datagrams from the guest to the host.
    pub datagrams_out: u64,
    /// UDP datagrams from the host to the guest.
    pub datagrams_in: u64,
    /// Questions that the guest asked.
    pub lookups: u64,
}

impl Tally {
    pub(crate) const fn new() -> Self {
        Self {
            discards: [0; Discard::ALL.len()],
            connections_out: 0,
            connections_in: 0,
            octets_out: 0,
            octets_in: 0,
            datagrams_out: 0,
            datagrams_in: 0,
            lookups: 0,
        }
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.discards[reason as usize] += 1;
    }

    /// How often that reason struck.
    pub fn discarded(&self, reason: Discard) -> u64 {
        self.discards[reason as usize]
    }

    /// Every reason that struck at least once, with its count.
    pub fn discards(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL
            .iter()
            .map(|&reason| (reason, self.discarded(reason)))
            .filter(|&(_, count)| count > 0)
    }
}
