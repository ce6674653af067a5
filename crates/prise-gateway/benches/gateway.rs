//! What the gateway costs: bulk both ways, ping-pong and connections between a guest's stack in this thread and servers
//! on threads of this host, beside the same against the kernel's own loopback, in one run. Read the ratios.
//!
//! `cargo bench -p prise-gateway`

#[path = "../tests/world/mod.rs"]
mod world;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant as Clock};

use prise_stack::TcpConfig;
use prise_wire::Payload;

use world::{World, config, host};

const TIME: Duration = Duration::from_secs(1);
const CHUNK: usize = 64 * 1024;

/// A server that handles each client by `act` on a thread of its own.
fn server(act: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || act(stream));
        }
    });
    at
}

/// A server that takes clients and lets them go.
fn door() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    at
}

fn sink(mut stream: TcpStream) {
    let mut buffer = vec![0; 4 * CHUNK];
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
}

fn source(mut stream: TcpStream) {
    let buffer = vec![1; 4 * CHUNK];
    while stream.write_all(&buffer).is_ok() {}
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
}

fn gigabits(octets: u64, start: Clock) -> f64 {
    octets as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
}

fn per_second(count: u64, start: Clock) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

/// Runs `step` until the time is over; it says how much it did.
fn timed(world: &mut World, mut step: impl FnMut(&mut World) -> u64) -> (u64, Clock) {
    let start = Clock::now();
    let mut done = 0;
    world.until("the end of the measurement", |world| {
        done += step(world);
        (start.elapsed() >= TIME).then_some(())
    });
    (done, start)
}

fn opened(at: SocketAddr) -> (World, prise_stack::ConnId) {
    let mut world = World::new(config());
    let nodelay = TcpConfig {
        nodelay: true,
        ..TcpConfig::default()
    };
    let (token, conn) = world.connect_with(host(at), &nodelay);
    world.connected(token, conn).unwrap();
    (world, conn)
}

fn up(at: SocketAddr) -> f64 {
    let (mut world, conn) = opened(at);
    let chunk = Payload::from(vec![1; CHUNK]);
    let (_, start) = timed(&mut world, |world| {
        let now = world.now();
        while world
            .guest
            .tcp_send(now, conn, &mut chunk.clone(), false, false)
            .is_ok()
        {}
        0
    });
    gigabits(world.gateway.tally().octets_out, start)
}

fn down(at: SocketAddr) -> f64 {
    let (mut world, conn) = opened(at);
    let (octets, start) = timed(&mut world, |world| {
        let now = world.now();
        let readable = world.guest.tcp_readable(conn);
        world.guest.tcp_consume(now, conn, readable);
        readable as u64
    });
    gigabits(octets, start)
}

fn ping_pong(at: SocketAddr) -> f64 {
    let (mut world, conn) = opened(at);
    let ping = Payload::from(vec![1; 64]);
    let now = world.now();
    world
        .guest
        .tcp_send(now, conn, &mut ping.clone(), false, false)
        .unwrap();
    let (count, start) = timed(&mut world, |world| {
        if world.guest.tcp_readable(conn) < 64 {
            return 0;
        }
        let now = world.now();
        world.guest.tcp_consume(now, conn, 64);
        world
            .guest
            .tcp_send(now, conn, &mut ping.clone(), false, false)
            .unwrap();
        1
    });
    per_second(count, start)
}

fn connections(at: SocketAddr) -> f64 {
    let mut world = World::new(config());
    let start = Clock::now();
    let mut count = 0;
    while start.elapsed() < TIME {
        let (token, conn) = world.connect(host(at));
        world.connected(token, conn).unwrap();
        world.abort(conn);
        count += 1;
    }
    per_second(count, start)
}

fn kernel_up(at: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(at).unwrap();
    let chunk = vec![1; CHUNK];
    let (start, mut octets) = (Clock::now(), 0);
    while start.elapsed() < TIME {
        octets += stream.write(&chunk).unwrap() as u64;
    }
    gigabits(octets, start)
}

fn kernel_down(at: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(at).unwrap();
    let mut chunk = vec![1; CHUNK];
    let (start, mut octets) = (Clock::now(), 0);
    while start.elapsed() < TIME {
        octets += stream.read(&mut chunk).unwrap() as u64;
    }
    gigabits(octets, start)
}

fn kernel_ping_pong(at: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut ping = [1; 64];
    let (start, mut count) = (Clock::now(), 0);
    while start.elapsed() < TIME {
        stream.write_all(&ping).unwrap();
        stream.read_exact(&mut ping).unwrap();
        count += 1;
    }
    per_second(count, start)
}

fn kernel_connections(at: SocketAddr) -> f64 {
    let (start, mut count) = (Clock::now(), 0);
    while start.elapsed() < TIME {
        let stream = TcpStream::connect(at).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        count += 1;
    }
    per_second(count, start)
}

fn line(what: &str, unit: &str, ours: f64, kernel: f64) {
    println!(
        "{what:<24} {ours:>12.1} {kernel:>12.1} {unit:<8} {:>6.2}x",
        ours / kernel
    );
}

fn main() {
    let (sink, source, echo) = (server(sink), server(source), server(echo));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let measure = |what: &str, unit: &str, ours: fn(SocketAddr) -> f64, kernel: fn(SocketAddr) -> f64, at| {
        if wanted.is_empty() || wanted.iter().any(|word| what.contains(word.as_str())) {
            line(what, unit, ours(at), kernel(at));
        }
    };
    println!("{:<24} {:>12} {:>12}", "", "gateway", "kernel");
    measure("guest to host", "Gbit/s", up, kernel_up, sink);
    measure("host to guest", "Gbit/s", down, kernel_down, source);
    measure("64-byte ping-pong", "/s", ping_pong, kernel_ping_pong, echo);
    measure("connections", "/s", connections, kernel_connections, door());
}
