//! Which names led to an address: what the answers of the run's own name server said, for as long as they said it.
//!
//! Rules by name bite at the lookup and, through this table, at the connection.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;

use prise_wire::Instant;

/// Addresses remembered at once. A program that has looked up more forgets those whose time ends first, and looks up
/// again.
const ADDRESSES_MAX: usize = 4096;

/// Names of one address: a content network answers thousands of names with one address, and a program asks for few.
const NAMES_MAX: usize = 16;

/// How long a name leads to its addresses after the answer's own time: programs that keep a connection pool, or resolve
/// once at their start, connect to what they have long after the answer has aged.
const GRACE: Duration = Duration::from_hours(1);

/// Names by the addresses that they were answered with.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// Whether anybody will ask; otherwise nothing is kept.
    wanted: bool,
    names: HashMap<IpAddr, Vec<(String, Instant)>>,
}

impl Learned {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            names: HashMap::new(),
        }
    }

    /// The names that lead to `address` now; the one asked for last comes last.
    pub(crate) fn names(&self, now: Instant, address: IpAddr) -> impl Iterator<Item = &str> {
        let known = self.names.get(&address).map_or(&[][..], Vec::as_slice);
        known
            .iter()
            .filter(move |&&(_, until)| until > now)
            .map(|(name, _)| name.as_str())
    }

    /// Remembers what `name` was answered with, for `ttl` and the grace.
    pub(crate) fn learn(&mut self, now: Instant, name: &str, addresses: &[IpAddr], ttl: Duration) {
        if !self.wanted {
            return;
        }
        let until = now + ttl + GRACE;
        for &address in addresses {
            if self.names.len() >= ADDRESSES_MAX && !self.names.contains_key(&address) {
                self.make_room(now);
            }
            let names = self.names.entry(address).or_default();
            let before = names.iter().find(|(known, _)| known == name).map(|&(_, end)| end);
            names.retain(|(known, end)| known != name && *end > now);
            if names.len() == NAMES_MAX {
                names.remove(0);
            }
            names.push((name.to_owned(), before.map_or(until, |before| before.max(until))));
        }
    }

    /// Remembers what a table of names says, for good.
    pub(crate) fn learn_for_good(&mut self, name: &str, address: IpAddr) {
        const FOR_GOOD: Duration = Duration::from_secs(u32::MAX as u64);
        self.learn(Instant::from_nanos(u64::MAX / 2), name, &[address], FOR_GOOD);
    }

    /// Forgets what has ended, or else the address that would end first.
    fn make_room(&mut self, now: Instant) {
        let end = |names: &[(String, Instant)]| names.iter().map(|&(_, until)| until).max();
        self.names
            .retain(|_, names| end(names).is_some_and(|until| until > now));
        if self.names.len() < ADDRESSES_MAX {
            return;
        }
        let first = self.names.iter().min_by_key(|(_, names)| end(names)).map(|(&at, _)| at);
        if let Some(first) = first {
            self.names.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn known(learned: &Learned, now: Instant, address: IpAddr) -> Vec<String> {
        learned.names(now, address).map(str::to_owned).collect()
    }

    #[test]
    fn a_name_leads_to_its_addresses_for_the_answers_time_and_the_grace() {
        let mut learned = Learned::new(true);
        let address = IpAddr::from([192, 0, 2, 7]);
        learned.learn(Instant::ZERO, "a.example", &[address], TTL);
        learned.learn(Instant::ZERO + TTL, "b.example", &[address], TTL);
        let last = Instant::ZERO + TTL + GRACE;
        assert_eq!(
            known(&learned, Instant::ZERO + TTL, address),
            ["a.example", "b.example"]
        );
        assert_eq!(known(&learned, last, address), ["b.example"]);
        assert!(known(&learned, last + TTL, address).is_empty());
    }

    #[test]
    fn the_table_forgets_what_ends_first() {
        let mut learned = Learned::new(true);
        let address = |n: usize| IpAddr::from((n as u128).to_be_bytes());
        for n in 0..=ADDRESSES_MAX {
            let now = Instant::ZERO + Duration::from_millis(n as u64);
            learned.learn(now, "many.example", &[address(n)], TTL);
        }
        let now = Instant::ZERO + TTL;
        assert!(known(&learned, now, address(0)).is_empty());
        assert_eq!(known(&learned, now, address(1)).len(), 1);
        assert_eq!(learned.names.len(), ADDRESSES_MAX);
    }

    #[test]
    fn what_is_known_for_good_stays_known() {
        let mut learned = Learned::new(true);
        let address = IpAddr::from([192, 0, 2, 7]);
        learned.learn_for_good("db.example", address);
        learned.learn(Instant::ZERO, "db.example", &[address], TTL);
        let late = Instant::ZERO + Duration::from_secs(1 << 31);
        assert_eq!(known(&learned, late, address), ["db.example"]);
    }

    #[test]
    fn nothing_is_kept_where_nobody_asks() {
        let mut learned = Learned::default();
        learned.learn(Instant::ZERO, "a.example", &[IpAddr::from([192, 0, 2, 7])], TTL);
        assert!(learned.names.is_empty());
    }
}
