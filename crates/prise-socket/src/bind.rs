//! `bind(2)`, by the rules of `ip(7)` and `ipv6(7)`; and the binding that happens by itself.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use prise_stack::{self as stack, LinkId, RouteInfo, State};
use prise_wire::Instant;

use crate::option::Opt;
use crate::socket::{Flag, Socket, wildcard};
use crate::{Errno, Family, Host, Kind, SocketId};

impl Host {
    /// `bind(2)`. Port 0 picks one. An address of the other family is `EAFNOSUPPORT`: IPv4 on an IPv6 socket is v4-mapped.
    pub fn bind(&mut self, now: Instant, s: SocketId, local: SocketAddr) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        if (socket.family == Family::Inet) != local.is_ipv4() {
            return Err(Errno::EAFNOSUPPORT);
        }
        match local {
            SocketAddr::V4(v4) => {
                // inet_bind looks at the address first, inet6_bind at the state.
                self.check_v4(s, *v4.ip())?;
                self.check_unbound(s)?;
            }
            SocketAddr::V6(v6) => {
                if v6.ip().is_multicast() && self.socket_ref(s)?.kind == Kind::Stream {
                    return Err(Errno::EINVAL);
                }
                self.check_unbound(s)?;
                self.check_v6(s, v6)?;
            }
        }
        self.take(now, s, local)
    }

    /// Not bound and not connected; a connection that is over may have left the socket so.
    fn check_unbound(&mut self, s: SocketId) -> Result<(), Errno> {
        self.give_up_picked_port(s);
        let socket = self.socket_ref(s)?;
        let free = socket.kind == Kind::Raw || self.state(s) == State::Closed && socket.port == 0;
        if free { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// `inet_addr_valid_or_nonlocal`: ours, the wildcard, a group or a broadcast address.
    fn check_v4(&self, s: SocketId, addr: Ipv4Addr) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        if socket.may_be_foreign()
            || addr.is_unspecified()
            || addr.is_multicast()
            || self.stack.is_local(addr.into())
            || self.is_broadcast(addr)
        {
            return Ok(());
        }
        Err(Errno::EADDRNOTAVAIL)
    }

    fn check_v6(&mut self, s: SocketId, local: core::net::SocketAddrV6) -> Result<(), Errno> {
        let addr = *local.ip();
        let socket = self.socket_mut(s)?;
        if let Some(v4) = addr.to_ipv4_mapped() {
            // A socket that does not speak IPv4 cannot have an IPv4 address.
            return if socket.has(Flag::V6Only) {
                Err(Errno::EINVAL)
            } else {
                self.check_v4(s, v4)
            };
        }
        if addr.is_unspecified() {
            return Ok(());
        }
        if addr.is_unicast_link_local() || is_link_local_group(addr) {
            if local.scope_id() != 0 {
                socket.set_value(Opt::Device, local.scope_id().into());
            }
            if socket.value(Opt::Device) == 0 {
                return Err(Errno::EINVAL);
            }
        }
        if socket.may_be_foreign() || addr.is_multicast() || self.stack.is_local(addr.into()) {
            Ok(())
        } else {
            Err(Errno::EADDRNOTAVAIL)
        }
    }

    /// Whether packets to the address go to every station of some link.
    pub(crate) fn is_broadcast(&self, addr: Ipv4Addr) -> bool {
        addr.is_broadcast()
            || self
                .stack
                .addresses()
                .iter()
                .any(|have| have.cidr.broadcast() == Some(addr))
    }

    /// The address that a bound socket speaks from (`inet_saddr`): its own, unless that is a group's or everybody's, which it only
    /// listens to.
    pub(crate) fn speaks_from(&self, socket: &Socket) -> Option<IpAddr> {
        socket.stack_local().filter(|addr| match addr {
            IpAddr::V4(v4) => !v4.is_multicast() && !self.is_broadcast(*v4),
            IpAddr::V6(v6) => !v6.is_multicast(),
        })
    }

    /// An IPv4 address that is nobody's here leads nowhere, unless the socket may speak for others (`ip_route_output_key_hash_rcu`,
    /// `ip_route_connect_init`).
    pub(crate) fn check_speaks_from(&self, socket: &Socket, source: Ipv4Addr) -> Result<(), Errno> {
        let possible = source.is_unspecified() || self.stack.is_local(source.into()) || socket.has(Flag::Transparent);
        if possible { Ok(()) } else { Err(Errno::ENETUNREACH) }
    }

    /// The way to a destination from where a socket speaks.
    pub(crate) fn route_of(
        &self,
        socket: &Socket,
        destination: IpAddr,
        source: Option<IpAddr>,
        device: Option<LinkId>,
    ) -> Result<RouteInfo, Errno> {
        if let Some(IpAddr::V4(v4)) = source {
            self.check_speaks_from(socket, v4)?;
        }
        self.route_from(destination, source, device)
    }

    /// The way to a destination from an address that the socket may have.
    pub(crate) fn route_from(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        device: Option<LinkId>,
    ) -> Result<RouteInfo, Errno> {
        self.stack
            .route(destination, source, device)
            .map_err(|error| Errno::from_route(error, destination))
    }

    /// Takes address and port, now that the address is known to be possible.
    fn take(&mut self, now: Instant, s: SocketId, local: SocketAddr) -> Result<(), Errno> {
        let socket = self.socket_mut(s)?;
        socket.local = local.ip();
        socket.flags.set(Flag::AddressLocked, !local.ip().is_unspecified());
        let v6_only = socket.has(Flag::V6Only);
        if let IpAddr::V6(addr) = local.ip()
            && !addr.is_unspecified()
            && addr.to_ipv4_mapped().is_none()
        {
            socket.flags.set(Flag::V6Only, true);
        }
        let later = local.port() == 0 && socket.has(Flag::BindAddressNoPort);
        if !later && let Err(errno) = self.take_port(s, local.port()) {
            self.unbind(s, v6_only);
            return Err(errno);
        }
        let socket = self.socket_mut(s)?;
        socket.flags.set(Flag::PortLocked, local.port() != 0);
        socket.shown_port = socket.port;
        if let Err(errno) = self.bound(now, s) {
            self.release_port(s);
            self.unbind(s, v6_only);
            return Err(errno);
        }
        Ok(())
    }

    /// A bind that failed leaves no trace (`inet_reset_saddr`).
    pub(crate) fn unbind(&mut self, s: SocketId, v6_only: bool) {
        if let Some(socket) = self.sockets.get_mut(s) {
            socket.local = wildcard(socket.family);
            socket.flags.set(Flag::AddressLocked, false);
            socket.flags.set(Flag::PortLocked, false);
            socket.flags.set(Flag::V6Only, v6_only);
        }
    }

    /// Takes a port for the socket's address: this one, or for 0 any (`EADDRINUSE`).
    fn take_port(&mut self, s: SocketId, wanted: u16) -> Result<(), Errno> {
        self.look_for_free_ports();
        let socket = self.socket_ref(s)?;
        let (claim, range) = (socket.claim(self.owner), port_range(socket, self.sysctls.ports()));
        let port = match (socket.kind, socket.protocol) {
            (Kind::Raw, protocol) => protocol.into(),
            (Kind::Stream, _) => choose(&self.tcp_ports, wanted, range, &claim, &mut self.random)?,
            (Kind::Datagram, crate::protocol::UDP) => choose(&self.udp_ports, wanted, range, &claim, &mut self.random)?,
            (Kind::Datagram, crate::protocol::UDP_LITE) => {
                choose(&self.udp_lite_ports, wanted, range, &claim, &mut self.random)?
            }
            // A ping socket's identifiers are the stack's to give.
            (Kind::Datagram, _) => wanted,
        };
        let socket = self.socket_mut(s)?;
        socket.port = port;
        let (kind, protocol) = (socket.kind, socket.protocol);
        if let Some(ports) = self.ports_mut(kind, protocol) {
            ports.hold(port, claim);
        }
        Ok(())
    }

    /// `inet_autobind`: a port for a socket that needs one and was not bound.
    pub fn autobind(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        if self.socket_ref(s)?.port == 0 {
            self.take_port(s, 0)?;
            let socket = self.socket_mut(s)?;
            socket.shown_port = socket.port;
            self.bound(now, s)?;
        }
        Ok(())
    }

    /// The socket has got its address and port: datagram sockets get what stands behind them in the stack.
    fn bound(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        if socket.kind == Kind::Stream {
            Ok(())
        } else {
            self.open_datagram(now, s)
        }
    }
}

/// The port wanted if it may be had, or any for 0.
fn choose(
    ports: &crate::ports::Ports,
    wanted: u16,
    range: (u16, u16),
    claim: &crate::ports::Claim,
    random: &mut prise_stack::Random,
) -> Result<u16, Errno> {
    if wanted == 0 {
        ports.pick(range, claim, random).ok_or(Errno::EADDRINUSE)
    } else if ports.may_hold(wanted, claim) {
        Ok(wanted)
    } else {
        Err(Errno::EADDRINUSE)
    }
}

/// The ports to pick from: the host's, or the part of them that `IP_LOCAL_PORT_RANGE` leaves (`ip(7)`).
pub(crate) fn port_range(socket: &Socket, host: (u16, u16)) -> (u16, u16) {
    let range = socket.value(Opt::PortRange) as u32;
    let (low, high) = (range as u16, (range >> 16) as u16);
    let low = if low == 0 { host.0 } else { low.clamp(host.0, host.1) };
    let high = if high == 0 { host.1 } else { high.clamp(host.0, host.1) };
    if low > high { host } else { (low, high) }
}

/// Groups that need a link to mean something: interface-local and link-local scope (RFC 4291 §2.7).
pub(crate) fn is_link_local_group(addr: core::net::Ipv6Addr) -> bool {
    addr.is_multicast() && matches!(addr.octets()[1] & 0xf, 1 | 2)
}

impl Socket {
    /// Whether it may have addresses that are not the host's (`inet_can_nonlocal_bind`): `IP_FREEBIND` and `IPV6_FREEBIND` are one flag, and so
    /// are `IP_TRANSPARENT` and `IPV6_TRANSPARENT`.
    pub(crate) fn may_be_foreign(&self) -> bool {
        self.has(Flag::FreeBind) || self.has(Flag::Transparent)
    }

    /// The families that it takes packets of.
    pub(crate) fn stack_family(&self) -> stack::Family {
        match self.local {
            IpAddr::V4(_) => stack::Family::V4,
            IpAddr::V6(addr) if addr.to_ipv4_mapped().is_some() => stack::Family::Mapped,
            IpAddr::V6(_) if self.is_v6_only() => stack::Family::V6Only,
            IpAddr::V6(_) => stack::Family::Dual,
        }
    }
}
