//! `NETLINK_SOCK_DIAG` (`sock_diag(7)`): what `ss` asks. Internet and netlink sockets; of AF_UNIX and packet ones the driver tells, of others the host's
//! `/proc/net`.

mod filter;
mod local;
mod row;

use super::message::{DUMP, MULTI, Request};
use super::route::Reply;
use super::socket::{Answer, DATAGRAM_OCTETS, done};
use crate::View;
use crate::octets::{be16_at, u8_at, u32_at};
use crate::sockets::{self, Row, TCP};
use crate::view::Who;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use filter::Filter;
use prise_socket::{Errno, Family, Kind, SocketId, protocol};

/// `TCPDIAG_GETSOCK`: the same question in the words of old programs. `SOCK_DIAG_BY_FAMILY`, `SOCK_DESTROY`.
const OLD_TCP: u16 = 18;
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;

/// No family has this number or a greater one (linux/socket.h).
const AF_MAX: u8 = 46;

/// Octets of a `struct inet_diag_req_v2`, and of its older form.
const REQUEST_LEN: usize = 56;
const OLD_REQUEST_LEN: usize = 64;

/// `INET_DIAG_REQ_BYTECODE`, `INET_DIAG_REQ_PROTOCOL`.
const BYTECODE: u16 = 1;
const PROTOCOL: u16 = 3;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) reply: Reply,
    family: u8,
    protocol: u32,
    /// `INET_DIAG_*` to tell besides, a bit each.
    pub(super) extensions: u8,
    /// A bit for each state.
    states: u32,
    /// Ports; 0 is any.
    source_port: u16,
    destination_port: u16,
    /// The end points of one socket, as they stand in the request.
    identity: [u8; 48],
    filter: Filter,
}

/// Judges one request (`sock_diag_rcv_msg`, `inet_diag_handler_cmd`).
pub(super) fn answer(view: &mut View<'_>, who: Who<'_>, request: Request<'_>, reply: Reply) -> Answer {
    let question = match (request.kind, u8_at(request.body, 0)) {
        (DESTROY, _) if !(who.is_admin)() => return Answer::Error(Errno::EPERM),
        (DESTROY, _) => return Answer::Error(Errno::EOPNOTSUPP),
        (OLD_TCP, _) => old_question(request, reply),
        (BY_FAMILY, AF_MAX..) => return Answer::Error(Errno::EINVAL),
        (BY_FAMILY, local::UNIX) => return local::unix(view, request, reply),
        (BY_FAMILY, local::NETLINK) => return local::netlink(view, request, reply),
        (BY_FAMILY, local::PACKET) => return local::packet(view, request, reply),
        (BY_FAMILY, 0 | 3..=9 | 11..) if request.body.len() >= 2 => return Answer::Error(Errno::ENOENT),
        (BY_FAMILY, _) => question(request, reply),
        _ => return Answer::Error(Errno::EINVAL),
    };
    let question = match question {
        Ok(question) => question,
        Err(errno) => return Answer::Error(errno),
    };
    if request.flags & DUMP != 0 {
        return Answer::Dump(Dump::new(view, question));
    }
    match one(view, &question) {
        Ok(message) => Answer::One(message),
        Err(errno) => Answer::Error(errno),
    }
}

fn question(request: Request<'_>, reply: Reply) -> Result<Question, Errno> {
    let body = request.body;
    let identity = body.get(8..REQUEST_LEN).and_then(|octets| octets.first_chunk());
    let identity = *identity.ok_or(Errno::EINVAL)?;
    let attributes = request.attributes(REQUEST_LEN);
    Ok(Question {
        reply,
        family: u8_at(body, 0),
        protocol: attributes.number(PROTOCOL).unwrap_or_else(|| u8_at(body, 1).into()),
        extensions: u8_at(body, 2),
        states: u32_at(body, 4),
        source_port: be16_at(&identity, 0),
        destination_port: be16_at(&identity, 2),
        identity,
        filter: Filter::parse(attributes.get(BYTECODE).unwrap_or(&[]))?,
    })
}

/// `struct inet_diag_req`: family, lengths, extensions, the identity, states.
fn old_question(request: Request<'_>, reply: Reply) -> Result<Question, Errno> {
    let body = request.body;
    let identity = body.get(4..52).and_then(|octets| octets.first_chunk());
    let identity = *identity.filter(|_| body.len() >= 60).ok_or(Errno::EINVAL)?;
    let attributes = request.attributes(OLD_REQUEST_LEN - 4);
    Ok(Question {
        reply,
        family: u8_at(body, 0),
        protocol: TCP.into(),
        extensions: u8_at(body, 3),
        states: u32_at(body, 52),
        source_port: be16_at(&identity, 0),
        destination_port: be16_at(&identity, 2),
        identity,
        filter: Filter::parse(attributes.get(BYTECODE).unwrap_or(&[]))?,
    })
}

impl Question {
    /// `IPPROTO_RAW`: raw sockets of every protocol.
    const RAW: u32 = 255;

    /// Whether there is a list of such sockets at all.
    fn is_known(&self) -> bool {
        let datagrams = [protocol::UDP, protocol::UDP_LITE].map(u32::from);
        self.protocol == u32::from(TCP) || datagrams.contains(&self.protocol) || self.protocol == Self::RAW
    }

    fn wants_kind(&self, row: &Row) -> bool {
        match row.kind {
            Kind::Raw => self.protocol == Self::RAW,
            Kind::Stream | Kind::Datagram => self.protocol == u32::from(row.protocol),
        }
    }

    fn wants(&self, row: &Row) -> bool {
        let family = u8::try_from(row.family.raw()).unwrap_or(0);
        self.wants_kind(row)
            && (self.family == 0 || self.family == family)
            && self.states & (1 << row.state as u32) != 0
            && (self.source_port == 0 || self.source_port == row.local.port())
            && (self.destination_port == 0 || self.destination_port == row.remote.port())
            && self.filter.passes(row)
    }
}

/// One socket, by its end points (`inet_diag_find_one_icsk`).
fn one(view: &mut View<'_>, question: &Question) -> Result<Vec<u8>, Errno> {
    if !question.is_known() {
        return Err(Errno::ENOENT);
    }
    let ids: Vec<SocketId> = view.host.sockets().collect();
    let mut listener = None;
    for id in ids {
        let Some(row) = sockets::row(view, id).filter(|row| question.wants_kind(row)) else {
            continue;
        };
        let family = if question.family == 2 {
            Family::Inet
        } else {
            Family::Inet6
        };
        let identity = row::identity(&row);
        let is_datagram = row.kind == Kind::Datagram;
        if is_datagram && row.family == family && receives(&identity, &question.identity) {
            // One that is connected comes before others.
            if identity[2..4] != [0, 0] {
                return Ok(row::message(view, &row, question, 0));
            }
            listener.get_or_insert(row);
            continue;
        }
        if !is_datagram && row.family == family && identity[..36] == question.identity[..36] {
            return Ok(row::message(view, &row, question, 0));
        }
        let same_port = identity[..2] == question.identity[..2];
        if !is_datagram && same_port && row.state == prise_socket::State::Listen && listener.is_none() {
            listener = Some(row);
        }
    }
    listener
        .map(|row| row::message(view, &row, question, 0))
        .ok_or(Errno::ENOENT)
}

/// Whether a socket is the one to which a datagram would come from the source that is asked about, at the destination: "src and dst are
/// swapped for historical reasons" (`udp_dump_one`).
fn receives(socket: &[u8], asked: &[u8]) -> bool {
    const UNSPECIFIED: [u8; 16] = [0; 16];
    let is_at = socket[..2] == asked[2..4] && (socket[4..20] == UNSPECIFIED || socket[4..20] == asked[20..36]);
    let hears = socket[2..4] == [0, 0] || socket[2..4] == asked[..2] && socket[20..36] == asked[4..20];
    is_at && hears
}

/// A list of sockets, made as it is read: there may be hundreds of thousands.
#[derive(Debug)]
pub(super) struct Dump {
    question: Question,
    /// Sockets that were there when the question came; those that have gone since are left out.
    sockets: VecDeque<SocketId>,
    unowned: VecDeque<Row>,
    /// A line that found no room in the datagram before.
    left: Option<Vec<u8>>,
}

impl Dump {
    fn new(view: &mut View<'_>, question: Question) -> Self {
        let of_tcp = question.protocol == u32::from(TCP);
        let unowned = if of_tcp { sockets::unowned(view) } else { Vec::new() };
        Self {
            sockets: view.host.sockets().filter(|_| question.is_known()).collect(),
            unowned: unowned.into(),
            question,
            left: None,
        }
    }

    /// The next datagram; whether it ends the list.
    pub(super) fn next_datagram(&mut self, view: &mut View<'_>) -> (Vec<u8>, bool) {
        let mut datagram = self.left.take().unwrap_or_default();
        while let Some(message) = self.next_message(view) {
            if !datagram.is_empty() && datagram.len() + message.len() > DATAGRAM_OCTETS {
                self.left = Some(message);
                return (datagram, false);
            }
            datagram.extend_from_slice(&message);
        }
        let code = if self.question.is_known() {
            0
        } else {
            -Errno::ENOENT.raw()
        };
        datagram.extend_from_slice(&done(self.question.reply, code));
        (datagram, true)
    }

    fn next_message(&mut self, view: &mut View<'_>) -> Option<Vec<u8>> {
        while let Some(id) = self.sockets.pop_front() {
            if let Some(row) = sockets::row(view, id).filter(|row| self.question.wants(row)) {
                return Some(row::message(view, &row, &self.question, MULTI));
            }
        }
        while let Some(row) = self.unowned.pop_front() {
            if self.question.wants(&row) {
                return Some(row::message(view, &row, &self.question, MULTI));
            }
        }
        None
    }
}
