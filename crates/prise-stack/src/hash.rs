//! Keyed hashing for every table that a stranger's packets reach into.
//!
//! SipHash-1-3 over whole words: an attacker without the key cannot make entries collide. Integers are absorbed as one
//! word each, which suits the fixed-shape keys used here (addresses as `u128`, ports); it is not byte-compatible with
//! published `SipHash`, and nothing depends on that.

use core::hash::{BuildHasher, Hasher};

/// The key of a stack's tables; also builds their hashers.
#[derive(Clone, Copy)]
pub struct HashKey([u64; 2]);

impl core::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

impl HashKey {
    /// A key from 128 secret bits.
    pub const fn new(key: [u64; 2]) -> Self {
        Self(key)
    }

    /// The hash of a short sequence of words.
    pub fn words(self, words: &[u64]) -> u64 {
        let mut state = self.build_hasher();
        for &word in words {
            state.absorb(word);
        }
        state.finish()
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher;

    fn build_hasher(&self) -> SipHasher {
        let [k0, k1] = self.0;
        SipHasher {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }
}

/// The running state of one hash.
#[derive(Clone, Debug)]
pub struct SipHasher {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipHasher {
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }

    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }
}

impl Hasher for SipHasher {
    fn write(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<8>();
        for word in words {
            self.absorb(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // `rest` is shorter than eight octets: its length fits the octet that it leaves free.
        last[7] = rest.len() as u8;
        self.absorb(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, n: u8) {
        self.absorb(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.absorb(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.absorb(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.absorb(n);
    }

    fn write_u128(&mut self, n: u128) {
        self.absorb(n as u64);
        self.absorb((n >> 64) as u64);
    }

    fn write_usize(&mut self, n: usize) {
        self.absorb(n as u64);
    }

    fn finish(&self) -> u64 {
        let mut end = self.clone();
        end.v2 ^= 0xff;
        for _ in 0..3 {
            end.round();
        }
        end.v0 ^ end.v1 ^ end.v2 ^ end.v3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_or_another_word_gives_another_hash() {
        let key = HashKey::new([1, 2]);
        assert_eq!(key.words(&[1, 2, 3]), key.words(&[1, 2, 3]));
        assert_ne!(key.words(&[1, 2, 3]), key.words(&[1, 2, 4]));
        assert_ne!(key.words(&[1, 2, 3]), HashKey::new([1, 3]).words(&[1, 2, 3]));
        assert_ne!(key.hash_one([1_u8, 2]), key.hash_one([1_u8, 2, 0]));
    }
}
