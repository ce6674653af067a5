//! accept(2) and accept4(2).

use core::net::SocketAddr;
use core::time::Duration;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Family, SocketId};
use prise_sys::seccomp::Listener;
use prise_sys::sockopt as options;
use rustix::net::{SocketFlags, SocketType, sockopt};

use super::socket::socket_flags;
use super::{Target, blocks, require_stream, write_address, write_within};
use crate::guest::notify::{Answer, Call, Judged, errno, errno_of};
use crate::guest::sockaddr::encode;
use crate::handed::native_accept::Seen;
use crate::handed::plain::Granted;
use crate::socket::arrivals::Arrivals;
use crate::socket::listener::Listening;
use crate::socket::stream::Stream;
use crate::socket::unix;
use crate::socket::{GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;
use crate::waiting::parked::Wish;

/// An accept(2) that is to be given a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acceptor<'a> {
    pub(crate) call: &'a Call,
    pub(crate) listener: Slot,
    pub(crate) flags: SocketFlags,
    /// How long the peer's name may be, where that was read before the peer has come.
    room: Option<i32>,
}

impl<'a> Acceptor<'a> {
    pub(crate) fn new(call: &'a Call, listener: Slot, room: Option<i32>) -> Result<Self, Errno> {
        let flags = accept_flags(call)?;
        Ok(Self {
            call,
            listener,
            flags,
            room,
        })
    }

    /// Tells the peer's name, if that is asked for.
    pub(crate) fn tell(&self, peer: SocketAddr, family: Family) -> Result<(), Errno> {
        let [_, address, len_address, ..] = self.call.args;
        if address == 0 {
            return Ok(());
        }
        let name = encode(peer, family);
        match self.room {
            Some(room) => write_within(self.call, address, len_address, name.as_slice(), room),
            None => write_address(self.call, address, len_address, name.as_slice()),
        }
    }

    /// Answers with a connection.
    pub(crate) fn install(&self, calls: &Listener, connection: &OwnedFd) -> Result<i32, Errno> {
        let closes_on_exec = self.flags.contains(SocketFlags::CLOEXEC);
        calls
            .install(self.call.id, connection.as_fd(), closes_on_exec)
            .map_err(|error| errno_of(&error))
    }
}

impl Supervisor {
    pub(super) fn accept(&mut self, call: &Call, target: Target) -> Judged {
        let room = self.room_again(call, target.slot);
        let acceptor = Acceptor::new(call, target.slot, room)?;
        require_stream(self.entry(target.slot)?)?;
        // One that was shut listens no more (`inet_csk_accept`).
        let listening = self
            .listening(target.slot)
            .filter(|it| !it.ended)
            .ok_or(Errno::EINVAL)?;
        let (native, nobody_waits) = (listening.is_native(), listening.waiting.is_empty());
        if native {
            self.offer_unasked(call, &target);
        }
        let granted = if native {
            self.grant(call, target.slot, &target.copy, room, Seen::Perhaps)
        } else {
            Granted::No
        };
        if granted == Granted::Native {
            self.still = true;
            return Ok(Answer::Native);
        }
        let waits = || blocks(&target.copy, 0);
        // Those who came first are served first. Who waits at a listener of the kernel's has found nobody.
        if granted == Granted::No && (native || nobody_waits || !waits()) {
            match self.try_accept(acceptor, Some(&target.copy)) {
                Err(Errno::EAGAIN) if waits() => (),
                judged => return judged,
            }
        }
        let timeout = sockopt::socket_timeout(&target.copy, sockopt::Timeout::Recv)
            .ok()
            .flatten();
        let wish = Wish::Accept {
            room: room.or_else(|| room_for_name(call)),
            waits: granted == Granted::No || waits(),
        };
        let id = self.park(call, target.slot, wish, timeout);
        if let Some(listening) = self.listening(target.slot) {
            listening.waiting.push_back(id);
        }
        if native && granted == Granted::No {
            self.watch_native_listener(target.slot, id, target.copy);
        }
        Ok(Answer::Settled)
    }

    pub(crate) fn listening(&mut self, slot: Slot) -> Option<&mut Listening> {
        match &mut self.sockets.get_mut(slot)?.role {
            Role::Listener(listening) => Some(listening),
            _ => None,
        }
    }

    /// Gives out the oldest connection that waits; `EAGAIN` if none does.
    pub(crate) fn try_accept(&mut self, acceptor: Acceptor<'_>, copy: Option<&OwnedFd>) -> Judged {
        let native = self.listening(acceptor.listener).is_some_and(|it| it.is_native());
        if native {
            return self.try_accept_natively(acceptor, copy.ok_or(Errno::EAGAIN)?, Seen::Perhaps);
        }
        self.accept_hidden(acceptor, copy)
    }

    /// Gives out the oldest connection that waits with the supervisor; `EAGAIN` if none does.
    pub(crate) fn accept_hidden(&mut self, acceptor: Acceptor<'_>, copy: Option<&OwnedFd>) -> Judged {
        let slot = acceptor.listener;
        let listener = self.entry(slot)?.id;
        let returned = self
            .listening(slot)
            .and_then(|listening| listening.returned.pop_front());
        let (id, peer) = match returned.map_or_else(|| self.host.accept(self.now, listener), Ok) {
            Err(Errno::EAGAIN) => return self.accept_caller(acceptor, copy),
            connection => connection?,
        };
        let waiting = self.show_taken(slot, copy);
        let judged = self.hand_over(acceptor, id, peer);
        if judged.as_ref().is_err_and(|error| is_about_name(*error)) {
            // Accepted, and closed because its name could not be told: Linux does so.
            self.host.close(self.now, id);
        } else if judged.is_err()
            && let Some(listening) = self.listening(slot)
        {
            listening.returned.push_front((id, peer));
            listening.announce(waiting + 1);
        }
        judged
    }

    /// A connection was taken, and is about to be given out: shows those that are left, and answers how many. Before the answer, because
    /// who has it may poll at once, and must not find the token of what it has just accepted.
    pub(crate) fn show_taken(&mut self, slot: Slot, copy: Option<&OwnedFd>) -> usize {
        let waiting = self.connections_waiting(slot);
        if let Some(listening) = self.listening(slot) {
            if let Some(copy) = copy {
                listening.withdraw(waiting, copy);
            }
            listening.announce(waiting);
        }
        waiting
    }

    /// Makes the pair of an accepted connection and answers the call with the program's end.
    fn hand_over(&mut self, acceptor: Acceptor<'_>, id: SocketId, peer: SocketAddr) -> Judged {
        let socket = self.entry(acceptor.listener)?;
        let (family, kind, buffers) = (socket.family, socket.kind, socket.buffers);
        let stamped = socket.arrivals.is_some();
        let (theirs, ours) = unix::pair(SocketType::STREAM, acceptor.flags).map_err(errno)?;
        // Before the descriptor: once that is there, the program goes on.
        acceptor.tell(peer, family)?;
        let slot = self.sockets.next_slot();
        self.poller
            .watch_socket(&ours, slot)
            .map_err(|error| errno_of(&error))?;
        buffers.apply(Some(&theirs), &ours);
        self.inherit_reading(id, &theirs);
        let accepted = self.describe(
            acceptor.call,
            id,
            (family, kind),
            &theirs,
            Role::Stream(Stream::new(ours)),
        )?;
        let arrivals = stamped.then(|| Box::new(self.arrivals_before_accept(id)));
        self.sockets.insert(GuestSocket {
            buffers,
            arrivals,
            ..accepted
        });
        match acceptor.install(&self.calls, &theirs) {
            Ok(fd) => {
                self.entry(slot)?.holder.fd = fd;
                drop(theirs);
                // It may have received already.
                self.attend_stream(slot);
                Ok(Answer::Settled)
            }
            Err(error) => {
                self.sockets.remove(slot);
                Err(error)
            }
        }
    }

    /// What has come before somebody asked for the connection came when its last segment did.
    fn arrivals_before_accept(&self, id: SocketId) -> Arrivals {
        let mut arrivals = Arrivals::new(0);
        let info = self.host.tcp_info(self.now, id);
        let since = info.map_or(Duration::ZERO, |info| info.since_data_received);
        arrivals.note(self.host.readable(id), self.now - since);
        arrivals
    }

    /// Urgent octets stay in line where the listener's do, and so many octets are waited for, also on the object from which the program reads
    /// natively.
    fn inherit_reading(&mut self, id: SocketId, theirs: &OwnedFd) {
        for (name, usual) in [(libc::SO_OOBINLINE, 0_i32), (libc::SO_RCVLOWAT, 1)] {
            let mut value = Vec::new();
            let told = self.host.option(self.now, id, libc::SOL_SOCKET, name, &mut value);
            if told.is_ok() && value != usual.to_ne_bytes() {
                // Refused by the kernel, it stays the host's alone.
                let _ = options::set(theirs.as_fd(), libc::SOL_SOCKET, name, &value);
            }
        }
    }

    /// Connections that accept(2) would give out now.
    pub(crate) fn connections_waiting(&self, slot: Slot) -> usize {
        let Some(socket) = self.sockets.get(slot) else { return 0 };
        let Role::Listener(listening) = &socket.role else {
            return 0;
        };
        listening.returned.len()
            + listening.callers.len()
            + self.host.info(socket.id).map_or(0, |info| info.receive_queue)
    }

    /// Shows the connections that have arrived to who polls, where no call waits for them.
    pub(crate) fn show_connections(&mut self, slot: Slot) {
        let connections = self.connections_waiting(slot);
        if let Some(listening) = self.listening(slot)
            && listening.waiting.is_empty()
        {
            listening.announce(connections);
        }
    }

    /// Connections have arrived, or were reset: serves who waits, then shows the others to who polls.
    pub(crate) fn attend_listener(&mut self, slot: Slot) {
        if self.listening(slot).is_some_and(|listening| listening.is_native()) {
            return self.attend_native_listener(slot, Seen::Perhaps);
        }
        loop {
            let connections = self.connections_waiting(slot);
            let Some(listening) = self.listening(slot) else { return };
            if connections == 0 {
                return;
            }
            let Some(id) = listening.waiting.pop_front() else {
                listening.announce(connections);
                if listening.found_nobody() {
                    self.finish(slot);
                }
                return;
            };
            let shows_too_many = listening.shown() >= connections;
            let Some(parked) = self.parked.remove(id) else { continue };
            // Its copy was not held while it waited: that would have hidden a close. Mostly nothing is shown to be withdrawn.
            let copy = if shows_too_many {
                let Some(target) = self.target_again(&parked.call, slot) else {
                    self.answer(&parked.call, Err(Errno::EBADF));
                    continue;
                };
                Some(target.copy)
            } else {
                None
            };
            let judged = Acceptor::new(&parked.call, slot, parked.wish.room_for_name())
                .and_then(|acceptor| self.try_accept(acceptor, copy.as_ref()));
            self.answer(&parked.call, judged);
        }
    }

    /// shutdown(2) of a listener: who waits is told that it listens no more.
    pub(crate) fn wake_acceptors(&mut self, slot: Slot) {
        while let Some(id) = self.listening(slot).and_then(|listening| listening.waiting.pop_front()) {
            if let Some(parked) = self.parked.remove(id) {
                self.answer(&parked.call, Err(Errno::EINVAL));
            }
        }
    }
}

/// Whether accept(2) fails because the peer's name cannot be told, by which Linux has taken the connection.
pub(crate) fn is_about_name(error: Errno) -> bool {
    matches!(error, Errno::EFAULT | Errno::EINVAL)
}

/// How long the peer's name may be, as it stands while nobody has come yet: read then, it is not between the peer and the program. What
/// cannot be read is an error that Linux finds when somebody has come.
fn room_for_name(call: &Call) -> Option<i32> {
    if call.args[1] == 0 {
        return None;
    }
    call.memory().read_i32(call.args[2]).ok()
}

fn accept_flags(call: &Call) -> Result<SocketFlags, Errno> {
    if call.number == libc::SYS_accept4 {
        socket_flags(call.int(3))
    } else {
        Ok(SocketFlags::empty())
    }
}
