//! What each TCP verb can answer instead of success; the socket layer maps them to errno.

use crate::net::{IcmpError, RouteError};

/// Why a connection ended or could not be made; read once through `Stack::tcp_take_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpError {
    /// The peer answered our SYN with a RST.
    Refused,
    /// The peer reset an established connection.
    Reset,
    /// The peer reset a connection whose sending side it had already closed: Linux says EPIPE.
    BrokenPipe,
    /// Our retransmissions, probes or user timeout ran out (RFC 9293 §3.8.3).
    TimedOut,
    /// ICMP: the network cannot be reached.
    NetworkUnreachable,
    /// ICMP: the host cannot be reached.
    HostUnreachable,
    /// ICMP: administratively prohibited.
    Prohibited,
    /// ICMP: the protocol is not served there.
    ProtocolUnreachable,
    /// The route that the connection used is gone.
    NetworkDown,
}

impl TcpError {
    /// What an ICMP error means for a connection (RFC 9293 §3.9.2.2); `None` if nothing.
    pub(crate) fn from_icmp(error: IcmpError) -> Option<Self> {
        Some(match error {
            IcmpError::NetworkUnreachable
            | IcmpError::NetworkUnknown
            | IcmpError::NetworkUnreachableForTos
            | IcmpError::NetworkProhibited => Self::NetworkUnreachable,
            IcmpError::PortUnreachable => Self::Refused,
            IcmpError::ProtocolUnreachable => Self::ProtocolUnreachable,
            IcmpError::Prohibited | IcmpError::HostProhibited => Self::Prohibited,
            IcmpError::PacketTooBig { .. } => return None,
            _ => Self::HostUnreachable,
        })
    }
}

/// Why `tcp_listen` refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// The same address and port already listen, without `SO_REUSEPORT` on both.
    AddressInUse,
}

/// Why `tcp_connect` refused at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// This four-tuple is taken.
    AddressInUse,
    /// No route leads there.
    Route(RouteError),
}

/// Why `tcp_send` took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The send queue is full, or the handshake is not finished.
    WouldBlock,
    /// Sending was shut down, or the connection is closed.
    Closed,
}

/// Why `tcp_receive` gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// Nothing has arrived.
    WouldBlock,
    /// The connection is not established and never received a FIN.
    NotConnected,
}

/// Why `tcp_receive_urgent` gave nothing (`MSG_OOB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrgentError {
    /// No urgent octet is announced, it was read, or it is left in the stream.
    NotUrgent,
    /// It is announced but has not arrived.
    WouldBlock,
}

/// Why `tcp_admit` could not continue an intercepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmitError {
    /// The guest gave up meanwhile.
    Gone,
}
