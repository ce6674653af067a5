//! The world: hosts, routers, the wires between them, the programs on the hosts, what befalls them, and the one clock.
//!
//! Nothing here is concurrent. [`World::step`] lets everything happen that can happen at the present instant, then moves
//! the clock to the next instant at which anything can: a frame arrives, a host's deadline comes, a program's timer, a
//! fault.

use crate::audit::Audit;
use crate::fault::Fault;
use crate::foe::Foe;
use crate::node::{Node, Port, PortConfig, Slot};
use crate::program::{Io, Program, Verdict};
use crate::random::Random;
use crate::router::{Router, RouterCounters, RouterId, Way};
use crate::trace::Trace;
use crate::{frames, watch::Watch};
use prise_link::{Impairment, ImpairmentConfig};
use prise_socket::Host;
use prise_stack::LinkId;
use prise_wire::{Frame, Instant, Medium};
use std::cmp::Reverse;
use std::fmt::Write as _;
use std::net::IpAddr;

/// A host of a world, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

/// A wire of a world, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireId(pub(crate) usize);

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
    /// Ethernet frames or bare IP packets; routers take only the latter.
    pub medium: Medium,
    /// The largest IP packet, the same at both ends.
    pub mtu: u32,
    /// Who cuts trains of segments.
    pub cutting: Cutting,
    /// From the first end to the second.
    pub forth: ImpairmentConfig,
    /// From the second end to the first.
    pub back: ImpairmentConfig,
}

/// What an end of a wire is plugged into.
#[derive(Clone, Debug)]
pub enum End {
    /// A host, which gets a link with these addresses (`"10.0.0.1/24"`, `"fd00::1/64"`); to this link it sends all that is
    /// for elsewhere, if told so.
    Host(NodeId, Vec<String>, bool),
    /// A router.
    Router(RouterId),
    /// A hostile peer (`World::add_foe`), by its number.
    Foe(usize),
}

/// A number far beyond what any workload needs at one instant: more is a loop without progress.
const ROUNDS_AT_ONE_INSTANT: u32 = 100_000;

/// A number far beyond what all windows of a host together allow to be sent at once.
const FRAMES_AT_ONCE: u32 = 100_000;

/// Everything there is.
#[derive(Debug)]
pub struct World {
    now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) routers: Vec<Router>,
    pub(crate) foes: Vec<Foe>,
    pub(crate) wires: Vec<Wire>,
    /// The next is the last.
    faults: Vec<(Instant, Fault)>,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) watch: Watch,
    audit: Audit,
    frames: u64,
    steps_without_time: u32,
    /// Nothing is watched on the wires, and checksums are not computed: for measuring.
    trusting: bool,
}

/// Who takes what arrives at an end of a wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Host(usize, LinkId),
    Router(usize),
    Foe(usize),
}

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) medium: Medium,
    pub(crate) mtu: u32,
    pub(crate) ends: [Place; 2],
    /// `lanes[end]` carries what `ends[end]` sends.
    pub(crate) lanes: [Impairment; 2],
}

impl World {
    /// An empty world at time zero; everything random in it is drawn from `seed`.
    pub fn new(seed: u64, trace: Trace) -> Self {
        Self {
            now: Instant::ZERO,
            nodes: Vec::new(),
            routers: Vec::new(),
            foes: Vec::new(),
            wires: Vec::new(),
            faults: Vec::new(),
            random: Random::new(seed),
            trace,
            watch: Watch::default(),
            audit: Audit::default(),
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

    /// The first thing that a host was seen to do that no host may.
    pub fn offence(&self) -> Option<&str> {
        self.watch.offence().or_else(|| self.audit.offence())
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

    /// What the routers have done.
    pub fn routers(&self) -> impl Iterator<Item = RouterCounters> {
        self.routers.iter().map(|router| router.counters)
    }

    /// Adds a host with a loopback link.
    pub fn add_host(&mut self, name: &str) -> NodeId {
        let number = self.nodes.len() as u8;
        self.nodes.push(Node::new(name, number, &mut self.random, self.now));
        NodeId(self.nodes.len() - 1)
    }

    /// Adds a router, which says or does not say why it drops a packet.
    pub fn add_router(&mut self, name: &str, speaks: bool) -> RouterId {
        self.routers.push(Router::new(name, self.routers.len() as u8, speaks));
        RouterId(self.routers.len() - 1)
    }

    /// Joins two hosts by a wire; each gets a link with these addresses (`"10.0.0.1/24"`, `"fd00::1/64"`).
    pub fn connect(&mut self, config: &WireConfig, ends: [(NodeId, &[&str]); 2]) -> WireId {
        let end = |(node, addresses): (NodeId, &[&str])| {
            End::Host(
                node,
                addresses.iter().map(|&address| address.to_owned()).collect(),
                false,
            )
        };
        self.join(config, ends.map(end))
    }

    /// Lays a wire.
    pub fn join(&mut self, config: &WireConfig, ends: [End; 2]) -> WireId {
        let wire = self.wires.len();
        let mut number = 0;
        let ends = ends.map(|end| {
            let port = Port::Wire { wire, end: number };
            number += 1;
            match end {
                End::Router(router) => Place::Router(router.0),
                End::Foe(foe) => Place::Foe(foe),
                End::Host(node, addresses, default_route) => {
                    let config = PortConfig {
                        port,
                        medium: config.medium,
                        mtu: config.mtu,
                        cuts: config.cutting == Cutting::Link,
                        addresses,
                        default_route,
                    };
                    Place::Host(node.0, self.nodes[node.0].add_port(self.now, config))
                }
            }
        });
        let mut lane = |direction: ImpairmentConfig| {
            let seed = self.random.next();
            Impairment::new(ImpairmentConfig { seed, ..direction }, config.medium)
        };
        let lanes = [lane(config.forth), lane(config.back)];
        self.wires.push(Wire {
            medium: config.medium,
            mtu: config.mtu,
            ends,
            lanes,
        });
        WireId(wire)
    }

    /// Has a router send packets for `address` by a wire that it is an end of.
    pub fn route(&mut self, router: RouterId, address: IpAddr, wire: WireId) {
        let Wire { ends, mtu, .. } = &self.wires[wire.0];
        let here = |place: &Place| matches!(place, Place::Router(number) if *number == router.0);
        let end = ends.iter().position(here).expect("a router routes by its own wires");
        let way = Way {
            wire: wire.0,
            end,
            mtu: *mtu,
        };
        self.routers[router.0].route(address, way);
    }

    /// Puts a program on a host and starts it.
    pub fn spawn(&mut self, node: NodeId, program: Box<dyn Program>) {
        self.spawn_slot(node, program, false);
    }

    /// Puts a program on a host that nobody waits for: it is told to stop when all others are done.
    pub fn spawn_server(&mut self, node: NodeId, program: Box<dyn Program>) {
        self.spawn_slot(node, program, true);
    }

    fn spawn_slot(&mut self, node: NodeId, program: Box<dyn Program>, serves: bool) {
        let verdict = Verdict::Running;
        let programs = &mut self.nodes[node.0].programs;
        let index = programs.len();
        programs.push(Slot {
            program,
            verdict,
            serves,
        });
        self.call(node.0, index, |program, io| program.start(io));
    }

    /// Tells all programs that only serve to stop.
    pub fn stop_servers(&mut self) {
        for node in 0..self.nodes.len() {
            for index in 0..self.nodes[node].programs.len() {
                let slot = &self.nodes[node].programs[index];
                if slot.serves && slot.verdict == Verdict::Running {
                    self.call(node, index, |program, io| program.stop(io));
                }
            }
        }
    }

    /// Has something befall the world at an instant.
    pub fn schedule(&mut self, at: Instant, fault: Fault) {
        let place = self.faults.partition_point(|(other, _)| *other > at);
        self.faults.insert(place, (at, fault));
    }

    /// The directions of all wires.
    pub fn lanes(&self) -> impl Iterator<Item = &Impairment> {
        self.wires.iter().flat_map(|wire| &wire.lanes)
    }

    /// What the programs say of themselves, with the names of their hosts.
    pub fn verdicts(&self) -> impl Iterator<Item = (&str, &dyn Program, &Verdict)> {
        let slots = |node: &'_ Node| (0..node.programs.len()).collect::<Vec<_>>();
        self.nodes.iter().flat_map(move |node| {
            let programs = slots(node).into_iter().map(|index| &node.programs[index]);
            programs.map(move |slot| (node.name.as_str(), &*slot.program, &slot.verdict))
        })
    }

    /// Whether all programs that do not only serve are done, and nothing more will befall the world.
    pub fn is_done(&self) -> bool {
        if !self.faults.is_empty() {
            return false;
        }
        let mut slots = self.nodes.iter().flat_map(|node| &node.programs);
        slots.all(|slot| slot.serves || slot.verdict == Verdict::Done)
    }

    /// The first complaint of a program.
    pub fn complaint(&self) -> Option<String> {
        let slots = self.nodes.iter().flat_map(|node| &node.programs);
        if !slots.into_iter().any(|slot| matches!(slot.verdict, Verdict::Failed(_))) {
            return None;
        }
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
        let mut next = self.faults.last().map(|(at, _)| *at);
        let mut consider = |at: Option<Instant>| {
            next = match (next, at) {
                (Some(next), Some(at)) => Some(next.min(at)),
                (next, at) => next.or(at),
            };
        };
        for wire in &self.wires {
            for end in 0..2 {
                let arrival = wire.lanes[end].next_deadline();
                consider(match wire.ends[1 - end] {
                    Place::Host(node, _) => arrival.map(|at| at.max(self.nodes[node].asleep_until)),
                    Place::Router(_) | Place::Foe(_) => arrival,
                });
            }
        }
        for node in &self.nodes {
            consider(node.next_instant());
        }
        for foe in &self.foes {
            consider(foe.next_instant());
        }
        next
    }

    /// Does what is due: faults strike, frames arrive, deadlines expire, timers ring.
    fn happen(&mut self) {
        while let Some((_, fault)) = self.faults.pop_if(|(at, _)| *at <= self.now) {
            self.strike(fault);
        }
        for wire in 0..self.wires.len() {
            for end in 0..2 {
                self.arrive(wire, end);
            }
        }
        self.foes_act();
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if !node.is_awake(self.now) {
                continue;
            }
            let time = node.time(self.now);
            if node.host.next_deadline().is_some_and(|deadline| deadline <= time) {
                node.stirred = true;
                node.host.expire(time);
            }
            while let Some(Reverse((at, program))) = self.nodes[index].timers.peek().copied() {
                if at > self.nodes[index].time(self.now) {
                    break;
                }
                self.nodes[index].timers.pop();
                self.call(index, program, |program, io| program.tick(io));
            }
        }
    }

    /// Takes what has arrived of what one end of a wire has sent.
    fn arrive(&mut self, number: usize, end: usize) {
        let place = self.wires[number].ends[1 - end];
        if let Place::Host(node, _) = place
            && self.nodes[node].asleep_until > self.now
        {
            return;
        }
        while let Some(frame) = self.wires[number].lanes[end].receive(self.now) {
            match place {
                Place::Host(node, link) => {
                    let medium = self.wires[number].medium;
                    let node = &mut self.nodes[node];
                    if node.is_off {
                        node.missed += 1;
                        continue;
                    }
                    node.stirred = true;
                    self.trace.arrival(self.now, &node.name, medium, &frame);
                    let time = node.time(self.now);
                    node.heard = Some(time);
                    node.host.receive(time, link, [frame]);
                }
                Place::Router(router) => {
                    if let Some((way, frame)) = self.routers[router].forward(frame) {
                        self.wires[way.wire].lanes[way.end].send(self.now, frame);
                    }
                }
                Place::Foe(foe) => self.foe_takes(foe, number, 1 - end, &frame),
            }
        }
    }

    /// Lets programs and hosts do what they can at this instant, until there is nothing more.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_AT_ONE_INSTANT {
            let mut busy = false;
            for index in 0..self.nodes.len() {
                if self.nodes[index].stirred && self.nodes[index].is_awake(self.now) {
                    self.nodes[index].stirred = false;
                    busy = true;
                    self.dispatch(index);
                    self.transmit(index);
                    if !self.trusting {
                        self.audit.look(self.now, &mut self.nodes[index], &self.watch);
                    }
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
        let time = self.nodes[index].time(self.now);
        for link in self.nodes[index].host.links_ready().iter() {
            let mut left = FRAMES_AT_ONCE;
            while let Some(frame) = self.nodes[index].host.transmit(time, link) {
                left -= 1;
                assert!(left > 0, "{} does not stop transmitting", self.nodes[index].name);
                match self.nodes[index].ports[link.position()].port {
                    Port::Loopback => {
                        self.nodes[index].host.receive(time, link, [frame]);
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
        let time = node.time(self.now);
        let slot = &mut node.programs[program];
        let mut io = Io::new(time, &mut node.host, &node.name, &mut self.trace);
        act(&mut *slot.program, &mut io);
        let outcome = io.finish();
        for socket in outcome.claimed {
            node.owners.insert(socket, program);
        }
        for socket in outcome.closed {
            node.owners.remove(&socket);
        }
        for at in outcome.timers {
            // Asked for twice, it rings once: a program that looks at all its sockets asks for each of them.
            let timer = Reverse((at.max(time), program));
            if !node.timers.iter().any(|known| *known == timer) {
                node.timers.push(timer);
            }
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
            for (lane, place) in wire.lanes.iter().zip(wire.ends) {
                let name = match place {
                    Place::Host(node, _) => &self.nodes[node].name,
                    Place::Router(router) => &self.routers[router].name,
                    Place::Foe(_) => "the foe",
                };
                let _ = writeln!(out, "  from {name}: {:?}", lane.counters());
            }
        }
        for router in &self.routers {
            let _ = writeln!(out, "  {}: {:?}", router.name, router.counters);
        }
        out
    }
}
