//! Settings of links (`RTM_NEWNETCONF`: `inet_netconf_fill_devconf`, `inet6_netconf_fill_devconf`), labels of addresses
//! (`RTM_NEWADDRLABEL`, RFC 6724 §2.1: `ip6addrlbl_fill`) and queueing disciplines (`RTM_NEWQDISC`: `tc_fill_qdisc`). None of them was ever
//! changed: they are as Linux begins.

use super::{AF_INET, AF_INET6, Listing, NEW_LABEL, NEW_QUEUEING, NEW_SETTINGS, Reply};
use crate::View;
use crate::netlink::message::{Message, Request};
use crate::octets::{AddressOctets, address, u8_at};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use prise_socket::Errno;
use prise_wire::IpCidr;

/// `NETCONFA_ALL`, `NETCONFA_IFINDEX_DEFAULT`.
const ALL: i32 = -1;
const DEFAULT: i32 = -2;

/// `NETCONFA_IFINDEX` and, of those that follow, whether IPv4 alone has them: forwarding, the filter of sources, multicast forwarding,
/// broadcast forwarding, answering for neighbors, passing over routes of links without a carrier.
const INDEX: u16 = 1;
const SETTINGS: [(u16, bool); 6] = [(2, false), (3, true), (4, false), (8, true), (5, false), (6, false)];

/// `RTM_GETNETCONF` with `NLM_F_DUMP`: each link's, then those of all and those of links to come.
pub(super) fn all(view: &View<'_>, listing: Listing<'_>, reply: Reply, messages: &mut Vec<Vec<u8>>) {
    for family in [AF_INET, AF_INET6] {
        if listing.wants(family == AF_INET) {
            let links = view.host.stack().links().iter();
            let links = links.map(|link| link.id().interface_index() as i32);
            messages.extend(links.chain([ALL, DEFAULT]).map(|index| settings(family, index, reply)));
        }
    }
}

/// `RTM_GETNETCONF`: one link's.
pub(super) fn one(view: &View<'_>, request: Request<'_>, reply: Reply) -> Result<Vec<u8>, Errno> {
    let family = u8_at(request.body, 0);
    if ![AF_INET, AF_INET6].contains(&family) {
        return Err(Errno::EOPNOTSUPP);
    }
    let index = request.attributes(1).number(INDEX).ok_or(Errno::EINVAL)? as i32;
    let mut links = view.host.stack().links().iter();
    if ![ALL, DEFAULT].contains(&index) && !links.any(|link| link.id().interface_index() as i32 == index) {
        return Err(if family == AF_INET {
            Errno::ENODEV
        } else {
            Errno::EINVAL
        });
    }
    Ok(settings(family, index, reply))
}

fn settings(family: u8, index: i32, reply: Reply) -> Vec<u8> {
    let mut message = Message::new(NEW_SETTINGS, reply.flags, reply.sequence, reply.port).with(&[family]);
    message.u32(INDEX, index as u32);
    for (setting, of_v4) in SETTINGS {
        if !of_v4 || family == AF_INET {
            message.u32(setting, 0);
        }
    }
    message.finish()
}

const LABELLED: u16 = 1;
const LABEL: u16 = 2;

/// The table that the kernel begins with (`ip6addrlbl_init_table`), the most specific first.
const LABELS: [(Ipv6Addr, u8, u32); 10] = {
    const fn prefix(high: [u16; 2]) -> Ipv6Addr {
        Ipv6Addr::new(high[0], high[1], 0, 0, 0, 0, 0, 0)
    }
    [
        (Ipv6Addr::LOCALHOST, 128, 0),
        (Ipv6Addr::UNSPECIFIED, 96, 3),
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 4),
        (prefix([0x2001, 0]), 32, 6),
        (prefix([0x2001, 0x10]), 28, 7),
        (prefix([0x3ffe, 0]), 16, 12),
        (prefix([0x2002, 0]), 16, 2),
        (prefix([0xfec0, 0]), 10, 11),
        (prefix([0xfc00, 0]), 7, 5),
        (Ipv6Addr::UNSPECIFIED, 0, 1),
    ]
};

/// Octets of a `struct ifaddrlblmsg`.
const LABEL_HEADER_LEN: usize = 12;

/// `RTM_GETADDRLABEL` with `NLM_F_DUMP`.
pub(super) fn labels(listing: Listing<'_>, reply: Reply, messages: &mut Vec<Vec<u8>>) {
    if listing.wants(false) {
        messages.extend(LABELS.map(|entry| label(entry, reply)));
    }
}

/// `RTM_GETADDRLABEL`: that of one address.
pub(super) fn one_label(request: Request<'_>, reply: Reply) -> Result<Vec<u8>, Errno> {
    if request.body.len() < LABEL_HEADER_LEN || u8_at(request.body, 0) != AF_INET6 || u8_at(request.body, 2) != 128 {
        return Err(Errno::EINVAL);
    }
    let wanted = request.attributes(LABEL_HEADER_LEN).get(LABELLED).and_then(address);
    let Some(wanted @ IpAddr::V6(_)) = wanted else {
        return Err(Errno::EINVAL);
    };
    let fits = |entry: &(Ipv6Addr, u8, u32)| {
        IpCidr::new(entry.0.into(), entry.1).is_some_and(|prefix| prefix.contains(wanted))
    };
    let found = LABELS.into_iter().find(fits).ok_or(Errno::ESRCH)?;
    Ok(label(found, reply))
}

fn label((prefix, len, value): (Ipv6Addr, u8, u32), reply: Reply) -> Vec<u8> {
    /// So often the table was changed.
    const CHANGES: u8 = LABELS.len() as u8;
    let header = [AF_INET6, 0, len, 0, 0, 0, 0, 0, CHANGES, 0, 0, 0];
    let mut message = Message::new(NEW_LABEL, reply.flags, reply.sequence, reply.port).with(&header);
    message.attribute(LABELLED, AddressOctets::of(prefix.into()).as_slice());
    message.u32(LABEL, value);
    message.finish()
}

/// `RTM_GETQDISC` with `NLM_F_DUMP`: links without a queue of their own.
pub(super) fn queueing(view: &View<'_>, reply: Reply, messages: &mut Vec<Vec<u8>>) {
    let links = view.host.stack().links().iter();
    messages.extend(links.map(|link| no_queue(link.id().interface_index(), reply)));
}

/// `RTM_GETQDISC`: of one that was never added nothing is told.
pub(super) fn one_queueing(view: &View<'_>, request: Request<'_>) -> Result<(), Errno> {
    let index = crate::octets::u32_at(request.body, 4);
    let mut links = view.host.stack().links().iter();
    let is_there = links.any(|link| link.id().interface_index() == index);
    if is_there { Ok(()) } else { Err(Errno::ENODEV) }
}

fn no_queue(index: u32, reply: Reply) -> Vec<u8> {
    /// `TCA_KIND`, `TCA_STATS`, `TCA_STATS2` with `TCA_STATS_BASIC` and `TCA_STATS_QUEUE`, `TCA_HW_OFFLOAD`.
    const KIND: u16 = 1;
    const OLD_STATS: u16 = 3;
    const STATS: u16 = 7;
    const BASIC: u16 = 1;
    const QUEUE: u16 = 3;
    const OFFLOADED: u16 = 12;
    // struct tcmsg: the link, no handle, TC_H_ROOT, held twice.
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[12..16].fill(0xff);
    header[16] = 2;
    let mut message = Message::new(NEW_QUEUEING, reply.flags, reply.sequence, reply.port).with(&header);
    message.text(KIND, "noqueue");
    message.u8(OFFLOADED, 0);
    message.nested(STATS, |message| {
        message.attribute(BASIC, &[0; 16]);
        message.attribute(QUEUE, &[0; 20]);
    });
    message.attribute(OLD_STATS, &[0; 40]);
    message.finish()
}
