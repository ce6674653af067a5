//! One host of a world: its stack and sockets, its programs, its clock.

use crate::program::{Program, Verdict};
use crate::random::Random;
use prise_socket::{Host, HostConfig, SocketId};
use prise_stack::{IpCidr, LinkConfig, LinkId, Route, StackConfig};
use prise_wire::{Instant, MacAddr, Medium};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

/// Where one of a host's links leads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Port {
    Loopback,
    Wire { wire: usize, end: usize },
}

/// What is needed to add a link again, when a host has been replaced.
#[derive(Clone, Debug)]
pub(crate) struct PortConfig {
    pub(crate) port: Port,
    pub(crate) medium: Medium,
    pub(crate) mtu: u32,
    /// The link cuts trains and sums.
    pub(crate) cuts: bool,
    pub(crate) addresses: Vec<String>,
    /// All destinations are reached by this link.
    pub(crate) default_route: bool,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) program: Box<dyn Program>,
    pub(crate) verdict: Verdict,
    /// A server: it is never done by itself, only told to stop.
    pub(crate) serves: bool,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    number: u8,
    pub(crate) host: Host,
    /// By the link's position.
    pub(crate) ports: Vec<PortConfig>,
    pub(crate) programs: Vec<Slot>,
    pub(crate) owners: HashMap<SocketId, usize>,
    /// In the host's own time.
    pub(crate) timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Something has happened to the host since it was last settled.
    pub(crate) stirred: bool,
    /// How far the host's clock is ahead of the world's.
    pub(crate) ahead: Duration,
    /// Until then the host does nothing; what arrives waits.
    pub(crate) asleep_until: Instant,
    /// Switched off: what arrives is lost.
    pub(crate) is_off: bool,
    /// Frames that arrived while it was off.
    pub(crate) missed: u64,
    /// Frames that hosts which were replaced had sent and received.
    pub(crate) earlier_sent: u64,
    pub(crate) earlier_received: u64,
    /// Frames that nobody sent: an attacker's.
    pub(crate) injected: u64,
    /// When a frame came last, in its own time.
    pub(crate) heard: Option<Instant>,
    /// Its clock has been moved, or it has slept, at this world time.
    pub(crate) disturbed: Option<Instant>,
}

impl Node {
    pub(crate) fn new(name: &str, number: u8, random: &mut Random, now: Instant) -> Self {
        let mut node = Self {
            name: name.to_owned(),
            number,
            host: fresh_host(random),
            ports: Vec::new(),
            programs: Vec::new(),
            owners: HashMap::new(),
            timers: BinaryHeap::new(),
            stirred: true,
            ahead: Duration::ZERO,
            asleep_until: Instant::ZERO,
            is_off: false,
            missed: 0,
            earlier_sent: 0,
            earlier_received: 0,
            injected: 0,
            heard: None,
            disturbed: None,
        };
        node.add_port(
            now,
            PortConfig {
                port: Port::Loopback,
                medium: Medium::Ip,
                mtu: 65_536,
                cuts: true,
                addresses: vec!["127.0.0.1/8".into(), "::1/128".into()],
                default_route: false,
            },
        );
        node
    }

    /// Which host of the world it is.
    pub(crate) fn number(&self) -> usize {
        usize::from(self.number)
    }

    /// What the host's clock shows when the world's shows `now`.
    pub(crate) fn time(&self, now: Instant) -> Instant {
        now + self.ahead
    }

    /// Whether it does anything at this world time.
    pub(crate) fn is_awake(&self, now: Instant) -> bool {
        !self.is_off && self.asleep_until <= now
    }

    /// The next world time at which the host or a program of it has something to do.
    pub(crate) fn next_instant(&self) -> Option<Instant> {
        if self.is_off {
            return None;
        }
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let next = [self.host.next_deadline(), timer].into_iter().flatten().min()?;
        Some((next - self.ahead).max(self.asleep_until))
    }

    pub(crate) fn add_port(&mut self, now: Instant, config: PortConfig) -> LinkId {
        let position = self.ports.len() as u8;
        let loopback = matches!(config.port, Port::Loopback);
        let name = if loopback {
            "lo".to_owned()
        } else {
            format!("eth{}", position - 1)
        };
        let gso_max = match (config.cuts, loopback) {
            (true, true) => 65_536,
            (true, false) => 65_535,
            (false, _) => 0,
        };
        let now = self.time(now);
        let stack = self.host.stack_mut();
        let link = stack.add_link(&LinkConfig {
            name: &name,
            medium: config.medium,
            mac: (config.medium == Medium::Ethernet).then_some(MacAddr([2, 0, 0, 0, self.number, position])),
            mtu: config.mtu,
            gso_max,
            checksum_offload: config.cuts,
            loopback,
            transparent: false,
        });
        let link = link.expect("a world's host has fewer links than a stack allows");
        for address in &config.addresses {
            stack.add_address(now, link, cidr(address));
        }
        if config.default_route {
            for prefix in ["0.0.0.0/0", "::/0"] {
                stack.add_route(Route {
                    prefix: cidr(prefix),
                    gateway: None,
                    link,
                    source: None,
                    metric: 0,
                });
            }
        }
        self.ports.push(config);
        self.stirred = true;
        link
    }

    /// Power is lost: everything the host and its programs knew is gone.
    pub(crate) fn crash(&mut self) {
        if self.is_off {
            return;
        }
        let links = self.host.stack().links().iter().filter(|link| !link.is_loopback());
        let counters = links.map(prise_stack::Link::counters);
        let (sent, received) = counters.fold((0, 0), |(sent, received), it| {
            (sent + it.transmitted_frames, received + it.received_frames)
        });
        self.earlier_sent += sent;
        self.earlier_received += received;
        self.is_off = true;
        self.owners.clear();
        self.timers.clear();
        for slot in &mut self.programs {
            if slot.verdict == Verdict::Running {
                slot.verdict = Verdict::Done;
            }
        }
    }

    /// A new host takes the place of the one that has crashed, with the same links and addresses.
    /// False if it is up already.
    pub(crate) fn boot(&mut self, now: Instant, random: &mut Random) -> bool {
        if !self.is_off {
            return false;
        }
        self.host = fresh_host(random);
        self.is_off = false;
        for config in std::mem::take(&mut self.ports) {
            self.add_port(now, config);
        }
        true
    }
}

fn fresh_host(random: &mut Random) -> Host {
    Host::new(&HostConfig {
        stack: StackConfig::new([random.next(), random.next()], random.octets32()),
        owner: 0,
    })
}

fn cidr(address: &str) -> IpCidr {
    address.parse().expect("addresses in scenarios are written correctly")
}
