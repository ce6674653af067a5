//! [`Host`]: one machine, that is a stack and the sockets that programs have open on it.

use core::net::SocketAddr;

use prise_stack::{LinkId, LinkSet, Stack, StackConfig};
use prise_wire::{Frame, Instant, Payload};

use crate::{Control, Errno, ErrorReport, Family, Flags, How, Kind, Readiness, Received, SocketId, SocketInfo};

/// What a host is given at birth.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The stack's secrets.
    pub stack: StackConfig,
    /// The user who owns sockets unless [`Host::set_owner`] says otherwise; decides who may share a port by `SO_REUSEPORT`.
    pub owner: u32,
}

/// One machine: a [`Stack`] and its socket table, with the semantics of Linux's Internet sockets.
///
/// Every verb is non-blocking: where a program would sleep, it answers `EAGAIN` (`EINPROGRESS` for `connect`) and [`Host::event`] tells when to
/// ask again. Nothing here knows of threads, descriptors or clocks.
#[derive(Debug)]
pub struct Host {
    stack: Stack,
}

/// The core's surface, forwarded from the stack.
impl Host {
    /// A host without links and sockets.
    pub fn new(config: &HostConfig) -> Self {
        Self {
            stack: Stack::new(&config.stack),
        }
    }

    /// The stack beneath: links, addresses, routes, counters.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The stack beneath, to be configured.
    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// Takes frames that have come by a link.
    pub fn receive(&mut self, now: Instant, link: LinkId, frames: impl IntoIterator<Item = Frame>) {
        self.stack.receive(now, link, frames);
    }

    /// The next frame to put on a link; ask until there is none.
    pub fn transmit(&mut self, now: Instant, link: LinkId) -> Option<Frame> {
        self.stack.transmit(now, link)
    }

    /// The links that have something to transmit.
    pub fn links_ready(&self) -> LinkSet {
        self.stack.links_ready()
    }

    /// Lets everything happen that was due by `now`.
    pub fn expire(&mut self, now: Instant) {
        self.stack.expire(now);
    }

    /// When [`Host::expire`] is to be called next, if ever.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.stack.next_deadline()
    }

    /// The next socket that has newly become ready, with all it is ready for now. Ask until there is none.
    ///
    /// Like the wake-ups of `epoll(7)` with `EPOLLET`: one answer for each thing that happened, not for each thing that still holds.
    pub fn event(&mut self) -> Option<(SocketId, Readiness)> {
        None
    }
}

#[expect(
    unused_variables,
    clippy::ptr_arg,
    reason = "signatures first; the bodies follow"
)]
impl Host {
    /// `socket(2)`. `protocol` 0 means the type's own.
    pub fn socket(&mut self, family: Family, kind: Kind, protocol: i32) -> Result<SocketId, Errno> {
        Err(Errno::ENOSYS)
    }

    /// Whose socket it is (`SO_REUSEPORT` groups, `SocketInfo`).
    pub fn set_owner(&mut self, s: SocketId, uid: u32) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `bind(2)`. An IPv4 address on an IPv6 socket is a v4-mapped one. Port 0 picks one.
    pub fn bind(&mut self, now: Instant, s: SocketId, local: SocketAddr) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `listen(2)`; again to change the backlog.
    pub fn listen(&mut self, now: Instant, s: SocketId, backlog: i32) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `accept(2)`: the oldest connection that waits, and its peer. `EAGAIN` if none does.
    pub fn accept(&mut self, now: Instant, s: SocketId) -> Result<(SocketId, SocketAddr), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `connect(2)`, as on a non-blocking descriptor: a stream answers `EINPROGRESS`, `EALREADY` while it lasts, then once success or the error
    /// (or take that with [`Host::take_error`], as `SO_ERROR` does), and `EISCONN` from there on. A datagram socket just remembers its peer.
    pub fn connect(&mut self, now: Instant, s: SocketId, remote: SocketAddr) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `connect(2)` with `AF_UNSPEC`: forgets the peer; a stream is aborted and may be connected anew.
    pub fn disconnect(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `shutdown(2)`.
    pub fn shutdown(&mut self, now: Instant, s: SocketId, how: How) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `close(2)` of the last descriptor: the identifier is void at once; what TCP still owes the peer goes on in the background.
    pub fn close(&mut self, now: Instant, s: SocketId) {}

    /// `SO_LINGER {1, n > 0}` makes the caller's `close` wait: this long at most, until [`Host::send_queue`] is 0.
    pub fn linger(&self, s: SocketId) -> Option<core::time::Duration> {
        None
    }

    /// `send(2)` on a stream or a connected datagram socket: takes what fits off the front of `payload` and says how much.
    pub fn send(&mut self, now: Instant, s: SocketId, payload: &mut Payload, flags: Flags) -> Result<usize, Errno> {
        Err(Errno::ENOSYS)
    }

    /// The octets that a stream has received in order and not yet consumed, without taking them.
    pub fn received(&self, s: SocketId) -> impl Iterator<Item = &[u8]> {
        core::iter::empty()
    }

    /// Drops the first `n` of the received octets of a stream.
    pub fn consume(&mut self, now: Instant, s: SocketId, n: usize) {}

    /// `recv(2)`: at most `max` octets of a stream, or one datagram (the caller truncates). An empty payload on a stream is its end.
    pub fn recv(&mut self, now: Instant, s: SocketId, max: usize, flags: Flags) -> Result<Payload, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `sendto(2)` and `sendmsg(2)` of one datagram. On a stream the address is ignored if connected.
    pub fn send_to(
        &mut self,
        now: Instant,
        s: SocketId,
        payload: Payload,
        flags: Flags,
        destination: Option<SocketAddr>,
        control: &Control,
    ) -> Result<usize, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `recvmsg(2)` of one datagram.
    pub fn recv_from(&mut self, now: Instant, s: SocketId, flags: Flags) -> Result<Received, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `recvmsg(2)` with `MSG_ERRQUEUE`: the oldest error that `IP_RECVERR` queued; `EAGAIN` if none.
    pub fn recv_error(&mut self, s: SocketId) -> Result<ErrorReport, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `setsockopt(2)` with the raw values of Linux x86-64.
    pub fn set_option(&mut self, now: Instant, s: SocketId, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `getsockopt(2)` into a buffer as large as the option needs; `out` is replaced.
    pub fn option(
        &mut self,
        now: Instant,
        s: SocketId,
        level: i32,
        name: i32,
        out: &mut alloc::vec::Vec<u8>,
    ) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `getsockopt(2)` into a buffer of `room` octets, on which some options depend; `out` is never longer than that.
    pub fn option_within(
        &mut self,
        now: Instant,
        s: SocketId,
        level: i32,
        name: i32,
        room: usize,
        out: &mut alloc::vec::Vec<u8>,
    ) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// `SO_RCVTIMEO`: how long the caller lets a receiving call sleep; none is for ever.
    pub fn receive_timeout(&self, s: SocketId) -> Option<core::time::Duration> {
        None
    }

    /// `SO_SNDTIMEO`: how long the caller lets a sending call or a connect sleep; none is for ever.
    pub fn send_timeout(&self, s: SocketId) -> Option<core::time::Duration> {
        None
    }

    /// `SO_ERROR`: the pending error, which is taken.
    pub fn take_error(&mut self, s: SocketId) -> Option<Errno> {
        None
    }

    /// `getsockname(2)`: in the socket's family; the wildcard with port 0 before it is bound.
    pub fn local_addr(&self, s: SocketId) -> Result<SocketAddr, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `getpeername(2)`: `ENOTCONN` without a peer.
    pub fn peer_addr(&self, s: SocketId) -> Result<SocketAddr, Errno> {
        Err(Errno::ENOSYS)
    }

    /// What `poll(2)` would show.
    pub fn readiness(&self, s: SocketId) -> Readiness {
        Readiness::EMPTY
    }

    /// `FIONREAD` (`SIOCINQ`): octets that can be read; of datagrams, the size of the next. `EINVAL` on a listener.
    pub fn receive_queue(&self, s: SocketId) -> Result<usize, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `TIOCOUTQ` (`SIOCOUTQ`): octets that the peer has not acknowledged. `EINVAL` on a listener.
    pub fn send_queue(&self, s: SocketId) -> Result<usize, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `SIOCOUTQNSD`: octets of a stream that were never sent.
    pub fn unsent_queue(&self, s: SocketId) -> Result<usize, Errno> {
        Err(Errno::ENOSYS)
    }

    /// `SIOCATMARK`: whether the next octet to read is the urgent one.
    pub fn at_mark(&self, s: SocketId) -> Result<bool, Errno> {
        Err(Errno::ENOSYS)
    }

    /// How many octets [`Host::send`] would take now; 0 where it would answer `EAGAIN` or an error.
    pub fn send_space(&self, s: SocketId) -> usize {
        0
    }

    /// Everything about a socket that `ss` shows.
    pub fn info(&self, s: SocketId) -> Option<SocketInfo> {
        None
    }

    /// The sockets that are open, in no particular order.
    pub fn sockets(&self) -> impl Iterator<Item = SocketId> {
        core::iter::empty()
    }
}
