//! A peer, or somebody between, who sends any segment at any time: nothing may panic, hang or be left behind.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use prise_wire::{
    Body, Checksum, Frame, Gso, GsoKind, Ipv4Header, Payload, SackBlock, SeqNum, TcpFlags, TcpHeader, Timestamps,
    protocol,
};

use super::tests::World;
use super::{ConnId, TcpConfig};
use crate::random::Random;

/// A segment near what the connection expects, or far from it.
fn forge(world: &mut World, random: &mut Random, to: usize, ports: (u16, u16)) {
    let known = world
        .log
        .iter()
        .rev()
        .find(|(side, ..)| *side != to)
        .map(|(_, header, len)| (*header, *len));
    let (base, base_len) = known.unwrap_or_default();
    let near = |random: &mut Random, value: SeqNum| match random.below(6) {
        0 => SeqNum(random.next_u32()),
        1 => value + random.below(100_000),
        2 => value - random.below(100_000),
        3 => value + random.below(4),
        _ => value,
    };
    let flags = match random.below(4) {
        0 => TcpFlags::from_bits(random.next_u32() as u16 & 0x1ff),
        1 => TcpFlags::FIN,
        2 => TcpFlags::RST,
        _ => TcpFlags::PSH,
    };
    let mut header = TcpHeader {
        source_port: ports.0,
        destination_port: ports.1,
        seq: near(random, base.seq + base_len as u32),
        ack: None,
        flags: if random.below(20) == 0 {
            flags
        } else {
            flags.without(TcpFlags::RST)
        },
        window: random.next_u32() as u16 >> random.below(16),
        urgent: random.below(2000) as u16,
        ..TcpHeader::default()
    };
    if random.below(8) != 0 {
        let ack = base.ack.unwrap_or_default();
        header.ack = Some(near(random, ack));
        for _ in 0..random.below(4) {
            let left = near(random, ack);
            let right = left + random.below(5000);
            header.options.sack.push(SackBlock { left, right });
        }
    }
    if let Some(seen) = base.options.timestamps
        && random.below(10) != 0
    {
        let value = seen.value.wrapping_add(random.below(50));
        header.options.timestamps = Some(Timestamps { value, echo: seen.echo });
    }
    let len = if random.below(3) == 0 {
        random.below(3000) as usize
    } else {
        0
    };
    let mut body = Body::new();
    if len > 0 {
        body.push_back(Payload::from(alloc::vec![0x55; len]));
    }
    let host = |side: usize| Ipv4Addr::new(10, 0, 0, 1 + side as u8);
    let mut frame = Frame::with_header(&header, body);
    let total = frame.total_len();
    frame.push_header(&Ipv4Header::new(host(1 - to), host(to), protocol::TCP, total));
    frame.offload.checksum = Checksum::Verified;
    if random.below(4) == 0 {
        frame.offload.gso = Some(Gso {
            kind: GsoKind::Tcp4,
            size: (random.below(3) * random.below(1000)) as u16,
        });
    }
    world.deliver(to, frame);
}

fn torment(seed: u64) {
    let mut random = Random::new([(seed ^ seed >> 8) as u8; 32]);
    for _ in 0..seed % 97 {
        random.next_u32();
    }
    let gso = if seed.is_multiple_of(3) { 65_535 } else { 0 };
    let mut world = World::with_links(seed as u8, 1500, gso);
    let listener = world.listen(80);
    let client = world.open(40_000, 80);
    let mut held: [Vec<ConnId>; 2] = [alloc::vec![client], Vec::new()];
    for _ in 0..300 {
        let now = world.now;
        for (side, held) in held.iter_mut().enumerate() {
            if random.below(3) == 0 {
                let ports = if side == 0 { (80, 40_000) } else { (40_000, 80) };
                forge(&mut world, &mut random, side, ports);
            }
            if let Some(&id) = held.first() {
                act(&mut world, &mut random, side, id, held);
            }
        }
        if let Some(id) = world.stacks[1].tcp_accept(listener, 1) {
            held[1].push(id);
        }
        world.run_until(now + Duration::from_micros(u64::from(random.below(30_000))));
    }
    let now = world.now;
    for (side, ids) in held.iter().enumerate() {
        for &id in ids {
            world.stacks[side].tcp_abort(now, id);
        }
    }
    world.stacks[1].tcp_unlisten(now, listener);
    world.run_for(Duration::from_secs(2000));
    for stack in &world.stacks {
        assert_eq!(stack.tcp_records(), [0; 4], "seed {seed}");
        assert_eq!(
            stack.tcp.tuples.len() + stack.tcp.waiting.len() + stack.tcp.wheel.len(),
            0,
            "seed {seed}"
        );
    }
}

fn act(world: &mut World, random: &mut Random, side: usize, id: ConnId, held: &mut Vec<ConnId>) {
    let now = world.now;
    let stack = &mut world.stacks[side];
    match random.below(40) {
        0..=9 => {
            let mut data = Payload::from(alloc::vec![7; 1 + random.below(20_000) as usize]);
            let _ = stack.tcp_send(now, id, &mut data, random.below(8) == 0, random.below(30) == 0);
        }
        10..=19 => {
            let _ = stack.tcp_receive(now, id, random.below(10_000) as usize);
        }
        20 => {
            let config = TcpConfig {
                nodelay: random.below(2) == 0,
                cork: random.below(4) == 0,
                oob_inline: random.below(2) == 0,
                receive_buffer: (random.below(3) == 0).then(|| 2000 + random.below(100_000)),
                user_timeout: (random.below(4) == 0).then_some(Duration::from_secs(1)),
                max_segment: (random.below(4) == 0).then(|| random.below(2000) as u16),
                ..TcpConfig::default()
            };
            stack.tcp_set_config(now, id, config);
        }
        21 if random.below(6) == 0 => stack.tcp_shutdown_write(now, id),
        22 if random.below(6) == 0 => {
            stack.tcp_close(now, id);
            held.remove(0);
        }
        23 => {
            let _ = stack.tcp_receive_urgent(id, false);
            let _ = stack.tcp_urgent_mark(id);
            let _ = stack.tcp_info(now, id);
        }
        _ => {}
    }
}

#[test]
fn no_sequence_of_segments_breaks_a_connection_record() {
    // A long run: PRISE_HOSTILE_FROM=0 PRISE_HOSTILE_SEEDS=100000 cargo test --release -p prise-stack no_sequence
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let from = number("PRISE_HOSTILE_FROM").unwrap_or(0);
    let count = number("PRISE_HOSTILE_SEEDS").unwrap_or(400);
    for seed in from..from + count {
        torment(seed);
    }
}

/// A segment from host 0's address to host 1.
pub(crate) fn forged(header: &TcpHeader) -> Frame {
    forged_with(header, Body::new())
}

fn forged_with(header: &TcpHeader, body: Body) -> Frame {
    let mut frame = Frame::with_header(header, body);
    frame.offload.checksum = Checksum::Verified;
    let len = frame.total_len();
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    frame.push_header(&Ipv4Header::new(src, dst, protocol::TCP, len));
    frame
}

fn forged_syn() -> TcpHeader {
    TcpHeader {
        source_port: 4000,
        destination_port: 80,
        seq: SeqNum(100),
        flags: TcpFlags::SYN,
        window: 1000,
        ..TcpHeader::default()
    }
}

#[test]
fn an_acknowledgment_without_the_agreed_timestamp_makes_a_connection_that_keeps_its_timers() {
    let mut world = World::new(9);
    let listener = world.listen(80);
    let mut header = forged_syn();
    header.options.timestamps = Some(Timestamps { value: 1, echo: 0 });
    world.deliver(1, forged(&header));
    world.run_for(Duration::from_millis(1));
    let answer = world
        .log
        .iter()
        .rev()
        .find(|(side, ..)| *side == 1)
        .expect("a SYN-ACK")
        .1;
    for seq in [101, 101 + 0xfffe] {
        let header = TcpHeader {
            seq: SeqNum(seq),
            ack: Some(answer.seq + 1),
            flags: TcpFlags::NONE,
            options: prise_wire::TcpOptions::default(),
            ..header
        };
        world.deliver(1, forged(&header));
    }
    // As Linux: boxes on the way strip options. What must not be is a record in SYN-RECEIVED that no timer ends.
    let id = world.stacks[1].tcp_accept(listener, 1).expect("a connection");
    let info = world.stacks[1].tcp_info(world.now, id).expect("it lives");
    assert_eq!(info.state, super::State::Established);
    world.stacks[1].tcp_abort(world.now, id);
    world.run_for(Duration::from_secs(600));
    assert_eq!(world.stacks[1].tcp_records(), [0, 1, 0, 0], "nothing is left");
}

#[test]
fn a_train_out_of_order_counts_as_the_segments_it_says_it_has_and_as_one_if_it_says_none() {
    for (gso_size, counted) in [(None, 1), (Some(400), 3), (Some(1000), 1), (Some(0), 1)] {
        let mut world = World::new(11);
        let (_, server) = world.connect();
        let last = world.log.iter().rfind(|(side, ..)| *side == 0);
        let mut header = last.expect("the handshake's end").1;
        header.seq += 1;
        let mut frame = forged_with(&header, Body::from(alloc::vec![7; 1000]));
        frame.offload.gso = gso_size.map(|size| Gso {
            kind: GsoKind::Tcp4,
            size,
        });
        world.deliver(1, frame);
        let info = world.stacks[1].tcp_info(world.now, server).expect("it lives");
        assert_eq!(info.received_out_of_order, counted, "{gso_size:?}");
    }
}

// rfc: 7323 §2.3/2
#[test]
fn a_half_open_connection_promises_no_more_than_its_syn_ack_said() {
    let mut world = World::new(10);
    let listener = world.listen(80);
    // A scale of 10, as for a buffer that may grow to 32 MiB.
    world.stacks[1].tcp_set_listener_config(listener, TcpConfig::default());
    let mut header = forged_syn();
    header.options.window_scale = Some(7);
    world.deliver(1, forged(&header));
    world.run_for(Duration::from_millis(1));
    // A SYN with another number is answered by an ACK, the first one by the SYN-ACK again.
    for seq in [50_000, 100] {
        header.seq = SeqNum(seq);
        world.deliver(1, forged(&header));
        // Two answers in half a second are one too many.
        world.run_for(Duration::from_millis(490 + u64::from(seq == 50_000) * 10));
    }
    let said: Vec<TcpHeader> = world
        .log
        .iter()
        .filter(|(side, ..)| *side == 1)
        .map(|it| it.1)
        .collect();
    let scale = said[0].options.window_scale.expect("a scale");
    let [first, between, last] = said[..] else {
        panic!("{said:?}")
    };
    assert!(first.flags.contains(TcpFlags::SYN) && last.flags.contains(TcpFlags::SYN));
    assert!(!between.flags.contains(TcpFlags::SYN));
    assert_eq!(last.window, first.window);
    // Less by the unit of the scale at most (§2.4).
    let (offered, told) = (u32::from(first.window), u32::from(between.window) << scale);
    assert!(told <= offered && offered - told < 1 << scale, "{offered}, then {told}");
}
