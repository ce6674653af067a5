//! Octets that travel by reference.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::{Deref, RangeBounds};

/// Immutable, reference-counted octets: cloning, slicing and splitting never copy.
///
/// A small slice of a large payload keeps all of it alive: [`pinned`](Self::pinned) says how much, and
/// [`compact`](Self::compact) copies where that is out of proportion.
#[derive(Clone, Default)]
pub struct Payload {
    octets: Bytes,
    /// The size of the memory that this payload is a part of.
    pinned: u32,
}

/// Beyond the payload's own size so much memory may be pinned besides: headers, and the rest of a buffer that was nearly
/// filled.
const SLACK: usize = 512;

impl Payload {
    /// No octets; needs no memory.
    pub const fn new() -> Self {
        Self {
            octets: Bytes::new(),
            pinned: 0,
        }
    }

    /// Octets that live as long as the program, by reference.
    pub const fn from_static(octets: &'static [u8]) -> Self {
        Self {
            octets: Bytes::from_static(octets),
            pinned: 0,
        }
    }

    /// A copy of `octets` in memory of its own.
    pub fn copy_from(octets: &[u8]) -> Self {
        Self::part_of(Bytes::copy_from_slice(octets), octets.len())
    }

    /// Octets that keep `pinned` octets of memory alive: a slice of a larger buffer.
    pub fn part_of(octets: Bytes, pinned: usize) -> Self {
        Self {
            octets,
            pinned: u32::try_from(pinned).unwrap_or(u32::MAX),
        }
    }

    /// How many octets of memory this payload keeps alive, perhaps together with others.
    pub const fn pinned(&self) -> usize {
        self.pinned as usize
    }

    /// The same octets, in memory of their own if they would pin more than twice their size and some slack: for what may
    /// wait long.
    #[must_use]
    pub fn compact(self) -> Self {
        if self.pinned() <= 2 * self.len() + SLACK {
            return self;
        }
        Self::copy_from(&self.octets)
    }

    /// How many octets.
    pub const fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The octets of `range`, by reference.
    ///
    /// # Panics
    /// If the range is not within the payload.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        Self {
            octets: self.octets.slice(range),
            pinned: self.pinned,
        }
    }

    /// Takes the first `at` octets (all, if there are fewer) off the front and returns them.
    #[must_use = "use trim_front to drop octets"]
    pub fn split_to(&mut self, at: usize) -> Self {
        Self {
            octets: self.octets.split_to(at.min(self.octets.len())),
            pinned: self.pinned,
        }
    }

    /// Takes everything after the first `at` octets off the end and returns it.
    #[must_use = "use truncate to drop octets"]
    pub fn split_off(&mut self, at: usize) -> Self {
        Self {
            octets: self.octets.split_off(at.min(self.octets.len())),
            pinned: self.pinned,
        }
    }

    /// Drops the first `n` octets (all, if there are fewer).
    pub fn trim_front(&mut self, n: usize) {
        let n = n.min(self.octets.len());
        bytes::Buf::advance(&mut self.octets, n);
    }

    /// Keeps the first `len` octets and drops the rest.
    pub fn truncate(&mut self, len: usize) {
        self.octets.truncate(len);
    }

    /// The octets.
    pub fn as_slice(&self) -> &[u8] {
        &self.octets
    }

    /// Whether this is the only reference to the memory behind it.
    pub fn is_unique(&self) -> bool {
        self.octets.is_unique()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Payload {}

impl core::hash::Hash for Payload {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.octets.hash(state);
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.octets
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl From<Vec<u8>> for Payload {
    fn from(octets: Vec<u8>) -> Self {
        let pinned = octets.capacity();
        Self::part_of(octets.into(), pinned)
    }
}

impl From<Bytes> for Payload {
    /// Takes the octets for all of their memory; see [`Payload::part_of`] if they are not.
    fn from(octets: Bytes) -> Self {
        let pinned = octets.len();
        Self::part_of(octets, pinned)
    }
}

impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Self {
        payload.octets
    }
}

impl From<&[u8]> for Payload {
    /// Copies.
    fn from(octets: &[u8]) -> Self {
        Self::copy_from(octets)
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    /// Copies.
    fn from(octets: &[u8; N]) -> Self {
        Self::copy_from(octets)
    }
}

impl PartialEq<[u8]> for Payload {
    fn eq(&self, other: &[u8]) -> bool {
        self.octets == other
    }
}

impl PartialEq<&[u8]> for Payload {
    fn eq(&self, other: &&[u8]) -> bool {
        self.octets == *other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Payload {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self.octets == other.as_slice()
    }
}

impl fmt::Debug for Payload {
    /// The length and the first octets only: payloads are large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        write!(f, "Payload[{}; {:02x?}", self.len(), self.get(..SHOWN).unwrap_or(self))?;
        f.write_str(if self.len() > SHOWN { " …]" } else { "]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_pins_its_whole_buffer_until_it_is_compacted() {
        let whole = Payload::from(alloc::vec![7; 65_536]);
        assert_eq!(whole.pinned(), 65_536);
        let octet = whole.slice(5..6);
        assert_eq!((octet.len(), octet.pinned()), (1, 65_536));
        let own = octet.compact();
        assert_eq!((&own[..], own.pinned()), (&[7][..], 1));
        let half = whole.slice(..40_000);
        let at = half.as_ptr();
        assert_eq!(
            half.compact().as_ptr(),
            at,
            "what pins little more than itself is not copied"
        );
    }

    #[test]
    fn a_vector_pins_its_capacity() {
        let mut octets = Vec::with_capacity(4096);
        octets.push(1_u8);
        assert_eq!(Payload::from(octets).pinned(), 4096);
    }
}
