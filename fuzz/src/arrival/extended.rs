//! Fast Open (RFC 7413), Accurate ECN (RFC 9768), user timeouts (RFC 5482), windows that are validated (RFC 7661) and the search for the path's MTU (RFC 4821, RFC 8899): what an input that
//! names them chooses of both ends, and the ways into their states.

use super::peer::{COOKIE_KEY, Peer, outward};
use super::states::{CALLING, acknowledge, data, established, flagged};
use super::{Choice, Input, World};
use prise_stack::{
    AccEcnOption, EcnPolicy, FastOpenKeys, FastOpenSettings, MtuProbing, State, Tuning, UserTimeoutExchange,
};
use prise_wire::tcp::UserTimeout;
use prise_wire::time::Duration;
use prise_wire::{AccEcn, AccEcnOrder, FastOpenCookie, Payload, TcpFlags, TcpHeader};
use std::sync::Arc;

/// What a way is named by, and the state that it leads to; `None` where options decide.
pub(super) type Way = (Option<State>, fn(&mut World));

/// The ways into states that only these mechanisms have.
pub(super) const WAYS: &[Way] = &[
    // A SYN with data opens a connection at once: without a cookie, with one, with a FIN as well.
    (Some(State::SynReceived), |world| served(world, 100, TcpFlags::NONE)),
    (Some(State::SynReceived), |world| {
        fetch_cookie(world);
        served(world, 1000, TcpFlags::PSH);
    }),
    (None, |world| served(world, 10, TcpFlags::FIN)),
    // … and is answered before the handshake has ended.
    (Some(State::SynReceived), answered),
    (Some(State::Established), |world| {
        answered(world);
        acknowledge(world);
    }),
    (None, |world| {
        served(world, 100, TcpFlags::NONE);
        if let Some(id) = world.connection {
            world.stack.tcp_shutdown_write(world.now, id);
        }
        world.drain();
    }),
    // The queue for such connections is full.
    (None, |world| {
        world.config.fast_open_queue = 1;
        served(world, 100, TcpFlags::NONE);
        world.peer.port = super::states::LISTENING;
        syn(world, TcpFlags::NONE, 50, Some(FastOpenCookie::REQUEST));
    }),
    // A SYN that waits for the first write; one that asks for a cookie; with data and no cookie; with a cookie.
    (Some(State::SynSent), deferred),
    (Some(State::SynSent), |world| opened(world, false)),
    (Some(State::SynSent), |world| opened(world, true)),
    (Some(State::SynSent), remembered),
    // The SYN-ACK takes the data and brings some; or takes only the SYN; or a SYN crosses.
    (Some(State::Established), |world| {
        remembered(world);
        syn_ack(world, u32::MAX, 500);
    }),
    (Some(State::Established), |world| {
        opened(world, true);
        syn_ack(world, 0, 0);
    }),
    (Some(State::Established), |world| {
        opened(world, true);
        syn_ack(world, 50, 0);
    }),
    (Some(State::SynReceived), |world| {
        opened(world, true);
        syn(world, TcpFlags::NONE, 80, None);
    }),
    // The data of the SYN vanish.
    (Some(State::SynSent), |world| {
        remembered(world);
        world.pass(Duration::from_millis(3500));
    }),
    // A probe of a larger size is out; large segments vanish; a probe was lost.
    (Some(State::Established), probing),
    (Some(State::Established), black_hole),
    (Some(State::Established), |world| {
        black_hole(world);
        acknowledge(world);
        grow(world, 6);
    }),
    (Some(State::Established), |world| {
        probing(world);
        lose_first(world);
    }),
    // Both ends count marks.
    (Some(State::Established), |world| counting(world, true)),
    (Some(State::Established), |world| {
        counting(world, true);
        world.peer.field = 3;
        for _ in 0..5 {
            data(world, 500);
        }
    }),
    (Some(State::Established), |world| {
        counting(world, false);
        world.write(20_000, false, false);
        let mut header = flagged(world, TcpFlags::CWR);
        header.options.acc_ecn = Some(AccEcn::new(AccEcnOrder::Ect0First, &[1, 1448, 1]));
        world.segment(&header, 0);
    }),
];

/// Reads what an input says of these mechanisms.
pub(super) fn extend(choice: &mut Choice, input: &mut Input<'_>) {
    let (ecn, size) = (input.octet(), input.octet());
    let option = [
        AccEcnOption::Always,
        AccEcnOption::Sparse,
        AccEcnOption::Never,
        AccEcnOption::Always,
    ];
    choice.config.ecn = EcnPolicy {
        option: option[usize::from(ecn >> 6)],
        ..EcnPolicy::from_number(u32::from(ecn & 7)).unwrap_or_default()
    };
    choice.habits.ace = Some((ecn >> 3 & 7, size >> 5));
    let probing = [
        MtuProbing::BlackHoles,
        MtuProbing::Always,
        MtuProbing::Off,
        MtuProbing::Always,
    ];
    choice.config.tuning = Some(Arc::new(Tuning {
        mtu_probing: probing[usize::from(size & 3)],
        defer_units: size & 4 != 0,
        window_validation: size & 3 == 3,
        user_timeout_option: (ecn >> 6 == 3).then_some(UserTimeoutExchange::DEFAULT),
        ..Tuning::DEFAULT
    }));
    choice.config.fast_open_queue = if size & 8 != 0 { 2 } else { 16 };
    choice.config.fast_open_keys = (size & 16 != 0).then(|| FastOpenKeys::new(&COOKIE_KEY).expect("16 octets"));
}

/// A host that does Fast Open both ways.
pub(super) fn settings() -> FastOpenSettings {
    FastOpenSettings {
        black_hole_timeout: Duration::from_secs(3600),
        ..FastOpenSettings::from_bits(3)
    }
}

/// More options of a segment.
pub(super) fn options(header: &mut TcpHeader, world: &mut World, which: u8, input: &mut Input<'_>) {
    if which & 32 != 0 {
        let what = input.octet();
        let order = [AccEcnOrder::Ect0First, AccEcnOrder::Ect1First][usize::from(what & 1)];
        let counters = [(); 3].map(|()| {
            let counter = input.octet();
            u32::from(counter & 0x3f) << (8 * (counter >> 6))
        });
        header.options.acc_ecn = Some(AccEcn::new(order, &counters[..usize::from(what >> 1 & 3)]));
    }
    if which & 64 != 0 {
        let what = input.octet();
        let cookie = match what & 3 {
            0 => Some(FastOpenCookie::REQUEST),
            1 => world.peer.cookie,
            _ => FastOpenCookie::new(&[what; 8]),
        };
        header.options.fast_open = cookie.map(|cookie| cookie.in_experimental_shape(what & 4 != 0));
    }
    if which & 128 != 0 {
        let what = input.octet();
        world.peer.field = what & 3;
        if what & 4 != 0 {
            header.flags |= TcpFlags::AE;
        }
        if what & 8 != 0 {
            let field = u16::from_be_bytes([input.octet(), input.octet()]);
            header.options.user_timeout = Some(UserTimeout::from_field(field));
        }
    }
}

/// A SYN of the peer's with data and perhaps a cookie.
fn syn(world: &mut World, flags: TcpFlags, len: u32, cookie: Option<FastOpenCookie>) {
    let mut header = flagged(world, TcpFlags::SYN | flags);
    header.ack = None;
    header.options.fast_open = cookie;
    world.peer.nxt = header.seq + 1 + len + u32::from(flags.fin());
    world.segment(&header, len);
}

/// A SYN with data reaches a listener that takes them: with the cookie that the peer has, else without any.
fn served(world: &mut World, len: u32, flags: TcpFlags) {
    world.config.fast_open_without_cookie = world.peer.cookie.is_none();
    world.listen(4);
    let cookie = world.peer.cookie;
    syn(world, flags, len, cookie);
    world.accept();
    world.drain();
}

fn answered(world: &mut World) {
    served(world, 100, TcpFlags::NONE);
    world.read(50);
    world.write(3000, false, false);
}

/// Another host with the same key and addresses gives the peer a cookie.
fn fetch_cookie(world: &mut World) {
    let keys = FastOpenKeys::new(&COOKIE_KEY).expect("16 octets");
    world.config.fast_open_keys = Some(keys);
    let mut other = World::new(&Choice {
        config: world.config.clone(),
        ..Choice::plain(world.peer.habits)
    });
    other.extended = true;
    other.stack.tcp_set_fast_open_settings(settings());
    other.listen(4);
    syn(&mut other, TcpFlags::NONE, 0, Some(FastOpenCookie::REQUEST));
    assert!(other.peer.cookie.is_some(), "a request gets a cookie");
    world.peer.cookie = other.peer.cookie;
}

/// A connection whose SYN waits.
fn deferred(world: &mut World) {
    world.peer = Peer::new(world.peer.habits, CALLING);
    let (own, peer) = (world.peer.own_addr(), world.peer.peer_addr());
    world.connection = world
        .stack
        .tcp_connect_deferred(world.now, own, peer, None, &world.config, 1)
        .ok();
    world.drain();
}

/// A SYN that has left: with data though there is no cookie if `blindly`, else with a request for one.
fn opened(world: &mut World, blindly: bool) {
    world.config.fast_open_without_cookie = blindly;
    deferred(world);
    fast_open(world, 100);
}

/// The first write of a connection whose SYN waits.
pub(super) fn fast_open(world: &mut World, len: u32) {
    let Some(id) = world.connection else { return };
    let octets: Vec<u8> = (0..len).map(|at| outward(world.written + at)).collect();
    if let Ok(taken) = world.stack.tcp_fast_open(world.now, id, &mut Payload::from(octets)) {
        world.written += taken as u32;
    }
    world.drain();
}

/// The stack has a cookie of the peer's, and uses it.
fn remembered(world: &mut World) {
    opened(world, false);
    world.peer.port = CALLING;
    let mut header = flagged(world, TcpFlags::SYN);
    header.options.fast_open = FastOpenCookie::new(&[7; 8]);
    world.peer.nxt = header.seq + 1;
    world.segment(&header, 0);
    if let Some(id) = world.connection.take() {
        world.stack.tcp_abort(world.now, id);
    }
    world.drain();
    world.written = 0;
    opened(world, false);
}

/// The peer's SYN-ACK, which takes at most `taken` octets of the SYN's and brings `len` of its own.
fn syn_ack(world: &mut World, taken: u32, len: u32) {
    let mut header = flagged(world, TcpFlags::SYN);
    if let Some(stack) = world.peer.stack {
        let sent = (stack.nxt - (stack.iss + 1)) as u32;
        header.ack = Some(stack.iss + 1 + taken.min(sent));
    }
    world.peer.nxt = header.seq + 1 + len;
    world.segment(&header, len);
}

/// The window grows: all that is written is acknowledged, some times.
fn grow(world: &mut World, times: u32) {
    for _ in 0..times {
        world.write(20_000, false, false);
        world.pass(Duration::from_millis(20));
        acknowledge(world);
    }
}

fn tuned(world: &mut World, mtu_probing: MtuProbing) {
    world.config.tuning = Some(Arc::new(Tuning {
        mtu_probing,
        ..world.config.tuning().clone()
    }));
}

fn probing(world: &mut World) {
    tuned(world, MtuProbing::Always);
    established(world);
    grow(world, 5);
    world.write(20_000, false, false);
    world.pass(Duration::from_millis(5));
}

/// What was sent first of all that is out is lost, the rest arrives.
fn lose_first(world: &mut World) {
    let Some(stack) = world.peer.stack else { return };
    let mut header = flagged(world, TcpFlags::NONE);
    header.ack = Some(stack.una);
    if world.peer.habits.sack && (stack.una + 1500).precedes(stack.nxt) {
        header.options.sack.push(prise_wire::SackBlock {
            left: stack.una + 1500,
            right: stack.nxt,
        });
    }
    for _ in 0..4 {
        world.segment(&header, 0);
    }
    world.pass(Duration::from_millis(30));
}

fn black_hole(world: &mut World) {
    tuned(world, MtuProbing::BlackHoles);
    world.config.user_timeout = None;
    established(world);
    world.write(9000, false, false);
    world.pass(Duration::from_secs(8));
}

/// A connection with Accurate ECN, opened by the peer if `passive`.
fn counting(world: &mut World, passive: bool) {
    world.config.ecn = EcnPolicy {
        option: world.config.ecn.option,
        ..EcnPolicy::from_number(3).unwrap_or_default()
    };
    world.peer.habits.ace = Some((7, 2));
    if passive {
        established(world);
    } else {
        super::states::called(world);
    }
}
