//! What the compared processes of both benches do: one serves, one asks and measures. Each prints its figures on one line.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendFlags, SocketType, getsockname, sendmsg, socket, sockopt};

const BULK: u64 = 256 << 20;
const ROUND_TRIPS: usize = 8_000;
const CONNECTIONS: u32 = 6_000;
const CALLS: u32 = 20_000;

/// Clients that connect at once, and how often each does.
const CLIENTS: u32 = 4;
const CONNECTIONS_EACH: u32 = 2_000;

/// Longer than the slowest peer takes for any row: who does not come back has lost a connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A figure, or why there is none.
pub(crate) type Figure = Result<f64, String>;

/// A connection to [`serve`], for something of which there are `len` octets.
pub(crate) fn open(address: SocketAddr, wish: u8, len: u64) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&opening(wish, len))?;
    Ok(stream)
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

/// What a measurement shows of the server there.
type Measure = fn(SocketAddr) -> io::Result<Vec<f64>>;

/// What is measured of one way to a server, each with the number of its figures.
const MEASURES: [(Measure, usize); 5] = [
    (bulk_there, 1),
    (bulk_back, 1),
    (round_trips, 2),
    (connections, 1),
    (connections_at_once, 1),
];

/// The chosen figures of one way to a server, in the order of [`MEASURES`]. Once one has failed the server may still be busy with it: the
/// others are not measured.
pub(crate) fn ask(address: SocketAddr, is_chosen: &dyn Fn(usize) -> bool) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    let mut failed = false;
    for (measure, count) in MEASURES {
        let (begin, end) = (figures.len(), figures.len() + count);
        if failed || !(begin..end).any(is_chosen) {
            let why = if failed {
                "not measured after that"
            } else {
                "not asked for"
            };
            figures.extend((begin..end).map(|_| Err(why.to_owned())));
            continue;
        }
        match limited(move || measure(address)) {
            Ok(measured) => figures.extend(measured.into_iter().map(Ok)),
            Err(why) => {
                failed = true;
                figures.extend((begin..end).map(|_| Err(why.clone())));
            }
        }
    }
    figures
}

/// What comes of a measurement, if anything does: what goes through other programs may never end.
fn limited(measure: impl FnOnce() -> io::Result<Vec<f64>> + Send + 'static) -> Result<Vec<f64>, String> {
    let (done, told) = mpsc::channel();
    thread::spawn(move || {
        // Nobody waits for it any more.
        let _ = done.send(measure());
    });
    match told.recv_timeout(PATIENCE) {
        Ok(measured) => measured.map_err(|error| error.to_string()),
        Err(RecvTimeoutError::Timeout) => Err(format!("not done after {} s", PATIENCE.as_secs())),
        Err(RecvTimeoutError::Disconnected) => Err("the client has panicked".to_owned()),
    }
}

/// Gbit/s to the server.
fn bulk_there(address: SocketAddr) -> io::Result<Vec<f64>> {
    let chunk = vec![7; 1 << 18];
    let mut stream = open(address, b'b', BULK)?;
    let start = Instant::now();
    for _ in 0..BULK >> 18 {
        stream.write_all(&chunk)?;
    }
    stream.read_exact(&mut [0])?;
    Ok(vec![BULK as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64()])
}

/// Gbit/s from the server.
fn bulk_back(address: SocketAddr) -> io::Result<Vec<f64>> {
    let mut chunk = vec![7; 1 << 18];
    let mut stream = open(address, b'd', BULK)?;
    let start = Instant::now();
    let mut got = 0;
    while got < BULK {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => got += count as u64,
        }
    }
    Ok(vec![BULK as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64()])
}

/// The 50th and 99th percentile of 64 B requests, in µs.
fn round_trips(address: SocketAddr) -> io::Result<Vec<f64>> {
    let mut stream = open(address, b'p', BULK)?;
    let mut message = [7; 64];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        times.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(vec![times[ROUND_TRIPS / 2], times[ROUND_TRIPS * 99 / 100]])
}

/// Connections with a request each per second, one after another.
fn connections(address: SocketAddr) -> io::Result<Vec<f64>> {
    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        open(address, b'c', 0)?.read_exact(&mut [0])?;
    }
    Ok(vec![f64::from(CONNECTIONS) / start.elapsed().as_secs_f64()])
}

/// Connections with a request each per second of several clients together.
fn connections_at_once(address: SocketAddr) -> io::Result<Vec<f64>> {
    let start = Instant::now();
    let client = move || (0..CONNECTIONS_EACH).try_for_each(|_| open(address, b'c', 0)?.read_exact(&mut [0]));
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(client)).collect();
    for client in clients {
        client.join().map_err(|_| io::Error::other("a client has panicked"))??;
    }
    Ok(vec![
        f64::from(CLIENTS * CONNECTIONS_EACH) / start.elapsed().as_secs_f64(),
    ])
}

/// Nanoseconds of each call of [`CALL_NAMES`], on one connection within this process.
pub(crate) fn calls() -> Vec<Figure> {
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
    times.map(Ok).to_vec()
}

/// What [`calls`] times.
pub(crate) const CALL_NAMES: [&str; 5] = [
    "getsockname",
    "setsockopt TCP_NODELAY",
    "socket and close",
    "write and read",
    "sendmsg and read",
];
