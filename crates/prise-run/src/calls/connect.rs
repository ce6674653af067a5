//! connect(2): asked, put to wait or left in progress, and finished.
//!
//! ```text
//! Fresh ── connect ──► Asked ──┬─ made or refused within the turn ──► answered
//!                              ├─ blocking ──► Waiting ──┬──────────► answered
//!                              │                 signal, timeout
//!                              └─ else ──► InProgress ◄──┘ ─────────► the program's descriptor polls it
//! ```

use prise_socket::{Errno, Kind, Readiness};
use rustix::net::sockopt;

use super::{Target, blocks, read_address};
use crate::connecting::{Asked, Connecting};
use crate::notify::{Answer, Call, DONE, Judged, errno, errno_of};
use crate::parked::{ParkId, Wish};
use crate::sockaddr::{Named, parse, parse_datagram};
use crate::socket::{Role, Slot};
use crate::stream::Stream;
use crate::supervisor::Supervisor;
use crate::unix;

impl Supervisor {
    pub(super) fn connect(&mut self, call: &Call, target: Target) -> Judged {
        let octets = read_address(call, call.args[1], call.int(2))?;
        let socket = self.entry(target.slot)?;
        let (id, family, kind) = (socket.id, socket.family, socket.kind);
        let is_stream = kind == Kind::Stream;
        let named = if is_stream {
            parse(&octets, family)?
        } else {
            parse_datagram(&octets, family)?
        };
        let address = match named {
            Named::Endpoint(address) => address,
            Named::Unspecified(..) => {
                self.host.disconnect(self.now, id)?;
                return DONE;
            }
        };
        if !is_stream {
            self.flush_datagrams(target.slot);
            self.host.connect(self.now, id, address)?;
            return DONE;
        }
        let blocking = blocks(&target.copy, 0);
        match self.host.connect(self.now, id, address) {
            Ok(()) => self.connected(target),
            Err(Errno::EINPROGRESS) => {
                self.asked.push(target.slot);
                let slot = target.slot;
                let asked = Asked {
                    call: *call,
                    copy: target.copy,
                    blocking,
                };
                self.entry(slot)?.role = Role::Connecting(Connecting::Asked(asked));
                Ok(Answer::Settled)
            }
            // A blocking call joins the connect that is under way, as one does that a signal has restarted.
            Err(Errno::EALREADY) if blocking => self.rejoin(call, &target),
            Err(error) => Err(error),
        }
    }

    /// It was connected at once.
    fn connected(&mut self, target: Target) -> Judged {
        if matches!(self.entry(target.slot)?.role, Role::Fresh) {
            let end = self.attach(&target).map_err(|error| errno_of(&error))?;
            self.entry(target.slot)?.role = Role::Stream(Stream::new(end));
        }
        drop(target.copy);
        self.attend_stream(target.slot);
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
        self.park(call, target.slot, Wish::Connect, timeout);
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
            let Asked { call, copy, blocking } = asked;
            let role = if blocking {
                let timeout = sockopt::socket_timeout(&copy, sockopt::Timeout::Send).ok().flatten();
                Ok(Connecting::Waiting(self.park(&call, slot, Wish::Connect, timeout)))
            } else {
                let role = self.leave_in_progress(&Target { slot, copy });
                let shown = if role.is_ok() {
                    Errno::EINPROGRESS
                } else {
                    Errno::ENOBUFS
                };
                self.answer(&call, Err(shown));
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
        let waits = |role: &Role| matches!(role, Role::Connecting(Connecting::Waiting(_)));
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
            Connecting::Asked(Asked { call, copy, blocking }) => {
                self.finish_asked(&call, Target { slot, copy }, blocking, failed);
            }
            Connecting::Waiting(id) => self.finish_waiting(slot, id, failed),
            Connecting::InProgress { end, filled } => {
                self.finish_in_progress(slot, end, filled, failed);
                self.answer_joined(slot, failed);
            }
        }
    }

    fn finish_asked(&mut self, call: &Call, target: Target, blocking: bool, failed: bool) {
        let judged = match (blocking, failed) {
            (true, true) => Err(self.connect_error(target.slot)),
            (true, false) => self.connected(target),
            (false, failed) => {
                // Linux says so even where the answer is there already, and the program's poll waits for an edge.
                let slot = target.slot;
                match self.leave_in_progress(&target) {
                    Ok(Connecting::InProgress { end, filled }) => {
                        self.finish_in_progress_with(&target, end, filled, failed);
                        drop(target.copy);
                        self.attend(slot);
                        Err(Errno::EINPROGRESS)
                    }
                    _ => Err(Errno::ENOBUFS),
                }
            }
        };
        self.answer(call, judged);
    }

    fn finish_waiting(&mut self, slot: Slot, id: ParkId, failed: bool) {
        let Some(parked) = self.parked.remove(id) else { return };
        let judged = if failed {
            Err(self.connect_error(slot))
        } else if let Some(target) = self.target_again(&parked.call, slot) {
            self.connected(target)
        } else {
            // Closed by another thread meanwhile; nothing else will tell.
            self.close(slot, false);
            Err(Errno::EBADF)
        };
        self.answer(&parked.call, judged);
    }

    fn finish_in_progress(&mut self, slot: Slot, end: std::os::fd::OwnedFd, filled: unix::Filled, failed: bool) {
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

    fn finish_in_progress_with(
        &mut self,
        target: &Target,
        end: std::os::fd::OwnedFd,
        filled: unix::Filled,
        failed: bool,
    ) {
        // Restored first: being drained wakes the program, which may write at once.
        let _ = unix::restore_send_buffer(&target.copy, filled);
        let role = if failed {
            // Closed with the filler unread, the end shows the program an error.
            drop(end);
            self.enter_ledger(target);
            Role::Ended
        } else {
            let _ = unix::drain(&end, filled);
            Role::Stream(Stream::new(end))
        };
        if let Some(socket) = self.sockets.get_mut(target.slot) {
            socket.role = role;
        }
    }

    /// Answers the calls that joined a connect in progress.
    fn answer_joined(&mut self, slot: Slot, failed: bool) {
        for id in self.parked.ids() {
            let joined = |parked: &crate::parked::Parked| parked.slot == slot && matches!(parked.wish, Wish::Connect);
            if self.parked.get(id).is_some_and(joined)
                && let Some(parked) = self.parked.remove(id)
            {
                let judged = if failed { Err(self.connect_error(slot)) } else { DONE };
                self.answer(&parked.call, judged);
            }
        }
    }

    fn connect_error(&mut self, slot: Slot) -> Errno {
        let Some(socket) = self.sockets.get(slot) else {
            return Errno::EBADF;
        };
        self.host.take_error(socket.id).unwrap_or(Errno::ECONNABORTED)
    }
}
