//! The one source of chance in a simulated world: everything random is drawn from a seed.

use std::time::Duration;

/// A small generator (SplitMix64, Steele, Lea and Flood 2014): the same seed gives the same draws on every machine.
///
/// Not for secrets; the hosts of a world get their own keyed generators from draws of this one.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator for `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own for one purpose, so that drawing more for one purpose does not change the others.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        Self::new(mix(self.state ^ mix(purpose.wrapping_add(0x5EED))))
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number in `0..bound`; zero if the bound is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiplication without the rejection: the bias is below 2^-32 for all bounds drawn here.
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A duration in `0..=most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.between(0, u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1)))
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// 32 octets: what a stack wants at birth.
    pub fn octets32(&mut self) -> [u8; 32] {
        let mut octets = [0; 32];
        for chunk in octets.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        octets
    }
}

/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A bijection of 64 bits in which every input bit changes about half of the output bits.
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_forks_are_independent_of_the_order_of_forking() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        assert_eq!(a.fork(1).next(), {
            let _ = b.fork(2).next();
            b.fork(1).next()
        });
        assert!((0..100).all(|_| a.next() == b.next()));
        assert_ne!(Random::new(7).next(), Random::new(8).next());
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_both_ends() {
        let mut random = Random::new(1);
        let draws: Vec<u64> = (0..1000).map(|_| random.between(3, 6)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&3), Some(&6)));
        let hits = (0..10_000).filter(|_| random.chance(0.05)).count();
        assert!((400..600).contains(&hits), "{hits} of 10000 at 5 %");
    }
}
