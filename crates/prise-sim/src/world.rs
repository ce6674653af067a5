//! The world: hosts, the links between them, the programs on them, and the one clock.
//!
//! Nothing here is concurrent. [`World::step`] lets everything happen that can happen at the present instant, then moves
//! the clock to the next instant at which anything can: a frame arrives, a host's deadline comes, a program's timer.

use crate::program::{Io, Program, Verdict};
use crate::random::Random;
use crate::trace::Trace;
use crate::{frames, watch::Watch};
use prise_link::{Impairment, ImpairmentConfig};
use prise_socket::{Host, HostConfig, SocketId};
use prise_stack::{IpCidr, LinkConfig, LinkId, StackConfig};
use prise_wire::{Frame, Instant, MacAddr, Medium};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write as _;

/// A host of a world, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

/// How a host's link is cut and summed: what a NIC, or its absence, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    /// The host cuts and sums every segment itself.
    Host,
    /// The host hands over trains; the link cuts and sums them.
    Link,
}

/// What a wire between two hosts is like.
#[derive(Clone, Debug)]
pub struct WireConfig {
    /// Ethernet frames or bare IP packets.
    pub medium: Medium,
    /// The largest IP packet, the same at both ends.
    pub mtu: u32,
    /// Who cuts trains of segments.
    pub cutting: Cutting,
    /// From the first host to the second.
    pub forth: ImpairmentConfig,
    /// From the second host to the first.
    pub back: ImpairmentConfig,
}

/// A number far beyond what any workload needs at one instant: more is a loop without progress.
const ROUNDS_AT_ONE_INSTANT: u32 = 100_000;

/// A number far beyond what all windows of a host together allow to be sent at once.
const FRAMES_AT_ONCE: u32 = 100_000;

/// Everything there is.
#[derive(Debug)]
pub struct World {
    now: Instant,
    nodes: Vec<Node>,
    wires: Vec<Wire>,
    random: Random,
    trace: Trace,
    watch: Watch,
    frames: u64,
    steps_without_time: u32,
    /// Nothing is watched on the wires, and checksums are not computed: for measuring.
    trusting: bool,
}

#[derive(Debug)]
struct Node {
    name: String,
    host: Host,
    /// Where each link leads, by the link's position.
    ports: Vec<Port>,
    programs: Vec<Slot>,
    owners: HashMap<SocketId, usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Something has happened to the host since it was last settled.
    stirred: bool,
}

#[derive(Debug)]
struct Slot {
    program: Box<dyn Program>,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug)]
enum Port {
    Loopback,
    Wire { wire: usize, end: usize },
}

#[derive(Debug)]
struct Wire {
    medium: Medium,
    ends: [(NodeId, LinkId); 2],
    /// `lanes[end]` carries what `ends[end]` sends.
    lanes: [Impairment; 2],
}

impl World {
    /// An empty world at time zero; everything random in it is drawn from `seed`.
    pub fn new(seed: u64, trace: Trace) -> Self {
        Self {
            now: Instant::ZERO,
            nodes: Vec::new(),
            wires: Vec::new(),
            random: Random::new(seed),
            trace,
            watch: Watch::default(),
            frames: 0,
            steps_without_time: 0,
            trusting: false,
        }
    }

    /// From now on nothing is watched on the wires and no checksum is computed or checked: a world for measuring, in which
    /// most of the time would be spent on that.
    pub const fn trust_wires(&mut self) {
        self.trusting = true;
    }

    /// What time it is.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many frames have been offered to wires so far.
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// What has been written down.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The first thing that a sender was seen to do on a wire that no sender may.
    pub fn offence(&self) -> Option<&str> {
        self.watch.offence()
    }

    /// The hosts.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// A host's name.
    pub fn name(&self, node: NodeId) -> &str {
        &self.nodes[node.0].name
    }

    /// A host.
    pub fn host(&self, node: NodeId) -> &Host {
        &self.nodes[node.0].host
    }

    /// A host, to be changed from outside; it is looked at again at the next step.
    pub fn host_mut(&mut self, node: NodeId) -> &mut Host {
        let node = &mut self.nodes[node.0];
        node.stirred = true;
        &mut node.host
    }

    /// Adds a host with a loopback link.
    pub fn add_host(&mut self, name: &str) -> NodeId {
        let mut host = Host::new(&HostConfig {
            stack: StackConfig::new([self.random.next(), self.random.next()], self.random.octets32()),
            owner: 0,
        });
        let lo = host.stack_mut().add_link(&LinkConfig {
            name: "lo",
            medium: Medium::Ip,
            mac: None,
            mtu: 65_536,
            gso_max: 65_536,
            checksum_offload: true,
            loopback: true,
            transparent: false,
        });
        for address in ["127.0.0.1/8", "::1/128"] {
            add_address(&mut host, self.now, lo, address);
        }
        self.nodes.push(Node {
            name: name.to_owned(),
            host,
            ports: vec![Port::Loopback],
            programs: Vec::new(),
            owners: HashMap::new(),
            timers: BinaryHeap::new(),
            stirred: true,
        });
        NodeId(self.nodes.len() - 1)
    }

    /// Joins two hosts by a wire; each gets a link with these addresses (`"10.0.0.1/24"`, `"fd00::1/64"`).
    pub fn connect(&mut self, config: &WireConfig, ends: [(NodeId, &[&str]); 2]) {
        let wire = self.wires.len();
        let mut end = 0;
        let links = ends.map(|(node, addresses)| {
            let link = self.add_wire_link(config, node, Port::Wire { wire, end });
            for address in addresses {
                add_address(&mut self.nodes[node.0].host, self.now, Some(link), address);
            }
            end += 1;
            (node, link)
        });
        let mut lane = |direction: ImpairmentConfig| {
            let seed = self.random.next();
            Impairment::new(ImpairmentConfig { seed, ..direction }, config.medium)
        };
        let lanes = [lane(config.forth), lane(config.back)];
        self.wires.push(Wire {
            medium: config.medium,
            ends: links,
            lanes,
        });
    }

    fn add_wire_link(&mut self, config: &WireConfig, node: NodeId, port: Port) -> LinkId {
        let node_number = node.0 as u8;
        let node = &mut self.nodes[node.0];
        let position = node.ports.len() as u8;
        node.ports.push(port);
        node.stirred = true;
        let cut_by_link = config.cutting == Cutting::Link;
        let link = node.host.stack_mut().add_link(&LinkConfig {
            name: &format!("eth{}", position - 1),
            medium: config.medium,
            mac: (config.medium == Medium::Ethernet).then_some(MacAddr([2, 0, 0, 0, node_number, position])),
            mtu: config.mtu,
            gso_max: if cut_by_link { 65_535 } else { 0 },
            checksum_offload: cut_by_link,
            loopback: false,
            transparent: false,
        });
        link.expect("a world's host has fewer links than a stack allows")
    }

    /// Puts a program on a host and starts it.
    pub fn spawn(&mut self, node: NodeId, program: Box<dyn Program>) {
        let verdict = Verdict::Running;
        let programs = &mut self.nodes[node.0].programs;
        let index = programs.len();
        programs.push(Slot { program, verdict });
        self.call(node.0, index, |program, io| program.start(io));
    }

    /// The directions of all wires.
    pub fn lanes(&self) -> impl Iterator<Item = &Impairment> {
        self.wires.iter().flat_map(|wire| &wire.lanes)
    }

    /// What the programs say of themselves, with the names of their hosts.
    pub fn verdicts(&self) -> impl Iterator<Item = (&str, &dyn Program, &Verdict)> {
        self.nodes.iter().flat_map(|node| {
            let name = node.name.as_str();
            node.programs
                .iter()
                .map(move |slot| (name, &*slot.program, &slot.verdict))
        })
    }

    /// Whether all programs are done.
    pub fn is_done(&self) -> bool {
        self.verdicts().all(|(_, _, verdict)| *verdict == Verdict::Done)
    }

    /// The first complaint of a program.
    pub fn complaint(&self) -> Option<String> {
        self.verdicts().find_map(|(name, program, verdict)| match verdict {
            Verdict::Failed(why) => Some(format!("{name}: {}: {why}", program.name())),
            Verdict::Running | Verdict::Done => None,
        })
    }

    /// Lets everything happen that can happen now, then moves the clock to the next instant at which anything can.
    ///
    /// False if nothing will ever happen again, or not by `until`; the clock then stands where it stood.
    pub fn step(&mut self, until: Instant) -> bool {
        self.settle();
        match self.next_instant() {
            // A deadline may be made when it is past already: what it is for is due at once.
            Some(next) if next <= until => {
                self.steps_without_time += 1;
                if next > self.now {
                    self.now = next;
                    self.steps_without_time = 0;
                }
                assert!(
                    self.steps_without_time < ROUNDS_AT_ONE_INSTANT,
                    "time stands still at {next}"
                );
                self.happen();
                true
            }
            Some(_) | None => false,
        }
    }

    /// The next instant at which anything happens.
    fn next_instant(&self) -> Option<Instant> {
        let arrivals = self.lanes().filter_map(Impairment::next_deadline);
        let hosts = self.nodes.iter().filter_map(|node| node.host.next_deadline());
        let timers = self
            .nodes
            .iter()
            .filter_map(|node| node.timers.peek().map(|Reverse((at, _))| *at));
        arrivals.chain(hosts).chain(timers).min()
    }

    /// Does what is due: frames arrive, deadlines expire, timers ring.
    fn happen(&mut self) {
        for wire in &mut self.wires {
            for end in 0..2 {
                let (node, link) = wire.ends[1 - end];
                let node = &mut self.nodes[node.0];
                let lane = &mut wire.lanes[end];
                while let Some(frame) = lane.receive(self.now) {
                    node.stirred = true;
                    self.trace.arrival(self.now, &node.name, wire.medium, &frame);
                    node.host.receive(self.now, link, [frame]);
                }
            }
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.host.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                node.stirred = true;
                node.host.expire(self.now);
            }
            while let Some(Reverse((at, program))) = self.nodes[index].timers.peek().copied() {
                if at > self.now {
                    break;
                }
                self.nodes[index].timers.pop();
                self.call(index, program, |program, io| program.tick(io));
            }
        }
    }

    /// Lets programs and hosts do what they can at this instant, until there is nothing more.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_AT_ONE_INSTANT {
            let mut busy = false;
            for index in 0..self.nodes.len() {
                if std::mem::take(&mut self.nodes[index].stirred) {
                    busy = true;
                    self.dispatch(index);
                    self.transmit(index);
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the world does not come to rest at {}: {}", self.now, self.report());
    }

    /// Tells the programs of a host what their sockets have become ready for.
    fn dispatch(&mut self, index: usize) {
        while let Some((socket, readiness)) = self.nodes[index].host.event() {
            self.trace.ready(self.now, &self.nodes[index].name, socket, readiness);
            if let Some(&program) = self.nodes[index].owners.get(&socket) {
                self.call(index, program, |program, io| program.ready(io, socket, readiness));
            }
        }
    }

    /// Puts on the wires what a host has to send.
    fn transmit(&mut self, index: usize) {
        for link in self.nodes[index].host.links_ready().iter() {
            let mut left = FRAMES_AT_ONCE;
            while let Some(frame) = self.nodes[index].host.transmit(self.now, link) {
                left -= 1;
                assert!(left > 0, "{} does not stop transmitting", self.nodes[index].name);
                match self.nodes[index].ports[link.position()] {
                    Port::Loopback => {
                        self.nodes[index].host.receive(self.now, link, [frame]);
                        self.nodes[index].stirred = true;
                    }
                    Port::Wire { wire, end } => self.send(index, wire, end, frame),
                }
            }
        }
    }

    fn send(&mut self, index: usize, wire: usize, end: usize, frame: Frame) {
        let wire = &mut self.wires[wire];
        if self.trusting {
            for frame in frame.segments_partial(wire.medium) {
                self.frames += 1;
                wire.lanes[end].send(self.now, frame);
            }
            return;
        }
        for frame in frames::cut(wire.medium, frame) {
            self.frames += 1;
            self.watch.sent(self.now, wire.medium, &frame);
            let shown = self.trace.is_on().then(|| (frame.clone(), wire.lanes[end].counters()));
            wire.lanes[end].send(self.now, frame);
            if let Some((frame, before)) = shown {
                let (name, after) = (&self.nodes[index].name, wire.lanes[end].counters());
                self.trace
                    .departure(self.now, name, wire.medium, &frame, &before, &after);
            }
        }
    }

    /// Calls a program with what it needs to act on its host.
    fn call(&mut self, index: usize, program: usize, act: impl FnOnce(&mut dyn Program, &mut Io<'_>)) {
        let node = &mut self.nodes[index];
        node.stirred = true;
        let slot = &mut node.programs[program];
        let mut io = Io::new(self.now, &mut node.host, &node.name, &mut self.trace);
        act(&mut *slot.program, &mut io);
        let outcome = io.finish();
        for socket in outcome.claimed {
            node.owners.insert(socket, program);
        }
        for socket in outcome.closed {
            node.owners.remove(&socket);
        }
        for at in outcome.timers {
            node.timers.push(Reverse((at.max(self.now), program)));
        }
        if let Some(verdict) = outcome.verdict
            && !matches!(slot.verdict, Verdict::Failed(_))
        {
            slot.verdict = verdict;
        }
    }

    /// Where everyone stands, in words.
    pub fn report(&self) -> String {
        let mut out = format!("at {}:\n", self.now);
        for (name, program, verdict) in self.verdicts() {
            let _ = writeln!(out, "  {name}: {}: {verdict:?}: {}", program.name(), program.progress());
        }
        for node in &self.nodes {
            for info in node.host.sockets().filter_map(|socket| node.host.info(socket)) {
                let _ = writeln!(out, "  {}: {info:?}", node.name);
            }
        }
        for wire in &self.wires {
            for (lane, (node, _)) in wire.lanes.iter().zip(wire.ends) {
                let name = &self.nodes[node.0].name;
                let _ = writeln!(out, "  from {name}: {:?}", lane.counters());
            }
        }
        out
    }
}

fn add_address(host: &mut Host, now: Instant, link: Option<LinkId>, address: &str) {
    let link = link.expect("a world's host has fewer links than a stack allows");
    let cidr: IpCidr = address.parse().expect("addresses in scenarios are written correctly");
    host.stack_mut().add_address(now, link, cidr);
}
