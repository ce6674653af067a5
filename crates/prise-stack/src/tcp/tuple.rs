//! The four-tuple that names a connection.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Local and remote endpoint, IPv4 as v4-mapped: 36 octets instead of the 64 of two `SocketAddr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FourTuple {
    local: [u8; 16],
    remote: [u8; 16],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl FourTuple {
    pub(crate) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local: octets(local.ip()),
            remote: octets(remote.ip()),
            local_port: local.port(),
            remote_port: remote.port(),
        }
    }

    pub(crate) fn local_ip(&self) -> IpAddr {
        address(self.local)
    }

    pub(crate) fn remote_ip(&self) -> IpAddr {
        address(self.remote)
    }

    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local_ip(), self.local_port)
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote_ip(), self.remote_port)
    }

    pub(crate) fn is_v4(&self) -> bool {
        self.remote_ip().is_ipv4()
    }

    /// The tuple as words, for hashing.
    pub(crate) fn words(&self) -> [u64; 5] {
        let [l0, l1] = halves(self.local);
        let [r0, r1] = halves(self.remote);
        [
            l0,
            l1,
            r0,
            r1,
            u64::from(self.local_port) << 16 | u64::from(self.remote_port),
        ]
    }
}

fn octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn address(octets: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(octets).to_canonical()
}

fn halves(octets: [u8; 16]) -> [u64; 2] {
    let wide = u128::from_be_bytes(octets);
    [(wide >> 64) as u64, wide as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_gives_back_the_endpoints_it_was_made_of() {
        for (local, remote) in [("10.0.0.1:80", "192.0.2.7:4000"), ("[fd00::1]:80", "[2001:db8::2]:9")] {
            let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
            let tuple = FourTuple::new(local, remote);
            assert_eq!((tuple.local(), tuple.remote()), (local, remote));
            assert_eq!(tuple.is_v4(), local.is_ipv4());
        }
    }
}
