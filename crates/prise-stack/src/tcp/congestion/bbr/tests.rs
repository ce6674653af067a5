//! BBR on a path of two numbers: what arrives is what the bottleneck lets through, and the round trip is that of the path and of
//! the queue in front of it.

use super::*;

const MSS: u32 = 1000;
const RTT: Duration = Duration::from_millis(20);
/// Octets per second: 100 segments in a round trip.
const RATE: u64 = 5_000_000;

/// One sender and its path, moved a round trip at a time.
struct Path {
    bbr: Bbr,
    cwnd: u32,
    now: Instant,
    delivered: u64,
    /// Octets that wait in front of the bottleneck after each round.
    queue: u64,
    /// At most so many do.
    room: u64,
    base: Duration,
    /// Of a hundred octets so many are lost before they come to the bottleneck.
    toll: u64,
}

impl Path {
    fn new(room: u64) -> Self {
        let mut bbr = Bbr::new();
        bbr.start(10 * MSS, RTT);
        Self {
            bbr,
            cwnd: 10 * MSS,
            now: Instant::ZERO + Duration::from_secs(1),
            delivered: 0,
            queue: 0,
            room,
            base: RTT,
            toll: 0,
        }
    }

    /// What the sender lets go in a round trip arrives as fast as the bottleneck lets it; answers the share of the path used.
    fn round(&mut self) -> f64 {
        let waiting = Duration::from_nanos(self.queue * 1_000_000_000 / RATE);
        let rtt = self.base + waiting;
        let sent = (u128::from(self.bbr.pacing_rate()) * rtt.as_nanos() / 1_000_000_000) as u64;
        let sent = sent.min(u64::from(self.cwnd));
        let capacity = (u128::from(RATE) * rtt.as_nanos() / 1_000_000_000) as u64;
        let strayed = sent * self.toll / 100;
        let come = sent - strayed;
        let arrived = come.min(capacity);
        // What stays below the pipe's product is no queue.
        let product = (u128::from(RATE) * self.base.as_nanos() / 1_000_000_000) as u64;
        let grown = come.saturating_sub(product);
        let lost = grown.saturating_sub(self.room) + strayed;
        self.queue = grown.min(self.room);
        self.now += rtt;
        let prior = self.delivered;
        self.delivered += arrived;
        let rate = (u128::from(arrived) * 1_000_000_000 / rtt.as_nanos()) as u64;
        let ack = BbrAck {
            now: self.now,
            sample: Some(RateSample {
                rate,
                delivered: arrived,
                prior_delivered: prior,
                tx_in_flight: sent as u32,
                lost: lost as u32,
                app_limited: false,
            }),
            delivered: self.delivered,
            acked: arrived as u32,
            newly_lost: lost as u32,
            rtt: Some(rtt),
            in_flight: (sent - lost) as u32,
            cwnd_limited: sent >= u64::from(self.cwnd),
            mss: MSS,
            dice: 7,
        };
        self.cwnd = self.bbr.on_ack(&ack, self.cwnd);
        arrived as f64 / (RATE as f64 * rtt.as_secs_f64())
    }

    /// Rounds until BBR is where `there` says, 1,000 at most.
    fn until(&mut self, there: impl Fn(&Bbr) -> bool) -> u32 {
        (1..=1000)
            .find(|_| {
                self.round();
                there(&self.bbr)
            })
            .expect("BBR gets there")
    }

    fn until_phase(&mut self, phase: Phase) -> u32 {
        self.until(|bbr| bbr.state == State::ProbeBw && bbr.cycle.phase == phase)
    }
}

#[test]
fn startup_finds_the_bandwidth_and_drain_empties_the_queue() {
    let mut path = Path::new(1 << 20);
    path.until(|bbr| bbr.state == State::ProbeBw);
    assert!(path.bbr.model.bw() >= RATE * 98 / 100, "{}", path.bbr.model.bw());
    assert!(path.queue <= 5 * u64::from(MSS), "{}", path.queue);
}

/// §5.5.9: a packet and its acknowledgment came early, and what the path holds seems to be nothing; but each round trip brings what was in
/// flight.
#[test]
fn a_least_round_trip_of_nothing_leaves_the_window_to_what_acknowledgments_bring() {
    let mut path = Path::new(1 << 20);
    path.until(|bbr| bbr.state == State::ProbeBw);
    path.bbr.least.rtt = Duration::from_micros(1);
    path.bbr.least.at = path.now;
    for _ in 0..100 {
        path.round();
    }
    assert_eq!(path.bbr.model.min_rtt, Duration::from_micros(1));
    let share = (0..10).map(|_| path.round()).sum::<f64>() / 10.0;
    assert!(share > 0.5, "{share} of the path");
}

#[test]
fn after_a_probe_the_next_one_waits_its_rounds() {
    // A queue so short that each probe loses much and ends at once.
    let mut path = Path::new(5000);
    path.until_phase(Phase::Up);
    path.until_phase(Phase::Down);
    let rounds = path.until_phase(Phase::Up);
    assert!(rounds >= 60, "the next probe came after {rounds} rounds");
}

#[test]
fn a_path_that_was_seen_empty_is_not_drained_to_see_it() {
    let mut path = Path::new(1 << 20);
    path.until(|bbr| bbr.state == State::ProbeBw);
    let share: f64 = (0..1000).map(|_| path.round()).sum::<f64>() / 1000.0;
    assert!(share >= 0.985, "{share:.3} of the path is used");
}

#[test]
fn a_longer_round_trip_is_believed_after_the_queue_was_drained() {
    let mut path = Path::new(1 << 20);
    path.until(|bbr| bbr.state == State::ProbeBw);
    path.base = RTT * 2;
    path.until(|bbr| bbr.state == State::ProbeRtt);
    path.until(|bbr| bbr.state == State::ProbeBw);
    path.until(|bbr| bbr.model.min_rtt >= RTT * 2);
}

#[test]
fn what_is_lost_on_a_path_without_a_queue_is_sent_on_top() {
    let mut path = Path::new(1 << 20);
    path.toll = 1;
    path.until_phase(Phase::Cruise);
    for _ in 0..20 {
        path.round();
    }
    assert_eq!(path.bbr.cycle.phase, Phase::Cruise);
    let share = path.round();
    assert!(share > 0.995, "{share:.3} of the path is used");
    // As soon as it makes a queue that stays, it ends.
    path.base = RTT * 11 / 10;
    path.round();
    path.round();
    assert!(path.bbr.pacing_rate() <= path.bbr.model.bw());
}

/// What `Least` says after each of these round trips, a millisecond apart, in percent of 20 ms.
fn known_after(percent: &[u32], filling: bool) -> Option<bool> {
    known_by(percent, filling, Duration::from_micros(240))
}

fn known_by(percent: &[u32], filling: bool, unit: Duration) -> Option<bool> {
    let mut least = Least::new();
    for (at, percent) in (1..).zip(percent) {
        least.on_rtt(
            Instant::ZERO + Duration::from_millis(at),
            RTT * *percent / 100,
            unit,
            filling,
            true,
        );
    }
    least.doubt();
    least.known
}

#[test]
fn the_least_round_trip_is_known_once_a_queue_of_ours_has_come_and_gone() {
    assert_eq!(known_after(&[100, 110, 130, 150, 120, 104], true), Some(true));
    assert_eq!(
        known_after(&[100, 110, 130, 150, 120, 110], true),
        Some(false),
        "it has not gone"
    );
    assert_eq!(known_after(&[100, 150, 100], false), Some(false), "it was not ours");
    // Who comes to a queue that others keep full, and one that becomes shorter then.
    assert_eq!(known_after(&[195, 200, 198, 200, 195], true), Some(false));
    assert_eq!(
        known_after(&[150, 200, 150, 100], true),
        Some(false),
        "what was known was wrong"
    );
}

#[test]
fn a_small_share_of_a_full_queue_is_not_taken_for_an_empty_path() {
    // Two segments of ours take as long as a queue that is nearly full varies.
    let unit = Duration::from_millis(4);
    assert_eq!(known_by(&[100, 117, 110], true, unit), Some(false));
    assert_eq!(known_by(&[100, 140, 110], true, unit), Some(true));
}

#[test]
fn a_path_that_draining_did_not_shorten_has_no_queue() {
    let at = |millis| Instant::ZERO + Duration::from_millis(millis);
    for (drained_to, known) in [(RTT, true), (RTT * 9 / 10, false)] {
        let (mut least, unit) = (Least::new(), Duration::from_micros(240));
        least.on_rtt(at(1), RTT, unit, false, true);
        least.doubt();
        assert!(least.on_rtt(at(6000), RTT, unit, false, true), "five seconds are over");
        least.start_draining();
        least.on_rtt(at(6100), drained_to, unit, false, true);
        least.drained(at(6200));
        assert_eq!(least.known, Some(known));
    }
}
