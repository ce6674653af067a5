//! Validation, martians, options and extension headers; routes and paths.

use crate::fixture::{Eth, Node, at, bare, cidr, exchange, ip, mac, ms, node, node_with, over_the_wire};
use crate::udp::UdpSend;
use crate::{Discard, Route, RouteError};
use alloc::vec::Vec;
use prise_wire::{
    Body, Emit, EtherType, EthernetHeader, Frame, Head, Icmpv6Header, Instant, Ipv4Header, Ipv6Header, MacAddr, Medium,
    Payload, UdpHeader, checksum, ipv4, protocol,
};

/// A UDP datagram to port 9000 without a checksum, behind `options` of IPv4.
fn v4(src: &str, dst: &str, change: impl FnOnce(&mut Ipv4Header)) -> Frame {
    let udp = UdpHeader {
        source_port: 9001,
        destination_port: 9000,
        len: 8,
        checksum: 0,
    };
    let mut frame = Frame::with_header(&udp, Body::new());
    let mut header = Ipv4Header::new(src.parse().unwrap(), dst.parse().unwrap(), protocol::UDP, 8);
    change(&mut header);
    frame.push_header(&header);
    frame
}

/// A UDP datagram to port 9000 behind `extensions` that begin with a header of the type `first`.
fn v6(src: &str, dst: &str, first: u8, extensions: &[u8]) -> Frame {
    let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut udp = UdpHeader {
        source_port: 9001,
        destination_port: 9000,
        len: 8,
        checksum: 0,
    };
    let mut head = Head::new();
    udp.emit(head.grow_front(8));
    let pseudo = checksum::pseudo_header_v6(src, dst, protocol::UDP, 8);
    udp.checksum = checksum::finish_nonzero(checksum::combine(pseudo, checksum::sum(&head)));
    udp.emit(&mut head);
    let mut frame = Frame::new(head, Body::new());
    frame.push_front(extensions);
    frame.push_header(&Ipv6Header::new(src, dst, first, frame.total_len()));
    frame
}

fn ethernet(to: MacAddr, mut frame: Frame) -> Frame {
    let ether_type = if frame.head()[0] >> 4 == 4 {
        EtherType::IPV4
    } else {
        EtherType::IPV6
    };
    frame.push_header(&EthernetHeader::new(mac(2), to, ether_type));
    over_the_wire(Medium::Ethernet, frame)
}

/// What becomes of a packet at host 1: delivered to port 9000, or why not.
fn fate(node: &mut Node, frame: Frame) -> Option<Discard> {
    let inbox = node.udp(9000);
    let before: Vec<_> = node.stack.discards().iter().collect();
    node.receive(ms(0), frame);
    let got = node.payloads(inbox).len();
    node.stack.udp_close(ms(0), inbox);
    let new: Vec<_> = node
        .stack
        .discards()
        .iter()
        .filter(|now| !before.contains(now))
        .collect();
    match (got, new.as_slice()) {
        (1, []) => None,
        (0, &[(reason, _)]) => Some(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ipv4_packets_that_must_not_be_are_discarded_by_name() {
    let deliverable = |src: &str, dst: &str| v4(src, dst, |_| {});
    let broken = |at: usize, xor: u8| {
        let mut octets = v4("10.0.2.2", "10.0.2.1", |_| {}).to_vec();
        octets[at] ^= xor;
        Frame::from_contiguous(Medium::Ip, octets.into())
    };
    for (frame, expected) in [
        (deliverable("10.0.2.2", "10.0.2.1"), None),
        (broken(8, 1), Some(Discard::IpChecksum)),
        (broken(0, 0x10), Some(Discard::IpMalformed)),
        (broken(0, 0x01), Some(Discard::IpMalformed)),
        (broken(3, 0x40), Some(Discard::IpChecksum)),
        (deliverable("127.0.0.1", "10.0.2.1"), Some(Discard::IpMartianSource)),
        (deliverable("224.0.0.5", "10.0.2.1"), Some(Discard::IpMartianSource)),
        (
            deliverable("255.255.255.255", "10.0.2.1"),
            Some(Discard::IpMartianSource),
        ),
        (deliverable("240.0.0.1", "10.0.2.1"), Some(Discard::IpMartianSource)),
        (deliverable("0.0.0.0", "10.0.2.1"), Some(Discard::IpMartianSource)),
        (deliverable("10.0.2.255", "10.0.2.1"), Some(Discard::IpMartianSource)),
        (deliverable("10.0.2.1", "10.0.2.1"), Some(Discard::IpMartianSource)),
        (
            deliverable("10.0.2.2", "127.0.0.1"),
            Some(Discard::IpMartianDestination),
        ),
        (deliverable("10.0.2.2", "0.0.0.0"), Some(Discard::IpMartianDestination)),
        (
            deliverable("10.0.2.2", "241.0.0.1"),
            Some(Discard::IpMartianDestination),
        ),
        (deliverable("10.0.2.2", "10.0.2.3"), Some(Discard::IpNotForUs)),
        (deliverable("10.0.2.2", "224.0.0.251"), Some(Discard::IpGroupNotJoined)),
        (deliverable("10.0.2.2", "10.0.2.255"), None),
        (deliverable("10.0.2.2", "255.255.255.255"), None),
        (deliverable("0.0.0.0", "255.255.255.255"), None),
        (deliverable("10.0.2.2", "224.0.0.1"), None),
    ] {
        let mut a = node_with(
            1,
            Eth {
                medium: Medium::Ip,
                ..Eth::default()
            },
        );
        let shown = std::format!("{frame:?}");
        assert_eq!(fate(&mut a, frame), expected, "{shown}");
    }
}

#[test]
fn a_total_length_beyond_the_frame_is_malformed_and_padding_is_cut() {
    let mut a = node(1);
    let mut longer = v4("10.0.2.2", "10.0.2.1", |header| header.total_len += 8);
    longer.push_header(&EthernetHeader::new(mac(2), mac(1), EtherType::IPV4));
    assert_eq!(fate(&mut a, longer), Some(Discard::IpMalformed));
    let mut padded = ethernet(mac(1), v4("10.0.2.2", "10.0.2.1", |_| {})).to_vec();
    padded.resize(60, 0xee);
    let inbox = a.udp(9000);
    a.receive(ms(0), Frame::from_contiguous(Medium::Ethernet, padded.into()));
    assert_eq!(a.payloads(inbox), [b""]);
}

#[test]
fn ipv4_options_are_skipped_unless_malformed_or_routing() {
    for (options, expected) in [
        (&[148, 4, 0, 0][..], None),
        (&[1, 1, 1, 0], None),
        (&[7, 7, 4, 0, 0, 0, 0, 0], None),
        (&[131, 7, 4, 10, 0, 2, 3, 0], Some(Discard::IpSourceRoute)),
        (&[137, 7, 4, 10, 0, 2, 3, 0], Some(Discard::IpSourceRoute)),
        (&[7, 1, 0, 0], Some(Discard::IpOptionsMalformed)),
        (&[7, 9, 4, 0], Some(Discard::IpOptionsMalformed)),
        (&[1, 1, 1, 7], Some(Discard::IpOptionsMalformed)),
    ] {
        let mut a = node_with(
            1,
            Eth {
                medium: Medium::Ip,
                ..Eth::default()
            },
        );
        let frame = v4("10.0.2.2", "10.0.2.1", |header| {
            header.options = ipv4::Ipv4Options::copy_from(options);
            header.total_len += options.len() as u16;
        });
        assert_eq!(fate(&mut a, frame), expected, "{options:?}");
    }
}

/// Linux: a packet on `lo` that its own stack has not sent there is looked at as one from outside (`fib_validate_source`).
#[test]
fn what_somebody_else_puts_on_the_loopback_does_not_come_from_our_own_address() {
    let mut a = node(1);
    let links: Vec<_> = a.stack.links().iter().map(crate::Link::id).collect();
    let (lo, other) = (links[0], links[1]);
    for (src, link, may) in [
        ("127.0.0.1", lo, false),
        ("10.0.2.1", lo, false),
        ("10.0.2.2", lo, true),
        ("10.0.2.1", other, true),
    ] {
        let before = a.stack.discards().get(Discard::IpMartianSource);
        let arrives = a.stack.may_arrive_from_beside(link, &v4(src, "127.0.0.1", |_| {}));
        let counted = a.stack.discards().get(Discard::IpMartianSource) - before;
        assert_eq!((arrives, counted), (may, u64::from(!may)), "{src}");
    }
    assert!(
        a.stack
            .may_arrive_from_beside(lo, &v6("::1", "::1", protocol::UDP, &[]))
    );
}

#[test]
fn ipv6_packets_that_must_not_be_are_discarded_by_name() {
    for (src, dst, expected) in [
        ("fd00:2::2", "fd00:2::1", None),
        ("::1", "fd00:2::1", Some(Discard::IpMartianSource)),
        ("ff02::1", "fd00:2::1", Some(Discard::IpMartianSource)),
        ("::ffff:10.0.2.2", "fd00:2::1", Some(Discard::IpMartianSource)),
        ("fd00:2::1", "fd00:2::1", Some(Discard::IpMartianSource)),
        ("::", "fd00:2::1", Some(Discard::IpMartianSource)),
        ("fd00:2::2", "::1", Some(Discard::IpMartianDestination)),
        ("fd00:2::2", "::", Some(Discard::IpMartianDestination)),
        ("fd00:2::2", "::ffff:10.0.2.1", Some(Discard::IpMartianDestination)),
        ("fd00:2::2", "ff01::1", Some(Discard::IpMartianDestination)),
        ("fd00:2::2", "fd00:2::3", Some(Discard::IpNotForUs)),
        ("fd00:2::2", "ff02::fb", Some(Discard::IpGroupNotJoined)),
        ("fd00:2::2", "ff02::1", None),
    ] {
        let mut a = node_with(
            1,
            Eth {
                medium: Medium::Ip,
                ..Eth::default()
            },
        );
        assert_eq!(
            fate(&mut a, v6(src, dst, protocol::UDP, &[])),
            expected,
            "{src} to {dst}"
        );
    }
}

#[test]
fn extension_headers_are_skipped_answered_or_discarded_as_they_ask() {
    let padding = [1, 4, 0, 0, 0, 0];
    let header = |next: u8, content: [u8; 6]| [&[next, 0][..], &content].concat();
    let unknown = |kind: u8| header(17, [kind, 4, 0, 0, 0, 0]);
    for (first, extensions, expected, answer) in [
        (0, header(17, padding), None, None),
        (60, header(17, padding), None, None),
        (43, header(17, [0, 0, 0, 0, 0, 0]), None, None),
        (
            43,
            header(17, [0, 1, 0, 0, 0, 0]),
            Some(Discard::IpRoutingHeader),
            Some((4, 0, 42)),
        ),
        (60, unknown(0x1e), None, None),
        (60, unknown(0x5e), Some(Discard::IpExtensionUnknown), None),
        (60, unknown(0x9e), Some(Discard::IpExtensionUnknown), Some((4, 2, 42))),
        (60, unknown(0xde), Some(Discard::IpExtensionUnknown), Some((4, 2, 42))),
        (
            60,
            [header(0, padding), header(17, padding)].concat(),
            Some(Discard::IpExtensionMalformed),
            Some((4, 1, 40)),
        ),
        (
            60,
            alloc::vec![17, 9, 0, 0, 0, 0, 0, 0],
            Some(Discard::IpExtensionMalformed),
            None,
        ),
    ] {
        let mut a = node_with(
            1,
            Eth {
                medium: Medium::Ip,
                ..Eth::default()
            },
        );
        let frame = v6("fd00:2::2", "fd00:2::1", first, &extensions);
        assert_eq!(fate(&mut a, frame), expected, "{extensions:?}");
        let answers: Vec<_> = a
            .sent(ms(0))
            .iter()
            .map(|frame| parameter_problem(&frame.to_vec()))
            .collect();
        assert_eq!(answers, Vec::from_iter(answer), "{extensions:?}");
    }
}

fn parameter_problem(packet: &[u8]) -> (u8, u8, u32) {
    match Icmpv6Header::parse(&packet[40..]).unwrap() {
        Icmpv6Header::ParameterProblem { code, pointer } => (4, code, pointer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_protocol_that_nobody_speaks_is_answered_with_its_place_in_the_chain() {
    let mut a = node_with(
        1,
        Eth {
            medium: Medium::Ip,
            ..Eth::default()
        },
    );
    a.receive(ms(0), v6("fd00:2::2", "fd00:2::1", 60, &[200, 0, 1, 4, 0, 0, 0, 0]));
    assert_eq!(parameter_problem(&a.sent(ms(0))[0].to_vec()), (4, 1, 40));
    a.receive(ms(0), v4("10.0.2.2", "10.0.2.1", |header| header.protocol = 200));
    assert_eq!(a.sent(ms(0))[0].to_vec()[20..22], [3, 2]);
    assert_eq!(a.discarded(Discard::IpProtocolUnknown), 2);
}

#[test]
fn frames_for_other_stations_and_unicast_in_broadcast_frames_are_dropped() {
    let mut a = node(1);
    for (to, expected) in [
        (mac(1), None),
        (mac(7), Some(Discard::LinkNotForUs)),
        (MacAddr::BROADCAST, Some(Discard::IpLinkBroadcast)),
    ] {
        assert_eq!(fate(&mut a, ethernet(to, v4("10.0.2.2", "10.0.2.1", |_| {}))), expected);
        assert_eq!(
            fate(&mut a, ethernet(to, v6("fd00:2::2", "fd00:2::1", protocol::UDP, &[]))),
            expected
        );
    }
}

#[test]
fn a_host_reaches_its_own_addresses_by_its_loopback() {
    let mut a = node(1);
    for (to, from) in [
        ("127.0.0.1:9000", "127.0.0.1"),
        ("127.8.8.8:9000", "127.0.0.1"),
        ("10.0.2.1:9000", "10.0.2.1"),
        ("[::1]:9000", "::1"),
        ("[fd00:2::1]:9000", "fd00:2::1"),
    ] {
        let route = a.stack.route(at(to).ip(), None, None).unwrap();
        assert!(route.loopback && route.link == a.lo, "{to}");
        assert_eq!(route.source, ip(from), "{to}");
        let (inbox, outbox) = (a.udp(9000), a.udp(9001));
        a.stack
            .udp_send(ms(0), outbox, UdpSend::new(at(to), alloc::vec![1]))
            .unwrap();
        a.pump_lo(ms(0));
        let got = a.stack.udp_receive(inbox).unwrap();
        let reached = if ip(from).is_loopback() { a.lo } else { a.eth };
        assert_eq!((got.src.ip(), got.dst, got.link), (ip(from), at(to), reached));
        a.stack.udp_close(ms(0), inbox);
        a.stack.udp_close(ms(0), outbox);
    }
    assert!(a.sent(ms(0)).is_empty());
}

#[test]
fn what_has_no_way_is_refused_with_the_reason() {
    let mut a = node(1);
    for (dst, src, expected) in [
        ("192.0.2.1", None, RouteError::NoRoute),
        ("2001:db8::1", None, RouteError::NoRoute),
        ("0.0.0.0", None, RouteError::InvalidDestination),
        ("::", None, RouteError::InvalidDestination),
        ("10.0.2.2", Some("127.0.0.1"), RouteError::InvalidSource),
        ("10.0.2.2", Some("fd00:2::1"), RouteError::InvalidSource),
    ] {
        assert_eq!(a.stack.route(ip(dst), src.map(ip), None), Err(expected), "{dst}");
    }
    a.default_route("10.0.2.2");
    assert_eq!(
        a.stack.route(ip("192.0.2.1"), None, None).unwrap().next_hop,
        ip("10.0.2.2")
    );
    let mut b = bare(2, Eth::default());
    b.stack.add_route(Route {
        prefix: cidr("0.0.0.0/0"),
        gateway: None,
        link: b.eth,
        source: None,
        metric: 0,
    });
    assert_eq!(b.stack.route(ip("192.0.2.1"), None, None), Err(RouteError::NoSource));
}

#[test]
fn a_bound_ipv4_address_says_on_which_link_groups_are_meant() {
    let mut a = node(1);
    a.default_route("10.0.2.2");
    let (lo, eth) = (a.lo, a.eth);
    for (dst, src, link) in [
        ("224.0.0.23", None, eth),
        ("224.0.0.23", Some("127.0.0.1"), lo),
        ("224.0.0.23", Some("127.3.2.1"), lo),
        ("255.255.255.255", Some("127.0.0.1"), lo),
        ("224.0.0.23", Some("10.0.2.1"), eth),
    ] {
        let route = a.stack.route(ip(dst), src.map(ip), None).unwrap();
        assert_eq!(
            (route.link, route.source),
            (link, ip(src.unwrap_or("10.0.2.1"))),
            "{dst} from {src:?}"
        );
    }
}

#[test]
fn a_removed_address_takes_its_routes_and_its_membership_along() {
    let mut a = node(1);
    let generation = a.stack.net.route_generation();
    a.stack.remove_address(ms(0), a.eth, ip("10.0.2.1"));
    a.stack.remove_address(ms(0), a.eth, ip("fd00:2::1"));
    assert_ne!(a.stack.net.route_generation(), generation);
    assert_eq!(a.stack.route(ip("10.0.2.2"), None, None), Err(RouteError::NoRoute));
    assert_eq!(a.stack.route(ip("fd00:2::2"), None, None), Err(RouteError::NoRoute));
    let question = v6("fd00:2::2", "fd00:2::1", protocol::UDP, &[]);
    assert_eq!(fate(&mut a, ethernet(mac(1), question)), Some(Discard::IpNotForUs));
}

#[test]
fn a_gateway_gets_the_frame_and_the_destination_keeps_the_packet() {
    let (mut a, mut b) = (node(1), node(2));
    a.default_route("10.0.2.2");
    let id = a.udp(9001);
    a.stack
        .udp_send(ms(0), id, UdpSend::new(at("192.0.2.1:9"), alloc::vec![1]))
        .unwrap();
    let log = exchange(ms(0), &mut a, &mut b);
    let datagram = log.last().unwrap().1.to_vec();
    assert_eq!(datagram[..6], mac(2).octets());
    assert_eq!(datagram[30..34], [192, 0, 2, 1]);
    assert_eq!(b.discarded(Discard::IpNotForUs), 1, "a host does not forward");
}

#[test]
fn sending_to_a_group_loops_a_copy_back_to_members_on_this_host() {
    for (group, port) in [("224.0.0.251:9000", 9000), ("[ff02::fb]:9000", 9000)] {
        let (mut a, mut b) = (node(1), node(2));
        let (mine, theirs) = (a.udp(port), b.udp(port));
        a.stack.udp_join(ms(0), mine, at(group).ip(), None).unwrap();
        b.stack.udp_join(ms(0), theirs, at(group).ip(), None).unwrap();
        exchange(ms(0), &mut a, &mut b);
        a.stack
            .udp_send(ms(0), mine, UdpSend::new(at(group), alloc::vec![7]))
            .unwrap();
        exchange(ms(0), &mut a, &mut b);
        assert_eq!(a.payloads(mine), [[7]]);
        assert_eq!(b.payloads(theirs), [[7]]);
        let mut quiet = UdpSend::new(at(group), alloc::vec![8]);
        quiet.multicast_loop = false;
        a.stack.udp_send(ms(0), mine, quiet).unwrap();
        exchange(ms(0), &mut a, &mut b);
        assert!(a.payloads(mine).is_empty());
        assert_eq!(b.payloads(theirs), [[8]]);
    }
}

#[test]
fn joining_and_leaving_are_reported_and_queries_answered() {
    let mut a = node(1);
    let id = a.udp(9000);
    let reports = |a: &mut Node, now: Instant| -> Vec<Vec<u8>> { a.sent(now).iter().map(Frame::to_vec).collect() };
    a.stack.udp_join(ms(0), id, ip("239.1.1.1"), None).unwrap();
    a.stack.udp_join(ms(0), id, ip("ff05::123"), None).unwrap();
    let sent = reports(&mut a, ms(0));
    // IGMPv3 with a router alert, one record: change to exclude nothing.
    assert_eq!(sent[0][30..34], [224, 0, 0, 22]);
    assert_eq!(sent[0][38..40], [0x22, 0]);
    assert_eq!(sent[0][46..54], [4, 0, 0, 0, 239, 1, 1, 1]);
    assert_eq!(sent[1][54..62], [58, 0, 5, 2, 0, 0, 1, 0]);
    assert_eq!(sent[1][62], 143);
    // Both are said a second time within a second, for the first may have been lost (RFC 3376 §5.1, RFC 3810 §6.1).
    a.stack.expire(ms(1000));
    let mut again = reports(&mut a, ms(1000));
    again.sort_by_key(|report| report[14] >> 4);
    assert_eq!(again[0][38..], sent[0][38..]);
    assert_eq!(again[1][14..], sent[1][14..]);
    assert_eq!(again.len(), 2);
    let mut query = Vec::from([0x11, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let sum = checksum::finish(checksum::sum(&query));
    query[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Frame::new(Head::new(), Payload::from(query).into());
    let mut header = Ipv4Header::new("10.0.2.2".parse().unwrap(), "224.0.0.1".parse().unwrap(), 2, 12);
    header.hop_limit = 1;
    frame.push_header(&header);
    a.receive(ms(5000), ethernet(MacAddr([1, 0, 0x5e, 0, 0, 1]), frame));
    let due = a.stack.next_deadline().unwrap();
    assert!(
        (5000..7000).contains(&due.as_millis()),
        "within the two seconds that the query allows"
    );
    a.stack.expire(due);
    assert_eq!(reports(&mut a, due)[0][46..54], [2, 0, 0, 0, 239, 1, 1, 1]);
    a.stack.udp_close(due, id);
    let sent = reports(&mut a, due);
    assert_eq!(sent[0][46..54], [3, 0, 0, 0, 239, 1, 1, 1]);
    assert_eq!(sent.len(), 2);
    // Who joins again meanwhile is a member when it is said again.
    let id = a.udp(9000);
    a.stack.udp_join(due, id, ip("239.1.1.1"), None).unwrap();
    reports(&mut a, due);
    let later = due + core::time::Duration::from_secs(1);
    a.stack.expire(later);
    let mut again = reports(&mut a, later);
    again.sort_by_key(|report| report[14] >> 4);
    assert_eq!(again[0][46..54], [4, 0, 0, 0, 239, 1, 1, 1]);
    assert_eq!(again[1][62 + 8], 3, "the other group is left");
    assert_eq!(again.len(), 2);
}

// RFC 3810 §6.2: from a link-local address, with a hop limit of one and the router alert.
#[test]
fn a_query_for_listeners_counts_only_with_a_router_alert() {
    let query = |alert: bool| {
        let (src, dst) = ("fe80::9".parse().unwrap(), "ff02::1".parse().unwrap());
        let mut message = alloc::vec![0; 28];
        message[..6].copy_from_slice(&[130, 0, 0, 0, 0x07, 0xd0]);
        let sum = checksum::pseudo_header_v6(src, dst, protocol::ICMPV6, 28);
        let sum = checksum::finish(checksum::combine(sum, checksum::sum(&message)));
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut frame = Frame::new(Head::new(), Payload::from(message).into());
        let mut header = Ipv6Header::new(src, dst, protocol::ICMPV6, 28);
        if alert {
            frame.push_front(&prise_wire::ipv6::extension::MLD_HOP_BY_HOP);
            header = Ipv6Header::new(src, dst, protocol::HOP_BY_HOP, 36);
        }
        header.hop_limit = 1;
        frame.push_header(&header);
        ethernet(MacAddr([0x33, 0x33, 0, 0, 0, 1]), frame)
    };
    let mut a = node(1);
    let id = a.udp(9000);
    a.stack.udp_join(ms(0), id, ip("ff05::123"), None).unwrap();
    a.stack.expire(ms(1000));
    a.sent(ms(1000));
    let quiet = a.stack.next_deadline();
    a.receive(ms(5000), query(false));
    assert!(
        a.stack
            .discards()
            .iter()
            .any(|(reason, count)| (reason, count) == (Discard::MldInvalid, 1))
    );
    assert_eq!(a.stack.next_deadline(), quiet);
    a.receive(ms(5000), query(true));
    let due = a.stack.next_deadline().expect("an answer is owed");
    assert!((5000..7000).contains(&due.as_millis()));
    a.stack.expire(due);
    assert_eq!(a.sent(due)[0].to_vec()[62], 143);
}
