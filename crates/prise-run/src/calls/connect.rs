//! connect(2): asked, put to wait or left in progress, and finished.
//!
//! ```text
//! Fresh ── connect ──► Asked ──┬─ made or refused within the turn ──► answered
//!                              ├─ blocking ──► Waiting ──┬──────────► answered
//!                              │                 signal, timeout
//!                              └─ else ──► InProgress ◄──┘ ─────────► the program's descriptor polls it
//! ```

use core::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Kind, Readiness, SocketId};
use prise_sys::sockopt as options;
use rustix::event::PollFlags;
use rustix::net::{SocketFlags, sockopt};

use super::{Target, blocks, read_address};
use crate::guest::Guests;
use crate::guest::epoll_sets::Watched;
use crate::guest::notify::{Answer, Call, DONE, Judged, errno, errno_of};
use crate::guest::sockaddr::{Named, parse, parse_datagram};
use crate::handed::dial::Way;
use crate::handed::{Handed, Stage};
use crate::socket::connecting::{Asked, Connecting, Opening};
use crate::socket::datagram::Datagram;
use crate::socket::stream::Stream;
use crate::socket::unix;
use crate::socket::{Failure, Role, Slot};
use crate::supervisor::Supervisor;
use crate::waiting::parked::{Parked, Wish};

/// An address that connect(2) does not look at, except that it has a family and whether that is `AF_UNSPEC`.
fn named_in_vain(octets: &[u8]) -> Result<Named, Errno> {
    let nowhere = SocketAddr::from((core::net::Ipv4Addr::UNSPECIFIED, 0));
    match octets.first_chunk::<2>() {
        None => Err(Errno::EINVAL),
        Some([0, 0]) => parse(octets, prise_socket::Family::Inet),
        Some(_) => Ok(Named::Endpoint(nowhere)),
    }
}

/// What a ping socket of IPv6 does not speak to (`ip6_datagram_connect_v6_only`), which is told before what its length is.
fn is_of_another_family(octets: &[u8]) -> bool {
    let own = [
        (libc::AF_INET6 as u16).to_ne_bytes(),
        (libc::AF_UNSPEC as u16).to_ne_bytes(),
    ];
    octets.first_chunk().is_some_and(|family| !own.contains(family))
}

fn is_of_ipv4(octets: &[u8]) -> bool {
    octets.first_chunk() == Some(&(libc::AF_INET as u16).to_ne_bytes())
}

impl Supervisor {
    pub(super) fn connect(&mut self, call: &Call, target: Target) -> Judged {
        let octets = read_address(call, call.args[1], call.int(2))?;
        self.forget_told_failure(&target);
        let socket = self.entry(target.slot)?;
        let (id, family, kind) = (socket.id, socket.family, socket.kind);
        let is_stream = kind == Kind::Stream;
        if !is_stream && octets.first_chunk().is_some_and(|family| *family != [0, 0]) {
            // inet_dgram_connect, before the address is looked at.
            self.host.autobind(self.now, id).map_err(|_| Errno::EAGAIN)?;
        }
        if family == prise_socket::Family::Inet6 && self.is_ping(target.slot) && is_of_another_family(&octets) {
            return Err(Errno::EAFNOSUPPORT);
        }
        if is_of_ipv4(&octets) && self.is_udp(target.slot) && self.host.refuses_peer_of_ipv4(id) {
            // Before its length.
            return Err(Errno::EAFNOSUPPORT);
        }
        let named = if is_stream && !self.host.looks_at_address(id) {
            named_in_vain(&octets)?
        } else if is_stream {
            parse(&octets, family)?
        } else {
            parse_datagram(&octets, family)?
        };
        let address = match named {
            Named::Endpoint(address) => address,
            Named::Unspecified(..) => return self.disconnect(call, &target),
        };
        if self.host.looks_at_address(id) {
            self.permit(call, target.slot, address)?;
        }
        if !is_stream {
            self.flush_datagrams(target.slot);
            self.host.connect(self.now, id, address)?;
            self.note_owner(call, target.slot, None);
            let target = self.expect_refusal(call, target);
            return self.follow_peer(&target, |datagram, copy, _| datagram.gain_peer(copy));
        }
        match self.connect_outside(call, target, address)? {
            Way::Judged(judged) => judged,
            Way::Inside(target) => self.connect_by_stack(call, target, id, address),
        }
    }

    /// connect(2) with `AF_UNSPEC`.
    fn disconnect(&mut self, call: &Call, target: &Target) -> Judged {
        let socket = self.entry(target.slot)?;
        let id = socket.id;
        let was_native_listener = match &socket.role {
            Role::Handed(_) => return self.disconnect_handed(target),
            Role::Stream(_) | Role::Ended(_) => return self.disconnect_stream(call, target),
            Role::Listener(listening) => listening.ended && listening.is_native(),
            Role::Fresh | Role::Connecting(_) | Role::Datagram(_) => false,
        };
        self.flush_datagrams(target.slot);
        let was_shut = matches!(self.entry(target.slot)?.role, Role::Fresh) && self.host.is_shut(id);
        self.leave_as_listener(target.slot);
        self.host.disconnect(self.now, id)?;
        self.end_listening(target);
        if was_native_listener {
            // Nor is it shut any more, and who watches it by edges sees another (`tcp_disconnect`).
            let _ = rustix::net::connect_unspec(&target.copy);
        }
        if was_shut {
            // It is not any more.
            self.renewed(call, target)?;
            return DONE;
        }
        self.follow_peer(target, Datagram::lose_peer)
    }

    /// connect(2) with `AF_UNSPEC` of a stream that our TCP carries. An AF_UNIX object that had an end cannot be without one again: the kernel's
    /// TCP socket that takes its place shows what Linux shows. Under a policy programs have no such thing, and an object that was never
    /// connected comes closest.
    fn disconnect_stream(&mut self, call: &Call, target: &Target) -> Judged {
        let slot = target.slot;
        let (id, family) = (self.entry(slot)?.id, self.entry(slot)?.family);
        let had_ended = matches!(self.entry(slot)?.role, Role::Ended(_));
        let failure = self.failure_waiting(target);
        let theirs = if self.policy.is_empty() {
            self.disconnected_object(family, &target.copy, failure).ok()
        } else {
            None
        };
        let native = theirs.is_some();
        let theirs = match theirs {
            Some(theirs) => theirs,
            None => Self::like(&target.copy)?,
        };
        if native {
            // It keeps what the kernel is asked for alone.
            self.lend_kept(slot, &theirs);
        }
        // The last that can fail: until then the connection is what it was.
        self.replace_object(call, target, &theirs)?;
        self.host.disconnect(self.now, id)?;
        if native {
            // The object tells of the reset, if there was anything to be reset.
            let reset = self.host.take_error(id);
            if failure.is_none() && (had_ended || reset.is_none()) {
                let _ = sockopt::socket_error(&theirs);
            }
        }
        // Nobody is told by the object that was.
        self.failure_left(target);
        let role = if native { Handed::role(Stage::Idle) } else { Role::Fresh };
        let before = core::mem::replace(&mut self.entry(slot)?.role, role);
        if let Role::Stream(stream) = before
            && !stream.resets_when_closed()
        {
            // Copies elsewhere, and who waits on them, see a reset: an end is closed with an octet unread.
            let _ = unix::send_octet(&target.copy);
        }
        self.enter_ledger(&Target { slot, copy: theirs });
        self.judge_messages_anew(slot);
        DONE
    }

    /// connect(2) of a stream that our TCP carries.
    fn connect_by_stack(&mut self, call: &Call, target: Target, id: SocketId, address: SocketAddr) -> Judged {
        // Whom it reaches shall be there.
        self.hear_of_closes();
        let blocking = blocks(&target.copy, 0);
        let had_failed = self.host.has_failed_to_connect(id);
        match self.host.connect(self.now, id, address) {
            Ok(()) => {
                // Connected with its first octets, a stream that was born as the kernel's needs another end.
                let stands_in = !matches!(self.entry(target.slot)?.role, Role::Handed(_));
                let target = if stands_in { target } else { self.unused(call, target)? };
                self.connected(target)
            }
            Err(error) if had_failed => self.told_of_failure(call, target, error),
            Err(Errno::EINPROGRESS) => {
                self.note_owner(call, target.slot, Some(address));
                let target = self.unused_or_shut(call, target, id)?;
                self.asked.push(target.slot);
                let slot = target.slot;
                let asked = Asked {
                    call: *call,
                    remote: address,
                    copy: target.copy,
                    blocking,
                    opening: None,
                };
                self.entry(slot)?.role = Role::Connecting(Connecting::Asked(asked));
                Ok(Answer::Settled)
            }
            // A blocking call joins the connect that is under way, as one does that a signal has restarted.
            Err(Errno::EALREADY) if blocking => self.rejoin(call, &target),
            Err(error) => Err(error),
        }
    }

    /// Of what an ended stream died, if nobody was told yet: nobody else is, by the kernel's object neither.
    pub(super) fn failure_left(&mut self, target: &Target) -> Option<Errno> {
        let failure = self.failure_waiting(target);
        if let Role::Ended(failure) = &mut self.entry(target.slot).ok()?.role {
            *failure = None;
            let _ = sockopt::socket_error(&target.copy);
        }
        failure
    }

    /// The same, and whoever asks next is told still.
    fn failure_waiting(&mut self, target: &Target) -> Option<Errno> {
        let Role::Ended(failure) = self.entry(target.slot).ok()?.role else {
            return None;
        };
        match failure {
            Some(Failure { error, is_shown: false }) => Some(error),
            _ if unix::shows(&target.copy, PollFlags::ERR) => {
                let error = self.meant_by_reset(target.slot, failure);
                // The host tells once.
                let failure = Some(Failure { error, is_shown: true });
                self.entry(target.slot).ok()?.role = Role::Ended(failure);
                Some(error)
            }
            _ => None,
        }
    }

    /// connect(2) has told of what a connect in progress came to: the descriptor polls as one that was never connected, which
    /// the kernel's object can only be anew.
    fn told_of_failure(&mut self, call: &Call, target: Target, error: Errno) -> Judged {
        self.attend(target.slot);
        // What it died of may have been taken to be shown by the descriptor.
        let left = self.failure_left(&target).filter(|_| error == Errno::ECONNABORTED);
        // Copies of the descriptor elsewhere have the old object; its error is told now.
        let _ = sockopt::socket_error(&target.copy);
        let target = self.unused(call, target)?;
        self.entry(target.slot)?.role = Role::Fresh;
        Err(left.unwrap_or(error))
    }

    /// The kernel's object follows what became of a datagram socket's peer.
    fn follow_peer(
        &mut self,
        target: &Target,
        follow: impl FnOnce(&mut Datagram, &OwnedFd, &mut [u8]) -> Result<(), rustix::io::Errno>,
    ) -> Judged {
        if let Some(socket) = self.sockets.get_mut(target.slot)
            && let Role::Datagram(datagram) = &mut socket.role
        {
            follow(datagram, &target.copy, &mut self.scratch).map_err(errno)?;
        }
        DONE
    }

    /// The connection stands. A program that did not wait may ask once more and be told so: it has its other end already.
    fn connected(&mut self, target: Target) -> Judged {
        if matches!(self.entry(target.slot)?.role, Role::Fresh) {
            let end = self.attach(&target).map_err(|error| errno_of(&error))?;
            self.entry(target.slot)?.role = Role::Stream(Stream::new(end));
            self.let_go(target.slot);
        }
        drop(target.copy);
        self.attend(target.slot);
        DONE
    }

    fn rejoin(&mut self, call: &Call, target: &Target) -> Judged {
        match &self.entry(target.slot)?.role {
            Role::Connecting(Connecting::InProgress { .. }) => (),
            _ => return Err(Errno::EALREADY),
        }
        let timeout = sockopt::socket_timeout(&target.copy, sockopt::Timeout::Send)
            .ok()
            .flatten();
        self.park(call, target.slot, Wish::Connect(Errno::EALREADY), timeout);
        Ok(Answer::Settled)
    }

    /// The turn is over for those who asked in it.
    pub(crate) fn answer_asked(&mut self) {
        for slot in core::mem::take(&mut self.asked) {
            let Some(socket) = self.sockets.get_mut(slot) else {
                continue;
            };
            if !matches!(socket.role, Role::Connecting(Connecting::Asked(_))) {
                continue;
            }
            let Role::Connecting(Connecting::Asked(asked)) = core::mem::replace(&mut socket.role, Role::Fresh) else {
                continue;
            };
            let Asked {
                call,
                remote,
                copy,
                blocking,
                opening,
            } = asked;
            let role = if blocking {
                let timeout = sockopt::socket_timeout(&copy, sockopt::Timeout::Send).ok().flatten();
                let parked = self.park(&call, slot, Wish::Connect(Errno::EINPROGRESS), timeout);
                Ok(Connecting::Waiting {
                    parked,
                    remote,
                    opening,
                })
            } else {
                let role = self.leave_in_progress(&Target { slot, copy });
                let shown = if role.is_ok() {
                    Opening::in_progress(opening.as_ref())
                } else {
                    Err(Errno::ENOBUFS)
                };
                self.answer(&call, shown);
                role
            };
            if let (Ok(role), Some(socket)) = (role, self.sockets.get_mut(slot)) {
                socket.role = Role::Connecting(role);
            }
        }
    }

    /// Gives the program's descriptor its other end and fills it, so that it polls as a connecting socket does.
    fn leave_in_progress(&mut self, target: &Target) -> Result<Connecting, Errno> {
        let end = self.attach(target).map_err(|error| errno_of(&error))?;
        let filled = unix::fill(&target.copy).map_err(errno)?;
        Ok(Connecting::InProgress { end, filled })
    }

    /// A blocking connect stops waiting, for a signal or its timeout; the handshake goes on.
    pub(crate) fn leave_waiting_connect(&mut self, call: &Call, slot: Slot) {
        let waits = |role: &Role| matches!(role, Role::Connecting(Connecting::Waiting { .. }));
        if !self.sockets.get(slot).is_some_and(|socket| waits(&socket.role)) {
            return;
        }
        let Some(target) = self.target_again(call, slot) else {
            return;
        };
        if let Ok(role) = self.leave_in_progress(&target)
            && let Some(socket) = self.sockets.get_mut(slot)
        {
            socket.role = Role::Connecting(role);
        }
    }

    /// The host may know how a connect has ended.
    pub(crate) fn attend_connecting(&mut self, slot: Slot) {
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let readiness = self.host.readiness(socket.id);
        let failed = readiness.contains(Readiness::ERR);
        if !failed && !readiness.contains(Readiness::OUT) {
            return;
        }
        let Role::Connecting(connecting) = core::mem::replace(&mut socket.role, Role::Fresh) else {
            return;
        };
        match connecting {
            Connecting::Asked(Asked {
                call,
                remote,
                copy,
                blocking: true,
                opening,
            }) => {
                let judged = self.collect(slot, remote, Some(Target { slot, copy }));
                let judged = self.opened(&call, slot, judged, opening.as_ref());
                self.answer(&call, judged);
            }
            Connecting::Asked(Asked {
                call, copy, opening, ..
            }) => self.finish_asked(&call, Target { slot, copy }, failed, opening.as_ref()),
            Connecting::Waiting {
                parked,
                remote,
                opening,
            } => {
                if let Some(parked) = self.parked.remove(parked) {
                    let target = self.target_again(&parked.call, slot);
                    let judged = self.collect(slot, remote, target);
                    let judged = self.opened(&parked.call, slot, judged, opening.as_ref());
                    self.answer(&parked.call, judged);
                }
                self.judge_messages_anew(slot);
            }
            Connecting::InProgress { end, filled } => {
                self.finish_in_progress(slot, end, filled, failed);
                self.answer_joined(slot, failed);
                self.judge_messages_anew(slot);
            }
        }
    }

    /// Calls that wait to send or to receive until there is a connection (`sk_stream_wait_connect`).
    fn judge_messages_anew(&mut self, slot: Slot) {
        for id in self.parked.waiting_on(slot) {
            let is_message = |parked: &Parked| matches!(parked.wish, Wish::Send(_) | Wish::Receive(_));
            if self.parked.get(id).is_some_and(is_message) {
                self.judge_parked_anew(id);
            }
        }
    }

    /// The result of a blocking connect, as the host gives it to one who asks again.
    fn collect(&mut self, slot: Slot, remote: SocketAddr, target: Option<Target>) -> Judged {
        let id = self.entry(slot)?.id;
        self.host.connect(self.now, id, remote)?;
        if let Some(target) = target {
            return self.connected(target);
        }
        // Closed by another thread meanwhile; nothing else will tell.
        self.finish(slot);
        Err(Errno::EBADF)
    }

    /// A call that would not wait: Linux says so even where the end is known, and the program's poll waits for an edge.
    fn finish_asked(&mut self, call: &Call, target: Target, failed: bool, opening: Option<&Opening>) {
        let slot = target.slot;
        let judged = match self.leave_in_progress(&target) {
            Ok(Connecting::InProgress { end, filled }) => {
                self.finish_in_progress_with(&target, end, filled, failed);
                drop(target.copy);
                self.attend(slot);
                Opening::in_progress(opening)
            }
            _ => Err(Errno::ENOBUFS),
        };
        self.answer(call, judged);
    }

    /// The descriptor of a stream that may be connected anew must not have another end: where it had one, a new object
    /// takes its place in the caller's table. Copies of the old one elsewhere keep what it was.
    pub(crate) fn unused(&mut self, call: &Call, target: Target) -> Result<Target, Errno> {
        if !matches!(
            self.entry(target.slot)?.role,
            Role::Ended(_) | Role::Stream(_) | Role::Handed(_) | Role::Listener(_)
        ) {
            return Ok(target);
        }
        self.renewed(call, &target)
    }

    /// As [`unused`](Self::unused), and a new object too where the stream was shut: such an object cannot be filled.
    pub(super) fn unused_or_shut(&mut self, call: &Call, target: Target, id: SocketId) -> Result<Target, Errno> {
        if self.host.is_shut(id) {
            self.renewed(call, &target)
        } else {
            self.unused(call, target)
        }
    }

    /// A new object in place of a stream's descriptor.
    pub(super) fn renewed(&mut self, call: &Call, target: &Target) -> Result<Target, Errno> {
        if self.entry(target.slot)?.role.is_hosts_object() {
            self.bring_back(target);
        }
        let theirs = Self::like(&target.copy)?;
        self.replace_object(call, target, &theirs)?;
        let target = Target {
            slot: target.slot,
            copy: theirs,
        };
        let socket = self.entry(target.slot)?;
        if matches!(socket.role, Role::Handed(_)) {
            socket.role = Role::Fresh;
        }
        self.enter_ledger(&target);
        Ok(target)
    }

    /// An unconnected object with the flags and timeouts of another, from which is read as from that one.
    pub(super) fn like(copy: &OwnedFd) -> Result<OwnedFd, Errno> {
        let theirs = unix::stream(SocketFlags::empty()).map_err(errno)?;
        unix::inherit(copy, &theirs).map_err(errno)?;
        for name in [libc::SO_PEEK_OFF, libc::SO_OOBINLINE, libc::SO_RCVLOWAT] {
            if let Ok(value) = options::get(copy.as_fd(), libc::SOL_SOCKET, name, size_of::<i32>()) {
                let _ = options::set(theirs.as_fd(), libc::SOL_SOCKET, name, &value);
            }
        }
        Ok(theirs)
    }

    /// Another object takes the place of the socket's under the number that the call names, its copies in the same table, and
    /// in epoll(7) sets.
    pub(crate) fn replace_object(&mut self, call: &Call, target: &Target, theirs: &OwnedFd) -> Result<(), Errno> {
        let cookie = self.name_of(theirs)?;
        let before = unix::inode(&target.copy).into();
        let copies = Guests::copies(call.tid, call.fd(), before);
        for number in core::iter::once(call.fd()).chain(copies) {
            let close_on_exec = crate::guest::closes_on_exec(call.tid, number);
            let watched = Watched::of(&mut self.guests, call.tid, number, before);
            match self.calls.replace(call.id, theirs.as_fd(), number, close_on_exec) {
                Ok(()) => watched.follow(&target.copy, theirs),
                Err(error) if number == call.fd() => return Err(errno_of(&error)),
                // A copy stays what it was.
                Err(_) => (),
            }
        }
        self.sockets.renew(target.slot, cookie, unix::inode(theirs));
        if let Some(keeping) = &mut self.keeping {
            keeping.keep(target.slot, theirs);
        }
        Ok(())
    }

    fn finish_in_progress(&mut self, slot: Slot, end: OwnedFd, filled: unix::Filled, failed: bool) {
        match self.copy_of(slot) {
            Some(copy) => self.finish_in_progress_with(&Target { slot, copy }, end, filled, failed),
            // On its way between two processes, or closed, of which the end tells.
            None if failed => self.finish(slot),
            None => {
                let _ = unix::drain(&end, filled);
                if let Some(socket) = self.sockets.get_mut(slot) {
                    socket.role = Role::Stream(Stream::new(end));
                }
            }
        }
        self.attend(slot);
    }

    fn finish_in_progress_with(&mut self, target: &Target, end: OwnedFd, filled: unix::Filled, failed: bool) {
        // Restored first: being drained wakes the program, which may write at once.
        let _ = unix::restore_send_buffer(&target.copy, filled);
        let role = if failed {
            // Closed with the filler unread, the end shows the program an error.
            drop(end);
            self.enter_ledger(target);
            Role::Ended(None)
        } else {
            let _ = unix::drain(&end, filled);
            Role::Stream(Stream::new(end))
        };
        if let Some(socket) = self.sockets.get_mut(target.slot) {
            socket.role = role;
        }
        if !failed {
            self.let_go(target.slot);
        }
    }

    /// Answers the calls that joined a connect in progress.
    fn answer_joined(&mut self, slot: Slot, failed: bool) {
        for id in self.parked.waiting_on(slot) {
            if self
                .parked
                .get(id)
                .is_some_and(|parked| matches!(parked.wish, Wish::Connect(_)))
                && let Some(parked) = self.parked.remove(id)
            {
                let error = |errno: Option<Errno>| Err(errno.unwrap_or(Errno::ECONNABORTED));
                let judged = match self.sockets.get(slot) {
                    Some(socket) if failed => error(self.host.take_error(socket.id)),
                    Some(_) => DONE,
                    None => Err(Errno::EBADF),
                };
                self.answer(&parked.call, judged);
            }
        }
    }
}
