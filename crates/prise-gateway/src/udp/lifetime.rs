//! How long a mapping lives without traffic (RFC 4787 §4.3), and which would end first.
//!
//! Ends are kept in whole seconds: a mapping in constant use changes its place in the order once a second, not once a
//! datagram.

use core::time::Duration;
use std::collections::BTreeSet;

use prise_wire::Instant;

use crate::slots::Key;

/// RFC 4787 REQ-5: at least two minutes, five recommended.
const IDLE: u64 = 300;
/// … but less where the port's protocol is known to be done (REQ-5 c): a resolver waits some seconds for its answer.
const IDLE_DNS: u64 = 30;
/// The port of DNS.
const DNS_PORT: u16 = 53;

/// When a mapping ends unless it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    end: u64,
    /// Only name servers were spoken to.
    dns_only: bool,
}

impl Lifetime {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            end: seconds(now) + IDLE_DNS,
            dns_only: true,
        }
    }
}

/// The order of ends.
#[derive(Debug, Default)]
pub(super) struct Lifetimes(BTreeSet<(u64, Key)>);

/// Rounded up, so that nothing ends early.
fn seconds(at: Instant) -> u64 {
    at.as_nanos().div_ceil(1_000_000_000)
}

impl Lifetimes {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, key: Key, lifetime: Lifetime) {
        self.0.insert((lifetime.end, key));
    }

    pub(super) fn remove(&mut self, key: Key, lifetime: Lifetime) {
        self.0.remove(&(lifetime.end, key));
    }

    /// The mapping was used: by the guest, for a datagram to `port`, or by somebody who sent to the guest.
    pub(super) fn touch(&mut self, now: Instant, key: Key, lifetime: &mut Lifetime, port: Option<u16>) {
        lifetime.dns_only &= port.is_none_or(|port| port == DNS_PORT);
        let end = seconds(now) + if lifetime.dns_only { IDLE_DNS } else { IDLE };
        if end > lifetime.end {
            self.remove(key, *lifetime);
            lifetime.end = end;
            self.insert(key, *lifetime);
        }
    }

    /// The mapping that would end first.
    pub(super) fn first(&self) -> Option<Key> {
        self.0.first().map(|&(_, key)| key)
    }

    /// A mapping whose time is over.
    pub(super) fn due(&self, now: Instant) -> Option<Key> {
        let &(end, key) = self.0.first()?;
        (Instant::from_secs(end) <= now).then_some(key)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.first().map(|&(end, _)| Instant::ZERO + Duration::from_secs(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key {
        index: 4,
        generation: 2,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn use_puts_the_end_off_and_idleness_brings_it() {
        let mut lifetimes = Lifetimes::default();
        let mut lifetime = Lifetime::new(at(500));
        lifetimes.insert(KEY, lifetime);
        lifetimes.touch(at(500), KEY, &mut lifetime, Some(4000));
        lifetimes.touch(at(10_500), KEY, &mut lifetime, None);
        assert_eq!(lifetimes.len(), 1);
        assert_eq!(lifetimes.due(at(310_499)), None);
        assert_eq!(lifetimes.due(at(311_000)), Some(KEY));
        lifetimes.remove(KEY, lifetime);
        assert_eq!(lifetimes.next_deadline(), None);
    }

    #[test]
    fn a_mapping_for_names_only_is_short_lived() {
        let mut lifetimes = Lifetimes::default();
        let mut lifetime = Lifetime::new(at(0));
        lifetimes.insert(KEY, lifetime);
        lifetimes.touch(at(5_000), KEY, &mut lifetime, Some(53));
        assert_eq!(lifetimes.next_deadline(), Some(at(35_000)));
        lifetimes.touch(at(5_000), KEY, &mut lifetime, Some(123));
        assert_eq!(lifetimes.next_deadline(), Some(at(305_000)));
        assert_eq!(lifetimes.first(), Some(KEY));
    }
}
