//! IEEE 802 link addresses.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// A 48-bit IEEE 802 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Everyone on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// All zero: not an address, but "unknown" in ARP requests.
    pub const UNSPECIFIED: Self = Self([0; 6]);

    /// The six octets.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether the group bit is set: multicast, or broadcast.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this is the broadcast address.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether this may be a station's own address: not a group, not all zero.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::UNSPECIFIED
    }

    /// The group address that carries an IPv4 multicast group (RFC 1112 §6.4).
    pub const fn from_ipv4_multicast(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The group address that carries an IPv6 multicast group (RFC 2464 §7).
    pub const fn from_ipv6_multicast(group: Ipv6Addr) -> Self {
        let o = group.octets();
        Self([0x33, 0x33, o[12], o[13], o[14], o[15]])
    }

    /// The modified EUI-64 interface identifier of this address (RFC 4291 appendix A).
    pub const fn interface_identifier(self) -> [u8; 8] {
        let o = self.0;
        [o[0] ^ 0x02, o[1], o[2], 0xff, 0xfe, o[3], o[4], o[5]]
    }

    /// The link-local IPv6 address made from this address (RFC 4862 §5.3).
    pub const fn link_local(self) -> Ipv6Addr {
        let identifier = u64::from_be_bytes(self.interface_identifier());
        Ipv6Addr::from_bits(0xfe80 << 112 | identifier as u128)
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(out, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(out, ":{octet:02x}"))
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
