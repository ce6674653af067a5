//! Connections that leave the run, of which nothing is remembered: their objects carry a mark, and the kernel knows the rest.
//!
//! Where a connection that was made by connect(2) of a new stream leads is in its kernel's names: the host's loopback is what the run calls its gateway, every
//! other address is itself. So where the connection stands when the call returns, nothing is kept and nothing has to tell of
//! its close: of thousands that come and go nothing is left. The mark ([`prise_sys::write_hint`]) tells such a stream from one that was
//! inherited from beyond the run; it goes with the object, whoever has it. The first judged call adopts the stream, and so does who
//! lists sockets, by looking through the descriptors of the run's processes.
//!
//! Where connections cannot be marked, and of those that are being made, a note is taken: [`crate::noted`].

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::Family;
use prise_sys::write_hint;
use rustix::net::{getpeername, getsockname, sockopt};

use crate::handed::Stage;
use crate::lingering::Ends;
use crate::noted::{Noted, is_tcp};
use crate::socket::{Holder, Slot};
use crate::supervisor::Supervisor;

/// Marks a connection as one of the run's; false where that is not possible.
pub(crate) fn mark(connection: &OwnedFd) -> bool {
    write_hint::set(connection.as_fd(), write_hint::EXTREME).is_ok()
}

fn is_marked(stream: &OwnedFd) -> bool {
    write_hint::get(stream.as_fd()).is_ok_and(|hint| hint == write_hint::EXTREME)
}

impl Supervisor {
    /// Makes a marked connection a stream of the run's; none if it is none.
    pub(crate) fn adopt_marked(&mut self, holder: Holder, copy: &OwnedFd) -> Option<Slot> {
        if !is_marked(copy) || !is_tcp(copy) || !self.hands.is_at_home(copy) {
            return None;
        }
        let own = SocketAddr::try_from(getsockname(copy).ok()?).ok()?;
        let (family, nobody) = match own {
            SocketAddr::V4(_) => (Family::Inet, Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => (Family::Inet6, Ipv6Addr::LOCALHOST.into()),
        };
        let peer = getpeername(copy)
            .ok()
            .flatten()
            .and_then(|it| SocketAddr::try_from(it).ok());
        // One that is over has no peer to ask about, and keeps its own name.
        let peer = peer.unwrap_or(SocketAddr::new(nobody, 0));
        let noted = Noted {
            cookie: sockopt::socket_cookie(copy).ok()?,
            family,
            seen: match self.place_of(peer) {
                Some(listener) => listener,
                None => self.gate.as_ref()?.guest_endpoint(peer),
            },
            stage: Stage::Connected,
            holder,
            process: self.guests.process(holder.tid),
        };
        let within = self.place_of(peer).is_some();
        let mut socket = self.socket_called(&noted, copy, within.then_some(own)).ok()?;
        socket.ends = within.then(|| Box::new(Ends::between(own, peer)));
        let slot = self.sockets.insert(socket);
        // Out of memory or watches, it is adopted again when it is seen again.
        let _ = self.ledger.enter(copy.as_fd(), slot);
        Some(slot)
    }

    /// Adopts all marked connections, because somebody lists sockets. What is on its way between two processes is listed when it is seen again.
    pub(crate) fn adopt_all_marked(&mut self) {
        if !self.hands.has_marked() {
            return;
        }
        self.guests.know_descendants(std::process::id());
        let mut seen: HashSet<u32> = self.sockets.iter().map(|(_, socket)| socket.inode).collect();
        for (holder, inode) in self.guests.open_sockets() {
            if seen.insert(inode)
                && let Ok(copy) = self.guests.descriptor(holder.tid, holder.fd)
                && sockopt::socket_cookie(&copy).is_ok_and(|cookie| self.sockets.by_cookie(cookie).is_none())
            {
                // Most are none.
                let marked = self.adopt_marked(holder, &copy);
                let _ = marked.or_else(|| self.adopt_accepted(holder, &copy));
            }
        }
    }
}
