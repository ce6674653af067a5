//! What the workloads send: octets that can be made, and checked, from any offset on without being kept.
//!
//! A stream's first eight octets are its own number, so that a receiver that accepts connections in any order learns
//! which stream it is reading; everything after them is noise drawn from that number.

use crate::random::mix;

/// The octets of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    number: u64,
}

/// Octets of a stream that say which stream it is.
pub const NUMBER_LEN: u64 = 8;

impl Pattern {
    /// The stream with this number.
    pub const fn new(number: u64) -> Self {
        Self { number }
    }

    /// The stream's number.
    pub const fn number(self) -> u64 {
        self.number
    }

    /// The stream that answers this one.
    #[must_use]
    pub const fn reverse(self) -> Self {
        Self::new(self.number ^ 1 << 63)
    }

    /// Eight octets from `8 * index` on.
    const fn word(self, index: u64) -> [u8; 8] {
        let word = if index == 0 {
            self.number
        } else {
            mix(self.number ^ mix(index))
        };
        word.to_le_bytes()
    }

    /// Writes the octets from `offset` on over all of `out`.
    pub fn fill(self, offset: u64, out: &mut [u8]) {
        let skip = (offset % 8) as usize;
        let (head, rest) = out.split_at_mut(((8 - skip) % 8).min(out.len()));
        head.copy_from_slice(&self.word(offset / 8)[skip..][..head.len()]);
        let first = offset.div_ceil(8);
        let mut words = rest.chunks_exact_mut(8);
        for (index, chunk) in (first..).zip(&mut words) {
            chunk.copy_from_slice(&self.word(index));
        }
        let done = (rest.len() / 8) as u64;
        let tail = &mut rest[done as usize * 8..];
        let len = tail.len();
        tail.copy_from_slice(&self.word(first + done)[..len]);
    }

    /// `len` octets from `offset` on.
    pub fn octets(self, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.fill(offset, &mut out);
        out
    }

    /// The offset in the stream of the first octet of `octets` that is not the stream's, if they begin at `offset`.
    pub fn first_difference(self, offset: u64, octets: &[u8]) -> Option<u64> {
        const PIECE: usize = 512;
        let mut expected = [0; PIECE];
        let mut at = offset;
        for piece in octets.chunks(PIECE) {
            let expected = &mut expected[..piece.len()];
            self.fill(at, expected);
            if piece != expected {
                let index = piece.iter().zip(expected.iter()).position(|(got, want)| got != want);
                return Some(at + index.unwrap_or(0) as u64);
            }
            at += piece.len() as u64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_stream_is_the_same_stream() {
        let pattern = Pattern::new(0x0123_4567_89AB_CDEF);
        let whole = pattern.octets(0, 100);
        assert_eq!(whole[..8], 0x0123_4567_89AB_CDEF_u64.to_le_bytes());
        for from in 0..100 {
            for to in from..100 {
                assert_eq!(pattern.octets(from as u64, to - from), whole[from..to], "{from}..{to}");
            }
        }
    }

    #[test]
    fn the_first_wrong_octet_is_named() {
        let pattern = Pattern::new(9);
        let mut octets = pattern.octets(5, 3000);
        assert_eq!(pattern.first_difference(5, &octets), None);
        octets[2000] ^= 1;
        assert_eq!(pattern.first_difference(5, &octets), Some(2005));
        assert_eq!(pattern.reverse().first_difference(0, &pattern.octets(0, 9)), Some(7));
    }
}
