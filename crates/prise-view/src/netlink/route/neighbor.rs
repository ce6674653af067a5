//! Neighbors: `RTM_NEWNEIGH` (`neigh_fill_info`).

use super::{AF_INET, AF_INET6, Listing, NEW_NEIGHBOR, Reply};
use crate::View;
use crate::netlink::message::{Message, Request};
use crate::octets::{AddressOctets, address, u32_at};
use alloc::vec::Vec;
use prise_socket::Errno;
use prise_stack::{NeighborInfo, NeighborState};

/// Octets of a `struct ndmsg`.
const HEADER_LEN: usize = 12;

const DESTINATION: u16 = 1;
const HARDWARE: u16 = 2;
const TIMES: u16 = 3;
const PROBES: u16 = 4;
const LINK: u16 = 8;
const MASTER: u16 = 9;

/// `NTF_PROXY`, `NTF_ROUTER`.
const PROXY: u8 = 0x08;
const ROUTER: u8 = 0x80;

/// `NUD_*`, as `ip neighbor` shows them.
const fn state(state: NeighborState) -> u16 {
    match state {
        NeighborState::Incomplete => 0x01,
        NeighborState::Reachable => 0x02,
        NeighborState::Stale => 0x04,
        NeighborState::Delay => 0x08,
        NeighborState::Probe => 0x10,
        NeighborState::Permanent => 0x80,
    }
}

/// `RTM_GETNEIGH` with `NLM_F_DUMP`.
pub(super) fn all(
    view: &View<'_>,
    listing: Listing<'_>,
    reply: Reply,
    messages: &mut Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let body = listing.request.body;
    if listing.strict && body.len() < HEADER_LEN {
        return Err(Errno::EINVAL);
    }
    // Addresses that are answered for others: none.
    if body.get(10).is_some_and(|flags| flags & PROXY != 0) {
        return Ok(());
    }
    let attributes = listing.request.attributes(HEADER_LEN);
    let (link, master) = (attributes.number(LINK), attributes.number(MASTER));
    let reply = reply.filtered(link.is_some() || master.is_some());
    if master.is_some_and(|index| index != 0) {
        return Ok(());
    }
    let mut known: Vec<NeighborInfo> = view.host.stack().neighbors().collect();
    known.retain(|it| {
        listing.wants(it.addr.is_ipv4()) && link.is_none_or(|link| link == 0 || link == it.link.interface_index())
    });
    known.sort_by_key(|it| (it.addr.is_ipv6(), it.addr));
    messages.extend(known.iter().map(|it| message(it, reply)));
    Ok(())
}

/// `RTM_GETNEIGH`: one neighbor (`neigh_get`).
pub(super) fn one(view: &View<'_>, request: Request<'_>, reply: Reply) -> Result<Vec<u8>, Errno> {
    if request.body.len() < HEADER_LEN {
        return Err(Errno::EINVAL);
    }
    let wanted = request.attributes(HEADER_LEN).get(DESTINATION).and_then(address);
    let (wanted, index) = (wanted.ok_or(Errno::EINVAL)?, u32_at(request.body, 4));
    let stack = view.host.stack();
    if !stack.links().iter().any(|link| link.id().interface_index() == index) {
        return Err(if index == 0 { Errno::EINVAL } else { Errno::ENODEV });
    }
    let found = stack
        .neighbors()
        .find(|it| it.addr == wanted && it.link.interface_index() == index);
    found.map(|it| message(&it, reply)).ok_or(Errno::ENOENT)
}

fn message(it: &NeighborInfo, reply: Reply) -> Vec<u8> {
    let mut header = [0; HEADER_LEN];
    header[0] = if it.addr.is_ipv4() { AF_INET } else { AF_INET6 };
    header[4..8].copy_from_slice(&it.link.interface_index().to_ne_bytes());
    header[8..10].copy_from_slice(&state(it.state).to_ne_bytes());
    header[10] = if it.is_router { ROUTER } else { 0 };
    // RTN_UNICAST.
    header[11] = 1;
    let mut message = Message::new(NEW_NEIGHBOR, reply.flags, reply.sequence, reply.port).with(&header);
    message.attribute(DESTINATION, AddressOctets::of(it.addr).as_slice());
    if let Some(mac) = it.mac {
        message.attribute(HARDWARE, &mac.0);
    }
    message.u32(PROBES, 0);
    message.attribute(TIMES, &[0; 16]);
    message.finish()
}
