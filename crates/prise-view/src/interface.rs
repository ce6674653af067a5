//! What Linux says of a link, whoever asks: netlink, `netdevice(7)` or `/proc/net`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use prise_stack::{Link, Stack};
use prise_wire::IpCidr;

/// `IFF_UP`.
pub const UP: u32 = 0x1;
/// `IFF_BROADCAST`.
pub const BROADCAST: u32 = 0x2;
/// `IFF_LOOPBACK`.
pub const LOOPBACK: u32 = 0x8;
/// `IFF_POINTOPOINT`.
pub const POINT_TO_POINT: u32 = 0x10;
/// `IFF_RUNNING`.
pub const RUNNING: u32 = 0x40;
/// `IFF_NOARP`.
pub const NO_ARP: u32 = 0x80;
/// `IFF_PROMISC`.
pub const PROMISCUOUS: u32 = 0x100;
/// `IFF_ALLMULTI`.
pub const ALL_MULTICAST: u32 = 0x200;
/// `IFF_MULTICAST`.
pub const MULTICAST: u32 = 0x1000;
/// `IFF_LOWER_UP`.
pub const LOWER_UP: u32 = 0x1_0000;

/// Packets that may wait on a link (`txqueuelen`): Linux's default for virtual ones.
pub const QUEUE_LEN: u32 = 1000;

/// The flags, all 32 bits; `SIOCGIFFLAGS` shows the lower half.
pub fn flags(link: &Link) -> u32 {
    let kind = match (link.is_loopback(), link.mac()) {
        (true, _) => LOOPBACK,
        (false, Some(_)) => BROADCAST | MULTICAST,
        (false, None) => POINT_TO_POINT | NO_ARP | MULTICAST,
    };
    UP | RUNNING | LOWER_UP | kind
}

/// The hardware type (`ARPHRD_*`, linux/if_arp.h).
pub fn hardware_type(link: &Link) -> u16 {
    match (link.is_loopback(), link.mac()) {
        (true, _) => 772,
        (false, Some(_)) => 1,
        (false, None) => 0xfffe,
    }
}

/// The hardware address; that of `lo` is six zeros.
pub fn hardware_address(link: &Link) -> Option<[u8; 6]> {
    match link.mac() {
        Some(mac) => Some(mac.0),
        None => link.is_loopback().then_some([0; 6]),
    }
}

/// The addresses of a link, in the order in which it got them.
pub fn addresses<'a>(stack: &'a Stack, link: &Link) -> impl Iterator<Item = IpCidr> + use<'a> {
    let id = link.id();
    let own = stack.addresses().iter().filter(move |have| have.link == id);
    own.map(|have| have.cidr)
}

/// The IPv4 addresses of a link, with their prefix lengths.
pub fn ipv4_addresses<'a>(stack: &'a Stack, link: &Link) -> impl Iterator<Item = (Ipv4Addr, u8)> + use<'a> {
    addresses(stack, link).filter_map(|cidr| match cidr.address() {
        IpAddr::V4(address) => Some((address, cidr.prefix_len())),
        IpAddr::V6(_) => None,
    })
}

/// The IPv6 addresses of a link, with their prefix lengths.
pub fn ipv6_addresses<'a>(stack: &'a Stack, link: &Link) -> impl Iterator<Item = (Ipv6Addr, u8)> + use<'a> {
    addresses(stack, link).filter_map(|cidr| match cidr.address() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some((address, cidr.prefix_len())),
    })
}

/// The broadcast address that goes with an address; loopback links have none.
pub fn broadcast(link: &Link, address: Ipv4Addr, prefix_len: u8) -> Option<Ipv4Addr> {
    if link.is_loopback() || prefix_len > 30 {
        return None;
    }
    IpCidr::new(address.into(), prefix_len)?.broadcast()
}
