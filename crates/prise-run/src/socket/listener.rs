//! A listening stream: what shows the program that connections wait, so that its descriptor polls as a listener does.
//!
//! Each connection has a token, sent when it arrives and taken by accept(2), so that each is an edge of its own.
//! Connections themselves wait in the host, whose backlog is the one that counts. There are three signs:
//!
//! *The kernel's own queue*, where the program's object is a TCP listener of the host's kernel: [`crate::handed::native_listener`].
//!
//! *Callers* of a listening AF_UNIX stream, each a connection that the supervisor makes and leaves. Reading from it fails
//! (`EINVAL`; Linux's listener says `ENOTCONN`), whoever reads, and never waits. Nothing of it tells of the close; the
//! kernel's notices of files do ([`crate::socket::closes`]).
//!
//! *Octets* in a connected stream, where there are no such notices. Its other end, the supervisor's, tells of the close at
//! once. But a program that reads from its listener finds nothing, or a token.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use core::net::SocketAddr;

use prise_gateway::Caller;
use prise_socket::SocketId;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketAddrUnix, SocketFlags, accept_with, bind, connect, listen, shutdown};

use crate::handed::direct::Publication;
use crate::handed::native_listener::NativeListener;
use crate::socket::attach;
use crate::socket::unix;
use crate::waiting::parked::ParkId;

/// Tokens that may wait: as many as octets are, about. More connections wait in the host, and whoever polls finds the
/// listener readable all the same.
const TOKENS_MAX: u16 = 256;

/// A listening stream.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) sign: Sign,
    /// shutdown(2) has ended it.
    pub(crate) ended: bool,
    /// Connections that were accepted for a call that could not take them; the next call's.
    pub(crate) returned: VecDeque<(SocketId, SocketAddr)>,
    /// Clients of a published port whose connections are the host kernel's.
    pub(crate) callers: VecDeque<Caller>,
    /// Calls that wait for a connection, in their order.
    pub(crate) waiting: VecDeque<ParkId>,
}

/// How connections that wait are shown.
#[derive(Debug)]
pub(crate) enum Sign {
    /// By octets that were sent through this end.
    Octets {
        /// The supervisor's end.
        end: OwnedFd,
        /// Octets in the program's descriptor.
        tokens: usize,
    },
    /// By callers of the program's descriptor.
    Callers(Callers),
    /// By the kernel, whose listener it is.
    Native(NativeListener),
}

/// A listening AF_UNIX stream, as who calls it sees it.
#[derive(Debug)]
pub(crate) struct Callers {
    name: SocketAddrUnix,
    /// Those that were not accepted yet.
    waiting: usize,
    /// The last call found nobody.
    refused: bool,
}

impl Listening {
    pub(crate) fn new(sign: Sign) -> Self {
        Self {
            sign,
            ended: false,
            returned: VecDeque::new(),
            callers: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Sends tokens until there are as many as connections wait. A full queue holds hundreds: readable all the same.
    pub(crate) fn announce(&mut self, connections: usize) {
        match &mut self.sign {
            Sign::Octets { end, tokens } => {
                while *tokens < connections && unix::send_octet(&*end).is_ok() {
                    *tokens += 1;
                }
            }
            Sign::Callers(callers) => while callers.waiting < connections && callers.call().is_ok() {},
            Sign::Native(native) => while native.tokens() < connections && native.show().is_ok() {},
        }
    }

    /// How many connections it shows.
    pub(crate) fn shown(&self) -> usize {
        match &self.sign {
            Sign::Octets { tokens, .. } => *tokens,
            Sign::Callers(callers) => callers.waiting,
            Sign::Native(native) => native.tokens(),
        }
    }

    /// Whether it is a listener of the kernel's.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self.sign, Sign::Native(_))
    }

    /// The published address where it takes clients itself.
    pub(crate) fn publication(&self) -> Option<Publication> {
        match &self.sign {
            Sign::Native(native) => native.publication(),
            _ => None,
        }
    }

    /// Takes tokens, through a copy of the program's descriptor, until there are no more than connections wait.
    pub(crate) fn withdraw(&mut self, connections: usize, copy: &OwnedFd) {
        match &mut self.sign {
            Sign::Octets { tokens, .. } => {
                while *tokens > connections {
                    *tokens -= 1;
                    // A program that reads from its listener has taken it already.
                    let _ = unix::take_octet(copy);
                }
            }
            Sign::Callers(callers) => {
                while callers.waiting > connections {
                    callers.take(copy);
                }
            }
            // accept(2) takes them as it finds them.
            Sign::Native(_) => (),
        }
    }

    /// Whether a connection that arrived found nobody.
    pub(crate) fn found_nobody(&self) -> bool {
        matches!(&self.sign, Sign::Callers(callers) if callers.refused && !self.ended)
    }

    /// Whether the end of its octets tells that the program has closed it.
    pub(crate) fn is_hung_up(&self) -> bool {
        matches!(&self.sign, Sign::Octets { end, .. } if !self.ended && unix::shows(end, PollFlags::HUP))
    }

    /// shutdown(2): what the program holds shows the end from now on.
    pub(crate) fn shut(&self, copy: &OwnedFd) {
        // Refused only where there is nothing left to shut.
        let _ = match &self.sign {
            Sign::Octets { end, .. } => shutdown(end, Shutdown::Write),
            Sign::Callers(_) | Sign::Native(_) => shutdown(copy, Shutdown::Both),
        };
    }
}

impl Callers {
    /// Makes an unconnected stream a listener, and what calls it.
    pub(crate) fn of(stream: &OwnedFd) -> io::Result<Self> {
        let name = attach::name()?;
        bind(stream, &name)?;
        listen(stream, TOKENS_MAX.into())?;
        Ok(Self {
            name,
            waiting: 0,
            refused: false,
        })
    }

    /// The caller waits in the queue though its own end is closed at once.
    fn call(&mut self) -> Result<(), Errno> {
        let connected = connect(unix::stream(SocketFlags::NONBLOCK)?, &self.name);
        self.refused = connected == Err(Errno::CONNREFUSED);
        connected?;
        self.waiting += 1;
        Ok(())
    }

    /// Takes the oldest caller off the queue.
    fn take(&mut self, copy: &OwnedFd) {
        self.waiting -= 1;
        // Blocking, as the program's descriptor may be, accept(2) must not find the queue empty: a process outside of the
        // run, which may have been given the descriptor, could have emptied it.
        if unix::shows(copy, PollFlags::IN) {
            let _ = accept_with(copy, SocketFlags::CLOEXEC);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvFlags, recv};

    fn callers() -> (OwnedFd, Listening) {
        let stream = unix::stream(SocketFlags::NONBLOCK).unwrap();
        let sign = Sign::Callers(Callers::of(&stream).unwrap());
        (stream, Listening::new(sign))
    }

    #[test]
    fn callers_show_that_connections_wait_and_nobody_reads_them() {
        let (program, mut listening) = callers();
        assert!(!unix::shows(&program, PollFlags::IN | PollFlags::OUT | PollFlags::HUP));
        assert_eq!(
            recv(&program, &mut [0; 1][..], RecvFlags::empty()).unwrap_err(),
            Errno::INVAL
        );
        listening.announce(2);
        assert!(unix::shows(&program, PollFlags::IN));
        assert_eq!(
            recv(&program, &mut [0; 1][..], RecvFlags::empty()).unwrap_err(),
            Errno::INVAL
        );
        listening.withdraw(1, &program);
        assert!(unix::shows(&program, PollFlags::IN));
        listening.withdraw(0, &program);
        assert!(!unix::shows(&program, PollFlags::IN | PollFlags::OUT | PollFlags::HUP));
    }

    #[test]
    fn more_connections_than_tokens_leave_the_listener_readable() {
        let (program, mut listening) = callers();
        listening.announce(10_000);
        assert!(!listening.found_nobody());
        listening.withdraw(0, &program);
        assert!(!unix::shows(&program, PollFlags::IN));
        listening.announce(1);
        assert!(unix::shows(&program, PollFlags::IN));
    }

    #[test]
    fn a_caller_of_a_closed_listener_finds_nobody() {
        let (program, mut listening) = callers();
        listening.announce(2);
        listening.withdraw(1, &program);
        assert!(!listening.found_nobody());
        drop(program);
        listening.announce(2);
        assert!(listening.found_nobody());
    }
}
