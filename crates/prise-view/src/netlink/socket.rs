//! One netlink socket: what it is bound to, what it was asked, what it has to say.

use super::diag::Dump;
use super::message::{ACK, CAPPED, DONE, ERROR, MULTI, Message, REQUEST, Request, TYPE_MIN, requests};
use super::options::Options;
use super::route::Reply;
use super::{diag, generic, route};
use crate::View;
use crate::view::{NetlinkRow, Who};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use prise_socket::Errno;

/// Octets of one datagram of a list: what a program with a buffer of one page can read (`NLMSG_GOODSIZE`).
pub(super) const DATAGRAM_OCTETS: usize = 3776;

/// Datagrams that may wait to be read; beyond it answers are lost, as they are when a kernel's socket is full.
const WAITING_MAX: usize = 1024;

/// `NETLINK_UNCONNECTED`, `NETLINK_CONNECTED` (linux/netlink.h), and what every socket of the kernel's begins with (`TCP_CLOSE`).
const UNCONNECTED: u8 = 0;
const CONNECTED: u8 = 1;
const NEVER_CONNECTED: u8 = 7;

/// Which of the kernel's subsystems a socket speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`.
    Route,
    /// `NETLINK_SOCK_DIAG`.
    SocketDiag,
    /// `NETLINK_GENERIC`.
    Generic,
}

impl Protocol {
    /// From the third argument of `socket(2)`; none for those that have nothing to do with the host's network.
    pub const fn from_raw(protocol: i32) -> Option<Self> {
        match protocol {
            0 => Some(Self::Route),
            4 => Some(Self::SocketDiag),
            16 => Some(Self::Generic),
            _ => None,
        }
    }

    /// `SO_PROTOCOL`.
    pub const fn raw(self) -> i32 {
        match self {
            Self::Route => 0,
            Self::SocketDiag => 4,
            Self::Generic => 16,
        }
    }

    /// How many groups one can listen to (`RTNLGRP_MAX`, `SKNLGRP_MAX`, `mc_groups_longs`).
    pub(super) const fn groups(self) -> u32 {
        match self {
            Self::Route => 38,
            Self::SocketDiag => 4,
            Self::Generic => 64,
        }
    }
}

/// What a subsystem says to one request.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is done: an acknowledgment, if one is asked for.
    Nothing,
    /// This message, and then the same.
    One(Vec<u8>),
    /// These messages, and the end of the list.
    List(Vec<Vec<u8>>),
    /// A list that is made while it is read.
    Dump(Dump),
    /// It failed.
    Error(Errno),
}

/// One netlink socket.
#[derive(Debug)]
pub struct Socket {
    protocol: Protocol,
    /// `SOCK_RAW` or `SOCK_DGRAM`, which mean the same.
    kind: i32,
    /// `nl_pid`; 0 while it has none.
    port: u32,
    /// `connect(2)`: where messages without an address go.
    peer: (u32, u32),
    /// `sk_state`.
    state: u8,
    pub(super) options: Options,
    ready: VecDeque<Vec<u8>>,
    dump: Option<Dump>,
}

impl Socket {
    /// A socket as `socket(2)` makes it.
    pub fn new(protocol: Protocol, kind: i32) -> Self {
        Self {
            protocol,
            kind,
            port: 0,
            peer: (0, 0),
            state: NEVER_CONNECTED,
            options: Options::default(),
            ready: VecDeque::new(),
            dump: None,
        }
    }

    /// The subsystem that it speaks to.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `SO_TYPE`.
    pub const fn kind(&self) -> i32 {
        self.kind
    }

    /// `nl_pid`; 0 before it is bound.
    pub const fn port(&self) -> u32 {
        self.port
    }

    /// The first 32 groups that it listens to (`nl_groups`).
    pub const fn groups(&self) -> u32 {
        self.options.groups as u32
    }

    /// What lists of sockets show of it, whose open file has this number and this cookie.
    pub const fn row(&self, inode: u32, cookie: u64) -> NetlinkRow {
        NetlinkRow {
            inode,
            cookie,
            kind: self.kind,
            protocol: self.protocol.raw(),
            port: self.port,
            state: self.state,
            groups: self.options.groups,
        }
    }

    /// `bind(2)`: the port, which is the caller's to keep unique, and groups to listen to.
    pub fn bind(&mut self, port: u32, groups: u32) -> Result<(), Errno> {
        if self.port != 0 && port != self.port {
            return Err(Errno::EINVAL);
        }
        self.port = port;
        self.options.has_groups |= groups != 0;
        self.options.groups = self.options.groups & !u64::from(u32::MAX) | u64::from(groups);
        Ok(())
    }

    /// `connect(2)`; (0, 0) is the kernel, to whom alone everybody may send.
    pub fn connect(&mut self, peer: Option<(u32, u32)>) -> Result<(), Errno> {
        match peer {
            None | Some((0, 0)) => {
                self.peer = (0, 0);
                self.state = if peer.is_some() { CONNECTED } else { UNCONNECTED };
                Ok(())
            }
            Some(_) => Err(Errno::EPERM),
        }
    }

    /// `getpeername(2)`.
    pub const fn peer(&self) -> (u32, u32) {
        self.peer
    }

    /// Whether control data with the group is wanted beside each message (`NETLINK_PKTINFO`).
    pub const fn wants_packet_info(&self) -> bool {
        self.options.packet_info
    }

    /// Checks a datagram before it is sent (`netlink_sendmsg`): its address, its length.
    pub fn check_sendable(address: Option<(u32, u32)>, len: usize) -> Result<(), Errno> {
        match address {
            None | Some((0, 0)) => {}
            // Only the kernel listens here.
            Some(_) => return Err(Errno::EPERM),
        }
        if len == 0 { Err(Errno::ENODATA) } else { Ok(()) }
    }

    /// Takes a datagram from the program.
    pub fn submit(&mut self, view: &mut View<'_>, who: Who<'_>, datagram: &[u8]) {
        for request in requests(datagram) {
            let is_asked = request.flags & REQUEST != 0 && request.kind >= TYPE_MIN;
            let reply = Reply {
                sequence: request.sequence,
                port: self.port,
                flags: 0,
            };
            let answer = match self.protocol {
                _ if !is_asked => Answer::Nothing,
                Protocol::Route => route::answer(view, who, self.options.strict, request, reply),
                Protocol::SocketDiag => diag::answer(view, who, request, reply),
                Protocol::Generic => generic::answer(request, reply),
            };
            self.take(answer, request, reply);
        }
    }

    fn take(&mut self, answer: Answer, request: Request<'_>, reply: Reply) {
        match answer {
            Answer::List(_) | Answer::Dump(_) if self.dump.is_some() => {
                self.acknowledge(request, reply, Some(Errno::EBUSY));
            }
            Answer::List(messages) => self.pack(messages, reply),
            Answer::Dump(dump) => self.dump = Some(dump),
            Answer::Error(errno) => self.acknowledge(request, reply, Some(errno)),
            Answer::One(message) => {
                self.push(message);
                self.acknowledge(request, reply, None);
            }
            Answer::Nothing => self.acknowledge(request, reply, None),
        }
    }

    fn push(&mut self, datagram: Vec<u8>) {
        if self.ready.len() < WAITING_MAX {
            self.ready.push_back(datagram);
        } else {
            self.options.lost = true;
        }
    }

    /// `netlink_ack`: an error is always told, success only on demand.
    fn acknowledge(&mut self, request: Request<'_>, reply: Reply, error: Option<Errno>) {
        if error.is_none() && request.flags & ACK == 0 {
            return;
        }
        let capped = error.is_none() || self.options.capped_errors;
        let flags = if capped { CAPPED } else { 0 };
        let code = error.map_or(0, |errno| -errno.raw());
        let quoted = if capped { &request.octets[..16] } else { request.octets };
        let message = Message::new(ERROR, flags, reply.sequence, reply.port)
            .with(&code.to_ne_bytes())
            .with(quoted);
        self.push(message.finish());
    }

    /// A whole list, and its end.
    fn pack(&mut self, messages: Vec<Vec<u8>>, reply: Reply) {
        let mut datagram = Vec::new();
        for message in messages.into_iter().chain([done(reply, 0)]) {
            if datagram.len() + message.len() > DATAGRAM_OCTETS && !datagram.is_empty() {
                self.push(core::mem::take(&mut datagram));
            }
            datagram.extend_from_slice(&message);
        }
        self.push(datagram);
    }

    /// The next datagram for the program to read.
    pub fn next_datagram(&mut self, view: &mut View<'_>) -> Option<Vec<u8>> {
        if let Some(datagram) = self.ready.pop_front() {
            return Some(datagram);
        }
        let (datagram, ended) = self.dump.as_mut()?.next_datagram(view);
        if ended {
            self.dump = None;
        }
        Some(datagram)
    }

    /// Gives a datagram back that found no room.
    pub fn put_back(&mut self, datagram: Vec<u8>) {
        self.ready.push_front(datagram);
    }
}

/// The end of a list, with the error that ended it if one did.
pub(super) fn done(reply: Reply, code: i32) -> Vec<u8> {
    Message::new(DONE, MULTI, reply.sequence, reply.port)
        .with(&code.to_ne_bytes())
        .finish()
}
