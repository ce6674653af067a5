//! What a program can do with TCP: the verbs of RFC 9293 §3.9.1, non-blocking, as methods of [`Stack`].

use alloc::sync::Arc;
use core::net::SocketAddr;

use prise_wire::{Instant, Payload, SeqNum, TcpFlags, TcpHeader, protocol};

use super::config::{ListenConfig, TcpConfig};
use super::connection::{Closing, Connection, Reader};
use super::demux::{Claim, Owner};
use super::error::{AdmitError, ConnectError, ListenError, ReceiveError, SendError, TcpError, UrgentError};
use super::fast_open::{FastOpenKeys, FastOpenSettings};
use super::half_open::{Listener, Origin};
use super::info::{State, TcpInfo};
use super::rare::UrgentOctet;
use super::tuple::FourTuple;
use super::{ConnId, ListenerId, PendingId, reset};
use crate::link::LinkId;
use crate::net::{IcmpError, QuotedFlow};
use crate::stack::Stack;

/// How the gateway turns an intercepted connection down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The port is closed: a RST.
    Reset,
    /// An ICMP error, as a router or the host would send it.
    Icmp(IcmpError),
    /// Silence: the peer's own timer decides.
    Drop,
}

/// Whether a four-tuple can be used for an active open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TupleUse {
    /// Nobody has it.
    Free,
    /// In TIME-WAIT, but timestamps make it safe to take over (RFC 6191).
    Reusable,
    /// A connection, half-open connection or TIME-WAIT has it.
    Taken,
}

/// One line of a socket listing for what no program holds: half-open, TIME-WAIT and orphaned connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSummary {
    /// Our endpoint.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The state.
    pub state: State,
}

impl Stack {
    fn connection(&self, id: ConnId) -> Option<&Connection> {
        self.tcp.connections.find(id.key())
    }

    fn connection_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.tcp.connections.find_mut(id.key())
    }

    /// Passive open: makes a listener.
    ///
    /// # Errors
    /// [`ListenError::AddressInUse`] if the same address listens already and not both share it.
    pub fn tcp_listen(&mut self, listen: ListenConfig) -> Result<ListenerId, ListenError> {
        let ListenConfig {
            local,
            backlog,
            reuse_port,
            config,
            token,
        } = listen;
        let listener = Listener {
            local,
            config: Arc::new(config),
            token,
            backlog,
            queue: alloc::collections::VecDeque::new(),
            half_open: 0,
            cookies_until: Instant::ZERO,
            fast_open: None,
        };
        let key = self.tcp.listeners.insert(listener);
        let claim = Claim {
            local,
            reuse_port,
            listener: key.index,
        };
        if self.tcp.listening.insert(claim).is_err() {
            self.tcp.listeners.remove(key.index);
            return Err(ListenError::AddressInUse);
        }
        Ok(ListenerId::from_key(key))
    }

    /// Changes how many connections may wait, as a second `listen(2)` does.
    pub fn tcp_set_backlog(&mut self, id: ListenerId, backlog: u32) {
        if let Some(listener) = self.tcp.listeners.find_mut(id.key()) {
            listener.backlog = backlog;
        }
    }

    /// Changes the settings that connections will start with.
    pub fn tcp_set_listener_config(&mut self, id: ListenerId, config: TcpConfig) {
        if let Some(listener) = self.tcp.listeners.find_mut(id.key()) {
            listener.config = Arc::new(config);
        }
    }

    /// The settings of a listener.
    pub fn tcp_listener_config(&self, id: ListenerId) -> Option<&TcpConfig> {
        self.tcp.listeners.find(id.key()).map(|listener| &*listener.config)
    }

    /// Connections that wait for `tcp_accept`, and the backlog: `Recv-Q` and `Send-Q` of a listener in ss(8).
    pub fn tcp_backlog(&self, id: ListenerId) -> Option<(u32, u32)> {
        self.tcp
            .listeners
            .find(id.key())
            .map(|listener| (listener.queue.len() as u32, listener.backlog))
    }

    /// Takes the oldest completed connection; its events carry `token` from now on.
    pub fn tcp_accept(&mut self, id: ListenerId, token: u32) -> Option<ConnId> {
        let listener = self.tcp.listeners.find_mut(id.key())?;
        let key = listener.queue.pop_front()?;
        let connection = self.tcp.connections.find_mut(key)?;
        connection.token = token;
        connection.reader = Reader::Program;
        Some(ConnId::from_key(key))
    }

    /// Ends a listener; connections that nobody accepted are reset.
    pub fn tcp_unlisten(&mut self, now: Instant, id: ListenerId) {
        let Some(listener) = self.tcp.listeners.find_mut(id.key()) else {
            return;
        };
        let port = listener.local.port;
        let queue = core::mem::take(&mut listener.queue);
        self.tcp.listening.remove(port, id.key().index);
        self.tcp.listeners.remove(id.key().index);
        for key in queue {
            // Nobody had accepted it, so nobody is told that it is gone.
            let told = self.tcp.left.len();
            self.tcp_abort(now, ConnId::from_key(key));
            self.tcp.left.truncate(told);
        }
    }

    /// Active open: the SYN leaves with the next `transmit`. The answer comes as an event.
    ///
    /// # Errors
    /// [`ConnectError`] if the four-tuple is taken or no route leads there.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        device: Option<LinkId>,
        config: &TcpConfig,
        token: u32,
    ) -> Result<ConnId, ConnectError> {
        let id = self.tcp_prepare(now, local, remote, device, config, token)?;
        if let Some(connection) = self.connection_mut(id) {
            connection.flags.set_syn_due(true);
        }
        self.tcp.settle(now, &mut self.net, id.key().index);
        Ok(id)
    }

    /// A connection in SYN-SENT whose SYN has not been sent.
    pub(super) fn tcp_prepare(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        device: Option<LinkId>,
        config: &TcpConfig,
        token: u32,
    ) -> Result<ConnId, ConnectError> {
        let tuple = FourTuple::new(local, remote);
        let route = self
            .net
            .route(remote.ip(), Some(local.ip()), device)
            .map_err(ConnectError::Route)?;
        let mut iss = self.tcp.secrets.isn(now, &tuple);
        match self.tcp.owner(&tuple) {
            Some(Owner::TimeWait(index)) => {
                let record = self.tcp.time_wait.get(index).filter(|record| record.is_reusable());
                iss = record.ok_or(ConnectError::AddressInUse)?.successor_iss().later(iss);
                self.tcp.forget_time_wait(index);
            }
            Some(_) => return Err(ConnectError::AddressInUse),
            None => {}
        }
        let config = if *config == *self.tcp.default_config {
            self.tcp.default_config.clone()
        } else {
            Arc::new(config.clone())
        };
        let mut connection = self.tcp.blank(now, &self.net, tuple, route.link, iss, config);
        connection.state = State::SynSent;
        connection.token = token;
        connection.device = device;
        let key = self.tcp.connections.insert(connection);
        self.tcp.tuples.insert(&tuple, Owner::Connection(key.index));
        Ok(ConnId::from_key(key))
    }

    /// Whether an active open could use this four-tuple.
    pub fn tcp_tuple_use(&self, local: SocketAddr, remote: SocketAddr) -> TupleUse {
        match self.tcp.owner(&FourTuple::new(local, remote)) {
            None => TupleUse::Free,
            Some(Owner::TimeWait(index))
                if self
                    .tcp
                    .time_wait
                    .get(index)
                    .is_some_and(super::time_wait::TimeWait::is_reusable) =>
            {
                TupleUse::Reusable
            }
            Some(_) => TupleUse::Taken,
        }
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
        let taken = connection.sending().queue.push(data, room);
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
                let limit = connection.config.fin_wait_2;
                connection
                    .deadlines
                    .arm_slow(super::deadlines::Slow::FinWait2, now + limit);
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
        let (tuple, seq, ack) = (connection.tuple, connection.snd.nxt, connection.rcv.nxt);
        connection.end(None);
        if told {
            reset::abort(now, &mut self.net, &tuple, seq, ack);
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
        let (tuple, seq, ack) = (connection.tuple, connection.snd.nxt, connection.rcv.nxt);
        let told = connection.state != State::SynSent;
        connection.end(error);
        if told {
            reset::abort(now, &mut self.net, &tuple, seq, ack);
        }
        self.tcp.settle(now, &mut self.net, id.key().index);
    }

    /// The settings of a connection.
    pub fn tcp_config(&self, id: ConnId) -> Option<&TcpConfig> {
        self.connection(id).map(|connection| &*connection.config)
    }

    /// Changes a connection's settings; they take effect at once.
    pub fn tcp_set_config(&mut self, now: Instant, id: ConnId, config: TcpConfig) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.reconfigure(now, config);
        self.tcp.settle(now, &mut self.net, id.key().index);
    }

    /// `TCP_QUICKACK`: `on` sends an acknowledgment that is owed and stops delaying, otherwise acknowledgments wait for
    /// data to ride on; in both cases until the exchange shows otherwise (tcp(7)).
    pub fn tcp_set_quick_ack(&mut self, now: Instant, id: ConnId, on: bool) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        connection.acks.interactive = !on;
        if on && connection.acks.owed > 0 {
            connection.acks.now = true;
        }
        self.tcp.settle(now, &mut self.net, id.key().index);
    }

    /// Why the connection ended, once.
    pub fn tcp_take_error(&mut self, id: ConnId) -> Option<TcpError> {
        self.connection_mut(id)?.error.take()
    }

    /// The soft error that ICMP last told of and that did not end the connection, once (RFC 9293 §3.9.2.2).
    pub fn tcp_take_soft_error(&mut self, id: ConnId) -> Option<TcpError> {
        self.connection_mut(id)?.soft_error.take()
    }

    /// Why the connection ended, without taking it.
    pub fn tcp_error(&self, id: ConnId) -> Option<TcpError> {
        self.connection(id)?.error
    }

    /// Local and remote endpoint.
    pub fn tcp_endpoints(&self, id: ConnId) -> Option<(SocketAddr, SocketAddr)> {
        self.connection(id)
            .map(|connection| (connection.local(), connection.remote()))
    }

    /// The state.
    pub fn tcp_state(&self, id: ConnId) -> State {
        self.connection(id).map_or(State::Closed, |connection| connection.state)
    }

    /// Whether the peer's FIN has arrived in order, read or not.
    pub fn tcp_fin_received(&self, id: ConnId) -> bool {
        self.connection(id).is_none_or(Connection::fin_received)
    }

    /// Whether data may flow: from the handshake's end on, and before it where the SYN brought a Fast Open cookie.
    pub fn tcp_is_open(&self, id: ConnId) -> bool {
        self.connection(id).is_some_and(|connection| match connection.state {
            State::SynSent => false,
            State::SynReceived => connection.flags.early(),
            _ => true,
        })
    }

    /// What the host does about Fast Open.
    pub fn tcp_fast_open_settings(&self) -> FastOpenSettings {
        self.tcp.fast_opens.settings
    }

    /// Changes that.
    pub fn tcp_set_fast_open_settings(&mut self, settings: FastOpenSettings) {
        self.tcp.fast_opens.settings = settings;
    }

    /// The keys of cookies, for listeners that have none of their own.
    pub fn tcp_fast_open_keys(&self) -> FastOpenKeys {
        self.tcp.fast_opens.keys
    }

    /// Changes these (`net.ipv4.tcp_fastopen_key`).
    pub fn tcp_set_fast_open_keys(&mut self, keys: FastOpenKeys) {
        self.tcp.fast_opens.keys = keys;
    }

    /// A snapshot of the connection.
    pub fn tcp_info(&self, now: Instant, id: ConnId) -> Option<TcpInfo> {
        let connection = self.connection(id)?;
        let (local, remote) = (connection.tuple.local_ip(), connection.tuple.remote_ip());
        let route = self.net.route(remote, Some(local), connection.device);
        let info = connection.info(now);
        Some(TcpInfo {
            path_mtu: route.map_or(info.path_mtu, |route| route.mtu),
            ..info
        })
    }

    /// Half-open and TIME-WAIT connections and orphans, which no socket holds; for listings only, walks all.
    pub fn tcp_unowned(&self) -> impl Iterator<Item = SocketSummary> {
        let line = |tuple: &FourTuple, state| SocketSummary {
            local: tuple.local(),
            remote: tuple.remote(),
            state,
        };
        let half_open = self
            .tcp
            .half_open
            .iter()
            .map(move |(_, it)| line(&it.tuple, State::SynReceived));
        let time_wait = self
            .tcp
            .time_wait
            .iter()
            .map(move |(_, it)| line(&it.tuple, State::TimeWait));
        let orphans = self.tcp.connections.iter().filter(|(_, it)| it.flags.released());
        half_open
            .chain(time_wait)
            .chain(orphans.map(move |(_, it)| line(&it.tuple, it.state)))
    }

    /// Records alive, by kind: connections, listeners, half-open, TIME-WAIT. All zero when all is over.
    pub fn tcp_records(&self) -> [usize; 4] {
        let tcp = &self.tcp;
        [
            tcp.connections.len(),
            tcp.listeners.len(),
            tcp.half_open.len(),
            tcp.time_wait.len(),
        ]
    }

    /// On transparent links, asks about each SYN that no listener takes: `Event::Intercepted` with this token.
    pub fn tcp_intercept(&mut self, token: u32) {
        self.tcp.intercept = Some(token);
    }

    /// Continues an intercepted connection: the SYN-ACK leaves now, and `CONNECTED` tells when it is established.
    ///
    /// # Errors
    /// [`AdmitError::Gone`] if the peer gave up.
    pub fn tcp_admit(
        &mut self,
        now: Instant,
        id: PendingId,
        config: &TcpConfig,
        token: u32,
    ) -> Result<ConnId, AdmitError> {
        let waiting = self
            .tcp
            .half_open
            .find(id.key())
            .is_some_and(|record| record.origin() == Origin::Intercepted);
        let record = if waiting {
            self.tcp.forget_half_open(id.key().index)
        } else {
            None
        }
        .ok_or(AdmitError::Gone)?;
        let agreement = record.agreement();
        let config = Arc::new(config.clone());
        let key = self
            .tcp
            .adopt(now, &mut self.net, record.tuple, record.link, agreement, config);
        if let Some(connection) = self.tcp.connections.find_mut(key) {
            connection.token = token;
            connection.flags.set_syn_due(true);
        }
        self.tcp.settle(now, &mut self.net, key.index);
        Ok(ConnId::from_key(key))
    }

    /// Turns an intercepted connection down.
    pub fn tcp_refuse(&mut self, now: Instant, id: PendingId, refusal: Refusal) {
        let waiting = self
            .tcp
            .half_open
            .find(id.key())
            .is_some_and(|record| record.origin() == Origin::Intercepted);
        let record = if waiting {
            self.tcp.forget_half_open(id.key().index)
        } else {
            None
        };
        let Some(record) = record else { return };
        match refusal {
            Refusal::Reset => {
                let header = TcpHeader {
                    source_port: record.tuple.local_port,
                    destination_port: record.tuple.remote_port,
                    seq: SeqNum(0),
                    ack: Some(record.irs + 1),
                    flags: TcpFlags::RST,
                    ..TcpHeader::default()
                };
                reset::send(now, &mut self.net, &record.tuple, &header, 0);
            }
            Refusal::Icmp(error) => {
                let tuple = &record.tuple;
                let flow = QuotedFlow {
                    protocol: protocol::TCP,
                    src: SocketAddr::new(tuple.remote_ip(), tuple.remote_port),
                    dst: SocketAddr::new(tuple.local_ip(), tuple.local_port),
                    seq: record.irs,
                    payload: Payload::new(),
                };
                self.net.send_icmp_error_for(now, record.link, None, &flow, error);
            }
            Refusal::Drop => {}
        }
    }

    /// Whether an intercepted connection still waits.
    pub fn tcp_is_pending(&self, id: PendingId) -> bool {
        self.tcp.half_open.find(id.key()).is_some()
    }
}

impl Connection {
    fn after_read(&mut self, now: Instant, count: u32) {
        let (srtt, max) = (self.rtt.srtt(), self.receive_buffer_max());
        let short = self.receiving.as_ref().is_some_and(|it| it.charge.is_under_pressure());
        if self.config.receive_buffer.is_none() && !short {
            self.rcv.window.on_read(count, srtt, now, max);
        }
        let queued = self.receive_queued();
        let (mss, scale, clamp) = (self.acks.peer_mss, self.rcv_scale, self.window_clamp());
        if self.may_receive() && self.rcv.window.update_due(self.rcv.nxt, queued, mss, scale, clamp) {
            self.acks.now = true;
        }
        self.release_memory();
    }

    fn fin_received(&self) -> bool {
        self.rcv.fin.is_some_and(|fin| fin.precedes(self.rcv.nxt))
    }

    fn at_end(&self) -> bool {
        self.readable() == 0 && (self.fin_received() || (self.state == State::Closed && self.rcv.nxt != self.rcv.irs))
    }

    fn reconfigure(&mut self, now: Instant, config: TcpConfig) {
        let old = core::mem::replace(&mut self.config, Arc::new(config));
        if old.cork && !self.config.cork || !old.nodelay && self.config.nodelay {
            // Lets go what is held now, nothing that is written later.
            let held = self.unsent() > 0;
            self.flags.set_push_due(held);
        }
        if self.config.quick_ack && self.acks.owed > 0 {
            self.acks.now = true;
        }
        if let Some(buffer) = self.config.receive_buffer {
            self.rcv.window.set_limit(buffer);
        }
        if let Some(chosen) = self.config.congestion
            && chosen != self.congestion.algorithm()
        {
            self.congestion.set_algorithm(chosen);
        }
        if old.keepalive != self.config.keepalive {
            if self.config.keepalive.is_some() {
                self.touch_keepalive(now);
            } else if self.deadlines.slow_kind == super::deadlines::Slow::Keepalive {
                self.deadlines.slow = Instant::FAR_FUTURE;
            }
        }
        if let Some(max) = self.config.max_segment {
            self.mss = self.mss.min(max.max(super::MSS_MIN));
        }
        self.raise_writable_if_room();
    }
}
