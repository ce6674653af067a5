//! A socket's other end and its death: attached, attended, reset, closed, swept.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use core::net::{IpAddr, SocketAddr};

use prise_socket::{Errno, Readiness, Received, SocketId};
use prise_stack::{IcmpError, Link, QuotedFlow};
use prise_wire::SeqNum;
use rustix::event::PollFlags;

use crate::calls::Target;
use crate::clock;
use crate::complaints::say;
use crate::guest::sockaddr::canonical;
use crate::socket::closes::Closes;
use crate::socket::connecting::Connecting;
use crate::socket::datagram::Delivery;
use crate::socket::stream::Flow;
use crate::socket::unix;
use crate::socket::{Failure, GuestSocket, Role, Slot};
use crate::supervisor::Supervisor;
use crate::waiting::parked::ParkId;

/// `struct linger { 1, 0 }`: close resets.
const LINGER_RESET: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];

impl Supervisor {
    /// Gives a stream its other end, which from now on tells of its close.
    pub(crate) fn attach(&mut self, target: &Target) -> io::Result<OwnedFd> {
        let end = self.attacher.attach(target.copy.as_fd())?;
        self.poller.watch_socket(&end, target.slot)?;
        if let Some(socket) = self.sockets.get(target.slot) {
            socket.buffers.apply(None, &end);
        }
        Ok(end)
    }

    /// From now on only the ledger tells of the close.
    pub(crate) fn enter_ledger(&mut self, target: &Target) {
        // Out of memory or watches, the socket stays until its guests have gone.
        let _ = self.ledger.enter(target.copy.as_fd(), target.slot);
    }

    /// Pumps a stream and does what its state then asks for.
    pub(crate) fn attend_stream(&mut self, slot: Slot) {
        let is_watched = self.is_watched();
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let id = socket.id;
        let Role::Stream(stream) = &mut socket.role else { return };
        if stream.outgoing.has_inlet() && (is_watched || self.host.is_overheard(id)) {
            stream.outgoing.send_as_others();
        }
        if let Some(arrivals) = &mut socket.arrivals {
            arrivals.note(self.host.readable(id), self.now);
        }
        let flow = stream.pump(&mut self.host, id, self.now);
        if let Some(arrivals) = &mut socket.arrivals {
            arrivals.leave(self.host.readable(id));
        }
        self.busy_poll.carry(stream.take_carried());
        self.conduits.note(slot, stream.outgoing.rests(), self.now);
        let waiting = stream.incoming.take_waiting();
        match flow {
            Flow::Open => {
                if stream.incoming.full != stream.watched {
                    stream.watched = stream.incoming.full;
                    let _ = self.poller.want_room(&stream.end, slot, stream.incoming.full);
                }
                let wants_conduit = stream.outgoing.wants_conduit();
                if !stream.receiving.is_empty() {
                    self.serve_receivers(slot);
                }
                self.serve_senders(slot);
                if wants_conduit {
                    self.begin_conduit(slot);
                }
            }
            Flow::Finished => {
                stream.settle();
                self.end_stream(slot, None);
                if self.host.received(id).next().is_some() || self.resets_on_close(id) {
                    self.watch_close(slot);
                }
            }
            Flow::Failed => self.reset(slot),
            Flow::Closed { abort } => {
                if abort || self.resets_on_close(id) {
                    // What was written before the close was sent before it, as far as windows allow; a reset drops the rest.
                    self.world.exchange(&mut self.host, self.now);
                }
                self.close(slot, abort);
                // On Linux's `lo` an end has come when close(2) returns: of two ends that close one after the other only the first is
                // left in TIME-WAIT, though the supervisor hears of both at once.
                self.world.exchange(&mut self.host, self.now);
            }
        }
        if let Some(sender) = waiting {
            // It has waited for nothing but this: what it waits for now, it has not waited for yet.
            self.conduits.note(sender, false, self.now);
            self.attend(sender);
        }
    }

    /// Whether the program asked for close to reset.
    pub(crate) fn resets_on_close(&mut self, id: SocketId) -> bool {
        let mut linger = Vec::new();
        let asked = self
            .host
            .option(self.now, id, libc::SOL_SOCKET, libc::SO_LINGER, &mut linger);
        asked.is_ok() && linger == LINGER_RESET
    }

    /// Gives up the end of a stream, unless it is to tell whether the program reads what it has; calls that wait on it are answered from
    /// what is left. `failure`: of what it died.
    fn end_stream(&mut self, slot: Slot, failure: Option<Failure>) {
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let Role::Stream(stream) = core::mem::replace(&mut socket.role, Role::Ended(failure)) else {
            return;
        };
        if let Some(keeping) = &mut self.keeping {
            keeping.suspect();
        }
        let waiting: Vec<_> = stream.receiving.iter().chain(&stream.sending).copied().collect();
        let is_unread = || prise_sys::unix::unread_by_peer(stream.end.as_fd()).is_ok_and(|unread| unread > 0);
        if failure.is_none() && stream.has_finished() && is_unread() {
            socket.unread = Some(stream.end);
        } else {
            drop(stream);
        }
        for id in waiting {
            self.judge_parked_anew(id);
        }
    }

    /// The peer of a stream that is shut both ways, with octets of his that nobody can read or to be reset (`SO_LINGER`), is to hear of
    /// its close at once.
    pub(crate) fn watch_close(&mut self, slot: Slot) {
        if let Some(copy) = self.copy_of(slot)
            && let Some(closes) = &mut self.closes
        {
            // Without a watch the close is seen the next time that the ledger is asked.
            let _ = closes.watch(&copy, slot, unix::inode(&copy));
        }
    }

    /// Judges a call that waited as if it were made now: the kernel's object knows the answer, an end, an error, `EPIPE`.
    pub(crate) fn judge_parked_anew(&mut self, id: ParkId) {
        if let Some(parked) = self.parked.remove(id) {
            let judged = self.judge(&parked.call);
            self.answer(&parked.call, judged);
        }
    }

    /// Shows the program that its connection has failed: an AF_UNIX stream does so where an end is closed with octets of
    /// the program's unread.
    fn reset(&mut self, slot: Slot) {
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let Role::Stream(stream) = &mut socket.role else { return };
        if stream.fin_was_delivered() {
            // After the peer's end a reset is no news to who reads: the end, and EPIPE to who writes (`tcp_reset`).
            stream.settle();
            let error = self.host.take_error(socket.id).unwrap_or(Errno::EPIPE);
            let failure = Some(Failure { error, is_shown: false });
            if let Some(copy) = self.copy_of(slot) {
                self.enter_ledger(&Target { slot, copy });
            }
            self.end_stream(slot, failure);
            return;
        }
        let error = stream.failure().or_else(|| self.host.take_error(socket.id));
        let failure = error.map(|error| Failure { error, is_shown: true });
        let (in_ledger, resets) = (stream.outgoing_ended(), stream.resets_when_closed());
        if !in_ledger {
            // On its way between two processes, or closed: then nobody is left to be told.
            let Some(copy) = self.copy_of(slot) else {
                if self.is_unkept(slot) {
                    self.end_stream(slot, failure);
                } else {
                    self.finish(slot);
                }
                return;
            };
            if !resets {
                let _ = unix::send_octet(&copy);
            }
            self.enter_ledger(&Target { slot, copy });
        }
        self.end_stream(slot, failure);
    }

    /// An urgent octet of the program's.
    pub(crate) fn expect_urgent(&mut self, slot: Slot) {
        if let Some(socket) = self.sockets.get_mut(slot)
            && let Role::Stream(stream) = &mut socket.role
        {
            stream.outgoing.expect_urgent();
        }
    }

    /// Moves datagrams both ways and serves the calls that wait for it.
    pub(crate) fn attend_datagram(&mut self, slot: Slot) {
        self.flush_datagrams(slot);
        self.fill_datagrams(slot);
        if let Some(GuestSocket {
            role: Role::Datagram(datagram),
            ..
        }) = self.sockets.get(slot)
        {
            let (receivers, senders) = (!datagram.receiving.is_empty(), !datagram.sending.is_empty());
            let queued = !datagram.shows_error()
                && self
                    .sockets
                    .get(slot)
                    .is_some_and(|it| self.host.has_queued_errors(it.id));
            let hides_error = datagram.hides_error() || queued;
            if receivers {
                self.serve_receivers(slot);
            }
            if senders {
                self.serve_senders(slot);
            }
            if hides_error {
                self.show_datagram_error(slot);
                // What came behind it can be seen, too, and is read after it.
                self.fill_datagrams(slot);
            }
        }
    }

    /// The error of a datagram socket that waits, for a judged call. What is queued besides is shown on.
    pub(crate) fn take_datagram_error(&mut self, slot: Slot, copy: &OwnedFd) -> Option<Errno> {
        let error = self.sockets.datagram_mut(slot)?.take_error(copy);
        self.show_queued_errors(slot, copy);
        error
    }

    /// As long as errors are queued (`IP_RECVERR`), poll(2) shows one. `copy`: the program's end.
    pub(crate) fn show_queued_errors(&mut self, slot: Slot, copy: &OwnedFd) {
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let queued = self.host.has_queued_errors(socket.id);
        if let Role::Datagram(datagram) = &mut socket.role {
            if !queued {
                datagram.conceal(copy);
            } else if !datagram.shows_error() || !unix::shows(copy, PollFlags::ERR) {
                // A call of the program's own may have taken what was shown. Without it a program that looks finds the errors nevertheless.
                let _ = datagram.show_error(copy);
            }
        }
    }

    /// An error has come and no call that waits has taken it.
    fn show_datagram_error(&mut self, slot: Slot) {
        let Some(copy) = self.copy_of(slot) else { return };
        // Turning away from the program loses what it has written.
        self.flush_datagrams(slot);
        if let Some(GuestSocket {
            role: Role::Datagram(datagram),
            ..
        }) = self.sockets.get_mut(slot)
            && !datagram.shows_error()
        {
            // Without it the next judged call still tells.
            let _ = datagram.show_error(&copy);
        }
    }

    /// What the program has written natively goes to the host: before its next datagram, and before its socket changes.
    pub(crate) fn flush_datagrams(&mut self, slot: Slot) {
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let id = socket.id;
        if let Role::Datagram(datagram) = &mut socket.role {
            datagram.outgoing(&mut self.host, id, self.now, &mut self.scratch);
        }
    }

    /// What has come goes into the program's queue.
    pub(crate) fn fill_datagrams(&mut self, slot: Slot) {
        if self.keeping.is_some()
            && self
                .sockets
                .get(slot)
                .is_some_and(|it| self.host.readiness(it.id).contains(Readiness::IN))
        {
            self.let_go_if_closed(slot);
        }
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        let id = socket.id;
        let Role::Datagram(datagram) = &mut socket.role else {
            return;
        };
        if let Delivery::Closed(received) = datagram.incoming(&mut self.host, id, self.now) {
            let protocol = self.host.info(id).map_or(libc::IPPROTO_UDP as u8, |info| info.protocol);
            self.finish(slot);
            if let Some(received) = received {
                self.refuse(received, protocol);
            }
            return;
        }
        if datagram.full != datagram.watched {
            datagram.watched = datagram.full;
            if datagram.is_inet() {
                self.inet_pairs.look_again(slot, self.now);
            } else {
                let _ = self.poller.want_room(&datagram.end, slot, datagram.full);
            }
        }
    }

    /// Programs may have read what nobody tells of.
    pub(crate) fn look_at_inet_pairs(&mut self) {
        for slot in self.inet_pairs.due(self.now) {
            if let Some(datagram) = self.sockets.datagram_mut(slot) {
                (datagram.full, datagram.watched) = (false, false);
                self.attend_datagram(slot);
            }
        }
    }

    /// A datagram came for a socket that was closed without telling: its sender learns what it would have.
    fn refuse(&mut self, received: Received, protocol: u8) {
        let (Some(link), Some(src), Some(dst)) = (received.link, received.source, received.destination) else {
            return;
        };
        let (src, dst) = (canonical(src), canonical(dst));
        let loopback = |it: &Link| it.id() == link && it.is_loopback();
        if i32::from(protocol) == libc::IPPROTO_UDP && self.host.stack().links().iter().any(loopback) {
            // Once more on the same way: to another socket of the port, or to nobody, as it would have been.
            // Without room it is lost, as a datagram may be.
            let _ = self
                .host
                .stack_mut()
                .udp_send_from(self.now, link, src, dst, received.payload);
            return;
        }
        let flow = QuotedFlow {
            protocol,
            src,
            dst,
            seq: SeqNum(0),
            payload: received.payload,
        };
        self.host
            .stack_mut()
            .icmp_error_for(self.now, link, None, &flow, IcmpError::PortUnreachable);
    }

    /// The program's last descriptor is closed. `abort`: octets were left unread, for which TCP resets.
    pub(crate) fn close(&mut self, slot: Slot, abort: bool) {
        self.flush_datagrams(slot);
        let Some(socket) = self.sockets.remove(slot) else {
            return;
        };
        self.let_go(slot);
        if let (Some(left), Some(ends)) = (self.host.left_port(socket.id), &socket.ends) {
            self.lingering.note(left, **ends);
        }
        if let Some(given) = self.given_by(&socket) {
            self.leave_given(slot, given);
        }
        let local = self.host.local_addr(socket.id);
        if abort || socket.was_left_unread() {
            // Only fails where there is no connection to reset.
            let _ = self
                .host
                .set_option(self.now, socket.id, libc::SOL_SOCKET, libc::SO_LINGER, &LINGER_RESET);
        }
        let mut socket = socket;
        // One that was shut has returned it already, and another may have it by now.
        if socket.native_listener().is_some() {
            self.return_address(&socket.role);
        }
        if let Role::Listener(listening) = &mut socket.role {
            self.tell_gate(local);
            Self::turn_callers_away(listening.callers.drain(..));
            for &(connection, _) in &listening.returned {
                let _ = self
                    .host
                    .set_option(self.now, connection, libc::SOL_SOCKET, libc::SO_LINGER, &LINGER_RESET);
                self.host.close(self.now, connection);
            }
        }
        self.host.close(self.now, socket.id);
        // A thread that still waits on it: another one has closed the descriptor.
        for id in self.parked.waiting_on(slot) {
            if let Some(parked) = self.parked.remove(id) {
                self.answer(&parked.call, Err(Errno::EBADF));
            }
        }
        if let Role::Connecting(Connecting::Asked(asked)) = &socket.role {
            self.answer(&asked.call, Err(Errno::EBADF));
        }
    }

    /// A listener has come or gone: published ports are open while somebody listens.
    pub(crate) fn tell_gate(&mut self, local: Result<SocketAddr, Errno>) {
        let (Some(gate), Ok(local)) = (&self.gate, local) else {
            return;
        };
        if !gate.publishes(local.port()) {
            return;
        }
        let (mut v4, mut v6) = (false, false);
        for (_, socket) in self.sockets.iter() {
            if !matches!(&socket.role, Role::Listener(listening) if !listening.ended) {
                continue;
            }
            let Some(info) = self
                .host
                .info(socket.id)
                .filter(|info| info.local.port() == local.port())
            else {
                continue;
            };
            match canonical(info.local).ip() {
                IpAddr::V4(_) => v4 = true,
                IpAddr::V6(address) => {
                    v4 |= address.is_unspecified() && !info.v6_only;
                    v6 = true;
                }
            }
        }
        gate.guest_listens(local.port(), false, v4);
        gate.guest_listens(local.port(), true, v6);
        while let Some(error) = gate.refused_port() {
            say(error.while_running());
        }
    }

    /// Closes as a program does that has read everything.
    pub(crate) fn finish(&mut self, slot: Slot) {
        self.close(slot, false);
    }

    /// The supervisor's own copy of a socket's object, where it has one, hides the close no longer.
    pub(crate) fn let_go(&mut self, slot: Slot) {
        if let Some(keeping) = &mut self.keeping {
            keeping.let_go(slot);
        }
    }

    /// Whether so many sockets may have been closed without telling that asking is worth its cost.
    pub(crate) fn sweep_is_due(&self) -> bool {
        match &self.keeping {
            Some(keeping) => keeping.is_due(),
            None => self.ledger.is_due(),
        }
    }

    /// Closes the sockets that were closed without telling.
    pub(crate) fn sweep(&mut self) {
        self.swept = true;
        if self.keeping.is_some() {
            self.sweep_kept();
            return;
        }
        let begin = clock::now();
        self.sweep_hung_up();
        // It fails only without memory; then nothing is known, and nothing closed.
        let Ok(open) = self.ledger.open_sockets() else { return };
        let silent = |socket: &GuestSocket| match &socket.role {
            Role::Fresh | Role::Ended(_) | Role::Handed(_) | Role::Datagram(_) => true,
            Role::Connecting(connecting) => matches!(connecting, Connecting::Waiting { .. }),
            Role::Listener(listening) => listening.ended,
            Role::Stream(_) => false,
        };
        let closed: Vec<Slot> = self
            .sockets
            .iter()
            .filter(|(slot, socket)| silent(socket) && !open.contains(slot))
            .map(|(slot, _)| slot)
            .collect();
        for slot in closed {
            self.finish(slot);
        }
        self.forget_noted(&open);
        self.ledger.rest(begin, clock::now());
    }

    /// Closes the listeners whose close the kernel has told of.
    pub(crate) fn hear_of_closes(&mut self) {
        let told = self.closes.as_mut().map(Closes::take).unwrap_or_default();
        for (slot, inode) in told {
            // Or another object has taken its place.
            if self.sockets.get(slot).is_some_and(|socket| socket.inode == inode) {
                self.finish(slot);
            }
        }
    }

    /// Listeners and streams whose close was told and not yet heard: the news may be behind the call that needs it.
    fn sweep_hung_up(&mut self) {
        self.hear_of_closes();
        let closed: Vec<Slot> = self
            .sockets
            .iter()
            .filter(|(_, socket)| match &socket.role {
                Role::Listener(listening) => listening.is_hung_up(),
                Role::Connecting(Connecting::InProgress { end, .. }) => unix::shows(end, PollFlags::HUP),
                _ => false,
            })
            .map(|(slot, _)| slot)
            .collect();
        for slot in closed {
            self.finish(slot);
        }
    }
}
