//! Linux's TCP at both ends of a bad path, and ours at both ends of the same one, by the same seed.
//!
//! `cargo run -p prise-sim --release --example beside -- [ROUNDS]`, as root or where users may make namespaces.
//!
//! Linux runs in real time: the program starts itself again in a network namespace with one TUN device, behind which
//! packets pass an [`Impairment`] for their direction and come back with their addresses exchanged, so that a socket of
//! the namespace is the peer of another one there. Ours runs in virtual time, which asks nothing of the machine.

use prise_link::{Impairment, ImpairmentConfig, Link, Probability, TunLink};
use prise_sim::goodput::{Cell, Loss, carry, fairness};
use prise_wire::{Frame, Instant, Medium};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock};

const INSIDE: &str = "PRISE_BESIDE";
const OWN: &str = "10.99.0.1";
const PEER: &str = "10.99.0.2";
const PORT: u16 = 5000;
/// The namespace's device; what is measured goes through it.
const DEVICE: &str = "beside0";
const IPPROTO_TCP: i32 = 6;
const TCP_CONGESTION: i32 = 13;
/// Each measurement, in both kinds of time.
const TIME: Duration = Duration::from_secs(4);
/// Nothing to do: look again after this.
const IDLE: Duration = Duration::from_micros(30);

/// A path and who uses it.
struct Row {
    name: String,
    path: ImpairmentConfig,
    flows: Vec<&'static str>,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut cell = |algorithm, rate, rtt, loss| {
        let cell = Cell {
            algorithm,
            loss,
            rtt,
            rate,
            queue: 10,
        };
        rows.push(Row {
            name: cell.to_string(),
            path: cell.impairment(),
            flows: vec![algorithm],
        });
    };
    for algorithm in ["cubic", "bbr"] {
        cell(algorithm, 100, 1, Loss::Even(10));
        cell(algorithm, 100, 20, Loss::Even(0));
        cell(algorithm, 100, 20, Loss::Even(1));
        cell(algorithm, 100, 20, Loss::Even(10));
        cell(algorithm, 100, 20, Loss::Burst);
        cell(algorithm, 10, 100, Loss::Even(10));
        cell(algorithm, 100, 20, Loss::Even(50));
    }
    let clean = Cell {
        algorithm: "cubic",
        loss: Loss::Even(0),
        rtt: 20,
        rate: 100,
        queue: 10,
    };
    // Two packets of a hundred overtake all that is under way: 10 ms early.
    rows.push(Row {
        name: "cubic 100mbit 20ms, 2% 10ms early".into(),
        path: ImpairmentConfig {
            reorder: Probability::new(0.02).unwrap_or_default(),
            ..clean.impairment()
        },
        flows: vec!["cubic"],
    });
    for algorithm in ["cubic", "bbr"] {
        rows.push(Row {
            name: format!("4 x {algorithm} 100mbit 20ms"),
            path: clean.impairment(),
            flows: vec![algorithm; 4],
        });
    }
    rows
}

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(3);
    if std::env::var_os(INSIDE).is_none() {
        return restart();
    }
    match measure(rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("beside: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program in a namespace of its own.
fn restart() -> ExitCode {
    let status = std::env::current_exe().and_then(|this| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]).arg(this);
        command.args(std::env::args_os().skip(1)).env(INSIDE, "1").status()
    });
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("beside: unshare(1): {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure(rounds: u64) -> io::Result<()> {
    let mut tun = TunLink::open(DEVICE)?;
    for command in [
        format!("address add {OWN}/24 dev {DEVICE}"),
        format!("link set {DEVICE} txqueuelen 20000 mtu 1500 up"),
        "link set lo up".to_owned(),
    ] {
        let status = Command::new("ip").args(command.split(' ')).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("ip {command}")));
        }
    }
    println!(
        "{:<34}{:>10}{:>10}{:>8}   medians of {rounds} seeds, Mbit/s (Jain's index)",
        "", "Linux", "prise", "ratio"
    );
    for row in rows() {
        let (mut linux, mut ours) = (Vec::new(), Vec::new());
        for seed in 1..=rounds {
            let path = ImpairmentConfig { seed, ..row.path };
            linux.push(figures(&between_sockets(&mut tun, &path, &row.flows)?));
            let flows: Vec<_> = row.flows.iter().map(|&algorithm| (algorithm, Duration::ZERO)).collect();
            ours.push(figures(&carry(&path, &flows, TIME, seed).map_err(io::Error::other)?));
        }
        let ((linux, linux_index), (ours, index)) = (median(linux), median(ours));
        print!(
            "{:<34}{linux:>10.1}{ours:>10.1}{:>8.2}",
            row.name,
            ours / linux.max(0.01)
        );
        if row.flows.len() > 1 {
            print!("   index {linux_index:.2}, {index:.2}");
        }
        println!();
    }
    Ok(())
}

/// Mbit/s of all flows together, and how evenly they share.
fn figures(flows: &[u64]) -> (f64, f64) {
    let octets: u64 = flows.iter().sum();
    (octets as f64 * 8.0 / 1e6 / TIME.as_secs_f64(), fairness(flows))
}

fn median(mut figures: Vec<(f64, f64)>) -> (f64, f64) {
    figures.sort_by(|a, b| a.0.total_cmp(&b.0));
    figures[figures.len() / 2]
}

/// Octets that arrived of each flow between sockets of the kernel within [`TIME`].
fn between_sockets(tun: &mut TunLink, path: &ImpairmentConfig, flows: &[&'static str]) -> io::Result<Vec<u64>> {
    let listener = TcpListener::bind((OWN, PORT))?;
    let over = Arc::new(AtomicBool::new(false));
    let counts: Vec<Arc<AtomicU64>> = flows.iter().map(|_| Arc::default()).collect();
    let mut threads = Vec::new();
    for (&algorithm, count) in flows.iter().zip(&counts) {
        let (over, count) = (over.clone(), count.clone());
        threads.push(std::thread::spawn(move || send(algorithm, &over)));
        let listener = listener.try_clone()?;
        std::thread::spawn(move || receive(&listener, &count));
    }
    pipe(tun, path, TIME);
    let arrived = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    over.store(true, Ordering::Relaxed);
    // What is still under way passes quickly, so that everybody ends.
    pipe(tun, &ImpairmentConfig::default(), Duration::from_millis(600));
    for thread in threads {
        let _ = thread.join();
    }
    Ok(arrived)
}

fn send(algorithm: &str, over: &AtomicBool) -> io::Result<()> {
    let to: SocketAddr = format!("{PEER}:{PORT}").parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&to, TIME)?;
    prise_sys::sockopt::set(stream.as_fd(), IPPROTO_TCP, TCP_CONGESTION, algorithm.as_bytes())?;
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    let piece = vec![0; 65_536];
    while !over.load(Ordering::Relaxed) {
        match stream.write(&piece) {
            Ok(_) => {}
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(why) => return Err(why),
        }
    }
    // Reset: the next round wants an empty path.
    let linger = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    prise_sys::sockopt::set(stream.as_fd(), 1, 13, &linger)
}

fn receive(listener: &TcpListener, count: &AtomicU64) {
    let Ok((mut stream, _)) = listener.accept() else { return };
    let mut piece = vec![0; 262_144];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// Carries packets for a while: out of the device, over the path, and back into it as the peer's.
fn pipe(tun: &mut TunLink, path: &ImpairmentConfig, time: Duration) {
    let started = Clock::now();
    let mut lanes = [0, 1].map(|end: u64| {
        let seed = path.seed ^ end << 32;
        Impairment::new(ImpairmentConfig { seed, ..*path }, Medium::Ip)
    });
    loop {
        let elapsed = started.elapsed();
        if elapsed >= time {
            return;
        }
        let now = Instant::ZERO + elapsed;
        let mut busy = false;
        for _ in 0..64 {
            let Some(frame) = tun.receive(now) else { break };
            busy = true;
            if let Some(back) = is_answer(&frame) {
                lanes[usize::from(back)].send(now, frame);
            }
        }
        for lane in &mut lanes {
            while let Some(mut frame) = lane.receive(now) {
                busy = true;
                exchange(&mut frame);
                let _ = tun.send(now, frame);
            }
        }
        tun.flush(now);
        if !busy {
            std::thread::sleep(IDLE);
        }
    }
}

/// Whether an IPv4 TCP segment comes from the listener; `None` for anything else.
fn is_answer(frame: &Frame) -> Option<bool> {
    let at = frame.layout(Medium::Ip)?.transport_at;
    let head = frame.head();
    (head[0] >> 4 == 4 && head[9] == 6).then(|| head[at..at + 2] == PORT.to_be_bytes())
}

/// The two addresses change places: no checksum changes with them.
fn exchange(frame: &mut Frame) {
    if let Some(addresses) = frame.head_mut().get_mut(12..20) {
        let (source, destination) = addresses.split_at_mut(4);
        source.swap_with_slice(destination);
    }
}
