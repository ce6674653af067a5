//! Hosts in memory under a virtual clock: what every test of this crate stands on.
#![allow(dead_code, reason = "each test uses its part")]

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use prise_socket::{Errno, Family, Flags, Host, HostConfig, Kind, Readiness, SocketId};
use prise_stack::{IpCidr, LinkConfig, LinkId, Route, StackConfig};
use prise_wire::{Frame, Instant, Medium, Payload};

/// Hosts on one wire, each with a loopback of its own.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    /// How long the wire takes.
    pub(crate) delay: Duration,
    /// What is on the wire: when it arrives, at whom, by which link.
    wire: Vec<(Instant, usize, LinkId, Frame)>,
    lo: LinkId,
    eth0: LinkId,
    /// Cut: frames put on the wire are lost.
    pub(crate) cut: bool,
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn cidr(text: &str) -> IpCidr {
    text.parse().expect("a prefix")
}

fn loopback() -> LinkConfig<'static> {
    LinkConfig {
        name: "lo",
        medium: Medium::Ip,
        mac: None,
        mtu: 65_536,
        gso_max: 65_536,
        checksum_offload: true,
        loopback: true,
        transparent: false,
    }
}

impl World {
    /// `count` hosts: 10.0.0.1, fd00::1, fe80::1 and so on.
    pub(crate) fn new(count: usize) -> Self {
        let now = Instant::from_secs(1000);
        let (mut lo, mut eth0) = (None, None);
        let hosts = (1..=count)
            .map(|number| {
                let stack = StackConfig::new([number as u64, 2], [number as u8; 32]);
                let mut host = Host::new(&HostConfig { stack, owner: 1000 });
                let stack = host.stack_mut();
                let loopback = loopback();
                let wire = LinkConfig {
                    name: "eth0",
                    mtu: 1500,
                    gso_max: 0,
                    checksum_offload: false,
                    loopback: false,
                    ..loopback
                };
                lo = stack.add_link(&loopback);
                eth0 = stack.add_link(&wire);
                let (lo, eth0) = (lo.expect("a link"), eth0.expect("a link"));
                stack.add_address(now, lo, cidr("127.0.0.1/8"));
                stack.add_address(now, lo, cidr("::1/128"));
                stack.add_address(now, eth0, cidr(&format!("10.0.0.{number}/24")));
                stack.add_address(now, eth0, cidr(&format!("fd00::{number}/64")));
                stack.add_address(now, eth0, cidr(&format!("fe80::{number}/64")));
                host
            })
            .collect();
        let (lo, eth0) = (lo.expect("a host"), eth0.expect("a host"));
        Self {
            now,
            hosts,
            delay: Duration::from_micros(50),
            wire: Vec::new(),
            lo,
            eth0,
            cut: false,
        }
    }

    /// One host with nothing but its loopback.
    pub(crate) fn alone() -> Self {
        let mut world = Self::new(1);
        let stack = StackConfig::new([1, 2], [1; 32]);
        let mut host = Host::new(&HostConfig { stack, owner: 1000 });
        host.stack_mut().add_link(&loopback());
        host.stack_mut().add_address(world.now, world.lo, cidr("127.0.0.1/8"));
        host.stack_mut().add_address(world.now, world.lo, cidr("::1/128"));
        world.hosts[0] = host;
        world
    }

    /// A default route by the wire, so that far addresses time out rather than being unreachable.
    pub(crate) fn default_route(&mut self, host: usize) {
        let link = self.eth0;
        self.hosts[host].stack_mut().add_route(Route {
            prefix: cidr("0.0.0.0/0"),
            gateway: None,
            link,
            source: None,
            metric: 0,
        });
    }

    /// Moves frames until nothing moves at this instant.
    pub(crate) fn flush(&mut self) {
        loop {
            let mut moved = false;
            for host in 0..self.hosts.len() {
                while let Some(frame) = self.hosts[host].transmit(self.now, self.lo) {
                    self.hosts[host].receive(self.now, self.lo, [frame]);
                    moved = true;
                }
                while let Some(frame) = self.hosts[host].transmit(self.now, self.eth0) {
                    moved = true;
                    for other in (0..self.hosts.len()).filter(|other| *other != host && !self.cut) {
                        self.wire.push((self.now + self.delay, other, self.eth0, frame.clone()));
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass, with everything that happens meanwhile.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.flush();
            let arrival = self.wire.iter().map(|entry| entry.0).min();
            let deadline = self.hosts.iter().filter_map(Host::next_deadline).min();
            let next = [arrival, deadline]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Instant::FAR_FUTURE);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            let (due, later) = std::mem::take(&mut self.wire)
                .into_iter()
                .partition(|entry| entry.0 <= self.now);
            self.wire = later;
            let due: Vec<_> = due;
            for (_, host, link, frame) in due {
                self.hosts[host].receive(self.now, link, [frame]);
            }
            for host in &mut self.hosts {
                host.expire(self.now);
            }
        }
        self.now = end;
        self.flush();
    }

    /// As long as a few round trips take.
    pub(crate) fn settle(&mut self) {
        self.advance(self.delay * 20 + Duration::from_millis(1));
    }

    /// What `event()` has to say of a host, the last of each socket.
    pub(crate) fn events(&mut self, host: usize) -> Vec<(SocketId, Readiness)> {
        std::iter::from_fn(|| self.hosts[host].event()).collect()
    }
}

/// The calls, short, with the clock supplied.
impl World {
    pub(crate) fn tcp(&mut self, host: usize, family: Family) -> SocketId {
        self.hosts[host].socket(family, Kind::Stream, 0).expect("a socket")
    }

    pub(crate) fn udp(&mut self, host: usize, family: Family) -> SocketId {
        self.hosts[host].socket(family, Kind::Datagram, 0).expect("a socket")
    }

    pub(crate) fn bind(&mut self, host: usize, s: SocketId, local: &str) -> Result<(), Errno> {
        self.hosts[host].bind(self.now, s, addr(local))
    }

    pub(crate) fn listener(&mut self, host: usize, local: &str) -> SocketId {
        let family = if addr(local).is_ipv4() {
            Family::Inet
        } else {
            Family::Inet6
        };
        let s = self.tcp(host, family);
        self.bind(host, s, local).expect("bound");
        self.hosts[host].listen(self.now, s, 128).expect("listening");
        s
    }

    pub(crate) fn connect(&mut self, host: usize, s: SocketId, remote: &str) -> Result<(), Errno> {
        self.hosts[host].connect(self.now, s, addr(remote))
    }

    pub(crate) fn accept(&mut self, host: usize, s: SocketId) -> Result<(SocketId, SocketAddr), Errno> {
        self.hosts[host].accept(self.now, s)
    }

    pub(crate) fn send(&mut self, host: usize, s: SocketId, octets: &[u8]) -> Result<usize, Errno> {
        self.hosts[host].send(self.now, s, &mut Payload::from(octets), Flags::EMPTY)
    }

    pub(crate) fn recv(&mut self, host: usize, s: SocketId, max: usize) -> Result<Vec<u8>, Errno> {
        self.recv_with(host, s, max, Flags::EMPTY)
    }

    pub(crate) fn recv_with(&mut self, host: usize, s: SocketId, max: usize, flags: Flags) -> Result<Vec<u8>, Errno> {
        self.hosts[host]
            .recv(self.now, s, max, flags)
            .map(|payload| payload.to_vec())
    }

    pub(crate) fn poll(&mut self, host: usize, s: SocketId) -> Readiness {
        self.hosts[host].readiness(s)
    }

    /// A connection between two hosts (or one and itself): the client's and the server's socket.
    pub(crate) fn pair(&mut self, client: usize, server: usize, address: &str) -> (SocketId, SocketId) {
        let listener = self.listener(server, address);
        let s = self.tcp(
            client,
            if addr(address).is_ipv4() {
                Family::Inet
            } else {
                Family::Inet6
            },
        );
        assert_eq!(self.connect(client, s, address), Err(Errno::EINPROGRESS));
        self.settle();
        assert_eq!(self.connect(client, s, address), Ok(()));
        let (accepted, _) = self.accept(server, listener).expect("a connection");
        self.hosts[server].close(self.now, listener);
        (s, accepted)
    }

    pub(crate) fn set(&mut self, host: usize, s: SocketId, level: i32, name: i32, value: i32) -> Result<(), Errno> {
        self.hosts[host].set_option(self.now, s, level, name, &value.to_le_bytes())
    }

    pub(crate) fn get(&mut self, host: usize, s: SocketId, level: i32, name: i32) -> Result<i32, Errno> {
        let mut out = Vec::new();
        self.hosts[host].option(self.now, s, level, name, &mut out)?;
        Ok(i32::from_le_bytes(out[..4].try_into().expect("a number")))
    }
}
