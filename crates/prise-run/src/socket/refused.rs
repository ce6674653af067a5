//! Datagram sockets whose peer refuses what they send, or may soon, and those that are shut for reading: where connect(2) and shutdown(2) give them a
//! pair of UDP's ([`crate::socket::inet_pair`]).

use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{How, SocketId};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{SocketFlags, sockopt};

use crate::calls::Target;
use crate::guest::asleep::others_sleep_on;
use crate::guest::notify::Call;
use crate::guest::sockaddr::canonical;
use crate::socket::Slot;
use crate::socket::inet_pair::InetPair;
use crate::socket::unix;
use crate::supervisor::Supervisor;

/// Ports that nobody is meant to have: glibc, Go and musl connect to them only to see which address they would come from, and then send
/// nothing. With it, whether their socket has `O_NONBLOCK` then: a program that connects the other way round may want to be refused. Who is
/// connected to port 0 hears all ports of its peer, which a pair cannot.
const ASKED_FOR_THE_WAY: [(u16, bool); 4] = [(0, false), (0, true), (9, true), (65_535, false)];

impl Supervisor {
    /// A datagram socket was connected. Where nobody has the port, within the run, its object is to say `ECONNREFUSED` of what is refused.
    pub(crate) fn expect_refusal(&mut self, call: &Call, target: Target) -> Target {
        let slot = target.slot;
        if self.may_be_refused(slot, &target.copy, call) {
            self.give_inet_pair(call, target)
        } else {
            target
        }
    }

    /// A datagram socket is about to be shut for reading. What comes all the same its program reads on Linux; the kernel puts nothing into an object
    /// of AF_UNIX's then.
    pub(crate) fn expect_to_hear_on(&mut self, call: &Call, target: Target) -> Target {
        if !self.may_have_inet_pair(target.slot) {
            return target;
        }
        let slot = target.slot;
        let target = self.give_inet_pair(call, target);
        if self
            .sockets
            .datagram_mut(slot)
            .is_some_and(|it| it.is_inet() && it.mute)
        {
            // Shut for writing before, as what it had was: that fails without a peer, and shuts it.
            let _ = unix::shut(&target.copy, How::Write);
        }
        let has_peer = self
            .sockets
            .get(slot)
            .is_some_and(|it| self.host.peer_addr(it.id).is_ok());
        if let Some(datagram) = self.sockets.datagram_mut(slot).filter(|it| has_peer && it.is_inet()) {
            // Without it nothing that is written natively has a way: as if there were no room.
            let _ = datagram.gain_peer(&target.copy);
        }
        target
    }

    /// Puts a pair of UDP's in the place of what a datagram socket has, where that can be.
    fn give_inet_pair(&mut self, call: &Call, target: Target) -> Target {
        let slot = target.slot;
        let Ok(status) = fcntl_getfl(&target.copy) else {
            return target;
        };
        let Some((theirs, ours, pair)) = self.prepare_inet(slot, &target.copy, status) else {
            return target;
        };
        let (Ok(cookie), inode) = (self.name_of(&theirs), unix::inode(&theirs)) else {
            return target;
        };
        if self.poller.watch_socket(&ours, slot).is_err() || self.ledger.enter(theirs.as_fd(), slot).is_err() {
            return target;
        }
        // A thread that waits would wait for what comes to the old one.
        let nobody_sleeps = |it: &mut Self| !others_sleep_on(it.guests.process(call.tid), call.tid, call.fd());
        if let Err(before) = self.put_in_place(call, target, &theirs, nobody_sleeps) {
            return before;
        }
        self.sockets.renew_object(slot, cookie, inode);
        if let Some(datagram) = self.sockets.datagram_mut(slot) {
            datagram.change_to(ours, pair);
        }
        Target { slot, copy: theirs }
    }

    /// Whether a datagram socket's object may be another, of which nothing is left.
    fn may_have_inet_pair(&mut self, slot: Slot) -> bool {
        let may = self.keeping.is_none() && !self.is_confined() && self.is_udp(slot);
        may && self.sockets.datagram_mut(slot).is_some_and(|it| it.is_untouched())
    }

    /// Whether what a socket sends to its peer is going to be refused within the run, now or once the program itself closes who is there,
    /// and its object may be another.
    fn may_be_refused(&mut self, slot: Slot, copy: &OwnedFd, call: &Call) -> bool {
        if !self.may_have_inet_pair(slot) {
            return false;
        }
        let Ok(status) = fcntl_getfl(copy) else {
            return false;
        };
        let Some(socket) = self.sockets.get(slot) else {
            return false;
        };
        let id = socket.id;
        let Ok(peer) = self.host.peer_addr(id).map(canonical) else {
            return false;
        };
        let Ok(from) = self.host.local_addr(id).map(canonical) else {
            return false;
        };
        self.host.stack().is_local(peer.ip())
            && !ASKED_FOR_THE_WAY.contains(&(peer.port(), status.contains(OFlags::NONBLOCK)))
            // Glibc asks for the way to a service of TCP by such a connect(2), and with its port.
            && self.nobody_listens(id, peer, from)
            && !self.host.is_shut(id)
            && (self.is_alone_with(call, id, peer.port()) || !self.has_receiver(peer.port()))
    }

    /// Whether only other sockets of the calling process have the port: who tests what becomes of an error closes them and looks. Of other
    /// processes' sockets it is not expected: a pair of UDP's costs more for each datagram, and loses what AF_UNIX has writers wait with.
    fn is_alone_with(&mut self, call: &Call, id: SocketId, port: u16) -> bool {
        let process = self.guests.process(call.tid);
        let mut receivers = self.host.udp_on_port(port).peekable();
        receivers.peek().is_some()
            && receivers.all(|other| {
                let holder = self.sockets.by_id(other).and_then(|slot| self.sockets.get(slot));
                other != id && holder.is_some_and(|it| it.process == process)
            })
    }

    /// Whether anybody in the run has the port, and has it open: of a close nobody may have told.
    fn has_receiver(&mut self, port: u16) -> bool {
        let sockets = &self.sockets;
        let slots = self.host.udp_on_port(port).map(|id| sockets.by_id(id));
        let Some(slots) = slots.collect::<Option<Vec<Slot>>>() else {
            // The run's own name server.
            return true;
        };
        if slots.iter().any(|&slot| self.is_where_it_was_seen(slot)) {
            return true;
        }
        if slots.is_empty() {
            return false;
        }
        self.sweep();
        let left = slots.into_iter().find(|&slot| self.sockets.get(slot).is_some());
        // Found at once the next time.
        left.inspect(|&slot| drop(self.copy_of(slot))).is_some()
    }

    /// Whether the descriptor through which a socket was last seen still leads to it.
    fn is_where_it_was_seen(&mut self, slot: Slot) -> bool {
        let Some(socket) = self.sockets.get(slot) else {
            return false;
        };
        let (holder, cookie) = (socket.holder, socket.cookie);
        let copy = self.guests.descriptor(holder.tid, holder.fd);
        copy.is_ok_and(|copy| self.name_of(&copy) == Ok(cookie))
    }

    /// A pair with everything that was set on the object that it stands in for.
    fn prepare_inet(&mut self, slot: Slot, before: &OwnedFd, status: OFlags) -> Option<(OwnedFd, OwnedFd, InetPair)> {
        if !(OFlags::RDWR | OFlags::NONBLOCK | OFlags::LARGEFILE).contains(status) {
            // Signals on input (O_ASYNC) have an owner, which would be lost.
            return None;
        }
        let mut flags = SocketFlags::empty();
        flags.set(SocketFlags::NONBLOCK, status.contains(OFlags::NONBLOCK));
        if self.inet_pairs.asks_for_closed() {
            self.sweep();
        }
        let ground = self.inet_pairs.ground()?;
        let (theirs, ours, mut pair) = InetPair::new(&ground, flags).ok()?;
        unix::copy_timeouts(before, &theirs);
        let buffers = self.sockets.get(slot)?.buffers;
        if let Some(size) = buffers.send {
            // Refused by the kernel, it stays as it is.
            let _ = sockopt::set_socket_send_buffer_size(&theirs, size);
        }
        if let Some(size) = buffers.receive {
            pair.make_room(&theirs, size);
        }
        Some((theirs, ours, pair))
    }
}
