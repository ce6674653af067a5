//! The guest's datagrams and echo requests, and datagrams for published ports.

mod world;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use prise_gateway::{Decision, Discard, Fact, Policy, Ports, Rule, Subject, Transport};
use prise_stack::{IcmpError, IcmpReport, Local, PingConfig, PingId, PingSend, UdpConfig, UdpDatagram, UdpId, UdpSend};
use prise_wire::{IpVersion, Payload};
use rustix::net::{AddressFamily, SocketType, ipproto};

use world::{PATIENCE, World, config, has_ipv6, host, publish};

fn bind(world: &mut World, at: &str) -> UdpId {
    let token = world.token();
    world
        .guest
        .udp_bind(&UdpConfig::new(Local::endpoint(at.parse().unwrap()), token))
}

fn send(world: &mut World, socket: UdpId, to: SocketAddr, octets: &[u8]) {
    let now = world.now();
    world
        .guest
        .udp_send(now, socket, UdpSend::new(to, Payload::copy_from(octets)))
        .unwrap();
}

#[track_caller]
fn receive(world: &mut World, socket: UdpId) -> UdpDatagram {
    world.until("a datagram", |world| world.guest.udp_receive(socket))
}

#[track_caller]
fn error(world: &mut World, socket: UdpId) -> IcmpReport {
    world.until("an error", |world| world.guest.udp_error(socket))
}

/// A socket of the host, and the address under which the guest reaches it.
fn server(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let at = host(socket.local_addr().unwrap());
    (socket, at)
}

/// What comes to a socket of the host while the world goes on.
#[track_caller]
fn heard(world: &mut World, socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 65_536];
    world.until("a datagram at the host", |_| {
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        Some((buffer[..length].to_vec(), from))
    })
}

#[test]
fn datagrams_go_and_answers_come_back() {
    let cases: &[_] = if has_ipv6() {
        &[("127.0.0.1:0", "10.0.2.15:5000"), ("[::1]:0", "[fd00:2::15]:5000")]
    } else {
        &[("127.0.0.1:0", "10.0.2.15:5000")]
    };
    for &(address, guest) in cases {
        let mut world = World::new(config());
        let (server, at) = server(address);
        let socket = bind(&mut world, guest);
        for octets in [&b"small"[..], b"", &vec![7; 60_000]] {
            send(&mut world, socket, at, octets);
            let (got, from) = heard(&mut world, &server);
            assert!(got == octets);
            server.send_to(&got, from).unwrap();
            let datagram = receive(&mut world, socket);
            assert_eq!(datagram.src, at);
            assert!(datagram.payload.to_vec() == octets);
        }
    }
}

#[test]
fn one_endpoint_of_the_guest_is_one_port_of_the_host_for_everyone() {
    let mut world = World::new(config());
    let (first, first_at) = server("127.0.0.1:0");
    let (second, second_at) = server("127.0.0.1:0");
    let socket = bind(&mut world, "10.0.2.15:5000");
    send(&mut world, socket, first_at, b"1");
    send(&mut world, socket, second_at, b"2");
    let (_, from_first) = heard(&mut world, &first);
    let (_, from_second) = heard(&mut world, &second);
    assert_eq!(from_first, from_second);
    let (stranger, stranger_at) = server("127.0.0.1:0");
    stranger.send_to(b"unasked", from_first).unwrap();
    let datagram = receive(&mut world, socket);
    assert_eq!(
        (datagram.payload.to_vec(), datagram.src),
        (b"unasked".to_vec(), stranger_at)
    );
    assert_eq!(world.gateway.udp_mappings(), 1);
}

#[test]
fn a_closed_port_is_told_to_the_socket_that_sent_there() {
    let cases: &[_] = if has_ipv6() {
        &[("127.0.0.1:0", "10.0.2.15:5000"), ("[::1]:0", "[fd00:2::15]:5000")]
    } else {
        &[("127.0.0.1:0", "10.0.2.15:5000")]
    };
    for &(address, guest) in cases {
        let mut world = World::new(config());
        let at = server(address).1;
        let socket = bind(&mut world, guest);
        send(&mut world, socket, at, b"anybody there?");
        let report = error(&mut world, socket);
        assert_eq!(report.error, IcmpError::PortUnreachable);
        assert_eq!(report.destination, at);
        assert_eq!(report.offender, at.ip());
        assert_eq!(report.payload.to_vec(), b"anybody there?");
    }
}

#[test]
fn an_error_about_one_peer_does_not_stop_datagrams_to_another() {
    let mut world = World::new(config());
    let closed = server("127.0.0.1:0").1;
    let (open, open_at) = server("127.0.0.1:0");
    let socket = bind(&mut world, "10.0.2.15:5000");
    for _ in 0..20 {
        send(&mut world, socket, closed, b"lost");
        send(&mut world, socket, open_at, b"heard");
        assert_eq!(heard(&mut world, &open).0, b"heard");
    }
    assert_eq!(world.gateway.tally().discarded(Discard::UdpSendFailed), 0);
}

#[test]
fn a_datagram_whose_hops_end_at_the_gateway_is_told_so() {
    let mut world = World::new(config());
    let socket = bind(&mut world, "10.0.2.15:5000");
    let now = world.now();
    let far = "198.51.100.7:33434".parse().unwrap();
    let datagram = UdpSend {
        hop_limit: 1,
        ..UdpSend::new(far, Payload::copy_from(b"trace"))
    };
    world.guest.udp_send(now, socket, datagram).unwrap();
    let report = error(&mut world, socket);
    assert_eq!(report.error, IcmpError::HopLimitExceeded);
    assert_eq!(report.offender, IpAddr::from([10, 0, 2, 2]));
    assert_eq!(report.destination, far);
    assert_eq!(world.gateway.udp_mappings(), 0);
}

#[test]
fn the_name_servers_other_ports_are_closed() {
    let mut world = World::new(config());
    let socket = bind(&mut world, "10.0.2.15:5000");
    let at = "10.0.2.3:99".parse().unwrap();
    send(&mut world, socket, at, b"x");
    assert_eq!(error(&mut world, socket).error, IcmpError::PortUnreachable);
    assert_eq!(world.gateway.tally().discarded(Discard::UdpPortClosed), 1);
}

#[test]
fn beyond_the_limit_the_endpoint_idle_longest_gives_way() {
    let mut config = config();
    config.limits.udp_mappings = 3;
    let mut world = World::new(config);
    let (server, at) = server("127.0.0.1:0");
    for port in 5000..5010 {
        let socket = bind(&mut world, &format!("10.0.2.15:{port}"));
        send(&mut world, socket, at, b"x");
        heard(&mut world, &server);
    }
    assert_eq!(world.gateway.udp_mappings(), 3);
    assert_eq!(world.gateway.tally().discarded(Discard::UdpEvicted), 7);
}

#[test]
fn an_idle_endpoint_is_forgotten_after_its_time() {
    let mut world = World::new(config());
    let (server, at) = server("127.0.0.1:0");
    let socket = bind(&mut world, "10.0.2.15:5000");
    send(&mut world, socket, at, b"x");
    heard(&mut world, &server);
    let start = world.now();
    world.gateway.process(start + Duration::from_secs(290));
    assert_eq!(world.gateway.udp_mappings(), 1);
    world.gateway.process(start + Duration::from_secs(302));
    assert_eq!(world.gateway.udp_mappings(), 0);
    let facts: Vec<_> = core::iter::from_fn(|| world.gateway.record())
        .map(|record| record.fact)
        .collect();
    assert!(
        matches!(
            facts[..],
            [
                Fact::Opened { .. },
                Fact::Closed {
                    sent: 1,
                    received: 0,
                    ..
                }
            ]
        ),
        "{facts:?}"
    );
}

/// A world whose guest's port 53 is published `count` times, with the host's IPv4 ports that lead to it.
fn published(count: usize) -> (World, Vec<SocketAddr>) {
    let mut config = config();
    config.publish = vec![publish(53, Transport::Udp); count];
    let world = World::new(config);
    let ports = world.gateway.published().map(|(_, address)| address);
    let ports = ports.filter(SocketAddr::is_ipv4).collect();
    (world, ports)
}

#[test]
fn a_published_port_is_where_clients_ask_and_where_answers_come_from() {
    let (mut world, ports) = published(2);
    let socket = bind(&mut world, "10.0.2.15:53");
    let (client, shown) = server("127.0.0.1:0");
    for &port in ports.iter().chain(&ports) {
        client.send_to(b"question", port).unwrap();
        let datagram = receive(&mut world, socket);
        assert_eq!((datagram.src, datagram.payload.to_vec()), (shown, b"question".to_vec()));
        send(&mut world, socket, datagram.src, b"answer");
        assert_eq!(heard(&mut world, &client), (b"answer".to_vec(), port));
    }
}

#[test]
fn a_client_on_another_loopback_address_is_answered_there() {
    let (mut world, ports) = published(1);
    let socket = bind(&mut world, "10.0.2.15:53");
    let (client, shown) = server("127.0.0.77:0");
    client.send_to(b"question", ports[0]).unwrap();
    let datagram = receive(&mut world, socket);
    assert_eq!(datagram.src, SocketAddr::new([10, 0, 2, 2].into(), shown.port()));
    send(&mut world, socket, datagram.src, b"answer");
    assert_eq!(heard(&mut world, &client), (b"answer".to_vec(), ports[0]));
}

/// Lets the guest reach this endpoint, which stands for the host's loopback, and nobody else.
fn only(at: SocketAddr) -> Policy {
    Policy::new(vec![Rule {
        decision: Decision::Allow,
        subject: Subject::Network {
            address: at.ip(),
            prefix_len: 32,
        },
        ports: Ports::ranges(vec![(at.port(), at.port())]),
    }])
}

#[test]
fn nobody_sends_to_the_guest_whom_it_must_not_send_to() {
    let (first, first_at) = server("127.0.0.1:0");
    let (stranger, stranger_at) = server("127.0.0.1:0");
    let mut config = config();
    config.policy = only(first_at);
    let mut world = World::new(config);
    let socket = bind(&mut world, "10.0.2.15:5000");
    send(&mut world, socket, first_at, b"question");
    let (_, from) = heard(&mut world, &first);
    stranger.send_to(b"unasked", from).unwrap();
    world.until("the stranger's datagram", |world| {
        (world.gateway.tally().discarded(Discard::UdpDenied) == 1).then_some(())
    });
    first.send_to(b"answer", from).unwrap();
    let datagram = receive(&mut world, socket);
    assert_eq!(
        (datagram.src, datagram.payload.to_vec()),
        (first_at, b"answer".to_vec())
    );
    send(&mut world, socket, stranger_at, b"out");
    assert_eq!(error(&mut world, socket).error, IcmpError::Prohibited);
    assert_eq!(world.gateway.tally().discarded(Discard::UdpDenied), 2);
}

#[test]
fn clients_of_a_published_port_are_answered_whatever_the_policy() {
    let mut config = config();
    config.publish = vec![publish(53, Transport::Udp)];
    config.policy = only("192.0.2.1:1".parse().unwrap());
    let mut world = World::new(config);
    let port = world.gateway.published().find(|(_, at)| at.is_ipv4()).unwrap().1;
    let socket = bind(&mut world, "10.0.2.15:53");
    let (client, shown) = server("127.0.0.1:0");
    let now = world.now();
    assert_eq!(world.gateway.judge_datagram(now, 53, shown), Decision::Deny);
    client.send_to(b"question", port).unwrap();
    let datagram = receive(&mut world, socket);
    assert_eq!(world.gateway.judge_datagram(now, 53, shown), Decision::Allow);
    send(&mut world, socket, datagram.src, b"answer");
    assert_eq!(heard(&mut world, &client), (b"answer".to_vec(), port));
    assert_eq!(world.gateway.judge_datagram(now, 54, shown), Decision::Deny);
}

fn ping(world: &mut World, dst: IpAddr) -> PingId {
    let token = world.token();
    let version = if dst.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 };
    let config = PingConfig {
        version,
        local: None,
        identifier: Some(77),
        device: None,
        receive_limit: 65_536,
        token,
    };
    let id = world.guest.icmp_bind(&config).unwrap();
    let kind = if dst.is_ipv4() { 8 } else { 128 };
    let message = [&[kind, 0, 0, 0, 0, 77, 0, 9][..], b"data of the ping"].concat();
    let now = world.now();
    let send = PingSend {
        dst,
        src: None,
        device: None,
        hop_limit: 64,
        tos: 0,
        flow_label: prise_stack::FlowLabel::OfFlow,
        fragmentation: prise_stack::Fragmentation::default(),
        message: Payload::from(message).into(),
    };
    world.guest.icmp_send(now, id, send).unwrap();
    id
}

#[track_caller]
fn pong(world: &mut World, id: PingId) -> Vec<u8> {
    let message = world.until("an echo reply", |world| world.guest.icmp_receive(id));
    message.payload.to_vec()
}

#[test]
fn the_gateway_itself_answers_pings() {
    for dst in ["10.0.2.2", "10.0.2.3", "fd00:2::2", "fd00:2::3"] {
        let mut world = World::new(config());
        let id = ping(&mut world, dst.parse().unwrap());
        let reply = pong(&mut world, id);
        assert_eq!(&reply[4..], b"\x00\x4d\x00\x09data of the ping");
    }
}

#[test]
fn a_ping_beyond_is_answered_by_asking_the_host_or_refused() {
    // This host's own address, so that no packet of a test leaves it.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("198.51.100.7:9").and_then(|()| probe.local_addr());
    let Some(own) = own.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback()) else {
        eprintln!("skipped: this host has no address but loopback");
        return;
    };
    let allowed = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP)).is_ok();
    let mut world = World::new(config());
    let id = ping(&mut world, own);
    if allowed {
        let reply = pong(&mut world, id);
        assert_eq!(&reply[4..], b"\x00\x4d\x00\x09data of the ping");
    } else {
        world.until("the ping to be given up", |world| {
            (world.gateway.tally().discarded(Discard::EchoUnavailable) == 1).then_some(())
        });
        let report = world.until("the refusal", |world| world.guest.icmp_error(id));
        assert_eq!(report.error, IcmpError::Prohibited);
        assert!(world.guest.icmp_receive(id).is_none());
    }
}
