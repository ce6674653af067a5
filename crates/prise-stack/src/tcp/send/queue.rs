//! The octets that the program wrote and the peer has not acknowledged, as chunks by reference.

use alloc::collections::VecDeque;

use bytes::BytesMut;
use prise_wire::{Body, Payload, SeqNum};

/// Below this a write is copied together with its neighbours: sharing a chunk would cost more than the copy, and
/// a program that writes octet by octet would pin a chunk for each.
const COPY_MAX: usize = 2048;
/// The size of the chunk that small writes are gathered in.
const TAIL_CHUNK: usize = 8192;

/// The send queue of one connection. It starts at `snd.una` and knows nothing of segments.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    chunks: VecDeque<Payload>,
    /// Small writes, gathered; always the end of the queue.
    tail: BytesMut,
    len: u32,
    /// Octets of memory that the chunks keep alive.
    pinned: usize,
    /// Where the last range was cut: (chunk, octets of the queue before that chunk), so that sending in order
    /// does not walk the queue.
    cursor: (usize, u32),
}

impl SendQueue {
    /// Octets in the queue.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Octets of memory that the queue keeps alive.
    pub(crate) fn held(&self) -> usize {
        self.pinned + self.tail.capacity() + self.chunks.len() * size_of::<Payload>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends up to `room` octets from the front of `data` and answers how many.
    pub(crate) fn push(&mut self, data: &mut Payload, room: u32) -> u32 {
        let take = data.len().min(room as usize);
        if take == 0 {
            return 0;
        }
        let piece = data.split_to(take);
        self.len += take as u32;
        if take >= COPY_MAX {
            self.seal();
            self.keep(piece.compact());
        } else {
            if self.tail.capacity() - self.tail.len() < take {
                self.seal();
                let size = if self.len as usize <= COPY_MAX {
                    take
                } else {
                    TAIL_CHUNK
                };
                self.tail = BytesMut::with_capacity(size.max(take));
            }
            self.tail.extend_from_slice(&piece);
        }
        take as u32
    }

    /// Turns the gathered octets into a chunk; the rest of their memory goes on serving small writes.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let gathered = Payload::from(self.tail.split().freeze());
            self.keep(gathered);
        }
    }

    fn keep(&mut self, chunk: Payload) {
        self.pinned += chunk.pinned();
        self.chunks.push_back(chunk);
    }

    /// The octets `[from, from + len)` of the queue, by reference.
    pub(crate) fn range(&mut self, from: u32, len: u32) -> Body {
        self.seal();
        debug_assert!(from + len <= self.len, "the range lies in the queue");
        let (mut index, mut before) = if from >= self.cursor.1 { self.cursor } else { (0, 0) };
        while let Some(chunk) = self.chunks.get(index) {
            if before + chunk.len() as u32 > from {
                break;
            }
            before += chunk.len() as u32;
            index += 1;
        }
        self.cursor = (index, before);
        let mut body = Body::new();
        let mut skip = (from - before) as usize;
        let mut left = len as usize;
        while left > 0 {
            let Some(chunk) = self.chunks.get(index) else { break };
            let take = (chunk.len() - skip).min(left);
            body.push_back(chunk.slice(skip..skip + take));
            left -= take;
            skip = 0;
            index += 1;
        }
        body
    }

    /// Forgets `count` acknowledged octets at the front.
    pub(crate) fn advance(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        self.seal();
        debug_assert!(count <= self.len, "only queued octets are acknowledged");
        self.len -= count;
        let mut left = count as usize;
        let mut dropped = 0;
        while left > 0 {
            let Some(front) = self.chunks.front_mut() else { break };
            if front.len() > left {
                *front = front.slice(left..);
                break;
            }
            left -= front.len();
            self.pinned -= front.pinned();
            self.chunks.pop_front();
            dropped += 1;
        }
        self.cursor = match self.cursor {
            (index, before) if index > dropped && before >= count => (index - dropped, before - count),
            _ => (0, 0),
        };
    }
}

/// The position of a sequence number in the queue that starts at `una`.
pub(crate) fn offset(una: SeqNum, seq: SeqNum) -> u32 {
    seq.distance_from(una)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn collect(body: &Body) -> Vec<u8> {
        body.pieces().flat_map(|piece| piece.iter().copied()).collect()
    }

    #[test]
    fn ranges_and_advances_give_the_octets_of_a_flat_buffer() {
        let mut queue = SendQueue::default();
        let mut flat: Vec<u8> = Vec::new();
        let mut state = 7_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for step in 0..4000_usize {
            let size = if step % 3 == 0 { next() % 6000 } else { next() % 40 };
            let data: Vec<u8> = (0..size).map(|i| (i * 31 + step) as u8).collect();
            flat.extend_from_slice(&data);
            let mut payload = Payload::from(data);
            queue.push(&mut payload, u32::MAX);
            if !flat.is_empty() {
                let from = next() % flat.len();
                let len = next() % (flat.len() - from + 1);
                assert_eq!(collect(&queue.range(from as u32, len as u32)), flat[from..from + len]);
                let gone = next() % (flat.len() + 1);
                queue.advance(gone as u32);
                flat.drain(..gone);
            }
            assert_eq!(queue.len() as usize, flat.len());
        }
    }

    #[test]
    fn a_full_queue_takes_only_what_fits() {
        let mut queue = SendQueue::default();
        let mut payload = Payload::from(alloc::vec![1_u8; 5000]);
        assert_eq!(queue.push(&mut payload, 3000), 3000);
        assert_eq!((queue.len(), payload.len()), (3000, 2000));
    }
}
