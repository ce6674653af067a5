//! The cheap cells of the goodput matrix against the snapshot in `goodput.txt`, which is the output of
//! `cargo run -p prise-sim --release --example goodput`. Fairness among our own flows.

use prise_sim::goodput::{Cell, Loss, carry, fairness, table};
use std::time::Duration;

/// What the snapshot says, line by line, with the figures apart.
fn snapshot() -> Vec<(String, Vec<String>)> {
    let lines = include_str!("goodput.txt").lines().skip(1);
    let parts = lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, figures) = words.split_at(words.len() - Loss::ALL.len());
        (
            name.join(" "),
            figures.iter().map(|&figure| figure.to_owned()).collect(),
        )
    });
    parts.collect()
}

#[test]
fn the_matrix_is_what_the_snapshot_says() {
    let cells: Vec<Cell> = Cell::all()
        .into_iter()
        .filter(|cell| cell.rate == 10 && cell.queue == 10)
        .collect();
    let measured = table(&cells, |cell| cell.measure(1).ok());
    let snapshot = snapshot();
    assert_eq!(snapshot.len(), 54, "the snapshot holds the whole matrix");
    for line in measured.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, figures) = words.split_at(words.len() - Loss::ALL.len());
        let name = name.join(" ");
        let kept = snapshot.iter().find(|(known, _)| *known == name);
        assert_eq!(
            kept.map(|(_, figures)| figures.join(" ")),
            Some(figures.join(" ")),
            "{name}: run `cargo run -p prise-sim --release --example goodput -- --jobs 2 > crates/prise-sim/tests/goodput.txt`, \
             look at every cell that became worse, and say why in the commit"
        );
    }
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
