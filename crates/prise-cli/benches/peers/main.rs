//! `prise run` beside the kernel, pasta and slirp4netns, in one run: `cargo bench -p prise-cli --bench peers [-- ROUNDS [WORD...]]`.
//!
//! The same program – this one – serves and asks each time; rounds go through all peers in turns, and medians are printed
//! with their ratio to the kernel's, because a machine's speed wanders. Nothing leaves the machine: servers are on its
//! loopback, other peers in namespaces that they make. What is not installed or not allowed is left out, with a reason; what fails, or is not
//! done in time, is said below its table. With words only those rows are measured whose table's name and own hold every word: `5
//! published connections`.
//!
//! - *within*: two processes, natively and in one run, and there with `--no-join`; then redis, nginx and iperf3;
//! - *outbound*: the server is the host's, the client the kernel's, prise's (handed over, and with `--no-join` by its own
//!   TCP), or in the peer's namespace;
//! - *published*: the client is the host's, the server behind a port that is forwarded;
//! - *calls*: what one call costs, natively and judged.

mod load;
mod world;

use std::collections::BTreeMap;

use load::Figure;
use world::{Peer, Way};

const FLOW_ROWS: [(&str, &str); 6] = [
    ("bulk there", "Gbit/s"),
    ("bulk back", "Gbit/s"),
    ("64 B request, p50", "µs"),
    ("64 B request, p99", "µs"),
    ("connections, one client", "/s"),
    ("connections, 4 clients", "/s"),
];

const PROGRAM_ROWS: [(&str, &str); 4] = [
    ("redis-benchmark GET", "/s"),
    ("redis-benchmark GET -P 16", "/s"),
    ("wrk on nginx", "/s"),
    ("iperf3", "Gbit/s"),
];

/// A table: its name, its rows with their units, who is compared, and what measures the chosen rows of one of them.
struct Table<'a> {
    title: &'a str,
    rows: &'a [(&'a str, &'a str)],
    peers: &'a [Peer],
    measure: fn(Peer, &[usize]) -> Vec<Figure>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_chosen = |rows: &[&str], row: usize| rows.iter().any(|it| it.parse() == Ok(row));
    match words.as_slice() {
        ["serve", port] => load::serve(port),
        ["ask", address, rows @ ..] => {
            print_lines(&load::ask(address.parse().expect("an address"), &|row| {
                is_chosen(rows, row)
            }));
        }
        ["calls"] => print_lines(&load::calls()),
        ["pair", rows @ ..] => print_lines(&world::pair(&|row| is_chosen(rows, row))),
        other => {
            let rounds: Option<usize> = other.first().and_then(|text| text.parse().ok());
            compare(rounds.unwrap_or(3), &other[usize::from(rounds.is_some())..]);
        }
    }
}

/// A line for each figure; one that does not begin with a number says why there is none.
fn print_lines(figures: &[Figure]) {
    for figure in figures {
        match figure {
            Ok(value) => println!("{value}"),
            Err(why) => println!("{why}"),
        }
    }
}

fn compare(rounds: usize, words: &[&str]) {
    use Peer::{Kernel, PastaSpliced, PastaTap, Prise, PriseWithoutJoining, Slirp};

    println!("medians of {rounds} rounds, all peers in turns; in brackets the ratio to the kernel\n");
    let calls = load::CALL_NAMES.map(|name| (name, "ns"));
    let tables = [
        Table {
            title: "within",
            rows: &FLOW_ROWS,
            peers: &[Kernel, Prise, PriseWithoutJoining],
            measure: world::within,
        },
        Table {
            title: "programs within",
            rows: &PROGRAM_ROWS,
            peers: &[Kernel, Prise, PriseWithoutJoining],
            measure: world::programs,
        },
        Table {
            title: "outbound",
            rows: &FLOW_ROWS,
            peers: &[Kernel, Prise, PriseWithoutJoining, PastaSpliced, PastaTap, Slirp],
            measure: |peer, rows| world::across(peer, Way::Outbound, rows),
        },
        Table {
            title: "published",
            rows: &FLOW_ROWS,
            peers: &[Kernel, Prise, PriseWithoutJoining, PastaSpliced, Slirp],
            measure: |peer, rows| world::across(peer, Way::Published, rows),
        },
        Table {
            title: "calls",
            rows: &calls,
            peers: &[Kernel, Prise],
            measure: |peer, _| world::calls(peer),
        },
    ];
    for table in tables {
        let rows: Vec<usize> = (0..table.rows.len())
            .filter(|&row| holds(&format!("{} {}", table.title, table.rows[row].0), words))
            .collect();
        if !rows.is_empty() {
            table.show(rounds, &rows);
        }
    }
}

/// Whether a row's name holds every word.
fn holds(name: &str, words: &[&str]) -> bool {
    let parts: Vec<&str> = name.split([' ', ',']).collect();
    words.iter().all(|word| parts.contains(word))
}

impl Table<'_> {
    /// Measures all peers in turns and prints the medians of these rows.
    fn show(&self, rounds: usize, rows: &[usize]) {
        let present: Vec<Peer> = self
            .peers
            .iter()
            .copied()
            .filter(|&peer| world::is_present(peer))
            .collect();
        let mut figures: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
        let mut failures = Vec::new();
        for round in 1..=rounds {
            for (index, &peer) in present.iter().enumerate() {
                let measured = (self.measure)(peer, rows);
                for &row in rows {
                    match measured.get(row) {
                        Some(Ok(value)) => figures.entry((index, row)).or_default().push(*value),
                        other => {
                            let why = other.and_then(|it| it.as_ref().err());
                            let why = why.map_or("nothing was told", String::as_str);
                            let (peer, row) = (peer.name(), self.rows[row].0);
                            failures.push(format!("  {peer}, {row}: failed in round {round}: {why}"));
                        }
                    }
                }
            }
        }
        print!("{:<28}", self.title);
        for peer in &present {
            print!("{:>20}", peer.name());
        }
        println!();
        for &row in rows {
            let (name, unit) = self.rows[row];
            print!("{:<28}", format!("{name}, {unit}"));
            let kernel = median(figures.get(&(0, row)));
            for index in 0..present.len() {
                let cell = match (median(figures.get(&(index, row))), kernel) {
                    (None, _) => "failed".to_owned(),
                    (Some(value), Some(kernel)) if index > 0 => format!("{value:.1} ({:.2})", value / kernel),
                    (Some(value), _) => format!("{value:.1}"),
                };
                print!("{cell:>20}");
            }
            println!();
        }
        for failure in failures {
            println!("{failure}");
        }
        println!();
    }
}

fn median(rounds: Option<&Vec<f64>>) -> Option<f64> {
    let mut values = rounds?.clone();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
