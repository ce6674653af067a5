//! The round-trip time and the retransmission timeout (RFC 6298), in microseconds.

use core::time::Duration;

use prise_wire::Instant;

use crate::tcp::send::flight::RoundTrips;

/// Before the first sample: RFC 6298 §2.1.
const RTO_INITIAL: u32 = 1_000_000;
/// And where the handshake gave none because its SYN was sent again: §5.7.
const RTO_FALLBACK: u32 = 3_000_000;
/// RFC 6298 §2.4 says one second; Linux's 200 ms is what programs and peers are tuned for, and what the delayed
/// acknowledgment of at most 200 ms allows.
pub(crate) const RTO_MIN: Duration = Duration::from_millis(200);
/// RFC 6298 §2.5 allows a bound of 60 s or more; Linux has 120.
pub(crate) const RTO_MAX: Duration = Duration::from_micros(RTO_MAX_MICROS as u64);
const RTO_MAX_MICROS: u32 = 120_000_000;
/// How many seconds the smallest round trip is believed (Linux: `tcp_min_rtt_wlen`).
const MIN_RTT_WINDOW: u32 = 300;

/// The estimator of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RttEstimator {
    srtt: u32,
    rttvar: u32,
    min_rtt: u32,
    /// In seconds.
    min_rtt_at: u32,
}

impl RttEstimator {
    pub(crate) const fn new() -> Self {
        Self {
            srtt: 0,
            rttvar: 0,
            min_rtt: u32::MAX,
            min_rtt_at: 0,
        }
    }

    /// The handshake is over and its SYN was sent again, so that it gave no sample: the path may be a long one.
    pub(crate) fn distrust(&mut self) {
        if self.srtt == 0 {
            self.rttvar = RTO_FALLBACK;
        }
    }

    /// Takes what an acknowledgment measured that came `now`.
    pub(crate) fn take(&mut self, now: Instant, round_trips: RoundTrips) {
        self.note_least(now, round_trips.last);
        self.average(round_trips.first);
    }

    /// Takes a sample of a segment that was sent once (Karn's algorithm is the caller's).
    pub(crate) fn sample(&mut self, now: Instant, rtt: Duration) {
        self.note_least(now, rtt);
        self.average(rtt);
    }

    fn note_least(&mut self, now: Instant, rtt: Duration) {
        let rtt = micros(rtt);
        if rtt <= self.min_rtt || seconds(now).wrapping_sub(self.min_rtt_at) > MIN_RTT_WINDOW {
            self.min_rtt = rtt;
            self.min_rtt_at = seconds(now);
        }
    }

    /// RFC 6298 §2.2 and §2.3.
    fn average(&mut self, rtt: Duration) {
        let rtt = micros(rtt);
        if self.srtt == 0 {
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            let deviation = self.srtt.abs_diff(rtt);
            // When the round trip shrinks, the surprise must not lengthen the timeout: RFC 6298 counts it whole,
            // Linux an eighth of it.
            let weight = if rtt < self.srtt && deviation > self.rttvar {
                32
            } else {
                4
            };
            self.rttvar = self.rttvar - self.rttvar / weight + deviation / weight;
            self.srtt = self.srtt - self.srtt / 8 + rtt / 8;
            self.srtt = self.srtt.max(1);
        }
    }

    /// The timeout without back-off: `SRTT + max(least, 4 × RTTVAR)`, as Linux computes it, so that the margin
    /// stays when the variation has died down.
    pub(crate) fn rto(&self, least: Duration) -> Duration {
        if self.srtt == 0 {
            return Duration::from_micros(u64::from(self.rttvar.max(RTO_INITIAL)));
        }
        let rto = self
            .srtt
            .saturating_add(self.rttvar.saturating_mul(4).max(micros(least)));
        Duration::from_micros(u64::from(rto.min(RTO_MAX_MICROS)))
    }

    /// The timeout after `backoff` consecutive expirations: RFC 6298 §5.5.
    pub(crate) fn rto_backed_off(&self, backoff: u8, least: Duration) -> Duration {
        self.rto(least)
            .checked_mul(1 << backoff.min(16))
            .map_or(RTO_MAX, |rto| rto.min(RTO_MAX))
    }

    /// Zero before the first sample.
    pub(crate) fn srtt(&self) -> Duration {
        Duration::from_micros(u64::from(self.srtt))
    }

    pub(crate) fn rttvar(&self) -> Duration {
        Duration::from_micros(u64::from(self.rttvar))
    }

    /// The smallest round trip of the last minutes; `None` before the first sample.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        (self.min_rtt != u32::MAX).then(|| Duration::from_micros(u64::from(self.min_rtt)))
    }
}

fn micros(rtt: Duration) -> u32 {
    u32::try_from(rtt.as_micros())
        .unwrap_or(RTO_MAX_MICROS)
        .clamp(1, RTO_MAX_MICROS)
}

fn seconds(now: Instant) -> u32 {
    (now.as_millis() / 1000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_sets_srtt_and_half_of_it_as_variation() {
        let mut rtt = RttEstimator::new();
        assert_eq!(rtt.rto(RTO_MIN), Duration::from_secs(1));
        rtt.sample(Instant::ZERO, Duration::from_millis(100));
        assert_eq!(
            (rtt.srtt(), rtt.rttvar()),
            (Duration::from_millis(100), Duration::from_millis(50))
        );
        assert_eq!(rtt.rto(RTO_MIN), Duration::from_millis(300));
    }

    #[test]
    fn back_off_doubles_up_to_two_minutes() {
        let mut rtt = RttEstimator::new();
        rtt.sample(Instant::ZERO, Duration::from_millis(100));
        assert_eq!(rtt.rto_backed_off(1, RTO_MIN), Duration::from_millis(600));
        assert_eq!(rtt.rto_backed_off(40, RTO_MIN), Duration::from_secs(120));
    }

    #[test]
    fn a_steady_round_trip_keeps_the_floor_above_srtt() {
        let mut rtt = RttEstimator::new();
        for _ in 0..200 {
            rtt.sample(Instant::ZERO, Duration::from_millis(10));
        }
        let rto = rtt.rto(RTO_MIN);
        assert!(
            rto >= Duration::from_millis(205) && rto <= Duration::from_millis(215),
            "{rto:?}"
        );
    }
}
