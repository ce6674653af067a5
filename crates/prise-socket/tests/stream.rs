//! Streams from `socket(2)` to `close(2)`, on one host's loopback and between two hosts.

mod world;

use core::time::Duration;

use prise_socket::{Errno, Family, Flags, Host, How, Readiness};
use world::{World, addr};

const IN: Readiness = Readiness::IN;
const OUT: Readiness = Readiness::OUT;
const HUP: Readiness = Readiness::HUP;
const ERR: Readiness = Readiness::ERR;
const RDHUP: Readiness = Readiness::RDHUP;

/// What poll shows, without the bits that say the same twice.
fn shown(world: &mut World, host: usize, s: prise_socket::SocketId) -> Readiness {
    world.poll(host, s) & (IN | OUT | HUP | ERR | RDHUP | Readiness::PRI)
}

#[test]
fn octets_go_both_ways_over_every_kind_of_address() {
    for address in ["127.0.0.1:80", "[::1]:80", "10.0.0.1:80", "[fd00::1]:80"] {
        let mut world = World::new(1);
        let (client, server) = world.pair(0, 0, address);
        assert_eq!(world.send(0, client, b"hello"), Ok(5));
        assert_eq!(world.send(0, server, b"welcome"), Ok(7));
        world.settle();
        assert_eq!(world.recv(0, server, 100), Ok(b"hello".to_vec()));
        assert_eq!(world.recv(0, client, 3), Ok(b"wel".to_vec()));
        assert_eq!(world.recv(0, client, 100), Ok(b"come".to_vec()));
        assert_eq!(world.recv(0, client, 100), Err(Errno::EAGAIN));
        let (local, remote) = (world.hosts[0].local_addr(client), world.hosts[0].peer_addr(client));
        assert_eq!(remote, Ok(addr(address)));
        assert_eq!(world.hosts[0].peer_addr(server), local);
    }
}

#[test]
fn two_hosts_speak_over_the_wire() {
    for address in ["10.0.0.2:8080", "[fd00::2]:8080"] {
        let mut world = World::new(2);
        let (client, server) = world.pair(0, 1, address);
        let sent: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let (mut offset, mut received) = (0, Vec::new());
        while received.len() < sent.len() {
            if let Ok(n) = world.send(0, client, &sent[offset..]) {
                offset += n;
            }
            world.advance(Duration::from_millis(1));
            while let Ok(octets) = world.recv(1, server, 65_536) {
                received.extend(octets);
            }
        }
        assert_eq!(received, sent);
    }
}

#[test]
fn readiness_follows_a_connection_through_its_life() {
    let mut world = World::new(2);
    let listener = world.tcp(1, Family::Inet);
    assert_eq!(shown(&mut world, 1, listener), OUT | HUP, "fresh sockets look closed");
    world.bind(1, listener, "10.0.0.2:80").expect("bound");
    world.hosts[1].listen(world.now, listener, 5).expect("listening");
    assert_eq!(shown(&mut world, 1, listener), Readiness::EMPTY);
    let client = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, client, "10.0.0.2:80"), Err(Errno::EINPROGRESS));
    assert_eq!(shown(&mut world, 0, client), Readiness::EMPTY);
    world.settle();
    assert_eq!(shown(&mut world, 0, client), OUT);
    assert_eq!(shown(&mut world, 1, listener), IN);
    let (server, peer) = world.accept(1, listener).expect("a connection");
    assert_eq!(Ok(peer), world.hosts[0].local_addr(client));
    assert_eq!(shown(&mut world, 1, listener), Readiness::EMPTY);
    assert_eq!(shown(&mut world, 1, server), OUT);
    world.send(0, client, b"x").expect("sent");
    world.settle();
    assert_eq!(shown(&mut world, 1, server), IN | OUT);
    world.hosts[0]
        .shutdown(world.now, client, How::Write)
        .expect("shut down");
    world.settle();
    assert_eq!(shown(&mut world, 1, server), IN | OUT | RDHUP);
    assert_eq!(world.recv(1, server, 10), Ok(b"x".to_vec()));
    assert_eq!(world.recv(1, server, 10), Ok(vec![]));
    assert_eq!(world.send(0, client, b"y"), Err(Errno::EPIPE));
    world.hosts[1]
        .shutdown(world.now, server, How::Write)
        .expect("shut down");
    world.settle();
    assert_eq!(shown(&mut world, 1, server), IN | OUT | HUP | RDHUP);
    assert_eq!(shown(&mut world, 0, client), IN | OUT | HUP | RDHUP);
}

#[test]
fn a_refused_connect_says_so_once_and_may_be_tried_again() {
    for address in ["127.0.0.1:9", "[::1]:9"] {
        let mut world = World::new(1);
        let s = world.tcp(
            0,
            if addr(address).is_ipv4() {
                Family::Inet
            } else {
                Family::Inet6
            },
        );
        assert_eq!(world.connect(0, s, address), Err(Errno::EINPROGRESS));
        world.settle();
        assert_eq!(shown(&mut world, 0, s), IN | OUT | HUP | ERR | RDHUP);
        assert_eq!(world.connect(0, s, address), Err(Errno::ECONNREFUSED));
        assert_eq!(shown(&mut world, 0, s), OUT | HUP);
        let listener = world.listener(0, address);
        assert_eq!(world.connect(0, s, address), Err(Errno::EINPROGRESS));
        world.settle();
        assert_eq!(world.connect(0, s, address), Ok(()));
        assert_eq!(world.connect(0, s, address), Err(Errno::EISCONN));
        assert!(world.accept(0, listener).is_ok());
    }
}

#[test]
fn so_error_takes_the_error_and_connect_then_says_aborted() {
    let mut world = World::new(1);
    let s = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, s, "127.0.0.1:9"), Err(Errno::EINPROGRESS));
    assert_eq!(world.connect(0, s, "127.0.0.1:9"), Err(Errno::EALREADY));
    world.settle();
    assert_eq!(world.get(0, s, 1, 4), Ok(111));
    assert_eq!(world.get(0, s, 1, 4), Ok(0));
    assert_eq!(world.connect(0, s, "127.0.0.1:9"), Err(Errno::ECONNABORTED));
}

#[test]
fn connect_to_nowhere_fails_at_once_and_to_the_void_in_time() {
    let mut world = World::new(1);
    let s = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, s, "8.8.8.8:80"), Err(Errno::ENETUNREACH));
    let six = world.tcp(0, Family::Inet6);
    assert_eq!(world.connect(0, six, "[2001:db8::1]:80"), Err(Errno::ENETUNREACH));
    world.default_route(0);
    assert_eq!(world.connect(0, s, "8.8.8.8:80"), Err(Errno::EINPROGRESS));
    world.advance(Duration::from_secs(200));
    assert_eq!(world.connect(0, s, "8.8.8.8:80"), Err(Errno::ETIMEDOUT));
}

#[test]
fn a_dual_stack_listener_takes_both_families_and_shows_ipv4_mapped() {
    let mut world = World::new(2);
    let listener = world.listener(1, "[::]:80");
    for (remote, seen) in [("10.0.0.2:80", "::ffff:10.0.0.1"), ("[fd00::2]:80", "fd00::1")] {
        let client = world.tcp(
            0,
            if addr(remote).is_ipv4() {
                Family::Inet
            } else {
                Family::Inet6
            },
        );
        assert_eq!(world.connect(0, client, remote), Err(Errno::EINPROGRESS));
        world.settle();
        let (server, peer) = world.accept(1, listener).expect("a connection");
        assert_eq!(peer.ip(), world::ip(seen));
        assert_eq!(
            world.hosts[1].local_addr(server).map(|local| local.ip().to_canonical()),
            Ok(addr(remote).ip())
        );
    }
    let only = world.tcp(1, Family::Inet6);
    world.set(1, only, 41, 26, 1).expect("V6ONLY");
    world.bind(1, only, "[::]:81").expect("bound");
    world.hosts[1].listen(world.now, only, 5).expect("listening");
    let client = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, client, "10.0.0.2:81"), Err(Errno::EINPROGRESS));
    world.settle();
    assert_eq!(world.connect(0, client, "10.0.0.2:81"), Err(Errno::ECONNREFUSED));
}

#[test]
fn peeking_leaves_what_it_shows() {
    let mut world = World::new(1);
    let (client, server) = world.pair(0, 0, "127.0.0.1:80");
    world.send(0, client, b"abcdef").expect("sent");
    world.settle();
    assert_eq!(world.recv_with(0, server, 3, Flags::PEEK), Ok(b"abc".to_vec()));
    assert_eq!(world.recv_with(0, server, 100, Flags::PEEK), Ok(b"abcdef".to_vec()));
    assert_eq!(world.hosts[0].receive_queue(server), Ok(6));
    assert_eq!(world.recv(0, server, 100), Ok(b"abcdef".to_vec()));
}

#[test]
fn a_reset_is_told_once_and_then_it_is_the_end() {
    let mut world = World::new(2);
    let (client, server) = world.pair(0, 1, "10.0.0.2:80");
    // SO_LINGER {1, 0}: close resets.
    let linger = [1, 0, 0, 0, 0, 0, 0, 0];
    world.hosts[1]
        .set_option(world.now, server, 1, 13, &linger)
        .expect("set");
    world.hosts[1].close(world.now, server);
    world.settle();
    assert_eq!(shown(&mut world, 0, client), IN | OUT | HUP | ERR | RDHUP);
    assert_eq!(world.recv(0, client, 10), Err(Errno::ECONNRESET));
    assert_eq!(world.recv(0, client, 10), Ok(vec![]));
    assert_eq!(world.send(0, client, b"x"), Err(Errno::EPIPE));
    assert_eq!(world.hosts[0].peer_addr(client), Err(Errno::ENOTCONN));
}

#[test]
fn a_disconnected_stream_can_be_connected_anew() {
    let mut world = World::new(2);
    let (client, server) = world.pair(0, 1, "10.0.0.2:80");
    world.hosts[0].disconnect(world.now, client).expect("disconnected");
    let local = world.hosts[0].local_addr(client).expect("a socket");
    assert!(
        local.ip().is_unspecified() && local.port() != 0,
        "inet_sport stays behind"
    );
    assert_eq!(
        world.get(0, client, 1, 4),
        Ok(Errno::ECONNRESET.raw()),
        "tcp_disconnect leaves this behind"
    );
    world.settle();
    assert_eq!(world.recv(1, server, 10), Err(Errno::ECONNRESET));
    world.listener(1, "10.0.0.2:81");
    assert_eq!(world.connect(0, client, "10.0.0.2:81"), Err(Errno::EINPROGRESS));
    world.settle();
    assert_eq!(world.connect(0, client, "10.0.0.2:81"), Ok(()));
}

#[test]
fn a_socket_can_be_connected_to_itself() {
    let mut world = World::new(1);
    let s = world.tcp(0, Family::Inet);
    world.bind(0, s, "127.0.0.1:5000").expect("bound");
    assert_eq!(world.connect(0, s, "127.0.0.1:5000"), Err(Errno::EINPROGRESS));
    world.settle();
    assert_eq!(world.connect(0, s, "127.0.0.1:5000"), Ok(()));
    world.send(0, s, b"echo").expect("sent");
    world.settle();
    assert_eq!(world.recv(0, s, 10), Ok(b"echo".to_vec()));
}

#[test]
fn a_backlog_that_is_full_keeps_others_waiting_but_loses_nobody() {
    let mut world = World::new(2);
    let listener = world.tcp(1, Family::Inet);
    world.bind(1, listener, "10.0.0.2:80").expect("bound");
    world.hosts[1].listen(world.now, listener, 0).expect("listening");
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let s = world.tcp(0, Family::Inet);
            assert_eq!(world.connect(0, s, "10.0.0.2:80"), Err(Errno::EINPROGRESS));
            world.settle();
            s
        })
        .collect();
    assert_eq!(world.hosts[1].pending(listener), 1, "a backlog of 0 lets one in");
    world.hosts[1]
        .listen(world.now, listener, 10)
        .expect("a larger backlog");
    world.advance(Duration::from_secs(4));
    for _ in &clients {
        assert!(world.accept(1, listener).is_ok());
    }
    assert_eq!(world.accept(1, listener), Err(Errno::EAGAIN));
}

#[test]
fn events_tell_what_has_become_ready() {
    let mut world = World::new(2);
    let listener = world.listener(1, "10.0.0.2:80");
    world.events(1);
    let client = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, client, "10.0.0.2:80"), Err(Errno::EINPROGRESS));
    world.settle();
    assert!(
        world
            .events(0)
            .iter()
            .any(|(s, ready)| *s == client && ready.contains(OUT))
    );
    assert!(
        world
            .events(1)
            .iter()
            .any(|(s, ready)| *s == listener && ready.contains(IN))
    );
    let (server, _) = world.accept(1, listener).expect("a connection");
    world.send(0, client, b"x").expect("sent");
    world.settle();
    assert!(
        world
            .events(1)
            .iter()
            .any(|(s, ready)| *s == server && ready.contains(IN))
    );
    world.hosts[0].close(world.now, client);
    world.settle();
    assert!(
        world
            .events(1)
            .iter()
            .any(|(s, ready)| *s == server && ready.contains(RDHUP))
    );
}

#[test]
fn forty_thousand_connections_to_different_peers_share_the_ephemeral_ports() {
    let mut world = World::new(1);
    world.default_route(0);
    world.cut = true;
    let open = |world: &mut World, remote: &str| {
        let s = world.tcp(0, Family::Inet);
        world.connect(0, s, remote)
    };
    let (low, high) = (40_000u32, 40_063u32);
    for n in 0..200 {
        let s = world.tcp(0, Family::Inet);
        // IP_LOCAL_PORT_RANGE keeps the test small: 64 ports for 200 connections.
        world.set(0, s, 0, 51, (high << 16 | low) as i32).expect("set");
        assert_eq!(
            world.connect(0, s, &format!("8.8.{}.8:80", n % 100)),
            Err(Errno::EINPROGRESS),
            "{n}"
        );
    }
    assert_eq!(open(&mut world, "8.8.8.8:80"), Err(Errno::EINPROGRESS));
    for n in 0..64 {
        let s = world.tcp(0, Family::Inet);
        world.set(0, s, 0, 51, (high << 16 | low) as i32).expect("set");
        assert_eq!(world.connect(0, s, "9.9.9.9:80"), Err(Errno::EINPROGRESS), "{n}");
    }
    let s = world.tcp(0, Family::Inet);
    world.set(0, s, 0, 51, (high << 16 | low) as i32).expect("set");
    assert_eq!(
        world.connect(0, s, "9.9.9.9:80"),
        Err(Errno::EADDRNOTAVAIL),
        "all 64 are taken towards that peer"
    );
}

#[test]
fn an_idle_host_has_nothing_to_do() {
    let mut world = World::new(2);
    let (client, server) = world.pair(0, 1, "10.0.0.2:80");
    world.hosts[0].close(world.now, client);
    world.settle();
    world.hosts[1].close(world.now, server);
    world.advance(Duration::from_mins(2));
    assert!(world.hosts.iter().all(|host| host.next_deadline().is_none()));
    assert!(world.hosts.iter().all(|host| host.sockets().count() == 0));
    assert!(
        world
            .hosts
            .iter()
            .map(Host::stack)
            .all(|stack| stack.tcp_records() == [0; 4])
    );
}

#[test]
fn what_remains_of_a_connection_keeps_its_port_from_those_who_do_not_share() {
    let mut world = World::new(2);
    let bind_again = |world: &mut World, reuse: bool| {
        let s = world.tcp(1, Family::Inet);
        if reuse {
            world.set(1, s, 1, 2, 1).expect("SO_REUSEADDR");
        }
        let result = world.bind(1, s, "10.0.0.2:80");
        let now = world.now;
        world.hosts[1].close(now, s);
        result
    };
    let listener = world.tcp(1, Family::Inet);
    world.set(1, listener, 1, 2, 1).expect("SO_REUSEADDR");
    world.bind(1, listener, "10.0.0.2:80").expect("bound");
    world.hosts[1].listen(world.now, listener, 5).expect("listening");
    let client = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, client, "10.0.0.2:80"), Err(Errno::EINPROGRESS));
    world.settle();
    let (server, _) = world.accept(1, listener).expect("a connection");
    let now = world.now;
    world.hosts[1].close(now, listener);
    assert_eq!(
        bind_again(&mut world, false),
        Err(Errno::EADDRINUSE),
        "the connection is open"
    );
    assert_eq!(bind_again(&mut world, true), Ok(()));
    let now = world.now;
    world.hosts[1].close(now, server);
    world.settle();
    assert_eq!(bind_again(&mut world, false), Err(Errno::EADDRINUSE), "FIN-WAIT-2");
    let now = world.now;
    world.hosts[0].close(now, client);
    world.settle();
    assert_eq!(world.hosts[1].stack().tcp_records()[3], 1);
    assert_eq!(bind_again(&mut world, false), Err(Errno::EADDRINUSE), "TIME-WAIT");
    assert_eq!(bind_again(&mut world, true), Ok(()));
    world.advance(Duration::from_secs(61));
    assert_eq!(bind_again(&mut world, false), Ok(()));
}

#[test]
fn every_way_to_end_a_connection_frees_its_port_in_the_end() {
    let linger = [1, 0, 0, 0, 0, 0, 0, 0];
    for end in 0..6 {
        let mut world = World::new(2);
        let (client, server) = world.pair(0, 1, "10.0.0.2:80");
        let now = world.now;
        match end {
            0 => world.hosts[1].set_option(now, server, 1, 13, &linger).expect("set"),
            1 => world.hosts[1].disconnect(now, server).expect("disconnected"),
            2 => world.hosts[0].disconnect(now, client).expect("disconnected"),
            3 => world.hosts[0].shutdown(now, client, How::Both).expect("shut down"),
            4 => {
                // Closed only after TIME-WAIT has ended.
                world.hosts[1].shutdown(now, server, How::Write).expect("shut down");
                world.hosts[0].close(now, client);
                world.advance(Duration::from_mins(2));
            }
            _ => {
                world.send(0, client, b"unread").expect("sent");
                world.settle();
            }
        }
        world.settle();
        let now = world.now;
        world.hosts[0].close(now, client);
        world.hosts[1].close(now, server);
        world.advance(Duration::from_mins(2));
        for host in 0..2 {
            let s = world.tcp(host, Family::Inet);
            assert_eq!(world.bind(host, s, "0.0.0.0:80"), Ok(()), "end {end}, host {host}");
            assert_eq!(world.hosts[host].ports_held(), [1, 0], "end {end}, host {host}");
        }
    }
}

#[test]
fn urgent_data_comes_apart_or_in_line() {
    let mut world = World::new(2);
    let (client, server) = world.pair(0, 1, "10.0.0.2:80");
    let now = world.now;
    world.send(0, client, b"ab").expect("sent");
    world.hosts[0]
        .send(now, client, &mut b"!".into(), Flags::OOB)
        .expect("sent");
    world.send(0, client, b"cd").expect("sent");
    world.settle();
    assert!(shown(&mut world, 1, server).contains(Readiness::PRI));
    assert_eq!(world.hosts[1].at_mark(server), Ok(false));
    assert_eq!(world.recv(1, server, 10), Ok(b"ab".to_vec()), "not beyond the mark");
    assert_eq!(world.hosts[1].at_mark(server), Ok(true));
    assert_eq!(
        world.recv_with(1, server, 1, Flags::OOB | Flags::PEEK),
        Ok(b"!".to_vec())
    );
    assert_eq!(world.recv_with(1, server, 1, Flags::OOB), Ok(b"!".to_vec()));
    assert!(!shown(&mut world, 1, server).contains(Readiness::PRI));
    assert_eq!(world.recv_with(1, server, 1, Flags::OOB), Err(Errno::EINVAL));
    assert_eq!(world.recv(1, server, 10), Ok(b"cd".to_vec()));
    assert_eq!(world.hosts[1].at_mark(server), Ok(false));
    world.set(1, server, 1, 10, 1).expect("SO_OOBINLINE");
    let now = world.now;
    world.hosts[0]
        .send(now, client, &mut b"xy".into(), Flags::OOB)
        .expect("sent");
    world.settle();
    assert_eq!(world.recv(1, server, 10), Ok(b"x".to_vec()));
    assert_eq!(world.hosts[1].at_mark(server), Ok(true));
    assert_eq!(world.recv(1, server, 10), Ok(b"y".to_vec()));
}

#[test]
fn congestion_control_goes_by_name_and_is_inherited() {
    let mut world = World::new(2);
    let listener = world.listener(1, "10.0.0.2:80");
    let now = world.now;
    let host = &mut world.hosts[1];
    for name in ["cubic", "reno", "bbr"] {
        host.set_option(now, listener, 6, 13, name.as_bytes())
            .expect("a known name");
    }
    assert_eq!(host.set_option(now, listener, 6, 13, b"vegas"), Err(Errno::ENOENT));
    let client = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, client, "10.0.0.2:80"), Err(Errno::EINPROGRESS));
    world.settle();
    let (server, _) = world.accept(1, listener).expect("a connection");
    let (now, mut out) = (world.now, Vec::new());
    world.hosts[1].option(now, server, 6, 13, &mut out).expect("a name");
    assert_eq!(out, b"bbr\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let info = world.hosts[1].tcp_info(now, server).expect("a connection");
    assert_eq!(info.congestion, prise_stack::CongestionAlgorithm::Bbr);
}

#[test]
fn tcp_info_has_the_kernels_layout() {
    let mut world = World::new(2);
    let (client, server) = world.pair(0, 1, "10.0.0.2:80");
    world.send(0, client, &[1; 1000]).expect("sent");
    world.settle();
    let (now, mut out) = (world.now, Vec::new());
    world.hosts[0].option(now, client, 6, 11, &mut out).expect("TCP_INFO");
    let u32_at = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().expect("four octets"));
    let u64_at = |at: usize| u64::from_le_bytes(out[at..at + 8].try_into().expect("eight octets"));
    assert_eq!((out.len(), out[0]), (280, 1));
    // tcpi_snd_mss, tcpi_unacked, tcpi_pmtu, tcpi_rtt, tcpi_snd_cwnd, tcpi_bytes_acked, tcpi_segs_out, tcpi_data_segs_out.
    assert_eq!((u32_at(16), u32_at(24), u32_at(60)), (1448, 0, 1500));
    assert!((90..2000).contains(&u32_at(68)), "{} µs", u32_at(68));
    assert!(u32_at(80) >= 10, "{} segments", u32_at(80));
    assert!(
        (1000..=1001).contains(&u64_at(120)),
        "{} octets acknowledged, the SYN perhaps among them",
        u64_at(120)
    );
    assert!(u32_at(136) >= 2, "{} segments sent", u32_at(136));
    assert_eq!(u32_at(156), 1, "one of them with data");
    assert!(world.hosts[1].receive_queue(server) == Ok(1000));
}
