//! Labels of IPv6's flows (RFC 6437).

use crate::fixture::{Eth, Node, at, exchange, ms, node, node_with};
use crate::tcp::{ConnId, ListenConfig, TcpConfig};
use crate::udp::UdpSend;
use crate::{FlowLabel, Local};
use alloc::vec::Vec;
use prise_wire::{Frame, Ipv6Header, Medium, TcpFlags, TcpHeader, protocol};

const FROM: &str = "[fd00:2::1]:9001";
const TO: &str = "[fd00:2::2]:9000";

fn bare_ip(number: u8) -> Node {
    node_with(
        number,
        Eth {
            medium: Medium::Ip,
            ..Eth::default()
        },
    )
}

/// What the fixed headers of packets of IPv6 say, in order.
fn headers(frames: &[Frame]) -> Vec<Ipv6Header> {
    let octets = frames.iter().map(Frame::to_vec);
    octets.map(|octets| Ipv6Header::parse(&octets).unwrap()).collect()
}

fn sent(from: &str, to: &str, len: usize, label: FlowLabel) -> Vec<u32> {
    let mut node = bare_ip(1);
    let id = node.udp_at(from);
    let send = UdpSend {
        flow_label: label,
        ..UdpSend::new(at(to), alloc::vec![7; len])
    };
    node.stack.udp_send(ms(0), id, send).unwrap();
    headers(&node.sent(ms(0)))
        .iter()
        .map(|header| header.flow_label)
        .collect()
}

// rfc: 6437 §3
#[test]
fn all_packets_of_a_flow_carry_one_label_and_other_flows_another() {
    let [label] = sent(FROM, TO, 10, FlowLabel::OfFlow)[..] else {
        panic!("one packet");
    };
    assert!(0 < label && label < 1 << 20);
    assert_eq!(sent(FROM, TO, 5000, FlowLabel::OfFlow), [label; 4], "fragments, too");
    for other in ["[fd00:2::2]:9001", "[fd00:2::3]:9000"] {
        assert_ne!(sent(FROM, other, 10, FlowLabel::OfFlow), [label]);
    }
    assert_ne!(sent("[fd00:2::1]:9002", TO, 10, FlowLabel::OfFlow), [label]);
}

// rfc: 6437 §3/2
#[test]
fn who_was_given_a_label_sends_that_one_or_none() {
    assert_eq!(sent(FROM, TO, 10, FlowLabel::Given(0xabcde)), [0xabcde]);
    assert_eq!(sent(FROM, TO, 3000, FlowLabel::Given(7)), [7; 3]);
    assert_eq!(sent(FROM, TO, 10, FlowLabel::Given(0)), [0]);
}

#[test]
fn a_datagram_tells_the_label_that_it_came_with() {
    let (mut a, mut b) = (bare_ip(1), bare_ip(2));
    let (outbox, inbox) = (a.udp_at(FROM), b.udp(9000));
    for (len, label) in [(10, 5), (4000, 6)] {
        let send = UdpSend {
            flow_label: FlowLabel::Given(label),
            ..UdpSend::new(at(TO), alloc::vec![7; len])
        };
        a.stack.udp_send(ms(0), outbox, send).unwrap();
        exchange(ms(0), &mut a, &mut b);
        assert_eq!(b.stack.udp_receive(inbox).unwrap().flow_label, label);
    }
}

/// A connection from one host to another, either end with a label of its own.
struct Connected {
    a: Node,
    b: Node,
    opened: ConnId,
    accepted: ConnId,
    log: Vec<(usize, Frame)>,
}

fn connected(client: FlowLabel, server: FlowLabel) -> Connected {
    let (mut a, mut b) = (bare_ip(1), bare_ip(2));
    let config = |flow_label| TcpConfig {
        flow_label,
        ..TcpConfig::default()
    };
    let listen = ListenConfig {
        local: Local::endpoint(at(TO)),
        backlog: 1,
        reuse_port: false,
        config: config(server),
        token: 1,
    };
    let listener = b.stack.tcp_listen(listen).unwrap();
    let (now, local, remote) = (ms(0), at(FROM), at(TO));
    let opened = a
        .stack
        .tcp_connect(now, local, remote, None, &config(client), 2)
        .unwrap();
    let log = exchange(ms(0), &mut a, &mut b);
    let accepted = b.stack.tcp_accept(listener, 3).unwrap();
    Connected {
        a,
        b,
        opened,
        accepted,
        log,
    }
}

/// One that both sides close: the labels of what either sends, and those that the listener's end is told.
fn connection(client: FlowLabel, server: FlowLabel) -> [Vec<u32>; 3] {
    let Connected {
        mut a,
        mut b,
        opened,
        accepted,
        mut log,
    } = connected(client, server);
    let told = [a.stack.tcp_came_with(opened), b.stack.tcp_came_with(accepted)];
    a.stack.tcp_close(ms(1), opened);
    log.extend(exchange(ms(1), &mut a, &mut b));
    b.stack.tcp_close(ms(2), accepted);
    let last = b.sent(ms(2));
    for frame in &last {
        a.receive(ms(2), frame.clone());
    }
    log.extend(exchange(ms(2), &mut a, &mut b));
    // Whose answer comes from TIME-WAIT.
    for frame in last {
        a.receive(ms(5000), frame);
    }
    let answers = a.sent(ms(5000));
    assert_eq!(answers.len(), 1);
    log.extend(answers.into_iter().map(|frame| (0, frame)));
    let of = |side| {
        let mine: Vec<Frame> = log
            .iter()
            .filter(|(from, _)| *from == side)
            .map(|(_, frame)| frame.clone())
            .collect();
        let segments = headers(&mine)
            .into_iter()
            .filter(|header| header.next_header == protocol::TCP);
        let mut labels: Vec<u32> = segments.map(|header| header.flow_label).collect();
        assert!(labels.len() >= 2);
        labels.dedup();
        labels
    };
    [of(0), of(1), told.to_vec()]
}

// rfc: 6437 §3/3
#[test]
fn a_connection_has_a_label_each_way_to_its_very_end() {
    let [client, server, told] = connection(FlowLabel::OfFlow, FlowLabel::OfFlow);
    let node = bare_ip(1);
    assert_eq!(client, [node.stack.flow_label(at(FROM), at(TO))]);
    assert_eq!((server.len(), told), (1, alloc::vec![0, client[0]]));
    assert_ne!(client, server);
    let [client, server, told] = connection(FlowLabel::Given(0x77777), FlowLabel::Given(0));
    assert_eq!(
        (client, server, told),
        (alloc::vec![0x77777], alloc::vec![0], alloc::vec![0, 0x77777])
    );
}

// rfc: 6437 §3/3
#[test]
fn a_reset_has_the_label_of_its_connection() {
    for (label, of_flow) in [(FlowLabel::OfFlow, true), (FlowLabel::Given(0x77777), false)] {
        let Connected { mut a, opened, .. } = connected(label, FlowLabel::OfFlow);
        let expected = if of_flow {
            a.stack.flow_label(at(FROM), at(TO))
        } else {
            0x77777
        };
        a.stack.tcp_abort(ms(1), opened);
        let [frame] = &a.sent(ms(1))[..] else {
            panic!("one segment");
        };
        let octets = frame.to_vec();
        let header = Ipv6Header::parse(&octets).unwrap();
        let (tcp, _) = TcpHeader::parse(&octets[40..]).unwrap();
        assert!(tcp.flags.contains(TcpFlags::RST));
        assert_eq!(header.flow_label, expected);
    }
}

// rfc: 6437 §3
#[test]
fn who_has_another_key_gives_a_flow_another_label() {
    let labels = [1, 2].map(|number| bare_ip(number).stack.flow_label(at(FROM), at(TO)));
    assert_ne!(labels[0], labels[1]);
}

#[test]
fn what_belongs_to_no_flow_of_a_program_has_no_label() {
    let (mut a, mut b) = (node(1), node(2));
    let id = a.udp_at(FROM);
    a.stack
        .udp_send(ms(0), id, UdpSend::new(at(TO), alloc::vec![b'x']))
        .unwrap();
    let log = exchange(ms(0), &mut a, &mut b);
    let octets = log.iter().map(|(_, frame)| frame.to_vec()[14..].to_vec());
    let labels: Vec<(u8, bool)> = octets
        .filter_map(|octets| Some((Ipv6Header::parse(&octets).ok()?, octets[40])))
        .map(|(header, kind)| {
            if header.next_header == protocol::ICMPV6 {
                (kind, header.flow_label != 0)
            } else {
                (0, true)
            }
        })
        .collect();
    // Neighbors are asked for without one; an error has one as any message between two hosts.
    assert!(
        labels.contains(&(135, false)) && labels.contains(&(136, false)) && labels.contains(&(1, true)),
        "{labels:?}"
    );
}
