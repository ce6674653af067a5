//! Records in the stream: the octets of a write with `MSG_EOR` share no segment with what is written after them (sendmsg(2); on Linux
//! `tcp_skb_can_collapse_to`), so that a program that asks for timestamps gets one for its own last octet.

use prise_wire::SeqNum;

use crate::tcp::connection::Connection;

/// Ends that are remembered; a program that ends more records than this before they are sent only gets larger segments.
const ENDS_MAX: usize = 1024;

impl Connection {
    /// What is queued ends a record.
    pub(crate) fn end_record(&mut self) {
        let end = self.queue_end();
        if self.unsent() == 0 {
            return;
        }
        let ends = &mut self.sending().record_ends;
        if ends.len() < ENDS_MAX && ends.back() != Some(&end) {
            ends.push_back(end);
        }
    }

    /// Octets from `snd.nxt` on that may share a segment.
    pub(super) fn rest_of_record(&self) -> u32 {
        let end = self.sending.as_ref().and_then(|sending| sending.record_ends.front());
        end.map_or(u32::MAX, |end| end.distance_from(self.snd.nxt))
    }

    /// Octets up to `end` are being sent; answers whether a record ends there.
    pub(super) fn end_record_at(&mut self, end: SeqNum) -> bool {
        let ends = &mut self.sending().record_ends;
        let found = ends.front().is_some_and(|first| first.precedes_or_equals(end));
        if found {
            ends.pop_front();
            self.sending().flight.mark_record_end();
        }
        found
    }
}
