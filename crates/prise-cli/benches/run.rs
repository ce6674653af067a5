//! What `prise run` costs, beside the kernel, in one run: `cargo bench -p prise-cli --bench run [-- ROUNDS]`.
//!
//! The same program – this one – is server and client each time. Rounds alternate between the kernel and prise and the
//! medians are compared, because a machine's speed wanders. Rows:
//!
//! - *loopback*: server and client are two processes, natively and in one run (over 127.0.0.1, through our TCP);
//! - *published*: the client is native, the server native or behind `-p`;
//! - *outbound*: the server is native, the client native or in a run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const BULK: u64 = 1 << 30;
const ROUND_TRIPS: u32 = 10_000;
const CONNECTIONS: u32 = 2_000;

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Bulk,
    PingPong,
    Connections,
}

const WORKS: [(Work, &str, &str); 3] = [
    (Work::Bulk, "bulk", "Gbit/s"),
    (Work::PingPong, "64 B round trips", "/s"),
    (Work::Connections, "connections", "/s"),
];

#[derive(Clone, Copy)]
enum Place {
    Loopback,
    Published,
    Outbound,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", port] => serve(&listen(port)),
        ["client", work, address] => println!("{}", client(parse(work), address.parse().expect("an address"))),
        ["pair", work] => {
            let mut server = server(&[], "0");
            println!("{}", client(parse(work), server.address));
            server.stop();
        }
        other => compare(other.first().and_then(|text| text.parse().ok()).unwrap_or(5)),
    }
}

fn parse(work: &str) -> Work {
    WORKS
        .iter()
        .find(|(_, name, _)| *name == work)
        .map_or(Work::Bulk, |(work, ..)| *work)
}

fn name(work: Work) -> &'static str {
    WORKS
        .iter()
        .find(|(known, ..)| *known == work)
        .map_or("", |(_, name, _)| name)
}

fn listen(port: &str) -> TcpListener {
    let port = port.parse().expect("a port");
    TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).expect("the port is free")
}

/// Serves any client: the first octet tells what it wants.
fn serve(listener: &TcpListener) {
    println!("{}", listener.local_addr().expect("bound").port());
    let mut buffer = vec![0; 1 << 18];
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        stream.set_nodelay(true).expect("an option");
        let mut wish = [0];
        if stream.read_exact(&mut wish).is_err() {
            continue;
        }
        match wish[0] {
            b'b' => {
                let mut got = 0;
                while got < BULK {
                    got += stream.read(&mut buffer).expect("octets") as u64;
                }
                stream.write_all(b".").expect("an answer");
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

/// Does the work and answers the figure.
fn client(work: Work, address: SocketAddr) -> f64 {
    let open = |wish: u8| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.write_all(&[wish]).expect("room");
        stream
    };
    let mut stream = open(if work == Work::Bulk { b'b' } else { b'p' });
    let start = Instant::now();
    match work {
        Work::Bulk => {
            let chunk = vec![7; 1 << 18];
            for _ in 0..BULK >> 18 {
                stream.write_all(&chunk).expect("room");
            }
            stream.read_exact(&mut [0]).expect("an answer");
            BULK as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64()
        }
        Work::PingPong => {
            let mut message = [7; 64];
            for _ in 0..ROUND_TRIPS {
                stream.write_all(&message).expect("room");
                stream.read_exact(&mut message).expect("an answer");
            }
            f64::from(ROUND_TRIPS) / start.elapsed().as_secs_f64()
        }
        Work::Connections => {
            drop(stream);
            let start = Instant::now();
            for _ in 0..CONNECTIONS {
                open(b'c').read_exact(&mut [0]).expect("an answer");
            }
            f64::from(CONNECTIONS) / start.elapsed().as_secs_f64()
        }
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn stop(&mut self) {
        // Not SIGKILL: the supervisor passes this one on to its program.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        self.child.wait().expect("it ends");
    }
}

/// Starts a server behind `wrap` and waits until it says that it listens.
fn server(wrap: &[String], port: &str) -> Server {
    let mut child = myself(wrap, &["serve", port])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let output = child.stdout.as_mut().expect("piped");
    let mut octet = [0];
    while output.read_exact(&mut octet).is_ok() && octet[0] != b'\n' {
        line.push(char::from(octet[0]));
    }
    let port = line.trim().parse().expect("a port");
    Server {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], port)),
    }
}

fn myself(wrap: &[String], arguments: &[&str]) -> Command {
    let own = std::env::current_exe()
        .expect("this program has a path")
        .display()
        .to_string();
    let mut words = wrap.to_vec();
    words.push(own);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(arguments);
    command
}

fn figure(wrap: &[String], arguments: &[&str]) -> f64 {
    let output = myself(wrap, arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("it runs");
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap_or(f64::NAN)
}

/// One figure of one place, on the kernel (`prise` is none) or on prise.
fn measure(place: Place, work: Work, prise: Option<&str>) -> f64 {
    let run = |options: &[&str]| -> Vec<String> {
        let words = |prise| {
            [&[prise, "run"], options, &["--"]]
                .concat()
                .into_iter()
                .map(String::from)
                .collect()
        };
        prise.map(words).unwrap_or_default()
    };
    match place {
        Place::Loopback => figure(&run(&[]), &["pair", name(work)]),
        Place::Published => {
            let port = TcpListener::bind("127.0.0.1:0")
                .expect("a port")
                .local_addr()
                .expect("bound")
                .port();
            let mut server = server(
                &run(&["-p", &format!("{port}:7000")]),
                if prise.is_some() { "7000" } else { "0" },
            );
            let port = if prise.is_some() { port } else { server.address.port() };
            let answer = client(work, SocketAddr::from(([127, 0, 0, 1], port)));
            server.stop();
            answer
        }
        Place::Outbound => {
            let mut server = server(&[], "0");
            let host = if prise.is_some() { [10, 0, 2, 2] } else { [127, 0, 0, 1] };
            let address = SocketAddr::from((host, server.address.port())).to_string();
            let answer = figure(&run(&[]), &["client", name(work), &address]);
            server.stop();
            answer
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(rounds: usize) {
    let prise = env!("CARGO_BIN_EXE_prise");
    println!("medians of {rounds} rounds, kernel and prise in turns\n");
    println!("{:<12}{:<20}{:>12}{:>12}{:>8}", "", "", "kernel", "prise", "ratio");
    for (place, label) in [
        (Place::Loopback, "loopback"),
        (Place::Published, "published"),
        (Place::Outbound, "outbound"),
    ] {
        for (work, what, unit) in WORKS {
            let (mut kernel, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                kernel.push(measure(place, work, None));
                ours.push(measure(place, work, Some(prise)));
            }
            let (kernel, ours) = (median(&mut kernel), median(&mut ours));
            let digits = usize::from(work == Work::Bulk);
            println!(
                "{label:<12}{what:<20}{kernel:>12.digits$}{ours:>12.digits$}{:>8.2}  {unit}",
                ours / kernel
            );
        }
    }
}
