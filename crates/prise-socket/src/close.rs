//! How a socket ends: `shutdown(2)` (`inet_shutdown`) and `close(2)` (`tcp_close`).

use core::time::Duration;

use prise_stack::State;
use prise_wire::Instant;

use crate::option::Opt;
use crate::socket::{Phase, Shutdown, Transport};
use crate::{Errno, Host, How, Kind, SocketId};

impl Host {
    /// `shutdown(2)`. `ENOTCONN` without a connection, though even then `poll(2)` shows what was shut down.
    pub fn shutdown(&mut self, now: Instant, s: SocketId, how: How) -> Result<(), Errno> {
        self.collect_error(s);
        let state = self.state(s);
        let connected = self.socket_ref(s)?.remote().is_some();
        let socket = self.socket_mut(s)?;
        if socket.phase == Phase::Connecting {
            socket.phase = match state {
                State::SynSent | State::SynReceived | State::Closed => Phase::Disconnecting,
                _ => Phase::Connected,
            };
        }
        let result = match state {
            State::Listen if how.read() => self.disconnect_stream(now, s),
            State::Listen => Ok(()),
            State::SynSent => {
                self.disconnect_stream(now, s)?;
                Ok(())
            }
            _ => {
                let is_open = state != State::Closed || socket.kind != Kind::Stream && connected;
                self.shut(now, s, how);
                if is_open { Ok(()) } else { Err(Errno::ENOTCONN) }
            }
        };
        self.wake(s);
        result
    }

    fn shut(&mut self, now: Instant, s: SocketId, how: How) {
        let Some(socket) = self.sockets.get_mut(s) else { return };
        let halves = match how {
            How::Read => Shutdown::READ,
            How::Write => Shutdown::WRITE,
            How::Both => Shutdown::BOTH,
        };
        socket.shutdown = socket.shutdown.union(halves);
        if let Transport::Connection(id) = socket.transport {
            if how.read() {
                self.stack.tcp_shutdown_read(id);
            }
            if how.write() {
                self.stack.tcp_shutdown_write(now, id);
            }
        }
    }

    /// `close(2)` of the last descriptor: the identifier is void at once; what TCP still owes the peer goes on in the background.
    pub fn close(&mut self, now: Instant, s: SocketId) {
        let Some(transport) = self.sockets.get(s).map(|socket| socket.transport) else {
            return;
        };
        if !matches!(transport, Transport::Udp(_)) {
            self.leave_groups(now, s);
        }
        match transport {
            Transport::Connection(id) => {
                self.bequeath_port(s);
                self.stack.tcp_close(now, id);
            }
            Transport::Listener(id) => self.stack.tcp_unlisten(now, id),
            Transport::None | Transport::Elsewhere => {}
            Transport::Udp(_) | Transport::Ping(_) | Transport::Raw(_) => self.close_datagram(now, s),
        }
        self.release_port(s);
        self.release_labels(now, s);
        self.sockets.remove(s);
    }

    /// `SO_LINGER {1, n > 0}` makes the caller's `close` of a connection wait: this long at most, until [`Host::send_queue`] is 0.
    pub fn linger(&self, s: SocketId) -> Option<Duration> {
        self.connection(s)?;
        let seconds = self.sockets.get(s)?.value(Opt::Linger);
        (seconds > 0).then(|| Duration::from_secs(seconds as u64))
    }
}
