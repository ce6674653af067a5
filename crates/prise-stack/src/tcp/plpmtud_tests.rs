//! Paths that swallow large packets in silence, and routers that lie about them.

use alloc::sync::Arc;
use alloc::vec;
use core::net::SocketAddr;
use core::time::Duration;

use prise_wire::{Body, Checksum, Frame, Icmpv4Header, Ipv4Header, Payload, TcpFlags, TcpHeader, protocol};

use super::tests::World;
use super::{ConnId, MtuProbing, TcpConfig, TcpInfo, Tuning};
use crate::net::Discard;

/// What the path of these tests takes of a segment, options not counted: an MTU of 1,400.
const TAKES: usize = 1400 - 40 - 12;

fn narrow(world: &mut World) {
    world.filter = Some(|_, _, len| len <= TAKES);
}

fn write(world: &mut World, id: ConnId, len: usize) {
    let now = world.now;
    let mut payload = Payload::from(vec![7; len]);
    assert_eq!(world.stacks[0].tcp_send(now, id, &mut payload, false, false), Ok(len));
}

fn info(world: &World, id: ConnId) -> TcpInfo {
    world.stacks[0].tcp_info(world.now, id).expect("it lives")
}

fn with_probing(mtu_probing: MtuProbing) -> TcpConfig {
    TcpConfig {
        tuning: Some(Arc::new(Tuning {
            mtu_probing,
            ..Tuning::default()
        })),
        ..TcpConfig::default()
    }
}

fn set_probing(world: &mut World, id: ConnId, mtu_probing: MtuProbing) {
    let now = world.now;
    world.stacks[0].tcp_set_config(now, id, with_probing(mtu_probing));
}

// RFC 4821 §7.7
#[test]
fn a_path_that_swallows_large_segments_is_found_out_by_timeouts_and_searched() {
    let mut world = World::new(1);
    let (client, server) = world.connect();
    narrow(&mut world);
    let began = world.now;
    world.transfer([client, server], 100_000);
    let took = world.now.saturating_since(began);
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.transfer([client, server], 600_000);
    let info = info(&world, client);
    assert!(
        info.send_mss as usize <= TAKES && info.send_mss as usize > TAKES - 16,
        "{info:?}"
    );
    world.close_both([client, server]);
    world.assert_empty();
}

// RFC 4821 §7.7: found by the simulator's swarm.
#[test]
fn a_segment_that_only_its_options_make_larger_than_the_base_size_is_not_stuck() {
    let mut world = World::new(1);
    let (client, _) = world.connect();
    world.filter = Some(|_, _, len| len <= 1024 - 12);
    write(&mut world, client, 1020);
    world.run_for(Duration::from_secs(10));
    assert_eq!(info(&world, client).bytes_acked, 1020);
}

/// Where a fifth of the packets is lost, the same segment is often lost three times in a row.
#[test]
fn a_path_that_has_taken_large_segments_is_not_suspected_as_soon() {
    let mut world = World::new(9);
    let (client, server) = world.connect();
    world.transfer([client, server], 20_000);
    world.filter = Some(|_, _, _| false);
    write(&mut world, client, 20_000);
    while info(&world, client).backoff < 5 {
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(info(&world, client).send_mss, 1448);
    while info(&world, client).backoff < 6 {
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(info(&world, client).send_mss, 1024 - 12, "six in a row are too many");
}

/// What was reported behind a hole is kept as one record, however small the segments were.
#[test]
fn small_segments_behind_a_hole_do_not_show_that_the_path_takes_large_ones() {
    let mut world = World::new(10);
    let (client, _) = world.connect();
    world.stacks[0].tcp_set_config(
        world.now,
        client,
        TcpConfig {
            nodelay: true,
            ..TcpConfig::default()
        },
    );
    world.filter = Some(|_, _, len| len != 101);
    for len in core::iter::once(101).chain([100; 40]) {
        write(&mut world, client, len);
        world.run_for(Duration::from_millis(1));
    }
    world.filter = None;
    world.run_for(Duration::from_secs(10));
    assert_eq!(info(&world, client).bytes_acked, 4101);
    narrow(&mut world);
    write(&mut world, client, 20_000);
    while info(&world, client).backoff < 3 {
        world.run_for(Duration::from_millis(10));
    }
    assert_eq!(info(&world, client).send_mss, 1024 - 12);
}

#[test]
fn without_probing_the_connection_is_stuck() {
    let mut world = World::new(2);
    let (client, _) = world.connect();
    set_probing(&mut world, client, MtuProbing::Off);
    narrow(&mut world);
    write(&mut world, client, 20_000);
    world.run_for(Duration::from_secs(60));
    assert_eq!(info(&world, client).bytes_acked, 0);
}

// RFC 4821 §7.6.1 §7.6.2 §7.4
#[test]
fn a_lost_probe_is_no_congestion_and_is_sent_again_in_smaller_segments() {
    let mut world = World::new(3);
    let listener = world.listen(80);
    let (local, remote) = (
        SocketAddr::from(([10, 0, 0, 1], 40_000)),
        SocketAddr::from(([10, 0, 0, 2], 80)),
    );
    let now = world.now;
    let client = world.stacks[0]
        .tcp_connect(now, local, remote, None, &with_probing(MtuProbing::Always), 7)
        .expect("the tuple is free");
    world.run_for(Duration::from_millis(100));
    let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
    assert_eq!(
        info(&world, client).send_mss,
        1024 - 12,
        "the search starts at the base size"
    );
    narrow(&mut world);
    world.transfer([client, server], 600_000);
    let info = info(&world, client);
    assert!(info.send_mss as usize > TAKES - 16, "{info:?}");
    assert_eq!(info.ssthresh, u32::MAX, "nothing was congested: {info:?}");
    assert!((1..=16).contains(&info.total_retransmissions), "{info:?}");
}

#[test]
fn an_outage_of_small_segments_is_no_black_hole() {
    let mut world = World::new(4);
    let (client, _) = world.connect();
    world.filter = Some(|_, _, _| false);
    write(&mut world, client, 100);
    world.run_for(Duration::from_secs(20));
    assert_eq!(info(&world, client).send_mss, 1448);
}

/// A router's word about the segment that host 0 sent last.
fn too_big(world: &mut World, mtu: u32) {
    let (_, header, len) = *world
        .log
        .iter()
        .rev()
        .find(|(side, _, len)| *side == 0 && *len > 0)
        .expect("data");
    let mut quoted = Frame::with_header(&header, Body::from(Payload::from(vec![0; len])));
    let size = quoted.total_len();
    let ends = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    quoted.push_header(&Ipv4Header::new(ends.0, ends.1, protocol::TCP, size));
    let quote = Payload::copy_from(&quoted.to_vec()[..48]);
    let header = Icmpv4Header::Other {
        kind: 3,
        code: 4,
        rest: mtu,
    };
    let mut frame = Frame::with_header(&header, quote.into());
    let size = frame.total_len();
    frame.offload.checksum = Checksum::Verified;
    frame.push_header(&Ipv4Header::new([10, 0, 0, 99].into(), ends.0, protocol::ICMPV4, size));
    world.deliver(0, frame);
}

// rfc: 5927 §7.2
#[test]
fn a_router_is_not_believed_while_large_segments_arrive() {
    let mut world = World::new(5);
    let (client, server) = world.connect();
    world.transfer([client, server], 50_000);
    write(&mut world, client, 1448);
    world.run_for(Duration::from_millis(1));
    too_big(&mut world, 600);
    assert_eq!(world.stacks[0].discards().get(Discard::TcpIcmpDoubted), 1);
    world.run_for(Duration::from_secs(2));
    assert_eq!(info(&world, client).send_mss, 1448, "it was a lie");
    assert_eq!(info(&world, client).path_mtu, 1500);
}

// rfc: 5927 §7.2
#[test]
fn a_doubted_router_is_believed_once_a_timeout_shows_that_it_is_right() {
    let mut world = World::new(6);
    let (client, server) = world.connect();
    world.transfer([client, server], 50_000);
    narrow(&mut world);
    write(&mut world, client, 1448);
    world.run_for(Duration::from_millis(1));
    too_big(&mut world, 1400);
    assert_eq!(info(&world, client).send_mss, 1448);
    world.run_for(Duration::from_secs(2));
    let info = info(&world, client);
    assert_eq!((info.send_mss, info.path_mtu, info.unacked), (1348, 1400, 0));
}

#[test]
fn probes_do_not_hurt_a_search_under_loss_which_counts_as_congestion() {
    let mut congested = 0;
    for seed in 0..10 {
        let mut world = World::new(seed);
        let (client, server) = world.connect();
        set_probing(&mut world, client, MtuProbing::Always);
        narrow(&mut world);
        world.loss = 20;
        world.transfer([client, server], 300_000);
        congested += u32::from(info(&world, client).ssthresh < u32::MAX);
        world.close_both([client, server]);
        world.assert_empty();
    }
    assert!(congested >= 5, "{congested} of 10");
}

#[test]
fn a_probe_is_one_packet_even_where_the_link_splits() {
    let mut world = World::with_links(8, 1500, 65_535);
    let (client, server) = world.connect();
    world.filter =
        Some(|_, header: &TcpHeader, len| len > 3000 || len <= TAKES || header.flags.contains(TcpFlags::SYN));
    world.transfer([client, server], 300_000);
}
