//! Data with the SYN (RFC 7413): `MSG_FASTOPEN` and `TCP_FASTOPEN_CONNECT`, as `tcp_sendmsg_fastopen` and
//! `__inet_stream_connect` have it.

use core::net::SocketAddr;

use prise_stack::FastOpenSettings;
use prise_wire::{Instant, Payload};

use crate::socket::{Flag, Phase};
use crate::{Errno, Flags, Host, SocketId};

impl Host {
    /// What programs may do with Fast Open, as `net.ipv4.tcp_fastopen` and its neighbours say.
    pub fn set_fast_open(&mut self, settings: FastOpenSettings) {
        self.stack.tcp_set_fast_open_settings(settings);
    }

    /// Whether programs may send data in SYNs.
    pub(crate) fn is_fast_open_client(&self) -> bool {
        self.stack.tcp_fast_open_settings().client
    }

    /// `sendmsg(2)` with [`Flags::FASTOPEN`], or the first write after a connect that `TCP_FASTOPEN_CONNECT` has held back:
    /// connects to `remote`, with octets from the front of `payload` in the SYN if this server is known. Answers how many
    /// went along.
    ///
    /// `EINPROGRESS`: the SYN has left without data, and everything is still to be sent once the connection is there.
    pub fn send_opening(
        &mut self,
        now: Instant,
        s: SocketId,
        payload: &mut Payload,
        flags: Flags,
        remote: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        if !self.is_fast_open_client() {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.socket_ref(s)?.phase {
            Phase::Connected => return Err(Errno::EISCONN),
            Phase::Disconnecting => return Err(Errno::EINVAL),
            Phase::Connecting if self.is_deferred(s) => {}
            Phase::Connecting => {
                self.connect_again(now, s)?;
                return self.send(now, s, payload, flags - Flags::FASTOPEN);
            }
            Phase::Unconnected => self.open_for_data(now, s, remote)?,
        }
        let id = self.connection(s).ok_or(Errno::EPIPE)?;
        let taken = self.stack.tcp_fast_open(now, id, payload).map_err(|_| Errno::EPIPE)?;
        if taken > 0 && payload.is_empty() {
            self.note_zero_copy(now, s, flags);
        }
        if taken > 0 { Ok(taken) } else { Err(Errno::EINPROGRESS) }
    }

    fn open_for_data(&mut self, now: Instant, s: SocketId, remote: Option<SocketAddr>) -> Result<(), Errno> {
        if self.state(s) != prise_stack::State::Closed {
            return Err(Errno::EISCONN);
        }
        let remote = remote.ok_or(Errno::EINVAL)?;
        self.open(now, s, remote, true)?;
        self.socket_mut(s)?.phase = Phase::Connecting;
        Ok(())
    }

    /// `connect` on a socket with `TCP_FASTOPEN_CONNECT`: whether the SYN waits for the first write
    /// (`tcp_fastopen_defer_connect`). If not, it has left with a request for a cookie.
    pub(crate) fn defer_connect(&mut self, now: Instant, s: SocketId, remote: SocketAddr) -> Result<bool, Errno> {
        self.open(now, s, remote, true)?;
        let id = self.connection(s).ok_or(Errno::EPIPE)?;
        if self.stack.tcp_may_fast_open(now, id) {
            return Ok(true);
        }
        let sent = self.stack.tcp_fast_open(now, id, &mut Payload::new());
        sent.map(|_| false).map_err(|_| Errno::EPIPE)
    }

    /// Whether `connect` is to hold the SYN back where octets may go with it (`TCP_FASTOPEN_CONNECT`).
    pub fn defers_connect(&self, s: SocketId) -> bool {
        self.is_fast_open_client()
            && self
                .sockets
                .get(s)
                .is_some_and(|socket| socket.has(Flag::FastOpenConnect))
    }

    /// Whether a SYN that `connect` holds back may bring data to a listener of this host, which takes them by these settings. Where none
    /// does, whoever else connects in its stead holds it back as well.
    pub(crate) fn may_open_with_octets(&self, s: SocketId) -> bool {
        self.defers_connect(s) && self.stack.tcp_fast_open_settings().server
    }

    /// Whether the SYN waits for the first write: `poll(2)` shows such a socket writable, and a write does not wait.
    pub fn is_deferred(&self, s: SocketId) -> bool {
        self.connection(s).is_some_and(|id| self.stack.tcp_is_deferred(id))
    }

    /// Whether data may flow on a connection although its handshake has not ended: a SYN brought a cookie.
    pub(crate) fn is_early(&self, s: SocketId) -> bool {
        self.connection(s).is_some_and(|id| self.stack.tcp_is_open(id))
    }
}
