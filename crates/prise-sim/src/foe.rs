//! A peer that is hostile as a whole: no host, but whoever sits at the other end of a wire and sends what it likes from its
//! own, right addresses. It knows the numbers of each of its connections, opens some and is called on others, does now and
//! then what an honest peer would do, so that it comes into every state, and otherwise sends any segment: inside and outside
//! of windows, with any flags and options, acknowledging anything.
//!
//! What it does is bounded; then it falls silent, or answers everything with a reset, and the host must come to rest.

use crate::frames;
use crate::random::Random;
use crate::world::{Place, World};
use prise_wire::tcp::UserTimeout;
use prise_wire::{
    AccEcn, AccEcnOrder, Body, FastOpenCookie, Frame, Instant, Ipv4Header, Ipv6Header, Medium, Payload, SackBlock,
    SeqNum, TcpFlags, TcpHeader, Timestamps, checksum, protocol,
};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where the foe waits to be called, and where it calls.
pub(crate) const FOE_PORT: u16 = 90;
pub(crate) const PREY_PORT: u16 = 80;

/// Connections that it remembers.
const FLOWS_MAX: usize = 24;

/// Answers to one frame.
const ANSWERS_MAX: u64 = 3;

/// What it is allowed.
#[derive(Clone, Copy, Debug)]
pub struct FoeConfig {
    /// Segments that it sends in all, but for resets at the end.
    pub segments: u32,
    /// Time between two that answer nothing, on average.
    pub every: Duration,
    /// How often it does what an honest peer would do.
    pub manners: f64,
    /// When it has sent all that, it resets whatever speaks to it; else it says nothing any more.
    pub resets: bool,
}

/// One of its connections, as it knows it.
#[derive(Clone, Copy, Debug)]
struct Flow {
    own: SocketAddr,
    prey: SocketAddr,
    isn: SeqNum,
    /// What it would send next if it were honest.
    nxt: SeqNum,
    /// The end of all it ever sent.
    sent: SeqNum,
    stamps: bool,
    clock: u32,
    known: Option<Known>,
}

/// What the prey has said on a connection.
#[derive(Clone, Copy, Debug)]
struct Known {
    iss: SeqNum,
    /// The end of what it has sent, and how far the foe has acknowledged that.
    nxt: SeqNum,
    una: SeqNum,
    ack: Option<SeqNum>,
    edge: Option<SeqNum>,
    scale: u8,
    stamp: u32,
}

/// The foe itself.
#[derive(Debug)]
pub(crate) struct Foe {
    config: FoeConfig,
    random: Random,
    /// By version: its address and the prey's.
    addresses: [(IpAddr, IpAddr); 2],
    flows: Vec<Flow>,
    cookie: Option<FastOpenCookie>,
    left: u32,
    next: Instant,
    /// Frames that it has put on the wire.
    pub(crate) sent: u64,
}

impl Foe {
    pub(crate) fn new(config: FoeConfig, addresses: [(IpAddr, IpAddr); 2], random: Random) -> Self {
        Self {
            left: config.segments,
            config,
            random,
            addresses,
            flows: Vec::new(),
            cookie: None,
            next: Instant::ZERO,
            sent: 0,
        }
    }

    /// When it speaks unasked.
    pub(crate) fn next_instant(&self) -> Option<Instant> {
        (self.left > 0).then_some(self.next)
    }

    /// It is time to speak.
    pub(crate) fn act(&mut self, now: Instant) -> Option<Frame> {
        if self.left == 0 || now < self.next {
            return None;
        }
        self.next = now + self.random.up_to(self.config.every * 2).max(Duration::from_micros(1));
        self.left -= 1;
        self.sent += 1;
        if self.flows.is_empty() || self.random.chance(0.1) {
            return Some(self.open());
        }
        let flow = self.random.below(self.flows.len() as u64) as usize;
        Some(self.segment(flow))
    }

    /// A frame of the prey's has come; answers the foe's.
    pub(crate) fn take(&mut self, frame: &Frame) -> Vec<Frame> {
        let Some(seen) = frames::tcp(Medium::Ip, frame) else {
            return Vec::new();
        };
        let (own, prey, header) = (seen.destination, seen.source, &seen.header);
        let found = self.flows.iter().position(|flow| flow.own == own && flow.prey == prey);
        let opens = header.flags.syn() && header.ack.is_none();
        let flow = match found {
            Some(flow) => flow,
            None if opens => self.remember(own, prey),
            None => return Vec::new(),
        };
        self.cookie = header.options.fast_open.filter(|it| !it.is_request()).or(self.cookie);
        self.flows[flow].learn(header, seen.len as u32);
        if self.left == 0 {
            return self.farewell(flow, header.flags.rst()).into_iter().collect();
        }
        let answers = self.random.below(ANSWERS_MAX + 1).min(u64::from(self.left));
        self.left -= answers as u32;
        self.sent += answers;
        (0..answers).map(|_| self.segment(flow)).collect()
    }

    /// All is said.
    fn farewell(&mut self, flow: usize, is_reset: bool) -> Option<Frame> {
        let known = self.flows[flow].known?;
        if !self.config.resets || is_reset {
            return None;
        }
        self.sent += 1;
        let mut header = self.flows[flow].header(TcpFlags::RST);
        header.seq = known.ack.unwrap_or(header.seq);
        Some(self.packet(flow, &header, 0))
    }

    /// A connection that is new to the foe takes the place of the oldest.
    fn remember(&mut self, own: SocketAddr, prey: SocketAddr) -> usize {
        if self.flows.len() >= FLOWS_MAX {
            self.flows.remove(0);
        }
        let isn = SeqNum(self.random.next() as u32);
        self.flows.push(Flow {
            own,
            prey,
            isn,
            nxt: isn,
            sent: isn,
            stamps: self.random.chance(0.5),
            clock: self.random.next() as u32,
            known: None,
        });
        self.flows.len() - 1
    }

    /// Its SYN.
    fn open(&mut self) -> Frame {
        let (own, prey) = self.random.pick(&self.addresses);
        // Some ports come again: TIME-WAIT is asked for what it remembers.
        let port = 10_000 + self.random.below(40) as u16;
        let (own, prey) = (SocketAddr::new(own, port), SocketAddr::new(prey, PREY_PORT));
        self.flows.retain(|flow| flow.own != own || flow.prey != prey);
        let flow = self.remember(own, prey);
        let mut header = self.flows[flow].header(TcpFlags::SYN);
        header.ack = None;
        let len = self.greet(&mut header);
        self.packet(flow, &header, len)
    }

    /// What goes with a SYN; answers how many octets.
    fn greet(&mut self, header: &mut TcpHeader) -> u32 {
        let random = &mut self.random;
        let options = &mut header.options;
        options.mss = random.pick(&[None, Some(0), Some(1), Some(88), Some(536), Some(1460), Some(u16::MAX)]);
        options.sack_permitted = random.chance(0.7);
        options.window_scale = random.pick(&[None, Some(0), Some(2), Some(7), Some(14), Some(200)]);
        let any = random_bits(random) & 7;
        let bits = random.pick(&[0, 0, 0b110, 0b111, any]);
        header.flags |= TcpFlags::from_bits(bits << 6);
        if random.chance(0.3) {
            let garbage = random.next().to_be_bytes();
            let request = Some(FastOpenCookie::REQUEST);
            header.options.fast_open = random.pick(&[request, self.cookie, FastOpenCookie::new(&garbage)]);
            return random.pick(&[0, 1, 100, 1000]);
        }
        0
    }

    /// A segment of a connection: an honest peer's, or any.
    fn segment(&mut self, flow: usize) -> Frame {
        self.flows[flow].clock = self.flows[flow].clock.wrapping_add(self.random.below(50) as u32);
        if self.random.chance(self.config.manners) {
            self.proper(flow)
        } else {
            self.wild(flow)
        }
    }

    /// What an honest peer might send now.
    fn proper(&mut self, flow: usize) -> Frame {
        let it = self.flows[flow];
        let synchronized = it.nxt != it.isn;
        let mut header = it.header(TcpFlags::NONE);
        let mut len = 0;
        if synchronized {
            len = self.random.pick(&[0, 0, 0, 1, 100, 536, 1400]);
            header.flags = self
                .random
                .pick(&[TcpFlags::NONE, TcpFlags::NONE, TcpFlags::PSH, TcpFlags::FIN]);
            header.window = self.random.pick(&[0xff00, 0xff00, 1000, 0]);
            if self.random.chance(0.9) {
                header.flags = header.flags.without(TcpFlags::FIN);
            }
        } else {
            header.flags = TcpFlags::SYN;
            len += self.greet(&mut header);
        }
        let advance = len + u32::from(header.flags.syn()) + u32::from(header.flags.fin());
        self.flows[flow].nxt = header.seq + advance;
        self.packet(flow, &header, len)
    }

    /// Any segment, its numbers around those that matter.
    fn wild(&mut self, flow: usize) -> Frame {
        let it = self.flows[flow];
        let bits = random_bits(&mut self.random);
        // Most flags seldom: all at once are in none of the interesting states.
        let rare = random_bits(&mut self.random) & random_bits(&mut self.random) & random_bits(&mut self.random);
        let mut header = it.header(TcpFlags::from_bits((bits & 0x08) | (rare & 0x1e7)));
        let known = it.known;
        let anywhere = SeqNum(self.random.next() as u32);
        let places = [
            it.nxt,
            known.and_then(|known| known.ack).unwrap_or(it.nxt),
            known.and_then(|known| known.edge).unwrap_or(it.nxt),
            it.sent,
            it.isn,
            anywhere,
        ];
        header.seq = self.near(&places);
        if let Some(known) = known {
            header.ack = Some(self.near(&[known.nxt, known.una, known.iss, anywhere]));
        }
        if self.random.chance(0.1) {
            header.ack = None;
        }
        header.window = self
            .random
            .pick(&[0, 1, 100, 0x8000, 0xffff, random_bits(&mut self.random.clone())]);
        header.urgent = random_bits(&mut self.random);
        self.adorn(&it, &mut header);
        let len = self.random.pick(&[0, 0, 1, 2, 100, 535, 536, 1000, 1400]);
        self.packet(flow, &header, len)
    }

    /// One of these numbers, or one near it.
    fn near(&mut self, places: &[SeqNum]) -> SeqNum {
        let place = self.random.pick(places);
        let by = self.random.pick(&[0, 0, 0, 1, 2, 536, 1448, 20_000, 1 << 30]);
        if self.random.chance(0.5) {
            place + by
        } else {
            place - by
        }
    }

    /// Options that may be wrong.
    fn adorn(&mut self, flow: &Flow, header: &mut TcpHeader) {
        if self.random.chance(0.2) {
            header.options.timestamps = None;
        } else if self.random.chance(0.1) {
            header.options.timestamps = Some(Timestamps {
                value: self.random.next() as u32,
                echo: self.random.next() as u32,
            });
        }
        if let Some(known) = flow.known
            && self.random.chance(0.3)
        {
            for _ in 0..self.random.below(4) {
                let left = self.near(&[known.una, known.nxt]);
                let right = left + self.random.pick(&[0, 1, 1448, 1 << 20, u32::MAX]);
                header.options.sack.push(SackBlock { left, right });
            }
        }
        if self.random.chance(0.1) {
            let counters = [(); 3].map(|()| self.random.next() as u32);
            let order = self.random.pick(&[AccEcnOrder::Ect0First, AccEcnOrder::Ect1First]);
            header.options.acc_ecn = Some(AccEcn::new(order, &counters[..self.random.below(4) as usize]));
        }
        if header.flags.syn() {
            let _ = self.greet(header);
        }
    }

    /// The packet, its ECN field drawn, and perhaps a user timeout of any length told.
    fn packet(&mut self, flow: usize, header: &TcpHeader, len: u32) -> Frame {
        let mut header = *header;
        if self.random.chance(0.05) {
            header.options.user_timeout = Some(UserTimeout::from_field(random_bits(&mut self.random)));
        }
        let field = if self.random.chance(0.3) {
            random_bits(&mut self.random) as u8 & 3
        } else {
            0
        };
        let flow = &mut self.flows[flow];
        let end = header.seq + len + u32::from(header.flags.syn()) + u32::from(header.flags.fin());
        if end - flow.sent < 1 << 20 {
            flow.sent = flow.sent.later(end);
        }
        if let (Some(known), Some(ack)) = (&mut flow.known, header.ack)
            && ack.precedes_or_equals(known.nxt)
        {
            known.una = known.una.later(ack);
        }
        build(flow.own.ip(), flow.prey.ip(), &header, len as usize, field)
    }
}

impl Flow {
    /// A header that fits all that is known.
    fn header(&self, flags: TcpFlags) -> TcpHeader {
        let mut header = TcpHeader {
            source_port: self.own.port(),
            destination_port: self.prey.port(),
            seq: self.nxt,
            ack: self.known.map(|known| known.nxt),
            flags,
            window: 0xff00,
            ..TcpHeader::default()
        };
        header.options.timestamps = self.stamps.then(|| Timestamps {
            value: self.clock,
            echo: self.known.map_or(0, |known| known.stamp),
        });
        header
    }

    /// What a segment of the prey tells.
    fn learn(&mut self, header: &TcpHeader, len: u32) {
        let end = header.seq + len + u32::from(header.flags.syn()) + u32::from(header.flags.fin());
        if header.flags.syn() && self.known.is_none_or(|known| known.iss != header.seq) {
            self.known = Some(Known {
                iss: header.seq,
                nxt: end,
                una: header.seq,
                ack: None,
                edge: None,
                scale: header.options.window_scale.unwrap_or(0).min(14),
                stamp: 0,
            });
        }
        if let Some(known) = &mut self.known {
            known.nxt = known.nxt.later(end);
            known.stamp = header.options.timestamps.map_or(known.stamp, |stamps| stamps.value);
            known.ack = header.ack.or(known.ack);
            let scale = if header.flags.syn() { 0 } else { known.scale };
            known.edge = header
                .ack
                .map(|ack| ack + (u32::from(header.window) << scale))
                .or(known.edge);
        }
        // Whoever acknowledges the SYN has taken it.
        if self.nxt == self.isn && header.ack == Some(self.isn + 1) {
            self.nxt = self.isn + 1;
        }
    }
}

fn random_bits(random: &mut Random) -> u16 {
    random.next() as u16
}

/// An IP packet with its checksums.
fn build(from: IpAddr, to: IpAddr, header: &TcpHeader, len: usize, field: u8) -> Frame {
    let mut header = *header;
    header.checksum = 0;
    let segment = |header: &TcpHeader| Frame::with_header(header, Body::from(Payload::from(vec![0x66; len])));
    let total = segment(&header).total_len();
    let pseudo = checksum::pseudo_header(from, to, protocol::TCP, total);
    header.checksum = checksum::finish(checksum::combine(pseudo, segment(&header).sum_from(0)));
    let mut frame = segment(&header);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => frame.push_header(&Ipv4Header {
            tos: field,
            ..Ipv4Header::new(from, to, protocol::TCP, total)
        }),
        (IpAddr::V6(from), IpAddr::V6(to)) => frame.push_header(&Ipv6Header {
            traffic_class: field,
            ..Ipv6Header::new(from, to, protocol::TCP, total)
        }),
        _ => {}
    }
    frame
}

impl World {
    /// Adds a foe that is at these addresses, each beside its prey's, IPv4 first; answers its number.
    pub(crate) fn add_foe(&mut self, config: FoeConfig, addresses: [(IpAddr, IpAddr); 2], random: Random) -> usize {
        self.foes.push(Foe::new(config, addresses, random));
        self.foes.len() - 1
    }

    /// Foes say what they say unasked.
    pub(crate) fn foes_act(&mut self) {
        let now = self.now();
        for foe in 0..self.foes.len() {
            let at = |wire: &crate::world::Wire| {
                let here = |place: &Place| matches!(place, Place::Foe(number) if *number == foe);
                wire.ends.iter().position(here)
            };
            let mut wires = self.wires.iter().enumerate();
            let Some((wire, end)) = wires.find_map(|(number, wire)| Some((number, at(wire)?))) else {
                continue;
            };
            while let Some(frame) = self.foes[foe].act(now) {
                self.trace.arrival(now, "foe", Medium::Ip, &frame);
                self.wires[wire].lanes[end].send(now, frame);
            }
        }
    }

    /// A frame has come to a foe, which is at this end of this wire.
    pub(crate) fn foe_takes(&mut self, foe: usize, wire: usize, end: usize, frame: &Frame) {
        let now = self.now();
        for frame in self.foes[foe].take(frame) {
            self.trace.arrival(now, "foe", Medium::Ip, &frame);
            self.wires[wire].lanes[end].send(now, frame);
        }
    }
}
