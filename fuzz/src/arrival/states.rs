//! The ways into each state, played by a peer that does what it should.

use super::peer::Peer;
use super::{World, extended};
use prise_stack::State;
use prise_wire::time::Duration;
use prise_wire::{SackBlock, TcpFlags, TcpHeader};

/// The port that the stack listens on, and the one that it calls from.
pub(super) const LISTENING: u16 = 80;
pub(super) const CALLING: u16 = 4000;

type Way = (State, fn(&mut World));

/// What the connection is in after each way; [`State::Closed`] where no connection is held yet.
const WAYS: &[Way] = &[
    (State::Closed, |world| world.listen(4)),
    (State::SynSent, call),
    (State::Closed, half_open),
    (State::SynReceived, |world| {
        call(world);
        syn(world, false);
    }),
    (State::Closed, intercepted),
    (State::SynReceived, |world| {
        intercepted(world);
        admit(world);
    }),
    (State::Established, established),
    (State::Established, called),
    (State::FinWait1, |world| {
        called(world);
        finish(world);
    }),
    (State::FinWait2, |world| {
        called(world);
        finish(world);
        acknowledge(world);
    }),
    (State::CloseWait, |world| {
        established(world);
        fin(world);
    }),
    (State::Closing, |world| {
        called(world);
        finish(world);
        fin_below(world);
    }),
    (State::LastAck, |world| {
        established(world);
        fin(world);
        finish(world);
    }),
    (State::Closed, |world| {
        called(world);
        finish(world);
        acknowledge(world);
        fin(world);
    }),
    (State::Established, shut_window),
    (State::Established, full_buffer),
    (State::Established, recovering),
    (State::Established, timed_out),
    (State::Established, |world| urgent(world, false)),
    (State::Established, |world| urgent(world, true)),
    (State::Established, holes),
    (State::Established, tail),
    (State::Closed, |world| {
        established(world);
        world.write(5000, false, false);
        if let Some(id) = world.connection.take() {
            world.stack.tcp_close(world.now, id);
        }
        world.drain();
    }),
    (State::Established, |world| {
        established(world);
        world.write(3000, false, true);
    }),
    (State::Established, established),
];

/// Which way an octet names: one of [`WAYS`], one of them with [`extended`] choices, or one of [`extended::WAYS`].
fn way(state: u8) -> usize {
    usize::from(state) % (2 * WAYS.len() + extended::WAYS.len())
}

/// Whether both ends know of Fast Open, Accurate ECN and sizes of paths.
pub(super) fn is_extended(state: u8) -> bool {
    way(state) >= WAYS.len()
}

/// The one of [`WAYS`] that is taken.
fn plain(state: u8) -> Option<usize> {
    let way = way(state);
    (way < 2 * WAYS.len()).then_some(way % WAYS.len())
}

/// Whether the listener keeps nothing of a connection request.
pub(super) fn is_by_cookie(state: u8) -> bool {
    plain(state) == Some(WAYS.len() - 1)
}

/// Whether nobody listens and the gateway is asked.
pub(super) fn is_intercepted(state: u8) -> bool {
    matches!(plain(state), Some(4 | 5))
}

/// Plays the way that the octet names.
pub(super) fn build(world: &mut World, state: u8) {
    let (reached, go) = match plain(state) {
        Some(way) => (Some(WAYS[way].0), WAYS[way].1),
        None => extended::WAYS[way(state) - 2 * WAYS.len()],
    };
    go(world);
    let Some(reached) = reached else { return };
    let deferred = world.config.defer_accept > 0 && reached != State::Closed && world.connection.is_none();
    let state = world.connection.map_or(State::Closed, |id| world.stack.tcp_state(id));
    assert!(
        deferred || state == reached,
        "the way leads to {state:?}, not to {reached:?}"
    );
}

pub(super) fn flagged(world: &World, flags: TcpFlags) -> TcpHeader {
    world.peer.header(flags)
}

/// The peer's SYN, acknowledging ours if `ack`.
fn syn(world: &mut World, ack: bool) {
    let mut flags = TcpFlags::SYN;
    if world.peer.habits.ecn {
        flags = if ack {
            flags | TcpFlags::ECE
        } else {
            flags | TcpFlags::ECE | TcpFlags::CWR
        };
    }
    let mut header = flagged(world, flags);
    if !ack {
        header.ack = None;
    }
    world.peer.nxt = header.seq + 1;
    world.segment(&header, 0);
}

pub(super) fn acknowledge(world: &mut World) {
    let header = flagged(world, TcpFlags::NONE);
    world.segment(&header, 0);
}

pub(super) fn data(world: &mut World, len: u32) {
    let header = flagged(world, TcpFlags::PSH);
    world.peer.nxt = header.seq + len;
    world.segment(&header, len);
}

fn half_open(world: &mut World) {
    world.listen(4);
    syn(world, false);
}

pub(super) fn established(world: &mut World) {
    half_open(world);
    acknowledge(world);
    if world.connection.is_none() {
        // TCP_DEFER_ACCEPT waits for octets.
        data(world, 1);
        world.read(1);
    }
}

fn call(world: &mut World) {
    world.peer = Peer::new(world.peer.habits, CALLING);
    let (own, peer) = (world.peer.own_addr(), world.peer.peer_addr());
    world.connection = world
        .stack
        .tcp_connect(world.now, own, peer, None, &world.config, 1)
        .ok();
    world.drain();
}

pub(super) fn called(world: &mut World) {
    call(world);
    syn(world, true);
}

fn intercepted(world: &mut World) {
    world.stack.tcp_intercept(9);
    syn(world, false);
}

fn admit(world: &mut World) {
    if let Some(id) = world.pending.take() {
        world.connection = world.stack.tcp_admit(world.now, id, &world.config, 1).ok();
    }
    world.drain();
}

/// The program says that it writes no more.
fn finish(world: &mut World) {
    if let Some(id) = world.connection {
        world.stack.tcp_shutdown_write(world.now, id);
    }
    world.drain();
}

fn fin(world: &mut World) {
    let header = flagged(world, TcpFlags::FIN);
    world.peer.nxt = header.seq + 1;
    world.segment(&header, 0);
}

/// A FIN that does not acknowledge ours.
fn fin_below(world: &mut World) {
    let mut header = flagged(world, TcpFlags::FIN);
    header.ack = world.peer.stack.map(|stack| stack.nxt - 1);
    world.peer.nxt = header.seq + 1;
    world.segment(&header, 0);
}

/// Octets wait for a window of zero.
fn shut_window(world: &mut World) {
    established(world);
    let mut header = flagged(world, TcpFlags::NONE);
    header.window = 0;
    world.segment(&header, 0);
    world.write(4000, false, false);
    world.pass(Duration::from_secs(3));
}

/// The program does not read, and our window is shut.
fn full_buffer(world: &mut World) {
    established(world);
    for _ in 0..200 {
        data(world, 1400);
    }
}

/// Selective acknowledgments, or duplicate ones, tell of a hole.
fn recovering(world: &mut World) {
    established(world);
    world.write(9000, false, false);
    let Some(stack) = world.peer.stack else { return };
    world.now += Duration::from_millis(20);
    let hole = stack.una.later(stack.iss + 1);
    for part in 2..8 {
        let mut header = flagged(world, TcpFlags::NONE);
        header.ack = Some(hole);
        if world.peer.habits.sack {
            header.options.sack.push(SackBlock {
                left: hole + 500,
                right: hole + 500 * part,
            });
        }
        world.segment(&header, 0);
    }
}

fn timed_out(world: &mut World) {
    established(world);
    world.write(9000, false, false);
    world.pass(Duration::from_millis(1500));
}

/// The peer's urgent octet is announced, and arrives if `here`.
fn urgent(world: &mut World, here: bool) {
    established(world);
    let mut header = flagged(world, TcpFlags::URG);
    header.urgent = 10;
    world.segment(&header, 5);
    world.peer.nxt = header.seq + 5;
    if here {
        data(world, 20);
    }
}

/// Octets wait behind holes.
fn holes(world: &mut World) {
    established(world);
    for part in 1..5 {
        let mut header = flagged(world, TcpFlags::NONE);
        header.seq += 2000 * part;
        world.segment(&header, 500);
    }
}

/// A tail loss probe is out.
fn tail(world: &mut World) {
    established(world);
    world.now += Duration::from_millis(10);
    world.write(100, false, false);
    world.now += Duration::from_millis(10);
    acknowledge(world);
    world.write(3000, false, false);
    world.pass(Duration::from_millis(100));
}
