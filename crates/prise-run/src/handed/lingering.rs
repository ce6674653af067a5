//! Ports of handed streams that were closed: TIME-WAIT of the host kernel's own connections, in the run's table of ports.
//!
//! What is left of a connection after its last close(2) is known to the kernel that carries it, under the kernel's names. It matters to
//! who binds the port again, or listens there again: bind(2) and listen(2) ask then ([`crate::handed`] says which streams these are), and to who lists connections: of those
//! within the run from 127.0.0.1 to 127.0.0.1 the list is the kernel's own, with the listener's port translated.

use core::net::SocketAddr;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;

use prise_socket::{Errno, Kind, LeftPort, SocketId, State};
use prise_sys::inet_diag::InetDiag;
use prise_view::Left;
use prise_wire::Instant;
use rustix::net::{getpeername, getsockname};

use crate::clock;
use crate::guest::sockaddr::canonical;
use crate::handed::carried;
use crate::handed::places::{LINGERS, Places};
use crate::socket::{Slot, Sockets};
use crate::supervisor::Supervisor;

/// Connections of one port that are remembered. The last one to be closed stays longest; others tell only where it is gone.
const EACH_MAX: usize = 16;
/// Ports that are remembered. Beyond it all are forgotten, and found free.
const PORTS_MAX: usize = 1024;

/// The names that the kernel has for a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
}

impl Ends {
    /// Those of a connection between `local` and `remote`.
    pub(crate) fn between(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote }
    }

    /// Those of any connection that was accepted at `local`.
    pub(crate) fn with_anybody(local: SocketAddr) -> Self {
        Self {
            local,
            remote: SocketAddr::new(local.ip(), 0),
        }
    }

    /// Those of a connected socket.
    pub(crate) fn of(socket: &OwnedFd) -> Option<Self> {
        Some(Self {
            local: getsockname(socket).ok()?.try_into().ok()?,
            remote: getpeername(socket).ok()??.try_into().ok()?,
        })
    }
}

/// What was closed.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    ports: HashMap<u16, VecDeque<(LeftPort, Ends)>>,
    /// From the first question on.
    diag: Option<InetDiag>,
}

impl Lingering {
    /// A stream is being closed.
    pub(crate) fn note(&mut self, left: LeftPort, ends: Ends) {
        if self.ports.len() >= PORTS_MAX && !self.ports.contains_key(&left.port()) {
            self.ports.clear();
        }
        let connections = self.ports.entry(left.port()).or_default();
        if connections.len() == EACH_MAX {
            connections.pop_front();
        }
        connections.push_back((left, ends));
    }

    /// What still holds a port.
    fn at(&mut self, port: u16) -> Option<LeftPort> {
        let connections = self.ports.get_mut(&port)?;
        if self.diag.is_none() {
            // Where the kernel is not to be asked the port is free.
            self.diag = InetDiag::open().ok();
        }
        let diag = self.diag.as_ref()?;
        while let Some(&(left, ends)) = connections.back() {
            let stays = if ends.remote.port() == 0 {
                InetDiag::has_any_connection(ends.local)
            } else {
                diag.has_connection(ends.local, ends.remote)
            };
            if stays.unwrap_or(false) {
                return Some(left);
            }
            connections.pop_back();
        }
        self.ports.remove(&port);
        None
    }
}

/// What the kernel still has of connections within the run that no program holds, under the run's names.
pub(crate) fn left_within(places: &Places, sockets: &Sockets) -> Vec<Left> {
    /// More than `net.ipv4.tcp_max_tw_buckets` lets a kernel of a small machine have; beyond it the list is cut.
    const SHOWN_MAX: usize = 16_384;
    if places.are_none() {
        return Vec::new();
    }
    // Where the kernel is not to be asked nothing is told.
    let left = InetDiag::left_on_loopback(SHOWN_MAX).unwrap_or_default();
    // What is left of TIME-WAIT is counted from here, and not from when the turn has begun.
    let now = clock::now();
    // A mapped address stays one.
    let name_of = |at: SocketAddr, over: Option<Instant>| {
        let named = places.lately_name_of(canonical(at), over, sockets, now)?;
        Some(SocketAddr::new(at.ip(), named.port()))
    };
    let named = left.into_iter().filter_map(|it| {
        let state = carried::state(it.state)?;
        let over = match (state, it.waits) {
            (State::TimeWait, Some(waits)) => Some(now - LINGERS.saturating_sub(waits)),
            _ => None,
        };
        let (local, remote) = match (name_of(it.local, over), name_of(it.remote, over)) {
            (Some(local), None) => (local, it.remote),
            (None, Some(remote)) => (it.local, remote),
            // Not the run's; or nobody can tell which end is the listener's.
            _ => return None,
        };
        Some(Left {
            local,
            remote,
            state,
            waits: it.waits,
        })
    });
    named.collect()
}

impl Supervisor {
    /// The kernel carries a stream from now on.
    pub(crate) fn note_ends(&mut self, slot: Slot, socket: &OwnedFd) {
        if let Some(stream) = self.sockets.get_mut(slot) {
            stream.ends = Ends::of(socket).map(Box::new);
        }
    }

    /// bind(2), in view of what is left of connections that the kernel carried.
    pub(crate) fn bind_in_view(&mut self, id: SocketId, kind: Kind, address: SocketAddr) -> Result<(), Errno> {
        if kind == Kind::Stream && address.port() == 0 {
            // A port in TIME-WAIT is never picked: whoever binds it by its number next would be refused (`inet_csk_find_open_port`).
            let Self {
                host, lingering, now, ..
            } = self;
            return host.bind_anywhere_but(*now, id, address, |port| lingering.at(port));
        }
        let left = if kind == Kind::Stream {
            self.lingering.at(address.port())
        } else {
            None
        };
        match left {
            Some(left) => self.host.bind_beside(self.now, id, address, left),
            None => self.host.bind(self.now, id, address),
        }
    }

    /// listen(2) in the same view.
    pub(crate) fn listen_in_view(&mut self, id: SocketId, backlog: i32) -> Result<(), Errno> {
        let Self {
            host, lingering, now, ..
        } = self;
        host.listen_beside(*now, id, backlog, |port| lingering.at(port))
    }
}
