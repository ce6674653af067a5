//! Selective acknowledgment of whole segments only, where [`Tuning::recovery_by_packets`](crate::tcp::Tuning::recovery_by_packets) asks for
//! Linux's way (`tcp_match_skb_to_sack`): a part of a segment says nothing, for what is sent again is sent in whole ones.

use prise_wire::{SackBlock, SeqNum};

use super::{Delivery, Flight, SACKED};

impl Flight {
    /// The peer holds `blocks`; of segments of `packet`, where they count, only what it holds whole.
    pub(crate) fn take_blocks<'a>(
        &mut self,
        blocks: impl Iterator<Item = &'a SackBlock>,
        packet: Option<u32>,
        delivery: &mut Delivery,
    ) {
        for &block in blocks {
            let held = packet.map_or(Some(block), |size| self.whole_segments(block, size));
            if let Some(held) = held {
                self.sack(held, delivery);
            }
        }
    }

    /// What of a block covers whole segments of `size`; none if nothing does.
    fn whole_segments(&self, block: SackBlock, size: u32) -> Option<SackBlock> {
        let left = self.edge(block.left, |offset| offset.next_multiple_of(size.max(1)));
        let right = self.edge(block.right, |offset| offset - offset % size.max(1));
        left.precedes(right).then_some(SackBlock { left, right })
    }

    /// An edge within a record, moved to where `round` puts it in that; another one as it is.
    fn edge(&self, at: SeqNum, round: impl FnOnce(u32) -> u32) -> SeqNum {
        let index = self
            .records
            .partition_point(|record| record.end().precedes_or_equals(at));
        match self.records.get(index) {
            Some(record) if record.start.precedes(at) && !record.is(SACKED) => {
                record.start + round(at.distance_from(record.start)).min(record.len)
            }
            _ => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use prise_wire::Instant;

    use super::*;
    use crate::tcp::congestion::rate::RateSampler;

    #[test]
    fn a_block_shrinks_to_the_segments_that_it_covers() {
        let mut flight = Flight::default();
        let start = SeqNum(u32::MAX - 1500);
        let snapshot = RateSampler::default().on_send(Instant::ZERO, true, 0);
        flight.push(start, 4000, Instant::ZERO, snapshot);
        flight.push(start + 4000, 500, Instant::ZERO, snapshot);
        let whole = |from: u32, to: u32| {
            let block = SackBlock {
                left: start + from,
                right: start + to,
            };
            let whole = flight.whole_segments(block, 1000)?;
            Some((whole.left.distance_from(start), whole.right.distance_from(start)))
        };
        assert_eq!(whole(1000, 3000), Some((1000, 3000)));
        assert_eq!(whole(500, 3999), Some((1000, 3000)));
        assert_eq!(whole(3999, 4000), None);
        assert_eq!(whole(3500, 4500), Some((4000, 4500)));
        assert_eq!(whole(4000, 4499), None);
    }
}
