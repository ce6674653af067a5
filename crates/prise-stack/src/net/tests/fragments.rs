//! Fragmentation and reassembly.

use crate::fixture::{Eth, Node, at, exchange, ms, node, node_with, over_the_wire};
use crate::send::Fragmentation;
use crate::udp::UdpSend;
use crate::{DatagramError, Discard};
use alloc::vec::Vec;
use prise_wire::{Body, Frame, Instant, IpVersion, Ipv4Header, Medium, Payload};
use proptest::prelude::*;

const PAIRS: [(&str, &str); 2] = [
    ("10.0.2.1:9001", "10.0.2.2:9000"),
    ("[fd00:2::1]:9001", "[fd00:2::2]:9000"),
];

fn bare_ip(number: u8, mtu: u32) -> Node {
    node_with(
        number,
        Eth {
            medium: Medium::Ip,
            mtu,
            ..Eth::default()
        },
    )
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// The fragments of a datagram of so many octets, as they come off the wire.
fn fragments(from: &str, to: &str, len: usize) -> Vec<Frame> {
    let mut a = bare_ip(1, 1300);
    let id = a.udp_at(from);
    a.stack.udp_send(ms(0), id, UdpSend::new(at(to), text(len))).unwrap();
    a.sent(ms(0))
        .into_iter()
        .map(|frame| over_the_wire(Medium::Ip, frame))
        .collect()
}

#[test]
fn a_datagram_larger_than_the_mtu_arrives_whole_in_either_version() {
    for (from, to) in PAIRS {
        for len in [1200, 1272, 1273, 5000, 65_000, 65_507] {
            let (mut a, mut b) = (node(1), node(2));
            let (outbox, inbox) = (a.udp_at(from), b.udp(9000));
            a.stack
                .udp_send(ms(0), outbox, UdpSend::new(at(to), text(len)))
                .unwrap();
            let log = exchange(ms(0), &mut a, &mut b);
            assert!(log.iter().all(|(_, frame)| frame.total_len() <= 14 + 1500));
            assert_eq!(b.payloads(inbox), [text(len)], "{to} {len}");
        }
    }
}

#[test]
fn a_datagram_may_come_in_hundreds_of_pieces() {
    let (from, to) = PAIRS[0];
    let (mut a, mut b) = (bare_ip(1, 68), bare_ip(2, 1500));
    let (outbox, inbox) = (a.udp_at(from), b.udp(9000));
    a.stack
        .udp_send(ms(0), outbox, UdpSend::new(at(to), text(40_000)))
        .unwrap();
    let pieces = a.sent(ms(0));
    assert!(pieces.len() > 800, "{}", pieces.len());
    for piece in pieces {
        b.receive(ms(0), over_the_wire(Medium::Ip, piece));
    }
    assert_eq!(b.payloads(inbox), [text(40_000)]);
}

#[test]
fn more_than_a_datagram_can_carry_is_refused() {
    for ((from, to), most) in PAIRS.into_iter().zip([65_507, 65_527]) {
        let mut a = node(1);
        let id = a.udp_at(from);
        let refused = a.stack.udp_send(ms(0), id, UdpSend::new(at(to), text(most + 1)));
        assert_eq!(refused, Err(DatagramError::TooBig { mtu: 1500 }));
        assert_eq!(a.stack.udp_send(ms(0), id, UdpSend::new(at(to), text(most))), Ok(()));
    }
}

#[test]
fn by_the_interface_nothing_is_fragmented_here_and_routers_may() {
    let mut a = node(1);
    let id = a.udp(9001);
    let mut send = UdpSend::new(at("10.0.2.2:9000"), text(1473));
    send.fragmentation = Fragmentation::Interface;
    assert_eq!(
        a.stack.udp_send(ms(0), id, send.clone()),
        Err(DatagramError::TooBig { mtu: 1500 })
    );
    send.payload.truncate(1472);
    assert_eq!(a.stack.udp_send(ms(0), id, send), Ok(()));
}

#[test]
fn what_may_not_be_fragmented_is_refused_with_the_mtu() {
    let mut a = node(1);
    let id = a.udp(9001);
    let mut send = UdpSend::new(at("10.0.2.2:9000"), text(1473));
    send.fragmentation = Fragmentation::Refuse;
    assert_eq!(
        a.stack.udp_send(ms(0), id, send.clone()),
        Err(DatagramError::TooBig { mtu: 1500 })
    );
    send.payload.truncate(1472);
    assert_eq!(a.stack.udp_send(ms(0), id, send), Ok(()));
}

#[test]
fn fragments_may_come_in_reverse_and_twice() {
    for (from, to) in PAIRS {
        let mut b = bare_ip(2, 1500);
        let inbox = b.udp(9000);
        let sent = fragments(from, to, 5000);
        let (last, rest) = sent.split_first().unwrap();
        for fragment in rest.iter().rev() {
            b.receive(ms(0), fragment.clone());
            b.receive(ms(0), fragment.clone());
        }
        b.receive(ms(0), last.clone());
        assert_eq!(b.payloads(inbox), [text(5000)]);
        assert_eq!(b.discarded(Discard::FragmentDuplicate), rest.len() as u64);
        assert_eq!(
            [IpVersion::V4, IpVersion::V6]
                .map(|it| b.stack.ip_counters(it).reassembled)
                .iter()
                .sum::<u64>(),
            1
        );
        assert_eq!(b.stack.next_deadline(), None, "nothing is left to time out");
    }
}

/// The fragment with its offset moved by so many units of eight octets, IPv4 or IPv6.
fn moved(fragment: &Frame, units: i16) -> Frame {
    let mut octets = fragment.to_vec();
    if octets[0] >> 4 == 4 {
        let mut header = Ipv4Header::parse(&octets).unwrap();
        header.fragment_offset = header.fragment_offset.wrapping_add_signed(units * 8);
        prise_wire::Emit::emit(&header, &mut octets);
    } else {
        let field = i16::from_be_bytes([octets[42], octets[43]]) + units * 8;
        octets[42..44].copy_from_slice(&field.to_be_bytes());
    }
    Frame::from_contiguous(Medium::Ip, octets.into())
}

/// The fragment with another ECN field.
fn marked(fragment: &Frame, ecn: u8) -> Frame {
    let mut octets = fragment.to_vec();
    if octets[0] >> 4 == 4 {
        let mut header = Ipv4Header::parse(&octets).unwrap();
        header.tos = header.tos & !3 | ecn;
        prise_wire::Emit::emit(&header, &mut octets);
    } else {
        octets[1] = octets[1] & !0x30 | ecn << 4;
    }
    Frame::from_contiguous(Medium::Ip, octets.into())
}

/// Sends one datagram whose fragments have these ECN fields in turn; the field that the program sees.
fn reassembled_with((from, to): (&str, &str), fields: &[u8]) -> (Node, Option<u8>) {
    let mut b = bare_ip(2, 1500);
    let inbox = b.udp(9000);
    for (number, fragment) in fragments(from, to, 5000).iter().enumerate() {
        b.receive(ms(0), marked(fragment, fields[number % fields.len()]));
    }
    let got = b.stack.udp_receive(inbox).map(|datagram| datagram.tos & 3);
    (b, got)
}

#[test]
fn a_mark_on_one_fragment_marks_the_whole() {
    for pair in PAIRS {
        assert_eq!(reassembled_with(pair, &[2, 3, 2]).1, Some(3));
        assert_eq!(reassembled_with(pair, &[3, 1]).1, Some(3));
        assert_eq!(reassembled_with(pair, &[2]).1, Some(2), "the same everywhere stays");
        assert_eq!(reassembled_with(pair, &[0]).1, Some(0));
    }
}

#[test]
fn a_mark_beside_a_fragment_that_is_not_capable_drops_the_whole() {
    for pair in PAIRS {
        for fields in [[0, 3], [3, 0], [2, 0]] {
            let (b, got) = reassembled_with(pair, &fields);
            assert_eq!(got, None);
            assert_eq!(b.discarded(Discard::FragmentEcnMixed), 1);
            assert_eq!(b.stack.next_deadline(), None, "nothing is left to time out");
        }
    }
}

#[test]
fn overlapping_fragments_lose_their_datagram_and_nothing_is_said() {
    for ((from, to), later) in PAIRS
        .into_iter()
        .zip([Discard::FragmentOverlap, Discard::FragmentOfDropped])
    {
        for units in [-1, 1] {
            let mut b = bare_ip(2, 1500);
            let inbox = b.udp(9000);
            let sent = fragments(from, to, 5000);
            b.receive(ms(0), sent[1].clone());
            b.receive(ms(0), moved(&sent[1], units));
            assert_eq!(b.discarded(Discard::FragmentOverlap), 1);
            for fragment in &sent[2..] {
                b.receive(ms(0), fragment.clone());
            }
            b.receive(ms(0), sent[0].clone());
            assert!(b.payloads(inbox).is_empty());
            if later == Discard::FragmentOfDropped {
                assert_eq!(
                    b.discarded(later),
                    sent.len() as u64 - 1,
                    "RFC 5722: those to come are dropped as well"
                );
                b.stack.expire(ms(100_000));
                assert!(b.sent(ms(100_000)).is_empty());
            }
        }
    }
}

#[test]
fn the_same_place_with_other_content_is_an_overlap() {
    let mut b = bare_ip(2, 1500);
    let sent = fragments(PAIRS[1].0, PAIRS[1].1, 3000);
    b.receive(ms(0), sent[1].clone());
    let mut octets = sent[1].to_vec();
    octets[100] ^= 1;
    b.receive(ms(0), Frame::from_contiguous(Medium::Ip, octets.into()));
    assert_eq!(b.discarded(Discard::FragmentOverlap), 1);
}

#[test]
fn a_datagram_that_stays_incomplete_is_reported_if_its_beginning_came() {
    for ((from, to), (seconds, error)) in PAIRS.into_iter().zip([(30, [11, 1]), (60, [3, 1])]) {
        for first in [true, false] {
            let mut b = bare_ip(2, 1500);
            let sent = fragments(from, to, 3000);
            b.receive(ms(7), sent[usize::from(!first)].clone());
            let due = ms(7 + seconds * 1000);
            assert_eq!(b.stack.next_deadline(), Some(due));
            b.stack.expire(due);
            assert_eq!(b.discarded(Discard::ReassemblyTimeout), 1);
            let answers = b.sent(due);
            assert_eq!(answers.len(), usize::from(first));
            if first {
                let octets = answers[0].to_vec();
                let icmp_at = if octets[0] >> 4 == 4 { 20 } else { 40 };
                assert_eq!(octets[icmp_at..icmp_at + 2], error);
            }
        }
    }
}

#[test]
fn memory_for_reassembly_is_bounded_and_the_oldest_go_first() {
    let mut b = bare_ip(2, 1500);
    let sent = fragments(PAIRS[0].0, PAIRS[0].1, 3000);
    for n in 0..10_000_u16 {
        let mut octets = sent[0].to_vec();
        let mut header = Ipv4Header::parse(&octets).unwrap();
        header.identification = n;
        prise_wire::Emit::emit(&header, &mut octets);
        b.receive(ms(n.into()), Frame::from_contiguous(Medium::Ip, octets.into()));
    }
    let evicted = b.discarded(Discard::ReassemblyEvicted);
    // Of 4 MiB each takes about its packet of 1300 octets and two overheads of 256.
    let held = 10_000 - evicted;
    assert!((2300..=2315).contains(&held), "{held}");
    assert!(b.stack.net.reassembly.kept().1 <= 4 << 20);
    assert_eq!(b.stack.next_deadline(), Some(ms(evicted + 30_000)));
}

#[test]
fn a_few_octets_do_not_keep_the_large_frames_that_they_came_in() {
    let mut b = bare_ip(2, 65_535);
    for n in 0..2000_u16 {
        let mut header = Ipv4Header::new("10.0.2.1".parse().unwrap(), "10.0.2.2".parse().unwrap(), 17, 8);
        header.identification = n;
        header.more_fragments = true;
        let mut octets = alloc::vec![0; 60_000];
        prise_wire::Emit::emit(&header, &mut octets[..20]);
        b.receive(ms(0), Frame::from_contiguous(Medium::Ip, octets.into()));
    }
    let (kept, charged) = b.stack.net.reassembly.kept();
    assert!(kept <= charged && kept <= 2000 * 1024, "{kept} kept, {charged} charged");
}

#[test]
fn what_may_go_anywhere_costs_the_same_wherever_it_goes() {
    let mut b = bare_ip(2, 1500);
    let mut header = Ipv4Header::new("10.0.2.1".parse().unwrap(), "10.0.2.2".parse().unwrap(), 17, 8);
    header.more_fragments = true;
    // From both ends to the middle, where a list is slowest; every second place, so that nothing is complete.
    let places = (0..2000_u16).flat_map(|n| [2 * n, 8100 - 2 * n]);
    let mut sent = 0;
    for place in places.filter(|place| place.is_multiple_of(2)) {
        header.fragment_offset = place * 8;
        let mut octets = alloc::vec![0; 28];
        prise_wire::Emit::emit(&header, &mut octets[..20]);
        b.receive(ms(0), Frame::from_contiguous(Medium::Ip, octets.into()));
        sent += 1;
    }
    assert_eq!(
        b.discarded(Discard::FragmentOverlap) + b.discarded(Discard::FragmentMalformed),
        0
    );
    let charged = b.stack.net.reassembly.kept().1;
    assert!(charged > sent * 256 && charged <= 256 + sent * (256 + 28), "{charged}");
}

#[test]
fn fragments_of_impossible_shape_are_malformed() {
    let mut b = bare_ip(2, 1500);
    for (offset, more, len) in [(0, true, 13), (65_528, false, 16), (65_000, true, 1000), (8, false, 0)] {
        let mut header = Ipv4Header::new("10.0.2.1".parse().unwrap(), "10.0.2.2".parse().unwrap(), 17, len);
        header.fragment_offset = offset;
        header.more_fragments = more;
        let mut frame = Frame::new(prise_wire::Head::new(), Body::from(Payload::from(alloc::vec![0; len])));
        frame.push_header(&header);
        b.receive(ms(0), over_the_wire(Medium::Ip, frame));
    }
    assert_eq!(b.discarded(Discard::FragmentMalformed), 4);
    assert_eq!(b.stack.next_deadline(), None);
}

#[test]
fn a_fragment_header_on_a_whole_packet_does_not_make_it_wait() {
    let mut b = bare_ip(2, 1500);
    let inbox = b.udp(9000);
    let whole = fragments(PAIRS[1].0, PAIRS[1].1, 10).remove(0).to_vec();
    let mut atomic = whole[..40].to_vec();
    atomic[5] += 8;
    atomic[6] = 44;
    atomic.extend_from_slice(&[17, 0, 0, 0, 1, 2, 3, 4]);
    atomic.extend_from_slice(&whole[40..]);
    b.receive(ms(0), Frame::from_contiguous(Medium::Ip, atomic.into()));
    assert_eq!(b.payloads(inbox), [text(10)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fragments_in_any_order_make_the_datagram_once(
        len in 1300_usize..20_000,
        ipv4: bool,
        order in proptest::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let (from, to) = PAIRS[usize::from(!ipv4)];
        let mut b = bare_ip(2, 1500);
        let inbox = b.udp(9000);
        let sent = fragments(from, to, len);
        let mut here = alloc::vec![false; sent.len()];
        let mut rest: Vec<usize> = (0..sent.len()).collect();
        for index in order {
            let n = *index.get(&(0..sent.len()).collect::<Vec<_>>());
            // A copy of a fragment of a complete datagram would begin another.
            if here.iter().all(|&here| here) { break; }
            here[n] = true;
            rest.retain(|&other| other != n);
            b.receive(Instant::ZERO, sent[n].clone());
        }
        for n in rest {
            b.receive(Instant::ZERO, sent[n].clone());
        }
        prop_assert_eq!(b.payloads(inbox), [text(len)]);
    }
}
