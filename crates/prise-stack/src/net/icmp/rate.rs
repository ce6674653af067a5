//! How many ICMP errors go out (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)): token buckets, one for all and one for each of many
//! classes of destinations, with Linux's figures.

use crate::hash::HashKey;
use crate::net::address_key;
use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;
use prise_wire::Instant;

/// `net.ipv4.icmp_msgs_per_sec` and `icmp_msgs_burst`.
const ALL_PER_SECOND: u32 = 1000;
const ALL_BURST: u32 = 50;

/// One a second to one destination (`icmp_ratelimit`) after a burst of six.
const DESTINATION_PER_SECOND: u32 = 1;
const DESTINATION_BURST: u32 = 6;

/// Destinations share buckets by keyed hash: memory stays bounded whoever asks.
const BUCKETS: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u32,
    /// When the tokens were counted.
    at: Instant,
}

impl Bucket {
    const fn full(burst: u32) -> Self {
        Self {
            tokens: burst,
            at: Instant::ZERO,
        }
    }

    /// Fills up for the time gone by, keeping fractions for the next time, and says whether there is a token.
    fn refill(&mut self, now: Instant, per_second: u32, burst: u32) -> bool {
        let each = Duration::from_secs(1) / per_second;
        let earned = (now.saturating_since(self.at).as_nanos() / each.as_nanos()).min(u128::from(burst)) as u32;
        if self.tokens + earned >= burst {
            self.tokens = burst;
            self.at = now;
        } else {
            self.tokens += earned;
            self.at += each * earned;
        }
        self.tokens > 0
    }
}

/// The limiter of one stack.
#[derive(Debug)]
pub(in crate::net) struct RateLimit {
    hash: HashKey,
    all: Bucket,
    by_destination: Box<[Bucket; BUCKETS]>,
}

impl RateLimit {
    pub(in crate::net) fn new(hash: HashKey) -> Self {
        Self {
            hash,
            all: Bucket::full(ALL_BURST),
            by_destination: Box::new([Bucket::full(DESTINATION_BURST); BUCKETS]),
        }
    }

    /// Whether an error may go to that destination now; takes a token of each bucket if so.
    pub(in crate::net) fn allows(&mut self, now: Instant, dst: IpAddr) -> bool {
        let key = address_key(dst);
        let index = self.hash.words(&[key as u64, (key >> 64) as u64]) as usize % BUCKETS;
        let one = &mut self.by_destination[index];
        let allowed = one.refill(now, DESTINATION_PER_SECOND, DESTINATION_BURST)
            && self.all.refill(now, ALL_PER_SECOND, ALL_BURST);
        if allowed {
            one.tokens -= 1;
            self.all.tokens -= 1;
        }
        allowed
    }

    /// Whether an error may go out now, whoever gets it.
    pub(in crate::net) fn allows_any(&mut self, now: Instant) -> bool {
        let allowed = self.all.refill(now, ALL_PER_SECOND, ALL_BURST);
        if allowed {
            self.all.tokens -= 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limit: &mut RateLimit, at: u64, dst: &str, tries: usize) -> usize {
        let dst = dst.parse().unwrap();
        (0..tries)
            .filter(|_| limit.allows(Instant::from_millis(at), dst))
            .count()
    }

    #[test]
    fn one_destination_gets_a_burst_then_one_error_a_second() {
        let mut limit = RateLimit::new(HashKey::new([1, 2]));
        assert_eq!(allowed(&mut limit, 10_000, "10.0.2.15", 100), 6);
        assert_eq!(allowed(&mut limit, 10_900, "10.0.2.15", 100), 0);
        assert_eq!(allowed(&mut limit, 11_000, "10.0.2.15", 100), 1);
        assert_eq!(allowed(&mut limit, 13_500, "10.0.2.15", 100), 2);
        assert_eq!(
            allowed(&mut limit, 14_000, "10.0.2.15", 100),
            1,
            "the half second was not lost"
        );
    }

    #[test]
    fn all_destinations_together_get_a_thousand_a_second() {
        let mut limit = RateLimit::new(HashKey::new([1, 2]));
        let burst: usize = (0..200)
            .map(|host| allowed(&mut limit, 10_000, &std::format!("10.0.3.{host}"), 1))
            .sum();
        assert_eq!(burst, 50);
        assert_eq!(
            (0..100)
                .filter(|_| limit.allows_any(Instant::from_millis(10_010)))
                .count(),
            10
        );
    }
}
