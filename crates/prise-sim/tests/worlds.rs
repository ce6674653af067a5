//! Whole worlds, a few seeds of each family; `--example swarm` runs as many as there is time for.

use prise_sim::scenario::{Layout, Workload};
use prise_sim::{Family, Scenario, run};

fn all_are_well(family: Family, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(failure) = run(&Scenario::new(family, seed)) {
            panic!("seed {seed}: {failure}");
        }
    }
}

#[test]
fn a_megabyte_each_way_arrives_whole_under_loss_reordering_duplication_and_corruption() {
    all_are_well(Family::Target, 0..40);
}

#[test]
fn whatever_the_workload_and_the_wire_all_arrives_and_nothing_is_left() {
    all_are_well(Family::Pair, 0..1000);
}

#[test]
fn whatever_befalls_a_network_all_arrives_or_breaks_with_an_error_and_nothing_is_left() {
    all_are_well(Family::Network, 0..1500);
}

#[test]
fn a_peer_that_sends_any_segment_disturbs_nobody_and_leaves_nothing() {
    all_are_well(Family::Hostile, 0..500);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in 0..5 {
        let scenario = Scenario::new(Family::Swarm, seed);
        let [first, second] = [(); 2].map(|()| run(&scenario).unwrap_or_else(|failure| panic!("{failure}")));
        assert_eq!((first.took, first.frames), (second.took, second.frames));
    }
}

#[test]
fn a_failure_names_its_seed_and_shows_how_it_came_about() {
    let mut scenario = Scenario::new(Family::Target, 1);
    let Layout::Pair(_, Workload::Streams(agreement)) = &mut scenario.layout else {
        panic!("the target scenario is a stream")
    };
    agreement.server_plan.expect += 1;
    let failure = run(&scenario).expect_err("one octet more is expected than is sent");
    assert!(
        failure.why.contains("the stream ended after 1048576 of 1048577 octets"),
        "{}",
        failure.why
    );
    assert!(
        failure.replay.ends_with("--scenario target --seed 1 --trace"),
        "{}",
        failure.replay
    );
    assert!(
        failure.trace.iter().any(|line| line.contains("FIN")),
        "{:#?}",
        failure.trace
    );
}

/// Seeds of the swarm that were flagged once: a shut window that hid a timeout, a server that lost power between two
/// answers to one SYN with data, a SYN with data that came twice before its first answer had left, a window that stayed shut for longer
/// than a closed connection waits for an answer.
#[test]
fn what_was_flagged_once_is_well() {
    for seed in [6_137_570, 6_241_260, 30_535_485, 40_684_561] {
        all_are_well(Family::Swarm, seed..seed + 1);
    }
}
