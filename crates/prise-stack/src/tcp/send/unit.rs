//! How large a unit that the link splits may be: as Linux sizes and defers its TSO packets (`tcp_tso_autosize`, `tcp_cwnd_test`,
//! `tcp_tso_should_defer`). Small enough that bursts stay short, large enough that they cost little.

use core::time::Duration;

use prise_wire::Instant;

use super::output::{NextSegment, UNIT_MAX};
use crate::tcp::connection::Connection;
use crate::tcp::info::LossState;

/// What leaves at once is worth so much of the rate: Linux's `sk_pacing_shift` of 10, about a millisecond.
const WORTH_SHIFT: u32 = 10;
/// A peer as near as this many microseconds gets whole units; each further one halves what is added (`tcp_tso_rtt_log`).
const NEAR_SHIFT: u32 = 9;
/// A unit is held back for no longer than this since the last one left.
const PATIENCE: Duration = Duration::from_millis(1);

impl Connection {
    /// What may leave at once: a millisecond's worth of the rate, more if the peer is near, and some segments at least.
    pub(super) fn unit_worth(&self) -> u32 {
        let size = self.segment_size();
        // Each segment before an urgent octet has a pointer of its own, which who splits units need not know (tcp_urg_mode).
        if self.is_urgent() {
            return size;
        }
        if let Some(rate) = self.pacing_rate() {
            // On a short path a small part of the window, or the burst alone would overflow a queue that is right for the path.
            let part = self.congestion.cwnd() / 16;
            return u32::try_from(rate / 1000)
                .unwrap_or(UNIT_MAX)
                .min(part)
                .max(2 * size)
                // A segment may be larger than half a unit, where the MTU is.
                .min(UNIT_MAX);
        }
        let srtt = self.rtt.srtt().as_micros() as u64;
        if srtt == 0 {
            return UNIT_MAX;
        }
        let cwnd = self.congestion.cwnd();
        // tcp_update_pacing_rate: twice the window in a round trip while it grows fast, a little more than it afterwards.
        let percent = if cwnd < self.congestion.ssthresh() / 2 {
            200
        } else {
            120
        };
        let rate = u64::from(cwnd) * 1_000_000 / 100 * percent / srtt;
        let near = (self.min_rtt().as_micros() as u64) >> NEAR_SHIFT;
        let bonus = if near < 32 { 65_536 >> near } else { 0 };
        let worth = u32::try_from((rate >> WORTH_SHIFT) + bonus).unwrap_or(UNIT_MAX);
        worth
            .max(size.saturating_mul(self.config.tuning().min_unit_segments.max(1)))
            .min(UNIT_MAX)
    }

    fn is_urgent(&self) -> bool {
        let up = self.sending.as_ref().and_then(|sending| sending.up);
        up.is_some_and(|up| self.snd.una.precedes(up))
    }

    /// At least two units make a window, so that there is always one on the way while the other is acknowledged.
    pub(super) fn half_window(&self) -> u32 {
        let size = self.segment_size();
        (self.congestion.cwnd() / size / 2).max(1) * size
    }

    /// Whether what could leave is better held back, because the acknowledgment that lets a larger unit go is near.
    pub(super) fn waits_for_more(&self, now: Instant, data: NextSegment, unit_max: u32) -> bool {
        let NextSegment::Data { len, fin } = data else {
            return false;
        };
        if !self.config.tuning().defer_units {
            return false;
        }
        let (size, unsent) = (self.segment_size(), self.unsent());
        let Some(sending) = self.sending.as_deref() else {
            return false;
        };
        let recovering = matches!(sending.recovery.state, LossState::Recovery | LossState::Loss);
        if fin || !self.flags.link_splits() || unsent <= size || recovering || self.last_sent.age(now) > PATIENCE {
            return false;
        }
        let Some(front) = sending.flight.front() else {
            return false;
        };
        let outstanding = self.snd.nxt.distance_from(self.snd.una);
        let cwnd = self.congestion.cwnd();
        let by_window = self.snd.wnd.saturating_sub(outstanding);
        let by_cwnd = cwnd.saturating_sub(sending.flight.in_flight());
        let limit = by_window.min(by_cwnd);
        if limit >= unit_max / size * size || len >= unsent {
            return false;
        }
        let divisor = self.config.tuning().unit_window_divisor;
        let enough = match divisor {
            0 => 3 * size,
            parts => self.snd.wnd.min(cwnd) / parts,
        };
        if limit >= enough {
            return false;
        }
        let srtt = self.rtt.srtt();
        let threshold = (srtt / 2).min(PATIENCE);
        now + threshold >= front.sent_at + srtt
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use prise_wire::Payload;

    use crate::tcp::TcpConfig;
    use crate::tcp::tests::World;

    #[test]
    fn before_an_urgent_octet_each_segment_has_a_pointer_of_its_own() {
        let mut world = World::with_links(5, 1500, 65_535);
        let (client, _) = world.connect();
        let already = world.log.len();
        let mut data = Payload::from(alloc::vec![7; 10_000]);
        let now = world.now;
        assert_eq!(
            world.stacks[0].tcp_send(now, client, &mut data, false, true),
            Ok(10_000)
        );
        world.run_for(Duration::from_secs(1));
        let sent = world.log[already..]
            .iter()
            .filter(|(side, _, len)| *side == 0 && *len > 0);
        let sent: alloc::vec::Vec<_> = sent.map(|(_, header, len)| (header.seq, header.urgent, *len)).collect();
        let up = sent[0].0 + 10_000;
        assert!(sent.len() >= 7, "{sent:?}");
        for (seq, urgent, len) in &sent {
            assert!(*len <= 1448, "{sent:?}");
            assert_eq!(*seq + u32::from(*urgent), up, "{sent:?}");
        }
        // What comes after it is told in large units again.
        let already = world.log.len();
        let mut data = Payload::from(alloc::vec![7; 10_000]);
        let now = world.now;
        assert_eq!(
            world.stacks[0].tcp_send(now, client, &mut data, false, false),
            Ok(10_000)
        );
        world.run_for(Duration::from_secs(1));
        assert!(
            world.log[already..]
                .iter()
                .any(|(side, _, len)| *side == 0 && *len > 1448)
        );
    }

    /// What Linux does by `tcp_autocorking`, which looks at what waits in the device's queue: here segments are made when the link takes
    /// them.
    #[test]
    fn small_writes_that_the_link_has_not_taken_leave_together_although_nothing_holds_them_back() {
        let mut world = World::new(6);
        let (client, _) = world.connect();
        let now = world.now;
        let nodelay = TcpConfig {
            nodelay: true,
            ..TcpConfig::default()
        };
        world.stacks[0].tcp_set_config(now, client, nodelay);
        let already = world.log.len();
        for _ in 0..5 {
            let mut data = Payload::from(alloc::vec![7; 100]);
            assert_eq!(world.stacks[0].tcp_send(now, client, &mut data, false, false), Ok(100));
        }
        world.run_for(Duration::from_secs(1));
        let sent = world.log[already..]
            .iter()
            .filter(|(side, _, len)| *side == 0 && *len > 0);
        let sizes: alloc::vec::Vec<usize> = sent.map(|(_, _, len)| *len).collect();
        assert_eq!(sizes, [500]);
    }
}
