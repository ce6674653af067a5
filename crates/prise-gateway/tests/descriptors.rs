//! What connections cost the host: descriptors, counted. One test, since descriptors belong to the whole process.

mod world;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use prise_gateway::{Discard, Transport};
use prise_stack::{Local, UdpConfig, UdpSend};
use prise_wire::Payload;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use world::{World, config, host, publish};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Answers each client with what it sent. Its own descriptors are gone when its thread has ended.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut got = Vec::new();
            if stream.read_to_end(&mut got).is_ok() {
                let _ = stream.write_all(&got);
            }
        }
    });
    at
}

fn finished(world: &mut World, server: SocketAddr) {
    let (token, conn) = world.connect(host(server));
    world.connected(token, conn).unwrap();
    world.send(conn, b"hello");
    world.shutdown(conn);
    assert_eq!(world.read_to_end(conn), b"hello");
    world.close(conn);
}

fn refused(world: &mut World) {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (token, conn) = world.connect(host(closed));
    assert!(world.connected(token, conn).is_err());
    world.close(conn);
}

fn aborted(world: &mut World, server: SocketAddr) {
    let (token, conn) = world.connect(host(server));
    world.connected(token, conn).unwrap();
    world.abort(conn);
}

fn turned_away(port: SocketAddr) {
    drop(TcpStream::connect(port).unwrap());
}

#[test]
fn nothing_leaks_and_running_out_is_survived() {
    let server = echo_server();
    let mut config = config();
    config.publish = vec![publish(80, Transport::Tcp)];
    let mut world = World::new(config);
    let port = world.gateway.published().next().unwrap().1;
    finished(&mut world, server);
    world.until("rest", |world| (world.gateway.connections() == 0).then_some(()));
    let before = open_descriptors();

    for round in 0..100 {
        finished(&mut world, server);
        refused(&mut world);
        aborted(&mut world, server);
        turned_away(port);
        let token = world.token();
        let local = Local::endpoint(SocketAddr::new([10, 0, 2, 15].into(), 5000 + round));
        let socket = world.guest.udp_bind(&UdpConfig::new(local, token));
        let now = world.now();
        let datagram = UdpSend::new(host(server), Payload::copy_from(b"x"));
        world.guest.udp_send(now, socket, datagram).unwrap();
        world.guest.udp_close(now, socket);
    }
    world.until("the end of all flows", |world| {
        (world.gateway.connections() == 0).then_some(())
    });
    let later = world.now() + Duration::from_mins(6);
    world.gateway.process(later);
    assert_eq!(world.gateway.udp_mappings(), 0);
    assert_eq!(world.gateway.stack().tcp_records(), [0; 4]);
    world.until("the server's own descriptors", |_| {
        (open_descriptors() == before).then_some(())
    });

    // Not one descriptor left: the guest's SYN stays unanswered and comes again, a published port's client waits.
    let limit = getrlimit(Resource::Nofile);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let in_use = u64::try_from(open_descriptors()).unwrap();
    let tight = Rlimit {
        current: Some(in_use - 1),
        ..limit
    };
    setrlimit(Resource::Nofile, tight).unwrap();
    let (token, conn) = world.connect(host(server));
    world.until("the lack to be noticed", |world| {
        (world.gateway.tally().discarded(Discard::DescriptorsExhausted) > 0).then_some(())
    });
    setrlimit(Resource::Nofile, limit).unwrap();
    world.connected(token, conn).unwrap();
    world.abort(conn);
    drop(client);
}
