//! Random networks: clients and servers on both sides of a chain of routers, faults on every wire and at every host.
//!
//! ```text
//! client ──┐                          ┌── server
//! client ──┤ R0 ═══ R1 ═══ R2 ═══ R3  ├── server
//! client ──┘                          └──
//! ```
//!
//! Between two routers there are one or two wires; of two, one carries what goes to the servers and the other what goes
//! back, until a change of routes swaps them.

use crate::fault::Fault;
use crate::random::Random;
use crate::stream::{Agreement, Client, Server};
use crate::world::{Cutting, End, NodeId, WireConfig, WireId, World};
use prise_link::{BurstLoss, Early, ImpairmentConfig, Probability};
use prise_stack::{EcnPolicy, FastOpenSettings, MtuProbing, Tuning, UserTimeoutExchange};
use prise_wire::{Instant, Medium};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// A network, what flows through it and what befalls it.
#[derive(Clone, Debug)]
pub struct Network {
    /// From each client to the first router.
    pub clients: Vec<WireConfig>,
    /// From the last router to each server.
    pub servers: Vec<WireConfig>,
    /// Between each router and the next.
    pub hops: Vec<Vec<WireConfig>>,
    /// Routers say why they drop a packet.
    pub speaks: bool,
    /// What clients and servers ask and answer for ECN, as a number of `net.ipv4.tcp_ecn`.
    pub ecn: [u32; 2],
    /// How clients and servers look for the size that the path takes.
    pub probing: [MtuProbing; 2],
    /// One for each client, and the server that it goes to.
    pub flows: Vec<(usize, Agreement)>,
    /// What happens, and when.
    pub mishaps: Vec<(Duration, Mishap)>,
}

/// What befalls a network.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// A wire is cut, and mended after a while. Wires are numbered: clients', servers', then each hop's.
    Flap(usize, Duration),
    /// One direction of a wire becomes another.
    Change(usize, usize, ImpairmentConfig),
    /// A hop of two wires swaps them.
    Swap(usize),
    /// A client loses power.
    CrashClient(usize),
    /// A server loses power and is back after a while.
    CrashServer(usize, Duration),
    /// The clock of a host jumps; hosts are numbered clients first.
    Jump(usize, Duration),
    /// A host is suspended.
    Sleep(usize, Duration),
    /// A host gets forged segments and errors.
    Attack(usize, u32),
}

/// The first of the ports that servers listen on, one for each client.
const PORT: u16 = 7;

fn client_address(number: usize, v4: bool) -> IpAddr {
    address(1, number, v4)
}

fn server_address(number: usize, v4: bool) -> IpAddr {
    address(2, number, v4)
}

fn address(side: u8, number: usize, v4: bool) -> IpAddr {
    if v4 {
        Ipv4Addr::new(10, side, number as u8, 1).into()
    } else {
        Ipv6Addr::new(0xfd00, u16::from(side), number as u16, 0, 0, 0, 0, 1).into()
    }
}

/// Where the server of a client's flow listens.
pub(crate) fn server(random: &mut Random, client: usize, number: usize) -> SocketAddr {
    SocketAddr::new(server_address(number, random.chance(0.5)), PORT + client as u16)
}

impl Network {
    /// A network whose flows are made by `flow`, which is told the server's address and whether connections may break.
    pub(crate) fn draw(random: &mut Random, flow: impl Fn(&mut Random, SocketAddr, bool) -> Agreement) -> Self {
        let (clients, servers) = (random.pick(&[1, 1, 1, 2, 3]), random.pick(&[1, 1, 2]));
        let hops = random.pick(&[0, 1, 1, 2, 3]);
        let speaks = random.chance(0.8);
        let mtu = random.pick(&[1280, 1400, 1500, 1500, 9000]);
        // Routers that say nothing and take less than the ends: who is there must find out.
        let swallows = !speaks && random.chance(0.5);
        let wire = |random: &mut Random| {
            let forth = lane(random);
            let back = if random.chance(0.6) { forth } else { lane(random) };
            WireConfig {
                medium: Medium::Ip,
                mtu: if (speaks || swallows) && random.chance(0.3) {
                    1280
                } else {
                    mtu
                },
                cutting: random.pick(&[Cutting::Host, Cutting::Link]),
                forth,
                back,
            }
        };
        let clients: Vec<WireConfig> = (0..clients).map(|_| wire(random)).collect();
        let servers: Vec<WireConfig> = (0..servers).map(|_| wire(random)).collect();
        let hops: Vec<Vec<WireConfig>> = (0..hops)
            .map(|_| (0..random.pick(&[1, 1, 2])).map(|_| wire(random)).collect())
            .collect();
        let (mut clients, mut servers, mut hops) = (clients, servers, hops);
        tame(clients.iter_mut().chain(&mut servers).chain(hops.iter_mut().flatten()));
        let mishaps = mishaps(random, clients.len(), servers.len(), &hops);
        let breaks = mishaps
            .iter()
            .any(|(_, mishap)| matches!(mishap, Mishap::CrashClient(_) | Mishap::CrashServer(..)));
        let flows = (0..clients.len())
            .map(|client| {
                let number = random.below(servers.len() as u64) as usize;
                let at = server(random, client, number);
                (number, flow(random, at, breaks))
            })
            .collect();
        Self {
            clients,
            servers,
            hops,
            speaks,
            ecn: [(); 2].map(|()| random.pick(&[0, 1, 2, 2, 3, 4, 5])),
            probing: [(); 2].map(|()| {
                let found = [MtuProbing::BlackHoles, MtuProbing::BlackHoles, MtuProbing::Always];
                if swallows || random.chance(0.8) {
                    random.pick(&found)
                } else {
                    MtuProbing::Off
                }
            }),
            flows,
            mishaps,
        }
    }

    /// Builds it, starts the programs and schedules what will happen.
    pub(crate) fn build(&self, world: &mut World, random: &Random) {
        let routers: Vec<_> = (0..=self.hops.len())
            .map(|number| world.add_router(&format!("router{number}"), self.speaks))
            .collect();
        let clients: Vec<NodeId> = (0..self.clients.len())
            .map(|number| world.add_host(&format!("client{number}")))
            .collect();
        let servers: Vec<NodeId> = (0..self.servers.len())
            .map(|number| world.add_host(&format!("server{number}")))
            .collect();
        let mut dice = random.fork(40);
        for ((side, number), mtu_probing) in [&clients, &servers].into_iter().zip(self.ecn).zip(self.probing) {
            let policy = EcnPolicy::from_number(number).unwrap_or_default();
            let window_validation = dice.chance(0.2);
            let user_timeout_option = dice.chance(0.2).then_some(UserTimeoutExchange::DEFAULT);
            for node in side {
                let host = world.host_mut(*node);
                host.set_ecn(policy);
                host.set_fast_open(FastOpenSettings::from_bits(3));
                host.set_tuning(Tuning {
                    mtu_probing,
                    window_validation,
                    user_timeout_option,
                    ..Tuning::DEFAULT
                });
            }
        }
        let last = routers[self.hops.len()];
        let mut wires = Vec::new();
        for (number, config) in self.clients.iter().enumerate() {
            let end = End::Host(clients[number], addresses(1, number), true);
            wires.push(world.join(config, [end, End::Router(routers[0])]));
        }
        for (number, config) in self.servers.iter().enumerate() {
            let end = End::Host(servers[number], addresses(2, number), true);
            wires.push(world.join(config, [End::Router(last), end]));
        }
        let mut hops: Vec<Vec<WireId>> = Vec::new();
        for (number, hop) in self.hops.iter().enumerate() {
            let ends = [End::Router(routers[number]), End::Router(routers[number + 1])];
            let laid: Vec<WireId> = hop.iter().map(|config| world.join(config, ends.clone())).collect();
            wires.extend(&laid);
            hops.push(laid);
        }
        for v4 in [true, false] {
            for (position, router) in routers.iter().enumerate() {
                for (number, own) in wires.iter().copied().enumerate().take(clients.len()) {
                    let wire = if position == 0 {
                        own
                    } else {
                        let hop = &hops[position - 1];
                        hop[hop.len() - 1]
                    };
                    world.route(*router, client_address(number, v4), wire);
                }
                for number in 0..servers.len() {
                    let wire = match hops.get(position) {
                        Some(hop) => hop[0],
                        None => wires[clients.len() + number],
                    };
                    world.route(*router, server_address(number, v4), wire);
                }
            }
        }
        for (client, (server, agreement)) in self.flows.iter().enumerate() {
            let program = Server::new(agreement.clone(), random.fork(100 + client as u64));
            if agreement.breaks {
                world.spawn_server(servers[*server], Box::new(program));
            } else {
                world.spawn(servers[*server], Box::new(program));
            }
            let program = Client::new(agreement.clone(), random.fork(200 + client as u64));
            world.spawn(clients[client], Box::new(program));
        }
        let built = Built {
            network: self,
            routers,
            clients,
            servers,
            wires,
            hops,
        };
        for (at, mishap) in &self.mishaps {
            built.schedule(world, Instant::ZERO + *at, mishap, random);
        }
    }
}

fn addresses(side: u8, number: usize) -> Vec<String> {
    vec![
        format!("{}/24", address(side, number, true)),
        format!("{}/64", address(side, number, false)),
    ]
}

/// A network that has been built.
struct Built<'a> {
    network: &'a Network,
    routers: Vec<crate::router::RouterId>,
    clients: Vec<NodeId>,
    servers: Vec<NodeId>,
    wires: Vec<WireId>,
    hops: Vec<Vec<WireId>>,
}

impl Built<'_> {
    fn host(&self, number: usize) -> NodeId {
        match number.checked_sub(self.clients.len()) {
            None => self.clients[number],
            Some(server) => self.servers[server],
        }
    }

    fn config(&self, wire: usize) -> &WireConfig {
        let Network {
            clients, servers, hops, ..
        } = self.network;
        let mut all = clients.iter().chain(servers).chain(hops.iter().flatten());
        all.nth(wire).expect("mishaps name wires that there are")
    }

    fn schedule(&self, world: &mut World, at: Instant, mishap: &Mishap, random: &Random) {
        match mishap {
            Mishap::Flap(number, down) => {
                let wire = self.wires[*number];
                let config = self.config(*number);
                for (end, config) in [config.forth, config.back].into_iter().enumerate() {
                    let cut = ImpairmentConfig {
                        loss: Probability::ALWAYS,
                        ..config
                    };
                    world.schedule(at, Fault::Line { wire, end, config: cut });
                    world.schedule(at + *down, Fault::Line { wire, end, config });
                }
            }
            Mishap::Change(number, end, config) => {
                let (wire, end, config) = (self.wires[*number], *end, *config);
                world.schedule(at, Fault::Line { wire, end, config });
            }
            Mishap::Swap(hop) => self.swap(world, at, *hop),
            Mishap::CrashClient(client) => world.schedule(
                at,
                Fault::Crash {
                    node: self.clients[*client],
                },
            ),
            Mishap::CrashServer(server, down) => {
                let node = self.servers[*server];
                world.schedule(at, Fault::Crash { node });
                let flows = self.network.flows.iter().enumerate();
                let servers = flows
                    .filter(|(_, (number, _))| number == server)
                    .map(|(client, (_, agreement))| {
                        let random = random.fork(300 + client as u64);
                        Box::new(Server::new(agreement.clone(), random)) as Box<dyn crate::program::Program>
                    })
                    .collect();
                world.schedule(at + *down, Fault::Boot { node, servers });
            }
            Mishap::Jump(host, by) => world.schedule(
                at,
                Fault::Jump {
                    node: self.host(*host),
                    by: *by,
                },
            ),
            Mishap::Sleep(host, time) => world.schedule(
                at,
                Fault::Sleep {
                    node: self.host(*host),
                    time: *time,
                },
            ),
            Mishap::Attack(host, count) => world.schedule(
                at,
                Fault::Attack {
                    node: self.host(*host),
                    count: *count,
                },
            ),
        }
    }

    /// What went to the servers by the first wire of a hop goes by the last, and the other way round.
    fn swap(&self, world: &mut World, at: Instant, hop: usize) {
        let (here, there) = (self.routers[hop], self.routers[hop + 1]);
        let wires = &self.hops[hop];
        let (first, last) = (wires[0], wires[wires.len() - 1]);
        for v4 in [true, false] {
            for number in 0..self.servers.len() {
                let address = server_address(number, v4);
                world.schedule(
                    at,
                    Fault::Reroute {
                        router: here,
                        address,
                        wire: last,
                    },
                );
            }
            for number in 0..self.clients.len() {
                let address = client_address(number, v4);
                world.schedule(
                    at,
                    Fault::Reroute {
                        router: there,
                        address,
                        wire: first,
                    },
                );
            }
        }
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One direction of a wire: most are clean, so that what several wires do together can still be lived with.
fn lane(random: &mut Random) -> ImpairmentConfig {
    let share = |random: &mut Random, shares: &[f64]| Probability::new(random.pick(shares)).unwrap_or_default();
    let delay = random.pick(&[0, 100, 1_000, 5_000, 20_000, 80_000].map(Duration::from_micros));
    let mut config = ImpairmentConfig {
        delay,
        jitter: random.pick(&[Duration::ZERO, Duration::ZERO, delay / 8, delay]),
        ..ImpairmentConfig::default()
    };
    if random.chance(0.3) {
        let rate = random.pick(&[500_000, 2_000_000, 10_000_000, 100_000_000]);
        config.rate = NonZeroU64::new(rate);
        config.queue = NonZeroU64::new(random.pick(&[4, 10, 50, 500]));
        config.early = random.pick(&[Early::Never, Early::Drop, Early::Mark, Early::Mark]);
    }
    if random.chance(0.4) {
        config.loss = share(random, &[0.0, 0.005, 0.02, 0.08]);
        config.duplicate = share(random, &[0.0, 0.0, 0.02, 0.1]);
        config.reorder = share(random, &[0.0, 0.02, 0.2]);
        config.corrupt = share(random, &[0.0, 0.0, 0.01, 0.05]);
        if random.chance(0.4) {
            config.burst = BurstLoss {
                share: share(random, &[0.01, 0.05]),
                length: NonZeroU32::new(random.pick(&[2, 5, 20])).unwrap_or(NonZeroU32::MIN),
            };
        }
    }
    config
}

/// Two wires may be bad, and one of them may damage packets. With more, connections give up in earnest (RFC 9293 §3.8.3),
/// and what was damaged twice may have its right checksum again, as on any network.
fn tame<'a>(wires: impl Iterator<Item = &'a mut WireConfig>) {
    let mut bad = 0;
    for wire in wires {
        let mut faulty = false;
        for lane in [&mut wire.forth, &mut wire.back] {
            if bad >= 2 {
                *lane = ImpairmentConfig {
                    delay: lane.delay,
                    jitter: lane.jitter,
                    rate: lane.rate,
                    queue: lane.queue,
                    early: lane.early,
                    ..ImpairmentConfig::default()
                };
            }
            if bad >= 1 {
                lane.corrupt = Probability::NEVER;
            }
            let faults = [lane.loss, lane.burst.share, lane.duplicate, lane.reorder, lane.corrupt];
            faulty |= faults.into_iter().any(|fault| fault != Probability::NEVER);
        }
        bad += u32::from(faulty);
    }
}

/// What will happen: often something, seldom much.
fn mishaps(random: &mut Random, clients: usize, servers: usize, hops: &[Vec<WireConfig>]) -> Vec<(Duration, Mishap)> {
    let wires = clients + servers + hops.iter().map(Vec::len).sum::<usize>();
    let span = random.pick(&[200, 2_000, 20_000]);
    let one_of = |random: &mut Random, count: usize| random.below(count as u64) as usize;
    let mut mishaps = Vec::new();
    for _ in 0..random.pick(&[0, 1, 1, 2, 4]) {
        let at = ms(random.below(span));
        let mishap = match random.below(12) {
            0..=1 => Mishap::Flap(one_of(random, wires), ms(random.pick(&[5, 100, 1_000, 10_000]))),
            2..=3 => {
                let changed = ImpairmentConfig {
                    corrupt: Probability::NEVER,
                    ..lane(random)
                };
                Mishap::Change(one_of(random, wires), one_of(random, 2), changed)
            }
            4 => {
                let doubles: Vec<usize> = (0..hops.len()).filter(|hop| hops[*hop].len() > 1).collect();
                match doubles.first() {
                    Some(_) => Mishap::Swap(random.pick(&doubles)),
                    None => Mishap::Flap(one_of(random, wires), ms(50)),
                }
            }
            5 => match random.below(2) {
                0 => Mishap::CrashClient(one_of(random, clients)),
                _ => Mishap::CrashServer(one_of(random, servers), ms(random.pick(&[1, 300, 5_000]))),
            },
            6..=7 => Mishap::Jump(
                one_of(random, clients + servers),
                ms(random.pick(&[1, 50, 500, 3_000, 30_000])),
            ),
            8 => Mishap::Sleep(
                one_of(random, clients + servers),
                ms(random.pick(&[1, 50, 1_000, 20_000])),
            ),
            _ => Mishap::Attack(one_of(random, clients + servers), random.between(1, 20) as u32),
        };
        mishaps.push((at, mishap));
    }
    mishaps
}
