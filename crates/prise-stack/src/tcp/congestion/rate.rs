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
    pub(crate) latest: u64,
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

    pub(crate) fn is_app_limited(&self) -> bool {
        self.app_limited_until.is_some()
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
        if rate > 0 {
            self.latest = rate;
        }
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
