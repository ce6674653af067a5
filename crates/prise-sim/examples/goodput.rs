//! What a connection carries over bad paths, in virtual time: the whole matrix and paths that reorder (`late`), or the cells
//! whose name holds every word.
//!
//! `cargo run -p prise-sim --release --example goodput -- [--jobs N] [--seed N] [--time MILLISECONDS] [--info] [WORD...]`
//!
//! `--flows N [--apart MILLISECONDS]` has as many flows share each path, one begun so long after the other, and shows what each got
//! and Jain's index.

use prise_sim::goodput::{Cell, carry, fairness, prepare, table};
use prise_wire::Instant;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const USAGE: &str =
    "goodput [--jobs N] [--seed N] [--time MILLISECONDS] [--flows N [--apart MILLISECONDS]] [--info] [WORD...]";

#[derive(Debug)]
struct Options {
    jobs: usize,
    seed: u64,
    /// Instead of each cell's own time.
    time: Option<Duration>,
    flows: u32,
    apart: Duration,
    info: bool,
    words: Vec<String>,
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        jobs: 1,
        seed: 1,
        time: None,
        flows: 1,
        apart: Duration::from_millis(200),
        info: false,
        words: Vec::new(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--jobs" => options.jobs = args.next()?.parse().ok()?,
            "--seed" => options.seed = args.next()?.parse().ok()?,
            "--time" => {
                let time = args.next()?.parse().ok().filter(|&time| time > 0)?;
                options.time = Some(Duration::from_millis(time));
            }
            "--flows" => options.flows = args.next()?.parse().ok().filter(|&flows| flows > 0)?,
            "--apart" => options.apart = Duration::from_millis(args.next()?.parse().ok()?),
            "--info" => options.info = true,
            word if word.starts_with('-') => return None,
            word => options.words.push(word.to_owned()),
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let chosen = |cell: &Cell| {
        let name = cell.to_string();
        options
            .words
            .iter()
            .all(|word| name.split(' ').any(|part| part == word))
    };
    let cells: Vec<Cell> = Cell::all().into_iter().chain(Cell::late()).filter(chosen).collect();
    if options.flows > 1 && !options.info {
        return share(&cells, &options);
    }
    if options.info {
        for cell in &cells {
            watch(cell, &options);
        }
        return ExitCode::SUCCESS;
    }
    let (next, figures) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let figure = cell.measure_for(options.time.unwrap_or(cell.time()), options.seed);
                    let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
                    figures.insert(cell.to_string(), figure);
                }
            });
        }
    });
    let figures = figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut outcome = ExitCode::SUCCESS;
    let table = table(&cells, |cell| match figures.get(&cell.to_string())? {
        Ok(figure) => Some(*figure),
        Err(why) => {
            eprintln!("goodput: {cell}: {why}");
            outcome = ExitCode::FAILURE;
            None
        }
    });
    print!("{table}");
    outcome
}

fn flows(cell: &Cell, options: &Options) -> Vec<(&'static str, Duration)> {
    (0..options.flows)
        .map(|flow| (cell.algorithm, options.apart * flow))
        .collect()
}

/// Several flows in one bottleneck.
fn share(cells: &[Cell], options: &Options) -> ExitCode {
    for cell in cells {
        let time = options.time.unwrap_or(cell.time());
        let shares = match carry(&cell.impairment(), &flows(cell, options), time, options.seed) {
            Ok(shares) => shares,
            Err(why) => {
                eprintln!("goodput: {cell}: {why}");
                return ExitCode::FAILURE;
            }
        };
        let mbit = |octets: &u64| format!("{:.2}", *octets as f64 * 8.0 / 1e6 / time.as_secs_f64());
        let each: Vec<String> = shares.iter().map(mbit).collect();
        let sum = mbit(&shares.iter().sum());
        println!(
            "{cell}: Jain {:.3}, {sum} Mbit/s: {}",
            fairness(&shares),
            each.join(" ")
        );
    }
    ExitCode::SUCCESS
}

/// Prints what the sender says of itself a hundred times.
fn watch(cell: &Cell, options: &Options) {
    let time = options.time.unwrap_or(cell.time());
    let (mut world, source, tally) = prepare(&cell.impairment(), &flows(cell, options), options.seed);
    println!("{cell}: {} packets of queue", cell.queue_packets());
    let mut before = 0;
    for part in 1..=100 {
        let until = Instant::ZERO + time * part / 100;
        while world.step(until) {}
        let sum: u64 = tally.flows().iter().sum();
        let rate = (sum - before) as f64 * 8.0 / 1e6 / (time.as_secs_f64() / 100.0);
        before = sum;
        let host = world.host(source);
        for info in host.sockets().filter_map(|socket| host.tcp_info(world.now(), socket)) {
            println!(
                "{:>9.3}s {rate:>8.2} Mbit/s {:?} cwnd {} ssthresh {} flight {} lost {} unsent {} wnd {} srtt {:.2?} min {:.2?} rto {:.0?} pace {:.1} rate {:.1} app {} retr {} spur {} reord {}",
                (world.now() - Instant::ZERO).as_secs_f64(),
                info.loss_state,
                info.cwnd / info.send_mss,
                if info.ssthresh == u32::MAX {
                    0
                } else {
                    info.ssthresh / info.send_mss
                },
                info.in_flight / info.send_mss,
                info.lost / info.send_mss,
                info.unsent / info.send_mss,
                info.send_window / info.send_mss,
                info.srtt,
                info.min_rtt,
                info.rto,
                info.pacing_rate.unwrap_or(0) as f64 * 8.0 / 1e6,
                info.delivery_rate as f64 * 8.0 / 1e6,
                info.app_limited,
                info.total_retransmissions,
                info.spurious_retransmissions,
                info.reordering_seen,
            );
        }
    }
    for lane in world.lanes() {
        println!("{:?}", lane.counters());
    }
    for node in world.nodes() {
        let host = world.host(node);
        let discards: Vec<_> = host.stack().discards().iter().collect();
        println!(
            "{}: {} octets held at most, {discards:?}",
            world.name(node),
            host.stack().memory().peak
        );
    }
}
