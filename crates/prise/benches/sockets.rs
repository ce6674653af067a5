//! `cargo bench -p prise`: prise's sockets beside the kernel's, in the same process and the same minute.
//!
//! Every row is measured in several rounds, ours and the kernel's in turn; shown are the medians and their ratio. Both
//! sides run the same code, on the types of `prise::net` and of `std::net`. Arguments that are not options choose rows by
//! part of their name.

use prise::{Host, Network};
use prise_sys::heap::CountingAllocator;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator::new();

/// Rounds of each row.
const ROUNDS: usize = 5;
/// How long a round of a rate is measured.
const ROUND: Duration = Duration::from_millis(400);
/// Octets written at once in bulk.
const CHUNK: usize = 64 * 1024;
/// Octets of a message of ping-pong.
const MESSAGE: usize = 64;
/// Connections held open at once to weigh them.
const HELD: usize = 100_000;

/// What is compared: a figure of ours and the same of the kernel's.
struct Row {
    name: &'static str,
    unit: &'static str,
    ours: fn() -> io::Result<f64>,
    kernel: Option<fn() -> io::Result<f64>>,
}

/// The same measurements, on the types of one module. `$listen` says where.
macro_rules! measurements {
    ($module:ident, $net:path, $listen:expr) => {
        mod $module {
            use super::*;
            use $net::{TcpListener, TcpStream};

            fn pair() -> io::Result<(TcpStream, TcpStream)> {
                let listener: TcpListener = $listen()?;
                let client: TcpStream = TcpStream::connect(listener.local_addr()?)?;
                let (server, _) = listener.accept()?;
                for stream in [&client, &server] {
                    stream.set_nodelay(true)?;
                }
                Ok((client, server))
            }

            /// Gbit/s from one thread to another.
            pub(super) fn bulk() -> io::Result<f64> {
                let (mut client, mut server) = pair()?;
                let reader = std::thread::spawn(move || -> io::Result<(u64, Duration)> {
                    let (mut buf, mut total, started) = (vec![0; CHUNK], 0, Instant::now());
                    loop {
                        match server.read(&mut buf)? {
                            0 => return Ok((total, started.elapsed())),
                            n => total += n as u64,
                        }
                    }
                });
                let chunk = vec![7; CHUNK];
                let started = Instant::now();
                while started.elapsed() < ROUND {
                    client.write_all(&chunk)?;
                }
                drop(client);
                let (total, elapsed) = reader.join().expect("the reader does not panic")?;
                Ok(total as f64 * 8.0 / 1e9 / elapsed.as_secs_f64())
            }

            /// Round trips per second between two threads.
            pub(super) fn ping_pong() -> io::Result<f64> {
                let (mut client, mut server) = pair()?;
                let echo = std::thread::spawn(move || -> io::Result<()> {
                    let mut buf = [0; MESSAGE];
                    while server.read_exact(&mut buf).is_ok() {
                        server.write_all(&buf)?;
                    }
                    Ok(())
                });
                let (mut buf, mut trips, started) = ([1; MESSAGE], 0u64, Instant::now());
                while started.elapsed() < ROUND {
                    client.write_all(&buf)?;
                    client.read_exact(&mut buf)?;
                    trips += 1;
                }
                let elapsed = started.elapsed();
                drop(client);
                echo.join().expect("the echo does not panic")?;
                Ok(trips as f64 / elapsed.as_secs_f64())
            }

            /// Round trips per second with both ends in one thread: nobody is woken.
            pub(super) fn ping_pong_one_thread() -> io::Result<f64> {
                let (mut client, mut server) = pair()?;
                let (mut buf, mut trips, started) = ([1; MESSAGE], 0u64, Instant::now());
                while started.elapsed() < ROUND {
                    client.write_all(&buf)?;
                    server.read_exact(&mut buf)?;
                    server.write_all(&buf)?;
                    client.read_exact(&mut buf)?;
                    trips += 1;
                }
                Ok(trips as f64 / started.elapsed().as_secs_f64())
            }

            /// Connections per second, each made, accepted and closed at both ends, in one thread.
            pub(super) fn connections() -> io::Result<f64> {
                let listener: TcpListener = $listen()?;
                let addr = listener.local_addr()?;
                let (mut made, started) = (0u64, Instant::now());
                // A port can be used again towards one server only after TIME-WAIT.
                while started.elapsed() < ROUND && made < 10_000 {
                    let client: TcpStream = TcpStream::connect(addr)?;
                    let (server, _) = listener.accept()?;
                    drop((client, server));
                    made += 1;
                }
                Ok(made as f64 / started.elapsed().as_secs_f64())
            }
        }
    };
}

fn kernel_listen() -> io::Result<std::net::TcpListener> {
    std::net::TcpListener::bind("127.0.0.1:0")
}

fn loopback_listen() -> io::Result<prise::net::TcpListener> {
    prise::net::TcpListener::bind("127.0.0.1:0")
}

/// A listener on one host of a network in memory; the other host is the thread's current one from now on.
fn network_listen() -> io::Result<prise::net::TcpListener> {
    let network = Network::new();
    let server = Host::builder().attach(&network, &["10.0.0.1/24"]).build()?;
    let client = Host::builder().attach(&network, &["10.0.0.2/24"]).build()?;
    std::mem::forget(client.enter());
    server.tcp_listen("10.0.0.1:0")
}

measurements!(kernel, std::net, kernel_listen);
measurements!(loopback, prise::net, loopback_listen);
measurements!(network, prise::net, network_listen);

/// Octets of heap for each end of an idle established connection, handles included, with [`HELD`] connections open.
fn idle_heap() -> io::Result<f64> {
    let host = Host::builder().build()?;
    // The ports of one address towards one endpoint do not suffice for so many: there are as many servers as leave most of
    // a client's ports free, which are then found at once.
    let listeners: Vec<_> = (0..HELD / 5_000)
        .map(|_| host.tcp_listen("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let addrs: Vec<SocketAddr> = listeners
        .iter()
        .map(prise::net::TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    let mut held = Vec::with_capacity(HELD);
    // The first connections pay for what is made once.
    let mut before = 0;
    for made in 0..HELD {
        if made == 16 {
            before = HEAP.in_use();
        }
        let which = made % listeners.len();
        let client = host.tcp_connect(addrs[which])?;
        let (server, _) = listeners[which].accept()?;
        held.push((client, server));
    }
    let grown = HEAP.in_use() - before;
    assert_eq!(held.len(), HELD);
    Ok(grown as f64 / (HELD - 16) as f64 / 2.0)
}

const ROWS: &[Row] = &[
    Row {
        name: "bulk, loopback",
        unit: "Gbit/s",
        ours: loopback::bulk,
        kernel: Some(kernel::bulk),
    },
    Row {
        name: "bulk, two hosts in memory",
        unit: "Gbit/s",
        ours: network::bulk,
        kernel: Some(kernel::bulk),
    },
    Row {
        name: "64 B ping-pong, two threads",
        unit: "1/s",
        ours: loopback::ping_pong,
        kernel: Some(kernel::ping_pong),
    },
    Row {
        name: "64 B ping-pong, two hosts in memory",
        unit: "1/s",
        ours: network::ping_pong,
        kernel: Some(kernel::ping_pong),
    },
    Row {
        name: "64 B ping-pong, one thread",
        unit: "1/s",
        ours: loopback::ping_pong_one_thread,
        kernel: Some(kernel::ping_pong_one_thread),
    },
    Row {
        name: "64 B ping-pong, two hosts, one thread",
        unit: "1/s",
        ours: network::ping_pong_one_thread,
        kernel: Some(kernel::ping_pong_one_thread),
    },
    Row {
        name: "connections, loopback",
        unit: "1/s",
        ours: loopback::connections,
        kernel: Some(kernel::connections),
    },
    Row {
        name: "connections, two hosts in memory",
        unit: "1/s",
        ours: network::connections,
        kernel: Some(kernel::connections),
    },
    Row {
        name: "heap per idle connection end (100,000 open)",
        unit: "octets",
        ours: idle_heap,
        kernel: None,
    },
];

fn main() -> io::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    println!("{:<46} {:>12} {:>12} {:>7}", "", "prise", "kernel", "ratio");
    for row in ROWS
        .iter()
        .filter(|row| wanted.is_empty() || wanted.iter().any(|part| row.name.contains(part)))
    {
        let mut figures = (Vec::new(), Vec::new());
        for _ in 0..if row.kernel.is_some() { ROUNDS } else { 1 } {
            // A thread for each round: what it enters, it leaves by ending.
            let measure =
                |what: fn() -> io::Result<f64>| std::thread::spawn(what).join().expect("a measurement does not panic");
            figures.0.push(measure(row.ours)?);
            if let Some(kernel) = row.kernel {
                figures.1.push(measure(kernel)?);
            }
        }
        let (ours, kernel) = (median(&mut figures.0), median(&mut figures.1));
        let name = format!("{} [{}]", row.name, row.unit);
        match kernel.zip(ours) {
            Some((kernel, ours)) => println!("{name:<46} {ours:>12.1} {kernel:>12.1} {:>7.2}", ours / kernel),
            None => println!("{name:<46} {:>12.1}", ours.unwrap_or(f64::NAN)),
        }
    }
    Ok(())
}

fn median(figures: &mut [f64]) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
