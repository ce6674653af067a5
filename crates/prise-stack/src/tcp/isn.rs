//! Initial sequence numbers and timestamp offsets that an outsider cannot guess (RFC 6528, RFC 7323 §5.4).

use prise_wire::{Instant, SeqNum};

use super::tuple::FourTuple;
use crate::hash::HashKey;

/// The secrets of one stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secrets {
    isn: HashKey,
    timestamp: HashKey,
    cookie: HashKey,
}

impl Secrets {
    pub(crate) fn new([isn, timestamp, cookie]: [[u64; 2]; 3]) -> Self {
        Self {
            isn: HashKey::new(isn),
            timestamp: HashKey::new(timestamp),
            cookie: HashKey::new(cookie),
        }
    }

    /// The hash that SYN cookies carry.
    pub(crate) fn cookie(&self, words: &[u64]) -> u64 {
        self.cookie.words(words)
    }

    /// `ISN = M + F(four-tuple, key)`, M counting every 4 µs: RFC 6528 §3.
    pub(crate) fn isn(&self, now: Instant, tuple: &FourTuple) -> SeqNum {
        let clock = (now.as_nanos() >> 12) as u32;
        SeqNum((self.isn.words(&tuple.words()) as u32).wrapping_add(clock))
    }

    /// Added to our timestamp clock, one for each pair of hosts, so that TIME-WAIT reuse and PAWS still see a
    /// clock that only goes forward.
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        let [l0, l1, r0, r1, _] = tuple.words();
        self.timestamp.words(&[l0, l1, r0, r1]) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;

    fn tuple(peer: u8, port: u16) -> FourTuple {
        FourTuple::new(
            SocketAddr::from(([10, 0, 0, 1], port)),
            SocketAddr::from(([10, 0, 0, peer], 80)),
        )
    }

    #[test]
    fn timestamps_of_two_connections_are_unrelated() {
        let secrets = Secrets::new([[1, 2], [3, 4], [5, 6]]);
        let offset = |peer| secrets.timestamp_offset(&tuple(peer, 40_000));
        let distances: alloc::vec::Vec<u32> = (1..20)
            .map(|peer| offset(peer + 1).wrapping_sub(offset(peer)))
            .collect();
        assert!(distances.iter().all(|distance| *distance > 1 << 16), "{distances:?}");
        assert_eq!(
            offset(1),
            secrets.timestamp_offset(&tuple(1, 40_001)),
            "one clock for a pair of hosts"
        );
        let other = Secrets::new([[1, 2], [3, 5], [5, 6]]);
        assert_ne!(
            offset(1),
            other.timestamp_offset(&tuple(1, 40_000)),
            "and another key another clock"
        );
    }
}
