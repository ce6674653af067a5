//! A guest's stack and a gateway, joined frame by frame, in real time, against real sockets of this host's loopback.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use prise_gateway::dns::{Resolve, ResolveError};
use prise_gateway::{Gateway, GatewayConfig, Publish, PublishAddress, Transport};
use prise_stack::{
    ConnId, Event, Family, IpCidr, LinkConfig, LinkId, ListenConfig, Local, Ready, Route, Stack, StackConfig, State,
    TcpConfig, TcpError,
};
use prise_wire::{Instant, MacAddr, Medium, Payload};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// No wait of any test lasts longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// A resolver that knows three names.
pub(crate) struct FakeResolver;

impl Resolve for FakeResolver {
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        match name {
            "both.test" => Ok(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
            "many.test" => Ok((0..200).map(|last| IpAddr::from([192, 0, 2, last])).collect()),
            "later.test" => Err(ResolveError::TryAgain),
            _ => Err(ResolveError::NoName),
        }
    }

    fn name(&self, _: IpAddr) -> Result<String, ResolveError> {
        Err(ResolveError::NoName)
    }
}

pub(crate) fn config() -> GatewayConfig {
    let mut config = GatewayConfig::new([1, 2], [3; 32]);
    config.resolver = Arc::new(FakeResolver);
    config.name_servers = vec!["192.0.2.53".parse().unwrap()];
    config.records = true;
    config
}

/// A published loopback port that the host picks.
pub(crate) fn publish(guest_port: u16, transport: Transport) -> Publish {
    Publish {
        address: PublishAddress::Loopback,
        port: 0,
        guest_port: NonZeroU16::new(guest_port).unwrap(),
        transport,
    }
}

pub(crate) struct World {
    pub(crate) guest: Stack,
    pub(crate) eth0: LinkId,
    pub(crate) gateway: Gateway,
    /// What each of the guest's connections was told.
    pub(crate) ready: HashMap<u32, Ready>,
    start: Clock,
    next_token: u32,
    next_port: u16,
}

impl World {
    pub(crate) fn new(config: GatewayConfig) -> Self {
        let medium = config.medium;
        let addresses = config.addresses;
        let (mtu, gso_max) = (config.mtu, config.gso_max);
        let gateway = Gateway::new(Instant::ZERO, config).unwrap();
        let mut guest = Stack::new(&StackConfig::new([5, 6], [7; 32]));
        let eth0 = guest
            .add_link(&LinkConfig {
                name: "eth0",
                medium,
                mac: (medium == Medium::Ethernet).then_some(MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
                mtu,
                gso_max,
                checksum_offload: true,
                loopback: false,
                transparent: false,
            })
            .unwrap();
        let of = |address: IpAddr, prefix_len| IpCidr::new(address, prefix_len).unwrap();
        guest.add_address(Instant::ZERO, eth0, of(addresses.guest_v4.into(), 24));
        guest.add_address(Instant::ZERO, eth0, of(addresses.guest_v6.into(), 64));
        for (anywhere, router) in [
            (IpAddr::from([0; 4]), IpAddr::from(addresses.gateway_v4)),
            (IpAddr::from([0; 16]), IpAddr::from(addresses.gateway_v6)),
        ] {
            guest.add_route(Route {
                prefix: of(anywhere, 0),
                gateway: Some(router),
                link: eth0,
                source: None,
                metric: 0,
            });
        }
        Self {
            guest,
            eth0,
            gateway,
            ready: HashMap::new(),
            start: Clock::now(),
            next_token: 0,
            next_port: 40_000,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap())
    }

    /// Carries frames both ways until both sides are quiet. Whether any had to be carried, or anything was told.
    pub(crate) fn exchange(&mut self) -> bool {
        let mut any = false;
        let now = self.now();
        self.guest.expire(now);
        self.gateway.process(now);
        for _ in 0..10_000 {
            let mut moved = false;
            while let Some(frame) = self.guest.transmit(now, self.eth0) {
                self.gateway.accept_frame(now, frame);
                moved = true;
            }
            if moved {
                self.gateway.process(now);
            }
            while let Some(frame) = self.gateway.transmit(now) {
                self.guest.receive(now, self.eth0, [frame]);
                moved = true;
            }
            any |= moved;
            while let Some(event) = self.guest.event() {
                any = true;
                match event {
                    Event::Tcp { token, ready, .. } => *self.ready.entry(token).or_default() |= ready,
                    Event::Listener { token, .. } => *self.ready.entry(token).or_default() |= Ready::READABLE,
                    _ => {}
                }
            }
            if !moved {
                return any;
            }
        }
        panic!("the two never came to rest");
    }

    /// Runs the world until `done` says so; fails after [`PATIENCE`].
    #[track_caller]
    pub(crate) fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let limit = Clock::now() + PATIENCE;
        loop {
            self.exchange();
            if let Some(result) = done(self) {
                return result;
            }
            assert!(Clock::now() < limit, "waited too long for {what}");
            if !self.exchange() {
                self.wait();
            }
        }
    }

    /// Sleeps until the host's sockets say something or a deadline comes; 50 ms at most, for what the tests' own
    /// threads do.
    fn wait(&mut self) {
        let now = self.now();
        let deadline = [self.guest.next_deadline(), self.gateway.deadline()]
            .into_iter()
            .flatten()
            .min();
        let wait = deadline.map_or(Duration::from_millis(50), |at| at.saturating_since(now));
        let wait = wait.min(Duration::from_millis(50));
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let fd = self.gateway.epoll_fd();
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit));
    }

    pub(crate) fn connect(&mut self, to: SocketAddr) -> (u32, ConnId) {
        self.connect_with(to, &TcpConfig::default())
    }

    pub(crate) fn connect_with(&mut self, to: SocketAddr, config: &TcpConfig) -> (u32, ConnId) {
        let token = self.token();
        self.next_port += 1;
        let from = SocketAddr::new(self.gateway.addresses().guest(to.ip()), self.next_port);
        let now = self.now();
        (
            token,
            self.guest.tcp_connect(now, from, to, None, config, token).unwrap(),
        )
    }

    pub(crate) fn token(&mut self) -> u32 {
        self.next_token += 1;
        self.next_token
    }

    pub(crate) fn listen(&mut self, port: u16, addr: Option<IpAddr>) -> (u32, prise_stack::ListenerId) {
        let token = self.token();
        let local = Local {
            addr,
            family: Family::Dual,
            port,
            device: None,
        };
        let listen = ListenConfig {
            local,
            backlog: 16,
            reuse_port: false,
            config: TcpConfig::default(),
            token,
        };
        (token, self.guest.tcp_listen(listen).unwrap())
    }

    pub(crate) fn told(&self, token: u32, ready: Ready) -> bool {
        self.ready.get(&token).is_some_and(|told| told.contains(ready))
    }

    /// Waits for the end of a handshake: success, or the error.
    #[track_caller]
    pub(crate) fn connected(&mut self, token: u32, conn: ConnId) -> Result<(), TcpError> {
        self.until("a connection", |world| {
            if world.told(token, Ready::CONNECTED) {
                return Some(Ok(()));
            }
            let ended = world.told(token, Ready::ERROR);
            ended.then(|| Err(world.guest.tcp_take_error(conn).unwrap()))
        })
    }

    #[track_caller]
    pub(crate) fn accept(&mut self, listener: prise_stack::ListenerId) -> ConnId {
        let token = self.token();
        self.until("a connection to accept", |world| {
            world.guest.tcp_accept(listener, token)
        })
    }

    #[track_caller]
    pub(crate) fn send(&mut self, conn: ConnId, octets: &[u8]) {
        let mut rest = Payload::copy_from(octets);
        self.until("room to send", |world| {
            let now = world.now();
            let _ = world.guest.tcp_send(now, conn, &mut rest, false, false);
            rest.is_empty().then_some(())
        });
    }

    /// Reads until `count` octets are here, or the peer's FIN.
    #[track_caller]
    pub(crate) fn read(&mut self, conn: ConnId, count: usize) -> Vec<u8> {
        let mut got = Vec::new();
        self.until("octets", |world| {
            let now = world.now();
            while got.len() < count {
                match world.guest.tcp_receive(now, conn, count - got.len()) {
                    Ok(payload) if payload.is_empty() => return Some(()),
                    Ok(payload) => got.extend_from_slice(&payload),
                    Err(_) => return None,
                }
            }
            Some(())
        });
        got
    }

    #[track_caller]
    pub(crate) fn read_to_end(&mut self, conn: ConnId) -> Vec<u8> {
        self.read(conn, usize::MAX)
    }

    /// Waits until a connection has ended, and says how.
    #[track_caller]
    pub(crate) fn ended(&mut self, conn: ConnId) -> Option<TcpError> {
        self.until("the end of a connection", |world| {
            (world.guest.tcp_state(conn) == State::Closed).then(|| world.guest.tcp_take_error(conn))
        })
    }

    pub(crate) fn shutdown(&mut self, conn: ConnId) {
        let now = self.now();
        self.guest.tcp_shutdown_write(now, conn);
    }

    pub(crate) fn abort(&mut self, conn: ConnId) {
        let now = self.now();
        self.guest.tcp_abort(now, conn);
    }

    pub(crate) fn close(&mut self, conn: ConnId) {
        let now = self.now();
        self.guest.tcp_close(now, conn);
    }
}

/// Whether this host has `::1`.
pub(crate) fn has_ipv6() -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("skipped: this host has no ::1");
    }
    has
}

/// The gateway's address, behind which the host's loopback is.
pub(crate) fn host(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if address.is_ipv4() { "10.0.2.2" } else { "fd00:2::2" }
        .parse()
        .unwrap();
    SocketAddr::new(ip, address.port())
}
