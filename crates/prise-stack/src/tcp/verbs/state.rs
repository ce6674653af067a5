//! What a program may ask about a connection, and about all (RFC 9293 §3.9.1.6), and the host's settings of Fast Open.

use core::net::{IpAddr, SocketAddr};

use prise_wire::Instant;

use crate::stack::Stack;
use crate::tcp::ConnId;
use crate::tcp::connection::Connection;
use crate::tcp::demux::Owner;
use crate::tcp::error::TcpError;
use crate::tcp::fast_open::{FastOpenKeys, FastOpenSettings};
use crate::tcp::info::{State, TcpInfo};
use crate::tcp::tuple::FourTuple;

/// One line of a socket listing for what no program holds: half-open, TIME-WAIT and orphaned connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSummary {
    /// Our endpoint; mapped where a socket of IPv6 speaks IPv4.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The state.
    pub state: State,
    /// Octets that the peer has not acknowledged, sent or not.
    pub send_queue: u32,
    /// Timeouts in a row that the peer has let pass without acknowledging anything.
    pub timeouts: u8,
    /// When TIME-WAIT ends.
    pub expires: Option<Instant>,
}

impl Stack {
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

    /// Forgets what servers have given as cookies (`ip tcp_metrics flush`).
    pub fn tcp_forget_fast_open_servers(&mut self) {
        self.tcp.fast_opens.forget_servers();
    }

    /// The keys of cookies, for listeners that have none of their own.
    pub fn tcp_fast_open_keys(&self) -> FastOpenKeys {
        self.tcp.fast_opens.keys
    }

    /// Changes these (`net.ipv4.tcp_fastopen_key`).
    pub fn tcp_set_fast_open_keys(&mut self, keys: FastOpenKeys) {
        self.tcp.fast_opens.keys = keys;
    }

    /// Traffic class and flow label, as IPv6's header has them, of the segment that completed the handshake of who came to a listener; 0 of
    /// a connection that was opened from here (`IPV6_FL_F_REMOTE`).
    pub fn tcp_came_with(&self, id: ConnId) -> u32 {
        self.connection(id).map_or(0, |connection| connection.came_with)
    }

    /// The label that a connection's packets carry from one endpoint to another, unless their sender was given one; 0 of IPv4.
    pub fn flow_label(&self, from: SocketAddr, to: SocketAddr) -> u32 {
        self.net.label_of_connection(from, to)
    }

    /// A snapshot of the connection.
    pub fn tcp_info(&self, now: Instant, id: ConnId) -> Option<TcpInfo> {
        let connection = self.connection(id)?;
        let (local, remote) = (connection.tuple.local_ip(), connection.tuple.remote_ip());
        let route = self.net.route(remote, Some(local), connection.device);
        let info = connection.info(now);
        Some(TcpInfo {
            path_mtu: route.map_or(info.path_mtu, |route| match remote {
                // What a link carries, a packet of IPv4 may not be able to fill (`ipv4_mtu`).
                IpAddr::V4(_) => route.mtu.min(u16::MAX.into()),
                IpAddr::V6(_) => route.mtu,
            }),
            ..info
        })
    }

    /// Where the other end of a connection is in this stack too: its token, and how many octets of data lie between what this end has queued
    /// and what the other's program has read, wherever they are. None where this end can send no more or the other receive, and while urgent
    /// data is under way, which may lie beside the stream.
    pub fn tcp_other_end(&self, id: ConnId) -> Option<(u32, usize)> {
        let connection = self.connection(id)?;
        let reversed = FourTuple::new(connection.tuple.remote(), connection.tuple.local());
        let Some(Owner::Connection(index)) = self.tcp.owner(&reversed) else {
            return None;
        };
        let other = self.tcp.connections.get(index)?;
        let sends = matches!(connection.state, State::Established | State::CloseWait) && !connection.flags.fin_queued();
        let arrived = other.rcv.nxt.distance_from(connection.queue_start());
        // Of another connection these numbers would be any.
        let belongs = arrived <= connection.queued();
        let urgent = connection.sends_urgent() || other.urgent().is_some();
        if !sends || !belongs || other.is_orphan() || !other.may_receive() || urgent {
            return None;
        }
        let between = connection.queue_end().distance_from(other.rcv.nxt) + other.readable();
        Some((other.token, between as usize))
    }

    /// Half-open and TIME-WAIT connections and orphans, which no socket holds; for listings only, walks all.
    pub fn tcp_unowned(&self) -> impl Iterator<Item = SocketSummary> {
        let line = |tuple: &FourTuple, mapped, state| SocketSummary {
            local: shown(tuple.local(), mapped),
            remote: shown(tuple.remote(), mapped),
            state,
            send_queue: 0,
            timeouts: 0,
            expires: None,
        };
        let half_open = self
            .tcp
            .half_open
            .iter()
            .map(move |(_, it)| line(&it.tuple, self.tcp.is_listed_mapped(it), State::SynReceived));
        let time_wait = self.tcp.time_wait.iter().map(move |(_, it)| SocketSummary {
            expires: Some(self.tcp.wheel.deadline(it.timer)),
            ..line(&it.tuple, it.listed_mapped(), State::TimeWait)
        });
        let orphans = self.tcp.connections.iter().filter(|(_, it)| it.flags.released());
        half_open
            .chain(time_wait)
            .chain(orphans.map(move |(_, it)| SocketSummary {
                send_queue: it.queued(),
                timeouts: it.consecutive_timeouts(),
                ..line(&it.tuple, it.config.listed_mapped, it.state)
            }))
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
}

/// An endpoint as lists show it.
fn shown(endpoint: SocketAddr, mapped: bool) -> SocketAddr {
    match endpoint.ip() {
        IpAddr::V4(v4) if mapped => SocketAddr::new(v4.to_ipv6_mapped().into(), endpoint.port()),
        _ => endpoint,
    }
}
