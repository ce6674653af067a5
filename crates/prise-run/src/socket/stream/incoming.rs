//! From the host to the program.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use prise_socket::{Flags, Host, Readiness, SocketId};
use prise_wire::Instant;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use crate::socket::conduit::{Next, Outlet};
use crate::socket::{Slot, unix};

/// Slices written to the end at once.
const PIECES_MAX: usize = 64;

/// What the program receives.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// The program was told that the peer sends no more.
    pub(super) fin_delivered: bool,
    /// After shutdown(SHUT_RD): what comes stays with the host, unread.
    deaf: bool,
    /// The end had no room.
    pub(crate) full: bool,
    /// Octets that the program was given since they were last asked for.
    pub(super) carried: usize,
    /// What the program receives comes this way past TCP.
    outlet: Option<Outlet>,
}

impl Incoming {
    /// The program called shutdown(SHUT_RD): it reads what lies in its queue, then the end.
    pub(super) fn shut(&mut self, end: &OwnedFd) {
        self.deaf = true;
        self.deliver_fin(end);
    }

    /// What the program receives comes this way.
    pub(crate) fn receive_by(&mut self, outlet: Outlet) {
        self.outlet = Some(outlet);
    }

    /// Whether what the program receives may come by a conduit that is opened now.
    pub(crate) fn may_receive_by_conduit(&mut self) -> bool {
        self.outlet.take_if(|outlet| outlet.is_idle());
        self.outlet.is_none() && !self.deaf
    }

    /// The stream whose octets come this way, if it waits for room that was made.
    pub(crate) fn take_waiting(&self) -> Option<Slot> {
        self.outlet.as_ref().and_then(Outlet::take_waiting)
    }

    /// Writes what the host has received, an urgent octet in its place; true when nothing is left.
    pub(super) fn deliver(&mut self, end: &OwnedFd, host: &mut Host, id: SocketId, now: Instant) -> bool {
        if self.deaf {
            return true;
        }
        loop {
            let mark = if host.readiness(id).contains(Readiness::PRI) {
                host.urgent_mark(id)
            } else {
                None
            };
            match mark {
                Some(0) => match self.deliver_urgent(end, host, id, now) {
                    Some(true) => (),
                    Some(false) => return false,
                    None => return self.deliver_until(end, host, id, now, usize::MAX),
                },
                Some(before) if self.deliver_until(end, host, id, now, before) => (),
                Some(_) => return false,
                None => return self.deliver_until(end, host, id, now, usize::MAX),
            }
        }
    }

    /// The octet at the mark, whether the host cuts it out of the stream or leaves it in line: false without room, none
    /// where there is no such octet after all.
    fn deliver_urgent(&mut self, end: &OwnedFd, host: &mut Host, id: SocketId, now: Instant) -> Option<bool> {
        let cut_out = host.recv(now, id, 1, Flags::OOB | Flags::PEEK).ok();
        let in_line = || host.received(id).find_map(|piece| piece.first().copied());
        let octet = cut_out
            .as_ref()
            .and_then(|octets| octets.first().copied())
            .or_else(in_line)?;
        // Any other error is the program's close, of which the end tells.
        if send(end, &[octet], unix::QUIET | SendFlags::OOB) == Err(rustix::io::Errno::AGAIN) {
            self.full = true;
            return Some(false);
        }
        if cut_out.is_some() {
            // Seen just before, it is there.
            let _ = host.recv(now, id, 1, Flags::OOB);
        } else {
            host.consume(now, id, 1);
        }
        Some(true)
    }

    /// Writes up to `limit` octets; true when those, or all there are, were written.
    fn deliver_until(&mut self, end: &OwnedFd, host: &mut Host, id: SocketId, now: Instant, limit: usize) -> bool {
        let mut left = limit;
        loop {
            self.outlet.take_if(|outlet| outlet.is_idle());
            let next = self.outlet.as_ref().map_or(Next::Ordinary(usize::MAX), Outlet::next);
            let (Next::Ordinary(of_a_kind) | Next::Held(of_a_kind)) = next;
            let most = left.min(of_a_kind);
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let mut count = 0;
            let mut total = 0;
            for (piece, octets) in pieces.iter_mut().zip(host.received(id)) {
                let octets = &octets[..octets.len().min(most - total)];
                *piece = IoSlice::new(octets);
                count += 1;
                total += octets.len();
            }
            if total == 0 {
                return true;
            }
            if self.full {
                return false;
            }
            let taken = match (&self.outlet, next) {
                (Some(outlet), Next::Held(_)) => outlet.drain(end, total, now),
                (outlet, _) => unix::send_pieces(end, &pieces[..count]).inspect(|taken| {
                    if let Some(outlet) = outlet {
                        outlet.pass_by(*taken);
                    }
                }),
            };
            match taken {
                Ok(taken) => {
                    host.consume(now, id, taken);
                    self.carried += taken;
                    left -= taken;
                }
                Err(rustix::io::Errno::AGAIN) => {
                    self.full = true;
                    return false;
                }
                // The program has closed: left unread, the octets make the host reset the connection.
                Err(_) => return true,
            }
        }
    }

    /// Tells the program that the peer sends no more.
    pub(super) fn deliver_fin(&mut self, end: &OwnedFd) {
        if !self.fin_delivered {
            self.fin_delivered = true;
            // It fails only where the program has closed, which its own event tells.
            let _ = shutdown(end, Shutdown::Write);
        }
    }
}
