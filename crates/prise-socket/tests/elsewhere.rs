//! Streams whose connection is carried elsewhere have their names, their port and their options here.

mod world;

use prise_socket::{Destination, Errno, Family, Kind, LeftPort, State, level};
use world::{World, addr};

/// `TCP_CONGESTION` and `SO_BINDTODEVICE` (tcp(7), socket(7)).
const CONGESTION: i32 = 13;
const DEVICE: i32 = 25;

fn alone_with_a_way_out() -> World {
    let mut world = World::new(2);
    world.default_route(0);
    world
}

#[test]
fn a_stream_connected_elsewhere_has_names_and_a_port_of_its_own() {
    let mut world = alone_with_a_way_out();
    let s = world.tcp(0, Family::Inet);
    let remote = addr("198.51.100.7:443");
    let host = &mut world.hosts[0];
    assert_eq!(host.leads_to(s, remote), Some(Destination::Outside(remote)));
    let held = host.ports_held();
    host.connect_elsewhere(s, remote).unwrap();
    assert_eq!(host.ports_held()[0], held[0] + 1);
    let local = host.local_addr(s).unwrap();
    assert!(host.stack().is_local(local.ip()) && local.port() >= 32768, "{local}");
    assert_eq!(host.peer_addr(s), Ok(remote));
    assert_eq!(host.info(s).unwrap().state, State::Established);
    assert_eq!(world.connect(0, s, "198.51.100.7:443"), Err(Errno::EISCONN));
    assert_eq!(world.bind(0, s, "0.0.0.0:0"), Err(Errno::EINVAL));
    let now = world.now;
    let host = &mut world.hosts[0];
    host.disconnect(now, s).unwrap();
    assert_eq!((host.peer_addr(s), host.ports_held()), (Err(Errno::ENOTCONN), held));
    assert_eq!(host.leads_to(s, remote), Some(Destination::Outside(remote)));
}

#[test]
fn what_is_this_hosts_own_or_was_asked_of_its_tcp_does_not_lead_elsewhere() {
    let mut world = alone_with_a_way_out();
    let remote = addr("198.51.100.7:443");
    let s = world.tcp(0, Family::Inet);
    let own = Destination::Own {
        local: addr("127.0.0.1:0").ip(),
        remote: addr("127.0.0.1:443"),
    };
    assert_eq!(world.hosts[0].leads_to(s, addr("127.0.0.1:443")), Some(own));
    world.bind(0, s, "127.0.0.1:0").unwrap();
    assert_eq!(world.hosts[0].leads_to(s, remote), None, "bound to loopback");
    let itself = world.hosts[0].local_addr(s).unwrap();
    assert_eq!(world.hosts[0].leads_to(s, itself), None, "to its own name");
    let s = world.tcp(0, Family::Inet);
    let now = world.now;
    let host = &mut world.hosts[0];
    host.set_option(now, s, level::TCP, CONGESTION, b"bbr\0").unwrap();
    assert_eq!(host.leads_to(s, remote), None, "another congestion control");
    let s = world.tcp(0, Family::Inet);
    let host = &mut world.hosts[0];
    host.set_option(now, s, level::SOCKET, DEVICE, b"lo\0").unwrap();
    assert_eq!(host.leads_to(s, remote), None, "another link");
    assert_eq!(
        host.leads_to(s, addr("127.0.0.1:443")),
        Some(own),
        "by that link anyway"
    );
}

#[test]
fn nothing_leads_elsewhere_while_a_raw_socket_is_to_hear_segments() {
    let mut world = alone_with_a_way_out();
    let remote = addr("198.51.100.7:443");
    let s = world.tcp(0, Family::Inet);
    let now = world.now;
    let host = &mut world.hosts[0];
    let raw = host.socket(Family::Inet, Kind::Raw, 6).expect("a raw socket of TCP");
    assert_eq!(
        (host.leads_to(s, remote), host.new_stream_leads_to(remote)),
        (None, None)
    );
    host.close(now, raw);
    let outside = Some(Destination::Outside(remote));
    assert_eq!(
        (host.leads_to(s, remote), host.new_stream_leads_to(remote)),
        (outside, outside)
    );
    host.socket(Family::Inet, Kind::Raw, 17).expect("a raw socket of UDP");
    assert_eq!(host.leads_to(s, remote), outside);
    host.socket(Family::Inet6, Kind::Raw, 6)
        .expect("a raw socket of TCP over IPv6");
    assert_eq!(host.leads_to(s, remote), outside);
}

/// A world whose only host had a connection at port 40000, by a listener at that address; ports are then picked from a range.
fn where_port_40000_was_left(listener: &str, range: &str) -> (World, LeftPort) {
    let mut world = alone_with_a_way_out();
    let listener = world.listener(0, listener);
    let now = world.now;
    let host = &mut world.hosts[0];
    let s = host
        .accept_elsewhere(listener, addr("10.0.0.1:40000"), addr("198.51.100.7:50000"))
        .unwrap();
    let left = host.left_port(s).expect("a port that was not picked");
    host.close(now, s);
    host.close(now, listener);
    let mut sysctls = host.sysctls().clone();
    sysctls.set("net.ipv4.ip_local_port_range", range).unwrap();
    host.set_sysctls(&sysctls);
    (world, left)
}

#[test]
fn a_port_that_is_picked_is_none_that_a_connection_has_left_unless_there_is_no_other() {
    let (mut world, left) = where_port_40000_was_left("0.0.0.0:40000", "40000 40001");
    let now = world.now;
    let left_at = |port| Vec::from_iter((port == left.port()).then_some(left));
    for port in [40001, 40000] {
        let s = world.tcp(0, Family::Inet);
        let host = &mut world.hosts[0];
        host.bind_anywhere_but(now, s, addr("127.0.0.1:0"), left_at).unwrap();
        assert_eq!(host.local_addr(s).unwrap().port(), port);
    }
    let s = world.tcp(0, Family::Inet);
    let bound = world.hosts[0].bind_anywhere_but(now, s, addr("127.0.0.1:0"), left_at);
    assert_eq!(bound, Err(Errno::EADDRINUSE));
}

#[test]
fn only_ports_that_were_picked_are_asked_about_however_many_are_left() {
    let mut world = alone_with_a_way_out();
    let now = world.now;
    let mut left = std::collections::HashMap::new();
    for port in 40_000..41_000 {
        let local = addr(&format!("10.0.0.1:{port}"));
        let listener = world.listener(0, &format!("0.0.0.0:{port}"));
        let host = &mut world.hosts[0];
        let s = host.accept_elsewhere(listener, local, addr("198.51.100.7:50000"));
        let s = s.expect("a connection");
        left.insert(port, host.left_port(s).expect("a port that was not picked"));
        host.close(now, s);
        host.close(now, listener);
    }
    let mut asked = 0;
    for _ in 0..500 {
        let s = world.tcp(0, Family::Inet);
        let bound = world.hosts[0].bind_anywhere_but(now, s, addr("0.0.0.0:0"), |port| {
            asked += 1;
            left.get(&port).copied().into_iter().collect()
        });
        bound.expect("there are others");
        let port = world.hosts[0].local_addr(s).expect("it is bound").port();
        assert!(!left.contains_key(&port), "{port} is in TIME-WAIT");
    }
    // One port in 28 is passed over on the average, and the picks begin anywhere.
    assert!((500..600).contains(&asked), "{asked}");
}

#[test]
fn a_port_that_two_may_share_is_taken_although_something_is_left_of_the_other() {
    let (mut world, left) = where_port_40000_was_left("10.0.0.1:40000", "40000 40000");
    let now = world.now;
    let s = world.tcp(0, Family::Inet);
    let host = &mut world.hosts[0];
    host.bind_anywhere_but(now, s, addr("127.0.0.1:0"), |_| vec![left])
        .expect("another address");
    assert_eq!(host.local_addr(s).map(|local| local.port()), Ok(40000));
}

#[test]
fn whatever_is_left_of_a_port_holds_it_in_its_own_way() {
    let (mut world, left) = where_port_40000_was_left("10.0.0.1:40000", "40000 40000");
    let now = world.now;
    let listener = world.listener(0, "[::1]:40000");
    let host = &mut world.hosts[0];
    let s = host
        .accept_elsewhere(listener, addr("[::1]:40000"), addr("[::1]:50000"))
        .unwrap();
    let other = host.left_port(s).expect("a port that was not picked");
    host.close(now, s);
    host.close(now, listener);
    for all in [[left, other], [other, left]] {
        for (local, bound) in [
            ("10.0.0.1:40000", Err(Errno::EADDRINUSE)),
            ("[::1]:40000", Err(Errno::EADDRINUSE)),
            ("127.0.0.1:40000", Ok(())),
        ] {
            let local = addr(local);
            let family = if local.is_ipv4() { Family::Inet } else { Family::Inet6 };
            let s = world.tcp(0, family);
            let host = &mut world.hosts[0];
            assert_eq!(host.bind_beside(now, s, local, &all), bound, "{local}");
            host.close(now, s);
        }
    }
}

#[test]
fn a_connection_accepted_elsewhere_has_the_listeners_options_and_holds_its_port() {
    let mut world = alone_with_a_way_out();
    let listener = world.listener(0, "0.0.0.0:8000");
    world.set(0, listener, level::SOCKET, 9, 1).unwrap();
    let (local, remote) = (addr("10.0.0.1:8000"), addr("198.51.100.7:50000"));
    let host = &mut world.hosts[0];
    let s = host.accept_elsewhere(listener, local, remote).unwrap();
    assert_eq!((host.local_addr(s), host.peer_addr(s)), (Ok(local), Ok(remote)));
    assert_eq!(world.get(0, s, level::SOCKET, 9), Ok(1), "SO_KEEPALIVE");
    let now = world.now;
    let host = &mut world.hosts[0];
    let bequest = host.bequest(listener).unwrap();
    host.close(now, listener);
    assert_eq!(host.ports_held()[0], 1);
    // Another that came to it, and is seen only now.
    let late = host.accept_after(&bequest, local, addr("198.51.100.7:50001"));
    assert_eq!(world.get(0, late, level::SOCKET, 9), Ok(1), "SO_KEEPALIVE");
    let host = &mut world.hosts[0];
    for s in [s, late] {
        host.close(now, s);
    }
    assert_eq!(host.ports_held()[0], 0);
}
