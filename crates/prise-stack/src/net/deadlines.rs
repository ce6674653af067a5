//! A small set of deadlines, for the few things below the transports that time out.

use alloc::collections::BTreeSet;
use prise_wire::Instant;

/// Keys with the instants at which they are due.
#[derive(Debug)]
pub(super) struct Deadlines<K>(BTreeSet<(Instant, K)>);

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(super) fn arm(&mut self, at: Instant, key: K) {
        self.0.insert((at, key));
    }

    pub(super) fn disarm(&mut self, at: Instant, key: K) {
        self.0.remove(&(at, key));
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// The keys, earliest deadline first.
    pub(super) fn iter(&self) -> impl Iterator<Item = K> {
        self.0.iter().map(|&(_, key)| key)
    }

    /// Takes the earliest key that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }
}
