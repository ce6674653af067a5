//! What a socket is: its family, its type, and which half of it a call is about (`socket(2)`, `shutdown(2)`).

use crate::Errno;

/// The address family of a socket (`AF_INET`, `AF_INET6`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Family {
    /// IPv4 (`AF_INET`, 2).
    Inet = 2,
    /// IPv6, and IPv4 as mapped addresses unless `IPV6_V6ONLY` is set (`AF_INET6`, 10).
    Inet6 = 10,
}

impl Family {
    /// From the first argument of `socket(2)`; any other family is not ours (`EAFNOSUPPORT`).
    pub const fn from_raw(domain: i32) -> Result<Self, Errno> {
        match domain {
            2 => Ok(Self::Inet),
            10 => Ok(Self::Inet6),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// `AF_INET` or `AF_INET6`: what `SO_DOMAIN` shows.
    pub const fn raw(self) -> i32 {
        self as i32
    }
}

/// The type of a socket (`SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_RAW`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// TCP (`SOCK_STREAM`, 1).
    Stream = 1,
    /// UDP, or ping with `IPPROTO_ICMP` or `IPPROTO_ICMPV6` (`SOCK_DGRAM`, 2).
    Datagram = 2,
    /// Whole IP packets of one protocol (`SOCK_RAW`, 3).
    Raw = 3,
}

impl Kind {
    /// From the second argument of `socket(2)`, without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
    ///
    /// `EINVAL` beyond `SOCK_MAX`, `ESOCKTNOSUPPORT` for the types that no Internet protocol has.
    pub const fn from_raw(kind: i32) -> Result<Self, Errno> {
        match kind {
            1 => Ok(Self::Stream),
            2 => Ok(Self::Datagram),
            3 => Ok(Self::Raw),
            0 | 4..=10 => Err(Errno::ESOCKTNOSUPPORT),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_RAW`: what `SO_TYPE` shows.
    pub const fn raw(self) -> i32 {
        self as i32
    }
}

/// Which half of a connection `shutdown(2)` ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum How {
    /// `SHUT_RD` (0): no more is received.
    Read,
    /// `SHUT_WR` (1): no more is sent; the peer is told.
    Write,
    /// `SHUT_RDWR` (2).
    Both,
}

impl How {
    /// From the second argument of `shutdown(2)`; `EINVAL` for any other number.
    pub const fn from_raw(how: i32) -> Result<Self, Errno> {
        match how {
            0 => Ok(Self::Read),
            1 => Ok(Self::Write),
            2 => Ok(Self::Both),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether the receiving half ends.
    pub const fn read(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Whether the sending half ends.
    pub const fn write(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}
