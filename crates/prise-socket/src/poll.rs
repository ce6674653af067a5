//! What `poll(2)` shows: `tcp_poll` and `datagram_poll`, bit for bit.

use prise_stack::State;

use crate::option::Opt;
use crate::socket::{Flag, Shutdown, Transport};
use crate::{Errno, Host, Kind, Readiness, SocketId};

const READABLE: Readiness = Readiness::from_raw(Readiness::IN.raw() | Readiness::RDNORM.raw());
const WRITABLE: Readiness = Readiness::from_raw(Readiness::OUT.raw() | Readiness::WRNORM.raw());

impl Host {
    /// What `poll(2)` would show. Asking arms the event that tells when a full send queue has room again.
    pub fn readiness(&mut self, s: SocketId) -> Readiness {
        self.collect_error(s);
        match self.sockets.get(s).map(|socket| socket.kind) {
            Some(Kind::Stream) => self.stream_readiness(s),
            Some(Kind::Datagram | Kind::Raw) => self.datagram_readiness(s),
            None => Readiness::EMPTY,
        }
    }

    fn stream_readiness(&mut self, s: SocketId) -> Readiness {
        let state = self.state(s);
        if state == State::Listen {
            return Readiness::EMPTY.with(READABLE, self.pending(s) > 0);
        }
        let shutdown = self.shutdown_of(s);
        let mut ready = Readiness::EMPTY
            .with(Readiness::HUP, shutdown == Shutdown::BOTH || state == State::Closed)
            .with(READABLE | Readiness::RDHUP, shutdown.read());
        if self.is_deferred(s) {
            ready |= WRITABLE;
        } else if !matches!(state, State::SynSent | State::SynReceived) || self.is_early(s) {
            ready |= self.stream_data_readiness(s, shutdown);
        }
        let Some(socket) = self.sockets.get(s) else {
            return ready;
        };
        ready.with(
            Readiness::ERR,
            socket.error.is_some() || self.has_zero_copied(s) || self.has_transmit_stamp(s),
        )
    }

    /// The part of `tcp_poll` for sockets that are or were connected; a fresh one is writable, strange as it is.
    fn stream_data_readiness(&mut self, s: SocketId, shutdown: Shutdown) -> Readiness {
        let Some(id) = self.connection(s) else { return WRITABLE };
        let Some(socket) = self.sockets.get(s) else {
            return WRITABLE;
        };
        // The urgent octet is cut out of the stream unless it is read in line, so it never counts towards the mark.
        let target = socket.value(Opt::ReceiveLowWater) as usize;
        // In line, the octet is urgent as long as it is in the stream.
        let readable = self.stack.tcp_readable(id);
        let urgent = if socket.has(Flag::OobInline) {
            self.stack
                .tcp_urgent_mark(id)
                .is_some_and(|mark| (mark as usize) < readable)
        } else {
            self.stack.tcp_receive_urgent(id, true).is_ok()
        };
        Readiness::EMPTY
            .with(READABLE, readable >= target)
            .with(WRITABLE, shutdown.write() || self.stack.tcp_is_writable(id))
            .with(Readiness::PRI, urgent)
    }

    /// `sk_shutdown`: what the program shut down, the peer's FIN, and everything once the connection is over.
    pub(crate) fn shutdown_of(&self, s: SocketId) -> Shutdown {
        let Some(socket) = self.sockets.get(s) else {
            return Shutdown::BOTH;
        };
        match socket.transport {
            Transport::Connection(id) => match self.stack.tcp_state(id) {
                State::Closed | State::TimeWait => Shutdown::BOTH,
                _ if self.stack.tcp_fin_received(id) => socket.shutdown.union(Shutdown::READ),
                _ => socket.shutdown,
            },
            _ => socket.shutdown,
        }
    }

    /// Fetches the error that the stack may have for the socket (`sk_err`).
    pub(crate) fn collect_error(&mut self, s: SocketId) {
        let Some(socket) = self.sockets.get(s) else { return };
        match socket.transport {
            Transport::Connection(id) => {
                self.give_up_picked_port(s);
                if let Some(error) = self.stack.tcp_take_error(id) {
                    let v6 = self.stack.tcp_endpoints(id).is_some_and(|(_, remote)| remote.is_ipv6());
                    if let Some(socket) = self.sockets.get_mut(s) {
                        socket.error = Some(Errno::from_tcp(error, v6));
                    }
                }
            }
            Transport::Udp(_) | Transport::Ping(_) | Transport::Raw(_) => self.collect_datagram_errors(s),
            Transport::None | Transport::Listener(_) | Transport::Elsewhere => {}
        }
    }

    fn datagram_readiness(&mut self, s: SocketId) -> Readiness {
        let readable = self.datagram_waits(s);
        let writable = self.datagram_is_writable(s);
        let Some(socket) = self.sockets.get(s) else {
            return Readiness::EMPTY;
        };
        let queued_error = socket.extra.as_ref().is_some_and(|extra| !extra.errors.is_empty());
        let error = socket.error.is_some() || queued_error;
        Readiness::EMPTY
            .with(Readiness::ERR, error)
            .with(Readiness::PRI, error && socket.has(Flag::SelectErrQueue))
            .with(READABLE | Readiness::RDHUP, socket.shutdown.read())
            .with(Readiness::HUP, socket.shutdown == Shutdown::BOTH)
            .with(READABLE, readable)
            .with(WRITABLE | Readiness::WRBAND, writable)
    }
}
