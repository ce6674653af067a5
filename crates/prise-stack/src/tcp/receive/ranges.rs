//! The octets that wait behind holes, as sorted, disjoint ranges that do not touch (RFC 9293 §3.10.7.4, seventh check). Kept as
//! a tree: where every second segment of a long, fast path is lost there are ten thousands of ranges, and each retransmission
//! that arrives joins two of them somewhere. Used by `reassembly.rs`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use prise_wire::{Payload, SackBlock, SeqNum};

/// Where a range begins. All of a tree lie in one receive window, less than half of the circle, and there is an order on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start(SeqNum);

impl Ord for Start {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 - other.0).cmp(&0)
    }
}

impl PartialOrd for Start {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Octets that arrived without those before them.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) start: SeqNum,
    pub(super) end: SeqNum,
    pub(super) pieces: Vec<Payload>,
    /// Octets of memory that it holds.
    pub(super) held: u32,
}

impl Range {
    fn len(&self) -> u32 {
        self.end.distance_from(self.start)
    }

    /// What of it lies in `[start, end)`.
    fn overlap(&self, start: SeqNum, end: SeqNum) -> Option<SackBlock> {
        let (left, right) = (self.start.later(start), self.end.earlier(end));
        left.precedes(right).then_some(SackBlock { left, right })
    }
}

/// All ranges of one connection.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    tree: BTreeMap<Start, Range>,
    octets: u32,
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    /// Octets in all of them.
    pub(super) fn octets(&self) -> u32 {
        self.octets
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Range> {
        self.tree.values()
    }

    /// The first range that ends at `at` or after it.
    pub(super) fn at_or_after(&self, at: SeqNum) -> Option<&Range> {
        let before = self.tree.range(..Start(at)).next_back().map(|(_, range)| range);
        before
            .filter(|range| at.precedes_or_equals(range.end))
            .or_else(|| self.tree.range(Start(at)..).next().map(|(_, range)| range))
    }

    /// The first octets of `[start, end)` that lie in one of the ranges.
    pub(super) fn overlap(&self, start: SeqNum, end: SeqNum) -> Option<SackBlock> {
        let first = self.at_or_after(start)?;
        // One that only ends where `start` is has nothing of it, but the next may.
        first
            .overlap(start, end)
            .or_else(|| self.at_or_after(first.end + 1)?.overlap(start, end))
    }

    pub(super) fn insert(&mut self, range: Range) {
        self.octets += range.len();
        self.tree.insert(Start(range.start), range);
    }

    pub(super) fn remove(&mut self, start: SeqNum) -> Option<Range> {
        let range = self.tree.remove(&Start(start))?;
        self.octets -= range.len();
        Some(range)
    }

    pub(super) fn pop_first(&mut self) -> Option<Range> {
        let (_, range) = self.tree.pop_first()?;
        self.octets -= range.len();
        Some(range)
    }

    pub(super) fn pop_last(&mut self) -> Option<Range> {
        let (_, range) = self.tree.pop_last()?;
        self.octets -= range.len();
        Some(range)
    }

    pub(super) fn first(&self) -> Option<&Range> {
        self.tree.first_key_value().map(|(_, range)| range)
    }

    pub(super) fn last(&self) -> Option<&Range> {
        self.tree.last_key_value().map(|(_, range)| range)
    }

    /// The range from `start` on ends at `end` now, and `append` puts what is new into its pieces and answers what that costs.
    pub(super) fn extend(
        &mut self,
        start: SeqNum,
        end: SeqNum,
        append: impl FnOnce(&mut Vec<Payload>, SeqNum) -> u32,
    ) -> u32 {
        let Some(range) = self.tree.get_mut(&Start(start)) else {
            return 0;
        };
        let grown = append(&mut range.pieces, range.end);
        self.octets += end.distance_from(range.end);
        range.end = end;
        range.held += grown;
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_in_the_order_of_the_window_across_the_wrap() {
        let base = SeqNum(u32::MAX - 25);
        let mut ranges = Ranges::default();
        for at in [40, 0, 20] {
            ranges.insert(Range {
                start: base + at,
                end: base + at + 10,
                pieces: Vec::new(),
                held: 0,
            });
        }
        let starts: Vec<u32> = ranges.iter().map(|range| range.start.distance_from(base)).collect();
        assert_eq!((starts, ranges.octets()), (alloc::vec![0, 20, 40], 30));
        let found = |at: u32| {
            ranges
                .at_or_after(base + at)
                .map(|range| range.start.distance_from(base))
        };
        assert_eq!(
            [found(5), found(10), found(11), found(30), found(31), found(51)],
            [Some(0), Some(0), Some(20), Some(20), Some(40), None]
        );
        let overlap = |from: u32, to: u32| {
            let block = ranges.overlap(base + from, base + to)?;
            Some((block.left.distance_from(base), block.right.distance_from(base)))
        };
        assert_eq!(
            [overlap(5, 50), overlap(10, 25), overlap(10, 20), overlap(35, 60)],
            [Some((5, 10)), Some((20, 25)), None, Some((40, 50))]
        );
    }
}
