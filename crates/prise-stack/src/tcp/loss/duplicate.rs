//! What a peer reports to have come twice (RFC 2883), and whether it tells of our retransmissions: a network that doubles packets has as
//! much reported. Called by `ack`; the counters are `trouble`'s.

use prise_wire::{SackBlock, SeqNum};

/// RFC 2883 §4: the first block reports a duplicate if it lies below the cumulative acknowledgment or within the
/// second block.
pub(crate) fn is_dsack(first: SackBlock, ack: SeqNum, second: Option<&SackBlock>) -> bool {
    first.left.precedes(ack)
        || second.is_some_and(|second| {
            second.left.precedes_or_equals(first.left) && first.right.precedes_or_equals(second.right)
        })
}

/// One report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Duplicate {
    /// As many segments; none if no window has ever been so large.
    pub(crate) segments: u32,
    /// Where they end.
    pub(crate) end: SeqNum,
    /// It is the tail loss probe, which no reordering has brought out (`FLAG_DSACK_TLP`).
    pub(crate) is_probe: bool,
    /// We have sent as much twice.
    pub(crate) is_believed: bool,
}

impl Duplicate {
    /// What a block reports where segments have `size` octets, windows had `max_window` at most, and a probe is out up to `probe_end`.
    pub(crate) fn of(block: SackBlock, size: u32, max_window: u32, probe_end: Option<SeqNum>) -> Self {
        let len = block.right.distance_from(block.left);
        if !block.left.precedes(block.right) || len > max_window {
            return Self::default();
        }
        // A FIN that went along has a number, too, which not everybody reports.
        let ends_like = |end| end == block.right || end == block.right + 1;
        Self {
            segments: len.div_ceil(size),
            end: block.right,
            is_probe: len <= size && probe_end.is_some_and(ends_like),
            is_believed: false,
        }
    }

    /// Beyond what we have sent again (`resent`) it is the network's, what it `reported` before included (`tcp_dsack_seen`).
    pub(crate) fn believed(self, reported: u32, resent: u32) -> Self {
        let is_believed = self.segments > 0 && reported.saturating_add(self.segments) <= resent;
        Self { is_believed, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_believed_to_have_come_twice_than_was_sent_twice() {
        let block = |left: u32, right: u32| SackBlock {
            left: SeqNum(left),
            right: SeqNum(right),
        };
        let of = |left, right| Duplicate::of(block(left, right), 1000, 10_000, Some(SeqNum(5000)));
        let three = of(1, 2002);
        assert_eq!((three.segments, three.is_probe), (3, false));
        assert!(three.believed(2, 5).is_believed && !three.believed(3, 5).is_believed);
        assert!(of(4000, 5000).is_probe && of(4500, 4999).is_probe && !of(3000, 5000).is_probe);
        assert_eq!(of(0, 10_001).segments, 0, "no window was so large");
        assert!(!of(0, 10_001).believed(0, 100).is_believed);
    }
}
