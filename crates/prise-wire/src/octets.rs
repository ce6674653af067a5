//! Reading big-endian fields from octets without a way to panic.

use core::net::{Ipv4Addr, Ipv6Addr};

/// The `N` octets at `at`, if they are all there.
pub(crate) fn array<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk::<N>().copied()
}

/// The 16-bit field at `at`; zero if it is not there, for views whose constructor has checked that it is.
pub(crate) fn u16_at(data: &[u8], at: usize) -> u16 {
    array(data, at).map_or(0, u16::from_be_bytes)
}

/// The 32-bit field at `at`; zero if it is not there.
pub(crate) fn u32_at(data: &[u8], at: usize) -> u32 {
    array(data, at).map_or(0, u32::from_be_bytes)
}

/// The octet at `at`; zero if it is not there.
pub(crate) fn u8_at(data: &[u8], at: usize) -> u8 {
    data.get(at).copied().unwrap_or(0)
}

/// The IPv4 address at `at`; unspecified if it is not there.
pub(crate) fn ipv4_at(data: &[u8], at: usize) -> Ipv4Addr {
    array::<4>(data, at).map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from)
}

/// The IPv6 address at `at`; unspecified if it is not there.
pub(crate) fn ipv6_at(data: &[u8], at: usize) -> Ipv6Addr {
    array::<16>(data, at).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)
}

/// Everything from `at` on; empty if that is beyond the end.
pub(crate) fn from(data: &[u8], at: usize) -> &[u8] {
    data.get(at..).unwrap_or(&[])
}
