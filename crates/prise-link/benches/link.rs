//! What impairment and capture cost a packet, beside copying it: `cargo bench -p prise-link`.
//!
//! Every figure is the best of several rounds, since whatever else the machine does only adds.

#[path = "../tests/frames/mod.rs"]
mod frames;

use frames::{datagram, train};
use prise_link::{Capture, Direction, Impairment, ImpairmentConfig, Probability, Tap, WallClock};
use prise_wire::{Frame, Instant, Medium};
use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

/// Nanoseconds that one call takes.
fn time(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 2000;
    let round = |_| {
        let started = std::time::Instant::now();
        (0..CALLS).for_each(|_| call());
        started.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    (0..15).map(round).fold(f64::INFINITY, f64::min)
}

/// What it costs to send a frame over a line and receive all that arrives.
fn over(config: ImpairmentConfig, frame: &Frame) -> f64 {
    let mut line = Impairment::new(config, Medium::Ip);
    let mut now = Instant::ZERO;
    time(|| {
        now += Duration::from_millis(10);
        line.send(now, frame.clone());
        while let Some(arrived) = line.receive(now) {
            black_box(arrived);
        }
    })
}

fn main() {
    let packet = datagram(1, 1472);
    let long = train(1, 14_480, false);
    let mut copy = vec![0; 16_384];
    let copied = time(|| {
        packet.copy_to(&mut copy);
        black_box(&mut copy);
    });
    println!("{:44} {copied:8.0} ns", "copy a packet of 1,500 octets");
    let line = |what: &str, nanos: f64, packets: f64| {
        let each = nanos / packets;
        println!("{what:44} {each:8.0} ns a packet, {:5.1}x of its copy", each / copied);
    };
    let few = Probability::new(0.01).expect("a share");
    let delayed = ImpairmentConfig {
        delay: Duration::from_millis(50),
        ..ImpairmentConfig::default()
    };
    let bad = ImpairmentConfig {
        jitter: Duration::from_millis(5),
        loss: few,
        duplicate: few,
        reorder: few,
        corrupt: few,
        rate: NonZeroU64::new(1_000_000_000),
        ..delayed
    };
    line("a line with delay", over(delayed, &packet), 1.0);
    line("a line with every fault and a rate", over(bad, &packet), 1.0);
    line("the same, a train of 10 packets", over(bad, &long), 10.0);

    let clock = WallClock::new(Instant::ZERO, SystemTime::now());
    let capture = Capture::new(std::io::sink(), clock).expect("a sink takes everything");
    let interface = capture.interface("eth0", Medium::Ip);
    let record = |frame: &Frame| time(|| interface.passed(Instant::ZERO, Direction::Outbound, frame));
    line("capture, without the file's own cost", record(&packet), 1.0);
    line("the same, a train of 10 packets", record(&long), 10.0);
}
