//! Congestion window validation, RFC 7661: a window that the program does not use is kept for a while, but not believed.
//!
//! `pipeACK` is the most that was acknowledged in one round trip of the last seconds. While it is less than half of the window the
//! window is *not validated*: it grows only if it is used whole, what it lets go is paced, a congestion signal reduces from what was
//! in use, and after five minutes it is halved. Asked by [`Congestion`](super::Congestion), where
//! [`Tuning::window_validation`](crate::Tuning::window_validation) says so; elsewhere Linux's rule (RFC 2861) holds.

use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::AckSample;

/// The least pipeACK Sampling Period; else it is three round trips (§4.2).
const SAMPLING_PERIOD_MIN: Duration = Duration::from_secs(1);
/// Parts of the sampling period of which each remembers its largest sample (§4.5.1).
const PARTS: usize = 5;
/// The non-validated period: §5 says why five minutes.
pub(super) const NON_VALIDATED_PERIOD: Duration = Duration::from_secs(300);

/// Octets acknowledged in a round trip that began at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    since: Instant,
    octets: u32,
    /// It is over when this is acknowledged: `snd.nxt` when it began.
    end: SeqNum,
}

/// The answer to congestion in the non-validated phase.
#[derive(Clone, Copy, Debug)]
struct Reduction {
    /// `max(pipeACK, LossFlightSize)`.
    in_use: u32,
    /// `R`: octets that were sent again, each counted once.
    retransmitted: u32,
}

/// What is known of how much of the window is used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Validation {
    /// The round trip as it was last known.
    srtt: Duration,
    running: Option<Sample>,
    /// The largest samples of the parts of the sampling period and of the one that has begun, the latest first. None: `pipeACK` is
    /// undefined.
    largest: [Option<Sample>; PARTS + 1],
    /// Since when the window is not validated, or was last halved for that.
    doubted_since: Option<Instant>,
    reduction: Option<Reduction>,
}

impl Validation {
    /// Octets were acknowledged outside of recovery: §4.2.
    pub(super) fn on_ack(&mut self, ack: &AckSample, cwnd: u32) {
        self.srtt = ack.srtt;
        let begins = Sample {
            since: ack.now,
            octets: 0,
            end: ack.nxt,
        };
        let mut sample = *self.running.get_or_insert(begins);
        sample.octets = sample.octets.saturating_add(ack.acked);
        if !sample.end.precedes_or_equals(ack.una) {
            self.running = Some(sample);
            return;
        }
        // Nothing in flight: the next round trip begins with the first acknowledgment of what is sent then.
        self.running = ack.una.precedes(ack.nxt).then_some(begins);
        self.keep(sample);
        self.judge(ack.now, cwnd);
    }

    fn keep(&mut self, sample: Sample) {
        let part = self.sampling_period() / PARTS as u32;
        match &mut self.largest[0] {
            Some(latest) if sample.since.saturating_since(latest.since) < part => {
                latest.octets = latest.octets.max(sample.octets);
            }
            _ => {
                self.largest.rotate_right(1);
                self.largest[0] = Some(sample);
            }
        }
    }

    fn sampling_period(&self) -> Duration {
        SAMPLING_PERIOD_MIN.max(3 * self.srtt)
    }

    /// `pipeACK`; `None` while it is undefined. A time in which nothing was acknowledged has samples of zero (§4.5.1).
    fn pipe_ack(&self, now: Instant) -> Option<u32> {
        self.largest[0]?;
        let period = self.sampling_period();
        let recent = self.largest.iter().flatten();
        let recent = recent.filter(|sample| now.saturating_since(sample.since) <= period);
        Some(recent.map(|sample| sample.octets).max().unwrap_or(0))
    }

    /// Which phase it is: §4.3.
    fn judge(&mut self, now: Instant, cwnd: u32) {
        let used = self.pipe_ack(now).is_none_or(|pipe_ack| pipe_ack >= cwnd / 2);
        if used {
            self.doubted_since = None;
        } else {
            self.doubted_since.get_or_insert(now);
        }
    }

    pub(super) fn is_validated(&self) -> bool {
        self.doubted_since.is_none()
    }

    /// Before new octets leave: how many non-validated periods have passed, each of which halves the window once (§4.4.3, §4.5.2).
    pub(super) fn periods_passed(&mut self, now: Instant, cwnd: u32) -> u32 {
        self.judge(now, cwnd);
        let Some(since) = &mut self.doubted_since else { return 0 };
        let passed = now.saturating_since(*since).as_secs() / NON_VALIDATED_PERIOD.as_secs();
        // A window has 32 bits to halve.
        let passed = passed.min(32) as u32;
        if passed > 0 {
            *since = now;
        }
        passed
    }

    /// A loss or a mark: `max(pipeACK, LossFlightSize)` if the window is not validated (§4.4.1).
    pub(super) fn on_congestion(&mut self, now: Instant, flight_size: u32) -> Option<u32> {
        self.running = None;
        self.doubted_since.take()?;
        let in_use = self.pipe_ack(now).unwrap_or(0).max(flight_size);
        self.reduction = Some(Reduction {
            in_use,
            retransmitted: 0,
        });
        Some(in_use)
    }

    /// Octets were sent again that had not been before.
    pub(super) fn on_retransmitted(&mut self, octets: u32) {
        if let Some(reduction) = &mut self.reduction {
            reduction.retransmitted = reduction.retransmitted.saturating_add(octets);
        }
    }

    /// What recovery may have in flight at most, if it began in the non-validated phase.
    pub(super) fn recovery_limit(&self) -> Option<u32> {
        self.reduction.map(|reduction| reduction.in_use / 2)
    }

    /// Recovery is over, or a timeout has begun: nothing is known any more. Answers the window after a loss in the non-validated phase,
    /// `(max(pipeACK, LossFlightSize) − R) / 2`.
    pub(super) fn begin_again(&mut self) -> Option<u32> {
        let reduction = self.reduction;
        *self = Self {
            srtt: self.srtt,
            ..Self::default()
        };
        reduction.map(|reduction| reduction.in_use.saturating_sub(reduction.retransmitted) / 2)
    }

    /// §4.4.2: a window in a round trip, while it is not validated.
    pub(super) fn pacing_rate(&self, cwnd: u32) -> Option<u64> {
        let nanos = u64::try_from(self.srtt.as_nanos()).unwrap_or(u64::MAX);
        let doubted = self.doubted_since.is_some() && nanos > 0;
        doubted.then(|| (u64::from(cwnd) * 1_000_000_000 / nanos).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    const RTT: u64 = 100;

    fn ack(now: u64, acked: u32, rtt: u64, una: u32, nxt: u32) -> AckSample {
        AckSample {
            now: at(now),
            acked,
            srtt: Duration::from_millis(rtt),
            cwnd_limited: false,
            mss: 1000,
            rtt: None,
            una: SeqNum(una),
            nxt: SeqNum(nxt),
        }
    }

    /// So many octets, alone in the network, acknowledged at once in each round trip from `from` on.
    fn rounds(validation: &mut Validation, from: u64, octets: &[u32], cwnd: u32) {
        for (number, octets) in (0..).zip(octets) {
            let edge = 1_000_000 + number;
            validation.on_ack(&ack(from + u64::from(number) * RTT, *octets, RTT, edge, edge), cwnd);
        }
    }

    // rfc: 7661 §4.1 §4.2/1 §4.2/2 §4.2/4
    #[test]
    fn pipe_ack_is_the_most_that_a_round_trip_acknowledged_in_the_last_second() {
        let mut validation = Validation::default();
        assert_eq!(validation.pipe_ack(at(0)), None, "undefined in the beginning");
        // Five segments are out, the program goes on with one in a round trip.
        validation.on_ack(&ack(0, 3000, RTT, 3000, 5000), 20_000);
        assert_eq!(validation.pipe_ack(at(0)), None, "no round trip has passed");
        validation.on_ack(&ack(50, 2000, RTT, 5000, 5000), 20_000);
        assert_eq!(validation.pipe_ack(at(50)), Some(5000));
        rounds(&mut validation, 100, &[1000; 10], 20_000);
        assert_eq!(validation.pipe_ack(at(1000)), Some(5000), "the highest of all");
        assert_eq!(
            validation.pipe_ack(at(1001)),
            Some(1000),
            "that lie in the sampling period"
        );
        assert_eq!(
            validation.pipe_ack(at(60_000)),
            Some(0),
            "nothing was acknowledged for long"
        );
    }

    #[test]
    fn a_window_that_is_full_is_the_sample_of_its_round_trip() {
        let mut validation = Validation::default();
        for segment in 1..=30 {
            let una = segment * 1000;
            validation.on_ack(&ack(u64::from(segment) * 10, 1000, RTT, una, una + 10_000), 10_000);
        }
        assert_eq!(
            validation.pipe_ack(at(300)),
            Some(11_000),
            "ten, and in the first the one that began it"
        );
        validation.keep(Sample {
            since: at(2000),
            octets: 10_000,
            end: SeqNum(0),
        });
        assert_eq!(validation.pipe_ack(at(2000)), Some(10_000));
    }

    // rfc: 7661 §4.2/3
    #[test]
    fn the_sampling_period_is_three_round_trips_where_they_are_long() {
        let mut validation = Validation::default();
        for (number, octets) in [(0, 9000), (1, 1000), (2, 1000)] {
            validation.on_ack(&ack(u64::from(number) * 800, octets, 800, number, number), 20_000);
        }
        assert_eq!(validation.pipe_ack(at(2400)), Some(9000));
        assert_eq!(validation.pipe_ack(at(2401)), Some(1000));
    }

    // rfc: 7661 §4.3 §4.4 §4.4/6
    #[test]
    fn the_window_is_validated_by_the_use_of_half_of_it() {
        let mut validation = Validation::default();
        assert!(validation.is_validated(), "undefined is validated");
        rounds(&mut validation, 0, &[4999], 10_000);
        assert!(!validation.is_validated());
        rounds(&mut validation, 100, &[5000], 10_000);
        assert!(validation.is_validated());
        // And after a pause it is not.
        assert_eq!(validation.periods_passed(at(10_000), 10_000), 0);
        assert!(!validation.is_validated());
    }

    // rfc: 7661 §4.4.1 §4.4.1/4 §4.2/5 §4.2/6
    #[test]
    fn congestion_reduces_from_what_was_used() {
        let mut validation = Validation::default();
        rounds(&mut validation, 0, &[4000, 3000], 10_000);
        assert_eq!(validation.on_congestion(at(250), 2000), Some(4000));
        assert_eq!(validation.recovery_limit(), Some(2000));
        validation.on_retransmitted(1000);
        assert!(validation.is_validated(), "the phase is over");
        assert_eq!(
            validation.begin_again(),
            Some(1500),
            "half, when what was repeated is taken off"
        );
        assert_eq!(validation.pipe_ack(at(300)), None, "undefined");
        // More in flight than pipeACK tells of.
        rounds(&mut validation, 400, &[1000], 10_000);
        assert_eq!(validation.on_congestion(at(550), 7000), Some(7000));
        // A validated window is answered for by the usual rules.
        let mut validation = Validation::default();
        rounds(&mut validation, 0, &[6000], 10_000);
        assert_eq!(validation.on_congestion(at(150), 6000), None);
        assert_eq!(validation.begin_again(), None);
    }

    // rfc: 7661 §4.5.2 §4.4
    #[test]
    fn each_five_minutes_count_once() {
        let mut validation = Validation::default();
        rounds(&mut validation, 0, &[1000], 10_000);
        let seconds = |seconds: u64| at(seconds * 1000);
        assert_eq!(validation.periods_passed(seconds(299), 10_000), 0);
        assert_eq!(validation.periods_passed(seconds(300), 10_000), 1);
        assert_eq!(validation.periods_passed(seconds(400), 10_000), 0);
        assert_eq!(validation.periods_passed(seconds(1200), 10_000), 3);
    }

    // rfc: 7661 §4.4.2
    #[test]
    fn a_window_that_is_not_validated_leaves_in_a_round_trip() {
        let mut validation = Validation::default();
        assert_eq!(validation.pacing_rate(10_000), None);
        rounds(&mut validation, 0, &[1000], 10_000);
        assert_eq!(validation.pacing_rate(10_000), Some(100_000));
    }
}
