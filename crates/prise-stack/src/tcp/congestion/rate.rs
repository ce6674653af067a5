//! Delivery-rate estimation (draft-cheng-iccrg-delivery-rate-estimation): how fast the path takes octets, measured
//! between the sending of a segment and the arrival of its acknowledgment.

use core::time::Duration;

use prise_wire::Instant;

/// The counters of a connection when a segment left; carried by its record in the flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendSnapshot {
    /// `P.delivered`.
    pub(crate) delivered: u64,
    /// `P.delivered_time`.
    delivered_at: Instant,
    /// `P.first_sent_time`.
    first_sent_at: Instant,
    /// `P.tx_in_flight`, this segment included.
    pub(crate) in_flight: u32,
    /// `P.lost`.
    pub(crate) lost: u32,
    /// `P.is_app_limited`.
    pub(crate) app_limited: bool,
}

/// `rs`: what one acknowledgment measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateSample {
    /// Octets per second; zero when the interval was too short to believe.
    pub(crate) rate: u64,
    /// Octets delivered in the interval.
    pub(crate) delivered: u64,
    pub(crate) prior_delivered: u64,
    /// Octets in flight when the measured segment left, and lost since.
    pub(crate) tx_in_flight: u32,
    pub(crate) lost: u32,
    pub(crate) app_limited: bool,
}

/// The counters `C.*` of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSampler {
    pub(crate) delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    pub(crate) lost: u32,
    /// So much of `lost` the congestion control has been told of.
    lost_told: u32,
    /// Until so many octets are delivered, samples are bounded by the program.
    app_limited_until: Option<u64>,
}

/// The rate that `TCP_INFO` tells, in as few octets as an idle connection can spare: nine bits of it, how far they are shifted, and whether
/// the program bounded it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryRate(u16);

impl DeliveryRate {
    const DIGITS: u32 = 9;
    const APP_LIMITED: u16 = 1 << 15;
    pub(crate) const NONE: Self = Self(Self::APP_LIMITED);

    /// Takes a sample, unless the program bounded it and the path has shown to take more (the last lines of `tcp_rate_gen`).
    pub(crate) fn take(&mut self, sample: &RateSample) {
        if sample.rate == 0 || sample.app_limited && sample.rate < self.octets_per_second() {
            return;
        }
        let shift = (u64::BITS - sample.rate.leading_zeros()).saturating_sub(Self::DIGITS);
        let limited = if sample.app_limited { Self::APP_LIMITED } else { 0 };
        self.0 = limited | (shift as u16) << Self::DIGITS | (sample.rate >> shift) as u16;
    }

    pub(crate) fn octets_per_second(self) -> u64 {
        let digits = u64::from(self.0 & ((1 << Self::DIGITS) - 1));
        digits << (u32::from(self.0 & !Self::APP_LIMITED) >> Self::DIGITS)
    }

    pub(crate) fn is_app_limited(self) -> bool {
        self.0 & Self::APP_LIMITED != 0
    }
}

impl RateSampler {
    /// A segment leaves; `idle` if nothing else is in flight.
    pub(crate) fn on_send(&mut self, now: Instant, idle: bool, in_flight: u32) -> SendSnapshot {
        if idle {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        SendSnapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            in_flight,
            lost: self.lost,
            app_limited: self.app_limited_until.is_some(),
        }
    }

    /// The program has nothing more to send although the window would take it.
    pub(crate) fn mark_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = Some(self.delivered + u64::from(in_flight));
    }

    /// What was lost since this was asked last: found by the acknowledgment of now, or by the reordering timer before it.
    pub(crate) fn take_lost(&mut self) -> u32 {
        let lost = self.lost.wrapping_sub(self.lost_told);
        self.lost_told = self.lost;
        lost
    }

    /// An acknowledgment delivered `octets`; `newest` is the latest sent of the delivered segments.
    pub(crate) fn on_delivered(
        &mut self,
        now: Instant,
        octets: u32,
        newest: Option<(SendSnapshot, Instant)>,
        min_rtt: Duration,
    ) -> Option<RateSample> {
        if octets > 0 {
            self.delivered += u64::from(octets);
            self.delivered_at = now;
        }
        if self.app_limited_until.is_some_and(|until| self.delivered > until) {
            self.app_limited_until = None;
        }
        let (snapshot, sent_at) = newest?;
        self.first_sent_at = self.first_sent_at.max(sent_at);
        let send_elapsed = sent_at.saturating_since(snapshot.first_sent_at);
        let ack_elapsed = now.saturating_since(snapshot.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered - snapshot.delivered;
        let believable = interval >= min_rtt && !interval.is_zero();
        let rate = if believable {
            (u128::from(delivered) * 1_000_000_000 / interval.as_nanos()) as u64
        } else {
            0
        };
        Some(RateSample {
            rate,
            delivered,
            prior_delivered: snapshot.delivered,
            tx_in_flight: snapshot.in_flight,
            lost: self.lost.wrapping_sub(snapshot.lost),
            app_limited: snapshot.app_limited,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_to_a_two_hundredth_and_not_lowered_by_a_program_that_writes_little() {
        let sample = |rate, app_limited| RateSample {
            rate,
            delivered: 0,
            prior_delivered: 0,
            tx_in_flight: 0,
            lost: 0,
            app_limited,
        };
        let mut told = DeliveryRate::NONE;
        assert_eq!((told.octets_per_second(), told.is_app_limited()), (0, true));
        for rate in [1, 511, 1000, 123_456_789, u64::MAX] {
            told.take(&sample(rate, false));
            let off = rate - told.octets_per_second();
            assert!(off <= rate / 256, "{rate}: {off}");
        }
        told.take(&sample(1000, false));
        told.take(&sample(900, true));
        assert_eq!((told.octets_per_second(), told.is_app_limited()), (1000, false));
        told.take(&sample(1100, true));
        assert_eq!((told.octets_per_second(), told.is_app_limited()), (1100, true));
    }

    #[test]
    fn what_the_reordering_timer_found_lost_is_told_by_the_next_acknowledgment() {
        let mut rate = RateSampler {
            lost: u32::MAX - 999,
            ..RateSampler::default()
        };
        rate.take_lost();
        // The timer's 1,000 octets, over the wrap, then the acknowledgment's own.
        rate.lost = rate.lost.wrapping_add(1000);
        rate.lost = rate.lost.wrapping_add(500);
        assert_eq!(rate.take_lost(), 1500);
        assert_eq!(rate.take_lost(), 0, "once");
    }
}
