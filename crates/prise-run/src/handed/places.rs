//! The ports of the kernel's listeners, and the connections that the kernel has given out there.
//!
//! accept(2) that is left to the kernel ([`crate::handed::plain`], [`crate::handed::direct_accept`]) makes a socket of which the run knows nothing. The
//! first judged call on it, and whoever lists sockets, has it *adopted*: which listener it came to is told by its own name. That one may be
//! closed by then, as a server's is that executes itself anew while its children serve; what it leaves to them is kept.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Bequest, Family, Kind};
use prise_wire::Instant;
use rustix::net::getpeername;

use crate::guest::sockaddr::canonical;
use crate::handed::chosen::Chosen;
use crate::handed::direct::Publication;
use crate::handed::lingering::Ends;
use crate::handed::native_listener::{Names, Who};
use crate::handed::noted::is_tcp;
use crate::handed::plain::HOME;
use crate::handed::{Handed, Stage};
use crate::socket::{Buffers, GuestSocket, Holder, Slot, Sockets};
use crate::supervisor::Supervisor;

/// Beyond so many ports of listeners those of closed ones are forgotten. There are no more than ports.
const PLACES_MAX: usize = 4096;

/// How long the kernel holds a port for what is left of connections (`TCP_TIMEWAIT_LEN`, linux/tcp.h).
pub(crate) const LINGERS: Duration = Duration::from_secs(60);

/// How late the kernel may tell that TIME-WAIT has begun: it counts in ticks, of which there are 100 a second at least.
const TICK: Duration = Duration::from_millis(10);

/// What stands for the ports of the kernel's listeners.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Of the host's 127.0.0.1.
    within: HashMap<u16, Place>,
    /// Published addresses where the kernel has given out clients, with the last listener there.
    published: HashMap<SocketAddr, (Publication, Origin)>,
}

#[derive(Debug, Clone)]
struct Place {
    /// The listener's port in the run.
    port: u16,
    origin: Origin,
    /// When the listener's first plain client ([`crate::handed::plain`]) came, at the earliest: others note no place. What was over by then was another's, of the host or of another run.
    since: Instant,
    /// When the listener was closed or shut. The kernel picked its port for it and may pick it for anybody of the host after that; none if
    /// it is there, or if its connections bear other names in the run.
    left_at: Option<Instant>,
}

/// Where connections come from: their listener, and once it is closed or shut what it left to them.
#[derive(Debug, Clone)]
struct Origin {
    listener: Slot,
    left: Option<Heritage>,
}

/// What connections of a listener start with.
#[derive(Debug, Clone)]
struct Heritage {
    bequest: Bequest,
    buffers: Buffers,
    chosen: Chosen,
}

impl Origin {
    fn new(listener: Slot) -> Self {
        Self { listener, left: None }
    }

    fn leave(&mut self, listener: Slot, heritage: &Heritage) {
        if self.listener == listener {
            self.left = Some(heritage.clone());
        }
    }
}

impl Places {
    fn get(&self, at: SocketAddr) -> Option<&Place> {
        if at.ip() == HOME {
            self.within.get(&at.port())
        } else {
            None
        }
    }

    /// Whether anything stands for a place of the host's.
    fn have(&self, at: SocketAddr) -> bool {
        self.get(at).is_some() || self.published.contains_key(&at)
    }

    /// Whether there was never a listener for clients of the run itself.
    pub(crate) fn are_none(&self) -> bool {
        self.within.is_empty()
    }

    /// The run's name for the place of one of its listeners, or of one that was there last.
    pub(crate) fn name_of(&self, at: SocketAddr) -> Option<SocketAddr> {
        self.get(at).map(|place| SocketAddr::new(HOME, place.port))
    }

    /// The same for a connection that no program holds, if it is of the listener that is there or that was there lately. `over`: since when
    /// it is in TIME-WAIT, where it is. None where clients bear other names in the run than the kernel's.
    pub(crate) fn lately_name_of(
        &self,
        at: SocketAddr,
        over: Option<Instant>,
        sockets: &Sockets,
        now: Instant,
    ) -> Option<SocketAddr> {
        let place = self.get(at)?;
        if over.is_some_and(|over| over + TICK < place.since) {
            return None;
        }
        let told = match sockets.native_listener(place.origin.listener) {
            Some(native) if native.at() == at => native.keeps_names(),
            _ => place
                .left_at
                .is_some_and(|left_at| now.saturating_since(left_at) < LINGERS),
        };
        told.then(|| SocketAddr::new(HOME, place.port))
    }

    /// accept(2) of a listener at a published address was left to the kernel. There are no more of these than `-p` names.
    pub(crate) fn note_published(&mut self, publication: Publication, listener: Slot) {
        self.published
            .insert(publication.address, (publication, Origin::new(listener)));
    }

    /// A listener will be gone when some of the connections that were given out there are seen.
    fn leave(&mut self, now: Instant, listener: Slot, given: &Given) {
        if let Some(place) = self.within.get_mut(&given.at.port())
            && place.origin.listener == listener
        {
            place.left_at = given.keeps_names.then_some(now);
            if !given.names.is_empty() {
                place.origin.leave(listener, &given.heritage);
            }
        }
        if let Some(publication) = given.published
            && let Some((_, origin)) = self.published.get_mut(&publication.address)
        {
            origin.leave(listener, &given.heritage);
        }
    }
}

impl Supervisor {
    pub(crate) fn places_note(&mut self, at: SocketAddr, port: u16, listener: Slot) {
        if self.places.within.len() >= PLACES_MAX && !self.places.within.contains_key(&at.port()) {
            let sockets = &self.sockets;
            self.places
                .within
                .retain(|_, place| sockets.get(place.origin.listener).is_some());
        }
        let since = match self.places.within.get(&at.port()) {
            Some(before) if before.origin.listener == listener => before.since,
            _ => self.now,
        };
        let place = Place {
            port,
            origin: Origin::new(listener),
            since,
            left_at: None,
        };
        self.places.within.insert(at.port(), place);
    }

    /// Whoever is at that place of the host's now is not the run's, if its listener has gone.
    pub(crate) fn forget_place(&mut self, at: SocketAddr) {
        if self
            .places
            .get(at)
            .is_some_and(|it| self.sockets.get(it.origin.listener).is_none())
        {
            self.places.within.remove(&at.port());
        }
    }

    /// Makes a connection that accept(2) of the kernel has given out a stream of the run's; none if it is none.
    pub(crate) fn adopt_accepted(&mut self, holder: Holder, copy: &OwnedFd) -> Option<Slot> {
        if self.places.within.is_empty() && self.places.published.is_empty() {
            return None;
        }
        let own: SocketAddr = rustix::net::getsockname(copy).ok()?.try_into().ok()?;
        let at = canonical(own);
        if !self.places.have(at) || !is_tcp(copy) || !self.hands.is_at_home(copy) {
            return None;
        }
        let family = if own.is_ipv4() { Family::Inet } else { Family::Inet6 };
        let peer = getpeername(copy)
            .ok()
            .flatten()
            .and_then(|it| SocketAddr::try_from(it).ok());
        // One that is over has no peer to ask about.
        let peer = peer.map_or(SocketAddr::new(HOME, 0), canonical);
        let recognised = self.recognise_published(at, peer);
        let (origin, Names { guest, shown }) = match (self.places.get(at), self.places.published.get(&at)) {
            (Some(place), _) => {
                let guest = SocketAddr::new(HOME, place.port);
                (&place.origin, Names { guest, shown: peer })
            }
            (None, published) => {
                let (publication, origin) = published?;
                let names = match recognised {
                    Some(Who::Client(names)) => names,
                    // The supervisor's own, which is gone with this.
                    Some(Who::Token) => return None,
                    Some(Who::Stranger) | None => self.names_of_client(*publication, peer)?,
                };
                (origin, names)
            }
        };
        let Heritage {
            bequest,
            buffers,
            chosen,
        } = self.heritage_from(origin)?;
        let cookie = self.name_of(copy).ok()?;
        let socket = GuestSocket {
            id: self.host.accept_after(&bequest, guest, shown),
            cookie,
            inode: crate::socket::unix::inode(copy),
            family,
            kind: Kind::Stream,
            holder,
            buffers,
            chosen,
            process: self.guests.process(holder.tid),
            ends: Ends::of(copy).map(Box::new),
            unread: None,
            arrivals: None,
            role: Handed::role(Stage::Connected),
        };
        let slot = self.sockets.insert(socket);
        // Out of memory or watches, it is adopted again when it is seen again.
        let _ = self.ledger.enter(copy.as_fd(), slot);
        Some(slot)
    }

    /// Who has come from there to a published address, where accept(2) was made without asking: perhaps somebody whom its listener expects.
    fn recognise_published(&mut self, at: SocketAddr, from: SocketAddr) -> Option<Who> {
        let listener = self.places.published.get(&at)?.1.listener;
        let native = self.native_listener_mut(listener)?;
        native.unasked.ever().then(|| native.recognise(from))
    }

    fn heritage_from(&self, origin: &Origin) -> Option<Heritage> {
        match self.sockets.get(origin.listener) {
            Some(listener) => self.heritage(listener),
            None => origin.left.clone(),
        }
    }

    fn heritage(&self, listener: &GuestSocket) -> Option<Heritage> {
        Some(Heritage {
            bequest: self.host.bequest(listener.id).ok()?,
            buffers: listener.buffers,
            chosen: listener.chosen.of_accepted(),
        })
    }

    /// What a listener leaves when it is closed or shut.
    pub(crate) fn given_by(&self, listener: &GuestSocket) -> Option<Given> {
        // One that was shut was left already.
        let native = listener.native_listener()?;
        Some(Given {
            at: native.at(),
            names: native.grants().given().collect(),
            keeps_names: native.keeps_names(),
            published: native
                .publication()
                .filter(|_| native.left_calls().any() || native.unasked.ever()),
            heritage: self.heritage(listener)?,
        })
    }

    /// A socket stops listening, if it does.
    pub(crate) fn leave_as_listener(&mut self, slot: Slot) {
        if let Some(given) = self.sockets.get(slot).and_then(|socket| self.given_by(socket)) {
            self.leave_given(slot, given);
        }
    }

    /// A listener is being closed or shut: what may be left of the connections that it let through holds its port.
    pub(crate) fn leave_given(&mut self, listener: Slot, given: Given) {
        self.places.leave(self.now, listener, &given);
        let Given {
            at,
            names,
            published,
            heritage,
            ..
        } = given;
        for names in names {
            self.note_left(&heritage, names, Ends::between(at, names.shown));
        }
        // Whom the kernel has given out there is known to it alone.
        if let Some(publication) = published
            && let Some(names) = self.names_of_client(publication, publication.address)
        {
            self.note_left(&heritage, names, Ends::with_anybody(publication.address));
        }
    }

    /// The claim to the port is that of a connection that was accepted and closed.
    fn note_left(&mut self, heritage: &Heritage, names: Names, ends: Ends) {
        let accepted = self.host.accept_after(&heritage.bequest, names.guest, names.shown);
        let left = self.host.left_port(accepted);
        self.host.close(self.now, accepted);
        if let Some(left) = left {
            self.lingering.note(left, ends);
        }
    }
}

/// The connections that a listener let through last.
#[derive(Debug)]
pub(crate) struct Given {
    /// The listener's name in the host.
    at: SocketAddr,
    names: Vec<Names>,
    /// All of its clients had the kernel's names in the run.
    keeps_names: bool,
    /// The published address where the kernel has given out others.
    published: Option<Publication>,
    heritage: Heritage,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_nobodys_once_the_kernel_has_nothing_left_of_its_listener() {
        let at = SocketAddr::new(HOME, 40_123);
        let closed = Instant::from_secs(1000);
        let mut places = Places::default();
        let mut leave_at = |left_at: Option<Instant>| {
            let place = Place {
                port: 8080,
                origin: Origin::new(Slot::NONE),
                since: closed,
                left_at,
            };
            places.within.insert(at.port(), place);
            [0, 59, 60].map(|since| {
                let now = closed + Duration::from_secs(since);
                places.lately_name_of(at, None, &Sockets::default(), now).is_some()
            })
        };
        assert_eq!(leave_at(Some(closed)), [true, true, false]);
        assert_eq!(leave_at(None), [false; 3], "its clients had other names");
        assert_eq!(
            places.name_of(at),
            Some(SocketAddr::new(HOME, 8080)),
            "what it left stays"
        );
    }

    #[test]
    fn what_was_over_before_a_listeners_first_client_came_is_anothers() {
        let at = SocketAddr::new(HOME, 40_123);
        let since = Instant::from_secs(1000);
        let place = Place {
            port: 8080,
            origin: Origin::new(Slot::NONE),
            since,
            left_at: Some(since),
        };
        let mut places = Places::default();
        places.within.insert(at.port(), place);
        let is_its = |over| places.lately_name_of(at, over, &Sockets::default(), since).is_some();
        assert!(
            is_its(Some(since)) && is_its(Some(since - TICK)),
            "as the kernel counts"
        );
        assert!(!is_its(Some(since - TICK * 2)));
        assert!(is_its(None), "it is being closed");
    }
}
