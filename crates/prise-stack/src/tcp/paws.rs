//! Protection against wrapped sequence numbers (RFC 7323 §5.3) where segments are reordered.
//!
//! A retransmission that fills the first hole moves TS.Recent to its own time. Originals that left shortly before it, fill other
//! holes and are only late have older timestamps then, and R1 has them dropped: one retransmission on a fast path that reorders makes
//! losses out of all that is late, which are retransmitted in turn, and the sender's window falls and falls. So what lies in a hole,
//! between octets that have arrived, is held against what TS.Recent was a little while ago. That protects as well: for an octet of
//! before the wrap to pass, 2³² octets would have to be sent within that while.
//!
//! Called from `arrival.rs`.

use super::connection::Connection;
use super::segment::Segment;

/// By how much, in milliseconds, a segment may be overtaken at least. At 100 Gbit/s 2³² octets take 340.
const GRACE: u32 = 20;

/// What TS.Recent was between one and two graces ago.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overtaken {
    floor: u32,
    /// What it was when this was written down.
    mark: u32,
    /// When that was, in milliseconds.
    marked_at: u32,
}

impl Overtaken {
    /// TS.Recent is no longer `old` from `now` on.
    fn note(known: Option<Self>, old: u32, now: u32) -> Self {
        let fresh = Self {
            floor: old,
            mark: old,
            marked_at: now,
        };
        match known {
            Some(known) if now.wrapping_sub(known.marked_at) < GRACE => known,
            Some(known) if now.wrapping_sub(known.marked_at) < 2 * GRACE => Self {
                floor: known.mark,
                ..fresh
            },
            _ => fresh,
        }
    }

    /// Whether a segment of this timestamp may have been overtaken.
    fn excuses(&self, value: u32, now: u32) -> bool {
        now.wrapping_sub(self.marked_at) < 2 * GRACE && value.wrapping_sub(self.floor).cast_signed() >= 0
    }
}

impl Connection {
    /// TS.Recent becomes another; while holes are open, what it was is remembered.
    pub(super) fn set_ts_recent(&mut self, value: u32, now: u32) {
        let old = core::mem::replace(&mut self.timestamps.recent, value);
        self.timestamps.recent_at = now;
        if old != value && self.receiving.as_ref().is_some_and(|receiving| receiving.has_holes()) {
            let known = self.rare().overtaken;
            self.rare().overtaken = Some(Overtaken::note(known, old, now));
        }
    }

    /// Whether a segment with an older timestamp than TS.Recent is one that a retransmission has overtaken: it fills a hole.
    pub(super) fn was_overtaken(&self, seg: &Segment, value: u32, now: u32) -> bool {
        let fills = |receiving: &super::receive::reassembly::Reassembly| {
            receiving
                .highest()
                .is_some_and(|highest| self.rcv.nxt.precedes(seg.end()) && seg.end().precedes(highest))
        };
        let excuses = |overtaken: Overtaken| overtaken.excuses(value, now);
        seg.data_len() > 0
            && !seg.flags.syn()
            && self.rare.as_ref().and_then(|rare| rare.overtaken).is_some_and(excuses)
            && self.receiving.as_deref().is_some_and(fills)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_what_the_recent_timestamp_was_one_or_two_graces_ago() {
        let mut overtaken = None;
        // One millisecond of the peer's clock in one of ours.
        for now in 1..=200 {
            let after = Overtaken::note(overtaken, 5000 + now - 1, now);
            assert!(after.excuses(5000 + now.saturating_sub(GRACE), now), "{after:?}");
            assert!(
                now <= 2 * GRACE || !after.excuses(5000 + now - 2 * GRACE - 1, now),
                "{after:?}"
            );
            overtaken = Some(after);
        }
        let last = overtaken.expect("it was noted");
        assert!(!last.excuses(5200, 250), "TS.Recent has stood for longer than that");
    }
}
