//! The receive queue: octets in order for the program, and those that wait behind a hole (RFC 9293 §3.10.7.4,
//! seventh check), by reference to the frames they came in.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use prise_wire::{Body, Payload, SackBlock, SeqNum};

use super::ranges::{Range, Ranges};
use crate::memory::Charge;

/// A hostile peer can open a hole with every octet; beyond this many ranges we refuse new ones, as RFC 2018 §8
/// allows a receiver to forget what it has selectively acknowledged …
const RANGES_MAX: usize = 4096;
/// … unless there are so many octets for each: where every second segment of a long, fast path is lost, which the end of slow start
/// does, 64 MiB of window have 20,000 ranges, and what is refused has crossed the path in vain.
const WORTH_A_RANGE: usize = 512;
/// Adjacent small pieces are copied together up to this size, so that a peer sending octet by octet cannot pin a
/// whole frame with each.
const COPY_MAX: usize = 2048;

/// What became of arriving octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// `rcv.nxt` advanced by so many octets; `filled` if a hole was closed. Some of it may have been here before.
    InOrder {
        octets: u32,
        filled: bool,
        duplicate: Option<SackBlock>,
    },
    /// Kept behind a hole; some of it may have been here before.
    OutOfOrder { duplicate: Option<SackBlock> },
    /// All of it was already here.
    Duplicate(SackBlock),
    /// Too many holes.
    Refused,
}

/// The receive queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    ready: VecDeque<Payload>,
    ready_len: u32,
    /// Octets of memory that the ready pieces and the ranges hold.
    ready_held: u32,
    ranges_held: u32,
    /// What of that the stack's account knows.
    pub(crate) charge: Charge,
    ranges: Ranges,
    /// Starts of the ranges touched last, newest first: the order of the blocks in a SACK option.
    recent: [Option<SeqNum>; 4],
}

impl Reassembly {
    /// Octets that the program can read.
    pub(crate) fn readable(&self) -> u32 {
        self.ready_len
    }

    /// Octets that wait behind a hole.
    pub(crate) fn out_of_order(&self) -> u32 {
        self.ranges.octets()
    }

    /// Octets of memory held.
    pub(crate) fn held(&self) -> u32 {
        self.ready_held.saturating_add(self.ranges_held)
    }

    /// Drops what waits behind holes, the farthest first, until no more than `share` is held. Answers whether any was.
    pub(crate) fn prune(&mut self, share: u32) -> bool {
        let before = self.ranges.len();
        while self.held() > share
            && let Some(range) = self.ranges.pop_last()
        {
            self.ranges_held -= range.held;
        }
        if self.ranges.is_empty() {
            self.forget_out_of_order();
        }
        self.ranges.len() < before
    }

    /// Throws away the range that is farthest from being needed; answers where it began.
    pub(crate) fn forget_farthest(&mut self) -> Option<SeqNum> {
        let range = self.ranges.pop_last()?;
        self.ranges_held -= range.held;
        if self.ranges.is_empty() {
            self.forget_out_of_order();
        }
        Some(range.start)
    }

    pub(crate) fn has_holes(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// The end of the highest octet that waits behind a hole.
    pub(crate) fn highest(&self) -> Option<SeqNum> {
        self.ranges.last().map(|range| range.end)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.ranges.is_empty()
    }

    /// The readable octets as slices.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.ready.iter().map(|piece| &piece[..])
    }

    /// Takes octets at `seq`, already cut to the window; `next` is `rcv.nxt`.
    pub(crate) fn insert(&mut self, next: SeqNum, seq: SeqNum, mut body: Body) -> Arrived {
        let end = seq + body.len() as u32;
        if end.precedes_or_equals(next) {
            return Arrived::Duplicate(SackBlock { left: seq, right: end });
        }
        if seq.precedes_or_equals(next) {
            body.trim_front(next.distance_from(seq) as usize);
            let below = seq.precedes(next).then_some(SackBlock { left: seq, right: next });
            let duplicate = below.or_else(|| self.ranges.overlap(next, end));
            let mut reached = end;
            self.append(body);
            let filled = !self.ranges.is_empty() && self.join_front(&mut reached);
            return Arrived::InOrder {
                octets: reached.distance_from(next),
                filled,
                duplicate,
            };
        }
        self.insert_range(seq, end, body)
    }

    fn append(&mut self, body: Body) {
        for piece in body {
            self.ready_len += piece.len() as u32;
            match self.ready.back_mut() {
                Some(last) if piece.len() < COPY_MAX / 4 && last.len() + piece.len() <= COPY_MAX => {
                    self.ready_held -= cost(last);
                    *last = joined(last, &piece);
                    self.ready_held += cost(last);
                }
                _ => {
                    let piece = piece.compact();
                    self.ready_held += cost(&piece);
                    self.ready.push_back(piece);
                }
            }
        }
    }

    fn pop_ready(&mut self) -> Option<Payload> {
        let piece = self.ready.pop_front()?;
        self.ready_held -= cost(&piece);
        Some(piece)
    }

    /// Moves ranges that `reached` now touches to the ready queue.
    fn join_front(&mut self, reached: &mut SeqNum) -> bool {
        let mut filled = false;
        while let Some(range) = self.ranges.first()
            && range.start.precedes_or_equals(*reached)
            && let Some(range) = self.ranges.pop_first()
        {
            filled = true;
            self.ranges_held -= range.held;
            if !reached.precedes(range.end) {
                continue;
            }
            let mut body = Body::new();
            for piece in range.pieces {
                body.push_back(piece);
            }
            body.trim_front(reached.distance_from(range.start) as usize);
            *reached = range.end;
            self.append(body);
        }
        if self.ranges.is_empty() {
            self.recent = [None; 4];
        }
        filled
    }

    fn insert_range(&mut self, start: SeqNum, end: SeqNum, body: Body) -> Arrived {
        // The first of those that overlap or touch [start, end), which become one.
        let touches = |range: &&Range| range.start.precedes_or_equals(end);
        let alone = |range: &Range| end.precedes(range.start);
        let first = self.ranges.at_or_after(start).filter(touches);
        if first.is_none() && self.has_too_many_ranges() {
            return Arrived::Refused;
        }
        let duplicate = self.ranges.overlap(start, end);
        if let Some(range) = first
            && range.start.precedes_or_equals(start)
        {
            let found = range.start;
            if end.precedes_or_equals(range.end) {
                self.touch(found);
                return Arrived::Duplicate(SackBlock {
                    left: start,
                    right: end,
                });
            }
            if self.ranges.at_or_after(range.end + 1).is_none_or(alone) {
                // The usual case by far, and the one that must not move what is there.
                self.ranges_held += self.ranges.extend(found, end, |pieces, old| {
                    let mut fresh = body;
                    fresh.trim_front(old.distance_from(start) as usize);
                    push_pieces(pieces, fresh)
                });
                self.touch(found);
                return Arrived::OutOfOrder { duplicate };
            }
        }
        let mut merged = Range {
            start,
            end: start,
            pieces: Vec::new(),
            held: RANGE_COST,
        };
        let mut fresh = body;
        let mut fresh_at = start;
        while let Some(old) = self.ranges.at_or_after(start).filter(touches).map(|old| old.start)
            && let Some(old) = self.ranges.remove(old)
        {
            self.ranges_held -= old.held;
            merged.held += old.held - RANGE_COST;
            if old.start.precedes(merged.start) {
                merged.start = old.start;
            } else if fresh_at.precedes(old.start) {
                // The new octets before this old range.
                let count = old.start.distance_from(fresh_at) as usize;
                merged.held += push_pieces(&mut merged.pieces, fresh.split_to(count));
                fresh_at = old.start;
            }
            // The old octets win over the new ones that overlap them.
            if merged.pieces.is_empty() {
                // What is long already is not copied for each segment that joins it to the next.
                merged.pieces = old.pieces;
            } else {
                merged.pieces.extend(old.pieces);
            }
            merged.end = old.end;
            if fresh_at.precedes(old.end) {
                let count = old.end.distance_from(fresh_at) as usize;
                fresh.trim_front(count.min(fresh.len()));
                fresh_at = old.end;
            }
        }
        if fresh_at.precedes(end) {
            merged.held += push_pieces(&mut merged.pieces, fresh);
            merged.end = end;
        }
        self.ranges_held += merged.held;
        let start = merged.start;
        self.ranges.insert(merged);
        self.touch(start);
        Arrived::OutOfOrder { duplicate }
    }

    fn has_too_many_ranges(&self) -> bool {
        let count = self.ranges.len();
        count >= RANGES_MAX && count * WORTH_A_RANGE > self.ranges.octets() as usize
    }

    fn touch(&mut self, start: SeqNum) {
        let mut carried = Some(start);
        for slot in &mut self.recent {
            core::mem::swap(slot, &mut carried);
            if carried == Some(start) || carried.is_none() {
                break;
            }
        }
    }

    /// The blocks of a SACK option, the latest first (RFC 2018 §4).
    pub(crate) fn sack_ranges(&self) -> impl Iterator<Item = SackBlock> {
        let mut told: [Option<SeqNum>; 4] = [None; 4];
        let mut count = 0;
        self.recent.iter().flatten().filter_map(move |&start| {
            let range = self
                .ranges
                .at_or_after(start + 1)
                .filter(|range| range.start.precedes_or_equals(start))?;
            if told[..count].contains(&Some(range.start)) {
                return None;
            }
            told[count] = Some(range.start);
            count += 1;
            Some(SackBlock {
                left: range.start,
                right: range.end,
            })
        })
    }

    /// Takes up to `max` octets as one payload; perhaps fewer than there are, so as not to copy large pieces.
    pub(crate) fn take(&mut self, max: usize) -> Payload {
        let Some(front) = self.ready.front_mut() else {
            return Payload::default();
        };
        if front.len() >= max {
            let pinned = cost(front);
            let taken = front.split_to(max);
            if front.is_empty() {
                self.ready_held -= pinned;
                self.ready.pop_front();
            }
            self.ready_len -= taken.len() as u32;
            return taken;
        }
        // Large pieces go out as they are, one at a time; small ones are worth a copy together.
        let want = if front.len() >= COPY_MAX {
            front.len()
        } else {
            max.min(self.ready_len as usize).min(8 * COPY_MAX)
        };
        if want == front.len() {
            self.ready_len -= want as u32;
            return self.pop_ready().unwrap_or_default();
        }
        let mut copy = Vec::with_capacity(want);
        for slice in &self.ready {
            let take = slice.len().min(want - copy.len());
            copy.extend_from_slice(&slice[..take]);
            if copy.len() == want {
                break;
            }
        }
        self.consume(want as u32);
        Payload::from(copy)
    }

    /// Forgets `count` octets that the program has read; at most those that are readable.
    pub(crate) fn consume(&mut self, count: u32) -> u32 {
        let count = count.min(self.ready_len);
        self.ready_len -= count;
        let mut left = count as usize;
        while left > 0 {
            let Some(front) = self.ready.front_mut() else { break };
            if front.len() > left {
                *front = front.slice(left..);
                break;
            }
            left -= front.len();
            self.pop_ready();
        }
        count
    }

    /// Takes one octet out of the readable ones: the urgent octet that is not read in line.
    pub(crate) fn cut_octet(&mut self, offset: u32) -> Option<u8> {
        let mut before = 0;
        for index in 0..self.ready.len() {
            let len = self.ready[index].len() as u32;
            if offset < before + len {
                let at = (offset - before) as usize;
                let piece = self.ready[index].clone();
                let octet = piece[at];
                let (first, rest) = (piece.slice(..at), piece.slice(at + 1..));
                self.ready_held -= cost(&piece);
                self.ready.remove(index);
                for part in [rest, first] {
                    if !part.is_empty() {
                        self.ready_held += cost(&part);
                        self.ready.insert(index, part);
                    }
                }
                self.ready_len -= 1;
                return Some(octet);
            }
            before += len;
        }
        None
    }

    /// Puts an octet that was cut out back before the readable one at `offset`.
    pub(crate) fn put_octet(&mut self, offset: u32, octet: u8) {
        let mut before = 0;
        let mut index = 0;
        while let Some(piece) = self.ready.get(index) {
            if offset <= before + piece.len() as u32 {
                break;
            }
            before += piece.len() as u32;
            index += 1;
        }
        let mut parts = [Payload::new(), Payload::copy_from(&[octet]), Payload::new()];
        if let Some(mut piece) = self.ready.remove(index) {
            self.ready_held -= cost(&piece);
            parts[2] = piece.split_off((offset - before) as usize);
            parts[0] = piece;
        }
        for part in parts.into_iter().rev().filter(|part| !part.is_empty()) {
            self.ready_held += cost(&part);
            self.ready.insert(index, part);
        }
        self.ready_len += 1;
    }

    /// Throws away what waits behind holes: memory pressure (RFC 2018 §8), or the connection has ended.
    pub(crate) fn forget_out_of_order(&mut self) {
        self.ranges = Ranges::default();
        self.ranges_held = 0;
        self.recent = [None; 4];
    }
}

/// What a range costs beside its pieces.
const RANGE_COST: u32 = 256;

/// What a piece costs: the memory that it keeps alive, its place in the queue, what the allocator adds.
fn cost(piece: &Payload) -> u32 {
    u32::try_from(piece.pinned()).unwrap_or(u32::MAX >> 4) + 64
}

fn joined(first: &Payload, second: &Payload) -> Payload {
    let mut copy = Vec::with_capacity(first.len() + second.len());
    copy.extend_from_slice(first);
    copy.extend_from_slice(second);
    Payload::from(copy)
}

/// Appends what of the body is not joined to the last piece; answers by how much more memory is held.
fn push_pieces(pieces: &mut Vec<Payload>, body: Body) -> u32 {
    let mut grown = 0;
    for piece in body {
        match pieces.last_mut() {
            Some(last) if piece.len() < COPY_MAX / 4 && last.len() + piece.len() <= COPY_MAX => {
                let before = cost(last);
                *last = joined(last, &piece);
                grown += cost(last).saturating_sub(before);
            }
            _ => {
                let piece = piece.compact();
                grown += cost(&piece);
                pieces.push(piece);
            }
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn body(bytes: &[u8]) -> Body {
        let mut body = Body::new();
        if !bytes.is_empty() {
            body.push_back(Payload::from(bytes.to_vec()));
        }
        body
    }

    impl Reassembly {
        /// The account that is kept beside the queue must be what a count gives.
        fn check_account(&self) {
            assert_eq!(self.ready_held, self.ready.iter().map(cost).sum::<u32>());
            assert_eq!(
                self.ranges_held,
                self.ranges.iter().map(|range| range.held).sum::<u32>()
            );
            for range in self.ranges.iter() {
                let pieces: u32 = range.pieces.iter().map(cost).sum();
                assert!(range.held >= pieces + RANGE_COST, "{} {pieces}", range.held);
            }
        }
    }

    #[test]
    fn tiny_segments_do_not_pin_the_buffers_they_came_in() {
        let base = SeqNum(0);
        let mut queue = Reassembly::default();
        let mut next = base;
        for at in 0..4000 {
            let buffer = Payload::from(vec![at as u8; 65_536]);
            let seq = if at < 2000 { next } else { next + 2 * (at - 1999) };
            let piece = Body::from(buffer.slice(7..8));
            if let Arrived::InOrder { octets, .. } = queue.insert(next, seq, piece) {
                next += octets;
            }
        }
        queue.check_account();
        assert!(queue.held() < 4000 * 350, "{} octets for 4,000", queue.held());
        assert!(queue.prune(10_000));
        assert!(queue.held() <= 10_000 && queue.readable() == 2000);
        queue.consume(2000);
        queue.prune(0);
        assert_eq!(queue.held(), 0);
    }

    #[test]
    fn an_octet_that_was_cut_out_can_be_put_back() {
        for offset in 0..6 {
            let mut queue = Reassembly::default();
            queue.insert(SeqNum(0), SeqNum(0), body(b"abc"));
            queue.insert(SeqNum(3), SeqNum(3), body(b"def"));
            let octet = queue.cut_octet(offset).expect("it is there");
            assert_eq!((octet, queue.readable()), (b'a' + offset as u8, 5));
            queue.put_octet(offset, octet);
            queue.check_account();
            assert_eq!(&queue.take(10)[..], b"abcdef");
        }
    }

    #[test]
    fn any_order_and_overlap_gives_the_original_stream() {
        let stream: Vec<u8> = (0..5000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let base = SeqNum(u32::MAX - 2000);
        let mut state = 99_u64;
        let mut next_random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let mut queue = Reassembly::default();
        let mut next = base;
        let mut out = Vec::new();
        for _ in 0..100_000 {
            let from = next_random() % stream.len();
            let to = (from + 1 + next_random() % 300).min(stream.len());
            let arrived = queue.insert(next, base + from as u32, body(&stream[from..to]));
            if let Arrived::InOrder { octets, .. } = arrived {
                next += octets;
            }
            queue.check_account();
            for block in queue.sack_ranges() {
                assert!(next.precedes(block.left) && block.left.precedes(block.right));
            }
            if next_random() % 3 == 0 {
                out.extend_from_slice(&queue.take(1 + next_random() % 700));
            }
            if next == base + stream.len() as u32 {
                break;
            }
        }
        while queue.readable() > 0 {
            out.extend_from_slice(&queue.take(1000));
        }
        assert_eq!(out, stream);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_latest_range_is_told_first() {
        let mut queue = Reassembly::default();
        let base = SeqNum(0);
        for start in [1000, 3000, 2000] {
            assert_eq!(
                queue.insert(base, base + start, body(&[0; 10])),
                Arrived::OutOfOrder { duplicate: None }
            );
        }
        let starts: Vec<SeqNum> = queue.sack_ranges().map(|range| range.left).collect();
        assert_eq!(starts, [(base + 2000), (base + 3000), (base + 1000)]);
    }

    #[test]
    fn a_hole_for_every_octet_is_refused_at_the_bound() {
        let mut queue = Reassembly::default();
        let base = SeqNum(0);
        let refused = (1..6000)
            .filter(|i| queue.insert(base, base + 2 * i, body(&[1])) == Arrived::Refused)
            .count();
        assert_eq!(refused, 5999 - RANGES_MAX);
    }

    #[test]
    fn a_hole_for_every_segment_of_a_long_path_is_kept() {
        let mut queue = Reassembly::default();
        let base = SeqNum(0);
        let segment = [7; 1448];
        for i in 0..20_000 {
            let arrived = queue.insert(base, base + (2 * i + 1) * 1448, body(&segment));
            assert_eq!(arrived, Arrived::OutOfOrder { duplicate: None });
        }
        assert_eq!(queue.out_of_order(), 20_000 * 1448);
        for i in 0..20_000 {
            let next = base + 2 * i * 1448;
            let arrived = queue.insert(next, next, body(&segment));
            assert!(matches!(arrived, Arrived::InOrder { octets: 2896, .. }));
            queue.consume(2896);
        }
        assert!(queue.is_empty() && queue.held() == 0);
    }

    #[test]
    fn the_urgent_octet_can_be_cut_out() {
        let mut queue = Reassembly::default();
        queue.insert(SeqNum(0), SeqNum(0), body(b"abXcd"));
        assert_eq!(queue.cut_octet(2), Some(b'X'));
        assert_eq!(&queue.take(10)[..], b"abcd");
    }
}
