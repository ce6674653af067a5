//! Who gets a datagram, what waits, and what does not fit.

use super::{AllGroups, UdpConfig, UdpId, UdpSend};
use crate::fixture::{Eth, Node, at, bare, cidr, exchange, ip, ms, node, node_with, over_the_wire};
use crate::{DatagramError, Discard, Event, Family, JoinError, LinkConfig, Local, Ready, RouteError, SourceFilter};
use alloc::vec::Vec;
use core::net::SocketAddr;
use prise_wire::{
    Body, Checksum, Frame, Gso, GsoKind, Head, Ipv4Header, Ipv6Header, Medium, Payload, UdpHeader, protocol,
};

/// A datagram from `src` to `dst` that need not be verified.
fn datagram(src: &str, dst: &str, payload: &[u8]) -> Frame {
    let (src, dst) = (at(src), at(dst));
    let header = UdpHeader {
        source_port: src.port(),
        destination_port: dst.port(),
        len: 8 + payload.len() as u16,
        checksum: 0,
    };
    let mut frame = Frame::with_header(&header, Payload::copy_from(payload).into());
    let len = frame.total_len();
    match (src, dst) {
        (SocketAddr::V4(src), SocketAddr::V4(dst)) => {
            frame.push_header(&Ipv4Header::new(*src.ip(), *dst.ip(), protocol::UDP, len));
        }
        (SocketAddr::V6(src), SocketAddr::V6(dst)) => {
            frame.push_header(&Ipv6Header::new(*src.ip(), *dst.ip(), protocol::UDP, len));
        }
        _ => panic!("one version only"),
    }
    frame.offload.checksum = Checksum::Verified;
    frame
}

fn bare_ip() -> Node {
    node_with(
        1,
        Eth {
            medium: Medium::Ip,
            ..Eth::default()
        },
    )
}

fn bind(node: &mut Node, local: Local, remote: Option<&str>) -> UdpId {
    node.stack.udp_bind(&UdpConfig {
        remote: remote.map(at),
        ..UdpConfig::new(local, 1)
    })
}

#[test]
fn what_is_lent_to_the_loopback_comes_to_its_sockets_for_want_of_others() {
    for (own, outside, peer) in [
        ("127.0.0.1:9", "10.0.2.1:9", "10.0.2.9:7"),
        ("[::1]:9", "[fd00:2::1]:9", "[fd00:2::9]:7"),
    ] {
        let mut node = bare_ip();
        let loopback = bind(&mut node, Local::endpoint(at(own)), None);
        assert!(takers(&mut node, &[loopback], peer, outside).is_empty(), "not before");
        let eth = node.eth;
        node.stack.udp_lend(9, eth, at(outside).ip());
        assert_eq!(takers(&mut node, &[loopback], peer, outside), [0]);
        assert_eq!(node.stack.udp_lent_source(9, at(own).is_ipv4()), Some(at(outside).ip()));
        assert_eq!(node.stack.udp_lent_source(8, at(own).is_ipv4()), None);
        let connected = bind(&mut node, Local::endpoint(at(own)), Some(peer));
        let of_another = bind(&mut node, Local::endpoint(at(own)), Some("10.0.2.9:8"));
        let all = [loopback, connected, of_another];
        assert_eq!(
            takers(&mut node, &all, peer, outside),
            [1],
            "its peer's before anybody's"
        );
        let everywhere = bind(&mut node, Local::wildcard(Family::Dual, 9), None);
        let all = [loopback, connected, of_another, everywhere];
        assert_eq!(takers(&mut node, &all, peer, outside), [3], "who has the address");
    }
}

#[test]
fn what_is_lent_is_for_sockets_that_are_bound_to_an_address_of_its_version() {
    for (own, outside, peer) in [
        ("[::1]:9", "10.0.2.1:9", "10.0.2.9:7"),
        ("127.0.0.1:9", "[fd00:2::1]:9", "[fd00:2::9]:7"),
    ] {
        let mut node = bare_ip();
        let dual = Local {
            family: Family::Dual,
            ..Local::endpoint(at(own))
        };
        let loopback = bind(&mut node, dual, None);
        let eth = node.eth;
        node.stack.udp_lend(9, eth, at(outside).ip());
        assert!(takers(&mut node, &[loopback], peer, outside).is_empty(), "{own}");
    }
}

#[test]
fn a_socket_has_what_is_lent_as_long_as_it_is_bound_there() {
    let (outside, peer) = ("10.0.2.1:9", "10.0.2.9:7");
    let mut node = bare_ip();
    let eth = node.eth;
    node.stack.udp_lend(9, eth, at(outside).ip());
    let first = bind(&mut node, Local::endpoint(at("127.0.0.1:9")), None);
    assert_eq!(takers(&mut node, &[first], peer, outside), [0]);
    node.stack.udp_rebind(first, Local::endpoint(at("127.0.0.1:8")), None);
    assert!(takers(&mut node, &[first], peer, outside).is_empty());
    node.stack.udp_rebind(first, Local::endpoint(at("127.0.0.1:9")), None);
    assert_eq!(takers(&mut node, &[first], peer, outside), [0]);
    node.stack.udp_close(ms(0), first);
    let second = bind(&mut node, Local::endpoint(at("127.0.0.1:9")), None);
    assert_eq!(takers(&mut node, &[second], peer, outside), [0]);
}

/// Which of the sockets get a datagram from `src` to `dst`.
fn takers(node: &mut Node, ids: &[UdpId], src: &str, dst: &str) -> Vec<usize> {
    node.receive(ms(0), datagram(src, dst, b"x"));
    ids.iter()
        .enumerate()
        .filter(|&(_, &id)| node.stack.udp_receive(id).is_some())
        .map(|(n, _)| n)
        .collect()
}

#[test]
fn connected_comes_before_bound_before_wildcard_in_either_family() {
    let mut a = bare_ip();
    let wild = |family| Local::wildcard(family, 80);
    let on = |text: &str| Local::endpoint(at(text));
    let ids = [
        bind(&mut a, wild(Family::Dual), None),
        bind(&mut a, wild(Family::V4), None),
        bind(&mut a, on("10.0.2.1:80"), None),
        bind(&mut a, on("10.0.2.1:80"), Some("10.0.2.2:9")),
        bind(&mut a, on("[fd00:2::1]:80"), None),
        bind(&mut a, on("[fd00:2::1]:80"), Some("[fd00:2::2]:9")),
    ];
    for (src, dst, expected) in [
        ("10.0.2.2:9", "10.0.2.1:80", 3),
        ("10.0.2.2:10", "10.0.2.1:80", 2),
        ("10.0.2.3:9", "10.0.2.1:80", 2),
        ("[fd00:2::2]:9", "[fd00:2::1]:80", 5),
        ("[fd00:2::3]:9", "[fd00:2::1]:80", 4),
    ] {
        assert_eq!(takers(&mut a, &ids, src, dst), [expected], "{src} to {dst}");
    }
    a.stack.udp_close(ms(0), ids[2]);
    assert_eq!(
        takers(&mut a, &ids, "10.0.2.3:9", "10.0.2.1:80"),
        [1],
        "the IPv4 wildcard before the dual one"
    );
    a.stack.udp_close(ms(0), ids[1]);
    assert_eq!(takers(&mut a, &ids, "10.0.2.3:9", "10.0.2.1:80"), [0]);
    a.stack.udp_close(ms(0), ids[4]);
    assert_eq!(takers(&mut a, &ids, "[fd00:2::3]:9", "[fd00:2::1]:80"), [0]);
}

#[test]
fn a_v6only_socket_gets_no_ipv4_and_a_dual_one_gets_both() {
    for (family, v4, v6) in [
        (Family::V4, true, false),
        (Family::V6Only, false, true),
        (Family::Dual, true, true),
    ] {
        let mut a = bare_ip();
        let ids = [bind(&mut a, Local::wildcard(family, 80), None)];
        assert_eq!(
            !takers(&mut a, &ids, "10.0.2.2:9", "10.0.2.1:80").is_empty(),
            v4,
            "{family:?}"
        );
        assert_eq!(
            !takers(&mut a, &ids, "[fd00:2::2]:9", "[fd00:2::1]:80").is_empty(),
            v6,
            "{family:?}"
        );
        assert_eq!(a.discarded(Discard::UdpNoSocket), u64::from(!v4) + u64::from(!v6));
    }
}

#[test]
fn of_sockets_that_share_an_endpoint_the_last_one_bound_gets_unicast() {
    let mut a = bare_ip();
    let first = bind(&mut a, Local::wildcard(Family::V4, 80), None);
    let second = bind(&mut a, Local::wildcard(Family::V4, 80), None);
    assert_eq!(takers(&mut a, &[first, second], "10.0.2.2:9", "10.0.2.1:80"), [1]);
    a.stack.udp_close(ms(0), second);
    assert_eq!(takers(&mut a, &[first], "10.0.2.2:9", "10.0.2.1:80"), [0]);
}

#[test]
fn of_sockets_that_share_an_endpoint_those_of_ipv4_come_first() {
    for addr in [None, Some("10.0.2.1".parse().unwrap())] {
        let mut a = bare_ip();
        let of = |family| Local {
            addr,
            ..Local::wildcard(family, 80)
        };
        let ids = [
            bind(&mut a, of(Family::V4), None),
            bind(&mut a, of(Family::Mapped), None),
        ];
        assert_eq!(takers(&mut a, &ids, "10.0.2.2:9", "10.0.2.1:80"), [0], "{addr:?}");
        a.stack.udp_close(ms(0), ids[0]);
        assert_eq!(takers(&mut a, &ids[1..], "10.0.2.2:9", "10.0.2.1:80"), [0], "{addr:?}");
    }
}

#[test]
fn reuse_port_spreads_flows_evenly_and_keeps_each_flow_together() {
    let mut a = bare_ip();
    let config = UdpConfig {
        reuse_port: true,
        ..UdpConfig::new(Local::wildcard(Family::V4, 80), 1)
    };
    let ids: Vec<UdpId> = (0..4).map(|_| a.stack.udp_bind(&config)).collect();
    let mut counts = [0; 4];
    for port in 1000..2000 {
        let src = std::format!("10.0.2.2:{port}");
        let taker = takers(&mut a, &ids, &src, "10.0.2.1:80");
        assert_eq!(taker.len(), 1);
        assert_eq!(takers(&mut a, &ids, &src, "10.0.2.1:80"), taker);
        counts[taker[0]] += 1;
    }
    assert!(counts.iter().all(|&count| (190..310).contains(&count)), "{counts:?}");
}

#[test]
fn a_socket_bound_to_a_device_gets_only_what_comes_by_it_and_comes_first_there() {
    let mut a = bare_ip();
    let config = LinkConfig {
        name: "eth1",
        medium: Medium::Ip,
        mac: None,
        mtu: 1500,
        gso_max: 0,
        checksum_offload: false,
        loopback: false,
        transparent: false,
    };
    let eth1 = a.stack.add_link(&config).unwrap();
    let bound = Local {
        device: Some(eth1),
        ..Local::wildcard(Family::V4, 80)
    };
    let ids = [
        bind(&mut a, bound, None),
        bind(&mut a, Local::wildcard(Family::V4, 80), None),
    ];
    assert_eq!(takers(&mut a, &ids, "10.0.2.2:9", "10.0.2.1:80"), [1]);
    a.stack
        .receive(ms(0), eth1, [datagram("10.0.2.2:9", "10.0.2.1:80", b"x")]);
    assert_eq!((a.payloads(ids[0]).len(), a.payloads(ids[1]).len()), (1, 0));
    a.stack.udp_set_device(ids[0], None);
    assert_eq!(
        takers(&mut a, &ids, "10.0.2.2:9", "10.0.2.1:80"),
        [1],
        "an equal again, and bound earlier"
    );
}

#[test]
fn rebinding_moves_a_socket_and_keeps_its_queue() {
    let mut a = bare_ip();
    let id = bind(&mut a, Local::wildcard(Family::V4, 80), None);
    a.receive(ms(0), datagram("10.0.2.3:9", "10.0.2.1:80", b"before"));
    a.stack
        .udp_rebind(id, Local::endpoint(at("10.0.2.1:80")), Some(at("10.0.2.2:9")));
    assert_eq!(a.payloads(id), [b"before"]);
    assert!(takers(&mut a, &[id], "10.0.2.3:9", "10.0.2.1:80").is_empty());
    assert_eq!(takers(&mut a, &[id], "10.0.2.2:9", "10.0.2.1:80"), [0]);
    a.stack.udp_rebind(id, Local::wildcard(Family::V4, 81), None);
    assert!(takers(&mut a, &[id], "10.0.2.2:9", "10.0.2.1:80").is_empty());
    assert_eq!(takers(&mut a, &[id], "10.0.2.2:9", "10.0.2.1:81"), [0]);
}

#[test]
fn broadcasts_and_groups_reach_every_socket_that_may_have_them() {
    let mut a = bare_ip();
    let wild = bind(&mut a, Local::wildcard(Family::V4, 80), None);
    let dual = bind(&mut a, Local::wildcard(Family::Dual, 80), None);
    let bound = bind(&mut a, Local::endpoint(at("10.0.2.1:80")), None);
    let other_port = bind(&mut a, Local::wildcard(Family::V4, 81), None);
    let connected = bind(&mut a, Local::wildcard(Family::V4, 80), Some("10.0.2.9:9"));
    let member = bind(&mut a, Local::endpoint(at("224.1.1.1:80")), None);
    let ids = [wild, dual, bound, other_port, connected, member];
    assert_eq!(takers(&mut a, &ids, "10.0.2.2:9", "255.255.255.255:80"), [0, 1]);
    assert_eq!(takers(&mut a, &ids, "10.0.2.9:9", "10.0.2.255:80"), [0, 1, 4]);
    assert!(takers(&mut a, &ids, "10.0.2.2:9", "224.1.1.1:80").is_empty());
    assert_eq!(a.discarded(Discard::IpGroupNotJoined), 1);
    a.stack.udp_join(ms(0), member, ip("224.1.1.1"), Some(a.eth)).unwrap();
    assert_eq!(takers(&mut a, &ids, "10.0.2.2:9", "224.1.1.1:80"), [0, 1, 5]);
    a.stack.udp_set_all_groups(wild, AllGroups { v4: false, v6: true });
    assert_eq!(takers(&mut a, &ids, "10.0.2.2:9", "224.1.1.1:80"), [1, 5]);
    a.stack.udp_set_all_groups(dual, AllGroups { v4: true, v6: false });
    assert_eq!(takers(&mut a, &ids, "10.0.2.2:9", "224.1.1.1:80"), [1, 5]);
    a.stack.udp_set_all_groups(dual, AllGroups { v4: false, v6: true });
    assert_eq!(takers(&mut a, &ids, "10.0.2.2:9", "224.1.1.1:80"), [5]);
    a.stack.udp_leave(ms(0), member, ip("224.1.1.1"), None).unwrap();
    assert!(takers(&mut a, &ids, "10.0.2.2:9", "224.1.1.1:80").is_empty());
}

#[test]
fn joining_twice_or_what_is_no_group_is_refused() {
    let mut a = node(1);
    let id = a.udp(80);
    assert_eq!(
        a.stack.udp_join(ms(0), id, ip("10.0.2.2"), None),
        Err(JoinError::NotAGroup)
    );
    assert_eq!(
        a.stack.udp_leave(ms(0), id, ip("224.1.1.1"), None),
        Err(JoinError::NotJoined)
    );
    assert_eq!(a.stack.udp_join(ms(0), id, ip("224.1.1.1"), None), Ok(()));
    assert_eq!(
        a.stack.udp_join(ms(0), id, ip("224.1.1.1"), None),
        Err(JoinError::AlreadyJoined)
    );
    for n in 2..=20 {
        a.stack
            .udp_join(ms(0), id, ip(&std::format!("224.1.1.{n}")), None)
            .unwrap();
    }
    assert_eq!(
        a.stack.udp_join(ms(0), id, ip("224.1.1.99"), None),
        Err(JoinError::TooMany)
    );
    let v4 = bind(&mut a, Local::wildcard(Family::V4, 81), None);
    assert_eq!(
        a.stack.udp_join(ms(0), v4, ip("ff02::fb"), None),
        Err(JoinError::NotAGroup)
    );
}

#[test]
fn a_full_queue_drops_and_counts_and_takes_again_when_read() {
    let mut a = bare_ip();
    let config = UdpConfig {
        receive_limit: 3 * (256 + 100),
        ..UdpConfig::new(Local::wildcard(Family::V4, 80), 7)
    };
    let id = a.stack.udp_bind(&config);
    for _ in 0..5 {
        a.receive(ms(0), datagram("10.0.2.2:9", "10.0.2.1:80", &[0; 100]));
    }
    let info = a.stack.udp_info(id).unwrap();
    assert_eq!((info.queued_octets, info.overflowed), (3 * 356, 2));
    assert_eq!(a.discarded(Discard::UdpReceiveQueueFull), 2);
    assert_eq!(a.stack.udp_readable(id), Some(100));
    assert_eq!(a.payloads(id).len(), 3);
    assert_eq!(a.stack.udp_readable(id), None);
    a.receive(ms(0), datagram("10.0.2.2:9", "10.0.2.1:80", &[0; 5000]));
    assert_eq!(a.stack.udp_readable(id), Some(5000), "one always fits an empty queue");
}

#[test]
fn a_socket_has_one_event_waiting_whatever_arrives() {
    let mut a = bare_ip();
    let id = a.stack.udp_bind(&UdpConfig::new(Local::wildcard(Family::V4, 80), 7));
    for _ in 0..3 {
        a.receive(ms(0), datagram("10.0.2.2:9", "10.0.2.1:80", b"x"));
    }
    assert_eq!(
        a.events(),
        [Event::Udp {
            token: 7,
            id,
            ready: Ready::READABLE
        }]
    );
    a.receive(ms(0), datagram("10.0.2.2:9", "10.0.2.1:80", b"x"));
    assert_eq!(
        a.events().len(),
        1,
        "each arrival after the event was taken is an edge again"
    );
    a.receive(ms(0), datagram("10.0.2.2:9", "10.0.2.1:80", b"x"));
    a.stack.udp_close(ms(0), id);
    assert!(a.events().is_empty(), "a socket that is gone tells nothing");
}

#[test]
fn a_datagram_comes_with_all_that_was_said_about_it() {
    let mut a = bare_ip();
    let id = a.udp(80);
    let mut frame = datagram("10.0.2.2:9", "10.0.2.1:80", b"x");
    let mut header = Ipv4Header::parse(frame.head()).unwrap();
    header.hop_limit = 3;
    header.tos = 0xb9;
    prise_wire::Emit::emit(&header, frame.head_mut());
    a.receive(ms(12), frame);
    let peeked = a.stack.udp_peek(id).unwrap();
    let got = a.stack.udp_receive(id).unwrap();
    assert_eq!(peeked, got);
    assert_eq!(
        (got.src, got.dst, got.link),
        (at("10.0.2.2:9"), at("10.0.2.1:80"), a.eth)
    );
    assert_eq!((got.hop_limit, got.tos, got.received), (3, 0xb9, ms(12)));
}

#[test]
fn checksums_are_verified_unless_somebody_vouches() {
    for (src, dst) in [("10.0.2.2:9", "10.0.2.1:80"), ("[fd00:2::2]:9", "[fd00:2::1]:80")] {
        let mut a = bare_ip();
        let id = a.udp(80);
        let mut frame = datagram(src, dst, b"odd");
        frame.offload.checksum = Checksum::Unverified;
        a.receive(ms(0), frame.clone());
        let absent_is_fine = at(src).is_ipv4();
        assert_eq!(a.payloads(id).len(), usize::from(absent_is_fine), "none at all");
        let at = frame.head().len() - 2;
        frame.head_mut()[at] = 0x12;
        a.receive(ms(0), frame.clone());
        assert!(a.payloads(id).is_empty(), "a wrong one");
        assert_eq!(a.discarded(Discard::UdpChecksum), 2 - u64::from(absent_is_fine));
        frame.offload.checksum = Checksum::Verified;
        a.receive(ms(0), frame);
        assert_eq!(a.payloads(id).len(), 1, "vouched for");
    }
}

#[test]
fn what_leaves_has_a_checksum_that_holds() {
    for (from, to) in [
        ("10.0.2.1:9001", "10.0.2.2:9000"),
        ("[fd00:2::1]:9001", "[fd00:2::2]:9000"),
    ] {
        for offload in [false, true] {
            for len in [0, 1, 2, 999] {
                let mut a = node_with(
                    1,
                    Eth {
                        medium: Medium::Ip,
                        checksum_offload: offload,
                        ..Eth::default()
                    },
                );
                let mut b = node_with(
                    2,
                    Eth {
                        medium: Medium::Ip,
                        ..Eth::default()
                    },
                );
                let (outbox, inbox) = (a.udp_at(from), b.udp(9000));
                a.stack
                    .udp_send(ms(0), outbox, UdpSend::new(at(to), alloc::vec![0xa5; len]))
                    .unwrap();
                exchange(ms(0), &mut a, &mut b);
                assert_eq!(b.payloads(inbox), [alloc::vec![0xa5; len]]);
            }
        }
    }
}

#[test]
fn malformed_datagrams_are_counted_and_dropped() {
    let mut a = bare_ip();
    let id = a.udp(80);
    for patch in [(4, [0, 7]), (4, [0xff, 0])] {
        let mut frame = datagram("10.0.2.2:9", "10.0.2.1:80", b"x");
        frame.head_mut()[20 + patch.0..][..2].copy_from_slice(&patch.1);
        a.receive(ms(0), frame);
    }
    let mut short = Frame::new(Head::copy_from(&[0, 9, 0, 80]), Body::new());
    short.push_header(&Ipv4Header::new(
        "10.0.2.2".parse().unwrap(),
        "10.0.2.1".parse().unwrap(),
        17,
        4,
    ));
    a.receive(ms(0), short);
    assert_eq!(a.discarded(Discard::UdpMalformed), 3);
    assert_eq!(a.stack.udp_counters().errors, 3);
    assert!(a.payloads(id).is_empty());
}

#[test]
fn a_train_of_datagrams_is_received_one_by_one() {
    let mut a = bare_ip();
    let id = a.udp(80);
    let mut train = datagram("10.0.2.2:9", "10.0.2.1:80", b"aaaabbbbcc");
    train.offload.gso = Some(Gso {
        kind: GsoKind::Udp4,
        size: 4,
    });
    a.receive(ms(0), train);
    assert_eq!(a.stack.udp_readable(id), Some(4));
    assert_eq!(a.stack.udp_peek(id).unwrap().payload.to_vec(), b"aaaa");
    assert_eq!(a.payloads(id), [&b"aaaa"[..], b"bbbb", b"cc"]);
}

#[test]
fn a_train_to_this_host_stays_together_for_who_asks_for_it() {
    for (to, from) in [("127.0.0.1:80", Family::V4), ("[::1]:80", Family::Dual)] {
        let mut a = node(1);
        let receiver = a.stack.udp_bind(&UdpConfig::new(Local::endpoint(at(to)), 1));
        let sender = a.stack.udp_bind(&UdpConfig::new(Local::wildcard(from, 9), 2));
        let train = || UdpSend {
            segment: Some(4),
            ..UdpSend::new(at(to), b"aaaabbbbcc".to_vec())
        };
        for joining in [true, false] {
            a.stack.udp_set_joining(receiver, joining);
            a.stack.udp_send(ms(0), sender, train()).unwrap();
            a.pump_lo(ms(0));
            let expected: &[(&[u8], Option<u16>)] = if joining {
                &[(b"aaaabbbbcc", Some(4))]
            } else {
                &[(b"aaaa", None), (b"bbbb", None), (b"cc", None)]
            };
            for (octets, segment) in expected {
                let len = a.stack.udp_readable(receiver);
                let got = a.stack.udp_receive(receiver).unwrap();
                assert_eq!(
                    (&got.payload.to_vec()[..], got.segment, len),
                    (*octets, *segment, Some(octets.len()))
                );
            }
            assert_eq!(a.stack.udp_receive(receiver), None);
        }
        assert_eq!(a.stack.udp_counters().sent, 6);
    }
}

#[test]
fn a_full_link_makes_senders_wait_and_tells_them_when_it_drains() {
    let mut a = bare_ip();
    let id = a.stack.udp_bind(&UdpConfig::new(Local::wildcard(Family::V4, 80), 7));
    let send = || UdpSend::new(at("10.0.2.2:9"), alloc::vec![0; 1400]);
    let sent = (0..5000)
        .take_while(|_| a.stack.udp_send(ms(0), id, send()).is_ok())
        .count();
    assert!((700..1001).contains(&sent), "{sent}");
    assert_eq!(a.stack.udp_send(ms(0), id, send()), Err(DatagramError::WouldBlock));
    assert!(!a.stack.udp_ready(id).contains(Ready::WRITABLE));
    assert!(a.events().is_empty());
    for _ in 0..sent {
        a.stack.transmit(ms(0), a.eth).unwrap();
    }
    assert_eq!(
        a.events(),
        [Event::Udp {
            token: 7,
            id,
            ready: Ready::WRITABLE
        }]
    );
    assert!(a.stack.udp_ready(id).contains(Ready::WRITABLE));
    assert_eq!(a.stack.discards().iter().count(), 0, "nothing was lost");
    assert_eq!(a.stack.udp_send(ms(0), id, send()), Ok(()));
}

#[test]
fn what_cannot_be_sent_says_why() {
    let mut a = node(1);
    let v4 = bind(&mut a, Local::wildcard(Family::V4, 80), None);
    let send = |a: &mut Node, id, to: &str| a.stack.udp_send(ms(0), id, UdpSend::new(at(to), Body::new()));
    assert_eq!(send(&mut a, v4, "[fd00:2::2]:9"), Err(DatagramError::Family));
    assert_eq!(
        send(&mut a, v4, "192.0.2.1:9"),
        Err(DatagramError::Route(RouteError::NoRoute))
    );
    a.stack.udp_close(ms(0), v4);
    assert_eq!(send(&mut a, v4, "10.0.2.2:9"), Err(DatagramError::Closed));
}

#[test]
fn a_cached_route_is_dropped_when_routes_change() {
    let mut a = bare(
        1,
        Eth {
            medium: Medium::Ip,
            ..Eth::default()
        },
    );
    a.stack.add_address(ms(0), a.eth, cidr("10.0.2.1/24"));
    let id = a.udp(80);
    let send = |a: &mut Node| a.stack.udp_send(ms(0), id, UdpSend::new(at("10.0.2.2:9"), Body::new()));
    assert_eq!(send(&mut a), Ok(()));
    a.stack.remove_address(ms(0), a.eth, ip("10.0.2.1"));
    assert_eq!(send(&mut a), Err(DatagramError::Route(RouteError::NoRoute)));
    a.stack.add_address(ms(0), a.eth, cidr("10.0.2.9/24"));
    assert_eq!(send(&mut a), Ok(()));
    let last = a
        .sent(ms(0))
        .pop()
        .map(|frame| over_the_wire(Medium::Ip, frame).to_vec())
        .unwrap();
    assert_eq!(last[12..16], [10, 0, 2, 9]);
}

#[test]
fn a_member_hears_the_sources_that_it_asked_for_and_routers_are_told() {
    let mut a = bare_ip();
    let member = bind(&mut a, Local::wildcard(Family::V4, 80), None);
    let anybody = bind(&mut a, Local::wildcard(Family::V4, 80), None);
    let ids = [member, anybody];
    let only = |last: &[&str], excludes| SourceFilter {
        excludes,
        sources: last.iter().map(|one| ip(one)).collect(),
    };
    let (group, eth) = (ip("224.1.1.1"), Some(a.eth));
    a.stack
        .udp_join_sources(ms(0), member, group, eth, only(&["10.0.2.7"], false))
        .unwrap();
    assert_eq!(takers(&mut a, &ids, "10.0.2.7:9", "224.1.1.1:80"), [0, 1]);
    assert!(takers(&mut a, &ids, "10.0.2.8:9", "224.1.1.1:80").is_empty());
    assert_eq!(a.discarded(Discard::IpGroupNotJoined), 1);
    a.stack
        .udp_set_filter(ms(0), member, group, eth, only(&["10.0.2.7"], true))
        .unwrap();
    // The other one did not join and takes what comes for anybody's sake.
    a.stack.join_group(ms(0), a.eth, group);
    assert_eq!(takers(&mut a, &ids, "10.0.2.7:9", "224.1.1.1:80"), [1]);
    assert_eq!(takers(&mut a, &ids, "10.0.2.8:9", "224.1.1.1:80"), [0, 1]);
    // ALLOW {7}, then TO_EX {7}, then ALLOW {7}: the other member wants it.
    let mut told = Vec::new();
    while let Some(frame) = a.stack.transmit(ms(0), a.eth) {
        let octets = frame.to_vec();
        let at = octets.len() - 20;
        told.push((octets[at + 8], octets[octets.len() - 4..].to_vec()));
    }
    assert_eq!(
        told,
        [
            (5, [10, 0, 2, 7].into()),
            (4, [10, 0, 2, 7].into()),
            (5, [10, 0, 2, 7].into())
        ]
    );
}
