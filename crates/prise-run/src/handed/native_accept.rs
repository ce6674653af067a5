//! accept(2) of listeners that are the host kernel's own ([`crate::handed::native_listener`]): whom it gives out, and how it waits.
//!
//! A call that waits holds its listener, as it does on Linux, until it is served or its process ends; the supervisor polls what is held
//! beside the calls, so that between a client and the program are accept(2), the client's name and the answer. Where too many wait, they are
//! woken through an epoll(7) registration, which lasts as long as somebody has the listener.

use core::time::Duration;
use std::os::fd::{AsFd, OwnedFd};

use prise_gateway::Caller;
use prise_socket::Errno;
use rustix::event::PollFlags;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno as E;
use rustix::net::{SocketFlags, acceptfrom_with, sockopt};

use crate::calls::Acceptor;
use crate::guest::notify::{Answer, Judged, errno};
use crate::guest::sockaddr::canonical;
use crate::handed::late::accept_beside_others;
use crate::handed::lingering::Ends;
use crate::handed::native_listener::{Names, Who};
use crate::handed::plain::Granted;
use crate::handed::published::CALLERS_MAX;
use crate::socket::Slot;
use crate::socket::unix;
use crate::supervisor::Supervisor;
use crate::waiting::parked::{ParkId, Parked};

/// Who has come to be accepted.
#[derive(Debug)]
enum Came {
    /// A client, with the kernel's names where they are known.
    Client(Caller, Option<Ends>),
    /// The supervisor's token: it is the turn of somebody who waits there.
    Token,
}

/// Whether a connection waits in the kernel's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// poll(2) has shown one in this turn, and the supervisor has taken none since.
    Waiting,
    /// It was not looked.
    Perhaps,
}

/// Resets a connection.
fn reset(socket: OwnedFd) {
    // If it fails the other end gets a FIN, which is the next best.
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    drop(socket);
}

impl Supervisor {
    /// accept(2) of a listener of the kernel's, `EAGAIN` if nobody waits.
    pub(crate) fn try_accept_natively(&mut self, acceptor: Acceptor<'_>, copy: &OwnedFd, mut seen: Seen) -> Judged {
        let slot = acceptor.listener;
        let judged = loop {
            match self.accept_natively(slot, copy, acceptor.flags, seen) {
                Ok(Came::Client(caller, ends)) => {
                    let inherited = self.entry(slot)?.chosen.of_accepted();
                    break self.give_caller(acceptor, caller, (inherited, ends));
                }
                // Whom the token stood for may have been reset; without a token somebody may wait all the same.
                Ok(Came::Token) => match self.accept_hidden(acceptor, Some(copy)) {
                    Err(Errno::EAGAIN) => seen = Seen::Perhaps,
                    judged => break judged,
                },
                Err(Errno::EAGAIN) => break self.accept_hidden(acceptor, Some(copy)),
                Err(error) => break Err(error),
            }
        };
        if judged.as_ref().is_err_and(|&error| error != Errno::EAGAIN) && self.connections_waiting(slot) > 0 {
            self.take_in(slot, copy);
        }
        self.show_hidden(slot);
        judged
    }

    /// The oldest connection of the kernel's queue that is no stranger's: `EAGAIN` if there is none.
    fn accept_natively(
        &mut self,
        slot: Slot,
        copy: &OwnedFd,
        flags: SocketFlags,
        mut seen: Seen,
    ) -> Result<Came, Errno> {
        loop {
            // Nobody else takes connections now: accept(2) of a blocking listener finds what poll(2) has seen.
            if core::mem::replace(&mut seen, Seen::Perhaps) == Seen::Perhaps && !unix::shows(copy, PollFlags::IN) {
                return Err(Errno::EAGAIN);
            }
            let flags = flags | SocketFlags::CLOEXEC;
            let native = self.native_listener_mut(slot).ok_or(Errno::EINVAL)?;
            let accepted = if native.may_come_late() {
                accept_beside_others(&mut self.interrupts, copy, flags)
            } else {
                acceptfrom_with(copy, flags)
            };
            let native = self.native_listener_mut(slot).ok_or(Errno::EINVAL)?;
            let (socket, from) = match accepted {
                Ok((socket, Some(from))) => (socket, canonical(from.try_into().map_err(errno)?)),
                // Reset before it was accepted (accept(2)), or another was first: the next one may be well.
                Ok((_, None)) | Err(E::CONNABORTED | E::INTR) => continue,
                Err(error) => return Err(errno(error)),
            };
            let (at, publication) = (native.at(), native.publication());
            let names = match native.recognise(from) {
                Who::Client(names) => Some(names),
                Who::Token => return Ok(Came::Token),
                Who::Stranger => publication.and_then(|it| self.names_of_client(it, from)),
            };
            let Some(Names { guest, shown }) = names else {
                reset(socket);
                if let Some(native) = self.native_listener_mut(slot) {
                    native.met_stranger();
                }
                self.strangers.turned_away += 1;
                continue;
            };
            let everywhere = publication.is_some_and(|it| it.address.ip().is_unspecified());
            let ends = (!everywhere).then(|| Ends::between(at, from));
            return Ok(Came::Client(Caller { socket, shown, guest }, ends));
        }
    }

    /// A call could not take the connection that it was given, which waits with the supervisor now: so do those who have come after it,
    /// for tokens come behind all others.
    fn take_in(&mut self, slot: Slot, copy: &OwnedFd) {
        while self.listening(slot).is_some_and(|it| it.callers.len() < CALLERS_MAX) {
            match self.accept_natively(slot, copy, SocketFlags::NONBLOCK, Seen::Perhaps) {
                Ok(Came::Client(caller, _)) => {
                    if let Some(listening) = self.listening(slot) {
                        listening.callers.push_back(caller);
                    }
                }
                // Those for whom a token stood are shown anew.
                Ok(Came::Token) => (),
                Err(_) => return,
            }
        }
    }

    /// Tokens for those who wait unseen.
    pub(crate) fn show_hidden(&mut self, slot: Slot) {
        let hidden = self.connections_waiting(slot);
        if let Some(listening) = self.listening(slot) {
            listening.announce(hidden);
        }
    }

    /// The kernel tells that somebody has come, and will not tell again unless asked.
    pub(crate) fn on_native_listener(&mut self, slot: Slot) {
        if let Some(native) = self.native_listener_mut(slot) {
            native.was_told();
        }
        self.attend_native_listener(slot, Seen::Perhaps);
    }

    /// The listener of an accept(2) that waits, and which is therefore held, can be read from; or the process that waits has ended.
    pub(crate) fn on_held_listener(&mut self, slot: Slot, events: EventFlags) {
        if events.contains(EventFlags::HUP) {
            // The call goes when calls are looked at next; the listener is open no longer than its process had it.
            self.parked.release(slot);
        }
        // Arrivals come before everything else of a turn, one for each listener: nobody has been served since poll(2) looked.
        let seen = if events.contains(EventFlags::IN) {
            Seen::Waiting
        } else {
            Seen::Perhaps
        };
        self.attend_native_listener(slot, seen);
    }

    /// Somebody has come, or may have: serves who waits in accept(2), and asks to be told of the next one.
    pub(crate) fn attend_native_listener(&mut self, slot: Slot, mut seen: Seen) {
        loop {
            let Some(id) = self.listening(slot).and_then(|it| it.waiting.pop_front()) else {
                return self.show_hidden(slot);
            };
            let held = self.parked.take_held(id);
            let Some(parked) = self.parked.remove(id) else { continue };
            let again = || self.target_again(&parked.call, slot).map(|target| target.copy);
            let Some(copy) = held.or_else(again) else {
                self.answer(&parked.call, Err(Errno::EBADF));
                continue;
            };
            match self.grant(&parked.call, slot, &copy, parked.wish.room_for_name(), seen) {
                Granted::Native => {
                    seen = Seen::Perhaps;
                    self.still = true;
                    self.answer(&parked.call, Ok(Answer::Native));
                    continue;
                }
                Granted::Crowded => return self.wait_on(slot, id, parked),
                Granted::No => self.still = false,
            }
            let seen = match core::mem::replace(&mut seen, Seen::Perhaps) {
                // A call that was left to the kernel may have taken meanwhile what poll(2) had seen, and an accept(2) that finds nobody
                // would stop everything.
                Seen::Waiting if self.has_let_through(slot) => Seen::Perhaps,
                seen => seen,
            };
            let judged = Acceptor::new(&parked.call, slot, parked.wish.room_for_name())
                .and_then(|acceptor| self.try_accept_natively(acceptor, &copy, seen));
            match judged {
                Err(Errno::EAGAIN) if parked.wish.waits_for_connection() => {
                    self.wait_on(slot, id, parked);
                    return self.watch_native_listener(slot, id, copy);
                }
                judged => self.answer(&parked.call, judged),
            }
        }
    }

    /// The first of those who wait in accept(2) is that again.
    fn wait_on(&mut self, slot: Slot, id: ParkId, parked: Parked) {
        self.parked.restore(id, parked, self.now);
        if let Some(listening) = self.listening(slot) {
            listening.waiting.push_front(id);
        }
    }

    /// An accept(2) waits: the next connection is to be told. The listener is held meanwhile, as such a call does on Linux, or watched.
    pub(crate) fn watch_native_listener(&mut self, slot: Slot, id: ParkId, copy: OwnedFd) {
        let process = self.parked.get(id).map(|parked| parked.call.tid);
        let copy = match process.and_then(|tid| self.guests.pidfd(tid)) {
            Some(process) => self.parked.hold(id, slot, copy, process),
            None => Some(copy),
        };
        let Some(copy) = copy else { return };
        let Some(native) = self.native_listener_mut(slot) else {
            return;
        };
        if !native.watch() {
            return;
        }
        let poller = &self.poller;
        // Unwatched, the call still sees connections of the run, signals and its timeout.
        let _ = self.ledger.through_door(copy.as_fd(), |door| {
            poller.watch_once(door, slot, EventFlags::IN | EventFlags::ONESHOT)
        });
    }
}
