//! The gateway's side of a wire.

use crate::fixture::{Eth, Node, at, exchange, ip, mac, ms, node, node_with};
use crate::net::QuotedFlow;
use crate::raw::PingConfig;
use crate::udp::UdpSend;
use crate::{Discard, Event, IcmpError, PingSend};
use alloc::vec::Vec;
use prise_wire::{Body, Echo, IpVersion, Payload, SeqNum, protocol};

/// A guest at .15 and the gateway at .2, through which everything else is reached.
fn world() -> (Node, Node) {
    let mut guest = node(15);
    guest.default_route("10.0.2.2");
    guest.default_route("fd00:2::2");
    let gateway = node_with(
        2,
        Eth {
            transparent: true,
            ..Eth::default()
        },
    );
    (guest, gateway)
}

#[test]
fn datagrams_for_anybody_are_intercepted_and_answered_in_their_name() {
    for (far, guest_at) in [
        ("192.0.2.7:53", "10.0.2.15:9001"),
        ("[2001:db8::7]:53", "[fd00:2::f]:9001"),
    ] {
        let (mut guest, mut gateway) = world();
        gateway.stack.udp_intercept(true);
        let id = guest.udp_at(guest_at);
        for text in ["one", "two"] {
            guest
                .stack
                .udp_send(ms(0), id, UdpSend::new(at(far), text.as_bytes().to_vec()))
                .unwrap();
        }
        exchange(ms(0), &mut guest, &mut gateway);
        assert_eq!(gateway.events(), [Event::UdpIntercepted], "one event for all");
        let taken: Vec<_> = core::iter::from_fn(|| gateway.stack.udp_take_intercepted()).collect();
        assert_eq!(taken.len(), 2);
        assert_eq!(
            (taken[1].src, taken[1].dst, taken[1].payload.to_vec()),
            (at(guest_at), at(far), b"two".to_vec())
        );
        let (link, answer) = (taken[0].link, Payload::from(b"answer"));
        gateway
            .stack
            .udp_send_from(ms(0), link, at(far), at(guest_at), answer)
            .unwrap();
        exchange(ms(0), &mut guest, &mut gateway);
        let got = guest.stack.udp_receive(id).unwrap();
        assert_eq!((got.src, got.payload.to_vec()), (at(far), b"answer".to_vec()));
    }
}

#[test]
fn a_bound_socket_of_the_gateway_comes_before_interception_and_unbound_ports_of_its_own_after() {
    let (mut guest, mut gateway) = world();
    gateway.stack.udp_intercept(true);
    let dns = gateway.udp_at("10.0.2.2:53");
    let id = guest.udp(9001);
    guest
        .stack
        .udp_send(ms(0), id, UdpSend::new(at("10.0.2.2:53"), alloc::vec![1]))
        .unwrap();
    guest
        .stack
        .udp_send(ms(0), id, UdpSend::new(at("10.0.2.2:54"), alloc::vec![2]))
        .unwrap();
    exchange(ms(0), &mut guest, &mut gateway);
    assert_eq!(gateway.payloads(dns), [[1]]);
    assert_eq!(gateway.stack.udp_take_intercepted().unwrap().dst, at("10.0.2.2:54"));
    assert_eq!(gateway.stack.udp_take_intercepted(), None);
}

#[test]
fn the_guest_is_told_the_truth_about_a_flow() {
    for (far, guest_at) in [
        ("192.0.2.7:53", "10.0.2.15:9001"),
        ("[2001:db8::7]:53", "[fd00:2::f]:9001"),
    ] {
        for (error, offender) in [
            (IcmpError::PortUnreachable, at(far).ip()),
            (
                IcmpError::HostUnreachable,
                ip(if at(far).is_ipv4() { "10.0.2.2" } else { "fd00:2::2" }),
            ),
            (
                IcmpError::NetworkUnreachable,
                ip(if at(far).is_ipv4() { "10.0.2.2" } else { "fd00:2::2" }),
            ),
        ] {
            let (mut guest, mut gateway) = world();
            let id = guest.udp_at(guest_at);
            let flow = QuotedFlow {
                protocol: protocol::UDP,
                src: at(guest_at),
                dst: at(far),
                seq: SeqNum(0),
                payload: Payload::from(b"question"),
            };
            let eth = gateway.eth;
            gateway.stack.icmp_error_for(ms(0), eth, None, &flow, error);
            exchange(ms(0), &mut guest, &mut gateway);
            let report = guest.stack.udp_error(id).unwrap();
            assert_eq!(
                (report.error, report.offender, report.destination),
                (error, offender, at(far))
            );
            assert_eq!(report.payload.to_vec(), b"question");
        }
    }
}

#[test]
fn pings_for_others_wait_for_the_gateway_and_pings_for_itself_do_not() {
    for (far, near) in [("192.0.2.7", "10.0.2.2"), ("2001:db8::7", "fd00:2::2")] {
        let (mut guest, mut gateway) = world();
        gateway.stack.echo_intercept(true);
        let version = if ip(far).is_ipv4() {
            IpVersion::V4
        } else {
            IpVersion::V6
        };
        let kind = if ip(far).is_ipv4() { 8 } else { 128 };
        let config = PingConfig {
            version,
            local: None,
            identifier: Some(99),
            device: None,
            receive_limit: 9999,
            token: 5,
        };
        let id = guest.stack.icmp_bind(&config).unwrap();
        let ping = |dst: &str| PingSend {
            dst: ip(dst),
            src: None,
            device: None,
            hop_limit: 64,
            tos: 0,
            flow_label: crate::FlowLabel::OfFlow,
            fragmentation: crate::Fragmentation::Want,
            message: Body::from(alloc::vec![kind, 0, 0, 0, 0, 0, 0, 3, b'x']),
        };
        guest.stack.icmp_send(ms(0), id, ping(near)).unwrap();
        exchange(ms(0), &mut guest, &mut gateway);
        assert_eq!(guest.stack.icmp_receive(id).unwrap().src, ip(near));
        guest.stack.icmp_send(ms(0), id, ping(far)).unwrap();
        exchange(ms(0), &mut guest, &mut gateway);
        assert_eq!(guest.stack.icmp_receive(id), None, "never by pretending");
        assert_eq!(gateway.events(), [Event::EchoIntercepted]);
        let taken = gateway.stack.echo_take_intercepted().unwrap();
        assert_eq!(
            (taken.dst, taken.echo),
            (
                ip(far),
                Echo {
                    identifier: 99,
                    sequence: 3
                }
            )
        );
        gateway
            .stack
            .echo_reply_from(ms(0), taken.link, taken.dst, taken.src, taken.echo, taken.payload);
        exchange(ms(0), &mut guest, &mut gateway);
        assert_eq!(guest.stack.icmp_receive(id).unwrap().src, ip(far));
    }
}

#[test]
fn the_gateway_answers_for_every_address_but_the_guests_own() {
    let (mut guest, mut gateway) = world();
    // On the same subnet, though nobody has it: behind the gateway as well.
    let id = guest.udp(9001);
    gateway.stack.udp_intercept(true);
    for far in ["10.0.2.77:7", "[fd00:2::77]:7"] {
        guest
            .stack
            .udp_send(ms(0), id, UdpSend::new(at(far), alloc::vec![1]))
            .unwrap();
        exchange(ms(0), &mut guest, &mut gateway);
        assert_eq!(gateway.stack.udp_take_intercepted().unwrap().dst, at(far));
    }
    // Another peer on the wire asks for the guest: that is the guest's to answer.
    let mut other = node(16);
    let outbox = other.udp(9002);
    for guest_at in ["10.0.2.15:9001", "[fd00:2::f]:9001"] {
        other
            .stack
            .udp_send(ms(0), outbox, UdpSend::new(at(guest_at), alloc::vec![2]))
            .unwrap();
        for question in other.sent(ms(0)) {
            gateway.receive(ms(0), question);
        }
    }
    assert!(gateway.sent(ms(0)).is_empty());
    assert!(guest.stack.neighbors().all(|neighbor| neighbor.mac == Some(mac(2))));
    assert_eq!(gateway.discarded(Discard::ArpNotForUs), 1);
}

#[test]
fn without_interception_an_ordinary_link_takes_only_its_own() {
    let (mut guest, mut gateway) = (node(15), node(2));
    guest.default_route("10.0.2.2");
    gateway.stack.udp_intercept(true);
    let id = guest.udp(9001);
    guest
        .stack
        .udp_send(ms(0), id, UdpSend::new(at("192.0.2.7:53"), alloc::vec![1]))
        .unwrap();
    exchange(ms(0), &mut guest, &mut gateway);
    assert_eq!(gateway.stack.udp_take_intercepted(), None);
    assert_eq!(gateway.discarded(Discard::IpNotForUs), 1);
}

#[test]
fn the_queue_of_intercepted_datagrams_is_bounded() {
    let (mut guest, mut gateway) = world();
    gateway.stack.udp_intercept(true);
    let id = guest.udp(9001);
    for _ in 0..5000 {
        guest
            .stack
            .udp_send(ms(0), id, UdpSend::new(at("192.0.2.7:53"), alloc::vec![0; 1000]))
            .unwrap();
        exchange(ms(0), &mut guest, &mut gateway);
    }
    let waiting = core::iter::from_fn(|| gateway.stack.udp_take_intercepted()).count();
    // Each is charged what it pins, headers included, and its place in the queue.
    assert_eq!(waiting, (4 << 20) / (1000 + 42 + 256));
    assert_eq!(gateway.discarded(Discard::UdpInterceptQueueFull), 5000 - waiting as u64);
}
