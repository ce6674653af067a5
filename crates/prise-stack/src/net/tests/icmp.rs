//! ICMP: errors made under their rules, errors taken to their owners, echoes, path MTU.

use crate::fixture::{Eth, Node, at, exchange, ip, ms, node, node_with, over_the_wire};
use crate::send::Fragmentation;
use crate::udp::{UdpConfig, UdpSend};
use crate::{DatagramError, Discard, Event, Family, IcmpError, Local, Ready};
use alloc::vec::Vec;
use core::net::IpAddr;
use prise_wire::{
    Body, Echo, Frame, Head, Icmpv4Header, Icmpv6Header, Ipv4Header, Ipv6Header, Medium, Payload, checksum, protocol,
};

fn bare_ip(number: u8) -> Node {
    node_with(
        number,
        Eth {
            medium: Medium::Ip,
            ..Eth::default()
        },
    )
}

/// An ICMP message from `src` to `dst`; the version follows the addresses.
fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, rest: u32, body: &[u8]) -> Frame {
    let mut head = Head::new();
    let sum = checksum::sum(body);
    let out = head.grow_front(8);
    let mut frame = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            Icmpv4Header::Other { kind, code, rest }.emit_with(sum, out);
            let mut frame = Frame::new(head, Payload::copy_from(body).into());
            frame.push_header(&Ipv4Header::new(src, dst, protocol::ICMPV4, frame.total_len()));
            frame
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let pseudo = checksum::pseudo_header_v6(src, dst, protocol::ICMPV6, 8 + body.len());
            Icmpv6Header::Other { kind, code, rest }.emit_with(pseudo, sum, out);
            let mut frame = Frame::new(head, Payload::copy_from(body).into());
            frame.push_header(&Ipv6Header::new(src, dst, protocol::ICMPV6, frame.total_len()));
            frame
        }
        _ => panic!("one version only"),
    };
    frame.offload.checksum = prise_wire::Checksum::Unverified;
    over_the_wire(Medium::Ip, frame)
}

/// A UDP datagram as host 2 sends it to a port of host 1 that nobody has.
fn knock(from: &str, to: &str, len: usize) -> Frame {
    let mut b = bare_ip(2);
    let id = b.udp_at(from);
    b.stack
        .udp_send(ms(0), id, UdpSend::new(at(to), alloc::vec![0x5a; len]))
        .unwrap();
    over_the_wire(Medium::Ip, b.sent(ms(0)).remove(0))
}

#[test]
fn a_closed_port_is_unreachable_and_the_sender_learns_it() {
    for (from, to) in [("10.0.2.1:9001", "10.0.2.2:9"), ("[fd00:2::1]:9001", "[fd00:2::2]:9")] {
        let (mut a, mut b) = (node(1), node(2));
        let config = UdpConfig {
            remote: Some(at(to)),
            ..UdpConfig::new(Local::endpoint(at(from)), 77)
        };
        let id = a.stack.udp_bind(&config);
        a.stack
            .udp_send(ms(0), id, UdpSend::new(at(to), b"is there anybody".to_vec()))
            .unwrap();
        exchange(ms(0), &mut a, &mut b);
        assert_eq!(
            a.events(),
            [Event::Udp {
                token: 77,
                id,
                ready: Ready::ERROR
            }]
        );
        let report = a.stack.udp_error(id).unwrap();
        assert_eq!(
            (report.error, report.offender),
            (IcmpError::PortUnreachable, at(to).ip())
        );
        assert_eq!(
            (report.destination, report.payload.to_vec()),
            (at(to), b"is there anybody".to_vec())
        );
        assert_eq!(b.stack.udp_counters().no_socket, 1);
    }
}

#[test]
fn an_error_quotes_as_much_as_fits_the_smallest_mtu() {
    for (from, to, total) in [
        ("10.0.2.2:9001", "10.0.2.1:9", 576),
        ("[fd00:2::2]:9001", "[fd00:2::1]:9", 1280),
    ] {
        let mut a = bare_ip(1);
        let packet = knock(from, to, 1400);
        a.receive(ms(0), packet.clone());
        let answer = a.sent(ms(0)).remove(0).to_vec();
        assert_eq!(answer.len(), total);
        let quote_at = if at(to).is_ipv4() { 28 } else { 48 };
        assert_eq!(answer[quote_at..], packet.to_vec()[..total - quote_at]);
    }
}

#[test]
fn no_error_answers_what_must_not_be_answered() {
    let mut a = bare_ip(1);
    let (v4, v6) = (ip("10.0.2.2"), ip("fd00:2::2"));
    let quoted = knock("10.0.2.2:9001", "10.0.2.1:9", 10).to_vec();
    let mut later = quoted.clone();
    let mut header = Ipv4Header::parse(&later).unwrap();
    header.fragment_offset = 8;
    prise_wire::Emit::emit(&header, &mut later);
    for frame in [
        // To everybody, to a group, from nobody, to an unknown protocol in an ICMP error's name.
        knock("10.0.2.2:9001", "10.0.2.255:9", 10),
        knock("10.0.2.2:9001", "224.0.0.1:9", 10),
        knock("[fd00:2::2]:9001", "[ff02::1]:9", 10),
        icmp(v4, ip("10.0.2.1"), 3, 3, 0, &quoted),
        icmp(
            v6,
            ip("fd00:2::1"),
            1,
            4,
            0,
            &knock("[fd00:2::2]:9001", "[fd00:2::1]:9", 1).to_vec(),
        ),
        Frame::from_contiguous(Medium::Ip, later.into()),
    ] {
        a.receive(ms(0), frame);
    }
    assert!(a.sent(ms(0)).is_empty());
}

#[test]
fn errors_to_one_host_are_limited_and_those_to_ourselves_are_not() {
    let mut a = bare_ip(1);
    for _ in 0..100 {
        a.receive(ms(10_000), knock("10.0.2.2:9001", "10.0.2.1:9", 10));
    }
    assert_eq!(a.sent(ms(10_000)).len(), 6);
    assert_eq!(a.discarded(Discard::IcmpRateLimited), 94);
    let id = a.udp(9001);
    for _ in 0..100 {
        a.stack
            .udp_send(ms(10_000), id, UdpSend::new(at("127.0.0.1:9"), Body::new()))
            .unwrap();
        a.pump_lo(ms(10_000));
        assert_eq!(a.stack.udp_error(id).unwrap().error, IcmpError::PortUnreachable);
    }
}

#[test]
fn an_error_about_what_we_did_not_send_is_discarded() {
    let mut a = bare_ip(1);
    let id = a.udp(9001);
    let (router, us) = (ip("10.0.2.2"), ip("10.0.2.1"));
    let stranger = knock("10.0.2.2:9001", "10.0.2.3:9000", 10).to_vec();
    a.receive(ms(0), icmp(router, us, 3, 1, 0, &stranger));
    assert_eq!(a.discarded(Discard::IcmpErrorNotOurs), 1);
    a.stack
        .udp_send(ms(0), id, UdpSend::new(at("10.0.2.3:9000"), Body::new()))
        .unwrap();
    let ours = a.sent(ms(0)).remove(0);
    let ours = over_the_wire(Medium::Ip, ours).to_vec();
    let mut other_port = ours.clone();
    other_port[21] ^= 1;
    a.receive(ms(0), icmp(router, us, 3, 1, 0, &other_port));
    assert_eq!(a.discarded(Discard::IcmpNoOwner), 1);
    a.receive(ms(0), icmp(router, us, 3, 1, 0, &ours[..22]));
    assert_eq!(a.discarded(Discard::IcmpErrorTruncated), 1);
    a.receive(ms(0), icmp(router, us, 3, 77, 0, &ours));
    assert_eq!(a.discarded(Discard::IcmpTypeUnknown), 1);
    assert_eq!(a.stack.udp_error(id), None);
    a.receive(ms(0), icmp(router, us, 3, 1, 0, &ours));
    assert_eq!(a.stack.udp_error(id).unwrap().error, IcmpError::HostUnreachable);
}

#[test]
fn a_corrupt_message_is_not_believed() {
    for (src, dst) in [("10.0.2.2", "10.0.2.1"), ("fd00:2::2", "fd00:2::1")] {
        let mut a = bare_ip(1);
        let kind = if ip(src).is_ipv4() { 8 } else { 128 };
        let mut octets = icmp(ip(src), ip(dst), kind, 0, 0, b"data").to_vec();
        *octets.last_mut().unwrap() ^= 1;
        a.receive(ms(0), Frame::from_contiguous(Medium::Ip, octets.into()));
        assert_eq!(a.discarded(Discard::IcmpChecksum), 1);
        assert!(a.sent(ms(0)).is_empty());
    }
}

#[test]
fn an_echo_request_is_answered_with_its_own_data_and_tos() {
    for (src, dst) in [("10.0.2.2", "10.0.2.1"), ("fd00:2::2", "fd00:2::1")] {
        for len in [0, 1, 56, 1400] {
            let mut a = bare_ip(1);
            let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let (request, reply) = if ip(src).is_ipv4() { (8, 0) } else { (128, 129) };
            let echo = Echo {
                identifier: 0x1234,
                sequence: 7,
            };
            a.receive(ms(0), icmp(ip(src), ip(dst), request, 0, 0x1234_0007, &data));
            let answer = over_the_wire(Medium::Ip, a.sent(ms(0)).remove(0)).to_vec();
            let expected = icmp(ip(dst), ip(src), reply, 0, 0x1234_0007, &data).to_vec();
            let at = if ip(src).is_ipv4() { 20 } else { 40 };
            assert_eq!(answer[at..], expected[at..], "{echo:?}");
        }
    }
}

#[test]
fn everybody_is_not_pinged_over_ipv4_but_is_over_ipv6() {
    let mut a = bare_ip(1);
    a.receive(ms(0), icmp(ip("10.0.2.2"), ip("10.0.2.255"), 8, 0, 0, b""));
    assert_eq!(a.discarded(Discard::IcmpEchoBroadcast), 1);
    assert!(a.sent(ms(0)).is_empty());
    a.receive(ms(0), icmp(ip("fd00:2::2"), ip("ff02::1"), 128, 0, 0, b""));
    let answer = a.sent(ms(0)).remove(0).to_vec();
    assert_eq!(
        answer[8..24],
        [0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        "from an address of our own"
    );
}

#[test]
fn a_path_follows_what_routers_say_and_recovers_after_ten_minutes() {
    for (from, to, kind, code) in [
        ("10.0.2.1:9001", "10.0.2.2:9", 3, 4),
        ("[fd00:2::1]:9001", "[fd00:2::2]:9", 2, 0),
    ] {
        let mut a = bare_ip(1);
        let id = a.udp_at(from);
        let send = |len: usize| UdpSend {
            fragmentation: Fragmentation::Refuse,
            ..UdpSend::new(at(to), alloc::vec![0; len])
        };
        a.stack.udp_send(ms(0), id, send(1400)).unwrap();
        let quoted = a.sent(ms(0)).remove(0).to_vec();
        a.receive(
            ms(0),
            icmp(
                at(to).ip(),
                at(from).ip(),
                kind,
                code,
                1300,
                &quoted[..quoted.len().min(500)],
            ),
        );
        assert_eq!(
            a.stack.udp_error(id).unwrap().error,
            IcmpError::PacketTooBig { mtu: 1300 }
        );
        assert_eq!(a.stack.route(at(to).ip(), None, None).unwrap().mtu, 1300);
        assert_eq!(
            a.stack.udp_send(ms(0), id, send(1400)),
            Err(DatagramError::TooBig { mtu: 1300 })
        );
        // What may be fragmented is.
        a.stack
            .udp_send(ms(0), id, UdpSend::new(at(to), alloc::vec![0; 1400]))
            .unwrap();
        assert_eq!(a.sent(ms(0)).len(), 2);
        // A probe ignores what routers say.
        let probe = UdpSend {
            fragmentation: Fragmentation::Probe,
            ..send(1400)
        };
        a.stack.udp_send(ms(0), id, probe).unwrap();
        assert_eq!(a.sent(ms(0)).len(), 1);
        a.stack.expire(ms(600_000));
        assert_eq!(a.stack.udp_send(ms(600_000), id, send(1400)), Ok(()));
    }
}

#[test]
fn a_path_is_not_lowered_by_an_error_that_nobody_owns() {
    let mut a = bare_ip(1);
    let id = a.udp(9001);
    a.stack
        .udp_send(ms(0), id, UdpSend::new(at("10.0.2.2:9"), alloc::vec![0; 1400]))
        .unwrap();
    let quoted = a.sent(ms(0)).remove(0).to_vec();
    a.stack.udp_close(ms(0), id);
    a.receive(ms(0), icmp(ip("10.0.2.2"), ip("10.0.2.1"), 3, 4, 600, &quoted[..100]));
    assert_eq!(a.stack.route(ip("10.0.2.2"), None, None).unwrap().mtu, 1500);
}

#[test]
fn errors_find_a_socket_on_the_wildcard_too() {
    let (mut a, mut b) = (node(1), node(2));
    let id = a.stack.udp_bind(&UdpConfig::new(Local::wildcard(Family::V4, 9001), 1));
    a.stack
        .udp_send(ms(0), id, UdpSend::new(at("10.0.2.2:9"), Body::new()))
        .unwrap();
    exchange(ms(0), &mut a, &mut b);
    assert_eq!(a.stack.udp_error(id).unwrap().error, IcmpError::PortUnreachable);
}
