use alloc::vec::Vec;

use super::delivery::RoundTrips;
use super::*;
use crate::tcp::congestion::rate::RateSampler;
use crate::tcp::connection::timestamp_clock;
use crate::tcp::loss::rtt::RttEstimator;

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

fn delivery_at(millis: u64) -> Delivery {
    Delivery::new(at(millis), Duration::ZERO, None, 1000)
}

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
    let mut delivery = delivery_at(10);
    flight.acknowledge(seq(1500), &mut delivery);
    assert_eq!(
        (delivery.acked, delivery.octets, flight.outstanding()),
        (1500, 1500, 1500)
    );
    let (first, last) = (Duration::from_millis(10), Duration::from_millis(9));
    assert_eq!(delivery.round_trips(), Some(RoundTrips { first, last }));
}

/// Three segments, of which the first is sent again after 300 ms, and what an acknowledgment 20 ms later tells.
fn after_a_repetition(echo: Option<u32>, take: impl FnOnce(&mut Flight, &mut Delivery)) -> Delivery {
    let mut flight = flight(3);
    flight.lose_all();
    flight.retransmitted(seq(0), 1000, at(300), snapshot());
    let mut delivery = Delivery::new(at(320), Duration::from_millis(15), echo, 1000);
    take(&mut flight, &mut delivery);
    delivery
}

fn srtt_after(delivery: &Delivery) -> Option<u128> {
    let mut rtt = RttEstimator::new();
    rtt.take(delivery.now, delivery.round_trips()?);
    Some(rtt.srtt().as_millis())
}

// rfc: 6298 §3
#[test]
fn what_is_acknowledged_with_a_repetition_may_have_waited_for_it_and_gives_no_round_trip() {
    let delivery = after_a_repetition(None, |flight, delivery| flight.acknowledge(seq(3000), delivery));
    assert_eq!((delivery.acked, delivery.round_trips()), (3000, None));
    assert_eq!(srtt_after(&delivery), None);
    let reported_before = after_a_repetition(None, |flight, delivery| {
        flight.retransmitted(seq(1000), 1000, at(301), snapshot());
        flight.sack(range(1000, 2000), &mut delivery_at(310));
        flight.acknowledge(seq(1000), &mut delivery_at(311));
        flight.acknowledge(seq(3000), delivery);
    });
    assert_eq!(reported_before.round_trips(), None, "nor beside one that was reported");
}

// rfc: 7323 §4
#[test]
fn the_echo_gives_a_round_trip_where_karn_forbids_one_and_bounds_a_report_that_came_late() {
    let echo = Some(timestamp_clock(at(300)));
    let delivery = after_a_repetition(echo, |flight, delivery| flight.acknowledge(seq(3000), delivery));
    assert_eq!(srtt_after(&delivery), Some(20));
    let reported = after_a_repetition(echo, |flight, delivery| {
        flight.acknowledge(seq(1000), delivery);
        flight.sack(range(2000, 3000), delivery);
    });
    let (first, last) = (Duration::from_millis(20), Duration::from_millis(21));
    assert_eq!(
        reported.round_trips(),
        Some(RoundTrips { first, last }),
        "it left 318 ms ago, and congestion control believes that as little"
    );
    assert_eq!(srtt_after(&reported), Some(20));
}

#[test]
fn the_answer_to_a_duplicate_says_nothing_of_when_the_rest_arrived() {
    let echo = Some(timestamp_clock(at(0)));
    let mut delivery = after_a_repetition(echo, |flight, delivery| flight.acknowledge(seq(3000), delivery));
    delivery.answers_duplicate = true;
    assert_eq!(srtt_after(&delivery), None);
}

#[test]
fn the_echo_bounds_nothing_where_no_repetition_is_acknowledged() {
    let mut flight = flight(2);
    let mut delivery = Delivery::new(at(100), Duration::ZERO, Some(timestamp_clock(at(60))), 1000);
    flight.acknowledge(seq(1000), &mut delivery);
    assert_eq!(
        srtt_after(&delivery),
        Some(100),
        "the receiver may have waited, and echo what came last"
    );
}

#[test]
fn the_least_round_trip_is_that_of_the_segment_that_left_last() {
    let mut flight = flight(3);
    let mut delivery = delivery_at(20);
    flight.acknowledge(seq(3000), &mut delivery);
    let mut rtt = RttEstimator::new();
    rtt.take(delivery.now, delivery.round_trips().expect("it measures"));
    let (srtt, least) = (Duration::from_millis(20), Duration::from_millis(18));
    assert_eq!((rtt.srtt(), rtt.min_rtt()), (srtt, Some(least)));
}

#[test]
fn the_clock_of_timestamps_does_not_make_the_least_round_trip_too_short() {
    let sent_at = Instant::ZERO + Duration::from_micros(300_050);
    let mut flight = flight(1);
    flight.lose_all();
    flight.retransmitted(seq(0), 1000, sent_at, snapshot());
    let now = sent_at + Duration::from_micros(1900);
    let mut delivery = Delivery::new(now, Duration::ZERO, Some(timestamp_clock(sent_at)), 1000);
    flight.acknowledge(seq(1000), &mut delivery);
    let mut rtt = RttEstimator::new();
    rtt.take(delivery.now, delivery.round_trips().expect("it measures"));
    assert!(rtt.min_rtt() >= Some(Duration::from_micros(1900)), "{rtt:?}");
}

/// The echo is that of the last segment in order: it is older than any repetition that fills a hole farther on.
#[test]
fn the_arrival_of_a_repetition_behind_a_hole_tells_that_an_earlier_one_is_lost() {
    let mut flight = flight(3);
    flight.lose_all();
    flight.retransmitted(seq(0), 1000, at(300), snapshot());
    flight.retransmitted(seq(1000), 1000, at(301), snapshot());
    let mut delivery = Delivery::new(at(321), Duration::from_millis(15), Some(timestamp_clock(at(0))), 1000);
    flight.sack(range(1000, 2000), &mut delivery);
    let latest = delivery.latest.expect("the repetition arrived");
    assert_eq!(flight.detect_lost(latest, Duration::from_millis(20), at(321)).0, 1000);
    assert!(flight.is_lost(seq(0)));
}

#[test]
fn a_selective_acknowledgment_cuts_records_at_its_edges_and_counts_once() {
    let mut flight = flight(1);
    flight.push(seq(1000), 10_000, at(1), snapshot());
    let mut delivery = Delivery::default();
    flight.sack(range(2000, 3000), &mut delivery);
    flight.sack(range(2000, 3000), &mut delivery);
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
        flight.sack(range(from, to), &mut delivery);
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
        flight.sack(range(start, start + 1448), &mut delivery);
    }
    assert_eq!((flight.records.len(), flight.sacked()), (40_000, 20_000 * 1448));
    // Octet by octet it ends.
    let mut flight = Flight::default();
    flight.push(seq(0), 100_000, at(0), snapshot());
    for number in 0..20_000 {
        flight.sack(range(2 * number + 1, 2 * number + 2), &mut delivery);
    }
    assert!(flight.records.len() <= RECORDS_MAX + 1, "{}", flight.records.len());
}

#[test]
fn rack_takes_for_lost_what_left_a_window_before_the_delivered_one() {
    let mut flight = flight(5);
    let mut delivery = delivery_at(100);
    flight.sack(range(3000, 4000), &mut delivery);
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
            let mut delivery = delivery_at(step);
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
                    flight.sack(block, &mut delivery);
                }
                4 if draw(3) == 0 => {
                    una += draw(nxt - una + 1) / 2;
                    flight.acknowledge(seq(una), &mut delivery);
                    while let Some(front) = flight.front().filter(|front| front.is(SACKED)).copied() {
                        una = front.end().distance_from(seq(0));
                        flight.acknowledge(front.end(), &mut delivery);
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
    flight.sack(range(1000, 2000), &mut Delivery::default());
    flight.lose_all();
    assert_eq!((flight.lost(), flight.in_flight()), (3000, 0));
}

#[test]
fn a_peer_that_reneged_is_no_longer_believed() {
    let mut flight = flight(2);
    flight.sack(range(0, 1000), &mut Delivery::default());
    flight.lose_all();
    assert_eq!((flight.lost(), flight.sacked()), (2000, 0));
}

#[test]
fn the_tail_can_be_isolated_for_a_probe() {
    let mut flight = flight(1);
    let tail = flight.isolate_tail(300).expect("there is a tail");
    assert_eq!((tail.start, tail.len), (seq(700), 300));
}
