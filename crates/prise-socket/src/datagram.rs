//! Datagram, ping and raw sockets.

use core::net::SocketAddr;

use prise_wire::{Instant, Payload};

use crate::{Control, Errno, ErrorReport, Flags, Host, Received, SocketId};

#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "the stack's verbs are being written"
)]
impl Host {
    pub(crate) fn open_datagram(&mut self, _now: Instant, _s: SocketId) -> Result<(), Errno> {
        Ok(())
    }

    pub(crate) fn close_datagram(&mut self, _now: Instant, _s: SocketId) {}

    pub(crate) fn reconfigure_datagram(&mut self, _s: SocketId) {}

    pub(crate) fn collect_datagram_errors(&mut self, _s: SocketId) {}

    pub(crate) fn datagram_waits(&self, _s: SocketId) -> bool {
        false
    }

    pub(crate) fn datagram_is_writable(&self, _s: SocketId) -> bool {
        true
    }

    pub(crate) fn next_datagram_size(&self, _s: SocketId) -> usize {
        0
    }

    pub(crate) fn connect_datagram(&mut self, _now: Instant, _s: SocketId, _remote: SocketAddr) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    pub(crate) fn disconnect_datagram(&mut self, _now: Instant, _s: SocketId) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `sendto(2)` and `sendmsg(2)` of one datagram. On a stream the address is ignored if connected.
    pub fn send_to(
        &mut self,
        _now: Instant,
        _s: SocketId,
        _payload: Payload,
        _flags: Flags,
        _destination: Option<SocketAddr>,
        _control: &Control,
    ) -> Result<usize, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `recvmsg(2)` of one datagram.
    pub fn recv_from(&mut self, _now: Instant, _s: SocketId, _flags: Flags) -> Result<Received, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `recvmsg(2)` with `MSG_ERRQUEUE`: the oldest error that `IP_RECVERR` queued; `EAGAIN` if none.
    pub fn recv_error(&mut self, _s: SocketId) -> Result<ErrorReport, Errno> {
        Err(Errno::EAGAIN)
    }
}

impl Host {
    pub(crate) fn push_corked(&mut self, _now: Instant, _s: SocketId) -> Result<(), Errno> {
        Ok(())
    }

    pub(crate) fn membership(
        &mut self,
        _now: Instant,
        _s: SocketId,
        _group: core::net::IpAddr,
        _link: Option<prise_stack::LinkId>,
        _join: bool,
    ) -> Result<(), Errno> {
        Err(Errno::ENODEV)
    }
}
