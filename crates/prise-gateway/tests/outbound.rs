//! The guest's connections to the host's network.

mod world;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use prise_gateway::{Decision, Direction, Discard, End, Fact, Policy, Ports, Rule, Subject};
use prise_stack::{Linger, TcpConfig, TcpError};
use prise_wire::Payload;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use world::{PATIENCE, World, config, has_ipv6, host};

fn world() -> World {
    World::new(config())
}

/// A server for one client, on a thread.
fn serve<T: Send + 'static>(
    address: &str,
    act: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind(address).unwrap();
    let at = host(listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        act(stream)
    });
    (at, thread)
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let mut world = world();
    let mut addresses = vec![TcpListener::bind("127.0.0.1:0").unwrap()];
    if has_ipv6() {
        addresses.push(TcpListener::bind("[::1]:0").unwrap());
    }
    for listener in addresses {
        let at = host(listener.local_addr().unwrap());
        drop(listener);
        let (token, conn) = world.connect(at);
        assert_eq!(world.connected(token, conn), Err(TcpError::Refused));
    }
    assert_eq!(world.gateway.connections(), 0);
}

#[test]
fn octets_pass_both_ways_and_each_half_closes_alone() {
    let addresses: &[&str] = if has_ipv6() {
        &["127.0.0.1:0", "[::1]:0"]
    } else {
        &["127.0.0.1:0"]
    };
    for address in addresses {
        let (at, server) = serve(address, |mut stream| {
            stream.write_all(b"greeting").unwrap();
            let mut asked = Vec::new();
            stream.read_to_end(&mut asked).unwrap();
            stream.write_all(b"answer after the guest's FIN").unwrap();
            asked
        });
        let mut world = world();
        let (token, conn) = world.connect(at);
        world.connected(token, conn).unwrap();
        assert_eq!(world.read(conn, 8), b"greeting");
        world.send(conn, b"question");
        world.shutdown(conn);
        assert_eq!(world.read_to_end(conn), b"answer after the guest's FIN");
        assert_eq!(server.join().unwrap(), b"question");
        world.until("the end of the flow", |world| {
            (world.gateway.connections() == 0).then_some(())
        });
        assert_eq!(world.gateway.tally().connections_out, 1);
    }
}

#[test]
fn the_hosts_reset_reaches_the_guest_after_what_came_before() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| {
        stream.write_all(b"last words").unwrap();
        sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
        // Only a byte from the guest says that the words have arrived: a kernel's reset may overtake them.
        stream.read_exact(&mut [0]).unwrap();
    });
    let mut world = world();
    let (token, conn) = world.connect(at);
    world.connected(token, conn).unwrap();
    assert_eq!(world.read(conn, 10), b"last words");
    world.send(conn, b"!");
    assert_eq!(world.ended(conn), Some(TcpError::Reset));
    server.join().unwrap();
    assert_eq!(world.gateway.connections(), 0);
}

#[test]
fn a_server_that_closes_with_unread_data_is_heard_before_its_reset() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(&vec![7; 100_000]).unwrap();
        // "unread" is not read: the kernel answers the close with a RST.
    });
    let mut world = world();
    let (token, conn) = world.connect(at);
    world.connected(token, conn).unwrap();
    world.send(conn, b"1 unread");
    let got = world.read(conn, 100_000);
    assert_eq!(got.len(), 100_000);
    assert_eq!(world.ended(conn), Some(TcpError::Reset));
    server.join().unwrap();
}

#[test]
fn the_guests_reset_reaches_the_host() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| {
        stream.write_all(b"x").unwrap();
        stream.read(&mut [0; 16]).map_err(|error| error.kind())
    });
    let mut world = world();
    let (token, conn) = world.connect(at);
    world.connected(token, conn).unwrap();
    world.read(conn, 1);
    world.abort(conn);
    world.until("the end of the flow", |world| {
        (world.gateway.connections() == 0).then_some(())
    });
    assert_eq!(server.join().unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_lingering_close_of_the_guest_resets_the_host() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| {
        stream.write_all(b"x").unwrap();
        stream.read(&mut [0; 16]).map_err(|error| error.kind())
    });
    let mut world = world();
    let linger = TcpConfig {
        linger: Linger::Reset,
        ..TcpConfig::default()
    };
    let (token, conn) = world.connect_with(at, &linger);
    world.connected(token, conn).unwrap();
    world.read(conn, 1);
    world.close(conn);
    world.until("the end of the flow", |world| {
        (world.gateway.connections() == 0).then_some(())
    });
    assert_eq!(server.join().unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_reset_after_the_hosts_fin_reaches_the_guest() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| stream.write_all(b"bye").unwrap());
    let mut world = world();
    let (token, conn) = world.connect(at);
    world.connected(token, conn).unwrap();
    assert_eq!(world.read_to_end(conn), b"bye");
    server.join().unwrap();
    // Nobody is there any more: the host's kernel answers with a reset.
    world.send(conn, b"too late");
    assert!(world.ended(conn).is_some());
    assert_eq!(world.gateway.connections(), 0);
}

#[test]
fn a_guest_that_does_not_wait_for_its_connection_leaves_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = world();
    // So that no SYN has to wait for an answer to ARP.
    let (token, refused) = world.connect("10.0.2.3:9".parse().unwrap());
    assert_eq!(world.connected(token, refused), Err(TcpError::Refused));
    let (_, conn) = world.connect(host(listener.local_addr().unwrap()));
    let now = world.now();
    // The SYN is out, and the guest gone before the answer.
    let syn = world.guest.transmit(now, world.eth0);
    world.close(conn);
    if let Some(frame) = syn {
        world.gateway.accept_frame(now, frame);
    }
    world.until("the end of it", |world| {
        let abandoned = world.gateway.tally().discarded(Discard::ConnectAbandoned);
        (abandoned == 1 && world.gateway.connections() == 0).then_some(())
    });
}

/// What a native connect says at once, if it fails at once.
fn native(at: SocketAddr) -> Option<Errno> {
    let family = if at.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    match rustix::net::connect(&socket, &at) {
        Ok(()) | Err(Errno::INPROGRESS) => None,
        Err(errno) => Some(errno),
    }
}

#[test]
fn an_unreachable_network_is_told_as_the_host_tells_it() {
    let mut seen = 0;
    // Documentation and reserved addresses: most hosts have no route to some of them, and nothing is sent then.
    for at in ["[2001:db8::1]:80", "240.0.0.1:80", "[100::1]:80"] {
        let at = at.parse().unwrap();
        let expected = match native(at) {
            Some(Errno::NETUNREACH) => TcpError::NetworkUnreachable,
            Some(Errno::HOSTUNREACH) => TcpError::HostUnreachable,
            Some(Errno::ACCESS) => TcpError::Prohibited,
            _ => continue,
        };
        seen += 1;
        let mut world = world();
        let (token, conn) = world.connect(at);
        assert_eq!(world.connected(token, conn), Err(expected), "{at}");
    }
    if seen == 0 {
        eprintln!("skipped: this host claims to reach everything");
    }
}

#[test]
fn a_policy_refuses_whom_it_does_not_allow() {
    let (server, at) = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = host(listener.local_addr().unwrap());
        (listener, at)
    };
    let mut config = config();
    config.policy = Policy::new(vec![Rule {
        decision: Decision::Allow,
        subject: Subject::Name("elsewhere.example".into()),
        ports: Ports::all(),
    }]);
    let mut world = World::new(config);
    let (token, conn) = world.connect(at);
    assert_eq!(world.connected(token, conn), Err(TcpError::Prohibited));
    assert_eq!(world.gateway.tally().discarded(Discard::ConnectDenied), 1);
    server.set_nonblocking(true).unwrap();
    assert_eq!(
        server.accept().map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::WouldBlock)
    );
}

/// Octets that depend on their place, so that a shift or a swap shows.
fn pattern(at: usize) -> u8 {
    let word = (at as u64 / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word.to_le_bytes()[at % 8]
}

fn patterned(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(pattern).collect()
}

const BULK: usize = 100 << 20;

#[test]
fn a_hundred_mebibytes_each_way_arrive_unchanged() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| {
        let mut sender = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            for at in (0..BULK).step_by(1 << 20) {
                sender.write_all(&patterned(at, 1 << 20)).unwrap();
            }
            sender.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut seen = 0;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let length = stream.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            assert!(
                buffer[..length]
                    .iter()
                    .enumerate()
                    .all(|(i, &octet)| octet == pattern(seen + i))
            );
            seen += length;
        }
        writing.join().unwrap();
        seen
    });
    let mut world = world();
    let (token, conn) = world.connect(at);
    world.connected(token, conn).unwrap();
    let (mut sent, mut seen) = (0, 0);
    let mut rest = Payload::new();
    world.until("all octets", |world| {
        let now = world.now();
        while sent < BULK || !rest.is_empty() {
            if rest.is_empty() {
                rest = patterned(sent, 1 << 18).into();
                sent += rest.len();
            }
            if world.guest.tcp_send(now, conn, &mut rest, false, false).is_err() {
                break;
            }
            if sent == BULK && rest.is_empty() {
                world.guest.tcp_shutdown_write(now, conn);
            }
        }
        while let Ok(payload) = world.guest.tcp_receive(now, conn, 1 << 20) {
            if payload.is_empty() {
                return (sent == BULK && rest.is_empty()).then_some(());
            }
            assert!(payload.iter().enumerate().all(|(i, &octet)| octet == pattern(seen + i)));
            seen += payload.len();
        }
        None
    });
    assert_eq!(seen, BULK);
    world.until("the end of the flow", |world| {
        (world.gateway.connections() == 0).then_some(())
    });
    assert_eq!(server.join().unwrap(), BULK);
    assert_eq!(world.gateway.tally().octets_in, BULK as u64);
    assert_eq!(world.gateway.tally().octets_out, BULK as u64);
}

#[test]
fn a_guest_that_does_not_read_stops_the_host() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| {
        stream
            .set_write_timeout(Some(std::time::Duration::from_millis(700)))
            .unwrap();
        let chunk = vec![0; 1 << 16];
        let mut written = 0;
        while let Ok(length) = stream.write(&chunk) {
            written += length;
            assert!(written < 64 << 20, "somebody buffers without bound");
        }
        written
    });
    let mut world = world();
    let (token, conn) = world.connect(at);
    world.connected(token, conn).unwrap();
    world.until("the host to be stopped", |_| server.is_finished().then_some(()));
    let written = server.join().unwrap();
    assert_eq!(world.read_to_end(conn).len(), written);
}

#[test]
fn an_urgent_octet_keeps_its_place() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| {
        sockopt::set_socket_oobinline(&stream, true).unwrap();
        rustix::net::send(&stream, b"ab!", rustix::net::SendFlags::OOB).unwrap();
        stream.write_all(b"cd").unwrap();
        let mut got = [0; 3];
        stream.read_exact(&mut got).unwrap();
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        poll(&mut [PollFd::new(&stream, PollFlags::PRI)], Some(&limit)).unwrap();
        let at_mark = prise_sys::inet::at_urgent_mark(std::os::fd::AsFd::as_fd(&stream)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        (got, at_mark, rest)
    });
    let mut world = world();
    let (token, conn) = world.connect_with(
        at,
        &TcpConfig {
            oob_inline: true,
            ..TcpConfig::default()
        },
    );
    world.connected(token, conn).unwrap();
    world.until("the mark", |world| {
        (world.guest.tcp_urgent_mark(conn) == Some(2)).then_some(())
    });
    assert_eq!(world.read(conn, 5), b"ab!cd");
    world.send(conn, b"xyz");
    let now = world.now();
    let mut urgent = Payload::copy_from(b"?");
    world.guest.tcp_send(now, conn, &mut urgent, false, true).unwrap();
    world.send(conn, b"end");
    world.shutdown(conn);
    world.until("the end of the flow", |world| {
        world.read_to_end(conn);
        (world.gateway.connections() == 0).then_some(())
    });
    let (before, at_mark, rest) = server.join().unwrap();
    assert_eq!(&before, b"xyz");
    assert!(at_mark, "the octet is urgent at the server too");
    assert_eq!(rest, b"?end");
}

#[test]
fn many_connections_share_the_gateway() {
    const CLIENTS: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = host(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        for _ in 0..CLIENTS {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            thread::spawn(move || {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                stream.write_all(&got).unwrap();
            });
        }
    });
    let mut world = world();
    let clients: Vec<_> = (0..CLIENTS).map(|_| world.connect(at)).collect();
    for (number, &(token, conn)) in clients.iter().enumerate() {
        world.connected(token, conn).unwrap();
        world.send(conn, format!("client {number}").as_bytes());
        world.shutdown(conn);
    }
    for (number, &(_, conn)) in clients.iter().enumerate() {
        assert_eq!(world.read_to_end(conn), format!("client {number}").as_bytes());
    }
    world.until("the end of all flows", |world| {
        (world.gateway.connections() == 0).then_some(())
    });
    server.join().unwrap();
}

#[test]
fn a_connection_is_on_record_from_its_opening_to_its_end() {
    let (at, server) = serve("127.0.0.1:0", |mut stream| stream.write_all(b"abc").unwrap());
    let mut world = world();
    let (token, conn) = world.connect(at);
    world.connected(token, conn).unwrap();
    assert_eq!(world.read_to_end(conn), b"abc");
    world.shutdown(conn);
    world.until("the end of the flow", |world| {
        (world.gateway.connections() == 0).then_some(())
    });
    server.join().unwrap();
    let Some(Fact::Opened {
        flow,
        direction: Direction::Outbound,
        remote,
        ..
    }) = world.gateway.record().map(|record| record.fact)
    else {
        panic!("the opening is missing");
    };
    assert_eq!(remote, at);
    let closed = Fact::Closed {
        flow,
        sent: 0,
        received: 3,
        end: End::Finished,
    };
    assert_eq!(world.gateway.record().map(|record| record.fact), Some(closed));
}
