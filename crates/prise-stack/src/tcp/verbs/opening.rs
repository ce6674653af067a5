//! Opening connections: passive with a listener, and active (RFC 9293 §3.9.1.1).

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use prise_wire::Instant;

use crate::link::LinkId;
use crate::stack::Stack;
use crate::tcp::config::{ListenConfig, TcpConfig};
use crate::tcp::connection::Reader;
use crate::tcp::demux::{Claim, Owner};
use crate::tcp::error::{ConnectError, ListenError};
use crate::tcp::half_open::Listener;
use crate::tcp::info::State;
use crate::tcp::tuning::Tuning;
use crate::tcp::tuple::FourTuple;
use crate::tcp::{ConnId, ListenerId};

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

impl Stack {
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
        self.tcp.heed(&config);
        let listener = Listener {
            local,
            config: Arc::new(config),
            token,
            backlog,
            queue: alloc::collections::VecDeque::new(),
            taken: 0,
            half_open: 0,
            cookies_until: Instant::ZERO,
            fast_open: None,
        };
        let key = self.tcp.listeners.insert(listener);
        let claim = Claim {
            local,
            reuse_port,
            listener: key.index,
            is_last: false,
        };
        if self.tcp.listening.insert(claim).is_err() {
            self.tcp.listeners.remove(key.index);
            return Err(ListenError::AddressInUse);
        }
        Ok(ListenerId::from_key(key))
    }

    /// Lets a listener hear, as if it listened there, too, those whom `link` brings to `addr` and whom nobody else takes: a port of the
    /// outside may lead to a program that listens on its loopback.
    pub fn tcp_listen_besides(&mut self, id: ListenerId, link: LinkId, addr: IpAddr) {
        if let Some(listener) = self.tcp.listeners.find(id.key()) {
            self.tcp.listening.lend(listener.local.port, id.key().index, link, addr);
        }
    }

    /// Changes how many connections may wait, as a second `listen(2)` does.
    pub fn tcp_set_backlog(&mut self, id: ListenerId, backlog: u32) {
        if let Some(listener) = self.tcp.listeners.find_mut(id.key()) {
            listener.backlog = backlog;
        }
    }

    /// So many connections that others carry wait for the listener's program as well: they count against the backlog.
    pub fn tcp_set_backlog_taken(&mut self, id: ListenerId, taken: u32) {
        if let Some(listener) = self.tcp.listeners.find_mut(id.key()) {
            listener.taken = taken;
        }
    }

    /// Changes the settings that connections will start with.
    pub fn tcp_set_listener_config(&mut self, id: ListenerId, config: TcpConfig) {
        self.tcp.heed(&config);
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

    /// The token of the listener that a connection from `remote` to `local` would come to by `link`.
    pub fn tcp_listener_for(&self, link: LinkId, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        let link = self.net.link_reached(link, local.ip());
        let index = self.tcp.listener_of(link, &FourTuple::new(local, remote))?;
        self.tcp.listeners.get(index).map(|listener| listener.token)
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
        let listener_half_open = listener.half_open;
        self.tcp.listening.remove(port, id.key().index);
        if listener_half_open > 0 {
            self.tcp.forget_half_open_of(id.key().index);
        }
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
    pub(in crate::tcp) fn tcp_prepare(
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
        let mut ts_recent = 0;
        match self.tcp.owner(&tuple) {
            Some(Owner::TimeWait(index)) => {
                let record = self.tcp.time_wait.get(index).filter(|record| record.is_reusable());
                let record = record.ok_or(ConnectError::AddressInUse)?;
                iss = record.successor_iss().later(iss);
                ts_recent = record.ts_recent();
                self.tcp.forget_time_wait(index);
            }
            Some(_) => return Err(ConnectError::AddressInUse),
            None => {}
        }
        self.tcp.heed(config);
        let config = if *config == *self.tcp.default_config {
            self.tcp.default_config.clone()
        } else {
            Arc::new(config.clone())
        };
        let mut connection = self.tcp.blank(now, &self.net, tuple, route.link, iss, config);
        connection.state = State::SynSent;
        connection.token = token;
        connection.device = device;
        connection.timestamps.recent = ts_recent;
        let key = self.tcp.connections.insert(connection);
        self.tcp.tuples.insert(&tuple, Owner::Connection(key.index));
        self.net.tcp_counters.active_opens += 1;
        Ok(ConnId::from_key(key))
    }

    /// Whether a connection, a half-open one or TIME-WAIT has this four-tuple.
    pub fn tcp_holds(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.tcp.owner(&FourTuple::new(local, remote)).is_some()
    }

    /// Whether an active open with that tuning could use this four-tuple, if its port is picked for it.
    pub fn tcp_tuple_use(&self, now: Instant, local: SocketAddr, remote: SocketAddr, tuning: &Tuning) -> TupleUse {
        match self.tcp.owner(&FourTuple::new(local, remote)) {
            None => TupleUse::Free,
            Some(Owner::TimeWait(index)) if self.tcp.is_free_to_pick(now, index, tuning) => TupleUse::Reusable,
            Some(_) => TupleUse::Taken,
        }
    }
}
