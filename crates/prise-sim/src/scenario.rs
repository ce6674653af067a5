//! What is simulated: everything about one world, drawn from one seed.

use crate::datagram::Rally;
use crate::hunt::Hunt;
use crate::network::Network;
use crate::random::Random;
use crate::stream::Agreement;
use crate::talk::{Pace, Plan, Step};
use crate::world::{Cutting, WireConfig};
use prise_link::{ImpairmentConfig, Probability};
use prise_wire::Medium;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;

/// The family of scenarios that a seed chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Two hosts, 1 MiB each way at once, 5 % loss, reordering, duplication and corruption.
    Target,
    /// Two hosts, and everything varies: workload, sizes, link, faults, buffers, options.
    Pair,
    /// Several hosts behind routers, on wires that fail, attacked, suspended, switched off.
    Network,
    /// A pair whose server is also the prey of a peer that sends any segment.
    Hostile,
    /// One of the last three.
    Swarm,
}

/// One world to be run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Which family it is of.
    pub family: Family,
    /// What it was drawn from.
    pub seed: u64,
    /// Who is there and what happens.
    pub layout: Layout,
    /// When all must have happened.
    pub bound: Duration,
}

/// Who is there and what happens.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of them at a time")]
pub enum Layout {
    /// A client host and a server host on one wire.
    Pair(WireConfig, Workload),
    /// Several of them, and routers.
    Network(Network),
    /// A pair, and a foe.
    Hostile(Hunt),
}

/// What two hosts do.
#[derive(Clone, Debug)]
pub enum Workload {
    /// Connections.
    Streams(Agreement),
    /// Datagrams.
    Datagrams(Rally),
}

/// Addresses of the client's end of the wire.
pub const CLIENT: [&str; 2] = ["10.0.0.1/24", "fd00::1/64"];
/// Addresses of the server's end of the wire.
pub const SERVER: [&str; 2] = ["10.0.0.2/24", "fd00::2/64"];
const PORT: u16 = 7;

/// So often may connecting fail in one world whose wire loses frames.
const RETRIES: u32 = 20;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Family {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Pair => "pair",
            Self::Network => "network",
            Self::Hostile => "hostile",
            Self::Swarm => "swarm",
        }
    }

    /// The family with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Target, Self::Pair, Self::Network, Self::Hostile, Self::Swarm]
            .into_iter()
            .find(|family| family.name() == name)
    }
}

impl Scenario {
    /// The scenario of a family that belongs to a seed.
    pub fn new(family: Family, seed: u64) -> Self {
        let mut random = Random::new(seed).fork(1);
        match family {
            Family::Target => Self::target(seed, &mut random),
            Family::Pair => Self::pair(seed, &mut random),
            Family::Network => Self::network(seed, &mut random),
            Family::Hostile => Self::hostile(seed, &mut random),
            Family::Swarm => {
                let one = match random.below(5) {
                    0 => Self::pair,
                    1 => Self::hostile,
                    _ => Self::network,
                };
                Self {
                    family,
                    ..one(seed, &mut random)
                }
            }
        }
    }

    /// The command that replays it with a trace.
    pub fn replay(&self) -> String {
        let (family, seed) = (self.family.name(), self.seed);
        format!("cargo run -p prise-sim --release --example swarm -- --scenario {family} --seed {seed} --trace")
    }

    fn target(seed: u64, random: &mut Random) -> Self {
        let faults = ImpairmentConfig {
            delay: ms(10),
            jitter: ms(1),
            loss: share(0.05),
            duplicate: share(0.01),
            reorder: share(0.05),
            corrupt: share(0.01),
            ..ImpairmentConfig::default()
        };
        let plan = Plan::exchange(MIB, MIB);
        Self {
            family: Family::Target,
            seed,
            layout: Layout::Pair(
                WireConfig {
                    medium: random.pick(&[Medium::Ethernet, Medium::Ip]),
                    mtu: 1500,
                    cutting: random.pick(&[Cutting::Host, Cutting::Link]),
                    forth: faults,
                    back: faults,
                },
                Workload::Streams(Agreement {
                    server: server(random),
                    connections: 1,
                    at_once: 1,
                    backlog: 16,
                    tag: random.next() as u32 >> 1,
                    client: plan.clone(),
                    server_plan: plan,
                    options: Vec::new(),
                    congestion: None,
                    fast_open: None,
                    retries: RETRIES,
                    lingers: false,
                    breaks: false,
                }),
            ),
            bound: Duration::from_mins(10),
        }
    }

    fn pair(seed: u64, random: &mut Random) -> Self {
        let wire = wire(random);
        let dropped = |it: &ImpairmentConfig| it.loss.share() + it.corrupt.share();
        let lossy = dropped(&wire.forth).max(dropped(&wire.back));
        // Most seeds are short, so that a million can be run; the faults are as dense in them.
        let size = if random.chance(LARGE) { Size::Large } else { Size::Small };
        let workload = if random.chance(0.15) {
            Workload::Datagrams(rally(random, &wire, size))
        } else {
            let drops = lossy > 0.0 || wire.forth.rate.is_some() || wire.back.rate.is_some();
            let at = server(random);
            let mut agreement = agreement(random, at, drops, lossy, size);
            if !drops {
                agreement.fast_open = fast_open(random);
            }
            Workload::Streams(agreement)
        };
        let bound = BOUND + slowest(&workload);
        Self {
            family: Family::Pair,
            seed,
            layout: Layout::Pair(wire, workload),
            bound,
        }
    }

    fn hostile(seed: u64, random: &mut Random) -> Self {
        let wire = WireConfig {
            medium: Medium::Ip,
            ..wire(random)
        };
        let at = server(random);
        let agreement = agreement(random, at, true, 0.1, Size::Small);
        Self {
            family: Family::Hostile,
            seed,
            layout: Layout::Hostile(Hunt::draw(random, wire, agreement)),
            bound: BOUND,
        }
    }

    fn network(seed: u64, random: &mut Random) -> Self {
        let size = if random.chance(LARGE) { Size::Large } else { Size::Small };
        let network = Network::draw(random, |random, at, breaks| {
            let mut agreement = agreement(random, at, true, 0.1, size);
            agreement.breaks = breaks;
            agreement.lingers = !breaks;
            if breaks {
                agreement.options.extend(keepalive(random));
                agreement.fast_open = fast_open(random);
            }
            agreement
        });
        Self {
            family: Family::Network,
            seed,
            layout: Layout::Network(network),
            bound: BOUND,
        }
    }
}

/// In which time everything has happened: a connection gives up after fifteen minutes without an answer (RFC 9293 §3.8.3,
/// R2, as Linux has it), and may do so a few times; slow readers and bad wires take less.
const BOUND: Duration = Duration::from_hours(3);

/// What many connections with much to say may take besides, where windows are tiny and the path is long: a thousand octets
/// a second.
fn slowest(workload: &Workload) -> Duration {
    let Workload::Streams(it) = workload else {
        return Duration::ZERO;
    };
    let octets = u64::from(it.connections) * (it.client.expect + it.server_plan.expect);
    Duration::from_millis(octets)
}

/// How many seeds are large.
const LARGE: f64 = 0.01;

/// How much happens in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

impl Size {
    /// The most of something.
    const fn most(self, small: u64, large: u64) -> u64 {
        match self {
            Self::Small => small,
            Self::Large => large,
        }
    }
}

fn share(of: f64) -> Probability {
    Probability::new(of).expect("a share is written between 0 and 1")
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn server(random: &mut Random) -> SocketAddr {
    let ip = random.pick(&[
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    ]);
    SocketAddr::new(ip, PORT)
}

/// A number of octets whose magnitude, rather than value, is even.
fn octets(random: &mut Random, low: u64, high: u64) -> u64 {
    let (low_log, high_log) = ((low as f64).ln(), (high as f64).ln());
    let octets = (low_log + random.unit() * (high_log - low_log)).exp();
    (octets as u64).clamp(low, high)
}

fn wire(random: &mut Random) -> WireConfig {
    let forth = impairments(random);
    let back = if random.chance(0.6) { forth } else { impairments(random) };
    WireConfig {
        medium: random.pick(&[Medium::Ethernet, Medium::Ip]),
        mtu: random.pick(&[1280, 1400, 1500, 1500, 1500, 9000, 65_535]),
        cutting: random.pick(&[Cutting::Host, Cutting::Link]),
        forth,
        back,
    }
}

fn impairments(random: &mut Random) -> ImpairmentConfig {
    let delay = random.pick(&[0, 0, 100, 1_000, 10_000, 50_000, 150_000].map(Duration::from_micros));
    let rate = random.pick(&[None, None, None, Some(1_000_000), Some(10_000_000), Some(100_000_000)]);
    ImpairmentConfig {
        delay,
        jitter: random.pick(&[Duration::ZERO, Duration::ZERO, delay / 8, delay]),
        loss: share(random.pick(&[0.0, 0.0, 0.001, 0.01, 0.05, 0.1])),
        duplicate: share(random.pick(&[0.0, 0.0, 0.01, 0.1])),
        reorder: share(random.pick(&[0.0, 0.0, 0.02, 0.2])),
        corrupt: share(random.pick(&[0.0, 0.0, 0.0, 0.01, 0.05])),
        rate: rate.and_then(NonZeroU64::new),
        queue: NonZeroU64::new(random.pick(&[5, 20, 100, 1000])),
        ..ImpairmentConfig::default()
    }
}

fn agreement(random: &mut Random, at: SocketAddr, drops: bool, lossy: f64, size: Size) -> Agreement {
    let largest = size.most(16 * KIB, if lossy > 0.06 { 128 * KIB } else { 2 * MIB });
    let (client, server_plan, many) = conversation(random, largest, size);
    let at_once = random.between(1, 32) as u32;
    let connections = if many {
        random.between(2, size.most(6, if lossy > 0.06 { 20 } else { 200 })) as u32
    } else {
        1
    };
    Agreement {
        server: at,
        connections,
        at_once,
        backlog: random.pick(&[1, 8, 128, 4096]),
        tag: random.next() as u32 >> 1,
        client,
        server_plan,
        options: options(random),
        congestion: random.pick(&[None, None, Some("cubic"), Some("bbr"), Some("reno")]),
        retries: if drops { RETRIES } else { 0 },
        lingers: drops,
        fast_open: None,
        breaks: false,
    }
}

/// What the two ends of each connection do, and whether there is more than one connection.
fn conversation(random: &mut Random, largest: u64, size: Size) -> (Plan, Plan, bool) {
    let write_most = random.pick(&[100, 1500, 64 * 1024, 1 << 20]);
    let (up, down) = (octets(random, 8, largest), octets(random, 1, largest));
    let (client, server, many) = match random.below(5) {
        0 => (Plan::exchange(up, down), Plan::exchange(down, up), false),
        1 => {
            // Request and response, with a fixed size of each.
            let rounds = random.between(1, size.most(8, 200));
            let (up, down) = (octets(random, 8, 4 * KIB), octets(random, 1, size.most(2, 16) * KIB));
            let (client, server) = rounds_of(rounds, up, down);
            (client, server, random.chance(0.3))
        }
        2 => {
            let (up, down) = (
                octets(random, 8, size.most(2, 8) * KIB),
                octets(random, 1, size.most(2, 8) * KIB),
            );
            (Plan::exchange(up, down), Plan::exchange(down, up), true)
        }
        3 => {
            // Half-close: the answer begins after the question has ended.
            let steps = vec![Step::AwaitEnd, Step::Write(down), Step::Shutdown];
            (
                Plan::exchange(up, down),
                Plan::exchange(down, up).with_steps(steps),
                false,
            )
        }
        _ => {
            let up = up.min(256 * KIB);
            let octets = random.between(1 + up / 200, 1 + up / 10);
            let every = random.pick(&[ms(1), ms(30), ms(300), ms(2000)]);
            // All of it in five minutes: a window that stays shut for longer ends a connection that its program has closed.
            let least = 1 + up * every.as_millis() as u64 / 300_000;
            let pace = Pace {
                octets: octets.max(least) as usize,
                every,
            };
            let steps = vec![Step::Pause(ms(random.below(3000))), Step::Write(down), Step::Shutdown];
            let server = Plan::exchange(down, up).with_steps(steps).with_pace(Some(pace));
            (Plan::exchange(up, down), server, false)
        }
    };
    // Plans with a small number of connections write small pieces; otherwise a seed takes too long.
    let (client_most, server_most) = (write_most.max(up as usize / 50), write_most.max(down as usize / 50));
    (
        client.with_write_most(client_most),
        server.with_write_most(server_most),
        many,
    )
}

/// The client asks, the server answers, `rounds` times.
fn rounds_of(rounds: u64, up: u64, down: u64) -> (Plan, Plan) {
    let mut client = Vec::new();
    let mut server = Vec::new();
    for round in 1..=rounds {
        client.extend([Step::Write(up), Step::AwaitRead(round * down)]);
        server.extend([Step::AwaitRead(round * up), Step::Write(down)]);
    }
    client.push(Step::Shutdown);
    server.extend([Step::AwaitEnd, Step::Shutdown]);
    let client = Plan::exchange(0, rounds * down).with_steps(client);
    let server = Plan::exchange(0, rounds * up).with_steps(server);
    (client, server)
}

/// Linux's numbers of the options that scenarios set.
mod option {
    pub(super) const SOL_SOCKET: i32 = 1;
    pub(super) const SO_SNDBUF: i32 = 7;
    pub(super) const SO_RCVBUF: i32 = 8;
    pub(super) const SO_KEEPALIVE: i32 = 9;
    pub(super) const IPPROTO_TCP: i32 = 6;
    pub(super) const TCP_NODELAY: i32 = 1;
    pub(super) const TCP_MAXSEG: i32 = 2;
    pub(super) const TCP_KEEPIDLE: i32 = 4;
    pub(super) const TCP_KEEPINTVL: i32 = 5;
    pub(super) const TCP_KEEPCNT: i32 = 6;
}

/// Probes soon and often: who only waits would never learn that its peer is gone.
fn keepalive(random: &mut Random) -> [(i32, i32, i32); 4] {
    use option::{IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL};
    [
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (IPPROTO_TCP, TCP_KEEPIDLE, random.pick(&[1, 10, 60])),
        (IPPROTO_TCP, TCP_KEEPINTVL, random.pick(&[1, 10])),
        (IPPROTO_TCP, TCP_KEEPCNT, random.pick(&[3, 9])),
    ]
}

/// Data in SYNs, sometimes: only where nothing is lost or connections may break, because what a lost SYN brought may come
/// twice (RFC 7413 §6.1).
fn fast_open(random: &mut Random) -> Option<(i32, bool)> {
    let queue = random.pick(&[1, 3, 100]);
    let cookies = random.chance(0.7);
    random.chance(0.4).then_some((queue, cookies))
}

fn options(random: &mut Random) -> Vec<(i32, i32, i32)> {
    use option::{IPPROTO_TCP, SO_KEEPALIVE, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, TCP_KEEPIDLE, TCP_MAXSEG, TCP_NODELAY};
    let mut options = Vec::new();
    if random.chance(0.4) {
        options.push((SOL_SOCKET, SO_RCVBUF, random.pick(&[1, 2_000, 8_192, 65_536, 1 << 20])));
    }
    if random.chance(0.4) {
        options.push((SOL_SOCKET, SO_SNDBUF, random.pick(&[1, 4_096, 16_384, 1 << 20])));
    }
    if random.chance(0.3) {
        options.push((IPPROTO_TCP, TCP_NODELAY, 1));
    }
    if random.chance(0.1) {
        options.push((IPPROTO_TCP, TCP_MAXSEG, random.pick(&[88, 536, 1000])));
    }
    if random.chance(0.1) {
        options.extend([(SOL_SOCKET, SO_KEEPALIVE, 1), (IPPROTO_TCP, TCP_KEEPIDLE, 1)]);
    }
    options
}

fn rally(random: &mut Random, wire: &WireConfig, size: Size) -> Rally {
    // While a long way delays the answer to who has the address, more datagrams come than may wait for it.
    let faults = |it: &ImpairmentConfig| {
        let faults = [it.loss, it.corrupt, it.duplicate];
        faults.into_iter().any(|fault| fault != Probability::NEVER) || it.rate.is_some() || it.delay > ms(10)
    };
    // One flipped bit is always found; two in two fragments may cancel in the checksum, as on any network.
    let corrupts = [&wire.forth, &wire.back]
        .iter()
        .any(|it| it.corrupt != Probability::NEVER);
    let largest = random
        .pick(&[8, 100, 1200, 4000, 20_000, 65_000])
        .min(size.most(4000, 65_000) as usize);
    Rally {
        server: server(random),
        tag: random.next() as u32 >> 1,
        count: random.between(1, size.most(12, 200)) as u32,
        largest: if corrupts { largest.min(1200) } else { largest },
        every: random.pick(&[ms(1), ms(10), ms(100)]),
        patience: Duration::from_mins(1),
        exact: !faults(&wire.forth) && !faults(&wire.back),
    }
}
