//! One socket: `struct inet_diag_msg` and its attributes (`inet_sk_diag_fill`).

use super::Question;
use crate::View;
use crate::netlink::message::Message;
use crate::octets::AddressOctets;
use crate::sockets::Row;
use alloc::vec::Vec;
use prise_socket::{Kind, SocketId, State, level};

/// `SOCK_DIAG_BY_FAMILY`: the answer has the question's type.
const BY_FAMILY: u16 = 20;

const MEMORY: u16 = 1;
const INFO: u16 = 2;
const CONGESTION: u16 = 4;
const TOS: u16 = 5;
const TRAFFIC_CLASS: u16 = 6;
const SOCKET_MEMORY: u16 = 7;
const SHUTDOWN: u16 = 8;
const PROTOCOL: u16 = 10;
const V6_ONLY: u16 = 11;

/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
pub(super) fn identity(row: &Row) -> [u8; 48] {
    let mut octets = [0; 48];
    octets[..2].copy_from_slice(&row.local.port().to_be_bytes());
    octets[2..4].copy_from_slice(&row.remote.port().to_be_bytes());
    for (at, address) in [(4, row.local.ip()), (20, row.remote.ip())] {
        let address = AddressOctets::of(address);
        octets[at..at + address.as_slice().len()].copy_from_slice(address.as_slice());
    }
    let cookie = row.id.map_or(0, SocketId::to_bits);
    octets[40..].copy_from_slice(&cookie.to_ne_bytes());
    octets
}

/// The message about one socket.
pub(super) fn message(view: &mut View<'_>, row: &Row, question: &Question, flags: u16) -> Vec<u8> {
    let mut header = Vec::with_capacity(72);
    // Of what waits the kernel says that a timer runs (3), and how many milliseconds.
    let timer = if row.waits.is_some() { 3 } else { 0 };
    let left = row.waits.map_or(0, |left| left.as_millis() as u32);
    header.extend_from_slice(&[row.family.raw() as u8, row.state as u8, timer, 0]);
    header.extend_from_slice(&identity(row));
    header.extend_from_slice(&left.to_ne_bytes());
    for field in [row.receive_queue, row.send_queue, row.uid, row.inode] {
        header.extend_from_slice(&field.to_ne_bytes());
    }
    let reply = question.reply;
    let mut message = Message::new(BY_FAMILY, flags, reply.sequence, reply.port).with(&header);
    if let Some(id) = row.id {
        attributes(view, row, id, question.extensions, &mut message);
    }
    message.finish()
}

fn attributes(view: &mut View<'_>, row: &Row, id: SocketId, extensions: u8, message: &mut Message) {
    let asked = |kind: u16| extensions & 1 << (kind - 1) != 0;
    let v6 = row.local.is_ipv6();
    message.u8(SHUTDOWN, 0);
    if asked(TOS)
        && let Some(tos) = number(view, id, level::IP, 1)
    {
        message.u8(TOS, tos as u8);
    }
    if v6
        && asked(TRAFFIC_CLASS)
        && let Some(class) = number(view, id, level::IPV6, 67)
    {
        message.u8(TRAFFIC_CLASS, class as u8);
    }
    if v6 && matches!(row.state, State::Listen | State::Closed) {
        message.u8(V6_ONLY, row.v6_only.into());
    }
    if row.kind == Kind::Raw {
        message.u8(PROTOCOL, row.protocol);
    }
    let listens = row.state == State::Listen;
    let [received, written] = [row.receive_queue, row.send_queue].map(|octets| if listens { 0 } else { octets });
    if asked(MEMORY) {
        // Read and unread, written, reserved, written.
        let fields = [received, written, 0, written];
        message.attribute(MEMORY, &fields.map(u32::to_ne_bytes).concat());
    }
    if asked(SOCKET_MEMORY) {
        // SO_RCVBUF, SO_SNDBUF.
        let [receive, send] = [8, 7].map(|name| number(view, id, level::SOCKET, name).unwrap_or(0));
        let fields = [received, receive, written, send, 0, written, 0, 0, 0];
        message.attribute(SOCKET_MEMORY, &fields.map(u32::to_ne_bytes).concat());
    }
    if row.kind != Kind::Stream {
        return;
    }
    if asked(INFO) {
        message.attribute(INFO, &option_of_tcp(view, id, TCP_INFO));
    }
    if asked(CONGESTION) {
        let name = option_of_tcp(view, id, TCP_CONGESTION);
        let end = name
            .iter()
            .position(|&octet| octet == 0)
            .map_or(name.len(), |at| at + 1);
        message.attribute(CONGESTION, &name[..end]);
    }
}

/// Options of tcp(7).
const TCP_INFO: i32 = 11;
const TCP_CONGESTION: i32 = 13;

/// What getsockopt(2) shows of a stream, whoever carries it; nothing where it fails.
fn option_of_tcp(view: &mut View<'_>, id: SocketId, name: i32) -> Vec<u8> {
    match view.driver.carried_option(id, name) {
        Some(value) => value,
        None => option(view, id, level::TCP, name),
    }
}

/// What getsockopt(2) shows; nothing where it fails.
fn option(view: &mut View<'_>, id: SocketId, level: i32, name: i32) -> Vec<u8> {
    let mut value = Vec::new();
    match view.host.option(view.now, id, level, name, &mut value) {
        Ok(()) => value,
        Err(_) => Vec::new(),
    }
}

fn number(view: &mut View<'_>, id: SocketId, level: i32, name: i32) -> Option<u32> {
    let value = option(view, id, level, name);
    value.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}
