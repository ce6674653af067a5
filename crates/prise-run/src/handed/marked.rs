//! Connections that leave the run, of which nothing is remembered: their objects carry a mark, and the kernel knows the rest.
//!
//! The same is done by programs without asking, where they may ([`crate::start::shortcut`]), before the kernel connects.
//!
//! Where a connection that was made by connect(2) of a new stream leads is in its kernel's names: the host's loopback is what the run calls its gateway, every
//! other address is itself. So where the connection stands when the call returns, nothing is kept and nothing has to tell of
//! its close: of thousands that come and go nothing is left. The mark ([`prise_sys::write_hint`]) tells such a stream from one that was
//! inherited from beyond the run; it goes with the object, whoever has it. The first judged call adopts the stream, and so does who
//! lists sockets, by looking through the descriptors of the run's processes.
//!
//! Where connections cannot be marked, and of those that are being made, a note is taken: [`crate::handed::noted`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prise_shortcut::chart::Mark;
use prise_socket::Family;
use prise_sys::inet_diag::{Connecting, InetDiag};
use prise_sys::write_hint;
use rustix::net::{getpeername, getsockname, sockopt};

use crate::handed::Stage;
use crate::handed::adopted::{is_closed, is_connecting};
use crate::handed::dial::has_given_up;
use crate::handed::lingering::Ends;
use crate::handed::noted::{Noted, is_tcp};
use crate::socket::{Holder, Slot, unix};
use crate::supervisor::Supervisor;

/// Marks an object; false where that is not possible.
pub(crate) fn mark(object: impl AsFd, mark: Mark) -> bool {
    write_hint::set(object.as_fd(), mark.hint()).is_ok()
}

/// The mark of an object, if it has one.
fn mark_of(object: &OwnedFd) -> Option<Mark> {
    Mark::of(write_hint::get(object.as_fd()).ok()?)
}

/// Whether the connect(2) has failed that a program made of this object without asking, and it was told so. That is told once.
pub(crate) fn take_failure(object: &OwnedFd) -> bool {
    mark_of(object) == Some(Mark::Failed) && mark(object, Mark::Known)
}

/// The streams that are still connecting, asked of the kernel all at once where there are many to be adopted: it goes through all of its connections
/// for each answer.
#[derive(Debug, Default)]
struct AllConnecting(Option<HashMap<u32, Connecting>>);

impl AllConnecting {
    fn find(&mut self, inode: u32) -> Option<Connecting> {
        let ask = || {
            let families = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            let all = families.map(|ip| InetDiag::connecting(SocketAddr::new(ip, 0)).unwrap_or_default());
            all.into_iter().flatten().map(|it| (it.inode, it)).collect()
        };
        self.0.get_or_insert_with(ask).get(&inode).copied()
    }
}

/// Whom a connection leads to whose own name is `own`.
fn peer_of(connection: &OwnedFd, own: SocketAddr, all: Option<&mut AllConnecting>) -> SocketAddr {
    let connected = getpeername(connection).ok().flatten();
    let peer = connected.and_then(|it| SocketAddr::try_from(it).ok());
    let connecting = || {
        let inode = unix::inode(connection);
        if !is_connecting(connection) {
            return None;
        }
        // One that has begun since all were asked about is asked about by itself.
        let known = all.and_then(|all| all.find(inode)).filter(|it| it.local == own);
        let ask = || InetDiag::connecting(own).ok()?.into_iter().find(|it| it.inode == inode);
        known.or_else(ask).map(|it| it.remote)
    };
    // One that is over has no peer to ask about, and keeps its own name.
    peer.or_else(connecting).unwrap_or(match own {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    })
}

/// Marks an object of which the run knows, if it bears no mark: that it is known is what there is to say.
pub(crate) fn mark_as_known(object: BorrowedFd<'_>) {
    if write_hint::get(object).is_ok_and(|hint| hint == 0) {
        // Another user's cannot be marked by a program's own connect(2) either.
        mark(object, Mark::Known);
    }
}

impl Supervisor {
    /// Makes a marked connection a stream of the run's; none if it is none.
    pub(crate) fn adopt_marked(&mut self, holder: Holder, copy: &OwnedFd) -> Option<Slot> {
        self.adopt_marked_among(holder, copy, None)
    }

    fn adopt_marked_among(
        &mut self,
        holder: Holder,
        copy: &OwnedFd,
        connecting: Option<&mut AllConnecting>,
    ) -> Option<Slot> {
        let within = match mark_of(copy)? {
            // It stays, and its own name is the kernel's ([`crate::handed::plain`]).
            Mark::Within => true,
            Mark::Outside => false,
            Mark::Published | Mark::Known | Mark::Failed => return None,
        };
        if !is_tcp(copy) || !self.hands.is_at_home(copy) {
            return None;
        }
        let own = SocketAddr::try_from(getsockname(copy).ok()?).ok()?;
        if own.port() == 0 {
            // Marked, and not yet connecting: where it leads can be known later.
            return None;
        }
        if !within && has_given_up(copy) {
            return None;
        }
        let family = match own {
            SocketAddr::V4(_) => Family::Inet,
            SocketAddr::V6(_) => Family::Inet6,
        };
        let peer = peer_of(copy, own, connecting);
        let noted = Noted {
            cookie: sockopt::socket_cookie(copy).ok()?,
            family,
            seen: if within {
                // Over, or its listener is forgotten: nobody is told the name of a peer that is not there.
                self.places.name_of(peer).unwrap_or(peer)
            } else {
                self.gate.as_ref()?.guest_endpoint(peer)
            },
            stage: if within {
                Stage::Connected
            } else {
                // Whether its program has been told how connect(2) has ended the kernel knows, which may not have been ours.
                Stage::Connecting(peer)
            },
            holder,
            process: self.guests.process(holder.tid),
        };
        let mut socket = self.socket_called(&noted, copy, within.then_some(own)).ok()?;
        socket.ends = (within && peer.port() != 0).then(|| Box::new(Ends::between(own, peer)));
        let slot = self.sockets.insert(socket);
        // Out of memory or watches, it is adopted again when it is seen again.
        let _ = self.ledger.enter(copy.as_fd(), slot);
        Some(slot)
    }

    /// A stream became one of the run's by a call of one thread while another was about to connect it without asking, which is made up for: it
    /// is a connection that leaves since.
    pub(crate) fn catch_up(&mut self, slot: Slot, copy: &OwnedFd) -> Option<()> {
        if !self.ledger.marks_entries() || !self.listens_next(slot) || is_closed(copy) {
            return None;
        }
        let id = self.sockets.get(slot)?.id;
        let own = SocketAddr::try_from(getsockname(copy).ok()?).ok()?;
        let peer = peer_of(copy, own, None);
        let seen = self.gate.as_ref()?.guest_endpoint(peer);
        // Without a port that is free it goes on as what it was, of which the kernel tells more.
        self.host.connect_elsewhere(id, seen).ok()?;
        self.set_stage(slot, Stage::Connecting(peer));
        Some(())
    }

    /// Adopts all marked connections, because somebody lists sockets. What is on its way between two processes is listed when it is seen again.
    pub(crate) fn adopt_all_marked(&mut self) {
        if !self.hands.has_marked() {
            return;
        }
        self.guests.know_all(&self.program.kin);
        let mut known: HashMap<u32, Option<Slot>> = HashMap::new();
        known.extend(self.sockets.iter().map(|(slot, socket)| (socket.inode, Some(slot))));
        let open = self.guests.open_sockets();
        let tasks: HashSet<u32> = open.iter().map(|(holder, _)| holder.tid).collect();
        let mut connecting = AllConnecting::default();
        for (holder, inode) in open {
            let Some(slot) = known.get(&inode) else {
                known.insert(inode, self.adopt_unknown(holder, &mut connecting));
                continue;
            };
            // A child was seen with it that has ended.
            if let Some(socket) = slot.and_then(|slot| self.sockets.get_mut(slot))
                && !tasks.contains(&socket.holder.tid)
            {
                socket.holder = holder;
            }
        }
    }

    /// Makes what a task has open a stream of the run's, if it is a marked connection or one that accept(2) of the kernel has given out:
    /// most are none.
    fn adopt_unknown(&mut self, holder: Holder, connecting: &mut AllConnecting) -> Option<Slot> {
        let copy = self.guests.descriptor(holder.tid, holder.fd).ok()?;
        let cookie = sockopt::socket_cookie(&copy).ok()?;
        if self.sockets.by_cookie(cookie).is_some() {
            return None;
        }
        self.adopt_marked_among(holder, &copy, Some(connecting))
            .or_else(|| self.adopt_accepted(holder, &copy))
    }
}
