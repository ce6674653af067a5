//! What sending a datagram may be told and may answer, whatever the protocol.

use crate::net::{RouteError, RouteInfo};
use core::fmt;

/// What to do with a packet that is larger than the path's MTU (`IP_MTU_DISCOVER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragmentation {
    /// Sets DF on what fits the known path MTU and fragments the rest here: `IP_PMTUDISC_WANT`, the default.
    #[default]
    Want,
    /// Never sets DF; routers may fragment too: `IP_PMTUDISC_DONT`.
    Allow,
    /// Sets DF and refuses what is too big: `IP_PMTUDISC_DO`.
    Refuse,
    /// Sets DF and refuses only what exceeds the link's own MTU: `IP_PMTUDISC_PROBE`.
    Probe,
    /// Sets no DF and refuses what exceeds the link's own MTU: nothing is fragmented here, whatever is said of the path
    /// (`IP_PMTUDISC_INTERFACE`).
    Interface,
}

impl Fragmentation {
    /// Whether DF is to be set on a packet of `ip_len` octets, or why it must not go at all.
    pub(crate) fn dont_fragment(self, ip_len: usize, route: &RouteInfo, link_mtu: u32) -> Result<bool, DatagramError> {
        let limit = match self {
            Self::Allow => return Ok(false),
            Self::Want => return Ok(ip_len <= route.mtu as usize),
            Self::Refuse => route.mtu,
            Self::Probe | Self::Interface => link_mtu,
        };
        if ip_len <= limit as usize {
            Ok(self != Self::Interface)
        } else {
            Err(DatagramError::TooBig { mtu: limit })
        }
    }
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramError {
    /// No such socket.
    Closed,
    /// The link's queue is full; the socket becomes writable when there is room (`EAGAIN`).
    WouldBlock,
    /// More than a datagram can carry, or than this path takes unfragmented (`EMSGSIZE`).
    TooBig {
        /// The largest IP packet that would do.
        mtu: u32,
    },
    /// No way to the destination.
    Route(RouteError),
    /// A destination port of zero, or a message that its protocol does not allow to be sent (`EINVAL`).
    Invalid,
    /// The destination is of a family that the socket does not speak (`EAFNOSUPPORT`).
    Family,
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the socket is closed"),
            Self::WouldBlock => f.write_str("the link's queue is full"),
            Self::TooBig { mtu } => write!(f, "the datagram is too big for a path MTU of {mtu}"),
            Self::Route(error) => error.fmt(f),
            Self::Invalid => f.write_str("the destination or message is not valid"),
            Self::Family => f.write_str("the socket does not speak the destination's address family"),
        }
    }
}

impl core::error::Error for DatagramError {}

impl From<RouteError> for DatagramError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}
