//! Pacing: what leaves at a rate leaves in units, and after each one the next waits as long as the rate says
//! (draft-ietf-ccwg-bbr §5.6.2). Asked by `output.rs` before a segment leaves, told after it has left.

use core::time::Duration;

use prise_wire::Instant;

use crate::tcp::connection::Connection;

/// The pace of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// No data before this.
    next: Instant,
    /// Since when nothing but the pace holds data back.
    held_since: Instant,
}

impl Pace {
    pub(crate) const OPEN: Self = Self {
        next: Instant::ZERO,
        held_since: Instant::FAR_FUTURE,
    };

    fn holds(&self, now: Instant) -> bool {
        self.next > now
    }

    /// `octets` have left at `now`; `depth` is how much time may be made up for at most.
    ///
    /// A clock that wakes us late must not slow the pace: the delay counts, but no more than what the unit takes, so that a pause is
    /// followed by one unit more at most. (Linux's `tcp_update_skb_after_send` lets half of it count: its clock has no ticks.)
    ///
    /// Where the host slept although octets waited for nothing but the pace, the bottleneck has gone on without them: the pace of that
    /// time is made up for. Else a host that sleeps for four fifths of each round trip sends a fifth, measures what it sends, and
    /// believes it.
    fn departed(&mut self, now: Instant, octets: u32, rate: u64, depth: Duration) {
        let wait = Duration::from_nanos(u64::from(octets) * 1_000_000_000 / rate.max(1));
        let late = now.saturating_since(self.next.max(self.held_since));
        let allowed = self.next.max(now - late.min(depth));
        self.next = if late.is_zero() {
            (self.next + wait).max(now)
        } else {
            allowed + wait
        };
    }

    fn note_held(&mut self, held: bool, now: Instant) {
        self.held_since = if held {
            self.held_since.min(now)
        } else {
            Instant::FAR_FUTURE
        };
    }
}

/// So many segments leave before any pace holds: they tell nothing of a rate yet, an initial window may leave at once (RFC 6928), and
/// Linux does not pace them (`tcp_update_skb_after_send`).
const UNPACED_SEGMENTS: u32 = 10;

impl Connection {
    /// The most that the program allows; zero allows everything, as on Linux.
    pub(crate) fn rate_limit(&self) -> u64 {
        self.config.max_pacing_rate.filter(|rate| *rate > 0).unwrap_or(u64::MAX)
    }

    /// Octets per second at which segments are let go: the congestion control's word, or, where the program has set a limit, what
    /// the window comes to, but no more than that.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        let limit = self.rate_limit();
        let own = self.congestion.pacing_rate();
        if limit == u64::MAX || self.is_beginning() {
            return own;
        }
        let rate = own.or_else(|| self.implied_rate());
        Some(rate.map_or(limit, |rate| rate.clamp(1, limit)))
    }

    fn is_beginning(&self) -> bool {
        self.statistics.data_segments_out < UNPACED_SEGMENTS
    }

    /// The pace does not let the next octets go yet.
    pub(crate) fn is_paced_out(&self, now: Instant) -> bool {
        self.sending.as_ref().is_some_and(|sending| sending.pace.holds(now)) && self.pacing_rate().is_some()
    }

    /// `octets` have left: the next ones wait until the pace allows.
    pub(super) fn note_paced(&mut self, now: Instant, octets: u32) {
        // As long as the queue of a path that has one cannot have overflowed by what is made up for.
        let depth = self.min_rtt() / 2;
        if self.is_beginning() {
            return;
        }
        if let Some(rate) = self.pacing_rate()
            && let Some(sending) = self.sending.as_deref_mut()
        {
            sending.pace.departed(now, octets, rate, depth);
        }
    }

    /// After something has happened: when the pace lets go what waits for it; `FAR_FUTURE` if nothing does.
    pub(crate) fn settle_pace(&mut self, now: Instant) -> Instant {
        if self.pacing_rate().is_none() {
            return Instant::FAR_FUTURE;
        }
        let (cwnd, size) = (self.congestion.cwnd(), self.segment_size());
        let unsent = self.has_unsent();
        let window = self.unsent() > 0 && self.outstanding() + size <= self.snd.wnd;
        let Some(sending) = self.sending.as_deref_mut() else {
            return Instant::FAR_FUTURE;
        };
        let waits = sending.flight.lost() > 0 || window;
        sending
            .pace
            .note_held(waits && sending.flight.in_flight() + size <= cwnd, now);
        if sending.pace.holds(now) && (sending.flight.lost() > 0 || unsent) {
            sending.pace.next
        } else {
            Instant::FAR_FUTURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(micros)
    }

    /// A millisecond an octet's thousand.
    const RATE: u64 = 1_000_000;

    #[test]
    fn a_clock_that_wakes_late_does_not_slow_the_pace() {
        // 970 octets take 970 µs, and the clock has ticks of a millisecond.
        let (mut pace, mut sent) = (Pace::OPEN, 0);
        for tick in 0..1000 {
            let now = at(tick * 1000);
            while !pace.holds(now) {
                pace.departed(now, 970, RATE, Duration::ZERO);
                sent += 970;
            }
        }
        assert!((990_000..=1_010_000).contains(&sent), "{sent} octets in a second");
    }

    #[test]
    fn a_pause_earns_no_more_than_a_unit() {
        let mut pace = Pace::OPEN;
        pace.departed(at(50_000), 1000, RATE, Duration::from_millis(10));
        assert_eq!(pace.next, at(50_000), "one unit more at once");
        pace.departed(at(50_000), 1000, RATE, Duration::from_millis(10));
        assert_eq!(pace.next, at(51_000));
    }

    #[test]
    fn a_host_that_slept_makes_up_for_the_pace_of_that_time() {
        let mut pace = Pace::OPEN;
        let depth = Duration::from_millis(10);
        pace.departed(at(1000), 1000, RATE, depth);
        pace.departed(at(1000), 1000, RATE, depth);
        pace.note_held(true, at(1000));
        // What was due at 2 ms leaves at 7, with what was due since.
        let mut units = 0;
        while !pace.holds(at(7000)) {
            pace.departed(at(7000), 1000, RATE, depth);
            pace.note_held(true, at(7000));
            units += 1;
        }
        assert_eq!((units, pace.next), (6, at(8000)));
        // A long sleep is made up for in part, and one in which the window was full not at all.
        let units_at = |pace: &mut Pace, now| {
            let mut units = 0;
            while !pace.holds(now) {
                pace.departed(now, 1000, RATE, depth);
                units += 1;
            }
            units
        };
        assert_eq!(units_at(&mut pace, at(500_000)), 11);
        pace.note_held(false, at(500_000));
        assert_eq!(units_at(&mut pace, at(600_000)), 2);
    }
}
