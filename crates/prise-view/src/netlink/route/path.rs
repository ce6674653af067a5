//! Routes: `RTM_NEWROUTE` (`fib_dump_info`, `rt6_fill_node`), and the way to one destination (`ip route get`).

use super::{
    AF_INET, AF_INET6, BY_BOOT, BY_KERNEL, Listing, NEW_ROUTE, Reply, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE,
    TABLE_LOCAL, TABLE_MAIN,
};
use crate::View;
use crate::netlink::message::{Message, Request};
use crate::octets::{AddressOctets, address, u8_at, u32_at};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use prise_socket::Errno;
use prise_stack::{LinkId, RouteError, Stack};
use prise_wire::IpCidr;

/// Octets of a `struct rtmsg`.
const HEADER_LEN: usize = 12;

const DESTINATION: u16 = 1;
const SOURCE: u16 = 2;
const OUTPUT_LINK: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const PREFERRED_SOURCE: u16 = 7;
const CACHE: u16 = 12;
const TABLE: u16 = 15;
const PREFERENCE: u16 = 20;
const USER: u16 = 25;

/// `RTN_UNICAST`, `RTN_LOCAL`, `RTN_BROADCAST`, `RTN_MULTICAST`.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
const MULTICAST: u8 = 5;

/// `RTM_F_CLONED`.
const CLONED: u32 = 0x200;
/// `RTCF_LOCAL`.
const TO_US: u32 = 0x8000_0000;

/// The metric of a route to a link's own prefix, and of one that was added without, for IPv6.
const METRIC_LINK: u32 = 256;
const METRIC_ADDED: u32 = 1024;

/// One route, as the kernel has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) prefix: IpCidr,
    table: u8,
    by: u8,
    scope: u8,
    kind: u8,
    pub(crate) link: LinkId,
    pub(crate) gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    pub(crate) metric: u32,
}

impl Entry {
    /// Whether it makes an address this host's own (`RTN_LOCAL`).
    pub(crate) fn is_local(&self) -> bool {
        self.kind == LOCAL
    }
}

/// Every route: those that packets are sent by, and those that make this host's own addresses its own.
pub(crate) fn entries(stack: &Stack) -> Vec<Entry> {
    let mut all = Vec::new();
    for ipv4 in [true, false] {
        sending(stack, ipv4, &mut all);
        receiving(stack, ipv4, &mut all);
    }
    all
}

/// The main table, as the kernel walks it: the shortest prefix first in IPv4, the longest in IPv6.
fn sending(stack: &Stack, ipv4: bool, all: &mut Vec<Entry>) {
    let first = all.len();
    let own = stack.routes().filter(|route| route.prefix.is_ipv4() == ipv4);
    all.extend(own.map(|route| {
        let added = route.gateway.is_some();
        let default_metric = match (ipv4, added) {
            (true, _) => 0,
            (false, true) => METRIC_ADDED,
            (false, false) => METRIC_LINK,
        };
        Entry {
            prefix: route.prefix,
            table: TABLE_MAIN,
            by: if added { BY_BOOT } else { BY_KERNEL },
            scope: if added || !ipv4 { SCOPE_UNIVERSE } else { SCOPE_LINK },
            kind: UNICAST,
            link: route.link,
            gateway: route.gateway,
            source: route.source.filter(|_| ipv4),
            metric: if route.metric == 0 {
                default_metric
            } else {
                route.metric
            },
        }
    }));
    all[first..].sort_by_key(|entry| {
        let len = entry.prefix.prefix_len();
        (if ipv4 { len } else { u8::MAX - len }, entry.prefix.address())
    });
}

/// The local table.
fn receiving(stack: &Stack, ipv4: bool, all: &mut Vec<Entry>) {
    let first = all.len();
    let plain = |prefix: IpCidr, kind: u8, link: LinkId| Entry {
        prefix,
        table: TABLE_LOCAL,
        by: BY_KERNEL,
        scope: if ipv4 { SCOPE_HOST } else { SCOPE_UNIVERSE },
        kind,
        link,
        gateway: None,
        source: None,
        metric: 0,
    };
    for have in stack.addresses().iter().filter(|have| have.cidr.is_ipv4() == ipv4) {
        let address = have.cidr.address();
        let local = Entry {
            source: Some(address).filter(|_| ipv4),
            ..plain(IpCidr::host(address), LOCAL, have.link)
        };
        if ipv4 && address.is_loopback() && have.cidr != IpCidr::host(address) {
            all.push(Entry {
                prefix: have.cidr.network(),
                ..local
            });
        }
        all.push(local);
        if let Some(broadcast) = have.cidr.broadcast().filter(|_| have.cidr.prefix_len() < 31) {
            all.push(Entry {
                scope: SCOPE_LINK,
                kind: BROADCAST,
                prefix: IpCidr::host(broadcast.into()),
                ..local
            });
        }
    }
    if !ipv4 {
        let groups = IpCidr::new(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8);
        let links = stack.links().iter().filter(|link| !link.is_loopback());
        all.extend(links.zip(groups.into_iter().cycle()).map(|(link, prefix)| Entry {
            metric: METRIC_LINK,
            ..plain(prefix, MULTICAST, link.id())
        }));
    }
    all[first..].sort_by_key(|entry| match entry.prefix.address() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 8 | u128::from(entry.prefix.prefix_len()),
        IpAddr::V6(v6) => v6.to_bits(),
    });
}

/// `RTM_GETROUTE` with `NLM_F_DUMP`.
pub(super) fn all(
    view: &View<'_>,
    listing: Listing<'_>,
    reply: Reply,
    messages: &mut Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let request = listing.request;
    let mut wanted: (Option<u32>, Option<u32>, u8, u8) = (None, None, 0, 0);
    if listing.strict {
        if request.body.len() < HEADER_LEN || request.body[1..4].iter().any(|&it| it != 0) {
            return Err(Errno::EINVAL);
        }
        let attributes = request.attributes(HEADER_LEN);
        let table = u32::from(u8_at(request.body, 4));
        let table = attributes.number(TABLE).unwrap_or(table);
        wanted = (
            Some(table).filter(|&table| table != 0),
            attributes.number(OUTPUT_LINK),
            u8_at(request.body, 5),
            u8_at(request.body, 7),
        );
        // fib_dump_info asks for a table that is not there.
        if let Some(table) = wanted.0
            && ![TABLE_MAIN, TABLE_LOCAL].map(u32::from).contains(&table)
        {
            return Err(Errno::ENOENT);
        }
    } else if request.body.len() >= HEADER_LEN && u32_at(request.body, 8) & CLONED != 0 {
        // The routing cache, of which there is none.
        return Ok(());
    }
    let (table, link, by, kind) = wanted;
    let reply = reply.filtered(table.is_some() || link.is_some() || by != 0 || kind != 0);
    let fits = |entry: &Entry| {
        listing.wants(entry.prefix.is_ipv4())
            && table.is_none_or(|table| table == u32::from(entry.table))
            && link.is_none_or(|link| link == entry.link.interface_index())
            && (by == 0 || by == entry.by)
            && (kind == 0 || kind == entry.kind)
    };
    let entries = entries(view.host.stack());
    messages.extend(
        entries
            .iter()
            .filter(|entry| fits(entry))
            .map(|entry| message(entry, reply)),
    );
    Ok(())
}

fn message(entry: &Entry, reply: Reply) -> Vec<u8> {
    let ipv4 = entry.prefix.is_ipv4();
    let mut message = begin(entry, entry.prefix.prefix_len(), 0, reply);
    if entry.prefix.prefix_len() > 0 {
        let octets = AddressOctets::of(entry.prefix.address());
        message.attribute(DESTINATION, octets.as_slice());
    }
    if entry.metric != 0 || !ipv4 {
        message.u32(PRIORITY, entry.metric);
    }
    if let Some(source) = entry.source {
        message.attribute(PREFERRED_SOURCE, AddressOctets::of(source).as_slice());
    }
    if let Some(gateway) = entry.gateway {
        message.attribute(GATEWAY, AddressOctets::of(gateway).as_slice());
    }
    message.u32(OUTPUT_LINK, entry.link.interface_index());
    if !ipv4 {
        message.attribute(CACHE, &[0; 32]);
        message.u8(PREFERENCE, 0);
    }
    message.finish()
}

fn begin(entry: &Entry, prefix_len: u8, flags: u32, reply: Reply) -> Message {
    let family = if entry.prefix.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(&[family, prefix_len, 0, 0, entry.table, entry.by, entry.scope, entry.kind]);
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    let mut message = Message::new(NEW_ROUTE, reply.flags, reply.sequence, reply.port).with(&header);
    message.u32(TABLE, entry.table.into());
    message
}

/// `RTM_GETROUTE`: the way to a destination (`inet_rtm_getroute`, `inet6_rtm_getroute`).
pub(super) fn one(view: &View<'_>, request: Request<'_>, reply: Reply) -> Result<Vec<u8>, Errno> {
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
    let unspecified: IpAddr = if ipv4 {
        [0; 4].into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let destination = given(DESTINATION)?.unwrap_or(unspecified);
    let source = given(SOURCE)?.filter(|source| !source.is_unspecified());
    let device = attributes.number(OUTPUT_LINK).and_then(LinkId::from_interface_index);
    let stack = view.host.stack();
    if source.is_some_and(|source| !stack.is_local(source)) {
        return Err(Errno::EINVAL);
    }
    // Nowhere is here, as for connect(2).
    let towards = match destination {
        IpAddr::V4(v4) if v4.is_unspecified() => [127, 0, 0, 1].into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        given => given,
    };
    let route = stack.route(towards, source, device).map_err(|error| match error {
        RouteError::NoRoute => Errno::ENETUNREACH,
        RouteError::NoSource if ipv4 => Errno::ENETUNREACH,
        RouteError::NoSource => Errno::EADDRNOTAVAIL,
        RouteError::InvalidSource | RouteError::InvalidDestination => Errno::EINVAL,
    })?;
    let all = entries(stack);
    let matching = |entry: &&Entry| {
        let table = if route.loopback { TABLE_LOCAL } else { TABLE_MAIN };
        entry.prefix.contains(towards) && entry.table == table && (route.loopback || entry.link == route.link)
    };
    let best = all
        .iter()
        .filter(matching)
        .max_by_key(|entry| entry.prefix.prefix_len());
    let broadcast = stack.is_broadcast(towards);
    let kind = match (route.loopback, towards.is_multicast(), broadcast) {
        (true, ..) => LOCAL,
        (_, true, _) => MULTICAST,
        (_, _, true) => BROADCAST,
        _ => UNICAST,
    };
    let link = if route.loopback {
        let loopback = stack.links().iter().find(|link| link.is_loopback());
        loopback.map_or(route.link, prise_stack::Link::id)
    } else {
        route.link
    };
    let gateway = (route.next_hop != towards && !route.loopback && !broadcast).then_some(route.next_hop);
    let entry = Entry {
        prefix: IpCidr::host(destination),
        // For IPv4 the cache says "main" whatever the table was.
        table: best.filter(|_| !ipv4).map_or(TABLE_MAIN, |best| best.table),
        by: best.filter(|_| !ipv4).map_or(0, |best| best.by),
        scope: SCOPE_UNIVERSE,
        kind,
        link,
        gateway,
        source: Some(route.source),
        metric: best.map_or(0, |best| best.metric),
    };
    Ok(way(&entry, reply))
}

fn way(entry: &Entry, reply: Reply) -> Vec<u8> {
    let ipv4 = entry.prefix.is_ipv4();
    let local = if entry.kind == LOCAL { TO_US } else { 0 };
    let flags = if ipv4 { CLONED | local } else { 0 };
    let mut message = begin(entry, entry.prefix.prefix_len(), flags, reply);
    message.attribute(DESTINATION, AddressOctets::of(entry.prefix.address()).as_slice());
    if ipv4 {
        message.u32(OUTPUT_LINK, entry.link.interface_index());
    } else {
        message.attribute(SOURCE, &[0; 16]);
    }
    if let Some(source) = entry.source {
        message.attribute(PREFERRED_SOURCE, AddressOctets::of(source).as_slice());
    }
    if !ipv4 {
        message.u32(PRIORITY, entry.metric);
    }
    if let Some(gateway) = entry.gateway {
        message.attribute(GATEWAY, AddressOctets::of(gateway).as_slice());
    }
    if ipv4 {
        message.u32(USER, 0);
    } else {
        message.u32(OUTPUT_LINK, entry.link.interface_index());
    }
    message.attribute(CACHE, &[0; 32]);
    if !ipv4 {
        message.u8(PREFERENCE, 0);
    }
    message.finish()
}
