//! Connections that leave the run, of which only what nobody else knows is remembered until somebody asks.
//!
//! Most connections that a program makes are written to, read from and closed; nothing of that is judged. So connect(2) of a
//! stream that is new ([`crate::handed::adopted`]) and leaves the run makes no socket of the host's: the kernel connects the program's
//! object, and the run notes which object it is and where it leads; of a connection that stands when the call returns not even that
//! ([`crate::handed::marked`]). The first judged call on it, and whoever lists sockets (`prise ss`, sock_diag(7), /proc/net), has it *entered*: it is then a handed stream ([`crate::handed`]) like all others, whose port
//! is picked now, because nobody can have seen it before.
//!
//! What is different about a stream (a name, an option, another network) was judged, or is found here; then connect(2) goes the
//! long way.

use core::net::SocketAddr;
use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};

use prise_shortcut::chart::Mark;
use prise_socket::{Destination, Errno, Family, Kind};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{ipproto, sockopt};

use crate::calls::{Found, Target};
use crate::guest::notify::{Call, DONE, Judged, errno, errno_of};
use crate::guest::sockaddr::{ADDRESS_MAX, Named, V4_LEN, V6_LEN, for_family, parse};
use crate::handed::chosen::Chosen;
use crate::handed::dial::connect_without_waiting;
use crate::handed::marked;
use crate::handed::{Handed, Stage};
use crate::socket::unix;
use crate::socket::{Buffers, GuestSocket, Holder, Slot};
use crate::supervisor::Supervisor;

/// So many connections at once have no port of the run's: each can have one when it needs it. Others get theirs at once.
const NOTED_MAX: usize = 16_384;

/// A connection that is not entered yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted {
    /// The kernel's `SO_COOKIE` of the program's object.
    pub(crate) cookie: u64,
    pub(crate) family: Family,
    /// Where it leads, as the run names it.
    pub(crate) seen: SocketAddr,
    pub(crate) stage: Stage,
    pub(crate) holder: Holder,
    pub(crate) process: u32,
}

impl Supervisor {
    /// connect(2) of an object that the run does not know. None where it is not for us to make without a socket.
    pub(crate) fn connect_unknown(&mut self, call: &Call, found: &Found) -> Option<Judged> {
        use rustix::io::Errno as E;
        if !self.hands.note_connections() || self.sockets.noted_len() >= NOTED_MAX {
            return None;
        }
        let address = address_of_new(call)?;
        let seen = match self.host.new_stream_leads_to(address)? {
            Destination::Outside(seen) => seen,
            Destination::Own { local, remote } => return self.connect_plainly(call, found, local, remote),
        };
        let family = match address {
            SocketAddr::V4(_) => Family::Inet,
            SocketAddr::V6(_) => Family::Inet6,
        };
        let to = for_family(self.gate.as_ref()?.host_endpoint(seen)?, family);
        self.forget_place(to);
        let copy = &found.copy;
        if !is_tcp(copy) || !self.hands.is_at_home(copy) {
            return None;
        }
        let flags = fcntl_getfl(copy).ok()?;
        let connected = connect_without_waiting(copy, to, flags);
        let stage = match connected {
            Ok(()) => Stage::Connected,
            Err(E::INPROGRESS) => Stage::Connecting(to),
            // Perhaps the object is of another family than the address: the long way says that as Linux does.
            Err(E::AFNOSUPPORT | E::INVAL) => return None,
            Err(error) => return Some(Err(errno(error))),
        };
        let is_marked = marked::mark(copy, Mark::Outside);
        if is_marked {
            self.hands.note_marked();
        }
        self.still = true;
        if is_marked && connected.is_ok() {
            return Some(DONE);
        }
        let (tid, fd) = (call.tid, call.fd());
        let slot = self.sockets.note(Noted {
            cookie: found.cookie,
            family,
            seen,
            stage,
            holder: Holder { tid, fd },
            process: self.guests.process(tid),
        });
        // Out of memory or watches, it will be forgotten; its mark stays.
        let _ = self.ledger.enter(copy.as_fd(), slot);
        if connected.is_err() && !flags.contains(OFlags::NONBLOCK) {
            self.still = false;
            return Some(self.wait_for_noted(call, slot, copy));
        }
        Some(if connected.is_ok() {
            DONE
        } else {
            Err(Errno::EINPROGRESS)
        })
    }

    /// A blocking call waits for the end of the handshake.
    fn wait_for_noted(&mut self, call: &Call, slot: Slot, copy: &OwnedFd) -> Judged {
        self.enter_noted(slot, copy)?;
        let copy = copy.try_clone().map_err(|error| errno_of(&error))?;
        Ok(self.wait_for_handshake(call, &Target { slot, copy }, Errno::EINPROGRESS))
    }

    /// Makes a noted connection a socket of the host's.
    pub(crate) fn enter_noted(&mut self, slot: Slot, copy: &OwnedFd) -> Result<(), Errno> {
        let Some(&noted) = self.sockets.noted(slot) else {
            return Ok(());
        };
        let socket = self.socket_of(&noted, copy)?;
        self.sockets.enter(slot, socket);
        Ok(())
    }

    /// The socket of the host's for a connection.
    pub(crate) fn socket_of(&mut self, noted: &Noted, copy: &OwnedFd) -> Result<GuestSocket, Errno> {
        self.socket_called(noted, copy, None)
    }

    /// The same, where its own name is settled.
    pub(crate) fn socket_called(
        &mut self,
        noted: &Noted,
        copy: &OwnedFd,
        own: Option<SocketAddr>,
    ) -> Result<GuestSocket, Errno> {
        let id = self.host.socket(noted.family, Kind::Stream, 0)?;
        let connected = match own {
            Some(own) => self.host.carry_elsewhere(id, own, noted.seen),
            None => self.host.connect_elsewhere(id, noted.seen),
        };
        if let Err(error) = connected {
            self.host.close(self.now, id);
            return Err(error);
        }
        Ok(GuestSocket {
            id,
            cookie: noted.cookie,
            inode: unix::inode(copy),
            family: noted.family,
            kind: Kind::Stream,
            holder: noted.holder,
            buffers: Buffers::default(),
            chosen: Chosen::default(),
            process: noted.process,
            ends: None,
            unread: None,
            arrivals: None,
            role: Handed::role(noted.stage),
        })
    }

    /// Makes sockets of all noted connections, because somebody lists them.
    pub(crate) fn enter_all_noted(&mut self) {
        self.adopt_all_marked();
        let noted: Vec<(Slot, u64, Holder)> = self
            .sockets
            .all_noted()
            .map(|(slot, noted)| (slot, noted.cookie, noted.holder))
            .collect();
        for (slot, cookie, holder) in noted {
            let is_it = |copy: &OwnedFd| sockopt::socket_cookie(copy).is_ok_and(|found| found == cookie);
            let there = self.guests.descriptor(holder.tid, holder.fd).ok().filter(is_it);
            let copy = there.or_else(|| self.guests.search(is_it).map(|(_, copy)| copy));
            // On its way between two processes, or of one that hides: it is listed when it is seen again.
            if let Some(copy) = copy {
                // Without a port it is not listed.
                let _ = self.enter_noted(slot, &copy);
            }
        }
    }

    /// Forgets the noted connections that are not open any more.
    pub(crate) fn forget_noted(&mut self, open: &HashSet<Slot>) {
        let closed: Vec<Slot> = self
            .sockets
            .all_noted()
            .filter(|(slot, _)| !open.contains(slot))
            .map(|(slot, _)| slot)
            .collect();
        for slot in closed {
            self.sockets.forget(slot);
        }
    }
}

/// The endpoint that connect(2) of a new stream names, if its address needs no second look.
fn address_of_new(call: &Call) -> Option<SocketAddr> {
    let mut octets = [0; V6_LEN];
    let len = usize::try_from(call.int(2)).ok()?;
    if !(V4_LEN..=ADDRESS_MAX).contains(&len) {
        return None;
    }
    let octets = &mut octets[..len.min(V6_LEN)];
    call.memory().read(call.args[1], octets).ok()?;
    let family = match i32::from(u16::from_ne_bytes([octets[0], octets[1]])) {
        libc::AF_INET => Family::Inet,
        libc::AF_INET6 => Family::Inet6,
        _ => return None,
    };
    match parse(octets, family) {
        Ok(Named::Endpoint(address)) if address.port() != 0 && !has_scope(&address) => Some(address),
        _ => None,
    }
}

fn has_scope(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0)
}

pub(crate) fn is_tcp(copy: &OwnedFd) -> bool {
    matches!(sockopt::socket_protocol(copy), Ok(Some(ipproto::TCP)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Sockets;

    fn noted(cookie: u64) -> Noted {
        Noted {
            cookie,
            family: Family::Inet,
            seen: SocketAddr::from(([10, 0, 2, 2], 80)),
            stage: Stage::Connected,
            holder: Holder { tid: 1, fd: 3 },
            process: 1,
        }
    }

    #[test]
    fn a_note_is_found_until_it_is_forgotten_and_its_slot_is_no_others() {
        let mut sockets = Sockets::default();
        let (one, other) = (sockets.note(noted(7)), sockets.note(noted(8)));
        assert_eq!((sockets.by_cookie(7), sockets.noted_len()), (Some(one), 2));
        assert!(sockets.get(one).is_none() && sockets.noted(one).is_some());
        sockets.forget(one);
        sockets.forget(one);
        assert_eq!((sockets.by_cookie(7), sockets.noted_len()), (None, 1));
        let again = sockets.note(noted(9));
        assert_ne!(again, one, "the place is used again, the slot is not");
        assert!(sockets.noted(one).is_none());
        let left: Vec<Slot> = sockets.all_noted().map(|(slot, _)| slot).collect();
        assert_eq!(left, [again, other]);
    }
}
