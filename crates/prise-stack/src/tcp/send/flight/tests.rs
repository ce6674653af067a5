use alloc::vec::Vec;

use super::*;
use crate::tcp::congestion::rate::RateSampler;

fn seq(n: u32) -> SeqNum {
    SeqNum(0xffff_fc00) + n
}

fn range(start: u32, end: u32) -> SackBlock {
    SackBlock {
        left: seq(start),
        right: seq(end),
    }
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn snapshot() -> SendSnapshot {
    RateSampler::default().on_send(Instant::ZERO, true, 0)
}

const NO_RTT: Duration = Duration::ZERO;

fn flight(count: u32) -> Flight {
    let mut flight = Flight::default();
    for i in 0..count {
        flight.push(seq(i * 1000), 1000, at(u64::from(i)), snapshot());
    }
    flight
}

#[test]
fn a_cumulative_acknowledgment_removes_whole_and_part_records() {
    let mut flight = flight(3);
    let mut delivery = Delivery::default();
    flight.acknowledge(seq(1500), at(10), NO_RTT, &mut delivery);
    assert_eq!(
        (delivery.acked, delivery.octets, flight.outstanding()),
        (1500, 1500, 1500)
    );
    assert_eq!(delivery.rtt, Some(Duration::from_millis(9)));
}

#[test]
fn a_selective_acknowledgment_cuts_records_at_its_edges_and_counts_once() {
    let mut flight = flight(1);
    flight.push(seq(1000), 10_000, at(1), snapshot());
    let mut delivery = Delivery::default();
    flight.sack(range(2000, 3000), at(10), NO_RTT, &mut delivery);
    flight.sack(range(2000, 3000), at(10), NO_RTT, &mut delivery);
    assert_eq!(
        (delivery.sacked, flight.sacked(), flight.in_flight()),
        (1000, 1000, 10_000)
    );
}

#[test]
fn what_arrived_behind_a_hole_is_one_record_however_it_was_told() {
    let mut flight = flight(6);
    let mut delivery = Delivery::default();
    for (from, to) in [(1000, 1500), (1500, 2000), (3000, 4500), (1000, 2500), (2500, 3000)] {
        flight.sack(range(from, to), at(10), NO_RTT, &mut delivery);
    }
    let lens: Vec<u32> = flight.records.iter().map(|record| record.len).collect();
    assert_eq!(lens, [1000, 3500, 500, 1000]);
    assert_eq!(
        (delivery.sacked, flight.sacked(), flight.in_flight()),
        (3500, 3500, 2500)
    );
}

#[test]
fn where_every_second_segment_of_a_large_window_is_lost_each_is_known() {
    let mut flight = Flight::default();
    flight.push(seq(0), 40_000 * 1448, at(0), snapshot());
    let mut delivery = Delivery::default();
    for number in 0..20_000 {
        let start = (2 * number + 1) * 1448;
        flight.sack(range(start, start + 1448), at(10), NO_RTT, &mut delivery);
    }
    assert_eq!((flight.records.len(), flight.sacked()), (40_000, 20_000 * 1448));
    // Octet by octet it ends.
    let mut flight = Flight::default();
    flight.push(seq(0), 100_000, at(0), snapshot());
    for number in 0..20_000 {
        flight.sack(range(2 * number + 1, 2 * number + 2), at(10), NO_RTT, &mut delivery);
    }
    assert!(flight.records.len() <= RECORDS_MAX + 1, "{}", flight.records.len());
}

#[test]
fn rack_takes_for_lost_what_left_a_window_before_the_delivered_one() {
    let mut flight = flight(5);
    let mut delivery = Delivery::default();
    flight.sack(range(3000, 4000), at(100), NO_RTT, &mut delivery);
    let latest = delivery.latest.expect("something was delivered");
    let (lost, wait) = flight.detect_lost(latest, Duration::from_millis(99), at(100));
    assert_eq!((lost, wait), (2000, Some(Duration::from_millis(1))));
    assert_eq!(flight.first_lost().map(|r| r.start), Some(seq(0)));
    flight.retransmitted(seq(0), 400, at(101), snapshot());
    assert_eq!(flight.first_lost().map(|r| (r.start, r.len)), Some((seq(400), 600)));
}

/// What the bounds spare, walked in full.
fn walk_lost(flight: &Flight, latest: Latest, patience: Duration, now: Instant) -> (Vec<SeqNum>, Option<Duration>) {
    let before = |record: &&Sent| {
        let same = record.sent_at == latest.sent_at && record.end().precedes(latest.end);
        record.sent_at < latest.sent_at || same
    };
    let candidates = flight
        .records
        .iter()
        .filter(|record| !record.is(SACKED | LOST))
        .filter(before);
    let (due, waiting): (Vec<&Sent>, Vec<&Sent>) = candidates.partition(|record| record.sent_at + patience <= now);
    let wait = waiting
        .iter()
        .map(|record| (record.sent_at + patience).saturating_since(now))
        .max();
    (due.iter().map(|record| record.start).collect(), wait)
}

#[test]
fn what_is_not_walked_would_not_be_lost() {
    for seed in 1..400_u64 {
        let mut state = seed;
        let mut draw = |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % u64::from(below)) as u32
        };
        let (mut flight, mut nxt, mut una) = (Flight::default(), 0, 0);
        for step in 1..300 {
            let now = at(step);
            let mut delivery = Delivery::default();
            match draw(8) {
                0 | 1 => {
                    let len = 10 * (1 + draw(5));
                    flight.push(seq(nxt), len, now, snapshot());
                    nxt += len;
                }
                // Not of the front: a peer that forgets what it reported leaves no order.
                2 | 3 if nxt > una + 1 => {
                    let start = una + 1 + draw(nxt - una - 1);
                    let block = range(start, (start + 10 + draw(40)).min(nxt));
                    flight.sack(block, now, Duration::ZERO, &mut delivery);
                }
                4 if draw(3) == 0 => {
                    una += draw(nxt - una + 1) / 2;
                    flight.acknowledge(seq(una), now, Duration::ZERO, &mut delivery);
                    while let Some(front) = flight.front().filter(|front| front.is(SACKED)).copied() {
                        una = front.end().distance_from(seq(0));
                        flight.acknowledge(front.end(), now, Duration::ZERO, &mut delivery);
                    }
                }
                5 => flight.forgive_lost(),
                6 if draw(8) == 0 => flight.lose_all(),
                _ => {
                    let first = flight.records.iter().find(|record| record.is(LOST)).copied();
                    assert_eq!(flight.first_lost().map(|it| it.start), first.map(|it| it.start));
                    if let Some(first) = first {
                        flight.retransmitted(first.start, first.len.min(10), now, snapshot());
                    }
                }
            }
            let Some(latest) = delivery.latest else { continue };
            let patience = Duration::from_millis(u64::from(draw(20)));
            let (due, wait) = walk_lost(&flight, latest, patience, now);
            let lost = |flight: &Flight| flight.records.iter().filter(|it| it.is(LOST)).count();
            let before = lost(&flight);
            let (_, waits) = flight.detect_lost(latest, patience, now);
            assert_eq!(lost(&flight) - before, due.len(), "seed {seed}, step {step}");
            assert!(
                due.iter().all(|&start| flight.is_lost(start)),
                "seed {seed}, step {step}"
            );
            assert_eq!(waits, wait, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_timeout_loses_all_but_the_selectively_acknowledged() {
    let mut flight = flight(4);
    flight.sack(range(1000, 2000), at(10), NO_RTT, &mut Delivery::default());
    flight.lose_all();
    assert_eq!((flight.lost(), flight.in_flight()), (3000, 0));
}

#[test]
fn a_peer_that_reneged_is_no_longer_believed() {
    let mut flight = flight(2);
    flight.sack(range(0, 1000), at(10), NO_RTT, &mut Delivery::default());
    flight.lose_all();
    assert_eq!((flight.lost(), flight.sacked()), (2000, 0));
}

#[test]
fn the_tail_can_be_isolated_for_a_probe() {
    let mut flight = flight(1);
    let tail = flight.isolate_tail(300).expect("there is a tail");
    assert_eq!((tail.start, tail.len), (seq(700), 300));
}
