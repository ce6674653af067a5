//! `connect(2)` and its opposite, on streams: `__inet_stream_connect`, `tcp_v4_connect`, `tcp_v6_connect`, `tcp_disconnect`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prise_stack::{QuickAck, State, Tuning, TupleUse};
use prise_wire::Instant;

use crate::bind::port_range;
use crate::option::Opt;
use crate::socket::{Flag, Phase, Shutdown, Socket, Transport, wildcard};
use crate::{Errno, Family, Host, Kind, SocketId};

/// Ports that `connect` looks at before one in TIME-WAIT will do: where tens of thousands of connections to one endpoint
/// have just ended, the free one among them is not worth the search.
const PORTS_TRIED: usize = 32;

impl Host {
    /// `connect(2)`, as on a non-blocking descriptor: a stream answers `EINPROGRESS`, `EALREADY` while it lasts, then once success or the error
    /// (or take that with [`Host::take_error`], as `SO_ERROR` does), and `EISCONN` from there on. A datagram socket just remembers its peer.
    pub fn connect(&mut self, now: Instant, s: SocketId, remote: SocketAddr) -> Result<(), Errno> {
        if self.socket_ref(s)?.kind != Kind::Stream {
            return self.connect_datagram(now, s, remote);
        }
        match self.socket_ref(s)?.phase {
            Phase::Connected => Err(Errno::EISCONN),
            Phase::Disconnecting => Err(Errno::EINVAL),
            Phase::Connecting if self.is_deferred(s) => Err(Errno::EISCONN),
            Phase::Connecting => self.connect_again(now, s),
            Phase::Unconnected if self.state(s) != State::Closed => Err(Errno::EISCONN),
            Phase::Unconnected => {
                let deferred = if self.defers_connect(s) {
                    self.defer_connect(now, s, remote)?
                } else {
                    self.open(now, s, remote, false)?;
                    false
                };
                self.socket_mut(s)?.phase = Phase::Connecting;
                if deferred { Ok(()) } else { Err(Errno::EINPROGRESS) }
            }
        }
    }

    /// Whether `connect` looks at its address at all: a stream that is connected or was told to connect does not (`__inet_stream_connect`).
    pub fn looks_at_address(&self, s: SocketId) -> bool {
        let looks = |socket: &Socket| socket.kind != Kind::Stream || socket.phase == Phase::Unconnected;
        self.sockets.get(s).is_some_and(looks) && self.state(s) == State::Closed
    }

    /// Whether a stream was told to connect, did not, and its program was not told yet.
    pub fn has_failed_to_connect(&self, s: SocketId) -> bool {
        let phase = self.sockets.get(s).map(|socket| socket.phase);
        phase == Some(Phase::Connecting) && self.state(s) == State::Closed
    }

    /// Another `connect` on a socket that is connecting: how far it is.
    pub(crate) fn connect_again(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        match self.state(s) {
            State::SynSent | State::SynReceived => Err(Errno::EALREADY),
            State::Closed => {
                let errno = self.take_error(s).unwrap_or(Errno::ECONNABORTED);
                self.disconnect_stream(now, s)?;
                Err(errno)
            }
            _ => {
                self.socket_mut(s)?.phase = Phase::Connected;
                Ok(())
            }
        }
    }

    /// Sends the SYN, or holds it back for data to go along.
    pub(crate) fn open(&mut self, now: Instant, s: SocketId, remote: SocketAddr, hold: bool) -> Result<(), Errno> {
        let named = link_named(remote);
        let flow_info = self.flow_info_to_connect(now, s, remote)?;
        self.socket_mut(s)?.set_flow_info(flow_info);
        let remote = self.stream_destination(s, remote)?;
        self.settle_on(s, named)?;
        let socket = self.socket_ref(s)?;
        let route = self.route_of(socket, remote.ip(), self.speaks_from(socket), socket.device())?;
        let config = self.tcp_config(socket);
        let (device, before, fixed) = (socket.device(), socket.claim(self.owner), socket.port);
        let port = if fixed != 0 {
            fixed
        } else {
            self.pick_for(now, s, route.source, remote, config.tuning())?
        };
        let local = SocketAddr::new(route.source, port);
        let id = if hold {
            self.stack
                .tcp_connect_deferred(now, local, remote, device, &config, s.index())
        } else {
            self.stack.tcp_connect(now, local, remote, device, &config, s.index())
        }
        .map_err(|error| Errno::from_connect(error, remote.ip()))?;
        let socket = self.socket_ref(s)?;
        // `tcp_rcv_synsent_state_process`: who lets others wait for data does so himself.
        if socket.value_set(Opt::QuickAck) == Some(0) || socket.value(Opt::DeferAccept) > 0 {
            self.stack.tcp_set_quick_ack(now, id, QuickAck::Off);
        }
        let socket = self.socket_mut(s)?;
        socket.shown_port = port;
        // tcp_connect_init forgets what was before.
        socket.error = None;
        socket.local = socket.present(local).ip();
        socket.transport = Transport::Connection(id);
        if fixed != 0 {
            self.claim_changed(s, &before);
            return Ok(());
        }
        socket.port = port;
        socket.flags.set(Flag::PortPicked, true);
        let claim = self.socket_ref(s)?.claim(self.owner);
        self.tcp_ports.hold(port, claim);
        Ok(())
    }

    /// A local port that makes the four-tuple new (`__inet_hash_connect`): `EADDRNOTAVAIL` when all are taken.
    fn pick_for(
        &mut self,
        now: Instant,
        s: SocketId,
        source: IpAddr,
        remote: SocketAddr,
        tuning: &Tuning,
    ) -> Result<u16, Errno> {
        self.look_for_free_ports();
        let range = port_range(self.socket_ref(s)?, self.sysctls.ports());
        let mut reusable = None;
        for (tried, port) in self.tcp_ports.for_connect(range, &mut self.random).enumerate() {
            if reusable.is_some() && tried >= PORTS_TRIED {
                break;
            }
            match self
                .stack
                .tcp_tuple_use(now, SocketAddr::new(source, port), remote, tuning)
            {
                TupleUse::Free => return Ok(port),
                // A TIME-WAIT that timestamps make safe to take over (RFC 6191), once there is nothing better.
                TupleUse::Reusable => reusable = reusable.or(Some(port)),
                TupleUse::Taken => {}
            }
        }
        reusable.ok_or(Errno::EADDRNOTAVAIL)
    }

    /// Who connects to a link-local address speaks by that link from now on (`tcp_v6_connect`, `__ip6_datagram_connect`).
    pub(crate) fn settle_on(&mut self, s: SocketId, link: Option<u32>) -> Result<(), Errno> {
        if let Some(link) = link {
            let before = self.socket_ref(s)?.claim(self.owner);
            self.socket_mut(s)?.set_value(Opt::Device, link.into());
            self.claim_changed(s, &before);
        }
        Ok(())
    }

    /// Where a connect really goes, as the stack has it: the unspecified address means this host, v4-mapped means IPv4.
    pub(crate) fn stream_destination(&self, s: SocketId, remote: SocketAddr) -> Result<SocketAddr, Errno> {
        let socket = self.socket_ref(s)?;
        let says_no_link = is_link_local_without_scope(remote) && socket.device().is_none();
        let remote = socket.destination(remote, self.speaks_from(socket), None)?;
        match remote.ip() {
            // tcp_v4_connect: neither groups nor broadcast addresses; nor tcp_v6_connect.
            IpAddr::V4(v4) if v4.is_multicast() || self.is_broadcast(v4) => Err(Errno::ENETUNREACH),
            IpAddr::V6(v6) if v6.is_multicast() => Err(Errno::ENETUNREACH),
            // tcp_v6_connect: such an address says nothing without an interface.
            IpAddr::V6(_) if says_no_link => Err(Errno::EINVAL),
            _ => Ok(remote),
        }
    }

    /// `connect(2)` with `AF_UNSPEC`: forgets the peer; a stream is aborted and may be connected anew.
    pub fn disconnect(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        match self.socket_ref(s)?.kind {
            Kind::Stream => self.disconnect_stream(now, s),
            Kind::Datagram | Kind::Raw => self.disconnect_datagram(s),
        }
    }

    /// `tcp_disconnect`.
    pub(crate) fn disconnect_stream(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        let (state, default_owner) = (self.state(s), self.owner);
        let socket = self.socket_ref(s)?;
        // tcp_set_state(TCP_CLOSE) is what gives a picked port up.
        let keeps = socket.has(Flag::PortLocked) || state == State::Closed;
        let kept = if keeps { socket.port } else { 0 };
        match socket.transport {
            Transport::Connection(id) => {
                self.bequeath_port(s);
                self.stack.tcp_abort(now, id);
            }
            transport => {
                if let Transport::Listener(id) = transport {
                    self.stack.tcp_unlisten(now, id);
                }
                self.release_port(s);
            }
        }
        let socket = self.socket_mut(s)?;
        let elsewhere = core::mem::replace(&mut socket.transport, Transport::None) == Transport::Elsewhere;
        if let Some(extra) = &mut socket.extra {
            extra.remote = None;
            extra.was_accepted = false;
        }
        socket.phase = Phase::Unconnected;
        socket.shutdown = Shutdown::NONE;
        socket.flags.set(Flag::PortPicked, false);
        socket.flags.set(Flag::PortLeft, false);
        if !socket.has(Flag::AddressLocked) {
            socket.local = wildcard(socket.family);
        }
        // tcp_need_reset, and the SYN-SENT that it leaves out but that ends in the same error.
        let needs_reset = matches!(
            state,
            State::SynSent
                | State::SynReceived
                | State::Established
                | State::CloseWait
                | State::FinWait1
                | State::FinWait2
        );
        if needs_reset && !elsewhere {
            socket.error = Some(Errno::ECONNRESET);
        }
        if kept != 0 {
            socket.port = kept;
            let claim = socket.claim(default_owner);
            self.tcp_ports.hold(kept, claim);
        }
        self.wake(s);
        Ok(())
    }
}

/// ip_route_output: no destination is the source, and no source either is this host.
fn or_here(destination: Ipv4Addr, source: Option<IpAddr>) -> IpAddr {
    match source {
        _ if !destination.is_unspecified() => destination.into(),
        Some(own @ IpAddr::V4(_)) => own,
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

/// The link that an address says it means nothing without (RFC 4007 §6).
pub(crate) fn link_named(remote: SocketAddr) -> Option<u32> {
    match remote {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() != 0 => Some(v6.scope_id()),
        _ => None,
    }
}

/// An address that means another host on each link, with no link named (RFC 4007 §6).
pub(crate) fn is_link_local_without_scope(remote: SocketAddr) -> bool {
    match remote {
        SocketAddr::V6(v6) if v6.scope_id() == 0 => {
            let first = v6.ip().segments()[0];
            first & 0xffc0 == 0xfe80 || first & 0xff0f == 0xff02 || first & 0xff0f == 0xff01
        }
        _ => false,
    }
}

impl Socket {
    /// An address given to `connect` or `sendto`, as the stack has it, by the rules that all types share.
    /// `source`: where it would come from ([`Host::speaks_from`]).
    pub(crate) fn destination(
        &self,
        remote: SocketAddr,
        source: Option<IpAddr>,
        named: Option<IpAddr>,
    ) -> Result<SocketAddr, Errno> {
        match (self.family, remote) {
            (Family::Inet, SocketAddr::V6(_)) | (Family::Inet6, SocketAddr::V4(_)) => Err(Errno::EAFNOSUPPORT),
            (Family::Inet, SocketAddr::V4(v4)) => Ok(SocketAddr::new(or_here(*v4.ip(), source), v4.port())),
            (Family::Inet6, SocketAddr::V6(v6)) => self.destination_v6(v6, source, named),
        }
    }

    fn destination_v6(
        &self,
        remote: core::net::SocketAddrV6,
        source: Option<IpAddr>,
        named: Option<IpAddr>,
    ) -> Result<SocketAddr, Errno> {
        let bound_v4 = matches!(self.local, IpAddr::V6(local) if local.to_ipv4_mapped().is_some());
        let mut ip = *remote.ip();
        if ip.is_unspecified() {
            // "connect() to INADDR_ANY means loopback (BSD'ism)", says tcp_v6_connect.
            ip = if bound_v4 {
                Ipv4Addr::LOCALHOST.to_ipv6_mapped()
            } else {
                Ipv6Addr::LOCALHOST
            };
        }
        if let Some(v4) = ip.to_ipv4_mapped() {
            if self.is_v6_only() {
                return Err(Errno::ENETUNREACH);
            }
            return Ok(SocketAddr::new(or_here(v4, source), remote.port()));
        }
        // Bound to an address of IPv4, it may name one of IPv6 for one message (`ip6_dst_lookup_tail`).
        if bound_v4 && !named.is_some_and(|addr| addr.is_ipv6() && !addr.is_unspecified()) {
            return Err(Errno::EAFNOSUPPORT);
        }
        if ip.is_unicast_link_local() {
            let (scope, device) = (remote.scope_id(), self.value(Opt::Device));
            if scope != 0 && device != 0 && i64::from(scope) != device {
                return Err(Errno::EINVAL);
            }
        }
        Ok(SocketAddr::new(ip.into(), remote.port()))
    }
}
