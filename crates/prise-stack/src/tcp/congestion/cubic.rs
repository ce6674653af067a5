//! CUBIC, RFC 9438: the window follows a cubic of the time since the last reduction, never below what Reno
//! would have. Integer arithmetic: windows in octets, times in milliseconds.

use alloc::boxed::Box;

use prise_wire::Instant;

use super::AckSample;
use super::hystart::HyStart;
use super::validation::Validation;

/// `β_cubic = 0.7` (§4.6), as a fraction.
const BETA: (u64, u64) = (7, 10);

#[derive(Debug, Default)]
pub(super) struct Cubic {
    w_max: u32,
    /// The cubic's origin in milliseconds after the epoch: `K` of equation 2.
    k: u64,
    epoch: Option<Instant>,
    /// `W_est`: what Reno would have (§4.3).
    w_est: u32,
    est_counted: u64,
    /// Octets counted towards the next increase.
    counted: u64,
    cwnd_prior: u32,
    /// Only during the first slow start.
    pub(super) hystart: Option<HyStart>,
    /// Only where it is asked for.
    pub(super) validation: Option<Box<Validation>>,
}

impl Cubic {
    /// Congestion avoidance: §4.2–4.5.
    pub(super) fn avoid(&mut self, cwnd: &mut u32, acked: u32, sample: &AckSample) {
        let mss = u64::from(sample.mss);
        let epoch = *self.epoch.get_or_insert_with(|| {
            // A new epoch: §4.2. If the window is already above W_max, the origin is here.
            let w_max = self.w_max.max(*cwnd);
            self.k = cube_root(u64::from(w_max - *cwnd) * 2_500_000_000 / mss);
            self.w_max = w_max;
            self.w_est = *cwnd;
            self.est_counted = 0;
            self.counted = 0;
            sample.now
        });
        let t = sample.now.saturating_since(epoch) + sample.srtt;
        let target = self
            .window_at(t.as_millis() as u64, mss)
            .clamp(u64::from(*cwnd), u64::from(*cwnd) * 3 / 2);
        self.grow_reno_estimate(acked, *cwnd, mss);
        let target = target.max(u64::from(self.w_est));
        if target > u64::from(*cwnd) {
            // (target − cwnd) / cwnd of a segment for each segment acknowledged: §4.4.
            self.counted += u64::from(acked) * (target - u64::from(*cwnd));
            let step = self.counted / u64::from(*cwnd);
            if step >= mss {
                self.counted -= step * u64::from(*cwnd);
                *cwnd = u32::try_from(u64::from(*cwnd) + step).unwrap_or(u32::MAX);
            }
        }
    }

    /// `W_cubic(t) = C (t − K)³ + W_max`, C = 0.4 segments per cubed second: equation 1.
    fn window_at(&self, t: u64, mss: u64) -> u64 {
        let offset = i128::from(t) - i128::from(self.k);
        let delta = offset * offset * offset * i128::from(mss) * 4 / 10_000_000_000;
        u64::try_from(i128::from(self.w_max) + delta).unwrap_or(0).min(1 << 31)
    }

    /// §4.3: `W_est += α × acked / cwnd` segments, with α = 1 once the old maximum is regained.
    fn grow_reno_estimate(&mut self, acked: u32, cwnd: u32, mss: u64) {
        // 3 (1 − β) / (1 + β) = 9/17.
        let alpha = if self.w_est >= self.cwnd_prior { (1, 1) } else { (9, 17) };
        self.est_counted += u64::from(acked) * mss * alpha.0;
        let unit = u64::from(cwnd) * alpha.1;
        self.w_est = u32::try_from(u64::from(self.w_est) + self.est_counted / unit).unwrap_or(u32::MAX);
        self.est_counted %= unit;
    }

    /// A congestion event: remembers the maximum, with fast convergence (§4.7), and answers ssthresh.
    pub(super) fn threshold(&mut self, _now: Instant, cwnd: u32, mss: u32) -> u32 {
        self.epoch = None;
        self.w_max = if cwnd < self.w_max {
            (u64::from(cwnd) * (BETA.1 + BETA.0) / (2 * BETA.1)) as u32
        } else {
            cwnd
        };
        self.cwnd_prior = cwnd;
        ((u64::from(cwnd) * BETA.0 / BETA.1) as u32).max(2 * mss)
    }

    /// After a timeout or an idle period time starts anew: §4.8, §4.9.
    pub(super) fn restart(&mut self) {
        self.epoch = None;
    }
}

/// The integer cube root, by Newton's method from above.
fn cube_root(value: u64) -> u64 {
    if value < 2 {
        return value;
    }
    let bits = 64 - value.leading_zeros();
    let mut root = 1_u64 << bits.div_ceil(3);
    loop {
        let next = (2 * root + value / (root * root)) / 3;
        if next >= root {
            return root;
        }
        root = next;
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use prise_wire::SeqNum;

    use super::*;

    #[test]
    fn cube_root_is_the_floor() {
        for value in [0, 1, 7, 8, 26, 27, 28, 999_999, 1_000_000, u64::from(u32::MAX), 1 << 60] {
            let root = cube_root(value);
            assert!(
                root.pow(3) <= value && (root + 1).checked_pow(3).is_none_or(|above| above > value),
                "{value}"
            );
        }
    }

    const MSS: u32 = 1000;

    /// A round trip's worth of acknowledgments, two segments each.
    fn round(cubic: &mut Cubic, cwnd: &mut u32, now: Instant, rtt: Duration) {
        let mut acked = 0;
        let window = *cwnd;
        while acked < window {
            let sample = AckSample {
                now,
                acked: 2 * MSS,
                srtt: rtt,
                cwnd_limited: true,
                mss: MSS,
                rtt: None,
                una: SeqNum(0),
                nxt: SeqNum(0),
            };
            cubic.avoid(cwnd, 2 * MSS, &sample);
            acked += 2 * MSS;
        }
    }

    #[test]
    fn the_window_regains_its_maximum_after_k_and_then_exceeds_it() {
        let mut cubic = Cubic::default();
        let mut cwnd = cubic.threshold(Instant::ZERO, 1000 * MSS, MSS);
        assert_eq!(cwnd, 700 * MSS);
        let rtt = Duration::from_millis(100);
        let mut now = Instant::ZERO;
        let mut regained = None;
        // K = ∛(300 / 0.4) ≈ 9.1 s.
        for number in 0..200 {
            round(&mut cubic, &mut cwnd, now, rtt);
            now += rtt;
            if cwnd >= 990 * MSS && regained.is_none() {
                regained = Some(number);
            }
        }
        let regained = regained.expect("the maximum is regained");
        assert!((60..=100).contains(&regained), "{regained} round trips");
        assert!(cwnd > 1500 * MSS);
    }

    #[test]
    fn a_loss_leaves_seven_tenths() {
        let mut cubic = Cubic::default();
        assert_eq!(cubic.threshold(Instant::ZERO, 100 * MSS, MSS), 70 * MSS);
        assert_eq!(
            cubic.threshold(Instant::ZERO, 2 * MSS, MSS),
            2 * MSS,
            "two segments at least"
        );
    }

    #[test]
    fn a_smaller_maximum_than_before_is_remembered_smaller_still() {
        let mut cubic = Cubic::default();
        cubic.threshold(Instant::ZERO, 100 * MSS, MSS);
        assert_eq!(cubic.w_max, 100 * MSS);
        cubic.threshold(Instant::ZERO, 80 * MSS, MSS);
        assert_eq!(cubic.w_max, 68 * MSS, "(1 + 0.7) / 2 of the window");
        cubic.threshold(Instant::ZERO, 90 * MSS, MSS);
        assert_eq!(cubic.w_max, 90 * MSS, "a larger one as it is");
    }

    #[test]
    fn the_target_is_between_the_window_and_half_as_much_again() {
        // Long after the maximum the cubic is steep: one round trip still adds half of the window at most.
        let mut cubic = Cubic::default();
        let mut cwnd = cubic.threshold(Instant::ZERO, 20 * MSS, MSS);
        let rtt = Duration::from_millis(100);
        round(&mut cubic, &mut cwnd, Instant::ZERO, rtt);
        let before = cwnd;
        round(&mut cubic, &mut cwnd, Instant::ZERO + Duration::from_secs(60), rtt);
        assert!(cwnd > before, "it grows");
        assert!(cwnd <= before * 8 / 5, "{before} to {cwnd}");
    }

    #[test]
    fn where_reno_is_faster_cubic_keeps_up() {
        // A millisecond's round trip: the cubic hardly moves in a hundred of them, Reno adds half a segment each.
        let mut cubic = Cubic::default();
        let mut cwnd = cubic.threshold(Instant::ZERO, 40 * MSS, MSS);
        let rtt = Duration::from_millis(1);
        let mut now = Instant::ZERO;
        let start = cwnd;
        for _ in 0..20 {
            round(&mut cubic, &mut cwnd, now, rtt);
            now += rtt;
        }
        let reno = 20 * MSS * 9 / 17;
        assert!(cwnd - start >= reno * 8 / 10, "{start} to {cwnd}");
        assert!(cwnd - start <= 20 * MSS, "a segment a round trip at most");
    }

    #[test]
    fn an_idle_time_does_not_count() {
        let rtt = Duration::from_millis(100);
        let run = |pause: Duration| {
            let mut cubic = Cubic::default();
            let mut cwnd = cubic.threshold(Instant::ZERO, 1000 * MSS, MSS);
            round(&mut cubic, &mut cwnd, Instant::ZERO, rtt);
            if !pause.is_zero() {
                cubic.restart();
            }
            round(&mut cubic, &mut cwnd, Instant::ZERO + rtt + pause, rtt);
            cwnd
        };
        assert!(
            run(Duration::from_secs(60)) <= run(Duration::ZERO) + MSS,
            "as if no time had passed"
        );
    }
}
