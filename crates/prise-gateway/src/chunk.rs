//! Buffers into which the host's sockets are read, and which then travel to the guest by reference.
//!
//! A buffer that everybody has let go of is read into again: in steady state nothing is allocated or zeroed.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use prise_wire::Payload;

/// One buffer, and so the most that one read takes: a whole segmentation-offload unit.
pub(crate) const CHUNK_LEN: usize = 64 * 1024;

/// Below this a copy costs less than the memory that a reference would pin.
const COPY_BELOW: usize = 16 * 1024;

/// Buffers remembered for reuse (10 MiB): what one connection at full speed has under way in the gateway's send queue and
/// the guest's receive queue.
const CHUNKS_KEPT: usize = 160;

/// How many of the oldest buffers are tried before a new one is made.
const TRIES: usize = 4;

/// A buffer to read into, and those which are on their way.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The buffer for the next read; its whole length is initialised.
    current: BytesMut,
    /// Buffers given away, oldest first.
    given: VecDeque<Bytes>,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self {
            current: BytesMut::new(),
            given: VecDeque::new(),
        }
    }

    /// The buffer for the next read, [`CHUNK_LEN`] octets of it.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.current.len() < CHUNK_LEN {
            self.current = self.recycle().unwrap_or_else(|| BytesMut::zeroed(CHUNK_LEN));
        }
        &mut self.current
    }

    /// A buffer that nobody refers to any more.
    fn recycle(&mut self) -> Option<BytesMut> {
        for _ in 0..TRIES.min(self.given.len()) {
            match self.given.pop_front()?.try_into_mut() {
                Ok(chunk) => return Some(chunk),
                Err(busy) => self.given.push_back(busy),
            }
        }
        None
    }

    /// Gives the memory back: nobody is at full speed any more.
    pub(crate) fn forget(&mut self) {
        self.given.clear();
        self.current = BytesMut::new();
    }

    /// The first `len` octets of the buffer, as something to send.
    pub(crate) fn take(&mut self, len: usize) -> Payload {
        if len < COPY_BELOW {
            return Payload::copy_from(&self.current[..len]);
        }
        let chunk = core::mem::take(&mut self.current).freeze();
        let payload = Payload::part_of(chunk.slice(..len), CHUNK_LEN);
        if self.given.len() == CHUNKS_KEPT {
            self.given.pop_front();
        }
        self.given.push_back(chunk);
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &mut Chunks, octet: u8, len: usize) -> Payload {
        chunks.space()[..len].fill(octet);
        chunks.take(len)
    }

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_refers_to_it() {
        let mut chunks = Chunks::new();
        let first = read(&mut chunks, 1, CHUNK_LEN);
        let second = read(&mut chunks, 2, CHUNK_LEN);
        let at = first.as_ptr();
        assert_ne!(at, second.as_ptr());
        let part = first.slice(5..6);
        drop(first);
        let third = read(&mut chunks, 3, CHUNK_LEN);
        assert_eq!(part[0], 1);
        drop((part, second));
        let again: Vec<_> = (0..2).map(|_| read(&mut chunks, 4, CHUNK_LEN)).collect();
        assert!(again.iter().any(|payload| payload.as_ptr() == at));
        assert!(third.iter().all(|&octet| octet == 3));
    }

    #[test]
    fn small_reads_are_copied_and_the_buffer_stays() {
        let mut chunks = Chunks::new();
        let at = chunks.space().as_ptr();
        let small = read(&mut chunks, 1, 100);
        assert_eq!(chunks.space().as_ptr(), at);
        assert_eq!(small.len(), 100);
    }
}
