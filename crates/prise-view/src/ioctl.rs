//! The interface requests of `netdevice(7)`, `arp(7)` and their like (linux/sockios.h), as Linux judges them by the family of the
//! socket that they are made on: whatever it is, it tells of links; only an IPv4 one tells of IPv4 addresses.

use crate::ethtool;
pub use crate::ethtool::Asked;
use crate::interface;
use crate::octets::{u16_at, u32_at};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use prise_socket::Errno;
use prise_stack::{Link, NeighborState, Stack};

/// `SIOCGIFCONF`, whose argument is of another form than the others'.
pub const LIST: u32 = 0x8912;
/// `SIOCETHTOOL`, which reads another area first.
pub const ETHTOOL: u32 = 0x8946;
/// `SIOCGARP`, whose argument has [`ARP_LEN`] octets.
pub const ARP: u32 = 0x8954;

const ADD_ROUTE: u32 = 0x890b;
const DELETE_ROUTE: u32 = 0x890c;
const ROUTE_MESSAGE: u32 = 0x890d;
const NAME: u32 = 0x8910;
const FLAGS: u32 = 0x8913;
const ADDRESS: u32 = 0x8915;
const PEER_ADDRESS: u32 = 0x8917;
const SET_PEER_ADDRESS: u32 = 0x8918;
const BROADCAST: u32 = 0x8919;
const NETMASK: u32 = 0x891b;
const METRIC: u32 = 0x891d;
const MTU: u32 = 0x8921;
const HARDWARE_ADDRESS: u32 = 0x8927;
const SLAVE: u32 = 0x8929;
const INDEX: u32 = 0x8933;
const SET_PRIVATE_FLAGS: u32 = 0x8934;
const PRIVATE_FLAGS: u32 = 0x8935;
const DELETE_ADDRESS: u32 = 0x8936;
const QUEUE_LEN: u32 = 0x8942;
const MAP: u32 = 0x8970;
const SET_ADDRESS: u32 = 0x8916;
const SET_BROADCAST: u32 = 0x891a;
const SET_NETMASK: u32 = 0x891c;
const DELETE_ARP: u32 = 0x8953;
const SET_ARP: u32 = 0x8955;
const SET_FLAGS: u32 = 0x8914;
const SET_METRIC: u32 = 0x891e;
const SET_MTU: u32 = 0x8922;
const SET_QUEUE_LEN: u32 = 0x8943;
/// `SIOCGSKNS`.
const NAME_SPACE: u32 = 0x894c;

/// Changes of links, bonds, bridges and time stamping, and what only the superuser may see: MII registers.
const CHANGES: [u32; 16] = [
    0x8923, 0x8924, 0x8931, 0x8932, 0x8947, 0x8948, 0x8971, 0x8990, 0x8991, 0x8992, 0x8993, 0x8995, 0x89a0, 0x89a1,
    0x89a2, 0x89b0,
];
/// What no driver here has: bridges of old, WAN devices, time stamping.
const NOT_SUPPORTED: [u32; 4] = [0x8940, 0x8941, 0x894a, 0x89b1];
/// What drivers have of their own (`SIOCDEVPRIVATE`).
const OF_DRIVERS: core::ops::RangeInclusive<u32> = 0x89f0..=0x89ff;
/// VLANs: the kernel's answer without the module.
const VLAN: [u32; 2] = [0x8982, 0x8983];

/// Octets of a `struct ifreq`: a name and a union.
pub const REQUEST_LEN: usize = 40;
/// Octets of a `struct arpreq`.
pub const ARP_LEN: usize = 68;
const NAME_LEN: usize = 16;
const UNION_LEN: usize = REQUEST_LEN - NAME_LEN;

/// On what socket a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// `AF_INET`.
    Inet,
    /// `AF_INET6`.
    Inet6,
    /// Any other.
    Other,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answered by [`answer`], from and to a `struct ifreq`.
    Interface,
    /// Answered by [`addresses`].
    List,
    /// Answered by [`ethtool`], from the command that the request points to.
    Ethtool,
    /// Answered by [`neighbor`], from and to a `struct arpreq`.
    Neighbor,
    /// A change of an interface, for who may: [`is_so_already`] tells whether it would change anything.
    Change,
    /// A descriptor of the socket's name space, for who may.
    NameSpace,
    /// Refused without a look.
    Refused(Errno),
}

/// What kind of request it is.
pub fn kind(on: On, request: u32) -> Kind {
    let refused = |errno| Kind::Refused(errno);
    match (on, request) {
        (_, LIST) => Kind::List,
        (_, ETHTOOL) => Kind::Ethtool,
        (On::Inet, ARP) => Kind::Neighbor,
        (On::Inet, ADDRESS | PEER_ADDRESS | BROADCAST | NETMASK)
        | (_, NAME | FLAGS | METRIC | MTU | HARDWARE_ADDRESS | INDEX | QUEUE_LEN | MAP) => Kind::Interface,
        (On::Inet, SET_ADDRESS | SET_BROADCAST | SET_NETMASK)
        | (_, SET_FLAGS | SET_METRIC | SET_MTU | SET_QUEUE_LEN) => Kind::Change,
        (_, NAME_SPACE) => Kind::NameSpace,
        (On::Inet | On::Inet6, ADD_ROUTE | DELETE_ROUTE)
        | (On::Inet, SET_PEER_ADDRESS | DELETE_ARP | SET_ARP)
        | (On::Inet6, SET_ADDRESS | DELETE_ADDRESS) => refused(Errno::EPERM),
        (On::Inet, ROUTE_MESSAGE | PRIVATE_FLAGS | SET_PRIVATE_FLAGS) | (_, SLAVE) => refused(Errno::EINVAL),
        (On::Inet6, SET_PEER_ADDRESS) => refused(Errno::ENODEV),
        (_, request) if CHANGES.contains(&request) => refused(Errno::EPERM),
        (_, request) if OF_DRIVERS.contains(&request) => Kind::Interface,
        (_, request) if NOT_SUPPORTED.contains(&request) => refused(Errno::EOPNOTSUPP),
        (_, request) if VLAN.contains(&request) => refused(Errno::ENOPKG),
        _ => refused(Errno::ENOTTY),
    }
}

/// Answers a request about one interface, which it names; `SIOCGIFNAME` by index.
pub fn answer(stack: &Stack, request: u32, given: &[u8; REQUEST_LEN]) -> Result<[u8; REQUEST_LEN], Errno> {
    let (name, union) = given.split_at(NAME_LEN);
    let (whole, plain) = named(name);
    let link = if request == NAME {
        let mut links = stack.links().iter();
        links.find(|link| link.id().interface_index() == u32_at(union, 0))
    } else {
        link_named(stack, plain)
    };
    let link = link.ok_or(Errno::ENODEV)?;
    if plain != whole && matches!(request, ADDRESS | PEER_ADDRESS | BROADCAST | NETMASK) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    let union = describe(stack, link, request)?;
    let name = if request == NAME { link.name().as_bytes() } else { name };
    Ok(interface_request(name, &union))
}

/// The name in a request, and that of its interface: an alias, `eth0:1`, is about it, but has no address.
fn named(name: &[u8]) -> (&[u8], &[u8]) {
    let whole = name.split(|&octet| octet == 0).next().unwrap_or_default();
    (whole, whole.split(|&octet| octet == b':').next().unwrap_or_default())
}

fn link_named<'a>(stack: &'a Stack, name: &[u8]) -> Option<&'a Link> {
    stack.links().iter().find(|link| link.name().as_bytes() == name)
}

/// `SIOCETHTOOL`: what is written behind the command that the request points to.
pub fn ethtool(stack: &Stack, given: &[u8; REQUEST_LEN], asked: &Asked<'_>) -> Result<Vec<u8>, Errno> {
    let (_, plain) = named(&given[..NAME_LEN]);
    let link = link_named(stack, plain).ok_or(Errno::ENODEV)?;
    ethtool::answer(link, asked)
}

/// Whether what a [`Kind::Change`] asks for is so: scripts in a name space of their own begin by setting `lo` up.
pub fn is_so_already(stack: &Stack, request: u32, given: &[u8; REQUEST_LEN]) -> Result<bool, Errno> {
    // The flags that decide what a link hears; others are the kernel's own, or change nothing here.
    const CHANGEABLE: u32 = interface::UP | interface::PROMISCUOUS | interface::ALL_MULTICAST;
    let asks = match request {
        SET_FLAGS => FLAGS,
        SET_ADDRESS => ADDRESS,
        SET_BROADCAST => BROADCAST,
        SET_NETMASK => NETMASK,
        SET_METRIC => METRIC,
        SET_MTU => MTU,
        SET_QUEUE_LEN => QUEUE_LEN,
        _ => return Ok(false),
    };
    let is = answer(stack, asks, given)?;
    let (is, wanted) = (&is[NAME_LEN..], &given[NAME_LEN..]);
    Ok(match request {
        SET_FLAGS => u32::from(u16_at(is, 0) ^ u16_at(wanted, 0)) & CHANGEABLE == 0,
        // Of a `struct sockaddr_in` the family and the address.
        SET_ADDRESS | SET_BROADCAST | SET_NETMASK => is[..2] == wanted[..2] && is[4..8] == wanted[4..8],
        _ => is[..4] == wanted[..4],
    })
}

fn describe(stack: &Stack, link: &Link, request: u32) -> Result<[u8; UNION_LEN], Errno> {
    let first = || {
        interface::ipv4_addresses(stack, link)
            .next()
            .ok_or(Errno::EADDRNOTAVAIL)
    };
    Ok(match request {
        NAME | INDEX => number(link.id().interface_index()),
        // Sixteen bits of them.
        FLAGS => number(interface::flags(link) & 0xffff),
        ADDRESS | PEER_ADDRESS => ipv4(first()?.0),
        BROADCAST => {
            let (address, prefix_len) = first()?;
            ipv4(interface::broadcast(link, address, prefix_len).unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
        NETMASK => {
            let host_bits = u32::MAX.checked_shr(u32::from(first()?.1)).unwrap_or(0);
            ipv4(Ipv4Addr::from_bits(!host_bits))
        }
        METRIC | MAP => number(0),
        MTU => number(link.mtu()),
        QUEUE_LEN => number(interface::QUEUE_LEN),
        HARDWARE_ADDRESS => {
            let mut union = [0; UNION_LEN];
            union[..2].copy_from_slice(&interface::hardware_type(link).to_ne_bytes());
            union[2..8].copy_from_slice(&interface::hardware_address(link).unwrap_or_default());
            union
        }
        request if OF_DRIVERS.contains(&request) => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::ENOTTY),
    })
}

/// `SIOCGIFCONF`: the IPv4 addresses, each with its interface's name, a `struct ifreq` each.
pub fn addresses(stack: &Stack) -> Vec<u8> {
    let mut octets = Vec::new();
    for link in stack.links() {
        for (address, _) in interface::ipv4_addresses(stack, link) {
            octets.extend_from_slice(&interface_request(link.name().as_bytes(), &ipv4(address)));
        }
    }
    octets
}

/// `SIOCGARP`: the hardware address of a neighbor (`arp_req_get`).
pub fn neighbor(stack: &Stack, given: &[u8; ARP_LEN]) -> Result<[u8; ARP_LEN], Errno> {
    const HARDWARE_AT: usize = 16;
    const FLAGS_AT: usize = 32;
    const NETMASK_AT: usize = 36;
    const DEVICE_AT: usize = 52;
    /// `ATF_COM`, `ATF_PERM`.
    const COMPLETE: u32 = 2;
    const PERMANENT: u32 = 4;
    if u16_at(given, 0) != 2 {
        return Err(Errno::EPFNOSUPPORT);
    }
    let name = given[DEVICE_AT..].split(|&octet| octet == 0).next().unwrap_or_default();
    let link = stack.links().iter().find(|link| link.name().as_bytes() == name);
    let link = link.ok_or(Errno::ENODEV)?;
    let wanted = Ipv4Addr::from(core::array::from_fn::<u8, 4, _>(|i| given[4 + i]));
    let found = stack.neighbors().find(|it| it.link == link.id() && it.addr == wanted);
    let (mac, state) = found.and_then(|it| Some((it.mac?, it.state))).ok_or(Errno::ENXIO)?;
    let permanent = if state == NeighborState::Permanent {
        PERMANENT
    } else {
        0
    };
    let mut octets = *given;
    octets[HARDWARE_AT..HARDWARE_AT + 16].fill(0);
    octets[HARDWARE_AT..HARDWARE_AT + 2].copy_from_slice(&interface::hardware_type(link).to_ne_bytes());
    octets[HARDWARE_AT + 2..HARDWARE_AT + 8].copy_from_slice(&mac.0);
    octets[FLAGS_AT..FLAGS_AT + 4].copy_from_slice(&(COMPLETE | permanent).to_ne_bytes());
    octets[NETMASK_AT + 4..NETMASK_AT + 8].fill(0xff);
    Ok(octets)
}

fn interface_request(name: &[u8], union: &[u8; UNION_LEN]) -> [u8; REQUEST_LEN] {
    let mut octets = [0; REQUEST_LEN];
    let len = name.len().min(NAME_LEN);
    octets[..len].copy_from_slice(&name[..len]);
    octets[NAME_LEN..].copy_from_slice(union);
    octets
}

fn number(value: u32) -> [u8; UNION_LEN] {
    let mut union = [0; UNION_LEN];
    union[..4].copy_from_slice(&value.to_ne_bytes());
    union
}

/// A `struct sockaddr_in` without port.
fn ipv4(address: Ipv4Addr) -> [u8; UNION_LEN] {
    let mut union = [0; UNION_LEN];
    union[..2].copy_from_slice(&2_u16.to_ne_bytes());
    union[4..8].copy_from_slice(&address.octets());
    union
}
