//! Requirements of RFC 9293 that a script cannot put into words: several segments at once, other addresses, other times.

use prise_script::option::Opt;
use prise_script::ours::{self, Ours};
use prise_script::packet::{Addresses, Outgoing, Seen};
use prise_script::parse;
use prise_script::run::{self, LISTEN_PORT, PEER_PORT, Variant};
use prise_script::script::{Script, flag};
use prise_script::subject::Subject;
use prise_socket::{Errno, Family, Kind};
use prise_wire::Instant;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const PEER_ISN: u32 = 7000;

fn script(text: &str) -> Script {
    let text = format!("== a test\n{text}");
    parse::parse("test", &text).expect("it is right").remove(0)
}

/// Runs these lines and answers the host and the ISN that it chose for flow 1.
fn after(text: &str, ipv6: bool, start: Duration) -> (Ours, u32) {
    let script = script(text);
    let mut subject = Ours::starting_at(&script, ipv6, 9, start);
    let variant = Variant { ipv6, isn: PEER_ISN };
    let trace = run::run(&script, &mut subject, variant).unwrap_or_else(|failure| panic!("{failure}"));
    (subject, trace.subject_isn.unwrap_or_default())
}

/// The ISN of flow 1, as `Run::flow` chooses it.
const FLOW_ISN: u32 = PEER_ISN + 0x0100_0000;

fn segment(seq: u32, ack: u32, flags: u16, data: &[u8]) -> Outgoing {
    Outgoing {
        source_port: PEER_PORT + 1,
        destination_port: LISTEN_PORT,
        seq,
        ack,
        flags,
        window: 65_535,
        urgent: 0,
        options: vec![Opt::Mss(1000)],
        data: data.to_vec(),
        ecn: 0,
        ip_options: false,
        bad_checksum: false,
        data_offset: None,
        reserved: 0,
    }
}

fn sent(subject: &mut Ours, addresses: Addresses) -> Vec<Seen> {
    let now = subject.now();
    std::iter::from_fn(|| subject.next_packet(now))
        .filter_map(|(_, packet)| Seen::parse(&packet, addresses).expect("a good packet"))
        .collect()
}

// rfc: 9293 MUST-58 MUST-59
#[test]
fn segments_that_arrive_together_are_acknowledged_together() {
    let (mut subject, isn) = after("open passive", false, ours::START);
    let addresses = Addresses::new(false);
    let packets: Vec<Vec<u8>> = (0..4)
        .map(|at| {
            let seq = FLOW_ISN + 1 + at * 100;
            let mut segment = segment(seq, isn.wrapping_add(1), flag::ACK, &[1; 100]);
            segment.options.clear();
            segment.to_packet(addresses)
        })
        .collect();
    subject.inject_together(&packets);
    let answers = sent(&mut subject, addresses);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].ack, FLOW_ISN + 401);
}

// rfc: 9293 MUST-8 SHLD-1; 6528 §3
#[test]
fn the_initial_sequence_number_is_a_clock_plus_a_secret_of_the_four_tuple() {
    let script = script("bind 5000\nconnect -> EINPROGRESS\n> S 0");
    let variant = Variant {
        ipv6: false,
        isn: PEER_ISN,
    };
    let isn = |seed, start| {
        let mut subject = Ours::starting_at(&script, false, seed, start);
        let trace = run::run(&script, &mut subject, variant).expect("a SYN leaves");
        trace.subject_isn.expect("it has an ISN")
    };
    let one = isn(9, ours::START);
    let later = isn(9, ours::START + Duration::from_secs(1));
    // One tick in 4.096 µs.
    assert_eq!(later.wrapping_sub(one), 1_000_000_000 / 4096);
    let other_secret = isn(10, ours::START);
    assert!(other_secret.abs_diff(one) > 1000, "{other_secret} {one}");
}

// rfc: 9293 MUST-15 SHLD-5
#[test]
fn without_an_mss_option_ipv6_gets_1220_octets() {
    let text = "listen\n< S 0 <>\n> S. 0 ack 1 <mss 1460>\n< . 1 ack 1\naccept\nwrite 2440 -> 2440\n> . 1:1221 ack 1\n\
                > P. 1221:2441 ack 1";
    after(text, true, ours::START);
}

// rfc: 9293 MUST-46
#[test]
fn an_open_to_an_address_that_is_no_hosts_is_refused() {
    let (mut subject, _) = after("socket", false, ours::START);
    let now = Instant::ZERO + ours::START;
    for address in ["255.255.255.255", "10.5.0.255", "224.0.0.1"] {
        let host = subject.host();
        let socket = host.socket(Family::Inet, Kind::Stream, 0).expect("a socket");
        let remote = SocketAddr::new(address.parse().expect("an address"), 80);
        assert_eq!(host.connect(now, socket, remote), Err(Errno::ENETUNREACH), "{address}");
    }
    let (mut subject, _) = after("socket", true, ours::START);
    let host = subject.host();
    let socket = host.socket(Family::Inet6, Kind::Stream, 0).expect("a socket");
    let remote = SocketAddr::new("ff02::1".parse().expect("an address"), 80);
    assert_eq!(host.connect(now, socket, remote), Err(Errno::ENETUNREACH));
}

fn syn_is_ignored(subject: &str, peer: &str) {
    let addresses = Addresses {
        subject: subject.parse().expect("an address"),
        peer: peer.parse().expect("an address"),
    };
    let (mut host, _) = after("listen", addresses.peer.is_ipv6(), ours::START);
    host.inject_together(&[segment(1, 0, flag::SYN, &[]).to_packet(addresses)]);
    let now = host.now();
    let answer = host.next_packet(now);
    let text: Option<(IpAddr, IpAddr)> = answer.map(|_| (addresses.peer, addresses.subject));
    assert_eq!(text, None, "a SYN from and to these was answered");
}

// rfc: 9293 MUST-57
#[test]
fn a_syn_to_a_broadcast_or_multicast_address_is_discarded_in_silence() {
    for subject in ["255.255.255.255", "10.5.0.255", "224.0.0.1"] {
        syn_is_ignored(subject, "10.5.0.2");
    }
    syn_is_ignored("ff02::1", "fd00:5::2");
}

// rfc: 9293 MUST-63
#[test]
fn a_syn_from_an_address_that_is_no_hosts_is_ignored() {
    for peer in ["255.255.255.255", "10.5.0.255", "224.0.0.1", "127.0.0.1", "0.0.0.0"] {
        syn_is_ignored("10.5.0.1", peer);
    }
    for peer in ["ff02::1", "::1", "::"] {
        syn_is_ignored("fd00:5::1", peer);
    }
}
