//! Chance from a seed: the same seed gives the same numbers on every machine.

/// xoshiro256++ (Blackman and Vigna): small, fast and good enough for faults; not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Random([u64; 4]);

impl Random {
    /// One of many independent streams of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // SplitMix64 turns similar seeds into dissimilar states, never all zero.
        let mut x = seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
        Self(core::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        }))
    }

    pub(super) fn next(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.0;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }

    /// A number below `bound` (0 if that is 0), near enough to evenly for bounds far below 2⁶⁴.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}
