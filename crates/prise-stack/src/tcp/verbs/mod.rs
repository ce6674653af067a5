//! What a program can do with TCP: the verbs of RFC 9293 §3.9.1, non-blocking, as methods of [`Stack`].

mod interception;
mod opening;
mod state;

use alloc::sync::Arc;

use prise_wire::{Instant, Payload};

use crate::stack::Stack;
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::{Closing, Connection, Reader};
use crate::tcp::error::{ReceiveError, SendError, TcpError, UrgentError};
use crate::tcp::info::State;
use crate::tcp::rare::UrgentOctet;
use crate::tcp::receive::acks::QuickAck;
use crate::tcp::send::pace::Pace;
use crate::tcp::{ConnId, reset};

pub use interception::Refusal;
pub use opening::TupleUse;
pub use state::SocketSummary;

impl Stack {
    fn connection(&self, id: ConnId) -> Option<&Connection> {
        self.tcp.connections.find(id.key())
    }

    fn connection_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.tcp.connections.find_mut(id.key())
    }

    /// Queues octets from the front of `data`, as many as there is room for, and answers how many. `more` holds a
    /// last small segment back (`MSG_MORE`); `urgent` makes the last octet urgent (`MSG_OOB`).
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] when there is no room (an event tells when there is), [`SendError::Closed`] after
    /// `tcp_shutdown_write` or the end of the connection.
    pub fn tcp_send(
        &mut self,
        now: Instant,
        id: ConnId,
        data: &mut Payload,
        more: bool,
        urgent: bool,
    ) -> Result<usize, SendError> {
        let share = self.memory.share();
        self.learn_whether_link_splits(id);
        let connection = self.connection_mut(id).ok_or(SendError::Closed)?;
        match connection.state {
            _ if connection.flags.fin_queued() => return Err(SendError::Closed),
            State::Established | State::CloseWait => {}
            State::SynReceived if connection.flags.early() => {}
            State::SynSent | State::SynReceived => {
                connection.flags.set_write_blocked(true);
                return Err(SendError::WouldBlock);
            }
            _ => return Err(SendError::Closed),
        }
        let room = connection.write_room().min(share);
        let whole = data.len();
        if room == 0 && whole > 0 {
            connection.flags.set_write_blocked(true);
            return Err(SendError::WouldBlock);
        }
        connection.restart_after_idle(now);
        let taken = match connection.push_by_truesize(now, data) {
            Some(taken) => taken,
            None => connection.sending().queue.push(data, room),
        };
        connection.flags.set_more(more);
        connection.note_write(now, (taken as usize) < whole);
        connection.flags.set_unpushed(more);
        if urgent && taken as usize == whole && taken > 0 {
            let end = connection.queue_end();
            connection.sending().up = Some(end);
        }
        if (taken as usize) < whole {
            connection.flags.set_write_blocked(true);
        }
        self.tcp.settle(now, &mut self.net, id.key().index);
        Ok(taken as usize)
    }

    /// Linux's account of a send buffer has to know before the first segment has left.
    fn learn_whether_link_splits(&mut self, id: ConnId) {
        let link = self
            .connection(id)
            .filter(|it| it.keeps_kernel_send_buffer())
            .map(|it| it.link);
        let splits = link
            .and_then(|link| self.net.link(link))
            .map(|link| link.gso_max() != 0);
        if let (Some(splits), Some(connection)) = (splits, self.connection_mut(id)) {
            connection.flags.set_link_splits(splits);
        }
    }

    /// Lets go what `MSG_MORE`, cork or Nagle's algorithm holds back.
    pub fn tcp_push(&mut self, now: Instant, id: ConnId) {
        if let Some(connection) = self.connection_mut(id) {
            let held = connection.unsent() > 0;
            connection.flags.set_push_due(held);
            self.tcp.settle(now, &mut self.net, id.key().index);
        }
    }

    /// What was queued ends a record (`MSG_EOR`): later octets share no segment with it.
    pub fn tcp_end_record(&mut self, id: ConnId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.end_record();
        }
    }

    /// Octets that `tcp_send` would take now.
    pub fn tcp_send_space(&self, id: ConnId) -> usize {
        self.connection(id).map_or(0, |connection| {
            connection.send_space().min(self.memory.share()) as usize
        })
    }

    /// Whether a program that polls should find the connection writable (Linux's `sk_stream_is_writeable`); asking
    /// arms the event.
    pub fn tcp_is_writable(&mut self, id: ConnId) -> bool {
        let Some(connection) = self.connection_mut(id) else {
            return false;
        };
        let writable = connection.is_worth_waking();
        if !writable {
            connection.flags.set_write_blocked(true);
        }
        writable
    }

    /// Octets that can be read now.
    pub fn tcp_readable(&self, id: ConnId) -> usize {
        self.connection(id)
            .map_or(0, |connection| connection.readable() as usize)
    }

    /// The readable octets where they lie; `tcp_consume` forgets them.
    pub fn tcp_received(&self, id: ConnId) -> impl Iterator<Item = &[u8]> {
        self.connection(id)
            .and_then(|connection| connection.receiving.as_ref())
            .into_iter()
            .flat_map(|it| it.slices())
    }

    /// Forgets `count` octets that the program has read, and tells the peer of the room if it should know.
    pub fn tcp_consume(&mut self, now: Instant, id: ConnId, count: usize) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let Some(receiving) = &mut connection.receiving else {
            return;
        };
        let taken = receiving.consume(count as u32);
        connection.after_read(now, taken);
        self.tcp.settle(now, &mut self.net, id.key().index);
    }

    /// Takes up to `max` octets. An empty payload is the peer's FIN (or the end of the connection).
    ///
    /// # Errors
    /// [`ReceiveError::WouldBlock`] when nothing has arrived.
    pub fn tcp_receive(&mut self, now: Instant, id: ConnId, max: usize) -> Result<Payload, ReceiveError> {
        let connection = self.connection_mut(id).ok_or(ReceiveError::NotConnected)?;
        if let Some(receiving) = &mut connection.receiving
            && receiving.readable() > 0
        {
            let payload = receiving.take(max);
            connection.after_read(now, payload.len() as u32);
            self.tcp.settle(now, &mut self.net, id.key().index);
            return Ok(payload);
        }
        match connection.state {
            _ if connection.at_end() => Ok(Payload::default()),
            State::SynReceived if connection.flags.early() => Err(ReceiveError::WouldBlock),
            State::SynSent | State::SynReceived | State::Closed => Err(ReceiveError::NotConnected),
            _ => Err(ReceiveError::WouldBlock),
        }
    }

    /// Whether everything before the peer's FIN was read, or nothing can come any more.
    pub fn tcp_at_end(&self, id: ConnId) -> bool {
        self.connection(id).is_none_or(Connection::at_end)
    }

    /// Takes the urgent octet (`MSG_OOB`); `peek` leaves it.
    ///
    /// # Errors
    /// [`UrgentError`] if there is none, or it has not arrived.
    pub fn tcp_receive_urgent(&mut self, id: ConnId, peek: bool) -> Result<u8, UrgentError> {
        let connection = self.connection_mut(id).ok_or(UrgentError::NotUrgent)?;
        if connection.config.oob_inline {
            return Err(UrgentError::NotUrgent);
        }
        let urgent = connection.urgent_mut().ok_or(UrgentError::NotUrgent)?;
        match urgent.octet {
            UrgentOctet::Awaited => Err(UrgentError::WouldBlock),
            UrgentOctet::Read => Err(UrgentError::NotUrgent),
            UrgentOctet::Here(octet) => {
                if !peek {
                    urgent.octet = UrgentOctet::Read;
                }
                Ok(octet)
            }
        }
    }

    /// Octets that can be read before the urgent mark: zero at the mark (`SIOCATMARK`), `None` without one.
    pub fn tcp_urgent_mark(&self, id: ConnId) -> Option<u32> {
        self.connection(id)?.urgent_mark()
    }

    /// The program reads on past an urgent octet that was cut out of the stream and is next: it is gone, read or not.
    pub fn tcp_pass_urgent(&mut self, id: ConnId) {
        if let Some(connection) = self.connection_mut(id)
            && connection.urgent_mark() == Some(0)
            && connection.urgent_is_cut_out()
        {
            connection.rare().urgent = None;
        }
    }

    /// The program will read no more: once it has closed its own side too, data that still arrives is answered by a RST
    /// (RFC 1122 §4.2.2.13). Before that it is received as ever, as on Linux.
    pub fn tcp_shutdown_read(&mut self, id: ConnId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.reader = Reader::Over;
        }
    }

    /// Half-close: a FIN follows what is queued.
    pub fn tcp_shutdown_write(&mut self, now: Instant, id: ConnId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.flags.set_push_due(true);
            connection.queue_fin();
            self.tcp.settle(now, &mut self.net, id.key().index);
        }
    }

    /// The program lets go: the queue and a FIN are still delivered, unless unread data or `SO_LINGER` ask for a
    /// reset. The identifier means nothing afterwards.
    pub fn tcp_close(&mut self, now: Instant, id: ConnId) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.reader = Reader::Nobody;
        connection.flags.set_released(true);
        let reset = connection.closing() == Closing::Reset;
        match connection.state {
            State::SynSent => connection.end(None),
            State::Closed | State::TimeWait | State::Listen => {}
            _ if reset => return self.tcp_abort(now, id),
            State::FinWait2 => {
                let Some(limit) = connection.orphan_wait() else {
                    return self.tcp_abort(now, id);
                };
                connection
                    .deadlines
                    .arm_slow(crate::tcp::deadlines::Slow::FinWait2, now + limit);
            }
            _ => {
                connection.flags.set_push_due(true);
                connection.queue_fin();
            }
        }
        self.tcp.settle(now, &mut self.net, id.key().index);
        self.tcp.orphan(now, &mut self.net, id.key());
    }

    /// Ends the connection by a RST (RFC 9293 §3.10.5). The identifier means nothing afterwards.
    pub fn tcp_abort(&mut self, now: Instant, id: ConnId) {
        let Some(connection) = self.tcp.connections.find_mut(id.key()) else {
            return;
        };
        connection.reader = Reader::Nobody;
        connection.flags.set_released(true);
        let told = matches!(
            connection.state,
            State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait
                | State::Closing
                | State::LastAck
        );
        let farewell = reset::Farewell::new(connection, now);
        connection.end(None);
        if told {
            farewell.send(now, &mut self.net);
        }
        self.tcp.settle(now, &mut self.net, id.key().index);
    }

    /// Ends the connection by a RST but keeps its record for the program: `connect(2)` with `AF_UNSPEC`, or a
    /// socket that the driver destroys.
    pub fn tcp_reset(&mut self, now: Instant, id: ConnId, error: Option<TcpError>) {
        let Some(connection) = self.tcp.connections.find_mut(id.key()) else {
            return;
        };
        if connection.state == State::Closed {
            return;
        }
        let farewell = reset::Farewell::new(connection, now);
        let told = connection.state != State::SynSent;
        connection.end(error);
        if told {
            farewell.send(now, &mut self.net);
        }
        self.tcp.settle(now, &mut self.net, id.key().index);
    }

    /// The settings of a connection.
    pub fn tcp_config(&self, id: ConnId) -> Option<&TcpConfig> {
        self.connection(id).map(|connection| &*connection.config)
    }

    /// Changes a connection's settings; they take effect at once.
    pub fn tcp_set_config(&mut self, now: Instant, id: ConnId, config: TcpConfig) {
        self.tcp.heed(&config);
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.reconfigure(now, config);
        self.tcp.settle(now, &mut self.net, id.key().index);
    }

    /// `TCP_QUICKACK`, until the exchange shows otherwise (tcp(7)).
    pub fn tcp_set_quick_ack(&mut self, now: Instant, id: ConnId, asked: QuickAck) {
        if let Some(connection) = self.connection_mut(id) {
            connection.set_quick_ack(asked);
            self.tcp.settle(now, &mut self.net, id.key().index);
        }
    }

    /// Whether acknowledgments wait for no data to ride on, as `TCP_QUICKACK` is read.
    pub fn tcp_quick_ack(&self, id: ConnId) -> bool {
        self.connection(id)
            .is_none_or(|connection| !connection.acks.interactive)
    }
}

impl Connection {
    /// Whether the receive buffer may grow by measurement: a program reads, has set no size, and memory is not short.
    pub(crate) fn tunes_receive_buffer(&self) -> bool {
        let short = self.receiving.as_ref().is_some_and(|it| it.charge.is_under_pressure());
        self.config.receive_buffer.is_none() && !self.is_orphan() && !short
    }

    fn after_read(&mut self, now: Instant, count: u32) {
        let opens = match self.read_from_kernel_buffer(now, count) {
            Some(opens) => opens,
            None => self.read_from_buffer(now, count),
        };
        self.acknowledge_read(opens);
        self.release_memory();
    }

    /// The buffer grows with what is read. Answers whether the peer should hear of the room.
    fn read_from_buffer(&mut self, now: Instant, count: u32) -> bool {
        let (srtt, max) = (self.rtt.srtt(), self.receive_buffer_max());
        if self.tunes_receive_buffer() {
            self.rcv.window.on_read(count, srtt, now, max);
        }
        let queued = self.receive_queued();
        let (mss, scale) = (self.acks.peer_mss(), self.rcv_scale);
        let bounds = self.window_bounds(scale);
        self.rcv.window.update_due(self.rcv.nxt, queued, mss, scale, bounds)
    }

    fn fin_received(&self) -> bool {
        self.rcv.fin.is_some_and(|fin| fin.precedes(self.rcv.nxt))
    }

    fn at_end(&self) -> bool {
        self.readable() == 0 && (self.fin_received() || (self.state == State::Closed && self.rcv.nxt != self.rcv.irs))
    }

    fn reconfigure(&mut self, now: Instant, config: TcpConfig) {
        let size = self.segment_size();
        let old = core::mem::replace(&mut self.config, Arc::new(config));
        if self.segment_size() > size && self.is_synchronized() && self.statistics.data_segments_out == 0 {
            // An option that goes no longer along: the initial window is of the segments that there will be.
            self.begin_window();
        }
        if old.cork && !self.config.cork || !old.nodelay && self.config.nodelay {
            // Lets go what is held now, nothing that is written later.
            let held = self.unsent() > 0;
            self.flags.set_push_due(held);
        }
        if let Some(buffer) = self.config.receive_buffer {
            self.rcv.window.set_limit(buffer);
            if old.receive_buffer != self.config.receive_buffer {
                self.set_kernel_buffer_size(buffer.saturating_mul(2));
            }
        }
        if let Some(chosen) = self.config.congestion
            && chosen != self.congestion.algorithm()
        {
            self.congestion.set_algorithm(chosen);
            if self.config.tuning().window_validation {
                self.congestion.validate_window();
            }
            // What the last one's pace held back is not the new one's to wait for.
            if let Some(sending) = self.sending.as_deref_mut() {
                sending.pace = Pace::OPEN;
            }
        }
        let told = |config: &TcpConfig| (config.user_timeout, config.tuning().user_timeout_option);
        if told(&old) != told(&self.config) && self.is_synchronized() {
            self.tell_user_timeout_soon();
        }
        if old.keepalive != self.config.keepalive {
            if self.config.keepalive.is_some() {
                self.touch_keepalive(now);
            } else if self.deadlines.slow_kind == crate::tcp::deadlines::Slow::Keepalive {
                self.deadlines.slow = Instant::FAR_FUTURE;
            }
        }
        // What both ends have agreed on stays (tcp(7)).
        if let Some(max) = self.config.max_segment.filter(|_| !self.is_synchronized()) {
            self.mss = self.mss.min(max.max(crate::tcp::MSS_MIN));
        }
        self.raise_writable_if_room();
    }
}
