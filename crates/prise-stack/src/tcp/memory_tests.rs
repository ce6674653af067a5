//! The budget of memory as connections meet it: shares under pressure, pruning, refusals, orphans.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use prise_wire::{Ipv4Options, Payload};

use super::tests::World;
use super::{ConnId, SendError, State, TcpConfig};
use crate::MemoryBudget;
use crate::memory::{Charge, Memory, SHARE_MIN};
use crate::net::Discard;

/// A world whose second host has that budget.
fn world(seed: u8, budget: MemoryBudget) -> World {
    let mut world = World::new(seed);
    let memory = Memory::new(budget);
    world.stacks[1].tcp.half_open_charge = Charge::of(&memory);
    world.stacks[1].tcp.memory = memory.clone();
    world.stacks[1].memory = memory;
    world
}

const SMALL: MemoryBudget = MemoryBudget {
    low: 128 << 10,
    pressure: 256 << 10,
    high: 512 << 10,
    orphans: 4,
    syn_backlog: 16,
};

/// So many connections from host 0 to port 80 of host 1.
fn connect(world: &mut World, count: u16) -> Vec<(ConnId, ConnId)> {
    let listener = world.listen(80);
    (0..count)
        .map(|at| {
            let client = world.open(40_000 + at, 80);
            world.run_for(Duration::from_millis(100));
            let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
            (client, server)
        })
        .collect()
}

fn send(world: &mut World, side: usize, id: ConnId, len: usize) -> Result<usize, SendError> {
    let mut payload = Payload::from(vec![7; len]);
    let now = world.now;
    world.stacks[side].tcp_send(now, id, &mut payload, false, false)
}

#[test]
fn readers_that_do_not_read_stop_at_the_budget_and_the_one_that_reads_goes_on() {
    let mut world = world(1, SMALL);
    let pairs = connect(&mut world, 16);
    for &(client, _) in &pairs[1..] {
        while send(&mut world, 0, client, 30_000).is_ok() {}
    }
    world.run_for(Duration::from_secs(20));
    let use_now = world.stacks[1].memory();
    assert!(use_now.pressure && use_now.pressures == 1, "{use_now:?}");
    assert!(use_now.peak <= SMALL.high + 16 * u64::from(SHARE_MIN), "{use_now:?}");
    assert!(world.stacks[1].discards().get(Discard::TcpMemory) > 0);
    // 300,000 octets in virtual seconds, through what the others have left.
    let (client, server) = pairs[0];
    let began = world.now;
    world.transfer([client, server], 300_000);
    let took = world.now.saturating_since(began);
    assert!(took < Duration::from_secs(20), "{took:?}");
    for &(client, server) in &pairs {
        let now = world.now;
        world.stacks[0].tcp_abort(now, client);
        world.stacks[1].tcp_abort(now, server);
    }
    let use_now = world.stacks[1].memory();
    assert_eq!((use_now.used, use_now.pressure), (0, false));
}

#[test]
fn what_waits_behind_a_hole_is_pruned_under_pressure_and_sent_again() {
    let mut world = world(2, SMALL);
    let (client, server) = connect(&mut world, 1)[0];
    // Somebody else holds nearly all.
    let mut hog = Charge::of(&world.stacks[1].tcp.memory);
    world.filter = Some(|side, _, len| side != 0 || len != 1000);
    send(&mut world, 0, client, 1000).expect("room");
    world.run_for(Duration::from_millis(1));
    send(&mut world, 0, client, 100_000).expect("room");
    world.run_for(Duration::from_millis(150));
    hog.set(600 << 10);
    world.run_for(Duration::from_secs(2));
    assert!(world.stacks[1].discards().get(Discard::TcpOutOfOrderPruned) > 0);
    drop(hog);
    world.filter = None;
    let mut got = 0;
    for _ in 0..200 {
        world.run_for(Duration::from_millis(500));
        let now = world.now;
        while let Ok(piece) = world.stacks[1].tcp_receive(now, server, 100_000) {
            got += piece.len();
        }
    }
    assert_eq!(got, 101_000);
}

#[test]
fn the_oldest_orphan_is_reset_when_there_are_too_many() {
    let mut world = world(3, SMALL);
    let pairs = connect(&mut world, 6);
    for &(_, server) in &pairs {
        send(&mut world, 1, server, 1000).expect("room");
        let now = world.now;
        world.stacks[1].tcp_close(now, server);
    }
    assert_eq!(world.stacks[1].tcp.orphans(), 4);
    assert_eq!(world.stacks[1].discards().get(Discard::TcpOrphanReset), 2);
    world.run_for(Duration::from_secs(1));
    let states: Vec<State> = pairs
        .iter()
        .map(|&(client, _)| world.stacks[0].tcp_state(client))
        .collect();
    assert_eq!(states[..2], [State::Closed; 2], "the oldest two were reset");
    assert_eq!(states[2..], [State::CloseWait; 4]);
    for &(client, _) in &pairs {
        let now = world.now;
        world.stacks[0].tcp_close(now, client);
    }
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.stacks[1].tcp.orphans(), 0);
    assert_eq!(world.stacks[1].tcp_records(), [0, 1, 0, 0]);
}

#[test]
fn no_connection_is_taken_in_when_memory_is_used_up() {
    let mut world = world(4, SMALL);
    world.listen(80);
    let mut hog = Charge::of(&world.stacks[1].tcp.memory);
    hog.set(513 << 10);
    let client = world.open(40_000, 80);
    world.run_for(Duration::from_millis(500));
    assert_eq!(world.stacks[0].tcp_state(client), State::SynSent);
    assert_eq!(world.stacks[1].discards().get(Discard::TcpMemorySyn), 1);
    drop(hog);
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.stacks[0].tcp_state(client), State::Established);
}

#[test]
fn the_options_of_half_open_connections_are_paid_for() {
    /// Record route, with room for nine addresses.
    const ROUTE: [u8; 39] = {
        let mut route = [0; 39];
        (route[0], route[1], route[2]) = (7, 39, 4);
        route
    };
    let mut used = [None, Some(Arc::new(Ipv4Options::padded(&ROUTE)))].map(|ip_options| {
        let mut world = world(7, SMALL);
        world.listen(80);
        let config = TcpConfig {
            ip_options,
            ..TcpConfig::default()
        };
        // The SYN arrives, and its answer is lost.
        world.filter = Some(|side, _, _| side == 0);
        let (local, remote) = (
            SocketAddr::from(([10, 0, 0, 1], 40_000)),
            SocketAddr::from(([10, 0, 0, 2], 80)),
        );
        let client = world.stacks[0].tcp_connect(world.now, local, remote, None, &config, 7);
        world.run_for(Duration::from_millis(500));
        assert_eq!(world.stacks[1].tcp_records()[2], 1);
        let used = world.stacks[1].memory().used;
        let now = world.now;
        world.stacks[0].tcp_abort(now, client.expect("the tuple is free"));
        world.run_for(Duration::from_secs(200));
        assert_eq!(world.stacks[1].memory().used, 0);
        used
    });
    used[1] -= used[0];
    assert!(used[1] >= 40, "{used:?}");
}

#[test]
fn a_writer_gets_its_share_and_is_woken_when_there_is_room() {
    let mut world = world(5, SMALL);
    let (_, server) = connect(&mut world, 1)[0];
    let mut hog = Charge::of(&world.stacks[1].tcp.memory);
    hog.set(500 << 10);
    assert_eq!(send(&mut world, 1, server, 100_000), Ok(SHARE_MIN as usize));
    assert_eq!(send(&mut world, 1, server, 1), Err(SendError::WouldBlock));
    world.events[1].clear();
    world.run_for(Duration::from_secs(1));
    assert!(
        world.events[1]
            .iter()
            .any(|event| matches!(event, crate::Event::Tcp { ready, .. } if ready.contains(crate::Ready::WRITABLE)))
    );
    assert_eq!(send(&mut world, 1, server, 100_000), Ok(SHARE_MIN as usize));
}
