//! How often a half-open connection or one in TIME-WAIT answers what does not fit (RFC 5961 §7; `tcp_oow_rate_limited`): else a stranger makes
//! us send a segment for each of his, and two ends that remember different connections answer each other without end. `Connection`
//! has the same rule of its own.

use core::time::Duration;

use super::connection::timestamp_clock;
use super::segment::Segment;

/// When something was last answered, in milliseconds that wrap after a minute; 0 for never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerLimit(u16);

impl AnswerLimit {
    /// Whether this segment is answered: what has data always, for no loop is made of that, anything else once in an `interval`.
    pub(crate) fn allows(&mut self, seg: &Segment, interval: Duration) -> bool {
        let now = (timestamp_clock(seg.at) as u16).max(1);
        let since = Duration::from_millis(now.wrapping_sub(self.0).into());
        let allowed = self.0 == 0 || since >= interval || (seg.data_len() > 0 && !seg.flags.syn());
        if allowed {
            self.0 = now;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use prise_wire::{Body, Instant, Payload, TcpHeader};

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
        assert!(answered(65_530, 0), "the first");
        assert!(!answered(65_540, 0) && !answered(66_029, 0), "beyond the wrap, too");
        assert!(answered(66_030, 0));
        assert!(answered(66_031, 1) && answered(66_032, 1));
        assert!(!answered(66_531, 0), "data count as well");
    }
}
