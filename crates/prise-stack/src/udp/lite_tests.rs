//! UDP-Lite: what is covered, what is demanded, and that its ports are its own.

use super::{Coverage, UdpConfig, UdpId, UdpProtocol, UdpSend};
use crate::fixture::{Node, at, exchange, ms, node, over_the_wire};
use crate::{Discard, Family, Local};
use prise_wire::{Frame, Payload, protocol};

const ADDRESSES: [(&str, &str); 2] = [
    ("10.0.2.1:4000", "10.0.2.2:5000"),
    ("[fd00:2::1]:4000", "[fd00:2::2]:5000"),
];

fn lite(node: &mut Node, local: &str) -> UdpId {
    node.stack.udp_bind(&UdpConfig {
        protocol: UdpProtocol::Lite,
        ..UdpConfig::new(Local::endpoint(at(local)), 1)
    })
}

/// What leaves towards `dst` when a socket with that coverage sends, after the neighbors have been found.
fn sent(a: &mut Node, b: &mut Node, (src, dst): (&str, &str), coverage: Coverage, payload: &[u8]) -> Frame {
    let id = lite(a, src);
    a.stack.udp_set_coverage(id, coverage);
    for text in ["warm", ""] {
        let octets = if text.is_empty() { payload } else { text.as_bytes() };
        let send = UdpSend::new(at(dst), Payload::copy_from(octets));
        a.stack.udp_send(ms(0), id, send).unwrap();
        if !text.is_empty() {
            exchange(ms(0), a, b);
        }
    }
    a.stack.udp_close(ms(0), id);
    over_the_wire(a.medium, a.sent(ms(0)).remove(0))
}

// rfc: 3828 §3.1/3
#[test]
fn only_what_the_checksum_covers_must_be_intact() {
    for way in ADDRESSES {
        let (mut a, mut b) = (node(1), node(2));
        let receiver = lite(&mut b, way.1);
        let partial = Coverage {
            send: Some(12),
            ..Coverage::default()
        };
        let frame = sent(&mut a, &mut b, way, partial, b"head and tail");
        while b.stack.udp_receive(receiver).is_some() {}
        let len = frame.total_len();
        let flipped = |at: usize| {
            let mut octets = frame.to_vec();
            octets[at] ^= 0x10;
            Frame::from_contiguous(prise_wire::Medium::Ethernet, octets.into())
        };
        b.receive(ms(0), flipped(len - 1));
        let got = b
            .stack
            .udp_receive(receiver)
            .expect("damage beyond the coverage is let through");
        assert_eq!(got.payload.len(), 13);
        b.receive(ms(0), flipped(len - 13));
        assert!(b.stack.udp_receive(receiver).is_none());
        assert_eq!(
            b.discarded(Discard::UdpChecksum),
            1,
            "damage within the coverage is not"
        );
    }
}

// rfc: 3828 §3.1/1
#[test]
fn the_coverage_field_is_the_length_unless_the_program_says_less() {
    for (send, expected) in [
        (None, 21),
        (Some(0), 0),
        (Some(8), 8),
        (Some(20), 20),
        (Some(21), 21),
        (Some(900), 21),
    ] {
        for way in ADDRESSES {
            let (mut a, mut b) = (node(1), node(2));
            let coverage = Coverage { send, receive: None };
            let frame = sent(&mut a, &mut b, way, coverage, b"head and tail");
            let at = frame.layout(prise_wire::Medium::Ethernet).unwrap().transport_at;
            assert_eq!(
                frame.layout(prise_wire::Medium::Ethernet).unwrap().protocol,
                protocol::UDP_LITE
            );
            assert_eq!(frame.head()[at + 4..at + 6], u16::to_be_bytes(expected), "{send:?}");
            let receiver = lite(&mut b, way.1);
            b.receive(ms(0), frame);
            assert!(b.stack.udp_receive(receiver).is_some(), "{send:?}");
        }
    }
}

// rfc: 3828 §3.1/2
#[test]
fn impossible_coverages_and_absent_checksums_are_dropped() {
    for way in ADDRESSES {
        let (mut a, mut b) = (node(1), node(2));
        let receiver = lite(&mut b, way.1);
        let frame = sent(&mut a, &mut b, way, Coverage::default(), b"payload");
        while b.stack.udp_receive(receiver).is_some() {}
        let transport_at = frame.layout(prise_wire::Medium::Ethernet).unwrap().transport_at;
        let with = |at: usize, value: u16| {
            let mut frame = frame.clone();
            frame.head_mut()[transport_at + at..transport_at + at + 2].copy_from_slice(&value.to_be_bytes());
            frame
        };
        b.receive(ms(0), with(4, 16));
        b.receive(ms(0), with(6, 0));
        assert_eq!(b.discarded(Discard::UdpLiteCoverage), 2);
        b.receive(ms(0), with(4, 7));
        assert_eq!(b.discarded(Discard::UdpMalformed), 1);
        assert!(b.stack.udp_receive(receiver).is_none());
        assert_eq!(b.stack.udp_protocol_counters(UdpProtocol::Lite).errors, 3);
        assert_eq!(b.stack.udp_counters().errors, 0);
    }
}

// rfc: 3828 §3.3
#[test]
fn a_receiver_gets_only_what_is_covered_as_far_as_it_demands() {
    for (demand, covered, taken) in [
        (None, 8, true),
        (Some(12), 8, false),
        (Some(12), 12, true),
        (Some(0), 12, false),
        (Some(900), 0, true),
    ] {
        for way in ADDRESSES {
            let (mut a, mut b) = (node(1), node(2));
            let receiver = lite(&mut b, way.1);
            let coverage = Coverage {
                send: Some(covered),
                receive: None,
            };
            let frame = sent(&mut a, &mut b, way, coverage, b"payload");
            while b.stack.udp_receive(receiver).is_some() {}
            let coverage = Coverage {
                send: None,
                receive: demand,
            };
            b.stack.udp_set_coverage(receiver, coverage);
            b.receive(ms(0), frame);
            assert_eq!(b.stack.udp_receive(receiver).is_some(), taken, "{demand:?} {covered}");
            assert_eq!(b.discarded(Discard::UdpLiteCoverageTooSmall), u64::from(!taken));
        }
    }
}

// rfc: 3828 §5
#[test]
fn its_ports_are_not_those_of_udp() {
    let (mut a, mut b) = (node(1), node(2));
    let (src, dst) = ADDRESSES[0];
    let wild = Local::wildcard(Family::V4, 5000);
    let plain = b.stack.udp_bind(&UdpConfig::new(wild, 2));
    let frame = sent(&mut a, &mut b, (src, dst), Coverage::default(), b"x");
    b.receive(ms(0), frame);
    assert!(b.stack.udp_receive(plain).is_none());
    assert_eq!(b.discarded(Discard::UdpNoSocket), 2);
    let own = lite(&mut a, src);
    exchange(ms(0), &mut a, &mut b);
    assert!(
        a.stack.udp_error(own).is_some(),
        "Port Unreachable finds the UDP-Lite socket"
    );
}
