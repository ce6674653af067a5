//! Every option of every kind of socket against what the kernel answers (`tests/kernel/options.py`): errors, lengths, values.

mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use prise_socket::{Errno, Family, Host, Kind, SocketId};
use world::World;

const KERNEL: &str = include_str!("kernel/options.txt");

/// Options that differ on purpose or by nature: level, name, why.
const DIFFERENCES: &[(i32, i32, &str)] = &[
    (
        1,
        37,
        "SO_TIMESTAMPING: of a stream's sends, where these are not seen, it is refused",
    ),
    (1, 65, "SO_TIMESTAMPING by its newer number"),
    (
        1,
        60,
        "SO_ZEROCOPY: refused on streams whose sends are not seen, programs fall back to copying",
    ),
    (1, 80, "SO_DEVMEM_DONTNEED: no device memory"),
    (6, 13, "TCP_CONGESTION: the kernel in question was set to BBR"),
    (6, 24, "TCP_TIMESTAMP: two clocks"),
    (6, 26, "TCP_CC_INFO: of BBR there, none of CUBIC here"),
    (6, 35, "TCP_ZEROCOPY_RECEIVE: refused, programs fall back to copying"),
    (17, 100, "UDP_ENCAP: nothing is encapsulated"),
];

/// The first socket of a kind on a host with nothing but `lo`.
fn socket(world: &mut World, kind: &str) -> SocketId {
    let family = if kind.ends_with('4') {
        Family::Inet
    } else {
        Family::Inet6
    };
    let icmp = if family == Family::Inet { 1 } else { 58 };
    let (kind, protocol) = match &kind[..kind.len() - 1] {
        "tcp" => (Kind::Stream, 0),
        "udp" => (Kind::Datagram, 0),
        "ping" => (Kind::Datagram, icmp),
        "raw" => (Kind::Raw, icmp),
        other => panic!("{other}"),
    };
    world.hosts[0].socket(family, kind, protocol).expect("a socket")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").expect("memory");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).expect("hex"))
        .collect()
}

fn get(host: &mut Host, now: prise_wire::Instant, s: SocketId, level: i32, name: i32, room: usize) -> String {
    let mut out = Vec::new();
    // The kernel was given zeros to put its answer over.
    match host.option_asked(now, s, (level, name), &vec![0; room], room, &mut out) {
        Ok(()) if out.is_empty() => "-".into(),
        Ok(()) => hex(&out),
        Err(errno) => errno.name().into(),
    }
}

fn set(world: &mut World, kind: &str, level: i32, name: i32, value: &str, varies: bool) -> String {
    let (s, now) = (socket(world, kind), world.now);
    let octets = if value == "-" { vec![] } else { unhex(value) };
    let host = &mut world.hosts[0];
    let answer = match host.set_option(now, s, level, name, &octets) {
        Err(errno) => errno.name().into(),
        Ok(()) => match get(host, now, s, level, name, 16) {
            shown if shown == "ENOPROTOOPT" => "ok".into(),
            shown if shown != "-" && value.starts_with(&shown) && !varies => "same".into(),
            shown => shown,
        },
    };
    host.close(now, s);
    answer
}

/// `0-3,8` as numbers.
fn keys(text: &str) -> impl Iterator<Item = usize> {
    text.split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().expect("a number")..=last.parse().expect("a number")
    })
}

fn agrees(kernel: &str, ours: &str) -> bool {
    match kernel.strip_prefix('*') {
        // Octets that vary: as many of them.
        Some(length) => length.parse::<usize>().expect("a length") * 2 == ours.trim_matches('-').len(),
        None => kernel == ours,
    }
}

#[test]
fn every_option_answers_as_the_kernels_does() {
    let mut world = World::alone();
    let mut values = BTreeMap::new();
    let mut differences: BTreeMap<(i32, i32), Vec<String>> = BTreeMap::new();
    let mut compared = 0;
    for line in KERNEL.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if words[0] == "value" {
            values.insert(words[1].parse::<usize>().expect("a number"), words[2]);
            continue;
        }
        let (level, name) = (words[1].parse().expect("a level"), words[2].parse().expect("a name"));
        for kind in words[0].split(',') {
            let s = socket(&mut world, kind);
            for group in &words[4..] {
                let (kernel, group) = group.split_once(':').expect("an answer and its keys");
                for key in keys(group) {
                    let now = world.now;
                    let ours = match words[3] {
                        "get" => get(&mut world.hosts[0], now, s, level, name, key),
                        _ => set(&mut world, kind, level, name, values[&key], kernel.starts_with('*')),
                    };
                    compared += 1;
                    if !agrees(kernel, &ours) {
                        let shown = if words[3] == "get" {
                            key.to_string()
                        } else {
                            values[&key].into()
                        };
                        let text = format!("{kind} {} {shown}: kernel {kernel}, ours {ours}", words[3]);
                        differences.entry((level, name)).or_default().push(text);
                    }
                }
            }
            let now = world.now;
            world.hosts[0].close(now, s);
        }
    }
    assert!(compared > 100_000, "{compared}");
    let known: Vec<_> = DIFFERENCES.iter().map(|it| (it.0, it.1)).collect();
    let mut report = String::new();
    for ((level, name), texts) in differences.iter().filter(|it| !known.contains(it.0)) {
        writeln!(report, "level {level} option {name}: {} differences", texts.len()).expect("memory");
        for text in texts.iter().take(6) {
            writeln!(report, "    {text}").expect("memory");
        }
    }
    assert!(report.is_empty(), "\n{report}");
    for key in known {
        assert!(
            differences.contains_key(&key),
            "{key:?} no longer differs: take it off the list"
        );
    }
}

#[test]
fn a_closed_socket_is_a_bad_descriptor() {
    let mut world = World::new(1);
    let s = socket(&mut world, "tcp4");
    let now = world.now;
    world.hosts[0].close(now, s);
    assert_eq!(world.set(0, s, 1, 2, 1), Err(Errno::EBADF));
    assert_eq!(world.get(0, s, 1, 2), Err(Errno::EBADF));
}

#[test]
fn a_quick_ack_that_was_set_lasts_until_the_exchange_shows_otherwise() {
    const QUICKACK: i32 = 12;
    let mut world = World::new(2);
    let (client, server) = world.pair(0, 1, "10.0.0.2:80");
    assert_eq!(world.set(1, server, 6, QUICKACK, 1), Ok(()));
    assert_eq!(world.send(0, client, b"question"), Ok(8));
    world.settle();
    assert_eq!(world.recv(1, server, 10), Ok(b"question".to_vec()));
    assert_eq!(world.get(1, server, 6, QUICKACK), Ok(1));
    assert_eq!(world.send(1, server, b"answer"), Ok(6));
    world.settle();
    assert_eq!(
        world.get(1, server, 6, QUICKACK),
        Ok(0),
        "its data carry the acknowledgments"
    );
    assert_eq!(world.set(1, server, 6, QUICKACK, 1), Ok(()));
    assert_eq!(world.get(1, server, 6, QUICKACK), Ok(1));
    quick_ack_of_an_even_value(&mut world, client, server);
    // What a listener was told before listen(2) is forgotten by it, what after that is its children's.
    let listener = world.tcp(1, Family::Inet);
    world.set(1, listener, 6, QUICKACK, 0).expect("set");
    world.bind(1, listener, "10.0.0.2:81").expect("free");
    let now = world.now;
    world.hosts[1].listen(now, listener, 5).expect("free");
    assert_eq!(world.get(1, listener, 6, QUICKACK), Ok(1));
    world.set(1, listener, 6, QUICKACK, 0).expect("set");
    let other = world.tcp(0, Family::Inet);
    world.set(0, other, 6, QUICKACK, 0).expect("set");
    let _ = world.connect(0, other, "10.0.0.2:81");
    // The handshake's last acknowledgment waits for data to ride on.
    world.advance(Duration::from_millis(300));
    let (child, _) = world.accept(1, listener).expect("it came");
    assert_eq!(world.get(1, child, 6, QUICKACK), Ok(0));
    assert_eq!(world.get(0, other, 6, QUICKACK), Ok(1), "the handshake is over");
}

/// What is owed goes out, and later ones wait again; where nothing is owed, an even value is as an odd one.
fn quick_ack_of_an_even_value(world: &mut World, client: SocketId, server: SocketId) {
    const QUICKACK: i32 = 12;
    for (value, owed, told) in [(2, false, 1), (-2, true, 0), (256, true, 0), (3, true, 1), (2, true, 0)] {
        assert_eq!(world.set(1, server, 6, QUICKACK, 0), Ok(()));
        if owed {
            assert_eq!(world.send(0, client, b"x"), Ok(1));
            world.advance(Duration::from_millis(5));
        }
        assert_eq!(world.get(1, server, 6, QUICKACK), Ok(0));
        assert_eq!(world.set(1, server, 6, QUICKACK, value), Ok(()));
        assert_eq!(world.get(1, server, 6, QUICKACK), Ok(told), "{value}, one owed: {owed}");
        if owed {
            assert_eq!(world.recv(1, server, 10), Ok(b"x".to_vec()));
            // Until all is acknowledged, the client sends no more (Nagle).
            world.advance(Duration::from_millis(300));
        }
    }
}

#[test]
fn a_connection_tells_the_window_that_its_buffer_allows() {
    const TCP: i32 = 6;
    const CLAMP: i32 = 10;
    let mut world = World::new(2);
    let (client, _) = world.pair(0, 1, "10.0.0.2:80");
    let buffer = world.get(0, client, 1, 8).expect("SO_RCVBUF");
    assert_eq!(world.get(0, client, TCP, CLAMP), Ok(buffer / 2));
    world.set(0, client, TCP, CLAMP, 5000).expect("set");
    assert_eq!(world.get(0, client, TCP, CLAMP), Ok(5000));
    let fresh = world.tcp(0, Family::Inet);
    assert_eq!(world.get(0, fresh, TCP, CLAMP), Ok(0));
}

/// `SOCK_TSTAMP_NEW`: the option of stamps that was set last says which numbers all have.
#[test]
fn stamps_have_their_newer_or_their_older_numbers_together() {
    const TIMESTAMP: [i32; 2] = [29, 63];
    const TIMESTAMPING: [i32; 2] = [37, 65];
    let mut world = World::alone();
    let s = world.udp(0, Family::Inet);
    let mut shown = |set: (i32, i32)| {
        world.set(0, s, 1, set.0, set.1).expect("set");
        [TIMESTAMP, TIMESTAMPING].map(|names| names.map(|name| world.get(0, s, 1, name).expect("told")))
    };
    assert_eq!(shown((TIMESTAMPING[0], 16)), [[0, 0], [16, 0]]);
    assert_eq!(shown((TIMESTAMP[1], 1)), [[0, 1], [16, 16]]);
    assert_eq!(shown((TIMESTAMP[0], 1)), [[1, 0], [16, 0]]);
    assert_eq!(shown((TIMESTAMPING[1], 24)), [[0, 1], [24, 24]]);
    assert_eq!(
        shown((TIMESTAMP[0], 0)),
        [[0, 0], [24, 24]],
        "switched off, it says nothing of numbers"
    );
}

#[test]
fn raw_sockets_have_what_their_protocol_has() {
    let mut world = World::new(1);
    let raw = |world: &mut World, family, protocol| {
        let made = world.hosts[0].socket(family, Kind::Raw, protocol);
        made.expect("a socket")
    };
    let (icmp, udp) = (raw(&mut world, Family::Inet6, 58), raw(&mut world, Family::Inet6, 17));
    // IPV6_HDRINCL at the level of raw sockets is that of IPv6.
    assert_eq!(world.get(0, udp, 255, 36), Ok(0));
    assert_eq!(world.set(0, udp, 255, 36, 2), Ok(()));
    assert_eq!(world.get(0, udp, 41, 36), Ok(1));
    // The level of ICMPv6 is its own, whatever the option.
    for name in [1, 2, 99] {
        assert_eq!(world.set(0, udp, 58, name, 1), Err(Errno::EOPNOTSUPP), "{name}");
        assert_eq!(world.get(0, udp, 58, name), Err(Errno::EOPNOTSUPP), "{name}");
    }
    assert_eq!(world.get(0, icmp, 58, 2), Err(Errno::ENOPROTOOPT));
    // IP_ROUTER_ALERT is of who hears packets.
    let (sender, hearer) = (raw(&mut world, Family::Inet, 255), raw(&mut world, Family::Inet, 2));
    assert_eq!(world.set(0, sender, 0, 5, 1), Err(Errno::EINVAL));
    assert_eq!(world.set(0, hearer, 0, 5, 1), Ok(()));
}

/// `SO_TIMESTAMPNS_NEW` is told of by `SO_TIMESTAMP_NEW` too; no other stamp has two names.
#[test]
fn newer_stamps_of_nanoseconds_show_by_two_names() {
    const NAMES: [i32; 4] = [29, 35, 63, 64];
    let mut world = World::alone();
    let s = world.udp(0, Family::Inet);
    for (name, shown) in [
        (29, [1, 0, 0, 0]),
        (35, [0, 1, 0, 0]),
        (63, [0, 0, 1, 0]),
        (64, [0, 0, 1, 1]),
    ] {
        world.set(0, s, 1, name, 1).expect("set");
        assert_eq!(
            NAMES.map(|name| world.get(0, s, 1, name).expect("told")),
            shown,
            "{name}"
        );
    }
}
