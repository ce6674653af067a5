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

const SET_SLAVE: u32 = 0x8930;

/// Changes of links: their names, hardware addresses, groups and maps.
const CHANGES: [u32; 6] = [0x8923, 0x8924, 0x8931, 0x8932, 0x8937, 0x8971];
/// What only the superuser may ask, and no driver here has: MII registers, bonds, what is stamped.
const CHANGES_OF_NO_DRIVER: [u32; 8] = [0x8947, 0x8948, 0x8949, 0x8990, 0x8991, 0x8992, 0x8995, 0x89b0];
/// What no driver here has: WAN devices, what bonds tell, time stamping.
const OF_NO_DRIVER: [u32; 4] = [0x894a, 0x8993, 0x8994, 0x89b1];
/// Bridges are made and ended, and links put into and taken out of them: who may is asked before anything is read.
const BRIDGES: core::ops::RangeInclusive<u32> = 0x89a0..=0x89a1;
const BRIDGE_PORTS: core::ops::RangeInclusive<u32> = 0x89a2..=0x89a3;
/// Bridges of old, of all links and of one.
const OLD_BRIDGES: [u32; 2] = [0x8940, 0x8941];
/// What drivers have of their own (`SIOCDEVPRIVATE`).
const OF_DRIVERS: core::ops::RangeInclusive<u32> = 0x89f0..=0x89ff;
/// VLANs: the kernel's answer without the module.
const VLAN: [u32; 2] = [0x8982, 0x8983];

/// Octets of a `struct ifreq`: a name and a union.
pub const REQUEST_LEN: usize = 40;
/// Octets of a `struct arpreq`.
pub const ARP_LEN: usize = 68;
/// Octets of a `struct rtentry`, of a `struct in6_rtmsg` and of a `struct in6_ifreq`.
const ROUTE_LEN: usize = 120;
const ROUTE6_LEN: usize = 80;
const ADDRESS6_LEN: usize = 24;
/// The name of a bridge.
const BRIDGE_LEN: usize = NAME_LEN;
const NAME_LEN: usize = 16;
const UNION_LEN: usize = REQUEST_LEN - NAME_LEN;

/// On what socket a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// `AF_INET`.
    Inet,
    /// `AF_INET6`.
    Inet6,
    /// `AF_PACKET`, which hands what is about IPv4's addresses on (`packet_ioctl`).
    Packet,
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
    /// A change, for who may: [`change`] judges it.
    Change {
        /// Octets of the request.
        len: usize,
        /// Whether it is read before it is asked who may.
        read_first: bool,
    },
    /// A descriptor of the socket's name space, for who may.
    NameSpace,
    /// Refused once the request, a `struct ifreq`, has been read.
    Refused(Errno),
    /// Refused without a look.
    Unread(Errno),
}

/// What kind of request it is.
pub fn kind(on: On, request: u32) -> Kind {
    const CHANGE: Kind = Kind::Change {
        len: REQUEST_LEN,
        read_first: true,
    };
    let of_the_few = |len| Kind::Change { len, read_first: false };
    match (on, request) {
        (_, LIST) => Kind::List,
        (_, ETHTOOL) => Kind::Ethtool,
        (On::Inet | On::Packet, ARP) => Kind::Neighbor,
        (On::Inet | On::Packet, ADDRESS | PEER_ADDRESS | BROADCAST | NETMASK)
        | (_, NAME | FLAGS | METRIC | MTU | HARDWARE_ADDRESS | INDEX | QUEUE_LEN | MAP | SLAVE) => Kind::Interface,
        (On::Inet | On::Packet, SET_ADDRESS | SET_PEER_ADDRESS | SET_BROADCAST | SET_NETMASK)
        | (_, SET_FLAGS | SET_METRIC | SET_MTU | SET_QUEUE_LEN | SET_SLAVE) => CHANGE,
        (_, NAME_SPACE) => Kind::NameSpace,
        (On::Inet | On::Packet, ADD_ROUTE | DELETE_ROUTE) => Kind::Change {
            len: ROUTE_LEN,
            read_first: true,
        },
        (On::Inet6, ADD_ROUTE | DELETE_ROUTE) => Kind::Change {
            len: ROUTE6_LEN,
            read_first: true,
        },
        (On::Inet | On::Packet, DELETE_ARP | SET_ARP) => of_the_few(ARP_LEN),
        (On::Inet6, SET_ADDRESS | DELETE_ADDRESS) => of_the_few(ADDRESS6_LEN),
        (On::Inet6, SET_PEER_ADDRESS) => Kind::Unread(Errno::ENODEV),
        (On::Inet, ROUTE_MESSAGE) => Kind::Unread(Errno::EINVAL),
        (On::Inet, PRIVATE_FLAGS | SET_PRIVATE_FLAGS) => Kind::Refused(Errno::EINVAL),
        (_, request) if CHANGES.contains(&request) || CHANGES_OF_NO_DRIVER.contains(&request) => CHANGE,
        (_, request) if BRIDGES.contains(&request) => of_the_few(BRIDGE_LEN),
        (_, request) if BRIDGE_PORTS.contains(&request) => of_the_few(REQUEST_LEN),
        (_, request) if OF_DRIVERS.contains(&request) || OF_NO_DRIVER.contains(&request) => Kind::Interface,
        (_, request) if OLD_BRIDGES.contains(&request) => Kind::Refused(Errno::EOPNOTSUPP),
        (_, request) if VLAN.contains(&request) => Kind::Unread(Errno::ENOPKG),
        _ => Kind::Refused(Errno::ENOTTY),
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

/// What a [`Kind::Change`] of who may is told. The network is the run's, not the program's to change: what is there and would
/// be another is `EPERM`.
pub fn change(stack: &Stack, on: On, request: u32, given: &[u8]) -> Result<(), Errno> {
    /// `AF_INET`.
    const INET: u16 = 2;
    match request {
        ADD_ROUTE | DELETE_ROUTE if on == On::Inet6 => return Err(Errno::EPERM),
        // The destination is behind an unused word (`struct rtentry`).
        ADD_ROUTE | DELETE_ROUTE if u16_at(given, 8) != INET => return Err(Errno::EAFNOSUPPORT),
        DELETE_ARP | SET_ARP if u16_at(given, 0) != INET => return Err(Errno::EPFNOSUPPORT),
        ADD_ROUTE | DELETE_ROUTE | DELETE_ARP | SET_ARP => return Err(Errno::EPERM),
        SET_ADDRESS | DELETE_ADDRESS if on == On::Inet6 => {
            let index = u32_at(given, 20);
            let mut links = stack.links().iter();
            let is_there = links.any(|link| link.id().interface_index() == index);
            return Err(if is_there { Errno::EPERM } else { Errno::ENODEV });
        }
        SET_ADDRESS | SET_PEER_ADDRESS | SET_BROADCAST | SET_NETMASK if u16_at(given, NAME_LEN) != INET => {
            return Err(Errno::EINVAL);
        }
        request if BRIDGES.contains(&request) => return Err(Errno::EPERM),
        _ => (),
    }
    let given = given.first_chunk().ok_or(Errno::EFAULT)?;
    if is_so_already(stack, request, given)? {
        return Ok(());
    }
    let (_, plain) = named(&given[..NAME_LEN]);
    link_named(stack, plain).ok_or(Errno::ENODEV)?;
    Err(match request {
        // Neither a bond's nor a bridge's.
        SET_SLAVE => Errno::EINVAL,
        request if CHANGES_OF_NO_DRIVER.contains(&request) || BRIDGE_PORTS.contains(&request) => Errno::EOPNOTSUPP,
        _ => Errno::EPERM,
    })
}

/// Whether what a change asks for is so: scripts in a name space of their own begin by setting `lo` up.
fn is_so_already(stack: &Stack, request: u32, given: &[u8; REQUEST_LEN]) -> Result<bool, Errno> {
    // The flags that decide what a link hears; others are the kernel's own, or change nothing here.
    const CHANGEABLE: u32 = interface::UP | interface::PROMISCUOUS | interface::ALL_MULTICAST;
    let asks = match request {
        SET_FLAGS => FLAGS,
        SET_ADDRESS => ADDRESS,
        SET_PEER_ADDRESS => PEER_ADDRESS,
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
        SET_ADDRESS | SET_PEER_ADDRESS | SET_BROADCAST | SET_NETMASK => {
            is[..2] == wanted[..2] && is[4..8] == wanted[4..8]
        }
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
        // Links that are no serial lines.
        SLAVE => return Err(Errno::EINVAL),
        request if OF_DRIVERS.contains(&request) || OF_NO_DRIVER.contains(&request) => return Err(Errno::EOPNOTSUPP),
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
