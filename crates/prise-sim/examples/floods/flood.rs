//! A server under a flood, with legitimate connections beside it, in virtual time.
//!
//! The legitimate client and the attacker share the server's link. In each millisecond the link carries what 100 Mbit/s
//! allow of the legitimate connections, each way, and `rate` frames of the flood, in order of arrival. The server's programs
//! read and write as much as they can. Goodput is what both ends' programs got in the same virtual time with and without the
//! flood; the cost of a frame is what the process's CPU time grew by.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use prise_stack::TcpConfig;
use prise_stack::{
    ConnId, Event, Family, LinkConfig, LinkId, ListenConfig, ListenerId, Local, MemoryUse, Stack, StackConfig,
};
use prise_wire::{
    Body, Checksum, Frame, Instant, Ipv4Header, Ipv6Header, Layout, Medium, Payload, SeqNum, TcpFlags, TcpHeader,
    protocol,
};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Octets of the legitimate connections in a millisecond, each way: 100 Mbit/s.
const PER_TICK: usize = 12_500;
/// Legitimate connections, half of them uploads.
const LEGITIMATE: u16 = 4;

/// What floods the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    /// SYNs from spoofed sources.
    Syn,
    /// Guesses at the legitimate connections: RST, SYN, data, bare ACKs with any numbers.
    Blind,
    /// A peer acknowledges what was never sent, and repeats itself.
    Acks,
    /// Peers send octet by octet, each behind a hole.
    Tiny,
    /// Overlapping fragments, IPv4 and IPv6 by turns.
    Fragments,
    /// Peers that ask for data and open their windows by an octet at a time.
    OneOctetWindows,
    /// Peers that never read, and to whom nobody listens either.
    SlowReaders,
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind::Syn,
    Kind::Blind,
    Kind::Acks,
    Kind::Tiny,
    Kind::Fragments,
    Kind::OneOctetWindows,
    Kind::SlowReaders,
];

impl Kind {
    /// Connections that the attacker opens honestly first.
    fn peers(self) -> u32 {
        match self {
            Self::Acks => 10,
            Self::Tiny | Self::OneOctetWindows => 1000,
            Self::SlowReaders => 8000,
            _ => 0,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) frames: u64,
    /// Octets that the legitimate programs got.
    pub(crate) goodput: u64,
    /// Answers of the server to the attacker.
    pub(crate) answers: u64,
    pub(crate) cpu: Duration,
    pub(crate) heap_peak: usize,
    pub(crate) memory: MemoryUse,
}

/// A connection of the attacker's, as he sees it.
#[derive(Clone, Copy, Default)]
struct Hostile {
    nxt: u32,
    ack: u32,
    established: bool,
}

struct World {
    server: Stack,
    client: Stack,
    links: [LinkId; 2],
    listener: ListenerId,
    now: Instant,
    /// Frames under way to the server and to the client, with a millisecond of delay.
    wires: [Vec<Frame>; 2],
    uploads: Vec<ConnId>,
    downloads: Vec<ConnId>,
    served: Vec<(ConnId, bool)>,
    /// The attacker's connections at the server.
    victims: Vec<ConnId>,
    hostile: Vec<Hostile>,
    goodput: u64,
    answers: u64,
    random: u64,
}

fn stack(address: Ipv4Addr, number: u8) -> (Stack, LinkId) {
    let mut stack = Stack::new(&StackConfig::new([1, number.into()], [number; 32]));
    let config = LinkConfig {
        name: "t0",
        medium: Medium::Ip,
        mac: None,
        mtu: 1500,
        gso_max: 0,
        checksum_offload: true,
        loopback: false,
        transparent: false,
    };
    let link = stack.add_link(&config).expect("the first link");
    for cidr in [format!("{address}/8"), format!("fd00::{number}/64")] {
        stack.add_address(Instant::ZERO, link, cidr.parse().expect("an address"));
    }
    (stack, link)
}

impl World {
    fn new() -> Self {
        let (mut server, server_link) = stack(SERVER, 1);
        let (client, client_link) = stack(CLIENT, 2);
        let listener = server
            .tcp_listen(ListenConfig {
                local: Local::wildcard(Family::Dual, 80),
                backlog: 65_535,
                reuse_port: false,
                config: TcpConfig::default(),
                token: 0,
            })
            .expect("the port is free");
        Self {
            server,
            client,
            links: [server_link, client_link],
            listener,
            now: Instant::from_secs(100),
            wires: [Vec::new(), Vec::new()],
            uploads: Vec::new(),
            downloads: Vec::new(),
            served: Vec::new(),
            victims: Vec::new(),
            hostile: Vec::new(),
            goodput: 0,
            answers: 0,
            random: 1,
        }
    }

    fn random(&mut self) -> u32 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 32) as u32
    }

    fn open_legitimate(&mut self) {
        for at in 0..LEGITIMATE {
            let local = SocketAddr::new(IpAddr::V4(CLIENT), 40_000 + at);
            let remote = SocketAddr::new(IpAddr::V4(SERVER), 80);
            let id = self
                .client
                .tcp_connect(self.now, local, remote, None, &TcpConfig::default(), 0)
                .expect("the tuple is free");
            if at % 2 == 0 {
                &mut self.uploads
            } else {
                &mut self.downloads
            }
            .push(id);
        }
    }

    /// The programs of both ends do what they can.
    fn programs(&mut self) {
        let octets = Payload::from_static(&[7; 16_384]);
        for &id in &self.uploads {
            let _ = self.client.tcp_send(self.now, id, &mut octets.clone(), false, false);
        }
        for &id in &self.downloads {
            while let Ok(piece) = self.client.tcp_receive(self.now, id, 65_536) {
                if piece.is_empty() {
                    break;
                }
                self.goodput += piece.len() as u64;
            }
        }
        for &(id, upload) in &self.served {
            if !upload {
                let _ = self.server.tcp_send(self.now, id, &mut octets.clone(), false, false);
                continue;
            }
            while let Ok(piece) = self.server.tcp_receive(self.now, id, 65_536) {
                if piece.is_empty() {
                    break;
                }
                self.goodput += piece.len() as u64;
            }
        }
    }

    fn accept(&mut self, kind: Kind) {
        while let Some(id) = self.server.tcp_accept(self.listener, 1) {
            let Some((_, remote)) = self.server.tcp_endpoints(id) else {
                continue;
            };
            if remote.ip() == IpAddr::V4(CLIENT) {
                self.served.push((id, remote.port().is_multiple_of(2)));
                continue;
            }
            self.victims.push(id);
            if matches!(kind, Kind::OneOctetWindows | Kind::SlowReaders) {
                let mut octets = Payload::from(vec![7; 65_536]);
                let _ = self.server.tcp_send(self.now, id, &mut octets, false, false);
            }
        }
    }

    /// One millisecond: what is on the wires arrives, time passes, both ends send what the link carries.
    fn tick(&mut self, kind: Kind, flood: &mut dyn FnMut(&mut Self) -> Option<Frame>, rate: u64) -> u64 {
        self.now += Duration::from_millis(1);
        let [to_server, to_client] = [0, 1].map(|side: usize| core::mem::take(&mut self.wires[side]));
        let (now, links) = (self.now, self.links);
        self.client.receive(now, links[1], to_client);
        // The flood and the legitimate frames in turns.
        let mut legitimate = to_server.into_iter();
        let each = rate / (legitimate.len() as u64 + 1);
        let mut sent = 0;
        loop {
            let quota = if legitimate.len() == 0 { rate - sent } else { each };
            for _ in 0..quota {
                let Some(frame) = flood(self) else { break };
                sent += 1;
                self.server.receive(now, links[0], [frame]);
                self.flush_server(PER_TICK);
            }
            let Some(frame) = legitimate.next() else { break };
            self.server.receive(now, links[0], [frame]);
        }
        self.server.expire(now);
        self.client.expire(now);
        while self.server.event().is_some() {}
        while !matches!(self.client.event(), None | Some(Event::Released { .. })) {}
        self.accept(kind);
        self.programs();
        self.flush_server(PER_TICK);
        let mut octets = 0;
        while octets < PER_TICK
            && let Some(frame) = self.client.transmit(now, links[1])
        {
            octets += frame.total_len();
            self.wires[0].push(frame);
        }
        sent
    }

    /// What the server has to send: to the client as the link carries it, to the attacker at once.
    fn flush_server(&mut self, budget: usize) {
        let mut octets = self.wires[1].iter().map(Frame::total_len).sum::<usize>();
        while octets < budget
            && let Some(frame) = self.server.transmit(self.now, self.links[0])
        {
            let head = frame.head();
            if head[0] >> 4 == 4 && head[16..20] == CLIENT.octets() {
                octets += frame.total_len();
                self.wires[1].push(frame);
            } else {
                self.answers += 1;
                self.hear(&frame);
            }
        }
    }

    /// The attacker takes in what his connections are told.
    fn hear(&mut self, frame: &Frame) {
        let Some(layout) = Layout::of(Medium::Ip, frame.head()).filter(|layout| layout.protocol == protocol::TCP)
        else {
            return;
        };
        let octets = frame.head();
        if octets[0] >> 4 != 4 || octets[16] != 10 || octets[17] != 9 {
            return;
        }
        let index = usize::from(octets[18]) << 8 | usize::from(octets[19]);
        let (Some(hostile), Ok((header, _))) = (
            self.hostile.get_mut(index),
            TcpHeader::parse(&octets[layout.transport_at..]),
        ) else {
            return;
        };
        let end = header.seq + frame.body().len() as u32 + u32::from(header.flags.syn());
        if header.flags.syn() || SeqNum(hostile.ack).precedes(end) {
            hostile.ack = end.0;
        }
        hostile.established |= header.flags.syn();
    }

    /// Opens the attacker's connections, a hundred in a millisecond.
    fn open_hostile(&mut self, kind: Kind) {
        let count = kind.peers();
        self.hostile = vec![
            Hostile {
                nxt: 1000,
                ..Hostile::default()
            };
            count as usize
        ];
        for index in 0..count as usize {
            let syn = TcpHeader {
                seq: SeqNum(1000),
                flags: TcpFlags::SYN,
                window: if kind == Kind::SlowReaders { 1024 } else { 1 },
                ..TcpHeader::default()
            };
            let frame = hostile_segment(index, syn, 0);
            self.server.receive(self.now, self.links[0], [frame]);
            self.flush_server(usize::MAX);
            let hostile = &mut self.hostile[index];
            hostile.nxt += 1;
            let header = TcpHeader {
                seq: SeqNum(hostile.nxt),
                ack: Some(SeqNum(hostile.ack)),
                window: syn.window,
                ..TcpHeader::default()
            };
            let frame = hostile_segment(index, header, 0);
            self.server.receive(self.now, self.links[0], [frame]);
            if index % 100 == 99 {
                self.tick(kind, &mut |_| None, 0);
            }
        }
        self.tick(kind, &mut |_| None, 0);
    }
}

/// A segment of the attacker's connection of that index.
fn hostile_segment(index: usize, header: TcpHeader, len: usize) -> Frame {
    let source = Ipv4Addr::new(10, 9, (index >> 8) as u8, index as u8);
    tcp(
        source,
        TcpHeader {
            source_port: 999,
            ..header
        },
        len,
    )
}

fn tcp(source: Ipv4Addr, header: TcpHeader, len: usize) -> Frame {
    let header = TcpHeader {
        destination_port: 80,
        ..header
    };
    let body = if len == 0 {
        Body::new()
    } else {
        Payload::from(vec![9; len]).into()
    };
    ip(source, Frame::with_header(&header, body), protocol::TCP)
}

fn ip(source: Ipv4Addr, mut frame: Frame, protocol: u8) -> Frame {
    frame.offload.checksum = Checksum::Verified;
    let len = frame.total_len();
    frame.push_header(&Ipv4Header::new(source, SERVER, protocol, len));
    frame
}

/// The next frame of the flood.
fn forge(kind: Kind, world: &mut World, at: u64) -> Option<Frame> {
    let (one, two) = (world.random(), world.random());
    let peers = world.hostile.len();
    let index = at as usize % peers.max(1);
    Some(match kind {
        Kind::None => return None,
        Kind::Syn => {
            let mut header = TcpHeader {
                source_port: two as u16 | 1024,
                seq: SeqNum(one),
                flags: TcpFlags::SYN,
                window: 65_535,
                ..TcpHeader::default()
            };
            header.options.mss = Some(1460);
            tcp(Ipv4Addr::from_bits(0x0a80_0000 | one & 0x7f_ffff), header, 0)
        }
        Kind::Blind => {
            let flags = [TcpFlags::RST, TcpFlags::SYN, TcpFlags::PSH, TcpFlags::NONE][at as usize % 4];
            let header = TcpHeader {
                source_port: 40_000 + (at / 4 % u64::from(LEGITIMATE)) as u16,
                seq: SeqNum(one),
                ack: (flags != TcpFlags::SYN).then_some(SeqNum(two)),
                flags,
                window: 1,
                ..TcpHeader::default()
            };
            tcp(CLIENT, header, if flags == TcpFlags::PSH { 100 } else { 0 })
        }
        Kind::Acks => {
            let hostile = world.hostile[index];
            let unsent = if at.is_multiple_of(2) { 5000 } else { 0 };
            let header = TcpHeader {
                seq: SeqNum(hostile.nxt) - u32::from(at.is_multiple_of(3)),
                ack: Some(SeqNum(hostile.ack) + unsent),
                window: 1024,
                ..TcpHeader::default()
            };
            hostile_segment(index, header, 0)
        }
        Kind::Tiny => {
            let hostile = world.hostile[index];
            // Every second octet of the window, from far to near and again.
            let round = (at / peers as u64) as u32 % 30_000;
            let header = TcpHeader {
                seq: SeqNum(hostile.nxt) + 2 * (30_000 - round),
                ack: Some(SeqNum(hostile.ack)),
                window: 1024,
                ..TcpHeader::default()
            };
            hostile_segment(index, header, 1)
        }
        Kind::Fragments => fragment(at, one),
        Kind::OneOctetWindows | Kind::SlowReaders => {
            let hostile = &mut world.hostile[index];
            let data = if kind == Kind::SlowReaders { 1000 } else { 0 };
            let header = TcpHeader {
                seq: SeqNum(hostile.nxt),
                ack: Some(SeqNum(hostile.ack)),
                window: u16::from(kind == Kind::OneOctetWindows),
                ..TcpHeader::default()
            };
            hostile.nxt = hostile.nxt.wrapping_add(data);
            hostile_segment(index, header, data as usize)
        }
    })
}

/// Pairs of fragments that overlap by eight octets, of ever new datagrams.
fn fragment(at: u64, random: u32) -> Frame {
    let (number, second) = ((at / 2) as u16, at % 2 == 1);
    let body = Payload::from(vec![1; 400]);
    if (at / 2).is_multiple_of(2) {
        let mut header = Ipv4Header::new(
            Ipv4Addr::from_bits(0x0b00_0000 | random & 0xff),
            SERVER,
            protocol::UDP,
            400,
        );
        header.identification = number;
        header.more_fragments = true;
        header.fragment_offset = if second { 392 } else { 0 };
        header.dont_fragment = false;
        let mut frame = Frame::with_header(&header, body.into());
        frame.offload.checksum = Checksum::Verified;
        return frame;
    }
    let offset: u16 = if second { 392 } else { 0 };
    let mut octets = vec![protocol::UDP, 0];
    octets.extend_from_slice(&(offset | 1).to_be_bytes());
    octets.extend_from_slice(&u32::from(number).to_be_bytes());
    octets.extend_from_slice(&body);
    let source = format!("fd00::{:x}", random & 0xff).parse().expect("an address");
    let header = Ipv6Header::new(source, "fd00::1".parse().expect("an address"), 44, octets.len());
    let mut frame = Frame::with_header(&header, Payload::from(octets).into());
    frame.offload.checksum = Checksum::Verified;
    frame
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Runs `ticks` milliseconds with `rate` frames of the flood in each; `heap` tells the octets allocated now.
pub(crate) fn run(kind: Kind, ticks: u64, rate: u64, heap: &dyn Fn() -> usize) -> Outcome {
    let before = heap();
    let mut world = World::new();
    world.open_legitimate();
    for _ in 0..200 {
        world.tick(kind, &mut |_| None, 0);
    }
    world.open_hostile(kind);
    let (began, start) = (world.goodput, cpu());
    world.answers = 0;
    let (mut at, mut heap_peak) = (0, 0);
    for tick in 0..ticks {
        let mut flood = |world: &mut World| {
            at += 1;
            forge(kind, world, at - 1)
        };
        world.tick(kind, &mut flood, rate);
        if tick % 50 == 0 {
            heap_peak = heap_peak.max(heap().saturating_sub(before));
        }
    }
    Outcome {
        frames: at,
        goodput: world.goodput - began,
        answers: world.answers,
        cpu: cpu().saturating_sub(start),
        heap_peak,
        memory: world.server.memory(),
    }
}
