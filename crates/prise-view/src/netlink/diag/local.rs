//! Sockets of other families: AF_UNIX (linux/unix_diag.h) and packet sockets (linux/packet_diag.h), which the driver knows, and netlink
//! (linux/netlink_diag.h), of which it knows those that do not speak to the host.

use alloc::vec::Vec;

use prise_socket::Errno;

use super::super::message::{DUMP, MULTI, Message, Request};
use super::super::route::Reply;
use super::super::socket::{Answer, done};
use super::BY_FAMILY;
use crate::View;
use crate::octets::{u8_at, u32_at};
use crate::view::NetlinkRow;

/// `AF_UNIX`, `AF_NETLINK`, `AF_PACKET`.
pub(super) const UNIX: u8 = 1;
pub(super) const NETLINK: u8 = 16;
pub(super) const PACKET: u8 = 17;

/// Octets of a `struct unix_diag_req`, of a `struct netlink_diag_req`, and of a `struct packet_diag_req`.
const UNIX_REQUEST_LEN: usize = 24;
const NETLINK_REQUEST_LEN: usize = 20;
const PACKET_REQUEST_LEN: usize = 20;

/// `NDIAG_PROTO_ALL`; `MAX_LINKS`, how many protocols there can be.
const EVERY_PROTOCOL: u8 = 255;
const PROTOCOLS: u8 = 32;
/// `NDIAG_SHOW_GROUPS`; `NETLINK_DIAG_GROUPS`.
const SHOW_GROUPS: u32 = 2;
const GROUPS: u16 = 1;

/// `unix_diag_handler_dump`.
pub(super) fn unix(view: &mut View<'_>, request: Request<'_>, reply: Reply) -> Answer {
    if request.body.len() < UNIX_REQUEST_LEN {
        return Answer::Error(Errno::EINVAL);
    }
    let many = request.flags & DUMP != 0;
    let rows = match view.driver.other_sockets(request.body, many) {
        Ok(rows) => rows,
        Err(errno) => return Answer::Error(errno),
    };
    let flags = if many { MULTI } else { 0 };
    let message = |row: Vec<u8>| head(flags, reply).with(&row).finish();
    let mut messages = rows.into_iter().map(message);
    if many {
        return Answer::List(messages.collect());
    }
    messages.next().map_or(Answer::Error(Errno::ENOENT), Answer::One)
}

/// `packet_diag_handler_dump`: there is no question about one, nor about those of a protocol.
pub(super) fn packet(view: &mut View<'_>, request: Request<'_>, reply: Reply) -> Answer {
    if request.body.len() < PACKET_REQUEST_LEN || u8_at(request.body, 1) != 0 {
        return Answer::Error(Errno::EINVAL);
    }
    if request.flags & DUMP == 0 {
        return Answer::Error(Errno::EOPNOTSUPP);
    }
    match view.driver.other_sockets(request.body, true) {
        Ok(rows) => Answer::List(
            rows.into_iter()
                .map(|row| head(MULTI, reply).with(&row).finish())
                .collect(),
        ),
        Err(errno) => Answer::Error(errno),
    }
}

/// `netlink_diag_handler_dump`: there is no question about one.
pub(super) fn netlink(view: &mut View<'_>, request: Request<'_>, reply: Reply) -> Answer {
    if request.body.len() < NETLINK_REQUEST_LEN {
        return Answer::Error(Errno::EINVAL);
    }
    if request.flags & DUMP == 0 {
        return Answer::Error(Errno::EOPNOTSUPP);
    }
    let wanted = u8_at(request.body, 1);
    if wanted != EVERY_PROTOCOL && wanted >= PROTOCOLS {
        // It is the list that fails.
        return Answer::One(done(reply, -Errno::ENOENT.raw()));
    }
    let shows_groups = u32_at(request.body, 8) & SHOW_GROUPS != 0;
    let rows = view.driver.netlink_sockets().into_iter();
    // One is in the kernel's table once it has a name.
    let rows = rows.filter(|row| row.port != 0 && (wanted == EVERY_PROTOCOL || i32::from(wanted) == row.protocol));
    let mut messages: Vec<_> = rows.map(|row| message(&row, shows_groups, reply)).collect();
    // Where nothing is known of others there are none to be told of.
    let others = view.driver.other_sockets(request.body, true).unwrap_or_default();
    messages.extend(others.into_iter().map(|row| head(MULTI, reply).with(&row).finish()));
    Answer::List(messages)
}

/// `struct netlink_diag_msg` (`sk_diag_fill`).
fn message(row: &NetlinkRow, shows_groups: bool, reply: Reply) -> Vec<u8> {
    let mut message = head(MULTI, reply)
        .with(&[NETLINK, row.kind as u8, row.protocol as u8, row.state])
        .with(&row.port.to_ne_bytes())
        // Nobody but the kernel can be connected to.
        .with(&[0; 8])
        .with(&row.inode.to_ne_bytes())
        .with(&row.cookie.to_ne_bytes());
    if shows_groups && row.groups != 0 {
        // In words of 64 bits (`NLGRPSZ`), of which none has more than one here.
        message.attribute(GROUPS, &row.groups.to_ne_bytes());
    }
    message.finish()
}

fn head(flags: u16, reply: Reply) -> Message {
    Message::new(BY_FAMILY, flags, reply.sequence, reply.port)
}
