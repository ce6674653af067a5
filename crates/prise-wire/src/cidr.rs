//! An address together with the length of its network's prefix (RFC 4632, RFC 4291 §2.3).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An address and a prefix length, written `10.0.2.15/24`. The host part may be set: [`network`](Self::network) clears it.
///
/// ```
/// use prise_wire::IpCidr;
/// let eth0: IpCidr = "10.0.2.15/24".parse().unwrap();
/// assert!(eth0.contains("10.0.2.2".parse().unwrap()));
/// assert_eq!(eth0.network().to_string(), "10.0.2.0/24");
/// assert_eq!(eth0.broadcast().unwrap().to_string(), "10.0.2.255");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpCidr {
    address: IpAddr,
    prefix_len: u8,
}

/// Why text or numbers are not an address with a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidCidr {
    /// The part before the slash is not an address.
    Address,
    /// The part after the slash is not a number, or more than the address has bits.
    PrefixLength,
}

impl fmt::Display for InvalidCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "not an IP address",
            Self::PrefixLength => "the prefix length is not a number up to 32 (IPv4) or 128 (IPv6)",
        })
    }
}

impl core::error::Error for InvalidCidr {}

impl IpCidr {
    /// An address in a network; `None` if the prefix is longer than the address.
    pub const fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        if prefix_len > bits(address) {
            None
        } else {
            Some(Self { address, prefix_len })
        }
    }

    /// The network that holds this address only.
    pub const fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix_len: bits(address),
        }
    }

    /// All addresses of IPv4: `0.0.0.0/0`.
    pub const ALL_V4: Self = Self {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        prefix_len: 0,
    };

    /// All addresses of IPv6: `::/0`.
    pub const ALL_V6: Self = Self {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        prefix_len: 0,
    };

    /// The address, host part included.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits name the network.
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// Whether `address` is in this network; one of the other version never is.
    pub const fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()) & mask_v4(self.prefix_len) == 0,
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()) & mask_v6(self.prefix_len) == 0,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether all of `other` is in this network.
    pub const fn contains_network(self, other: Self) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.address)
    }

    /// The network itself: the host part cleared.
    #[must_use]
    pub const fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(own) => IpAddr::V4(Ipv4Addr::from_bits(own.to_bits() & mask_v4(self.prefix_len))),
            IpAddr::V6(own) => IpAddr::V6(Ipv6Addr::from_bits(own.to_bits() & mask_v6(self.prefix_len))),
        };
        Self {
            address,
            prefix_len: self.prefix_len,
        }
    }

    /// The netmask, all ones in the prefix.
    pub const fn netmask(self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(mask_v4(self.prefix_len))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(mask_v6(self.prefix_len))),
        }
    }

    /// The directed broadcast address of an IPv4 network; none in networks of one or two (RFC 3021) and in IPv6.
    pub const fn broadcast(self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(own) if self.prefix_len < 31 => {
                Some(Ipv4Addr::from_bits(own.to_bits() | !mask_v4(self.prefix_len)))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    /// Whether the address is of version 4.
    pub const fn is_ipv4(self) -> bool {
        matches!(self.address, IpAddr::V4(_))
    }
}

/// How many bits an address has.
const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn mask_v4(prefix_len: u8) -> u32 {
    match u32::MAX.checked_shl(32 - prefix_len as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

const fn mask_v6(prefix_len: u8) -> u128 {
    match u128::MAX.checked_shl(128 - prefix_len as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl FromStr for IpCidr {
    type Err = InvalidCidr;

    /// Reads `ADDRESS/LENGTH`; an address alone is the network of that address only.
    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidCidr::Address)?;
        let Some(len) = len else { return Ok(Self::host(address)) };
        let len = len.parse().map_err(|_| InvalidCidr::PrefixLength)?;
        Self::new(address, len).ok_or(InvalidCidr::PrefixLength)
    }
}

impl fmt::Display for IpCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl fmt::Debug for IpCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
