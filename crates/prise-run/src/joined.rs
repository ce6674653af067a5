//! Joined streams: both ends of a connection in one run, and nobody who needs its packets.
//!
//! ```text
//! pumped   client ── AF_UNIX ── supervisor ── TCP ── supervisor ── AF_UNIX ── server
//! joined   client ───────────────────── AF_UNIX ────────────────────────── server
//! ```
//! The handshake is TCP's, over `lo`. What the client writes then waits at the supervisor's end of its descriptor until
//! accept(2): there that end itself becomes the server's descriptor, and nothing is left to pump. The connection stays
//! in the host, idle: for names, options, `TCP_INFO`, ports and their TIME-WAIT.
//!
//! *Who is joined.* Connections between two processes over addresses of the guest's own, while nothing was done to them
//! that TCP would have to carry: no shutdown, no urgent octet, no close that resets. Within one process nothing is
//! joined: there a program that writes much before it reads may count on the room of TCP's buffers, and a test of what
//! TCP does has both ends.
//!
//! *Who notices the close.* The other program, at once, from the kernel. The supervisor holds nothing of a joined
//! connection and is not woken; it looks when it is asked something about the socket, and the ledger tells it of the rest.

use core::net::SocketAddr;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, How, SocketId};
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, Timespec};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, recv, send, sockopt};

use crate::calls::{Target, write_address};
use crate::notify::{Answer, Call, DONE, Judged, errno, errno_of};
use crate::parked::ParkId;
use crate::sockaddr::encode;
use crate::socket::{Buffers, GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;
use crate::unix;

/// The guest's own name server answers there, by the supervisor's hand: nobody accepts.
const NAMES_PORT: u16 = 53;

/// What a joined stream may leave unread: TCP's buffers grow to some megabytes, and programs count on it. The kernel cuts
/// it to `net.core.wmem_max`.
const SEND_BUFFER: usize = 4 << 20;

/// A connection as both of its ends name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FourTuple {
    connector: SocketAddr,
    acceptor: SocketAddr,
}

impl FourTuple {
    fn new(connector: SocketAddr, acceptor: SocketAddr) -> Self {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            connector: plain(connector),
            acceptor: plain(acceptor),
        }
    }
}

/// A connected stream that may be joined once it is accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    tuple: FourTuple,
    /// The process that connected.
    process: u32,
}

/// What the supervisor knows of a stream whose octets it does not see.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The other end.
    peer: Slot,
    /// It is the end that connected.
    pub(crate) connector: bool,
    sending_ended: bool,
    receiving_ended: bool,
    /// An octet of ours lies in its queue, so that its close resets.
    resets: bool,
    /// Calls that wait to receive through the supervisor, in their order.
    pub(crate) receiving: VecDeque<ParkId>,
    /// Calls that wait to send through the supervisor.
    pub(crate) sending: VecDeque<ParkId>,
}

impl Joined {
    fn role(peer: Slot, connector: bool) -> Role {
        Role::Joined(Box::new(Self {
            peer,
            connector,
            sending_ended: false,
            receiving_ended: false,
            resets: false,
            receiving: VecDeque::new(),
            sending: VecDeque::new(),
        }))
    }
}

/// Who may be joined.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    /// Nobody needs packets.
    allowed: bool,
    /// Connected and not yet accepted.
    awaited: HashMap<FourTuple, Slot>,
    /// Who listens on a port.
    listeners: HashMap<u16, Vec<Slot>>,
}

impl Joins {
    pub(crate) fn new(allowed: bool) -> Self {
        Self {
            allowed,
            ..Self::default()
        }
    }

    /// A guest listens.
    pub(crate) fn listens(&mut self, port: u16, slot: Slot) {
        if self.allowed {
            self.listeners.entry(port).or_default().push(slot);
        }
    }

    /// It listens no more.
    pub(crate) fn listens_no_more(&mut self, port: u16, slot: Slot) {
        if let Some(slots) = self.listeners.get_mut(&port) {
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.listeners.remove(&port);
            }
        }
    }

    /// A candidate has been accepted, or is gone.
    pub(crate) fn forget(&mut self, candidate: Option<Candidate>, slot: Slot) {
        if let Some(candidate) = candidate
            && self.awaited.get(&candidate.tuple) == Some(&slot)
        {
            self.awaited.remove(&candidate.tuple);
        }
    }
}

impl Supervisor {
    /// Whether a connect to `remote` may lead to a joined stream.
    pub(crate) fn may_be_joined(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip().to_canonical();
        self.joins.allowed
            && (ip.is_unspecified() || self.host.stack().is_local(ip))
            && remote.port() != NAMES_PORT
            && self.joins.listeners.contains_key(&remote.port())
    }

    /// A stream has just been connected: where it may be joined, what it writes waits until it is accepted.
    pub(crate) fn hold(&mut self, target: &Target) {
        let slot = target.slot;
        let Some(socket) = self.sockets.get(slot) else { return };
        let (id, tid) = (socket.id, socket.holder.tid);
        let (Ok(local), Ok(remote)) = (self.host.local_addr(id), self.host.peer_addr(id)) else {
            return;
        };
        if !self.may_be_joined(remote) || !self.will_be_accepted(remote.port()) {
            return;
        }
        let candidate = Candidate {
            tuple: FourTuple::new(local, remote),
            process: self.guests.process(tid),
        };
        if let Some(GuestSocket {
            role: Role::Stream(stream),
            buffers,
            ..
        }) = self.sockets.get_mut(slot)
        {
            // Now that there is a copy of the program's end; given back where the stream is not joined after all.
            let _ = sockopt::set_socket_send_buffer_size(&target.copy, buffers.send.unwrap_or(SEND_BUFFER));
            stream.hold(candidate);
            self.joins.awaited.insert(candidate.tuple, slot);
        }
    }

    /// Whether the connection waits at a listener that does not wait for data itself: with `TCP_DEFER_ACCEPT` it is told of
    /// a connection when its first octets have come through the stack.
    fn will_be_accepted(&mut self, port: u16) -> bool {
        let slots = self.joins.listeners.get(&port);
        let ids: Vec<SocketId> = slots
            .into_iter()
            .flatten()
            .filter_map(|&slot| self.sockets.get(slot))
            .map(|socket| socket.id)
            .collect();
        let mut value = Vec::new();
        let mut waits_for_data = |id| {
            let (level, name) = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
            let told = self.host.option(self.now, id, level, name, &mut value);
            told.is_err() || value.iter().any(|&octet| octet != 0)
        };
        !ids.iter().any(|&id| waits_for_data(id)) && ids.iter().any(|&id| self.host.pending(id) > 0)
    }

    /// The stream of a guest's at the other end of a connection that a listener has given out.
    pub(crate) fn partner(&self, accepted: SocketId, peer: SocketAddr) -> Option<Slot> {
        let local = self.host.local_addr(accepted).ok()?;
        self.joins.awaited.get(&FourTuple::new(peer, local)).copied()
    }

    /// Whether a connection between `client` and the process that accepts it may be joined now.
    pub(crate) fn joins(&mut self, client: Slot, accepted: SocketId, process: u32) -> bool {
        let Some(socket) = self.sockets.get(client) else {
            return false;
        };
        let Role::Stream(stream) = &socket.role else {
            return false;
        };
        let (id, untouched) = (socket.id, stream.is_held_for_another(process));
        untouched
            && self.host.receive_queue(accepted) == Ok(0)
            && self.host.send_queue(id) == Ok(0)
            && !self.resets_on_close(id)
            && !self.resets_on_close(accepted)
    }

    /// From now on the stream is pumped; nothing happens where it is already.
    pub(crate) fn pump_again(&mut self, slot: Slot) {
        let Some(GuestSocket {
            role: Role::Stream(stream),
            ..
        }) = self.sockets.get_mut(slot)
        else {
            return;
        };
        let candidate = stream.let_go();
        self.joins.forget(candidate, slot);
        if candidate.is_some()
            && let Some(copy) = self.copy_of(slot)
        {
            let chosen = self.sockets.get(slot).and_then(|socket| socket.buffers.send);
            let _ = sockopt::set_socket_send_buffer_size(&copy, chosen.unwrap_or(self.attacher.send_buffer()));
        }
        self.attend_stream(slot);
    }

    /// Answers accept(2) with the very end of the client's descriptor.
    pub(crate) fn join(
        &mut self,
        call: &Call,
        listener: Slot,
        (id, peer): (SocketId, SocketAddr),
        client: Slot,
        flags: SocketFlags,
    ) -> Judged {
        let socket = self.entry(listener)?;
        let (family, kind, buffers) = (socket.family, socket.kind, socket.buffers);
        if call.args[1] != 0 {
            write_address(call, call.args[1], call.args[2], encode(peer, family).as_slice())?;
        }
        let slot = self.sockets.next_slot();
        let Role::Stream(stream) = core::mem::replace(&mut self.entry(client)?.role, Joined::role(slot, true)) else {
            return Err(Errno::ECONNABORTED);
        };
        let installed = self.install_end(call, &stream.end, flags).and_then(|fd| {
            let accepted = self.describe(call, id, (family, kind), &stream.end, Joined::role(client, false))?;
            Ok((fd, accepted))
        });
        match installed {
            Ok((fd, accepted)) => {
                let slot = self.sockets.insert(GuestSocket { buffers, ..accepted });
                self.entry(slot)?.holder.fd = fd;
                // Out of memory or watches, the socket stays until its guests have gone.
                let _ = self.ledger.enter(stream.end.as_fd(), slot);
                self.joins.forget(stream.candidate(), client);
                self.size_joined(&stream.end, buffers, client);
                Ok(Answer::Settled)
            }
            Err(error) => {
                let _ = self.poller.watch_socket(&stream.end, client);
                self.entry(client)?.role = Role::Stream(stream);
                Err(error)
            }
        }
    }

    /// Hands the end out; from then on it is watched no more.
    fn install_end(&mut self, call: &Call, end: &OwnedFd, flags: SocketFlags) -> Result<i32, Errno> {
        let mut status = OFlags::RDWR;
        status.set(OFlags::NONBLOCK, flags.contains(SocketFlags::NONBLOCK));
        rustix::fs::fcntl_setfl(end, status).map_err(errno)?;
        self.poller.forget(end);
        self.calls
            .install(call.id, end.as_fd(), flags.contains(SocketFlags::CLOEXEC))
            .map_err(|error| errno_of(&error))
    }

    /// The room that each end may fill: as asked for, or much.
    fn size_joined(&mut self, end: &OwnedFd, acceptors: Buffers, client: Slot) {
        let connectors = self
            .sockets
            .get(client)
            .map_or_else(Buffers::default, |socket| socket.buffers);
        // Refused by the kernel, a buffer stays as it is.
        let room = acceptors.send.or(connectors.receive).unwrap_or(SEND_BUFFER);
        let _ = sockopt::set_socket_send_buffer_size(end, room);
        // That of the connector's own end was set when it began to wait.
        if connectors.send.is_none()
            && let Some(room) = acceptors.receive
            && let Some(copy) = self.copy_of(client)
        {
            let _ = sockopt::set_socket_send_buffer_size(copy, room);
        }
    }

    /// A call is about a joined socket: whether its peer has left meanwhile.
    pub(crate) fn look_at_peer(&mut self, target: &Target) {
        let Some(Role::Joined(joined)) = self.sockets.get(target.slot).map(|socket| &socket.role) else {
            return;
        };
        let peer = joined.peer;
        let mut polled = [PollFd::new(&target.copy, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut polled, Some(&now)).is_err() {
            return;
        }
        let events = polled[0].revents();
        if events.contains(PollFlags::HUP) && !self.both_directions_ended(target.slot) {
            self.close(peer, events.contains(PollFlags::ERR));
            self.world.exchange(&mut self.host, self.now);
        }
    }

    /// Whether shutdown(2) has ended both directions: then the kernel's HUP says no more than that.
    fn both_directions_ended(&self, slot: Slot) -> bool {
        let joined = |slot| match self.sockets.get(slot).map(|socket| &socket.role) {
            Some(Role::Joined(joined)) => Some(joined),
            _ => None,
        };
        let Some(this) = joined(slot) else { return false };
        let (sends, receives) =
            joined(this.peer).map_or((false, false), |peer| (peer.sending_ended, peer.receiving_ended));
        (this.sending_ended || receives) && (this.receiving_ended || sends)
    }

    /// One end of a joined connection is closed: of what the other one still holds the kernel tells the rest.
    pub(crate) fn leave_peer(&mut self, joined: &Joined) {
        let Some(socket) = self.sockets.get_mut(joined.peer) else {
            return;
        };
        // Only told where the kernel's object shows an error, which is this one.
        let left = Role::Ended(Some(Errno::ECONNRESET));
        match core::mem::replace(&mut socket.role, left) {
            Role::Joined(peer) => {
                for id in peer.receiving.into_iter().chain(peer.sending) {
                    self.judge_parked_anew(id);
                }
            }
            other => socket.role = other,
        }
    }

    /// shutdown(2): the kernel's, and TCP's for those who ask about the connection.
    pub(crate) fn shutdown_joined(&mut self, target: &Target, how: How) -> Judged {
        let id = self.entry(target.slot)?.id;
        if let Role::Joined(joined) = &mut self.entry(target.slot)?.role {
            joined.sending_ended |= how.write();
            joined.receiving_ended |= how.read();
        }
        // Fails only where the connection is gone, of which the kernel tells.
        let _ = self.host.shutdown(self.now, id, how);
        unix::shut(&target.copy, how).map_err(errno)?;
        DONE
    }

    /// `SO_LINGER` was set: a close that resets is one with an octet unread. An urgent one is never read as data.
    pub(crate) fn follow_linger(&mut self, target: &Target) {
        let Some(socket) = self.sockets.get(target.slot) else {
            return;
        };
        let Role::Joined(joined) = &socket.role else { return };
        let (peer, lies_there, id) = (joined.peer, joined.resets, socket.id);
        let resets = self.resets_on_close(id);
        if resets == lies_there || sockopt::socket_oobinline(&target.copy) != Ok(false) {
            return;
        }
        let done = if resets {
            self.copy_of(peer)
                .is_some_and(|copy| send(&copy, &[0], unix::QUIET | SendFlags::OOB).is_ok())
        } else {
            let mut octet = [0];
            // Read over by the program meanwhile, it is gone already.
            let _ = recv(&target.copy, &mut octet[..], RecvFlags::DONTWAIT | RecvFlags::OOB);
            true
        };
        if done
            && let Some(GuestSocket {
                role: Role::Joined(joined),
                ..
            }) = self.sockets.get_mut(target.slot)
        {
            joined.resets = resets;
        }
    }

    /// A call waits on a joined socket through the supervisor, which for once wants to know what happens on it.
    pub(crate) fn watch_joined(&mut self, target: &Target) {
        let Some(Role::Joined(joined)) = self.sockets.get(target.slot).map(|socket| &socket.role) else {
            return;
        };
        let mut interest = EventFlags::ONESHOT;
        interest.set(EventFlags::IN | EventFlags::RDHUP, !joined.receiving.is_empty());
        interest.set(EventFlags::OUT, !joined.sending.is_empty());
        let (poller, slot) = (&self.poller, target.slot);
        // Unwatched, the call still sees signals and its timeout.
        let _ = self
            .ledger
            .through_door(target.copy.as_fd(), |door| poller.watch_once(door, slot, interest));
    }

    /// What a call has waited for may have come.
    pub(crate) fn attend_joined(&mut self, slot: Slot) {
        self.serve_receivers(slot);
        self.serve_senders(slot);
        let waits = match self.sockets.get(slot).map(|socket| &socket.role) {
            Some(Role::Joined(joined)) => !joined.receiving.is_empty() || !joined.sending.is_empty(),
            _ => false,
        };
        if waits && let Some(copy) = self.copy_of(slot) {
            self.watch_joined(&Target { slot, copy });
        }
    }
}

/// Whether the supervisor's end shows that the program has only written, if anything.
pub(crate) fn is_undisturbed(end: &OwnedFd) -> bool {
    let disturbed = PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP | PollFlags::PRI;
    let mut polled = [PollFd::new(end, PollFlags::RDHUP | PollFlags::PRI)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && !polled[0].revents().intersects(disturbed)
}

impl Candidate {
    /// The process that connected.
    pub(crate) fn process(&self) -> u32 {
        self.process
    }
}
