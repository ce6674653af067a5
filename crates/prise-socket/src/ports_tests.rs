//! The rules of [`Ports`] against what the kernel did (`tests/kernel/bind_matrix.py`).

use alloc::string::String;
use core::fmt::Write as _;
use std::collections::HashSet;

use super::*;

const KERNEL: &str = include_str!("../tests/kernel/bind_matrix.txt");

fn random() -> Random {
    Random::new([7; 32])
}

/// One side of the matrix, `ADDRESS[@DEVICE] OPTIONS [listening]`.
fn side(text: &str, owner: u32) -> Claim {
    let mut words = text.split_whitespace();
    let (address, device) = match words.next().expect("an address").split_once('@') {
        Some((address, device)) => (address, LinkId::new(u8::from(device == "d0"))),
        None => (text.split_whitespace().next().expect("an address"), None),
    };
    let options = words.next().expect("options");
    let v6 = |text: &str, v6_only| Holder::V6 {
        addr: text.parse().expect("an address"),
        v6_only,
    };
    let holder = match address {
        "4any" => Holder::V4(Ipv4Addr::UNSPECIFIED),
        "4lo1" => Holder::V4(Ipv4Addr::LOCALHOST),
        "4lo2" => Holder::V4(Ipv4Addr::new(127, 0, 0, 2)),
        "6any" => v6("::", false),
        "6any!" => v6("::", true),
        // A socket bound to a pure IPv6 address is V6ONLY from then on.
        "6lo" => v6("::1", true),
        "m0" => v6("::ffff:0.0.0.0", false),
        "m1" => v6("::ffff:127.0.0.1", false),
        other => panic!("{other}"),
    };
    Claim {
        holder,
        device,
        owner,
        reuse_addr: "rb".contains(options),
        reuse_port: "pb".contains(options),
        listening: words.next() == Some("listening"),
        picked: false,
        closed: false,
    }
}

/// What the kernel's script does with one pair of sockets.
fn cell(rules: Rules, first: Claim, second: Claim) -> char {
    let mut ports = Ports::new(rules, HashKey::new([1, 2]));
    ports.hold(80, first);
    if !ports.may_hold(80, &second) {
        return 'B';
    }
    let listening = Claim {
        listening: true,
        ..second
    };
    if rules == Rules::Tcp && !ports.may_hold(80, &listening) {
        'L'
    } else {
        '.'
    }
}

#[test]
fn every_pair_of_sockets_shares_a_port_exactly_when_the_kernel_lets_it() {
    let mut ours = String::new();
    let (mut rules, mut columns, mut owner) = (Rules::Tcp, Vec::new(), 0);
    for line in KERNEL.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            rules = if title.starts_with("tcp") {
                Rules::Tcp
            } else {
                Rules::Udp
            };
            owner = if title.ends_with("owner") { 1234 } else { 0 };
            writeln!(ours, "{line}").expect("memory");
        } else if let Some(names) = line.strip_prefix("   columns: ") {
            columns = names.split(", ").collect();
            writeln!(ours, "{line}").expect("memory");
        } else {
            let row = line[..22].trim();
            let cells: String = columns
                .iter()
                .map(|column| cell(rules, side(row, 0), side(column, owner)))
                .collect();
            writeln!(ours, "{row:22} {cells}").expect("memory");
        }
    }
    for (ours, kernel) in ours.lines().zip(KERNEL.lines()) {
        assert_eq!(ours, kernel);
    }
    assert_eq!(ours.lines().count(), KERNEL.lines().count());
}

fn any(reuse_addr: bool) -> Claim {
    Claim {
        holder: Holder::V4(Ipv4Addr::UNSPECIFIED),
        device: None,
        owner: 0,
        reuse_addr,
        reuse_port: false,
        listening: false,
        picked: false,
        closed: false,
    }
}

#[test]
fn port_zero_gets_every_port_of_the_range_once_and_then_none() {
    let (mut ports, mut random) = (Ports::new(Rules::Tcp, HashKey::new([1, 2])), random());
    let mut seen = HashSet::new();
    for n in 0..1000 {
        let port = ports
            .pick((40000, 40999), &any(true), &mut random)
            .expect("a port is left");
        assert!((40000..=40999).contains(&port));
        assert!(
            n >= 500 || port % 2 == 1,
            "odd ports first: connect wants the even ones"
        );
        assert!(seen.insert(port));
        ports.hold(port, any(true));
    }
    assert_eq!(ports.pick((40000, 40999), &any(true), &mut random), None);
}

#[test]
fn connect_shares_ports_that_connect_picked_and_no_others() {
    let (mut ports, mut random) = (Ports::new(Rules::Tcp, HashKey::new([1, 2])), random());
    ports.hold(
        40000,
        Claim {
            picked: true,
            ..any(false)
        },
    );
    ports.hold(40001, any(true));
    let offered: HashSet<_> = ports.for_connect((40000, 40003), &mut random).collect();
    assert_eq!(offered, HashSet::from([40000, 40002, 40003]));
}

#[test]
fn equal_claims_are_counted_and_the_last_one_frees_the_port() {
    let mut ports = Ports::new(Rules::Tcp, HashKey::new([1, 2]));
    let listener = Claim {
        listening: true,
        ..any(true)
    };
    let accepted = Claim {
        holder: Holder::V4(Ipv4Addr::LOCALHOST),
        ..any(true)
    };
    ports.hold(80, listener);
    for _ in 0..3 {
        ports.hold(80, accepted);
    }
    ports.release(80, listener);
    assert!(!ports.may_hold(80, &any(false)), "accepted connections keep the port");
    assert!(ports.may_hold(80, &any(true)), "unless both sides say SO_REUSEADDR");
    for _ in 0..3 {
        ports.release(80, accepted);
    }
    assert!(!ports.is_held(80));
}

#[test]
fn a_bucket_is_small() {
    assert!(size_of::<Bucket>() <= 48, "{}", size_of::<Bucket>());
}

#[test]
fn candidates_begin_anywhere_and_prefer_one_parity() {
    let mut random = random();
    let range = (32_768, 60_999);
    let firsts: HashSet<u16> = (0..64)
        .filter_map(|_| candidates(range, &mut random, Parity::Even).next())
        .collect();
    assert!(firsts.len() > 50, "an outsider cannot guess the next: {firsts:?}");
    assert!(firsts.iter().all(|port| port % 2 == 0));
    let all: Vec<u16> = candidates(range, &mut random, Parity::Odd).collect();
    let half = all.len() / 2;
    assert!(all[..half].iter().all(|port| port % 2 == 1) && all[half..].iter().all(|port| port % 2 == 0));
}
