//! How often a connection, a half-open one or one in TIME-WAIT answers what does not fit (RFC 5961 §7; `tcp_oow_rate_limited`): else a
//! stranger makes us send a segment for each of his, and two ends that remember different connections answer each other without end.

use core::time::Duration;

use prise_wire::Instant;

use super::connection::timestamp_clock;
use super::segment::Segment;

/// When something was last answered, in milliseconds; 0 for never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerLimit(u32);

impl AnswerLimit {
    /// Whether this segment is answered: what has data or a FIN always, for no loop is made of that, anything else once in an `interval`.
    pub(crate) fn allows(&mut self, seg: &Segment, interval: Duration) -> bool {
        let unlimited = seg.len() > 0 && !seg.flags.syn();
        unlimited || self.allows_challenge(seg.at, interval)
    }

    /// Whether a challenge ACK may leave.
    pub(crate) fn allows_challenge(&mut self, now: Instant, interval: Duration) -> bool {
        let now = timestamp_clock(now).max(1);
        let since = Duration::from_millis(now.wrapping_sub(self.0).into());
        let allowed = self.0 == 0 || since >= interval;
        if allowed {
            self.0 = now;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use prise_wire::{Body, Payload, TcpFlags, TcpHeader};

    use super::*;

    fn segment(at: u64, octets: usize) -> Segment {
        let body = Body::from(Payload::from(alloc::vec![0; octets]));
        Segment::new(&TcpHeader::default(), body, Instant::from_millis(at), 0)
    }

    #[test]
    fn what_has_no_data_is_answered_once_in_an_interval_and_data_always() {
        let interval = Duration::from_millis(500);
        let mut limit = AnswerLimit::default();
        let mut answered = |at, octets| limit.allows(&segment(at, octets), interval);
        let wrap = 1 << 32;
        assert!(answered(wrap - 10, 0), "the first");
        assert!(!answered(wrap, 0) && !answered(wrap + 489, 0), "beyond the wrap, too");
        assert!(answered(wrap + 490, 0));
        assert!(answered(wrap + 900, 1) && answered(wrap + 901, 1));
        assert!(answered(wrap + 990, 0), "data do not count");
    }

    #[test]
    fn a_fin_is_answered_as_data_are_and_a_syn_never_is() {
        let interval = Duration::from_millis(500);
        let mut limit = AnswerLimit::default();
        let with = |flags| {
            let mut seg = segment(5_000, 0);
            seg.flags = flags;
            seg
        };
        assert!(limit.allows(&with(TcpFlags::SYN), interval));
        assert!(limit.allows(&with(TcpFlags::FIN), interval) && limit.allows(&with(TcpFlags::FIN), interval));
        assert!(!limit.allows(&with(TcpFlags::SYN | TcpFlags::FIN), interval));
    }
}
