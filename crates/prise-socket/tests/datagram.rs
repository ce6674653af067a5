//! Datagram, ping and raw sockets.

mod world;

use core::time::Duration;

use prise_socket::{Control, Errno, Family, Flags, How, Kind, Readiness, SocketId};
use prise_wire::Payload;
use world::{World, addr, ip};

fn send_to(world: &mut World, host: usize, s: SocketId, octets: &[u8], to: &str) -> Result<usize, Errno> {
    send_with(world, host, s, octets, Some(to), &Control::default())
}

fn send_with(
    world: &mut World,
    host: usize,
    s: SocketId,
    octets: &[u8],
    to: Option<&str>,
    control: &Control,
) -> Result<usize, Errno> {
    let now = world.now;
    world.hosts[host].send_to(now, s, Payload::from(octets), Flags::EMPTY, to.map(addr), control)
}

fn recv_from(world: &mut World, host: usize, s: SocketId) -> Result<(Vec<u8>, String), Errno> {
    let now = world.now;
    let received = world.hosts[host].recv_from(now, s, Flags::EMPTY)?;
    Ok((
        received.payload.to_vec(),
        received.source.expect("a source").to_string(),
    ))
}

#[test]
fn datagrams_come_whole_and_one_by_one() {
    for (server, client) in [
        ("127.0.0.1:53", "127.0.0.1"),
        ("[::1]:53", "::1"),
        ("10.0.0.1:53", "10.0.0.1"),
    ] {
        let mut world = World::new(1);
        let family = if addr(server).is_ipv4() {
            Family::Inet
        } else {
            Family::Inet6
        };
        let (a, b) = (world.udp(0, family), world.udp(0, family));
        world.bind(0, b, server).expect("bound");
        assert_eq!(send_to(&mut world, 0, a, b"one", server), Ok(3));
        assert_eq!(send_to(&mut world, 0, a, b"", server), Ok(0));
        assert_eq!(send_to(&mut world, 0, a, &[7; 2000], server), Ok(2000));
        world.settle();
        let (octets, source) = recv_from(&mut world, 0, b).expect("a datagram");
        assert_eq!(octets, b"one");
        assert_eq!(addr(&source).ip(), ip(client));
        assert_eq!(recv_from(&mut world, 0, b).expect("a datagram").0, b"");
        assert_eq!(recv_from(&mut world, 0, b).expect("a datagram").0, [7; 2000]);
        assert_eq!(recv_from(&mut world, 0, b), Err(Errno::EAGAIN));
    }
}

#[test]
fn a_connected_socket_hears_its_peer_only_and_learns_that_nobody_is_there() {
    let mut world = World::new(2);
    let (a, b, other) = (
        world.udp(0, Family::Inet),
        world.udp(1, Family::Inet),
        world.udp(1, Family::Inet),
    );
    world.bind(1, b, "10.0.0.2:53").expect("bound");
    assert_eq!(world.connect(0, a, "10.0.0.2:53"), Ok(()));
    assert_eq!(world.hosts[0].peer_addr(a), Ok(addr("10.0.0.2:53")));
    let local = world.hosts[0].local_addr(a).expect("bound by connect");
    assert_eq!(local.ip(), ip("10.0.0.1"));
    assert_eq!(send_to(&mut world, 1, other, b"no", &local.to_string()), Ok(2));
    assert_eq!(send_to(&mut world, 1, b, b"yes", &local.to_string()), Ok(3));
    world.settle();
    assert_eq!(recv_from(&mut world, 0, a), Ok((b"yes".to_vec(), "10.0.0.2:53".into())));
    assert_eq!(recv_from(&mut world, 0, a), Err(Errno::EAGAIN));
    let now = world.now;
    world.hosts[1].close(now, b);
    assert_eq!(world.send(0, a, b"?"), Ok(1));
    world.settle();
    assert!(world.poll(0, a).contains(Readiness::ERR));
    assert_eq!(world.send(0, a, b"?"), Err(Errno::ECONNREFUSED));
    assert_eq!(world.send(0, a, b"?"), Ok(1), "the error was taken");
    world.settle();
    assert_eq!(recv_from(&mut world, 0, a), Err(Errno::ECONNREFUSED));
    assert_eq!(world.hosts[0].disconnect(world.now, a), Ok(()));
    assert_eq!(world.hosts[0].peer_addr(a), Err(Errno::ENOTCONN));
    assert_eq!(world.send(0, a, b"?"), Err(Errno::EDESTADDRREQ));
}

#[test]
fn what_a_host_sends_to_itself_comes_to_the_link_that_has_the_address() {
    const DEVICE: i32 = 62;
    for (to, own) in [
        ("10.0.0.1", true),
        ("[fd00::1]", true),
        ("[fe80::1%2]", true),
        ("127.0.0.1", false),
        ("[::1]", false),
    ] {
        for device in [1, 2] {
            let mut world = World::new(1);
            let family = if to.starts_with('[') {
                Family::Inet6
            } else {
                Family::Inet
            };
            let (a, b) = (world.udp(0, family), world.udp(0, family));
            let any = if family == Family::Inet6 {
                "[::]:53"
            } else {
                "0.0.0.0:53"
            };
            world.set(0, b, 1, DEVICE, device).expect("bound to a link");
            world.bind(0, b, any).expect("bound");
            send_to(&mut world, 0, a, b"self", &format!("{to}:53")).expect("sent");
            world.settle();
            let heard = recv_from(&mut world, 0, b).is_ok();
            assert_eq!(heard, own == (device == 2), "{to} by link {device}");
            assert_eq!(
                world.get(0, a, 1, DEVICE),
                Ok(0),
                "a message's link is not the socket's"
            );
        }
    }
}

#[test]
fn a_socket_that_connects_to_a_link_local_address_keeps_to_its_link_and_gives_its_port_back() {
    let mut world = World::new(1);
    let (a, b) = (world.udp(0, Family::Inet6), world.udp(0, Family::Inet6));
    world.bind(0, b, "[fe80::1%2]:53").expect("bound");
    world.bind(0, a, "[::]:54").expect("bound");
    assert_eq!(world.connect(0, a, "[fe80::1%2]:53"), Ok(()));
    assert_eq!(world.get(0, a, 1, 62), Ok(2));
    assert_eq!(world.send(0, a, b"self"), Ok(4));
    world.settle();
    assert_eq!(
        recv_from(&mut world, 0, b),
        Ok((b"self".to_vec(), "[fe80::1%2]:54".into()))
    );
    let now = world.now;
    world.hosts[0].close(now, a);
    let again = world.udp(0, Family::Inet6);
    assert_eq!(world.bind(0, again, "[::]:54"), Ok(()));
}

#[test]
fn a_message_to_a_link_local_address_goes_where_a_route_leads_though_no_link_is_named() {
    const UNICAST_IF: i32 = 76;
    let mut world = World::new(2);
    let b = world.udp(1, Family::Inet6);
    world.bind(1, b, "[::]:53").expect("bound");
    let raw = world.hosts[0].socket(Family::Inet6, Kind::Raw, 200);
    let (a, raw) = (world.udp(0, Family::Inet6), raw.expect("a raw socket"));
    assert_eq!(send_to(&mut world, 0, a, b"there", "[fe80::2]:53"), Ok(5));
    assert_eq!(send_to(&mut world, 0, raw, b"there", "[fe80::2]:0"), Ok(5));
    world.settle();
    let (octets, from) = recv_from(&mut world, 1, b).expect("it has come");
    assert!(octets == b"there" && from.starts_with("[fe80::1%2]:"), "{from}");
    // Who connects there, and who asks for an echo, has to name one; that of datagrams without one does not count.
    world.set(0, a, 41, UNICAST_IF, 2i32.to_be()).expect("set");
    assert_eq!(world.connect(0, a, "[fe80::2]:53"), Err(Errno::EINVAL));
    assert_eq!(world.connect(0, raw, "[fe80::2]:0"), Err(Errno::EINVAL));
    let stream = world.tcp(0, Family::Inet6);
    assert_eq!(world.connect(0, stream, "[fe80::2]:53"), Err(Errno::EINVAL));
    let ping = world.hosts[0].socket(Family::Inet6, Kind::Datagram, 58);
    let (ping, echo) = (ping.expect("a ping socket"), [128, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(send_to(&mut world, 0, ping, &echo, "[fe80::2]:0"), Err(Errno::EINVAL));
    assert_eq!(send_to(&mut world, 0, ping, &echo, "[fe80::2%2]:0"), Ok(8));
}

#[test]
fn ip_recverr_queues_what_icmp_says() {
    for (to, level, name) in [("10.0.0.2:9", 0, 11), ("[fd00::2]:9", 41, 25)] {
        let mut world = World::new(2);
        let s = world.udp(
            0,
            if addr(to).is_ipv4() {
                Family::Inet
            } else {
                Family::Inet6
            },
        );
        world.set(0, s, level, name, 1).expect("set");
        send_to(&mut world, 0, s, b"anybody?", to).expect("sent");
        world.settle();
        assert!(world.poll(0, s).contains(Readiness::ERR));
        assert_eq!(recv_from(&mut world, 0, s), Err(Errno::ECONNREFUSED));
        assert!(
            world.poll(0, s).contains(Readiness::ERR),
            "the queue keeps it until it is read"
        );
        let report = world.hosts[0].recv_error(s).expect("a report");
        assert_eq!(report.errno, Some(Errno::ECONNREFUSED));
        assert_eq!(report.destination, addr(to));
        assert_eq!(report.offender, Some(addr(to).ip()));
        assert_eq!(report.payload, b"anybody?");
        assert_eq!(
            (report.kind, report.code),
            if addr(to).is_ipv4() { (3, 3) } else { (1, 4) }
        );
        assert!(!world.poll(0, s).contains(Readiness::ERR));
        assert_eq!(world.hosts[0].recv_error(s).expect_err("empty"), Errno::EAGAIN);
    }
}

/// `SO_TIMESTAMPING` with `SOF_TIMESTAMPING_TX_SOFTWARE`, `SOFTWARE` and `OPT_ID`: each datagram sent is queued with its packet.
fn stamp(world: &mut World, s: SocketId) {
    world
        .set(0, s, 1, 37, 1 << 1 | 1 << 4 | 1 << 7)
        .expect("SO_TIMESTAMPING");
}

/// The numbers of the stamps that wait.
fn stamps(world: &mut World, s: SocketId) -> Vec<u32> {
    core::iter::from_fn(|| world.hosts[0].recv_error(s).ok().map(|report| report.data)).collect()
}

/// Measured on Linux 6.18.
#[test]
fn an_error_queue_holds_the_first_that_fit_the_receive_buffer_with_their_packets() {
    for (len, kept) in [(0, 255), (100, 255), (1000, 92), (8000, 12), (30_000, 6), (60_000, 3)] {
        let mut world = World::new(1);
        let (a, b) = (world.udp(0, Family::Inet), world.udp(0, Family::Inet));
        world.bind(0, b, "127.0.0.1:53").expect("bound");
        stamp(&mut world, a);
        for _ in 0..300 {
            send_to(&mut world, 0, a, &vec![0; len], "127.0.0.1:53").expect("sent");
            world.settle();
            let _ = recv_from(&mut world, 0, b);
        }
        assert_eq!(stamps(&mut world, a), (0..kept).collect::<Vec<_>>(), "{len}");
        // Fetched, they are charged no more.
        send_to(&mut world, 0, a, &vec![0; len], "127.0.0.1:53").expect("sent");
        assert_eq!(stamps(&mut world, a), [300], "{len}");
    }
}

#[test]
fn an_error_queue_and_a_receive_queue_take_each_others_room() {
    let mut world = World::new(1);
    let (a, b) = (world.udp(0, Family::Inet), world.udp(0, Family::Inet));
    world.bind(0, a, "127.0.0.1:53").expect("bound");
    let fill = |world: &mut World| {
        for _ in 0..1000 {
            send_to(world, 0, b, &[0; 1000], "127.0.0.1:53").expect("sent");
            world.settle();
        }
    };
    let drain = |world: &mut World| core::iter::from_fn(|| recv_from(world, 0, a).ok()).count();
    stamp(&mut world, a);
    fill(&mut world);
    send_to(&mut world, 0, a, &vec![0; 60_000], "127.0.0.1:9").expect("sent");
    assert_eq!(stamps(&mut world, a), [], "the receive queue has it all");
    let alone = drain(&mut world);
    for _ in 0..3 {
        send_to(&mut world, 0, a, &vec![0; 60_000], "127.0.0.1:9").expect("sent");
    }
    fill(&mut world);
    let beside = drain(&mut world);
    assert!(
        beside * 5 < alone,
        "{beside} of {alone} beside stamps that nobody fetches"
    );
    assert_eq!(stamps(&mut world, a), [1, 2, 3]);
    fill(&mut world);
    assert_eq!(drain(&mut world), alone);
}

/// `raw(7)`, `inet_sk_flowi_flags`.
#[test]
fn who_writes_headers_may_send_from_foreign_addresses() {
    const UDP: i32 = 17;
    let mut world = World::new(1);
    let plain = Control::default();
    let named = Control {
        source: Some(ip("192.0.2.7")),
        ..Control::default()
    };
    let mut packet = [0; 28];
    packet[0] = 0x45;
    for (writes, bound, control, expected) in [
        (0, true, &plain, Err(Errno::ENETUNREACH)),
        (0, false, &named, Err(Errno::ENETUNREACH)),
        (1, true, &plain, Ok(28)),
        (1, false, &named, Ok(28)),
    ] {
        let s = world.hosts[0]
            .socket(Family::Inet, Kind::Raw, UDP)
            .expect("a raw socket");
        world.set(0, s, 0, 3, writes).expect("IP_HDRINCL");
        if bound {
            world.set(0, s, 0, 15, 1).expect("IP_FREEBIND");
            world.bind(0, s, "192.0.2.7:0").expect("bound");
        }
        let sent = send_with(&mut world, 0, s, &packet, Some("127.0.0.1:0"), control);
        assert_eq!(sent, expected, "{writes} {bound}");
        if bound {
            let now = world.now;
            let connected = world.hosts[0].connect(now, s, addr("127.0.0.1:0"));
            assert_eq!(
                connected,
                Err(Errno::ENETUNREACH),
                "ip_route_connect looks at IP_TRANSPARENT only"
            );
        }
    }
}

/// `IP_MTU`, as `__ip4_datagram_connect` and `udp_sendmsg` leave it.
#[test]
fn a_connect_that_fails_forgets_the_way_until_something_is_sent_to_the_peer() {
    const IP_MTU: (i32, i32) = (0, 14);
    let mut world = World::new(2);
    let s = world.udp(0, Family::Inet);
    let ask = |world: &mut World| world.get(0, s, IP_MTU.0, IP_MTU.1);
    world.connect(0, s, "10.0.0.2:7").expect("connected");
    let mtu = ask(&mut world).expect("a way");
    assert_eq!(world.connect(0, s, "10.0.0.255:7"), Err(Errno::EACCES));
    assert_eq!(ask(&mut world), Err(Errno::ENOTCONN));
    // Neither an address nor control data find it again.
    send_to(&mut world, 0, s, b"x", "10.0.0.2:7").expect("sent");
    let few_hops = Control {
        hop_limit: Some(3),
        ..Control::default()
    };
    send_with(&mut world, 0, s, b"x", None, &few_hops).expect("sent");
    assert_eq!(ask(&mut world), Err(Errno::ENOTCONN));
    send_with(&mut world, 0, s, b"x", None, &Control::default()).expect("sent");
    assert_eq!(ask(&mut world), Ok(mtu));
}

#[test]
fn broadcasting_must_be_asked_for() {
    let mut world = World::new(3);
    let s = world.udp(0, Family::Inet);
    for to in ["255.255.255.255:67", "10.0.0.255:67"] {
        assert_eq!(send_to(&mut world, 0, s, b"x", to), Err(Errno::EACCES), "{to}");
        assert_eq!(world.connect(0, s, to), Err(Errno::EACCES), "{to}");
    }
    let listeners: Vec<_> = (1..3)
        .map(|host| {
            let l = world.udp(host, Family::Inet);
            world.bind(host, l, "0.0.0.0:67").expect("bound");
            l
        })
        .collect();
    world.set(0, s, 1, 6, 1).expect("SO_BROADCAST");
    assert_eq!(send_to(&mut world, 0, s, b"x", "10.0.0.255:67"), Ok(1));
    world.settle();
    for (host, l) in (1..).zip(listeners) {
        assert_eq!(recv_from(&mut world, host, l).map(|it| it.0), Ok(b"x".to_vec()));
    }
}

#[test]
fn what_is_too_big_is_refused() {
    let mut world = World::new(2);
    let s = world.udp(0, Family::Inet);
    assert_eq!(
        send_to(&mut world, 0, s, &vec![0; 65_508], "10.0.0.2:9"),
        Err(Errno::EMSGSIZE)
    );
    assert_eq!(send_to(&mut world, 0, s, &vec![0; 65_507], "10.0.0.2:9"), Ok(65_507));
    // IP_PMTUDISC_DO
    world.set(0, s, 0, 10, 2).expect("set");
    assert_eq!(
        send_to(&mut world, 0, s, &[0; 1473], "10.0.0.2:9"),
        Err(Errno::EMSGSIZE)
    );
    assert_eq!(send_to(&mut world, 0, s, &[0; 1472], "10.0.0.2:9"), Ok(1472));
}

#[test]
fn corked_pieces_leave_as_one_datagram() {
    let mut world = World::new(1);
    let (a, b) = (world.udp(0, Family::Inet), world.udp(0, Family::Inet));
    world.bind(0, b, "127.0.0.1:53").expect("bound");
    let now = world.now;
    let to = Some(addr("127.0.0.1:53"));
    let host = &mut world.hosts[0];
    assert_eq!(
        host.send_to(now, a, Payload::from(b"one "), Flags::MORE, to, &Control::default()),
        Ok(4)
    );
    assert_eq!(
        host.send_to(now, a, Payload::from(b"two"), Flags::EMPTY, None, &Control::default()),
        Ok(3)
    );
    world.set(0, a, 17, 1, 1).expect("UDP_CORK");
    assert_eq!(send_to(&mut world, 0, a, b"three ", "127.0.0.1:53"), Ok(6));
    assert_eq!(send_to(&mut world, 0, a, b"four", "127.0.0.1:53"), Ok(4));
    world.settle();
    assert_eq!(recv_from(&mut world, 0, b).map(|it| it.0), Ok(b"one two".to_vec()));
    assert_eq!(recv_from(&mut world, 0, b), Err(Errno::EAGAIN));
    world.set(0, a, 17, 1, 0).expect("uncorked");
    world.settle();
    assert_eq!(recv_from(&mut world, 0, b).map(|it| it.0), Ok(b"three four".to_vec()));
}

#[test]
fn control_data_chooses_source_link_and_header() {
    let mut world = World::new(2);
    let (a, b) = (world.udp(0, Family::Inet), world.udp(1, Family::Inet));
    world.bind(1, b, "0.0.0.0:53").expect("bound");
    let control = Control {
        source: Some(ip("10.0.0.1")),
        hop_limit: Some(7),
        tos: Some(0xb8),
        ..Control::default()
    };
    assert_eq!(send_with(&mut world, 0, a, b"x", Some("10.0.0.2:53"), &control), Ok(1));
    let foreign = Control {
        source: Some(ip("10.0.0.9")),
        ..Control::default()
    };
    assert_eq!(
        send_with(&mut world, 0, a, b"x", Some("10.0.0.2:53"), &foreign),
        Err(Errno::ENETUNREACH)
    );
    let nowhere = Control {
        interface: Some(17),
        ..Control::default()
    };
    assert_eq!(
        send_with(&mut world, 0, a, b"x", Some("10.0.0.2:53"), &nowhere),
        Err(Errno::ENODEV)
    );
    world.settle();
    let now = world.now;
    let received = world.hosts[1].recv_from(now, b, Flags::EMPTY).expect("a datagram");
    assert_eq!((received.hop_limit, received.tos), (7, 0xb8));
    assert_eq!(received.destination, Some(addr("10.0.0.2:53")));
    assert_eq!(received.link.map(prise_stack::LinkId::interface_index), Some(2));
    assert!(
        received
            .timestamp
            .is_some_and(|at| at <= now && now - at < Duration::from_millis(10))
    );
}

/// `IPV6_FREEBIND`, `IP_FREEBIND`: one flag.
const FREE: [(i32, i32); 2] = [(41, 78), (0, 15)];

#[test]
fn who_may_have_foreign_addresses_names_one_as_the_source_of_a_message() {
    for (level, name) in FREE {
        let mut world = World::new(1);
        let a = world.udp(0, Family::Inet6);
        world.bind(0, a, "[::1]:53").expect("bound");
        let from = |source: &str, interface| Control {
            source: Some(ip(source)),
            interface,
            ..Control::default()
        };
        let send = |world: &mut World, control: &Control| send_with(world, 0, a, b"x", Some("[::1]:53"), control);
        assert_eq!(send(&mut world, &from("2001:db8::1", None)), Err(Errno::EINVAL));
        assert_eq!(send(&mut world, &from("::ffff:127.0.0.1", None)), Err(Errno::EINVAL));
        assert_eq!(send(&mut world, &from("::ffff:0.0.0.0", None)), Err(Errno::EINVAL));
        world.set(0, a, level, name, 1).expect("the option");
        assert_eq!(send(&mut world, &from("2001:db8::1", None)), Ok(1));
        // ip6_datagram_send_ctl, ip6_dst_lookup_tail.
        assert_eq!(send(&mut world, &from("fe80::7", None)), Err(Errno::EINVAL));
        assert_eq!(send(&mut world, &from("fe80::7", Some(1))), Ok(1));
        assert_eq!(
            send(&mut world, &from("::ffff:1.2.3.4", None)),
            Err(Errno::EAFNOSUPPORT)
        );
        assert_eq!(
            send(&mut world, &from("::ffff:0.0.0.0", None)),
            Err(Errno::EAFNOSUPPORT)
        );
        // ip6_rcv_core: sent, and lost where it arrives.
        assert_eq!(send(&mut world, &from("ff05::7", None)), Ok(1));
        world.settle();
        let sources = [recv_from(&mut world, 0, a), recv_from(&mut world, 0, a)];
        assert_eq!(
            sources.map(|it| addr(&it.expect("a datagram").1).ip()),
            [ip("2001:db8::1"), ip("fe80::7")]
        );
        assert_eq!(recv_from(&mut world, 0, a), Err(Errno::EAGAIN));
    }
}

#[test]
fn an_address_that_nobody_has_leads_nowhere_by_ipv4() {
    for (level, name) in FREE {
        for (family, local, peer) in [
            (Family::Inet, "1.2.3.4:0", "127.0.0.1:53"),
            (Family::Inet6, "[::ffff:1.2.3.4]:0", "[::ffff:127.0.0.1]:53"),
        ] {
            if family == Family::Inet && level == 41 {
                continue;
            }
            let mut world = World::new(1);
            let (udp, tcp) = (world.udp(0, family), world.tcp(0, family));
            for s in [udp, tcp] {
                world.set(0, s, level, name, 1).expect("the option");
                world.bind(0, s, local).expect("bound");
                let now = world.now;
                assert_eq!(world.hosts[0].connect(now, s, addr(peer)), Err(Errno::ENETUNREACH));
                assert!(world.hosts[0].leads_to(s, addr(peer)).is_none());
            }
            assert_eq!(send_to(&mut world, 0, udp, b"x", peer), Err(Errno::ENETUNREACH));
        }
    }
}

#[test]
fn a_source_set_for_good_is_not_spoken_from() {
    let mut world = World::new(1);
    let (a, b) = (world.udp(0, Family::Inet6), world.udp(0, Family::Inet6));
    world.bind(0, b, "[::1]:53").expect("bound");
    let mut sticky = [0; 20];
    sticky[..2].copy_from_slice(&[0x20, 1]);
    let now = world.now;
    world.hosts[0]
        .set_option(now, a, 41, 50, &sticky)
        .expect("IPV6_PKTINFO");
    assert_eq!(send_to(&mut world, 0, a, b"x", "[::1]:53"), Ok(1));
    world.settle();
    assert_eq!(
        addr(&recv_from(&mut world, 0, b).expect("a datagram").1).ip(),
        ip("::1")
    );
}

#[test]
fn udp_segment_cuts_one_send_into_many_datagrams() {
    let mut world = World::new(1);
    let (a, b) = (world.udp(0, Family::Inet), world.udp(0, Family::Inet));
    world.bind(0, b, "127.0.0.1:53").expect("bound");
    world.set(0, a, 17, 103, 1000).expect("UDP_SEGMENT");
    assert_eq!(send_to(&mut world, 0, a, &[1; 2500], "127.0.0.1:53"), Ok(2500));
    world.settle();
    let sizes: Vec<_> = std::iter::from_fn(|| recv_from(&mut world, 0, b).ok().map(|it| it.0.len())).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
}

#[test]
fn groups_are_heard_once_joined() {
    for (group, level, join, leave) in [("239.1.2.3", 0, 35, 36), ("ff15::7", 41, 20, 21)] {
        let mut world = World::new(2);
        let v4 = ip(group).is_ipv4();
        let family = if v4 { Family::Inet } else { Family::Inet6 };
        let (a, b) = (world.udp(0, family), world.udp(1, family));
        world
            .bind(1, b, if v4 { "0.0.0.0:5353" } else { "[::]:5353" })
            .expect("bound");
        let mut request = match ip(group) {
            std::net::IpAddr::V4(v4) => [&v4.octets()[..], &[0; 4]].concat(),
            std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        request.extend(2u32.to_le_bytes());
        let to = if v4 {
            format!("{group}:5353")
        } else {
            format!("[{group}]:5353")
        };
        // IP_MULTICAST_IF, IPV6_MULTICAST_IF: by eth0.
        let way: Vec<u8> = if v4 {
            [&[0; 8][..], &2u32.to_le_bytes()].concat()
        } else {
            2u32.to_le_bytes().to_vec()
        };
        let now = world.now;
        world.hosts[0]
            .set_option(now, a, level, if v4 { 32 } else { 17 }, &way)
            .expect("set");
        world.hosts[1]
            .set_option(now, b, level, join, &request)
            .expect("joined");
        assert_eq!(
            world.hosts[1].set_option(now, b, level, join, &request),
            Err(Errno::EADDRINUSE)
        );
        assert_eq!(send_to(&mut world, 0, a, b"all", &to), Ok(3));
        world.settle();
        assert_eq!(
            recv_from(&mut world, 1, b).map(|it| it.0),
            Ok(b"all".to_vec()),
            "{group}"
        );
        let now = world.now;
        world.hosts[1].set_option(now, b, level, leave, &request).expect("left");
        assert_eq!(
            world.hosts[1].set_option(now, b, level, leave, &request),
            Err(Errno::EADDRNOTAVAIL)
        );
        send_to(&mut world, 0, a, b"all", &to).expect("sent");
        world.settle();
        assert_eq!(recv_from(&mut world, 1, b), Err(Errno::EAGAIN), "{group}");
    }
}

#[test]
fn a_group_joined_before_bind_is_heard_after_it() {
    let mut world = World::new(2);
    let (a, b) = (world.udp(0, Family::Inet), world.udp(1, Family::Inet));
    let request = [239, 1, 2, 3, 10, 0, 0, 2];
    let now = world.now;
    world.hosts[1].set_option(now, b, 0, 35, &request).expect("joined");
    world.bind(1, b, "239.1.2.3:5353").expect("bound to the group itself");
    world.hosts[0]
        .set_option(now, a, 0, 32, &[10, 0, 0, 1])
        .expect("IP_MULTICAST_IF");
    send_to(&mut world, 0, a, b"all", "239.1.2.3:5353").expect("sent");
    world.settle();
    assert_eq!(recv_from(&mut world, 1, b).map(|it| it.0), Ok(b"all".to_vec()));
}

#[test]
fn a_socket_of_both_families_hears_groups_of_ipv4_that_others_joined_only_if_it_asks() {
    let mut world = World::new(2);
    let a = world.udp(0, Family::Inet);
    let (member, other) = (world.udp(1, Family::Inet6), world.udp(1, Family::Inet6));
    for s in [member, other] {
        // SO_REUSEADDR.
        world.set(1, s, 1, 2, 1).expect("set");
        world.bind(1, s, "[::]:5353").expect("bound");
    }
    let now = world.now;
    world.hosts[1]
        .set_option(now, member, 0, 35, &[239, 1, 2, 3, 10, 0, 0, 2])
        .expect("joined");
    world.hosts[0]
        .set_option(now, a, 0, 32, &[10, 0, 0, 1])
        .expect("IP_MULTICAST_IF");
    let heard = |world: &mut World| {
        send_to(world, 0, a, b"all", "239.1.2.3:5353").expect("sent");
        world.settle();
        [member, other].map(|s| recv_from(world, 1, s).map(|it| it.0))
    };
    assert_eq!(heard(&mut world), [Ok(b"all".to_vec()), Err(Errno::EAGAIN)]);
    // IPV6_MULTICAST_ALL is on and says nothing of IPv4; IP_MULTICAST_ALL does.
    world.set(1, other, 0, 49, 1).expect("IP_MULTICAST_ALL");
    assert_eq!(heard(&mut world), [Ok(b"all".to_vec()), Ok(b"all".to_vec())]);
}

#[test]
fn shutting_down_shows_and_stops_sending() {
    let mut world = World::new(1);
    let s = world.udp(0, Family::Inet);
    let now = world.now;
    assert_eq!(world.hosts[0].shutdown(now, s, How::Both), Err(Errno::ENOTCONN));
    assert!(
        world
            .poll(0, s)
            .contains(Readiness::HUP | Readiness::RDHUP | Readiness::IN)
    );
    let t = world.udp(0, Family::Inet);
    assert_eq!(world.connect(0, t, "127.0.0.1:53"), Ok(()));
    let now = world.now;
    assert_eq!(world.hosts[0].shutdown(now, t, How::Write), Ok(()));
    assert_eq!(world.send(0, t, b"x"), Err(Errno::EPIPE));
}

#[test]
fn ping_sockets_get_the_answers_to_their_own_requests() {
    for (family, protocol, to, request, reply) in [
        (Family::Inet, 1, "10.0.0.2:0", 8u8, 0u8),
        (Family::Inet6, 58, "[fd00::2]:0", 128, 129),
    ] {
        let mut world = World::new(2);
        let s = world.hosts[0]
            .socket(family, Kind::Datagram, protocol)
            .expect("a ping socket");
        let message = [request, 0, 0, 0, 0, 0, 0, 1, b'h', b'i'];
        assert_eq!(send_to(&mut world, 0, s, &message, to), Ok(10));
        world.settle();
        let (octets, source) = recv_from(&mut world, 0, s).expect("an answer");
        assert_eq!((octets[0], &octets[6..]), (reply, &message[6..]));
        assert_eq!(source, to);
        let identifier = u16::from_be_bytes([octets[4], octets[5]]);
        assert_eq!(world.hosts[0].local_addr(s).map(|local| local.port()), Ok(identifier));
        assert_eq!(
            send_to(&mut world, 0, s, &[reply, 0, 0, 0, 0, 0, 0, 1], to),
            Err(Errno::EINVAL)
        );
        assert_eq!(send_to(&mut world, 0, s, b"short", to), Err(Errno::EINVAL));
    }
}

#[test]
fn the_port_that_a_raw_ipv6_packet_is_sent_to_is_a_protocol() {
    let mut world = World::new(2);
    let raw = world.hosts[0]
        .socket(Family::Inet6, Kind::Raw, 200)
        .expect("a raw socket");
    for to in ["[fd00::2]:0", "[fd00::2]:200"] {
        assert_eq!(send_to(&mut world, 0, raw, b"x", to), Ok(1), "{to}");
    }
    for to in ["[fd00::2]:17", "[fd00::2]:9000"] {
        assert_eq!(send_to(&mut world, 0, raw, b"x", to), Err(Errno::EINVAL), "{to}");
    }
    // IPPROTO_RAW: the program writes the header, and names what it likes.
    let any = world.hosts[0]
        .socket(Family::Inet6, Kind::Raw, 255)
        .expect("a raw socket");
    let mut packet = [0; 40];
    packet[0] = 0x60;
    assert_eq!(send_to(&mut world, 0, any, &packet, "[fd00::2]:17"), Ok(40));
    assert_eq!(
        send_to(&mut world, 0, any, &packet, "[fd00::2]:256"),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        send_to(&mut world, 0, any, &packet[..39], "[fd00::2]:0"),
        Err(Errno::EINVAL)
    );
}

#[test]
fn raw_sockets_get_every_packet_of_their_protocol_that_their_filter_leaves() {
    let mut world = World::new(2);
    let raw = world.hosts[1].socket(Family::Inet, Kind::Raw, 1).expect("a raw socket");
    let ping = world.hosts[0]
        .socket(Family::Inet, Kind::Datagram, 1)
        .expect("a ping socket");
    let message = [8, 0, 0, 0, 0, 0, 0, 1];
    send_to(&mut world, 0, ping, &message, "10.0.0.2:0").expect("sent");
    world.settle();
    let (octets, source) = recv_from(&mut world, 1, raw).expect("the request");
    assert_eq!(
        (octets[0] >> 4, octets[9], octets[20]),
        (4, 1, 8),
        "with its IPv4 header"
    );
    assert_eq!(source, "10.0.0.1:0");
    world.set(1, raw, 255, 1, 1 << 8).expect("ICMP_FILTER");
    send_to(&mut world, 0, ping, &message, "10.0.0.2:0").expect("sent");
    world.settle();
    assert!(!world.poll(1, raw).contains(Readiness::IN));
    assert_eq!(recv_from(&mut world, 1, raw), Err(Errno::EAGAIN));
}

#[test]
fn a_dual_stack_socket_speaks_both_families() {
    let mut world = World::new(2);
    let server = world.udp(1, Family::Inet6);
    world.bind(1, server, "[::]:53").expect("bound");
    for (family, to, seen) in [
        (Family::Inet, "10.0.0.2:53", "::ffff:10.0.0.1"),
        (Family::Inet6, "[::ffff:10.0.0.2]:53", "::ffff:10.0.0.1"),
        (Family::Inet6, "[fd00::2]:53", "fd00::1"),
    ] {
        let client = world.udp(0, family);
        send_to(&mut world, 0, client, b"x", to).expect("sent");
        world.settle();
        let (_, source) = recv_from(&mut world, 1, server).expect("a datagram");
        assert_eq!(addr(&source).ip(), ip(seen));
        send_to(&mut world, 1, server, b"y", &source).expect("answered");
        world.settle();
        assert_eq!(recv_from(&mut world, 0, client), Ok((b"y".to_vec(), to.into())));
    }
}

#[test]
fn udp_lite_has_ports_of_its_own_and_says_what_is_covered() {
    const LITE: i32 = prise_socket::protocol::UDP_LITE as i32;
    const SEND_COVERAGE: i32 = 10;
    const RECEIVE_COVERAGE: i32 = 11;
    for (family, server) in [(Family::Inet, "127.0.0.1:53"), (Family::Inet6, "[::1]:53")] {
        let mut world = World::new(1);
        let udp = world.udp(0, family);
        let lite = world.hosts[0].socket(family, Kind::Datagram, LITE).expect("a socket");
        let client = world.hosts[0].socket(family, Kind::Datagram, LITE).expect("a socket");
        world.bind(0, udp, server).expect("bound");
        world.bind(0, lite, server).expect("another port space");
        let again = world.hosts[0].socket(family, Kind::Datagram, LITE).expect("a socket");
        assert_eq!(world.bind(0, again, server), Err(Errno::EADDRINUSE));
        assert_eq!(send_to(&mut world, 0, client, b"lite", server), Ok(4));
        world.settle();
        assert_eq!(recv_from(&mut world, 0, lite).expect("a datagram").0, b"lite");
        assert_eq!(recv_from(&mut world, 0, udp), Err(Errno::EAGAIN));

        let now = world.now;
        let mut set = |s: SocketId, level: i32, name: i32, value: i32| {
            world.hosts[0].set_option(now, s, level, name, &value.to_le_bytes())
        };
        assert_eq!(set(udp, 17, SEND_COVERAGE, 8), Err(Errno::ENOPROTOOPT));
        assert_eq!(set(client, LITE, SEND_COVERAGE, 3), Ok(()));
        assert_eq!(set(lite, 17, RECEIVE_COVERAGE, 20), Ok(()));
        let mut shown = Vec::new();
        world.hosts[0]
            .option(now, client, LITE, SEND_COVERAGE, &mut shown)
            .expect("an option");
        assert_eq!(shown[..4], [8, 0, 0, 0], "less than the header is the header");
        assert_eq!(send_to(&mut world, 0, client, b"too little covered", server), Ok(18));
        world.settle();
        assert_eq!(recv_from(&mut world, 0, lite), Err(Errno::EAGAIN));
        assert_eq!(send_to(&mut world, 0, client, b"", server), Ok(0));
        world.settle();
        assert_eq!(recv_from(&mut world, 0, lite).expect("wholly covered").0, b"");
    }
}

/// `compute_score`: a peer's port is compared where there is one.
#[test]
fn a_socket_connected_to_port_0_hears_all_ports_of_its_peer_and_is_refused_by_that_one() {
    let mut world = World::new(2);
    let (a, b) = (world.udp(0, Family::Inet), world.udp(1, Family::Inet));
    assert_eq!(world.connect(0, a, "10.0.0.2:0"), Ok(()));
    assert_eq!(world.hosts[0].peer_addr(a), Err(Errno::ENOTCONN));
    let local = world.hosts[0].local_addr(a).expect("bound by connect");
    world.bind(1, b, "10.0.0.2:53").expect("bound");
    assert_eq!(send_to(&mut world, 1, b, b"yes", &local.to_string()), Ok(3));
    world.settle();
    assert_eq!(recv_from(&mut world, 0, a), Ok((b"yes".to_vec(), "10.0.0.2:53".into())));
    assert_eq!(world.send(0, a, b"?"), Ok(1));
    world.settle();
    assert_eq!(world.send(0, a, b"?"), Err(Errno::ECONNREFUSED));
}

/// `udp_sendmsg`: what cannot be appended loses what was there (`udp_flush_pending_frames`).
#[test]
fn a_datagram_that_grows_beyond_its_packet_is_lost_and_the_next_begins_anew() {
    let mut world = World::new(2);
    for (family, max, to) in [
        (Family::Inet, 65_507, "10.0.0.2:53"),
        (Family::Inet6, 65_527, "[fd00::2]:53"),
    ] {
        let (a, b) = (world.udp(0, family), world.udp(1, family));
        world.bind(1, b, to).expect("bound");
        assert_eq!(world.connect(0, a, to), Ok(()));
        let part = |world: &mut World, len: usize, flags| {
            let now = world.now;
            world.hosts[0].send_to(now, a, vec![7; len].into(), flags, None, &Control::default())
        };
        assert_eq!(part(&mut world, max, Flags::MORE), Ok(max));
        assert_eq!(part(&mut world, 1, Flags::MORE), Err(Errno::EMSGSIZE));
        assert_eq!(part(&mut world, max + 1, Flags::MORE), Err(Errno::EMSGSIZE));
        assert_eq!(part(&mut world, 3, Flags::default()), Ok(3));
        world.settle();
        let (octets, _) = recv_from(&mut world, 1, b).expect("the last");
        assert_eq!(octets, vec![7; 3]);
    }
}
