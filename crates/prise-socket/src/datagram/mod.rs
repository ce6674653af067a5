//! Datagram, ping and raw sockets: what they are bound and connected to, their groups, their settings.
//!
//! A UDP or ping socket has something behind it in the stack from the moment it has a port, a raw socket from birth.

mod errors;
mod filter;
mod groups;
pub(crate) mod ip_options;
mod receive;
mod send;
mod stamps;

pub(crate) use errors::ErrorQueue;
pub(crate) use groups::{Membership, Mode, sources_max};

use core::net::{IpAddr, SocketAddr};

use prise_stack::{
    AllGroups, Coverage, IdentifierInUse, LinkId, Local, PingConfig, RawConfig, Ready, UdpConfig, UdpProtocol,
};
use prise_wire::{Instant, IpVersion};

use crate::connect::{is_link_local_without_scope, link_named};
use crate::option::Opt;
use crate::socket::{Flag, Socket, Transport, wildcard};
use crate::{Errno, Family, Host, Kind, SocketId, protocol};

impl Socket {
    /// The local side as the stack has it.
    fn stack_endpoint(&self) -> Local {
        Local {
            addr: self.stack_local(),
            family: self.stack_family(),
            port: self.port,
            device: self.device(),
        }
    }

    /// The address to speak to `destination` from: the bound one, unless it is of the other family.
    fn source(&self, host: &Host, destination: IpAddr) -> Option<IpAddr> {
        host.speaks_from(self)
            .filter(|own| own.is_ipv4() == destination.is_ipv4())
            .map(|own| self.lent_source(host, own, destination).unwrap_or(own))
    }

    /// What a socket of the loopback speaks from to others whom it hears (`Stack::udp_lend`).
    fn lent_source(&self, host: &Host, own: IpAddr, destination: IpAddr) -> Option<IpAddr> {
        if !own.is_loopback() || self.protocol != protocol::UDP || host.stack.is_local(destination) {
            return None;
        }
        host.stack.udp_lent_source(self.port, destination.is_ipv4())
    }

    const fn version(&self) -> IpVersion {
        match self.family {
            Family::Inet => IpVersion::V4,
            Family::Inet6 => IpVersion::V6,
        }
    }

    fn receive_limit(&self) -> usize {
        self.value(Opt::ReceiveBuffer) as usize
    }

    /// `UDPLITE_SEND_CSCOV` and `UDPLITE_RECV_CSCOV`, if they were set at all.
    fn coverage(&self) -> Coverage {
        let set = |opt: Opt| self.value_set(opt).map(|octets| octets as u16);
        Coverage {
            send: set(Opt::SendCoverage),
            receive: set(Opt::ReceiveCoverage),
        }
    }

    fn takes_all_groups(&self) -> AllGroups {
        AllGroups {
            v4: self.has(Flag::MulticastAllOff) != (self.family == Family::Inet),
            v6: !self.has(Flag::V6MulticastAllOff),
        }
    }
}

/// Coming and going.
impl Host {
    /// The socket has its address and port: puts it into the stack, or moves it there.
    pub(crate) fn open_datagram(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        match (socket.transport, socket.kind, socket.protocol) {
            (Transport::None, Kind::Raw, _) => self.open_raw(s),
            (Transport::None, ..) if socket.is_udp() => self.open_udp(now, s),
            (Transport::None, ..) => self.open_ping(s),
            _ => {
                self.move_datagram(s);
                Ok(())
            }
        }
    }

    fn open_udp(&mut self, now: Instant, s: SocketId) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        let config = UdpConfig {
            protocol: if socket.protocol == protocol::UDP_LITE {
                UdpProtocol::Lite
            } else {
                UdpProtocol::Udp
            },
            local: socket.stack_endpoint(),
            remote: None,
            reuse_port: socket.has(Flag::ReusePort),
            receive_limit: socket.receive_limit(),
            token: s.index(),
        };
        let (all, coverage) = (socket.takes_all_groups(), socket.coverage());
        let joining = socket.has(Flag::UdpGro);
        let chooser = socket.extra.as_ref().and_then(|extra| extra.chooser.clone());
        let id = self.stack.udp_bind(&config);
        self.stack.udp_set_all_groups(id, all);
        self.stack.udp_set_coverage(id, coverage);
        self.stack.udp_set_joining(id, joining);
        self.stack.udp_set_chooser(id, chooser);
        self.socket_mut(s)?.transport = Transport::Udp(id);
        self.hand_groups_over(now, s, id);
        Ok(())
    }

    fn open_ping(&mut self, s: SocketId) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        let config = PingConfig {
            version: socket.version(),
            local: socket.stack_local(),
            identifier: (socket.port != 0).then_some(socket.port),
            device: socket.device(),
            receive_limit: socket.receive_limit(),
            token: s.index(),
        };
        let id = self
            .stack
            .icmp_bind(&config)
            .map_err(|IdentifierInUse| Errno::EADDRINUSE)?;
        let identifier = self.stack.icmp_identifier(id).unwrap_or_default();
        let socket = self.socket_mut(s)?;
        socket.transport = Transport::Ping(id);
        socket.port = identifier;
        Ok(())
    }

    pub(crate) fn open_raw(&mut self, s: SocketId) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        let config = RawConfig {
            version: socket.version(),
            protocol: socket.protocol,
            receive_limit: socket.receive_limit(),
            token: s.index(),
        };
        let id = self.stack.raw_bind(&config);
        let socket = self.socket_mut(s)?;
        socket.transport = Transport::Raw(id);
        // raw(7): a raw socket's "port" is its protocol.
        socket.port = socket.protocol.into();
        self.move_datagram(s);
        Ok(())
    }

    /// Tells the stack the endpoints as they are now.
    fn move_datagram(&mut self, s: SocketId) {
        let Some(socket) = self.sockets.get(s) else { return };
        let local = socket.stack_local();
        let remote = socket
            .remote()
            .map(|remote| SocketAddr::new(remote.ip().to_canonical(), remote.port()));
        match socket.transport {
            Transport::Udp(id) => self.stack.udp_rebind(id, socket.stack_endpoint(), remote),
            Transport::Ping(id) => self.stack.icmp_connect(id, local, remote.map(|remote| remote.ip())),
            Transport::Raw(id) => self.stack.raw_connect(id, local, remote.map(|remote| remote.ip())),
            Transport::None | Transport::Elsewhere | Transport::Connection(_) | Transport::Listener(_) => {}
        }
    }

    pub(crate) fn close_datagram(&mut self, now: Instant, s: SocketId) {
        let Some(socket) = self.sockets.get_mut(s) else { return };
        let transport = core::mem::replace(&mut socket.transport, Transport::None);
        match transport {
            Transport::Udp(id) => self.stack.udp_close(now, id),
            Transport::Ping(id) => self.stack.icmp_close(id),
            Transport::Raw(id) => self.stack.raw_close(id),
            Transport::None | Transport::Elsewhere | Transport::Connection(_) | Transport::Listener(_) => {}
        }
    }

    /// Hands a socket's settings to the stack, after one of them was changed.
    pub(crate) fn reconfigure_datagram(&mut self, s: SocketId) {
        let Some(socket) = self.sockets.get(s) else { return };
        let (device, limit) = (socket.device(), socket.receive_limit());
        let (all, reuse_port) = (socket.takes_all_groups(), socket.has(Flag::ReusePort));
        let (coverage, joining) = (socket.coverage(), socket.has(Flag::UdpGro));
        let chooser = socket.extra.as_ref().and_then(|extra| extra.chooser.clone());
        match socket.transport {
            Transport::Udp(id) => {
                self.stack.udp_set_device(id, device);
                self.stack.udp_set_receive_limit(id, limit);
                self.stack.udp_set_all_groups(id, all);
                self.stack.udp_set_reuse_port(id, reuse_port);
                self.stack.udp_set_coverage(id, coverage);
                self.stack.udp_set_joining(id, joining);
                self.stack.udp_set_chooser(id, chooser);
            }
            Transport::Ping(id) => {
                self.stack.icmp_set_device(id, device);
                self.stack.icmp_set_receive_limit(id, limit);
            }
            Transport::Raw(id) => {
                self.stack.raw_set_device(id, device);
                self.stack.raw_set_receive_limit(id, limit);
            }
            Transport::None | Transport::Elsewhere | Transport::Connection(_) | Transport::Listener(_) => {}
        }
    }

    pub(crate) fn datagram_is_writable(&self, s: SocketId) -> bool {
        match self.sockets.get(s).map(|socket| socket.transport) {
            Some(Transport::Udp(id)) => self.stack.udp_ready(id).contains(Ready::WRITABLE),
            _ => true,
        }
    }
}

/// Peers.
impl Host {
    /// Whether a datagram socket connects to no address of `AF_INET`, which is `EAFNOSUPPORT`: one of IPv6 only (`__ip6_datagram_connect`).
    pub fn refuses_peer_of_ipv4(&self, s: SocketId) -> bool {
        let is_v6_only = |socket: &Socket| socket.family == Family::Inet6 && socket.is_v6_only();
        self.sockets.get(s).is_some_and(is_v6_only)
    }

    /// `__ip4_datagram_connect`, `__ip6_datagram_connect`.
    pub(crate) fn connect_datagram(&mut self, now: Instant, s: SocketId, remote: SocketAddr) -> Result<(), Errno> {
        // inet_dgram_connect says so, whatever the reason.
        self.autobind(now, s).map_err(|_| Errno::EAGAIN)?;
        if remote.is_ipv4() && self.refuses_peer_of_ipv4(s) {
            return Err(Errno::EAFNOSUPPORT);
        }
        let named = link_named(remote);
        let flow_info = self.flow_info_to_connect(now, s, remote)?;
        let remote = self.socket_ref(s)?.message_destination(self, remote, None)?;
        self.settle_on(s, named)?;
        if let Some(extra) = &mut self.socket_mut(s)?.extra
            && remote.is_ipv4()
        {
            // Whatever comes of it; another way is found with the peer, or by the next datagram that goes to the one before.
            extra.way_forgotten = true;
        }
        let socket = self.socket_ref(s)?;
        let device = socket.device().or_else(|| socket.way_out(remote.ip()));
        // `__ip6_datagram_connect`: such an address says nothing without an interface; that of IPV6_UNICAST_IF is not looked at.
        let is_named = socket.device().is_some() || remote.ip().is_multicast() && device.is_some();
        if !is_named && is_link_local_without_scope(remote) {
            return Err(Errno::EINVAL);
        }
        let source = socket
            .source(self, remote.ip())
            .or_else(|| socket.group_source(remote.ip()));
        let route = self.route_of(socket, remote.ip(), source, device)?;
        self.check_broadcast(s, remote.ip())?;
        let before = self.socket_ref(s)?.claim(self.owner);
        let socket = self.socket_mut(s)?;
        let peer = socket.present(remote);
        if socket.local.is_unspecified() || socket.stack_local().is_none() {
            socket.local = socket.present(SocketAddr::new(route.source, 0)).ip();
        }
        let extra = socket.extra_mut();
        extra.remote = Some(peer);
        extra.way_forgotten = false;
        if let Some(corked) = &mut extra.corked
            && (corked.destination.is_ipv4() && remote.is_ipv4())
        {
            // The flow of a datagram that was begun is the one that is looked up now (`__ip4_datagram_connect`).
            corked.destination = remote;
        }
        socket.set_flow_info(flow_info);
        self.claim_changed(s, &before);
        self.move_datagram(s);
        Ok(())
    }

    /// Sending to everybody must be asked for (`SO_BROADCAST`).
    fn check_broadcast(&self, s: SocketId, destination: IpAddr) -> Result<(), Errno> {
        match destination {
            IpAddr::V4(v4) if self.is_broadcast(v4) && !self.socket_ref(s)?.has(Flag::Broadcast) => Err(Errno::EACCES),
            _ => Ok(()),
        }
    }

    /// `__udp_disconnect`: the device is forgotten too, and whatever the program did not bind itself.
    pub(crate) fn disconnect_datagram(&mut self, s: SocketId) -> Result<(), Errno> {
        let before = self.socket_ref(s)?.claim(self.owner);
        let socket = self.socket_mut(s)?;
        if let Some(extra) = &mut socket.extra {
            extra.remote = None;
        }
        let raw = socket.kind == Kind::Raw;
        if !raw && !socket.has(Flag::PortLocked) {
            // What has arrived can still be read (`unhash`); nothing is ever sent to port 0, where the socket is until it is bound anew.
            self.release_port(s);
        }
        let socket = self.socket_mut(s)?;
        socket.unset_value(Opt::Device);
        if !socket.has(Flag::AddressLocked) {
            socket.local = wildcard(socket.family);
        }
        self.claim_changed(s, &before);
        self.move_datagram(s);
        self.reconfigure_datagram(s);
        Ok(())
    }
}

impl Socket {
    /// An address given to `connect` or `sendto` on a datagram socket, as the stack has it: unlike a stream's, IPv4 may be given plainly to an IPv6
    /// socket.
    fn message_destination(&self, host: &Host, remote: SocketAddr, named: Option<IpAddr>) -> Result<SocketAddr, Errno> {
        let source = host.speaks_from(self);
        match (self.family, remote) {
            (Family::Inet6, SocketAddr::V4(v4)) => {
                let mapped = SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port());
                self.destination(mapped, source, named)
            }
            _ => self.destination(remote, source, named),
        }
    }

    /// The link that the socket sends to that destination by, beside `SO_BINDTODEVICE`: `IP_MULTICAST_IF` or `IP_UNICAST_IF` and their like.
    fn way_out(&self, destination: IpAddr) -> Option<LinkId> {
        let opt = match (destination, destination.is_multicast()) {
            (IpAddr::V4(_), true) => Opt::MulticastInterface,
            (IpAddr::V4(_), false) => Opt::UnicastInterface,
            (IpAddr::V6(_), true) => Opt::V6MulticastInterface,
            (IpAddr::V6(_), false) => Opt::V6UnicastInterface,
        };
        LinkId::from_interface_index(self.value(opt) as u32)
    }

    /// The address that `IP_MULTICAST_IF` named, for datagrams to groups.
    fn group_source(&self, destination: IpAddr) -> Option<IpAddr> {
        let addr = core::net::Ipv4Addr::from_bits(self.value(Opt::MulticastAddress) as u32);
        (destination.is_ipv4() && destination.is_multicast() && !addr.is_unspecified()).then_some(addr.into())
    }
}
