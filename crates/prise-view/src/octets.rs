//! Numbers in memory, in the machine's order; zero beyond the end, as netlink pads what is short.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) fn u8_at(octets: &[u8], at: usize) -> u8 {
    octets.get(at).copied().unwrap_or(0)
}

pub(crate) fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([u8_at(octets, at), u8_at(octets, at + 1)])
}

pub(crate) fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(core::array::from_fn(|i| u8_at(octets, at + i)))
}

/// A number in network order.
pub(crate) fn be16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([u8_at(octets, at), u8_at(octets, at + 1)])
}

/// The octets of an address, of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressOctets {
    octets: [u8; 16],
    len: usize,
}

impl AddressOctets {
    pub(crate) fn of(address: IpAddr) -> Self {
        let mut octets = [0; 16];
        let len = match address {
            IpAddr::V4(v4) => {
                octets[..4].copy_from_slice(&v4.octets());
                4
            }
            IpAddr::V6(v6) => {
                octets = v6.octets();
                16
            }
        };
        Self { octets, len }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// An address of 4 or 16 octets.
pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => octets.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        16 => octets.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}
