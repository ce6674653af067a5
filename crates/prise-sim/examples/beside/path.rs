//! The path that all flows of a measurement share, in real time: one [`Impairment`] for each direction.
//!
//! What comes out of the TUN device of the namespace, or from one of our two hosts, passes the impairment of its direction
//! and is handed to whom it is for. The kernel's own peer is itself: packets to [`PEER`] come back with their addresses
//! exchanged, so that a socket of the namespace is the peer of another one there.

use crate::linux;
use crate::ours::Station;
use prise_link::{Impairment, ImpairmentConfig, Link, TunLink};
use prise_wire::{Frame, Instant, Medium};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock};

/// The kernel's address, and the one under which it meets itself.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// Our two hosts.
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
const SINK: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);
/// The first flow ends at this port, the next ones at those that follow.
const PORT: u16 = 5000;
const FLOWS_MAX: u16 = 64;
/// The namespace's device; what the kernel sends goes through it.
const DEVICE: &str = "beside0";
/// Each measurement of one flow, in both kinds of time.
pub(crate) const TIME: Duration = Duration::from_secs(3);
/// What is still under way after a measurement gets so long to pass.
const AFTERMATH: Duration = Duration::from_millis(400);
/// Nothing to do: look again after this.
const IDLE: Duration = Duration::from_micros(30);
/// Packets taken from the device before others have their turn.
const TURN: u32 = 64;

/// Whose TCP is at an end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Linux,
    Ours,
}

/// A flow: who sends, who receives, and the sender's congestion control.
pub(crate) type Flow = (Whose, Whose, &'static str);

/// The namespace's device, ready to carry.
pub(crate) fn open() -> io::Result<TunLink> {
    let tun = TunLink::open(DEVICE)?;
    for command in [
        format!("address add {OWN}/24 dev {DEVICE}"),
        format!("link set {DEVICE} txqueuelen 20000 mtu 1500 up"),
        "link set lo up".to_owned(),
        format!("route add 10.99.1.0/24 dev {DEVICE}"),
    ] {
        let status = Command::new("ip").args(command.split(' ')).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("ip {command}")));
        }
    }
    // What Linux has learnt of a peer would decide how its next connection begins.
    std::fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")?;
    // Sockets are told their congestion control when they are connected: one that began under BBR would be paced for ever.
    std::fs::write("/proc/sys/net/ipv4/tcp_congestion_control", "reno")?;
    Ok(tun)
}

/// Everything that shares the path.
struct Path<'a> {
    tun: &'a mut TunLink,
    source: Station,
    sink: Station,
    /// Towards those who receive, and back.
    lanes: [Impairment; 2],
    started: Clock,
}

/// Octets of each flow that arrived within `time`.
pub(crate) fn carry(
    tun: &mut TunLink,
    config: &ImpairmentConfig,
    flows: &[Flow],
    time: Duration,
) -> io::Result<Vec<u64>> {
    let fault = io::Error::other::<String>;
    let over = Arc::new(AtomicBool::new(false));
    let mut path = Path {
        tun,
        source: Station::new(&format!("{SOURCE}/16"), config.seed).map_err(fault)?,
        sink: Station::new(&format!("{SINK}/16"), !config.seed).map_err(fault)?,
        lanes: lanes(config),
        started: Clock::now(),
    };
    let mut threads = Vec::new();
    let mut counts = Vec::new();
    for (&(sender, receiver, algorithm), port) in flows.iter().zip(PORT..) {
        let count = Arc::new(AtomicU64::new(0));
        counts.push(count.clone());
        let to = match (sender, receiver) {
            (_, Whose::Ours) => SINK,
            (Whose::Linux, Whose::Linux) => PEER,
            (Whose::Ours, Whose::Linux) => OWN,
        };
        let to = SocketAddr::new(to.into(), port);
        if receiver == Whose::Linux {
            let (listener, over) = (linux::listen(port)?, over.clone());
            threads.push(std::thread::spawn(move || linux::receive(&listener, &count, &over)));
        } else {
            path.sink.listen(Instant::ZERO, to).map_err(fault)?;
        }
        if sender == Whose::Linux {
            let over = over.clone();
            threads.push(std::thread::spawn(move || linux::send(to, algorithm, &over)));
        } else {
            path.source.connect(Instant::ZERO, to, algorithm).map_err(fault)?;
        }
    }
    path.pump(time);
    let arrived = flows
        .iter()
        .zip(&counts)
        .zip(PORT..)
        .map(|((flow, count), port)| match flow.1 {
            Whose::Linux => count.load(Ordering::Relaxed),
            Whose::Ours => path.sink.arrived(port),
        });
    let arrived = arrived.collect();
    over.store(true, Ordering::Relaxed);
    let now = path.now();
    path.source.finish(now);
    path.sink.finish(now);
    path.lanes = lanes(&ImpairmentConfig::default());
    path.pump(time + AFTERMATH);
    for thread in threads {
        // A flow that never came up has carried nothing, and its figure says so.
        let _ = thread.join();
    }
    Ok(arrived)
}

fn lanes(config: &ImpairmentConfig) -> [Impairment; 2] {
    [0, 1].map(|end: u64| {
        let seed = config.seed ^ end << 32;
        Impairment::new(ImpairmentConfig { seed, ..*config }, Medium::Ip)
    })
}

impl Path<'_> {
    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// Carries packets until so long after the start. Who finds the queue full is dropped, and those of one turn come at one time: so
    /// the kernel's packets and ours have the first of the places that came free in turns.
    fn pump(&mut self, until: Duration) {
        let mut kernel_first = false;
        while self.started.elapsed() < until {
            let now = self.now();
            kernel_first = !kernel_first;
            let mut busy = kernel_first && self.take_from_kernel(now);
            busy |= turn(&mut self.source, &mut self.lanes, now);
            busy |= turn(&mut self.sink, &mut self.lanes, now);
            busy |= !kernel_first && self.take_from_kernel(now);
            for lane in 0..2 {
                while let Some(frame) = self.lanes[lane].receive(now) {
                    busy = true;
                    self.deliver(now, frame);
                }
            }
            self.tun.flush(now);
            if !busy {
                std::thread::sleep(IDLE);
            }
        }
    }

    fn take_from_kernel(&mut self, now: Instant) -> bool {
        for taken in 0..TURN {
            let Some(frame) = self.tun.receive(now) else {
                return taken > 0;
            };
            send(&mut self.lanes, now, frame);
        }
        true
    }

    /// Each packet is answered before the next one comes, as the kernel does it: whoever takes several at once acknowledges them at
    /// once, and where losses come in bursts that puts all acknowledgments of a short round trip into one.
    fn deliver(&mut self, now: Instant, mut frame: Frame) {
        match destination(&frame) {
            Some(SOURCE) => {
                self.source.receive(now, frame);
                turn(&mut self.source, &mut self.lanes, now);
            }
            Some(SINK) => {
                self.sink.receive(now, frame);
                turn(&mut self.sink, &mut self.lanes, now);
            }
            Some(to) => {
                if to == PEER {
                    exchange(&mut frame);
                }
                // A full device drops, as devices do.
                let _ = self.tun.send(now, frame);
            }
            None => {}
        }
    }
}

/// Has a host of ours do what can be done now. Answers whether there was anything.
fn turn(station: &mut Station, lanes: &mut [Impairment; 2], now: Instant) -> bool {
    station.turn(now, |frame| send(lanes, now, frame))
}

/// Puts an IPv4 TCP segment on the lane of its direction; nothing else is carried.
fn send(lanes: &mut [Impairment; 2], now: Instant, frame: Frame) {
    if let Some(back) = is_answer(&frame) {
        lanes[usize::from(back)].send(now, frame);
    }
}

/// Whether a segment comes from who receives; `None` for what is no IPv4 TCP segment.
fn is_answer(frame: &Frame) -> Option<bool> {
    let at = frame.layout(Medium::Ip)?.transport_at;
    let head = frame.head();
    let port = u16::from_be_bytes(*head.get(at..)?.first_chunk()?);
    (head[0] >> 4 == 4 && head[9] == 6).then(|| (PORT..PORT + FLOWS_MAX).contains(&port))
}

fn destination(frame: &Frame) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = *frame.head().get(16..)?.first_chunk()?;
    Some(octets.into())
}

/// The two addresses change places: no checksum changes with them.
fn exchange(frame: &mut Frame) {
    if let Some(addresses) = frame.head_mut().get_mut(12..20) {
        let (source, destination) = addresses.split_at_mut(4);
        source.swap_with_slice(destination);
    }
}
