//! What the Internet layer counts beside [discards](super::Discard).

/// Packets of both versions, counted as RFC 4293 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpCounters {
    /// Packets that came by any link (`InReceives`), reassembled ones once more.
    pub received: u64,
    /// Packets handed to transports (`InDelivers`).
    pub delivered: u64,
    /// Packets sent (`OutRequests`).
    pub sent: u64,
    /// Fragments received (`ReasmReqds`).
    pub fragments_received: u64,
    /// Datagrams made whole (`ReasmOKs`).
    pub reassembled: u64,
    /// Datagrams cut into fragments (`OutFragOKs`).
    pub fragmented: u64,
    /// Fragments sent (`OutFragCreates`).
    pub fragments_sent: u64,
}

/// ICMP messages of both versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpCounters {
    /// Messages received (`icmpInMsgs`).
    pub received: u64,
    /// Errors among them.
    pub errors_received: u64,
    /// Messages sent by the stack itself (`icmpOutMsgs`).
    pub sent: u64,
    /// Errors among them.
    pub errors_sent: u64,
}
