//! Links: `RTM_NEWLINK` (`rtnl_fill_ifinfo`).

use super::{AF_INET, AF_INET6, Listing, NEW_LINK, Reply};
use crate::View;
use crate::interface;
use crate::netlink::message::{Message, Request};
use crate::octets::u32_at;
use alloc::vec::Vec;
use prise_socket::Errno;
use prise_stack::{Link, LinkId};

/// Octets of a `struct ifinfomsg`.
const HEADER_LEN: usize = 16;

const ADDRESS: u16 = 1;
const BROADCAST: u16 = 2;
const NAME: u16 = 3;
const MTU: u16 = 4;
const QUEUEING: u16 = 6;
const STATS: u16 = 7;
const MASTER: u16 = 10;
const QUEUE_LEN: u16 = 13;
const MAP: u16 = 14;
const OPERATIONAL_STATE: u16 = 16;
const LINK_MODE: u16 = 17;
const INFO: u16 = 18;
const STATS_64: u16 = 23;
const BY_FAMILY: u16 = 26;
const GROUP: u16 = 27;
const EXTENSIONS: u16 = 29;
const PROMISCUITY: u16 = 30;
const SEND_QUEUES: u16 = 31;
const RECEIVE_QUEUES: u16 = 32;
const CARRIER: u16 = 33;
const CARRIER_CHANGES: u16 = 35;
const PROTOCOL_DOWN: u16 = 39;
const GSO_SEGMENTS_MAX: u16 = 40;
const GSO_SIZE_MAX: u16 = 41;
const CARRIER_UP_COUNT: u16 = 47;
const CARRIER_DOWN_COUNT: u16 = 48;
const MTU_MIN: u16 = 50;
const GRO_SIZE_MAX: u16 = 58;
const TSO_SIZE_MAX: u16 = 59;
const TSO_SEGMENTS_MAX: u16 = 60;
const MTU_MAX: u16 = 51;
const ALTERNATIVE_NAME: u16 = 53;
const ALL_MULTICAST: u16 = 61;

/// The family `AF_BRIDGE`, which has the ports of bridges.
const BRIDGE_PORTS: u8 = 7;

/// `RTEXT_FILTER_SKIP_STATS`.
const SKIP_STATS: u32 = 8;

/// `RTM_GETLINK` with `NLM_F_DUMP`.
pub(super) fn all(
    view: &View<'_>,
    listing: Listing<'_>,
    reply: Reply,
    messages: &mut Vec<Vec<u8>>,
) -> Result<(), Errno> {
    // Old programs send no more than a family.
    let header_len = if listing.request.body.len() < HEADER_LEN {
        1
    } else {
        HEADER_LEN
    };
    if listing.strict && (header_len != HEADER_LEN || listing.request.body[1..HEADER_LEN].iter().any(|&it| it != 0)) {
        return Err(Errno::EINVAL);
    }
    let attributes = listing.request.attributes(header_len);
    let (extensions, master) = (attributes.number(EXTENSIONS).unwrap_or(0), attributes.number(MASTER));
    if listing.family() == BRIDGE_PORTS {
        return Ok(());
    }
    // Nothing here has a master, nor is of a kind.
    let none = master.is_some_and(|index| index != 0) || attributes.get(INFO).is_some();
    let reply = reply.filtered(none);
    if !none {
        messages.extend(
            view.host
                .stack()
                .links()
                .iter()
                .map(|link| message(link, extensions, reply)),
        );
    }
    Ok(())
}

/// `RTM_GETLINK`: by index or name.
pub(super) fn one(view: &View<'_>, request: Request<'_>, reply: Reply) -> Result<Vec<u8>, Errno> {
    let link = find(view, request)?;
    let extensions = request.attributes(HEADER_LEN).number(EXTENSIONS).unwrap_or(0);
    Ok(message(link, extensions, reply))
}

fn find<'a>(view: &'a View<'_>, request: Request<'_>) -> Result<&'a Link, Errno> {
    if request.body.len() < HEADER_LEN {
        return Err(Errno::EINVAL);
    }
    let attributes = request.attributes(HEADER_LEN);
    let index = u32_at(request.body, 4);
    let name = attributes.text(NAME).or_else(|| attributes.text(ALTERNATIVE_NAME));
    let links = view.host.stack().links();
    let found = match (index, name) {
        (0, None) => return Err(Errno::EINVAL),
        (0, Some(name)) => links.iter().find(|link| link.name().as_bytes() == name),
        (index, _) => links.iter().find(|link| link.id().interface_index() == index),
    };
    found.ok_or(Errno::ENODEV)
}

/// Whether all that a change asks for is that a link be up, which every link is.
pub(super) fn is_up_already(view: &View<'_>, request: Request<'_>) -> bool {
    let named = |kind: u16| matches!(kind, NAME | ALTERNATIVE_NAME | EXTENSIONS);
    let (flags, mask) = (u32_at(request.body, 8), u32_at(request.body, 12));
    let nothing_else = request.attributes(HEADER_LEN).iter().all(|(kind, _)| named(kind));
    find(view, request).is_ok() && nothing_else && mask == interface::UP && flags & mask == interface::UP
}

pub(super) fn message(link: &Link, extensions: u32, reply: Reply) -> Vec<u8> {
    let mut header = [0; HEADER_LEN];
    header[2..4].copy_from_slice(&interface::hardware_type(link).to_ne_bytes());
    header[4..8].copy_from_slice(&link.id().interface_index().to_ne_bytes());
    header[8..12].copy_from_slice(&interface::flags(link).to_ne_bytes());
    let mut message = Message::new(NEW_LINK, reply.flags, reply.sequence, reply.port).with(&header);
    // IF_OPER_UNKNOWN, IF_OPER_UP.
    let operational = if link.is_loopback() { 0 } else { 6 };
    message.text(NAME, link.name());
    message.u32(QUEUE_LEN, interface::QUEUE_LEN);
    message.u8(OPERATIONAL_STATE, operational);
    message.u8(LINK_MODE, 0);
    message.u32(MTU, link.mtu());
    message.u32(MTU_MIN, if link.is_loopback() { 0 } else { 68 });
    message.u32(MTU_MAX, if link.is_loopback() { 0 } else { 65_535 });
    message.u32(GROUP, 0);
    message.u32(PROMISCUITY, 0);
    message.u32(ALL_MULTICAST, 0);
    message.u32(SEND_QUEUES, 1);
    message.u32(GSO_SEGMENTS_MAX, 65_535);
    message.u32(GSO_SIZE_MAX, 65_536);
    message.u32(GRO_SIZE_MAX, 65_536);
    // TSO_MAX_SIZE.
    message.u32(TSO_SIZE_MAX, 524_280);
    message.u32(TSO_SEGMENTS_MAX, 65_535);
    message.u32(RECEIVE_QUEUES, 1);
    message.u8(CARRIER, 1);
    message.u32(CARRIER_CHANGES, u32::from(!link.is_loopback()));
    message.u32(CARRIER_UP_COUNT, u32::from(!link.is_loopback()));
    message.u32(CARRIER_DOWN_COUNT, 0);
    message.u8(PROTOCOL_DOWN, 0);
    message.attribute(MAP, &[0; 32]);
    if let Some(address) = interface::hardware_address(link) {
        message.attribute(ADDRESS, &address);
        let broadcast = if link.is_loopback() { 0 } else { 0xff };
        message.attribute(BROADCAST, &[broadcast; 6]);
    }
    if extensions & SKIP_STATS == 0 {
        stats(&mut message, link);
    }
    message.text(QUEUEING, "noqueue");
    by_family(&mut message, link);
    message.finish()
}

/// `struct rtnl_link_stats64`, and the same in 32 bits.
fn stats(message: &mut Message, link: &Link) {
    let counters = link.counters();
    let mut fields = [0_u64; 25];
    fields[0] = counters.received_frames;
    fields[1] = counters.transmitted_frames;
    fields[2] = counters.received_octets;
    fields[3] = counters.transmitted_octets;
    fields[6] = counters.received_discards;
    fields[7] = counters.transmit_discards;
    let wide: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
    let narrow: Vec<u8> = fields[..24]
        .iter()
        .flat_map(|field| (*field as u32).to_ne_bytes())
        .collect();
    message.attribute(STATS_64, &wide);
    message.attribute(STATS, &narrow);
}

/// What IPv4 and IPv6 say of a link (`IFLA_AF_SPEC`); of the settings only those that programs look at are more than zero.
fn by_family(message: &mut Message, link: &Link) {
    /// `IPV4_DEVCONF_MAX`.
    const SETTINGS: usize = 33;
    /// `IFLA_INET_CONF`; `IFLA_INET6_FLAGS`, `_CACHEINFO`, `_TOKEN`, `_ADDR_GEN_MODE`.
    const V4_SETTINGS: u16 = 1;
    const V6_FLAGS: u16 = 1;
    const V6_TIMES: u16 = 5;
    const V6_TOKEN: u16 = 7;
    const V6_ADDRESS_MODE: u16 = 8;
    /// `IF_READY`.
    const READY: u32 = 0x8000_0000;
    message.nested(BY_FAMILY, |message| {
        message.nested(u16::from(AF_INET), |message| {
            message.attribute(V4_SETTINGS, &[0; SETTINGS * 4]);
        });
        message.nested(u16::from(AF_INET6), |message| {
            message.u32(V6_FLAGS, READY);
            let mut times = [0; 16];
            times[..4].copy_from_slice(&link.mtu().min(65_535).to_ne_bytes());
            message.attribute(V6_TIMES, &times);
            message.attribute(V6_TOKEN, &[0; 16]);
            message.u8(V6_ADDRESS_MODE, 0);
        });
    });
}

/// The link that a list's header names at `at`, if any.
pub(super) fn index_at(body: &[u8], at: usize) -> Option<LinkId> {
    LinkId::from_interface_index(u32_at(body, at))
}
