//! What a busy machine costs a sender: its host is suspended again and again, in virtual time.
//!
//! `cargo run -p prise-sim --release --example stall`

use prise_sim::fault::Fault;
use prise_sim::goodput::{Cell, Loss, prepare};
use prise_wire::Instant;
use std::process::ExitCode;
use std::time::Duration;

/// Milliseconds: how long it sleeps, and how often.
const ASLEEP: [u64; 6] = [1, 2, 4, 8, 15, 30];
const EVERY: [u64; 5] = [5, 10, 20, 50, 100];
/// How long each is measured.
const TIME: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    print!("{:<22}", "Mbit/s, asleep for");
    for asleep in ASLEEP {
        print!("{:>9}", format!("{asleep} ms"));
    }
    println!();
    for algorithm in ["cubic", "bbr"] {
        for every in EVERY {
            print!("{:<22}", format!("{algorithm}, every {every} ms"));
            for asleep in ASLEEP {
                match (asleep < every).then(|| measure(algorithm, every, asleep)) {
                    Some(Ok(figure)) => print!("{figure:>9.1}"),
                    Some(Err(why)) => {
                        eprintln!("stall: {why}");
                        return ExitCode::FAILURE;
                    }
                    None => print!("{:>9}", "-"),
                }
            }
            println!();
        }
    }
    ExitCode::SUCCESS
}

/// Mbit/s that one flow carries of 100, over 20 ms.
fn measure(algorithm: &'static str, every: u64, asleep: u64) -> Result<f64, String> {
    let cell = Cell {
        algorithm,
        loss: Loss::Even(0),
        rtt: 20,
        rate: 100,
        queue: 10,
    };
    let (mut world, node, tally) = prepare(&cell.impairment(), &[(algorithm, Duration::ZERO)], 1);
    let time = Duration::from_millis(asleep);
    let mut at = Instant::ZERO;
    while at < Instant::ZERO + TIME {
        world.schedule(at, Fault::Sleep { node, time });
        at += Duration::from_millis(every);
    }
    while world.step(Instant::ZERO + TIME) {
        if let Some(wrong) = world.complaint() {
            return Err(wrong);
        }
    }
    let octets: u64 = tally.flows().iter().sum();
    Ok(octets as f64 * 8.0 / 1e6 / TIME.as_secs_f64())
}
