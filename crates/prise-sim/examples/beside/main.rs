//! Linux's TCP and ours over the same bad paths, by the same seed, in real time: each against itself, against the other, and
//! beside the other in one bottleneck; and ours in virtual time.
//!
//! `cargo run -p prise-sim --release --example beside -- [ROUNDS] [WORD...]`, as root or where users may make namespaces: the
//! program starts itself again in a network namespace with one TUN device. Only rows are measured whose name holds every word. A word
//! such as `20s` is how long flows share a path, or how long a cell of the matrix is measured. The word `matrix` has the cells of the goodput matrix in place of the chosen ones, Linux and ours against themselves in turn.

mod linux;
mod ours;
mod path;

use path::{Flow, TIME, Whose, carry, open};
use prise_link::{ImpairmentConfig, TunLink};
use prise_sim::goodput::{self, Cell, Loss, fairness};
use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

const INSIDE: &str = "PRISE_BESIDE";
/// Flows that share a path need longer to find their shares; a word such as `20s` says how long.
const SHARED_TIME: Duration = Duration::from_secs(8);

/// By how much packets of flows that share a path come earlier or later: what the line takes for two packets, which is what one
/// acknowledgment lets out.
///
/// Without it, who is dropped is decided by who answers an acknowledgment some microseconds sooner: a full queue has a place when a packet has
/// left, round trips are of one length, and so each flow finds for ever what it found once (the phase effects of Floyd and Jacobson,
/// "On Traffic Phase Effects in Packet-Switched Gateways", 1992). The second packet of a pair was dropped ten times as often of ours as
/// of the kernel's, whose answers pass one more queue, of its device.
const PHASE: Duration = Duration::from_micros(240);

/// Who sends to whom, of one flow.
const PAIRS: [(Whose, Whose); 4] = [
    (Whose::Linux, Whose::Linux),
    (Whose::Ours, Whose::Ours),
    (Whose::Linux, Whose::Ours),
    (Whose::Ours, Whose::Linux),
];

/// So many of [`PAIRS`] are measured in the matrix.
const MATRIX_PAIRS: usize = 2;

const fn cell(algorithm: &'static str, rate: u64, rtt: u64, loss: Loss) -> Cell {
    Cell {
        algorithm,
        loss,
        rtt,
        rate,
        queue: 10,
    }
}

/// The paths that one flow is measured on.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for algorithm in ["cubic", "bbr"] {
        for loss in Loss::ALL.into_iter().chain([Loss::Late]) {
            cells.push(cell(algorithm, 100, 20, loss));
        }
        cells.push(cell(algorithm, 100, 1, Loss::Even(10)));
        cells.push(cell(algorithm, 1000, 20, Loss::Even(0)));
    }
    cells
}

/// The cells of the goodput matrix, and those that bring packets late.
fn matrix() -> Vec<Cell> {
    Cell::all().into_iter().chain(Cell::late()).collect()
}

/// The flows that share 100 Mbit/s at 20 ms: so many of Linux's and of ours, and the congestion control of all.
const SHARED: [(usize, usize, &str); 11] = [
    (8, 0, "cubic"),
    (4, 0, "cubic"),
    (0, 4, "cubic"),
    (1, 1, "cubic"),
    (2, 2, "cubic"),
    (4, 4, "cubic"),
    (4, 0, "bbr"),
    (0, 4, "bbr"),
    (1, 1, "bbr"),
    (2, 2, "bbr"),
    (4, 4, "bbr"),
];

fn main() -> ExitCode {
    if std::env::var_os(INSIDE).is_none() {
        return restart();
    }
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let rounds = words.first().and_then(|word| word.parse().ok());
    if rounds.is_some() {
        words.remove(0);
    }
    let rounds = rounds.unwrap_or(3).max(1);
    let whole = words.iter().position(|word| word == "matrix");
    if let Some(at) = whole {
        words.remove(at);
    }
    let time = words.iter().find_map(|word| seconds(word));
    words.retain(|word| seconds(word).is_none());
    let measured = open().and_then(|mut tun| {
        if whole.is_some() {
            return walk(&mut tun, rounds, &words, time.unwrap_or(TIME));
        }
        single(&mut tun, rounds, &words)?;
        shared(&mut tun, rounds, &words, time.unwrap_or(SHARED_TIME))
    });
    match measured {
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

fn seconds(word: &str) -> Option<Duration> {
    let count = word.strip_suffix('s')?.parse().ok().filter(|&count| count > 0)?;
    Some(Duration::from_secs(count))
}

fn is_chosen(name: &str, words: &[String]) -> bool {
    words.iter().all(|word| name.split(' ').any(|part| part == word))
}

/// One flow at a time.
fn single(tun: &mut TunLink, rounds: u64, words: &[String]) -> io::Result<()> {
    let cells: Vec<Cell> = cells()
        .into_iter()
        .filter(|cell| is_chosen(&cell.to_string(), words))
        .collect();
    if cells.is_empty() {
        return Ok(());
    }
    println!("One flow, medians of {rounds} seeds, Mbit/s; sender > receiver; real time but for the last column\n");
    println!(
        "{:<32}{:>9}{:>9}{:>8}{:>16}{:>16}{:>17}",
        "", "Linux", "prise", "ratio", "Linux > prise", "prise > Linux", "prise, virtual"
    );
    for cell in cells {
        let mut figures = [const { Vec::new() }; 5];
        for seed in 1..=rounds {
            let config = ImpairmentConfig {
                seed,
                ..cell.impairment()
            };
            measure_pairs(tun, &config, (cell.algorithm, TIME), &mut figures)?;
            let flows = [(cell.algorithm, Duration::ZERO)];
            let virtually = goodput::carry(&config, &flows, TIME, seed).map_err(io::Error::other)?;
            figures[4].push(mbit(&virtually, TIME));
        }
        let [linux, ours, to_ours, to_linux, virtually] = figures.map(median);
        println!(
            "{:<32}{linux:>9.1}{ours:>9.1}{:>8.2}{to_ours:>16.1}{to_linux:>16.1}{virtually:>17.1}",
            cell.to_string(),
            ours / linux.max(0.01),
        );
    }
    Ok(())
}

/// One flow of each pair of [`PAIRS`] for which there are figures.
fn measure_pairs(
    tun: &mut TunLink,
    config: &ImpairmentConfig,
    (algorithm, time): (&'static str, Duration),
    figures: &mut [Vec<f64>],
) -> io::Result<()> {
    for ((sender, receiver), figures) in PAIRS.into_iter().zip(figures) {
        let flow: Flow = (sender, receiver, algorithm);
        figures.push(mbit(&carry(tun, config, &[flow], time)?, time));
    }
    Ok(())
}

/// One flow at a time through the matrix, Linux and ours in turn.
fn walk(tun: &mut TunLink, rounds: u64, words: &[String], time: Duration) -> io::Result<()> {
    println!("One flow for {time:?} in real time, medians of {rounds} seeds, Mbit/s\n");
    println!("{:<32}{:>9}{:>9}{:>8}", "", "Linux", "prise", "ratio");
    for cell in matrix() {
        if !is_chosen(&cell.to_string(), words) {
            continue;
        }
        let mut figures = [const { Vec::new() }; MATRIX_PAIRS];
        for seed in 1..=rounds {
            let config = ImpairmentConfig {
                seed,
                ..cell.impairment()
            };
            measure_pairs(tun, &config, (cell.algorithm, time), &mut figures)?;
        }
        let [linux, ours] = figures.map(median);
        let ratio = ours / linux.max(0.01);
        println!("{:<32}{linux:>9.1}{ours:>9.1}{ratio:>8.2}", cell.to_string());
    }
    Ok(())
}

/// Several flows in one bottleneck.
fn shared(tun: &mut TunLink, rounds: u64, words: &[String], time: Duration) -> io::Result<()> {
    let path = ImpairmentConfig {
        jitter: PHASE,
        ..cell("", 100, 20, Loss::Even(0)).impairment()
    };
    let mut begun = false;
    for (linux, ours, algorithm) in SHARED {
        let name = format!("{algorithm} shared by {linux} of Linux and {ours} of prise");
        if !is_chosen(&name, words) {
            continue;
        }
        if !begun {
            println!("\nFlows that share 100 Mbit/s at 20 ms for {time:?}, means of {rounds} seeds\n");
            println!(
                "{:<44}{:>8}{:>9}{:>15}{:>14}",
                "", "Mbit/s", "Jain", "a Linux flow", "one of ours"
            );
            begun = true;
        }
        let flows: Vec<Flow> = [(Whose::Linux, linux), (Whose::Ours, ours)]
            .into_iter()
            .flat_map(|(whose, count)| std::iter::repeat_n((whose, whose, algorithm), count))
            .collect();
        let mut sums = vec![0.0; flows.len()];
        let mut index = 0.0;
        for seed in 1..=rounds {
            let arrived = carry(tun, &ImpairmentConfig { seed, ..path }, &flows, time)?;
            index += fairness(&arrived) / rounds as f64;
            for (sum, octets) in sums.iter_mut().zip(arrived) {
                *sum += mbit(&[octets], time) / rounds as f64;
            }
        }
        let mean = |sums: &[f64]| match sums.len() {
            0 => "-".to_owned(),
            count => format!("{:.1}", sums.iter().sum::<f64>() / count as f64),
        };
        println!(
            "{name:<44}{:>8.1}{index:>9.3}{:>15}{:>14}",
            sums.iter().sum::<f64>(),
            mean(&sums[..linux]),
            mean(&sums[linux..])
        );
    }
    Ok(())
}

/// Mbit/s of all flows together.
fn mbit(flows: &[u64], time: Duration) -> f64 {
    let octets: u64 = flows.iter().sum();
    octets as f64 * 8.0 / 1e6 / time.as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let (low, high) = ((figures.len() - 1) / 2, figures.len() / 2);
    f64::midpoint(figures[low], figures[high])
}
