//! The numbers that were set on a socket: few sockets have any, so they are a short list rather than forty fields.

use alloc::vec::Vec;

macro_rules! opts {
    ($($(#[$doc:meta])* $name:ident = $default:expr;)*) => {
        /// An option, or a fact kept like one, with a number for its value.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub(crate) enum Opt {
            $($(#[$doc])* $name,)*
        }

        impl Opt {
            /// The value while nothing was set.
            pub(crate) const fn default(self) -> i64 {
                match self {
                    $(Self::$name => $default,)*
                }
            }
        }
    };
}

opts! {
    /// The owner's user number; without it the host's.
    Owner = 0;
    /// `SO_RCVBUF` as it reads: doubled.
    ReceiveBuffer = 212_992;
    /// `SO_SNDBUF` as it reads.
    SendBuffer = 212_992;
    /// `SO_BUF_LOCK`: which of the two the program has set.
    BufferLock = 0;
    /// `SO_PRIORITY`.
    Priority = 0;
    /// `SO_MARK`.
    Mark = 0;
    /// `SO_LINGER`: seconds if on, −1 less the seconds if off.
    Linger = -1;
    /// `SO_RCVLOWAT`.
    ReceiveLowWater = 1;
    /// `SO_RCVTIMEO` in microseconds.
    ReceiveTimeout = 0;
    /// `SO_SNDTIMEO` in microseconds.
    SendTimeout = 0;
    /// `SO_BINDTODEVICE`: the interface index.
    Device = 0;
    /// Which of the `SO_TIMESTAMP*` options is on, by its number.
    Timestamp = 0;
    /// `SO_TIMESTAMPING`.
    Timestamping = 0;
    /// Of `SO_TIMESTAMPING`: the octet of the stream that has number 0.
    StampBase = 0;
    /// `SO_PEEK_OFF`.
    PeekOffset = -1;
    /// `SO_BUSY_POLL`.
    BusyPoll = 0;
    /// `SO_MAX_PACING_RATE`.
    PacingRate = -1;
    /// `SO_INCOMING_CPU`.
    IncomingCpu = -1;
    /// `SO_TXTIME`: the option's two numbers.
    TransmitTime = 0;
    /// `IP_TOS`.
    Tos = 0;
    /// `IP_TTL`, −1 for the host's default.
    Ttl = -1;
    /// `IP_MTU_DISCOVER`.
    MtuDiscover = 1;
    /// `IP_MINTTL`.
    MinTtl = 0;
    /// `IP_MULTICAST_TTL`.
    MulticastTtl = 1;
    /// `IP_MULTICAST_IF`: the interface index.
    MulticastInterface = 0;
    /// The type of service that a client's SYN came with.
    ReceivedTos = 0;
    /// `IP_MULTICAST_IF`: the address, as a number in network order.
    MulticastAddress = 0;
    /// `IP_UNICAST_IF`: the interface index.
    UnicastInterface = 0;
    /// `IP_LOCAL_PORT_RANGE`: low and, above 16 bits, high.
    PortRange = 0;
    /// `IPV6_UNICAST_HOPS`, −1 for the host's default.
    HopLimit = -1;
    /// `IPV6_MULTICAST_HOPS`.
    MulticastHops = 1;
    /// `IPV6_MULTICAST_IF`.
    V6MulticastInterface = 0;
    /// `IPV6_UNICAST_IF`.
    V6UnicastInterface = 0;
    /// `IPV6_TCLASS`.
    TrafficClass = 0;
    /// Traffic class and flow label that `connect` was told with the peer's name.
    FlowInfo = 0;
    /// `IPV6_MTU_DISCOVER`.
    V6MtuDiscover = 1;
    /// `IPV6_MTU`.
    V6Mtu = 0;
    /// `IPV6_MINHOPCOUNT`.
    MinHopCount = 0;
    /// `IPV6_ADDR_PREFERENCES`, as the kernel keeps it.
    AddressPreferences = 0;
    /// `IPV6_CHECKSUM`.
    ChecksumOffset = -1;
    /// `IPV6_PKTINFO` set for good: the interface index.
    StickyInterface = 0;
    /// Options that only `getsockopt` looks at again, a bit each.
    Receive6 = 0;
    /// `TCP_TX_DELAY`, in microseconds.
    TransmitDelay = 0;
    /// `TCP_MAXSEG`.
    MaxSegment = 0;
    /// `TCP_QUICKACK`.
    QuickAck = 1;
    /// `TCP_KEEPIDLE` in seconds.
    KeepIdle = 7200;
    /// `TCP_KEEPINTVL` in seconds.
    KeepInterval = 75;
    /// `TCP_KEEPCNT`.
    KeepCount = 9;
    /// `TCP_SYNCNT`.
    SynCount = 6;
    /// `TCP_LINGER2` in seconds.
    Linger2 = 60;
    /// `TCP_DEFER_ACCEPT`, counted in retransmissions.
    DeferAccept = 0;
    /// `TCP_WINDOW_CLAMP`.
    WindowClamp = 0;
    /// `TCP_CONGESTION`, an index into the table of names.
    Congestion = 0;
    /// `TCP_USER_TIMEOUT` in milliseconds.
    UserTimeout = 0;
    /// `TCP_FASTOPEN`: the queue's length.
    FastOpenQueue = 0;
    ZeroCopy = 0;
    /// Datagrams sent with `MSG_ZEROCOPY`.
    ZeroCopies = 0;
    /// `TCP_NOTSENT_LOWAT`.
    NotSentLowWater = 0;
    /// `TCP_SAVE_SYN`.
    SaveSyn = 0;
    /// `TCP_RTO_MAX_MS`.
    RtoMax = 120_000;
    /// `TCP_RTO_MIN_US`.
    RtoMin = 200_000;
    /// `TCP_DELACK_MAX_US`.
    DelayedAckMax = 200_000;
    /// `UDP_SEGMENT`.
    UdpSegment = 0;
    /// `UDPLITE_SEND_CSCOV`.
    SendCoverage = 0;
    /// `UDPLITE_RECV_CSCOV`.
    ReceiveCoverage = 0;
}

/// What was set, by option, in no order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Vec<(Opt, i64)>);

impl Values {
    pub(crate) fn get(&self, opt: Opt) -> Option<i64> {
        self.0.iter().find(|entry| entry.0 == opt).map(|entry| entry.1)
    }

    pub(crate) fn set(&mut self, opt: Opt, value: i64) {
        match self.0.iter_mut().find(|entry| entry.0 == opt) {
            Some(entry) => entry.1 = value,
            None => self.0.push((opt, value)),
        }
    }

    pub(crate) fn unset(&mut self, opt: Opt) {
        self.0.retain(|entry| entry.0 != opt);
    }
}
