//! The window we advertise (RFC 9293 §3.8.6), and the buffer behind it that grows by measurement.

use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use crate::tcp::connection::Moment;
use crate::tcp::tuning::{NEAR_RECEIVE, bound};

/// Linux's `tcp_rmem`: where a receive buffer starts, …
pub(crate) const BUFFER_INITIAL: u32 = 131_072;
/// … and how far it may grow: as far as a window with a shift of 10 can say, which is what Linux offers with a `tcp_rmem` of
/// 32 MiB. Over a long path that loses much, several round trips of octets wait behind the hole that was lost again and again.
pub(crate) const BUFFER_MAX: u32 = 0xffff << 10;

/// Where a sender doubles what it sends in a round trip, three of them lie between what is measured and what is in flight when the
/// next measurement reaches it: the buffer is to hold eight times what was read then, and twice that of a steady sender.
const GROWTH: u64 = 3;

/// The receive window of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveWindow {
    /// The right edge we have told the peer: it never retreats (RFC 9293 §3.8.6).
    advertised: SeqNum,
    /// Octets the receive queue may hold.
    limit: u32,
    /// The measurement: octets that the program read since `since`, and what it read in the round before.
    copied: u32,
    space: u32,
    since: Moment,
    /// The receiver's estimate of the round trip, in microseconds.
    rtt: u32,
    /// The timing of one window: when this octet arrives, a round trip has passed.
    rtt_mark: SeqNum,
    rtt_at: Moment,
}

/// What bounds an advertised window besides its buffer, in octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// What the program allows (`TCP_WINDOW_CLAMP`): small segments are all that it gets then.
    pub(crate) clamp: u32,
    /// What memory is left for, and what the field can say: what they take away is no reason for small segments.
    pub(crate) room: u32,
}

impl Bounds {
    #[cfg(test)]
    const NONE: Self = Self {
        clamp: u32::MAX,
        room: u32::MAX,
    };

    fn least(self) -> u32 {
        self.clamp.min(self.room)
    }
}

impl ReceiveWindow {
    pub(crate) fn new(next: SeqNum, limit: u32, now: Instant) -> Self {
        Self {
            advertised: next,
            limit,
            copied: 0,
            space: limit / 4,
            since: Moment::at(now),
            rtt: 0,
            rtt_mark: next,
            rtt_at: Moment::at(now),
        }
    }

    /// The peer's SYN told where its octets start; our own had promised this window before.
    pub(crate) fn start_at(&mut self, next: SeqNum, promised: u32) {
        self.advertised = next + promised;
        self.rtt_mark = next;
    }

    /// The peer has been told of this edge, by another account than ours.
    pub(crate) fn note_edge(&mut self, edge: SeqNum) {
        if self.advertised.precedes(edge) {
            self.advertised = edge;
        }
    }

    /// The right edge as the peer knows it.
    #[cfg(test)]
    pub(crate) fn right_edge(&self) -> SeqNum {
        self.advertised
    }

    /// What the program has read in a round trip at most (`tcpi_rcv_space`).
    pub(crate) fn space(&self) -> u32 {
        self.space
    }

    /// Ten segments are what a first round trip brings at most (`tcp_init_buffer_space`).
    pub(crate) fn expect_segments_of(&mut self, mss: u32) {
        self.space = self.limit.min(10 * mss);
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// `SO_RCVBUF` or the buffer of the peer's handshake. An edge already told stays.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_micros(u64::from(self.rtt))
    }

    /// What remains of the advertised window.
    pub(crate) fn remaining(&self, next: SeqNum) -> u32 {
        if next.precedes(self.advertised) {
            self.advertised.distance_from(next)
        } else {
            0
        }
    }

    /// The window to put into a segment now, given `rcv.nxt` and what the program has not read. Moves the edge.
    pub(crate) fn advertise(&mut self, next: SeqNum, queued: u32, mss: u32, scale: u8, bounds: Bounds) -> u16 {
        let window = self.choose(next, queued, mss, scale, bounds);
        // A promise that the field cannot say is rounded up while there is room: rounded down, the edge would retreat
        // before the peer's eyes (RFC 7323 §2.4 has it retreat only if it must; what was promised is taken anyway).
        let whole = window.div_ceil(1 << scale);
        let fits = whole << scale <= self.limit.saturating_sub(queued).min(bounds.least());
        let field = if fits { whole } else { window >> scale }.min(0xffff);
        let edge = next + (field << scale);
        if self.advertised.precedes(edge) {
            self.advertised = edge;
        }
        field as u16
    }

    /// The window that would be advertised: free space, in silly-window avoidance (§3.8.6.2.2) moved only by a
    /// segment or half the buffer at least, and never below what was promised.
    fn choose(&self, next: SeqNum, queued: u32, mss: u32, scale: u8, bounds: Bounds) -> u32 {
        let promised = self.remaining(next);
        // A buffer below the unit of the field could never be offered at all.
        let unit = 1 << scale;
        let limit = self.limit.max(unit);
        // Nor could the program's bound; Linux rounds it up (`__tcp_select_window`).
        let clamp = bounds.clamp.checked_next_multiple_of(unit).unwrap_or(u32::MAX);
        let free = limit.saturating_sub(queued).min(clamp).min(bounds.room);
        if free <= promised {
            return promised;
        }
        // The field cannot say less than a unit: a rest of the promise that is smaller looks like a shut window, and in a
        // small buffer nothing else would ever open it.
        let shown = promised >> scale << scale;
        if free - shown < mss.min(limit.min(clamp) / 2) {
            return promised;
        }
        // Round down to what the field can say, but not below the promise.
        ((free >> scale) << scale).max(promised)
    }

    /// The program has read: whether the peer should hear of the new window at once. Linux's rule: when it at
    /// least doubles what the peer believes to have.
    pub(crate) fn update_due(&self, next: SeqNum, queued: u32, mss: u32, scale: u8, bounds: Bounds) -> bool {
        let now = self.remaining(next) >> scale << scale;
        if now > self.limit.min(bounds.least()) / 2 {
            return false;
        }
        let then = self.choose(next, queued, mss, scale, bounds);
        then >= mss.min(self.limit.min(bounds.clamp) / 2) && then >= 2 * now
    }

    /// Data arrived: one window takes about one round trip, which is how a receiver that sends nothing measures it.
    pub(crate) fn on_data(&mut self, next: SeqNum, now: Instant) {
        if next.precedes(self.rtt_mark) {
            return;
        }
        let sample = self.rtt_at.age(now).as_micros().min(10_000_000) as u32;
        self.rtt = match self.rtt {
            0 => sample.max(1),
            // Upper bounds all: believe the smaller quickly, the larger slowly.
            known if sample < known => sample.max(1),
            known => known - known / 8 + sample / 8,
        };
        self.rtt_at = Moment::at(now);
        self.rtt_mark = self.advertised;
    }

    /// Octets have arrived that reach `span` beyond what is acknowledged: they take room until the hole is filled, and the
    /// program reads nothing meanwhile. What it read in a round trip has to fit behind them, or the sender would stand still for
    /// the window's sake in each recovery (Linux: `tcp_data_queue_ofo`, which also grows the buffer).
    pub(crate) fn on_hole(&mut self, span: u32, max: u32) {
        let grown = self.space.saturating_mul(4).saturating_add(span).min(max);
        self.limit = self.limit.max(grown);
    }

    /// The program read `count` octets: dynamic right-sizing. If it reads in a round trip more than it ever did,
    /// the buffer grows to twice that, so that the window is never what limits the sender.
    pub(crate) fn on_read(&mut self, count: u32, srtt: Duration, now: Instant, max: u32) {
        self.copied = self.copied.saturating_add(count);
        let rtt = match (self.rtt(), srtt) {
            (own, other) if own.is_zero() => other,
            (own, other) if other.is_zero() => own,
            (own, other) => own.min(other),
        };
        if rtt.is_zero() {
            return;
        }
        let max = bound(max, NEAR_RECEIVE, rtt);
        if self.copied > self.space {
            // Also before the round trip has passed: it can only become more.
            let twice = u64::from(self.copied) * 2 + 16 * 1460;
            let (more, before) = (u64::from(self.copied - self.space), u64::from(self.space.max(1)));
            let growth = (twice * GROWTH * more / before).clamp(twice, twice * GROWTH);
            let grown = u32::try_from(twice + growth).unwrap_or(u32::MAX).min(max);
            self.limit = self.limit.max(grown);
        }
        if self.since.age(now) < rtt {
            return;
        }
        self.space = self.space.max(self.copied);
        self.copied = 0;
        self.since = Moment::at(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::tuning::NEAR;

    // rfc: 9293 SHLD-14
    #[test]
    fn the_right_edge_never_retreats() {
        let start = SeqNum(100);
        let mut window = ReceiveWindow::new(start, 10_000, Instant::ZERO);
        assert_eq!(window.advertise(start, 0, 1000, 0, Bounds::NONE), 10_000);
        window.set_limit(2000);
        assert_eq!(window.advertise(start + 4000, 4000, 1000, 0, Bounds::NONE), 6000);
        assert_eq!(window.right_edge(), (start + 10_000));
    }

    // rfc: 7323 §2.4
    #[test]
    fn a_coarse_scale_moves_the_edge_back_only_where_there_is_no_room() {
        let start = SeqNum(0);
        let mut window = ReceiveWindow::new(start, 100_000, Instant::ZERO);
        assert_eq!(window.advertise(start, 0, 1000, 10, Bounds::NONE), 97);
        assert_eq!(window.advertise(start + 500, 0, 1000, 10, Bounds::NONE), 97);
        assert_eq!(window.right_edge(), start + 500 + (97 << 10));
        // Unread, they leave no room for more: the field is rounded down, the promise stays.
        assert_eq!(window.advertise(start + 700, 700, 1000, 10, Bounds::NONE), 96);
        assert_eq!(window.right_edge(), start + 500 + (97 << 10));
    }

    #[test]
    fn a_small_opening_is_not_told() {
        let start = SeqNum(0);
        let mut window = ReceiveWindow::new(start, 10_000, Instant::ZERO);
        window.advertise(start, 0, 1000, 0, Bounds::NONE);
        let next = start + 10_000;
        assert_eq!(window.advertise(next, 9900, 1000, 0, Bounds::NONE), 0);
        assert!(!window.update_due(next, 9900, 1000, 0, Bounds::NONE));
        assert!(window.update_due(next, 9000, 1000, 0, Bounds::NONE));
    }

    #[test]
    fn a_rest_of_the_promise_that_the_field_cannot_say_does_not_keep_the_window_shut() {
        let (start, scale) = (SeqNum(0), 10);
        let mut window = ReceiveWindow::new(start, 1152, Instant::ZERO);
        assert_eq!(window.advertise(start, 0, 1400, scale, Bounds::NONE), 1);
        // 24 octets came and were read: 1,000 remain promised, which is no unit.
        assert!(window.update_due(start + 24, 0, 1400, scale, Bounds::NONE));
        assert_eq!(window.advertise(start + 24, 0, 1400, scale, Bounds::NONE), 1);
        let mut tiny = ReceiveWindow::new(start, 100, Instant::ZERO);
        assert_eq!(
            tiny.advertise(start, 0, 1400, scale, Bounds::NONE),
            1,
            "less than a unit is a unit"
        );
    }

    #[test]
    fn what_the_program_allows_is_offered_though_no_segment_fits_and_the_field_cannot_say_it() {
        let (start, scale, mss) = (SeqNum(0), 11, 65_483);
        for (clamp, offered) in [(1152, 1), (5000, 3), (60_000, 30)] {
            let bounds = Bounds { clamp, ..Bounds::NONE };
            let mut window = ReceiveWindow::new(start, BUFFER_INITIAL, Instant::ZERO);
            assert_eq!(window.advertise(start, 0, mss, scale, bounds), offered, "{clamp}");
            let all = start + (u32::from(offered) << scale);
            assert!(
                window.update_due(all, 0, mss, scale, bounds),
                "{clamp}: as soon as it is read"
            );
            assert_eq!(
                window.advertise(all, 0, mss, scale, bounds),
                offered,
                "{clamp}: once it is read"
            );
        }
        // For want of memory nothing small is offered.
        let bounds = Bounds {
            room: 5000,
            ..Bounds::NONE
        };
        let mut window = ReceiveWindow::new(start, BUFFER_INITIAL, Instant::ZERO);
        assert_eq!(window.advertise(start, 0, mss, scale, bounds), 0);
    }

    #[test]
    fn what_waits_behind_a_hole_does_not_take_the_room_of_a_round_trip() {
        let mut window = ReceiveWindow::new(SeqNum(0), BUFFER_INITIAL, Instant::ZERO);
        window.on_hole(50_000, BUFFER_MAX);
        assert_eq!(window.limit(), BUFFER_INITIAL + 50_000);
        window.on_hole(20_000, BUFFER_MAX);
        assert_eq!(window.limit(), BUFFER_INITIAL + 50_000, "it never shrinks");
        window.on_hole(500_000, 200_000);
        assert_eq!(window.limit(), 200_000, "the bound is the program's or the host's");
    }

    #[test]
    fn the_buffer_grows_with_what_the_program_reads_in_a_round_trip() {
        let mut window = ReceiveWindow::new(SeqNum(0), BUFFER_INITIAL, Instant::ZERO);
        let rtt = Duration::from_millis(10);
        window.on_read(100_000, rtt, Instant::ZERO + rtt, BUFFER_MAX);
        assert!(window.limit() >= 400_000, "{}", window.limit());
    }

    #[test]
    fn the_buffer_is_ahead_of_a_sender_that_doubles() {
        let mut window = ReceiveWindow::new(SeqNum(0), BUFFER_INITIAL, Instant::ZERO);
        window.expect_segments_of(1460);
        let rtt = Duration::from_millis(10);
        for round in 1..6 {
            window.on_read(14_600 << round, rtt, Instant::ZERO + rtt * round, BUFFER_MAX);
            assert!(window.limit() >= 8 * (14_600 << round), "{}", window.limit());
        }
        // It has come to an end: what was asked for is enough.
        let limit = window.limit();
        window.on_read(14_600 << 5, rtt, Instant::ZERO + rtt * 6, BUFFER_MAX);
        assert_eq!(window.limit(), limit);
    }

    #[test]
    fn a_peer_that_is_near_fills_no_buffer_of_a_long_path() {
        let mut window = ReceiveWindow::new(SeqNum(0), BUFFER_INITIAL, Instant::ZERO);
        window.on_read(NEAR_RECEIVE, NEAR / 2, Instant::ZERO + NEAR / 4, BUFFER_MAX);
        assert_eq!(window.limit(), NEAR_RECEIVE);
        window.on_read(NEAR_RECEIVE, NEAR, Instant::ZERO + NEAR / 4, BUFFER_MAX);
        assert!(
            window.limit() > NEAR_RECEIVE,
            "further away it may be the path's: {}",
            window.limit()
        );
    }

    #[test]
    fn a_buffer_grows_before_the_round_trip_is_over() {
        let mut window = ReceiveWindow::new(SeqNum(0), BUFFER_INITIAL, Instant::ZERO);
        let rtt = Duration::from_millis(10);
        window.on_read(100_000, rtt, Instant::ZERO + rtt / 2, BUFFER_MAX);
        assert!(window.limit() >= 400_000, "{}", window.limit());
        assert_eq!(window.space(), BUFFER_INITIAL / 4, "the measurement goes on");
    }
}
