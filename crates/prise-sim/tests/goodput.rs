//! The cheap cells of the goodput matrix against the snapshot in `goodput.txt`, which is the output of
//! `cargo run -p prise-sim --release --example goodput`. Fairness among our own flows.

use prise_link::{ImpairmentConfig, Probability};
use prise_sim::fault::Fault;
use prise_sim::goodput::{Cell, Loss, carry, fairness, prepare, table};
use prise_wire::Instant;
use std::num::NonZeroU64;
use std::time::Duration;

/// Words before a row's figures: algorithm, rate, round trip, queue.
const NAME: usize = 4;

/// What the snapshot says, line by line, with the figures apart. Of those of late packets, in the last column, the other test
/// takes care.
fn snapshot() -> Vec<(String, Vec<String>)> {
    let lines = include_str!("goodput.txt").lines().skip(1);
    let parts = lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, figures) = words.split_at(NAME);
        (
            name.join(" "),
            figures.iter().map(|&figure| figure.to_owned()).collect(),
        )
    });
    parts.collect()
}

/// So much of the snapshot's figure must be reached: chance falls differently whenever the stack sends one segment more or
/// less, and bursts of losses make the most of that.
fn least(loss: Loss) -> f64 {
    match loss {
        Loss::Even(0) | Loss::Late => 0.97,
        Loss::Even(_) => 0.8,
        Loss::Burst => 0.4,
    }
}

#[test]
fn no_cell_falls_behind_the_snapshot() {
    // Short paths with small queues show first whether bursts have grown.
    let cheap = |cell: &Cell| match (cell.rate, cell.queue) {
        (10, 10) => true,
        (100, 5) => cell.algorithm == "cubic" && cell.rtt == 1,
        _ => false,
    };
    let cells: Vec<Cell> = Cell::all().into_iter().filter(cheap).collect();
    let measured = table(&cells, |cell| cell.measure(1).ok());
    let snapshot = snapshot();
    assert_eq!(snapshot.len(), 54, "the snapshot holds the whole matrix");
    for line in measured.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, figures) = words.split_at(NAME);
        let name = name.join(" ");
        let (_, kept) = snapshot
            .iter()
            .find(|(known, _)| *known == name)
            .expect("the snapshot has the row");
        for ((loss, figure), kept) in Loss::ALL.into_iter().zip(figures).zip(kept) {
            let (figure, kept): (f64, f64) = (figure.parse().expect("a figure"), kept.parse().expect("a figure"));
            assert!(
                figure >= kept * least(loss),
                "{name} {loss}: {figure} Mbit/s, {kept} before; if that is right, run \
                 `cargo run -p prise-sim --release --example goodput -- --jobs 2 > crates/prise-sim/tests/goodput.txt` and look at \
                 every cell that became worse"
            );
        }
    }
}

#[test]
fn reordering_alone_costs_nothing() {
    for algorithm in ["cubic", "bbr"] {
        for (rate, rtt) in [(10, 1), (10, 20), (10, 100), (100, 20)] {
            let [in_order, late] = [Loss::Even(0), Loss::Late].map(|loss| {
                let cell = Cell {
                    algorithm,
                    loss,
                    rtt,
                    rate,
                    queue: 10,
                };
                cell.measure(1).expect("it connects")
            });
            assert!(
                late >= in_order * least(Loss::Late),
                "{algorithm}, {rate} Mbit/s, {rtt} ms: {late} Mbit/s where 2 % come 3 ms late, else {in_order}"
            );
        }
    }
}

/// netem's `delay 10ms reorder 20%`: a fifth of the packets does not wait. Once in 25 a packet and its acknowledgment both come early, so
/// that the least round trip is nothing. RACK's window and BBR's then have to grow by something else.
#[test]
fn packets_that_come_early_do_not_make_the_path_a_short_one() {
    for (algorithm, least) in [("cubic", 6_000_000), ("bbr", 2_500_000)] {
        let mut octets: Vec<u64> = (1..=5)
            .map(|seed| {
                let path = ImpairmentConfig {
                    seed,
                    delay: Duration::from_millis(10),
                    reorder: Probability::new(0.2).expect("a probability"),
                    rate: NonZeroU64::new(100_000_000),
                    queue: NonZeroU64::new(1000),
                    ..ImpairmentConfig::default()
                };
                let flow = [(algorithm, Duration::ZERO)];
                carry(&path, &flow, Duration::from_secs(2), seed).expect("it connects")[0]
            })
            .collect();
        octets.sort_unstable();
        assert!(octets[2] >= least, "{algorithm}: {octets:?} octets in two seconds");
    }
}

/// At a gigabit there is always something late, some of it by more than the round trip.
#[test]
fn reordering_costs_little_at_a_gigabit() {
    for (rtt, least) in [(1, 0.97), (20, 0.97)] {
        let [in_order, late] = [Loss::Even(0), Loss::Late].map(|loss| {
            let cell = Cell {
                algorithm: "cubic",
                loss,
                rtt,
                rate: 1000,
                queue: 10,
            };
            let flow = [(cell.algorithm, Duration::ZERO)];
            let octets = carry(&cell.impairment(), &flow, Duration::from_secs(2), 1).expect("it connects");
            octets[0] as f64
        });
        assert!(
            late >= in_order * least,
            "{rtt} ms: {late} octets where 2 % come 3 ms late, else {in_order}"
        );
    }
}

/// Round trips of 40 ms, and timeouts of minutes: what had arrived long before was taken for what the answer to a repetition measures,
/// and three timeouts in a row for a path that swallows large segments.
#[test]
fn a_fifth_of_the_packets_lost_makes_no_long_round_trips_and_few_small_segments() {
    let path = ImpairmentConfig {
        delay: Duration::from_millis(20),
        loss: Probability::new(0.2).expect("a probability"),
        ..ImpairmentConfig::default()
    };
    let mut octets = Vec::new();
    let mut small = 0;
    for seed in 1..=7 {
        let flow = [("cubic", Duration::ZERO)];
        let (mut world, source, tally) = prepare(&ImpairmentConfig { seed, ..path }, &flow, seed);
        for second in 1..=100 {
            while world.step(Instant::ZERO + Duration::from_secs(second)) {}
            assert_eq!(world.complaint(), None);
            let (now, host) = (world.now(), world.host(source));
            let infos = host.sockets().filter_map(|socket| host.tcp_info(now, socket));
            for info in infos {
                assert!(info.srtt < Duration::from_millis(200), "seed {seed}: {:?}", info.srtt);
                small += u32::from(info.send_mss < 1400);
            }
        }
        octets.push(tally.flows().iter().sum::<u64>());
    }
    assert!(small < 100, "{small} of 700 seconds with small segments");
    octets.sort_unstable();
    assert!(octets[0] > 0, "{octets:?}: none is stuck");
    assert!(octets[3] >= 1_200_000, "{octets:?} octets in a hundred seconds");
}

/// `--example stall` has more of these.
#[test]
fn a_host_that_sleeps_most_of_the_time_keeps_its_pace() {
    let cell = Cell {
        algorithm: "bbr",
        loss: Loss::Even(0),
        rtt: 20,
        rate: 100,
        queue: 10,
    };
    let (mut world, node, tally) = prepare(&cell.impairment(), &[(cell.algorithm, Duration::ZERO)], 1);
    let (end, time) = (Instant::ZERO + Duration::from_secs(2), Duration::from_millis(8));
    let mut at = Instant::ZERO;
    while at < end {
        world.schedule(at, Fault::Sleep { node, time });
        at += Duration::from_millis(10);
    }
    while world.step(end) {}
    let rate = tally.flows()[0] as f64 * 8.0 / 1e6 / 2.0;
    assert!(rate >= 80.0, "asleep for 8 of 10 ms: {rate} of 100 Mbit/s");
}

#[test]
fn flows_share_a_bottleneck_fairly() {
    let cell = Cell {
        algorithm: "cubic",
        loss: Loss::Even(0),
        rtt: 20,
        rate: 10,
        queue: 10,
    };
    for algorithm in ["cubic", "bbr"] {
        for flows in if algorithm == "cubic" { [2_u64, 8] } else { [2, 3] } {
            let starts: Vec<_> = (0..flows)
                .map(|flow| (algorithm, Duration::from_millis(200 * flow)))
                .collect();
            let shares = carry(&cell.impairment(), &starts, Duration::from_mins(1), 1).expect("all flows connect");
            let index = fairness(&shares);
            assert_eq!(shares.len() as u64, flows);
            assert!(index >= 0.9, "{flows} {algorithm} flows: {index:.3} of {shares:?}");
        }
    }
}
