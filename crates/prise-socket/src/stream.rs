//! Octets of a stream: `tcp_sendmsg`, `tcp_recvmsg`, and what `ioctl(2)` tells of the queues.

use alloc::vec::Vec;

use prise_stack::{ConnId, QuickAck, SendError, State, UrgentError};
use prise_wire::{Instant, Payload, protocol};

use crate::option::Opt;
use crate::socket::{Flag, Transport};
use crate::{Control, Errno, Flags, Host, How, Kind, SocketId};

impl Host {
    /// Whether reading was shut (`shutdown(2)`), whatever became of the connection.
    pub fn is_deaf(&self, s: SocketId) -> bool {
        self.sockets.get(s).is_some_and(|socket| socket.shutdown.read())
    }

    /// Whether either half was shut.
    pub fn is_shut(&self, s: SocketId) -> bool {
        self.halves_shut(s).is_some()
    }

    /// Which halves were shut (`shutdown(2)`).
    pub fn halves_shut(&self, s: SocketId) -> Option<How> {
        let shutdown = self.sockets.get(s)?.shutdown;
        match (shutdown.read(), shutdown.write()) {
            (true, true) => Some(How::Both),
            (true, false) => Some(How::Read),
            (false, true) => Some(How::Write),
            (false, false) => None,
        }
    }

    /// `send(2)` on a stream or a connected datagram socket: takes what fits off the front of `payload` and says how much.
    ///
    /// `EPIPE` stands for itself; raising `SIGPIPE` (unless [`Flags::NOSIGNAL`]) is the caller's affair.
    pub fn send(&mut self, now: Instant, s: SocketId, payload: &mut Payload, flags: Flags) -> Result<usize, Errno> {
        if self.socket_ref(s)?.kind != Kind::Stream {
            let sent = self.send_to(now, s, payload.clone(), flags, None, &Control::default())?;
            payload.trim_front(payload.len());
            return Ok(sent);
        }
        if flags.contains(Flags::FASTOPEN) || self.is_deferred(s) {
            return self.send_opening(now, s, payload, flags, None);
        }
        self.collect_error(s);
        let (state, shutdown) = (self.state(s), self.shutdown_of(s));
        let early = self.is_early(s);
        let socket = self.socket_mut(s)?;
        // sk_stream_wait_connect, then the loop's own look at error and shutdown.
        match state {
            State::Established | State::CloseWait => {}
            State::SynReceived if early => {}
            State::SynSent | State::SynReceived => return socket.error.take().map_or(Err(Errno::EAGAIN), Err),
            _ => return Err(socket.error.take().unwrap_or(Errno::EPIPE)),
        }
        if socket.error.is_some() || shutdown.write() {
            return Err(socket.error.take().unwrap_or(Errno::EPIPE));
        }
        let Transport::Connection(id) = socket.transport else {
            return Err(Errno::EPIPE);
        };
        let (more, urgent) = (flags.contains(Flags::MORE), flags.contains(Flags::OOB));
        let sent = self
            .stack
            .tcp_send(now, id, payload, more, urgent)
            .map_err(|error| match error {
                SendError::WouldBlock => Errno::EAGAIN,
                SendError::Closed => Errno::EPIPE,
            })?;
        if flags.contains(Flags::EOR) && payload.is_empty() {
            self.stack.tcp_end_record(id);
        }
        if flags.contains(Flags::ZEROCOPY) && payload.is_empty() {
            self.note_zero_copy(now, s, flags);
        }
        if payload.is_empty() && sent > 0 {
            self.mark_sent(now, s);
        }
        Ok(sent)
    }

    /// A program waits in a write for the connection: its octets will carry the handshake's last acknowledgment.
    pub fn expect_write(&mut self, now: Instant, s: SocketId) {
        if self.state(s) == State::SynSent
            && let Some(id) = self.connection(s)
        {
            self.stack.tcp_set_quick_ack(now, id, QuickAck::Off);
        }
    }

    /// How many octets [`Host::send`] would take now; 0 where it would answer `EAGAIN` or an error.
    pub fn send_space(&self, s: SocketId) -> usize {
        self.connection(s).map_or(0, |id| self.stack.tcp_send_space(id))
    }

    /// The octets that a stream has received in order and not yet consumed, without taking them.
    pub fn received(&self, s: SocketId) -> impl Iterator<Item = &[u8]> {
        self.connection(s)
            .into_iter()
            .flat_map(|id| self.stack.tcp_received(id))
    }

    /// Drops the first `n` of the received octets of a stream.
    pub fn consume(&mut self, now: Instant, s: SocketId, n: usize) {
        if let Some(id) = self.connection(s) {
            self.stack.tcp_consume(now, id, n);
        }
    }

    /// `recv(2)`: at most `max` octets of a stream, or one datagram (the caller truncates). An empty payload on a stream is its end.
    ///
    /// With [`Flags::TRUNC`] a stream's octets are taken as without; the caller just does not deliver them.
    pub fn recv(&mut self, now: Instant, s: SocketId, max: usize, flags: Flags) -> Result<Payload, Errno> {
        if self.socket_ref(s)?.kind != Kind::Stream {
            return self.recv_from(now, s, flags).map(|received| received.payload);
        }
        self.collect_error(s);
        let (state, shutdown) = (self.state(s), self.shutdown_of(s));
        if state == State::Listen {
            return Err(Errno::ENOTCONN);
        }
        if flags.contains(Flags::OOB) {
            return self.recv_urgent(s, state, flags);
        }
        if max == 0 {
            return Ok(Payload::new());
        }
        if let Some(id) = self.connection(s)
            && !flags.contains(Flags::PEEK)
        {
            self.stack.tcp_pass_urgent(id);
        }
        // SO_PEEK_OFF: what was peeked at is not there any more for another look.
        let seen = match self.socket_ref(s)?.value(Opt::PeekOffset) {
            offset @ 1.. if flags.contains(Flags::PEEK) => offset as usize,
            _ => 0,
        };
        if let Some(id) = self.connection(s)
            && self.stack.tcp_readable(id) > seen
        {
            return self.take_octets(now, s, id, max, flags);
        }
        // tcp_recvmsg_locked: the end of the stream, then the error, then our own shutdown.
        let ended = self.connection(s).is_some_and(|id| self.stack.tcp_fin_received(id));
        let socket = self.socket_mut(s)?;
        if ended {
            return Ok(Payload::new());
        }
        if let Some(errno) = socket.error.take() {
            return Err(errno);
        }
        match state {
            _ if shutdown.read() => Ok(Payload::new()),
            State::Closed => Err(Errno::ENOTCONN),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// Takes octets that are there, but none beyond the urgent mark once some before it were taken (`tcp(7)`).
    fn take_octets(
        &mut self,
        now: Instant,
        s: SocketId,
        id: ConnId,
        max: usize,
        flags: Flags,
    ) -> Result<Payload, Errno> {
        let max = match self.stack.tcp_urgent_mark(id) {
            Some(before) if before > 0 => max.min(before as usize),
            _ => max,
        };
        if flags.contains(Flags::PEEK) {
            return Ok(self.peek(s, id, max));
        }
        let payload = self.stack.tcp_receive(now, id, max).map_err(|_| Errno::EAGAIN)?;
        // SO_PEEK_OFF: reading moves the place to peek from back by as much.
        let socket = self.socket_mut(s)?;
        if let Some(offset) = socket.value_set(Opt::PeekOffset).filter(|offset| *offset > 0) {
            socket.set_value(Opt::PeekOffset, (offset - payload.len() as i64).max(0));
        }
        Ok(payload)
    }

    /// `MSG_PEEK`, from where `SO_PEEK_OFF` says.
    fn peek(&mut self, s: SocketId, id: ConnId, max: usize) -> Payload {
        let offset = self.sockets.get(s).map_or(-1, |socket| socket.value(Opt::PeekOffset));
        let mut skip = offset.max(0) as usize;
        let mut octets = Vec::with_capacity(max.min(self.stack.tcp_readable(id)));
        for slice in self.stack.tcp_received(id) {
            let start = skip.min(slice.len());
            skip -= start;
            let end = slice.len().min(start + max - octets.len());
            octets.extend_from_slice(&slice[start..end]);
        }
        if offset >= 0
            && let Some(socket) = self.sockets.get_mut(s)
        {
            socket.set_value(Opt::PeekOffset, offset + octets.len() as i64);
        }
        octets.into()
    }

    /// `tcp_recv_urg`: the urgent octet, apart from the stream.
    fn recv_urgent(&mut self, s: SocketId, state: State, flags: Flags) -> Result<Payload, Errno> {
        let ended = self.shutdown_of(s).read();
        let id = self.connection(s).ok_or(Errno::EINVAL)?;
        let urgent = self.stack.tcp_receive_urgent(id, true);
        if urgent != Err(UrgentError::NotUrgent) && state == State::Closed && !self.stack.tcp_fin_received(id) {
            return Err(Errno::ENOTCONN);
        }
        match self.stack.tcp_receive_urgent(id, flags.contains(Flags::PEEK)) {
            Ok(octet) => Ok(Payload::from(&[octet])),
            Err(UrgentError::NotUrgent) => Err(Errno::EINVAL),
            Err(UrgentError::WouldBlock) if state == State::Closed || ended => Ok(Payload::new()),
            Err(UrgentError::WouldBlock) => Err(Errno::EAGAIN),
        }
    }

    /// The socket at the other end of a stream, where that is this host's too, and how many octets lie between what this one has been given
    /// and what was taken off the other; see [`Stack::tcp_other_end`](prise_stack::Stack::tcp_other_end).
    pub fn other_end(&self, s: SocketId) -> Option<(SocketId, usize)> {
        let (token, between) = self.stack.tcp_other_end(self.connection(s)?)?;
        Some((self.sockets.id_at(token)?, between))
    }

    /// Whether somebody hears the segments of a stream besides its ends: a raw socket of TCP's protocol (raw(7)).
    pub fn is_overheard(&self, s: SocketId) -> bool {
        let peer = self.sockets.get(s).and_then(crate::socket::Socket::remote);
        peer.is_some_and(|peer| self.stack.raw_hears(peer.ip().to_canonical(), protocol::TCP))
    }

    /// The connection behind a stream.
    pub(crate) fn connection(&self, s: SocketId) -> Option<ConnId> {
        match self.sockets.get(s)?.transport {
            Transport::Connection(id) => Some(id),
            _ => None,
        }
    }

    /// `FIONREAD` (`SIOCINQ`): octets that can be read; of datagrams, the size of the next. `EINVAL` on a listener.
    pub fn receive_queue(&self, s: SocketId) -> Result<usize, Errno> {
        if self.socket_ref(s)?.kind != Kind::Stream {
            return Ok(self.next_datagram_size(s));
        }
        match (self.state(s), self.connection(s)) {
            (State::Listen, _) => Err(Errno::EINVAL),
            (State::SynSent | State::SynReceived, _) | (_, None) => Ok(0),
            (_, Some(id)) => {
                // tcp_inq: up to the mark, though it be reached, unless the octet is in the stream.
                let readable = self.stack.tcp_readable(id);
                let inline = self.sockets.get(s).is_some_and(|socket| socket.has(Flag::OobInline));
                let mark = self.stack.tcp_urgent_mark(id).filter(|_| !inline);
                Ok(mark.map_or(readable, |mark| readable.min(mark as usize)))
            }
        }
    }

    /// Octets of a stream that have come in sequence and were not taken, an urgent one among them.
    pub fn readable(&self, s: SocketId) -> usize {
        self.connection(s).map_or(0, |id| self.stack.tcp_readable(id))
    }

    /// What `TCP_INQ` has each message tell that is received, if it is set: the octets that are left, and one more for the peer's end,
    /// read or not (tcp(7); Linux's `tcp_inq_hint`).
    pub fn in_queue(&self, s: SocketId) -> Option<usize> {
        self.sockets.get(s).filter(|socket| socket.has(Flag::InQueue))?;
        let ended = self.connection(s).is_some_and(|id| self.stack.tcp_fin_received(id));
        Some(self.readable(s) + usize::from(ended))
    }

    /// `TIOCOUTQ` (`SIOCOUTQ`): octets that the peer has not acknowledged, the FIN among them. `EINVAL` on a listener.
    pub fn send_queue(&self, s: SocketId) -> Result<usize, Errno> {
        self.queue_of_sender(s, |info| info.send_queue + u32::from(info.fin_unacknowledged))
    }

    /// `SIOCOUTQNSD`: octets of a stream that were never sent, the FIN among them.
    pub fn unsent_queue(&self, s: SocketId) -> Result<usize, Errno> {
        self.queue_of_sender(s, |info| info.unsent + u32::from(info.fin_unsent))
    }

    fn queue_of_sender(&self, s: SocketId, of: fn(&prise_stack::TcpInfo) -> u32) -> Result<usize, Errno> {
        if self.socket_ref(s)?.kind != Kind::Stream {
            return Ok(0);
        }
        match (self.state(s), self.connection(s)) {
            (State::Listen, _) => Err(Errno::EINVAL),
            (State::SynSent | State::SynReceived | State::Closed, _) | (_, None) => Ok(0),
            (_, Some(id)) => Ok(self
                .stack
                .tcp_info(Instant::ZERO, id)
                .map_or(0, |info| of(&info) as usize)),
        }
    }

    /// `SIOCATMARK`: whether the next octet to read is the urgent one. `ENOTTY` for what is no stream.
    pub fn at_mark(&self, s: SocketId) -> Result<bool, Errno> {
        if self.socket_ref(s)?.kind != Kind::Stream {
            return Err(Errno::ENOTTY);
        }
        Ok(self
            .connection(s)
            .is_some_and(|id| self.stack.tcp_urgent_mark(id) == Some(0)))
    }

    /// How many octets can be read before the urgent mark; none if no urgent octet is announced.
    pub fn urgent_mark(&self, s: SocketId) -> Option<usize> {
        self.stack
            .tcp_urgent_mark(self.connection(s)?)
            .map(|octets| octets as usize)
    }
}
