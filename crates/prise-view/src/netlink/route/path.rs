//! Routes: `RTM_NEWROUTE` (`fib_dump_info`, `rt6_fill_node`).

use super::{
    AF_INET, AF_INET6, BY_BOOT, BY_KERNEL, Listing, NEW_ROUTE, Reply, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE,
    TABLE_LOCAL, TABLE_MAIN,
};
use crate::View;
use crate::netlink::message::Message;
use crate::octets::{AddressOctets, u8_at, u32_at};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use prise_socket::Errno;
use prise_stack::{LinkId, Stack};
use prise_wire::IpCidr;

/// Octets of a `struct rtmsg`.
pub(super) const HEADER_LEN: usize = 12;

pub(super) const DESTINATION: u16 = 1;
pub(super) const SOURCE: u16 = 2;
pub(super) const OUTPUT_LINK: u16 = 4;
pub(super) const GATEWAY: u16 = 5;
pub(super) const PRIORITY: u16 = 6;
pub(super) const PREFERRED_SOURCE: u16 = 7;
pub(super) const CACHE: u16 = 12;
const TABLE: u16 = 15;
pub(super) const PREFERENCE: u16 = 20;

/// `RTN_UNICAST`, `RTN_LOCAL`, `RTN_BROADCAST`, `RTN_MULTICAST`.
pub(super) const UNICAST: u8 = 1;
pub(super) const LOCAL: u8 = 2;
pub(super) const BROADCAST: u8 = 3;
pub(super) const MULTICAST: u8 = 5;

/// `RTM_F_CLONED`.
pub(super) const CLONED: u32 = 0x200;

/// The metric of a route to a link's own prefix, and of one that was added without, for IPv6.
const METRIC_LINK: u32 = 256;
const METRIC_ADDED: u32 = 1024;

/// One route, as the kernel has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) prefix: IpCidr,
    pub(super) table: u8,
    pub(super) by: u8,
    pub(super) scope: u8,
    pub(super) kind: u8,
    pub(crate) link: LinkId,
    pub(crate) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
    pub(crate) metric: u32,
}

impl Entry {
    /// Its scope in words (`rtn_scope`).
    pub(crate) fn scope_name(&self) -> &'static str {
        match self.scope {
            SCOPE_HOST => "host",
            SCOPE_LINK => "link",
            _ => "universe",
        }
    }

    /// Its type in words (`rtn_type_names`).
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            LOCAL => "LOCAL",
            BROADCAST => "BROADCAST",
            MULTICAST => "MULTICAST",
            _ => "UNICAST",
        }
    }

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
    /// `RTNL_FAMILY_IPMR`, `RTNL_FAMILY_IP6MR`: routes of multicast, of which there are none.
    const OF_MULTICAST: [u8; 2] = [128, 129];
    if OF_MULTICAST.contains(&listing.family()) {
        return Ok(());
    }
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

pub(super) fn message(entry: &Entry, reply: Reply) -> Vec<u8> {
    let ipv4 = entry.prefix.is_ipv4();
    let mut message = begin(entry, (entry.prefix.prefix_len(), 0), 0, reply);
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

/// `lens`: of the prefixes of the destination and the source.
pub(super) fn begin(entry: &Entry, lens: (u8, u8), flags: u32, reply: Reply) -> Message {
    let family = if entry.prefix.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(&[
        family,
        lens.0,
        lens.1,
        0,
        entry.table,
        entry.by,
        entry.scope,
        entry.kind,
    ]);
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    let mut message = Message::new(NEW_ROUTE, reply.flags, reply.sequence, reply.port).with(&header);
    message.u32(TABLE, entry.table.into());
    message
}
