//! The ports of the kernel's listeners, and the connections that the kernel has given out there.
//!
//! accept(2) that is left to the kernel ([`crate::plain`], [`crate::direct_accept`]) makes a socket of which the run knows nothing. The
//! first judged call on it, and whoever lists sockets, has it *adopted*: which listener it came to is told by its own name.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Family, Kind, SocketId};
use rustix::net::getpeername;

use crate::direct::Publication;
use crate::handed::{Handed, Stage};
use crate::lingering::Ends;
use crate::listener::{Listening, Sign};
use crate::native_listener::Names;
use crate::noted::is_tcp;
use crate::plain::HOME;
use crate::sockaddr::canonical;
use crate::socket::{GuestSocket, Holder, Slot};
use crate::supervisor::Supervisor;

/// Ports of listeners that are remembered; those of closed ones go first.
const PLACES_MAX: usize = 4096;

/// What stands for the ports of the kernel's listeners.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Of the host's 127.0.0.1.
    within: HashMap<u16, Place>,
    /// Published addresses where the kernel has given out clients, with the last listener there.
    published: HashMap<SocketAddr, (Publication, Slot)>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// The listener's port in the run.
    port: u16,
    listener: Slot,
}

impl Places {
    fn get(&self, at: SocketAddr) -> Option<Place> {
        if at.ip() == HOME {
            self.within.get(&at.port()).copied()
        } else {
            None
        }
    }

    /// accept(2) of a listener at a published address was left to the kernel. There are no more of these than `-p` names.
    pub(crate) fn note_published(&mut self, publication: Publication, listener: Slot) {
        self.published.insert(publication.address, (publication, listener));
    }
}

impl Supervisor {
    pub(crate) fn places_note(&mut self, at: SocketAddr, port: u16, listener: Slot) {
        if self.places.within.len() >= PLACES_MAX {
            let sockets = &self.sockets;
            self.places
                .within
                .retain(|_, place| sockets.get(place.listener).is_some());
        }
        self.places.within.insert(at.port(), Place { port, listener });
    }

    /// Whoever is at that place of the host's now is not the run's, if its listener has gone.
    pub(crate) fn forget_place(&mut self, at: SocketAddr) {
        if self
            .places
            .get(at)
            .is_some_and(|it| self.sockets.get(it.listener).is_none())
        {
            self.places.within.remove(&at.port());
        }
    }

    /// The run's name for what a marked connection leads to, if that is a listener of the run.
    pub(crate) fn place_of(&self, peer: SocketAddr) -> Option<SocketAddr> {
        self.places.get(peer).map(|place| SocketAddr::new(HOME, place.port))
    }

    /// Makes a connection that accept(2) of the kernel has given out a stream of the run's; none if it is none.
    pub(crate) fn adopt_accepted(&mut self, holder: Holder, copy: &OwnedFd) -> Option<Slot> {
        if self.places.within.is_empty() && self.places.published.is_empty() {
            return None;
        }
        let own: SocketAddr = rustix::net::getsockname(copy).ok()?.try_into().ok()?;
        let at = canonical(own);
        let within = self.places.get(at);
        let published = self.places.published.get(&at).copied();
        if within.is_none() && published.is_none() || !is_tcp(copy) || !self.hands.is_at_home(copy) {
            return None;
        }
        let family = if own.is_ipv4() { Family::Inet } else { Family::Inet6 };
        let peer = getpeername(copy)
            .ok()
            .flatten()
            .and_then(|it| SocketAddr::try_from(it).ok());
        // One that is over has no peer to ask about.
        let peer = peer.map_or(SocketAddr::new(HOME, 0), canonical);
        let (listener, names) = match (within, published) {
            (Some(place), _) => {
                let guest = SocketAddr::new(HOME, place.port);
                (place.listener, Names { guest, shown: peer })
            }
            (None, published) => {
                let (publication, listener) = published?;
                (listener, self.names_of_client(publication, peer)?)
            }
        };
        let Names { guest, shown: peer } = names;
        let listener = self
            .sockets
            .get(listener)
            .map(|it| (it.id, it.buffers, it.chosen.clone()));
        let (id, inherited) = if let Some((id, buffers, chosen)) = listener {
            (
                self.host.accept_elsewhere(id, guest, peer).ok()?,
                Some((buffers, chosen)),
            )
        } else {
            let id = self.host.socket(family, Kind::Stream, 0).ok()?;
            if self.host.carry_elsewhere(id, guest, peer, false).is_err() {
                self.host.close(self.now, id);
                return None;
            }
            (id, None)
        };
        let (buffers, chosen) = inherited.unwrap_or_default();
        let socket = GuestSocket {
            id,
            cookie: self.name_of(copy).ok()?,
            inode: crate::unix::inode(copy),
            family,
            kind: Kind::Stream,
            holder,
            buffers,
            chosen,
            process: self.guests.process(holder.tid),
            ends: Ends::of(copy).map(Box::new),
            role: Handed::role(Stage::Connected),
        };
        let slot = self.sockets.insert(socket);
        // Out of memory or watches, it is adopted again when it is seen again.
        let _ = self.ledger.enter(copy.as_fd(), slot);
        Some(slot)
    }

    /// A listener is being closed or shut: what may be left of the connections that it let through holds its port.
    pub(crate) fn leave_given(&mut self, id: SocketId, given: Option<Given>) {
        let Some(Given { at, names, published }) = given else {
            return;
        };
        for Names { guest, shown } in names {
            // The claim is that of a connection that was accepted and closed.
            let Ok(accepted) = self.host.accept_elsewhere(id, guest, shown) else {
                return;
            };
            let left = self.host.left_port(accepted);
            self.host.close(self.now, accepted);
            if let Some(left) = left {
                self.lingering.note(left, Ends::between(at, shown));
            }
        }
        // Whom the kernel has given out there is known to it alone.
        if let Some(publication) = published
            && let Some(names) = self.names_of_client(publication, publication.address)
            && let Ok(accepted) = self.host.accept_elsewhere(id, names.guest, names.shown)
        {
            let left = self.host.left_port(accepted);
            self.host.close(self.now, accepted);
            if let Some(left) = left {
                self.lingering.note(left, Ends::with_anybody(publication.address));
            }
        }
    }
}

/// The connections that a listener let through last.
#[derive(Debug)]
pub(crate) struct Given {
    /// The listener's name in the host.
    at: SocketAddr,
    names: Vec<Names>,
    /// The published address where the kernel has given out others.
    published: Option<Publication>,
}

impl Given {
    pub(crate) fn by(listening: &Listening) -> Option<Self> {
        let Sign::Native(native) = &listening.sign else {
            return None;
        };
        Some(Self {
            at: native.at(),
            names: native.grants().given().collect(),
            published: native.publication().filter(|_| native.left_calls().any()),
        })
    }
}
