//! Ports of the host that lead to the guest.

mod world;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use prise_gateway::{Discard, Transport};
use prise_stack::Ready;

use world::{PATIENCE, World, config, has_ipv6, publish};

/// A world that publishes the guest's port 80, and the host's ports that lead to it, IPv4 first.
fn world(open_ports: bool) -> (World, Vec<SocketAddr>) {
    let mut config = config();
    config.publish = vec![publish(80, Transport::Tcp)];
    config.open_ports = open_ports;
    let world = World::new(config);
    let ports: Vec<_> = world.gateway.published().map(|(_, address)| address).collect();
    assert!(ports[0].is_ipv4());
    (world, ports)
}

fn dial(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_client_is_served_by_the_guest_and_seen_as_the_gateway() {
    let (mut world, ports) = world(true);
    let (_, listener) = world.listen(80, None);
    for port in ports {
        let client = thread::spawn(move || {
            let mut stream = dial(port);
            stream.write_all(b"hello").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            (stream.local_addr().unwrap(), answer)
        });
        let conn = world.accept(listener);
        let (_, remote) = world.guest.tcp_endpoints(conn).unwrap();
        assert_eq!(world.read_to_end(conn), b"hello");
        world.send(conn, b"welcome");
        world.close(conn);
        world.until("the end of the flow", |world| {
            (world.gateway.connections() == 0).then_some(())
        });
        let (local, answer) = client.join().unwrap();
        assert_eq!(answer, b"welcome");
        assert_eq!(
            remote,
            world::host(local),
            "the client's own port, behind the gateway's address"
        );
    }
    assert!(world.gateway.tally().connections_in >= 1);
}

#[test]
fn a_client_whom_the_guest_refuses_gets_a_reset() {
    let (mut world, ports) = world(true);
    let client = thread::spawn({
        let port = ports[0];
        move || dial(port).read(&mut [0]).map_err(|error| error.kind())
    });
    world.until("the refusal", |world| {
        (world.gateway.tally().discarded(Discard::PublishedClientRefused) == 1).then_some(())
    });
    assert_eq!(client.join().unwrap(), Err(ErrorKind::ConnectionReset));
    assert_eq!(world.gateway.connections(), 0);
}

#[test]
fn a_client_on_ipv6_loopback_reaches_a_guest_that_listens_on_ipv4_only() {
    if !has_ipv6() {
        return;
    }
    let (mut world, ports) = world(true);
    let (_, listener) = world.listen(80, Some("10.0.2.15".parse().unwrap()));
    let client = thread::spawn(move || {
        let mut stream = dial(ports[1]);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    let conn = world.accept(listener);
    assert_eq!(world.guest.tcp_endpoints(conn).unwrap().1.ip().to_string(), "10.0.2.2");
    world.send(conn, b"over IPv4");
    world.close(conn);
    world.until("the end of the flow", |_| client.is_finished().then_some(()));
    assert_eq!(client.join().unwrap(), b"over IPv4");
}

#[test]
fn a_shut_port_refuses_in_the_kernel_until_the_guest_listens() {
    let (mut world, ports) = world(false);
    let refused = || TcpStream::connect(ports[0]).map(drop).map_err(|error| error.kind());
    assert_eq!(refused(), Err(ErrorKind::ConnectionRefused));
    let (token, _) = world.listen(80, None);
    world.gateway.guest_listens(80, false, true);
    let client = dial(ports[0]);
    world.until("the client", |world| world.told(token, Ready::READABLE).then_some(()));
    drop(client);
    world.gateway.guest_listens(80, false, false);
    assert_eq!(refused(), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn a_port_that_somebody_else_has_taken_is_told_once_until_it_opens() {
    let (mut world, ports) = world(false);
    let gateway = &mut world.gateway;
    // Shared for a listener of the driver's; this one is somebody else's.
    gateway.set_aside(ports[0], true);
    gateway.share(ports[0], true);
    let stranger = std::net::TcpListener::bind(ports[0]).unwrap();
    gateway.share(ports[0], false);
    gateway.set_aside(ports[0], false);
    for _ in 0..2 {
        gateway.guest_listens(80, false, true);
    }
    let told = gateway.refused_port().unwrap();
    assert_eq!((told.address, told.errno()), (ports[0], 98));
    let said = told.while_running().to_string();
    assert!(
        said.contains("`ss -ltnp`") && !said.contains("publish another"),
        "{said}"
    );
    assert!(gateway.refused_port().is_none());
    drop(stranger);
    gateway.guest_listens(80, false, true);
    assert!(gateway.refused_port().is_none() && TcpStream::connect(ports[0]).is_ok());
}

#[test]
fn a_port_that_is_set_aside_is_kept_when_the_drivers_listener_is_closed() {
    let (mut world, ports) = world(false);
    let gateway = &mut world.gateway;
    let bind = || std::net::TcpListener::bind(ports[0]).map_err(|error| error.kind());
    gateway.set_aside(ports[0], true);
    assert_eq!(bind().map(drop), Err(ErrorKind::AddrInUse), "not shared yet");
    gateway.share(ports[0], true);
    let listener = bind().unwrap();
    gateway.share(ports[0], false);
    let client = TcpStream::connect(ports[0]).unwrap();
    drop((listener.accept().unwrap(), client));
    drop(listener);
    // Of the close nobody has heard yet.
    assert_eq!(bind().map(drop), Err(ErrorKind::AddrInUse));
    gateway.set_aside(ports[0], false);
    gateway.guest_listens(80, false, true);
    assert!(gateway.refused_port().is_none() && TcpStream::connect(ports[0]).is_ok());
}

#[test]
fn a_client_that_resets_while_the_guest_is_silent_leaves_nothing_behind() {
    let (mut world, ports) = world(true);
    // Full in no time: the guest does not answer further SYNs, so the knock stays open.
    let (_, listener) = world.listen(80, None);
    world.guest.tcp_set_backlog(listener, 0);
    let first = dial(ports[0]);
    world.until("the first client", |world| {
        (world.gateway.tally().connections_in == 1).then_some(())
    });
    let second = dial(ports[0]);
    world.until("the second client", |world| {
        (world.gateway.connections() == 2).then_some(())
    });
    rustix::net::sockopt::set_socket_linger(&second, Some(std::time::Duration::ZERO)).unwrap();
    drop(second);
    world.until("the second to be forgotten", |world| {
        let left = world.gateway.tally().discarded(Discard::PublishedClientLeft);
        (left == 1 && world.gateway.connections() == 1).then_some(())
    });
    drop(first);
}

#[test]
fn clients_beyond_the_limit_wait_in_the_kernel_and_are_served_later() {
    let mut config = config();
    config.publish = vec![publish(80, Transport::Tcp)];
    config.limits.connections = 2;
    let mut world = World::new(config);
    let port = world.gateway.published().next().unwrap().1;
    let (_, listener) = world.listen(80, None);
    let clients: Vec<_> = (0u8..6)
        .map(|number| {
            thread::spawn(move || {
                let mut stream = dial(port);
                stream.write_all(&[number]).unwrap();
                let mut answer = [255];
                stream.read_exact(&mut answer).unwrap();
                answer[0] == number
            })
        })
        .collect();
    for _ in 0..6 {
        let conn = world.accept(listener);
        let octet = world.read(conn, 1);
        assert!(world.gateway.connections() <= 2);
        world.send(conn, &octet);
        world.close(conn);
    }
    world.until("all clients", |_| {
        clients.iter().all(thread::JoinHandle::is_finished).then_some(())
    });
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
}
