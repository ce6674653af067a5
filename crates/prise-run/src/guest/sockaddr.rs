//! Socket addresses as programs have them in memory: ip(7), ipv6(7), in Linux's layout for x86-64.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use prise_socket::{Errno, Family};

/// `struct sockaddr_storage`: the kernel takes no longer address.
pub(crate) const ADDRESS_MAX: usize = 128;
/// `struct sockaddr_in`.
pub(crate) const V4_LEN: usize = 16;
/// `struct sockaddr_in6`.
pub(crate) const V6_LEN: usize = 28;
/// `struct sockaddr_in6` without its scope, which the kernel takes too (`SIN6_LEN_RFC2133`).
pub(crate) const V6_LEN_MIN: usize = 24;

/// What a program says an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// An endpoint.
    Endpoint(SocketAddr),
    /// `AF_UNSPEC`, with the IPv4 address that may stand where one would.
    Unspecified(Ipv4Addr, u16),
}

/// An IPv4 endpoint as such.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An endpoint as a socket of `family` names it.
pub(crate) fn for_family(endpoint: SocketAddr, family: Family) -> SocketAddr {
    match (family, endpoint.ip()) {
        (Family::Inet6, IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), endpoint.port()),
        _ => endpoint,
    }
}

/// Reads an address for a socket of `family`, as bind(2) and a stream's connect(2) do: too short is `EINVAL`, of another
/// family `EAFNOSUPPORT`.
pub(crate) fn parse(octets: &[u8], family: Family) -> Result<Named, Errno> {
    let shortest = match family {
        Family::Inet => V4_LEN,
        Family::Inet6 => V6_LEN_MIN,
    };
    match (family_of(octets)?, family) {
        (libc::AF_UNSPEC, _) => Ok(unspecified(octets)),
        _ if octets.len() < shortest => Err(Errno::EINVAL),
        (libc::AF_INET, Family::Inet) | (libc::AF_INET6, Family::Inet6) => endpoint(octets),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Reads an address for a datagram socket: an IPv6 socket takes an IPv4 address too, as udpv6 does.
pub(crate) fn parse_datagram(octets: &[u8], family: Family) -> Result<Named, Errno> {
    if family == Family::Inet6 && family_of(octets)? == libc::AF_INET {
        return endpoint(octets);
    }
    parse(octets, family)
}

fn family_of(octets: &[u8]) -> Result<i32, Errno> {
    match octets.first_chunk::<2>() {
        Some(family) => Ok(i32::from(u16::from_ne_bytes(*family))),
        None => Err(Errno::EINVAL),
    }
}

fn unspecified(octets: &[u8]) -> Named {
    match v4(octets) {
        Some(address) => Named::Unspecified(*address.ip(), address.port()),
        None => Named::Unspecified(Ipv4Addr::UNSPECIFIED, 0),
    }
}

fn endpoint(octets: &[u8]) -> Result<Named, Errno> {
    let address = match family_of(octets)? {
        libc::AF_INET6 => v6(octets).map(SocketAddr::from),
        _ => v4(octets).map(SocketAddr::from),
    };
    address.map(Named::Endpoint).ok_or(Errno::EINVAL)
}

fn v4(octets: &[u8]) -> Option<SocketAddrV4> {
    let octets: &[u8; V4_LEN] = octets.first_chunk()?;
    let address = Ipv4Addr::new(octets[4], octets[5], octets[6], octets[7]);
    Some(SocketAddrV4::new(address, u16::from_be_bytes([octets[2], octets[3]])))
}

fn v6(octets: &[u8]) -> Option<SocketAddrV6> {
    if octets.len() < V6_LEN_MIN {
        return None;
    }
    let port = u16::from_be_bytes([octets[2], octets[3]]);
    let flow = u32::from_be_bytes([octets[4], octets[5], octets[6], octets[7]]);
    let address: [u8; 16] = *octets[8..].first_chunk()?;
    let scope = octets
        .get(24..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |scope| u32::from_ne_bytes(*scope));
    Some(SocketAddrV6::new(Ipv6Addr::from(address), port, flow, scope))
}

/// An address in a program's layout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded {
    octets: [u8; V6_LEN],
    len: usize,
}

impl Encoded {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// Writes an address as a socket of `family` shows it: an IPv6 socket shows IPv4 as v4-mapped.
pub(crate) fn encode(address: SocketAddr, family: Family) -> Encoded {
    let mut octets = [0; V6_LEN];
    match (address, family) {
        (SocketAddr::V4(address), Family::Inet) => {
            octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            octets[2..4].copy_from_slice(&address.port().to_be_bytes());
            octets[4..8].copy_from_slice(&address.ip().octets());
            Encoded { octets, len: V4_LEN }
        }
        (SocketAddr::V4(address), Family::Inet6) => {
            let mapped = SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0);
            encode_v6(octets, mapped)
        }
        (SocketAddr::V6(address), _) => encode_v6(octets, address),
    }
}

fn encode_v6(mut octets: [u8; V6_LEN], address: SocketAddrV6) -> Encoded {
    octets[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
    octets[2..4].copy_from_slice(&address.port().to_be_bytes());
    octets[4..8].copy_from_slice(&address.flowinfo().to_be_bytes());
    octets[8..24].copy_from_slice(&address.ip().octets());
    octets[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
    Encoded { octets, len: V6_LEN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_parsed_again() {
        for (text, family) in [
            ("127.0.0.1:80", Family::Inet),
            ("[fd00:2::15]:65535", Family::Inet6),
            ("[::ffff:10.0.2.15]:1", Family::Inet6),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(
                parse(encode(address, family).as_slice(), family),
                Ok(Named::Endpoint(address))
            );
        }
    }

    #[test]
    fn an_ipv6_socket_shows_ipv4_as_mapped() {
        let shown = encode("10.0.2.15:7".parse().unwrap(), Family::Inet6);
        assert_eq!(
            parse(shown.as_slice(), Family::Inet6),
            Ok(Named::Endpoint("[::ffff:10.0.2.15]:7".parse().unwrap()))
        );
    }

    #[test]
    fn short_and_foreign_addresses_are_refused_as_linux_does() {
        assert_eq!(parse(&[2], Family::Inet), Err(Errno::EINVAL));
        assert_eq!(parse(&[2, 0, 0, 80], Family::Inet), Err(Errno::EINVAL));
        assert_eq!(parse(&[1; 16], Family::Inet), Err(Errno::EAFNOSUPPORT));
        let v4 = encode("127.0.0.1:80".parse().unwrap(), Family::Inet);
        assert_eq!(parse(v4.as_slice(), Family::Inet6), Err(Errno::EINVAL));
        let v4 = Ok(Named::Endpoint("127.0.0.1:80".parse().unwrap()));
        assert_eq!(
            parse_datagram(
                encode("127.0.0.1:80".parse().unwrap(), Family::Inet).as_slice(),
                Family::Inet6
            ),
            v4
        );
        assert_eq!(
            parse(&[10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Family::Inet6),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            parse(&[0, 0], Family::Inet),
            Ok(Named::Unspecified(Ipv4Addr::UNSPECIFIED, 0))
        );
    }
}
