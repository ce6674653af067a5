//! What a socket is bound to.

use crate::link::LinkId;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address families that a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 only: `AF_INET`.
    V4,
    /// IPv4 only, as `AF_INET6` bound to an IPv4-mapped address: those of `AF_INET` come before it.
    Mapped,
    /// IPv6 only: `AF_INET6` with `IPV6_V6ONLY`.
    V6Only,
    /// Both: `AF_INET6` without `IPV6_V6ONLY`.
    Dual,
}

impl Family {
    /// Whether addresses of that version belong to the family.
    pub const fn speaks(self, addr: IpAddr) -> bool {
        match self {
            Self::V4 | Self::Mapped => addr.is_ipv4(),
            Self::V6Only => addr.is_ipv6(),
            Self::Dual => true,
        }
    }
}

/// The local side of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Local {
    /// The address; none is the wildcard of the family.
    pub addr: Option<IpAddr>,
    /// The families of addresses that the wildcard stands for.
    pub family: Family,
    /// The port; zero asks for an ephemeral one.
    pub port: u16,
    /// The only link to speak by, if any (`SO_BINDTODEVICE`).
    pub device: Option<LinkId>,
}

impl Local {
    /// The wildcard of a family, without a device.
    pub const fn wildcard(family: Family, port: u16) -> Self {
        Self {
            addr: None,
            family,
            port,
            device: None,
        }
    }

    /// One endpoint, without a device.
    pub const fn endpoint(endpoint: SocketAddr) -> Self {
        let family = if endpoint.is_ipv4() { Family::V4 } else { Family::V6Only };
        Self {
            addr: Some(endpoint.ip()),
            family,
            port: endpoint.port(),
            device: None,
        }
    }

    /// Whether packets to the address belong here, port and device aside.
    pub fn covers(&self, addr: IpAddr) -> bool {
        match self.addr {
            Some(own) => own == addr,
            None => self.family.speaks(addr),
        }
    }

    /// Whether packets may arrive by the link.
    pub fn accepts(&self, link: LinkId) -> bool {
        self.device.is_none_or(|device| device == link)
    }

    /// Whether some packet would belong to both: the question of `EADDRINUSE`, ports aside.
    pub fn overlaps(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.device, other.device)
            && a != b
        {
            return false;
        }
        match (self.addr, other.addr) {
            (Some(a), Some(b)) => a == b,
            (Some(a), None) => other.family.speaks(a),
            (None, Some(b)) => self.family.speaks(b),
            (None, None) => !matches!(
                (self.family, other.family),
                (Family::V4 | Family::Mapped, Family::V6Only) | (Family::V6Only, Family::V4 | Family::Mapped)
            ),
        }
    }

    /// What `getsockname(2)` shows: a wildcard is the unspecified address.
    pub fn to_socket_addr(&self) -> SocketAddr {
        let unspecified = match self.family {
            Family::V4 | Family::Mapped => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6Only | Family::Dual => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(self.addr.unwrap_or(unspecified), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_binds_overlap_when_a_packet_could_belong_to_both() {
        let wild = |family| Local::wildcard(family, 80);
        let at = |text: &str| Local::endpoint(text.parse().unwrap());
        let eth = |position, local: Local| Local {
            device: LinkId::new(position),
            ..local
        };
        for (a, b, expected) in [
            (wild(Family::V4), wild(Family::V4), true),
            (wild(Family::V4), wild(Family::V6Only), false),
            (wild(Family::Mapped), wild(Family::V6Only), false),
            (wild(Family::Mapped), wild(Family::V4), true),
            (wild(Family::V4), wild(Family::Dual), true),
            (wild(Family::V6Only), wild(Family::Dual), true),
            (wild(Family::Dual), at("10.0.0.1:80"), true),
            (wild(Family::V6Only), at("10.0.0.1:80"), false),
            (at("10.0.0.1:80"), at("10.0.0.2:80"), false),
            (at("10.0.0.1:80"), at("10.0.0.1:80"), true),
            (eth(0, wild(Family::V4)), eth(1, wild(Family::V4)), false),
            (eth(0, wild(Family::V4)), wild(Family::V4), true),
        ] {
            assert_eq!(a.overlaps(&b), expected, "{a:?} {b:?}");
            assert_eq!(b.overlaps(&a), expected, "{b:?} {a:?}");
        }
    }
}
