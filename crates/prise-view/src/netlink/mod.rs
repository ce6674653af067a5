//! `netlink(7)`: how programs ask for links, addresses, routes, neighbors (`rtnetlink(7)`), sockets (`sock_diag(7)`) and families.
//!
//! [`Socket`] is one netlink socket: it takes the datagrams that a program sends and gives those that the kernel would answer
//! with. Changes are refused as the kernel refuses them to whoever lacks `CAP_NET_ADMIN`.

mod diag;
mod generic;
mod message;
mod options;
mod route;
mod socket;

pub(crate) use route::path;

pub use message::{Attributes, Message, Request, requests};
pub use socket::{Protocol, Socket};

/// The address family (`AF_NETLINK`).
pub const FAMILY: u16 = 16;

/// Octets of a `struct sockaddr_nl`.
pub const ADDRESS_LEN: usize = 12;

/// A netlink address as programs have it in memory: a port and groups.
pub fn address(port: u32, groups: u32) -> [u8; ADDRESS_LEN] {
    let mut octets = [0; ADDRESS_LEN];
    octets[..2].copy_from_slice(&FAMILY.to_ne_bytes());
    octets[4..8].copy_from_slice(&port.to_ne_bytes());
    octets[8..].copy_from_slice(&groups.to_ne_bytes());
    octets
}

/// Reads a netlink address: port and groups; none if it is too short or of another family.
pub fn parse_address(octets: &[u8]) -> Option<(u32, u32)> {
    use crate::octets::{u16_at, u32_at};
    (octets.len() >= ADDRESS_LEN && u16_at(octets, 0) == FAMILY).then(|| (u32_at(octets, 4), u32_at(octets, 8)))
}
