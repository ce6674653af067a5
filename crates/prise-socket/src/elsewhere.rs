//! Streams whose connection is carried elsewhere: by the kernel of the machine that a driver runs on, say.
//!
//! Such a socket has here what programs and `ss(8)` ask a host about: its names, its port, its options. Its octets, its state
//! in detail and its errors are told by who carries it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use prise_stack::LinkId;
use prise_wire::{Instant, protocol};

use crate::option::Opt;
use crate::ports::Claim;
use crate::socket::{Flag, Phase, Socket, Transport};
use crate::{Errno, Host, Kind, SocketId};

/// Where a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To an address of this host's own.
    Own {
        /// The address that it would come from.
        local: IpAddr,
        /// The endpoint.
        remote: SocketAddr,
    },
    /// To another host.
    Outside(SocketAddr),
}

/// The port of a stream that was closed, as long as what is left of its connection elsewhere, TIME-WAIT included, holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftPort {
    port: u16,
    claim: Claim,
}

/// What a listener leaves to the connections that came to it: its options (`sk_clone`).
#[derive(Clone, Debug)]
pub struct Bequest(Arc<Socket>);

impl LeftPort {
    /// Its number.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Host {
    /// What [`Host::close`] of such a stream leaves behind if its connection lingers. None for any other socket, nor for a port
    /// that was picked for it.
    pub fn left_port(&self, s: SocketId) -> Option<LeftPort> {
        let socket = self.socket_ref(s).ok()?;
        let claim = Claim {
            listening: false,
            closed: true,
            ..socket.claim(self.owner)
        };
        let leaves = matches!(socket.transport, Transport::Elsewhere) && socket.port != 0 && !claim.picked;
        leaves.then_some(LeftPort {
            port: socket.port,
            claim,
        })
    }

    /// `bind(2)` while what is left of other connections holds its port.
    pub fn bind_beside(&mut self, now: Instant, s: SocketId, addr: SocketAddr, left: &[LeftPort]) -> Result<(), Errno> {
        self.hold_left(left);
        let bound = self.bind(now, s, addr);
        self.release_left(left);
        bound
    }

    /// `listen(2)` while what is left of other connections may hold its port, as `left_at` tells: the port is judged anew
    /// (`inet_csk_listen_start`, net/ipv4/inet_connection_sock.c).
    pub fn listen_beside(
        &mut self,
        now: Instant,
        s: SocketId,
        backlog: i32,
        left_at: impl FnOnce(u16) -> Vec<LeftPort>,
    ) -> Result<(), Errno> {
        let port = self.socket_ref(s)?.port;
        let left = if port == 0 { Vec::new() } else { left_at(port) };
        self.hold_left(&left);
        let listens = self.listen(now, s, backlog);
        self.release_left(&left);
        listens
    }

    /// `bind(2)` of a stream to a port that is to be picked, while what is left of other connections may hold it, as `left_at` tells:
    /// another one, unless there is none. Asked is only about ports that were picked, of however many something is left.
    pub fn bind_anywhere_but(
        &mut self,
        now: Instant,
        s: SocketId,
        addr: SocketAddr,
        mut left_at: impl FnMut(u16) -> Vec<LeftPort>,
    ) -> Result<(), Errno> {
        let v6_only = self.socket_ref(s)?.has(Flag::V6Only);
        let mut passed_over: Vec<LeftPort> = Vec::new();
        let mut bound = self.bind(now, s, addr);
        while bound.is_ok() {
            let port = self.socket_ref(s)?.port;
            let left = left_at(port);
            // Picked although that holds it, both may have it.
            if left.is_empty() || passed_over.iter().any(|it| it.port == port) {
                break;
            }
            self.release_port(s);
            self.unbind(s, v6_only);
            self.socket_mut(s)?.shown_port = 0;
            // As long as this lasts it holds its port, lest that be picked again.
            self.hold_left(&left);
            passed_over.extend(left);
            bound = self.bind(now, s, addr);
        }
        self.release_left(&passed_over);
        match bound {
            Err(Errno::EADDRINUSE) if !passed_over.is_empty() => self.bind(now, s, addr),
            bound => bound,
        }
    }

    fn hold_left(&mut self, left: &[LeftPort]) {
        for it in left {
            self.tcp_ports.hold(it.port, it.claim);
        }
    }

    fn release_left(&mut self, left: &[LeftPort]) {
        for it in left {
            self.tcp_ports.release(it.port, it.claim);
        }
    }

    /// Where a `connect(2)` of a stream leads if somebody else may make it: over the link to which it leads of itself, if one was named, without a SYN with
    /// data for a listener of this host, without a congestion control or a flow label of the program's choice, within this host without
    /// signatures and not to itself, and while no raw socket is to be told of TCP's segments.
    pub fn leads_to(&mut self, s: SocketId, remote: SocketAddr) -> Option<Destination> {
        let socket = self.socket_ref(s).ok()?;
        let ordinary = socket.kind == Kind::Stream
            && socket.phase == Phase::Unconnected
            && socket.transport == Transport::None
            && socket.value(Opt::Congestion) == 0
            && !socket.sends_flow_info()
            && !self.may_open_with_octets(s)
            && !is_link_local(remote.ip().to_canonical());
        if !ordinary {
            return None;
        }
        let remote = self.stream_destination(s, remote).ok()?;
        let socket = self.socket_ref(s).ok()?;
        let (bound, device) = (self.speaks_from(socket), socket.device());
        self.route_of(socket, remote.ip(), bound, None).ok()?;
        let signed = self.is_signed(s);
        // By the name of the other end it meets itself, whoever listens there. Port 0 is nobody's.
        let port = self.socket_ref(s).ok()?.port;
        let is_itself = |local: IpAddr| port != 0 && SocketAddr::new(local, port) == remote;
        self.destination(bound, device, remote).filter(|it| match it {
            Destination::Own { local, .. } => !signed && !is_itself(*local),
            Destination::Outside(_) => true,
        })
    }

    /// The same of a stream that has no name and was asked nothing yet, as far as it needs no more than a look at the address:
    /// none for the unspecified one, groups, broadcast, and IPv4 addresses written as IPv6's.
    pub fn new_stream_leads_to(&self, remote: SocketAddr) -> Option<Destination> {
        let is_plain = match remote.ip() {
            IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !self.is_broadcast(v4),
            IpAddr::V6(v6) => !v6.is_unspecified() && v6.to_ipv4_mapped().is_none() && !is_link_local(v6.into()),
        };
        if is_plain {
            self.destination(None, None, remote)
        } else {
            None
        }
    }

    fn destination(&self, bound: Option<IpAddr>, device: Option<LinkId>, remote: SocketAddr) -> Option<Destination> {
        if self.stack.raw_hears(remote.ip(), protocol::TCP) {
            return None;
        }
        let route = self.stack.route(remote.ip(), bound, None).ok()?;
        if device.is_some_and(|device| device != route.link) {
            return None;
        }
        if self.stack.is_local(remote.ip()) {
            return Some(Destination::Own {
                local: bound.unwrap_or(route.source),
                remote,
            });
        }
        (!route.source.is_loopback()).then_some(Destination::Outside(remote))
    }

    /// Whether a stream has said how many hops what comes must have left (`IP_MINTTL`, `IPV6_MINHOPCOUNT`).
    pub fn has_least_hops(&self, s: SocketId) -> bool {
        let asks = |opt| self.sockets.get(s).is_some_and(|socket| socket.value(opt) > 0);
        asks(Opt::MinTtl) || asks(Opt::MinHopCount)
    }

    /// Who carries a stream that was accepted tells what its client's SYN came with: its hops and its type of service (`tcp_v4_syn_recv_sock`).
    pub fn set_first_packet(&mut self, s: SocketId, hops: u8, tos: u8) {
        let Some(socket) = self.sockets.get(s) else { return };
        let IpAddr::V4(own) = socket.local.to_canonical() else {
            return;
        };
        let link = crate::option::ip::link_with(self, own).map_or(0, LinkId::interface_index);
        if let Some(socket) = self.sockets.get_mut(s) {
            socket.set_value(Opt::MulticastInterface, link.into());
            socket.set_value(Opt::MulticastTtl, hops.into());
            socket.set_value(Opt::ReceivedTos, tos.into());
        }
    }

    /// `connect(2)` of a stream that may be made elsewhere ([`Host::leads_to`]): from now on it has a local address, a port and a peer, and a connection
    /// that others carry. [`Host::disconnect`] makes it what it was.
    pub fn connect_elsewhere(&mut self, s: SocketId, remote: SocketAddr) -> Result<(), Errno> {
        let bound = self.speaks_from(self.socket_ref(s)?);
        let route = self
            .stack
            .route(remote.ip(), bound, None)
            .map_err(|error| Errno::from_route(error, remote.ip()))?;
        if self.socket_ref(s)?.port == 0 {
            // Nobody else's: which four-tuples are in use is not known here.
            self.autobind(Instant::ZERO, s)?;
            let before = self.socket_ref(s)?.claim(self.owner);
            self.socket_mut(s)?.flags.set(Flag::PortPicked, true);
            self.claim_changed(s, &before);
        }
        let before = self.socket_ref(s)?.claim(self.owner);
        let socket = self.socket_mut(s)?;
        socket.local = socket.present(SocketAddr::new(route.source, 0)).ip();
        socket.shown_port = socket.port;
        socket.error = None;
        socket.phase = Phase::Connected;
        socket.transport = Transport::Elsewhere;
        socket.extra_mut().remote = Some(remote);
        self.claim_changed(s, &before);
        Ok(())
    }

    /// A new stream is the client's end of a connection between these endpoints that others carry, and made without asking here: nobody
    /// asked for its port.
    pub fn carry_elsewhere(&mut self, s: SocketId, local: SocketAddr, remote: SocketAddr) -> Result<(), Errno> {
        let owner = self.owner;
        let socket = self.socket_mut(s)?;
        if socket.port != 0 {
            return Err(Errno::EINVAL);
        }
        let shown = socket.present(local);
        socket.local = shown.ip();
        socket.port = shown.port();
        socket.shown_port = shown.port();
        socket.flags.set(Flag::PortPicked, true);
        socket.phase = Phase::Connected;
        socket.transport = Transport::Elsewhere;
        socket.extra_mut().remote = Some(remote);
        let claim = socket.claim(owner);
        if shown.port() != 0 {
            self.tcp_ports.hold(shown.port(), claim);
        }
        Ok(())
    }

    /// Whether `connect(2)` of a new stream could have picked the port: no other stream has it, whatever its address.
    pub fn could_pick(&self, port: u16) -> bool {
        let (first, last) = self.sysctls.ports();
        (first..=last).contains(&port) && !self.tcp_ports.is_held(port)
    }

    /// Who carries a stream's connection says that it is over, and the socket is still held: a port that was picked for it is anybody's
    /// again (`tcp_set_state`), but for what is left of the connection, and `bind(2)` may give it another.
    pub fn over_elsewhere(&mut self, s: SocketId) -> Option<LeftPort> {
        let socket = self.sockets.get_mut(s)?;
        if socket.transport != Transport::Elsewhere || socket.has(Flag::PortLeft) {
            return None;
        }
        socket.flags.set(Flag::PortLeft, true);
        if socket.has(Flag::PortLocked) || socket.port == 0 {
            return None;
        }
        let claim = Claim {
            listening: false,
            closed: true,
            picked: false,
            ..socket.claim(self.owner)
        };
        let left = LeftPort {
            port: socket.port,
            claim,
        };
        self.release_port(s);
        Some(left)
    }

    pub(crate) fn is_over(&self, s: SocketId) -> bool {
        self.sockets.get(s).is_some_and(|socket| socket.has(Flag::PortLeft))
    }

    /// The listener that a connection from `remote` to `local` would come to by `link`.
    pub fn listener_at(&self, link: LinkId, local: SocketAddr, remote: SocketAddr) -> Option<SocketId> {
        let s = self.sockets.id_at(self.stack.tcp_listener_for(link, local, remote)?)?;
        matches!(self.sockets.get(s)?.transport, Transport::Listener(_)).then_some(s)
    }

    /// Lets a listener hear those whom `link` brings to another of its port's addresses and whom nobody else takes.
    pub fn listen_besides(&mut self, s: SocketId, link: LinkId, ip: IpAddr) {
        if let Ok(Transport::Listener(id)) = self.socket_ref(s).map(|socket| socket.transport) {
            self.stack.tcp_listen_besides(id, link, ip);
        }
    }

    /// Whether a stream has keys for signatures (`TCP_MD5SIG`), which only a TCP that sees its peers' real addresses can use.
    pub fn is_signed(&self, s: SocketId) -> bool {
        let extra = self.sockets.get(s).and_then(|socket| socket.extra.as_ref());
        extra.is_some_and(|extra| extra.signature_keys.is_some())
    }

    /// As [`Host::listener_at`], if it does not wait for data (`TCP_DEFER_ACCEPT`) and no peer has to sign.
    pub fn listener_for(&self, link: LinkId, local: SocketAddr, remote: SocketAddr) -> Option<SocketId> {
        let s = self.listener_at(link, local, remote)?;
        (self.sockets.get(s)?.value(Opt::DeferAccept) == 0 && !self.is_signed(s)).then_some(s)
    }

    /// So many connections that are carried elsewhere wait at a listener: they count against its backlog.
    pub fn wait_elsewhere(&mut self, listener: SocketId, waiting: usize) {
        if let Ok(Transport::Listener(id)) = self.socket_ref(listener).map(|socket| socket.transport) {
            let taken = u32::try_from(waiting).unwrap_or(u32::MAX);
            self.stack.tcp_set_backlog_taken(id, taken);
        }
    }

    /// `accept(2)` of a connection that came to a listener elsewhere: a new socket with the listener's options and these names.
    pub fn accept_elsewhere(
        &mut self,
        listener: SocketId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<SocketId, Errno> {
        let bequest = self.bequest(listener)?;
        Ok(self.accept_after(&bequest, local, remote))
    }

    /// What connections that are accepted from a listener start with, for those that are heard of when it is closed ([`Host::accept_after`]).
    pub fn bequest(&self, listener: SocketId) -> Result<Bequest, Errno> {
        Ok(Bequest(Arc::new(self.socket_ref(listener)?.accepted())))
    }

    /// As [`Host::accept_elsewhere`], of a listener that may be gone.
    pub fn accept_after(&mut self, bequest: &Bequest, local: SocketAddr, remote: SocketAddr) -> SocketId {
        let mut socket = bequest.0.accepted();
        let shown = socket.present(local);
        socket.transport = Transport::Elsewhere;
        socket.local = shown.ip();
        socket.port = shown.port();
        socket.shown_port = shown.port();
        socket.extra_mut().remote = Some(remote);
        socket.extra_mut().was_accepted = true;
        let claim = socket.claim(self.owner);
        self.tcp_ports.hold(shown.port(), claim);
        self.sockets.insert(socket)
    }
}

/// What means nothing without its link.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    }
}
