//! The gateway itself: frames in, frames out, and in between whatever the host's sockets and the guest's packets say.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use prise_link::Link;
use prise_stack::{Event, IpCidr, LinkConfig, LinkId, Route, Stack, StackConfig, UdpIntercepted};
use prise_wire::{Frame, Instant, Medium, Payload};

use crate::config::{Addresses, GatewayConfig, Publish};
use crate::dns::{self, Asker, Client, Reply, Service, Streams};
use crate::echo::Echoes;
use crate::ground::{Destination, Ground};
use crate::learned::Learned;
use crate::policy::Decision;
use crate::poll::{EVENTS_MAX, Occurrence, Poll, Source};
use crate::publish::{self, PublishError};
use crate::record::{Record, Records, Transport};
use crate::tally::{Discard, Tally};
use crate::tcp::{Caller, Connections, Listeners, Request};
use crate::udp::Mappings;

/// How often one call of [`Gateway::process`] goes around while there is something new. What is left then waits for
/// the next call, which the deadline asks for at once.
const ROUNDS: usize = 8;

/// How much one look at the epoll brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// All there was.
    Little,
    /// As much as one look takes: there may be more.
    Much,
}

/// Whether the host's sockets are to be looked at.
#[derive(Debug, Clone, Copy)]
enum Attention {
    /// Each time.
    Always,
    /// When the driver has said so, as it has or has not.
    Told(bool),
}

impl Attention {
    fn give(&mut self) {
        if let Self::Told(told) = self {
            *told = true;
        }
    }

    fn take(&mut self) -> bool {
        match self {
            Self::Always => true,
            Self::Told(told) => core::mem::take(told),
        }
    }
}

/// Why there is no gateway.
#[derive(Debug)]
pub enum GatewayError {
    /// A port could not be published.
    Publish(PublishError),
    /// The kernel gave no epoll or eventfd.
    Descriptors(io::Error),
    /// Prefix lengths or link settings that cannot be.
    Configuration,
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(error) => error.fmt(f),
            Self::Descriptors(error) => write!(f, "cannot get the descriptors that the host link needs: {error}"),
            Self::Configuration => f.write_str("the host link's addresses or sizes are impossible"),
        }
    }
}

impl core::error::Error for GatewayError {}

impl From<PublishError> for GatewayError {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}

impl From<io::Error> for GatewayError {
    fn from(error: io::Error) -> Self {
        Self::Descriptors(error)
    }
}

/// The far side of the `host` link. See the [crate's documentation](crate) for how it works.
#[derive(Debug)]
pub struct Gateway {
    ground: Ground,
    connections: Connections,
    listeners: Listeners,
    mappings: Mappings,
    echoes: Echoes,
    service: Service,
    streams: Streams,
    /// Responses for the supervisor's own clients.
    direct: VecDeque<(u64, Vec<u8>)>,
    occurrences: Vec<Occurrence>,
    attention: Attention,
    medium: Medium,
    mtu: u32,
    gso_max: u32,
}

impl Gateway {
    /// Makes a gateway and publishes its ports.
    pub fn new(now: Instant, config: GatewayConfig) -> Result<Self, GatewayError> {
        let mut stack = Stack::new(&StackConfig::new(config.hash_key, config.seed));
        let link = add_link(&mut stack, now, &config).ok_or(GatewayError::Configuration)?;
        stack.tcp_intercept(0);
        stack.udp_intercept(true);
        stack.echo_intercept(true);
        let poll = Poll::new()?;
        let own: Vec<IpAddr> = vec![config.addresses.gateway_v4.into(), config.addresses.gateway_v6.into()];
        let [first, second] = config.hash_key;
        let seed = first.rotate_left(32) ^ second;
        let mut service = Service::new(config.resolver, &config.name_servers, own, seed, &poll)?;
        if let Some(name) = config.hostname {
            let Addresses { guest_v4, guest_v6, .. } = config.addresses;
            service.set_guest_name(&name, vec![guest_v4.into(), guest_v6.into()]);
        }
        let mut learned = Learned::new(config.records || config.policy.has_names());
        for (name, address) in dns::host_table() {
            learned.learn_for_good(&name, address);
        }
        let ground = Ground {
            stack,
            link,
            poll,
            addresses: config.addresses,
            name_servers: config.name_servers,
            learned,
            policy: config.policy,
            records: Records::new(config.records),
            tally: Tally::new(),
        };
        let mut gateway = Self {
            ground,
            connections: Connections::new(config.limits),
            listeners: Listeners::new(config.hand_over),
            mappings: Mappings::new(config.limits),
            echoes: Echoes::new(config.limits),
            service,
            streams: Streams::new(),
            direct: VecDeque::new(),
            occurrences: Vec::new(),
            attention: Attention::Always,
            medium: config.medium,
            mtu: config.mtu,
            gso_max: config.gso_max,
        };
        for publish in &config.publish {
            gateway.publish(publish, config.open_ports)?;
        }
        Ok(gateway)
    }

    fn publish(&mut self, publish: &Publish, open: bool) -> Result<(), PublishError> {
        for bound in publish::bind(publish)? {
            match bound.transport {
                Transport::Tcp => self.listeners.add(bound, open, &self.ground)?,
                Transport::Udp => self.mappings.publish(bound, &mut self.ground)?,
            }
        }
        Ok(())
    }

    /// The descriptor to wait for: readable while [`process`](Self::process) has something to do for the host's sockets.
    pub fn epoll_fd(&self) -> BorrowedFd<'_> {
        self.ground.poll.fd()
    }

    /// Takes a frame from the guest. What follows from it happens in [`process`](Self::process).
    pub fn accept_frame(&mut self, now: Instant, frame: Frame) {
        let link = self.ground.link;
        self.ground.stack.receive(now, link, [frame]);
    }

    /// The next frame for the guest; ask until there is none.
    pub fn transmit(&mut self, now: Instant) -> Option<Frame> {
        self.ground.stack.transmit(now, self.ground.link)
    }

    /// Does all that can be done now: hears the host's sockets, follows the guest's packets, moves octets. Call it after
    /// frames were taken, when [`epoll_fd`](Self::epoll_fd) is readable, and when [`deadline`](Self::deadline) has come;
    /// then transmit.
    pub fn process(&mut self, now: Instant) {
        self.expire(now);
        self.mappings.unblock();
        let mut heard = Heard::Little;
        if self.attention.take() || self.ground.poll.has_grown() {
            heard = self.hear(now);
        }
        for _ in 0..ROUNDS {
            let told = self.follow(now);
            self.connections.run(now, &mut self.ground);
            self.deliver(now);
            if self.ground.poll.has_grown() || heard == Heard::Much {
                heard = self.hear(now);
            } else if told {
                heard = Heard::Little;
            } else {
                return;
            }
        }
        if heard == Heard::Much {
            self.attention.give();
        }
    }

    /// From now on the driver says by [`attend`](Self::attend) when [`epoll_fd`](Self::epoll_fd) is readable, and
    /// [`process`](Self::process) does not ask the kernel each time: that is a system call for each frame.
    pub fn driver_tells(&mut self) {
        self.attention = Attention::Told(true);
    }

    /// [`epoll_fd`](Self::epoll_fd) is readable.
    pub fn attend(&mut self) {
        self.attention.give();
    }

    /// When [`process`](Self::process) is to be called next although nothing else happens; at once, if connections wait
    /// for their turn.
    pub fn deadline(&self) -> Option<Instant> {
        if self.connections.has_work() {
            return Some(Instant::ZERO);
        }
        let deadlines = [
            self.ground.stack.next_deadline(),
            self.connections.next_deadline(),
            self.listeners.next_deadline(),
            self.mappings.next_deadline(),
            self.echoes.next_deadline(),
            self.service.next_deadline(),
            self.streams.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn expire(&mut self, now: Instant) {
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        self.ground.stack.expire(now);
        self.listeners.expire(now, &self.ground);
        self.mappings.expire(now, &mut self.ground);
        self.echoes.expire(now);
        self.service.expire(now, &mut self.ground.surroundings());
        self.streams.expire(now, &mut self.ground);
    }

    /// What the host's sockets say.
    fn hear(&mut self, now: Instant) -> Heard {
        let mut occurrences = core::mem::take(&mut self.occurrences);
        self.ground.poll.take(&mut occurrences);
        let heard = if occurrences.len() == EVENTS_MAX {
            Heard::Much
        } else {
            Heard::Little
        };
        let ground = &mut self.ground;
        for Occurrence { source, key, flags } in occurrences.drain(..) {
            match source {
                Source::Connection => self.connections.on_host(now, key, flags, ground),
                Source::Listener => self.listeners.on_ready(now, key, &mut self.connections, ground),
                Source::Mapping => self.mappings.on_host(now, key, flags, ground),
                Source::Echo => self.echoes.on_host(now, key, flags, ground),
                Source::Resolver => self.service.on_resolver(now, &mut ground.surroundings()),
                Source::Forward => self.service.on_forward(now, key, &mut ground.surroundings()),
            }
        }
        self.occurrences = occurrences;
        heard
    }

    /// What the guest's packets brought about. Whether there was anything.
    fn follow(&mut self, now: Instant) -> bool {
        let mut told = false;
        while let Some(event) = self.ground.stack.event() {
            told = true;
            self.on_event(now, event);
        }
        told
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        let ground = &mut self.ground;
        match event {
            Event::Tcp { token, id, ready } => match dns::index_of(token) {
                Some(index) => self.streams.on_guest(now, index, id, ready, &mut self.service, ground),
                None => self.connections.on_guest(now, token, id, ready, ground),
            },
            Event::Intercepted {
                id: pending,
                local: dialled,
                remote: guest,
                ..
            } => {
                if ground.destination(dialled) == Destination::NameServer {
                    self.streams.on_request(now, pending, ground);
                } else {
                    let request = Request {
                        pending,
                        guest,
                        dialled,
                    };
                    self.connections.on_request(now, request, ground);
                }
            }
            Event::UdpIntercepted => self.follow_datagrams(now),
            Event::EchoIntercepted => {
                while let Some(request) = ground.stack.echo_take_intercepted() {
                    self.echoes.on_request(now, &request, ground);
                }
            }
            // The gateway has no sockets of its own on its stack.
            _ => {}
        }
    }

    fn follow_datagrams(&mut self, now: Instant) {
        let ground = &mut self.ground;
        while let Some(datagram) = ground.stack.udp_take_intercepted() {
            let UdpIntercepted { src, dst, .. } = datagram;
            if ground.destination(dst) == Destination::NameServer {
                let client = Client::Udp {
                    guest: src,
                    server: dst,
                };
                let message = datagram.payload.to_payload();
                self.service.ask(now, client, message, &mut ground.surroundings());
            } else {
                self.mappings.on_datagram(now, &datagram, ground);
            }
        }
    }

    /// Hands the name service's responses out.
    fn deliver(&mut self, now: Instant) {
        while let Some(Reply { client, message }) = self.service.reply() {
            match client {
                Client::Tcp(key) => {
                    self.streams.on_reply(now, key, &message, &mut self.ground);
                    self.streams.resume(now, key, &mut self.service, &mut self.ground);
                }
                Client::Direct { number, .. } => self.direct.push_back((number, message)),
                Client::Udp { guest, server } => {
                    let link = self.ground.link;
                    let sent = self
                        .ground
                        .stack
                        .udp_send_from(now, link, server, guest, Payload::from(message));
                    if sent.is_err() {
                        self.ground.discard(Discard::UdpLinkFull);
                    }
                }
            }
        }
    }

    /// The addresses of the guest's world.
    pub fn addresses(&self) -> &Addresses {
        &self.ground.addresses
    }

    /// The host's addresses that lead to the guest, each with its port.
    pub fn published(&self) -> impl Iterator<Item = (Transport, SocketAddr)> {
        let tcp = self.listeners.addresses().map(|address| (Transport::Tcp, address));
        tcp.chain(self.mappings.published().map(|address| (Transport::Udp, address)))
    }

    /// The name servers of the host's configuration. Queries for them that reach the gateway are answered; those whose
    /// address is a loopback one never leave the guest, so its driver serves them with [`resolve`](Self::resolve).
    pub fn name_servers(&self) -> &[IpAddr] {
        &self.ground.name_servers
    }

    /// Answers a DNS message for a client that the gateway cannot see. The response comes by [`resolved`](Self::resolved) with the same number; a message that is no
    /// query gets none.
    pub fn resolve(&mut self, now: Instant, number: u64, asker: Asker, message: Payload) {
        let client = Client::Direct { number, asker };
        let mut around = self.ground.surroundings();
        self.service.ask(now, client, message, &mut around);
        self.deliver(now);
    }

    /// The next response to [`resolve`](Self::resolve).
    pub fn resolved(&mut self) -> Option<(u64, Vec<u8>)> {
        self.direct.pop_front()
    }

    /// Tells that the guest listens on a TCP port of its own address, or no longer does. Where
    /// [`GatewayConfig::open_ports`] is off, published ports follow: while nobody listens in the guest, the host's kernel
    /// refuses clients, as it would if the guest's program ran on the host.
    pub fn guest_listens(&mut self, port: u16, ipv6: bool, listens: bool) {
        self.listeners.set_open(port, ipv6, listens, &self.ground);
    }

    /// A published port that the guest listens at and that cannot be opened, because somebody else has taken it since. Each is told once,
    /// until it could be opened.
    pub fn refused_port(&mut self) -> Option<PublishError> {
        self.listeners.refused()
    }

    /// The host's addresses that lead to a TCP port of the guest's and where the host's kernel refuses clients: a driver that
    /// [has one set aside](Self::set_aside) may bind a socket of its own there (with `SO_REUSEADDR`) while it is [shared](Self::share), and let clients in by itself.
    pub fn shut_addresses(&self, port: u16) -> Vec<SocketAddr> {
        self.listeners.shut(port).collect()
    }

    /// Tells that the driver lets clients in at one of [these](Self::shut_addresses), or is about to, or no longer does: until then
    /// [`guest_listens`](Self::guest_listens) does not open it.
    pub fn set_aside(&mut self, address: SocketAddr, aside: bool) {
        self.listeners.set_aside(address, aside);
    }

    /// Shares an address that is [set aside](Self::set_aside) with whoever asks for that, so that the driver's socket can be bound to it
    /// and listen; or keeps it, as from then on it should be: else it would be anybody's as soon as that socket is closed.
    pub fn share(&mut self, address: SocketAddr, shared: bool) {
        self.listeners.share(address, shared);
    }

    /// What a client of a port that leads to `port` of the guest's is to the guest: its own endpoint as the guest sees it, and the
    /// guest's.
    pub fn client(&self, client: SocketAddr, port: u16) -> (SocketAddr, SocketAddr) {
        self.ground.client(client, port)
    }

    /// What the policy says of an attempt of the guest's to reach `dialled`, so that a driver can refuse it before any
    /// packet. The gateway itself asks the same again.
    pub fn judge(&self, now: Instant, dialled: SocketAddr) -> Decision {
        self.ground.judge(now, dialled)
    }

    /// The next client of a published port for a driver that asked for them ([`GatewayConfig::hand_over`]): it may give it to
    /// the guest itself, or have it [admitted](Self::admit).
    pub fn caller(&mut self) -> Option<Caller> {
        self.listeners.caller()
    }

    /// Asks the guest on behalf of a client, and carries its octets then.
    pub fn admit(&mut self, now: Instant, caller: Caller) {
        self.connections.on_caller(now, caller, &mut self.ground);
    }

    /// The endpoint of the host's network that a TCP connection to `dialled` leads to: for a driver that makes it itself. None
    /// where the gateway answers, or nobody does.
    pub fn host_endpoint(&self, dialled: SocketAddr) -> Option<SocketAddr> {
        match self.ground.destination(dialled) {
            Destination::Host(to) => Some(to),
            Destination::NameServer | Destination::Closed | Destination::Martian | Destination::Group => None,
        }
    }

    /// What the guest calls an endpoint of the host's network: the opposite of [`Gateway::host_endpoint`].
    pub fn guest_endpoint(&self, to: SocketAddr) -> SocketAddr {
        self.ground.shown(to)
    }

    /// The same of a datagram from the guest's `port`: the clients of a published port may be answered.
    pub fn judge_datagram(&self, now: Instant, port: u16, dialled: SocketAddr) -> Decision {
        let guest = SocketAddr::new(self.ground.addresses.guest(dialled.ip()), port);
        if self.mappings.is_client(guest, dialled) {
            return Decision::Allow;
        }
        self.judge(now, dialled)
    }

    /// The name that led to `address`: of several, the one asked for last.
    pub fn name_of(&self, now: Instant, address: IpAddr) -> Option<&str> {
        self.ground.learned.names(now, address).last()
    }

    /// Counts since birth.
    pub fn tally(&self) -> &Tally {
        &self.ground.tally
    }

    /// How many TCP connections there are, those being made included.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Octets of TCP that the guest has sent and the host's sockets have not taken yet. Once the guest's program has ended
    /// and its stack has nothing more to send, a driver may go when this is zero: the host's kernel delivers the rest.
    /// Looks at every connection.
    pub fn octets_held(&self) -> usize {
        self.connections.octets_held(&self.ground.stack)
    }

    /// How many of the guest's UDP endpoints have a host socket, published ports included.
    pub fn udp_mappings(&self) -> usize {
        self.mappings.len()
    }

    /// The run is over: what is still open is noted as closed, with what it carried so far.
    pub fn close_records(&mut self, now: Instant) {
        self.ground.records.open_wide();
        self.connections.close_records(now, &mut self.ground);
        self.mappings.close_records(now, &mut self.ground);
    }

    /// The next fact for an audit.
    pub fn record(&mut self) -> Option<Record> {
        self.ground.records.pop()
    }

    /// The gateway's own stack, to be looked at.
    pub fn stack(&self) -> &Stack {
        &self.ground.stack
    }
}

/// The gateway's side of the wire: transparent, with addresses of its own, and everybody at the other end of it.
fn add_link(stack: &mut Stack, now: Instant, config: &GatewayConfig) -> Option<LinkId> {
    let link = stack.add_link(&LinkConfig {
        name: "host",
        medium: config.medium,
        mac: (config.medium == Medium::Ethernet).then_some(config.mac),
        mtu: config.mtu,
        gso_max: config.gso_max,
        checksum_offload: true,
        loopback: false,
        transparent: true,
    })?;
    let Addresses {
        gateway_v4,
        gateway_v6,
        name_server_v4,
        name_server_v6,
        prefix_len_v4,
        prefix_len_v6,
        ..
    } = config.addresses;
    for (address, prefix_len) in [
        (gateway_v4.into(), prefix_len_v4),
        (name_server_v4.into(), prefix_len_v4),
        (gateway_v6.into(), prefix_len_v6),
        (name_server_v6.into(), prefix_len_v6),
    ] {
        stack.add_address(now, link, IpCidr::new(address, prefix_len)?);
    }
    if let Some(mac) = config.guest_mac {
        let Addresses { guest_v4, guest_v6, .. } = config.addresses;
        stack.add_neighbor(now, link, guest_v4.into(), mac);
        stack.add_neighbor(now, link, guest_v6.into(), mac);
    }
    for anywhere in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
        stack.add_route(Route {
            prefix: IpCidr::new(anywhere, 0)?,
            gateway: None,
            link,
            source: None,
            metric: 0,
        });
    }
    Some(link)
}

/// The gateway as a device: what the guest's driver sends is taken at once, and receiving does all the work.
impl Link for Gateway {
    fn medium(&self) -> Medium {
        self.medium
    }

    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn gso_max(&self) -> u32 {
        self.gso_max
    }

    fn checksum_offload(&self) -> bool {
        true
    }

    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame> {
        self.accept_frame(now, frame);
        Ok(())
    }

    fn receive(&mut self, now: Instant) -> Option<Frame> {
        self.transmit(now).or_else(|| {
            self.process(now);
            self.transmit(now)
        })
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll_fd())
    }
}
