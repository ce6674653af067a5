//! Options about groups and their sources (RFC 3678; `ip(7)`, `ip_mc_source`, `ip6_mc_source`, `ip_mc_msfilter` and their like).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use prise_stack::LinkId;

use super::ip::{link_with, v4_at};
use super::socket::int_at;
use super::{Call, Query, existing_link, level};
use crate::datagram::{Mode, sources_max};
use crate::sockaddr::Given;
use crate::{Errno, Host, sockaddr};

/// Where the address of a `group_req` is, behind an index and padding.
const GROUP_AT: usize = 8;
/// `sizeof(struct sockaddr_storage)`.
const STORAGE: usize = 128;
/// `offsetof(struct group_filter, gf_slist)`.
const FILTER: usize = GROUP_AT + STORAGE + 8;
/// `IP_MSFILTER_SIZE(0)`.
const FILTER_V4: usize = 16;
/// `net.core.optmem_max`.
const OPTIONS_MAX: usize = 128 << 10;

/// Where a call names its group's link: by index, by an address of it, or not at all.
type Hint = (i32, Ipv4Addr);

/// `ip_mc_find_dev`, `ip6_mc_find_idev`.
fn find_link(host: &Host, group: IpAddr, (index, addr): Hint) -> Option<LinkId> {
    match (index, addr.is_unspecified()) {
        (0, true) => host.stack.route(group, None, None).ok().map(|route| route.link),
        (0, false) => link_with(host, addr),
        (index, _) => existing_link(host, index),
    }
}

/// An address of the family of the call's level in a `sockaddr_storage`.
fn address_at(octets: &[u8], at: usize, level: i32) -> Option<IpAddr> {
    match sockaddr::decode(octets.get(at..at + STORAGE)?) {
        Ok(Given::Internet(addr)) if addr.is_ipv4() == (level == level::IP) => Some(addr.ip()),
        _ => None,
    }
}

/// `MCAST_JOIN_GROUP`, `MCAST_LEAVE_GROUP`: a `group_req`, an interface index and an address of either family.
pub(super) fn group_request(call: &mut Call<'_>, join: bool) -> Result<(), Errno> {
    if call.value.len() < GROUP_AT + STORAGE {
        return Err(Errno::EINVAL);
    }
    // ip_mcast_join_leave and ipv6_mcast_join_leave differ in what a wrong family is.
    let v4 = call.level == level::IP;
    let wrong = if v4 { Errno::EINVAL } else { Errno::EADDRNOTAVAIL };
    let group = address_at(call.value, GROUP_AT, call.level).ok_or(wrong)?;
    // Who leaves asks for the membership: the link need not be one, nor the group of IPv4.
    if (join || !v4) && !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    let missing = if join { Errno::ENODEV } else { Errno::EADDRNOTAVAIL };
    let link = match int_at(call.value, 0) {
        None | Some(0) => None,
        Some(index) => Some(existing_link(call.host, index).ok_or(missing)?),
    };
    call.host.membership(call.now, call.id, group, link, join)
}

/// `IP_ADD_SOURCE_MEMBERSHIP`, `IP_DROP_SOURCE_MEMBERSHIP`, `IP_BLOCK_SOURCE`, `IP_UNBLOCK_SOURCE`: an `ip_mreq_source`.
pub(super) fn source_v4(call: &mut Call<'_>, mode: Mode, add: bool) -> Result<(), Errno> {
    let value: &[u8; 12] = call.value.try_into().map_err(|_| Errno::EINVAL)?;
    let at = |at| v4_at(value, at).ok_or(Errno::EINVAL);
    let (group, addr, source) = (at(0)?, at(4)?, at(8)?);
    change(call, group.into(), (0, addr), mode, source.into(), add)
}

/// `MCAST_JOIN_SOURCE_GROUP`, `MCAST_LEAVE_SOURCE_GROUP`, `MCAST_BLOCK_SOURCE`, `MCAST_UNBLOCK_SOURCE`: a `group_source_req`.
pub(super) fn source(call: &mut Call<'_>, mode: Mode, add: bool) -> Result<(), Errno> {
    // do_mcast_group_source wants just that length.
    let len = call.value.len();
    let fits = len == GROUP_AT + 2 * STORAGE || (call.level != level::IP && len > GROUP_AT + 2 * STORAGE);
    let (Some(index), true) = (int_at(call.value, 0), fits) else {
        return Err(Errno::EINVAL);
    };
    let group = address_at(call.value, GROUP_AT, call.level).ok_or(Errno::EADDRNOTAVAIL)?;
    let source = address_at(call.value, GROUP_AT + STORAGE, call.level).ok_or(Errno::EADDRNOTAVAIL)?;
    change(call, group, (index, Ipv4Addr::UNSPECIFIED), mode, source, add)
}

/// What both do: to hear a source is to join first.
fn change(call: &mut Call<'_>, group: IpAddr, hint: Hint, mode: Mode, source: IpAddr, add: bool) -> Result<(), Errno> {
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    let link = find_link(call.host, group, hint).ok_or(Errno::ENODEV)?;
    if add && mode == Mode::Include {
        match call.host.join(call.now, call.id, group, Some(link), mode) {
            Ok(_) | Err(Errno::EADDRINUSE) => {}
            Err(error) => return Err(error),
        }
    }
    call.host
        .change_source(call.now, call.id, (group, Some(link)), mode, source, add)
}

/// `IP_MSFILTER`: an `ip_msfilter`, the whole list at once.
pub(super) fn set_filter_v4(call: &mut Call<'_>) -> Result<(), Errno> {
    let value = call.value;
    let (group, addr, mode, count) = match (v4_at(value, 0), v4_at(value, 4), int_at(value, 8), int_at(value, 12)) {
        (Some(group), Some(addr), Some(mode), Some(count)) => (group, addr, mode, count as u32 as usize),
        _ => return Err(Errno::EINVAL),
    };
    if value.len() > OPTIONS_MAX || count > sources_max(group.into()) {
        return Err(Errno::ENOBUFS);
    }
    let sources: Option<Vec<IpAddr>> = (0..count)
        .map(|number| v4_at(value, FILTER_V4 + 4 * number).map(IpAddr::V4))
        .collect();
    replace(call, group.into(), (0, addr), mode, sources.ok_or(Errno::EINVAL)?)
}

/// `MCAST_MSFILTER`: a `group_filter`, the whole list at once.
pub(super) fn set_filter(call: &mut Call<'_>) -> Result<(), Errno> {
    let value = call.value;
    let at = |at| int_at(value, at).ok_or(Errno::EINVAL);
    let (index, mode, count) = (at(0)?, at(FILTER - 8)?, at(FILTER - 4)? as u32 as usize);
    let some: IpAddr = if call.level == level::IP {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        core::net::Ipv6Addr::UNSPECIFIED.into()
    };
    if value.len() > OPTIONS_MAX || count > sources_max(some) {
        return Err(Errno::ENOBUFS);
    }
    if FILTER + STORAGE * count > value.len() {
        return Err(Errno::EINVAL);
    }
    let level = call.level;
    let address = |at| {
        // ip6_mc_msfilter takes every address for one of its own family.
        let unread = |octets: &[u8]| {
            octets
                .get(8..)?
                .first_chunk()
                .map(|octets: &[u8; 16]| IpAddr::from(*octets))
        };
        match level {
            level::IP => address_at(value, at, level),
            _ => unread(&value[at..]),
        }
    };
    let group = address(GROUP_AT).ok_or(Errno::EADDRNOTAVAIL)?;
    let sources: Option<Vec<IpAddr>> = (0..count).map(|number| address(FILTER + STORAGE * number)).collect();
    let sources = sources.ok_or(Errno::EADDRNOTAVAIL)?;
    replace(call, group, (index, Ipv4Addr::UNSPECIFIED), mode, sources)
}

fn replace(call: &mut Call<'_>, group: IpAddr, hint: Hint, mode: i32, sources: Vec<IpAddr>) -> Result<(), Errno> {
    let mode = Mode::from_raw(mode)
        .filter(|_| group.is_multicast())
        .ok_or(Errno::EINVAL)?;
    let link = find_link(call.host, group, hint).ok_or(Errno::ENODEV)?;
    call.host
        .set_sources(call.now, call.id, (group, Some(link)), mode, sources)
}

/// `IP_MSFILTER` asked: of the group and interface that the buffer names, as many sources as it says it has room for.
pub(super) fn filter_v4(query: &mut Query<'_>) -> Result<(), Errno> {
    let given = query.given;
    let (Some(group), Some(addr), Some(count), true) = (
        v4_at(given, 0),
        v4_at(given, 4),
        int_at(given, 12),
        query.room >= FILTER_V4,
    ) else {
        return Err(Errno::EINVAL);
    };
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    let link = find_link(query.host, group.into(), (0, addr)).ok_or(Errno::ENODEV)?;
    let joined = query.host.joined(query.id, group.into(), Some(link));
    let (mode, sources) = joined.ok_or(Errno::EADDRNOTAVAIL)?.shown();
    query.out.extend_from_slice(&given[..8]);
    query.out.extend_from_slice(&mode.raw().to_le_bytes());
    query.out.extend_from_slice(&(sources.len() as u32).to_le_bytes());
    for source in sources.iter().take(count as u32 as usize) {
        if let IpAddr::V4(source) = source {
            query.out.extend_from_slice(&source.octets());
        }
    }
    Ok(())
}

/// `MCAST_MSFILTER` asked; of IPv4 a wrong family is another mistake than of IPv6.
pub(super) fn filter(query: &mut Query<'_>, v4: bool) -> Result<(), Errno> {
    let given = query.given;
    let (Some(index), Some(count), true) = (int_at(given, 0), int_at(given, FILTER - 4), query.room >= FILTER) else {
        return Err(Errno::EINVAL);
    };
    let level = if v4 { level::IP } else { level::IPV6 };
    let wrong = if v4 { Errno::EINVAL } else { Errno::EADDRNOTAVAIL };
    let group = address_at(given, GROUP_AT, level).ok_or(wrong)?;
    if !group.is_multicast() {
        return Err(Errno::EINVAL);
    }
    // Here the index is compared as it is given: 0 is no link's.
    let link = existing_link(query.host, index).ok_or(Errno::EADDRNOTAVAIL)?;
    let joined = query.host.joined(query.id, group, Some(link));
    let (mode, sources) = joined.ok_or(Errno::EADDRNOTAVAIL)?.shown();
    query.out.extend_from_slice(&given[..FILTER - 8]);
    query.out.extend_from_slice(&mode.raw().to_le_bytes());
    query.out.extend_from_slice(&(sources.len() as u32).to_le_bytes());
    for source in sources.iter().take(count as u32 as usize) {
        let mut storage = sockaddr::encode(core::net::SocketAddr::new(*source, 0));
        storage.resize(STORAGE, 0);
        query.out.extend_from_slice(&storage);
    }
    Ok(())
}
