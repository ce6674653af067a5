//! RACK: time-based loss detection (RFC 8985).
//!
//! A segment is lost when one that left later has arrived and the reordering window has passed. The list that it
//! works on is the flight; here is what it remembers between acknowledgments. Called from `ack.rs` and from the
//! reordering timer.

use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use crate::tcp::send::flight::{Delivery, Flight, Latest};

/// §6.2 step 4: after this many recoveries without a D-SACK the window shrinks back to a quarter of the RTT.
const PERSIST_RECOVERIES: u8 = 16;
/// §6.2 step 4 bounds the window by SRTT. What reorders – parallel links, busy hosts – knows nothing of the round trip: where
/// D-SACKs go on to tell of needless retransmissions, the window of a short path grows as far as this, which is little beside the
/// least timeout.
const SHORT_PATH_WINDOW: Duration = Duration::from_millis(10);
/// §6.2 step 4 widens the window by quarters of the least round trip. Where that was a packet's that came early with an acknowledgment that
/// came early, it is next to nothing, and no number of quarters is a window: steps are a part of SRTT at least, no more than those
/// quarters as long as SRTT is at most twice the least round trip.
const STEP_DIVISOR: u32 = 8;
/// RFC 5681's duplicate threshold, in segments.
const DUP_THRESH: u32 = 3;
/// `tcp_max_reordering`.
const DEGREE_MAX: u32 = 300;

/// What RACK remembers of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rack {
    latest: Option<Latest>,
    rtt: Duration,
    /// `RACK.reordering_seen`.
    reordering_seen: bool,
    /// By how many segments something was late at most, where that is more than usual (`tcpi_reordering`).
    degree: u16,
    /// `RACK.reo_wnd_mult`.
    multiplier: u8,
    persist: u8,
    /// `RACK.dsack_round`: no second increase before this is acknowledged.
    dsack_round: Option<SeqNum>,
}

/// What the reordering window depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    pub(crate) in_recovery: bool,
    pub(crate) min_rtt: Duration,
    pub(crate) srtt: Duration,
    pub(crate) mss: u32,
}

impl Rack {
    /// Steps 2 and 3: an acknowledgment delivered something.
    pub(crate) fn update(&mut self, delivery: &Delivery, fack: Option<SeqNum>) {
        if delivery.reordered {
            self.reordering_seen = true;
        }
        if let (Some(late), Some(fack)) = (delivery.reordered_from, fack)
            && late.precedes(fack)
        {
            let degree = fack.distance_from(late).div_ceil(delivery.mss.max(1)).min(DEGREE_MAX);
            self.degree = self.degree.max(degree as u16);
        }
        if let Some(rtt) = delivery.rack_rtt {
            self.rtt = rtt;
        }
        let Some(latest) = delivery.latest else { return };
        let later = self.latest.is_none_or(|known| {
            latest.sent_at > known.sent_at || (latest.sent_at == known.sent_at && known.end.precedes(latest.end))
        });
        if later {
            self.latest = Some(latest);
        }
    }

    /// Step 4: a D-SACK says that we were too quick; the window grows, once a round trip.
    pub(crate) fn on_dsack(&mut self, una: SeqNum, nxt: SeqNum) {
        if self.dsack_round.is_some_and(|round| una.precedes(round)) {
            return;
        }
        self.dsack_round = Some(nxt);
        self.multiplier = self.multiplier.saturating_add(1).min(64);
        self.persist = PERSIST_RECOVERIES;
    }

    /// A loss was none: the original arrived behind what was sent later (Linux's `tcp_check_sack_reordering`). Step 3 sees that only
    /// where nothing was retransmitted, which is hardly ever where the window is too small.
    pub(crate) fn on_spurious(&mut self) {
        self.reordering_seen = true;
    }

    /// Step 4: a recovery ended.
    pub(crate) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.multiplier = 0;
        }
    }

    /// The retransmission that seemed delivered was not: what was delivered since tells anew.
    pub(crate) fn forget_latest(&mut self) {
        self.latest = None;
    }

    /// Whether it has learnt nothing that the next flight would need.
    pub(crate) fn is_blank(&self) -> bool {
        !self.reordering_seen && self.multiplier == 0
    }

    /// Whether reordering was ever seen on this connection.
    pub(crate) fn reordering_seen(&self) -> bool {
        self.reordering_seen
    }

    /// By how many segments something was late at most: Linux's `tp->reordering`, which begins at the duplicate threshold.
    pub(crate) fn degree(&self) -> u32 {
        u32::from(self.degree).max(DUP_THRESH)
    }

    fn reordering_window(&self, flight: &Flight, around: &Surroundings) -> Duration {
        if !self.reordering_seen && (around.in_recovery || flight.sacked() >= DUP_THRESH * around.mss) {
            return Duration::ZERO;
        }
        let quarter = around.min_rtt / 4;
        let step = quarter.max(around.srtt / STEP_DIVISOR);
        (quarter + step * u32::from(self.multiplier)).min(around.srtt.max(SHORT_PATH_WINDOW))
    }

    /// Step 5: marks what is lost; answers those octets and the time until the timer should look again.
    pub(crate) fn detect(&self, flight: &mut Flight, around: &Surroundings, now: Instant) -> (u32, Option<Duration>) {
        let Some(latest) = self.latest else { return (0, None) };
        let patience = self.rtt + self.reordering_window(flight, around);
        flight.detect_lost(latest, patience, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reordering_that_was_taken_for_loss_widens_the_window() {
        let flight = Flight::default();
        let around = Surroundings {
            in_recovery: false,
            min_rtt: Duration::from_millis(40),
            srtt: Duration::from_millis(50),
            mss: 1000,
        };
        let mut rack = Rack::default();
        let window = |rack: &Rack| rack.reordering_window(&flight, &around).as_millis();
        assert_eq!(window(&rack), 10, "a quarter of the least round trip");
        rack.on_dsack(SeqNum(0), SeqNum(10_000));
        rack.on_dsack(SeqNum(5000), SeqNum(12_000));
        assert_eq!(window(&rack), 20, "once a round trip");
        for round in 1..20 {
            rack.on_dsack(SeqNum(round * 10_000), SeqNum(round * 10_000 + 10_000));
        }
        assert_eq!(window(&rack), 50, "SRTT at most");
        for _ in 0..PERSIST_RECOVERIES {
            rack.on_recovered();
        }
        assert_eq!(window(&rack), 10, "and sixteen recoveries without forget it");
    }

    #[test]
    fn a_least_round_trip_of_nothing_does_not_keep_the_window_shut() {
        let flight = Flight::default();
        let around = Surroundings {
            in_recovery: true,
            min_rtt: Duration::from_micros(1),
            srtt: Duration::from_millis(16),
            mss: 1000,
        };
        let mut rack = Rack::default();
        rack.on_spurious();
        let window = |rack: &Rack| rack.reordering_window(&flight, &around).as_millis();
        assert_eq!(window(&rack), 0, "as RFC 8985 begins");
        rack.on_dsack(SeqNum(0), SeqNum(10_000));
        assert_eq!(window(&rack), 2);
        for round in 1..20 {
            rack.on_dsack(SeqNum(round * 10_000), SeqNum(round * 10_000 + 10_000));
        }
        assert_eq!(window(&rack), 16, "SRTT at most");
    }

    #[test]
    fn a_short_path_may_reorder_by_more_than_its_round_trip() {
        let flight = Flight::default();
        let around = Surroundings {
            in_recovery: true,
            min_rtt: Duration::from_millis(1),
            srtt: Duration::from_millis(1),
            mss: 1000,
        };
        let mut rack = Rack::default();
        assert_eq!(rack.reordering_window(&flight, &around), Duration::ZERO);
        rack.on_spurious();
        assert_eq!(rack.reordering_window(&flight, &around), Duration::from_micros(250));
        for round in 0..50 {
            rack.on_dsack(SeqNum(round * 10_000), SeqNum(round * 10_000 + 10_000));
        }
        assert_eq!(rack.reordering_window(&flight, &around), SHORT_PATH_WINDOW);
    }
}
