//! The flight: what was sent and not cumulatively acknowledged. One list serves as retransmission queue, SACK
//! scoreboard (RFC 2018, RFC 6675) and RACK list (RFC 8985).
//!
//! A record is one transmission, up to 64 KiB where the link splits; selective acknowledgments cut records at
//! their edges. Octets in flight are those outstanding, less those selectively acknowledged, less those taken for
//! lost and not sent again.

mod delivery;
mod marks;
#[cfg(test)]
mod tests;
mod whole;

use alloc::collections::VecDeque;
use core::time::Duration;

use prise_wire::{Instant, SackBlock, SeqNum};

pub(crate) use self::delivery::{Delivery, Latest, RoundTrips};
use self::marks::Marks;
use crate::tcp::congestion::rate::SendSnapshot;

/// A peer can cut a record with each block it sends; beyond this many we no longer cut (the block is ignored, which
/// only costs a retransmission) …
const RECORDS_MAX: usize = 16_384;
/// … unless there are so many octets in flight for each: where every second segment of 64 MiB is lost, each is a record.
const WORTH_A_RECORD: u32 = 512;

const SACKED: u8 = 1;
/// Taken for lost and waiting to be sent again.
const LOST: u8 = 2;
/// Sent more than once.
const RETRANSMITTED: u8 = 4;
/// Its last octet was pushed (RFC 9293 §3.9.1.2): so is its repetition, and of its parts the last.
const PUSHED: u8 = 8;
/// A record of the program's ends with it (`MSG_EOR`): nothing is joined to it.
const RECORD_END: u8 = 16;

/// One transmission.
#[allow(clippy::struct_field_names, reason = "`sent_at` says when, beside what")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) start: SeqNum,
    pub(crate) len: u32,
    pub(crate) sent_at: Instant,
    snapshot: SendSnapshot,
    flags: u8,
}

impl Sent {
    pub(crate) fn end(&self) -> SeqNum {
        self.start + self.len
    }

    fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Takes in the record behind it; both are selectively acknowledged. When they left matters only if the peer reneges:
    /// then the later time and the doubt are the safe ones.
    fn absorb(&mut self, next: &Self) {
        self.len += next.len;
        self.flags = self.flags & !PUSHED | next.flags & (RETRANSMITTED | PUSHED);
        if self.sent_at < next.sent_at {
            self.sent_at = next.sent_at;
            self.snapshot = next.snapshot;
        }
    }
}

/// The flight of one connection.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    records: VecDeque<Sent>,
    outstanding: u32,
    sacked: u32,
    lost: u32,
    /// Octets that duplicate acknowledgments tell of where the peer has no SACK (RFC 6582, Linux's
    /// `tcp_add_reno_sack`).
    reno_sacked: u32,
    /// End of the highest selectively acknowledged octet.
    fack: Option<SeqNum>,
    marks: Marks,
}

impl Flight {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Octets of memory that the records take.
    pub(crate) fn held(&self) -> usize {
        self.records.len() * size_of::<Sent>()
    }

    pub(crate) fn outstanding(&self) -> u32 {
        self.outstanding
    }

    pub(crate) fn sacked(&self) -> u32 {
        self.sacked + self.reno_sacked
    }

    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Octets believed to be in the network: RFC 6675 `pipe`.
    pub(crate) fn in_flight(&self) -> u32 {
        self.outstanding
            .saturating_sub(self.sacked + self.lost + self.reno_sacked)
    }

    pub(crate) fn retransmitting(&self) -> u32 {
        self.records
            .iter()
            .filter(|r| r.is(RETRANSMITTED) && !r.is(LOST | SACKED))
            .map(|r| r.len)
            .sum()
    }

    /// Octets sent again whose fate is unknown, and when the first of them left.
    pub(crate) fn retransmissions_out(&self) -> (u32, Option<Instant>) {
        let out = self.records.iter().filter(|r| r.is(RETRANSMITTED) && !r.is(SACKED));
        out.fold((0, None), |(octets, first), record| {
            let first = first.map_or(record.sent_at, |known: Instant| known.min(record.sent_at));
            (octets + record.len, Some(first))
        })
    }

    /// The record that is acknowledged next.
    pub(crate) fn front(&self) -> Option<&Sent> {
        self.records.front()
    }

    pub(crate) fn back(&self) -> Option<&Sent> {
        self.records.back()
    }

    /// The transmission that was recorded last ended with a push.
    pub(crate) fn mark_pushed(&mut self) {
        if let Some(back) = self.records.back_mut() {
            back.flags |= PUSHED;
        }
    }

    /// What was sent last ends a record of the program's.
    pub(crate) fn mark_record_end(&mut self) {
        if let Some(back) = self.records.back_mut() {
            back.flags |= RECORD_END;
        }
    }

    /// Records a first transmission.
    pub(crate) fn push(&mut self, start: SeqNum, len: u32, now: Instant, snapshot: SendSnapshot) {
        self.outstanding += len;
        self.records.push_back(Sent {
            start,
            len,
            sent_at: now,
            snapshot,
            flags: 0,
        });
    }

    /// `snd.una` advanced to `una`.
    pub(crate) fn acknowledge(&mut self, una: SeqNum, delivery: &mut Delivery) {
        while let Some(front) = self.records.front_mut() {
            let covered = if front.end().precedes_or_equals(una) {
                front.len
            } else if front.start.precedes(una) {
                una.distance_from(front.start)
            } else {
                break;
            };
            let part = Sent { len: covered, ..*front };
            if covered == front.len {
                self.records.pop_front();
            } else {
                front.start = una;
                front.len -= covered;
            }
            self.outstanding -= covered;
            delivery.acked += covered;
            delivery.repeated |= part.is(RETRANSMITTED);
            if part.is(SACKED) {
                // Its length is that of many, which were joined.
                self.sacked -= covered;
                continue;
            }
            delivery.largest = delivery.largest.max(covered);
            if part.is(LOST) {
                self.lost -= covered;
            }
            if self.fack.is_some_and(|fack| part.end().precedes(fack)) && !part.is(RETRANSMITTED) {
                delivery.note_reordered(part.start);
            }
            delivery.deliver_cumulatively(&part);
        }
        self.marks.forget(una);
        if self.fack.is_some_and(|fack| fack.precedes_or_equals(una)) {
            self.fack = None;
        }
        self.reno_sacked = self.reno_sacked.min(self.outstanding.saturating_sub(self.lost));
    }

    /// The peer holds `range`.
    pub(crate) fn sack(&mut self, range: SackBlock, delivery: &mut Delivery) {
        let fack_before = self.fack;
        let mut index = self
            .records
            .partition_point(|record| record.end().precedes_or_equals(range.left));
        while let Some(record) = self.records.get(index) {
            if !record.start.precedes(range.right) {
                break;
            }
            if !record.is(SACKED) {
                let cut_front = record.start.precedes(range.left);
                let cut_back = range.right.precedes(record.end());
                if cut_back && !cut_front && self.is_sacked_before(index) {
                    // What usually comes: the block has grown by a part of the next unit.
                    let len = range.right.distance_from(record.start);
                    self.move_edge(index, len, fack_before, delivery);
                    break;
                }
                if (cut_front || cut_back) && self.has_too_many_records() {
                    index += 1;
                    continue;
                }
                if cut_front {
                    self.split(index, range.left);
                    index += 1;
                }
                if cut_back {
                    self.split(index, range.right);
                }
                let mut part = self.records[index];
                self.deliver_selectively(&mut part, fack_before, delivery);
                self.records[index] = part;
                index = self.merge_sacked(index);
            }
            index += 1;
        }
        if self.fack.is_none_or(|fack| fack.precedes(range.right)) {
            self.fack = Some(range.right);
        }
    }

    fn has_too_many_records(&self) -> bool {
        let count = self.records.len();
        count >= RECORDS_MAX && count > (self.outstanding / WORTH_A_RECORD) as usize
    }

    fn is_sacked_before(&self, index: usize) -> bool {
        index > 0 && self.records[index - 1].is(SACKED)
    }

    /// The first `len` octets of a record join the selectively acknowledged record before it.
    fn move_edge(&mut self, index: usize, len: u32, fack: Option<SeqNum>, delivery: &mut Delivery) {
        let record = &mut self.records[index];
        let mut part = Sent { len, ..*record };
        record.start += len;
        record.len -= len;
        self.deliver_selectively(&mut part, fack, delivery);
        self.records[index - 1].absorb(&part);
    }

    /// Joins a selectively acknowledged record with its neighbors that are, so that the list grows with the holes and not
    /// with what has arrived behind them. Answers where it is now.
    fn merge_sacked(&mut self, mut index: usize) -> usize {
        if self.is_sacked_before(index)
            && let Some(record) = self.records.remove(index)
        {
            index -= 1;
            self.records[index].absorb(&record);
        }
        if self.records.get(index + 1).is_some_and(|next| next.is(SACKED))
            && let Some(next) = self.records.remove(index + 1)
        {
            self.records[index].absorb(&next);
        }
        index
    }

    fn deliver_selectively(&mut self, record: &mut Sent, fack: Option<SeqNum>, delivery: &mut Delivery) {
        self.sacked += record.len;
        delivery.sacked += record.len;
        if record.is(LOST) {
            self.lost -= record.len;
            record.flags &= !LOST;
        }
        if fack.is_some_and(|fack| record.end().precedes(fack)) && !record.is(RETRANSMITTED) {
            delivery.note_reordered(record.start);
        }
        delivery.deliver_selectively(record);
        record.flags |= SACKED;
    }

    fn split(&mut self, index: usize, at: SeqNum) {
        let record = &mut self.records[index];
        let first = at.distance_from(record.start);
        let second = Sent {
            start: at,
            len: record.len - first,
            ..*record
        };
        record.len = first;
        record.flags &= !(PUSHED | RECORD_END);
        self.records.insert(index + 1, second);
    }

    /// RFC 8985 §6.2 step 5: takes for lost what was sent a reordering window before the latest delivered segment.
    /// Answers the octets newly lost and how long until the next record would be.
    pub(crate) fn detect_lost(&mut self, latest: Latest, patience: Duration, now: Instant) -> (u32, Option<Duration>) {
        let mut newly = 0;
        let mut wait: Option<Duration> = None;
        let fresh = self.index_of(self.marks.fresh);
        let mut first_fresh = None;
        let mut index = 0;
        while let Some(record) = self.records.get_mut(index) {
            index += 1;
            if record.is(SACKED | LOST) {
                continue;
            }
            let sent_before = record.sent_at < latest.sent_at
                || (record.sent_at == latest.sent_at && record.end().precedes(latest.end));
            if !sent_before {
                if !record.is(RETRANSMITTED) {
                    // Never retransmitted and sent later: so are all behind it, except retransmitted ones, which are
                    // later still.
                    first_fresh.get_or_insert(record.start);
                    break;
                }
                if index < fresh && !self.marks.disordered {
                    index = fresh;
                }
                continue;
            }
            let due = record.sent_at + patience;
            if due <= now {
                record.flags |= LOST;
                newly += record.len;
                self.marks.note_lost(record.start);
            } else {
                if !record.is(RETRANSMITTED) {
                    first_fresh.get_or_insert(record.start);
                }
                let left = due.saturating_since(now);
                wait = Some(wait.map_or(left, |known| known.max(left)));
            }
        }
        self.marks.fresh = first_fresh.or(self.records.back().map(Sent::end));
        self.lost += newly;
        (newly, wait)
    }

    /// The first record that ends behind `at`.
    fn index_of(&self, at: Option<SeqNum>) -> usize {
        at.map_or(0, |at| {
            self.records
                .partition_point(|record| record.end().precedes_or_equals(at))
        })
    }

    /// Takes the first `len` octets for lost, where only duplicate acknowledgments tell (RFC 6582).
    pub(crate) fn lose_front(&mut self, len: u32) -> bool {
        let Some(front) = self.records.front().copied() else {
            return false;
        };
        if front.is(LOST | SACKED) {
            return false;
        }
        if front.len > len {
            self.split(0, front.start + len);
        }
        self.records[0].flags |= LOST;
        self.lost += self.records[0].len;
        self.marks.note_lost(front.start);
        self.reno_sacked = self.reno_sacked.min(self.outstanding - self.lost);
        true
    }

    /// The highest octet that the peer has reported, and what follows it.
    pub(crate) fn fack(&self) -> Option<SeqNum> {
        self.fack
    }

    /// A duplicate acknowledgment without SACK: one more segment has left the network.
    pub(crate) fn count_duplicate(&mut self, mss: u32) -> u32 {
        let before = self.reno_sacked;
        self.reno_sacked = (before + mss)
            .min(self.outstanding.saturating_sub(self.lost))
            .max(before);
        self.reno_sacked - before
    }

    /// The acknowledged octets contained those that duplicate acknowledgments had told of: so many.
    pub(crate) fn uncount_duplicates(&mut self, acked: u32, mss: u32) -> u32 {
        let told = self.reno_sacked.min(acked.saturating_sub(mss));
        self.reno_sacked -= told;
        told
    }

    /// A retransmission timeout: everything that is not selectively acknowledged is taken for lost. If the front
    /// is, the peer has thrown it away (RFC 2018 §8) and nothing it told is believed.
    pub(crate) fn lose_all(&mut self) {
        let reneged = self.records.front().is_some_and(|front| front.is(SACKED));
        self.reno_sacked = 0;
        if reneged {
            self.sacked = 0;
            self.fack = None;
        }
        let mut lost = 0;
        for record in &mut self.records {
            if reneged {
                record.flags &= !SACKED;
            }
            if !record.is(SACKED) {
                record.flags |= LOST;
                lost += record.len;
            }
        }
        self.lost = lost;
        self.marks.lost = self.records.front().map(|front| front.start);
    }

    /// Takes for lost what was larger than a segment may be now. Answers whether there was any.
    pub(crate) fn lose_larger(&mut self, size: u32) -> bool {
        let mut any = false;
        for record in &mut self.records {
            if record.len > size && !record.is(SACKED | LOST) {
                record.flags |= LOST;
                self.lost += record.len;
                self.marks.note_lost(record.start);
                any = true;
            }
        }
        any
    }

    /// What was taken for lost was not: it is in flight again.
    pub(crate) fn forgive_lost(&mut self) {
        if self.lost > 0 {
            for record in &mut self.records {
                record.flags &= !LOST;
            }
            self.lost = 0;
            (self.marks.lost, self.marks.fresh) = (None, None);
        }
    }

    /// Whether the octet at `start` is taken for lost and was not sent again.
    pub(crate) fn is_lost(&self, start: SeqNum) -> bool {
        let index = self
            .records
            .partition_point(|record| record.end().precedes_or_equals(start));
        self.records.get(index).is_some_and(|record| record.is(LOST))
    }

    /// Whether the octet at `start` was sent more than once.
    pub(crate) fn was_retransmitted(&self, start: SeqNum) -> bool {
        let index = self
            .records
            .partition_point(|record| record.end().precedes_or_equals(start));
        self.records.get(index).is_some_and(|record| record.is(RETRANSMITTED))
    }

    /// The first record that waits to be sent again.
    pub(crate) fn first_lost(&self) -> Option<&Sent> {
        if self.lost == 0 {
            return None;
        }
        let from = self.index_of(self.marks.lost);
        self.records.range(from..).find(|record| record.is(LOST))
    }

    /// The lost record at `start` takes in lost ones behind it as long as they are `max` octets together and end by `limit`: small
    /// segments are sent again as one (`tcp_retrans_try_collapse`). Answers how long it is now. When the later ones left is
    /// forgotten: an acknowledgment of them that comes late makes the round trip longer than it was, never shorter.
    pub(crate) fn gather_lost(&mut self, start: SeqNum, max: u32, limit: SeqNum) -> Option<u32> {
        let index = self
            .records
            .partition_point(|record| record.end().precedes_or_equals(start));
        loop {
            let whole = *self
                .records
                .get(index)
                .filter(|record| record.start == start && record.is(LOST))?;
            let next = self.records.get(index + 1).filter(|next| {
                next.is(LOST)
                    && !whole.is(RECORD_END)
                    && whole.len + next.len <= max
                    && next.end().precedes_or_equals(limit)
            });
            let Some(&next) = next else {
                return Some(whole.len);
            };
            self.records.remove(index + 1);
            let record = &mut self.records[index];
            record.len += next.len;
            record.flags |= next.flags & (RETRANSMITTED | PUSHED | RECORD_END);
        }
    }

    /// `[start, start + len)`, the front of the first lost record, was sent again; answers whether it ends with a push.
    pub(crate) fn retransmitted(&mut self, start: SeqNum, len: u32, now: Instant, snapshot: SendSnapshot) -> bool {
        let index = self
            .records
            .partition_point(|record| record.end().precedes_or_equals(start));
        let Some(record) = self.records.get(index) else {
            return false;
        };
        debug_assert!(
            record.start == start && record.len >= len,
            "a record's front is retransmitted"
        );
        if record.len > len {
            self.split(index, start + len);
        }
        let record = &mut self.records[index];
        let was_lost = record.is(LOST);
        if was_lost {
            self.lost -= record.len;
        }
        record.flags = (record.flags & !LOST) | RETRANSMITTED;
        record.sent_at = now;
        record.snapshot = snapshot;
        let (pushed, end) = (record.is(PUSHED), record.end());
        if was_lost {
            self.marks.lost = Some(end);
        }
        self.marks.note_resent(start, end);
        pushed
    }

    /// Cuts the last `len` octets off the last record, so that a probe can repeat just them; answers their start.
    pub(crate) fn isolate_tail(&mut self, len: u32) -> Option<Sent> {
        let back = *self.records.back()?;
        if back.len > len {
            self.split(self.records.len() - 1, back.start + back.len - len);
        }
        self.records.back().copied()
    }
}
