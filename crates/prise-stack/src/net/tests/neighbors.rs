//! ARP and neighbor discovery.

use crate::fixture::{Eth, Node, at, bare, cidr, exchange, ip, mac, ms, node, node_with, over_the_wire};
use crate::udp::UdpSend;
use crate::{Discard, IcmpError, NeighborState, Ready};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use prise_wire::icmpv6::ndp::{NdpMessage, NeighborAdvertisement, solicited_node};
use prise_wire::{
    ArpMessage, ArpOperation, Body, Emit, EtherType, EthernetHeader, Frame, Head, Instant, Ipv6Header, MacAddr, Medium,
    icmpv6, protocol,
};

fn send(node: &mut Node, now: Instant, from: &str, to: &str, text: &'static [u8]) {
    let id = node.udp_at(from);
    node.stack
        .udp_send(
            now,
            id,
            UdpSend::new(at(to), Body::from(prise_wire::Payload::from_static(text))),
        )
        .unwrap();
}

fn arp(source: MacAddr, destination: MacAddr, message: &ArpMessage) -> Frame {
    let mut frame = Frame::with_header(message, Body::new());
    frame.push_header(&EthernetHeader::new(source, destination, EtherType::ARP));
    over_the_wire(Medium::Ethernet, frame)
}

fn parse_arp(frame: &Frame) -> Option<(EthernetHeader, ArpMessage)> {
    let octets = frame.to_vec();
    let header = EthernetHeader::parse(&octets)?;
    (header.ether_type == EtherType::ARP).then(|| (header, ArpMessage::parse(&octets[14..]).unwrap()))
}

fn ndp(source: (MacAddr, &str), destination: (MacAddr, &str), hop_limit: u8, message: &NdpMessage<'_>) -> Frame {
    let (src, dst) = (source.1.parse().unwrap(), destination.1.parse().unwrap());
    let mut head = Head::new();
    icmpv6::emit_message(message, src, dst, head.grow_front(message.emit_len()));
    let mut frame = Frame::new(head, Body::new());
    let mut header = Ipv6Header::new(src, dst, protocol::ICMPV6, frame.total_len());
    header.hop_limit = hop_limit;
    frame.push_header(&header);
    frame.push_header(&EthernetHeader::new(source.0, destination.0, EtherType::IPV6));
    over_the_wire(Medium::Ethernet, frame)
}

fn state(node: &Node, addr: &str) -> Option<NeighborState> {
    node.stack
        .neighbors()
        .find(|neighbor| neighbor.addr == ip(addr))
        .map(|neighbor| neighbor.state)
}

/// Makes each know the other, by a datagram there.
fn acquaint(a: &mut Node, b: &mut Node, now: Instant, from: &str, to: &str) {
    send(a, now, from, to, b"hello");
    exchange(now, a, b);
}

#[test]
fn the_first_datagram_waits_for_the_arp_reply_and_then_goes() {
    let (mut a, mut b) = (node(1), node(2));
    let inbox = b.udp(9000);
    send(&mut a, ms(0), "10.0.2.1:9001", "10.0.2.2:9000", b"first");
    assert_eq!(state(&a, "10.0.2.2"), Some(NeighborState::Incomplete));
    let log = exchange(ms(0), &mut a, &mut b);
    let arps: Vec<_> = log.iter().filter_map(|(_, frame)| parse_arp(frame)).collect();
    assert_eq!(arps.len(), 2);
    assert_eq!(arps[0].0.destination, MacAddr::BROADCAST);
    assert_eq!(
        arps[0].1,
        ArpMessage::request(mac(1), Ipv4Addr::new(10, 0, 2, 1), Ipv4Addr::new(10, 0, 2, 2))
    );
    assert_eq!(arps[1].0.destination, mac(1), "a reply goes to the asker alone");
    assert_eq!(arps[1].1.operation, ArpOperation::Reply);
    assert_eq!(b.payloads(inbox), [b"first"]);
    assert_eq!(state(&a, "10.0.2.2"), Some(NeighborState::Reachable));
    assert_eq!(
        state(&b, "10.0.2.1"),
        Some(NeighborState::Stale),
        "being asked proves one direction only"
    );
}

#[test]
fn the_first_datagram_waits_for_the_neighbor_advertisement_and_then_goes() {
    let (mut a, mut b) = (node(1), node(2));
    let inbox = b.udp(9000);
    send(&mut a, ms(0), "[fd00:2::1]:9001", "[fd00:2::2]:9000", b"first");
    let log = exchange(ms(0), &mut a, &mut b);
    assert_eq!(b.payloads(inbox), [b"first"]);
    let solicitation = log[0].1.to_vec();
    let group = solicited_node("fd00:2::2".parse().unwrap());
    assert_eq!(solicitation[..6], MacAddr::from_ipv6_multicast(group).octets());
    assert_eq!(state(&a, "fd00:2::2"), Some(NeighborState::Reachable));
    assert_eq!(
        log.len(),
        3,
        "solicitation, advertisement, datagram: the asker is known from the solicitation"
    );
}

#[test]
fn a_neighbor_that_does_not_answer_three_requests_is_host_unreachable() {
    for (from, to) in [
        ("10.0.2.1:9001", "10.0.2.77:9000"),
        ("[fd00:2::1]:9001", "[fd00:2::77]:9000"),
    ] {
        let mut a = node(1);
        let id = a.udp_at(from);
        a.stack.udp_send(ms(0), id, UdpSend::new(at(to), Body::new())).unwrap();
        let mut asked = a.sent(ms(0)).len();
        for second in 1..=3 {
            assert_eq!(a.stack.next_deadline(), Some(ms(second * 1000)));
            assert!(a.stack.udp_error(id).is_none());
            a.stack.expire(ms(second * 1000));
            asked += a.sent(ms(second * 1000)).len();
        }
        assert_eq!(asked, 3);
        let report = a.stack.udp_error(id).unwrap();
        assert_eq!((report.error, report.destination), (IcmpError::HostUnreachable, at(to)));
        assert!(a.stack.udp_ready(id).contains(Ready::WRITABLE));
        assert_eq!(a.discarded(Discard::NeighborUnreachable), 1);
        assert_eq!(a.stack.neighbors().count(), 0);
        assert_eq!(a.stack.next_deadline(), None);
    }
}

#[test]
fn the_oldest_packets_give_way_when_too_many_wait_for_one_neighbor() {
    let (mut a, mut b) = (node(1), node(2));
    let inbox = b.udp(9000);
    let id = a.udp(9001);
    for n in 0..70_u8 {
        a.stack
            .udp_send(ms(0), id, UdpSend::new(at("10.0.2.2:9000"), alloc::vec![n]))
            .unwrap();
    }
    assert_eq!(a.discarded(Discard::NeighborQueueFull), 6);
    exchange(ms(0), &mut a, &mut b);
    let got: Vec<u8> = b.payloads(inbox).concat();
    assert_eq!(got, (6..70).collect::<Vec<u8>>());
}

#[test]
fn a_reachable_neighbor_grows_stale_is_delayed_probed_and_confirmed() {
    for (from, to) in [("10.0.2.1", "10.0.2.2"), ("fd00:2::1", "fd00:2::2")] {
        let (mut a, mut b) = (node(1), node(2));
        let source = std::format!("{}", core::net::SocketAddr::new(ip(from), 9001));
        let dest = std::format!("{}", core::net::SocketAddr::new(ip(to), 9000));
        acquaint(&mut a, &mut b, ms(0), &source, &dest);
        let stale_at = a.stack.next_deadline().unwrap();
        assert!(
            (15_000..45_000).contains(&stale_at.as_millis()),
            "between half and one and a half times 30 s"
        );
        a.stack.expire(stale_at);
        assert_eq!(state(&a, to), Some(NeighborState::Stale));
        let now = stale_at + core::time::Duration::from_secs(1);
        acquaint(&mut a, &mut b, now, &source, &dest);
        assert_eq!(
            state(&a, to),
            Some(NeighborState::Delay),
            "a stale address is used at once"
        );
        let probe_at = now + core::time::Duration::from_secs(5);
        a.stack.expire(probe_at);
        assert_eq!(state(&a, to), Some(NeighborState::Probe));
        let probe = a.sent(probe_at).remove(0);
        assert_eq!(probe.to_vec()[..6], mac(2).octets(), "the neighbor alone is asked");
        b.receive(probe_at, over_the_wire(Medium::Ethernet, probe));
        exchange(probe_at, &mut a, &mut b);
        assert_eq!(state(&a, to), Some(NeighborState::Reachable));
    }
}

#[test]
fn a_neighbor_that_does_not_answer_probes_is_forgotten_and_asked_for_anew() {
    let (mut a, mut b) = (node(1), node(2));
    acquaint(&mut a, &mut b, ms(0), "10.0.2.1:9001", "10.0.2.2:9000");
    a.stack.expire(ms(45_000));
    send(&mut a, ms(46_000), "10.0.2.1:9001", "10.0.2.2:9000", b"x");
    for second in [51, 52, 53, 54] {
        a.stack.expire(ms(second * 1000));
    }
    assert_eq!(state(&a, "10.0.2.2"), None);
    a.sent(ms(54_000));
    send(&mut a, ms(54_000), "10.0.2.1:9001", "10.0.2.2:9000", b"x");
    assert_eq!(
        parse_arp(&a.sent(ms(54_000))[0]).unwrap().0.destination,
        MacAddr::BROADCAST
    );
}

#[test]
fn an_entry_that_nobody_uses_is_forgotten_after_ten_minutes() {
    let (mut a, mut b) = (node(1), node(2));
    acquaint(&mut a, &mut b, ms(0), "10.0.2.1:9001", "10.0.2.2:9000");
    a.stack.expire(ms(45_000));
    assert_eq!(state(&a, "10.0.2.2"), Some(NeighborState::Stale));
    a.stack.expire(ms(600_000));
    assert_eq!(state(&a, "10.0.2.2"), None);
    assert_eq!(a.stack.next_deadline(), None);
}

#[test]
fn a_transport_that_hears_from_a_neighbor_spares_it_the_probe() {
    let (mut a, mut b) = (node(1), node(2));
    acquaint(&mut a, &mut b, ms(0), "10.0.2.1:9001", "10.0.2.2:9000");
    a.stack.expire(ms(45_000));
    send(&mut a, ms(46_000), "10.0.2.1:9001", "10.0.2.2:9000", b"x");
    assert_eq!(state(&a, "10.0.2.2"), Some(NeighborState::Delay));
    a.stack.net.confirm_path(ms(47_000), ip("10.0.2.2"));
    assert_eq!(state(&a, "10.0.2.2"), Some(NeighborState::Reachable));
    a.sent(ms(47_000));
    a.stack.expire(ms(51_000));
    assert!(a.sent(ms(51_000)).is_empty());
}

#[test]
fn an_announced_change_of_hardware_address_is_followed_and_doubted() {
    let (mut a, mut b) = (node(1), node(2));
    acquaint(&mut a, &mut b, ms(0), "10.0.2.1:9001", "10.0.2.2:9000");
    let addr = Ipv4Addr::new(10, 0, 2, 2);
    a.receive(
        ms(1),
        arp(mac(9), MacAddr::BROADCAST, &ArpMessage::request(mac(9), addr, addr)),
    );
    let neighbor = a.stack.neighbors().find(|neighbor| neighbor.addr == addr).unwrap();
    assert_eq!((neighbor.mac, neighbor.state), (Some(mac(9)), NeighborState::Stale));
}

#[test]
fn an_advertisement_without_override_only_casts_doubt() {
    let (mut a, mut b) = (node(1), node(2));
    acquaint(&mut a, &mut b, ms(0), "[fd00:2::1]:9001", "[fd00:2::2]:9000");
    let mut claim = NeighborAdvertisement {
        router: false,
        solicited: false,
        override_known: false,
        target: "fd00:2::2".parse().unwrap(),
        target_link: Some(mac(9)),
    };
    let all_nodes = (MacAddr([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
    a.receive(
        ms(1),
        ndp(
            (mac(9), "fe80::9"),
            all_nodes,
            255,
            &NdpMessage::NeighborAdvertisement(claim),
        ),
    );
    let neighbor = a.stack.neighbors().next().unwrap();
    assert_eq!((neighbor.mac, neighbor.state), (Some(mac(2)), NeighborState::Stale));
    claim.override_known = true;
    a.receive(
        ms(2),
        ndp(
            (mac(9), "fe80::9"),
            all_nodes,
            255,
            &NdpMessage::NeighborAdvertisement(claim),
        ),
    );
    assert_eq!(a.stack.neighbors().next().unwrap().mac, Some(mac(9)));
}

#[test]
fn unasked_answers_make_no_entry() {
    let mut a = node(1);
    let reply = ArpMessage {
        operation: ArpOperation::Reply,
        sender_mac: mac(2),
        sender_ip: Ipv4Addr::new(10, 0, 2, 2),
        target_mac: mac(1),
        target_ip: Ipv4Addr::new(10, 0, 2, 200),
    };
    a.receive(ms(0), arp(mac(2), mac(1), &reply));
    assert_eq!(a.discarded(Discard::ArpNotForUs), 1);
    let claim = NeighborAdvertisement {
        router: false,
        solicited: true,
        override_known: true,
        target: "fd00:2::2".parse().unwrap(),
        target_link: Some(mac(2)),
    };
    a.receive(
        ms(0),
        ndp(
            (mac(2), "fd00:2::2"),
            (mac(1), "fd00:2::1"),
            255,
            &NdpMessage::NeighborAdvertisement(claim),
        ),
    );
    assert_eq!(a.discarded(Discard::NdpNotForUs), 1);
    assert_eq!(a.stack.neighbors().count(), 0);
}

#[test]
fn neighbor_discovery_that_crossed_a_router_is_ignored() {
    let mut a = node(1);
    let question = NdpMessage::NeighborSolicitation {
        target: "fd00:2::1".parse().unwrap(),
        source_link: Some(mac(2)),
    };
    a.receive(ms(0), ndp((mac(2), "fd00:2::2"), (mac(1), "fd00:2::1"), 254, &question));
    assert_eq!(a.discarded(Discard::NdpInvalid), 1);
    assert!(a.sent(ms(0)).is_empty());
}

#[test]
fn whoever_claims_our_address_is_told_once_in_ten_seconds() {
    let mut a = node(1);
    let addr = Ipv4Addr::new(10, 0, 2, 1);
    let claim = arp(mac(9), MacAddr::BROADCAST, &ArpMessage::request(mac(9), addr, addr));
    for millis in [0, 100, 9_999] {
        a.receive(ms(millis), claim.clone());
    }
    let defences = a.sent(ms(9_999));
    assert_eq!(defences.len(), 1);
    let (header, message) = parse_arp(&defences[0]).unwrap();
    assert_eq!(header.destination, MacAddr::BROADCAST);
    assert_eq!(
        (message.sender_mac, message.sender_ip, message.target_ip),
        (mac(1), addr, addr)
    );
    a.receive(ms(10_000), claim);
    assert_eq!(a.sent(ms(10_000)).len(), 1);
    assert_eq!(a.discarded(Discard::AddressConflict), 4);
    assert_eq!(a.stack.neighbors().count(), 0);
}

#[test]
fn a_probe_for_our_address_is_answered_in_either_version() {
    let mut a = node(1);
    let probe = ArpMessage::request(mac(9), Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 2, 1));
    a.receive(ms(0), arp(mac(9), MacAddr::BROADCAST, &probe));
    assert_eq!(parse_arp(&a.sent(ms(0))[0]).unwrap().1.sender_mac, mac(1));
    let target = "fd00:2::1".parse().unwrap();
    let group = solicited_node(target);
    let detection = NdpMessage::NeighborSolicitation {
        target,
        source_link: None,
    };
    let to = std::format!("{group}");
    a.receive(
        ms(0),
        ndp(
            (mac(9), "::"),
            (MacAddr::from_ipv6_multicast(group), &to),
            255,
            &detection,
        ),
    );
    let answer = a.sent(ms(0)).remove(0).to_vec();
    assert_eq!(
        answer[..6],
        [0x33, 0x33, 0, 0, 0, 1],
        "to all nodes, since the asker has no address"
    );
    assert_eq!(a.stack.neighbors().count(), 0);
}

#[test]
fn the_cache_is_bounded_and_a_flood_does_not_evict_who_is_reachable() {
    let (mut a, mut b) = (bare(1, Eth::default()), node_with(2, Eth::default()));
    a.stack.add_address(ms(0), a.eth, cidr("10.0.0.1/8"));
    acquaint(&mut a, &mut b, ms(0), "10.0.0.1:9001", "10.0.2.2:9000");
    b.stack.add_address(ms(0), b.eth, cidr("10.0.9.9/8"));
    acquaint(&mut a, &mut b, ms(0), "10.0.0.1:9001", "10.0.2.2:9000");
    exchange(ms(0), &mut a, &mut b);
    assert_eq!(state(&a, "10.0.2.2"), Some(NeighborState::Reachable));
    for n in 0..3000_u32 {
        let sender = Ipv4Addr::from_bits(0x0a01_0000 + n);
        let question = ArpMessage::request(mac(9), sender, Ipv4Addr::new(10, 0, 0, 1));
        a.receive(ms(1), arp(mac(9), MacAddr::BROADCAST, &question));
        a.sent(ms(1));
    }
    assert_eq!(a.stack.neighbors().count(), 1024);
    assert_eq!(state(&a, "10.0.2.2"), Some(NeighborState::Reachable));
}

#[test]
fn a_permanent_neighbor_is_never_asked_for_nor_changed_by_what_peers_say() {
    for (from, to) in [
        ("10.0.2.1:9001", "10.0.2.2:9000"),
        ("[fd00:2::1]:9001", "[fd00:2::2]:9000"),
    ] {
        let (mut a, mut b) = (node(1), node(2));
        let inbox = b.udp(9000);
        send(&mut a, ms(0), from, to, b"waits");
        a.sent(ms(0));
        a.stack.add_neighbor(ms(0), a.eth, at(to).ip(), mac(2));
        send(&mut a, ms(0), from, to, b"goes");
        let frames = a.sent(ms(0));
        assert_eq!(frames.len(), 2, "what waited is sent, and nobody is asked");
        for frame in frames {
            b.receive(ms(0), over_the_wire(Medium::Ethernet, frame));
        }
        assert_eq!(b.payloads(inbox), [&b"waits"[..], b"goes"]);
        let addr = Ipv4Addr::new(10, 0, 2, 2);
        a.receive(
            ms(1),
            arp(mac(9), MacAddr::BROADCAST, &ArpMessage::request(mac(9), addr, addr)),
        );
        let neighbor = a.stack.neighbors().next().unwrap();
        assert_eq!((neighbor.mac, neighbor.state), (Some(mac(2)), NeighborState::Permanent));
        assert_eq!(a.stack.next_deadline(), None);
    }
}

// RFC 6980 §5.
#[test]
fn neighbor_discovery_in_fragments_is_not_believed() {
    let mut a = node(1);
    let target = "fd00:2::1".parse().unwrap();
    let message = NdpMessage::NeighborSolicitation {
        target,
        source_link: Some(mac(2)),
    };
    let whole = ndp((mac(2), "fd00:2::2"), (mac(1), "fd00:2::1"), 255, &message).to_vec();
    let mut fragment = whole[..14 + 40].to_vec();
    fragment[14 + 5] += 8;
    fragment[14 + 6] = protocol::IPV6_FRAGMENT;
    fragment.extend_from_slice(&[protocol::ICMPV6, 0, 0, 0, 1, 2, 3, 4]);
    fragment.extend_from_slice(&whole[14 + 40..]);
    a.receive(ms(0), Frame::from_contiguous(Medium::Ethernet, fragment.into()));
    assert_eq!(a.discarded(Discard::NdpInvalid), 1);
    assert_eq!((state(&a, "fd00:2::2"), a.sent(ms(0)).len()), (None, 0));
    a.receive(ms(0), Frame::from_contiguous(Medium::Ethernet, whole.into()));
    assert_eq!(a.sent(ms(0)).len(), 1);
}
