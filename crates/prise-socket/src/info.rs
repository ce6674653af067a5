//! What can be shown of a socket from outside: the row of `ss(8)`.

use core::net::SocketAddr;

use crate::{Family, Kind, SocketId};

/// The states that `ss` and `/proc/net/tcp` know, with the kernel's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum State {
    /// A connection is open, or a datagram socket has a peer.
    Established = 1,
    /// A SYN was sent.
    SynSent = 2,
    /// A SYN was received.
    SynReceived = 3,
    /// We closed first; our FIN is not acknowledged.
    FinWait1 = 4,
    /// Our FIN is acknowledged.
    FinWait2 = 5,
    /// Waiting for old segments to die.
    TimeWait = 6,
    /// Not connected (a datagram socket's ordinary state).
    Closed = 7,
    /// The peer closed first.
    CloseWait = 8,
    /// Both have closed; our FIN is not acknowledged.
    LastAck = 9,
    /// Accepting connections.
    Listen = 10,
    /// Both closed at once.
    Closing = 11,
}

/// One socket as `ss` shows it.
#[derive(Clone, Debug)]
pub struct SocketInfo {
    /// Its name.
    pub id: SocketId,
    /// Its family.
    pub family: Family,
    /// Its type.
    pub kind: Kind,
    /// Its protocol (`IPPROTO_TCP` …), never 0.
    pub protocol: u8,
    /// Its state.
    pub state: State,
    /// Its own address and port; 0 if not bound.
    pub local: SocketAddr,
    /// Its peer, if any.
    pub remote: Option<SocketAddr>,
    /// Octets received and not read; of a listener, connections that wait.
    pub receive_queue: usize,
    /// Octets written and not acknowledged; of a listener, the backlog.
    pub send_queue: usize,
    /// Its owner.
    pub uid: u32,
    /// An IPv6 socket that does not speak IPv4.
    pub v6_only: bool,
}
