//! Octets that travel by reference.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::{Deref, RangeBounds};

/// Immutable, reference-counted octets: cloning, slicing and splitting never copy.
///
/// A small slice of a large payload keeps all of it alive; account by what is pinned.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Payload(Bytes);

impl Payload {
    /// No octets; needs no memory.
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// Octets that live as long as the program, by reference.
    pub const fn from_static(octets: &'static [u8]) -> Self {
        Self(Bytes::from_static(octets))
    }

    /// A copy of `octets` in memory of its own.
    pub fn copy_from(octets: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(octets))
    }

    /// How many octets.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The octets of `range`, by reference.
    ///
    /// # Panics
    /// If the range is not within the payload.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        Self(self.0.slice(range))
    }

    /// Takes the first `at` octets (all, if there are fewer) off the front and returns them.
    #[must_use = "use trim_front to drop octets"]
    pub fn split_to(&mut self, at: usize) -> Self {
        Self(self.0.split_to(at.min(self.0.len())))
    }

    /// Takes everything after the first `at` octets off the end and returns it.
    #[must_use = "use truncate to drop octets"]
    pub fn split_off(&mut self, at: usize) -> Self {
        Self(self.0.split_off(at.min(self.0.len())))
    }

    /// Drops the first `n` octets (all, if there are fewer).
    pub fn trim_front(&mut self, n: usize) {
        let n = n.min(self.0.len());
        bytes::Buf::advance(&mut self.0, n);
    }

    /// Keeps the first `len` octets and drops the rest.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The octets.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the only reference to the memory behind it.
    pub fn is_unique(&self) -> bool {
        self.0.is_unique()
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(octets: Vec<u8>) -> Self {
        Self(octets.into())
    }
}

impl From<Bytes> for Payload {
    fn from(octets: Bytes) -> Self {
        Self(octets)
    }
}

impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Self {
        payload.0
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
        self.0 == other
    }
}

impl PartialEq<&[u8]> for Payload {
    fn eq(&self, other: &&[u8]) -> bool {
        self.0 == *other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Payload {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self.0 == other.as_slice()
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
