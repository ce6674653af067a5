//! Addresses: `RTM_NEWADDR` (`inet_fill_ifaddr`, `inet6_fill_ifaddr`).

use super::link::index_at;
use super::{AF_INET, AF_INET6, Listing, NEW_ADDRESS, Reply, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE};
use crate::View;
use crate::interface;
use crate::netlink::message::{Message, Request};
use crate::octets::{AddressOctets, address, u8_at};
use alloc::vec::Vec;
use core::net::IpAddr;
use prise_socket::Errno;
use prise_stack::{Link, LinkAddress};

/// Octets of a `struct ifaddrmsg`.
const HEADER_LEN: usize = 8;

const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const LABEL: u16 = 3;
const BROADCAST: u16 = 4;
const TIMES: u16 = 6;
const FLAGS: u16 = 8;
const ORIGIN: u16 = 11;

/// `IFA_F_PERMANENT`.
const PERMANENT: u32 = 0x80;

/// `RTM_GETADDR` with `NLM_F_DUMP`: IPv4 first, each family by link.
pub(super) fn all(
    view: &View<'_>,
    listing: Listing<'_>,
    reply: Reply,
    messages: &mut Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let body = listing.request.body;
    if listing.strict && (body.len() < HEADER_LEN || body[1..4].iter().any(|&it| it != 0)) {
        return Err(Errno::EINVAL);
    }
    let only = index_at(body, 4).filter(|_| listing.strict);
    let reply = reply.filtered(only.is_some());
    let stack = view.host.stack();
    if let Some(only) = only
        && !stack.links().iter().any(|link| link.id() == only)
    {
        return Err(Errno::ENODEV);
    }
    for ipv4 in [true, false] {
        for link in stack.links().iter().filter(|_| listing.wants(ipv4)) {
            let own = stack.addresses().iter().filter(|have| have.link == link.id());
            let own = own.filter(|have| have.cidr.is_ipv4() == ipv4 && only.is_none_or(|only| only == have.link));
            messages.extend(own.map(|have| message(link, have, reply)));
        }
    }
    Ok(())
}

/// Whether the link that a change names has the address that it is to get.
pub(super) fn is_there_already(view: &View<'_>, request: Request<'_>) -> bool {
    if request.body.len() < HEADER_LEN {
        return false;
    }
    let attributes = request.attributes(HEADER_LEN);
    let wanted = attributes
        .get(LOCAL)
        .or_else(|| attributes.get(ADDRESS))
        .and_then(address);
    let (link, prefix) = (index_at(request.body, 4), u8_at(request.body, 1));
    let addresses = view.host.stack().addresses();
    addresses
        .iter()
        .any(|have| Some(have.cidr.address()) == wanted && Some(have.link) == link && have.cidr.prefix_len() == prefix)
}

/// `RTM_GETADDR`: one address; of IPv4 ones only lists are given.
pub(super) fn one(view: &View<'_>, request: Request<'_>, reply: Reply) -> Result<Vec<u8>, Errno> {
    if u8_at(request.body, 0) != AF_INET6 {
        return Err(Errno::EOPNOTSUPP);
    }
    if request.body.len() < HEADER_LEN {
        return Err(Errno::EINVAL);
    }
    let attributes = request.attributes(HEADER_LEN);
    let wanted = attributes
        .get(LOCAL)
        .or_else(|| attributes.get(ADDRESS))
        .and_then(address);
    let wanted = wanted.ok_or(Errno::EINVAL)?;
    let stack = view.host.stack();
    let have = stack.addresses().iter().find(|have| have.cidr.address() == wanted);
    let have = have.ok_or(Errno::EADDRNOTAVAIL)?;
    let link = stack.links().iter().find(|link| link.id() == have.link);
    link.map(|link| message(link, have, reply)).ok_or(Errno::EADDRNOTAVAIL)
}

fn message(link: &Link, have: &LinkAddress, reply: Reply) -> Vec<u8> {
    let (address, prefix_len) = (have.cidr.address(), have.cidr.prefix_len());
    let (family, scope) = match address {
        IpAddr::V4(v4) if v4.is_loopback() => (AF_INET, SCOPE_HOST),
        IpAddr::V4(_) => (AF_INET, SCOPE_UNIVERSE),
        IpAddr::V6(v6) if v6.is_loopback() => (AF_INET6, SCOPE_HOST),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => (AF_INET6, SCOPE_LINK),
        IpAddr::V6(_) => (AF_INET6, SCOPE_UNIVERSE),
    };
    let mut header = [family, prefix_len, PERMANENT as u8, scope, 0, 0, 0, 0];
    header[4..].copy_from_slice(&link.id().interface_index().to_ne_bytes());
    let mut message = Message::new(NEW_ADDRESS, reply.flags, reply.sequence, reply.port).with(&header);
    let octets = AddressOctets::of(address);
    message.attribute(ADDRESS, octets.as_slice());
    match address {
        IpAddr::V4(v4) => {
            message.attribute(LOCAL, octets.as_slice());
            if let Some(broadcast) = interface::broadcast(link, v4, prefix_len) {
                message.attribute(BROADCAST, &broadcast.octets());
            }
            message.text(LABEL, link.name());
            message.u32(FLAGS, PERMANENT);
            message.attribute(TIMES, &times());
        }
        IpAddr::V6(v6) => {
            message.attribute(TIMES, &times());
            message.u32(FLAGS, PERMANENT);
            // IFAPROT_KERNEL_LO, IFAPROT_KERNEL_LL.
            if v6.is_loopback() {
                message.u8(ORIGIN, 1);
            } else if v6.is_unicast_link_local() {
                message.u8(ORIGIN, 3);
            }
        }
    }
    message.finish()
}

/// `struct ifa_cacheinfo`: preferred and valid for ever.
fn times() -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].fill(0xff);
    octets
}
