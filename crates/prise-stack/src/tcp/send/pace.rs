//! Pacing: what leaves at a rate leaves in units, and after each one the next waits as long as the rate says
//! (draft-ietf-ccwg-bbr §5.6.2). Asked by `output.rs` before a segment leaves, told after it has left.

use core::time::Duration;

use prise_wire::Instant;

use crate::tcp::connection::Connection;

/// When the unit after one of `octets` may leave that was allowed from `allowed` on and left at `now`.
///
/// A clock that wakes us late must not slow the pace: the delay counts, but no more than what the unit takes, so that a pause is
/// followed by one unit more at most. (Linux's `tcp_update_skb_after_send` lets half of it count: its clock has no ticks.)
fn next_departure(allowed: Instant, now: Instant, octets: u32, rate: u64) -> Instant {
    let wait = Duration::from_nanos(u64::from(octets) * 1_000_000_000 / rate.max(1));
    (allowed + wait).max(now)
}

impl Connection {
    /// The pace does not let the next octets go yet.
    pub(crate) fn is_paced_out(&self, now: Instant) -> bool {
        self.sending.as_ref().is_some_and(|sending| sending.next_send_at > now)
    }

    /// `octets` have left: the next ones wait until the pace allows.
    pub(super) fn note_paced(&mut self, now: Instant, octets: u32) {
        if let Some(rate) = self.congestion.pacing_rate()
            && let Some(sending) = self.sending.as_deref_mut()
        {
            sending.next_send_at = next_departure(sending.next_send_at, now, octets, rate);
        }
    }

    /// When the pace lets go what waits for it; `FAR_FUTURE` if nothing does.
    pub(crate) fn pace_deadline(&self, now: Instant) -> Instant {
        match self.sending.as_ref() {
            Some(sending) if sending.next_send_at > now && (sending.flight.lost() > 0 || self.has_unsent()) => {
                sending.next_send_at
            }
            _ => Instant::FAR_FUTURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(micros)
    }

    #[test]
    fn a_clock_that_wakes_late_does_not_slow_the_pace() {
        // 970 octets take 970 µs, and the clock has ticks of a millisecond.
        let (mut allowed, mut sent) = (at(0), 0);
        for tick in 0..1000 {
            let now = at(tick * 1000);
            while allowed <= now {
                allowed = next_departure(allowed, now, 970, 1_000_000);
                sent += 970;
            }
        }
        assert!((990_000..=1_010_000).contains(&sent), "{sent} octets in a second");
    }

    #[test]
    fn a_pause_earns_no_more_than_a_unit() {
        let second = next_departure(at(0), at(50_000), 1000, 1_000_000);
        assert_eq!(second, at(50_000), "one unit more at once");
        assert_eq!(next_departure(second, at(50_000), 1000, 1_000_000), at(51_000));
        assert_eq!(
            next_departure(at(100), at(0), 1000, 1_000_000),
            at(1100),
            "early ones wait"
        );
    }
}
