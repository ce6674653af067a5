//! Segment arrival in every state of RFC 9293 (§3.10.7), with inputs that know what a segment is.
//!
//! An input names a state, the options of both ends, and then steps: segments whose fields are chosen relative to what the
//! connection expects (`rcv.nxt`, `snd.una`, `snd.nxt`, edges of windows and of SACK blocks, timestamps), calls of the
//! program, ICMP errors and jumps of the clock. After each step everything that the stack sent is checked by [`peer`], and
//! the connection's account of itself by [`World::check`]; at the end nothing may be left.

mod extended;
mod peer;
mod states;

use crate::target::Target;
use peer::{Habits, Peer, outward};
use prise_stack::{
    CongestionAlgorithm, ConnId, EcnPolicy, Event, Family, LinkConfig, LinkId, ListenConfig, ListenerId, Local,
    MemoryBudget, PendingId, Refusal, Stack, StackConfig, State, TcpConfig,
};
use prise_wire::time::Duration;
use prise_wire::{
    Frame, Icmpv4Header, Instant, Medium, Payload, SackBlock, SeqNum, TcpFlags, TcpHeader, Timestamps, protocol,
};

/// Every target by its name.
pub(crate) const TARGETS: &[Target] = &[("arrival", arrival)];

/// The octets of an input, zero for ever after their end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn octet(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A host with one link, one listener, and the peer.
struct World {
    stack: Stack,
    link: LinkId,
    now: Instant,
    peer: Peer,
    config: TcpConfig,
    connection: Option<ConnId>,
    listener: Option<ListenerId>,
    pending: Option<PendingId>,
    /// The input knows of Fast Open, Accurate ECN and sizes of paths: see [`extended`].
    extended: bool,
    /// Octets that the program wrote and read.
    written: u32,
    read: u32,
}

/// What an input says of both ends before its first step.
struct Choice {
    habits: Habits,
    config: TcpConfig,
    mtu: u32,
    gso_max: u32,
    transparent: bool,
    memory: MemoryBudget,
}

impl Choice {
    fn new(input: &mut Input<'_>, state: u8) -> Self {
        let (first, second, third) = (input.octet(), input.octet(), input.octet());
        let bit = |octet: u8, at: u8| octet & 1 << at != 0;
        Self {
            habits: Habits {
                v6: bit(first, 0),
                timestamps: bit(first, 1),
                sack: bit(first, 2),
                scale: bit(first, 3).then_some([0, 2, 7, 14][usize::from(first >> 6)]),
                ecn: bit(first, 4),
                mss: if bit(first, 5) { 1460 } else { 536 },
                // Some runs wrap soon.
                isn: SeqNum(if bit(second, 7) { 0xffff_fff0 } else { 7000 }),
                ace: None,
            },
            config: TcpConfig {
                nodelay: bit(second, 0),
                oob_inline: bit(second, 1),
                ecn: EcnPolicy::from_number(if bit(second, 3) { 3 } else { 2 }).unwrap_or_default(),
                receive_buffer: [None, None, Some(2304), Some(100_000)][usize::from(second >> 4 & 3)],
                send_buffer: bit(second, 6).then_some(4608),
                congestion: Some(
                    [
                        CongestionAlgorithm::Cubic,
                        CongestionAlgorithm::Bbr,
                        CongestionAlgorithm::NewReno,
                        CongestionAlgorithm::Cubic,
                    ][usize::from(third & 3)],
                ),
                user_timeout: bit(third, 2).then_some(Duration::from_secs(5)),
                defer_accept: 3 * u8::from(bit(third, 3) && bit(third, 4)),
                cork: bit(third, 5) && bit(third, 4),
                ..TcpConfig::default()
            },
            mtu: if bit(third, 6) { 1500 } else { 9000 },
            gso_max: if bit(third, 7) { 65_536 } else { 0 },
            transparent: states::is_intercepted(state),
            memory: MemoryBudget {
                syn_backlog: if states::is_by_cookie(state) { 0 } else { 4096 },
                ..if second & 0x30 == 0x10 {
                    SHORT
                } else {
                    MemoryBudget::default()
                }
            },
        }
    }

    /// Nothing special, for a peer with these habits.
    fn plain(habits: Habits) -> Self {
        Self {
            habits,
            config: TcpConfig::default(),
            mtu: 1500,
            gso_max: 0,
            transparent: false,
            memory: MemoryBudget::default(),
        }
    }
}

/// A budget that a connection can use up.
const SHORT: MemoryBudget = MemoryBudget {
    low: 5000,
    pressure: 10_000,
    high: 20_000,
    orphans: 1,
    syn_backlog: 4096,
};

impl World {
    fn new(choice: &Choice) -> Self {
        let mut stack = Stack::new(&StackConfig {
            memory: choice.memory,
            ..StackConfig::new([1, 2], [3; 32])
        });
        let config = LinkConfig {
            name: "tun0",
            medium: Medium::Ip,
            mac: None,
            mtu: choice.mtu,
            gso_max: choice.gso_max,
            checksum_offload: true,
            loopback: false,
            transparent: choice.transparent,
        };
        let link = stack.add_link(&config).expect("the first link");
        for address in ["10.0.2.2/24", "fd00:2::2/64"] {
            stack.add_address(Instant::ZERO, link, address.parse().expect("an address"));
        }
        let mut peer = Peer::new(choice.habits, states::LISTENING);
        peer.by_cookie = choice.memory.syn_backlog == 0;
        Self {
            stack,
            link,
            now: Instant::from_secs(100),
            peer,
            config: choice.config.clone(),
            connection: None,
            listener: None,
            pending: None,
            extended: false,
            written: 0,
            read: 0,
        }
    }

    fn listen(&mut self, backlog: u32) {
        let listen = ListenConfig {
            local: Local::wildcard(Family::Dual, states::LISTENING),
            backlog,
            reuse_port: false,
            config: self.config.clone(),
            token: 0,
        };
        self.listener = self.stack.tcp_listen(listen).ok();
    }

    fn receive(&mut self, frame: Frame) {
        self.stack.receive(self.now, self.link, [frame]);
        self.drain();
    }

    /// Sends a segment of the peer.
    fn segment(&mut self, header: &TcpHeader, len: u32) {
        let frame = self.peer.packet(header, len);
        self.receive(frame);
    }

    /// Takes what the stack has to send and to tell.
    fn drain(&mut self) {
        let mut frames = 0;
        while let Some(frame) = self.stack.transmit(self.now, self.link) {
            let lives = self
                .connection
                .is_some_and(|id| !matches!(self.stack.tcp_state(id), State::Closed | State::TimeWait));
            self.peer.take(&frame, lives);
            frames += 1;
            assert!(frames < 100_000, "it does not stop sending");
        }
        while let Some(event) = self.stack.event() {
            match event {
                Event::Intercepted { id, .. } => self.pending = Some(id),
                Event::Listener { .. } if self.connection.is_none() => self.accept(),
                _ => {}
            }
        }
    }

    fn accept(&mut self) {
        if self.connection.is_none() {
            self.connection = self.listener.and_then(|listener| self.stack.tcp_accept(listener, 1));
        }
    }

    /// The program writes `len` octets.
    fn write(&mut self, len: u32, more: bool, urgent: bool) {
        let Some(id) = self.connection else { return };
        let octets: Vec<u8> = (0..len).map(|at| outward(self.written + at)).collect();
        let mut payload = Payload::from(octets);
        if let Ok(taken) = self.stack.tcp_send(self.now, id, &mut payload, more, urgent) {
            self.written += taken as u32;
        }
        self.drain();
    }

    fn read(&mut self, max: usize) {
        let Some(id) = self.connection else { return };
        if let Ok(octets) = self.stack.tcp_receive(self.now, id, max) {
            self.peer.check_read(self.read, &octets);
            self.read += octets.len() as u32;
        }
        self.drain();
    }

    /// Lets time pass, stopping at each deadline as a driver would.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut rounds = 0;
        while let Some(deadline) = self.stack.next_deadline().filter(|&deadline| deadline <= until) {
            rounds = if deadline <= self.now { rounds + 1 } else { 0 };
            assert!(rounds < 100, "a deadline does not move on");
            self.now = self.now.max(deadline);
            self.stack.expire(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// What the connection says of itself must hold together.
    fn check(&self) {
        let Some(info) = self.connection.and_then(|id| self.stack.tcp_info(self.now, id)) else {
            return;
        };
        assert!(info.in_flight <= info.unacked, "{info:?}");
        assert!(info.sacked <= info.unacked, "{info:?}");
        assert!(info.cwnd > 0 && info.ssthresh > 0 && info.send_mss > 0, "{info:?}");
        assert!(info.unsent <= info.send_queue, "{info:?}");
        let held = self.stack.memory().used;
        assert!(
            held >= u64::from(info.send_queue - u32::from(info.fin_unsent && info.send_queue > 0)),
            "{held} octets held: {info:?}"
        );
        if let (Some(stack), false) = (self.peer.stack, self.peer.reborn) {
            let sent = stack.nxt.distance_from(stack.iss + 1);
            assert!(
                sent <= self.written + 1,
                "sent {sent} octets of {} written",
                self.written
            );
        }
    }

    /// Everybody goes away; whatever was played, nothing is to go on for ever.
    fn end(mut self) {
        if let Some(id) = self.pending.take() {
            self.stack.tcp_refuse(self.now, id, Refusal::Drop);
        }
        if let Some(id) = self.connection.take() {
            self.stack.tcp_abort(self.now, id);
        }
        if let Some(listener) = self.listener.take() {
            self.stack.tcp_unlisten(self.now, listener);
        }
        self.drain();
        self.pass(Duration::from_secs(86_400));
        let memory = self.stack.memory();
        assert_eq!((memory.used, memory.pressure), (0, false), "memory is left");
        assert_eq!(self.stack.next_deadline(), None, "something still waits after a day");
        let left: Vec<_> = self.stack.tcp_unowned().collect();
        assert_eq!(self.stack.tcp_records(), [0; 4], "records are left: {left:?}");
    }
}

/// Sizes that matter beside small ones.
fn size(octet: u8) -> u32 {
    [
        0, 1, 2, 3, 10, 100, 535, 536, 537, 1000, 1447, 1448, 1460, 2896, 10_000, 65_000,
    ][usize::from(octet & 15)]
}

/// A distance from where something is expected.
fn offset(octet: u8) -> i64 {
    let size = i64::from(size(octet));
    match octet >> 4 {
        0..=7 => 0,
        8..=9 => size,
        10..=11 => -size,
        12 => 1,
        13 => -1,
        14 => 1 << 31,
        _ => size * 0x1_0001,
    }
}

fn moved(value: SeqNum, by: i64) -> SeqNum {
    SeqNum((i64::from(value.0) + by) as u32)
}

/// One step of an input.
fn step(world: &mut World, input: &mut Input<'_>) {
    match input.octet() % 16 {
        0..=7 => arrive(world, input),
        8 => {
            // The peer does what it should.
            let header = world.peer.header(TcpFlags::NONE);
            world.segment(&header, 0);
        }
        9..=11 => call(world, input),
        12 => quote(world, input),
        13 => world.pass(Duration::from_millis(
            [1, 10, 40, 200, 1000, 5000, 60_000, 1][usize::from(input.octet() & 7)],
        )),
        14 => {
            if let Some(deadline) = world.stack.next_deadline() {
                let wait = deadline.saturating_since(world.now);
                world.pass(wait);
            }
        }
        _ => world.now += Duration::from_micros(u64::from(input.octet()) << 4),
    }
}

/// A segment whose fields are chosen around what both ends expect.
fn arrive(world: &mut World, input: &mut Input<'_>) {
    let (kind, flags) = (input.octet(), input.octet());
    let peer = &world.peer;
    let known = peer.stack;
    let mut header = peer.header(TcpFlags::from_bits(u16::from(flags & 0x2f) | u16::from(flags & 0xc0)));
    let base = match kind & 7 {
        0..=3 => known.and_then(|it| it.ack).unwrap_or(peer.nxt),
        4 => peer.nxt,
        5 => known.and_then(|it| it.edge).unwrap_or(peer.nxt),
        6 => peer.sent,
        _ => peer.habits.isn,
    };
    header.seq = moved(base, offset(input.octet()));
    if kind & 8 != 0 {
        header.ack = known.map(|it| moved(if kind & 16 != 0 { it.una } else { it.nxt }, offset(input.octet())));
    }
    if flags & 16 != 0 {
        header.ack = None;
    }
    if kind & 32 != 0 {
        let window = input.octet();
        header.window = if window & 0x80 != 0 {
            u16::from(window & 0x7f)
        } else {
            u16::from(window) << 9
        };
    }
    if kind & 64 != 0 {
        options(&mut header, world, input);
    }
    if header.flags.urg() {
        header.urgent = size(input.octet()) as u16;
    }
    let len = if kind & 128 != 0 { size(input.octet()) } else { 0 };
    world.peer.clock += 1;
    let in_order = header.seq == world.peer.nxt;
    if in_order {
        world.peer.nxt = header.seq + len + u32::from(header.flags.syn()) + u32::from(header.flags.fin());
    }
    world.segment(&header, len);
}

fn options(header: &mut TcpHeader, world: &mut World, input: &mut Input<'_>) {
    let which = input.octet();
    if which & 1 != 0 {
        header.options.timestamps = None;
    }
    if which & 2 != 0 {
        header.options.timestamps = Some(Timestamps {
            value: (i64::from(world.peer.clock) + offset(input.octet())) as u32,
            echo: (i64::from(world.peer.stack.map_or(0, |it| it.timestamp)) + offset(input.octet())) as u32,
        });
    }
    if world.extended {
        extended::options(header, world, which, input);
    }
    let Some(known) = world.peer.stack else { return };
    for _ in 0..(which >> 2 & 3) {
        let from = if which & 16 != 0 { known.una } else { known.nxt };
        let left = moved(from, offset(input.octet()));
        let right = moved(left, i64::from(size(input.octet())));
        header.options.sack.push(SackBlock { left, right });
    }
}

/// A call of the program.
fn call(world: &mut World, input: &mut Input<'_>) {
    let (call, what) = (input.octet(), input.octet());
    if call % 16 == 15 {
        world.accept();
        return world.drain();
    }
    let Some(id) = world.connection else { return };
    let now = world.now;
    match call % 16 {
        0..=3 => world.write(size(what), what & 16 != 0, what & 32 != 0),
        4..=5 => world.read(size(what) as usize),
        6 => world.stack.tcp_shutdown_write(now, id),
        7 => world.stack.tcp_shutdown_read(id),
        8 => world.stack.tcp_close(now, id),
        9 => world.stack.tcp_abort(now, id),
        10 => {
            let _ = world.stack.tcp_receive_urgent(id, what & 1 != 0);
        }
        11 => world.stack.tcp_pass_urgent(id),
        12 => world.stack.tcp_set_quick_ack(now, id, i32::from(what & 3).into()),
        13 => {
            let mut config = world.config.clone();
            config.nodelay = what & 1 != 0;
            config.cork = what & 2 != 0;
            config.receive_buffer = (what & 4 != 0).then(|| 1000 << (what >> 5));
            config.max_segment = (what & 8 != 0).then_some(300);
            config.keepalive = (what & 16 != 0).then(Default::default);
            config.congestion = Some([CongestionAlgorithm::Bbr, CongestionAlgorithm::NewReno][usize::from(what >> 7)]);
            world.stack.tcp_set_config(now, id, config);
        }
        _ if world.extended && what & 1 != 0 => extended::fast_open(world, size(what >> 1)),
        _ => {
            let _ = world.stack.tcp_take_error(id);
        }
    }
    if matches!(call % 16, 8 | 9) {
        world.connection = None;
        // Nobody checks what an orphan sends against a connection, but its octets are still the stream's.
    }
    world.drain();
}

/// An ICMP error about what the stack sent last.
fn quote(world: &mut World, input: &mut Input<'_>) {
    let (kind, rest) = (input.octet(), input.octet());
    if world.peer.last.is_empty() || world.peer.habits.v6 {
        return;
    }
    let mut quote = world.peer.last.clone();
    if kind & 0x80 != 0 {
        // Somebody who has to guess the number.
        quote[27] ^= rest;
    }
    let header = Icmpv4Header::Other {
        kind: 3,
        code: kind & 15,
        rest: [0, 68, 552, 576, 1000, 1024, 1400, 8999][usize::from(rest & 7)],
    };
    let frame = Frame::with_header(&header, Payload::from(quote).into());
    let frame = world.peer.wrap(frame, protocol::ICMPV4);
    world.receive(frame);
}

fn arrival(input: &[u8]) {
    let mut input = Input(input);
    let state = input.octet();
    let mut choice = Choice::new(&mut input, state);
    let is_extended = states::is_extended(state);
    if is_extended {
        extended::extend(&mut choice, &mut input);
    }
    let mut world = World::new(&choice);
    if is_extended {
        world.extended = true;
        world.stack.tcp_set_fast_open_settings(extended::settings());
    }
    states::build(&mut world, state);
    world.check();
    while !input.is_empty() {
        step(&mut world, &mut input);
        world.check();
    }
    world.end();
}
