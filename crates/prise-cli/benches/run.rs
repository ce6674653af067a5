//! What `prise run` costs, beside the kernel, in one run: `cargo bench -p prise-cli --bench run [-- ROUNDS]`.
//!
//! The same program – this one – is server and client each time. Rounds alternate between the kernel and prise and the
//! medians are compared, because a machine's speed wanders. Rows:
//!
//! - *loopback*: server and client are two processes, natively and in one run (over 127.0.0.1);
//! - *published*: the client is native, the server native or behind `-p`;
//! - *outbound*: the server is native, the client native or in a run;
//! - *processes*: what has nothing to do with sockets, a file opened for reading and a program executed by a shell.
//!
//! Columns: the kernel, prise as it is (descriptors joined or handed over, programs with prise's library), and prise with every octet through its TCP
//! and without the library.

#[path = "peers/load.rs"]
#[allow(dead_code, reason = "the other bench uses more of it")]
mod load;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const BULK: u64 = 1 << 30;
const ROUND_TRIPS: u32 = 10_000;
const CONNECTIONS: u32 = 2_000;
const OPENS: u32 = 10_000;
const EXECUTIONS: u32 = 300;

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Bulk,
    PingPong,
    Connections,
    Opens,
    Executions,
}

const WORKS: [(Work, &str, &str); 5] = [
    (Work::Bulk, "bulk", "Gbit/s"),
    (Work::PingPong, "64 B round trips", "/s"),
    (Work::Connections, "connections", "/s"),
    (Work::Opens, "files opened", "/s"),
    (Work::Executions, "programs executed", "/s"),
];

#[derive(Clone, Copy)]
enum Place {
    Loopback,
    Published,
    Outbound,
    Processes,
}

impl Place {
    fn has(self, work: Work) -> bool {
        matches!(work, Work::Opens | Work::Executions) == matches!(self, Self::Processes)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", port] => load::serve(port),
        ["client", work, address] => println!("{}", client(parse(work), address.parse().expect("an address"))),
        ["alone", work] => println!("{}", alone(parse(work))),
        ["nothing"] => (),
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

/// Does the work and answers the figure.
fn client(work: Work, address: SocketAddr) -> f64 {
    let open = |wish| load::open(address, wish, BULK).expect("a connection");
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
        Work::Opens | Work::Executions => alone(work),
    }
}

/// Does what needs no other end and answers the figure.
fn alone(work: Work) -> f64 {
    let start = Instant::now();
    let times = if work == Work::Opens {
        for _ in 0..OPENS {
            File::open("/etc/passwd").expect("a file");
        }
        OPENS
    } else {
        let script = format!("i=0; while [ $i -lt {EXECUTIONS} ]; do \"$0\" nothing; i=$((i + 1)); done");
        let shell = Command::new("/bin/sh").args(["-c", &script]).arg(own_path()).status();
        assert!(shell.is_ok_and(|it| it.success()), "a shell");
        EXECUTIONS
    };
    f64::from(times) / start.elapsed().as_secs_f64()
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

fn own_path() -> String {
    let path = std::env::current_exe().expect("this program has a path");
    path.display().to_string()
}

fn myself(wrap: &[String], arguments: &[&str]) -> Command {
    let mut words = wrap.to_vec();
    words.push(own_path());
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
fn measure(place: Place, work: Work, prise: Option<&[&str]>) -> f64 {
    let run = |options: &[&str]| -> Vec<String> {
        let words = |prise: &[&str]| {
            [prise, options, &["--"]]
                .concat()
                .into_iter()
                .map(String::from)
                .collect()
        };
        prise.map(words).unwrap_or_default()
    };
    match place {
        Place::Loopback => figure(&run(&[]), &["pair", name(work)]),
        Place::Processes => figure(&run(&[]), &["alone", name(work)]),
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
    let ways: [Option<&[&str]>; 3] = [None, Some(&[prise, "run"]), Some(&[prise, "run", "--no-join"])];
    println!("medians of {rounds} rounds in turns; in brackets the ratio to the kernel\n");
    println!(
        "{:<12}{:<20}{:>12}{:>20}{:>20}",
        "", "", "kernel", "prise", "prise --no-join"
    );
    for (place, label) in [
        (Place::Loopback, "loopback"),
        (Place::Published, "published"),
        (Place::Outbound, "outbound"),
        (Place::Processes, "processes"),
    ] {
        for (work, what, unit) in WORKS.into_iter().filter(|it| place.has(it.0)) {
            let mut figures = [const { Vec::new() }; 3];
            for _ in 0..rounds {
                for (way, figures) in ways.iter().zip(&mut figures) {
                    figures.push(measure(place, work, *way));
                }
            }
            let [kernel, ours, by_stack] = figures.map(|mut figures| median(&mut figures));
            let digits = usize::from(work == Work::Bulk);
            let cell = |figure: f64| format!("{figure:.digits$} ({:.2})", figure / kernel);
            println!(
                "{label:<12}{what:<20}{kernel:>12.digits$}{:>20}{:>20}  {unit}",
                cell(ours),
                cell(by_stack)
            );
        }
    }
}
