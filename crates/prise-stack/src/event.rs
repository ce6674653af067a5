//! Facts out: what the stack tells its driver. No callbacks; the driver asks until there is nothing more.

use crate::raw::{PingId, RawId};
use crate::tcp::{ConnId, ListenerId, PendingId};
use crate::udp::UdpId;
use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::ops::{BitOr, BitOrAssign};

/// What has newly become possible on a socket: edges, not levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// There is something to receive.
    pub const READABLE: Self = Self(1);
    /// There is room to send.
    pub const WRITABLE: Self = Self(1 << 1);
    /// The connection has been established.
    pub const CONNECTED: Self = Self(1 << 2);
    /// The peer has finished sending (FIN).
    pub const READ_CLOSED: Self = Self(1 << 3);
    /// An error waits to be taken.
    pub const ERROR: Self = Self(1 << 4);
    /// The connection is over in both directions.
    pub const CLOSED: Self = Self(1 << 5);
    /// Urgent data has been announced (RFC 9293 §3.8.5).
    pub const URGENT: Self = Self(1 << 6);

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Ready {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One fact. `token` is the number that the caller gave to the socket when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection became ready.
    Tcp {
        /// The caller's number.
        token: u32,
        /// The connection.
        id: ConnId,
        /// What has become possible.
        ready: Ready,
    },
    /// A connection that its program had closed (`tcp_close`, `tcp_abort`) has left for good, TIME-WAIT included: its
    /// four-tuple is free. Exactly one for each close.
    Released {
        /// Our endpoint.
        local: SocketAddr,
        /// The peer's.
        remote: SocketAddr,
    },
    /// A listener has a connection to accept.
    Listener {
        /// The caller's number.
        token: u32,
        /// The listener.
        id: ListenerId,
    },
    /// On a transparent link a peer wants a connection that no listener takes.
    Intercepted {
        /// The caller's number, given to `tcp_intercept`.
        token: u32,
        /// The connection that waits to be admitted or refused.
        id: PendingId,
        /// The endpoint that the peer dialled.
        local: SocketAddr,
        /// The peer.
        remote: SocketAddr,
    },
    /// A UDP socket became ready.
    Udp {
        /// The caller's number.
        token: u32,
        /// The socket.
        id: UdpId,
        /// What has become possible.
        ready: Ready,
    },
    /// A ping socket became ready.
    Ping {
        /// The caller's number.
        token: u32,
        /// The socket.
        id: PingId,
        /// What has become possible.
        ready: Ready,
    },
    /// A raw socket became ready.
    Raw {
        /// The caller's number.
        token: u32,
        /// The socket.
        id: RawId,
        /// What has become possible.
        ready: Ready,
    },
    /// Datagrams that no socket takes have come by a transparent link; take them all.
    UdpIntercepted,
    /// Echo requests for other hosts have come by a transparent link; take them all.
    EchoIntercepted,
}

/// The queue of events. Whoever pushes sees to it that a socket has at most one event waiting, so that the queue is
/// bounded by the number of sockets.
#[derive(Debug, Default)]
pub(crate) struct Events(VecDeque<Event>);

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        self.0.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}
