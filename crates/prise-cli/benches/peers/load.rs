//! What the compared processes of both benches do: one serves, one asks and measures. Each prints its figures on one line.

use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendFlags, SocketType, getsockname, sendmsg, socket, sockopt};

const BULK: u64 = 256 << 20;
const ROUND_TRIPS: usize = 8_000;
const CONNECTIONS: u32 = 1_500;
const CALLS: u32 = 20_000;

/// Clients that connect at once, and how often each does.
const CLIENTS: u32 = 4;
const CONNECTIONS_EACH: u32 = 1_000;

/// Longer than the slowest peer takes for all of them: who does not come back has lost a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to [`serve`], for something of which there are `len` octets.
pub(crate) fn open(address: SocketAddr, wish: u8, len: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream.write_all(&opening(wish, len)).expect("room");
    stream
}

/// What a client says first.
pub(crate) fn opening(wish: u8, len: u64) -> [u8; 9] {
    let mut octets = [wish; 9];
    octets[1..].copy_from_slice(&len.to_be_bytes());
    octets
}

/// Serves any client on a port of every address: the first octets tell what it wants and how much of it.
pub(crate) fn serve(port: &str) {
    let port: u16 = port.parse().expect("a port");
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).expect("the port is free");
    println!("{}", listener.local_addr().expect("bound").port());
    let mut buffer = vec![0; 1 << 18];
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        // A probe may be gone already.
        let _ = stream.set_nodelay(true);
        let mut told = [0; 9];
        if stream.read_exact(&mut told).is_err() {
            continue;
        }
        let len = u64::from_be_bytes(core::array::from_fn(|index| told[1 + index]));
        match told[0] {
            b'b' => {
                let mut got = 0;
                while got < len {
                    match stream.read(&mut buffer).expect("octets") {
                        0 => break,
                        count => got += count as u64,
                    }
                }
                stream.write_all(b".").expect("an answer");
            }
            b'd' => {
                for _ in 0..len >> 18 {
                    stream.write_all(&buffer).expect("room");
                }
            }
            b'p' => {
                let mut message = [0; 64];
                while stream.read_exact(&mut message).is_ok() {
                    stream.write_all(&message).expect("an answer");
                }
            }
            _ => stream.write_all(b".").expect("an answer"),
        }
    }
}

/// All figures of one way to a server: bulk there and back in Gbit/s, the 50th and 99th percentile of 64 B requests in µs,
/// connections with a request each per second, of one client after another and of several at once.
pub(crate) fn ask(address: SocketAddr) -> Vec<Option<f64>> {
    let open = |wish| open(address, wish, BULK);
    let mut chunk = vec![7; 1 << 18];
    let mut stream = open(b'b');
    let start = Instant::now();
    for _ in 0..BULK >> 18 {
        stream.write_all(&chunk).expect("room");
    }
    stream.read_exact(&mut [0]).expect("an answer");
    let there = BULK as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64();

    let mut stream = open(b'd');
    let start = Instant::now();
    let mut got = 0;
    while got < BULK {
        got += stream.read(&mut chunk).expect("octets") as u64;
    }
    let back = BULK as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64();

    let mut stream = open(b'p');
    let mut message = [7; 64];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        stream.write_all(&message).expect("room");
        stream.read_exact(&mut message).expect("an answer");
        times.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    times.sort_by(f64::total_cmp);
    drop(stream);

    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        open(b'c').read_exact(&mut [0]).expect("an answer");
    }
    let rate = f64::from(CONNECTIONS) / start.elapsed().as_secs_f64();
    let (p50, p99) = (times[ROUND_TRIPS / 2], times[ROUND_TRIPS * 99 / 100]);
    let at_once = connections_at_once(address);
    [there, back, p50, p99, rate]
        .map(Some)
        .into_iter()
        .chain([at_once])
        .collect()
}

/// Connections with a request each per second of several clients together; none where one of them fails or never ends.
fn connections_at_once(address: SocketAddr) -> Option<f64> {
    let (done, all) = mpsc::channel();
    let start = Instant::now();
    for _ in 0..CLIENTS {
        let done = done.clone();
        thread::spawn(move || {
            let connected = (0..CONNECTIONS_EACH).try_for_each(|_| {
                let mut stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.write_all(&opening(b'c', 0))?;
                stream.read_exact(&mut [0])
            });
            // Nobody waits for it any more.
            let _ = done.send(connected.is_ok());
        });
    }
    for _ in 0..CLIENTS {
        let left = PATIENCE.saturating_sub(start.elapsed());
        if all.recv_timeout(left) != Ok(true) {
            return None;
        }
    }
    Some(f64::from(CLIENTS * CONNECTIONS_EACH) / start.elapsed().as_secs_f64())
}

/// Nanoseconds of each call of [`CALL_NAMES`], on one connection within this process.
pub(crate) fn calls() -> Vec<Option<f64>> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
    let (mut server, _) = listener.accept().expect("a connection");
    let mut octet = [0];
    let time = |act: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS {
            act();
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let times = [
        time(&mut || {
            getsockname(&client).expect("a name");
        }),
        time(&mut || sockopt::set_tcp_nodelay(&client, true).expect("an option")),
        time(&mut || drop(socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket"))),
        time(&mut || {
            client.write_all(&octet).expect("room");
            server.read_exact(&mut octet).expect("an octet");
        }),
        time(&mut || {
            let pieces = [IoSlice::new(b".")];
            sendmsg(
                &client,
                &pieces,
                &mut SendAncillaryBuffer::default(),
                SendFlags::empty(),
            )
            .expect("room");
            server.read_exact(&mut [0]).expect("an octet");
        }),
    ];
    times.map(Some).to_vec()
}

/// What [`calls`] times.
pub(crate) const CALL_NAMES: [&str; 5] = [
    "getsockname",
    "setsockopt TCP_NODELAY",
    "socket and close",
    "write and read",
    "sendmsg and read",
];
