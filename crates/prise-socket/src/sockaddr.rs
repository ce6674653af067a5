//! `struct sockaddr_in` and `struct sockaddr_in6` as the kernel's ABI has them, for whoever stands between programs and a [`Host`](crate::Host).

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::Errno;

const AF_UNSPEC: u16 = 0;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The length of `struct sockaddr_in`.
pub const LEN_V4: usize = 16;
/// The length of `struct sockaddr_in6`.
pub const LEN_V6: usize = 28;
/// The length that the kernel is content with: before RFC 2553 there was no scope.
const LEN_V6_RFC2133: usize = 24;

/// An address as a program gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// An Internet address.
    Internet(SocketAddr),
    /// `AF_UNSPEC`: `connect(2)` disconnects; `bind(2)` and `sendto(2)` on IPv4 sockets take it for `AF_INET`, whose octets these are if there are
    /// enough.
    Unspecified(Option<SocketAddrV4>),
}

/// Reads an address. `EINVAL` if it is too short for its family, `EAFNOSUPPORT` for a family that is not ours.
pub fn decode(octets: &[u8]) -> Result<Given, Errno> {
    let (family, rest) = octets.split_first_chunk().ok_or(Errno::EINVAL)?;
    match u16::from_le_bytes(*family) {
        AF_UNSPEC => Ok(Given::Unspecified(decode_v4(rest))),
        AF_INET => decode_v4(rest)
            .map(|addr| Given::Internet(addr.into()))
            .ok_or(Errno::EINVAL),
        AF_INET6 => decode_v6(rest)
            .map(|addr| Given::Internet(addr.into()))
            .ok_or(Errno::EINVAL),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

fn decode_v4(rest: &[u8]) -> Option<SocketAddrV4> {
    // The kernel wants the whole structure although its last eight octets mean nothing.
    if rest.len() < LEN_V4 - 2 {
        return None;
    }
    let (port, rest) = rest.split_first_chunk()?;
    let addr: &[u8; 4] = rest.first_chunk()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(*addr), u16::from_be_bytes(*port)))
}

fn decode_v6(rest: &[u8]) -> Option<SocketAddrV6> {
    if rest.len() < LEN_V6_RFC2133 - 2 {
        return None;
    }
    let (port, rest) = rest.split_first_chunk()?;
    let (flow, rest) = rest.split_first_chunk()?;
    let (addr, rest) = rest.split_first_chunk::<16>()?;
    let scope = rest.first_chunk().map_or(0, |scope| u32::from_le_bytes(*scope));
    Some(SocketAddrV6::new(
        Ipv6Addr::from(*addr),
        u16::from_be_bytes(*port),
        u32::from_be_bytes(*flow),
        scope,
    ))
}

/// Writes an address: 16 octets for IPv4, 28 for IPv6.
pub fn encode(addr: SocketAddr) -> Vec<u8> {
    let mut octets = Vec::with_capacity(LEN_V6);
    match addr {
        SocketAddr::V4(v4) => {
            octets.extend_from_slice(&AF_INET.to_le_bytes());
            octets.extend_from_slice(&v4.port().to_be_bytes());
            octets.extend_from_slice(&v4.ip().octets());
            octets.resize(LEN_V4, 0);
        }
        SocketAddr::V6(v6) => {
            octets.extend_from_slice(&AF_INET6.to_le_bytes());
            octets.extend_from_slice(&v6.port().to_be_bytes());
            octets.extend_from_slice(&v6.flowinfo().to_be_bytes());
            octets.extend_from_slice(&v6.ip().octets());
            octets.extend_from_slice(&v6.scope_id().to_le_bytes());
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_being_written_and_read() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[fe80::1%3]:1", "[::ffff:10.0.0.1]:0"] {
            let addr: SocketAddr = text.parse().expect("an address");
            assert_eq!(decode(&encode(addr)), Ok(Given::Internet(addr)));
        }
    }

    #[test]
    fn the_kernels_length_rules_hold() {
        let v4 = encode("1.2.3.4:5".parse().expect("an address"));
        let v6 = encode("[::1]:5".parse().expect("an address"));
        assert_eq!(decode(&v4[..15]), Err(Errno::EINVAL));
        assert_eq!(decode(&v6[..23]), Err(Errno::EINVAL));
        assert!(decode(&v6[..24]).is_ok());
        assert_eq!(decode(&[1]), Err(Errno::EINVAL));
        assert_eq!(decode(&[1, 0, 0, 0]), Err(Errno::EAFNOSUPPORT));
        assert_eq!(decode(&[0, 0]), Ok(Given::Unspecified(None)));
    }
}
