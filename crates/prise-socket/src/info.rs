//! What can be shown of a socket from outside: the row of `ss(8)`.

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use prise_stack::{self as stack, LinkId, TcpInfo};
use prise_wire::Instant;

use crate::socket::{Socket, Transport};
use crate::{Errno, Family, Host, Kind, SocketId};

/// The states that `ss` and `/proc/net/tcp` know, with the kernel's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum State {
    /// A connection is open, or a datagram socket has a peer.
    Established = 1,
    /// A SYN was sent.
    SynSent = 2,
    /// A SYN was received.
    SynReceived = 3,
    /// We closed first; our FIN is not acknowledged.
    FinWait1 = 4,
    /// Our FIN is acknowledged.
    FinWait2 = 5,
    /// Waiting for old segments to die.
    TimeWait = 6,
    /// Not connected (a datagram socket's ordinary state).
    Closed = 7,
    /// The peer closed first.
    CloseWait = 8,
    /// Both have closed; our FIN is not acknowledged.
    LastAck = 9,
    /// Accepting connections.
    Listen = 10,
    /// Both closed at once.
    Closing = 11,
}

/// One socket as `ss` shows it.
#[derive(Clone, Debug)]
pub struct SocketInfo {
    /// Its name.
    pub id: SocketId,
    /// Its family.
    pub family: Family,
    /// Its type.
    pub kind: Kind,
    /// Its protocol (`IPPROTO_TCP` …), never 0.
    pub protocol: u8,
    /// Its state.
    pub state: State,
    /// Its own address and port; 0 if not bound.
    pub local: SocketAddr,
    /// Its peer, if any.
    pub remote: Option<SocketAddr>,
    /// Octets received and not read; of a listener, connections that wait.
    pub receive_queue: usize,
    /// Octets written and not acknowledged; of a listener, the backlog.
    pub send_queue: usize,
    /// Its owner.
    pub uid: u32,
    /// An IPv6 socket that does not speak IPv4.
    pub v6_only: bool,
}

impl Host {
    /// Everything about a socket that `ss` shows.
    pub fn info(&self, s: SocketId) -> Option<SocketInfo> {
        let socket = self.sockets.get(s)?;
        let (receive_queue, send_queue) = match socket.transport {
            Transport::Listener(id) => self
                .stack
                .tcp_backlog(id)
                .map_or((0, 0), |(waiting, backlog)| (waiting as usize, backlog as usize)),
            _ => (self.receive_queue(s).unwrap_or(0), self.send_queue(s).unwrap_or(0)),
        };
        let state = match socket.kind {
            Kind::Stream => self.state(s).into(),
            Kind::Datagram | Kind::Raw if socket.remote().is_some() => State::Established,
            Kind::Datagram | Kind::Raw => State::Closed,
        };
        Some(SocketInfo {
            id: s,
            family: socket.family,
            kind: socket.kind,
            protocol: socket.protocol,
            state,
            local: self.local_addr(s).ok()?,
            remote: self.peer(s),
            receive_queue,
            send_queue,
            uid: socket.owner(self.owner),
            v6_only: socket.family == Family::Inet6 && socket.is_v6_only(),
        })
    }

    /// The connection behind a stream in all its figures.
    pub fn tcp_info(&self, now: Instant, s: SocketId) -> Option<TcpInfo> {
        self.stack.tcp_info(now, self.connection(s)?)
    }

    /// `getsockname(2)`: in the socket's family; the wildcard with port 0 before it is bound.
    pub fn local_addr(&self, s: SocketId) -> Result<SocketAddr, Errno> {
        let socket = self.socket_ref(s)?;
        let mut local = socket.local_addr();
        if socket.kind == Kind::Stream {
            local.set_port(socket.shown_port);
        }
        Ok(self.scoped(socket, local))
    }

    /// `getpeername(2)`: `ENOTCONN` without a peer, before a connection is established and after it is over.
    pub fn peer_addr(&self, s: SocketId) -> Result<SocketAddr, Errno> {
        let stream = self.socket_ref(s)?.kind == Kind::Stream;
        if stream && matches!(self.state(s), stack::State::Closed | stack::State::SynSent) {
            return Err(Errno::ENOTCONN);
        }
        let peer = self.peer(s).filter(|peer| peer.port() != 0).ok_or(Errno::ENOTCONN)?;
        Ok(self.socket_ref(s)?.with_flow_info(peer))
    }

    /// The peer that connect(2) has named, be it port 0 of one, which getpeername(2) does not tell.
    pub fn named_peer(&self, s: SocketId) -> Option<SocketAddr> {
        self.peer(s)
    }

    /// The peer, whatever has become of the connection.
    fn peer(&self, s: SocketId) -> Option<SocketAddr> {
        let socket = self.sockets.get(s)?;
        let peer = match socket.transport {
            Transport::Connection(id) => self.stack.tcp_endpoints(id)?.1,
            _ => socket.remote()?,
        };
        Some(self.scoped(socket, socket.present(peer)))
    }

    /// A link-local address means nothing without its link (RFC 4007 §6).
    pub(crate) fn scoped(&self, socket: &Socket, addr: SocketAddr) -> SocketAddr {
        match addr {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
                let link = socket
                    .device()
                    .map(LinkId::interface_index)
                    .or_else(|| self.link_of(socket, *v6.ip()));
                SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), link.unwrap_or(v6.scope_id())).into()
            }
            _ => addr,
        }
    }

    /// The link by which a link-local address is spoken to or from.
    fn link_of(&self, socket: &Socket, addr: Ipv6Addr) -> Option<u32> {
        let source = socket.stack_local();
        let own = self
            .stack
            .addresses()
            .iter()
            .find(|have| have.cidr.address() == IpAddr::V6(addr));
        if let Some(own) = own {
            return Some(own.link.interface_index());
        }
        self.stack
            .route(addr.into(), source, None)
            .ok()
            .map(|route| route.link.interface_index())
    }
}

impl From<stack::State> for State {
    fn from(state: stack::State) -> Self {
        match state {
            stack::State::Listen => Self::Listen,
            stack::State::SynSent => Self::SynSent,
            stack::State::SynReceived => Self::SynReceived,
            stack::State::Established => Self::Established,
            stack::State::FinWait1 => Self::FinWait1,
            stack::State::FinWait2 => Self::FinWait2,
            stack::State::CloseWait => Self::CloseWait,
            stack::State::Closing => Self::Closing,
            stack::State::LastAck => Self::LastAck,
            stack::State::TimeWait => Self::TimeWait,
            stack::State::Closed => Self::Closed,
        }
    }
}
