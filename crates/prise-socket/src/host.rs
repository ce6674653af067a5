//! [`Host`]: one machine, that is a stack and the sockets that programs have open on it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use prise_stack::{
    EcnPolicy, Event, HashKey, LinkId, LinkSet, Random, Ready, Stack, StackConfig, State, TcpConfig, Tuning,
};
use prise_wire::{Frame, Instant};

use crate::flow_label::Leases;
use crate::option::Opt;
use crate::ports::{Claim, Ports, Rules};
use crate::socket::{Flag, Socket, Transport};
use crate::sysctl::{Key, Sysctls};
use crate::table::Table;
use crate::{Errno, Family, Kind, Readiness, SocketId, protocol};

/// What a host is given at birth.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The stack's secrets.
    pub stack: StackConfig,
    /// The user who owns sockets unless [`Host::set_owner`] says otherwise; decides who may share a port by `SO_REUSEPORT`, and 0 what only the
    /// superuser may set.
    pub owner: u32,
}

/// One machine: a [`Stack`] and its socket table, with the semantics of Linux's Internet sockets.
///
/// Every verb is non-blocking: where a program would sleep, it answers `EAGAIN` (`EINPROGRESS` for `connect`) and [`Host::event`] tells when to
/// ask again. Nothing here knows of threads, descriptors or clocks.
#[derive(Debug)]
pub struct Host {
    pub(crate) stack: Stack,
    pub(crate) sockets: Table<Socket>,
    pub(crate) tcp_ports: Ports,
    pub(crate) udp_ports: Ports,
    pub(crate) udp_lite_ports: Ports,
    pub(crate) random: Random,
    pub(crate) owner: u32,
    /// Sockets with sends that are to be told of (`MSG_ZEROCOPY`).
    pub(crate) zero_copying: Vec<SocketId>,
    pub(crate) zero_copy_allowed: bool,
    /// Flow labels that are leased (`IPV6_FLOWLABEL_MGR`).
    pub(crate) flow_labels: Leases,
    /// What the administrator has decided, as text has it.
    pub(crate) sysctls: Sysctls,
    /// What connections ask and answer for ECN.
    ecn: EcnPolicy,
    /// What the administrator decides for all connections.
    tuning: Option<Arc<Tuning>>,
    /// Sockets that have become ready by what their program did, not by what arrived.
    woken: VecDeque<SocketId>,
    /// The stack's events that were fetched ahead of time, to see which ports have become free.
    fetched: VecDeque<Event>,
}

/// The core's surface, forwarded from the stack.
impl Host {
    /// A host without links and sockets.
    pub fn new(config: &HostConfig) -> Self {
        let key = HashKey::new(config.stack.hash_key);
        // The ports come from a generator of their own, so that what programs do does not shift what the stack draws.
        let mut seed = config.stack.seed;
        seed[0] ^= 0x50;
        Self {
            stack: Stack::new(&config.stack),
            sockets: Table::new(),
            tcp_ports: Ports::new(Rules::Tcp, key),
            udp_ports: Ports::new(Rules::Udp, key),
            udp_lite_ports: Ports::new(Rules::Udp, key),
            random: Random::new(seed),
            owner: config.owner,
            zero_copying: Vec::new(),
            zero_copy_allowed: false,
            flow_labels: Leases::default(),
            ecn: EcnPolicy::default(),
            tuning: None,
            sysctls: Sysctls::default(),
            woken: VecDeque::new(),
            fetched: VecDeque::new(),
        }
    }

    /// The stack beneath: links, addresses, routes, counters.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The stack beneath, to be configured.
    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// What the connections of programs ask and answer for ECN (RFC 3168, RFC 9768), as `net.ipv4.tcp_ecn` says.
    pub fn set_ecn(&mut self, policy: EcnPolicy) {
        self.ecn = policy;
    }

    /// What the administrator decides for all connections that are made from now on (`net.ipv4.tcp_*`).
    pub fn set_tuning(&mut self, tuning: Tuning) {
        self.tuning = Some(Arc::new(tuning));
    }

    /// How often a SYN is sent again where `TCP_SYNCNT` does not say (`net.ipv4.tcp_syn_retries`).
    pub fn set_syn_retries(&mut self, retries: u8) {
        self.sysctls.set_one(Key::SynRetries, retries.into());
    }

    /// The settings of a stream on this host.
    pub(crate) fn tcp_config(&self, socket: &Socket) -> TcpConfig {
        let config = socket.tcp_config(&self.sysctls);
        TcpConfig {
            ecn: self.ecn,
            tuning: self.tuning.clone(),
            ..config
        }
    }

    /// Takes frames that have come by a link.
    pub fn receive(&mut self, now: Instant, link: LinkId, frames: impl IntoIterator<Item = Frame>) {
        self.stack.receive(now, link, frames);
        if !self.zero_copying.is_empty() {
            self.finish_zero_copies(now);
        }
    }

    /// The next frame to put on a link; ask until there is none.
    pub fn transmit(&mut self, now: Instant, link: LinkId) -> Option<Frame> {
        self.stack.transmit(now, link)
    }

    /// The links that have something to transmit.
    pub fn links_ready(&self) -> LinkSet {
        self.stack.links_ready()
    }

    /// Lets everything happen that was due by `now`.
    pub fn expire(&mut self, now: Instant) {
        self.stack.expire(now);
    }

    /// When [`Host::expire`] is to be called next, if ever.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.stack.next_deadline()
    }

    /// The next socket that has newly become ready, with all it is ready for now. Ask until there is none.
    ///
    /// Like the wake-ups of `epoll(7)` with `EPOLLET`: one answer for each thing that happened, not for each thing that still holds.
    pub fn event(&mut self) -> Option<(SocketId, Readiness)> {
        loop {
            if let Some(s) = self.woken.pop_front() {
                if let Some(socket) = self.sockets.get_mut(s) {
                    socket.queued = false;
                    return Some((s, self.readiness(s)));
                }
                continue;
            }
            let event = match self.fetched.pop_front() {
                Some(event) => event,
                None => self.next_event()?,
            };
            if let Some(s) = self.whose(event) {
                return Some((s, self.readiness(s)));
            }
        }
    }

    /// The stack's next event; those about ports that have become free are dealt with at once.
    fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.stack.event()? {
                Event::Released { local, .. } => self.tcp_ports.forget_closed(local),
                Event::Tcp { token, id, ready } if ready.contains(Ready::CLOSED) => {
                    if let Some(s) = self.sockets.id_at(token).filter(|s| self.connection(*s) == Some(id)) {
                        self.give_up_picked_port(s);
                    }
                    return Some(Event::Tcp { token, id, ready });
                }
                event => return Some(event),
            }
        }
    }

    /// Learns which connections have left for good, so that verdicts about ports are up to date.
    pub(crate) fn look_for_free_ports(&mut self) {
        while let Some(event) = self.next_event() {
            self.fetched.push_back(event);
        }
    }

    /// The socket that an event of the stack is about; none if it has been closed since.
    fn whose(&self, event: Event) -> Option<SocketId> {
        let (token, transport) = match event {
            Event::Tcp { token, id, .. } => (token, Transport::Connection(id)),
            Event::Listener { token, id } => (token, Transport::Listener(id)),
            Event::Udp { token, id, .. } => (token, Transport::Udp(id)),
            Event::Ping { token, id, .. } => (token, Transport::Ping(id)),
            Event::Raw { token, id, .. } => (token, Transport::Raw(id)),
            // The first was dealt with; the others are a gateway's affairs, and a host with programs has no transparent links.
            Event::Released { .. } | Event::Intercepted { .. } | Event::UdpIntercepted | Event::EchoIntercepted => {
                return None;
            }
        };
        let s = self.sockets.id_at(token)?;
        (self.sockets.get(s)?.transport == transport).then_some(s)
    }

    /// The UDP sockets that have this port, at any address.
    pub fn udp_on_port(&self, port: u16) -> impl Iterator<Item = SocketId> {
        let on_port = self.stack.udp_on_port(port);
        on_port.filter_map(|info| self.sockets.id_at(info.token))
    }

    /// Reports a socket that has become ready by what its program did.
    pub(crate) fn wake(&mut self, s: SocketId) {
        if let Some(socket) = self.sockets.get_mut(s)
            && !socket.queued
        {
            socket.queued = true;
            self.woken.push_back(s);
        }
    }
}

/// Sockets as such.
impl Host {
    /// `socket(2)`. `protocol` 0 means the type's own. Who may have a raw socket is the caller's to decide.
    ///
    /// `EINVAL` for a protocol that cannot be, `EPROTONOSUPPORT` for one that the type does not have.
    pub fn socket(&mut self, family: Family, kind: Kind, protocol: i32) -> Result<SocketId, Errno> {
        /// One more than the largest protocol number of Linux (`IPPROTO_MAX`).
        const PROTOCOL_MAX: i32 = 263;
        if !(0..PROTOCOL_MAX).contains(&protocol) {
            return Err(Errno::EINVAL);
        }
        let icmp = match family {
            Family::Inet => protocol::ICMP,
            Family::Inet6 => protocol::ICMPV6,
        };
        let protocol = match (kind, u8::try_from(protocol).map_err(|_| Errno::EPROTONOSUPPORT)?) {
            (Kind::Stream, 0 | protocol::TCP) => protocol::TCP,
            (Kind::Datagram, 0 | protocol::UDP) => protocol::UDP,
            (Kind::Datagram, protocol::UDP_LITE) => protocol::UDP_LITE,
            (Kind::Datagram, wanted) if wanted == icmp => icmp,
            (Kind::Raw, wanted @ 1..) => wanted,
            _ => return Err(Errno::EPROTONOSUPPORT),
        };
        let mut socket = Socket::new(family, kind, protocol);
        // inetsw: ping and raw sockets share their "ports" from birth.
        if kind == Kind::Raw || kind == Kind::Datagram && protocol == icmp {
            socket.flags.set(Flag::ReuseAddr, true);
        }
        if family == Family::Inet6 && kind == Kind::Datagram && protocol == icmp {
            socket.flags.set(Flag::V6Only, true);
        }
        if kind == Kind::Raw && protocol == protocol::RAW {
            socket.flags.set(Flag::HeaderIncluded, true);
        }
        let s = self.sockets.insert(socket);
        if kind == Kind::Raw {
            // raw_hash_sk: packets come from now on, bound or not.
            self.open_raw(s)?;
        }
        Ok(s)
    }

    /// Whose socket it is (`SO_REUSEPORT` groups, privileged options, [`SocketInfo`](crate::SocketInfo)).
    pub fn set_owner(&mut self, s: SocketId, uid: u32) -> Result<(), Errno> {
        let default = self.owner;
        let socket = self.socket_mut(s)?;
        let before = socket.claim(default);
        if uid == default {
            socket.unset_value(Opt::Owner);
        } else {
            socket.set_value(Opt::Owner, uid.into());
        }
        self.claim_changed(s, &before);
        Ok(())
    }

    /// The sockets that programs have open, in no particular order.
    pub fn sockets(&self) -> impl Iterator<Item = SocketId> {
        self.sockets.ids()
    }

    /// How many sockets programs have open.
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// How many ports of TCP and of UDP (UDP-Lite's among them) somebody holds: programs, or what remains of their connections.
    pub fn ports_held(&self) -> [usize; 2] {
        [self.tcp_ports.len(), self.udp_ports.len() + self.udp_lite_ports.len()]
    }

    /// `SO_RCVTIMEO`: how long the caller lets a receiving call sleep; none is for ever.
    pub fn receive_timeout(&self, s: SocketId) -> Option<Duration> {
        self.timeout(s, Opt::ReceiveTimeout)
    }

    /// `SO_SNDTIMEO`: how long the caller lets a sending call or a connect sleep; none is for ever.
    pub fn send_timeout(&self, s: SocketId) -> Option<Duration> {
        self.timeout(s, Opt::SendTimeout)
    }

    fn timeout(&self, s: SocketId, opt: Opt) -> Option<Duration> {
        let micros = self.sockets.get(s)?.value_set(opt)?;
        (micros > 0).then(|| Duration::from_micros(micros as u64))
    }

    /// `SO_ERROR`: the pending error, which is taken.
    pub fn take_error(&mut self, s: SocketId) -> Option<Errno> {
        self.collect_error(s);
        self.sockets.get_mut(s)?.error.take()
    }

    /// `sk_err_soft`: what ICMP told of a connection that goes on nevertheless.
    pub(crate) fn take_soft_error(&mut self, s: SocketId) -> Option<Errno> {
        let id = self.connection(s)?;
        let v6 = self.stack.tcp_endpoints(id).is_some_and(|(_, remote)| remote.is_ipv6());
        let error = self.stack.tcp_take_soft_error(id)?;
        Some(Errno::from_tcp(error, v6))
    }

    pub(crate) fn socket_ref(&self, s: SocketId) -> Result<&Socket, Errno> {
        self.sockets.get(s).ok_or(Errno::EBADF)
    }

    pub(crate) fn socket_mut(&mut self, s: SocketId) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(s).ok_or(Errno::EBADF)
    }
}

/// Ports.
impl Host {
    /// The ports of a socket's transport; raw and ping sockets have none.
    pub(crate) fn ports_mut(&mut self, kind: Kind, protocol: u8) -> Option<&mut Ports> {
        match (kind, protocol) {
            (Kind::Stream, _) => Some(&mut self.tcp_ports),
            (Kind::Datagram, protocol::UDP) => Some(&mut self.udp_ports),
            (Kind::Datagram, protocol::UDP_LITE) => Some(&mut self.udp_lite_ports),
            _ => None,
        }
    }

    /// Something that the claim depends on may have changed: brings the port's book up to date.
    pub(crate) fn claim_changed(&mut self, s: SocketId, before: &Claim) {
        let Some(socket) = self.sockets.get(s) else { return };
        let (after, port, kind, protocol) = (socket.claim(self.owner), socket.port, socket.kind, socket.protocol);
        if port != 0
            && after != *before
            && let Some(ports) = self.ports_mut(kind, protocol)
        {
            ports.release(port, *before);
            ports.hold(port, after);
        }
    }

    /// Leaves the port to what remains of the connection once its program has closed it; [`Event::Released`] ends that.
    pub(crate) fn bequeath_port(&mut self, s: SocketId) {
        let Some(local) = self
            .connection(s)
            .and_then(|id| self.stack.tcp_endpoints(id))
            .map(|it| it.0)
        else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(s) else { return };
        let (claim, port) = (socket.claim(self.owner), core::mem::take(&mut socket.port));
        if port != 0 {
            self.tcp_ports.release(port, claim);
        }
        if !socket.has(Flag::PortLeft) {
            // Whether or not the socket still had the connection's port: the stack tells once of each that was closed.
            let rest = Claim {
                holder: local.ip().into(),
                listening: false,
                closed: true,
                ..claim
            };
            self.tcp_ports.hold(local.port(), rest);
        }
    }

    /// `tcp_done`: a connection that is over keeps a port that its program has bound, but not one that was picked for it or came with `accept`.
    pub(crate) fn give_up_picked_port(&mut self, s: SocketId) {
        let Some(id) = self.connection(s) else { return };
        let over = matches!(self.stack.tcp_state(id), State::Closed | State::TimeWait);
        let (Some(socket), Some((local, remote))) = (self.sockets.get_mut(s), self.stack.tcp_endpoints(id)) else {
            return;
        };
        // A program may have bound such a socket anew: then the port has nothing to do with the connection any more.
        let picked = !socket.has(Flag::PortLocked)
            && !socket.has(Flag::PortLeft)
            && socket.port == local.port()
            && socket.stack_local() == Some(local.ip());
        if !over || !picked {
            return;
        }
        if self.stack.tcp_holds(local, remote) {
            // In TIME-WAIT the four-tuple is still held, and with it the port, if no longer by the socket.
            self.bequeath_port(s);
            if let Ok(socket) = self.socket_mut(s) {
                socket.flags.set(Flag::PortLeft, true);
            }
        } else {
            self.release_port(s);
        }
    }

    /// Gives the port up.
    pub(crate) fn release_port(&mut self, s: SocketId) {
        let Some(socket) = self.sockets.get_mut(s) else { return };
        let (claim, port, kind, protocol) = (socket.claim(self.owner), socket.port, socket.kind, socket.protocol);
        socket.port = 0;
        socket.flags.set(Flag::PortPicked, false);
        if port != 0
            && let Some(ports) = self.ports_mut(kind, protocol)
        {
            ports.release(port, claim);
        }
    }
}
