//! Two stacks on a wire of bare IP, time moved by hand.

mod opening;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use prise_wire::{Frame, Instant, Medium, Payload, TcpHeader, checksum};

use super::*;
use crate::fixture::{Eth, bare};
use crate::{Event, LinkConfig, Stack, StackConfig};

/// One direction of the wire.
#[derive(Default)]
struct Wire {
    free_at: Instant,
    queue: VecDeque<(Instant, Frame)>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) stacks: [Stack; 2],
    pub(crate) links: [LinkId; 2],
    wires: [Wire; 2],
    delay: Duration,
    /// Bits per second of the wire, 0 for no limit; its queue holds 100 ms.
    rate: u64,
    /// Of a thousand frames, so many are lost.
    pub(crate) loss: u32,
    duplicate: u32,
    reorder: u32,
    /// Of a thousand ECN-capable frames, so many get a congestion mark.
    mark: u32,
    random: Random,
    pub(crate) log: Vec<(usize, TcpHeader, usize)>,
    pub(crate) events: [Vec<Event>; 2],
    pub(crate) filter: Option<fn(usize, &TcpHeader, usize) -> bool>,
}

fn stack(seed: u8, addr: &str, mtu: u32, gso_max: u32) -> (Stack, LinkId) {
    let mut stack = Stack::new(&StackConfig::new([1, seed.into()], [seed; 32]));
    let link = stack
        .add_link(&LinkConfig {
            name: "t0",
            medium: Medium::Ip,
            mac: None,
            mtu,
            gso_max,
            checksum_offload: gso_max > 0,
            loopback: false,
            transparent: false,
        })
        .expect("a link");
    stack.add_address(Instant::ZERO, link, addr.parse().expect("an address"));
    (stack, link)
}

/// Sets CE in an IPv4 header and mends the checksum.
fn mark(header: &mut [u8]) {
    header[1] |= 3;
    header[10..12].fill(0);
    let sum = checksum::finish(checksum::sum(&header[..20]));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

impl World {
    pub(crate) fn new(seed: u8) -> Self {
        Self::with_links(seed, 1500, 0)
    }

    pub(crate) fn with_links(seed: u8, mtu: u32, gso_max: u32) -> Self {
        let (one, link_one) = stack(seed, "10.0.0.1/24", mtu, gso_max);
        let (two, link_two) = stack(seed ^ 0x80, "10.0.0.2/24", mtu, gso_max);
        Self {
            now: Instant::from_secs(1000),
            stacks: [one, two],
            links: [link_one, link_two],
            wires: [Wire::default(), Wire::default()],
            delay: Duration::from_millis(10),
            rate: 0,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            mark: 0,
            random: Random::new([seed.wrapping_add(1); 32]),
            log: Vec::new(),
            events: [Vec::new(), Vec::new()],
            filter: None,
        }
    }

    /// Moves frames and time until nothing happens before `limit`.
    pub(crate) fn run_until(&mut self, limit: Instant) {
        for _ in 0..2_000_000 {
            self.exchange();
            let arrival = self
                .wires
                .iter()
                .filter_map(|wire| wire.queue.front().map(|(at, _)| *at))
                .min();
            let deadline = self.stacks.iter().filter_map(Stack::next_deadline).min();
            let next = [arrival, deadline].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= limit) else {
                self.now = limit;
                return;
            };
            self.now = self.now.max(next);
            for side in 0..2 {
                while self.wires[side].queue.front().is_some_and(|(at, _)| *at <= self.now) {
                    let (_, frame) = self.wires[side].queue.pop_front().expect("looked");
                    let (now, link) = (self.now, self.links[1 - side]);
                    self.stacks[1 - side].receive(now, link, [frame]);
                }
                let now = self.now;
                self.stacks[side].expire(now);
            }
        }
        panic!("the world does not come to rest");
    }

    /// A frame from nowhere.
    pub(crate) fn deliver(&mut self, to: usize, frame: Frame) {
        let (now, link) = (self.now, self.links[to]);
        self.stacks[to].receive(now, link, [frame]);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn exchange(&mut self) {
        for side in 0..2 {
            while let Some(frame) = self.stacks[side].transmit(self.now, self.links[side]) {
                self.put(side, frame);
            }
            while let Some(event) = self.stacks[side].event() {
                self.events[side].push(event);
            }
        }
    }

    fn put(&mut self, side: usize, frame: Frame) {
        if frame.offload.gso.is_some() && (self.rate > 0 || self.loss > 0) {
            let cut: Vec<Frame> = frame.segments(Medium::Ip).collect();
            for segment in cut {
                self.put_one(side, segment);
            }
            return;
        }
        self.put_one(side, frame);
    }

    fn put_one(&mut self, side: usize, frame: Frame) {
        let transport_at = usize::from(frame.head()[0] & 0x0f) * 4;
        let (header, _) = TcpHeader::parse(&frame.head()[transport_at..]).expect("a TCP segment");
        let len = frame.body().len();
        self.log.push((side, header, len));
        if self.filter.is_some_and(|keep| !keep(side, &header, len)) {
            return;
        }
        if self.random.below(1000) < self.loss {
            return;
        }
        let mut frame = frame;
        if frame.head()[1] & 3 == 2 && self.random.below(1000) < self.mark {
            mark(frame.head_mut());
        }
        let copies = if self.random.below(1000) < self.duplicate { 2 } else { 1 };
        for _ in 0..copies {
            let mut at = self.now + self.delay;
            let serialization = (frame.total_len() as u64 * 8_000_000_000).checked_div(self.rate);
            if let Some(nanos) = serialization {
                let wire = &mut self.wires[side];
                let start = wire.free_at.max(self.now);
                if start.saturating_since(self.now) > Duration::from_millis(100) {
                    continue;
                }
                wire.free_at = start + Duration::from_nanos(nanos);
                at = wire.free_at + self.delay;
            }
            if self.random.below(1000) < self.reorder {
                at += Duration::from_micros(u64::from(self.random.below(20_000)));
            }
            let queue = &mut self.wires[side].queue;
            let place = queue.partition_point(|(known, _)| *known <= at);
            queue.insert(place, (at, frame.clone()));
        }
    }

    /// A connection from host 0 to host 1, established.
    pub(crate) fn connect(&mut self) -> (ConnId, ConnId) {
        let listener = self.listen(80);
        let client = self.open(40_000, 80);
        self.run_for(Duration::from_millis(30_000));
        let server = self.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
        assert_eq!(self.stacks[0].tcp_state(client), State::Established);
        assert_eq!(self.stacks[1].tcp_state(server), State::Established);
        (client, server)
    }

    pub(crate) fn listen(&mut self, port: u16) -> ListenerId {
        let local = crate::Local {
            addr: None,
            family: crate::Family::Dual,
            port,
            device: None,
        };
        let config = ListenConfig {
            local,
            backlog: 16,
            reuse_port: false,
            config: TcpConfig::default(),
            token: 5,
        };
        self.stacks[1].tcp_listen(config).expect("the port is free")
    }

    pub(crate) fn open(&mut self, from: u16, to: u16) -> ConnId {
        let local = SocketAddr::from(([10, 0, 0, 1], from));
        let remote = SocketAddr::from(([10, 0, 0, 2], to));
        let now = self.now;
        self.stacks[0]
            .tcp_connect(now, local, remote, None, &TcpConfig::default(), 7)
            .expect("the tuple is free")
    }

    /// Moves `len` octets each way and checks every one of them.
    pub(crate) fn transfer(&mut self, ids: [ConnId; 2], len: usize) {
        let pattern = |side: usize| -> Vec<u8> { (0..len).map(|i| (i * 31 + i / 251 + side * 7) as u8).collect() };
        let data = [pattern(0), pattern(1)];
        let mut sent = [0; 2];
        let mut got: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..400_000 {
            for side in 0..2 {
                let now = self.now;
                if sent[side] < len {
                    let end = (sent[side] + 30_000).min(len);
                    let mut payload = Payload::from(data[side][sent[side]..end].to_vec());
                    if let Ok(taken) = self.stacks[side].tcp_send(now, ids[side], &mut payload, false, false) {
                        sent[side] += taken;
                    }
                }
                while let Ok(piece) = self.stacks[side].tcp_receive(now, ids[side], 50_000) {
                    if piece.is_empty() {
                        break;
                    }
                    got[side].extend_from_slice(&piece);
                }
            }
            if got.iter().all(|got| got.len() >= len) {
                break;
            }
            self.run_for(Duration::from_millis(5));
        }
        assert!(got[0] == data[1], "host 0 got {} of {len} octets", got[0].len());
        assert!(got[1] == data[0], "host 1 got {} of {len} octets", got[1].len());
    }

    pub(crate) fn close_both(&mut self, ids: [ConnId; 2]) {
        let now = self.now;
        self.stacks[0].tcp_close(now, ids[0]);
        self.run_for(Duration::from_millis(2_000));
        let now = self.now;
        self.stacks[1].tcp_close(now, ids[1]);
        self.run_for(Duration::from_secs(600));
    }

    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.stacks[0].tcp_records(), [0, 0, 0, 0]);
        assert_eq!(self.stacks[1].tcp_records(), [0, 1, 0, 0]);
        for stack in &self.stacks {
            assert_eq!(
                stack.tcp.tuples.len() + stack.tcp.waiting.len() + stack.tcp.wheel.len(),
                0
            );
        }
    }
}

#[test]
fn no_more_waits_for_a_peer_that_is_near_than_for_linuxs_unless_somebody_says_so() {
    const NEAR_MAX: u32 = 2 << 20;
    let grown = |delay, tuning: Option<Tuning>| {
        let mut world = World::with_links(3, 1500, 60_000);
        world.delay = delay;
        let (client, server) = world.connect();
        let config = TcpConfig {
            tuning: tuning.map(Arc::new),
            ..TcpConfig::default()
        };
        world.stacks[0].tcp_set_config(world.now, client, config);
        for _ in 0..200 {
            let now = world.now;
            let mut octets = Payload::from(alloc::vec![1; 8 << 20]);
            // A full queue is what is wanted.
            let _ = world.stacks[0].tcp_send(now, client, &mut octets, false, false);
            world.run_for(delay / 2);
            while world.stacks[1]
                .tcp_receive(now, server, usize::MAX)
                .is_ok_and(|it| !it.is_empty())
            {}
        }
        world.stacks[0].tcp_info(world.now, client).map(|info| info.send_buffer)
    };
    let (near, far) = (Duration::from_micros(400), Duration::from_micros(600));
    assert_eq!(grown(near, None), Some(NEAR_MAX));
    assert!(grown(far, None) > Some(NEAR_MAX), "it may be the path's");
    let send_max = 2 * NEAR_MAX;
    let tuning = Tuning {
        send_max,
        ..Tuning::DEFAULT
    };
    assert_eq!(grown(near, Some(tuning)), Some(send_max));
}

#[test]
fn a_handshake_a_transfer_and_a_close_leave_nothing_behind() {
    let mut world = World::new(1);
    let (client, server) = world.connect();
    world.transfer([client, server], 300_000);
    let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
    assert_eq!(info.total_retransmissions, 0, "{info:#?}");
    assert_eq!(info.srtt.as_millis(), 20);
    world.close_both([client, server]);
    world.assert_empty();
}

#[test]
fn large_units_cross_a_link_that_splits_them() {
    let mut world = World::with_links(2, 1500, 65_535);
    let (client, server) = world.connect();
    world.transfer([client, server], 3_000_000);
    // A far peer gets a millisecond's worth at a time.
    assert!(world.log.iter().any(|(_, _, len)| *len > 10_000));
    world.close_both([client, server]);
    world.assert_empty();
}

#[test]
fn streams_survive_loss_duplication_and_reordering() {
    for seed in 0..40 {
        let mut world = World::with_links(seed, 1500, if seed % 2 == 0 { 0 } else { 65_535 });
        world.loss = 50;
        world.duplicate = 20;
        world.reorder = 30;
        let (client, server) = world.connect();
        world.transfer([client, server], 200_000);
        world.close_both([client, server]);
        world.assert_empty();
    }
}

#[test]
fn a_syn_to_a_closed_port_is_refused() {
    let mut world = World::new(3);
    let client = world.open(40_000, 81);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[0].tcp_take_error(client), Some(TcpError::Refused));
}

#[test]
fn a_syn_into_silence_times_out_after_its_retries() {
    let mut world = World::new(4);
    world.filter = Some(|_, _, _| false);
    let client = world.open(40_000, 81);
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.stacks[0].tcp_take_error(client), Some(TcpError::TimedOut));
    assert_eq!(world.log.len(), 7);
}

#[test]
fn both_sides_may_open_at_once() {
    let mut world = World::new(5);
    let one = world.open(40_000, 50_000);
    let now = world.now;
    let (local, remote) = (
        SocketAddr::from(([10, 0, 0, 2], 50_000)),
        SocketAddr::from(([10, 0, 0, 1], 40_000)),
    );
    let two = world.stacks[1]
        .tcp_connect(now, local, remote, None, &TcpConfig::default(), 8)
        .expect("free");
    world.run_for(Duration::from_secs(10));
    world.transfer([one, two], 10_000);
}

#[test]
fn both_sides_may_close_at_once() {
    let mut world = World::new(6);
    let (client, server) = world.connect();
    let now = world.now;
    world.stacks[0].tcp_close(now, client);
    world.stacks[1].tcp_close(now, server);
    world.run_for(Duration::from_secs(100));
    world.assert_empty();
}

#[test]
fn a_half_closed_connection_still_carries_the_other_direction() {
    let mut world = World::new(7);
    let (client, server) = world.connect();
    let now = world.now;
    world.stacks[0].tcp_shutdown_write(now, client);
    world.run_for(Duration::from_secs(1));
    assert!(world.stacks[1].tcp_at_end(server));
    let mut payload = Payload::from(alloc::vec![7_u8; 5000]);
    let now = world.now;
    assert_eq!(
        world.stacks[1].tcp_send(now, server, &mut payload, false, false),
        Ok(5000)
    );
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[0].tcp_readable(client), 5000);
}

#[test]
fn closing_with_unread_data_resets() {
    let mut world = World::new(8);
    let (client, server) = world.connect();
    let now = world.now;
    let mut payload = Payload::from(alloc::vec![7_u8; 5000]);
    assert_eq!(
        world.stacks[0].tcp_send(now, client, &mut payload, false, false),
        Ok(5000)
    );
    world.run_for(Duration::from_secs(1));
    let now = world.now;
    world.stacks[1].tcp_close(now, server);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[0].tcp_take_error(client), Some(TcpError::Reset));
}

#[test]
fn a_closed_window_is_probed_until_it_opens() {
    let mut world = World::new(9);
    let (client, server) = world.connect();
    let mut sent = 0;
    for _ in 0..200 {
        let now = world.now;
        let mut payload = Payload::from(alloc::vec![1_u8; 20_000]);
        sent += world.stacks[0]
            .tcp_send(now, client, &mut payload, false, false)
            .unwrap_or(0);
        world.run_for(Duration::from_millis(50));
    }
    let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
    assert!(info.send_window < info.send_mss && info.in_flight == 0, "{info:#?}");
    world.run_for(Duration::from_secs(300));
    assert_eq!(world.stacks[0].tcp_state(client), State::Established);
    let mut got = 0;
    for _ in 0..2000 {
        let now = world.now;
        if let Ok(piece) = world.stacks[1].tcp_receive(now, server, 1 << 20) {
            got += piece.len();
        }
        world.run_for(Duration::from_millis(50));
    }
    assert_eq!(got, sent);
}

#[test]
fn small_writes_are_gathered_while_one_is_unacknowledged() {
    let mut world = World::new(10);
    let (client, _) = world.connect();
    let before = world.log.len();
    for _ in 0..50 {
        let now = world.now;
        let mut payload = Payload::from(alloc::vec![1_u8; 10]);
        assert_eq!(
            world.stacks[0].tcp_send(now, client, &mut payload, false, false),
            Ok(10)
        );
        world.run_for(Duration::from_micros(100));
    }
    world.run_for(Duration::from_secs(1));
    let sizes: Vec<usize> = world.log[before..]
        .iter()
        .filter(|(_, _, len)| *len > 0)
        .map(|(_, _, len)| *len)
        .collect();
    assert_eq!(sizes, [10, 490]);
}

#[test]
fn keepalive_drops_a_dead_peer() {
    let mut world = World::new(11);
    let (client, _) = world.connect();
    let keepalive = Keepalive {
        idle: Duration::from_secs(10),
        interval: Duration::from_secs(2),
        probes: 3,
    };
    let now = world.now;
    let config = TcpConfig {
        keepalive: Some(keepalive),
        ..TcpConfig::default()
    };
    world.stacks[0].tcp_set_config(now, client, config);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.stacks[0].tcp_state(client), State::Established);
    world.filter = Some(|_, _, _| false);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.stacks[0].tcp_take_error(client), Some(TcpError::TimedOut));
}

#[test]
fn the_urgent_octet_is_read_out_of_band() {
    let mut world = World::new(12);
    let (client, server) = world.connect();
    let now = world.now;
    let mut payload = Payload::from(b"abc".to_vec());
    assert_eq!(world.stacks[0].tcp_send(now, client, &mut payload, false, true), Ok(3));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[1].tcp_urgent_mark(server), Some(2));
    assert_eq!(world.stacks[1].tcp_receive_urgent(server, false), Ok(b'c'));
    let now = world.now;
    assert_eq!(world.stacks[1].tcp_receive(now, server, 10).as_deref(), Ok(&b"ab"[..]));
}

#[test]
fn connections_that_others_carry_count_against_the_backlog() {
    let mut world = World::new(13);
    let listener = world.listen(80);
    world.stacks[1].tcp_set_backlog(listener, 3);
    world.stacks[1].tcp_set_backlog_taken(listener, 3);
    for i in 0..3 {
        world.open(41_000 + i, 80);
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[1].tcp_backlog(listener), Some((1, 3)));
    world.stacks[1].tcp_set_backlog_taken(listener, 0);
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.stacks[1].tcp_backlog(listener), Some((3, 3)));
}

#[test]
fn a_full_accept_queue_holds_new_connections_back_until_there_is_room() {
    let mut world = World::new(13);
    let listener = world.listen(80);
    world.stacks[1].tcp_set_backlog(listener, 1);
    let clients: Vec<ConnId> = (0..6).map(|i| world.open(41_000 + i, 80)).collect();
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[1].tcp_backlog(listener), Some((2, 1)));
    let mut accepted = 0;
    for _ in 0..40 {
        while world.stacks[1].tcp_accept(listener, 1).is_some() {
            accepted += 1;
        }
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(accepted, 6);
    assert!(
        clients
            .iter()
            .all(|&id| world.stacks[0].tcp_state(id) == State::Established)
    );
}

#[test]
fn a_tail_loss_is_repaired_by_a_probe_before_the_timeout() {
    let mut world = World::new(14);
    let (client, server) = world.connect();
    world.transfer([client, server], 50_000);
    world.run_for(Duration::from_secs(1));
    world.loss = 1000;
    let now = world.now;
    let mut payload = Payload::from(alloc::vec![1_u8; 1000]);
    assert_eq!(
        world.stacks[0].tcp_send(now, client, &mut payload, false, false),
        Ok(1000)
    );
    world.exchange();
    world.loss = 0;
    let start = world.now;
    while world.stacks[1].tcp_readable(server) == 0 {
        world.run_for(Duration::from_millis(1));
        assert!(world.now.saturating_since(start) < Duration::from_secs(2));
    }
    let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
    assert_eq!(info.loss_state, LossState::Open);
}

#[test]
fn a_connection_record_stays_small() {
    assert!(size_of::<Connection>() <= 512, "{}", size_of::<Connection>());
    assert!(size_of::<HalfOpen>() <= 76, "{}", size_of::<HalfOpen>());
}

#[test]
fn a_congestion_mark_is_echoed_until_the_sender_reduces_and_says_so() {
    let mut world = World::new(15);
    let listener = world.listen(80);
    let (local, remote) = (
        SocketAddr::from(([10, 0, 0, 1], 40_000)),
        SocketAddr::from(([10, 0, 0, 2], 80)),
    );
    let config = TcpConfig {
        ecn: EcnPolicy::from_number(1).expect("a policy"),
        ..TcpConfig::default()
    };
    let now = world.now;
    let client = world.stacks[0]
        .tcp_connect(now, local, remote, None, &config, 7)
        .expect("free");
    world.run_for(Duration::from_secs(1));
    let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection");
    assert!(world.stacks[0].tcp_info(world.now, client).is_some_and(|info| info.ecn));
    assert!(world.stacks[1].tcp_info(world.now, server).is_some_and(|info| info.ecn));
    world.mark = 20;
    world.transfer([client, server], 400_000);
    let echoes = world
        .log
        .iter()
        .filter(|(side, header, _)| *side == 1 && header.flags.ece())
        .count();
    let reductions = world
        .log
        .iter()
        .filter(|(side, header, _)| *side == 0 && header.flags.cwr())
        .count();
    assert!(echoes > 2 && reductions > 2, "{echoes} echoes, {reductions} reductions");
    let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
    assert_eq!(info.total_retransmissions, 0);
    assert!(info.ssthresh < u32::MAX);
}

#[test]
fn a_timeout_that_a_sudden_delay_caused_is_undone() {
    let mut world = World::new(16);
    let (client, server) = world.connect();
    world.transfer([client, server], 60_000);
    let before = world.stacks[0].tcp_info(world.now, client).expect("it lives").cwnd;
    world.delay = Duration::from_millis(400);
    world.transfer([client, server], 200_000);
    let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
    assert!(info.total_retransmissions > 0, "the delay looked like a loss");
    assert!(info.cwnd >= before, "{} < {before}", info.cwnd);
}

fn shift_told(world: &World, side: usize) -> Vec<Option<u8>> {
    let syns = world
        .log
        .iter()
        .filter(|(by, header, _)| *by == side && header.flags.syn());
    syns.map(|(_, header, _)| header.options.window_scale).collect()
}

#[test]
fn what_is_never_offered_needs_no_window_shift() {
    for (clamp, shift) in [(None, 10), (Some(60_000), 0), (Some(100_000), 1)] {
        let mut world = World::new(18);
        world.listen(80);
        let config = TcpConfig {
            window_clamp: clamp,
            ..TcpConfig::default()
        };
        let local = SocketAddr::from(([10, 0, 0, 1], 40_000));
        let remote = SocketAddr::from(([10, 0, 0, 2], 80));
        let now = world.now;
        let client = world.stacks[0].tcp_connect(now, local, remote, None, &config, 7);
        world.run_for(Duration::from_secs(1));
        assert_eq!(shift_told(&world, 0), [Some(shift)]);
        let info = world.stacks[0].tcp_info(world.now, client.expect("the tuple is free"));
        assert_eq!(info.and_then(|info| info.receive_scale), Some(shift));
    }
}

/// The program sets `TCP_WINDOW_CLAMP` or `SO_RCVBUF` of a listener while somebody's handshake is under way.
#[test]
fn a_connection_uses_the_window_shift_that_its_syn_ack_told() {
    let clamped = TcpConfig {
        window_clamp: Some(60_000),
        ..TcpConfig::default()
    };
    let small = TcpConfig {
        receive_buffer: Some(50_000),
        ..TcpConfig::default()
    };
    for config in [clamped, small] {
        let mut world = World::new(19);
        let listener = world.listen(80);
        // The handshake's last segment is lost.
        world.filter = Some(|side, header, _| side == 1 || header.flags.syn());
        let client = world.open(40_000, 80);
        world.run_for(Duration::from_millis(100));
        world.stacks[1].tcp_set_listener_config(listener, config);
        world.run_for(Duration::from_millis(1500));
        world.filter = None;
        world.run_for(Duration::from_secs(5));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection");
        let told = shift_told(&world, 1);
        assert!(told.len() > 1 && told.iter().all(|told| *told == Some(10)), "{told:?}");
        let info = world.stacks[1].tcp_info(world.now, server).expect("it lives");
        assert_eq!(info.receive_scale, Some(10));
        world.transfer([client, server], 200_000);
    }
}

#[test]
fn the_other_end_is_not_told_while_urgent_data_are_under_way() {
    let mut node = bare(20, Eth::default());
    let now = Instant::from_secs(1000);
    let local = crate::Local {
        addr: None,
        family: crate::Family::Dual,
        port: 80,
        device: None,
    };
    let listener = node.stack.tcp_listen(ListenConfig {
        local,
        backlog: 16,
        reuse_port: false,
        config: TcpConfig::default(),
        token: 5,
    });
    let (from, to) = (
        SocketAddr::from(([127, 0, 0, 1], 40_000)),
        SocketAddr::from(([127, 0, 0, 1], 80)),
    );
    let client = node
        .stack
        .tcp_connect(now, from, to, None, &TcpConfig::default(), 7)
        .expect("the tuple is free");
    node.pump_lo(now);
    let listener = listener.expect("the port is free");
    let server = node.stack.tcp_accept(listener, 9).expect("a connection to accept");
    assert_eq!(node.stack.tcp_other_end(client), Some((9, 0)));
    let mut octet = Payload::copy_from(b"!");
    assert_eq!(node.stack.tcp_send(now, client, &mut octet, false, true), Ok(1));
    assert_eq!(node.stack.tcp_other_end(client), None, "it has not left yet");
    node.pump_lo(now);
    assert_eq!(node.stack.tcp_other_end(client), None, "it has arrived");
    assert!(node.stack.tcp_other_end(server).is_some(), "the other way it is not");
}

/// Each acknowledgment reports a duplicate there, and few of them are of what was sent twice.
#[test]
fn round_trips_are_measured_on_a_path_that_doubles_every_packet() {
    let mut world = World::new(17);
    let (client, server) = world.connect();
    world.duplicate = 1000;
    for write in 0..110 {
        if write == 10 {
            world.delay = Duration::from_millis(400);
        }
        let now = world.now;
        let mut payload = Payload::from(alloc::vec![1; 1000]);
        assert_eq!(
            world.stacks[0].tcp_send(now, client, &mut payload, false, false),
            Ok(1000)
        );
        world.run_for(Duration::from_millis(1500));
        let now = world.now;
        assert!(world.stacks[1].tcp_receive(now, server, 2000).is_ok());
    }
    let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
    assert!(
        (800..900).contains(&info.srtt.as_millis()) && info.backoff == 0,
        "{:?}, back-off {}",
        info.srtt,
        info.backoff
    );
}

// rfc: 4987 §3.6
#[test]
fn a_flood_of_syns_is_answered_by_cookies_and_a_real_client_still_connects() {
    let mut world = World::new(17);
    let listener = world.listen(80);
    world.stacks[1].tcp_set_backlog(listener, 100);
    // 10,000 SYNs from addresses that never answer.
    for number in 0..10_000_u32 {
        let header = TcpHeader {
            source_port: 1024 + (number % 50_000) as u16,
            destination_port: 80,
            seq: prise_wire::SeqNum(number),
            flags: prise_wire::TcpFlags::SYN,
            window: 1000,
            ..TcpHeader::default()
        };
        let src = core::net::Ipv4Addr::new(10, 0, 0, 100 + (number % 100) as u8);
        let dst = core::net::Ipv4Addr::new(10, 0, 0, 2);
        let mut frame = Frame::with_header(&header, prise_wire::Body::new());
        frame.push_header(&prise_wire::Ipv4Header::new(src, dst, 6, 20));
        frame.offload.checksum = prise_wire::Checksum::Verified;
        let (now, link) = (world.now, world.links[1]);
        world.stacks[1].receive(now, link, [frame]);
    }
    assert!(world.stacks[1].discards().get(Discard::TcpSynCookie) > 5000);
    while world.stacks[1].transmit(world.now, world.links[1]).is_some() {}
    let client = world.open(40_000, 80);
    world.run_for(Duration::from_secs(1));
    let server = world.stacks[1]
        .tcp_accept(listener, 9)
        .expect("a connection from a cookie");
    let info = world.stacks[1].tcp_info(world.now, server).expect("it lives");
    assert!(info.sack && info.timestamps && info.send_scale == Some(10), "{info:#?}");
    world.transfer([client, server], 100_000);
}

fn goodput(algorithm: CongestionAlgorithm, loss: u32, rate: u64, seconds: u64) -> f64 {
    let mut world = World::with_links(18, 1500, 65_535);
    world.delay = Duration::from_millis(25);
    let listener = world.listen(80);
    let (local, remote) = (
        SocketAddr::from(([10, 0, 0, 1], 40_000)),
        SocketAddr::from(([10, 0, 0, 2], 80)),
    );
    let config = TcpConfig {
        congestion: Some(algorithm),
        ..TcpConfig::default()
    };
    let now = world.now;
    let client = world.stacks[0]
        .tcp_connect(now, local, remote, None, &config, 7)
        .expect("free");
    world.run_for(Duration::from_secs(1));
    let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection");
    world.loss = loss;
    world.rate = rate;
    let start = world.now;
    let mut got = 0_u64;
    let chunk = Payload::from(alloc::vec![0_u8; 1 << 20]);
    while world.now.saturating_since(start) < Duration::from_secs(seconds) {
        let now = world.now;
        let mut payload = chunk.clone();
        let _ = world.stacks[0].tcp_send(now, client, &mut payload, false, false);
        while let Ok(piece) = world.stacks[1].tcp_receive(now, server, 1 << 20) {
            got += piece.len() as u64;
        }
        world.run_for(Duration::from_millis(2));
    }
    got as f64 * 8.0 / 1e6 / seconds as f64
}

#[test]
fn bbr_fills_a_lossy_path_that_cubic_cannot() {
    let clean = goodput(CongestionAlgorithm::Bbr, 0, 100_000_000, 5);
    let lossy = goodput(CongestionAlgorithm::Bbr, 20, 100_000_000, 5);
    let cubic = goodput(CongestionAlgorithm::Cubic, 20, 100_000_000, 5);
    assert!(
        clean > 80.0 && lossy > 75.0 && cubic < lossy,
        "clean {clean:.1}, lossy {lossy:.1}, cubic {cubic:.1} Mbit/s"
    );
}

#[test]
fn congestion_control_is_the_programs_choice_else_the_links_else_the_hosts() {
    let mut world = World::new(77);
    let running = |world: &mut World, port: u16, choice: Option<CongestionAlgorithm>| {
        let config = TcpConfig {
            congestion: choice,
            ..TcpConfig::default()
        };
        let (local, remote) = (
            SocketAddr::from(([10, 0, 0, 1], port)),
            SocketAddr::from(([10, 0, 0, 2], 80)),
        );
        let now = world.now;
        let id = world.stacks[0]
            .tcp_connect(now, local, remote, None, &config, 0)
            .expect("the tuple is free");
        world.stacks[0].tcp_info(now, id).expect("it lives").congestion
    };
    assert_eq!(running(&mut world, 1001, None), CongestionAlgorithm::Cubic);
    world.stacks[0].set_congestion(CongestionAlgorithm::NewReno);
    assert_eq!(running(&mut world, 1002, None), CongestionAlgorithm::NewReno);
    let link = world.links[0];
    world.stacks[0].set_link_congestion(link, Some(CongestionAlgorithm::Bbr));
    assert_eq!(running(&mut world, 1003, None), CongestionAlgorithm::Bbr);
    let cubic = Some(CongestionAlgorithm::Cubic);
    assert_eq!(running(&mut world, 1004, cubic), CongestionAlgorithm::Cubic);
}

#[test]
fn a_program_that_waits_for_little_unsent_is_woken_as_soon_as_the_rest_has_left() {
    let mut world = World::new(7);
    let (client, _) = world.connect();
    let config = TcpConfig {
        unsent_low_water: Some(10_000),
        ..TcpConfig::default()
    };
    let now = world.now;
    world.stacks[0].tcp_set_config(now, client, config);
    let mut data = Payload::from(alloc::vec![7; 100_000]);
    let taken = world.stacks[0]
        .tcp_send(now, client, &mut data, false, false)
        .expect("room");
    assert!(
        taken > 14_480 && taken < 100_000,
        "the window, and so much beyond it: {taken}"
    );
    // The acknowledgment of the first window has come, and the rest has left; nothing has acknowledged that.
    world.events[0].clear();
    world.run_for(Duration::from_millis(30));
    let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
    assert_eq!(info.unsent, 0);
    let woken = |event: &Event| matches!(event, Event::Tcp { ready, .. } if ready.contains(Ready::WRITABLE));
    assert!(world.events[0].iter().any(woken), "{:?}", world.events[0]);
}

#[test]
fn the_clock_of_timestamps_counts_milliseconds() {
    let mut world = World::new(8);
    let (client, _) = world.connect();
    let mut said = Vec::new();
    for _ in 0..3 {
        let already = world.log.len();
        let now = world.now;
        let mut data = Payload::from(alloc::vec![7; 10]);
        assert_eq!(world.stacks[0].tcp_send(now, client, &mut data, false, false), Ok(10));
        world.run_for(Duration::from_millis(3000));
        let sent = world.log[already..]
            .iter()
            .find(|(side, _, len)| *side == 0 && *len > 0);
        let timestamps = sent.expect("it was sent").1.options.timestamps;
        said.push(timestamps.expect("both have them").value);
    }
    let passed: Vec<u32> = said.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(passed, [3000, 3000]);
}
