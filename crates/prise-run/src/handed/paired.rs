//! Connections within a run, while nobody needs their packets: a pair of the host kernel's TCP over its loopback.
//!
//! ```text
//! pumped   client ── AF_UNIX ── supervisor ── TCP ── supervisor ── AF_UNIX ── server
//! paired   client ─────────────────── the kernel's TCP ──────────────────── server
//! ```
//! connect(2) finds the listener as a SYN would, makes both ends at once and gives one to the program; the other waits at the
//! listener, beside the clients of published ports ([`crate::handed::published`]), until accept(2). Each is a *handed* stream
//! ([`crate::handed`]): everything that happens to it from then on is TCP's own, to the last errno.
//!
//! *Who is paired.* A client and a listener of the run, in two processes or in one: what one thread has written another finds
//! there once write(2) has returned, which no pump can promise. The run's own TCP carries the octets wherever a pair cannot be
//! had: no room at the listener, one that waits for data, a loopback that is down.
//!
//! *Refusals.* Where nobody listens, a connect(2) that does not wait is made to a port that is bound and closed, so that the
//! program's socket has the kernel's `ECONNREFUSED`: read(2) and write(2) say so, which no other object can be made to.
//!
//! *Strangers.* The supervisor listens on a port of 127.0.0.1 that any process of the host can find. What it accepts is compared
//! with the very socket that it has just connected; all others are reset.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::os::fd::OwnedFd;

use prise_gateway::Caller;
use prise_socket::SocketId;
use prise_stack::{Link, LinkId};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrAny, SocketFlags, SocketType, acceptfrom_with, bind, getsockname, listen, send,
    socket_with, sockopt,
};

use crate::guest::sockaddr::canonical;
use crate::handed::native_listener::own_name;
use crate::socket::Slot;
use crate::supervisor::Supervisor;

/// Strangers that are turned away before the one that is meant must have come.
const STRANGERS_MAX: usize = 128;

/// On loopback a handshake is over when connect(2) returns, unless the kernel was too busy to finish it there.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Where the ends of pairs meet.
#[derive(Debug)]
pub(crate) struct Meeting {
    listener: OwnedFd,
    at: SocketAddr,
    /// Bound, and does not listen.
    _closed: OwnedFd,
    nobody: SocketAddr,
}

impl Meeting {
    pub(crate) fn new() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&listener, &SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))?;
        listen(&listener, STRANGERS_MAX as i32)?;
        let at = getsockname(&listener)?.try_into()?;
        let closed = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&closed, &SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))?;
        let nobody = getsockname(&closed)?.try_into()?;
        Ok(Self {
            listener,
            at,
            _closed: closed,
            nobody,
        })
    }

    /// Where a program's end is to be connected.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Where a program's socket is refused: the kernel's own error is then on it, for whichever call looks first.
    pub(crate) fn nobody(&self) -> SocketAddr {
        self.nobody
    }

    /// The other end of a socket that was just connected to this place.
    pub(crate) fn other_end(&self, of: &OwnedFd) -> Result<OwnedFd, Errno> {
        let wanted = own_name(of)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..STRANGERS_MAX {
            match acceptfrom_with(&self.listener, flags) {
                Ok((end, Some(from))) if is(&from, wanted) => return Ok(end),
                Ok((stranger, _)) => {
                    // If it fails the stranger gets a FIN, which is the next best.
                    let _ = sockopt::set_socket_linger(&stranger, Some(Duration::ZERO));
                }
                Err(Errno::AGAIN) => {
                    let mut polled = [PollFd::new(&self.listener, PollFlags::IN)];
                    if poll(&mut polled, Some(&PATIENCE))? == 0 {
                        return Err(Errno::TIMEDOUT);
                    }
                }
                // Reset before it was accepted (accept(2)): the next one may be it.
                Err(Errno::CONNABORTED | Errno::INTR) => (),
                Err(error) => return Err(error),
            }
        }
        Err(Errno::TIMEDOUT)
    }

    /// Ends a connection that a socket was just given here, and resets it, which then is a broken pipe (`tcp_reset` in CLOSE-WAIT).
    pub(crate) fn leave(&self, socket: &OwnedFd) -> Result<(), Errno> {
        drop(self.other_end(socket)?);
        await_event(socket, PollFlags::RDHUP)?;
        send(socket, b"x", SendFlags::NOSIGNAL)?;
        await_event(socket, PollFlags::ERR)
    }
}

fn await_event(socket: &OwnedFd, event: PollFlags) -> Result<(), Errno> {
    match poll(&mut [PollFd::new(socket, event)], Some(&PATIENCE))? {
        0 => Err(Errno::TIMEDOUT),
        _ => Ok(()),
    }
}

fn is(from: &SocketAddrAny, wanted: SocketAddr) -> bool {
    SocketAddr::try_from(from.clone()).map(canonical) == Ok(wanted)
}

impl Supervisor {
    /// The listener of the run to which a connection between these endpoints would come, if it has room.
    pub(crate) fn listener_within(&self, guest: SocketAddr, shown: SocketAddr) -> Option<Slot> {
        self.listener_with_room(self.loopback()?, guest, shown)
    }

    /// The link of the run's own addresses.
    pub(crate) fn loopback(&self) -> Option<LinkId> {
        let links = self.host.stack().links();
        links.iter().find(|link| link.is_loopback()).map(Link::id)
    }

    /// The link to the gateway, by which clients of published ports come.
    pub(crate) fn outside(&self) -> Option<LinkId> {
        let links = self.host.stack().links();
        links.iter().find(|link| !link.is_loopback()).map(Link::id)
    }

    /// Whether a SYN from `from` to `seen` would be answered with a reset: no listener, nor the socket itself.
    pub(crate) fn nobody_listens(&self, id: SocketId, seen: SocketAddr, from: SocketAddr) -> bool {
        let own_port = self.host.local_addr(id).map(|it| it.port());
        // Port 0 is nobody's, and an unbound socket's.
        (own_port != Ok(seen.port()) || seen.port() == 0)
            && self
                .loopback()
                .is_some_and(|lo| self.host.stack().tcp_listener_for(lo, seen, from).is_none())
    }

    /// Makes the other end of a program's socket, which has just been connected, wait at the listener.
    pub(crate) fn pair(&mut self, end: &OwnedFd, listener: Slot, names: (SocketAddr, SocketAddr)) -> Result<(), Errno> {
        let socket = self.hands.meeting()?.other_end(end)?;
        let (guest, shown) = names;
        if self.listening(listener).is_none() {
            return Err(Errno::CONNREFUSED);
        }
        self.queue_caller(listener, Caller { socket, shown, guest });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::connect;

    fn stream() -> OwnedFd {
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn the_end_that_is_meant_is_found_among_strangers() {
        let meeting = Meeting::new().unwrap();
        let (stranger, ours, another) = (stream(), stream(), stream());
        for socket in [&stranger, &ours, &another] {
            connect(socket, &meeting.at()).unwrap();
        }
        let end = meeting.other_end(&ours).unwrap();
        send(&end, b"x", SendFlags::empty()).unwrap();
        let mut octet = [0];
        rustix::net::recv(&ours, &mut octet[..], rustix::net::RecvFlags::empty()).unwrap();
        assert_eq!(&octet, b"x");
        let reset = rustix::net::recv(&stranger, &mut octet[..], rustix::net::RecvFlags::empty());
        assert_eq!(reset.map(|it| it.1), Err(Errno::CONNRESET));
        assert!(meeting.other_end(&another).is_ok(), "it has waited");
    }

    #[test]
    fn who_connects_to_nobody_is_refused() {
        let meeting = Meeting::new().unwrap();
        assert_eq!(connect(stream(), &meeting.nobody()), Err(Errno::CONNREFUSED));
    }

    #[test]
    fn who_is_left_there_has_a_broken_pipe() {
        let meeting = Meeting::new().unwrap();
        let ours = stream();
        connect(&ours, &meeting.at()).unwrap();
        meeting.leave(&ours).unwrap();
        assert_eq!(sockopt::socket_error(&ours), Ok(Err(Errno::PIPE)));
    }

    #[test]
    fn a_socket_that_was_never_connected_there_has_no_other_end() {
        let meeting = Meeting::new().unwrap();
        assert_eq!(meeting.other_end(&stream()).map(drop), Err(Errno::TIMEDOUT));
    }
}
