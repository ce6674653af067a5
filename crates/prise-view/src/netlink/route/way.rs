//! The way to one destination: `RTM_GETROUTE` without `NLM_F_DUMP`, as `ip route get` asks (`inet_rtm_getroute`, `ip_route_output_key`,
//! `inet6_rtm_getroute`).

use super::path::{
    BROADCAST, CACHE, CLONED, DESTINATION, Entry, GATEWAY, HEADER_LEN, LOCAL, MULTICAST, OUTPUT_LINK, PREFERENCE,
    PREFERRED_SOURCE, PRIORITY, SOURCE, UNICAST, begin, entries, message,
};
use super::{AF_INET, AF_INET6, Reply, SCOPE_UNIVERSE, TABLE_LOCAL, TABLE_MAIN};
use crate::View;
use crate::netlink::message::Request;
use crate::octets::{AddressOctets, address, u8_at, u32_at};
use crate::view::Who;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use prise_socket::Errno;
use prise_stack::{LinkId, Stack};
use prise_wire::IpCidr;

const USER: u16 = 25;

/// `RTM_F_FIB_MATCH`: the route itself is asked for, not the way.
const WHOLE_ROUTE: u32 = 0x2000;

/// `RTCF_BROADCAST`, `RTCF_MULTICAST`, `RTCF_LOCAL`.
const TO_ALL: u32 = 0x1000_0000;
const TO_GROUP: u32 = 0x2000_0000;
const TO_US: u32 = 0x8000_0000;

/// What is asked.
#[derive(Clone, Copy, Debug)]
struct Asked<A> {
    destination: A,
    source: Option<A>,
    device: Option<LinkId>,
}

/// The answer.
pub(super) fn one(view: &View<'_>, who: Who<'_>, request: Request<'_>, reply: Reply) -> Result<Vec<u8>, Errno> {
    if request.body.len() < HEADER_LEN {
        return Err(Errno::EINVAL);
    }
    let ipv4 = match u8_at(request.body, 0) {
        AF_INET => true,
        AF_INET6 => false,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let attributes = request.attributes(HEADER_LEN);
    let given = |kind: u16| match attributes.get(kind).map(address) {
        Some(Some(address)) if address.is_ipv4() == ipv4 => Ok(Some(address)),
        Some(_) => Err(Errno::EINVAL),
        None => Ok(None),
    };
    let (destination, source) = (given(DESTINATION)?, given(SOURCE)?.filter(|it| !it.is_unspecified()));
    let stack = view.host.stack();
    let index = attributes.number(OUTPUT_LINK).filter(|&index| index != 0);
    let there = |index: u32| {
        let id = LinkId::from_interface_index(index);
        id.filter(|&id| stack.links().iter().any(|link| link.id() == id))
    };
    let device = match index.map(there) {
        Some(None) => return Err(if ipv4 { Errno::ENODEV } else { Errno::ENETUNREACH }),
        device => device.flatten(),
    };
    let as_v4 = |it: Option<IpAddr>| match it {
        Some(IpAddr::V4(it)) => it,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let found = if ipv4 {
        v4(
            stack,
            Asked {
                destination: as_v4(destination),
                source: source.map(|it| as_v4(Some(it))),
                device,
            },
        )?
    } else {
        let destination = destination.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
        v6(
            stack,
            Asked {
                destination,
                source,
                device,
            },
        )?
    };
    if u32_at(request.body, 8) & WHOLE_ROUTE != 0
        && let Some(route) = found.route
    {
        return Ok(message(&route, reply));
    }
    let user = ipv4.then(|| attributes.number(USER).unwrap_or_else(|| (who.uid)()));
    Ok(way(&found, source, user, reply))
}

/// What was found.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The way, in the form of a route to the destination alone.
    way: Entry,
    /// The route that it comes from.
    route: Option<Entry>,
    flags: u32,
}

/// The route by which packets for an address leave, by a link or by any: the local table comes first.
fn lookup(stack: &Stack, towards: IpAddr, device: Option<LinkId>) -> Option<Entry> {
    let all = entries(stack);
    let fits = all
        .into_iter()
        .filter(|entry| entry.prefix.contains(towards) && device.is_none_or(|device| device == entry.link));
    fits.max_by_key(|entry| (entry.table == TABLE_LOCAL, entry.prefix.prefix_len()))
}

/// The address that a host speaks from on a link where nothing else says (`inet_select_addr`): of `lo` nobody speaks to others.
fn speaker(stack: &Stack, link: LinkId) -> Option<Ipv4Addr> {
    let speaks = |at: Option<LinkId>| {
        stack.addresses().iter().find_map(|have| match have.cidr.address() {
            IpAddr::V4(own) if !own.is_loopback() && at.is_none_or(|at| at == have.link) => Some(own),
            _ => None,
        })
    };
    speaks(Some(link)).or_else(|| speaks(None))
}

/// `ip_route_output_key_hash_rcu`, in its order.
fn v4(stack: &Stack, asked: Asked<Ipv4Addr>) -> Result<Found, Errno> {
    let Asked {
        destination,
        source,
        mut device,
    } = asked;
    let to_all = destination.is_multicast() || destination.is_broadcast();
    if let Some(source) = source {
        if source.is_multicast() || source.is_broadcast() || source.octets()[0] == 0 {
            return Err(Errno::EINVAL);
        }
        if !stack.is_local(source.into()) {
            return Err(Errno::ENETUNREACH);
        }
        if to_all && device.is_none() {
            device = lookup(stack, source.into(), None).map(|own| own.link);
        }
    }
    let loopback = stack.links().iter().find(|link| link.is_loopback());
    let loopback = loopback.map(prise_stack::Link::id).ok_or(Errno::ENETUNREACH)?;
    let nowhere = destination.is_unspecified();
    let route = if nowhere || (to_all && device.is_some()) {
        None
    } else {
        lookup(stack, destination.into(), device)
    };
    let kind = match route {
        _ if destination.is_multicast() => MULTICAST,
        _ if destination.is_broadcast() => BROADCAST,
        _ if nowhere => LOCAL,
        Some(route) => route.kind,
        None => UNICAST,
    };
    let link = match (route, device) {
        _ if kind == LOCAL => loopback,
        (Some(route), _) => route.link,
        // Without a route it is taken to be on the link that was named.
        (None, Some(device)) => device,
        (None, None) => return Err(Errno::ENETUNREACH),
    };
    let chosen = match (source, route.and_then(|route| route.source)) {
        (Some(source), _) => Some(source.into()),
        (None, Some(own)) => Some(own),
        (None, None) if nowhere && device.is_none_or(|it| it == loopback) => Some(Ipv4Addr::LOCALHOST.into()),
        (None, None) => speaker(stack, device.unwrap_or(link)).map(IpAddr::V4),
    };
    if link != loopback && chosen.is_some_and(|source| source.is_loopback()) {
        return Err(Errno::EINVAL);
    }
    let gateway = route.filter(|_| kind == UNICAST).and_then(|route| route.gateway);
    let flags = match kind {
        MULTICAST => TO_GROUP,
        BROADCAST => TO_ALL | TO_US,
        _ if link == loopback => TO_US,
        _ => 0,
    };
    let way = Entry {
        prefix: IpCidr::host(destination.into()),
        // The cache says "main" whatever the table was.
        table: TABLE_MAIN,
        by: 0,
        scope: SCOPE_UNIVERSE,
        kind,
        link,
        gateway,
        source: chosen,
        metric: 0,
    };
    Ok(Found {
        way,
        route,
        flags: CLONED | flags,
    })
}

/// `ip6_route_output`: a source that is named is not looked at.
fn v6(stack: &Stack, asked: Asked<IpAddr>) -> Result<Found, Errno> {
    let route = lookup(stack, asked.destination, asked.device).ok_or(Errno::ENETUNREACH)?;
    let loopback = stack.links().iter().find(|link| link.is_loopback());
    let link = match loopback {
        Some(loopback) if route.kind == LOCAL => loopback.id(),
        _ => route.link,
    };
    let source = if route.kind == LOCAL {
        Some(asked.destination)
    } else {
        let towards = match asked.destination {
            nowhere if nowhere.is_unspecified() => route.gateway.unwrap_or(nowhere),
            given => given,
        };
        stack.route(towards, None, Some(link)).ok().map(|way| way.source)
    };
    let way = Entry {
        prefix: IpCidr::host(asked.destination),
        link,
        source,
        ..route
    };
    Ok(Found {
        way,
        route: Some(route),
        flags: 0,
    })
}

/// `rt_fill_info`, `rt6_fill_node`. `from`: the source that was named; `user`: for whom, which IPv4 tells.
fn way(found: &Found, from: Option<IpAddr>, user: Option<u32>, reply: Reply) -> Vec<u8> {
    let entry = &found.way;
    let ipv4 = entry.prefix.is_ipv4();
    let octets = AddressOctets::of(entry.prefix.address());
    // That of IPv6 is told even where there is none.
    let from = from.or((!ipv4).then_some(Ipv6Addr::UNSPECIFIED.into()));
    let from_len = from.map_or(0, |from| IpCidr::host(from).prefix_len());
    let mut message = begin(entry, (entry.prefix.prefix_len(), from_len), found.flags, reply);
    message.attribute(DESTINATION, octets.as_slice());
    if let Some(from) = from {
        message.attribute(SOURCE, AddressOctets::of(from).as_slice());
    }
    if ipv4 {
        message.u32(OUTPUT_LINK, entry.link.interface_index());
    }
    if let Some(source) = entry.source.filter(|_| !ipv4 || from.is_none()) {
        message.attribute(PREFERRED_SOURCE, AddressOctets::of(source).as_slice());
    }
    if !ipv4 {
        message.u32(PRIORITY, entry.metric);
    }
    if let Some(gateway) = entry.gateway {
        message.attribute(GATEWAY, AddressOctets::of(gateway).as_slice());
    }
    if let Some(user) = user {
        message.u32(USER, user);
    }
    if !ipv4 {
        message.u32(OUTPUT_LINK, entry.link.interface_index());
    }
    message.attribute(CACHE, &[0; 32]);
    if !ipv4 {
        message.u8(PREFERENCE, 0);
    }
    message.finish()
}
