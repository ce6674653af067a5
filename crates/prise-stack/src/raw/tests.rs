//! Ping and raw sockets.

use super::{PingConfig, PingId, PingSend, RawConfig, RawSend};
use crate::fixture::{Eth, Node, at, exchange, ip, ms, node, node_with};
use crate::udp::UdpSend;
use crate::{DatagramError, Discard, Event, Fragmentation, IcmpError, Ready};
use alloc::vec::Vec;
use prise_wire::{Body, Emit, IpVersion, Ipv4Header, Ipv4Options, Ipv6Header, Medium, Payload, UdpHeader, protocol};

fn version(text: &str) -> IpVersion {
    if ip(text).is_ipv4() {
        IpVersion::V4
    } else {
        IpVersion::V6
    }
}

fn ping_socket(node: &mut Node, version: IpVersion, identifier: Option<u16>) -> PingId {
    let config = PingConfig {
        version,
        local: None,
        identifier,
        device: None,
        receive_limit: 4096,
        token: 3,
    };
    node.stack.icmp_bind(&config).unwrap()
}

fn ping(dst: &str, sequence: u8, data: &[u8]) -> PingSend {
    let kind = if ip(dst).is_ipv4() { 8 } else { 128 };
    let mut message = Vec::from([kind, 0, 0xde, 0xad, 0xbe, 0xef, 0, sequence]);
    message.extend_from_slice(data);
    PingSend {
        dst: ip(dst),
        src: None,
        device: None,
        hop_limit: 64,
        tos: 0,
        flow_label: crate::FlowLabel::OfFlow,
        fragmentation: Fragmentation::Want,
        message: message.into(),
    }
}

fn raw(dst: &str, payload: Vec<u8>) -> RawSend {
    RawSend {
        dst: ip(dst),
        src: None,
        device: None,
        hop_limit: 64,
        tos: 0,
        flow_label: crate::FlowLabel::OfFlow,
        fragmentation: Fragmentation::Want,
        options: Ipv4Options::NONE,
        header_included: false,
        payload: payload.into(),
    }
}

#[test]
fn a_ping_comes_back_to_the_socket_with_its_identifier() {
    for (near, far) in [("10.0.2.1", "10.0.2.2"), ("fd00:2::1", "fd00:2::2")] {
        let (mut a, mut b) = (node(1), node(2));
        let id = ping_socket(&mut a, version(far), Some(500));
        let other = ping_socket(&mut a, version(far), None);
        assert_ne!(a.stack.icmp_identifier(other), Some(500));
        // Fragmented both ways, too.
        for len in [0, 56, 4000] {
            a.stack
                .icmp_send(ms(0), id, ping(far, 9, &alloc::vec![b'p'; len]))
                .unwrap();
            exchange(ms(0), &mut a, &mut b);
            assert_eq!(
                a.events(),
                [Event::Ping {
                    token: 3,
                    id,
                    ready: Ready::READABLE
                }]
            );
            let reply = a.stack.icmp_receive(id).unwrap();
            let kind = if ip(far).is_ipv4() { 0 } else { 129 };
            let octets = reply.payload.to_vec();
            assert_eq!((octets[0], octets[1], &octets[4..8]), (kind, 0, &[1, 0xf4, 0, 9][..]));
            assert_eq!(octets.len(), 8 + len);
            assert_eq!((reply.src, reply.dst), (ip(far), ip(near)));
            assert_eq!(a.stack.icmp_receive(other), None);
        }
    }
}

#[test]
fn an_identifier_belongs_to_one_socket_of_a_version() {
    let mut a = node(1);
    let id = ping_socket(&mut a, IpVersion::V4, Some(7));
    ping_socket(&mut a, IpVersion::V6, Some(7));
    let again = PingConfig {
        version: IpVersion::V4,
        local: None,
        identifier: Some(7),
        device: None,
        receive_limit: 1,
        token: 0,
    };
    assert!(a.stack.icmp_bind(&again).is_err());
    a.stack.icmp_close(id);
    assert!(a.stack.icmp_bind(&again).is_ok());
}

#[test]
fn a_ping_socket_sends_echo_requests_only() {
    let mut a = node(1);
    let id = ping_socket(&mut a, IpVersion::V4, None);
    for message in [&[0, 0, 0, 0, 0, 0, 0, 0][..], &[8, 1, 0, 0, 0, 0, 0, 0], &[8, 0, 0]] {
        let send = PingSend {
            message: Payload::copy_from(message).into(),
            ..ping("10.0.2.2", 0, b"")
        };
        assert_eq!(a.stack.icmp_send(ms(0), id, send), Err(DatagramError::Invalid));
    }
    assert_eq!(
        a.stack.icmp_send(ms(0), id, ping("fd00:2::2", 0, b"")),
        Err(DatagramError::Family)
    );
}

#[test]
fn an_unanswered_neighbor_is_told_to_the_ping_socket() {
    let mut a = node(1);
    let id = ping_socket(&mut a, IpVersion::V4, None);
    a.stack.icmp_send(ms(0), id, ping("10.0.2.77", 1, b"data")).unwrap();
    for second in 1..=3 {
        a.stack.expire(ms(second * 1000));
    }
    let report = a.stack.icmp_error(id).unwrap();
    assert_eq!(
        (report.error, report.destination.ip()),
        (IcmpError::HostUnreachable, ip("10.0.2.77"))
    );
    assert_eq!(
        a.events(),
        [Event::Ping {
            token: 3,
            id,
            ready: Ready::ERROR
        }]
    );
}

#[test]
fn a_reply_that_nobody_waits_for_is_discarded() {
    let (mut a, mut b) = (node(1), node(2));
    let id = ping_socket(&mut a, IpVersion::V4, None);
    a.stack.icmp_send(ms(0), id, ping("10.0.2.2", 1, b"")).unwrap();
    a.stack.icmp_close(id);
    exchange(ms(0), &mut a, &mut b);
    assert_eq!(a.discarded(Discard::IcmpNoOwner), 1);
}

#[test]
fn raw_sockets_get_copies_of_their_protocol_with_the_header_in_ipv4_only() {
    for (far, near) in [("10.0.2.2:9", "10.0.2.1:9"), ("[fd00:2::2]:9", "[fd00:2::1]:9")] {
        let (mut a, mut b) = (node(1), node(2));
        let family = if at(far).is_ipv4() {
            IpVersion::V4
        } else {
            IpVersion::V6
        };
        let config = RawConfig {
            version: family,
            protocol: protocol::UDP,
            receive_limit: 9999,
            token: 1,
        };
        let (first, second) = (b.stack.raw_bind(&config), b.stack.raw_bind(&config));
        b.stack.raw_connect(second, None, Some(ip("192.0.2.1")));
        let inbox = b.udp(9);
        let outbox = a.udp_at(near);
        a.stack
            .udp_send(ms(0), outbox, UdpSend::new(at(far), b"datagram".to_vec()))
            .unwrap();
        exchange(ms(0), &mut a, &mut b);
        assert_eq!(b.payloads(inbox), [b"datagram"], "the socket gets it all the same");
        let copy = b.stack.raw_receive(first).unwrap();
        let header = if at(far).is_ipv4() { 20 } else { 0 };
        assert_eq!(copy.payload.to_vec()[header + 8..], *b"datagram");
        assert_eq!(b.stack.raw_receive(second), None, "connected to somebody else");
    }
}

#[test]
fn a_raw_socket_speaks_a_protocol_of_its_own() {
    for (far, near) in [("10.0.2.2", "10.0.2.1"), ("fd00:2::2", "fd00:2::1")] {
        let (mut a, mut b) = (node(1), node(2));
        let config = RawConfig {
            version: version(far),
            protocol: 200,
            receive_limit: 9999,
            token: 1,
        };
        let (here, there) = (a.stack.raw_bind(&config), b.stack.raw_bind(&config));
        a.stack.raw_send(ms(0), here, raw(far, b"whatever".to_vec())).unwrap();
        exchange(ms(0), &mut a, &mut b);
        let got = b.stack.raw_receive(there).unwrap();
        assert_eq!((got.src, got.payload.to_vec().ends_with(b"whatever")), (ip(near), true));
        assert_eq!(b.discarded(Discard::IpProtocolUnknown), 0, "somebody speaks it now");
        b.stack.raw_close(there);
        a.stack.raw_send(ms(0), here, raw(far, b"whatever".to_vec())).unwrap();
        exchange(ms(0), &mut a, &mut b);
        assert_eq!(b.discarded(Discard::IpProtocolUnknown), 1);
        assert_eq!(a.stack.raw_error(here).unwrap().error, IcmpError::ProtocolUnreachable);
    }
}

#[test]
fn a_header_of_the_programs_own_is_completed() {
    let (mut a, mut b) = (node(1), node(2));
    let config = RawConfig {
        version: IpVersion::V4,
        protocol: 255,
        receive_limit: 9999,
        token: 1,
    };
    let id = a.stack.raw_bind(&config);
    let inbox = b.udp(9);
    let mut packet = alloc::vec![0; 29];
    let mut header = Ipv4Header::new(
        "0.0.0.0".parse().unwrap(),
        "10.0.2.2".parse().unwrap(),
        protocol::UDP,
        999,
    );
    header.hop_limit = 5;
    header.emit(&mut packet);
    UdpHeader {
        source_port: 1,
        destination_port: 9,
        len: 9,
        checksum: 0,
    }
    .emit(&mut packet[20..]);
    packet[28] = b'!';
    let included = |packet| RawSend {
        header_included: true,
        ..raw("10.0.2.2", packet)
    };
    // Whatever length it says, none among them.
    for said in [999u16, 29, 1, 0] {
        packet[2..4].copy_from_slice(&said.to_be_bytes());
        a.stack.raw_send(ms(0), id, included(packet.clone())).unwrap();
        exchange(ms(0), &mut a, &mut b);
        let got = b.stack.udp_receive(inbox).unwrap();
        assert_eq!(
            (got.src, got.hop_limit, got.payload),
            (at("10.0.2.1:1"), 5, Body::from(b"!".to_vec()))
        );
    }
    // Too few octets for a header, or for one as long as it says, or that says it is shorter than any.
    for (first, len) in [(0x45, 0), (0x45, 19), (0x48, 29), (0x44, 29), (0x40, 29)] {
        let mut short = packet[..len].to_vec();
        if let Some(octet) = short.first_mut() {
            *octet = first;
        }
        let result = a.stack.raw_send(ms(0), id, included(short));
        assert_eq!(result, Err(DatagramError::Invalid), "{first:x} {len}");
    }
    // Nobody who receives it takes one of another version.
    packet[0] = 0x65;
    assert_eq!(a.stack.raw_send(ms(0), id, included(packet)), Ok(()));
    exchange(ms(0), &mut a, &mut b);
    assert!(b.stack.udp_receive(inbox).is_none());
}

#[test]
fn an_ipv6_header_written_by_the_program_goes_as_it_is() {
    let (mut a, mut b) = (node(1), node(2));
    let config = RawConfig {
        version: IpVersion::V6,
        protocol: 255,
        receive_limit: 9999,
        token: 1,
    };
    let id = a.stack.raw_bind(&config);
    let inbox = b.stack.raw_bind(&RawConfig {
        protocol: 200,
        ..config
    });
    let included = |packet| RawSend {
        header_included: true,
        ..raw("fd00:2::2", packet)
    };
    let mut packet = alloc::vec![0; 41];
    let mut header = Ipv6Header::new("fd00:2::1".parse().unwrap(), "fd00:2::2".parse().unwrap(), 200, 1);
    header.hop_limit = 5;
    header.emit(&mut packet);
    packet[40] = b'!';
    a.stack.raw_send(ms(0), id, included(packet)).unwrap();
    exchange(ms(0), &mut a, &mut b);
    let got = b.stack.raw_receive(inbox).unwrap();
    assert_eq!(
        (got.src, got.hop_limit, got.payload.to_vec()),
        (ip("fd00:2::1"), 5, b"!".to_vec())
    );
    let short = a.stack.raw_send(ms(0), id, included(alloc::vec![0x60; 39]));
    assert_eq!(short, Err(DatagramError::Invalid));
    let long = a.stack.raw_send(ms(0), id, included(alloc::vec![0x60; 1501]));
    assert_eq!(long, Err(DatagramError::TooBig { mtu: 1500 }));
}

#[test]
fn icmpv6_from_a_raw_socket_gets_its_checksum() {
    let (mut a, mut b) = (node(1), node(2));
    let config = RawConfig {
        version: IpVersion::V6,
        protocol: protocol::ICMPV6,
        receive_limit: 9999,
        token: 1,
    };
    let id = a.stack.raw_bind(&config);
    a.stack
        .raw_send(ms(0), id, raw("fd00:2::2", alloc::vec![128, 0, 1, 2, 0, 1, 0, 2, 7]))
        .unwrap();
    exchange(ms(0), &mut a, &mut b);
    let messages: Vec<Vec<u8>> = core::iter::from_fn(|| a.stack.raw_receive(id))
        .map(|message| message.payload.to_vec())
        .collect();
    assert!(
        messages
            .iter()
            .any(|message| message[0] == 129 && message.ends_with(&[0, 1, 0, 2, 7])),
        "{messages:?}"
    );
    assert_eq!(b.discarded(Discard::IcmpChecksum), 0);
}

#[test]
fn ping_and_raw_sockets_wait_for_a_full_link_and_are_told_when_it_drains() {
    let mut a = node_with(
        1,
        Eth {
            medium: Medium::Ip,
            ..Eth::default()
        },
    );
    let pinger = ping_socket(&mut a, IpVersion::V4, None);
    let config = RawConfig {
        version: IpVersion::V4,
        protocol: 200,
        receive_limit: 9999,
        token: 4,
    };
    let raw_id = a.stack.raw_bind(&config);
    let full = |a: &mut Node| {
        a.stack
            .raw_send(ms(0), raw_id, raw("10.0.2.2", alloc::vec![0; 1400]))
            .is_err()
    };
    assert!((0..5000).any(|_| full(&mut a)));
    assert!(full(&mut a), "still, and entered once");
    let refused = a.stack.icmp_send(ms(0), pinger, ping("10.0.2.2", 1, b""));
    assert_eq!(refused, Err(DatagramError::WouldBlock));
    assert!(!a.stack.icmp_ready(pinger).contains(Ready::WRITABLE));
    assert!(!a.stack.raw_ready(raw_id).contains(Ready::WRITABLE));
    a.sent(ms(0));
    let events = a.events();
    assert_eq!(events.len(), 2);
    assert!(events.contains(&Event::Ping {
        token: 3,
        id: pinger,
        ready: Ready::WRITABLE
    }));
    assert!(events.contains(&Event::Raw {
        token: 4,
        id: raw_id,
        ready: Ready::WRITABLE
    }));
    assert!(a.stack.icmp_ready(pinger).contains(Ready::WRITABLE));
}
