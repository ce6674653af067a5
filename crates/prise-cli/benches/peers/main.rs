//! `prise run` beside the kernel, pasta and slirp4netns, in one run: `cargo bench -p prise-cli --bench peers [-- ROUNDS]`.
//!
//! The same program – this one – serves and asks each time; rounds go through all peers in turns, and medians are printed
//! with their ratio to the kernel's, because a machine's speed wanders. Nothing leaves the machine: servers are on its
//! loopback, other peers in namespaces that they make. What is not installed or not allowed is left out, with a reason.
//!
//! - *within*: two processes, natively and in one run, and there with `--no-join`; then redis, nginx and iperf3;
//! - *outbound*: the server is the host's, the client the kernel's, prise's (handed over, and with `--no-join` by its own
//!   TCP), or in the peer's namespace;
//! - *published*: the client is the host's, the server behind a port that is forwarded;
//! - *calls*: what one call costs, natively and judged.

mod load;
mod world;

use std::collections::BTreeMap;

use world::{Figures, Peer, Way};

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

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", port] => load::serve(port),
        ["ask", address] => print_line(&load::ask(address.parse().expect("an address"))),
        ["calls"] => print_line(&load::calls()),
        ["pair"] => print_line(&world::pair()),
        other => compare(other.first().and_then(|text| text.parse().ok()).unwrap_or(3)),
    }
}

/// What is missing is a word that is no number.
fn print_line(figures: &[Option<f64>]) {
    let word = |figure: &Option<f64>| figure.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let words: Vec<String> = figures.iter().map(word).collect();
    println!("{}", words.join(" "));
}

fn compare(rounds: usize) {
    println!("medians of {rounds} rounds, all peers in turns; in brackets the ratio to the kernel\n");
    let prise = [Peer::Prise, Peer::PriseWithoutJoining];
    table(
        "within",
        &FLOW_ROWS,
        rounds,
        &[&[Peer::Kernel], &prise[..]].concat(),
        &|peer| world::within(peer),
    );
    table(
        "programs within",
        &PROGRAM_ROWS,
        rounds,
        &[&[Peer::Kernel], &prise[..]].concat(),
        &|peer| Some(world::programs(peer)),
    );
    let everybody = [
        Peer::Kernel,
        Peer::Prise,
        Peer::PriseWithoutJoining,
        Peer::PastaSpliced,
        Peer::PastaTap,
        Peer::Slirp,
    ];
    table("outbound", &FLOW_ROWS, rounds, &everybody, &|peer| {
        world::across(peer, Way::Outbound)
    });
    let everybody = [
        Peer::Kernel,
        Peer::Prise,
        Peer::PriseWithoutJoining,
        Peer::PastaSpliced,
        Peer::Slirp,
    ];
    table("published", &FLOW_ROWS, rounds, &everybody, &|peer| {
        world::across(peer, Way::Published)
    });
    let rows = load::CALL_NAMES.map(|name| (name, "ns"));
    table("calls", &rows, rounds, &[Peer::Kernel, Peer::Prise], &|peer| {
        world::calls(peer)
    });
}

/// Measures all peers in turns and prints their medians.
fn table(title: &str, rows: &[(&str, &str)], rounds: usize, peers: &[Peer], measure: &dyn Fn(Peer) -> Option<Figures>) {
    let present: Vec<Peer> = peers.iter().copied().filter(|&peer| world::is_present(peer)).collect();
    let mut figures: BTreeMap<usize, Vec<Figures>> = BTreeMap::new();
    for _ in 0..rounds {
        for (index, &peer) in present.iter().enumerate() {
            if let Some(measured) = measure(peer) {
                figures.entry(index).or_default().push(measured);
            }
        }
    }
    print!("{title:<28}");
    for peer in &present {
        print!("{:>20}", peer.name());
    }
    println!();
    for (row, (name, unit)) in rows.iter().enumerate() {
        print!("{:<28}", format!("{name}, {unit}"));
        let kernel = median(figures.get(&0), row);
        for index in 0..present.len() {
            let value = median(figures.get(&index), row);
            let cell = match (value, kernel) {
                (None, _) => "-".to_owned(),
                (Some(value), Some(kernel)) if index > 0 => format!("{value:.1} ({:.2})", value / kernel),
                (Some(value), _) => format!("{value:.1}"),
            };
            print!("{cell:>20}");
        }
        println!();
    }
    println!();
}

fn median(rounds: Option<&Vec<Figures>>, row: usize) -> Option<f64> {
    let mut values: Vec<f64> = rounds?
        .iter()
        .filter_map(|figures| figures.get(row).copied().flatten())
        .collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
