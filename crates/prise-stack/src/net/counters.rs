//! What the Internet layer counts beside [discards](super::Discard).

/// Packets of one version, counted as RFC 4293 does.
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

/// ICMP messages of one version.
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

/// Segments and connections of both versions, counted as RFC 4022 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Connections that were opened actively (`tcpActiveOpens`).
    pub active_opens: u64,
    /// Connections that came to listeners and were established (`tcpPassiveOpens`).
    pub passive_opens: u64,
    /// Handshakes that a reset ended (`tcpAttemptFails`).
    pub attempt_fails: u64,
    /// Established connections that a reset ended (`tcpEstabResets`).
    pub established_resets: u64,
    /// Segments received, each of a train one (`tcpInSegs`).
    pub received: u64,
    /// Segments that were malformed or corrupt (`tcpInErrs`).
    pub errors: u64,
    /// Segments sent, each of a train one, retransmissions and resets among them (`tcpOutSegs` and `tcpRetransSegs`).
    pub sent: u64,
    /// Units of segments that were sent again (`tcpRetransSegs`).
    pub retransmitted: u64,
    /// Resets sent (`tcpOutRsts`).
    pub resets_sent: u64,
}
